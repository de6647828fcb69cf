//! A feeder without the buses at which nothing happens: what remains are the buses where power is taken, the branchings, the
//! ends of the feeder and of chosen branches. A chain of branches between two of them is one two-port, so the power flow
//! of what remains is that of the feeder, at a fraction of the work: measured networks have a bus for each bend of a cable.

use crate::feeder::Feeder;
use crate::power_flow::{COLLAPSE_PU, FlowError, SWEEPS_MAX, TOLERANCE_PU};
use crate::two_port::{PhaseVector, TwoPort};
use num_complex::Complex64;

/// See the module's head.
#[derive(Debug, Clone, Default)]
pub(crate) struct Skeleton {
    /// The feeder's position of each node; parents stand before their children.
    positions: Vec<usize>,
    /// For each node but the first: the node above, and what lies between.
    above: Vec<(usize, TwoPort)>,
    /// The node of each usage point.
    taps: Vec<usize>,
}

/// Voltages, V, and the currents that flow down into each node, A.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    /// Phase-to-neutral, by node.
    pub(crate) voltages: Vec<PhaseVector>,
    /// By node.
    pub(crate) currents: Vec<PhaseVector>,
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
            above.push((node[top], port));
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

    /// Voltages without load.
    pub(crate) fn without_load(&self, feeder: &Feeder) -> Settled {
        let zero = vec![PhaseVector::zeros(); self.positions.len()];
        let mut settled = Settled { voltages: zero.clone(), currents: zero };
        self.walk_down(feeder, &mut settled);
        settled
    }

    /// Settles for constant powers, one per usage point (VA), from what `settled` holds; the sweeps it took.
    ///
    /// # Errors
    /// As [`Feeder::solve`].
    pub(crate) fn settle(
        &self,
        feeder: &Feeder,
        loads_va: &[Complex64],
        settled: &mut Settled,
    ) -> Result<usize, FlowError> {
        feeder.check_loads(loads_va)?;
        let mut worst = (0, f64::INFINITY);
        for sweep in 1..=SWEEPS_MAX {
            if let Err(node) = self.load_currents(feeder, loads_va, settled) {
                return Err(feeder.diverged((self.positions[node], worst.1), sweep));
            }
            for (index, (parent, port)) in self.above.iter().enumerate().rev() {
                let up = port.current_up(&settled.voltages[*parent], &settled.currents[index + 1]);
                settled.currents[*parent] += up;
            }
            worst = self.walk_down(feeder, settled);
            if worst.1 < TOLERANCE_PU {
                return Ok(sweep);
            }
            if !worst.1.is_finite() {
                return Err(feeder.diverged((self.positions[worst.0], worst.1), sweep));
            }
        }
        Err(feeder.diverged((self.positions[worst.0], worst.1), SWEEPS_MAX))
    }

    /// What is taken at each node; the node of a collapsed voltage when there is one.
    fn load_currents(
        &self,
        feeder: &Feeder,
        loads_va: &[Complex64],
        settled: &mut Settled,
    ) -> Result<(), usize> {
        settled.currents.fill(PhaseVector::zeros());
        for ((load, tap), &node) in loads_va.iter().zip(&feeder.taps).zip(&self.taps) {
            let (phases, share) = tap.shares();
            for phase in phases {
                let voltage = settled.voltages[node][phase.index()];
                let least = COLLAPSE_PU * feeder.u_phase_rated_v[tap.position];
                if voltage.norm_sqr() < least * least {
                    return Err(node);
                }
                settled.currents[node][phase.index()] += (load * share / voltage).conj();
            }
        }
        Ok(())
    }

    /// Sets the voltages that follow from the currents; the node that moved most and by how much, p.u.
    fn walk_down(&self, feeder: &Feeder, settled: &mut Settled) -> (usize, f64) {
        let mut worst = (0, 0.0);
        let first = feeder.emf - feeder.source_z * settled.currents[0];
        for node in 0..self.positions.len() {
            let next = match node.checked_sub(1).map(|index| &self.above[index]) {
                None => first,
                Some((parent, port)) => {
                    port.voltage_down(&settled.voltages[*parent], &settled.currents[node])
                }
            };
            let rated = feeder.u_phase_rated_v[self.positions[node]];
            let moved = (next - settled.voltages[node]).norm_squared() / (rated * rated);
            if moved > worst.1 || moved.is_nan() {
                worst = (node, if moved.is_nan() { f64::INFINITY } else { moved });
            }
            settled.voltages[node] = next;
        }
        (worst.0, worst.1.sqrt())
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
    use proptest::prelude::*;

    fn settled(feeder: &Feeder, skeleton: &Skeleton, loads: &[Complex64]) -> Settled {
        let mut settled = skeleton.without_load(feeder);
        skeleton.settle(feeder, loads, &mut settled).unwrap();
        settled
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        #[test]
        fn its_power_flow_is_that_of_the_feeder(
            loads in prop::collection::vec((-5e3..8e3_f64, -2e3..2e3_f64), 55),
            chosen in prop::collection::vec(1..906_usize, 0..20),
        ) {
            let feeder = Feeder::new(&network(&read("../sim/networks/ieee_european_lv.json"))).unwrap();
            let loads: Vec<Complex64> = loads.iter().map(|&(p, q)| Complex64::new(p, q)).collect();
            let skeleton = Skeleton::new(&feeder, chosen.iter().copied());
            prop_assert!(skeleton.positions.len() < 240, "{}", skeleton.positions.len());
            let (all, kept) = (feeder.solve(&loads).unwrap(), settled(&feeder, &skeleton, &loads));
            for (position, voltage) in skeleton.positions.iter().zip(&kept.voltages) {
                let expected = PhaseVector::from(all.voltages_v[feeder.order[*position]]);
                prop_assert!((voltage - expected).norm() < 1e-6, "{voltage} {expected}");
            }
            for position in chosen {
                let (node, branch) = (skeleton.node_at(position).unwrap(), feeder.section(position).unwrap().branch);
                let from = feeder.section(position).unwrap().fed_from_from;
                let ends = if from { &all.currents_to_a } else { &all.currents_from_a };
                let expected = -PhaseVector::from(ends[branch]);
                prop_assert!((kept.currents[node] - expected).norm() < 1e-5);
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
            let (all, kept) = (feeder.solve(&loads).unwrap(), settled(&feeder, &skeleton, &loads));
            for (position, voltage) in skeleton.positions.iter().zip(&kept.voltages) {
                let expected = PhaseVector::from(all.voltages_v[feeder.order[*position]]);
                let off = (voltage - expected).norm();
                assert!(off < 1e-6 * expected.norm(), "position {position}: {off:e} V");
            }
        }
    }

    #[test]
    fn more_than_it_can_carry_is_an_error_that_names_a_bus() {
        let feeder = Feeder::new(&network(&read("../sim/networks/ieee_european_lv.json"))).unwrap();
        let skeleton = Skeleton::new(&feeder, []);
        let mut settled = skeleton.without_load(&feeder);
        let error = skeleton.settle(&feeder, &[Complex64::new(1e6, 0.0); 55], &mut settled).unwrap_err();
        assert!(matches!(error, FlowError::Diverged { .. }), "{error}");
    }
}
