//! When the next page is asked for. The database is asked beside the connection to the platform: while one is slow or away the
//! other goes on, as far as there is room for what waits.

use super::super::session::Down;
use super::config::Database;
use super::reader::{Ask, Reader};
use super::taken::{Brought, Key, Page, Taken, Taking};
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

type Answer = (Reader, Result<Page, Down>);

pub(in super::super) struct Feed {
    database: Database,
    tls: Option<Arc<ClientConfig>>,
    /// Away while it reads.
    reader: Option<Reader>,
    asked: Option<JoinHandle<Answer>>,
    answer: Option<Result<Answer, JoinError>>,
    /// Not before then.
    due: Instant,
    backoff: Duration,
    /// Where the look at the table goes on; at its beginning nothing.
    from: Option<Key>,
    /// Whether a look came to the end of the table since the start.
    pub(in super::super) has_ended: bool,
    /// Since when nothing comes.
    away: Option<Instant>,
    without_key: u64,
}

/// What happened when an answer came.
pub(in super::super) enum Came {
    /// New rows, of which some were late; `without_key` rows cannot be read.
    Rows {
        /// Not seen before.
        new: u64,
        /// Those of them that came after rows with greater keys.
        late: u64,
        /// Of the whole table, when last counted.
        without_key: u64,
    },
    /// The database is away, for so long.
    Away(String, Duration),
    /// Somebody has to change something.
    Refused(String),
}

impl Feed {
    pub(in super::super) fn new(database: &Database, tls: Option<Arc<ClientConfig>>) -> Self {
        Self {
            database: database.clone(),
            tls,
            reader: None,
            asked: None,
            answer: None,
            due: Instant::now(),
            backoff: BACKOFF_MIN,
            from: None,
            has_ended: false,
            away: None,
            without_key: 0,
        }
    }

    /// Asks for the next page when it is time, with room for so many new rows.
    pub(in super::super) fn ask(&mut self, taken: &Taken, room: usize) {
        if self.asked.is_some() || self.answer.is_some() || Instant::now() < self.due {
            return;
        }
        let ask = self.next(taken, room);
        let mut reader =
            self.reader.take().unwrap_or_else(|| Reader::new(self.database.clone(), self.tls.clone()));
        self.asked = Some(tokio::spawn(async move {
            let page = reader.page(&ask).await;
            (reader, page)
        }));
    }

    /// The rows that are looked at again, and room for new ones.
    fn next(&self, taken: &Taken, room: usize) -> Ask {
        let ends =
            taken.ends().map(|(first, last)| (self.from.as_ref().unwrap_or(first).clone(), last.clone()));
        let again = if self.from.is_some() { 1 } else { self.database.look_back };
        Ask { ends, limit: again + room.max(1) }
    }

    /// Ends when there is something to do: an answer, or the time to ask. Cancelling loses nothing.
    pub(in super::super) async fn woken(&mut self, has_room: bool) {
        match &mut self.asked {
            Some(asked) => {
                self.answer = Some(asked.await);
                self.asked = None;
            }
            None if has_room => sleep_until(self.due).await,
            None => std::future::pending().await,
        }
    }

    /// Takes the rows of an answer, if one came.
    pub(in super::super) fn take(
        &mut self,
        taken: &mut Taken,
        taking: &Taking<'_>,
        poll: Duration,
    ) -> Option<Came> {
        let (page, now) = (self.answer.take()?, Instant::now());
        let page = match page {
            Ok((reader, page)) => {
                self.without_key = reader.without_key;
                self.reader = Some(reader);
                page
            }
            Err(error) => Err(Down::Away(error.to_string())),
        };
        match page {
            Err(Down::Refused(reason)) => Some(Came::Refused(reason)),
            Err(Down::Away(reason)) => {
                let since = *self.away.get_or_insert(now);
                // What was seen of the look is noted; it begins anew.
                self.from = None;
                self.due = now + self.backoff;
                self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
                Some(Came::Away(reason, now.duration_since(since)))
            }
            Ok(page) => {
                (self.away, self.backoff) = (None, BACKOFF_MIN);
                let Brought { new, late } = match taken.take(&page, self.from.as_ref(), taking) {
                    Ok(brought) => brought,
                    Err(reason) => return Some(Came::Refused(reason)),
                };
                match page.rows.last().filter(|_| page.is_full) {
                    Some(last) => (self.from, self.due) = (Some(last.key.clone()), now),
                    None => (self.from, self.due, self.has_ended) = (None, now + poll, true),
                }
                Some(Came::Rows { new, late, without_key: self.without_key })
            }
        }
    }

    /// Reads the next page and takes it, without the platform: for a look at what there is. Whether there may be more.
    ///
    /// # Errors
    /// What [`Reader::page`] and [`Taken::take`] say.
    pub(in super::super) async fn look(
        &mut self,
        taken: &mut Taken,
        taking: &Taking<'_>,
        room: usize,
    ) -> Result<(bool, Came), Down> {
        let mut reader =
            self.reader.take().unwrap_or_else(|| Reader::new(self.database.clone(), self.tls.clone()));
        let page = reader.page(&self.next(taken, room)).await?;
        let brought = taken.take(&page, self.from.as_ref(), taking).map_err(Down::Refused)?;
        self.from = page.rows.last().filter(|_| page.is_full).map(|last| last.key.clone());
        let came = Came::Rows { new: brought.new, late: brought.late, without_key: reader.without_key };
        self.reader = Some(reader);
        Ok((self.from.is_some(), came))
    }
}
