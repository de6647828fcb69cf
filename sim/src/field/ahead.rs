//! A minute ahead: while the system works on what was said at a full minute, the field lives through the next one on a thread of
//! its own. An order that comes meanwhile is given to the field as it stands, and the minute is lived through anew.

use super::{Field, FieldError, MinuteSaid, Reports, STEP};
use crate::plant::PlantError;
use connectors::{Arrival, Message};
use grid::{Beside, Timestamp, beside};
use market::DeviceReport;

/// A field at a full minute, and what becomes of it.
pub(super) struct Ahead {
    now: Timestamp,
    /// The scenario's end: no minute after it is lived through.
    end: Timestamp,
    /// Whether devices have reported how they stand now.
    has_reported: bool,
    coming: Coming,
}

enum Coming {
    UnderWay(Beside<Lived>),
    There(Box<Lived>),
}

struct Lived {
    /// The field as it stands now.
    before: Field,
    /// What devices report of that, and what they have reported then.
    reports: Vec<DeviceReport>,
    reported: Reports,
    /// The field a minute later, with what it says then; none at the scenario's end.
    after: Option<Result<(Field, MinuteSaid), PlantError>>,
}

impl Ahead {
    /// Begins the next minute of a field whose devices have reported how they stand now, or have yet to.
    pub fn begin(field: Field, end: Timestamp, has_reported: bool) -> Self {
        let now = field.plant.now();
        let lived = beside(move || Lived::new(field, end, has_reported));
        Self { now, end, has_reported, coming: Coming::UnderWay(lived) }
    }

    /// The full minute.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether devices have yet to report how they stand now.
    pub fn owes_reports(&self) -> bool {
        !self.has_reported
    }

    /// What devices report of this minute.
    pub fn report(self) -> (Vec<Message>, Self) {
        let mut lived = self.coming.wait();
        lived.before.reports = std::mem::take(&mut lived.reported);
        let reports = std::mem::take(&mut lived.reports).into_iter().map(Message::Device).collect();
        (reports, Self { has_reported: true, coming: Coming::There(lived), ..self })
    }

    /// What is said when the minute has passed.
    pub fn pass(self) -> Result<(MinuteSaid, Self), FieldError> {
        let lived = self.coming.wait();
        let (field, said) = lived.after.ok_or(FieldError::Over)??;
        Ok((said, Self::begin(field, self.end, false)))
    }

    /// Gives the orders among what arrived to their devices; their answers.
    pub fn obey(self, arrivals: Vec<Arrival>, now: Timestamp) -> (Vec<Message>, Self) {
        let orders = arrivals.into_iter().filter_map(|arrival| match arrival {
            Arrival::Message(Message::Activation(activation)) => Some(activation),
            _ => None,
        });
        let orders: Vec<_> = orders.collect();
        if orders.is_empty() {
            return (Vec::new(), self);
        }
        let mut field = self.coming.wait().before;
        let answers = orders.iter().map(|activation| field.answer(activation, now)).collect();
        (answers, Self::begin(field, self.end, self.has_reported))
    }
}

impl Coming {
    fn wait(self) -> Box<Lived> {
        match self {
            Coming::UnderWay(lived) => Box::new(lived.found()),
            Coming::There(lived) => lived,
        }
    }
}

impl Lived {
    fn new(before: Field, end: Timestamp, has_reported: bool) -> Self {
        let mut field = before.clone();
        let reports = if has_reported { Vec::new() } else { field.reports.due(&field.plant) };
        let (reported, next) = (field.reports.clone(), field.plant.now().plus(STEP));
        let after = (next <= end).then(|| field.minute(next).map(|said| (field, said)));
        Self { before, reports, reported, after }
    }
}
