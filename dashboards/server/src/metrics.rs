//! Figures in Prometheus's text format, version 0.0.4. By hand: it is fifty lines, and a client library would bring a registry
//! of its own beside the counters that are there.

use actors::figures::{BUCKETS_S, Counted, Family, Labels, Values};
use std::fmt::Write;

/// What the format is called.
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes families one after the other.
pub fn text(families: &[Family]) -> String {
    let mut text = String::new();
    for Family { name, help, values } in families {
        let kind = match values {
            Values::Totals(_) => "counter",
            Values::Now(_) => "gauge",
            Values::Durations(_) => "histogram",
        };
        line(&mut text, format_args!("# HELP {name} {help}"));
        line(&mut text, format_args!("# TYPE {name} {kind}"));
        match values {
            Values::Totals(rows) => {
                rows.iter().for_each(|(labels, value)| sample(&mut text, name, labels, value))
            }
            Values::Now(rows) => {
                rows.iter().for_each(|(labels, value)| sample(&mut text, name, labels, value))
            }
            Values::Durations(counted) => histogram(&mut text, name, counted),
        }
    }
    text
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{words}");
}

fn sample(text: &mut String, name: &str, labels: &Labels, value: &impl std::fmt::Display) {
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    match labels.is_empty() {
        true => line(text, format_args!("{name} {value}")),
        false => line(text, format_args!("{name}{{{}}} {value}", labels.join(","))),
    }
}

fn histogram(text: &mut String, name: &str, counted: &Counted) {
    for (bound, count) in BUCKETS_S.iter().zip(&counted.up_to) {
        line(text, format_args!("{name}_bucket{{le=\"{bound}\"}} {count}"));
    }
    line(text, format_args!("{name}_bucket{{le=\"+Inf\"}} {}", counted.count));
    line(text, format_args!("{name}_sum {}", counted.sum_s));
    line(text, format_args!("{name}_count {}", counted.count));
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_as_prometheus_reads_them() {
        let family = |name, values| Family { name, help: "Words.", values };
        let mut counted = Counted { count: 2, sum_s: 7.5, ..Counted::default() };
        counted.up_to[BUCKETS_S.len() - 1] = 1;
        let text = text(&[
            family("a_things_total", Values::Totals(vec![(vec![("reason", "x \"y\"\n".to_owned())], 3)])),
            family("b_seconds", Values::Durations(counted)),
        ]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "# HELP a_things_total Words.",
                "# TYPE a_things_total counter",
                "a_things_total{reason=\"x \\\"y\\\"\\n\"} 3",
            ]
        );
        assert_eq!(
            lines[lines.len() - 4..],
            [
                "b_seconds_bucket{le=\"5\"} 1",
                "b_seconds_bucket{le=\"+Inf\"} 2",
                "b_seconds_sum 7.5",
                "b_seconds_count 2",
            ]
        );
    }
}
