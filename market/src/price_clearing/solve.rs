//! From a problem to a clearing, and from one clearing to the next.
//!
//! 1. *Prices*: rounds of answers to wide ramps; their prices converge toward the dual's.
//! 2. *Schedules*: the ramps narrow from round to round, then exact rounds in which every step gains.
//! 3. *Bound*: more rounds on wide ramps, beside the schedules, for better prices; they are made whole, and every
//!    offer answers them once more on integers. For few offers lump prices tighten the bound.
//!
//! All widths are multiples of the *lump*, the typical energy an offer moves in an interval, and of the number of
//! offers: measured on cases of 50 to 100,000 offers (`docs/clearing.md`).

use super::arrays::{Arrays, Kind};
use super::ascent::{Ramps, Stream, Sweep};
use super::components;
use super::dual::Dual;
use super::exact;
use super::lump::Lumps;
use super::lump_dual::LumpDual;
use super::outcome::{Limit, LumpPrice, NodePrice, PriceClearing, Prices, Worth};
use super::problem::{ClearingProblem, WHOLE};
use super::rearrange::rearrange;
use super::state::State;
use super::worth::{Incidence, NodePrices};

/// Up to this many offers a clearing takes the time to place lumps well.
pub(super) const FEW_OFFERS: usize = 3_000;

/// Up to this many offers the optimum is looked for by branch and bound.
pub(super) const PROVED_OFFERS: usize = 250;

/// Up to this many offers the bound is proved by the relaxation that branch and bound begins with.
const RELAXED_OFFERS: usize = 1_200;

/// Rearrangements per offer of a small problem: all of a handful are met often enough by then. Where branch and bound follows a few
/// are enough. In a district's day one round in eight gained by rearranging at all, nearly all of them within eight tries an offer.
const TRIES_EACH: usize = 40;
const TRIES_EACH_MODELLED: usize = 10;

/// A cleared problem, ready to be cleared again after a change.
#[derive(Debug, Clone)]
pub struct Session {
    pub(super) problem: ClearingProblem,
    pub(super) arrays: Arrays,
    pub(super) state: State,
    pub(super) prices: Prices,
    pub(super) incidence: Incidence,
    pub(super) lumps: Lumps,
    pub(super) node_prices: Vec<NodePrices>,
    /// What is said of them.
    pub(super) node_parts: Vec<NodePrice>,
    /// Per offer: what it gains at most at the prices, and how; `None` when it has no choice.
    pub(super) replies: Vec<Reply>,
    pub(super) sweep: Sweep,
    /// What branch and bound proved; gone after a change.
    pub(super) proved: Option<Proved>,
}

/// What branch and bound found beyond the certified bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proved {
    /// No clearing is worth more.
    pub bound: Worth,
    /// Offers in parts of the problem where it ended; the certified bound stands for the others.
    pub offers: usize,
}

/// An offer's best other schedule at the prices, on integers.
#[derive(Debug, Clone, Default)]
pub(super) struct Reply {
    /// Gain against the default, in the units of `Worth`; may be negative.
    pub gain: i128,
    pub start: u16,
    pub energies: Vec<i64>,
    pub factor: u32,
    pub exists: bool,
}

/// Clears a problem. Same problem, same result, to the bit, on every machine.
pub fn clear_by_prices(problem: &ClearingProblem) -> PriceClearing {
    Session::new(problem.clone()).clearing()
}

/// What plain merit order reaches: every offer takes its best schedule once, in turn, without prices. The yardstick
/// that a clearing has to beat.
pub fn greedy_welfare(problem: &ClearingProblem) -> Worth {
    let arrays = Arrays::new(problem);
    let mut state = State::at_rest(&arrays);
    Sweep::default().exact(&arrays, None, &mut state, &mut Stream(1));
    Worth((state.welfare(&arrays) * WHOLE as f64).round() as i128)
}

impl Session {
    /// Clears a problem from nothing.
    pub fn new(problem: ClearingProblem) -> Self {
        let parts = components::split(&problem);
        if parts.is_empty() { Self::whole(problem, 1.0) } else { Self::of_parts(problem, &parts) }
    }

    /// Everything at rest, without prices.
    pub(super) fn at_rest(problem: ClearingProblem) -> Self {
        let arrays = Arrays::new(&problem);
        Self {
            state: State::at_rest(&arrays),
            incidence: Incidence::new(&problem),
            problem,
            arrays,
            prices: Prices::default(),
            lumps: Lumps::default(),
            node_prices: Vec::new(),
            node_parts: Vec::new(),
            replies: Vec::new(),
            sweep: Sweep::default(),
            proved: None,
        }
    }

    /// Takes the prices as they are: every offer answers them.
    pub(super) fn take_prices(&mut self) {
        self.lumps = Lumps::new(&self.problem, &self.incidence, &self.prices);
        self.answer_all();
    }

    /// Clears a problem in one piece, with a share of the work that branch and bound may do.
    pub(super) fn whole(problem: ClearingProblem, share: f64) -> Self {
        let arrays = Arrays::new(&problem);
        let mut work = Work::new(&arrays);
        work.share = share;
        let few = arrays.offers.len() <= FEW_OFFERS;
        let (state, proof) = if few { work.few() } else { work.many() };
        let prices = whole_prices(&problem, &arrays, &proof);
        let sweep = std::mem::take(&mut work.sweep);
        let bound = |proved: f64| Worth((proved * WHOLE as f64).ceil() as i128);
        let offers = problem.offers();
        let proved = work.proved.map(|proved| Proved { bound: bound(proved), offers });
        let incidence = Incidence::new(&problem);
        let lumps = Lumps::new(&problem, &incidence, &prices);
        let mut session = Self {
            problem,
            arrays,
            state,
            prices,
            incidence,
            lumps,
            node_prices: Vec::new(),
            node_parts: Vec::new(),
            replies: Vec::new(),
            sweep,
            proved,
        };
        session.answer_all();
        session
    }

    /// Every offer answers the whole prices on integers.
    pub(super) fn answer_all(&mut self) {
        self.node_prices = (0..self.problem.nodes()).map(|node| self.prices_at(node)).collect();
        self.node_parts = (0..self.problem.nodes())
            .flat_map(|node| self.incidence.node_parts(&self.problem, &self.prices, node))
            .collect();
        self.replies = (0..self.problem.offers()).map(|offer| self.reply(offer)).collect();
    }

    pub(super) fn prices_at(&self, node: usize) -> NodePrices {
        self.incidence.node_prices(&self.problem, &self.prices, &self.lumps, node)
    }

    pub(super) fn reply(&self, offer: usize) -> Reply {
        let view = self.problem.offer(offer);
        let prices = &self.node_prices[view.node() as usize];
        match prices.best(&view, &self.lumps.references(offer, &view, &prices.lumps)) {
            Some((gain, start, energies, factor)) => {
                Reply { gain, start: start as u16, energies, factor, exists: true }
            }
            None => Reply::default(),
        }
    }
}

/// Prices made whole: never below 0, never together above the penalty. Any such prices prove a bound.
fn whole_prices(problem: &ClearingProblem, arrays: &Arrays, proof: &Proof) -> Prices {
    let bids = problem.bids().len() * arrays.t;
    let mut whole = vec![0_i64; proof.price.len()];
    let mut used = vec![false; arrays.limits];
    for node in 0..arrays.nodes {
        arrays.limits_of(node).iter().for_each(|&(limit, _)| used[limit as usize] = true);
    }
    for (i, (whole, price)) in whole.iter_mut().zip(&proof.price).enumerate() {
        let penalty = arrays.penalty[i] as i64;
        *whole = match used[i / arrays.t] {
            true => (price.round() as i64).clamp(0, penalty),
            // Nobody answers it: its price is what proves most.
            false if arrays.headroom[i] < 0.0 => penalty,
            false => 0,
        };
    }
    let mut left: Vec<i64> =
        whole.iter().zip(&arrays.penalty).map(|(whole, penalty)| *penalty as i64 - whole).collect();
    let mut lumps = Vec::with_capacity(proof.lumps.len());
    for lump in proof.lumps.iter().filter(|lump| used[lump.at / arrays.t]) {
        let price = (lump.price.round() as i64).clamp(0, left[lump.at]);
        left[lump.at] -= price;
        let number = lump.at / arrays.t;
        let limit = match number.checked_sub(problem.bids().len()) {
            Some(row) => Limit::Row(row as u32),
            None => Limit::Bid(number as u32),
        };
        let interval = (lump.at % arrays.t) as u16;
        if price > 0 {
            lumps.push(LumpPrice { limit, interval, price, unit: lump.unit, from: lump.from.clone() });
        }
    }
    lumps.sort_by_key(|lump| (lump.interval, lump.limit));
    let row = whole.split_off(bids);
    Prices { bid: whole, row, lumps }
}

/// What proves the bound: a price per limit and interval, and lump prices.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    pub price: Vec<f64>,
    pub lumps: Vec<ProofLump>,
}

/// A lump price that is not whole yet.
#[derive(Debug, Clone)]
pub(super) struct ProofLump {
    /// Limit and interval.
    pub at: usize,
    pub price: f64,
    /// mWh; 0 for none.
    pub unit: i64,
    /// Offers that count from another deviation than none, with that, mWh; ascending.
    pub from: Vec<(u32, i64)>,
}

/// The solver at work on one problem.
struct Work<'a> {
    arrays: &'a Arrays,
    sweep: Sweep,
    stream: Stream,
    ramps: Ramps,
    /// Typical energy an offer moves in an interval, mWh.
    lump: f64,
    proved: Option<f64>,
    /// Of the work that branch and bound may do.
    share: f64,
}

impl<'a> Work<'a> {
    fn new(arrays: &'a Arrays) -> Self {
        let (mut sum, mut count) = (0.0, 0.0_f64);
        for offer in &arrays.offers {
            for k in offer.at as usize..(offer.at + offer.slices) as usize {
                sum += match offer.kind {
                    Kind::Shift => arrays.default[k].abs(),
                    Kind::Option => arrays.option[k].abs(),
                    Kind::Amount | Kind::General => 0.5 * (arrays.upper[k] - arrays.lower[k]),
                };
                count += 1.0;
            }
        }
        let lump = (sum / count.max(1.0)).max(1.0);
        Self {
            arrays,
            sweep: Sweep::default(),
            stream: Stream(1),
            ramps: Ramps::default(),
            lump,
            proved: None,
            share: 1.0,
        }
    }

    fn start_price(&self) -> Vec<f64> {
        // Where relief is wanted the price will be near what is paid for it; elsewhere nothing is known.
        let wanted = |(penalty, headroom): (&f64, &f64)| if *headroom < 0.0 { 0.7 * penalty } else { 0.0 };
        self.arrays.penalty.iter().zip(&self.arrays.headroom).map(wanted).collect()
    }

    fn round(&mut self, state: &mut State, price: &mut [f64], width: f64) {
        let parts = if self.arrays.offers.len() > 500 { 4 } else { 1 };
        self.ramps.set(self.arrays, price, width);
        self.sweep.smooth(self.arrays, &self.ramps, state, &mut self.stream, parts);
        self.ramps.read(self.arrays, &state.flow, price);
    }

    /// The same with the true cost of every schedule on the ramps: dearer, and right for lumps.
    fn lumpy_round(&mut self, state: &mut State, price: &mut [f64], width: f64) {
        self.ramps.set(self.arrays, price, width);
        self.sweep.exact(self.arrays, Some(&self.ramps), state, &mut self.stream);
        self.ramps.read(self.arrays, &state.flow, price);
    }

    fn finish(&mut self, state: &mut State, rounds: usize) {
        state.round(self.arrays);
        for _ in 0..rounds {
            if self.sweep.exact(self.arrays, None, state, &mut self.stream) == 0 {
                break;
            }
        }
    }

    /// Doing nothing, improved, when a state is worth less than that: a way down can end in a corner that no single move
    /// leaves.
    fn or_rest(&mut self, state: State) -> State {
        let arrays = self.arrays;
        let mut rest = State::at_rest(arrays);
        if state.welfare(arrays) >= rest.welfare(arrays) || !arrays.offers.iter().all(|offer| offer.may_rest)
        {
            return state;
        }
        self.finish(&mut rest, 10);
        rest
    }

    /// Many offers: each is small, prices do nearly all.
    fn many(&mut self) -> (State, Proof) {
        let arrays = self.arrays;
        let crowd = self.lump * arrays.offers.len() as f64;
        let mut state = State::at_rest(arrays);
        let mut price = self.start_price();
        let rounds = if arrays.offers.len() > 30_000 { 14 } else { 20 };
        for _ in 0..rounds {
            self.round(&mut state, &mut price, 0.043 * crowd);
        }
        let mut dual = Dual::new(arrays, price.clone());
        let wide = price.clone();
        let mut width = 0.035 * crowd;
        while width > 2.5 * self.lump {
            self.round(&mut state, &mut price, width);
            width *= if width > 250.0 * self.lump { 0.7 } else { 0.8 };
        }
        while width > 0.8 * self.lump {
            self.lumpy_round(&mut state, &mut price, width);
            width *= 0.7;
        }
        self.finish(&mut state, 3);
        let state = self.or_rest(state);
        let mut beside = state.clone();
        let mut price = wide;
        let mut width = 0.14 * crowd;
        let rounds = if arrays.offers.len() > 30_000 { 8 } else { 12 };
        for _ in 0..rounds {
            self.round(&mut beside, &mut price, width);
            width *= 1.2;
        }
        dual.offer(arrays, &price, &mut self.sweep.scratch);
        (state, Proof { price: dual.price, lumps: Vec::new() })
    }

    /// Few offers: lumps decide, so there are more and finer rounds, several beginnings, and lump prices.
    fn few(&mut self) -> (State, Proof) {
        let arrays = self.arrays;
        let mut best: Option<(f64, State)> = None;
        let mut beginnings = Vec::new();
        let small = arrays.offers.len() <= PROVED_OFFERS;
        let begin = [(1700.0, 0.87), (900.0, 0.87)];
        for &(wide, shrink) in &begin[..if small { 1 } else { 2 }] {
            let mut state = State::at_rest(arrays);
            let mut price = self.start_price();
            for _ in 0..40 {
                self.round(&mut state, &mut price, wide * self.lump);
            }
            beginnings.push(price.clone());
            let mut width = wide * self.lump;
            while width > 0.8 * self.lump {
                self.lumpy_round(&mut state, &mut price, width);
                width *= shrink;
            }
            self.finish(&mut state, 10);
            let welfare = state.welfare(arrays);
            if best.as_ref().is_none_or(|(most, _)| welfare > *most) {
                best = Some((welfare, state));
            }
        }
        let (_, state) = best.unwrap_or_else(|| (0.0, State::at_rest(arrays)));
        let mut state = self.or_rest(state);
        let relaxed = arrays.offers.len() <= RELAXED_OFFERS;
        let tries = match (small, relaxed) {
            (true, _) => 1_000.min(
                arrays.offers.len() * if exact::models(arrays) { TRIES_EACH_MODELLED } else { TRIES_EACH },
            ),
            (false, true) => 12_000,
            (false, false) => 3_000,
        };
        rearrange(arrays, &mut state, &mut self.sweep, &mut self.stream, tries);
        self.finish(&mut state, 4);
        let mut proof = None;
        if small {
            let tolerance = if arrays.offers.len() <= 12 { 1e-8 } else { 5e-5 };
            (self.proved, proof) = exact::prove(arrays, &mut state, &mut self.sweep, (tolerance, self.share));
        } else if relaxed {
            proof = exact::relax(arrays, &mut state, &mut self.sweep);
        }
        if let Some(proof) = proof {
            return (state, proof);
        }
        let proof = self.by_prices(&state, &beginnings, small);
        (state, proof)
    }

    /// Prices and lump prices from rounds of answers.
    fn by_prices(&mut self, state: &State, beginnings: &[Vec<f64>], small: bool) -> Proof {
        let arrays = self.arrays;
        let welfare = state.welfare(arrays);
        let mut dual = Dual::new(arrays, beginnings[0].clone());
        for price in beginnings {
            dual.offer(arrays, price, &mut self.sweep.scratch);
        }
        let mut beside = state.clone();
        let mut price = dual.price.clone();
        let mut width = 1700.0 * self.lump;
        for _ in 0..30 {
            self.round(&mut beside, &mut price, width);
            width *= 1.1;
        }
        dual.offer(arrays, &price, &mut self.sweep.scratch);
        let mut lumps = LumpDual::new(arrays, dual.price);
        lumps.improve(
            arrays,
            // What is proved is reached; otherwise a goal that can be reached makes better steps.
            if small { welfare } else { welfare + 0.3 * (dual.bound - welfare) },
            if small { 500 } else { 900 },
            1e-5,
            &mut self.sweep.scratch,
        );
        let priced = (0..lumps.lump.len()).filter(|&at| lumps.lump[at] > 0.0);
        let lump = |at: usize| ProofLump {
            at,
            price: lumps.lump[at],
            unit: lumps.unit[at] as i64,
            from: Vec::new(),
        };
        Proof { lumps: priced.map(lump).collect(), price: lumps.price }
    }
}
