//! Starting and stopping the server.

use crate::answered::Answered;
use crate::api;
use crate::certificate::{self, Certificate};
use crate::commits::Commits;
use crate::deposit::SharedRegister;
use crate::door::MarketDoor;
use crate::field::FieldDoor;
use crate::gate::Gate;
use crate::guard::Access;
use crate::listen::{Listen, ServeError};
use crate::page::{self, PageFiles};
use crate::places::Places;
use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_server::{ServerBuilder, ServerHandle};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::middleware::DefaultHeaders;
use actix_web::{App, ResponseError, web};
use actors::Operations;
use actors::picture::{NetworkPicture, Picture};
use connectors::mqtt::door::TlsFiles;
use connectors::watched::Watched;
use futures_util::future::Either;
use grid::{PointId, Topology};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Only files of this server; no frames, no forms, no foreign scripts.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Threads that answer, each with a runtime of its own.
const WORKERS: usize = 2;

/// What is served.
#[derive(Clone)]
pub struct Served {
    /// The network, which does not change.
    pub network: Arc<NetworkPicture>,
    /// How it hangs together.
    pub topology: Arc<Topology>,
    /// Points by what operators call them that send values under pseudonyms.
    pub pseudonyms: Arc<BTreeMap<String, PointId>>,
    /// The newest picture.
    pub picture: watch::Receiver<Arc<Picture>>,
    /// Where FlexOffers go and bids are seen.
    pub market: Arc<dyn MarketDoor>,
    /// Figures, and messages that were set aside.
    pub operations: Operations,
    /// What parties deposit; `None` where nothing of that kind is kept.
    pub register: Option<SharedRegister>,
    /// Where measurements and answers of devices go in; `None` where none are taken.
    pub field: Option<FieldDoor>,
    /// Who may ask.
    pub access: Access,
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("network", &self.network.name).finish_non_exhaustive()
    }
}

/// Limits at this edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body, bytes.
    pub body_bytes_max: usize,
    /// A body must have arrived within this time.
    pub body_deadline: Duration,
    /// The system must have answered within this time.
    pub answer_deadline: Duration,
    /// Connections at the same time.
    pub connections_max: usize,
    /// Of these, connections of one address (of IPv6: one network of 64 bits).
    pub connections_each_max: usize,
    /// Of these, connections that have asked nothing yet.
    pub silent_max: usize,
    /// A peer must fetch something of its answer within this time.
    pub write_stall: Duration,
    /// Pages that may listen to the stream at the same time.
    pub streams_max: usize,
    /// Of these, pages of one account or token.
    pub streams_each_max: usize,
    /// Streams of new values that may be followed at the same time.
    pub followers_max: usize,
    /// Of these, streams of one account or token.
    pub followers_each_max: usize,
    /// Questions that look at much and are answered at the same time: lists of offers and bills, validations.
    pub questions_max: usize,
    /// Of these, questions of one account or token.
    pub questions_each_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 64 * 1024,
            body_deadline: Duration::from_secs(10),
            answer_deadline: Duration::from_secs(10),
            connections_max: 4_096,
            connections_each_max: 512,
            silent_max: 256,
            write_stall: Duration::from_secs(10),
            streams_max: 64,
            streams_each_max: 16,
            followers_max: 256,
            followers_each_max: 4,
            questions_max: 64,
            questions_each_max: 4,
        }
    }
}

/// What every handler can reach.
pub(crate) struct State {
    pub served: Served,
    pub limits: Limits,
    /// Held while a password is checked.
    pub login_turn: Arc<tokio::sync::Mutex<()>>,
    pub page: PageFiles,
    pub stopping: watch::Receiver<bool>,
    pub page_places: Places,
    pub follower_places: Places,
    /// Of questions that look at much.
    pub question_places: Places,
    pub listen: Listen,
    pub encrypted: bool,
    pub gate: Arc<Gate>,
    pub answered: Arc<Answered>,
    /// The way of readings to the register, where there is one.
    pub commits: Option<Commits>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("served", &self.served).finish_non_exhaustive()
    }
}

/// A server that accepts connections until it is stopped.
#[derive(Debug)]
pub struct RunningServer {
    state: web::Data<State>,
    address: SocketAddr,
    handle: ServerHandle,
    stopping: watch::Sender<bool>,
    task: JoinHandle<io::Result<()>>,
}

impl RunningServer {
    pub(crate) fn state(&self) -> web::Data<State> {
        self.state.clone()
    }

    /// Where it listens; names the real port when port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all streams, lets running requests finish for at most two seconds, and returns when all is closed.
    pub async fn stop(self) {
        let _ = self.stopping.send(true);
        self.handle.stop(true).await;
        if let Ok(Err(error)) = self.task.await {
            tracing::warn!(%error, "http server ended with an error");
        }
    }
}

/// Serves until stopped, with the default limits and the page that was built with this program.
///
/// Must be called inside a tokio runtime with time and I/O; two worker threads are started with a runtime each
/// of their own, so nothing heavier than reading a picture happens on the caller's runtime.
///
/// # Errors
/// [`ServeError`]; an address that others can reach needs TLS, accounts, an administrator and names.
pub async fn serve(listen: impl Into<Listen>, served: Served) -> Result<RunningServer, ServeError> {
    serve_with(listen, served, Limits::default(), page::built).await
}

/// Like [`serve`], with other limits and another source of the page's files (path to contents).
///
/// # Errors
/// As [`serve`].
pub async fn serve_with(
    listen: impl Into<Listen>,
    served: Served,
    limits: Limits,
    page: PageFiles,
) -> Result<RunningServer, ServeError> {
    let listen: Listen = listen.into();
    // Before it is read: what changes meanwhile is read again.
    let watched = listen.tls.iter().flat_map(TlsFiles::paths).cloned().collect::<Vec<_>>();
    let watched = Watched::new(watched);
    let tls = {
        let known = served.access.directory();
        listen.check(known.as_ref().map(|known| known.directory()), served.access.awaits_set_up())?
    };
    let address = listen.address;
    let listener = listen.bind()?;
    let refused = |source| ServeError::Listen { address, source };
    let bound = listener.local_addr().map_err(refused)?;
    let (stopping, stopped) = watch::channel(false);
    let encrypted = tls.is_some();
    let certificate = tls.map(Certificate::new);
    if let (Some(certificate), Some(files)) = (&certificate, &listen.tls) {
        let (certificate, files, access) = (Arc::clone(certificate), files.clone(), served.access.clone());
        tokio::spawn(certificate::follow(certificate, files, watched, access, stopped.clone()));
    }
    let commits = served.register.clone().map(Commits::start).transpose().map_err(refused)?;
    let state = web::Data::new(State {
        served,
        limits,
        login_turn: Arc::default(),
        page,
        stopping: stopped,
        page_places: Places::new(limits.streams_max, limits.streams_each_max),
        follower_places: Places::new(limits.followers_max, limits.followers_each_max),
        question_places: Places::new(limits.questions_max, limits.questions_each_max),
        encrypted,
        gate: Arc::new(Gate::new(limits, certificate)),
        answered: Arc::default(),
        commits,
        listen,
    });
    let kept_state = state.clone();
    let server = ServerBuilder::new()
        .workers(WORKERS)
        // The gate counts; beyond it these are those that it has not heard of yet.
        .max_concurrent_connections(20_000)
        .shutdown_timeout(2)
        .disable_signals()
        .listen("http", listener, move || connections(&state, bound))
        .map_err(refused)?
        .run();
    let handle = server.handle();
    let task = tokio::spawn(server);
    tracing::info!(address = %bound, encrypted, "http server is listening");
    Ok(RunningServer { state: kept_state, address: bound, handle, stopping, task })
}

/// What serves the connections of one worker.
fn connections(
    state: &web::Data<State>,
    bound: SocketAddr,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<>
{
    let (stopping, gate, encrypted) = (state.stopping.clone(), Arc::clone(&state.gate), state.encrypted);
    let (app_state, answered) = (state.clone(), Arc::clone(&state.answered));
    let app = App::new()
        .app_data(app_state)
        .wrap_fn(|request, service| match api::check_host(&request) {
            Ok(()) => Either::Left(service.call(request)),
            Err(problem) => {
                Either::Right(std::future::ready(Ok(request.into_response(problem.error_response()))))
            }
        })
        .wrap(headers(encrypted))
        .wrap_fn(move |request, service| {
            let answered = Arc::clone(&answered);
            let answer = service.call(request);
            async move { answered.counting(answer).await }
        })
        .configure(api::routes);
    let app = map_config(app.into_factory(), |()| AppConfig::default());
    let http = HttpService::build()
        .graceful_shutdown_signal(move || {
            let mut stopping = stopping.clone();
            async move {
                let _ = stopping.wait_for(|stopping| *stopping).await;
            }
        })
        .client_request_timeout(Duration::from_secs(5))
        .client_disconnect_timeout(Duration::from_secs(1))
        .local_addr(bound)
        .finish(app.map_err(|error: actix_web::Error| error.error_response()));
    let enter = fn_service(move |peer: TcpStream| {
        let entering = Arc::clone(&gate).enter(peer);
        async move {
            let (connection, peer) = entering.await.map_err(DispatchError::Io)?;
            Ok::<_, DispatchError>((connection, Protocol::Http1, peer))
        }
    });
    enter.and_then(http)
}

/// What every answer says.
fn headers(encrypted: bool) -> DefaultHeaders {
    let headers = DefaultHeaders::new()
        .add(("content-security-policy", CONTENT_SECURITY_POLICY))
        .add(("x-content-type-options", "nosniff"))
        .add(("referrer-policy", "no-referrer"))
        .add(("cross-origin-opener-policy", "same-origin"))
        .add(("cross-origin-resource-policy", "same-origin"));
    if encrypted { headers.add(("strict-transport-security", "max-age=31536000")) } else { headers }
}
