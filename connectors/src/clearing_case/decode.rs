//! From the JSON of a case to a clearing problem. What is wrong with the case as a whole ends the reading; what is
//! wrong with one offer refuses that offer, and the rest proceeds.

use super::MarketCase;
use super::fault::{CASE_BYTES_MAX, CaseError, OFFERS_MAX, Refusal, RefusedOffer};
use super::offer::{self, Entry, Horizon, Said};
use super::plain;
use super::wire;
use grid::Timestamp;
use market::price_clearing::{ClearingProblem, GridRow, NeedBid, Pricing, freeze_offer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// Millionths in a kWh, a currency unit or a factor of 1.
const MILLION: f64 = 1e6;
/// Largest number taken before it is even made whole.
const NUMBER_MAX: f64 = 1e12;

/// Reads a case.
pub fn read_case(text: &str) -> Result<MarketCase, CaseError> {
    if text.len() > CASE_BYTES_MAX {
        return Err(CaseError::TooMuch { what: "bytes", count: text.len(), limit: CASE_BYTES_MAX });
    }
    let case: wire::Case<'_> =
        serde_json::from_str(text).map_err(|error| CaseError::Json { reason: error.to_string() })?;
    let (mut reader, offers) = Reader::new(case)?;
    for (place, entry) in offers.into_iter().enumerate() {
        reader.take(place, entry);
    }
    let case = reader.finish();
    case.problem.check_size().map_err(|fault| part("case", fault.into()))?;
    Ok(case)
}

struct Reader<'a> {
    case: MarketCase,
    horizon: Horizon,
    node_of: BTreeMap<String, u32>,
    /// The body that came first under each id.
    seen: BTreeMap<String, &'a RawValue>,
    /// Ids that were taken back.
    withdrawn: BTreeSet<String>,
    gate: u16,
    /// Names of bids and rows.
    limit_names: BTreeSet<String>,
    /// Numbers of the exclusive groups, from 1.
    groups: BTreeMap<String, u32>,
}

impl<'a> Reader<'a> {
    fn new(wire: wire::Case<'a>) -> Result<(Self, Vec<&'a RawValue>), CaseError> {
        let form = |what, found: &str, expected| CaseError::Form { what, found: found.to_owned(), expected };
        if wire.schema != "gridflex-market/1" {
            return Err(form("schema", &wire.schema, "gridflex-market/1"));
        }
        if wire.energy_unit != "kWh" {
            return Err(form("energyUnit", &wire.energy_unit, "kWh"));
        }
        if wire.flex_offers.count > OFFERS_MAX {
            let (count, limit) = (wire.flex_offers.count, OFFERS_MAX);
            return Err(CaseError::TooMuch { what: "offers", count, limit });
        }
        let pricing = match wire.rules.pricing.as_deref() {
            None | Some("pay-as-bid") => Pricing::PayAsBid,
            Some("uniform") => Pricing::Uniform,
            Some("uniform-make-whole") => Pricing::UniformMakeWhole,
            Some(other) => {
                return Err(form("rules.pricing", other, "pay-as-bid, uniform or uniform-make-whole"));
            }
        };
        if !(1..=86_400).contains(&wire.num_seconds_per_interval) {
            let reason = "an interval lasts between 1 s and a day".to_owned();
            return Err(part("numSecondsPerInterval", Refusal::new("out-of-range", reason)));
        }
        let instant = |place: &str, text: &str| {
            seconds(text).map_err(|reason| part(place, Refusal::new("time", reason)))
        };
        let start_s = instant("startTime", &wire.start_time)?;
        let problem = ClearingProblem::new(wire.intervals, wire.nodes.len(), pricing)
            .map_err(|fault| part("intervals", fault.into()))?;
        let mut node_of = BTreeMap::new();
        for (number, node) in wire.nodes.iter().enumerate() {
            if node_of.insert(node.clone(), number as u32).is_some() {
                return Err(part("nodes", Refusal::new("named-twice", format!("{node:?} is named twice"))));
            }
        }
        let mut case = MarketCase {
            problem,
            start_s,
            interval_s: wire.num_seconds_per_interval,
            nodes: wire.nodes,
            ..MarketCase::default()
        };
        let mut gate = 0;
        let mut cleared_at = None;
        if let Some(said) = &wire.rules.gate {
            let at = instant("rules.gate", said)?;
            let open = -(start_s - at).div_euclid(wire.num_seconds_per_interval);
            gate = open.clamp(0, wire.intervals as i64) as u16;
            case.gate = gate;
            cleared_at = Some(Timestamp::from_seconds(at));
        }
        if let Some(said) = &wire.rules.cleared_at {
            cleared_at = Some(Timestamp::from_seconds(instant("rules.clearedAt", said)?));
        }
        let (interval_s, intervals) = (wire.num_seconds_per_interval, wire.intervals);
        let horizon = Horizon { start_s, interval_s, intervals, cleared_at };
        let mut reader = Self {
            case,
            horizon,
            node_of,
            seen: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            gate,
            limit_names: BTreeSet::new(),
            groups: BTreeMap::new(),
        };
        for bid in wire.bids {
            let place = format!("bid {:?}", bid.id);
            reader.take_bid(bid).map_err(|reason| part(&place, reason))?;
        }
        for row in wire.grid.rows {
            let place = format!("row {:?}", row.element);
            reader.take_row(row).map_err(|reason| part(&place, reason))?;
        }
        Ok((reader, wire.flex_offers.list))
    }

    fn node(&self, name: &str) -> Result<u32, Refusal> {
        let unknown = || Refusal::new("unknown-node", format!("node {name:?} is not in the case"));
        self.node_of.get(name).copied().ok_or_else(unknown)
    }

    /// The interval that begins at an instant.
    fn interval(&self, what: &str, text: &str) -> Result<i64, Refusal> {
        let at = seconds(text).map_err(|reason| Refusal::new("time", format!("{what}: {reason}")))?;
        let distance = at - self.case.start_s;
        if distance % self.case.interval_s != 0 {
            return Err(Refusal::new("time", format!("{what} {text} is not the beginning of an interval")));
        }
        Ok(distance / self.case.interval_s)
    }

    fn start(&self, what: &str, text: &str) -> Result<u16, Refusal> {
        let interval = self.interval(what, text)?;
        let outside =
            || Refusal::new("outside-horizon", format!("{what} {text} lies outside of the horizon"));
        let inside = (0..self.case.problem.intervals() as i64).contains(&interval);
        inside.then_some(interval as u16).ok_or_else(outside)
    }

    fn take_bid(&mut self, bid: wire::Bid) -> Result<(), Refusal> {
        if bid.interval_length != self.case.interval_s {
            return Err(Refusal::new(
                "interval",
                format!("intervals of {} s; the case has {} s", bid.interval_length, self.case.interval_s),
            ));
        }
        if bid.schedule_change.len() != bid.energy_price.len() {
            return Err(Refusal::new(
                "wrong-length",
                "scheduleChange and energyPrice differ in length".to_owned(),
            ));
        }
        let intervals = self.case.problem.intervals();
        let first = self.start("startTime", &bid.start_time)? as usize;
        if first + bid.schedule_change.len() > intervals {
            return Err(Refusal::new("outside-horizon", "it reaches beyond the horizon".to_owned()));
        }
        let nodes = bid.nodes.iter().map(|node| self.node(node)).collect::<Result<Vec<_>, _>>()?;
        // What is asked for in one direction and in the other are two bids of the problem.
        let (nothing, price) = (vec![0; intervals], vec![0; intervals]);
        let mut less = NeedBid { nodes: nodes.clone(), asked: nothing.clone(), price, more: false };
        let mut more = NeedBid { nodes, asked: nothing.clone(), price: nothing, more: true };
        for (k, (&change, &price)) in bid.schedule_change.iter().zip(&bid.energy_price).enumerate() {
            let change = whole("scheduleChange", change)?;
            let price = whole("energyPrice", price)?;
            let need = if change < 0 { &mut more } else { &mut less };
            need.asked[first + k] = change.abs();
            need.price[first + k] = price;
        }
        let asks_more = more.asked.iter().any(|&asked| asked > 0);
        let asks_less = less.asked.iter().any(|&asked| asked > 0);
        let point = bid.congestion_point.unwrap_or_else(|| bid.id.clone());
        if asks_less || !asks_more {
            self.case.problem.add_bid(less)?;
            let name = self.unique(&point, &bid.id);
            self.case.congestion_points.push(name);
            self.case.bids.push(bid.id.clone());
        }
        if asks_more {
            self.case.problem.add_bid(more)?;
            let name = self.unique(&format!("{point} (more)"), &bid.id);
            self.case.congestion_points.push(name);
            self.case.bids.push(bid.id);
        }
        Ok(())
    }

    /// A name that no limit of the case has yet, so that a result can be read back by names.
    fn unique(&mut self, name: &str, of: &str) -> String {
        let mut names = std::iter::once(name.to_owned())
            .chain(std::iter::once(format!("{name} [{of}]")))
            .chain((2_u64..).map(|number| format!("{name} [{of} {number}]")));
        names.find(|name| self.limit_names.insert(name.clone())).unwrap_or_default()
    }

    fn take_row(&mut self, row: wire::Row) -> Result<(), Refusal> {
        let headroom = row.headroom.iter().map(|&kwh| whole("headroom", kwh)).collect::<Result<_, _>>()?;
        let mut sensitivities = Vec::with_capacity(row.sensitivities.len());
        for sensitivity in &row.sensitivities {
            let factor = nearest("factor", sensitivity.factor)?;
            sensitivities.push((self.node(&sensitivity.node)?, factor));
        }
        let penalty = whole("penalty", row.penalty)?;
        self.case.problem.add_row(GridRow { headroom, penalty, sensitivities })?;
        let name = self.unique(&row.element, "row");
        self.case.elements.push(name);
        Ok(())
    }

    fn take(&mut self, place: usize, entry: &'a RawValue) {
        let (id, read) = match plain::read(entry.get()) {
            Some((id, said)) => (id.to_owned(), Ok(Entry::Offer(Box::new(said)))),
            // Whether it is JSON at all is known; a number may still be larger than any.
            None => match serde_json::from_str::<Value>(entry.get()) {
                Ok(value) => (offer::name(&value, place), offer::read(&value, self.horizon.interval_s)),
                Err(error) => (format!("#{place}"), Err(Refusal::new("unreadable", error.to_string()))),
            },
        };
        if let Ok(Entry::Withdrawal) = read {
            self.withdrawn.insert(id.clone());
            let sentence = "an empty profile takes the offer back";
            return self.refuse(id, Refusal::new("withdrawn", sentence));
        }
        if let Some(first) = self.seen.get(&id) {
            if same(first, entry) {
                self.case.repeated += 1;
                return;
            }
            let sentence = "an offer with this id and another content came before; that one stands";
            return self.refuse(id, Refusal::new("duplicate-id", sentence));
        }
        self.seen.insert(id.clone(), entry);
        let put = read.and_then(|read| match read {
            Entry::Offer(said) => self.put(*said),
            Entry::Withdrawal => Ok(()),
        });
        match put {
            Ok(()) => self.case.offers.push(id),
            Err(reason) => self.refuse(id, reason),
        }
    }

    /// Adds an offer to the problem, narrowed to what is still open.
    fn put(&mut self, mut said: Said) -> Result<(), Refusal> {
        let (place, group) = (std::mem::take(&mut said.place), said.group.take());
        let mut offer = self.horizon.judge(said)?;
        offer.terms.node = self.node(&place)?;
        if let Some(group) = group {
            let next = self.groups.len() as u32 + 1;
            offer.terms.group = *self.groups.entry(group).or_insert(next);
        }
        let problem = &mut self.case.problem;
        let at = problem.add_offer(&offer.terms)?;
        let gate = if offer.decided { u16::MAX } else { self.gate };
        if gate == 0 {
            return Ok(());
        }
        let committed = offer.committed.as_ref().map(|(start, energies)| (*start, energies.as_slice()));
        let frozen = freeze_offer(problem, at, &offer.terms, gate, committed);
        if frozen.is_err() {
            problem.withdraw_last();
        }
        Ok(frozen?)
    }

    fn refuse(&mut self, id: String, reason: Refusal) {
        self.case.refused.push(RefusedOffer { id, code: reason.code, sentence: reason.sentence });
    }

    /// The case, without the offers that were taken back, and with groups settled of which one is committed.
    fn finish(mut self) -> MarketCase {
        let withdrawn = std::mem::take(&mut self.withdrawn);
        let gone: Vec<bool> = self.case.offers.iter().map(|id| withdrawn.contains(id)).collect();
        self.remove(&gone);
        let mut gone = vec![false; self.case.offers.len()];
        // The last first: so they are told of.
        for at in self.case.problem.settle_groups().into_iter().rev() {
            gone[at] = true;
            let sentence = "another offer of its exclusive group is committed to leave its default as well";
            self.refuse(self.case.offers[at].clone(), Refusal::new("exclusive-group", sentence));
        }
        self.remove(&gone);
        self.case
    }

    /// Takes marked offers out of the case, all at once.
    fn remove(&mut self, gone: &[bool]) {
        if gone.contains(&true) {
            let mut marks = gone.iter();
            self.case.offers.retain(|_| marks.next() != Some(&true));
            self.case.problem.remove_offers(gone);
        }
    }
}

/// Whether two bodies say the same, in whatever order.
fn same(first: &RawValue, second: &RawValue) -> bool {
    let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get());
    first.get() == second.get()
        || matches!((value(first), value(second)), (Ok(first), Ok(second)) if first == second)
}

/// A part of the case that ends the reading.
fn part(place: &str, reason: Refusal) -> CaseError {
    CaseError::Part { place: place.to_owned(), code: reason.code, reason: reason.sentence }
}

/// Whole millionths; refuses more than six decimals, NaN and what cannot be meant.
fn whole(what: &str, value: f64) -> Result<i64, Refusal> {
    let nearest = nearest(what, value)?;
    if (value * MILLION - nearest as f64).abs() > 1e-3_f64.max(value.abs() * MILLION * 1e-14) {
        return Err(Refusal::new("not-whole", format!("{what} is {value}; at most six decimals are taken")));
    }
    Ok(nearest)
}

/// The nearest millionth.
pub(super) fn nearest(what: &str, value: f64) -> Result<i64, Refusal> {
    if !(value.abs() <= NUMBER_MAX) {
        return Err(Refusal::new(
            "out-of-range",
            format!("{what} is {value:e}; at most {NUMBER_MAX:e} is taken"),
        ));
    }
    Ok((value * MILLION).round() as i64)
}

/// Seconds since the epoch of an ISO instant.
pub(super) fn seconds(text: &str) -> Result<i64, String> {
    let instant: Timestamp =
        text.parse().map_err(|_| format!("{text:?} is no instant like 2026-01-15T17:30:00Z"))?;
    let nanos = instant.nanos();
    if nanos % 1_000_000_000 != 0 {
        return Err(format!("{text:?} is not a whole second"));
    }
    Ok(nanos / 1_000_000_000)
}
