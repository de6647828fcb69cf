//! Which rows were taken, and what of them is on its way: the part of the progress file that a database needs.
//!
//! ```text
//!   rows by key   … 95 96 97 98 99 100 │ 101 102 …        recent: the last keys seen; a look begins again at the first of them,
//!                   └──── recent ────┘   not seen yet      and what is not among them is new, also between the others
//!
//!   numbers       … 881 … 940 │ 941 … 1100 │              line: the platform has; taken: has a number; waiting: what lies between
//! ```
//!
//! Keys are compared with each other by the database alone; here only whether two are the same.

use super::super::line::{number, time_of};
use super::super::rejects::Bad;
use super::super::source::Batch;
use super::config::Database;
use crate::acquisition::keys::Digest128;
use crate::acquisition::mapping::Mapping;
use crate::acquisition::row::Row;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};

/// Longest text taken of a field, characters; the server is asked for one more.
pub(super) const TEXT_CHARS_MAX: usize = 256;

/// The key of a row: its columns as PostgreSQL writes them.
pub(super) type Key = Vec<String>;

/// A row as it came, still with its private id.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) key: Key,
    /// Private id, time, value.
    pub(super) fields: [Option<String>; 3],
    /// After all that were seen before, says the database.
    pub(super) is_after: bool,
}

/// Neighbouring rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Page {
    pub(super) rows: Vec<Seen>,
    /// As many as were asked for: there may be more.
    pub(super) is_full: bool,
}

/// What is known besides rows.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Taking<'a> {
    pub(in super::super) database: &'a Database,
    pub(in super::super) mapping: &'a Mapping,
    /// Rows in one envelope.
    pub(in super::super) batch: usize,
}

/// How far a table came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Taken {
    /// What it is of, [`Database::identity`].
    of: String,
    /// For people.
    pub(in super::super) name: String,
    /// Stands for the file in envelopes. Drawn at the beginning: numbers that are given anew must not be taken for the old ones.
    pub(in super::super) id: Digest128,
    /// Rows that the platform has.
    pub(in super::super) line: u64,
    /// Rows that have a number.
    taken: u64,
    /// The last keys that were seen, in the order of the database.
    recent: Vec<Key>,
    /// Numbered, and not with the platform yet.
    waiting: VecDeque<Waiting>,
}

/// Rows of one envelope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiting {
    first: u64,
    last: u64,
    rows: Vec<Row>,
    bad: Vec<Bad>,
}

/// What a page brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Brought {
    /// Rows that were not seen before.
    pub(super) new: u64,
    /// Those of them that came after rows with greater keys.
    pub(super) late: u64,
}

impl Taken {
    /// Nothing was taken yet.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub(in super::super) fn begin(database: &Database) -> Result<Self, String> {
        let mut id = [0; 16];
        let filled = SystemRandom::new().fill(&mut id);
        filled.map_err(|_| "the operating system gives no random bytes".to_owned())?;
        Ok(Self {
            of: database.identity(),
            name: database.rows_name(),
            id: Digest128(id),
            line: 0,
            taken: 0,
            recent: Vec::new(),
            waiting: VecDeque::new(),
        })
    }

    /// Whether it is of this database.
    ///
    /// # Errors
    /// What it is of, and what to do.
    pub(in super::super) fn is_of(&self, database: &Database) -> Result<(), String> {
        match self.of == database.identity() {
            true => Ok(()),
            false => Err(format!(
                "the progress is that of {}, and the settings name {}: give them a progress file of their own",
                self.of,
                database.identity()
            )),
        }
    }

    /// Where a look begins, and after which key a row comes as it should; nothing before the first row.
    pub(super) fn ends(&self) -> Option<(&Key, &Key)> {
        Some((self.recent.first()?, self.recent.last()?))
    }

    /// Envelopes that wait.
    pub(in super::super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The envelope at a place among those that wait.
    pub(in super::super) fn batch(&self, place: usize) -> Option<Batch> {
        let Waiting { first, last, rows, bad } = self.waiting.get(place)?.clone();
        Some(Batch { name: self.name.clone(), file: self.id, first, last, offset: 0, rows, bad })
    }

    /// The platform has the first that waits.
    pub(in super::super) fn is_kept(&mut self) {
        if let Some(kept) = self.waiting.pop_front() {
            self.line = kept.last;
        }
    }

    /// Gives numbers to what is new in a page. `from`: the key that it begins with, when it goes on inside a look.
    ///
    /// # Errors
    /// When rows cannot be told apart by their keys; then nothing of the page is taken.
    pub(super) fn take(
        &mut self,
        page: &Page,
        from: Option<&Key>,
        taking: &Taking<'_>,
    ) -> Result<Brought, String> {
        self.are_unlike(page, taking)?;
        let known: BTreeSet<&Key> = self.recent.iter().collect();
        let fresh: Vec<&Seen> = page.rows.iter().filter(|seen| !known.contains(&seen.key)).collect();
        let late = fresh.iter().filter(|seen| !seen.is_after).count() as u64;
        for piece in fresh.chunks(taking.batch.max(1)) {
            let first = self.taken + 1;
            let (mut rows, mut bad) = (Vec::new(), Vec::new());
            for seen in piece {
                self.taken += 1;
                match row(self.taken, seen, taking) {
                    Ok(row) => rows.push(row),
                    Err(reason) => bad.push(Bad { line: self.taken, reason, text: seen.text() }),
                }
            }
            self.waiting.push_back(Waiting { first, last: self.taken, rows, bad });
        }
        let new = fresh.len() as u64;
        self.remember(page, from, taking.database.look_back);
        Ok(Brought { new, late })
    }

    /// Equal keys stand beside each other, and a page begins with the last key of the one before.
    fn are_unlike(&self, page: &Page, taking: &Taking<'_>) -> Result<(), String> {
        let same = page.rows.windows(2).find_map(|two| match two {
            [a, b] if a.key == b.key => Some(a),
            _ => None,
        });
        if let Some(seen) = same {
            return Err(format!(
                "{}: two rows with the key {}; a row counts once by its key, so let database.key name columns that are together \
                 unlike in every row",
                self.name,
                seen.key_text(&taking.database.key)
            ));
        }
        let long = |seen: &&Seen| seen.key.iter().any(|part| part.chars().count() > TEXT_CHARS_MAX);
        match page.rows.iter().find(long) {
            None => Ok(()),
            Some(_) => Err(format!("{}: a key of more than {TEXT_CHARS_MAX} characters", self.name)),
        }
    }

    /// Keeps the last keys in the order of the database. What was seen and is not in the page was deleted, or comes after it.
    fn remember(&mut self, page: &Page, from: Option<&Key>, look_back: usize) {
        let place = from.and_then(|from| self.recent.iter().position(|key| key == from)).unwrap_or(0);
        let in_page: BTreeSet<&Key> = page.rows.iter().map(|seen| &seen.key).collect();
        let rest = self.recent.split_off(place);
        let rest = rest.into_iter().filter(|key| !in_page.contains(key));
        let keys = page.rows.iter().map(|seen| seen.key.clone());
        if page.is_full && page.rows.last().is_some_and(|seen| !seen.is_after) {
            // It ended among rows that were seen before: some of the rest come after it, and the look goes on.
            self.recent.extend(keys.chain(rest));
            return;
        }
        self.recent.extend(rest.chain(keys));
        let too_many = self.recent.len().saturating_sub(look_back);
        self.recent.drain(..too_many);
    }
}

impl Seen {
    fn key_text(&self, columns: &[String]) -> String {
        let parts = columns.iter().zip(&self.key).map(|(column, part)| format!("{column} = {part}"));
        parts.collect::<Vec<_>>().join(", ")
    }

    fn text(&self) -> String {
        let fields = self.fields.iter().map(|field| field.as_deref().unwrap_or("NULL"));
        fields.collect::<Vec<_>>().join(",")
    }
}

/// What a row says.
///
/// # Errors
/// What is wrong with it, with its key and the column.
fn row(line: u64, seen: &Seen, taking: &Taking<'_>) -> Result<Row, String> {
    let Taking { database, mapping, .. } = taking;
    let wrong = |reason: String| format!("row {}: {reason}", seen.key_text(&database.key));
    let in_column = |place: usize, reason: &str| {
        let name = database.columns.get(place).map_or("", String::as_str);
        wrong(format!("column {name:?} {reason}"))
    };
    let field = |place: usize| match seen.fields.get(place).and_then(Option::as_deref) {
        None => Err(in_column(place, "is NULL")),
        Some(text) if text.chars().count() > TEXT_CHARS_MAX => {
            Err(in_column(place, &format!("has more than {TEXT_CHARS_MAX} characters")))
        }
        Some(text) if text.trim().is_empty() => Err(in_column(place, "is empty")),
        Some(text) => Ok(text.trim()),
    };
    let (private_id, time, value) = (field(0)?, field(1)?, field(2)?);
    let observed_at = time_of(time, &database.zone).map_err(|reason| in_column(1, &format!(": {reason}")))?;
    let value = number(value, '.').map_err(|reason| in_column(2, &format!(": {reason}")))?;
    let pseudonym = mapping.pseudonym(private_id);
    let pseudonym = pseudonym.ok_or_else(|| wrong("its device_id is not in the mapping".to_owned()))?;
    Ok(Row { line, pseudonym, observed_at, value })
}
