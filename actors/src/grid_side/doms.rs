//! DOMS: turns the forecast into an outlook and the outlook into what the DSO asks for.

use crate::area::{Area, congestion_point};
use crate::journal::{Books, JournalWriter};
use crate::market_side::matcher::MatcherMsg;
use crate::observer::Seen;
use crate::runtime::stage::slot_from;
use crate::runtime::{Address, Context, Stage};
use grid::{Congestion, EnergyMwh, Outlook, Slot, Timestamp, UsagePointForecast, UsagePointId};
use market::{BidId, BidInterval, CongestionPoint, DomsBid, GridRow, MarketEvent, Need};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// After so many needs in a row that were out of date it is told: nothing is bought meanwhile.
const STALE_MAX: u32 = 3;

/// What can wake DOMS.
#[derive(Debug, Clone)]
pub enum DomsMsg {
    /// A new belief about the day ahead.
    ForecastIssued(Arc<Vec<UsagePointForecast>>),
    /// So many estimates in a row are missing: nothing is asked for until there is one again, and a forecast with it.
    Unseen {
        /// How many.
        missed: u32,
    },
    /// The need was out of date: whatever was asked for before still stands.
    NeedRefused,
    /// The outlook is ready, or the reason why there is none.
    OutlookReady(Result<Arc<Ahead>, String>),
}

/// The day ahead with and without what is already contracted.
#[derive(Debug, Clone, PartialEq)]
pub struct Ahead {
    /// With the contracted deviations.
    pub planned: Outlook,
    /// As if nothing had been contracted.
    pub without_flexibility: Outlook,
    /// How many contracts were taken into account.
    pub contracts_seen: u64,
}

/// The state of DOMS.
pub struct Doms {
    area: Arc<Area>,
    books: Books,
    working: bool,
    asking: bool,
    /// Whether too many estimates are missing.
    unseen: bool,
    /// Needs in a row that were out of date, and when the newest need was made that was not.
    stale: (u32, Option<Timestamp>),
    journal: JournalWriter,
    matcher: Address<MatcherMsg>,
    observer: Address<Seen>,
}

impl Doms {
    /// DOMS of an area.
    pub fn new(
        area: Arc<Area>,
        books: Books,
        journal: JournalWriter,
        matcher: Address<MatcherMsg>,
        observer: Address<Seen>,
    ) -> Self {
        let asking = books.read(|ledger| ledger.need().is_some_and(|need| !need.bids.is_empty()));
        let (unseen, stale) = Default::default();
        Self { area, books, working: false, asking, unseen, stale, journal, matcher, observer }
    }

    fn on_forecast(&mut self, forecasts: Arc<Vec<UsagePointForecast>>, cx: &mut Context<DomsMsg>) {
        self.unseen = false;
        if self.working {
            return; // the next forecast is five minutes away and will be newer
        }
        self.working = true;
        let (area, now) = (self.area.clone(), cx.now());
        let points = area.feeder.network().usage_points().iter().zip(0..);
        let place: BTreeMap<UsagePointId, usize> = points.map(|(point, at)| (point.id, at)).collect();
        let horizon = forecasts.first().map_or(&[][..], |forecast| &forecast.slots);
        let (planned, contracts_seen) = self.books.read(|ledger| {
            let mut planned = BTreeMap::new();
            if let (Some(first), Some(last)) = (horizon.first(), horizon.last()) {
                let ahead = (first.slot, UsagePointId(0))..(last.slot.plus(1), UsagePointId(0));
                let ordered = ledger.planned_deviation().range(ahead).filter(|(_, energy)| energy.0 != 0);
                planned.extend(ordered.filter_map(|(&(slot, point), energy)| {
                    Some(((*place.get(&point)?, slot), energy.watt_hours() / Slot::HOURS))
                }));
            }
            // A contract that is not split yet is not in the plan: the need made from this outlook then counts one
            // contract too few and is refused as out of date.
            let unplanned = ledger.contracts_without_assignment().count() as u64;
            (planned, ledger.contract_count() - unplanned)
        });
        let panicked = DomsMsg::OutlookReady(Err("the outlook panicked".into()));
        cx.compute(panicked, move || {
            DomsMsg::OutlookReady(look_ahead(&area, &forecasts, &planned, contracts_seen, now).map(Arc::new))
        });
    }

    fn on_outlook(&mut self, outcome: Result<Arc<Ahead>, String>, cx: &mut Context<DomsMsg>) {
        self.working = false;
        let ahead = match outcome {
            Ok(ahead) => ahead,
            Err(reason) => {
                tracing::warn!(%reason, "no outlook");
                cx.send(&self.observer, Seen::Rejected { code: "no_outlook", reason });
                return;
            }
        };
        cx.send(&self.observer, Seen::LookedAhead(ahead.clone()));
        if self.unseen {
            return;
        }
        let margin = self.area.rules.gate_closure + crate::market_side::matcher::ROUND_PERIOD;
        let need = need_from(&ahead, &self.area, slot_from(cx.now().plus(margin)), cx.now());
        // An empty need is worth recording only when it ends one that was not.
        if need.bids.is_empty() && !self.asking {
            return;
        }
        self.place(need, cx);
    }

    fn place(&mut self, need: Need, cx: &mut Context<DomsMsg>) {
        self.asking = !need.bids.is_empty();
        let placed = self.matcher.sending(MatcherMsg::PlaceNeed(Arc::new(need.clone())));
        let event = MarketEvent::NeedPlaced { need, at: cx.now() };
        let refused = cx.myself().sending(DomsMsg::NeedRefused);
        self.journal.record_or(cx, event, vec![placed], vec![refused]);
    }

    /// Takes back what is asked for: what the grid does may be something else by now.
    fn on_unseen(&mut self, missed: u32, cx: &mut Context<DomsMsg>) {
        if !std::mem::replace(&mut self.unseen, true) {
            let reason = format!("{missed} estimates in a row are missing: nothing is asked for meanwhile");
            cx.send(&self.observer, Seen::Rejected { code: "grid_unseen", reason });
        }
        if self.asking {
            let (issued_at, contracts_seen) = (cx.now(), self.books.read(market::Ledger::contract_count));
            self.place(Need { issued_at, contracts_seen, bids: Vec::new(), rows: Vec::new() }, cx);
        }
    }

    /// One need that a contract overtook is nothing: the next one comes in minutes. When none comes through, something is wrong.
    fn on_refused(&mut self, cx: &mut Context<DomsMsg>) {
        self.asking = true;
        if self.books.read_only().is_some() {
            return;
        }
        let (newest, unsplit) = self.books.read(|ledger| {
            let unsplit = ledger.contracts_without_assignment().next().map(|contract| contract.id.clone());
            (ledger.need().map(|need| need.issued_at), unsplit)
        });
        let count = if self.stale.1 == newest { self.stale.0 + 1 } else { 1 };
        self.stale = (count, newest);
        if count % STALE_MAX == 0 {
            let why = unsplit.map_or_else(
                || "each was overtaken by a contract".to_owned(),
                |contract| format!("contract {contract} is not split"),
            );
            let reason = format!("{count} needs in a row were out of date, so nothing is bought: {why}");
            tracing::error!(%reason, "nothing is bought");
            cx.send(&self.observer, Seen::Rejected { code: "need_out_of_date", reason });
        }
    }
}

impl Stage for Doms {
    type Msg = DomsMsg;

    fn handle(&mut self, msg: DomsMsg, cx: &mut Context<DomsMsg>) {
        match msg {
            DomsMsg::ForecastIssued(forecasts) => self.on_forecast(forecasts, cx),
            DomsMsg::OutlookReady(outcome) => self.on_outlook(outcome, cx),
            DomsMsg::Unseen { missed } => self.on_unseen(missed, cx),
            DomsMsg::NeedRefused => self.on_refused(cx),
        }
    }
}

fn look_ahead(
    area: &Area,
    forecasts: &[UsagePointForecast],
    planned: &BTreeMap<(usize, Slot), f64>,
    contracts_seen: u64,
    now: Timestamp,
) -> Result<Ahead, String> {
    let run = |forecasts: &[UsagePointForecast], deviation_w: &(dyn Fn(usize, Slot) -> f64 + Sync)| {
        let looked = area.outlooks.outlook(forecasts, deviation_w, &area.dso.outlook, now);
        looked.map_err(|error| error.to_string())
    };
    let with = run(forecasts, &|point, slot| planned.get(&(point, slot)).copied().unwrap_or(0.0))?;
    // Both differ only where something is contracted.
    let contracted: BTreeSet<Slot> = planned.keys().map(|(_, slot)| *slot).collect();
    let mut without = with.clone();
    if !contracted.is_empty() {
        let elsewhere = run(&only(forecasts, &contracted), &|_, _| 0.0)?;
        let key = |element: &Congestion| (element.branch, element.phase, element.slot);
        let elsewhere: BTreeMap<_, _> = elsewhere.elements.iter().map(|one| (key(one), *one)).collect();
        for element in &mut without.elements {
            *element = elsewhere.get(&key(element)).copied().unwrap_or(*element);
        }
    }
    Ok(Ahead { planned: with, without_flexibility: without, contracts_seen })
}

/// The forecasts of some slots only.
fn only(forecasts: &[UsagePointForecast], slots: &BTreeSet<Slot>) -> Vec<UsagePointForecast> {
    let chosen = |forecast: &UsagePointForecast| UsagePointForecast {
        slots: forecast.slots.iter().filter(|one| slots.contains(&one.slot)).copied().collect(),
        ..forecast.clone()
    };
    forecasts.iter().map(chosen).collect()
}

/// The bids that ask for what is missing from `first` on, and the head-room of every limited element and slot.
fn need_from(ahead: &Ahead, area: &Area, first: Slot, now: Timestamp) -> Need {
    let mut rows = Vec::new();
    let mut missing: BTreeMap<CongestionPoint, BTreeMap<Slot, EnergyMwh>> = BTreeMap::new();
    for element in ahead.planned.elements.iter().filter(|element| element.slot >= first) {
        let point = CongestionPoint { branch: element.branch, phase: element.phase };
        // The outlook is finite; a value too large for the market would mean a broken network model.
        let Ok(headroom) = EnergyMwh::from_watt_hours(element.headroom_w * Slot::HOURS) else { continue };
        rows.push(GridRow { congestion_point: point, slot: element.slot, headroom });
        if headroom <= -area.dso.need_min {
            missing.entry(point).or_default().insert(element.slot, headroom);
        }
    }
    let order: Vec<_> = area.limited.iter().map(congestion_point).collect();
    let mut bids = Vec::new();
    for (place, point) in order.iter().enumerate() {
        let Some(slots) = missing.get(point) else { continue };
        let (Some(start), Some(end)) = (slots.keys().next(), slots.keys().next_back()) else { continue };
        let interval = |slot: i64| BidInterval {
            schedule_change: slots.get(&Slot(slot)).copied().unwrap_or_default(),
            price: area.dso.value_per_kwh,
        };
        let Ok(id) = BidId::new(format!("bid-{}-{}", now.seconds(), place)) else { continue };
        let intervals = (start.0..=end.0).map(interval).collect();
        bids.push(DomsBid { id, congestion_point: *point, start: *start, intervals });
    }
    Need { issued_at: now, contracts_seen: ahead.contracts_seen, bids, rows }
}
