//! How a site's memory is divided: all bounds together fit into what is given, and shrink with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

use connectors::house::MEASUREMENTS_MAX;
use connectors::mqtt::door;
use history::{Options, Value};
use site::memory::Memory;
use std::mem::size_of;

const MB: usize = 1 << 20;

fn bounds(memory_mb: u32) -> (door::Limits, Options) {
    let (mut door, mut history) = (door::Limits::default(), Options::default());
    Memory::divided(memory_mb, 900, 100).unwrap().bound(&mut door, &mut history);
    (door, history)
}

/// The most that all bounds together let wait, bytes, by what ADR 26 says of one.
fn most((door, history): &(door::Limits, Options)) -> usize {
    let inbox = door.inbox.measurements * 256 + (door.inbox.reports + door.inbox.kept) * 512;
    history.unsealed_max * size_of::<Value>()
        + history.head_values * 24
        + history.waiting_messages * MEASUREMENTS_MAX * size_of::<grid::Measurement>()
        + door.all_queues_bytes_max
        + door.retained_bytes_max
        + 2 * inbox
}

#[test]
fn what_may_wait_fits_into_what_is_given_and_shrinks_with_it() {
    let mut before = usize::MAX;
    for memory_mb in [8192, 512, 384, 256, 200] {
        let bounds = bounds(memory_mb);
        let (most, fixed) = (most(&bounds), 64 * MB + 900 * (64 << 10) + 100 * (16 << 10));
        assert!(most + fixed <= memory_mb as usize * MB, "{most} + {fixed} of {memory_mb} MB");
        assert!(most < before, "{memory_mb} MB let as much wait as more did");
        // What is left for what is used and given back.
        let left = memory_mb as usize * MB - most - fixed;
        assert!(left >= (memory_mb as usize * MB - fixed) / 8, "{left} bytes are left of {memory_mb} MB");
        before = most;
    }
}

#[test]
fn a_site_with_much_memory_has_the_bounds_there_are_without() {
    assert_eq!(bounds(8192), (door::Limits::default(), Options::default()));
}

#[test]
fn a_site_that_says_nothing_has_what_it_needs() {
    let bounds_of = |memory: Memory| {
        let (mut door, mut history) = (door::Limits::default(), Options::default());
        memory.bound(&mut door, &mut history);
        (door, history)
    };
    assert_eq!(bounds_of(Memory::usual(900, 100)), bounds(512));
    let large = Memory::divided(20_000 / 16 + 128, 20_000, 0).unwrap();
    assert_eq!(
        bounds_of(Memory::usual(20_000, 0)),
        bounds_of(large),
        "more buses than 512 MB are enough for"
    );
}

#[test]
fn too_little_is_refused_with_the_reason() {
    let refused = Memory::divided(180, 900, 100).unwrap_err().to_string();
    assert_eq!(
        refused,
        "180 MB is too little: the program with 900 buses and 100 devices takes some 122 MB with nothing to do, and 64 MB have to be \
         left for what waits; write 186 or more"
    );
    assert!(Memory::divided(186, 900, 100).is_ok());
}
