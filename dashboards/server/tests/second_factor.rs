//! Logging in with a second factor, and what is refused without one, over real HTTP. The app of the person is `totp-rs`, from the
//! address that the program shows.

#![allow(clippy::unwrap_used)] // helpers outside the test functions may fail a test too

mod started;

use access::{
    Action, Directory, GUESSES_PER_NAME, GUESSES_WITHIN, Resource, Role, Scope, SecondFactor, verify_audit,
};
use actors::picture::Picture;
use dashboards_server::{Accounts, Limits, RunningServer, serve_with};
use serde_json::{Value, json};
use started::Hand;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

const PASSWORD: &str = "a long enough secret";

struct Running {
    server: RunningServer,
    clock: Arc<Hand>,
    app: totp_rs::Totp,
    directory: PathBuf,
    audit: PathBuf,
    _folder: tempfile::TempDir,
    _picture: watch::Sender<Arc<Picture>>,
}

/// `ada` has a second factor, `bob` has none; both are operators.
async fn start(wanted: bool) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let (path, audit) = (folder.path().join("access.json"), folder.path().join("audit.jsonl"));
    let factor = SecondFactor::new().unwrap();
    let mut directory = Directory::default();
    for name in ["ada", "bob"] {
        directory.add_account(name, PASSWORD, vec![Role::Operator], Scope::Nothing).unwrap();
    }
    directory.set_second_factor("ada", Some(factor.clone())).unwrap();
    directory.write(&path).unwrap();
    let clock = Hand::at(1_800_000_000);
    let accounts = Accounts::open(&path, &audit, Arc::<Hand>::clone(&clock)).unwrap();
    let (picture, served) = started::served(accounts.wanting_second_factor(wanted));
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = serve_with(address, served, Limits::default(), |_| None).await.unwrap();
    let secret = factor.address("ada").split_once("secret=").unwrap().1[..32].to_owned();
    let app = totp_rs::Builder::new().with_secret(totp_rs::Secret::try_from_base32(secret).unwrap());
    let app = app.build().unwrap();
    Running { server, clock, app, directory: path, audit, _folder: folder, _picture: picture }
}

impl Running {
    async fn ask(&self, method: &str, path: &str, cookie: &str, body: &str) -> (u16, String, Value) {
        let mut socket = TcpStream::connect(self.server.address()).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncookie: {cookie}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, cookie.unwrap_or_default().to_owned(), serde_json::from_str(body).unwrap_or_default())
    }

    /// The status, the cookie or the code of the refusal.
    async fn log_in(&self, name: &str, password: &str, code: Option<&str>) -> (u16, String) {
        let mut body = json!({ "name": name, "password": password });
        if let Some(code) = code {
            body["code"] = code.into();
        }
        let (status, cookie, body) = self.ask("POST", "/api/v1/session", "", &body.to_string()).await;
        if status == 200 { (status, cookie) } else { (status, body["code"].as_str().unwrap().to_owned()) }
    }

    /// What the app shows now.
    fn shown(&self) -> String {
        self.app.generate(self.clock.0.load(Ordering::Relaxed) as u64).to_string()
    }

    fn wait(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::Relaxed);
    }

    fn outcomes(&self) -> Vec<String> {
        let log = std::fs::read_to_string(&self.audit).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"].clone());
        lines.map(|entry| format!("{} {}", entry["who"], entry["outcome"]).replace('"', "")).collect()
    }
}

fn refused(code: &str) -> (u16, String) {
    (401, code.to_owned())
}

#[tokio::test]
async fn who_has_a_second_factor_needs_password_and_a_code_that_was_not_used() {
    let running = start(false).await;
    assert_eq!(running.log_in("ada", PASSWORD, None).await, refused("code_needed"));
    assert_eq!(running.log_in("ada", PASSWORD, Some("000000x")).await, refused("wrong_code"));
    // A right code tells nothing of the password.
    let code = running.shown();
    assert_eq!(running.log_in("ada", "not the password", Some(&code)).await, refused("wrong_password"));
    let (status, session) = running.log_in("ada", PASSWORD, Some(&code)).await;
    assert_eq!(status, 200, "{session}");
    assert_eq!(running.log_in("ada", PASSWORD, Some(&code)).await, refused("used_code"));
    running.wait(30);
    assert_eq!(running.log_in("ada", PASSWORD, Some(&running.shown())).await.0, 200);
    assert_eq!(running.log_in("bob", PASSWORD, None).await.0, 200);
    let expected = ["ada code_needed", "ada wrong_code", " wrong_password", "ada allowed", "ada used_code"];
    assert_eq!(running.outcomes(), [&expected[..], &["ada allowed", "bob allowed"]].concat());
    assert_eq!(verify_audit(&running.audit, None).unwrap().broken, None);

    // Another second factor, or none, ends the sessions that were begun with this one.
    let who = async || running.ask("GET", "/api/v1/session", &session, "").await.0;
    assert_eq!(who().await, 200);
    Directory::change(&running.directory, |directory| directory.set_second_factor("ada", None)).unwrap();
    assert_eq!(who().await, 401);
    assert_eq!(running.log_in("ada", PASSWORD, None).await.0, 200);
}

#[test]
fn a_door_that_asks_for_no_code_lets_nobody_in_who_has_a_second_factor() {
    let folder = tempfile::tempdir().unwrap();
    let (path, audit) = (folder.path().join("access.json"), folder.path().join("audit.jsonl"));
    let mut directory = Directory::default();
    for name in ["ada", "bob"] {
        directory.add_account(name, PASSWORD, vec![Role::Operator], Scope::Nothing).unwrap();
    }
    directory.set_second_factor("ada", SecondFactor::new()).unwrap();
    directory.write(&path).unwrap();
    let accounts = Accounts::open(&path, &audit, Hand::at(1_800_000_000)).unwrap();
    let admits =
        |name: &str| accounts.admits("OPC UA", name, PASSWORD, (Resource::Picture, Action::Read)).is_some();
    assert!(admits("bob") && !admits("ada"));
    let log = std::fs::read_to_string(&audit).unwrap();
    assert!(log.contains("\"log in over OPC UA\"") && log.contains("\"code_needed\""), "{log}");
}

#[tokio::test]
async fn ten_wrong_codes_and_it_waits_although_the_next_one_is_right() {
    let running = start(false).await;
    for _ in 0..GUESSES_PER_NAME {
        assert_eq!(running.log_in("ada", PASSWORD, Some("12345")).await, refused("wrong_code"));
    }
    let barred = (429, "too_many_failures".to_owned());
    assert_eq!(running.log_in("ada", PASSWORD, Some(&running.shown())).await, barred);
    assert_eq!(running.log_in("bob", PASSWORD, None).await.0, 200, "it is nobody else's fault");
    running.wait(GUESSES_WITHIN.as_secs() as i64);
    assert_eq!(running.log_in("ada", PASSWORD, Some(&running.shown())).await.0, 200);
}

#[tokio::test]
async fn where_it_is_wanted_who_has_none_looks_and_commands_nothing() {
    for wanted in [true, false] {
        let running = start(wanted).await;
        let (_, with) = running.log_in("ada", PASSWORD, Some(&running.shown())).await;
        let (_, without) = running.log_in("bob", PASSWORD, None).await;
        let command = async |cookie: &str| {
            let (status, _, body) = running.ask("DELETE", "/api/v1/quarantine/1", cookie, "").await;
            (status, body["code"].as_str().unwrap().to_owned())
        };
        // There is nothing in quarantine: that is said to whoever may ask.
        let nothing = (404, "not_found".to_owned());
        assert_eq!(command(&with).await, nothing);
        let expected = if wanted { (403, "second_factor_needed".to_owned()) } else { nothing };
        assert_eq!(command(&without).await, expected);
        let (status, _, session) = running.ask("GET", "/api/v1/session", &without, "").await;
        assert_eq!((status, session["lacks_second_factor"] == true), (200, wanted));
        assert_eq!(running.ask("GET", "/api/v1/network", &without, "").await.0, 200);
        assert_eq!(running.outcomes().contains(&"bob second_factor_needed".to_owned()), wanted);
        // It counts at once, and the directory is read again where it is wanted still.
        let factor = SecondFactor::new();
        Directory::change(&running.directory, |directory| directory.set_second_factor("ada", factor))
            .unwrap();
        assert_eq!(command(&without).await.0, if wanted { 403 } else { 404 });
    }
}
