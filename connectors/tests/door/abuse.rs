//! Attackers against an honest client. Each test attacks for as long as it takes, while somebody who behaves connects,
//! publishes and leaves again and again from another address; what counts is how long that takes.

#[path = "../../../tests/harness/port.rs"]
mod port;

use super::raw::{Raw, bytes, hello, publish};
use super::{config, open_door};
use connectors::mqtt::door::{Count, Limits};
use connectors::mqtt::{Door, DoorConfig};
use port::free_port;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{LastWill, Login, Packet, PubAck, PubRel, Subscribe, Unsubscribe};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// What an honest client may have to wait, in 99 of 100 cases.
const HONEST_P99_MAX: Duration = Duration::from_secs(2);

/// Somebody who behaves, until told to stop.
struct Honest {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<Duration>>,
}

impl Honest {
    fn at(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut waits = Vec::new();
            while !told.load(Ordering::Relaxed) {
                let since = Instant::now();
                let mut client = Raw::connected(address, "honest");
                assert!(client.publish("gridflex/x/honest", "1"));
                client.send(&Packet::Disconnect);
                waits.push(since.elapsed());
                std::thread::sleep(Duration::from_millis(5));
            }
            waits
        });
        Self { stop, thread }
    }

    /// Its 99th percentile from connecting to PUBACK; fails when it was ever refused or waited too long.
    fn p99(self, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let mut waits = self.thread.join().expect("the honest client was refused or cut off");
        waits.sort();
        let p99 = waits[(waits.len() * 99).div_ceil(100) - 1];
        println!(
            "{what}: {} honest connections, p99 {p99:?}, longest {:?}",
            waits.len(),
            waits[waits.len() - 1]
        );
        assert!(waits.len() >= 20, "{what}: the honest client got in {} times only", waits.len());
        assert!(p99 <= HONEST_P99_MAX, "{what}: p99 {p99:?}");
    }
}

/// A connection from one of the attackers' addresses.
async fn attacker(n: usize, address: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    let own = [127, 0, 1 + (n / 200 % 4) as u8, 1 + (n % 200) as u8];
    socket.bind(SocketAddr::from((own, 0))).ok()?;
    timeout(Duration::from_secs(20), socket.connect(address)).await.ok()?.ok()
}

/// Connects `count` times, 64 at a time, and leaves without a word: every other with RST, half of those before the
/// answer. Returns how many got an answer of those that waited for one.
async fn churn(address: SocketAddr, count: usize) -> (usize, usize) {
    let (next, answered, asked) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let one = async |n: usize| {
        let Some(mut stream) = attacker(n, address).await else { return };
        let _ = stream.write_all(&bytes(&Packet::Connect(hello(&format!("c{}", n % 5_000))))).await;
        if n % 4 != 1 {
            asked.fetch_add(1, Ordering::Relaxed);
            let mut answer = [0; 4];
            let got = timeout(Duration::from_secs(20), stream.read_exact(&mut answer)).await;
            answered.fetch_add(u64::from(matches!(got, Ok(Ok(_)))), Ordering::Relaxed);
        }
        if n % 2 == 1 {
            stream.set_zero_linger().unwrap();
        }
    };
    let worker = async || loop {
        let n = next.fetch_add(1, Ordering::Relaxed) as usize;
        if n >= count {
            return;
        }
        one(n).await;
    };
    futures_util::future::join_all((0..64).map(|_| worker())).await;
    (answered.into_inner() as usize, asked.into_inner() as usize)
}

async fn survives_churn(count: usize) {
    let door = open_door();
    let honest = Honest::at(door.address());
    let since = Instant::now();
    let (answered, asked) = churn(door.address(), count).await;
    println!("{count} connects, half with RST, in {:?}; {answered} of {asked} answered", since.elapsed());
    honest.p99("churn");
    assert_eq!(answered, asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_reconnects_half_with_reset_stall_nobody() {
    survives_churn(20_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes; `make soak` runs it"]
async fn a_hundred_thousand_reconnects_half_with_reset_stall_nobody() {
    survives_churn(100_000).await;
}

/// `count` peers that connect and say nothing, or one byte a second.
async fn survives_silence(count: usize, limits: Limits) {
    let door = Door::open(DoorConfig { limits: limits.clone(), ..config() }).unwrap();
    let honest = Honest::at(door.address());
    let hello = bytes(&Packet::Connect(hello("slow")));
    let mut peers = Vec::new();
    for n in 0..count {
        let mut stream = attacker(n, door.address()).await.unwrap();
        if n % 2 == 1 {
            let hello = hello.clone();
            tokio::spawn(async move {
                for byte in hello {
                    if stream.write_all(&[byte]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
        } else {
            peers.push(stream);
        }
    }
    let cut = async {
        for stream in &mut peers {
            let _ = stream.read(&mut [0; 8]).await;
        }
    };
    let since = Instant::now();
    let all_cut = timeout(Duration::from_secs(10), cut).await;
    println!("{count} silent or slow peers; the silent ones cut within {:?}", since.elapsed());
    honest.p99("silence");
    assert!(all_cut.is_ok(), "silent peers are still there");
    let counters = door.counters();
    let cut = counters.get(Count::Late) + counters.get(Count::GaveWay);
    println!("{:?}", counters.snapshot());
    assert!(cut >= count as u64 / 2, "{cut}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_and_slow_peers_hold_nobody_up() {
    survives_silence(300, Limits { handshakes_max: 100, ..Limits::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes; `make soak` runs it; needs `ulimit -n` above 12000"]
async fn five_thousand_silent_and_slow_peers_hold_nobody_up() {
    survives_silence(5_000, Limits::default()).await;
}

/// One of each packet a client may send.
fn samples() -> Vec<Vec<u8>> {
    let mut full = hello("fuzz");
    full.login = Some(Login::new("user", "password"));
    full.last_will = Some(LastWill::new("gridflex/x/will", "gone", QoS::AtLeastOnce, true));
    let mut subscribe = Subscribe::new("gridflex/+/#", QoS::AtLeastOnce);
    subscribe.pkid = 3;
    let mut unsubscribe = Unsubscribe::new("gridflex/+/#");
    unsubscribe.pkid = 4;
    let mut retained = publish("gridflex/x/kept", QoS::ExactlyOnce, 5, "a payload of some length");
    retained.retain = true;
    let packets = [
        Packet::Connect(full),
        Packet::Publish(publish("gridflex/x/t", QoS::AtMostOnce, 0, "0")),
        Packet::Publish(publish("gridflex/demo/telemetry/bus.1.p", QoS::AtLeastOnce, 1, "{\"value\":1}")),
        Packet::Publish(retained),
        Packet::PubAck(PubAck::new(1)),
        Packet::PubRel(PubRel::new(5)),
        Packet::Subscribe(subscribe),
        Packet::Unsubscribe(unsubscribe),
        Packet::PingReq,
        Packet::Disconnect,
    ];
    packets.iter().map(|packet| bytes(packet).to_vec()).collect()
}

fn mutate(packet: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..packet.len().max(1));
        match rng.random_range(0..6) {
            0 if !packet.is_empty() => packet[at] ^= 1 << rng.random_range(0..8),
            1 if !packet.is_empty() => packet[at] = rng.random(),
            2 if packet.len() > 1 => packet.truncate(at),
            3 => packet.insert(at, rng.random()),
            4 if packet.len() > 1 => drop(packet.remove(at)),
            // The length, which decides how everything behind it is cut.
            _ if packet.len() > 1 => packet[1] = rng.random_range(0..40),
            _ => {}
        }
    }
}

/// Sends `count` mutated packets, up to eight a connection, most after a proper CONNECT, and waits for each
/// connection's end. Fails when the broker does not end one or does not accept one.
async fn send_mutated(address: SocketAddr, count: usize, seed: u64) {
    let (samples, next) = (samples(), AtomicU64::new(0));
    let worker = async |number: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ (number << 32));
        while (next.fetch_add(8, Ordering::Relaxed) as usize) < count {
            let mut out = Vec::new();
            if rng.random_range(0..8) > 0 {
                out.extend_from_slice(&bytes(&Packet::Connect(hello(&format!("m{number}")))));
            }
            for _ in 0..8 {
                let mut packet = samples[rng.random_range(0..samples.len())].clone();
                mutate(&mut packet, &mut rng);
                out.extend_from_slice(&packet);
            }
            let mut stream = attacker(number as usize * 7, address).await.expect("not accepted any more");
            // The other side may hang up in the middle.
            let _ = stream.write_all(&out).await;
            let _ = stream.shutdown().await;
            let end = async { while stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {} };
            timeout(Duration::from_secs(30), end).await.expect("a connection was not ended");
        }
    };
    futures_util::future::join_all((0..16).map(worker)).await;
}

async fn survives_mutations(count: usize, seed: u64) {
    let door = open_door();
    let honest = Honest::at(door.address());
    let since = Instant::now();
    send_mutated(door.address(), count, seed).await;
    println!("{count} mutated packets in {:?}: {:?}", since.elapsed(), door.counters().snapshot());
    honest.p99("mutations");
    let counters = door.counters();
    assert!(
        counters.get(Count::Malformed) > count as u64 / 100
            && counters.get(Count::Received) > count as u64 / 100
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_mutated_packets_break_nothing() {
    survives_mutations(100_000, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes; `make soak` runs it"]
async fn two_million_mutated_packets_break_nothing() {
    survives_mutations(2_000_000, 2).await;
}

/// The control: the same packets against mosquitto.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the mosquitto broker: MOSQUITTO=/usr/sbin/mosquitto cargo test -p connectors -- --ignored"]
async fn two_million_mutated_packets_at_mosquitto() {
    let Ok(program) = std::env::var("MOSQUITTO") else {
        return println!("SKIPPED: MOSQUITTO does not name the broker's program");
    };
    let port = free_port();
    let mut mosquitto = std::process::Command::new(program)
        .args(["-p", &port.to_string()])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let (honest, since) = (Honest::at(address), Instant::now());
    send_mutated(address, 2_000_000, 2).await;
    println!("mosquitto: 2000000 mutated packets in {:?}", since.elapsed());
    honest.p99("mutations at mosquitto");
    assert!(mosquitto.try_wait().unwrap().is_none(), "mosquitto has ended");
    mosquitto.kill().unwrap();
    mosquitto.wait().unwrap();
}
