use super::*;
use crate::sample::{energies, instant, slot};
use grid::{ProsumerId, UsagePointId};
use proptest::prelude::*;

fn report(at: i64, state: DeviceState) -> DeviceReport {
    DeviceReport {
        device: DeviceId(5),
        prosumer: ProsumerId(5),
        usage_point: UsagePointId(5),
        at: instant(at),
        state,
    }
}

fn charger(energy_needed_wh: f64, departure: i64) -> DeviceState {
    DeviceState::Charger { session: 3, energy_needed_wh, departure: instant(departure), p_max_w: 8_000.0 }
}

fn battery(energy_wh: f64) -> DeviceState {
    let (p_charge_max_w, p_discharge_max_w) = (4_000.0, 4_000.0);
    DeviceState::Battery { energy_wh, capacity_wh: 10_000.0, p_charge_max_w, p_discharge_max_w }
}

fn heat_pump(p_expected_w: &[f64]) -> DeviceState {
    DeviceState::HeatPump { p_expected_w: p_expected_w.to_vec(), fraction_min: 0.5, slots_max: 3 }
}

fn offered(report: &DeviceReport, now: i64, state: &OfferState) -> Option<FlexOffer> {
    offer_for(report, instant(now), state, &OfferRules::default())
}

fn after(offer: &FlexOffer, status: OfferStatus) -> OfferState<'_> {
    OfferState { made: 1, newest: Some((offer, status)) }
}

#[test]
fn a_charger_offers_what_it_will_still_need_at_the_next_reachable_slot() {
    // Plugged in 450 s before slot 0 it takes 1 kWh until then; 4.5 kWh remain at 2 kWh a slot.
    let offer = offered(&report(-450, charger(5_500.0, 8 * 900)), -450, &OfferState::default()).unwrap();
    assert_eq!(offer.id.as_str(), "fo-5-s3-1");
    assert!(is_agents_name(&offer.id));
    assert_eq!(offer.default_schedule.energies, energies(&[2_000_000, 2_000_000, 500_000]));
    assert_eq!((offer.start_after, offer.start_before), (slot(0), slot(5)));
    assert_eq!(offer.assignment_before, instant(-60));
    assert!(offer.slices.iter().all(|slice| slice.min == slice.max));
    offer.check().unwrap();
}

#[test]
fn the_next_slot_is_taken_only_while_the_market_can_reach_it() {
    let start = |now| {
        offered(&report(now, charger(9_000.0, 9 * 3600)), now, &OfferState::default()).unwrap().start_after
    };
    assert_eq!(start(-120), slot(0));
    assert_eq!(start(-119), slot(1));
}

#[test]
fn a_charger_without_need_or_slack_offers_nothing() {
    let none = |state| offered(&report(-120, state), -120, &OfferState::default()).is_none();
    assert!(none(charger(2_200.0, 8 * 900)), "less than a slot remains");
    assert!(none(charger(9_000.0, 5 * 900)), "the vehicle leaves too early");
    assert!(none(DeviceState::Charger {
        session: 0,
        energy_needed_wh: 9e3,
        departure: instant(36_000),
        p_max_w: 8e3
    }));
    assert!(none(charger(9_000.0, -900)));
}

#[test]
fn a_session_is_offered_again_only_when_its_offer_expired() {
    let report = report(-120, charger(9_000.0, 9 * 3600));
    let first = offered(&report, -120, &OfferState::default()).unwrap();
    for status in [OfferStatus::Open, OfferStatus::Contracted, OfferStatus::Assigned { until: instant(0) }] {
        assert_eq!(offered(&report, 500, &after(&first, status)), None);
    }
    let second = offered(&report, 500, &after(&first, OfferStatus::Expired)).unwrap();
    assert_eq!((second.id.as_str(), second.start_after), ("fo-5-s3-2", slot(1)));
    let mut next = report.clone();
    if let DeviceState::Charger { session, .. } = &mut next.state {
        *session = 4;
    }
    let state = after(&first, OfferStatus::Assigned { until: instant(9_000) });
    assert_eq!(offered(&next, 500, &state).unwrap().id.as_str(), "fo-5-s4-2");
}

#[test]
fn a_battery_offers_a_block_that_its_energy_covers() {
    let offer = offered(&report(-120, battery(3_500.0)), -120, &OfferState::default()).unwrap();
    assert_eq!(offer.slices.len(), 3);
    assert_eq!((offer.slices[0].min, offer.slices[0].max), (EnergyMwh(-1_000_000), EnergyMwh(0)));
    assert_eq!(offer.default_schedule.energies, energies(&[0, 0, 0]));
    assert_eq!(offer.start_before, slot(21));
    assert_eq!(
        offered(&report(-120, battery(10_000.0)), -120, &OfferState::default()).unwrap().slices.len(),
        8
    );
    assert_eq!(offered(&report(-120, battery(900.0)), -120, &OfferState::default()), None);
    let state = after(&offer, OfferStatus::Assigned { until: instant(900) });
    assert_eq!(offered(&report(899, battery(3_500.0)), 899, &state), None);
    assert!(offered(&report(900, battery(3_500.0)), 900, &state).is_some());
}

#[test]
fn a_heat_pump_offers_the_slots_it_expects_to_run_in() {
    // The report is from slot −1, so its first expectation is for slot 0; 100 s later only slot 1 can be reached.
    let powers = heat_pump(&[4_000.0, 3_000.0, 2_000.0]);
    let offer = offered(&report(-150, powers.clone()), -50, &OfferState::default()).unwrap();
    assert_eq!(offer.default_schedule, Schedule { start: slot(1), energies: energies(&[750_000, 500_000]) });
    assert_eq!(offer.slices[0].min, EnergyMwh(375_000));
    assert_eq!(offer.start_before, slot(1));
    assert_eq!(offered(&report(-150, powers), 2_000, &OfferState::default()), None);
    assert_eq!(offered(&report(-150, heat_pump(&[0.0; 4])), -150, &OfferState::default()), None);
}

#[test]
fn rubbish_is_named_and_offers_nothing() {
    for bad in [f64::NAN, f64::INFINITY, 1e308, -1.0] {
        for state in [charger(bad, 36_000), battery(bad), heat_pump(&[bad])] {
            let report = report(-120, state);
            assert!(report.check().unwrap_err().to_string().starts_with("device 5 reports"));
            assert_eq!(offered(&report, -120, &OfferState::default()), None);
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_offered_is_valid(
        needed in 0.0_f64..1e5, p_max_w in 0.0_f64..5e4, departure in any::<i64>(), near in 0_i64..200_000,
        at in any::<i64>(), now in -5_000_i64..5_000, far in any::<bool>(), wild_now in any::<i64>(),
    ) {
        let departure = if far { Timestamp::from_nanos(departure) } else { instant(near) };
        let charger = DeviceState::Charger { session: 1, energy_needed_wh: needed, departure, p_max_w };
        for state in [charger, battery(needed), heat_pump(&[p_max_w, needed])] {
            let mut report = report(now, state);
            if let Some(offer) = offered(&report, now, &OfferState::default()) {
                prop_assert!(offer.check().is_ok());
                prop_assert_eq!(offered(&report, now, &OfferState::default()), Some(offer));
            }
            report.at = Timestamp::from_nanos(at);
            let wild_now = Timestamp::from_nanos(wild_now);
            let _ = offer_for(&report, wild_now, &OfferState::default(), &OfferRules::default());
        }
    }
}
