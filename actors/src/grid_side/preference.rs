//! Which source is believed when several report the same point: the preferred one for as long as it is fresh.

use estimation::LATE_AFTER;
use grid::{Measurement, PointId, Quantity, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A source that delivered an energy of a point within this time is expected to deliver the next one too: a slot and 5 min.
const ENERGY_FRESH: Duration = Duration::from_secs(20 * 60);

/// How much each source is preferred: 1 before 2, and so on. Among equals whoever came first stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranks {
    /// Of the field connection (the MQTT door).
    pub field: u32,
    /// Of other connectors, by name.
    pub named: BTreeMap<String, u32>,
}

impl Default for Ranks {
    /// Connectors of their own, whose points somebody listed, before the door, where anybody may say anything.
    fn default() -> Self {
        Self { field: 2, named: BTreeMap::new() }
    }
}

impl Ranks {
    /// Rank of a connector that nobody ranked.
    pub const NAMED: u32 = 1;
    /// Name of what comes over HTTP. There whoever earns by a reading may send it, so it ranks behind the door, where meters are.
    pub const HTTP: &str = "http";

    /// Who it is from; no name means the field connection.
    pub fn origin(&self, name: Option<Arc<str>>) -> Origin {
        let rank = match &name {
            None => self.field,
            Some(name) if name.as_ref() == Self::HTTP => self.field.saturating_add(1),
            Some(name) => self.named.get(name.as_ref()).copied().unwrap_or(Self::NAMED),
        };
        Origin { name, rank }
    }
}

/// Who a value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The connector; `None` is the field connection.
    pub name: Option<Arc<str>>,
    /// Its rank.
    pub rank: u32,
}

impl Origin {
    /// What people call it.
    pub fn words(&self) -> &str {
        self.name.as_deref().unwrap_or("the field connection")
    }
}

/// The source that each point is taken from at present.
#[derive(Debug, Default)]
pub struct Preference {
    used: BTreeMap<PointId, (Origin, Timestamp)>,
}

impl Preference {
    /// Whether a value is to be left because another source, as good or better, is fresh.
    pub fn leaves(&self, value: &Measurement, origin: &Origin) -> bool {
        let Some((used, at)) = self.used.get(&value.point) else { return false };
        let fresh = match value.point.quantity {
            Quantity::SlotEnergy => ENERGY_FRESH,
            _ => LATE_AFTER,
        };
        used.name != origin.name && used.rank <= origin.rank && value.received_at.since(*at) <= fresh
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
        let ranks = Ranks { field: 2, named: [("scada".to_owned(), 1)].into() };
        (ranks.origin(Some("scada".into())), ranks.origin(None))
    }

    #[test]
    fn a_meter_at_the_field_connection_takes_over_from_what_came_over_http_first() {
        let ranks = Ranks::default();
        let rank = |name: &str| ranks.origin(Some(name.into())).rank;
        assert!(rank("scada") < ranks.origin(None).rank && ranks.origin(None).rank < rank(Ranks::HTTP));
        let (http, field) = (ranks.origin(Some(Ranks::HTTP.into())), ranks.origin(None));
        let (mut preference, at) = (Preference::default(), |seconds| value("device.31.energy", seconds));
        assert_eq!(preference.used(&at(0), &http), None);
        assert!(!preference.leaves(&at(900), &field), "who is first gains nothing by it");
        assert_eq!(preference.used(&at(900), &field), Some(http.clone()));
        assert!(preference.leaves(&at(1_800), &http));
    }

    #[test]
    fn the_preferred_source_is_used_while_it_is_fresh_and_again_when_it_is_back() {
        let ((scada, field), mut preference) = (origins(), Preference::default());
        let at = |seconds| value("bus.1.u.a", seconds);
        assert!(!preference.leaves(&at(0), &field), "nobody else says it");
        assert_eq!(preference.used(&at(0), &field), None);
        assert!(!preference.leaves(&at(10), &scada), "the better one comes in at once");
        assert_eq!(preference.used(&at(10), &scada), Some(field.clone()));
        assert!(preference.leaves(&at(190), &field));
        assert!(!preference.leaves(&at(191), &field), "silent for too long");
        assert_eq!(preference.used(&at(191), &field), Some(scada.clone()));
        assert_eq!(preference.used(&at(200), &scada), Some(field.clone()));
        preference.forget(at(0).point);
        assert!(!preference.leaves(&at(201), &field), "the better one says that it is missing");
    }

    #[test]
    fn an_energy_is_waited_for_a_slot_long() {
        let ((scada, field), mut preference) = (origins(), Preference::default());
        let at = |seconds| value("meter.1.energy", seconds);
        preference.used(&at(0), &scada);
        assert!(preference.leaves(&at(1_200), &field));
        assert!(!preference.leaves(&at(1_201), &field));
    }

    #[test]
    fn among_equals_whoever_came_first_stays() {
        let ranks = Ranks::default();
        let (one, other) = (ranks.origin(Some("one".into())), ranks.origin(Some("other".into())));
        let mut preference = Preference::default();
        preference.used(&value("bus.1.u.a", 0), &one);
        assert!(preference.leaves(&value("bus.1.u.a", 1), &other));
        assert!(!preference.leaves(&value("bus.1.u.a", 1), &one));
    }
}
