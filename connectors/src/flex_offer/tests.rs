mod bad_input;
mod round_trip;

use super::*;
use grid::{EnergyMwh, Money};
use market::flex_offer::TariffRange;

pub(super) const SPECIFICATION: &str = include_str!("../../testdata/flexoffer/specification.json");
const MANAGER: &str = include_str!("../../testdata/flexoffer/manager.json");
const TRADING_INTERFACE: &str = include_str!("../../testdata/flexoffer/trading_interface.json");
const XML: &str = include_str!("../../testdata/flexoffer/specification.xml");
/// The public samples of the three GOFLEX sites (testdata/flexoffer/LICENSE).
pub(super) const SAMPLES: [&str; 3] = [
    include_str!("../../testdata/flexoffer/SampleFO_Cyprus.json"),
    include_str!("../../testdata/flexoffer/SampleFO_SWW.json"),
    include_str!("../../testdata/flexoffer/SampleFO_Swiss.json"),
];

/// The only offer of a message.
pub(super) fn only(text: &str) -> OfferMessage {
    let document = decode(text.as_bytes(), &mut Directory::open()).unwrap();
    match document.entries.as_slice() {
        [Ok(Decoded::Offer(message))] => message.as_ref().clone(),
        other => panic!("{other:?}"),
    }
}

fn kwh(value: f64) -> EnergyMwh {
    EnergyMwh((value * 1e6).round() as i64)
}

#[test]
fn one_offer_in_four_spellings_is_one_object() {
    let of = |text: &str| decode(text.as_bytes(), &mut Directory::open()).unwrap().dialect;
    assert_eq!(of(SPECIFICATION), Dialect::Specification);
    assert_eq!(of(MANAGER), Dialect::Manager);
    assert_eq!(of(TRADING_INTERFACE), Dialect::TradingInterface);
    assert_eq!(of(XML), Dialect::Xml);
    let specification = only(SPECIFICATION).offer;
    assert_eq!(specification.slices[1].min, kwh(-0.25));
    assert_eq!(specification.default_schedule.energies, [kwh(1.5), kwh(-0.1)]);
    assert_eq!(only(MANAGER).offer, specification);
    assert_eq!(only(XML).offer, specification);
    // The market's wire has −1 for a new offer; it gets a name by its content.
    let mut market = only(TRADING_INTERFACE).offer;
    assert!(market.id.as_str().starts_with("7500001:1964996:"));
    assert_eq!(market.id, only(TRADING_INTERFACE).offer.id);
    market.id = specification.id.clone();
    assert_eq!(market, specification);
}

#[test]
fn the_public_samples_say_what_they_say() {
    let [cyprus, wunsiedel, swiss] = SAMPLES.map(only);
    assert_eq!(cyprus.offer.slices[0].max, kwh(0.5354));
    assert_eq!(cyprus.offer.created_at.to_string(), "2020-02-27T20:15:00Z");
    assert_eq!(cyprus.offer.start_after.0, 1_758_706);
    assert_eq!((cyprus.offer.start_after, cyprus.phase), (cyprus.offer.start_before, Phase::Initial));
    assert_eq!(cyprus.offer.terms.tariffs, [TariffRange { min: Money(-50_000), max: Money(344_173) }]);
    assert_eq!(cyprus.offer.prices.increase, Money(344_173));
    assert_eq!(cyprus.obligation, Some(Obligation::Obligatory));
    assert_eq!(wunsiedel.offer.slices[0].max, EnergyMwh(11_308)); // 0.01130785340314136 kWh
    assert_eq!(swiss.offer.default_schedule.energies, [EnergyMwh(24_784_953)]);
    let update = swiss.schedule.unwrap();
    assert_eq!((update.schedule_id, update.update_id), (271_331, 0));
    swiss.offer.check_schedule(&update.schedule).unwrap();
    assert_eq!(swiss.notes, []);
}

/// The message of the specification's section 1.4: lists inside a slice, stray blanks in names and zones, and a
/// default of other days. Its deadlines lie after its start, so it is read and refused by a rule.
#[test]
fn the_specifications_own_example_is_read_and_refused_by_the_rule_it_breaks() {
    let text = r#"{"flexOffer": {
        "id": "4188a132-a937-4639-96cf-d8529fa78b86", "state": "Adaptation", "creationInterval": 1726911,
        "offeredById": "harry@80060B5E0FD671D58243CE7162A6054719822955",
        "locationId": {"userLocation": {"longitude": 9.990595, "latitude": 57.012293}},
        "flexOfferProfileConstraints": [{
            "energyConstraintList": [{"lower": [0,0,0,0,0,0], "upper": [5,5,4.76,0,0,0]}],
            "priceConstraint": {"minPrice": [0.03,0.03,0.03,0,0,0], "maxPrice ": [0.15,0.15,0.15,0,0,0]},
            "minDuration": 6, "maxDuration": 6}],
        "defaultSchedule": {"scheduleSlices": [{"duration": 6, " energyAmount": [2,3,3,0,0,0]}],
            "startTime": "2019-04-02T16:00:00.000+0 000"},
        "acceptanceBeforeTime": "2019-04-02T16:30:00.000+0 000", "assignmentBeforeTime": "DEADLINE",
        "numSecondsPerInterval": 900, "startAfterTime": "2019-04-02T16:00:00.000+0000",
        "startBeforeTime": "2019-04-02T18:00:00.000+0000", "creationTime": "2019-04-02T15:45:00.000+0000"}}"#;
    let read = |deadline: &str| {
        let text = text.replace("DEADLINE", deadline).replace("2019-04-02T16:30:00.000+0 000", deadline);
        decode(text.as_bytes(), &mut Directory::open()).unwrap().entries.remove(0)
    };
    let error = read("2019-04-02T16:30:00.000+0 000").unwrap_err();
    assert_eq!((error.code(), error.path.as_str()), ("deadline-order", "flexOffer[0]"));
    let Ok(Decoded::Offer(message)) = read("2019-04-02T15:50:00.000+0 000") else { panic!() };
    assert_eq!(message.offer.slices.len(), 6);
    assert_eq!(message.offer.slices[2].max, kwh(4.76));
    assert_eq!(message.offer.terms.tariffs[5].max, Money(0));
    assert_eq!(message.phase, Phase::InAdaptation);
}

/// Section 2.4 of the specification, in JSON and with the signs its text means.
#[test]
fn dependency_rows_are_read_and_bound_their_slices() {
    let text = SPECIFICATION
        .replace(r#"[{"lower": 0.5, "upper": 2.5}]"#, r#"null, "DependencyEnergyConstraintList": [[0,1,2.5],[0,-1,-0.5]]"#)
        .replace(r#"[{"lower": -0.25, "upper": 1.75}]"#, r#"[{"lower": -0.25, "upper": 1.75}], "DependencyEnergyConstraintList": [[1,1,3.0],[-0.5,-1,0.25]]"#);
    let offer = only(&text).offer;
    assert_eq!(offer.slices, only(SPECIFICATION).offer.slices);
    assert_eq!(offer.terms.dependencies.len(), 2);
    let row = offer.terms.dependencies[1][1];
    assert_eq!((row.used_ppm, row.slice_ppm, row.limit), (-500_000, -1_000_000, kwh(0.25)));
    let too_much = market::Schedule { start: offer.start_after, energies: vec![kwh(2.0), kwh(1.1)] };
    assert_eq!(offer.check_schedule(&too_much).unwrap_err().code(), "schedule-dependency");
}

#[test]
fn an_empty_profile_takes_the_offer_back() {
    for profile in ["null", "[]"] {
        let text =
            format!(r#"{{"id": "fo-1", "offeredById": "p", "flexOfferProfileConstraints": {profile}}}"#);
        let document = decode(text.as_bytes(), &mut Directory::open()).unwrap();
        let withdrawal =
            Decoded::Withdrawal { id: Some(FlexOfferId::new("fo-1").unwrap()), owner: "p".to_owned() };
        assert_eq!(document.entries, [Ok(withdrawal)]);
    }
}

#[test]
fn what_is_not_read_is_noted() {
    let text =
        SPECIFICATION.replace(r#""state""#, r#""colour": 1, "powerFactorConstraint": {"lower": 1}, "state""#);
    let paths: Vec<String> = only(&text).notes.into_iter().map(|note| note.path).collect();
    assert_eq!(paths, ["flexOffer[0].colour", "flexOffer[0].powerFactorConstraint"]);
}

#[test]
fn a_default_off_by_rounding_is_moved_and_noted() {
    let text = SPECIFICATION.replace("\"energyAmount\": 1.5", "\"energyAmount\": 2.505");
    let message = only(&text);
    assert_eq!(message.offer.default_schedule.energies[0], kwh(2.5));
    assert_eq!(message.notes.len(), 1);
    let total = |lower: &str| {
        let total = format!("\"totalEnergyConstraint\": {{\"lower\": {lower}, \"upper\": 3}}, \"state\"");
        decode(SPECIFICATION.replace("\"state\"", &total).as_bytes(), &mut Directory::open())
            .unwrap()
            .entries
            .remove(0)
    };
    assert!(matches!(total("1.400002"), Ok(Decoded::Offer(message)) if message.notes.len() == 1));
    assert_eq!(total("1.400003").unwrap_err().code(), "schedule-total");
}

#[test]
fn units_are_converted() {
    let watt_hours = SPECIFICATION
        .replace("0.5,", "500,")
        .replace("2.5}", "2500}")
        .replace("-0.25,", "-250,")
        .replace("1.75}", "1750}")
        .replace("1.5}", "1500}")
        .replace("-0.1}", "-100}")
        .replace("\"state\"", "\"unit\": \"Wh\", \"state\"");
    assert_eq!(only(&watt_hours).offer, only(SPECIFICATION).offer);
}
