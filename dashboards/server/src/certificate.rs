//! The server's certificate: read again when its files change. Connections that are open keep theirs; those that come get the new
//! one. What cannot be used is not taken over: the last good one goes on, the log and the audit log say so, and it is counted.

use crate::guard::Access;
use actors::figures::{Family, Values};
use connectors::mqtt::door::TlsFiles;
use connectors::watched::Watched;
use rustls::ServerConfig;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// Who it is in the audit log.
const WHO: &str = "http-server";
const WHAT: &str = "renew http certificate";

/// What new connections are shown.
pub(crate) struct Certificate {
    config: Mutex<Arc<ServerConfig>>,
    renewed: AtomicU64,
    not_renewed: AtomicU64,
}

impl Certificate {
    pub(crate) fn new(config: ServerConfig) -> Arc<Self> {
        let config = Mutex::new(Arc::new(spoken(config)));
        Arc::new(Self { config, renewed: AtomicU64::new(0), not_renewed: AtomicU64::new(0) })
    }

    /// For a connection that comes now.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Figures for those who watch.
    pub(crate) fn family(&self) -> Family {
        let count = |outcome: &str, count: &AtomicU64| {
            (vec![("outcome", outcome.to_owned())], count.load(Ordering::Relaxed))
        };
        Family {
            name: "http_certificate_renewals_total",
            help: "Changes of the certificate's files that were taken over, and those that could not be.",
            values: Values::Totals(vec![
                count("renewed", &self.renewed),
                count("not_renewed", &self.not_renewed),
            ]),
        }
    }

    fn renew(&self, files: &TlsFiles, names: &str, access: &Access) {
        match files.server() {
            Ok(config) => {
                // Written down before it takes effect.
                access.write_down(WHO, WHAT, names, "allowed");
                let config = Arc::new(spoken((*config).clone()));
                *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
                self.renewed.fetch_add(1, Ordering::Relaxed);
                tracing::info!(files = %names, "new connections over HTTP get the new certificate");
            }
            Err(error) => {
                let reason = error.to_string();
                access.write_down(WHO, WHAT, &reason, "unusable");
                self.not_renewed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%reason, "the changed certificate of the HTTP server is not taken over; the old one goes on");
            }
        }
    }
}

/// Only what this server speaks inside TLS.
fn spoken(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Looks at the files until the server stops. `watched` saw them before they were read first.
pub(crate) async fn follow(
    certificate: Arc<Certificate>,
    files: TlsFiles,
    mut watched: Watched,
    access: Access,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        let names = tokio::select! {
            names = watched.changed() => names,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        let (certificate, files, access) = (Arc::clone(&certificate), files.clone(), access.clone());
        // It reads files and syncs the audit log.
        let renewing = tokio::task::spawn_blocking(move || certificate.renew(&files, &names, &access));
        if renewing.await.is_err() {
            tracing::error!("the HTTP server's certificate was not read again");
        }
    }
}
