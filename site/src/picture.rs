//! A network as the page draws it.

use actors::Device;
use actors::picture::{BranchKind, BranchPicture, BusPicture, NetworkPicture, UsagePointPicture};
use grid::Network;

/// The picture of a network: `name` is what people call it, `notes` is what they must know to judge it.
pub fn network_picture(
    network: &Network,
    (name, area): (&str, &str),
    notes: Vec<String>,
    devices: &[Device],
) -> NetworkPicture {
    let position = |bus| network.bus_index(bus).unwrap_or_default();
    let lines = network.lines().iter().map(|line| BranchPicture {
        id: line.id,
        kind: BranchKind::Line,
        from: position(line.from),
        to: position(line.to),
        rated_a: line.i_rated_a,
        rated_kva: None,
    });
    let transformers = network.transformers().iter().map(|transformer| BranchPicture {
        id: transformer.id,
        kind: BranchKind::Transformer,
        from: position(transformer.from),
        to: position(transformer.to),
        rated_a: None,
        rated_kva: Some(transformer.s_rated_va / 1e3),
    });
    let usage_points = network.usage_points().iter().map(|point| UsagePointPicture {
        id: point.id,
        bus: position(point.bus),
        phase: point.phase,
        devices: devices.iter().filter(|d| d.usage_point == point.id).map(|d| d.kind).collect(),
    });
    NetworkPicture {
        name: name.to_owned(),
        notes,
        area: area.to_owned(),
        buses: (network.buses().iter())
            .map(|bus| BusPicture {
                id: bus.id,
                x_m: bus.position_m.map(|(x, _)| x),
                y_m: bus.position_m.map(|(_, y)| y),
                u_rated_v: bus.u_rated_v,
            })
            .collect(),
        branches: lines.chain(transformers).collect(),
        usage_points: usage_points.collect(),
    }
}
