//! Clearings that are made again from what the records say.

use super::*;
use crate::clearing::RoundProof;
use crate::rules::CLEARING_REVISION;

fn with(mut change: impl FnMut(&mut RoundRecord, &mut RoundProof)) -> AuditReport {
    tampered(|event| {
        if let MarketEvent::RoundCleared { round, proof } = event {
            change(round, proof);
        }
    })
}

#[test]
fn a_recorded_clearing_comes_out_the_same_again() {
    let report = of(&story());
    assert_eq!((report.rounds, report.rounds_cleared_again, report.rounds_of_other_revisions), (1, 1, 0));
    assert_eq!(report.rounds_left_out, 0);
    let proof = story().into_iter().find_map(|event| match event {
        MarketEvent::RoundCleared { proof, .. } => Some(proof),
        _ => None,
    });
    let proof = proof.unwrap();
    assert!(!proof.prices.is_empty(), "what was bought has a price");
    let event = story().into_iter().find(|event| matches!(event, MarketEvent::RoundCleared { .. })).unwrap();
    let bytes = grid::packed::pack_whole(&event);
    assert_eq!(grid::packed::unpack_whole::<MarketEvent>(&bytes).as_ref(), Ok(&event));
    let text = serde_json::to_string(&event).unwrap();
    assert_eq!(serde_json::from_str::<MarketEvent>(&text).unwrap(), event);
}

#[test]
fn a_clearing_that_comes_out_otherwise_is_told_with_its_first_difference() {
    says(&with(|round, _| round.welfare.0 -= 1), "comes out otherwise again: welfare: recorded");
    says(&with(|round, _| round.bound.0 += 1), "bound: recorded");
    says(&with(|_, proof| proof.prices[0].price.0 += 1), "price of");
    says(&with(|_, proof| _ = proof.prices.pop()), "price of");
    says(&with(|_, proof| proof.result_sha256.replace_range(..1, "x")), "the hash of its result");
    let book = "its book is not what the records before it say";
    says(&with(|_, proof| proof.book_sha256.replace_range(..1, "x")), book);
    says(&with(|_, proof| _ = proof.offers.pop()), book);
    says(&with(|_, proof| proof.zones.clear()), book);
    says(&with(|_, proof| proof.transfer.push((grid::BranchId(1), 3, grid::Money(5)))), book);
    says(&with(|_, proof| proof.rule_set = proof.rule_set.replace("gain=0", "gain=1")), book);
    says(&with(|_, proof| proof.rule_set = "whatever".to_owned()), "the rule set `whatever`");
    says(&with(|round, _| round.need_issued_at = instant(-7)), "no need was issued at");
    let unknown = crate::contract::AggregateId::new("agg-99").unwrap();
    says(&with(|_, proof| proof.offers.push(unknown.clone())), "its book holds agg-99, which was not formed");
}

#[test]
fn what_the_records_before_a_clearing_say_cannot_be_changed_under_it() {
    let headroom = tampered(|event| {
        if let MarketEvent::NeedPlaced { need, .. } = event {
            need.rows.iter_mut().for_each(|row| row.headroom.0 += 1);
        }
    });
    says(&headroom, "its book is not what the records before it say");
    let bought = tampered(|event| {
        if let MarketEvent::ContractFormed { contract } = event {
            contract.cost.0 += 1;
        }
    });
    says(&bought, "is not what the clearing before it buys again");
}

#[test]
fn a_clearing_of_another_revision_is_counted_and_not_judged_by_this_one() {
    let revision = format!("/{CLEARING_REVISION} ");
    let report = with(|_, proof| {
        proof.rule_set = proof.rule_set.replace(&revision, "/4000000 ");
        proof.result_sha256.clear();
    });
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((report.rounds_cleared_again, report.rounds_of_other_revisions), (0, 1));
}

#[test]
fn what_is_assigned_or_ordered_at_its_deadline_is_counted_as_late() {
    let report = of(&story());
    assert_eq!((report.assignments, report.assignments_late, report.activations_late), (2, 0, 0));
    let at_the_deadline = charger(1).assignment_before;
    let report = tampered(|event| match event {
        MarketEvent::Assigned { at, .. } => *at = at_the_deadline,
        MarketEvent::ActivationIssued { activation, at } if activation.offer == charger(2).id => {
            *at = at_the_deadline;
        }
        _ => {}
    });
    assert_eq!((report.assignments_late, report.activations_late), (2, 1));
}

#[test]
fn clearings_that_are_left_out_are_counted_and_all_else_is_judged() {
    let audited = |events: &[MarketEvent]| {
        audit_without_clearings(events.iter().zip(1..).map(|(event, number)| (RecordNumber(number), event)))
    };
    let left_out = audited(&story());
    assert_eq!((left_out.rounds_cleared_again, left_out.rounds_left_out, left_out.is_clean()), (0, 1, true));
    let mut lost = story();
    lost.retain(|event| !matches!(event, MarketEvent::ActivationIssued { .. }));
    assert!(!audited(&lost).is_clean());
}
