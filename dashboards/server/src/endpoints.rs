//! Every endpoint, as data: what it answers to, whose right it asks for, what it takes and gives. The routes, the OpenAPI
//! document and the tests of rights are made from this table; there is no other way to add a route.

use crate::{api, bids, bills, history, offers, quarantine, reported, session};
use access::{Action, Resource};
use actix_web::{Route, web};

/// What an answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// JSON of this schema.
    Json(&'static str),
    /// JSON of no schema of ours.
    AnyJson,
    /// Server-sent events.
    Events,
    /// Plain text.
    Text,
    /// Nothing.
    Nothing,
}

/// An answer that is no problem document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// What it means.
    pub meaning: &'static str,
    /// What it carries.
    pub content: Content,
}

/// Something that may stand behind the question mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Name of its schema.
    pub schema: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Whether it may stand there more than once.
    pub many: bool,
}

const fn parameter(name: &'static str, schema: &'static str, meaning: &'static str) -> Parameter {
    Parameter { name, schema, meaning, many: false }
}

/// What is asked of the history.
const HISTORY_QUERY: &[Parameter] = &[
    Parameter {
        many: true,
        ..parameter("point", "Name", "Which points, for example bus.34.u.a; all when absent")
    },
    parameter("from", "Instant", "First instant; a day before `until` when absent"),
    parameter("until", "Instant", "First instant after it; now when absent"),
    parameter("as_of", "Instant", "Answer with what was there at this instant"),
    parameter("versions", "Versions", "`all` answers with what was replaced as well"),
    parameter("limit", "Limit", "Values that may be returned; with more it is a problem"),
];

/// What is asked of the list of bills.
const BILLS_QUERY: &[Parameter] = &[
    parameter("after", "BillName", "Bills after this one; `next` of the answer before"),
    parameter("limit", "BillLimit", "Bills that may be returned"),
];

/// One method of one path.
#[derive(Clone, Copy)]
pub struct Endpoint {
    /// `GET`, `POST` or `DELETE`.
    pub method: &'static str,
    /// Its path; `{id}` stands for a name, `{number}` and `{prosumer}` for a number, `{month}` for a month.
    pub path: &'static str,
    /// Name of the operation.
    pub operation: &'static str,
    /// What it does, one line.
    pub summary: &'static str,
    /// Whose right it asks for: of what, and to do what.
    pub right: (Resource, Action),
    /// What may stand behind the question mark.
    pub query: &'static [Parameter],
    /// Schema of the body it takes.
    pub body: Option<&'static str>,
    /// Its answers when all is well.
    pub answers: &'static [Answer],
    /// Status codes of its problem documents, beside those that every endpoint has.
    pub problems: &'static [u16],
    /// What handles it.
    pub route: fn() -> Route,
}

const fn json(status: u16, meaning: &'static str, schema: &'static str) -> Answer {
    Answer { status, meaning, content: Content::Json(schema) }
}

const OPEN: (Resource, Action) = (Resource::Open, Action::Read);

/// All of them, those of one path side by side.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/healthz",
        operation: "isAlive",
        summary: "Whether the process runs",
        right: OPEN,
        query: &[],
        body: None,
        answers: &[json(200, "It does", "Status")],
        problems: &[503],
        route: || web::get().to(api::healthz),
    },
    Endpoint {
        method: "GET",
        path: "/readyz",
        operation: "isReady",
        summary: "Whether there is an estimate",
        right: OPEN,
        query: &[],
        body: None,
        answers: &[json(200, "There is", "Status")],
        problems: &[503],
        route: || web::get().to(api::readyz),
    },
    Endpoint {
        method: "GET",
        path: "/metrics",
        operation: "getFigures",
        summary: "Counters, depths and times as Prometheus text",
        right: (Resource::Metrics, Action::Read),
        query: &[],
        body: None,
        answers: &[Answer { status: 200, meaning: "Version 0.0.4 of the format", content: Content::Text }],
        problems: &[],
        route: || web::get().to(api::figures),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/openapi.json",
        operation: "describe",
        summary: "This document",
        right: OPEN,
        query: &[],
        body: None,
        answers: &[Answer { status: 200, meaning: "OpenAPI 3.1", content: Content::AnyJson }],
        problems: &[],
        route: || web::get().to(api::description),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/session",
        operation: "whoAmI",
        summary: "Who asks, and with which roles",
        right: (Resource::Session, Action::Read),
        query: &[],
        body: None,
        answers: &[json(200, "Somebody who is known", "Session")],
        problems: &[401],
        route: || web::get().to(session::show),
    },
    Endpoint {
        method: "POST",
        path: "/api/v1/session",
        operation: "logIn",
        summary: "Log in with name and password; the answer sets a cookie",
        right: (Resource::Session, Action::Create),
        query: &[],
        body: Some("Credentials"),
        answers: &[json(200, "Logged in", "Session")],
        problems: &[400, 401, 404, 408, 413, 415, 422, 429, 503],
        route: || web::post().to(session::begin),
    },
    Endpoint {
        method: "DELETE",
        path: "/api/v1/session",
        operation: "logOut",
        summary: "Log out",
        right: (Resource::Session, Action::Act),
        query: &[],
        body: None,
        answers: &[Answer {
            status: 204,
            meaning: "Nobody is logged in any more",
            content: Content::Nothing,
        }],
        problems: &[],
        route: || web::delete().to(session::end),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/network",
        operation: "getNetwork",
        summary: "Buses, branches and usage points, as they are drawn",
        right: (Resource::Network, Action::Read),
        query: &[],
        body: None,
        answers: &[json(200, "The network", "Network")],
        problems: &[],
        route: || web::get().to(api::network),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/snapshot",
        operation: "getSnapshot",
        summary: "Everything the page shows, once",
        right: (Resource::Picture, Action::Read),
        query: &[],
        body: None,
        answers: &[json(200, "The newest picture", "Picture")],
        problems: &[],
        route: || web::get().to(api::snapshot),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/stream",
        operation: "followPicture",
        summary: "Server-sent events: one `snapshot`, then `change` at most four times a second, `beat` every second",
        right: (Resource::Picture, Action::Read),
        query: &[],
        body: None,
        answers: &[Answer { status: 200, meaning: "Events without end", content: Content::Events }],
        problems: &[503],
        route: || web::get().to(api::events),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/history",
        operation: "getHistoryFigures",
        summary: "What is kept of telemetry, energies and estimates",
        right: (Resource::History, Action::Read),
        query: &[],
        body: None,
        answers: &[json(200, "Figures by kind", "HistoryFigures")],
        problems: &[404],
        route: || web::get().to(history::figures),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/history/{kind}",
        operation: "getHistory",
        summary: "Values of points in a span of time, by point and instant",
        right: (Resource::History, Action::Read),
        query: HISTORY_QUERY,
        body: None,
        answers: &[json(200, "The values", "History")],
        problems: &[400, 404, 422],
        route: || web::get().to(history::values),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/bids",
        operation: "listBids",
        summary: "What the DSO asks for now, one bid per congested element",
        right: (Resource::Bid, Action::Read),
        query: &[],
        body: None,
        answers: &[json(200, "The bids of the newest need", "Bids")],
        problems: &[],
        route: || web::get().to(bids::list),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/bids/{id}",
        operation: "getBid",
        summary: "A bid as D6.1 writes it (Table 1)",
        right: (Resource::Bid, Action::Read),
        query: &[],
        body: None,
        answers: &[json(200, "The bid", "Bid")],
        problems: &[400, 404],
        route: || web::get().to(bids::find),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/bids/{id}/feedback",
        operation: "getBidFeedback",
        summary: "What was bought for a bid",
        right: (Resource::Bid, Action::Read),
        query: &[],
        body: None,
        answers: &[json(200, "Accepted with the schedule that was bought, or rejected", "BidFeedback")],
        problems: &[400, 404],
        route: || web::get().to(bids::feedback),
    },
    Endpoint {
        method: "POST",
        path: "/api/v1/bids/{id}/feedback",
        operation: "reportBidFeedback",
        summary: "Answer a bid: accepted with a schedule, or rejected; the newest answer of each party is kept",
        right: (Resource::Bid, Action::Create),
        query: &[],
        body: Some("BidFeedback"),
        answers: &[json(200, "What is kept", "ReportedFeedback")],
        problems: &[400, 404, 408, 413, 415, 422, 503],
        route: || web::post().to(reported::report),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/bids/{id}/feedback/reported",
        operation: "listReportedFeedback",
        summary: "What parties answered to a bid",
        right: (Resource::Bid, Action::Read),
        query: &[],
        body: None,
        answers: &[json(200, "The newest answer of each party", "ReportedFeedbacks")],
        problems: &[400, 404],
        route: || web::get().to(reported::list),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/bills",
        operation: "listBills",
        summary: "Bills of delegated trading, by prosumer and month; one's own where one may not see everybody's",
        right: (Resource::Bill, Action::Read),
        query: BILLS_QUERY,
        body: None,
        answers: &[json(200, "The bills, and where to go on", "Bills")],
        problems: &[422],
        route: || web::get().to(bills::list),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/bills/{prosumer}/{month}",
        operation: "getBill",
        summary: "The bill of a prosumer for a month, with the records that each line rests on",
        right: (Resource::Bill, Action::Read),
        query: &[],
        body: None,
        answers: &[json(200, "The bill", "Bill")],
        problems: &[404],
        route: || web::get().to(bills::find),
    },
    Endpoint {
        method: "POST",
        path: "/api/v1/flexoffers",
        operation: "submitFlexOffer",
        summary: "Hand in a FlexOffer, in our own form or in a dialect; repeating it is safe",
        right: (Resource::FlexOffer, Action::Create),
        query: &[],
        body: Some("FlexOfferBody"),
        answers: &[
            json(200, "The same offer was accepted before; nothing changed", "OfferName"),
            json(201, "Accepted, and on the disk", "OfferName"),
        ],
        problems: &[400, 408, 409, 413, 415, 422, 503],
        route: || web::post().to(offers::submit),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/flexoffers/{id}",
        operation: "getFlexOffer",
        summary: "An offer and where it stands",
        right: (Resource::FlexOffer, Action::Read),
        query: &[],
        body: None,
        answers: &[json(200, "The offer", "OfferFound")],
        problems: &[400, 404, 503],
        route: || web::get().to(offers::find),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/quarantine",
        operation: "listQuarantine",
        summary: "Messages that were set aside because handling them panicked, and how many there were",
        right: (Resource::Quarantine, Action::Read),
        query: &[],
        body: None,
        answers: &[json(200, "Counts and messages", "Quarantine")],
        problems: &[],
        route: || web::get().to(quarantine::list),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/quarantine/{number}",
        operation: "getSetAside",
        summary: "A message that was set aside",
        right: (Resource::Quarantine, Action::Read),
        query: &[],
        body: None,
        answers: &[json(200, "The message", "SetAside")],
        problems: &[404],
        route: || web::get().to(quarantine::find),
    },
    Endpoint {
        method: "DELETE",
        path: "/api/v1/quarantine/{number}",
        operation: "discardSetAside",
        summary: "Throw a message away that was set aside",
        right: (Resource::Quarantine, Action::Act),
        query: &[],
        body: None,
        answers: &[json(200, "What was thrown away", "SetAside")],
        problems: &[404],
        route: || web::delete().to(quarantine::discard),
    },
    Endpoint {
        method: "POST",
        path: "/api/v1/quarantine/{number}/release",
        operation: "releaseSetAside",
        summary: "Put a message back into its mailbox",
        right: (Resource::Quarantine, Action::Act),
        query: &[],
        body: Some("Nothing"),
        answers: &[json(200, "What was released", "SetAside")],
        problems: &[404, 408, 413, 415, 422],
        route: || web::post().to(quarantine::release),
    },
];

/// The endpoints of each path.
pub fn by_path() -> impl Iterator<Item = &'static [Endpoint]> {
    ENDPOINTS.chunk_by(|one, next| one.path == next.path)
}

impl Endpoint {
    /// Whether anybody may ask it.
    pub fn is_open(&self) -> bool {
        let (resource, action) = self.right;
        access::decide(None, resource, action, None) == access::Decision::Allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_and_no_operation_stands_twice() {
        let mut paths: Vec<&str> = by_path().map(|endpoints| endpoints[0].path).collect();
        let mut operations: Vec<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.operation).collect();
        for names in [&mut paths, &mut operations] {
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }

    #[test]
    fn what_is_open_tells_nothing_of_the_grid_or_the_market() {
        let open: Vec<&str> = ENDPOINTS.iter().filter(|one| one.is_open()).map(|one| one.path).collect();
        let session = ["/api/v1/session"; 3];
        assert_eq!(open, [&["/healthz", "/readyz", "/api/v1/openapi.json"][..], &session].concat());
    }
}
