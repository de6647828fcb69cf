//! Air temperature: what was measured and what is forecast at the site's place.

use crate::api::json_answer;
use crate::deposit::{body, instant, now, query_malformed, read, write};
use crate::page::shortened;
use crate::problem::Problem;
use crate::serve::State;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use grid::{Slot, Timestamp};
use register::weather::{Air, SLOTS_MAX, Temperatures};
use serde::Deserialize;
use serde_json::{Value, json};

/// Quarter-hours before and after the present one that are told when nothing else is asked for: a day, two days.
const TOLD: (i64, i64) = (96, 192);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    kind: Kind,
    /// Now when absent.
    issued_at: Option<Timestamp>,
    start: Timestamp,
    step_minutes: u32,
    air_temperature_c: Vec<f64>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Measured,
    Forecast,
}

/// `POST /api/v1/weather`.
pub async fn give(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let given: Given = body(&request, payload, &state).await?;
    let malformed = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "malformed", detail);
    let slots_each = match given.step_minutes {
        15 => 1,
        60 => 4,
        other => return Err(malformed(format!("step_minutes is {other}; write 15 or 60"))),
    };
    if given.start.slot().start() != given.start {
        return Err(malformed(format!("start {} is not the beginning of a quarter-hour", given.start)));
    }
    let temperatures = Temperatures {
        measured: given.kind == Kind::Measured,
        issued_at: given.issued_at.map_or_else(|| now(&state), Ok)?,
        start: given.start.slot(),
        slots_each,
        celsius: given.air_temperature_c,
    };
    let changed = write(&state, move |register, now| register.weather(&temperatures, now)).await?;
    Ok(json_answer(&json!({ "changed_slots": changed })))
}

/// `GET /api/v1/weather`.
pub async fn tell(
    asked: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let now = now(&state)?;
    let (mut from, mut until) = (now.slot().plus(-TOLD.0), now.slot().plus(TOLD.1));
    for (name, text) in asked.iter() {
        match name.as_str() {
            "from" => from = instant("from", text)?.slot(),
            "until" => {
                let asked = instant("until", text)?;
                // A quarter-hour that has begun is told whole.
                until = asked.slot().plus(i64::from(asked.slot().start() < asked));
            }
            _ => return Err(query_malformed(format!("{:?} is none of from, until", shortened(name)))),
        }
    }
    let count = until.0.saturating_sub(from.0);
    if !(0..=SLOTS_MAX as i64).contains(&count) {
        let detail = format!("from has to lie before until, by {} days at most", SLOTS_MAX / 96);
        return Err(query_malformed(detail));
    }
    let known: Vec<(Slot, Air)> =
        read(&state, move |register| Ok(register.air(from..until).collect())).await?;
    let newest = known.iter().filter(|(_, air)| !air.measured).map(|(_, air)| air.issued_at).max();
    let slots: Vec<Value> = known.iter().map(|(slot, air)| shown(*slot, air)).collect();
    Ok(json_answer(&json!({
        "unit": "°C",
        "slots": slots,
        "forecast_issued_at": newest,
        "forecast_age_s": newest.map(|at| now.since(at).as_secs()),
    })))
}

fn shown(slot: Slot, air: &Air) -> Value {
    json!({
        "start": slot.start(),
        "air_temperature_c": f64::from(air.milli_celsius) / 1e3,
        "kind": if air.measured { "measured" } else { "forecast" },
        "issued_at": air.issued_at,
    })
}
