//! What others see of a bundle.

use super::Portfolio;
use super::bundle::{Bundle, SlotCut, SlotSum};
use crate::bid::ZoneId;
use crate::flex_offer::{
    ActivationCost, DeviationPrices, EnergyBounds, FlexOffer, FlexOfferId, Schedule, Slice, Terms,
    TradingMode,
};
use grid::{DeviceId, EnergyMwh, Money, ProsumerId, Slot, Timestamp, UsagePointId};

/// Flexibility that the members have and their aggregate has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loss {
    /// Sum over the members of the slots they could move further than the aggregate.
    pub time_slots: i64,
    /// Sum over the slices of what the members' bounds allow beyond [`Published::slices`], mWh. Nothing of it is lost
    /// to a buyer who asks [`Portfolio::reach`].
    pub energy: EnergyMwh,
}

/// An aggregate as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its number.
    pub number: u64,
    /// Counts its changes.
    pub revision: u64,
    /// Where its energy flows.
    pub zone: ZoneId,
    /// Who trades it.
    pub mode: TradingMode,
    /// How many members it has.
    pub members: usize,
    /// The earliest deadline of its members.
    pub assignment_before: Timestamp,
    /// Earliest start slot.
    pub start_after: Slot,
    /// Latest start slot, included.
    pub start_before: Slot,
    /// Bounds per slice such that every filling of them can be split; around the default schedule.
    pub slices: Vec<Slice>,
    /// Sums of the members' slices. Fillings of them can be split when [`Published::total_energy`] is `None`.
    pub outer_slices: Vec<Slice>,
    /// Sum of the members' total bounds, when they exclude something.
    pub total_energy: Option<EnergyBounds>,
    /// Sum of the members' default schedules.
    pub default_schedule: Schedule,
    /// The dearest member's prices, micro-units per kWh.
    pub prices: DeviationPrices,
    /// Sum of the members' costs, micro-units.
    pub cost: ActivationCost,
    /// What aggregating cost.
    pub loss: Loss,
}

/// Who an aggregate appears as when it is offered upwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferIdentity {
    /// Name of the offer.
    pub id: FlexOfferId,
    /// The aggregator, as a prosumer of the next one.
    pub prosumer: ProsumerId,
    /// Where it connects.
    pub usage_point: UsagePointId,
    /// As which device.
    pub device: DeviceId,
    /// When it is made.
    pub created_at: Timestamp,
}

impl Published {
    /// The aggregate as a FlexOffer of its aggregator, for the next one above: bounds per slice only, so that every
    /// schedule of it can be split.
    pub fn offer(&self, identity: OfferIdentity) -> FlexOffer {
        FlexOffer {
            id: identity.id,
            prosumer: identity.prosumer,
            usage_point: identity.usage_point,
            device: identity.device,
            created_at: identity.created_at,
            acceptance_before: self.assignment_before,
            assignment_before: self.assignment_before,
            start_after: self.start_after,
            start_before: self.start_before,
            slices: self.slices.clone(),
            total_energy: None,
            default_schedule: self.default_schedule.clone(),
            prices: self.prices,
            terms: Terms { mode: self.mode, cost: self.cost, ..Terms::default() },
        }
    }
}

impl Portfolio {
    /// An aggregate that is published, by its number.
    pub fn published(&self, number: u64) -> Option<Published> {
        let at = *self.by_number.get(&number)?;
        self.is_published(at).then(|| publish(self.bundles.get(at)?)).flatten()
    }

    /// Least and most energy that the members of an aggregate can take in a set of slices together, mWh: the set
    /// functions p and b of the exact sum. A schedule can be split exactly when, for every set, it asks for something
    /// between them.
    pub fn reach(&self, number: u64, inside: impl Fn(usize) -> bool) -> Option<(EnergyMwh, EnergyMwh)> {
        let bundle = self.bundle(number)?;
        let first = bundle.first();
        let (mut least, mut most) = (0_i64, 0_i64);
        for row in bundle.rows() {
            let offset = usize::from(row.kept.offset) - first;
            let total = bundle.total_of(row);
            let (mut within, mut without) = ((0, 0), (0, 0));
            for (k, cell) in bundle.cells.get(row.cells).iter().enumerate() {
                let sum = if inside(offset + k) { &mut within } else { &mut without };
                *sum = (sum.0 + cell.least, sum.1 + cell.most);
            }
            least += within.0.max(total.0 - without.1);
            most += within.1.min(total.1 - without.0);
        }
        Some((EnergyMwh(least), EnergyMwh(most)))
    }
}

fn publish(bundle: &Bundle) -> Option<Published> {
    let first = bundle.first();
    let sums = bundle.sums.get(first..)?;
    let start_after = bundle.group.base().plus(first as i64);
    let flexibility = bundle.flexibility();
    let slice = |min, max| EnergyBounds { min: EnergyMwh(min), max: EnergyMwh(max) };
    let safe = |(sum, cut): (&SlotSum, SlotCut)| slice(sum.least + cut.below, sum.most - cut.above);
    let count = i64::try_from(bundle.count).unwrap_or(i64::MAX);
    Some(Published {
        number: bundle.number,
        revision: bundle.revision,
        zone: bundle.group.zone,
        mode: bundle.group.mode,
        members: bundle.count,
        assignment_before: Timestamp::from_nanos(bundle.assignments.min()?),
        start_after,
        start_before: start_after.plus(flexibility),
        slices: sums.iter().zip(bundle.cuts(first)).map(safe).collect(),
        outer_slices: sums.iter().map(|sum| slice(sum.least, sum.most)).collect(),
        total_energy: (bundle.bound_members > 0).then(|| slice(bundle.total.0, bundle.total.1)),
        default_schedule: Schedule {
            start: start_after.plus(bundle.group.default_shift()),
            energies: sums.iter().map(|sum| EnergyMwh(sum.default)).collect(),
        },
        prices: DeviationPrices {
            decrease: Money(bundle.decreases.max()?),
            increase: Money(bundle.increases.max()?),
        },
        cost: bundle.cost,
        loss: Loss {
            time_slots: bundle.flexibility_sum - flexibility * count,
            energy: EnergyMwh(bundle.cuts(first).take(sums.len()).map(|cut| cut.below + cut.above).sum()),
        },
    })
}
