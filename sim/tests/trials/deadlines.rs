//! Deadlines: what is late must be explained by a fault, and nothing is late when there was none.

use crate::lives::Lives;
use crate::plan::Wires;
use grid::Timestamp;
use journal::{Entry, Fact};
use market::{ActivationId, ContractId, FlexOfferId, MarketEvent};
use std::collections::BTreeMap;
use std::time::Duration;

/// When things were agreed and ordered, as far as the journal was read.
struct Reader<'a> {
    lives: &'a Lives,
    wires: Wires,
    /// In truth, when wires were mended.
    quiet: Timestamp,
    /// Which life wrote what is read.
    life: usize,
    deadlines: BTreeMap<FlexOfferId, Timestamp>,
    formed: BTreeMap<ContractId, Agreed>,
    orders: BTreeMap<ActivationId, (ContractId, Timestamp)>,
    answered: Vec<ActivationId>,
    traded: Timestamp,
    wrong: Vec<String>,
}

/// When a contract was formed, by the clock of its life.
#[derive(Clone, Copy)]
struct Agreed {
    life: usize,
    at: Timestamp,
}

/// How long wires alone may keep a device from hearing of an order that comes again each minute, or the system of its answer.
fn patience(wires: Wires) -> Duration {
    let lost = match wires.lost {
        lost if lost > 0.1 => 25 * 60,
        lost if lost > 0.0 => 10 * 60,
        _ => 0,
    };
    Duration::from_secs(lost) + 2 * wires.slow
}

/// Judges a journal at an instant of true time.
pub fn judge(
    entries: &[Entry],
    lives: &Lives,
    wires: Wires,
    quiet: Timestamp,
    now: Timestamp,
) -> Vec<String> {
    let mut reader = Reader {
        lives,
        wires,
        quiet,
        life: 0,
        deadlines: BTreeMap::new(),
        formed: BTreeMap::new(),
        orders: BTreeMap::new(),
        answered: Vec::new(),
        traded: Timestamp::default(),
        wrong: Vec::new(),
    };
    entries.iter().for_each(|entry| reader.read(entry));
    reader.unanswered(now);
    reader.wrong
}

impl Reader<'_> {
    fn read(&mut self, entry: &Entry) {
        let event = match &entry.fact {
            Fact::Opened { .. } => return self.life += 1,
            Fact::Reached => return,
            Fact::Market(event) => event,
        };
        if entry.written_at < self.traded {
            let (number, at, traded) = (entry.number, entry.written_at, self.traded);
            self.wrong.push(format!("record {number} of {at} follows one of {traded}: time went back"));
        }
        self.traded = self.traded.max(entry.written_at);
        match event {
            MarketEvent::OfferAccepted { offer, .. } | MarketEvent::OfferChanged { offer, .. } => {
                self.deadlines.insert(offer.id.clone(), offer.assignment_before);
            }
            MarketEvent::ContractFormed { contract } => {
                let agreed = Agreed { life: self.life, at: contract.formed_at };
                self.formed.insert(contract.id.clone(), agreed);
            }
            MarketEvent::Assigned { contract, assignments, at } => {
                for part in assignments {
                    self.in_time("assigned", contract, &part.offer, *at);
                }
            }
            MarketEvent::ActivationIssued { activation, at } => {
                self.in_time("ordered", &activation.contract, &activation.offer, *at);
                let begin = activation.schedule.start.min(activation.replaces_from).start();
                self.orders.insert(activation.id.clone(), (activation.contract.clone(), begin));
            }
            MarketEvent::ActivationAnswered { status, at } => {
                self.answered(&status.activation, *at);
                self.answered.push(status.activation.clone());
            }
            _ => {}
        }
    }

    /// What is assigned or ordered after the offer's deadline must have been kept back: the system did not go on unbroken from
    /// the contract to the deadline.
    fn in_time(&mut self, what: &str, contract: &ContractId, offer: &FlexOfferId, at: Timestamp) {
        let (Some(deadline), Some(agreed)) = (self.deadlines.get(offer), self.formed.get(contract)) else {
            return self
                .wrong
                .push(format!("{offer} was {what} under {contract}, of which nothing is known"));
        };
        if at >= *deadline && !self.broken(*agreed, *deadline) {
            let words =
                format!("{offer} was {what} at {at}, had to be before {deadline}, and nothing was wrong");
            self.wrong.push(words);
        }
    }

    fn broken(&self, agreed: Agreed, until: Timestamp) -> bool {
        let truly = |at| self.lives.truly(agreed.life, at);
        self.lives.broken(truly(agreed.at), truly(until))
    }

    /// An answer that comes when the time has begun; bad wires explain it, too.
    fn answered(&mut self, order: &ActivationId, at: Timestamp) {
        let Some((contract, begin)) = self.orders.get(order) else { return };
        if at >= *begin && self.unexplained(contract, *begin) {
            self.wrong.push(format!("{order} for {begin} was answered at {at}, and nothing was wrong"));
        }
    }

    fn unexplained(&self, contract: &ContractId, begin: Timestamp) -> bool {
        let Some(agreed) = self.formed.get(contract) else { return true };
        let truly = |at| self.lives.truly(agreed.life, at);
        let (from, until) = (truly(agreed.at), truly(begin));
        let wires = from < self.quiet && until.since(from) < patience(self.wires);
        !wires && !self.lives.broken(from, until)
    }

    /// The same of those that have no answer although their time has begun.
    fn unanswered(&mut self, now: Timestamp) {
        for (order, (contract, begin)) in &self.orders {
            let agreed = self.formed.get(contract);
            let begun = agreed.is_some_and(|agreed| self.lives.truly(agreed.life, *begin) < now);
            if begun && !self.answered.contains(order) && self.unexplained(contract, *begin) {
                self.wrong.push(format!("{order} for {begin} has no answer, and nothing was wrong"));
            }
        }
    }
}
