//! Anything at all as a site file: each is read, or refused with its faults, and nothing else.
//! `FUZZ_SECONDS` is the time, `FUZZ_SEED` the first number drawn.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods)] // the whole crate is a test

#[path = "../../connectors/tests/fuzz/mutate.rs"]
mod mutate;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::path::Path;
use std::time::{Duration, Instant};

/// The example, and the sections it does not have.
const SAMPLES: &[&str] = &[
    include_str!("../../docs/example-site/site.toml"),
    "name = \"a\"\n[market]\nnetting = true\n[[iec104]]\nname = \"s\"\nserver = \"10.0.0.7:2404\"\npoints = \"p.csv\"\nsilent_s = 60\n",
    "[[broker]]\nname = \"homes\"\nserver = \"b:8883\"\nca = \"ca.pem\"\npoints = \"p.csv\"\n[[generator]]\nelement = \"pv.1\"\nrated_kw = 5.5\n[opcua_server]\nlisten = \"127.0.0.1:4840\"\n",
    "[oidc]\nname = \"a\"\nissuer = \"https://a.example\"\nclient_id = \"g\"\nclient_secret_file = \"s\"\npublic_url = \"https://g.example\"\nclock_skew_s = 9\n[[oidc.group]]\ngroup = \"g\"\nrole = \"prosumer\"\nprosumers = \"3, 4\"\n",
];

fn mutated(seed: u64, until: impl Fn(u64) -> bool) -> u64 {
    let samples: Vec<Vec<u8>> = SAMPLES.iter().map(|text| text.as_bytes().to_vec()).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut executions, mut refused) = (0, 0_u64);
    while !until(executions) {
        let input = mutate::mutate(&samples[rng.random_range(0..samples.len())], &samples, &mut rng);
        if let Err(problems) = site::file::parse(Path::new("site.toml"), &String::from_utf8_lossy(&input)) {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
            refused += 1;
        }
        executions += 1;
    }
    assert!(refused > 0, "nothing of {executions} was refused");
    executions
}

#[test]
fn a_thousand_broken_site_files_are_read_or_refused_with_reasons() {
    mutated(1, |executions| executions >= 1_000);
}

#[test]
#[ignore = "FUZZ_SECONDS; `make soak` runs it with 600"]
fn broken_site_files_are_read_or_refused_for_long() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (seconds, since) = (Duration::from_secs(number("FUZZ_SECONDS", 5)), Instant::now());
    let seed = number("FUZZ_SEED", 7);
    let executions = mutated(seed, |_| since.elapsed() >= seconds);
    eprintln!("site file          {executions:>10} executions, seed {seed}");
}
