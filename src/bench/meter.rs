//! CPU time and memory of this process, as the operating system counts them.

use rustix::time::{ClockId, clock_gettime};
use std::fs;

/// CPU time of this thread so far, ms.
pub fn cpu_ms() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 * 1e-6
}

/// CPU time of all threads of this process so far, ms.
pub fn process_cpu_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 * 1e-6
}

/// Time since some instant in the past, ms; does not go back.
pub fn wall_ms() -> f64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 * 1e-6
}

/// What asking for the wall's time takes, ms.
pub fn clock_ms() -> f64 {
    median(
        (0..999)
            .map(|_| {
                let start = wall_ms();
                wall_ms() - start
            })
            .collect(),
    )
}

/// CPU time of one run of `work`, ms, with its result.
pub fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = cpu_ms();
    let result = work();
    (cpu_ms() - start, result)
}

/// The middle of some values; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    quantile(&mut values, 0.5)
}

/// The value that a share of the values does not exceed; 0 of none.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((share * last as f64).round() as usize).copied().unwrap_or_default()
}

/// Memory in use and the highest so far, MB; `None` where the system does not tell (it is Linux's /proc).
pub fn memory_mb() -> Option<(f64, f64)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| -> Option<f64> {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kb| kb / 1024.0)
    };
    Some((field("VmRSS:")?, field("VmHWM:")?))
}

/// Lets the highest memory count from now on; false where the system does not allow it.
pub fn reset_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time_and_quantiles_are_ordered() {
        let (ms, sum) = timed(|| (0..2_000_000_u64).map(|i| i.wrapping_mul(i)).fold(0, u64::wrapping_add));
        assert!(ms > 0.0 && sum != 1);
        let mut values = vec![3.0, 1.0, 2.0];
        assert_eq!((median(values.clone()), quantile(&mut values, 0.99), median(vec![])), (2.0, 3.0, 0.0));
    }
}
