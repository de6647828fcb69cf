//! Rows of a database in place of lines of files.
//!
//! A line of a file has a name that lasts: file and number. A row has none: rows come between others and are deleted. So a row is
//! given its number here, once, and number and value are noted in the progress file (`taken`) before they are sent. After a crash
//! the same values go under the same numbers, whatever became of the table.
//!
//! * `config`: the settings; `taken`: which rows were taken, and what of them is on its way;
//! * `sql`: the words for the server; `reader`: its connection, one page at a time; `feed`: when the next page is asked for.

pub(super) mod config;
#[cfg(feature = "postgres")]
pub(super) mod feed;
#[cfg(feature = "postgres")]
mod reader;
#[cfg(feature = "postgres")]
mod sql;
#[cfg(feature = "postgres")]
pub(super) mod taken;
#[cfg(all(test, feature = "postgres"))]
mod tests;
