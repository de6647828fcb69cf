//! The rules an offer keeps by itself. Magnitudes come first, so that the sums after them cannot overflow.

use super::terms_check;
use super::{DeviationPrices, EnergyBounds, FlexOffer, FlexOfferFault as Fault, Schedule, Slice};
use grid::{EnergyMwh, Slot};
use std::time::Duration;

/// Most slices of a profile: two days.
pub const SLICES_MAX: usize = 192;
/// How far after its creation an offer may end.
pub const HORIZON: Duration = Duration::from_secs(7 * 86_400);
/// Largest magnitude of an energy, mWh (1 TWh).
const ENERGY_MAX: i64 = 1_000_000_000_000_000;
/// Largest price, micro-units per kWh (1000 EUR/kWh).
pub(crate) const PRICE_MAX: i64 = 1_000_000_000;
/// First slot of the year 2200.
const SLOT_MAX: i64 = 7_258_118_400 / Slot::SECONDS;

/// What offers and aggregated offers have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Profile<'a> {
    pub start_after: Slot,
    pub start_before: Slot,
    pub slices: &'a [Slice],
    pub total_energy: Option<EnergyBounds>,
    pub default_schedule: &'a Schedule,
    pub prices: DeviationPrices,
}

pub(super) fn check(offer: &FlexOffer) -> Result<(), Fault> {
    offer.profile().check()?;
    let end = offer.start_before.plus(offer.slices.len() as i64);
    if end.start() > offer.created_at.plus(HORIZON) {
        return Err(Fault::BeyondHorizon { end, created_at: offer.created_at });
    }
    let creation = ("the creation", offer.created_at);
    let acceptance = ("the acceptance deadline", offer.acceptance_before);
    let assignment = ("the assignment deadline", offer.assignment_before);
    let orders = [
        [creation, acceptance],
        [acceptance, assignment],
        // After it the default runs, so it cannot have begun before.
        [assignment, ("the default start", offer.default_schedule.start.start())],
        [creation, ("the earliest start", offer.start_after.start())],
    ];
    for [(earlier, earlier_at), (later, later_at)] in orders {
        if earlier_at > later_at {
            return Err(Fault::DeadlineOrder { earlier, earlier_at, later, later_at });
        }
    }
    terms_check::check(offer)
}

impl Profile<'_> {
    pub(crate) fn check(&self) -> Result<(), Fault> {
        if self.slices.is_empty() {
            return Err(Fault::Empty);
        }
        if self.slices.len() > SLICES_MAX {
            return Err(Fault::TooManySlices { slices: self.slices.len(), max: SLICES_MAX });
        }
        let sound =
            |&EnergyBounds { min, max }: &Slice| min <= max && min.0 >= -ENERGY_MAX && max.0 <= ENERGY_MAX;
        if let Some(slice) = self.slices.iter().position(|slice| !sound(slice)) {
            let EnergyBounds { min, max } = self.slices[slice];
            check_magnitude("a slice", min)?;
            check_magnitude("a slice", max)?;
            return Err(Fault::InvertedSlice { slice, min, max });
        }
        for slot in [self.start_after, self.start_before, self.default_schedule.start] {
            check_slot(slot)?;
        }
        if self.start_before < self.start_after {
            let (start_after, start_before) = (self.start_after, self.start_before);
            return Err(Fault::InvertedWindow { start_after, start_before });
        }
        check_price("decrease", self.prices.decrease)?;
        check_price("increase", self.prices.increase)?;
        self.check_total()?;
        self.check_schedule("default schedule", self.default_schedule)
    }

    fn check_total(&self) -> Result<(), Fault> {
        let Some(EnergyBounds { min, max }) = self.total_energy else { return Ok(()) };
        check_magnitude("the total", min)?;
        check_magnitude("the total", max)?;
        if min > max {
            return Err(Fault::InvertedTotal { min, max });
        }
        let (least, most) = self.reach();
        if min > most || max < least {
            return Err(Fault::UnreachableTotal { min, max, least, most });
        }
        Ok(())
    }

    /// Sums of the slices' lower and upper bounds, mWh.
    pub(crate) fn reach(&self) -> (EnergyMwh, EnergyMwh) {
        (self.slices.iter().map(|slice| slice.min).sum(), self.slices.iter().map(|slice| slice.max).sum())
    }

    /// The total bounds if they exclude anything that the slices allow.
    pub(crate) fn binding_total(&self) -> Option<EnergyBounds> {
        let (least, most) = self.reach();
        self.total_energy.filter(|total| total.min > least || total.max < most)
    }

    pub(crate) fn check_schedule(&self, name: &'static str, schedule: &Schedule) -> Result<(), Fault> {
        if schedule.energies.len() != self.slices.len() {
            let (energies, slices) = (schedule.energies.len(), self.slices.len());
            return Err(Fault::ScheduleLength { schedule: name, energies, slices });
        }
        if schedule.start < self.start_after || schedule.start > self.start_before {
            return Err(Fault::ScheduleStart {
                schedule: name,
                start: schedule.start,
                start_after: self.start_after,
                start_before: self.start_before,
            });
        }
        for (slice, (&energy, &EnergyBounds { min, max })) in
            schedule.energies.iter().zip(self.slices).enumerate()
        {
            if energy < min || energy > max {
                return Err(Fault::ScheduleEnergy { schedule: name, slice, energy, min, max });
            }
        }
        let total = schedule.energies.iter().copied().sum();
        match self.total_energy {
            Some(EnergyBounds { min, max }) if total < min || total > max => {
                Err(Fault::ScheduleTotal { schedule: name, total, min, max })
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn check_magnitude(what: &'static str, energy: EnergyMwh) -> Result<(), Fault> {
    match energy.0.unsigned_abs() > ENERGY_MAX.unsigned_abs() {
        true => Err(Fault::EnergyTooLarge { what, energy }),
        false => Ok(()),
    }
}

fn check_slot(slot: Slot) -> Result<(), Fault> {
    match (0..SLOT_MAX).contains(&slot.0) {
        true => Ok(()),
        false => Err(Fault::SlotOutOfRange { slot: slot.0 }),
    }
}

pub(super) fn check_price(what: &'static str, price: grid::Money) -> Result<(), Fault> {
    match price.0 {
        ..0 => Err(Fault::NegativePrice { what, price }),
        0..=PRICE_MAX => Ok(()),
        _ => Err(Fault::PriceTooLarge { what, price }),
    }
}

/// `schedule` − `default` per slot, ascending, zeros left out.
pub(crate) fn deviation(default: &Schedule, schedule: &Schedule) -> Vec<(Slot, EnergyMwh)> {
    let mut slots: Vec<Slot> = slots_of(default).chain(slots_of(schedule)).collect();
    slots.sort_unstable();
    slots.dedup();
    let difference = |slot| schedule.energy_in(slot).0.saturating_sub(default.energy_in(slot).0);
    slots.into_iter().map(|slot| (slot, EnergyMwh(difference(slot)))).filter(|(_, d)| d.0 != 0).collect()
}

fn slots_of(schedule: &Schedule) -> impl Iterator<Item = Slot> {
    (schedule.start.0..schedule.end().0).map(Slot)
}
