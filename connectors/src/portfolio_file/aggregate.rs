//! Offers → aggregates.

use super::{Answer, File, directory, hear, list, object, offers, refused, syntax, tolerances_value, value};
use crate::flex_offer::{Dialect, Directory, OfferMessage, ReadError, ReadFault, encode_value};
use grid::{DeviceId, ProsumerId, Slot, UsagePointId};
use market::flex_offer::life_cycle::Phase;
use market::portfolio::{Bounds, OfferIdentity, Portfolio, PortfolioError, Published, Tolerances};
use market::{FlexOfferId, ZoneId};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What aggregating did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AggregateFigures {
    /// Offers that were read.
    pub offers: usize,
    /// Entries that were refused, or take an offer back.
    pub refused: usize,
    /// Offers that the file takes back; they are neither aggregated nor written.
    pub withdrawn: usize,
    /// Aggregates that were made.
    pub aggregates: usize,
    /// Offers in them.
    pub members: usize,
    /// Offers that pass as they are: not summable, in too small an aggregate, or in one that was dissolved.
    pub passed: usize,
    /// Aggregates that would have broken a rule as offers, so that their members pass as they are.
    pub dissolved: usize,
    /// What of offers was not read or was moved a little.
    pub notes: usize,
    /// Slots that members could move further than their aggregates.
    pub time_slots_lost: i64,
    /// Energy flexibility outside the aggregates' bounds, mWh.
    pub energy_lost_mwh: i64,
}

/// In whose name aggregates are written, so that another market, a level above, takes them as offers of one of its own
/// prosumers. All members must lie behind the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregateOwner {
    /// What the level above calls the prosumer.
    pub prosumer: FlexOfferId,
    /// The number of the device there that stands for the portfolio.
    pub device: DeviceId,
    /// What the level above calls the place.
    pub place: String,
}

/// Aggregates the `flexOffers` of a file. With an owner, what passes as it is is written in its name too.
pub fn aggregate(
    text: &[u8],
    tolerances: Tolerances,
    bounds: Bounds,
    owner: Option<&AggregateOwner>,
) -> Result<Answer<AggregateFigures>, ReadError> {
    let file = object(text)?;
    let flex_offers = file.get("flexOffers").or_else(|| file.get("flexOffer"));
    let flex_offers = flex_offers.ok_or_else(|| refused("flexOffers", ReadFault::Missing))?;
    let mut out = passed_through(&file)?;
    let mut names = directory(out.get("nodes"));
    let (mut refusals, mut heard) = (Vec::new(), names_below(&file)?);
    let read = offers(flex_offers, "flexOffers", &mut names, &mut refusals, &mut heard)?;
    let (messages, withdrawn) = (read.offers, read.withdrawn);
    let identity = Identity::of(owner, &mut names, &mut out)?;
    let mut figures = AggregateFigures { offers: messages.len(), withdrawn, ..AggregateFigures::default() };
    let mut portfolio = Portfolio::new(tolerances, bounds);
    let mut passed: Vec<usize> = Vec::new();
    let zoned = messages.iter().map(|(_, message)| (&message.offer, ZoneId(message.offer.usage_point.0)));
    for (at, error) in portfolio.insert_all(zoned) {
        match error {
            PortfolioError::Restricted { .. } => passed.push(at),
            error => refusals.push(refusal(&messages[at].1.offer.id, &error)),
        }
    }
    let waiting: BTreeSet<FlexOfferId> = portfolio.waiting().into_iter().collect();
    let mut members: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (at, (_, OfferMessage { offer, .. })) in messages.iter().enumerate() {
        match portfolio.aggregate_of(&offer.id) {
            Some(_) if waiting.contains(&offer.id) => passed.push(at),
            Some(number) => members.entry(number).or_default().push(at),
            None => {}
        }
    }
    let mut made = Made { taken: heard, ..Made::default() };
    for seen in portfolio.numbers().filter_map(|number| portfolio.published(number)) {
        let own = members.get(&seen.number).map_or(&[][..], Vec::as_slice);
        let own_messages: Vec<&OfferMessage> = own.iter().map(|&at| &messages[at].1).collect();
        if !made.add(&seen, &own_messages, &identity, &names) {
            figures.dissolved += 1;
            passed.extend(own);
            continue;
        }
        figures.aggregates += 1;
        figures.members += own.len();
        figures.time_slots_lost += seen.loss.time_slots;
        figures.energy_lost_mwh = figures.energy_lost_mwh.saturating_add(seen.loss.energy.0);
    }
    passed.sort_unstable();
    figures.passed = passed.len();
    figures.refused = refusals.len();
    made.offers.extend(passed.into_iter().map(|at| identity.written(&messages[at].1, &names)));
    made.notes.extend(messages.iter().flat_map(|(_, message)| notes(message)));
    figures.notes = made.notes.len();
    write(&mut out, made, refusals, &tolerances);
    Ok(Answer { document: Value::Object(out), figures })
}

fn refusal(id: &FlexOfferId, error: &PortfolioError) -> Value {
    json!({ "id": id.as_str(), "code": error.code(), "sentence": error.to_string() })
}

/// All offers are written in one spelling, so that positive energy means the same throughout the file.
fn written(message: &OfferMessage, names: &Directory) -> Value {
    encode_value(message, Dialect::Specification, names)
}

/// What of an offer was not read or was moved a little, and is therefore not in what is written.
fn notes(message: &OfferMessage) -> impl Iterator<Item = Value> {
    let id = message.offer.id.as_str();
    message.notes.iter().map(move |note| json!({ "id": id, "path": note.path, "what": note.what }))
}

/// What [`write`] puts into the file in any case.
const OURS: [&str; 8] =
    ["flexOffers", "flexOffer", "aggregates", "tolerances", "memberOffers", "dissolved", "notes", "refusals"];

/// Whatever else the file says.
fn passed_through(file: &File<'_>) -> Result<Map<String, Value>, ReadError> {
    let others = file.iter().filter(|(name, _)| !OURS.contains(&name.as_str()));
    others.map(|(name, field)| Ok((name.clone(), value(name, field)?))).collect()
}

/// Every name of an offer of the level below.
fn names_below(file: &File<'_>) -> Result<BTreeSet<String>, ReadError> {
    let mut heard = BTreeSet::new();
    for name in ["aggregates", "memberOffers"] {
        let Some(field) = file.get(name) else { continue };
        for entry in list(name, field)?.unwrap_or_default() {
            let entry: Value = serde_json::from_str(entry.get()).map_err(|error| syntax(name, &error))?;
            hear(&entry, &mut heard);
        }
    }
    Ok(heard)
}

/// Name of an aggregate's owner in a file that names none.
const OWNER: &str = "aggregator";

/// An owner by our numbers.
struct Identity<'a> {
    prosumer: ProsumerId,
    device: DeviceId,
    /// The prosumer's name and the place, when the owner is of a level above.
    above: Option<(&'a str, UsagePointId)>,
}

impl<'a> Identity<'a> {
    /// Makes the owner known, and its place a node of the file.
    fn of(
        owner: Option<&'a AggregateOwner>,
        names: &mut Directory,
        out: &mut Map<String, Value>,
    ) -> Result<Self, ReadError> {
        let named = owner.map_or(OWNER, |owner| owner.prosumer.as_str());
        let prosumer = names.prosumer(named).map_err(|fault| refused("offeredById", fault))?;
        let Some(owner) = owner else {
            return Ok(Self { prosumer, device: DeviceId(prosumer.0), above: None });
        };
        if let Some(Value::Array(nodes)) = out.get_mut("nodes")
            && !nodes.iter().any(|node| node == owner.place.as_str())
        {
            names.register_place(&owner.place, UsagePointId(nodes.len() as u32));
            nodes.push(owner.place.as_str().into());
        }
        let place = names.place(&owner.place).map_err(|fault| refused("locationID", fault))?;
        Ok(Self { prosumer, device: owner.device, above: Some((named, place)) })
    }

    /// An offer in the owner's name if it is of a level above, else in its own.
    fn written(&self, message: &OfferMessage, names: &Directory) -> Value {
        let Some((_, place)) = self.above else { return written(message, names) };
        let mut message = message.clone();
        (message.offer.prosumer, message.offer.usage_point) = (self.prosumer, place);
        message.offer.device = self.device;
        let mut value = written(&message, names);
        // Also where its number happens to be that of the prosumer here: there it may not be.
        value["deviceId"] = self.device.0.into();
        value
    }
}

/// The parts of the answer.
#[derive(Default)]
struct Made {
    offers: Vec<Value>,
    aggregates: Vec<Value>,
    members: Vec<Value>,
    dissolved: Vec<Value>,
    notes: Vec<Value>,
    /// Names that no aggregate may have.
    taken: BTreeSet<String>,
    /// Number in the last name given.
    last: u64,
}

impl Made {
    /// A name that occurs nowhere in the file. Above it has to differ from those of other portfolios and other days too.
    fn name(&mut self, owner: &Identity<'_>, start: Slot) -> FlexOfferId {
        loop {
            self.last += 1;
            let id = match owner.above {
                Some((owner, _)) => FlexOfferId::new(format!("{owner}:{}:{}", start.0, self.last)),
                None => Ok(FlexOfferId::numbered("agg-", self.last)),
            };
            let id = id.unwrap_or_else(|_| FlexOfferId::numbered("agg-", self.last));
            if !self.taken.contains(id.as_str()) {
                return id;
            }
        }
    }

    /// Adds an aggregate; `false` when it breaks a rule that its members keep: then they pass as they are.
    fn add(
        &mut self,
        seen: &Published,
        members: &[&OfferMessage],
        owner: &Identity<'_>,
        names: &Directory,
    ) -> bool {
        let newest = members.iter().map(|message| message.offer.created_at).max().unwrap_or_default();
        let mut offer = seen.offer(OfferIdentity {
            id: FlexOfferId::numbered("agg-", 0),
            prosumer: owner.prosumer,
            usage_point: UsagePointId(seen.zone.0),
            device: owner.device,
            created_at: newest.min(seen.assignment_before),
        });
        let id = self.name(owner, offer.start_after);
        offer.id = id.clone();
        let ids: Vec<&str> = members.iter().map(|message| message.offer.id.as_str()).collect();
        if let Err(error) = offer.check() {
            let (code, sentence) = (error.code(), error.to_string());
            self.dissolved.push(json!({ "members": ids, "code": code, "sentence": sentence }));
            return false;
        }
        self.offers.push(owner.written(&OfferMessage::new(offer, Phase::Offered), names));
        self.members.extend(members.iter().map(|message| written(message, names)));
        let bounds = |list: &[market::EnergyBounds]| -> Value {
            list.iter()
                .map(|b| json!({ "lower": b.min.kilowatt_hours(), "upper": b.max.kilowatt_hours() }))
                .collect()
        };
        self.aggregates.push(json!({
            "id": id.as_str(),
            "members": ids,
            "outerBounds": bounds(&seen.outer_slices),
            "totalEnergyConstraint": seen.total_energy.as_ref().map(|total| bounds(std::slice::from_ref(total))),
            "timeIntervalsLost": seen.loss.time_slots,
            "energyLost": seen.loss.energy.kilowatt_hours(),
        }));
        true
    }
}

fn write(file: &mut Map<String, Value>, made: Made, refusals: Vec<Value>, tolerances: &Tolerances) {
    let mut put = |name: &str, value: Value| file.insert(name.to_owned(), value);
    put("flexOffers", made.offers.into());
    put("aggregates", made.aggregates.into());
    put("tolerances", tolerances_value(tolerances));
    put("memberOffers", made.members.into());
    put("dissolved", made.dissolved.into());
    put("notes", made.notes.into());
    put("refusals", refusals.into());
}
