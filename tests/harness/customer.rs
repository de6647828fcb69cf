//! A prosumer outside who hands in FlexOffers over HTTP and keeps every acknowledgement on disk.

use super::mqtt::Witness;
use super::{Answer, get, post};
use grid::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the customer has lived through so far.
#[derive(Debug, Default)]
pub struct Diary {
    /// Acknowledged offers.
    pub acknowledged: AtomicU64,
    /// Acknowledged offers that were handed in again after a death and answered as known.
    pub repeated: AtomicU64,
    /// Refusals by code.
    pub refused: Mutex<BTreeMap<String, u64>>,
    /// Broken promises, in words.
    pub complaints: Mutex<Vec<String>>,
    stop: AtomicBool,
}

/// Starts handing in offers until told to stop. One file per acknowledged offer appears in `directory`, synced
/// before the next request.
pub fn start(page: SocketAddr, speed: u32, reports: Arc<Witness>, directory: &Path) -> Customer {
    start_with(page, speed, reports, directory, |_| true)
}

/// The same, with the devices that `mine` names only.
pub fn start_with(
    page: SocketAddr,
    speed: u32,
    reports: Arc<Witness>,
    directory: &Path,
    mine: fn(u64) -> bool,
) -> Customer {
    let diary = Arc::<Diary>::default();
    let mut at_work = AtWork {
        page,
        speed,
        reports,
        directory: directory.to_owned(),
        mine,
        diary: diary.clone(),
        clock: None,
        free_from: BTreeMap::new(),
        acknowledged: Vec::new(),
        unanswered: None,
        number: 0,
    };
    let thread = std::thread::spawn(move || {
        while !at_work.diary.stop.load(Ordering::Relaxed) {
            // Any broken connection: the server died. Ask it for the time again, and for what it promised.
            if at_work.turn().is_err() {
                at_work.clock = None;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    Customer { diary, thread }
}

/// The customer as seen by the story.
pub struct Customer {
    pub diary: Arc<Diary>,
    thread: std::thread::JoinHandle<()>,
}

impl Customer {
    /// Ends the work.
    pub fn stop(self) -> Arc<Diary> {
        self.diary.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the customer survives");
        self.diary
    }
}

struct AtWork {
    page: SocketAddr,
    speed: u32,
    reports: Arc<Witness>,
    directory: PathBuf,
    mine: fn(u64) -> bool,
    diary: Arc<Diary>,
    /// What the system's clock showed, and when.
    clock: Option<(Timestamp, Instant)>,
    free_from: BTreeMap<u64, Timestamp>,
    acknowledged: Vec<Value>,
    /// Sent, but the answer never came.
    unanswered: Option<Value>,
    number: u64,
}

impl AtWork {
    fn turn(&mut self) -> std::io::Result<()> {
        let Some((at, seen)) = self.clock else { return self.come_back() };
        if seen.elapsed() > Duration::from_secs(2) {
            return self.read_clock();
        }
        let now = at.plus(seen.elapsed() * self.speed);
        let Some(report) = self.free_device(now) else {
            std::thread::sleep(Duration::from_millis(5));
            return Ok(());
        };
        self.number += 1;
        // Every tenth offer is one the DSO will want; the others can only make matters worse.
        let offer = offer(&report, now, self.number, self.number.is_multiple_of(10));
        self.hand_in(offer, now)
    }

    /// After a death: learn the time, claim what was promised, settle what was left open.
    fn come_back(&mut self) -> std::io::Result<()> {
        self.read_clock()?;
        let Some((now, _)) = self.clock else { return Ok(()) };
        for offer in self.acknowledged.iter().rev().take(3) {
            let id = offer["id"].as_str().unwrap_or_default();
            let (again, found) = (
                post(self.page, "/api/v1/flexoffers", offer)?,
                get(self.page, &format!("/api/v1/flexoffers/{id}"))?,
            );
            self.diary.repeated.fetch_add(1, Ordering::Relaxed);
            if (again.status, found.status) != (200, 200) {
                let text =
                    format!("{id} was acknowledged; again: {}, asked for: {}", again.status, found.status);
                self.diary.complaints.lock().unwrap().push(text);
            }
        }
        match self.unanswered.clone() {
            Some(offer) => self.hand_in(offer, now),
            None => Ok(()),
        }
    }

    fn read_clock(&mut self) -> std::io::Result<()> {
        self.clock = None;
        let picture = get(self.page, "/api/v1/snapshot")?.json();
        if picture["seq"].as_u64().unwrap_or(0) == 0 {
            return Err(std::io::Error::other("no picture yet"));
        }
        let now = picture["clock"]["now"].as_str().and_then(|text| text.parse().ok());
        self.clock = now.map(|now| (now, Instant::now()));
        Ok(())
    }

    /// The newest report of a device that nobody else offers: a charging point without a vehicle, or a battery.
    fn free_device(&self, now: Timestamp) -> Option<Value> {
        let newest = self.reports.read(|heard| {
            let mut newest = BTreeMap::new();
            for (topic, payload) in heard.iter().filter(|(topic, _)| topic.ends_with("/report")) {
                newest.insert(topic.clone(), payload.clone());
            }
            newest
        });
        let report = |payload: &Vec<u8>| serde_json::from_slice::<Value>(payload).ok();
        let free = |report: &Value| {
            let state = &report["state"];
            let kind = (state["kind"] == "charger" && state["session"] == 0) || state["kind"] == "battery";
            let device = report["device"].as_u64().unwrap_or_default();
            kind && (self.mine)(device) && self.free_from.get(&device).is_none_or(|from| *from <= now)
        };
        let from =
            |report: &Value| self.free_from.get(&report["device"].as_u64().unwrap_or_default()).copied();
        newest.values().filter_map(report).filter(free).min_by_key(from)
    }

    fn hand_in(&mut self, offer: Value, now: Timestamp) -> std::io::Result<()> {
        self.unanswered = Some(offer.clone());
        let Answer { status, body } = post(self.page, "/api/v1/flexoffers", &offer)?;
        self.unanswered = None;
        let device = offer["device"].as_u64().unwrap_or_default();
        let minutes = |minutes: u64| now.plus(Duration::from_secs(minutes * 60));
        self.free_from.insert(device, minutes(if status == 422 { 4 } else { 8 }));
        match status {
            200 | 201 => self.keep(offer),
            422 => {
                let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
                let code = problem["code"].as_str().unwrap_or("?").to_owned();
                *self.diary.refused.lock().unwrap().entry(code).or_default() += 1;
                Ok(())
            }
            // No answer in time: it may have been accepted, and handing it in again will tell.
            503 => {
                self.unanswered = Some(offer);
                Err(std::io::Error::other("unavailable"))
            }
            status => {
                let text =
                    format!("{} was answered with {status}: {}", offer["id"], String::from_utf8_lossy(&body));
                self.diary.complaints.lock().unwrap().push(text);
                Ok(())
            }
        }
    }

    fn keep(&mut self, offer: Value) -> std::io::Result<()> {
        let id = offer["id"].as_str().unwrap_or_default();
        let mut file = File::create(self.directory.join(id))?;
        file.write_all(id.as_bytes())?;
        file.sync_all()?;
        self.acknowledged.push(offer);
        self.diary.acknowledged.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A valid offer. A wanted one could feed in for little money in the next hours; an unwanted one could only take
/// more.
fn offer(report: &Value, now: Timestamp, number: u64, wanted: bool) -> Value {
    let start = now.plus(Duration::from_secs(6 * 60)).slot().plus(1);
    let deadline = if wanted {
        start.start().minus(Duration::from_secs(60))
    } else {
        now.plus(Duration::from_secs(240))
    };
    let (least, most) = if wanted { (-800_000, 0) } else { (0, 500_000) };
    json!({
        "id": format!("outside-{number}"),
        "prosumer": report["prosumer"],
        "usage_point": report["usage_point"],
        "device": report["device"],
        "created_at": now.to_string(),
        "acceptance_before": deadline.to_string(),
        "assignment_before": deadline.to_string(),
        "start_after": start.0,
        "start_before": start.0 + if wanted { 8 } else { 0 },
        "slices": [{ "min": least, "max": most }],
        "total_energy": null,
        "default_schedule": { "start": start.0, "energies": [0] },
        "prices": { "decrease": 1_000, "increase": 900_000_000 },
    })
}
