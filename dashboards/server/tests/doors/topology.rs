//! How networks hang together, over HTTP: the IEEE feeders as published, and what switching does to them.

use super::{Running, served};
use connectors::opendss::{Files, Folder, read};
use grid::Topology;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The models, and the common line codes where they are missing beside them.
struct Models(Folder);

impl Files for Models {
    fn read(&mut self, path: &Path) -> std::io::Result<Vec<u8>> {
        match self.0.read(path) {
            Err(_) if path == Path::new("IEEELineCodes.DSS") => {
                std::fs::read(root().join("estimation/cases/ieee_line_codes.dss"))
            }
            other => other,
        }
    }
}

fn topology(master: &str) -> Option<Topology> {
    let places = [root().join("target/peers/opendss"), root().join("../shared/peers/opendss")];
    let Some(place) = places.iter().find(|place| place.join(master).exists()) else {
        eprintln!("SKIPPED: no {master} in {} or {}", places[0].display(), places[1].display());
        return None;
    };
    let study =
        read(&mut Models(Folder::new(place)), Path::new(master)).unwrap_or_else(|error| panic!("{error}"));
    Some(Topology::of(&study.network().unwrap()))
}

async fn start(topology: Topology, folder: &Path) -> Running {
    let (picture, mut served) = served(folder);
    served.topology = Arc::new(topology);
    Running::start_with(picture, served).await
}

/// Buses, lines (with switches, which these models write as lines) and transformers (each regulator is one per phase, or one for
/// three) of the models, counted in OpenDSS (`AllBusNames`, `Lines.Count`, `Transformers.Count`).
const PUBLISHED: [(&str, usize, usize, usize); 5] = [
    ("13Bus/IEEE13Nodeckt.dss", 16, 12, 5),
    ("34Bus/ieee34Mod1.dss", 37, 32, 8),
    ("37Bus/ieee37.dss", 39, 36, 4),
    ("123Bus/IEEE123Master.dss", 132, 126, 8),
    ("LVTestCase/Master.dss", 907, 905, 1),
];

#[tokio::test]
async fn the_feeders_have_the_published_numbers_of_nodes_and_edges() {
    for (master, buses, lines, transformers) in PUBLISHED {
        let Some(topology) = topology(master) else { return };
        let folder = tempfile::tempdir().unwrap();
        let running = start(topology, folder.path()).await;
        let whole = running.get("topology").await.ok();
        assert_eq!(whole["nodes"], json!(buses), "{master}");
        let mut kinds = std::collections::BTreeMap::new();
        let mut query = "topology/edges?limit=100".to_owned();
        loop {
            let page = running.get(&query).await.ok();
            for edge in page["edges"].as_array().unwrap() {
                *kinds.entry(edge["kind"].as_str().unwrap().to_owned()).or_insert(0) += 1;
            }
            let Some(next) = page["next"].as_u64() else { break };
            query = format!("topology/edges?limit=100&after={next}");
        }
        assert_eq!((kinds["line"], kinds["transformer"]), (lines, transformers), "{master}: {kinds:?}");
        assert_eq!(whole["edges"], json!(kinds.values().sum::<usize>()), "{master}");
        running.server.stop().await;
    }
}

#[tokio::test]
async fn opening_an_edge_splits_the_islands_and_tells_who_is_behind_it() {
    let Some(topology) = topology("LVTestCase/Master.dss") else { return };
    let folder = tempfile::tempdir().unwrap();
    let running = start(topology, folder.path()).await;
    let transformer = running.get("topology/edges?limit=1000").await.ok()["edges"]
        .as_array()
        .unwrap()
        .iter()
        .find(|edge| edge["kind"] == "transformer")
        .unwrap()["id"]
        .as_u64()
        .unwrap();
    assert_eq!(running.get("topology").await.ok()["island_count"], json!(1));
    let split = running.get(&format!("topology?open={transformer}")).await.ok();
    assert_eq!(split["island_count"], json!(2));
    let fed = split["islands"].as_array().unwrap().iter().filter(|island| island["fed"] == json!(true));
    assert_eq!(fed.count(), 1, "{split}");
    let edge = running.get(&format!("topology/edges/{transformer}")).await.ok();
    let behind = edge["downstream"]["nodes"].as_array().unwrap();
    assert_eq!(
        (behind.len(), &edge["relieved_by"], &edge["upstream"]),
        (906, &edge["downstream"]["nodes"], &json!([]))
    );
    // The way from the last node leads over the transformer; with it opened there is none.
    let last = behind.last().unwrap();
    let node = running.get(&format!("topology/nodes/{last}")).await.ok();
    assert_eq!(node["upstream"].as_array().unwrap().last().unwrap(), &json!(transformer));
    let node = running.get(&format!("topology/nodes/{last}?open={transformer}")).await.ok();
    assert_eq!((&node["upstream"], &node["fed"]), (&json!(null), &json!(false)));
    running.server.stop().await;
}

#[tokio::test]
async fn an_unknown_node_or_edge_is_refused() {
    let Some(topology) = topology("13Bus/IEEE13Nodeckt.dss") else { return };
    let folder = tempfile::tempdir().unwrap();
    let running = start(topology, folder.path()).await;
    for (path, status, code) in [
        ("topology/nodes/4000000000", 404, "not_found"),
        ("topology/edges/4000000000", 404, "not_found"),
        ("topology/nodes/650x", 400, "id_malformed"),
        ("topology/nodes/99999999999", 400, "id_malformed"),
        ("topology?open=4000000000", 422, "query_malformed"),
        ("topology?shut=1", 422, "query_malformed"),
        ("topology/nodes?limit=10001", 422, "query_malformed"),
    ] {
        let answer = running.get(path).await;
        assert!(answer.is(status, code), "{path}: {} {}", answer.status, answer.text);
    }
    running.server.stop().await;
}
