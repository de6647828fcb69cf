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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_server::TestServer;
    use tokio::time::sleep;

    const BEAT: Duration = Duration::from_millis(50);

    async fn take(bucket: &Store, member: &str) -> Option<Lease> {
        Lease::take(bucket, "north", member).await.unwrap()
    }

    /// Tries until it is taken; how long that took.
    async fn taken(bucket: &Store, member: &str) -> (Lease, Duration) {
        let begun = Instant::now();
        loop {
            if let Some(lease) = take(bucket, member).await {
                return (lease, begun.elapsed());
            }
            assert!(begun.elapsed() < LAPSE * 5, "it never lapses");
            sleep(BEAT).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_holds_it_and_whoever_renews_goes_on_holding_it() {
        let Some(server) = TestServer::start() else { return };
        let (a, b) = (server.connect("a").await, server.connect("b").await);
        let (of_a, of_b) = (a.bucket().await.unwrap(), b.bucket().await.unwrap());
        let mut lease = take(&of_a, "a").await.unwrap();
        assert!(lease.left() <= HELD_FOR && HELD_FOR < LAPSE, "it ends here before it ends there");
        let until = Instant::now() + LAPSE * 2;
        let mut terms = vec![lease.term()];
        while Instant::now() < until {
            assert!(
                take(&of_b, "b").await.is_none() && take(&of_a, "a").await.is_none(),
                "two hold one lease"
            );
            assert_eq!(lease.renew().await, Held::Yes);
            terms.push(lease.term());
            sleep(RENEW_PERIOD).await;
        }
        lease.give_back().await;
        let (other, after) = taken(&of_b, "b").await;
        assert!(after < HELD_FOR, "what was given back had to lapse: {after:?}");
        terms.push(other.term());
        terms.sort();
        let count = terms.len();
        terms.dedup();
        assert_eq!(terms.len(), count, "a term is nobody else's and never comes again");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_does_not_renew_has_stopped_before_another_begins_and_gets_nothing_back() {
        let Some(server) = TestServer::start() else { return };
        let (a, b) = (server.connect("a").await, server.connect("b").await);
        let (of_a, of_b) = (a.bucket().await.unwrap(), b.bucket().await.unwrap());
        let mut slept = take(&of_a, "a").await.unwrap();
        let (mut other, after) = taken(&of_b, "b").await;
        assert!(
            slept.left().is_zero(),
            "another began {after:?} after, and it still held it for {:?}",
            slept.left()
        );
        assert_eq!(slept.renew().await, Held::No);
        assert_eq!(other.renew().await, Held::Yes, "a renewal that came too late took nothing away");
        // Nor does giving back what another one holds.
        slept.give_back().await;
        assert!(take(&of_a, "a").await.is_none());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn servers_that_do_not_answer_leave_it_until_it_ends_here_and_no_longer() {
        let Some(server) = TestServer::start() else { return };
        let nats = server.connect("a").await;
        let mut lease = take(&nats.bucket().await.unwrap(), "a").await.unwrap();
        server.signal("STOP");
        let mut answers = Vec::new();
        loop {
            let held = lease.renew().await;
            answers.push(held);
            if held == Held::No || lease.left().is_zero() {
                break;
            }
            sleep(BEAT).await;
        }
        server.signal("CONT");
        // The server may have answered once more before it stopped.
        let (ended, stopped) =
            (lease.renewed_at.elapsed(), answers.iter().position(|held| *held != Held::Yes));
        assert!(!answers[stopped.unwrap()..].contains(&Held::Yes), "{answers:?}");
        assert!(ended >= HELD_FOR && ended < LAPSE, "it ended {ended:?} after the last answer: {answers:?}");
    }
}
