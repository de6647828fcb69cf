//! By which clock a site goes on.

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What becomes of a machine's clock, when the newest record and the newest market fact are of these instants.
fn goes_on(
    machine: &str,
    reached: Option<&str>,
    traded: Option<&str>,
    clock_is_right: bool,
) -> Result<Timestamp, SiteError> {
    let standing = Standing { reached: reached.map(at), traded: traded.map(at), ..Standing::default() };
    let (configuration, directory) = ("site x".to_owned(), PathBuf::from("data"));
    let wanted = Wanted { configuration, directory, clock_is_right, usage_points: Vec::new() };
    origin(&standing, at(machine), &wanted)
}

#[test]
fn a_clock_that_is_years_ahead_is_refused_before_anything_is_recorded_by_it() {
    let reached = Some("2026-01-15T16:30:00Z");
    let refused = goes_on("2036-02-01T00:00:00Z", reached, reached, false).unwrap_err();
    assert!(matches!(refused, SiteError::ClockAhead { .. }) && !refused.is_input());
    let words = refused.to_string();
    assert!(
        words.contains("2026-01-15T16:30:00Z")
            && words.contains("2036-02-01")
            && words.contains("--clock-is-right"),
        "{words}"
    );
    // A site that was off for that long.
    assert_eq!(goes_on("2036-02-01T00:00:00Z", reached, reached, true).unwrap(), at("2036-02-01T00:00:00Z"));
    assert_eq!(goes_on("2026-02-14T16:30:00Z", reached, reached, false).unwrap(), at("2026-02-14T16:30:00Z"));
    // Nothing is known of the time at a first start.
    assert!(goes_on("2036-02-01T00:00:00Z", None, None, false).is_ok());
}

#[test]
fn a_start_by_a_wrong_clock_does_not_hold_the_right_one_up_while_nothing_was_traded_by_it() {
    // It was opened, and noted that all is well, two weeks ahead.
    let (wrong, traded) = (Some("2026-01-29T16:30:00Z"), Some("2026-01-15T16:30:00Z"));
    assert_eq!(goes_on("2026-01-15T16:45:00Z", wrong, traded, false).unwrap(), at("2026-01-15T16:45:00Z"));
    assert_eq!(goes_on("2026-01-15T16:45:00Z", wrong, None, false).unwrap(), at("2026-01-15T16:45:00Z"));
    // Set back a little: what was traded stays in the past.
    assert_eq!(goes_on("2026-01-15T16:29:30Z", wrong, traded, false).unwrap(), at("2026-01-15T16:30:00Z"));
    let behind = goes_on("2026-01-15T16:28:30Z", wrong, traded, false).unwrap_err();
    assert!(matches!(behind, SiteError::ClockBehind { .. }), "{behind}");
}
