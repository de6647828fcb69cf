//! What a sensor says of single wires, per unit: the conversions between symmetric and per-phase sensors and
//! calculations. They follow power-grid-model 1.12 (`power_sensor.hpp`, `voltage_sensor.hpp`, `current_sensor.hpp`,
//! `statistics.hpp`); deviations are named where they are.
//!
//! - A symmetric sensor in an asymmetric calculation says of each phase what it says of the mean: a third of the total
//!   power with a third of its standard deviation, the same magnitude with the same (relative) deviation.
//! - A per-phase sensor in a symmetric calculation gives the mean per unit, with the mean variance (not a third of it);
//!   voltages and currents with angles give their positive sequence.

use super::SensorError;
use super::known::{Known, finite, not_negative, of_phase, variance};
use grid::PhaseValue;
use num_complex::Complex64;
use std::f64::consts::TAU;

/// Phases whose wires carry a reading.
pub(super) const PHASES: usize = 3;

/// Where the readings of a terminal go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bench<'a> {
    /// For errors.
    pub sensor: u32,
    /// One wire per bus, the positive sequence.
    pub symmetric: bool,
    /// Local wires of the terminal that are phases, in the order a, b, c; a missing phase is `None`.
    pub wires: &'a [Option<u8>; PHASES],
    /// Base power per wire, VA.
    pub s_base_va: f64,
    /// Base voltage, wire to ground, V.
    pub u_base_v: f64,
}

/// A power as said of wires.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Spread {
    /// Wire by wire (local numbers).
    Wires(Vec<(u8, Known)>),
    /// The sum over the wires.
    Sum(Known),
}

/// A voltage or current as said of one wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Phasor {
    pub wire: u8,
    pub magnitude: f64,
    pub angle: Option<f64>,
    /// Along the phasor.
    pub variance: f64,
    /// Across it; only with an angle.
    pub variance_across: f64,
}

/// The four numbers of a power sensor.
#[derive(Debug, Clone, Copy)]
pub(super) struct PowerSaid {
    pub p_w: PhaseValue,
    pub q_var: PhaseValue,
    pub p_sigma_w: PhaseValue,
    pub q_sigma_var: PhaseValue,
}

/// The numbers of a current sensor.
#[derive(Debug, Clone, Copy)]
pub(super) struct CurrentSaid {
    pub i_a: PhaseValue,
    pub angle_rad: Option<PhaseValue>,
    pub global_angle: bool,
    pub sigma_a: f64,
    pub sigma_rad: f64,
}

impl Bench<'_> {
    fn phases(&self) -> impl Iterator<Item = (usize, u8)> + '_ {
        self.wires.iter().enumerate().filter_map(|(phase, wire)| wire.map(|wire| (phase, wire)))
    }

    /// The power of a whole symmetric sensor of sigma `(p, q)`, on the base of all wires it covers. A part that says
    /// nothing has an infinite variance; `None` when both say nothing.
    fn one(&self, s: (f64, f64), sigma: (f64, f64), base: f64) -> Result<Option<Known>, SensorError> {
        let p = finite(self.sensor, "active power in W", s.0)?;
        let q = finite(self.sensor, "reactive power in var", s.1)?;
        let variance_p = variance(self.sensor, "standard deviation of the active power in W", sigma.0, base)?;
        let variance_q =
            variance(self.sensor, "standard deviation of the reactive power in var", sigma.1, base)?;
        if variance_p.is_none() && variance_q.is_none() {
            return Ok(None);
        }
        let variance = |part: Option<f64>| part.unwrap_or(f64::INFINITY);
        let (variance_p, variance_q) = (variance(variance_p), variance(variance_q));
        Ok(Some(Known { s: Complex64::new(p, q) / base, variance_p, variance_q }))
    }

    /// A power; `None` when the sensor says nothing. Where less or more than three phases are there, a total is kept as
    /// one sum if `keep_sum`, and divided evenly otherwise.
    pub fn power(&self, said: PowerSaid, keep_sum: bool) -> Result<Option<Spread>, SensorError> {
        if let (PhaseValue::Symmetric(p), PhaseValue::Symmetric(q)) = (said.p_w, said.q_var) {
            let sigma = (total_sigma(said.p_sigma_w), total_sigma(said.q_sigma_var));
            if self.symmetric {
                let known = self.one((p, q), sigma, self.s_base_va)?;
                return Ok(known.map(|known| Spread::Wires(vec![(0, known)])));
            }
            let count = self.phases().count();
            if keep_sum && count != PHASES {
                return Ok(self.one((p, q), sigma, self.s_base_va)?.map(Spread::Sum));
            }
            let known = self.one((p, q), sigma, self.s_base_va * count.max(1) as f64)?;
            return Ok(
                known.map(|known| Spread::Wires(self.phases().map(|(_, wire)| (wire, known)).collect()))
            );
        }
        let said = self.power_of_phases(said)?;
        let each: Vec<(usize, Known)> =
            said.iter().filter_map(|&(phase, known)| known.map(|known| (phase, known))).collect();
        // A mean needs all of them; single wires keep what the others say.
        if each.is_empty() || (self.symmetric && each.len() < said.len()) {
            return Ok(None);
        }
        if self.symmetric {
            let sum = each.iter().fold(Known::NOTHING, |sum, (_, known)| sum.plus(*known));
            let count = each.len() as f64;
            let mean = Known {
                s: sum.s / PHASES as f64,
                variance_p: sum.variance_p / count,
                variance_q: sum.variance_q / count,
            };
            return Ok(Some(Spread::Wires(vec![(0, mean)])));
        }
        let wires = each.into_iter().filter_map(|(phase, known)| Some((self.wires[phase]?, known))).collect();
        Ok(Some(Spread::Wires(wires)))
    }

    /// Phase by phase on the base of one phase; phases without a value are left out.
    fn power_of_phases(&self, said: PowerSaid) -> Result<Vec<(usize, Option<Known>)>, SensorError> {
        let base = if self.symmetric { self.s_base_va / PHASES as f64 } else { self.s_base_va };
        let mut each = Vec::with_capacity(PHASES);
        for phase in 0..PHASES {
            let s = (of_phase(said.p_w, phase), of_phase(said.q_var, phase));
            if s.0.is_nan() || s.1.is_nan() {
                continue;
            }
            let sigma = (of_phase(said.p_sigma_w, phase), of_phase(said.q_sigma_var, phase));
            each.push((phase, self.one(s, sigma, base)?));
        }
        if each.is_empty() {
            finite(self.sensor, "power of every phase", f64::NAN)?;
        }
        Ok(each)
    }

    /// A voltage, wire by wire; empty when the sensor says nothing.
    pub fn voltage(
        &self,
        u_v: PhaseValue,
        angle: Option<PhaseValue>,
        sigma_v: f64,
    ) -> Result<Vec<Phasor>, SensorError> {
        // Phase to phase when symmetric, phase to neutral otherwise; the deviation in the same convention.
        let base = match u_v {
            PhaseValue::Symmetric(_) => self.u_base_v * 3.0_f64.sqrt(),
            PhaseValue::PerPhase(_) => self.u_base_v,
        };
        let variance = variance(self.sensor, "standard deviation of the voltage in V", sigma_v, base)?;
        let mut each = self.magnitudes("voltage in V", u_v, angle, base)?;
        for phase in each.iter().flatten().map(|(magnitude, _)| *magnitude) {
            if phase <= 0.0 {
                let expected = "a positive voltage is needed (a dead phase is said by a switch)";
                return Err(SensorError::Value {
                    sensor: self.sensor,
                    quantity: "voltage in V",
                    value: phase * base,
                    expected,
                });
            }
        }
        let Some(variance) = variance else { return Ok(Vec::new()) };
        // An angle counts only when every phase has one.
        if matches!(u_v, PhaseValue::PerPhase(_))
            && each.iter().any(|one| one.is_none_or(|(_, a)| a.is_none()))
        {
            each.iter_mut().flatten().for_each(|one| one.1 = None);
        }
        let phasor = |wire, (magnitude, angle): (f64, Option<f64>)| Phasor {
            wire,
            magnitude,
            angle,
            variance,
            variance_across: variance,
        };
        if self.symmetric {
            let one = match u_v {
                PhaseValue::Symmetric(_) => each[0],
                PhaseValue::PerPhase(_) => mean(&each),
            };
            return Ok(one.map(|one| phasor(0, one)).into_iter().collect());
        }
        Ok(self.phases().filter_map(|(phase, wire)| Some(phasor(wire, each[phase]?))).collect())
    }

    /// Magnitude (p.u.) and angle of each phase; a symmetric value counts for all, turned by 120° each.
    fn magnitudes(
        &self,
        quantity: &'static str,
        value: PhaseValue,
        angle: Option<PhaseValue>,
        base: f64,
    ) -> Result<[Option<(f64, Option<f64>)>; PHASES], SensorError> {
        let mut each = [None; PHASES];
        for (phase, one) in each.iter_mut().enumerate() {
            let magnitude = of_phase(value, phase);
            if magnitude.is_nan() && matches!(value, PhaseValue::PerPhase(_)) {
                continue;
            }
            let magnitude = not_negative(self.sensor, quantity, magnitude)? / base;
            let angle = match angle {
                Some(PhaseValue::Symmetric(angle)) => Some(angle - turn(phase)),
                Some(PhaseValue::PerPhase(angles)) => Some(angles[phase]),
                None => None,
            };
            let angle = angle.filter(|angle| !angle.is_nan());
            if let Some(angle) = angle {
                finite(self.sensor, "angle in rad", angle)?;
            }
            *one = Some((magnitude, angle));
        }
        if each.iter().all(Option::is_none) {
            finite(self.sensor, quantity, f64::NAN)?;
        }
        Ok(each)
    }

    /// A current, wire by wire; empty when the sensor says nothing. Angles of local readings count from the voltage,
    /// leading positive (the sensor's own count is the other way round).
    ///
    /// power-grid-model turns a symmetric local angle by 120° per phase as well, which gives two phases the wrong sign of
    /// power; here every phase has the same angle to its voltage.
    pub fn current(&self, said: CurrentSaid) -> Result<Vec<Phasor>, SensorError> {
        let base = self.s_base_va / self.u_base_v / if self.symmetric { PHASES as f64 } else { 1.0 };
        let sigma = variance(self.sensor, "standard deviation of the current in A", said.sigma_a, base)?;
        let mut each = self.magnitudes("current in A", said.i_a, said.angle_rad, base)?;
        let sigma_rad = match said.angle_rad {
            Some(_) => variance(self.sensor, "standard deviation of the angle in rad", said.sigma_rad, 1.0)?,
            None => None,
        };
        let Some(sigma) = sigma else { return Ok(Vec::new()) };
        if sigma_rad.is_none() {
            each.iter_mut().flatten().for_each(|one| one.1 = None);
        }
        if !said.global_angle {
            let turned = matches!(said.angle_rad, Some(PhaseValue::Symmetric(_)));
            for (phase, one) in each.iter_mut().enumerate() {
                let back = if turned { turn(phase) } else { 0.0 };
                if let Some((_, Some(angle))) = one {
                    *angle = -(*angle + back);
                }
            }
        }
        let sigma_rad = sigma_rad.unwrap_or(0.0);
        let phasor =
            |wire, (magnitude, angle): (f64, Option<f64>)| polar(wire, magnitude, angle, (sigma, sigma_rad));
        if self.symmetric && matches!(said.i_a, PhaseValue::PerPhase(_)) {
            let parts: Vec<(usize, Phasor)> = each
                .iter()
                .enumerate()
                .filter_map(|(phase, one)| one.map(|one| (phase, phasor(0, one))))
                .collect();
            return Ok(vec![sequence(&parts, said.global_angle)]);
        }
        if self.symmetric {
            return Ok(each[0].map(|one| phasor(0, one)).into_iter().collect());
        }
        Ok(self.phases().filter_map(|(phase, wire)| Some(phasor(wire, each[phase]?))).collect())
    }
}

/// By how much phase 0, 1, 2 lags phase a in a positive sequence, rad.
pub(super) fn turn(phase: usize) -> f64 {
    phase as f64 * TAU / PHASES as f64
}

/// The deviation of a total.
fn total_sigma(sigma: PhaseValue) -> f64 {
    match sigma {
        PhaseValue::Symmetric(one) => one,
        PhaseValue::PerPhase(each) => each.iter().map(|sigma| sigma * sigma).sum::<f64>().sqrt(),
    }
}

/// Mean magnitude, or the positive sequence when every phase has an angle.
fn mean(each: &[Option<(f64, Option<f64>)>; PHASES]) -> Option<(f64, Option<f64>)> {
    let known: Vec<(usize, f64, Option<f64>)> = each
        .iter()
        .enumerate()
        .filter_map(|(phase, one)| one.map(|(magnitude, angle)| (phase, magnitude, angle)))
        .collect();
    if known.is_empty() {
        return None;
    }
    let count = known.len() as f64;
    let phasors: Option<Vec<Complex64>> = known
        .iter()
        .map(|(phase, magnitude, angle)| Some(Complex64::from_polar(*magnitude, (*angle)? + turn(*phase))))
        .collect();
    Some(match phasors {
        Some(phasors) => {
            let sum = phasors.iter().sum::<Complex64>() / count;
            (sum.norm(), Some(sum.arg()))
        }
        None => (known.iter().map(|one| one.1).sum::<f64>() / count, None),
    })
}

/// A phasor from magnitude and angle with their variances, to second order as in power-grid-model's
/// `compute_decomposed_variance_from_polar`: along σ² + I²σ_θ⁴/2, across (I² + σ²) σ_θ². A current below its own
/// deviation has no angle to speak of; its vector is then as uncertain across as along.
fn polar(wire: u8, magnitude: f64, angle: Option<f64>, (sigma2, sigma_rad2): (f64, f64)) -> Phasor {
    if angle.is_none() {
        return Phasor { wire, magnitude, angle, variance: sigma2, variance_across: sigma2 };
    }
    let square = magnitude * magnitude;
    let across = (square + sigma2) * sigma_rad2;
    Phasor {
        wire,
        magnitude,
        angle,
        variance: sigma2 + 0.5 * square * sigma_rad2 * sigma_rad2,
        variance_across: if square < sigma2 { across.max(sigma2) } else { across },
    }
}

/// The positive sequence of a per-phase current with the covariance of the mean, read along and across the result.
/// Local angles are the same in all phases of a balanced current and are not turned.
fn sequence(parts: &[(usize, Phasor)], global: bool) -> Phasor {
    let count = parts.len() as f64;
    if parts.iter().any(|(_, part)| part.angle.is_none()) {
        let magnitude = parts.iter().map(|(_, part)| part.magnitude).sum::<f64>() / count;
        let variance = parts.iter().map(|(_, part)| part.variance).sum::<f64>() / (count * count);
        return Phasor { wire: 0, magnitude, angle: None, variance, variance_across: variance };
    }
    let direction =
        |phase: usize, part: &Phasor| part.angle.unwrap_or(0.0) + if global { turn(phase) } else { 0.0 };
    let sum: Complex64 = parts
        .iter()
        .map(|(phase, part)| Complex64::from_polar(part.magnitude, direction(*phase, part)))
        .sum();
    let (magnitude, angle) = (sum.norm() / count, sum.arg());
    let (mut along, mut across) = (0.0, 0.0);
    for (phase, part) in parts {
        let (sin, cos) = (direction(*phase, part) - angle).sin_cos();
        along += part.variance * cos * cos + part.variance_across * sin * sin;
        across += part.variance * sin * sin + part.variance_across * cos * cos;
    }
    let square = count * count;
    Phasor {
        wire: 0,
        magnitude,
        angle: Some(angle),
        variance: along / square,
        variance_across: across / square,
    }
}
