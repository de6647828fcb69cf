//! What parties do with what is their own: offers, orders, measurements, in the house's words and in those of others.

use super::{Endpoint, Parameter, json, parameter};
use crate::{fman, fmar, foa, parties};
use access::{Action, Resource};
use actix_web::web;

/// What is asked of the list of offers. It stands in the table of the market, beside the other methods of its path.
pub(super) const OFFERS_QUERY: &[Parameter] = &[
    parameter("after", "Name", "Offers after this one; `next` of the answer before"),
    parameter("limit", "OfferLimit", "Offers that may be returned"),
    parameter(
        "state",
        "OfferAge",
        "`active`: accepted or contracted; `history`: the others; all when absent",
    ),
];

/// Problems of whoever sends a body.
const WRITTEN: &[u16] = &[400, 404, 408, 413, 415, 422, 503];

pub(super) const PARTIES: &[Endpoint] = &[
    Endpoint {
        method: "POST",
        path: "/api/v1/schedules",
        operation: "pickUpSchedules",
        summary: "Orders to a prosumer's devices, each in every answer until it is acknowledged; and acknowledge",
        right: (Resource::Schedule, Action::Act),
        query: &[],
        body: Some("Heartbeat"),
        answers: &[json(200, "What is open", "Schedules")],
        problems: WRITTEN,
        route: || web::post().to(parties::schedules),
    },
    Endpoint {
        method: "POST",
        path: "/api/v1/measurements",
        operation: "sendMeasurements",
        summary: "Send values of points of one's own: of the moment, of a quarter-hour, or of a meter that counts",
        right: (Resource::Measurement, Action::Create),
        query: &[],
        body: Some("Readings"),
        answers: &[json(200, "On the disk, and what became of each", "ReadingsTaken")],
        problems: WRITTEN,
        route: || web::post().to(parties::measurements),
    },
    Endpoint {
        method: "POST",
        path: "/api/v1/fman/flexoffer/{prosumer}",
        operation: "submitFlexOfferToManager",
        summary: "Hand in a FlexOffer of a prosumer with the status codes of GOFLEX's manager",
        right: (Resource::FlexOffer, Action::Create),
        query: &[],
        body: Some("FlexOfferBody"),
        answers: &[
            json(200, "The same offer was accepted before; nothing changed", "OfferName"),
            json(201, "Accepted, and on the disk", "OfferName"),
        ],
        problems: WRITTEN,
        route: || web::post().to(fman::submit),
    },
    Endpoint {
        method: "POST",
        path: "/api/v1/fmar/flexOffer/v0",
        operation: "tradeOnMarket",
        summary: "Offers and heartbeats in the words of GOFLEX's market: a number for each offer, schedules for a heartbeat",
        right: (Resource::Schedule, Action::Act),
        query: &[],
        body: Some("MarketMessage"),
        answers: &[json(200, "A number for each offer, and schedules", "MarketReply")],
        problems: WRITTEN,
        route: || web::post().to(fmar::trade),
    },
    Endpoint {
        method: "POST",
        path: "/api/v1/foa/{prosumer}",
        operation: "communicateWithAgent",
        summary: "The protocol of an energy management system with its FlexOffer Agent: packets in, everything there is to say out",
        right: (Resource::Schedule, Action::Act),
        query: &[],
        body: Some("AgentRequest"),
        answers: &[json(200, "Ack or Nack, and orders until they are acknowledged", "AgentReply")],
        problems: WRITTEN,
        route: || web::post().to(foa::communicate),
    },
];
