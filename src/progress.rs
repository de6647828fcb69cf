//! One line per market slot while a run goes on; on a terminal a progress bar below them.

use actors::picture::Picture;
use grid::{Slot, Timestamp};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The lines of a live run.
pub struct Progress {
    bar: ProgressBar,
    task: JoinHandle<()>,
}

impl Progress {
    /// Follows `picture` from `start` to `end`. `bar` draws a bar; `quiet` prints lines to stderr, because stdout is
    /// kept for a document.
    pub fn start(
        picture: watch::Receiver<Arc<Picture>>,
        start: Timestamp,
        end: Timestamp,
        bar: bool,
        quiet: bool,
    ) -> Self {
        let bar = minutes_bar(start, end, bar);
        let task = tokio::spawn(follow(picture, bar.clone(), start, quiet));
        Self { bar, task }
    }

    /// Stops following.
    pub fn end(self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}

/// A bar over the minutes of a run; hidden when `shown` is false.
pub fn minutes_bar(start: Timestamp, end: Timestamp, shown: bool) -> ProgressBar {
    let bar = ProgressBar::new(end.since(start).as_secs() / 60);
    bar.set_draw_target(if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() });
    let style = ProgressStyle::with_template("  {bar:40} {pos}/{len} min  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

async fn follow(mut picture: watch::Receiver<Arc<Picture>>, bar: ProgressBar, start: Timestamp, quiet: bool) {
    let mut slot = start.slot();
    while picture.changed().await.is_ok() {
        let newest = picture.borrow_and_update().clone();
        bar.set_position(
            (newest.clock.now.since(start).as_secs() / 60).min(bar.length().unwrap_or(u64::MAX)),
        );
        if newest.clock.now.slot() <= slot {
            continue;
        }
        slot = newest.clock.now.slot();
        let line = slot_line(&newest, slot);
        bar.set_message(format!("restarts {}", newest.health.restarts));
        match (bar.is_hidden(), quiet) {
            (_, true) => eprintln!("{line}"),
            // Nobody reads any more: the run goes on without lines.
            (true, false) => {
                if crate::answer::say(&line).is_err() {
                    return;
                }
            }
            (false, false) => bar.println(line),
        }
    }
}

fn slot_line(picture: &Picture, slot: Slot) -> String {
    let clock = slot.to_string();
    let clock = clock.get(11..16).unwrap_or(&clock);
    let transformer = picture.transformer.as_ref();
    let now = transformer.and_then(|t| t.loading);
    let ahead = transformer.and_then(|t| {
        let ahead = t.outlook.iter().filter(|entry| entry.slot_start >= slot.start());
        ahead.max_by(|a, b| a.loading.total_cmp(&b.loading))
    });
    let at = ahead.map_or_else(|| " –    ".to_owned(), |entry| time_words(entry.slot_start, slot));
    let percent =
        |share: Option<f64>| share.map_or("    –".to_owned(), |share| format!("{:5.1}", share * 100.0));
    let totals = &picture.totals;
    let restarts = match picture.health.restarts {
        0 => String::new(),
        count => format!("  restarts {count}"),
    };
    format!(
        "{clock}Z  load {} %  expected peak {} % {at}  need {:5.1} kWh  contracts {:3}  ordered {:6.1} kWh  delivered {:6.1} kWh  paid {:6.2} EUR{restarts}",
        percent(now),
        percent(ahead.map(|entry| entry.loading)),
        totals.need_kwh,
        totals.contracts,
        totals.ordered_kwh,
        totals.delivered_kwh,
        totals.paid_eur,
    )
}

/// `17:45Z` for the same day, `+1d 17:45Z` for the next.
fn time_words(at: Timestamp, now: Slot) -> String {
    let days = at.seconds() / 86_400 - now.start().seconds() / 86_400;
    let clock = at.to_string();
    let clock = clock.get(11..16).unwrap_or(&clock).to_owned();
    if days > 0 { format!("+{days}d {clock}Z") } else { format!("{clock}Z") }
}
