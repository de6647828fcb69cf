//! Modbus: pymodbus as the server, killed and started again; a unit that is silent; answers that are none.

use super::hand_made::{Asked, serve};
use super::peer::{Peer, python};
use super::port::free_port;
use super::{Heard, Listener, Told};
use connectors::modbus::{ModbusConfig, connect};
use connectors::point_map;
use grid::Quality;
use rand::{Rng, RngExt};
use rand_chacha::rand_core::SeedableRng;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const HEADER: &str = "tag,element,quantity,phase,unit,scale,sign,deadband\n";

fn config(server: String, rows: &str) -> ModbusConfig {
    let map = point_map::read(format!("{HEADER}{rows}").as_bytes()).unwrap();
    ModbusConfig {
        name: "substation".into(),
        server,
        period: Duration::from_millis(100),
        timeout: Duration::from_millis(500),
        points: ModbusConfig::points(&map).unwrap(),
    }
}

pub fn listen(server: String, rows: &str, clock: &Arc<Told>) -> Listener {
    Listener::new(connect(config(server, rows), clock.clone()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mbpoll_reads_the_same_registers_of_the_same_server() {
    let Some(python) = python("pymodbus") else { return };
    if std::process::Command::new("mbpoll").arg("-h").output().is_err() {
        println!("SKIPPED: mbpoll is not installed; scripts/setup.sh test installs it");
        return;
    }
    let (port, clock) = (free_port(), Arc::new(Told::default()));
    let mut peer = Peer::start(&python, "modbus_server.py", port);
    peer.tell("input 7 0 32768 17254 0 275");
    let rows = "7/input/0/f32/cdab,bus.2,u,a,V,,,\n7/input/2/i32,branch.21,p,,kW,0.01,generation,\n";
    let mut listener = listen(format!("127.0.0.1:{port}"), rows, &clock);
    listener.until(&["bus.2.u.a=230.5", "branch.21.p=-2750"]).await;
    let asked =
        ["-m", "tcp", "-p", &port.to_string(), "-a", "7", "-t", "3", "-0", "-r", "0", "-c", "4", "-1"];
    let output = std::process::Command::new("mbpoll").args(asked).arg("127.0.0.1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // A line like `[0]: \t32768`, with how it reads as a signed number behind it where that differs.
    let registers: Vec<u32> = text
        .lines()
        .filter_map(|line| {
            line.trim().strip_prefix('[')?.split_once("]:")?.1.split_whitespace().next()?.parse().ok()
        })
        .collect();
    assert_eq!(registers, [32_768, 17_254, 0, 275], "{text}");
    assert_eq!(f32::from_bits(registers[1] << 16 | registers[0]), 230.5);
    listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_pymodbus_is_read_lost_and_found_again() {
    let Some(python) = python("pymodbus") else { return };
    let (port, clock) = (free_port(), Arc::new(Told::default()));
    // 230.5 as a float with its registers swapped; 2.75 kW fed in as a whole number in steps of 10 W; registers that are none.
    let rows = "7/input/0/f32/cdab,bus.2,u,a,V,,,\n7/input/2/i32,branch.21,p,,kW,0.01,generation,\n1/holding/190/u16,bus.3,u,b,V,0.1,,\n1/holding/200/u16,bus.3,u,c,V,0.1,,\n";
    let mut listener = listen(format!("127.0.0.1:{port}"), rows, &clock);
    // The last two would be read in one request, which the server refuses; then each is asked for by itself.
    assert!(matches!(listener.next().await, Heard::Value(value) if value.quality == Quality::Missing));
    let before = listener.until(&["down"]).await;
    assert_eq!(before.len(), 4, "three more points and the state, once: {before:?}");

    let mut peer = Peer::start(&python, "modbus_server.py", port);
    peer.tell("input 7 0 32768 17254 0 275");
    peer.tell("holding 1 190 2311");
    let values = ["bus.2.u.a=230.5", "branch.21.p=-2750", "bus.3.u.b=231.10000000000002"];
    let told = listener.until(&[&values[..], &["up"]].concat()).await;
    assert!(!told.iter().any(|words| words.starts_with("bus.3.u.c=")), "{told:?}");

    // Not a number is not a value, and a number again is.
    peer.tell("input 7 0 0 32704");
    listener.until(&["bus.2.u.a missing"]).await;
    let meanwhile = listener.during(Duration::from_millis(600)).await;
    assert!(meanwhile.contains(&values[1].to_owned()), "{meanwhile:?}");
    assert!(!meanwhile.iter().any(|words| words.starts_with("bus.2")), "{meanwhile:?}");
    peer.tell("input 7 0 32768 17254");
    listener.until(&values[..1]).await;

    peer.kill();
    let told = listener.until(&["down"]).await;
    let missing = told.iter().filter(|words| words.ends_with("missing")).count();
    assert_eq!(missing, 3, "each point that had a value, once: {told:?}");
    assert_eq!(
        listener.during(Duration::from_secs(1)).await,
        Vec::<String>::new(),
        "the past is not told again"
    );

    let mut peer = Peer::start(&python, "modbus_server.py", port);
    peer.tell("input 7 2 65535 65535");
    let told = listener.until(&["up", "branch.21.p=10"]).await;
    assert!(!told.iter().any(|words| words == values[1]), "{told:?}");
    assert_eq!(listener.source.counters.snapshot().connected, 2);
    listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_of_pulses_becomes_the_exact_energy_of_a_slot_over_its_wrap_around() {
    let Some(python) = python("pymodbus") else { return };
    let (port, clock) = (free_port(), Arc::new(Told::default()));
    let mut peer = Peer::start(&python, "modbus_server.py", port);
    // 1,000 pulses per kWh, counted in 16 bits; the voltage shows when a round was made.
    let rows = "1/input/0/u16,meter.41,energy,,Wh,1,,\n1/input/1/u16,bus.2,u,a,V,1,,\n";
    clock.set(1);
    peer.tell("input 1 0 65530 201");
    let mut listener = listen(format!("127.0.0.1:{port}"), rows, &clock);
    for (seconds, count, round) in [(450, 5, 202), (890, 15, 203)] {
        listener.until(&[&format!("bus.2.u.a={}", round - 1)]).await;
        clock.set(seconds);
        peer.tell(&format!("input 1 0 {count} {round}"));
    }
    listener.until(&["bus.2.u.a=203"]).await;
    peer.tell("input 1 0 20 204");
    clock.set(901);
    loop {
        match listener.next().await {
            Heard::Value(value) if value.point.to_string() == "meter.41.energy" => {
                assert_eq!((value.value, value.quality), (26.0, Quality::Measured));
                assert_eq!(value.measured_at, super::SLOT.end());
                return listener.leave().await;
            }
            Heard::Down(reason) => panic!("{reason}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_that_is_silent_does_not_keep_the_others_from_being_read() {
    let server = serve(|asked: Asked| (asked.unit == 1).then(|| asked.answered(230))).await;
    let rows = "1/input/0/u16,bus.2,u,a,V,,,\n9/input/0/u16,bus.3,u,a,V,,,\n";
    let mut listener = listen(server.to_string(), rows, &Arc::new(Told::default()));
    let mut told = listener.until(&["up", "bus.2.u.a=230", "bus.3.u.a missing"]).await;
    told.extend(listener.during(Duration::from_secs(3)).await);
    let count = |wanted: &str| told.iter().filter(|words| *words == wanted).count();
    assert!(count("bus.2.u.a=230") >= 3 && count("bus.3.u.a missing") == 1 && count("down") == 0, "{told:?}");
    listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_change_and_repeated_values_wait_within_the_deadband() {
    let register = Arc::new(AtomicUsize::new(2300));
    let shown = register.clone();
    let server = serve(move |asked: Asked| Some(asked.answered(shown.load(Ordering::SeqCst) as u16))).await;
    let rows = "1/input/0/u16,bus.2,u,a,V,0.1,,0.5\n";
    let mut listener = listen(server.to_string(), rows, &Arc::new(Told::default()));
    listener.until(&["bus.2.u.a=230"]).await;
    register.store(2304, Ordering::SeqCst);
    assert_eq!(listener.during(Duration::from_millis(700)).await, Vec::<String>::new());
    register.store(2320, Ordering::SeqCst);
    listener.until(&["bus.2.u.a=232"]).await;
    listener.leave().await;
}

/// An answer that is none: cut, too long, to another question, from another unit, of another length, or noise.
fn spoilt(asked: Asked, random: &mut impl Rng) -> Vec<u8> {
    let good = asked.answered(230);
    match random.random_range(0..8) {
        0 => Asked { transaction: asked.transaction.wrapping_add(1), ..asked }.answered(230),
        1 => Asked { function: 1 + asked.function % 4, ..asked }.answered(230),
        2 => Asked { count: asked.count + 1, ..asked }.answered(230),
        3 => asked.frame(&[asked.function]),
        4 => asked.frame(&[asked.function, 200, 0, 1]),
        5 => asked.frame(&[0x80 | asked.function]),
        6 => (0..random.random_range(1..300)).map(|_| random.random()).collect(),
        _ => good[..random.random_range(1..good.len())].to_vec(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_none_are_never_values_and_the_client_goes_on() {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let asked_so_far = Arc::new(AtomicUsize::new(0));
    let count = asked_so_far.clone();
    let server = serve(move |asked: Asked| match count.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => Some(asked.answered(230)),
        _ => Some(spoilt(asked, &mut random)),
    })
    .await;
    let rows = "1/input/0/u16,bus.2,u,a,V,,,\n1/input/1/u16,bus.2,u,b,V,,,\n";
    let mut listener = listen(server.to_string(), rows, &Arc::new(Told::default()));
    while asked_so_far.load(Ordering::SeqCst) < 60 {
        let words = listener.next().await.words();
        let known =
            ["up", "down", "bus.2.u.a=230", "bus.2.u.b=230", "bus.2.u.a missing", "bus.2.u.b missing"];
        assert!(known.contains(&words.as_str()), "{words}");
    }
    listener.leave().await;
}
