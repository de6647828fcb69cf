//! What a script has defined so far.

use super::class::{Entry, Table};
use super::controls::{CapacitorSwitch, RegulatorControl};
use super::line_code::{Line, LineCode};
use super::load::Load;
use super::shape::Shape;
use super::shunt::{Capacitor, Reactor};
use super::source::VoltageSource;
use super::transformer::{Transformer, TransformerCode};
use std::collections::BTreeMap;

/// What elements refer to by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Codes {
    pub line_codes: Table<LineCode>,
    pub transformer_codes: Table<TransformerCode>,
    pub shapes: Table<Shape>,
}

/// A circuit while it is read.
#[derive(Debug, Clone)]
pub(super) struct Model {
    /// Name of the circuit; `None` until there is one.
    pub name: Option<String>,
    pub frequency_hz: f64,
    pub codes: Codes,
    pub sources: Table<VoltageSource>,
    pub lines: Table<Line>,
    pub transformers: Table<Transformer>,
    pub reactors: Table<Reactor>,
    pub capacitors: Table<Capacitor>,
    pub loads: Table<Load>,
    pub regulator_controls: Table<RegulatorControl>,
    pub capacitor_switches: Table<CapacitorSwitch>,
    /// Coordinates by bus.
    pub coordinates: BTreeMap<String, (f64, f64)>,
    pub options: Options,
}

/// What `set` has set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Options {
    /// Phase-to-phase voltages to choose bus ratings from, kV.
    pub voltage_bases_kv: Vec<f64>,
    pub load_multiplier: f64,
    pub controls: bool,
    pub control_iterations_max: usize,
}

impl Model {
    pub fn new(frequency_hz: f64) -> Self {
        Self {
            name: None,
            frequency_hz,
            codes: Codes { shapes: Shape::intrinsic(), ..Codes::default() },
            sources: Table::default(),
            lines: Table::default(),
            transformers: Table::default(),
            reactors: Table::default(),
            capacitors: Table::default(),
            loads: Table::default(),
            regulator_controls: Table::default(),
            capacitor_switches: Table::default(),
            coordinates: BTreeMap::new(),
            options: Options {
                voltage_bases_kv: Vec::new(),
                load_multiplier: 1.0,
                controls: true,
                control_iterations_max: 10,
            },
        }
    }
}

/// The classes that are read.
pub(super) const CLASSES: [Entry; 11] = [
    Entry::of::<LineCode>(),
    Entry::of::<TransformerCode>(),
    Entry::of::<Shape>(),
    Entry::of::<VoltageSource>(),
    Entry::of::<Line>(),
    Entry::of::<Transformer>(),
    Entry::of::<Reactor>(),
    Entry::of::<Capacitor>(),
    Entry::of::<Load>(),
    Entry::of::<RegulatorControl>(),
    Entry::of::<CapacitorSwitch>(),
];

/// Classes that measure, protect, or only describe: without effect on a power flow unless another element names them,
/// which is refused there.
pub(super) const CLASSES_WITHOUT_EFFECT: [&str; 17] = [
    "cndata",
    "energymeter",
    "fuse",
    "growthshape",
    "linegeometry",
    "linespacing",
    "monitor",
    "priceshape",
    "recloser",
    "relay",
    "sensor",
    "spectrum",
    "tcc_curve",
    "tsdata",
    "tshape",
    "wiredata",
    "xycurve",
];

/// Classes of the engine that change the circuit and are not read.
pub(super) const CLASSES_REFUSED: [&str; 17] = [
    "autotrans",
    "espvlcontrol",
    "expcontrol",
    "fault",
    "generator",
    "gencontroller",
    "gictransformer",
    "invcontrol",
    "isource",
    "pvsystem",
    "pvsystem2",
    "storage",
    "storage2",
    "storagecontroller",
    "swtcontrol",
    "upfc",
    "vccs",
];
