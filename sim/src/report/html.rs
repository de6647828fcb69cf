//! The page: one HTML file that asks nothing of any other place, made for an engineer of a distribution system
//! operator, on a screen or on paper.

use super::chart::{self, Chart, Fill, Limit, Line};
use super::figures::{self, Group, percent};
use super::{CREATED_BY, MINUTES_FILE, OUTCOME_FILE, Results};
use crate::field::Minute;
use grid::Timestamp;
use std::fmt::Write;

const STYLE: &str = include_str!("report.css");
/// Supply voltage is to stay within ±10 % of its rated value (EN 50160:2010, 4.2.2; 10-minute means).
const U_LOW_PU: f64 = 0.9;
const U_HIGH_PU: f64 = 1.1;

/// The page's text.
pub(super) fn page(results: &Results<'_>) -> String {
    let scenario = escape(&results.outcome.scenario);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{scenario} – simulation report</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    head(&mut page, results);
    alarms(&mut page, results);
    match results.minutes {
        [] => {
            section(&mut page, "No minutes", "<p>The run ended before its first minute was recorded.</p>\n")
        }
        minutes => charts(&mut page, results, minutes),
    }
    section(&mut page, "Outcome", &tables(&figures::groups(results.outcome)));
    if !results.changes.is_empty() {
        section(&mut page, "What the scenario changes in the network", &list(results.changes));
    }
    notes(&mut page, results);
    page.push_str("</body>\n</html>\n");
    page
}

fn head(page: &mut String, results: &Results<'_>) {
    let outcome = results.outcome;
    let (scenario, start, seed, minutes) =
        (escape(&outcome.scenario), in_words(outcome.start), outcome.seed, outcome.minutes);
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "<h1>{scenario}</h1>\n<p class=\"muted\">Simulation report · {minutes} min from {start} UTC · seed {seed}{}</p>\n\
         <p class=\"headline\">Without flexibility the transformer's loading peaks at {} % of its rating and is above \
         100 % for {} min; with the flexibility bought it peaks at {} % and is above 100 % for {} min.</p>\n",
        if outcome.resumed { " · taken up from a journal after an earlier process had ended" } else { "" },
        percent(outcome.peak_loading_without),
        outcome.minutes_over_limit_without,
        percent(outcome.peak_loading_with),
        outcome.minutes_over_limit_with,
    );
}

fn alarms(page: &mut String, results: &Results<'_>) {
    let alarms = figures::alarms(results.outcome);
    if !alarms.is_empty() {
        let list = list(&alarms);
        let _ = write!(
            page,
            "<section class=\"alarm\">\n<h2>⚠ Defects found in this run</h2>\n{list}</section>\n"
        );
    }
}

fn charts(page: &mut String, results: &Results<'_>, minutes: &[Minute]) {
    let loading = chart::svg(&loading_chart(results, minutes));
    let explained = "<p class=\"muted\">Apparent power over rating, one-minute means. Hatched: excess over 100 % that \
                     flexibility should remove; solid red: excess that remained.</p>\n";
    section(page, "Transformer loading", &(loading + explained));
    let voltage = chart::svg(&voltage_chart(minutes));
    let explained = "<p class=\"muted\">Lowest and highest phase-to-neutral voltage of all low-voltage buses, with \
                     flexibility, one-minute means. The limits are those of EN 50160 (±10 %), which apply to \
                     10-minute means.</p>\n";
    section(page, "Voltage band", &(voltage + explained));
}

fn loading_chart(results: &Results<'_>, minutes: &[Minute]) -> Chart {
    let ends = |at: &Timestamp| {
        minutes.first().is_some_and(|first| *at >= first.at)
            && minutes.last().is_some_and(|last| *at <= last.at)
    };
    let without = results.without.iter().filter(|(at, _)| ends(at));
    let without: Vec<_> = without.map(|&(at, loading)| (at, loading * 100.0)).collect();
    let with: Vec<_> = minutes.iter().map(|minute| (minute.at, minute.transformer_loading * 100.0)).collect();
    let line = |class, what: &str, points: Vec<(Timestamp, f64)>| {
        let peak = points.iter().copied().reduce(|peak, point| if point.1 > peak.1 { point } else { peak });
        let peak = peak.map(|(at, loading)| format!(" (peak {loading:.1} % at {} UTC)", time_of_day(at)));
        Line { class, label: format!("{what}{}", peak.unwrap_or_default()), points }
    };
    let mut lines = vec![line("with", "with flexibility", with)];
    if !without.is_empty() {
        lines.insert(0, line("without", "without flexibility", without));
    }
    Chart {
        id: "loading",
        description: "Transformer loading over time with and without flexibility, in percent of the rating"
            .to_owned(),
        y_label: "loading, % of rating".to_owned(),
        decimals: 0,
        lines,
        limits: vec![Limit { at: 100.0, label: "100 % of rating".to_owned() }],
        fill: Fill::Above(100.0),
        y_shown: (0.0, 110.0),
    }
}

fn voltage_chart(minutes: &[Minute]) -> Chart {
    let points =
        |value: fn(&Minute) -> f64| minutes.iter().map(|minute| (minute.at, value(minute))).collect();
    let highest: Vec<_> = points(|minute| minute.u_max_pu);
    let lowest: Vec<_> = points(|minute| minute.u_min_pu);
    let most = highest.iter().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
    let least = lowest.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let limit = |at: f64| Limit { at, label: format!("{at:.2} p.u.") };
    Chart {
        id: "voltage",
        description: "Lowest and highest voltage of the feeder over time, per unit of the rated voltage"
            .to_owned(),
        y_label: "voltage, p.u. of rated".to_owned(),
        decimals: 2,
        lines: vec![
            Line { class: "highest", label: format!("highest (at most {most:.3} p.u.)"), points: highest },
            Line { class: "lowest", label: format!("lowest (at least {least:.3} p.u.)"), points: lowest },
        ],
        limits: vec![limit(U_HIGH_PU), limit(U_LOW_PU)],
        fill: Fill::Between,
        y_shown: (U_LOW_PU - 0.02, U_HIGH_PU + 0.02),
    }
}

fn tables(groups: &[Group]) -> String {
    let mut html = "<div class=\"tables\">\n".to_owned();
    for group in groups {
        let _ = writeln!(html, "<div>\n<h3>{}</h3>\n<table>", escape(group.title));
        for figure in &group.figures {
            let (name, value, unit) = (escape(figure.name), escape(&figure.value), escape(figure.unit));
            let (class, mark) = if figure.alarm { (" class=\"alarm\"", "⚠ ") } else { ("", "") };
            let _ = writeln!(
                html,
                "<tr{class}><th scope=\"row\">{name}</th><td class=\"value\">{mark}{value}</td>\
                 <td class=\"unit\">{unit}</td></tr>"
            );
        }
        html.push_str("</table>\n</div>\n");
    }
    html + "</div>\n"
}

fn notes(page: &mut String, results: &Results<'_>) {
    let seed = results.outcome.seed;
    let html = format!(
        "<ul>\n\
         <li>Everything here is simulated. The curves are the simulated truth, not what the estimator believed.</li>\n\
         <li>“Without flexibility” is the same scenario with the same seed ({seed}), in which every device is left \
         to itself. It is calculated beside the run and not known to the system that buys.</li>\n\
         <li>Consumption is positive. Each minute stands at its end. Times are UTC.</li>\n\
         <li>The figures are in {OUTCOME_FILE}, the minutes in {MINUTES_FILE}. The same scenario, seed and program \
         version give the same bytes.</li>\n</ul>\n<p class=\"muted\">{CREATED_BY}</p>\n"
    );
    section(page, "How to read this", &html);
}

/// `html` is put in as it is.
fn section(page: &mut String, title: &str, html: &str) {
    let _ = write!(page, "<section>\n<h2>{}</h2>\n{html}</section>\n", escape(title));
}

fn list(items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("<li>{}</li>\n", escape(item))).collect();
    format!("<ul>\n{items}</ul>\n")
}

/// `2026-01-15 16:30`.
fn in_words(at: Timestamp) -> String {
    at.to_string().get(..16).unwrap_or_default().replace('T', " ")
}

/// `18:41`.
fn time_of_day(at: Timestamp) -> String {
    at.to_string().get(11..16).unwrap_or_default().to_owned()
}

/// Text as it may stand inside an element or an attribute in double quotes. Control characters become a visible
/// replacement.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(' '),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}
