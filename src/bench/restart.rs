//! How long a restart takes, of a process: `gridflex serve` is started on a long journal, and is there when it has accepted an offer over
//! HTTP. Then it is killed, and started again.

use super::http::Client;
use super::meter;
use super::overload::unwanted;
use actors::Device;
use actors::journal::measure::{DEVICES, Trading, write};
use actors::journal::{Durability, Journal, begin};
use actors::picture::DeviceKind;
use actors::runtime::clock::machine_time;
use anyhow::{Context, ensure};
use grid::telemetry::Element;
use grid::{DeviceId, Measurement, PointId, ProsumerId, Quality, Quantity, Slot, UsagePointId};
use history::{History, Options, Value};
use market::FlexOfferId;
use serde::Serialize;
use site::check::HISTORY_DIRECTORY;
use std::fmt::Write as _;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What the site is called, in its file and in its journal.
const NAME: &str = "bench";
/// Slots of which the meters' energies are in the history: as far back as a forecast looks.
const SLOTS: i64 = 9 * 96;
/// An energy of a quarter-hour, Wh.
const ENERGY_WH: f64 = 120.0;
/// How long a start may take at all.
const PATIENCE_MS: f64 = 120_000.0;

/// What was measured, wall time.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Restarts {
    /// Records in the journal at the first start.
    records: u64,
    /// Starts that were timed.
    starts: usize,
    /// From starting the process to its first 201 for an offer over HTTP, half of the starts, ms.
    pub serving_ms_p50: f64,
    /// The same, 99 % (or the slowest of fewer), ms.
    pub serving_ms_p99: f64,
}

/// A site in a directory of its own, with the feeder of `gridflex demo` and a journal as if it had traded for years.
struct Site {
    file: PathBuf,
    log: PathBuf,
    page: SocketAddr,
    usage_points: Vec<UsagePointId>,
    records: u64,
}

impl Site {
    fn make(directory: &Path, records: usize) -> anyhow::Result<Self> {
        std::fs::create_dir(directory)?;
        let network = directory.join("network.json");
        std::fs::write(&network, sim::plant::EUROPEAN_LV)?;
        let network = connectors::network_file::read_path(&network)?;
        let usage_points: Vec<_> = network.usage_points().iter().map(|point| point.id).collect();
        // It was free a moment ago.
        let page = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let file = directory.join("site.toml");
        let mut words = format!(
            "name = \"{NAME}\"\ndata = \"data\"\n[http]\nlisten = \"{page}\"\n[mqtt]\nlisten = \"127.0.0.1:0\"\n"
        );
        for device in (1..=DEVICES).map(|number| device(number, &usage_points)) {
            let (number, usage_point, kw) = (device.id, device.usage_point, device.p_max_w / 1e3);
            write!(
                words,
                "[[device]]\nnumber = {number}\nprosumer = {number}\nusage_point = {usage_point}\nkind = \"charger\"\np_max_kw = {kw}\n"
            )?;
        }
        std::fs::write(&file, words)?;
        let data = directory.join("data");
        let records = past(&data, records, &usage_points)?;
        Ok(Self { file, log: directory.join("log"), page, usage_points, records })
    }

    /// Starts the process; how long until it serves, ms. Then it dies.
    async fn start(&self, nth: u32) -> anyhow::Result<f64> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let program = std::env::current_exe().context("which program this is")?;
        let mut command = Command::new(program);
        command.arg("serve").arg(&self.file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let began = meter::wall_ms();
        let mut process = Process(command.spawn().context("starting the program")?);
        let offer = device(1 + nth % DEVICES, &self.usage_points);
        let id = FlexOfferId::new(format!("restart-{nth}"))?;
        let offer = serde_json::to_vec(&unwanted(id, offer, machine_time()))?;
        let mut client = Client::of(self.page);
        loop {
            match client.send("POST", "/api/v1/flexoffers", &offer).await {
                Ok((201, _)) => return Ok(meter::wall_ms() - began),
                // It was answered too late the first time.
                Ok((503, _)) | Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                Ok((status, words)) => {
                    anyhow::bail!("an offer was answered with {status}: {}", String::from_utf8_lossy(words))
                }
            }
            let ended = process.0.try_wait()?;
            let said = || std::fs::read_to_string(&self.log).unwrap_or_default();
            ensure!(ended.is_none(), "gridflex serve ended: {}", said());
            ensure!(meter::wall_ms() - began < PATIENCE_MS, "gridflex serve does not serve: {}", said());
        }
    }
}

/// A process that dies with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, or it does now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn device(number: u32, usage_points: &[UsagePointId]) -> Device {
    let usage_point = usage_points[number as usize % usage_points.len()];
    let (kind, p_max_w) = (DeviceKind::Charger, 7_400.0);
    Device { id: DeviceId(number), prosumer: ProsumerId(number), usage_point, kind, p_max_w }
}

/// Makes journal and history of a site that has traded until now. Returns the number of records.
fn past(data: &Path, records: usize, usage_points: &[UsagePointId]) -> anyhow::Result<u64> {
    let now = machine_time();
    let words = |error: String| anyhow::anyhow!(error);
    let mut trading = Trading::until(now.slot(), records, usage_points.to_vec()).map_err(words)?;
    let mut journal = Journal::open(data, Durability::Synced)?.journal;
    write(&mut journal, &mut trading, records, &meter::wall_ms).map_err(|error| words(error.to_string()))?;
    ensure!(trading.now() <= now, "what was to be the past ends at {}", trading.now());
    // As the last start recorded it. Not before the others: settlements name records by their numbers, which count from the first of trading.
    begin(&mut journal, now, format!("site {NAME}"))?;
    let mut history = History::open(&data.join(HISTORY_DIRECTORY), Options::default())?;
    let energy = |usage_point: &UsagePointId, slot: Slot| {
        let (element, quantity) = (Element::UsagePoint(*usage_point), Quantity::SlotEnergy);
        let point = PointId { element, quantity, phase: None };
        let (measured_at, received_at, quality) = (slot.end(), slot.end(), Quality::Measured);
        Value::measured(&Measurement { point, value: ENERGY_WH, quality, measured_at, received_at })
    };
    for ago in (1..=SLOTS).rev() {
        let slot = now.slot().plus(-ago);
        let energies: Vec<_> = usage_points.iter().map(|point| energy(point, slot)).collect();
        history.append(&energies)?;
    }
    Ok(journal.records())
}

/// Measures in a new directory.
pub fn measure(directory: &Path, records: usize, starts: usize) -> anyhow::Result<Restarts> {
    let site = Site::make(directory, records)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut serving = Vec::new();
    for nth in 0..starts as u32 {
        serving.push(runtime.block_on(site.start(nth))?);
    }
    serving.sort_by(f64::total_cmp);
    let at = |share: f64| serving.get((share * (starts - 1) as f64).ceil() as usize).copied();
    Ok(Restarts {
        records: site.records,
        starts,
        serving_ms_p50: at(0.5).unwrap_or_default(),
        serving_ms_p99: at(0.99).unwrap_or_default(),
    })
}
