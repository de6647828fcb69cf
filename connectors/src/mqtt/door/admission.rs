//! Who may come through the listener: connections in all, of one address, and those that have not said who they
//! are. Someone who connects and says nothing gives way to whoever comes after.

use super::config::Limits;
use super::tokens::Tokens;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Addresses remembered; beyond it those without a connection are forgotten.
const PEERS_MAX: usize = 65_536;

#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: usize,
    peers: BTreeMap<IpAddr, Peer>,
    /// In order of arrival; the task as soon as it is known.
    handshaking: BTreeMap<u64, Option<AbortHandle>>,
    next: u64,
}

#[derive(Debug)]
struct Peer {
    open: usize,
    connects: Tokens,
}

/// One admitted connection; it is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    peer: IpAddr,
    number: u64,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connections at the moment.
    pub(super) fn open(&self) -> usize {
        self.state().open
    }

    /// Counts a new connection in, or says that there is no room for it.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let now = Instant::now();
        let limits = &self.limits;
        let mut state = self.state();
        if state.peers.len() >= PEERS_MAX {
            state.peers.retain(|_, peer| peer.open > 0);
        }
        let room = state.open < limits.connections_max;
        let known = state
            .peers
            .entry(peer)
            .or_insert_with(|| Peer { open: 0, connects: Tokens::new(limits.connects_per_second, now) });
        if !room || known.open >= limits.connections_per_peer_max || !known.connects.take(now) {
            return None;
        }
        known.open += 1;
        state.open += 1;
        state.next += 1;
        let number = state.next;
        state.handshaking.insert(number, None);
        drop(state);
        Some(Place { admission: self.clone(), peer, number })
    }

    /// Notes the task of a connection, unless it has said already who it is. Whether the oldest of those that have
    /// not had to be cut.
    pub(super) fn handshaking(&self, number: u64, task: AbortHandle) -> bool {
        let mut state = self.state();
        if let Some(known) = state.handshaking.get_mut(&number) {
            *known = Some(task);
        }
        if state.handshaking.len() <= self.limits.handshakes_max {
            return false;
        }
        drop(state);
        self.cut_oldest()
    }

    /// Cuts the oldest connection that has not said who it is, if there is one.
    pub(super) fn cut_oldest(&self) -> bool {
        // The task's end locks again, so it is ended outside the lock.
        let oldest = self.state().handshaking.pop_first();
        oldest.and_then(|(_, task)| task).map(|task| task.abort()).is_some()
    }
}

impl Place {
    /// From where it came.
    pub(super) fn peer(&self) -> IpAddr {
        self.peer
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The client has said who it is and cannot be cut for others any more.
    pub(super) fn settled(&self) {
        self.admission.state().handshaking.remove(&self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        state.handshaking.remove(&self.number);
        state.open -= 1;
        if let Some(peer) = state.peers.get_mut(&self.peer) {
            peer.open -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(limits: Limits) -> Arc<Admission> {
        Arc::new(Admission::new(limits))
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_cannot_take_all_the_room() {
        let limits = Limits { connections_max: 5, connections_per_peer_max: 3, ..Limits::default() };
        let admission = admission(limits);
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut places: Vec<_> = (0..3).map(|_| admission.admit(one).unwrap()).collect();
        assert!(admission.admit(one).is_none());
        places.extend((0..2).map(|_| admission.admit(other).unwrap()));
        assert!(admission.admit(other).is_none(), "six in all");
        places.clear();
        assert!(admission.admit(one).is_some() && admission.state().open == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_cannot_come_too_fast() {
        let admission = admission(Limits { connects_per_second: 10, ..Limits::default() });
        let peer = IpAddr::from([10, 0, 0, 1]);
        let admitted = |n: usize| (0..n).filter(|_| admission.admit(peer).is_some()).count();
        assert_eq!(admitted(100), 20);
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        assert_eq!(admitted(100), 10);
    }

    #[tokio::test]
    async fn who_says_nothing_gives_way_to_who_comes_after() {
        let admission = admission(Limits { handshakes_max: 2, ..Limits::default() });
        let silent = || {
            let place = admission.admit(IpAddr::from([10, 0, 0, 1])).unwrap();
            let number = place.number();
            let task = tokio::spawn(async move {
                let _place = place;
                std::future::pending::<()>().await;
            });
            (admission.handshaking(number, task.abort_handle()), task)
        };
        let (first, second, third) = (silent(), silent(), silent());
        assert_eq!([first.0, second.0, third.0], [false, false, true]);
        assert!(first.1.await.is_err_and(|error| error.is_cancelled()));
        assert!(!second.1.is_finished() && !third.1.is_finished());
        assert_eq!(admission.state().open, 2);
    }
}
