//! A FlexOffer as others write it: the JSON dialects of `connectors::flex_offer`, one offer per request. Parties, places and
//! devices are those of this area, by their numbers.

use crate::door::MarketDoor;
use crate::offers::our_own;
use crate::problem::Problem;
use actix_web::http::StatusCode;
use connectors::flex_offer::{Decoded, Directory, Note, Obligation, OfferMessage, ReadError, decode_value};
use grid::{DeviceId, ProsumerId, UsagePointId};
use market::FlexOffer;
use market::flex_offer::life_cycle::Phase;
use serde_json::{Map, Value};

/// Fields by which a message of any dialect is told from an offer in our own form.
const TELL_TALES: [&str; 4] = ["flexOffer", "flexOffers", "offeredById", "flexOfferProfileConstraints"];
/// Fields that only our own form has.
const OURS: [&str; 3] = ["usage_point", "created_at", "default_schedule"];

/// An offer that was read, before its device is known.
#[derive(Debug)]
pub struct Received {
    pub offer: FlexOffer,
    /// What was not read or was moved by rounding.
    pub notes: Vec<Note>,
    names_place: bool,
    names_device: bool,
}

impl From<FlexOffer> for Received {
    fn from(offer: FlexOffer) -> Self {
        Self { offer, notes: Vec::new(), names_place: true, names_device: true }
    }
}

/// Whether a body is such a message; one that is not is in our own form, or nothing.
pub fn is_message(body: &Value) -> bool {
    match body {
        Value::Object(fields) => {
            TELL_TALES.iter().any(|name| field(fields, name).is_some())
                && !OURS.iter().any(|name| fields.contains_key(*name))
        }
        Value::Array(offers) => offers.iter().any(|offer| offer.is_object() && is_message(offer)),
        _ => false,
    }
}

/// Reads the one offer of a message, in our own form or a dialect.
///
/// # Errors
/// 422 with the code of the rule it breaks, of `docs/flexoffer.md`.
pub fn read(body: &Value) -> Result<Received, Problem> {
    if !is_message(body) {
        return our_own(body.to_string().as_bytes()).map(Received::from);
    }
    let mut document = decode_value(body, &mut Directory::open()).map_err(|error| unread(&error))?;
    if document.entries.len() != 1 {
        let (code, count) =
            (if document.entries.is_empty() { "missing-field" } else { "too-many" }, document.entries.len());
        return Err(refused(code, format!("{count} offers; one is handed in at a time")));
    }
    match document.entries.remove(0) {
        Err(error) => Err(unread(&error)),
        Ok(Decoded::Withdrawal { .. }) => Err(refused(
            "empty-profile",
            "an offer without a profile takes flexibility back, which cannot be done here".to_owned(),
        )),
        Ok(Decoded::Offer(message)) => received(*message, only(body)),
    }
}

/// The same of a body that was not parsed.
///
/// # Errors
/// Like [`read`]; 400 when it is not JSON.
pub fn read_any(body: &[u8]) -> Result<Received, Problem> {
    match serde_json::from_slice::<Value>(body).ok().filter(is_message) {
        Some(message) => read(&message),
        // From its bytes, so that what is wrong is told by line and column.
        None => our_own(body).map(Received::from),
    }
}

/// The object of the one offer, inside lists and envelopes.
fn only(body: &Value) -> Option<&Map<String, Value>> {
    match body {
        Value::Array(offers) => offers.first().and_then(only),
        Value::Object(fields) => {
            match ["flexOffer", "flexOffers"].iter().find_map(|name| field(fields, name)) {
                Some(inner) => only(inner),
                None => Some(fields),
            }
        }
        _ => None,
    }
}

/// A field that says something, whatever the case of its name.
fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let found = fields.iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?.1;
    let says_nothing = match found {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Object(inner) => inner.is_empty(),
        _ => false,
    };
    (!says_nothing).then_some(found)
}

fn received(message: OfferMessage, fields: Option<&Map<String, Value>>) -> Result<Received, Problem> {
    if !matches!(message.phase, Phase::Initial | Phase::Offered) || message.schedule.is_some() {
        let sentence = format!(
            "FlexOffer {} is handed in as initial or offered and without a schedule; this one is in another state",
            message.offer.id
        );
        return Err(refused("wrong-state", sentence));
    }
    if message.obligation == Some(Obligation::Optional) {
        return Err(refused(Obligation::OPTIONAL, Obligation::OPTIONAL_WORDS.to_owned()));
    }
    let given = |name| fields.and_then(|fields| field(fields, name));
    if let Some(owner) = given("offeredById").filter(|owner| number(owner).is_none()) {
        let sentence =
            format!("offeredById: {} is no prosumer of this area; its number is wanted", shown(owner));
        return Err(refused("bad-name", sentence));
    }
    if let Some(place) = given("locationID").filter(|place| number(place).is_none()) {
        let sentence =
            format!("locationID: {} is no usage point of this area; its number is wanted", shown(place));
        return Err(refused("unknown-location", sentence));
    }
    let (names_place, names_device) = (given("locationID").is_some(), given("deviceId").is_some());
    Ok(Received { offer: message.offer, notes: message.notes, names_place, names_device })
}

impl Received {
    /// The offer with its device and usage point, where the message left out what the owner's devices tell.
    ///
    /// # Errors
    /// 422 `missing-field` when more than one device could be meant.
    pub fn placed(mut self, market: &dyn MarketDoor) -> Result<FlexOffer, Problem> {
        if self.names_place && self.names_device {
            return Ok(self.offer);
        }
        let owned = market.devices_of(self.offer.prosumer);
        let meant = |(place, device): &(UsagePointId, DeviceId)| {
            (!self.names_place || *place == self.offer.usage_point)
                && (!self.names_device || *device == self.offer.device)
        };
        let meant: Vec<(UsagePointId, DeviceId)> = owned.into_iter().filter(meant).collect();
        match meant.as_slice() {
            &[(usage_point, device)] => {
                (self.offer.usage_point, self.offer.device) = (usage_point, device);
                Ok(self.offer)
            }
            [] => Err(unknown(self.offer.prosumer)),
            several => {
                let names: Vec<String> = several.iter().map(|(_, device)| device.to_string()).collect();
                let sentence = format!(
                    "deviceId is missing, and prosumer {} has the devices {}",
                    self.offer.prosumer,
                    names.join(", ")
                );
                Err(refused("missing-field", sentence))
            }
        }
    }
}

fn unknown(prosumer: ProsumerId) -> Problem {
    refused("unknown-device", format!("prosumer {prosumer} has no such device; name deviceId and locationID"))
}

/// The number that a name is, as text, number, or the one key of a map.
fn number(name: &Value) -> Option<u32> {
    match name {
        Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        Value::String(text) => text.trim().parse().ok().filter(|n: &u32| n.to_string() == text.trim()),
        Value::Object(map) => map.keys().next().and_then(|key| number(&Value::String(key.clone()))),
        _ => None,
    }
}

/// A foreign name as it may stand in a sentence.
fn shown(name: &Value) -> String {
    let text = name.to_string();
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

fn unread(error: &ReadError) -> Problem {
    refused(error.code(), error.to_string())
}

fn refused(code: &str, sentence: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, sentence)
}
