//! Whose a measurement point is: what of the grid belongs to prosumers, and who may see it.

use crate::guard::allow;
use crate::places::{NoPlace, Place};
use crate::problem::Problem;
use crate::serve::State;
use access::{Action, Decision, Principal, Resource, Scope, decide, reaches_all};
use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest};
use grid::ProsumerId;
use grid::telemetry::Element;

type Right = (Resource, Action);

/// Who asks, and for what kind of thing.
#[derive(Clone)]
pub(crate) struct Asking {
    principal: Option<Principal>,
    right: Right,
}

impl Asking {
    pub fn new(request: &HttpRequest, right: Right) -> Self {
        Self { principal: request.extensions().get::<Principal>().cloned(), right }
    }

    pub fn of(principal: Option<Principal>, right: Right) -> Self {
        Self { principal, right }
    }

    /// Whether it does not matter whose it is.
    pub fn sees_all(&self) -> bool {
        reaches_all(self.principal.as_ref(), self.right.0, self.right.1)
    }

    /// The prosumers whose things may be seen; all when it is `None`.
    pub fn owners(&self) -> Option<Vec<ProsumerId>> {
        if self.sees_all() {
            return None;
        }
        match self.principal.as_ref().map(|principal| &principal.scope) {
            Some(Scope::Prosumers(own)) => {
                Some(own.iter().copied().filter(|owner| self.owns(*owner)).collect())
            }
            Some(Scope::Everything) => None,
            Some(Scope::Nothing) | None => Some(Vec::new()),
        }
    }

    /// A place for a question that takes a while.
    pub fn place(&self, state: &State) -> Result<Place, Problem> {
        state.question_places.take(self.principal.as_ref()).map_err(|none| {
            let detail = match none {
                NoPlace::Full(count) => format!("{count} questions of this kind are being answered already"),
                NoPlace::Enough(count) => format!("{count} questions of yours are being answered already"),
            };
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_questions", detail)
        })
    }

    /// Whether what belongs to a prosumer may be seen.
    pub fn owns(&self, owner: ProsumerId) -> bool {
        decide(self.principal.as_ref(), self.right.0, self.right.1, Some(owner)) == Decision::Allowed
    }

    /// Whether an element may be seen: all its owners are one's own; what belongs to nobody is for those who see all.
    pub fn sees(&self, state: &State, element: Element) -> bool {
        self.sees_all() || {
            let owners = state.served.market.owners(element);
            !owners.is_empty() && owners.iter().all(|owner| self.owns(*owner))
        }
    }

    /// Refuses, and writes down, what may not be seen.
    pub async fn require(&self, state: &State, element: Element, object: String) -> Result<(), Problem> {
        if self.sees(state, element) {
            return Ok(());
        }
        let foreign = state.served.market.owners(element).into_iter().find(|owner| !self.owns(*owner));
        if let Some(owner) = foreign {
            let (access, principal) = (&state.served.access, self.principal.as_ref());
            allow(access, principal, self.right, Some(owner), object.clone()).await?;
        }
        let detail = format!("{} {}: {object} is not your own", self.right.1, self.right.0);
        Err(Problem::new(StatusCode::FORBIDDEN, "not_own", detail))
    }
}
