//! How fast and how small: for the example `measure`.

use crate::{History, HistoryError, Kind, Options, Query, Value, Versions};
use grid::{BusId, Measurement, Phase, PointId, Quality, Quantity, Timestamp, telemetry::Element};
use serde::Serialize;
use std::path::Path;

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Values appended.
    pub values: usize,
    /// Values of one group, each group with a sync.
    pub group: usize,
    /// Appended and synced, values per second of wall time; sealing not counted.
    pub appended_per_s: f64,
    /// Longest and median wait for a group, ms.
    pub group_ms: [f64; 2],
    /// Sealed, values per second of wall time.
    pub sealed_per_s: f64,
    /// Bytes of a sealed value.
    pub bytes_per_value: f64,
    /// A day of one point out of all, ms (median of 50).
    pub query_ms: f64,
    /// Values it returned.
    pub query_values: usize,
    /// Opening again, ms.
    pub open_ms: f64,
}

/// SplitMix64 as a number in [0, 1).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z ^ (z >> 27)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A minute of three-phase line monitors: voltages, powers and currents that wander, read to the resolution of their class.
fn minute(monitors: u32, minute: i64, noise: &mut Noise, state: &mut [f64]) -> Vec<Value> {
    let mut values = Vec::with_capacity(monitors as usize * 12);
    let measured_at = Timestamp::from_seconds(1_700_000_000 + minute * 60);
    let kinds = [
        (Quantity::VoltageMagnitude, 0.1),
        (Quantity::ActivePower, 1.0),
        (Quantity::ReactivePower, 1.0),
        (Quantity::CurrentMagnitude, 0.01),
    ];
    for monitor in 0..monitors {
        // All values of a monitor come in one message.
        let received_at =
            measured_at.plus(std::time::Duration::from_micros((noise.next() * 900_000.0) as u64));
        for (at, (quantity, resolution)) in kinds.into_iter().enumerate() {
            for phase in Phase::ALL {
                let place = (monitor as usize * 4 + at) * 3 + phase.index();
                if let Some(value) = state.get_mut(place) {
                    *value += (noise.next() - 0.5) * 40.0 * resolution;
                    let point =
                        PointId { element: Element::Bus(BusId(monitor)), quantity, phase: Some(phase) };
                    let value = (*value / resolution).round() * resolution;
                    let measurement =
                        Measurement { point, value, quality: Quality::Measured, measured_at, received_at };
                    values.push(Value::measured(&measurement));
                }
            }
        }
    }
    values
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(0.0)
}

/// Appends `values` values of `monitors` monitors in groups, seals them, and asks for a day of one point. Wall time is what
/// `now_ms` says.
pub fn measure(
    directory: &Path,
    values: usize,
    monitors: u32,
    group: usize,
    now_ms: &dyn Fn() -> f64,
) -> Result<Measured, HistoryError> {
    let options = Options { keep: Default::default(), ..Options::default() };
    let mut history = History::open(directory, options.clone())?;
    let (mut noise, mut state) = (Noise(7), vec![230.0; monitors as usize * 12]);
    let (mut appended, mut number, mut waits) = (0, 0, Vec::new());
    let (mut sealing_s, mut sealed) = (0.0, 0);
    while appended < values {
        let minute = minute(monitors, number, &mut noise, &mut state);
        number += 1;
        for group in minute.chunks(group.max(1)) {
            let began = now_ms();
            history.append(group)?;
            waits.push(now_ms() - began);
            appended += group.len();
        }
        let began = now_ms();
        if let Some(sealer) = history.seal_due()? {
            let made = sealer.make();
            sealing_s += (now_ms() - began) / 1e3;
            history.adopt(made)?;
            sealed += options.head_values;
        }
    }
    let appending_s = waits.iter().sum::<f64>() / 1e3;
    let figures = history.figures()[&Kind::Telemetry];
    let middle = 1_700_000_000 + number * 30;
    let point = PointId {
        element: Element::Bus(BusId(monitors / 2)),
        quantity: Quantity::ActivePower,
        phase: Some(Phase::B),
    };
    let (from, until) = (Timestamp::from_seconds(middle - 43_200), Timestamp::from_seconds(middle + 43_200));
    let query = Query {
        kind: Kind::Telemetry,
        points: vec![point],
        from,
        until,
        versions: Versions::Newest,
        most: 1 << 20,
    };
    let (mut query_values, mut queries) = (0, Vec::new());
    for _ in 0..50 {
        let began = now_ms();
        query_values = history.query(&query)?.len();
        queries.push(now_ms() - began);
    }
    drop(history);
    let began = now_ms();
    drop(History::open(directory, options)?);
    let open_ms = now_ms() - began;
    let longest = waits.iter().copied().fold(0.0, f64::max);
    Ok(Measured {
        values: appended,
        group,
        appended_per_s: appended as f64 / appending_s,
        group_ms: [longest, median(waits)],
        sealed_per_s: sealed as f64 / sealing_s,
        bytes_per_value: figures.bytes as f64 / figures.sealed.max(1) as f64,
        query_ms: median(queries),
        query_values,
        open_ms,
    })
}
