//! The listener in front of the library: passes on whole chunks of those who behave, and ends the rest.
//!
//! The library keeps what a peer asks for while that peer does not fetch its answers, gives a session to whoever opens an
//! unprotected channel, and accepts without end. Here a peer
//!
//! * has to say hello and open a channel within seconds; when too many have not, the one who has waited longest goes;
//! * without protection may only ask which endpoints there are, a few times, for a few seconds;
//! * is a stranger until the library has opened a channel for a certificate that is trusted here; strangers get a few answers
//!   and as many seconds, and take no place from those who are known;
//! * cannot change the protection of a channel that is open, and is cut off when it says nothing for longer than a session lasts;
//! * is cut off when its certificate is trusted no more, by the folder in which those lie;
//! * sends chunks of bounded size, each within seconds of its first byte;
//! * is not listened to while it does not fetch its answers, and is cut off when that lasts.

mod chunk;

pub(crate) use chunk::read_chunk;

use crate::opcua::identity::pinned;
use crate::watched::Watched;
use chunk::{Chunk, OF_CLIENT, OF_SERVER};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{sleep, timeout};

/// Connections that have not opened a protected channel.
const STRANGERS_MAX: usize = 256;
/// Connections that have.
const ESTABLISHED_MAX: usize = 128;
/// For a hello, and then for opening a channel.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// For a chunk after its first byte, and for fetching an answer.
const STALL: Duration = Duration::from_secs(10);
/// No session lives without a word for so long ([`super::SESSION_TIMEOUT`]).
const IDLE: Duration = super::SESSION_TIMEOUT.saturating_add(Duration::from_secs(10));
/// Certificates of clients that are looked at.
const TRUSTED_MAX: usize = 1024;
/// Asking for endpoints may take so long and so many messages.
const FINDING: Duration = Duration::from_secs(10);
const FINDING_MESSAGES: usize = 20;
/// Largest chunk, as the library takes them.
const CHUNK_BYTES_MAX: usize = 65_535;
/// Header of a chunk: kind, how it ends, length.
const HEADER: usize = 8;
/// After an accept failed, as it does when the machine has no sockets left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
const POLICY_NONE: &[u8] = b"http://opcfoundation.org/UA/SecurityPolicy#None";

/// What came to the gate, as numbers that only grow.
#[derive(Debug, Default)]
pub struct GateCounters([AtomicU64; REASONS.len()]);

/// Why a connection ended at the gate, and that one began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    Accepted,
    Established,
    Evicted,
    Full,
    Frame,
    Unprotected,
    Untrusted,
    Silent,
    Stalled,
    Withdrawn,
}

const REASONS: [&str; 10] = [
    "accepted",
    "established",
    "evicted",
    "full",
    "frame",
    "unprotected",
    "untrusted",
    "silent",
    "stalled",
    "withdrawn",
];

impl GateCounters {
    fn add(&self, counted: Counted) {
        self.0[counted as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The numbers now, by reason: `accepted` and `established` connections; those that were `evicted` to make room, found it
    /// `full`, sent no `frame`, asked `unprotected` for more than endpoints, came with an `untrusted` certificate, were `silent`, or
    /// `stalled`; and those whose certificate was `withdrawn` while they were open.
    pub fn snapshot(&self) -> BTreeMap<&'static str, u64> {
        REASONS.iter().zip(&self.0).map(|(name, count)| (*name, count.load(Ordering::Relaxed))).collect()
    }
}

/// The listener.
pub(super) struct Gate {
    accepting: JoinHandle<()>,
    following: JoinHandle<()>,
    shared: Arc<Shared>,
}

struct Shared {
    inside: SocketAddr,
    allows_plain: bool,
    /// Where the certificates of known clients lie.
    trusted: PathBuf,
    counters: GateCounters,
    here: Mutex<Here>,
}

/// Who is connected, by age.
#[derive(Default)]
struct Here {
    strangers: BTreeMap<u64, AbortHandle>,
    /// With the chain of certificates that each showed; of those without protection it is empty.
    established: BTreeMap<u64, (AbortHandle, Vec<u8>)>,
}

impl Gate {
    /// Takes connections and passes them on to `inside`; clients are known when their certificate lies in `trusted`.
    pub fn open(listener: TcpListener, inside: SocketAddr, allows_plain: bool, trusted: PathBuf) -> Self {
        let shared = Arc::new(Shared {
            inside,
            allows_plain,
            trusted,
            counters: GateCounters::default(),
            here: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        let following = tokio::spawn(follow(shared.clone()));
        Self { accepting, following, shared }
    }

    pub fn counters(&self) -> &GateCounters {
        &self.shared.counters
    }

    /// Ends all connections that have opened a channel; whoever comes back has to prove again who it is.
    pub fn cut(&self) {
        let established = std::mem::take(&mut self.shared.here().established);
        established.into_values().for_each(|(connection, _)| connection.abort());
    }

    /// Takes no more; those who are in stay until the library ends them.
    pub async fn close(&mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
        self.following.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    for id in 0_u64.. {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "opcua gate cannot accept");
                sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        shared.counters.add(Counted::Accepted);
        let mut here = shared.here();
        if here.strangers.len() >= STRANGERS_MAX
            && let Some((_, oldest)) = here.strangers.pop_first()
        {
            oldest.abort();
            shared.counters.add(Counted::Evicted);
        }
        let mine = shared.clone();
        let task = tokio::spawn(async move {
            let ended = connection(id, stream, &mine).await;
            mine.leave(id);
            if let Err(counted) = ended {
                mine.counters.add(counted);
            }
        });
        here.strangers.insert(id, task.abort_handle());
    }
}

impl Shared {
    fn here(&self) -> std::sync::MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for a stranger among those who have opened a channel.
    fn establish(&self, id: u64, chain: Vec<u8>) -> bool {
        let mut here = self.here();
        let has_room = here.established.len() < ESTABLISHED_MAX;
        if has_room && let Some(connection) = here.strangers.remove(&id) {
            here.established.insert(id, (connection, chain));
        }
        has_room
    }

    /// Whether a channel is asked for with the certificate of somebody known.
    async fn knows(&self, opening: &Chunk) -> bool {
        let Some(chain) = opening.certificate().map(<[u8]>::to_vec) else { return false };
        let trusted = self.trusted.clone();
        tokio::task::spawn_blocking(move || is_trusted(&trusted, &chain)).await.unwrap_or(false)
    }

    /// Cuts off those whose certificate is not among the trusted ones any more.
    async fn withdraw(&self) {
        let shown: Vec<(u64, Vec<u8>)> = {
            let here = self.here();
            let protected = here.established.iter().filter(|(_, (_, chain))| !chain.is_empty());
            protected.map(|(id, (_, chain))| (*id, chain.clone())).collect()
        };
        let trusted = self.trusted.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let certificates = trusted_certificates(&trusted);
            let is_out = |(_, chain): &(u64, Vec<u8>)| !certificates.iter().any(|one| chain.starts_with(one));
            shown.into_iter().filter(is_out).map(|(id, _)| id).collect::<Vec<_>>()
        });
        for id in looked.await.unwrap_or_default() {
            if let Some((connection, _)) = self.here().established.remove(&id) {
                connection.abort();
                self.counters.add(Counted::Withdrawn);
                tracing::warn!("an opcua client was cut off: its certificate is trusted no more");
            }
        }
    }

    fn leave(&self, id: u64) {
        let mut here = self.here();
        here.strangers.remove(&id);
        here.established.remove(&id);
    }
}

/// Looks at the folder of trusted certificates again and again. Whom it lets in is looked up at each opening; here it is about
/// those who are in.
async fn follow(shared: Arc<Shared>) {
    let mut folder = Watched::new([shared.trusted.clone()]);
    loop {
        folder.changed().await;
        shared.withdraw().await;
    }
}

/// One connection; `Ok` when either side ended it, `Err` when the gate did.
async fn connection(id: u64, peer: TcpStream, shared: &Shared) -> Result<(), Counted> {
    let _ = peer.set_nodelay(true);
    let (mut from_peer, to_peer) = peer.into_split();
    let hello =
        timeout(HANDSHAKE, Chunk::read(&mut from_peer, OF_CLIENT)).await.map_err(|_| Counted::Silent)?;
    let Some(hello) = hello? else { return Ok(()) };
    if !hello.is(b"HEL") {
        return Err(Counted::Frame);
    }
    // Only now is anything spent on it.
    let inside = TcpStream::connect(shared.inside).await.map_err(|_| Counted::Full)?;
    let _ = inside.set_nodelay(true);
    let (from_inside, mut to_inside) = inside.into_split();
    to_inside.write_all(&hello.bytes).await.map_err(|_| Counted::Full)?;
    // Held while an answer is on its way to the peer.
    let answering = Arc::new(tokio::sync::Mutex::new(()));
    let (opened, is_open) = oneshot::channel();
    // Whether somebody came with a certificate and was not let in for it.
    let refused = AtomicBool::new(false);
    let answers = answers(from_inside, to_peer, answering.clone(), opened);
    let requests = async {
        let opening = timeout(HANDSHAKE, Chunk::read(&mut from_peer, OF_CLIENT));
        let Some(opening) = opening.await.map_err(|_| Counted::Silent)?? else { return Ok(()) };
        let policy = opening.policy().ok_or(Counted::Frame)?;
        to_inside.write_all(&opening.bytes).await.map_err(|_| Counted::Frame)?;
        refused.store(policy != POLICY_NONE, Ordering::Relaxed);
        let is_known = if policy == POLICY_NONE { shared.allows_plain } else { shared.knows(&opening).await };
        if !is_known {
            return strange(policy == POLICY_NONE, &mut from_peer, &mut to_inside, &answering).await;
        }
        // The certificate may be anybody's copy: whether the key belongs to it is for the library to say.
        let is_open = timeout(HANDSHAKE, is_open).await.map_err(|_| Counted::Silent)?;
        if is_open.is_err() {
            // The library's reason is on its way; it ends the connection behind it.
            sleep(HANDSHAKE).await;
            return Ok(());
        }
        if !shared.establish(id, opening.certificate().map(<[u8]>::to_vec).unwrap_or_default()) {
            return Err(Counted::Full);
        }
        refused.store(false, Ordering::Relaxed);
        shared.counters.add(Counted::Established);
        loop {
            let next = timeout(IDLE, Chunk::read(&mut from_peer, OF_CLIENT));
            let Some(chunk) = next.await.map_err(|_| Counted::Silent)?? else { return Ok(()) };
            if chunk.is(b"OPN") && chunk.policy() != Some(policy) {
                return Err(Counted::Frame);
            }
            pass_on(&chunk, &mut to_inside, &answering).await?;
        }
    };
    let ended = tokio::select! {
        ended = requests => ended,
        ended = answers => ended,
    };
    if refused.load(Ordering::Relaxed) { ended.and(Err(Counted::Untrusted)) } else { ended }
}

/// A connection of somebody who is not known: without protection it may only ask for what is needed to come back with some;
/// with an unknown certificate it may hear that it is unknown.
async fn strange(
    is_plain: bool,
    from_peer: &mut OwnedReadHalf,
    to_inside: &mut OwnedWriteHalf,
    answering: &tokio::sync::Mutex<()>,
) -> Result<(), Counted> {
    let refused = if is_plain { Counted::Unprotected } else { Counted::Untrusted };
    let asked = async {
        for _ in 0..FINDING_MESSAGES {
            let Some(chunk) = Chunk::read(from_peer, OF_CLIENT).await? else { return Ok(()) };
            if chunk.is(b"OPN") || is_plain && !chunk.is_finding() {
                return Err(refused);
            }
            pass_on(&chunk, to_inside, answering).await?;
        }
        Err(refused)
    };
    timeout(FINDING, asked).await.unwrap_or(Err(Counted::Silent))
}

async fn pass_on(
    chunk: &Chunk,
    to_inside: &mut OwnedWriteHalf,
    answering: &tokio::sync::Mutex<()>,
) -> Result<(), Counted> {
    drop(answering.lock().await);
    timeout(STALL, to_inside.write_all(&chunk.bytes))
        .await
        .map_err(|_| Counted::Stalled)?
        .map_err(|_| Counted::Frame)
}

/// Carries answers to the peer. The first two are read: `opened` is told when the second says that the channel is open, and
/// dropped when it says anything else.
async fn answers(
    mut from_inside: OwnedReadHalf,
    mut to_peer: OwnedWriteHalf,
    answering: Arc<tokio::sync::Mutex<()>>,
    opened: oneshot::Sender<()>,
) -> Result<(), Counted> {
    let mut opened = Some(opened);
    let mut buffer = vec![0; 16 << 10];
    for count in 0_u64.. {
        let first;
        let answer = if count < 2 {
            let chunk = Chunk::read(&mut from_inside, OF_SERVER).await.ok().flatten();
            let Some(chunk) = chunk else { return Ok(()) };
            if count == 1
                && let Some(opened) = opened.take()
                && chunk.is(b"OPN")
            {
                let _ = opened.send(());
            }
            first = chunk.bytes;
            first.as_slice()
        } else {
            match from_inside.read(&mut buffer).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(count) => &buffer[..count],
            }
        };
        let _answering = answering.lock().await;
        match timeout(STALL, to_peer.write_all(answer)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ok(()),
            Err(_) => return Err(Counted::Stalled),
        }
    }
    Ok(())
}

/// Whether one of the certificates of a directory is the one with which a chain begins.
fn is_trusted(directory: &Path, chain: &[u8]) -> bool {
    trusted_certificates(directory).iter().any(|certificate| chain.starts_with(certificate))
}

fn trusted_certificates(directory: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let certificates = entries.flatten().take(TRUSTED_MAX);
    certificates.filter_map(|entry| pinned(&entry.path()).ok()?.to_der().ok()).collect()
}
