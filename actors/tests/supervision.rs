//! Restarting in place, setting poison aside, and giving up, on real actors in virtual time.
#![allow(clippy::unwrap_used, clippy::panic)] // a test says what is wrong by panicking

use actors::runtime::{
    Address, Compute, Context, Delivery, Environment, ScaledClock, Stage, StageSeen, Supervisor,
};
use grid::Timestamp;
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Heard = Arc<Mutex<Vec<u32>>>;

#[derive(Debug, Clone)]
enum Word {
    Note(u32),
    /// Sends a note to itself, then panics.
    NoteAndPanic(u32),
    PanicUntil(Arc<Mutex<u32>>),
    /// Rings in each second, for ever.
    Ring,
    /// Something from outside: from whom, and whether it is poison.
    From(u32, bool),
    /// Several of them.
    Batch(Vec<(u32, bool)>),
}

struct Listener {
    heard: Heard,
    since_birth: u32,
}

impl Stage for Listener {
    type Msg = Word;

    fn kin(msg: &Word) -> Option<String> {
        match msg {
            Word::From(source, _) => Some(format!("from {source}")),
            _ => None,
        }
    }

    fn divide(msg: &Word) -> Vec<Word> {
        let Word::Batch(words) = msg else { return Vec::new() };
        words.iter().map(|&(source, poison)| Word::From(source, poison)).collect()
    }

    fn handle(&mut self, msg: Word, cx: &mut Context<Word>) {
        self.since_birth += 1;
        match msg {
            Word::Note(note) => self.heard.lock().unwrap().push(note),
            Word::Ring => {
                cx.wake_each(Duration::from_secs(1), Duration::ZERO, Word::Ring);
                self.heard.lock().unwrap().push(0);
            }
            Word::From(source, poison) => {
                assert!(!poison, "poison from {source}");
                self.heard.lock().unwrap().push(source);
            }
            Word::Batch(words) => {
                assert!(words.iter().all(|(_, poison)| !poison), "poison in a batch");
                self.heard.lock().unwrap().extend(words.iter().map(|(source, _)| source));
            }
            Word::NoteAndPanic(note) => {
                let myself = cx.myself().clone();
                cx.send(&myself, Word::Note(note));
                panic!("poison {note}");
            }
            Word::PanicUntil(left) => {
                let mut left = left.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if *left > 0 {
                    *left -= 1;
                    drop(left);
                    panic!("not yet");
                }
            }
        }
    }
}

async fn listener() -> (Supervisor, Address<Word>, Heard) {
    let clock = ScaledClock::start(Timestamp::from_seconds(0), 1);
    let supervisor = Supervisor::start(Environment::new(clock, Compute::Inline)).await.unwrap();
    let heard = Heard::default();
    let kept = heard.clone();
    let build = move || Listener { heard: kept.clone(), since_birth: 0 };
    let address = supervisor.spawn("listener", build).await.unwrap();
    (supervisor, address, heard)
}

async fn settle() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_the_mailbox_survives_a_restart_and_poison_is_set_aside() {
    let (supervisor, address, heard) = listener().await;
    for word in [Word::Note(1), Word::NoteAndPanic(2), Word::Note(3)] {
        address.deliver(word);
    }
    settle().await;
    // What the panicking handler wanted to send was never sent.
    assert_eq!(*heard.lock().unwrap(), [1, 3]);
    let record = supervisor.incidents().snapshot();
    assert_eq!((record.restarts, record.quarantined, record.escalations), (3, 1, 0));
    assert!(record.newest.iter().any(|words| words.contains("NoteAndPanic(2)")), "{:?}", record.newest);
    assert_eq!(*supervisor.escalation().borrow(), None);
}

#[tokio::test(start_paused = true)]
async fn the_tree_tells_first_of_who_was_made_anew_and_of_who_waits_for_that() {
    let (supervisor, address, heard) = listener().await;
    let build = move || Listener { heard: heard.clone(), since_birth: 0 };
    supervisor.spawn("another", build).await.unwrap();
    address.deliver(Word::From(1, true));
    settle().await;
    let tell = |kind| supervisor.depths().stages(kind, 1);
    let (stages, count) = tell(None);
    assert_eq!((stages.len(), count), (1, 2));
    let of = |stage: &StageSeen| (stage.name.clone(), stage.restarts, stage.held_up, stage.restarts_max);
    assert_eq!(of(&stages[0]), ("listener".to_owned(), 3, false, 5));
    let (stages, count) = tell(Some("another"));
    assert_eq!((of(&stages[0]), count), (("another".to_owned(), 0, false, 5), 1));
    assert_eq!(tell(Some("nobody")), (Vec::new(), 0));
    // Enough sources that it has to wait for its budget.
    (2..12).for_each(|source| address.deliver(Word::From(source, true)));
    let mut waited = false;
    for _ in 0..400 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        waited |= tell(None).0[0].held_up;
    }
    assert!(waited);
}

#[tokio::test(start_paused = true)]
async fn a_passing_fault_is_repeated_until_it_passes() {
    let (supervisor, address, heard) = listener().await;
    address.deliver(Word::PanicUntil(Arc::new(Mutex::new(2))));
    address.deliver(Word::Note(1));
    settle().await;
    assert_eq!(*heard.lock().unwrap(), [1]);
    let record = supervisor.incidents().snapshot();
    assert_eq!((record.restarts, record.quarantined), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_keeps_failing_is_given_up_and_said_so() {
    let (supervisor, address, heard) = listener().await;
    for note in 0..10 {
        address.deliver(Word::NoteAndPanic(note));
    }
    settle().await;
    let reason = supervisor.escalation().borrow().clone().unwrap();
    assert!(reason.contains("listener used up its 5 restarts in 10 s, last: poison"), "{reason}");
    assert!(heard.lock().unwrap().is_empty());
    assert_eq!(supervisor.incidents().snapshot().escalations, 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_trickle_of_poison_does_not_use_up_the_budget() {
    let (supervisor, address, heard) = listener().await;
    for note in 0..10 {
        address.deliver(Word::NoteAndPanic(note));
        settle().await;
    }
    address.deliver(Word::Note(99));
    settle().await;
    assert_eq!(*heard.lock().unwrap(), [99]);
    let record = supervisor.incidents().snapshot();
    assert_eq!((record.restarts, record.quarantined), (30, 10));
}

#[tokio::test(start_paused = true)]
async fn a_vital_stage_is_never_restarted() {
    let clock = ScaledClock::start(Timestamp::from_seconds(0), 1);
    let supervisor = Supervisor::start(Environment::new(clock, Compute::Inline)).await.unwrap();
    let build = || Listener { heard: Heard::default(), since_birth: 0 };
    let address = supervisor.spawn_vital("journal", build).await.unwrap();
    address.deliver(Word::NoteAndPanic(1));
    settle().await;
    assert!(supervisor.escalation().borrow().is_some());
    assert_eq!(supervisor.incidents().snapshot().restarts, 0);
}

#[tokio::test(start_paused = true)]
async fn timers_of_an_earlier_life_do_not_ring() {
    struct Bell(Listener);
    impl Stage for Bell {
        type Msg = Word;
        fn started(&mut self, cx: &mut Context<Word>) {
            cx.wake_each(Duration::from_secs(1), Duration::ZERO, Word::Ring);
        }
        fn handle(&mut self, msg: Word, cx: &mut Context<Word>) {
            self.0.handle(msg, cx);
        }
    }
    let clock = ScaledClock::start(Timestamp::from_seconds(0), 1);
    let supervisor = Supervisor::start(Environment::new(clock, Compute::Inline)).await.unwrap();
    let heard = Heard::default();
    let shared = heard.clone();
    let build = move || Bell(Listener { heard: shared.clone(), since_birth: 0 });
    let address = supervisor.spawn("bell", build).await.unwrap();
    address.deliver(Word::NoteAndPanic(1));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(supervisor.incidents().snapshot().restarts, 3);
    let rings = heard.lock().unwrap().len();
    assert!((18..=20).contains(&rings), "{rings} rings in 20 s: one bell, not four");
}

#[tokio::test(start_paused = true)]
async fn a_beat_that_panicked_once_goes_on_once() {
    struct Bell(Heard, Arc<Mutex<bool>>);
    impl Stage for Bell {
        type Msg = ();
        fn started(&mut self, cx: &mut Context<()>) {
            cx.wake_each(Duration::from_secs(60), Duration::ZERO, ());
        }
        fn handle(&mut self, (): (), cx: &mut Context<()>) {
            cx.wake_each(Duration::from_secs(60), Duration::ZERO, ());
            let first = std::mem::replace(&mut *self.1.lock().unwrap(), false);
            assert!(!first, "once");
            self.0.lock().unwrap().push(0);
        }
    }
    let clock = ScaledClock::start(Timestamp::from_seconds(0), 1);
    let supervisor = Supervisor::start(Environment::new(clock, Compute::Inline)).await.unwrap();
    let heard = Heard::default();
    let (shared, first) = (heard.clone(), Arc::new(Mutex::new(true)));
    let build = move || Bell(shared.clone(), first.clone());
    supervisor.spawn("bell", build).await.unwrap();
    tokio::time::sleep(Duration::from_secs(605)).await;
    assert_eq!(supervisor.incidents().snapshot().restarts, 1);
    assert_eq!(heard.lock().unwrap().len(), 10);
}

/// Restarts within any ten seconds, at most.
fn most_in_ten_seconds(restarts: &[(u64, u64)]) -> u64 {
    let within = |from: u64| restarts.iter().filter(move |(at, _)| (from..from + 10_000).contains(at));
    restarts.iter().map(|(at, _)| within(*at).map(|(_, count)| count).sum()).max().unwrap_or_default()
}

/// Ten thousand poison messages a second for `seconds`, alone or in batches, with good ones between them and to another
/// stage. Returns what the stage heard, and how long each message to the other stage took, ms.
async fn storm(seconds: u64, batched: bool) -> (Supervisor, Vec<u32>, Vec<u128>) {
    const POISON_PER_MS: usize = 10;
    let (supervisor, address, heard) = listener().await;
    let other_heard = Heard::default();
    let kept = other_heard.clone();
    let build = move || Listener { heard: kept.clone(), since_birth: 0 };
    let other = supervisor.spawn("another listener", build).await.unwrap();
    let (mut restarts, mut known, mut waits) = (Vec::new(), 0, Vec::new());
    for ms in 0..seconds * 1_000 {
        let good = 100 + (ms % 7) as u32;
        if batched {
            let poison = std::iter::repeat_n((1, true), POISON_PER_MS);
            address.deliver(Word::Batch(poison.chain([(good, false)]).collect()));
        } else {
            (0..POISON_PER_MS).for_each(|_| address.deliver(Word::From(1, true)));
            address.deliver(Word::From(good, false));
        }
        let (sent, before) = (tokio::time::Instant::now(), other_heard.lock().unwrap().len());
        other.deliver(Word::From(5, false));
        while other_heard.lock().unwrap().len() == before {
            tokio::task::yield_now().await;
        }
        waits.push(sent.elapsed().as_millis());
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now = supervisor.incidents().snapshot().restarts;
        if now > known {
            restarts.push((ms, now - known));
            known = now;
        }
    }
    settle().await;
    assert!(most_in_ten_seconds(&restarts) <= 5, "{restarts:?}");
    assert!(known >= seconds / 10, "no one is tried again: {restarts:?}");
    let heard = heard.lock().unwrap().clone();
    (supervisor, heard, waits)
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_poison_costs_few_restarts_and_what_else_arrives_is_handled() {
    for batched in [false, true] {
        let (supervisor, heard, waits) = storm(25, batched).await;
        assert_eq!(*supervisor.escalation().borrow(), None);
        // Every good message was heard, in order.
        let sent: Vec<u32> = (0..25_000).map(|ms| 100 + ms % 7).collect();
        assert!(heard == sent, "{} of {} good messages, batched {batched}", heard.len(), sent.len());
        // In virtual time a handler takes none: the other stage never waits for a restart of this one.
        assert_eq!(waits.iter().max(), Some(&0));
        let counts = supervisor.quarantine().counts();
        assert_eq!((counts.total, counts.kept, counts.dropped), (250_000, 100, 249_900));
        let kept = supervisor.quarantine().kept();
        assert!(kept.iter().all(|message| message.deliveries <= 3), "{kept:?}");
        assert_eq!((kept[0].deliveries, kept[0].kin.as_deref()), (3, Some("from 1")));
        assert_eq!(kept[0].reason, "poison from 1");
        supervisor.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_sources_of_poison_hold_their_stage_up_and_end_nothing() {
    for batched in [false, true] {
        let (supervisor, address, heard) = listener().await;
        let (mut restarts, mut known, mut sent) = (Vec::new(), 0, Vec::new());
        // Twenty devices with the same fault, each second, for ten minutes.
        for second in 0..600 {
            let words = (0..20).map(|source| (source, true)).chain([(100 + second, false)]);
            sent.push(100 + second);
            match batched {
                true => address.deliver(Word::Batch(words.collect())),
                false => words.for_each(|(source, poison)| address.deliver(Word::From(source, poison))),
            }
            for tenth in 0..10_u64 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let now = supervisor.incidents().snapshot().restarts;
                restarts
                    .extend((now > known).then_some((u64::from(second) * 1_000 + tenth * 100, now - known)));
                known = now;
            }
        }
        assert_eq!(*supervisor.escalation().borrow(), None);
        assert!(most_in_ten_seconds(&restarts) <= 6, "{restarts:?}");
        // It has caught up: those that fail time and again are tried less and less often.
        settle().await;
        assert!(*heard.lock().unwrap() == sent, "batched {batched}: what is good is heard, in order");
        let of_the_last_minutes: u64 =
            restarts.iter().filter(|(at, _)| *at > 300_000).map(|(_, count)| count).sum();
        assert!((1..=60).contains(&of_the_last_minutes), "{of_the_last_minutes} restarts in five minutes");
        assert!(supervisor.quarantine().kept().iter().all(|message| message.deliveries <= 3));
        supervisor.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_sources_that_fail_each_quarter_hour_hold_good_ones_up_once_and_not_for_ever() {
    let (supervisor, address, heard) = listener().await;
    let mut lateness = Vec::new();
    for quarter in 0..16_u32 {
        (0..600).for_each(|source| address.deliver(Word::From(source, true)));
        address.deliver(Word::From(1_000 + quarter, false));
        let mut late_s = None;
        for second in 0..900 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let is_heard = || heard.lock().unwrap().contains(&(1_000 + quarter));
            late_s = late_s.or_else(|| is_heard().then_some(second));
        }
        lateness.push(late_s);
    }
    assert_eq!(lateness[0], None, "600 sources cost two seconds each, once");
    let later = &lateness[2..];
    assert!(later.iter().all(|late_s| late_s.is_some_and(|late_s| late_s < 15)), "{lateness:?}");
    assert_eq!(heard.lock().unwrap().len(), 16, "nothing that is good was lost");
    // One of them works again: it is tried in its turn, and heard from then on.
    let before = supervisor.incidents().snapshot().restarts;
    tokio::time::sleep(Duration::from_secs(900)).await;
    (0..3).for_each(|_| address.deliver(Word::From(599, false)));
    settle().await;
    assert_eq!(heard.lock().unwrap().iter().filter(|source| **source == 599).count(), 3);
    assert_eq!(supervisor.incidents().snapshot().restarts, before);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn kin_that_are_known_to_have_failed_are_tried_once_also_hours_later() {
    let (supervisor, address, _) = listener().await;
    for hour in 0..20 {
        address.deliver(Word::From(1, true));
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(supervisor.incidents().snapshot().restarts, 3 + hour, "after {hour} h");
    }
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn poison_from_outside_is_not_held_against_the_stage_when_its_own_message_fails_once() {
    let (supervisor, address, heard) = listener().await;
    (0..4).for_each(|source| address.deliver(Word::From(source, true)));
    address.deliver(Word::PanicUntil(Arc::new(Mutex::new(1))));
    address.deliver(Word::Note(1));
    settle().await;
    assert_eq!(*supervisor.escalation().borrow(), None);
    assert_eq!(*heard.lock().unwrap(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_system_stops_within_seconds_also_while_a_stage_waits_to_start_anew() {
    let (supervisor, address, _) = listener().await;
    address.deliver(Word::Batch((0..50).map(|source| (source, true)).collect()));
    tokio::time::sleep(Duration::from_secs(15)).await;
    let before = tokio::time::Instant::now();
    supervisor.stop().await;
    assert!(before.elapsed() <= Duration::from_secs(6), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_released_message_is_tried_again_and_a_discarded_one_is_gone() {
    let (supervisor, address, heard) = listener().await;
    let left = Arc::new(Mutex::new(3));
    address.deliver(Word::PanicUntil(left.clone()));
    address.deliver(Word::From(7, true));
    settle().await;
    let kept: Vec<u64> = supervisor.quarantine().kept().iter().map(|message| message.id).collect();
    assert_eq!(kept, [1, 2]);
    assert!(supervisor.quarantine().discard(2).is_some());
    // What made it fail has passed.
    assert_eq!(*left.lock().unwrap_or_else(std::sync::PoisonError::into_inner), 0);
    address.deliver(Word::Note(1));
    assert!(supervisor.quarantine().release(1).is_some());
    settle().await;
    assert_eq!(*heard.lock().unwrap(), [1]);
    let counts = supervisor.quarantine().counts();
    assert_eq!((counts.kept, counts.total, counts.released, counts.discarded), (0, 2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_mailboxes_are_counted_and_empty_in_the_end() {
    let (supervisor, address, _) = listener().await;
    (0..50).for_each(|note| address.deliver(Word::Note(note)));
    assert_eq!(supervisor.depths().by_kind()["listener"].waiting, 50);
    settle().await;
    assert_eq!(supervisor.depths().by_kind()["listener"].fullest, 0);
}

#[test]
fn a_delivery_can_be_made_more_than_once() {
    let count = Arc::new(Mutex::new(0));
    let counted = count.clone();
    let delivery = Delivery::outside(move || *counted.lock().unwrap() += 1);
    delivery.make();
    delivery.clone().make();
    assert_eq!(*count.lock().unwrap(), 2);
}

/// Something whose sender waits until the last of it is gone.
#[derive(Debug, Clone)]
struct Owed {
    _receipt: Option<Arc<()>>,
}

#[tokio::test(start_paused = true)]
async fn what_lies_in_quarantine_keeps_nobody_waiting() {
    struct Poisoned;
    impl Stage for Poisoned {
        type Msg = Owed;
        fn unowed(_: Owed) -> Owed {
            Owed { _receipt: None }
        }
        fn handle(&mut self, _: Owed, _: &mut Context<Owed>) {
            panic!("poison");
        }
    }
    let clock = ScaledClock::start(Timestamp::from_seconds(0), 1);
    let supervisor = Supervisor::start(Environment::new(clock, Compute::Inline)).await.unwrap();
    let address = supervisor.spawn("poisoned", || Poisoned).await.unwrap();
    let receipt = Arc::new(());
    let waits = Arc::downgrade(&receipt);
    address.deliver(Owed { _receipt: Some(receipt) });
    assert!(waits.upgrade().is_some());
    settle().await;
    assert_eq!(supervisor.quarantine().counts().kept, 1);
    assert!(waits.upgrade().is_none(), "its sender waits for somebody to look at the quarantine");
    // It can be released all the same.
    assert!(supervisor.quarantine().release(1).is_some());
    settle().await;
    assert_eq!(supervisor.quarantine().counts().total, 2);
}
