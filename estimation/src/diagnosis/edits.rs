//! Common edits of a circuit for [`super::hypotheses::Hypothesis`]. They keep every index, so that readings stay valid.

use crate::circuit::{Circuit, Coupling, Series};
use num_complex::Complex64;

/// An impedance that lets next to nothing through, p.u.: milliwatts per kilovolt-ampere of base. (Larger ones end where
/// factors lose digits.)
const OPEN_PU: f64 = 1e6;

/// The circuit with a series element open at both ends. Only where another way feeds what lies behind it.
pub fn opened(circuit: &Circuit, element: u32) -> Circuit {
    let mut edited = circuit.clone();
    let series = &mut edited.series[element as usize];
    series.z = Coupling::Even { own: Complex64::new(OPEN_PU, 0.0), mutual: Complex64::ZERO };
    series.y_from = Coupling::Zero;
    series.y_to = Coupling::Zero;
    edited
}

/// The circuit with one more series element: a switch that is closed after all, a line nobody drew.
pub fn with_series(circuit: &Circuit, series: Series) -> Circuit {
    let mut edited = circuit.clone();
    edited.series.push(series);
    edited
}

/// The circuit with the ratio of a series element multiplied: another tap position.
pub fn with_ratio(circuit: &Circuit, element: u32, factor: f64) -> Circuit {
    let mut edited = circuit.clone();
    let wires = usize::from(circuit.buses[circuit.series[element as usize].to as usize].wires);
    let series = &mut edited.series[element as usize];
    let ratio = series.ratio.take().unwrap_or_else(|| Box::new(nalgebra::DMatrix::identity(wires, wires)));
    series.ratio = Some(Box::new(*ratio * Complex64::new(factor, 0.0)));
    edited
}

/// Readings with two wires of a bus exchanged in its injections: a load on another phase than its label says.
pub fn with_phases_exchanged(
    readings: &crate::circuit::Readings,
    bus: u32,
    one: u8,
    other: u8,
) -> crate::circuit::Readings {
    let mut edited = readings.clone();
    for reading in edited.injections.iter_mut().filter(|reading| reading.bus == bus) {
        reading.wire = match reading.wire {
            wire if wire == one => other,
            wire if wire == other => one,
            wire => wire,
        };
    }
    edited
}

/// Readings with two wires exchanged in what one sensor measures (voltages, flows, currents): a meter on another phase than
/// its label says.
pub fn with_sensor_phases_exchanged(
    readings: &crate::circuit::Readings,
    sensor: u32,
    one: u8,
    other: u8,
) -> crate::circuit::Readings {
    let exchanged = |wire: u8| match wire {
        wire if wire == one => other,
        wire if wire == other => one,
        wire => wire,
    };
    let mut edited = readings.clone();
    for reading in edited.voltages.iter_mut().filter(|reading| reading.sensor == sensor) {
        reading.wire = exchanged(reading.wire);
    }
    for reading in edited.powers.iter_mut().filter(|reading| reading.sensor == sensor) {
        reading.wire = reading.wire.map(exchanged);
    }
    for reading in edited.currents.iter_mut().filter(|reading| reading.sensor == sensor) {
        reading.wire = exchanged(reading.wire);
    }
    edited
}
