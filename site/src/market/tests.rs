//! Bills and offers, from the books.

#[allow(dead_code)] // other tests use all of it
#[path = "../../../actors/tests/receipts/evening.rs"]
pub mod evening;

use super::*;
use grid::{Money, Timestamp};
use market::flex_offer::life_cycle::Phase;
use market::{DelegatedContract, MarketEvent, Month};

#[test]
fn bills_are_listed_by_prosumer_and_month_for_whom_they_are_wanted_and_from_any_place_on() {
    let month = |text: &str| text.parse::<Month>().unwrap();
    let (january, march) = (month("2026-01"), month("2026-03"));
    let before: Timestamp = "2025-12-20T00:00:00Z".parse().unwrap();
    let mut ledger = Ledger::default();
    for prosumer in [1, 2, 3].map(ProsumerId) {
        let contract = DelegatedContract { fixed_reward: Money(3_000_000), ..DelegatedContract::default() };
        let agreed = MarketEvent::DelegationAgreed { prosumer, from: january, contract, at: before };
        ledger.apply(&agreed).unwrap();
    }
    for bill in ledger.bills_due(march.start()) {
        ledger.apply(&MarketEvent::BillIssued { bill, at: march.start() }).unwrap();
    }
    let books = Books::new(ledger, march.start());
    let names = |after, owners: Option<&[ProsumerId]>, most| {
        let bills = durable_bills(&books, after, owners, most);
        let lines = || bills.iter().flat_map(|bill| &bill.lines);
        assert!(lines().all(|line| line.cites.is_empty() && line.amount == Money(3_000_000)));
        assert_eq!(lines().count(), bills.len());
        bills.iter().map(|bill| format!("{}/{}", bill.prosumer, bill.month)).collect::<Vec<_>>()
    };
    let all = ["1/2026-01", "1/2026-02", "2/2026-01", "2/2026-02", "3/2026-01", "3/2026-02"];
    assert_eq!(names(None, None, 10), all);
    assert_eq!(names(None, None, 2), all[..2]);
    assert_eq!(names(Some((ProsumerId(1), month("2026-02"))), None, 10), all[2..]);
    assert_eq!(names(Some((ProsumerId(2), january)), Some(&[ProsumerId(2)]), 10), all[3..4]);
    let two = [ProsumerId(3), ProsumerId(1)];
    assert_eq!(names(Some((ProsumerId(1), january)), Some(&two), 10), [all[1], all[4], all[5]]);
    assert_eq!(names(None, Some(&[]), 10), [""; 0]);
}

/// The offer of the evening, of another name and prosumer.
fn offer(name: &str, prosumer: u32) -> FlexOffer {
    let MarketEvent::OfferAccepted { offer, .. } = evening::up_to_the_order().remove(0) else {
        unreachable!()
    };
    let device = DeviceId(1_000 + prosumer);
    FlexOffer { id: FlexOfferId::new(name).unwrap(), prosumer: ProsumerId(prosumer), device, ..offer }
}

/// Books in which every tenth of these offers is open, and the others were taken back.
fn with_offers(count: u32, prosumers: u32) -> Books {
    let mut ledger = Ledger::default();
    let at = offer("x", 1).created_at;
    for number in 0..count {
        let offer = offer(&format!("offer-{number:06}"), number % prosumers);
        let id = offer.id.clone();
        ledger.apply(&MarketEvent::OfferAccepted { offer, at }).unwrap();
        if number % 10 != 0 {
            ledger.apply(&MarketEvent::OfferWithdrawn { offer: id, at }).unwrap();
        }
    }
    Books::new(ledger, at)
}

fn asked(after: Option<&str>, owners: Option<&[u32]>, active: Option<bool>, most: usize) -> OffersAsked {
    let after = after.map(|name| FlexOfferId::new(name).unwrap());
    let owners = owners.map(|owners| owners.iter().copied().map(ProsumerId).collect());
    OffersAsked { after, owners, active, most }
}

#[test]
fn offers_are_listed_page_by_page_of_whom_is_asked_for_and_none_is_left_out() {
    let books = with_offers(3_000, 7);
    let owners = [5, 2, 40];
    for (owners, active, most) in [
        (None, None, 999),
        (None, Some(true), 7),
        (Some(&owners[..]), Some(false), 100),
        (Some(&owners), None, 500),
    ] {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let page = offers(&books, &asked(after.as_deref(), owners, active, most));
            assert!(page.offers.len() <= most);
            names.extend(page.offers.iter().map(|found| found.offer.id.as_str().to_owned()));
            match page.next {
                Some(next) => after = Some(next.as_str().to_owned()),
                None => break,
            }
        }
        let wanted =
            (0..3_000_u32).filter(|number| owners.is_none_or(|owners| owners.contains(&(number % 7))));
        let wanted = wanted.filter(|number| active.is_none_or(|active| active == (number % 10 == 0)));
        assert_eq!(names, wanted.map(|number| format!("offer-{number:06}")).collect::<Vec<_>>());
    }
    // Exactly as many as there are: nothing is said to be behind them.
    assert_eq!(offers(&books, &asked(None, None, None, 3_000)).next, None);
    assert_eq!(offers(&books, &asked(None, None, None, 500)).next.unwrap().as_str(), "offer-000499");
}

#[test]
fn one_answer_looks_at_so_many_offers_and_says_where_to_go_on() {
    let books = with_offers(25_000, 2);
    // Prosumer 1 has odd numbers only, so that none of its offers is open.
    let page = offers(&books, &asked(None, Some(&[1]), Some(true), 1));
    assert_eq!((page.offers.len(), page.next.unwrap().as_str()), (0, "offer-019999"));
    let page = offers(&books, &asked(Some("offer-019999"), Some(&[1]), Some(true), 1));
    assert_eq!((page.offers.len(), page.next), (0, None));
    // What belongs to others costs nothing.
    let page = offers(&books, &asked(None, Some(&[40]), None, 1));
    assert_eq!((page.offers.len(), page.next), (0, None));
}

#[test]
fn what_a_device_was_ordered_is_found_by_its_device_and_slots_also_after_a_snapshot() {
    let mut ledger = Ledger::default();
    for event in evening::up_to_the_order() {
        ledger.apply(&event).unwrap();
    }
    let unpacked: Ledger = grid::packed::unpack_whole(&grid::packed::pack_whole(&ledger)).unwrap();
    assert_eq!(unpacked, ledger);
    let order = ledger.activations().next().unwrap().0.clone();
    for ledger in [ledger, unpacked] {
        let books = Books::new(ledger, order.schedule.start.start());
        let all = ordered(&books, order.device, (Slot(0), Slot(i64::MAX / 2)));
        let (first, last) = (*all.keys().next().unwrap(), *all.keys().next_back().unwrap());
        assert_eq!(
            (first, last.plus(1)),
            (order.replaces_from.min(order.schedule.start), order.schedule.end())
        );
        assert_eq!(ordered(&books, order.device, (last, last.plus(1))).len(), 1);
        assert_eq!(ordered(&books, order.device, (last.plus(1), last.plus(9))).len(), 0);
        assert_eq!(ordered(&books, order.device, (first.plus(-9), first)).len(), 0);
        assert_eq!(ordered(&books, DeviceId(1), (Slot(0), Slot(i64::MAX / 2))).len(), 0);
    }
}

#[test]
fn an_owner_reads_why_its_offer_was_not_bought_until_it_is() {
    let refusals = Refusals::default();
    let mut ledger = Ledger::default();
    let id = FlexOfferId::new("fo-7").unwrap();
    let row = actors::picture::RefusedRow {
        aggregate: market::AggregateId::new("agg-1").unwrap(),
        code: "too-dear",
        asked_eur: Some(0.2),
        winning_eur: Some(0.1),
        element: Some("transformer 21".to_owned()),
        slot_start: None,
    };
    let at: Timestamp = "2026-01-15T17:20:00Z".parse().unwrap();
    refusals.keep(at, [], [row.clone()]);
    let mut seen = std::collections::BTreeSet::new();
    for event in evening::up_to_the_order() {
        ledger.apply(&event).unwrap();
        let found = found(&Books::new(ledger.clone(), at), &refusals, &id).unwrap();
        let reason = found.not_bought.clone().map(|not| (not.at, not.refused));
        let stands = match &event {
            MarketEvent::OfferAccepted { .. } => {
                assert_eq!((found.state, reason, found.schedule.clone()), (OfferState::Accepted, None, None));
                "waiting"
            }
            MarketEvent::AggregateFormed { .. } | MarketEvent::NeedPlaced { .. } => {
                assert_eq!((found.state, reason), (OfferState::Accepted, Some((at, row.clone()))));
                let json = serde_json::to_value(&found).unwrap();
                assert_eq!(
                    (&json["not_bought"]["code"], &json["not_bought"]["winning_eur"]),
                    (&"too-dear".into(), &0.1.into())
                );
                "offered"
            }
            MarketEvent::ContractFormed { .. } => {
                assert_eq!(
                    (found.state, reason, found.schedule.clone()),
                    (OfferState::Contracted, None, None)
                );
                assert_eq!(found.phase(at), Phase::Accepted);
                "bought"
            }
            MarketEvent::Assigned { assignments, .. } => {
                let schedule = &assignments[0].schedule;
                assert_eq!((found.state, reason), (OfferState::Contracted, None));
                assert_eq!(found.schedule.as_ref(), Some(schedule));
                let phases = [at, schedule.start.start(), schedule.end().start()].map(|now| found.phase(now));
                assert_eq!(phases, [Phase::Assigned, Phase::InAdaptation, Phase::Executed]);
                "assigned"
            }
            _ => continue,
        };
        seen.insert(stands);
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn an_order_that_is_not_durable_is_told_to_nobody() {
    let mut ledger = Ledger::default();
    evening::up_to_the_order().iter().for_each(|event| {
        ledger.apply(event).unwrap();
    });
    let newest = ledger.newest_record();
    // The contract and its assignment are on the disk, the order has found no room.
    let before = RecordNumber(newest.0 - 1);
    let order = ledger.activations().next().unwrap().0.clone();
    let told = |durable| {
        let waiting = orders(&ledger, evening::PROSUMER, durable).len();
        let all = (Slot(0), Slot(i64::MAX / 2));
        let shown = ordered_by(&ledger, std::slice::from_ref(&order), all, durable).len();
        (waiting, shown > 0)
    };
    assert_eq!((told(before), told(newest)), ((0, false), (1, true)));
}
