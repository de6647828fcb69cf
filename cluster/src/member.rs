//! One process of a cluster.

use crate::lease::RENEW_PERIOD;
use crate::nats::{Nats, NatsError, Servers};
use crate::placement::{Announcement, Members};
use crate::server_disk::Told;
use crate::serving::{Serving, ServingError, Shared};
use crate::view::View;
use async_nats::jetstream::kv::Store;
use site::Site;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

/// Events that wait to be looked at.
const EVENTS_MAX: usize = 64;

/// How long the servers are waited for at the start.
const START_MAX: Duration = Duration::from_secs(60);

/// What a member is told at its start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The NATS servers.
    pub servers: Servers,
    /// Its name, which no other member has.
    pub member: String,
    /// How many servers keep each message.
    pub replicas: usize,
    /// Whether somebody says that the machine's clock is right although it is far ahead of what was recorded.
    pub clock_is_right: bool,
}

/// What happens to the areas of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The journal of an area is copied, another member serves it or nobody.
    Following {
        /// Which.
        area: String,
    },
    /// This member serves an area.
    Serving {
        /// Which.
        area: String,
        /// Where its page listens.
        page: SocketAddr,
        /// Where its MQTT door listens.
        door: SocketAddr,
        /// Whether there is a journal that is gone on with.
        resumed: bool,
    },
    /// An area went to a member that serves fewer.
    HandedOn {
        /// Which.
        area: String,
    },
    /// An area is not served here any more, or could not be.
    Lost {
        /// Which.
        area: String,
        /// Why.
        reason: String,
    },
}

/// A running member.
#[derive(Debug)]
pub struct Member {
    stop: watch::Sender<bool>,
    sites: JoinSet<Result<(), ServingError>>,
    /// Why the last site that ended did.
    left_alone: Option<ServingError>,
    /// Announcing and watching.
    beside: Vec<JoinHandle<()>>,
}

impl Member {
    /// Connects, and begins to follow the sites: files with what was found in them.
    ///
    /// # Errors
    /// [`NatsError`] when for a minute no server answered, or the bucket could not be made.
    pub async fn start(
        options: Options,
        sites: &[(PathBuf, Site)],
    ) -> Result<(Self, mpsc::Receiver<Event>), NatsError> {
        let (nats, bucket) = connected(&options).await?;
        let (stop, stopped) = watch::channel(false);
        let (events, happened) = mpsc::channel(EVENTS_MAX);
        let (view, serves, member) = (View::new(), Arc::<Mutex<BTreeSet<String>>>::default(), options.member);
        let (may, clock_is_right) = (Arc::default(), options.clock_is_right);
        let shared =
            Shared { member, nats, clock_is_right, bucket, view, may, serves, events, stop: stopped };
        let beside = vec![
            tokio::spawn(shared.view.clone().watch(shared.bucket.clone())),
            tokio::spawn(announce(shared.clone())),
        ];
        let mut running = JoinSet::new();
        for (path, site) in sites {
            running.spawn(Serving::new(shared.clone(), path.clone(), site).run());
        }
        Ok((Self { stop, sites: running, left_alone: None, beside }, happened))
    }

    /// Resolves when no site is left that can be served or followed before somebody mends what was said of it; with the last
    /// reason. One such site does not end the others.
    pub async fn failed(&mut self) -> ServingError {
        loop {
            match self.sites.join_next().await {
                Some(Ok(Err(error))) => self.left_alone = Some(error),
                Some(Ok(Ok(()))) => {}
                Some(Err(panicked)) => std::panic::resume_unwind(panicked.into_panic()),
                None => match self.left_alone.take() {
                    Some(reason) => return reason,
                    None => std::future::pending().await,
                },
            }
        }
    }

    /// Stops what is served and gives it back, so that others take it up at once.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.sites.join_next().await.is_some() {}
        self.beside.iter().for_each(JoinHandle::abort);
    }
}

/// Who lives and serves what, as members say; listens for two of their periods.
///
/// # Errors
/// [`NatsError`] when no server answers or there is no cluster.
pub async fn members(servers: &Servers) -> Result<Members, NatsError> {
    let bucket = Nats::connect(servers, "visitor", 1).await?.known_bucket().await?;
    let view = View::new();
    let watching = tokio::spawn(view.clone().watch(bucket));
    sleep(RENEW_PERIOD * 3).await;
    watching.abort();
    Ok(view.members())
}

/// Connects; servers that start at the same time as their members need a while to elect a leader.
async fn connected(options: &Options) -> Result<(Nats, Store), NatsError> {
    let (begun, mut said) = (Instant::now(), String::new());
    loop {
        let connected = async {
            let nats = Nats::connect(&options.servers, &options.member, options.replicas).await?;
            let bucket = nats.bucket().await?;
            Ok::<_, NatsError>((nats, bucket))
        };
        match connected.await {
            Ok(connected) => return Ok(connected),
            Err(error) if error.is_lasting() || begun.elapsed() > START_MAX => return Err(error),
            Err(error) => {
                let reason = error.to_string();
                if reason != said {
                    tracing::warn!(%reason, "waiting for NATS, a minute at most");
                    said = reason;
                }
            }
        }
        sleep(RENEW_PERIOD).await;
    }
}

/// Says again and again that this member lives, what it could serve and what it serves.
async fn announce(shared: Shared) {
    let key = format!("member.{}", shared.member);
    let areas = |of: &Mutex<BTreeSet<String>>| -> Vec<String> {
        of.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    };
    let mut told = Told::default();
    loop {
        told.look(shared.nats.client());
        let announcement = Announcement { may: areas(&shared.may), serves: areas(&shared.serves) };
        let said = serde_json::to_vec(&announcement).unwrap_or_default();
        if let Err(error) = shared.bucket.put(&key, said.into()).await {
            tracing::warn!(%error, "the other members do not hear of this one");
        }
        sleep(RENEW_PERIOD).await;
    }
}
