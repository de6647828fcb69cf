//! A journal's disk against a real NATS server.

use super::*;
use crate::nats::{Nats, Servers};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// Killed when dropped.
struct Server {
    child: Child,
    servers: Servers,
}

impl Server {
    /// One alone; `None` and a loud word where there is none.
    #[allow(clippy::print_stderr)] // what a test skips it says
    fn start(directory: &Path) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let mut command = Command::new("nats-server");
        command.args(["-js", "-a", "127.0.0.1", "-p", &port, "-sd"]).arg(directory);
        match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => Some(Self { child, servers: format!("nats://127.0.0.1:{port}").parse().unwrap() }),
            Err(_) => {
                eprintln!("SKIPPED: nats-server is not installed (Debian: apt-get install nats-server)");
                None
            }
        }
    }

    async fn connect(&self) -> Nats {
        for _ in 0..100 {
            if let Ok(nats) = Nats::connect(&self.servers, "a", 1).await {
                return nats;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("nats-server does not answer");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn mirrored(directory: &Path, nats: &Nats) -> Mirrored {
    let stream = nats.journal("north").await.unwrap();
    let mut replica = Replica::open(directory).unwrap();
    claim(&stream, &mut replica, "a", "a-1").await.unwrap();
    Mirrored::new(directory, stream, replica, "a", "a-1".to_owned()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_there_already_is_not_cut_off_the_copies_to_be_written_again() {
    let (store, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(server) = Server::start(store.path()) else { return };
    let nats = server.connect().await;
    let disk = Arc::new(mirrored(data.path(), &nats).await);
    let stream = nats.journal("north").await.unwrap();
    let (head, group) = (vec![1; 100], vec![2; 3 * PIECE_BYTES]);
    let write = |at: u64, bytes: &[u8]| {
        let (disk, bytes) = (disk.clone(), bytes.to_vec());
        tokio::task::spawn_blocking(move || {
            disk.write(journal::FILE_NAME, at, &bytes).unwrap();
            disk.sync(journal::FILE_NAME).unwrap();
        })
    };
    write(0, &head).await.unwrap();
    write(100, &group).await.unwrap();
    let before = stream.end().await.unwrap().sequence;
    write(100, &group).await.unwrap();
    assert_eq!(stream.end().await.unwrap().sequence, before, "the stream has said it once more");
    // What is another, and what comes after, goes there as ever.
    write(100, &[3; 10]).await.unwrap();
    write(110, &[4; 10]).await.unwrap();
    assert_eq!(stream.end().await.unwrap().sequence, before + 2);
}
