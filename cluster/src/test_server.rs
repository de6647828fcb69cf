//! A NATS server of a test's own.

#[path = "../../tests/harness/port.rs"]
mod port;

use crate::nats::{Nats, Servers};
use port::free_port;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::sleep;

/// One server with JetStream, without others. Dropping it ends it.
pub struct TestServer {
    child: Child,
    pub url: String,
    _store: tempfile::TempDir,
}

impl TestServer {
    /// Starts one; `None` and a loud word where there is none to start.
    #[allow(clippy::print_stderr)] // what a test skips it says
    pub fn start() -> Option<Self> {
        let port = free_port().to_string();
        let store = tempfile::tempdir().unwrap();
        let mut command = Command::new("nats-server");
        command.args(["-js", "-a", "127.0.0.1", "-p", &port, "-sd", store.path().to_str().unwrap()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => Some(Self { child, url: format!("nats://127.0.0.1:{port}"), _store: store }),
            Err(error) => {
                eprintln!(
                    "SKIPPED: nats-server cannot be started ({error}; Debian: apt-get install nats-server)"
                );
                None
            }
        }
    }

    /// A connection for a member.
    pub async fn connect(&self, member: &str) -> Nats {
        let servers: Servers = self.url.parse().unwrap();
        for _ in 0..200 {
            if let Ok(nats) = Nats::connect(&servers, member, 1).await
                && nats.bucket().await.is_ok()
            {
                return nats;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("the NATS server does not answer");
    }

    /// Sends the server a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // Whatever the test left it in.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
