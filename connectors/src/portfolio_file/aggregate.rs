//! Offers → aggregates.

use super::{Answer, OWNER, directory, object, offers, refused, tolerances_value};
use crate::flex_offer::{Dialect, Directory, OfferMessage, ReadError, ReadFault, encode_value};
use grid::{DeviceId, Timestamp, UsagePointId};
use market::flex_offer::life_cycle::Phase;
use market::portfolio::{Bounds, OfferIdentity, Portfolio, PortfolioError, Published, Tolerances};
use market::{FlexOfferId, ZoneId};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

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
    /// Offers that pass as they are: not summable, or in too small an aggregate.
    pub passed: usize,
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
        let (position, OfferMessage { offer, .. }) = &messages[at];
        match error {
            PortfolioError::Restricted { .. } => passed.push(*position),
            error => refusals.push(refusal(&offer.id, &error)),
        }
    }
    let positions: BTreeMap<&FlexOfferId, usize> =
        messages.iter().map(|(position, message)| (&message.offer.id, *position)).collect();
    let waiting = portfolio.waiting();
    passed.extend(waiting.iter().filter_map(|id| positions.get(id)));
    passed.sort_unstable();

    let mut made = Made::default();
    let mut members: BTreeMap<u64, Vec<(&FlexOfferId, usize)>> = BTreeMap::new();
    let mut created: BTreeMap<u64, Timestamp> = BTreeMap::new();
    for (position, message) in &messages {
        if let Some(number) = portfolio.aggregate_of(&message.offer.id) {
            members.entry(number).or_default().push((&message.offer.id, *position));
            let newest = created.entry(number).or_insert(message.offer.created_at);
            *newest = (*newest).max(message.offer.created_at);
        }
    }
    for seen in portfolio.numbers().filter_map(|number| portfolio.published(number)) {
        let own = members.get(&seen.number).map_or(&[][..], Vec::as_slice);
        figures.aggregates += 1;
        figures.members += own.len();
        figures.time_slots_lost += seen.loss.time_slots;
        figures.energy_lost_mwh = figures.energy_lost_mwh.saturating_add(seen.loss.energy.0);
        made.members.extend(own.iter().filter_map(|(_, position)| list.get(*position).cloned()));
        let created_at = created.get(&seen.number).copied().unwrap_or_default();
        made.add(&seen, created_at, own, &mut names)?;
    }
    figures.passed = passed.len();
    figures.refused = refusals.len();
    made.offers.extend(passed.into_iter().filter_map(|position| list.get(position).cloned()));
    write(&mut file, made, refusals, &tolerances);
    Ok(Answer { document: Value::Object(file), figures })
}

fn refusal(id: &FlexOfferId, error: &PortfolioError) -> Value {
    json!({ "id": id.as_str(), "code": error.code(), "sentence": error.to_string() })
}

/// The parts of the answer.
#[derive(Default)]
struct Made {
    offers: Vec<Value>,
    aggregates: Vec<Value>,
    members: Vec<Value>,
}

impl Made {
    fn add(
        &mut self,
        seen: &Published,
        created_at: Timestamp,
        members: &[(&FlexOfferId, usize)],
        names: &mut Directory,
    ) -> Result<(), ReadError> {
        let id = FlexOfferId::numbered("agg-", seen.number);
        let owner = names.prosumer(OWNER).map_err(|fault| refused("offeredById", fault))?;
        let offer = seen.offer(OfferIdentity {
            id: id.clone(),
            prosumer: owner,
            usage_point: UsagePointId(seen.zone.0),
            device: DeviceId(owner.0),
            created_at: created_at.min(seen.assignment_before),
        });
        offer.check().map_err(|error| refused(id.as_str(), error.into()))?;
        let message = OfferMessage::new(offer, Phase::Offered);
        self.offers.push(encode_value(&message, Dialect::Specification, names));
        let bounds = |list: &[market::EnergyBounds]| -> Value {
            list.iter()
                .map(|b| json!({ "lower": b.min.kilowatt_hours(), "upper": b.max.kilowatt_hours() }))
                .collect()
        };
        self.aggregates.push(json!({
            "id": id.as_str(),
            "members": members.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(),
            "outerBounds": bounds(&seen.outer_slices),
            "totalEnergyConstraint": seen.total_energy.as_ref().map(|total| bounds(std::slice::from_ref(total))),
            "timeIntervalsLost": seen.loss.time_slots,
            "energyLost": seen.loss.energy.kilowatt_hours(),
        }));
        Ok(())
    }
}

fn write(file: &mut Map<String, Value>, made: Made, refusals: Vec<Value>, tolerances: &Tolerances) {
    let mut put = |name: &str, value: Value| file.insert(name.to_owned(), value);
    put("flexOffers", made.offers.into());
    put("aggregates", made.aggregates.into());
    put("tolerances", tolerances_value(tolerances));
    put("memberOffers", made.members.into());
    put("refusals", refusals.into());
}
