//! What the books say of an offer, against the state machine that takes the same steps.

use super::{Applied, OfferStatus};
use crate::event::MarketEvent;
use crate::flex_offer::life_cycle::{LifeCycle, Phase, ScheduleUpdate, Step, phase_of};
use crate::flex_offer::{FlexOffer, FlexOfferId};
use crate::ledger::Ledger;
use crate::sample::story::{battery, charger, story};
use crate::sample::{instant, slot};
use grid::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The books and a machine for every offer.
#[derive(Default)]
struct Both {
    ledger: Ledger,
    machines: BTreeMap<FlexOfferId, LifeCycle>,
}

impl Both {
    fn take(&mut self, event: &MarketEvent) {
        if self.ledger.apply(event) != Ok(Applied::New) {
            return;
        }
        match event {
            MarketEvent::OfferAccepted { offer, at } => {
                let mut machine = LifeCycle::new(offer.clone()).unwrap();
                machine.step(Step::Offer, *at).unwrap();
                machine.step(Step::Accept, *at).unwrap();
                self.machines.insert(offer.id.clone(), machine);
            }
            MarketEvent::OfferChanged { offer, at } => {
                let machine = self.machines.get_mut(&offer.id).unwrap();
                machine.step(Step::Update(Box::new(offer.clone())), *at).unwrap();
            }
            MarketEvent::OfferWithdrawn { offer, at } => {
                self.machines.get_mut(offer).unwrap().step(Step::Cancel, *at).unwrap();
            }
            MarketEvent::Assigned { assignments, at, .. } => {
                for part in assignments {
                    let schedule = part.schedule.clone();
                    let update = ScheduleUpdate { schedule_id: 1, update_id: 1, schedule };
                    self.machines.get_mut(&part.offer).unwrap().step(Step::Assign(update), *at).unwrap();
                }
            }
            _ => {}
        }
    }

    fn phase(&self, offer: &FlexOffer, now: Timestamp) -> Phase {
        let status = self.ledger.offer(&offer.id).unwrap().1;
        phase_of(offer, status, self.ledger.assigned_schedule(&offer.id), now)
    }

    fn agree_at(&self, now: Timestamp) {
        for (id, machine) in &self.machines {
            let mut machine = machine.clone();
            machine.on_time(now);
            assert_eq!(self.ledger.offer(id).unwrap().0, machine.offer());
            assert_eq!(self.phase(machine.offer(), now), machine.phase(), "{id} at {now}");
        }
    }

    /// A machine knows no contracts: what was bought and is not assigned at its deadline is the one difference.
    fn leave_out_what_waits_for_its_parts(&mut self, now: Timestamp) {
        let ledger = &self.ledger;
        self.machines.retain(|id, machine| {
            let waits = matches!(ledger.offer(id), Some((_, OfferStatus::Contracted)));
            !waits || now < machine.offer().assignment_before
        });
    }

    /// Whether something is taken back at its deadline or later: the books take that until its expiry is recorded, for either way
    /// it is over; the state machine does not.
    fn is_too_late(&self, event: &MarketEvent) -> bool {
        let MarketEvent::OfferWithdrawn { offer, at } = event else { return false };
        self.machines.get(offer).is_some_and(|machine| *at >= machine.offer().assignment_before)
    }
}

fn just_before(at: Timestamp) -> Timestamp {
    at.minus(std::time::Duration::from_nanos(1))
}

fn at(event: &MarketEvent) -> Option<Timestamp> {
    match event {
        MarketEvent::OfferAccepted { at, .. }
        | MarketEvent::AggregateFormed { at, .. }
        | MarketEvent::NeedPlaced { at, .. }
        | MarketEvent::Assigned { at, .. }
        | MarketEvent::OfferExpired { at, .. }
        | MarketEvent::OfferChanged { at, .. }
        | MarketEvent::OfferWithdrawn { at, .. } => Some(*at),
        _ => None,
    }
}

/// A change of one of the story's offers, into some revision: with other deadlines and another start.
fn change_of((number, revision, seconds, deadline, start): (u32, u32, i64, i64, i64)) -> MarketEvent {
    let mut offer = if number == 3 { battery(3) } else { charger(number) };
    offer.terms.revision = revision;
    (offer.acceptance_before, offer.assignment_before) = (instant(deadline), instant(deadline));
    offer.default_schedule.start = slot(start);
    MarketEvent::OfferChanged { offer, at: instant(seconds) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_offer_is_where_the_state_machine_says(
        lost in proptest::collection::vec(any::<bool>(), 24),
        withdrawn in proptest::option::of((1_usize..4, -2_500_i64..-200)),
        changes in proptest::collection::vec((1_u32..4, 1_u32..4, -3_000_i64..0, -2_000_i64..60, 0_i64..3), 0..4),
        later in proptest::collection::vec(0_i64..30_000, 8),
    ) {
        let mut both = Both::default();
        let withdrawal = withdrawn.map(|(number, seconds)| MarketEvent::OfferWithdrawn {
            offer: FlexOfferId::new(format!("fo-{number}")).unwrap(),
            at: instant(seconds),
        });
        let mut owners: Vec<MarketEvent> = changes.iter().map(|change| change_of(*change)).chain(withdrawal).collect();
        owners.sort_by_key(at);
        // Any of the events after the offers may be missing: what rests on it is refused by the books, and the offer expires
        // without a contract or is bought and never assigned.
        let mut last = instant(-10_000);
        for (index, event) in story().iter().enumerate() {
            let Some(now) = at(event) else {
                both.take(event);
                continue;
            };
            // By an owner who takes back or changes; the books refuse it when it comes too late.
            while owners.first().is_some_and(|due| at(due).is_some_and(|due| due < now)) {
                let due = owners.remove(0);
                if both.is_too_late(&due) {
                    continue;
                }
                both.leave_out_what_waits_for_its_parts(at(&due).unwrap());
                both.take(&due);
                both.agree_at(at(&due).unwrap());
            }
            if now > last {
                both.leave_out_what_waits_for_its_parts(just_before(now));
                both.agree_at(just_before(now));
                last = now;
            }
            if index < 3 || !lost.get(index).copied().unwrap_or(false) {
                both.take(event);
            }
            both.leave_out_what_waits_for_its_parts(now);
            both.agree_at(now);
        }
        both.leave_out_what_waits_for_its_parts(instant(900_000));
        let mut instants: Vec<i64> = later.into_iter().map(|seconds| seconds - 60).collect();
        instants.extend((0..9).map(|slots| slots * 900));
        for seconds in instants {
            both.agree_at(instant(seconds));
            if seconds > 0 {
                both.agree_at(just_before(instant(seconds)));
            }
        }
    }
}
