//! `gridflex acquire` and `gridflex serve` as two programs, killed again and again, with a witness on the wire between them.
//!
//! The historian is a folder of files, or a PostgreSQL server that crashes as well.
//!
//! The witness records every byte that leaves the operator. At the end every value is in the platform's history exactly once, and
//! no private id is in anything that was sent or stored. That the search would find one is shown with the same ids sent as they
//! are, through the same wire into the same store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test
#![allow(clippy::disallowed_methods, clippy::print_stderr, clippy::print_stdout)] // outside the programs there is only the wall clock

mod harness;
#[path = "../connectors/tests/acquisition/server.rs"]
mod server;

use harness::{Demo, PATIENCE, free_port, get, gridflex, run, text, wait_for, words};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::Value;
use server::Server;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

const KILLS: usize = 20;
const LINES: usize = 12_000;
/// Settings of a historian that exports files.
const FILES: &str = "[files]\nfolder = \"export\"\n";
/// Private ids, and what they are in the network of the example site.
const POINTS: [&str; 6] = ["bus.2,u,a", "bus.2,u,b", "bus.2,u,c", "bus.3,u,a", "bus.3,u,b", "bus.3,u,c"];

fn private_id(n: usize) -> String {
    format!("DE00071{:02}{CUSTOMER}{:06}", n, 424_242 + 1009 * n)
}

/// Long enough that megabytes of ciphertext in base64 never spell it by chance, as they do five letters.
const CUSTOMER: &str = "BLACKSMITH";

/// A client; it does not outlive its test.
struct Running(Child);

impl Running {
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Passes connections on and keeps what comes from the client.
struct Wire {
    port: u16,
    recorded: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    fn to(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, recorded) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<u8>>>::default());
        let kept = recorded.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // Without a platform the client is cut, as by a platform that is away.
                let Ok(server) = TcpStream::connect(broker) else { continue };
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let kept = kept.clone();
                std::thread::spawn(move || carry(client, server, Some(kept)));
                std::thread::spawn(move || carry(back.0, back.1, None));
            }
        });
        Self { port, recorded }
    }

    fn recorded(&self) -> Vec<u8> {
        self.recorded.lock().unwrap().clone()
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, kept: Option<Arc<Mutex<Vec<u8>>>>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 {
            break;
        }
        if let Some(kept) = &kept {
            kept.lock().unwrap().extend(&buffer[..count]);
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
}

/// Operator and platform in one folder.
struct Place {
    directory: tempfile::TempDir,
    broker: SocketAddr,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let broker = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let place = Self { directory, broker };
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/example-site");
        std::fs::copy(example.join("network.json"), place.at("network.json")).unwrap();
        for arguments in [
            vec!["acquire", "platform-key", "--name", "riverside"],
            vec!["acquire", "keys", "--sender", "dso-west", "--recipient", "riverside", "--epoch", "2026"],
        ] {
            let out = ["--out", text(place.directory.path())];
            let output = run(arguments.into_iter().chain(out));
            assert!(output.status.success(), "{}", words(&output));
        }
        let mut mapping = "private_id,classification_id,element,quantity,phase,unit\n".to_owned();
        for (n, point) in POINTS.iter().enumerate() {
            writeln!(mapping, "{},7-PRE-{n:03},{point},V", private_id(n)).unwrap();
        }
        std::fs::write(place.at("mapping.csv"), mapping).unwrap();
        std::fs::set_permissions(place.at("mapping.csv"), std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::create_dir(place.at("export")).unwrap();
        let site = format!(
            "name = \"riverside\"\n[http]\nlisten = \"127.0.0.1:0\"\n[mqtt]\nlisten = \"{broker}\"\n[[acquisition]]\n\
             name = \"dso-west\"\nsender_key = \"signing.pub\"\nkey = \"platform.key\"\npoints = \"points.csv\"\n"
        );
        std::fs::write(place.at("site.toml"), site).unwrap();
        place.configure(broker.port(), 20, FILES);
        let points = run([
            "acquire",
            "points",
            "--config",
            text(&place.config()),
            "--out",
            text(&place.at("points.csv")),
        ]);
        assert!(points.status.success(), "{}", words(&points));
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.at("acquire.toml")
    }

    fn configure(&self, port: u16, batch: usize, historian: &str) {
        let settings = format!(
            "batch = {batch}\npoll_s = 0.1\n[platform]\naddress = \"127.0.0.1:{port}\"\narea = \"riverside\"\n{historian}"
        );
        std::fs::write(self.config(), settings).unwrap();
    }

    fn serve(&self) -> Demo {
        Demo::serve(&self.at("site.toml"))
    }

    /// Every value of the history, with how often it is there as it was measured.
    fn history(&self) -> BTreeMap<(String, String), Vec<f64>> {
        let data = self.at("data");
        let output = run(["history", "query", text(&data), "telemetry", "--all-versions", "--json"]);
        assert!(output.status.success(), "{}", words(&output));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut values: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        for value in
            document["values"].as_array().unwrap().iter().filter(|value| value["quality"] == "measured")
        {
            let place = (word(&value["point"]), word(&value["measured_at"]));
            values.entry(place).or_default().push(value["value"].as_f64().unwrap());
        }
        values
    }
}

/// What a historian writes, and what of it has to arrive.
fn historian() -> (String, BTreeMap<(String, String), Vec<f64>>) {
    let (mut text, mut expected) = (String::new(), BTreeMap::new());
    for n in 0..LINES {
        let (id, second) = (n % POINTS.len(), n / POINTS.len());
        let time = format!("{:02}:{:02}:{:02}", 8 + second / 3600, second / 60 % 60, second % 60);
        let value = 228.0 + (n % 97) as f64 / 100.0;
        writeln!(text, "\"{}\",2026-10-01 {time},{value}", private_id(id)).unwrap();
        if n % 1000 == 500 {
            text.push_str("what the historian says when its disk is full\n");
        }
        let point = POINTS[id].replace(',', ".");
        expected.insert((point, format!("2026-10-01T{time}Z")), vec![value]);
    }
    assert_eq!(expected.len(), LINES);
    (text, expected)
}

/// Files below a folder that contain a text.
fn files_with(folder: &Path, wanted: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, wanted));
        } else if contains(&std::fs::read(&path).unwrap(), wanted) {
            found.push(path);
        }
    }
    found
}

fn count(bytes: &[u8], wanted: &str) -> usize {
    bytes.windows(wanted.len()).filter(|window| *window == wanted.as_bytes()).count()
}

fn contains(bytes: &[u8], wanted: &str) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes())
}

/// Where the values are, and how more of them come.
trait Historian {
    /// Its section of the settings.
    fn settings(&self) -> String;
    /// The next piece, before each life of the client and before its last run.
    fn grow(&mut self);
    /// While the client lives.
    fn go_on(&mut self, life: usize);
    /// How many lines are noted in the progress file.
    fn lines(&self, progress: &Value) -> u64;
}

/// A file that grows while it is read: a piece before each life, cut anywhere in a line.
struct Export {
    file: PathBuf,
    pieces: std::vec::IntoIter<Vec<u8>>,
}

impl Historian for Export {
    fn settings(&self) -> String {
        FILES.to_owned()
    }

    fn grow(&mut self) {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(&self.file);
        file.unwrap().write_all(&self.pieces.next().unwrap()).unwrap();
    }

    fn go_on(&mut self, _: usize) {}

    fn lines(&self, progress: &Value) -> u64 {
        progress["files"][0]["line"].as_u64().unwrap()
    }
}

/// A table that grows while it is read, each seventh row later than those after it; its server crashes.
struct Table {
    server: Server,
    pieces: std::vec::IntoIter<Vec<String>>,
    later: Vec<String>,
}

impl Table {
    fn new(written: &str) -> Option<Self> {
        let server = Server::start(None)?;
        server.sql(
            "CREATE TABLE readings (id bigint PRIMARY KEY, meter text, taken_at timestamptz, value float8);
             CREATE ROLE gridflex LOGIN PASSWORD 'read only'; GRANT SELECT ON readings TO gridflex",
        );
        let rows: Vec<String> = written
            .lines()
            .enumerate()
            .map(|(n, line)| match line.split(',').collect::<Vec<_>>().as_slice() {
                [id, time, value] => format!("({n}, '{}', '{time}+00', {value})", id.trim_matches('"')),
                // What a historian has in its table when it could not measure.
                _ => format!("({n}, '{}', now(), NULL)", private_id(0)),
            })
            .collect();
        let pieces: Vec<Vec<String>> = rows.chunks(rows.len() / (KILLS + 1) + 1).map(<[_]>::to_vec).collect();
        Some(Self { server, pieces: pieces.into_iter(), later: Vec::new() })
    }

    fn insert(&self, rows: &[String]) {
        if !rows.is_empty() {
            self.server.sql(&format!("INSERT INTO readings VALUES {}", rows.join(",")));
        }
    }
}

impl Historian for Table {
    fn settings(&self) -> String {
        format!(
            "[database]\naddress = \"127.0.0.1:{}\"\nname = \"postgres\"\nuser = \"gridflex\"\n\
             password_file = \"database-password\"\ntable = \"readings\"\nkey = [\"id\"]\n\
             columns = {{ device_id = \"meter\", observed_timestamp = \"taken_at\" }}\n",
            self.server.port
        )
    }

    fn grow(&mut self) {
        let piece = self.pieces.next().unwrap();
        let (later, now): (Vec<_>, Vec<_>) =
            piece.into_iter().enumerate().partition(|(place, _)| place % 7 == 3);
        let rows = |rows: Vec<(usize, String)>| rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>();
        self.insert(&rows(now));
        self.later = rows(later);
        if self.pieces.len() == 0 {
            self.go_on(0);
        }
    }

    fn go_on(&mut self, life: usize) {
        let later = std::mem::take(&mut self.later);
        self.insert(&later);
        if life % 5 == 1 {
            self.server.crash();
            self.server.run();
        }
    }

    fn lines(&self, progress: &Value) -> u64 {
        progress["table"]["line"].as_u64().unwrap()
    }
}

#[test]
fn twenty_kills_lose_no_line_and_double_none_and_no_private_id_leaves_the_operator() {
    let (place, (written, expected)) = (Place::new(), historian());
    let pieces: Vec<Vec<u8>> =
        written.as_bytes().chunks(written.len() / (KILLS + 1) + 1).map(<[u8]>::to_vec).collect();
    let file = place.at("export/2026-10-01.csv");
    twenty_kills(&place, &mut Export { file, pieces: pieces.into_iter() }, &expected);
}

#[cfg(feature = "postgres")]
#[test]
fn twenty_kills_lose_no_row_of_a_database_that_crashes_and_double_none() {
    let (place, (written, expected)) = (Place::new(), historian());
    let Some(mut table) = Table::new(&written) else { return };
    std::fs::write(place.at("database-password"), "read only\n").unwrap();
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(place.at("database-password"), mode).unwrap();
    twenty_kills(&place, &mut table, &expected);
    assert_eq!(table.server.sql("SELECT count(*) FROM readings"), (LINES + LINES / 1000).to_string());
}

fn twenty_kills(
    place: &Place,
    historian: &mut dyn Historian,
    expected: &BTreeMap<(String, String), Vec<f64>>,
) {
    let given = std::env::var("GRIDFLEX_KILL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
    eprintln!("moments from GRIDFLEX_KILL_SEED={seed}");
    let mut random = Random(seed);
    let wire = Wire::to(place.broker);
    place.configure(wire.port, 20, &historian.settings());
    let mut platform = place.serve();
    let (config, progress) = (place.config(), place.at("progress.json"));
    let reached =
        || std::fs::read(&progress).ok().map(|bytes| -> Value { serde_json::from_slice(&bytes).unwrap() });
    let mut lines = Vec::new();
    for kill in 0..KILLS {
        historian.grow();
        let mut client =
            Running(gridflex(["acquire", "--config", text(&config)]).stdout(Stdio::null()).spawn().unwrap());
        let before = reached().map_or(0, |reached| historian.lines(&reached));
        historian.go_on(kill);
        let noted = || reached().map_or(0, |reached| historian.lines(&reached));
        // At a random moment, or, every other time, not before something was noted: however slow the machine is.
        let until = Instant::now() + Duration::from_millis(20 + random.below(200));
        while Instant::now() < until || (kill % 2 == 1 && noted() == before) {
            assert!(Instant::now() < until + PATIENCE, "nothing gets through");
            std::thread::sleep(Duration::from_millis(1));
        }
        if kill % 5 == 3 {
            platform.kill();
        }
        client.kill();
        if kill % 5 == 3 {
            platform = place.serve();
        }
        lines.push(reached().map_or(0, |reached| historian.lines(&reached)));
    }
    historian.grow();
    let seen = lines.iter().zip(lines.iter().skip(1)).filter(|(a, b)| a < b).count();
    let output = run(["acquire", "--config", text(&config), "--once", "--json"]);
    assert!(output.status.success(), "{}", words(&output));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    eprintln!("lines noted after each kill: {lines:?}; at the end {summary}");
    assert!(seen >= KILLS / 2, "the kills came when nothing was going on");
    assert!(summary["lines"].as_u64().unwrap() > 0, "all was sent before the last kill");
    platform.signal("TERM");
    let (status, _, said) = platform.end(PATIENCE);
    assert!(status.success(), "{status}: {said}");
    everything_is_there_once(place, &wire, &said, expected);
    the_search_finds_ids_that_are_sent_as_they_are(place, &wire);
}

/// In the platform's store; and no private id is, nor was on the wire, nor is in what the platform said.
fn everything_is_there_once(
    place: &Place,
    wire: &Wire,
    said: &str,
    expected: &BTreeMap<(String, String), Vec<f64>>,
) {
    let arrived = place.history();
    assert_eq!(arrived.len(), LINES);
    assert_eq!(arrived, *expected);
    let rejects = std::fs::read_to_string(place.at("rejects.csv")).unwrap();
    assert_eq!(rejects.lines().count(), 1 + LINES / 1000, "{rejects}");

    let (data, sent) = (place.at("data"), wire.recorded());
    // What was sent twice, or into a platform that died with it: without any of that the story shows little.
    let log = std::fs::read(data.join("acquisition/dso-west.log")).unwrap();
    let (on_the_wire, kept) = (count(&sent, "/dso-west/envelope"), count(&log, "{\"kept\":"));
    eprintln!("{on_the_wire} envelopes on the wire, {kept} kept");
    assert!(on_the_wire > kept, "no kill came between sending and noting");
    assert!(sent.len() > LINES * 50, "only {} bytes were recorded", sent.len());
    for secret in (0..POINTS.len()).map(private_id).chain(["7-PRE-00".to_owned(), CUSTOMER.to_owned()]) {
        assert_eq!(files_with(&data, &secret), Vec::<PathBuf>::new(), "{secret}");
        assert!(!contains(&sent, &secret) && !said.contains(&secret), "{secret}");
    }
}

/// The null control: the same lines without pseudonyms, through the same wire into the same store.
fn the_search_finds_ids_that_are_sent_as_they_are(place: &Place, wire: &Wire) {
    let platform = place.serve();
    let (client, mut connection) = Client::new(MqttOptions::new("control", "127.0.0.1", wire.port), 10);
    let line = format!("\"{}\",2026-10-01 08:00:00,228", private_id(0));
    let topic = "gridflex/riverside/acquisition/control/plain";
    client.publish(topic, QoS::AtLeastOnce, true, line).unwrap();
    wait_for("an acknowledgement", PATIENCE, || {
        matches!(connection.recv_timeout(PATIENCE), Ok(Ok(Event::Incoming(Packet::PubAck(_))))).then_some(())
    });
    assert!(contains(&wire.recorded(), &private_id(0)), "the wire is not searched");
    assert_eq!(files_with(&place.at("data"), &private_id(0)).len(), 1, "the store is not searched");
    drop(platform);
}

#[test]
fn an_envelope_that_was_altered_on_the_way_is_counted_by_its_reason() {
    let place = Place::new();
    let wire = Wire::to(place.broker);
    place.configure(wire.port, 1000, FILES);
    std::fs::write(place.at("export/a.csv"), format!("{},2026-10-01 08:00:00,230\n", private_id(0))).unwrap();
    let platform = place.serve();
    let output = run(["acquire", "--config", text(&place.config()), "--once"]);
    assert!(output.status.success(), "{}", words(&output));
    let sent = wire.recorded();
    let topic = "gridflex/riverside/acquisition/dso-west/envelope";
    let begin =
        sent.windows(topic.len()).position(|window| window == topic.as_bytes()).unwrap() + topic.len() + 2;
    let envelope: Vec<u8> = sent[begin..]
        .iter()
        .copied()
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        .collect();
    let mut altered = envelope.clone();
    let middle = altered.len() / 2;
    altered[middle] = if altered[middle] == b'A' { b'B' } else { b'A' };
    let publish = |bytes: &[u8]| {
        harness::mqtt::publish(place.broker, &[(topic, std::str::from_utf8(bytes).unwrap())]).unwrap();
    };
    publish(&altered);
    publish(b"nothing of the kind");
    // Somebody sends a copy: it is known, and counts as nothing.
    publish(&envelope);
    let metric = |reason: &str| {
        let name = format!("outside_rejected_messages_total{{reason=\"{reason}\"}} 1");
        wait_for(&name, PATIENCE, || {
            let text = get(platform.page, "/metrics").ok()?.body;
            contains(&text, &name).then_some(())
        });
    };
    metric("signature");
    metric("envelope");
    platform.signal("TERM");
    platform.end(PATIENCE);
    assert_eq!(place.history().into_values().collect::<Vec<_>>(), [vec![230.0]]);
}

#[test]
fn a_pseudonym_is_looked_up_with_table_and_key_only() {
    let place = Place::new();
    let map = std::fs::read_to_string(place.at("points.csv")).unwrap();
    let pseudonym = map.lines().nth(1).unwrap().split(',').next().unwrap().to_owned();
    let lookup = || run(["acquire", "lookup", &pseudonym, "--config", text(&place.config())]);
    let output = lookup();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.starts_with("DE00071") && said.contains("7-PRE-00"), "{said}");
    // Another site's key: its own pseudonyms, and no way back.
    std::fs::rename(place.at("site.key"), place.at("old.key")).unwrap();
    let other = place.at("other");
    let keys = [
        "acquire",
        "keys",
        "--sender",
        "dso-west",
        "--recipient",
        "riverside",
        "--epoch",
        "2027",
        "--out",
        text(&other),
    ];
    assert!(run(keys).status.success());
    std::fs::rename(other.join("site.key"), place.at("site.key")).unwrap();
    let output = lookup();
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
    let again = place.at("again.csv");
    assert!(
        run(["acquire", "points", "--config", text(&place.config()), "--out", text(&again)]).status.success()
    );
    let (old, new) = (map, std::fs::read_to_string(again).unwrap());
    let tags = |map: &str| {
        map.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(tags(&old).iter().all(|tag| !tags(&new).contains(tag)) && tags(&new).len() == POINTS.len());
}

#[test]
fn check_reads_everything_sends_nothing_and_names_what_is_wrong() {
    let place = Place::new();
    let good = format!("{},2026-10-01 08:00:00,230\n", private_id(0));
    std::fs::write(place.at("export/a.csv"), &good).unwrap();
    let check = || run(["acquire", "--config", text(&place.config()), "--check"]);
    let output = check();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("1 values in 1 lines of 1 files"), "{}", words(&output));
    std::fs::write(place.at("export/b.csv"), good.clone() + "DE999,2026-10-01 08:00:00,230\n").unwrap();
    let output = check();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("b.csv:2: its device_id is not in the mapping"), "{said}");
    assert!(!place.at("progress.json").exists() && !place.at("rejects.csv").exists());
    std::fs::set_permissions(place.at("site.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = String::from_utf8_lossy(&check().stderr).into_owned();
    assert!(said.contains("site.key") && said.contains("chmod 600"), "{said}");
    std::fs::set_permissions(place.at("site.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    // `gridflex check` reads settings, keys and mapping, and asks neither side.
    let check = || run(["check", text(&place.config())]);
    let said = String::from_utf8_lossy(&check().stdout).into_owned();
    assert!(said.contains("6 ids in the mapping") && said.contains("files of"), "{said}");
    let database = "[database]\naddress = \"127.0.0.1:1\"\nname = \"historian\"\nuser = \"gridflex\"\ntable = \"readings\"\n";
    place.configure(1, 20, &format!("{database}key = [\"id\"]\n"));
    let output = check();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("readings of database 127.0.0.1:1/historian"), "{said}");
    place.configure(1, 20, &format!("{database}key = []\n"));
    let output = check();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("database.key names 0 columns"), "{said}");
    let output = run(["acquire"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--config"), "{}", words(&output));
}
