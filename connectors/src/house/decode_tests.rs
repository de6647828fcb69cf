//! Samples in `testdata/`, refusals with their codes, and arbitrary bytes.

use super::*;
use crate::house::{Area, Message, encode};
use grid::{Measurement, PointId, Quality, Slot};
use proptest::prelude::*;

fn now() -> Timestamp {
    "2026-01-15T17:30:00Z".parse().unwrap()
}

fn reading(topic: &str, payload: &str) -> Result<Vec<Measurement>, RejectCode> {
    match decode(topic, payload.as_bytes(), now()) {
        Ok(Message::Telemetry(values)) => Ok(values),
        Ok(other) => panic!("{other:?}"),
        Err(rejected) => Err(rejected.code),
    }
}

#[test]
fn a_hand_made_reading_is_understood() {
    let values = reading("gridflex/demo/telemetry/bus.34.u.a", r#"{"value":231.2,"unit":"V"}"#).unwrap();
    let point = "bus.34.u.a".parse().unwrap();
    let (measured_at, received_at) = (now(), now());
    let expected = Measurement { point, value: 231.2, quality: Quality::Measured, measured_at, received_at };
    assert_eq!(values, vec![expected]);
}

#[test]
fn the_samples_are_read() {
    let batch = include_bytes!("../../testdata/house/telemetry_batch.json");
    let Ok(Message::Telemetry(values)) = decode("gridflex/demo/telemetry/station-3", batch, now()) else {
        panic!("telemetry_batch.json")
    };
    let texts: Vec<String> = values.iter().map(|v| format!("{} {}", v.point, v.value)).collect();
    let expected =
        ["bus.34.u.a 231.2", "branch.1007.i.b 12.5", "meter.3001.p -4600", "device.121.energy 1250"];
    assert_eq!(texts, expected);
    assert_eq!(values[2].measured_at.to_string(), "2026-01-15T17:29:58.500Z");
    assert_eq!(values[2].quality, Quality::Substituted);
    for (topic, payload) in [
        ("gridflex/demo/device/121/report", &include_bytes!("../../testdata/house/report_charger.json")[..]),
        ("gridflex/demo/device/122/report", include_bytes!("../../testdata/house/report_battery.json")),
        ("gridflex/demo/device/123/report", include_bytes!("../../testdata/house/report_heat_pump.json")),
        ("gridflex/demo/device/121/status", include_bytes!("../../testdata/house/status.json")),
        ("gridflex/demo/device/121/activation", include_bytes!("../../testdata/house/activation.json")),
    ] {
        let message = decode(topic, payload, now()).unwrap();
        let area = Area::new("demo").unwrap();
        let packets = encode(&area, &message).unwrap();
        assert_eq!(packets[0].topic, topic);
        assert_eq!(decode(topic, &packets[0].payload, now()).unwrap(), message);
    }
}

#[test]
fn units_become_base_units() {
    for (point, text, expected) in [
        ("bus.1.u.a", r#"{"value":0.231,"unit":"kV"}"#, 231.0),
        ("meter.1.p", r#"{"value":-3,"unit":"MW"}"#, -3e6),
        ("meter.1.q", r#"{"value":2,"unit":"kvar"}"#, 2e3),
        ("meter.1.i.c", r#"{"value":2,"unit":"kA"}"#, 2e3),
        ("meter.1.energy", r#"{"value":2,"unit":"kWh","measured_at":"2026-01-15T17:30:00Z"}"#, 2e3),
    ] {
        let value = reading(&format!("gridflex/demo/telemetry/{point}"), text).unwrap()[0].value;
        assert!((value - expected).abs() < 1e-9, "{point}: {value}");
    }
}

#[test]
fn what_is_wrong_is_refused_with_its_code() {
    for (expected, payload) in [
        (RejectCode::Json, ""),
        (RejectCode::Json, "[231.2,\"V\"]"),
        (RejectCode::Json, r#"{"value":NaN,"unit":"V"}"#),
        (RejectCode::Json, r#"{"value":null,"unit":"V"}"#),
        (RejectCode::Json, r#"{"value":1e999,"unit":"V"}"#),
        (RejectCode::Json, r#"{"value":"231","unit":"V"}"#),
        (RejectCode::Json, r#"{"value":231}"#),
        (RejectCode::Json, r#"{"value":231,"unit":"V","colour":"red"}"#),
        (RejectCode::Json, r#"{"value":231,"value":232,"unit":"V"}"#),
        (RejectCode::Json, r#"{"value":231,"unit":"V"} x"#),
        (RejectCode::Json, r#"{"measurements":[],"value":1,"unit":"V"}"#),
        (RejectCode::TooLarge, r#"{"measurements":[]}"#),
        (RejectCode::TooDeep, r#"{"value":[[[[[[[[[1]]]]]]]]],"unit":"V"}"#),
        (RejectCode::Value, r#"{"value":1e308,"unit":"V"}"#),
        (RejectCode::Value, r#"{"value":1e308,"unit":"kV"}"#),
        (RejectCode::Value, r#"{"value":-1,"unit":"V"}"#),
        (RejectCode::Unit, r#"{"value":231,"unit":"W"}"#),
        (RejectCode::Unit, r#"{"value":231,"unit":""}"#),
        (RejectCode::Quality, r#"{"value":231,"unit":"V","quality":"good"}"#),
        (RejectCode::Quality, r#"{"value":231,"unit":"V","quality":"missing"}"#),
        (RejectCode::Time, r#"{"value":231,"unit":"V","measured_at":"today"}"#),
        (RejectCode::Time, r#"{"value":231,"unit":"V","measured_at":"2026-01-15T17:35:01Z"}"#),
        (RejectCode::Point, r#"{"point":"pole.1.u","value":231,"unit":"V"}"#),
        (RejectCode::Identity, r#"{"point":"bus.2.u.a","value":231,"unit":"V"}"#),
        (RejectCode::Time, r#"{"measurements":[{"point":"meter.1.energy","value":2,"unit":"Wh"}]}"#),
    ] {
        assert_eq!(reading("gridflex/demo/telemetry/bus.1.u.a", payload), Err(expected), "{payload}");
    }
    assert_eq!(reading("gridflex/demo/telemetry/x", r#"{"value":1,"unit":"V"}"#), Err(RejectCode::Point));
    assert_eq!(reading("gridflex/demo/telemetry", "{}"), Err(RejectCode::Topic));
    assert_eq!(reading("gridflex/demo/telemetry/x", &" ".repeat(300_000)), Err(RejectCode::TooLarge));
}

#[test]
fn a_bad_entry_is_named_by_its_place() {
    let payload = r#"{"measurements":[{"point":"bus.1.u.a","value":231,"unit":"V"},{"value":1,"unit":"V"}]}"#;
    let rejected = decode("gridflex/demo/telemetry/x", payload.as_bytes(), now()).unwrap_err();
    assert!(rejected.reason.starts_with("entry 2:"), "{rejected}");
}

#[test]
fn messages_about_another_device_or_an_impossible_slot_are_refused() {
    let activation = include_str!("../../testdata/house/activation.json");
    for (device, payload, expected) in [
        ("122", activation.to_owned(), RejectCode::Identity),
        ("121", activation.replace("1965162", "9223372036854775807"), RejectCode::Time),
        ("121", activation.replace("2750000", "9223372036854775807"), RejectCode::Value),
        ("121", activation.replace("[2750000,0]", "[]"), RejectCode::Value),
        ("121", activation.replace("2750000", &"1,".repeat(700)).replace(",,", ","), RejectCode::TooLarge),
    ] {
        let topic = format!("gridflex/demo/device/{device}/activation");
        let rejected = decode(&topic, payload.as_bytes(), now()).unwrap_err();
        assert_eq!(rejected.code, expected, "{rejected}");
    }
    let report = include_str!("../../testdata/house/report_charger.json");
    for (from, to, expected) in [
        ("11000.0", "1e308", RejectCode::Value),
        ("11000.0", "-1", RejectCode::Value),
        ("17:29:59", "17:59:59", RejectCode::Time),
        ("charger", "toaster", RejectCode::Json),
    ] {
        let payload = report.replace(from, to);
        let rejected = decode("gridflex/demo/device/121/report", payload.as_bytes(), now()).unwrap_err();
        assert_eq!(rejected.code, expected, "{rejected}");
    }
}

#[test]
fn what_the_other_side_would_refuse_is_not_sent() {
    let mut values = reading("gridflex/demo/telemetry/bus.1.u.a", r#"{"value":1,"unit":"V"}"#).unwrap();
    values[0].value = f64::NAN;
    let area = Area::new("demo").unwrap();
    let rejected = encode(&area, &Message::Telemetry(values)).unwrap_err();
    assert_eq!(rejected.code, RejectCode::Value);
}

fn point() -> impl Strategy<Value = PointId> {
    let word = prop::sample::select(vec!["bus", "branch", "meter", "device"]);
    let tail = prop::sample::select(vec!["u.a", "i.c", "p", "q.b", "energy"]);
    (word, any::<u32>(), tail)
        .prop_map(|(word, number, tail)| format!("{word}.{number}.{tail}").parse().unwrap())
}

fn samples() -> Vec<(&'static str, &'static [u8])> {
    vec![
        ("gridflex/demo/telemetry/bus.34.u.a", br#"{"value":231.2,"unit":"V"}"#),
        ("gridflex/demo/telemetry/x", include_bytes!("../../testdata/house/telemetry_batch.json")),
        ("gridflex/demo/device/121/report", include_bytes!("../../testdata/house/report_charger.json")),
        ("gridflex/demo/device/123/report", include_bytes!("../../testdata/house/report_heat_pump.json")),
        ("gridflex/demo/device/121/status", include_bytes!("../../testdata/house/status.json")),
        ("gridflex/demo/device/121/activation", include_bytes!("../../testdata/house/activation.json")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn telemetry_round_trips(values in prop::collection::vec((point(), 0.0..1e9_f64, 0_i64..50), 1..40)) {
        let values: Vec<Measurement> = values.into_iter().map(|(point, value, slots)| Measurement {
            point,
            value,
            quality: Quality::Measured,
            measured_at: Slot(now().slot().0 - slots).start(),
            received_at: now(),
        }).collect();
        let packets = encode(&Area::new("demo").unwrap(), &Message::Telemetry(values.clone())).unwrap();
        let back = decode(&packets[0].topic, &packets[0].payload, now()).unwrap();
        let Message::Telemetry(back) = back else { panic!("{back:?}") };
        prop_assert_eq!(back, values);
    }

    #[test]
    fn any_bytes_are_answered(topic in ".{0,60}", payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&topic, &payload, now());
        for (topic, _) in samples() {
            let _ = decode(topic, &payload, now());
        }
    }

    #[test]
    fn a_damaged_sample_is_answered(
        which in 0..6_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&br#"0123456789{}[]",:.-+eEntfu\ \xff"#[..])), 1..6),
        cut in any::<prop::sample::Index>(),
        keep_all in any::<bool>(),
    ) {
        let (topic, sample) = samples()[which];
        let mut payload = sample.to_vec();
        for (place, byte) in changes {
            let place = place.index(payload.len());
            payload[place] = byte;
        }
        if !keep_all {
            payload.truncate(cut.index(sample.len()));
        }
        if let Ok(message) = decode(topic, &payload, now()) {
            // What is accepted can be used without overflow and can be sent on.
            if let Message::Activation(order) = &message {
                let _ = (order.schedule.start.end(), order.replaces_from.end());
            }
            prop_assert!(encode(&Area::new("demo").unwrap(), &message).is_ok());
        }
    }
}
