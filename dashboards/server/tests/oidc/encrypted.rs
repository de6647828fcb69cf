//! A provider behind TLS: who may have signed its certificate is said in the site's file.

use super::Running;
use super::provider::{Provider, Reply};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// A certificate of `localhost`: its file, and what serves with it.
fn certificate(folder: &Path, name: &str) -> (PathBuf, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let chain = vec![CertificateDer::from_pem_file(&path).unwrap()];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    (path, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn a_provider_is_trusted_by_its_certificate_and_leads_nowhere_that_is_not_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let (own, acceptor) = certificate(folder.path(), "own.pem");
    let (other, _) = certificate(folder.path(), "other.pem");
    let provider = Provider::start_with(Some(acceptor)).await;
    let running = Running::start_with(provider.issuer(), Some(own.clone())).await;
    running.signed_in(&provider).await;
    assert!(provider.issuer().starts_with("https://"));
    running.server.stop().await;
    // Somebody else's certificate in its place: nothing is sent there.
    let asked = provider.count("/.well-known/openid-configuration");
    let running = Running::start_with(provider.issuer(), Some(other)).await;
    let answer = running.get("/api/v1/session/oidc", "").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "provider_unreachable"), "{}", answer.body);
    assert_eq!(provider.count("/.well-known/openid-configuration"), asked);
    running.server.stop().await;
    // It sends nobody to what is not encrypted, not even here.
    let mut document = provider.document();
    document["token_endpoint"] = json!("http://127.0.0.1:9/token");
    provider.tell("/.well-known/openid-configuration", Reply::Json(200, document));
    let running = Running::start_with(provider.issuer(), Some(own)).await;
    assert_eq!(running.get("/api/v1/session/oidc", "").await.code(), "provider_answer");
    running.server.stop().await;
    provider.stop().await;
}
