//! Defects planted on purpose, one at a time, to prove that a simulated trial finds them.
//!
//! A checker that has never objected to anything proves nothing. So the places below ask whether *their* defect is
//! planted, and behave wrongly when it is. That is possible only in builds with the feature `defects`, which tests switch
//! on; in every other build [`planted`] is the constant `false` and costs nothing.

/// What may be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// What a fact causes happens when it is handed to the journal, not when it is durable.
    ActsBeforeSync,
    /// The journal tells that it synced and did not.
    SkipsSync,
    /// Starting takes the last record for a torn one.
    ForgetsTheLastRecord,
    /// An order is sent to its device and then recorded.
    OrdersBeforeRecording,
    /// An order that is repeated gets another name, and so is another order.
    RenamesRepeatedOrders,
    /// Orders that were not answered are not repeated, those that a crash kept from being given are not given.
    ForgetsOrders,
    /// A meter reading that is known is recorded once more.
    RecordsReadingsTwice,
    /// A meter's quarter-hour is taken for the next one.
    ReadsTheNextQuarter,
    /// A meter's energy has the wrong sign.
    TurnsReadingsRound,
    /// A reading that nobody needs is never acknowledged.
    KeepsReceipts,
    /// A missing reading is waited for for ever.
    NeverSubstitutes,
    /// A reading that could not be heard while the system was away or its disk full is substituted as soon as it is back.
    SubstitutesWhatItMissed,
    /// A reading is recorded and its delivery never valued.
    ForgetsToSettle,
    /// A payment is rounded up where it has to be rounded to the nearest.
    RoundsUp,
    /// What was delivered beyond the order is paid, too.
    PaysBeyondTheOrder,
    /// The fee is taken from the buyer and given to nobody.
    LosesTheFee,
    /// What is left over when a schedule is split goes to nobody.
    LosesTheRest,
    /// An offer stays open after its deadline.
    NeverExpires,
    /// After the first ten estimates there are no more.
    StopsEstimating,
    /// An order is given when its deadline has passed.
    OrdersLate,
    /// Money moves as it should, and to somebody else's account.
    BooksForAnother,
    /// An owner is told that an offer is taken back, and nothing is recorded.
    ForgetsWithdrawals,
    /// That the machine's clock was set is not noticed.
    TrustsTheMachine,
    /// A start goes by the machine's clock, even before what is recorded.
    GoesBackInTime,
}

impl Defect {
    /// All of them.
    pub const ALL: [Defect; 24] = [
        Self::ActsBeforeSync,
        Self::SkipsSync,
        Self::ForgetsTheLastRecord,
        Self::OrdersBeforeRecording,
        Self::RenamesRepeatedOrders,
        Self::ForgetsOrders,
        Self::RecordsReadingsTwice,
        Self::ReadsTheNextQuarter,
        Self::TurnsReadingsRound,
        Self::KeepsReceipts,
        Self::NeverSubstitutes,
        Self::SubstitutesWhatItMissed,
        Self::ForgetsToSettle,
        Self::RoundsUp,
        Self::PaysBeyondTheOrder,
        Self::LosesTheFee,
        Self::LosesTheRest,
        Self::NeverExpires,
        Self::StopsEstimating,
        Self::OrdersLate,
        Self::BooksForAnother,
        Self::ForgetsWithdrawals,
        Self::TrustsTheMachine,
        Self::GoesBackInTime,
    ];
}

#[cfg(feature = "defects")]
mod switch {
    use super::Defect;
    use std::cell::Cell;
    use std::fmt::Debug;
    use std::ops::Range;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Planted in a process as a whole, by the environment.
    const VARIABLE: &str = "GRIDFLEX_DEFECT";
    static EVERYWHERE: OnceLock<Option<Defect>> = OnceLock::new();

    thread_local! {
        static PLANTED: Cell<Option<Defect>> = const { Cell::new(None) };
        static STUMBLES_AFTER: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// A stage will panic once in this thread, when so many messages more were handled.
    pub fn stumble_after(messages: Option<u32>) {
        STUMBLES_AFTER.set(messages);
    }

    /// Whether it is time to panic; counts.
    pub fn stumbles() -> bool {
        let left = STUMBLES_AFTER.get();
        STUMBLES_AFTER.set(left.and_then(|left| left.checked_sub(1)));
        left == Some(0)
    }

    /// Messages that a kind of stage panics on, in a process as a whole: `GRIDFLEX_STUMBLES_ON="0..3 node 231.5"` makes nodes panic on
    /// the first three deliveries of messages in whose words 231.5 stands; `8.. region SolveDue` a region on all but the first eight.
    const STUMBLES_ON: &str = "GRIDFLEX_STUMBLES_ON";
    static BLOCK: OnceLock<Option<Block>> = OnceLock::new();

    struct Block {
        kind: String,
        words: String,
        which: Range<u64>,
        met: AtomicU64,
    }

    /// What to stumble on, as the environment says it.
    fn block(said: &str) -> Option<Block> {
        let mut parts = said.splitn(3, ' ');
        let (which, kind, words) = (parts.next()?, parts.next()?, parts.next()?);
        let (from, to) = which.split_once("..")?;
        let to = if to.is_empty() { u64::MAX } else { to.parse().ok()? };
        let (kind, words) = (kind.to_owned(), words.to_owned());
        Some(Block { kind, words, which: from.parse().ok()?..to, met: AtomicU64::new(0) })
    }

    /// Whether a stage is to panic on this message; counts.
    pub fn stumbles_on(stage: &str, message: &dyn Debug) -> bool {
        let block = BLOCK.get_or_init(|| block(&std::env::var(STUMBLES_ON).ok()?));
        block.as_ref().is_some_and(|block| {
            stage.split(' ').next() == Some(&block.kind)
                && format!("{message:?}").contains(&block.words)
                && block.which.contains(&block.met.fetch_add(1, Ordering::Relaxed))
        })
    }

    /// Plants a defect in this thread, in place of another one.
    pub fn plant(defect: Option<Defect>) {
        PLANTED.set(defect);
    }

    /// Whether this defect is planted in this thread, or in the process: `GRIDFLEX_DEFECT=ActsBeforeSync`.
    pub fn planted(defect: Defect) -> bool {
        PLANTED.get() == Some(defect) || *EVERYWHERE.get_or_init(everywhere) == Some(defect)
    }

    fn everywhere() -> Option<Defect> {
        let name = std::env::var(VARIABLE).ok()?;
        Defect::ALL.into_iter().find(|defect| format!("{defect:?}") == name)
    }
}

#[cfg(feature = "defects")]
pub use switch::{plant, planted, stumble_after, stumbles, stumbles_on};

/// Whether this defect is planted: never, in this build.
#[cfg(not(feature = "defects"))]
pub const fn planted(_: Defect) -> bool {
    false
}

/// Whether a stage is to panic on a message: never, in this build.
#[cfg(not(feature = "defects"))]
pub const fn stumbles_on(_: &str, _: &dyn std::fmt::Debug) -> bool {
    false
}

/// Whether it is time to panic: never, in this build.
#[cfg(not(feature = "defects"))]
pub const fn stumbles() -> bool {
    false
}
