//! Places in the order in which values were appended, so that somebody who follows can go on where it stopped.
//!
//! A place is known while its log is: in memory and in the newest log, over restarts, until the log was sealed. Then the order is
//! gone, and whoever comes back so late asks for a span of time instead.

use crate::store::History;
use crate::value::{Value, code};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Values that are looked at in one step.
const STEP_VALUES: usize = 50_000;

/// A place between two values of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    log: u64,
    /// Values of the log before it.
    index: u64,
    /// What the value before it looks like: a place in another history is not taken for one in this.
    mark: u32,
}

/// Why a place cannot be gone on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("offset {0} is not known any more: its values were sealed, or it is of another history")]
pub struct Gone(pub Offset);

/// Not written like a place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:.40?} is no offset; one looks like 12-3456-0123abcd")]
pub struct NoOffset(String);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:08x}", self.log, self.index, self.mark)
    }
}

impl FromStr for Offset {
    type Err = NoOffset;

    fn from_str(text: &str) -> Result<Self, NoOffset> {
        let read = || {
            let mut parts = text.split('-');
            let (log, index, mark) = (parts.next()?, parts.next()?, parts.next()?);
            let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
            let plain = digits(log) && digits(index) && mark.len() == 8 && parts.next().is_none();
            let hexadecimal = mark.bytes().all(|byte| byte.is_ascii_hexdigit());
            let mark = u32::from_str_radix(mark, 16).ok().filter(|_| plain && hexadecimal)?;
            Some(Self { log: log.parse().ok()?, index: index.parse().ok()?, mark })
        };
        read().ok_or_else(|| NoOffset(text.to_owned()))
    }
}

/// A few bits of a value (FNV-1a): told from its neighbours, not from what was made to look like it.
fn mark(value: &Value) -> u32 {
    let parts = [
        code(value.point),
        value.value.to_bits(),
        value.measured_at.nanos() as u64,
        value.received_at.nanos() as u64,
    ];
    let bytes = parts.iter().flat_map(|part| part.to_le_bytes());
    bytes.fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn place(log: u64, values: &[Value], index: usize) -> Offset {
    let before = index.checked_sub(1).and_then(|last| values.get(last));
    Offset { log, index: index as u64, mark: before.map_or(0, mark) }
}

/// What was appended after a place.
#[derive(Debug, Clone, PartialEq)]
pub struct Followed {
    /// In the order in which they were appended, each with the place after it.
    pub values: Vec<(Offset, Value)>,
    /// Where to go on.
    pub next: Offset,
    /// Whether that was all there is now.
    pub all: bool,
}

impl History {
    /// The place after everything.
    pub fn newest(&self) -> Offset {
        let (log, values) = self.newest_log();
        place(log, values, values.len())
    }

    /// At most `most` values after a place that are `wanted`; looks at a bounded number of values.
    ///
    /// # Errors
    /// [`Gone`] when the place is not known.
    pub fn after(
        &self,
        offset: Offset,
        wanted: impl Fn(&Value) -> bool,
        most: usize,
    ) -> Result<Followed, Gone> {
        let (newest, _) = self.newest_log();
        let offset = if self.is_end(offset) { place(offset.log + 1, &[], 0) } else { offset };
        let logs = self.logs_in_memory();
        let (_, values) = logs.iter().find(|(log, _)| *log == offset.log).ok_or(Gone(offset))?;
        let start = usize::try_from(offset.index).ok().filter(|index| *index <= values.len());
        let start = start.filter(|&index| place(offset.log, values, index) == offset).ok_or(Gone(offset))?;
        let (mut found, mut at) = (Vec::new(), start);
        for value in values.iter().skip(start).take(STEP_VALUES) {
            if found.len() == most {
                break;
            }
            at += 1;
            if wanted(value) {
                found.push((place(offset.log, values, at), *value));
            }
        }
        let ended = at == values.len();
        let next = match ended && offset.log != newest {
            true => place(offset.log + 1, &[], 0),
            false => place(offset.log, values, at),
        };
        Ok(Followed { values: found, next, all: ended && offset.log == newest })
    }
}
