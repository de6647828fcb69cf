//! `gridflex bench journal` without the rest of gridflex: `cargo run --profile demo -p journal --example measure -- DIR 1000000 20`.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a tool

use journal::measure::Bench;
use rustix::time::{ClockId, clock_gettime};

fn ms(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 * 1e-6
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |at: usize| arguments[at].parse().unwrap();
    let bench = Bench {
        directory: arguments[1].as_ref(),
        records: number(2),
        starts: number(3),
        now_ms: &|| ms(ClockId::Monotonic),
        cpu_ms: &|| ms(ClockId::ThreadCPUTime),
    };
    println!("{}", serde_json::to_string_pretty(&bench.run().unwrap()).unwrap());
}
