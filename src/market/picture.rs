//! A drawing of a clearing for one congestion point, as SVG: what was asked and delivered, what it cost, and what the
//! busiest element behind it still carries.

use crate::plot::{COLOURS, LEFT, RIGHT, WIDTH, step};
use connectors::clearing_case::MarketCase;
use market::price_clearing::PriceClearing;
use std::fmt::Write;

/// Height of a panel, of the space between two and above the first, px.
const PANEL: f64 = 170.0;
const BETWEEN: f64 = 46.0;
const TOP: f64 = 84.0;
/// mWh in a kWh, and micro-units in the currency.
const MILLION: f64 = 1e6;

/// A line over the intervals.
struct Curve<'a> {
    label: &'a str,
    colour: &'a str,
    /// One value per interval.
    values: Vec<f64>,
    /// Filled down to zero.
    filled: bool,
}

/// The congestion point of a name, or the one that asks for most.
pub fn point(case: &MarketCase, name: Option<&str>) -> Result<usize, String> {
    let points = &case.congestion_points;
    match name {
        Some(name) => points.iter().position(|point| point == name).ok_or_else(|| {
            let shown: Vec<&str> = points.iter().take(12).map(String::as_str).collect();
            let dots = if points.len() > shown.len() { ", …" } else { "" };
            format!("no congestion point {name:?}; known are {}{dots}", shown.join(", "))
        }),
        None => {
            let asked = |&bid: &usize| {
                case.problem.bids()[bid].asked.iter().map(|&mwh| i128::from(mwh)).sum::<i128>()
            };
            (0..points.len())
                .max_by_key(asked)
                .ok_or_else(|| "a case without bids has nothing to draw".to_owned())
        }
    }
}

/// Draws a clearing at a congestion point.
pub fn clearing(case: &MarketCase, clearing: &PriceClearing, point: usize) -> String {
    let t = case.problem.intervals();
    let bid = &case.problem.bids()[point];
    let kwh = |values: &[i64]| values.iter().map(|&mwh| mwh as f64 / MILLION).collect::<Vec<f64>>();
    let delivered = delivered(case, clearing, point);
    let mut svg = String::new();
    let height = TOP + 3.0 * (PANEL + BETWEEN);
    let _ = write!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13" fill="#222">
<rect width="{WIDTH}" height="{height}" fill="#fff"/><text x="{LEFT}" y="24" font-size="16">{}: need, price and head-room</text>
<text x="{LEFT}" y="44">all congestion points: welfare {:.2}, at most {:.2} (certified gap {:.2} %), {} of {} offers assigned</text>
"##,
        plain(&case.congestion_points[point]),
        clearing.welfare.as_f64(),
        clearing.bound.as_f64(),
        clearing.gap() * 100.0,
        clearing.plans.len(),
        case.offers.len()
    );
    let need = [
        Curve { label: "asked", colour: "#9aa7b1", values: kwh(&bid.asked), filled: true },
        Curve { label: "delivered (below 0: rebound)", colour: COLOURS[0], values: delivered, filled: false },
    ];
    panel(&mut svg, case, 0, if bid.more { "kWh more taken" } else { "kWh less" }, &need);
    let money = |values: &[i64]| values.iter().map(|&micro| micro as f64 / MILLION).collect::<Vec<f64>>();
    let most: Vec<i64> = (0..t).map(|i| if bid.asked[i] > 0 { bid.price[i] } else { 0 }).collect();
    let price = [
        Curve { label: "the bid offers", colour: "#9aa7b1", values: money(&most), filled: true },
        Curve {
            label: if bid.more { "one more kWh taken is worth" } else { "one more kWh of relief is worth" },
            colour: COLOURS[0],
            values: money(&clearing.prices.bid[point * t..(point + 1) * t]),
            filled: false,
        },
    ];
    panel(&mut svg, case, 1, "per kWh", &price);
    if let Some(row) = busiest(case, clearing, point) {
        let used = clearing.row_use[row * t..(row + 1) * t].iter().map(|&used| used as f64 / 1e12).collect();
        let name = format!("used of {}", plain(&case.elements[row]));
        let carried = [
            Curve {
                label: "head-room",
                colour: "#9aa7b1",
                values: kwh(&case.problem.rows()[row].headroom),
                filled: true,
            },
            Curve { label: &name, colour: COLOURS[1], values: used, filled: false },
        ];
        panel(&mut svg, case, 2, "kWh more", &carried);
    }
    svg.push_str("</svg>\n");
    svg
}

/// What the nodes of a bid take less than by default, or more where that is asked for, kWh per interval.
fn delivered(case: &MarketCase, clearing: &PriceClearing, point: usize) -> Vec<f64> {
    let t = case.problem.intervals();
    let bid = &case.problem.bids()[point];
    let mut less = vec![0_i64; t];
    for plan in &clearing.plans {
        let offer = case.problem.offer(plan.offer as usize);
        if !bid.nodes.contains(&offer.node()) {
            continue;
        }
        for (k, &energy) in offer.default.iter().enumerate() {
            less[usize::from(offer.start_default()) + k] += energy;
        }
        for (k, &energy) in plan.energies.iter().enumerate() {
            less[usize::from(plan.start) + k] -= energy;
        }
    }
    let sign = if bid.more { -1 } else { 1 };
    less.iter().map(|&mwh| (sign * mwh) as f64 / MILLION).collect()
}

/// The row behind a congestion point whose price adds up to most; where none has a price, the fullest.
fn busiest(case: &MarketCase, clearing: &PriceClearing, point: usize) -> Option<usize> {
    let t = case.problem.intervals();
    let nodes = &case.problem.bids()[point].nodes;
    let touches = |&row: &usize| {
        case.problem.rows()[row]
            .sensitivities
            .iter()
            .any(|&(node, factor)| factor != 0 && nodes.contains(&node))
    };
    (0..case.problem.rows().len()).filter(touches).max_by_key(|&row| {
        let price: i128 = clearing.prices.row[row * t..(row + 1) * t].iter().map(|&p| i128::from(p)).sum();
        let room = |i: usize| {
            i128::from(case.problem.rows()[row].headroom[i]) * 1_000_000 - clearing.row_use[row * t + i]
        };
        (price, (0..t).map(|i| -room(i)).max())
    })
}

/// One panel: its curves over the day.
fn panel(svg: &mut String, case: &MarketCase, place: usize, unit: &str, curves: &[Curve<'_>]) {
    let t = case.problem.intervals();
    let top = TOP + place as f64 * (PANEL + BETWEEN);
    let all = || curves.iter().flat_map(|curve| curve.values.iter().copied());
    let (low, high) = (all().fold(0.0, f64::min), all().fold(0.0, f64::max));
    let span = (high - low).max(1e-6);
    let x = |i: usize| LEFT + (WIDTH - LEFT - RIGHT) * i as f64 / t as f64;
    let y = |value: f64| top + PANEL * (high - value) / span;
    let up = step(span, 5.0);
    let mut value = (low / up).ceil() * up;
    while value <= high {
        // Adding 0 makes a zero of a minus zero.
        let shown = (value / up).round() * up + 0.0;
        let _ = write!(
            svg,
            r##"<path d="M{LEFT} {at:.1}H{}" stroke="#ddd"/><text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"##,
            WIDTH - RIGHT,
            LEFT - 8.0,
            y(value) + 4.0,
            (shown * 1e6).round() / 1e6,
            at = y(value),
        );
        value += up;
    }
    for curve in curves {
        // A step per interval.
        let mut path = format!("M{:.1} {:.1}", x(0), y(if curve.filled { 0.0 } else { curve.values[0] }));
        for (i, &value) in curve.values.iter().enumerate() {
            let _ = write!(path, "L{:.1} {at:.1}L{:.1} {at:.1}", x(i), x(i + 1), at = y(value));
        }
        let style = if curve.filled {
            let _ = write!(path, "L{:.1} {:.1}Z", x(t), y(0.0));
            format!(r#"fill="{}" fill-opacity=".45""#, curve.colour)
        } else {
            format!(r#"fill="none" stroke="{}" stroke-width="1.6""#, curve.colour)
        };
        let _ = writeln!(svg, r#"<path d="{path}" {style}/>"#);
    }
    axis(svg, case, top, y(0.0));
    let _ = write!(
        svg,
        r#"<text transform="translate(20 {:.1})rotate(-90)" text-anchor="middle">{unit}</text>"#,
        top + PANEL / 2.0
    );
    let mut right = WIDTH - RIGHT;
    for curve in curves.iter().rev() {
        // About 7 px per letter.
        right -= 7.0 * curve.label.chars().count() as f64 + 40.0;
        let _ = write!(
            svg,
            r#"<path d="M{right} {at:.1}h18" stroke="{}" stroke-width="4"/><text x="{}" y="{:.1}">{}</text>"#,
            curve.colour,
            right + 24.0,
            top - 6.0,
            plain(curve.label),
            at = top - 10.0,
        );
    }
}

/// The line at zero, and hours below the panel.
fn axis(svg: &mut String, case: &MarketCase, top: f64, zero: f64) {
    let t = case.problem.intervals();
    let bottom = top + PANEL;
    let _ = writeln!(
        svg,
        r##"<path d="M{LEFT} {zero:.1}H{right}M{LEFT} {top}V{bottom}H{right}" stroke="#444" fill="none"/>"##,
        right = WIDTH - RIGHT
    );
    let hours = t as f64 * case.interval_s as f64 / 3600.0;
    let every = step(hours, 12.0).max(1.0);
    let mut hour = 0.0;
    while hour <= hours {
        let x = LEFT + (WIDTH - LEFT - RIGHT) * hour / hours;
        let of_day = (case.start_s as f64 / 3600.0 + hour).rem_euclid(24.0);
        let _ = write!(
            svg,
            r##"<path d="M{x:.1} {bottom}v5" stroke="#444"/><text x="{x:.1}" y="{:.1}" text-anchor="middle">{:02}:{:02}</text>"##,
            bottom + 18.0,
            of_day.floor(),
            (of_day.fract() * 60.0).round()
        );
        hour += every;
    }
}

/// A name without what SVG would read as its own.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '<' | '>' | '&') && !c.is_control()).take(60).collect()
}
