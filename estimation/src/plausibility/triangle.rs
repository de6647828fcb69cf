//! Power, current and voltage of one phase: `|P + jQ| ≤ U I` of means over the same time, whatever happened within it
//! (Cauchy–Schwarz). The other way round there is room for distortion and for a direction that changed within the minute.

/// What both sides may differ by because instruments err: share of the larger one.
const TOLERANCE: f64 = 0.2;
/// How many times `|P + jQ|` the product `U I` may be.
const DISTORTION: f64 = 2.5;

/// One phase, measured together. W, var, A, V.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Triangle {
    pub p_w: f64,
    pub q_var: f64,
    pub i_a: f64,
    pub u_v: f64,
}

/// One of the three that can be to blame; a voltage is judged by its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    P,
    Q,
    I,
}

impl Side {
    pub(super) const ALL: [Side; 3] = [Side::P, Side::Q, Side::I];
}

impl Triangle {
    /// Whether the four agree; differences below `small_va` are none.
    pub(super) fn is_consistent(&self, small_va: f64) -> bool {
        let (s_pq, s_ui) = (self.p_w.hypot(self.q_var), self.u_v * self.i_a);
        let within = s_pq <= s_ui * (1.0 + TOLERANCE) + small_va;
        within && s_ui <= DISTORTION * s_pq + 4.0 * small_va
    }

    /// With one side multiplied.
    fn with(mut self, side: Side, factor: f64) -> Self {
        match side {
            Side::P => self.p_w *= factor,
            Side::Q => self.q_var *= factor,
            Side::I => self.i_a *= factor,
        }
        self
    }

    /// Whether another unit of this side would make the four agree.
    pub(super) fn is_slip_of(&self, side: Side, small_va: f64) -> bool {
        [1e-3, 1e3].into_iter().any(|factor| self.with(side, factor).is_consistent(small_va))
    }

    /// Which side could be to blame, judged by size alone.
    pub(super) fn could_be(&self, side: Side) -> bool {
        let too_much_power = self.p_w.hypot(self.q_var) > self.u_v * self.i_a;
        match side {
            Side::P => !too_much_power || self.p_w.abs() >= 0.5 * self.q_var.abs(),
            Side::Q => !too_much_power || self.q_var.abs() >= 0.5 * self.p_w.abs(),
            Side::I => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Triangle = Triangle { p_w: 9_000.0, q_var: 3_000.0, i_a: 41.0, u_v: 231.0 };

    #[test]
    fn what_was_measured_together_agrees() {
        assert!(GOOD.is_consistent(50.0));
        assert!(Triangle { i_a: 60.0, ..GOOD }.is_consistent(50.0), "distorted");
        assert!(Triangle { p_w: 0.0, q_var: 0.0, i_a: 0.0, u_v: 231.0 }.is_consistent(50.0));
        assert!(Triangle { p_w: -9_000.0, ..GOOD }.is_consistent(50.0), "a sign is not seen here");
    }

    #[test]
    fn another_unit_of_any_side_is_seen_and_named() {
        for (side, factor) in
            [(Side::P, 1e3), (Side::Q, 1e3), (Side::I, 1e3), (Side::P, 1e-3), (Side::I, 1e-3)]
        {
            let wrong = GOOD.with(side, factor);
            assert!(!wrong.is_consistent(50.0), "{side:?} times {factor}");
            assert!(wrong.is_slip_of(side, 50.0) && wrong.could_be(side), "{side:?} times {factor}");
        }
    }

    #[test]
    fn a_power_stuck_at_zero_contradicts_its_current() {
        assert!(!Triangle { p_w: 0.0, ..GOOD }.is_consistent(50.0));
        assert!(!Triangle { i_a: 0.0, ..GOOD }.is_consistent(50.0));
    }
}
