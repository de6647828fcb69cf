//! Randomness: one stream per purpose, owner and day, derived from the scenario's seed alone, so that asking for
//! one never shifts another.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Who owns what.
    Fleet = 1,
    /// What a household is like.
    Household = 2,
    /// What a household does on a day.
    HouseholdDay = 3,
    /// When a vehicle comes and goes.
    ChargerDay = 4,
    /// What a building and its heat pump are like.
    HeatPump = 5,
    /// How full a battery starts.
    Battery = 6,
    /// The clouds of a day.
    Clouds = 7,
    /// The temperature of a day.
    Temperature = 8,
    /// Reading errors of monitors.
    Noise = 9,
    /// Delay and loss of a meter's message.
    Delivery = 10,
}

/// The stream of one purpose, owner and day (or minute, or slot).
pub(crate) fn stream(seed: u64, purpose: Purpose, owner: u64, when: i64) -> ChaCha8Rng {
    let mut key = [0_u8; 32];
    for (part, value) in key.chunks_exact_mut(8).zip([seed, purpose as u64, owner, when.cast_unsigned()]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// A number in `[low, high)`.
pub(crate) fn uniform(rng: &mut ChaCha8Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

/// A standard normal number (Box and Muller 1958).
pub(crate) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// Whether something of this probability happens.
pub(crate) fn happens(rng: &mut ChaCha8Rng, probability: f64) -> bool {
    rng.random::<f64>() < probability
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let first = |seed, purpose, owner, when| stream(seed, purpose, owner, when).random::<u64>();
        let reference = first(7, Purpose::Clouds, 1, -2);
        assert_eq!(reference, first(7, Purpose::Clouds, 1, -2));
        for other in [
            first(8, Purpose::Clouds, 1, -2),
            first(7, Purpose::Battery, 1, -2),
            first(7, Purpose::Clouds, 2, -2),
            first(7, Purpose::Clouds, 1, -1),
        ] {
            assert_ne!(reference, other);
        }
    }

    #[test]
    fn normal_numbers_are_normal() {
        let mut rng = stream(1, Purpose::Noise, 0, 0);
        let values: Vec<f64> = (0..20_000).map(|_| normal(&mut rng)).collect();
        let mean = values.iter().sum::<f64>() / 2e4;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 2e4;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
