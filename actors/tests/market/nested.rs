//! Aggregators below the running market: devices of homes, homes of a street, the street as one device of the market.

use super::bundling::{area_with, sheddable};
use super::*;
use connectors::flex_offer::{Decoded, Dialect, Directory, OfferMessage, decode, encode};
use connectors::portfolio_file::{AggregateOwner, aggregate, disaggregate};
use grid::{DeviceId, Money, ProsumerId};
use market::flex_offer::life_cycle::Phase;
use market::portfolio::{Bounds, Tolerances};
use market::{AggregateRules, EnergyBounds, FlexOffer, FlexOfferId, Schedule};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const KWH: i64 = 1_000_000;

/// What one device of a home can leave out; one of them with a total that binds.
fn device_of(home: u32, number: u32) -> FlexOffer {
    let offer = sheddable(100 * home + number, slot(0), 100_000 + 1_000 * i64::from(number));
    let size = i64::from(10 + home + number) * KWH / 100;
    let slices = vec![EnergyBounds { min: EnergyMwh(0), max: EnergyMwh(size) }; 2];
    let total = EnergyBounds { min: EnergyMwh(size / 2), max: EnergyMwh(2 * size) };
    FlexOffer {
        slices,
        default_schedule: Schedule { start: slot(0), energies: vec![EnergyMwh(size); 2] },
        total_energy: (number == 3).then_some(total),
        ..offer
    }
}

/// Aggregates a file of offers in the name of one device of the level above.
fn upward(file: &str, prosumer: u32, device: u32, place: u32) -> Value {
    let owner = AggregateOwner {
        prosumer: FlexOfferId::new(prosumer.to_string()).unwrap(),
        device: DeviceId(device),
        place: place.to_string(),
    };
    let tolerances = Tolerances { price: Money(1_000_000), ..Tolerances::default() };
    let answer = aggregate(file.as_bytes(), tolerances, Bounds::default(), Some(&owner)).unwrap();
    assert_eq!((answer.figures.aggregates, answer.figures.refused, answer.figures.passed), (1, 0, 0));
    answer.document
}

/// Splits what comes from above; the schedules of the members, by name.
fn downward(file: &Value, from_above: &Value) -> BTreeMap<String, Value> {
    let answer = disaggregate(file.to_string().as_bytes(), Some(from_above.to_string().as_bytes())).unwrap();
    assert_eq!((answer.figures.split, answer.figures.refused), (1, 0), "{}", answer.document);
    assert_eq!(answer.figures.assigned_mwh, answer.figures.distributed_mwh);
    let parts = answer.document["assignments"].as_array().unwrap().iter();
    parts.map(|part| (part["id"].as_str().unwrap().to_owned(), part.clone())).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_bought_of_a_street_of_homes_of_devices_is_the_sum_of_what_the_devices_do() {
    let need = up_to_the_order().remove(2);
    let market = Market::start(vec![need], "2026-01-15T17:21:05Z").await;
    let rules =
        AggregateRules { loss_percent_max: 100, price: Money(1_000_000), ..AggregateRules::default() };
    let door = market.offer_door_of(area_with(7..9, rules)).await;

    // Homes sum their devices, the street sums its homes.
    let devices: BTreeMap<String, FlexOffer> = (1..=4)
        .flat_map(|home| (1..=3).map(move |number| device_of(home, number)))
        .map(|offer| (offer.id.to_string(), offer))
        .collect();
    let homes: Vec<Value> = (1..=4_u32)
        .map(|home| {
            let own = (1..=3).map(|number| OfferMessage::new(device_of(home, number), Phase::Offered));
            let file = encode(&own.collect::<Vec<_>>(), Dialect::Specification, &Directory::open());
            upward(&file, home, home, 1)
        })
        .collect();
    let offered: Vec<Value> = homes.iter().map(|home| home["flexOffers"][0].clone()).collect();
    let street = upward(&json!({ "flexOffers": offered }).to_string(), 7, 7, USAGE_POINT.0);

    // The running market sums the street with a neighbour's offer and buys of both.
    let one = json!({ "flexOffer": street["flexOffers"] }).to_string();
    let document = decode(one.as_bytes(), &mut Directory::open()).unwrap();
    let Some(Ok(Decoded::Offer(message))) = document.entries.into_iter().next() else { panic!("{one}") };
    let top = message.offer;
    assert_eq!((top.prosumer, top.device, top.usage_point), (ProsumerId(7), DeviceId(7), USAGE_POINT));
    assert_eq!(door.submit(top.clone()).await, Some(OfferAnswer::Accepted));
    assert_eq!(door.submit(sheddable(8, slot(0), 101_000)).await, Some(OfferAnswer::Accepted));
    seconds(90).await;
    let parts = market.books.read(|ledger| {
        let (contract, parts) = ledger.contracts().next().unwrap();
        assert_eq!(ledger.members(&contract.aggregate).len(), 2, "both are sold as one");
        parts.unwrap().to_vec()
    });
    let part = parts.iter().find(|part| part.offer == top.id).unwrap();
    assert!(part.deviation.iter().any(|(_, energy)| energy.0 < 0), "{part:?}");

    // Down again: orders as `POST /api/v1/schedules` tells them.
    let order = json!({ "schedules": { top.id.as_str(): { "schedule": part.schedule } } });
    let of_homes = downward(&street, &order);
    assert_eq!(of_homes.len(), 4);
    let mut sums = vec![0_i64; part.schedule.energies.len()];
    let mut told = 0;
    for home in &homes {
        let name = home["flexOffers"][0]["id"].as_str().unwrap();
        for (device, assignment) in downward(home, &json!({ "assignments": [of_homes[name]] })) {
            let schedule = connectors::flex_offer::read_schedule(&assignment, &device).unwrap();
            devices[&device].check_schedule(&schedule).unwrap();
            assert_eq!(schedule.start, part.schedule.start);
            sums.iter_mut().zip(&schedule.energies).for_each(|(sum, energy)| *sum += energy.0);
            told += 1;
        }
    }
    assert_eq!(told, 12);
    assert_eq!(sums, part.schedule.energies.iter().map(|energy| energy.0).collect::<Vec<_>>());
}
