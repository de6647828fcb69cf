//! [`OfferMessage`] → JSON or XML, canonically per dialect.

use super::directory::Directory;
use super::moment::java_iso;
use super::{Dialect, Obligation, OfferMessage, xml};
use grid::{EnergyMwh, Money, Slot, Timestamp};
use market::flex_offer::life_cycle::{Phase, ScheduleUpdate};
use market::flex_offer::{DependencyPolygon, PPM, TariffRange};
use market::{Acceptance, EnergyBounds, FlexOfferId, Schedule, TradingMode};
use serde_json::{Map, Value, json};

/// Writes a message of some offers.
pub fn encode(messages: &[OfferMessage], dialect: Dialect, directory: &Directory) -> String {
    let offers: Vec<Value> =
        messages.iter().map(|message| encode_value(message, dialect, directory)).collect();
    match dialect {
        Dialect::Specification | Dialect::TradingInterface => json!({ "flexOffer": offers }).to_string(),
        Dialect::Manager if offers.len() == 1 => offers.into_iter().map(|offer| offer.to_string()).collect(),
        Dialect::Manager => Value::Array(offers).to_string(),
        Dialect::Xml => xml::write("flexOffers", &json!({ "flexOffer": offers })),
    }
}

/// Writes one offer as JSON (for XML: what becomes its elements).
pub fn encode_value(message: &OfferMessage, dialect: Dialect, directory: &Directory) -> Value {
    Writer { dialect, directory }.offer(message)
}

/// An assignment in kWh, positive is taken.
pub(super) fn assignment(offer: &FlexOfferId, schedule: &Schedule) -> Value {
    let slices =
        schedule.energies.iter().map(|energy| json!({ "duration": 1, "energyAmount": kilo(energy.0) }));
    json!({
        "id": offer.as_str(),
        "startTime": schedule.start.start().to_string(),
        "scheduleSlices": slices.collect::<Vec<_>>(),
    })
}

struct Writer<'a> {
    dialect: Dialect,
    directory: &'a Directory,
}

impl Writer<'_> {
    fn offer(&self, message: &OfferMessage) -> Value {
        let (offer, terms) = (&message.offer, &message.offer.terms);
        let mut out = Map::new();
        let mut put = |key: &str, value: Value| {
            out.insert(key.to_owned(), value);
        };
        self.names(message, &mut put);
        put("numSecondsPerInterval", json!(Slot::SECONDS));
        self.times(message, &mut put);
        if let Some(obligation) = message.obligation {
            put(
                "assignment",
                json!(if obligation == Obligation::Obligatory { "obligatory" } else { "optional" }),
            );
        }
        put("flexOfferProfileConstraints", self.profile(message));
        if let Some(total) = offer.total_energy {
            put("totalEnergyConstraint", self.pair(total));
        }
        if let Some(running) = terms.running_energy {
            put("subTotalEnergyConstraint", self.pair(running));
        }
        put("defaultSchedule", self.schedule(&offer.default_schedule, None));
        if let Some(update) = &message.schedule {
            put("flexOfferSchedule", self.schedule(&update.schedule, Some(update)));
        }
        self.terms(message, &mut put);
        Value::Object(out)
    }

    fn names(&self, message: &OfferMessage, put: &mut impl FnMut(&str, Value)) {
        let offer = &message.offer;
        let (id, owner) = (offer.id.as_str(), self.directory.prosumer_name(offer.prosumer));
        match (self.dialect, whole(id)) {
            (Dialect::TradingInterface, Some(number)) => put("id", json!(number)),
            (Dialect::TradingInterface, None) => {
                put("id", json!(-1));
                put("offerId", json!(id));
            }
            _ => put("id", json!(id)),
        }
        put("state", json!(self.state(message.phase)));
        if let Some(reason) = &message.reason {
            put("stateReason", json!(reason));
        }
        if let Some(label) = &message.label {
            put("label", json!(label));
        }
        match (self.dialect, whole(&owner)) {
            (Dialect::TradingInterface, Some(number)) => put("offeredById", json!(number)),
            _ => put("offeredById", json!(owner)),
        }
        let place = self.directory.place_name(offer.usage_point);
        match self.dialect {
            Dialect::Manager => put("locationId", json!({ place: {} })),
            _ => put("locationID", json!(place)),
        }
        if offer.device.0 != offer.prosumer.0 {
            put("deviceId", json!(offer.device.0));
        }
        if offer.terms.revision != 0 {
            put("revision", json!(offer.terms.revision));
        }
    }

    fn state(&self, phase: Phase) -> &'static str {
        let manager = self.dialect == Dialect::Manager;
        match phase {
            Phase::Initial => {
                if manager {
                    "Initial"
                } else {
                    "initial"
                }
            }
            Phase::Offered => {
                if manager {
                    "Offered"
                } else {
                    "offered"
                }
            }
            Phase::Accepted => {
                if manager {
                    "Accepted"
                } else {
                    "accepted"
                }
            }
            Phase::Rejected => {
                if manager {
                    "Rejected"
                } else {
                    "rejected"
                }
            }
            Phase::Assigned => {
                if manager {
                    "Assigned"
                } else {
                    "assigned"
                }
            }
            Phase::InAdaptation => {
                if manager {
                    "InAdaptation"
                } else {
                    "inAdaptation"
                }
            }
            Phase::Executed => {
                if manager {
                    "Executed"
                } else {
                    "executed"
                }
            }
            Phase::Invalid => {
                if manager {
                    "Invalid"
                } else {
                    "invalid"
                }
            }
            Phase::Canceled => {
                if manager {
                    "Canceled"
                } else {
                    "canceled"
                }
            }
        }
    }

    fn times(&self, message: &OfferMessage, put: &mut impl FnMut(&str, Value)) {
        let offer = &message.offer;
        let length = offer.slices.len() as i64;
        let accept = match self.dialect {
            Dialect::Manager => "acceptanceBefore",
            _ => "acceptBefore",
        };
        let times = [
            ("creation", offer.created_at),
            (accept, offer.acceptance_before),
            ("assignmentBefore", offer.assignment_before),
            ("startAfter", offer.start_after.start()),
            ("startBefore", offer.start_before.start()),
            ("endAfter", offer.start_after.plus(length).start()),
            ("endBefore", offer.start_before.plus(length).start()),
        ];
        for (name, time) in times {
            if name.starts_with("end") && self.dialect != Dialect::Manager {
                continue;
            }
            put(&format!("{name}Time"), self.time(time));
            if self.dialect == Dialect::Manager {
                put(&format!("{name}Interval"), json!(time.slot().0));
            }
        }
    }

    fn time(&self, time: Timestamp) -> Value {
        match self.dialect {
            Dialect::Manager => json!(java_iso(time)),
            _ => json!(time.to_string()),
        }
    }

    /// An energy in kWh with the dialect's sign. Six decimals are whole mWh.
    fn energy(&self, energy: EnergyMwh) -> Value {
        let sign = if self.dialect == Dialect::TradingInterface { -1 } else { 1 };
        kilo(sign * energy.0)
    }

    fn pair(&self, bounds: EnergyBounds) -> Value {
        let (min, max) = (self.energy(bounds.min), self.energy(bounds.max));
        match self.dialect {
            Dialect::TradingInterface => json!({ "lowerBound": max, "upperBound": min }),
            _ => json!({ "lower": min, "upper": max }),
        }
    }

    fn profile(&self, message: &OfferMessage) -> Value {
        let terms = &message.offer.terms;
        let slice = |(k, bounds): (usize, &EnergyBounds)| {
            let mut out = Map::new();
            out.insert("minDuration".to_owned(), json!(1));
            out.insert("maxDuration".to_owned(), json!(1));
            out.insert("energyConstraintList".to_owned(), json!([self.pair(*bounds)]));
            if let Some(polygon) = terms.dependencies.get(k).filter(|polygon| !polygon.is_empty()) {
                out.insert("DependencyEnergyConstraintList".to_owned(), self.rows(polygon));
            }
            if let Some(&TariffRange { min, max }) = terms.tariffs.get(k) {
                let (min, max) = (kilo(min.0), kilo(max.0));
                let (key, value) = match self.dialect {
                    Dialect::Specification | Dialect::Xml => {
                        ("priceConstraint", json!({ "minPrice": min, "maxPrice": max }))
                    }
                    _ => ("tariffConstraint", json!({ "minTariff": min, "maxTariff": max })),
                };
                out.insert(key.to_owned(), value);
            }
            Value::Object(out)
        };
        message.offer.slices.iter().enumerate().map(slice).collect()
    }

    fn rows(&self, polygon: &DependencyPolygon) -> Value {
        let sign = if self.dialect == Dialect::TradingInterface { -1 } else { 1 };
        let coefficient = |ppm: i64| json!((sign * ppm) as f64 / PPM as f64);
        // The right-hand side has no sign to change.
        let row = |row: &market::flex_offer::DependencyRow| {
            json!([coefficient(row.used_ppm), coefficient(row.slice_ppm), kilo(row.limit.0)])
        };
        polygon.iter().map(row).collect()
    }

    fn schedule(&self, schedule: &Schedule, update: Option<&ScheduleUpdate>) -> Value {
        let mut out = Map::new();
        if let Some(update) = update {
            out.insert("scheduleId".to_owned(), json!(update.schedule_id));
            out.insert("updateId".to_owned(), json!(update.update_id));
        }
        out.insert("startTime".to_owned(), self.time(schedule.start.start()));
        let slice = |energy: &EnergyMwh| json!({ "duration": 1, "energyAmount": self.energy(*energy) });
        out.insert("scheduleSlices".to_owned(), schedule.energies.iter().map(slice).collect());
        Value::Object(out)
    }

    /// What only gridflex says.
    fn terms(&self, message: &OfferMessage, put: &mut impl FnMut(&str, Value)) {
        let (offer, terms) = (&message.offer, &message.offer.terms);
        let mut cost = Map::new();
        let mut price = |key: &str, money: Money| cost.insert(key.to_owned(), kilo(money.0));
        if terms.cost.activation != Money::ZERO {
            price("activation", terms.cost.activation);
        }
        if terms.cost.per_slot_shifted != Money::ZERO {
            price("perIntervalShifted", terms.cost.per_slot_shifted);
        }
        if offer.prices.decrease == offer.prices.increase {
            price("perEnergyDeviation", offer.prices.decrease);
        } else {
            price("perEnergyDecrease", offer.prices.decrease);
            price("perEnergyIncrease", offer.prices.increase);
        }
        put("cost", Value::Object(cost));
        match &terms.acceptance {
            Acceptance::Any => {}
            Acceptance::AtLeast { energy } => put("minimumAcceptance", kilo(energy.0)),
            Acceptance::Block { deviation, factor_min_ppm } => {
                let deviation: Value = deviation.iter().map(|energy| self.energy(*energy)).collect();
                let factor = f64::from(*factor_min_ppm) / PPM as f64;
                put("activationOption", json!({ "deviation": deviation, "minActivationFactor": factor }));
            }
        }
        if let Some(group) = &terms.exclusive_group {
            put("exclusiveGroup", json!(group.as_str()));
        }
        if terms.mode == TradingMode::Delegated {
            put("tradingMode", json!("delegated"));
        }
    }
}

/// Millionths as a number with at most six decimals: mWh as kWh, micro-units as currency units.
fn kilo(millionths: i64) -> Value {
    match millionths % 1_000_000 {
        0 => json!(millionths / 1_000_000),
        _ => json!(millionths as f64 / 1e6),
    }
}

/// A text that is exactly a whole number of 63 bits.
fn whole(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|number| *number >= 0 && number.to_string() == text)
}
