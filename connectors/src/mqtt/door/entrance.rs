//! From an accepted connection to a client that is known: TLS, CONNECT, name and rights, all within a deadline.

use super::Inside;
use super::admission::Place;
use super::connection::{Client, Connection, End};
use super::counters::Count;
use super::filter::is_topic;
use super::policy::{Action, Identity, Policy};
use super::session::Will;
use super::standing::{Change, Shown, Standing};
use super::tls::identities;
use super::wire::{Broken, Wire};
use access::Try;
use rumqttc::mqttbytes::v4::{ConnAck, Connect, ConnectReturnCode, Packet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;

/// Largest CONNECT, will included: who is not known yet gets little memory.
const CONNECT_BYTES_MAX: usize = 16 * 1024;
/// How long the answer to a wrong password takes at least.
const WRONG_PASSWORD_PAUSE: Duration = Duration::from_millis(500);

/// Serves one connection from beginning to end.
pub(super) async fn serve(
    stream: TcpStream,
    place: Place,
    inside: Arc<Inside>,
    closing: watch::Receiver<bool>,
) {
    let deadline = Instant::now() + inside.limits.connect_within;
    let _ = stream.set_nodelay(true);
    // From before it is known on: what changes meanwhile is noticed.
    let holds = inside.standing.subscribe();
    let tls = holds.borrow().tls.as_ref().map(|tls| TlsAcceptor::from(Arc::clone(&tls.config)));
    let Some(acceptor) = tls else {
        return greet(stream, Shown::default(), holds, deadline, place, &inside, closing).await;
    };
    match timeout_at(deadline, acceptor.accept(stream)).await {
        Err(_) => inside.counters.add(Count::Late),
        Ok(Err(_)) => inside.counters.add(Count::TlsFailed),
        Ok(Ok(stream)) => {
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let chain: Vec<_> = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
            let shown = Shown { names: chain.first().map(identities).unwrap_or_default(), chain };
            greet(stream, shown, holds, deadline, place, &inside, closing).await;
        }
    }
}

/// Reads CONNECT, answers it and goes on as a [`Connection`].
async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    shown: Shown,
    mut holds: watch::Receiver<Arc<Standing>>,
    deadline: Instant,
    place: Place,
    inside: &Arc<Inside>,
    mut closing: watch::Receiver<bool>,
) {
    let mut wire = Wire::new(stream, CONNECT_BYTES_MAX.min(inside.limits.packet_bytes_max));
    let standing = Arc::clone(&holds.borrow_and_update());
    let known = introduce(&mut wire, &shown.names, place.peer(), inside, &standing);
    let known = timeout_at(deadline, known).await;
    let (connect, who) = match known {
        Ok(Ok(known)) => known,
        Ok(Err(end)) => {
            end.count().into_iter().for_each(|count| inside.counters.add(count));
            return wire.close().await;
        }
        Err(_) => return inside.counters.add(Count::Late),
    };
    place.settled();
    wire.allow(inside.limits.packet_bytes_max);
    let session = who.session_of(&connect.client_id);
    if who.sessions().is_some_and(|alike| !inside.router.has_room(&session, &alike)) {
        inside.counters.add(Count::TurnedAway);
        let told = refuse::<_, ()>(&mut wire, ConnectReturnCode::ServiceUnavailable, End::Closing);
        let _ = told.await;
        return wire.close().await;
    }
    let points = standing.policy.points(&who);
    let will = connect.last_will.map(|last| Will { last, points: points.clone() });
    let attached = inside.router.attach(&session, connect.clean_session, will);
    inside.counters.add(Count::Connected);
    // From here on the session has to be left again, whatever happens.
    let leave = Leave { inside, attached: &attached, goodbye: false };
    let answer = ConnAck::new(ConnectReturnCode::Success, attached.present);
    if wire.put(&Packet::ConnAck(answer)).is_ok() {
        let client = Client { who, session, client_id: connect.client_id, points, shown, standing, holds };
        let mut connection = Connection::new(inside, wire, client, &attached, connect.keep_alive);
        let end = connection.run(&mut closing).await;
        end.count().into_iter().for_each(|count| inside.counters.add(count));
        let (who, is_behind) = (connection.who().to_owned(), connection.is_behind());
        leave.with(end);
        if is_behind {
            // Its session may have been absent too late to be looked through.
            inside.router.review_absent(&inside.standing.borrow().policy);
        }
        if let End::Withdrawn(why) = end {
            let _ = inside.changes.send(Change::Withdrawn { identity: who, why }).await;
        }
    }
}

struct Leave<'a> {
    inside: &'a Inside,
    attached: &'a super::router::Attached,
    goodbye: bool,
}

impl Leave<'_> {
    fn with(mut self, end: End) {
        // Whoever is cut off for its rights leaves no word.
        self.goodbye = matches!(end, End::Goodbye | End::Withdrawn(_));
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.inside.router.detach(self.attached, self.goodbye);
    }
}

/// Who it is, or why it is refused; the client was told, as far as MQTT 3.1.1 has words for it.
async fn introduce<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    certified: &[String],
    from: IpAddr,
    inside: &Arc<Inside>,
    standing: &Arc<Standing>,
) -> Result<(Connect, Identity), End> {
    let packet = loop {
        match wire.next() {
            Ok(Some(packet)) => break packet,
            Ok(None) => wire.fill().await?,
            Err(Broken::Version) => {
                return refuse(wire, ConnectReturnCode::RefusedProtocolVersion, Broken::Version.into()).await;
            }
            Err(broken) => return Err(broken.into()),
        }
    };
    let Packet::Connect(mut connect) = packet else { return Err(End::Protocol) };
    if connect.protocol != rumqttc::mqttbytes::Protocol::V4 {
        return refuse(wire, ConnectReturnCode::RefusedProtocolVersion, Broken::Version.into()).await;
    }
    let Some(who) = identify(certified, &connect, from, inside, standing).await else {
        tokio::time::sleep(WRONG_PASSWORD_PAUSE).await;
        return refuse(wire, ConnectReturnCode::BadUserNamePassword, End::Broken(Broken::Closed)).await;
    };
    if connect.client_id.is_empty() {
        if !connect.clean_session || !standing.policy.is_open() {
            return refuse(wire, ConnectReturnCode::BadClientId, End::Protocol).await;
        }
        connect.client_id = inside.unnamed();
    }
    if !standing.policy.may_be_called(&who, &connect.client_id) {
        inside.counters.add(Count::NotAuthorized);
        return refuse(wire, ConnectReturnCode::BadClientId, End::Broken(Broken::Closed)).await;
    }
    if let Some(will) = &connect.last_will
        && !(is_topic(&will.topic) && standing.policy.allows(&who, Action::Publish, &will.topic))
    {
        return refuse(wire, ConnectReturnCode::NotAuthorized, End::Denied).await;
    }
    Ok((connect, who))
}

async fn refuse<S: AsyncRead + AsyncWrite + Unpin, T>(
    wire: &mut Wire<S>,
    code: ConnectReturnCode,
    end: End,
) -> Result<T, End> {
    wire.put(&Packet::ConnAck(ConnAck::new(code, false)))?;
    wire.flush(Duration::from_secs(1)).await?;
    Err(end)
}

/// Passwords are checked by few threads at a time, so that guessing cannot take the processor, and not at all for whoever
/// guesses.
async fn identify(
    certified: &[String],
    connect: &Connect,
    from: IpAddr,
    inside: &Arc<Inside>,
    standing: &Arc<Standing>,
) -> Option<Identity> {
    if standing.policy.is_open() {
        return standing.policy.identify(certified, None).ok();
    }
    let login = connect.login.as_ref().map(|login| (login.username.clone(), login.password.clone()));
    let tried = match login.as_ref().map(|(user, _)| Tried::begin(user, from, inside, &standing.policy)) {
        Some(None) => return None,
        Some(Some(tried)) => Some(tried),
        None => None,
    };
    let _turn = inside.password_turns.acquire().await.ok()?;
    let (within, certified) = (Arc::clone(standing), certified.to_vec());
    let checking = tokio::task::spawn_blocking(move || {
        let login = login.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
        within.policy.identify(&certified, login)
    });
    let known = checking.await.ok()?.ok();
    if known.is_none() {
        inside.counters.add(Count::NotAuthorized);
    }
    if let Some(tried) = tried {
        tried.end(known.is_some());
    }
    known
}

/// A password that is being checked. When that is given up, because it takes too long or the client has gone, it was no guess.
struct Tried<'a> {
    user: String,
    from: IpAddr,
    inside: &'a Inside,
    is_checked: bool,
}

impl<'a> Tried<'a> {
    /// `None` when there were too many wrong ones.
    fn begin(user: &str, from: IpAddr, inside: &'a Inside, policy: &Policy) -> Option<Self> {
        let (mut guesses, now) = inside.guesses();
        match guesses.try_once(user, Some(from), now) {
            Try::Free => Some(Self { user: user.to_owned(), from, inside, is_checked: false }),
            Try::Barred { first } => {
                inside.counters.add(Count::Guessing);
                if first {
                    // The name is not written down: it may be a password.
                    let known = policy.knows(user);
                    tracing::warn!(%from, known, "too many wrong MQTT passwords: refused unseen for minutes");
                }
                None
            }
        }
    }

    fn end(mut self, is_right: bool) {
        self.is_checked = true;
        if is_right {
            self.inside.guesses().0.right(&self.user, Some(self.from));
        }
    }
}

impl Drop for Tried<'_> {
    fn drop(&mut self) {
        if !self.is_checked {
            self.inside.guesses().0.give_back(&self.user, Some(self.from));
        }
    }
}
