//! FlexOffer messages ⇄ [`market::FlexOffer`]: JSON in the three dialects found in the field, and XML.
//!
//! | dialect | spelling | positive energy | times |
//! |---|---|---|---|
//! | [`Dialect::Specification`] | FlexOffer specification v1 (2023) | taken (chapter 2, `lower`/`upper`) | ISO, `Z` |
//! | [`Dialect::Manager`] | the Java objects of GOFLEX's manager and agent | taken | ISO, milliseconds, `+0000`; intervals |
//! | [`Dialect::TradingInterface`] | the wire of GOFLEX's market | fed in (`lowerBound`/`upperBound`) | ISO, `Z` |
//! | [`Dialect::Xml`] | the specification's names as elements | taken | ISO, `Z` |
//!
//! Reading is tolerant: every spelling is understood in every dialect, case and blanks in names do not matter, what
//! is not understood is noted, and one bad offer does not spoil the others. Writing is canonical. What a dialect has
//! no word for is written in the specification's words, so that any offer survives any dialect; the other party
//! may not understand it, [`Dialect::does_not_say`] tells what.
//!
//! Positive bounds spelled `lowerBound`/`upperBound` are fed into the grid wherever they occur. Energies are rounded
//! to whole mWh, prices to micro-units. The schema is in `docs/flexoffer.md`.

pub(crate) mod amount;
mod convert;
pub(crate) mod decode;
mod directory;
mod encode;
mod entries;
mod fault;
pub(crate) mod field;
pub(crate) mod moment;
pub(crate) mod profile;
pub(crate) mod schedule;
#[cfg(test)]
mod tests;
mod xml;

pub use convert::{Converted, convert};
pub use directory::Directory;
pub use encode::{encode, encode_value};
pub(crate) use entries::Entries;
pub use entries::{RefusedEntry, Standing};
pub use fault::{ReadError, ReadFault};

use amount::Scale;
use field::{Fields, Path, items};
use grid::Slot;
use market::flex_offer::life_cycle::{Phase, ScheduleUpdate};
use market::{FlexOffer, FlexOfferId, Schedule};
use serde_json::Value;

/// Largest message read, bytes.
pub const MESSAGE_BYTES_MAX: usize = 1 << 30;
/// Most offers of a message.
pub const OFFERS_MAX: usize = 1_000_000;

/// A way of writing FlexOffers. See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// The published specification.
    Specification,
    /// GOFLEX's manager and agent (Aalborg).
    Manager,
    /// GOFLEX's market.
    TradingInterface,
    /// The specification's names in XML.
    Xml,
}

impl Dialect {
    /// All dialects.
    pub const ALL: [Dialect; 4] =
        [Dialect::Specification, Dialect::Manager, Dialect::TradingInterface, Dialect::Xml];

    /// What of an offer the dialect has no word for, so that the other party will not know it.
    pub fn does_not_say(self, message: &OfferMessage) -> Vec<&'static str> {
        let (offer, terms) = (&message.offer, &message.offer.terms);
        let lacks = |dialects: &[Dialect], set: bool, what| (dialects.contains(&self) && set).then_some(what);
        let (manager, market) = (Dialect::Manager, Dialect::TradingInterface);
        let accept_early = offer.acceptance_before != offer.assignment_before;
        [
            lacks(&[manager, market], offer.total_energy.is_some(), "total energy"),
            lacks(&[manager, market], terms.running_energy.is_some(), "running energy"),
            lacks(&[manager, market], !terms.dependencies.is_empty(), "dependency rows"),
            lacks(&[market], accept_early, "acceptance deadline"),
            lacks(&[market], true, "location"),
            lacks(&Self::ALL, terms.acceptance != market::Acceptance::Any, "condition of acceptance"),
            lacks(&Self::ALL, terms.exclusive_group.is_some(), "exclusive group"),
            lacks(&Self::ALL, terms.cost != Default::default(), "costs"),
            lacks(&Self::ALL, offer.prices != Default::default(), "prices of deviations"),
            lacks(&Self::ALL, terms.mode != Default::default(), "trading mode"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Whether an assignment binds (an older draft of the specification).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obligation {
    /// It must be obeyed.
    Obligatory,
    /// It may be.
    Optional,
}

impl Obligation {
    /// The code of an offer whose schedule may be ignored; it is not traded.
    pub const OPTIONAL: &'static str = "assignment-optional";
    /// The same in words.
    pub const OPTIONAL_WORDS: &'static str = "its `assignment` is `optional`, a schedule that may be ignored; what is sold here is \
                                              ordered and settled with what it lacks, so an offer is `obligatory` or says nothing of it";
}

/// Something about a message that is worth saying and is no error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where.
    pub path: String,
    /// What.
    pub what: String,
}

impl Note {
    fn new(path: &Path<'_>, what: impl Into<String>) -> Self {
        Self { path: path.to_string(), what: what.into() }
    }
}

/// An offer as a message carries it: with its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferMessage {
    /// The offer.
    pub offer: FlexOffer,
    /// Where it stands.
    pub phase: Phase,
    /// Why, in words.
    pub reason: Option<String>,
    /// The schedule assigned to it; not checked against it here.
    pub schedule: Option<ScheduleUpdate>,
    /// A text for people.
    pub label: Option<String>,
    /// Whether an assignment binds.
    pub obligation: Option<Obligation>,
    /// What was not read or was moved a little.
    pub notes: Vec<Note>,
}

impl OfferMessage {
    /// An offer of ours on its way out.
    pub fn new(offer: FlexOffer, phase: Phase) -> Self {
        Self { offer, phase, reason: None, schedule: None, label: None, obligation: None, notes: Vec::new() }
    }

    /// Whether both messages say the same of one offer. Notes are about how a message was written and name where it
    /// stood, so they do not count.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let Self { offer, phase, reason, schedule, label, obligation, notes: _ } = self;
        (offer, phase, reason, schedule, label, obligation)
            == (&other.offer, &other.phase, &other.reason, &other.schedule, &other.label, &other.obligation)
    }
}

/// One entry of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// An offer.
    Offer(Box<OfferMessage>),
    /// An empty profile: the flexibility is taken back.
    Withdrawal {
        /// Of which offer, if the message names one.
        id: Option<FlexOfferId>,
        /// Whose, by the message's name.
        owner: String,
    },
}

/// A message that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// How it is written.
    pub dialect: Dialect,
    /// Its entries in order, each read or refused by itself. An entry that repeats an earlier one is left out.
    pub entries: Vec<Result<Decoded, ReadError>>,
    /// Where each entry stands in the message's list, counted from 0.
    pub positions: Vec<usize>,
}

impl Document {
    /// The offers that were read.
    pub fn offers(&self) -> impl Iterator<Item = &OfferMessage> {
        self.entries.iter().filter_map(|entry| match entry {
            Ok(Decoded::Offer(message)) => Some(message.as_ref()),
            _ => None,
        })
    }
}

/// Reads a message: one offer, a list of them, or either inside `flexOffer` or `flexOffers`; JSON or XML.
pub fn decode(bytes: &[u8], directory: &mut Directory) -> Result<Document, ReadError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        let fault = ReadFault::TooLarge { bytes: bytes.len(), max: MESSAGE_BYTES_MAX };
        return Err(Path::Root.refuse(fault));
    }
    let syntax = |reason: String| Path::Root.refuse(ReadFault::Syntax(reason));
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let is_xml = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<');
    let value: Value = match is_xml {
        true => xml::read(text).map_err(syntax)?,
        false => serde_json::from_slice(text).map_err(|error| syntax(error.to_string()))?,
    };
    let mut document = decode_value(&value, directory)?;
    if is_xml {
        document.dialect = Dialect::Xml;
    }
    Ok(document)
}

/// Reads a message that is JSON already.
pub fn decode_value(value: &Value, directory: &mut Directory) -> Result<Document, ReadError> {
    let root = Path::Root;
    let (name, list) = match value {
        Value::Object(map) => {
            let envelope = map.iter().find(|(key, _)| {
                key.eq_ignore_ascii_case("flexOffer") || key.eq_ignore_ascii_case("flexOffers")
            });
            match envelope {
                Some((key, inner)) => (Some(key.as_str()), offers_in(inner)),
                None => (None, vec![value]),
            }
        }
        Value::Array(items) => (None, items.iter().collect()),
        _ => return Err(root.refuse(ReadFault::Kind { wanted: "a FlexOffer or a list of them" })),
    };
    if list.len() > OFFERS_MAX {
        return Err(root.refuse(ReadFault::TooMany { count: list.len(), max: OFFERS_MAX }));
    }
    let dialect = list.first().map_or(Dialect::Specification, |first| dialect_of(first));
    let named = name.map(|name| Path::Key(&root, name));
    let parent = named.as_ref().unwrap_or(&root);
    let mut entries = Entries::default();
    for (index, item) in list.into_iter().enumerate() {
        entries.take(item, &Path::Index(parent, index), index, directory);
    }
    Ok(entries.document(dialect))
}

/// The offers of an envelope. One offer is an object with an owner; a wrapper of XML is not.
fn offers_in(inner: &Value) -> Vec<&Value> {
    match inner {
        Value::Object(map) if map.keys().any(|key| key.trim().eq_ignore_ascii_case("offeredById")) => {
            vec![inner]
        }
        other => items(other),
    }
}

/// Reads an assignment, `{id, startTime, scheduleSlices}`, in kWh, positive is taken. `path` is where it stands.
pub fn read_schedule(value: &Value, path: &str) -> Result<Schedule, ReadError> {
    let path = Path::Key(&Path::Root, path);
    let fields = Fields::of(value, &path)?;
    if fields.get(&["startTime"]).or(fields.get(&["startInterval"])).is_none() {
        return Err(path.missing("startTime"));
    }
    schedule::read(value, Scale::KWH_TAKEN, Slot(0), &path)
}

/// Writes an assignment of an offer, as [`read_schedule`] reads it.
pub fn write_schedule(offer: &FlexOfferId, schedule: &Schedule) -> Value {
    encode::assignment(offer, schedule)
}

/// By its tell-tale fields; only for the answer, since every spelling is read everywhere.
fn dialect_of(offer: &Value) -> Dialect {
    let Value::Object(map) = offer else { return Dialect::Specification };
    let has = |name: &str| map.keys().any(|key| key.trim().eq_ignore_ascii_case(name));
    let location_is_map =
        map.iter().any(|(key, value)| key.eq_ignore_ascii_case("locationId") && value.is_object());
    let profile = map.get("flexOfferProfileConstraints").map(items).unwrap_or_default();
    if profile::fed_in(&profile, &Path::Root).unwrap_or(false) {
        Dialect::TradingInterface
    } else if location_is_map || has("acceptanceBeforeTime") || has("acceptanceBeforeInterval") {
        Dialect::Manager
    } else {
        Dialect::Specification
    }
}
