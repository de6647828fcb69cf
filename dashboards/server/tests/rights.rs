//! Role by endpoint by ownership, over real HTTP. The table here is written by hand, from the matrix of rights in
//! `docs/access.md`; an endpoint that is not in it fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers outside the test functions may fail a test too

mod rights_asked;

use access::{Directory, Role, Scope, verify_audit};
use actors::picture::{NetworkPicture, Picture};
use dashboards_server::{
    Access, Accounts, BidFound, BillKey, ENDPOINTS, Limits, MarketDoor, OfferAnswer, OfferFound, OfferState,
    RunningServer, Served, serve_with,
};
use futures_util::future::BoxFuture;
use grid::telemetry::Element;
use grid::{BranchId, Clock, EnergyMwh, Money, ProsumerId, Slot, Timestamp, UsagePointId};
use market::delegated::monthly_bill;
use market::transfer_price::TransferPart;
use market::{
    BidId, BidInterval, CongestionPoint, DelegatedContract, DomsBid, FlexOffer, FlexOfferId, Month,
    MonthlyBill, RecordNumber,
};
use register::Register;
use rights_asked::{MATRIX, asked, body, element, offer, rejected};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Three prosumers with bills.
const BILLED: [u32; 3] = [2, 3, 4];

/// What is not there for anybody.
const NOTHING_THERE: [&str; 7] = [
    "getBenchmark",
    "getForecasts",
    "getNode",
    "getEdge",
    "submitFlexOfferToManager",
    "beginSignIn",
    "finishSignIn",
];

struct Market;

impl MarketDoor for Market {
    fn submit(&self, _: FlexOffer) -> BoxFuture<'static, OfferAnswer> {
        Box::pin(std::future::ready(OfferAnswer::Accepted))
    }

    fn change(&self, _: FlexOffer) -> BoxFuture<'static, OfferAnswer> {
        Box::pin(std::future::ready(OfferAnswer::Accepted))
    }

    fn withdraw(&self, _: FlexOfferId) -> BoxFuture<'static, OfferAnswer> {
        Box::pin(std::future::ready(OfferAnswer::Accepted))
    }

    /// `offer-3` and `3` are prosumer 3's, and so on.
    fn find(&self, id: FlexOfferId) -> BoxFuture<'static, Option<OfferFound>> {
        let owner = id
            .as_str()
            .strip_prefix("offer-")
            .unwrap_or(id.as_str())
            .parse()
            .ok()
            .filter(|owner| *owner < 10);
        let found = owner.map(|owner| OfferFound {
            offer: serde_json::from_value(offer(owner)).unwrap(),
            state: OfferState::Accepted,
            schedule: None,
            not_bought: None,
        });
        Box::pin(std::future::ready(found))
    }

    /// Device 3 and usage point 3 are prosumer 3's, and so on.
    fn owners(&self, element: Element) -> Vec<ProsumerId> {
        match element {
            Element::Device(device) => vec![ProsumerId(device.0)],
            Element::UsagePoint(point) => vec![ProsumerId(point.0)],
            _ => Vec::new(),
        }
    }

    fn transfer_costs(&self, point: UsagePointId, _: Slot, count: u16) -> Option<Vec<Vec<TransferPart>>> {
        let part = |branch, price| TransferPart { branch: BranchId(branch), per_kwh: Money(price) };
        (point.0 < 10).then(|| vec![vec![part(1, 50_000), part(9, 5_000)]; usize::from(count)])
    }

    fn bids(&self) -> Vec<DomsBid> {
        vec![bid()]
    }

    /// Half of it was bought.
    fn bid(&self, _: &BidId) -> Option<BidFound> {
        Some(BidFound {
            bid: bid(),
            open: true,
            bought: Some((Slot(1_964_998), vec![EnergyMwh(-1_000_000)])),
        })
    }

    /// Two months each.
    fn bills(&self, after: Option<BillKey>, owners: Option<&[ProsumerId]>, most: usize) -> Vec<MonthlyBill> {
        let keys = BILLED.iter().flat_map(|&prosumer| [1, 2].map(|month| key(prosumer, month)));
        let keys = keys.filter(|key| {
            owners.is_none_or(|owners| owners.contains(&key.0)) && after.is_none_or(|after| after < *key)
        });
        keys.take(most).map(bill).collect()
    }

    fn bill(&self, key: BillKey) -> Option<MonthlyBill> {
        (BILLED.contains(&key.0.0) && key.1 <= Month::new(2026, 2).unwrap()).then(|| bill(key))
    }
}

fn key(prosumer: u32, month: u8) -> BillKey {
    (ProsumerId(prosumer), Month::new(2026, month).unwrap())
}

fn bill((prosumer, month): BillKey) -> MonthlyBill {
    let contract = DelegatedContract { fixed_reward: Money(3_000_000), ..DelegatedContract::default() };
    monthly_bill(prosumer, month, &contract, RecordNumber(17), &[]).unwrap()
}

fn bid() -> DomsBid {
    let interval = BidInterval { schedule_change: EnergyMwh(-2_000_000), price: Money(600_000) };
    DomsBid {
        id: BidId::new("need-1").unwrap(),
        congestion_point: CongestionPoint { branch: BranchId(1), phase: None },
        start: Slot(1_964_998),
        intervals: vec![interval],
    }
}

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_000_000)
    }
}

struct Running {
    server: RunningServer,
    tokens: BTreeMap<Role, String>,
    directory: PathBuf,
    audit: PathBuf,
    _folder: tempfile::TempDir,
    _picture: watch::Sender<Arc<Picture>>,
}

const PASSWORD: &str = "a long enough secret";

async fn start() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let (path, audit) = (folder.path().join("access.json"), folder.path().join("audit.jsonl"));
    let mut directory = Directory::default();
    let mut tokens = BTreeMap::new();
    let own = || Scope::Prosumers(vec![ProsumerId(3)]);
    for role in Role::ALL {
        let name = format!("{role}-program");
        let token = directory.add_token(&name, vec![role], own(), 1, Fixed.now()).unwrap();
        tokens.insert(role, token.secret);
    }
    directory.add_account("ada", PASSWORD, vec![Role::Operator], Scope::Nothing).unwrap();
    directory.write(&path).unwrap();
    let accounts = Accounts::open(&path, &audit, Arc::new(Fixed)).unwrap();
    let mut picture = Picture::default();
    picture.health.estimator.at = Some(Fixed.now());
    (picture.seq, picture.clock.now) = (1, Fixed.now());
    let (sender, picture) = watch::channel(Arc::new(picture));
    let access = Access::Accounts(Arc::new(accounts));
    let served = Served {
        network: Arc::new(NetworkPicture::default()),
        picture,
        market: Arc::new(Market),
        operations: Default::default(),
        topology: Default::default(),
        pseudonyms: Default::default(),
        field: None,
        register: Some(Arc::new(Mutex::new(Register::open(folder.path()).unwrap()))),
        access,
    };
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = serve_with(address, served, Limits::default(), |_| None).await.unwrap();
    Running { server, tokens, directory: path, audit, _folder: folder, _picture: sender }
}

impl Running {
    /// Status code, and head and body as far as they came.
    async fn ask(&self, method: &str, path: &str, proof: &str, body: Option<String>) -> (u16, String) {
        let mut socket = TcpStream::connect(self.server.address()).await.unwrap();
        let body = body.unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{proof}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let mut chunk = [0; 4096];
        // The stream does not end: its first bytes are enough.
        while let Ok(count @ 1..) = socket.read(&mut chunk).await {
            answer.extend_from_slice(&chunk[..count]);
            if answer.windows(17).any(|part| part == b"text/event-stream") {
                break;
            }
        }
        let answer = String::from_utf8(answer).unwrap();
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }

    fn bearer(&self, role: Option<Role>) -> String {
        role.map_or_else(String::new, |role| format!("authorization: Bearer {}\r\n", self.tokens[&role]))
    }
}

fn declared(operation: &str) -> Vec<char> {
    let row = MATRIX.lines().find(|line| line.split_whitespace().next() == Some(operation));
    let row = row.unwrap_or_else(|| panic!("{operation} is not in the matrix of rights"));
    row.split_whitespace().skip(1).map(|cell| cell.chars().next().unwrap()).collect()
}

#[tokio::test]
async fn every_role_may_at_every_endpoint_what_the_matrix_says_and_nothing_else() {
    let running = start().await;
    let mut cells = 0;
    for endpoint in ENDPOINTS {
        let declared = declared(endpoint.operation);
        let roles = [None].into_iter().chain(Role::ALL.map(Some));
        for (role, cell) in roles.zip(declared) {
            let proof = running.bearer(role);
            for owner in [3, 4] {
                let path = endpoint
                    .path
                    .replace("{id}", &format!("offer-{owner}"))
                    .replace("{number}", "1")
                    .replace("{element}", &element(endpoint.operation, owner));
                let path = path.replace("{kind}", "telemetry");
                let path = path.replace("{prosumer}", &owner.to_string()).replace("{month}", "2026-01");
                let path = asked(endpoint.operation, path, owner);
                let path = path.replace("{load_type}", "ev").replace("{period}", "1970-01-01");
                let body = body(endpoint.operation, owner);
                let (status, answer) = running.ask(endpoint.method, &path, &proof, body).await;
                let allowed = cell == '+' || (cell == 'o' && owner == 3);
                // Another's offer is as if it were not there.
                let hidden = cell == 'o' && owner == 4 && endpoint.path == "/api/v1/flexoffers/{id}";
                let expected = match (role, allowed) {
                    // There is nothing in quarantine, and nobody's name was given.
                    (_, true) if endpoint.operation.contains("SetAside") => status == 404,
                    // None is kept here.
                    (_, true) if endpoint.path.starts_with("/api/v1/history") => status == 404,
                    // No measurements are taken here.
                    (_, true) if endpoint.operation == "sendMeasurements" => status == 404,
                    // Nobody has contributed, nothing is expected, there is no network, and no OpenID provider.
                    (_, true) if NOTHING_THERE.contains(&endpoint.operation) => status == 404,
                    (_, true) => {
                        status < 300 || (["logIn", "setUp"].contains(&endpoint.operation) && status == 400)
                    }
                    (None, false) => status == 401,
                    (Some(_), false) if hidden => status == 404,
                    (Some(_), false) => status == 403,
                };
                assert!(expected, "{} as {role:?} with {owner}'s: {cell}, {answer}", endpoint.operation);
                cells += 1;
            }
        }
    }
    assert_eq!(cells, ENDPOINTS.len() * 9 * 2);
    running.server.stop().await;
}

#[tokio::test]
async fn who_may_see_only_its_own_bills_gets_those_and_every_look_is_written_down() {
    let running = start().await;
    let prosumer = running.bearer(Some(Role::Prosumer));
    let auditor = running.bearer(Some(Role::Auditor));
    let list = async |proof: &str, query: &str| -> (Vec<(u64, String)>, serde_json::Value) {
        let (status, answer) = running.ask("GET", &format!("/api/v1/bills{query}"), proof, None).await;
        assert_eq!(status, 200, "{answer}");
        let body: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        let of = |bill: &serde_json::Value| {
            assert_eq!((&bill["total"], &bill["lines"][0].get("cites")), (&3_000_000.into(), &None));
            (bill["prosumer"].as_u64().unwrap(), bill["month"].as_str().unwrap().to_owned())
        };
        (body["bills"].as_array().unwrap().iter().map(of).collect(), body["next"].clone())
    };
    let months = |prosumer: u64| ["2026-01", "2026-02"].map(|month| (prosumer, month.to_owned()));
    assert_eq!(list(&prosumer, "").await, (months(3).to_vec(), serde_json::Value::Null));
    assert_eq!(list(&auditor, "").await.0, [2, 3, 4].map(months).concat());
    // Page by page nothing is lost and nothing comes twice.
    let (mut seen, mut query) = (Vec::new(), "?limit=4".to_owned());
    loop {
        let (bills, next) = list(&auditor, &query).await;
        seen.push(bills);
        let Some(next) = next.as_str() else { break };
        query = format!("?limit=4&after={next}");
    }
    assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [4, 2]);
    assert_eq!(seen.concat(), [2, 3, 4].map(months).concat());
    assert_eq!(list(&auditor, "?limit=6").await.1, serde_json::Value::Null);

    let (_, answer) = running.ask("GET", "/api/v1/bills/3/2026-01", &prosumer, None).await;
    let body: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(
        body["lines"][0],
        serde_json::json!({ "reward": "fixed", "amount": 3_000_000, "cites": [17] })
    );
    for (proof, path, status, code) in [
        (&prosumer, "4/2026-01", 403, "not_own"),
        // Whether somebody else has a bill is not told either.
        (&prosumer, "4/2026-09", 403, "not_own"),
        (&prosumer, "3/2026-09", 404, "not_found"),
        (&auditor, "9/2026-01", 404, "not_found"),
        (&auditor, "3/2026-13", 400, "id_malformed"),
        (&auditor, "home/2026-01", 400, "id_malformed"),
        (&auditor, "99999999999/2026-01", 400, "id_malformed"),
    ] {
        let (found, answer) = running.ask("GET", &format!("/api/v1/bills/{path}"), proof, None).await;
        let told = found == status
            && answer.contains(&format!("\"code\":\"{code}\""))
            && answer.contains("problem+json");
        assert!(told, "{path}: {answer}");
    }
    let (status, answer) = running.ask("GET", "/api/v1/bills?limit=all", &auditor, None).await;
    assert!(status == 422 && answer.contains("query_malformed"), "{answer}");
    running.server.stop().await;
    let text = std::fs::read_to_string(&running.audit).unwrap();
    for (object, outcome) in [("list", "allowed"), ("3/2026-01", "allowed"), ("4/2026-01", "not_own")] {
        let line = format!("\"what\":\"read bill\",\"object\":\"{object}\",\"outcome\":\"{outcome}\"");
        assert!(text.contains(&line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn a_person_logs_in_with_a_password_and_a_session_ends_by_logging_out() {
    let running = start().await;
    let log_in =
        |password: &str| Some(serde_json::json!({ "name": "ada", "password": password }).to_string());
    let (status, answer) = running.ask("GET", "/", "", None).await;
    assert_eq!(status, 303, "{answer}");
    assert!(running.ask("GET", "/login", "", None).await.1.contains("<form"));
    let (status, answer) = running.ask("POST", "/api/v1/session", "", log_in("wrong password")).await;
    assert_eq!((status, answer.contains("wrong_password")), (401, true), "{answer}");
    let (status, answer) = running.ask("POST", "/api/v1/session", "", log_in(PASSWORD)).await;
    assert_eq!(status, 200, "{answer}");
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let proof = format!("cookie: theme=dark; {}\r\n", cookie.split(';').next().unwrap());
    let (status, answer) = running.ask("GET", "/api/v1/snapshot", &proof, None).await;
    assert_eq!(status, 200, "{answer}");
    assert!(running.ask("GET", "/api/v1/session", &proof, None).await.1.contains("\"operator\""));
    // Rights follow the directory at once.
    let mut directory = Directory::read(&running.directory).unwrap().unwrap();
    directory.remove("operator-program").unwrap();
    directory.write(&running.directory).unwrap();
    let gone = running.bearer(Some(Role::Operator));
    assert_eq!(running.ask("GET", "/api/v1/snapshot", &gone, None).await.0, 401);
    // Another password, or somebody else of that name: the session was not theirs.
    directory.remove("ada").unwrap();
    directory.add_account("ada", "another long secret", vec![Role::Operator], Scope::Nothing).unwrap();
    directory.write(&running.directory).unwrap();
    assert_eq!(running.ask("GET", "/api/v1/snapshot", &proof, None).await.0, 401);
    let again = serde_json::json!({ "name": "ada", "password": "another long secret" }).to_string();
    let (_, answer) = running.ask("POST", "/api/v1/session", "", Some(again)).await;
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let proof = format!("cookie: {}\r\n", cookie.split(';').next().unwrap());
    assert_eq!(running.ask("GET", "/api/v1/snapshot", &proof, None).await.0, 200);
    assert_eq!(running.ask("DELETE", "/api/v1/session", &proof, None).await.0, 204);
    assert_eq!(running.ask("GET", "/api/v1/snapshot", &proof, None).await.0, 401);
    running.server.stop().await;
}

#[tokio::test]
async fn guessing_passwords_has_an_end_and_everything_is_written_down() {
    let running = start().await;
    let wrong = serde_json::json!({ "name": "ada", "password": "not this one either" }).to_string();
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(running.ask("POST", "/api/v1/session", "", Some(wrong.clone())).await.0);
    }
    assert_eq!(statuses, [&[401; 10][..], &[429; 2]].concat());
    let prosumer = running.bearer(Some(Role::Prosumer));
    running.ask("POST", "/api/v1/flexoffers", &prosumer, Some(offer(4).to_string())).await;
    running.ask("POST", "/api/v1/flexoffers", &prosumer, Some(offer(3).to_string())).await;
    running.ask("GET", "/api/v1/snapshot", &prosumer, None).await;
    running.server.stop().await;
    let report = verify_audit(&running.audit, None).unwrap();
    assert_eq!(report.broken, None);
    let text = std::fs::read_to_string(&running.audit).unwrap();
    assert_eq!(text.matches("wrong_password").count(), 10);
    assert_eq!(text.matches("create flex-offer").count(), 2, "{text}");
    assert!(!text.contains("not this one either"), "a password was written down");
    for what in [
        "\"object\":\"offer-4\",\"outcome\":\"not_own\"",
        "\"object\":\"offer-3\",\"outcome\":\"allowed\"",
        "read picture",
    ] {
        assert!(text.contains(what), "{what} is not in {text}");
    }
}

#[tokio::test]
async fn an_offer_in_a_dialect_is_asked_for_the_same_right_before_devices_are_told() {
    let running = start().await;
    let prosumer = running.bearer(Some(Role::Prosumer));
    let message = |owner: u32| {
        serde_json::json!({
            "id": "their-1", "state": "offered", "offeredById": owner, "creationTime": "2026-01-15T16:00:00Z",
            "startAfterTime": "2026-01-15T17:30:00Z", "startBeforeTime": "2026-01-15T18:00:00Z",
            "flexOfferProfileConstraints": [{ "energyConstraintList": [{ "lower": 0.5, "upper": 1.5 }] }],
        })
        .to_string()
    };
    let (status, answer) = running.ask("POST", "/api/v1/flexoffers", &prosumer, Some(message(4))).await;
    assert!(status == 403 && answer.contains("not_own") && !answer.contains("device"), "{answer}");
    let (status, answer) = running.ask("POST", "/api/v1/flexoffers", &prosumer, Some(message(3))).await;
    assert!(status == 422 && answer.contains("unknown-device"), "{answer}");
    let viewer = running.bearer(Some(Role::Viewer));
    assert_eq!(running.ask("POST", "/api/v1/flexoffers", &viewer, Some(message(3))).await.0, 403);
    running.server.stop().await;
}

#[tokio::test]
async fn whether_somebody_elses_numbered_offer_is_there_is_not_told() {
    let running = start().await;
    let prosumer = running.bearer(Some(Role::Prosumer));
    let mut told = Vec::new();
    for id in [4, 44] {
        for profile in [
            serde_json::json!([]),
            serde_json::json!([{ "energyConstraintList": [{ "lower": 0, "upper": 1 }] }]),
        ] {
            let offer =
                serde_json::json!({ "id": id, "offeredById": 3, "flexOfferProfileConstraints": profile });
            let message = serde_json::json!({ "flexOffer": [offer] }).to_string();
            let (status, answer) =
                running.ask("POST", "/api/v1/fmar/flexOffer/v0", &prosumer, Some(message)).await;
            assert_eq!(status, 200, "{answer}");
            told.push(answer.split("\r\n\r\n").nth(1).unwrap().replace(&id.to_string(), "N"));
        }
    }
    assert!(told[0].contains("\"id\":-1"), "{}", told[0]);
    assert!(told.iter().all(|answer| *answer == told[0]), "{told:?}");
    running.server.stop().await;
}

#[tokio::test]
async fn what_the_dso_asks_for_has_the_sign_of_table_1() {
    let running = start().await;
    let aggregator = running.bearer(Some(Role::Aggregator));
    let (_, answer) = running.ask("GET", "/api/v1/bids/need-1", &aggregator, None).await;
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    assert_eq!(
        body,
        r#"{"StartTime":"2026-01-15T17:30:00Z","IntervalLength":900,"ScheduleChange":[2.0],"EnergyPrice":[0.6]}"#
    );
    let (_, answer) = running.ask("GET", "/api/v1/bids/need-1/feedback", &aggregator, None).await;
    assert!(
        answer.contains(r#""Accepted":true"#) && answer.contains(r#""ScheduleChange":[1.0]"#),
        "{answer}"
    );
    let (_, answer) = running.ask("GET", "/api/v1/bids/need-1/flexoffer", &aggregator, None).await;
    let told: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let offer = &told["flexOffer"][0];
    let energy = &offer["flexOfferProfileConstraints"][0]["energyConstraintList"][0];
    assert_eq!((energy["lower"].as_f64(), energy["upper"].as_f64()), (Some(-2.0), Some(0.0)), "{told}");
    assert_eq!(
        (&offer["offeredById"], &offer["locationID"], &offer["state"]),
        (&"dso".into(), &"branch.1".into(), &"assigned".into()),
        "{told}"
    );
    let bought = &offer["flexOfferSchedule"]["scheduleSlices"][0]["energyAmount"];
    assert_eq!(bought.as_f64(), Some(-1.0), "half of it was bought: {told}");
    let (_, answer) = running.ask("GET", "/api/v1/bids", &aggregator, None).await;
    assert!(answer.contains(r#""congestion_point":{"branch":1,"phase":null}"#), "{answer}");
    running.server.stop().await;
}

#[tokio::test]
async fn the_use_of_the_grid_is_priced_element_by_element() {
    let running = start().await;
    let aggregator = running.bearer(Some(Role::Aggregator));
    let ask = async |query: &str| {
        running.ask("GET", &format!("/api/v1/transfer-costs?{query}"), &aggregator, None).await
    };
    let (_, answer) = ask("usage_point=3&from=2026-01-15T17:20:00Z&slots=2&energy_kwh=4").await;
    let told: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let [first, second] = told["slots"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!(
        (&first["start"], &second["start"]),
        (&"2026-01-15T17:15:00Z".into(), &"2026-01-15T17:30:00Z".into())
    );
    assert_eq!((first["eur_per_kwh"].as_f64(), first["cost_eur"].as_f64()), (Some(0.055), Some(0.22)));
    assert_eq!(first["parts"][1]["branch"], 9, "{told}");
    assert_eq!(ask("usage_point=44").await.0, 404);
    for query in [
        "",
        "usage_point=x",
        "usage_point=3&slots=0",
        "usage_point=3&energy_kwh=-1",
        "usage_point=3&from=soon",
        "a=1",
    ] {
        let (status, answer) = ask(query).await;
        assert!(status == 422 && answer.contains("query_malformed"), "{query}: {answer}");
    }
    running.server.stop().await;
}

#[tokio::test]
async fn what_a_party_answers_to_a_bid_is_seen_by_the_dso() {
    let running = start().await;
    let (aggregator, operator) =
        (running.bearer(Some(Role::Aggregator)), running.bearer(Some(Role::Operator)));
    let path = "/api/v1/bids/need-1/feedback";
    let report = |body: String| running.ask("POST", path, &aggregator, Some(body));
    let accepted = |id: &str, start: &str, change: &[f64]| {
        serde_json::json!({ "OfferId": id, "Accepted": true, "StartTime": start, "ScheduleChange": change })
            .to_string()
    };
    let start = "2026-01-15T17:30:00Z";
    for (body, status, code) in [
        ("{".to_owned(), 400, "not_json"),
        ("{}".to_owned(), 422, "json"),
        (r#"{"OfferId":"need-1","Accepted":true}"#.to_owned(), 422, "json"),
        (rejected("need-2"), 422, "other-bid"),
        (accepted("need-1", "2026-01-15T17:45:00Z", &[1.0]), 422, "outside-bid"),
        (accepted("need-1", start, &[1.0, 1.0]), 422, "outside-bid"),
        (accepted("need-1", start, &[]), 422, "outside-bid"),
        (accepted("need-1", start, &[1e300]), 422, "number"),
        (accepted("need-1", "tomorrow", &[1.0]), 422, "start-time"),
    ] {
        let (found, answer) = report(body.clone()).await;
        assert!(found == status && answer.contains(&format!("\"code\":\"{code}\"")), "{body}: {answer}");
    }
    let (status, answer) = report(accepted("need-1", start, &[1.25])).await;
    assert_eq!(status, 200, "{answer}");
    let (_, answer) = running.ask("GET", &format!("{path}/reported"), &operator, None).await;
    let body: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let feedback: serde_json::Value = serde_json::from_str(&accepted("need-1", start, &[1.25])).unwrap();
    let seen = serde_json::json!({
        "reported": [{ "by": "aggregator-program", "feedback": feedback }], "forgotten": 0,
    });
    assert_eq!(body, seen);
    // The newest answer counts, and what was bought is told as before.
    assert_eq!(report(rejected("need-1")).await.0, 200);
    let (_, answer) = running.ask("GET", &format!("{path}/reported"), &operator, None).await;
    assert!(answer.contains(r#""Accepted":false"#) && !answer.contains(r#""Accepted":true"#), "{answer}");
    assert!(running.ask("GET", path, &operator, None).await.1.contains(r#""Accepted":true"#));
    running.server.stop().await;
    let text = std::fs::read_to_string(&running.audit).unwrap();
    assert!(text.contains("create bid"), "{text}");
}

#[tokio::test]
async fn an_open_stream_ends_with_the_right_to_it() {
    let running = start().await;
    let mut socket = TcpStream::connect(running.server.address()).await.unwrap();
    let proof = running.bearer(Some(Role::Operator));
    let request =
        format!("GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{proof}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut chunk = [0; 65536];
    assert!(socket.read(&mut chunk).await.unwrap() > 0);
    let mut directory = Directory::read(&running.directory).unwrap().unwrap();
    directory.remove("operator-program").unwrap();
    directory.write(&running.directory).unwrap();
    let to_the_end = async { while socket.read(&mut chunk).await.is_ok_and(|count| count > 0) {} };
    tokio::time::timeout(std::time::Duration::from_secs(10), to_the_end).await.expect("the stream goes on");
    running.server.stop().await;
}
