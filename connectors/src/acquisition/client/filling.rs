//! What comes next: lines of the folder's files, or rows of the database, sealed until enough are on their way.

use super::config::{Files, Origin};
use super::progress::Progress;
use super::rejects::{Bad, Rejects};
use super::source::{self, Source};
use super::{AcquireError, Acquisition, Pending, Reading, Summary, WINDOW, at};
#[cfg(feature = "postgres")]
use super::{
    PATIENCE,
    config::Database,
    database::feed::{Came, Feed},
    database::taken::{Taken, Taking},
    session::Down,
};
use std::collections::VecDeque;
use std::fs::File;

impl Reading {
    /// Whether all that was there is read: for files the window tells, for a database a look must have come to its end.
    #[cfg(feature = "postgres")]
    pub(super) fn is_all(&self) -> bool {
        let waits = self.progress.table.as_ref().is_some_and(|table| table.waiting() > 0);
        self.feed.as_ref().is_none_or(|feed| feed.has_ended && !waits)
    }

    /// See above.
    #[cfg(not(feature = "postgres"))]
    pub(super) fn is_all(&self) -> bool {
        true
    }

    /// Ends when there is something to do with the database.
    #[cfg(feature = "postgres")]
    pub(super) async fn woken(&mut self) {
        let waiting = self.progress.table.as_ref().map_or(0, Taken::waiting);
        match &mut self.feed {
            Some(feed) => feed.woken(waiting < WINDOW).await,
            None => std::future::pending().await,
        }
    }

    /// Ends never: there is no database.
    #[cfg(not(feature = "postgres"))]
    pub(super) async fn woken(&mut self) {
        std::future::pending().await
    }
}

impl Acquisition {
    /// Takes up what an earlier run reached.
    pub(super) fn begin(&self) -> Result<Reading, AcquireError> {
        let path = &self.config.progress;
        let lock_path = path.with_extension("lock");
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        lock.try_lock().map_err(|_| AcquireError::Locked { path: path.clone() })?;
        #[cfg_attr(not(feature = "postgres"), allow(unused_mut))]
        let mut progress = Progress::open(path).map_err(at(path))?;
        #[cfg(feature = "postgres")]
        let feed = match &self.config.origin {
            Origin::Files(_) => None,
            Origin::Database(database) => {
                progress.table = Some(self.table(&progress, database)?);
                Some(Feed::new(database, self.database_tls.clone()))
            }
        };
        let reached = progress.reached();
        let is_passed = |name: &str, line| reached.get(name).is_some_and(|reached| line <= *reached);
        let rejects = Rejects::open(&self.config.rejects, is_passed).map_err(at(&self.config.rejects))?;
        Ok(Reading {
            progress,
            rejects,
            cursors: Vec::new(),
            window: VecDeque::new(),
            #[cfg(feature = "postgres")]
            feed,
            _lock: lock,
        })
    }

    /// Seals the next lines until enough are on their way.
    pub(super) fn fill(&mut self, reading: &mut Reading) -> Result<(), AcquireError> {
        match self.config.origin.clone() {
            Origin::Files(files) => self.fill_from_files(&files, reading),
            #[cfg(feature = "postgres")]
            Origin::Database(database) => self.fill_from_rows(&database, reading),
            // `prepare` refuses it.
            #[cfg(not(feature = "postgres"))]
            Origin::Database(_) => Ok(()),
        }
    }

    fn fill_from_files(&mut self, files: &Files, reading: &mut Reading) -> Result<(), AcquireError> {
        if reading.window.is_empty() && source::bytes_left(&reading.cursors) == 0 {
            let now = self.clock.now();
            reading.cursors =
                self.source(files).scan(&mut reading.progress, now).map_err(at(&files.folder))?;
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
        let source = self.source(files);
        let mut next = Vec::new();
        for cursor in &mut reading.cursors {
            while reading.window.len() + next.len() < WINDOW {
                match source.next(cursor).map_err(at(&files.folder))? {
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

    /// Reads all lines or rows without sending or noting anything: what would be sent and what not, and the first that could not
    /// be used, as `file:line: reason`.
    ///
    /// # Errors
    /// A file, or a database, that cannot be read.
    pub async fn look(&mut self, faults_max: usize) -> Result<Vec<String>, AcquireError> {
        let mut progress = Progress::open(&self.config.progress).map_err(at(&self.config.progress))?;
        let mut found = Found { summary: Summary::default(), faults: Vec::new(), faults_max };
        match &self.config.origin {
            Origin::Files(files) => self.look_at_files(files, &mut progress, &mut found)?,
            #[cfg(feature = "postgres")]
            Origin::Database(database) => self.look_at_rows(database, &progress, &mut found).await?,
            #[cfg(not(feature = "postgres"))]
            Origin::Database(_) => {}
        }
        self.summary = found.summary;
        Ok(found.faults)
    }

    fn look_at_files(
        &self,
        files: &Files,
        progress: &mut Progress,
        found: &mut Found,
    ) -> Result<(), AcquireError> {
        let source = self.source(files);
        for mut cursor in source.scan(progress, self.clock.now()).map_err(at(&files.folder))? {
            found.summary.files += 1;
            found.summary.shrunk += usize::from(cursor.shrunk);
            while let Some(batch) = source.next(&mut cursor).map_err(at(&files.folder))? {
                found.add(&batch);
            }
        }
        Ok(())
    }

    fn source<'a>(&'a self, files: &'a Files) -> Source<'a> {
        Source {
            files,
            mapping: &self.mapping,
            pseudonymiser: &self.pseudonymiser,
            batch: self.config.batch,
            files_max: source::FILES_MAX,
        }
    }
}

/// What a look without sending found.
struct Found {
    summary: Summary,
    faults: Vec<String>,
    faults_max: usize,
}

impl Found {
    fn add(&mut self, batch: &source::Batch) {
        self.summary.lines += batch.last + 1 - batch.first;
        self.summary.values += batch.rows.len() as u64;
        self.summary.rejected += batch.bad.len() as u64;
        let room = self.faults_max.saturating_sub(self.faults.len());
        let named = |Bad { line, reason, .. }: &Bad| format!("{}:{line}: {reason}", batch.name);
        self.faults.extend(batch.bad.iter().take(room).map(named));
    }
}

#[cfg(feature = "postgres")]
impl Acquisition {
    fn table(&self, progress: &Progress, database: &Database) -> Result<Taken, AcquireError> {
        let input =
            |reason: String| AcquireError::Input(format!("{}: {reason}", self.config.progress.display()));
        let Some(table) = &progress.table else { return Taken::begin(database).map_err(input) };
        table.is_of(database).map_err(input)?;
        Ok(table.clone())
    }

    fn taking<'a>(&'a self, database: &'a Database) -> Taking<'a> {
        Taking { database, mapping: &self.mapping, batch: self.config.batch }
    }

    /// Numbers what the database brought, notes it, and seals of what is noted as much as may be on its way.
    fn fill_from_rows(&mut self, database: &Database, reading: &mut Reading) -> Result<(), AcquireError> {
        let refused = |reason| AcquireError::Database { address: database.address(), reason };
        let Reading { progress, feed: Some(feed), window, .. } = reading else { return Ok(()) };
        let Some(table) = &mut progress.table else { return Ok(()) };
        match feed.take(table, &self.taking(database), self.config.poll) {
            None => {}
            Some(Came::Refused(reason)) => return Err(refused(reason)),
            Some(Came::Away(reason, since)) => {
                self.summary.database_away += 1;
                if since > PATIENCE && self.once {
                    return Err(refused(format!("nothing came for {} s: {reason}", since.as_secs())));
                }
                tracing::warn!(%reason, database = %database.address(), "the database is away; trying again");
            }
            Some(Came::Rows { new, late, without_key }) => {
                if without_key > self.summary.without_key {
                    let (rows, key) = (database.rows_name(), database.key.join(", "));
                    tracing::warn!(%rows, %key, without_key, "rows with NULL in their key are in no order and are not read");
                }
                self.summary.late += late;
                self.summary.without_key = without_key;
                if new > 0 {
                    // Before anything of it is sent: a number stands for this row from now on.
                    progress.save().map_err(at(&self.config.progress))?;
                }
            }
        }
        let Some(table) = &progress.table else { return Ok(()) };
        let waiting = table.waiting();
        for place in window.len()..WINDOW.min(waiting) {
            let Some(batch) = table.batch(place) else { break };
            let sealed = self.seal(&batch)?;
            window.push_back(Pending { batch, sealed, sent: false, kept: None });
        }
        if waiting < WINDOW {
            feed.ask(table, WINDOW * self.config.batch);
        }
        Ok(())
    }

    async fn look_at_rows(
        &self,
        database: &Database,
        progress: &Progress,
        found: &mut Found,
    ) -> Result<(), AcquireError> {
        let mut table = self.table(progress, database)?;
        let mut feed = Feed::new(database, self.database_tls.clone());
        let taking = self.taking(database);
        loop {
            while let Some(batch) = table.batch(0) {
                found.add(&batch);
                table.is_kept();
            }
            let looked = feed.look(&mut table, &taking, WINDOW * self.config.batch).await;
            let (more, came) = looked.map_err(|down| {
                let (Down::Away(reason) | Down::Refused(reason)) = down;
                AcquireError::Database { address: database.address(), reason }
            })?;
            if let Came::Rows { late, without_key, .. } = came {
                found.summary.late += late;
                found.summary.without_key = without_key;
            }
            if !more && table.waiting() == 0 {
                break;
            }
        }
        if found.summary.without_key > 0 && found.faults.len() < found.faults_max {
            found.faults.push(format!(
                "{}: {} rows have NULL in a column of their key ({}); they are in no order and are not read",
                database.rows_name(),
                found.summary.without_key,
                database.key.join(", ")
            ));
        }
        Ok(())
    }
}
