use super::*;
use crate::sample::{energies, offer, slices, slot};
use proptest::prelude::*;
use std::time::Duration;

fn code(change: impl FnOnce(&mut FlexOffer)) -> &'static str {
    let mut offer = offer("fo-1");
    change(&mut offer);
    offer.check().map_or_else(|error| error.code(), |()| "ok")
}

#[test]
fn an_honest_offer_passes() {
    assert_eq!(code(|_| {}), "ok");
}

#[test]
fn each_broken_rule_has_its_code() {
    assert_eq!(code(|o| o.slices.clear()), "empty-profile");
    assert_eq!(code(|o| o.slices = vec![o.slices[0]; 193]), "too-many-slices");
    assert_eq!(code(|o| o.slices[1].min = EnergyMwh(o.slices[1].max.0 + 1)), "inverted-slice");
    assert_eq!(code(|o| o.slices[0].max = EnergyMwh(1_000_000_000_000_001)), "energy-too-large");
    assert_eq!(code(|o| o.slices[0].min = EnergyMwh(i64::MIN)), "energy-too-large");
    assert_eq!(code(|o| o.start_before = o.start_after.plus(-1)), "inverted-start-window");
    assert_eq!(code(|o| o.start_before = Slot(i64::MAX)), "slot-out-of-range");
    assert_eq!(code(|o| o.default_schedule.start = Slot(i64::MIN)), "slot-out-of-range");
    assert_eq!(code(|o| o.start_before = o.start_after.plus(8 * 96)), "beyond-horizon");
    assert_eq!(code(|o| o.default_schedule.energies.clear()), "schedule-length");
    assert_eq!(code(|o| o.default_schedule.start = o.start_before.plus(1)), "schedule-start");
    assert_eq!(code(|o| o.default_schedule.energies[0] = EnergyMwh(i64::MAX)), "schedule-energy");
    assert_eq!(code(|o| o.prices.decrease = Money(-1)), "negative-price");
    assert_eq!(code(|o| o.prices.increase = Money(i64::MAX)), "price-too-large");
    assert_eq!(code(|o| o.acceptance_before = o.created_at.minus(Duration::from_nanos(1))), "deadline-order");
    assert_eq!(code(|o| o.assignment_before = o.created_at.minus(Duration::from_nanos(1))), "deadline-order");
    assert_eq!(code(|o| o.assignment_before = o.start_after.end()), "deadline-order");
}

#[test]
fn total_bounds_must_be_ordered_reachable_and_met_by_the_default() {
    let total =
        |min, max| code(|o| o.total_energy = Some(EnergyBounds { min: EnergyMwh(min), max: EnergyMwh(max) }));
    assert_eq!(total(0, 3_000), "ok");
    assert_eq!(total(2, 1), "inverted-total");
    assert_eq!(total(9_000_000, 9_000_001), "unreachable-total");
    assert_eq!(total(0, 10), "schedule-total");
}

#[test]
fn a_schedule_outside_the_offer_is_refused_with_the_facts() {
    let offer = offer("fo-1");
    let schedule = Schedule { start: slot(1), energies: energies(&[1_000, 1_001]) };
    let error = offer.check_schedule(&schedule).unwrap_err();
    assert_eq!(
        error.to_string(),
        "FlexOffer fo-1: the schedule takes 0.001 kWh in slice 1, outside 0.000 kWh to 0.001 kWh"
    );
    assert!(offer.check_schedule(&Schedule { start: slot(2), energies: energies(&[0, 1_000]) }).is_ok());
}

#[test]
fn a_shift_deviates_where_it_leaves_and_where_it_arrives() {
    let offer = offer("fo-1");
    let shifted = Schedule { start: slot(1), energies: energies(&[1_000, 1_000]) };
    assert_eq!(offer.deviation(&shifted), [(slot(0), EnergyMwh(-1_000)), (slot(2), EnergyMwh(1_000))]);
    assert_eq!(offer.deviation(&offer.default_schedule), []);
}

#[test]
fn json_round_trips_and_unknown_fields_are_refused() {
    let offer = offer("fo-1");
    let text = serde_json::to_string(&offer).unwrap();
    assert_eq!(serde_json::from_str::<FlexOffer>(&text).unwrap(), offer);
    let more = text.replacen('{', "{\"colour\":1,", 1);
    assert!(serde_json::from_str::<FlexOffer>(&more).is_err());
}

proptest! {
    #[test]
    fn any_numbers_are_answered(a in any::<i64>(), b in any::<i64>(), c in any::<i64>(), which in 0_usize..8) {
        let mut offer = offer("fo-1");
        match which {
            0 => offer.slices[0] = EnergyBounds { min: EnergyMwh(a), max: EnergyMwh(b) },
            1 => (offer.start_after, offer.start_before) = (Slot(a), Slot(b)),
            2 => offer.default_schedule = Schedule { start: Slot(a), energies: energies(&[b, c]) },
            3 => offer.prices = DeviationPrices { decrease: Money(a), increase: Money(b) },
            4 => offer.total_energy = Some(EnergyBounds { min: EnergyMwh(a), max: EnergyMwh(b) }),
            5 => offer.created_at = Timestamp::from_nanos(a),
            6 => offer.acceptance_before = Timestamp::from_nanos(a),
            _ => offer.assignment_before = Timestamp::from_nanos(a),
        }
        let _ = offer.check().map_err(|error| error.to_string());
        let schedule = Schedule { start: Slot(a), energies: energies(&[b, c]) };
        let _ = offer.check_schedule(&schedule).map_err(|error| error.to_string());
        let _ = offer.deviation(&schedule);
    }
}

#[test]
fn each_broken_term_has_its_code() {
    let energy = EnergyMwh;
    let bounds = |min, max| Some(EnergyBounds { min: energy(min), max: energy(max) });
    assert_eq!(code(|o| o.terms.running_energy = bounds(0, 2_000)), "ok");
    assert_eq!(code(|o| o.terms.running_energy = bounds(1, 0)), "inverted-running-energy");
    assert_eq!(code(|o| o.terms.running_energy = bounds(0, 1_999)), "schedule-running-energy");
    assert_eq!(code(|o| o.terms.running_energy = bounds(i64::MIN, 0)), "energy-too-large");
    let row = |used_ppm, slice_ppm, limit| DependencyRow { used_ppm, slice_ppm, limit: energy(limit) };
    assert_eq!(code(|o| o.terms.dependencies = vec![vec![], vec![row(PPM, PPM, 2_000)]]), "ok");
    assert_eq!(
        code(|o| o.terms.dependencies = vec![vec![], vec![row(PPM, PPM, 1_999)]]),
        "schedule-dependency"
    );
    assert_eq!(code(|o| o.terms.dependencies = vec![vec![]]), "not-per-slice");
    assert_eq!(code(|o| o.terms.dependencies = vec![vec![row(0, 0, 0); 65], vec![]]), "too-many-rows");
    assert_eq!(
        code(|o| o.terms.dependencies = vec![vec![row(i64::MIN, 0, 0)], vec![]]),
        "coefficient-too-large"
    );
    let tariff = |min, max| vec![TariffRange { min: Money(min), max: Money(max) }; 2];
    assert_eq!(code(|o| o.terms.tariffs = tariff(-50_000, 344_173)), "ok");
    assert_eq!(code(|o| o.terms.tariffs = tariff(1, 0)), "inverted-tariff");
    assert_eq!(code(|o| o.terms.tariffs = tariff(i64::MIN, 0)), "price-too-large");
    assert_eq!(code(|o| o.terms.cost.activation = Money(-1)), "negative-price");
    let at_least = |energy| Acceptance::AtLeast { energy: EnergyMwh(energy) };
    assert_eq!(code(|o| o.terms.acceptance = at_least(-1)), "negative-acceptance");
    let block = |deviation: &[i64], factor_min_ppm| Acceptance::Block {
        deviation: energies(deviation),
        factor_min_ppm,
    };
    assert_eq!(code(|o| o.terms.acceptance = block(&[-1_000, -500], 1_000_000)), "ok");
    assert_eq!(code(|o| o.terms.acceptance = block(&[-1_000], 1_000_000)), "not-per-slice");
    assert_eq!(code(|o| o.terms.acceptance = block(&[-1_000, 1], 1_000_000)), "schedule-energy");
    assert_eq!(code(|o| o.terms.acceptance = block(&[0, 0], 0)), "factor-out-of-range");
    assert_eq!(code(|o| o.terms.acceptance = block(&[0, 0], 1_000_001)), "factor-out-of-range");
}

#[test]
fn a_block_is_taken_at_an_allowed_fraction_or_not_at_all() {
    let mut block = offer("fo-1");
    block.terms.acceptance =
        Acceptance::Block { deviation: energies(&[-900, -300]), factor_min_ppm: 500_000 };
    let check = |values: &[i64]| {
        let schedule = Schedule { start: slot(0), energies: energies(values) };
        block.check_schedule(&schedule).map_or_else(|error| error.code(), |()| "ok")
    };
    assert_eq!(check(&[1_000, 1_000]), "ok");
    assert_eq!(check(&[100, 700]), "ok");
    assert_eq!(check(&[550, 850]), "ok");
    assert_eq!(check(&[401, 800]), "ok"); // two thirds, rounded
    assert_eq!(check(&[400, 798]), "schedule-not-block");
    assert_eq!(check(&[820, 940]), "schedule-not-block"); // a fifth
}

#[test]
fn an_offer_can_ask_for_a_least_deviation() {
    let mut offer = offer("fo-1");
    offer.terms.acceptance = Acceptance::AtLeast { energy: EnergyMwh(600) };
    let check = |values: &[i64]| {
        let schedule = Schedule { start: slot(0), energies: energies(values) };
        offer.check_schedule(&schedule).map_or_else(|error| error.code(), |()| "ok")
    };
    assert_eq!(
        (check(&[1_000, 1_000]), check(&[700, 700]), check(&[700, 701])),
        ("ok", "ok", "schedule-too-little")
    );
}

/// The battery of the FlexOffer specification 2.4: 5 kWh per slice, 7 kWh stored of 14, in its fourth slice.
#[test]
fn a_polygon_ties_a_slice_to_what_was_taken_before() {
    let row = |used_ppm, slice_ppm, limit| DependencyRow { used_ppm, slice_ppm, limit: EnergyMwh(limit) };
    let polygon = vec![
        row(0, -PPM, 5_000_000),
        row(0, PPM, 5_000_000),
        row(-PPM, -PPM, 6_640_000),
        row(PPM, PPM, 8_140_000),
    ];
    let mut battery = FlexOffer {
        slices: slices(&[(-5_000_000, 5_000_000); 4]),
        default_schedule: Schedule { start: slot(0), energies: energies(&[0; 4]) },
        ..offer("fo-1")
    };
    battery.terms.dependencies = vec![vec![], vec![], vec![], polygon];
    battery.check().unwrap();
    let check = |last: i64| {
        let schedule =
            Schedule { start: slot(0), energies: energies(&[2_000_000, 2_000_000, 1_000_000, last]) };
        battery.check_schedule(&schedule).map_or_else(|error| error.code(), |()| "ok")
    };
    assert_eq!((check(3_140_000), check(3_140_001)), ("ok", "schedule-dependency"));
    assert_eq!((check(-5_000_000), check(-5_000_001)), ("ok", "schedule-energy"));
}

#[test]
fn terms_survive_json_and_a_plain_offer_says_nothing_of_them() {
    let mut offer = offer("fo-1");
    assert!(!serde_json::to_string(&offer).unwrap().contains("terms"));
    offer.terms.revision = 3;
    offer.terms.mode = TradingMode::Delegated;
    offer.terms.exclusive_group = Some(ExclusiveGroupId::new("car-1").unwrap());
    offer.terms.acceptance = Acceptance::AtLeast { energy: EnergyMwh(5) };
    let text = serde_json::to_string(&offer).unwrap();
    assert_eq!(serde_json::from_str::<FlexOffer>(&text).unwrap(), offer);
}
