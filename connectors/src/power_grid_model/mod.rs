//! **power-grid-model JSON** (version 1.0): its `input` and `update` files are read, its output is written.
//!
//! Names, codes and units are those of the
//! [power-grid-model components](https://power-grid-model.readthedocs.io/en/stable/user_manual/components.html);
//! both row forms of its
//! [serialization](https://power-grid-model.readthedocs.io/en/stable/user_manual/serialization.html) are read: objects,
//! and lists explained by `attributes`. Every component of power flow and state estimation is there; `fault` is not.
//!
//! Lists are streamed row by row into typed values ([`stream`]); there is no tree of the file in memory. As in
//! power-grid-model a missing value, null and NaN are the same, `"inf"` is infinity, attributes of object rows that are
//! not known are skipped, and missing optional ones take its defaults. Signs are turned to load convention here.

mod appliances;
mod branches;
mod columns;
mod error;
mod frame;
mod input;
mod row;
mod sensors;
mod stream;
mod transformers;
mod update;
mod write;

pub use columns::Component;
pub use error::ReadError;
pub(crate) use error::brief_text;
pub use input::{Input, Listed};
pub use update::{Batch, Change};
pub use write::{Extra, ExtraValues, State, Writer};

use std::io::Read;
use std::path::Path;

/// Largest file read, bytes.
pub const FILE_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Reads an input from the bytes of a file.
///
/// # Errors
/// [`ReadError`] names component, id or row, and attribute. Never panics, whatever the bytes.
pub fn read(bytes: &[u8], name: &str) -> Result<Input, ReadError> {
    read_with(bytes, name, stream::Unknown::Skip)
}

/// As [`read`], but attributes without meaning here are refused instead of skipped, and a `name` is taken.
///
/// # Errors
/// As [`read`].
pub fn read_strictly(bytes: &[u8], name: &str) -> Result<Input, ReadError> {
    read_with(bytes, name, stream::Unknown::Refuse)
}

fn read_with(bytes: &[u8], name: &str, unknown: stream::Unknown) -> Result<Input, ReadError> {
    let mut input = Input::new(name);
    let frame = frame::read(bytes, unknown, &mut input)?;
    if let Some(name) = frame.name {
        input.parts.name = name;
    }
    input.finish()?;
    Ok(input)
}

/// Reads the changes of an update file, one scenario or a batch.
///
/// # Errors
/// As [`read`]. Whether the ids exist is asked when a scenario is applied ([`Input::apply`]).
pub fn read_update(bytes: &[u8]) -> Result<Batch, ReadError> {
    let mut batch = Batch::default();
    frame::read(bytes, stream::Unknown::Skip, &mut batch)?;
    Ok(batch)
}

/// Reads an input from a file; it is called like the file.
///
/// # Errors
/// As [`read`], and when the file cannot be read; the path is named.
pub fn read_path(path: &Path) -> Result<Input, ReadError> {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    within(path, read(&bytes_of(path, FILE_BYTES_MAX)?, &stem))
}

/// Reads an update from a file.
///
/// # Errors
/// As [`read_update`], and when the file cannot be read; the path is named.
pub fn read_update_path(path: &Path) -> Result<Batch, ReadError> {
    within(path, read_update(&bytes_of(path, FILE_BYTES_MAX)?))
}

/// The bytes of a file of bounded size.
pub(crate) fn bytes_of(path: &Path, limit: usize) -> Result<Vec<u8>, ReadError> {
    let in_file = |source| ReadError::File { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(in_file)?;
    let length = file.metadata().map_or(0, |metadata| metadata.len()).min(limit as u64);
    let mut bytes = Vec::with_capacity(length as usize + 1);
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(in_file)?;
    if bytes.len() > limit {
        return within(path, Err(ReadError::TooLarge { limit }));
    }
    Ok(bytes)
}

/// Names the path beside an error.
pub(crate) fn within<T>(path: &Path, outcome: Result<T, ReadError>) -> Result<T, ReadError> {
    outcome.map_err(|error| ReadError::Within { path: path.to_owned(), error: Box::new(error) })
}

#[cfg(test)]
mod tests;
