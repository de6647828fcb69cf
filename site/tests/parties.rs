//! What parties do with what is their own, over real HTTP against a real station: journal, actors, history and register on a disk.

#![allow(clippy::unwrap_used, clippy::panic)] // a test says what is wrong by panicking

#[path = "parties/changing.rs"]
mod changing;
#[allow(dead_code)] // other tests use all of it
#[path = "../../actors/tests/receipts/evening.rs"]
mod evening;
#[path = "parties/heartbeats.rs"]
mod heartbeats;

use actors::grid_side::region::nothing_learnt;
use actors::grid_side::{Listed, Ranks};
use actors::journal::{Begun, Durability, Fact, Journal};
use actors::picture::{DeviceKind, NetworkPicture};
use actors::runtime::ScaledClock;
use actors::{Area, Device, DsoRules};
use connectors::mqtt::DoorConfig;
use estimation::Feeder;
use evening::{ACTIVATION, DEVICE, PROSUMER, USAGE_POINT, network, up_to_the_order};
use grid::name::Name;
use grid::{DeviceId, ProsumerId, Timestamp};
use history::History;
use market::{MarketEvent, OfferRules, Rules};
use register::Register;
use serde_json::{Value, json};
use site::{Foundation, Kept, Listeners, Station};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn area() -> Area {
    let feeder = Arc::new(Feeder::new(&network()).unwrap());
    let (id, kind) = (DEVICE, DeviceKind::Charger);
    let device = Device { id, prosumer: PROSUMER, usage_point: USAGE_POINT, kind, p_max_w: 11_000.0 };
    let battery = Device { id: DeviceId(9), prosumer: ProsumerId(3), kind: DeviceKind::Battery, ..device };
    let foreign = Device { id: DeviceId(27), prosumer: ProsumerId(2), ..device };
    Area::new(
        "demo",
        feeder,
        vec![device, battery, foreign],
        (Rules::default(), OfferRules::default(), DsoRules::default()),
    )
    .unwrap()
}

struct Running(Station);

impl Running {
    /// On a directory, into whose journal these facts are written first.
    async fn start(folder: &Path, facts: &[MarketEvent], now: &str) -> Self {
        Self::start_with(folder, facts, now, Ranks::default()).await
    }

    /// The same, with sources that are preferred and certified like this.
    async fn start_with(folder: &Path, facts: &[MarketEvent], now: &str, ranks: Ranks) -> Self {
        let now: Timestamp = now.parse().unwrap();
        let opened = Journal::open(folder, Durability::Synced).unwrap();
        let (mut journal, mut ledger) = (opened.journal, opened.standing.ledger);
        let facts: Vec<Fact> = facts.iter().cloned().map(Fact::Market).collect();
        if !facts.is_empty() {
            journal.append(facts.iter().map(|fact| (now, fact))).unwrap();
        }
        for fact in &facts {
            let Fact::Market(event) = fact else { continue };
            ledger.apply(event).unwrap();
        }
        let begun = Begun { records: journal.records(), owed: Vec::new() };
        let history = Some(History::open(&folder.join("history"), Default::default()).unwrap());
        let register = Some(Register::open(folder).unwrap());
        let kept = Kept { journal, ledger, begun, history, register };
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let door = DoorConfig { listen, ..DoorConfig::default() };
        let listeners = Listeners {
            page: listen.into(),
            accounts: None,
            door,
            opcua: None,
            acquisition: Vec::new(),
            amqp: Vec::new(),
        };
        let area = Area { ranks, ..area() };
        let foundation = Foundation {
            learnt: nothing_learnt(&area),
            area: Arc::new(area),
            name: connectors::Area::new("demo").unwrap(),
            network: Arc::new(NetworkPicture { area: "demo".to_owned(), ..NetworkPicture::default() }),
            zone: "UTC".to_owned(),
        };
        let clock = ScaledClock::start(now, 1);
        let running = Self(Station::start(listeners, foundation, kept, clock, Vec::new()).await.unwrap());
        // Once it knows its time.
        while running.get("snapshot").await.1["seq"] == json!(0) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        running
    }

    async fn stop(self) {
        let Station { door, system, server, .. } = self.0;
        server.stop().await;
        door.close().await;
        system.stop().await;
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut socket = TcpStream::connect(self.0.server.address()).await.unwrap();
        let request = format!(
            "{method} /api/v1/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let text = answer.split_once("\r\n\r\n").unwrap().1;
        (status, serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {answer}")))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, "").await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask("POST", path, &body.to_string()).await
    }
}

fn offer() -> Value {
    let MarketEvent::OfferAccepted { offer, .. } = up_to_the_order().remove(0) else { unreachable!() };
    json!(offer)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_comes_in_every_answer_until_it_is_acknowledged_and_never_after_a_restart_either() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &up_to_the_order(), "2026-01-15T17:30:05Z").await;
    for _ in 0..2 {
        let (status, answer) = running.post("schedules", json!({ "prosumer": 1 })).await;
        assert_eq!(status, 200, "{answer}");
        let order = &answer["schedules"]["fo-7"];
        assert_eq!((&order["id"], &order["device"]), (&json!(ACTIVATION), &json!(7)), "{answer}");
        assert_eq!(order["schedule"]["energies"].as_array().unwrap().len(), 2);
    }
    assert_eq!(running.post("schedules", json!({ "prosumer": 2 })).await.1["schedules"], json!({}));
    // Somebody else's name for it does nothing.
    let acknowledged = json!([{ "activation": ACTIVATION, "accepted": true }]);
    let (_, answer) = running.post("schedules", json!({ "prosumer": 2, "acknowledged": acknowledged })).await;
    assert_eq!(answer["not_open"], json!([ACTIVATION]));
    let heartbeat = json!({ "prosumer": 1, "acknowledged": acknowledged });
    let (status, answer) = running.post("schedules", heartbeat.clone()).await;
    assert_eq!(
        (status, &answer["schedules"], &answer["not_open"]),
        (200, &json!({}), &json!([])),
        "{answer}"
    );
    running.stop().await;

    let running = Running::start(folder.path(), &[], "2026-01-15T17:30:10Z").await;
    let (_, answer) = running.post("schedules", heartbeat).await;
    assert_eq!((&answer["schedules"], &answer["not_open"]), (&json!({}), &json!([ACTIVATION])), "{answer}");
    // What the offer is judged by: ordered and not metered yet.
    let (_, judged) = running.get("validation/7?from=2026-01-15T17:15:00Z&until=2026-01-15T18:00:00Z").await;
    assert_eq!(judged["baseline"], json!([null, 1_000_000, 1_000_000]), "{judged}");
    assert_eq!(judged["scheduled"][0], json!(null));
    assert_eq!(judged["quality"], json!(["missing", "missing", "missing"]));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_over_cannot_be_refused_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &up_to_the_order(), "2026-01-15T20:00:05Z").await;
    let refusing = json!([{ "activation": ACTIVATION, "accepted": false, "reason": "the car left" }]);
    let (status, answer) =
        running.post("schedules", json!({ "prosumer": 1, "acknowledged": refusing })).await;
    assert_eq!((status, &answer["not_open"]), (200, &json!([ACTIVATION])), "{answer}");
    let packets = json!({ "CommunicationRequest": { "Acknowledgement": refusing } });
    let (_, answer) = running.post("foa/1", packets).await;
    assert_eq!(answer["AcknowledgementReject"][0]["code"], json!("not_found"), "{answer}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_energy_is_taken_when_its_quarter_hour_is_over_and_counts_in_the_settlement_where_that_is_agreed()
{
    let folder = tempfile::tempdir().unwrap();
    let agreed = Ranks { settles_uncertified: true, ..Ranks::default() };
    let (facts, now) = (up_to_the_order(), "2026-01-15T17:44:50Z");
    let running = Running::start_with(folder.path(), &facts, now, agreed).await;
    let energy = |value: f64| json!({ "values": [{ "point": "device.7.energy", "ts": "2026-01-15T17:45:00Z", "value": value }] });
    let total = |ts: &str, total: f64| json!({ "values": [{ "point": "device.7.energy", "ts": ts, "cumulative_kwh": total }] });
    let (_, answer) = running.post("measurements", total("2026-01-15T17:30:00Z", 100.0)).await;
    assert_eq!(answer["values"][0]["became"], json!("first"), "{answer}");
    // A clock that is ten seconds fast.
    for early in [energy(250.0), total("2026-01-15T17:45:00Z", 100.25)] {
        let (status, answer) = running.post("measurements", early).await;
        assert_eq!((status, &answer["code"]), (422, &json!("time")), "{answer}");
    }
    let (status, metered) = loop {
        let (status, answer) = running.post("measurements", total("2026-01-15T17:45:00Z", 100.25)).await;
        if answer["code"] != json!("time") {
            break (status, answer);
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert_eq!((status, &metered["values"][0]["became"]), (200, &json!("counted")), "{metered}");
    let asked = "validation/7?from=2026-01-15T17:30:00Z&until=2026-01-15T17:45:00Z";
    let (_, judged) = running.get(asked).await;
    assert_eq!(
        (&judged["actual"], &judged["quality"]),
        (&json!([250_000]), &json!(["measured"])),
        "{judged}"
    );
    // Another value of the same slot is told that it does not count, and changes nothing.
    let (status, answer) = running.post("measurements", energy(300.0)).await;
    assert_eq!(status, 422, "{answer}");
    assert_eq!(running.get(asked).await.1["actual"], json!([250_000]));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_settles_with_an_energy_of_ones_own_that_nobody_certified_also_right_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let end: Timestamp = "2026-01-15T17:45:00Z".parse().unwrap();
    let source = |running: &Running| {
        let books = running.0.system.books().clone();
        books.read(|ledger| ledger.reading(DEVICE, end.slot().plus(-1)).map(|reading| reading.source.clone()))
    };
    let energy = json!({ "values": [{ "point": "device.7.energy", "ts": end.to_string(), "value": 0.0 }] });
    let mut facts = up_to_the_order();
    for _ in 0..2 {
        let running = Running::start(folder.path(), &facts, "2026-01-15T17:45:05Z").await;
        let (status, answer) = running.post("measurements", energy.clone()).await;
        assert_eq!((status, &answer["code"]), (422, &json!("reading_uncertified")), "{answer}");
        assert_eq!(source(&running), None);
        running.stop().await;
        facts.clear();
    }
    // Agreed, but the device has a meter of its own that is listed: it has twenty minutes to be heard.
    let points = connectors::house::Points::read(&["device.7".to_owned()]).unwrap();
    let listed = Arc::new(Listed { granted: vec![points], ..Listed::NOTHING });
    let agreed = || Ranks { settles_uncertified: true, listed: listed.clone(), ..Ranks::default() };
    for (now, code) in [("2026-01-15T17:45:05Z", "better-listed"), ("2026-01-15T18:05:05Z", "")] {
        let running = Running::start_with(folder.path(), &[], now, agreed()).await;
        let (status, answer) = running.post("measurements", energy.clone()).await;
        match code {
            "" => assert_eq!((status, source(&running)), (200, Some(Name::new("http").ok())), "{answer}"),
            code => {
                let said = (status, &answer["code"], source(&running));
                assert_eq!(said, (422, &json!(code), None), "{answer}");
            }
        }
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_believes_is_refused_and_the_next_reading_of_the_counter_corrects_it() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &[], "2026-01-15T17:45:05Z").await;
    let read = |ts: &str, total: f64| json!({ "values": [{ "point": "device.7.energy", "ts": ts, "cumulative_kwh": total }] });
    assert_eq!(running.post("measurements", read("2026-01-15T17:30:00Z", 100.0)).await.0, 200);
    // 11 kW give 2.75 kWh in a quarter-hour at most.
    let (status, answer) = running.post("measurements", read("2026-01-15T17:45:00Z", 1_000.0)).await;
    assert_eq!((status, &answer["code"]), (422, &json!("device-rating")), "{answer}");
    let (status, answer) = running.post("measurements", read("2026-01-15T17:45:00Z", 100.5)).await;
    assert_eq!((status, &answer["values"][0]["became"]), (200, &json!("counted")), "{answer}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_feed_in_is_read_at_both_registers_and_what_is_wrong_with_one_value_takes_nothing_from_others()
 {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &[], "2026-01-15T17:45:05Z").await;
    let reading = |ts: &str, import: f64, export: f64| json!({ "point": "device.9.energy", "ts": ts, "import_kwh": import, "export_kwh": export });
    let plain = |ts: &str| json!({ "point": "device.9.energy", "ts": ts, "cumulative_kwh": 5.0 });
    let values = json!({ "values": [
        plain("2026-01-15T17:00:00Z"),
        { "point": "device.9.energy", "ts": "2026-01-15T17:00:00Z", "import_kwh": 5.0 },
        { "point": "device.7.energy", "ts": "2025-12-01T00:00:00Z", "value": 1.0 },
        { "point": "device.7.energy" },
        reading("2026-01-15T17:15:00Z", 10.0, 20.0),
        reading("2026-01-15T17:30:00Z", 10.0, 20.5),
        reading("2026-01-15T17:45:00Z", 10.25, 20.5),
        { "point": "device.7.energy", "ts": "2026-01-15T17:45:00Z", "value": 125.0 },
    ] });
    let (status, answer) = running.post("measurements", values).await;
    let words: Vec<(&str, &str)> = answer["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["became"].as_str().unwrap(), one["code"].as_str().unwrap_or("")))
        .collect();
    let refused = |code| ("refused", code);
    assert_eq!(
        (status, words),
        (
            200,
            vec![
                refused("registers"),
                refused("registers"),
                refused("time"),
                refused("malformed"),
                ("first", ""),
                ("counted", ""),
                ("counted", ""),
                ("taken", ""),
            ]
        ),
        "{answer}"
    );
    // Behind a connection, here that of two prosumers, there may be a generator.
    let meter = format!("meter.{USAGE_POINT}.energy");
    let plain = json!({ "point": meter, "ts": "2026-01-15T17:45:00Z", "cumulative_kwh": 5.0 });
    let both = json!({ "point": meter, "ts": "2026-01-15T17:45:00Z", "import_kwh": 5.0, "export_kwh": 0.0 });
    let (_, answer) = running.post("measurements", json!({ "values": [plain, both] })).await;
    assert_eq!(
        (&answer["values"][0]["code"], &answer["values"][1]["became"]),
        (&json!("registers"), &json!("first")),
        "{answer}"
    );
    let (_, kept) = running.get("history/energy?point=device.9.energy").await;
    let values: Vec<f64> =
        kept["values"].as_array().unwrap().iter().map(|value| value["value"].as_f64().unwrap()).collect();
    assert_eq!(values, [-500.0, 250.0], "fed in, then taken");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_names_a_prosumer_takes_nothing_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &[], "2026-01-15T17:20:05Z").await;
    assert_eq!(running.post("flexoffers", offer()).await.0, 201);
    let message = market_offer(-1, 1, 1.0);
    for body in [offer(), message.clone(), json!({ "flexOffer": [message] })] {
        let (status, answer) = running.post("fman/flexoffer/2", body.clone()).await;
        assert_eq!((status, &answer["code"]), (422, &json!("other_owner")), "{body}: {answer}");
    }
    let reading = json!({ "point": "device.7.energy", "ts": "2026-01-15T17:15:00Z", "value": 250.0 });
    let odd = json!({ "point": "device.27.energy", "prognosis": [] });
    let own = json!({ "point": "device.27.energy", "ts": "2026-01-15T17:15:00Z", "value": 250.0 });
    let packets = json!({ "CommunicationRequest": {
        "OperationData": [reading, odd, own], "FlexibilityData": [offer()], "DemandCancelation": ["fo-7"],
    } });
    let (status, reply) = running.post("foa/2", packets).await;
    assert_eq!(status, 200, "{reply}");
    let codes = |rejects: &str| -> Vec<Value> {
        reply[rejects].as_array().unwrap().iter().map(|one| json!([one["index"], one["code"]])).collect()
    };
    assert_eq!(codes("OperationReject"), [json!([0, "not_own"]), json!([1, "malformed"])], "{reply}");
    assert_eq!(codes("FlexibilityReject"), [json!([0, "other_owner"])]);
    assert_eq!(codes("CancelationReject"), [json!([0, "not_found"])]);
    assert_eq!(running.get("flexoffers/fo-7").await.1["state"], json!("accepted"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_handed_in_listed_and_taken_back_with_the_managers_status_codes() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &[], "2026-01-15T17:20:05Z").await;
    let mut other = offer();
    other["prices"]["increase"] = json!(7);
    let mut later = offer();
    later["id"] = json!("fo-8");
    for (path, body, status, code) in [
        ("fman/flexoffer/9", offer(), 404, "not_found"),
        ("fman/flexoffer/home", offer(), 400, "id_malformed"),
        ("fman/flexoffer/1", json!({}), 422, "offer_malformed"),
        ("fman/flexoffer/1", offer(), 201, ""),
        ("fman/flexoffer/1", offer(), 200, ""),
        ("fman/flexoffer/1", other, 422, "id_taken"),
        ("fman/flexoffer/1", later, 422, "device-busy"),
    ] {
        let (found, answer) = running.post(path, body).await;
        assert_eq!((found, answer["code"].as_str().unwrap_or("")), (status, code), "{path}: {answer}");
    }
    let (_, listed) = running.get("flexoffers?state=active").await;
    assert_eq!(
        (&listed["offers"][0]["offer"]["id"], &listed["next"]),
        (&json!("fo-7"), &json!(null)),
        "{listed}"
    );
    assert_eq!(running.get("flexoffers?state=history").await.1["offers"], json!([]));
    for _ in 0..2 {
        let (status, answer) = running.ask("DELETE", "flexoffers/fo-7", "").await;
        assert_eq!((status, &answer["state"]), (200, &json!("withdrawn")), "{answer}");
    }
    assert_eq!(running.ask("DELETE", "flexoffers/fo-9", "").await.0, 404);
    assert_eq!(running.get("flexoffers/fo-7").await.1["state"], json!("withdrawn"));
    assert_eq!(running.get("flexoffers?state=active").await.1["offers"], json!([]));
    let (_, listed) = running.get("flexoffers?state=history&limit=1").await;
    assert_eq!(listed["offers"][0]["state"], json!("withdrawn"), "{listed}");
    for wrong in ["state=new", "limit=0", "after=a/b", "x=1"] {
        assert_eq!(running.get(&format!("flexoffers?{wrong}")).await.0, 422, "{wrong}");
    }
    running.stop().await;
    let running = Running::start(folder.path(), &[], "2026-01-15T17:21:00Z").await;
    assert_eq!(running.get("flexoffers/fo-7").await.1["state"], json!("withdrawn"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_energy_management_system_polls_with_one_packet_or_all_and_is_told_everything() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &up_to_the_order(), "2026-01-15T17:30:05Z").await;
    let poll = async |packets: Value| -> Value {
        let (status, reply) = running.post("foa/1", json!({ "CommunicationRequest": packets })).await;
        assert_eq!(status, 200, "{reply}");
        reply
    };
    let nack = poll(json!({})).await;
    assert_eq!((&nack["Nack"]["code"], &nack["Ack"]), (&json!("no_packet"), &json!(null)));
    assert_eq!(nack["DemandSchedule"][0]["id"], json!(ACTIVATION));
    let reading = json!({ "point": "device.7.energy", "ts": "2026-01-15T17:15:00Z", "value": 250.0 });
    let foreign = json!({ "point": "bus.1.u.a", "ts": "2026-01-15T17:15:00Z", "value": 230.0 });
    let mut second = offer();
    second["id"] = json!("fo-8");
    let (operation, flexibility, cancel) =
        (json!([reading, foreign]), json!([second, { "id": 1 }]), json!(["fo-7", "fo-9"]));
    for (name, packet, rejects, codes) in [
        ("OperationData", &operation, "OperationReject", json!([[1, "not_own"]])),
        (
            "FlexibilityData",
            &flexibility,
            "FlexibilityReject",
            json!([[0, "past-acceptance"], [1, "offer_malformed"]]),
        ),
        ("DemandCancelation", &cancel, "CancelationReject", json!([[0, "not-open"], [1, "not_found"]])),
    ] {
        let reply = poll(json!({ name: packet })).await;
        let told: Vec<Value> =
            reply[rejects].as_array().unwrap().iter().map(|one| json!([one["index"], one["code"]])).collect();
        assert_eq!((&reply["Ack"]["Received"], json!(told)), (&json!([name]), codes), "{reply}");
    }
    let all = json!({
        "OperationData": operation, "FlexibilityData": flexibility, "DemandCancelation": cancel,
        "Acknowledgement": [{ "activation": ACTIVATION, "accepted": false, "reason": "the car left" }],
    });
    let reply = poll(all).await;
    assert_eq!(reply["Ack"]["Received"].as_array().unwrap().len(), 4, "{reply}");
    assert_eq!(
        (&reply["DemandSchedule"], &reply["AcknowledgementReject"]),
        (&json!([]), &json!([])),
        "{reply}"
    );
    let (_, kept) = running.get("history/energy?point=device.7.energy").await;
    assert_eq!(
        (&kept["values"][0]["value"], kept["values"].as_array().unwrap().len()),
        (&json!(250.0), 1),
        "{kept}"
    );
    for (body, status) in [(json!({ "CommunicationRequest": { "Else": [] } }), 422), (json!({}), 422)] {
        assert_eq!(running.post("foa/1", body).await.0, status);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_of_a_counting_meter_become_energies_of_quarter_hours_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = Running::start(folder.path(), &[], "2026-01-15T17:45:05Z").await;
    let read = |ts: &str, total: f64| json!({ "values": [{ "point": "device.7.energy", "ts": ts, "cumulative_kwh": total }] });
    for (ts, total, became) in [
        ("2026-01-15T16:45:00Z", 99.0, "first"),
        ("2026-01-15T17:15:00Z", 100.0, "gap"),
        ("2026-01-15T17:22:00Z", 100.1, "between"),
        ("2026-01-15T17:30:02Z", 100.25, "counted"),
        ("2026-01-15T17:30:02Z", 100.25, "old"),
    ] {
        let (status, answer) = running.post("measurements", read(ts, total)).await;
        assert_eq!((status, &answer["values"][0]["became"]), (200, &json!(became)), "{ts}: {answer}");
    }
    running.stop().await;
    running = Running::start(folder.path(), &[], "2026-01-15T17:45:10Z").await;
    let (_, answer) = running.post("measurements", read("2026-01-15T17:45:00Z", 100.75)).await;
    assert_eq!(answer["values"][0]["became"], json!("counted"), "{answer}");
    let (_, kept) = running.get("history/energy?point=device.7.energy").await;
    let values: Vec<(&str, f64)> = kept["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| (value["measured_at"].as_str().unwrap(), value["value"].as_f64().unwrap()))
        .collect();
    assert_eq!(values, [("2026-01-15T17:30:00Z", 250.0), ("2026-01-15T17:45:00Z", 500.0)]);
    for (values, status) in [
        (json!([{ "point": "device.8.energy", "ts": "2026-01-15T17:45:00Z", "value": 1.0 }]), 403),
        (json!([{ "point": "device.7.energy", "ts": "2026-01-15T18:45:00Z", "value": 1.0 }]), 422),
        (json!([{ "point": "device.7.energy", "ts": "2026-01-15T17:44:00Z", "value": 1.0 }]), 422),
        (json!([{ "point": "device.7.energy", "ts": "2026-01-15T17:45:00Z" }]), 422),
        (json!([{ "point": "device.7.p", "ts": "2026-01-15T17:45:00Z", "value": 1e308 }]), 422),
        (json!([{ "point": "device.7.u.a", "ts": "2026-01-15T17:45:00Z", "value": -1.0 }]), 422),
        (json!([{ "point": "device.7.p", "ts": "2026-01-15T17:45:00Z", "cumulative_kwh": 1.0 }]), 422),
    ] {
        let (found, answer) = running.post("measurements", json!({ "values": values })).await;
        assert_eq!(found, status, "{values}: {answer}");
    }
    running.stop().await;
}

/// 2 kWh of device 7 in two quarter-hours, as GOFLEX's market writes it.
fn market_offer(id: i64, party: u32, highest: f64) -> Value {
    let slice = json!({ "lowerBound": -1.0, "upperBound": -highest });
    json!({
        "id": id, "state": "initial", "offeredById": party, "numSecondsPerInterval": 900,
        "creationTime": "2026-01-15T17:20:00Z", "assignmentBeforeTime": "2026-01-15T17:29:00Z",
        "startAfterTime": "2026-01-15T17:30:00Z", "startBeforeTime": "2026-01-15T18:30:00Z",
        "assignment": "obligatory",
        "flexOfferProfileConstraints": [{ "energyConstraintList": [slice] }, { "energyConstraintList": [slice] }],
        "defaultSchedule": {
            "startTime": "2026-01-15T17:30:00Z",
            "scheduleSlices": [{ "energyAmount": -1.0 }, { "energyAmount": -1.0 }],
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_market_answers_every_offer_with_its_number_and_a_heartbeat_with_schedules() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &[], "2026-01-15T17:20:05Z").await;
    let trade = async |offer: Value| -> (i64, String) {
        let (status, answer) = running.post("fmar/flexOffer/v0", json!({ "flexOffer": [offer] })).await;
        assert_eq!(status, 200, "{answer}");
        let reply = &answer["flexOffer"][0];
        (reply["id"].as_i64().unwrap(), reply["code"].as_str().unwrap_or("").to_owned())
    };
    let (id, code) = trade(market_offer(-1, 1, 1.0)).await;
    assert!(id >= 0, "{code}");
    // Positive is fed in there and taken here.
    let (_, found) = running.get(&format!("flexoffers/{id}")).await;
    assert_eq!(found["offer"]["slices"][0], json!({ "min": 1_000_000, "max": 1_000_000 }), "{found}");
    for (offer, number) in [
        (market_offer(-1, 1, 1.0), id),
        (market_offer(id, 1, 1.0), id),
        (market_offer(id + 1, 1, 1.0), -1),
        (market_offer(-1, 9, 1.0), -2),
        (market_offer(id, 1, 0.5), -4),
        (json!({ "id": -1 }), -4),
    ] {
        assert_eq!(trade(offer.clone()).await.0, number, "{offer}");
    }
    let mut taken_back = market_offer(id, 1, 1.0);
    taken_back["flexOfferProfileConstraints"] = json!([]);
    assert_eq!(trade(taken_back).await.0, id);
    assert_eq!(running.get(&format!("flexoffers/{id}")).await.1["state"], json!("withdrawn"));
    // As the protocol's public clients write it: a slash at the end, and fields that we do not know.
    let message = json!({
        "heartbeat": { "foaTime": "2026-01-15T17:20:05Z", "offeredById": 1, "foaVersion": "1.4" },
        "sender": "foa-1",
    });
    let (status, answer) = running.post("fmar/flexOffer/v0/", message).await;
    assert_eq!((status, &answer["unread"]), (200, &json!(["sender", "heartbeat.foaVersion"])), "{answer}");
    assert_eq!(running.post("fmar/flexOffer/v0/", json!({ "flexoffer": [] })).await.0, 422);
    // Handing the same in again does not bring it back.
    for again in [-1, id] {
        assert_eq!(trade(market_offer(again, 1, 1.0)).await, (-3, "over".to_owned()));
    }
    running.stop().await;

    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &up_to_the_order(), "2026-01-15T17:30:05Z").await;
    let beat = json!({ "foaTime": "2026-01-15T17:30:05Z", "offeredById": 1 });
    let (_, answer) = running.post("fmar/flexOffer/v0", json!({ "heartbeat": beat })).await;
    let schedule = &answer["heartbeat"]["schedules"][0];
    assert_eq!(
        (&schedule["offerId"], &schedule["activation"]),
        (&json!("fo-7"), &json!(ACTIVATION)),
        "{answer}"
    );
    let amounts: f64 = schedule["flexOfferSchedule"]["scheduleSlices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slice| slice["energyAmount"].as_f64().unwrap())
        .sum();
    assert!((amounts + 2.0).abs() < 1e-9, "2 kWh are taken: {answer}");
    let mut beat = beat;
    beat["acknowledged"] = json!([{ "activation": ACTIVATION, "accepted": true }]);
    let (_, answer) = running.post("fmar/flexOffer/v0", json!({ "heartbeat": beat })).await;
    assert_eq!(answer["heartbeat"]["schedules"], json!([]), "{answer}");
    running.stop().await;

    // Taking back what was bought.
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &up_to_the_order(), "2026-01-15T17:30:05Z").await;
    assert_eq!(running.ask("DELETE", "flexoffers/fo-7", "").await.1["code"], json!("not-open"));
    running.stop().await;
}
