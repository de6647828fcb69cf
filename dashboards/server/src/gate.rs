//! In front of HTTP: who may come in, and for how long somebody may say or fetch nothing.
//!
//! The HTTP library waits for as long as a peer does not fetch its answers, and counts connections only in all. Here
//!
//! * one address (of IPv6: one network of 64 bits) has so many connections, and there are so many in all;
//! * whoever has asked nothing yet gives way, the oldest first, when too many have not, or when there is no room;
//! * when there is no room still, whoever has said and fetched nothing for longest gives way, after [`IDLE`];
//! * whoever does not fetch an answer is cut off when that lasts.

mod wire;

pub(crate) use wire::Guarded;

use crate::certificate::Certificate;
use crate::serve::Limits;
use actors::figures::{Family, Values};
use futures_util::task::AtomicWaker;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// For the first byte, and for a handshake after it.
const SILENCE: Duration = Duration::from_secs(5);
/// Whoever has said and fetched nothing for so long may have to give way.
const IDLE: Duration = Duration::from_secs(5);

/// What came of connections, by reason.
const REASONS: [&str; 5] = ["refused", "evicted", "silent", "handshake", "stalled"];

/// Why a connection was not served to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    /// No room.
    Refused,
    /// It gave way to another.
    Evicted,
    /// Not a byte came in time.
    Silent,
    /// TLS failed or took too long.
    Handshake,
    /// It did not fetch its answers.
    Stalled,
}

/// The gate of one server.
pub(crate) struct Gate {
    limits: Limits,
    certificate: Option<Arc<Certificate>>,
    began: Instant,
    here: Mutex<Here>,
    counted: [AtomicU64; REASONS.len()],
}

#[derive(Default)]
struct Here {
    next: u64,
    /// By age.
    all: BTreeMap<u64, (IpAddr, Arc<Seat>)>,
    /// Those that have asked nothing.
    silent: BTreeSet<u64>,
    by_peer: BTreeMap<IpAddr, BTreeSet<u64>>,
}

/// What a connection and the gate know of each other.
#[derive(Default)]
struct Seat {
    is_cut: AtomicBool,
    waker: AtomicWaker,
    /// When something was last said or fetched, ms since the gate opened.
    last: AtomicU64,
}

/// A connection that was let in, until it is dropped.
pub(crate) struct Place {
    gate: Arc<Gate>,
    number: u64,
    peer: IpAddr,
    seat: Arc<Seat>,
}

impl Gate {
    pub fn new(limits: Limits, certificate: Option<Arc<Certificate>>) -> Self {
        let (began, here, counted) = (Instant::now(), Mutex::default(), Default::default());
        Self { limits, certificate, began, here, counted }
    }

    fn here(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, counted: Counted) {
        self.counted[counted as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Figures for those who watch.
    pub fn families(&self) -> Vec<Family> {
        let open = self.here().all.len() as f64;
        let ended = REASONS.iter().zip(&self.counted);
        let ended =
            ended.map(|(name, count)| (vec![("reason", (*name).to_owned())], count.load(Ordering::Relaxed)));
        let mut families = vec![
            Family {
                name: "http_connections",
                help: "Connections that are open.",
                values: Values::Now(vec![(Vec::new(), open)]),
            },
            Family {
                name: "http_ended_connections_total",
                help: "Connections that the gate refused or ended.",
                values: Values::Totals(ended.collect()),
            },
        ];
        families.extend(self.certificate.iter().map(|certificate| certificate.family()));
        families
    }

    /// Takes a place for a connection, which others may have to give.
    fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let peer = network(peer);
        let mut here = self.here();
        let own = here.by_peer.get(&peer).map_or(0, BTreeSet::len);
        if own >= self.limits.connections_each_max && !self.evict(&mut here, Some(peer)) {
            self.count(Counted::Refused);
            return None;
        }
        if here.all.len() >= self.limits.connections_max && !self.evict(&mut here, None) {
            self.count(Counted::Refused);
            return None;
        }
        if here.silent.len() >= self.limits.silent_max
            && let Some(oldest) = here.silent.first().copied()
        {
            self.cut(&mut here, oldest);
        }
        here.next += 1;
        let (number, seat) = (here.next, Arc::new(Seat::default()));
        seat.last.store(self.now_ms(), Ordering::Relaxed);
        here.all.insert(number, (peer, Arc::clone(&seat)));
        here.silent.insert(number);
        here.by_peer.entry(peer).or_default().insert(number);
        Some(Place { gate: Arc::clone(self), number, peer, seat })
    }

    /// Ends a connection, of one peer or of all, that has asked nothing, or nothing for long. Whether there was one.
    fn evict(&self, here: &mut Here, of: Option<IpAddr>) -> bool {
        let now = self.now_ms();
        let number = match of.and_then(|peer| here.by_peer.get(&peer)) {
            Some(own) => longest_idle(here, own.iter(), now),
            None => longest_idle(here, here.all.keys(), now),
        };
        number.is_some_and(|number| self.cut(here, number))
    }

    /// Ends a connection; its place is free from now on.
    fn cut(&self, here: &mut Here, number: u64) -> bool {
        let Some((peer, seat)) = here.all.get(&number).cloned() else { return false };
        here.forget(number, peer);
        seat.is_cut.store(true, Ordering::Release);
        seat.waker.wake();
        self.count(Counted::Evicted);
        true
    }

    /// Lets a connection in: it has said something, and is encrypted where that is asked for.
    ///
    /// # Errors
    /// There is no room, it said nothing in time, or gave way, or the handshake failed.
    pub async fn enter(self: Arc<Self>, peer: TcpStream) -> io::Result<(Guarded, Option<SocketAddr>)> {
        let address = peer.peer_addr()?;
        let ended = |counted| {
            self.count(counted);
            io::Error::from(io::ErrorKind::ConnectionAborted)
        };
        let place =
            self.admit(address.ip()).ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        let _ = peer.set_nodelay(true);
        let entering = async {
            timeout(SILENCE, peer.readable()).await.map_err(|_| ended(Counted::Silent))??;
            let Some(certificate) = &self.certificate else { return Ok(wire::Io::Plain(peer)) };
            let shaken = timeout(SILENCE, certificate.acceptor().accept(peer))
                .await
                .map_err(|_| ended(Counted::Handshake))?;
            shaken.map(|stream| wire::Io::Tls(Box::new(stream))).map_err(|_| ended(Counted::Handshake))
        };
        let io = tokio::select! {
            entered = entering => entered?,
            () = place.is_cut() => return Err(io::ErrorKind::ConnectionAborted.into()),
        };
        Ok((Guarded::new(io, place, self.limits.write_stall), Some(address)))
    }
}

/// Who has asked nothing and came first; where all have, whoever was idle for longest, if that is long.
fn longest_idle<'a>(here: &Here, of: impl Iterator<Item = &'a u64> + Clone, now_ms: u64) -> Option<u64> {
    let silent = of.clone().find(|number| here.silent.contains(number)).copied();
    silent.or_else(|| {
        let last = |number: &u64| here.all.get(number).map(|(_, seat)| seat.last.load(Ordering::Relaxed));
        let (last, number) = of.filter_map(|number| Some((last(number)?, *number))).min()?;
        (u128::from(now_ms.saturating_sub(last)) >= IDLE.as_millis()).then_some(number)
    })
}

/// What counts as one peer.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => address.into(),
            None => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        },
        address => address,
    }
}

impl Here {
    fn forget(&mut self, number: u64, peer: IpAddr) {
        self.all.remove(&number);
        self.silent.remove(&number);
        if let Some(own) = self.by_peer.get_mut(&peer) {
            own.remove(&number);
            if own.is_empty() {
                self.by_peer.remove(&peer);
            }
        }
    }
}

impl Place {
    /// It has asked something.
    fn spoke(&self) {
        self.gate.here().silent.remove(&self.number);
    }

    fn moved(&self) {
        self.seat.last.store(self.gate.now_ms(), Ordering::Relaxed);
    }

    fn stalled(&self) {
        self.gate.count(Counted::Stalled);
    }

    /// Whether it was cut; whoever asks is woken when it is.
    fn poll_cut(&self, cx: &Context<'_>) -> Poll<()> {
        if self.seat.is_cut.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.seat.waker.register(cx.waker());
        if self.seat.is_cut.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }

    async fn is_cut(&self) {
        std::future::poll_fn(|cx| self.poll_cut(cx)).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.here().forget(self.number, self.peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(all: usize, each: usize, silent: usize) -> Arc<Gate> {
        let (connections_max, connections_each_max, silent_max) = (all, each, silent);
        let limits = Limits { connections_max, connections_each_max, silent_max, ..Limits::default() };
        Arc::new(Gate::new(limits, None))
    }

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[tokio::test(start_paused = true)]
    async fn who_asked_nothing_gives_way_and_who_asked_does_not_until_it_is_idle() {
        let gate = gate(4, 2, 9);
        let (first, second) = (gate.admit(peer(1)).unwrap(), gate.admit(peer(1)).unwrap());
        let third = gate.admit(peer(1)).unwrap();
        assert!(first.seat.is_cut.load(Ordering::Relaxed), "one address has two");
        second.spoke();
        third.spoke();
        assert!(gate.admit(peer(1)).is_none(), "both of them have asked");
        let others = [gate.admit(peer(2)).unwrap(), gate.admit(peer(3)).unwrap()];
        others.iter().for_each(Place::spoke);
        assert!(gate.admit(peer(4)).is_none(), "four in all");
        tokio::time::advance(IDLE).await;
        second.moved();
        let newest = gate.admit(peer(4)).unwrap();
        assert!(third.seat.is_cut.load(Ordering::Relaxed), "it was idle for longest");
        assert!(!second.seat.is_cut.load(Ordering::Relaxed));
        drop((first, second, third, others, newest));
        let here = gate.here();
        assert!(here.all.is_empty() && here.silent.is_empty() && here.by_peer.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_may_be_silent_together_and_the_oldest_goes() {
        let gate = gate(100, 100, 3);
        let places: Vec<_> = (1..=5).map(|last| gate.admit(peer(last)).unwrap()).collect();
        let cut: Vec<bool> = places.iter().map(|place| place.seat.is_cut.load(Ordering::Relaxed)).collect();
        assert_eq!(cut, [true, true, false, false, false]);
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer_and_a_mapped_address_is_what_it_maps() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
