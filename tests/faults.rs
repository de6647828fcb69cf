//! What docs/faults.md says is shown by a test is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Names of all functions below a folder.
fn functions_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["target", "node_modules", ".git"].contains(&name.as_str()) {
            functions_below(&path, found);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            found.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn every_test_that_the_fault_model_names_is_there() {
    let mut known = BTreeSet::new();
    functions_below(Path::new("."), &mut known);
    let soak = fs::read_to_string("scripts/soak.sh").unwrap();
    let document = fs::read_to_string("docs/faults.md").unwrap();
    let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert_eq!(rows.len(), 9, "classes of faults");
    for row in rows {
        let shown = row.rsplit(" | ").next().unwrap();
        let names: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(names.len() > 3, "{row}");
        for name in names {
            assert!(
                known.contains(name) || soak.contains(&format!("\nstep_{name}()")),
                "docs/faults.md names {name:?}, which is no test and no step of the soak"
            );
        }
    }
}
