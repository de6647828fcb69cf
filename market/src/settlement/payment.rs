//! What a delivery earns under the three pricing rules.
//!
//! * *Pay as bid*: what the offer asked per kWh, and what it asked beside that (an activation, a shift).
//! * *Uniform*: the nodal price of the interval, never beyond the bid of the DSO; taking more costs it.
//! * *Uniform with make-whole*: the same, and when everything was delivered at least what was asked in all, as far as
//!   the DSO's bids are worth it. What is missing is earned like what is asked beside the prices.
//!
//! What is asked beside the prices per kWh is spread over the ordered intervals by energy, and earned in each as far as it
//! was delivered.

use super::fault::SettlementError;
use crate::contract::{Assignment, Contract};
use crate::price_clearing::Pricing;
use crate::proportional::Shares;
use grid::defect::{Defect, planted};
use grid::{EnergyMwh, Slot};

/// A part's deviation priced under its contract.
pub(super) struct Payment<'a> {
    contract: &'a Contract,
    part: &'a Assignment,
}

/// Rounded half away from zero, without a limit.
fn worth(energy: i64, price_per_kwh: i64) -> i128 {
    let product = i128::from(energy) * i128::from(price_per_kwh);
    let half = if planted(Defect::RoundsUp) { 999_999 } else { 500_000 };
    (product + if product < 0 { -half } else { half }) / 1_000_000
}

impl<'a> Payment<'a> {
    pub(super) fn new(contract: &'a Contract, part: &'a Assignment) -> Self {
        Self { contract, part }
    }

    /// What `credited` mWh (signed; of what was ordered in `slot`) earn, micro-units.
    pub(super) fn of(&self, slot: Slot, ordered: i64, credited: i64) -> Result<i128, SettlementError> {
        let asked = self.contract.prices.of(EnergyMwh(ordered)).0;
        match self.contract.terms.pricing {
            // A charge for what others delivered has the other sign than the order.
            Pricing::PayAsBid => {
                let along = credited.saturating_mul(ordered.signum());
                let beside = self.spread(i128::from(self.contract.beside().0), slot);
                Ok(worth(along, asked) + earned(beside, ordered, credited))
            }
            Pricing::Uniform => Ok(-worth(credited, self.nodal(slot, ordered)?)),
            Pricing::UniformMakeWhole => {
                let uplift = self.spread(self.missing()?, slot);
                Ok(earned(uplift, ordered, credited) - worth(credited, self.nodal(slot, ordered)?))
            }
        }
    }

    /// Micro-units per kWh; the price of the direction that was ordered.
    fn nodal(&self, slot: Slot, ordered: i64) -> Result<i64, SettlementError> {
        let found = self.contract.slot_prices.iter().find(|price| price.slot == slot);
        let none = || SettlementError::NoPrice { contract: self.contract.id.clone(), slot };
        found.map(|price| price.paid(ordered).0).ok_or_else(none)
    }

    /// What the part lacks in all to be whole, micro-units.
    fn missing(&self) -> Result<i128, SettlementError> {
        let (mut asked, mut earned, mut bid) = (i128::from(self.contract.beside().0), 0_i128, 0_i128);
        for &(at, EnergyMwh(energy)) in &self.part.deviation {
            asked += worth(energy.saturating_abs(), self.contract.prices.of(EnergyMwh(energy)).0);
            earned -= worth(energy, self.nodal(at, energy)?);
            let price = self.contract.slot_prices.iter().find(|price| price.slot == at);
            bid -= worth(energy, price.map_or(0, |price| price.bid.0));
        }
        Ok((asked.min(bid) - earned).max(0))
    }

    /// The share of a slot in an amount that is spread over the part's slots by energy.
    fn spread(&self, amount: i128, slot: Slot) -> i64 {
        if amount == 0 {
            return 0;
        }
        let magnitudes = self.part.deviation.iter().map(|(at, energy)| (*at, energy.0.saturating_abs()));
        let room = magnitudes.clone().fold(0_i64, |sum, (_, energy)| sum.saturating_add(energy));
        let mut shares = Shares::new(i64::try_from(amount).unwrap_or(i64::MAX), room);
        for (at, energy) in magnitudes {
            let share = shares.next(energy);
            if at == slot {
                return share;
            }
        }
        0
    }
}

/// What of an amount a slot has earned: as far as what was ordered is credited.
fn earned(amount: i64, ordered: i64, credited: i64) -> i128 {
    let (done, all) =
        (i128::from(credited) * i128::from(ordered.signum()), i128::from(ordered.unsigned_abs()));
    i128::from(amount) * done.min(all) / all.max(1)
}
