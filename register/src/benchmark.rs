//! Consumption that others compare themselves with: what prosumers contribute for a load type and a day or month, told as count,
//! mean and percentiles of a group that is large enough.
//!
//! ```text
//!      period            open for 48 h           closed
//! |--------------|------------------------|----------------------→
//!   contributions are taken and replaced    answers, always the same
//! ```
//!
//! An answer of a period that still took contributions would tell a newcomer's value by the difference of two answers; so there is
//! none before a period is closed, and nothing changes afterwards. A group with fewer than [`GROUP_MIN`] contributors is not
//! told, nor is one whose largest contributor has more than a quarter of the sum: both are refused with the same words.
//! Neither least nor greatest value is told. When the file is written anew, closed groups lose who contributed.

use crate::error::Refusal;
use grid::id::check_name;
use grid::{ProsumerId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// Fewest contributors of a group that is told: k of k-anonymity.
pub const GROUP_MIN: usize = 10;
/// The largest contributor of a group that is told has at most this fraction of the sum.
pub const SHARE_MAX: f64 = 0.25;
/// How long after its end a period takes contributions.
pub const OPEN_FOR: Duration = Duration::from_secs(48 * 3600);
/// Largest contribution, kWh.
pub const ENERGY_MAX_KWH: f64 = 1e9;
/// Load types.
pub const LOAD_TYPES_MAX: usize = 100;
/// Groups: load types times periods.
pub const GROUPS_MAX: usize = 20_000;
/// Contributions of all groups.
pub const CONTRIBUTIONS_MAX: usize = 1_000_000;

/// A day or a month, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    start: Timestamp,
    end: Timestamp,
    whole_month: bool,
}

impl Period {
    /// First instant.
    pub fn start(self) -> Timestamp {
        self.start
    }

    /// From then on nothing more is taken, and the group is told.
    pub fn closes_at(self) -> Timestamp {
        self.end.plus(OPEN_FOR)
    }
}

impl std::str::FromStr for Period {
    type Err = Refusal;

    /// Reads `2026-01` or `2026-01-15`.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let shown: String = text.chars().take(20).collect();
        let malformed = || Refusal::Malformed(format!("{shown:?} is no period: write 2026-01 or 2026-01-15"));
        let whole_month = text.len() == 7;
        if !text.is_ascii() || !(whole_month || text.len() == 10) {
            return Err(malformed());
        }
        let first = |text: &str| format!("{text}T00:00:00Z").parse::<Timestamp>().map_err(|_| malformed());
        let start = first(&if whole_month { format!("{text}-01") } else { text.to_owned() })?;
        let end = if whole_month {
            // Every month has ended 31 days after it began, and the next has not.
            let next = start.plus(Duration::from_secs(31 * 86_400)).to_string();
            first(&format!("{}-01", next.get(..7).unwrap_or_default()))?
        } else {
            start.plus(Duration::from_secs(86_400))
        };
        Ok(Self { start, end, whole_month })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.start.to_string();
        f.write_str(text.get(..if self.whole_month { 7 } else { 10 }).unwrap_or_default())
    }
}

impl Serialize for Period {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a group is told as. Energies in kWh.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// Contributors.
    pub count: usize,
    /// Arithmetic mean.
    pub mean_kwh: f64,
    /// Percentiles, linear between two neighbours.
    pub p10_kwh: f64,
    /// A quarter takes less.
    pub p25_kwh: f64,
    /// The median.
    pub p50_kwh: f64,
    /// A quarter takes more.
    pub p75_kwh: f64,
    /// A tenth takes more.
    pub p90_kwh: f64,
}

#[derive(Debug, Clone)]
pub(crate) enum Group {
    Open(BTreeMap<ProsumerId, f64>),
    /// Ascending, without names.
    Closed(Vec<f64>),
}

/// All groups, by load type and period.
#[derive(Debug, Default)]
pub(crate) struct Benchmark {
    pub groups: BTreeMap<(String, Period), Group>,
    contributions: usize,
}

impl Benchmark {
    pub fn may_contribute(
        &self,
        by: ProsumerId,
        load_type: &str,
        period: Period,
        energy_kwh: f64,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        check_name(load_type).map_err(|error| Refusal::Malformed(format!("load_type: {error}")))?;
        if !(0.0..=ENERGY_MAX_KWH).contains(&energy_kwh) {
            let detail = format!("energy_kwh is {energy_kwh}, 0 to {ENERGY_MAX_KWH:e} is accepted");
            return Err(Refusal::Malformed(detail));
        }
        if now < period.end {
            return Err(Refusal::Closed(format!("{period} ends at {}", period.end)));
        }
        if now >= period.closes_at() {
            return Err(Refusal::Closed(format!("{period} takes nothing since {}", period.closes_at())));
        }
        let key = (load_type.to_owned(), period);
        let at_most = |what, most, found| match found > most {
            true => Err(Refusal::Limit { what, most, found }),
            false => Ok(()),
        };
        match self.groups.get(&key) {
            Some(Group::Open(members)) if members.contains_key(&by) => Ok(()),
            Some(_) => at_most("contributions", CONTRIBUTIONS_MAX, self.contributions + 1),
            None => {
                let mut types: BTreeSet<&str> = self.groups.keys().map(|(kind, _)| kind.as_str()).collect();
                types.insert(load_type);
                at_most("load types", LOAD_TYPES_MAX, types.len())?;
                at_most("groups of a load type and a period", GROUPS_MAX, self.groups.len() + 1)?;
                at_most("contributions", CONTRIBUTIONS_MAX, self.contributions + 1)
            }
        }
    }

    pub fn contribute(&mut self, by: ProsumerId, load_type: String, period: Period, energy_kwh: f64) {
        let group = self.groups.entry((load_type, period)).or_insert_with(|| Group::Open(BTreeMap::new()));
        if let Group::Open(members) = group
            && members.insert(by, energy_kwh).is_none()
        {
            self.contributions += 1;
        }
    }

    pub fn restore(&mut self, load_type: String, period: Period, values: Vec<f64>) {
        self.contributions += values.len();
        self.groups.insert((load_type, period), Group::Closed(values));
    }

    /// Takes the names out of groups that are closed, and the values out of those that are never told.
    pub fn close(&mut self, now: Timestamp) {
        for ((_, period), group) in &mut self.groups {
            if let Group::Open(members) = group
                && now >= period.closes_at()
            {
                let count = members.len();
                let mut values: Vec<f64> = members.values().copied().collect();
                values.sort_unstable_by(f64::total_cmp);
                if summary(&values).is_none() {
                    values.clear();
                }
                self.contributions -= count - values.len();
                *group = Group::Closed(values);
            }
        }
    }

    pub fn tell(&self, load_type: &str, period: Period, now: Timestamp) -> Result<Summary, Refusal> {
        if now < period.closes_at() {
            return Err(Refusal::Unknown(format!("{period} is told from {} on", period.closes_at())));
        }
        let values = match self.groups.get(&(load_type.to_owned(), period)) {
            None => Vec::new(),
            Some(Group::Closed(values)) => values.clone(),
            Some(Group::Open(members)) => {
                let mut values: Vec<f64> = members.values().copied().collect();
                values.sort_unstable_by(f64::total_cmp);
                values
            }
        };
        summary(&values).ok_or_else(|| {
            let detail = format!(
                "what was contributed for {load_type:?} and {period} is not told: a group has at least {GROUP_MIN} \
                 contributors, and none with more than {} % of the sum",
                100.0 * SHARE_MAX
            );
            Refusal::Unknown(detail)
        })
    }
}

/// Of ascending values; nothing when they are not to be told.
fn summary(values: &[f64]) -> Option<Summary> {
    let (count, sum) = (values.len(), values.iter().sum::<f64>());
    let largest = *values.last()?;
    if count < GROUP_MIN || largest > SHARE_MAX * sum {
        return None;
    }
    let percentile = |fraction: f64| {
        let place = fraction * (count - 1) as f64;
        let below = place.floor();
        let at = |place: usize| values.get(place).copied().unwrap_or(largest);
        let (low, high) = (at(below as usize), at(below as usize + 1));
        low + (place - below) * (high - low)
    };
    Some(Summary {
        count,
        mean_kwh: sum / count as f64,
        p10_kwh: percentile(0.10),
        p25_kwh: percentile(0.25),
        p50_kwh: percentile(0.50),
        p75_kwh: percentile(0.75),
        p90_kwh: percentile(0.90),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn filled(values: &[f64]) -> Benchmark {
        let mut benchmark = Benchmark::default();
        let now = at("2026-02-02T12:00:00Z");
        for (by, &energy) in values.iter().enumerate() {
            let by = ProsumerId(by as u32);
            benchmark.may_contribute(by, "ev", "2026-01".parse().unwrap(), energy, now).unwrap();
            benchmark.contribute(by, "ev".to_owned(), "2026-01".parse().unwrap(), energy);
        }
        benchmark
    }

    #[test]
    fn periods_are_read_as_they_are_written() {
        for (text, start, closes) in [
            ("2026-01", "2026-01-01T00:00:00Z", "2026-02-03T00:00:00Z"),
            ("2028-02", "2028-02-01T00:00:00Z", "2028-03-03T00:00:00Z"),
            ("2026-12", "2026-12-01T00:00:00Z", "2027-01-03T00:00:00Z"),
            ("2028-02-29", "2028-02-29T00:00:00Z", "2028-03-03T00:00:00Z"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!((period.to_string(), period.start()), (text.to_owned(), at(start)));
            assert_eq!(period.closes_at(), at(closes), "{text}");
        }
        for text in ["2026", "2026-13", "2026-02-29", "2026-1-1", "", "2026-01-15T", "\u{e9}026-0"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    #[test]
    fn mean_and_percentiles_are_those_of_a_hand_computation() {
        // 1 to 11: mean 6, and every percentile falls on a value.
        let values: Vec<f64> = (1..=11).rev().map(f64::from).collect();
        let benchmark = filled(&values);
        let told = benchmark.tell("ev", "2026-01".parse().unwrap(), at("2026-02-03T00:00:00Z")).unwrap();
        let expected = Summary {
            count: 11,
            mean_kwh: 6.0,
            p10_kwh: 2.0,
            p25_kwh: 3.5,
            p50_kwh: 6.0,
            p75_kwh: 8.5,
            p90_kwh: 10.0,
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn few_contributors_or_one_large_one_are_not_told_and_sound_the_same() {
        let closed = at("2026-02-03T00:00:00Z");
        let words = |values: &[f64]| {
            filled(values).tell("ev", "2026-01".parse().unwrap(), closed).unwrap_err().to_string()
        };
        let few = words(&[1.0; 9]);
        assert!(few.contains("at least 10 contributors"), "{few}");
        assert_eq!(words(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 4.0]), few);
        assert_eq!(words(&[]), few);
        assert!(filled(&[0.0; 10]).tell("ev", "2026-01".parse().unwrap(), closed).is_ok());
    }

    #[test]
    fn before_a_period_is_closed_nothing_is_told_and_afterwards_nothing_changes() {
        let mut benchmark = filled(&[2.0; 10]);
        let period = "2026-01".parse().unwrap();
        let early = benchmark.tell("ev", period, at("2026-02-02T23:59:59Z")).unwrap_err();
        assert!(early.to_string().contains("from 2026-02-03T00:00:00Z on"), "{early}");
        for (now, words) in
            [("2026-01-31T23:59:59Z", "ends at"), ("2026-02-03T00:00:00Z", "takes nothing since")]
        {
            let refused = benchmark.may_contribute(ProsumerId(99), "ev", period, 1.0, at(now)).unwrap_err();
            assert!(refused.to_string().contains(words), "{refused}");
        }
        let closed = at("2026-02-03T00:00:00Z");
        let before = benchmark.tell("ev", period, closed).unwrap();
        benchmark.close(closed);
        assert_eq!(benchmark.tell("ev", period, closed).unwrap(), before);
        assert!(
            matches!(benchmark.groups.values().next(), Some(Group::Closed(values)) if values.len() == 10)
        );
    }

    #[test]
    fn numbers_that_are_no_consumption_are_refused() {
        for energy in [-0.1, f64::NAN, f64::INFINITY, 2e9] {
            let now = at("2026-02-02T12:00:00Z");
            let refused =
                filled(&[]).may_contribute(ProsumerId(1), "ev", "2026-01".parse().unwrap(), energy, now);
            assert!(matches!(refused, Err(Refusal::Malformed(_))), "{energy}");
        }
    }
}
