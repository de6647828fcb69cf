//! A capacitor that is switched by what its control sees at a branch (OpenDSS `CapControl`).

use super::{Control, Controlled, View};
use crate::assembly::{Assembly, AssemblyError};
use grid::network::{Capacitor, CapacitorControl, CapacitorWatches, TransformerSide};
use num_complex::Complex64;

pub(super) struct Bank {
    control: CapacitorControl,
    /// Between phases.
    delta: bool,
    /// What it wants: in or out.
    wanted: Option<bool>,
    /// Whether it switched out before; no time passes in a static solution, so its dead time lasts.
    was_opened: bool,
}

impl Bank {
    pub(super) fn new(control: &CapacitorControl, bank: &Capacitor) -> Self {
        Self { control: control.clone(), delta: bank.delta, wanted: None, was_opened: false }
    }

    /// Voltage on the control circuit, V.
    fn voltage(&self, volts: &[Complex64]) -> f64 {
        let phase = usize::from(self.control.phase.unwrap_or(1)).max(1) - 1;
        let at = |phase: usize| volts.get(phase).copied().unwrap_or(Complex64::ZERO);
        let back =
            if self.delta && !volts.is_empty() { at((phase + 1) % volts.len()) } else { Complex64::ZERO };
        (at(phase) - back).norm() / self.control.pt_ratio
    }

    /// What the voltage alone demands, before anything else.
    fn overridden(&self, closed: bool, volts: &[Complex64]) -> Option<bool> {
        let (low, high) = self.control.voltage_override?;
        if self.control.watches == CapacitorWatches::Voltage {
            return None;
        }
        let voltage = self.voltage(volts);
        match closed {
            false if voltage < low => Some(true),
            true if voltage > high => Some(false),
            _ => None,
        }
    }
}

impl Control for Bank {
    fn id(&self) -> u32 {
        self.control.id
    }

    fn look(&mut self, view: &View) -> Option<f64> {
        let control = &self.control;
        let closed = view.controlled.capacitors.get(&control.capacitor)?.closed;
        let terminal = match control.side {
            TransformerSide::From => 0,
            TransformerSide::To => 1,
            TransformerSide::Third => 2,
        };
        let seen = view.at(control.branch, terminal);
        let (on, off) = (control.on_setting, control.off_setting);
        let above =
            |value: f64| if closed { (value < off).then_some(false) } else { (value > on).then_some(true) };
        let by_setting = || match control.watches {
            CapacitorWatches::ReactivePower => {
                let power = seen.volts.iter().zip(&seen.amperes).map(|(v, i)| v * i.conj());
                above(power.sum::<Complex64>().im / 1000.0)
            }
            CapacitorWatches::Current => {
                let phase = usize::from(control.phase.unwrap_or(1)).max(1) - 1;
                above(seen.amperes.get(phase).map_or(0.0, |i| i.norm()) / control.ct_ratio)
            }
            CapacitorWatches::Voltage => {
                let voltage = self.voltage(&seen.volts);
                if closed { (voltage > off).then_some(false) } else { (voltage < on).then_some(true) }
            }
            CapacitorWatches::Nothing => None,
        };
        self.wanted = self.overridden(closed, &seen.volts).or_else(by_setting);
        let (on_s, off_s) = control.delay_s;
        let dead_s = if self.was_opened { control.dead_time_s } else { 0.0 };
        self.wanted.map(|close| if close { on_s + dead_s } else { off_s })
    }

    fn act(&mut self, network: &mut Controlled, assembly: &mut Assembly) -> Result<(), AssemblyError> {
        let bank = network.capacitors.get_mut(&self.control.capacitor);
        let (Some(bank), Some(close)) = (bank, self.wanted.take()) else { return Ok(()) };
        self.was_opened |= !close;
        bank.closed = close;
        assembly.replace_capacitor(bank)
    }
}
