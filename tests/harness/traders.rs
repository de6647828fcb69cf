//! Prosumers outside who hand in FlexOffers over HTTP and take them back, as fast as they are answered. Each keeps a diary of what
//! was acknowledged to it, synced before its next request.

use super::mqtt::Witness;
use super::{Answer, delete, get, post};
use grid::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Which device, and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub device: u64,
    pub prosumer: u64,
    pub usage_point: u64,
}

/// What all of them have lived through so far.
#[derive(Debug, Default)]
pub struct Traded {
    /// Acknowledged: offers accepted and offers taken back.
    pub operations: AtomicU64,
    /// Names of offers that were accepted.
    pub accepted: Mutex<BTreeSet<String>>,
    /// Names of offers that were taken back.
    pub withdrawn: Mutex<BTreeSet<String>>,
    /// Refusals by status and code.
    pub refused: Mutex<BTreeMap<String, u64>>,
    /// Answers that should never be given, in words.
    pub complaints: Mutex<Vec<String>>,
    stop: AtomicBool,
}

/// Who trades.
pub struct Traders {
    pub traded: Arc<Traded>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

/// The places of all devices that a witness of reports has heard of.
pub fn places(reports: &Witness) -> Vec<Place> {
    let place = |payload: &Vec<u8>| {
        let report: Value = serde_json::from_slice(payload).ok()?;
        let number = |key: &str| report[key].as_u64();
        let (device, prosumer) = (number("device")?, number("prosumer")?);
        Some((device, Place { device, prosumer, usage_point: number("usage_point")? }))
    };
    reports.read(|heard| {
        let reports = heard.iter().filter(|(topic, _)| topic.ends_with("/report"));
        reports.filter_map(|(_, payload)| place(payload)).collect::<BTreeMap<_, _>>().into_values().collect()
    })
}

impl Traders {
    /// So many of them, who share the devices between them, on a page whose clock runs at `speed`. Their diaries lie in `directory`.
    pub fn start(page: SocketAddr, speed: u32, devices: &[Place], count: usize, directory: &Path) -> Self {
        let traded = Arc::<Traded>::default();
        let trader = |nth: usize| {
            let devices = devices.iter().copied().skip(nth).step_by(count).collect();
            let diary = File::create(directory.join(format!("trader-{nth}"))).unwrap();
            let traded = traded.clone();
            let mut trader = Trader {
                nth,
                page,
                speed,
                devices,
                diary,
                traded,
                clock: None,
                next: 0,
                number: 0,
                unanswered: None,
            };
            std::thread::spawn(move || {
                while !trader.traded.stop.load(Ordering::Relaxed) {
                    // Any broken connection: the server died.
                    if trader.turn().is_err() {
                        trader.clock = None;
                        std::thread::sleep(Duration::from_millis(3));
                    }
                }
            })
        };
        let threads = (0..count.min(devices.len())).map(trader).collect();
        Self { traded, threads }
    }

    /// Ends the work.
    pub fn stop(self) -> Arc<Traded> {
        self.traded.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("a trader survives"));
        self.traded
    }
}

/// What was sent and not answered.
enum Unanswered {
    Offer(Value),
    Withdrawal(String),
}

struct Trader {
    nth: usize,
    page: SocketAddr,
    speed: u32,
    devices: Vec<Place>,
    diary: File,
    traded: Arc<Traded>,
    /// What the system's clock showed, and when.
    clock: Option<(Timestamp, Instant)>,
    next: usize,
    number: u64,
    unanswered: Option<Unanswered>,
}

impl Trader {
    fn turn(&mut self) -> std::io::Result<()> {
        match self.unanswered.take() {
            Some(Unanswered::Offer(offer)) => return self.hand_in(offer),
            Some(Unanswered::Withdrawal(id)) => return self.take_back(id),
            None => {}
        }
        let now = self.now()?;
        let Some(place) = self.devices.get(self.next % self.devices.len()).copied() else { return Ok(()) };
        (self.next, self.number) = (self.next + 1, self.number + 1);
        let offer = unwanted(&format!("trader-{}-{}", self.nth, self.number), place, now);
        self.hand_in(offer)
    }

    fn now(&mut self) -> std::io::Result<Timestamp> {
        if let Some((at, seen)) = self.clock.filter(|(_, seen)| seen.elapsed() < Duration::from_secs(2)) {
            return Ok(at.plus(seen.elapsed() * self.speed));
        }
        let picture = get(self.page, "/api/v1/snapshot")?.json();
        let now = picture["clock"]["now"].as_str().and_then(|text| text.parse().ok());
        let now: Timestamp = now.ok_or_else(|| std::io::Error::other("no picture yet"))?;
        self.clock = Some((now, Instant::now()));
        Ok(now)
    }

    fn hand_in(&mut self, offer: Value) -> std::io::Result<()> {
        let id = offer["id"].as_str().unwrap_or_default().to_owned();
        self.unanswered = Some(Unanswered::Offer(offer.clone()));
        let answer = post(self.page, "/api/v1/flexoffers", &offer)?;
        if self.is_settled("offer", &id, &answer)? {
            let news = self.traded.accepted.lock().unwrap().insert(id.clone());
            self.keep("accepted", &id, news)?;
            return self.take_back(id);
        }
        Ok(())
    }

    fn take_back(&mut self, id: String) -> std::io::Result<()> {
        self.unanswered = Some(Unanswered::Withdrawal(id.clone()));
        let answer = delete(self.page, &format!("/api/v1/flexoffers/{id}"))?;
        if self.is_settled("withdrawal", &id, &answer)? {
            let news = self.traded.withdrawn.lock().unwrap().insert(id.clone());
            self.keep("withdrawn", &id, news)?;
        }
        Ok(())
    }

    /// Whether it was done; an error where nothing is known.
    fn is_settled(&mut self, what: &str, id: &str, answer: &Answer) -> std::io::Result<bool> {
        if answer.status == 503 {
            return Err(std::io::Error::other("unavailable"));
        }
        self.unanswered = None;
        match answer.status {
            200 | 201 => return Ok(true),
            409 | 422 => {
                let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let code = format!("{what} {}", problem["code"].as_str().unwrap_or("?"));
                *self.traded.refused.lock().unwrap().entry(code).or_default() += 1;
                // Its device is taken for a while.
                std::thread::sleep(Duration::from_millis(1));
            }
            status => {
                let words = String::from_utf8_lossy(&answer.body);
                let complaint = format!("the {what} of {id} was answered with {status}: {words}");
                self.traded.complaints.lock().unwrap().push(complaint);
            }
        }
        Ok(false)
    }

    /// Writes down an acknowledgement; one that was given before counts once.
    fn keep(&mut self, what: &str, id: &str, news: bool) -> std::io::Result<()> {
        writeln!(self.diary, "{what} {id}")?;
        self.diary.sync_data()?;
        self.traded.operations.fetch_add(u64::from(news), Ordering::Relaxed);
        Ok(())
    }
}

/// An offer to take more, which nobody wants to pay: it lives until it is taken back, or until its deadline.
pub fn unwanted(id: &str, place: Place, now: Timestamp) -> Value {
    let start = now.plus(Duration::from_secs(6 * 60)).slot().plus(1);
    let deadline = now.plus(Duration::from_secs(240));
    json!({
        "id": id,
        "prosumer": place.prosumer,
        "usage_point": place.usage_point,
        "device": place.device,
        "created_at": now.to_string(),
        "acceptance_before": deadline.to_string(),
        "assignment_before": deadline.to_string(),
        "start_after": start.0,
        "start_before": start.0,
        "slices": [{ "min": 0, "max": 500_000 }],
        "total_energy": null,
        "default_schedule": { "start": start.0, "energies": [0] },
        "prices": { "decrease": 1_000, "increase": 900_000_000 },
    })
}
