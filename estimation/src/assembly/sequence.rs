//! Three-phase branches given by sequence values: π-models that stand alike in the three phases.

use super::element::Element;
use super::frame::Frame;
use super::matrix::{from_sequence, real_ratio};
use crate::circuit::{Coupling, General, Series};
use nalgebra::DMatrix;
use num_complex::Complex64;

/// A π-model of one sequence behind an ideal ratio at the `from` side, p.u.; the shunt stands half at each end, seen from
/// `to` (power-grid-model documentation, "Branch").
#[derive(Debug, Clone, Copy)]
pub(super) struct Pi {
    pub(super) y_series: Complex64,
    pub(super) y_shunt: Complex64,
    /// Voltage at `from` over voltage at `to` without load.
    pub(super) ratio: Complex64,
}

/// The zero sequence of a branch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Zero {
    /// What joins the two ends, when anything does.
    pub(super) through: Option<Pi>,
    /// Admittance to ground at the `from` end, beside it.
    pub(super) from: Complex64,
    /// Admittance to ground at the `to` end, beside it.
    pub(super) to: Complex64,
}

impl Zero {
    pub(super) fn through(pi: Pi) -> Self {
        Self { through: Some(pi), from: Complex64::ZERO, to: Complex64::ZERO }
    }
}

/// A branch and where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct SequenceBranch {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) closed: (bool, bool),
    /// Positive sequence; the negative is the same with the ratio conjugated.
    pub(super) one: Pi,
    pub(super) zero: Zero,
}

/// Below this part of the series admittance a zero-sequence path to ground is no impedance one can sweep through.
const FLOATING: f64 = 1e-4;

impl Pi {
    /// Admittance of the branch with its other end open, seen from `to`. A shunt below 1e-8 counts as none, as in
    /// power-grid-model.
    fn open(&self) -> Complex64 {
        if self.y_shunt.norm() < 1e-8 {
            return Complex64::ZERO;
        }
        0.5 * self.y_shunt + 1.0 / (1.0 / self.y_series + 2.0 / self.y_shunt)
    }

    /// Voltage at `to` without load over voltage at `from`.
    fn forward(&self) -> Complex64 {
        1.0 / self.ratio
    }
}

impl SequenceBranch {
    pub(super) fn element(&self, frame: &Frame) -> Element {
        match self.closed {
            (false, false) => Element::Off,
            (true, true) if !frame.alive(self.from) => Element::Off,
            (true, true) => self.both_ends(frame),
            (true, false) if !frame.alive(self.from) => Element::Off,
            (true, false) => {
                let scale = 1.0 / self.one.ratio.norm_sqr();
                let zero = self.zero.through.map_or(Complex64::ZERO, |pi| pi.open() / pi.ratio.norm_sqr());
                let y = self.shunt(frame, self.one.open() * scale, zero + self.zero.from);
                Element::General(one_terminal(frame, self.from, y), vec![Some(0), None])
            }
            (false, true) if !frame.alive(self.to) => Element::Off,
            (false, true) => {
                let zero = self.zero.through.map_or(Complex64::ZERO, |pi| pi.open());
                let y = self.shunt(frame, self.one.open(), zero + self.zero.to);
                Element::General(one_terminal(frame, self.to, y), vec![None, Some(0)])
            }
        }
    }

    fn shunt(&self, frame: &Frame, one: Complex64, zero: Complex64) -> DMatrix<Complex64> {
        if frame.symmetric {
            return DMatrix::from_element(1, 1, one);
        }
        from_sequence(zero, one, one)
    }

    fn both_ends(&self, frame: &Frame) -> Element {
        if frame.symmetric {
            return Element::Series(self.symmetric());
        }
        let plain = frame.three_phase(self.from) && frame.three_phase(self.to);
        let grounded =
            self.zero.through.is_some() || self.zero.to.norm() > FLOATING * self.one.y_series.norm();
        if plain && grounded {
            return Element::Series(self.series());
        }
        let terminals = vec![(self.from, frame.phases(self.from)), (self.to, frame.phases(self.to))];
        Element::General(General { terminals, y: self.admittance() }, vec![Some(0), Some(1)])
    }

    fn symmetric(&self) -> Series {
        let Pi { y_series, y_shunt, ratio } = self.one;
        let single = |value: Complex64| match value == Complex64::ZERO {
            true => Coupling::Zero,
            false => Coupling::Even { own: value, mutual: Complex64::ZERO },
        };
        let unit = ratio == Complex64::ONE;
        Series {
            from: self.from,
            to: self.to,
            ratio: (!unit).then(|| Box::new(DMatrix::from_element(1, 1, self.one.forward()))),
            z: single(1.0 / y_series),
            y_from: single(0.5 * y_shunt / ratio.norm_sqr()),
            y_to: single(0.5 * y_shunt),
        }
    }

    fn series(&self) -> Series {
        let one = self.one;
        let half = 0.5 * one.y_shunt;
        let (forward0, z0, from0, to0) = match self.zero.through {
            Some(pi) => {
                let half0 = 0.5 * pi.y_shunt;
                let from0 = half0 / pi.ratio.norm_sqr() + self.zero.from;
                (pi.forward().re, 1.0 / pi.y_series, from0, half0 + self.zero.to)
            }
            // Seen from a delta the star's zero sequence is open; seen from the star it is the short-circuit
            // impedance to ground, and what is left over is a shunt.
            None if (self.zero.to - one.y_series).norm() < 0.5 * one.y_series.norm() => {
                (0.0, 1.0 / one.y_series, self.zero.from, self.zero.to - one.y_series)
            }
            None => (0.0, 1.0 / self.zero.to, self.zero.from, Complex64::ZERO),
        };
        let unit = one.ratio == Complex64::ONE && forward0 == 1.0;
        let coupling = |positive: Complex64, zero: Complex64| {
            if positive == Complex64::ZERO && zero == Complex64::ZERO {
                return Coupling::Zero;
            }
            Coupling::from_sequence(positive, zero)
        };
        Series {
            from: self.from,
            to: self.to,
            ratio: (!unit).then(|| Box::new(real_ratio(forward0, one.forward()))),
            z: coupling(1.0 / one.y_series, z0),
            y_from: coupling(half / one.ratio.norm_sqr(), from0),
            y_to: coupling(half, to0),
        }
    }

    /// The 6 × 6 admittance, `from` first.
    fn admittance(&self) -> DMatrix<Complex64> {
        let block = |pi: &Pi, ratio: Complex64| {
            let to = pi.y_series + 0.5 * pi.y_shunt;
            [to / ratio.norm_sqr(), -pi.y_series / ratio.conj(), -pi.y_series / ratio, to]
        };
        let positive = block(&self.one, self.one.ratio);
        let negative = block(&self.one, self.one.ratio.conj());
        let mut zero = self.zero.through.map_or([Complex64::ZERO; 4], |pi| block(&pi, pi.ratio));
        zero[0] += self.zero.from;
        zero[3] += self.zero.to;
        let mut y = DMatrix::zeros(6, 6);
        for part in 0..4 {
            let corner = (3 * (part / 2), 3 * (part % 2));
            y.view_mut(corner, (3, 3)).copy_from(&from_sequence(zero[part], positive[part], negative[part]));
        }
        y
    }
}

fn one_terminal(frame: &Frame, bus: u32, y: DMatrix<Complex64>) -> General {
    let wires = if frame.symmetric { vec![0] } else { frame.phases(bus) };
    General { terminals: vec![(bus, wires)], y }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn complex(low: f64, high: f64) -> impl Strategy<Value = Complex64> {
        (low..high, low..high).prop_map(|(re, im)| Complex64::new(re, -im))
    }

    /// A branch whose zero sequence passes, ends at the `to` side, or ends at both.
    fn branch() -> impl Strategy<Value = SequenceBranch> {
        let pi = |ratio: Complex64| {
            (complex(1.0, 50.0), complex(0.0, 0.5)).prop_map(move |(y_series, y_shunt)| Pi {
                y_series,
                y_shunt,
                ratio,
            })
        };
        let turned = (0.9..1.1, 0..12_u8).prop_map(|(k, clock)| {
            (k, Complex64::from_polar(k, f64::from(clock) * std::f64::consts::FRAC_PI_6))
        });
        turned.prop_flat_map(move |(k, ratio)| {
            (pi(ratio), proptest::option::of(pi(Complex64::from(k))), complex(0.0, 0.1), complex(0.1, 50.0))
                .prop_map(|(one, through, from, to)| {
                    let zero = Zero { through, from, to };
                    SequenceBranch { from: 0, to: 1, closed: (true, true), one, zero }
                })
        })
    }

    proptest! {
        #[test]
        fn the_series_form_is_the_admittance_in_other_words(branch in branch()) {
            let series = branch.series();
            let z = series.z.to_matrix(3).try_inverse().unwrap();
            let t = series.ratio.as_deref().cloned().unwrap_or_else(|| DMatrix::identity(3, 3));
            let y = branch.admittance();
            let scale = y.norm();
            let blocks = [
                (0, 0, t.adjoint() * &z * &t + series.y_from.to_matrix(3)),
                (0, 3, -(t.adjoint() * &z)),
                (3, 0, -(&z * &t)),
                (3, 3, z + series.y_to.to_matrix(3)),
            ];
            for (row, column, block) in blocks {
                let off = (y.view((row, column), (3, 3)) - block).norm();
                prop_assert!(off < 1e-11 * scale, "block {row}, {column}: off {off:.1e}");
            }
            prop_assert!(t.iter().all(|entry| entry.im == 0.0));
        }

        #[test]
        fn a_branch_open_at_its_far_end_is_the_closed_one_with_nothing_taken_there(branch in branch()) {
            let y = branch.admittance();
            // Schur complement: the far end's currents are zero.
            let far = y.view((3, 3), (3, 3)).clone_owned().try_inverse().unwrap();
            let seen = y.view((0, 0), (3, 3)) - y.view((0, 3), (3, 3)) * far * y.view((3, 0), (3, 3));
            let one = branch.one.open() / branch.one.ratio.norm_sqr();
            let positive = Complex64::from_polar(1.0, -2.0 * std::f64::consts::FRAC_PI_3);
            let v = nalgebra::DVector::from_vec(vec![Complex64::ONE, positive, positive * positive]);
            let off = (seen * &v - &v * one).norm();
            prop_assert!(branch.one.y_shunt.norm() < 1e-6 || off < 1e-9, "off {off:.1e}");
        }
    }
}
