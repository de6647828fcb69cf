//! A connection to PostgreSQL that reads one page at a time, each in a read-only transaction of its own: none is left open, so
//! that the server can tidy up behind it.

use super::super::session::{self, Down};
use super::config::Database;
use super::sql;
use super::taken::{Key, Page, Seen};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Client, Config, IsolationLevel, NoTls};
use tokio_rustls::TlsConnector;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How much longer than the server's own limit is waited.
const GRACE: Duration = Duration::from_secs(5);
/// Asks for TLS: length, and a number that stands for it.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// Rows without a key that are counted.
const WITHOUT_KEY_MAX: u64 = 1000;
/// Classes of SQLSTATE that do not pass by themselves: what is asked for is not possible, or not allowed.
const LASTING: &[&str] = &["0A", "0L", "0P", "21", "22", "25", "26", "28", "2F", "3D", "3F", "42"];
/// Classes whose messages name things of the server, and no values.
const SPOKEN: &[&str] = &["08", "0A", "25", "28", "3D", "3F", "42", "53", "55", "57"];

/// Which page.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    /// The key to begin with, and the last key seen; the first page of all has neither.
    pub(super) ends: Option<(Key, Key)>,
    /// Rows, at most.
    pub(super) limit: usize,
}

pub(super) struct Reader {
    database: Database,
    tls: Option<Arc<ClientConfig>>,
    open: Option<Open>,
    /// Rows without a key that were found when it was opened last.
    pub(super) without_key: u64,
}

struct Open {
    client: Client,
    /// Types of the key's columns.
    casts: Vec<String>,
}

/// Text of any type; bytes that are no UTF-8, of a database without an encoding, become a mark that is in no mapping.
struct Text(String);

impl<'a> FromSql<'a> for Text {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(String::from_utf8_lossy(raw).into_owned()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl Reader {
    pub(super) fn new(database: Database, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { database, tls, open: None, without_key: 0 }
    }

    /// Reads a page; connects first when it has to. After any fault it begins with a new connection.
    pub(super) async fn page(&mut self, ask: &Ask) -> Result<Page, Down> {
        let within = self.database.timeout + GRACE;
        let late = |_| Down::Away(format!("no answer within {} s", within.as_secs()));
        let page = match self.connected().await {
            Ok(()) => timeout(within, self.read(ask)).await.map_err(late).flatten(),
            Err(down) => Err(down),
        };
        if page.is_err() {
            self.open = None;
        }
        page
    }

    async fn connected(&mut self) -> Result<(), Down> {
        if self.open.as_ref().is_some_and(|open| !open.client.is_closed()) {
            return Ok(());
        }
        self.open = None;
        let late = |_| Down::Away(format!("no answer within {} s", CONNECT_WITHIN.as_secs()));
        let client =
            timeout(CONNECT_WITHIN, connect(&self.database, self.tls.as_ref())).await.map_err(late)??;
        let within = self.database.timeout + GRACE;
        let asked = timeout(within, self.asked(&client)).await;
        let casts = asked.map_err(|_| Down::Away(format!("no answer within {} s", within.as_secs())))??;
        self.open = Some(Open { client, casts });
        Ok(())
    }

    /// Says how it is spoken, and looks at the columns.
    async fn asked(&mut self, client: &Client) -> Result<Vec<String>, Down> {
        let failed = |error: tokio_postgres::Error| down(&error);
        client.batch_execute(&sql::settings(&self.database)).await.map_err(failed)?;
        let statement = client.prepare(&sql::describe(&self.database)).await.map_err(failed)?;
        let columns: Vec<_> = statement
            .columns()
            .iter()
            .map(|column| (column.name().to_owned(), column.type_().clone()))
            .collect();
        let casts = sql::check(&self.database, &columns).map_err(Down::Refused)?;
        let counted = client.query_typed_one(&sql::without_key(&self.database, WITHOUT_KEY_MAX), &[]).await;
        // In a large table without an index for it this may take too long; then it is not known.
        if let Ok(row) = counted {
            let count: i64 = row.try_get(0).map_err(failed)?;
            self.without_key = u64::try_from(count).unwrap_or(0);
        }
        Ok(casts)
    }

    async fn read(&mut self, ask: &Ask) -> Result<Page, Down> {
        let failed = |error: tokio_postgres::Error| down(&error);
        let Some(open) = &mut self.open else { return Err(Down::Away("there is no connection".to_owned())) };
        let casts: Vec<&str> = open.casts.iter().map(String::as_str).collect();
        let words = sql::page(&self.database, &casts, ask.ends.is_some(), ask.limit);
        let given: Vec<(&(dyn ToSql + Sync), Type)> = ask
            .ends
            .iter()
            .flat_map(|(from, last)| from.iter().chain(last))
            .map(|part| (part as &(dyn ToSql + Sync), Type::TEXT))
            .collect();
        let transaction = open.client.build_transaction().read_only(true);
        let transaction =
            transaction.isolation_level(IsolationLevel::RepeatableRead).start().await.map_err(failed)?;
        let found = transaction.query_typed(&words, &given).await.map_err(failed)?;
        transaction.rollback().await.map_err(failed)?;
        let is_full = found.len() >= ask.limit;
        let rows =
            found.iter().map(|row| seen(row, casts.len())).collect::<Result<_, _>>().map_err(failed)?;
        Ok(Page { rows, is_full })
    }
}

fn seen(row: &tokio_postgres::Row, key_columns: usize) -> Result<Seen, tokio_postgres::Error> {
    let text = |place: usize| row.try_get::<_, Option<Text>>(place).map(|text| text.map(|text| text.0));
    let fields = [text(0)?, text(1)?, text(2)?];
    let key = (3..3 + key_columns).map(|place| text(place).map(Option::unwrap_or_default));
    let key = key.collect::<Result<_, _>>()?;
    let is_after = row.try_get(3 + key_columns)?;
    Ok(Seen { key, fields, is_after })
}

/// Connects; with an authority only through TLS, whatever the server offers.
async fn connect(database: &Database, tls: Option<&Arc<ClientConfig>>) -> Result<Client, Down> {
    let away = |error: std::io::Error| Down::Away(error.to_string());
    let mut stream = TcpStream::connect((database.host.as_str(), database.port)).await.map_err(away)?;
    let _ = stream.set_nodelay(true);
    let stream: Box<dyn session::Duplex> = match tls {
        None => Box::new(stream),
        Some(tls) => {
            stream.write_all(&TLS_REQUEST).await.map_err(away)?;
            // One byte and no more: what follows is already TLS.
            match stream.read_u8().await.map_err(away)? {
                b'S' => {}
                b'N' => {
                    return Err(Down::Refused("the server has no TLS (its setting `ssl` is off)".to_owned()));
                }
                other => return Err(Down::Away(format!("no answer to TLS but the byte {other}"))),
            }
            let name = ServerName::try_from(database.host.clone());
            let name = name.map_err(|error| Down::Refused(format!("{}: {error}", database.host)))?;
            let connecting = TlsConnector::from(tls.clone()).connect(name, stream).await;
            Box::new(connecting.map_err(|error| session::tls_down(&error))?)
        }
    };
    let mut config = Config::new();
    config.user(&database.user).dbname(&database.name).application_name("gridflex acquire");
    // TLS is there already, or not needed.
    config.ssl_mode(SslMode::Disable);
    if let Some(password) = &database.password {
        config.password(password.text());
    }
    let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(|error| down(&error))?;
    // Ends with the client; what breaks it, the client's next question hears.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// What an error means. The server's words are said when they are about things of the server: others may quote a private id.
fn down(error: &tokio_postgres::Error) -> Down {
    let Some(said) = error.as_db_error() else {
        let source = error.source().map_or(String::new(), |source| format!(": {source}"));
        let words = format!("{error}{source}");
        // What the library calls so lies in the settings or in the server's, and not on the wire.
        let lasting = ["authentication error", "invalid configuration"];
        return match lasting.iter().any(|begin| words.starts_with(begin)) {
            true => Down::Refused(words),
            false => Down::Away(words),
        };
    };
    let code = said.code().code();
    let words = match code {
        "57014" => "the page took longer than timeout_s; is there an index on the columns of database.key?"
            .to_owned(),
        _ if SPOKEN.iter().any(|class| code.starts_with(class)) => {
            format!("{} (SQLSTATE {code})", said.message())
        }
        _ if code.starts_with("22") => {
            format!("a value cannot be read as the query wants it (SQLSTATE {code})")
        }
        _ => format!("the server says SQLSTATE {code}; its log has the words, which may quote a value"),
    };
    match LASTING.iter().any(|class| code.starts_with(class)) {
        true => Down::Refused(words),
        false => Down::Away(words),
    }
}
