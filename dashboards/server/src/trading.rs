//! What was bought of a prosumer's offers (requirement G96): commitments that are not all settled, and what the settled ones
//! came to. A prosumer sees its own.

use crate::api::json_answer;
use crate::deposit::query_malformed;
use crate::door::{Trade, TradedSlot, TradesAsked};
use crate::fman::prosumer;
use crate::guard::{allow, stopped};
use crate::owned::Asking;
use crate::page::shortened;
use crate::problem::Problem;
use crate::serve::State;
use access::{Action, Principal, Resource};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use market::FlexOfferId;
use market::settlement::{Account, SlotSettlement};
use serde_json::{Value, json};
use std::sync::Arc;

/// Trades that are returned when no limit is given.
const LIMIT: usize = 100;
/// Trades that are returned at most.
const LIMIT_MAX: usize = 1_000;
const RIGHT: (Resource, Action) = (Resource::Bill, Action::Read);

type Query = web::Query<Vec<(String, String)>>;

/// `GET /api/v1/trading/{prosumer}/commitments`.
pub async fn commitments(
    request: HttpRequest,
    path: web::Path<String>,
    asked: Query,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    list(&request, &path, &asked, false, &state).await
}

/// `GET /api/v1/trading/{prosumer}/history`.
pub async fn history(
    request: HttpRequest,
    path: web::Path<String>,
    asked: Query,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    list(&request, &path, &asked, true, &state).await
}

async fn list(
    request: &HttpRequest,
    path: &str,
    asked: &[(String, String)],
    over: bool,
    state: &State,
) -> Result<HttpResponse, Problem> {
    let prosumer = prosumer(path)?;
    let (after, most) = query(asked)?;
    let principal = request.extensions().get::<Principal>().cloned();
    // Before it is looked for: what somebody else sold is nobody's business.
    let object = format!("trades of {prosumer}");
    allow(&state.served.access, principal.as_ref(), RIGHT, Some(prosumer), object).await?;
    let place = Asking::of(principal, RIGHT).place(state)?;
    let market = Arc::clone(&state.served.market);
    let found = web::block(move || {
        let _place = place;
        market.trades(&TradesAsked { prosumer, over, after, most })
    });
    let found = found.await.map_err(|_| stopped())?;
    let trades: Vec<Value> = found.trades.iter().map(shown).collect();
    Ok(json_answer(&json!({ "prosumer": prosumer, "trades": trades, "next": found.next })))
}

fn query(asked: &[(String, String)]) -> Result<(Option<FlexOfferId>, usize), Problem> {
    let (mut after, mut limit) = (None, LIMIT);
    for (name, text) in asked {
        match name.as_str() {
            "after" => {
                let id = FlexOfferId::new(text);
                after = Some(id.map_err(|error| query_malformed(format!("after: {error}")))?);
            }
            "limit" => limit = crate::deposit::limit(text, LIMIT_MAX)?,
            _ => return Err(query_malformed(format!("{:?} is none of after, limit", shortened(name)))),
        }
    }
    Ok((after, limit))
}

fn shown(trade: &Trade) -> Value {
    let earned = trade.slots.iter().filter_map(|slot| slot.settled.as_ref()).map(|one| own(trade, one));
    json!({
        "contract": trade.contract,
        "offer": trade.offer,
        "device": trade.device,
        "agreed_at": trade.agreed_at,
        "asked": trade.prices,
        "slots": trade.slots.iter().map(|slot| slot_shown(trade, slot)).collect::<Vec<_>>(),
        "earned": earned.fold(0_i64, i64::saturating_add),
    })
}

/// What a settlement brings the prosumer, or costs it, micro-units.
fn own(trade: &Trade, settled: &SlotSettlement) -> i64 {
    let postings =
        settled.postings.iter().filter(|posting| posting.account == Account::Prosumer(trade.prosumer));
    postings.map(|posting| posting.amount.0).fold(0, i64::saturating_add)
}

fn slot_shown(trade: &Trade, slot: &TradedSlot) -> Value {
    let settled = slot.settled.as_ref().map(|settled| {
        json!({
            "baseline": settled.baseline,
            "metered": settled.metered,
            "quality": settled.quality,
            "delivered": settled.delivered,
            "netted": settled.netted,
            "rebound": settled.rebound,
            "earned": own(trade, settled),
            "cites": settled.cites,
        })
    });
    json!({ "start": slot.slot.start(), "ordered": slot.ordered, "settled": settled })
}
