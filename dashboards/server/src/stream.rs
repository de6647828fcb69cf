//! Server-sent events: one `snapshot`, then a `change` with the sections that changed at most four times a
//! second, and a `beat` once a second.
//!
//! Each client compares the newest picture with the one it was sent last, so a slow client skips pictures and
//! never queues them. A beat says only that this server runs and which picture it holds; the page also watches
//! that the picture's sequence number moves.

use crate::places::Place;
use actix_web::web::Bytes;
use actors::picture::{FeedEntry, Picture};
use futures_util::{Stream, stream};
use serde::Serialize;
use serde_json::{Map, Value};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Shortest time between two changes.
const CHANGE_INTERVAL: Duration = Duration::from_millis(250);
/// Beats come every so many change intervals.
const BEAT_EVERY: u32 = 4;

struct Client<M> {
    /// Whether it may still listen.
    may: M,
    picture: watch::Receiver<Arc<Picture>>,
    stopping: watch::Receiver<bool>,
    sent: Option<Arc<Picture>>,
    ticks: u32,
    interval: Interval,
    _place: Place,
}

/// The events for one client; ends when the server stops, the picture's publisher is gone, or the client may listen no more.
pub fn events<M: AsyncFn() -> bool>(
    picture: watch::Receiver<Arc<Picture>>,
    stopping: watch::Receiver<bool>,
    place: Place,
    may: M,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let mut interval = interval(CHANGE_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let client = Client { may, picture, stopping, sent: None, ticks: 0, interval, _place: place };
    stream::unfold(client, |mut client| async move {
        let bytes = client.next().await?;
        Some((Ok(bytes), client))
    })
}

impl<M: AsyncFn() -> bool> Client<M> {
    /// Waits for the next tick that has something to say.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.interval.tick().await;
            let beat = self.ticks.is_multiple_of(BEAT_EVERY);
            if *self.stopping.borrow() || self.picture.has_changed().is_err() || (beat && !(self.may)().await)
            {
                return None;
            }
            let newest = self.picture.borrow_and_update().clone();
            let mut text = String::new();
            match &self.sent {
                None => text.push_str(&event("snapshot", &*newest)),
                Some(sent) if sent.seq != newest.seq => {
                    text.push_str(&event("change", &change(sent, &newest)))
                }
                Some(_) => {}
            }
            if beat {
                text.push_str(&format!("event: beat\ndata: {{\"seq\":{}}}\n\n", newest.seq));
            }
            self.ticks = self.ticks.wrapping_add(1);
            self.sent = Some(newest);
            if !text.is_empty() {
                return Some(Bytes::from(text));
            }
        }
    }
}

fn event(name: &str, data: &impl Serialize) -> String {
    match serde_json::to_string(data) {
        Ok(json) => format!("event: {name}\ndata: {json}\n\n"),
        Err(error) => {
            tracing::error!(event = name, %error, "picture could not be written as JSON");
            String::new()
        }
    }
}

/// The sections of `new` that differ from `old`, with its sequence number; of the feed only the new entries.
fn change(old: &Picture, new: &Picture) -> Map<String, Value> {
    let mut change = Map::new();
    change.insert("seq".to_owned(), new.seq.into());
    section(&mut change, "clock", &old.clock, &new.clock);
    section(&mut change, "health", &old.health, &new.health);
    section(&mut change, "transformer", &old.transformer, &new.transformer);
    section(&mut change, "voltages", &old.voltages, &new.voltages);
    section(&mut change, "branch_loading", &old.branch_loading, &new.branch_loading);
    section(&mut change, "points", &old.points, &new.points);
    section(&mut change, "needs", &old.needs, &new.needs);
    section(&mut change, "totals", &old.totals, &new.totals);
    let seen = old.feed.last().map_or(0, |entry| entry.seq);
    let fresh: Vec<&FeedEntry> = new.feed.iter().filter(|entry| entry.seq > seen).collect();
    if !fresh.is_empty() {
        put(&mut change, "feed", &fresh);
    }
    change
}

fn section<T: PartialEq + Serialize>(change: &mut Map<String, Value>, name: &str, old: &T, new: &T) {
    if old != new {
        put(change, name, new);
    }
}

fn put(change: &mut Map<String, Value>, name: &str, value: &impl Serialize) {
    match serde_json::to_value(value) {
        Ok(value) => {
            change.insert(name.to_owned(), value);
        }
        Err(error) => tracing::error!(section = name, %error, "picture could not be written as JSON"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actors::picture::{FeedKind, Totals};
    use grid::Timestamp;

    fn entry(seq: u64) -> FeedEntry {
        FeedEntry { seq, at: Timestamp::default(), kind: FeedKind::Need, text: format!("entry {seq}") }
    }

    #[test]
    fn a_change_holds_only_what_changed() {
        let old = Picture { seq: 1, feed: vec![entry(1)], ..Picture::default() };
        let mut new = Picture { seq: 2, feed: vec![entry(1), entry(2)], ..old.clone() };
        new.totals = Totals { contracts: 1, ..Totals::default() };
        let change = change(&old, &new);
        assert_eq!(change.keys().collect::<Vec<_>>(), ["seq", "totals", "feed"]);
        assert_eq!(change["feed"].as_array().unwrap().len(), 1);
        assert_eq!(change["feed"][0]["seq"], 2);
    }

    #[test]
    fn f32_nan_never_reaches_the_wire_as_a_number() {
        let new =
            Picture { seq: 2, branch_loading: vec![Some(f32::NAN), None, Some(0.5)], ..Picture::default() };
        let change = change(&Picture::default(), &new);
        assert_eq!(change["branch_loading"], serde_json::json!([null, null, 0.5]));
    }
}
