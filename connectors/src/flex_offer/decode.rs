//! One offer of a message → [`market::FlexOffer`]. Tolerant in spelling, strict in meaning.

use super::amount::{Scale, money};
use super::directory::Directory;
use super::fault::{ReadError, ReadFault, shown};
use super::field::{Fields, Path, items};
use super::moment::time;
use super::profile::{self, Profile, SUB_TOTALS, TOTALS};
use super::schedule;
use super::{Decoded, Note, Obligation, OfferMessage};
use grid::{DeviceId, EnergyMwh, Money, Slot, Timestamp};
use market::flex_offer::life_cycle::Phase;
use market::flex_offer::{ActivationCost, ExclusiveGroupId, PPM, TariffRange};
use market::{Acceptance, DeviationPrices, EnergyBounds, FlexOffer, FlexOfferId, Terms, TradingMode};
use serde_json::Value;
use std::time::Duration;

/// Names of the profile.
pub(crate) const PROFILE: [&str; 2] = ["flexOfferProfileConstraints", "slices"];

/// Reads one offer.
pub(crate) fn offer(value: &Value, path: &Path<'_>, directory: &mut Directory) -> Result<Decoded, ReadError> {
    let fields = Fields::of(value, path)?;
    let owner = fields.text(&["offeredById"])?.ok_or_else(|| path.missing("offeredById"))?;
    let profile = match fields.entry(&PROFILE) {
        Some((_, profile)) => items(profile),
        None if PROFILE.iter().any(|name| fields.names(name)) => Vec::new(),
        None => return Err(path.missing(PROFILE[0])),
    };
    let id = given_id(&fields)?;
    if profile.is_empty() {
        return Ok(Decoded::Withdrawal { id, owner });
    }
    let profile_path = Path::Key(path, PROFILE[0]);
    let interval = fields.integer(&["numSecondsPerInterval"], 1_000_000_000)?.unwrap_or(Slot::SECONDS);
    if interval != Slot::SECONDS {
        return Err(path.refuse(ReadFault::Interval { seconds: interval }));
    }
    let scale = Scale::of(&fields, profile::fed_in(&profile, &profile_path)?)?;
    let read = profile::read(&profile, scale, &profile_path)?;
    let mut notes = Vec::new();
    let mut offer = draft(&fields, scale, &read, &profile, &mut notes)?;
    let refuse = |fault| path.refuse(fault);
    offer.prosumer = directory.prosumer(&owner).map_err(refuse)?;
    let place = fields.entry(&["locationID"]).and_then(|(_, value)| place_name(value));
    offer.usage_point = match place {
        Some(place) => directory.place(&place).map_err(refuse)?,
        None => directory.place(&owner).map_err(refuse)?,
    };
    let device = fields.integer(&["deviceId"], u32::MAX.into())?;
    offer.device = DeviceId(device.and_then(|d| u32::try_from(d).ok()).unwrap_or(offer.prosumer.0));
    offer.id = match id {
        Some(id) => id,
        None => id_of_content(&offer, &owner, path)?,
    };
    offer.check().map_err(|error| refuse(error.into()))?;
    let (phase, reason) = state(&fields)?;
    let update = match fields.entry(&["flexOfferSchedule"]) {
        Some((key, value)) => Some(schedule::update(value, scale, &Path::Key(path, key))?),
        None => None,
    };
    report_unread(&fields, &read, &mut notes);
    Ok(Decoded::Offer(Box::new(OfferMessage {
        offer,
        phase,
        reason,
        schedule: update,
        label: fields.text(&["label"])?,
        obligation: obligation(&fields)?,
        notes,
    })))
}

/// The offer but for the names.
fn draft(
    fields: &Fields<'_>,
    scale: Scale,
    read: &Profile,
    profile: &[&Value],
    notes: &mut Vec<Note>,
) -> Result<FlexOffer, ReadError> {
    let times = Times::read(fields, read.slices.len())?;
    let pair = |names| whole_offer_bounds(fields, profile, scale, names);
    let mut slices = read.slices.clone();
    let mut total_energy = pair(TOTALS)?;
    let default_schedule = match fields.entry(&["defaultSchedule"]) {
        Some((key, value)) => {
            let path = Path::Key(fields.path, key);
            let mut schedule = schedule::read(value, scale, times.start_after, &path)?;
            let option = deviation(fields, scale)?;
            schedule::fit(&mut schedule, &mut slices, &mut total_energy, option.as_deref(), &path, notes);
            schedule
        }
        None => {
            notes.push(Note::new(fields.path, "no default schedule: as little as the bounds allow"));
            schedule::least(&slices, total_energy, times.start_after)
        }
    };
    let terms = terms(fields, scale, read, pair(SUB_TOTALS)?)?;
    Ok(FlexOffer {
        id: FlexOfferId::numbered("new-", 0),
        prosumer: grid::ProsumerId(0),
        usage_point: grid::UsagePointId(0),
        device: DeviceId(0),
        created_at: times.created_at,
        acceptance_before: times.acceptance_before,
        assignment_before: times.assignment_before,
        start_after: times.start_after,
        start_before: times.start_before,
        slices,
        total_energy,
        default_schedule,
        prices: deviation_prices(fields, terms.tariffs.iter().copied(), money)?,
        terms,
    })
}

/// Bounds on sums over the slices, said of the offer or, as an example of the specification does, among its slices.
pub(crate) fn whole_offer_bounds(
    fields: &Fields<'_>,
    profile: &[&Value],
    scale: Scale,
    names: [&str; 2],
) -> Result<Option<EnergyBounds>, ReadError> {
    let slices = profile.iter().filter_map(|slice| Fields::of(slice, fields.path).ok());
    let said = fields.get(&names).or_else(|| slices.rev().find_map(|slice| slice.get(&names)));
    said.map(|value| scale.pair(value, &Path::Key(fields.path, names[0]))).transpose()
}

struct Times {
    created_at: Timestamp,
    acceptance_before: Timestamp,
    assignment_before: Timestamp,
    start_after: Slot,
    start_before: Slot,
}

impl Times {
    /// Missing times follow the specification: start after creation, assign before the start, accept before the
    /// assignment.
    fn read(fields: &Fields<'_>, slices: usize) -> Result<Self, ReadError> {
        let at = |times: &[&str], intervals: &[&str]| time(fields, times, intervals, Slot::SECONDS);
        let created_at = at(&["creationTime"], &["creationInterval"])?
            .ok_or_else(|| fields.path.missing("creationTime"))?;
        let start_before = at(&["startBeforeTime"], &["startBeforeInterval"])?
            .ok_or_else(|| fields.path.missing("startBeforeTime"))?;
        let start_after = at(&["startAfterTime"], &["startAfterInterval"])?.unwrap_or(created_at);
        // A start lies in a slot of its own: the window shrinks to whole slots.
        let first = start_after.slot();
        let mut start_after = if first.start() < start_after { first.plus(1) } else { first };
        let mut start_before = start_before.slot();
        let length = slices as i64;
        if let Some(end) = at(&["endBeforeTime"], &["endBeforeInterval"])? {
            start_before = start_before.min(end.slot().plus(-length));
        }
        if let Some(end) = at(&["endAfterTime"], &["endAfterInterval"])? {
            let slot = end.slot();
            let slot = if slot.start() < end { slot.plus(1) } else { slot };
            start_after = start_after.max(slot.plus(-length));
        }
        let before_start = ["assignmentBeforeStart", "assignmentBeforeDurationSeconds"];
        let lead = fields.integer(&before_start, 604_800)?.unwrap_or(0).max(0);
        let assignment_before = at(&["assignmentBeforeTime"], &["assignmentBeforeInterval"])?
            .unwrap_or(start_after.start().minus(Duration::from_secs(lead.unsigned_abs())));
        let acceptance_before = at(
            &["acceptBeforeTime", "acceptanceBeforeTime"],
            &["acceptBeforeInterval", "acceptanceBeforeInterval"],
        )?
        .unwrap_or(assignment_before);
        Ok(Self { created_at, acceptance_before, assignment_before, start_after, start_before })
    }
}

fn terms(
    fields: &Fields<'_>,
    scale: Scale,
    read: &Profile,
    running_energy: Option<EnergyBounds>,
) -> Result<Terms, ReadError> {
    let cost = match fields.entry(&["cost"]) {
        Some((key, value)) => {
            let path = Path::Key(fields.path, key);
            let cost = Fields::of(value, &path)?;
            ActivationCost {
                activation: money(&cost, &["activation"])?.unwrap_or_default(),
                per_slot_shifted: money(&cost, &["perIntervalShifted"])?.unwrap_or_default(),
            }
        }
        None => ActivationCost::default(),
    };
    let exclusive_group = match fields.text(&["exclusiveGroup"])? {
        Some(text) => Some(ExclusiveGroupId::new(&text).map_err(|error| {
            let fault = ReadFault::Name { text: shown(&text), reason: error.to_string() };
            Path::Key(fields.path, "exclusiveGroup").refuse(fault)
        })?),
        None => None,
    };
    let mode = match fields.text(&["tradingMode"])?.as_deref() {
        None | Some("direct") => TradingMode::Direct,
        Some("delegated") => TradingMode::Delegated,
        Some(other) => {
            let fault = ReadFault::Word { text: shown(other), known: "direct, delegated" };
            return Err(Path::Key(fields.path, "tradingMode").refuse(fault));
        }
    };
    let revision = fields.integer(&["revision"], u32::MAX.into())?.unwrap_or(0);
    let nothing = TariffRange { min: Money::ZERO, max: Money::ZERO };
    let tariffs = match read.tariffs.iter().any(Option::is_some) {
        true => read.tariffs.iter().map(|tariff| tariff.unwrap_or(nothing)).collect(),
        false => Vec::new(),
    };
    let dependencies = match read.dependencies.iter().all(Vec::is_empty) {
        true => Vec::new(),
        false => read.dependencies.clone(),
    };
    Ok(Terms {
        revision: u32::try_from(revision).unwrap_or_default(),
        mode,
        running_energy,
        dependencies,
        acceptance: acceptance(fields, scale)?,
        exclusive_group,
        cost,
        tariffs,
    })
}

/// The deviation of an activation option.
fn deviation(fields: &Fields<'_>, scale: Scale) -> Result<Option<Vec<EnergyMwh>>, ReadError> {
    let Some((key, value)) = fields.entry(&["activationOption"]) else { return Ok(None) };
    let path = Path::Key(fields.path, key);
    let option = Fields::of(value, &path)?;
    let list = option.get(&["deviation"]).ok_or_else(|| path.missing("deviation"))?;
    let path = Path::Key(&path, "deviation");
    items(list).into_iter().map(|item| scale.energy(item, &path)).collect::<Result<_, _>>().map(Some)
}

pub(crate) fn acceptance(fields: &Fields<'_>, scale: Scale) -> Result<Acceptance, ReadError> {
    if let Some(deviation) = deviation(fields, scale)?
        && let Some((key, value)) = fields.entry(&["activationOption"])
    {
        let path = Path::Key(fields.path, key);
        let factor = Fields::of(value, &path)?.number(&["minActivationFactor"], 1)?.unwrap_or(1.0);
        let factor_min_ppm = (factor.max(0.0) * PPM as f64).round() as u32;
        return Ok(Acceptance::Block { deviation, factor_min_ppm });
    }
    match fields.entry(&["minimumAcceptance"]) {
        Some((key, value)) => {
            let energy = scale.energy(value, &Path::Key(fields.path, key))?;
            // A magnitude: it has no sign to change.
            Ok(Acceptance::AtLeast { energy: if scale.fed_in() { -energy } else { energy } })
        }
        None => Ok(Acceptance::Any),
    }
}

/// Prices of our own fields, or else the largest magnitude among the slices' tariffs.
pub(crate) fn deviation_prices(
    fields: &Fields<'_>,
    tariffs: impl Iterator<Item = TariffRange>,
    money: impl Fn(&Fields<'_>, &[&str]) -> Result<Option<Money>, ReadError>,
) -> Result<DeviationPrices, ReadError> {
    let dearest = tariffs.map(|tariff| tariff.min.abs().max(tariff.max.abs())).max();
    let mut both = dearest.unwrap_or_default();
    let (mut decrease, mut increase) = (None, None);
    if let Some((key, value)) = fields.entry(&["cost"]) {
        let path = Path::Key(fields.path, key);
        let cost = Fields::of(value, &path)?;
        both = money(&cost, &["perEnergyDeviation"])?.unwrap_or(both);
        decrease = money(&cost, &["perEnergyDecrease"])?;
        increase = money(&cost, &["perEnergyIncrease"])?;
    }
    Ok(DeviationPrices { decrease: decrease.unwrap_or(both), increase: increase.unwrap_or(both) })
}

pub(crate) fn state(fields: &Fields<'_>) -> Result<(Phase, Option<String>), ReadError> {
    let text = fields.text(&["state"])?.unwrap_or_else(|| "initial".to_owned());
    let phase = phase_of(&text).ok_or_else(|| {
        let known =
            "initial, offered, accepted, rejected, assigned, in adaptation, executed, invalid, canceled";
        let fault = ReadFault::Word { text: shown(&text), known };
        Path::Key(fields.path, "state").refuse(fault)
    })?;
    Ok((phase, fields.text(&["stateReason"])?))
}

/// A state by its name or number.
pub(crate) fn phase_of(text: &str) -> Option<Phase> {
    let letters: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    Some(match letters.to_ascii_lowercase().as_str() {
        "initial" | "0" => Phase::Initial,
        "offered" | "1" => Phase::Offered,
        "accepted" | "2" => Phase::Accepted,
        "rejected" | "3" => Phase::Rejected,
        "assigned" | "4" => Phase::Assigned,
        "executed" | "5" => Phase::Executed,
        "inadaptation" | "adaptation" | "6" => Phase::InAdaptation,
        "invalid" => Phase::Invalid,
        "canceled" | "cancelled" => Phase::Canceled,
        _ => return None,
    })
}

pub(crate) fn obligation(fields: &Fields<'_>) -> Result<Option<Obligation>, ReadError> {
    match fields.text(&["assignment"])?.map(|text| text.to_ascii_lowercase()).as_deref() {
        None => Ok(None),
        Some("obligatory") => Ok(Some(Obligation::Obligatory)),
        Some("optional") => Ok(Some(Obligation::Optional)),
        Some(other) => {
            let fault = ReadFault::Word { text: shown(other), known: "obligatory, optional" };
            Err(Path::Key(fields.path, "assignment").refuse(fault))
        }
    }
}

/// `id`, or `offerId` where a dialect's `id` is a number that cannot say it; −1 and nothing are "new".
fn given_id(fields: &Fields<'_>) -> Result<Option<FlexOfferId>, ReadError> {
    let Some(text) = fields.text(&["offerId"])?.or(fields.text(&["id"])?).filter(|text| text != "-1") else {
        return Ok(None);
    };
    FlexOfferId::new(&text).map(Some).map_err(|error| {
        let fault = ReadFault::Name { text: shown(&text), reason: error.to_string() };
        Path::Key(fields.path, "id").refuse(fault)
    })
}

/// A name for an offer that came without one: the same content gets the same name, so that a retry is recognised.
fn id_of_content(offer: &FlexOffer, owner: &str, path: &Path<'_>) -> Result<FlexOfferId, ReadError> {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let owner: String = owner.chars().map(safe).take(24).collect();
    let content = serde_json::to_vec(offer).unwrap_or_default();
    let hash = content.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let text = format!("{owner}:{}:{hash:016x}", offer.start_after.0);
    FlexOfferId::new(&text)
        .map_err(|error| path.refuse(ReadFault::Name { text: shown(&text), reason: error.to_string() }))
}

/// A place is a name, or a map with one name (`{"userLocation": {"longitude": …}}`); an empty map is none.
pub(crate) fn place_name(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(map) => map.keys().next().cloned(),
        _ => None,
    }
}

/// Fields of an offer that are read.
const KNOWN: [&str; 47] = [
    "id",
    "offerId",
    "internalId",
    "label",
    "state",
    "stateReason",
    "numSecondsPerInterval",
    "creationTime",
    "creationInterval",
    "offeredById",
    "locationId",
    "deviceId",
    "acceptBeforeTime",
    "acceptBeforeInterval",
    "acceptanceBeforeTime",
    "acceptanceBeforeInterval",
    "assignmentBeforeTime",
    "assignmentBeforeInterval",
    "assignmentBeforeStart",
    "assignmentBeforeDurationSeconds",
    "startAfterTime",
    "startAfterInterval",
    "startBeforeTime",
    "startBeforeInterval",
    "endAfterTime",
    "endAfterInterval",
    "endBeforeTime",
    "endBeforeInterval",
    "assignment",
    "flexOfferProfileConstraints",
    "slices",
    "totalEnergyConstraint",
    "totalEnergyConstraints",
    "subTotalEnergyConstraint",
    "subTotalEnergyConstraints",
    "flexOfferProfilType",
    "flexOfferProfileType",
    "flexOfferType",
    "unit",
    "energyUnit",
    "multiplier",
    "defaultSchedule",
    "flexOfferSchedule",
    "cost",
    "activationOption",
    "exclusiveGroup",
    "minimumAcceptance",
];
const KNOWN_TOO: [&str; 3] = ["tradingMode", "revision", "correct"];

fn report_unread(fields: &Fields<'_>, read: &Profile, notes: &mut Vec<Note>) {
    for path in unread(fields, read) {
        notes.push(Note { path, what: "not read".to_owned() });
    }
}

/// Paths of the fields of an offer and of its slices that are not read.
pub(crate) fn unread(fields: &Fields<'_>, read: &Profile) -> Vec<String> {
    let known: Vec<&str> = KNOWN.iter().chain(&KNOWN_TOO).copied().collect();
    let unknown = fields.unknown(&known).map(|key| Path::Key(fields.path, key).to_string());
    unknown.chain(read.unknown.iter().cloned()).collect()
}
