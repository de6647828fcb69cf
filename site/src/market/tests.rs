//! Bills, from the books.

use super::*;
use grid::{Money, Timestamp};
use market::{DelegatedContract, MarketEvent, Month};

#[test]
fn bills_are_listed_by_prosumer_and_month_for_whom_they_are_wanted_and_from_any_place_on() {
    let month = |text: &str| text.parse::<Month>().unwrap();
    let (january, march) = (month("2026-01"), month("2026-03"));
    let before: Timestamp = "2025-12-20T00:00:00Z".parse().unwrap();
    let mut ledger = Ledger::default();
    for prosumer in [1, 2, 3].map(ProsumerId) {
        let contract = DelegatedContract { fixed_reward: Money(3_000_000), ..DelegatedContract::default() };
        let agreed = MarketEvent::DelegationAgreed { prosumer, from: january, contract, at: before };
        ledger.apply(&agreed).unwrap();
    }
    for bill in ledger.bills_due(march.start()) {
        ledger.apply(&MarketEvent::BillIssued { bill, at: march.start() }).unwrap();
    }
    let books = Books::new(ledger, march.start());
    let names = |after, wanted: &dyn Fn(ProsumerId) -> bool, most| {
        let bills = durable_bills(&books, after, wanted, most);
        let lines = || bills.iter().flat_map(|bill| &bill.lines);
        assert!(lines().all(|line| line.cites.is_empty() && line.amount == Money(3_000_000)));
        assert_eq!(lines().count(), bills.len());
        bills.iter().map(|bill| format!("{}/{}", bill.prosumer, bill.month)).collect::<Vec<_>>()
    };
    let all = ["1/2026-01", "1/2026-02", "2/2026-01", "2/2026-02", "3/2026-01", "3/2026-02"];
    assert_eq!(names(None, &|_| true, 10), all);
    assert_eq!(names(None, &|_| true, 2), all[..2]);
    assert_eq!(names(Some((ProsumerId(1), month("2026-02"))), &|_| true, 10), all[2..]);
    assert_eq!(names(Some((ProsumerId(2), january)), &|owner| owner == ProsumerId(2), 10), all[3..4]);
}
