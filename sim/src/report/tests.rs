use super::*;
use crate::plant::PowerByUse;
use crate::run::scoring::Score;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::RowAccessor;
use std::time::Duration;

fn outcome(scenario: &str) -> Outcome {
    Outcome {
        scenario: scenario.to_owned(),
        seed: 7,
        start: start(),
        minutes: 120,
        resumed: false,
        peak_loading_without: 1.25,
        peak_loading_with: 1.02,
        excess_removed: 0.92,
        minutes_over_limit_without: 59,
        minutes_over_limit_with: 3,
        energy_bought_kwh: 41.5,
        energy_settled_kwh: 30.0,
        energy_delivered_kwh: 28.125,
        delivered_of_ordered: Some(0.9375),
        money_paid_eur: 9.87,
        money_to_prosumers_eur: 9.38,
        money_fee_eur: 0.49,
        money_imbalance: 0,
        offers: 61,
        contracts: 17,
        orders: 17,
        orders_confirmed: 16,
        orders_lost: 0,
        orders_doubled: 0,
        audit_violations: Vec::new(),
        estimator: Score {
            minutes: 119,
            loading_rmse: 0.012,
            loading_error_max: 0.05,
            voltage_min_rmse: 0.002,
        },
        messages_received: 4321,
        messages_rejected: 2,
        messages_skipped: 0,
        restarts: 0,
        quarantined: 0,
        journal_records: 512,
    }
}

fn start() -> Timestamp {
    "2026-01-15T16:30:00Z".parse().unwrap()
}

fn end_of(minute: u64) -> Timestamp {
    start().plus(Duration::from_secs(60 * minute))
}

/// Two hours with a hump of 1.25 without and 1.02 with flexibility.
fn simulated(scenario: &str) -> Simulated {
    let hump = |minute: u64, height: f64| {
        let away = (minute as f64 - 60.0) / 60.0;
        0.5 + (height - 0.5) * (1.0 - away * away)
    };
    let minute = |number: u64| Minute {
        at: end_of(number),
        transformer_loading: hump(number, 1.02),
        line_loading_max: hump(number, 0.8),
        u_min_pu: 0.99 - 0.03 * hump(number, 1.02),
        u_max_pu: 1.04,
        power: PowerByUse {
            household_w: 60e3,
            charger_w: 90e3,
            heat_pump_w: 40e3,
            battery_w: -5e3 * number as f64 / 120.0,
            photovoltaic_w: 0.0,
        },
        usage_points_w: vec![1000.0; 55],
    };
    Simulated {
        outcome: outcome(scenario),
        minutes: (1..=120).map(minute).collect(),
        without: (1..=110).map(|number| (end_of(number), hump(number, 1.25))).collect(),
    }
}

fn written(simulated: &Simulated) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let changes = ["The transformer has 250 kVA (uk 4.0 %) instead of the test feeder's 800 kVA.".to_owned()];
    let document = write_with_changes(directory.path(), simulated, &changes).unwrap();
    (directory, document)
}

fn page(simulated: &Simulated) -> String {
    let (directory, _) = written(simulated);
    std::fs::read_to_string(directory.path().join(REPORT_FILE)).unwrap()
}

#[test]
fn the_minutes_read_back_with_their_types_and_values() {
    let simulated = simulated("First light");
    let (directory, _) = written(&simulated);
    let file = std::fs::File::open(directory.path().join(MINUTES_FILE)).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let metadata = reader.metadata().file_metadata();
    assert_eq!(metadata.created_by(), Some(CREATED_BY));
    let names: Vec<_> = metadata.schema().get_fields().iter().map(|field| field.name().to_owned()).collect();
    assert_eq!(names.len(), 11);
    assert_eq!((names[0].as_str(), names[10].as_str()), (parquet::AT, parquet::LOADING_WITHOUT));
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), simulated.minutes.len());
    for (number, (row, minute)) in rows.iter().zip(&simulated.minutes).enumerate() {
        assert_eq!(row.get_timestamp_millis(0).unwrap() * 1_000_000, minute.at.nanos());
        for (column, (_, value_of)) in parquet::COLUMNS.iter().enumerate() {
            assert_eq!(row.get_double(column + 1).unwrap(), value_of(minute));
        }
        match simulated.without.get(number) {
            Some((_, loading)) => assert_eq!(row.get_double(10).unwrap(), *loading),
            None => assert!(row.get_double(10).is_err(), "null where there is no such minute"),
        }
    }
}

#[test]
fn the_outcome_is_returned_as_it_is_written() {
    let simulated = simulated("First light");
    let (directory, document) = written(&simulated);
    assert_eq!(std::fs::read_to_string(directory.path().join(OUTCOME_FILE)).unwrap(), document);
    assert!(document.ends_with("}\n"));
    let read: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(read, serde_json::to_value(&simulated.outcome).unwrap());
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let (one, other) = (written(&simulated("First light")).0, written(&simulated("First light")).0);
    for name in [OUTCOME_FILE, MINUTES_FILE, REPORT_FILE] {
        let read = |directory: &tempfile::TempDir| std::fs::read(directory.path().join(name)).unwrap();
        assert_eq!(read(&one), read(&other), "{name}");
    }
}

#[test]
fn the_page_asks_nothing_of_any_other_place() {
    let page = page(&simulated("First light"));
    for foreign in ["http", "<script", "src=", "href=", "@import", "url(/"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert_eq!(page.matches("url(").count(), page.matches("url(#").count());
}

#[test]
fn names_are_text_and_never_markup() {
    let mut simulated = simulated("<script>alert(\"1\")</script> & 'co'\u{0}");
    simulated.outcome.audit_violations = vec!["<b>contract 3</b>".to_owned()];
    let page = page(&simulated);
    assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains('\u{0}'));
    assert!(
        page.contains(
            "<h1>&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;co&#39;\u{fffd}</h1>"
        )
    );
}

#[test]
fn the_page_says_what_came_out_and_what_was_changed() {
    let page = page(&simulated("First light"));
    for expected in [
        "<h1>First light</h1>",
        "120 min from 2026-01-15 16:30 UTC · seed 7",
        "peaks at 125.0 % of its rating and is above 100 % for 59 min",
        "without flexibility (peak 125.0 % at 17:30 UTC)",
        "The transformer has 250 kVA (uk 4.0 %) instead of the test feeder&#39;s 800 kVA.",
        "loading, % of rating",
        "voltage, p.u. of rated",
        "time (UTC)",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(!page.contains("Defects found"));
}

#[test]
fn defects_stand_out() {
    let mut simulated = simulated("First light");
    simulated.outcome.money_imbalance = -3;
    simulated.outcome.orders_lost = 2;
    let page = page(&simulated);
    assert!(page.contains("Defects found in this run"));
    assert!(page.contains("All accounts together hold -3 µEUR instead of 0."));
    assert!(page.contains("2 orders never reached their device."));
}

#[test]
fn a_run_without_minutes_still_has_its_files() {
    let mut simulated = simulated("First light");
    simulated.minutes.clear();
    let (directory, _) = written(&simulated);
    let file = std::fs::File::open(directory.path().join(MINUTES_FILE)).unwrap();
    assert_eq!(SerializedFileReader::new(file).unwrap().metadata().file_metadata().num_rows(), 0);
    assert!(page(&simulated).contains("No minutes"));
}

#[test]
fn a_single_minute_can_be_drawn() {
    let mut simulated = simulated("First light");
    simulated.minutes.truncate(1);
    let page = page(&simulated);
    assert!(!page.contains("NaN") && !page.contains("inf"));
}

#[test]
fn a_value_that_is_no_number_is_refused_and_nothing_is_written() {
    for value in [f64::NAN, f64::INFINITY, -1e308] {
        let mut simulated = simulated("First light");
        simulated.minutes[3].u_min_pu = value;
        let directory = tempfile::tempdir().unwrap();
        let error = write(&directory.path().join("results"), &simulated).unwrap_err();
        assert!(error.to_string().starts_with("u_min_pu at 2026-01-15T16:34:00Z is "), "{error}");
        assert!(!directory.path().join("results").exists());
    }
}

#[test]
fn minutes_out_of_order_are_refused() {
    let mut simulated = simulated("First light");
    simulated.minutes.swap(5, 6);
    let directory = tempfile::tempdir().unwrap();
    let error = write(directory.path(), &simulated).unwrap_err();
    assert!(matches!(error, ReportError::Order { .. }), "{error}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = directory.path().join("taken");
    std::fs::write(&taken, "a file").unwrap();
    let error = write(&taken, &simulated("First light")).unwrap_err();
    assert!(error.to_string().starts_with(&taken.display().to_string()), "{error}");
}
