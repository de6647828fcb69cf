//! Offers with terms that no sum keeps, from the door to a contract.

use super::*;
use grid::Money;
use market::flex_offer::{Acceptance, ActivationCost, EnergyBounds, ExclusiveGroupId};
use market::{FlexOffer, FlexOfferId, Ledger, Refusal};

/// The offer of the evening under another name, in an exclusive group.
fn alternative(id: &str, activation: i64) -> FlexOffer {
    let MarketEvent::OfferAccepted { mut offer, .. } = up_to_the_order().remove(0) else { unreachable!() };
    offer.id = FlexOfferId::new(id).unwrap();
    offer.terms.exclusive_group = Some(ExclusiveGroupId::new("g").unwrap());
    offer.terms.acceptance = Acceptance::AtLeast { energy: EnergyMwh(1_000_000) };
    offer.terms.cost = ActivationCost { activation: Money(activation), per_slot_shifted: Money(1_000) };
    offer
}

fn refusal(answer: Option<OfferAnswer>) -> &'static str {
    match answer {
        Some(OfferAnswer::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_alternatives_of_a_device_the_cheaper_is_bought_and_the_other_is_not_any_more() {
    let need = up_to_the_order().remove(2);
    let market = Market::start(vec![need], "2026-01-15T17:21:05Z").await;
    let door = market.offer_door().await;
    let (cheap, dear) = (alternative("cheap", 10_000), alternative("dear", 50_000));
    assert_eq!(door.submit(dear.clone()).await, Some(OfferAnswer::Accepted));
    assert_eq!(door.submit(cheap.clone()).await, Some(OfferAnswer::Accepted));
    let plain = FlexOffer { terms: Default::default(), ..alternative("plain", 0) };
    assert_eq!(refusal(door.submit(plain).await), "device-busy");
    let mut dependent = alternative("dependent", 0);
    dependent.terms.dependencies = vec![Vec::new(); dependent.slices.len()];
    assert_eq!(refusal(door.submit(dependent).await), "term-not-traded");
    let mut bounded = alternative("bounded", 0);
    bounded.terms.running_energy = Some(EnergyBounds { min: EnergyMwh(0), max: EnergyMwh(9_000_000) });
    assert_eq!(refusal(door.submit(bounded).await), "term-not-traded", "beside a least acceptance");
    seconds(90).await;
    let status = |offer: &FlexOffer| market.books.read(|ledger| ledger.offer(&offer.id).unwrap().1);
    assert!(matches!(status(&cheap), OfferStatus::Assigned { .. }), "{:?}", status(&cheap));
    assert_eq!(status(&dear), OfferStatus::Open);
    let contract = market.books.read(|ledger: &Ledger| ledger.contracts().next().unwrap().0.clone());
    let shifted = contract.schedule.start.0 - slot(0).0;
    assert_eq!(contract.beside(), Money(10_000 + shifted * 1_000));
    let refused = |seen: &Seen| match seen {
        Seen::Cleared(clearing) => clearing.refused.iter().any(|other| other.reason == Refusal::GroupSold),
        _ => false,
    };
    assert!(market.seen.lock().unwrap().iter().any(refused));
    // The one that is left does not keep the device, and is not bought in later rounds.
    seconds(60).await;
    let last = market.books.read(|ledger| {
        let binding =
            |at| ledger.binding_offers(cheap.device, at).map(|offer| offer.id.clone()).collect::<Vec<_>>();
        let OfferStatus::Assigned { until } = ledger.offer(&cheap.id).unwrap().1 else { unreachable!() };
        (binding(slot(0).start()), binding(until))
    });
    assert_eq!((last, market.contracts()), ((vec![cheap.id.clone()], vec![]), 1));
}

#[tokio::test(start_paused = true)]
async fn a_device_has_sixteen_alternatives_at_most() {
    let need = up_to_the_order().remove(2);
    let market = Market::start(vec![need], "2026-01-15T17:21:05Z").await;
    let door = market.offer_door().await;
    for number in 0..16 {
        let offer = alternative(&format!("a{number}"), 10_000);
        assert_eq!(door.submit(offer).await, Some(OfferAnswer::Accepted));
    }
    assert_eq!(refusal(door.submit(alternative("one-more", 0)).await), "too-many-alternatives");
    assert_eq!(door.submit(alternative("a3", 10_000)).await, Some(OfferAnswer::AlreadyKnown));
}

#[tokio::test(start_paused = true)]
async fn an_offer_with_bounds_on_its_running_energy_is_bought_within_them() {
    let need = up_to_the_order().remove(2);
    let market = Market::start(vec![need], "2026-01-15T17:21:05Z").await;
    let door = market.offer_door().await;
    let mut bounded = FlexOffer { terms: Default::default(), ..alternative("bounded", 0) };
    let default = bounded.default_schedule.clone();
    // Half a kWh below what it takes by default, nothing above.
    let sums: Vec<i64> = default
        .energies
        .iter()
        .scan(0, |sum, e| {
            *sum += e.0;
            Some(*sum)
        })
        .collect();
    let (least, most) = (sums.iter().min().unwrap().min(&0), sums.iter().max().unwrap());
    bounded.terms.running_energy = Some(EnergyBounds { min: EnergyMwh(*least), max: EnergyMwh(*most) });
    assert_eq!(door.submit(bounded.clone()).await, Some(OfferAnswer::Accepted));
    seconds(90).await;
    let status = market.books.read(|ledger| ledger.offer(&bounded.id).unwrap().1);
    assert!(matches!(status, OfferStatus::Assigned { .. }), "{status:?}");
    let contract = market.books.read(|ledger: &Ledger| ledger.contracts().next().unwrap().0.clone());
    bounded.check_schedule(&contract.schedule).unwrap();
    assert_ne!(contract.schedule, default);
}
