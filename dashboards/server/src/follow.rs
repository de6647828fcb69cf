//! New values of the history as they are kept: server-sent events, each with the offset from which the rest follows.
//!
//! A `beat` every second carries the newest offset, so that a client to whom nothing was sent for hours can still go on. A client
//! that is slow is sent what it missed; one that is so slow that the log was sealed meanwhile is told `gone`, and the stream ends.

use crate::api::no_place;
use crate::guard::Proof;
use crate::history::{Asked, asked, historian, required, shown};
use crate::owned::Asking;
use crate::places::Place;
use crate::problem::Problem;
use crate::serve::State;
use access::{Action, Principal, Resource};
use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use actors::Historian;
use futures_util::{Stream, stream};
use grid::PointId;
use history::{Kind, Offset, Value};
use serde_json::json;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// How often is looked for new values.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Beats come every so many looks.
const BEAT_EVERY: u32 = 4;
/// Rights are asked again after so long, however much there is to send.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// Values that are sent in one piece.
const PIECE_VALUES: usize = 500;

/// `GET /api/v1/history/{kind}/stream`.
pub async fn values(
    request: HttpRequest,
    path: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let (kind, Asked { points, rest }) = asked(&path, &query, &state)?;
    let mut after = None;
    for (name, text) in &rest {
        match *name {
            "after" => after = Some(text.to_owned()),
            _ => {
                let detail = format!("{:?} is none of point, pseudonym, after", crate::page::shortened(name));
                return Err(crate::deposit::query_malformed(detail));
            }
        }
    }
    required(&request, &points, &state).await?;
    let historian = historian(&state)?.clone();
    let resumed = request.headers().get("last-event-id").and_then(|id| id.to_str().ok());
    // What the client has seen is newer than what its address says.
    let from = match resumed.or(after) {
        None => None,
        Some(text) => {
            let wrong = |error: history::NoOffset| crate::deposit::query_malformed(format!("after: {error}"));
            Some(text.parse::<Offset>().map_err(wrong)?)
        }
    };
    let at = begin(&historian, from, state.limits.answer_deadline).await?;
    let place = state.follower_places.take(request.extensions().get::<Principal>());
    let place = place.map_err(|none| no_place(none, "streams"))?;
    // Rights may end while the stream goes on.
    let (proof, state, wanted) = (Proof::of(&request), state.clone(), points.clone());
    let stopping = state.stopping.clone();
    let may = async move || {
        let asking = Asking::of(state.served.access.principal(&proof).await, RIGHT);
        asking.sees_all()
            || (!wanted.is_empty() && wanted.iter().all(|point| asking.sees(&state, point.element)))
    };
    let follower = Follower::new(historian, (kind, points), at, (stopping, place), may);
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("cache-control", "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(follower.events()))
}

/// Whose right it asks for.
pub(crate) const RIGHT: (Resource, Action) = (Resource::Measurement, Action::Read);

/// The place to begin from: where somebody stopped, when that is still known, or now.
async fn begin(historian: &Historian, from: Option<Offset>, within: Duration) -> Result<Offset, Problem> {
    let find = async {
        loop {
            let found = match from {
                None => historian.newest().map(Ok),
                Some(from) => historian.after(from, |_| false, 0).map(|found| found.map(|_| from)),
            };
            match found {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let found = tokio::time::timeout(within, find).await.map_err(|_| {
        let detail = "the history is being written to without a pause; try again";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_answer", detail)
    })?;
    found.map_err(|gone| {
        let detail = format!("{gone}; ask for a span of time, and follow from now on");
        Problem::new(StatusCode::GONE, "offset_gone", detail)
    })
}

struct Follower<M> {
    historian: Historian,
    kind: Kind,
    /// None are all.
    points: BTreeSet<PointId>,
    at: Offset,
    stopping: watch::Receiver<bool>,
    may: M,
    interval: Interval,
    ticks: u32,
    /// More is there already.
    behind: bool,
    ended: bool,
    /// When rights were asked the last time.
    asked_at: Instant,
    _place: Place,
}

impl<M: AsyncFn() -> bool> Follower<M> {
    fn new(
        historian: Historian,
        (kind, points): (Kind, Vec<PointId>),
        at: Offset,
        (stopping, place): (watch::Receiver<bool>, Place),
        may: M,
    ) -> Self {
        let mut interval = interval(LOOK_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let points = points.into_iter().collect();
        let (ticks, behind, ended, asked_at) = (0, false, false, Instant::now());
        Self {
            historian,
            kind,
            points,
            at,
            stopping,
            may,
            interval,
            ticks,
            behind,
            ended,
            asked_at,
            _place: place,
        }
    }

    fn events(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self, |mut follower| async move {
            let bytes = follower.next().await?;
            Some((Ok(bytes), follower))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.ended || *self.stopping.borrow() {
                return None;
            }
            let mut beat = false;
            if std::mem::take(&mut self.behind) {
                // Others on this thread come first, also while nothing is found.
                tokio::task::yield_now().await;
            } else {
                self.interval.tick().await;
                beat = self.ticks.is_multiple_of(BEAT_EVERY);
                self.ticks = self.ticks.wrapping_add(1);
            }
            if *self.stopping.borrow() || !self.still_may().await {
                return None;
            }
            let mut text = self.look();
            if beat && !self.ended {
                let data = json!({ "offset": self.at.to_string() });
                text.push_str(&format!("id: {}\nevent: beat\ndata: {data}\n\n", self.at));
            }
            if !text.is_empty() {
                return Some(Bytes::from(text));
            }
        }
    }

    /// Asks for the rights again when that was not done for a while.
    async fn still_may(&mut self) -> bool {
        if self.asked_at.elapsed() < ASK_INTERVAL {
            return true;
        }
        self.asked_at = Instant::now();
        (self.may)().await
    }

    /// What came since the last look.
    fn look(&mut self) -> String {
        let (kind, points) = (self.kind, &self.points);
        let wanted =
            |value: &Value| value.kind == kind && (points.is_empty() || points.contains(&value.point));
        match self.historian.after(self.at, wanted, PIECE_VALUES) {
            // Somebody writes: the next look will find it.
            None => String::new(),
            Some(Ok(followed)) => {
                (self.at, self.behind) = (followed.next, !followed.all);
                let event = |(offset, value): &(Offset, Value)| {
                    format!("id: {offset}\nevent: value\ndata: {}\n\n", shown(value))
                };
                followed.values.iter().map(event).collect()
            }
            Some(Err(gone)) => {
                self.ended = true;
                format!(
                    "event: gone\ndata: {}\n\n",
                    json!({ "code": "offset_gone", "detail": gone.to_string() })
                )
            }
        }
    }
}
