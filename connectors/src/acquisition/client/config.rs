//! `acquire.toml`: where the operator's files or rows are, and where the platform is.

use super::database::config as database;
pub use super::database::config::{Database, Password, Rows};
use crate::house::Area;
use crate::link::host_and_port;
use crate::mqtt::Credentials;
use jiff::tz::TimeZone;
use serde::Deserialize;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Largest file read, bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// Why the settings cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// What it says cannot be meant.
    #[error("{}: {reason}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong and what is possible.
        reason: String,
    },
}

/// Settings of the client, checked; paths are those of the machine.
#[derive(Debug, Clone)]
pub struct AcquireConfig {
    /// Where the platform is.
    pub platform: Platform,
    /// Where the values are.
    pub origin: Origin,
    /// The operator's table.
    pub mapping: PathBuf,
    /// Key files: site key, signing key.
    pub site_key: PathBuf,
    /// See `site_key`.
    pub signing_key: PathBuf,
    /// How far it came.
    pub progress: PathBuf,
    /// Lines that cannot be used.
    pub rejects: PathBuf,
    /// Lines in one envelope.
    pub batch: usize,
    /// How often is looked for new lines.
    pub poll: Duration,
}

/// Where the values are.
#[derive(Debug, Clone)]
pub enum Origin {
    /// In files of a folder.
    Files(Files),
    /// In rows of a database.
    Database(Box<Database>),
}

/// Where the platform is.
#[derive(Debug, Clone)]
pub struct Platform {
    /// Name or address.
    pub host: String,
    /// Port, usually 8883.
    pub port: u16,
    /// The market area in topics.
    pub area: Area,
    /// MQTT client id; the sender's name when it is not given.
    pub client_id: Option<String>,
    /// User and password.
    pub credentials: Option<Credentials>,
    /// Authority of the platform's certificate, PEM; without it no TLS, and only to this machine.
    pub authority: Option<PathBuf>,
    /// Public half of the platform's key.
    pub key: PathBuf,
}

/// How the files are read.
#[derive(Debug, Clone)]
pub struct Files {
    /// Where they are.
    pub folder: PathBuf,
    /// What their names contain.
    pub pattern: String,
    /// Whether the first line names columns.
    pub header: bool,
    /// Between fields.
    pub delimiter: u8,
    /// Before decimals.
    pub decimal: char,
    /// Zone of times without one.
    pub zone: TimeZone,
    /// Place of the private id, the time and the value, counted from 0.
    pub places: [usize; 3],
    /// A last line without an end is whole when the file has rested for so long.
    pub settle: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    platform: WrittenPlatform,
    files: Option<WrittenFiles>,
    database: Option<database::Written>,
    #[serde(default = "mapping")]
    mapping: PathBuf,
    #[serde(default = "site_key")]
    site_key: PathBuf,
    #[serde(default = "signing_key")]
    signing_key: PathBuf,
    #[serde(default = "progress")]
    progress: PathBuf,
    #[serde(default = "rejects")]
    rejects: PathBuf,
    #[serde(default = "batch")]
    batch: usize,
    #[serde(default = "poll")]
    poll_s: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPlatform {
    address: String,
    area: String,
    client_id: Option<String>,
    username: Option<String>,
    password_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    #[serde(default = "platform_key")]
    key: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFiles {
    folder: PathBuf,
    #[serde(default = "pattern")]
    pattern: String,
    #[serde(default)]
    header: bool,
    #[serde(default = "delimiter")]
    delimiter: String,
    #[serde(default = "decimal")]
    decimal: String,
    #[serde(default = "zone")]
    time_zone: String,
    #[serde(default = "columns")]
    columns: Vec<String>,
    #[serde(default = "settle")]
    settle_s: f64,
}

macro_rules! defaults {
    ($($name:ident: $kind:ty = $value:expr;)*) => { $(fn $name() -> $kind { $value })* };
}
defaults! {
    mapping: PathBuf = "mapping.csv".into();
    site_key: PathBuf = "site.key".into();
    signing_key: PathBuf = "signing.key".into();
    platform_key: PathBuf = "platform.pub".into();
    progress: PathBuf = "progress.json".into();
    rejects: PathBuf = "rejects.csv".into();
    batch: usize = 200;
    poll: f64 = 10.0;
    pattern: String = ".csv".into();
    delimiter: String = ",".into();
    decimal: String = ".".into();
    zone: String = "UTC".into();
    columns: Vec<String> = COLUMNS.map(str::to_owned).into();
    settle: f64 = 60.0;
}

/// What a line has to have.
const COLUMNS: [&str; 3] = ["device_id", "observed_timestamp", "value"];

impl AcquireConfig {
    /// Reads the settings; relative paths start at their file.
    ///
    /// # Errors
    /// [`ConfigError`] names file and setting.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::File { path: path.to_owned(), source };
        let wrong = |reason: String| ConfigError::Content { path: path.to_owned(), reason };
        if std::fs::metadata(path).map_err(failed)?.len() > BYTES_MAX {
            return Err(wrong(format!("more than {BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let written: Written =
            toml::from_str(&text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        let at = |file: PathBuf| path.parent().unwrap_or(Path::new(".")).join(file);
        if !(1..=super::super::row::ROWS_MAX).contains(&written.batch) {
            return Err(wrong(format!(
                "batch is {}, 1 to {} lines are possible",
                written.batch,
                super::super::row::ROWS_MAX
            )));
        }
        Ok(Self {
            poll: seconds("poll_s", written.poll_s, 0.05..=86_400.0).map_err(&wrong)?,
            platform: platform(written.platform, &at).map_err(|error| error.at(path))?,
            origin: origin(written.files, written.database, &at).map_err(&wrong)?,
            mapping: at(written.mapping),
            site_key: at(written.site_key),
            signing_key: at(written.signing_key),
            progress: at(written.progress),
            rejects: at(written.rejects),
            batch: written.batch,
        })
    }
}

/// A fault before the settings' file is named.
enum Fault {
    Here(String),
    Elsewhere(ConfigError),
}

impl Fault {
    fn at(self, path: &Path) -> ConfigError {
        match self {
            Fault::Here(reason) => ConfigError::Content { path: path.to_owned(), reason },
            Fault::Elsewhere(error) => error,
        }
    }
}

fn platform(written: WrittenPlatform, at: &impl Fn(PathBuf) -> PathBuf) -> Result<Platform, Fault> {
    let here = |reason: String| Fault::Here(reason);
    let (host, port) = host_and_port(&written.address).ok_or_else(|| {
        here(format!("platform.address {:?} is not host:port, such as grid.example:8883", written.address))
    })?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if written.ca.is_none() && !is_here {
        return Err(here(format!("platform.ca is missing: {host} is reached with TLS only")));
    }
    let area = Area::new(&written.area).map_err(|error| here(format!("platform.area: {error}")))?;
    if let Some(id) = &written.client_id {
        grid::id::check_name(id).map_err(|error| here(format!("platform.client_id: {error}")))?;
    }
    let credentials = match (written.username, written.password_file) {
        (None, None) => None,
        (Some(user), Some(file)) => {
            let path = at(file);
            let failed = |source| Fault::Elsewhere(ConfigError::File { path: path.clone(), source });
            super::super::keys::is_private(&path)
                .map_err(|error| Fault::Here(format!("platform.password_file: {error}")))?;
            let text = std::fs::read_to_string(&path).map_err(failed)?;
            Some(Credentials { user, password: text.trim_end_matches(['\n', '\r']).to_owned() })
        }
        _ => return Err(here("platform.username and platform.password_file belong together".to_owned())),
    };
    Ok(Platform {
        host,
        port,
        area,
        client_id: written.client_id,
        credentials,
        authority: written.ca.map(at),
        key: at(written.key),
    })
}

fn seconds(name: &str, value: f64, range: std::ops::RangeInclusive<f64>) -> Result<Duration, String> {
    let fits = range.contains(&value).then(|| Duration::from_secs_f64(value));
    fits.ok_or_else(|| format!("{name} is {value}, {} to {} is possible", range.start(), range.end()))
}

fn origin(
    written: Option<WrittenFiles>,
    database: Option<database::Written>,
    at: &impl Fn(PathBuf) -> PathBuf,
) -> Result<Origin, String> {
    match (written, database) {
        (Some(written), None) => files(written, at).map(Origin::Files),
        (None, Some(written)) => Ok(Origin::Database(Box::new(database::checked(written, at, COLUMNS)?))),
        _ => Err("[files] or [database] is needed, one of them; whoever has both runs two".to_owned()),
    }
}

fn files(written: WrittenFiles, at: &impl Fn(PathBuf) -> PathBuf) -> Result<Files, String> {
    let one = |name: &str, text: &str| {
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(one), None) if one.is_ascii() && one != '"' && one != '\n' => Ok(one),
            _ => Err(format!("files.{name} {text:?} is not one ASCII character")),
        }
    };
    let (delimiter, decimal) = (one("delimiter", &written.delimiter)?, one("decimal", &written.decimal)?);
    if delimiter == decimal {
        return Err("files.delimiter and files.decimal are the same".to_owned());
    }
    if written.pattern.is_empty() || written.pattern.contains('/') {
        return Err("files.pattern is a part of the files' names, such as \".csv\"".to_owned());
    }
    let zone = TimeZone::get(&written.time_zone).map_err(|_| {
        format!("files.time_zone {:?} is no time zone, such as Europe/Berlin", written.time_zone)
    })?;
    let mut places = [0; 3];
    for (name, to) in COLUMNS.iter().zip(&mut places) {
        let found: Vec<usize> = written
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column == name)
            .map(|(place, _)| place)
            .collect();
        match found.as_slice() {
            [place] => *to = *place,
            _ => {
                return Err(format!(
                    "files.columns needs {name:?} once; what else a line has is called as you like"
                ));
            }
        }
    }
    Ok(Files {
        folder: at(written.folder),
        pattern: written.pattern,
        header: written.header,
        delimiter: delimiter as u8,
        decimal,
        zone,
        places,
        settle: seconds("files.settle_s", written.settle_s, 0.0..=86_400.0)?,
    })
}
