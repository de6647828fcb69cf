//! `Capacitor` and `Reactor`.

use super::class::{Class, Context, PHASES_MAX, Table};
use super::error::Fault;
use super::model::Model;
use super::value::{BusName, Value};
use num_complex::Complex64;

type Result<T> = std::result::Result<T, Fault>;

/// A `Capacitor`: a bank to earth, or between phases.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Capacitor {
    pub bus: BusName,
    pub enabled: bool,
    pub phases: usize,
    pub delta: bool,
    pub kvar: f64,
    pub kv: f64,
    pub closed: bool,
}

impl Capacitor {
    /// Its conductors: one per phase in wye, one more for one or two phases in delta.
    pub fn conductors(&self) -> usize {
        if self.delta && self.phases < 3 { self.phases + 1 } else { self.phases }
    }
}

impl Class for Capacitor {
    const NAME: &'static str = "capacitor";
    const PROPERTIES: &'static [&'static str] = &[
        "bus1",
        "bus2",
        "phases",
        "kvar",
        "kv",
        "conn",
        "cmatrix",
        "cuf",
        "r",
        "xl",
        "harm",
        "numsteps",
        "states",
        "normamps",
        "emergamps",
        "faultrate",
        "pctperm",
        "repair",
    ];
    const INERT: &'static [&'static str] = &["normamps", "emergamps", "faultrate", "pctperm", "repair"];

    fn new(_frequency_hz: f64) -> Self {
        Self {
            bus: BusName::default(),
            enabled: true,
            phases: 3,
            delta: false,
            kvar: 1200.0,
            kv: 12.47,
            closed: true,
        }
    }

    fn table(model: &Model) -> &Table<Self> {
        &model.capacitors
    }

    fn table_mut(model: &mut Model) -> &mut Table<Self> {
        &mut model.capacitors
    }

    fn enable(&mut self, on: bool) {
        self.enabled = on;
    }

    fn forget_buses(&mut self) {
        self.bus = BusName::default();
    }

    fn set(&mut self, property: &'static str, value: Value, _context: &mut Context) -> Result<bool> {
        match property {
            "bus1" => self.bus = BusName::new(property, value.text())?,
            "phases" => self.phases = value.count(1..=PHASES_MAX)?,
            "kvar" => match value.numbers()?[..] {
                [kvar] => self.kvar = kvar,
                _ => return Ok(false),
            },
            "kv" => self.kv = value.positive()?,
            "conn" => self.delta = value.delta()?,
            "r" | "xl" | "harm" => return Ok(value.numbers()?.iter().all(|&number| number == 0.0)),
            "numsteps" => return Ok(value.count(1..=1000)? == 1),
            "states" => self.closed = value.numbers()?.first().is_some_and(|&state| state != 0.0),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A `Reactor` between two buses.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reactor {
    pub buses: [BusName; 2],
    pub enabled: bool,
    pub phases: usize,
    /// Impedance of one phase, Ω.
    pub z_ohm: Complex64,
    /// Whether the impedance was given in ohms.
    pub in_ohms: bool,
    pub rated_a: f64,
}

impl Class for Reactor {
    const NAME: &'static str = "reactor";
    const PROPERTIES: &'static [&'static str] = &[
        "bus1",
        "bus2",
        "phases",
        "kvar",
        "kv",
        "conn",
        "rmatrix",
        "xmatrix",
        "parallel",
        "r",
        "x",
        "rp",
        "z1",
        "z2",
        "z0",
        "z",
        "rcurve",
        "lcurve",
        "lmh",
        "normamps",
        "emergamps",
        "faultrate",
        "pctperm",
        "repair",
    ];
    const INERT: &'static [&'static str] = &["emergamps", "faultrate", "pctperm", "repair"];

    fn new(_frequency_hz: f64) -> Self {
        Self {
            buses: Default::default(),
            enabled: true,
            phases: 3,
            z_ohm: Complex64::ZERO,
            in_ohms: false,
            rated_a: 400.0,
        }
    }

    fn table(model: &Model) -> &Table<Self> {
        &model.reactors
    }

    fn table_mut(model: &mut Model) -> &mut Table<Self> {
        &mut model.reactors
    }

    fn enable(&mut self, on: bool) {
        self.enabled = on;
    }

    fn forget_buses(&mut self) {
        self.buses = Default::default();
    }

    fn set(&mut self, property: &'static str, value: Value, _context: &mut Context) -> Result<bool> {
        match property {
            "bus1" => self.buses[0] = BusName::new(property, value.text())?,
            "bus2" => self.buses[1] = BusName::new(property, value.text())?,
            "phases" => self.phases = value.count(1..=PHASES_MAX)?,
            "conn" => return Ok(!value.delta()?),
            "parallel" => return Ok(!value.switch()?),
            "r" => self.z_ohm.re = value.number()?,
            "x" => (self.z_ohm.im, self.in_ohms) = (value.number()?, true),
            "z" => match value.numbers()?[..] {
                [re, im] => (self.z_ohm, self.in_ohms) = (Complex64::new(re, im), true),
                _ => return Err(Fault::value(property, value.text(), "pair of numbers")),
            },
            "normamps" => self.rated_a = value.number()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}
