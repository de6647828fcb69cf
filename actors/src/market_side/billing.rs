//! Billing: agrees with prosumers what they get for delegating their trading, and pays it by the month. It rests on nothing but the
//! time of day, so it does nothing before the clock has stood for some minutes.

use crate::area::Area;
use crate::journal::books::STEADY_AFTER;
use crate::journal::{Books, JournalWriter};
use crate::runtime::{Context, Stage};
use grid::Timestamp;
use market::{MarketEvent, Month};
use std::sync::Arc;
use std::time::Duration;

/// How often is looked for bills that are due.
const CHECK_PERIOD: Duration = Duration::from_secs(3600);
/// How long after its end a month is billed: the last deliveries are settled by then.
const BILLED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What can wake billing.
#[derive(Debug, Clone)]
pub enum BillingMsg {
    /// Time to look.
    CheckDue,
}

/// The state of billing: none of its own, it reads the books.
pub struct Billing {
    area: Arc<Area>,
    books: Books,
    journal: JournalWriter,
}

impl Billing {
    /// Billing of an area.
    pub fn new(area: Arc<Area>, books: Books, journal: JournalWriter) -> Self {
        Self { area, books, journal }
    }

    /// Records what was configured and is not agreed yet. A month that has begun cannot be agreed on any more: the contract
    /// holds from the next one then.
    fn agree(&self, now: Timestamp, cx: &mut Context<BillingMsg>) {
        for delegation in &self.area.delegations {
            let (prosumer, contract) = (delegation.prosumer, delegation.contract);
            let begun = Month::of(now);
            let first = if begun.start() < now { begun.next() } else { begun };
            let from = delegation.from.max(first);
            let agreed = self.books.read(|ledger| ledger.delegation(prosumer, from).copied());
            if agreed == Some(contract) {
                continue;
            }
            if from > delegation.from {
                tracing::warn!(%prosumer, wanted = %delegation.from, %from, "a delegated contract holds from the next month only: its first month has begun");
            }
            let event = MarketEvent::DelegationAgreed { prosumer, from, contract, at: now };
            self.journal.record(cx, event, Vec::new());
        }
    }

    fn on_check(&self, cx: &mut Context<BillingMsg>) {
        cx.wake_each(CHECK_PERIOD, Duration::ZERO, BillingMsg::CheckDue);
        let now = cx.now();
        if !self.books.is_steady(now) {
            return cx.wake_each(STEADY_AFTER, Duration::ZERO, BillingMsg::CheckDue);
        }
        self.agree(now, cx);
        for bill in self.books.read(|ledger| ledger.bills_due(now.minus(BILLED_AFTER))) {
            self.journal.record(cx, MarketEvent::BillIssued { bill, at: now }, Vec::new());
        }
    }
}

impl Stage for Billing {
    type Msg = BillingMsg;

    fn started(&mut self, cx: &mut Context<BillingMsg>) {
        self.on_check(cx);
    }

    fn handle(&mut self, msg: BillingMsg, cx: &mut Context<BillingMsg>) {
        match msg {
            BillingMsg::CheckDue => self.on_check(cx),
        }
    }
}
