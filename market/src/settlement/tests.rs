//! The worked examples, and what must hold for every delivery.

use super::*;
use crate::bid::ZoneId;
use crate::contract::AggregateId;
use crate::flex_offer::{DeviationPrices, Schedule};
use crate::price_clearing::Pricing;
use crate::sample::{energies, instant, offer, slot};
use proptest::prelude::*;

const KWH: i64 = 1_000_000;
const EUR: i64 = 1_000_000;

/// Terms of USEF's worked example: 11 per kWh missing, no fee.
fn usef() -> SettlementTerms {
    SettlementTerms { fee_per_mille: 0, penalty_per_kwh: Money(11 * EUR), ..SettlementTerms::default() }
}

/// A member: its baseline, orders and meter per slot, mWh.
#[derive(Debug, Clone)]
struct Member {
    baseline: Vec<i64>,
    ordered: Vec<i64>,
    metered: Vec<i64>,
    quality: Quality,
}

fn member(baseline: &[i64], ordered: &[i64], metered: &[i64]) -> Member {
    let (baseline, ordered, metered) = (baseline.to_vec(), ordered.to_vec(), metered.to_vec());
    Member { baseline, ordered, metered, quality: Quality::Measured }
}

/// A contract that asks 7 per kWh, with prices per slot.
fn contract(members: &[Member], prices: &[(i64, i64)], terms: SettlementTerms) -> Contract {
    let total = |k: usize| members.iter().map(|member| member.ordered[k]).sum::<i64>();
    let deviation: Vec<_> =
        (0..members[0].ordered.len()).map(|k| (slot(k as i64), EnergyMwh(total(k)))).collect();
    let price = |(k, (nodal, bid)): (usize, &(i64, i64))| SlotPrice {
        slot: slot(k as i64),
        nodal: Money(*nodal),
        bid: Money(*bid),
    };
    Contract {
        id: ContractId::new("c-1").unwrap(),
        number: 1,
        aggregate: AggregateId::new("agg-1").unwrap(),
        bids: vec![],
        schedule: Schedule { start: slot(0), energies: vec![] },
        deviation: deviation.into_iter().filter(|(_, energy)| energy.0 != 0).collect(),
        zone: ZoneId(1),
        prices: DeviationPrices { decrease: Money(7 * EUR), increase: Money(7 * EUR) },
        cost: Money(0),
        slot_prices: prices.iter().enumerate().map(price).collect(),
        terms,
        formed_at: instant(-120),
    }
}

/// Settles every slot of some members, in the order of the slots.
fn settle_all(members: &[Member], prices: &[(i64, i64)], terms: SettlementTerms) -> Vec<Vec<SlotSettlement>> {
    let contract = contract(members, prices, terms);
    let offers: Vec<FlexOffer> = (0..members.len())
        .map(|number| {
            let mut offer = offer(&format!("fo-{number}"));
            offer.default_schedule.energies = energies(&members[number].baseline);
            (offer.prosumer, offer.device) = (ProsumerId(number as u32), DeviceId(number as u32));
            offer
        })
        .collect();
    let part = |(member, offer): (&Member, &FlexOffer)| {
        let ordered = member.ordered.iter().enumerate().filter(|(_, energy)| **energy != 0);
        Assignment {
            offer: offer.id.clone(),
            schedule: Schedule { start: slot(0), energies: vec![] },
            deviation: ordered.map(|(k, energy)| (slot(k as i64), EnergyMwh(*energy))).collect(),
        }
    };
    let parts: Vec<Assignment> = members.iter().zip(&offers).map(part).collect();
    let mut relief = vec![0_i64; members.len()];
    let mut settled = Vec::new();
    for k in 0..members[0].ordered.len() {
        let at = slot(k as i64);
        let readings: Vec<MeterReading> = (members.iter().zip(&offers))
            .map(|(member, offer)| MeterReading {
                source: None,
                device: offer.device,
                slot: at,
                energy: EnergyMwh(member.metered[k]),
                quality: member.quality,
                received_at: at.end(),
            })
            .collect();
        let due = |number: usize| Due {
            contract: &contract,
            assignment: &parts[number],
            offer: &offers[number],
            slot: at,
            reading: &readings[number],
            baseline: EnergyMwh(members[number].baseline[k]),
            reached: true,
            rebound_room: EnergyMwh(relief[number].max(0)),
            cites: vec![RecordNumber(1 + number as u64), RecordNumber(100 + k as u64)],
        };
        let waits = |number: &usize| {
            members[*number].ordered[k] != 0
                || !rebound_slots(&parts[*number], std::iter::once(at)).is_empty()
        };
        let dues: Vec<Due<'_>> = (0..members.len()).filter(waits).map(due).collect();
        let settlements = settle_together(&dues).unwrap();
        for settlement in &settlements {
            let number = offers.iter().position(|offer| offer.id == settlement.offer).unwrap();
            let given = settlement.delivered.0 * relief_direction(&parts[number]);
            relief[number] += given.max(0) - settlement.rebound.abs().0;
        }
        settled.push(settlements);
    }
    settled
}

/// One slot of one member at 7 per kWh.
fn alone(baseline: i64, ordered: i64, metered: i64, terms: SettlementTerms) -> SlotSettlement {
    let members = [member(&[baseline], &[ordered], &[metered])];
    settle_all(&members, &[(7 * EUR, 9 * EUR)], terms).remove(0).remove(0)
}

fn amount(settlement: &SlotSettlement, account: Account) -> i64 {
    settlement.postings.iter().filter(|p| p.account == account).map(|p| p.amount.0).sum()
}

fn earned(settlement: &SlotSettlement) -> i64 {
    -amount(settlement, Account::Dso)
}

#[test]
fn the_worked_example_of_usef_is_met() {
    for pricing in [Pricing::PayAsBid, Pricing::Uniform, Pricing::UniformMakeWhole] {
        for netting in [false, true] {
            for (metered, due) in [(7, 14), (8, 14), (9, -4), (10, -22), (11, -33)] {
                let terms = SettlementTerms { pricing, netting, ..usef() };
                let settlement = alone(10 * KWH, -2 * KWH, metered * KWH, terms);
                let prosumer = Account::Prosumer(ProsumerId(0));
                assert_eq!(amount(&settlement, prosumer), due * EUR, "{metered} {pricing:?} {netting}");
            }
        }
    }
}

#[test]
fn the_fee_comes_out_of_the_prosumers_side() {
    let settlement = alone(KWH, -KWH, 0, SettlementTerms::default());
    assert_eq!(amount(&settlement, Account::Dso), -7 * EUR);
    assert_eq!(amount(&settlement, Account::Prosumer(ProsumerId(0))), 6_860_000);
    assert_eq!(amount(&settlement, Account::MarketFee), 140_000);
    assert_eq!(*settlement.cites, [RecordNumber(1), RecordNumber(100)]);
}

#[test]
fn more_consumption_is_settled_with_the_same_rule() {
    let settlement = alone(0, KWH, 600_000, SettlementTerms::default());
    assert_eq!(settlement.delivered, EnergyMwh(600_000));
    assert_eq!(amount(&settlement, Account::Dso), -(4_200_000 - 40_000));
}

#[test]
fn a_substituted_reading_neither_earns_nor_owes() {
    let member = Member { quality: Quality::Substituted, ..member(&[KWH, KWH], &[-KWH, 0], &[0, 3 * KWH]) };
    for settlement in settle_all(&[member], &[(7 * EUR, 9 * EUR)], usef()).concat() {
        assert_eq!((settlement.delivered, settlement.rebound), (EnergyMwh(0), EnergyMwh(0)));
        assert_eq!(settlement.postings, vec![]);
    }
}

#[test]
fn an_interval_without_an_order_settles_what_was_taken_back() {
    // Two kWh delivered, then 1.5 and 5 too much: only what was delivered can be taken back.
    let heat_pump = member(&[3 * KWH; 3], &[-2 * KWH, 0, 0], &[KWH, 9 * KWH / 2, 8 * KWH]);
    let terms = SettlementTerms { rebound_per_kwh: Money(2 * EUR), ..usef() };
    let settled = settle_all(&[heat_pump], &[(7 * EUR, 9 * EUR); 3], terms).concat();
    let rebound: Vec<i64> = settled.iter().map(|s| s.rebound.0).collect();
    assert_eq!(rebound, [0, 3 * KWH / 2, KWH / 2]);
    assert_eq!(settled.iter().map(earned).collect::<Vec<_>>(), [14 * EUR, -3 * EUR, -EUR]);
}

#[test]
fn intervals_before_the_relief_and_savings_after_it_are_no_rebound() {
    let early = member(&[KWH; 3], &[0, -KWH, 0], &[5 * KWH, 0, 0]);
    let settled = settle_all(&[early], &[(7 * EUR, 9 * EUR); 3], usef());
    assert!(settled[0].is_empty(), "nothing waits for the slot before the relief");
    assert_eq!((settled[2][0].rebound, settled[2][0].postings.len()), (EnergyMwh(0), 0));
}

#[test]
fn members_make_up_for_each_other_before_a_penalty_is_due() {
    // 2 + 2 ordered; one gives 3, the other 1: together all of it.
    let members =
        [member(&[10 * KWH], &[-2 * KWH], &[7 * KWH]), member(&[10 * KWH], &[-2 * KWH], &[9 * KWH])];
    let together = settle_all(&members, &[(0, 9 * EUR)], usef()).concat();
    assert_eq!(together.iter().map(earned).collect::<Vec<_>>(), [21 * EUR, 7 * EUR]);
    assert_eq!(together[0].netted, EnergyMwh(-KWH));
    let apart = SettlementTerms { netting: false, ..usef() };
    let apart = settle_all(&members, &[(0, 9 * EUR)], apart).concat();
    assert_eq!(apart.iter().map(earned).collect::<Vec<_>>(), [14 * EUR, -4 * EUR]);
    assert!(
        together[0].cites.contains(&RecordNumber(2)),
        "what it rests on includes the other member's meter"
    );
}

#[test]
fn who_moves_the_wrong_way_pays_for_the_relief_it_undoes() {
    // One gives its 2, the other takes 1 more: 1 of 4 was delivered, 3 are missing, all of them the other's.
    let members =
        [member(&[10 * KWH], &[-2 * KWH], &[8 * KWH]), member(&[10 * KWH], &[-2 * KWH], &[11 * KWH])];
    let settled = settle_all(&members, &[(0, 9 * EUR)], usef()).concat();
    assert_eq!(settled.iter().map(earned).collect::<Vec<_>>(), [14 * EUR, -7 * EUR - 33 * EUR]);
}

#[test]
fn uniform_pays_the_nodal_price_but_never_above_the_bid() {
    let terms = SettlementTerms { pricing: Pricing::Uniform, ..usef() };
    let paid = |nodal: i64, bid: i64| {
        let members = [member(&[KWH], &[-KWH], &[0])];
        earned(&settle_all(&members, &[(nodal * EUR, bid * EUR)], terms.clone()).concat()[0])
    };
    assert_eq!([paid(3, 9), paid(9, 3), paid(12, 0)], [3 * EUR, 3 * EUR, 0]);
    // A shift into a slot where head-room is scarce is charged for it.
    let shift = member(&[KWH, 0], &[-KWH, KWH], &[0, KWH]);
    let settled = settle_all(&[shift], &[(8 * EUR, 9 * EUR), (2 * EUR, 0)], terms).concat();
    assert_eq!(settled.iter().map(earned).collect::<Vec<_>>(), [8 * EUR, -2 * EUR]);
}

#[test]
fn make_whole_adds_what_is_missing_to_the_ask_as_far_as_the_bids_go() {
    let terms = SettlementTerms { pricing: Pricing::UniformMakeWhole, ..usef() };
    let total = |nodal: i64, bid: i64, metered: i64| -> i64 {
        let members = [member(&[KWH; 2], &[-KWH, -KWH], &[metered, 0])];
        let prices = [(nodal * EUR, bid * EUR); 2];
        settle_all(&members, &prices, SettlementTerms { penalty_per_kwh: Money(0), ..terms.clone() })
            .concat()
            .iter()
            .map(earned)
            .sum()
    };
    assert_eq!(total(3, 9, 0), 14 * EUR, "what was asked");
    assert_eq!(total(8, 9, 0), 16 * EUR, "the nodal price is more");
    assert_eq!(total(3, 5, 0), 10 * EUR, "no more than the bids");
    assert_eq!(total(3, 9, KWH), 7 * EUR, "half is delivered");
}

#[test]
fn money_too_large_to_be_meant_is_refused() {
    let wild = [member(&[0], &[-1_000_000 * KWH], &[-1_000_000 * KWH])];
    let terms = SettlementTerms { pricing: Pricing::Uniform, ..usef() };
    let contract = contract(&wild, &[(2_000 * EUR, 2_000 * EUR)], terms);
    let mut offer = offer("fo-0");
    offer.default_schedule.energies = energies(&[0, 0]);
    let deviation = vec![(slot(0), EnergyMwh(wild[0].ordered[0]))];
    let assignment = Assignment { offer: offer.id.clone(), schedule: contract.schedule.clone(), deviation };
    let reading = MeterReading {
        source: None,
        device: offer.device,
        slot: slot(0),
        energy: EnergyMwh(wild[0].metered[0]),
        quality: Quality::Measured,
        received_at: slot(0).end(),
    };
    let due = Due {
        contract: &contract,
        assignment: &assignment,
        offer: &offer,
        slot: slot(0),
        reading: &reading,
        baseline: EnergyMwh(0),
        reached: true,
        rebound_room: EnergyMwh(0),
        cites: vec![],
    };
    assert!(matches!(settle(&due), Err(SettlementError::TooMuchMoney { .. })));
    let elsewhere = Due { slot: slot(9), ..due };
    assert!(
        matches!(settle(&elsewhere), Ok(ref s) if s.ordered == EnergyMwh(0)),
        "a slot where it may rebound"
    );
    let before = Due { slot: slot(-1), ..elsewhere.clone() };
    assert!(matches!(settle(&before), Err(SettlementError::NotOrdered { .. })));
    assert!(matches!(settle_together(&[elsewhere, before]), Err(SettlementError::NotTogether { .. })));
}

fn any_member(slots: usize, sign: i64) -> impl Strategy<Value = Member> {
    let energy = || proptest::collection::vec(-3_000_000_i64..3_000_000, slots);
    let quality = prop_oneof![9 => Just(Quality::Measured), 1 => Just(Quality::Substituted)];
    let ordered = proptest::collection::vec(prop_oneof![1 => Just(0), 3 => 1_i64..3_000_000], slots);
    (energy(), ordered, energy(), quality).prop_map(move |(baseline, ordered, metered, quality)| Member {
        baseline,
        ordered: ordered
            .into_iter()
            .enumerate()
            .map(|(k, e)| e * if k % 3 == 2 { -sign } else { sign })
            .collect(),
        metered,
        quality,
    })
}

fn any_case() -> impl Strategy<Value = (Vec<Member>, Vec<(i64, i64)>, SettlementTerms)> {
    let pricing =
        prop_oneof![Just(Pricing::PayAsBid), Just(Pricing::Uniform), Just(Pricing::UniformMakeWhole)];
    let terms = (pricing, 0_u32..1_200, 0_i64..20 * EUR, 0_i64..20 * EUR, any::<bool>());
    let members = prop_oneof![Just(-1_i64), Just(1)]
        .prop_flat_map(|sign| proptest::collection::vec(any_member(5, sign), 1..5));
    let prices = proptest::collection::vec((-9 * EUR..20 * EUR, -9 * EUR..20 * EUR), 5);
    (members, prices, terms).prop_map(|(members, prices, (pricing, fee, penalty, rebound, netting))| {
        let terms = SettlementTerms {
            pricing,
            fee_per_mille: fee,
            penalty_per_kwh: Money(penalty),
            rebound_per_kwh: Money(rebound),
            netting,
            ..SettlementTerms::default()
        };
        (members, prices, terms)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn money_in_equals_money_out_and_energy_is_paid_once((members, prices, terms) in any_case()) {
        let settled = settle_all(&members, &prices, terms.clone());
        for settlement in settled.iter().flatten() {
            prop_assert_eq!(settlement.postings.iter().map(|p| i128::from(p.amount.0)).sum::<i128>(), 0);
            prop_assert!(!settlement.cites.is_empty());
            let direction = settlement.ordered.0.signum();
            prop_assert!(settlement.delivered.0 * direction >= 0);
            prop_assert!(settlement.delivered.abs() <= settlement.ordered.abs());
            prop_assert!(terms.netting || settlement.netted == EnergyMwh(0));
        }
        // Of each slot and direction no more is credited to all than was bought of all, and what is credited to a
        // portfolio is what its members moved together.
        for (k, of_slot) in settled.iter().enumerate() {
            for sign in [-1, 1] {
                let of = || of_slot.iter().filter(move |s| s.ordered.0.signum() == sign);
                let credited: i64 = of().map(|s| (s.delivered.0 + s.netted.0) * sign).sum();
                let bought: i64 = of().map(|s| s.ordered.0 * sign).sum();
                prop_assert!((0..=bought).contains(&credited), "{k}: {credited} of {bought}");
                let measured = || of().filter(|s| s.quality == Quality::Measured);
                let moved: i64 = measured().map(|s| (s.metered.0 - s.baseline.0) * sign).sum();
                let ordered: i64 = measured().map(|s| s.ordered.0 * sign).sum();
                if terms.netting {
                    prop_assert_eq!(credited, moved.clamp(0, ordered));
                }
            }
        }
        // Nobody gives back more than was credited to it.
        for offer in (0..members.len()).map(|number| format!("fo-{number}")) {
            let own = || settled.iter().flatten().filter(|s| s.offer.as_str() == offer);
            let delivered: i64 = own().map(|s| s.delivered.0.abs()).sum();
            prop_assert!(own().map(|s| s.rebound.0.abs()).sum::<i64>() <= delivered);
        }
    }

    #[test]
    fn the_dso_never_pays_above_its_bids((members, prices, mut terms) in any_case()) {
        (terms.penalty_per_kwh, terms.netting) = (Money(0), false);
        for pricing in [Pricing::Uniform, Pricing::UniformMakeWhole] {
            let settled = settle_all(&members, &prices, SettlementTerms { pricing, ..terms.clone() }).concat();
            for number in 0..members.len() {
                let own = || settled.iter().filter(|s| s.offer.as_str() == format!("fo-{number}"));
                let full = own().all(|s| s.delivered == s.ordered);
                let paid: i64 = own().map(|s| earned(s) + (s.rebound.abs().cost(terms.rebound_per_kwh)).0).sum();
                let at_bid = |k: usize| {
                    let energy = members[number].ordered[k];
                    let bid = prices[k].1;
                    let bid = if energy < 0 { bid.max(0) } else { bid.min(0) };
                    -i128::from(energy) * i128::from(bid)
                };
                let worth: i128 = (0..5).map(at_bid).sum::<i128>() / i128::from(KWH);
                if full || pricing == Pricing::Uniform {
                    prop_assert!(i128::from(paid) <= worth + 5, "{paid} above {worth}");
                }
            }
        }
    }

    #[test]
    fn extreme_meters_overflow_nothing(metered in any::<i64>(), baseline in any::<i64>(), netting in any::<bool>()) {
        let baseline = baseline.clamp(-1_000_000_000_000_000, 1_000_000_000_000_000);
        let metered = metered.clamp(-1_000_000_000_000_000, 1_000_000_000_000_000);
        let settlement = alone(baseline, -KWH, metered, SettlementTerms { netting, ..SettlementTerms::default() });
        prop_assert_eq!(settlement.postings.iter().map(|p| i128::from(p.amount.0)).sum::<i128>(), 0);
        prop_assert!((-KWH..=0).contains(&settlement.delivered.0));
    }
}
