//! Which source is believed when several report the same point: the preferred one for as long as it is fresh.

use connectors::house::Points;
use estimation::{LATE_AFTER, Rule};
use grid::name::Name;
use grid::{Measurement, PointId, Quantity, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A source that delivered an energy of a point within this time is expected to deliver the next one too: a slot and 5 min.
const ENERGY_FRESH: Duration = Duration::from_secs(20 * 60);

/// How much each source is preferred: 1 before 2, and so on. Among equals whoever came first stays. And whose energies money
/// may rest on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranks {
    /// Of the field connection (the MQTT door).
    pub field: u32,
    /// Of other connectors, by name.
    pub named: BTreeMap<String, u32>,
    /// Sources whose meters nobody certified, by name.
    pub uncertified: BTreeSet<String>,
    /// Whether energies that nobody certified are settled with: the parties have agreed so.
    pub settles_uncertified: bool,
    /// What sources before HTTP are known to say.
    pub listed: Arc<Listed>,
}

/// Points that somebody listed as those of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// In point maps.
    pub mapped: BTreeSet<PointId>,
    /// In the rights of clients of the MQTT door; where all may say everything, nothing is listed.
    pub granted: Vec<Points>,
}

impl Listed {
    /// Nothing.
    pub const NOTHING: Self = Self { mapped: BTreeSet::new(), granted: Vec::new() };

    /// Whether a point is among them.
    pub fn has(&self, point: &PointId) -> bool {
        self.mapped.contains(point) || self.granted.iter().any(|points| points.has(point))
    }
}

impl Default for Ranks {
    /// Connectors of their own, whose points somebody listed, before the door, where anybody may say anything. All of them are
    /// certified, and HTTP is not.
    fn default() -> Self {
        Self {
            field: 2,
            named: BTreeMap::new(),
            uncertified: [Self::HTTP.to_owned()].into(),
            settles_uncertified: false,
            listed: Arc::new(Listed::NOTHING),
        }
    }
}

impl Ranks {
    /// Rank of a connector that nobody ranked.
    pub const NAMED: u32 = 1;
    /// Name of what comes over HTTP. There whoever earns by a reading may send it, so it ranks behind the door, where meters are.
    pub const HTTP: &str = "http";

    /// Name of the field connection where it is written down beside connectors.
    pub const FIELD: &str = "mqtt";

    /// Who it is from; no name means the field connection.
    pub fn origin(&self, name: Option<Arc<str>>) -> Origin {
        let rank = match &name {
            None => self.field,
            Some(name) if name.as_ref() == Self::HTTP => self.field.saturating_add(1),
            Some(name) => self.named.get(name.as_ref()).copied().unwrap_or(Self::NAMED),
        };
        let is_uncertified = self.uncertified.contains(name.as_deref().unwrap_or(Self::FIELD));
        Origin { name, rank, settles: self.settles_uncertified || !is_uncertified }
    }
}

/// Who a value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The connector; `None` is the field connection.
    pub name: Option<Arc<str>>,
    /// Its rank.
    pub rank: u32,
    /// Whether money may rest on its energies.
    pub settles: bool,
}

impl Origin {
    /// What people call it.
    pub fn words(&self) -> &str {
        self.name.as_deref().unwrap_or("the field connection")
    }

    /// What it is called in the books.
    pub fn source(&self) -> Option<Name> {
        Name::new(self.name.as_deref().unwrap_or(Ranks::FIELD)).ok()
    }
}

/// The source that each point is taken from at present.
#[derive(Debug)]
pub struct Preference {
    used: BTreeMap<PointId, (Origin, Timestamp)>,
    listed: Arc<Listed>,
}

impl Preference {
    /// Nothing was heard yet, as after a start; `listed` is what better sources than HTTP will say.
    pub fn new(listed: Arc<Listed>) -> Self {
        Self { used: BTreeMap::new(), listed }
    }

    /// Whether a value is to be left: another source, as good or better, is fresh, or it is an energy over HTTP and the quarter-hour
    /// is too short over for the meter that is listed to have been heard. Whoever earns by it could otherwise be first.
    pub fn leaves(&self, value: &Measurement, origin: &Origin) -> Option<Rule> {
        let is_energy = value.point.quantity == Quantity::SlotEnergy;
        let fresh = if is_energy { ENERGY_FRESH } else { LATE_AFTER };
        let is_other_fresh = self.used.get(&value.point).is_some_and(|(used, at)| {
            used.name != origin.name && used.rank <= origin.rank && value.received_at.since(*at) <= fresh
        });
        if is_other_fresh {
            return Some(Rule::LessPreferred);
        }
        let is_early = is_energy
            && origin.name.as_deref() == Some(Ranks::HTTP)
            && value.received_at.since(value.measured_at) < ENERGY_FRESH
            && self.listed.has(&value.point);
        is_early.then_some(Rule::BetterListed)
    }

    /// A value of a point was used. The source that it was taken from before, when it was another one.
    pub fn used(&mut self, value: &Measurement, origin: &Origin) -> Option<Origin> {
        match self.used.get_mut(&value.point) {
            None => {
                self.used.insert(value.point, (origin.clone(), value.received_at));
                None
            }
            Some((used, at)) => {
                *at = value.received_at.max(*at);
                (used.name != origin.name).then(|| std::mem::replace(used, origin.clone()))
            }
        }
    }

    /// The source that it is taken from says that it is missing: the next one to say it is used.
    pub fn forget(&mut self, point: PointId) {
        self.used.remove(&point);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grid::Quality;

    fn value(point: &str, seconds: i64) -> Measurement {
        let at = Timestamp::from_seconds(seconds);
        let point = point.parse().unwrap();
        Measurement { point, value: 230.0, quality: Quality::Measured, measured_at: at, received_at: at }
    }

    fn origins() -> (Origin, Origin) {
        let ranks = Ranks { named: [("scada".to_owned(), 1)].into(), ..Ranks::default() };
        (ranks.origin(Some("scada".into())), ranks.origin(None))
    }

    #[test]
    fn a_meter_at_the_field_connection_takes_over_from_what_came_over_http_first() {
        let ranks = Ranks::default();
        let rank = |name: &str| ranks.origin(Some(name.into())).rank;
        assert!(rank("scada") < ranks.origin(None).rank && ranks.origin(None).rank < rank(Ranks::HTTP));
        let (http, field) = (ranks.origin(Some(Ranks::HTTP.into())), ranks.origin(None));
        let (mut preference, at) =
            (Preference::new(Arc::new(Listed::NOTHING)), |seconds| value("device.31.energy", seconds));
        assert_eq!(preference.used(&at(0), &http), None);
        assert_eq!(preference.leaves(&at(900), &field), None, "who is first gains nothing by it");
        assert_eq!(preference.used(&at(900), &field), Some(http.clone()));
        assert_eq!(preference.leaves(&at(1_800), &http), Some(Rule::LessPreferred));
    }

    #[test]
    fn the_preferred_source_is_used_while_it_is_fresh_and_again_when_it_is_back() {
        let ((scada, field), mut preference) = (origins(), Preference::new(Arc::new(Listed::NOTHING)));
        let at = |seconds| value("bus.1.u.a", seconds);
        assert_eq!(preference.leaves(&at(0), &field), None, "nobody else says it");
        assert_eq!(preference.used(&at(0), &field), None);
        assert_eq!(preference.leaves(&at(10), &scada), None, "the better one comes in at once");
        assert_eq!(preference.used(&at(10), &scada), Some(field.clone()));
        assert_eq!(preference.leaves(&at(190), &field), Some(Rule::LessPreferred));
        assert_eq!(preference.leaves(&at(191), &field), None, "silent for too long");
        assert_eq!(preference.used(&at(191), &field), Some(scada.clone()));
        assert_eq!(preference.used(&at(200), &scada), Some(field.clone()));
        preference.forget(at(0).point);
        assert_eq!(preference.leaves(&at(201), &field), None, "the better one says that it is missing");
    }

    #[test]
    fn money_rests_on_what_is_certified_or_agreed() {
        let mut ranks =
            Ranks { uncertified: ["plc".to_owned(), Ranks::HTTP.to_owned()].into(), ..Ranks::default() };
        let settles = |ranks: &Ranks, name: Option<&str>| ranks.origin(name.map(Arc::from)).settles;
        assert!(settles(&ranks, None) && settles(&ranks, Some("scada")));
        assert!(!settles(&ranks, Some("plc")) && !settles(&ranks, Some(Ranks::HTTP)));
        ranks.settles_uncertified = true;
        assert!(settles(&ranks, Some("plc")) && settles(&ranks, Some(Ranks::HTTP)));
        assert_eq!(ranks.origin(None).source(), Name::new("mqtt").ok());
        assert_eq!(ranks.origin(Some("plc".into())).source(), Name::new("plc").ok());
    }

    #[test]
    fn after_a_start_an_energy_over_http_waits_for_the_meter_that_is_listed() {
        let points = |patterns: [&str; 2]| Points::read(&patterns.map(str::to_owned)).unwrap();
        let mapped = ["meter.4.energy".parse().unwrap()].into();
        let listed = Listed { mapped, granted: vec![points(["device.31", "meter.9.energy"])] };
        let preference = Preference::new(Arc::new(listed));
        let ranks = Ranks::default();
        let (http, field) = (ranks.origin(Some(Ranks::HTTP.into())), ranks.origin(None));
        let late = |point: &str, seconds: i64| Measurement {
            measured_at: Timestamp::from_seconds(900),
            ..value(point, 900 + seconds)
        };
        for point in ["device.31.energy", "meter.4.energy", "meter.9.energy"] {
            assert_eq!(preference.leaves(&late(point, 5), &http), Some(Rule::BetterListed), "{point}");
            assert_eq!(preference.leaves(&late(point, 1_199), &http), Some(Rule::BetterListed), "{point}");
            assert_eq!(preference.leaves(&late(point, 1_200), &http), None, "{point}");
            assert_eq!(preference.leaves(&late(point, 5), &field), None, "{point}");
        }
        assert_eq!(preference.leaves(&late("device.32.energy", 5), &http), None, "nobody else will say it");
        assert_eq!(preference.leaves(&late("device.31.p", 5), &http), None, "no money rests on it");
    }

    #[test]
    fn an_energy_is_waited_for_a_slot_long() {
        let ((scada, field), mut preference) = (origins(), Preference::new(Arc::new(Listed::NOTHING)));
        let at = |seconds| value("meter.1.energy", seconds);
        preference.used(&at(0), &scada);
        assert_eq!(preference.leaves(&at(1_200), &field), Some(Rule::LessPreferred));
        assert_eq!(preference.leaves(&at(1_201), &field), None);
    }

    #[test]
    fn among_equals_whoever_came_first_stays() {
        let ranks = Ranks::default();
        let (one, other) = (ranks.origin(Some("one".into())), ranks.origin(Some("other".into())));
        let mut preference = Preference::new(Arc::new(Listed::NOTHING));
        preference.used(&value("bus.1.u.a", 0), &one);
        assert_eq!(preference.leaves(&value("bus.1.u.a", 1), &other), Some(Rule::LessPreferred));
        assert_eq!(preference.leaves(&value("bus.1.u.a", 1), &one), None);
    }
}
