use super::*;
use crate::sample::{energies, instant, offer, slot};
use proptest::prelude::*;

fn update(update_id: u64, start: i64) -> ScheduleUpdate {
    let schedule = Schedule { start: slot(start), energies: energies(&[500, 500]) };
    ScheduleUpdate { schedule_id: 7, update_id, schedule }
}

fn revised(revision: u32) -> Step {
    let mut offer = offer("fo-1");
    offer.terms.revision = revision;
    Step::Update(Box::new(offer))
}

fn code(result: Result<Stepped, LifeCycleError>) -> &'static str {
    match result {
        Ok(Stepped::Changed) => "changed",
        Ok(Stepped::Known) => "known",
        Err(error) => error.code(),
    }
}

#[test]
fn a_whole_life() {
    let mut life = LifeCycle::new(offer("fo-1")).unwrap();
    assert_eq!(code(life.step(Step::Accept, instant(-3000))), "wrong-state");
    assert_eq!(code(life.step(Step::Offer, instant(-3000))), "changed");
    assert_eq!(code(life.step(Step::Accept, instant(-2900))), "changed");
    assert_eq!(code(life.step(revised(1), instant(-2800))), "changed");
    assert_eq!(code(life.step(revised(1), instant(-2800))), "known");
    assert_eq!(code(life.step(Step::Assign(update(1, 0)), instant(-100))), "changed");
    assert_eq!(code(life.step(revised(2), instant(-90))), "wrong-state");
    assert_eq!(code(life.step(Step::Assign(update(3, 1)), instant(-80))), "changed");
    assert_eq!(code(life.step(Step::Assign(update(2, 0)), instant(-70))), "known");
    assert_eq!(code(life.step(Step::Assign(update(3, 2)), instant(-70))), "other-schedule");
    assert_eq!(code(life.step(Step::Assign(update(4, 9)), instant(-70))), "schedule-start");
    assert_eq!(life.due(), Some(slot(1).start()));
    assert_eq!(life.on_time(instant(899)), []);
    assert_eq!(life.on_time(instant(900)), [Phase::InAdaptation]);
    assert_eq!(code(life.step(Step::Cancel, instant(901))), "wrong-state");
    assert_eq!(code(life.step(Step::Assign(update(3, 1)), instant(902))), "known");
    assert_eq!(life.on_time(instant(2700)), [Phase::Executed]);
    assert_eq!(life.due(), None);
}

#[test]
fn deadlines_fire_to_the_nanosecond() {
    let deadline = offer("fo-1").acceptance_before;
    let just_before = deadline.minus(std::time::Duration::from_nanos(1));
    for (at, phase) in [(just_before, Phase::Accepted), (deadline, Phase::Rejected)] {
        let mut life = LifeCycle::new(offer("fo-1")).unwrap();
        life.step(Step::Offer, instant(-3000)).unwrap();
        let _ = life.step(Step::Accept, at);
        assert_eq!(life.phase(), phase);
    }
    let mut life = LifeCycle::new(offer("fo-1")).unwrap();
    life.step(Step::Offer, instant(-3000)).unwrap();
    life.step(Step::Accept, instant(-2000)).unwrap();
    assert_eq!(code(life.step(Step::Assign(update(1, 0)), deadline)), "wrong-state");
    assert_eq!((life.phase(), life.reason()), (Phase::Rejected, Some("not assigned in time")));
    assert_eq!(life.update(), None);
}

#[test]
fn an_invalid_or_foreign_change_is_refused() {
    let mut life = LifeCycle::new(offer("fo-1")).unwrap();
    assert_eq!(code(life.step(Step::Update(Box::new(offer("fo-2"))), instant(-3000))), "other-offer");
    let mut broken = offer("fo-1");
    broken.terms.revision = 1;
    broken.slices.clear();
    assert_eq!(code(life.step(Step::Update(Box::new(broken.clone())), instant(-3000))), "empty-profile");
    assert!(LifeCycle::new(broken).is_err());
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Offer),
        Just(Step::Accept),
        Just(Step::Reject("no".to_owned())),
        Just(Step::Invalidate("broken".to_owned())),
        Just(Step::Cancel),
        (0_u32..4).prop_map(revised),
        (0_u64..4, 0_i64..4).prop_map(|(id, start)| Step::Assign(update(id, start))),
    ]
}

/// The table of the life cycle, written down once more: which phase may follow which, by steps or by time.
fn may_follow(before: Phase, after: Phase) -> bool {
    use Phase::*;
    match before {
        Initial => matches!(after, Offered | Invalid),
        Offered => matches!(after, Accepted | Rejected | Invalid | Canceled),
        Accepted => matches!(after, Assigned | Rejected | Canceled),
        Assigned => matches!(after, InAdaptation | Canceled),
        InAdaptation => matches!(after, Executed),
        Rejected | Executed | Invalid | Canceled => false,
    }
}

proptest! {
    #[test]
    fn no_order_of_events_makes_an_illegal_transition(
        events in proptest::collection::vec((any_step(), 0_i64..900), 1..40),
    ) {
        let mut life = LifeCycle::new(offer("fo-1")).unwrap();
        let mut now = instant(-3600);
        for (step, wait) in events {
            now = now.plus(std::time::Duration::from_secs(wait.unsigned_abs()));
            let mut before = life.phase();
            for entered in life.on_time(now) {
                prop_assert!(may_follow(before, entered), "{:?} -> {:?}", before, entered);
                before = entered;
            }
            prop_assert!(life.due().is_none_or(|due| due > now));
            let known = life.update().map(|update| update.update_id);
            let result = life.step(step, now);
            let after = life.phase();
            prop_assert!(before == after || may_follow(before, after), "{:?} -> {:?}", before, after);
            prop_assert!(before == after || result.is_ok());
            prop_assert!(life.update().map(|update| update.update_id) >= known);
            if let Some(update) = life.update() {
                prop_assert!(life.offer().check_schedule(&update.schedule).is_ok());
            }
        }
    }
}
