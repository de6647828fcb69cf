//! The data of a frame (IEC 60870-5-101, clause 7, with the sizes of 60870-5-104): bytes ⇄ objects, pure functions.
//!
//! At most 127 objects come out of the at most 249 bytes of an ASDU, and its length has to be exactly what its type and count
//! say; nothing is read behind its end.

use super::cp;
use super::kind::{Content, Kind, Tagged};
use super::tag::Address;
use thiserror::Error;

/// Type, count, cause, originator and common address, bytes.
const HEADER: usize = 6;
/// Address of an object, bytes.
const IOA: usize = 3;

/// Why an ASDU was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    /// The cause's number, 0 to 63.
    pub number: u8,
    /// What it answers is refused.
    pub negative: bool,
    /// It is a test: what it says is not so.
    pub test: bool,
}

impl Cause {
    /// An activation: do it.
    pub const ACTIVATION: u8 = 6;
    /// It will be done.
    pub const CONFIRMATION: u8 = 7;
    /// It is done.
    pub const TERMINATION: u8 = 10;

    /// Whether it brings what holds now because somebody asked: requested, or general or group interrogation.
    pub const fn is_asked(self) -> bool {
        matches!(self.number, 5 | 20..=41)
    }

    /// Whether monitored values come with it: periodic, background, spontaneous, requested, return information, interrogated.
    pub const fn is_monitoring(self) -> bool {
        matches!(self.number, 1 | 2 | 3 | 5 | 11 | 12 | 20..=41)
    }

    /// What it means when it refuses what we asked for.
    pub const fn refusal(self) -> &'static str {
        match self.number {
            44 => "it does not know this type",
            45 => "it does not know this cause",
            46 => "it does not know this common address",
            47 => "it does not know this object",
            _ => "it refuses",
        }
    }
}

/// An ASDU whose header is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asdu<'a> {
    /// Its type.
    pub kind: Kind,
    /// Whether one address stands for all objects, which follow each other.
    pub sequence: bool,
    /// Objects in it, 0 to 127.
    pub count: usize,
    /// Why it was sent.
    pub cause: Cause,
    /// Who asked.
    pub originator: u8,
    /// Common address: the station.
    pub ca: u16,
    body: &'a [u8],
}

/// An ASDU that is not what it says.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AsduError {
    /// Shorter than a header.
    #[error("an ASDU of {0} bytes, its header alone has 6")]
    Header(usize),
    /// Its length does not fit.
    #[error("{kind} with {count} objects has {found} bytes of them instead of {expected}")]
    Length {
        /// Name of its type.
        kind: String,
        /// As it says.
        count: usize,
        /// Bytes after the header.
        found: usize,
        /// Bytes that it should have.
        expected: usize,
    },
}

/// The bits of a quality descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// OV: beyond the range of the value.
    pub overflow: bool,
    /// BL: the value stands since its transmission was blocked.
    pub blocked: bool,
    /// SB: put in by a person or a programme.
    pub substituted: bool,
    /// NT: the last update did not succeed.
    pub not_topical: bool,
    /// IV: not to be used.
    pub invalid: bool,
}

impl Flags {
    fn of(octet: u8) -> Self {
        Self {
            overflow: octet & 0x01 != 0,
            blocked: octet & 0x10 != 0,
            substituted: octet & 0x20 != 0,
            not_topical: octet & 0x40 != 0,
            invalid: octet & 0x80 != 0,
        }
    }
}

/// What an object holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A single point.
    Single(bool),
    /// A double point; `None` in an intermediate or indeterminate position.
    Double(Option<bool>),
    /// −1 to 1 − 2⁻¹⁵.
    Normalised(f64),
    /// A whole number.
    Scaled(i16),
    /// A number as it stands; may be NaN.
    Float(f32),
    /// A counter's reading, and whether it was set since the reading before.
    Counter {
        /// 32 bits, taken without sign: it goes on over both wrap-arounds.
        count: u32,
        /// CA: the counter was set.
        adjusted: bool,
    },
}

/// One object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object {
    /// Which.
    pub address: Address,
    /// What it holds.
    pub value: Value,
    /// How far it is to be trusted.
    pub flags: Flags,
    /// When it was so, by the station's clock.
    pub time: Option<cp::Tag>,
}

impl<'a> Asdu<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`AsduError::Header`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, AsduError> {
        let header: Option<(&[u8; HEADER], &[u8])> = bytes.split_first_chunk();
        let Some((&[kind, count, cause, originator, low, high], body)) = header else {
            return Err(AsduError::Header(bytes.len()));
        };
        Ok(Self {
            kind: Kind(kind),
            sequence: count & 0x80 != 0,
            count: usize::from(count & 0x7f),
            cause: Cause { number: cause & 0x3f, negative: cause & 0x40 != 0, test: cause & 0x80 != 0 },
            originator,
            ca: u16::from_le_bytes([low, high]),
            body,
        })
    }

    /// Its objects; `None` when it is of a type that we do not take.
    ///
    /// # Errors
    /// [`AsduError::Length`].
    pub fn objects(&self) -> Option<Result<Vec<Object>, AsduError>> {
        let (content, tagged) = self.kind.layout()?;
        let size = content.octets() + tagged.octets();
        let expected = match (self.sequence, self.count) {
            (_, 0) => 0,
            (true, count) => IOA + count * size,
            (false, count) => count * (IOA + size),
        };
        if self.body.len() != expected {
            let (kind, count, found) = (self.kind.name(), self.count, self.body.len());
            return Some(Err(AsduError::Length { kind, count, found, expected }));
        }
        let element = |ioa: u32, bytes: &[u8]| {
            let (value, time) = bytes.split_at_checked(content.octets())?;
            let (value, flags) = read_value(content, value)?;
            let address = Address { ca: self.ca, ioa };
            Some(Object { address, value, flags, time: read_time(tagged, time) })
        };
        // The length fits, so every chunk is whole.
        let objects = match self.body.split_first_chunk() {
            None => Vec::new(),
            Some((first, rest)) if self.sequence => {
                let numbered = (read_ioa(*first)..).zip(rest.chunks_exact(size));
                numbered.filter_map(|(ioa, bytes)| element(ioa, bytes)).collect()
            }
            Some(_) => {
                let whole = self.body.chunks_exact(IOA + size);
                let parts = whole.filter_map(|bytes| bytes.split_first_chunk());
                parts.filter_map(|(ioa, bytes)| element(read_ioa(*ioa), bytes)).collect()
            }
        };
        Some(Ok(objects))
    }
}

fn read_ioa([a, b, c]: [u8; IOA]) -> u32 {
    u32::from_le_bytes([a, b, c, 0])
}

fn read_value(content: Content, bytes: &[u8]) -> Option<(Value, Flags)> {
    Some(match (content, bytes) {
        (Content::Single, &[octet]) => (Value::Single(octet & 1 != 0), Flags::of(octet & 0xf0)),
        (Content::Double, &[octet]) => {
            let position = match octet & 3 {
                1 => Some(false),
                2 => Some(true),
                _ => None,
            };
            (Value::Double(position), Flags::of(octet & 0xf0))
        }
        (Content::NormalisedBare, &[a, b]) => (normalised([a, b]), Flags::default()),
        (Content::Normalised, &[a, b, octet]) => (normalised([a, b]), Flags::of(octet)),
        (Content::Scaled, &[a, b, octet]) => (Value::Scaled(i16::from_le_bytes([a, b])), Flags::of(octet)),
        (Content::Float, &[a, b, c, d, octet]) => {
            (Value::Float(f32::from_le_bytes([a, b, c, d])), Flags::of(octet))
        }
        // Of its last octet: the sequence number, CY (it has overflowed, which the reading shows itself), CA and IV.
        (Content::Counter, &[a, b, c, d, octet]) => {
            let value =
                Value::Counter { count: u32::from_le_bytes([a, b, c, d]), adjusted: octet & 0x40 != 0 };
            (value, Flags { invalid: octet & 0x80 != 0, ..Flags::default() })
        }
        _ => return None,
    })
}

fn normalised(bytes: [u8; 2]) -> Value {
    Value::Normalised(f64::from(i16::from_le_bytes(bytes)) / 32_768.0)
}

fn read_time(tagged: Tagged, bytes: &[u8]) -> Option<cp::Tag> {
    match tagged {
        Tagged::Not => None,
        Tagged::Minute => bytes.first_chunk().map(|bytes| cp::read_24(*bytes)),
        Tagged::Date => bytes.first_chunk().map(|bytes| cp::read_56(*bytes)),
    }
}

/// What we send: an activation for a whole station, with its qualifier.
pub(super) fn activation(kind: Kind, originator: u8, ca: u16, qualifier: &[u8]) -> Vec<u8> {
    let [low, high] = ca.to_le_bytes();
    let mut bytes = vec![kind.0, 1, Cause::ACTIVATION, originator, low, high, 0, 0, 0];
    bytes.extend(qualifier);
    bytes
}
