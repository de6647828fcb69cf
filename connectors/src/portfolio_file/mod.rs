//! Files of FlexOffers → files of aggregates, and schedules of aggregates → schedules of their members, as pure
//! functions from text to text. The form is `gridflex-market/1` (`docs/flexoffer.md`); whatever else the file says
//! (bids, grid rows, rules) passes through, so that a file of aggregates can be cleared as it is.

mod aggregate;
mod disaggregate;
#[cfg(test)]
mod tests;

pub use aggregate::{AggregateFigures, AggregateOwner, aggregate};
pub use disaggregate::{DisaggregateFigures, disaggregate};

use crate::flex_offer::field::Path;
use crate::flex_offer::{
    Dialect, Directory, Entries, Obligation, ReadError, ReadFault, Standing, decode_value,
};
use crate::raw_list::RawList;
use grid::Money;
use market::portfolio::Tolerances;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// An answer: a document and what can be said of it in one line.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<F> {
    /// The document.
    pub document: Value,
    /// Its figures.
    pub figures: F,
}

/// The fields of a file, each still as it is written: nothing is taken apart before it is known how much there is.
type File<'a> = BTreeMap<String, &'a RawValue>;

/// The whole file as an object.
fn object(text: &[u8]) -> Result<File<'_>, ReadError> {
    let whole: &RawValue = serde_json::from_slice(text).map_err(|error| syntax("message", &error))?;
    match whole.get().as_bytes().first() {
        Some(b'{') => serde_json::from_str(whole.get()).map_err(|error| syntax("message", &error)),
        Some(b'[') => Ok(File::from([("flexOffers".to_owned(), whole)])),
        _ => Err(refused("message", ReadFault::Kind { wanted: "an object or a list" })),
    }
}

fn refused(path: &str, fault: ReadFault) -> ReadError {
    ReadError { path: path.to_owned(), fault }
}

fn syntax(path: &str, error: &serde_json::Error) -> ReadError {
    refused(path, ReadFault::Syntax(error.to_string()))
}

/// A field as a value; a list of it has at most as many entries as a message may have offers.
fn value(name: &str, field: &RawValue) -> Result<Value, ReadError> {
    list(name, field)?;
    serde_json::from_str(field.get()).map_err(|error| syntax(name, &error))
}

/// The entries of a field that is a list.
fn list<'a>(name: &str, field: &'a RawValue) -> Result<Option<Vec<&'a RawValue>>, ReadError> {
    if !field.get().starts_with('[') {
        return Ok(None);
    }
    let RawList { list, count } = serde_json::from_str(field.get()).map_err(|error| syntax(name, &error))?;
    match count > list.len() {
        true => Err(refused(name, ReadFault::TooMany { count, max: list.len() })),
        false => Ok(Some(list)),
    }
}

/// A directory of the file's nodes; one that learns places when the file lists none.
fn directory(nodes: Option<&Value>) -> Directory {
    match nodes {
        Some(Value::Array(nodes)) => Directory::of_places(nodes.iter().filter_map(Value::as_str)),
        _ => Directory::open(),
    }
}

/// Offers of a list with the position of each, one taken apart at a time; what is refused goes to `refusals`, every name
/// of an offer that occurs to `heard`. An offer that the list takes back is not among them.
fn offers(
    field: &RawValue,
    name: &str,
    directory: &mut Directory,
    refusals: &mut Vec<Value>,
    heard: &mut BTreeSet<String>,
) -> Result<Standing, ReadError> {
    let mut ids: BTreeMap<usize, Value> = BTreeMap::new();
    let document = match list(name, field)? {
        None => {
            let alone = value(name, field)?;
            hear(&alone, heard);
            decode_value(&alone, directory)?
        }
        Some(list) => {
            let mut entries = Entries::default();
            for (position, entry) in list.into_iter().enumerate() {
                let path = Path::Index(&Path::Root, position);
                match serde_json::from_str::<Value>(entry.get()) {
                    Ok(item) => {
                        hear(&item, heard);
                        if entries.take(&item, &path, position, directory) {
                            ids.extend(item.get("id").map(|id| (position, id.clone())));
                        }
                    }
                    // It is JSON, but for a number that is larger than any.
                    Err(error) => {
                        entries.put(Err(path.refuse(ReadFault::Syntax(error.to_string()))), position);
                    }
                }
            }
            entries.document(Dialect::Specification)
        }
    };
    let mut standing = document.standing();
    standing.offers.retain(|(position, message)| {
        let binds = message.obligation != Some(Obligation::Optional);
        if !binds {
            let (code, sentence) = (Obligation::OPTIONAL, Obligation::OPTIONAL_WORDS);
            let id = &message.offer.id;
            refusals.push(json!({ "id": id, "position": position, "code": code, "sentence": sentence }));
        }
        binds
    });
    heard.extend(standing.offers.iter().map(|(_, message)| message.offer.id.to_string()));
    for entry in &standing.refused {
        let id = ids.remove(&entry.position).or_else(|| entry.id.clone().map(Value::String));
        let (position, code, sentence) = (entry.position, entry.code, &entry.sentence);
        refusals.push(json!({ "id": id, "position": position, "code": code, "sentence": sentence }));
    }
    Ok(standing)
}

/// Every name of an offer in an entry, also those of a level below.
fn hear(entry: &Value, heard: &mut BTreeSet<String>) {
    let members = entry.get("members").and_then(Value::as_array).into_iter().flatten();
    let own = ["id", "offerId"].into_iter().filter_map(|key| entry.get(key));
    heard.extend(own.chain(members).filter_map(Value::as_str).map(str::to_owned));
}

fn tolerances_value(tolerances: &Tolerances) -> Value {
    json!({
        "startIntervals": tolerances.start_slots,
        "timeFlexibilityIntervals": tolerances.flexibility_slots,
        "assignmentIntervals": tolerances.assignment_slots,
        "price": tolerances.price.0 as f64 / 1e6,
    })
}

fn tolerances_of(written: &Value) -> Option<Tolerances> {
    let slots = |name: &str| written.get(name)?.as_u64().and_then(|slots| u32::try_from(slots).ok());
    Some(Tolerances {
        start_slots: slots("startIntervals")?,
        flexibility_slots: slots("timeFlexibilityIntervals")?,
        assignment_slots: slots("assignmentIntervals")?,
        price: Money((written.get("price")?.as_f64()? * 1e6).round() as i64),
    })
}
