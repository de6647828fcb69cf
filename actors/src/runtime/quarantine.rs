//! Messages that were set aside because handling them panicked: kept in words and as they are, to be looked at, and to be
//! released or discarded by an operator.
//!
//! Bounded: [`PER_STAGE_MAX`] per stage and [`KEPT_MAX`] in all. What comes on top is counted and gone, the older ones
//! stay: they are the ones somebody looks at. Nothing durable is lost that way; a restarted stage takes up what the books
//! say is unfinished.

use super::stage::Delivery;
use grid::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Messages kept per stage.
pub const PER_STAGE_MAX: usize = 100;
/// Messages kept in all.
pub const KEPT_MAX: usize = 10_000;

/// A message that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetAside {
    /// By what it is released; counted from 1.
    pub id: u64,
    /// The stage that could not handle it.
    pub stage: String,
    /// What kind of message from whom, when it is from outside; its like are set aside unseen for a while.
    pub kin: Option<String>,
    /// The message, shortened.
    pub message: String,
    /// What the panic said.
    pub reason: String,
    /// How often it was tried; 0 for one that was set aside unseen.
    pub deliveries: u32,
    /// When, by the system's clock.
    pub at: Timestamp,
}

/// How many messages were set aside, and what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Waiting for somebody to look.
    pub kept: u64,
    /// Set aside so far.
    pub total: u64,
    /// Of those, without having been tried, because their like had failed just before.
    pub unseen: u64,
    /// Put back into their mailboxes.
    pub released: u64,
    /// Thrown away by an operator.
    pub discarded: u64,
    /// Gone because the quarantine was full.
    pub dropped: u64,
}

#[derive(Debug, Default)]
struct Ward {
    counts: Counts,
    kept: BTreeMap<u64, (SetAside, Delivery)>,
    per_stage: BTreeMap<String, usize>,
}

/// Shared by all stages of a system. Cheap to clone; locked only for a moment, never across an await.
#[derive(Debug, Clone, Default)]
pub struct Quarantine(Arc<Mutex<Ward>>);

impl Quarantine {
    /// Sets a message aside; `release` puts it back. The id is given here.
    pub(super) fn set_aside(&self, message: SetAside, release: Delivery) {
        self.with(|ward| {
            ward.counts.total += 1;
            ward.counts.unseen += u64::from(message.deliveries == 0);
            let kept = ward.per_stage.entry(message.stage.clone()).or_default();
            if *kept >= PER_STAGE_MAX || ward.kept.len() >= KEPT_MAX {
                ward.counts.dropped += 1;
                return;
            }
            *kept += 1;
            let id = ward.counts.total;
            ward.kept.insert(id, (SetAside { id, ..message }, release));
        });
    }

    /// What is kept, oldest first.
    pub fn kept(&self) -> Vec<SetAside> {
        self.with(|ward| ward.kept.values().map(|(message, _)| message.clone()).collect())
    }

    /// How many there were.
    pub fn counts(&self) -> Counts {
        self.with(|ward| Counts { kept: ward.kept.len() as u64, ..ward.counts })
    }

    /// Puts a message back into its mailbox, to be tried like a new one. Nothing when no such message is kept.
    pub fn release(&self, id: u64) -> Option<SetAside> {
        let (message, delivery) = self.take(id, |counts| counts.released += 1)?;
        tracing::warn!(id, stage = %message.stage, "message released from quarantine");
        delivery.make();
        Some(message)
    }

    /// Throws a message away. Nothing when no such message is kept.
    pub fn discard(&self, id: u64) -> Option<SetAside> {
        let (message, _) = self.take(id, |counts| counts.discarded += 1)?;
        tracing::warn!(id, stage = %message.stage, message = %message.message, "message discarded from quarantine");
        Some(message)
    }

    fn take(&self, id: u64, count: impl FnOnce(&mut Counts)) -> Option<(SetAside, Delivery)> {
        self.with(|ward| {
            let (message, delivery) = ward.kept.remove(&id)?;
            count(&mut ward.counts);
            if let Some(kept) = ward.per_stage.get_mut(&message.stage) {
                *kept = kept.saturating_sub(1);
            }
            Some((message, delivery))
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Ward) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(stage: &str) -> SetAside {
        let (stage, message) = (stage.to_owned(), "Word(1)".to_owned());
        SetAside {
            id: 0,
            stage,
            kin: None,
            message,
            reason: "poison".to_owned(),
            deliveries: 3,
            at: Timestamp::default(),
        }
    }

    #[test]
    fn a_full_ward_counts_what_it_cannot_keep_and_other_stages_have_room() {
        let quarantine = Quarantine::default();
        let nothing = || Delivery::outside(|| ());
        for _ in 0..PER_STAGE_MAX + 7 {
            quarantine.set_aside(message("one"), nothing());
        }
        quarantine.set_aside(message("other"), nothing());
        let counts = quarantine.counts();
        assert_eq!((counts.kept, counts.total, counts.dropped), (101, 108, 7));
        assert!(quarantine.discard(1).is_some() && quarantine.discard(1).is_none());
        quarantine.set_aside(message("one"), nothing());
        assert_eq!(quarantine.counts().dropped, 7);
        assert_eq!(quarantine.kept().last().map(|message| message.id), Some(109));
    }

    #[test]
    fn a_released_message_is_delivered_once() {
        let (quarantine, delivered) = (Quarantine::default(), Arc::new(Mutex::new(0)));
        let count = delivered.clone();
        quarantine.set_aside(message("one"), Delivery::outside(move || *count.lock().unwrap() += 1));
        assert_eq!(quarantine.release(1).map(|message| message.stage).as_deref(), Some("one"));
        assert_eq!((quarantine.release(1), *delivered.lock().unwrap()), (None, 1));
    }
}
