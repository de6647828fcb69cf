//! What a delivery earns under the three pricing rules.
//!
//! * *Pay as bid*: what the offer asked per kWh.
//! * *Uniform*: the nodal price of the interval, never beyond the bid of the DSO; taking more costs it.
//! * *Uniform with make-whole*: the same, and when everything was delivered at least what was asked in all, as far as
//!   the DSO's bids are worth it. What is missing is spread over the ordered intervals by energy and earned as far as
//!   the interval was delivered.

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
            Pricing::PayAsBid => Ok(worth(credited.saturating_mul(ordered.signum()), asked)),
            Pricing::Uniform => Ok(-worth(credited, self.nodal(slot, ordered)?)),
            Pricing::UniformMakeWhole => {
                let uplift = self.uplift(slot)?;
                let (done, all) =
                    (i128::from(credited) * i128::from(ordered.signum()), i128::from(ordered.unsigned_abs()));
                let earned = i128::from(uplift) * done.min(all) / all.max(1);
                Ok(earned - worth(credited, self.nodal(slot, ordered)?))
            }
        }
    }

    /// Micro-units per kWh; the price of the direction that was ordered.
    fn nodal(&self, slot: Slot, ordered: i64) -> Result<i64, SettlementError> {
        let found = self.contract.slot_prices.iter().find(|price| price.slot == slot);
        let none = || SettlementError::NoPrice { contract: self.contract.id.clone(), slot };
        found.map(|price| price.paid(ordered).0).ok_or_else(none)
    }

    /// What is added in a slot to make the part whole.
    fn uplift(&self, slot: Slot) -> Result<i64, SettlementError> {
        let (mut asked, mut earned, mut bid, mut room) = (0_i128, 0_i128, 0_i128, 0_i64);
        for &(at, EnergyMwh(energy)) in &self.part.deviation {
            asked += worth(energy.saturating_abs(), self.contract.prices.of(EnergyMwh(energy)).0);
            earned -= worth(energy, self.nodal(at, energy)?);
            let price = self.contract.slot_prices.iter().find(|price| price.slot == at);
            bid -= worth(energy, price.map_or(0, |price| price.bid.0));
            room = room.saturating_add(energy.saturating_abs());
        }
        let missing = (asked.min(bid) - earned).max(0);
        let mut shares = Shares::new(i64::try_from(missing).unwrap_or(i64::MAX), room);
        for &(at, energy) in &self.part.deviation {
            let share = shares.next(energy.0.saturating_abs());
            if at == slot {
                return Ok(share);
            }
        }
        Ok(0)
    }
}
