//! A drawing of the voltages over the distance from the source, as SVG: three phases, limits, bands of ± 2 standard
//! deviations where they are known.

use connectors::power_grid_model::State;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::Write;

/// Size of the drawing and its margins, px.
pub const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 540.0;
pub const LEFT: f64 = 80.0;
pub const RIGHT: f64 = 24.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 64.0;
/// Colours of the phases, told apart without red and green beside each other.
pub const COLOURS: [&str; 3] = ["#0b6aa8", "#c2410c", "#5b7f00"];
const NAMES: [&str; 3] = ["phase a", "phase b", "phase c"];

/// One connection between two buses, with the length it counts.
type Edge = (usize, usize, f64);

/// How a line is drawn whose voltages nothing determines.
const BLIND: &str = r#" stroke-dasharray="2 5" stroke-opacity=".5""#;

/// Draws the profile. `sigma` is the standard deviation of the magnitude of every wire, p.u.
pub fn profile(state: &State<'_>, sigma: Option<&[f64]>) -> String {
    let (distance, edges, what) = distances(state);
    let circuit = &state.assembly.circuit;
    let mut low = 0.98_f64;
    let mut high = 1.02_f64;
    for (bus, at) in distance.iter().enumerate().filter(|(_, at)| at.is_finite()) {
        let _ = at;
        for wire in circuit.wires(bus as u32).take(3) {
            let u = state.voltages[wire].norm();
            let spread = sigma.map_or(0.0, |sigma| 2.0 * sigma[wire]);
            if u > 0.0 && spread.is_finite() {
                (low, high) = (low.min(u - spread), high.max(u + spread));
            }
        }
    }
    let far = distance.iter().copied().filter(|at| at.is_finite()).fold(0.0, f64::max).max(1e-9);
    let margin = 0.05 * (high - low);
    let scale = Scale { low: low - margin, high: high + margin, far };
    let mut svg = String::new();
    frame(&mut svg, &scale, &state.input.parts.name, what, state.assembly.symmetric, sigma.is_some());
    if let Some(sigma) = sigma {
        for (bus, &at) in distance.iter().enumerate().filter(|(_, at)| at.is_finite()) {
            for (phase, wire) in circuit.wires(bus as u32).take(3).enumerate() {
                let (u, spread) = (state.voltages[wire].norm(), 2.0 * sigma[wire]);
                if u > 0.0 && spread.is_finite() {
                    let (x, top, bottom) = (scale.x(at), scale.y(u + spread), scale.y(u - spread));
                    let _ = write!(
                        svg,
                        r#"<path d="M{x:.1} {top:.1}V{bottom:.1}" stroke="{}" stroke-opacity=".22" stroke-width="5"/>"#,
                        COLOURS[phase]
                    );
                }
            }
        }
    }
    for (from, to, _) in &edges {
        let (a, b) = (distance[*from], distance[*to]);
        if !a.is_finite() || !b.is_finite() {
            continue;
        }
        let pairs = circuit.wires(*from as u32).zip(circuit.wires(*to as u32)).take(3);
        for (phase, (one, other)) in pairs.enumerate() {
            let (u, v) = (state.voltages[one].norm(), state.voltages[other].norm());
            if u > 0.0 && v > 0.0 {
                let blind = sigma.is_some_and(|sigma| sigma[one].is_nan() || sigma[other].is_nan());
                // A number that means nothing stays inside the frame.
                let inside = |u: f64| if blind { u.clamp(scale.low, scale.high) } else { u };
                let _ = write!(
                    svg,
                    r#"<path d="M{:.1} {:.1}L{:.1} {:.1}" stroke="{}"{}/>"#,
                    scale.x(a),
                    scale.y(inside(u)),
                    scale.x(b),
                    scale.y(inside(v)),
                    COLOURS[phase],
                    if blind { BLIND } else { "" }
                );
            }
        }
    }
    svg.push_str("</g></svg>\n");
    svg
}

/// From values to places.
struct Scale {
    low: f64,
    high: f64,
    far: f64,
}

impl Scale {
    fn x(&self, at: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * at / self.far
    }

    fn y(&self, u: f64) -> f64 {
        TOP + (HEIGHT - TOP - BOTTOM) * (self.high - u) / (self.high - self.low)
    }
}

/// A step of 1, 2 or 5 times a power of ten, so that about `count` of them fit.
pub fn step(span: f64, count: f64) -> f64 {
    let raw = span / count;
    let power = 10_f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= raw).unwrap_or(10.0);
    factor * power
}

fn frame(svg: &mut String, scale: &Scale, name: &str, what: &str, symmetric: bool, bands: bool) {
    let escaped: String = name.chars().filter(|c| !matches!(c, '<' | '>' | '&')).collect();
    let _ = write!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13" fill="#222">
<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/><text x="{LEFT}" y="24" font-size="16">{escaped}: voltages</text>
"##
    );
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let up = step(scale.high - scale.low, 8.0);
    let mut u = (scale.low / up).ceil() * up;
    while u <= scale.high {
        let y = scale.y(u);
        let _ = write!(
            svg,
            r##"<path d="M{LEFT} {y:.1}H{right}" stroke="#ddd"/><text x="{:.1}" y="{:.1}" text-anchor="end">{u:.3}</text>"##,
            LEFT - 8.0,
            y + 4.0
        );
        u += up;
    }
    let along = step(scale.far, 8.0);
    let mut at = 0.0;
    while at <= scale.far * 1.0001 {
        let x = scale.x(at);
        let _ = write!(
            svg,
            r##"<path d="M{x:.1} {bottom}v5" stroke="#444"/><text x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"##,
            bottom + 20.0,
            (at * 1e6).round() / 1e6
        );
        at += along;
    }
    let _ = write!(
        svg,
        r##"<path d="M{LEFT} {TOP}V{bottom}H{right}" stroke="#444" fill="none"/>
<text x="{:.1}" y="{:.1}" text-anchor="middle">{what}</text>
<text transform="translate(20 {:.1})rotate(-90)" text-anchor="middle">voltage in p.u. of rated</text>
"##,
        (LEFT + right) / 2.0,
        HEIGHT - 16.0,
        (TOP + bottom) / 2.0
    );
    let names: &[&str] = if symmetric { &["positive sequence"] } else { &NAMES };
    for (phase, label) in names.iter().enumerate() {
        let x = right - 110.0 * (names.len() - phase) as f64 - if symmetric { 40.0 } else { 0.0 };
        let _ = write!(
            svg,
            r#"<path d="M{x} 40h22" stroke="{}" stroke-width="2"/><text x="{}" y="44">{label}</text>"#,
            COLOURS[phase],
            x + 28.0
        );
    }
    if bands {
        let _ = write!(
            svg,
            r#"<text x="{LEFT}" y="44">bars: ± 2 standard deviations; dotted: not observable</text>"#
        );
    }
    svg.push_str("\n<g fill=\"none\" stroke-width=\"1.3\" stroke-linecap=\"round\">");
}

/// Distance of each bus (by position) from its nearest source, the connections, and what the distance is.
fn distances(state: &State<'_>) -> (Vec<f64>, Vec<Edge>, &'static str) {
    let parts = &state.input.parts;
    let buses: BTreeMap<u32, usize> =
        parts.buses.iter().enumerate().map(|(at, bus)| (bus.id.0, at)).collect();
    let known = parts.buses.iter().all(|bus| bus.position_m.is_some());
    let apart = |a: usize, b: usize| match (parts.buses[a].position_m, parts.buses[b].position_m) {
        (Some(a), Some(b)) => (a.0 - b.0).hypot(a.1 - b.1) / 1000.0,
        _ => 0.0,
    };
    let mut edges: Vec<Edge> = Vec::new();
    let mut join = |from: u32, to: u32, closed: bool, drop: f64| {
        if let (Some(&a), Some(&b), true) = (buses.get(&from), buses.get(&to), closed) {
            edges.push((a, b, if known { apart(a, b) } else { drop }));
        }
    };
    let rated = |bus: u32| buses.get(&bus).map_or(1.0, |&at| parts.buses[at].u_rated_v);
    // The voltage drop of 1 MVA through an impedance, percent.
    let drop = |z: f64, u: f64| 100.0 * z * 1e6 / (u * u);
    for line in &parts.lines {
        let z = line.r1_ohm.hypot(line.x1_ohm);
        let closed = line.from_closed && line.to_closed;
        join(line.from.0, line.to.0, closed, drop(z, rated(line.from.0)));
    }
    for line in &parts.coupled_lines {
        let z = line.z_ohm.first().map_or(0.0, |z| z.norm());
        let closed = line.from_closed && line.to_closed;
        join(line.from.bus.0, line.to.bus.0, closed, drop(z, rated(line.from.bus.0)));
    }
    for link in &parts.links {
        join(link.from.0, link.to.0, link.from_closed && link.to_closed, 0.0);
    }
    for branch in &parts.generic_branches {
        let z = branch.r1_ohm.hypot(branch.x1_ohm);
        join(branch.from.0, branch.to.0, branch.from_closed && branch.to_closed, drop(z, rated(branch.to.0)));
    }
    for unit in &parts.transformers {
        let closed = unit.from_closed && unit.to_closed;
        join(unit.from.0, unit.to.0, closed, 100.0 * unit.uk_pu * 1e6 / unit.s_rated_va);
    }
    for unit in &parts.three_winding_transformers {
        for side in [1, 2] {
            let small = unit.s_rated_va[0].min(unit.s_rated_va[side]);
            let closed = unit.closed[0] && unit.closed[side];
            join(unit.buses[0].0, unit.buses[side].0, closed, 100.0 * unit.uk_pu[side - 1] * 1e6 / small);
        }
    }
    let starts = parts.sources.iter().filter(|source| source.closed);
    let starts = starts.filter_map(|source| buses.get(&source.bus.0).copied()).collect();
    let what = if known {
        "distance from the source along the network in km"
    } else {
        "electrical distance from the source: voltage drop per MVA in %"
    };
    (shortest(parts.buses.len(), &edges, starts), edges, what)
}

/// Shortest ways from any of the starts; infinite where there is none.
fn shortest(count: usize, edges: &[Edge], starts: Vec<usize>) -> Vec<f64> {
    let mut neighbours: Vec<Vec<(usize, f64)>> = vec![Vec::new(); count];
    for &(a, b, length) in edges {
        neighbours[a].push((b, length));
        neighbours[b].push((a, length));
    }
    let mut distance = vec![f64::INFINITY; count];
    let mut waiting = BinaryHeap::new();
    // Lengths are not negative, so that their bits order like the numbers.
    let key = |length: f64| std::cmp::Reverse(length.max(0.0).to_bits());
    for start in starts {
        distance[start] = 0.0;
        waiting.push((key(0.0), start));
    }
    while let Some((std::cmp::Reverse(bits), bus)) = waiting.pop() {
        let here = f64::from_bits(bits);
        if here > distance[bus] {
            continue;
        }
        for &(next, length) in &neighbours[bus] {
            let there = here + length.max(0.0);
            if there < distance[next] {
                distance[next] = there;
                waiting.push((key(there), next));
            }
        }
    }
    distance
}
