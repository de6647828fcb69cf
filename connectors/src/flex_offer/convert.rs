//! A message in one dialect → the same offers in another.

use super::entries::RefusedEntry;
use super::{Dialect, Directory, Note, ReadError, decode, encode};
use market::FlexOfferId;
use std::collections::BTreeMap;

/// First number given to a party, so that none is that of a device a message names.
const FIRST_NUMBER: u32 = 1 << 31;

/// A message that was written anew, and what can be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// The message.
    pub text: String,
    /// How the first offer of the message that was read is written.
    pub from: Dialect,
    /// How many offers it has.
    pub offers: usize,
    /// How many the message takes back itself; they are not written.
    pub withdrawn: usize,
    /// Entries that are no offer, with the reason.
    pub refused: Vec<RefusedEntry>,
    /// What was not read or was moved a little, and is therefore not in `text`.
    pub notes: Vec<(FlexOfferId, Note)>,
    /// What the dialect has no word of its own for, and of how many offers: it is written in the specification's words
    /// or ours, which the other party may not understand.
    pub foreign: BTreeMap<&'static str, usize>,
}

/// Reads a message in whatever dialect and writes its offers canonically in `to`. Fails when nothing of it can be read;
/// an entry that is refused does not spoil the others.
pub fn convert(bytes: &[u8], to: Dialect) -> Result<Converted, ReadError> {
    let mut directory = Directory::open_from(FIRST_NUMBER);
    let document = decode(bytes, &mut directory)?;
    let from = document.dialect;
    let standing = document.standing();
    let messages: Vec<_> = standing.offers.into_iter().map(|(_, message)| message).collect();
    let mut foreign = BTreeMap::new();
    for what in messages.iter().flat_map(|message| to.does_not_say(message)) {
        *foreign.entry(what).or_default() += 1;
    }
    let of = |message: &super::OfferMessage| {
        let id = message.offer.id.clone();
        message.notes.iter().map(move |note| (id.clone(), note.clone())).collect::<Vec<_>>()
    };
    Ok(Converted {
        text: encode(&messages, to, &directory),
        from,
        offers: messages.len(),
        withdrawn: standing.withdrawn,
        refused: standing.refused,
        notes: messages.iter().flat_map(of).collect(),
        foreign,
    })
}
