//! Small honest things for tests.

pub mod story;

use crate::flex_offer::{DeviationPrices, EnergyBounds, FlexOffer, FlexOfferId, Schedule, Slice, Terms};
use grid::{DeviceId, EnergyMwh, Money, ProsumerId, Slot, Timestamp, UsagePointId};

/// The slot `count` quarter-hours after 2026-01-15T17:30Z.
pub fn slot(count: i64) -> Slot {
    "2026-01-15T17:30:00Z".parse::<Timestamp>().unwrap().slot().plus(count)
}

/// An instant `seconds` after the start of `slot(0)`.
pub fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(slot(0).start().seconds() + seconds)
}

/// Energies in mWh.
pub fn energies(values: &[i64]) -> Vec<EnergyMwh> {
    values.iter().copied().map(EnergyMwh).collect()
}

/// Slices from pairs of bounds in mWh.
pub fn slices(values: &[(i64, i64)]) -> Vec<Slice> {
    values.iter().map(|&(min, max)| EnergyBounds { min: EnergyMwh(min), max: EnergyMwh(max) }).collect()
}

/// Two slices of 0 to 1 Wh from slot 0, which may start up to two slots later; by default 1 Wh each at once.
/// Made an hour before, to be assigned a minute before the first start. 0.10 EUR/kWh.
pub fn offer(id: &str) -> FlexOffer {
    FlexOffer {
        id: FlexOfferId::new(id).unwrap(),
        prosumer: ProsumerId(1),
        usage_point: UsagePointId(1),
        device: DeviceId(1),
        created_at: instant(-3600),
        acceptance_before: instant(-60),
        assignment_before: instant(-60),
        start_after: slot(0),
        start_before: slot(2),
        slices: slices(&[(0, 1_000), (0, 1_000)]),
        total_energy: None,
        default_schedule: Schedule { start: slot(0), energies: energies(&[1_000, 1_000]) },
        prices: DeviationPrices { decrease: Money(100_000), increase: Money(100_000) },
        terms: Terms::default(),
    }
}
