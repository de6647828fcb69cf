//! Signing in at an OpenID provider, over real HTTP. The provider is the test's own, because it misbehaves; a certified one is
//! asked in `tests/oidc.rs` of the program.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers outside the test functions may fail a test

mod encrypted;
mod provider;
mod refused;
mod renewed;
mod signed_in;
#[path = "../started/mod.rs"]
mod started;
mod unreachable;

use access::oidc::{Grants, GroupGrant, Lasts};
use access::{Directory, Role, Scope};
use actors::picture::Picture;
use dashboards_server::{Accounts, Limits, OIDC_CALLBACK, OidcConfig, RunningServer, serve_with};
use provider::{Provider, Reply};
use serde_json::{Value, json};
use started::Hand;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

const PASSWORD: &str = "a long enough secret";
const SECRET: &str = "a secret: with/odd+signs";

struct Running {
    server: RunningServer,
    clock: Arc<Hand>,
    issuer: String,
    audit: PathBuf,
    folder: tempfile::TempDir,
    _picture: watch::Sender<Arc<Picture>>,
}

/// What an answer says.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn cookie(&self, name: &str) -> Option<String> {
        let mut cookies = self.head.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
        cookies.find(|cookie| cookie.starts_with(&format!("{name}="))).map(str::to_owned)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}", self.body))
    }

    fn code(&self) -> String {
        self.json()["code"].as_str().unwrap().to_owned()
    }
}

/// A sign-in that was begun: what the provider and the browser know of it.
struct Begun {
    asked: BTreeMap<String, String>,
    cookie: String,
}

impl Running {
    async fn start(provider: &Provider) -> Self {
        Self::start_with(provider.issuer(), None).await
    }

    async fn start_with(issuer: String, authority: Option<PathBuf>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (path, audit) = (folder.path().join("access.json"), folder.path().join("audit.jsonl"));
        let mut directory = Directory::default();
        directory.add_account("ada", PASSWORD, vec![Role::Operator], Scope::Nothing).unwrap();
        directory.write(&path).unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let row = |group: &str, role| GroupGrant { group: group.to_owned(), role, prosumers: Vec::new() };
        let config = OidcConfig {
            name: "Stadtwerke <A>".to_owned(),
            issuer: issuer.clone(),
            client_id: "gridflex".to_owned(),
            client_secret_file: secret,
            public_url: "http://localhost:8080".to_owned(),
            groups_claim: "groups".to_owned(),
            scopes: vec!["profile".to_owned()],
            authority,
            skew: Duration::from_secs(30),
            lasts: Lasts { vouched: Duration::from_secs(3_600), asked_again: Duration::from_secs(600) },
            grants: Grants(vec![
                row("control-room", Role::Operator),
                row("watchers", Role::Viewer),
                row("admins", Role::SecurityAdmin),
            ]),
        };
        let clock = Hand::at(1_800_000_000);
        let accounts = Accounts::open(&path, &audit, Arc::<Hand>::clone(&clock)).unwrap();
        let accounts = accounts.with_oidc(config).unwrap();
        let (sender, served) = started::served(accounts);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = serve_with(address, served, Limits::default(), |_| None).await.unwrap();
        Self { server, clock, issuer, audit, folder, _picture: sender }
    }

    async fn ask_with(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut socket = TcpStream::connect(self.server.address()).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.replace("\r\n", "\n"), body: body.to_owned() }
    }

    async fn get(&self, path: &str, headers: &str) -> Answer {
        self.ask_with("GET", path, headers, "").await
    }

    fn now(&self) -> i64 {
        self.clock.0.load(Ordering::Relaxed)
    }

    fn wait(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
    }

    async fn begin(&self) -> Begun {
        let answer = self.get("/api/v1/session/oidc", "").await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        let address = answer.header("location").unwrap();
        let (place, query) = address.split_once('?').unwrap();
        assert_eq!(place, format!("{}/authorize", self.issuer));
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
        let asked = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let cookie = answer.cookie("gridflex_sign_in").unwrap();
        Begun { asked, cookie: cookie.split(';').next().unwrap().to_owned() }
    }

    /// What a good token says.
    fn says(&self, begun: &Begun) -> Value {
        json!({
            "iss": self.issuer, "aud": "gridflex", "sub": "248289761001", "nonce": begun.asked["nonce"],
            "iat": self.now(), "exp": self.now() + 300, "groups": ["control-room", "x"],
            "preferred_username": "grace <g>",
        })
    }

    /// The browser comes back with a code.
    async fn come_back(&self, begun: &Begun) -> Answer {
        let path = format!("{OIDC_CALLBACK}?code=c0de&state={}", begun.asked["state"]);
        self.get(&path, &format!("cookie: {}\r\n", begun.cookie)).await
    }

    /// Signs in with whatever token `made` gives for what a good one says.
    async fn sign_in(&self, provider: &Provider, made: impl FnOnce(&mut Value) -> Option<String>) -> Answer {
        let begun = self.begin().await;
        let mut says = self.says(&begun);
        let token = made(&mut says).unwrap_or_else(|| provider.signer.signed(&says));
        provider.tell("/token", Reply::Json(200, json!({ "id_token": token, "refresh_token": "r1" })));
        self.come_back(&begun).await
    }

    /// The cookie of somebody who signed in.
    async fn signed_in(&self, provider: &Provider) -> String {
        let answer = self.sign_in(provider, |_| None).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let cookie = answer.cookie("gridflex_session").unwrap();
        format!("cookie: {}\r\n", cookie.split(';').next().unwrap())
    }

    /// A count of `/metrics`.
    async fn count(&self, family: &str, outcome: &str) -> u64 {
        let body = json!({ "name": "ada", "password": PASSWORD }).to_string();
        let answer = self.ask_with("POST", "/api/v1/session", "", &body).await;
        let cookie = answer.cookie("gridflex_session").unwrap();
        let figures =
            self.get("/metrics", &format!("cookie: {}\r\n", cookie.split(';').next().unwrap())).await;
        let start = format!("{family}{{outcome=\"{outcome}\"}} ");
        let line = figures.body.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("no {start} in {}", figures.body)).parse().unwrap()
    }

    fn audit(&self) -> String {
        std::fs::read_to_string(&self.audit).unwrap()
    }
}
