//! Anything at all at every parser: real samples, what once broke one, and mutations of both. Nothing may panic or take long.
//!
//! `testdata/corpus/<parser>` holds the samples. What breaks a parser is written there as `found-…` and is run from then on.
//! Mutation is not guided by coverage: that needs a nightly compiler. `FUZZ_SECONDS` is the time per parser, `FUZZ_SEED` the
//! first number drawn, `FUZZ_PARSER` one parser alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // the whole crate is a test
#![allow(clippy::disallowed_methods)] // wall time is measured

mod complete;
mod mutate;

use connectors::clearing_case::{ResultExtras, read_case, write_result};
use connectors::parsers::{PARSERS, Parser};
use market::price_clearing::clear_by_prices;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Nothing may take longer, in a build without optimisation on a busy machine.
const SLOW: Duration = Duration::from_secs(10);
/// Mutations of each parser's samples in every test run.
const MUTATIONS: u64 = 300;

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(path)
}

/// Samples that other tests read too.
const SHARED: &[(&str, &[&str])] = &[
    ("flex_offer", &["flexoffer"]),
    ("portfolio", &["flexoffer"]),
    ("network_file", &["network_file", "../../docs/example-site/network.json"]),
    ("power_grid_model", &["network_file", "../../docs/example-site/network.json"]),
    ("pandapower", &["pandapower/corners.json", "pandapower/measured.json"]),
    ("mqtt_rights", &["../../docs/example-site/rights.toml"]),
    ("point_map", &["../../docs/example-site/substation.csv"]),
];

/// Every file in a folder of `testdata`, or the file itself.
fn files(path: &str) -> Vec<Vec<u8>> {
    let path = data(path);
    if path.is_file() {
        return vec![std::fs::read(path).unwrap()];
    }
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Everything that is mutated for a parser.
fn samples(parser: &Parser) -> Vec<Vec<u8>> {
    let shared = SHARED.iter().filter(|(name, _)| *name == parser.name).flat_map(|(_, paths)| *paths);
    let mut samples: Vec<Vec<u8>> = shared.flat_map(|path| files(path)).collect();
    samples.extend(files(&format!("corpus/{}", parser.name)));
    if parser.name == "clearing_result" {
        samples.extend(files("corpus/clearing_case").iter().filter_map(|case| with_its_result(case)));
    }
    samples
}

/// A case and what clearing it writes.
fn with_its_result(case: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(case).ok()?;
    let case = read_case(text).ok()?;
    let result = write_result(&case, &clear_by_prices(&case.problem), &ResultExtras::default()).ok()?;
    Some(format!("{}\n\n{result}", text.trim_end()).into_bytes())
}

/// Runs one input; what breaks is kept. Returns how long it took.
fn run(parser: &Parser, input: &[u8], broken: &Mutex<Vec<String>>) -> Duration {
    let since = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (parser.read)(input)));
    let took = since.elapsed();
    if outcome.is_err() || took > SLOW {
        let sum = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let folder = data(&format!("corpus/{}", parser.name));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("found-{sum:016x}"));
        std::fs::write(&path, input).unwrap();
        let what = if outcome.is_err() { "panics" } else { "takes too long" };
        broken.lock().unwrap().push(format!("{} {what} ({took:?}): {}", parser.name, path.display()));
    }
    took
}

/// Mutates a parser's samples until told to stop. Returns executions and the longest one.
fn mutated(
    parser: &Parser,
    seed: u64,
    until: impl Fn(u64) -> bool,
    broken: &Mutex<Vec<String>>,
) -> (u64, Duration) {
    let samples = samples(parser);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut executions, mut longest) = (0, Duration::ZERO);
    while !until(executions) && broken.lock().unwrap().len() < 20 {
        let sample = &samples[rng.random_range(0..samples.len())];
        let input = mutate::mutate(sample, &samples, &mut rng);
        longest = longest.max(run(parser, &input, broken));
        executions += 1;
    }
    (executions, longest)
}

fn none(broken: Mutex<Vec<String>>) {
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn what_once_broke_a_parser_and_a_few_mutations_of_every_sample_are_answered() {
    let broken = Mutex::new(Vec::new());
    for parser in PARSERS {
        for sample in samples(parser) {
            run(parser, &sample, &broken);
        }
        mutated(parser, 1, |executions| executions >= MUTATIONS, &broken);
    }
    none(broken);
}

#[test]
fn every_parser_has_samples_and_no_folder_of_samples_is_of_no_parser() {
    for parser in PARSERS {
        assert!(!samples(parser).is_empty(), "testdata/corpus/{} has no sample", parser.name);
    }
    for entry in std::fs::read_dir(data("corpus")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(PARSERS.iter().any(|parser| parser.name == name), "testdata/corpus/{name} is of no parser");
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

#[test]
#[ignore = "FUZZ_SECONDS per parser; `make soak` runs it with 600"]
fn every_parser_answers_mutated_samples_for_long() {
    let seconds = Duration::from_secs(number("FUZZ_SECONDS", 5));
    let drawn = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number("FUZZ_SEED", drawn.as_secs());
    let only = std::env::var("FUZZ_PARSER").ok();
    let chosen = PARSERS.iter().filter(|parser| only.as_ref().is_none_or(|only| only == parser.name));
    let waiting = Mutex::new(chosen.collect::<Vec<_>>());
    let (broken, total) = (Mutex::new(Vec::new()), Mutex::new(0));
    let work = || {
        loop {
            let Some(parser) = waiting.lock().unwrap().pop() else { return };
            let since = Instant::now();
            let (executions, longest) = mutated(parser, seed, |_| since.elapsed() >= seconds, &broken);
            println!("{:<18} {executions:>10} executions, longest {longest:?}, seed {seed}", parser.name);
            *total.lock().unwrap() += executions;
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    println!("{} executions in all", total.into_inner().unwrap());
    none(broken);
}
