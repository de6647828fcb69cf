//! MQTT seen from outside: a witness who hears everything, and a hand that publishes.

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One message heard.
pub type Heard = (String, Vec<u8>);

/// Two clients of one name would push each other out.
static CLIENTS: AtomicU32 = AtomicU32::new(0);

pub fn options(broker: SocketAddr) -> MqttOptions {
    let name = format!("story-{}", CLIENTS.fetch_add(1, Ordering::Relaxed));
    let mut options = MqttOptions::new(name, broker.ip().to_string(), broker.port());
    options.set_max_packet_size(4 << 20, 4 << 20).set_keep_alive(Duration::from_secs(10));
    options
}

/// Listens on topic filters for as long as it lives, across any number of broker deaths.
pub struct Witness {
    heard: Arc<Mutex<Vec<Heard>>>,
    stop: Arc<AtomicBool>,
}

impl Witness {
    /// Starts listening. `filters` must not overlap.
    pub fn start(broker: SocketAddr, filters: &'static [&'static str]) -> Self {
        let (heard, stop) = (Arc::<Mutex<Vec<Heard>>>::default(), Arc::<AtomicBool>::default());
        let (kept, told) = (heard.clone(), stop.clone());
        std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                listen(broker, filters, &kept, &told);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { heard, stop }
    }

    /// Reads what was heard so far.
    pub fn read<T>(&self, read: impl FnOnce(&[Heard]) -> T) -> T {
        read(&self.heard.lock().unwrap())
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// One connection, until it breaks.
fn listen(broker: SocketAddr, filters: &[&str], heard: &Mutex<Vec<Heard>>, stop: &AtomicBool) {
    let (client, mut connection) = Client::new(options(broker), 10);
    for filter in filters {
        client.subscribe(*filter, QoS::AtLeastOnce).unwrap();
    }
    while !stop.load(Ordering::Relaxed) {
        match connection.recv_timeout(Duration::from_millis(100)) {
            Ok(Ok(Event::Incoming(Packet::Publish(publish)))) => {
                heard.lock().unwrap().push((publish.topic.clone(), publish.payload.to_vec()));
            }
            Ok(Ok(_)) | Err(rumqttc::RecvTimeoutError::Timeout) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// Publishes messages one after the other and returns when the broker has acknowledged all of them.
///
/// # Errors
/// When the broker hangs up instead.
pub fn publish(broker: SocketAddr, messages: &[(&str, &str)]) -> Result<(), String> {
    let (client, mut connection) = Client::new(options(broker), messages.len() + 1);
    for (topic, payload) in messages {
        client.publish(*topic, QoS::AtLeastOnce, false, payload.as_bytes()).unwrap();
    }
    let mut acknowledged = 0;
    while acknowledged < messages.len() {
        match connection.recv_timeout(Duration::from_secs(10)) {
            Ok(Ok(Event::Incoming(Packet::PubAck(_)))) => acknowledged += 1,
            Ok(Ok(_)) => {}
            other => return Err(format!("{other:?}")),
        }
    }
    Ok(())
}
