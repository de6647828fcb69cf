//! What a seed decides: the street, its evening, and everything that goes wrong in it.

use crate::disk::{Fault, Random, Survives};
use grid::Timestamp;
use sim::Scenario;
use std::time::Duration;

const STREET: &str = include_str!("street.toml");
/// Nothing goes wrong after this; what was begun has time to end.
pub const FAULTS_UNTIL: Duration = Duration::from_secs(80 * 60);
/// Length of a trial. Between, an offer's deadline, its delivery and the wait for its meter must all pass.
pub const LENGTH: Duration = Duration::from_secs(160 * 60);

/// When clocks are set forward and back, north and south of the equator (at 01:00Z and at 16:00Z), the turn of a year, and that of
/// a day which few years have: when a trial may begin, and the zone of the page.
const TURNS: [(&str, &str); 6] = [
    ("2026-03-28T22:30:00Z", "Europe/Copenhagen"),
    ("2026-10-24T22:30:00Z", "Europe/Copenhagen"),
    ("2026-04-04T15:00:00Z", "Australia/Sydney"),
    ("2026-10-03T15:00:00Z", "Australia/Sydney"),
    ("2026-12-31T22:30:00Z", "UTC"),
    ("2028-02-28T22:30:00Z", "UTC"),
];

/// How a life of the system ends.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// `kill -9`: what was written and not synced is there, and a later power cut may still take it.
    Kill,
    /// A power cut of which so much survives that was not synced.
    Crash(Survives),
    /// The power goes at this operation of the disk, counted from the start of the life.
    PowerAt(usize),
    /// This operation of the disk goes wrong.
    Fault(usize, Fault),
    /// The power goes in the middle of the next write with this in it: while something is bought, split, ordered or valued.
    PowerIn(&'static str),
    /// The disk fills up; somebody makes room after a while. The life goes on.
    Full,
    /// The machine's clock is set by so many seconds, and set right after a while.
    Clock(i64, Duration),
    /// A stage panics after so many messages more, at the end of handling one. The life goes on, unless it is the journal.
    Stumble(u32),
}

/// What goes wrong once.
#[derive(Debug, Clone, Copy)]
pub struct Mishap {
    /// When, from the scenario's start.
    pub after: Duration,
    /// How many other tasks run in that instant before it happens.
    pub turns: usize,
    /// What.
    pub end: End,
    /// How long the system is away, but not longer than things may go wrong.
    pub away: Duration,
    /// How far the clock of the next life is ahead of the true one, s.
    pub skew_s: i64,
}

/// How the wires are; shares of packets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wires {
    pub lost: f64,
    pub doubled: f64,
    /// Longest delay.
    pub slow: Duration,
}

/// A whole trial.
#[derive(Debug, Clone)]
pub struct Plan {
    pub scenario: Scenario,
    /// Time zone of the page.
    pub zone: &'static str,
    pub mishaps: Vec<Mishap>,
    pub wires: Wires,
}

/// A share in [0, 1).
pub fn share(random: &mut Random) -> f64 {
    (random.next() >> 11) as f64 / (1_u64 << 53) as f64
}

fn pick<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[random.below(of.len())]
}

fn seconds(random: &mut Random, most: usize) -> Duration {
    Duration::from_secs(random.below(most + 1) as u64)
}

/// A service that is started again, or a machine that somebody has to look after.
fn away(random: &mut Random) -> Duration {
    match random.below(4) {
        0 => Duration::from_secs(20 * 60) + seconds(random, 40 * 60),
        _ => seconds(random, 240),
    }
}

/// By how much a clock is set, s: a little, an hour, or ten years.
fn step(random: &mut Random) -> i64 {
    let step = match random.below(4) {
        0 => 3_600,
        1 => 10 * 365 * 86_400,
        _ => 6 + random.below(900) as i64,
    };
    if random.below(2) == 0 { step } else { -step }
}

/// What a clock can be set by at an instant, so that the system, which waits until what it traded is past, is back before
/// nothing goes wrong any more.
pub fn bearable(step: i64, right_after: Duration, now_since_start: Duration) -> i64 {
    let left = FAULTS_UNTIL.saturating_sub(now_since_start + right_after + Duration::from_secs(120));
    match step {
        _ if left.is_zero() => 0,
        // Nothing is traded by a clock that is not believed.
        step if step > 8 * 86_400 => step,
        step => step.min(left.as_secs() as i64),
    }
}

fn mishap(random: &mut Random) -> Mishap {
    let minute = 4 + random.below(FAULTS_UNTIL.as_secs() as usize / 60 - 8);
    // On the second of a stage's own beat, or at any other.
    let second = if random.below(3) > 0 { pick(random, &[0, 5, 10, 20, 30, 50]) } else { random.below(60) };
    // Of one of the next groups of records, or of one some minutes away.
    let most = pick(random, &[8, 100]);
    let operations = 1 + random.below(most);
    let end = match random.below(15) {
        0..=2 => End::Kill,
        3..=4 => End::Crash(Survives::Nothing),
        5 => End::Crash(Survives::Some),
        6..=7 => End::PowerAt(operations),
        8 => End::Fault(operations, pick(random, &[Fault::Fails, Fault::FailsHalfway, Fault::Full])),
        9 => End::Full,
        10 | 11 => End::PowerIn(pick(random, &["contract-", "act-contract-", "aggregate-"])),
        12 => End::Clock(step(random), Duration::from_secs(15) + seconds(random, 225)),
        _ => End::Stumble(random.below(200) as u32),
    };
    Mishap {
        after: Duration::from_secs((minute * 60 + second) as u64),
        turns: random.below(60),
        end,
        away: away(random),
        skew_s: random.below(41) as i64 - 20,
    }
}

impl Plan {
    /// What a seed decides.
    pub fn of(seed: u64) -> Self {
        let mut random = Random(seed ^ 0x7472_6961_6c73);
        let random = &mut random;
        let mut scenario = Scenario::from_toml(STREET).expect("the street is a scenario");
        scenario.grid.network = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/trials/street.json").to_owned();
        scenario.seed = seed;
        scenario.duration_minutes = (LENGTH.as_secs() / 60) as u32;
        let turn = pick(random, &TURNS);
        let (first, zone, slots) = match random.below(4) {
            0 => (turn.0, turn.1, 2),
            _ => ("2026-01-15T14:00:00Z", "Europe/Copenhagen", 16),
        };
        scenario.start = first.parse::<Timestamp>().expect("an instant");
        scenario.start = scenario.start.plus(Duration::from_secs(900 * random.below(slots) as u64));
        scenario.grid.transformer_kva = 12.0 + random.below(10) as f64;
        scenario.chargers.count = 3 + random.below(3);
        scenario.heat_pumps.count = random.below(4);
        scenario.batteries.count = random.below(4);
        scenario.photovoltaics.count = random.below(3);
        let evening = scenario.start.seconds().rem_euclid(86_400) < 20 * 3_600;
        scenario.chargers.arrival_mean_h = if evening { 15.0 + 4.0 * share(random) } else { 22.9 };
        scenario.field.meter_missing = pick(random, &[0.0, 0.05, 0.3]);
        scenario.field.device_meter_missing = pick(random, &[0.0, 0.02, 0.2]);
        scenario.field.device_meter_delay_max_s = pick(random, &[240, 900, 2700]);
        let mut mishaps: Vec<_> = (0..random.below(7)).map(|_| mishap(random)).collect();
        mishaps.sort_by_key(|mishap| mishap.after);
        // One step of the clock: two that overlap would be one that nobody drew.
        let mut clocks = 0;
        for mishap in &mut mishaps {
            if let End::Clock(step, _) = mishap.end {
                clocks += 1;
                if clocks > 1 {
                    mishap.end = End::Kill;
                } else if step == 3_600 {
                    // Early enough for an hour to pass.
                    mishap.after = Duration::from_secs(240 + mishap.after.as_secs() % 600);
                }
            }
        }
        mishaps.sort_by_key(|mishap| mishap.after);
        let wires = Wires {
            lost: pick(random, &[0.0, 0.05, 0.3]),
            doubled: pick(random, &[0.0, 0.05, 0.3]),
            slow: pick(random, &[Duration::ZERO, Duration::from_secs(5), Duration::from_secs(60)]),
        };
        Self { scenario, zone, mishaps, wires }
    }
}
