//! Currents of load ports and their derivatives.

use super::stamp::{EARTH, Live};
use crate::circuit::{Circuit, LoadPort};
use num_complex::Complex64;

/// Where a port is, as unknowns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) plus: u32,
    pub(super) minus: u32,
}

impl Ends {
    /// `None` when it stands at a dead bus or between nothing.
    pub(super) fn new(circuit: &Circuit, live: &Live, port: &LoadPort) -> Option<Self> {
        let plus = live.at(circuit, port.bus, port.plus);
        let minus = live.at(circuit, port.bus, port.minus);
        (circuit.buses[port.bus as usize].energized && plus != minus).then_some(Self { plus, minus })
    }

    /// Voltage across.
    pub(super) fn across(self, voltages: &[Complex64]) -> Complex64 {
        let at = |wire: u32| if wire == EARTH { Complex64::ZERO } else { voltages[wire as usize] };
        at(self.plus) - at(self.minus)
    }

    /// Adds a current that leaves at `plus` and returns at `minus`.
    pub(super) fn add(self, current: Complex64, to: &mut [Complex64]) {
        if self.plus != EARTH {
            to[self.plus as usize] += current;
        }
        if self.minus != EARTH {
            to[self.minus as usize] -= current;
        }
    }

    /// Ends that exist, with the sign of the port's current there.
    pub(super) fn signed(self) -> impl Iterator<Item = (u32, f64)> {
        [(self.plus, 1.0), (self.minus, -1.0)].into_iter().filter(|&(wire, _)| wire != EARTH)
    }
}

/// The admittance of the constant-impedance share.
pub(super) fn impedance_share(port: &LoadPort) -> Complex64 {
    port.impedance.conj() / (port.u_nominal * port.u_nominal)
}

/// The admittance that takes, at nominal voltage, what the port takes there.
pub(super) fn as_impedance(port: &LoadPort) -> Complex64 {
    port.taken(1.0).conj() / (port.u_nominal * port.u_nominal)
}

/// The complex admittance `I / V` at the voltage `across`, and its derivative by `u`.
fn admittance(port: &LoadPort, u: f64) -> (Complex64, Complex64) {
    let scale = 1.0 / (port.u_nominal * port.u_nominal);
    let (value, slope) = port.over_square(u);
    (value.conj() * scale, slope.conj() * scale)
}

/// The current a port takes at a voltage.
pub(super) fn current(port: &LoadPort, across: Complex64) -> Complex64 {
    admittance(port, across.norm() / port.u_nominal).0 * across
}

/// The derivative of the current: `dI = direct · dV + conjugate · conj(dV)`.
pub(super) fn derivative(port: &LoadPort, across: Complex64) -> (Complex64, Complex64) {
    let size = across.norm();
    let (value, slope) = admittance(port, size / port.u_nominal);
    // d|V| = Re(conj(V) dV) / |V|
    let turn = slope * across / (2.0 * size * port.u_nominal);
    (value + turn * across.conj(), turn * across)
}

#[cfg(test)]
mod tests {
    use super::{current, derivative};
    use crate::circuit::{GROUND, LoadPort};
    use num_complex::Complex64;
    use proptest::prelude::*;

    fn port(values: [f64; 6], limits: Option<(f64, f64)>) -> LoadPort {
        let [a, b, c, d, e, f] = values;
        LoadPort {
            bus: 0,
            plus: 0,
            minus: GROUND,
            u_nominal: 1.7,
            power: Complex64::new(a, b),
            current: Complex64::new(c, d),
            impedance: Complex64::new(e, f),
            limits,
        }
    }

    proptest! {
        #[test]
        fn a_port_takes_its_power_and_its_derivative_is_that_of_the_current(
            values in prop::array::uniform6(-1.0..1.0_f64),
            size in 0.5..2.5_f64, angle in -3.0..3.0_f64, limited in any::<bool>(),
        ) {
            let port = port(values, limited.then_some((0.8, 1.1)));
            let v = Complex64::from_polar(size, angle);
            let power = v * current(&port, v).conj();
            prop_assert!((power - port.taken(size / 1.7)).norm() < 1e-12);
            // Not across a corner of the limits.
            prop_assume!(!limited || [0.5, 0.8, 1.1].iter().all(|limit| (size / 1.7 - limit).abs() > 1e-3));
            let (direct, conjugate) = derivative(&port, v);
            for step in [Complex64::new(1e-6, 0.0), Complex64::new(0.0, 1e-6)] {
                let measured = (current(&port, v + step) - current(&port, v - step)) / 2e-6;
                let stated = (direct * step + conjugate * step.conj()) / 1e-6;
                prop_assert!((measured - stated).norm() < 1e-7, "{measured} {stated}");
            }
        }
    }
}
