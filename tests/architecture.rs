//! Holds the shape of the workspace: which crate may know which, where time is read, how long a file may be.
//!
//! Each rule is a function from text to a list of faults, tried on a bad sample first: a checker that cannot
//! fail holds nothing.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each crate of the workspace may depend on, in the order of the dependency direction.
const ALLOWED: [(&str, &[&str]); 15] = [
    ("grid", &[]),
    ("files", &[]),
    ("access", &["files", "grid"]),
    ("estimation", &["grid"]),
    ("market", &["grid"]),
    ("history", &["files", "grid"]),
    ("register", &["files", "grid"]),
    ("journal", &["files", "grid", "market"]),
    ("connectors", &["files", "grid", "access", "estimation", "market"]),
    ("actors", &["grid", "files", "estimation", "market", "history", "journal", "connectors"]),
    (
        "dashboards-server",
        &["grid", "access", "estimation", "market", "history", "register", "connectors", "actors"],
    ),
    (
        "site",
        &[
            "files",
            "grid",
            "access",
            "estimation",
            "market",
            "history",
            "register",
            "connectors",
            "actors",
            "dashboards-server",
        ],
    ),
    ("cluster", &["files", "grid", "history", "journal", "actors", "site"]),
    (
        "sim",
        &[
            "grid",
            "files",
            "access",
            "estimation",
            "market",
            "journal",
            "history",
            "register",
            "connectors",
            "actors",
            "dashboards-server",
            "site",
        ],
    ),
    (
        "gridflex",
        &[
            "grid",
            "access",
            "estimation",
            "market",
            "history",
            "connectors",
            "actors",
            "dashboards-server",
            "site",
            "cluster",
            "sim",
        ],
    ),
];
/// Crates that stay synchronous: no runtime, no actor, no socket, no wire format, no logging.
const SYNCHRONOUS: [&str; 3] = ["grid", "estimation", "market"];
/// What synchronous crates never reach, not even through others.
const RUNTIMES: [&str; 12] = [
    "tokio",
    "ractor",
    "actix-web",
    "actix-rt",
    "rumqttc",
    "rumqttd",
    "async-std",
    "smol",
    "mio",
    "serde_json",
    "toml",
    "tracing",
];
/// The one file that may read a clock of the operating system.
const CLOCK_FILE: &str = "actors/src/runtime/clock.rs";
/// Longest source file, in lines, tests included.
const LINES_MAX: usize = 600;
/// Source files that people write.
const SOURCES: [&str; 8] = ["rs", "ts", "svelte", "py", "mjs", "js", "css", "sh"];
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 9] =
    ["utils", "util", "common", "helpers", "helper", "manager", "managers", "misc", "shared"];

/// What the certificate checker may take from the clearing it judges: what a problem and a result are, nothing that
/// clears.
const JUDGED: [&str; 18] = [
    "ActivationOption",
    "Alternative",
    "ClearingProblem",
    "DeclineReason",
    "Declined",
    "GridRow",
    "Limit",
    "LumpPrice",
    "NeedBid",
    "NodePrice",
    "OfferTerms",
    "OfferView",
    "Payee",
    "Plan",
    "PriceClearing",
    "Prices",
    "Pricing",
    "Worth",
];
/// What else it may import from.
const CERTIFICATE_ROOTS: [&str; 5] = ["crate", "super", "std", "thiserror", "grid"];

// ---- the rules -------------------------------------------------------------------------------------------

/// Crates of the workspace with the workspace crates each depends on (normal, build and test dependencies).
type Crates = BTreeMap<String, Vec<String>>;

fn direction_faults(crates: &Crates) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, dependencies) in crates {
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| known == name) else {
            faults.push(format!("crate {name} has no place in the dependency direction"));
            continue;
        };
        for dependency in dependencies.iter().filter(|d| !allowed.contains(&d.as_str())) {
            faults.push(format!("{name} depends on {dependency}, which it must not know"));
        }
    }
    for (name, _) in ALLOWED.iter().filter(|(name, _)| !crates.contains_key(*name)) {
        faults.push(format!("crate {name} is gone from the workspace"));
    }
    faults
}

/// `tree` is what `cargo tree --prefix none --format {p}` prints: one `name vX.Y.Z …` per line.
fn runtime_faults(name: &str, tree: &str) -> Vec<String> {
    let mut reached: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    reached.sort_unstable();
    reached.dedup();
    reached
        .into_iter()
        .filter(|dependency| RUNTIMES.contains(dependency))
        .map(|dependency| {
            format!("{name} reaches {dependency}, but it is synchronous and knows no wire format")
        })
        .collect()
}

fn length_faults(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    if lines <= LINES_MAX {
        return Vec::new();
    }
    vec![format!("{path} has {lines} lines, at most {LINES_MAX} are allowed")]
}

fn name_faults(path: &str, text: &str) -> Vec<String> {
    let mut faults: Vec<String> = Path::new(path)
        .components()
        .filter_map(|part| part.as_os_str().to_str()?.split('.').next())
        .filter(|stem| EMPTY_NAMES.contains(&stem.to_ascii_lowercase().as_str()))
        .map(|stem| format!("{path}: {stem:?} says nothing about what is inside"))
        .collect();
    for line in text.lines().map(str::trim_start).filter(|_| path.ends_with(".rs")) {
        let visibility = line.split(' ').next().filter(|word| word.starts_with("pub")).unwrap_or_default();
        let declared = line[visibility.len()..].trim_start().strip_prefix("mod ").unwrap_or_default();
        let module = declared.split([' ', ';', '{']).next().unwrap_or_default();
        if EMPTY_NAMES.contains(&module) {
            faults.push(format!("{path}: module {module:?} says nothing about what is inside"));
        }
    }
    faults
}

/// Tests may time themselves; everything else takes a `grid::Clock`. Tokio's `Instant` is allowed: it follows
/// virtual time.
fn clock_faults(path: &str, text: &str) -> Vec<String> {
    let is_test = path.split('/').any(|part| matches!(part, "tests" | "examples" | "benches"))
        || path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs");
    if !path.ends_with(".rs") || path == CLOCK_FILE || is_test {
        return Vec::new();
    }
    let product = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: Vec<&str> = product.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let joined: String = code.concat().split_whitespace().collect();
    let std_instant = joined.contains("usestd::time::Instant")
        || joined
            .split("usestd::time::{")
            .skip(1)
            .any(|list| list.split('}').next().is_some_and(|names| names.contains("Instant")));
    let mut faults = Vec::new();
    for (index, line) in code.iter().enumerate() {
        let always =
            ["SystemTime::now", "std::time::Instant::now", "Utc::now", "Zoned::now", "Timestamp::now("];
        let reads = always.iter().any(|call| line.contains(call))
            || (std_instant && line.contains("Instant::now") && !line.contains("tokio::time::Instant::now"));
        if reads {
            faults.push(format!("{path}:{}: reads a clock; take a grid::Clock", index + 1));
        }
    }
    faults
}

/// The certificate checker shares no code with the solver: of the market crate it knows [`JUDGED`] alone.
fn certificate_faults(path: &str, text: &str) -> Vec<String> {
    let head = path == "market/src/certificate.rs";
    if !(head || path.starts_with("market/src/certificate/")) || path.ends_with("/tests.rs") {
        return Vec::new();
    }
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let joined: String = code.concat().split_whitespace().collect();
    let mut faults = Vec::new();
    let mut fault = |what: &str| faults.push(format!("{path}: {what} is not for a certificate checker"));
    let ident = |text: &str| -> String {
        text.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '*')).collect()
    };
    for rest in joined.split("crate::").skip(1) {
        match rest.strip_prefix("price_clearing::") {
            None => fault(&format!("crate::{}", ident(rest))),
            Some(names) => {
                let list = names.strip_prefix('{').and_then(|inner| inner.split('}').next());
                let names =
                    list.map_or_else(|| vec![ident(names)], |l| l.split(',').map(str::to_owned).collect());
                let strange = names.iter().filter(|n| !n.is_empty() && !JUDGED.contains(&n.as_str()));
                strange.for_each(|name| fault(&format!("crate::price_clearing::{name}")));
            }
        }
    }
    // From where it stands, the head's `super` is the crate, and so is the others' `super::super`.
    if joined.contains(if head { "super::" } else { "super::super::" }) {
        fault("super::");
    }
    for line in code.iter().map(|line| line.trim_start()) {
        let visibility = line.split(' ').next().filter(|word| word.starts_with("pub")).unwrap_or_default();
        let Some(imported) = line[visibility.len()..].trim_start().strip_prefix("use ") else { continue };
        let root = ident(imported);
        let own = code.iter().any(|line| line.trim() == format!("mod {root};"));
        if !own && !CERTIFICATE_ROOTS.contains(&root.as_str()) {
            fault(&root);
        }
    }
    faults
}

/// Every `make target` shown as code in a document must be in the Makefile.
fn target_faults(path: &str, document: &str, makefile: &str) -> Vec<String> {
    let is_target =
        |line: &str, target: &str| line.strip_prefix(target).is_some_and(|rest| rest.starts_with(':'));
    commands(document)
        .filter_map(|command| command.strip_prefix("make "))
        .filter_map(|rest| rest.split_whitespace().find(|word| !word.contains('=') && !word.starts_with('-')))
        .map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()))
        .filter(|target| !makefile.lines().any(|line| is_target(line, target)))
        .map(|target| format!("{path} says `make {target}`, which the Makefile does not know"))
        .collect()
}

/// Code in a Markdown text: the lines of fenced blocks (a leading `$ ` removed) and the spans between backticks.
fn commands(document: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    document.lines().flat_map(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        if fenced && !is_fence {
            return vec![line.trim().trim_start_matches("$ ")];
        }
        line.split('`').skip(1).step_by(2).collect()
    })
}

// ---- what they are applied to ----------------------------------------------------------------------------

/// Asked when the test runs: clones that share a target directory share this program too.
fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

fn cargo(arguments: &[&str]) -> Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output =
        Command::new(cargo).args(arguments).current_dir(root()).output().context("cargo did not start")?;
    ensure!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn workspace_crates() -> Result<Crates> {
    let text = cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"])?;
    crates_of(&text)
}

/// Reads what `cargo metadata --no-deps` prints. A dependency with a path is one of the workspace.
fn crates_of(metadata: &str) -> Result<Crates> {
    let metadata: serde_json::Value = serde_json::from_str(metadata)?;
    let mut crates = Crates::new();
    for package in metadata["packages"].as_array().context("metadata without packages")? {
        let name = package["name"].as_str().context("a package without name")?;
        let dependencies = package["dependencies"].as_array().context("a package without dependencies")?;
        let ours = dependencies.iter().filter(|dependency| dependency["path"].is_string());
        let names = ours.filter_map(|dependency| dependency["name"].as_str()).map(str::to_owned).collect();
        crates.insert(name.to_owned(), names);
    }
    Ok(crates)
}

/// Source files of the workspace as paths from its root, with their text.
fn sources() -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let built = name.starts_with('.')
                || name.starts_with("target")
                || name == "node_modules"
                || name == "dist";
            if path.is_dir() && !built {
                folders.push(path);
            } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| SOURCES.contains(&e)) {
                files.push(read(path)?);
            }
        }
    }
    if files.is_empty() {
        bail!("no source found under {}", root().display());
    }
    files.sort();
    Ok(files)
}

fn read(path: PathBuf) -> Result<(String, String)> {
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok((path.strip_prefix(root())?.to_string_lossy().replace('\\', "/"), text))
}

fn faults_in_sources(rule: fn(&str, &str) -> Vec<String>) -> Result<Vec<String>> {
    Ok(sources()?.iter().flat_map(|(path, text)| rule(path, text)).collect())
}

#[track_caller]
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn dependencies_point_one_way() -> Result<()> {
    none(&direction_faults(&workspace_crates()?));
    Ok(())
}

#[test]
fn synchronous_crates_reach_no_runtime() -> Result<()> {
    let mut faults = Vec::new();
    for name in SYNCHRONOUS {
        let tree = cargo(&[
            "tree",
            "--offline",
            "-p",
            name,
            "-e",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])?;
        ensure!(tree.starts_with(name), "cargo tree -p {name} does not begin with {name}");
        faults.extend(runtime_faults(name, &tree));
    }
    none(&faults);
    Ok(())
}

#[test]
fn no_file_is_too_long() -> Result<()> {
    none(&faults_in_sources(length_faults)?);
    Ok(())
}

#[test]
fn every_module_says_what_is_inside() -> Result<()> {
    none(&faults_in_sources(name_faults)?);
    Ok(())
}

#[test]
fn time_is_read_in_one_file() -> Result<()> {
    ensure!(root().join(CLOCK_FILE).is_file(), "{CLOCK_FILE} is gone; say here where the clock is now");
    none(&faults_in_sources(clock_faults)?);
    Ok(())
}

#[test]
fn the_certificate_checker_knows_no_solver() -> Result<()> {
    ensure!(
        root().join("market/src/certificate.rs").is_file(),
        "say here where the certificate checker is now"
    );
    none(&faults_in_sources(certificate_faults)?);
    Ok(())
}

#[test]
fn documents_name_only_make_targets_that_exist() -> Result<()> {
    let (_, makefile) = read(root().join("Makefile"))?;
    let mut faults = Vec::new();
    for path in ["README.md", "ARCHITECTURE.md", "docs/operating.md"] {
        let (path, text) = read(root().join(path))?;
        faults.extend(target_faults(&path, &text, &makefile));
    }
    none(&faults);
    Ok(())
}

// ---- the rules can fail ----------------------------------------------------------------------------------

fn crates(list: &[(&str, &[&str])]) -> Crates {
    list.iter().map(|(name, of)| ((*name).to_owned(), of.iter().map(|d| (*d).to_owned()).collect())).collect()
}

#[test]
fn a_dependency_against_the_direction_is_found() {
    let good = crates(&ALLOWED);
    assert_eq!(direction_faults(&good), Vec::<String>::new());

    for (name, dependency) in
        [("market", "estimation"), ("estimation", "market"), ("grid", "market"), ("actors", "sim")]
    {
        let mut bad = good.clone();
        bad.entry(name.to_owned()).or_default().push(dependency.to_owned());
        assert_eq!(
            direction_faults(&bad),
            [format!("{name} depends on {dependency}, which it must not know")]
        );
    }
    let mut more = good.clone();
    more.insert("glue".to_owned(), Vec::new());
    assert_eq!(direction_faults(&more), ["crate glue has no place in the dependency direction"]);
    let mut fewer = good;
    fewer.remove("sim");
    assert_eq!(direction_faults(&fewer), ["crate sim is gone from the workspace"]);
}

#[test]
fn metadata_tells_our_crates_by_their_path() -> Result<()> {
    let metadata = r#"{"packages":[{"name":"market","dependencies":[
        {"name":"serde","kind":null},{"name":"grid","kind":"dev","path":"/x/grid"}]}]}"#;
    assert_eq!(crates_of(metadata)?, crates(&[("market", &["grid"])]));
    assert!(crates_of("{}").is_err());
    Ok(())
}

#[test]
fn a_runtime_below_a_synchronous_crate_is_found() {
    let tree =
        "market v0.1.0 (/x/market)\ngrid v0.1.0 (/x/grid)\ntokio v1.52.0\ntokio v1.52.0 (*)\nmio v1.0.0\n";
    assert_eq!(runtime_faults("market", tree).len(), 2);
    assert!(runtime_faults("market", "market v0.1.0\nserde v1.0.0\n").is_empty());
}

#[test]
fn a_long_file_is_found() {
    assert!(length_faults("a.rs", &"x\n".repeat(LINES_MAX)).is_empty());
    assert_eq!(length_faults("a.rs", &"x\n".repeat(LINES_MAX + 1)).len(), 1);
}

#[test]
fn a_name_that_says_nothing_is_found() {
    for path in ["market/src/utils.rs", "sim/src/common/mod.rs", "dashboards/web/src/helpers.svelte.ts"] {
        assert_eq!(name_faults(path, "").len(), 1, "{path}");
    }
    assert_eq!(name_faults("a/src/lib.rs", "pub mod price;\npub(crate) mod manager;\n").len(), 1);
    assert!(name_faults("a/src/lib.rs", "// mod utils\nmod price;\nuse common::x;\n").is_empty());
}

#[test]
fn a_clock_reading_is_found() {
    for bad in [
        "let t = std::time::SystemTime::now();",
        "let t = std::time::Instant::now();",
        "use std::time::Instant;\nlet t = Instant::now();",
        "use std::time::{\n    Duration,\n    Instant,\n};\nlet t = Instant::now();",
        "let t = jiff::Timestamp::now();",
    ] {
        assert_eq!(clock_faults("actors/src/node.rs", bad).len(), 1, "{bad}");
        assert!(clock_faults(CLOCK_FILE, bad).is_empty());
        assert!(clock_faults("sim/src/plant/tests.rs", bad).is_empty());
        assert!(clock_faults("estimation/src/power_flow_tests.rs", bad).is_empty());
    }
    for good in [
        "use tokio::time::Instant;\nlet t = Instant::now();",
        "// not SystemTime::now\nlet t = clock.now();",
        "fn f() {}\n#[cfg(test)]\nmod tests { fn g() { std::time::Instant::now(); } }",
    ] {
        assert!(clock_faults("actors/src/node.rs", good).is_empty(), "{good}");
    }
}

#[test]
fn a_certificate_checker_that_asks_the_solver_is_found() {
    let (head, part) = ("market/src/certificate.rs", "market/src/certificate/lumps.rs");
    for (path, bad) in [
        (head, "use crate::price_clearing::clear_by_prices;"),
        (head, "use crate::price_clearing::{\n    Limit,\n    Session,\n};"),
        (head, "use crate::price_clearing::*;"),
        (head, "use crate::proportional::Shares;"),
        (head, "fn f() { let x = crate::transport::solve(); }"),
        (head, "use super::price_clearing::Session;"),
        (head, "pub use price_clearing::Session;"),
        (part, "use super::super::price_clearing::Session;"),
        (part, "pub(super) use market::price_clearing::Session;"),
    ] {
        assert_eq!(certificate_faults(path, bad).len(), 1, "{path}: {bad}");
        assert!(certificate_faults("market/src/clearing.rs", bad).is_empty());
        assert!(certificate_faults("market/src/certificate/tests.rs", bad).is_empty());
    }
    let good = "// not crate::price_clearing::Session\nmod lumps;\nuse lumps::Lumps;\nuse thiserror::Error;\n\
        use crate::price_clearing::{Limit, Plan};\nfn f(limit: crate::price_clearing::Limit) {}";
    assert_eq!(certificate_faults(head, good), Vec::<String>::new());
    assert!(
        certificate_faults(part, "use super::{MILLION, Objection};\nuse super::offer_gain::Gain;").is_empty()
    );
}

#[test]
fn a_make_target_that_does_not_exist_is_found() {
    let makefile = "demo: ## run\n\t@run\ntest:\n";
    let document =
        "Type `make demo` or\n```sh\n$ make DEMO_ARGS=x demo\nmake tset\n```\nthen `make soup`, make sense.";
    assert_eq!(
        target_faults("README.md", document, makefile),
        [
            "README.md says `make tset`, which the Makefile does not know",
            "README.md says `make soup`, which the Makefile does not know",
        ]
    );
}
