//! Who asks, and whether they may: before every handler, by the right its row of the table names.

use crate::endpoints::Endpoint;
use crate::oidc::{Oidc, OidcConfig};
use crate::problem::Problem;
use crate::serve::State;
use crate::session::GUESSES_PER_NETWORK;
use crate::setup::Pending;
use access::{
    Action, AuditLog, Decision, Directory, DirectoryError, Entry, Guesses, Known, Principal, Resource,
    Sessions, UsedCodes, decide, depends_on_owner,
};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, COOKIE as COOKIE_HEADER};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, ResponseError, web};
use grid::{Clock, ProsumerId, Timestamp};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

/// How long a refusal is not written down again.
const REFUSED_AGAIN: Duration = Duration::from_secs(60);
/// Different refusals that are written down in that time.
const REFUSED_MAX: usize = 1024;
/// Name of the cookie that holds a session.
pub const COOKIE: &str = "gridflex_session";

/// Who may ask.
#[derive(Clone)]
pub enum Access {
    /// Whoever can reach the loopback address: development and demo.
    Local,
    /// Those of a directory.
    Accounts(Arc<Accounts>),
}

/// A directory of accounts in use.
pub struct Accounts {
    pub(crate) path: PathBuf,
    known: RwLock<(Arc<Known>, Option<Stamp>)>,
    /// Held while the directory is read again.
    reading: Mutex<()>,
    pub(crate) sessions: Mutex<Sessions>,
    audit: Mutex<AuditLog>,
    /// When a refusal was last written down, by who and what: a page that asks again and again fills no disk.
    refused: Mutex<BTreeMap<(String, String), Timestamp>>,
    pub(crate) clock: Arc<dyn Clock>,
    guesses: Mutex<Guesses>,
    /// Wrong codes behind right passwords, and those that were taken.
    pub(crate) codes: Mutex<(Guesses, UsedCodes)>,
    /// Until the first administrator is made.
    pub(crate) pending: Mutex<Option<Pending>>,
    /// Whose people may sign in besides those of the directory.
    pub(crate) oidc: Option<Oidc>,
}

/// Why accounts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// There is none.
    #[error("{0} is not there; make it with `gridflex access add`")]
    Missing(PathBuf),
    /// What is known of an OpenID provider.
    #[error("oidc.{key}: {reason}")]
    Oidc {
        /// The key in the site's file.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The audit log.
    #[error("audit log {path}: {source}")]
    Audit {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
}

impl Accounts {
    /// Reads a directory and opens the audit log beside it. The directory is read again whenever it changed.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn open(directory: &Path, audit: &Path, clock: Arc<dyn Clock>) -> Result<Self, AccessError> {
        // Before it is read: what changes meanwhile is read again.
        let stamp = stamp(directory);
        let read = Directory::read(directory)?.ok_or_else(|| AccessError::Missing(directory.to_owned()))?;
        let log =
            AuditLog::open(audit).map_err(|source| AccessError::Audit { path: audit.to_owned(), source })?;
        Ok(Self {
            path: directory.to_owned(),
            known: RwLock::new((Arc::new(read.into()), stamp)),
            reading: Mutex::default(),
            sessions: Mutex::default(),
            audit: Mutex::new(log),
            refused: Mutex::default(),
            clock,
            guesses: Mutex::new(Guesses::new(GUESSES_PER_NETWORK)),
            codes: Mutex::new((Guesses::new(GUESSES_PER_NETWORK), UsedCodes::default())),
            pending: Mutex::default(),
            oidc: None,
        })
    }

    /// At a site: tokens that are good at others only are nobody's here.
    #[must_use]
    pub fn of_site(self, site: &str) -> Self {
        self.known_as(|known| known.of_site(Some(site.to_owned())))
    }

    /// Whether a second factor is wanted of people for what [`access::SECOND_FACTOR`] names.
    #[must_use]
    pub fn wanting_second_factor(self, wanted: bool) -> Self {
        self.known_as(|known| known.wanting_second_factor(wanted))
    }

    fn known_as(mut self, here: impl FnOnce(Known) -> Known) -> Self {
        let (known, _) = self.known.get_mut().unwrap_or_else(PoisonError::into_inner);
        *known = Arc::new(here(Arc::unwrap_or_clone(std::mem::take(known))));
        self
    }

    /// Lets people of an OpenID provider sign in, too. The provider is not asked yet.
    ///
    /// # Errors
    /// [`AccessError::Oidc`].
    pub fn with_oidc(mut self, config: OidcConfig) -> Result<Self, AccessError> {
        let made = Oidc::new(config, Arc::clone(&self.clock));
        self.oidc = Some(made.map_err(|(key, reason)| AccessError::Oidc { key, reason })?);
        Ok(self)
    }

    /// Who was known when the directory was last read.
    fn kept(&self) -> (Arc<Known>, Option<Stamp>) {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who is known now: reads the directory again when it changed, which takes a while when it is long. One that became
    /// unreadable lets nobody in.
    pub(crate) fn newest(&self) -> Arc<Known> {
        let (known, seen) = self.kept();
        if stamp(&self.path) == seen {
            return known;
        }
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        // Another may have read it meanwhile. The stamp is taken before it is read: what changes meanwhile is read again.
        let (known, seen) = self.kept();
        let newest = stamp(&self.path);
        if newest == seen {
            return known;
        }
        let directory = Directory::read(&self.path).unwrap_or_else(|error| {
            tracing::error!(%error, "accounts cannot be read: nobody is let in");
            None
        });
        let known = Arc::new(known.succeeded_by(directory.unwrap_or_default()));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = (Arc::clone(&known), newest);
        known
    }

    /// Who is known now; the directory is read on a thread that may wait.
    pub(crate) async fn fresh(self: &Arc<Self>) -> Arc<Known> {
        let (known, seen) = self.kept();
        if stamp(&self.path) == seen {
            return known;
        }
        let accounts = Arc::clone(self);
        // Nobody is let in by a server that goes down.
        web::block(move || accounts.newest()).await.unwrap_or_default()
    }

    pub(crate) fn guesses(&self) -> std::sync::MutexGuard<'_, Guesses> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what was done; it is on the disk when this returns.
    pub(crate) fn note(&self, who: &str, what: String, object: &str, outcome: &str) -> Result<(), Problem> {
        let (at, object) = (self.clock.now(), object.chars().take(200).collect());
        let entry = Entry { at, who: who.to_owned(), what, object, outcome: outcome.to_owned() };
        let mut audit = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
        audit.write(entry).map_err(|error| {
            tracing::error!(%error, "the audit log cannot be written");
            let detail = "what is not written down is not done: the audit log cannot be written";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "audit_failed", detail)
        })
    }

    /// Writes a refusal down, the same one of the same reason once a minute.
    pub(crate) fn note_refusal(
        &self,
        who: &str,
        what: String,
        object: &str,
        outcome: &str,
    ) -> Result<(), Problem> {
        let now = self.clock.now();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|_, at| now.since(*at) < REFUSED_AGAIN);
        let key = (who.to_owned(), format!("{what}: {outcome}"));
        if refused.contains_key(&key) || refused.len() >= REFUSED_MAX {
            return Ok(());
        }
        refused.insert(key, now);
        drop(refused);
        self.note(who, what, object, outcome)
    }

    /// Whose proof this is.
    fn principal(&self, known: &Known, proof: &Proof) -> Option<Principal> {
        let now = self.clock.now();
        if let Some(token) = &proof.token {
            return known.by_token(token, now);
        }
        let session = proof.session.as_deref()?;
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let own = sessions.whose(session, now).map(|(name, mark)| (name.to_owned(), mark.to_owned()));
        drop(sessions);
        let Some((name, mark)) = own else {
            return self.oidc.as_ref()?.whose(session, self.clock.as_ref());
        };
        let same = known.mark(&name).is_some_and(|now| now == mark);
        known.by_name(&name).filter(|_| same)
    }
}

/// What a request shows of who asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proof {
    token: Option<String>,
    pub session: Option<String>,
}

impl Proof {
    fn shows_nothing(&self) -> bool {
        self.token.is_none() && self.session.is_none()
    }

    pub fn of(request: &HttpRequest) -> Self {
        let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token =
            shown.and_then(|shown| shown.strip_prefix("Bearer ")).map(|token| token.trim().to_owned());
        Self { token, session: cookie(request, COOKIE) }
    }
}

/// A cookie that a request brings.
pub(crate) fn cookie(request: &HttpRequest, name: &str) -> Option<String> {
    let cookies = request.headers().get_all(COOKIE_HEADER).filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
}

/// What tells a file from the same file after a change of its contents, owner or mode.
type Stamp = (SystemTime, u64, i64, i64, u64);

#[cfg(unix)]
fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    Some((metadata.modified().ok()?, metadata.len(), changed.0, changed.1, metadata.ino()))
}

#[cfg(not(unix))]
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), 0, 0, 0))
}

impl Access {
    /// Who is known now; `None` where everybody is let in.
    pub(crate) fn directory(&self) -> Option<Arc<Known>> {
        match self {
            Self::Local => None,
            Self::Accounts(accounts) => Some(accounts.newest()),
        }
    }

    /// Whether nobody has an account, and the first administrator may be made.
    pub(crate) fn awaits_set_up(&self) -> bool {
        matches!(self, Self::Accounts(accounts) if accounts.awaits_set_up())
    }

    /// Writes down what happened at another door: `who` did or suffered `what`. It is on the disk when this returns; where nothing is
    /// written down, at once.
    pub fn write_down(&self, who: &str, what: &str, object: &str, outcome: &str) {
        let Self::Accounts(accounts) = self else { return };
        if accounts.note(who, what.to_owned(), object, outcome).is_err() {
            tracing::error!(who, what, object, outcome, "not in the audit log");
        }
    }

    /// Who asks; `None` for somebody who proved nothing.
    pub(crate) async fn principal(&self, proof: &Proof) -> Option<Principal> {
        match self {
            Self::Local => Some(Principal::local()),
            Self::Accounts(_) if proof.shows_nothing() => None,
            Self::Accounts(accounts) => {
                if let Some(session) = &proof.session {
                    accounts.ask_again(session);
                }
                accounts.principal(accounts.fresh().await.as_ref(), proof)
            }
        }
    }
}

/// Lets a request through to the handlers of a path, or refuses it.
pub async fn guard<B: MessageBody + 'static>(
    endpoints: &'static [Endpoint],
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let endpoint = endpoints.iter().find(|endpoint| endpoint.method == request.method().as_str());
    let Some(endpoint) = endpoint else {
        return next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    };
    let Some(state) = request.app_data::<web::Data<State>>().cloned() else {
        return Err(actix_web::error::ErrorInternalServerError("no state"));
    };
    let principal = state.served.access.principal(&Proof::of(request.request())).await;
    let path = request.path().to_owned();
    if let Err(problem) = allow(&state.served.access, principal.as_ref(), endpoint.right, None, path).await {
        return Ok(request.into_response(problem.error_response()));
    }
    if let Some(principal) = principal {
        request.extensions_mut().insert(principal);
    }
    next.call(request).await.map(ServiceResponse::map_into_boxed_body)
}

/// Whether a principal may do this with what belongs to `owner`; commands, offers and refusals are written down.
pub(crate) async fn allow(
    access: &Access,
    principal: Option<&Principal>,
    (resource, action): (Resource, Action),
    owner: Option<ProsumerId>,
    object: String,
) -> Result<(), Problem> {
    let decision = decide(principal, resource, action, owner);
    if let (Access::Accounts(accounts), Some(principal)) = (access, principal) {
        let refused = decision != Decision::Allowed;
        // What depends on the owner is not decided, and not written down, before that is known.
        let decided = owner.is_some() || !depends_on_owner(resource, action);
        // Every second of every household would fill the disk: of these only answers to orders are written down, by
        // whoever takes them, and refusals.
        let frequent = matches!(resource, Resource::Measurement | Resource::Schedule);
        let looked_at = matches!(resource, Resource::FlexOffer | Resource::Bill);
        let counts = !frequent && (action != Action::Read || looked_at);
        let ours = resource != Resource::Session && resource != Resource::Open;
        if ours && (refused || (decided && counts)) {
            let (accounts, who) = (Arc::clone(accounts), principal.name.clone());
            let what = format!("{action} {resource}");
            let note = move || match decision {
                Decision::Allowed => accounts.note(&who, what, &object, code(decision)),
                _ => accounts.note_refusal(&who, what, &object, code(decision)),
            };
            web::block(note).await.map_err(|_| stopped())??;
        }
    }
    match decision {
        Decision::Allowed => Ok(()),
        Decision::Unknown => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "not_logged_in",
            "log in at /login, or show a token as `Authorization: Bearer …`",
        )),
        Decision::Forbidden => {
            let name = principal.map_or("", |principal| principal.name.as_str());
            let detail = format!("{name} has no role that may {action} {resource}");
            Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
        }
        Decision::SecondFactor => {
            let name = principal.map_or("", |principal| principal.name.as_str());
            let detail = format!(
                "{action} {resource} wants a second factor here, and {name} has none: `gridflex access second-factor {name}` \
                 gives one"
            );
            Err(Problem::new(StatusCode::FORBIDDEN, "second_factor_needed", detail))
        }
        Decision::NotOwn => {
            let detail = format!("{action} {resource}: it belongs to somebody else");
            Err(Problem::new(StatusCode::FORBIDDEN, "not_own", detail))
        }
    }
}

/// Writes down that a principal looked at a list of what belongs to prosumers.
pub(crate) async fn note_list(access: &Access, who: &Principal, resource: Resource) -> Result<(), Problem> {
    note_done(access, who, (resource, Action::Read), "list".to_owned()).await
}

/// Writes down that a principal does something that it may.
pub(crate) async fn note_done(
    access: &Access,
    who: &Principal,
    (resource, action): (Resource, Action),
    object: String,
) -> Result<(), Problem> {
    let Access::Accounts(accounts) = access else { return Ok(()) };
    let (accounts, who) = (Arc::clone(accounts), who.name.clone());
    let what = format!("{action} {resource}");
    let note = move || accounts.note(&who, what, &object, code(Decision::Allowed));
    web::block(note).await.map_err(|_| stopped())?
}

fn code(decision: Decision) -> &'static str {
    match decision {
        Decision::Allowed => "allowed",
        Decision::Unknown => "not_logged_in",
        Decision::Forbidden => "forbidden",
        Decision::NotOwn => "not_own",
        Decision::SecondFactor => "second_factor_needed",
    }
}

/// The server goes down and no thread is left to do it.
pub(crate) fn stopped() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopped", "the server is stopping")
}
