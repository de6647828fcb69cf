//! Offers → aggregates.

use super::{Answer, OWNER, directory, object, offers, refused, tolerances_value};
use crate::flex_offer::{Dialect, Directory, OfferMessage, ReadError, ReadFault, encode_value};
use grid::{DeviceId, UsagePointId};
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
    /// Offers that were refused.
    pub refused: usize,
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

/// Aggregates the `flexOffers` of a file.
pub fn aggregate(
    text: &[u8],
    tolerances: Tolerances,
    bounds: Bounds,
) -> Result<Answer<AggregateFigures>, ReadError> {
    let mut file = object(text)?;
    let list = file.remove("flexOffers").or_else(|| file.remove("flexOffer"));
    let list = list.ok_or_else(|| refused("flexOffers", ReadFault::Missing))?;
    let mut names = directory(&file);
    let mut refusals = Vec::new();
    let messages = offers(&list, &mut names, &mut refusals)?;
    let mut figures = AggregateFigures { offers: messages.len(), ..AggregateFigures::default() };
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
    let mut made = Made { taken: names_in(&file, &list, &messages), ..Made::default() };
    for seen in portfolio.numbers().filter_map(|number| portfolio.published(number)) {
        let own = members.get(&seen.number).map_or(&[][..], Vec::as_slice);
        let own_messages: Vec<&OfferMessage> = own.iter().map(|&at| &messages[at].1).collect();
        if !made.add(&seen, &own_messages, &mut names)? {
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
    made.offers.extend(passed.into_iter().map(|at| written(&messages[at].1, &names)));
    made.notes.extend(messages.iter().flat_map(|(_, message)| notes(message)));
    figures.notes = made.notes.len();
    write(&mut file, made, refusals, &tolerances);
    Ok(Answer { document: Value::Object(file), figures })
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

/// Every name of an offer that occurs in the file, also of refused offers and of a level below.
fn names_in(file: &Map<String, Value>, list: &Value, messages: &[(usize, OfferMessage)]) -> BTreeSet<String> {
    let below = ["aggregates", "memberOffers"].into_iter().filter_map(|key| file.get(key));
    let entries = below.chain([list]).filter_map(Value::as_array).flatten();
    let of_entry = |entry: &Value| {
        let members = entry.get("members").and_then(Value::as_array).cloned().unwrap_or_default();
        ["id", "offerId"]
            .into_iter()
            .filter_map(|key| entry.get(key).cloned())
            .chain(members)
            .collect::<Vec<_>>()
    };
    let written = entries.flat_map(of_entry).filter_map(|id| id.as_str().map(str::to_owned));
    written.chain(messages.iter().map(|(_, message)| message.offer.id.to_string())).collect()
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
    /// A name that occurs nowhere in the file.
    fn name(&mut self) -> FlexOfferId {
        loop {
            self.last += 1;
            let id = FlexOfferId::numbered("agg-", self.last);
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
        names: &mut Directory,
    ) -> Result<bool, ReadError> {
        let owner = names.prosumer(OWNER).map_err(|fault| refused("offeredById", fault))?;
        let newest = members.iter().map(|message| message.offer.created_at).max().unwrap_or_default();
        let id = self.name();
        let offer = seen.offer(OfferIdentity {
            id: id.clone(),
            prosumer: owner,
            usage_point: UsagePointId(seen.zone.0),
            device: DeviceId(owner.0),
            created_at: newest.min(seen.assignment_before),
        });
        let ids: Vec<&str> = members.iter().map(|message| message.offer.id.as_str()).collect();
        if let Err(error) = offer.check() {
            let (code, sentence) = (error.code(), error.to_string());
            self.dissolved.push(json!({ "members": ids, "code": code, "sentence": sentence }));
            return Ok(false);
        }
        self.offers.push(written(&OfferMessage::new(offer, Phase::Offered), names));
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
        Ok(true)
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
