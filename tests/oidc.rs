//! `gridflex serve` with a certified OpenID provider of somebody else: npm's oidc-provider, in whose forms a browser of the test
//! signs in, as a person does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test

mod harness;

use harness::{Demo, PATIENCE, free_port, run, text, wait_for, words};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const SECRET: &str = "a secret of the provider";

/// Where npm's packages for the peers are; without them the stories are skipped, loudly.
fn modules() -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/oidc/node_modules");
    let node = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    if node && found.join("oidc-provider/package.json").exists() {
        return Some(found);
    }
    println!(
        "SKIPPED: node, or oidc-provider in {}, is missing: scripts/setup.sh test installs it",
        found.display()
    );
    None
}

/// The provider, ended when it is dropped.
struct Provider {
    child: Child,
    orders: ChildStdin,
    said: BufReader<ChildStdout>,
    port: u16,
}

impl Provider {
    fn start(modules: &Path, port: u16, page: u16, more: Value) -> Self {
        let mut told = json!({
            "port": port, "alg": "RS256", "redirect": format!("http://127.0.0.1:{page}/api/v1/session/oidc/callback"),
            "logout": format!("http://127.0.0.1:{page}/login"), "secret": SECRET, "in_token": true,
            "groups": { "ada": ["control-room"], "grace": ["guests"] },
        });
        told.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/openid_provider.mjs");
        let mut child = Command::new("node")
            .args([text(&script), text(modules), &told.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (orders, said) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut provider = Self { child, orders, said, port };
        assert_eq!(provider.line(), "listening");
        provider
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Puts people into groups.
    fn change(&mut self, people: &Value) {
        writeln!(self.orders, "{people}").unwrap();
        assert_eq!(self.line(), "changed");
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A site whose people sign in there.
fn site(directory: &Path, provider: u16, page: u16) -> PathBuf {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/example-site");
    for entry in std::fs::read_dir(example).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, directory.join(path.file_name().unwrap())).unwrap();
        }
    }
    let secret = directory.join("oidc.secret");
    std::fs::write(&secret, SECRET).unwrap();
    assert!(Command::new("chmod").args(["600", text(&secret)]).status().unwrap().success());
    let accounts = directory.join("access.json");
    let made = run(["access", "token", "figures", "--role", "viewer", "--file", text(&accounts)]);
    assert!(made.status.success(), "{}", words(&made));
    std::fs::write(directory.join("token"), made.stdout).unwrap();
    let example = std::fs::read_to_string(directory.join("site.toml")).unwrap();
    let network = example.lines().skip_while(|line| *line != "[network]").take_while(|line| !line.is_empty());
    let network: Vec<&str> = network.collect();
    let path = directory.join("site.toml");
    let written = format!(
        "name = \"riverside\"\n[http]\nlisten = \"127.0.0.1:{page}\"\naccounts = \"access.json\"\n\
         [mqtt]\nlisten = \"127.0.0.1:0\"\n{}\n\
         [oidc]\nname = \"Stadtwerke\"\nissuer = \"http://127.0.0.1:{provider}\"\nclient_id = \"gridflex\"\n\
         client_secret_file = \"oidc.secret\"\npublic_url = \"http://127.0.0.1:{page}\"\nrecheck_minutes = 0.05\n\
         [[oidc.group]]\ngroup = \"control-room\"\nrole = \"operator\"\n\
         [[oidc.group]]\ngroup = \"homes\"\nrole = \"prosumer\"\nprosumers = \"3, 4\"\n",
        network.join("\n")
    );
    std::fs::write(&path, written).unwrap();
    path
}

/// What a browser is shown.
#[derive(Debug)]
struct Shown {
    address: String,
    status: u16,
    body: String,
}

/// A browser: it keeps cookies by port, goes where it is sent, and fills in forms.
#[derive(Default)]
struct Browser {
    cookies: BTreeMap<u16, BTreeMap<String, String>>,
}

impl Browser {
    /// One request to `http://127.0.0.1:port/…`: status, where it is sent, and the body.
    fn ask(&mut self, method: &str, address: &str, form: &str) -> (u16, Option<String>, String) {
        let rest = address.strip_prefix("http://127.0.0.1:").unwrap_or_else(|| panic!("sent to {address}"));
        let (port, path) = rest.split_once('/').unwrap();
        let port: u16 = port.parse().unwrap();
        let cookies = self.cookies.entry(port).or_default();
        let kept: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookie = if kept.is_empty() { String::new() } else { format!("Cookie: {}\r\n", kept.join("; ")) };
        let request = format!(
            "{method} /{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nAccept: text/html,*/*\r\n{cookie}\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut sent = None;
        for line in head.lines() {
            let Some((name, value)) = line.split_once(": ") else { continue };
            match name.to_ascii_lowercase().as_str() {
                "set-cookie" => {
                    let (name, value) = value.split(';').next().unwrap().split_once('=').unwrap();
                    let cookies = self.cookies.entry(port).or_default();
                    match value {
                        "" => cookies.remove(name),
                        _ => cookies.insert(name.to_owned(), value.to_owned()),
                    };
                }
                "location" => {
                    let here = format!("http://127.0.0.1:{port}");
                    sent = Some(if value.starts_with('/') { here + value } else { value.to_owned() });
                }
                _ => {}
            }
        }
        (status, sent, body.to_owned())
    }

    fn go(&mut self, method: &str, address: &str, form: &str) -> Shown {
        let (mut method, mut address, mut form) = (method, address.to_owned(), form);
        for _ in 0..20 {
            let (status, sent, body) = self.ask(method, &address, form);
            match sent {
                Some(next) if (300..400).contains(&status) => (method, address, form) = ("GET", next, ""),
                _ => return Shown { address, status, body },
            }
        }
        panic!("sent on and on: {address}");
    }

    fn open(&mut self, address: &str) -> Shown {
        self.go("GET", address, "")
    }

    /// Sends the form of a page, with what it hides and what somebody fills in.
    fn submit(&mut self, shown: &Shown, filled: &[(&str, &str)]) -> Shown {
        let of = |tag: &str, name: &str| {
            let found = tag.split(&format!("{name}=\"")).nth(1)?;
            found.split('"').next().map(str::to_owned)
        };
        let form = shown.body.split("<form").nth(1).unwrap_or_else(|| panic!("no form: {shown:?}"));
        let form = form.split("</form>").next().unwrap();
        let action = of(form, "action").unwrap();
        let hidden = form.split("<input").skip(1).filter(|tag| tag.contains("type=\"hidden\""));
        let hidden = hidden.filter_map(|tag| Some((of(tag, "name")?, of(tag, "value")?)));
        let filled = filled.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let pairs: Vec<String> =
            hidden.chain(filled).map(|(name, value)| format!("{name}={value}")).collect();
        self.go("POST", &action, &pairs.join("&"))
    }

    /// Signs in at the provider as somebody, and says yes to whatever it asks.
    fn sign_in(&mut self, page: u16, name: &str) -> Shown {
        let form = self.open(&format!("http://127.0.0.1:{page}/api/v1/session/oidc"));
        let mut shown = self.submit(&form, &[("login", name), ("password", "x")]);
        while shown.body.contains("value=\"consent\"") {
            shown = self.submit(&shown, &[]);
        }
        shown
    }

    fn json(&mut self, page: u16, path: &str) -> (u16, Value) {
        let shown = self.open(&format!("http://127.0.0.1:{page}{path}"));
        (shown.status, serde_json::from_str(&shown.body).unwrap_or_default())
    }
}

fn audit(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("data/audit.jsonl")).unwrap()
}

#[test]
fn a_person_signs_in_at_a_certified_provider_and_what_changes_there_changes_here() {
    let Some(modules) = modules() else { return };
    let directory = tempfile::tempdir().unwrap();
    let (port, page) = (free_port(), free_port());
    let file = site(directory.path(), port, page);
    let checked = run(["check", text(&file)]);
    assert!(checked.status.success(), "{}", words(&checked));
    // It is not asked before somebody wants to sign in.
    let running = Demo::serve(&file);
    let mut browser = Browser::default();
    let down = browser.open(&format!("http://127.0.0.1:{page}/api/v1/session/oidc"));
    assert!(down.status == 503 && down.body.contains("Stadtwerke cannot be used now"), "{down:?}");
    std::thread::sleep(std::time::Duration::from_secs(5));
    let mut provider = Provider::start(&modules, port, page, json!({}));
    let shown = browser.sign_in(page, "ada");
    assert!(shown.status == 200 && shown.body.contains("You are signed in."), "{shown:?}");
    let (status, who) = browser.json(page, "/api/v1/session");
    assert_eq!((status, who), (200, json!({ "name": "oidc/ada", "label": "ada", "roles": ["operator"] })));
    assert_eq!(browser.json(page, "/api/v1/network").0, 200);
    // The code is worth nothing a second time, nor is the way back.
    assert_eq!(browser.open(&shown.address).status, 400);
    // Nobody else gets in.
    let mut other = Browser::default();
    let refused = other.sign_in(page, "grace");
    assert!(
        refused.status == 403
            && refused.body.contains("Stadtwerke knows you as grace, but none of your groups"),
        "{refused:?}"
    );
    assert_eq!(other.json(page, "/api/v1/session").0, 401);
    let mut cancelled = Browser::default();
    let form = cancelled.open(&format!("http://127.0.0.1:{page}/api/v1/session/oidc"));
    let abort = form
        .body
        .split("href=\"")
        .map(|rest| rest.split('"').next().unwrap())
        .find(|link| link.ends_with("/abort"));
    let back = cancelled.open(abort.unwrap());
    assert!(back.status == 401 && back.body.contains("access_denied"), "{back:?}");
    // Another group, and then none at all: the provider is asked again every three seconds here.
    provider.change(&json!({ "ada": ["homes"] }));
    wait_for("another role", PATIENCE, || {
        (browser.json(page, "/api/v1/session").1["roles"] == json!(["prosumer"])).then_some(())
    });
    assert_eq!(browser.json(page, "/api/v1/network").0, 403);
    provider.change(&json!({ "ada": null }));
    wait_for("the end of the session", PATIENCE, || {
        (browser.json(page, "/api/v1/session").0 == 401).then_some(())
    });
    let log = audit(directory.path());
    for line in [
        "\"who\":\"oidc/ada\",\"what\":\"log in over openid connect\",\"object\":\"ada (operator)\",\"outcome\":\"allowed\"",
        "\"who\":\"oidc/grace\",\"what\":\"log in over openid connect\",\"object\":\"grace\",\"outcome\":\"no_role\"",
        "\"who\":\"oidc/ada\",\"what\":\"end session\"",
        "\"outcome\":\"provider_unreachable\"",
        "\"outcome\":\"sent_back\"",
        "\"outcome\":\"state_unknown\"",
    ] {
        assert!(log.contains(line), "{line} is not in {log}");
    }
    drop(running);
    assert!(run(["access", "audit", text(&directory.path().join("data/audit.jsonl"))]).status.success());
}

#[test]
fn whoever_logs_out_is_logged_out_at_the_provider_too() {
    let Some(modules) = modules() else { return };
    let directory = tempfile::tempdir().unwrap();
    let (port, page) = (free_port(), free_port());
    let provider = Provider::start(&modules, port, page, json!({ "in_token": false }));
    let _running = Demo::serve(&site(directory.path(), port, page));
    let mut browser = Browser::default();
    // Here the groups are not in the token: the provider is asked for them.
    assert_eq!(browser.sign_in(page, "ada").status, 200);
    // Whoever is known there signs in here without another password.
    let again = browser.open(&format!("http://127.0.0.1:{page}/api/v1/session/oidc"));
    assert!(again.body.contains("You are signed in."), "{again:?}");
    let (status, _, body) = browser.ask("DELETE", &format!("http://127.0.0.1:{page}/api/v1/session"), "");
    assert_eq!(status, 200, "{body}");
    let farewell = serde_json::from_str::<Value>(&body).unwrap()["log_out_at"].as_str().unwrap().to_owned();
    assert!(farewell.starts_with(&format!("http://127.0.0.1:{}/session/end?", provider.port)), "{farewell}");
    assert_eq!(browser.json(page, "/api/v1/session").0, 401);
    let asked = browser.open(&farewell);
    let back = browser.submit(&asked, &[("logout", "yes")]);
    assert_eq!(back.address, format!("http://127.0.0.1:{page}/login"), "{back:?}");
    assert!(back.status == 200 && back.body.contains("Sign in with Stadtwerke"), "{back:?}");
    let form = browser.open(&format!("http://127.0.0.1:{page}/api/v1/session/oidc"));
    assert!(form.body.contains("name=\"login\""), "it asks who you are again: {form:?}");
    assert!(audit(directory.path()).contains("\"who\":\"oidc/ada\",\"what\":\"log out\""));
}

#[test]
fn tokens_of_every_algorithm_that_is_taken_are_taken() {
    let Some(modules) = modules() else { return };
    for algorithm in ["PS256", "ES256", "ES384", "EdDSA"] {
        let directory = tempfile::tempdir().unwrap();
        let (port, page) = (free_port(), free_port());
        let _provider = Provider::start(&modules, port, page, json!({ "alg": algorithm }));
        let _running = Demo::serve(&site(directory.path(), port, page));
        let mut browser = Browser::default();
        let shown = browser.sign_in(page, "ada");
        assert_eq!(shown.status, 200, "{algorithm}: {shown:?}");
    }
}
