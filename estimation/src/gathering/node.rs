//! What the appliances of a bus take together: gathered from their sensors before the estimate, divided among them
//! after it. The rules are power-grid-model's (`measured_values.hpp`):
//!
//! - every connected appliance measured: their sum is a reading of the bus, variances added; a sensor of the bus itself
//!   is a second one, combined by inverse variance;
//! - one not measured: only a sensor of the bus itself says something;
//! - no appliance: exactly nothing, whatever a sensor of the bus says.
//!
//! After the estimate the difference between bus and appliances is divided by variance when all are measured; otherwise
//! the measured ones keep their value and the others share the rest evenly.
//!
//! Buses that were merged into one (closed links) are such a sum once more, of nodes instead of appliances.

use super::known::Known;
use crate::circuit::flow::TakenVariance;
use grid::BusId;
use num_complex::Complex64;

/// What one appliance says of one wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Share {
    /// It does not touch the wire.
    Absent,
    /// It takes something that nobody measures.
    Unmeasured,
    /// Measured; several sensors are combined.
    Measured(Known),
}

/// An appliance at a node, with its share of each wire of the bus.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    /// Its number.
    pub id: u32,
    /// Wire by wire.
    pub wires: Vec<Share>,
    /// Whether a meter speaks of it, not only a pseudo-measurement.
    pub metered: bool,
}

/// A bus of the network with its appliances (one of several when they were merged).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Which.
    pub bus: BusId,
    /// Position in the circuit.
    pub position: u32,
    /// Loads, generators and sources that are connected.
    pub members: Vec<Member>,
    /// What sensors of the bus itself say, wire by wire.
    pub direct: Vec<Option<Known>>,
    /// A sensor that says something of it.
    pub sensor: Option<u32>,
    /// Whether a meter speaks of the bus itself.
    pub metered: bool,
    /// Whether any sensor is only a pseudo-measurement.
    pub pseudo: bool,
}

/// Merges a reading into one that is there.
pub(super) fn join(there: &mut Option<Known>, known: Known) {
    *there = Some(there.map_or(known, |there| there.combined(known)));
}

impl Share {
    pub fn join(&mut self, known: Known) {
        *self = match *self {
            Share::Measured(there) => Share::Measured(there.combined(known)),
            Share::Unmeasured => Share::Measured(known),
            Share::Absent => Share::Absent,
        };
    }
}

/// Sums parts: exact nothing without any, unmeasured as soon as one is.
pub(super) fn sum(parts: impl Iterator<Item = Share>) -> Share {
    let mut sum = Share::Absent;
    for part in parts {
        sum = match (sum, part) {
            (sum, Share::Absent) => sum,
            (Share::Unmeasured, _) | (_, Share::Unmeasured) => Share::Unmeasured,
            (Share::Absent, measured) => measured,
            (Share::Measured(a), Share::Measured(b)) => Share::Measured(a.plus(b)),
        };
    }
    sum
}

impl Node {
    /// Whether what is said of it rests on pseudo-measurements: some appliance has no meter, nor has the bus.
    pub fn expected(&self) -> bool {
        self.pseudo && !self.metered && !self.members.iter().all(|member| member.metered)
    }

    /// What the node takes at a wire as far as sensors say.
    pub fn said(&self, wire: usize) -> Share {
        match (sum(self.members.iter().map(|member| member.wires[wire])), self.direct[wire]) {
            (Share::Measured(sum), Some(direct)) => Share::Measured(direct.combined(sum)),
            (Share::Unmeasured, Some(direct)) => Share::Measured(direct),
            (said, _) => said,
        }
    }

    /// Divides what the node takes at a wire among its appliances.
    pub fn divide(&self, wire: usize, total: Complex64) -> Vec<Complex64> {
        divide(self.members.iter().map(|member| member.wires[wire]), total)
    }
}

/// What the measured parts are together, and how many are unmeasured.
fn told(parts: impl Iterator<Item = Share>) -> (Known, u32) {
    parts.fold((Known::NOTHING, 0), |(known, unmeasured), part| match part {
        Share::Measured(one) => (known.plus(one), unmeasured),
        Share::Unmeasured => (known, unmeasured + 1),
        Share::Absent => (known, unmeasured),
    })
}

/// Divides a total among parts.
pub(super) fn divide(parts: impl Iterator<Item = Share> + Clone, total: Complex64) -> Vec<Complex64> {
    let (known, unmeasured) = told(parts.clone());
    let rest = total - known.s;
    let each = |part| match part {
        Share::Absent => Complex64::ZERO,
        Share::Unmeasured => rest / f64::from(unmeasured),
        Share::Measured(one) if unmeasured > 0 => one.s,
        Share::Measured(one) => {
            let p = rest.re * one.variance_p / known.variance_p;
            let q = rest.im * one.variance_q / known.variance_q;
            one.s + Complex64::new(p, q)
        }
    };
    parts.map(each).collect()
}

/// How well the parts of a total are known, divided as by [`divide`]: a measured part is its own reading, moved by its
/// share of what the total is off.
pub(super) fn divide_variance(
    parts: impl Iterator<Item = Share> + Clone,
    total: TakenVariance,
) -> Vec<TakenVariance> {
    let (known, unmeasured) = told(parts.clone());
    let each = |part| match part {
        Share::Absent => TakenVariance::default(),
        // Several share evenly for want of anything better.
        Share::Unmeasured if unmeasured > 1 => TakenVariance::UNKNOWN,
        Share::Unmeasured => {
            TakenVariance { p: total.p + known.variance_p, q: total.q + known.variance_q, ..total }
        }
        Share::Measured(one) if unmeasured > 0 => {
            TakenVariance { p: one.variance_p, q: one.variance_q, ..TakenVariance::default() }
        }
        Share::Measured(one) => {
            let (p, q) = (one.variance_p / known.variance_p, one.variance_q / known.variance_q);
            TakenVariance {
                p: one.variance_p * (1.0 - p) + p * p * total.p,
                q: one.variance_q * (1.0 - q) + q * q * total.q,
                pq: p * q * total.pq,
                pu: p * total.pu,
                qu: q * total.qu,
            }
        }
    };
    parts.map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn share(kind: u8, p: f64, variance: f64) -> Share {
        match kind {
            0 => Share::Absent,
            1 => Share::Unmeasured,
            _ => Share::Measured(Known {
                s: Complex64::new(p, 1.0 - p),
                variance_p: variance,
                variance_q: variance * 3.0,
            }),
        }
    }

    proptest! {
        #[test]
        fn the_divided_parts_add_up_to_the_total(
            parts in prop::collection::vec((0..4_u8, -5.0..5.0_f64, 0.01..2.0_f64), 1..6),
            p in -9.0..9.0_f64, q in -9.0..9.0_f64,
        ) {
            let parts: Vec<Share> = parts.into_iter().map(|(kind, p, v)| share(kind, p, v)).collect();
            prop_assume!(parts.iter().any(|part| *part != Share::Absent));
            let total = Complex64::new(p, q);
            let divided = divide(parts.iter().copied(), total);
            prop_assert!((divided.iter().sum::<Complex64>() - total).norm() < 1e-9);
        }
    }

    #[test]
    fn measured_parts_keep_their_value_when_another_can_take_the_rest() {
        let parts = [share(2, 2.0, 0.1), share(1, 0.0, 0.0), share(1, 0.0, 0.0)];
        let divided = divide(parts.into_iter(), Complex64::new(8.0, 3.0));
        assert_eq!(divided, [Complex64::new(2.0, -1.0), Complex64::new(3.0, 2.0), Complex64::new(3.0, 2.0)]);
    }

    proptest! {
        #[test]
        fn divided_parts_that_depend_on_nothing_but_the_total_add_up_to_its_variance(
            parts in prop::collection::vec(0.01..2.0_f64, 1..6), own in 0.0..1.0_f64,
        ) {
            // The parts' errors given the total have covariance R − R 1 1' R / Σ, which sums to nothing.
            let shares: Vec<Share> = parts.iter().map(|&variance| share(2, 1.0, variance)).collect();
            let all: f64 = parts.iter().sum();
            let total = TakenVariance { p: own * all, q: own * all, pq: 0.1 * own, pu: 0.2, qu: 0.3 };
            let divided = divide_variance(shares.into_iter(), total);
            let given: f64 = parts.iter().map(|part| part - part * part / all).sum();
            let by_total: f64 = parts.iter().map(|part| (part / all).powi(2)).sum::<f64>() * total.p;
            prop_assert!((divided.iter().map(|part| part.p).sum::<f64>() - given - by_total).abs() < 1e-9);
            prop_assert!((divided.iter().map(|part| part.pu).sum::<f64>() - total.pu).abs() < 1e-9);
        }
    }

    #[test]
    fn a_part_that_takes_the_rest_is_as_uncertain_as_total_and_others_together() {
        let parts = [share(2, 2.0, 0.1), share(1, 0.0, 0.0)];
        let total = TakenVariance { p: 0.5, q: 0.25, ..TakenVariance::default() };
        let divided = divide_variance(parts.into_iter(), total);
        assert!((divided[0].p - 0.1).abs() < 1e-12 && (divided[1].p - 0.6).abs() < 1e-12);
        assert!((divided[0].q - 0.3).abs() < 1e-12 && (divided[1].q - 0.55).abs() < 1e-12);
        let parts = [share(1, 0.0, 0.0), share(1, 0.0, 0.0)];
        assert!(divide_variance(parts.into_iter(), total).iter().all(|part| part.p.is_nan()));
    }

    #[test]
    fn the_less_certain_part_moves_more() {
        let parts = [share(2, 2.0, 0.1), share(2, 2.0, 0.3)];
        let divided = divide(parts.into_iter(), Complex64::new(8.0, -2.0));
        assert!((divided[0].re - 3.0).abs() < 1e-12 && (divided[1].re - 5.0).abs() < 1e-12);
    }
}
