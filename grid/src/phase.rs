//! The three phases, and values that exist once per phase.

use serde::{Deserialize, Serialize};

/// One of the three phases of the network, in positive sequence a → b → c.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Phase a (L1).
    A,
    /// Phase b (L2).
    B,
    /// Phase c (L3).
    C,
}

crate::packed!(enum Phase { 0 = A, 1 = B, 2 = C });

impl Phase {
    /// All phases in order.
    pub const ALL: [Phase; 3] = [Phase::A, Phase::B, Phase::C];

    /// 0 for a, 1 for b, 2 for c: the index into a [`PerPhase`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The lower-case letter used in names and on the wire.
    pub const fn letter(self) -> &'static str {
        ["a", "b", "c"][self as usize]
    }
}

/// One value for each of the phases a, b, c; index it with [`Phase::index`].
pub type PerPhase<T> = [T; 3];
