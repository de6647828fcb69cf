//! What was delivered, from an order, a baseline and a meter; and how the members of a portfolio make up for each
//! other.
//!
//! Everything is counted *along* the order: 1 mWh along is 1 mWh less taken where less was ordered, and 1 mWh more
//! where more was. With o ordered (a magnitude) and a metered along it, a member
//! * delivered d = a cut to [0, o],
//! * has a surplus s = a − o, a shortfall h = o − a (each when positive), and moved w = −a the wrong way when a < 0.
//!
//! A portfolio is judged as one: its shortfall is Σh − Σs, its delivery Σa cut to [0, Σo]. What that differs from
//! Σd is credited to the members with a surplus, or charged to those who moved the wrong way, each in proportion to
//! its own; the shortfall that is left is owed in proportion to the members' own.

use crate::proportional::Shares;
use grid::defect::{Defect, planted};

/// One member's part in one interval. Magnitudes along the order, mWh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Part {
    /// Ordered.
    pub ordered: i128,
    /// Metered along the order; negative is the wrong way.
    pub along: i128,
}

/// What one part is credited with and owes for, mWh along the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Credit {
    /// Its own delivery.
    pub delivered: i64,
    /// Credited for the others, negative when charged.
    pub netted: i64,
    /// What it owes a penalty for.
    pub shortfall: i64,
}

impl Part {
    /// The part by itself: deficiency is one-sided, a surplus neither earns nor costs.
    pub(super) fn alone(&self) -> Credit {
        let most =
            if planted(Defect::PaysBeyondTheOrder) { self.along.max(self.ordered) } else { self.ordered };
        Credit {
            delivered: whole(self.along.clamp(0, most)),
            netted: 0,
            shortfall: whole((self.ordered - self.along).max(0)),
        }
    }

    fn surplus(&self) -> i128 {
        (self.along - self.ordered).max(0)
    }

    fn shortfall(&self) -> i128 {
        (self.ordered - self.along).max(0)
    }

    fn wrong(&self) -> i128 {
        (-self.along).max(0)
    }
}

/// Judges parts of one interval and one direction as a portfolio.
pub(super) fn net(parts: &[Part]) -> Vec<Credit> {
    let sum = |of: fn(&Part) -> i128| parts.iter().map(of).sum::<i128>();
    let (surplus, shortfall, wrong) = (sum(Part::surplus), sum(Part::shortfall), sum(Part::wrong));
    let delivered = sum(|part| part.along.clamp(0, part.ordered));
    let made_up = surplus.min(shortfall);
    let credited = (made_up - wrong).max(0);
    let charged = (wrong - made_up).max(0).min(delivered);
    let mut credits = Share::new(credited, surplus);
    let mut charges = Share::new(charged, wrong);
    let mut owed = Share::new(shortfall - made_up, shortfall);
    parts
        .iter()
        .map(|part| Credit {
            netted: credits.of(part.surplus()) - charges.of(part.wrong()),
            shortfall: owed.of(part.shortfall()),
            ..part.alone()
        })
        .collect()
}

/// Shares of a whole among magnitudes, exact.
struct Share(Option<Shares>);

impl Share {
    fn new(whole_amount: i128, room: i128) -> Self {
        Self((room > 0).then(|| Shares::new(whole(whole_amount), whole(room))))
    }

    fn of(&mut self, width: i128) -> i64 {
        self.0.as_mut().map_or(0, |shares| shares.next(whole(width)))
    }
}

/// Energies are sums of at most a few thousand magnitudes below 10¹⁵ mWh; the books refuse larger ones.
fn whole(energy: i128) -> i64 {
    i64::try_from(energy).unwrap_or(if energy < 0 { i64::MIN } else { i64::MAX })
}
