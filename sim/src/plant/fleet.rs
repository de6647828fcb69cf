//! Who owns what: which homes have a charger, a heat pump, a battery, a solar roof; and how they are numbered.

use super::battery::Battery;
use super::charger::Charger;
use super::heat_pump::HeatPump;
use super::orders::Orders;
use super::stream::{Purpose, normal, stream, uniform};
use super::topology::shared_services;
use crate::scenario::Scenario;
use grid::network::UsagePoint;
use grid::{DeviceId, Network, Phase, ProsumerId, UsagePointId};
use rand::Rng;
use std::collections::BTreeSet;

/// What a device is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Charger(Charger),
    Battery(Battery),
    HeatPump(HeatPump),
}

/// A controllable device with its meter.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    /// Position of its home.
    pub(crate) home: usize,
    pub(crate) kind: Kind,
    pub(crate) orders: Orders,
    /// Energy taken in the present slot so far, Wh.
    pub(crate) taken_wh: f64,
    /// Mean power of the last minute, W.
    pub(crate) p_w: f64,
}

/// A home behind one usage point.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    pub(crate) usage_point: UsagePointId,
    pub(crate) prosumer: ProsumerId,
    /// The name of its random streams.
    pub(crate) owner: u64,
    /// Scales household demand; 1 is average.
    pub(crate) size: f64,
    /// Peak power of its solar roof, W; 0 without one.
    pub(crate) pv_peak_w: f64,
}

/// Homes and devices of a scenario. Home number n (from 1, in the network's order) is prosumer n; its charger is
/// device 10 n + 1, its battery 10 n + 2, its heat pump 10 n + 3. Homes on one service cable get one charger
/// and one heat pump at most, as network operators ask for before a looped service is rebuilt.
pub(crate) fn settle(scenario: &Scenario, network: &Network) -> (Vec<Home>, Vec<Device>) {
    let seed = scenario.seed;
    let usage_points = network.usage_points();
    let alone: Vec<usize> = (0..usage_points.len()).collect();
    let services = shared_services(network);
    let mut homes: Vec<Home> = (usage_points.iter().zip(1_u32..))
        .map(|(point, number)| {
            let owner = u64::from(point.id.0);
            let mut rng = stream(seed, Purpose::Household, owner, 0);
            Home {
                usage_point: point.id,
                prosumer: ProsumerId(number),
                owner,
                size: (0.25 * normal(&mut rng)).exp().clamp(0.5, 1.8) / 1.03,
                pv_peak_w: 0.0,
            }
        })
        .collect();
    let pv = &scenario.photovoltaics;
    for home in draw(seed, 4, pv.count, usage_points, &alone) {
        let mut rng = stream(seed, Purpose::Household, homes[home].owner, 1);
        homes[home].pv_peak_w = uniform(&mut rng, pv.p_peak_min_w, pv.p_peak_max_w);
    }
    let mut devices = Vec::new();
    let mut place = |code: u32, count: usize, make: &dyn Fn(u64) -> Kind| {
        let groups = if code == 2 { &alone } else { &services };
        for home in draw(seed, u64::from(code), count, usage_points, groups) {
            let id = DeviceId(10 * homes[home].prosumer.0 + code);
            let kind = make(homes[home].owner);
            devices.push(Device { id, home, kind, orders: Orders::default(), taken_wh: 0.0, p_w: 0.0 });
        }
    };
    place(1, scenario.chargers.count, &|owner| Kind::Charger(Charger::new(&scenario.chargers, seed, owner)));
    place(2, scenario.batteries.count, &|owner| {
        Kind::Battery(Battery::new(&scenario.batteries, seed, owner))
    });
    place(3, scenario.heat_pumps.count, &|owner| {
        Kind::HeatPump(HeatPump::new(&scenario.heat_pumps, seed, owner))
    });
    devices.sort_by_key(|device| device.id);
    (homes, devices)
}

/// Draws different homes, `count` or as many as there are: the same number on each phase, as connection rules ask
/// for, and one per group.
fn draw(seed: u64, what: u64, count: usize, usage_points: &[UsagePoint], groups: &[usize]) -> Vec<usize> {
    let mut order: Vec<(u64, usize)> = (usage_points.iter().enumerate())
        .map(|(position, point)| {
            let mut rng = stream(seed, Purpose::Fleet, u64::from(point.id.0), what.cast_signed());
            (uniform(&mut rng, 0.0, 1e15) as u64, position)
        })
        .collect();
    order.sort_unstable();
    let mut homes: Vec<usize> = Vec::with_capacity(count);
    let mut taken = BTreeSet::new();
    let phases = [Some(Phase::A), Some(Phase::B), Some(Phase::C), None];
    let first = (stream(seed, Purpose::Fleet, 0, what.cast_signed()).next_u32() % 3) as usize;
    let mut turn = phases.iter().cycle().skip(first);
    for _ in 0..phases.len() * usage_points.len() {
        let Some(phase) = turn.next() else { break };
        let free =
            |&(_, home): &(u64, usize)| usage_points[home].phase == *phase && !taken.contains(&groups[home]);
        if homes.len() < count
            && let Some(at) = order.iter().position(free)
        {
            let (_, home) = order.remove(at);
            taken.insert(groups[home]);
            homes.push(home);
        }
    }
    homes.sort_unstable();
    homes
}

#[cfg(test)]
mod tests {
    use super::*;
    use grid::{BusId, Phase};

    fn points() -> Vec<UsagePoint> {
        (0..55)
            .map(|n| UsagePoint {
                id: UsagePointId(3001 + n),
                bus: BusId(n),
                phase: Some(Phase::ALL[n as usize % 3]),
                p_specified_w: 1000.0,
                q_specified_var: 0.0,
            })
            .collect()
    }

    #[test]
    fn every_home_is_drawn_once_and_the_phases_share() {
        let alone: Vec<usize> = (0..55).collect();
        for (seed, count) in [(1, 30), (2, 12), (3, 55), (4, 1), (5, 80), (6, 0)] {
            let homes = draw(seed, 1, count, &points(), &alone);
            assert_eq!(homes.len(), count.min(55));
            assert!(homes.windows(2).all(|pair| pair[0] < pair[1]));
            let on_a = homes.iter().filter(|&&home| home % 3 == 0).count() as f64;
            assert!((on_a - homes.len() as f64 / 3.0).abs() <= 1.0);
        }
    }

    #[test]
    fn a_group_is_drawn_once() {
        let pairs: Vec<usize> = (0..55).map(|home| home / 2).collect();
        let homes = draw(7, 1, 55, &points(), &pairs);
        assert_eq!(homes.len(), 28);
        assert!(homes.windows(2).all(|pair| pair[0] / 2 != pair[1] / 2));
    }

    #[test]
    fn devices_are_numbered_after_their_home() {
        let scenario = Scenario::first_light().unwrap();
        let (homes, devices) = settle(&scenario, &crate::plant::network(&scenario).unwrap());
        assert_eq!(homes.len(), 55);
        let expected = scenario.chargers.count + scenario.batteries.count + scenario.heat_pumps.count;
        assert_eq!(devices.len(), expected);
        for device in &devices {
            assert_eq!(device.id.0 / 10, homes[device.home].prosumer.0);
        }
    }
}
