//! One site on one member: followed until it falls to this member, served until it goes elsewhere, and followed again.

use crate::copies::{self, Copy};
use crate::lease::{Held, Lease, RENEW_PERIOD};
use crate::member::Event;
use crate::mirrored::{self, MirrorError, Mirrored};
use crate::nats::{AreaStream, Message, Nats, NatsError, PublishError};
use crate::operation::{Malformed, Operation};
use crate::placement::{should_leave, should_take};
use crate::replica::{Replica, ReplicaError};
use crate::view::View;
use actors::journal::{Durability, Journal, JournalError, Opened};
use actors::runtime::clock::machine_time;
use async_nats::jetstream::kv::Store;
use futures_util::StreamExt;
use history::{History, HistoryError};
use journal::{Lock, Options};
use site::check::HISTORY_DIRECTORY;
use site::{Problem, Running, Site, SiteError};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, block_in_place};
use tokio::time::{Instant, interval, sleep};

/// How often a follower looks whether an area is free.
const LOOK_PERIOD: Duration = Duration::from_millis(100);
/// How often a copy is synced.
const SYNC_PERIOD: Duration = Duration::from_secs(2);
/// How often is looked for values that were kept long enough.
const RETAIN_PERIOD: Duration = Duration::from_secs(3600);
/// After a failure an area is left to others for so long, doubled with each further one.
const REST_MIN: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(60);
/// An area that was handed on is not taken back for so long.
const HANDED_ON: Duration = Duration::from_secs(5);
/// An area that nobody has served for so long is taken even by a member whose copy is not up to date yet.
const NOBODY_BETTER: Duration = Duration::from_secs(10);
/// How long the process waits for the data directory that it has just used itself.
const LOCK_MAX: Duration = Duration::from_secs(20);

/// How often an area is claimed when somebody wrote in between.
const CLAIMS_MAX: usize = 5;
/// How long is waited for an answer when a lease is given back.
const GIVE_BACK_MAX: Duration = Duration::from_secs(1);
/// How long the parts of a site may take to stop.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
const LEASE_LOST: &str = "the lease was lost";

/// Why a member does not serve or follow a site, for now or for good.
#[derive(Debug, Error)]
pub enum ServingError {
    /// The site's file, or what it names.
    #[error("{}: {}", path.display(), said(problems))]
    Check {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problems: Vec<Problem>,
    },
    /// The data directory.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The copy of the journal.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The copy of telemetry and estimates.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The servers.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// A message that this version does not know.
    #[error("message {sequence} of the area's stream: {source}")]
    Malformed {
        /// Its number.
        sequence: u64,
        /// What is wrong with it.
        source: Malformed,
    },
    /// A journal that another member began to put into the stream.
    #[error(
        "the journal of {area} is not whole in the cluster: member {by} began to put it in, and only it can go on; start it"
    )]
    NotWhole {
        /// Of the site.
        area: String,
        /// The member that has all of it.
        by: String,
    },
    /// Writing to the stream.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The site's system.
    #[error(transparent)]
    Site(#[from] SiteError),
}

fn said(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl ServingError {
    /// Whether somebody has to do something before it can get better.
    fn is_lasting(&self) -> bool {
        match self {
            ServingError::Check { .. } | ServingError::Malformed { .. } => true,
            ServingError::Journal(error) => matches!(error, JournalError::Newer { .. }),
            ServingError::Replica(error) => !matches!(error, ReplicaError::Io { .. }),
            _ => false,
        }
    }
}

/// What the sites of a member share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Its name.
    pub member: String,
    /// The servers.
    pub nats: Nats,
    /// Whether somebody vouches for the machine's clock.
    pub clock_is_right: bool,
    /// Leases and members.
    pub bucket: Store,
    /// What is seen of them.
    pub view: View,
    /// Areas that could be: their copies here are up to date.
    pub may: Arc<Mutex<BTreeSet<String>>>,
    /// Areas that are served here.
    pub serves: Arc<Mutex<BTreeSet<String>>>,
    /// Who wants to know.
    pub events: mpsc::Sender<Event>,
    /// Turns true when the member is to end.
    pub stop: watch::Receiver<bool>,
}

/// How the serving of a site ended.
enum Ended {
    /// The member ends.
    Stopped,
    /// It went to a member that serves fewer.
    HandedOn,
    /// It cannot go on here.
    Failed(String),
}

/// A site of this member.
pub struct Serving {
    shared: Shared,
    path: PathBuf,
    area: String,
    data: PathBuf,
    /// Not before this is the area taken.
    not_before: Instant,
    rest: Duration,
    /// What went wrong last, told once.
    told: Option<String>,
}

impl Serving {
    /// Of the site whose checked file lies at `path`.
    pub fn new(shared: Shared, path: PathBuf, site: &Site) -> Self {
        let (area, data) = (site.foundation.name.to_string(), site.data.clone());
        Self { shared, path, area, data, not_before: Instant::now(), rest: REST_MIN, told: None }
    }

    /// Follows and serves until the member ends.
    ///
    /// # Errors
    /// What somebody has to mend.
    pub async fn run(mut self) -> Result<(), ServingError> {
        loop {
            let outcome = self.once().await;
            self.among(&self.shared.may, false);
            let error = match outcome {
                Ok(Ended::Stopped) => return Ok(()),
                Ok(Ended::HandedOn) => {
                    self.not_before = Instant::now() + HANDED_ON;
                    self.rest = REST_MIN;
                    self.tell(|area| Event::HandedOn { area }).await;
                    continue;
                }
                Ok(Ended::Failed(reason)) => {
                    self.not_before = Instant::now() + self.rest;
                    self.rest = (self.rest * 2).min(REST_MAX);
                    reason
                }
                Err(error) if error.is_lasting() => {
                    let reason = format!("{error}; this member leaves it alone until it is started again");
                    tracing::error!(area = self.area, %reason, "an area is not served here");
                    self.tell(|area| Event::Lost { area, reason }).await;
                    return Err(error);
                }
                Err(error) => error.to_string(),
            };
            // Servers that are away say the same each time.
            if self.told.as_ref() != Some(&error) {
                tracing::error!(area = self.area, %error, "an area is not served here");
                self.tell(|area| Event::Lost { area, reason: error.clone() }).await;
                self.told = Some(error);
            }
            if self.stopped(REST_MIN).await {
                return Ok(());
            }
        }
    }

    async fn tell(&self, event: impl FnOnce(String) -> Event) {
        if self.shared.events.send(event(self.area.clone())).await.is_err() {
            tracing::debug!("nobody listens to events");
        }
    }

    /// Waits, unless the member ends meanwhile.
    async fn stopped(&self, at_most: Duration) -> bool {
        let mut stop = self.shared.stop.clone();
        let stopped = tokio::time::timeout(at_most, turned(&mut stop)).await;
        stopped.is_ok()
    }

    async fn once(&mut self) -> Result<Ended, ServingError> {
        let site = check(self.path.clone()).await?;
        let site = Site { clock_is_right: self.shared.clock_is_right, ..site };
        let lock = self.lock().await?;
        let nats = &self.shared.nats;
        let (journal, history) = (nats.journal(&self.area).await?, nats.history(&self.area).await?);
        // Reading and copying files takes as long as they are large; other areas go on renewing their leases meanwhile.
        let mut replica = block_in_place(|| Replica::open(&self.data))?;
        let ends = journal.end().await?.sequence;
        block_in_place(|| replica.go_on(ends))?;
        let values = self.data.join(HISTORY_DIRECTORY);
        let mut copy = block_in_place(|| Copy::open(&values, site.history.clone()))?;
        copy.goes_on(history.end().await?);
        let mut copies = Copies { area: self.area.clone(), journal, replica, history, copy };
        self.tell(|area| Event::Following { area }).await;
        let Some(lease) = self.follow(&mut copies).await? else {
            copies.sync()?;
            return Ok(Ended::Stopped);
        };
        let term = lease.term();
        let (lost, give_back, kept) = keep(lease);
        let ended = self.serve(site, lock, copies, term, lost).await;
        self.among(&self.shared.serves, false);
        // The lease goes back after everything has stopped.
        drop(give_back);
        if tokio::time::timeout(GIVE_BACK_MAX, kept).await.is_err() {
            tracing::debug!(area = self.area, "the lease was not given back; it lapses");
        }
        match ended {
            Err(error) if !error.is_lasting() => Ok(Ended::Failed(error.to_string())),
            ended => ended,
        }
    }

    async fn lock(&self) -> Result<Lock, ServingError> {
        let begun = Instant::now();
        loop {
            match Lock::take(&self.data) {
                Err(JournalError::Locked { .. }) if begun.elapsed() < LOCK_MAX => {
                    sleep(Duration::from_millis(100)).await;
                }
                taken => return Ok(taken?),
            }
        }
    }

    /// Keeps the copies up to date until the area falls to this member; `None` when the member ends.
    async fn follow(&self, copies: &mut Copies) -> Result<Option<Lease>, ServingError> {
        let (mut stop, shared) = (self.shared.stop.clone(), &self.shared);
        let (mut look, mut sync) = (interval(LOOK_PERIOD), interval(SYNC_PERIOD));
        let mut retain = interval(RETAIN_PERIOD);
        let mut facts = copies.journal.after(copies.replica.sequence()).await?;
        let mut values = copies.history.after(copies.copy.sequence()).await?;
        let (facts_end, values_end) =
            (copies.journal.end().await?.sequence, copies.history.end().await?.sequence);
        loop {
            let up_to_date = copies.replica.sequence() >= facts_end && copies.copy.sequence() >= values_end;
            let whole = copies.replica.may_serve(&shared.member);
            tokio::select! {
                () = turned(&mut stop) => return Ok(None),
                fact = facts.next() => match fact {
                    Some(Ok(fact)) => copies.fact(&fact)?,
                    ended => facts = copies.journal.again(copies.replica.sequence(), ended).await?,
                },
                group = values.next() => match group {
                    Some(Ok(group)) => copies.group(&group)?,
                    ended => values = copies.history.again(copies.copy.sequence(), ended).await?,
                },
                _ = sync.tick() => copies.sync()?,
                _ = retain.tick() => copies.retain()?,
                _ = look.tick() => {
                    self.among(&shared.may, up_to_date && whole && Instant::now() >= self.not_before);
                    let Some(vacant) = shared.view.vacant_for(&self.area) else { continue };
                    if !whole || (!up_to_date && vacant < NOBODY_BETTER) {
                        continue;
                    }
                    let mine = should_take(&shared.view.members(), &shared.member, &self.area, vacant);
                    if !mine || Instant::now() < self.not_before {
                        continue;
                    }
                    match Lease::take(&shared.bucket, &self.area, &shared.member).await {
                        Ok(Some(lease)) => return Ok(Some(lease)),
                        Ok(None) => {}
                        Err(error) => tracing::debug!(area = self.area, %error, "an area was not taken"),
                    }
                }
            }
        }
    }

    async fn serve(
        &mut self,
        site: Site,
        lock: Lock,
        copies: Copies,
        term: String,
        mut lost: watch::Receiver<bool>,
    ) -> Result<Ended, ServingError> {
        self.among(&self.shared.serves, true);
        let (disk, history) = tokio::select! {
            claimed = copies.claim(&self.data, &self.shared.member, &term) => claimed?,
            () = turned(&mut lost) => return Ok(Ended::Failed(LEASE_LOST.into())),
        };
        let open_journal = move || -> Result<Opened, JournalError> {
            Journal::open_locked(lock, Arc::new(disk), Options::new(Durability::Synced))
        };
        let running = Running::start_on(site, None, open_journal, || Ok(history)).await?;
        self.told = None;
        self.tell(|area| Event::Serving {
            area,
            page: running.page(),
            door: running.door(),
            resumed: running.resumed(),
        })
        .await;
        let mut stop = self.shared.stop.clone();
        let (shared, area) = (self.shared.clone(), self.area.clone());
        let begun = Instant::now();
        let ended = tokio::select! {
            error = running.failed() => Ended::Failed(error.to_string()),
            () = turned(&mut lost) => Ended::Failed(LEASE_LOST.into()),
            () = turned(&mut stop) => Ended::Stopped,
            () = too_many(shared, area) => Ended::HandedOn,
        };
        if tokio::time::timeout(STOPPED_WITHIN, running.stop()).await.is_err() {
            tracing::warn!(area = %self.area, "something of it does not stop and is left behind");
        }
        if begun.elapsed() > REST_MAX {
            self.rest = REST_MIN;
        }
        Ok(ended)
    }

    /// Puts the area among those that could be, or are, served here, or takes it away.
    fn among(&self, areas: &Mutex<BTreeSet<String>>, is: bool) {
        let mut areas = areas.lock().unwrap_or_else(PoisonError::into_inner);
        match is {
            true => areas.insert(self.area.clone()),
            false => areas.remove(&self.area),
        };
    }
}

/// Resolves when the other end says so, or is gone.
async fn turned(receiver: &mut watch::Receiver<bool>) {
    if receiver.wait_for(|turned| *turned).await.is_err() {
        tracing::debug!("who would have told is gone");
    }
}

/// Checks a site's file on a thread that may wait.
async fn check(path: PathBuf) -> Result<Site, ServingError> {
    let checked = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || site::check(&path)).await
    };
    match checked {
        Ok(checked) => checked.map_err(|problems| ServingError::Check { path, problems }),
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// What a follower has of an area, and where it comes from.
struct Copies {
    area: String,
    journal: AreaStream,
    replica: Replica,
    history: AreaStream,
    copy: Copy,
}

impl Copies {
    fn fact(&mut self, message: &Message) -> Result<(), ServingError> {
        let sequence = message.sequence;
        let operation = Operation::decode(&message.payload);
        let operation = operation.map_err(|source| ServingError::Malformed { sequence, source })?;
        Ok(block_in_place(|| self.replica.apply(sequence, &operation))?)
    }

    fn group(&mut self, message: &Message) -> Result<(), ServingError> {
        Ok(block_in_place(|| self.copy.apply(message))?)
    }

    fn sync(&mut self) -> Result<(), ServingError> {
        Ok(block_in_place(|| self.replica.sync())?)
    }

    /// Removes values that were kept long enough.
    fn retain(&mut self) -> Result<(), ServingError> {
        Ok(block_in_place(|| self.copy.retain(machine_time()))?)
    }

    /// Reads what is still missing, and claims both streams. Who served before may have written in between: then again.
    async fn claim(
        mut self,
        data: &Path,
        member: &str,
        term: &str,
    ) -> Result<(Mirrored, History), ServingError> {
        for attempt in 1.. {
            self.catch_up().await?;
            if let Some(by) = self.replica.seeding().filter(|by| *by != member) {
                return Err(ServingError::NotWhole { area: self.area.clone(), by: by.to_owned() });
            }
            let journal = mirrored::claim(&self.journal, &mut self.replica, member, term).await;
            match journal {
                Ok(()) => break,
                Err(MirrorError::Publish(PublishError::Fenced { .. })) if attempt < CLAIMS_MAX => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Nobody else records facts any more; the old member may still bring telemetry that is on its way.
        let mut attempt = 0;
        let claimed = loop {
            self.catch_up().await?;
            attempt += 1;
            match copies::claim(&self.history, self.copy.sequence(), term).await {
                Ok(claimed) => break claimed,
                Err(PublishError::Fenced { .. }) if attempt < CLAIMS_MAX => {}
                Err(error) => return Err(MirrorError::from(error).into()),
            }
        };
        self.copy.note();
        let history = self.copy.serve(self.history, term.to_owned(), claimed);
        let disk = Mirrored::new(data, self.journal, self.replica, member, term.to_owned()).await?;
        Ok((disk, history))
    }

    async fn catch_up(&mut self) -> Result<(), ServingError> {
        let (facts_end, values_end) = (self.journal.end().await?, self.history.end().await?);
        if self.replica.sequence() < facts_end.sequence {
            let mut facts = self.journal.after(self.replica.sequence()).await?;
            while self.replica.sequence() < facts_end.sequence
                && let Some(fact) = facts.next().await
            {
                self.fact(&fact?)?;
            }
        }
        self.copy.goes_on(values_end);
        if self.copy.sequence() < values_end.sequence {
            let mut values = self.history.after(self.copy.sequence()).await?;
            while self.copy.sequence() < values_end.sequence
                && let Some(group) = values.next().await
            {
                self.group(&group?)?;
            }
        }
        self.sync()
    }
}

/// Renews a lease until the returned sender is dropped, then gives it back. Tells when it was lost.
fn keep(mut lease: Lease) -> (watch::Receiver<bool>, oneshot::Sender<()>, JoinHandle<()>) {
    let (lost, is_lost) = watch::channel(false);
    let (give_back, mut given_back) = oneshot::channel();
    let kept = tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = &mut given_back => return lease.give_back().await,
                () = sleep(RENEW_PERIOD.min(lease.left())) => {}
            }
            if lease.renew().await == Held::No || lease.left().is_zero() {
                lost.send_replace(true);
                return;
            }
        }
    });
    (is_lost, give_back, kept)
}

/// Resolves when an area should go to a member that serves fewer.
async fn too_many(shared: Shared, area: String) {
    loop {
        sleep(RENEW_PERIOD * 4).await;
        if should_leave(&shared.view.members(), &shared.member).as_ref() == Some(&area) {
            return;
        }
    }
}
