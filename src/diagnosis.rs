//! What `gridflex estimate --diagnose` answers: do the readings fit the network, whose fault is it if not, which errors
//! could be seen at all, and what may be different in the network.

use connectors::power_grid_model::{Component, Extra, ExtraValues, Input};
use estimation::diagnosis::{Detectability, Part, Row, Suspect};
use estimation::study::{Diagnosis, Doubt, EstimateStudy};
use grid::network::Wire;
use grid::{Sensor, SensorValue};
use serde::Serialize;
use std::fmt::Write;

/// Hypotheses told.
const HYPOTHESES: usize = 10;
/// Critical sensors and suspects named in the table; all of them stand in the JSON document.
const NAMED: usize = 8;

/// The member `diagnosis` of a result, one per scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether any reading is redundant; nothing can be said otherwise.
    checkable: bool,
    /// Whether neither test raises an alarm.
    consistent: bool,
    /// Weighted sum of squared residuals.
    chi_square: f64,
    degrees_of_freedom: f64,
    /// Probability of a larger chi-square when every sensor is as good as it says.
    chance: f64,
    /// A larger normalised residual raises the alarm.
    normalized_residual_limit: f64,
    suspects: Vec<SuspectReport>,
    chi_square_without_suspects: f64,
    consistent_without_suspects: bool,
    /// Sensors that were left out of the estimate as suspects of the one before.
    left_out: Vec<u32>,
    /// Sensors of which no error can be seen: without them something is not observable.
    critical_sensors: Vec<u32>,
    /// Whether a hypothesis explains more than chance does.
    network_doubted: bool,
    hypotheses_chance: f64,
    hypotheses: Vec<HypothesisReport>,
    hypotheses_left_out: usize,
}

/// A number of a sensor that is probably wrong.
#[derive(Debug, Clone, Serialize)]
struct SuspectReport {
    component: &'static str,
    /// The sensor, or the first of those that measure what one node takes together.
    id: u32,
    /// All of these.
    sensors: Vec<u32>,
    measures: &'static str,
    /// `a`, `b`, `c`, `n`, or `all` for a sum and in a symmetric calculation.
    phase: &'static str,
    pseudo: bool,
    normalized_residual: f64,
    /// Measured minus true as estimated, in the unit and sign of the sensor.
    error: f64,
    error_std: f64,
    unit: &'static str,
    /// Sensors that may be meant instead.
    alike: Vec<u32>,
}

/// Something that may be different in the network.
#[derive(Debug, Clone, Serialize)]
struct HypothesisReport {
    /// `closed`, `open`, `tap` or `phases`.
    kind: &'static str,
    component: &'static str,
    id: u32,
    /// In words.
    what: String,
    /// By how much chi-square falls if it is true; null when it was only scored.
    reduction: Option<f64>,
    /// By how much it would at most, from the estimate at hand.
    score: f64,
}

/// Where the ids of an input's sensors are.
struct Names<'a> {
    input: &'a Input,
    study: &'a EstimateStudy,
}

impl Names<'_> {
    fn sensor(&self, position: u32) -> (Component, u32) {
        let mut lists = self.input.lists.iter().filter(|list| list.component.is_sensor());
        let at = position as usize;
        let found =
            lists.find_map(|list| Some((list.component, *list.ids.get(at.checked_sub(list.first)?)?)));
        found.unwrap_or((Component::SymVoltageSensor, 0))
    }

    fn ids(&self, positions: &[u32]) -> Vec<u32> {
        positions.iter().map(|position| self.sensor(*position).1).collect()
    }

    fn phase(&self, row: &Row) -> &'static str {
        let assembly = self.study.assembly();
        let Some(wire) = self.study.wire_of(row).filter(|_| !assembly.symmetric) else { return "all" };
        letter(assembly.conductors(self.study.bus_of(row)), wire)
    }

    fn suspect(&self, diagnosis: &Diagnosis, behind: &[Vec<u32>], suspect: &Suspect) -> SuspectReport {
        let row = &diagnosis.rows[suspect.row];
        let sensors = &behind[suspect.row];
        let (component, id) = self.sensor(row.sensor);
        let (mut measures, unit) = measures(row);
        let phasor =
            |sensor: &Sensor| matches!(sensor.value, SensorValue::Voltage { angle_rad: Some(_), .. });
        if row.part == Part::Angle && !self.input.sensors.get(row.sensor as usize).is_some_and(phasor) {
            measures = "angle assumed at the reference";
        }
        // Where a node's appliances are measured together there is no one sign: taken from the grid.
        let sign = if sensors.len() == 1 { self.input.sign(row.sensor as usize) } else { 1.0 };
        let power = matches!(row.part, Part::Active | Part::Reactive);
        let base = self.study.base_of(row) * if power { sign } else { 1.0 };
        let mut alike: Vec<u32> = suspect.alike.iter().flat_map(|row| self.ids(&behind[*row])).collect();
        alike.sort_unstable();
        alike.dedup();
        SuspectReport {
            component: component.name(),
            id,
            sensors: self.ids(sensors),
            measures,
            phase: self.phase(row),
            pseudo: row.pseudo,
            normalized_residual: suspect.normalized.abs(),
            error: suspect.error * base,
            error_std: suspect.error_std * base.abs(),
            unit,
            alike,
        }
    }

    fn doubt(&self, doubt: &Doubt) -> (&'static str, &'static str, u32, String) {
        let branch = |id: u32| self.input.find(id).map_or("branch", |(component, _)| component.name());
        match *doubt {
            Doubt::Closed(id) => ("closed", branch(id.0), id.0, format!("{} {id} is closed", branch(id.0))),
            Doubt::Open(id) => ("open", branch(id.0), id.0, format!("{} {id} is open", branch(id.0))),
            Doubt::Tap { branch: id, position } => {
                ("tap", branch(id.0), id.0, format!("{} {id} stands on tap {position}", branch(id.0)))
            }
            Doubt::Phases { sensor, one, other } => {
                let (component, id) = self.sensor(sensor);
                let [one, other] =
                    [one, other].map(|wire| ["a", "b", "c"].get(usize::from(wire)).unwrap_or(&"n"));
                let what = format!("phases {one} and {other} of {} {id} are exchanged", component.name());
                ("phases", component.name(), id, what)
            }
        }
    }
}

/// The letter of a wire of a bus.
fn letter(conductors: &[Wire], wire: u8) -> &'static str {
    let place =
        conductors.get(usize::from(wire)).and_then(|own| Wire::PHASES.iter().position(|one| one == own));
    place.and_then(|place| ["a", "b", "c"].get(place)).unwrap_or(&"n")
}

fn measures(row: &Row) -> (&'static str, &'static str) {
    match row.part {
        Part::Magnitude => ("voltage", "V"),
        Part::Angle => ("voltage angle", "rad"),
        Part::Along => ("current along its angle", "A"),
        Part::Across => ("current across its angle", "A"),
        Part::Current => ("current", "A"),
        Part::Active => ("active power", "W"),
        Part::Reactive => ("reactive power", "var"),
    }
}

impl Report {
    /// Puts a diagnosis into the words of the input. `left_out`: positions of sensors that were left out before.
    pub fn new(input: &Input, study: &EstimateStudy, diagnosis: &Diagnosis, left_out: &[u32]) -> Self {
        let names = Names { input, study };
        let behind = study.sensors_behind(&diagnosis.rows);
        let verdict = &diagnosis.verdict;
        let told = diagnosis
            .doubts
            .iter()
            .filter(|(_, standing)| standing.reduction.unwrap_or(standing.score) > 0.0);
        let hypothesis = |(doubt, standing): &(Doubt, estimation::diagnosis::Standing)| {
            let (kind, component, id, what) = names.doubt(doubt);
            HypothesisReport {
                kind,
                component,
                id,
                what,
                reduction: standing.reduction,
                score: standing.score,
            }
        };
        let suspects = verdict.suspects.iter().map(|suspect| names.suspect(diagnosis, &behind, suspect));
        Self {
            checkable: !diagnosis.unchecked(),
            consistent: !verdict.alarm,
            chi_square: verdict.objective,
            degrees_of_freedom: verdict.degrees,
            chance: verdict.chance,
            normalized_residual_limit: verdict.limit,
            suspects: suspects.collect(),
            chi_square_without_suspects: verdict.objective_after,
            consistent_without_suspects: verdict.settled,
            left_out: names.ids(left_out),
            critical_sensors: critical(input, diagnosis, &behind),
            network_doubted: diagnosis.network_doubted,
            hypotheses_chance: diagnosis.chance,
            hypotheses: told.take(HYPOTHESES).map(hypothesis).collect(),
            hypotheses_left_out: diagnosis.doubts_left_out,
        }
    }

    /// For people: the verdict first.
    pub fn table(&self, sensors: usize) -> String {
        let mut text = String::new();
        let chi_square = format!(
            "chi-square {:.1} with {:.1} degrees of freedom ({})",
            self.chi_square,
            self.degrees_of_freedom,
            chance(self.chance)
        );
        let _ = match (self.checkable, self.consistent, self.suspects.first()) {
            (false, ..) => writeln!(text, "\nno reading can be checked: none is redundant"),
            (_, true, _) => writeln!(text, "\nthe readings fit the network: {chi_square}"),
            (_, _, None) => writeln!(
                text,
                "\nthe readings do not fit the network: {chi_square}; no single sensor stands out"
            ),
            (_, _, Some(first)) => writeln!(
                text,
                "\nthe readings do not fit the network: {chi_square}; most suspicious: sensor {}, {}",
                first.id,
                first.words()
            ),
        };
        for suspect in self.suspects.iter().take(NAMED) {
            let _ = writeln!(text, "  suspect: {} {}, {}", suspect.component, suspect.id, suspect.words());
        }
        if !self.suspects.is_empty() {
            let rest = if self.consistent_without_suspects {
                "the others fit"
            } else {
                "the others do not fit either"
            };
            let (count, left) = (self.suspects.len(), self.chi_square_without_suspects);
            let _ = writeln!(text, "  without {count} suspects chi-square is {left:.1}: {rest}");
        }
        if !self.left_out.is_empty() {
            let _ = writeln!(text, "  left out of this estimate: sensors {}", listed(&self.left_out));
        }
        if self.network_doubted {
            let _ = writeln!(text, "the network may be otherwise ({}):", chance(self.hypotheses_chance));
            for one in self.hypotheses.iter().filter(|one| one.reduction.is_some()).take(NAMED) {
                let reduction = one.reduction.unwrap_or(0.0);
                let _ = writeln!(text, "  {}: chi-square would fall by {reduction:.1}", one.what);
            }
        }
        if !self.critical_sensors.is_empty() && self.checkable {
            let (count, ids) = (self.critical_sensors.len(), listed(&self.critical_sensors));
            let _ = writeln!(text, "an error of {count} of {sensors} sensors cannot be seen: {ids}");
        }
        text
    }
}

impl SuspectReport {
    fn words(&self) -> String {
        let mut words = self.measures.to_owned();
        if self.phase != "all" {
            let _ = write!(words, " of phase {}", self.phase);
        }
        if self.pseudo {
            words.push_str(" (a pseudo-measurement)");
        }
        let _ = write!(
            words,
            ": {:.1} deviations, off by {:.4e} ± {:.1e} {}",
            self.normalized_residual, self.error, self.error_std, self.unit
        );
        if !self.alike.is_empty() {
            let _ = write!(words, "; it may as well be sensor {}", listed(&self.alike));
        }
        words
    }
}

fn chance(chance: f64) -> String {
    if chance < 1e-12 { "chance below 1e-12".into() } else { format!("chance {chance:.2e}") }
}

fn listed(ids: &[u32]) -> String {
    let mut words: Vec<String> = ids.iter().take(NAMED).map(u32::to_string).collect();
    if ids.len() > NAMED {
        words.push(format!("and {} more", ids.len() - NAMED));
    }
    words.join(", ")
}

/// The largest of the smallest detectable errors of every sensor, p.u. replaced by its unit; NaN for sensors without rows.
fn detectable(input: &Input, study: &EstimateStudy, diagnosis: &Diagnosis) -> Vec<f64> {
    let mut worst = vec![f64::NAN; input.sensors.len()];
    let behind = study.sensors_behind(&diagnosis.rows);
    for Detectability { row, smallest_pu, .. } in &diagnosis.detectability {
        let at = &diagnosis.rows[*row];
        if at.part == Part::Angle {
            continue;
        }
        let size = smallest_pu * study.base_of(at);
        for sensor in &behind[*row] {
            if let Some(slot) = worst.get_mut(*sensor as usize) {
                *slot = slot.max(size);
            }
        }
    }
    worst
}

fn critical(input: &Input, diagnosis: &Diagnosis, behind: &[Vec<u32>]) -> Vec<u32> {
    // Whether an error of any of its rows could be seen, for sensors that have rows.
    let mut seen: Vec<Option<bool>> = vec![None; input.sensors.len()];
    for one in &diagnosis.detectability {
        for sensor in &behind[one.row] {
            if let Some(slot) = seen.get_mut(*sensor as usize) {
                *slot = Some(slot.unwrap_or(false) || !one.critical());
            }
        }
    }
    let lists = input.lists.iter().filter(|list| list.component.is_sensor());
    let all = lists.flat_map(|list| (list.first..).zip(list.ids.iter().copied()));
    all.filter(|(at, _)| seen[*at] == Some(false)).map(|(_, id)| id).collect()
}

/// Our attributes of sensors: `detectable_error` and `suspect`.
pub fn extras(input: &Input, study: &EstimateStudy, diagnosis: &Diagnosis) -> Vec<Extra> {
    let detectable = detectable(input, study, diagnosis);
    let mut rank = vec![f64::NAN; input.sensors.len()];
    let suspects: Vec<Row> =
        diagnosis.verdict.suspects.iter().map(|suspect| diagnosis.rows[suspect.row]).collect();
    for (number, sensors) in study.sensors_behind(&suspects).into_iter().enumerate() {
        for sensor in sensors {
            if let Some(slot) = rank.get_mut(sensor as usize).filter(|slot| slot.is_nan()) {
                *slot = (number + 1) as f64;
            }
        }
    }
    let mut extras = Vec::new();
    for list in input.lists.iter().filter(|list| list.component.is_sensor()) {
        let mine = |all: &[f64]| {
            let mine = all.get(list.first..list.first + list.ids.len()).unwrap_or_default();
            ExtraValues::Numbers(mine.to_vec())
        };
        let component = list.component;
        extras.push(Extra { component, attribute: "detectable_error", values: mine(&detectable) });
        extras.push(Extra { component, attribute: "suspect", values: mine(&rank) });
    }
    extras
}

/// The sensors (positions) behind the suspects.
pub fn suspects(study: &EstimateStudy, diagnosis: &Diagnosis) -> Vec<u32> {
    let rows: Vec<Row> =
        diagnosis.verdict.suspects.iter().map(|suspect| diagnosis.rows[suspect.row]).collect();
    let mut sensors: Vec<u32> = study.sensors_behind(&rows).concat();
    sensors.sort_unstable();
    sensors.dedup();
    sensors
}
