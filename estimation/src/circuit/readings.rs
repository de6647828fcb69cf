//! Measurements on a circuit: per unit, per wire, with variances. Sensors of appliances are already gathered to what
//! their bus takes; `sensor` numbers tell which sensor of the caller a row came from.

use num_complex::Complex64;

/// A voltage, wire to ground.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoltageReading {
    /// The caller's sensor.
    pub sensor: u32,
    /// Where.
    pub bus: u32,
    /// Local wire.
    pub wire: u8,
    /// Magnitude, p.u.
    pub magnitude: f64,
    /// Angle, rad, of a phasor measurement.
    pub angle: Option<f64>,
    /// Variance of the magnitude: along the phasor, p.u.²
    pub variance: f64,
    /// Variance across the phasor where there is an angle, p.u.²: that of the angle at 1 p.u.
    pub variance_across: f64,
}

/// What is taken at one wire of a bus, all appliances together (without the circuit's shunts): `S = p + jq`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InjectionReading {
    /// The caller's sensor (one of them, when several were gathered).
    pub sensor: u32,
    /// Where.
    pub bus: u32,
    /// Local wire.
    pub wire: u8,
    /// Power taken, p.u.
    pub s: Complex64,
    /// Variance of the active power; zero is exact.
    pub variance_p: f64,
    /// Variance of the reactive power; zero is exact.
    pub variance_q: f64,
}

/// Where a flow is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlowPlace {
    /// Into a series element at its `from` side (shunt included).
    SeriesFrom(u32),
    /// Into a series element at its `to` side.
    SeriesTo(u32),
    /// Into a general element at a terminal.
    General {
        /// Which element.
        element: u32,
        /// Which terminal.
        terminal: u8,
    },
    /// Into a shunt (index into `Circuit::shunts`).
    Shunt(u32),
    /// Taken at a bus by everything but the branches (appliances, shunts of appliances): a reading beside the
    /// [`InjectionReading`] of that bus.
    Bus(u32),
}

/// A power reading; a missing variance means that the part is not measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerReading {
    /// The caller's sensor.
    pub sensor: u32,
    /// Where.
    pub place: FlowPlace,
    /// Local wire; `None` is the sum over the wires.
    pub wire: Option<u8>,
    /// Power entering the element, p.u.
    pub s: Complex64,
    /// Variance of the active power.
    pub variance_p: Option<f64>,
    /// Variance of the reactive power.
    pub variance_q: Option<f64>,
}

/// A current reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurrentReading {
    /// The caller's sensor.
    pub sensor: u32,
    /// Where.
    pub place: FlowPlace,
    /// Local wire.
    pub wire: u8,
    /// Magnitude of the current entering the element, p.u.
    pub magnitude: f64,
    /// Angle, rad; `None`: only the magnitude was measured.
    pub angle: Option<f64>,
    /// Whether the angle counts from the voltage of the same wire (otherwise from the common reference).
    pub angle_from_voltage: bool,
    /// Variance along the phasor, p.u.²; of the magnitude when there is no angle.
    pub variance: f64,
    /// Variance across the phasor, p.u.²: what the error of the angle amounts to. Positive also where the magnitude is
    /// zero. Without meaning when there is no angle.
    pub variance_across: f64,
}

/// Everything measured. A wire without an [`InjectionReading`] takes exactly nothing, unless it is free.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Readings {
    /// Voltages.
    pub voltages: Vec<VoltageReading>,
    /// What buses take; at most one per wire.
    pub injections: Vec<InjectionReading>,
    /// Wires (global numbers, sorted) where anything may be taken: sources, loads nobody measures.
    pub free: Vec<u32>,
    /// Powers.
    pub powers: Vec<PowerReading>,
    /// Currents.
    pub currents: Vec<CurrentReading>,
    /// Voltage angle of the first wire of the first source's bus, rad, when no phasor gives one.
    pub reference_angle: f64,
    /// First injection (index into `injections`) that is only a pseudo-measurement; they stand last.
    pub first_pseudo: Option<u32>,
}

impl Readings {
    /// Whether the other readings are the same but for what they say: places, deviations and order agree to the bit, so
    /// that factors made for one serve the other.
    pub fn differs_in_values_only(&self, other: &Self) -> bool {
        self.without_values() == other.without_values()
    }

    /// The same, saying nothing.
    fn without_values(&self) -> Self {
        let mut silent = self.clone();
        for voltage in &mut silent.voltages {
            (voltage.magnitude, voltage.angle) = (0.0, voltage.angle.map(|_| 0.0));
        }
        silent.injections.iter_mut().for_each(|injection| injection.s = Complex64::ZERO);
        silent.powers.iter_mut().for_each(|power| power.s = Complex64::ZERO);
        for current in &mut silent.currents {
            (current.magnitude, current.angle) = (0.0, current.angle.map(|_| 0.0));
        }
        silent
    }

    /// Which rows there are and which of them are exact, without what they say. Readings of one pattern determine the same.
    pub fn pattern(&self) -> Self {
        let exact = |variance: &mut f64| *variance = if *variance > 0.0 { 1.0 } else { *variance };
        let mut pattern = self.without_values();
        pattern.reference_angle = 0.0;
        for voltage in &mut pattern.voltages {
            exact(&mut voltage.variance);
            exact(&mut voltage.variance_across);
        }
        for injection in &mut pattern.injections {
            exact(&mut injection.variance_p);
            exact(&mut injection.variance_q);
        }
        for power in &mut pattern.powers {
            power.variance_p.iter_mut().chain(&mut power.variance_q).for_each(exact);
        }
        for current in &mut pattern.currents {
            exact(&mut current.variance);
            exact(&mut current.variance_across);
        }
        pattern
    }
}
