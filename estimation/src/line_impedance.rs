//! Lines and sources from their sequence values.

use crate::two_port::{FullTwoPort, PhaseMatrix, Sequence, TwoPort};
use grid::network::{Line, Source};
use num_complex::Complex64;

/// Angular frequency of the 50 Hz grid, rad/s.
const OMEGA_RAD_PER_S: f64 = 2.0 * std::f64::consts::PI * 50.0;

/// The π-model of a line: half of its capacitance at each end. The same from either side.
pub(crate) fn line_two_port(line: &Line) -> TwoPort {
    let z = Sequence::balanced(
        Complex64::new(line.r1_ohm, line.x1_ohm),
        Complex64::new(line.r0_ohm, line.x0_ohm),
    );
    if line.c1_f == 0.0 && line.c0_f == 0.0 {
        return TwoPort::Series(z.to_phases());
    }
    let half = |farad: f64| Complex64::new(0.0, 0.5 * OMEGA_RAD_PER_S * farad);
    let y = Sequence::balanced(half(line.c1_f), half(line.c0_f));
    let t = z.zip(y, |z, y| 1.0 / (1.0 + z * y));
    TwoPort::Full(Box::new(FullTwoPort {
        t: t.to_phases(),
        z: z.zip(t, |z, t| z * t).to_phases(),
        c: y.zip(t, |y, t| y + y * t).to_phases(),
        d: t.to_phases(),
    }))
}

/// The Thevenin impedance of a source at a bus rated `u_rated_v` phase to phase, Ω.
pub(crate) fn source_impedance_ohm(source: &Source, u_rated_v: f64) -> PhaseMatrix {
    let magnitude = u_rated_v * u_rated_v / source.sk_va;
    let x = magnitude / (1.0 + source.rx_ratio * source.rx_ratio).sqrt();
    let z1 = Complex64::new(x * source.rx_ratio, x);
    Sequence::balanced(z1, z1 * source.z01_ratio).to_phases()
}
