//! What travels in an area's stream: changes of the files of a journal, and who made them.
//!
//! ```text
//! operation = 0 name at bytes        the file `name` is `bytes` from byte `at` on, and ends there
//!           | 1 name                 the file is gone
//!           | 2 member               from here on this member writes
//!           | 3 member               nothing before this counts: this member puts in a journal that it has had without the stream
//!           | 4                      all of that journal is there
//! name, member = length (2 bytes, little endian), UTF-8;   at = 8 bytes, little endian
//! ```

use journal::is_segment;
use thiserror::Error;

/// Longest name, bytes.
const NAME_BYTES_MAX: usize = 200;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// The file has these bytes from `at` on and ends after them. Cutting off is writing nothing, beginning is writing at 0.
    Write {
        /// A segment's.
        name: String,
        /// Where, bytes.
        at: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// The file is removed.
    Remove {
        /// A segment's.
        name: String,
    },
    /// A member begins to serve the area.
    Claim {
        /// Its name.
        member: String,
    },
    /// A member begins to put in a journal that was written without the stream. Until it has ended only this member has all of
    /// it, so nobody else may serve the area.
    Seeding {
        /// Its name.
        member: String,
    },
    /// It has ended.
    Seeded,
}

/// Bytes that are no operation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no operation of this version of gridflex: {0}")]
pub struct Malformed(pub &'static str);

impl Operation {
    /// Whether it changes this file.
    pub fn is_of(&self, file: &str) -> bool {
        matches!(self, Operation::Write { name, .. } | Operation::Remove { name } if name == file)
    }

    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, name) = match self {
            Operation::Write { name, .. } => (0, name.as_str()),
            Operation::Remove { name } => (1, name.as_str()),
            Operation::Claim { member } => (2, member.as_str()),
            Operation::Seeding { member } => (3, member.as_str()),
            Operation::Seeded => (4, ""),
        };
        let mut encoded = vec![kind];
        encoded.extend((name.len() as u16).to_le_bytes());
        encoded.extend(name.as_bytes());
        if let Operation::Write { at, bytes, .. } = self {
            encoded.extend(at.to_le_bytes());
            encoded.extend(bytes);
        }
        encoded
    }

    /// Reads one. Files that are no segments are refused: a stream must not reach others.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (kind, rest) = bytes.split_first().ok_or(Malformed("it is empty"))?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(Malformed("it ends in a length"))?;
        let length = usize::from(u16::from_le_bytes(*length));
        if length > NAME_BYTES_MAX {
            return Err(Malformed("a name is too long"));
        }
        let (name, rest) = rest.split_at_checked(length).ok_or(Malformed("it ends in a name"))?;
        let name = std::str::from_utf8(name).map_err(|_| Malformed("a name is no text"))?.to_owned();
        if *kind < 2 && !is_segment(&name) {
            return Err(Malformed("it names a file that is no segment"));
        }
        match (kind, rest) {
            (0, rest) => {
                let (at, bytes) = rest.split_first_chunk().ok_or(Malformed("it ends in a place"))?;
                Ok(Operation::Write { name, at: u64::from_le_bytes(*at), bytes: bytes.to_vec() })
            }
            (1, []) => Ok(Operation::Remove { name }),
            (2, []) => Ok(Operation::Claim { member: name }),
            (3, []) => Ok(Operation::Seeding { member: name }),
            (4, []) if name.is_empty() => Ok(Operation::Seeded),
            (1..=4, _) => Err(Malformed("something follows it")),
            _ => Err(Malformed("its kind is unknown")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations() -> [Operation; 6] {
        let name = "market-000000000123.journal".to_owned();
        [
            Operation::Write { name: name.clone(), at: 512, bytes: vec![1, 2, 3] },
            Operation::Write { name: "market.journal".into(), at: 0, bytes: Vec::new() },
            Operation::Remove { name },
            Operation::Claim { member: "north-1".into() },
            Operation::Seeding { member: "north-1".into() },
            Operation::Seeded,
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        for operation in operations() {
            assert_eq!(Operation::decode(&operation.encode()), Ok(operation));
        }
    }

    #[test]
    fn no_cut_and_no_changed_byte_panics_or_reaches_another_file() {
        for operation in operations() {
            let bytes = operation.encode();
            for cut in 0..bytes.len() {
                let _ = Operation::decode(&bytes[..cut]);
            }
            for at in 0..bytes.len() {
                for value in 0..=255 {
                    let mut changed = bytes.clone();
                    changed[at] = value;
                    if let Ok(Operation::Write { name, .. } | Operation::Remove { name }) =
                        Operation::decode(&changed)
                    {
                        assert!(is_segment(&name));
                    }
                }
            }
        }
        let outside = Operation::Remove { name: "../access.json".into() };
        assert_eq!(
            Operation::decode(&outside.encode()),
            Err(Malformed("it names a file that is no segment"))
        );
    }
}
