//! What the command line says to mistakes: exit code 2 and a sentence that names the thing; 1 for what is broken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

mod harness;

use harness::{Demo, free_port, gridflex, run, text, words};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

/// The demo with ports that disturb nobody.
const QUIET: [&str; 6] = ["demo", "--headless", "--port", "0", "--mqtt-port", "0"];

/// The program must end by itself; a demo that starts after all would run on for minutes.
fn ends(arguments: &[&str]) -> Output {
    let mut child =
        gridflex(arguments.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..3000 {
        if child.try_wait().unwrap().is_some() {
            return child.wait_with_output().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("{arguments:?} does not end");
}

/// Ends with this code, says all of this on stderr, and nothing on stdout.
fn refuses(code: i32, arguments: &[&str], says: &[&str]) {
    let output = ends(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", words(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    for part in says {
        assert!(said.contains(part), "{arguments:?} does not say {part:?}: {said}");
    }
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", words(&output));
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn usage_that_makes_no_sense_is_refused_and_named() {
    refuses(2, &["demo", "--colour"], &["--colour"]);
    refuses(2, &["fly"], &["fly"]);
    refuses(2, &[], &["Usage"]);
    refuses(2, &["demo", "--duration", "5x"], &["5x", "6h"]);
    refuses(2, &["demo", "--speed", "0"], &["--speed", "1..=600"]);
    refuses(2, &["demo", "--port", "70000"], &["70000", "--port"]);
    refuses(2, &["simulate"], &["--out"]);
    refuses(2, &["journal", "verify", "/no/such/directory"], &["/no/such/directory"]);
}

/// What `--help` of a command says, and the commands below it.
fn help(command: &str) -> (String, Vec<String>) {
    let output = run(command.split_whitespace().chain(["--help"]));
    assert!(output.status.success(), "{command}: {}", words(&output));
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    let below = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    // What a line has no room for stands on the next one, further in.
    let named = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let names = below.lines().take_while(|line| !line.is_empty()).filter(named);
    let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    let below = names.map(|name| format!("{command} {name}").trim().to_owned());
    let below = below.collect();
    (help, below)
}

#[test]
fn help_of_every_command_has_examples() {
    let mut commands = vec![String::new()];
    let mut seen = 0;
    while let Some(command) = commands.pop() {
        let (help, below) = help(&command);
        let examples =
            help.split("Examples:").nth(1).unwrap_or_else(|| panic!("{command:?} has no examples: {help}"));
        let started = format!("gridflex {command}");
        assert!(examples.contains(started.trim()), "{command:?}: {examples}");
        commands.extend(below);
        seen += 1;
    }
    assert!(seen > 40, "{seen} commands");
    assert!(run(["--version"]).status.success());
}

#[test]
fn a_port_in_use_is_named_before_anything_is_written() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    refuses(
        2,
        &["demo", "--port", "0", "--mqtt-port", &port, "--data", text(&data)],
        &[&port, "--mqtt-port"],
    );
    assert!(!data.exists(), "a refused start left something behind");
    refuses(2, &["demo", "--mqtt-port", "0", "--port", &port, "--data", text(&data)], &[&port, "--port"]);
}

#[test]
fn a_data_directory_belongs_to_one_run_and_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let data = text(directory.path());
    let mut demo = Demo::start(["--headless", "--port", "0", "--mqtt-port", "0", "--data", data]).ready();
    refuses(2, &[&QUIET[..], &["--data", data]].concat(), &["another gridflex process", data]);
    assert!(demo.is_running());
    demo.kill();
    refuses(
        2,
        &[&QUIET[..], &["--data", data, "--seed", "8"]].concat(),
        &["another scenario, seed or duration", data],
    );
    let port = free_port().to_string();
    let again = Demo::start(["--headless", "--port", &port, "--mqtt-port", "0", "--data", data]).ready();
    again.signal("INT");
    let (status, out, _) = again.end(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0));
    assert!(out.contains("taken up"), "{out}");
}

/// A short simulated journal.
fn simulated(directory: &Path) -> PathBuf {
    let out = directory.join("out");
    let output = run(["simulate", "--seed", "7", "--duration", "15m", "--out", text(&out)]);
    assert!(output.status.success(), "{}", words(&output));
    out
}

/// Where each record begins, by the description of the format.
fn record_starts(journal: &[u8]) -> Vec<usize> {
    let length = |at: usize| u32::from_le_bytes(journal[at..at + 4].try_into().unwrap()) as usize;
    let (mut starts, mut group) = (Vec::new(), 512);
    while group < journal.len() {
        let end = group + 64 + length(group + 20);
        let mut at = group + 64;
        while at < end {
            starts.push(at);
            at += 36 + length(at);
        }
        group = end.next_multiple_of(512);
    }
    starts
}

#[test]
fn a_damaged_journal_is_refused_with_the_record_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let out = simulated(directory.path());
    let path = out.join("market.journal");
    let whole = std::fs::read(&path).unwrap();
    let starts = record_starts(&whole);
    let middle = starts.len() / 2;
    let says = format!("record {} at byte {}", middle + 1, starts[middle]);
    // In the payload, the chain, and the length.
    for (offset, bit) in [(40, 1), (35, 0x80), (10, 1), (2, 1), (1, 0x80), (0, 1)] {
        let mut damaged = whole.clone();
        damaged[starts[middle] + offset] ^= bit;
        std::fs::write(&path, &damaged).unwrap();
        refuses(1, &["journal", "verify", text(&out)], &[&says, text(&path)]);
        let exported = refuses_after_writing(&["journal", "export", text(&out)], &says);
        let numbers = exported
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["number"].clone());
        let numbers: Vec<u64> = numbers.map(|number| number.as_u64().unwrap()).collect();
        // Groups are judged as a whole.
        assert!(!numbers.is_empty() && numbers.len() <= middle, "the good groups before it: {numbers:?}");
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        refuses(1, &[&QUIET[..], &["--data", text(&out), "--duration", "15m"]].concat(), &[&says]);
        assert!(std::fs::read(&path).unwrap() == damaged, "a damaged journal was changed");
    }
    std::fs::write(&path, "something else entirely, and long enough").unwrap();
    refuses(2, &["journal", "verify", text(&out)], &["not a gridflex journal"]);
    refuses(2, &[&QUIET[..], &["--data", text(&out)]].concat(), &["not a gridflex journal"]);
}

const SCENARIO: &str = include_str!("../sim/scenarios/first_light.toml");
const NETWORK: &str = include_str!("../sim/networks/ieee_european_lv.json");

#[test]
fn a_scenario_or_network_that_makes_no_sense_is_refused_by_file_and_key() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        text(&path).to_owned()
    };
    let out = text(directory.path()).to_owned() + "/out";
    let simulate = |scenario: &str, says: &[&str]| refuses(2, &["simulate", scenario, "--out", &out], says);
    let changed = |from: &str, to: &str| {
        assert!(SCENARIO.contains(from), "{from}");
        SCENARIO.replacen(from, to, 1)
    };
    simulate("/no/such.toml", &["/no/such.toml"]);
    let unknown = file("unknown_key.toml", &changed("seed = 7", "sead = 7"));
    simulate(&unknown, &["unknown_key.toml", "sead"]);
    let outside = file("outside.toml", &changed("p_max_w = 7400.0", "p_max_w = -1.0"));
    simulate(&outside, &["outside.toml", "chargers.p_max_w", "-1"]);
    let rubbish = file("rubbish.toml", "\u{0}\u{1} = = =");
    simulate(&rubbish, &["rubbish.toml"]);

    let with_network = |name: &str, network: &str| {
        let line = format!("network = {:?}", text(&directory.path().join(network)));
        file(name, &changed("network = \"ieee_european_lv\"", &line))
    };
    simulate(&with_network("a.toml", "missing.json"), &["missing.json"]);
    let bus = "{\"id\":1,\"u_rated\":416.0";
    assert!(NETWORK.contains(bus));
    file("unknown_bus.json", &NETWORK.replacen(bus, "{\"id\":990001,\"u_rated\":416.0", 1));
    simulate(
        &with_network("b.toml", "unknown_bus.json"),
        &["unknown_bus.json", "bus 1, which does not exist"],
    );
    file("cut_off.json", &NETWORK[..NETWORK.len() / 2]);
    simulate(&with_network("c.toml", "cut_off.json"), &["cut_off.json"]);
    file("negative.json", &NETWORK.replacen(bus, "{\"id\":1,\"u_rated\":-416.0", 1));
    simulate(&with_network("d.toml", "negative.json"), &["negative.json", "1", "-416"]);
    assert!(!Path::new(&out).exists(), "a refused simulation left something behind");
}

#[test]
fn offers_are_aggregated_and_their_schedules_split_to_the_milliwatt_hour() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let offer = |n: u32| {
        serde_json::json!({
            "id": format!("fo-{n}"), "state": "offered", "creationTime": "2026-01-14T12:00:00Z",
            "offeredById": format!("p-{n}"), "locationID": "b0",
            "startAfterTime": "2026-01-15T10:00:00Z", "startBeforeTime": "2026-01-15T11:00:00Z",
            "flexOfferProfileConstraints": [{"energyConstraintList": [{"lower": 0.5, "upper": 3.0}]}],
            "defaultSchedule": {"startTime": "2026-01-15T10:00:00Z", "scheduleSlices": [{"energyAmount": 1}]},
        })
    };
    let case = serde_json::json!({ "flexOffers": (0..3).map(offer).collect::<Vec<_>>() });
    std::fs::write(path("case.json"), case.to_string()).unwrap();
    let (case, made, parts) = (path("case.json"), path("aggregates.json"), path("schedules.json"));
    let output = run(["market", "aggregate", text(&case), "-o", text(&made)]);
    assert!(output.status.success(), "{}", words(&output));
    assert!(words(&output).contains("3 in 1 aggregates"), "{}", words(&output));

    let assigned = |energy: f64| {
        let assignment = serde_json::json!({ "assignments": [{"id": "agg-1",
            "startTime": "2026-01-15T10:30:00Z", "scheduleSlices": [{"energyAmount": energy}]}] });
        std::fs::write(path("result.json"), assignment.to_string()).unwrap();
    };
    let result = path("result.json");
    let split =
        ["market", "disaggregate", text(&made), "--assignments", text(&result), "--json", "-o", text(&parts)];
    assigned(4.000_001);
    let output = run(split);
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&figures["members"], &figures["distributedMwh"]), (&3.into(), &4_000_001.into()));
    assert_eq!(figures["assignedMwh"], figures["distributedMwh"]);
    assigned(9.1);
    let _ = refuses_after_writing(&split, "agg");
    refuses(2, &["market", "aggregate", "/no/such/file"], &["/no/such/file"]);
    refuses(2, &["market", "disaggregate", text(&case)], &["case.json", "tolerances", "missing"]);
    refuses(2, &["market", "aggregate", text(&case), "--price", "0"], &["--price"]);
}

/// Ends with 1 and says why, after the answer was written.
fn refuses_after_writing(arguments: &[&str], says: &str) -> String {
    let output = run(arguments.iter().copied());
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains(says), "{}", words(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_pandapower_network_is_told_by_its_names_and_refused_by_its_indices() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("connectors/testdata/pandapower");
    let output = run(["powerflow", text(&folder.join("corners.json")), "--symmetric", "--table"]);
    assert!(output.status.success(), "{}", words(&output));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("11 buses (10 energized)") && table.contains("line 5"), "{table}");
    let whole = std::fs::read_to_string(folder.join("corners.json")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken.json");
    std::fs::write(&broken, whole.replace("\\\"et\\\"", "\\\"kind\\\"")).unwrap();
    refuses(2, &["powerflow", text(&broken)], &["broken.json", "switch 0: et is missing"]);
}
