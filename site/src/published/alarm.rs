//! Limits that are passed. A limit is passed outwards and left again further inside, so that a value on it does not flicker.

use grid::Timestamp;

/// Accepted voltages, p.u. of the rated one (EN 50160).
pub const VOLTAGE_PU: (f64, f64) = (0.9, 1.1);
const VOLTAGE_INSIDE_PU: (f64, f64) = (0.91, 1.09);
const LOADING_MAX: f64 = 1.0;
const LOADING_INSIDE: f64 = 0.95;
const PROBABILITY_MAX: f64 = 0.5;
const PROBABILITY_INSIDE: f64 = 0.4;

/// Whether a limit is passed, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Alarm {
    /// Passed.
    pub stands: bool,
    /// Since when it is as it is.
    pub since: Timestamp,
}

impl Alarm {
    /// Takes in that the limit is passed (`Some(true)`), left (`Some(false)`), or neither.
    pub fn take(&mut self, passed: Option<bool>, now: Timestamp) {
        let stands = passed.unwrap_or(self.stands);
        if stands != self.stands || self.since == Timestamp::default() {
            *self = Self { stands, since: now };
        }
    }
}

/// Of voltages, p.u.
pub fn voltages(pu: impl Iterator<Item = f64> + Clone) -> Option<bool> {
    let within = |(low, high): (f64, f64)| move |pu: f64| (low..=high).contains(&pu);
    decided(!pu.clone().all(within(VOLTAGE_PU)), pu.clone().all(within(VOLTAGE_INSIDE_PU)))
}

/// Of a loading.
pub fn loading(loading: f64) -> Option<bool> {
    decided(loading > LOADING_MAX, loading <= LOADING_INSIDE)
}

/// Of the largest probability of an overload.
pub fn probability(probability: f64) -> Option<bool> {
    decided(probability > PROBABILITY_MAX, probability <= PROBABILITY_INSIDE)
}

fn decided(passed: bool, left: bool) -> Option<bool> {
    (passed || left).then_some(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_stands_until_the_value_is_well_inside() {
        let mut alarm = Alarm::default();
        let at = Timestamp::from_seconds;
        for (second, value, stands, since) in [
            (1, 0.99, false, 1),
            (2, 1.01, true, 2),
            (3, 0.97, true, 2),
            (4, 0.94, false, 4),
            (5, 0.99, false, 4),
        ] {
            alarm.take(loading(value), at(second));
            assert_eq!(alarm, Alarm { stands, since: at(since) }, "second {second}");
        }
    }

    #[test]
    fn one_phase_outside_is_enough_and_all_have_to_come_back() {
        let of = |pu: [f64; 3]| voltages(pu.into_iter());
        assert_eq!(of([1.0, 1.0, 1.11]), Some(true));
        assert_eq!(of([1.0, 1.0, 1.095]), None);
        assert_eq!(of([1.0, 0.92, 1.08]), Some(false));
        assert_eq!((probability(0.51), probability(0.45), probability(0.3)), (Some(true), None, Some(false)));
    }
}
