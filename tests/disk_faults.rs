//! A live site on a disk that is slow, that fails, that may not be touched, that was written by a newer program, and in a process that
//! runs out of memory. The program is the real one: the faults are below it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // outside the program there is only the wall clock

mod harness;

use harness::area::{AREA, offer};
use harness::checker::{facts, records};
use harness::cluster::site;
use harness::faults::Faults;
use harness::mqtt::publish;
use harness::{Demo, PATIENCE, get, gridflex, post, run, text, wait_for, words};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Starts a site, below it these faults.
fn serve(site: &Path, faults: Option<&Faults>) -> Demo {
    let mut command = gridflex(["serve", text(site)]);
    faults.iter().for_each(|faults| faults.below(&mut command));
    Demo::start_by(command)
}

/// Starts a site that is not going to serve; what it says.
fn refused(site: &Path, faults: Option<&Faults>) -> Output {
    let mut command = gridflex(["serve", text(site)]);
    faults.iter().for_each(|faults| faults.below(&mut command));
    ended(&mut command)
}

fn ended(command: &mut Command) -> Output {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("it to end", PATIENCE, || child.try_wait().unwrap());
    child.wait_with_output().unwrap()
}

fn data(site: &Path) -> PathBuf {
    site.with_file_name(format!("{AREA}-data"))
}

/// Names and bytes of all files.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(contents(&entry.path())),
            false => _ = found.insert(entry.path(), std::fs::read(entry.path()).unwrap()),
        }
    }
    found
}

/// Offers of a journal by name, with how often each was accepted.
fn accepted(data: &Path) -> BTreeMap<String, usize> {
    let exported = run(["journal", "export", text(data)]);
    assert!(exported.status.success(), "{}", words(&exported));
    let records = records(&String::from_utf8(exported.stdout).unwrap());
    let mut times = BTreeMap::new();
    for fact in facts(&records, "offer_accepted") {
        *times.entry(fact["offer"]["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    times
}

/// A kilobyte figure of a process.
fn kilobytes(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches([':', '\t', ' ']).split_whitespace().next().unwrap().parse().unwrap()
}

fn telemetry(first: u64, count: u64) -> String {
    let value = |n: u64| {
        let point = format!("bus.{}.u.{}", 2 + n % 2, ["a", "b", "c"][n as usize % 3]);
        format!("{{\"point\":\"{point}\",\"value\":{},\"unit\":\"V\"}}", 230.0 + (n % 500) as f64 / 1_000.0)
    };
    format!("{{\"measurements\":[{}]}}", (first..first + count).map(value).collect::<Vec<_>>().join(","))
}

#[test]
fn on_a_disk_that_syncs_once_a_second_answers_are_slow_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let Some(faults) = Faults::new(place.path()) else { return };
    let site = site(place.path(), AREA, 4_000);
    let mut served = serve(&site, Some(&faults));
    // Not slower than this from here on, so that what it holds then is what it holds at rest.
    for number in 3_900..3_950 {
        assert_eq!(post(served.page, "/api/v1/flexoffers", &offer(number)).unwrap().status, 201);
    }
    let before_kb = kilobytes(served.id(), "VmRSS");
    faults.are(&format!("sync-ms {} 1000\n", text(&data(&site))));
    let answers = Mutex::new(Vec::new());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for customer in 0..24 {
            let (answers, page) = (&answers, served.page);
            scope.spawn(move || {
                let mut number = customer * 100;
                while begun.elapsed() < Duration::from_secs(20) {
                    number += 1;
                    let asked = Instant::now();
                    let answer = post(page, "/api/v1/flexoffers", &offer(number));
                    let status = answer.map_or(0, |answer| answer.status);
                    answers.lock().unwrap().push((number, status, asked.elapsed()));
                }
            });
        }
        // Readings, too, more than the disk takes one by one; and whoever reads is not held up.
        let topic = format!("gridflex/{AREA}/telemetry/many");
        for round in 0..10 {
            let payload = telemetry(round * 100, 100);
            let messages: Vec<_> = (0..5).map(|_| (topic.as_str(), payload.as_str())).collect();
            publish(served.broker, &messages).expect("readings are acknowledged, however late");
            let asked = Instant::now();
            for path in ["/healthz", "/api/v1/snapshot", "/metrics"] {
                assert_eq!(get(served.page, path).unwrap().status, 200, "{path}");
            }
            assert!(asked.elapsed() < Duration::from_secs(2), "reading took {:?}", asked.elapsed());
        }
    });
    let answers = answers.into_inner().unwrap();
    let other: Vec<_> = answers.iter().filter(|(_, status, _)| *status != 201).collect();
    assert!(other.is_empty(), "{other:?}");
    let mut took: Vec<Duration> = answers.iter().map(|(_, _, took)| *took).collect();
    took.sort();
    let (first, median, last) = (took[0], took[took.len() / 2], took[took.len() - 1]);
    let grown_kb = kilobytes(served.id(), "VmRSS").saturating_sub(before_kb);
    eprintln!(
        "{} offers, answered after {first:.2?}, {median:.2?} (median), {last:.2?}; {grown_kb} kB more",
        took.len()
    );
    // One sync serves all that wait: an answer waits for the one under way and its own.
    assert!(first >= Duration::from_millis(900), "an answer came before its sync: {first:?}");
    assert!(last <= Duration::from_secs(9), "an answer took {last:?}");
    assert!(took.len() >= 24 * 5, "only {} offers in 20 s: not one sync for all that wait", took.len());
    assert!(grown_kb < 64 << 10, "{grown_kb} kB more");
    assert!(served.is_running());
    faults.are("");
    served.kill();
    let times = accepted(&data(&site));
    let lost = answers.iter().filter(|(number, _, _)| times.get(&format!("outside-{number}")) != Some(&1));
    assert_eq!(lost.count(), 0);
}

#[test]
fn after_a_sync_that_failed_nothing_is_acknowledged_and_the_process_ends_within_a_second() {
    let place = tempfile::tempdir().unwrap();
    let Some(faults) = Faults::new(place.path()) else { return };
    let site = site(place.path(), AREA, 2_000);
    let mut acknowledged = BTreeSet::new();
    let mut took = Vec::new();
    for life in 0..5 {
        faults.are("");
        let served = serve(&site, Some(&faults));
        let mut number = life * 300;
        let mut hand_in = |kept: &mut BTreeSet<String>| {
            number += 1;
            let answer = post(served.page, "/api/v1/flexoffers", &offer(number));
            let taken = answer.is_ok_and(|answer| answer.status == 201);
            if taken {
                kept.insert(format!("outside-{number}"));
            }
            taken
        };
        for _ in 0..20 {
            assert!(hand_in(&mut acknowledged));
        }
        faults.are(&format!("sync-eio {}/market 0\n", text(&data(&site))));
        let (failed, mut after) = (Instant::now(), BTreeSet::new());
        hand_in(&mut after);
        let (status, _, err) = served.end(PATIENCE);
        took.push(failed.elapsed());
        assert_eq!(status.code(), Some(70), "{err}");
        assert!(err.contains("syncing"), "{err}");
        assert!(after.is_empty(), "{after:?} was acknowledged and not synced");
    }
    faults.are("");
    drop(serve(&site, Some(&faults)));
    let times = accepted(&data(&site));
    assert!(acknowledged.iter().all(|id| times.get(id) == Some(&1)), "{times:?}");
    took.sort();
    eprintln!("ended {took:.2?} after the sync that failed");
    // Where builds run beside, one may take longer.
    assert!(took[2] < Duration::from_secs(1), "it ended {took:?} after a sync that failed");
}

#[test]
fn a_disk_that_cannot_be_read_stops_the_start_with_the_file_and_nothing_is_overwritten() {
    let place = tempfile::tempdir().unwrap();
    let Some(faults) = Faults::new(place.path()) else { return };
    let site = site(place.path(), AREA, 60);
    let mut served = serve(&site, Some(&faults));
    for number in 1..40 {
        assert_eq!(post(served.page, "/api/v1/flexoffers", &offer(number)).unwrap().status, 201);
    }
    publish(served.broker, &[(&format!("gridflex/{AREA}/telemetry/many"), &telemetry(0, 100))]).unwrap();
    served.kill();
    let before = contents(&data(&site));
    for file in ["market.journal", "market.tip"] {
        faults.are(&format!("read-eio {file} 0\n"));
        let output = refused(&site, Some(&faults));
        assert_eq!(output.status.code(), Some(1), "{}", words(&output));
        let said = words(&output);
        assert!(
            said.contains(text(&data(&site).join(file))) && said.contains("Input/output error"),
            "{said}"
        );
        assert_eq!(contents(&data(&site)), before, "{file}");
    }
    // The history is opened after the journal has noted a new life; its own files stay as they are.
    faults.are("read-eio history/head- 0\n");
    let output = refused(&site, Some(&faults));
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert!(words(&output).contains("head-0000000001.log") && words(&output).contains("Input/output error"));
    let of_history = |all: BTreeMap<PathBuf, Vec<u8>>| -> BTreeMap<PathBuf, Vec<u8>> {
        all.into_iter().filter(|(path, _)| path.parent().unwrap().ends_with("history")).collect()
    };
    assert_eq!(of_history(contents(&data(&site))), of_history(before));
    faults.are("");
    let served = serve(&site, Some(&faults));
    assert_eq!(get(served.page, "/api/v1/flexoffers/outside-39").unwrap().status, 200);
}

/// A program that is run by nobody in particular: whoever runs tests may be root, whom no right stops.
fn by_nobody(command: &Command) -> Command {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        let mut same = Command::new(command.get_program());
        same.args(command.get_args());
        return same;
    }
    let mut other = Command::new("setpriv");
    other.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all"]);
    other.arg(command.get_program()).args(command.get_args());
    other
}

#[test]
fn what_may_not_be_touched_is_named() {
    let place = tempfile::tempdir().unwrap();
    let site = site(place.path(), AREA, 4);
    let data = data(&site);
    std::fs::create_dir(&data).unwrap();
    let rights = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    rights(place.path(), 0o755);
    let mut probe = by_nobody(&gridflex(["--version"]));
    if !probe.output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: the program cannot be run by another user here; no right is tried");
        return;
    }
    let refused = |named: &Path| {
        let output = ended(&mut by_nobody(&gridflex(["serve", text(&site)])));
        let said = words(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(text(named)) && said.contains("Permission denied"), "{said}");
    };
    // A directory that is somebody else's, and one that not even its files are known of.
    for mode in [0o555, 0o000] {
        rights(&data, mode);
        refused(&data);
    }
    rights(&data, 0o777);
    let journal = data.join("market.journal");
    std::fs::write(&journal, b"").unwrap();
    rights(&journal, 0o444);
    refused(&journal);
    std::fs::remove_file(&journal).unwrap();
    let history = data.join("history");
    std::fs::create_dir(&history).unwrap();
    rights(&history, 0o555);
    refused(&history);
    // A place where the directory cannot be made.
    rights(&history, 0o755);
    std::fs::remove_dir_all(&data).unwrap();
    refused(&data);
}

#[test]
fn a_journal_of_a_newer_program_is_left_alone_and_said_so() {
    let place = tempfile::tempdir().unwrap();
    let site = site(place.path(), AREA, 60);
    let mut served = serve(&site, None);
    for number in 1..20 {
        assert_eq!(post(served.page, "/api/v1/flexoffers", &offer(number)).unwrap().status, 201);
    }
    served.kill();
    let first = data(&site).join("market.journal");
    let mut bytes = std::fs::read(&first).unwrap();
    // Another form from the head on.
    bytes.splice(..512, *b"gridflex journal 4 by something that is not there yet\n");
    std::fs::write(&first, bytes).unwrap();
    let before = contents(&data(&site));
    let to = place.path().join("copy");
    for command in [
        vec!["serve", text(&site)],
        vec!["journal", "verify", text(&data(&site))],
        vec!["backup", text(&data(&site)), text(&to)],
    ] {
        let output = ended(&mut gridflex(command.iter().copied()));
        let said = words(&output);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{command:?}: {said}");
        assert!(said.contains("written by a newer gridflex") && said.contains("version 4"), "{said}");
        assert!(said.contains("start with the newer program"), "{said}");
        assert_eq!(contents(&data(&site)), before, "{command:?}");
    }
    assert!(!to.exists());
    assert_eq!(refused(&site, None).status.code(), Some(2), "starting again does not help");
}

#[test]
fn a_process_that_runs_out_of_memory_dies_and_the_next_one_has_all_that_was_acknowledged() {
    let place = tempfile::tempdir().unwrap();
    let site = site(place.path(), AREA, 6_000);
    let mut acknowledged: BTreeSet<usize> = BTreeSet::new();
    for life in 0..3_usize {
        let mut command = gridflex(["serve", text(&site)]);
        // It asks the system for memory in small parts, so that the limit is felt where memory is needed.
        command.env("MIMALLOC_ARENA_RESERVE", "4096").env("MIMALLOC_PURGE_DELAY", "0");
        let served = Demo::start_by(command);
        let known = |number: &&usize| {
            let found = get(served.page, &format!("/api/v1/flexoffers/outside-{number}"));
            found.is_ok_and(|answer| answer.status == 200)
        };
        let forgotten: Vec<_> = acknowledged.iter().rev().take(100).filter(|number| !known(number)).collect();
        assert!(forgotten.is_empty(), "life {life}: {forgotten:?}");
        let limit = (kilobytes(served.id(), "VmSize") + (24 << 10)) << 10;
        let limited = Command::new("prlimit")
            .args(["--pid", &served.id().to_string(), &format!("--as={limit}")])
            .status();
        assert!(limited.is_ok_and(|status| status.success()), "prlimit cannot limit a process here");
        let (broker, page) = (served.broker, served.page);
        let fresh = until_it_dies(served, broker, page, life * 2_000);
        acknowledged.extend(fresh);
    }
    drop(serve(&site, None));
    let times = accepted(&data(&site));
    let lost: Vec<_> =
        acknowledged.iter().filter(|n| times.get(&format!("outside-{n}")) != Some(&1)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let verified = run(["journal", "verify", text(&data(&site))]);
    assert!(verified.status.success(), "{}", words(&verified));
    eprintln!("3 lives that ended for want of memory, {} offers acknowledged, 0 lost", acknowledged.len());
    assert!(acknowledged.len() > 60, "a story in which little happened shows little");
}

/// Hands in offers and publishes readings until the process is gone. Which offers were acknowledged.
fn until_it_dies(
    mut served: Demo,
    broker: std::net::SocketAddr,
    page: std::net::SocketAddr,
    first: usize,
) -> Vec<usize> {
    let begun = Instant::now();
    let over = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    let fresh = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let (topic, payload) = (format!("gridflex/{AREA}/telemetry/many"), telemetry(0, 1_000));
                let messages: Vec<_> = (0..20).map(|_| (topic.as_str(), payload.as_str())).collect();
                while !over.load(relaxed) {
                    let _ = publish(broker, &messages);
                }
            });
        }
        let (mut fresh, mut number) = (Vec::new(), first);
        while served.is_running() && begun.elapsed() < Duration::from_secs(90) {
            number += 1;
            if number < first + 2_000
                && post(page, "/api/v1/flexoffers", &offer(number)).is_ok_and(|a| a.status == 201)
            {
                fresh.push(number);
            }
        }
        over.store(true, relaxed);
        fresh
    });
    let (status, _, err) = served.end(Duration::from_secs(1));
    assert!(!status.success(), "it did not die: {err}");
    let last: Vec<&str> = err.lines().rev().take(2).collect();
    eprintln!("after {:.1?} it ended by {status}: {last:?}", begun.elapsed());
    fresh
}
