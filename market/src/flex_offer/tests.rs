use super::*;
use crate::sample::{energies, offer, slot};
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
