//! power-grid-model's validation cases: finding them, and comparing results as its own tests do.

use serde_json::Value;
use std::path::{Path, PathBuf};

/// One calculation.
pub struct Case {
    pub name: String,
    pub folder: PathBuf,
    pub estimates: bool,
    pub symmetric: bool,
    pub batch: bool,
    pub method: String,
    pub taps: Option<String>,
    rtol: f64,
    atol: Vec<(String, f64)>,
    /// The error that power-grid-model stops with, and why.
    pub raises: Option<String>,
    /// Whether that error is a weakness of its solver: then a solution is as good.
    pub solvable: bool,
}

/// Where power-grid-model's expected values are not what we give, and why ours stand. (case, method, attributes, reason);
/// an empty method is any, a `*` ends a pattern.
const EXPLAINED: [(&str, &str, &[&str], &str); 8] = [
    (
        "power_flow/dummy-test-batch-shunt",
        "",
        &["p", "q"],
        "3e-5 var at a shunt where zero is expected: rounding behind a link of 1e6 S",
    ),
    (
        "power_flow/dummy-test ",
        "",
        &["p", "q"],
        "−9.6 mW at a bus without appliances is the rounding of its 1e6 S link; ours is zero",
    ),
    (
        "state_estimation/inf-measurement",
        "",
        &["u_angle_residual"],
        "a symmetric sensor in an asymmetric estimate: it subtracts phase a's angle from all three phases",
    ),
    (
        "state_estimation/single-line-load-il",
        "iterative_linear",
        &["*"],
        "iterative linear ends beside the least-squares optimum: objective 1.00550e6 against ours of 1.00323e6",
    ),
    (
        "state_estimation/sensor-update-il",
        "iterative_linear",
        &["*"],
        "iterative linear ends beside the least-squares optimum (sensor-update-nr, the same network, passes)",
    ),
    (
        "state_estimation/unbalanced-power-measurements-iterative-linear",
        "iterative_linear",
        &["p_residual", "q_residual"],
        "iterative linear leaves 1e-3 W where an exact fit exists; ours leaves 1e-8 W",
    ),
    (
        "state_estimation/current-sensor/power-from-global-current-sensor",
        "iterative_linear",
        &["p_residual", "q_residual"],
        "iterative linear leaves 2e-4 W where an exact fit exists; ours leaves 3e-7 W",
    ),
    (
        "state_estimation/current-sensor/power-from-local-current-sensor",
        "iterative_linear",
        &["p_residual", "q_residual"],
        "iterative linear leaves 2e-4 W where an exact fit exists; ours leaves 3e-7 W",
    ),
];

fn explained(case: &Case, attribute: &str) -> Option<&'static str> {
    let fits = |(name, method, attributes, _): &&(&str, &str, &[&str], &str)| {
        !name.is_empty()
            && format!("{} ", case.name).starts_with(name)
            && (method.is_empty() || *method == case.method)
            && attributes.iter().any(|pattern| *pattern == "*" || *pattern == attribute)
    };
    EXPLAINED.iter().find(fits).map(|entry| entry.3)
}

/// What became of a case.
pub enum Outcome {
    Passed(String),
    /// It differs, and it is said why ours stands.
    Explained(String),
    Failed(String),
}

/// All calculations, in the order of their names.
pub fn find(data: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in ["power_flow", "state_estimation"] {
        let mut folders = Vec::new();
        walk(&data.join(kind), &mut folders);
        folders.sort();
        for folder in folders {
            add(data, folder, kind == "state_estimation", &mut cases);
        }
    }
    cases
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    if folder.join("params.json").is_file() {
        found.push(folder.to_owned());
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            walk(&entry.path(), found);
        }
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn add(data: &Path, folder: PathBuf, estimates: bool, cases: &mut Vec<Case>) {
    let params = read(&folder.join("params.json"));
    let methods = match &params["calculation_method"] {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        one => vec![one.as_str().unwrap()],
    };
    for method in methods {
        let of_method = &params["extra_params"][method];
        let param = |key: &str| if of_method[key].is_null() { &params[key] } else { &of_method[key] };
        let atol = match param("atol") {
            Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), v.as_f64().unwrap())).collect(),
            one => vec![("default".to_owned(), one.as_f64().unwrap())],
        };
        let stop = if param("raises").is_null() { param("xfail") } else { param("raises") };
        let raised = stop["raises"].as_str().unwrap_or_default();
        let raises = stop.is_object().then(|| {
            let reason = stop["reason"].as_str().unwrap_or_default();
            format!("{raised}: {}", reason.chars().take(60).collect::<String>())
        });
        for (symmetric, output) in [(true, "sym_output"), (false, "asym_output")] {
            for batch in [false, true] {
                let suffix = if batch { "_batch" } else { "" };
                if !folder.join(format!("{output}{suffix}.json")).is_file() {
                    continue;
                }
                let place = folder.strip_prefix(data).unwrap().display();
                cases.push(Case {
                    name: format!("{place}{suffix} {output} {method}"),
                    folder: folder.clone(),
                    estimates,
                    symmetric,
                    batch,
                    method: method.to_owned(),
                    taps: params["tap_changing_strategy"].as_str().map(str::to_owned),
                    rtol: param("rtol").as_f64().unwrap(),
                    atol: atol.clone(),
                    raises: raises.clone(),
                    solvable: raised == "SparseMatrixError" || !param("xfail").is_null(),
                });
            }
        }
    }
}

/// Whether a written estimate says itself that something is not observable.
pub fn says_unobservable(out: &Path) -> bool {
    std::fs::read_to_string(out).unwrap().contains(r#""observability":"unobservable""#)
}

/// Compares everything that is expected with what was written.
pub fn compare(case: &Case, out: &Path) -> Outcome {
    let output = if case.symmetric { "sym_output" } else { "asym_output" };
    let suffix = if case.batch { "_batch" } else { "" };
    let expected = read(&case.folder.join(format!("{output}{suffix}.json")));
    let actual = read(out);
    let scenarios = |file: &Value| match &file["data"] {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    let (wanted, got) = (scenarios(&expected), scenarios(&actual));
    if wanted.len() != got.len() {
        return Outcome::Failed(format!("{} scenarios, {} expected", got.len(), wanted.len()));
    }
    let mut worst = Worst::default();
    for (number, (wanted, got)) in wanted.iter().zip(&got).enumerate() {
        for (component, rows) in wanted.as_object().unwrap() {
            let rows = objects(rows, &expected["attributes"][component]);
            let ours = objects(&got[component], &Value::Null);
            if rows.is_empty() {
                continue;
            }
            if let Err(reason) = list(case, component, &rows, &ours, &mut worst) {
                return Outcome::Failed(format!("scenario {number}: {component}: {reason}"));
            }
        }
    }
    match worst.over {
        true => Outcome::Failed(format!("{} values are off; worst: {}", worst.count, worst.what)),
        false => match worst.explained {
            Some(reason) => Outcome::Explained(reason.to_owned()),
            None => Outcome::Passed(String::new()),
        },
    }
}

/// The value that is farthest off, in parts of its tolerance.
#[derive(Default)]
struct Worst {
    over: bool,
    share: f64,
    count: usize,
    what: String,
    explained: Option<&'static str>,
}

type Row = serde_json::Map<String, Value>;

/// Rows as objects, whichever form they are written in.
fn objects(rows: &Value, names: &Value) -> Vec<Row> {
    let rows = rows.as_array().cloned().unwrap_or_default();
    let named = |values: &Vec<Value>| -> Row {
        let names = names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
        names.zip(values.iter().cloned()).collect()
    };
    rows.iter()
        .map(|row| match row {
            Value::Array(values) => named(values),
            row => row.as_object().unwrap().clone(),
        })
        .collect()
}

/// Numbers of a value: one, or one per phase. What is not there is NaN.
fn numbers(value: &Value) -> Vec<f64> {
    let one = |value: &Value| match value {
        Value::String(text) if text == "inf" => f64::INFINITY,
        Value::String(text) if text == "-inf" => f64::NEG_INFINITY,
        value => value.as_f64().unwrap_or(f64::NAN),
    };
    match value {
        Value::Array(list) => list.iter().map(one).collect(),
        value => vec![one(value)],
    }
}

/// One value for every phase, where one is expected for all; angles lag by 120 degrees.
fn spread(mut wanted: Vec<f64>, count: usize, attribute: &str) -> Vec<f64> {
    const THIRD: f64 = 2.0 * std::f64::consts::PI / 3.0;
    if wanted.len() == 1 && count == 3 {
        let one = wanted[0];
        wanted = if attribute == "u_angle" { vec![one, one - THIRD, one + THIRD] } else { vec![one; 3] };
    }
    wanted
}

fn list(case: &Case, component: &str, rows: &[Row], ours: &[Row], worst: &mut Worst) -> Result<(), String> {
    if rows.len() != ours.len() {
        return Err(format!("{} rows, {} expected", ours.len(), rows.len()));
    }
    let mut attributes: Vec<&String> = rows.iter().flat_map(|row| row.keys()).collect();
    attributes.sort();
    attributes.dedup();
    for attribute in attributes {
        let empty = Value::Null;
        let of = |row: &Row, name: &str| numbers(row.get(name).unwrap_or(&empty));
        // Any common shift of angles is accepted: they count from the first.
        let shift = |rows: &[Row]| of(&rows[0], attribute)[0];
        let (shift_wanted, shift_got) =
            if attribute == "u_angle" { (shift(rows), shift(ours)) } else { (0.0, 0.0) };
        for (wanted_row, got_row) in rows.iter().zip(ours) {
            let got = of(got_row, attribute);
            let wanted = spread(of(wanted_row, attribute), got.len(), attribute);
            let magnitude = attribute.strip_suffix("_angle");
            let magnitudes = |row: &Row, count: usize| {
                magnitude.map(|name| spread(of(row, name), count, name)).unwrap_or_default()
            };
            let (far_wanted, far_got) = (magnitudes(wanted_row, got.len()), magnitudes(got_row, got.len()));
            if wanted.len() != got.len() {
                return Err(format!("{attribute} has {} values, {} expected", got.len(), wanted.len()));
            }
            for phase in 0..wanted.len() {
                if wanted[phase].is_nan() || wanted[phase] == got[phase] {
                    continue;
                }
                let (off, size) = match (far_wanted.get(phase), far_got.get(phase)) {
                    (Some(a), Some(b)) => {
                        let (w, g) = (wanted[phase] - shift_wanted, got[phase] - shift_got);
                        ((a * w.cos() - b * g.cos()).hypot(a * w.sin() - b * g.sin()), *a)
                    }
                    _ => (got[phase] - wanted[phase], wanted[phase]),
                };
                if size.is_nan() {
                    continue;
                }
                let share = off.abs() / (tolerance(case, attribute) + case.rtol * size.abs());
                let reason = explained(case, attribute);
                if let Some(reason) = reason.filter(|_| !(share <= 1.0)) {
                    worst.explained = Some(reason);
                    continue;
                }
                worst.count += usize::from(!(share <= 1.0));
                if share > worst.share || share.is_nan() {
                    let id = wanted_row.get("id").and_then(Value::as_i64).unwrap_or(-1);
                    worst.share = share;
                    worst.what = format!(
                        "{component} {id}: {attribute} is {:.9e}, {:.9e} expected ({share:.2e} of the tolerance)",
                        got[phase], wanted[phase]
                    );
                }
                worst.over |= !(share <= 1.0);
            }
        }
    }
    Ok(())
}

/// The absolute tolerance of an attribute: the first pattern that fits, or the default.
fn tolerance(case: &Case, attribute: &str) -> f64 {
    let fits = |pattern: &str| match (pattern.strip_prefix(".+"), pattern.strip_suffix(".*")) {
        (Some(end), _) => attribute.len() > end.len() && attribute.ends_with(end),
        (_, Some(start)) => attribute.starts_with(start),
        _ => attribute == pattern,
    };
    let default = || case.atol.iter().find(|(pattern, _)| pattern == "default");
    case.atol.iter().find(|(pattern, _)| fits(pattern)).or_else(default).map_or(0.0, |(_, atol)| *atol)
}
