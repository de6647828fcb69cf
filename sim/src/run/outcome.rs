//! What a run comes to: the figures of its last table and of `--json`.

use super::scoring::Score;
use super::{RunError, Setup};
use crate::field::Minute;
use actors::journal::{Fact, Journal};
use actors::picture::Picture;
use grid::{Money, Timestamp};
use market::{Account, Ledger, RecordNumber, audit_records};
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// The figures of a run. Energies in kWh, money in EUR, loadings as fraction of the transformer's rating.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Name of the scenario.
    pub scenario: String,
    /// Seed of all randomness.
    pub seed: u64,
    /// First instant.
    pub start: Timestamp,
    /// Minutes that were lived through.
    pub minutes: usize,
    /// Whether the run was taken up from a journal after an earlier process had ended.
    pub resumed: bool,
    /// Largest one-minute loading of the same evening without flexibility.
    pub peak_loading_without: f64,
    /// Largest one-minute loading with flexibility.
    pub peak_loading_with: f64,
    /// Share of the excess over 1 that flexibility removed.
    pub excess_removed: f64,
    /// Minutes above 1 without flexibility.
    pub minutes_over_limit_without: usize,
    /// Minutes above 1 with flexibility.
    pub minutes_over_limit_with: usize,
    /// Consumption moved away from the slots where it was too much, as ordered, kWh.
    pub energy_bought_kwh: f64,
    /// Part of it that fell into slots which are settled, kWh.
    pub energy_settled_kwh: f64,
    /// Delivered in the settled slots: baseline minus meter, at most what was ordered, kWh.
    pub energy_delivered_kwh: f64,
    /// Delivered over ordered in the settled slots; `None` when nothing is settled.
    pub delivered_of_ordered: Option<f64>,
    /// Paid by the DSO, penalties taken off, EUR.
    pub money_paid_eur: f64,
    /// Received by prosumers, EUR.
    pub money_to_prosumers_eur: f64,
    /// Kept as market fee, EUR.
    pub money_fee_eur: f64,
    /// Sum over all accounts in micro-units: anything but 0 is a defect.
    pub money_imbalance: i64,
    /// Offers accepted.
    pub offers: usize,
    /// Contracts formed.
    pub contracts: u64,
    /// Orders to devices.
    pub orders: usize,
    /// Orders a device accepted.
    pub orders_confirmed: usize,
    /// Orders that were due and never reached their device.
    pub orders_lost: u64,
    /// Orders that were given twice.
    pub orders_doubled: u64,
    /// What an independent audit of the journal objects to.
    pub audit_violations: Vec<String>,
    /// Estimated against true transformer loading.
    pub estimator: Score,
    /// Messages that reached the system.
    pub messages_received: u64,
    /// Values and messages refused, whatever the reason.
    pub messages_rejected: u64,
    /// Values overtaken by newer ones of the same point.
    pub messages_skipped: u64,
    /// Stages restarted after a panic.
    pub restarts: u64,
    /// Messages set aside.
    pub quarantined: u64,
    /// Records in the journal.
    pub journal_records: u64,
}

/// What an [`Outcome`] is worked out from.
pub struct Evidence<'a> {
    /// Scenario and network.
    pub setup: &'a Setup,
    /// True loading without flexibility, per minute.
    pub without: &'a [(Timestamp, f64)],
    /// What the field recorded, per minute.
    pub minutes: &'a [Minute],
    /// The ledger at the end.
    pub ledger: &'a Ledger,
    /// The last picture.
    pub picture: &'a Picture,
    /// The estimator's errors.
    pub score: Score,
    /// Where the journal is.
    pub directory: &'a Path,
    /// Whether the run was taken up.
    pub resumed: bool,
}

impl Outcome {
    /// Adds everything up. The journal is read again from the disk and audited by code that shares nothing with the
    /// ledger.
    pub fn new(evidence: &Evidence<'_>) -> Result<Self, RunError> {
        let report = Journal::verify(evidence.directory)?;
        let audit = audit_records(report.entries.iter().filter_map(|entry| match &entry.fact {
            Fact::Market(event) => Some((RecordNumber(entry.number), event)),
            Fact::Opened { .. } | Fact::Reached => None,
        }));
        let peak = |loadings: &mut dyn Iterator<Item = f64>| loadings.fold(0.0, f64::max);
        let first = evidence.minutes.first().map(|minute| minute.at);
        let last = evidence.minutes.last().map(|minute| minute.at);
        let same =
            |at: &Timestamp| first.is_some_and(|first| *at >= first) && last.is_some_and(|last| *at <= last);
        let without: Vec<_> =
            evidence.without.iter().filter(|(at, _)| same(at)).map(|(_, loading)| *loading).collect();
        let with: Vec<_> = evidence.minutes.iter().map(|minute| minute.transformer_loading).collect();
        let (peak_without, peak_with) = (peak(&mut without.iter().copied()), peak(&mut with.iter().copied()));
        let (totals, ledger) = (evidence.ledger.totals(), evidence.ledger);
        let account = |pick: fn(&Account) -> bool| {
            ledger
                .balances()
                .iter()
                .filter(|(account, _)| pick(account))
                .map(|(_, money)| *money)
                .sum::<Money>()
                .units()
        };
        let settled =
            ledger.settlements().map(|one| one.ordered.0.min(0)).sum::<i64>().unsigned_abs() as f64 / 1e6;
        let delivered = totals.delivered_decrease.kilowatt_hours();
        let health = &evidence.picture.health;
        Ok(Self {
            scenario: evidence.setup.scenario.name.clone(),
            seed: evidence.setup.scenario.seed,
            start: evidence.setup.scenario.start,
            minutes: evidence.minutes.len(),
            resumed: evidence.resumed,
            peak_loading_without: peak_without,
            peak_loading_with: peak_with,
            excess_removed: if peak_without > 1.0 {
                (peak_without - peak_with) / (peak_without - 1.0)
            } else {
                0.0
            },
            minutes_over_limit_without: without.iter().filter(|loading| **loading > 1.0).count(),
            minutes_over_limit_with: with.iter().filter(|loading| **loading > 1.0).count(),
            energy_bought_kwh: totals.ordered_decrease.kilowatt_hours(),
            energy_settled_kwh: settled,
            energy_delivered_kwh: delivered,
            delivered_of_ordered: (settled > 0.0).then(|| delivered / settled),
            money_paid_eur: totals.paid.units(),
            money_to_prosumers_eur: account(|account| matches!(account, Account::Prosumer(_))),
            money_fee_eur: account(|account| matches!(account, Account::MarketFee)),
            money_imbalance: audit.money_imbalance.0,
            offers: ledger.offers().count(),
            contracts: ledger.contract_count(),
            orders: ledger.activations().count(),
            orders_confirmed: ledger.activations().filter(|(_, a)| a.is_some_and(|a| a.accepted)).count(),
            orders_lost: audit.orders_lost,
            orders_doubled: audit.orders_doubled,
            audit_violations: audit.violations,
            estimator: evidence.score,
            messages_received: health.received,
            messages_rejected: health.rejected,
            messages_skipped: health.skipped,
            restarts: health.restarts,
            quarantined: health.quarantined,
            journal_records: report.entries.len() as u64,
        })
    }
}

impl fmt::Display for Outcome {
    /// The table at the end of a run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |what: &str, value: String| writeln!(f, "  {what:<38} {value}");
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let lived = format!(
            "{} min{}",
            self.minutes,
            if self.resumed { " since the journal was taken up" } else { "" }
        );
        line("lived through", lived)?;
        line("peak loading without flexibility", percent(self.peak_loading_without))?;
        line("peak loading with flexibility", percent(self.peak_loading_with))?;
        line("excess removed", percent(self.excess_removed))?;
        let over = format!("{} min → {} min", self.minutes_over_limit_without, self.minutes_over_limit_with);
        line("time over the limit", over)?;
        line("energy bought", format!("{:.1} kWh", self.energy_bought_kwh))?;
        let delivered = self.delivered_of_ordered.map_or("nothing settled yet".to_owned(), |share| {
            let (delivered, settled) = (self.energy_delivered_kwh, self.energy_settled_kwh);
            format!("{delivered:.1} of {settled:.1} kWh settled ({})", percent(share))
        });
        line("delivered against ordered", delivered)?;
        let money = format!(
            "{:.2} EUR: {:.2} to prosumers, {:.2} fee, imbalance {} µEUR",
            self.money_paid_eur, self.money_to_prosumers_eur, self.money_fee_eur, self.money_imbalance
        );
        line("paid by the DSO", money)?;
        let orders = format!(
            "{} given, {} confirmed, {} lost, {} doubled",
            self.orders, self.orders_confirmed, self.orders_lost, self.orders_doubled
        );
        line("orders to devices", orders)?;
        line("offers and contracts", format!("{} offers, {} contracts", self.offers, self.contracts))?;
        line("estimated against true loading", self.estimator.to_string())?;
        let messages = format!(
            "{} received, {} refused, {} overtaken",
            self.messages_received, self.messages_rejected, self.messages_skipped
        );
        line("messages", messages)?;
        line("restarts", format!("{} ({} messages quarantined)", self.restarts, self.quarantined))?;
        line(
            "journal",
            format!("{} records, {} objections", self.journal_records, self.audit_violations.len()),
        )
    }
}
