//! The server behind TLS on an address that others can reach.

#![allow(clippy::unwrap_used)] // helpers outside the test functions may fail a test too

mod started;

use access::{Directory, Role, Scope};
use actors::picture::Picture;
use connectors::mqtt::door::TlsFiles;
use dashboards_server::{
    Access, Accounts, Limits, Listen, RunningServer, SET_UP_WITHIN, ServeError, Served, serve_with,
};
use grid::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use started::Hand;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::client::TlsStream;

const NAME: &str = "grid.example";
const PASSWORD: &str = "a long enough secret";

fn at_hand() -> Arc<Hand> {
    Hand::at(1_000_000)
}

fn certificate(folder: &Path) -> TlsFiles {
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    TlsFiles { certificate, key, client_authority: None, revoked: None }
}

fn served(folder: &Path, roles: &[Role]) -> (watch::Sender<Arc<Picture>>, Served) {
    let mut directory = Directory::default();
    for role in roles {
        directory.add_account(&role.to_string(), PASSWORD, vec![*role], Scope::Nothing).unwrap();
    }
    let path = folder.join("access.json");
    directory.write(&path).unwrap();
    started::served(Accounts::open(&path, &folder.join("audit.jsonl"), at_hand()).unwrap())
}

fn public(tls: Option<TlsFiles>, names: &[&str]) -> Listen {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    Listen { address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), tls, names }
}

async fn serve(listen: Listen, served: Served) -> Result<RunningServer, ServeError> {
    serve_with(listen, served, Limits::default(), |_| None).await
}

/// A connection of a client that trusts one certificate.
async fn connect(server: &RunningServer, certificate: &Path) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(
        config.with_root_certificates(roots).with_no_client_auth(),
    ));
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, server.address().port())).await.unwrap();
    connector.connect(ServerName::try_from(NAME).unwrap(), socket).await
}

/// What the server says over TLS to a client that trusts its certificate.
async fn ask(server: &RunningServer, certificate: &Path, request: &str) -> String {
    let mut socket = connect(server, certificate).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that closes without saying so has said everything.
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")
}

#[tokio::test]
async fn with_tls_and_an_administrator_others_may_reach_it_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (_picture, served) = served(folder.path(), &[Role::SecurityAdmin, Role::Operator]);
    let files = certificate(folder.path());
    let server = serve(public(Some(files.clone()), &[NAME]), served).await.unwrap();
    let ask = |request: String| {
        let (server, certificate) = (&server, &files.certificate);
        async move { ask(server, certificate, &request).await }
    };
    let alive = ask(get("/healthz", NAME)).await;
    assert!(alive.starts_with("HTTP/1.1 200") && alive.contains("strict-transport-security"), "{alive}");
    assert!(ask(get("/api/v1/snapshot", NAME)).await.starts_with("HTTP/1.1 401"));
    assert!(ask(get("/healthz", "evil.example")).await.starts_with("HTTP/1.1 421"));
    let body = format!("{{\"name\":\"operator\",\"password\":\"{PASSWORD}\"}}");
    let logged_in = ask(format!(
        "POST /api/v1/session HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    ));
    let logged_in = logged_in.await;
    assert!(
        logged_in.starts_with("HTTP/1.1 200") && logged_in.contains("SameSite=Strict; Secure"),
        "{logged_in}"
    );
    // Without TLS there is nothing to hear.
    let mut plain = TcpStream::connect((Ipv4Addr::LOCALHOST, server.address().port())).await.unwrap();
    plain.write_all(get("/healthz", NAME).as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    let _ = plain.read_to_end(&mut heard).await;
    assert!(!String::from_utf8_lossy(&heard).contains("HTTP/1.1 200"));
    server.stop().await;
}

/// Whether a connection that stays open is answered.
async fn is_answered(socket: &mut TlsStream<TcpStream>) -> bool {
    let request = format!("GET /healthz HTTP/1.1\r\nhost: {NAME}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    loop {
        let mut buffer = [0; 4096];
        let count = socket.read(&mut buffer).await.unwrap();
        answer.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        let length = |head: &str| -> usize {
            let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            line.map_or(0, |length| length.parse().unwrap())
        };
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if body.len() >= length(head) => return head.starts_with("HTTP/1.1 200"),
            _ => assert!(count > 0, "it ended after {answer}"),
        }
    }
}

/// Waits until something holds.
#[allow(clippy::disallowed_methods)] // wall time is measured
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let began = std::time::Instant::now();
    while !holds().await {
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "waited in vain for {what}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_under_open_connections_and_one_that_cannot_be_used_is_not_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let (_picture, served) = served(folder.path(), &[Role::SecurityAdmin]);
    let files = certificate(folder.path());
    let kept = |name: &str| {
        let copy = folder.path().join(name);
        std::fs::copy(&files.certificate, &copy).unwrap();
        copy
    };
    let first = kept("first.pem");
    let server = serve(public(Some(files.clone()), &[NAME]), served).await.unwrap();
    let mut open = connect(&server, &first).await.unwrap();
    assert!(is_answered(&mut open).await);

    // Renewed: new connections get the new one, the open one goes on.
    certificate(folder.path());
    let second = kept("second.pem");
    let shows = async |certificate: &Path| connect(&server, certificate).await.is_ok();
    until("the second certificate", || shows(&second)).await;
    assert!(!shows(&first).await && is_answered(&mut open).await);
    let noted = |outcome: &str| {
        let text = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap_or_default();
        text.lines().filter(|line| line.contains("renew http certificate") && line.contains(outcome)).count()
    };
    assert_eq!((noted("allowed"), noted("unusable")), (1, 0));

    // A certificate without its key, no certificate, no file at all: the second goes on, and each is written down.
    let key = std::fs::read(&files.key).unwrap();
    certificate(folder.path());
    let third = kept("third.pem");
    let third_key = std::fs::read(&files.key).unwrap();
    std::fs::write(&files.key, &key).unwrap();
    until("a key that does not belong to it", async || noted("unusable") == 1).await;
    std::fs::write(&files.certificate, "-----BEGIN CERTIFICATE-----\nhalf").unwrap();
    until("half a file", async || noted("unusable") == 2).await;
    std::fs::remove_file(&files.certificate).unwrap();
    until("no file", async || noted("unusable") == 3).await;
    assert!(shows(&second).await && !shows(&third).await && is_answered(&mut open).await);

    // Put right: the last one holds.
    std::fs::write(&files.key, third_key).unwrap();
    std::fs::copy(&third, &files.certificate).unwrap();
    until("the third certificate", || shows(&third)).await;
    assert!(!shows(&second).await && is_answered(&mut open).await);
    drop(open);
    server.stop().await;
}

#[tokio::test]
async fn a_token_of_one_site_is_refused_at_another_that_has_the_same_accounts() {
    let folder = tempfile::tempdir().unwrap();
    let (_picture, served) = served(folder.path(), &[Role::SecurityAdmin]);
    let files = certificate(folder.path());
    let path = folder.path().join("access.json");
    let now = Timestamp::from_seconds(1_000_000);
    let make = |site: Option<&str>, name: &str| {
        let made = Directory::change(&path, |directory| {
            directory.add_token_of(site, name, vec![Role::Viewer], Scope::Nothing, 1, now)
        });
        made.unwrap().secret
    };
    let (north, any) = (make(Some("north"), "robot"), make(None, "wanderer"));
    for (site, expected) in [("north", "200"), ("south", "401")] {
        let audit = folder.path().join(format!("{site}.jsonl"));
        let accounts = Accounts::open(&path, &audit, at_hand()).unwrap().of_site(site);
        let served = Served { access: Access::Accounts(Arc::new(accounts)), ..served.clone() };
        let server = serve(public(Some(files.clone()), &[NAME]), served).await.unwrap();
        let asks = async |token: &str| {
            let request = format!(
                "GET /api/v1/weather HTTP/1.1\r\nhost: {NAME}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
            );
            let answer = ask(&server, &files.certificate, &request).await;
            answer.split(' ').nth(1).unwrap().to_owned()
        };
        let (own, general) = (asks(&north).await, asks(&any).await);
        // Where it is let in there is no weather in this test: what matters is who is somebody.
        assert_eq!((own == "401", general == "401"), (expected == "401", false), "{site}: {own}, {general}");
        // The file is read again when it changes, and the site stays the same.
        make(None, &format!("later-{site}"));
        assert_eq!(asks(&north).await == "401", expected == "401", "{site}");
        server.stop().await;
    }
}

#[tokio::test]
async fn what_is_missing_for_a_public_address_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let files = certificate(folder.path());
    let refused = |listen: Listen, roles: &'static [Role]| {
        let (_picture, served) = served(folder.path(), roles);
        async move { serve(listen, served).await.unwrap_err().to_string() }
    };
    let admin: &[Role] = &[Role::SecurityAdmin];
    assert!(refused(public(None, &[NAME]), admin).await.contains("needs TLS"));
    assert!(
        refused(public(Some(files.clone()), &[NAME]), &[Role::Operator]).await.contains("an administrator")
    );
    assert!(refused(public(Some(files.clone()), &[]), admin).await.contains("names it is called by"));
    let broken = TlsFiles { key: files.certificate.clone(), ..files };
    let said = refused(public(Some(broken), &[NAME]), admin).await;
    assert!(said.starts_with("TLS: ") && said.contains("server.pem"), "{said}");
}

#[tokio::test]
async fn a_public_address_where_nobody_is_known_is_served_only_while_the_first_administrator_may_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let listen = public(Some(certificate(folder.path())), &[NAME]);
    let (_picture, fresh) = served(folder.path(), &[]);
    let refused = serve(listen.clone(), fresh.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("an administrator"), "{refused}");
    let (directory, audit) = (folder.path().join("none.json"), folder.path().join("other.jsonl"));
    let (accounts, token) = Accounts::open_or_set_up(&directory, &audit, at_hand()).unwrap();
    assert!(token.is_some_and(|token| token.len() >= 43), "256 bits");
    let served = Served { access: Access::Accounts(Arc::new(accounts)), ..fresh.clone() };
    let plain = serve(public(None, &[NAME]), served.clone()).await.unwrap_err().to_string();
    assert!(plain.contains("needs TLS"), "{plain}");
    tokio::time::pause();
    tokio::time::advance(SET_UP_WITHIN).await;
    let late = serve(listen.clone(), served).await.unwrap_err().to_string();
    assert!(late.contains("an administrator"), "{late}");
    tokio::time::resume();
    let (again, _) = Accounts::open_or_set_up(&directory, &audit, at_hand()).unwrap();
    let server = serve(listen, Served { access: Access::Accounts(Arc::new(again)), ..fresh }).await.unwrap();
    server.stop().await;
}

#[tokio::test]
#[allow(clippy::disallowed_methods)] // wall time is measured
async fn peers_that_never_finish_the_handshake_keep_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let (_picture, served) = served(folder.path(), &[Role::SecurityAdmin]);
    let files = certificate(folder.path());
    let server = serve(public(Some(files.clone()), &[NAME]), served).await.unwrap();
    let mut peers = Vec::new();
    for number in 0..400 {
        let mut peer = TcpStream::connect((Ipv4Addr::LOCALHOST, server.address().port())).await.unwrap();
        if number % 2 == 0 {
            // The head of a record that says it goes on.
            peer.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
        }
        peers.push(peer);
    }
    let began = std::time::Instant::now();
    assert!(ask(&server, &files.certificate, &get("/healthz", NAME)).await.starts_with("HTTP/1.1 200"));
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "after {:?}", began.elapsed());
    drop(peers);
    server.stop().await;
}
