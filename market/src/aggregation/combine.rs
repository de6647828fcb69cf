//! What an aggregate is, from its members: the same as [`crate::portfolio::Portfolio::published`] says of them, added up
//! afresh and without its code, so that the ledger may check the one by the other.

use super::is_summable;
use crate::bid::ZoneId;
use crate::contract::{AggregateId, AggregatedFlexOffer};
use crate::flex_offer::{DeviationPrices, FlexOffer, SLICES_MAX, Schedule, Slice};
use grid::{EnergyMwh, Slot};

/// Sums checked offers of one zone whose defaults lie at one distance from their earliest starts. They keep their distance
/// in time; the sum moves as far as all of them can, until the earliest deadline, at the dearest prices.
///
/// One offer stays what it is. Of several, those with a total that binds bring bounds inside which every filling keeps
/// it. `None` when there are none, or they cannot be summed.
pub fn combine(id: AggregateId, zone: ZoneId, members: &[&FlexOffer]) -> Option<AggregatedFlexOffer> {
    let (first, rest) = members.split_first()?;
    let mut sum = AggregatedFlexOffer {
        id,
        zone,
        members: members.iter().map(|offer| offer.id.clone()).collect(),
        assignment_before: first.assignment_before,
        start_after: first.start_after,
        start_before: first.start_before,
        slices: first.slices.clone(),
        total_energy: if rest.is_empty() { first.profile().binding_total() } else { None },
        default_schedule: first.default_schedule.clone(),
        prices: first.prices,
    };
    if !rest.is_empty() {
        add_up(&mut sum, members)?;
    }
    Some(sum)
}

fn add_up(sum: &mut AggregatedFlexOffer, members: &[&FlexOffer]) -> Option<()> {
    let start = members.iter().map(|offer| offer.start_after.0).min()?;
    let default_shift = sum.default_schedule.start.0.checked_sub(sum.start_after.0)?;
    let mut flexibility = i64::MAX;
    let mut slots: Vec<[i64; 3]> = Vec::new();
    for offer in members {
        if !is_summable(offer)
            || offer.default_schedule.start.0.checked_sub(offer.start_after.0)? != default_shift
        {
            return None;
        }
        flexibility = flexibility.min(offer.start_before.0.checked_sub(offer.start_after.0)?);
        let offset = usize::try_from(offer.start_after.0.checked_sub(start)?).ok()?;
        let end = offset.checked_add(offer.slices.len()).filter(|&end| end <= SLICES_MAX)?;
        if slots.len() < end {
            slots.resize(end, [0; 3]);
        }
        let parts = safe_slices(offer).zip(&offer.default_schedule.energies);
        for ([least, most, default], (slice, energy)) in slots.iter_mut().skip(offset).zip(parts) {
            *least = least.checked_add(slice.min.0)?;
            *most = most.checked_add(slice.max.0)?;
            *default = default.checked_add(energy.0)?;
        }
        sum.assignment_before = sum.assignment_before.min(offer.assignment_before);
        sum.prices = DeviationPrices {
            decrease: sum.prices.decrease.max(offer.prices.decrease),
            increase: sum.prices.increase.max(offer.prices.increase),
        };
    }
    sum.start_after = Slot(start);
    sum.start_before = Slot(start.checked_add(flexibility)?);
    sum.default_schedule = Schedule {
        start: Slot(start.checked_add(default_shift)?),
        energies: slots.iter().map(|&[_, _, default]| EnergyMwh(default)).collect(),
    };
    let slice = |[least, most, _]: [i64; 3]| Slice { min: EnergyMwh(least), max: EnergyMwh(most) };
    sum.slices = slots.into_iter().map(slice).collect();
    Some(())
}

/// The bounds of an offer's slices around its default inside which every filling keeps its total: the room below is cut
/// down to what the total leaves below the default, each slice's in proportion to its own, and so is the room above.
fn safe_slices(offer: &FlexOffer) -> impl Iterator<Item = Slice> {
    let cells = || offer.slices.iter().zip(&offer.default_schedule.energies);
    let wide = |energy: EnergyMwh| i128::from(energy.0);
    let below: i128 = cells().map(|(slice, &default)| wide(default) - wide(slice.min)).sum();
    let above: i128 = cells().map(|(slice, &default)| wide(slice.max) - wide(default)).sum();
    let default: i128 = cells().map(|(_, &default)| wide(default)).sum();
    let (down, up) = offer.total_energy.map_or((below, above), |total| {
        ((default - wide(total.min)).clamp(0, below), (wide(total.max) - default).clamp(0, above))
    });
    let (mut below_sum, mut above_sum) = (0, 0);
    cells().map(move |(slice, &default)| {
        let part = |sum: &mut i128, room: i128, (amount, whole): (i128, i128)| {
            let upto = |sum: i128| sum * amount / whole.max(1);
            let before = upto(*sum);
            *sum += room;
            upto(*sum) - before
        };
        let less = part(&mut below_sum, wide(default) - wide(slice.min), (down, below));
        let more = part(&mut above_sum, wide(slice.max) - wide(default), (up, above));
        let least = EnergyMwh(default.0.saturating_sub(i64::try_from(less).unwrap_or(i64::MAX)));
        let most = EnergyMwh(default.0.saturating_add(i64::try_from(more).unwrap_or(i64::MAX)));
        Slice { min: least, max: most }
    })
}
