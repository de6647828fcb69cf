//! `gridflex bench ingest`: telemetry over MQTT, quality 1, acknowledged when it is in the history on the disk. With `--broker`
//! the same clients send the same packets to another broker, so that both can be laid side by side in one run.

use super::meter;
use crate::Failure;
use actors::grid_side::region::learnt;
use actors::journal::{Durability, Journal};
use actors::picture::DeviceKind;
use actors::runtime::{Compute, Environment, ScaledClock};
use actors::{Device, Parts, System};
use anyhow::Context;
use clap::Args;
use connectors::house::{self, Message};
use connectors::mqtt::{Door, DoorConfig, door::Limits};
use grid::telemetry::Element;
use grid::{Clock, Measurement, Phase, PointId, Quality, Quantity, Timestamp};
use history::{History, Options};
use market::{DeviceReport, DeviceState};
use serde::Serialize;
use sim::Scenario;
use sim::run::{Setup, setup::AREA};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Arguments of `gridflex bench ingest`.
#[derive(Debug, Args)]
pub struct IngestArguments {
    /// Where to write; it decides which disk is measured. Without it the directory for temporary files
    #[arg(long, value_name = "DIR")]
    on: Option<PathBuf>,
    /// Send to this broker instead of gridflex
    #[arg(long, value_name = "ADDRESS:PORT")]
    broker: Option<SocketAddr>,
    /// Clients at a time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    clients: u16,
    /// Messages of each client under way, unacknowledged
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    window: u16,
    /// Messages in all
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1_000..=100_000_000))]
    messages: u32,
    /// Values of each message
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    values: u16,
    /// Print one JSON document to stdout
    #[arg(long)]
    pub json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    into: String,
    clients: u16,
    window: u16,
    messages: usize,
    values_per_message: u16,
    messages_per_s: f64,
    values_per_s: f64,
    /// From sending to PUBACK.
    ack_ms_p50: f64,
    ack_ms_p99: f64,
    /// Values in the history afterwards; none of another broker.
    kept: Option<u64>,
    /// Largest memory of this process, clients included, MB.
    peak_mb: Option<f64>,
}

/// Measures.
pub fn measure(arguments: &IngestArguments) -> Result<Figures, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Run(error.into()))?;
    let measured = runtime.block_on(async {
        match arguments.broker {
            Some(address) => {
                let setup = Setup::new(Scenario::first_light()?)?;
                send_all(arguments, address, &setup, format!("broker {address}")).await
            }
            None => into_gridflex(arguments).await,
        }
    });
    measured.map_err(|error| Failure::Run(error.context("bench ingest")))
}

/// A system with door, journal and history, in a directory that goes with it: the feeder of `gridflex demo` without its plant.
pub struct Bench {
    /// What stands still.
    pub setup: Setup,
    /// The system.
    pub system: System,
    /// Its clock.
    pub clock: ScaledClock,
    door: Door,
    _place: tempfile::TempDir,
}

impl Bench {
    /// Starts it in a new directory, in `on` where that is given.
    pub async fn start(on: Option<&Path>) -> anyhow::Result<Self> {
        let mut place = tempfile::Builder::new();
        place.prefix("gridflex-bench-");
        let place = match on {
            Some(directory) => place.tempdir_in(directory),
            None => place.tempdir(),
        };
        let place = place.context("a directory to measure in")?;
        let setup = Setup::new(Scenario::first_light()?)?;
        let limits = Limits { packets_per_second: u32::MAX, ..Limits::default() };
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let door = Door::open(DoorConfig { listen, limits, ..DoorConfig::default() })?;
        let clock = ScaledClock::start(setup.scenario.start, 1);
        let opened = Journal::open(&place.path().join("journal"), Durability::Synced)?;
        let parts = Parts {
            area: setup.area.clone(),
            environment: Environment::new(clock, Compute::Blocking),
            link: door.link(connectors::Area::new(AREA)?, Arc::new(clock)),
            sources: Vec::new(),
            learnt: learnt(&setup.area, &setup.archive),
            journal: opened.journal,
            ledger: opened.standing.ledger,
            records: opened.standing.records,
            owed: Vec::new(),
            history: Some(History::open(&place.path().join("history"), Options::default())?),
            weather: None,
            zone: "UTC".to_owned(),
            publish_period: Duration::from_secs(1),
        };
        let system = System::start(parts).await?;
        Ok(Self { setup, system, clock, door, _place: place })
    }

    /// What its devices would report, each with a vehicle that could wait.
    pub fn reports(&self) -> Vec<DeviceReport> {
        let at = self.clock.now();
        let departure = at.plus(Duration::from_secs(10 * 3600));
        let chargers = self.setup.area.devices.values().filter(|device| device.kind == DeviceKind::Charger);
        let report = |device: &Device| {
            let Device { id: device, prosumer, usage_point, p_max_w, .. } = *device;
            let state = DeviceState::Charger { session: 1, energy_needed_wh: 9_000.0, departure, p_max_w };
            DeviceReport { device, prosumer, usage_point, at, state }
        };
        chargers.map(report).collect()
    }

    /// Stops it.
    pub async fn stop(self) {
        self.system.stop().await;
        self.door.close().await;
    }
}

/// Clients that send as fast as they can for a while; each tells in the end how many messages it sent.
pub async fn flood(
    bench: &Bench,
    clients: u16,
    values: u16,
    duration: Duration,
) -> anyhow::Result<Vec<JoinHandle<std::io::Result<usize>>>> {
    let until_ms = meter::wall_ms() + duration.as_secs_f64() * 1e3;
    let mut running = Vec::new();
    for number in 0..clients {
        let client =
            Client::connect(bench.door.address(), number, packets(&bench.setup, number, values)?).await?;
        running.push(tokio::spawn(async move { Ok(client.send(usize::MAX, until_ms, 64).await?.len()) }));
    }
    Ok(running)
}

async fn into_gridflex(arguments: &IngestArguments) -> anyhow::Result<Figures> {
    let bench = Bench::start(arguments.on.as_deref()).await?;
    let into = "gridflex, into the history".to_owned();
    let mut figures = send_all(arguments, bench.door.address(), &bench.setup, into).await?;
    figures.kept = bench.system.operations().historian.as_ref().map(|historian| historian.kept.get());
    bench.stop().await;
    Ok(figures)
}

async fn send_all(
    arguments: &IngestArguments,
    to: SocketAddr,
    setup: &Setup,
    into: String,
) -> anyhow::Result<Figures> {
    let per_client = (arguments.messages / u32::from(arguments.clients)).max(1) as usize;
    let mut clients = Vec::new();
    for number in 0..arguments.clients {
        let packets = packets(setup, number, arguments.values)?;
        clients.push(Client::connect(to, number, packets).await?);
    }
    let began = meter::wall_ms();
    let running: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(client.send(per_client, f64::INFINITY, usize::from(arguments.window))))
        .collect();
    let mut waits = Vec::new();
    for client in running {
        waits.extend(client.await??);
    }
    let seconds = (meter::wall_ms() - began) / 1e3;
    let messages = waits.len();
    Ok(Figures {
        into,
        clients: arguments.clients,
        window: arguments.window,
        messages,
        values_per_message: arguments.values,
        messages_per_s: messages as f64 / seconds,
        values_per_s: messages as f64 * f64::from(arguments.values) / seconds,
        ack_ms_p50: meter::quantile(&mut waits, 0.5),
        ack_ms_p99: meter::quantile(&mut waits, 0.99),
        kept: None,
        peak_mb: meter::memory_mb().map(|(_, peak)| peak),
    })
}

/// Some packets of a client, each with other points of the feeder, without their packet numbers.
fn packets(setup: &Setup, client: u16, values: u16) -> std::io::Result<Vec<Packet>> {
    let lines = setup.feeder.network().lines();
    let (now, mut packets) = (setup.scenario.start, Vec::new());
    for at in 0..50_usize {
        let value = |place: usize| {
            let line = &lines[(usize::from(client) * 97 + at * 13 + place / 3) % lines.len()];
            let phase = Phase::ALL[place % 3];
            let point = PointId {
                element: Element::Branch(line.id),
                quantity: Quantity::ActivePower,
                phase: Some(phase),
            };
            let measured_at = now.plus(Duration::from_secs(at as u64));
            let value = 100.0 + (place + at) as f64;
            Measurement {
                point,
                value,
                quality: Quality::Measured,
                measured_at,
                received_at: Timestamp::default(),
            }
        };
        let area = connectors::Area::new(AREA).map_err(std::io::Error::other)?;
        let message = Message::Telemetry((0..usize::from(values)).map(value).collect());
        let encoded =
            house::encode(&area, &message).map_err(|error| std::io::Error::other(error.to_string()))?;
        packets.extend(encoded.into_iter().map(|packet| Packet::publish(&packet.topic, &packet.payload)));
    }
    Ok(packets)
}

/// A PUBLISH of quality 1 and where its packet number stands.
struct Packet {
    bytes: Vec<u8>,
    number_at: usize,
}

impl Packet {
    fn publish(topic: &str, payload: &[u8]) -> Self {
        let mut bytes = vec![0x32];
        push_length(&mut bytes, 2 + topic.len() + 2 + payload.len());
        push_text(&mut bytes, topic);
        let number_at = bytes.len();
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(payload);
        Self { bytes, number_at }
    }
}

/// MQTT 3.1.1, section 2.2.3.
fn push_length(bytes: &mut Vec<u8>, mut length: usize) {
    loop {
        let low = (length % 128) as u8;
        length /= 128;
        bytes.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            return;
        }
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u16).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// A client that keeps a window of messages under way.
struct Client {
    stream: TcpStream,
    packets: Vec<Packet>,
}

impl Client {
    async fn connect(to: SocketAddr, number: u16, packets: Vec<Packet>) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let name = format!("bench-{number}");
        let mut hello = vec![0x10];
        push_length(&mut hello, 10 + 2 + name.len());
        push_text(&mut hello, "MQTT");
        hello.extend_from_slice(&[4, 2, 0, 60]);
        push_text(&mut hello, &name);
        stream.write_all(&hello).await?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        if answer[0] != 0x20 || answer[3] != 0 {
            return Err(std::io::Error::other(format!("not let in: {answer:?}")));
        }
        Ok(Self { stream, packets })
    }

    /// Sends so many messages, none after some time; how long each waited for its PUBACK, ms.
    async fn send(mut self, mut messages: usize, until_ms: f64, window: usize) -> std::io::Result<Vec<f64>> {
        let (mut sent, mut waits) = (Vec::<f64>::new(), Vec::new());
        let (mut out, mut input, mut filled) = (Vec::new(), vec![0; 4 * window], 0);
        while waits.len() < messages {
            if meter::wall_ms() > until_ms {
                messages = messages.min(sent.len());
            }
            out.clear();
            while sent.len() < messages && sent.len() - waits.len() < window {
                let packet = &self.packets[sent.len() % self.packets.len()];
                let start = out.len();
                out.extend_from_slice(&packet.bytes);
                // 1 to 65,535, again and again.
                let number = (sent.len() % 65_535) as u16 + 1;
                out[start + packet.number_at..start + packet.number_at + 2]
                    .copy_from_slice(&number.to_be_bytes());
                sent.push(meter::wall_ms());
            }
            self.stream.write_all(&out).await?;
            let read = self.stream.read(&mut input[filled..]).await?;
            if read == 0 {
                return Err(std::io::Error::other("the connection was closed"));
            }
            filled += read;
            let now = meter::wall_ms();
            let whole = filled / 4 * 4;
            for answer in input[..whole].chunks_exact(4) {
                let expected = (waits.len() % 65_535) as u16 + 1;
                if answer[0] != 0x40 || u16::from_be_bytes([answer[2], answer[3]]) != expected {
                    return Err(std::io::Error::other(format!("{answer:?} instead of PUBACK {expected}")));
                }
                waits.push(now - sent[waits.len()]);
            }
            input.copy_within(whole..filled, 0);
            filled -= whole;
        }
        Ok(waits)
    }
}

/// The figures for people.
pub fn table(figures: &Figures) -> String {
    let mut rows = vec![format!(
        "{}: {} messages of {} values, {} clients with {} under way each (wall time)",
        figures.into, figures.messages, figures.values_per_message, figures.clients, figures.window
    )];
    rows.push(format!("  {:>12.0} messages/s, {:.0} values/s", figures.messages_per_s, figures.values_per_s));
    rows.push(format!(
        "  acknowledged after {:.2} ms, 99 % {:.2} ms",
        figures.ack_ms_p50, figures.ack_ms_p99
    ));
    if let Some(kept) = figures.kept {
        rows.push(format!("  {kept} values in the history"));
    }
    if let Some(peak) = figures.peak_mb {
        rows.push(format!("  {peak:.0} MB at most, clients included"));
    }
    rows.join("\n")
}
