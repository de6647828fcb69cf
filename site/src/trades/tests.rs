//! Commitments and what became of them, from the books.

use super::*;
use crate::market::tests::evening;
use evening::{DEVICE, PROSUMER};
use grid::{EnergyMwh, Quality};
use market::settlement::{MeterReading, settle_together};
use market::{ActivationStatus, MarketEvent};

fn asked(prosumer: ProsumerId, over: bool) -> TradesAsked {
    TradesAsked { prosumer, over, after: None, most: 10 }
}

#[test]
fn what_was_bought_is_a_commitment_until_its_last_slot_is_settled_and_then_history_with_its_money() {
    let mut ledger = Ledger::default();
    for event in evening::up_to_the_order() {
        ledger.apply(&event).unwrap();
    }
    let at = evening::slot(-1).start();
    let activation = ledger.activations().next().unwrap().0.id.clone();
    let status = ActivationStatus { activation, device: DEVICE, accepted: true, reason: None, at };
    ledger.apply(&MarketEvent::ActivationAnswered { status, at }).unwrap();
    let now = evening::slot(9).start();
    let shown = |ledger: &Ledger, prosumer, over| {
        let page = trades(&Books::new(ledger.clone(), now), &asked(prosumer, over));
        assert_eq!(page.next, None);
        page.trades
    };
    let [open] = &shown(&ledger, PROSUMER, false)[..] else { panic!("one was bought") };
    assert!(open.slots.iter().all(|slot| slot.settled.is_none()) && !open.slots.is_empty());
    assert_eq!((open.device, open.slots.iter().map(|slot| slot.ordered.0).sum::<i64>()), (DEVICE, 0));
    assert_eq!(shown(&ledger, PROSUMER, true), []);
    assert_eq!(shown(&ledger, ProsumerId(99), false), [], "not another's");
    // It follows its order to the mWh.
    let slots: Vec<Slot> = open.slots.iter().map(|slot| slot.slot).collect();
    for slot in slots {
        let baseline = ledger.baseline(&open.contract, &open.offer, slot).unwrap();
        let ordered = open.slots.iter().find(|one| one.slot == slot).unwrap().ordered;
        let (energy, quality) = (EnergyMwh(baseline.0 + ordered.0), Quality::Measured);
        let reading = MeterReading { device: DEVICE, slot, energy, quality, received_at: now, source: None };
        ledger.apply(&MarketEvent::MeterRead { reading }).unwrap();
        let due = ledger.due_with(DEVICE, slot);
        let settled = due.iter().map(|group| settle_together(group).unwrap()).collect::<Vec<_>>();
        for settlement in settled.into_iter().flatten() {
            ledger.apply(&MarketEvent::Settled { settlement, at: now }).unwrap();
        }
    }
    assert_eq!(shown(&ledger, PROSUMER, false), []);
    let [over] = &shown(&ledger, PROSUMER, true)[..] else { panic!("it is settled") };
    for slot in &over.slots {
        let settled = slot.settled.as_ref().unwrap();
        assert_eq!(settled.delivered, slot.ordered);
    }
    let earned = |account| {
        let postings = over.slots.iter().filter_map(|slot| slot.settled.as_ref());
        let postings = postings.flat_map(|settled| &settled.postings);
        postings.filter(|posting| posting.account == account).map(|posting| posting.amount.0).sum::<i64>()
    };
    assert!(earned(market::settlement::Account::Prosumer(PROSUMER)) > 0);
}
