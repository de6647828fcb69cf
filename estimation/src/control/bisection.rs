//! Halving the range of tap positions.

/// A range of positions that halves with every look at the voltage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bisection {
    low: i16,
    high: i16,
    /// The position before a bound was tried as the last resort.
    last: Option<i16>,
}

/// What a look at the voltage leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// To this position.
    To(i8),
    /// The end of the range is reached, nothing is left to try.
    Stay,
    /// Two neighbouring positions lie on either side of the band.
    Nowhere,
}

impl Bisection {
    pub(super) fn new(min: i8, max: i8) -> Self {
        Self { low: i16::from(min.min(max)), high: i16::from(min.max(max)), last: None }
    }

    /// The next position when the voltage asks for a higher (or lower) number than `present`. The middle of an even
    /// range is rounded down, or up with `prefer_high`.
    pub(super) fn next(&mut self, present: i8, upwards: bool, prefer_high: bool) -> Step {
        let present = i16::from(present);
        if upwards {
            self.low = self.low.max(present);
        } else {
            self.high = self.high.min(present);
        }
        if let Some(last) = self.last {
            let back = if upwards { last > present } else { last < present };
            return if back { Step::Nowhere } else { Step::Stay };
        }
        if self.low >= self.high {
            return Step::Stay;
        }
        let middle =
            if prefer_high { (self.low + self.high + 1) / 2 } else { (self.low + self.high).div_euclid(2) };
        let mut to = middle;
        if to == present {
            to = if upwards { self.high } else { self.low };
        }
        if (to - present).abs() <= 1 {
            self.last = Some(present);
        }
        if to == present { Step::Stay } else { Step::To(to as i8) }
    }
}
