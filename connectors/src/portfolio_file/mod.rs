//! Files of FlexOffers → files of aggregates, and schedules of aggregates → schedules of their members, as pure
//! functions from text to text. The form is `gridflex-market/1` (`docs/flexoffer.md`); whatever else the file says
//! (bids, grid rows, rules) passes through, so that a file of aggregates can be cleared as it is.

mod aggregate;
mod disaggregate;
#[cfg(test)]
mod tests;

pub use aggregate::{AggregateFigures, aggregate};
pub use disaggregate::{DisaggregateFigures, disaggregate};

use crate::flex_offer::{Decoded, Directory, Document, OfferMessage, ReadError, ReadFault, decode_value};
use market::portfolio::Tolerances;
use serde_json::{Map, Value, json};

/// Name of an aggregate's owner in the file.
const OWNER: &str = "aggregator";

/// An answer: a document and what can be said of it in one line.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<F> {
    /// The document.
    pub document: Value,
    /// Its figures.
    pub figures: F,
}

/// The whole file as an object.
fn object(text: &[u8]) -> Result<Map<String, Value>, ReadError> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(list @ Value::Array(_)) => Ok(Map::from_iter([("flexOffers".to_owned(), list)])),
        Ok(_) => Err(refused("message", ReadFault::Kind { wanted: "an object or a list" })),
        Err(error) => Err(refused("message", ReadFault::Syntax(error.to_string()))),
    }
}

fn refused(path: &str, fault: ReadFault) -> ReadError {
    ReadError { path: path.to_owned(), fault }
}

/// A directory of the file's nodes; one that learns places when the file lists none.
fn directory(file: &Map<String, Value>) -> Directory {
    match file.get("nodes") {
        Some(Value::Array(nodes)) => Directory::of_places(nodes.iter().filter_map(Value::as_str)),
        _ => Directory::open(),
    }
}

/// Offers of a list with the position of each; the refused ones go to `refusals`.
fn offers(
    list: &Value,
    directory: &mut Directory,
    refusals: &mut Vec<Value>,
) -> Result<Vec<(usize, OfferMessage)>, ReadError> {
    let Document { entries, positions, .. } = decode_value(list, directory)?;
    let mut read = Vec::with_capacity(entries.len());
    for (entry, position) in entries.into_iter().zip(positions) {
        match entry {
            Ok(Decoded::Offer(message)) => read.push((position, *message)),
            Ok(Decoded::Withdrawal { id, owner }) => {
                let id = id.map(|id| id.to_string());
                let sentence = format!("the offer of {owner} has an empty profile: it is taken back");
                refusals.push(
                    json!({ "id": id, "position": position, "code": "withdrawn", "sentence": sentence }),
                );
            }
            Err(error) => {
                let id = list.get(position).and_then(|offer| offer.get("id")).cloned();
                let (code, sentence) = (error.code(), error.to_string());
                refusals.push(json!({ "id": id, "position": position, "code": code, "sentence": sentence }));
            }
        }
    }
    Ok(read)
}

fn tolerances_value(tolerances: &Tolerances) -> Value {
    json!({
        "startIntervals": tolerances.start_slots,
        "timeFlexibilityIntervals": tolerances.flexibility_slots,
        "assignmentIntervals": tolerances.assignment_slots,
        "price": tolerances.price.0 as f64 / 1e6,
    })
}

fn tolerances_of(file: &Map<String, Value>) -> Option<Tolerances> {
    let written = file.get("tolerances")?;
    let slots = |name: &str| written.get(name)?.as_u64().and_then(|slots| u32::try_from(slots).ok());
    Some(Tolerances {
        start_slots: slots("startIntervals")?,
        flexibility_slots: slots("timeFlexibilityIntervals")?,
        assignment_slots: slots("assignmentIntervals")?,
        price: grid::Money((written.get("price")?.as_f64()? * 1e6).round() as i64),
    })
}
