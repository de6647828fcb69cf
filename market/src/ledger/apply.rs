//! One fact at a time. Each rule first recognises what it knows, then checks everything, then changes.

use super::{
    ActivationRecord, Answered, Applied, ContractRecord, Ledger, LedgerError, OfferRecord, OfferStatus, Place,
};
use crate::activation::{Activation, ActivationStatus};
use crate::aggregation::{LoneTerms, combine};
use crate::bid::Need;
use crate::clearing::RoundRecord;
use crate::contract::{AggregateId, AggregatedFlexOffer, Assignment, Contract, ContractId, cost};
use crate::event::RecordNumber;
use crate::flex_offer::{FlexOffer, FlexOfferId, Schedule};
use crate::price_clearing::Pricing;
use grid::{DeviceId, EnergyMwh, Money, Slot, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

pub(super) type Outcome = Result<Applied, LedgerError>;

pub(super) fn unknown(what: &'static str, id: impl ToString) -> LedgerError {
    LedgerError::Unknown { what, id: id.to_string() }
}

/// Known with the same contents: nothing to do; with others: refused.
pub(super) fn again<T: PartialEq>(what: &'static str, id: impl ToString, known: &T, given: &T) -> Outcome {
    if known == given { Ok(Applied::Known) } else { Err(LedgerError::Conflict { what, id: id.to_string() }) }
}

impl Ledger {
    pub(super) fn record(&self, offer: &FlexOfferId) -> Result<&OfferRecord, LedgerError> {
        self.offers.get(offer).ok_or_else(|| unknown("FlexOffer", offer))
    }

    fn set_status(&mut self, offer: &FlexOfferId, status: OfferStatus) {
        if let Some(record) = self.offers.get_mut(offer) {
            record.status = status;
        }
        self.open_offers.remove(offer);
    }

    pub(super) fn accept_offer(&mut self, offer: FlexOffer, at: Timestamp, record: RecordNumber) -> Outcome {
        if let Some(known) = self.offers.get(&offer.id) {
            // As it was before it was changed.
            if offer.terms.revision < known.offer.terms.revision && offer.prosumer == known.offer.prosumer {
                return Ok(Applied::Known);
            }
            return again("FlexOffer", &offer.id, &known.offer, &offer);
        }
        offer.check()?;
        if at >= offer.acceptance_before {
            let (what, deadline) = ("the acceptance", offer.acceptance_before);
            return Err(LedgerError::TooLate { what, at, deadline });
        }
        let (id, device) = (offer.id.clone(), offer.device);
        let (newest, made) = self.by_device.entry(device).or_insert_with(|| (id.clone(), 0));
        (*newest, *made) = (id.clone(), made.saturating_add(1));
        self.open_offers.insert(id);
        let status = OfferStatus::Open;
        let (aggregate, activation, contract) = Default::default();
        let (part, relief) = (0, 0);
        let place = self.offers.insert(OfferRecord {
            offer,
            status,
            aggregate,
            activation,
            contract,
            part,
            relief,
            record,
        });
        self.bind(device, place, at);
        Ok(Applied::New)
    }

    /// Notes that an offer binds its device, and forgets those that do not any more.
    pub(super) fn bind(&mut self, device: DeviceId, offer: Place, at: Timestamp) {
        let offers = &self.offers;
        let binding = self.binding.entry(device).or_default();
        binding.retain(|place| offers.at(*place).is_some_and(|record| record.status.binds(at)));
        if let Err(at) = binding.binary_search(&offer) {
            binding.insert(at, offer);
        }
    }

    pub(super) fn close_offer(&mut self, offer: &FlexOfferId, status: OfferStatus) -> Outcome {
        let record = self.record(offer)?;
        match record.status {
            known if known == status => Ok(Applied::Known),
            OfferStatus::Open => {
                if let Some(aggregate) = record.aggregate.clone() {
                    self.unsold.remove(&aggregate);
                }
                self.set_status(offer, status);
                Ok(Applied::New)
            }
            _ => Err(LedgerError::NotOpen { offer: offer.clone() }),
        }
    }

    pub(super) fn expire_offer(&mut self, offer: &FlexOfferId, at: Timestamp) -> Outcome {
        let earliest = self.record(offer)?.offer.assignment_before;
        if at < earliest {
            return Err(LedgerError::TooEarly { what: "the expiry", at, earliest });
        }
        self.close_offer(offer, OfferStatus::Expired)
    }

    pub(super) fn form_aggregate(&mut self, aggregate: AggregatedFlexOffer) -> Outcome {
        if let Some(known) = self.aggregates.get(&aggregate.id) {
            return again("aggregated FlexOffer", &aggregate.id, known, &aggregate);
        }
        let mut members = Vec::with_capacity(aggregate.members.len());
        for member in &aggregate.members {
            let record = self.record(member)?;
            if record.status != OfferStatus::Open {
                return Err(LedgerError::NotOpen { offer: member.clone() });
            }
            if let Some(aggregate) = record.aggregate.clone() {
                return Err(LedgerError::InAggregate { offer: member.clone(), aggregate });
            }
            members.push(&record.offer);
        }
        let names: BTreeSet<_> = members.iter().map(|offer| &offer.id).collect();
        let twice = names.len() != members.len();
        let sum = combine(aggregate.id.clone(), aggregate.zone, &members);
        if twice || sum.as_ref() != Some(&aggregate) {
            return Err(LedgerError::NotTheSum { aggregate: aggregate.id.clone() });
        }
        aggregate.check()?;
        for member in &aggregate.members {
            if let Some(record) = self.offers.get_mut(member) {
                record.aggregate = Some(aggregate.id.clone());
            }
        }
        self.unsold.insert(aggregate.id.clone());
        self.aggregates.insert(aggregate);
        Ok(Applied::New)
    }

    /// Whether an offer is open, and says what this aggregate was made of.
    fn is_offered_in(&self, offer: &FlexOfferId, aggregate: &AggregateId) -> bool {
        let record = self.offers.get(offer);
        record.is_some_and(|known| {
            known.status == OfferStatus::Open && known.aggregate.as_ref() == Some(aggregate)
        })
    }

    /// Whether the prices of a contract are not those of its slots and bids.
    fn wrong_prices(&self, contract: &Contract) -> Option<&'static str> {
        let slots = contract.deviation.iter().map(|(slot, _)| *slot);
        if !slots.eq(contract.slot_prices.iter().map(|price| price.slot)) {
            return Some("slot of its prices");
        }
        let bids: Option<Vec<_>> = contract.bids.iter().map(|id| self.bids.get(id)).collect();
        let Some(bids) = bids else { return Some("bid") };
        for ((slot, energy), price) in contract.deviation.iter().zip(&contract.slot_prices) {
            let served = bids.iter().filter_map(|bid| bid.interval(*slot));
            let served = served.filter(|asked| asked.schedule_change.0.signum() == energy.0.signum());
            let most: i128 = served.map(|asked| i128::from(asked.price.0)).sum();
            if i128::from(price.bid.0) * -i128::from(energy.0.signum()) > most {
                return Some("price of its bids");
            }
        }
        // Each slot's cost is rounded by itself.
        let rounded = contract.deviation.len() as i128;
        let dear = i128::from(contract.cost.0) > contract.bid_worth() + rounded;
        (dear && contract.terms.pricing == Pricing::PayAsBid).then_some("cost, above what the bids pay,")
    }

    pub(super) fn place_need(&mut self, need: Need, placed: RecordNumber) -> Outcome {
        if self.need.as_ref() == Some(&need) {
            return Ok(Applied::Known);
        }
        need.check()?;
        let contracts = self.contract_count();
        if need.contracts_seen != contracts {
            return Err(LedgerError::StaleNeed { seen: need.contracts_seen, contracts });
        }
        let other = |bid: &&crate::bid::DomsBid| self.bids.get(&bid.id).is_some_and(|known| known != *bid);
        if let Some(bid) = need.bids.iter().find(other) {
            return Err(LedgerError::Conflict { what: "bid", id: bid.id.to_string() });
        }
        self.bids.extend(need.bids.iter().map(|bid| (bid.id.clone(), bid.clone())));
        self.asked.next(self.need.as_ref(), &need, placed);
        self.need = Some(need);
        Ok(Applied::New)
    }

    pub(super) fn clear(&mut self, round: RoundRecord) -> Outcome {
        if let Some((known, _)) = &self.round {
            if *known == round {
                return Ok(Applied::Known);
            }
            if round.at <= known.at {
                let (what, at, earliest) = ("the clearing", round.at, known.at);
                return Err(LedgerError::TooEarly { what, at, earliest });
            }
        }
        let certified = round.objection.is_none() && round.welfare <= round.bound;
        if !certified && round.purchases > 0 {
            return Err(LedgerError::NotCertified { at: round.at });
        }
        self.round = Some((round, 0));
        Ok(Applied::New)
    }

    pub(super) fn form_contract(&mut self, contract: Contract, formed: RecordNumber) -> Outcome {
        if let Some(known) = self.contracts.get(&contract.id) {
            return again("contract", &contract.id, &known.contract, &contract);
        }
        let aggregate = self
            .aggregates
            .get(&contract.aggregate)
            .ok_or_else(|| unknown("aggregated FlexOffer", &contract.aggregate))?;
        if let Some(closed) =
            aggregate.members.iter().find(|member| !self.is_offered_in(member, &aggregate.id))
        {
            return Err(LedgerError::NotOpen { offer: closed.clone() });
        }
        let next = self.contract_count() + 1;
        if contract.number != next {
            let (contract, number) = (contract.id.clone(), contract.number);
            return Err(LedgerError::ContractNumber { contract, number, next });
        }
        let (at, deadline) = (contract.formed_at, aggregate.assignment_before);
        if at >= deadline {
            return Err(LedgerError::TooLate { what: "the contract", at, deadline });
        }
        if let Some((begun, _)) = contract.deviation.iter().find(|(slot, _)| slot.start() < at) {
            return Err(LedgerError::TooLate {
                what: "a change of what has begun",
                at,
                deadline: begun.start(),
            });
        }
        let bought_in =
            self.round.as_ref().filter(|(round, bought)| round.at == at && *bought < round.purchases);
        if bought_in.is_none() {
            return Err(LedgerError::NotCleared { contract: contract.id.clone() });
        }
        aggregate.check_schedule(&contract.schedule)?;
        let (lone, beside) = self.lone_part(aggregate, &contract)?;
        let differs = |what| {
            let (contract, aggregate) = (contract.id.clone(), aggregate.id.clone());
            Err(LedgerError::ContractContents { contract, aggregate, what })
        };
        if contract.deviation != aggregate.deviation(&contract.schedule) {
            return differs("deviation");
        }
        if contract.prices != aggregate.prices || contract.zone != aggregate.zone {
            return differs("price or zone");
        }
        if contract.cost.0 != cost(&contract.deviation, &contract.prices).0.saturating_add(beside.0) {
            return differs("cost");
        }
        if let Some(what) = self.wrong_prices(&contract) {
            return differs(what);
        }
        for member in aggregate.members.clone() {
            self.set_status(&member, OfferStatus::Contracted);
            if let Some(record) = self.offers.get_mut(&member) {
                record.contract = Some(contract.id.clone());
            }
        }
        for bid in &contract.bids {
            self.bought.entry(bid.clone()).or_default().push(contract.id.clone());
        }
        if let Some((_, bought)) = &mut self.round {
            *bought += 1;
        }
        self.groups_sold.extend(lone.and_then(|lone| lone.group));
        self.unsold.remove(&contract.aggregate);
        self.unassigned.insert(contract.id.clone());
        let assigned = RecordNumber::default();
        self.contracts.insert(ContractRecord { contract, assignments: None, formed, assigned });
        Ok(Applied::New)
    }

    /// What an aggregate of one offer asks beyond its sum, and beside its prices for a contract; refused where the offer does
    /// not accept the schedule or its group is sold.
    fn lone_part(
        &self,
        aggregate: &AggregatedFlexOffer,
        contract: &Contract,
    ) -> Result<(Option<LoneTerms>, Money), LedgerError> {
        let Some(lone) = self.lone_terms(aggregate) else { return Ok((None, Money::ZERO)) };
        for member in &aggregate.members {
            self.record(member)?.offer.check_schedule(&contract.schedule)?;
            if let Some(group) = lone.group.as_ref().filter(|group| self.groups_sold.contains(*group)) {
                return Err(LedgerError::GroupSold { offer: member.clone(), group: group.1.clone() });
            }
        }
        let beside = lone.beside(&aggregate.default_schedule, &contract.schedule);
        Ok((Some(lone), beside))
    }

    pub(super) fn assign(
        &mut self,
        id: &ContractId,
        assignments: Vec<Assignment>,
        assigned: RecordNumber,
    ) -> Outcome {
        let record = self.contracts.get(id).ok_or_else(|| unknown("contract", id))?;
        if let Some(known) = &record.assignments {
            return again("assignment of contract", id, known, &assignments);
        }
        let refuse = |what| Err(LedgerError::AssignmentContents { contract: id.clone(), what });
        let contract = &record.contract;
        let Some(aggregate) = self.aggregates.get(&contract.aggregate) else {
            return Err(unknown("aggregated FlexOffer", &contract.aggregate));
        };
        let mut given: Vec<&FlexOfferId> = assignments.iter().map(|assignment| &assignment.offer).collect();
        let mut wanted: Vec<&FlexOfferId> = aggregate.members.iter().collect();
        given.sort_unstable();
        wanted.sort_unstable();
        if given != wanted {
            return refuse("not every member has exactly one part");
        }
        for assignment in &assignments {
            let offer = &self.record(&assignment.offer)?.offer;
            offer.check_schedule(&assignment.schedule)?;
            if assignment.deviation != offer.deviation(&assignment.schedule) {
                return refuse("a deviation differs from schedule and default schedule");
            }
            let moved = assignment.schedule.start.0 - offer.start_after.0;
            if moved != contract.schedule.start.0 - aggregate.start_after.0 {
                return refuse("a part moves by another time");
            }
        }
        if !adds_up(&assignments, &contract.schedule) {
            return refuse("the parts do not add up to the schedule");
        }
        if !is_one_sided(&assignments) {
            return refuse("parts deviate against each other");
        }
        self.unassigned.remove(id);
        (0_u32..).zip(&assignments).for_each(|(part, assignment)| self.order(part, assignment));
        if let Some(record) = self.contracts.get_mut(id) {
            (record.assignments, record.assigned) = (Some(assignments), assigned);
        }
        Ok(Applied::New)
    }

    fn order(&mut self, part: u32, assignment: &Assignment) {
        let Some(place) = self.offers.place(&assignment.offer) else { return };
        let Some(record) = self.offers.at_mut(place) else { return };
        record.part = part;
        let (offer, id) = (&record.offer, &assignment.offer);
        let (usage_point, device, prosumer) = (offer.usage_point, offer.device, offer.prosumer);
        let (covered, end) = (offer.default_schedule.slots(), offer.default_schedule.end());
        let until = assignment.schedule.end().max(end).start();
        record.status = OfferStatus::Assigned { until };
        self.open_offers.remove(id);
        self.unactivated.insert((prosumer, place));
        for &(slot, energy) in &assignment.deviation {
            add(self.planned.entry((slot, usage_point)).or_default(), energy);
            add(self.contracted.entry(device, slot), energy);
            self.wait_for(device, place, slot);
            self.totals.order(energy);
        }
        self.expect_rebound(assignment, (device, place), covered);
    }

    pub(super) fn assignment(&self, contract: &ContractId, offer: &FlexOfferId) -> Option<&Assignment> {
        let parts = self.contracts.get(contract)?.assignments.as_ref()?;
        let record = self.offers.get(offer).filter(|record| record.contract.as_ref() == Some(contract))?;
        parts.get(record.part as usize)
    }

    pub(super) fn issue_activation(&mut self, activation: Activation, issued: RecordNumber) -> Outcome {
        if let Some(known) = self.activations.get(&activation.id) {
            return again("activation", &activation.id, &known.activation, &activation);
        }
        let unknown = || unknown("FlexOffer", &activation.offer);
        let place = self.offers.place(&activation.offer).ok_or_else(unknown)?;
        let record = self.offers.at(place).ok_or_else(unknown)?;
        let differs = |what| Err(LedgerError::ActivationContents { activation: activation.id.clone(), what });
        let Some(part) = self.assignment(&activation.contract, &activation.offer) else {
            return differs("contract");
        };
        if let Some(first) = record.activation.clone() {
            let (offer, second) = (activation.offer.clone(), activation.id.clone());
            return Err(LedgerError::ActivatedTwice { offer, first, second });
        }
        if activation.device != record.offer.device {
            return differs("device");
        }
        if activation.schedule != part.schedule {
            return differs("schedule");
        }
        if activation.replaces_from != record.offer.default_schedule.start {
            return differs("first slot of the default schedule");
        }
        let prosumer = record.offer.prosumer;
        if let Some(record) = self.offers.at_mut(place) {
            record.activation = Some(activation.id.clone());
        }
        self.unactivated.remove(&(prosumer, place));
        let end = activation.schedule.end();
        let order = self.activations.insert(ActivationRecord { activation, answer: None, issued });
        self.unanswered.insert((prosumer, end, order));
        Ok(Applied::New)
    }

    pub(super) fn answer_activation(
        &mut self,
        status: ActivationStatus,
        at: Timestamp,
        answered: RecordNumber,
    ) -> Outcome {
        let (id, accepted) = (&status.activation, status.accepted);
        let order = self.activations.place(id).ok_or_else(|| unknown("activation", id))?;
        let record = self.activations.at_mut(order).ok_or_else(|| unknown("activation", id))?;
        if let Some(known) = &record.answer {
            return again("answer to activation", id, &known.status.accepted, &status.accepted);
        }
        if status.device != record.activation.device {
            return Err(LedgerError::ActivationContents { activation: id.clone(), what: "device" });
        }
        let Activation { contract, offer, schedule, .. } = &record.activation;
        let (contract, offer, end) = (contract.clone(), offer.clone(), schedule.end());
        let of = self.offers.get(&offer).ok_or_else(|| unknown("FlexOffer", &offer))?;
        let (prosumer, usage_point) = (of.offer.prosumer, of.offer.usage_point);
        self.unanswered.remove(&(prosumer, end, order));
        self.totals.confirmed += u64::from(accepted);
        record.answer = Some(Answered { status, at, record: answered });
        if !accepted {
            let deviation = self.assignment(&contract, &offer).map(|part| part.deviation.clone());
            for (slot, energy) in deviation.unwrap_or_default() {
                add(self.planned.entry((slot, usage_point)).or_default(), -energy);
            }
        }
        Ok(Applied::New)
    }
}

/// Whether parts take together what a schedule takes, in every slot.
fn adds_up(parts: &[Assignment], whole: &Schedule) -> bool {
    let mut sums: BTreeMap<Slot, i128> = BTreeMap::new();
    let taken = parts.iter().map(|part| (&part.schedule, 1)).chain([(whole, -1)]);
    for (schedule, sign) in taken {
        for (slot, energy) in schedule.slots().zip(&schedule.energies) {
            *sums.entry(slot).or_default() += sign * i128::from(energy.0);
        }
    }
    sums.values().all(|&sum| sum == 0)
}

/// Whether no two parts deviate against each other in one slot: then each is paid for out of what was bought.
fn is_one_sided(parts: &[Assignment]) -> bool {
    let mut ways: BTreeMap<Slot, bool> = BTreeMap::new();
    let mut deviations = parts.iter().flat_map(|part| &part.deviation);
    deviations.all(|&(slot, energy)| *ways.entry(slot).or_insert(energy.0 > 0) == (energy.0 > 0))
}

pub(super) fn add(sum: &mut EnergyMwh, energy: EnergyMwh) {
    *sum = EnergyMwh(sum.0.saturating_add(energy.0));
}
