//! Readings of meters that count: energies of quarter-hours from readings at their ends.
//!
//! A reading counts when it was taken at a quarter-hour's end, or up to [`TOLERANCE`] after it. Two that follow each other by one
//! quarter-hour give its energy, exactly; over a longer gap, and where the counter was set back, nobody knows what belongs to
//! which quarter-hour, and nothing is given.

use crate::error::Refusal;
use grid::{EnergyMwh, PointId, Slot, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How late after a quarter-hour's end a reading may be.
pub const TOLERANCE: Duration = Duration::from_secs(60);
/// Meters whose last reading is remembered.
pub const METERS_MAX: usize = 100_000;

/// The last reading that counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// The quarter-hour that began there.
    pub slot: Slot,
    pub total: EnergyMwh,
}

/// What a reading says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// What was taken in a quarter-hour, mWh.
    Slot {
        /// Which.
        slot: Slot,
        /// How much.
        energy: EnergyMwh,
    },
    /// The first of its meter.
    First,
    /// Quarter-hours without a reading lie before it.
    Gap,
    /// The counter was set back or exchanged.
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
        total: EnergyMwh,
    ) -> Result<(Counted, Option<Reading>), Refusal> {
        let slot = at.slot();
        if at.since(slot.start()) > TOLERANCE {
            return Ok((Counted::Between, None));
        }
        let reading = Reading { slot, total };
        let Some(last) = self.0.get(&point) else {
            let found = self.0.len() + 1;
            if found > METERS_MAX {
                return Err(Refusal::Limit { what: "meters", most: METERS_MAX, found });
            }
            return Ok((Counted::First, Some(reading)));
        };
        if slot <= last.slot {
            // The same again tells the same quarter-hour no more; it was told, or is told by whoever repeats it in time.
            return Ok((Counted::Old, None));
        }
        let counted = if total < last.total {
            Counted::Reset
        } else if slot == last.slot.plus(1) {
            Counted::Slot { slot: last.slot, energy: total - last.total }
        } else {
            Counted::Gap
        };
        Ok((counted, Some(reading)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let (counted, remember) = meters.look(point, at(time), EnergyMwh(total)).unwrap();
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
