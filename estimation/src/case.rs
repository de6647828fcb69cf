//! Reads the cases: `input.json` (power-grid-model input, as far as the cases need it) and `expected.json`.

use grid::network::*;
use grid::{BranchId, BusId, Phase, UsagePointId};
use serde_json::Value;

pub fn read(path: &str) -> Value {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap()
}

pub fn network(input: &Value) -> Network {
    let data = input.get("data").unwrap_or(input);
    let rows = |kind: &str| data[kind].as_array().cloned().unwrap_or_default();
    let parts = NetworkParts {
        name: "case".into(),
        buses: rows("node")
            .iter()
            .map(|n| Bus { id: BusId(id(n, "id")), u_rated_v: real(n, "u_rated"), position_m: None })
            .collect(),
        lines: rows("line").iter().map(line).collect(),
        transformers: rows("transformer").iter().map(transformer).collect(),
        sources: rows("source").iter().map(source).collect(),
        usage_points: rows("asym_load").iter().map(usage_point).collect(),
        ..NetworkParts::default()
    };
    Network::new(parts).unwrap()
}

fn line(l: &Value) -> Line {
    Line {
        id: BranchId(id(l, "id")),
        from: BusId(id(l, "from_node")),
        to: BusId(id(l, "to_node")),
        r1_ohm: real(l, "r1"),
        x1_ohm: real(l, "x1"),
        r0_ohm: real(l, "r0"),
        x0_ohm: real(l, "x0"),
        c1_f: real(l, "c1"),
        c0_f: real(l, "c0"),
        i_rated_a: Some(real(l, "i_n")),
        ..Line::default()
    }
}

fn transformer(t: &Value) -> Transformer {
    let winding = |key: &str| match id(t, key) {
        0 => Winding::Wye,
        1 => Winding::WyeN,
        _ => Winding::Delta,
    };
    Transformer {
        id: BranchId(id(t, "id")),
        from: BusId(id(t, "from_node")),
        to: BusId(id(t, "to_node")),
        u1_v: real(t, "u1"),
        u2_v: real(t, "u2"),
        s_rated_va: real(t, "sn"),
        uk_pu: real(t, "uk"),
        pk_w: real(t, "pk"),
        i0_pu: real(t, "i0"),
        p0_w: real(t, "p0"),
        winding_from: winding("winding_from"),
        winding_to: winding("winding_to"),
        clock: id(t, "clock") as u8,
        ..Transformer::default()
    }
}

fn source(s: &Value) -> Source {
    Source {
        bus: BusId(id(s, "node")),
        u_ref_pu: real(s, "u_ref"),
        sk_va: real(s, "sk"),
        rx_ratio: real(s, "rx_ratio"),
        z01_ratio: real(s, "z01_ratio"),
        ..Source::default()
    }
}

fn usage_point(l: &Value) -> UsagePoint {
    let p = reals(&l["p_specified"]);
    let q = reals(&l["q_specified"]);
    let used: Vec<usize> = (0..3).filter(|&i| p[i] != 0.0 || q[i] != 0.0).collect();
    UsagePoint {
        id: UsagePointId(id(l, "id")),
        bus: BusId(id(l, "node")),
        phase: if used.len() == 1 { Some(Phase::ALL[used[0]]) } else { None },
        p_specified_w: p.iter().sum(),
        q_specified_var: q.iter().sum(),
    }
}

pub fn id(row: &Value, key: &str) -> u32 {
    u32::try_from(row[key].as_u64().unwrap_or_else(|| panic!("{key} of {row}"))).unwrap()
}

pub fn real(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("{key} of {row}"))
}

pub fn reals(row: &Value) -> [f64; 3] {
    std::array::from_fn(|i| row[i].as_f64().unwrap_or_else(|| panic!("{row}")))
}
