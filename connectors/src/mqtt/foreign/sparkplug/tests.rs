//! What time does to a node, with a clock that is told: quiet, patience, and devices that are not born again.

use super::protobuf::{put_short, put_varint};
use super::{Event, MetricTag, Nodes};
use grid::Timestamp;
use std::time::Duration;

const SILENCE: Duration = Duration::from_secs(300);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_768_500_000).plus(Duration::from_secs(seconds))
}

fn tag(text: &str) -> MetricTag {
    MetricTag::read(text).unwrap()
}

/// A message with number and time, and metrics that are whole numbers: name, alias, value.
fn message(number: u64, seconds: u64, metrics: &[(&str, u64, u64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_varint(&mut bytes, 1, (1_768_500_000 + seconds) * 1_000);
    put_varint(&mut bytes, 3, number);
    for (name, alias, value) in metrics {
        let mut metric = Vec::new();
        if !name.is_empty() {
            put_short(&mut metric, 1, name.as_bytes());
        }
        put_varint(&mut metric, 2, *alias);
        put_varint(&mut metric, 4, 8);
        put_varint(&mut metric, 11, *value);
        put_short(&mut bytes, 2, &metric);
    }
    bytes
}

struct Story(Nodes);

impl Story {
    /// Point 0 is the node's own, point 1 that of a device.
    fn new() -> Self {
        let tags = [tag("spBv1.0/g/n#u"), tag("spBv1.0/g/n/d#p")];
        Self(Nodes::new(tags.iter().enumerate()))
    }

    fn take(&mut self, kind: &str, seconds: u64, payload: &[u8]) -> Vec<Event> {
        let device = if kind.starts_with('D') { "/d" } else { "" };
        let mut events = Vec::new();
        self.0
            .take(&format!("spBv1.0/g/{kind}/n{device}"), false, payload, at(seconds), &mut events)
            .unwrap();
        events
    }

    fn birth(&mut self, seconds: u64) -> Vec<Event> {
        let mut events = self.take("NBIRTH", seconds, &message(0, seconds, &[("u", 1, 230)]));
        events.extend(self.take("DBIRTH", seconds, &message(1, seconds, &[("p", 2, 7)])));
        events
    }

    /// Lets time pass; what happens, and how often the node is asked.
    async fn wait(&mut self, seconds: u64) -> (Vec<Event>, usize) {
        let (mut events, mut asked) = (Vec::new(), 0);
        for second in 0..seconds {
            tokio::time::advance(Duration::from_secs(1)).await;
            asked += self.0.look(SILENCE, at(second), &mut events).len();
        }
        (events, asked)
    }
}

fn value(point: usize, number: f64, seconds: u64) -> Event {
    Event::Value { point, number, at: at(seconds), is_historical: false }
}

const MISSING: [Event; 2] = [Event::Missing { point: 0 }, Event::Missing { point: 1 }];

#[tokio::test(start_paused = true)]
async fn a_node_that_never_answers_is_asked_ever_more_seldom() {
    let mut story = Story::new();
    let (events, asked) = story.wait(3_600).await;
    assert!((12..=18).contains(&asked), "{asked}");
    assert_eq!(events, [], "nothing was known");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_change_holds_at_the_time_of_whatever_its_node_says_and_a_quiet_node_is_asked() {
    let mut story = Story::new();
    assert_eq!(story.birth(0), [value(0, 230.0, 0), value(1, 7.0, 0)]);
    assert_eq!(story.take("NDATA", 30, &message(2, 30, &[("", 1, 231)])), [value(0, 231.0, 30)]);
    // A minute later the other one is told again.
    let events = story.take("NDATA", 61, &message(3, 61, &[("", 1, 232)]));
    assert_eq!(events, [value(0, 232.0, 61), value(1, 7.0, 61)]);
    let (events, asked) = story.wait(130).await;
    assert_eq!((events, asked), (vec![], 2));
    assert_eq!(story.birth(191), [value(0, 230.0, 191), value(1, 7.0, 191),]);
    let (events, asked) = story.wait(302).await;
    assert_eq!(events, MISSING, "it was silent too long");
    assert!((4..=6).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_not_born_with_its_node_again_is_missing_after_a_while() {
    let mut story = Story::new();
    story.birth(0);
    assert_eq!(story.take("NBIRTH", 5, &message(0, 5, &[("u", 1, 230)])), [value(0, 230.0, 5)]);
    assert_eq!(story.wait(9).await.0, []);
    assert_eq!(story.wait(2).await.0, MISSING[1..]);
    // A metric that is not in a birth any more.
    assert_eq!(story.take("NBIRTH", 20, &message(0, 20, &[("v", 1, 230)])), MISSING[..1]);
}

#[tokio::test(start_paused = true)]
async fn a_number_that_begins_anew_after_255_is_the_next_one() {
    let mut story = Story::new();
    story.birth(0);
    for number in 2..600_u64 {
        let seconds = number / 100;
        let events = story.take("NDATA", seconds, &message(number % 256, seconds, &[("", 1, number)]));
        assert_eq!(events, [value(0, number as f64, seconds)]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_a_node_that_goes_back_makes_no_value_late() {
    let mut story = Story::new();
    story.birth(10);
    assert_eq!(story.take("NDATA", 11, &message(2, 3, &[("", 1, 231)])), [value(0, 231.0, 10)]);
}
