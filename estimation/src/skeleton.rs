//! A feeder without the buses at which nothing happens: what remains are the buses where power is taken, the branchings, the
//! ends of the feeder and of chosen branches. A chain of branches between two of them is one two-port, so the power flow
//! of what remains is that of the feeder, at a fraction of the work: measured networks have a bus for each bend of a cable.

mod side_by_side;

use crate::feeder::Feeder;
use crate::two_port::TwoPort;
use side_by_side::Between;

pub(crate) use side_by_side::{LANES, Loads, Settled};

/// See the module's head.
#[derive(Debug, Clone, Default)]
pub(crate) struct Skeleton {
    /// The feeder's position of each node; parents stand before their children.
    positions: Vec<usize>,
    /// For each node but the first: the node above, and what lies between.
    above: Vec<(usize, Between)>,
    /// The node of each usage point.
    taps: Vec<usize>,
}

impl Skeleton {
    /// Of a feeder, with both ends of the branches above these positions. The branches themselves are then sections of their own.
    pub(crate) fn new(feeder: &Feeder, chosen: impl IntoIterator<Item = usize>) -> Self {
        let buses = feeder.order.len();
        let mut stays = vec![false; buses];
        // A chain that cannot be one two-port stays what it is, with everything else.
        let as_it_is = || Self::of(feeder, &vec![true; buses]);
        let mut children = vec![0_u32; buses];
        stays[0] = true;
        feeder.taps.iter().for_each(|tap| stays[tap.position] = true);
        for section in &feeder.sections {
            children[section.parent] += 1;
            stays[section.parent] |= children[section.parent] > 1;
        }
        // An end at which nothing is taken may still end a cable that is charged.
        (0..buses).filter(|&position| children[position] == 0).for_each(|position| stays[position] = true);
        for position in chosen {
            if let Some(section) = feeder.section(position) {
                (stays[position], stays[section.parent]) = (true, true);
            }
        }
        Self::of(feeder, &stays).or_else(as_it_is).unwrap_or_default()
    }

    fn of(feeder: &Feeder, stays: &[bool]) -> Option<Self> {
        let mut node = vec![usize::MAX; stays.len()];
        let (mut positions, mut above) = (vec![0], Vec::new());
        node[0] = 0;
        for position in (1..stays.len()).filter(|&position| stays[position]) {
            let (top, port) = chain(feeder, position, stays)?;
            above.push((node[top], Between::new(port)));
            node[position] = positions.len();
            positions.push(position);
        }
        let taps = feeder.taps.iter().map(|tap| node[tap.position]).collect();
        Some(Self { positions, above, taps })
    }

    /// The node at a position that stays.
    pub(crate) fn node_at(&self, position: usize) -> Option<usize> {
        self.positions.binary_search(&position).ok()
    }

    /// The node above one.
    pub(crate) fn parent(&self, node: usize) -> Option<usize> {
        Some(self.above.get(node.checked_sub(1)?)?.0)
    }
}

/// What lies between a position and the next one above that stays, if it can be one two-port.
fn chain(feeder: &Feeder, position: usize, stays: &[bool]) -> Option<(usize, TwoPort)> {
    let section = feeder.section(position)?;
    let (mut top, mut port) = (section.parent, section.port.clone());
    while !stays[top] {
        let section = feeder.section(top)?;
        port = section.port.then(&port)?;
        top = section.parent;
    }
    Some((top, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{network, read};
    use crate::power_flow::FlowError;
    use crate::two_port::PhaseVector;
    use num_complex::Complex64;
    use proptest::prelude::*;

    /// Settled for these loads in one lane, and for parts of them in the others.
    fn settled(feeder: &Feeder, skeleton: &Skeleton, loads: &[Complex64], lane: usize) -> Settled {
        let mut settled = skeleton.without_load(feeder);
        let all = Loads::new(loads.len(), |point, other| loads[point] / (1 + other.abs_diff(lane)) as f64);
        skeleton.settle(feeder, &all, &mut settled).unwrap();
        settled
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        #[test]
        fn its_power_flow_is_that_of_the_feeder(
            loads in prop::collection::vec((-5e3..8e3_f64, -2e3..2e3_f64), 55),
            chosen in prop::collection::vec(1..906_usize, 0..20),
            lane in 0..LANES,
        ) {
            let feeder = Feeder::new(&network(&read("../sim/networks/ieee_european_lv.json"))).unwrap();
            let loads: Vec<Complex64> = loads.iter().map(|&(p, q)| Complex64::new(p, q)).collect();
            let skeleton = Skeleton::new(&feeder, chosen.iter().copied());
            prop_assert!(skeleton.positions.len() < 240, "{}", skeleton.positions.len());
            let (all, kept) = (feeder.solve(&loads).unwrap(), settled(&feeder, &skeleton, &loads, lane));
            for (node, position) in skeleton.positions.iter().enumerate() {
                let expected = PhaseVector::from(all.voltages_v[feeder.order[*position]]);
                let voltage = kept.voltage(node, lane);
                prop_assert!((voltage - expected).norm() < 1e-6, "{voltage} {expected}");
            }
            for position in chosen {
                let (node, branch) = (skeleton.node_at(position).unwrap(), feeder.section(position).unwrap().branch);
                let from = feeder.section(position).unwrap().fed_from_from;
                let ends = if from { &all.currents_to_a } else { &all.currents_from_a };
                let expected = -PhaseVector::from(ends[branch]);
                prop_assert!((kept.current(node, lane) - expected).norm() < 1e-5);
            }
        }
    }

    #[test]
    fn charging_and_transformers_lie_between_its_nodes_too() {
        let mut charged = network(&read("../sim/networks/ieee_european_lv.json")).into_parts();
        charged.lines.iter_mut().for_each(|line| (line.c1_f, line.c0_f) = (2e-7, 1e-7));
        let charged = grid::Network::new(charged).unwrap();
        let case = |name: &str| network(&read(&format!("cases/{name}/input.json")));
        for network in [charged, case("dyn1"), case("dyn11"), case("ynyn0"), case("ynyn6_fed_from_winding_2")]
        {
            let feeder = Feeder::new(&network).unwrap();
            let loads = vec![Complex64::new(2e3, 5e2); feeder.taps.len()];
            let skeleton = Skeleton::new(&feeder, []);
            let (all, kept) = (feeder.solve(&loads).unwrap(), settled(&feeder, &skeleton, &loads, 1));
            for (node, position) in skeleton.positions.iter().enumerate() {
                let expected = PhaseVector::from(all.voltages_v[feeder.order[*position]]);
                let off = (kept.voltage(node, 1) - expected).norm();
                assert!(off < 1e-6 * expected.norm(), "position {position}: {off:e} V");
            }
        }
    }

    #[test]
    fn more_than_it_can_carry_is_an_error_that_names_a_bus() {
        let feeder = Feeder::new(&network(&read("../sim/networks/ieee_european_lv.json"))).unwrap();
        let skeleton = Skeleton::new(&feeder, []);
        let mut settled = skeleton.without_load(&feeder);
        // In one lane only.
        let loads = Loads::new(55, |_, lane| Complex64::new(if lane == 2 { 1e6 } else { 1e3 }, 0.0));
        let error = skeleton.settle(&feeder, &loads, &mut settled).unwrap_err();
        assert!(matches!(error, FlowError::Diverged { .. }), "{error}");
    }
}
