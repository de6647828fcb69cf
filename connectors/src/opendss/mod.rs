//! OpenDSS scripts → [`grid::network::NetworkParts`].
//!
//! The circuit is what a script leaves behind after its last line, with values, defaults, abbreviations and positions
//! as the engine reads them. `solve` is not carried out: a script that lets controls move taps and then goes on from
//! there has to name the taps. What only shows, plots or measures is passed over (the lists are in `table.rs` and
//! `model.rs`); what changes a circuit and is not read is refused with file and line, never dropped in silence.
//!
//! * Read are `Circuit`/`Vsource`, `LineCode`, `Line`, `XfmrCode`, `Transformer`, `Reactor` between buses, `Capacitor`,
//!   `Load`, `LoadShape`, `RegControl`, `CapControl`, bus coordinates.
//! * Buses, branches, appliances and controls have one row of numbers. `names` calls a bus by its name and everything
//!   else `class.name`, in lower case.
//! * Files are read below one folder only.
//!
//! Meaning follows the engine's source (DSS C-API 0.14), which decides where the manual is silent.

mod bases;
mod class;
mod controls;
mod error;
mod files;
mod lexer;
mod line_code;
mod load;
mod model;
mod network;
mod script;
mod shape;
mod shunt;
mod source;
mod table;
mod transformer;
mod value;

pub use error::{Fault, OpenDssError};
pub use files::{FILE_BYTES_MAX, Files, Folder};

use grid::Network;
use grid::network::NetworkParts;
use std::collections::BTreeMap;
use std::path::Path;

/// A circuit and how it was to be studied.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// The circuit, not checked yet.
    pub parts: NetworkParts,
    /// Whether controls may move taps and capacitors.
    pub controls: bool,
    /// Most rounds of control actions.
    pub control_iterations_max: usize,
    /// Load shapes in the order of their definition.
    pub shapes: Vec<LoadShape>,
    /// For each load by number: which shape (index) multiplies it over a day, a year, a duty cycle.
    pub shape_of_load: BTreeMap<u32, [Option<usize>; 3]>,
}

/// Multipliers of a load at a fixed interval; the first counts for the first interval.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadShape {
    /// Its name.
    pub name: String,
    /// Seconds between values.
    pub interval_s: f64,
    /// The values.
    pub multipliers: Vec<f64>,
}

/// Reads the script at `master`; other files may be below its folder.
///
/// # Errors
/// [`OpenDssError`] names file and line. Never panics, whatever the bytes.
pub fn read_path(master: &Path) -> Result<Study, OpenDssError> {
    let folder = master.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = master.file_name().map(Path::new).unwrap_or(Path::new(""));
    read(&mut Folder::new(folder), name)
}

/// The same, with other files anywhere below `root`, which the script's folder lies in. Models of a collection share line
/// codes and shapes that way (`Redirect ../IEEELineCodes.DSS`).
///
/// # Errors
/// [`OpenDssError`] as above, and when the script does not lie below `root`.
pub fn read_path_below(root: &Path, master: &Path) -> Result<Study, OpenDssError> {
    let unreadable = |path: &Path, source| OpenDssError::File { path: path.to_owned(), source };
    let full = |path: &Path| path.canonicalize().map_err(|source| unreadable(path, source));
    let (root, found) = (full(root)?, full(master)?);
    let Ok(below) = found.strip_prefix(&root) else {
        let reason = format!("it does not lie below {}", root.display());
        return Err(unreadable(master, std::io::Error::new(std::io::ErrorKind::InvalidInput, reason)));
    };
    read(&mut Folder::new(&root), below)
}

/// Reads the script at `master`, a path below the root of `files`.
///
/// # Errors
/// As [`read_path`].
pub fn read(files: &mut dyn Files, master: &Path) -> Result<Study, OpenDssError> {
    let mut script = script::Script::new(files);
    script.run(master)?;
    let model = script.model;
    let network::Builder { parts, elements, .. } = network::Builder::build(&model)?;
    let shapes = model.codes.shapes.iter().map(|(name, shape)| LoadShape {
        name: name.to_owned(),
        interval_s: shape.interval_s,
        multipliers: shape.multipliers.clone(),
    });
    let shape_of_load = model.loads.iter().filter_map(|(name, load)| {
        let id = elements.get(&format!("load.{name}"))?;
        let shapes = load.shapes.clone().map(|shape| model.codes.shapes.find(&shape?));
        shapes.iter().any(Option::is_some).then_some((*id, shapes))
    });
    Ok(Study {
        shapes: shapes.collect(),
        shape_of_load: shape_of_load.collect(),
        parts,
        controls: model.options.controls,
        control_iterations_max: model.options.control_iterations_max,
    })
}

impl Study {
    /// The circuit as a checked network.
    ///
    /// # Errors
    /// [`OpenDssError::Network`] when the parts do not go together.
    pub fn network(self) -> Result<Network, OpenDssError> {
        Ok(Network::new(self.parts)?)
    }
}

#[cfg(test)]
mod tests;
