//! Retained messages: the last message of each topic that asked to be kept, bounded, and on the disk when there is
//! one. A file of records `length, checksum, PUBLISH packet`; the newest record of a topic counts, an empty payload
//! removes it. A record that was cut off by a crash ends the file.

use super::config::{DoorError, Limits};
use super::router::Publication;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Packet, Publish};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

const FILE_NAME: &str = "retained.mqtt";
const HEADER: &[u8] = b"gridflex retained messages 1\n";
const CHECKSUM_BYTES: usize = 8;
/// Largest record read, bytes.
const RECORD_BYTES_MAX: usize = 16 << 20;
/// The file is written anew when it is longer than twice what counts in it, and this.
const SLACK_BYTES: usize = 1 << 20;
/// Records on their way to the disk.
const WRITES_MAX: usize = 4096;

/// One message to write, and who waits for it.
type Write1 = (Arc<Publication>, QoS, oneshot::Sender<bool>);

#[derive(Debug, Default)]
pub(super) struct Retained {
    messages: BTreeMap<String, (Arc<Publication>, QoS)>,
    bytes: usize,
    writer: Option<(SyncSender<Write1>, JoinHandle<()>)>,
}

/// What became of a message that asked to be retained.
pub(super) enum Kept {
    /// It is in memory, and there is no disk.
    InMemory,
    /// The receiver tells when it is on the disk.
    OnDisk(oneshot::Receiver<bool>),
    /// In memory only: the disk does not keep up; the receiver fails.
    Behind(oneshot::Receiver<bool>),
    /// There is no room.
    No,
}

impl Retained {
    /// Reads what was retained before, and keeps what comes in the same file.
    pub(super) fn open(directory: &Path) -> Result<Self, DoorError> {
        let path = directory.join(FILE_NAME);
        let failed = |source| DoorError::State { path: path.display().to_string(), source };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let log = Log::open(&path).map_err(failed)?;
        let messages = log.messages.clone();
        let bytes = messages.values().map(|(message, _)| message.bytes()).sum();
        let (writer, writes) = sync_channel(WRITES_MAX);
        let thread = std::thread::Builder::new()
            .name("mqtt-retained".into())
            .spawn(move || log.run(&writes))
            .map_err(DoorError::Thread)?;
        Ok(Self { messages, bytes, writer: Some((writer, thread)) })
    }

    /// Keeps a message in place of the topic's last one; an empty one removes it.
    pub(super) fn keep(&mut self, message: &Arc<Publication>, qos: QoS, limits: &Limits) -> Kept {
        let old = self.messages.remove(&message.topic);
        let old_bytes = old.as_ref().map_or(0, |(message, _)| message.bytes());
        self.bytes -= old_bytes;
        if !message.payload.is_empty() {
            let full = self.messages.len() >= limits.retained_max
                || self.bytes + message.bytes() > limits.retained_bytes_max;
            if full {
                if let Some(old) = old {
                    self.bytes += old_bytes;
                    self.messages.insert(message.topic.clone(), old);
                }
                return Kept::No;
            }
            self.bytes += message.bytes();
            self.messages.insert(message.topic.clone(), (message.clone(), qos));
        }
        let Some((writer, _)) = &self.writer else { return Kept::InMemory };
        let (done, written) = oneshot::channel();
        // A full channel means that the disk is behind.
        match writer.try_send((message.clone(), qos, done)) {
            Ok(()) => Kept::OnDisk(written),
            Err(_) => Kept::Behind(written),
        }
    }

    /// Waits until everything is written.
    pub(super) fn finish(self) {
        if let Some((writer, thread)) = self.writer {
            drop(writer);
            if thread.join().is_err() {
                tracing::error!("writing the retained messages panicked");
            }
        }
    }

    /// Those that match a filter, in the order of their topics.
    pub(super) fn matching(&self, filter: &str) -> Vec<(Arc<Publication>, QoS)> {
        let matching = self.messages.iter().filter(|(topic, _)| super::filter::matches(filter, topic));
        matching.map(|(_, kept)| kept.clone()).collect()
    }
}

/// The file, and what counts in it.
struct Log {
    path: PathBuf,
    file: File,
    length: usize,
    messages: BTreeMap<String, (Arc<Publication>, QoS)>,
}

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.try_lock()?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        let (messages, length) = if content.is_empty() {
            file.write_all(HEADER)?;
            file.sync_all()?;
            (BTreeMap::new(), HEADER.len())
        } else {
            let Some(records) = content.strip_prefix(HEADER) else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "not a file of retained messages"));
            };
            let (messages, used) = replay(Bytes::copy_from_slice(records));
            (messages, HEADER.len() + used)
        };
        if length < content.len() {
            tracing::warn!(path = %path.display(), bytes = content.len() - length, "the end of the retained messages was cut off and is dropped");
        }
        file.set_len(length as u64)?;
        file.seek(io::SeekFrom::End(0))?;
        Ok(Self { path: path.to_owned(), file, length, messages })
    }

    /// Writes until the door is gone: everything that waits, one sync, then the answers. After a failure nothing
    /// is answered any more, because nobody knows what is on the disk.
    fn run(mut self, writes: &Receiver<Write1>) {
        while let Ok(first) = writes.recv() {
            let group: Vec<Write1> = std::iter::once(first).chain(writes.try_iter()).collect();
            if let Err(error) = self.append(&group) {
                tracing::error!(%error, path = %self.path.display(), "retained messages cannot be written");
                return;
            }
            for (_, _, done) in group {
                let _ = done.send(true);
            }
        }
    }

    fn append(&mut self, group: &[Write1]) -> io::Result<()> {
        let mut bytes = BytesMut::new();
        for (message, qos, _) in group {
            record(message, *qos, &mut bytes)?;
            if message.payload.is_empty() {
                self.messages.remove(&message.topic);
            } else {
                self.messages.insert(message.topic.clone(), (message.clone(), *qos));
            }
        }
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        self.length += bytes.len();
        let live: usize = self.messages.values().map(|(message, _)| message.bytes()).sum();
        if self.length > 2 * live + SLACK_BYTES { self.rewrite() } else { Ok(()) }
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let mut bytes = BytesMut::from(HEADER);
        for (message, qos) in self.messages.values() {
            record(message, *qos, &mut bytes)?;
        }
        let next = self.path.with_extension("new");
        let mut file = File::create(&next)?;
        file.try_lock()?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&next, &self.path)?;
        if let Some(directory) = self.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        (self.file, self.length) = (file, bytes.len());
        Ok(())
    }
}

fn record(message: &Publication, qos: QoS, out: &mut BytesMut) -> io::Result<()> {
    let mut packet = Publish::from_bytes(message.topic.as_str(), qos, message.payload.clone());
    packet.retain = true;
    packet.pkid = 1;
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes).map_err(io::Error::other)?;
    out.put_u32_le(bytes.len() as u32);
    out.extend_from_slice(&Sha256::digest(&bytes)[..CHECKSUM_BYTES]);
    out.extend_from_slice(&bytes);
    Ok(())
}

/// The newest message of each topic, and how many bytes are whole records.
fn replay(mut records: Bytes) -> (BTreeMap<String, (Arc<Publication>, QoS)>, usize) {
    let (all, mut messages) = (records.len(), BTreeMap::new());
    let mut used = 0;
    while records.len() >= 4 + CHECKSUM_BYTES {
        let length = records.get_u32_le() as usize;
        let checksum = records.split_to(CHECKSUM_BYTES);
        if length > RECORD_BYTES_MAX || length > records.len() {
            break;
        }
        let bytes = records.split_to(length);
        if Sha256::digest(&bytes)[..CHECKSUM_BYTES] != checksum[..] {
            break;
        }
        let Ok(Packet::Publish(publish)) = Packet::read(&mut BytesMut::from(&bytes[..]), RECORD_BYTES_MAX)
        else {
            break;
        };
        used = all - records.len();
        let payload = Bytes::copy_from_slice(&publish.payload);
        if payload.is_empty() {
            messages.remove(&publish.topic);
        } else {
            let message = Arc::new(Publication { topic: publish.topic.clone(), payload });
            messages.insert(publish.topic, (message, publish.qos));
        }
    }
    (messages, used)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, payload: &str) -> Arc<Publication> {
        Arc::new(Publication { topic: topic.into(), payload: Bytes::copy_from_slice(payload.as_bytes()) })
    }

    fn kept(retained: &Retained) -> Vec<(String, Bytes)> {
        retained.matching("#").into_iter().map(|(m, _)| (m.topic.clone(), m.payload.clone())).collect()
    }

    async fn keep(retained: &mut Retained, topic: &str, payload: &str) {
        match retained.keep(&message(topic, payload), QoS::AtLeastOnce, &Limits::default()) {
            Kept::OnDisk(written) => assert!(written.await.unwrap()),
            Kept::InMemory | Kept::Behind(_) | Kept::No => panic!("not kept on the disk"),
        }
    }

    #[tokio::test]
    async fn what_was_answered_is_there_after_a_crash_at_any_byte_behind_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let mut retained = Retained::open(directory.path()).unwrap();
        keep(&mut retained, "a", "1").await;
        keep(&mut retained, "b", "1").await;
        keep(&mut retained, "a", "").await;
        let answered = std::fs::read(&path).unwrap();
        keep(&mut retained, "c", "1").await;
        let all = std::fs::read(&path).unwrap();
        for length in answered.len()..=all.len() {
            let copy = tempfile::tempdir().unwrap();
            std::fs::write(copy.path().join(FILE_NAME), &all[..length]).unwrap();
            let mut again = Retained::open(copy.path()).unwrap();
            let topics: Vec<_> = kept(&again).into_iter().map(|(topic, _)| topic).collect();
            let expected: &[&str] = if length == all.len() { &["b", "c"] } else { &["b"] };
            assert_eq!(topics, expected, "{length} of {} bytes", all.len());
            keep(&mut again, "d", "1").await;
            again.finish();
            assert_eq!(kept(&Retained::open(copy.path()).unwrap()).len(), expected.len() + 1);
        }
    }

    #[tokio::test]
    async fn the_file_does_not_grow_with_what_was_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let mut retained = Retained::open(directory.path()).unwrap();
        let large = "x".repeat(100_000);
        for n in 0..40 {
            keep(&mut retained, &format!("t/{}", n % 3), &large).await;
        }
        assert!(Retained::open(directory.path()).is_err(), "two doors cannot share a file");
        retained.finish();
        let length = std::fs::metadata(directory.path().join(FILE_NAME)).unwrap().len();
        assert!(length < 2_000_000, "{length}");
        assert_eq!(kept(&Retained::open(directory.path()).unwrap()).len(), 3);
    }

    #[test]
    fn what_has_no_room_is_not_retained_and_the_last_one_stays() {
        let mut retained = Retained::default();
        let limits = Limits { retained_max: 2, retained_bytes_max: 1_000, ..Limits::default() };
        let mut keep = |topic: &str, payload: &str| {
            !matches!(retained.keep(&message(topic, payload), QoS::AtMostOnce, &limits), Kept::No)
        };
        assert!(keep("a", "1") && keep("b", "1") && !keep("c", "1") && keep("a", "2"));
        assert!(!keep("a", &"x".repeat(2_000)));
        assert!(keep("b", "") && keep("c", "1"));
        assert_eq!(kept(&retained), [("a".into(), "2".into()), ("c".into(), "1".into())]);
    }

    #[test]
    fn another_file_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE_NAME), "something else").unwrap();
        let error = Retained::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains(FILE_NAME) && error.contains("not a file of retained"), "{error}");
    }
}
