//! By which clock a site goes on.

use super::*;
use actors::journal::Standing;
use std::path::Path;

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
    origin(&standing, at(machine), Path::new("data"), clock_is_right)
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
    assert_eq!(goes_on("2026-01-16T16:30:00Z", reached, reached, false).unwrap(), at("2026-01-16T16:30:00Z"));
    // Three weeks would be enough to bill a month that is not over.
    let weeks_ahead = goes_on("2026-02-05T00:00:00Z", reached, reached, false).unwrap_err();
    assert!(matches!(weeks_ahead, SiteError::ClockAhead { .. }), "{weeks_ahead}");
    // Nothing is known of the time at a first start.
    assert!(goes_on("2036-02-01T00:00:00Z", None, None, false).is_ok());
}

#[test]
fn a_start_by_a_wrong_clock_does_not_hold_the_right_one_up_while_nothing_was_traded_by_it() {
    // It was opened, and noted that all is well, twenty hours ahead.
    let (wrong, traded) = (Some("2026-01-16T12:30:00Z"), Some("2026-01-15T16:30:00Z"));
    assert_eq!(goes_on("2026-01-15T16:45:00Z", wrong, traded, false).unwrap(), at("2026-01-15T16:45:00Z"));
    assert_eq!(goes_on("2026-01-15T16:45:00Z", wrong, None, false).unwrap(), at("2026-01-15T16:45:00Z"));
    // Set back a little: what was traded stays in the past.
    assert_eq!(goes_on("2026-01-15T16:29:30Z", wrong, traded, false).unwrap(), at("2026-01-15T16:30:00Z"));
    let behind = goes_on("2026-01-15T16:28:30Z", wrong, traded, false).unwrap_err();
    assert!(matches!(behind, SiteError::ClockBehind { .. }), "{behind}");
}

#[test]
fn a_clock_that_is_days_behind_what_was_recorded_is_refused_until_somebody_says_that_it_is_right() {
    let reached = Some("2026-01-25T16:30:00Z");
    for traded in [None, Some("2026-01-04T16:30:00Z")] {
        let refused = goes_on("2026-01-15T16:30:00Z", reached, traded, false).unwrap_err();
        assert!(matches!(refused, SiteError::ClockWentBack { .. }) && !refused.is_input());
        assert!(refused.to_string().contains("--clock-is-right"), "{refused}");
        let right = goes_on("2026-01-15T16:30:00Z", reached, traded, true).unwrap();
        assert_eq!(right, at("2026-01-15T16:30:00Z"));
    }
    // What was traded binds whatever anybody says.
    let behind = goes_on("2026-01-15T16:30:00Z", reached, reached, true).unwrap_err();
    assert!(matches!(behind, SiteError::ClockBehind { .. }), "{behind}");
}

#[test]
fn a_clock_that_was_never_set_is_not_believed_and_what_was_recorded_by_one_holds_nothing_up() {
    for machine in ["1970-01-01T00:00:05Z", "2023-05-03T00:00:00Z"] {
        for clock_is_right in [false, true] {
            let refused = goes_on(machine, None, None, clock_is_right).unwrap_err();
            assert!(matches!(refused, SiteError::ClockNotSet { .. }) && !refused.is_input(), "{refused}");
        }
        // An earlier program began by such a clock.
        let right = goes_on("2026-01-15T16:30:00Z", Some(machine), None, false).unwrap();
        assert_eq!(right, at("2026-01-15T16:30:00Z"));
    }
}
