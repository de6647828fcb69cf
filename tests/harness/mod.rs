//! What the whole-system stories share: the program as a child process, a small HTTP client, MQTT witnesses.
//!
//! Everything here stands outside the program and lives in real time, like the people and machines it plays.
#![allow(dead_code)] // each story uses its part
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests
#![allow(clippy::disallowed_methods)] // witnesses outside the program read the wall clock and run in threads

pub mod area;
pub mod checker;
pub mod cluster;
pub mod customer;
pub mod faults;
pub mod mqtt;
mod port;
pub mod readings;
mod soak;
pub mod stream;
pub mod traders;
pub mod wire;

#[allow(unused_imports)] // each story uses its part
pub use port::free_port;
#[allow(unused_imports)] // each story uses its part
pub use soak::{sized, soak_row};

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything that should come at once may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The program, quiet unless something is wrong.
pub fn gridflex<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gridflex"));
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// The demo's evening of six hours, so many times as fast as the clock, at places for its page and its broker.
pub fn evening(speed: u32, data: &Path, (page, broker): (u16, u16)) -> Command {
    let (speed, page, broker) = (speed.to_string(), page.to_string(), broker.to_string());
    let evening = ["demo", "--headless", "--json", "--duration", "6h", "--seed", "7", "--speed", &speed];
    let place = ["--data", text(data), "--port", &page, "--mqtt-port", &broker];
    gridflex(evening.into_iter().chain(place))
}

/// Runs the program to its end.
pub fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Output {
    gridflex(arguments).output().expect("the program starts")
}

/// Both outputs, for error messages.
pub fn words(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\n{out}\n{err}", output.status)
}

/// A path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// Repeats `look` until it finds something.
///
/// # Panics
/// When `within` has passed; says what was waited for.
pub fn wait_for<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < within, "waited {within:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A running `gridflex demo` or `gridflex serve`. Dropping it kills it.
pub struct Demo {
    child: Child,
    pub page: SocketAddr,
    pub broker: SocketAddr,
    out: Lines,
    err: Lines,
}

type Lines = Arc<Mutex<Vec<String>>>;

fn gather(stream: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let kept = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            kept.lock().unwrap().push(line);
        }
    });
    lines
}

impl Demo {
    /// Starts it and waits until it has said where it listens.
    pub fn start<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        Self::start_by(gridflex(["demo"].into_iter().chain(arguments)))
    }

    /// Starts `gridflex serve` on a site's file, and waits likewise.
    pub fn serve(site: &Path) -> Self {
        Self::start_by(gridflex(["serve", text(site)]))
    }

    /// The same by a command that becomes `gridflex demo` or `serve`.
    pub fn start_by(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (gather(child.stdout.take().unwrap()), gather(child.stderr.take().unwrap()));
        let said = |start: &str| -> Option<SocketAddr> {
            let (out, err) = (out.lock().unwrap(), err.lock().unwrap());
            let line = out.iter().chain(err.iter()).find_map(|line| line.trim().strip_prefix(start));
            line.map(|address| address.parse().expect("an address"))
        };
        let begin = Instant::now();
        let (page, broker) = loop {
            if let (Some(page), Some(broker)) = (said("page    http://"), said("broker  mqtt://")) {
                break (page, broker);
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("it ended with {status}: {:?}", err.lock().unwrap());
            }
            assert!(begin.elapsed() < PATIENCE, "the demo does not say where it listens");
            std::thread::sleep(Duration::from_millis(5));
        };
        Self { child, page, broker, out, err }
    }

    /// Waits for the first estimate.
    pub fn ready(self) -> Self {
        wait_for("/readyz", PATIENCE, || {
            get(self.page, "/readyz").ok().filter(|answer| answer.status == 200)
        });
        self
    }

    /// The newest picture.
    pub fn snapshot(&self) -> Value {
        get(self.page, "/api/v1/snapshot").expect("the demo answers").json()
    }

    /// What it has said on standard output so far.
    pub fn said(&self) -> String {
        self.out.lock().unwrap().join("\n")
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it without warning.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by name (`INT`, `TERM`).
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end; what it said.
    pub fn end(mut self, within: Duration) -> (ExitStatus, String, String) {
        let status = wait_for("the demo to end", within, || self.child.try_wait().unwrap());
        // The pipes are at their end now; the gathering threads need a moment to see it.
        std::thread::sleep(Duration::from_millis(100));
        (status, self.out.lock().unwrap().join("\n"), self.err.lock().unwrap().join("\n"))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

/// `GET`.
pub fn get(server: SocketAddr, path: &str) -> std::io::Result<Answer> {
    get_with(server, path, &[])
}

/// `GET` with further header lines.
pub fn get_with(server: SocketAddr, path: &str, headers: &[&str]) -> std::io::Result<Answer> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    exchange(server, head.as_bytes())
}

/// `POST` of a JSON body.
pub fn post(server: SocketAddr, path: &str, body: &Value) -> std::io::Result<Answer> {
    send("POST", server, path, body)
}

/// A JSON body by some method.
pub fn send(method: &str, server: SocketAddr, path: &str, body: &Value) -> std::io::Result<Answer> {
    let body = body.to_string();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    exchange(server, (head + &body).as_bytes())
}

/// `DELETE`.
pub fn delete(server: SocketAddr, path: &str) -> std::io::Result<Answer> {
    let head = format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    exchange(server, head.as_bytes())
}

/// One request on one connection. An answer that was cut off by a dying server is an error, never an answer.
fn exchange(server: SocketAddr, request: &[u8]) -> std::io::Result<Answer> {
    let broken = |what: &str| std::io::Error::other(what.to_owned());
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(15)))?;
    stream.write_all(request)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(|| broken("no head"))?;
    let head = String::from_utf8_lossy(&bytes[..split]).to_ascii_lowercase();
    let status =
        head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| broken("no status"))?;
    let body = bytes[split + 4..].to_vec();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    match length.and_then(|length| length.trim().parse::<usize>().ok()) {
        Some(length) if length != body.len() => Err(broken("a cut-off body")),
        _ => Ok(Answer { status, body }),
    }
}
