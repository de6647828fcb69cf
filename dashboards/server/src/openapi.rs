//! The OpenAPI document, from the table of endpoints and the schemas beside it.

use crate::endpoints::{Answer, Content, Endpoint, Parameter, by_path};
use crate::problem::PROBLEM_JSON;
use serde_json::{Map, Value, json};

/// Schemas of what is sent and received, by name.
const SCHEMAS: &str = include_str!("schemas.json");
/// Problems that any endpoint may answer with: the host is not this machine, the request is malformed.
const EVERYWHERE: [u16; 2] = [400, 421];
/// Problems of an endpoint that asks for a right.
const GUARDED: [u16; 3] = [401, 403, 503];

/// The document.
pub fn document() -> Value {
    let mut paths = Map::new();
    for endpoints in by_path() {
        let mut item = Map::new();
        let named = [
            ("id", "Name"),
            ("number", "SerialNumber"),
            ("element", "Number"),
            ("kind", "Kind"),
            ("prosumer", "Number"),
            ("month", "Month"),
            ("load_type", "Name"),
            ("period", "Period"),
        ];
        let mut parameters = Vec::new();
        for (name, schema) in named {
            if endpoints[0].path.contains(&format!("{{{name}}}")) {
                let schema = reference(schema);
                parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
            }
        }
        if !parameters.is_empty() {
            item.insert("parameters".to_owned(), parameters.into());
        }
        for endpoint in endpoints {
            item.insert(endpoint.method.to_lowercase(), operation(endpoint));
        }
        paths.insert(endpoints[0].path.to_owned(), item.into());
    }
    // Checked by a test.
    let schemas: Value = serde_json::from_str(SCHEMAS).unwrap_or_default();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "gridflex",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "See a distribution grid live and buy the flexibility it lacks.",
            "description": "Positive power and energy is taken from the grid. Times are UTC. Errors are problem documents (RFC 9457) \
                            with a stable `code`.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "made by `gridflex access token`" },
                "session": { "type": "apiKey", "in": "cookie", "name": crate::guard::COOKIE },
            },
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let (resource, action) = endpoint.right;
    let mut operation = json!({
        "operationId": endpoint.operation,
        "summary": endpoint.summary,
        "x-right": format!("{action} {resource}"),
        "responses": responses(endpoint),
    });
    if !endpoint.is_open() {
        operation["security"] = json!([{ "token": [] }, { "session": [] }]);
    }
    if !endpoint.query.is_empty() {
        operation["parameters"] = endpoint.query.iter().map(parameter).collect();
    }
    if let Some(schema) = endpoint.body {
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": reference(schema) } },
        });
    }
    operation
}

fn parameter(parameter: &Parameter) -> Value {
    let one = reference(parameter.schema);
    let schema = if parameter.many { json!({ "type": "array", "items": one }) } else { one };
    json!({ "name": parameter.name, "in": "query", "description": parameter.meaning, "schema": schema })
}

fn responses(endpoint: &Endpoint) -> Value {
    let mut responses = Map::new();
    for Answer { status, meaning, content } in endpoint.answers {
        let mut answer = json!({ "description": meaning });
        let media = match content {
            Content::Json(schema) => Some(("application/json", reference(schema))),
            Content::AnyJson => Some(("application/json", json!({ "type": "object" }))),
            Content::Events => Some(("text/event-stream", json!({ "type": "string" }))),
            Content::Text => Some(("text/plain", json!({ "type": "string" }))),
            Content::Page => Some(("text/html", json!({ "type": "string" }))),
            Content::Nothing => None,
        };
        if let Some((media, schema)) = media {
            answer["content"] = json!({ media: { "schema": schema } });
        }
        responses.insert(status.to_string(), answer);
    }
    let mut problems = [&EVERYWHERE[..], endpoint.problems].concat();
    if !endpoint.is_open() {
        problems.extend(GUARDED);
    }
    problems.sort_unstable();
    problems.dedup();
    for status in problems {
        let meaning = actix_web::http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason());
        let mut problem = json!({
            "description": meaning.unwrap_or("Problem"),
            "content": { PROBLEM_JSON: { "schema": reference("Problem") } },
        });
        if status == 503 {
            let meaning = "After how many seconds the same may be sent again, where that is known.";
            let seconds = json!({ "type": "integer", "minimum": 1 });
            problem["headers"] = json!({ "Retry-After": { "description": meaning, "schema": seconds } });
        }
        responses.insert(status.to_string(), problem);
    }
    responses.into()
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::ENDPOINTS;

    /// Names of all schemas that endpoints speak of.
    fn named() -> impl Iterator<Item = &'static str> {
        ENDPOINTS.iter().flat_map(|endpoint| {
            let answers = endpoint.answers.iter().filter_map(|answer| match answer.content {
                Content::Json(schema) => Some(schema),
                _ => None,
            });
            answers.chain(endpoint.body)
        })
    }

    /// Everything a document refers to.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value.as_str().filter(|_| name == "$ref") {
                        Some(reference) => found.push(reference.to_owned()),
                        None => references(value, found),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn what_is_referred_to_is_there() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 40, "{found:?}");
        for reference in &found {
            let place = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(place).is_some(), "{reference}");
        }
        for schema in named() {
            assert!(found.iter().any(|reference| reference.ends_with(schema)), "{schema}");
        }
    }

    #[test]
    fn every_endpoint_is_described_with_its_right() {
        let document = document();
        for endpoint in ENDPOINTS {
            let described = &document["paths"][endpoint.path][endpoint.method.to_lowercase()];
            assert_eq!(described["operationId"], endpoint.operation);
            assert_eq!(described.get("security").is_none(), endpoint.is_open(), "{}", endpoint.path);
        }
    }
}
