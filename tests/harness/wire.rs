//! A wire that can be cut: a proxy on the loopback address that stops forwarding one way or both, and goes on. What was on its way
//! meanwhile arrives later, as TCP has it; new connections are taken and nothing comes of them until then.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Whether bytes pass, by direction.
#[derive(Debug, Default)]
struct Cut {
    /// From whoever connected.
    there: AtomicBool,
    /// To whoever connected.
    back: AtomicBool,
    ended: AtomicBool,
}

/// A wire to one server. Dropping it ends it.
#[derive(Debug)]
pub struct Wire {
    pub address: SocketAddr,
    cut: Arc<Cut>,
}

/// What does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    Both,
    /// What the member sends.
    There,
    /// What the server answers.
    Back,
}

impl Wire {
    /// Leads to a server.
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, cut) = (listener.local_addr().unwrap(), Arc::<Cut>::default());
        listener.set_nonblocking(true).unwrap();
        let known = cut.clone();
        std::thread::spawn(move || {
            while !known.ended.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((client, _)) => connect(client, server, &known),
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        Self { address, cut }
    }

    /// Stops forwarding.
    pub fn stop(&self, what: Stopped) {
        self.cut.there.store(what != Stopped::Back, Ordering::Relaxed);
        self.cut.back.store(what != Stopped::There, Ordering::Relaxed);
    }

    /// Forwards again.
    pub fn heal(&self) {
        self.cut.there.store(false, Ordering::Relaxed);
        self.cut.back.store(false, Ordering::Relaxed);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.cut.ended.store(true, Ordering::Relaxed);
    }
}

fn connect(client: TcpStream, server: SocketAddr, cut: &Arc<Cut>) {
    let Ok(server) = TcpStream::connect(server) else { return };
    client.set_nonblocking(false).unwrap();
    let pairs = [(client.try_clone().unwrap(), server.try_clone().unwrap(), true), (server, client, false)];
    for (from, to, there) in pairs {
        let cut = cut.clone();
        std::thread::spawn(move || {
            let stopped = || match there {
                true => cut.there.load(Ordering::Relaxed),
                false => cut.back.load(Ordering::Relaxed),
            };
            forward(from, to, &stopped, &cut.ended);
        });
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, stopped: &dyn Fn() -> bool, ended: &AtomicBool) {
    let mut bytes = vec![0; 64 << 10];
    // What was read before the wire was cut waits, too.
    let wait = || {
        while stopped() && !ended.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    loop {
        wait();
        match from.read(&mut bytes) {
            Ok(count) if count > 0 => {
                wait();
                if ended.load(Ordering::Relaxed) || to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            _ => break,
        }
    }
    wait();
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
