//! What a clearing by prices answers.

use super::problem::WHOLE;

/// Money exactly, in 10⁻¹⁸ of the currency: price (10⁻⁶ per kWh) × sensitivity (10⁻⁶) × energy (10⁻⁶ kWh).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Worth(pub i128);

impl Worth {
    /// Worth of a micro-unit.
    pub const MICRO: i128 = 1_000_000_000_000;

    /// In the currency, for people and plots.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 * 1e-18
    }

    /// Whole micro-units, not above it.
    pub fn micro_floor(self) -> i64 {
        clamp(self.0.div_euclid(Self::MICRO))
    }

    /// Whole micro-units, not below it.
    pub fn micro_ceil(self) -> i64 {
        clamp(self.0.div_euclid(Self::MICRO) + i128::from(self.0.rem_euclid(Self::MICRO) > 0))
    }
}

fn clamp(value: i128) -> i64 {
    value.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// The schedule of an offer that leaves its default, and what it is paid.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Which offer of the problem.
    pub offer: u32,
    /// Interval in which it starts.
    pub start: u16,
    /// Energy per slice, mWh.
    pub energies: Vec<i64>,
    /// Of an option: the factor, millionths; otherwise 0.
    pub factor: u32,
    /// What it asks for this schedule, micro-units, rounded up.
    pub asked: i64,
    /// What it is paid, micro-units.
    pub payment: i64,
    /// What the nodal prices give it beyond what it asks, micro-units; negative when it was taken because the
    /// whole of it fits where its parts would not pay.
    pub profit: i64,
}

/// A limit: something with a price per interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// A bid of the DSO.
    Bid(u32),
    /// A row of the grid.
    Row(u32),
}

/// Why an offer runs its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declined {
    /// Which offer of the problem.
    pub offer: u32,
    /// What stands against it.
    pub reason: DeclineReason,
    /// What it could have asked in all for its best other schedule, micro-units. Negative: it would have to pay.
    pub winning_ask: i64,
    /// What it asks for that schedule, micro-units.
    pub asked: i64,
    /// Where the prices charge that schedule most, and when.
    pub against: Option<(Limit, u16)>,
    /// That schedule; `None` without a choice.
    pub alternative: Option<Alternative>,
}

/// A schedule that is not run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Alternative {
    /// Interval in which it would start.
    pub start: u16,
    /// Energy per slice, mWh.
    pub energies: Vec<i64>,
    /// Of an option: the factor, millionths; otherwise 0.
    pub factor: u32,
}

/// What a kWh more costs at a node in an interval, by what charges it, 10⁻¹² of the currency per kWh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodePrice {
    /// What the bids lose by it.
    pub of_bids: i128,
    /// What the rows charge for it.
    pub of_rows: i128,
    /// Σ sensitivity × lump price: what it costs beyond when the whole of it is one lump that does not fit.
    pub of_lumps: i128,
}

/// What stands against an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeclineReason {
    /// At the prices, none of its schedules earns what it asks.
    TooDear,
    /// At the prices it would gain, but the whole of it does not fit what others left: paradoxically declined.
    DoesNotFit,
    /// At the prices it would gain, but another offer of its exclusive group is taken.
    OtherOfGroup,
    /// It accepts no deviation below a least one, and none as large was found.
    TooLittle,
    /// It has no other schedule.
    NoChoice,
}

impl DeclineReason {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::TooDear, Self::DoesNotFit, Self::OtherOfGroup, Self::TooLittle, Self::NoChoice];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooDear => "too-dear",
            Self::DoesNotFit => "does-not-fit",
            Self::OtherOfGroup => "other-of-group",
            Self::TooLittle => "too-little",
            Self::NoChoice => "no-choice",
        }
    }
}

/// The prices that prove the bound, micro-units per kWh, per limit and interval.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prices {
    /// Of the bids: what a kWh more relief is worth, or a kWh more consumption where that is asked for.
    pub bid: Vec<i64>,
    /// Of the rows: what a kWh more head-room is worth.
    pub row: Vec<i64>,
    /// Of lumps, ascending by interval and limit: parts of the penalties beside the prices above.
    pub lumps: Vec<LumpPrice>,
}

/// A lump price: it is charged on whole units of what each offer uses of a limit, so that offers which do not fit pay in
/// full. Several may stand beside each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LumpPrice {
    /// Of which limit.
    pub limit: Limit,
    /// When.
    pub interval: u16,
    /// Micro-units per kWh.
    pub price: i64,
    /// The unit, mWh; 0 counts by the head-room alone.
    pub unit: i64,
    /// Offers that count from another deviation than none, with that, mWh; ascending.
    pub from: Vec<(u32, i64)>,
}

/// The result of a clearing by prices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriceClearing {
    /// Value of bids minus asked sums minus overload, exactly.
    pub welfare: Worth,
    /// No clearing of this problem is worth more: proved by `prices` alone.
    pub bound: Worth,
    /// What branch and bound found beyond `bound`, where it was tried and ended. In floating point and without a
    /// certificate: a claim of the solver.
    pub claimed: Option<Worth>,
    /// How many offers lie in parts of the problem where branch and bound ended; for the others `claimed` counts what the
    /// prices prove.
    pub claimed_offers: usize,
    /// Offers that leave their default, ascending.
    pub plans: Vec<Plan>,
    /// All others, ascending.
    pub declined: Vec<Declined>,
    /// Prices at which every offer was answered.
    pub prices: Prices,
    /// What the prices make of every node and interval.
    pub node_prices: Vec<NodePrice>,
    /// Use of the rows, millionths of a mWh, per row and interval; positive loads them more.
    pub row_use: Vec<i128>,
    /// Money per offer with a plan and, last, of the DSO; sums to zero. Micro-units, positive is received.
    pub postings: Vec<(Payee, i64)>,
}

/// Whose money a posting moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Payee {
    /// The party behind an offer.
    Offer(u32),
    /// The buyer.
    Dso,
}

impl PriceClearing {
    /// (bound − welfare) ÷ |bound|: at most this share was left.
    pub fn gap(&self) -> f64 {
        self.gap_to(self.bound)
    }

    /// The same to the claim of branch and bound: not certified. `None` where it was not tried or did not end.
    pub fn claimed_gap(&self) -> Option<f64> {
        self.claimed.map(|claimed| self.gap_to(claimed))
    }

    fn gap_to(&self, bound: Worth) -> f64 {
        // What a foreign result says may be further apart than the numbers reach.
        let left = match bound.0.checked_sub(self.welfare.0) {
            Some(left) => left as f64,
            None => bound.0 as f64 - self.welfare.0 as f64,
        };
        if left == 0.0 { 0.0 } else { left / (bound.0.unsigned_abs() as f64).max(1.0) }
    }

    /// By how much a row is exceeded in an interval, mWh rounded up.
    pub fn overload(&self, headroom: i64, row_use: i128) -> i64 {
        let over = row_use.saturating_sub(i128::from(headroom) * i128::from(WHOLE));
        clamp(over / i128::from(WHOLE) + i128::from(over % i128::from(WHOLE) > 0)).max(0)
    }
}
