//! The register: all collections and the file behind them.

use crate::benchmark::{Benchmark, Contribution, Group, Member, Period, Summary};
use crate::error::{Refusal, RegisterError, StoreError};
use crate::feedback::Feedback;
use crate::indicator::{Goal, Indicator, Indicators, Watch};
use crate::keyed::{Entry, Keyed};
use crate::log::Log;
use crate::meters::{Counted, Meters, Reading, Registers};
use crate::weather::{Air, SLOTS_MAX, Temperatures, Weather};
use grid::{PointId, ProsumerId, Slot, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

/// Name of the file in a data directory.
pub const FILE_NAME: &str = "register.log";

/// When writing the file anew failed, it is tried again after so long.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// One thing that was done, or (`Kept…`) what remains of many.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    Put { owner: String, at: Timestamp, values: Vec<(String, String)> },
    Deleted { keys: Vec<String> },
    Contributed(Contribution),
    Posted { name: String, at: Timestamp, value: f64, unit: String },
    Aimed { name: String, goal: Goal },
    Watched { name: String, watch: Watch },
    Answered { bid: String, by: String, answer: String },
    KeptGroup { load_type: String, period: Period, told: Summary },
    KeptIndicator { name: String, indicator: Indicator },
    KeptFeedback(Feedback),
    Read { point: PointId, reading: Reading },
    ReadAll { readings: Vec<(PointId, Reading)> },
    Air { slots: Vec<(Slot, Air)> },
}

/// What parties deposited. Whoever opens it holds the lock of the journal in the same directory.
#[derive(Debug)]
pub struct Register {
    log: Log,
    keyed: Keyed,
    benchmark: Benchmark,
    indicators: Indicators,
    feedback: Feedback,
    meters: Meters,
    weather: Weather,
    /// Of contributors to groups that are closed.
    names_in_file: bool,
    /// Writing the file anew failed and is not tried before.
    rest_until: Option<Timestamp>,
}

impl Register {
    /// Opens or begins the register of a data directory.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read or is damaged.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::File { path: directory.to_owned(), doing: "making", source };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let (log, records) = Log::open(&directory.join(FILE_NAME))?;
        let mut register = Self {
            log,
            keyed: Keyed::default(),
            benchmark: Benchmark::default(),
            indicators: Indicators::default(),
            feedback: Feedback::default(),
            meters: Meters::default(),
            weather: Weather::default(),
            names_in_file: false,
            rest_until: None,
        };
        records.into_iter().for_each(|record| register.apply(record));
        Ok(register)
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Put { owner, at, values } => {
                for (key, value) in values {
                    self.keyed.put(key, Entry { owner: owner.clone(), at, value });
                }
            }
            Record::Deleted { keys } => keys.iter().for_each(|key| self.keyed.delete(key)),
            Record::Contributed(given) => self.benchmark.contribute(given),
            Record::Posted { name, at, value, unit } => self.indicators.post(name, at, value, unit),
            Record::Aimed { name, goal } => self.indicators.aim(&name, goal),
            Record::Watched { name, watch } => self.indicators.watch(&name, watch),
            Record::Answered { bid, by, answer } => self.feedback.answer(bid, by, answer),
            Record::KeptGroup { load_type, period, told } => self.benchmark.restore(load_type, period, told),
            Record::KeptIndicator { name, indicator } => {
                self.indicators.0.insert(name, indicator);
            }
            Record::KeptFeedback(feedback) => self.feedback = feedback,
            Record::Read { point, reading } => {
                self.meters.0.insert(point, reading);
            }
            Record::ReadAll { readings } => self.meters.0.extend(readings),
            Record::Air { slots } => self.weather.0.extend(slots),
        }
    }

    /// On the disk first, then it counts.
    fn keep(&mut self, record: Record, now: Timestamp) -> Result<(), StoreError> {
        self.log.append(&record)?;
        self.apply(record);
        self.tidy(now);
        Ok(())
    }

    /// Closes groups of benchmarks whose time has come, and writes the file anew when their names are to leave it or it has grown
    /// long. Whoever keeps a register does so at least daily.
    pub fn tidy(&mut self, now: Timestamp) {
        if self.benchmark.is_due(now) {
            self.benchmark.close(now);
            self.names_in_file = true;
        }
        self.weather.forget(now);
        let rests = self.log.is_stuck() || self.rest_until.is_some_and(|until| now < until);
        if (self.names_in_file || self.log.is_long()) && !rests {
            let records = remaining(&self.keyed, &self.benchmark, &self.indicators, &self.feedback);
            if let Err(error) = self.log.write_anew(records.chain(series(&self.meters, &self.weather))) {
                // What was kept is kept. Writing all of it takes long; the next record does not wait for that again.
                self.rest_until = Some(now.plus(TRY_AGAIN_AFTER));
                tracing::error!(%error, "the register's file could not be written anew");
            } else {
                (self.names_in_file, self.rest_until) = (false, None);
            }
        }
    }

    /// Puts values under keys, all or none. Values are JSON texts and come back byte for byte.
    ///
    /// # Errors
    /// [`RegisterError`]: somebody else's key, a limit, no JSON, or the disk.
    pub fn put(
        &mut self,
        owner: &str,
        values: Vec<(String, String)>,
        now: Timestamp,
    ) -> Result<(), RegisterError> {
        self.keyed.may_put(owner, &values)?;
        if values.is_empty() {
            return Ok(());
        }
        Ok(self.keep(Record::Put { owner: owner.to_owned(), at: now, values }, now)?)
    }

    /// Deletes keys, all or none, and names those that were there.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn delete(
        &mut self,
        owner: &str,
        keys: &[String],
        now: Timestamp,
    ) -> Result<Vec<String>, RegisterError> {
        let there = self.keyed.may_delete(owner, keys)?;
        if !there.is_empty() {
            self.keep(Record::Deleted { keys: there.clone() }, now)?;
        }
        Ok(there)
    }

    /// What stands under a key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.keyed.get(key)
    }

    /// Keys and what stands under them, by key, after one of them.
    pub fn keys(&self, after: Option<&str>) -> impl Iterator<Item = (&String, &Entry)> {
        self.keyed.after(after)
    }

    /// Contributes what a prosumer's loads of a type took in a period, kWh; replaces what it contributed before.
    ///
    /// # Errors
    /// [`RegisterError`]: the period is not over or closed, a limit, no such energy, or the disk.
    pub fn contribute(&mut self, given: Contribution, now: Timestamp) -> Result<(), RegisterError> {
        // What is over makes room first.
        self.tidy(now);
        self.benchmark.may_contribute(&given, now)?;
        Ok(self.keep(Record::Contributed(given), now)?)
    }

    /// What a closed group is told as.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] when it is not told.
    pub fn benchmark(&self, load_type: &str, period: Period, now: Timestamp) -> Result<Summary, Refusal> {
        self.benchmark.tell(load_type, period, now)
    }

    /// Posts a value of an indicator, which its first value makes. `false`: it was there already.
    ///
    /// # Errors
    /// [`RegisterError`]: another value or unit, the future, a limit, or the disk.
    pub fn post(
        &mut self,
        name: &str,
        at: Timestamp,
        value: f64,
        unit: &str,
        now: Timestamp,
    ) -> Result<bool, RegisterError> {
        let new = self.indicators.may_post(name, at, value, unit, now)?;
        if new {
            let (name, unit) = (name.to_owned(), unit.to_owned());
            self.keep(Record::Posted { name, at, value, unit }, now)?;
        }
        Ok(new)
    }

    /// Sets the goal of an indicator.
    ///
    /// # Errors
    /// [`RegisterError`]: no such indicator, no number, or the disk.
    pub fn aim(&mut self, name: &str, goal: Goal, now: Timestamp) -> Result<(), RegisterError> {
        self.indicators.may_aim(name, goal)?;
        Ok(self.keep(Record::Aimed { name: name.to_owned(), goal }, now)?)
    }

    /// Sets when an indicator raises an alarm.
    ///
    /// # Errors
    /// As [`aim`](Self::aim).
    pub fn watch(&mut self, name: &str, watch: Watch, now: Timestamp) -> Result<(), RegisterError> {
        self.indicators.may_watch(name, watch)?;
        Ok(self.keep(Record::Watched { name: name.to_owned(), watch }, now)?)
    }

    /// An indicator.
    ///
    /// # Errors
    /// [`Refusal::Unknown`].
    pub fn indicator(&self, name: &str) -> Result<&Indicator, Refusal> {
        self.indicators.find(name)
    }

    /// All indicators, by name.
    pub fn indicators(&self) -> &BTreeMap<String, Indicator> {
        &self.indicators.0
    }

    /// What a counting meter's reading says; [`remember`](Self::remember) it when that has been passed on.
    ///
    /// # Errors
    /// [`Refusal::Limit`].
    pub fn counted(&self, point: PointId, at: Timestamp, total: Registers) -> Result<Counted, Refusal> {
        self.meters.look(point, at, total).map(|(counted, _)| counted)
    }

    /// Remembers a reading, so that the next one gives the energy since then.
    ///
    /// # Errors
    /// [`RegisterError`]: a limit, or the disk.
    pub fn remember(
        &mut self,
        (point, at, total): (PointId, Timestamp, Registers),
        now: Timestamp,
    ) -> Result<(), RegisterError> {
        match self.meters.look(point, at, total)?.1 {
            None => Ok(()),
            Some(reading) => Ok(self.keep(Record::Read { point, reading }, now)?),
        }
    }

    /// Remembers readings of many meters in one record, which is synced once; what is refused of them, one by one.
    ///
    /// # Errors
    /// [`StoreError`] of the disk: none is remembered then.
    pub fn remember_all(
        &mut self,
        readings: &[(PointId, Timestamp, Registers)],
        now: Timestamp,
    ) -> Result<Vec<Result<(), Refusal>>, StoreError> {
        let (readings, looked) = self.meters.look_at_all(readings);
        if !readings.is_empty() {
            self.keep(Record::ReadAll { readings: readings.into_iter().collect() }, now)?;
        }
        Ok(looked)
    }

    /// Keeps temperatures, as far as nothing better is known; returns of how many quarter-hours that changes what is known.
    ///
    /// # Errors
    /// [`RegisterError`]: too many, too far away, no temperature of air, or the disk.
    pub fn weather(&mut self, given: &Temperatures, now: Timestamp) -> Result<usize, RegisterError> {
        let slots = self.weather.may_give(given, now)?;
        let count = slots.len();
        if count > 0 {
            self.keep(Record::Air { slots }, now)?;
        }
        Ok(count)
    }

    /// What is known of the air, by quarter-hour.
    pub fn air(&self, slots: Range<Slot>) -> impl Iterator<Item = (Slot, Air)> {
        let range = if slots.start <= slots.end { slots } else { slots.end..slots.end };
        self.weather.0.range(range).map(|(slot, air)| (*slot, *air))
    }

    /// Keeps a party's answer to a bid; it replaces the earlier one.
    ///
    /// # Errors
    /// [`RegisterError`]: too many parties, or the disk.
    pub fn answer(
        &mut self,
        bid: &str,
        by: &str,
        answer: String,
        now: Timestamp,
    ) -> Result<(), RegisterError> {
        self.feedback.may_answer(bid, by)?;
        let (bid, by) = (bid.to_owned(), by.to_owned());
        Ok(self.keep(Record::Answered { bid, by, answer }, now)?)
    }

    /// The answers to a bid by party, and how many to any bid had to go.
    pub fn answers(&self, bid: &str) -> (Vec<(String, String)>, u64) {
        let answers = self.feedback.by_bid.get(bid).map(|answers| answers.by_party.clone());
        (answers.unwrap_or_default().into_iter().collect(), self.feedback.forgotten)
    }
}

/// Fewest records that say the same. They are made one by one.
fn remaining<'a>(
    keyed: &'a Keyed,
    benchmark: &'a Benchmark,
    indicators: &'a Indicators,
    feedback: &'a Feedback,
) -> Box<dyn Iterator<Item = Record> + 'a> {
    let values = keyed.after(None).map(|(key, entry)| Record::Put {
        owner: entry.owner.clone(),
        at: entry.at,
        values: vec![(key.clone(), entry.value.clone())],
    });
    let groups = benchmark.groups.iter().flat_map(|((load_type, period), group)| match group {
        Group::Closed(told) => {
            vec![Record::KeptGroup { load_type: load_type.clone(), period: *period, told: *told }]
        }
        Group::Open(members) => {
            let one = |(&by, member): (&ProsumerId, &Member)| {
                let (load_type, period, energy_kwh) = (load_type.clone(), *period, member.energy_kwh);
                let given = Contribution { by, account: None, load_type, period, energy_kwh };
                let of = |account: &String| Contribution { account: Some(account.clone()), ..given.clone() };
                let records: Vec<_> = member.known_to.iter().map(of).map(Record::Contributed).collect();
                if records.is_empty() { vec![Record::Contributed(given)] } else { records }
            };
            members.iter().flat_map(one).collect()
        }
    });
    let indicators = indicators
        .0
        .iter()
        .map(|(name, indicator)| Record::KeptIndicator { name: name.clone(), indicator: indicator.clone() });
    Box::new(values.chain(groups).chain(indicators).chain([Record::KeptFeedback(feedback.clone())]))
}

/// The same of readings and temperatures.
fn series<'a>(meters: &'a Meters, weather: &'a Weather) -> impl Iterator<Item = Record> + use<'a> {
    let readings = meters.0.iter().map(|(&point, &reading)| Record::Read { point, reading });
    let mut air = weather.0.iter().map(|(slot, air)| (*slot, *air));
    let temperatures = std::iter::from_fn(move || {
        let slots: Vec<_> = air.by_ref().take(SLOTS_MAX).collect();
        (!slots.is_empty()).then_some(Record::Air { slots })
    });
    readings.chain(temperatures)
}

#[cfg(test)]
mod tests;
