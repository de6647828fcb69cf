use super::*;
use crate::benchmark::OPEN_FOR;
use crate::feedback::{BIDS_MAX, PARTIES_MAX};
use crate::indicator::Direction;
use crate::keyed;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-02-02T12:00:00Z")
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn contribution(prosumer: u32) -> Contribution {
    Contribution {
        by: ProsumerId(prosumer),
        account: Some(format!("home{prosumer}")),
        load_type: "ev".to_owned(),
        period: "2026-01".parse().unwrap(),
        energy_kwh: 1.5,
    }
}

/// Everything a register says, as text.
fn told(register: &Register) -> String {
    let closed = now().plus(OPEN_FOR);
    let benchmark = register.benchmark("ev", "2026-01".parse().unwrap(), closed);
    let keys: Vec<_> = register.keys(None).collect();
    let air: Vec<_> = register.air(Slot(0)..Slot(i64::MAX)).collect();
    format!("{keys:?} {benchmark:?} {:?} {:?} {air:?}", register.indicators(), register.answers("bid-1"))
}

fn fill(register: &mut Register) {
    register
        .put("ada", vec![pair("a", "1"), pair("b", "{\n \"x\" : 1e3 }"), pair("c", "\"\u{e9}\"")], now())
        .unwrap();
    register.delete("ada", &["a".to_owned(), "z".to_owned()], now()).unwrap();
    for prosumer in 0..12 {
        register.contribute(contribution(prosumer), now()).unwrap();
    }
    for (minute, value) in [(0, 90.0), (1, 70.0), (2, 95.0), (3, 60.0)] {
        register.post("served", Timestamp::from_seconds(60 * minute), value, "%", now()).unwrap();
        let watch = Watch { threshold: 80.0, hysteresis: 5.0, direction: Direction::Up };
        register.watch("served", watch, now()).unwrap();
    }
    register.aim("served", Goal { target: 85.0, direction: Direction::Up }, now()).unwrap();
    register.answer("bid-1", "ada", "yes".to_owned(), now()).unwrap();
    register.weather(&temperatures(false, "2026-02-02T13:00:00Z", &[4.0, 3.5]), now()).unwrap();
}

/// As they were measured or forecast at noon.
fn temperatures(measured: bool, start: &str, celsius: &[f64]) -> Temperatures {
    let start = at(start).slot();
    Temperatures { measured, issued_at: now(), start, slots_each: 4, celsius: celsius.to_vec() }
}

#[test]
fn what_was_measured_counts_before_forecasts_of_which_the_newest_counts() {
    let folder = tempfile::tempdir().unwrap();
    let mut register = Register::open(folder.path()).unwrap();
    let first = at("2026-02-02T09:00:00Z").slot();
    let mut give = |given: Temperatures| register.weather(&given, now());
    let given = temperatures(false, "2026-02-02T09:00:00Z", &[1.0, 2.25]);
    assert_eq!(give(given.clone()).unwrap(), 8);
    assert_eq!(give(given.clone()).unwrap(), 0, "the same once more");
    let older = Temperatures { issued_at: at("2026-02-02T06:00:00Z"), celsius: vec![9.0], ..given.clone() };
    assert_eq!(give(older).unwrap(), 0);
    let measured = Temperatures { slots_each: 1, ..temperatures(true, "2026-02-02T09:00:00Z", &[0.5]) };
    assert_eq!(give(measured).unwrap(), 1);
    assert_eq!(
        give(Temperatures { celsius: vec![7.0], ..given }).unwrap(),
        3,
        "not the one that was measured"
    );
    let known: Vec<i32> = register.air(first..first.plus(8)).map(|(_, air)| air.milli_celsius).collect();
    assert_eq!(known, [500, 7_000, 7_000, 7_000, 2_250, 2_250, 2_250, 2_250]);
    assert_eq!(register.air(first.plus(8)..first).count(), 0, "an inverted range holds nothing");
    // What is older than it is kept for is let go.
    register.tidy(at("2027-03-20T00:00:00Z"));
    assert_eq!(register.air(first..first.plus(8)).count(), 0);
}

#[test]
fn temperatures_that_cannot_be_are_refused_by_their_reason() {
    let folder = tempfile::tempdir().unwrap();
    let mut register = Register::open(folder.path()).unwrap();
    let said = |error: RegisterError| error.to_string();
    let mut refused = |given: Temperatures| said(register.weather(&given, now()).unwrap_err());
    let fine = temperatures(true, "2026-02-02T10:00:00Z", &[1.0]);
    for (celsius, word) in [(f64::NAN, "NaN"), (273.0, "273"), (-1e308, "between -90 and 60")] {
        let sentence = refused(Temperatures { celsius: vec![celsius], ..fine.clone() });
        assert!(sentence.contains(word), "{sentence}");
    }
    assert!(refused(Temperatures { celsius: vec![1.0; 800], ..fine.clone() }).contains("at most 3072"));
    assert!(
        refused(Temperatures { start: at("2026-02-02T11:15:00Z").slot(), ..fine.clone() })
            .contains("measured")
    );
    assert!(
        refused(Temperatures { start: at("2024-02-02T11:00:00Z").slot(), ..fine.clone() }).contains("2024")
    );
    assert!(refused(Temperatures { issued_at: at("2026-02-03T00:00:00Z"), ..fine }).contains("future"));
    let far = temperatures(false, "2026-02-18T12:00:00Z", &[1.0]);
    assert!(refused(far).contains("forecast temperatures"));
}

#[test]
fn what_was_kept_is_there_after_a_start_and_after_the_file_was_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut register = Register::open(folder.path()).unwrap();
    fill(&mut register);
    let before = told(&register);
    drop(register);
    let mut register = Register::open(folder.path()).unwrap();
    assert_eq!(told(&register), before);
    let records = remaining(&register.keyed, &register.benchmark, &register.indicators, &register.feedback);
    let series = series(&register.meters, &register.weather);
    register.log.write_anew(records.chain(series)).unwrap();
    register.put("ada", vec![pair("d", "null")], now()).unwrap();
    let before = told(&register);
    drop(register);
    assert_eq!(told(&Register::open(folder.path()).unwrap()), before);
}

#[test]
fn a_file_does_not_grow_for_ever_and_closed_groups_lose_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let mut register = Register::open(folder.path()).unwrap();
    fill(&mut register);
    let value = format!("\"{}\"", "x".repeat(keyed::VALUE_BYTES_MAX - 2));
    let later = now().plus(OPEN_FOR);
    for _ in 0..300 {
        register.put("ada", vec![pair("large", &value)], later).unwrap();
    }
    let path = folder.path().join(FILE_NAME);
    assert!(std::fs::metadata(&path).unwrap().len() < 5 << 20);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("kept_group") && !text.contains("contributed"), "{}", &text[..2_000]);
    let before = told(&register);
    drop(register);
    assert_eq!(told(&Register::open(folder.path()).unwrap()), before);
}

#[test]
fn who_contributed_leaves_the_file_when_the_period_closes_however_short_the_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let mut register = Register::open(folder.path()).unwrap();
    fill(&mut register);
    let names = || std::fs::read_to_string(&path).unwrap().matches("home").count();
    register.tidy(now());
    assert_eq!(names(), 12);
    let (before, closed) = (told(&register), now().plus(OPEN_FOR));
    register.tidy(closed);
    assert_eq!(names(), 0);
    assert_eq!(told(&register), before);
    drop(register);
    assert_eq!(told(&Register::open(folder.path()).unwrap()), before);
}

#[test]
fn writing_anew_that_failed_is_left_alone_for_a_while_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut register = Register::open(folder.path()).unwrap();
    fill(&mut register);
    // What is to be the new file is a folder.
    let next = folder.path().join(FILE_NAME).with_extension("next");
    std::fs::create_dir(&next).unwrap();
    let closed = now().plus(OPEN_FOR);
    register.put("ada", vec![pair("d", "1")], closed).unwrap();
    assert_eq!((register.names_in_file, register.rest_until), (true, Some(closed.plus(TRY_AGAIN_AFTER))));
    std::fs::remove_dir(&next).unwrap();
    register.put("ada", vec![pair("e", "1")], closed.plus(Duration::from_secs(1))).unwrap();
    assert!(register.names_in_file, "not yet");
    register.put("ada", vec![pair("f", "1")], closed.plus(TRY_AGAIN_AFTER)).unwrap();
    assert!(!register.names_in_file);
    let before = told(&register);
    drop(register);
    assert_eq!(told(&Register::open(folder.path()).unwrap()), before);
}

#[test]
fn a_value_belongs_to_who_put_it_and_comes_back_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let mut register = Register::open(folder.path()).unwrap();
    fill(&mut register);
    assert_eq!(register.get("b").unwrap().value, "{\n \"x\" : 1e3 }");
    let foreign = |refused| matches!(refused, Err(RegisterError::Refused(Refusal::NotOwner { .. })));
    assert!(foreign(register.put("eve", vec![pair("new", "1"), pair("b", "2")], now()).map(|()| Vec::new())));
    assert!(foreign(register.delete("eve", &["b".to_owned()], now())));
    // All or none.
    assert!(register.get("new").is_none() && register.get("b").is_some());
    // Who deletes gives the key away.
    register.delete("ada", &["b".to_owned()], now()).unwrap();
    register.put("eve", vec![pair("b", "2")], now()).unwrap();
    assert_eq!(register.get("b").unwrap().owner, "eve");
}

#[test]
fn every_limit_is_named_and_held_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let mut register = Register::open(folder.path()).unwrap();
    let mut put = |owner: &str, values: Vec<(String, String)>| match register.put(owner, values, now()) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    };
    let many = |from: usize, count: usize, value: &str| -> Vec<_> {
        (from..from + count).map(|number| pair(&format!("k{number}"), value)).collect()
    };
    assert!(put("ada", many(0, 101, "1")).starts_with("keys at once: at most 100"));
    let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    assert!(put("ada", many(0, 1, &long(16_385))).starts_with("bytes of a value: at most 16384"));
    for page in 0..10 {
        assert_eq!(put("ada", many(100 * page, 100, "1")), "");
    }
    assert!(put("ada", many(1_000, 1, "1")).starts_with("keys of one owner: at most 1000"));
    // One's own keys again are none more.
    assert_eq!(put("ada", many(0, 100, "2")), "");
    for page in 0..64 {
        assert_eq!(put("eve", vec![pair(&format!("large{page}"), &long(16_384))]), "");
    }
    assert!(put("eve", vec![pair("one-more", "1")]).starts_with("bytes of the values of one owner: at most"));
    assert!(put("bob", vec![pair("x", "1"), pair("x", "1")]).contains("stands twice"));
    assert!(put("bob", vec![pair("x", "{")]).starts_with("x: "));
    assert!(put("bob", vec![pair("x/y", "1")]).contains("contains '/'"));
}

#[test]
fn answers_to_bids_are_kept_by_party_and_within_limits() {
    let folder = tempfile::tempdir().unwrap();
    let register = Register::open(folder.path()).unwrap();
    let mut feedback = register.feedback;
    for number in 0..=BIDS_MAX {
        feedback.answer(format!("bid-{number}"), "a".to_owned(), "no".to_owned());
    }
    assert_eq!((feedback.by_bid.len(), feedback.forgotten), (BIDS_MAX, 1));
    assert!(!feedback.by_bid.contains_key("bid-0"), "the first had to go");
    for party in 1..PARTIES_MAX {
        feedback.may_answer("bid-1", &format!("party-{party}")).unwrap();
        feedback.answer("bid-1".to_owned(), format!("party-{party}"), "no".to_owned());
    }
    assert!(feedback.may_answer("bid-1", "one more").is_err());
    feedback.may_answer("bid-1", "a").unwrap();
}
