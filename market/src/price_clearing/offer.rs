//! One offer of a clearing problem: what it may do and asks, as it is given and as it is kept.

use super::course;
use super::fault::ProblemFault;
use super::problem::{ENERGY_MAX, TOTAL_MAX, WHOLE, within};

/// What one offer may do and asks. Slices count from the start of its schedule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OfferTerms {
    /// Where it takes its energy.
    pub node: u32,
    /// Interval in which the default schedule starts.
    pub start_default: u16,
    /// First interval in which it may start.
    pub start_first: u16,
    /// Last interval in which it may start.
    pub start_last: u16,
    /// The default schedule, mWh per slice.
    pub default: Vec<i64>,
    /// Least energy per slice, mWh.
    pub lower: Vec<i64>,
    /// Most energy per slice, mWh.
    pub upper: Vec<i64>,
    /// Least energy of the whole schedule, mWh.
    pub total_lower: i64,
    /// Most energy of the whole schedule, mWh.
    pub total_upper: i64,
    /// Least and most of every running sum, from the start to the end of each slice, mWh. Neither beside an option nor
    /// beside a least deviation.
    pub running: Option<(i64, i64)>,
    /// Makes it an option: this deviation times a factor, or nothing.
    pub option: Option<ActivationOption>,
    /// Asked once when it leaves its default, micro-units.
    pub activation: i64,
    /// Asked per interval between its start and the default's, micro-units.
    pub per_interval_shifted: i64,
    /// Asked per kWh taken beyond the default, micro-units.
    pub price_up: i64,
    /// Asked per kWh taken less than the default, micro-units.
    pub price_down: i64,
    /// Of all offers with this number at most one leaves its default; 0 is no group.
    pub group: u32,
    /// Least sum of the deviations' magnitudes when it leaves its default, mWh; 0 is none. Not beside an option, which
    /// has a least factor.
    pub least: i64,
}

impl OfferTerms {
    /// The same, asking for nothing.
    pub(super) fn unpriced(self) -> Self {
        Self { activation: 0, per_interval_shifted: 0, price_up: 0, price_down: 0, ..self }
    }
}

/// A deviation that is taken at a factor, or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActivationOption {
    /// Added to the default from its start, mWh per slice.
    pub deviation: Vec<i64>,
    /// Least factor when it is taken, millionths; a million is indivisible.
    pub factor_min: u32,
}

/// The scalars of one offer; its slices lie in the arrays of the problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct OfferHead {
    pub node: u32,
    pub start_default: u16,
    pub start_first: u16,
    pub start_last: u16,
    pub slices: u16,
    pub first_slice: u32,
    /// Where the option's deviation begins; `u32::MAX` when it is none.
    pub first_option: u32,
    pub factor_min: u32,
    pub total_lower: i64,
    pub total_upper: i64,
    pub running: Option<(i64, i64)>,
    pub activation: i64,
    pub per_interval_shifted: i64,
    pub price_up: i64,
    pub price_down: i64,
    pub group: u32,
    pub least: i64,
}

/// One offer of a problem, its slices borrowed.
#[derive(Debug, Clone, Copy)]
pub struct OfferView<'a> {
    pub(super) head: &'a OfferHead,
    /// The default schedule, mWh per slice.
    pub default: &'a [i64],
    /// Least energy per slice, mWh.
    pub lower: &'a [i64],
    /// Most energy per slice, mWh.
    pub upper: &'a [i64],
    /// The option's deviation, mWh per slice.
    pub option: Option<&'a [i64]>,
}

impl OfferView<'_> {
    /// Where it takes its energy.
    pub fn node(&self) -> u32 {
        self.head.node
    }

    /// Interval in which the default schedule starts.
    pub fn start_default(&self) -> u16 {
        self.head.start_default
    }

    /// Whether its default is still one of its schedules.
    pub(super) fn may_rest(&self) -> bool {
        let head = self.head;
        let inside = (0..self.default.len())
            .all(|k| self.lower[k] <= self.default[k] && self.default[k] <= self.upper[k]);
        self.option.is_some()
            || (inside
                && (head.start_first..=head.start_last).contains(&head.start_default)
                && (head.total_lower..=head.total_upper).contains(&self.default.iter().sum())
                && course::keeps(head.running, self.default))
    }

    /// The offer as it was added.
    pub fn terms(&self) -> OfferTerms {
        let head = self.head;
        OfferTerms {
            node: head.node,
            start_default: head.start_default,
            start_first: head.start_first,
            start_last: head.start_last,
            default: self.default.to_vec(),
            lower: self.lower.to_vec(),
            upper: self.upper.to_vec(),
            total_lower: head.total_lower,
            total_upper: head.total_upper,
            running: head.running,
            option: self.option.map(|deviation| ActivationOption {
                deviation: deviation.to_vec(),
                factor_min: head.factor_min,
            }),
            activation: head.activation,
            per_interval_shifted: head.per_interval_shifted,
            price_up: head.price_up,
            price_down: head.price_down,
            group: head.group,
            least: head.least,
        }
    }
}

impl OfferTerms {
    pub(super) fn head(&self, first_slice: u32, first_option: u32) -> OfferHead {
        OfferHead {
            node: self.node,
            start_default: self.start_default,
            start_first: self.start_first,
            start_last: self.start_last,
            slices: self.default.len() as u16,
            first_slice,
            first_option,
            factor_min: self.option.as_ref().map_or(0, |option| option.factor_min),
            total_lower: self.total_lower,
            total_upper: self.total_upper,
            running: self.running,
            activation: self.activation,
            per_interval_shifted: self.per_interval_shifted,
            price_up: self.price_up,
            price_down: self.price_down,
            group: self.group,
            least: self.least,
        }
    }

    /// Whether some energies keep to the running sums; `sums` are those of the slices' bounds.
    pub(super) fn check_running(&self, sums: (i64, i64)) -> Result<(), ProblemFault> {
        let Some(running) = self.running else { return Ok(()) };
        within("a running sum", &[running.0, running.1], -TOTAL_MAX, TOTAL_MAX)?;
        if self.option.is_some() || self.least > 0 {
            return Err(ProblemFault::RunningBeside);
        }
        let total = (self.total_lower.max(sums.0), self.total_upper.min(sums.1));
        match course::can_be_kept(running, &self.lower, &self.upper, total) {
            true => Ok(()),
            false => Err(ProblemFault::Running { lower: running.0, upper: running.1 }),
        }
    }

    pub(super) fn check_option(&self) -> Result<(), ProblemFault> {
        let Some(option) = &self.option else { return Ok(()) };
        if option.deviation.len() != self.default.len() {
            let (count, expected) = (option.deviation.len(), self.default.len());
            return Err(ProblemFault::Length { what: "an option's deviation", count, expected });
        }
        if i64::from(option.factor_min) > WHOLE || option.factor_min == 0 {
            return Err(ProblemFault::Factor { factor: option.factor_min });
        }
        within("an option's deviation", &option.deviation, -ENERGY_MAX, ENERGY_MAX)
    }

    pub(super) fn check_default(&self) -> Result<(), ProblemFault> {
        let within_slices = (0..self.default.len())
            .all(|k| self.lower[k] <= self.default[k] && self.default[k] <= self.upper[k]);
        let total: i64 = self.default.iter().sum();
        let fits = within_slices
            && (self.start_first..=self.start_last).contains(&self.start_default)
            && (self.total_lower..=self.total_upper).contains(&total)
            && course::keeps(self.running, &self.default);
        fits.then_some(()).ok_or(ProblemFault::DefaultOutside)
    }
}

/// The scalars of an offer, copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // as in `OfferTerms`
pub struct OfferParts {
    pub start_default: u16,
    pub start_first: u16,
    pub start_last: u16,
    pub total_lower: i64,
    pub total_upper: i64,
    pub running: Option<(i64, i64)>,
    pub factor_min: u32,
    pub activation: i64,
    pub per_interval_shifted: i64,
    pub price_up: i64,
    pub price_down: i64,
    pub group: u32,
    pub least: i64,
}

impl OfferView<'_> {
    /// Everything but the slices, without copying those.
    pub fn parts(&self) -> OfferParts {
        let head = self.head;
        OfferParts {
            start_default: head.start_default,
            start_first: head.start_first,
            start_last: head.start_last,
            total_lower: head.total_lower,
            total_upper: head.total_upper,
            running: head.running,
            factor_min: head.factor_min,
            activation: head.activation,
            per_interval_shifted: head.per_interval_shifted,
            price_up: head.price_up,
            price_down: head.price_down,
            group: head.group,
            least: head.least,
        }
    }
}
