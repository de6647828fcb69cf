//! The outcome as tables for people: what each figure is called, its value and its unit.

use crate::run::Outcome;

/// One figure.
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) unit: &'static str,
    /// Whether the value should not be so.
    pub(super) alarm: bool,
}

/// Figures that belong together.
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) figures: Vec<Figure>,
}

/// All figures of an outcome.
pub(super) fn groups(outcome: &Outcome) -> Vec<Group> {
    vec![grid(outcome), flexibility(outcome), money(outcome), orders(outcome), system(outcome)]
}

/// What should not have happened in a run, in sentences.
pub(super) fn alarms(outcome: &Outcome) -> Vec<String> {
    let mut alarms = Vec::new();
    if outcome.money_imbalance != 0 {
        alarms.push(format!("All accounts together hold {} µEUR instead of 0.", outcome.money_imbalance));
    }
    if outcome.orders_lost > 0 {
        alarms.push(format!("{} orders never reached their device.", outcome.orders_lost));
    }
    if outcome.orders_doubled > 0 {
        alarms.push(format!("{} orders were given twice.", outcome.orders_doubled));
    }
    alarms.extend(
        outcome.audit_violations.iter().map(|violation| format!("Audit of the journal: {violation}.")),
    );
    alarms
}

fn grid(outcome: &Outcome) -> Group {
    let share = outcome.excess_removed;
    let removed = if outcome.peak_loading_without > 1.0 {
        figure("Peak reduction against its excess over 100 %", percent(share), "%")
    } else {
        figure("Peak reduction against its excess over 100 %", "no excess".to_owned(), "")
    };
    let over = |minutes: usize| minutes.to_string();
    Group {
        title: "Transformer",
        figures: vec![
            figure("Peak loading without flexibility", percent(outcome.peak_loading_without), "% of rating"),
            figure("Peak loading with flexibility", percent(outcome.peak_loading_with), "% of rating"),
            removed,
            figure("Time above 100 % without flexibility", over(outcome.minutes_over_limit_without), "min"),
            figure("Time above 100 % with flexibility", over(outcome.minutes_over_limit_with), "min"),
        ],
    }
}

fn flexibility(outcome: &Outcome) -> Group {
    let delivered = match outcome.delivered_of_ordered {
        Some(share) => figure("Delivered of what was ordered, in settled quarter-hours", percent(share), "%"),
        None => figure("Delivered of what was ordered", "nothing settled yet".to_owned(), ""),
    };
    Group {
        title: "Flexibility",
        figures: vec![
            figure("Consumption ordered away", fixed(outcome.energy_bought_kwh, 2), "kWh"),
            figure("of it in settled quarter-hours", fixed(outcome.energy_settled_kwh, 2), "kWh"),
            figure("Delivered there (baseline minus meter)", fixed(outcome.energy_delivered_kwh, 2), "kWh"),
            delivered,
            figure("Offers accepted", outcome.offers.to_string(), ""),
            figure("Contracts formed", outcome.contracts.to_string(), ""),
        ],
    }
}

fn money(outcome: &Outcome) -> Group {
    let imbalance = outcome.money_imbalance;
    Group {
        title: "Money",
        figures: vec![
            figure("Paid by the DSO, penalties taken off", fixed(outcome.money_paid_eur, 2), "EUR"),
            figure("Received by prosumers", fixed(outcome.money_to_prosumers_eur, 2), "EUR"),
            figure("Kept as market fee", fixed(outcome.money_fee_eur, 2), "EUR"),
            expected_zero("Sum over all accounts (must be 0)", imbalance.to_string(), imbalance == 0, "µEUR"),
        ],
    }
}

fn orders(outcome: &Outcome) -> Group {
    let zero = |name, count: u64| expected_zero(name, count.to_string(), count == 0, "");
    Group {
        title: "Orders to devices",
        figures: vec![
            figure("Given", outcome.orders.to_string(), ""),
            figure("Accepted by the device", outcome.orders_confirmed.to_string(), ""),
            zero("Lost (must be 0)", outcome.orders_lost),
            zero("Given twice (must be 0)", outcome.orders_doubled),
            zero("Objections of the journal's audit (must be 0)", outcome.audit_violations.len() as u64),
        ],
    }
}

fn system(outcome: &Outcome) -> Group {
    let score = outcome.estimator;
    let mut figures = vec![figure("Estimates compared with the true state", score.minutes.to_string(), "")];
    if score.minutes > 0 {
        figures.extend([
            figure(
                "Error of the estimated loading, rms",
                fixed(score.loading_rmse * 100.0, 2),
                "% of rating",
            ),
            figure("Largest such error", fixed(score.loading_error_max * 100.0, 2), "% of rating"),
            figure(
                "Error of the estimated lowest voltage, rms",
                fixed(score.voltage_min_rmse * 100.0, 2),
                "% of rated",
            ),
        ]);
    }
    figures.extend([
        figure("Messages received", outcome.messages_received.to_string(), ""),
        figure("Values and messages refused", outcome.messages_rejected.to_string(), ""),
        figure("Values overtaken by newer ones", outcome.messages_skipped.to_string(), ""),
        figure("Parts of the system restarted", outcome.restarts.to_string(), ""),
        figure("Messages set aside as unworkable", outcome.quarantined.to_string(), ""),
        figure("Records in the journal", outcome.journal_records.to_string(), ""),
    ]);
    Group { title: "Estimator and system", figures }
}

fn figure(name: &'static str, value: String, unit: &'static str) -> Figure {
    Figure { name, value, unit, alarm: false }
}

fn expected_zero(name: &'static str, value: String, zero: bool, unit: &'static str) -> Figure {
    Figure { name, value, unit, alarm: !zero }
}

/// A share in percent with one digit.
pub(super) fn percent(share: f64) -> String {
    fixed(share * 100.0, 1)
}

/// With so many digits, and never a negative zero.
fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.chars().all(|digit| matches!(digit, '0' | '.')) => digits.to_owned(),
        _ => text,
    }
}
