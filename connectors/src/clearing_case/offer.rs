//! One offer of a case: the same words, signs and rules as [`crate::flex_offer`], on the case's intervals. What the clearing
//! does not look at is refused by name, because an offer cleared without it would be sold against its owner's will.

use super::fault::Refusal;
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
const MONEY_MAX: u64 = 1_000_000;
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

/// What an offer says.
#[derive(Debug)]
pub(super) enum Entry {
    /// An offer that can be cleared.
    Offer(Box<ReadOffer>),
    /// An empty profile: the flexibility is taken back.
    Withdrawal,
}

/// An offer that can be cleared.
#[derive(Debug)]
pub(super) struct ReadOffer {
    /// What it may do; its node is not known yet.
    pub terms: OfferTerms,
    /// Where it takes its energy.
    pub place: String,
    /// Its exclusive group; its number in `terms` is not known yet.
    pub group: Option<String>,
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

/// Reads one offer.
pub(super) fn read(entry: &Value, horizon: Horizon) -> Result<Entry, Refusal> {
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
    if let Some(length) = fields.integer(&["numSecondsPerInterval"], 1_000_000_000)?
        && length != horizon.interval_s
    {
        let sentence = format!("intervals of {length} s; the case has {} s", horizon.interval_s);
        return Err(Refusal::new("interval", sentence));
    }
    not_cleared(&fields, &profile)?;
    let profile_path = Path::Key(&root, PROFILE[0]);
    let scale = Scale::of(&fields, profile::fed_in(&profile, &profile_path)?)?.exactly();
    let slices = profile::read(&profile, scale, &profile_path)?;
    known_only(&fields, &slices)?;
    let reader = Reader { fields, scale, horizon };
    let (phase, _) = state(&fields)?;
    if matches!(phase, Phase::Rejected | Phase::Executed | Phase::Invalid | Phase::Canceled) {
        let sentence = format!("its state is {phase:?}: it cannot be assigned any more");
        return Err(Refusal::new("closed-state", sentence));
    }
    obligation(&fields)?;
    let terms = reader.terms(&slices, &profile)?;
    let committed = reader.committed()?;
    let late = reader.too_late(&terms, phase)?;
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
        _ => {
            let place = fields.entry(&["locationID"]).and_then(|(_, value)| place_name(value));
            let place = match place {
                Some(place) => place,
                None => fields.text(&["offeredById"])?.ok_or_else(|| root.missing("locationID"))?,
            };
            let group = fields.text(&["exclusiveGroup"])?;
            Ok(Entry::Offer(Box::new(ReadOffer { terms, place, group, committed, decided })))
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
        if let Some((name, _)) = holder.entry(&SUB_TOTALS) {
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

struct Reader<'a> {
    fields: Fields<'a>,
    scale: Scale,
    horizon: Horizon,
}

impl Reader<'_> {
    fn at(&self, name: &str) -> Result<Option<Timestamp>, Refusal> {
        self.of(&[&format!("{name}Time")], &[&format!("{name}Interval")])
    }

    fn of(&self, times: &[&str], intervals: &[&str]) -> Result<Option<Timestamp>, Refusal> {
        Ok(time(&self.fields, times, intervals, self.horizon.interval_s)?)
    }

    /// The interval that begins at an instant; it may lie outside of the horizon.
    fn interval(&self, what: &str, at: Timestamp) -> Result<i64, Refusal> {
        let nanos = at.nanos() - self.horizon.start_s * 1_000_000_000;
        let length = self.horizon.interval_s * 1_000_000_000;
        match nanos % length {
            0 => Ok(nanos / length),
            _ => Err(Refusal::new("time", format!("{what} {at} is not the beginning of an interval"))),
        }
    }

    fn inside(&self, what: &str, interval: i64) -> Result<u16, Refusal> {
        let known = u16::try_from(interval).ok().filter(|at| usize::from(*at) < self.horizon.intervals);
        known.ok_or_else(|| {
            Refusal::new("outside-horizon", format!("{what} lies outside of the horizon ({interval})"))
        })
    }

    /// First and last start. Without an earliest one it is when the offer was made.
    fn window(&self, slices: i64) -> Result<(u16, u16), Refusal> {
        let interval = |what| -> Result<Option<i64>, Refusal> {
            self.at(what)?.map(|at| self.interval(what, at)).transpose()
        };
        let mut last = interval("startBefore")?.ok_or_else(|| self.fields.path.missing("startBeforeTime"))?;
        let mut first = match (interval("startAfter")?, self.at("creation")?) {
            (Some(first), _) => first,
            (None, Some(created)) => {
                let nanos = created.nanos() - self.horizon.start_s * 1_000_000_000;
                let length = self.horizon.interval_s * 1_000_000_000;
                (-(-nanos).div_euclid(length)).max(0)
            }
            (None, None) => last,
        };
        if let Some(end) = interval("endBefore")? {
            last = last.min(end - slices);
        }
        if let Some(end) = interval("endAfter")? {
            first = first.max(end - slices);
        }
        Ok((self.inside("the earliest start", first)?, self.inside("the latest start", last)?))
    }

    fn energies(&self, name: &str) -> Result<Option<(Option<u16>, Vec<i64>)>, Refusal> {
        let Some((key, value)) = self.fields.entry(&[name]) else { return Ok(None) };
        let path = Path::Key(self.fields.path, key);
        let fields = Fields::of(value, &path)?;
        let begins = time(&fields, &["startTime"], &["startInterval"], self.horizon.interval_s)?;
        let start = match begins {
            Some(begins) => Some(self.inside(key, self.interval(key, begins)?)?),
            None => None,
        };
        let energies = schedule::energies(&fields, self.scale)?;
        Ok(Some((start, energies.iter().map(|energy| energy.0).collect())))
    }

    fn committed(&self) -> Result<Option<(u16, Vec<i64>)>, Refusal> {
        match self.energies("flexOfferSchedule")? {
            None => Ok(None),
            Some((Some(start), energies)) => Ok(Some((start, energies))),
            Some((None, _)) => Err(self.fields.path.missing("flexOfferSchedule.startTime").into()),
        }
    }

    fn terms(&self, slices: &Profile, profile: &[&Value]) -> Result<OfferTerms, Refusal> {
        let (fields, scale) = (&self.fields, self.scale);
        let (start_first, start_last) = self.window(slices.slices.len() as i64)?;
        let total = whole_offer_bounds(fields, profile, scale, TOTALS)?;
        let (start_default, default) = match self.energies("defaultSchedule")? {
            Some((start, energies)) => (start.unwrap_or(start_first), energies),
            None => {
                let least = schedule::least(&slices.slices, total, Slot(0));
                (start_first, least.energies.iter().map(|energy| energy.0).collect())
            }
        };
        let lower: Vec<i64> = slices.slices.iter().map(|slice| slice.min.0).collect();
        let upper: Vec<i64> = slices.slices.iter().map(|slice| slice.max.0).collect();
        let sum = |energies: &[i64]| energies.iter().fold(0_i64, |sum, energy| sum.saturating_add(*energy));
        let (option, least) = self.acceptance()?;
        let money = |fields: &Fields<'_>, names: &[&str]| exact_money(fields, names, MONEY_MAX);
        let prices = deviation_prices(fields, slices.tariffs.iter().flatten().copied(), money)?;
        let (mut activation, mut per_interval_shifted) = (0, 0);
        if let Some((key, value)) = fields.entry(&["cost"]) {
            let path = Path::Key(fields.path, key);
            let cost = Fields::of(value, &path)?;
            activation = money(&cost, &["activation"])?.unwrap_or_default().0;
            per_interval_shifted = money(&cost, &["perIntervalShifted"])?.unwrap_or_default().0;
        }
        Ok(OfferTerms {
            start_default,
            start_first,
            start_last,
            default,
            total_lower: total.map_or_else(|| sum(&lower), |total| total.min.0),
            total_upper: total.map_or_else(|| sum(&upper), |total| total.max.0),
            lower,
            upper,
            option,
            activation,
            per_interval_shifted,
            price_up: prices.increase.0,
            price_down: prices.decrease.0,
            least,
            ..OfferTerms::default()
        })
    }

    /// The option, or the least deviation that is accepted.
    fn acceptance(&self) -> Result<(Option<ActivationOption>, i64), Refusal> {
        match acceptance(&self.fields, self.scale)? {
            Acceptance::Any => Ok((None, 0)),
            Acceptance::AtLeast { energy } => Ok((None, energy.0)),
            Acceptance::Block { deviation, factor_min_ppm } => {
                if let Some((name, _)) = self.fields.entry(&["minimumAcceptance"]) {
                    let why = "not beside an activationOption, whose minActivationFactor says how much is taken at least";
                    return Err(Refusal::not_cleared(name, why));
                }
                let deviation = deviation.iter().map(|energy| energy.0).collect();
                Ok((Some(ActivationOption { deviation, factor_min: factor_min_ppm }), 0))
            }
        }
    }

    /// Why it cannot be assigned any more; an error where its deadlines contradict each other.
    fn too_late(&self, terms: &OfferTerms, phase: Phase) -> Result<Option<Refusal>, Refusal> {
        let start = |interval: u16| {
            let seconds = self.horizon.start_s + i64::from(interval) * self.horizon.interval_s;
            Timestamp::from_seconds(seconds)
        };
        let creation = self.at("creation")?;
        let accept = self.of(
            &["acceptBeforeTime", "acceptanceBeforeTime"],
            &["acceptBeforeInterval", "acceptanceBeforeInterval"],
        )?;
        let lead = ["assignmentBeforeStart", "assignmentBeforeDurationSeconds"];
        let lead = self.fields.integer(&lead, 604_800)?.filter(|lead| *lead > 0);
        let assign = self.at("assignmentBefore")?.or_else(|| {
            let lead = lead?.unsigned_abs();
            Some(start(terms.start_first).minus(std::time::Duration::from_secs(lead)))
        });
        let default = Some(start(terms.start_default));
        for (earlier, at, later, then) in [
            ("the creation", creation, "the acceptance deadline", accept),
            ("the creation", creation, "the assignment deadline", assign),
            ("the acceptance deadline", accept, "the assignment deadline", assign),
            ("the assignment deadline", assign, "the default start", default),
            ("the creation", creation, "the earliest start", Some(start(terms.start_first))),
        ] {
            if let (Some(at), Some(then)) = (at, then)
                && at > then
            {
                let sentence = format!("{earlier} ({at}) lies after {later} ({then})");
                return Err(Refusal::new("deadline-order", sentence));
            }
        }
        let Some(now) = self.horizon.cleared_at else { return Ok(None) };
        let waits = matches!(phase, Phase::Initial | Phase::Offered);
        let passed = [("assignment", assign), ("acceptance", accept.filter(|_| waits))];
        Ok(passed.into_iter().find_map(|(what, at)| {
            let at = at.filter(|at| *at < now)?;
            let sentence = format!("its {what} deadline {at} has passed when the case is cleared ({now})");
            Some(Refusal::new("deadline-passed", sentence))
        }))
    }
}
