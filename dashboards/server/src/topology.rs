//! How the network hangs together: nodes, edges, islands, what lies upstream and downstream, and how it would be after switching.

use crate::api::json_answer;
use crate::deposit::{limit, query_malformed};
use crate::page::shortened;
use crate::problem::Problem;
use crate::serve::State;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use grid::topology::{Edge, Switched, Switching};
use grid::{BranchId, BusId, Topology, UsagePointId};
use serde_json::{Value, json};

/// Nodes or edges that are returned when no limit is given.
const LIMIT: usize = 1_000;
/// Nodes or edges that are returned at most.
const LIMIT_MAX: usize = 10_000;
/// Islands that are shown; how many there are is told in any case.
const ISLANDS_MAX: usize = 1_000;
/// Edges that may be switched in one question.
const SWITCHED_MAX: usize = 100;

struct Asked {
    switching: Switching,
    after: Option<u32>,
    most: usize,
}

/// `GET /api/v1/topology`.
pub async fn whole(
    asked: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let topology = &state.served.topology;
    let asked = read(&asked, topology, false)?;
    let switched = topology.switched(&asked.switching);
    let islands = switched.islands();
    let shown = islands.iter().take(ISLANDS_MAX).enumerate().map(|(number, island)| {
        json!({
            "island": number, "first": island.first, "nodes": island.buses, "usage_points": island.usage_points,
            "fed": island.fed,
        })
    });
    let usage_points: usize = islands.iter().map(|island| island.usage_points).sum();
    Ok(json_answer(&json!({
        "name": state.served.network.name,
        "nodes": topology.buses().len(),
        "edges": topology.edges().len(),
        "usage_points": usage_points,
        "sources": topology.sources().collect::<Vec<_>>(),
        "island_count": islands.len(),
        "islands": shown.collect::<Vec<_>>(),
    })))
}

/// `GET /api/v1/topology/nodes`.
pub async fn nodes(
    asked: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let topology = &state.served.topology;
    let asked = read(&asked, topology, true)?;
    let switched = topology.switched(&asked.switching);
    let mut ids: Vec<BusId> = topology.buses().to_vec();
    ids.sort_unstable();
    ids.retain(|id| asked.after.is_none_or(|after| after < id.0));
    let more = ids.len() > asked.most;
    ids.truncate(asked.most);
    let next = ids.last().filter(|_| more);
    let shown: Vec<Value> = ids.iter().map(|&id| node(&switched, topology, id)).collect();
    Ok(json_answer(&json!({ "nodes": shown, "next": next })))
}

/// `GET /api/v1/topology/edges`.
pub async fn edges(
    asked: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let topology = &state.served.topology;
    let asked = read(&asked, topology, true)?;
    let mut edges: Vec<&Edge> = topology.edges().iter().collect();
    edges.sort_unstable_by_key(|edge| edge.id);
    edges.retain(|edge| asked.after.is_none_or(|after| after < edge.id.0));
    let more = edges.len() > asked.most;
    edges.truncate(asked.most);
    let next = edges.last().filter(|_| more).map(|last| last.id);
    let shown: Vec<Value> = edges.into_iter().map(|edge| edge_shown(edge, &asked.switching)).collect();
    Ok(json_answer(&json!({ "edges": shown, "next": next })))
}

/// `GET /api/v1/topology/nodes/{element}`.
pub async fn one_node(
    path: web::Path<String>,
    asked: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let topology = &state.served.topology;
    let bus = BusId(number(&path)?);
    if !topology.has(bus) {
        return Err(Problem::not_found(format!("the network has no node {bus}")));
    }
    let asked = read(&asked, topology, false)?;
    let switched = topology.switched(&asked.switching);
    let mut answer = node(&switched, topology, bus);
    answer["upstream"] = json!(switched.upstream(bus));
    answer["downstream"] = behind(topology, switched.downstream_of_bus(bus));
    Ok(json_answer(&answer))
}

/// `GET /api/v1/topology/edges/{element}`.
pub async fn one_edge(
    path: web::Path<String>,
    asked: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let topology = &state.served.topology;
    let id = BranchId(number(&path)?);
    let unknown = || Problem::not_found(format!("the network has no edge {id}"));
    let edge = topology.edge(id).ok_or_else(unknown)?;
    let asked = read(&asked, topology, false)?;
    let switched = topology.switched(&asked.switching);
    let downstream = switched.downstream_of_edge(id);
    // The end that is nearer to a source.
    let ways = edge.buses.iter().filter_map(|&bus| switched.upstream(bus));
    let upstream = ways.min_by_key(Vec::len);
    let mut answer = edge_shown(edge, &asked.switching);
    answer["upstream"] = json!(upstream);
    answer["relieved_by"] = json!(downstream);
    answer["downstream"] = behind(topology, downstream);
    Ok(json_answer(&answer))
}

fn node(switched: &Switched, topology: &Topology, bus: BusId) -> Value {
    let island = switched.island_of(bus);
    let fed = island.and_then(|island| switched.islands().get(island)).is_some_and(|island| island.fed);
    json!({ "id": bus, "island": island, "fed": fed, "usage_points": topology.usage_points(bus) })
}

fn edge_shown(edge: &Edge, switching: &Switching) -> Value {
    let switched = if switching.open.contains(&edge.id) {
        Some(false)
    } else if switching.close.contains(&edge.id) {
        Some(true)
    } else {
        None
    };
    let closed: Vec<bool> = edge.closed.iter().map(|closed| switched.unwrap_or(*closed)).collect();
    json!({ "id": edge.id, "kind": edge.kind, "nodes": edge.buses, "closed": closed })
}

fn behind(topology: &Topology, buses: Vec<BusId>) -> Value {
    let points: Vec<UsagePointId> =
        buses.iter().flat_map(|&bus| topology.usage_points(bus)).copied().collect();
    json!({ "nodes": buses, "usage_points": points })
}

fn number(text: &str) -> Result<u32, Problem> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain).ok_or_else(|| {
        let detail = format!("{:?} is no number of a node or edge", shortened(text));
        Problem::new(StatusCode::BAD_REQUEST, "id_malformed", detail)
    })
}

fn read(asked: &[(String, String)], topology: &Topology, pages: bool) -> Result<Asked, Problem> {
    let mut read = Asked { switching: Switching::default(), after: None, most: LIMIT };
    for (name, text) in asked {
        let wrong = || query_malformed(format!("{name}: {:?} is no number", shortened(text)));
        match name.as_str() {
            "open" | "close" => {
                let edge = BranchId(number(text).map_err(|_| wrong())?);
                if topology.edge(edge).is_none() {
                    return Err(query_malformed(format!("{name}: the network has no edge {edge}")));
                }
                let Switching { open, close } = &mut read.switching;
                let (set, other) = if name == "open" { (open, close) } else { (close, open) };
                set.insert(edge);
                if other.contains(&edge) {
                    return Err(query_malformed(format!("edge {edge} is to be opened and closed")));
                }
                if set.len() + other.len() > SWITCHED_MAX {
                    return Err(query_malformed(format!(
                        "at most {SWITCHED_MAX} edges are switched at once"
                    )));
                }
            }
            "after" if pages => read.after = Some(number(text).map_err(|_| wrong())?),
            "limit" if pages => read.most = limit(text, LIMIT_MAX)?,
            _ => {
                let known = if pages { "open, close, after, limit" } else { "open, close" };
                return Err(query_malformed(format!("{:?} is none of {known}", shortened(name))));
            }
        }
    }
    Ok(read)
}
