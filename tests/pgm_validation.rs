//! Every power flow and state estimation case that power-grid-model validates itself with, through our command line.
//!
//! A case is a folder with `input.json`, `params.json` (methods, tolerances, expected failures), perhaps
//! `update_batch.json`, and the expected `sym_output*.json` / `asym_output*.json`. The folders are looked for in
//! `$GRIDFLEX_PEERS_DIR`, then in `target/peers/pgm-tests`; `benches/peers/validation_cases.py` downloads them. Without
//! them the test says so and holds nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

mod pgm_cases;

use pgm_cases::{Case, Outcome, compare, says_unobservable};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where power-grid-model's `tests/data` is.
fn data() -> Option<PathBuf> {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let mut places: Vec<PathBuf> = Vec::new();
    if let Some(peers) = std::env::var_os("GRIDFLEX_PEERS_DIR").map(PathBuf::from) {
        places.extend([peers.join("pgm-tests/tests/data"), peers.join("tests/data")]);
    }
    places.push(root.join("target/peers/pgm-tests/tests/data"));
    let found = |places: &[PathBuf]| places.iter().find(|place| place.join("power_flow").is_dir()).cloned();
    if let Some(place) = found(&places) {
        return Some(place);
    }
    let script = root.join("benches/peers/validation_cases.py");
    if script.is_file() {
        let _ = Command::new("python3").arg(&script).current_dir(&root).status();
    }
    found(&places)
}

/// Runs one calculation; the written document, or what the program said.
fn calculate(case: &Case, out: &Path) -> Result<(), String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gridflex"));
    command.arg(if case.estimates { "estimate" } else { "powerflow" });
    command.arg(case.folder.join("input.json")).arg("-o").arg(out);
    command.arg(if case.symmetric { "--symmetric" } else { "--asymmetric" });
    let tolerance = if case.estimates { "1e-11" } else { "1e-9" };
    command.args(["--method", &case.method, "--tolerance", tolerance]);
    if case.batch {
        command.arg("--update").arg(case.folder.join("update_batch.json"));
    }
    if let Some(strategy) = &case.taps {
        command.args(["--taps", strategy]);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    assert!(!said.contains("panicked"), "{}: {said}", case.name);
    match output.status.code() {
        Some(0) => Ok(()),
        Some(1 | 2) => Err(said),
        other => panic!("{}: exit code {other:?}: {said}", case.name),
    }
}

fn outcome(case: &Case, out: &Path) -> Outcome {
    match (calculate(case, out), &case.raises) {
        (Err(said), Some(_)) => Outcome::Passed(format!("refused as expected: {said}")),
        (Err(_), None) if NOT_YET.iter().any(|(name, _)| case.name.starts_with(name)) => {
            let reason = NOT_YET.iter().find(|(name, _)| case.name.starts_with(name)).map(|found| found.1);
            Outcome::Explained(format!("NOT YET: {}", reason.unwrap_or_default()))
        }
        (Err(said), None) => Outcome::Failed(said),
        (Ok(()), Some(reason)) if case.solvable => {
            Outcome::Passed(format!("solved, where power-grid-model stops with {reason}"))
        }
        (Ok(()), Some(reason)) if reason.starts_with("NotObservable") && says_unobservable(out) => {
            Outcome::Passed(format!("told node by node what power-grid-model stops with: {reason}"))
        }
        (Ok(()), Some(reason)) => Outcome::Failed(format!("solved, but should be refused: {reason}")),
        (Ok(()), None) => compare(case, out),
    }
}

/// What we cannot solve yet though power-grid-model can. It is printed with every run and must not grow.
const NOT_YET: [(&str, &str); 0] = [];

#[test]
fn every_case_of_power_grid_model_passes() {
    let Some(data) = data() else {
        println!("SKIPPED: no power-grid-model test data; run benches/peers/validation_cases.py");
        return;
    };
    let cases = pgm_cases::find(&data);
    assert!(cases.len() > 200, "only {} calculations found under {}", cases.len(), data.display());
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json");
    let (mut failed, mut explained) = (0, 0);
    for case in &cases {
        let (mark, reason) = match outcome(case, &out) {
            Outcome::Passed(reason) => ("ok", reason),
            Outcome::Explained(reason) => {
                explained += 1;
                ("diff", reason)
            }
            Outcome::Failed(reason) => {
                failed += 1;
                ("FAIL", reason)
            }
        };
        println!("{mark:<5}{:<100}{reason}", case.name);
    }
    println!(
        "{} of {} calculations pass, {explained} differ for a reason, {failed} fail",
        cases.len() - failed - explained,
        cases.len()
    );
    assert_eq!(failed, 0, "{failed} of {} calculations of power-grid-model do not pass", cases.len());
}
