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
//! none before a period is closed, and nothing changes afterwards.
//!
//! An account knows what it contributed itself, for one prosumer or for a whole portfolio. A group is told when it has at least
//! [`GROUP_MIN`] contributors and, without those that any one account ever contributed for, at least one less than that; and when
//! neither all nor those that remain have a largest one with more than a quarter of their sum. All refusals sound the same.
//! A month is not told of which a day is told: the sum of the month less those of its days would tell who contributed to one of them
//! only. Neither least nor greatest value is told. A group that is closed is kept as its answer alone, for [`KEPT_FOR`]; one that is not told is
//! not kept.

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
/// How long after its end a period is told: 13 months.
pub const KEPT_FOR: Duration = Duration::from_secs(396 * 86_400);
/// Largest contribution, kWh.
pub const ENERGY_MAX_KWH: f64 = 1e9;
/// Load types.
pub const LOAD_TYPES_MAX: usize = 100;
/// Load types of one account in periods that are open.
pub const OWN_LOAD_TYPES_MAX: usize = 10;
/// Groups: load types times the days and months of [`KEPT_FOR`], and some more.
pub const GROUPS_MAX: usize = 50_000;
/// Contributions of open groups.
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

    fn is_forgotten(self, now: Timestamp) -> bool {
        now >= self.end.plus(KEPT_FOR)
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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

/// A prosumer's contribution.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    pub energy_kwh: f64,
    /// Accounts that ever contributed for it; without accounts nobody.
    pub known_to: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Group {
    Open(BTreeMap<ProsumerId, Member>),
    Closed(Summary),
}

/// A contribution: what a prosumer's loads of a type took in a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// Whose loads.
    pub by: ProsumerId,
    /// Account that says so; without accounts none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Their type.
    pub load_type: String,
    /// When.
    pub period: Period,
    /// How much, kWh.
    pub energy_kwh: f64,
}

/// Whose load types are counted together.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Speaker {
    Account(String),
    /// Where there are no accounts.
    Prosumer(ProsumerId),
}

impl Speaker {
    fn of(account: Option<&String>, by: ProsumerId) -> Self {
        account.map_or(Self::Prosumer(by), |account| Self::Account(account.clone()))
    }
}

/// All groups, by load type and period.
#[derive(Debug, Default)]
pub(crate) struct Benchmark {
    pub groups: BTreeMap<(String, Period), Group>,
    /// Of open groups.
    contributions: usize,
    /// Who contributed for which load types to open groups.
    own_load_types: BTreeMap<Speaker, BTreeSet<String>>,
}

fn at_most(what: &'static str, most: usize, found: usize) -> Result<(), Refusal> {
    if found > most { Err(Refusal::Limit { what, most, found }) } else { Ok(()) }
}

impl Benchmark {
    pub fn may_contribute(&self, given: &Contribution, now: Timestamp) -> Result<(), Refusal> {
        let Contribution { by, load_type, period, energy_kwh, .. } = given;
        check_name(load_type).map_err(|error| Refusal::Malformed(format!("load_type: {error}")))?;
        if !(0.0..=ENERGY_MAX_KWH).contains(energy_kwh) {
            let detail = format!("energy_kwh is {energy_kwh}, 0 to {ENERGY_MAX_KWH:e} is accepted");
            return Err(Refusal::Malformed(detail));
        }
        if now < period.end {
            return Err(Refusal::Closed(format!("{period} ends at {}", period.end)));
        }
        if now >= period.closes_at() {
            return Err(Refusal::Closed(format!("{period} takes nothing since {}", period.closes_at())));
        }
        let group = self.groups.get(&(load_type.clone(), *period));
        if let Some(Group::Open(members)) = group
            && members.contains_key(by)
        {
            return Ok(());
        }
        at_most("contributions to open periods", CONTRIBUTIONS_MAX, self.contributions + 1)?;
        at_most("load types of one account in open periods", OWN_LOAD_TYPES_MAX, self.own_load_types(given))?;
        if group.is_none() {
            let mut types: BTreeSet<&str> = self.groups.keys().map(|(kind, _)| kind.as_str()).collect();
            types.insert(load_type);
            at_most("load types", LOAD_TYPES_MAX, types.len())?;
            at_most("groups of a load type and a period", GROUPS_MAX, self.groups.len() + 1)?;
        }
        Ok(())
    }

    /// How many load types whoever says this would have in open periods.
    fn own_load_types(&self, given: &Contribution) -> usize {
        let own = self.own_load_types.get(&Speaker::of(given.account.as_ref(), given.by));
        own.map_or(1, |types| types.len() + usize::from(!types.contains(&given.load_type)))
    }

    pub fn contribute(&mut self, given: Contribution) {
        let Contribution { by, account, load_type, period, energy_kwh } = given;
        let own = self.own_load_types.entry(Speaker::of(account.as_ref(), by)).or_default();
        own.insert(load_type.clone());
        let group = self.groups.entry((load_type, period)).or_insert_with(|| Group::Open(BTreeMap::new()));
        let Group::Open(members) = group else { return };
        let before = members.len();
        let member = members.entry(by).or_insert_with(|| Member { energy_kwh, known_to: BTreeSet::new() });
        // What was said before is known, too, and often the same.
        member.energy_kwh = energy_kwh;
        member.known_to.extend(account);
        self.contributions += members.len() - before;
    }

    pub fn restore(&mut self, load_type: String, period: Period, told: Summary) {
        self.groups.insert((load_type, period), Group::Closed(told));
    }

    /// Whether [`close`](Self::close) would change something.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.groups.iter().any(|((_, period), group)| match group {
            Group::Open(_) => now >= period.closes_at(),
            Group::Closed(_) => period.is_forgotten(now),
        })
    }

    /// Keeps of groups that are closed their answer alone, and nothing of those that are not told or are too old.
    pub fn close(&mut self, now: Timestamp) {
        let is_due = |period: &Period| now >= period.closes_at();
        let months = self.groups.keys().filter(|(_, period)| period.whole_month && is_due(period));
        let months: BTreeSet<_> =
            months.filter(|(kind, month)| self.tells_a_day_of(kind, *month)).cloned().collect();
        for (key, group) in &mut self.groups {
            let period = key.1;
            if let Group::Open(members) = group
                && now >= period.closes_at()
            {
                self.contributions -= members.len();
                match summary(members).filter(|_| !months.contains(key)) {
                    Some(told) => *group = Group::Closed(told),
                    None => members.clear(),
                }
            }
        }
        self.groups.retain(|(_, period), group| match group {
            Group::Open(members) => !members.is_empty(),
            Group::Closed(_) => !period.is_forgotten(now),
        });
        self.own_load_types.clear();
        for ((load_type, _), group) in &self.groups {
            let Group::Open(members) = group else { continue };
            for (&by, member) in members {
                let nobody = member.known_to.is_empty().then_some(None);
                for account in nobody.into_iter().chain(member.known_to.iter().map(Some)) {
                    let own = self.own_load_types.entry(Speaker::of(account, by)).or_default();
                    own.insert(load_type.clone());
                }
            }
        }
    }

    /// Whether a day of a month is told, or will be.
    fn tells_a_day_of(&self, load_type: &str, month: Period) -> bool {
        let first = Period { end: month.start, whole_month: false, ..month };
        let on = self.groups.range((load_type.to_owned(), first)..);
        let mut of_month = on.take_while(|((kind, period), _)| kind == load_type && period.start < month.end);
        of_month.any(|((_, period), group)| {
            !period.whole_month
                && match group {
                    Group::Closed(_) => true,
                    Group::Open(members) => summary(members).is_some(),
                }
        })
    }

    pub fn tell(&self, load_type: &str, period: Period, now: Timestamp) -> Result<Summary, Refusal> {
        if now < period.closes_at() {
            return Err(Refusal::Unknown(format!("{period} is told from {} on", period.closes_at())));
        }
        let told = match self.groups.get(&(load_type.to_owned(), period)) {
            None => None,
            Some(Group::Closed(told)) => Some(*told).filter(|_| !period.is_forgotten(now)),
            Some(Group::Open(members)) => {
                summary(members).filter(|_| !(period.whole_month && self.tells_a_day_of(load_type, period)))
            }
        };
        told.ok_or_else(|| {
            let detail = format!(
                "what was contributed for {load_type:?} and {period} is not told: a group has at least {GROUP_MIN} contributors, \
                 {} of them unknown to any one account, and none with more than {} % of the sum; it is told for 13 months, and a \
                 month only if none of its days is",
                GROUP_MIN - 1,
                100.0 * SHARE_MAX
            );
            Refusal::Unknown(detail)
        })
    }
}

/// Whether what anybody can work out hides each contributor among enough others.
fn hides_each(members: &BTreeMap<ProsumerId, Member>) -> bool {
    let mut falling: Vec<&Member> = members.values().collect();
    falling.sort_unstable_by(|one, other| other.energy_kwh.total_cmp(&one.energy_kwh));
    let sum = falling.iter().map(|member| member.energy_kwh).sum::<f64>();
    let is_large = |largest: Option<&&Member>, sum: f64| {
        // The rest of a subtraction is not quite what an addition of the rest is.
        largest.is_none_or(|largest| largest.energy_kwh > SHARE_MAX * sum * (1.0 + 1e-9))
    };
    if members.len() < GROUP_MIN || is_large(falling.first(), sum) {
        return false;
    }
    let mut known: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    for member in members.values() {
        for account in &member.known_to {
            let (count, energy) = known.entry(account).or_default();
            (*count, *energy) = (*count + 1, *energy + member.energy_kwh);
        }
    }
    known.into_iter().all(|(account, (count, energy))| {
        // Each account passes over its own only, so all of them together look at each member a few times.
        let largest = falling.iter().find(|member| !member.known_to.contains(account));
        members.len() - count >= GROUP_MIN - 1 && !is_large(largest, sum - energy)
    })
}

/// Of a group; nothing when it is not to be told.
fn summary(members: &BTreeMap<ProsumerId, Member>) -> Option<Summary> {
    if !hides_each(members) {
        return None;
    }
    let mut values: Vec<f64> = members.values().map(|member| member.energy_kwh).collect();
    values.sort_unstable_by(f64::total_cmp);
    let (count, sum, largest) = (values.len(), values.iter().sum::<f64>(), *values.last()?);
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
mod tests;
