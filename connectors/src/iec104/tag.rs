//! How an object of a station is written in a point map: `ca=1 ioa=4001`.

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Largest common address of one station; 65535 means all.
const CA_MAX: u16 = 65_534;
/// Largest address of an information object, three octets; 0 means none.
const IOA_MAX: u32 = 0xff_ffff;

/// An information object: which station, which object of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Common address of the ASDU, 1 to 65534: the station, or a part of it.
    pub ca: u16,
    /// Information object address, 1 to 16777215.
    pub ioa: u32,
}

/// Why a text names no object.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}; write for example ca=1 ioa=4001")]
pub struct TagError {
    /// What is wrong and what is possible.
    pub reason: String,
}

impl FromStr for Address {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let wrong = |reason: String| TagError { reason };
        let (mut ca, mut ioa) = (None, None);
        for part in text.split_ascii_whitespace() {
            let Some((key, number)) = part.split_once('=') else {
                return Err(wrong(format!("{part:.20?} is not ca=NUMBER or ioa=NUMBER")));
            };
            let (place, most) = match key {
                "ca" => (&mut ca, u32::from(CA_MAX)),
                "ioa" => (&mut ioa, IOA_MAX),
                _ => return Err(wrong(format!("{key:.20?} is neither ca nor ioa"))),
            };
            let read = number.parse::<u32>().ok().filter(|number| (1..=most).contains(number));
            let read = read.ok_or_else(|| wrong(format!("{key} {number:.20?} is not 1 to {most}")))?;
            if place.replace(read).is_some() {
                return Err(wrong(format!("{key} stands there twice")));
            }
        }
        let ca = ca.ok_or_else(|| wrong("ca, the common address, is missing".to_owned()))?;
        let ioa = ioa.ok_or_else(|| wrong("ioa, the address of the object, is missing".to_owned()))?;
        Ok(Self { ca: ca as u16, ioa })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ca={} ioa={}", self.ca, self.ioa)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_are_read() {
        assert_eq!("ca=1 ioa=4001".parse(), Ok(Address { ca: 1, ioa: 4001 }));
        assert_eq!("ioa=16777215  ca=65534".parse(), Ok(Address { ca: 65_534, ioa: 0xff_ffff }));
    }

    #[test]
    fn what_is_no_tag_is_refused_with_an_example() {
        for (text, reason) in [
            ("", "ca, the common address, is missing"),
            ("ca=1", "ioa"),
            ("4001", "not ca=NUMBER"),
            ("ca=0 ioa=1", "ca \"0\" is not 1 to 65534"),
            ("ca=65535 ioa=1", "65534"),
            ("ca=1 ioa=0", "16777215"),
            ("ca=1 ioa=16777216", "16777215"),
            ("ca=1 ioa=-1", "ioa \"-1\""),
            ("ca=1 ca=1 ioa=1", "twice"),
            ("ca=1 io=1", "neither"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("for example ca=1 ioa=4001"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn an_address_is_read_back(ca in 1..=CA_MAX, ioa in 1..=IOA_MAX) {
            let address = Address { ca, ioa };
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }

        #[test]
        fn any_text_is_answered(text in "[caio=0-9 é-]{0,40}") {
            let _ = text.parse::<Address>();
        }
    }
}
