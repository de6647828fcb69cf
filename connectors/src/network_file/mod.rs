//! Network files of the live system: **power-grid-model JSON** (read by [`crate::power_grid_model`]) → [`Network`]
//! with usage points, as far as the live estimator's feeder model goes: `node`, `line`, `transformer`, `source`,
//! `sym_load` and `asym_load`. What that model cannot express is refused with the component, its id and what to do,
//! never dropped in silence.
//!
//! * Branches and terminals with a status of 0 are left out; a branch open at one end as well.
//! * Tap positions are applied to `u1` or `u2`.
//! * An `asym_load` with values on one phase is a single-phase connection; on three equal phases it is
//!   three-phase.
//! * Ours: `x_m` and `y_m` on nodes; `name`, `id_reference`, `comment` and `extra` anywhere, and `name` beside
//!   `version`, are information only; any other unknown attribute is refused.

mod feeder;

pub use crate::power_grid_model::ReadError as NetworkFileError;

use crate::power_grid_model::{bytes_of, read_strictly, within};
use grid::Network;
use std::path::Path;

/// Largest file read, bytes.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Reads a network from the bytes of a file.
///
/// # Errors
/// [`NetworkFileError`] names component, id and attribute. Never panics, whatever the bytes.
pub fn read(bytes: &[u8]) -> Result<Network, NetworkFileError> {
    named(bytes, "network")
}

/// Reads a network from a file; without a `name` in it, it is called like the file.
///
/// # Errors
/// As [`read`], and when the file cannot be read; the path is named.
pub fn read_path(path: &Path) -> Result<Network, NetworkFileError> {
    let bytes = bytes_of(path, FILE_BYTES_MAX)?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    within(path, named(&bytes, &stem))
}

fn named(bytes: &[u8], name: &str) -> Result<Network, NetworkFileError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(NetworkFileError::TooLarge { limit: FILE_BYTES_MAX });
    }
    let parts = feeder::narrow(read_strictly(bytes, name)?)?;
    Ok(Network::new(parts)?)
}

#[cfg(test)]
mod tests;
