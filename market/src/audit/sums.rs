//! Whether an aggregate is what its members come to.

use super::lone::is_plain;
use crate::contract::AggregatedFlexOffer;
use crate::flex_offer::FlexOffer;
use std::collections::BTreeMap;

/// Least, most and default of a slot, mWh.
type Cell = (i128, i128, i128);

/// Members keep their distance in time: slot by slot, counted with everybody at the earliest start, bounds and defaults add
/// up, deadline and window are those that suit all, prices the dearest. Where totals bind, the aggregate's bounds lie
/// inside the sums and leave on each side of the default together what the totals leave there.
pub(super) fn is_sum(aggregate: &AggregatedFlexOffer, members: &[&FlexOffer]) -> bool {
    let [first, rest @ ..] = members else { return false };
    if rest.is_empty() {
        return (first.start_after, first.start_before) == (aggregate.start_after, aggregate.start_before)
            && first.default_schedule == aggregate.default_schedule
            && first.slices == aggregate.slices
            && first.prices == aggregate.prices
            && first.assignment_before == aggregate.assignment_before;
    }
    let least = |of: fn(&FlexOffer) -> i64| members.iter().map(|offer| of(offer)).min();
    let most = |of: fn(&FlexOffer) -> i64| members.iter().map(|offer| of(offer)).max();
    let distance = aggregate.default_schedule.start.0 - aggregate.start_after.0;
    aggregate.total_energy.is_none()
        && members.iter().all(|offer| is_plain(offer))
        && members.iter().all(|offer| offer.default_schedule.start.0 - offer.start_after.0 == distance)
        && least(|offer| offer.start_after.0) == Some(aggregate.start_after.0)
        && least(|offer| offer.start_before.0 - offer.start_after.0)
            == Some(aggregate.start_before.0 - aggregate.start_after.0)
        && members.iter().map(|offer| offer.assignment_before).min() == Some(aggregate.assignment_before)
        && most(|offer| offer.prices.decrease.0) == Some(aggregate.prices.decrease.0)
        && most(|offer| offer.prices.increase.0) == Some(aggregate.prices.increase.0)
        && adds_up(aggregate, members)
}

fn adds_up(aggregate: &AggregatedFlexOffer, members: &[&FlexOffer]) -> bool {
    let (mut sums, mut bound, mut room) = (BTreeMap::<i64, Cell>::new(), false, (0, 0));
    for offer in members {
        let mut whole = (0, 0, 0);
        for (at, (slice, default)) in offer.slices.iter().zip(&offer.default_schedule.energies).enumerate() {
            let sum = sums.entry(offer.start_after.0 - aggregate.start_after.0 + at as i64).or_default();
            for sum in [sum, &mut whole] {
                sum.0 += i128::from(slice.min.0);
                sum.1 += i128::from(slice.max.0);
                sum.2 += i128::from(default.0);
            }
        }
        let total = offer.total_energy.map(|total| (i128::from(total.min.0), i128::from(total.max.0)));
        let (least, most) = total.map_or((whole.0, whole.1), |(a, b)| (a.max(whole.0), b.min(whole.1)));
        bound |= (least, most) != (whole.0, whole.1);
        room = (room.0 + whole.2 - least, room.1 + most - whole.2);
    }
    let cells: Vec<Cell> = aggregate
        .slices
        .iter()
        .zip(&aggregate.default_schedule.energies)
        .map(|(slice, default)| (slice.min.0.into(), slice.max.0.into(), default.0.into()))
        .collect();
    let sum = |at: usize| sums.get(&(at as i64)).copied().unwrap_or_default();
    let kept = |(at, cell): (usize, &Cell)| match bound {
        false => *cell == sum(at),
        true => cell.2 == sum(at).2 && sum(at).0 <= cell.0 && cell.1 <= sum(at).1,
    };
    let left = cells.iter().fold((0, 0), |left, cell| (left.0 + cell.2 - cell.0, left.1 + cell.1 - cell.2));
    sums.last_key_value().is_some_and(|(&last, _)| last + 1 == cells.len() as i64)
        && aggregate.slices.len() == aggregate.default_schedule.energies.len()
        && cells.iter().enumerate().all(kept)
        && left == room
}
