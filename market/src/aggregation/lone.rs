//! What an offer keeps to that is an aggregate by itself: conditions that no sum of offers can keep.

use crate::flex_offer::{Acceptance, ActivationCost, EnergyBounds, ExclusiveGroupId, FlexOffer, Schedule};
use grid::{Money, ProsumerId};

/// An exclusive group and whose it is: two prosumers may use one name.
pub type ExclusiveGroup = (ProsumerId, ExclusiveGroupId);

/// What an offer that stays alone asks beyond its profile and its prices per kWh.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoneTerms {
    /// Which schedules besides the default one may be bought.
    pub acceptance: Acceptance,
    /// At most one offer of this group is bought, now or later.
    pub group: Option<ExclusiveGroup>,
    /// Bounds on every running sum of a schedule's energies, mWh.
    pub running: Option<EnergyBounds>,
    /// What it asks beside its prices per kWh.
    pub cost: ActivationCost,
}

impl LoneTerms {
    /// What a checked offer asks; `None` when it can be summed with others.
    pub fn of(offer: &FlexOffer) -> Option<Self> {
        let terms = Self {
            acceptance: offer.terms.acceptance.clone(),
            group: offer.terms.exclusive_group.clone().map(|group| (offer.prosumer, group)),
            running: offer.terms.running_energy,
            cost: offer.terms.cost,
        };
        (terms != Self::default()).then_some(terms)
    }

    /// What is asked beside the prices per kWh when a schedule is bought instead of the default one, micro-units.
    pub fn beside(&self, default: &Schedule, schedule: &Schedule) -> Money {
        if schedule == default {
            return Money::ZERO;
        }
        let shifted = i64::try_from(schedule.start.0.abs_diff(default.start.0)).unwrap_or(i64::MAX);
        let shift = self.cost.per_slot_shifted.0.saturating_mul(shifted);
        Money(self.cost.activation.0.saturating_add(shift))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flex_offer::Terms;
    use crate::sample::{offer, slot};

    #[test]
    fn a_plain_offer_has_none_and_the_mode_does_not_count() {
        assert_eq!(LoneTerms::of(&offer("fo-1")), None);
        let mode = crate::flex_offer::TradingMode::Delegated;
        let terms = Terms { mode, revision: 3, ..Terms::default() };
        assert_eq!(LoneTerms::of(&FlexOffer { terms, ..offer("fo-1") }), None);
    }

    #[test]
    fn leaving_the_default_costs_once_and_each_slot_of_shift_as_often() {
        let cost = ActivationCost { activation: Money(1_000), per_slot_shifted: Money(10) };
        let offer = FlexOffer { terms: Terms { cost, ..Terms::default() }, ..offer("fo-1") };
        let terms = LoneTerms::of(&offer).unwrap();
        let default = &offer.default_schedule;
        let moved = |by| Schedule { start: default.start.plus(by), ..default.clone() };
        assert_eq!(terms.beside(default, default), Money::ZERO);
        assert_eq!(terms.beside(default, &moved(2)), Money(1_020));
        assert_eq!(terms.beside(&moved(2), default), Money(1_020));
        assert_eq!(slot(0), offer.start_after, "the sample starts where the test thinks");
    }
}
