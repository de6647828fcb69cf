//! How fast and how small the history is: DIRECTORY, values, monitors, values of a group.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // a tool

fn main() {
    let began = std::time::Instant::now();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, without: usize| arguments.get(at).map_or(without, |text| text.parse().unwrap());
    let directory = std::path::Path::new(arguments.first().expect("a directory"));
    let measured = history::measure::measure(
        directory,
        number(1, 5_000_000),
        number(2, 100) as u32,
        number(3, 4000),
        &|| began.elapsed().as_secs_f64() * 1e3,
    );
    println!("{}", serde_json::to_string_pretty(&measured.unwrap()).unwrap());
}
