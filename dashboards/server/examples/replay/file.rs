//! A feeder from a power-grid-model file with coordinates, so that the page can be seen with a real shape.

use actors::picture::*;
use grid::{BranchId, BusId, Phase, UsagePointId};
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads nodes, lines, transformers and single-phase loads; devices are dealt out by number.
pub fn network(path: &str) -> Result<NetworkPicture, Box<dyn std::error::Error>> {
    let file: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let list = |name: &str| file["data"][name].as_array().cloned().unwrap_or_default();
    let buses: Vec<BusPicture> = list("node")
        .iter()
        .map(|node| BusPicture {
            id: BusId(id(&node["id"])),
            x_m: node["x_m"].as_f64(),
            y_m: node["y_m"].as_f64(),
            u_rated_v: node["u_rated"].as_f64().unwrap_or(0.0),
        })
        .collect();
    let place: BTreeMap<u32, usize> = buses.iter().enumerate().map(|(at, bus)| (bus.id.0, at)).collect();
    let at = |value: &Value| place.get(&id(value)).copied().unwrap_or(0);
    let branch = |kind| {
        move |branch: &Value| BranchPicture {
            id: BranchId(id(&branch["id"])),
            kind,
            from: at(&branch["from_node"]),
            to: at(&branch["to_node"]),
            rated_a: branch["i_n"].as_f64(),
            rated_kva: branch["sn"].as_f64().map(|va| va / 1000.0),
        }
    };
    let mut branches: Vec<BranchPicture> = list("line").iter().map(branch(BranchKind::Line)).collect();
    branches.extend(list("transformer").iter().map(branch(BranchKind::Transformer)));
    let usage_points = list("asym_load")
        .iter()
        .map(|load| {
            let number = id(&load["id"]);
            let phase = (0..3).find(|&p| load["p_specified"][p].as_f64().is_some_and(|w| w != 0.0));
            let kinds = [DeviceKind::Charger, DeviceKind::HeatPump, DeviceKind::Battery];
            let devices =
                (0..3).filter(|&k| number.is_multiple_of(k + 2)).map(|k| kinds[k as usize]).collect();
            let phase = phase.map(|p| Phase::ALL[p]);
            UsagePointPicture { id: UsagePointId(number), bus: at(&load["node"]), phase, devices }
        })
        .collect();
    let notes = vec![format!("Shape from {path}; everything else is invented.")];
    Ok(NetworkPicture {
        name: "Invented evening".to_owned(),
        notes,
        area: "replay".to_owned(),
        buses,
        branches,
        usage_points,
    })
}

fn id(value: &Value) -> u32 {
    value.as_u64().and_then(|id| u32::try_from(id).ok()).unwrap_or(0)
}
