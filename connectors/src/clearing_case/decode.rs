//! From the JSON of a case to a clearing problem. What is wrong with the case as a whole ends the reading; what is
//! wrong with one offer refuses that offer, and the rest proceeds.

use super::MarketCase;
use super::wire;
use grid::Timestamp;
use market::price_clearing::{
    ActivationOption, ClearingProblem, GridRow, NeedBid, OfferTerms, Pricing, ProblemFault, freeze_offer,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Millionths in a kWh, a currency unit or a factor of 1.
const MILLION: f64 = 1e6;
/// Largest number taken before it is even made whole.
const NUMBER_MAX: f64 = 1e12;

/// Why a case could not be read.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CaseError {
    /// No JSON, or not the fields of a case.
    #[error("no market case: {reason}")]
    Json {
        /// What the parser says.
        reason: String,
    },
    /// Another form, or a unit we do not know.
    #[error("{what} is {found:?}; {expected} is read")]
    Form {
        /// Which field.
        what: &'static str,
        /// As given.
        found: String,
        /// What would be read.
        expected: &'static str,
    },
    /// A part that all offers depend on is wrong.
    #[error("{place}: {reason}")]
    Part {
        /// Which part.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// An offer that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedOffer {
    /// Its id, or its place in the list when it has none.
    pub id: String,
    /// The stable code of the reason.
    pub code: &'static str,
    /// The reason in words.
    pub sentence: String,
}

/// A reason on its way to a sentence.
pub(super) struct Refusal {
    pub code: &'static str,
    pub sentence: String,
}

impl From<ProblemFault> for Refusal {
    fn from(fault: ProblemFault) -> Self {
        Self { code: fault.code(), sentence: fault.to_string() }
    }
}

fn refusal(code: &'static str, sentence: String) -> Refusal {
    Refusal { code, sentence }
}

/// Reads a case.
pub fn read_case(text: &str) -> Result<MarketCase, CaseError> {
    match serde_json::from_str::<wire::Case<wire::Offer>>(text) {
        Ok(case) => {
            let (mut reader, offers) = Reader::new(case)?;
            for (place, offer) in offers.into_iter().enumerate() {
                reader.take(place, offer);
            }
            Ok(reader.case)
        }
        Err(_) => {
            // Once more, offer by offer: one that cannot be read must not stop the others.
            let json = |error: serde_json::Error| CaseError::Json { reason: error.to_string() };
            let case = serde_json::from_str::<wire::Case<Value>>(text).map_err(json)?;
            let (mut reader, offers) = Reader::new(case)?;
            for (place, offer) in offers.into_iter().enumerate() {
                let id = offer
                    .get("id")
                    .and_then(Value::as_str)
                    .map_or_else(|| format!("#{place}"), str::to_owned);
                match serde_json::from_value(offer) {
                    Ok(offer) => reader.take(place, offer),
                    Err(error) => reader.refuse(id, refusal("unreadable", error.to_string())),
                }
            }
            Ok(reader.case)
        }
    }
}

struct Reader {
    case: MarketCase,
    node_of: BTreeMap<String, u32>,
    seen: BTreeSet<String>,
    gate: u16,
}

impl Reader {
    fn new<O>(wire: wire::Case<O>) -> Result<(Self, Vec<O>), CaseError> {
        let form = |what, found: &str, expected| CaseError::Form { what, found: found.to_owned(), expected };
        if wire.schema != "gridflex-market/1" {
            return Err(form("schema", &wire.schema, "gridflex-market/1"));
        }
        if wire.energy_unit != "kWh" {
            return Err(form("energyUnit", &wire.energy_unit, "kWh"));
        }
        let pricing = match wire.rules.pricing.as_deref() {
            None | Some("pay-as-bid") => Pricing::PayAsBid,
            Some("uniform") => Pricing::Uniform,
            Some("uniform-make-whole") => Pricing::UniformMakeWhole,
            Some(other) => {
                return Err(form("rules.pricing", other, "pay-as-bid, uniform or uniform-make-whole"));
            }
        };
        let part = |place: &str, reason: String| CaseError::Part { place: place.to_owned(), reason };
        if !(1..=86_400).contains(&wire.num_seconds_per_interval) {
            return Err(part("numSecondsPerInterval", "an interval lasts between 1 s and a day".to_owned()));
        }
        let start_s = seconds(&wire.start_time).map_err(|reason| part("startTime", reason))?;
        let problem = ClearingProblem::new(wire.intervals, wire.nodes.len(), pricing)
            .map_err(|fault| part("intervals", fault.to_string()))?;
        let mut node_of = BTreeMap::new();
        for (number, node) in wire.nodes.iter().enumerate() {
            if node_of.insert(node.clone(), number as u32).is_some() {
                return Err(part("nodes", format!("{node:?} is named twice")));
            }
        }
        let case = MarketCase {
            problem,
            start_s,
            interval_s: wire.num_seconds_per_interval,
            nodes: wire.nodes,
            ..MarketCase::default()
        };
        let mut reader = Self { case, node_of, seen: BTreeSet::new(), gate: 0 };
        if let Some(gate) = &wire.rules.gate {
            let at = seconds(gate).map_err(|reason| part("rules.gate", reason))?;
            let open = -(start_s - at).div_euclid(wire.num_seconds_per_interval);
            reader.gate = open.clamp(0, wire.intervals as i64) as u16;
        }
        for bid in wire.bids {
            let place = format!("bid {:?}", bid.id);
            reader.take_bid(bid).map_err(|reason| part(&place, reason.sentence))?;
        }
        for row in wire.grid.rows {
            let place = format!("row {:?}", row.element);
            reader.take_row(row).map_err(|reason| part(&place, reason.sentence))?;
        }
        Ok((reader, wire.flex_offers))
    }

    fn node(&self, name: &str) -> Result<u32, Refusal> {
        let unknown = || refusal("unknown-node", format!("node {name:?} is not in the case"));
        self.node_of.get(name).copied().ok_or_else(unknown)
    }

    /// The interval that begins at an instant.
    fn interval(&self, what: &str, text: &str) -> Result<i64, Refusal> {
        let at = seconds(text).map_err(|reason| refusal("time", format!("{what}: {reason}")))?;
        let distance = at - self.case.start_s;
        if distance % self.case.interval_s != 0 {
            return Err(refusal("time", format!("{what} {text} is not the beginning of an interval")));
        }
        Ok(distance / self.case.interval_s)
    }

    fn start(&self, what: &str, text: &str) -> Result<u16, Refusal> {
        let interval = self.interval(what, text)?;
        let outside = || refusal("outside-horizon", format!("{what} {text} lies outside of the horizon"));
        let inside = (0..self.case.problem.intervals() as i64).contains(&interval);
        inside.then_some(interval as u16).ok_or_else(outside)
    }

    fn take_bid(&mut self, bid: wire::Bid) -> Result<(), Refusal> {
        if bid.interval_length != self.case.interval_s {
            return Err(refusal(
                "interval",
                format!("intervals of {} s; the case has {} s", bid.interval_length, self.case.interval_s),
            ));
        }
        if bid.schedule_change.len() != bid.energy_price.len() {
            return Err(refusal(
                "wrong-length",
                "scheduleChange and energyPrice differ in length".to_owned(),
            ));
        }
        let intervals = self.case.problem.intervals();
        let first = self.start("startTime", &bid.start_time)? as usize;
        if first + bid.schedule_change.len() > intervals {
            return Err(refusal("outside-horizon", "it reaches beyond the horizon".to_owned()));
        }
        let mut need = NeedBid { nodes: Vec::new(), asked: vec![0; intervals], price: vec![0; intervals] };
        for (k, (&change, &price)) in bid.schedule_change.iter().zip(&bid.energy_price).enumerate() {
            if change < 0.0 {
                return Err(refusal(
                    "asks-for-more",
                    format!("scheduleChange[{k}] asks for more consumption, which cannot be asked for yet"),
                ));
            }
            need.asked[first + k] = whole("scheduleChange", change)?;
            need.price[first + k] = whole("energyPrice", price)?;
        }
        for node in &bid.nodes {
            need.nodes.push(self.node(node)?);
        }
        self.case.problem.add_bid(need)?;
        self.case.congestion_points.push(bid.congestion_point.unwrap_or_else(|| bid.id.clone()));
        self.case.bids.push(bid.id);
        Ok(())
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
        self.case.elements.push(row.element);
        Ok(())
    }

    fn take(&mut self, place: usize, offer: wire::Offer) {
        let id = if offer.id.is_empty() { format!("#{place}") } else { offer.id.clone() };
        if !self.seen.insert(id.clone()) {
            return self.refuse(id, refusal("duplicate-id", "an offer with this id came before".to_owned()));
        }
        match self
            .terms(&offer)
            .and_then(|terms| Ok(self.case.problem.add_offer(&terms).map(|at| (at, terms))?))
        {
            Err(reason) => self.refuse(id, reason),
            Ok((at, terms)) => {
                if let Err(reason) = self.freeze(at, &terms, &offer) {
                    self.case.problem.withdraw_last();
                    return self.refuse(id, reason);
                }
                self.case.offers.push(id);
            }
        }
    }

    /// Narrows an offer to what is still open when a gate is named.
    fn freeze(&mut self, at: usize, terms: &OfferTerms, offer: &wire::Offer) -> Result<(), Refusal> {
        if self.gate == 0 {
            return Ok(());
        }
        let committed = match &offer.flex_offer_schedule {
            Some(schedule) => {
                Some((self.start("flexOfferSchedule", &schedule.start_time)?, energies(schedule)?))
            }
            None => None,
        };
        let committed = committed.as_ref().map(|(start, energies)| (*start, energies.as_slice()));
        Ok(freeze_offer(&mut self.case.problem, at, terms, self.gate, committed)?)
    }

    fn refuse(&mut self, id: String, reason: Refusal) {
        self.case.refused.push(RefusedOffer { id, code: reason.code, sentence: reason.sentence });
    }

    fn terms(&self, offer: &wire::Offer) -> Result<OfferTerms, Refusal> {
        if let Some(length) = offer.num_seconds_per_interval.filter(|&length| length != self.case.interval_s)
        {
            return Err(refusal(
                "interval",
                format!("intervals of {length} s; the case has {} s", self.case.interval_s),
            ));
        }
        let start_last = self.start("startBeforeTime", &offer.start_before_time)?;
        let start_first = match &offer.start_after_time {
            Some(text) => self.start("startAfterTime", text)?,
            None => start_last,
        };
        let (mut lower, mut upper) = (Vec::new(), Vec::new());
        for slice in &offer.flex_offer_profile_constraints {
            if slice.min_duration != 1 || slice.max_duration != 1 {
                return Err(refusal("slice-duration", "a slice lasts one interval here".to_owned()));
            }
            let [bounds] = slice.energy_constraint_list.as_slice() else {
                return Err(refusal("slice-bounds", "a slice has one pair of energy bounds here".to_owned()));
            };
            lower.push(whole("lower", bounds.lower)?);
            upper.push(whole("upper", bounds.upper)?);
        }
        let total = match &offer.total_energy_constraint {
            Some(total) => (whole("total lower", total.lower)?, whole("total upper", total.upper)?),
            None => (lower.iter().sum(), upper.iter().sum()),
        };
        let option = match &offer.activation_option {
            Some(option) => Some(ActivationOption {
                deviation: option
                    .deviation
                    .iter()
                    .map(|&kwh| whole("deviation", kwh))
                    .collect::<Result<_, _>>()?,
                factor_min: nearest("minActivationFactor", option.min_activation_factor)?
                    .clamp(0, i64::from(u32::MAX)) as u32,
            }),
            None => None,
        };
        let per_kwh = whole("perEnergyDeviation", offer.cost.per_energy_deviation)?;
        Ok(OfferTerms {
            node: self.node(&offer.location)?,
            start_default: self.start("defaultSchedule", &offer.default_schedule.start_time)?,
            start_first,
            start_last,
            default: energies(&offer.default_schedule)?,
            lower,
            upper,
            total_lower: total.0,
            total_upper: total.1,
            option,
            activation: whole("activation", offer.cost.activation)?,
            per_interval_shifted: whole("perIntervalShifted", offer.cost.per_interval_shifted)?,
            price_up: per_kwh,
            price_down: per_kwh,
        })
    }
}

fn energies(schedule: &wire::Schedule) -> Result<Vec<i64>, Refusal> {
    let one = |slice: &wire::ScheduleSlice| {
        if slice.duration != 1 {
            return Err(refusal("slice-duration", "a slice lasts one interval here".to_owned()));
        }
        whole("energyAmount", slice.energy_amount)
    };
    schedule.schedule_slices.iter().map(one).collect()
}

/// Whole millionths; refuses more than six decimals, NaN and what cannot be meant.
fn whole(what: &str, value: f64) -> Result<i64, Refusal> {
    let nearest = nearest(what, value)?;
    if (value * MILLION - nearest as f64).abs() > 1e-3_f64.max(value.abs() * MILLION * 1e-14) {
        return Err(refusal("not-whole", format!("{what} is {value}; at most six decimals are taken")));
    }
    Ok(nearest)
}

/// The nearest millionth.
pub(super) fn nearest(what: &str, value: f64) -> Result<i64, Refusal> {
    if !(value.abs() <= NUMBER_MAX) {
        return Err(refusal("out-of-range", format!("{what} is {value:e}; at most {NUMBER_MAX:e} is taken")));
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
