//! Offers of several prosumers, from the door to one contract and back to each of them.

use super::*;
use grid::{DeviceId, Money, ProsumerId, Slot};
use market::{AggregateRules, EnergyBounds, FlexOffer, FlexOfferId, Schedule};
use std::collections::BTreeMap;

const KWH: i64 = 1_000_000;

/// Two quarter-hours of 1 kWh from a slot on, of which anything may be left out.
pub fn sheddable(number: u32, start: Slot, price: i64) -> FlexOffer {
    let MarketEvent::OfferAccepted { offer, .. } = up_to_the_order().remove(0) else { unreachable!() };
    FlexOffer {
        id: FlexOfferId::new(format!("shed-{number}")).unwrap(),
        device: DeviceId(number),
        prosumer: ProsumerId(number),
        start_after: start,
        start_before: start,
        slices: vec![EnergyBounds { min: EnergyMwh(0), max: EnergyMwh(KWH) }; 2],
        default_schedule: Schedule { start, energies: vec![EnergyMwh(KWH); 2] },
        prices: market::DeviationPrices { decrease: Money(price), increase: Money(price) },
        ..offer
    }
}

pub fn area_with(devices: std::ops::Range<u32>, aggregates: AggregateRules) -> Area {
    let feeder = Arc::new(Feeder::new(&network()).unwrap());
    let device = |number| Device {
        id: DeviceId(number),
        prosumer: ProsumerId(number),
        usage_point: USAGE_POINT,
        kind: DeviceKind::HeatPump,
        p_max_w: 11_000.0,
    };
    let rules = (Rules { aggregates, ..Rules::default() }, OfferRules::default(), DsoRules::default());
    let mut area = Area::new("demo", feeder, devices.map(device).collect(), rules).unwrap();
    area.zones = zones();
    area.zone_of = [(USAGE_POINT, ZoneId(1))].into();
    area
}

#[tokio::test(start_paused = true)]
async fn what_is_bought_of_a_bundle_is_split_exactly_among_starts_lengths_and_totals() {
    let need = up_to_the_order().remove(2);
    let market = Market::start(vec![need], "2026-01-15T17:21:05Z").await;
    let rules = AggregateRules { start_slots: 96, loss_percent_max: 100, ..AggregateRules::default() };
    let door = market.offer_door_of(area_with(7..10, rules)).await;
    let mut bound = sheddable(9, slot(0), 109_000);
    bound.total_energy = Some(EnergyBounds { min: EnergyMwh(3 * KWH / 2), max: EnergyMwh(2 * KWH) });
    let mut later = sheddable(8, slot(1), 105_000);
    later.slices.truncate(1);
    later.default_schedule.energies.truncate(1);
    let offers = [sheddable(7, slot(0), 101_000), later, bound];
    for offer in &offers {
        assert_eq!(door.submit(offer.clone()).await, Some(OfferAnswer::Accepted));
    }
    seconds(90).await;
    let bundles = market.books.read(|ledger| ledger.aggregate_count());
    assert_eq!((bundles, market.contracts()), (1, 1));
    let (contract, parts) = market.books.read(|ledger| {
        let (contract, parts) = ledger.contracts().next().unwrap();
        (contract.clone(), parts.unwrap().to_vec())
    });
    assert_eq!(contract.prices.decrease, Money(109_000), "nobody is sold below its own price");
    let mut sums = BTreeMap::<Slot, EnergyMwh>::new();
    let mut deviations = BTreeMap::<Slot, EnergyMwh>::new();
    for (part, offer) in parts.iter().zip(&offers) {
        offer.check_schedule(&part.schedule).unwrap();
        for (slot, energy) in part.schedule.slots().zip(&part.schedule.energies) {
            *sums.entry(slot).or_default() += *energy;
        }
        part.deviation.iter().for_each(|(slot, energy)| *deviations.entry(*slot).or_default() += *energy);
    }
    assert_eq!(sums.into_values().collect::<Vec<_>>(), contract.schedule.energies);
    assert_eq!(deviations.into_iter().collect::<Vec<_>>(), contract.deviation);
    assert_eq!(contract.deviation[0], (slot(0), EnergyMwh(-KWH)), "as much as the DSO lacks");
}

#[tokio::test(start_paused = true)]
async fn offers_that_waited_when_the_last_run_ended_are_bundled_after_the_start_fifty_at_most() {
    let accepted = |offer: &FlexOffer| MarketEvent::OfferAccepted {
        offer: offer.clone(),
        at: "2026-01-15T17:00:00Z".parse().unwrap(),
    };
    let offers: Vec<FlexOffer> = (7..67).map(|number| sheddable(number, slot(0), 101_000)).collect();
    let market = Market::start(offers.iter().map(accepted).collect(), "2026-01-15T17:21:05Z").await;
    let _door = market.offer_door_of(area_with(7..67, AggregateRules::default())).await;
    seconds(60).await;
    let mut sizes: Vec<usize> =
        market.books.read(|ledger| ledger.open_aggregates().map(|one| one.members.len()).collect());
    sizes.sort_unstable();
    assert_eq!(sizes, [10, 50]);
}
