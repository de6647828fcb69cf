//! What is inside a printable identifier: a short text that is compared and copied like a few numbers.
//!
//! Ledgers hold millions of names and look things up by them. Up to [`SHORT`] bytes lie in place, padded with zeros: their
//! order as text is that of two big-endian integers. Longer names are shared text. The order is always that of the text.

use crate::id::{IdError, NAME_BYTES_MAX, check_name, is_in_names};
use crate::packed::{Malformed, Packed, unpack_bytes};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// Bytes of a name that lie in place.
const SHORT: usize = 24;

/// A checked name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Form);

/// The bytes of a short name. Aligned, so that a copy is three words.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(align(8))]
struct Bytes([u8; SHORT]);

/// One text has one form: [`SHORT`] decides.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    Short(Bytes),
    Long(Arc<str>),
}

/// The bytes as two integers in the order of the text.
#[inline]
fn integers(bytes: &[u8; SHORT]) -> (u128, u64) {
    let (front, back) = (bytes.first_chunk(), bytes.last_chunk());
    (front.map_or(0, |front| u128::from_be_bytes(*front)), back.map_or(0, |back| u64::from_be_bytes(*back)))
}

impl Name {
    /// Takes a checked name: 1 to 64 bytes of letters, digits and `. _ : -`.
    pub fn new(name: &str) -> Result<Self, IdError> {
        check_name(name)?;
        Ok(Self::checked(name))
    }

    /// A name of our own making: a literal prefix of letters and dashes, and a number.
    pub fn numbered(prefix: &'static str, number: u64) -> Self {
        debug_assert!(check_name(prefix).is_ok() && prefix.len() < 44);
        Self::checked(&format!("{prefix}{number}"))
    }

    fn checked(name: &str) -> Self {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..name.len()) {
            Some(place) => {
                place.copy_from_slice(name.as_bytes());
                Self(Form::Short(Bytes(bytes)))
            }
            None => Self(Form::Long(name.into())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Form::Short(Bytes(bytes)) => {
                let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(SHORT);
                // Names are ASCII.
                std::str::from_utf8(&bytes[..length]).unwrap_or_default()
            }
            Form::Long(text) => text,
        }
    }
}

impl Ord for Name {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Form::Short(one), Form::Short(other)) => integers(&one.0).cmp(&integers(&other.0)),
            _ => self.as_str().cmp(other.as_str()),
        }
    }
}

impl PartialOrd for Name {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl Packed for Name {
    fn pack(&self, bytes: &mut Vec<u8>) {
        let text = self.as_str();
        (text.len() as u64).pack(bytes);
        bytes.extend_from_slice(text.as_bytes());
    }

    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let text = unpack_bytes(bytes)?;
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.iter().all(|byte| is_in_names(*byte)) {
            return Err(Malformed("a name is empty, too long, or has characters that names do not have"));
        }
        let mut short = [0; SHORT];
        if let Some(place) = short.get_mut(..text.len()) {
            place.copy_from_slice(text);
            return Ok(Self(Form::Short(Bytes(short))));
        }
        let text = std::str::from_utf8(text).map_err(|_| Malformed("a name is no UTF-8"))?;
        Ok(Self(Form::Long(text.into())))
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name of 1 to 64 letters, digits and . _ : -")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Name, E> {
                Name::new(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::{pack_whole, unpack_whole};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn names_are_ordered_like_their_texts_and_read_again(
            one in "[A-Za-z0-9._:-]{1,64}", other in "[A-Z0-9._:-]{0,64}", shared in 0_usize..64
        ) {
            let second: String = one.chars().take(shared).chain(other.chars()).take(64).collect();
            prop_assume!(!second.is_empty());
            let (a, b) = (Name::new(&one).unwrap(), Name::new(&second).unwrap());
            prop_assert_eq!((a.as_str(), a.cmp(&b), a == b), (one.as_str(), one.cmp(&second), one == second));
            prop_assert_eq!(unpack_whole::<Name>(&pack_whole(&a)), Ok(a.clone()));
            prop_assert_eq!(serde_json::from_str::<Name>(&serde_json::to_string(&a).unwrap()).unwrap(), a);
        }
    }
}
