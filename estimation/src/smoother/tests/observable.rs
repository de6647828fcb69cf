use super::nets::{Dice, Sensors, random_case, readings};
use super::oracle;
use crate::smoother::{Observability, Smoother};

/// Compares with the rank of the dense Jacobian; returns how many wires were not measured, of how many.
fn compare(seeds: std::ops::Range<u64>) -> (usize, usize) {
    let (mut unknown, mut all) = (0, 0);
    for seed in seeds {
        let mut dice = Dice::new(50_000 + seed);
        let wires = if dice.chance(0.5) { 1 } else { 3 };
        let buses = 2 + dice.below(5);
        let case = random_case(&mut dice, buses, wires);
        let mut values =
            readings(&mut dice, &case, Sensors { flows: true, free: true, ..Sensors::default() });
        // Sensors fail, readings of loads become expectations, some vanish.
        let keep = dice.unit();
        values.voltages.retain(|_| dice.chance(0.3 + 0.7 * keep));
        values.powers.retain(|_| dice.chance(0.5));
        let gone: Vec<_> = values.injections.iter().map(|_| dice.chance(0.25 * (1.0 - keep))).collect();
        for (reading, gone) in values.injections.iter().zip(&gone) {
            if *gone {
                values.free.push(reading.bus * wires as u32 + u32::from(reading.wire));
            }
        }
        values.free.sort_unstable();
        values.free.dedup();
        let free = values.free.clone();
        values.injections.retain(|r| !free.contains(&(r.bus * wires as u32 + u32::from(r.wire))));
        let pseudo = values.injections.len() - values.injections.len() / 4;
        values.first_pseudo = Some(pseudo as u32);
        let mut smoother = Smoother::new(&case.circuit, &case.tree, &values).expect("a tree");
        let ours = smoother.observability();
        // The rank at the same state: the start, or the estimate when there is one.
        let state = smoother.state();
        let mut real = values.clone();
        for reading in real.injections.split_off(pseudo) {
            real.free.push(reading.bus * wires as u32 + u32::from(reading.wire));
        }
        real.free.sort_unstable();
        let without = oracle::determined(&case.circuit, &case.tree, &real, &state);
        let with = oracle::determined(&case.circuit, &case.tree, &values, &state);
        for (wire, ours) in ours.iter().enumerate() {
            let (Some(with), Some(without)) = (with[wire], without[wire]) else { continue };
            let theirs = match (with, without) {
                (false, _) => Observability::Unknown,
                (true, false) => Observability::ByPseudoMeasurement,
                (true, true) => Observability::Measured,
            };
            assert_eq!(
                *ours,
                theirs,
                "seed {seed}: wire {wire} of {buses} buses with {wires}; free {:?}, voltages {:?}, powers {:?}, {:?}",
                values.free,
                values.voltages.iter().map(|r| (r.bus, r.wire)).collect::<Vec<_>>(),
                values.powers.iter().map(|r| (r.place, r.wire, r.variance_q.is_some())).collect::<Vec<_>>(),
                case.circuit.series,
            );
            all += 1;
            unknown += usize::from(theirs != Observability::Measured);
        }
    }
    (unknown, all)
}

#[test]
fn observability_of_every_wire_is_that_of_the_rank() {
    let (unknown, all) = compare(0..2000);
    assert!(unknown * 20 > all && unknown * 20 < all * 19, "{unknown} of {all}: nothing to tell apart");
}

#[test]
#[ignore = "twenty thousand networks"]
fn observability_of_every_wire_is_that_of_the_rank_in_many_networks() {
    compare(1000..21_000);
}
