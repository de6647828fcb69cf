//! Files of type `sym_output` and `asym_output`: what power-grid-model writes, and attributes of our own beside it
//! (its readers skip what they do not know).
//!
//! Rows are objects. Voltages in V phase to phase (symmetric) or phase to neutral (per phase), angles in rad, powers in
//! W and var with power-grid-model's signs: sources and generators give, loads and shunts take, flows enter a branch.

use super::columns::Component;
use super::input::Input;
use estimation::assembly::Assembly;
use estimation::gathering::{Outcome, SensorResidual};
use estimation::results::{ApplianceResult, BranchResult, EndResult, Results, WireFlow, WireVoltage};
use grid::network::Wire;
use grid::{BusId, Network, PhaseValue};
use num_complex::Complex64;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, Write};

/// One solved state.
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    /// What was calculated.
    pub input: &'a Input,
    /// The same as a checked network.
    pub network: &'a Network,
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
        let results = Results::new(self.network, self.assembly, self.voltages);
        let mut loadings = Vec::new();
        for list in &self.input.lists {
            for row in 0..list.ids.len() {
                if let Some(branch) = branch(&results, list.component, row) {
                    let loading = branch.loading.unwrap_or(f64::NAN);
                    loadings.push((loading, list.component, branch.id.0));
                }
            }
        }
        loadings
    }
}

/// The result of a row, when it is a branch.
fn branch(results: &Results, component: Component, row: usize) -> Option<&BranchResult> {
    use Component as C;
    match component {
        C::Line => results.lines.get(row),
        C::AsymLine => results.coupled_lines.get(row),
        C::Link => results.links.get(row),
        C::GenericBranch => results.generic_branches.get(row),
        C::Transformer => results.transformers.get(row),
        C::ThreeWindingTransformer => results.three_winding_transformers.get(row),
        _ => None,
    }
}

/// The result of a row, when it is an appliance.
fn appliance(results: &Results, component: Component, at: usize) -> Option<&ApplianceResult> {
    use Component as C;
    match component {
        C::Source => results.sources.get(at),
        C::SymLoad | C::AsymLoad | C::SymGen | C::AsymGen => results.loads.get(at),
        C::Shunt => results.shunts.get(at),
        _ => None,
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
    /// One number per conductor that the component has there; a single one stands without a list.
    Wires(Vec<Vec<f64>>),
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
        let results = Results::new(state.network, state.assembly, state.voltages);
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
                write_row(&mut object, state, &results, list.component, id, list.first + row);
                for extra in &extras {
                    match &extra.values {
                        ExtraValues::Numbers(values) => object.number(extra.attribute, values[row]),
                        ExtraValues::Phases(values) => object.phases(extra.attribute, &values[row]),
                        ExtraValues::Wires(values) => {
                            object.name(extra.attribute);
                            object.bare(values[row].iter().copied());
                        }
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
    pub fn finish(self) -> io::Result<W> {
        self.finish_with::<()>("", &[])
    }

    /// Ends the document with one more member beside `data`: a value per scenario, a list in a batch. Nothing is written
    /// when there is none. (power-grid-model skips members that it does not know.)
    ///
    /// # Errors
    /// Those of the destination.
    pub fn finish_with<T: Serialize>(mut self, name: &str, values: &[T]) -> io::Result<W> {
        self.out.write_all(if self.batch { b"]" } else { b"" })?;
        if let Some(first) = values.first() {
            write!(self.out, ",\n\"{name}\":")?;
            if self.batch {
                serde_json::to_writer(&mut self.out, values)?;
            } else {
                serde_json::to_writer(&mut self.out, first)?;
            }
        }
        self.out.write_all(b"}\n")?;
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

    /// A value after its name: one number when there is one wire, a list otherwise.
    fn bare(&mut self, values: impl ExactSizeIterator<Item = f64>) {
        let list = values.len() != 1;
        self.text.push_str(if list { "[" } else { "" });
        for (at, value) in values.enumerate() {
            self.text.push_str(if at == 0 { "" } else { "," });
            self.put(value);
        }
        self.text.push_str(if list { "]" } else { "" });
    }

    fn flag(&mut self, name: &str, value: bool) {
        let _ = write!(self.text, ",\"{name}\":{}", u8::from(value));
    }

    fn text_of(&mut self, name: &str, value: &str) {
        let safe: String = value.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect();
        let _ = write!(self.text, ",\"{name}\":\"{safe}\"");
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
    fn terminal(&mut self, suffix: &str, wires: &[WireFlow]) {
        let mut put = |name: &str, of: fn(&WireFlow) -> f64| {
            let _ = write!(self.text, ",\"{name}{suffix}\":");
            self.bare(wires.iter().map(of));
        };
        put("p", |wire| wire.p_w);
        put("q", |wire| wire.q_var);
        put("i", |wire| wire.i_a.norm());
        put("s", WireFlow::s_va);
    }
}

fn write_row(
    object: &mut Object<'_>,
    state: &State<'_>,
    results: &Results,
    component: Component,
    id: u32,
    at: usize,
) {
    use Component as C;
    match component {
        C::Node => node(object, state, results, id, at),
        C::ThreeWindingTransformer => {
            let Some(result) = results.three_winding_transformers.get(at) else { return };
            object.flag("energized", result.energized);
            let loading = |end: &EndResult| end.loading.unwrap_or(f64::NAN);
            for (name, end) in ["loading_1", "loading_2", "loading_3"].iter().zip(&result.ends) {
                object.number(name, loading(end));
            }
            object.number("loading", result.loading.unwrap_or(f64::NAN));
            for (suffix, end) in ["_1", "_2", "_3"].iter().zip(&result.ends) {
                object.terminal(suffix, &end.wires);
            }
        }
        C::Line | C::AsymLine | C::Link | C::GenericBranch | C::Transformer => {
            let Some(result) = branch(results, component, at) else { return };
            object.flag("energized", result.energized);
            object.number("loading", result.loading.unwrap_or(f64::NAN));
            for (suffix, end) in ["_from", "_to"].iter().zip(&result.ends) {
                object.terminal(suffix, &end.wires);
            }
        }
        C::Source | C::SymLoad | C::AsymLoad | C::SymGen | C::AsymGen | C::Shunt => {
            let Some(result) = appliance(results, component, at) else { return };
            object.flag("energized", result.energized);
            let wires = match state.estimate {
                Some(outcome) => estimated(state, outcome, component, id),
                None => result.wires.to_vec(),
            };
            object.terminal("", &wires);
            object.name("pf");
            object.bare(wires.iter().map(WireFlow::power_factor));
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

/// What an estimate says of an appliance, in power-grid-model's sign.
fn estimated(state: &State<'_>, outcome: &Outcome, component: Component, id: u32) -> Vec<WireFlow> {
    let gives = matches!(component, Component::Source | Component::SymGen | Component::AsymGen);
    let sign = if gives { -1.0 } else { 1.0 };
    let Some((bus, _)) = state.assembly.appliances.get(&id) else { return Vec::new() };
    let circuit = &state.assembly.circuit;
    let u_base = circuit.buses[*bus as usize].u_base_v * if state.assembly.symmetric { 3.0 } else { 1.0 };
    let taken = outcome.appliances.get(&id).map_or(&[][..], Vec::as_slice);
    let wires = circuit.wires(*bus).zip(taken).take(3);
    wires
        .map(|(wire, taken)| {
            let (s, v) = (taken * sign, state.voltages[wire] * u_base);
            let i_a = if v.norm() > 0.0 { (s / v).conj() } else { Complex64::ZERO };
            WireFlow { p_w: s.re, q_var: s.im, i_a }
        })
        .collect()
}

fn node(object: &mut Object<'_>, state: &State<'_>, results: &Results, id: u32, at: usize) {
    let Some(result) = results.buses.get(at) else { return };
    object.flag("energized", result.energized);
    if let Some(name) = state.network.name_of(id) {
        object.text_of("name", name);
    }
    // One entry per phase, null for a phase that the bus does not have.
    let conductors = state.assembly.buses.get(&BusId(id)).map(|bus| state.assembly.conductors(*bus));
    let three = !state.assembly.symmetric && conductors.is_some_and(|all| all != Wire::PHASES);
    let spread: Vec<WireVoltage>;
    let wires = if three {
        let none = WireVoltage {
            v_pu: Complex64::new(f64::NAN, 0.0),
            u_v: f64::NAN,
            p_w: f64::NAN,
            q_var: f64::NAN,
        };
        let of = |phase| {
            let place = conductors.unwrap_or_default().iter().position(|wire| *wire == phase);
            place.and_then(|place| result.wires.get(place).copied()).unwrap_or(none)
        };
        spread = Wire::PHASES.map(of).to_vec();
        &spread
    } else {
        &result.wires[..]
    };
    let mut put = |name: &str, of: &dyn Fn(usize) -> f64| {
        object.name(name);
        object.bare((0..wires.len()).map(of));
    };
    put("u_pu", &|wire| wires[wire].u_pu());
    put("u", &|wire| wires[wire].u_v);
    put("u_angle", &|wire| wires[wire].angle_rad());
    match state.estimate {
        Some(outcome) => {
            let taken = outcome.nodes.get(&BusId(id)).map_or(&[][..], Vec::as_slice);
            let given = |wire: usize| taken.get(wire).map_or(Complex64::ZERO, |taken| -taken);
            put("p", &|wire| given(wire).re);
            put("q", &|wire| given(wire).im);
        }
        None => {
            put("p", &|wire| wires[wire].p_w);
            put("q", &|wire| wires[wire].q_var);
        }
    }
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
