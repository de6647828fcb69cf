//! Written and read again, an offer is the same, in every dialect.

use super::*;
use grid::{DeviceId, ProsumerId, Slot, UsagePointId};
use market::flex_offer::life_cycle::ScheduleUpdate;
use market::flex_offer::{ActivationCost, DependencyRow, ExclusiveGroupId};
use market::{Acceptance, DeviationPrices, EnergyBounds, Schedule, Terms, TradingMode};
use proptest::prelude::*;
use std::time::Duration;

fn again(message: &OfferMessage, dialect: Dialect, directory: &mut Directory) -> OfferMessage {
    let text = encode(std::slice::from_ref(message), dialect, directory);
    let document = decode(text.as_bytes(), directory).unwrap_or_else(|error| panic!("{error}: {text}"));
    match document.entries.as_slice() {
        [Ok(Decoded::Offer(message))] => {
            assert_eq!(document.dialect, dialect, "{text}");
            message.as_ref().clone()
        }
        other => panic!("{other:?}: {text}"),
    }
}

#[test]
fn public_samples_survive_every_dialect() {
    for text in SAMPLES.iter().chain([&SPECIFICATION, &MANAGER, &TRADING_INTERFACE, &XML]) {
        let mut directory = Directory::open();
        let document = decode(text.as_bytes(), &mut directory).unwrap();
        let message = document.offers().next().unwrap();
        for dialect in Dialect::ALL {
            assert_eq!(again(message, dialect, &mut directory), *message, "{dialect:?}");
        }
    }
}

#[test]
fn each_dialect_is_written_its_own_way() {
    let message = only(SPECIFICATION);
    let directory = Directory::open();
    let write = |dialect| encode(std::slice::from_ref(&message), dialect, &directory);
    let specification = write(Dialect::Specification);
    assert!(specification.starts_with(r#"{"flexOffer":[{"id":"7500001:1965460:same","state":"offered","#));
    assert!(specification.contains(r#""energyConstraintList":[{"lower":0.5,"upper":2.5}],"priceConstraint":{"minPrice":0.1,"maxPrice":0.2}"#));
    assert!(specification.contains(r#""acceptBeforeTime":"2026-01-15T16:45:00Z""#));
    let manager = write(Dialect::Manager);
    assert!(manager.contains(
        r#""acceptanceBeforeTime":"2026-01-15T16:45:00.000+0000","acceptanceBeforeInterval":1964995"#
    ));
    assert!(
        manager.contains(r#""state":"Offered""#)
            && manager.contains(r#""tariffConstraint":{"minTariff":0.1"#)
    );
    let market = write(Dialect::TradingInterface);
    assert!(market.contains(r#""energyConstraintList":[{"lowerBound":-2.5,"upperBound":-0.5}]"#));
    assert!(market.contains(r#""energyAmount":-1.5"#) && market.contains(r#""offeredById":7500001"#));
    assert!(
        write(Dialect::Xml)
            .contains("<energyConstraintList><lower>0.5</lower><upper>2.5</upper></energyConstraintList>")
    );
    assert!(Dialect::TradingInterface.does_not_say(&message).contains(&"location"));
}

/// Slices with a default inside and a block around it, mWh.
fn any_profile() -> impl Strategy<Value = Vec<(i64, i64, i64)>> {
    let large = 900_000_000_000_000_i64;
    let middle = prop_oneof![-5_000_000_i64..5_000_000, -large..large];
    proptest::collection::vec((middle, 0_i64..3_000_000, 0_i64..3_000_000), 1..7)
}

fn any_acceptance(profile: &[(i64, i64, i64)], which: u8, amount: u32) -> Acceptance {
    match which {
        0 => Acceptance::Any,
        1 => Acceptance::AtLeast { energy: EnergyMwh(amount.into()) },
        _ => Acceptance::Block {
            deviation: profile
                .iter()
                .map(|&(_, down, up)| EnergyMwh(if down > up { -down } else { up }))
                .collect(),
            factor_min_ppm: amount % 1_000_000 + 1,
        },
    }
}

prop_compose! {
    fn any_message()(
        profile in any_profile(),
        times in (0_i64..50, 0_i64..20, 0_i64..20, 0_i64..3_600_000_000_000),
        names in ("[a-zA-Z0-9._:-]{1,64}", "[ -~]{0,20}", 0_u32..3, any::<u32>()),
        prices in (0_i64..1_000_000_000, 0_i64..1_000_000_000, -1_000_000_000_i64..0, 0_i64..1_000_000_000),
        acceptance in (0_u8..3, any::<u32>()),
        flags in (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
        row in (-1_000_000_i64..1_000_000, 1_i64..1_000_000),
        phase in 0_usize..9,
        room in (0_i64..1_000_000, 0_i64..1_000_000),
    ) -> OfferMessage {
        let (shift, late, early, nanos) = times;
        let start_after = Slot(1_964_996 + shift);
        let default: Vec<EnergyMwh> = profile.iter().map(|&(middle, ..)| EnergyMwh(middle)).collect();
        let sum: i64 = default.iter().map(|energy| energy.0).sum();
        let bounds = |min, max| EnergyBounds { min: EnergyMwh(min), max: EnergyMwh(max) };
        let running = default.iter().scan(0, |sum, energy| { *sum += energy.0; Some(*sum) });
        let (low, high) = running.fold((i64::MAX, i64::MIN), |(low, high), sum| (low.min(sum), high.max(sum)));
        let limits = 900_000_000_000_000;
        let small = low.abs().max(high.abs()).max(sum.abs()) < limits;
        let (with_total, with_running, delegated, grouped, with_rows) = flags;
        let row = DependencyRow { used_ppm: row.0, slice_ppm: 0, limit: EnergyMwh(row.1) };
        let offer = FlexOffer {
            id: FlexOfferId::new(&names.0).unwrap(),
            prosumer: ProsumerId(names.2),
            usage_point: UsagePointId(names.2),
            device: DeviceId(names.3),
            created_at: grid::Timestamp::from_nanos(Slot(1_964_900).start().nanos() + nanos),
            acceptance_before: start_after.plus(-early - late - 1).start().plus(Duration::from_nanos(1)),
            assignment_before: start_after.plus(-early).start(),
            start_after,
            start_before: start_after.plus(late),
            slices: profile.iter().map(|&(middle, down, up)| bounds(middle - down, middle + up)).collect(),
            total_energy: (with_total && small && acceptance.0 < 2).then(|| bounds(sum - room.0, sum + room.1)),
            default_schedule: Schedule { start: start_after, energies: default },
            prices: DeviationPrices { decrease: Money(prices.0), increase: Money(prices.1) },
            terms: Terms {
                revision: names.3 % 3,
                mode: if delegated { TradingMode::Delegated } else { TradingMode::Direct },
                running_energy: (with_running && small).then(|| bounds(low - room.0, high + room.1)),
                dependencies: if with_rows { vec![vec![]; profile.len() - 1].into_iter().chain([vec![DependencyRow { used_ppm: 0, ..row }]]).collect() } else { vec![] },
                acceptance: any_acceptance(&profile, acceptance.0, acceptance.1),
                exclusive_group: grouped.then(|| ExclusiveGroupId::new("car-1").unwrap()),
                cost: ActivationCost { activation: Money(prices.3), per_slot_shifted: Money(prices.0) },
                tariffs: if delegated { vec![TariffRange { min: Money(prices.2), max: Money(prices.3) }; profile.len()] } else { vec![] },
            },
        };
        let phases = [Phase::Initial, Phase::Offered, Phase::Accepted, Phase::Rejected, Phase::Assigned,
            Phase::InAdaptation, Phase::Executed, Phase::Invalid, Phase::Canceled];
        let text = Some(names.1.trim().to_owned()).filter(|text| !text.is_empty());
        let update = ScheduleUpdate { schedule_id: 7, update_id: 3, schedule: offer.default_schedule.clone() };
        OfferMessage {
            phase: phases[phase],
            reason: text.clone(),
            schedule: grouped.then_some(update),
            label: text,
            obligation: delegated.then_some(Obligation::Optional),
            notes: Vec::new(),
            offer,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn any_offer_survives_every_dialect(message in any_message()) {
        prop_assert!(message.offer.check().is_ok(), "{:?}", message.offer.check());
        let mut directory = Directory::open();
        directory.register_prosumer("harry@8006", ProsumerId(1));
        directory.register_place("b 17 <&>", UsagePointId(1));
        for dialect in Dialect::ALL {
            prop_assert_eq!(&again(&message, dialect, &mut directory), &message, "{:?}", dialect);
        }
    }
}
