//! Identifiers. Each kind of thing has its own type, so a bus is never passed for a branch.
//!
//! Grid components are numbered (the numbers of the power-grid-model file they came from). Things that
//! people and other systems refer to across files and messages carry short printable names.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest printable identifier accepted from outside, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Why an identifier from outside was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("an identifier is empty")]
    Empty,
    /// More than [`NAME_BYTES_MAX`] bytes.
    #[error("an identifier has {bytes} bytes, at most {NAME_BYTES_MAX} are allowed")]
    TooLong {
        /// How many were given.
        bytes: usize,
    },
    /// A character that could break out of a topic, a path or a log line.
    #[error("identifier {name:?} contains {found:?}; letters, digits and . _ : - are allowed")]
    Character {
        /// The identifier as given.
        name: String,
        /// The first character refused.
        found: char,
    },
}

/// Checks a printable identifier: 1 to 64 bytes of ASCII letters, digits and `. _ : -`.
pub fn check_name(name: &str) -> Result<(), IdError> {
    if name.is_empty() {
        return Err(IdError::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(IdError::TooLong { bytes: name.len() });
    }
    match name.chars().find(|c| !u8::try_from(*c).is_ok_and(is_in_names)) {
        Some(found) => Err(IdError::Character { name: name.to_owned(), found }),
        None => Ok(()),
    }
}

/// Whether a byte may be in a printable identifier.
#[inline]
pub(crate) const fn is_in_names(byte: u8) -> bool {
    IN_NAMES[byte as usize]
}

const IN_NAMES: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        allowed[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
        byte += 1;
    }
    allowed
};

macro_rules! component_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        crate::packed!(struct $name(0));

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

component_id!(
    /// A bus (CIM `ConnectivityNode`; a power-grid-model `node`).
    BusId
);
component_id!(
    /// A line or a transformer (CIM `ConductingEquipment` with two terminals).
    BranchId
);
component_id!(
    /// Where a customer is connected and metered (CIM `UsagePoint`; a power-grid-model load).
    UsagePointId
);
component_id!(
    /// A controllable device behind a usage point: charger, battery, heat pump.
    DeviceId
);
component_id!(
    /// A prosumer: the party behind a usage point that owns devices and has a FlexOffer Agent.
    ProsumerId
);

/// Declares a printable identifier type whose contents were checked by [`check_name`].
#[macro_export]
macro_rules! named_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name($crate::name::Name);

        $crate::packed!(struct $name(0));

        impl $name {
            /// Takes a checked name: 1 to 64 bytes of letters, digits and `. _ : -`.
            pub fn new(name: impl AsRef<str>) -> Result<Self, $crate::id::IdError> {
                $crate::name::Name::new(name.as_ref()).map(Self)
            }

            /// A name of our own making: a literal prefix of letters and dashes, and a number.
            pub fn numbered(prefix: &'static str, number: u64) -> Self {
                Self($crate::name::Name::numbered(prefix, number))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

#[cfg(test)]
mod tests {

    named_id!(
        /// Only for this test.
        TestId
    );

    #[test]
    fn a_name_that_could_break_a_topic_is_refused() {
        for bad in ["", "a/b", "a b", "#", "+", "a\nb", "ö"] {
            assert!(TestId::new(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(TestId::new("x".repeat(65)).is_err());
        assert_eq!(TestId::new("fo-12:3.a_b").unwrap().as_str(), "fo-12:3.a_b");
        assert_eq!(TestId::numbered("fo-", 12).to_string(), "fo-12");
    }

    #[test]
    fn reading_a_name_checks_it() {
        assert!(serde_json::from_str::<TestId>("\"a/b\"").is_err());
        assert_eq!(serde_json::from_str::<TestId>("\"ab\"").unwrap(), TestId::new("ab").unwrap());
    }
}
