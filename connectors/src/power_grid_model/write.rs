//! Files of type `sym_output` and `asym_output`: what power-grid-model writes, and attributes of our own beside it
//! (its readers skip what they do not know).
//!
//! Rows are objects. Voltages in V phase to phase (symmetric) or phase to neutral (per phase), angles in rad, powers in
//! W and var with power-grid-model's signs: sources and generators give, loads and shunts take, flows enter a branch.

use super::columns::Component;
use super::flows::Flows;
use super::input::Input;
use estimation::assembly::Assembly;
use estimation::gathering::{Outcome, SensorResidual};
use grid::PhaseValue;
use num_complex::Complex64;
use std::fmt::Write as _;
use std::io::{self, Write};

/// One solved state.
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    /// What was calculated.
    pub input: &'a Input,
    /// Its equations.
    pub assembly: &'a Assembly,
    /// Voltage of every wire, p.u.
    pub voltages: &'a [Complex64],
    /// What an estimate says beside the voltages; without it loads take what they are given.
    pub estimate: Option<&'a Outcome>,
    /// Tap positions reached: regulator and position.
    pub taps: &'a [(u32, i8)],
    /// Our own attributes.
    pub extras: &'a [Extra],
}

impl State<'_> {
    /// The loading of every branch in parts of its rating (NaN without one), with its kind and id.
    pub fn loadings(&self) -> Vec<(f64, Component, u32)> {
        use Component as C;
        let flows = Flows::new(self);
        let mut loadings = Vec::new();
        for list in &self.input.lists {
            for (row, &id) in list.ids.iter().enumerate() {
                let loading = match list.component {
                    C::Line | C::AsymLine | C::GenericBranch | C::Transformer => {
                        let (from, to) = flows.branch(id);
                        flows.loading(list.component, list.first + row, &from, &to)
                    }
                    C::ThreeWindingTransformer => {
                        let rated = self.input.parts.three_winding_transformers[row].s_rated_va;
                        let windings = flows.star(id);
                        let each =
                            windings.iter().zip(rated).map(|(winding, rated)| winding.apparent() / rated);
                        each.fold(0.0, f64::max)
                    }
                    _ => continue,
                };
                loadings.push((loading, list.component, id));
            }
        }
        loadings
    }
}

/// Values of our own for one kind of component.
#[derive(Debug, Clone, PartialEq)]
pub struct Extra {
    /// Which components.
    pub component: Component,
    /// The name of the attribute.
    pub attribute: &'static str,
    /// One per component in the order of the input.
    pub values: ExtraValues,
}

/// The values of an [`Extra`]; NaN is written as null.
#[derive(Debug, Clone, PartialEq)]
pub enum ExtraValues {
    /// One number per component.
    Numbers(Vec<f64>),
    /// One number per phase.
    Phases(Vec<[f64; 3]>),
    /// One word per component.
    Words(Vec<&'static str>),
}

/// Writes a document: the frame, and one scenario after another.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    batch: bool,
    count: usize,
    buffer: String,
}

impl<W: Write> Writer<W> {
    /// Begins a document.
    ///
    /// # Errors
    /// Those of the destination.
    pub fn new(mut out: W, symmetric: bool, batch: bool) -> io::Result<Self> {
        let kind = if symmetric { "sym_output" } else { "asym_output" };
        write!(out, r#"{{"version":"1.0","type":"{kind}","is_batch":{batch},"attributes":{{}},"data":"#)?;
        out.write_all(if batch { b"[" } else { b"" })?;
        Ok(Self { out, batch, count: 0, buffer: String::new() })
    }

    /// Writes one scenario.
    ///
    /// # Errors
    /// Those of the destination.
    pub fn scenario(&mut self, state: &State<'_>) -> io::Result<()> {
        if self.count > 0 {
            self.out.write_all(b",")?;
        }
        self.count += 1;
        let flows = Flows::new(state);
        self.out.write_all(b"\n{")?;
        let mut first = true;
        for list in &state.input.lists {
            if list.component.is_sensor() && state.estimate.is_none() {
                continue;
            }
            let separator = if first { "" } else { "," };
            first = false;
            write!(self.out, "{separator}\n\"{}\":[", list.component.name())?;
            let extras: Vec<&Extra> =
                state.extras.iter().filter(|extra| extra.component == list.component).collect();
            for (row, &id) in list.ids.iter().enumerate() {
                self.buffer.clear();
                self.buffer.push_str(if row == 0 { "\n" } else { ",\n" });
                let _ = write!(self.buffer, "{{\"id\":{id}");
                let mut object = Object { text: &mut self.buffer };
                write_row(&mut object, state, &flows, list.component, id, list.first + row);
                for extra in &extras {
                    match &extra.values {
                        ExtraValues::Numbers(values) => object.number(extra.attribute, values[row]),
                        ExtraValues::Phases(values) => object.phases(extra.attribute, &values[row]),
                        ExtraValues::Words(values) => object.word(extra.attribute, values[row]),
                    }
                }
                self.buffer.push('}');
                self.out.write_all(self.buffer.as_bytes())?;
            }
            self.out.write_all(b"]")?;
        }
        self.out.write_all(b"}")
    }

    /// Ends the document.
    ///
    /// # Errors
    /// Those of the destination.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(if self.batch { b"]}\n" } else { b"}\n" })?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// An object being written, its id already there.
struct Object<'a> {
    text: &'a mut String,
}

impl Object<'_> {
    fn name(&mut self, name: &str) {
        let _ = write!(self.text, ",\"{name}\":");
    }

    fn put(&mut self, value: f64) {
        let _ = if value.is_nan() {
            write!(self.text, "null")
        } else if value.is_infinite() {
            write!(self.text, "\"{}inf\"", if value < 0.0 { "-" } else { "" })
        } else {
            write!(self.text, "{value:?}")
        };
    }

    fn number(&mut self, name: &str, value: f64) {
        self.name(name);
        self.put(value);
    }

    fn phases(&mut self, name: &str, values: &[f64]) {
        self.name(name);
        self.text.push('[');
        for (at, &value) in values.iter().enumerate() {
            self.text.push_str(if at == 0 { "" } else { "," });
            self.put(value);
        }
        self.text.push(']');
    }

    /// One number when there is one wire, a list otherwise.
    fn wires(&mut self, name: &str, values: &[f64]) {
        match values {
            [value] => self.number(name, *value),
            _ => self.phases(name, values),
        }
    }

    fn flag(&mut self, name: &str, value: bool) {
        let _ = write!(self.text, ",\"{name}\":{}", u8::from(value));
    }

    fn word(&mut self, name: &str, value: &str) {
        let _ = write!(self.text, ",\"{name}\":\"{value}\"");
    }

    fn said(&mut self, name: &str, value: PhaseValue) {
        match value {
            PhaseValue::Symmetric(value) => self.number(name, value),
            PhaseValue::PerPhase(values) => self.phases(name, &values),
        }
    }

    /// Active, reactive, apparent power and current of one terminal.
    fn terminal(&mut self, suffix: &str, power: &[Complex64], current: &[f64]) {
        let of = |f: fn(&Complex64) -> f64| power.iter().map(f).collect::<Vec<f64>>();
        self.wires(&format!("p{suffix}"), &of(|s| s.re));
        self.wires(&format!("q{suffix}"), &of(|s| s.im));
        self.wires(&format!("i{suffix}"), current);
        self.wires(&format!("s{suffix}"), &of(|s| s.norm()));
    }
}

fn write_row(
    object: &mut Object<'_>,
    state: &State<'_>,
    flows: &Flows<'_>,
    component: Component,
    id: u32,
    at: usize,
) {
    use Component as C;
    match component {
        C::Node => node(object, state, flows, id, at),
        C::Line | C::AsymLine | C::Link | C::GenericBranch | C::Transformer => {
            let (from, to) = flows.branch(id);
            object.flag("energized", flows.energized_branch(id));
            object.number("loading", flows.loading(component, at, &from, &to));
            object.terminal("_from", &from.power, &from.current);
            object.terminal("_to", &to.power, &to.current);
        }
        C::ThreeWindingTransformer => {
            let windings = flows.star(id);
            let rated = state.input.parts.three_winding_transformers[at].s_rated_va;
            object.flag("energized", flows.energized_branch(id));
            let loadings: Vec<f64> =
                windings.iter().zip(rated).map(|(winding, rated)| winding.apparent() / rated).collect();
            for (name, loading) in ["loading_1", "loading_2", "loading_3"].iter().zip(&loadings) {
                object.number(name, *loading);
            }
            object.number("loading", loadings.iter().copied().fold(0.0, f64::max));
            for (suffix, winding) in ["_1", "_2", "_3"].iter().zip(&windings) {
                object.terminal(suffix, &winding.power, &winding.current);
            }
        }
        C::Source | C::SymLoad | C::AsymLoad | C::SymGen | C::AsymGen | C::Shunt => {
            let gives = matches!(component, C::Source | C::SymGen | C::AsymGen);
            let taken = flows.appliance(id);
            let power: Vec<Complex64> =
                taken.power.iter().map(|power| if gives { -power } else { *power }).collect();
            object.flag("energized", flows.energized_appliance(id));
            object.terminal("", &power, &taken.current);
            let factor = |s: &Complex64| if s.norm() < 1e-9 { 0.0 } else { s.re / s.norm() };
            object.wires("pf", &power.iter().map(factor).collect::<Vec<f64>>());
        }
        C::TransformerTapRegulator => {
            let position = state.taps.iter().find(|(regulator, _)| *regulator == id);
            object.flag("energized", position.is_some());
            // power-grid-model's code for "none": the regulator is off, or no source reaches its transformer.
            let position = position.map_or(i8::MIN, |(_, position)| *position);
            let _ = write!(object.text, ",\"tap_pos\":{position}");
        }
        C::VoltageRegulator => object.flag("energized", state.input.parts.voltage_regulators[at].active),
        _ => sensor(object, state, component, at),
    }
}

fn node(object: &mut Object<'_>, state: &State<'_>, flows: &Flows<'_>, id: u32, at: usize) {
    let rated = state.input.parts.buses[at].u_rated_v;
    let base = if state.assembly.symmetric { rated } else { rated / 3.0_f64.sqrt() };
    let voltages = flows.bus(id);
    object.flag("energized", flows.energized_bus(id));
    let magnitudes: Vec<f64> = voltages.iter().map(|v| v.norm()).collect();
    object.wires("u_pu", &magnitudes);
    object.wires("u", &magnitudes.iter().map(|u| u * base).collect::<Vec<f64>>());
    object.wires("u_angle", &voltages.iter().map(|v| v.arg()).collect::<Vec<f64>>());
    let given = flows.injection(id);
    object.wires("p", &given.iter().map(|s| s.re).collect::<Vec<f64>>());
    object.wires("q", &given.iter().map(|s| s.im).collect::<Vec<f64>>());
}

fn sensor(object: &mut Object<'_>, state: &State<'_>, component: Component, at: usize) {
    let zero = || {
        if state.assembly.symmetric { PhaseValue::Symmetric(0.0) } else { PhaseValue::PerPhase([0.0; 3]) }
    };
    let residual = state.estimate.and_then(|outcome| outcome.residuals.get(at)).copied();
    let residual = residual.unwrap_or(SensorResidual::Dead);
    object.flag("energized", residual != SensorResidual::Dead);
    let (names, values) = match residual {
        SensorResidual::Voltage { u_v, angle_rad } => (["u_residual", "u_angle_residual"], [u_v, angle_rad]),
        SensorResidual::Power { p_w, q_var } => {
            let sign = state.input.signs[at];
            let turned = |value| match value {
                PhaseValue::Symmetric(value) => PhaseValue::Symmetric(sign * value),
                PhaseValue::PerPhase(values) => PhaseValue::PerPhase(values.map(|value| sign * value)),
            };
            (["p_residual", "q_residual"], [turned(p_w), turned(q_var)])
        }
        SensorResidual::Current { i_a, angle_rad } => (["i_residual", "i_angle_residual"], [i_a, angle_rad]),
        SensorResidual::Dead => {
            use Component as C;
            let names = match component {
                C::SymVoltageSensor | C::AsymVoltageSensor => ["u_residual", "u_angle_residual"],
                C::SymPowerSensor | C::AsymPowerSensor => ["p_residual", "q_residual"],
                _ => ["i_residual", "i_angle_residual"],
            };
            (names, [zero(), zero()])
        }
    };
    for (name, value) in names.into_iter().zip(values) {
        object.said(name, value);
    }
}
