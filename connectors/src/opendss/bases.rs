//! Rated voltages of buses. The engine solves the unloaded circuit and takes the nearest of `voltagebases`; here the
//! rated voltages of the windings are followed from the sources, which needs no solution.

use super::model::Model;
use super::network::buses_of;
use super::transformer::{Unit, Winding};
use std::collections::BTreeMap;

/// Rated phase-to-phase voltage of every bus, V, as far as a source feeds it.
pub(super) fn rated_voltages(model: &Model) -> BTreeMap<String, f64> {
    let mut joins: BTreeMap<&str, Vec<(&str, f64)>> = BTreeMap::new();
    let mut join = |a, b, factor: f64| {
        joins.entry(a).or_default().push((b, factor));
        joins.entry(b).or_default().push((a, 1.0 / factor));
    };
    for line in model.lines.items.iter().filter(|line| line.enabled) {
        join(&line.buses[0].name, &line.buses[1].name, 1.0);
    }
    for reactor in model.reactors.items.iter().filter(|reactor| reactor.enabled) {
        join(&reactor.buses[0].name, &reactor.buses[1].name, 1.0);
    }
    for transformer in model.transformers.items.iter().filter(|transformer| transformer.enabled) {
        let unit = &transformer.unit;
        if let Some((first, others)) = unit.windings.split_first() {
            for other in others {
                join(
                    &first.bus.name,
                    &other.bus.name,
                    between_phases(unit, other) / between_phases(unit, first),
                );
            }
        }
    }
    let mut found: BTreeMap<String, f64> = BTreeMap::new();
    let sources = model.sources.items.iter().filter(|source| source.enabled);
    let mut waiting: Vec<(&str, f64)> =
        sources.map(|source| (source.bus.name.as_str(), source.base_kv * 1000.0)).collect();
    while let Some((bus, volts)) = waiting.pop() {
        if found.contains_key(bus) {
            continue;
        }
        found.insert(bus.to_owned(), volts);
        for &(next, factor) in joins.get(bus).into_iter().flatten() {
            if !found.contains_key(next) {
                waiting.push((next, volts * factor));
            }
        }
    }
    for volts in found.values_mut() {
        *volts = nearest(&model.options.voltage_bases_kv, *volts);
    }
    // Buses without voltage need a rating all the same.
    let any = model.sources.items.first().map_or(1000.0, |source| source.base_kv * 1000.0);
    for bus in buses_of(model) {
        found.entry(bus.to_owned()).or_insert(any);
    }
    found
}

/// Phase-to-phase voltage at the bus of a winding, when the winding has its rated voltage.
fn between_phases(unit: &Unit, winding: &Winding) -> f64 {
    let to_earth = unit.phases == 1 && !winding.delta && winding.bus.conductors(1, 2).contains(&0);
    winding.kv * if to_earth { 3.0_f64.sqrt() } else { 1.0 }
}

fn nearest(bases_kv: &[f64], volts: f64) -> f64 {
    let distance = |base_kv: f64| (1.0 - volts / (base_kv * 1000.0)).abs();
    let positive = bases_kv.iter().copied().filter(|&base_kv| base_kv > 0.0);
    positive.min_by(|&a, &b| distance(a).total_cmp(&distance(b))).map_or(volts, |base_kv| base_kv * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_base_counts_by_ratio() {
        assert_eq!(nearest(&[115.0, 12.47, 0.48, 0.208], 12_470.0 / 2.0), 12_470.0);
        assert_eq!(nearest(&[115.0, 12.47, 0.48, 0.208], 207.8), 208.0);
        assert_eq!(nearest(&[], 207.8), 207.8);
    }
}
