//! **pandapower JSON** (`pandapower.to_json`, format 2 and 3) → a network with its sensors.
//!
//! Elements mean what pandapower's `runpp` makes of them with its defaults: voltage angles are calculated, transformers
//! are T-models (`trafo_model="t"`, or what the file's `user_pf_options` say), external grids hold their voltage exactly,
//! a tap changer without a type does nothing. Buses, branches and appliances are numbered in the order of pandapower's
//! tables; [`names`](grid::network::NetworkParts::names) says which table and index each number was (`line 3, Line 3-5`).
//!
//! * Read are `bus`, `line`, `trafo`, `trafo3w`, `switch`, `impedance`, `ext_grid`, `gen`, `load`, `sgen`, `storage`,
//!   `asymmetric_load`, `asymmetric_sgen`, `shunt`, `ward`, `measurement` (v, p, q, i). Every other element that is in
//!   service is refused, and so is what changes the result and is not read (tap tables, delta loads, …).
//! * Three-phase calculations take the zero-sequence columns of lines and transformers where the file has them, and the
//!   positive sequence otherwise; the vector group is taken from `vector_group` where it is given and from the phase shift
//!   otherwise. A balanced network has the same result either way.
//! * A three-winding transformer has its no-load branch at the high-voltage winding, where pandapower has half of the
//!   winding's impedance before it.
//! * Controllers are not run: taps and powers stand where the file has them, as in `runpp`.

mod appliances;
mod branches;
mod error;
mod measurements;
mod model;
mod table;
mod transformers;

pub use error::PandapowerError;

use crate::power_grid_model::{self, Input};
use std::path::Path;

/// Largest file read, bytes.
pub const FILE_BYTES_MAX: usize = power_grid_model::FILE_BYTES_MAX;

/// How far into a file its kind must show.
const HEAD_BYTES: usize = 4096;

/// Whether bytes look like a pandapower network: the class is named at the beginning of the file.
pub fn is_pandapower(bytes: &[u8]) -> bool {
    let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
    head.windows(b"pandapowerNet".len()).any(|window| window == b"pandapowerNet")
}

/// Reads a network from the bytes of a file; `name` is its name if it has none of its own.
///
/// # Errors
/// [`PandapowerError`] names table, index and column. Never panics, whatever the bytes.
pub fn read(bytes: &[u8], name: &str) -> Result<Input, PandapowerError> {
    let model = model::Model::read(bytes, name)?;
    let (parts, sensors) = model.finish();
    Ok(Input::from_study(parts, sensors))
}

/// Reads a network from a file; it is called like the file if it has no name.
///
/// # Errors
/// As [`read`], and when the file cannot be read; the path is named.
pub fn read_path(path: &Path) -> Result<Input, PandapowerError> {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let bytes = power_grid_model::bytes_of(path, FILE_BYTES_MAX)?;
    read(&bytes, &stem)
        .map_err(|error| PandapowerError::Within { path: path.to_owned(), error: Box::new(error) })
}

#[cfg(test)]
mod tests;
