//! Indicators: what is counted of a site over time, the goal that is set for it, and the alarm when it is missed.
//!
//! ```text
//!  value   good side                 good is up, threshold 80, hysteresis 5
//!    85 ---------------------- x --  cleared: as far on the good side as the hysteresis says
//!    80 --x-------------- x --------
//!         raised: below   still raised
//! ```
//!
//! The alarm looks at the newest instant only: a value that comes late is kept and raises nothing.

use crate::error::Refusal;
use grid::Timestamp;
use grid::id::check_name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Indicators of a site.
pub const INDICATORS_MAX: usize = 100;
/// Values of one indicator; when there are more, the oldest quarter goes and is counted.
pub const VALUES_MAX: usize = 10_000;
/// Alarms of one indicator that are remembered; older ones go and are counted.
pub const ALARMS_MAX: usize = 100;
/// Longest unit, bytes.
pub const UNIT_BYTES_MAX: usize = 16;
/// Largest value.
pub const VALUE_MAX: f64 = 1e15;

/// Which side is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// More is better.
    Up,
    /// Less is better.
    Down,
}

/// What is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    /// In the indicator's unit.
    pub target: f64,
    /// Which side of it is good.
    pub direction: Direction,
}

/// When an alarm is raised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Raised by a value on the bad side of it.
    pub threshold: f64,
    /// Cleared by a value this far on the good side of it.
    pub hysteresis: f64,
    /// Which side is good.
    pub direction: Direction,
}

/// One alarm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// Instant of the value that raised it.
    pub raised_at: Timestamp,
    /// That value.
    pub value: f64,
    /// Instant of the value that cleared it; `None` while it stands.
    pub cleared_at: Option<Timestamp>,
}

/// One indicator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Indicator {
    /// Of all its values.
    pub unit: String,
    /// What is aimed at.
    pub goal: Option<Goal>,
    /// When an alarm is raised.
    pub watch: Option<Watch>,
    /// By instant.
    pub values: BTreeMap<Timestamp, f64>,
    /// Values that had to go.
    pub forgotten: u64,
    /// Oldest first; the last one may stand.
    pub alarms: Vec<Alarm>,
    /// Alarms that are remembered no more.
    pub alarms_forgotten: u64,
}

impl Indicator {
    /// The alarm that stands.
    pub fn alarm(&self) -> Option<&Alarm> {
        self.alarms.last().filter(|alarm| alarm.cleared_at.is_none())
    }

    fn look(&mut self, at: Timestamp, value: f64) {
        let Some(watch) = self.watch else { return };
        // How far on the good side.
        let good_by = match watch.direction {
            Direction::Up => value - watch.threshold,
            Direction::Down => watch.threshold - value,
        };
        match self.alarms.last_mut().filter(|alarm| alarm.cleared_at.is_none()) {
            Some(standing) if good_by >= watch.hysteresis => standing.cleared_at = Some(at),
            None if good_by < 0.0 => {
                self.alarms.push(Alarm { raised_at: at, value, cleared_at: None });
                if self.alarms.len() > ALARMS_MAX {
                    self.alarms.remove(0);
                    self.alarms_forgotten += 1;
                }
            }
            _ => {}
        }
    }
}

/// All of them, by name.
#[derive(Debug, Default)]
pub(crate) struct Indicators(pub BTreeMap<String, Indicator>);

fn check_number(what: &str, value: f64) -> Result<(), Refusal> {
    if value.abs() <= VALUE_MAX {
        return Ok(());
    }
    Err(Refusal::Malformed(format!("{what} is {value}, at most {VALUE_MAX:e} is accepted")))
}

impl Indicators {
    fn known(&self, name: &str) -> Result<&Indicator, Refusal> {
        self.0.get(name).ok_or_else(|| {
            Refusal::Unknown(format!("there is no indicator {name:?}; its first value makes it"))
        })
    }

    /// Whether a value may be posted; `false` when it is there already.
    pub fn may_post(
        &self,
        name: &str,
        at: Timestamp,
        value: f64,
        unit: &str,
        now: Timestamp,
    ) -> Result<bool, Refusal> {
        check_name(name).map_err(|error| Refusal::Malformed(format!("name: {error}")))?;
        check_number("value", value)?;
        if at > now.plus(std::time::Duration::from_secs(60)) {
            return Err(Refusal::Malformed(format!("{at} has not come yet, it is {now}")));
        }
        let Some(known) = self.0.get(name) else {
            let found = self.0.len() + 1;
            if found > INDICATORS_MAX {
                return Err(Refusal::Limit { what: "indicators", most: INDICATORS_MAX, found });
            }
            let printable = unit.chars().all(|c| !c.is_control());
            if unit.is_empty() || unit.len() > UNIT_BYTES_MAX || !printable {
                let detail = format!("unit: 1 to {UNIT_BYTES_MAX} bytes of printable text are wanted");
                return Err(Refusal::Malformed(detail));
            }
            return Ok(true);
        };
        if known.unit != unit {
            let detail = format!("{name} is counted in {}, not in {unit:?}", known.unit);
            return Err(Refusal::Malformed(detail));
        }
        match known.values.get(&at) {
            Some(same) if same.to_bits() == value.to_bits() => Ok(false),
            Some(other) => Err(Refusal::Taken(format!("{name} is {other} at {at} already"))),
            None => Ok(true),
        }
    }

    pub fn post(&mut self, name: String, at: Timestamp, value: f64, unit: String) {
        let indicator = self.0.entry(name).or_insert_with(|| Indicator {
            unit,
            goal: None,
            watch: None,
            values: BTreeMap::new(),
            forgotten: 0,
            alarms: Vec::new(),
            alarms_forgotten: 0,
        });
        let newest = indicator.values.last_key_value().is_none_or(|(last, _)| *last < at);
        indicator.values.insert(at, value);
        if indicator.values.len() > VALUES_MAX {
            for _ in 0..VALUES_MAX / 4 {
                indicator.values.pop_first();
                indicator.forgotten += 1;
            }
        }
        if newest {
            indicator.look(at, value);
        }
    }

    pub fn may_aim(&self, name: &str, goal: Goal) -> Result<(), Refusal> {
        check_number("target", goal.target)?;
        self.known(name).map(|_| ())
    }

    pub fn aim(&mut self, name: &str, goal: Goal) {
        if let Some(indicator) = self.0.get_mut(name) {
            indicator.goal = Some(goal);
        }
    }

    pub fn may_watch(&self, name: &str, watch: Watch) -> Result<(), Refusal> {
        check_number("threshold", watch.threshold)?;
        check_number("hysteresis", watch.hysteresis)?;
        if watch.hysteresis < 0.0 {
            return Err(Refusal::Malformed(format!(
                "hysteresis is {}, 0 or more is wanted",
                watch.hysteresis
            )));
        }
        self.known(name).map(|_| ())
    }

    /// From now on; the newest value is looked at once more.
    pub fn watch(&mut self, name: &str, watch: Watch) {
        let Some(indicator) = self.0.get_mut(name) else { return };
        indicator.watch = Some(watch);
        if let Some((&at, &value)) = indicator.values.last_key_value() {
            indicator.look(at, value);
        }
    }

    pub fn find(&self, name: &str) -> Result<&Indicator, Refusal> {
        self.known(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(direction: Direction) -> Indicators {
        let mut indicators = Indicators::default();
        post(&mut indicators, 0, if direction == Direction::Up { 90.0 } else { 70.0 });
        indicators.watch("kpi", Watch { threshold: 80.0, hysteresis: 5.0, direction });
        indicators
    }

    fn post(indicators: &mut Indicators, minute: i64, value: f64) {
        let at = Timestamp::from_seconds(60 * minute);
        if indicators.may_post("kpi", at, value, "%", at).unwrap() {
            indicators.post("kpi".to_owned(), at, value, "%".to_owned());
        }
    }

    #[test]
    fn an_alarm_is_raised_once_and_cleared_with_hysteresis_on_either_side() {
        for (direction, sign) in [(Direction::Up, 1.0), (Direction::Down, -1.0)] {
            let mut indicators = watched(direction);
            let mut told = Vec::new();
            for (minute, good_by) in [0.0, -1.0, -3.0, 1.0, 4.9, 5.0, 0.0, -0.1].into_iter().enumerate() {
                post(&mut indicators, 1 + minute as i64, 80.0 + sign * good_by);
                let indicator = indicators.find("kpi").unwrap();
                told.push((indicator.alarms.len(), indicator.alarm().is_some()));
            }
            let expected =
                [(0, false), (1, true), (1, true), (1, true), (1, true), (1, false), (1, false), (2, true)];
            assert_eq!(told, expected, "{direction:?}");
        }
    }

    #[test]
    fn a_late_value_is_kept_and_raises_nothing() {
        let mut indicators = watched(Direction::Up);
        post(&mut indicators, 10, 90.0);
        post(&mut indicators, 5, 10.0);
        let indicator = indicators.find("kpi").unwrap();
        assert_eq!((indicator.values.len(), indicator.alarms.len()), (3, 0));
    }

    #[test]
    fn a_watch_that_is_set_looks_at_the_newest_value() {
        let mut indicators = Indicators::default();
        post(&mut indicators, 0, 10.0);
        indicators.watch("kpi", Watch { threshold: 80.0, hysteresis: 0.0, direction: Direction::Up });
        assert!(indicators.find("kpi").unwrap().alarm().is_some());
    }

    #[test]
    fn a_value_twice_is_known_and_another_one_is_refused() {
        let indicators = watched(Direction::Up);
        let zero = Timestamp::from_seconds(0);
        assert_eq!(indicators.may_post("kpi", zero, 90.0, "%", zero), Ok(false));
        assert!(matches!(indicators.may_post("kpi", zero, 91.0, "%", zero), Err(Refusal::Taken(_))));
        for (value, unit, at) in [(f64::NAN, "%", 60), (1.0, "kWh", 60), (1e16, "%", 60), (1.0, "%", 7_000)] {
            let refused = indicators.may_post("kpi", Timestamp::from_seconds(at), value, unit, zero);
            assert!(matches!(refused, Err(Refusal::Malformed(_))), "{value} {unit} {at}");
        }
    }

    #[test]
    fn what_has_to_go_is_counted() {
        let mut indicators = watched(Direction::Up);
        for minute in 1..=VALUES_MAX as i64 {
            post(&mut indicators, minute, if minute % 2 == 0 { 90.0 } else { 10.0 });
        }
        let indicator = indicators.find("kpi").unwrap();
        assert_eq!(indicator.values.len() as u64 + indicator.forgotten, VALUES_MAX as u64 + 1);
        assert_eq!((indicator.alarms.len(), indicator.alarms_forgotten), (ALARMS_MAX, 4_900));
    }
}
