//! A month made by hand, and the errors of the published implementation that must not come back.

use super::*;
use crate::event::RecordNumber;
use crate::flex_offer::{FlexOffer, Schedule};
use crate::sample::{energies, offer, slices, slot};
use crate::settlement::Account;
use grid::{ProsumerId, Slot, Timestamp};
use proptest::prelude::*;

const KWH: i64 = 1_000_000;
const CENT: i64 = 10_000;

fn terms() -> DelegatedContract {
    DelegatedContract {
        fixed_reward: Money(500 * CENT),
        time_flex_reward: Money(CENT),
        energy_flex_reward: Money(2 * CENT),
        scheduling_fixed_reward: Money(30 * CENT),
        scheduling_start_time_reward: Money(5 * CENT),
        scheduling_energy_reward: Money(10 * CENT),
        imbalance_limit: EnergyMwh(KWH / 10),
    }
}

fn january() -> Month {
    Month::new(2026, 1).unwrap()
}

/// Two slices of 0 to 1 kWh, default 1 kWh each, up to two slots later.
fn delegated(number: u32) -> FlexOffer {
    let mut offer = offer(&format!("fo-{number}"));
    offer.slices = slices(&[(0, KWH), (0, KWH)]);
    offer.default_schedule.energies = energies(&[KWH, KWH]);
    offer
}

/// Two slots later, and half a kWh less in the second slice.
fn shifted() -> Schedule {
    Schedule { start: slot(2), energies: energies(&[KWH, KWH / 2]) }
}

fn billed<'a>(offer: &'a FlexOffer, schedule: Option<&'a Schedule>, off: i64) -> Billed<'a> {
    let measure = |(k, energy): (i64, &EnergyMwh)| (slot(2 + k), EnergyMwh(energy.0 + off));
    let measured = schedule.map_or(Vec::new(), |s| (0..).zip(&s.energies).map(measure).collect());
    Billed { offer, schedule, obeyed: true, measured, complete: true, cites: vec![RecordNumber(7)] }
}

fn bill(offers: &[Billed<'_>]) -> MonthlyBill {
    monthly_bill(ProsumerId(1), january(), &terms(), RecordNumber(3), offers).unwrap()
}

fn line(bill: &MonthlyBill, reward: Reward) -> i64 {
    bill.lines.iter().filter(|line| line.reward == reward).map(|line| line.amount.0).sum()
}

#[test]
fn months_follow_each_other_are_read_and_found() {
    let month = |text: &str| text.parse::<Month>();
    assert_eq!(month("2026-12").unwrap().next(), month("2027-01").unwrap());
    for text in
        ["2026-13", "2026-0", "1969-12", "2199-01", "2026", "2026-", "-1-1", "+2026-1", "2026-268", ""]
    {
        assert!(month(text).is_err(), "{text}");
    }
    let instant: Timestamp = "2026-02-28T23:59:59.9Z".parse().unwrap();
    assert_eq!(Month::of(instant).to_string(), "2026-02");
    assert!(Month::of(instant).contains(instant));
}

#[test]
fn a_hand_made_month_equals_the_hand_made_bill_to_the_cent() {
    let (a, b, c, schedule) = (delegated(1), delegated(2), delegated(3), shifted());
    let bill =
        bill(&[billed(&a, Some(&schedule), 50_000), billed(&b, None, 0), billed(&c, Some(&schedule), 0)]);
    assert_eq!((bill.num_flex_offers, bill.num_executed_flex_offers), (3, 2));
    assert_eq!((bill.total_time_flex, bill.total_energy_flex), (6, EnergyMwh(6 * KWH)));
    assert_eq!((bill.num_custom_schedule_activations, bill.total_start_time_deviations), (2, 4));
    assert_eq!(
        (bill.total_energy_deviations, bill.execution_imbalance),
        (EnergyMwh(KWH), EnergyMwh(100_000))
    );
    let cents = |reward| line(&bill, reward) / CENT;
    assert_eq!([cents(Reward::Fixed), cents(Reward::TimeFlex), cents(Reward::EnergyFlex)], [500, 6, 12]);
    assert_eq!(cents(Reward::SchedulingFixed), 60);
    assert_eq!([cents(Reward::SchedulingStartTime), cents(Reward::SchedulingEnergy)], [20, 10]);
    let total = 608 * CENT;
    let paid: Vec<_> = bill.postings.iter().map(|p| (p.account, p.amount.0)).collect();
    assert_eq!(paid, [(Account::Aggregator, -total), (Account::Prosumer(ProsumerId(1)), total)]);
    assert!(bill.lines.iter().all(|line| line.cites.contains(&RecordNumber(3))));
}

#[test]
fn a_failed_offer_is_not_counted_as_executed() {
    let (offer, schedule) = (delegated(1), shifted());
    assert_eq!(bill(&[billed(&offer, Some(&schedule), 200_000)]).num_executed_flex_offers, 0);
    let refused = Billed { obeyed: false, ..billed(&offer, Some(&schedule), 0) };
    let unmeasured = Billed { complete: false, ..billed(&offer, Some(&schedule), 0) };
    assert_eq!(bill(&[refused, unmeasured]).num_executed_flex_offers, 0);
    assert_eq!(bill(&[billed(&offer, Some(&schedule), 0)]).num_executed_flex_offers, 1);
}

#[test]
fn one_imbalance_above_the_limit_forfeits_only_its_own_offer() {
    let (good, bad, schedule) = (delegated(1), delegated(2), shifted());
    let one = bill(&[billed(&good, Some(&schedule), 0)]);
    let both = bill(&[billed(&good, Some(&schedule), 0), billed(&bad, Some(&schedule), 200_000)]);
    for reward in
        [Reward::Fixed, Reward::SchedulingFixed, Reward::SchedulingStartTime, Reward::SchedulingEnergy]
    {
        assert_eq!(line(&both, reward), line(&one, reward), "{reward:?}");
        assert!(line(&both, reward) > 0);
    }
    assert_eq!(
        line(&both, Reward::TimeFlex),
        2 * line(&one, Reward::TimeFlex),
        "offering was worth it all the same"
    );
}

#[test]
fn imbalances_add_up_over_the_month() {
    let (a, b, schedule) = (delegated(1), delegated(2), shifted());
    let bill = bill(&[billed(&a, Some(&schedule), 200_000), billed(&b, Some(&schedule), -10_000)]);
    assert_eq!(bill.execution_imbalance, EnergyMwh(420_000));
}

#[test]
fn months_are_counted_from_one_and_half_open() {
    assert_eq!(Month::new(2026, 0), Err(MonthError { year: 2026, month: 0 }));
    assert!(Month::new(2026, 13).is_err() && Month::new(2199, 1).is_err());
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    assert!(january().contains(at("2026-01-01T00:00:00Z")) && january().contains(at("2026-01-31T23:59:59Z")));
    assert!(
        !january().contains(at("2026-02-01T00:00:00Z")) && !january().contains(at("2025-12-31T23:59:59Z"))
    );
    assert_eq!(Month::new(2026, 12).unwrap().end(), Month::new(2027, 1).unwrap().start());
    assert_eq!(Month::new(2198, 12).unwrap().end(), at("2199-01-01T00:00:00Z"));
    assert_eq!(january().to_string(), "2026-01");
}

#[test]
fn terms_nobody_means_are_refused() {
    let wrong = DelegatedContract { time_flex_reward: Money(-1), ..terms() };
    let refused = monthly_bill(ProsumerId(1), january(), &wrong, RecordNumber(3), &[]);
    assert_eq!(refused, Err(BillError::Terms { term: "the reward for time flexibility" }));
}

proptest! {
    #[test]
    fn bills_sum_to_zero_or_are_refused(
        rewards in proptest::collection::vec(prop_oneof![0_i64..1_000_000, Just(REWARD_MAX)], 6),
        width in prop_oneof![1_i64..10 * KWH, Just(i64::MAX / 4)],
        off in -2_000_000_i64..2_000_000,
        count in 0_usize..5,
    ) {
        let contract = DelegatedContract {
            fixed_reward: Money(rewards[0]),
            time_flex_reward: Money(rewards[1]),
            energy_flex_reward: Money(rewards[2]),
            scheduling_fixed_reward: Money(rewards[3]),
            scheduling_start_time_reward: Money(rewards[4]),
            scheduling_energy_reward: Money(rewards[5]),
            ..terms()
        };
        let offers: Vec<FlexOffer> = (0..count as u32)
            .map(|number| FlexOffer { slices: slices(&[(-width, width), (0, KWH)]), ..delegated(number) })
            .collect();
        let schedule = shifted();
        let all: Vec<_> = offers.iter().map(|offer| billed(offer, Some(&schedule), off)).collect();
        match monthly_bill(ProsumerId(1), january(), &contract, RecordNumber(3), &all) {
            Ok(bill) => {
                let sum: i128 = bill.postings.iter().map(|p| i128::from(p.amount.0)).sum();
                let lines: i128 = bill.lines.iter().map(|line| i128::from(line.amount.0)).sum();
                let own = bill.postings.iter().filter(|p| p.account == Account::Prosumer(ProsumerId(1)));
                prop_assert_eq!(sum, 0);
                prop_assert_eq!(own.map(|p| i128::from(p.amount.0)).sum::<i128>(), lines);
            }
            Err(error) => prop_assert!(matches!(error, BillError::TooLarge { .. }), "{}", error),
        }
    }
}

#[test]
fn an_offer_without_an_order_has_no_imbalance() {
    let offer = delegated(1);
    let stray = Billed { measured: vec![(Slot(0), EnergyMwh(KWH))], ..billed(&offer, None, 0) };
    assert_eq!(bill(&[stray]).execution_imbalance, EnergyMwh::ZERO);
}
