//! The operator's side: reads files or a database, replaces private ids, seals and signs, sends, and notes what the platform has.
//!
//! There is one way through: what was reached is read from the progress file, lines after it are sent, and when the platform
//! proves that it keeps them, progress goes on. A crash, a broken connection and a platform that restarts all lead to the
//! beginning of this way. Lines that are sent twice by it count once: the platform knows them by file and number.

mod config;
mod database;
mod filling;
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
pub use config::{AcquireConfig, ConfigError, Database, Files, Origin, Password, Platform, Rows};
use grid::Clock;
pub(crate) use line::read_all as read_lines;
use progress::Progress;
use rejects::Rejects;
use rustls::ClientConfig;
use serde::Serialize;
use session::{Down, Heard, Session};
use source::{Batch, Cursor};
use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
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
    /// Rows of the database cannot be read.
    #[error("database {address}: {reason}")]
    Database {
        /// `host:port/name`.
        address: String,
        /// What is wrong.
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

/// What was done, in numbers that only grow. Lines are rows when a database is read.
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
    /// Rows that came after rows with greater keys; they count among the others, too.
    pub late: u64,
    /// Rows whose key is NULL, when last counted: they are in no order and cannot be read.
    pub without_key: u64,
    /// Pages of the database that could not be had.
    pub database_away: u64,
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
    /// For the database.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code))]
    database_tls: Option<Arc<ClientConfig>>,
    clock: Arc<dyn Clock>,
    /// Whether it ends when the platform has all that was there.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code))]
    once: bool,
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
    /// Of a database.
    #[cfg(feature = "postgres")]
    feed: Option<database::feed::Feed>,
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
        let authority = match &config.origin {
            Origin::Files(files) => {
                source::is_folder(&files.folder).map_err(at(&files.folder))?;
                None
            }
            Origin::Database(_) if cfg!(not(feature = "postgres")) => {
                return Err(AcquireError::Input(
                    "this gridflex was built without databases: `cargo build --features postgres`".to_owned(),
                ));
            }
            Origin::Database(database) => database.authority.as_deref(),
        };
        let tls =
            |authority: Option<&Path>| authority.map(session::tls).transpose().map_err(AcquireError::Input);
        let (tls, database_tls) = (tls(config.platform.authority.as_deref())?, tls(authority)?);
        let purpose = site.purpose;
        let summary = Summary::default();
        Ok(Self {
            config,
            pseudonymiser,
            mapping,
            signing,
            purpose,
            platform,
            tls,
            database_tls,
            clock,
            once: false,
            summary,
        })
    }

    /// The operator's table with its pseudonyms.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Where the values are.
    pub fn origin(&self) -> &Origin {
        &self.config.origin
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
        self.once = once;
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
        let mut receipt_by = Instant::now() + RECEIPT_WITHIN;
        loop {
            self.fill(reading)?;
            told(&self.summary);
            if reading.window.is_empty() && once && reading.is_all() {
                session.close().await;
                return Ok(None);
            }
            for pending in reading.window.iter_mut().filter(|pending| !pending.sent) {
                pending.sent = true;
                receipt_by = receipt_by.max(Instant::now() + RECEIPT_WITHIN);
                if let Err(down) = session.publish(&topic, pending.sealed.bytes.clone()).await {
                    return Ok(Some(down));
                }
            }
            let is_idle = reading.window.is_empty();
            let until = if is_idle { Instant::now() + self.config.poll } else { receipt_by };
            match session.receipt(until, reading.woken()).await {
                Err(down) => return Ok(Some(down)),
                Ok(Heard::Receipt(receipt)) => {
                    receipt_by = Instant::now() + RECEIPT_WITHIN;
                    self.on_receipt(&receipt, reading)?;
                }
                Ok(Heard::Woken) => {}
                Ok(Heard::Nothing) if is_idle => {}
                Ok(Heard::Nothing) => {
                    let reason = format!(
                        "no receipt within {} s; does the platform know sender {sender}?",
                        RECEIPT_WITHIN.as_secs()
                    );
                    return Ok(Some(Down::Away(reason)));
                }
            }
        }
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
            reading.progress.is_kept(&batch);
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

fn at(path: &Path) -> impl Fn(std::io::Error) -> AcquireError + '_ {
    move |source| AcquireError::File { path: path.to_owned(), source }
}
