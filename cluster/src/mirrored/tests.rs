//! A journal's disk against a real NATS server.

use super::*;
use crate::nats::Nats;
use crate::test_server::TestServer;

async fn mirrored(directory: &Path, nats: &Nats) -> Mirrored {
    let stream = nats.journal("north").await.unwrap();
    let mut replica = Replica::open(directory).unwrap();
    claim(&stream, &mut replica, "a", "a-1").await.unwrap();
    Mirrored::new(directory, stream, replica, "a", "a-1".to_owned()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_there_already_is_not_cut_off_the_copies_to_be_written_again() {
    let data = tempfile::tempdir().unwrap();
    let Some(server) = TestServer::start() else { return };
    let nats = server.connect("a").await;
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
