//! One low-voltage network, with its transformer, several times at one medium-voltage busbar: a district.

use super::topology::tree;
use grid::network::NetworkParts;
use grid::{BranchId, BusId, Network, UsagePointId};
use std::collections::BTreeSet;

/// How far apart the copies are drawn, in widths of one.
const APART: f64 = 1.1;

/// What hangs below the transformers of a network, `count` times. The first keeps its numbers; copy k (from 0) has them k times a
/// power of ten higher. Fewer than two copies leave the network as it is.
pub(crate) fn repeated(network: Network, count: u32) -> NetworkParts {
    let below = below_transformers(&network);
    let mut parts = network.into_parts();
    let one = parts.clone();
    let step = step(&one);
    let xs = || one.buses.iter().filter_map(|bus| bus.position_m).map(|(x, _)| x);
    let width_m = xs().fold(f64::NEG_INFINITY, f64::max) - xs().fold(f64::INFINITY, f64::min);
    for copy in 1..count {
        let more = copy * step;
        let bus = |id: BusId| if below.contains(&id) { BusId(id.0 + more) } else { id };
        let moved = |at: Option<(f64, f64)>| at.map(|(x, y)| (x + f64::from(copy) * APART * width_m, y));
        for old in one.buses.iter().filter(|old| below.contains(&old.id)) {
            let mut new = old.clone();
            (new.id, new.position_m) = (bus(old.id), moved(old.position_m));
            parts.buses.push(new);
        }
        for old in one.lines.iter().filter(|old| below.contains(&old.to) || below.contains(&old.from)) {
            let mut new = old.clone();
            (new.id, new.from, new.to) = (BranchId(old.id.0 + more), bus(old.from), bus(old.to));
            parts.lines.push(new);
        }
        for old in &one.transformers {
            let mut new = old.clone();
            (new.id, new.from, new.to) = (BranchId(old.id.0 + more), bus(old.from), bus(old.to));
            parts.transformers.push(new);
        }
        for old in &one.usage_points {
            let mut new = old.clone();
            (new.id, new.bus) = (UsagePointId(old.id.0 + more), bus(old.bus));
            parts.usage_points.push(new);
        }
    }
    parts
}

/// The buses that are fed through a transformer.
fn below_transformers(network: &Network) -> BTreeSet<BusId> {
    let mut below = BTreeSet::new();
    for (at, above) in tree(network) {
        let (buses, lines) = (network.buses(), network.lines().len());
        if above.is_some_and(|(parent, branch)| branch >= lines || below.contains(&buses[parent].id)) {
            below.insert(buses[at].id);
        }
    }
    below
}

/// A power of ten above every number.
fn step(parts: &NetworkParts) -> u32 {
    let buses = parts.buses.iter().map(|bus| bus.id.0);
    let branches =
        parts.lines.iter().map(|line| line.id.0).chain(parts.transformers.iter().map(|unit| unit.id.0));
    let points = parts.usage_points.iter().map(|point| point.id.0);
    let most = buses.chain(branches).chain(points).max().unwrap_or(0);
    10_u32.saturating_pow(most.max(1).ilog10() + 1)
}

#[cfg(test)]
mod tests {
    use crate::field::instruments::Instruments;
    use crate::plant::fleet::settle;
    use crate::plant::network;
    use crate::scenario::Scenario;
    use estimation::Feeder;
    use grid::BusId;

    #[test]
    fn every_copy_has_its_transformer_its_homes_and_numbers_of_its_own() {
        let one = network(&Scenario::first_light().unwrap()).unwrap();
        let mut scenario = Scenario::first_light().unwrap();
        scenario.grid.substations = 19;
        let district = network(&scenario).unwrap();
        assert_eq!(district.transformers().len(), 19);
        assert_eq!(district.usage_points().len(), 19 * 55);
        assert_eq!(district.buses().len(), 1 + 19 * (one.buses().len() - 1));
        assert_eq!(district.lines().len(), 19 * one.lines().len());
        assert_eq!(district.sources().len(), 1);
        let (a, b) = (one.usage_points()[7].clone(), district.usage_points()[55 + 7].clone());
        assert_eq!((b.id.0, b.bus), (a.id.0 + 10_000, BusId(a.bus.0 + 10_000)));
        assert_eq!(district.transformers()[18].s_rated_va, 250e3);
    }

    #[test]
    fn what_flows_in_one_does_not_change_the_others() {
        let mut scenario = Scenario::first_light().unwrap();
        scenario.grid.substations = 3;
        let feeder = Feeder::new(&network(&scenario).unwrap()).unwrap();
        let mut loads = vec![num_complex::Complex64::new(1e3, 300.0); 3 * 55];
        let before = feeder.solve(&loads).unwrap();
        loads[55..2 * 55].fill(num_complex::Complex64::new(2e3, 500.0));
        let after = feeder.solve(&loads).unwrap();
        let loading = |flow: &estimation::FlowSolution, copy: usize| flow.loading(3 * 905 + copy).unwrap();
        assert!((loading(&before, 0) - loading(&before, 2)).abs() < 1e-9);
        assert!(loading(&after, 1) > 1.9 * loading(&before, 1));
        // They share the source, whose impedance is small.
        assert!((loading(&after, 2) - loading(&before, 2)).abs() < 1e-3 * loading(&before, 2));
    }

    #[test]
    fn merged_sections_carry_the_same_with_a_tenth_of_the_buses() {
        let mut scenario = Scenario::first_light().unwrap();
        let whole = network(&scenario).unwrap();
        scenario.grid.merge_unloaded = true;
        let merged = network(&scenario).unwrap();
        assert!(merged.buses().len() < whole.buses().len() / 7, "{} buses", merged.buses().len());
        assert_eq!(merged.usage_points(), whole.usage_points());
        let (before, after) = (Feeder::new(&whole).unwrap(), Feeder::new(&merged).unwrap());
        let loads: Vec<_> =
            (0..55).map(|home| num_complex::Complex64::new(300.0 + 90.0 * f64::from(home), 200.0)).collect();
        let (before, after) = (before.solve(&loads).unwrap(), after.solve(&loads).unwrap());
        for (bus, voltages) in merged.buses().iter().zip(&after.voltages_v) {
            let there = &before.voltages_v[whole.bus_index(bus.id).unwrap()];
            for (one, other) in voltages.iter().zip(there) {
                assert!((one - other).norm() < 1e-9 * bus.u_rated_v, "bus {}: {one} and {other} V", bus.id);
            }
        }
        let tightest = |flow: &estimation::FlowSolution, lines: usize| {
            let all = (0..lines).filter_map(|line| flow.loading(line));
            (all.fold(0.0, f64::max), flow.loading(lines).unwrap())
        };
        let (one, other) = (tightest(&before, whole.lines().len()), tightest(&after, merged.lines().len()));
        assert!(one.0 > 0.1 && (one.0 - other.0).abs() < 1e-9, "{one:?} and {other:?}");
        assert!((one.1 - other.1).abs() < 1e-9, "{one:?} and {other:?}");
    }

    #[test]
    fn merged_sections_leave_homes_devices_and_monitors_where_they_were() {
        let mut scenario = Scenario::first_light().unwrap();
        let whole = network(&scenario).unwrap();
        scenario.grid.merge_unloaded = true;
        let merged = network(&scenario).unwrap();
        let devices =
            |network| settle(&scenario, network).1.iter().map(|device| device.id).collect::<Vec<_>>();
        assert_eq!(devices(&whole), devices(&merged));
        let monitored = |network: &grid::Network| {
            let instruments = Instruments::place(&Feeder::new(network).unwrap(), &scenario);
            let places = instruments.monitors().iter();
            places
                .map(|at| (network.lines()[at.line].id, network.buses()[at.bus].id))
                .collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(monitored(&whole), monitored(&merged));
    }
}
