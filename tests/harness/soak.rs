//! What the long tests of all crates share: a size from the environment, and a row of the table that `scripts/soak.sh` prints.

/// A row of the table: what was asked and what was reached.
#[allow(clippy::print_stderr)] // it is read there
pub fn soak_row(what: &str, asked: &str, reached: &str, held: bool) {
    eprintln!("soak| {what} | {asked} | {reached} | {}", if held { "passed" } else { "FAILED" });
}

/// A size of a soak, from the environment.
pub fn sized<T: std::str::FromStr>(variable: &str, without: T) -> T {
    let given = std::env::var(variable).ok();
    given.map_or(without, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}
