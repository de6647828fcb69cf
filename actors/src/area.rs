//! What is known about a market area before it starts: its feeder, its devices, its limits, its rules.

use estimation::{
    Feeder, FlowError, LimitedElement, LiveEstimator, NotEstimable, OutlookRules, OutlookStudy, Plausibility,
    Register, RegisteredDevice, limited_elements, zones,
};
use grid::{BusId, DeviceId, PointId, ProsumerId, UsagePointId};
use market::{Carried, CongestionPoint, DelegatedContract, Month, OfferRules, Rules, ZoneId, Zones};
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

use crate::grid_side::Ranks;
use crate::picture::DeviceKind;

/// A controllable device that is registered for the market.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Device {
    /// Its number.
    pub id: DeviceId,
    /// Whose.
    pub prosumer: ProsumerId,
    /// Behind which connection.
    pub usage_point: UsagePointId,
    /// What it is.
    pub kind: DeviceKind,
    /// Largest power it can take, W.
    pub p_max_w: f64,
}

/// How the DSO plans and pays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DsoRules {
    /// How careful it plans.
    pub outlook: OutlookRules,
    /// What a kilowatt hour of relief is worth, micro-units.
    pub value_per_kwh: grid::Money,
    /// A smaller deficit in a slot is not worth asking for.
    pub need_min: grid::EnergyMwh,
    /// Largest power assumed at a usage point besides its devices, W: for finding out which elements can be
    /// overloaded at all.
    pub p_household_max_w: f64,
}

impl Default for DsoRules {
    fn default() -> Self {
        Self {
            outlook: OutlookRules { planning_limit: 0.95, confidence_sigmas: 0.5, ..OutlookRules::default() },
            value_per_kwh: grid::Money(600_000),
            need_min: grid::EnergyMwh(100_000),
            p_household_max_w: 4_000.0,
        }
    }
}

/// Why an area cannot be set up.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum AreaError {
    /// A device behind a connection that the network does not have.
    #[error("device {device} is behind usage point {usage_point}, which the network does not have")]
    UnknownUsagePoint {
        /// Which device.
        device: DeviceId,
        /// The missing usage point.
        usage_point: UsagePointId,
    },
    /// The feeder has no estimator.
    #[error("the feeder cannot be estimated: {0}")]
    Estimator(#[from] NotEstimable),
    /// Its limited elements cannot be judged.
    #[error("no outlook for the feeder: {0}")]
    Outlook(#[from] FlowError),
    /// Two devices with one number.
    #[error("device {device} is given twice")]
    DuplicateDevice {
        /// Which.
        device: DeviceId,
    },
}

/// One market area (here: one feeder).
#[derive(Debug)]
pub struct Area {
    /// Short name, used in topics.
    pub name: String,
    /// The feeder.
    pub feeder: Arc<Feeder>,
    /// Its estimator.
    pub estimator: Arc<LiveEstimator>,
    /// How loaded its limited elements would be.
    pub outlooks: OutlookStudy,
    /// Devices by number.
    pub devices: BTreeMap<DeviceId, Device>,
    /// The elements that could be overloaded.
    pub limited: Vec<LimitedElement>,
    /// Which congestion points each zone's consumption flows through.
    pub zones: Zones,
    /// The zone of each usage point.
    pub zone_of: BTreeMap<UsagePointId, ZoneId>,
    /// The bus of each usage point.
    pub bus_of: BTreeMap<UsagePointId, BusId>,
    /// Limits of measurements.
    pub plausibility: Plausibility,
    /// Which source is believed when several report the same point.
    pub ranks: Ranks,
    /// Standard deviation of a point's values as a share of them, where the usual one of its quantity is not meant.
    pub accuracies: BTreeMap<PointId, f64>,
    /// Rules of the market.
    pub rules: Rules,
    /// Rules by which FlexOffer Agents make offers.
    pub offer_rules: OfferRules,
    /// Rules of the DSO.
    pub dso: DsoRules,
    /// What was agreed with prosumers who delegate their trading.
    pub delegations: Vec<Delegation>,
}

/// What a prosumer gets for delegating its trading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    /// Who.
    pub prosumer: ProsumerId,
    /// The first month.
    pub from: Month,
    /// How much.
    pub contract: DelegatedContract,
}

impl Area {
    /// Works out limits and zones.
    pub fn new(
        name: impl Into<String>,
        feeder: Arc<Feeder>,
        devices: Vec<Device>,
        rules: (Rules, OfferRules, DsoRules),
    ) -> Result<Self, AreaError> {
        let (rules, offer_rules, dso) = rules;
        let points = feeder.network().usage_points();
        let bus_of: BTreeMap<_, _> = points.iter().map(|point| (point.id, point.bus)).collect();
        let mut p_max_w = vec![dso.p_household_max_w; points.len()];
        let mut by_id = BTreeMap::new();
        for device in devices {
            let Some(at) = points.iter().position(|point| point.id == device.usage_point) else {
                let (device, usage_point) = (device.id, device.usage_point);
                return Err(AreaError::UnknownUsagePoint { device, usage_point });
            };
            p_max_w[at] += device.p_max_w;
            if by_id.insert(device.id, device).is_some() {
                return Err(AreaError::DuplicateDevice { device: device.id });
            }
        }
        let limited = limited_elements(&feeder, &p_max_w);
        let outlooks = OutlookStudy::new(feeder.clone(), &limited)?;
        let paths = zones(&feeder, &limited);
        let mut known: BTreeMap<Vec<Carried>, ZoneId> = BTreeMap::new();
        let mut zone_of = BTreeMap::new();
        for (point, path) in points.iter().zip(paths) {
            let carried =
                |(element, share): &(LimitedElement, f64)| Carried::part(congestion_point(element), *share);
            let path: Vec<_> = path.iter().map(carried).collect();
            let next = ZoneId(known.len() as u32);
            zone_of.insert(point.id, *known.entry(path).or_insert(next));
        }
        let zones = known.into_iter().map(|(path, zone)| (zone, path)).collect();
        let plausibility = Plausibility::new(feeder.network(), &register(&by_id, &dso, None));
        Ok(Self {
            name: name.into(),
            estimator: Arc::new(LiveEstimator::new(feeder.clone())?),
            feeder,
            devices: by_id,
            limited,
            outlooks,
            zones,
            zone_of,
            bus_of,
            plausibility,
            ranks: Ranks::default(),
            accuracies: BTreeMap::new(),
            rules,
            offer_rules,
            dso,
            delegations: Vec::new(),
        })
    }

    /// All generators are known: the most that those behind a connection feed in, W. Whoever has none, and no battery, only
    /// takes; a value that says otherwise has the wrong sign.
    pub fn know_generators(&mut self, generators: BTreeMap<UsagePointId, f64>) {
        let register = register(&self.devices, &self.dso, Some(generators));
        self.plausibility = Plausibility::new(self.feeder.network(), &register);
    }
}

/// What measurements are judged by besides the network.
fn register(
    devices: &BTreeMap<DeviceId, Device>,
    dso: &DsoRules,
    generators: Option<BTreeMap<UsagePointId, f64>>,
) -> Register {
    let devices = devices.values().map(|device| RegisteredDevice {
        id: device.id,
        usage_point: device.usage_point,
        p_max_w: device.p_max_w,
        feeds_in: device.kind.feeds_in(),
    });
    Register { devices: devices.collect(), generators, p_household_max_w: dso.p_household_max_w }
}

/// The market's name of a limited element.
pub fn congestion_point(element: &LimitedElement) -> CongestionPoint {
    CongestionPoint { branch: element.branch, phase: element.phase }
}
