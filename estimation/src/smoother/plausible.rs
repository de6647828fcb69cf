//! Which voltages an estimate may have at all. The equations of power have solutions far from every grid, and an iteration
//! that is far away may settle there.

use super::core::Core;
use super::dense::{HALF, Vector};
use super::meters::Says;
use crate::solve::voltage_max;

/// The largest square of a magnitude among voltages of all wires; infinite when one is no number.
pub(super) fn largest_square<const N: usize>(voltages: impl Iterator<Item = Vector>) -> (f64, usize) {
    let mut most = (0.0, 0);
    for (i, v) in voltages.enumerate() {
        for k in 0..N / 2 {
            let square = v[k] * v[k] + v[k + HALF] * v[k + HALF];
            if !(square <= most.0) {
                most = (if square.is_nan() { f64::INFINITY } else { square }, i);
            }
        }
    }
    most
}

/// The same without its place.
pub(super) fn largest(voltages: impl Iterator<Item = Vector>) -> f64 {
    let (mut most, mut sum) = ([0.0_f64; HALF], [0.0_f64; HALF]);
    for v in voltages {
        for k in 0..HALF {
            let square = v[k] * v[k] + v[k + HALF] * v[k + HALF];
            most[k] = if square > most[k] { square } else { most[k] };
            sum[k] += square;
        }
    }
    if sum.iter().sum::<f64>().is_finite() { most.into_iter().fold(0.0, f64::max) } else { f64::INFINITY }
}

impl<const N: usize> Core<N> {
    /// The largest voltage that is believed, p.u.; `no_load` is the largest one without any load at a root of 1 p.u.
    pub fn voltage_max(&self, no_load: f64, values: impl Fn(usize) -> f64) -> f64 {
        let measured = self.meters.iter().enumerate().filter(|(_, meter)| meter.says == Says::Magnitude);
        let measured = measured.map(|(at, _)| values(at)).fold(1.0, f64::max);
        voltage_max(no_load, measured)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::nets::{Dice, Sensors, random_case, readings};
    use crate::smoother::Smoother;
    use crate::solve::{NoSolution, Tolerance};

    #[test]
    fn an_estimate_far_from_every_grid_is_no_solution() {
        let mut dice = Dice::new(1);
        let case = random_case(&mut dice, 6, 1);
        let base = readings(&mut dice, &case, Sensors::default());
        let mut smoother = Smoother::new(&case.circuit, &case.tree, &base).expect("a tree");
        smoother.estimate(Tolerance::default()).expect("settles");
        // Angles rule, and nothing is near nominal: voltmeters that say nothing of 75 p.u.
        let mut absurd = base.clone();
        for reading in &mut absurd.injections {
            reading.s *= -1e4;
        }
        for reading in &mut absurd.voltages {
            reading.variance = 1e6;
        }
        let mut smoother = Smoother::new(&case.circuit, &case.tree, &absurd).expect("a tree");
        match smoother.estimate(Tolerance::default()) {
            Ok(found) => assert!(found.voltages.iter().all(|v| v.norm() < 2.5), "{:?}", found.voltages),
            Err(NoSolution::Implausible { voltage_pu, max_pu, .. }) => assert!(voltage_pu > max_pu),
            Err(_) => {}
        }
    }

    #[test]
    fn what_is_no_number_is_larger_than_every_voltage() {
        let mut v = [[1.0; 8]; 3];
        v[1][0] = f64::NAN;
        let (square, position) = super::largest_square::<6>(v.into_iter());
        assert!(square.is_infinite() && position == 1);
    }
}
