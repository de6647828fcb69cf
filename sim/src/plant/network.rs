//! The scenario's network: the network file with another transformer and a reinforced trunk.

use super::substations::repeated;
use super::topology::homes_behind;
use crate::scenario::{GridSettings, Scenario};
use connectors::network_file::{self, NetworkFileError};
use grid::network::{Line, NetworkParts, Transformer};
use grid::{BranchId, Network, NetworkError};
use std::collections::BTreeSet;
use std::path::Path;
use thiserror::Error;

/// The network file of the demo, see `sim/networks`.
pub const EUROPEAN_LV: &[u8] = include_bytes!("../../networks/ieee_european_lv.json");

/// Why the scenario has no network.
#[derive(Debug, Error)]
pub enum ScenarioNetworkError {
    /// The network file cannot be used.
    #[error(transparent)]
    File(#[from] NetworkFileError),
    /// The changed network is none.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Only one transformer can be replaced.
    #[error("the network has {count} transformers, the scenario replaces exactly one")]
    Transformers {
        /// How many there are.
        count: usize,
    },
    /// A section to be reinforced whose length is not known.
    #[error("line {line} is to be reinforced, but its buses have no coordinates to tell its length")]
    NoLength {
        /// Which line.
        line: BranchId,
    },
}

/// The cable of a reinforced section, per metre: the data set's `4c_35` (four cores of 0.35 in² copper).
const STRONG_R1_OHM: f64 = 0.089e-3;
const STRONG_X1_OHM: f64 = 0.0675e-3;
const STRONG_R0_OHM: f64 = 0.319e-3;
const STRONG_X0_OHM: f64 = 0.076e-3;
/// Its rating, A, from the table in `scripts/convert_european_lv.py`.
const STRONG_I_A: f64 = 457.0;

/// Largest losses of liquid-filled transformers, tier 1 of EU regulation 548/2014: kVA, load loss W, no-load loss W.
const TIER_1: [(f64, f64, f64); 10] = [
    (50.0, 1100.0, 90.0),
    (100.0, 1750.0, 145.0),
    (160.0, 2350.0, 210.0),
    (250.0, 3250.0, 300.0),
    (315.0, 3900.0, 360.0),
    (400.0, 4600.0, 430.0),
    (500.0, 5500.0, 510.0),
    (630.0, 6500.0, 600.0),
    (800.0, 8400.0, 650.0),
    (1000.0, 10500.0, 770.0),
];
/// No-load current of such transformers, p.u. (typical).
const NO_LOAD_CURRENT_PU: f64 = 0.01;

/// Reads the scenario's network and changes what the scenario changes.
pub fn network(scenario: &Scenario) -> Result<Network, ScenarioNetworkError> {
    let network = match scenario.grid.network.as_str() {
        "ieee_european_lv" => network_file::read(EUROPEAN_LV)?,
        path => network_file::read_path(Path::new(path))?,
    };
    if network.transformers().len() != 1 {
        return Err(ScenarioNetworkError::Transformers { count: network.transformers().len() });
    }
    let mut changed = changed(network, &scenario.grid)?;
    if scenario.grid.merge_unloaded {
        changed = changed.merged(&BTreeSet::new())?.network;
    }
    match scenario.grid.substations {
        0 | 1 => Ok(changed),
        count => Ok(Network::new(repeated(changed, count))?),
    }
}

/// What the scenario changes in the network, in words for whoever looks at its results.
pub fn changes_in_words(scenario: &Scenario) -> Vec<String> {
    let grid = &scenario.grid;
    let district =
        format!("The network with its transformer stands {} times at one busbar.", grid.substations);
    let mut words = vec![
        format!(
            "The transformer has {:.0} kVA (uk {:.1} %) instead of the test feeder's 800 kVA.",
            grid.transformer_kva,
            grid.transformer_uk * 100.0
        ),
        format!(
            "Sections that carry more than {} homes are reinforced to the data set's own 4c_35 cable ({STRONG_I_A:.0} A) \
             and those with more than {} homes to two of them, because otherwise the 4c_70 head section (about 180 A) \
             and not the transformer would be the limit.",
            grid.reinforce_above_homes, grid.double_above_homes
        ),
        "Cable ratings are not part of the data set; they are those of cables of the same size (DIN VDE 0276-603)."
            .to_owned(),
    ];
    if grid.substations > 1 {
        words.insert(0, district);
    }
    if grid.merge_unloaded {
        words.push(
            "Sections in a row without a home between them are drawn as one, with the smallest of their ratings; sections that \
             lead nowhere are left out. Flows are the same."
                .to_owned(),
        );
    }
    words
}

fn changed(network: Network, settings: &GridSettings) -> Result<Network, ScenarioNetworkError> {
    let homes = homes_behind(&network);
    let mut parts = network.into_parts();
    parts.transformers.iter_mut().for_each(|transformer| replace(transformer, settings));
    let lengths_m: Vec<Option<f64>> = parts.lines.iter().map(|line| length_m(&parts, line)).collect();
    for ((line, homes), length_m) in parts.lines.iter_mut().zip(homes).zip(lengths_m) {
        if homes > settings.reinforce_above_homes {
            let length_m = length_m.ok_or(ScenarioNetworkError::NoLength { line: line.id })?;
            let cables = if homes > settings.double_above_homes { 2.0 } else { 1.0 };
            line.r1_ohm = STRONG_R1_OHM * length_m / cables;
            line.x1_ohm = STRONG_X1_OHM * length_m / cables;
            line.r0_ohm = STRONG_R0_OHM * length_m / cables;
            line.x0_ohm = STRONG_X0_OHM * length_m / cables;
            line.i_rated_a = Some(STRONG_I_A * cables);
        }
    }
    let tan_phi = settings.power_factor.acos().tan();
    for point in &mut parts.usage_points {
        point.p_specified_w = settings.assumed_p_w;
        point.q_specified_var = settings.assumed_p_w * tan_phi;
    }
    Ok(Network::new(parts)?)
}

fn replace(transformer: &mut Transformer, settings: &GridSettings) {
    let (load_loss_w, no_load_loss_w) = losses_w(settings.transformer_kva);
    transformer.s_rated_va = settings.transformer_kva * 1e3;
    transformer.uk_pu = settings.transformer_uk;
    transformer.pk_w = load_loss_w;
    transformer.p0_w = no_load_loss_w;
    transformer.i0_pu = NO_LOAD_CURRENT_PU;
}

/// Load and no-load loss, interpolated between the table's ratings and in proportion beyond them.
fn losses_w(kva: f64) -> (f64, f64) {
    let (first, last) = (TIER_1[0], TIER_1[TIER_1.len() - 1]);
    for edge in [first, last] {
        if (kva - edge.0) * (edge.0 - 200.0) >= 0.0 {
            return (edge.1 * kva / edge.0, edge.2 * kva / edge.0);
        }
    }
    for pair in TIER_1.windows(2) {
        let ((low, a_w, a0_w), (high, b_w, b0_w)) = (pair[0], pair[1]);
        if kva <= high {
            let share = (kva - low) / (high - low);
            return (a_w + share * (b_w - a_w), a0_w + share * (b0_w - a0_w));
        }
    }
    (last.1, last.2)
}

/// The distance between the ends of a line; in the data set that is its published length.
fn length_m(parts: &NetworkParts, line: &Line) -> Option<f64> {
    let position = |bus| parts.buses.iter().find(|b| b.id == bus).and_then(|b| b.position_m);
    let ((ax, ay), (bx, by)) = (position(line.from)?, position(line.to)?);
    Some((ax - bx).hypot(ay - by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_feeder_is_complete() {
        let network = network_file::read(EUROPEAN_LV).unwrap();
        assert_eq!(network.buses().len(), 907);
        assert_eq!(network.lines().len(), 905);
        assert_eq!(network.usage_points().len(), 55);
        assert!(network.usage_points().iter().all(|point| point.phase.is_some()));
        assert!(network.lines().iter().all(|line| line.i_rated_a.is_some()));
    }

    #[test]
    fn the_coordinates_tell_the_length_of_every_section() {
        let parts = network_file::read(EUROPEAN_LV).unwrap().into_parts();
        for line in &parts.lines {
            // The data set's ten cable types, ohm per km.
            let published = [3.97, 1.257, 1.15, 0.868, 0.469, 0.274, 0.166, 0.089, 0.446, 0.322]
                .map(|ohm_per_km| line.r1_ohm / ohm_per_km * 1e3);
            let length_m = length_m(&parts, line).unwrap();
            assert!(
                published.iter().any(|m| (length_m - m).abs() < 0.02 * length_m + 0.003),
                "line {}",
                line.id
            );
        }
    }

    #[test]
    fn the_transformer_is_replaced_and_the_trunk_reinforced() {
        let scenario = Scenario::first_light().unwrap();
        let network = network(&scenario).unwrap();
        let transformer = &network.transformers()[0];
        assert_eq!(transformer.s_rated_va, scenario.grid.transformer_kva * 1e3);
        assert_eq!((losses_w(250.0), losses_w(25.0)), ((3250.0, 300.0), (550.0, 45.0)));
        assert_eq!(losses_w(2000.0), (21_000.0, 1540.0));
        assert_eq!(losses_w(205.0), (2800.0, 255.0));
        let strong = network.lines().iter().filter(|line| line.i_rated_a == Some(STRONG_I_A)).count();
        assert!(strong > 50 && strong < 200, "{strong}");
        assert_eq!(network.lines()[0].i_rated_a, Some(2.0 * STRONG_I_A));
    }
}
