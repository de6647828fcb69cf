//! What a household uses without its large flexible devices, minute by minute.
//!
//! A steady part, lighting and electronics that follow the waking hours, and appliances that are switched on at
//! random. Powers, cycle lengths and yearly frequencies follow the order of magnitude of the CREST model
//! (Richardson, Thomson, Infield, Clifford: "Domestic electricity use: a high-resolution energy demand model",
//! Energy and Buildings 42 (2010) 1878–1887); the working-day shape with its peak between 18 and 20 o'clock is
//! that of the VDEW standard profile H0 in winter. Simplified: a day knows nothing of the day before.

use super::stream::{Purpose, happens, normal, stream, uniform};

const MINUTES: usize = 1440;

/// An appliance: power, length of a run, runs per day, and when a run starts (mean and standard deviation).
struct Appliance {
    p_w: f64,
    minutes: (f64, f64),
    per_day: f64,
    start_h: f64,
    spread_h: f64,
}

const fn appliance(p_w: f64, minutes: (f64, f64), per_day: f64, start_h: f64, spread_h: f64) -> Appliance {
    Appliance { p_w, minutes, per_day, start_h, spread_h }
}

const APPLIANCES: [Appliance; 11] = [
    appliance(2200.0, (2.0, 4.0), 1.6, 7.4, 1.0),  // kettle, morning
    appliance(2200.0, (2.0, 4.0), 2.2, 17.5, 3.0), // kettle, afternoon and evening
    appliance(1200.0, (3.0, 8.0), 0.6, 7.6, 1.0),  // toaster, microwave
    appliance(2100.0, (30.0, 55.0), 0.55, 18.3, 0.8), // oven
    appliance(1600.0, (15.0, 35.0), 0.75, 18.4, 0.8), // hob
    appliance(1500.0, (15.0, 30.0), 0.25, 12.5, 0.7), // hob, midday
    appliance(1900.0, (18.0, 30.0), 0.45, 19.6, 1.1), // dishwasher, heating part
    appliance(1900.0, (15.0, 25.0), 0.45, 15.0, 4.0), // washing machine, heating part
    appliance(2100.0, (40.0, 70.0), 0.25, 17.0, 3.5), // tumble dryer
    appliance(1400.0, (10.0, 30.0), 0.20, 16.0, 3.0), // vacuum cleaner, iron
    appliance(150.0, (90.0, 200.0), 1.0, 19.8, 1.0), // television
];

/// Demand of one household on one day, mean power of each minute, W.
///
/// `size` scales lighting, electronics and the number of appliance runs; 1 is average.
pub(crate) fn day_profile(seed: u64, owner: u64, day: i64, size: f64) -> Vec<f64> {
    let mut rng = stream(seed, Purpose::HouseholdDay, owner, day);
    let steady_w = 60.0 + 50.0 * size;
    let (wake_h, sleep_h) = (6.6 + 0.6 * normal(&mut rng), 22.8 + 0.7 * normal(&mut rng));
    let home_from_h = if happens(&mut rng, 0.45) { 8.0 } else { 16.8 + 0.9 * normal(&mut rng) };
    let mut profile: Vec<f64> = (0..MINUTES)
        .map(|minute| {
            let hour = minute as f64 / 60.0;
            steady_w + size * awake_w(hour, wake_h, home_from_h, sleep_h)
        })
        .collect();
    let fridge_phase = uniform(&mut rng, 0.0, 45.0);
    for (minute, p_w) in profile.iter_mut().enumerate() {
        if (minute as f64 + fridge_phase).rem_euclid(45.0) < 15.0 {
            *p_w += 110.0;
        }
    }
    for appliance in &APPLIANCES {
        let mut expected = appliance.per_day * size;
        while expected > 0.0 {
            if happens(&mut rng, expected.min(1.0)) {
                let start = 60.0 * (appliance.start_h + appliance.spread_h * normal(&mut rng));
                let minutes = uniform(&mut rng, appliance.minutes.0, appliance.minutes.1);
                let p_w = appliance.p_w * uniform(&mut rng, 0.8, 1.2);
                run(&mut profile, start, minutes, p_w);
            }
            expected -= 1.0;
        }
    }
    profile
}

/// Lighting and electronics of an average household, W: after waking, some by day when someone is at home, most
/// in the evening.
fn awake_w(hour: f64, wake_h: f64, home_from_h: f64, sleep_h: f64) -> f64 {
    let between = |from: f64, to: f64| step(hour, from) * (1.0 - step(hour, to));
    160.0 * between(wake_h, 8.4)
        + 110.0 * between(home_from_h, 16.5)
        + 390.0 * between(home_from_h.max(16.3), sleep_h)
}

/// A step that takes about half an hour.
fn step(hour: f64, at: f64) -> f64 {
    ((hour - at) * 2.0 + 0.5).clamp(0.0, 1.0)
}

/// Adds one run; what would lie outside the day wraps around, so that no energy is lost.
fn run(profile: &mut [f64], start_minute: f64, minutes: f64, p_w: f64) {
    let length = minutes.round().max(1.0) as i64;
    for minute in 0..length {
        let at = (start_minute.round() as i64 + minute).rem_euclid(MINUTES as i64);
        profile[at as usize] += p_w;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_profile(days: i64) -> Vec<f64> {
        let mut mean = vec![0.0; MINUTES];
        for home in 0..55 {
            for day in 0..days {
                for (sum, p) in mean.iter_mut().zip(day_profile(7, home, day, 1.0)) {
                    *sum += p / (55.0 * days as f64);
                }
            }
        }
        mean
    }

    #[test]
    fn the_evening_peak_after_diversity_is_that_of_a_home() {
        let mean = mean_profile(10);
        let hourly: Vec<f64> = mean.chunks(60).map(|hour| hour.iter().sum::<f64>() / 60.0).collect();
        let peak = hourly.iter().copied().fold(0.0, f64::max);
        assert!((1200.0..1600.0).contains(&peak), "{hourly:.0?}");
        assert!(hourly[18] == peak || hourly[19] == peak, "{hourly:.0?}");
        let kwh = mean.iter().sum::<f64>() / 60e3;
        assert!((8.0..15.0).contains(&kwh), "{kwh} kWh per day");
        assert!(hourly[3] < 300.0);
    }

    #[test]
    fn every_day_repeats_and_no_two_are_alike() {
        assert_eq!(day_profile(7, 3, 100, 1.0), day_profile(7, 3, 100, 1.0));
        assert_ne!(day_profile(7, 3, 100, 1.0), day_profile(7, 3, 101, 1.0));
        assert_ne!(day_profile(7, 3, 100, 1.0), day_profile(7, 4, 100, 1.0));
    }
}
