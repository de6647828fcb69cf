//! Schedules of aggregates → schedules of their members.

use super::{Answer, File, directory, list, object, offers, refused, syntax, tolerances_of, value};
use crate::flex_offer::{Directory, OfferMessage, ReadError, ReadFault, read_schedule, write_schedule};
use market::portfolio::{Bounds, Portfolio, Tolerances};
use market::{FlexOffer, FlexOfferId, ZoneId};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What disaggregating did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DisaggregateFigures {
    /// Schedules of aggregates that were split.
    pub split: usize,
    /// Schedules of offers that are no aggregates and pass as they are.
    pub passed: usize,
    /// Schedules that could not be split.
    pub refused: usize,
    /// Schedules of members.
    pub members: usize,
    /// Sum of all energies of the split schedules and of their parts; the same number twice, mWh.
    pub assigned_mwh: i64,
    /// See above.
    pub distributed_mwh: i64,
}

/// Splits `assignments` (of the file itself, or of the result of a clearing), or the `schedules` that a running gridflex
/// hands over, among the members of a file that [`super::aggregate`] wrote.
pub fn disaggregate(text: &[u8], result: Option<&[u8]>) -> Result<Answer<DisaggregateFigures>, ReadError> {
    let file = object(text)?;
    let of = |name: &str| file.get(name).ok_or_else(|| refused(name, ReadFault::Missing));
    let tolerances = value("tolerances", of("tolerances")?)?;
    let tolerances = tolerances_of(&tolerances).ok_or_else(|| refused("tolerances", ReadFault::Missing))?;
    let nodes = file.get("nodes").map(|nodes| value("nodes", nodes)).transpose()?;
    let mut names: Directory = directory(nodes.as_ref());
    let mut refusals = Vec::new();
    let members =
        offers(of("memberOffers")?, "memberOffers", &mut names, &mut refusals, &mut BTreeSet::new())?;
    let members: BTreeMap<FlexOfferId, FlexOffer> =
        members.offers.into_iter().map(|(_, OfferMessage { offer, .. })| (offer.id.clone(), offer)).collect();
    let aggregates = aggregates(&file)?;
    let result = result.map(object).transpose()?;
    let missing = || refused("assignments", ReadFault::Missing);
    let result = result.as_ref().unwrap_or(&file);
    let (assignments, ordered): (Vec<&RawValue>, Vec<Value>) = match result.get("assignments") {
        Some(assignments) => (list("assignments", assignments)?.ok_or_else(missing)?, Vec::new()),
        None => (Vec::new(), orders(value("schedules", result.get("schedules").ok_or_else(missing)?)?)?),
    };
    let assignments = assignments.into_iter().map(|text| serde_json::from_str(text.get()));
    let mut figures = DisaggregateFigures::default();
    let (mut written, mut seen) = (Vec::new(), BTreeSet::new());
    for (index, assignment) in assignments.chain(ordered.into_iter().map(Ok)).enumerate() {
        let assignment: Value = match assignment {
            Ok(assignment) => assignment,
            Err(error) => {
                let error = syntax(&format!("assignments[{index}]"), &error);
                refusals.push(refusal("", error.code(), error.to_string()));
                continue;
            }
        };
        let id = assignment.get("id").and_then(Value::as_str).unwrap_or_default();
        let Some(own) = aggregates.get(id) else {
            figures.passed += 1;
            written.push(assignment.clone());
            continue;
        };
        if !seen.insert(id.to_owned()) {
            refusals.push(refusal(id, "assigned-twice", format!("{id} has two assignments")));
            continue;
        }
        match split(&assignment, index, own, &members, tolerances) {
            Ok((parts, assigned, distributed)) => {
                figures.split += 1;
                figures.members += parts.len();
                figures.assigned_mwh = figures.assigned_mwh.saturating_add(assigned);
                figures.distributed_mwh = figures.distributed_mwh.saturating_add(distributed);
                written.extend(parts);
            }
            Err((code, sentence)) => refusals.push(refusal(id, code, sentence)),
        }
    }
    figures.refused = refusals.len();
    let schema = file.get("schema").map(|schema| value("schema", schema)).transpose()?;
    let document = json!({
        "schema": schema,
        "assignments": written,
        "refusals": refusals,
    });
    Ok(Answer { document, figures })
}

/// The orders of `POST /api/v1/schedules`, by offer, as assignments.
fn orders(schedules: Value) -> Result<Vec<Value>, ReadError> {
    let wanted = || ReadFault::Kind { wanted: "orders by the names of their offers" };
    let Value::Object(orders) = schedules else { return Err(refused("schedules", wanted())) };
    let assignment = |(name, order): (String, Value)| {
        let path = format!("schedules.{}", name.chars().take(40).collect::<String>());
        let id = FlexOfferId::new(&name).map_err(|_| refused(&path, wanted()))?;
        let schedule =
            order.get("schedule").cloned().and_then(|schedule| serde_json::from_value(schedule).ok());
        Ok(write_schedule(&id, &schedule.ok_or_else(|| refused(&path, wanted()))?))
    };
    orders.into_iter().map(assignment).collect()
}

fn refusal(id: &str, code: &str, sentence: String) -> Value {
    json!({ "id": id, "code": code, "sentence": sentence })
}

/// The members of each aggregate, by its id.
fn aggregates(file: &File<'_>) -> Result<BTreeMap<String, Vec<String>>, ReadError> {
    let missing = || refused("aggregates", ReadFault::Missing);
    let written = list("aggregates", file.get("aggregates").ok_or_else(missing)?)?.ok_or_else(missing)?;
    let mut members = BTreeMap::new();
    for (index, entry) in written.into_iter().enumerate() {
        let path = format!("aggregates[{index}]");
        let entry: Value = serde_json::from_str(entry.get()).map_err(|error| syntax(&path, &error))?;
        let own = entry.get("id").and_then(Value::as_str).zip(entry.get("members").and_then(Value::as_array));
        let (id, own) = own.ok_or_else(|| refused(&path, ReadFault::Kind { wanted: "an id and members" }))?;
        members.insert(id.to_owned(), own.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    }
    Ok(members)
}

type Parts = (Vec<Value>, i64, i64);

/// One aggregate, rebuilt from its members alone, and its schedule split.
fn split(
    assignment: &Value,
    index: usize,
    own: &[String],
    members: &BTreeMap<FlexOfferId, FlexOffer>,
    tolerances: Tolerances,
) -> Result<Parts, (&'static str, String)> {
    let schedule = read_schedule(assignment, &format!("assignments[{index}]"))
        .map_err(|error| (error.code(), error.to_string()))?;
    let bounds = Bounds {
        members_min: 1,
        members_max: usize::MAX,
        energy_min: grid::EnergyMwh(0),
        energy_max: grid::EnergyMwh(i64::MAX / 4),
    };
    let mut portfolio = Portfolio::new(tolerances, bounds);
    for id in own {
        let offer = FlexOfferId::new(id).ok().and_then(|id| members.get(&id));
        let offer =
            offer.ok_or_else(|| ("other-members", format!("the member {id} is not among memberOffers")))?;
        portfolio
            .insert(offer, ZoneId(offer.usage_point.0))
            .map_err(|error| (error.code(), error.to_string()))?;
    }
    let numbers: Vec<u64> = portfolio.numbers().collect();
    let &[number] = numbers.as_slice() else {
        let sentence = format!("its members make {} aggregates by the file's tolerances", numbers.len());
        return Err(("other-members", sentence));
    };
    let split = portfolio.split(number, &schedule).map_err(|error| (error.code(), error.to_string()))?;
    let (mut parts, mut distributed) = (Vec::with_capacity(split.len()), 0);
    for (id, part) in split.schedules() {
        distributed += part.energies.iter().map(|energy| energy.0).sum::<i64>();
        parts.push(write_schedule(id, &part));
    }
    Ok((parts, schedule.energies.iter().map(|energy| energy.0).sum(), distributed))
}
