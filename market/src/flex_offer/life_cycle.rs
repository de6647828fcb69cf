//! The life of one FlexOffer, as a state machine without a clock: every step is told the time.
//!
//! ```text
//! initial ──offer──► offered ──accept──► accepted ──assign──► assigned ──start──► in adaptation ──end──► executed
//!                      │ reject / its acceptance deadline ──► rejected ◄── the assignment deadline │ accepted
//!                      │ invalidate ──► invalid              offered, accepted, assigned ──cancel──► canceled
//! ```
//!
//! After the FlexOffer specification 1.3 and GOFLEX. A deadline belongs to the past: at the instant itself neither
//! acceptance nor assignment is possible any more. An assigned schedule may be replaced by a newer update until it
//! starts; an older update, or the same one again, changes nothing. Deadlines are kept by [`LifeCycle::on_time`],
//! due at [`LifeCycle::due`]; a step that comes later than a deadline keeps it first.

use super::{FlexOffer, FlexOfferError, FlexOfferId, Schedule};
use crate::ledger::OfferStatus;
use grid::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where an offer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Made, not sent.
    #[default]
    Initial,
    /// Sent.
    Offered,
    /// Valid, may be assigned.
    Accepted,
    /// Refused, or a deadline passed; the default runs.
    Rejected,
    /// Has a schedule.
    Assigned,
    /// Its schedule runs.
    InAdaptation,
    /// Its schedule has run.
    Executed,
    /// It broke a rule.
    Invalid,
    /// Its owner took it back.
    Canceled,
}

/// A schedule on its way to an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleUpdate {
    /// Number of the schedule at whoever issued it.
    pub schedule_id: u64,
    /// Counts updates of this offer's schedule; the highest counts.
    pub update_id: u64,
    /// What to do.
    pub schedule: Schedule,
}

/// What is done to an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is sent.
    Offer,
    /// The other side takes it.
    Accept,
    /// The other side does not, for this reason.
    Reject(String),
    /// The other side finds it broken, for this reason.
    Invalidate(String),
    /// Its owner changes it; the revision must rise.
    Update(Box<FlexOffer>),
    /// Its owner takes it back.
    Cancel,
    /// It gets a schedule, or a newer one.
    Assign(ScheduleUpdate),
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stepped {
    /// The offer changed.
    Changed,
    /// It was known already, or older than what is known; nothing changed.
    Known,
}

/// Why a step is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LifeCycleError {
    /// Not from here.
    #[error("FlexOffer {offer} is {phase:?}, it cannot be {step}")]
    Phase {
        /// Which offer.
        offer: FlexOfferId,
        /// Where it stands.
        phase: Phase,
        /// What was tried.
        step: &'static str,
    },
    /// Too late.
    #[error("FlexOffer {offer} had to be {step} before {deadline}, it is {now}")]
    Late {
        /// Which offer.
        offer: FlexOfferId,
        /// What was tried.
        step: &'static str,
        /// Until when it was possible.
        deadline: Timestamp,
        /// When it was tried.
        now: Timestamp,
    },
    /// A change under another name, of another owner, or with a revision that does not rise.
    #[error("FlexOffer {offer} revision {revision} cannot be changed into {other} revision {other_revision}")]
    OtherOffer {
        /// Which offer.
        offer: FlexOfferId,
        /// Its revision.
        revision: u32,
        /// Name of the change.
        other: FlexOfferId,
        /// Revision of the change.
        other_revision: u32,
    },
    /// The same update number with another schedule.
    #[error("FlexOffer {offer} has another schedule under update {update_id}")]
    OtherSchedule {
        /// Which offer.
        offer: FlexOfferId,
        /// Which update.
        update_id: u64,
    },
    /// The offer or the schedule breaks a rule.
    #[error(transparent)]
    Rule(#[from] FlexOfferError),
}

impl LifeCycleError {
    /// A code that stays the same over versions, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Phase { .. } => "wrong-state",
            Self::Late { .. } => "too-late",
            Self::OtherOffer { .. } => "other-offer",
            Self::OtherSchedule { .. } => "other-schedule",
            Self::Rule(error) => error.code(),
        }
    }
}

/// One offer with its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifeCycle {
    offer: FlexOffer,
    phase: Phase,
    reason: Option<String>,
    update: Option<ScheduleUpdate>,
}

impl LifeCycle {
    /// An offer that was just made; refused when it breaks a rule.
    pub fn new(offer: FlexOffer) -> Result<Self, LifeCycleError> {
        offer.check()?;
        Ok(Self { offer, phase: Phase::Initial, reason: None, update: None })
    }

    /// The offer in its newest revision.
    pub fn offer(&self) -> &FlexOffer {
        &self.offer
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Why it stands there, when somebody said so.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The newest schedule assigned to it.
    pub fn update(&self) -> Option<&ScheduleUpdate> {
        self.update.as_ref()
    }

    /// When time alone changes its state next.
    pub fn due(&self) -> Option<Timestamp> {
        let schedule = self.update.as_ref().map(|update| &update.schedule);
        match self.phase {
            Phase::Offered => Some(self.offer.acceptance_before),
            Phase::Accepted => Some(self.offer.assignment_before),
            Phase::Assigned => schedule.map(|schedule| schedule.start.start()),
            Phase::InAdaptation => schedule.map(|schedule| schedule.end().start()),
            _ => None,
        }
    }

    /// Keeps every deadline up to and including `now`. Returns the phases entered, in order.
    pub fn on_time(&mut self, now: Timestamp) -> Vec<Phase> {
        let mut entered = Vec::new();
        while self.due().is_some_and(|due| due <= now) {
            let (phase, reason) = match self.phase {
                Phase::Offered => (Phase::Rejected, Some("not accepted in time")),
                Phase::Accepted => (Phase::Rejected, Some("not assigned in time")),
                Phase::Assigned => (Phase::InAdaptation, None),
                _ => (Phase::Executed, None),
            };
            self.enter(phase, reason.map(str::to_owned));
            entered.push(phase);
        }
        entered
    }

    /// Takes a step at `now`, after all deadlines up to then.
    pub fn step(&mut self, step: Step, now: Timestamp) -> Result<Stepped, LifeCycleError> {
        self.on_time(now);
        match (step, self.phase) {
            (Step::Offer, Phase::Initial) => {
                self.in_time("offered", self.offer.acceptance_before, now)?;
                Ok(self.enter(Phase::Offered, None))
            }
            (Step::Accept, Phase::Offered) => Ok(self.enter(Phase::Accepted, None)),
            (Step::Reject(reason), Phase::Offered) => Ok(self.enter(Phase::Rejected, Some(reason))),
            (Step::Invalidate(reason), Phase::Initial | Phase::Offered) => {
                Ok(self.enter(Phase::Invalid, Some(reason)))
            }
            (Step::Cancel, Phase::Offered | Phase::Accepted | Phase::Assigned) => {
                Ok(self.enter(Phase::Canceled, None))
            }
            (Step::Cancel, Phase::Canceled) => Ok(Stepped::Known),
            (Step::Update(offer), Phase::Initial | Phase::Offered | Phase::Accepted) => {
                self.change(*offer, now)
            }
            (Step::Assign(update), Phase::Accepted | Phase::Assigned) => self.assign(update, now),
            (Step::Assign(update), Phase::InAdaptation | Phase::Executed) if self.knows(&update) => {
                Ok(Stepped::Known)
            }
            (step, phase) => {
                Err(LifeCycleError::Phase { offer: self.offer.id.clone(), phase, step: step.participle() })
            }
        }
    }

    fn enter(&mut self, phase: Phase, reason: Option<String>) -> Stepped {
        self.phase = phase;
        self.reason = reason;
        Stepped::Changed
    }

    fn in_time(&self, step: &'static str, deadline: Timestamp, now: Timestamp) -> Result<(), LifeCycleError> {
        match now < deadline {
            true => Ok(()),
            false => Err(LifeCycleError::Late { offer: self.offer.id.clone(), step, deadline, now }),
        }
    }

    fn change(&mut self, offer: FlexOffer, now: Timestamp) -> Result<Stepped, LifeCycleError> {
        if offer == self.offer {
            return Ok(Stepped::Known);
        }
        let same = offer.id == self.offer.id && offer.prosumer == self.offer.prosumer;
        if !same || offer.terms.revision <= self.offer.terms.revision {
            return Err(LifeCycleError::OtherOffer {
                offer: self.offer.id.clone(),
                revision: self.offer.terms.revision,
                other: offer.id,
                other_revision: offer.terms.revision,
            });
        }
        offer.check()?;
        self.in_time("changed", offer.assignment_before, now)?;
        self.offer = offer;
        Ok(Stepped::Changed)
    }

    fn assign(&mut self, update: ScheduleUpdate, now: Timestamp) -> Result<Stepped, LifeCycleError> {
        if self.knows(&update) {
            return Ok(Stepped::Known);
        }
        if self.update.as_ref().is_some_and(|known| known.update_id == update.update_id) {
            let (offer, update_id) = (self.offer.id.clone(), update.update_id);
            return Err(LifeCycleError::OtherSchedule { offer, update_id });
        }
        self.offer.check_schedule(&update.schedule)?;
        self.in_time("assigned", update.schedule.start.start(), now)?;
        self.update = Some(update);
        Ok(self.enter(Phase::Assigned, None))
    }

    /// Whether an update is the known one, or older.
    fn knows(&self, update: &ScheduleUpdate) -> bool {
        self.update.as_ref().is_some_and(|known| known.update_id > update.update_id || known == update)
    }
}

/// Where an offer of the running market stands at an instant: what the books say of it, and what time alone has changed
/// since. It is the phase that a [`LifeCycle`] would be in that took the same steps.
///
/// `assigned` is the schedule that was assigned to it. A contract by itself assigns nothing: until it is split among its
/// members the offer is accepted.
pub fn phase_of(
    offer: &FlexOffer,
    status: OfferStatus,
    assigned: Option<&Schedule>,
    now: Timestamp,
) -> Phase {
    match status {
        OfferStatus::Open if now < offer.assignment_before => Phase::Accepted,
        OfferStatus::Open | OfferStatus::Expired => Phase::Rejected,
        OfferStatus::Contracted => Phase::Accepted,
        OfferStatus::Assigned { .. } => {
            let schedule = assigned.unwrap_or(&offer.default_schedule);
            match (now < schedule.start.start(), now < schedule.end().start()) {
                (true, _) => Phase::Assigned,
                (false, true) => Phase::InAdaptation,
                (false, false) => Phase::Executed,
            }
        }
        OfferStatus::Withdrawn => Phase::Canceled,
    }
}

impl Step {
    fn participle(&self) -> &'static str {
        match self {
            Self::Offer => "offered",
            Self::Accept => "accepted",
            Self::Reject(_) => "rejected",
            Self::Invalidate(_) => "invalidated",
            Self::Update(_) => "changed",
            Self::Cancel => "canceled",
            Self::Assign(_) => "assigned",
        }
    }
}

#[cfg(test)]
mod tests;
