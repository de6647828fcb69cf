//! A chart over time as inline SVG: frame, grid, limits, lines, filled areas. Its colours are CSS classes of the
//! page, and nothing in it depends on colour alone.

use super::html::escape;
use grid::Timestamp;
use std::fmt::Write;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 56.0;
const NANOS_PER_MINUTE: i64 = 60_000_000_000;
/// Spacings of time ticks, min; a day is a whole number of each.
const TIME_STEPS: [i64; 10] = [5, 10, 15, 30, 60, 120, 180, 360, 720, 1440];
const TIME_TICKS_MAX: i64 = 12;
const VALUE_TICKS_MAX: f64 = 8.0;

/// One line; its class says how it looks.
pub(super) struct Line {
    pub(super) class: &'static str,
    pub(super) label: String,
    /// Ascending by time.
    pub(super) points: Vec<(Timestamp, f64)>,
}

/// A value that should not be crossed.
pub(super) struct Limit {
    pub(super) at: f64,
    pub(super) label: String,
}

/// What is filled.
pub(super) enum Fill {
    /// Whatever of each line lies above this value.
    Above(f64),
    /// The band between the first two lines, which have the same instants.
    Between,
}

/// A chart with at least one line.
pub(super) struct Chart {
    /// Name within the page, for references between its parts.
    pub(super) id: &'static str,
    /// What it shows, in a sentence, for who cannot see it.
    pub(super) description: String,
    /// Quantity and unit of the vertical axis.
    pub(super) y_label: String,
    pub(super) decimals: usize,
    pub(super) lines: Vec<Line>,
    pub(super) limits: Vec<Limit>,
    pub(super) fill: Fill,
    /// Always inside the axis, lower first.
    pub(super) y_shown: (f64, f64),
}

/// Where instants and values lie in the picture.
struct Frame {
    start: Timestamp,
    span_nanos: i64,
    y_ticks: Vec<f64>,
}

impl Frame {
    fn of(chart: &Chart) -> Self {
        let points = || chart.lines.iter().flat_map(|line| &line.points);
        let start = points().map(|&(at, _)| at).min().unwrap_or_default();
        let end = points().map(|&(at, _)| at).max().unwrap_or_default();
        let span_nanos = end.nanos().saturating_sub(start.nanos()).max(1);
        let (low, high) = chart.y_shown;
        let low = points().map(|&(_, value)| value).fold(low, f64::min);
        let high = points().map(|&(_, value)| value).fold(high, f64::max);
        Self { start, span_nanos, y_ticks: ticks(low, high) }
    }

    fn x(&self, at: Timestamp) -> f64 {
        let share = at.nanos().saturating_sub(self.start.nanos()) as f64 / self.span_nanos as f64;
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let low = self.y_ticks.first().copied().unwrap_or(0.0);
        let high = self.y_ticks.last().copied().unwrap_or(1.0);
        let share = (value - low) / (high - low);
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }
}

/// Round values around `low` and `high`, 1, 2 or 5 times a power of ten apart. The powers are multiplied up, so that
/// no machine's logarithm decides.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let wanted = (high - low) / VALUE_TICKS_MAX;
    let mut power = 1e-3;
    let step = loop {
        let fitting = [1.0, 2.0, 5.0].into_iter().map(|digit| digit * power).find(|step| *step >= wanted);
        match fitting {
            Some(step) => break step,
            None if power > 1e9 => break wanted,
            None => power *= 10.0,
        }
    };
    // The margin keeps a bound that lies on a tick from gaining one more by rounding.
    let first = (low / step + 1e-9).floor() as i64;
    let last = ((high / step - 1e-9).ceil() as i64).max(first + 1);
    (first..=last).map(|number| number as f64 * step).collect()
}

/// The chart as an `svg` element.
pub(super) fn svg(chart: &Chart) -> String {
    let frame = Frame::of(chart);
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escape(&chart.description)
    );
    value_axis(&mut out, chart, &frame);
    time_axis(&mut out, &frame);
    match chart.fill {
        Fill::Above(limit) => fill_above(&mut out, chart, &frame, limit),
        Fill::Between => fill_between(&mut out, chart, &frame),
    }
    for limit in &chart.limits {
        let (y, right) = (frame.y(limit.at), WIDTH - RIGHT);
        let _ = writeln!(out, "<path class=\"limit\" d=\"M{LEFT} {y:.1}H{right}\"/>");
        let (x, y, label) = (right - 4.0, y - 5.0, escape(&limit.label));
        let _ = writeln!(out, "<text class=\"limit-label\" x=\"{x}\" y=\"{y:.1}\">{label}</text>");
    }
    for line in &chart.lines {
        let _ = writeln!(out, "<path class=\"line {}\" d=\"{}\"/>", line.class, path(&frame, &line.points));
    }
    legend(&mut out, chart);
    out.push_str("</svg>\n");
    out
}

fn value_axis(out: &mut String, chart: &Chart, frame: &Frame) {
    let (x, right, decimals) = (LEFT - 8.0, WIDTH - RIGHT, chart.decimals);
    for &tick in &frame.y_ticks {
        let (y, middle) = (frame.y(tick), frame.y(tick) + 4.0);
        let _ = writeln!(out, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>");
        let _ = writeln!(out, "<text class=\"y\" x=\"{x}\" y=\"{middle:.1}\">{tick:.decimals$}</text>");
    }
    let (middle, label) = ((TOP + HEIGHT - BOTTOM) / 2.0, escape(&chart.y_label));
    let _ = writeln!(
        out,
        "<text class=\"title\" transform=\"translate(14 {middle:.1}) rotate(-90)\">{label}</text>"
    );
}

fn time_axis(out: &mut String, frame: &Frame) {
    let bottom = HEIGHT - BOTTOM;
    let minutes = frame.span_nanos / NANOS_PER_MINUTE;
    let fits = |step: &i64| minutes / step < TIME_TICKS_MAX;
    let step = TIME_STEPS.into_iter().find(fits).unwrap_or(1440 * (minutes / 1440 / TIME_TICKS_MAX + 1));
    let step_nanos = step * NANOS_PER_MINUTE;
    let first = frame.start.nanos().saturating_add(step_nanos - 1).div_euclid(step_nanos);
    let mut day = String::new();
    for number in 0..=TIME_TICKS_MAX {
        let at = Timestamp::from_nanos((first + number).saturating_mul(step_nanos));
        if at.nanos().saturating_sub(frame.start.nanos()) > frame.span_nanos {
            break;
        }
        let (x, text) = (frame.x(at), at.to_string());
        let (date, time) = (text.get(..10).unwrap_or_default(), text.get(11..16).unwrap_or_default());
        let _ = writeln!(out, "<path class=\"grid\" d=\"M{x:.1} {TOP}V{:.1}\"/>", bottom + 4.0);
        let _ = writeln!(out, "<text class=\"x\" x=\"{x:.1}\" y=\"{:.1}\">{time}</text>", bottom + 18.0);
        if day != date {
            let _ = writeln!(out, "<text class=\"x\" x=\"{x:.1}\" y=\"{:.1}\">{date}</text>", bottom + 33.0);
            day = date.to_owned();
        }
    }
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    let _ = writeln!(out, "<text class=\"title\" x=\"{middle}\" y=\"{}\">time (UTC)</text>", HEIGHT - 6.0);
}

/// Fills under each line, cut off below the limit: what is left is the excess.
fn fill_above(out: &mut String, chart: &Chart, frame: &Frame, limit: f64) {
    let (id, width, height) = (chart.id, WIDTH - LEFT - RIGHT, frame.y(limit) - TOP);
    let _ = writeln!(
        out,
        "<defs><clipPath id=\"{id}-above\"><rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{width}\" height=\"{height:.1}\"/>\
         </clipPath><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><path class=\"hatch\" d=\"M0 0V6\"/></pattern></defs>"
    );
    for line in &chart.lines {
        let (Some(first), Some(last)) = (line.points.first(), line.points.last()) else { continue };
        let (from, to, floor) = (frame.x(first.0), frame.x(last.0), frame.y(limit));
        let outline = path(frame, &line.points);
        let _ = writeln!(
            out,
            "<path class=\"excess {}\" clip-path=\"url(#{id}-above)\" d=\"{outline}L{to:.1} {floor:.1}H{from:.1}Z\"/>",
            line.class
        );
    }
}

fn fill_between(out: &mut String, chart: &Chart, frame: &Frame) {
    let [one, other, ..] = chart.lines.as_slice() else { return };
    let back: Vec<_> = other.points.iter().rev().copied().collect();
    let there = path(frame, &one.points);
    let back = path(frame, &back).replacen('M', "L", 1);
    let _ = writeln!(out, "<path class=\"band\" d=\"{there}{back}Z\"/>");
}

fn legend(out: &mut String, chart: &Chart) {
    let mut x = LEFT;
    for line in &chart.lines {
        let _ = writeln!(out, "<path class=\"line {}\" d=\"M{x:.1} 14h28\"/>", line.class);
        let _ = writeln!(out, "<text x=\"{:.1}\" y=\"18\">{}</text>", x + 35.0, escape(&line.label));
        // About 7 px a character at the page's size.
        x += 35.0 + 7.0 * line.label.chars().count() as f64 + 28.0;
    }
}

fn path(frame: &Frame, points: &[(Timestamp, f64)]) -> String {
    let mut path = String::with_capacity(points.len() * 12);
    for (number, &(at, value)) in points.iter().enumerate() {
        let command = if number == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{command}{:.1} {:.1}", frame.x(at), frame.y(value));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        assert_eq!(ticks(0.0, 118.3), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0]);
        assert_eq!(ticks(0.0, 100.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        let voltages = ticks(0.89, 1.11);
        assert_eq!(voltages.len(), 7);
        assert!(voltages[0] <= 0.89 && voltages[6] >= 1.11);
    }

    #[test]
    fn huge_and_tiny_ranges_have_few_ticks() {
        for (low, high) in [(-1e9, 1e9), (0.0, 1e-12), (1e9, 1e9), (0.0, 0.0)] {
            let ticks = ticks(low, high);
            assert!((2..=11).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
        }
    }
}
