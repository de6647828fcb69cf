//! The linear relaxation of a problem, in kWh and micro-units: rows and cuts come when they are violated.

use super::super::arrays::{Arrays, Kind, NO_GROUP, Offer};
use super::super::ascent::{Stream, Sweep};
use super::super::respond::{Answer, Deviation};
use super::super::solve::{Proof, ProofLump};
use super::super::state::State;
use super::cuts::{Cut, Entry, rounding_cut};
use super::simplex::{End, Simplex};
use super::{Fixing, Losses};

/// mWh in a kWh, and the solver's money in a micro-unit.
pub(super) const MILLION: f64 = 1e6;
/// Most pivots of one solve.
const PIVOTS: usize = 8_000;

/// How a node's relaxation ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Solved {
    /// Nothing below this node is worth more, 10⁻⁶ micro-units.
    Bound(f64),
    Infeasible,
    Stopped,
}

/// What a column stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// kWh more, or less, of a slice.
    More(u32, u32),
    Less(u32, u32),
    /// A start of an offer, or its option.
    Choice(u32, u32),
    /// None of an offer's starts.
    Rest(u32),
    /// Whether an offer whose energies or factor are columns of their own leaves its default.
    Active(u32),
    /// The factor of an option that can be taken in part.
    Part(u32),
    Other,
}

/// Rows that are added when they are violated: entries and right-hand side.
type Waiting = (Vec<(u32, f64)>, f64);

pub(super) struct Relaxation {
    simplex: Simplex,
    meaning: Vec<Meaning>,
    /// Per node and interval: columns with the kWh they take.
    uses: Vec<Vec<(u32, f64)>>,
    /// Nodes of each limit.
    nodes_of: Vec<Vec<(usize, f64)>>,
    /// Overload column per limit and interval; `u32::MAX` none yet.
    overload: Vec<u32>,
    has_row: Vec<bool>,
    /// Slack of every limit's row and of every cut, with what that says.
    of_limits: Vec<(u32, usize)>,
    of_cuts: Vec<(u32, ProofLump)>,
    fixed: Vec<Fixing>,
    /// What ties energies to whether their offer is active.
    waiting: Vec<Waiting>,
    /// What whole mWh may be worth more than parts of them, 10⁻⁶ micro-units.
    hidden: f64,
    /// Most each column can be, whatever is fixed; 0 for those that stand for nothing.
    most: Vec<f64>,
    constant: f64,
}

impl Relaxation {
    /// Whether an offer is of a kind that is modelled here.
    pub fn models(offer: &Offer) -> bool {
        match offer.kind {
            Kind::Amount => offer.running.is_none(),
            Kind::Shift | Kind::Option => true,
            Kind::General => false,
        }
    }

    /// `None` when an offer is of a kind that is not modelled here.
    pub fn new(arrays: &Arrays) -> Option<Self> {
        if !arrays.offers.iter().all(Self::models) {
            return None;
        }
        let t = arrays.t;
        let mut nodes_of = vec![Vec::new(); arrays.limits];
        for node in 0..arrays.nodes {
            arrays
                .limits_of(node)
                .iter()
                .for_each(|&(limit, factor)| nodes_of[limit as usize].push((node, factor)));
        }
        let mut relaxation = Self {
            simplex: Simplex::default(),
            meaning: Vec::new(),
            uses: vec![Vec::new(); arrays.nodes * t],
            nodes_of,
            overload: vec![u32::MAX; arrays.limits * t],
            has_row: vec![false; arrays.limits * t],
            of_limits: Vec::new(),
            of_cuts: Vec::new(),
            fixed: Vec::new(),
            waiting: Vec::new(),
            hidden: 0.0,
            most: Vec::new(),
            constant: arrays.constant,
        };
        let mut deviation = Deviation::default();
        // Per exclusive group: the columns of which at most one is taken.
        let mut of_groups: Vec<Vec<(u32, f64)>> = vec![Vec::new(); arrays.groups.len()];
        for (index, offer) in arrays.offers.iter().enumerate() {
            let first = relaxation.meaning.len() as u32;
            match offer.kind {
                Kind::Amount if offer.activation == 0.0 && offer.least == 0.0 && offer.group == NO_GROUP => {
                    relaxation.amount(arrays, index, None);
                }
                Kind::Amount => {
                    let active = relaxation.active(arrays, index);
                    relaxation.amount(arrays, index, Some(active));
                }
                Kind::Shift => relaxation.shift(arrays, index, &mut deviation),
                Kind::Option if offer.factor_min >= 1.0 => {
                    relaxation.choice(arrays, index, offer.start_default, &mut deviation);
                }
                Kind::Option => relaxation.part(arrays, index),
                // Not modelled: see above.
                Kind::General => return None,
            }
            if let Some(group) = of_groups.get_mut(offer.group as usize) {
                let all = first..relaxation.meaning.len() as u32;
                group.extend(all.filter(|&column| relaxation.is_choice(column)).map(|column| (column, 1.0)));
            }
        }
        for group in of_groups.into_iter().filter(|group| group.len() > 1) {
            relaxation.simplex.row(group, 1.0, 1.0);
            relaxation.meaning.push(Meaning::Other);
        }
        Some(relaxation)
    }

    /// What whole mWh may be worth more than the relaxation knows, 10⁻⁶ micro-units.
    pub fn hidden(&self) -> f64 {
        self.hidden
    }

    /// Whether an offer leaves its default: 0 or 1.
    fn active(&mut self, arrays: &Arrays, index: usize) -> u32 {
        self.column(Meaning::Active(index as u32), arrays.offers[index].activation / MILLION, 1.0)
    }

    /// An option that can be taken in part: a factor that is 0, or between the least one and 1. What it takes is cut to whole
    /// mWh.
    fn part(&mut self, arrays: &Arrays, index: usize) {
        let offer = &arrays.offers[index];
        let active = self.active(arrays, index);
        let whole = &arrays.option[offer.at as usize..(offer.at + offer.slices) as usize];
        let asked = |x: &f64| if *x > 0.0 { offer.up * x } else { -offer.down * x };
        let cost = whole.iter().map(asked).sum::<f64>() / MILLION;
        let factor = self.column(Meaning::Part(index as u32), cost, 1.0);
        for (k, &x) in whole.iter().enumerate().filter(|&(_, &x)| x != 0.0) {
            let interval = offer.start_default as usize + k;
            self.uses[offer.node as usize * arrays.t + interval].push((factor, x / MILLION));
            let limits = arrays.limits_of(offer.node as usize).iter();
            let penalty = |&(limit, factor): &(u32, f64)| {
                factor.abs() * arrays.penalty[limit as usize * arrays.t + interval]
            };
            self.hidden += limits.map(penalty).sum::<f64>() + offer.up.max(offer.down);
        }
        for entries in [[(factor, 1.0), (active, -1.0)], [(active, offer.factor_min), (factor, -1.0)]] {
            self.simplex.row(entries.to_vec(), 0.0, f64::INFINITY);
            self.meaning.push(Meaning::Other);
            self.most.resize(self.meaning.len(), 0.0);
        }
    }

    fn column(&mut self, meaning: Meaning, cost: f64, upper: f64) -> u32 {
        let column = self.simplex.column(cost, 0.0, upper);
        self.meaning.resize(column as usize, Meaning::Other);
        self.meaning.push(meaning);
        self.most.resize(column as usize, 0.0);
        self.most.push(upper);
        column
    }

    fn amount(&mut self, arrays: &Arrays, index: usize, active: Option<u32>) {
        let offer = &arrays.offers[index];
        let (mut total, mut most, mut least) = (Vec::new(), 0.0, 0.0);
        for k in 0..offer.slices as usize {
            let at = offer.at as usize + k;
            let up = (arrays.upper[at] - arrays.default[at]) / MILLION;
            let down = (arrays.default[at] - arrays.lower[at]) / MILLION;
            let more = self.column(Meaning::More(index as u32, k as u32), offer.up, up);
            let less = self.column(Meaning::Less(index as u32, k as u32), offer.down, down);
            let place = offer.node as usize * arrays.t + offer.start_default as usize + k;
            self.uses[place].extend([(more, 1.0), (less, -1.0)]);
            total.extend([(more, 1.0), (less, -1.0)]);
            (most, least) = (most + up, least - down);
            if let Some(active) = active {
                // Either way it goes, and no further than an active offer may.
                let ways = [(more, up), (less, down)].into_iter().filter(|&(_, most)| most > 0.0);
                let mut tie: Vec<(u32, f64)> = ways.map(|(column, most)| (column, 1.0 / most)).collect();
                tie.push((active, -1.0));
                self.waiting.push((tie, 0.0));
            }
        }
        if let Some(active) = active.filter(|_| offer.least > 0.0) {
            let mut row: Vec<(u32, f64)> = total.iter().map(|&(column, _)| (column, -1.0)).collect();
            row.push((active, offer.least / MILLION));
            self.simplex.row(row, 0.0, f64::INFINITY);
            self.meaning.push(Meaning::Other);
        }
        let lower = ((offer.total_lower - offer.default_sum) / MILLION).max(least);
        let upper = ((offer.total_upper - offer.default_sum) / MILLION).min(most);
        if lower > least || upper < most {
            self.simplex.row(total, upper, upper - lower);
            self.meaning.push(Meaning::Other);
        }
    }

    fn shift(&mut self, arrays: &Arrays, index: usize, deviation: &mut Deviation) {
        let offer = arrays.offers[index];
        let starts = (offer.start_first..=offer.start_last).filter(|&start| start != offer.start_default);
        let choices: Vec<(u32, f64)> =
            starts.map(|start| (self.choice(arrays, index, start, deviation), 1.0)).collect();
        if choices.len() > 1 {
            // Its slack is the choice of none of them.
            self.simplex.row(choices, 1.0, 1.0);
            self.meaning.push(Meaning::Rest(index as u32));
            self.most.push(0.0);
        }
    }

    fn choice(&mut self, arrays: &Arrays, index: usize, start: u32, deviation: &mut Deviation) -> u32 {
        let offer = &arrays.offers[index];
        let answer = Answer { active: true, start, factor: 1.0, cost: 0.0 };
        arrays.deviation(offer, &answer, &[], deviation);
        let cost = arrays.asked(offer, &answer, deviation) / MILLION;
        let column = self.column(Meaning::Choice(index as u32, start), cost, 1.0);
        for (j, &x) in deviation.values.iter().enumerate().filter(|&(_, &x)| x != 0.0) {
            self.uses[offer.node as usize * arrays.t + deviation.at + j].push((column, x / MILLION));
        }
        column
    }

    /// Work so far: pivots times rows.
    pub fn effort(&self) -> u64 {
        self.simplex.effort
    }

    fn is_choice(&self, column: u32) -> bool {
        matches!(self.meaning[column as usize], Meaning::Choice(..) | Meaning::Active(_))
    }

    /// The other direction of a slice.
    pub fn twin(&self, column: u32) -> u32 {
        column + 1
    }

    /// Fixes columns, and frees those that were fixed before.
    pub fn fix(&mut self, fixings: &[Fixing]) {
        let freed: Vec<Fixing> = std::mem::take(&mut self.fixed);
        let kept = |column: u32| fixings.iter().any(|fixing| fixing.0 == column);
        for (column, lower, upper) in freed {
            if !kept(column) {
                self.simplex.set_bounds(column, lower, upper);
            } else {
                self.fixed.push((column, lower, upper));
            }
        }
        for &(column, lower, upper) in fixings {
            if !self.fixed.iter().any(|fixed| fixed.0 == column) {
                let (l, u) = self.simplex.bounds(column);
                self.fixed.push((column, l, u));
            }
            self.simplex.set_bounds(column, lower, upper);
        }
    }

    /// Solves, with every limit that is exceeded as a row; as far as it takes to know that nothing is worth more than
    /// `least`.
    pub fn solve(&mut self, arrays: &Arrays, least: f64) -> Solved {
        let cutoff = (self.constant - least) / MILLION;
        loop {
            match self.simplex.solve(PIVOTS, cutoff) {
                End::Infeasible => return Solved::Infeasible,
                End::Stopped => return Solved::Stopped,
                End::Optimal => {}
            }
            if self.simplex.objective() > cutoff || !self.add_rows(arrays) {
                return Solved::Bound(self.constant - self.simplex.objective() * MILLION);
            }
        }
    }

    fn add_rows(&mut self, arrays: &Arrays) -> bool {
        let t = arrays.t;
        let mut at_node = vec![0.0; arrays.nodes * t];
        for (to, columns) in at_node.iter_mut().zip(&self.uses) {
            *to = columns.iter().map(|&(column, x)| x * self.simplex.value(column)).sum();
        }
        let mut added = self.add_waiting();
        for at in 0..arrays.limits * t {
            if self.has_row[at] || arrays.penalty[at] == 0.0 {
                continue;
            }
            let used: f64 =
                self.nodes_of[at / t].iter().map(|&(node, factor)| factor * at_node[node * t + at % t]).sum();
            if used - arrays.headroom[at] / MILLION > 1e-6 {
                let mut entries = self.entries(t, at);
                entries.push((self.overload(arrays, at), -1.0));
                self.simplex.row(entries, arrays.headroom[at] / MILLION, f64::INFINITY);
                self.of_limits.push((self.meaning.len() as u32, at));
                self.meaning.push(Meaning::Other);
                self.has_row[at] = true;
                added = true;
            }
        }
        added
    }

    /// Adds the waiting rows that are violated.
    fn add_waiting(&mut self) -> bool {
        let mut added = false;
        for (entries, rhs) in std::mem::take(&mut self.waiting) {
            let left: f64 = entries.iter().map(|&(column, a)| a * self.simplex.value(column)).sum();
            if left > rhs + 1e-7 {
                self.simplex.row(entries, rhs, f64::INFINITY);
                self.meaning.push(Meaning::Other);
                added = true;
            } else {
                self.waiting.push((entries, rhs));
            }
        }
        added
    }

    /// Columns that use a limit in an interval, kWh through it.
    fn entries(&self, t: usize, at: usize) -> Vec<(u32, f64)> {
        let of = |&(node, factor): &(usize, f64)| {
            self.uses[node * t + at % t]
                .iter()
                .map(move |&(column, x)| (column, factor * x))
                .collect::<Vec<_>>()
        };
        self.nodes_of[at / t].iter().flat_map(of).collect()
    }

    fn overload(&mut self, arrays: &Arrays, at: usize) -> u32 {
        if self.overload[at] == u32::MAX {
            self.overload[at] = self.column(Meaning::Other, arrays.penalty[at], f64::INFINITY);
        }
        self.overload[at]
    }

    /// Adds the most violated rounding cut of every limit and interval; false when there is none.
    pub fn cut(&mut self, arrays: &Arrays) -> bool {
        let mut added = false;
        for at in (0..arrays.limits * arrays.t).filter(|&at| arrays.penalty[at] > 0.0) {
            let entries: Vec<Entry> = self
                .entries(arrays.t, at)
                .into_iter()
                .map(|(column, use_kwh)| Entry {
                    column,
                    use_kwh,
                    value: self.simplex.value(column),
                    upper: self.most[column as usize],
                    whole: self.is_choice(column),
                })
                .collect();
            if !entries.iter().any(|entry| entry.whole && entry.value > 1e-6 && entry.value < 1.0 - 1e-6) {
                continue;
            }
            let known = self.overload[at];
            let over = if known == u32::MAX { 0.0 } else { self.simplex.value(known) };
            if let Some(mut cut) = rounding_cut(&entries, arrays.headroom[at] / MILLION, over) {
                cut.row.push((self.overload(arrays, at), -1.0));
                let said = self.said(arrays, at, &cut);
                self.simplex.row(cut.row, cut.rhs, f64::INFINITY);
                self.of_cuts.push((self.meaning.len() as u32, said));
                self.meaning.push(Meaning::Other);
                added = true;
            }
        }
        added
    }

    /// A cut as a lump price that has no price yet: what is written from its upper end is counted from there.
    fn said(&self, arrays: &Arrays, at: usize, cut: &Cut) -> ProofLump {
        let mwh = |kwh: f64| (kwh * MILLION).round() as i64;
        let of = |entry: &Entry| {
            let (offer, energy) = match self.meaning[entry.column as usize] {
                Meaning::Choice(offer, _) => {
                    let limits = arrays.limits_of(arrays.offers[offer as usize].node as usize);
                    let factor = limits.iter().find(|part| part.0 as usize == at / arrays.t)?.1;
                    (offer, mwh(entry.use_kwh / factor))
                }
                Meaning::More(offer, _) => (offer, mwh(entry.upper)),
                Meaning::Less(offer, _) => (offer, -mwh(entry.upper)),
                Meaning::Rest(_) | Meaning::Active(_) | Meaning::Part(_) | Meaning::Other => return None,
            };
            (energy != 0).then_some((offer, energy))
        };
        let mut from: Vec<(u32, i64)> = cut.from_top.iter().filter_map(of).collect();
        from.sort_unstable();
        from.dedup_by_key(|part| part.0);
        ProofLump { at, price: 0.0, unit: mwh(cut.unit), from }
    }

    /// What proves the bound that the last solve found.
    pub fn proof(&self, arrays: &Arrays) -> Proof {
        let mut price = vec![0.0; arrays.limits * arrays.t];
        for &(slack, at) in &self.of_limits {
            price[at] = self.simplex.reduced(slack).max(0.0);
        }
        let priced = |(slack, lump): &(u32, ProofLump)| {
            let price = self.simplex.reduced(*slack);
            (price >= 0.5).then(|| ProofLump { price, ..lump.clone() })
        };
        Proof { price, lumps: self.of_cuts.iter().filter_map(priced).collect() }
    }

    /// A column to branch on: a choice between none and all, or a slice that is raised and lowered at once.
    pub fn branching(&self, losses: &Losses) -> Option<(u32, f64)> {
        let mut best: Option<(f64, u32, f64)> = None;
        for (column, meaning) in (0_u32..).zip(&self.meaning) {
            if !matches!(meaning, Meaning::Choice(..) | Meaning::Rest(_) | Meaning::Active(_)) {
                continue;
            }
            let value = self.simplex.value(column);
            if !(1e-6..=1.0 - 1e-6).contains(&value) {
                continue;
            }
            let score = losses.score(self.question(column), value);
            if best.is_none_or(|(most, ..)| score > most) {
                best = Some((score, column, value));
            }
        }
        if let Some((_, column, value)) = best {
            return Some((column, value));
        }
        (0..self.meaning.len() as u32).find_map(|column| match self.meaning[column as usize] {
            Meaning::More(..) if self.simplex.value(column).min(self.simplex.value(column + 1)) > 1e-6 => {
                Some((column, 0.0))
            }
            _ => None,
        })
    }

    /// What a branching on a column asks: twice the offer, and 1 when it asks whether the offer rests.
    /// `u32::MAX` when it is no choice.
    pub fn question(&self, column: u32) -> u32 {
        match self.meaning[column as usize] {
            Meaning::Choice(offer, _) | Meaning::Active(offer) => 2 * offer,
            Meaning::Rest(offer) => 2 * offer + 1,
            _ => u32::MAX,
        }
    }

    /// Choices that cannot be part of anything better by `gap` (10⁻⁶ micro-units).
    pub fn hopeless(&self, gap: f64) -> Vec<Fixing> {
        let gap = gap / MILLION;
        let columns = (0..self.meaning.len() as u32).filter(|&column| self.is_choice(column));
        columns
            .filter(|&column| self.simplex.bounds(column) == (0.0, 1.0))
            .filter(|&column| {
                self.simplex.value(column) < 1e-9 && self.simplex.reduced(column) > gap * 1.000_001
            })
            .map(|column| (column, 0.0, 0.0))
            .collect()
    }

    /// Makes a clearing of the relaxation's point and keeps it when it is better.
    pub fn round_into(
        &self,
        arrays: &Arrays,
        state: &mut State,
        sweep: &mut Sweep,
        stream: &mut Stream,
        welfare: &mut f64,
    ) {
        let mut made = State::at_rest(arrays);
        let mut most = vec![0.5; arrays.offers.len()];
        // Offers that are more at their default than not; an `Active` comes before what it allows.
        let mut rests = vec![false; arrays.offers.len()];
        for (column, meaning) in self.meaning.iter().enumerate() {
            let value = self.simplex.value(column as u32);
            match *meaning {
                Meaning::Choice(offer, start) if value > most[offer as usize] => {
                    most[offer as usize] = value;
                    made.answers[offer as usize] = Answer { active: true, start, factor: 1.0, cost: 0.0 };
                }
                Meaning::Active(offer) => rests[offer as usize] = value <= 0.5,
                Meaning::Part(offer) if !rests[offer as usize] => {
                    let terms = &arrays.offers[offer as usize];
                    let factor = (value.max(terms.factor_min).min(1.0) * 1e6).round() / 1e6;
                    made.answers[offer as usize] =
                        Answer { active: true, start: terms.start_default, factor, cost: 0.0 };
                }
                Meaning::More(offer, k) | Meaning::Less(offer, k)
                    if value > 1e-9 && !rests[offer as usize] =>
                {
                    let terms = &arrays.offers[offer as usize];
                    let sign = if matches!(meaning, Meaning::More(..)) { MILLION } else { -MILLION };
                    made.energies[(terms.at + k) as usize] += sign * value;
                    made.answers[offer as usize] =
                        Answer { active: true, start: terms.start_default, factor: 0.0, cost: 0.0 };
                }
                _ => {}
            }
        }
        made.round(arrays);
        for _ in 0..8 {
            if sweep.exact(arrays, None, &mut made, stream) == 0 {
                break;
            }
        }
        let reached = made.welfare(arrays);
        if reached > *welfare {
            *welfare = reached;
            *state = made;
        }
    }
}
