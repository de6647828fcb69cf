//! The grid: how it hangs together, what it is expected to take, what offers are judged by.

use super::{Endpoint, Parameter, json, parameter};
use crate::{forecasts, topology, validation, weather};
use access::{Action, Resource};
use actix_web::web;

const OPEN: Parameter =
    Parameter { many: true, ..parameter("open", "Number", "As it would be with this edge opened") };
const CLOSE: Parameter =
    Parameter { many: true, ..parameter("close", "Number", "As it would be with this edge closed") };

/// How it would be after switching.
const SWITCHED: &[Parameter] = &[OPEN, CLOSE];
/// The same, page by page.
const PAGES: &[Parameter] = &[
    OPEN,
    CLOSE,
    parameter("after", "Number", "Those after this number; `next` of the answer before"),
    parameter("limit", "PageLimit", "How many may be returned"),
];

const FORECASTS_QUERY: &[Parameter] = &[
    Parameter {
        many: true,
        ..parameter("usage_point", "Number", "Which usage points; all that one may see when absent")
    },
    parameter("prosumer", "Number", "Those behind which this prosumer has devices"),
    parameter("after", "Number", "Usage points after this one; `next` of the answer before"),
    parameter("limit", "KeyLimit", "Usage points that may be returned"),
];

const VALIDATION_QUERY: &[Parameter] = &[
    parameter("from", "Instant", "First instant; a day before `until` when absent"),
    parameter("until", "Instant", "First instant after it; now when absent"),
];

/// Which time.
const WEATHER_QUERY: &[Parameter] = &[
    parameter("from", "Instant", "First instant"),
    parameter("until", "Instant", "First instant after it, 32 days later at most"),
];

pub(super) const GRID: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/api/v1/topology",
        operation: "getTopology",
        summary: "How many nodes and edges there are, and which islands they make, as it is or after switching",
        right: (Resource::Network, Action::Read),
        query: SWITCHED,
        body: None,
        answers: &[json(200, "Counts and islands", "Topology")],
        problems: &[422],
        route: || web::get().to(topology::whole),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/topology/nodes",
        operation: "listNodes",
        summary: "Nodes by number, with their islands and usage points",
        right: (Resource::Network, Action::Read),
        query: PAGES,
        body: None,
        answers: &[json(200, "Nodes, and where to go on", "Nodes")],
        problems: &[422],
        route: || web::get().to(topology::nodes),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/topology/nodes/{element}",
        operation: "getNode",
        summary: "A node, the way to its source, and what loses its supply with it",
        right: (Resource::Network, Action::Read),
        query: SWITCHED,
        body: None,
        answers: &[json(200, "The node", "NodeFound")],
        problems: &[404, 422],
        route: || web::get().to(topology::one_node),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/topology/edges",
        operation: "listEdges",
        summary: "Lines, transformers, switches and what else joins nodes, by number",
        right: (Resource::Network, Action::Read),
        query: PAGES,
        body: None,
        answers: &[json(200, "Edges, and where to go on", "Edges")],
        problems: &[422],
        route: || web::get().to(topology::edges),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/topology/edges/{element}",
        operation: "getEdge",
        summary: "An edge, the way to its source, what loses its supply with it, and which nodes relieve it",
        right: (Resource::Network, Action::Read),
        query: SWITCHED,
        body: None,
        answers: &[json(200, "The edge", "EdgeFound")],
        problems: &[404, 422],
        route: || web::get().to(topology::one_edge),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/forecasts",
        operation: "getForecasts",
        summary: "What usage points are expected to take in each quarter-hour of the next day, without further activation",
        right: (Resource::Forecast, Action::Read),
        query: FORECASTS_QUERY,
        body: None,
        answers: &[json(200, "The newest forecast, and where to go on", "Forecasts")],
        problems: &[404, 422],
        route: || web::get().to(forecasts::list),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/weather",
        operation: "getWeather",
        summary: "Air temperature by quarter-hour, measured and forecast; from a day ago to two days ahead when nothing else is asked for",
        right: (Resource::Weather, Action::Read),
        query: WEATHER_QUERY,
        body: None,
        answers: &[json(200, "What is known", "Weather")],
        problems: &[404, 422, 503],
        route: || web::get().to(weather::tell),
    },
    Endpoint {
        method: "POST",
        path: "/api/v1/weather",
        operation: "postWeather",
        summary: "Hand in air temperatures; what was measured counts before every forecast, and the newest forecast before older ones",
        right: (Resource::Weather, Action::Create),
        query: &[],
        body: Some("WeatherGiven"),
        answers: &[json(200, "On the disk", "WeatherKept")],
        problems: &[400, 404, 408, 413, 415, 422, 503],
        route: || web::post().to(weather::give),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/validation/{element}",
        operation: "getOfferValidation",
        summary: "Of a device, quarter-hour by quarter-hour: baseline, order and actual energy",
        right: (Resource::Validation, Action::Read),
        query: VALIDATION_QUERY,
        body: None,
        answers: &[json(200, "The curves", "OfferValidation")],
        problems: &[404, 422, 429, 503],
        route: || web::get().to(validation::find),
    },
];
