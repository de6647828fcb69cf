//! Measurements that parties send of points of their own, and what becomes of each.

use crate::deposit::{no_register, now, read};
use crate::party::Party;
use crate::problem::Problem;
use access::{Action, Resource};
use actix_web::http::StatusCode;
use connectors::Message;
use connectors::house::check_measurement;
use futures_util::future::join_all;
use grid::{EnergyMwh, Measurement, PointId, Quality, Quantity, Timestamp};
use register::meters::{Counted, Registers};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// How far ahead of ours a party's clock may be; of energies not at all: a quarter-hour that is not over has none.
const AHEAD_MAX: Duration = Duration::from_secs(60);
/// How old a measurement may be.
const AGE_MAX: Duration = Duration::from_secs(7 * 86_400);
/// Refusals that say nothing against the value: somebody else's, or an earlier one, stands, or only somebody else's could.
const ANOTHER_STANDS: [&str; 4] =
    ["less-preferred", "reading_twice", "refused-by-ledger", "reading_uncertified"];

/// A value of a point: `value`, or the registers of a meter that counts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reading {
    pub point: PointId,
    pub ts: Timestamp,
    /// In the point's unit; of an energy, that of the quarter-hour that ends at `ts`.
    #[serde(default)]
    value: Option<f64>,
    /// The only register of a meter of something that only takes, kWh.
    #[serde(default)]
    cumulative_kwh: Option<f64>,
    /// Register of what is taken from the grid, kWh.
    #[serde(default)]
    import_kwh: Option<f64>,
    /// Register of what is fed in, kWh.
    #[serde(default)]
    export_kwh: Option<f64>,
}

/// What became of a reading that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Became {
    /// In the words of the interface.
    Word(&'static str),
    /// Passed on, kept in the history, and not used: by this rule.
    Unused(&'static str),
}

impl Became {
    /// As a refusal, where it is one.
    pub fn taken(self) -> Result<&'static str, Problem> {
        match self {
            Self::Word(word) => Ok(word),
            Self::Unused(code) => Err(refused(code, "it was kept as received and is not used: see the code")),
        }
    }
}

fn refused(code: &str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}

impl Reading {
    /// Of JSON.
    pub fn of(body: &Value) -> Result<Self, Problem> {
        Self::deserialize(body).map_err(|error| refused("malformed", format!("not a measurement: {error}")))
    }

    fn check_time(&self, received_at: Timestamp) -> Result<(), Problem> {
        let ahead_max = if self.point.quantity == Quantity::SlotEnergy { Duration::ZERO } else { AHEAD_MAX };
        if self.ts > received_at.plus(ahead_max) || received_at.since(self.ts) > AGE_MAX {
            let detail = format!(
                "{} is not of the last seven days, it is {received_at}; an energy is taken when its quarter-hour is over",
                self.ts
            );
            return Err(refused("time", detail));
        }
        Ok(())
    }

    /// The registers, when it is a reading of those.
    fn registers(&self, feeds_in: bool) -> Result<Option<Registers>, Problem> {
        let Self { point, value, cumulative_kwh, import_kwh, export_kwh, .. } = self;
        let energy = |name: &str, kwh: &Option<f64>| match *kwh {
            None => Ok(None),
            Some(kwh) if kwh < 0.0 => {
                Err(refused("malformed", format!("{name} is {kwh}: registers count upwards from 0")))
            }
            Some(kwh) => EnergyMwh::from_watt_hours(kwh * 1e3)
                .map(Some)
                .map_err(|error| refused("malformed", format!("{name}: {error}"))),
        };
        let split = import_kwh.is_some() || export_kwh.is_some();
        let ways = [value.is_some(), cumulative_kwh.is_some(), split].into_iter().filter(|way| *way).count();
        if ways != 1 || (value.is_none() && point.quantity != Quantity::SlotEnergy) {
            let detail = "one of value, cumulative_kwh, and import_kwh with export_kwh is wanted; registers only of an energy";
            return Err(refused("malformed", detail));
        }
        if value.is_some() {
            return Ok(None);
        }
        if feeds_in && (import_kwh.is_none() || export_kwh.is_none()) {
            let detail = format!(
                "{point} can feed in: import_kwh and export_kwh are wanted, what is taken and what is fed in; 0 for a register \
                 that is not there"
            );
            return Err(refused("registers", detail));
        }
        let import = energy("import_kwh", import_kwh)?.or(energy("cumulative_kwh", cumulative_kwh)?);
        Ok(Some(Registers { import, export: energy("export_kwh", export_kwh)? }))
    }
}

/// What became of each of several values, in their order.
pub(crate) type Outcomes = Vec<Result<&'static str, Problem>>;

impl Party<'_> {
    /// Takes several, each by itself: what is wrong with one takes nothing from the others. Those of one point are taken one after
    /// the other, those of several points side by side, so that they wait for the disk together.
    pub async fn measured_all(&self, values: &[Value]) -> Outcomes {
        let mut by_point: BTreeMap<Option<PointId>, Vec<(usize, Result<Reading, Problem>)>> = BTreeMap::new();
        for (place, reading) in values.iter().map(Reading::of).enumerate() {
            let point = reading.as_ref().ok().map(|reading| reading.point);
            by_point.entry(point).or_default().push((place, reading));
        }
        let one_point = async |readings: Vec<(usize, Result<Reading, Problem>)>| {
            let (mut outcomes, mut ours) = (Vec::new(), None);
            for (place, reading) in readings {
                let outcome = match (&ours, reading) {
                    // What follows something that is our fault is sent again with it, in its order.
                    (Some(problem), _) => Err(Problem::clone(problem)),
                    (None, Ok(reading)) => self.measured(&reading).await.and_then(Became::taken),
                    (None, Err(problem)) => Err(problem),
                };
                ours = ours.or(outcome.as_ref().err().filter(|problem| problem.is_ours()).cloned());
                outcomes.push((place, outcome));
            }
            outcomes
        };
        let outcomes = join_all(by_point.into_values().map(one_point)).await;
        let mut outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
        outcomes.sort_unstable_by_key(|(place, _)| *place);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Takes a measurement of a point of one's own; kept when this returns.
    pub async fn measured(&self, reading: &Reading) -> Result<Became, Problem> {
        let owners = self.state.served.market.owners(reading.point.element);
        for &owner in &owners {
            self.may((Resource::Measurement, Action::Create), owner, reading.point.to_string()).await?;
        }
        if owners.is_empty() || self.about.is_some_and(|prosumer| !owners.contains(&prosumer)) {
            // As it would be refused to somebody else.
            let (resource, action) = (Resource::Measurement, Action::Create);
            let detail = format!("{action} {resource}: it belongs to somebody else, or to nobody");
            return Err(Problem::new(StatusCode::FORBIDDEN, "not_own", detail));
        }
        let received_at = now(self.state)?;
        reading.check_time(received_at)?;
        let feeds_in = self.state.served.market.feeds_in(reading.point.element);
        match (reading.registers(feeds_in)?, reading.value) {
            (Some(total), _) => self.counted(reading, total, received_at).await,
            (None, Some(value)) => {
                let is_energy = reading.point.quantity == Quantity::SlotEnergy;
                if is_energy && reading.ts != reading.ts.slot().start() {
                    let detail =
                        format!("{value} Wh: ts is the end of a quarter-hour, {} is none", reading.ts);
                    return Err(refused("time", detail));
                }
                let refused = self.tell(reading.point, value, (reading.ts, received_at)).await?;
                Ok(refused.map_or(Became::Word("taken"), Became::Unused))
            }
            (None, None) => Err(refused("malformed", "there is no value")),
        }
    }

    /// Passes a value on; the word of the rule by which it is not used.
    async fn tell(
        &self,
        point: PointId,
        value: f64,
        (measured_at, received_at): (Timestamp, Timestamp),
    ) -> Result<Option<&'static str>, Problem> {
        let quality = Quality::Measured;
        let value = Measurement { point, value, quality, measured_at, received_at };
        check_measurement(&value).map_err(|(_, reason)| refused("malformed", reason))?;
        self.pass(Message::Telemetry(vec![value])).await
    }

    /// A reading of a meter that counts. One that makes an energy nobody believes is not remembered: it may be sent again.
    async fn counted(
        &self,
        reading: &Reading,
        total: Registers,
        received_at: Timestamp,
    ) -> Result<Became, Problem> {
        let (point, at) = (reading.point, reading.ts);
        let counted = read(self.state, move |register| register.counted(point, at, total)).await?;
        let mut became = Became::Word(counted.word());
        if let Counted::Slot { slot, energy } = counted
            && let Some(code) = self.tell(point, energy.watt_hours(), (slot.end(), received_at)).await?
        {
            became = Became::Unused(code);
            if !ANOTHER_STANDS.contains(&code) {
                return Ok(became);
            }
        }
        let commits = self.state.commits.as_ref().ok_or_else(no_register)?;
        commits.remember((point, at, total), now(self.state)?).await?;
        Ok(became)
    }
}

/// What a party is told of one of its measurements.
pub(crate) fn told(body: &Value, outcome: Result<&'static str, &Problem>) -> Value {
    let mut told = json!({ "point": body["point"], "ts": body["ts"] });
    match outcome {
        Ok(word) => told["became"] = json!(word),
        Err(problem) => {
            let (code, detail) = problem.words();
            told["became"] = json!("refused");
            told["code"] = json!(code);
            told["detail"] = json!(detail);
        }
    }
    told
}
