//! Retained messages: the last message of each topic that asked to be kept, bounded, and on the disk when there is
//! one. A file of records `length, checksum, PUBLISH packet`; the newest record of a topic counts, an empty payload
//! removes it. A record that was cut off by a crash, or of which a crash left only a part, ends the file.

use super::config::{DoorError, Limits};
use super::router::Publication;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Packet, Publish};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::ops::Bound;
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
        files::make_folder(directory).map_err(failed)?;
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
    /// Also how many were looked at: those that begin as the filter does before its first wildcard.
    pub(super) fn matching(&self, filter: &str) -> (Vec<(Arc<Publication>, QoS)>, usize) {
        let literal = literal_part(filter);
        let from = (Bound::Included(literal), Bound::Unbounded);
        let near = self.messages.range::<str, _>(from).take_while(|(topic, _)| topic.starts_with(literal));
        let mut looked_at = 0;
        let near = near.inspect(|_| looked_at += 1);
        let matching = near.filter(|(topic, _)| super::filter::matches(filter, topic));
        (matching.map(|(_, kept)| kept.clone()).collect(), looked_at)
    }
}

/// What every topic that matches a filter begins with. `a/#` matches `a`, too.
fn literal_part(filter: &str) -> &str {
    let Some(wild) = filter.find(['+', '#']) else { return filter };
    let before = filter.get(..wild).unwrap_or_default();
    if filter.ends_with("/#") && wild + 1 == filter.len() {
        before.strip_suffix('/').unwrap_or(before)
    } else {
        before
    }
}

/// What the log's file can do.
trait Paper: std::fmt::Debug + Send {
    /// Appends and syncs.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Cuts to a length, from where the next bytes are appended.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Paper for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)?;
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.seek(io::SeekFrom::Start(length)).map(drop)
    }
}

/// The file, and what counts in it.
struct Log {
    path: PathBuf,
    file: Box<dyn Paper>,
    /// Bytes that were synced; what lies behind them was never answered.
    length: usize,
    /// Something may lie behind them.
    torn: bool,
    /// The folder does not know for certain yet that the file is there, or was put in place of another.
    unplaced: bool,
    /// Not written anew before it has this length: it could not be.
    rewrite_from: usize,
    messages: BTreeMap<String, (Arc<Publication>, QoS)>,
}

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.try_lock()?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        if content.is_empty() {
            content.extend_from_slice(HEADER);
        }
        let Some(records) = content.strip_prefix(HEADER) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a file of retained messages"));
        };
        let (messages, used) = replay(Bytes::copy_from_slice(records));
        let length = HEADER.len() + used;
        if length < content.len() {
            tracing::warn!(path = %path.display(), bytes = content.len() - length, "the end of the retained messages was cut off and is dropped");
            content.truncate(length);
        }
        // What a process left that stopped after a failed sync is read by everybody and taken for written by the operating system: without
        // being written once more, a power cut would tear a hole before what is appended now. Nobody knows how much that is.
        file.set_len(length as u64)?;
        file.rewind()?;
        file.write_all(&content)?;
        file.sync_all()?;
        let (torn, unplaced, rewrite_from) = (false, true, 0);
        Ok(Self {
            path: path.to_owned(),
            file: Box::new(file),
            length,
            torn,
            unplaced,
            rewrite_from,
            messages,
        })
    }

    /// Writes until the door is gone: everything that waits, one sync, then the answers. What cannot be written, as on a full
    /// disk, is not answered, so that its clients send it again; what comes after it is tried anew.
    fn run(mut self, writes: &Receiver<Write1>) {
        let mut failing = false;
        while let Ok(first) = writes.recv() {
            let group: Vec<Write1> = std::iter::once(first).chain(writes.try_iter()).collect();
            match self.append(&group) {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!(path = %self.path.display(), "retained messages can be written again");
                    }
                    for (_, _, done) in group {
                        let _ = done.send(true);
                    }
                    self.tidy();
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        let path = self.path.display();
                        tracing::error!(%error, %path, "retained messages cannot be written: not acknowledged");
                    }
                }
            }
        }
    }

    fn append(&mut self, group: &[Write1]) -> io::Result<()> {
        let mut bytes = BytesMut::new();
        for (message, qos, _) in group {
            record(message, *qos, &mut bytes)?;
        }
        if self.unplaced {
            self.sync_folder()?;
        }
        if self.torn {
            self.file.cut(self.length as u64)?;
        }
        self.torn = true;
        self.file.append(&bytes)?;
        self.torn = false;
        self.length += bytes.len();
        for (message, qos, _) in group {
            if message.payload.is_empty() {
                self.messages.remove(&message.topic);
            } else {
                self.messages.insert(message.topic.clone(), (message.clone(), *qos));
            }
        }
        Ok(())
    }

    /// Writes the file anew when much in it does not count any more. It goes on as it is when that fails.
    fn tidy(&mut self) {
        let live: usize = self.messages.values().map(|(message, _)| message.bytes()).sum();
        if self.length <= (2 * live + SLACK_BYTES).max(self.rewrite_from) {
            return;
        }
        if let Err(error) = self.rewrite() {
            self.rewrite_from = self.length + SLACK_BYTES;
            let path = self.path.display();
            tracing::warn!(%error, %path, "retained messages could not be written anew; the file grows");
        }
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
        (self.file, self.length, self.rewrite_from) = (Box::new(file), bytes.len(), 0);
        self.unplaced = true;
        self.sync_folder()
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        files::sync_name(&self.path)?;
        self.unplaced = false;
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

/// Reads any bytes as a file of retained messages, and as the one record of such a file.
pub(crate) fn read_any(bytes: &[u8]) {
    replay(Bytes::copy_from_slice(bytes));
    let mut record = BytesMut::new();
    record.put_u32_le(bytes.len() as u32);
    record.put_slice(&Sha256::digest(bytes)[..CHECKSUM_BYTES]);
    record.put_slice(bytes);
    replay(record.freeze());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, payload: &str) -> Arc<Publication> {
        Arc::new(Publication { topic: topic.into(), payload: Bytes::copy_from_slice(payload.as_bytes()) })
    }

    fn kept(retained: &Retained) -> Vec<(String, Bytes)> {
        retained.matching("#").0.into_iter().map(|(m, _)| (m.topic.clone(), m.payload.clone())).collect()
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

    /// After a sync that failed the operating system takes records for written that the disk does not have.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn all_that_was_found_is_written_once_more_when_a_file_is_opened() {
        /// Bytes that this thread has written so far.
        fn written() -> u64 {
            let counted = std::fs::read_to_string("/proc/thread-self/io").unwrap();
            counted.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse().unwrap()
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let mut retained = Retained::open(directory.path()).unwrap();
        keep(&mut retained, "a", "1").await;
        keep(&mut retained, "b", "1").await;
        retained.finish();
        let all = std::fs::read(&path).unwrap();
        let before = written();
        let log = Log::open(&path).unwrap();
        assert_eq!(written() - before, all.len() as u64);
        assert_eq!((std::fs::read(&path).unwrap(), log.messages.len()), (all, 2));
    }

    #[tokio::test]
    async fn nothing_is_answered_before_the_name_of_the_file_lasts() {
        let directory = tempfile::tempdir().unwrap();
        let (here, away) = (directory.path().join("door"), directory.path().join("away"));
        let mut retained = Retained::open(&here).unwrap();
        // The file can be written, the folder cannot be synced.
        std::fs::rename(&here, &away).unwrap();
        let kept = retained.keep(&message("a", "1"), QoS::AtLeastOnce, &Limits::default());
        let Kept::OnDisk(written) = kept else { panic!("not on its way to the disk") };
        assert!(written.await.is_err());
        std::fs::rename(&away, &here).unwrap();
        keep(&mut retained, "b", "1").await;
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

    /// A disk that has room for so many bytes.
    #[derive(Debug)]
    struct Full(File, Arc<std::sync::atomic::AtomicUsize>);

    impl Paper for Full {
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            use std::sync::atomic::Ordering;
            let room = self.1.load(Ordering::SeqCst);
            if bytes.len() > room {
                // As a disk does it: the beginning is there.
                self.0.write_all(&bytes[..room])?;
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.append(bytes)
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            self.0.cut(length)
        }
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // the writer's own thread
    fn a_disk_that_was_full_takes_messages_again_and_nothing_torn_lies_between_them() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let mut log = Log::open(&path).unwrap();
        let room = Arc::new(AtomicUsize::new(1_000));
        let file = OpenOptions::new().append(true).open(&path).unwrap();
        log.file = Box::new(Full(file, room.clone()));
        let (writer, writes) = sync_channel(8);
        let thread = std::thread::spawn(move || log.run(&writes));
        let write = |topic: &str| {
            let (done, written) = oneshot::channel();
            writer.send((message(topic, "1"), QoS::AtLeastOnce, done)).unwrap();
            written.blocking_recv().is_ok()
        };
        assert!(write("a"));
        room.store(7, Ordering::SeqCst);
        assert!(!write("b") && !write("c"), "not answered while there is no room");
        room.store(1_000, Ordering::SeqCst);
        assert!(write("d") && write("e"), "and again when there is");
        drop(writer);
        thread.join().unwrap();
        let topics: Vec<_> =
            kept(&Retained::open(directory.path()).unwrap()).into_iter().map(|(topic, _)| topic).collect();
        assert_eq!(topics, ["a", "d", "e"]);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_anew_is_gone_on_with() {
        let directory = tempfile::tempdir().unwrap();
        let mut retained = Retained::open(directory.path()).unwrap();
        // Where the new file would be written there is a folder.
        std::fs::create_dir(directory.path().join(FILE_NAME).with_extension("new")).unwrap();
        let large = "x".repeat(200_000);
        for n in 0..30 {
            keep(&mut retained, &format!("t/{}", n % 3), &large).await;
        }
        retained.finish();
        assert_eq!(kept(&Retained::open(directory.path()).unwrap()).len(), 3);
    }

    #[test]
    fn a_filter_finds_what_it_matches_and_looks_at_little_else() {
        let mut retained = Retained::default();
        let limits = Limits::default();
        let mut topics: Vec<String> = (0..500).map(|n| format!("house/{n}/u")).collect();
        topics.extend(["house", "house/1", "house1/u", "other/1/u", "", "/", "$x/1"].map(str::to_owned));
        for topic in &topics {
            retained.keep(&message(topic, "1"), QoS::AtMostOnce, &limits);
        }
        for filter in
            ["house/17/u", "house/17/#", "house/#", "house/+/u", "#", "+/1/u", "house/17/+", "house", "/+"]
        {
            let (found, looked_at) = retained.matching(filter);
            let found: Vec<_> = found.iter().map(|(message, _)| message.topic.as_str()).collect();
            let mut all: Vec<_> =
                topics.iter().filter(|topic| super::super::filter::matches(filter, topic)).collect();
            all.sort();
            assert_eq!(found, all, "{filter}");
            assert!(looked_at <= topics.len());
        }
        for (filter, most) in [("house/17/u", 1), ("house/17/#", 11), ("house/499/+", 1), ("nobody/#", 0)] {
            assert!(retained.matching(filter).1 <= most, "{filter}");
        }
    }

    #[test]
    fn another_file_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE_NAME), "something else").unwrap();
        let error = Retained::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains(FILE_NAME) && error.contains("not a file of retained"), "{error}");
    }
}
