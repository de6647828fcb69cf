//! What the use of the grid costs (requirement G27): the DSO's prices of elements, added up on the way to a usage point.

use crate::api::json_answer;
use crate::deposit::{now, query_malformed};
use crate::forecasts::number;
use crate::page::shortened;
use crate::problem::Problem;
use crate::serve::State;
use actix_web::{HttpResponse, web};
use grid::{Money, Slot, Timestamp, UsagePointId};
use market::transfer_price::TransferPart;
use serde_json::{Value, json};

/// Quarter-hours that are told at most.
const SLOTS_MAX: u16 = 192;
/// Those of a day.
const SLOTS: u16 = 96;
/// Largest energy, kWh.
const ENERGY_MAX: f64 = 1e6;

struct Asked {
    point: UsagePointId,
    from: Option<Timestamp>,
    slots: u16,
    energy_kwh: Option<f64>,
}

/// `GET /api/v1/transfer-costs`.
pub async fn costs(
    asked: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let asked = read(&asked)?;
    let first = asked.from.map_or_else(|| now(&state), Ok)?.slot();
    let costs = state.served.market.transfer_costs(asked.point, first, asked.slots);
    let costs =
        costs.ok_or_else(|| Problem::not_found(format!("there is no usage point {}", asked.point)))?;
    let slots: Vec<Value> =
        (0..).zip(&costs).map(|(after, parts)| slot(first.plus(after), parts, asked.energy_kwh)).collect();
    Ok(json_answer(&json!({ "usage_point": asked.point, "unit": "EUR/kWh", "slots": slots })))
}

fn read(asked: &[(String, String)]) -> Result<Asked, Problem> {
    let (mut point, mut from, mut slots, mut energy_kwh) = (None, None, SLOTS, None);
    for (name, text) in asked {
        let wrong = |what: String| query_malformed(format!("{name}: {:?} is {what}", shortened(text)));
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match name.as_str() {
            "usage_point" => point = Some(UsagePointId(number(name, text)?)),
            "from" => from = Some(text.parse().map_err(|_| wrong("no instant".to_owned()))?),
            "slots" => {
                let number = text.parse().ok().filter(|count| plain && (1..=SLOTS_MAX).contains(count));
                slots = number.ok_or_else(|| wrong(format!("no number from 1 to {SLOTS_MAX}")))?;
            }
            "energy_kwh" => {
                let number = text.parse().ok().filter(|energy| (0.0..=ENERGY_MAX).contains(energy));
                energy_kwh = Some(number.ok_or_else(|| wrong(format!("no number from 0 to {ENERGY_MAX}")))?);
            }
            _ => {
                let detail = format!("{:?} is none of usage_point, from, slots, energy_kwh", shortened(name));
                return Err(query_malformed(detail));
            }
        }
    }
    let point = point.ok_or_else(|| query_malformed("usage_point is missing".to_owned()))?;
    Ok(Asked { point, from, slots, energy_kwh })
}

fn eur(money: Money) -> f64 {
    money.0 as f64 / 1e6
}

fn slot(slot: Slot, parts: &[TransferPart], energy_kwh: Option<f64>) -> Value {
    let per_kwh = Money(parts.iter().map(|part| part.per_kwh.0).fold(0, i64::saturating_add));
    let part = |part: &TransferPart| json!({ "branch": part.branch, "eur_per_kwh": eur(part.per_kwh) });
    let mut told = json!({
        "start": slot.start(),
        "eur_per_kwh": eur(per_kwh),
        "parts": parts.iter().map(part).collect::<Vec<_>>(),
    });
    if let Some(energy) = energy_kwh {
        told["cost_eur"] = json!(eur(per_kwh) * energy);
    }
    told
}
