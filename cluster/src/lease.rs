//! The right to serve an area, for a few seconds at a time.
//!
//! A lease is an entry of the bucket that only its holder renews and that lapses by itself. The holder counts from *before*
//! it asked for the last renewal, so by its own clock the lease ends before it ends on the servers. Should clocks run apart
//! all the same, or a process sleep, the stream of the journal still refuses the one who was late (see [`crate::nats`]).

use crate::nats::{LAPSE, NatsError};
use async_nats::jetstream::kv::{CreateErrorKind, Store, UpdateErrorKind};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::Instant;

/// How often a lease is renewed.
pub const RENEW_PERIOD: Duration = Duration::from_millis(500);
/// A holder stops so long after the last renewal it asked for, before anybody else may begin.
const HELD_FOR: Duration = LAPSE.saturating_sub(Duration::from_millis(500));

/// A lease that is held.
#[derive(Debug)]
pub struct Lease {
    bucket: Store,
    key: String,
    member: Bytes,
    revision: u64,
    renewed_at: Instant,
}

/// Whether a lease is still held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// For a while.
    Yes,
    /// The servers could not be asked; it is held until it lapses.
    Unanswered,
    /// No more.
    No,
}

impl Lease {
    /// Takes the lease of an area, unless somebody has it.
    ///
    /// # Errors
    /// [`NatsError::Request`].
    pub async fn take(bucket: &Store, area: &str, member: &str) -> Result<Option<Self>, NatsError> {
        let (key, member, asked_at) =
            (format!("lease.{area}"), Bytes::copy_from_slice(member.as_bytes()), Instant::now());
        match bucket.create(&key, member.clone()).await {
            Ok(revision) => {
                Ok(Some(Self { bucket: bucket.clone(), key, member, revision, renewed_at: asked_at }))
            }
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => Ok(None),
            Err(error) => {
                Err(NatsError::Request { doing: "asking for the right to serve", reason: error.to_string() })
            }
        }
    }

    /// A name no other lease of this area has.
    pub fn term(&self) -> String {
        format!("{}-{}", String::from_utf8_lossy(&self.member), self.revision)
    }

    /// Renews it.
    pub async fn renew(&mut self) -> Held {
        let asked_at = Instant::now();
        let renewed = self.bucket.update(&self.key, self.member.clone(), self.revision);
        match tokio::time::timeout(self.left(), renewed).await {
            Ok(Ok(revision)) => {
                (self.revision, self.renewed_at) = (revision, asked_at);
                Held::Yes
            }
            // Somebody else's, or lapsed. Our own update may also have got there while its answer was lost: then the entry
            // lapses with nobody behind it, which costs a moment and is never wrong.
            Ok(Err(error)) if error.kind() == UpdateErrorKind::WrongLastRevision => Held::No,
            Ok(Err(error)) if !self.left().is_zero() => {
                tracing::warn!(key = self.key, %error, "a lease was not renewed");
                Held::Unanswered
            }
            Ok(Err(_)) | Err(_) => Held::No,
        }
    }

    /// How long it is still held without being renewed.
    pub fn left(&self) -> Duration {
        HELD_FOR.saturating_sub(self.renewed_at.elapsed())
    }

    /// Gives it back, so that nobody has to wait until it lapses.
    pub async fn give_back(self) {
        if let Err(error) = self.bucket.delete_expect_revision(&self.key, Some(self.revision)).await {
            tracing::debug!(key = self.key, %error, "a lease was not given back; it lapses");
        }
    }
}
