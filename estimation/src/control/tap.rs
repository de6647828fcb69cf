//! A tap that holds the voltage of a winding, or of a point behind a line that it knows by a dial setting
//! (OpenDSS `RegControl`).

use super::{Control, Controlled, View};
use crate::assembly::{Assembly, AssemblyError};
use grid::network::{Compensation, TapRegulator, WindingTransformer};
use num_complex::Complex64;

/// Of the change that is needed, so much is made at once (the engine's figure).
const SHARE: f64 = 0.7;

pub(super) struct Tap {
    regulator: TapRegulator,
    /// Conductor positions, in the controlled winding's terminal, between which the voltage is measured.
    between: (usize, usize),
    /// Rated voltage across one phase of the controlled winding, V.
    across_v: f64,
    /// Change of the tap that would bring the voltage back, p.u.
    pending_pu: f64,
}

impl Tap {
    /// `None` when the transformer has no such windings.
    pub(super) fn new(regulator: &TapRegulator, unit: &WindingTransformer) -> Option<Self> {
        let winding = unit.windings.get(regulator.controlled)?;
        unit.windings.get(regulator.tapped)?;
        let phases = usize::from(unit.phases);
        let phase = usize::from(regulator.phase.unwrap_or(1)).clamp(1, phases) - 1;
        let conductors = winding.terminal.wires.len();
        let back = if phases == 1 || !winding.delta {
            conductors - 1
        } else if crate::assembly::delta_forward(unit) {
            (phase + 1) % conductors
        } else {
            (phase + conductors - 1) % conductors
        };
        let star_of_three = phases > 1 && !winding.delta;
        let across_v = winding.u_rated_v / if star_of_three { 3.0_f64.sqrt() } else { 1.0 };
        Some(Self { regulator: regulator.clone(), between: (phase, back), across_v, pending_pu: 0.0 })
    }

    /// The voltage to be held, V: at the winding, less the drop over the line behind it.
    fn controlled_v(&self, view: &View) -> f64 {
        let seen = view.at(self.regulator.transformer, self.regulator.controlled);
        let volts = |at: usize| seen.volts.get(at).copied().unwrap_or(Complex64::ZERO);
        let across = volts(self.between.0) - volts(self.between.1);
        // Into the winding, so a current that leaves it counts as a drop.
        let current = seen.amperes.get(self.between.0).copied().unwrap_or(Complex64::ZERO);
        let drop = match self.regulator.compensation {
            Compensation::None => Complex64::ZERO,
            Compensation::Ohm { r_ohm, x_ohm } => Complex64::new(r_ohm, x_ohm) * current,
            Compensation::Dial { r_v, x_v, ct_a, pt_ratio } => {
                Complex64::new(r_v, x_v) * current / ct_a * pt_ratio
            }
        };
        (across + drop).norm()
    }
}

/// Tap range and step of a winding, p.u.
fn range(unit: &WindingTransformer, winding: usize) -> (f64, f64, f64) {
    let tapped = &unit.windings[winding];
    let (low, high) = tapped.tap_range_pu;
    let step = if tapped.tap_steps > 0 { (high - low) / f64::from(tapped.tap_steps) } else { 0.0 };
    (low, high, step)
}

impl Control for Tap {
    fn id(&self) -> u32 {
        self.regulator.id
    }

    fn look(&mut self, view: &View) -> Option<f64> {
        let regulator = &self.regulator;
        let unit = view.controlled.transformers.get(&regulator.transformer)?;
        let (low, high, step) = range(unit, regulator.tapped);
        let missing_v = regulator.u_set_v - self.controlled_v(view);
        self.pending_pu = 0.0;
        if regulator.steps_max == 0 || step <= 0.0 || missing_v.abs() <= regulator.band_v / 2.0 {
            return None;
        }
        self.pending_pu = (missing_v / self.across_v / step).round_ties_even() * step;
        if regulator.tapped != regulator.controlled {
            self.pending_pu = -self.pending_pu;
        }
        let now = unit.windings[regulator.tapped].tap_pu;
        let possible = (self.pending_pu > 0.0 && now < high) || (self.pending_pu < 0.0 && now > low);
        possible.then_some(regulator.delay_s)
    }

    fn act(&mut self, network: &mut Controlled, assembly: &mut Assembly) -> Result<(), AssemblyError> {
        let regulator = &self.regulator;
        let Some(unit) = network.transformers.get_mut(&regulator.transformer) else { return Ok(()) };
        let (low, high, step) = range(unit, regulator.tapped);
        let steps = (SHARE * self.pending_pu.abs() / step).trunc().clamp(1.0, f64::from(regulator.steps_max));
        let tap_pu = &mut unit.windings[regulator.tapped].tap_pu;
        *tap_pu = (*tap_pu + (steps * step).copysign(self.pending_pu)).clamp(low, high);
        self.pending_pu = 0.0;
        assembly.replace_winding_transformer(unit)
    }
}
