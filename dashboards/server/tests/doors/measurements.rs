//! Values of points, kept and new; forecasts; what offers are judged by.

use super::{Answer, NoMarket, Running, at, served};
use access::Role;
use actors::Historian;
use actors::runtime::{Compute, Environment, ScaledClock, Supervisor};
use connectors::exchange::{Counters, Inbox, InboxWriter, inbox};
use connectors::house::Message;
use grid::{Measurement, PointId, Quality, SlotForecast, Timestamp, UsagePointForecast, UsagePointId};
use history::History;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A history that is written to, as a connector writes.
struct Kept {
    historian: Historian,
    writer: InboxWriter,
    inbox: Inbox,
    _supervisor: Supervisor,
}

fn reading(point: &str, at: Timestamp, value: f64) -> Measurement {
    let point: PointId = point.parse().unwrap();
    Measurement { point, value, quality: Quality::Measured, measured_at: at, received_at: at }
}

impl Kept {
    async fn open(folder: &Path) -> Self {
        let environment =
            Environment::new(ScaledClock::start(at("2026-02-02T12:00:00Z"), 1), Compute::Blocking);
        let history = History::open(&folder.join("history"), history::Options::default()).unwrap();
        let supervisor = Supervisor::start(environment.clone()).await.unwrap();
        let (historian, tap) = Historian::start(history, |_| true, environment, supervisor.escalator());
        let (writer, inbox) = inbox(Default::default(), Arc::new(Counters::default()));
        inbox.tap_into(tap);
        Self { historian, writer, inbox, _supervisor: supervisor }
    }

    /// Returns when they are on the disk.
    async fn keep(&mut self, values: Vec<Measurement>) {
        let (before, count) = (self.historian.kept.get(), values.len() as u64);
        for part in values.chunks(100) {
            self.writer.send(Message::Telemetry(part.to_vec())).await.unwrap();
            self.inbox.recv_batch().await;
        }
        while self.historian.kept.get() < before + count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// A week of quarter-hours of one meter: the slot that ends at each instant, Wh.
fn week() -> Vec<Measurement> {
    let first = at("2026-01-26T00:15:00Z");
    let one = |number: u64| {
        let at = first.plus(Duration::from_secs(900 * number));
        reading("meter.7.energy", at, 100.0 + (number as f64 * 0.7).sin())
    };
    (0..672).map(one).collect()
}

#[tokio::test]
async fn a_week_of_quarter_hours_is_read_back_identical_in_any_window() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = Kept::open(folder.path()).await;
    let week = week();
    kept.keep(week.clone()).await;
    let (picture, mut served) = served(folder.path());
    served.operations.historian = Some(kept.historian.clone());
    let name = "p0123abcd-0123456789abcdef0123456789abcdef";
    served.pseudonyms = Arc::new([(name.to_owned(), "meter.7.energy".parse().unwrap())].into());
    let running = Running::start_with(picture, served).await;
    for (first, last) in [(0, 672), (0, 1), (671, 672), (5, 101), (300, 400)] {
        let (from, until) =
            (week[first].measured_at, week[last - 1].measured_at.plus(Duration::from_secs(1)));
        for named in ["point=meter.7.energy".to_owned(), format!("pseudonym={name}")] {
            let found = running.get(&format!("history/energy?{named}&from={from}&until={until}")).await.ok();
            let values = found["values"].as_array().unwrap();
            let read: Vec<(Timestamp, f64)> = values
                .iter()
                .map(|value| {
                    assert_eq!((&value["unit"], &value["quality"]), (&json!("Wh"), &json!("measured")));
                    (at(value["measured_at"].as_str().unwrap()), value["value"].as_f64().unwrap())
                })
                .collect();
            let wanted: Vec<_> = week[first..last].iter().map(|one| (one.measured_at, one.value)).collect();
            assert_eq!(read, wanted, "{first}..{last}");
        }
    }
    assert!(running.get("history/energy?pseudonym=p9").await.is(404, "not_found"));
    running.server.stop().await;
}

/// Somebody who follows.
struct Follower {
    socket: TcpStream,
    heard: String,
    values: Vec<f64>,
    last: String,
}

impl Follower {
    async fn begin(running: &Running, query: &str, last: &str) -> Self {
        let mut socket = TcpStream::connect(running.server.address()).await.unwrap();
        let resumed = if last.is_empty() { String::new() } else { format!("last-event-id: {last}\r\n") };
        let request =
            format!("GET /api/v1/history/energy/stream?{query} HTTP/1.1\r\nhost: localhost\r\n{resumed}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut this = Self { socket, heard: String::new(), values: Vec::new(), last: last.to_owned() };
        // The first beat says from where on it listens.
        while !this.heard.contains("event: beat") {
            this.hear().await;
        }
        this
    }

    async fn hear(&mut self) {
        let mut chunk = [0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(10), self.socket.read(&mut chunk)).await;
        let count = read.unwrap().unwrap();
        assert_ne!(count, 0, "it ended: {}", self.heard);
        self.heard.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
        // Chunk sizes stand on lines of their own.
        let text = self.heard.clone();
        let (mut values, mut event) = (Vec::new(), "");
        for line in text.split('\n').map(str::trim_end) {
            if let Some(id) = line.strip_prefix("id: ") {
                self.last = id.to_owned();
            }
            if let Some(name) = line.strip_prefix("event: ") {
                event = name;
            }
            if let Some(data) = line.strip_prefix("data: ").filter(|_| event == "value")
                && let Ok(value) = serde_json::from_str::<Value>(data)
            {
                values.push(value["value"].as_f64().unwrap());
            }
        }
        self.values = values;
    }

    async fn until(&mut self, count: usize) -> &[f64] {
        while self.values.len() < count {
            self.hear().await;
        }
        &self.values
    }
}

#[tokio::test]
async fn a_subscriber_sees_each_new_value_once_and_resumes_by_offset_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = Kept::open(folder.path()).await;
    let start = at("2026-02-02T12:00:00Z");
    let values = |range: std::ops::Range<u64>| -> Vec<Measurement> {
        let at = |number: u64| start.plus(Duration::from_secs(number));
        range
            .flat_map(|n| [reading("meter.7.energy", at(n), n as f64), reading("meter.8.energy", at(n), 1e6)])
            .collect()
    };
    let with = |historian: Historian| {
        let (picture, mut served) = served(folder.path());
        served.operations.historian = Some(historian);
        Running::start_with(picture, served)
    };
    kept.keep(values(0..5)).await;
    let running = with(kept.historian.clone()).await;
    let mut follower = Follower::begin(&running, "point=meter.7.energy", "").await;
    kept.keep(values(5..10)).await;
    kept.keep(values(10..12)).await;
    assert_eq!(follower.until(7).await, [5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
    let last = follower.last.clone();
    drop(follower);
    kept.keep(values(12..14)).await;
    let mut follower = Follower::begin(&running, "point=meter.7.energy", &last).await;
    kept.keep(values(14..15)).await;
    assert_eq!(follower.until(3).await, [12.0, 13.0, 14.0]);
    let last = follower.last.clone();
    drop(follower);
    running.server.stop().await;
    drop(kept);
    // The keeper lets the lock go when its task ends.
    let mut kept = loop {
        match std::panic::AssertUnwindSafe(History::open(&folder.path().join("history"), Default::default()))
            .0
        {
            Ok(history) => {
                drop(history);
                break Kept::open(folder.path()).await;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let running = with(kept.historian.clone()).await;
    kept.keep(values(15..17)).await;
    let mut follower = Follower::begin(&running, &format!("point=meter.7.energy&after={last}"), "").await;
    assert_eq!(follower.until(2).await, [15.0, 16.0]);
    drop(follower);
    for (after, status, code) in [("1-9999-01234567", 410, "offset_gone"), ("now", 422, "query_malformed")] {
        let answer: Answer = running.get(&format!("history/energy/stream?after={after}")).await;
        assert!(answer.is(status, code), "{}", answer.text);
    }
    running.server.stop().await;
}

#[tokio::test]
async fn a_reader_of_a_long_backlog_loses_the_stream_with_the_right_and_keeps_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = Kept::open(folder.path()).await;
    let start = at("2026-02-02T12:00:00Z");
    kept.keep(vec![reading("meter.7.energy", start, 0.0)]).await;
    let (path, audit) = (folder.path().join("access.json"), folder.path().join("audit.jsonl"));
    let mut directory = access::Directory::default();
    let (name, role) = ("operator", Role::Operator);
    let token = directory
        .add_token(name, vec![role], access::Scope::Everything, 1, grid::Clock::now(&super::Machine))
        .unwrap();
    directory.write(&path).unwrap();
    let (picture, mut served) = served(folder.path());
    let accounts = dashboards_server::Accounts::open(&path, &audit, Arc::new(super::Machine)).unwrap();
    served.access = dashboards_server::Access::Accounts(Arc::new(accounts));
    served.operations.historian = Some(kept.historian.clone());
    let running = Running::start_with(picture, served).await;
    let mut socket = TcpStream::connect(running.server.address()).await.unwrap();
    let request = format!(
        "GET /api/v1/history/energy/stream HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
        token.secret
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut chunk = [0; 4096];
    let count = socket.read(&mut chunk).await.unwrap();
    assert!(String::from_utf8_lossy(&chunk[..count]).contains("200 OK"));
    // More than the sockets hold, and nobody reads; then the right ends.
    let many = |n: u64| reading("meter.7.energy", start.plus(Duration::from_secs(n)), n as f64);
    kept.keep((1..60_000).map(many).collect()).await;
    directory.remove(name).unwrap();
    directory.write(&path).unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let mut heard = 0;
    let ended = tokio::time::timeout(Duration::from_secs(20), async {
        let mut last = Vec::new();
        loop {
            match socket.read(&mut chunk).await.unwrap() {
                0 => return last,
                count => {
                    heard += count;
                    last.extend_from_slice(&chunk[..count]);
                }
            }
        }
    });
    let text = ended.await.unwrap();
    let values = String::from_utf8_lossy(&text).matches("event: value").count();
    assert!(values < 59_999, "all {values} came, {heard} bytes");
    running.server.stop().await;
}

#[tokio::test]
async fn a_prosumer_reads_and_follows_its_own_points_only() {
    let folder = tempfile::tempdir().unwrap();
    let names = [("home3", Role::Prosumer, &[3][..]), ("operator", Role::Operator, &[][..])];
    let (running, tokens) = Running::start_for(folder.path(), &names).await;
    // None is kept here: what may be asked is answered with that.
    for (path, status, code) in [
        ("history/energy?point=device.31.energy", 404, "no_history"),
        ("history/energy?point=device.41.energy", 403, "not_own"),
        ("history/energy?point=device.31.energy&point=device.41.energy", 403, "not_own"),
        ("history/telemetry?point=bus.3.u.a", 403, "not_own"),
        ("history/energy", 422, "query_malformed"),
        ("history/energy/stream?point=device.41.energy", 403, "not_own"),
        ("history/energy/stream?point=device.31.energy", 404, "no_history"),
        ("validation/41", 403, "not_own"),
        ("validation/99", 403, "not_own"),
        ("forecasts?usage_point=4", 403, "not_own"),
    ] {
        let answer = running.send("GET", path, &tokens[0], "").await;
        assert!(answer.is(status, code), "{path}: {} {}", answer.status, answer.text);
    }
    assert!(running.send("GET", "validation/99", &tokens[1], "").await.is(404, "not_found"));
    assert!(running.send("GET", "history/energy", &tokens[1], "").await.is(404, "no_history"));
    running.server.stop().await;
}

#[tokio::test]
async fn a_prosumer_that_opens_stream_after_stream_takes_no_place_of_the_operators() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept::open(folder.path()).await;
    let (path, audit) = (folder.path().join("access.json"), folder.path().join("audit.jsonl"));
    let mut directory = access::Directory::default();
    let now = grid::Clock::now(&super::Machine);
    let mut token = |name: &str, role, scope| directory.add_token(name, vec![role], scope, 1, now).unwrap();
    let own = access::Scope::Prosumers(vec![grid::ProsumerId(3)]);
    let home = token("home3", Role::Prosumer, own).secret;
    let operator = token("operator", Role::Operator, access::Scope::Everything).secret;
    directory.write(&path).unwrap();
    let (picture, mut served) = served(folder.path());
    let accounts = dashboards_server::Accounts::open(&path, &audit, Arc::new(super::Machine)).unwrap();
    served.access = dashboards_server::Access::Accounts(Arc::new(accounts));
    served.operations.historian = Some(kept.historian.clone());
    let running = Running::start_with(picture, served).await;
    let open = async |path: &str, token: &str| {
        let mut socket = TcpStream::connect(running.server.address()).await.unwrap();
        let request = format!(
            "GET /api/v1/{path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut chunk = [0; 12];
        socket.read_exact(&mut chunk).await.unwrap();
        (socket, String::from_utf8_lossy(&chunk[9..]).into_owned())
    };
    let own = "history/energy/stream?point=device.31.energy";
    let mut opened = Vec::new();
    for _ in 0..80 {
        opened.push(open(own, &home).await);
    }
    let let_in = opened.iter().filter(|(_, status)| status == "200").count();
    assert_eq!(let_in, 4);
    assert!(opened[4..].iter().all(|(_, status)| status == "503"));
    // The operator gets the picture, and follows what it likes.
    for path in ["stream", "history/energy/stream"] {
        let (_socket, status) = open(path, &operator).await;
        assert_eq!(status, "200", "{path}");
    }
    drop(opened);
    running.server.stop().await;
}

#[tokio::test]
async fn forecasts_come_with_their_quantiles_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let (picture, served) = served(folder.path());
    let forecasts = served.operations.forecasts.clone();
    let running = Running::start_with(picture, served).await;
    assert!(running.get("forecasts").await.is(404, "no_forecast"));
    let issued_at = at("2026-02-02T12:00:40Z");
    let one = |point: u32| {
        let slots = (0..96).map(|slot| SlotForecast {
            slot: issued_at.slot().plus(slot),
            p_w: f64::from(point) * 100.0,
            p_std_w: 50.0,
        });
        UsagePointForecast { usage_point: UsagePointId(point), issued_at, slots: slots.collect() }
    };
    forecasts.issue(Arc::new((1..=3).rev().map(one).collect()));
    let first = running.get("forecasts?limit=2").await.ok();
    assert_eq!((&first["forecasts"][0]["usage_point"], &first["next"]), (&json!(1), &json!(2)));
    let slots = first["forecasts"][1]["slots"].as_array().unwrap();
    assert_eq!((slots.len(), &slots[0]["start"]), (96, &json!("2026-02-02T12:00:00Z")));
    assert_eq!((&slots[0]["value"], &slots[0]["p50"]), (&json!(200.0), &json!(200.0)));
    // 1.2816 standard deviations to either side.
    assert!((slots[0]["p10"].as_f64().unwrap() - 135.92).abs() < 0.01, "{}", slots[0]);
    assert!((slots[0]["p90"].as_f64().unwrap() - 264.08).abs() < 0.01, "{}", slots[0]);
    let rest = running.get("forecasts?limit=2&after=2").await.ok();
    assert_eq!((rest["forecasts"].as_array().unwrap().len(), &rest["next"]), (1, &json!(null)));
    assert!(running.get("forecasts?usage_point=x").await.is(422, "query_malformed"));
    running.server.stop().await;
}

#[tokio::test]
async fn an_offer_is_judged_by_the_curves_of_its_device() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = Kept::open(folder.path()).await;
    // Of the slots from 11:00 on; the second is ordered and settled, the last has no reading.
    kept.keep(vec![
        reading("device.31.energy", at("2026-02-02T11:15:00Z"), 250.0),
        reading("device.31.energy", at("2026-02-02T11:30:00Z"), 20.0),
    ])
    .await;
    let (picture, mut served) = served(folder.path());
    served.market = Arc::new(NoMarket);
    served.operations.historian = Some(kept.historian.clone());
    let running = Running::start_with(picture, served).await;
    let asked = "validation/31?from=2026-02-02T11:00:00Z&until=2026-02-02T11:45:00Z";
    let found = running.get(asked).await.ok();
    assert_eq!((&found["start"], &found["interval_s"]), (&json!("2026-02-02T11:00:00Z"), &json!(900)));
    assert_eq!(found["baseline"], json!([null, 250_000, null]));
    assert_eq!(found["scheduled"], json!([null, 0, null]));
    // It was settled with the substitute: what came later is in the history and counts for nothing.
    assert_eq!(found["actual"], json!([250_000, 19_000, null]));
    assert_eq!(found["quality"], json!(["measured", "substituted", "missing"]));
    for wrong in
        ["from=2026-02-02T12:00:00Z&until=2026-02-02T12:00:00Z", "from=2025-01-01T00:00:00Z", "form=x"]
    {
        assert!(running.get(&format!("validation/31?{wrong}")).await.is(422, "query_malformed"), "{wrong}");
    }
    running.server.stop().await;
}

#[tokio::test]
async fn readings_of_a_message_and_of_many_wait_for_the_disk_together_and_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path()).await;
    let reading = |device: usize, minute: u32| {
        json!({ "point": format!("device.{device}.energy"), "ts": format!("2026-02-02T11:{minute}:00Z"),
                "import_kwh": 100.0, "export_kwh": 0.0 })
    };
    let became = |answer: &Answer| -> Vec<String> {
        let answer = answer.ok();
        let values = answer["values"].as_array().unwrap().iter();
        values.map(|value| value["became"].as_str().unwrap().to_owned()).collect()
    };
    // In the middle an older one of a point that was there, and one that is none.
    let mut values: Vec<Value> = (1_000..1_098).map(|device| reading(device, 30)).collect();
    values.insert(50, reading(1_000, 15));
    values.insert(60, json!({ "point": "none" }));
    let told = became(&running.post("measurements", json!({ "values": values })).await);
    assert_eq!((told.len(), told[50].as_str(), told[60].as_str()), (100, "old", "refused"));
    assert_eq!(told.iter().filter(|word| *word == "first").count(), 98);
    let one = |device: usize| running.post("measurements", json!({ "values": [reading(device, 30)] }));
    let answers = futures_util::future::join_all((2_000..2_200).map(one)).await;
    assert!(answers.iter().all(|answer| became(answer) == ["first"]));
    running.server.stop().await;
    let log = std::fs::read_to_string(folder.path().join(register::FILE_NAME)).unwrap();
    let synced = log.lines().count();
    assert!(synced < 150, "{synced} records for 298 readings");
    let running = Running::start(folder.path()).await;
    for device in [1_000, 1_097, 2_199] {
        assert_eq!(
            became(&running.post("measurements", json!({ "values": [reading(device, 30)] })).await),
            ["old"]
        );
    }
    running.server.stop().await;
}
