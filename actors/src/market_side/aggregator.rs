//! The aggregator (FMAN): accepts FlexOffers, bundles them, and splits what was bought among their owners.

use super::foa::FoaMsg;
use super::matcher::MatcherMsg;
use crate::area::Area;
use crate::beats::Beats;
use crate::door::Waiting;
use crate::journal::stage::JOURNAL_FULL;
use crate::journal::{Books, JournalWriter};
use crate::observer::Seen;
use crate::runtime::{Address, Context, Delivery, Stage};
use grid::defect::{Defect, planted};
use grid::{DeviceId, EnergyMwh, ProsumerId, Slot, Timestamp};
use market::{
    AggregateId, AggregatedFlexOffer, Aggregation, Assignment, Contract, ContractId, FlexOffer, FlexOfferId,
    MarketEvent, Month, Removal, TradingMode, disaggregate, is_agents_name,
};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

/// How often waiting offers are bundled and late ones expire.
const SEAL_PERIOD: Duration = Duration::from_secs(60);
const SEAL_OFFSET: Duration = Duration::from_secs(30);
/// Tolerance of a device's registered power.
const DEVICE_MARGIN: f64 = 1.05;
/// Most offers of one exclusive group that a device may have open side by side.
const ALTERNATIVES_MAX: usize = 16;
/// How far ahead of ours the clock of an offer's maker may be.
const FUTURE_MAX: Duration = Duration::from_secs(300);
/// How long after its assignment deadline an offer expires; longer than a round takes to become a contract.
const EXPIRE_AFTER: Duration = Duration::from_secs(120);

/// The answer to a submitted offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfferAnswer {
    /// Durable: the offer may be assigned from now on.
    Accepted,
    /// The same offer had been accepted before.
    AlreadyKnown,
    /// Another offer has this id.
    Conflict,
    /// Not a valid offer for this market.
    Refused {
        /// Stable code of the rule.
        code: &'static str,
        /// What is wrong, in words.
        reason: String,
    },
}

/// Who waits for the answer to a submitted offer.
#[derive(Debug, Clone)]
pub enum AnswerTo {
    /// A FlexOffer Agent.
    Agent(Address<FoaMsg>),
    /// Someone outside, for instance an HTTP request.
    Door(Waiting),
}

impl AnswerTo {
    pub(super) fn delivery(&self, offer: &FlexOffer, answer: OfferAnswer) -> Delivery {
        match self {
            AnswerTo::Agent(foa) => {
                foa.sending(FoaMsg::OfferAnswered { device: offer.device, offer: offer.id.clone(), answer })
            }
            AnswerTo::Door(waiting) => {
                let waiting = waiting.clone();
                Delivery::outside(move || waiting.answer(answer.clone()))
            }
        }
    }
}

/// An offer with the way back to whoever submits it.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The offer.
    pub offer: Arc<FlexOffer>,
    /// Who waits for the answer.
    pub answer_to: AnswerTo,
}

/// An owner's wish to take an offer back, with the way back to whoever says so.
#[derive(Debug, Clone)]
pub struct Withdrawal {
    /// Which.
    pub offer: FlexOfferId,
    /// Who waits for the answer: `Accepted` when it is durable, `AlreadyKnown` when it was withdrawn before.
    pub answer_to: Waiting,
}

/// What can wake the aggregator.
#[derive(Debug, Clone)]
pub enum AggregatorMsg {
    /// A FlexOffer Agent is there and can be told of assignments.
    Joined {
        /// Whose agent.
        prosumer: ProsumerId,
        /// Its address.
        foa: Address<FoaMsg>,
    },
    /// A new offer.
    Submit(Submission),
    /// An offer that is known is to say this.
    Change(Submission),
    /// An offer is to be taken back.
    Withdraw(Withdrawal),
    /// An accepted offer is durable.
    Admit(Arc<FlexOffer>),
    /// An offer could not be recorded.
    Disown(FlexOfferId),
    /// An aggregated offer was bought.
    ContractFormed(Arc<Contract>),
    /// Something came from a party.
    Heard {
        /// Which.
        party: ProsumerId,
        /// Whether it is a heartbeat, so that more have to come.
        expected: bool,
    },
    /// Time to look for parties that are silent.
    SilenceDue,
    /// Time to place what may be sold again.
    PlaceDue,
    /// Time to bundle.
    SealDue,
}

/// The state of the aggregator.
pub struct Aggregator {
    pub(super) area: Arc<Area>,
    pub(super) books: Books,
    pub(super) aggregation: Aggregation,
    sealed: u64,
    agents: BTreeMap<ProsumerId, Address<FoaMsg>>,
    /// Offers recorded but not yet durable, so that a second submission is not recorded again.
    underway: BTreeMap<FlexOfferId, Arc<FlexOffer>>,
    /// The offer underway of each device that has one.
    busy: BTreeMap<DeviceId, FlexOfferId>,
    pub(super) journal: JournalWriter,
    pub(super) matcher: Address<MatcherMsg>,
    pub(super) observer: Address<Seen>,
    pub(super) beats: Beats,
    /// Open offers of silent parties that stand in no aggregate.
    pub(super) aside: BTreeSet<FlexOfferId>,
}

impl Aggregator {
    /// An aggregator that continues where the books end.
    pub fn new(
        area: Arc<Area>,
        books: Books,
        journal: JournalWriter,
        matcher: Address<MatcherMsg>,
        observer: Address<Seen>,
    ) -> Self {
        let (waiting, sealed) = books.read(|ledger| {
            let waiting = ledger.unaggregated_offers().cloned().collect::<Vec<_>>();
            (waiting, ledger.aggregate_count())
        });
        // Nobody can know it, and no result depends on it.
        let hash_key = RandomState::new().hash_one(0_u8);
        let mut aggregation = Aggregation::new(area.rules.aggregates, hash_key);
        for offer in waiting {
            bundle(&mut aggregation, &area, offer);
        }
        let (agents, underway, busy) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (beats, aside) = (Beats::default(), BTreeSet::new());
        Self {
            area,
            books,
            aggregation,
            sealed,
            agents,
            underway,
            busy,
            journal,
            matcher,
            observer,
            beats,
            aside,
        }
    }

    /// The same with what is known of who is heard of.
    pub fn hearing(mut self, beats: Beats) -> Self {
        self.beats = beats;
        self
    }

    fn on_submission(&mut self, submission: &Submission, cx: &mut Context<AggregatorMsg>) {
        let (offer, now) = (&submission.offer, cx.now());
        if matches!(submission.answer_to, AnswerTo::Door(_)) && is_agents_name(&offer.id) {
            let (code, id) = ("reserved-name", &offer.id);
            let reason =
                format!("FlexOffer {id}: names like fo-…-…-… are those of agents; choose another one");
            cx.send(&self.observer, Seen::Rejected { code, reason: reason.clone() });
            return cx.make(submission.answer_to.delivery(offer, OfferAnswer::Refused { code, reason }));
        }
        let known = self.books.read(|ledger| ledger.offer(&offer.id).map(|(known, _)| known.clone()));
        let answer = match known.as_ref().or(self.underway.get(&offer.id).map(Arc::as_ref)) {
            Some(known) if known == offer.as_ref() && self.is_durable(known) => OfferAnswer::AlreadyKnown,
            // Recorded again, which changes nothing, and answered when the first record is durable.
            Some(known) if known == offer.as_ref() => {
                let answer = submission.answer_to.delivery(offer, OfferAnswer::AlreadyKnown);
                let event = MarketEvent::OfferAccepted { offer: known.clone(), at: cx.now() };
                return self.journal.record_or(cx, event, vec![answer], vec![self.refusing(submission)]);
            }
            Some(_) => OfferAnswer::Conflict,
            None => match self.refusal(offer, now) {
                Some((code, reason)) => {
                    cx.send(&self.observer, Seen::Rejected { code, reason: reason.clone() });
                    OfferAnswer::Refused { code, reason }
                }
                None => return self.accept(submission, now, cx),
            },
        };
        cx.make(submission.answer_to.delivery(offer, answer));
    }

    fn accept(&mut self, submission: &Submission, now: Timestamp, cx: &mut Context<AggregatorMsg>) {
        let offer = submission.offer.clone();
        self.now_underway(offer.clone());
        let answer = submission.answer_to.delivery(&offer, OfferAnswer::Accepted);
        let admit = cx.myself().sending(AggregatorMsg::Admit(offer.clone()));
        let refused = self.refusing(submission);
        let disown = cx.myself().sending(AggregatorMsg::Disown(offer.id.clone()));
        let event = MarketEvent::OfferAccepted { offer: offer.as_ref().clone(), at: now };
        self.journal.record_or(cx, event, vec![admit, answer], vec![disown, refused]);
    }

    /// Tells that an offer was not recorded. Why is looked at when the time has come: the disk may have filled up since.
    fn refusing(&self, submission: &Submission) -> Delivery {
        let (books, Submission { offer, answer_to }) = (self.books.clone(), submission.clone());
        Delivery::outside(move || {
            let (code, reason) = unrecorded(&books, &offer).unwrap_or_else(|| {
                ("not-recorded", format!("FlexOffer {}: the ledger refused it; see the log", offer.id))
            });
            answer_to.delivery(&offer, OfferAnswer::Refused { code, reason }).make();
        })
    }

    /// Why an offer cannot say what it says.
    pub(super) fn refusal(&self, offer: &FlexOffer, now: Timestamp) -> Option<(&'static str, String)> {
        if let Some(refusal) = unrecorded(&self.books, offer) {
            return Some(refusal);
        }
        if let Err(error) = offer.check() {
            return Some((error.code(), error.to_string()));
        }
        if let Some(term) = offer.terms.untraded() {
            let reason = format!("FlexOffer {} has {term}, which is not traded here yet", offer.id);
            return Some(("term-not-traded", reason));
        }
        if offer.terms.mode == TradingMode::Delegated
            && let month = Month::of(offer.default_schedule.start.start())
            && self.books.read(|ledger| ledger.delegation(offer.prosumer, month).is_none())
        {
            let reason = format!(
                "FlexOffer {}: prosumer {} has agreed on no delegated contract for {month}, so nobody would be paid",
                offer.id, offer.prosumer
            );
            return Some(("no-delegation", reason));
        }
        let device = self.area.devices.get(&offer.device);
        let Some(device) =
            device.filter(|d| d.usage_point == offer.usage_point && d.prosumer == offer.prosumer)
        else {
            let FlexOffer { id, device, usage_point, prosumer, .. } = offer;
            let reason = format!(
                "FlexOffer {id}: device {device} of prosumer {prosumer} at usage point {usage_point} is not registered"
            );
            return Some(("unknown-device", reason));
        };
        let most =
            EnergyMwh::from_watt_hours(DEVICE_MARGIN * device.p_max_w * Slot::HOURS).unwrap_or_default();
        if let Some(slice) = offer.slices.iter().find(|slice| slice.min.abs().max(slice.max.abs()) > most) {
            let reason = format!(
                "FlexOffer {}: a slice of {} to {} is more than device {} can do in a quarter-hour, {most}",
                offer.id, slice.min, slice.max, device.id
            );
            return Some(("device-rating", reason));
        }
        if offer.created_at > now.plus(FUTURE_MAX) {
            let reason = format!("FlexOffer {} was made in the future, at {}", offer.id, offer.created_at);
            return Some(("created-in-future", reason));
        }
        if offer.acceptance_before <= now {
            let reason =
                format!("FlexOffer {} had to be accepted before {}", offer.id, offer.acceptance_before);
            return Some(("past-acceptance", reason));
        }
        self.taken(offer, now)
    }

    /// Why an offer's device cannot have it beside what it has already. Offers of one exclusive group may be open side by
    /// side, because at most one of them is bought; but nobody fills the book with them.
    fn taken(&self, offer: &FlexOffer, now: Timestamp) -> Option<(&'static str, String)> {
        let group = |offer: &FlexOffer| (offer.prosumer, offer.terms.exclusive_group.clone());
        let apart = |other: &FlexOffer| offer.terms.exclusive_group.is_none() || group(other) != group(offer);
        let device = offer.device;
        // One that changes gives way to itself.
        let other = |other: &&FlexOffer| other.id != offer.id;
        let (open, beside) = self.books.read(|ledger| {
            let open = ledger.binding_offers(device, now).filter(other).find(|other| apart(other));
            (open.map(|open| open.id.clone()), ledger.binding_offers(device, now).filter(other).count())
        });
        let underway = self.underway.values().filter(|other| other.device == device);
        if open.is_none() && beside + underway.count() >= ALTERNATIVES_MAX {
            let reason = format!(
                "FlexOffer {}: device {device} has {ALTERNATIVES_MAX} open alternatives already, the most there may be",
                offer.id
            );
            return Some(("too-many-alternatives", reason));
        }
        let underway = self.busy.get(&device).and_then(|id| self.underway.get(id));
        let underway = underway.filter(|other| apart(other)).map(|other| other.id.clone());
        open.or(underway).map(|open| {
            let reason = format!("FlexOffer {}: device {device} already has the open offer {open}", offer.id);
            ("device-busy", reason)
        })
    }

    /// Whether what the books say of an offer is on the disk.
    pub(super) fn is_durable(&self, known: &FlexOffer) -> bool {
        self.books.durable_offer(&known.id).is_some_and(|(durable, _)| durable == *known)
    }

    pub(super) fn is_underway(&self, offer: &FlexOfferId) -> bool {
        self.underway.contains_key(offer)
    }

    pub(super) fn now_underway(&mut self, offer: Arc<FlexOffer>) {
        self.busy.insert(offer.device, offer.id.clone());
        self.underway.insert(offer.id.clone(), offer);
    }

    fn no_longer_underway(&mut self, offer: &FlexOfferId) {
        if let Some(offer) = self.underway.remove(offer)
            && self.busy.get(&offer.device) == Some(&offer.id)
        {
            self.busy.remove(&offer.device);
        }
    }

    fn on_admit(&mut self, offer: &FlexOffer) {
        self.no_longer_underway(&offer.id);
        if self.beats.is_suspended(offer.prosumer) {
            self.aside.insert(offer.id.clone());
            return;
        }
        // As it was before, when this stage was made anew while it was being changed.
        self.aggregation.remove(&offer.id);
        bundle(&mut self.aggregation, &self.area, offer.clone());
    }

    fn on_seal(&mut self, cx: &mut Context<AggregatorMsg>) {
        cx.wake_each(SEAL_PERIOD, SEAL_OFFSET, AggregatorMsg::SealDue);
        let now = cx.now();
        // Not by a clock that may be set right in a moment: what has expired stays so.
        let overdue = match self.books.is_steady(now) {
            true => self.books.read(|ledger| ledger.overdue_offers(now.minus(EXPIRE_AFTER))),
            false => Vec::new(),
        };
        for offer in overdue.into_iter().filter(|_| !planted(Defect::NeverExpires)) {
            self.aside.remove(&offer);
            if let Removal::Sealed(aggregate) = self.aggregation.remove(&offer) {
                self.aggregation.forget(&aggregate);
                cx.send(&self.matcher, MatcherMsg::WithdrawOffer(aggregate));
            }
            self.journal.record(cx, MarketEvent::OfferExpired { offer, at: now }, Vec::new());
        }
        self.split_again(cx);
        // Again and again: a matcher that was restarted has lost its book.
        self.place_again(cx);
        let sealed = &mut self.sealed;
        let books = &self.books;
        // A number is never used twice, also after one was refused.
        let next = || loop {
            *sealed += 1;
            let id = AggregateId::numbered("aggregate-", *sealed);
            if books.read(|ledger| ledger.aggregate(&id).is_none()) {
                return id;
            }
        };
        let formed = self.aggregation.seal(now, next);
        for aggregate in formed {
            let place = self.placing(aggregate.clone(), cx);
            self.journal.record(cx, MarketEvent::AggregateFormed { aggregate, at: now }, vec![place]);
        }
    }

    /// Places all that may be sold.
    pub(super) fn place_again(&mut self, cx: &mut Context<AggregatorMsg>) {
        let (_, free) = self.held_and_free();
        for aggregate in free {
            let place = self.placing(aggregate, cx);
            cx.make(place);
        }
    }

    fn placing(&self, aggregate: AggregatedFlexOffer, cx: &Context<AggregatorMsg>) -> Delivery {
        let lone = self.books.read(|ledger| ledger.lone_terms(&aggregate));
        let (aggregate, from) = (Arc::new(aggregate), cx.myself().clone());
        self.matcher.sending(MatcherMsg::PlaceOffer { aggregate, lone, from })
    }

    fn on_contract(&mut self, contract: &Contract, cx: &mut Context<AggregatorMsg>) {
        let split = self.books.read(|ledger| {
            let aggregate = ledger.aggregate(&contract.aggregate)?;
            Some(disaggregate(aggregate, &ledger.members(&aggregate.id), &contract.schedule))
        });
        let split = split.map(|split| split.map_err(|error| error.to_string()));
        let unknown = || Err(format!("{} is no aggregate of the books", contract.aggregate));
        let assignments = match split.unwrap_or_else(unknown) {
            Ok(assignments) => assignments,
            Err(reason) => {
                tracing::error!(contract = %contract.id, %reason, "contract could not be split");
                let reason = format!("contract {} could not be split: {reason}", contract.id);
                return cx.send(&self.observer, Seen::Rejected { code: "contract_not_split", reason });
            }
        };
        self.aggregation.forget(&contract.aggregate);
        let tell = self.telling(&contract.id, &assignments);
        let event = MarketEvent::Assigned { contract: contract.id.clone(), assignments, at: cx.now() };
        self.journal.record(cx, event, tell);
    }

    /// Splits what should have been split: while there is a contract that is not, nothing more is bought.
    fn split_again(&mut self, cx: &mut Context<AggregatorMsg>) {
        // What was formed a moment ago is on its way here.
        let before = cx.now().minus(SEAL_PERIOD);
        if self.books.read_only().is_some() {
            return;
        }
        let unsplit: Vec<_> = self.books.read(|ledger| {
            let all = ledger.contracts_without_assignment();
            all.filter(|contract| contract.formed_at <= before).cloned().collect()
        });
        for contract in &unsplit {
            tracing::warn!(contract = %contract.id, "a contract is not split yet and is split again");
            self.on_contract(contract, cx);
        }
    }

    fn telling(&self, contract: &ContractId, assignments: &[Assignment]) -> Vec<Delivery> {
        let owner = |assignment: &Assignment| {
            let prosumer =
                self.books.read(|ledger| ledger.offer(&assignment.offer).map(|(offer, _)| offer.prosumer))?;
            self.agents.get(&prosumer)
        };
        let tell = |assignment: &Assignment| {
            let assigned =
                FoaMsg::Assigned { contract: contract.clone(), assignment: Arc::new(assignment.clone()) };
            owner(assignment).map(|foa| foa.sending(assigned))
        };
        // An agent that is not there takes up its assignments from the books when it starts.
        assignments.iter().filter_map(tell).collect()
    }
}

pub(super) fn bundle(aggregation: &mut Aggregation, area: &Area, offer: FlexOffer) {
    let Some(&zone) = area.zone_of.get(&offer.usage_point) else { return };
    if let Err(error) = aggregation.add(offer, zone) {
        tracing::error!(%error, "an accepted offer could not be bundled");
    }
}

/// Why an offer cannot be recorded now.
pub(super) fn unrecorded(books: &Books, offer: &FlexOffer) -> Option<(&'static str, String)> {
    let reason = books.read_only()?;
    Some((JOURNAL_FULL, format!("FlexOffer {} cannot be recorded: {reason}", offer.id)))
}

impl Stage for Aggregator {
    type Msg = AggregatorMsg;

    fn kin(msg: &AggregatorMsg) -> Option<String> {
        match msg {
            AggregatorMsg::Submit(submission) => {
                Some(format!("offers of prosumer {}", submission.offer.prosumer))
            }
            AggregatorMsg::Change(change) => Some(format!("change of {}", change.offer.id)),
            AggregatorMsg::Withdraw(withdrawal) => Some(format!("withdrawal of {}", withdrawal.offer)),
            AggregatorMsg::Heard { party, .. } => Some(format!("word of prosumer {party}")),
            _ => None,
        }
    }

    /// Whoever waits outside learns that no answer will come, and takes no place at the door.
    fn unowed(msg: AggregatorMsg) -> AggregatorMsg {
        match &msg {
            AggregatorMsg::Submit(Submission { answer_to: AnswerTo::Door(waiting), .. })
            | AggregatorMsg::Change(Submission { answer_to: AnswerTo::Door(waiting), .. })
            | AggregatorMsg::Withdraw(Withdrawal { answer_to: waiting, .. }) => waiting.give_up(),
            _ => {}
        }
        msg
    }

    /// Places the open aggregates again and finishes contracts that were not split when the last run ended.
    fn started(&mut self, cx: &mut Context<AggregatorMsg>) {
        cx.wake_each(SEAL_PERIOD, SEAL_OFFSET, AggregatorMsg::SealDue);
        Self::look_for_silence_later(cx);
        let unsplit =
            self.books.read(|ledger| ledger.contracts_without_assignment().cloned().collect::<Vec<_>>());
        self.place_again(cx);
        for contract in unsplit {
            self.on_contract(&contract, cx);
        }
    }

    fn handle(&mut self, msg: AggregatorMsg, cx: &mut Context<AggregatorMsg>) {
        match msg {
            AggregatorMsg::Joined { prosumer, foa } => {
                self.agents.insert(prosumer, foa);
            }
            AggregatorMsg::Submit(submission) => self.on_submission(&submission, cx),
            AggregatorMsg::Change(change) => self.on_change(&change, cx),
            AggregatorMsg::Withdraw(withdrawal) => self.on_withdrawal(&withdrawal, cx),
            AggregatorMsg::Admit(offer) => self.on_admit(&offer),
            AggregatorMsg::Disown(offer) => {
                self.no_longer_underway(&offer);
            }
            AggregatorMsg::ContractFormed(contract) => self.on_contract(&contract, cx),
            AggregatorMsg::Heard { party, expected } => self.on_heard(party, expected, cx),
            AggregatorMsg::SilenceDue => self.on_silence_due(cx),
            AggregatorMsg::PlaceDue => self.place_again(cx),
            AggregatorMsg::SealDue => self.on_seal(cx),
        }
    }
}
