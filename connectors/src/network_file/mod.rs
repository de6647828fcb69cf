//! Network files: **power-grid-model JSON** (version 1.0, type `input`, one scenario) → [`Network`].
//!
//! Attribute names, codes and units are those of the
//! [power-grid-model components](https://power-grid-model.readthedocs.io/en/stable/user_manual/components.html);
//! both row forms of its
//! [serialization](https://power-grid-model.readthedocs.io/en/stable/user_manual/serialization.html) are read:
//! objects, and lists explained by `attributes`. Read are `node`, `line`, `transformer`, `source`, `sym_load`
//! and `asym_load`. What the network model cannot express is refused with the component, its id and what to do,
//! never dropped in silence.
//!
//! * Branches and terminals with a status of 0 are left out; a branch open at one end as well.
//! * Tap positions are applied to `u1` or `u2`.
//! * An `asym_load` with values on one phase is a single-phase connection; on three equal phases it is
//!   three-phase.
//! * Ours: `x_m` and `y_m` on nodes; `name`, `id_reference`, `comment` and `extra` anywhere, and `name` beside
//!   `version`, are information only.

mod components;
mod error;
mod file;
mod row;

pub use error::NetworkFileError;

use grid::Network;
use std::io::Read;
use std::path::Path;

/// Largest file read, bytes.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Reads a network from the bytes of a file.
///
/// # Errors
/// [`NetworkFileError`] names component, id and attribute. Never panics, whatever the bytes.
pub fn read(bytes: &[u8]) -> Result<Network, NetworkFileError> {
    parts(bytes, "network")
}

/// Reads a network from a file; without a `name` in it, it is called like the file.
///
/// # Errors
/// As [`read`], and when the file cannot be read; the path is named.
pub fn read_path(path: &Path) -> Result<Network, NetworkFileError> {
    let in_file = |source| NetworkFileError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(in_file)?;
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(in_file)?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    parts(&bytes, &stem)
        .map_err(|error| NetworkFileError::Within { path: path.to_owned(), error: Box::new(error) })
}

fn parts(bytes: &[u8], name: &str) -> Result<Network, NetworkFileError> {
    let parts = file::read(bytes, name)?;
    Ok(Network::new(parts)?)
}

#[cfg(test)]
mod tests;
