//! Instruments outside that publish over MQTT with quality 1 and remember what was acknowledged, across any number of broker deaths;
//! and what the history must say of it. Shares no code with the product.
//!
//! An instrument sends readings of instants of its own, each instant once; what was not acknowledged when the line broke is sent again
//! as it was, every other time. Some readings that were acknowledged are corrected: another value of the same instant. That is over the
//! same connection, and never sent again: a demo that is taken up goes on from the last minute it had reached, so what it
//! hears then may be an older version than what it heard before it died.

use super::mqtt::options;
use rumqttc::{Client, Event, Outgoing, Packet, QoS};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TOPIC: &str = "gridflex/demo/telemetry/story";
/// What it measures.
pub const POINTS: [&str; 2] = ["bus.34.u.a", "bus.34.u.b"];
/// Messages on their way at most.
const WINDOW: usize = 30;
/// Every so many messages one is a correction of one that was acknowledged.
const CORRECTED: usize = 7;

/// A message with one reading of each point, all of one instant.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Of the summer before: too late for any estimate, and kept all the same.
    pub instant: String,
    /// V.
    pub volts: f64,
    /// How often it was sent.
    pub times: usize,
    pub acknowledged: bool,
    /// The message whose values these replace, which had been acknowledged.
    pub corrects: Option<usize>,
}

/// What was sent, in order.
pub type Diary = Arc<Mutex<Vec<Sent>>>;

/// An instrument at work.
pub struct Instrument {
    diary: Diary,
    /// Acknowledged messages so far.
    pub acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Instrument {
    /// Starts publishing.
    pub fn start(broker: SocketAddr) -> Self {
        let (diary, acknowledged, stop) =
            (Diary::default(), Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (written, counted, told) = (diary.clone(), acknowledged.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                one_line(broker, &written, &counted, &told);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { diary, acknowledged, stop, thread }
    }

    /// Ends the work; what was sent.
    pub fn stop(self) -> Vec<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the instrument survives");
        self.diary.lock().unwrap().clone()
    }
}

fn payload(sent: &Sent) -> String {
    let reading =
        |point: &&str| json!({"point": point, "value": sent.volts, "unit": "V", "measured_at": sent.instant});
    json!({"measurements": POINTS.iter().map(reading).collect::<Vec<_>>()}).to_string()
}

/// The next message: a correction now and then of one that was sent first over this connection, which began with message `from`, else a
/// new instant.
fn next(diary: &[Sent], from: usize) -> Sent {
    let number = diary.len();
    let corrected = || {
        let known = |of: &usize| diary.iter().rev().take(400).any(|sent| sent.corrects == Some(*of));
        let all = diary.iter().enumerate().skip(from).rev().take(200);
        let plain = all.filter(|(_, sent)| sent.acknowledged && sent.corrects.is_none());
        plain.map(|(of, _)| of).find(|of| !known(of))
    };
    let corrects = if number % CORRECTED == CORRECTED - 1 { corrected() } else { None };
    let millis = number as u64;
    let instant = match corrects {
        Some(of) => diary[of].instant.clone(),
        None => {
            let (seconds, millis) = (millis / 1000, millis % 1000);
            let (minutes, seconds) = (seconds / 60, seconds % 60);
            format!("2025-06-01T{:02}:{:02}:{seconds:02}.{millis:03}Z", minutes / 60, minutes % 60)
        }
    };
    let volts = 230.0 + (number % 1_000) as f64 / 1_000.0 + if corrects.is_some() { 2.0 } else { 0.0 };
    Sent { instant, volts, times: 0, acknowledged: false, corrects }
}

/// Publishes over one connection until it breaks.
fn one_line(broker: SocketAddr, diary: &Mutex<Vec<Sent>>, acknowledged: &AtomicU64, stop: &AtomicBool) {
    let (client, mut connection) = Client::new(options(broker), WINDOW + 1);
    // Nothing of this connection is on its way yet: what was is unanswered.
    let open = |(number, sent): &(usize, &Sent)| {
        !sent.acknowledged && sent.times == 1 && number.is_multiple_of(2) && sent.corrects.is_none()
    };
    let from = diary.lock().unwrap().len();
    let mut again: VecDeque<usize> =
        diary.lock().unwrap().iter().enumerate().filter(open).map(|(number, _)| number).collect();
    let (mut connected, mut handed) = (false, VecDeque::<usize>::new());
    let mut underway = BTreeMap::<u16, usize>::new();
    while !stop.load(Ordering::Relaxed) || !underway.is_empty() {
        while connected && handed.len() + underway.len() < WINDOW && !stop.load(Ordering::Relaxed) {
            let mut diary = diary.lock().unwrap();
            let number = again.pop_front().unwrap_or_else(|| {
                let sent = next(&diary, from);
                diary.push(sent);
                diary.len() - 1
            });
            diary[number].times += 1;
            client.try_publish(TOPIC, QoS::AtLeastOnce, false, payload(&diary[number])).unwrap();
            handed.push_back(number);
        }
        match connection.recv_timeout(Duration::from_millis(50)) {
            Ok(Ok(Event::Outgoing(Outgoing::Publish(name)))) => {
                underway.insert(name, handed.pop_front().expect("it was handed over"));
            }
            Ok(Ok(Event::Incoming(Packet::PubAck(answer)))) => {
                let number = underway.remove(&answer.pkid).expect("it was sent");
                diary.lock().unwrap()[number].acknowledged = true;
                acknowledged.fetch_add(1, Ordering::Relaxed);
                // A line that would fill the disk shows no more than one that does not.
                std::thread::sleep(Duration::from_micros(300));
            }
            Ok(Ok(Event::Incoming(Packet::ConnAck(_)))) => connected = true,
            Ok(Ok(_)) | Err(rumqttc::RecvTimeoutError::Timeout) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// Asks for the values of `gridflex history query … --all-versions --json` that instruments have sent.
pub fn question(data: &str) -> Vec<String> {
    let words = ["history", "query", data, "telemetry", "--all-versions", "--json", "--limit", "100000000"];
    let points = POINTS.iter().flat_map(|point| ["--point", point]);
    let until = ["--until", "2025-12-31T00:00:00Z"];
    words.into_iter().chain(points).chain(until).map(str::to_owned).collect()
}

/// Every reading that was acknowledged is there: once when it was sent once, else in no more versions than it was sent, all the same;
/// the newest of an instant is its correction, and nothing is there that nobody sent. Anything else, in words.
pub fn objections(sent: &[Sent], rows: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut found: BTreeMap<(String, String), Vec<(String, u64)>> = BTreeMap::new();
    // What the product finds implausible about a value later is another version with another quality.
    for row in rows.iter().filter(|row| row["quality"] == "measured") {
        let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let volts = row["value"].as_f64().unwrap_or(f64::NAN).to_bits();
        let instant = (word("point"), whole(&word("measured_at")));
        found.entry(instant).or_default().push((word("received_at"), volts));
    }
    found.values_mut().for_each(|versions| versions.sort());
    let mut expected: BTreeMap<&str, Vec<&Sent>> = BTreeMap::new();
    sent.iter().for_each(|sent| expected.entry(whole_ref(&sent.instant)).or_default().push(sent));
    for (instant, sent) in &expected {
        for point in POINTS {
            let key = (point.to_owned(), (*instant).to_owned());
            let versions = found.remove(&key).unwrap_or_default();
            wrong.extend(of_instant(point, instant, sent, &versions));
        }
    }
    wrong.extend(found.keys().map(|(point, instant)| format!("nobody sent {point} of {instant}")));
    wrong
}

/// The same instant has one spelling.
fn whole(instant: &str) -> String {
    whole_ref(instant).to_owned()
}

fn whole_ref(instant: &str) -> &str {
    let short = instant.trim_end_matches('Z');
    match short.contains('.') {
        true => short.trim_end_matches('0').trim_end_matches('.'),
        false => short,
    }
}

fn of_instant(point: &str, instant: &str, sent: &[&Sent], versions: &[(String, u64)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let of = |volts: f64| versions.iter().filter(move |(_, known)| *known == volts.to_bits()).count();
    for one in sent {
        let rows = of(one.volts);
        if one.acknowledged && rows == 0 {
            wrong.push(format!(
                "{point} of {instant}, {} V, was acknowledged and is not in the history",
                one.volts
            ));
        }
        if rows > one.times {
            wrong
                .push(format!("{point} of {instant} was sent {} times and is there {rows} times", one.times));
        }
    }
    let known: usize = sent.iter().map(|one| of(one.volts)).sum();
    if known != versions.len() {
        wrong.push(format!("{point} of {instant} has a value that nobody sent"));
    }
    let received: Vec<&String> = versions.iter().map(|(received, _)| received).collect();
    if received.windows(2).any(|pair| pair[0] == pair[1]) {
        wrong.push(format!("{point} of {instant} is there twice in one version"));
    }
    let correction = sent.iter().find(|one| one.corrects.is_some() && one.acknowledged);
    if let (Some(correction), Some((_, newest))) = (correction, versions.last())
        && *newest != correction.volts.to_bits()
    {
        wrong.push(format!("{point} of {instant} was corrected to {} V and is not", correction.volts));
    }
    wrong
}
