//! A list of JSON whose entries are still as they are written, so that only one at a time is taken apart, and that is
//! counted to its end however long it is without being kept.

use crate::flex_offer::OFFERS_MAX;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Entries of a list, still as they are written.
pub(crate) struct RawList<'a> {
    /// At most [`OFFERS_MAX`] of them.
    pub list: Vec<&'a RawValue>,
    /// How many there are.
    pub count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for RawList<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = RawList<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of FlexOffers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut read = RawList { list: Vec::new(), count: 0 };
                loop {
                    if read.count < OFFERS_MAX {
                        let Some(entry) = items.next_element::<&'de RawValue>()? else { return Ok(read) };
                        read.list.push(entry);
                    } else if items.next_element::<IgnoredAny>()?.is_none() {
                        return Ok(read);
                    }
                    read.count += 1;
                }
            }
        }
        deserializer.deserialize_seq(Each)
    }
}
