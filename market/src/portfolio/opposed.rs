//! Whether offers of one bundle could deviate against each other in one slot.
//!
//! A member whose default starts at slot d and which is moved to m takes, in each slot, something between the bounds of
//! the slice that then lies there (nothing outside its slices) instead of the default that lay there. So in every slot it
//! can take less, more, both, or only the same. Two members are against each other when, moved alike, one can take less
//! where the other can take more:
//!
//! ```text
//! slot        0     1     2
//! a, default  1 kWh              moved by 1: less in slot 0, more in slot 1
//! b, default        1 kWh        moved by 1: less in slot 1, more in slot 2   → against each other in slot 1
//! ```
//!
//! At the default start nobody is: there a schedule is split on one side of the defaults.

use super::bundle::Bundle;
use super::cells::Cell;
use super::member::Kept;
use crate::flex_offer::FlexOffer;

/// Whether the offer could deviate against a member of the bundle of its group.
pub(super) fn is_against(bundle: &Bundle, offer: &FlexOffer, kept: &Kept) -> bool {
    if kept.flexibility == 0 {
        return false;
    }
    let of = offer.slices.iter().zip(&offer.default_schedule.energies);
    let of = of.map(|(slice, default)| Cell { least: slice.min.0, most: slice.max.0, default: default.0 });
    let coming =
        Shape { offset: kept.offset.into(), flexibility: kept.flexibility.into(), cells: of.collect() };
    let shift = bundle.group.default_shift();
    let mut member = Shape { offset: 0, flexibility: 0, cells: Vec::new() };
    bundle.rows().any(|row| {
        (member.offset, member.flexibility) = (row.kept.offset.into(), row.kept.flexibility.into());
        member.cells.clear();
        bundle.cells.get(row.cells).each(|cell| member.cells.push(cell));
        coming.is_against(&member, shift)
    })
}

/// A member: slots from the group's base to its earliest start, its time flexibility, and its slices.
struct Shape {
    offset: i64,
    flexibility: i64,
    cells: Vec<Cell>,
}

impl Shape {
    fn is_against(&self, other: &Self, default_shift: i64) -> bool {
        let shifts = 0..=self.flexibility.min(other.flexibility);
        shifts.filter(|&shift| shift != default_shift).any(|shift| {
            let (first, last) = (shift.min(default_shift), shift.max(default_shift));
            let from = self.offset.max(other.offset) + first;
            let until =
                (self.offset + self.cells.len() as i64).min(other.offset + other.cells.len() as i64) + last;
            (from..until).any(|slot| {
                let (a, b) = (self.ways(slot, shift, default_shift), other.ways(slot, shift, default_shift));
                (a.0 && b.1) || (a.1 && b.0)
            })
        })
    }

    /// Whether it can take less, and more, than its default in a slot when it is moved.
    fn ways(&self, slot: i64, shift: i64, default_shift: i64) -> (bool, bool) {
        let at = |shift: i64| {
            usize::try_from(slot - self.offset - shift).ok().and_then(|index| self.cells.get(index))
        };
        let (least, most) = at(shift).map_or((0, 0), |cell| (cell.least, cell.most));
        let default = at(default_shift).map_or(0, |cell| cell.default);
        (least < default, most > default)
    }
}
