//! What a member sees of the bucket: who lives, and which areas are served.

use crate::nats::LAPSE;
use crate::placement::{Announcement, Members};
use async_nats::jetstream::kv::{Entry, Operation, Store};
use futures_util::StreamExt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long after a failure the bucket is watched again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// A watch that brought nothing for so long is begun anew: this member's own announcements should come.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// The view; clones share it.
#[derive(Debug, Clone)]
pub struct View(Arc<Mutex<Seen>>);

#[derive(Debug)]
struct Seen {
    since: Instant,
    members: BTreeMap<String, (Announcement, Instant)>,
    /// Until when each lease lasts, unless it is renewed.
    leases: BTreeMap<String, Instant>,
}

impl View {
    /// Sees nothing yet.
    pub fn new() -> Self {
        let (members, leases) = Default::default();
        Self(Arc::new(Mutex::new(Seen { since: Instant::now(), members, leases })))
    }

    /// Watches until it is dropped.
    pub async fn watch(self, bucket: Store) {
        loop {
            let outcome = self.watch_once(&bucket).await;
            tracing::debug!(outcome, "the bucket is watched anew");
            sleep(AGAIN_AFTER).await;
        }
    }

    async fn watch_once(&self, bucket: &Store) -> String {
        let mut entries = match bucket.watch_with_history(">").await {
            Ok(entries) => entries,
            Err(error) => return error.to_string(),
        };
        loop {
            match tokio::time::timeout(SILENCE_MAX, entries.next()).await {
                Ok(Some(Ok(entry))) => self.see(&entry),
                Ok(Some(Err(error))) => return error.to_string(),
                Ok(None) => return "it ended".into(),
                Err(_) => return "nothing came".into(),
            }
        }
    }

    fn see(&self, entry: &Entry) {
        let (now, put) = (Instant::now(), entry.operation == Operation::Put);
        let mut seen = self.seen();
        if let Some(area) = entry.key.strip_prefix("lease.") {
            seen.leases.insert(area.to_owned(), if put { now + LAPSE } else { now });
        } else if let Some(member) = entry.key.strip_prefix("member.") {
            match serde_json::from_slice(&entry.value) {
                Ok(announcement) if put => {
                    seen.members.insert(member.to_owned(), (announcement, now));
                }
                _ => {
                    seen.members.remove(member);
                }
            }
        }
    }

    /// Members that were heard of lately.
    pub fn members(&self) -> Members {
        let mut seen = self.seen();
        seen.members.retain(|_, (_, heard)| heard.elapsed() < LAPSE);
        seen.members.iter().map(|(name, (announcement, _))| (name.clone(), announcement.clone())).collect()
    }

    /// How long nobody has served an area, as far as is known; `None` while somebody does, and at first.
    pub fn vacant_for(&self, area: &str) -> Option<Duration> {
        let seen = self.seen();
        let from = seen.leases.get(area).copied().unwrap_or(seen.since + AGAIN_AFTER);
        Instant::now().checked_duration_since(from)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
