//! Trials: the whole system in virtual time, one seed deciding everything that goes wrong, with checkers that know the
//! outside and the journal only. Crashes, power cuts at any operation of the disk, failed and full disks, packets that are
//! lost, doubled and late, clocks that are off or set, meters that are late or silent.
//!
//! A seed that fails is repeated with `TRIAL_SEED=17 cargo nextest run --workspace -E 'binary(trials)' --run-ignored
//! only one_seed --no-capture`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test

mod checks;
mod deadlines;
#[allow(dead_code)] // the journal's own tests use all of it
#[path = "../../../journal/tests/power/disk.rs"]
mod disk;
mod lives;
mod minute;
mod party;
mod plan;
#[path = "../../../tests/harness/soak.rs"]
mod soak;
mod trace;
mod trial;
mod wire;

use grid::defect::Defect;
use soak::{sized, soak_row};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use trial::run;

/// How to repeat a seed.
fn repeat(seed: u64) -> String {
    format!(
        "TRIAL_SEED={seed} cargo nextest run --workspace -E 'binary(trials)' --run-ignored only one_seed --no-capture"
    )
}

/// Runs seeds, and says of each what it came to as soon as it has; the seeds with objections.
fn run_all(seeds: impl Iterator<Item = u64>) -> Vec<u64> {
    let objected = seeds.filter(|seed| {
        let ran = run(*seed, None);
        println!("trial {seed}: {ran:?}");
        if !ran.objections.is_empty() {
            println!("{OBJECTED}{seed}: {:?}; repeat: {}", ran.objections, repeat(*seed));
        }
        !ran.objections.is_empty()
    });
    objected.collect()
}

/// What a line begins with that tells of objections.
const OBJECTED: &str = "objections to seed ";

#[test]
#[ignore = "repeats a seed; TRIAL_SEED says which, TRIAL_DEFECT what to plant"]
fn one_seed() {
    let name = std::env::var("TRIAL_DEFECT").ok();
    let defect = name.map(|name| {
        let known = Defect::ALL.into_iter().find(|defect| format!("{defect:?}") == name);
        known.unwrap_or_else(|| panic!("{name} is none of {:?}", Defect::ALL))
    });
    let seed = sized("TRIAL_SEED", 1);
    println!("{:#?}\n{:#?}", plan::Plan::of(seed), run(seed, defect));
}

/// A child of another test.
#[test]
#[ignore = "for the test that compares two processes, and for soaks: TRIAL_FROM, TRIAL_COUNT"]
fn some_seeds() {
    let from = sized("TRIAL_FROM", 0);
    let objected = run_all(from..from + sized("TRIAL_COUNT", 10));
    assert!(objected.is_empty(), "seeds with objections: {objected:?}");
}

/// What a child process says of seeds, started with the same arguments as another one.
fn child(from: u64, count: u64) -> std::process::Child {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "some_seeds", "--nocapture"]);
    command.env("TRIAL_FROM", from.to_string()).env("TRIAL_COUNT", count.to_string());
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// How many trials of a child pass between two words about how far it is.
const TOLD_EVERY: usize = 500;

/// Lines about trials. What a child objects to is passed on when it comes, and how far it is; fails at the end when it failed.
fn told(mut child: std::process::Child) -> Vec<String> {
    let mut trials: Vec<String> = Vec::new();
    let mut other: Vec<String> = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
        if line.starts_with(OBJECTED) {
            println!("{line}");
            other.push(line);
        } else if line.starts_with("trial ") {
            trials.push(line);
            if trials.len().is_multiple_of(TOLD_EVERY) {
                println!("{} trials, the last: {}", trials.len(), trials.last().unwrap());
            }
        } else {
            other.push(line);
        }
    }
    assert!(child.wait().unwrap().success(), "after {} trials: {}", trials.len(), other.join("\n"));
    trials
}

/// The same of two: each is read while it speaks, for a pipe that is full makes it wait.
fn all_told(children: [std::process::Child; 2]) -> [Vec<String>; 2] {
    let reading = children.map(|child| grid::beside(move || told(child)));
    reading.map(grid::Beside::found)
}

fn same_in_two_processes(from: u64, count: u64) {
    let children = [child(from, count), child(from, count)];
    let [first, second] = all_told(children);
    assert_eq!(first.len() as u64, count);
    for (one, other) in first.iter().zip(&second) {
        assert_eq!(one, other);
    }
    println!("{}", sums(&first));
    // The running system makes snapshots and starts from them.
    assert!(!sums(&first).contains(" 0 from_snapshot"), "{}", sums(&first));
}

#[test]
fn nothing_is_lost_doubled_or_left_undone_and_two_processes_agree_on_every_byte() {
    same_in_two_processes(0, 200);
}

#[test]
#[ignore = "as many as one likes; `make soak` runs it: SOAK_SAME_SEEDS"]
fn two_processes_agree_on_every_byte_of_other_seeds() {
    let count = sized("SOAK_SAME_SEEDS", 200);
    same_in_two_processes(sized("TRIAL_FROM", 500_000), count);
    soak_row(
        "same seed, two processes",
        &format!("{count} seeds identical"),
        &format!("{count} identical"),
        true,
    );
}

/// How many seeds it takes until a defect is found, and by which words.
fn found(defect: Defect, seeds: std::ops::Range<u64>) -> Option<(u64, String)> {
    seeds.into_iter().find_map(|seed| {
        let mut objections = run(seed, Some(defect)).objections;
        (!objections.is_empty()).then(|| (seed, objections.swap_remove(0)))
    })
}

#[test]
fn each_planted_defect_is_found() {
    for defect in Defect::ALL {
        let found = found(defect, 0..120);
        assert!(found.is_some(), "{defect:?} is not found");
        println!("{defect:?}: {found:?}");
    }
}

#[test]
#[ignore = "minutes; `make soak` runs it"]
fn each_planted_defect_is_found_within_a_thousand_seeds_drawn_otherwise() {
    let (from, most) = (sized("TRIAL_FROM", 1_000_000), sized("SOAK_DEFECT_SEEDS", 1_000));
    let (mut missed, mut slowest) = (Vec::new(), 0);
    for defect in Defect::ALL {
        let found = found(defect, from..from + most);
        println!("{defect:?}: after {:?} seeds", found.as_ref().map(|(seed, _)| seed - from));
        match found {
            Some((seed, _)) => slowest = slowest.max(seed - from + 1),
            None => missed.push(defect),
        }
    }
    let (all, caught) = (Defect::ALL.len(), Defect::ALL.len() - missed.len());
    let asked = format!("at least 12, all found within {most} seeds");
    let reached = format!("{caught} of {all} found, the last after {slowest} seeds; not found: {missed:?}");
    soak_row("planted defects", &asked, &reached, missed.is_empty());
    assert_eq!(missed, []);
}

#[test]
#[ignore = "an hour; `make soak` runs it"]
fn ten_thousand_seeds_give_no_objection() {
    let (from, each) = (sized("TRIAL_FROM", 0), sized("TRIAL_COUNT", 10_000) / 2);
    let lines: Vec<String> =
        all_told([child(from, each), child(from + each, each)]).into_iter().flatten().collect();
    assert_eq!(lines.len() as u64, 2 * each);
    let reached = format!("{} trials without objection: {}", lines.len(), sums(&lines));
    soak_row("trials, a seed each", &format!("{} seeds, 0 objections", 2 * each), &reached, true);
}

/// Lives, those that began with a snapshot, contracts, answered orders and settlements of all trials.
fn sums(lines: &[String]) -> String {
    let sum = |name: &str| -> u64 {
        let numbers = lines.iter().filter_map(|line| {
            let after = line.split_once(&format!("{name}: "))?.1;
            after.split(|letter: char| !letter.is_ascii_digit()).next()?.parse::<u64>().ok()
        });
        numbers.sum()
    };
    let all = ["lives", "from_snapshot", "contracts", "answered", "settlements"]
        .map(|name| format!("{} {name}", sum(name)));
    all.join(", ")
}
