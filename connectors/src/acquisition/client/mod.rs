//! The operator's side: reads files, replaces private ids, seals and signs, sends, and notes what the platform has.
//!
//! There is one way through: what was reached is read from the progress file, lines after it are sent, and when the platform
//! proves that it keeps them, progress goes on. A crash, a broken connection and a platform that restarts all lead to the
//! beginning of this way. Lines that are sent twice by it count once: the platform knows them by file and number.

mod config;
mod line;
mod progress;
mod rejects;
mod session;
mod source;
#[cfg(test)]
mod tests;

use super::envelope::{self, Header, Receipt, SCHEMA, Sealed};
use super::keys::{PlatformPublic, SigningKey, SiteKey};
use super::mapping::Mapping;
use super::pseudonym::Pseudonymiser;
use super::{envelope_topic, receipt_topic};
pub use config::{AcquireConfig, ConfigError, Files, Platform};
use grid::Clock;
pub(crate) use line::read_all as read_lines;
use progress::Progress;
use rejects::Rejects;
use rustls::ClientConfig;
use serde::Serialize;
use session::{Down, Session};
use source::{Batch, Cursor, Source};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;

/// Envelopes on their way.
const WINDOW: usize = 8;
/// How long a receipt may take before the envelopes are sent again.
const RECEIPT_WITHIN: Duration = Duration::from_secs(30);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// With `once`: how long it may go without anything getting through.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why acquisition ended before it was done.
#[derive(Debug, Error)]
pub enum AcquireError {
    /// Settings, keys or tables.
    #[error("{0}")]
    Input(String),
    /// A file of ours or of the historian.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// Another process does the same.
    #[error("{}: another gridflex acquire uses this progress file", path.display())]
    Locked {
        /// The progress file.
        path: PathBuf,
    },
    /// The platform does not let us in, or cannot be trusted.
    #[error("{address}: {reason}")]
    Refused {
        /// `host:port`.
        address: String,
        /// What was said.
        reason: String,
    },
    /// The platform refuses an envelope.
    #[error(
        "the platform refuses lines {first} to {last} of {file} ({code}): {reason}; nothing from there on counts as sent"
    )]
    Envelope {
        /// Name of the file.
        file: String,
        /// First line.
        first: u64,
        /// Last line.
        last: u64,
        /// The class.
        code: String,
        /// The platform's words.
        reason: String,
    },
    /// Nothing got through for too long.
    #[error("{address}: nothing got through for {} s: {reason}", PATIENCE.as_secs())]
    Away {
        /// `host:port`.
        address: String,
        /// What happened last.
        reason: String,
    },
}

/// What was done, in numbers that only grow.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Files looked at last.
    pub files: usize,
    /// Lines that the platform has since the start, those without a value included.
    pub lines: u64,
    /// Values sent with them.
    pub values: u64,
    /// Lines that could not be used; they stand in the rejects file.
    pub rejected: u64,
    /// Values that the platform has no point for, or could not use.
    pub unused: u64,
    /// Envelopes that the platform has.
    pub envelopes: u64,
    /// Files that are shorter than what was read of them; they are not read on.
    pub shrunk: usize,
    /// Connections that broke.
    pub broken: u64,
    /// Bytes of files not read yet.
    pub bytes_left: u64,
}

/// The operator's side, ready to start.
pub struct Acquisition {
    config: AcquireConfig,
    pseudonymiser: Pseudonymiser,
    mapping: Mapping,
    signing: SigningKey,
    purpose: String,
    platform: PlatformPublic,
    tls: Option<Arc<ClientConfig>>,
    clock: Arc<dyn Clock>,
    /// Counts.
    pub summary: Summary,
}

/// One envelope on its way.
struct Pending {
    batch: Batch,
    sealed: Sealed,
    sent: bool,
    kept: Option<u64>,
}

/// What there is to go on with.
struct Reading {
    progress: Progress,
    rejects: Rejects,
    cursors: Vec<Cursor>,
    window: VecDeque<Pending>,
    _lock: File,
}

impl Acquisition {
    /// Reads everything that the settings name.
    ///
    /// # Errors
    /// [`AcquireError::Input`] names the file.
    pub fn prepare(config: AcquireConfig, clock: Arc<dyn Clock>) -> Result<Self, AcquireError> {
        let input = |error: &dyn std::fmt::Display| AcquireError::Input(error.to_string());
        let site = SiteKey::read(&config.site_key).map_err(|error| input(&error))?;
        let signing = SigningKey::read(&config.signing_key).map_err(|error| input(&error))?;
        let platform = PlatformPublic::read(&config.platform.key).map_err(|error| input(&error))?;
        if site.recipient != platform.name {
            let reason = format!(
                "{}: the site key makes pseudonyms for {}, and the platform is {}; each recipient needs its own",
                config.site_key.display(),
                site.recipient,
                platform.name
            );
            return Err(AcquireError::Input(reason));
        }
        let pseudonymiser = Pseudonymiser::new(&site);
        let mapping = Mapping::read(&config.mapping, &pseudonymiser).map_err(|error| input(&error))?;
        source::is_folder(&config.files.folder)
            .map_err(|source| AcquireError::File { path: config.files.folder.clone(), source })?;
        let tls = config.platform.authority.as_deref().map(session::tls).transpose();
        let tls = tls.map_err(AcquireError::Input)?;
        let purpose = site.purpose;
        let summary = Summary::default();
        Ok(Self { config, pseudonymiser, mapping, signing, purpose, platform, tls, clock, summary })
    }

    /// The operator's table with its pseudonyms.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Reads all lines without sending or noting anything: what would be sent and what not, and the first lines that could not
    /// be used, as `file:line: reason`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn look(&mut self, faults_max: usize) -> Result<Vec<String>, AcquireError> {
        let mut progress = Progress::open(&self.config.progress).map_err(at(&self.config.progress))?;
        let folder = self.config.files.folder.clone();
        let mut faults = Vec::new();
        let mut summary = Summary::default();
        let source = self.source();
        for mut cursor in source.scan(&mut progress, self.clock.now()).map_err(at(&folder))? {
            summary.files += 1;
            summary.shrunk += usize::from(cursor.shrunk);
            while let Some(batch) = source.next(&mut cursor).map_err(at(&folder))? {
                summary.lines += batch.last + 1 - batch.first;
                summary.values += batch.rows.len() as u64;
                summary.rejected += batch.bad.len() as u64;
                let room = faults_max.saturating_sub(faults.len());
                let named = batch.bad.iter().take(room);
                faults.extend(named.map(|bad| format!("{}:{}: {}", batch.name, bad.line, bad.reason)));
            }
        }
        self.summary = summary;
        Ok(faults)
    }

    fn source(&self) -> Source<'_> {
        Source {
            files: &self.config.files,
            mapping: &self.mapping,
            pseudonymiser: &self.pseudonymiser,
            batch: self.config.batch,
            files_max: source::FILES_MAX,
        }
    }

    fn address(&self) -> String {
        format!("{}:{}", self.config.platform.host, self.config.platform.port)
    }

    /// Sends what is there and what comes; with `once` it ends when the platform has all that was there. `told` hears of every
    /// step.
    ///
    /// # Errors
    /// [`AcquireError`]; the progress file says what the platform has, whatever the error.
    pub async fn run(&mut self, once: bool, mut told: impl FnMut(&Summary)) -> Result<(), AcquireError> {
        let mut reading = self.begin()?;
        let (mut backoff, mut got_through) = (BACKOFF_MIN, Instant::now());
        loop {
            let before = self.summary.envelopes;
            let down = match self.connection(&mut reading, once, &mut told).await? {
                None => return Ok(()),
                Some(down) => down,
            };
            // From the progress file on, as after a crash.
            self.summary.broken += 1;
            reading.window.clear();
            reading.cursors.clear();
            if self.summary.envelopes > before {
                (backoff, got_through) = (BACKOFF_MIN, Instant::now());
            }
            let reason = match down {
                Down::Refused(reason) => {
                    return Err(AcquireError::Refused { address: self.address(), reason });
                }
                Down::Away(reason) => reason,
            };
            if once && got_through.elapsed() > PATIENCE {
                return Err(AcquireError::Away { address: self.address(), reason });
            }
            tracing::warn!(%reason, platform = %self.address(), "the platform is away; trying again");
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    fn begin(&self) -> Result<Reading, AcquireError> {
        let path = &self.config.progress;
        let lock_path = path.with_extension("lock");
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        lock.try_lock().map_err(|_| AcquireError::Locked { path: path.clone() })?;
        let progress = Progress::open(path).map_err(at(path))?;
        let reached: BTreeMap<String, u64> =
            progress.files.iter().map(|reached| (reached.file.clone(), reached.line)).collect();
        let is_passed = |name: &str, line| reached.get(name).is_some_and(|reached| line <= *reached);
        let rejects = Rejects::open(&self.config.rejects, is_passed).map_err(at(&self.config.rejects))?;
        Ok(Reading { progress, rejects, cursors: Vec::new(), window: VecDeque::new(), _lock: lock })
    }

    /// One connection: `None` when all is done, else why it ended.
    async fn connection(
        &mut self,
        reading: &mut Reading,
        once: bool,
        told: &mut impl FnMut(&Summary),
    ) -> Result<Option<Down>, AcquireError> {
        let platform = &self.config.platform;
        let sender = self.signing.sender.clone();
        let client_id = platform.client_id.clone().unwrap_or(sender.clone());
        let receipts = receipt_topic(&platform.area, &sender);
        let topic = envelope_topic(&platform.area, &sender);
        let mut session = match Session::open(platform, &client_id, self.tls.as_ref(), &receipts).await {
            Ok(session) => session,
            Err(down) => return Ok(Some(down)),
        };
        loop {
            self.fill(reading)?;
            told(&self.summary);
            if reading.window.is_empty() && once {
                session.close().await;
                return Ok(None);
            }
            for pending in reading.window.iter_mut().filter(|pending| !pending.sent) {
                pending.sent = true;
                if let Err(down) = session.publish(&topic, pending.sealed.bytes.clone()).await {
                    return Ok(Some(down));
                }
            }
            let wait = if reading.window.is_empty() { self.config.poll } else { RECEIPT_WITHIN };
            match session.receipt(wait).await {
                Err(down) => return Ok(Some(down)),
                Ok(Some(receipt)) => self.on_receipt(&receipt, reading)?,
                Ok(None) if reading.window.is_empty() => {}
                Ok(None) => {
                    let reason = format!(
                        "no receipt within {} s; does the platform know sender {sender}?",
                        RECEIPT_WITHIN.as_secs()
                    );
                    return Ok(Some(Down::Away(reason)));
                }
            }
        }
    }

    /// Seals the next lines until enough are on their way.
    fn fill(&mut self, reading: &mut Reading) -> Result<(), AcquireError> {
        let folder = self.config.files.folder.clone();
        if reading.window.is_empty() && source::bytes_left(&reading.cursors) == 0 {
            let now = self.clock.now();
            reading.cursors = self.source().scan(&mut reading.progress, now).map_err(at(&folder))?;
            let shrunk: Vec<_> = reading.cursors.iter().filter(|cursor| cursor.shrunk).collect();
            if shrunk.len() > self.summary.shrunk {
                let files: Vec<_> = shrunk.iter().map(|cursor| cursor.name.as_str()).collect();
                tracing::warn!(
                    ?files,
                    "shorter than what was read of them; they are not read on. Give new content a new name"
                );
            }
            (self.summary.files, self.summary.shrunk) = (reading.cursors.len(), shrunk.len());
        }
        let source = self.source();
        let mut next = Vec::new();
        for cursor in &mut reading.cursors {
            while reading.window.len() + next.len() < WINDOW {
                match source.next(cursor).map_err(at(&folder))? {
                    Some(batch) => next.push(batch),
                    None => {
                        // The rest is half a line, or the file is gone: the next look at the folder decides.
                        cursor.rest();
                        break;
                    }
                }
            }
        }
        for batch in next {
            let sealed = self.seal(&batch)?;
            reading.window.push_back(Pending { batch, sealed, sent: false, kept: None });
        }
        self.summary.bytes_left = source::bytes_left(&reading.cursors);
        Ok(())
    }

    fn seal(&self, batch: &Batch) -> Result<Sealed, AcquireError> {
        let header = Header {
            sender: self.signing.sender.clone(),
            recipient: self.platform.id(),
            purpose: self.purpose.clone(),
            schema: SCHEMA.to_owned(),
            file: batch.file,
            first: batch.first,
            last: batch.last,
            at: self.clock.now(),
        };
        envelope::seal(&header, &batch.rows, &self.signing, &self.platform)
            .map_err(|error| AcquireError::Input(error.to_string()))
    }

    fn on_receipt(&mut self, receipt: &[u8], reading: &mut Reading) -> Result<(), AcquireError> {
        let Ok(receipt) = serde_json::from_slice::<Receipt>(receipt) else {
            tracing::warn!("something that is no receipt came on the topic of receipts");
            return Ok(());
        };
        match receipt {
            Receipt::Kept { envelope, unused, proof } => {
                let pending = reading.window.iter_mut().find(|pending| pending.sealed.id == envelope);
                match pending {
                    Some(pending) if pending.sealed.is_kept_by(unused, &proof) => pending.kept = Some(unused),
                    Some(_) => {
                        tracing::error!("a receipt without proof: somebody pretends to be the platform")
                    }
                    // Of an earlier connection.
                    None => {}
                }
            }
            Receipt::Refused { envelope, code, reason } => {
                if let Some(Pending { batch, .. }) =
                    reading.window.iter().find(|one| one.sealed.id == envelope)
                {
                    let (file, first, last) = (batch.name.clone(), batch.first, batch.last);
                    return Err(AcquireError::Envelope { file, first, last, code, reason });
                }
            }
        }
        self.commit(reading)
    }

    /// Notes what the platform has, as far as nothing before it is missing.
    fn commit(&mut self, reading: &mut Reading) -> Result<(), AcquireError> {
        let mut any = false;
        while let Some(unused) = reading.window.front().and_then(|pending| pending.kept) {
            let Some(Pending { batch, .. }) = reading.window.pop_front() else { break };
            reading.rejects.write(&batch.name, &batch.bad).map_err(at(&self.config.rejects))?;
            if let Some(reached) = reading.progress.files.iter_mut().find(|reached| reached.id == batch.file)
            {
                (reached.line, reached.offset) = (batch.last, batch.offset);
            }
            any = true;
            let summary = &mut self.summary;
            summary.envelopes += 1;
            summary.lines += batch.last + 1 - batch.first;
            summary.values += batch.rows.len() as u64;
            summary.rejected += batch.bad.len() as u64;
            summary.unused += unused;
        }
        if any {
            reading.progress.save().map_err(at(&self.config.progress))?;
        }
        Ok(())
    }
}

fn at(path: &std::path::Path) -> impl Fn(std::io::Error) -> AcquireError + '_ {
    move |source| AcquireError::File { path: path.to_owned(), source }
}
