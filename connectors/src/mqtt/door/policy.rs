//! Who may do what at the door, as data: each identity with the filters it may publish under and subscribe to.
//! What is not granted is denied.

use super::filter::{includes, is_filter, matches};
use super::password::PasswordHash;
use crate::house::Points;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use thiserror::Error;

/// Largest file of rights, bytes.
pub const RIGHTS_BYTES_MAX: u64 = 16 << 20;
/// Longest client id, bytes.
const CLIENT_ID_BYTES_MAX: usize = 128;
/// Stands between identity and client id in the name of a session; neither contains it.
const SESSION_SEPARATOR: char = '\0';

/// Rights of every client, read from TOML:
///
/// ```toml
/// [[client]]
/// identity = "121"
/// password = "$7$101$…"   # as mosquitto_passwd writes it; left out when a certificate says who it is
/// publish = ["gridflex/demo/device/121/report", "gridflex/demo/device/121/status"]
/// subscribe = ["gridflex/demo/device/121/activation"]
/// points = ["device.121"]   # what its telemetry may speak of
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `None`: whoever comes is let in, under the rights of `everyone`.
    clients: Option<BTreeMap<String, Client>>,
    everyone: Rights,
    /// Takes as long to check as the slowest of the passwords.
    decoy: PasswordHash,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Client {
    password: Option<PasswordHash>,
    rights: Rights,
    points: Points,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Rights {
    publish: Vec<String>,
    subscribe: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    client: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    identity: String,
    password: Option<String>,
    #[serde(default)]
    publish: Vec<String>,
    #[serde(default)]
    subscribe: Vec<String>,
    /// Without it: everything for who may publish in the whole telemetry tree, otherwise the points that the filters
    /// of `publish` end with.
    points: Option<Vec<String>>,
}

/// What is wrong with a file of rights.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// It is not TOML, or a field is missing, unknown or of the wrong type.
    #[error("{0}")]
    Toml(String),
    /// An entry cannot be meant.
    #[error("client {place} ({identity:?}): {reason}")]
    Entry {
        /// Counted from 1.
        place: usize,
        /// As written.
        identity: String,
        /// What is wrong and what is possible.
        reason: String,
    },
}

/// Who a client turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity(Option<String>);

/// What somebody wants to do with a topic or filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Publish under a topic, wills included.
    Publish,
    /// Subscribe to a filter.
    Subscribe,
}

/// The client did not prove to be anyone known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown;

impl Policy {
    /// Anyone, without a password: publishing below `gridflex/`, subscribing to everything but `$…`. For a
    /// loopback address only.
    pub fn open() -> Self {
        let everyone = Rights { publish: vec!["gridflex/#".into()], subscribe: vec!["#".into()] };
        Self { clients: None, everyone, decoy: PasswordHash::decoy(None) }
    }

    /// Reads rights as described at [`Policy`].
    ///
    /// # Errors
    /// [`PolicyError`] names the entry, and what is possible instead.
    pub fn from_toml(text: &str) -> Result<Self, PolicyError> {
        let file: File = toml::from_str(text).map_err(|error| PolicyError::Toml(error.to_string()))?;
        let mut clients = BTreeMap::new();
        for (place, entry) in (1..).zip(file.client) {
            let identity = entry.identity.clone();
            let wrong = |reason| PolicyError::Entry { place, identity: identity.clone(), reason };
            let client = entry.read().map_err(wrong)?;
            if clients.insert(identity.clone(), client).is_some() {
                return Err(wrong("it stands there twice".into()));
            }
        }
        let slowest = clients.values().filter_map(|client: &Client| client.password.as_ref());
        let decoy = PasswordHash::decoy(slowest.max_by_key(|hash| hash.iterations()));
        Ok(Self { clients: Some(clients), everyone: Rights::default(), decoy })
    }

    /// Whether anyone is let in without saying who they are.
    pub fn is_open(&self) -> bool {
        self.clients.is_none()
    }

    /// Finds out who a client is: by the names in its certificate, or by user and password. Checking a password
    /// takes milliseconds.
    ///
    /// # Errors
    /// [`Unknown`]; deliberately without saying what was wrong.
    pub fn identify(&self, certified: &[String], login: Option<(&str, &str)>) -> Result<Identity, Unknown> {
        let Some(clients) = &self.clients else { return Ok(Identity(None)) };
        if let Some(name) = certified.iter().find(|name| clients.contains_key(*name)) {
            return match login {
                Some((user, _)) if user != name => Err(Unknown),
                _ => Ok(Identity(Some(name.clone()))),
            };
        }
        let (user, password) = login.ok_or(Unknown)?;
        let known = clients.get(user).and_then(|client| client.password.as_ref());
        let right = known.unwrap_or(&self.decoy).is_of(password);
        if right && known.is_some() { Ok(Identity(Some(user.to_owned()))) } else { Err(Unknown) }
    }

    /// Reads a file of rights.
    ///
    /// # Errors
    /// What is wrong, with the file's name.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let wrong = |reason: &dyn std::fmt::Display| format!("{}: {reason}", path.display());
        let file = std::fs::File::open(path).map_err(|error| wrong(&error))?;
        let mut text = String::new();
        let bytes =
            file.take(RIGHTS_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| wrong(&error))?;
        if bytes as u64 > RIGHTS_BYTES_MAX {
            return Err(wrong(&format!("at most {RIGHTS_BYTES_MAX} bytes of rights are read")));
        }
        Self::from_toml(&text).map_err(|error| wrong(&error))
    }

    /// Whether nobody is let in at all.
    pub(super) fn is_without_clients(&self) -> bool {
        self.clients.as_ref().is_some_and(BTreeMap::is_empty)
    }

    /// Whether somebody who was let in is one of theirs still.
    pub(super) fn knows_still(&self, who: &Identity) -> bool {
        match (&self.clients, &who.0) {
            (None, _) => true,
            (Some(clients), Some(name)) => clients.contains_key(name),
            (Some(_), None) => false,
        }
    }

    /// Whether somebody's password is the one it was before.
    pub(super) fn has_password_of(&self, before: &Self, who: &Identity) -> bool {
        let hash = |policy: &'_ Self| {
            policy
                .clients
                .as_ref()
                .zip(who.0.as_ref())
                .map(|(clients, name)| clients.get(name).and_then(|client| client.password.clone()))
        };
        hash(self) == hash(before)
    }

    /// Whether a name is one of theirs.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.clients.as_ref().is_some_and(|clients| clients.contains_key(name))
    }

    /// Whether somebody may connect under this client id: where clients have an identity it is that, or begins
    /// with it and a colon, so that nobody takes over another's session.
    pub fn may_be_called(&self, who: &Identity, client_id: &str) -> bool {
        let own = match &who.0 {
            None => true,
            Some(name) => client_id
                .strip_prefix(name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(':')),
        };
        own && client_id.len() <= CLIENT_ID_BYTES_MAX && !client_id.chars().any(char::is_control)
    }

    /// What a client's telemetry may speak of.
    pub fn points(&self, who: &Identity) -> Points {
        match (&self.clients, &who.0) {
            (None, _) => Points::all(),
            (Some(clients), Some(name)) => {
                clients.get(name).map_or_else(|| Points::only(&[]), |client| client.points.clone())
            }
            (Some(_), None) => Points::only(&[]),
        }
    }

    /// What each client's telemetry may speak of; nobody's where everyone may say everything.
    pub fn granted(&self) -> impl Iterator<Item = Points> {
        self.clients.iter().flat_map(BTreeMap::values).map(|client| client.points.clone())
    }

    /// The one place where rights are decided. `name` is a topic to publish under, or a filter to subscribe to.
    pub fn allows(&self, who: &Identity, action: Action, name: &str) -> bool {
        let rights = match (&self.clients, &who.0) {
            (None, _) => &self.everyone,
            (Some(clients), Some(identity)) => match clients.get(identity) {
                Some(client) => &client.rights,
                None => return false,
            },
            (Some(_), None) => return false,
        };
        match action {
            Action::Publish => rights.publish.iter().any(|granted| matches(granted, name)),
            Action::Subscribe => rights.subscribe.iter().any(|granted| includes(granted, name)),
        }
    }
}

impl Identity {
    /// The identity a certificate or password proved; for tests and for whoever asks [`Policy::allows`] aside.
    pub fn named(name: &str) -> Self {
        Self(Some(name.to_owned()))
    }

    /// The name of the session it has under a client id. Sessions of different identities never meet, even if one's name
    /// begins like the other's; neither contains a control character.
    pub(super) fn session_of(&self, client_id: &str) -> String {
        match &self.0 {
            None => client_id.to_owned(),
            Some(identity) => format!("{identity}{SESSION_SEPARATOR}{client_id}"),
        }
    }

    /// Whose a session of this name is.
    pub(super) fn of_session(session: &str) -> Self {
        Self(session.split_once(SESSION_SEPARATOR).map(|(identity, _)| identity.to_owned()))
    }

    /// How the names of all its sessions begin; `None` where clients have no identity.
    pub(super) fn sessions(&self) -> Option<String> {
        self.0.as_ref().map(|identity| format!("{identity}{SESSION_SEPARATOR}"))
    }

    /// Its name, or `anyone`.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or("anyone")
    }
}

impl Entry {
    fn read(self) -> Result<Client, String> {
        let name = &self.identity;
        if name.is_empty() || name.len() > CLIENT_ID_BYTES_MAX / 2 || name.chars().any(char::is_control) {
            return Err(format!("an identity has 1 to {} bytes", CLIENT_ID_BYTES_MAX / 2));
        }
        let password = match &self.password {
            None => None,
            Some(text) => Some(PasswordHash::parse(text).ok_or_else(|| {
                "the password is not a hash; `mosquitto_passwd -c FILE NAME` writes one ($7$…)".to_owned()
            })?),
        };
        let filters = [("publish", &self.publish), ("subscribe", &self.subscribe)];
        for (field, filter) in
            filters.into_iter().flat_map(|(field, all)| all.iter().map(move |f| (field, f)))
        {
            if !is_filter(filter) {
                return Err(format!("{field}: {filter:?} is not a topic filter"));
            }
        }
        let points = match &self.points {
            Some(points) => Points::read(points)?,
            None if self.publish.iter().any(|filter| is_all_telemetry(filter)) => Points::all(),
            None => Points::only(&self.publish),
        };
        Ok(Client { password, points, rights: Rights { publish: self.publish, subscribe: self.subscribe } })
    }
}

/// Whether a filter holds the telemetry of a whole area.
fn is_all_telemetry(filter: &str) -> bool {
    let levels: Vec<_> = filter.split('/').collect();
    matches!(levels.as_slice(), ["#"] | [_, "#"] | [_, _, "#"] | [_, _, "telemetry" | "+", "#"])
}

#[cfg(test)]
mod tests;
