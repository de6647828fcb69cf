//! How long a stage waits before it is made anew: twice as long each time, with jitter.
//!
//! Without jitter, stages that one cause broke at once would all come back at once, and meet it together again. The jitter is
//! drawn from the stage's name and the number of its restarts: it differs from stage to stage and from time to time, and a
//! simulated run repeats to the byte.

use std::time::Duration;

/// The shortest pause.
pub const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest.
pub const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The pause before a restart of a stage, `recent` restarts after those that the window has forgotten, `ever` since the process
/// began: between one and two times 50 ms · 2^`recent`, and never more than 5 s.
pub fn pause(stage: &str, recent: usize, ever: u64) -> Duration {
    let doublings = u32::try_from(recent).unwrap_or(u32::MAX);
    let doubled = 2_u32.checked_pow(doublings).and_then(|times| PAUSE_MIN.checked_mul(times));
    // At the longest, too, there is room for jitter.
    let shortest = doubled.unwrap_or(PAUSE_MAX).min(PAUSE_MAX / 2);
    shortest + shortest.mul_f64(drawn(stage, ever))
}

/// A number from 0 to 1: FNV-1a of the name and the count, mixed as SplitMix64 does.
fn drawn(stage: &str, ever: u64) -> f64 {
    let bytes = stage.bytes().chain(ever.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // 53 bits are what a double holds.
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_pause_doubles_from_50_ms_and_ends_at_5_s() {
        for recent in 0..100_usize {
            let shortest = (0.05 * 2_f64.powi(recent as i32)).min(2.5);
            for ever in 0..200 {
                let pause = pause("node 3", recent, ever).as_secs_f64();
                assert!((shortest..=2.0 * shortest).contains(&pause), "{recent}, {ever}: {pause} s");
            }
        }
    }

    #[test]
    fn the_jitter_differs_from_stage_to_stage_and_from_time_to_time_and_repeats() {
        let nodes: Vec<String> = (0..1_000).map(|bus| format!("node {bus}")).collect();
        let pauses = || nodes.iter().map(|node| pause(node, 0, 0)).collect::<Vec<_>>();
        assert_eq!(pauses(), pauses());
        // Spread over all of the span: each of its ten parts has about a hundred.
        let parts = pauses().iter().fold([0; 10], |mut parts, pause| {
            parts[((pause.as_secs_f64() - 0.05) / 0.005) as usize] += 1;
            parts
        });
        assert!(parts.iter().all(|count| (60..140).contains(count)), "{parts:?}");
        let of_one: BTreeSet<Duration> = (0..100).map(|ever| pause("matcher", 0, ever)).collect();
        assert_eq!(of_one.len(), 100);
    }
}
