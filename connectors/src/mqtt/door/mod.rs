//! The MQTT door: a listener for MQTT 3.1.1 of our own ([ADR 10](../../../../docs/adr/0010-the-mqtt-door.md)).
//!
//! It is made to stand where others can reach it: a deadline for saying who one is, limits on everything one client
//! and one address may use, rights for each client, TLS with certificates, and an acknowledgement that means what
//! `docs/mqtt.md` says. The packets are read and written by the codec of `rumqttc`; the rest is here:
//!
//! * [`Door`] listens; `admission` counts who comes, `entrance` finds out who it is, `connection` serves it;
//! * [`Policy`] says who may do what, `filter` what a topic filter matches;
//! * `standing` reads rights, certificates and revocations again when they change, and ends what they do not allow;
//! * `router` with `session`, `tree` and `retained` passes messages on;
//! * `link` is the system's own end, inside the process; `letterbox` one for messages of others' forms.
//!
//! It is bound before the system is there, and admits nobody before ([`Door::bind`], [`Door::admit`]): a message that is acknowledged while
//! nobody listens for it would be lost.
//!
//! It runs in two threads of its own, so a busy system does not keep a client waiting for its handshake.

mod admission;
mod config;
mod connection;
mod counters;
mod entrance;
pub mod filter;
mod letterbox;
mod link;
mod password;
mod policy;
mod retained;
mod router;
mod seldom;
mod session;
mod standing;
mod tls;
mod tokens;
mod tree;
pub(crate) mod wire;

pub use config::{DoorConfig, DoorError, Limits};
pub use counters::{Count, DoorCounters};
pub use letterbox::{Letter, Letterbox};
pub use policy::{Action, Identity, Policy, PolicyError, RIGHTS_BYTES_MAX, Unknown};
pub use standing::{Change, Withdrawn};
pub use tls::TlsFiles;

pub(crate) use retained::read_any as read_retained;

use crate::house::Area;
use crate::link::Link;
use access::Guesses;
use admission::Admission;
use grid::{Clock, Timestamp};
use retained::Retained;
use router::Router;
use seldom::Seldom;
use standing::{Changes, Files, Holds, Standing, Told};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

const THREADS: usize = 2;
/// Passwords checked at the same time.
const PASSWORD_THREADS: usize = 2;
/// Wrong passwords of one network before it has to wait; many devices may share an address.
const GUESSES_PER_NETWORK: usize = 1_000;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;
/// How long connections may take to say goodbye when the door closes.
const CLOSING_MAX: Duration = Duration::from_secs(2);
/// Waits when the operating system has no more sockets for us.
const NO_SOCKET_PAUSE: Duration = Duration::from_millis(20);

/// What all connections share.
#[derive(Debug)]
struct Inside {
    limits: Limits,
    /// What holds at the moment; whoever is let in under it has to know of changes.
    standing: Holds,
    changes: Changes,
    router: Arc<Router>,
    counters: Arc<DoorCounters>,
    password_turns: Semaphore,
    guesses: Mutex<Guesses>,
    opened: Instant,
    unnamed: AtomicU64,
    /// What clients were denied.
    denials: Seldom,
}

impl Inside {
    /// A name for a client that brought none.
    fn unnamed(&self) -> String {
        format!("unnamed-{}", self.unnamed.fetch_add(1, Ordering::Relaxed))
    }

    /// Wrong passwords of late, and the time they are counted in, from when the door was opened.
    fn guesses(&self) -> (MutexGuard<'_, Guesses>, Timestamp) {
        let now = Timestamp::from_seconds(0).plus(self.opened.elapsed());
        (self.guesses.lock().unwrap_or_else(PoisonError::into_inner), now)
    }
}

/// A door. Dropping it when it is open leaves it open until the process ends.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    runtime: Handle,
    router: Arc<Router>,
    counters: Arc<DoorCounters>,
    admitting: watch::Sender<bool>,
    closing: watch::Sender<bool>,
    closed: watch::Receiver<bool>,
    told: Told,
}

impl Door {
    /// Opens the door; clients are served when this returns, whether anybody listens for them or not.
    ///
    /// # Errors
    /// Those of [`bind`](Self::bind).
    pub fn open(config: DoorConfig) -> Result<Self, DoorError> {
        let door = Self::bind(config)?;
        door.admit();
        Ok(door)
    }

    /// Takes the address. Whoever connects waits in the operating system's queue (at most 4096 do) until the door
    /// [`admit`](Self::admit)s.
    ///
    /// # Errors
    /// [`DoorError`]; an address open to others needs both TLS and rights of clients.
    pub fn bind(config: DoorConfig) -> Result<Self, DoorError> {
        config.is_protected()?;
        let DoorConfig { listen, tls, policy, rights, limits, state } = config;
        // As they look before they are read: what changes meanwhile is read again.
        let files = Files::new(rights, tls.clone());
        let standing = Standing { policy, tls: tls.as_ref().map(tls::server).transpose()? };
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(PASSWORD_THREADS)
            .thread_name("mqtt-door")
            .enable_all()
            .build()
            .map(|runtime| OwnRuntime(Some(runtime)))
            .map_err(DoorError::Thread)?;
        let handle = runtime.handle()?;
        let listener = {
            let _inside = handle.enter();
            bound(listen).map_err(|source| DoorError::Listen { address: listen, source })?
        };
        let address =
            listener.local_addr().map_err(|source| DoorError::Listen { address: listen, source })?;
        let retained = state.as_deref().map(Retained::open).transpose()?.unwrap_or_default();
        let counters = Arc::new(DoorCounters::default());
        let router = Arc::new(Router::new(limits.clone(), counters.clone(), retained));
        let told = Told::default();
        let inside = Inside {
            limits: limits.clone(),
            standing: watch::Sender::new(Arc::new(standing)),
            changes: standing::changes(&handle, told.clone()),
            router: router.clone(),
            counters: counters.clone(),
            password_turns: Semaphore::new(PASSWORD_THREADS),
            denials: Seldom::default(),
            guesses: Mutex::new(Guesses::new(GUESSES_PER_NETWORK)),
            opened: Instant::now(),
            unnamed: AtomicU64::new(0),
        };
        let (admitting, admit) = watch::channel(false);
        let (closing, close) = watch::channel(false);
        let (ended, closed) = watch::channel(false);
        let keep =
            Keep { listener, inside: Arc::new(inside), files, admission: Arc::new(Admission::new(limits)) };
        std::thread::Builder::new()
            .name("mqtt-door".into())
            .spawn(move || keep.run(runtime, admit, close, &ended))
            .map_err(DoorError::Thread)?;
        Ok(Self { address, runtime: handle, router, counters, admitting, closing, closed, told })
    }

    /// Lets clients in, those that wait first. To be called when everybody listens who has to hear what they publish: from here on it is
    /// acknowledged.
    pub fn admit(&self) {
        self.admitting.send_replace(true);
    }

    /// Lets somebody be told of changes of rights and certificates, and of who was cut off by them; on a thread that may wait. Only
    /// the first one is.
    pub fn tell(&self, told: impl Fn(&Change) + Send + Sync + 'static) {
        let _ = self.told.0.set(Box::new(told));
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it did so far.
    pub fn counters(&self) -> Arc<DoorCounters> {
        self.counters.clone()
    }

    /// The system's own end, in place of one given out before. What clients publish for it is acknowledged to them
    /// when the system has confirmed it.
    pub fn link(&self, area: Area, clock: Arc<dyn Clock>) -> Link {
        link::attach(&self.runtime, &self.router, area, clock)
    }

    /// An end for messages that match a filter, as they are; in place of one given out before for the same filter.
    pub fn letterbox(&self, filter: String) -> Letterbox {
        Letterbox::new(&self.router, filter)
    }

    /// Closes the door: nobody comes in any more, who is there is disconnected. Waits for it, at most some seconds.
    pub async fn close(mut self) {
        self.closing.send_replace(true);
        let _ = self.closed.wait_for(|closed| *closed).await;
    }
}

/// The door's runtime. It may be given up inside another one, where waiting for its end is not allowed.
struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    fn handle(&self) -> Result<Handle, DoorError> {
        let gone = || DoorError::Thread(io::ErrorKind::NotFound.into());
        self.0.as_ref().map(|runtime| runtime.handle().clone()).ok_or_else(gone)
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What the door's own thread keeps running.
struct Keep {
    listener: TcpListener,
    inside: Arc<Inside>,
    files: Files,
    admission: Arc<Admission>,
}

impl Keep {
    fn run(
        self,
        mut runtime: OwnRuntime,
        mut admit: watch::Receiver<bool>,
        mut close: watch::Receiver<bool>,
        ended: &watch::Sender<bool>,
    ) {
        let Some(runtime) = runtime.0.take() else { return };
        let Keep { listener, inside, files, admission } = self;
        let router = inside.router.clone();
        runtime.block_on(async {
            let connections = close.clone();
            let following = tokio::spawn(standing::follow(files, Arc::clone(&inside)));
            let serving = async {
                // A door that was dropped before admits nobody any more: it ends.
                if admit.wait_for(|admit| *admit).await.is_ok() {
                    accept(&listener, &inside, &admission, &connections).await;
                }
            };
            tokio::select! {
                () = serving => {}
                // A dropped door stays open.
                () = asked_to_close(&mut close) => {}
            }
            following.abort();
            drop(listener);
            let until = Instant::now() + CLOSING_MAX;
            while admission.open() > 0 && Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        runtime.shutdown_timeout(CLOSING_MAX);
        // Nobody publishes any more; the file may be opened by the next door.
        router.finish();
        ended.send_replace(true);
    }
}

async fn accept(
    listener: &TcpListener,
    inside: &Arc<Inside>,
    admission: &Arc<Admission>,
    closing: &watch::Receiver<bool>,
) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if error.raw_os_error().is_some_and(is_out_of_sockets) => {
                // Make room at the cost of whoever has not said who it is.
                admission.cut_oldest();
                inside.counters.add(Count::GaveWay);
                tokio::time::sleep(NO_SOCKET_PAUSE).await;
                continue;
            }
            // The client has gone before it was accepted.
            Err(_) => continue,
        };
        let Some(place) = admission.admit(peer.ip()) else {
            inside.counters.add(Count::TurnedAway);
            continue;
        };
        let number = place.number();
        let task = tokio::spawn(entrance::serve(stream, place, inside.clone(), closing.clone()));
        if admission.handshaking(number, task.abort_handle()) {
            inside.counters.add(Count::GaveWay);
        }
    }
}

/// Listens with room for a crowd that comes at once; a full queue costs whoever comes then a second and more.
fn bound(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

async fn asked_to_close(close: &mut watch::Receiver<bool>) {
    if close.wait_for(|close| *close).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// EMFILE or ENFILE.
fn is_out_of_sockets(code: i32) -> bool {
    code == 24 || code == 23
}
