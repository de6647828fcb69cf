//! What the variables hold, by the newest picture.

use super::alarm::{self, Alarm};
use super::catalogue::{Ahead, Health, Shows, SystemAlarm, catalogue};
use actors::picture::{NetworkPicture, OutlookEntry, Picture};
use connectors::opcua::server::{Catalogue, Entry, Standing, Value};
use grid::{Estimate, Observability, Phase, Timestamp};
use std::time::Duration;

/// Without telemetry or an estimate for this long something is wrong: estimates come every minute.
const OLD: Duration = Duration::from_secs(180);
/// Alarms told in words.
const WORDS_MAX: usize = 20;

/// The picture as variables, and what has to be remembered from one to the next.
pub struct View {
    shows: Vec<Shows>,
    /// Rated phase-to-neutral voltage of each bus, V, and what people call it.
    buses: Vec<(f64, String)>,
    /// Positions of each branch's buses, and what people call it.
    branches: Vec<(usize, usize, String)>,
    voltage_alarms: Vec<Alarm>,
    overload_alarms: Vec<Alarm>,
    system_alarms: [Alarm; SystemAlarm::ALL.len()],
    last: Vec<Option<Entry>>,
}

impl View {
    /// The catalogue of a network, and a view that has seen nothing.
    pub fn new(network: &NetworkPicture) -> (Catalogue, Self) {
        let (catalogue, shows) = catalogue(network);
        let buses = network.buses.iter();
        let branches = network.branches.iter();
        let view = Self {
            last: vec![None; shows.len()],
            buses: buses.map(|bus| (bus.u_rated_v / 3.0_f64.sqrt(), format!("bus {}", bus.id.0))).collect(),
            branches: branches.map(|one| (one.from, one.to, format!("branch {}", one.id.0))).collect(),
            voltage_alarms: vec![Alarm::default(); network.buses.len()],
            overload_alarms: vec![Alarm::default(); network.branches.len()],
            system_alarms: Default::default(),
            shows,
        };
        (catalogue, view)
    }

    /// What every variable holds, in the order of the catalogue.
    pub fn entries(&mut self, picture: &Picture) -> Vec<Option<Entry>> {
        self.take_alarms(picture);
        let entries: Vec<_> = (0..self.shows.len()).map(|at| Some(self.entry(at, picture))).collect();
        self.last.clone_from(&entries);
        entries
    }

    fn entry(&self, at: usize, picture: &Picture) -> Entry {
        let now = picture.clock.now;
        let estimate = picture.estimate.as_deref();
        let found = match self.shows[at] {
            Shows::Voltage(bus, phase) => self.voltage(bus, phase, picture),
            Shows::VoltageStd(bus, phase) => estimate.and_then(|estimate| {
                let bus = estimate.buses.get(bus)?;
                let value = Some(bus.u_std_v[phase.index()]).filter(|std| !std.is_nan());
                Some((value, bus.observability[phase.index()], estimate.at))
            }),
            Shows::ActivePower(branch, phase) => {
                self.flow(branch, Some(phase), estimate, |found| Some(found.p_from_w[phase.index()]))
            }
            Shows::ReactivePower(branch, phase) => {
                self.flow(branch, Some(phase), estimate, |found| Some(found.q_from_var[phase.index()]))
            }
            Shows::Current(branch, phase) => {
                self.flow(branch, Some(phase), estimate, |found| Some(found.i_a[phase.index()]))
            }
            Shows::Loading(branch) => self.flow(branch, None, estimate, |found| Some(found.loading? * 100.0)),
            Shows::LoadingStd(branch) => {
                self.flow(branch, None, estimate, |found| Some(found.loading_std? * 100.0))
            }
            Shows::VoltageAlarm(bus) => return self.alarm(self.voltage_alarms[bus], picture),
            Shows::OverloadAlarm(branch) => return self.alarm(self.overload_alarms[branch], picture),
            Shows::Alarm(one) => {
                let alarm = self.system_alarms[one as usize];
                return Entry {
                    value: Some(Value::Flag(alarm.stands)),
                    standing: Standing::Good,
                    at: alarm.since,
                };
            }
            other => return self.told_as_of_its_change(at, other, picture),
        };
        let Some((value, observability, mut describes)) = found else {
            return Entry { value: None, standing: Standing::Waiting, at: now };
        };
        let standing = match (value, observability) {
            (None, _) | (_, Observability::Unobservable) => Standing::Unknown,
            _ if is_old(picture) => Standing::Old,
            (_, Observability::Expected) => Standing::Expected,
            (_, Observability::Measured) => Standing::Good,
        };
        let value =
            value.filter(|value| standing != Standing::Unknown && value.is_finite()).map(Value::Number);
        // Between two estimates a new reading moves the last one: then the value is as new as the picture.
        if let (Shows::Voltage(bus, phase), Some(Value::Number(volts))) = (self.shows[at], &value) {
            let estimated =
                estimate.and_then(|estimate| estimate.buses.get(bus)).map(|bus| bus.u_v[phase.index()]);
            let is_moved =
                estimated.is_none_or(|estimated| (volts - estimated).abs() > 1e-5 * estimated.abs());
            if is_moved {
                let last = self.last[at].as_ref().filter(|last| last.value == value);
                describes = last.map_or(now, |last| last.at.max(describes));
            }
        }
        Entry { value, standing, at: describes }
    }

    /// A voltage, V, as the page shows it: the estimate, moved on by what was measured since.
    fn voltage(&self, bus: usize, phase: Phase, picture: &Picture) -> Option<Found> {
        let shown = &picture.voltages;
        let column = [&shown.a, &shown.b, &shown.c][phase.index()];
        let pu = *column.get(bus)?;
        let estimate = picture.estimate.as_deref()?;
        let observability = estimate.buses.get(bus)?.observability[phase.index()];
        Some((pu.map(|pu| f64::from(pu) * self.buses[bus].0), observability, shown.at?))
    }

    /// Something of a branch, in a phase or in all there are; it rests on what its buses rest on, the weaker one.
    fn flow(
        &self,
        branch: usize,
        phase: Option<Phase>,
        estimate: Option<&Estimate>,
        value: impl Fn(&grid::BranchEstimate) -> Option<f64>,
    ) -> Option<Found> {
        let estimate = estimate?;
        let (from, to, _) = &self.branches[branch];
        let at_bus = |bus: usize| {
            let by_phase = &estimate.buses.get(bus)?.observability;
            match phase {
                Some(phase) => Some(by_phase[phase.index()]),
                None => by_phase.iter().copied().min(),
            }
        };
        let observability = at_bus(*from)?.max(at_bus(*to)?);
        Some((value(estimate.branches.get(branch)?), observability, estimate.at))
    }

    fn alarm(&self, alarm: Alarm, picture: &Picture) -> Entry {
        let standing = match &picture.estimate {
            None => Standing::Waiting,
            Some(_) if is_old(picture) => Standing::Old,
            Some(_) => Standing::Good,
        };
        let value = (standing != Standing::Waiting).then_some(Value::Flag(alarm.stands));
        Entry { value, standing, at: alarm.since }
    }

    /// What has no time of its own: as of when it was first seen to be so.
    fn told_as_of_its_change(&self, at: usize, shows: Shows, picture: &Picture) -> Entry {
        let value = match shows {
            Shows::Ahead(what) => {
                let outlook = picture.transformer.as_ref().map(|transformer| &transformer.outlook[..]);
                outlook.filter(|outlook| !outlook.is_empty()).and_then(|outlook| ahead(what, outlook))
            }
            Shows::AlarmCount => Some(Value::Number(self.standing_alarms().count() as f64)),
            Shows::AlarmText => Some(Value::Text(self.words())),
            Shows::Health(what) => health(what, picture),
            _ => None,
        };
        let standing = if value.is_some() { Standing::Good } else { Standing::Waiting };
        let same = self.last[at].as_ref().filter(|last| last.value == value);
        let at = same.map_or(picture.clock.now, |last| last.at);
        Entry { value, standing, at }
    }

    fn take_alarms(&mut self, picture: &Picture) {
        let now = picture.clock.now;
        let shown = &picture.voltages;
        for (bus, alarm) in self.voltage_alarms.iter_mut().enumerate() {
            let pu = [&shown.a, &shown.b, &shown.c].into_iter().filter_map(|column| *column.get(bus)?);
            let pu: Vec<f64> = pu.map(f64::from).collect();
            alarm.take(if pu.is_empty() { None } else { alarm::voltages(pu.iter().copied()) }, now);
        }
        for (branch, alarm) in self.overload_alarms.iter_mut().enumerate() {
            let loading = picture.branch_loading.get(branch).copied().flatten();
            alarm.take(loading.and_then(|loading| alarm::loading(f64::from(loading))), now);
        }
        let outlook = picture.transformer.iter().flat_map(|transformer| &transformer.outlook);
        let likely = outlook.map(|slot| slot.probability).reduce(f64::max);
        let is_silent = |at: Option<Timestamp>| at.is_none_or(|at| now.since(at) > OLD);
        for one in SystemAlarm::ALL {
            let passed = match one {
                SystemAlarm::Congestion => likely.and_then(alarm::probability),
                SystemAlarm::Telemetry => Some(is_silent(picture.health.last_telemetry_at)),
                SystemAlarm::Estimator => Some(is_old(picture)),
            };
            self.system_alarms[one as usize].take(passed, now);
        }
    }

    /// What stands, in words.
    fn standing_alarms(&self) -> impl Iterator<Item = String> {
        let system = SystemAlarm::ALL.into_iter().filter(|one| self.system_alarms[*one as usize].stands);
        let system = system.map(|one| {
            let words = match one {
                SystemAlarm::Congestion => "an overload within 24 hours is likely",
                SystemAlarm::Telemetry => "no telemetry",
                SystemAlarm::Estimator => "no estimate",
            };
            words.to_owned()
        });
        let overloads = self.branches.iter().zip(&self.overload_alarms).filter(|(_, alarm)| alarm.stands);
        let overloads = overloads.map(|((.., name), _)| format!("{name} is overloaded"));
        let voltages = self.buses.iter().zip(&self.voltage_alarms).filter(|(_, alarm)| alarm.stands);
        let voltages = voltages.map(|((_, name), _)| format!("{name} has a voltage outside its band"));
        system.chain(overloads).chain(voltages)
    }

    fn words(&self) -> String {
        let words: Vec<String> = self.standing_alarms().take(WORDS_MAX).collect();
        let more = self.standing_alarms().count() - words.len();
        let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
        words.join("; ") + &rest
    }
}

/// Value, what it rests on, and the instant it describes.
type Found = (Option<f64>, Observability, Timestamp);

/// Whether the latest estimate is one of long ago, or the latest attempt failed for so long.
fn is_old(picture: &Picture) -> bool {
    picture.health.estimator.at.is_none_or(|at| picture.clock.now.since(at) > OLD)
}

fn ahead(what: Ahead, outlook: &[OutlookEntry]) -> Option<Value> {
    let percent = |of: fn(&OutlookEntry) -> f64| outlook.iter().map(move |slot| of(slot) * 100.0);
    let largest = || outlook.iter().max_by(|one, other| one.loading.total_cmp(&other.loading));
    Some(match what {
        Ahead::SlotStart => Value::Times(outlook.iter().map(|slot| slot.slot_start).collect()),
        Ahead::Loading => Value::Numbers(percent(|slot| slot.loading).collect()),
        Ahead::LoadingP90 => Value::Numbers(percent(|slot| slot.loading_p90).collect()),
        Ahead::Probability => Value::Numbers(percent(|slot| slot.probability).collect()),
        Ahead::LoadingMax => Value::Number(largest()?.loading * 100.0),
        Ahead::LoadingMaxAt => Value::Time(largest()?.slot_start),
        Ahead::ProbabilityMax => Value::Number(percent(|slot| slot.probability).reduce(f64::max)?),
    })
}

fn health(what: Health, picture: &Picture) -> Option<Value> {
    let health = &picture.health;
    match what {
        Health::EstimateAt => health.estimator.at.map(Value::Time),
        Health::TelemetryAt => health.last_telemetry_at.map(Value::Time),
        Health::ObjectiveRatio => health.estimator.objective_ratio.map(Value::Number),
        Health::Refused => Some(Value::Number(health.rejected as f64)),
        Health::Now => Some(Value::Time(picture.clock.now)),
    }
}

#[cfg(test)]
mod tests;
