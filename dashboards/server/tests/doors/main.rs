//! What parties ask and deposit, over real HTTP: each test starts a server, talks to it as a client does, and reads the answers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)] // helpers outside the test functions may fail a test, or skip it

mod deposits;
mod fuzz;
mod measurements;
mod polling;
mod topology;
mod weather;

use access::{Directory, Role, Scope};
use actors::picture::{NetworkPicture, Picture};
use dashboards_server::{
    Access, Accounts, Limits, MarketDoor, OfferAnswer, OfferFound, Ordered, RunningServer, Served, serve_with,
};
use futures_util::future::BoxFuture;
use grid::telemetry::Element;
use grid::{Clock, DeviceId, EnergyMwh, ProsumerId, Quality, Slot, Timestamp};
use market::{Activation, ActivationId, ContractId, FlexOffer, FlexOfferId, Schedule};
use register::Register;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

struct NoMarket;

impl MarketDoor for NoMarket {
    fn submit(&self, _: FlexOffer) -> BoxFuture<'static, OfferAnswer> {
        Box::pin(std::future::ready(OfferAnswer::Accepted))
    }

    fn find(&self, _: FlexOfferId) -> BoxFuture<'static, Option<OfferFound>> {
        Box::pin(std::future::ready(None))
    }

    /// Device 31 is prosumer 3's, device 41 prosumer 4's, behind usage points of their numbers.
    fn owners(&self, element: Element) -> Vec<ProsumerId> {
        match element {
            Element::Device(DeviceId(31)) => vec![ProsumerId(3)],
            Element::Device(DeviceId(41)) => vec![ProsumerId(4)],
            Element::Device(device) if device.0 >= 1_000 => vec![ProsumerId(3)],
            Element::UsagePoint(point) if [3, 4].contains(&point.0) => vec![ProsumerId(point.0)],
            _ => Vec::new(),
        }
    }

    /// One that waits, of prosumer 3.
    fn orders(&self, prosumer: ProsumerId) -> Vec<Activation> {
        let order = Activation {
            id: ActivationId::new("act-1").unwrap(),
            device: DeviceId(31),
            offer: FlexOfferId::new("fo-31").unwrap(),
            contract: ContractId::new("c-1").unwrap(),
            schedule: Schedule { start: at("2026-02-02T12:00:00Z").slot(), energies: vec![EnergyMwh(0)] },
            replaces_from: at("2026-02-02T12:00:00Z").slot(),
        };
        if prosumer == ProsumerId(3) { vec![order] } else { Vec::new() }
    }

    /// Device 31 was ordered to take nothing in one slot.
    fn ordered(&self, device: DeviceId, first: Slot, end: Slot) -> BTreeMap<Slot, Ordered> {
        let slot = at("2026-02-02T11:15:00Z").slot();
        let metered = Some((EnergyMwh(19_000), Quality::Substituted));
        let order = Ordered { baseline: EnergyMwh(250_000), scheduled: EnergyMwh(0), metered };
        let asked = device == DeviceId(31) && first <= slot && slot < end;
        asked.then_some((slot, order)).into_iter().collect()
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[derive(Debug)]
struct Machine;

impl Clock for Machine {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_000_000)
    }
}

/// A server on a data directory.
struct Running {
    server: RunningServer,
    picture: watch::Sender<Arc<Picture>>,
}

/// What an answer says.
struct Answer {
    status: u16,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The body of a 200 or 201.
    fn ok(&self) -> Value {
        assert!(self.status < 300, "{} {}", self.status, self.text);
        self.json()
    }

    /// Whether it is this problem.
    fn is(&self, status: u16, code: &str) -> bool {
        self.status == status && self.json()["code"] == code
    }
}

/// Everything but the register, which lies in `folder`.
fn served(folder: &Path) -> (watch::Sender<Arc<Picture>>, Served) {
    let mut picture = Picture { seq: 1, ..Picture::default() };
    picture.clock.now = at("2026-02-02T12:00:00Z");
    let (sender, picture) = watch::channel(Arc::new(picture));
    let network = Arc::new(NetworkPicture { area: "demo".to_owned(), ..NetworkPicture::default() });
    let served = Served {
        network,
        picture,
        market: Arc::new(NoMarket),
        operations: Default::default(),
        topology: Default::default(),
        pseudonyms: Default::default(),
        field: None,
        register: Some(Arc::new(Mutex::new(Register::open(folder).unwrap()))),
        access: Access::Local,
    };
    (sender, served)
}

impl Running {
    async fn start_with(picture: watch::Sender<Arc<Picture>>, served: Served) -> Self {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let server = serve_with(address, served, Limits::default(), |_| None).await.unwrap();
        Self { server, picture }
    }

    /// On a data directory, for whoever reaches it.
    async fn start(folder: &Path) -> Self {
        let (picture, served) = served(folder);
        Self::start_with(picture, served).await
    }

    /// With accounts: `names` are programs with a token each, of these roles and prosumers.
    async fn start_for(folder: &Path, names: &[(&str, Role, &[u32])]) -> (Self, Vec<String>) {
        let (path, audit) = (folder.join("access.json"), folder.join("audit.jsonl"));
        let mut directory = Directory::default();
        let mut tokens = Vec::new();
        for (name, role, prosumers) in names {
            let scope = Scope::Prosumers(prosumers.iter().copied().map(ProsumerId).collect());
            let token = directory.add_token(name, vec![*role], scope, 1, Machine.now()).unwrap();
            tokens.push(token.secret);
        }
        directory.write(&path).unwrap();
        let (picture, mut served) = served(folder);
        served.access = Access::Accounts(Arc::new(Accounts::open(&path, &audit, Arc::new(Machine)).unwrap()));
        (Self::start_with(picture, served).await, tokens)
    }

    /// Moves the system's clock.
    fn it_is(&self, now: &str) {
        self.picture.send_modify(|picture| Arc::make_mut(picture).clock.now = at(now));
    }

    async fn send(&self, method: &str, path: &str, token: &str, body: &str) -> Answer {
        let mut socket = TcpStream::connect(self.server.address()).await.unwrap();
        let proof =
            if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
        let request = format!(
            "{method} /api/v1/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{proof}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).await.unwrap();
        let answer = String::from_utf8(bytes).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("transfer-encoding: chunked"), "{head}");
        Answer { status, text: text.to_owned() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "").await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, "", &body.to_string()).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, "", &body.to_string()).await
    }
}
