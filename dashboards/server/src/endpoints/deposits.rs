//! What parties deposit: values under keys, reference consumption, indicators.

use super::{Endpoint, Parameter, json, parameter};
use crate::{benchmarks, key_values, kpis};
use access::{Action, Resource};
use actix_web::web;

/// Which keys.
const KEYS: Parameter = Parameter { many: true, ..parameter("key", "Name", "Which keys, at most 100") };

/// What is asked of the keys.
const KEYS_QUERY: &[Parameter] = &[
    KEYS,
    parameter("after", "Name", "Without `key`: keys after this one; `next` of the answer before"),
    parameter("limit", "KeyLimit", "Without `key`: entries that may be returned"),
];

/// What is asked of an indicator.
const SERIES_QUERY: &[Parameter] = &[
    parameter("from", "Instant", "First instant; `next` of the answer before"),
    parameter("until", "Instant", "First instant after it"),
    parameter("limit", "SeriesLimit", "Values that may be returned"),
];

/// Problems of whoever sends a body.
const WRITTEN: &[u16] = &[400, 404, 408, 409, 413, 415, 422, 503];

pub(super) const DEPOSITS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/api/v1/key-values",
        operation: "getKeyValues",
        summary: "Values under keys, or all of them page by page",
        right: (Resource::KeyValue, Action::Read),
        query: KEYS_QUERY,
        body: None,
        answers: &[json(200, "What stands under them", "KeyValues")],
        problems: &[404, 422],
        route: || web::get().to(key_values::find),
    },
    Endpoint {
        method: "PUT",
        path: "/api/v1/key-values",
        operation: "putKeyValues",
        summary: "Put values under keys, all or none; a key belongs to who put it first",
        right: (Resource::KeyValue, Action::Create),
        query: &[],
        body: Some("KeyValuesPut"),
        answers: &[json(200, "On the disk", "KeyValuesStored")],
        problems: WRITTEN,
        route: || web::put().to(key_values::put),
    },
    Endpoint {
        method: "DELETE",
        path: "/api/v1/key-values",
        operation: "deleteKeyValues",
        summary: "Delete keys of one's own, all or none",
        right: (Resource::KeyValue, Action::Act),
        query: &[KEYS],
        body: None,
        answers: &[json(200, "Those that were there", "KeyValuesDeleted")],
        problems: &[404, 422],
        route: || web::delete().to(key_values::delete),
    },
    Endpoint {
        method: "POST",
        path: "/api/v1/benchmarks",
        operation: "contributeToBenchmark",
        summary: "Contribute what a prosumer's loads of a type took in a day or month; replaces its earlier contribution",
        right: (Resource::Benchmark, Action::Create),
        query: &[],
        body: Some("BenchmarkContribution"),
        answers: &[json(200, "On the disk", "BenchmarkContribution")],
        problems: WRITTEN,
        route: || web::post().to(benchmarks::contribute),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/benchmarks/{load_type}/{period}",
        operation: "getBenchmark",
        summary: "What a group of prosumers took, once the period is closed and the group large enough",
        right: (Resource::Benchmark, Action::Read),
        query: &[],
        body: None,
        answers: &[json(200, "Count, mean and percentiles", "Benchmark")],
        problems: &[404, 422],
        route: || web::get().to(benchmarks::find),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/kpis",
        operation: "listIndicators",
        summary: "All indicators with their newest value, goal and alarm",
        right: (Resource::Indicator, Action::Read),
        query: &[],
        body: None,
        answers: &[json(200, "By name", "Indicators")],
        problems: &[404],
        route: || web::get().to(kpis::list),
    },
    Endpoint {
        method: "POST",
        path: "/api/v1/kpis",
        operation: "postIndicator",
        summary: "Post a value of an indicator; repeating it is safe",
        right: (Resource::Indicator, Action::Create),
        query: &[],
        body: Some("IndicatorPost"),
        answers: &[
            json(200, "The same value was there before; nothing changed", "Indicator"),
            json(201, "On the disk", "Indicator"),
        ],
        problems: WRITTEN,
        route: || web::post().to(kpis::post),
    },
    Endpoint {
        method: "GET",
        path: "/api/v1/kpis/{id}",
        operation: "getIndicator",
        summary: "Values of an indicator in a span of time, its goal and its alarms",
        right: (Resource::Indicator, Action::Read),
        query: SERIES_QUERY,
        body: None,
        answers: &[json(200, "The series", "IndicatorSeries")],
        problems: &[404, 422],
        route: || web::get().to(kpis::find),
    },
    Endpoint {
        method: "PUT",
        path: "/api/v1/kpis/{id}/goal",
        operation: "setIndicatorGoal",
        summary: "Set what is aimed at",
        right: (Resource::Indicator, Action::Act),
        query: &[],
        body: Some("IndicatorGoal"),
        answers: &[json(200, "On the disk", "Indicator")],
        problems: WRITTEN,
        route: || web::put().to(kpis::aim),
    },
    Endpoint {
        method: "PUT",
        path: "/api/v1/kpis/{id}/alarm",
        operation: "setIndicatorAlarm",
        summary: "Set when an alarm is raised, and with how much hysteresis it is cleared",
        right: (Resource::Indicator, Action::Act),
        query: &[],
        body: Some("IndicatorWatch"),
        answers: &[json(200, "On the disk", "Indicator")],
        problems: WRITTEN,
        route: || web::put().to(kpis::watch),
    },
];
