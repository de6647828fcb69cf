//! `LineCode` and `Line`: impedances per length, from sequence values or matrices.
//!
//! Series impedance `Z = R + jX` in Ω, shunt `Y = jωC`, both per unit of length; on a line the code's unit of length is
//! converted to the line's. Sequence values fill a matrix with `(z0 + 2 z1) / 3` and `(z0 − z1) / 3`. A line without
//! anything has the engine's default values of 1000 ft of overhead line, its capacitance included.

use super::class::{Class, Context, PHASES_MAX, Table};
use super::error::Fault;
use super::model::Model;
use super::value::{BusName, Value};
use num_complex::Complex64;
use std::f64::consts::TAU;

type Result<T> = std::result::Result<T, Fault>;

/// Units of length in m; `None` matches everything.
pub(super) type Unit = Option<f64>;

fn unit(value: &Value) -> Result<Unit> {
    // The engine looks at two letters.
    let name = value.name();
    Ok(Some(match name.get(..2).unwrap_or(&name) {
        "no" => return Ok(None),
        "mi" => 1609.344,
        "kf" => 304.8,
        "km" => 1000.0,
        "m" | "me" => 1.0,
        "ft" => 0.3048,
        "in" => 0.0254,
        "cm" => 0.01,
        "mm" => 0.001,
        _ => return Err(Fault::value(value.property, value.text(), "unit of length")),
    }))
}

/// How many of `to` one of `from` is.
fn conversion(from: Unit, to: Unit) -> f64 {
    match (from, to) {
        (Some(from), Some(to)) => from / to,
        _ => 1.0,
    }
}

/// Impedances per unit of length.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Impedance {
    pub phases: usize,
    /// r1, x1, r0, x0 in Ω.
    sequence: [f64; 4],
    /// c1, c0 in F.
    capacitance_f: [f64; 2],
    /// Whether the sequence values hold, not the matrices.
    by_sequence: bool,
    /// Series impedance, Ω, by rows.
    pub z_ohm: Vec<Complex64>,
    /// Shunt admittance, S, by rows.
    pub y_s: Vec<Complex64>,
}

impl Impedance {
    fn new(frequency_hz: f64) -> Self {
        let mut made = Self {
            phases: 3,
            sequence: [0.0580, 0.1206, 0.1784, 0.4047],
            capacitance_f: [3.4e-9, 1.6e-9],
            by_sequence: true,
            z_ohm: Vec::new(),
            y_s: Vec::new(),
        };
        made.fill(frequency_hz);
        made
    }

    /// Fills the matrices from sequence values.
    fn fill(&mut self, frequency_hz: f64) {
        let [r1, x1, r0, x0] = self.sequence;
        let [c1, c0] = self.capacitance_f.map(|c| Complex64::new(0.0, TAU * frequency_hz * c));
        self.z_ohm = even(self.phases, Complex64::new(r1, x1), Complex64::new(r0, x0));
        self.y_s = even(self.phases, c1, c0);
    }

    /// A property that lines and line codes share; whether it was one.
    fn set(&mut self, property: &str, value: Value, frequency_hz: f64) -> Result<bool> {
        let n = self.phases;
        let omega = TAU * frequency_hz;
        match property {
            "r1" => self.sequence[0] = value.number()?,
            "x1" => self.sequence[1] = value.number()?,
            "r0" => self.sequence[2] = value.number()?,
            "x0" => self.sequence[3] = value.number()?,
            "c1" => self.capacitance_f[0] = value.number()? * 1e-9,
            "c0" => self.capacitance_f[1] = value.number()? * 1e-9,
            "b1" => self.capacitance_f[0] = value.number()? * 1e-6 / omega,
            "b0" => self.capacitance_f[1] = value.number()? * 1e-6 / omega,
            "rmatrix" => {
                value.symmetric(n)?.iter().zip(&mut self.z_ohm).for_each(|(&re, z)| z.re = re);
                self.by_sequence = false;
                return Ok(true);
            }
            "xmatrix" => {
                value.symmetric(n)?.iter().zip(&mut self.z_ohm).for_each(|(&im, z)| z.im = im);
                self.by_sequence = false;
                return Ok(true);
            }
            "cmatrix" => {
                let numbers = value.symmetric(n)?;
                self.y_s = numbers.iter().map(|&nf| Complex64::new(0.0, omega * nf * 1e-9)).collect();
                self.by_sequence = false;
                return Ok(true);
            }
            _ => return Ok(false),
        }
        self.by_sequence = true;
        Ok(true)
    }
}

fn even(n: usize, positive: Complex64, zero: Complex64) -> Vec<Complex64> {
    let own = (positive * 2.0 + zero) / 3.0;
    let mutual = (zero - positive) / 3.0;
    (0..n * n).map(|at| if at % (n + 1) == 0 { own } else { mutual }).collect()
}

/// A `LineCode`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LineCode {
    pub impedance: Impedance,
    pub unit: Unit,
    pub rated_a: f64,
    /// Base frequency, Hz.
    frequency_hz: f64,
}

const LENGTH_PROPERTIES: [&str; 10] = ["r1", "x1", "r0", "x0", "c1", "c0", "b1", "b0", "rmatrix", "xmatrix"];

impl Class for LineCode {
    const NAME: &'static str = "linecode";
    const PROPERTIES: &'static [&'static str] = &[
        "nphases",
        "r1",
        "x1",
        "r0",
        "x0",
        "c1",
        "c0",
        "units",
        "rmatrix",
        "xmatrix",
        "cmatrix",
        "basefreq",
        "normamps",
        "emergamps",
        "faultrate",
        "pctperm",
        "repair",
        "kron",
        "rg",
        "xg",
        "rho",
        "neutral",
        "b1",
        "b0",
        "seasons",
        "ratings",
        "linetype",
    ];
    // Earth return corrects for other frequencies than the base only.
    const INERT: &'static [&'static str] = &[
        "emergamps",
        "faultrate",
        "pctperm",
        "repair",
        "rg",
        "xg",
        "rho",
        "neutral",
        "seasons",
        "ratings",
        "linetype",
    ];

    fn new(frequency_hz: f64) -> Self {
        Self { impedance: Impedance::new(frequency_hz), unit: None, rated_a: 400.0, frequency_hz }
    }

    fn table(model: &Model) -> &Table<Self> {
        &model.codes.line_codes
    }

    fn table_mut(model: &mut Model) -> &mut Table<Self> {
        &mut model.codes.line_codes
    }

    fn set(&mut self, property: &'static str, value: Value, context: &mut Context) -> Result<bool> {
        match property {
            "nphases" => {
                let phases = value.count(1..=PHASES_MAX)?;
                if phases != self.impedance.phases {
                    self.impedance.phases = phases;
                    self.impedance.fill(self.frequency_hz);
                }
                self.impedance.by_sequence = true;
            }
            "units" => self.unit = unit(&value)?,
            "normamps" => self.rated_a = value.number()?,
            "basefreq" => same_frequency(value, context.frequency_hz)?,
            "kron" => return Ok(!value.switch()?),
            _ => return self.impedance.set(property, value, self.frequency_hz),
        }
        Ok(true)
    }

    fn edited(&mut self, _frequency_hz: f64) {
        if self.impedance.by_sequence {
            self.impedance.fill(self.frequency_hz);
        }
    }
}

/// Refuses data for another frequency: they would have to be converted.
fn same_frequency(value: Value, frequency_hz: f64) -> Result<()> {
    let given = value.positive()?;
    let what = format!("base frequency {given} Hz in a circuit of {frequency_hz} Hz");
    let other = || Fault::unsupported(what, "give the data at the frequency of the circuit");
    if (given - frequency_hz).abs() < 1e-9 { Ok(()) } else { Err(other()) }
}

/// A `Line`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub buses: [BusName; 2],
    pub enabled: bool,
    /// Whether it was declared to be a switch.
    pub switch: bool,
    pub rated_a: f64,
    pub impedance: Impedance,
    length: f64,
    unit: Unit,
    /// Unit of the line code, while there is one.
    code: Option<Unit>,
    /// The line's units of length in one of the impedance's.
    conversion: f64,
    /// Whether capacitance was given.
    capacitance_given: bool,
    /// Whether sequence values changed after the matrices were filled.
    changed: bool,
}

impl Line {
    /// Series impedance and shunt admittance of the whole line.
    pub fn whole(&self, frequency_hz: f64) -> (Vec<Complex64>, Vec<Complex64>) {
        let mut impedance = self.impedance.clone();
        if self.changed {
            if !self.capacitance_given {
                // The default values are per 1000 ft.
                let per_unit = conversion(Some(304.8), self.unit);
                impedance.capacitance_f = impedance.capacitance_f.map(|c| c / per_unit);
            }
            single_phase(&mut impedance);
            impedance.fill(frequency_hz);
        }
        let length = self.length / self.conversion;
        let times = |matrix: &[Complex64]| matrix.iter().map(|&entry| entry * length).collect();
        (times(&impedance.z_ohm), times(&impedance.y_s))
    }

    /// Own values match the length as it is given.
    fn forget_units(&mut self) {
        self.code = None;
        self.conversion = 1.0;
        self.unit = None;
    }

    fn take(&mut self, code: &LineCode, frequency_hz: f64) {
        let own = (self.impedance.sequence, self.impedance.capacitance_f);
        self.impedance = code.impedance.clone();
        if self.impedance.by_sequence {
            single_phase(&mut self.impedance);
            self.impedance.fill(frequency_hz);
        } else {
            (self.impedance.sequence, self.impedance.capacitance_f) = own;
        }
        self.code = Some(code.unit);
        self.conversion = conversion(code.unit, self.unit);
        self.rated_a = code.rated_a;
    }

    fn set_phases(&mut self, phases: usize, frequency_hz: f64) -> Result<()> {
        if phases == self.impedance.phases {
            return Ok(());
        }
        if !self.impedance.by_sequence {
            let reason = format!("its line code has {} phases, not {phases}", self.impedance.phases);
            return Err(Fault::Element { element: "line".into(), reason });
        }
        self.impedance.phases = phases;
        single_phase(&mut self.impedance);
        self.impedance.fill(frequency_hz);
        Ok(())
    }

    fn make_switch(&mut self) {
        self.switch = true;
        self.changed = true;
        self.impedance.by_sequence = true;
        self.impedance.sequence = [1.0; 4];
        self.impedance.capacitance_f = [1.1e-9, 1.0e-9];
        self.length = 0.001;
        self.forget_units();
    }
}

/// A line of one phase has its positive-sequence values only.
fn single_phase(impedance: &mut Impedance) {
    if impedance.phases == 1 {
        let [r1, x1, ..] = impedance.sequence;
        impedance.sequence = [r1, x1, r1, x1];
        impedance.capacitance_f[1] = impedance.capacitance_f[0];
    }
}

impl Class for Line {
    const NAME: &'static str = "line";
    const PROPERTIES: &'static [&'static str] = &[
        "bus1",
        "bus2",
        "linecode",
        "length",
        "phases",
        "r1",
        "x1",
        "r0",
        "x0",
        "c1",
        "c0",
        "rmatrix",
        "xmatrix",
        "cmatrix",
        "switch",
        "rg",
        "xg",
        "rho",
        "geometry",
        "units",
        "spacing",
        "wires",
        "earthmodel",
        "cncables",
        "tscables",
        "b1",
        "b0",
        "seasons",
        "ratings",
        "linetype",
        "normamps",
        "emergamps",
        "faultrate",
        "pctperm",
        "repair",
    ];
    const INERT: &'static [&'static str] = &[
        "rg",
        "xg",
        "rho",
        "earthmodel",
        "seasons",
        "ratings",
        "linetype",
        "emergamps",
        "faultrate",
        "pctperm",
        "repair",
    ];

    fn new(frequency_hz: f64) -> Self {
        Self {
            buses: Default::default(),
            enabled: true,
            switch: false,
            rated_a: 400.0,
            impedance: Impedance::new(frequency_hz),
            length: 1.0,
            unit: None,
            code: None,
            conversion: 1.0,
            capacitance_given: false,
            changed: false,
        }
    }

    fn table(model: &Model) -> &Table<Self> {
        &model.lines
    }

    fn table_mut(model: &mut Model) -> &mut Table<Self> {
        &mut model.lines
    }

    fn enable(&mut self, on: bool) {
        self.enabled = on;
    }

    fn forget_buses(&mut self) {
        self.buses = Default::default();
    }

    fn set(&mut self, property: &'static str, value: Value, context: &mut Context) -> Result<bool> {
        match property {
            "bus1" => self.buses[0] = BusName::new(property, value.text())?,
            "bus2" => self.buses[1] = BusName::new(property, value.text())?,
            "linecode" => {
                let code = context.codes.line_codes.get(&value.name())?.clone();
                self.take(&code, context.frequency_hz);
            }
            "length" => self.length = value.number()?,
            "phases" => self.set_phases(value.count(1..=PHASES_MAX)?, context.frequency_hz)?,
            "switch" => {
                if value.switch()? {
                    self.make_switch();
                }
            }
            "units" => {
                let unit = unit(&value)?;
                self.conversion = match self.code {
                    Some(code) => conversion(code, unit),
                    None => self.conversion * conversion(self.unit, unit),
                };
                self.unit = unit;
            }
            "normamps" => self.rated_a = value.number()?,
            "basefreq" => same_frequency(value, context.frequency_hz)?,
            _ => {
                let known = self.impedance.set(property, value, context.frequency_hz)?;
                if LENGTH_PROPERTIES.contains(&property) || property == "cmatrix" {
                    self.forget_units();
                    self.changed = self.impedance.by_sequence;
                    self.capacitance_given |= matches!(property, "c1" | "c0" | "b1" | "b0" | "cmatrix");
                }
                return Ok(known);
            }
        }
        Ok(true)
    }
}
