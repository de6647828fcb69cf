//! The clearing problem as arrays of integers: what a clearing by prices looks at and what its result is checked against.
//!
//! Energy is mWh per interval, positive is taken from the grid; prices are micro-units per kWh; money is micro-units.
//! Nodes, offers, bids and rows are dense numbers; names belong to whoever reads and writes files.
//!
//! * An *offer* runs its default schedule, or another start within its window with slices within their bounds and a
//!   total within its own; or it is an *option*: the default plus a factor of one deviation, the factor 0 or within
//!   `[factor_min, 1]`. What it asks: a sum once when it leaves its default, a sum per interval of shift, and a price
//!   per kWh of deviation upward and downward.
//!   It may bound every *running* sum, the energy from its start to the end of each slice (not of an option).
//!   It may belong to an exclusive *group*, of which at most one offer leaves its default, and it may accept no deviation
//!   smaller than a *least* one.
//! * A *bid* asks that the nodes it names take less (or more); worth its price up to what it asks, and charged at the same
//!   price when they do the opposite (which keeps it concave). Intervals in which it asks for nothing are worth and cost nothing.
//! * A *row* is what an element of the grid still carries: Σ sensitivity × deviation ≤ head-room, and a price for
//!   each kWh beyond.
//!
//! Welfare = Σ value of bids − Σ what accepted offers ask − Σ price of overload, in 10⁻¹² of the currency: exact.

use super::fault::ProblemFault;
use super::offer::{OfferHead, OfferTerms, OfferView};

/// Most intervals of a horizon: three weeks of quarter-hours.
pub const INTERVALS_MAX: usize = 2016;
/// Most offers of a problem.
pub const OFFERS_MAX: usize = 1_000_000;
/// Largest worth of a problem in all, in the currency, counted generously: sums in 10⁻¹⁸ of it fit 128 bits.
const WORTH_MAX: f64 = 1e15;
/// Most nodes of a problem.
pub const NODES_MAX: usize = 1_000_000;
/// Largest magnitude of one energy, mWh: 1 GWh in an interval.
pub const ENERGY_MAX: i64 = 1_000_000_000_000;
/// Largest magnitude of a bound on a total, mWh.
pub const TOTAL_MAX: i64 = 1_000_000_000_000_000_000;
/// Largest magnitude of a price (micro-units per kWh) or a charge (micro-units): a million per kWh.
pub const PRICE_MAX: i64 = 1_000_000_000_000;
/// Largest magnitude of a sensitivity, millionths.
pub const FACTOR_MAX: i64 = 100_000_000;
/// The whole of a factor or sensitivity, in millionths.
pub const WHOLE: i64 = 1_000_000;

/// One bid of the DSO: less energy per interval, or more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NeedBid {
    /// Nodes whose deviation counts.
    pub nodes: Vec<u32>,
    /// How much less, or more, is asked for, mWh per interval; 0 asks for nothing.
    pub asked: Vec<i64>,
    /// Worth of a kWh, micro-units per interval.
    pub price: Vec<i64>,
    /// Whether more consumption is asked for instead of less.
    pub more: bool,
}

impl NeedBid {
    /// Sensitivity of the bid to a deviation of its nodes, millionths: what it asks for lowers its use.
    pub(super) fn factor(&self) -> i64 {
        if self.more { -WHOLE } else { WHOLE }
    }
}

/// What one element still carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GridRow {
    /// How much more may be taken through it, mWh per interval; negative asks for relief.
    pub headroom: Vec<i64>,
    /// Price of a kWh beyond, micro-units.
    pub penalty: i64,
    /// Node and share of its deviation that goes through the element, millionths.
    pub sensitivities: Vec<(u32, i64)>,
}

/// How what was accepted is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pricing {
    /// What the offer asks.
    #[default]
    PayAsBid,
    /// The nodal prices times the deviation, whatever the offer asks.
    Uniform,
    /// The nodal prices, and at least what the offer asks.
    UniformMakeWhole,
}

impl Pricing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::PayAsBid, Self::Uniform, Self::UniformMakeWhole];

    /// The stable word.
    pub fn code(self) -> &'static str {
        match self {
            Self::PayAsBid => "pay-as-bid",
            Self::Uniform => "uniform",
            Self::UniformMakeWhole => "uniform-make-whole",
        }
    }
}

/// Everything a clearing by prices looks at. Made by `new` and the `add` functions, which check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClearingProblem {
    pub(super) intervals: usize,
    pub(super) nodes: usize,
    /// How payments are made.
    pub pricing: Pricing,
    pub(super) bids: Vec<NeedBid>,
    pub(super) rows: Vec<GridRow>,
    pub(super) heads: Vec<OfferHead>,
    pub(super) default: Vec<i64>,
    pub(super) lower: Vec<i64>,
    pub(super) upper: Vec<i64>,
    pub(super) option: Vec<i64>,
}

impl ClearingProblem {
    /// An empty problem over a horizon and a number of nodes.
    pub fn new(intervals: usize, nodes: usize, pricing: Pricing) -> Result<Self, ProblemFault> {
        if !(1..=INTERVALS_MAX).contains(&intervals) {
            return Err(ProblemFault::Horizon { intervals });
        }
        if nodes > NODES_MAX {
            return Err(ProblemFault::TooMany { what: "nodes", count: nodes, limit: NODES_MAX });
        }
        Ok(Self { intervals, nodes, pricing, ..Self::default() })
    }

    /// Intervals of the horizon.
    pub fn intervals(&self) -> usize {
        self.intervals
    }

    /// Nodes of the grid.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Offers so far.
    pub fn offers(&self) -> usize {
        self.heads.len()
    }

    /// Bids of the DSO.
    pub fn bids(&self) -> &[NeedBid] {
        &self.bids
    }

    /// What the elements carry.
    pub fn rows(&self) -> &[GridRow] {
        &self.rows
    }

    /// One offer.
    pub fn offer(&self, offer: usize) -> OfferView<'_> {
        let head = &self.heads[offer];
        let slices = head.first_slice as usize..head.first_slice as usize + usize::from(head.slices);
        let option = (head.first_option != u32::MAX).then(|| {
            let first = head.first_option as usize;
            &self.option[first..first + usize::from(head.slices)]
        });
        OfferView {
            head,
            default: &self.default[slices.clone()],
            lower: &self.lower[slices.clone()],
            upper: &self.upper[slices],
            option,
        }
    }

    /// Adds an offer and returns its number; refuses one that no schedule can satisfy or whose default breaks it.
    pub fn add_offer(&mut self, terms: &OfferTerms) -> Result<usize, ProblemFault> {
        self.check_offer(terms)?;
        terms.check_default()?;
        if self.heads.len() >= OFFERS_MAX {
            return Err(ProblemFault::TooMany { what: "offers", count: OFFERS_MAX + 1, limit: OFFERS_MAX });
        }
        let first_option = match &terms.option {
            Some(option) => {
                self.option.extend_from_slice(&option.deviation);
                (self.option.len() - option.deviation.len()) as u32
            }
            None => u32::MAX,
        };
        self.heads.push(terms.head(self.default.len() as u32, first_option));
        self.default.extend_from_slice(&terms.default);
        self.lower.extend_from_slice(&terms.lower);
        self.upper.extend_from_slice(&terms.upper);
        Ok(self.heads.len() - 1)
    }

    /// Exchanges an offer for one with as many slices and the same kind.
    pub fn replace_offer(&mut self, offer: usize, terms: &OfferTerms) -> Result<(), ProblemFault> {
        self.check_offer(terms)?;
        terms.check_default()?;
        let head =
            *self.heads.get(offer).ok_or(ProblemFault::Unknown { what: "offer", number: offer as u64 })?;
        let same = usize::from(head.slices) == terms.default.len()
            && (head.first_option == u32::MAX) == terms.option.is_none();
        if !same {
            return Err(ProblemFault::OtherShape { offer });
        }
        self.heads[offer] = terms.head(head.first_slice, head.first_option);
        let at = head.first_slice as usize;
        for (target, source) in [
            (&mut self.default, &terms.default),
            (&mut self.lower, &terms.lower),
            (&mut self.upper, &terms.upper),
        ] {
            target[at..at + source.len()].copy_from_slice(source);
        }
        if let Some(option) = &terms.option {
            let at = head.first_option as usize;
            self.option[at..at + option.deviation.len()].copy_from_slice(&option.deviation);
        }
        Ok(())
    }

    /// Adds a bid and returns its number.
    pub fn add_bid(&mut self, bid: NeedBid) -> Result<usize, ProblemFault> {
        self.lasts("bid", bid.asked.len())?;
        self.lasts("bid", bid.price.len())?;
        for &node in &bid.nodes {
            self.knows(node)?;
        }
        let mut nodes = bid.nodes.clone();
        nodes.sort_unstable();
        nodes.dedup();
        if nodes.len() != bid.nodes.len() {
            return Err(ProblemFault::Repeated { what: "a bid's node" });
        }
        within("an asked energy", &bid.asked, 0, ENERGY_MAX)?;
        within("a bid price", &bid.price, 0, PRICE_MAX)?;
        self.bids.push(bid);
        Ok(self.bids.len() - 1)
    }

    /// Adds a row and returns its number.
    pub fn add_row(&mut self, row: GridRow) -> Result<usize, ProblemFault> {
        self.lasts("row", row.headroom.len())?;
        within("a head-room", &row.headroom, -ENERGY_MAX * 1000, ENERGY_MAX * 1000)?;
        within("a penalty", &[row.penalty], 0, PRICE_MAX)?;
        let mut nodes: Vec<u32> = row.sensitivities.iter().map(|&(node, _)| node).collect();
        for &(node, factor) in &row.sensitivities {
            self.knows(node)?;
            within("a sensitivity", &[factor], -FACTOR_MAX, FACTOR_MAX)?;
        }
        nodes.sort_unstable();
        nodes.dedup();
        if nodes.len() != row.sensitivities.len() {
            return Err(ProblemFault::Repeated { what: "a row's node" });
        }
        self.rows.push(row);
        Ok(self.rows.len() - 1)
    }

    /// Changes what an element carries in one interval.
    pub fn set_headroom(&mut self, row: usize, interval: usize, headroom: i64) -> Result<(), ProblemFault> {
        within("a head-room", &[headroom], -ENERGY_MAX * 1000, ENERGY_MAX * 1000)?;
        let unknown = ProblemFault::Unknown { what: "row", number: row as u64 };
        let row = self.rows.get_mut(row).ok_or(unknown)?;
        let beyond = ProblemFault::Unknown { what: "interval", number: interval as u64 };
        *row.headroom.get_mut(interval).ok_or(beyond)? = headroom;
        Ok(())
    }

    /// Changes what overload of an element costs, micro-units per kWh.
    pub fn set_penalty(&mut self, row: usize, penalty: i64) -> Result<(), ProblemFault> {
        within("a penalty", &[penalty], 0, PRICE_MAX)?;
        let unknown = ProblemFault::Unknown { what: "row", number: row as u64 };
        self.rows.get_mut(row).ok_or(unknown)?.penalty = penalty;
        Ok(())
    }

    /// Whether all sums of a clearing of this problem, and of its certificate, fit their integers.
    pub fn check_size(&self) -> Result<(), ProblemFault> {
        let mut at_node = vec![0.0; self.nodes];
        let mut worth = 0.0;
        for number in 0..self.offers() {
            let view = self.offer(number);
            let largest = |energy: &i64| energy.unsigned_abs() as f64;
            let mut energy: f64 = view.default.iter().map(largest).sum();
            energy += view.lower.iter().zip(view.upper).map(|(l, u)| largest(l).max(largest(u))).sum::<f64>();
            energy += view.option.unwrap_or_default().iter().map(largest).sum::<f64>();
            at_node[view.node() as usize] += energy;
            let head = view.head;
            worth += energy * 1e-6 * head.price_up.max(head.price_down) as f64
                + head.activation as f64
                + head.per_interval_shifted as f64 * self.intervals as f64;
        }
        for bid in &self.bids {
            let energy: f64 = bid.nodes.iter().map(|&node| at_node[node as usize]).sum();
            let of = |(&asked, &price): (&i64, &i64)| (asked as f64 + energy) * 1e-6 * price as f64;
            worth += bid.asked.iter().zip(&bid.price).map(of).sum::<f64>();
        }
        for row in &self.rows {
            let part = |&(node, factor): &(u32, i64)| at_node[node as usize] * factor.unsigned_abs() as f64;
            let energy = row.sensitivities.iter().map(part).sum::<f64>() * 1e-6;
            let of = |headroom: &i64| (headroom.unsigned_abs() as f64 + energy) * 1e-6 * row.penalty as f64;
            worth += row.headroom.iter().map(of).sum::<f64>();
        }
        let worth = worth * 1e-6;
        if worth <= WORTH_MAX { Ok(()) } else { Err(ProblemFault::TooMuchInAll { limit: WORTH_MAX as u64 }) }
    }

    fn knows(&self, node: u32) -> Result<(), ProblemFault> {
        let known = (node as usize) < self.nodes;
        known.then_some(()).ok_or(ProblemFault::Unknown { what: "node", number: u64::from(node) })
    }

    fn lasts(&self, what: &'static str, count: usize) -> Result<(), ProblemFault> {
        let whole = count == self.intervals;
        whole.then_some(()).ok_or(ProblemFault::Length { what, count, expected: self.intervals })
    }

    fn check_offer(&self, terms: &OfferTerms) -> Result<(), ProblemFault> {
        self.knows(terms.node)?;
        let slices = terms.default.len();
        if slices == 0 || slices > self.intervals {
            return Err(ProblemFault::Slices { count: slices, limit: self.intervals });
        }
        for (what, count) in [("lower bounds", terms.lower.len()), ("upper bounds", terms.upper.len())] {
            if count != slices {
                return Err(ProblemFault::Length { what, count, expected: slices });
            }
        }
        let last = terms.start_last.max(terms.start_default);
        if terms.start_first > terms.start_last || usize::from(last) + slices > self.intervals {
            return Err(ProblemFault::Window { first: terms.start_first, last, slices });
        }
        for energies in [&terms.default, &terms.lower, &terms.upper] {
            within("an energy", energies, -ENERGY_MAX, ENERGY_MAX)?;
        }
        if let Some(slice) = (0..slices).find(|&k| terms.lower[k] > terms.upper[k]) {
            return Err(ProblemFault::Inverted {
                slice,
                lower: terms.lower[slice],
                upper: terms.upper[slice],
            });
        }
        within("a total", &[terms.total_lower, terms.total_upper], -TOTAL_MAX, TOTAL_MAX)?;
        let (least, most) = (terms.lower.iter().sum::<i64>(), terms.upper.iter().sum::<i64>());
        let none =
            terms.total_lower > terms.total_upper || terms.total_lower > most || terms.total_upper < least;
        if none {
            return Err(ProblemFault::Total {
                lower: terms.total_lower,
                upper: terms.total_upper,
                least,
                most,
            });
        }
        let charges = [terms.activation, terms.per_interval_shifted, terms.price_up, terms.price_down];
        within("what an offer asks", &charges, 0, PRICE_MAX)?;
        within("a least deviation", &[terms.least], 0, TOTAL_MAX)?;
        if terms.least > 0 && terms.option.is_some() {
            return Err(ProblemFault::LeastOfOption);
        }
        terms.check_running((least, most))?;
        terms.check_option()
    }
}

pub(super) fn within(what: &'static str, values: &[i64], least: i64, most: i64) -> Result<(), ProblemFault> {
    match values.iter().find(|&&value| value < least || value > most) {
        Some(&value) => Err(ProblemFault::OutOfRange { what, value, least, most }),
        None => Ok(()),
    }
}
