//! Whether an estimate fits its readings, and if not, who or what is to blame.

use super::doubts::{self, Doubt};
use super::estimate::EstimateStudy;
use crate::circuit::{Circuit, Readings};
use crate::diagnosis::{
    Detectability, Evidence, Fits, Fitted, MISSED, Ranking, Reading, Row, Rules, Standing, Verdict, base,
    detectability, judge, network_is_wrong, rank,
};
use crate::on_tree::OnTree;
use crate::solve::{NoSolution, Tolerance};
use crate::sparse::General;
use grid::Network;
use num_complex::Complex64;

/// Hypotheses that are estimated anew.
const TRIED: usize = 8;

/// What an estimate says of its readings and of the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis {
    /// Every number of every reading, p.u.; `Row::sensor` is a position among the sensors.
    pub rows: Vec<Row>,
    /// Chi-square, largest normalised residual, suspects.
    pub verdict: Verdict,
    /// Which error of which row would be seen, with the same false alarms, and missed with [`MISSED`].
    pub detectability: Vec<Detectability>,
    /// What may be different in the network, best explanation first.
    pub doubts: Vec<(Doubt, Standing)>,
    /// Hypotheses that were not asked: too many, or phases of sensors that fit.
    pub doubts_left_out: usize,
    /// Probability, at most, that any hypothesis explains as much as the best one when the network is as it is said to be.
    pub chance: f64,
    /// Whether that is below the rules' false alarm, and the hypothesis explains more than the suspects do. A suspect is a
    /// free number, chosen as the largest of all: it counts for the square of the limit less than it takes from J.
    pub network_doubted: bool,
}

impl Diagnosis {
    /// Whether no reading could be checked at all.
    pub fn unchecked(&self) -> bool {
        self.detectability.iter().all(Detectability::critical)
    }
}

/// Estimates an edited circuit from the state at hand.
struct Near<'a> {
    voltages: &'a [Complex64],
    tolerance: Tolerance,
}

impl Fits for Near<'_> {
    fn fit(&self, circuit: &Circuit, readings: &Readings) -> Result<Box<dyn Fitted>, NoSolution> {
        let general = General { tolerance: self.tolerance };
        Ok(Box::new(general.keep_from(circuit, readings, self.voltages)?))
    }
}

impl EstimateStudy {
    /// Diagnoses the last estimate. On trees and with a few loops O(n) and a few sparse solves per suspect; on meshes one
    /// solve along a path per row; hypotheses cost a sparse solve each, and the best few an estimate each.
    ///
    /// # Errors
    /// [`NoSolution`] when the matrix at the estimate cannot be factorized.
    pub fn diagnose(&mut self, network: &Network, rules: &Rules) -> Result<Diagnosis, NoSolution> {
        // What the smoother cannot tell, and does not know then, the sparse solver can.
        self.know().ok();
        let Some(voltages) = self.voltages() else { return Ok(nothing()) };
        let (circuit, readings) = (&self.assembly().circuit, &self.gathered().readings);
        Ok(match self.known() {
            Some(known) => self.diagnosis(network, &OnTree::new(circuit, readings, voltages, known), rules),
            None => {
                let fitted = General::default().keep_from(circuit, readings, voltages)?;
                self.diagnosis(network, &fitted, rules)
            }
        })
    }

    fn diagnosis(&self, network: &Network, fitted: &dyn Fitted, rules: &Rules) -> Diagnosis {
        let (assembly, gathered) = (self.assembly(), self.gathered());
        let (circuit, readings) = (&assembly.circuit, &gathered.readings);
        let evidence = Evidence::new(circuit, readings, fitted);
        let verdict = judge(&evidence, fitted, rules);
        let (asked, doubts_left_out) = doubts::doubts(network, assembly, gathered, &evidence);
        let (kinds, hypotheses): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let near = Near { voltages: fitted.voltages(), tolerance: Tolerance::default() };
        let mut ranking = if hypotheses.is_empty() {
            Ranking { objective: verdict.objective, standings: Vec::new(), chance: 1.0 }
        } else {
            rank(circuit, readings, fitted, &near, &hypotheses, TRIED)
        };
        // Those that were not asked had their chance as well.
        let unasked = doubts_left_out as f64 / hypotheses.len().max(1) as f64;
        ranking.chance = (ranking.chance * (1.0 + unasked)).min(1.0);
        let best = ranking.standings.iter().filter_map(|standing| standing.reduction).fold(0.0, f64::max);
        let network_doubted =
            network_is_wrong(&ranking, rules.false_alarm) && best > explained_by_suspects(&verdict);
        let doubts = ranking.standings.into_iter().map(|standing| (kinds[standing.hypothesis], standing));
        Diagnosis {
            detectability: detectability(&evidence, rules.false_alarm, MISSED),
            rows: evidence.rows,
            verdict,
            doubts: doubts.collect(),
            doubts_left_out,
            chance: ranking.chance,
            network_doubted,
        }
    }

    /// The sensors (positions) behind each row: one, or all that were gathered into what a bus takes.
    pub fn sensors_behind(&self, rows: &[Row]) -> Vec<Vec<u32>> {
        let gathered = self.gathered();
        let at_buses = gathered.behind_injections();
        let behind = |row: &Row| match row.reading {
            Reading::Injection(at) => {
                let bus = gathered.readings.injections[at as usize].bus;
                at_buses.get(&bus).cloned().unwrap_or_default()
            }
            _ => vec![row.sensor],
        };
        rows.iter().map(behind).collect()
    }

    /// What 1 p.u. of a row is in V (phase to phase when symmetric), A, W or var; 1 rad for an angle.
    pub fn base_of(&self, row: &Row) -> f64 {
        let assembly = self.assembly();
        base(&assembly.circuit, &self.gathered().readings, row, assembly.symmetric)
    }

    /// The bus (position) that a row is about.
    pub fn bus_of(&self, row: &Row) -> u32 {
        let (circuit, readings) = (&self.assembly().circuit, &self.gathered().readings);
        match row.reading {
            Reading::Voltage(at) => readings.voltages[at as usize].bus,
            Reading::Injection(at) => readings.injections[at as usize].bus,
            Reading::Power(at) => circuit.bus_at(readings.powers[at as usize].place),
            Reading::Current(at) => circuit.bus_at(readings.currents[at as usize].place),
        }
    }

    /// The local wire that a row is about; `None` for the sum of all.
    pub fn wire_of(&self, row: &Row) -> Option<u8> {
        let readings = &self.gathered().readings;
        match row.reading {
            Reading::Voltage(at) => Some(readings.voltages[at as usize].wire),
            Reading::Injection(at) => Some(readings.injections[at as usize].wire),
            Reading::Power(at) => readings.powers[at as usize].wire,
            Reading::Current(at) => Some(readings.currents[at as usize].wire),
        }
    }
}

/// What deleting the suspects takes from J, less what the choice of each is worth.
fn explained_by_suspects(verdict: &Verdict) -> f64 {
    let chosen = verdict.suspects.len() as f64 * verdict.limit * verdict.limit;
    if verdict.suspects.is_empty() { 0.0 } else { verdict.objective - verdict.objective_after - chosen }
}

/// Of a network without voltage.
fn nothing() -> Diagnosis {
    let verdict = Verdict {
        objective: 0.0,
        degrees: 0.0,
        chance: 1.0,
        limit: f64::INFINITY,
        alarm: false,
        suspects: Vec::new(),
        objective_after: 0.0,
        settled: true,
        estimate_again: false,
    };
    Diagnosis {
        rows: Vec::new(),
        verdict,
        detectability: Vec::new(),
        doubts: Vec::new(),
        doubts_left_out: 0,
        chance: 1.0,
        network_doubted: false,
    }
}
