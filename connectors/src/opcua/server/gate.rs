//! The listener in front of the library: passes on whole chunks of those who behave, and ends the rest.
//!
//! The library keeps what a peer asks for while that peer does not fetch its answers, gives a session to whoever opens an
//! unprotected channel, and accepts without end. Here a peer
//!
//! * has to say hello and open a channel within seconds; when too many have not, the one who has waited longest goes;
//! * without protection may only ask which endpoints there are, a few times, for a few seconds;
//! * sends chunks of bounded size, each within seconds of its first byte;
//! * is not listened to while it does not fetch its answers, and is cut off when that lasts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
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
/// Asking for endpoints may take so long and so many messages.
const FINDING: Duration = Duration::from_secs(10);
const FINDING_MESSAGES: usize = 20;
/// Largest chunk, as the library takes them.
const CHUNK_BYTES_MAX: usize = 65_535;
/// Header of a chunk: kind, how it ends, length.
const HEADER: usize = 8;
/// After an accept failed, as it does when the machine has no sockets left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Longest name of a security policy.
const POLICY_BYTES_MAX: usize = 256;
const POLICY_NONE: &[u8] = b"http://opcfoundation.org/UA/SecurityPolicy#None";
/// Requests of the binary encoding that are possible without protection: FindServers, GetEndpoints, FindServersOnNetwork.
const FINDING_REQUESTS: [u32; 3] = [422, 428, 12_208];

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
    Silent,
    Stalled,
}

const REASONS: [&str; 8] =
    ["accepted", "established", "evicted", "full", "frame", "unprotected", "silent", "stalled"];

impl GateCounters {
    fn add(&self, counted: Counted) {
        self.0[counted as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The numbers now, by reason: `accepted` and `established` connections; those that were `evicted` to make room, found it
    /// `full`, sent no `frame`, asked `unprotected` for more than endpoints, were `silent`, or `stalled`.
    pub fn snapshot(&self) -> BTreeMap<&'static str, u64> {
        REASONS.iter().zip(&self.0).map(|(name, count)| (*name, count.load(Ordering::Relaxed))).collect()
    }
}

/// The listener.
pub(super) struct Gate {
    accepting: JoinHandle<()>,
    shared: Arc<Shared>,
}

struct Shared {
    inside: SocketAddr,
    allows_plain: bool,
    counters: GateCounters,
    here: Mutex<Here>,
}

/// Who is connected, by age.
#[derive(Default)]
struct Here {
    strangers: BTreeMap<u64, AbortHandle>,
    established: BTreeMap<u64, AbortHandle>,
}

impl Gate {
    /// Takes connections and passes them on to `inside`.
    pub fn open(listener: TcpListener, inside: SocketAddr, allows_plain: bool) -> Self {
        let shared = Arc::new(Shared {
            inside,
            allows_plain,
            counters: GateCounters::default(),
            here: Mutex::default(),
        });
        Self { accepting: tokio::spawn(accept(listener, shared.clone())), shared }
    }

    pub fn counters(&self) -> &GateCounters {
        &self.shared.counters
    }

    /// Ends all connections that have opened a channel; whoever comes back has to prove again who it is.
    pub fn cut(&self) {
        let established = std::mem::take(&mut self.shared.here().established);
        established.into_values().for_each(|connection| connection.abort());
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
    fn establish(&self, id: u64) -> bool {
        let mut here = self.here();
        let has_room = here.established.len() < ESTABLISHED_MAX;
        if has_room && let Some(connection) = here.strangers.remove(&id) {
            here.established.insert(id, connection);
        }
        has_room
    }

    fn leave(&self, id: u64) {
        let mut here = self.here();
        here.strangers.remove(&id);
        here.established.remove(&id);
    }
}

/// One connection; `Ok` when either side ended it, `Err` when the gate did.
async fn connection(id: u64, peer: TcpStream, shared: &Shared) -> Result<(), Counted> {
    let _ = peer.set_nodelay(true);
    let (mut from_peer, to_peer) = peer.into_split();
    let hello = timeout(HANDSHAKE, Chunk::read(&mut from_peer)).await.map_err(|_| Counted::Silent)?;
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
    let answers = answers(from_inside, to_peer, answering.clone());
    let requests = async {
        let opening = timeout(HANDSHAKE, Chunk::read(&mut from_peer)).await.map_err(|_| Counted::Silent)?;
        let Some(opening) = opening? else { return Ok(()) };
        let policy = opening.policy().ok_or(Counted::Frame)?;
        let is_plain = policy == POLICY_NONE;
        to_inside.write_all(&opening.bytes).await.map_err(|_| Counted::Frame)?;
        if is_plain && !shared.allows_plain {
            return finding(&mut from_peer, &mut to_inside, &answering).await;
        }
        if !shared.establish(id) {
            return Err(Counted::Full);
        }
        shared.counters.add(Counted::Established);
        while let Some(chunk) = Chunk::read(&mut from_peer).await? {
            pass_on(&chunk, &mut to_inside, &answering).await?;
        }
        Ok(())
    };
    tokio::select! {
        ended = requests => ended,
        ended = answers => ended,
    }
}

/// A connection without protection: it may only ask for what is needed to come back with some.
async fn finding(
    from_peer: &mut OwnedReadHalf,
    to_inside: &mut OwnedWriteHalf,
    answering: &tokio::sync::Mutex<()>,
) -> Result<(), Counted> {
    let asked = async {
        for _ in 0..FINDING_MESSAGES {
            let Some(chunk) = Chunk::read(from_peer).await? else { return Ok(()) };
            if !chunk.is_finding() {
                return Err(Counted::Unprotected);
            }
            pass_on(&chunk, to_inside, answering).await?;
        }
        Err(Counted::Unprotected)
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

async fn answers(
    mut from_inside: OwnedReadHalf,
    mut to_peer: OwnedWriteHalf,
    answering: Arc<tokio::sync::Mutex<()>>,
) -> Result<(), Counted> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = match from_inside.read(&mut buffer).await {
            Ok(0) | Err(_) => return Ok(()),
            Ok(count) => count,
        };
        let _answering = answering.lock().await;
        match timeout(STALL, to_peer.write_all(&buffer[..count])).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ok(()),
            Err(_) => return Err(Counted::Stalled),
        }
    }
}

/// One chunk of the protocol, header included.
struct Chunk {
    bytes: Vec<u8>,
}

impl Chunk {
    /// The next chunk; `None` when the peer has ended.
    async fn read(from: &mut OwnedReadHalf) -> Result<Option<Self>, Counted> {
        let mut first = [0];
        match from.read(&mut first).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(_) => {}
        }
        let rest = async {
            let mut header = [first[0], 0, 0, 0, 0, 0, 0, 0];
            from.read_exact(&mut header[1..]).await.map_err(|_| Counted::Frame)?;
            let length = length(&header).ok_or(Counted::Frame)?;
            let mut bytes = header.to_vec();
            bytes.resize(length, 0);
            from.read_exact(&mut bytes[HEADER..]).await.map_err(|_| Counted::Frame)?;
            Ok(Some(Self { bytes }))
        };
        timeout(STALL, rest).await.unwrap_or(Err(Counted::Stalled))
    }

    fn is(&self, kind: &[u8; 3]) -> bool {
        self.bytes.starts_with(kind)
    }

    fn number(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    /// The security policy of a chunk that opens a channel.
    fn policy(&self) -> Option<&[u8]> {
        if !self.is(b"OPN") {
            return None;
        }
        // The number of the channel comes first.
        let length = self.number(HEADER + 4)? as usize;
        let start = HEADER + 8;
        (length <= POLICY_BYTES_MAX).then(|| self.bytes.get(start..start + length)).flatten()
    }

    /// Whether it is a whole request for endpoints or servers, or a farewell.
    fn is_finding(&self) -> bool {
        if self.is(b"CLO") {
            return true;
        }
        // Channel, token, sequence number, request number; then what is asked for, as a node of the standard's namespace.
        let kind = HEADER + 16;
        let request = match self.bytes.get(kind..kind + 7) {
            Some([0, id, ..]) => u32::from(*id),
            Some([1, 0, low, high, ..]) => u32::from(u16::from_le_bytes([*low, *high])),
            Some([2, 0, 0, id @ ..]) => {
                id.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
            }
            _ => return false,
        };
        self.is(b"MSG") && self.bytes[3] == b'F' && FINDING_REQUESTS.contains(&request)
    }
}

/// The length that a header says, when the header is one.
fn length(header: &[u8; HEADER]) -> Option<usize> {
    let kind = [b"HEL", b"OPN", b"MSG", b"CLO"].into_iter().any(|kind| header.starts_with(kind));
    let end = matches!(header[3], b'F' | b'C' | b'A');
    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
    (kind && end && (HEADER..=CHUNK_BYTES_MAX).contains(&length)).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunk(head: &[u8; 4], body: &[u8]) -> Chunk {
        let mut bytes = head.to_vec();
        bytes.extend(((HEADER + body.len()) as u32).to_le_bytes());
        bytes.extend(body);
        Chunk { bytes }
    }

    #[test]
    fn the_policy_of_an_opening_is_read() {
        let mut body = vec![0; 4];
        body.extend((POLICY_NONE.len() as u32).to_le_bytes());
        body.extend(POLICY_NONE);
        assert_eq!(chunk(b"OPNF", &body).policy(), Some(POLICY_NONE));
        assert_eq!(chunk(b"MSGF", &body).policy(), None);
        assert_eq!(chunk(b"OPNF", &body[..20]).policy(), None);
        assert_eq!(chunk(b"OPNF", &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]).policy(), None);
    }

    #[test]
    fn without_protection_one_may_only_ask_for_endpoints() {
        let message = |head, id: &[u8]| chunk(head, &[&[0; 16], id, &[0; 8]].concat());
        let get_endpoints = [1, 0, 0xac, 0x01];
        assert!(message(b"MSGF", &get_endpoints).is_finding());
        assert!(message(b"MSGF", &[2, 0, 0, 0xac, 0x01, 0, 0]).is_finding());
        assert!(message(b"CLOF", &[1, 0, 0xc4, 0x01]).is_finding());
        let create_session = [1, 0, 0xcd, 0x01];
        assert!(!message(b"MSGF", &create_session).is_finding());
        assert!(!message(b"MSGC", &get_endpoints).is_finding(), "the rest of it may be anything");
        assert!(!message(b"MSGF", &[1, 1, 0xac, 0x01]).is_finding());
        assert!(!chunk(b"MSGF", &[0; 18]).is_finding());
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200), header in any::<[u8; 8]>()) {
            let chunk = Chunk { bytes };
            let _ = (chunk.policy(), chunk.is_finding());
            if let Some(length) = length(&header) {
                prop_assert!((HEADER..=CHUNK_BYTES_MAX).contains(&length));
            }
        }
    }
}
