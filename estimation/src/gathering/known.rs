//! Numbers with a variance: checked, combined, summed.

use super::SensorError;
use grid::PhaseValue;
use num_complex::Complex64;

/// A larger variance (p.u.²) says nothing: the sensor is as if it were not there.
const VARIANCE_MAX: f64 = 1e30;
/// A smaller standard deviation (p.u.) is refused: it would be an exact value, and only zero injections are exact.
const SIGMA_MIN_PU: f64 = 1e-12;
/// No physical quantity of a grid reaches this in its SI unit.
const ABSURD: f64 = 1e15;

/// A complex power with the variances of its parts, p.u.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Known {
    pub s: Complex64,
    pub variance_p: f64,
    pub variance_q: f64,
}

impl Known {
    /// Exactly nothing.
    pub const NOTHING: Known = Known { s: Complex64::ZERO, variance_p: 0.0, variance_q: 0.0 };

    /// The sum of two independent values.
    pub fn plus(self, other: Known) -> Known {
        Known {
            s: self.s + other.s,
            variance_p: self.variance_p + other.variance_p,
            variance_q: self.variance_q + other.variance_q,
        }
    }

    /// Two readings of one quantity, weighed by inverse variance, part by part.
    pub fn combined(self, other: Known) -> Known {
        let (p, variance_p) = weighed((self.s.re, self.variance_p), (other.s.re, other.variance_p));
        let (q, variance_q) = weighed((self.s.im, self.variance_q), (other.s.im, other.variance_q));
        Known { s: Complex64::new(p, q), variance_p, variance_q }
    }
}

fn weighed(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    let sum = a.1 + b.1;
    ((a.0 * b.1 + b.0 * a.1) / sum, a.1 * b.1 / sum)
}

/// Refuses what is no number or beyond all measure.
pub(super) fn finite(sensor: u32, quantity: &'static str, value: f64) -> Result<f64, SensorError> {
    if value.is_finite() && value.abs() < ABSURD {
        Ok(value)
    } else {
        Err(SensorError::Value { sensor, quantity, value, expected: "a finite number below 1e15 is needed" })
    }
}

/// As [`finite`], and not negative.
pub(super) fn not_negative(sensor: u32, quantity: &'static str, value: f64) -> Result<f64, SensorError> {
    if value < 0.0 {
        return Err(SensorError::Value { sensor, quantity, value, expected: "it cannot be negative" });
    }
    finite(sensor, quantity, value)
}

/// The variance in p.u.² of a standard deviation in SI units; `None` when it is so large that the sensor says nothing.
pub(super) fn variance(
    sensor: u32,
    quantity: &'static str,
    sigma: f64,
    base: f64,
) -> Result<Option<f64>, SensorError> {
    let refuse = |expected| SensorError::Value { sensor, quantity, value: sigma, expected };
    if sigma.is_nan() || sigma <= 0.0 {
        return Err(refuse("a positive number is needed (exact values are zero injections only)"));
    }
    let sigma_pu = sigma / base;
    if sigma_pu < SIGMA_MIN_PU {
        return Err(refuse("that is too small to weigh: exact values are zero injections only"));
    }
    let variance = sigma_pu * sigma_pu;
    Ok((variance <= VARIANCE_MAX).then_some(variance))
}

/// The value of one phase (0, 1, 2).
pub(super) fn of_phase(value: PhaseValue, phase: usize) -> f64 {
    match value {
        PhaseValue::Symmetric(one) => one,
        PhaseValue::PerPhase(each) => each[phase],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn known(p: f64, variance: f64) -> Known {
        Known { s: Complex64::new(p, -p), variance_p: variance, variance_q: 2.0 * variance }
    }

    proptest! {
        #[test]
        fn the_order_of_combining_does_not_matter(
            a in -10.0..10.0_f64, b in -10.0..10.0_f64, c in -10.0..10.0_f64,
            va in 1e-6..1.0_f64, vb in 1e-6..1.0_f64, vc in 1e-6..1.0_f64,
        ) {
            let left = known(a, va).combined(known(b, vb)).combined(known(c, vc));
            let right = known(c, vc).combined(known(a, va)).combined(known(b, vb));
            prop_assert!((left.s - right.s).norm() < 1e-12);
            prop_assert!((left.variance_p / right.variance_p - 1.0).abs() < 1e-12);
            prop_assert!((1.0 / left.variance_q - (1.0 / va + 1.0 / vb + 1.0 / vc) / 2.0).abs() < 1e-6 / va.min(vb).min(vc));
        }
    }

    #[test]
    fn a_standard_deviation_is_positive_and_a_huge_one_says_nothing() {
        assert!(variance(1, "sigma", 0.0, 1.0).is_err());
        assert!(variance(1, "sigma", -1.0, 1.0).is_err());
        assert!(variance(1, "sigma", f64::NAN, 1.0).is_err());
        assert!(variance(1, "sigma", 1e-7, 1e6).is_err());
        assert_eq!(variance(1, "sigma", f64::INFINITY, 1e6), Ok(None));
        assert_eq!(variance(1, "sigma", 1e308, 1e6), Ok(None));
        assert_eq!(variance(1, "sigma", 2e3, 1e3), Ok(Some(4.0)));
    }
}
