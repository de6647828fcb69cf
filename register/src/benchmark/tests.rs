use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Of January, by an account of its own.
fn contribution(by: u32, load_type: &str, energy_kwh: f64) -> Contribution {
    let (load_type, period) = (load_type.to_owned(), "2026-01".parse().unwrap());
    Contribution { by: ProsumerId(by), account: Some(format!("home{by}")), load_type, period, energy_kwh }
}

fn filled(values: &[f64]) -> Benchmark {
    let mut benchmark = Benchmark::default();
    let now = at("2026-02-02T12:00:00Z");
    for (by, &energy) in values.iter().enumerate() {
        let given = contribution(by as u32, "ev", energy);
        benchmark.may_contribute(&given, now).unwrap();
        benchmark.contribute(given);
    }
    benchmark
}

#[test]
fn periods_are_read_as_they_are_written() {
    for (text, start, closes) in [
        ("2026-01", "2026-01-01T00:00:00Z", "2026-02-03T00:00:00Z"),
        ("2028-02", "2028-02-01T00:00:00Z", "2028-03-03T00:00:00Z"),
        ("2026-12", "2026-12-01T00:00:00Z", "2027-01-03T00:00:00Z"),
        ("2028-02-29", "2028-02-29T00:00:00Z", "2028-03-03T00:00:00Z"),
    ] {
        let period: Period = text.parse().unwrap();
        assert_eq!((period.to_string(), period.start()), (text.to_owned(), at(start)));
        assert_eq!(period.closes_at(), at(closes), "{text}");
    }
    for text in ["2026", "2026-13", "2026-02-29", "2026-1-1", "", "2026-01-15T", "\u{e9}026-0"] {
        assert!(text.parse::<Period>().is_err(), "{text}");
    }
}

#[test]
fn mean_and_percentiles_are_those_of_a_hand_computation() {
    // 1 to 11: mean 6, and every percentile falls on a value.
    let values: Vec<f64> = (1..=11).rev().map(f64::from).collect();
    let benchmark = filled(&values);
    let told = benchmark.tell("ev", "2026-01".parse().unwrap(), at("2026-02-03T00:00:00Z")).unwrap();
    let expected = Summary {
        count: 11,
        mean_kwh: 6.0,
        p10_kwh: 2.0,
        p25_kwh: 3.5,
        p50_kwh: 6.0,
        p75_kwh: 8.5,
        p90_kwh: 10.0,
    };
    assert_eq!(told, expected);
}

#[test]
fn few_contributors_or_one_large_one_are_not_told_and_sound_the_same() {
    let closed = at("2026-02-03T00:00:00Z");
    let words = |values: &[f64]| {
        filled(values).tell("ev", "2026-01".parse().unwrap(), closed).unwrap_err().to_string()
    };
    let few = words(&[1.0; 9]);
    assert!(few.contains("at least 10 contributors"), "{few}");
    assert_eq!(words(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 4.0]), few);
    assert_eq!(words(&[]), few);
    assert!(filled(&[0.0; 10]).tell("ev", "2026-01".parse().unwrap(), closed).is_ok());
}

#[test]
fn an_account_that_contributed_for_nearly_all_learns_nobodys_value() {
    let (period, closed) = ("2026-01".parse().unwrap(), at("2026-02-03T00:00:00Z"));
    // How many an aggregator contributed for, and how many contributed by themselves.
    let told = |portfolio: u32, others: u32, again: bool| {
        let mut benchmark = Benchmark::default();
        for by in 0..portfolio + others {
            let mut given = contribution(by, "ev", 2.0);
            if by < portfolio {
                given.account = Some("aggregator".to_owned());
            }
            benchmark.contribute(given);
            if by < portfolio && again {
                // The prosumer says the same itself: the aggregator has not forgotten it.
                benchmark.contribute(contribution(by, "ev", 2.0));
            }
        }
        benchmark.tell("ev", period, closed).is_ok()
    };
    assert!(!told(9, 1, false) && !told(9, 1, true), "ten times the mean less nine known values");
    assert!(!told(100, 8, false) && !told(10, 0, false));
    assert!(told(100, 9, false) && told(0, 10, false) && told(1, 9, true));
    // Of those that the aggregator does not know one has nearly all.
    let mut values = vec![1_000.0; 100];
    values.extend([1.0; 9]);
    values.push(900.0);
    let mut benchmark = filled(&values);
    assert!(benchmark.tell("ev", period, closed).is_ok());
    for by in 0..100 {
        benchmark.contribute(Contribution {
            account: Some("aggregator".to_owned()),
            ..contribution(by, "ev", 1_000.0)
        });
    }
    assert!(benchmark.tell("ev", period, closed).is_err());
}

#[test]
fn a_month_is_not_told_when_one_of_its_days_is() {
    let (month, closed) = ("2026-01".parse().unwrap(), at("2026-02-03T00:00:00Z"));
    for (day, contributors, told) in [
        ("2026-01-31", 10, false),
        ("2026-01-01", 10, false),
        ("2026-01-31", 9, true),
        ("2025-12-31", 10, true),
    ] {
        let mut benchmark = filled(&[2.0; 10]);
        for by in 0..contributors {
            benchmark
                .contribute(Contribution { period: day.parse().unwrap(), ..contribution(by, "ev", 0.1) });
            benchmark
                .contribute(Contribution { period: day.parse().unwrap(), ..contribution(by, "heat", 0.1) });
        }
        let before = benchmark.tell("ev", month, closed);
        assert_eq!(before.is_ok(), told, "{day} of {contributors}");
        benchmark.close(closed);
        assert_eq!(benchmark.tell("ev", month, closed), before);
        assert_eq!(benchmark.tell("ev", day.parse().unwrap(), closed).is_ok(), contributors == 10);
    }
}

#[test]
fn nobody_fills_the_table_of_load_types_for_all_and_what_is_not_told_leaves_it() {
    let (now, closed) = (at("2026-02-02T12:00:00Z"), at("2026-02-03T00:00:00Z"));
    let mut benchmark = filled(&[2.0; 10]);
    let limits = |benchmark: &mut Benchmark, by: u32, prefix: &str| {
        let mut taken = 0;
        loop {
            let given = contribution(by, &format!("{prefix}{taken}"), 1.0);
            match benchmark.may_contribute(&given, now) {
                Ok(()) => benchmark.contribute(given),
                Err(refused) => return (taken, refused.to_string()),
            }
            taken += 1;
        }
    };
    let (taken, words) = limits(&mut benchmark, 77, "invented");
    assert!(taken == OWN_LOAD_TYPES_MAX && words.contains("of one account"), "{taken}: {words}");
    assert!(benchmark.may_contribute(&contribution(77, "invented3", 2.0), now).is_ok());
    for by in 100..109 {
        limits(&mut benchmark, by, &format!("more{by}-"));
    }
    let (_, words) = limits(&mut benchmark, 200, "full");
    assert!(words.starts_with("load types: at most 100"), "{words}");
    assert!(benchmark.is_due(closed) && !benchmark.is_due(now));
    benchmark.close(closed);
    assert_eq!((benchmark.groups.len(), benchmark.contributions), (1, 0));
    assert!(!benchmark.is_due(closed));
    for by in [77, 108] {
        assert!(
            !benchmark.own_load_types.contains_key(&Speaker::of(Some(&format!("home{by}")), ProsumerId(by)))
        );
    }
    let forgotten = at("2026-02-01T00:00:00Z").plus(KEPT_FOR);
    assert!(benchmark.is_due(forgotten));
    benchmark.close(forgotten);
    assert!(benchmark.groups.is_empty());
}

#[test]
fn before_a_period_is_closed_nothing_is_told_and_afterwards_nothing_changes() {
    let mut benchmark = filled(&[2.0; 10]);
    let period = "2026-01".parse().unwrap();
    let early = benchmark.tell("ev", period, at("2026-02-02T23:59:59Z")).unwrap_err();
    assert!(early.to_string().contains("from 2026-02-03T00:00:00Z on"), "{early}");
    for (now, words) in [("2026-01-31T23:59:59Z", "ends at"), ("2026-02-03T00:00:00Z", "takes nothing since")]
    {
        let refused = benchmark.may_contribute(&contribution(99, "ev", 1.0), at(now)).unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
    }
    let closed = at("2026-02-03T00:00:00Z");
    let before = benchmark.tell("ev", period, closed).unwrap();
    benchmark.close(closed);
    assert_eq!(benchmark.tell("ev", period, closed).unwrap(), before);
    assert!(matches!(benchmark.groups.values().next(), Some(Group::Closed(told)) if told.count == 10));
}

#[test]
fn numbers_that_are_no_consumption_are_refused() {
    for energy in [-0.1, f64::NAN, f64::INFINITY, 2e9] {
        let now = at("2026-02-02T12:00:00Z");
        let refused = filled(&[]).may_contribute(&contribution(1, "ev", energy), now);
        assert!(matches!(refused, Err(Refusal::Malformed(_))), "{energy}");
    }
}
