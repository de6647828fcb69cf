//! What must be true, whatever went wrong. Each check knows the outside and the journal only, and shares no code with what
//! it judges but the ledger's queries and the audit, which is an independent judge itself.

use crate::lives::Lives;
use crate::wire::Known;
use actors::picture::Picture;
use grid::{Money, Quality, Timestamp};
use journal::{Entry, Fact, Standing};
use market::{Ledger, RecordNumber, audit_records, audit_without_clearings};
use std::time::Duration;

/// How long the last steps of something may take when nothing goes wrong.
const SOON: Duration = Duration::from_secs(5 * 60);
/// Longest wait for a meter before its value is substituted.
const METER: Duration = Duration::from_secs(30 * 60);
/// Within this even the worst wire brings what is told again and again to a system that listens.
const TELLING: Duration = Duration::from_secs(25 * 60);

/// What an audit does with the rounds in the journal: it clears each again, or takes it as recorded, which costs a tenth.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Clearings {
    Repeated,
    Believed,
}

/// What the journal says, against what the outside knows.
pub fn recovered(
    entries: &[Entry],
    ledger: &Ledger,
    known: &Known,
    lives: &Lives,
    clearings: Clearings,
) -> Vec<String> {
    let mut wrong = Vec::new();
    wrong.extend(audited(entries, clearings));
    wrong.extend(readings(entries, known, lives));
    wrong.extend(refolded(entries, ledger));
    wrong
}

/// The independent judge of the market. Orders that nobody answered before their time are `deadlines`' to judge: it knows what
/// was broken meanwhile.
fn audited(entries: &[Entry], clearings: Clearings) -> Vec<String> {
    let records = entries.iter().filter_map(|entry| match &entry.fact {
        Fact::Market(event) => Some((RecordNumber(entry.number), event)),
        Fact::Opened { .. } | Fact::Reached => None,
    });
    let report = match clearings {
        Clearings::Repeated => audit_records(records),
        Clearings::Believed => audit_without_clearings(records),
    };
    let late = |words: &&String| words.contains(" began, but ");
    let violations = report.violations.iter().filter(|words| !late(words));
    let mut wrong: Vec<String> = violations.map(|words| format!("audit: {words}")).collect();
    if report.orders_doubled > 0 {
        wrong.push(format!("{} orders were given twice", report.orders_doubled));
    }
    if report.energy_mismatch_mwh != 0 {
        wrong.push(format!("{} mWh are not conserved", report.energy_mismatch_mwh));
    }
    if report.money_imbalance != Money::ZERO {
        wrong.push(format!("{} micro-units are not conserved", report.money_imbalance.0));
    }
    wrong
}

/// What was recorded as measured must be what the meter said of that quarter-hour, and nothing may be substituted for what
/// a meter has been telling for long: however long the system was away, it has to listen first.
fn readings(entries: &[Entry], known: &Known, lives: &Lives) -> Vec<String> {
    let (mut life, mut wrong) = (0, Vec::new());
    for entry in entries {
        let reading = match &entry.fact {
            Fact::Market(market::MarketEvent::MeterRead { reading }) => reading,
            Fact::Opened { .. } => {
                life += 1;
                continue;
            }
            _ => continue,
        };
        let told = known.told.get(&(reading.device, reading.slot));
        match reading.quality {
            Quality::Substituted => {
                let recorded = lives.truly(life, reading.received_at);
                if told.is_some_and(|(_, at)| at.plus(TELLING) < recorded) {
                    wrong.push(format!("{reading:?} replaces what was told long before"));
                }
                // Whoever reads a clock that is ahead must not take for missing what is not over.
                if recorded < reading.slot.end() {
                    wrong.push(format!("{reading:?} replaces what had not passed"));
                }
            }
            _ if told.is_none_or(|(told, _)| *told != reading.energy) => {
                wrong.push(format!("{reading:?} is not what the meter said"));
            }
            _ => {}
        }
    }
    wrong
}

/// Snapshots and the running system must be what all records add up to.
fn refolded(entries: &[Entry], ledger: &Ledger) -> Vec<String> {
    let mut standing = Standing::default();
    for entry in entries {
        if let Err(error) = standing.fold(entry.clone()) {
            return vec![format!("record {} cannot follow: {error}", entry.number)];
        }
    }
    if standing.ledger == *ledger {
        Vec::new()
    } else {
        vec!["the ledger is not the sum of its records".to_owned()]
    }
}

/// When nothing has gone wrong for long: what was begun has ended, and the picture is fresh.
pub fn settled_down(
    ledger: &Ledger,
    picture: &Picture,
    known: &Known,
    quiet: Timestamp,
    now: Timestamp,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let before = now.minus(SOON);
    let old = ledger.contracts_without_assignment().filter(|contract| contract.formed_at < before);
    wrong.extend(old.map(|contract| format!("{} was never split among its members", contract.id)));
    for part in ledger.assignments_without_activation() {
        if part.contract.formed_at < before {
            wrong.push(format!(
                "{} of {} was never given to its device",
                part.assignment.offer, part.contract.id
            ));
        }
    }
    for (order, answer) in ledger.activations() {
        let end = order.schedule.start.plus(order.schedule.energies.len() as i64).start();
        let contract = ledger.contract(&order.contract).map(|(contract, _)| contract.formed_at);
        // While it can still be given it is repeated each minute.
        if answer.is_none() && end > quiet.plus(SOON) && contract.is_some_and(|formed| formed < before) {
            wrong.push(format!("{} was never answered", order.id));
        }
    }
    wrong.extend(ledger.overdue_offers(before).iter().map(|offer| format!("{offer} never expires")));
    let missing = ledger.missing_readings(before.minus(METER));
    wrong.extend(missing.iter().map(|(device, slot)| format!("device {device} was never read in {slot}")));
    let due = ledger.unsettled_due().into_iter().flatten().filter(|due| due.reading.received_at < before);
    wrong.extend(due.map(|due| format!("{} was never settled in {}", due.offer.id, due.slot)));
    let waiting = known.waiting.values().filter(|since| **since < before).count();
    if waiting > 0 {
        wrong.push(format!("{waiting} senders wait in vain for an acknowledgement"));
    }
    if picture.health.estimator.at.is_none_or(|at| at < before) {
        wrong.push(format!("the newest estimate is of {:?}", picture.health.estimator));
    }
    wrong
}
