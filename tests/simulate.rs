//! The evening in virtual time: one seed gives the same bytes in every process, and flexibility removes the
//! overload.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

mod harness;

use harness::{gridflex, run, text, words};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Output, Stdio};

fn simulate(seed: &str, out: &Path) -> Child {
    let arguments = ["simulate", "--duration", "3h", "--json", "--seed", seed, "--out", text(out)];
    gridflex(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn ended(child: Child) -> Output {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", words(&output));
    output
}

/// Every file below a directory by its name.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(path.is_file(), "{} is no file; compare what is in it, too", path.display());
        found.insert(name, std::fs::read(&path).unwrap());
    }
    found
}

#[test]
fn one_seed_gives_the_same_bytes_in_two_processes_and_removes_the_overload() {
    let directory = tempfile::tempdir().unwrap();
    let out = |name: &str| directory.path().join(name);
    let (first, second) = (simulate("7", &out("first")), simulate("7", &out("second")));
    let (first, second) = (ended(first), ended(second));
    assert_eq!(first.stdout, second.stdout, "{}{}", words(&first), words(&second));
    let (first_files, second_files) = (files(&out("first")), files(&out("second")));
    assert!(first_files.contains_key("market.journal"));
    assert_eq!(first_files.keys().collect::<Vec<_>>(), second_files.keys().collect::<Vec<_>>());
    for (name, bytes) in &first_files {
        assert!(!bytes.is_empty(), "{name} is empty");
        assert!(*bytes == second_files[name], "{name} differs between two processes");
    }

    let outcome: Value = serde_json::from_slice(&first.stdout).unwrap();
    let number = |key: &str| outcome[key].as_f64().unwrap_or_else(|| panic!("{key}: {outcome}"));
    assert!(number("peak_loading_without") > 1.0, "{outcome}");
    assert!(number("peak_loading_with") < number("peak_loading_without"), "{outcome}");
    let excess = number("peak_loading_without") - 1.0;
    let removed = (number("peak_loading_without") - number("peak_loading_with")) / excess;
    assert!(removed >= 0.5, "only {removed} of the excess was removed: {outcome}");
    assert!((removed - number("excess_removed")).abs() < 1e-9, "{outcome}");
    assert!(number("contracts") > 0.0 && number("orders_confirmed") > 0.0, "{outcome}");
    for nothing in ["orders_lost", "orders_doubled", "money_imbalance", "restarts", "quarantined"] {
        assert_eq!(outcome[nothing], 0, "{nothing}");
    }
    assert_eq!(outcome["audit_violations"], Value::Array(Vec::new()));

    let verified = run(["journal", "verify", text(&out("first")), "--json"]);
    assert!(verified.status.success(), "{}", words(&verified));
    let audit: Value = serde_json::from_slice::<Value>(&verified.stdout).unwrap()["audit"].take();
    let count = |key: &str| audit[key].as_u64().unwrap_or_else(|| panic!("{key}: {audit}"));
    // Every clearing comes out the same again, and whatever was assigned or ordered was before its deadline.
    assert!(count("rounds") > 0 && count("rounds_cleared_again") == count("rounds"), "{audit}");
    assert!(count("assignments") > 0, "{audit}");
    assert_eq!((count("assignments_late"), count("activations_late")), (0, 0), "{audit}");
    // The same directory again: nothing is overwritten.
    let again = run(["simulate", "--duration", "3h", "--seed", "7", "--out", text(&out("first"))]);
    assert_eq!(again.status.code(), Some(2), "{}", words(&again));
    assert!(words(&again).contains("not empty"), "{}", words(&again));
    assert_eq!(files(&out("first")), first_files);
}

#[test]
fn another_seed_is_another_evening() {
    let directory = tempfile::tempdir().unwrap();
    let evening = |seed: &str| {
        let out = directory.path().join(seed);
        let arguments = ["simulate", "--duration", "20m", "--json", "--seed", seed, "--out", text(&out)];
        let output = run(arguments);
        assert!(output.status.success(), "{}", words(&output));
        (serde_json::from_slice::<Value>(&output.stdout).unwrap(), files(&out))
    };
    let ((seven, seven_files), (eight, eight_files)) = (evening("7"), evening("8"));
    assert_ne!(seven["peak_loading_without"], eight["peak_loading_without"]);
    assert!(seven_files["market.journal"] != eight_files["market.journal"]);
}
