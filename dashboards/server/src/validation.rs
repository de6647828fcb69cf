//! What an offer is judged by: of one device, what it would have taken, what it was to take, and what it took.

use crate::api::json_answer;
use crate::deposit::{instant, query_malformed};
use crate::guard::stopped;
use crate::history::historian;
use crate::owned::Asking;
use crate::page::shortened;
use crate::problem::Problem;
use crate::serve::State;
use access::{Action, Resource};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use grid::telemetry::Element;
use grid::{DeviceId, EnergyMwh, PointId, Quality, Quantity, Slot, Timestamp};
use history::{Kind, Query, Versions};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Quarter-hours that may be asked for at once: 31 days.
const SLOTS_MAX: i64 = 31 * 96;
/// The span when no start is given.
const SPAN: Duration = Duration::from_secs(86_400);
const RIGHT: (Resource, Action) = (Resource::Validation, Action::Read);

/// `GET /api/v1/validation/{element}`.
pub async fn find(
    request: HttpRequest,
    path: web::Path<String>,
    asked: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let plain = !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_digit());
    let device = path.parse().ok().filter(|_| plain).map(DeviceId).ok_or_else(|| {
        let detail = format!("{:?} is no number of a device", shortened(&path));
        Problem::new(StatusCode::BAD_REQUEST, "id_malformed", detail)
    })?;
    let now = state.served.picture.borrow().clock.now;
    let (first, end) = slots(&asked, now)?;
    let element = Element::Device(device);
    // Before it is looked for: which devices there are is told to none but those who may see them.
    let asking = Asking::new(&request, RIGHT);
    asking.require(&state, element, format!("device {device}")).await?;
    if state.served.market.owners(element).is_empty() {
        return Err(Problem::not_found(format!("there is no device {device}")));
    }
    let (place, market) = (asking.place(&state)?, Arc::clone(&state.served.market));
    let ordered = web::block(move || {
        let _place = place;
        market.ordered(device, first, end)
    });
    let ordered = ordered.await.map_err(|_| stopped())?;
    let metered = metered(&state, device, first, end).await?;
    let slots = (first.0..end.0).map(Slot);
    let (mut baseline, mut scheduled, mut actual, mut quality) = (vec![], vec![], vec![], vec![]);
    for slot in slots {
        let order = ordered.get(&slot);
        // What is settled with stands before what the history has, which keeps also what is not used.
        let took = order.and_then(|order| order.metered).or_else(|| metered.get(&slot).copied());
        baseline.push(order.map(|order| order.baseline));
        scheduled.push(order.map(|order| order.scheduled));
        actual.push(took.map(|(energy, _)| energy));
        quality.push(took.map_or(Quality::Missing, |(_, quality)| quality));
    }
    let answer = json!({
        "device": device, "start": first.start(), "interval_s": Slot::SECONDS, "unit": "mWh",
        "baseline": baseline, "scheduled": scheduled, "actual": actual, "quality": quality,
    });
    Ok(json_answer(&answer))
}

/// The quarter-hours of the span that was asked for; a day until now when nothing is said.
fn slots(asked: &[(String, String)], now: Timestamp) -> Result<(Slot, Slot), Problem> {
    let (mut from, mut until) = (None, None);
    for (name, text) in asked {
        match name.as_str() {
            "from" => from = Some(instant("from", text)?),
            "until" => until = Some(instant("until", text)?),
            _ => return Err(query_malformed(format!("{:?} is none of from, until", shortened(name)))),
        }
    }
    let until = until.unwrap_or(now);
    let from = from.unwrap_or(until.minus(SPAN));
    // A slot that was begun belongs to it.
    let (first, last) = (from.slot(), until.minus(Duration::from_nanos(1)).slot());
    if from >= until {
        return Err(query_malformed(format!("from ({from}) is not before until ({until})")));
    }
    if last.0 - first.0 >= SLOTS_MAX {
        return Err(query_malformed(format!("at most {SLOTS_MAX} quarter-hours at once")));
    }
    Ok((first, last.plus(1)))
}

/// What the history says that the device's meter said, by slot.
async fn metered(
    state: &State,
    device: DeviceId,
    first: Slot,
    end: Slot,
) -> Result<BTreeMap<Slot, (EnergyMwh, Quality)>, Problem> {
    let Ok(historian) = historian(state) else { return Ok(BTreeMap::new()) };
    let point = PointId { element: Element::Device(device), quantity: Quantity::SlotEnergy, phase: None };
    // A slot is read at its end.
    let (from, until) = (first.plus(1).start(), end.start().plus(Duration::from_secs(1)));
    let (kind, points, versions) = (Kind::Energy, vec![point], Versions::Newest);
    let query = Query { kind, points, from, until, versions, most: 2 * SLOTS_MAX as usize };
    let values = historian.query(query).await.map_err(|error| crate::history::unreadable(&error))?;
    let energy = |value: history::Value| {
        let energy = EnergyMwh::from_watt_hours(value.value).ok()?;
        Some((value.measured_at.slot().plus(-1), (energy, value.quality)))
    };
    Ok(values.into_iter().filter_map(energy).collect())
}
