//! The words for the server. Every column is asked for as text of bounded length, so that a page is bounded whatever is in the
//! table, and one reader reads them all.

use super::config::{Database, Rows};
use super::taken::TEXT_CHARS_MAX;
use tokio_postgres::types::{Kind, Type};

/// Said once for each connection: what text looks like, and that nothing is written.
pub(super) fn settings(database: &Database) -> String {
    let timeout = database.timeout.as_millis();
    format!(
        "SET default_transaction_read_only = on; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; \
         SET extra_float_digits = 1; SET standard_conforming_strings = on; SET statement_timeout = {timeout}; \
         SET lock_timeout = {timeout}; SET idle_in_transaction_session_timeout = {timeout}"
    )
}

/// Tells the columns.
pub(super) fn describe(database: &Database) -> String {
    format!("SELECT * FROM {} LIMIT 0", from(database))
}

/// Rows that have no key: nothing comes before or after them, so that no page has them.
pub(super) fn without_key(database: &Database, most: u64) -> String {
    let nulls: Vec<String> =
        database.key.iter().map(|column| format!("{} IS NULL", quoted(column))).collect();
    let (from, nulls) = (from(database), nulls.join(" OR "));
    format!("SELECT count(*) FROM (SELECT 1 FROM {from} WHERE {nulls} LIMIT {most}) AS without_key")
}

/// A page: the three fields, the key, and whether the row comes after the last one seen. Parameters, when `goes_on`: the key to
/// begin with, the last key seen, each column as text.
pub(super) fn page(database: &Database, casts: &[&str], goes_on: bool, limit: usize) -> String {
    let limited = |column: &String| format!("left({}::text, {})", quoted(column), TEXT_CHARS_MAX + 1);
    let mut wanted: Vec<String> = database.columns.iter().chain(&database.key).map(limited).collect();
    let key: Vec<String> = database.key.iter().map(|column| quoted(column)).collect();
    // A comparison of several columns is decided by the first that differ: a NULL behind them would pass.
    let has_key: Vec<String> = key.iter().map(|column| format!("{column} IS NOT NULL")).collect();
    let (key, has_key) = (key.join(", "), has_key.join(" AND "));
    let given = |begin: usize| {
        let parts = casts.iter().enumerate();
        parts.map(|(place, cast)| format!("${}::text::{cast}", begin + place)).collect::<Vec<_>>().join(", ")
    };
    let from = from(database);
    let (after, begin) = match goes_on {
        true => {
            (format!("({key}) > ({})", given(1 + casts.len())), format!(" AND ({key}) >= ({})", given(1)))
        }
        false => ("true".to_owned(), String::new()),
    };
    wanted.push(after);
    format!("SELECT {} FROM {from} WHERE {has_key}{begin} ORDER BY {key} LIMIT {limit}", wanted.join(", "))
}

fn from(database: &Database) -> String {
    match &database.rows {
        Rows::Table(parts) => {
            parts.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(".") + " AS source"
        }
        // A comment at its end ends with the line.
        Rows::Query(query) => format!("({query}\n) AS source"),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The type that a column is of, a domain's own.
pub(super) fn base(kind: &Type) -> &Type {
    let mut kind = kind;
    while let Kind::Domain(inner) = kind.kind() {
        kind = inner;
    }
    kind
}

/// What a key may be: its order and its text say the same.
const KEYS: &[Type] = &[
    Type::INT2,
    Type::INT4,
    Type::INT8,
    Type::NUMERIC,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMP,
    Type::DATE,
    Type::TEXT,
    Type::VARCHAR,
    Type::BPCHAR,
    Type::UUID,
];
const IDS: &[Type] = &[
    Type::TEXT,
    Type::VARCHAR,
    Type::BPCHAR,
    Type::NAME,
    Type::UUID,
    Type::INT2,
    Type::INT4,
    Type::INT8,
    Type::NUMERIC,
];
const TIMES: &[Type] = &[Type::TIMESTAMPTZ, Type::TIMESTAMP, Type::TEXT, Type::VARCHAR];
const VALUES: &[Type] = &[
    Type::FLOAT8,
    Type::FLOAT4,
    Type::NUMERIC,
    Type::INT2,
    Type::INT4,
    Type::INT8,
    Type::TEXT,
    Type::VARCHAR,
];

/// Whether the columns are there and can be what they are named for; the types of the key, for [`page`].
///
/// # Errors
/// The column, and what is possible.
pub(super) fn check(database: &Database, columns: &[(String, Type)]) -> Result<Vec<String>, String> {
    let name = database.rows_name();
    let of = |setting: &str, column: &String, possible: &[Type]| {
        let mut found = columns.iter().filter(|(known, _)| known == column);
        let (Some((_, kind)), None) = (found.next(), found.next()) else {
            let known: Vec<&str> = columns.iter().map(|(known, _)| known.as_str()).take(60).collect();
            return Err(format!(
                "{name} has no column {column:?}, or several, for {setting}; it has {}",
                known.join(", ")
            ));
        };
        let kind = base(kind);
        match possible.contains(kind) {
            true => Ok(format!("pg_catalog.{}", kind.name())),
            false => Err(format!(
                "column {column:?} of {name} is of type {}, for {setting} possible are {}",
                kind.name(),
                possible.iter().map(Type::name).collect::<Vec<_>>().join(", ")
            )),
        }
    };
    let [id, time, value] = &database.columns;
    of("database.columns.device_id", id, IDS)?;
    of("database.columns.observed_timestamp", time, TIMES)?;
    of("database.columns.value", value, VALUES)?;
    database.key.iter().map(|column| of("database.key", column, KEYS)).collect()
}
