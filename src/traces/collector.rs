//! The collector, reached over HTTP from the exporter's own thread, so that waiting for it holds up nobody.

use anyhow::Context;
use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Bytes of an answer that are read.
const ANSWER_MAX: u64 = 64 * 1024;

/// Where spans are sent.
#[derive(Debug)]
pub struct Collector {
    agent: Agent,
    /// Whether the last request failed.
    failing: AtomicBool,
}

impl Collector {
    /// One that is given so much time for each request, and trusts the certificates in a PEM file or, without one, those that this
    /// machine trusts.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate; there are none on this machine.
    pub fn new(timeout: Duration, encrypted: bool, certificates: Option<&str>) -> anyhow::Result<Self> {
        let mut config = Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false);
        if encrypted {
            let roots = RootCerts::Specific(Arc::new(trusted(certificates)?));
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let tls = TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider);
            config = config.tls_config(tls.build());
        }
        Ok(Self { agent: config.build().into(), failing: AtomicBool::new(false) })
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let response = self.agent.run(Request::from_parts(head, body.as_ref()))?;
        let (head, mut body) = response.into_parts();
        let body = body.with_config().limit(ANSWER_MAX).read_to_vec()?;
        Ok(Response::from_parts(head, Bytes::from(body)))
    }

    /// Says once that it does not work, and once that it does again.
    fn note(&self, trouble: Option<String>) {
        let failing = self.failing.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(trouble) if !failing => {
                tracing::warn!(%trouble, "the trace collector takes no spans; they are dropped and counted until it does");
            }
            None if failing => tracing::warn!("the trace collector takes spans again"),
            _ => {}
        }
    }
}

fn trusted(file: Option<&str>) -> anyhow::Result<Vec<Certificate<'static>>> {
    let Some(file) = file else {
        let found = rustls_native_certs::load_native_certs().certs;
        anyhow::ensure!(
            !found.is_empty(),
            "this machine trusts no certificate authority: name a PEM file in OTEL_EXPORTER_OTLP_CERTIFICATE"
        );
        return Ok(found.iter().map(|der| Certificate::from_der(der).to_owned()).collect());
    };
    let pem = std::fs::read(file).with_context(|| format!("OTEL_EXPORTER_OTLP_CERTIFICATE {file}"))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.with_context(|| format!("{file} is no PEM file"))? {
            certificates.push(certificate);
        }
    }
    anyhow::ensure!(
        !certificates.is_empty(),
        "OTEL_EXPORTER_OTLP_CERTIFICATE {file}: there is no certificate in it"
    );
    Ok(certificates)
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.send(request);
        self.note(match &sent {
            Err(error) => Some(error.to_string()),
            Ok(response) if !response.status().is_success() => {
                Some(format!("it answered {}", response.status()))
            }
            Ok(_) => None,
        });
        sent
    }
}
