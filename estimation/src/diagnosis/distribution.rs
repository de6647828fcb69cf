//! The normal and the chi-square distribution: as much of them as tests of hypotheses need.

use std::f64::consts::{PI, SQRT_2};

/// Logarithm of the gamma function for positive arguments, relative error below 1e-13 (Lanczos, g = 7, n = 9; Numerical
/// Recipes §6.1).
fn ln_gamma(x: f64) -> f64 {
    const C: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        // Reflection.
        return (PI / (PI * x).sin()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let t = x + 7.5;
    let sum = (1_u32..).zip(&C[1..]).fold(C[0], |sum, (k, c)| sum + c / (x + f64::from(k)));
    0.5 * (2.0 * PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// The two regularised incomplete gamma functions P(a, x) and Q(a, x) = 1 − P: by series below a + 1, by Lentz's continued
/// fraction above (Numerical Recipes §6.2). Small values keep their relative precision.
fn incomplete_gamma(a: f64, x: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    let steps = 200 + (20.0 * a.sqrt()) as usize;
    if x < a + 1.0 {
        let (mut term, mut sum, mut k) = (1.0 / a, 1.0 / a, a);
        for _ in 0..steps {
            k += 1.0;
            term *= x / k;
            sum += term;
            if term < sum * 1e-17 {
                break;
            }
        }
        let p = (sum * front).min(1.0);
        return (p, 1.0 - p);
    }
    const TINY: f64 = 1e-300;
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1.0 / TINY, 1.0 / b);
    let mut h = d;
    for k in 1..steps {
        let k = k as f64;
        let an = -k * (k - a);
        b += 2.0;
        d = 1.0 / nonzero(an * d + b, TINY);
        c = nonzero(b + an / c, TINY);
        h *= d * c;
        if (d * c - 1.0).abs() < 1e-16 {
            break;
        }
    }
    let q = (front * h).min(1.0);
    (1.0 - q, q)
}

fn nonzero(x: f64, tiny: f64) -> f64 {
    if x.abs() < tiny { tiny } else { x }
}

/// Probability that a chi-square variable with `degrees` (any positive number) exceeds `x`.
pub fn chi_square_exceeds(x: f64, degrees: f64) -> f64 {
    incomplete_gamma(degrees / 2.0, x / 2.0).1
}

/// The value that a chi-square variable exceeds with probability `p` (between 0 and 1, both excluded).
pub fn chi_square_limit(p: f64, degrees: f64) -> f64 {
    let exceeds = |x: f64| chi_square_exceeds(x, degrees);
    let (mut low, mut high) = (0.0, degrees + 10.0);
    while exceeds(high) > p {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if exceeds(middle) > p {
            low = middle;
        } else {
            high = middle;
        }
        if high - low <= 1e-13 * high {
            break;
        }
    }
    0.5 * (low + high)
}

/// Probability that a standard normal variable exceeds `z`.
pub fn normal_exceeds(z: f64) -> f64 {
    let tail = 0.5 * incomplete_gamma(0.5, 0.5 * z * z).1;
    if z < 0.0 { 1.0 - tail } else { tail }
}

/// The value that a standard normal variable exceeds with probability `p` (between 0 and 1, both excluded).
pub fn normal_limit(p: f64) -> f64 {
    if p > 0.5 {
        return -normal_limit(1.0 - p);
    }
    // Start: Abramowitz & Stegun 26.2.23, error below 4.5e-4; then Newton on the logarithm of the tail.
    let t = (-2.0 * p.ln()).sqrt();
    let mut z = t
        - (2.515_517 + 0.802_853 * t + 0.010_328 * t * t)
            / (1.0 + 1.432_788 * t + 0.189_269 * t * t + 0.001_308 * t * t * t);
    for _ in 0..20 {
        let tail = normal_exceeds(z);
        let density = (-0.5 * z * z).exp() / (SQRT_2 * PI.sqrt());
        let step = (tail / p).ln() * tail / density;
        z += step;
        if step.abs() < 1e-14 * (1.0 + z.abs()) {
            break;
        }
    }
    z
}

/// What one of `tests` independent tests may be wrong with so that all together are wrong with probability `p`
/// (Šidák). Dependent tests are wrong less often (for normal residuals: Šidák 1967).
pub fn each_of(p: f64, tests: usize) -> f64 {
    let tests = tests.max(1) as f64;
    // 1 − (1 − p)^(1/n) without losing digits.
    -((-p).ln_1p() / tests).exp_m1()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn near(a: f64, b: f64) {
        assert!((a / b - 1.0).abs() < 1e-9, "{a} instead of {b}");
    }

    #[test]
    fn known_values_are_met() {
        // scipy.stats 1.15: norm.sf, norm.isf, chi2.isf, chi2.sf.
        near(normal_exceeds(1.959_963_984_540_054), 0.025);
        near(normal_exceeds(6.0), 9.865_876_450_376_946e-10);
        near(normal_limit(1e-6), 4.753_424_308_822_9);
        near(normal_limit(0.005), 2.575_829_303_548_901);
        near(chi_square_limit(0.01, 1.0), 6.634_896_601_021_217);
        near(chi_square_limit(0.01, 150.0), 193.207_686_385_510_58);
        near(chi_square_limit(0.05, 20_000.0), 20_330.103_823_932_25);
        near(chi_square_exceeds(300.0, 200.0), 5.924_540_335_483_916e-6);
        near(each_of(0.01, 1000), 1.005_028_534_904_525_4e-5);
    }

    proptest! {
        #[test]
        fn a_limit_is_exceeded_as_often_as_asked(log_p in -12.0..-0.31_f64, degrees in 0.5..5_000.0_f64) {
            let p = 10.0_f64.powf(log_p);
            prop_assert!((normal_exceeds(normal_limit(p)) / p - 1.0).abs() < 1e-9);
            prop_assert!((chi_square_exceeds(chi_square_limit(p, degrees), degrees) / p - 1.0).abs() < 1e-6);
        }
    }
}
