//! The FlexOffer Agent of one prosumer: turns what its devices report into FlexOffers, and what was assigned into
//! orders to the devices.
//!
//! It keeps no books of its own. Every minute it compares what was assigned with what the devices confirmed and
//! repeats what is missing, so a lost message, a silent device and a restart are one case.

use super::aggregator::{AggregatorMsg, AnswerTo, OfferAnswer, Submission};
use super::freezing::Freezing;
use super::metering::{confirming, confirming_a_refusal};
use super::orders_underway::OrdersUnderway;
use crate::area::Area;
use crate::egress::EgressMsg;
use crate::historian::Historian;
use crate::journal::{Books, JournalWriter};
use crate::observer::Seen;
use crate::runtime::{Address, Context, Delivery, Stage};
use crate::weather::Weather;
use connectors::Receipt;
use grid::defect::{Defect, planted};
use grid::{DeviceId, ProsumerId, Timestamp};
use market::baseline::Baseline;
use market::{
    Activation, ActivationId, ActivationStatus, Assignment, ContractId, DeviceReport, FlexOffer, FlexOfferId,
    MarketEvent, offer_for,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const CHECK_PERIOD: Duration = Duration::from_secs(60);
/// How long after the full minute: devices have said how they stand then, and what is offered now is sealed five seconds later.
const CHECK_OFFSET: Duration = Duration::from_secs(25);
/// How long an agent waits for the answer to an offer before it offers again.
const ANSWER_WITHIN: Duration = Duration::from_secs(180);

/// What can wake a FlexOffer Agent.
#[derive(Debug, Clone)]
pub enum FoaMsg {
    /// A device told its state.
    Reported(Arc<DeviceReport>),
    /// The aggregator answered an offer.
    OfferAnswered {
        /// The device the offer is about.
        device: DeviceId,
        /// Which offer.
        offer: FlexOfferId,
        /// The answer.
        answer: OfferAnswer,
    },
    /// An offer of this prosumer was bought.
    Assigned {
        /// Under which contract.
        contract: ContractId,
        /// What shall be done.
        assignment: Arc<Assignment>,
    },
    /// What a device would take without its order, or why the method of its contract cannot say.
    BaselineFound {
        /// Under which contract.
        contract: ContractId,
        /// What shall be done.
        assignment: Arc<Assignment>,
        /// As it is to be frozen.
        found: Result<Arc<Baseline>, String>,
    },
    /// A device answered an activation; whoever sent it may wait until it is durable.
    Answered(ActivationStatus, Option<Receipt>),
    /// Time to compare orders with answers and offers with reports.
    CheckDue,
}

/// The state of a FlexOffer Agent.
pub struct Foa {
    prosumer: ProsumerId,
    area: Arc<Area>,
    books: Books,
    reports: BTreeMap<DeviceId, Arc<DeviceReport>>,
    /// Devices with an offer that was handed in and not answered yet, and since when.
    waiting: BTreeMap<DeviceId, Timestamp>,
    underway: OrdersUnderway,
    journal: JournalWriter,
    aggregator: Address<AggregatorMsg>,
    egress: Address<EgressMsg>,
    observer: Address<Seen>,
    historian: Option<Historian>,
    weather: Option<Weather>,
}

/// Where a FlexOffer Agent sends to.
#[derive(Debug, Clone)]
pub struct Exits {
    /// The journal.
    pub journal: JournalWriter,
    /// The aggregator that takes its offers.
    pub aggregator: Address<AggregatorMsg>,
    /// The way to its devices.
    pub egress: Address<EgressMsg>,
    /// Who watches.
    pub observer: Address<Seen>,
    /// Who knows what was metered.
    pub historian: Option<Historian>,
    /// Who knows how warm it is.
    pub weather: Option<Weather>,
}

impl Foa {
    /// The agent of a prosumer.
    pub fn new(prosumer: ProsumerId, area: Arc<Area>, books: Books, exits: Exits) -> Self {
        let Exits { journal, aggregator, egress, observer, historian, weather } = exits;
        let (reports, waiting, underway) = Default::default();
        Self {
            prosumer,
            area,
            books,
            reports,
            waiting,
            underway,
            journal,
            aggregator,
            egress,
            observer,
            historian,
            weather,
        }
    }

    fn on_report(&mut self, report: Arc<DeviceReport>, cx: &mut Context<FoaMsg>) {
        let mine = self.area.devices.get(&report.device);
        if !mine.is_some_and(|d| d.prosumer == self.prosumer && d.usage_point == report.usage_point) {
            let reason = format!("device {} reported as somebody else's", report.device);
            cx.send(&self.observer, Seen::Rejected { code: "foreign_device", reason });
            return;
        }
        let device = report.device;
        self.reports.insert(device, report);
        self.offer(device, cx);
    }

    /// Makes the offer that a device's newest report allows, unless one is open already.
    fn offer(&mut self, device: DeviceId, cx: &mut Context<FoaMsg>) {
        let Some(report) = self.reports.get(&device) else { return };
        let now = cx.now();
        if self.waiting.get(&device).is_some_and(|since| now.since(*since) < ANSWER_WITHIN) {
            return;
        }
        let rules = &self.area.offer_rules;
        let offer = self.books.read(|ledger| offer_for(report, now, &ledger.offer_state(device), rules));
        let Some(offer) = offer else { return };
        self.waiting.insert(device, now);
        let answer_to = AnswerTo::Agent(cx.myself().clone());
        let submission = Submission { offer: Arc::new(offer), answer_to };
        cx.send(&self.aggregator, AggregatorMsg::Submit(submission));
    }

    fn on_assigned(&mut self, contract: &ContractId, assignment: &Assignment, cx: &mut Context<FoaMsg>) {
        let Some(offer) =
            self.books.read(|ledger| ledger.offer(&assignment.offer).map(|(offer, _)| offer.clone()))
        else {
            tracing::error!(offer = %assignment.offer, "assigned an offer that is not in the books");
            return;
        };
        let Ok(id) = ActivationId::new(format!("act-{contract}-{}", offer.device)) else { return };
        if self.underway.is_issued(&id) || self.books.read(|ledger| ledger.activation(&id).is_some()) {
            return;
        }
        if planted(Defect::OrdersLate) && cx.now() < offer.assignment_before {
            return;
        }
        if self.freezes(contract, &offer, assignment, cx) {
            return;
        }
        self.underway.issue(id.clone(), &offer.id);
        let activation = Activation {
            id,
            device: offer.device,
            offer: offer.id,
            contract: contract.clone(),
            schedule: assignment.schedule.clone(),
            replaces_from: offer.default_schedule.start,
        };
        self.order(activation, cx);
    }

    /// Whether an order has to wait for its baseline; asks for it once.
    fn freezes(
        &mut self,
        contract: &ContractId,
        offer: &FlexOffer,
        assignment: &Assignment,
        cx: &mut Context<FoaMsg>,
    ) -> bool {
        if self.underway.is_declared(&offer.id) {
            return false;
        }
        let agreed = self.books.read(|ledger| ledger.contract(contract).map(|(known, _)| known.clone()));
        let needed =
            agreed.and_then(|agreed| Freezing::needed(&self.books, &agreed, offer, assignment, cx.now()));
        let Some(freezing) = needed else { return false };
        // What is found could not be frozen while nothing can be recorded; it is looked for within a minute of when it can.
        if self.books.read_only().is_none() && self.underway.freeze(&offer.id) {
            let (contract, assignment) = (contract.clone(), Arc::new(assignment.clone()));
            let told = move |found| FoaMsg::BaselineFound { contract, assignment, found };
            let (historian, weather) = (self.historian.clone(), self.weather.clone());
            let panicked = told.clone()(Err("it panicked".to_owned()));
            cx.search(panicked, move || {
                told(freezing.find(historian.as_ref(), weather.as_ref()).map(Arc::new))
            });
        }
        true
    }

    /// Freezes a baseline, then gives the order; without one the declared schedule counts.
    fn on_baseline(
        &mut self,
        contract: ContractId,
        assignment: &Arc<Assignment>,
        found: Result<Arc<Baseline>, String>,
        cx: &mut Context<FoaMsg>,
    ) {
        self.underway.end_freezing(&assignment.offer);
        let baseline = match found {
            Ok(baseline) => baseline.as_ref().clone(),
            Err(reason) => {
                let reason = format!("{}: {reason}; its declared schedule is the baseline", assignment.offer);
                cx.send(&self.observer, Seen::Rejected { code: "baseline_declared", reason });
                self.underway.declare(&assignment.offer);
                return self.on_assigned(&contract, assignment, cx);
            }
        };
        let again = FoaMsg::Assigned { contract: contract.clone(), assignment: assignment.clone() };
        let refused = FoaMsg::BaselineFound {
            contract: contract.clone(),
            assignment: assignment.clone(),
            found: Err("it could not be frozen".to_owned()),
        };
        let offer = assignment.offer.clone();
        let (then, refused) = (cx.myself().sending(again), cx.myself().sending(refused));
        // Not for good while the disk is full: it is looked for again within a minute of when there is room. Asked at the moment
        // of the refusal, for there may be room a moment later.
        let books = self.books.clone();
        let otherwise = Delivery::outside(move || {
            if books.read_only().is_none() {
                refused.make();
            }
        });
        let event = MarketEvent::BaselineFrozen { contract, offer, baseline, at: cx.now() };
        self.journal.record_or(cx, event, vec![then], vec![otherwise]);
    }

    /// Records an order and sends it once it is durable. Recording it again changes nothing and sends it again.
    fn order(&self, activation: Activation, cx: &mut Context<FoaMsg>) {
        if planted(Defect::OrdersBeforeRecording) {
            cx.send(&self.egress, EgressMsg::Order(Arc::new(activation.clone())));
        }
        let order = self.egress.sending(EgressMsg::Order(Arc::new(activation.clone())));
        self.journal.record(cx, MarketEvent::ActivationIssued { activation, at: cx.now() }, vec![order]);
    }

    /// An answer to no order of the device, or the opposite of the first one, is refused in words. One that is in the books already
    /// is recorded again when somebody waits for it: that changes nothing, and tells when the first one is durable.
    fn on_answer(&mut self, status: ActivationStatus, receipt: Option<Receipt>, cx: &mut Context<FoaMsg>) {
        let known = self.books.read(|ledger| {
            let own =
                ledger.activation(&status.activation).filter(|(order, _)| order.device == status.device);
            own.map(|(_, answer)| answer.map(|known| known.accepted))
        });
        let refusal = match known {
            None => Some(("answer_unknown", "has no such order")),
            Some(Some(first)) if first != status.accepted => {
                Some(("answer_twice", "has said the opposite before"))
            }
            Some(Some(_)) if receipt.is_none() => return,
            Some(_) => None,
        };
        if let Some((code, what)) = refusal {
            let reason = format!("device {} answered {}, but {what}", status.device, status.activation);
            cx.send(&self.observer, Seen::Rejected { code, reason });
            return receipt.iter().for_each(|receipt| receipt.refuse(code));
        }
        let refused = receipt.clone().map(|receipt| confirming_a_refusal(&self.books, receipt));
        let event = MarketEvent::ActivationAnswered { status, at: cx.now() };
        let then = receipt.into_iter().map(confirming).collect();
        self.journal.record_or(cx, event, then, refused.into_iter().collect());
    }

    fn on_check(&mut self, cx: &mut Context<FoaMsg>) {
        cx.wake_each(CHECK_PERIOD, CHECK_OFFSET, FoaMsg::CheckDue);
        self.books.read(|ledger| self.underway.forget_known(ledger));
        self.repeat_orders(cx.now(), cx);
        for device in self.reports.keys().copied().collect::<Vec<_>>() {
            self.offer(device, cx);
        }
    }

    /// Issues what was assigned but never issued, and repeats what was issued but never answered.
    fn repeat_orders(&mut self, now: Timestamp, cx: &mut Context<FoaMsg>) {
        if planted(Defect::ForgetsOrders) {
            return;
        }
        let (unissued, unanswered) = self.books.read(|ledger| {
            let unissued = ledger.assignments_to_activate(self.prosumer);
            let unissued: Vec<_> =
                unissued.map(|part| (part.contract.id.clone(), part.assignment.clone())).collect();
            let unanswered = ledger.activations_to_repeat(self.prosumer, now);
            (unissued, unanswered.cloned().collect::<Vec<_>>())
        });
        for (contract, assignment) in unissued {
            self.on_assigned(&contract, &assignment, cx);
        }
        for mut activation in unanswered {
            if planted(Defect::RenamesRepeatedOrders)
                && let Ok(id) = ActivationId::new(format!("{}-again", activation.id))
            {
                activation.id = id;
            }
            self.order(activation, cx);
        }
    }
}

impl Stage for Foa {
    type Msg = FoaMsg;

    fn kin(msg: &FoaMsg) -> Option<String> {
        match msg {
            FoaMsg::Reported(report) => Some(format!("report of device {}", report.device)),
            FoaMsg::Answered(status, _) => Some(format!("answer of device {}", status.device)),
            _ => None,
        }
    }

    fn unowed(msg: FoaMsg) -> FoaMsg {
        match msg {
            FoaMsg::Answered(status, _) => FoaMsg::Answered(status, None),
            other => other,
        }
    }

    fn started(&mut self, cx: &mut Context<FoaMsg>) {
        let joined = AggregatorMsg::Joined { prosumer: self.prosumer, foa: cx.myself().clone() };
        cx.send(&self.aggregator, joined);
        self.repeat_orders(cx.now(), cx);
        cx.wake_each(CHECK_PERIOD, CHECK_OFFSET, FoaMsg::CheckDue);
    }

    fn handle(&mut self, msg: FoaMsg, cx: &mut Context<FoaMsg>) {
        match msg {
            FoaMsg::Reported(report) => self.on_report(report, cx),
            FoaMsg::OfferAnswered { device, offer, answer } => {
                self.waiting.remove(&device);
                match answer {
                    OfferAnswer::Accepted | OfferAnswer::AlreadyKnown => {}
                    OfferAnswer::Refused { code, reason } => {
                        tracing::warn!(%offer, code, %reason, "offer refused");
                    }
                    OfferAnswer::Conflict => {
                        tracing::warn!(%offer, %device, "another offer has this name: the device is not offered");
                        let reason = format!(
                            "FlexOffer {offer}: another offer has this name, so device {device} is not offered"
                        );
                        cx.send(&self.observer, Seen::Rejected { code: "agent_name_taken", reason });
                    }
                }
            }
            FoaMsg::Assigned { contract, assignment } => self.on_assigned(&contract, &assignment, cx),
            FoaMsg::BaselineFound { contract, assignment, found } => {
                self.on_baseline(contract, &assignment, found, cx);
            }
            FoaMsg::Answered(status, receipt) => self.on_answer(status, receipt, cx),
            FoaMsg::CheckDue => self.on_check(cx),
        }
    }
}
