//! Sources, loads, generators, shunts, and what regulates. Powers are turned to load convention here.

use super::columns::{
    Component, shunt, source, sym_appliance as appliance, transformer_tap_regulator as tap_regulator,
    voltage_regulator,
};
use super::error::ReadError;
use super::row::Row;
use grid::network::{
    Compensation, Load, Shunt, Source, TapRegulator, Terminal, VoltageDependence, VoltageRegulator, Wire,
};
use grid::{BranchId, BusId};

type Result<T> = std::result::Result<T, ReadError>;

pub(super) fn source(row: &Row<'_>) -> Result<Source> {
    Ok(Source {
        id: row.id(),
        closed: row.status(source::status)?,
        bus: BusId(row.reference(source::node)?),
        u_ref_pu: row.later(source::u_ref)?,
        u_ref_angle_rad: row.or(source::u_ref_angle, 0.0)?,
        sk_va: row.or(source::sk, 1e10)?,
        rx_ratio: row.or(source::rx_ratio, 0.1)?,
        z01_ratio: row.or(source::z01_ratio, 1.0)?,
        z_ohm: None,
    })
}

/// Whether the component is a generator: its powers count as given to the grid.
pub(super) fn generates(component: Component) -> bool {
    matches!(component, Component::SymGen | Component::AsymGen)
}

/// The power of each phase in load convention from a row's power, which is a total or one per phase.
pub(super) fn per_phase(component: Component, written: [f64; 3]) -> [f64; 3] {
    let sign = if generates(component) { -1.0 } else { 1.0 };
    match component {
        Component::SymLoad | Component::SymGen => [sign * written[0] / 3.0; 3],
        _ => written.map(|value| sign * value),
    }
}

/// Stands for a type that does not exist: refused by a power flow, without meaning in an estimate.
pub(super) const UNKNOWN_TYPE: VoltageDependence =
    VoltageDependence { z_p: f64::INFINITY, ..VoltageDependence::POWER };

/// A load or generator of any kind; the rated voltage of its branches is filled in when all buses are known.
pub(super) fn load(row: &Row<'_>) -> Result<Load> {
    let dependence = match row.needed_code(appliance::r#type, 0..=127)? {
        0 => VoltageDependence::POWER,
        1 => VoltageDependence::IMPEDANCE,
        2 => VoltageDependence::CURRENT,
        _ => UNKNOWN_TYPE,
    };
    let power = |column: usize| -> Result<Vec<f64>> {
        let written = row.phases(column);
        if let Some(value) = written.iter().find(|value| value.is_infinite()) {
            return Err(row.wrong(column, format!("is {value}, a finite number is needed")));
        }
        Ok(per_phase(row.component, written).to_vec())
    };
    Ok(Load {
        id: row.id(),
        generates: generates(row.component),
        terminal: Terminal { bus: BusId(row.reference(appliance::node)?), wires: Wire::PHASES.to_vec() },
        delta: false,
        u_branch_v: f64::NAN,
        p_w: power(appliance::p_specified)?,
        q_var: power(appliance::q_specified)?,
        symmetric: matches!(row.component, Component::SymLoad | Component::SymGen),
        dependence,
        closed: row.status(appliance::status)?,
    })
}

pub(super) fn shunt(row: &Row<'_>) -> Result<Shunt> {
    Ok(Shunt {
        id: row.id(),
        bus: BusId(row.reference(shunt::node)?),
        closed: row.status(shunt::status)?,
        y1_s: (row.number(shunt::g1)?, row.number(shunt::b1)?),
        // Needed for asymmetric calculations only.
        y0_s: (row.or(shunt::g0, 0.0)?, row.or(shunt::b0, 0.0)?),
    })
}

/// A tap regulator; the tapped winding is filled in when the transformer is known.
pub(super) fn tap_regulator(row: &Row<'_>) -> Result<TapRegulator> {
    let (r_ohm, x_ohm) = (
        row.or(tap_regulator::line_drop_compensation_r, 0.0)?,
        row.or(tap_regulator::line_drop_compensation_x, 0.0)?,
    );
    let none = r_ohm == 0.0 && x_ohm == 0.0;
    Ok(TapRegulator {
        id: row.id(),
        transformer: BranchId(row.reference(tap_regulator::regulated_object)?),
        controlled: row.needed_code(tap_regulator::control_side, 0..=2)? as usize,
        tapped: 0,
        phase: None,
        u_set_v: row.later(tap_regulator::u_set)?,
        band_v: row.later(tap_regulator::u_band)?,
        compensation: if none { Compensation::None } else { Compensation::Ohm { r_ohm, x_ohm } },
        active: row.status(tap_regulator::status)?,
        ..TapRegulator::default()
    })
}

pub(super) fn voltage_regulator(row: &Row<'_>) -> Result<VoltageRegulator> {
    Ok(VoltageRegulator {
        id: row.id(),
        appliance: row.reference(voltage_regulator::regulated_object)?,
        u_ref_pu: row.later(voltage_regulator::u_ref)?,
        q_range_var: (
            row.optional(voltage_regulator::q_min).unwrap_or(f64::NEG_INFINITY),
            row.optional(voltage_regulator::q_max).unwrap_or(f64::INFINITY),
        ),
        active: row.status(voltage_regulator::status)?,
    })
}
