//! Who is heard of: parties that send heartbeats are expected to go on, and whose silence lasts does not trade meanwhile
//! (requirement G89).

use grid::{ProsumerId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a party says that it is there.
pub const BEAT_PERIOD: Duration = Duration::from_secs(60);
/// Silence after which it does not trade: three heartbeats.
pub const SILENCE_MAX: Duration = Duration::from_secs(180);

/// A party that sends heartbeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// When it was heard last.
    pub heard_at: Timestamp,
    /// Since when its offers are suspended; `None` while it trades.
    pub suspended_since: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Kept {
    parties: BTreeMap<ProsumerId, Beat>,
    suspensions: u64,
    resumptions: u64,
}

/// All that sent a heartbeat since the start. Clones speak of the same.
#[derive(Debug, Clone, Default)]
pub struct Beats(Arc<Mutex<Kept>>);

impl Beats {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something came from a party; with `expected` it is a heartbeat, after which others have to come. Whether it trades again.
    pub fn heard(&self, party: ProsumerId, now: Timestamp, expected: bool) -> bool {
        let mut kept = self.kept();
        let was = match kept.parties.get_mut(&party) {
            Some(beat) => {
                beat.heard_at = beat.heard_at.max(now);
                beat.suspended_since.take()
            }
            None if expected => {
                kept.parties.insert(party, Beat { heard_at: now, suspended_since: None });
                None
            }
            None => None,
        };
        kept.resumptions += u64::from(was.is_some());
        was.is_some()
    }

    /// Suspends those who are silent for too long: those that were not before.
    pub fn suspend_silent(&self, now: Timestamp) -> Vec<ProsumerId> {
        let mut kept = self.kept();
        let silent = |beat: &Beat| beat.suspended_since.is_none() && now.since(beat.heard_at) > SILENCE_MAX;
        let silent = kept.parties.iter_mut().filter(|(_, beat)| silent(beat));
        let silent: Vec<ProsumerId> = silent
            .map(|(party, beat)| {
                beat.suspended_since = Some(now);
                *party
            })
            .collect();
        kept.suspensions += silent.len() as u64;
        silent
    }

    /// Whether a party's offers are suspended.
    pub fn is_suspended(&self, party: ProsumerId) -> bool {
        self.kept().parties.get(&party).is_some_and(|beat| beat.suspended_since.is_some())
    }

    /// Those whose offers are.
    pub fn suspended(&self) -> BTreeSet<ProsumerId> {
        let kept = self.kept();
        let suspended = kept.parties.iter().filter(|(_, beat)| beat.suspended_since.is_some());
        suspended.map(|(party, _)| *party).collect()
    }

    /// All that are expected, by number.
    pub fn parties(&self) -> Vec<(ProsumerId, Beat)> {
        self.kept().parties.iter().map(|(party, beat)| (*party, *beat)).collect()
    }

    /// How often parties were suspended, and traded again.
    pub fn changes(&self) -> (u64, u64) {
        let kept = self.kept();
        (kept.suspensions, kept.resumptions)
    }
}
