//! Reads power-grid-model input for tests (the real reader is in `connectors`, which this crate does not know).

use grid::network::*;
use grid::{BranchId, BusId};
use num_complex::Complex64;
use serde_json::Value;

/// One row with its attributes.
struct Row<'a>(&'a Value);

impl Row<'_> {
    fn id(&self, key: &str) -> u32 {
        u32::try_from(self.0[key].as_u64().unwrap_or_else(|| panic!("{key} of {}", self.0))).unwrap()
    }
    fn bus(&self, key: &str) -> BusId {
        BusId(self.id(key))
    }
    fn given(&self, key: &str) -> Option<f64> {
        self.0[key].as_f64()
    }
    fn real(&self, key: &str) -> f64 {
        self.given(key).unwrap_or_else(|| panic!("{key} of {}", self.0))
    }
    fn or_zero(&self, key: &str) -> f64 {
        self.given(key).unwrap_or(0.0)
    }
    fn closed(&self, key: &str) -> bool {
        self.0[key].as_i64().unwrap_or_else(|| panic!("{key} of {}", self.0)) == 1
    }
    fn winding(&self, key: &str) -> Winding {
        [Winding::Wye, Winding::WyeN, Winding::Delta, Winding::Zigzag, Winding::ZigzagN]
            [self.id(key) as usize]
    }
    fn limits(&self, name: &str) -> Option<(f64, f64)> {
        let (low, high) = (self.given(&format!("{name}_min")), self.given(&format!("{name}_max")));
        let nominal = self.real(name);
        (low.is_some() || high.is_some()).then(|| (low.unwrap_or(nominal), high.unwrap_or(nominal)))
    }
    fn tap(&self) -> Tap {
        let whole = |key: &str| self.0[key].as_i64().map(|x| i8::try_from(x).unwrap());
        let nominal = whole("tap_nom").unwrap_or(0);
        Tap {
            side: [TransformerSide::From, TransformerSide::To, TransformerSide::Third]
                [self.id("tap_side") as usize],
            position: whole("tap_pos").unwrap_or(nominal),
            min: whole("tap_min").unwrap(),
            max: whole("tap_max").unwrap(),
            nominal,
            size_v: self.real("tap_size"),
        }
    }
}

pub(crate) fn network(input: &Value) -> Network {
    Network::new(parts(input)).unwrap()
}

pub(crate) fn parts(input: &Value) -> NetworkParts {
    let data = &input["data"];
    let empty = Vec::new();
    let rows = |kind: &str| data[kind].as_array().unwrap_or(&empty).iter().map(Row);
    let buses: Vec<Bus> = rows("node")
        .map(|n| Bus { id: n.bus("id"), u_rated_v: n.real("u_rated"), position_m: None })
        .collect();
    let u_branch = |bus: BusId| buses.iter().find(|b| b.id == bus).unwrap().u_rated_v / 3.0_f64.sqrt();
    let mut loads = Vec::new();
    for (kind, generates) in
        [("sym_load", false), ("sym_gen", true), ("asym_load", false), ("asym_gen", true)]
    {
        loads.extend(rows(kind).map(|row| load(&row, kind.starts_with("sym"), generates, &u_branch)));
    }
    NetworkParts {
        name: "case".into(),
        lines: rows("line").map(|row| line(&row)).collect(),
        transformers: rows("transformer").map(|row| transformer(&row)).collect(),
        sources: rows("source").map(|row| source(&row)).collect(),
        links: rows("link")
            .map(|row| Link {
                id: BranchId(row.id("id")),
                from: row.bus("from_node"),
                to: row.bus("to_node"),
                from_closed: row.closed("from_status"),
                to_closed: row.closed("to_status"),
            })
            .collect(),
        shunts: rows("shunt")
            .map(|row| Shunt {
                id: row.id("id"),
                bus: row.bus("node"),
                closed: row.closed("status"),
                y1_s: (row.or_zero("g1"), row.or_zero("b1")),
                y0_s: (row.or_zero("g0"), row.or_zero("b0")),
            })
            .collect(),
        three_winding_transformers: rows("three_winding_transformer")
            .map(|row| three_winding(&row))
            .collect(),
        generic_branches: rows("generic_branch").map(|row| generic(&row)).collect(),
        coupled_lines: rows("asym_line").map(|row| asym_line(&row)).collect(),
        loads,
        buses,
        dead_islands: true,
        ..NetworkParts::default()
    }
}

fn line(row: &Row<'_>) -> Line {
    Line {
        id: BranchId(row.id("id")),
        from: row.bus("from_node"),
        to: row.bus("to_node"),
        r1_ohm: row.real("r1"),
        x1_ohm: row.real("x1"),
        r0_ohm: row.or_zero("r0"),
        x0_ohm: row.or_zero("x0"),
        c1_f: row.real("c1"),
        c0_f: row.or_zero("c0"),
        tan1: row.real("tan1"),
        tan0: row.or_zero("tan0"),
        i_rated_a: row.given("i_n"),
        from_closed: row.closed("from_status"),
        to_closed: row.closed("to_status"),
    }
}

fn transformer(row: &Row<'_>) -> Transformer {
    Transformer {
        id: BranchId(row.id("id")),
        from: row.bus("from_node"),
        to: row.bus("to_node"),
        u1_v: row.real("u1"),
        u2_v: row.real("u2"),
        s_rated_va: row.real("sn"),
        uk_pu: row.real("uk"),
        pk_w: row.real("pk"),
        i0_pu: row.real("i0"),
        p0_w: row.real("p0"),
        winding_from: row.winding("winding_from"),
        winding_to: row.winding("winding_to"),
        clock: row.0["clock"].as_i64().unwrap().rem_euclid(12) as u8,
        tap: Some(row.tap()),
        uk_at_limits_pu: row.limits("uk"),
        pk_at_limits_w: row.limits("pk"),
        i0_zero_pu: row.given("i0_zero_sequence"),
        p0_zero_w: row.given("p0_zero_sequence"),
        grounding_from_ohm: (row.or_zero("r_grounding_from"), row.or_zero("x_grounding_from")),
        grounding_to_ohm: (row.or_zero("r_grounding_to"), row.or_zero("x_grounding_to")),
        from_closed: row.closed("from_status"),
        to_closed: row.closed("to_status"),
    }
}

fn three_winding(row: &Row<'_>) -> ThreeWindingTransformer {
    let each = |name: &str| [1, 2, 3].map(|k| format!("{name}_{k}"));
    let pairs = |name: &str| ["12", "13", "23"].map(|k| format!("{name}_{k}"));
    let limits = |name: &str| {
        let found = pairs(name).map(|key| row.limits(&key));
        let nominal = pairs(name).map(|key| row.real(&key));
        found
            .iter()
            .any(Option::is_some)
            .then(|| std::array::from_fn(|k| found[k].unwrap_or((nominal[k], nominal[k]))))
    };
    ThreeWindingTransformer {
        id: BranchId(row.id("id")),
        buses: each("node").map(|key| row.bus(&key)),
        closed: each("status").map(|key| row.closed(&key)),
        u_v: ["u1", "u2", "u3"].map(|key| row.real(key)),
        s_rated_va: each("sn").map(|key| row.real(&key)),
        uk_pu: pairs("uk").map(|key| row.real(&key)),
        uk_at_limits_pu: limits("uk"),
        pk_w: pairs("pk").map(|key| row.real(&key)),
        pk_at_limits_w: limits("pk"),
        i0_pu: row.real("i0"),
        p0_w: row.real("p0"),
        windings: each("winding").map(|key| row.winding(&key)),
        clocks: ["clock_12", "clock_13"].map(|key| row.0[key].as_i64().unwrap() as i8),
        tap: Some(row.tap()),
        grounding_ohm: [1, 2, 3]
            .map(|k| (row.or_zero(&format!("r_grounding_{k}")), row.or_zero(&format!("x_grounding_{k}")))),
    }
}

fn generic(row: &Row<'_>) -> GenericBranch {
    GenericBranch {
        id: BranchId(row.id("id")),
        from: row.bus("from_node"),
        to: row.bus("to_node"),
        from_closed: row.closed("from_status"),
        to_closed: row.closed("to_status"),
        r1_ohm: row.real("r1"),
        x1_ohm: row.real("x1"),
        g1_s: row.real("g1"),
        b1_s: row.real("b1"),
        k: row.given("k").unwrap_or(1.0),
        theta_rad: row.or_zero("theta"),
        s_rated_va: row.given("sn"),
    }
}

fn asym_line(row: &Row<'_>) -> CoupledLine {
    let wires = Wire::PHASES.to_vec();
    let matrix = |name: &str| -> [f64; 9] {
        let of = |pair: &str| row.real(&format!("{name}_{pair}"));
        [of("aa"), of("ba"), of("ca"), of("ba"), of("bb"), of("cb"), of("ca"), of("cb"), of("cc")]
    };
    let c = match (row.given("c0"), row.given("c1")) {
        (Some(c0), Some(c1)) => {
            let (own, mutual) = ((2.0 * c1 + c0) / 3.0, (c0 - c1) / 3.0);
            std::array::from_fn(|k| if k % 4 == 0 { own } else { mutual })
        }
        _ => matrix("c"),
    };
    let omega = 100.0 * std::f64::consts::PI;
    CoupledLine {
        id: BranchId(row.id("id")),
        from: Terminal { bus: row.bus("from_node"), wires: wires.clone() },
        to: Terminal { bus: row.bus("to_node"), wires },
        z_ohm: matrix("r").iter().zip(matrix("x")).map(|(&r, x)| Complex64::new(r, x)).collect(),
        y_s: c.iter().map(|&c| Complex64::new(0.0, omega * c)).collect(),
        i_rated_a: row.given("i_n"),
        from_closed: row.closed("from_status"),
        to_closed: row.closed("to_status"),
    }
}

fn source(row: &Row<'_>) -> Source {
    Source {
        id: row.id("id"),
        closed: row.closed("status"),
        bus: row.bus("node"),
        u_ref_pu: row.real("u_ref"),
        u_ref_angle_rad: row.or_zero("u_ref_angle"),
        sk_va: row.given("sk").unwrap_or(1e10),
        rx_ratio: row.given("rx_ratio").unwrap_or(0.1),
        z01_ratio: row.given("z01_ratio").unwrap_or(1.0),
        z_ohm: None,
    }
}

fn load(row: &Row<'_>, symmetric: bool, generates: bool, u_branch: &dyn Fn(BusId) -> f64) -> Load {
    let sign = if generates { -1.0 } else { 1.0 };
    let power = |key: &str| -> Vec<f64> {
        match &row.0[key] {
            Value::Array(values) => values.iter().map(|x| sign * x.as_f64().unwrap()).collect(),
            one => vec![sign * one.as_f64().unwrap() / 3.0; 3],
        }
    };
    Load {
        id: row.id("id"),
        generates,
        terminal: Terminal { bus: row.bus("node"), wires: Wire::PHASES.to_vec() },
        delta: false,
        u_branch_v: u_branch(row.bus("node")),
        p_w: power("p_specified"),
        q_var: power("q_specified"),
        symmetric,
        dependence: [VoltageDependence::POWER, VoltageDependence::IMPEDANCE, VoltageDependence::CURRENT]
            [row.id("type") as usize],
        closed: row.closed("status"),
    }
}
