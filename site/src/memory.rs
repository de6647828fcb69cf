//! `[limits] memory_mb`: how the memory that a site may use is divided among what grows with what arrives
//! ([ADR 26](../../../docs/adr/0026-one-number-for-memory.md)).
//!
//! ```text
//! memory_mb = program, network and agents + what waits
//! what waits: 1/4 the history's values that are not sealed yet     1/4 messages of the MQTT door that wait for clients
//!             1/8 messages that wait for the history                1/8 what waits for the system, from the door and over HTTP
//!             1/16 retained messages                                the rest: what is used and given back
//! ```
//!
//! The books are not in it: what was traded is never given up for memory.

use connectors::exchange;
use connectors::house::MEASUREMENTS_MAX;
use connectors::mqtt::door;
use grid::Measurement;
use history::Value;
use std::mem::size_of;
use thiserror::Error;

/// Memory that a site may use when its file does not say, MB.
pub const MEMORY_MB: u32 = 512;
/// Most that a file may say, MB.
pub const MEMORY_MB_MAX: u32 = 1 << 20;

const MB: usize = 1 << 20;
/// What the program, its threads and its page take with nothing to do.
const PROGRAM_BYTES: usize = 64 * MB;
/// What a bus takes: its node, its part of the estimator, of the outlook and of the picture.
const BUS_BYTES: usize = 64 << 10;
/// What a device takes: its agent (`gridflex bench actors`).
const DEVICE_BYTES: usize = 16 << 10;
/// What has to be left for all that waits.
const WAITING_MIN_BYTES: usize = 64 * MB;

/// A value that waits in an inbox: itself, and its places in three trees.
const QUEUED_VALUE_BYTES: usize = 256;
/// A report or a message that must not be dropped, in an inbox.
const QUEUED_MESSAGE_BYTES: usize = 512;
/// What sealing adds to each value: where it stands in order, and its columns before they are on the disk.
const SEALING_BYTES: usize = 24;

/// Times the values of a head that wait in memory at most: one head that is being sealed, and two that come meanwhile.
const HEADS_MAX: usize = 3;

/// Fewer would make sealed files small and many.
const HEAD_VALUES_MIN: usize = 10_000;

/// Why a site cannot do with so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "{given} MB is too little: the program with {buses} buses and {devices} devices takes some {fixed} MB with nothing to do, and \
     {waiting} MB have to be left for what waits; write {least} or more"
)]
pub struct TooLittle {
    given: usize,
    buses: usize,
    devices: usize,
    fixed: usize,
    waiting: usize,
    least: usize,
}

/// A site's memory, divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What waits may take together, bytes.
    waiting: usize,
}

impl Memory {
    /// Takes off what a site of this size needs by itself.
    ///
    /// # Errors
    /// [`TooLittle`] when hardly anything is left.
    pub fn divided(memory_mb: u32, buses: usize, devices: usize) -> Result<Self, TooLittle> {
        let fixed = PROGRAM_BYTES + buses * BUS_BYTES + devices * DEVICE_BYTES;
        let given = memory_mb as usize;
        let least = (fixed + WAITING_MIN_BYTES).div_ceil(MB);
        if given < least {
            let (fixed, waiting) = (fixed.div_ceil(MB), WAITING_MIN_BYTES / MB);
            return Err(TooLittle { given, buses, devices, fixed, waiting, least });
        }
        Ok(Self { waiting: given * MB - fixed })
    }

    /// What a site of this size may use when nobody says how much: [`MEMORY_MB`], or what it needs.
    pub fn usual(buses: usize, devices: usize) -> Self {
        let fixed = PROGRAM_BYTES + buses * BUS_BYTES + devices * DEVICE_BYTES;
        Self { waiting: (MEMORY_MB as usize * MB).saturating_sub(fixed).max(WAITING_MIN_BYTES) }
    }

    /// Sets the bounds that follow; none becomes larger than it is without this.
    pub fn bound(self, door: &mut door::Limits, history: &mut history::Options) {
        let in_head = HEADS_MAX * size_of::<Value>() + SEALING_BYTES;
        history.head_values = history.head_values.min(self.share(4) / in_head).max(HEAD_VALUES_MIN);
        history.unsealed_max = history.unsealed_max.min(HEADS_MAX * history.head_values);
        let message = MEASUREMENTS_MAX * size_of::<Measurement>();
        history.waiting_messages = history.waiting_messages.min(self.share(8) / message);
        door.all_queues_bytes_max = door.all_queues_bytes_max.min(self.share(4));
        door.queue_bytes_max = door.queue_bytes_max.min(self.share(16));
        door.retained_bytes_max = door.retained_bytes_max.min(self.share(16));
        door.inbox = self.inbox(door.inbox);
    }

    /// One of the two inboxes: half of its share for values, a quarter each for reports and for what must not be dropped.
    fn inbox(self, usual: exchange::Limits) -> exchange::Limits {
        let one = self.share(16);
        exchange::Limits {
            measurements: usual.measurements.min(one / 2 / QUEUED_VALUE_BYTES),
            reports: usual.reports.min(one / 4 / QUEUED_MESSAGE_BYTES),
            kept: usual.kept.min(one / 4 / QUEUED_MESSAGE_BYTES),
        }
    }

    const fn share(self, part: usize) -> usize {
        self.waiting / part
    }
}
