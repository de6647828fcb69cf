//! `[database]` of `acquire.toml`: which rows are read, in which order, and with whose name.

use crate::link::host_and_port;
use jiff::tz::TimeZone;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// Columns of a key.
const KEY_COLUMNS_MAX: usize = 4;
/// Rows that are looked at again, most.
const LOOK_BACK_MAX: usize = 10_000;
/// Longest query, bytes.
const QUERY_BYTES_MAX: usize = 16 * 1024;
/// Longest name of PostgreSQL, bytes.
const NAME_BYTES_MAX: usize = 63;
/// Longest password file, bytes.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// A PostgreSQL database, checked; paths are those of the machine.
#[derive(Debug, Clone)]
pub struct Database {
    /// Name or address.
    pub host: String,
    /// Port, usually 5432.
    pub port: u16,
    /// Name of the database.
    pub name: String,
    /// Role that reads.
    pub user: String,
    /// What the role says, if it has to say something.
    pub password: Option<Password>,
    /// Authority of the server's certificate, PEM; without it no TLS, and only to this machine.
    pub authority: Option<PathBuf>,
    /// What is read.
    pub rows: Rows,
    /// Columns that order the rows; together they are unlike in every row.
    pub key: Vec<String>,
    /// Columns of the private id, the time and the value.
    pub columns: [String; 3],
    /// Zone of times without one.
    pub zone: TimeZone,
    /// Rows before the last one that are looked at again: among them rows that come late are found.
    pub look_back: usize,
    /// How long the server may take for one page.
    pub timeout: Duration,
}

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// A table or view: schema, if it is given, and name.
    Table(Vec<String>),
    /// A query.
    Query(String),
}

/// A password that does not come into a log by mistake.
#[derive(Clone)]
pub struct Password(#[cfg_attr(not(feature = "postgres"), allow(dead_code))] Zeroizing<String>);

impl Password {
    /// The text, for the server only.
    #[cfg(feature = "postgres")]
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

impl Database {
    /// `host:port/name`, for people.
    pub fn address(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.name)
    }

    /// What the rejects and messages call it.
    pub fn rows_name(&self) -> String {
        match &self.rows {
            Rows::Table(parts) => parts.join("."),
            Rows::Query(_) => format!("query of {}", self.name),
        }
    }

    /// What its progress is of: another table, or another order, needs another progress file. A query may be changed, as long as
    /// its key goes on.
    #[cfg(feature = "postgres")]
    pub(in super::super) fn identity(&self) -> String {
        let rows = match &self.rows {
            Rows::Table(parts) => format!("table {}", parts.join(".")),
            Rows::Query(_) => "a query".to_owned(),
        };
        format!("{rows} of database {} by {}", self.name, self.key.join(", "))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Written {
    address: String,
    name: String,
    user: String,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    ca: Option<PathBuf>,
    table: Option<String>,
    query: Option<String>,
    key: Vec<String>,
    #[serde(default)]
    columns: BTreeMap<String, String>,
    #[serde(default = "zone")]
    time_zone: String,
    #[serde(default = "look_back")]
    look_back: usize,
    #[serde(default = "timeout")]
    timeout_s: f64,
}

fn zone() -> String {
    "UTC".to_owned()
}

fn look_back() -> usize {
    1000
}

fn timeout() -> f64 {
    30.0
}

/// Checks what is written. `at` makes a path of the machine of a written one; `names` are those of the three columns.
///
/// # Errors
/// Which setting cannot be meant, and what is possible.
pub(in super::super) fn checked(
    written: Written,
    at: &impl Fn(PathBuf) -> PathBuf,
    names: [&str; 3],
) -> Result<Database, String> {
    let (host, port) = host_and_port(&written.address).ok_or_else(|| {
        format!("database.address {:?} is not host:port, such as historian.example:5432", written.address)
    })?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if written.ca.is_none() && !is_here {
        return Err(format!("database.ca is missing: {host} is reached with TLS only"));
    }
    let name = identifier("name", written.name)?;
    let user = identifier("user", written.user)?;
    let rows = rows(written.table, written.query)?;
    let key: Vec<String> =
        written.key.into_iter().map(|column| identifier("key", column)).collect::<Result<_, _>>()?;
    let is_twice = key.iter().enumerate().any(|(place, column)| key.iter().take(place).any(|c| c == column));
    if !(1..=KEY_COLUMNS_MAX).contains(&key.len()) || is_twice {
        return Err(format!(
            "database.key names {} columns, 1 to {KEY_COLUMNS_MAX} different ones are possible",
            key.len()
        ));
    }
    let columns = columns(written.columns, names)?;
    let zone = TimeZone::get(&written.time_zone).map_err(|_| {
        format!("database.time_zone {:?} is no time zone, such as Europe/Berlin", written.time_zone)
    })?;
    in_range("look_back", written.look_back as f64, 1.0..=LOOK_BACK_MAX as f64)?;
    in_range("timeout_s", written.timeout_s, 1.0..=3600.0)?;
    Ok(Database {
        host,
        port,
        name,
        user,
        password: password(written.password_file.map(at), written.password_env)?,
        authority: written.ca.map(at),
        rows,
        key,
        columns,
        zone,
        look_back: written.look_back,
        timeout: Duration::from_secs_f64(written.timeout_s),
    })
}

fn in_range(name: &str, value: f64, range: RangeInclusive<f64>) -> Result<(), String> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(format!("database.{name} is {value}, {} to {} is possible", range.start(), range.end())),
    }
}

fn identifier(setting: &str, name: String) -> Result<String, String> {
    match !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(['\0', '\n', '\r']) {
        true => Ok(name),
        false => Err(format!(
            "database.{setting} {name:.80?} is no name of PostgreSQL: 1 to {NAME_BYTES_MAX} bytes in one line"
        )),
    }
}

fn rows(table: Option<String>, query: Option<String>) -> Result<Rows, String> {
    match (table, query) {
        (Some(table), None) => {
            let parts: Vec<String> = table
                .split('.')
                .map(|part| identifier("table", part.to_owned()))
                .collect::<Result<_, _>>()?;
            match parts.len() <= 2 {
                true => Ok(Rows::Table(parts)),
                false => Err(format!("database.table {table:?} is not schema.table")),
            }
        }
        (None, Some(query)) => {
            // One statement; PostgreSQL refuses several.
            let query = query.trim().trim_end_matches(';').trim_end().to_owned();
            match !query.is_empty() && query.len() <= QUERY_BYTES_MAX && !query.contains('\0') {
                true => Ok(Rows::Query(query)),
                false => Err(format!(
                    "database.query has {} bytes, 1 to {QUERY_BYTES_MAX} are possible",
                    query.len()
                )),
            }
        }
        _ => Err("database.table or database.query is needed, one of them".to_owned()),
    }
}

fn columns(mut written: BTreeMap<String, String>, names: [&str; 3]) -> Result<[String; 3], String> {
    let columns = names.map(|name| written.remove(name).unwrap_or_else(|| name.to_owned()));
    if let Some(other) = written.keys().next() {
        return Err(format!("database.columns.{other} is not known; known are {}", names.join(", ")));
    }
    for column in &columns {
        identifier("columns", column.clone())?;
    }
    Ok(columns)
}

fn password(file: Option<PathBuf>, variable: Option<String>) -> Result<Option<Password>, String> {
    let text = match (file, variable) {
        (None, None) => return Ok(None),
        (Some(path), None) => from_file(&path)?,
        (None, Some(name)) => std::env::var(&name).map(Zeroizing::new).map_err(|_| {
            format!("database.password_env: the environment has no variable {name:?} with text in it")
        })?,
        (Some(_), Some(_)) => {
            return Err(
                "database.password_file and database.password_env: one of them is possible".to_owned()
            );
        }
    };
    let text = Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned());
    match text.is_empty() {
        true => Err("database: the password is empty".to_owned()),
        false => Ok(Some(Password(text))),
    }
}

fn from_file(path: &Path) -> Result<Zeroizing<String>, String> {
    let failed = |error: std::io::Error| format!("database.password_file {}: {error}", path.display());
    crate::acquisition::keys::is_private(path).map_err(|error| format!("database.password_file: {error}"))?;
    if std::fs::metadata(path).map_err(failed)?.len() > PASSWORD_BYTES_MAX {
        return Err(format!(
            "database.password_file {}: more than {PASSWORD_BYTES_MAX} bytes",
            path.display()
        ));
    }
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(failed)
}
