//! The entries of a message one after the other, and what stands when all of them are read.

use super::decode;
use super::directory::Directory;
use super::fault::{ReadError, ReadFault};
use super::field::Path;
use super::{Decoded, Dialect, Document, OfferMessage};
use market::FlexOfferId;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The entries that were read so far.
#[derive(Default)]
pub(crate) struct Entries {
    entries: Vec<Result<Decoded, ReadError>>,
    positions: Vec<usize>,
    known: BTreeMap<FlexOfferId, usize>,
}

impl Entries {
    /// Reads the entry at `position` of the list, `path` in the message. One that repeats an earlier one is left out.
    /// Returns whether it is refused.
    pub fn take(
        &mut self,
        item: &Value,
        path: &Path<'_>,
        position: usize,
        directory: &mut Directory,
    ) -> bool {
        let entry = decode::offer(item, path, directory);
        if let Ok(Decoded::Offer(message)) = &entry {
            let id = &message.offer.id;
            if let Some(&before) = self.known.get(id) {
                let same = match self.entries.get(before) {
                    Some(Ok(Decoded::Offer(known))) => known.says_the_same(message),
                    _ => false,
                };
                if !same {
                    let fault = ReadFault::OtherContent { id: id.to_string() };
                    self.put(Err(path.refuse(fault)), position);
                }
                return !same;
            }
            self.known.insert(id.clone(), self.entries.len());
        }
        let refused = entry.is_err();
        self.put(entry, position);
        refused
    }

    /// Keeps what was read, or could not be, at `position` of the list.
    pub fn put(&mut self, entry: Result<Decoded, ReadError>, position: usize) {
        self.entries.push(entry);
        self.positions.push(position);
    }

    /// All of them.
    pub fn document(self, dialect: Dialect) -> Document {
        Document { dialect, entries: self.entries, positions: self.positions }
    }
}

/// What of a message stands once it is read to its end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The offers that nobody took back, with the position of each.
    pub offers: Vec<(usize, OfferMessage)>,
    /// The entries that are no offer, with the reason.
    pub refused: Vec<RefusedEntry>,
    /// How many offers another entry of the message takes back; they are not among `offers`.
    pub withdrawn: usize,
}

/// An entry of a message that is no offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEntry {
    /// Of which offer, where that is known.
    pub id: Option<String>,
    /// Where it stands in the message's list, counted from 0.
    pub position: usize,
    /// The stable code of the reason; `withdrawn` for an empty profile.
    pub code: &'static str,
    /// The reason in words.
    pub sentence: String,
}

impl Document {
    /// The offers that stand: an empty profile takes the offer of its id back, whichever of both comes first.
    pub fn standing(self) -> Standing {
        let mut standing = Standing::default();
        let mut taken_back: BTreeSet<FlexOfferId> = BTreeSet::new();
        for (entry, position) in self.entries.into_iter().zip(self.positions) {
            match entry {
                Ok(Decoded::Offer(message)) => standing.offers.push((position, *message)),
                Ok(Decoded::Withdrawal { id, owner }) => {
                    let sentence = match &id {
                        Some(_) => format!("the offer of {owner} has an empty profile: it is taken back"),
                        None => format!("an empty profile of {owner} names no offer: none is taken back"),
                    };
                    let name = id.as_ref().map(FlexOfferId::to_string);
                    standing.refused.push(RefusedEntry { id: name, position, code: "withdrawn", sentence });
                    taken_back.extend(id);
                }
                Err(error) => standing.refused.push(RefusedEntry {
                    id: None,
                    position,
                    code: error.code(),
                    sentence: error.to_string(),
                }),
            }
        }
        let before = standing.offers.len();
        standing.offers.retain(|(_, message)| !taken_back.contains(&message.offer.id));
        standing.withdrawn = before - standing.offers.len();
        standing
    }
}
