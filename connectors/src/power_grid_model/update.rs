//! Files of type `update`: what changes per scenario, kept in dense columns, and its application to an input.

use super::appliances::per_phase;
use super::columns::{
    Component, link, shunt, source, sym_appliance, sym_current_sensor as current, sym_power_sensor as power,
    sym_voltage_sensor as voltage, three_winding_transformer as three, transformer,
    transformer_tap_regulator as tap_regulator, voltage_regulator,
};
use super::error::ReadError;
use super::frame::Document;
use super::input::Input;
use super::row::Row;
use super::sensors::{self, angle, phase_value};
use super::stream::Sink;
use grid::network::{Compensation, Tap};
use grid::{PhaseValue, SensorValue};

type Result<T> = std::result::Result<T, ReadError>;

/// Scenarios, each a list of changes to the same input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// In the order of the file.
    pub scenarios: Vec<Vec<Change>>,
}

/// New values for some components of one kind. NaN leaves a value as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Which components.
    pub component: Component,
    /// Their ids; empty when the rows are all components in the order of the input.
    pub ids: Vec<u32>,
    rows: usize,
    /// Column numbers, and the width of each (1 or 3).
    columns: Vec<(u8, u8)>,
    /// Row by row.
    values: Vec<f64>,
}

impl Change {
    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    fn width(&self) -> usize {
        self.columns.iter().map(|column| usize::from(column.1)).sum()
    }

    /// Makes room for columns that earlier rows did not have.
    fn widen(&mut self, given: u64) {
        let columns = self.component.columns();
        let wanted: Vec<(u8, u8)> = (0..columns.len())
            .filter(|&at| columns[at].changes)
            .filter(|&at| {
                given & (1 << at) != 0 || self.columns.iter().any(|known| usize::from(known.0) == at)
            })
            .map(|at| (at as u8, if columns[at].kind == super::columns::Kind::Phases { 3 } else { 1 }))
            .collect();
        if wanted == self.columns {
            return;
        }
        let old = std::mem::replace(&mut self.columns, wanted);
        let old_width: usize = old.iter().map(|column| usize::from(column.1)).sum();
        let (values, width) = (std::mem::take(&mut self.values), self.width());
        self.values = vec![f64::NAN; width * self.rows];
        for row in 0..self.rows {
            let mut from = row * old_width;
            for &(column, wide) in &old {
                let into = row * width + self.offset(column);
                let wide = usize::from(wide);
                self.values[into..into + wide].copy_from_slice(&values[from..from + wide]);
                from += wide;
            }
        }
    }

    fn offset(&self, column: u8) -> usize {
        self.columns.iter().take_while(|known| known.0 != column).map(|known| usize::from(known.1)).sum()
    }

    fn push(&mut self, row: &Row<'_>) -> Result<()> {
        let known = self.columns.iter().fold(0_u64, |mask, column| mask | 1 << column.0);
        if row.given & !known != 0 {
            self.widen(row.given);
        }
        match row.optional_id() {
            Some(id) if self.ids.len() == self.rows => self.ids.push(id),
            None if self.ids.is_empty() => {}
            _ => {
                let reason = "some rows have an id and some have none".into();
                return Err(ReadError::Row { component: row.component.name(), row: row.number, reason });
            }
        }
        for &(column, wide) in &self.columns {
            self.values.extend_from_slice(&row.values[usize::from(column)][..usize::from(wide)]);
        }
        self.rows += 1;
        Ok(())
    }

    /// Which rows of the input's list are meant, checked.
    fn targets<'a>(&'a self, input: &'a Input) -> Result<Box<dyn Iterator<Item = usize> + 'a>> {
        let component = self.component;
        if self.ids.is_empty() {
            let count = input.listed(component).map_or(0, |list| list.ids.len());
            if count != self.rows {
                return Err(ReadError::RowCount { component: component.name(), rows: self.rows, count });
            }
            return Ok(Box::new(0..self.rows));
        }
        let row_of = move |id: u32| input.find(id).filter(|found| found.0 == component).map(|found| found.1);
        if let Some(&id) = self.ids.iter().find(|&&id| row_of(id).is_none()) {
            return Err(ReadError::IdNotFound { component: component.name(), id });
        }
        Ok(Box::new(self.ids.iter().filter_map(move |&id| row_of(id))))
    }

    /// Whether nothing changes but the powers of loads and generators.
    pub fn powers_only(&self) -> bool {
        use Component as C;
        matches!(self.component, C::SymLoad | C::AsymLoad | C::SymGen | C::AsymGen)
            && self.columns.iter().all(|column| usize::from(column.0) != sym_appliance::status)
    }

    /// Whether nothing changes but what sensors measured.
    pub fn measurements_only(&self) -> bool {
        use Component as C;
        let columns: &[usize] = match self.component {
            C::SymVoltageSensor | C::AsymVoltageSensor => &[voltage::u_measured, voltage::u_angle_measured],
            C::SymPowerSensor | C::AsymPowerSensor => &[power::p_measured, power::q_measured],
            _ => return false,
        };
        self.columns.iter().all(|column| columns.contains(&usize::from(column.0)))
    }
}

impl Sink for Batch {
    fn row(&mut self, row: &Row<'_>) -> Result<()> {
        match self.scenarios.last_mut().and_then(|changes| changes.last_mut()) {
            Some(change) => change.push(row),
            None => Ok(()),
        }
    }
}

impl Document for Batch {
    const KIND: &'static str = "update";
    const ID_OPTIONAL: bool = true;
    const BATCH: bool = true;

    fn scenario(&mut self) -> Result<()> {
        self.scenarios.push(Vec::new());
        Ok(())
    }

    fn list(&mut self, component: Component) -> Result<()> {
        if let Some(changes) = self.scenarios.last_mut() {
            changes.push(Change {
                component,
                ids: Vec::new(),
                rows: 0,
                columns: Vec::new(),
                values: Vec::new(),
            });
        }
        Ok(())
    }
}

/// The values of one changed row, by column number.
struct Values<'a> {
    change: &'a Change,
    row: &'a [f64],
}

impl Values<'_> {
    fn all(&self, column: usize) -> [f64; 3] {
        let mut at = 0;
        for &(known, wide) in &self.change.columns {
            if usize::from(known) == column {
                let mut values = [f64::NAN; 3];
                values[..usize::from(wide)].copy_from_slice(&self.row[at..at + usize::from(wide)]);
                return values;
            }
            at += usize::from(wide);
        }
        [f64::NAN; 3]
    }

    fn one(&self, column: usize) -> Option<f64> {
        let value = self.all(column)[0];
        (!value.is_nan()).then_some(value)
    }

    fn number(&self, column: usize, into: &mut f64) {
        if let Some(value) = self.one(column) {
            *into = value;
        }
    }

    fn status(&self, column: usize, into: &mut bool) {
        if let Some(value) = self.one(column) {
            *into = value != 0.0;
        }
    }

    fn tap(&self, column: usize, into: &mut Option<Tap>) {
        if let (Some(value), Some(tap)) = (self.one(column), into.as_mut()) {
            let (low, high) = (tap.min.min(tap.max), tap.min.max(tap.max));
            tap.position = value.clamp(f64::from(low), f64::from(high)) as i8;
        }
    }

    /// New values per phase where they are given, with a sign.
    fn phases(&self, column: usize, sign: f64, into: &mut PhaseValue) {
        let values = self.all(column);
        match into {
            PhaseValue::Symmetric(value) if !values[0].is_nan() => *value = sign * values[0],
            PhaseValue::Symmetric(_) => {}
            PhaseValue::PerPhase(phases) => {
                for (phase, value) in phases.iter_mut().zip(values).filter(|(_, value)| !value.is_nan()) {
                    *phase = sign * value;
                }
            }
        }
    }

    fn angle(&self, column: usize, symmetric: bool, into: &mut Option<PhaseValue>) {
        match into {
            Some(known) => self.phases(column, 1.0, known),
            None => *into = angle(symmetric, self.all(column)),
        }
    }
}

impl Input {
    /// Applies the changes of one scenario.
    ///
    /// # Errors
    /// A component that is not there, or rows without ids that do not match the components.
    pub fn apply(&mut self, changes: &[Change]) -> Result<()> {
        for change in changes {
            let rows: Vec<usize> = change.targets(self)?.collect();
            let Some(first) = self.listed(change.component).map(|list| list.first) else { continue };
            let width = change.width();
            for (number, row) in rows.into_iter().enumerate() {
                let values = Values { change, row: &change.values[number * width..(number + 1) * width] };
                self.apply_row(change.component, first + row, &values);
            }
        }
        Ok(())
    }

    /// Takes the rows that these changes touch back from the input they were applied to.
    pub fn take_back(&mut self, changes: &[Change], base: &Input) {
        use Component as C;
        for change in changes {
            let (Ok(rows), Some(list)) = (change.targets(base), base.listed(change.component)) else {
                continue;
            };
            for row in rows.map(|row| list.first + row) {
                let (into, from) = (&mut self.parts, &base.parts);
                match change.component {
                    C::Node => {}
                    C::Line => into.lines[row].clone_from(&from.lines[row]),
                    C::AsymLine => into.coupled_lines[row].clone_from(&from.coupled_lines[row]),
                    C::Link => into.links[row].clone_from(&from.links[row]),
                    C::GenericBranch => into.generic_branches[row].clone_from(&from.generic_branches[row]),
                    C::Transformer => into.transformers[row].clone_from(&from.transformers[row]),
                    C::ThreeWindingTransformer => {
                        into.three_winding_transformers[row].clone_from(&from.three_winding_transformers[row])
                    }
                    C::Source => into.sources[row].clone_from(&from.sources[row]),
                    C::SymLoad | C::AsymLoad | C::SymGen | C::AsymGen => {
                        into.loads[row].clone_from(&from.loads[row]);
                    }
                    C::Shunt => into.shunts[row].clone_from(&from.shunts[row]),
                    C::TransformerTapRegulator => {
                        into.tap_regulators[row].clone_from(&from.tap_regulators[row]);
                    }
                    C::VoltageRegulator => {
                        into.voltage_regulators[row].clone_from(&from.voltage_regulators[row]);
                    }
                    _ => {
                        self.sensors[row] = base.sensors[row];
                        self.sigmas[row] = base.sigmas[row];
                    }
                }
            }
        }
    }

    fn apply_row(&mut self, component: Component, at: usize, values: &Values<'_>) {
        use Component as C;
        let parts = &mut self.parts;
        macro_rules! ends {
            ($branch:expr) => {{
                let branch = $branch;
                values.status(link::from_status, &mut branch.from_closed);
                values.status(link::to_status, &mut branch.to_closed);
            }};
        }
        match component {
            C::Node => {}
            C::Line => ends!(&mut parts.lines[at]),
            C::AsymLine => ends!(&mut parts.coupled_lines[at]),
            C::Link => ends!(&mut parts.links[at]),
            C::GenericBranch => ends!(&mut parts.generic_branches[at]),
            C::Transformer => {
                ends!(&mut parts.transformers[at]);
                values.tap(transformer::tap_pos, &mut parts.transformers[at].tap);
            }
            C::ThreeWindingTransformer => {
                let unit = &mut parts.three_winding_transformers[at];
                for (winding, closed) in unit.closed.iter_mut().enumerate() {
                    values.status(three::status_1 + winding, closed);
                }
                values.tap(three::tap_pos, &mut unit.tap);
            }
            C::Source => {
                let source_of = &mut parts.sources[at];
                values.status(source::status, &mut source_of.closed);
                values.number(source::u_ref, &mut source_of.u_ref_pu);
                values.number(source::u_ref_angle, &mut source_of.u_ref_angle_rad);
            }
            C::SymLoad | C::AsymLoad | C::SymGen | C::AsymGen => {
                let load = &mut parts.loads[at];
                values.status(sym_appliance::status, &mut load.closed);
                for (column, into) in [
                    (sym_appliance::p_specified, &mut load.p_w),
                    (sym_appliance::q_specified, &mut load.q_var),
                ] {
                    let new = per_phase(component, values.all(column));
                    into.iter_mut()
                        .zip(new)
                        .filter(|(_, new)| !new.is_nan())
                        .for_each(|(old, new)| *old = new);
                }
            }
            C::Shunt => {
                let one = &mut parts.shunts[at];
                values.status(shunt::status, &mut one.closed);
                values.number(shunt::g1, &mut one.y1_s.0);
                values.number(shunt::b1, &mut one.y1_s.1);
                values.number(shunt::g0, &mut one.y0_s.0);
                values.number(shunt::b0, &mut one.y0_s.1);
            }
            C::TransformerTapRegulator => {
                let regulator = &mut parts.tap_regulators[at];
                values.status(tap_regulator::status, &mut regulator.active);
                values.number(tap_regulator::u_set, &mut regulator.u_set_v);
                values.number(tap_regulator::u_band, &mut regulator.band_v);
                let (mut r, mut x) = match regulator.compensation {
                    Compensation::Ohm { r_ohm, x_ohm } => (r_ohm, x_ohm),
                    _ => (0.0, 0.0),
                };
                values.number(tap_regulator::line_drop_compensation_r, &mut r);
                values.number(tap_regulator::line_drop_compensation_x, &mut x);
                regulator.compensation = match (r, x) {
                    (0.0, 0.0) => Compensation::None,
                    (r_ohm, x_ohm) => Compensation::Ohm { r_ohm, x_ohm },
                };
            }
            C::VoltageRegulator => {
                let regulator = &mut parts.voltage_regulators[at];
                values.status(voltage_regulator::status, &mut regulator.active);
                values.number(voltage_regulator::u_ref, &mut regulator.u_ref_pu);
                values.number(voltage_regulator::q_min, &mut regulator.q_range_var.0);
                values.number(voltage_regulator::q_max, &mut regulator.q_range_var.1);
            }
            sensor => {
                debug_assert!(sensor.is_sensor());
                self.apply_sensor(sensor, at, values);
            }
        }
    }

    fn apply_sensor(&mut self, component: Component, at: usize, values: &Values<'_>) {
        let symmetric = sensors::symmetric(component);
        match &mut self.sensors[at].value {
            SensorValue::Voltage { u_v, angle_rad, sigma_v } => {
                values.phases(voltage::u_measured, 1.0, u_v);
                values.angle(voltage::u_angle_measured, symmetric, angle_rad);
                values.number(voltage::u_sigma, sigma_v);
            }
            SensorValue::Power { p_w, q_var, p_sigma_w, q_sigma_var, .. } => {
                let sign = self.signs[at];
                values.phases(power::p_measured, sign, p_w);
                values.phases(power::q_measured, sign, q_var);
                let sigmas = &mut self.sigmas[at];
                values.number(power::power_sigma, &mut sigmas.apparent);
                for (column, into) in [(power::p_sigma, &mut sigmas.p), (power::q_sigma, &mut sigmas.q)] {
                    let mut known = phase_value(false, *into);
                    values.phases(column, 1.0, &mut known);
                    if let PhaseValue::PerPhase(new) = known {
                        *into = new;
                    }
                }
                (*p_sigma_w, *q_sigma_var) = sigmas.parts(symmetric);
            }
            SensorValue::Current { i_a, angle_rad, sigma_a, sigma_rad, .. } => {
                values.phases(current::i_measured, 1.0, i_a);
                values.angle(current::i_angle_measured, symmetric, angle_rad);
                values.number(current::i_sigma, sigma_a);
                values.number(current::i_angle_sigma, sigma_rad);
            }
        }
    }
}
