//! One connection to a server: found, checked, opened, subscribed to, until it ends. It is never repaired: a new one is made.

use super::config::OpcUaConfig;
use super::identity::{Identity, pinned};
use super::newest::Newest;
use super::security::Security;
use opcua::client::{Client, ClientBuilder, DataChangeCallback, MonitoredItem, Session};
use opcua::crypto::{CertificateStore, X509};
use opcua::types::{
    AttributeId, DataChangeFilter, DataChangeTrigger, DataValue, DeadbandType, EndpointDescription,
    ExtensionObject, MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, NodeId, QualifiedName,
    ReadValueId, StatusCode, TimestampsToReturn, UserTokenType, VariableId, Variant,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Items asked for in one request; servers may refuse more.
const ITEMS_PER_REQUEST: usize = 500;
/// A server that says nothing for this many periods at least says that it is there.
const KEEP_ALIVE_PERIODS: u32 = 10;
/// A subscription that nobody fetches from ends after so many periods.
const LIFETIME_PERIODS: u32 = 60;
/// Largest message taken, bytes, and its parts.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
const CHUNKS_MAX: usize = 256;

/// An open connection with a subscription.
pub(super) struct Connection {
    session: Arc<Session>,
    events: JoinHandle<()>,
    subscription: u32,
    newest: Arc<Newest>,
    period: Duration,
    /// The server's certificate, if it had to show one.
    trusted: Option<Vec<u8>>,
}

/// What is to be watched.
pub(super) struct Item {
    /// Position of its point.
    pub point: usize,
    pub node: NodeId,
    /// In the server's unit; 0: every change.
    pub deadband: f64,
}

impl Connection {
    /// Finds the server, makes sure that it is the right one, opens a session and an empty subscription.
    ///
    /// # Errors
    /// What went wrong and what to do, for people.
    pub async fn open(config: &OpcUaConfig, identity: &Identity) -> Result<Self, String> {
        let store = config.store.join("servers").join(directory_name(&config.name));
        let mut client = client(config, identity, &store)?;
        let spent = || format!("{}: no answer within {:?}", config.endpoint, config.timeout);
        let offered = client.get_server_endpoints_from_url(config.endpoint.as_str());
        let offered = timeout(config.timeout, offered).await.map_err(|_| spent())?;
        let offered = offered.map_err(|error| format!("{}: {}", config.endpoint, error.status()))?;
        let endpoint = chosen(config, &offered)?;
        let trusted = match config.security {
            Security::None => None,
            _ => Some(check_certificate(config, &endpoint, &store)?),
        };
        let user = config.user.token().map_err(|error| error.to_string())?;
        let opened = client.connect_to_endpoint_directly(endpoint, user);
        let (session, events) = opened.map_err(|error| explained(config, identity, error.status()))?;
        session.disable_reconnects();
        let newest = Arc::new(Newest::default());
        let mut events = tokio::spawn(events.run());
        // It has to look up names, connect, and agree on keys.
        let connected = timeout(config.timeout * 2, async {
            tokio::select! {
                true = session.wait_for_connection() => Ok(()),
                ended = &mut events => Err(ended.unwrap_or(StatusCode::BadInternalError)),
            }
        });
        match connected.await {
            Ok(Ok(())) => {}
            Ok(Err(status)) => return Err(explained(config, identity, status)),
            Err(_) => {
                events.abort();
                return Err(spent());
            }
        }
        let reports = newest.clone();
        let end = newest.clone();
        let endpoint = config.endpoint.clone();
        let events = tokio::spawn(async move {
            let guard = AbortOnDrop(events);
            let status = guard.ended().await;
            end.end(format!("{endpoint}: connection ended, {status}"));
        });
        let period = config.period;
        let mut connection = Self { session, events, subscription: 0, newest, period, trusted };
        connection.subscription = connection.subscribe(reports).await?;
        Ok(connection)
    }

    async fn subscribe(&self, reports: Arc<Newest>) -> Result<u32, String> {
        let heard = DataChangeCallback::new(move |report: DataValue, item: &MonitoredItem| {
            // Handles are positions plus one: the library gives 0 another one.
            let handle = item.client_handle() as usize;
            reports.put(handle.saturating_sub(1), report);
        });
        let subscription = self.session.create_subscription(
            self.period,
            LIFETIME_PERIODS,
            KEEP_ALIVE_PERIODS,
            0,
            0,
            true,
            heard,
        );
        subscription.await.map_err(|error| format!("the server refuses a subscription: {}", error.status()))
    }

    /// The names of the server's namespaces, in the order of their numbers.
    pub async fn namespaces(&self) -> Result<Vec<String>, String> {
        let read = self.read(&[VariableId::Server_NamespaceArray.into()]).await?;
        let names = match read.into_iter().next().and_then(|read| read.value) {
            Some(Variant::Array(array)) => array.values,
            _ => return Err("the server does not tell its namespaces".to_owned()),
        };
        Ok(names.into_iter().map(|name| name.to_string()).collect())
    }

    /// Watches items; what the server says to each. The deadband is left to us where a server cannot do it.
    pub async fn watch(&self, items: &[Item]) -> Result<Vec<StatusCode>, String> {
        let mut answers = Vec::with_capacity(items.len());
        for part in items.chunks(ITEMS_PER_REQUEST) {
            let mut said = self.ask_to_watch(part.iter().map(|item| self.wish(item, true)).collect()).await?;
            let again: Vec<usize> =
                (0..part.len()).filter(|&at| is_about_filter(said[at]) && part[at].deadband > 0.0).collect();
            if !again.is_empty() {
                let wishes = again.iter().map(|&at| self.wish(&part[at], false)).collect();
                for (at, status) in again.iter().zip(self.ask_to_watch(wishes).await?) {
                    said[*at] = status;
                }
            }
            answers.extend(said);
        }
        Ok(answers)
    }

    async fn ask_to_watch(&self, wishes: Vec<MonitoredItemCreateRequest>) -> Result<Vec<StatusCode>, String> {
        let count = wishes.len();
        let made =
            self.session.create_monitored_items(self.subscription, TimestampsToReturn::Both, wishes).await;
        let made = made.map_err(|error| format!("the server refuses monitored items: {}", error.status()))?;
        if made.len() != count {
            return Err(format!("the server answered {} of {count} monitored items", made.len()));
        }
        Ok(made.iter().map(|made| made.result.status_code).collect())
    }

    fn wish(&self, item: &Item, with_deadband: bool) -> MonitoredItemCreateRequest {
        let filter = if with_deadband && item.deadband > 0.0 {
            ExtensionObject::from_message(DataChangeFilter {
                trigger: DataChangeTrigger::StatusValue,
                deadband_type: DeadbandType::Absolute as u32,
                deadband_value: item.deadband,
            })
        } else {
            ExtensionObject::null()
        };
        MonitoredItemCreateRequest {
            item_to_monitor: value_of(&item.node),
            monitoring_mode: MonitoringMode::Reporting,
            requested_parameters: MonitoringParameters {
                client_handle: item.point as u32 + 1,
                sampling_interval: self.period.as_secs_f64() * 1e3,
                filter,
                // Only the newest counts.
                queue_size: 1,
                discard_oldest: true,
            },
        }
    }

    /// What nodes hold now, fresh from their source.
    pub async fn read(&self, nodes: &[NodeId]) -> Result<Vec<DataValue>, String> {
        let mut values = Vec::with_capacity(nodes.len());
        for part in nodes.chunks(ITEMS_PER_REQUEST) {
            let wanted: Vec<_> = part.iter().map(value_of).collect();
            let read = self.session.read(&wanted, TimestampsToReturn::Both, 0.0).await;
            let read = read.map_err(|error| format!("the server does not answer: {}", error.status()))?;
            if read.len() != part.len() {
                return Err(format!("the server answered {} of {} nodes", read.len(), part.len()));
            }
            values.extend(read);
        }
        Ok(values)
    }

    /// Whether the certificate with which it was opened is still the pinned one.
    ///
    /// # Errors
    /// The file says nothing that could be trusted: what was trusted goes on.
    pub fn is_trusted_still(&self, config: &OpcUaConfig) -> Result<bool, String> {
        let (Some(trusted), Some(path)) = (&self.trusted, &config.server_certificate) else {
            return Ok(true);
        };
        let wanted = pinned(path).map_err(|error| error.to_string())?;
        Ok(wanted.to_der().ok().as_ref() == Some(trusted))
    }

    /// What the server reports; see [`Newest::take`].
    pub fn reports(&self) -> Arc<Newest> {
        self.newest.clone()
    }

    /// Says good-bye, so that the server need not keep the session for us.
    pub async fn close(self, patience: Duration) {
        let _ = timeout(patience, self.session.disconnect()).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.events.abort();
    }
}

/// A task that ends with whoever waits for it.
struct AbortOnDrop(JoinHandle<StatusCode>);

impl AbortOnDrop {
    async fn ended(mut self) -> StatusCode {
        (&mut self.0).await.unwrap_or(StatusCode::BadInternalError)
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn value_of(node: &NodeId) -> ReadValueId {
    ReadValueId {
        node_id: node.clone(),
        attribute_id: AttributeId::Value as u32,
        index_range: Default::default(),
        data_encoding: QualifiedName::null(),
    }
}

fn is_about_filter(status: StatusCode) -> bool {
    let about = [
        StatusCode::BadMonitoredItemFilterUnsupported,
        StatusCode::BadMonitoredItemFilterInvalid,
        StatusCode::BadFilterNotAllowed,
        StatusCode::BadDeadbandFilterInvalid,
    ];
    about.contains(&status)
}

fn client(config: &OpcUaConfig, identity: &Identity, store: &Path) -> Result<Client, String> {
    // What was refused before may have been put right since.
    let rejected = store.join("rejected");
    if rejected.exists() {
        std::fs::remove_dir_all(&rejected).map_err(|error| format!("{}: {error}", rejected.display()))?;
    }
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let builder = ClientBuilder::new()
        .application_name("gridflex")
        .application_uri(identity.uri.clone())
        .product_uri("urn:gridflex")
        .session_name(format!("gridflex {}", config.name))
        .pki_dir(absolute(&store.to_owned()))
        .certificate_path(absolute(&identity.certificate))
        .private_key_path(absolute(&identity.key))
        .trust_server_certs(false)
        // It is compared with the pinned one, byte by byte; the names and dates in it are not what we trust.
        .verify_server_certs(false)
        .session_retry_limit(0)
        .recreate_subscriptions(false)
        .request_timeout(config.timeout)
        .publish_timeout(config.period * KEEP_ALIVE_PERIODS + config.timeout)
        .keep_alive_interval(config.timeout)
        .max_failed_keep_alive_count(1)
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_chunk_count(CHUNKS_MAX);
    builder.client().map_err(|reasons| reasons.join("; "))
}

/// The endpoint that is protected as wished; with our own idea of where the server is, as it may not know its address.
fn chosen(config: &OpcUaConfig, offered: &[EndpointDescription]) -> Result<EndpointDescription, String> {
    let (policy, mode) = config.security.parts();
    let found = offered.iter().find(|endpoint| {
        endpoint.security_mode == mode && endpoint.security_policy_uri.as_ref() == policy.to_uri()
    });
    let Some(found) = found else {
        let name = |endpoint: &EndpointDescription| {
            let uri = endpoint.security_policy_uri.as_ref();
            format!("{} {:?}", uri.rsplit('#').next().unwrap_or(uri), endpoint.security_mode)
        };
        let mut names: Vec<_> = offered.iter().take(20).map(name).collect();
        names.sort();
        names.dedup();
        return Err(format!(
            "{}: the server does not offer {}; it offers {}",
            config.endpoint,
            config.security,
            names.join(", ")
        ));
    };
    let mut endpoint = found.clone();
    endpoint.endpoint_url = config.endpoint.clone().into();
    let kind = match &config.user {
        super::security::User::Anonymous => UserTokenType::Anonymous,
        super::security::User::Password { .. } => UserTokenType::UserName,
        super::security::User::Certificate { .. } => UserTokenType::Certificate,
    };
    let takes = endpoint.user_identity_tokens.iter().flatten().any(|token| token.token_type == kind);
    if takes {
        return Ok(endpoint);
    }
    let what = match kind {
        UserTokenType::Anonymous => "anybody without a name; give user and password_file",
        UserTokenType::UserName => "users with a password",
        _ => "users with a certificate",
    };
    Err(format!("{}: the server does not let in {what}", config.endpoint))
}

/// Whether the server shows the certificate that is pinned; the library then holds it to its key.
fn check_certificate(
    config: &OpcUaConfig,
    endpoint: &EndpointDescription,
    store: &Path,
) -> Result<Vec<u8>, String> {
    let path = config.server_certificate.as_ref().ok_or("no server certificate is pinned")?;
    let wanted = pinned(path).map_err(|error| error.to_string())?;
    let shown = X509::from_byte_string(&endpoint.server_certificate)
        .map_err(|_| format!("{}: the server shows no certificate", config.endpoint))?;
    let written = |certificate: &X509, folder: &str| -> Result<PathBuf, String> {
        let der = certificate.to_der().map_err(|_| "a certificate cannot be written".to_owned())?;
        let folder = store.join(folder);
        let file = folder.join(CertificateStore::cert_file_name(certificate));
        let done = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, der));
        done.map(|()| file.clone()).map_err(|error| format!("{}: {error}", file.display()))
    };
    if let (Ok(shown), Ok(wanted_der)) = (shown.to_der(), wanted.to_der())
        && shown == wanted_der
    {
        // Where the library looks for those it may trust.
        return written(&wanted, "trusted").map(|_| shown);
    }
    let kept = written(&shown, "shown");
    let kept = kept.map_or_else(|error| error, |file| file.display().to_string());
    Err(format!(
        "{}: the server shows another certificate (thumbprint {}) than {} (thumbprint {}). If it was renewed, compare the \
         thumbprint with what the server itself says, and only then put {kept} in its place; if not, somebody is in between",
        config.endpoint,
        shown.thumbprint().as_hex_string(),
        path.display(),
        wanted.thumbprint().as_hex_string(),
    ))
}

/// What a status means to whoever has to put it right.
fn explained(config: &OpcUaConfig, identity: &Identity, status: StatusCode) -> String {
    let about_us = [
        StatusCode::BadCertificateUntrusted,
        StatusCode::BadSecurityChecksFailed,
        StatusCode::BadCertificateInvalid,
        StatusCode::BadCertificateUriInvalid,
        StatusCode::BadCertificateUseNotAllowed,
    ];
    let about_the_user = [
        StatusCode::BadIdentityTokenRejected,
        StatusCode::BadIdentityTokenInvalid,
        StatusCode::BadUserAccessDenied,
    ];
    let endpoint = &config.endpoint;
    if about_us.contains(&status) {
        let (file, thumbprint) = (identity.certificate.display(), &identity.thumbprint);
        return format!(
            "{endpoint}: the server does not trust us ({status}): let it trust our certificate {file}, thumbprint {thumbprint}"
        );
    }
    if about_the_user.contains(&status) {
        let who = match &config.user {
            super::security::User::Anonymous => "anonymous users; give user and password_file".to_owned(),
            super::security::User::Password { name, .. } => format!("user {name:?} or the password"),
            super::security::User::Certificate { certificate, .. } => {
                format!("the user certificate {}", certificate.display())
            }
        };
        return format!("{endpoint}: the server refuses {who} ({status})");
    }
    format!("{endpoint}: {status}")
}

/// A connector's name as the name of a directory.
fn directory_name(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect()
}
