//! The matcher (FMAR): clears the DSO's need against aggregated FlexOffers in rounds.
//!
//! Rounds, not continuous matching: the same book gives the same result on every machine. A round comes on the next full
//! second after the book has changed; the same book is not cleared twice, so there is none at gate closure of its own.

use super::aggregator::AggregatorMsg;
use crate::area::Area;
use crate::figures::Durations;
use crate::journal::{Books, JournalWriter};
use crate::observer::Seen;
use crate::runtime::{Address, Context, Stage, Stopwatch};
use grid::Timestamp;
use market::{
    AggregateId, AggregatedFlexOffer, Book, Clearing, Contract, ContractId, LoneTerms, MarketEvent, Need,
    RoundProof, RoundRecord, clear,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Shortest time between rounds.
pub const ROUND_PERIOD: Duration = Duration::from_secs(1);
/// A need older than this is not bought for any more; while something is missing a new one comes every five minutes.
const NEED_HOLDS: Duration = Duration::from_secs(15 * 60);

/// What can wake the matcher.
#[derive(Debug, Clone)]
pub enum MatcherMsg {
    /// The DSO's newest need; replaces the older one.
    PlaceNeed(Arc<Need>),
    /// An aggregated offer; who sends it will be told of a contract.
    PlaceOffer {
        /// The offer.
        aggregate: Arc<AggregatedFlexOffer>,
        /// What it asks beyond that, if it is no sum of offers.
        lone: Option<LoneTerms>,
        /// The aggregator.
        from: Address<AggregatorMsg>,
    },
    /// An aggregated offer is taken back.
    WithdrawOffer(AggregateId),
    /// A contract of this aggregate could not be recorded: it is not sold, and may be placed again.
    ContractRefused(AggregateId),
    /// A clearing could not be recorded; nor will its contracts be.
    RoundRefused,
    /// Time to clear.
    RoundDue,
}

/// The state of the matcher.
pub struct Matcher {
    area: Arc<Area>,
    book: Book,
    /// Aggregates that were bought; placing one of them again is a repetition that came late.
    sold: BTreeSet<AggregateId>,
    /// Who is told of the purchase of each offer.
    sellers: BTreeMap<AggregateId, Address<AggregatorMsg>>,
    /// Whether a round is to come.
    is_due: bool,
    contracts: u64,
    books: Books,
    journal: JournalWriter,
    observer: Address<Seen>,
    /// How long each round took.
    rounds: Durations,
}

impl Matcher {
    /// A matcher with the newest need and no offers; aggregators place theirs again every minute.
    pub fn new(
        area: Arc<Area>,
        books: &Books,
        journal: JournalWriter,
        observer: Address<Seen>,
        rounds: Durations,
    ) -> Self {
        let (contracts, sold, groups_sold, need) = books.read(|ledger| {
            let sold = ledger.contracts().map(|(contract, _)| contract.aggregate.clone()).collect();
            (ledger.contract_count(), sold, ledger.groups_sold().clone(), ledger.fresh_need().cloned())
        });
        let book = Book { need, zones: area.zones.clone(), groups_sold, ..Book::default() };
        let books = books.clone();
        Self {
            area,
            book,
            sold,
            sellers: BTreeMap::new(),
            is_due: false,
            contracts,
            books,
            journal,
            observer,
            rounds,
        }
    }

    /// The book has changed.
    fn changed(&mut self, cx: &mut Context<MatcherMsg>) {
        if !std::mem::replace(&mut self.is_due, true) {
            cx.wake_each(ROUND_PERIOD, Duration::ZERO, MatcherMsg::RoundDue);
        }
    }

    fn on_need(&mut self, need: &Need, cx: &mut Context<MatcherMsg>) {
        // The ledger took the need, so there are as many contracts; a matcher that was restarted while one was on its way to
        // the books has not counted it.
        self.contracts = self.contracts.max(need.contracts_seen);
        // A need that does not know the newest contract would buy the same relief twice.
        if need.contracts_seen == self.contracts {
            self.book.need = Some(need.clone());
            self.changed(cx);
        } else {
            tracing::debug!(seen = need.contracts_seen, known = self.contracts, "need is out of date");
        }
    }

    fn on_offer(
        &mut self,
        offer: &AggregatedFlexOffer,
        lone: Option<LoneTerms>,
        from: Address<AggregatorMsg>,
        cx: &mut Context<MatcherMsg>,
    ) {
        if self.sold.contains(&offer.id) || self.book.offers.contains_key(&offer.id) {
            return;
        }
        if self.book.offers.len() >= self.area.rules.book_offers_max {
            let reason =
                format!("the book holds {} offers, {} is not taken", self.book.offers.len(), offer.id);
            cx.send(&self.observer, Seen::Rejected { code: "book_full", reason });
            return;
        }
        self.book.offers.insert(offer.id.clone(), offer.clone());
        self.book.lone.extend(lone.map(|lone| (offer.id.clone(), lone)));
        self.sellers.insert(offer.id.clone(), from);
        self.changed(cx);
    }

    fn forget(&mut self, aggregate: &AggregateId) {
        self.book.offers.remove(aggregate);
        self.book.lone.remove(aggregate);
        self.sellers.remove(aggregate);
    }

    fn on_round(&mut self, cx: &mut Context<MatcherMsg>) {
        self.is_due = false;
        let now = cx.now();
        if self.book.need.as_ref().is_some_and(|need| now.since(need.issued_at) > NEED_HOLDS) {
            self.book.need = None;
        }
        let late: Vec<_> = (self.book.offers.values())
            .filter(|offer| offer.assignment_before <= now)
            .map(|offer| offer.id.clone())
            .collect();
        late.iter().for_each(|id| self.forget(id));
        // What is bought could not be recorded.
        if self.books.read_only().is_some() {
            return self.changed(cx);
        }
        if self.book.offers.is_empty() || self.book.need.as_ref().is_none_or(|need| need.bids.is_empty()) {
            return;
        }
        let stopwatch = Stopwatch::start();
        let clearing = clear(&self.book, &self.area.rules, now);
        let round = RoundRecord::new(&self.book, &clearing, now);
        let round = round.filter(|round| round.purchases > 0 || round.objection.is_some());
        let round = round.map(|round| {
            let proof = RoundProof::new(&self.book, &self.area.rules, &clearing, now);
            MarketEvent::RoundCleared { round, proof }
        });
        if let Some(objection) = &clearing.objection {
            tracing::error!(%objection, "a clearing was not certified, nothing is bought");
            let reason = objection.clone();
            cx.send(&self.observer, Seen::Rejected { code: "clearing_not_certified", reason });
        }
        if !clearing.accepted.is_empty() {
            // What is bought changes the need; wait for the one that knows it.
            self.book.need = None;
        }
        self.agree(round, &clearing, now, cx);
        self.rounds.count(stopwatch.elapsed());
        cx.send(&self.observer, Seen::Cleared(Arc::new(clearing)));
    }

    /// Records the clearing, then each purchase as a contract.
    fn agree(
        &mut self,
        round: Option<MarketEvent>,
        clearing: &Clearing,
        now: Timestamp,
        cx: &mut Context<MatcherMsg>,
    ) {
        if let Some(round) = round {
            let refused = cx.myself().sending(MatcherMsg::RoundRefused);
            self.journal.record_or(cx, round, Vec::new(), vec![refused]);
        }
        for accepted in &clearing.accepted {
            let Some(offer) = self.book.offers.get(&accepted.aggregate).cloned() else { continue };
            let Some(seller) = self.sellers.get(&offer.id).cloned() else { continue };
            self.contracts += 1;
            let id = ContractId::numbered("contract-", self.contracts);
            let terms = self.area.rules.settlement.clone();
            let contract = Contract::bought(id, self.contracts, accepted.clone(), &offer, terms, now);
            let group = self.book.lone.get(&offer.id).and_then(|lone| lone.group.clone());
            self.book.groups_sold.extend(group);
            self.forget(&offer.id);
            self.sold.insert(offer.id.clone());
            let formed = seller.sending(AggregatorMsg::ContractFormed(Arc::new(contract.clone())));
            let refused = cx.myself().sending(MatcherMsg::ContractRefused(offer.id));
            let event = MarketEvent::ContractFormed { contract };
            self.journal.record_or(cx, event, vec![formed], vec![refused]);
        }
    }
}

impl Stage for Matcher {
    type Msg = MatcherMsg;

    fn started(&mut self, cx: &mut Context<MatcherMsg>) {
        self.changed(cx);
    }

    fn handle(&mut self, msg: MatcherMsg, cx: &mut Context<MatcherMsg>) {
        match msg {
            MatcherMsg::PlaceNeed(need) => self.on_need(&need, cx),
            MatcherMsg::PlaceOffer { aggregate, lone, from } => self.on_offer(&aggregate, lone, from, cx),
            MatcherMsg::WithdrawOffer(id) => self.forget(&id),
            MatcherMsg::ContractRefused(aggregate) => {
                self.sold.remove(&aggregate);
                let known = |ledger: &market::Ledger| (ledger.contract_count(), ledger.groups_sold().clone());
                (self.contracts, self.book.groups_sold) = self.books.read(known);
            }
            MatcherMsg::RoundRefused => tracing::warn!("a clearing could not be recorded, nothing is bought"),
            MatcherMsg::RoundDue => self.on_round(cx),
        }
    }
}
