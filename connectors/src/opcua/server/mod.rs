//! The server: shows values to whoever has the right, and lets nobody change anything.
//!
//! Who publishes hands over a [`Catalogue`] once, and then again and again what its variables hold ([`Entry`]). What has not
//! changed is not sent again. In front of the library stands a listener of our own (`gate`).
//!
//! * `config` where it listens and who is let in; `admission` asks for the password;
//! * `catalogue` is what there is, `nodes` makes nodes of it;
//! * `gate` takes connections, within limits.

mod admission;
mod catalogue;
mod config;
mod gate;
mod nodes;

pub use admission::{Admission, Answer};
pub use catalogue::{Catalogue, Entry, Folder, Kind, Standing, Value, Variable};
pub use config::{ServerConfig, ServerError};
pub use gate::GateCounters;
pub(crate) use gate::read_chunk;

use super::identity::Identity;
use admission::Guard;
use gate::Gate;
use nodes::Nodes;
use opcua::core::sync::Mutex;
use opcua::crypto::SecurityPolicy;
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::{SimpleNodeManager, simple_node_manager};
use opcua::server::{ServerBuilder, ServerEndpoint, ServerHandle};
use opcua::types::MessageSecurityMode;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Name of the namespace of everything that is shown.
pub const NAMESPACE: &str = "urn:gridflex:published";
/// Sessions at a time.
const SESSIONS_MAX: usize = 64;
/// A session of which nothing is heard for this long ends.
const SESSION_TIMEOUT: Duration = Duration::from_secs(60);
/// Variables that one subscription may watch.
const ITEMS_PER_SUBSCRIPTION_MAX: usize = 100_000;
/// Certificates of strangers that are kept to be looked at; with more, the oldest go.
const STRANGERS_KEPT: usize = 32;
/// How often there is a look at how many there are.
const STRANGERS_LOOK: Duration = Duration::from_secs(2);
/// How long sessions may take to end.
const GOOD_BYE: Duration = Duration::from_secs(3);

/// A running server.
pub struct Server {
    address: SocketAddr,
    handle: ServerHandle,
    nodes: Nodes,
    manager: Arc<SimpleNodeManager>,
    shown: Mutex<Vec<Option<Entry>>>,
    gate: Gate,
    library: JoinHandle<()>,
    tidy: JoinHandle<()>,
    thumbprint: String,
}

impl Server {
    /// Listens. Must be called inside a tokio runtime. Every variable is bad, waiting for data, until something is published.
    /// Makes our own certificate when there is none.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn open(
        config: ServerConfig,
        catalogue: Catalogue,
        admission: Arc<dyn Admission>,
    ) -> Result<Self, ServerError> {
        config.check()?;
        let identity = Identity::open(&config.store, &config.application)?;
        let listener = TcpListener::bind(config.listen).await;
        let listener = listener.map_err(|source| ServerError::Listen { address: config.listen, source })?;
        let address = listener.local_addr().map_err(ServerError::Inside)?;
        // The library listens where only this machine can reach it; the gate is how others get there.
        let inside = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(ServerError::Inside)?;
        let inside_address = inside.local_addr().map_err(ServerError::Inside)?;
        let (server, handle) =
            builder(&config, &identity, address, admission).build().map_err(ServerError::Library)?;
        let manager = handle.node_managers().get_of_type::<SimpleNodeManager>();
        let manager = manager.ok_or_else(|| ServerError::Library("no node manager".to_owned()))?;
        let namespace = handle.get_namespace_index(NAMESPACE).unwrap_or_default();
        let nodes = Nodes::new(&catalogue, namespace, &mut manager.address_space().write());
        let shown = Mutex::new(vec![None; catalogue.variables.len()]);
        let library = tokio::spawn(async move {
            if let Err(reason) = server.run_with(inside).await {
                tracing::error!(%reason, "opcua server ended");
            }
        });
        // It tells clients where it listens; they have to come to the gate.
        let told = &handle.info().port;
        while told.load(Ordering::Relaxed) == 0 {
            if library.is_finished() {
                return Err(ServerError::Library("it ended at once".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        told.store(address.port(), Ordering::Relaxed);
        let trusted = config.store.join("server").join("trusted");
        let gate = Gate::open(listener, inside_address, config.allows_plain(), trusted);
        let rejected = config.store.join("server").join("rejected");
        let tidy = tokio::spawn(async move {
            loop {
                tokio::time::sleep(STRANGERS_LOOK).await;
                keep_newest(&rejected, STRANGERS_KEPT);
            }
        });
        let thumbprint = identity.thumbprint;
        Ok(Self { address, handle, nodes, manager, shown, gate, library, tidy, thumbprint })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// SHA-1 of our certificate, by which clients recognise us.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// What came to the gate so far.
    pub fn counters(&self) -> &GateCounters {
        self.gate.counters()
    }

    /// Ends all connections; whoever comes back has to prove again who it is.
    pub fn cut(&self) {
        self.gate.cut();
    }

    /// Shows what the variables hold now, in the order of the catalogue; `None` leaves one as it is. Returns how many changed.
    pub fn publish(&self, entries: impl IntoIterator<Item = Option<Entry>>) -> usize {
        let mut shown = self.shown.lock();
        let mut changed = Vec::new();
        for ((at, last), entry) in shown.iter_mut().enumerate().zip(entries) {
            let Some(entry) = entry else { continue };
            if last.as_ref() == Some(&entry) {
                continue;
            }
            changed.push((self.nodes.id(at), entry.wire()));
            *last = Some(entry);
        }
        let values = changed.iter().map(|(node, value)| (*node, None, value.clone()));
        if let Err(status) = self.manager.set_values(self.handle.subscriptions(), values) {
            tracing::error!(%status, "opcua values cannot be shown");
        }
        changed.len()
    }

    /// Ends all sessions and stops listening.
    pub async fn close(mut self) {
        self.gate.close().await;
        self.handle.cancel();
        if tokio::time::timeout(GOOD_BYE, &mut self.library).await.is_err() {
            self.library.abort();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.library.abort();
        self.tidy.abort();
    }
}

fn builder(
    config: &ServerConfig,
    identity: &Identity,
    address: SocketAddr,
    admission: Arc<dyn Admission>,
) -> ServerBuilder {
    let absolute = |path: &std::path::PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let host = config.host.clone().unwrap_or_else(|| match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    });
    let mut builder = ServerBuilder::new()
        .application_name("gridflex")
        .application_uri(identity.uri.clone())
        .product_uri("urn:gridflex")
        .pki_dir(absolute(&config.store.join("server")))
        .certificate_path(absolute(&identity.certificate))
        .private_key_path(absolute(&identity.key))
        .trust_client_certs(false)
        .check_cert_time(true)
        .host(host.clone())
        .port(address.port())
        .discovery_urls(vec![format!("opc.tcp://{host}:{}/", address.port())])
        .max_sessions(SESSIONS_MAX)
        .max_session_timeout_ms(SESSION_TIMEOUT.as_millis() as u64)
        .with_authenticator(Arc::new(Guard::new(admission, config.anonymous)))
        .with_node_manager(simple_node_manager(
            NamespaceMetadata { namespace_uri: NAMESPACE.to_owned(), ..NamespaceMetadata::default() },
            "published",
        ));
    builder.limits_mut().subscriptions.max_monitored_items_per_sub = ITEMS_PER_SUBSCRIPTION_MAX;
    builder.limits_mut().operational.max_nodes_per_write = 1;
    let encrypted = MessageSecurityMode::SignAndEncrypt;
    for policy in [
        SecurityPolicy::Basic256Sha256,
        SecurityPolicy::Aes128Sha256RsaOaep,
        SecurityPolicy::Aes256Sha256RsaPss,
    ] {
        builder = builder.add_endpoint(policy.to_str(), ServerEndpoint::new("/", policy, encrypted, &[]));
    }
    if config.allows_plain() {
        builder = builder.add_endpoint("none", ServerEndpoint::new_none("/", &[]));
    }
    builder
}

/// Leaves the newest files of a directory: whoever comes with ever new certificates fills no disk.
fn keep_newest(directory: &std::path::Path, count: usize) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let mut files: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    let surplus = files.len().saturating_sub(count);
    for (_, path) in files.into_iter().take(surplus) {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_strangers_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..5_u64 {
            let file = std::fs::File::create(directory.path().join(number.to_string())).unwrap();
            let modified = std::time::UNIX_EPOCH + Duration::from_secs(number);
            file.set_modified(modified).unwrap();
        }
        keep_newest(directory.path(), 2);
        let mut left: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["3", "4"]);
        keep_newest(std::path::Path::new("/no/such/directory"), 2);
    }
}
