//! What the readings determine: two passes with free injections ever wider. A voltage whose variance follows them is
//! not determined by anything that was measured.

use super::core::Core;
use super::dense::{HALF, LANES, Plain};
use super::factor::Factor;
use super::lines::NONE;
use super::posterior::Posterior;

/// The two widths, as multiples of the variance that is wide beside all readings.
const WIDTHS: [f64; 2] = [1e2, 1e4];
/// Between no growth (1) and full growth (100), near no growth: a small unknown part beside a known one.
const GROWTH: f64 = 2.0;

/// By position and wire: whether the voltage is undetermined, at the state of the core. Factors are overwritten.
pub(super) fn undetermined<const N: usize>(core: &mut Core<N>, wide: f64) -> Vec<bool> {
    let mut variances = Vec::new();
    for width in WIDTHS {
        for load in &mut core.loads {
            for k in (0..HALF).filter(|k| load.free & (1 << k) != 0) {
                (load.variance[k], load.variance[k + HALF]) = (width * wide, width * wide);
            }
        }
        core.weakness = WIDTHS[0] / width;
        if core.path.run(Factor(core)).is_err() {
            return vec![true; core.count() * N / 2];
        }
        variances.push(core.path.run(Posterior { core, ends: None }).phasor);
    }
    variances[0].iter().zip(&variances[1]).map(|(narrow, wider)| !(*wider < GROWTH * narrow)).collect()
}

/// Makes the wires of pseudo-measurements free.
pub(super) fn forget<const N: usize>(core: &mut Core<N>, loads: &[u32], wires: &[u8]) {
    for (&load, &wire) in loads.iter().zip(wires).filter(|pair| *pair.0 != NONE) {
        let load = &mut core.loads[load as usize];
        load.free |= 1 << wire;
        let (mu, v) = ([0.0; LANES], core.v[load.position as usize]);
        let current = load.at(Plain, &v, &mu).current;
        for lane in [usize::from(wire), usize::from(wire) + HALF] {
            load.measured[lane] = current[lane];
        }
    }
}
