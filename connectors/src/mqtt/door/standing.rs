//! Who may do what at the moment, and with which certificates: files that are read again when they change, for the clients that
//! are there as for those that come.
//!
//! What cannot be read or would leave no client at all is not taken over; what was last good goes on, the log says so and it is
//! counted. Who loses a name, password, certificate or subscription is cut off at once.

use super::Inside;
use super::config::DoorError;
use super::counters::Count;
use super::policy::{Identity, Policy};
use super::tls::{self, Tls, TlsFiles};
use crate::watched::Watched;
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, watch};

/// Changes that wait to be told; whoever makes more waits.
const CHANGES_MAX: usize = 1024;

/// What holds at the moment.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) policy: Policy,
    pub(super) tls: Option<Tls>,
}

/// How somebody proved to be who it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    /// The chain of its certificate, its own first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The names in that.
    pub(super) names: Vec<String>,
}

/// Why somebody was cut off who was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Withdrawn {
    /// The rights do not know it any more, or not under this client id.
    Unknown,
    /// Its password is another one now.
    Password,
    /// Its certificate was revoked, or its authority is not believed any more.
    Certificate,
    /// It may not have a subscription any more that it has.
    Subscription,
}

impl Withdrawn {
    /// A word for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_now",
            Self::Password => "password_changed",
            Self::Certificate => "certificate_revoked",
            Self::Subscription => "subscription_withdrawn",
        }
    }
}

/// What changed at an open door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Files were read anew and hold from now on.
    Renewed {
        /// Which.
        files: String,
    },
    /// Files changed, and what they say now cannot be taken over; what was last good goes on.
    NotRenewed {
        /// What is wrong, with the file.
        reason: String,
    },
    /// A client was cut off, or what waited for it while it was away was given up.
    Withdrawn {
        /// Which client.
        identity: String,
        /// Why.
        why: Withdrawn,
    },
}

/// Who is told of changes, once somebody is.
#[derive(Clone, Default)]
pub(super) struct Told(pub(super) Arc<OnceLock<Box<dyn Fn(&Change) + Send + Sync>>>);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Told({})", self.0.get().is_some())
    }
}

/// Where changes are handed in.
pub(super) type Changes = mpsc::Sender<Change>;

/// A way for changes to whoever is to be told; one thread tells them, in order.
pub(super) fn changes(runtime: &tokio::runtime::Handle, told: Told) -> Changes {
    let (sender, mut waiting) = mpsc::channel(CHANGES_MAX);
    runtime.spawn(async move {
        while let Some(change) = waiting.recv().await {
            log(&change);
            let told = told.clone();
            let telling = tokio::task::spawn_blocking(move || {
                if let Some(told) = told.0.get() {
                    told(&change);
                }
            });
            if telling.await.is_err() {
                tracing::error!("nobody was told of a change at the MQTT door");
            }
        }
    });
    sender
}

fn log(change: &Change) {
    match change {
        Change::Renewed { files } => tracing::info!(%files, "the MQTT door goes by new files"),
        Change::NotRenewed { reason } => {
            tracing::error!(%reason, "changed files of the MQTT door are not taken over");
        }
        Change::Withdrawn { identity, why } => {
            tracing::warn!(%identity, why = why.as_str(), "an MQTT client was cut off");
        }
    }
}

impl Standing {
    /// Why somebody who was let in under `before` is not let in any more.
    ///
    /// # Errors
    /// [`Withdrawn`].
    pub(super) fn still_admits(
        &self,
        before: &Self,
        who: &Identity,
        client_id: &str,
        shown: &Shown,
    ) -> Result<(), Withdrawn> {
        if let Some(tls) = &self.tls
            && !before.tls.as_ref().is_some_and(|before| before.is_same(tls))
            && !tls.believes(&shown.chain)
        {
            return Err(Withdrawn::Certificate);
        }
        if !self.policy.knows_still(who) || !self.policy.may_be_called(who, client_id) {
            return Err(Withdrawn::Unknown);
        }
        let by_certificate = shown.names.iter().any(|name| name == who.as_str());
        let same = by_certificate || self.policy.has_password_of(&before.policy, who);
        if same { Ok(()) } else { Err(Withdrawn::Password) }
    }
}

/// The files of a door.
#[derive(Debug)]
pub(super) struct Files {
    rights: Option<PathBuf>,
    tls: Option<TlsFiles>,
    watched: Watched,
}

impl Files {
    /// The files as they look now, before they are read.
    pub(super) fn new(rights: Option<PathBuf>, tls: Option<TlsFiles>) -> Self {
        let paths = rights.iter().chain(tls.iter().flat_map(TlsFiles::paths));
        Self { watched: Watched::new(paths.cloned().collect::<Vec<_>>()), rights, tls }
    }

    /// What they say now; without a file of rights those of `before` go on.
    fn standing(&self, before: &Standing) -> Result<Standing, String> {
        let policy = match &self.rights {
            None => before.policy.clone(),
            Some(path) => Policy::read(path)?,
        };
        if policy.is_without_clients() && !before.policy.is_without_clients() {
            let path = self.rights.as_deref().unwrap_or(Path::new("")).display();
            return Err(format!(
                "{path}: no client is left in it, which would cut everyone off; leave one [[client]], without rights if need be"
            ));
        }
        let tls =
            self.tls.as_ref().map(tls::server).transpose().map_err(|error: DoorError| error.to_string())?;
        // Unchanged certificates stay those that clients were checked against.
        let kept = before.tls.as_ref().filter(|before| tls.as_ref().is_some_and(|now| now.says_as(before)));
        Ok(Standing { policy, tls: kept.cloned().or(tls) })
    }
}

/// Looks at the files again and again, and lets what they say hold.
pub(super) async fn follow(mut files: Files, inside: Arc<Inside>) {
    loop {
        let names = files.watched.changed().await;
        let before = Arc::clone(&inside.standing.borrow());
        let reading = tokio::task::spawn_blocking(move || {
            let standing = files.standing(&before);
            (files, standing)
        });
        let Ok((back, standing)) = reading.await else { return };
        files = back;
        renew(&inside, names, standing).await;
    }
}

async fn renew(inside: &Inside, files: String, standing: Result<Standing, String>) {
    let standing = match standing {
        Ok(standing) => Arc::new(standing),
        Err(reason) => {
            inside.counters.add(Count::NotRenewed);
            let _ = inside.changes.send(Change::NotRenewed { reason }).await;
            return;
        }
    };
    // Written down before it takes effect: nobody waits for an acknowledgement, so it only has to be handed in.
    let _ = inside.changes.send(Change::Renewed { files }).await;
    inside.counters.add(Count::Renewed);
    // Connections see it at their next step; those who are away are looked through here.
    inside.standing.send_replace(Arc::clone(&standing));
    for (identity, why) in inside.router.review_absent(&standing.policy) {
        inside.counters.add(Count::Withdrawn);
        let _ = inside.changes.send(Change::Withdrawn { identity, why }).await;
    }
}

/// What holds, for those who have to know of changes.
pub(super) type Holds = watch::Sender<Arc<Standing>>;
