//! Readings of meters that count: energies of quarter-hours from readings at their ends.
//!
//! A meter has a register for what is taken from the grid, one for what is fed in, or both; each only counts upwards. A reading
//! counts when it was taken at a quarter-hour's end, or up to [`TOLERANCE`] after it. Two that follow each other by one
//! quarter-hour give its energy, exactly: what was taken less what was fed in. Over a longer gap, and where a register was set
//! back, nobody knows what belongs to which quarter-hour, and nothing is given.

use crate::error::Refusal;
use grid::{EnergyMwh, PointId, Slot, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How late after a quarter-hour's end a reading may be.
pub const TOLERANCE: Duration = Duration::from_secs(60);
/// Meters whose last reading is remembered.
pub const METERS_MAX: usize = 100_000;

/// What the registers of a meter stand at, mWh; each only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registers {
    /// Taken from the grid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<EnergyMwh>,
    /// Fed into the grid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<EnergyMwh>,
}

/// What two readings of a meter say together.
enum Since {
    /// Taken less fed in.
    Energy(EnergyMwh),
    /// A register was set back.
    Reset,
    /// Other registers than before.
    Others,
}

impl Registers {
    fn since(self, last: Self) -> Since {
        let grown = |now: Option<EnergyMwh>, last: Option<EnergyMwh>| match (now, last) {
            (Some(now), Some(last)) if now < last => Err(Since::Reset),
            (Some(now), Some(last)) => Ok(now - last),
            (None, None) => Ok(EnergyMwh::ZERO),
            _ => Err(Since::Others),
        };
        match (grown(self.import, last.import), grown(self.export, last.export)) {
            (Ok(taken), Ok(fed_in)) => Since::Energy(taken - fed_in),
            (Err(Since::Others), _) | (_, Err(Since::Others)) => Since::Others,
            _ => Since::Reset,
        }
    }
}

/// The last reading that counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// The quarter-hour that began there.
    pub slot: Slot,
    pub total: Registers,
}

/// What a reading says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// What was taken in a quarter-hour, mWh; negative when more was fed in.
    Slot {
        /// Which.
        slot: Slot,
        /// How much.
        energy: EnergyMwh,
    },
    /// The first of its meter, or the first of these registers.
    First,
    /// Quarter-hours without a reading lie before it.
    Gap,
    /// A register was set back or exchanged.
    Reset,
    /// Not at a quarter-hour's end.
    Between,
    /// Not newer than the last one.
    Old,
}

impl Counted {
    /// Stable word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Slot { .. } => "counted",
            Self::First => "first",
            Self::Gap => "gap",
            Self::Reset => "reset",
            Self::Between => "between",
            Self::Old => "old",
        }
    }
}

/// The last reading of each meter.
#[derive(Debug, Default)]
pub(crate) struct Meters(pub BTreeMap<PointId, Reading>);

impl Meters {
    /// What a reading says, and what there is to remember of it.
    pub fn look(
        &self,
        point: PointId,
        at: Timestamp,
        total: Registers,
    ) -> Result<(Counted, Option<Reading>), Refusal> {
        look(self.0.get(&point), self.0.len(), at, total)
    }

    /// What there is to remember of several readings, the later ones of a meter after the earlier ones, and what is refused.
    pub fn look_at_all(
        &self,
        readings: &[(PointId, Timestamp, Registers)],
    ) -> (BTreeMap<PointId, Reading>, Vec<Result<(), Refusal>>) {
        let (mut all, mut new) = (BTreeMap::new(), 0);
        let looked = readings.iter().map(|&(point, at, total)| {
            let known = self.0.get(&point);
            let last = all.get(&point).or(known);
            if let Some(reading) = look(last, self.0.len() + new, at, total)?.1 {
                let is_first = all.insert(point, reading).is_none() && known.is_none();
                new += usize::from(is_first);
            }
            Ok(())
        });
        let looked = looked.collect();
        (all, looked)
    }
}

/// What a reading says after the last one of its meter, while so many meters are remembered.
fn look(
    last: Option<&Reading>,
    meters: usize,
    at: Timestamp,
    total: Registers,
) -> Result<(Counted, Option<Reading>), Refusal> {
    let slot = at.slot();
    if at.since(slot.start()) > TOLERANCE {
        return Ok((Counted::Between, None));
    }
    let reading = Reading { slot, total };
    let Some(last) = last else {
        let found = meters + 1;
        if found > METERS_MAX {
            return Err(Refusal::Limit { what: "meters", most: METERS_MAX, found });
        }
        return Ok((Counted::First, Some(reading)));
    };
    if slot <= last.slot {
        // The same again tells the same quarter-hour no more; it was told, or is told by whoever repeats it in time.
        return Ok((Counted::Old, None));
    }
    let counted = match total.since(last.total) {
        Since::Reset => Counted::Reset,
        Since::Others => Counted::First,
        Since::Energy(energy) if slot == last.slot.plus(1) => Counted::Slot { slot: last.slot, energy },
        Since::Energy(_) => Counted::Gap,
    };
    Ok((counted, Some(reading)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(total: i64) -> Registers {
        Registers { import: Some(EnergyMwh(total)), export: None }
    }

    #[test]
    fn what_is_fed_in_counts_against_what_is_taken_and_each_register_is_set_back_by_itself() {
        let mut meters = Meters::default();
        let point: PointId = "device.31.energy".parse().unwrap();
        let both =
            |import, export| Registers { import: Some(EnergyMwh(import)), export: Some(EnergyMwh(export)) };
        let mut told = Vec::new();
        for (number, total) in [
            both(1_000, 500),
            // A battery that is emptied, one that is filled, and one that is both.
            both(1_000, 740),
            both(1_300, 740),
            both(1_310, 790),
            // The register of what is fed in is set back: that the other one has grown helps nothing.
            both(1_400, 5),
            both(1_400, 15),
            taken(1_500),
            taken(1_600),
        ]
        .into_iter()
        .enumerate()
        {
            let (counted, remember) = meters.look(point, Slot(number as i64).start(), total).unwrap();
            meters.0.extend(remember.map(|reading| (point, reading)));
            told.push(match counted {
                Counted::Slot { energy, .. } => energy.0.to_string(),
                other => other.word().to_owned(),
            });
        }
        assert_eq!(told, ["first", "-240", "300", "-40", "reset", "-10", "first", "100"]);
    }

    #[test]
    fn quarter_hours_are_differences_and_what_nobody_knows_is_not_given() {
        let mut meters = Meters::default();
        let point: PointId = "device.31.energy".parse().unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut told = Vec::new();
        for (time, total) in [
            ("2026-02-02T11:00:00Z", 1_000),
            ("2026-02-02T11:07:00Z", 1_100),
            ("2026-02-02T11:15:30Z", 1_250),
            ("2026-02-02T11:15:30Z", 1_250),
            ("2026-02-02T11:30:00Z", 1_250),
            ("2026-02-02T12:00:00Z", 2_000),
            ("2026-02-02T12:15:00Z", 10),
            ("2026-02-02T12:30:00Z", 15),
        ] {
            let (counted, remember) = meters.look(point, at(time), taken(total)).unwrap();
            meters.0.extend(remember.map(|reading| (point, reading)));
            told.push(match counted {
                Counted::Slot { slot, energy } => format!("{} {}", slot.start(), energy.0),
                other => other.word().to_owned(),
            });
        }
        let expected = [
            "first",
            "between",
            "2026-02-02T11:00:00Z 250",
            "old",
            "2026-02-02T11:15:00Z 0",
            "gap",
            "reset",
            "2026-02-02T12:15:00Z 5",
        ];
        assert_eq!(told, expected);
    }
}
