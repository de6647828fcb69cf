//! One offer of a case: the same words, signs and rules as [`crate::flex_offer`], on the case's intervals. What the clearing
//! does not look at is refused by name, because an offer cleared without it would be sold against its owner's will.

use super::fault::Refusal;
use crate::flex_offer::Obligation;
use crate::flex_offer::amount::{Scale, exact_money};
use crate::flex_offer::decode::{
    PROFILE, acceptance, deviation_prices, obligation, place_name, state, unread, whole_offer_bounds,
};
use crate::flex_offer::field::{Fields, Path, items};
use crate::flex_offer::moment::time;
use crate::flex_offer::profile::{self, Profile, ROW_LISTS, SUB_TOTALS, TOTALS};
use crate::flex_offer::schedule;
use grid::{Slot, Timestamp};
use market::Acceptance;
use market::flex_offer::life_cycle::Phase;
use market::price_clearing::{ActivationOption, OfferTerms};
use serde_json::Value;

/// Largest price per kWh or sum, currency units.
pub(super) const MONEY_MAX: u64 = 1_000_000;
/// Terms of the specification and its drafts that the clearing does not look at.
const NOT_CLEARED: [&str; 7] = [
    "totalCostConstraint",
    "powerFactorConstraint",
    "flexOfferPriceConstraints",
    "flexOfferTariffConstraint",
    "UncertainFunctions",
    "UncertainThreshold",
    "phases",
];
const COST: [&str; 5] =
    ["activation", "perIntervalShifted", "perEnergyDeviation", "perEnergyDecrease", "perEnergyIncrease"];

/// The intervals of a case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Horizon {
    /// Begin of the first, s since 1970.
    pub start_s: i64,
    /// Length of one, s.
    pub interval_s: i64,
    pub intervals: usize,
    /// When the clearing takes place, if the case says so.
    pub cleared_at: Option<Timestamp>,
}

/// What an entry says.
#[derive(Debug)]
pub(super) enum Entry {
    /// An offer.
    Offer(Box<Said>),
    /// An empty profile: the flexibility is taken back.
    Withdrawal,
}

/// A schedule: its start if it says one, and its energies, mWh taken.
pub(super) type SaidSchedule = (Option<Timestamp>, Vec<i64>);

/// What an offer says, in our units and signs, not judged yet.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Said {
    /// Length of its intervals, s.
    pub interval_s: Option<i64>,
    pub phase: Phase,
    pub creation: Option<Timestamp>,
    pub accept: Option<Timestamp>,
    pub assign: Option<Timestamp>,
    /// How long before its start it wants to be assigned, s.
    pub lead_s: Option<i64>,
    pub start_after: Option<Timestamp>,
    pub start_before: Option<Timestamp>,
    pub end_after: Option<Timestamp>,
    pub end_before: Option<Timestamp>,
    pub lower: Vec<i64>,
    pub upper: Vec<i64>,
    pub total: Option<(i64, i64)>,
    /// Bounds on every running sum.
    pub running: Option<(i64, i64)>,
    pub default: Option<SaidSchedule>,
    pub committed: Option<SaidSchedule>,
    pub option: Option<ActivationOption>,
    pub least: i64,
    /// Micro-units, as in [`OfferTerms`].
    pub activation: i64,
    pub per_interval_shifted: i64,
    pub price_up: i64,
    pub price_down: i64,
    /// Its exclusive group.
    pub group: Option<String>,
    /// Where it takes its energy.
    pub place: String,
}

/// An offer that can be cleared.
#[derive(Debug)]
pub(super) struct ReadOffer {
    /// What it may do; its node and group are not known yet.
    pub terms: OfferTerms,
    /// What an earlier clearing decided: start and energies.
    pub committed: Option<(u16, Vec<i64>)>,
    /// Whether that cannot be changed any more, whatever the gate.
    pub decided: bool,
}

/// The name an entry goes by: its id, or its place in the list.
pub(super) fn name(entry: &Value, place: usize) -> String {
    let root = Path::Root;
    let text = |names: &[&str]| Fields::of(entry, &root).ok()?.text(names).ok()?;
    text(&["offerId"])
        .or_else(|| text(&["id"]))
        .filter(|id| id != "-1")
        .unwrap_or_else(|| format!("#{place}"))
}

/// Reads one offer of a case whose intervals have `interval_s` seconds.
pub(super) fn read(entry: &Value, interval_s: i64) -> Result<Entry, Refusal> {
    let root = Path::Root;
    let fields = Fields::of(entry, &root)?;
    let profile = match fields.entry(&PROFILE) {
        Some((_, profile)) => items(profile),
        None if PROFILE.iter().any(|name| fields.names(name)) => Vec::new(),
        None => return Err(root.missing(PROFILE[0]).into()),
    };
    if profile.is_empty() {
        return Ok(Entry::Withdrawal);
    }
    not_cleared(&fields, &profile)?;
    let profile_path = Path::Key(&root, PROFILE[0]);
    let scale = Scale::of(&fields, profile::fed_in(&profile, &profile_path)?)?.exactly();
    let slices = profile::read(&profile, scale, &profile_path)?;
    known_only(&fields, &slices)?;
    if obligation(&fields)? == Some(Obligation::Optional) {
        return Err(Refusal::new(Obligation::OPTIONAL, Obligation::OPTIONAL_WORDS));
    }
    let total = whole_offer_bounds(&fields, &profile, scale, TOTALS)?;
    let running = whole_offer_bounds(&fields, &profile, scale, SUB_TOTALS)?;
    let (option, least) = accepted(&fields, scale)?;
    let at = |times: &[&str], intervals: &[&str]| time(&fields, times, intervals, interval_s);
    let said_schedule = |name| schedule_of(&fields, name, scale, interval_s);
    let money = |fields: &Fields<'_>, names: &[&str]| exact_money(fields, names, MONEY_MAX);
    let prices = deviation_prices(&fields, slices.tariffs.iter().flatten().copied(), money)?;
    let (mut activation, mut per_interval_shifted) = (0, 0);
    if let Some((key, value)) = fields.entry(&["cost"]) {
        let path = Path::Key(&root, key);
        let cost = Fields::of(value, &path)?;
        activation = money(&cost, &["activation"])?.unwrap_or_default().0;
        per_interval_shifted = money(&cost, &["perIntervalShifted"])?.unwrap_or_default().0;
    }
    let place = match fields.entry(&["locationID"]).and_then(|(_, value)| place_name(value)) {
        Some(place) => place,
        None => fields.text(&["offeredById"])?.ok_or_else(|| root.missing("locationID"))?,
    };
    let mut said = Said {
        interval_s: fields.integer(&["numSecondsPerInterval"], 1_000_000_000)?,
        phase: state(&fields)?.0,
        creation: at(&["creationTime"], &["creationInterval"])?,
        accept: at(
            &["acceptBeforeTime", "acceptanceBeforeTime"],
            &["acceptBeforeInterval", "acceptanceBeforeInterval"],
        )?,
        assign: at(&["assignmentBeforeTime"], &["assignmentBeforeInterval"])?,
        lead_s: fields.integer(&["assignmentBeforeStart", "assignmentBeforeDurationSeconds"], 604_800)?,
        start_after: at(&["startAfterTime"], &["startAfterInterval"])?,
        start_before: at(&["startBeforeTime"], &["startBeforeInterval"])?,
        end_after: at(&["endAfterTime"], &["endAfterInterval"])?,
        end_before: at(&["endBeforeTime"], &["endBeforeInterval"])?,
        lower: slices.slices.iter().map(|slice| slice.min.0).collect(),
        upper: slices.slices.iter().map(|slice| slice.max.0).collect(),
        total: total.map(|total| (total.min.0, total.max.0)),
        running: running.map(|running| (running.min.0, running.max.0)),
        default: said_schedule("defaultSchedule")?,
        committed: said_schedule("flexOfferSchedule")?,
        option,
        least,
        activation,
        per_interval_shifted,
        price_up: prices.increase.0,
        price_down: prices.decrease.0,
        group: fields.text(&["exclusiveGroup"])?,
        place,
    };
    if said.default.is_none() {
        let least = schedule::least(&slices.slices, total, Slot(0));
        said.default = Some((None, least.energies.iter().map(|energy| energy.0).collect()));
    }
    Ok(Entry::Offer(Box::new(said)))
}

fn schedule_of(
    fields: &Fields<'_>,
    name: &str,
    scale: Scale,
    interval_s: i64,
) -> Result<Option<SaidSchedule>, Refusal> {
    let Some((key, value)) = fields.entry(&[name]) else { return Ok(None) };
    let path = Path::Key(fields.path, key);
    let fields = Fields::of(value, &path)?;
    let begins = time(&fields, &["startTime"], &["startInterval"], interval_s)?;
    let energies = schedule::energies(&fields, scale)?;
    Ok(Some((begins, energies.iter().map(|energy| energy.0).collect())))
}

/// The option, or the least deviation that is accepted.
fn accepted(fields: &Fields<'_>, scale: Scale) -> Result<(Option<ActivationOption>, i64), Refusal> {
    match acceptance(fields, scale)? {
        Acceptance::Any => Ok((None, 0)),
        Acceptance::AtLeast { energy } => Ok((None, energy.0)),
        Acceptance::Block { deviation, factor_min_ppm } => {
            if let Some((name, _)) = fields.entry(&["minimumAcceptance"]) {
                let why = "not beside an activationOption, whose minActivationFactor says how much is taken at least";
                return Err(Refusal::not_cleared(name, why));
            }
            let deviation = deviation.iter().map(|energy| energy.0).collect();
            Ok((Some(ActivationOption { deviation, factor_min: factor_min_ppm }), 0))
        }
    }
}

/// Refuses terms that no clearing by prices looks at.
fn not_cleared(fields: &Fields<'_>, profile: &[&Value]) -> Result<(), Refusal> {
    const WHY: &str = "the clearing does not look at it; offer without it, or trade the offer by itself";
    let slices: Vec<Fields<'_>> =
        profile.iter().filter_map(|slice| Fields::of(slice, fields.path).ok()).collect();
    for holder in std::iter::once(fields).chain(&slices) {
        let term = NOT_CLEARED.iter().chain(&ROW_LISTS).find_map(|name| holder.entry(&[name]));
        // An empty list of rows says nothing.
        if let Some((name, _)) =
            term.filter(|(_, value)| value.as_array().is_none_or(|list| !list.is_empty()))
        {
            return Err(Refusal::not_cleared(name, WHY));
        }
    }
    Ok(())
}

/// Refuses fields that are not known: they might restrict what is sold.
fn known_only(fields: &Fields<'_>, slices: &Profile) -> Result<(), Refusal> {
    let mut unknown = unread(fields, slices);
    for (name, known) in [
        ("cost", &COST[..]),
        ("activationOption", &["deviation", "minActivationFactor"][..]),
        ("totalEnergyConstraint", &["lower", "upper", "lowerBound", "upperBound"][..]),
        ("subTotalEnergyConstraint", &["lower", "upper", "lowerBound", "upperBound"][..]),
    ] {
        let Some((key, value)) = fields.entry(&[name]) else { continue };
        let path = Path::Key(fields.path, key);
        // A pair of bounds may stand in a list of one.
        let inner = value.as_array().and_then(|list| list.first()).unwrap_or(value);
        let inner = Fields::of(inner, &path)?;
        unknown.extend(inner.unknown(known).map(|field| Path::Key(&path, field).to_string()));
    }
    match unknown.first() {
        None => Ok(()),
        Some(field) => {
            Err(Refusal::new("unknown-field", format!("{field}: not known, and it might restrict the offer")))
        }
    }
}

impl Horizon {
    /// What an offer may do, if it can be cleared in this case.
    pub(super) fn judge(&self, said: Said) -> Result<ReadOffer, Refusal> {
        if let Some(length) = said.interval_s.filter(|&length| length != self.interval_s) {
            let sentence = format!("intervals of {length} s; the case has {} s", self.interval_s);
            return Err(Refusal::new("interval", sentence));
        }
        let phase = said.phase;
        if matches!(phase, Phase::Rejected | Phase::Executed | Phase::Invalid | Phase::Canceled) {
            let sentence = format!("its state is {phase:?}: it cannot be assigned any more");
            return Err(Refusal::new("closed-state", sentence));
        }
        let (start_first, start_last) = self.window(&said)?;
        let (begins, default) = said.default.clone().unwrap_or_default();
        let start_default = self.start("defaultSchedule", begins)?.unwrap_or(start_first);
        let committed = match &said.committed {
            None => None,
            Some((begins, energies)) => match self.start("flexOfferSchedule", *begins)? {
                Some(start) => Some((start, energies.clone())),
                None => return Err(Path::Root.missing("flexOfferSchedule.startTime").into()),
            },
        };
        let late = self.too_late(&said, start_first, start_default)?;
        let sum = |energies: &[i64]| energies.iter().fold(0_i64, |sum, energy| sum.saturating_add(*energy));
        let (total_lower, total_upper) = said.total.unwrap_or_else(|| (sum(&said.lower), sum(&said.upper)));
        let terms = OfferTerms {
            start_default,
            start_first,
            start_last,
            default,
            lower: said.lower,
            upper: said.upper,
            total_lower,
            total_upper,
            running: said.running,
            option: said.option,
            activation: said.activation,
            per_interval_shifted: said.per_interval_shifted,
            price_up: said.price_up,
            price_down: said.price_down,
            least: said.least,
            ..OfferTerms::default()
        };
        let decided = phase == Phase::InAdaptation || late.is_some();
        match (&committed, late) {
            (Some((start, energies)), _) if !terms.holds(*start, energies) => Err(Refusal::new(
                "commitment-outside-offer",
                "flexOfferSchedule lies outside of what the offer allows",
            )),
            (None, Some(late)) => Err(late),
            (None, None) if decided => {
                Err(Refusal::new("closed-state", "it is in adaptation without a flexOfferSchedule"))
            }
            _ => Ok(ReadOffer { terms, committed, decided }),
        }
    }

    /// The interval that begins at an instant; it may lie outside of the horizon.
    fn interval(&self, what: &str, at: Timestamp) -> Result<i64, Refusal> {
        let nanos = at.nanos() - self.start_s * 1_000_000_000;
        let length = self.interval_s * 1_000_000_000;
        match nanos % length {
            0 => Ok(nanos / length),
            _ => Err(Refusal::new("time", format!("{what} {at} is not the beginning of an interval"))),
        }
    }

    fn inside(&self, what: &str, interval: i64) -> Result<u16, Refusal> {
        let known = u16::try_from(interval).ok().filter(|at| usize::from(*at) < self.intervals);
        known.ok_or_else(|| {
            Refusal::new("outside-horizon", format!("{what} lies outside of the horizon ({interval})"))
        })
    }

    fn start(&self, what: &str, at: Option<Timestamp>) -> Result<Option<u16>, Refusal> {
        at.map(|at| self.inside(what, self.interval(what, at)?)).transpose()
    }

    /// First and last start. Without an earliest one it is when the offer was made.
    fn window(&self, said: &Said) -> Result<(u16, u16), Refusal> {
        let slices = said.lower.len() as i64;
        let interval = |what, at: Option<Timestamp>| at.map(|at| self.interval(what, at)).transpose();
        let mut last = interval("startBeforeTime", said.start_before)?
            .ok_or_else(|| Path::Root.missing("startBeforeTime"))?;
        let mut first = match (interval("startAfterTime", said.start_after)?, said.creation) {
            (Some(first), _) => first,
            (None, Some(created)) => {
                let nanos = created.nanos() - self.start_s * 1_000_000_000;
                (-(-nanos).div_euclid(self.interval_s * 1_000_000_000)).max(0)
            }
            (None, None) => last,
        };
        if let Some(end) = interval("endBeforeTime", said.end_before)? {
            last = last.min(end - slices);
        }
        if let Some(end) = interval("endAfterTime", said.end_after)? {
            first = first.max(end - slices);
        }
        Ok((self.inside("the earliest start", first)?, self.inside("the latest start", last)?))
    }

    /// Why an offer cannot be assigned any more; an error where its deadlines contradict each other.
    fn too_late(
        &self,
        said: &Said,
        start_first: u16,
        start_default: u16,
    ) -> Result<Option<Refusal>, Refusal> {
        let start =
            |interval: u16| Timestamp::from_seconds(self.start_s + i64::from(interval) * self.interval_s);
        let assign = said.assign.or_else(|| {
            let lead = said.lead_s.filter(|lead| *lead > 0)?.unsigned_abs();
            Some(start(start_first).minus(std::time::Duration::from_secs(lead)))
        });
        let (creation, accept) = (said.creation, said.accept);
        for (earlier, at, later, then) in [
            ("the creation", creation, "the acceptance deadline", accept),
            ("the creation", creation, "the assignment deadline", assign),
            ("the acceptance deadline", accept, "the assignment deadline", assign),
            ("the assignment deadline", assign, "the default start", Some(start(start_default))),
            ("the creation", creation, "the earliest start", Some(start(start_first))),
        ] {
            if let (Some(at), Some(then)) = (at, then)
                && at > then
            {
                let sentence = format!("{earlier} ({at}) lies after {later} ({then})");
                return Err(Refusal::new("deadline-order", sentence));
            }
        }
        let Some(now) = self.cleared_at else { return Ok(None) };
        let waits = matches!(said.phase, Phase::Initial | Phase::Offered);
        let passed = [("assignment", assign), ("acceptance", accept.filter(|_| waits))];
        Ok(passed.into_iter().find_map(|(what, at)| {
            let at = at.filter(|at| *at < now)?;
            let sentence = format!("its {what} deadline {at} has passed when the case is cleared ({now})");
            Some(Refusal::new("deadline-passed", sentence))
        }))
    }
}
