//! Bills of delegated trading: what a prosumer gets for a month. A prosumer sees its own.

use crate::api::json_answer;
use crate::door::BillKey;
use crate::guard::{allow, note_list, stopped};
use crate::owned::Asking;
use crate::page::shortened;
use crate::problem::Problem;
use crate::serve::State;
use access::{Action, Principal, Resource};
use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use grid::{Money, ProsumerId};
use market::MonthlyBill;
use market::delegated::BillLine;
use market::settlement::Account;
use serde_json::{Value, json};
use std::sync::Arc;

/// Bills that are returned when no limit is given.
const LIMIT: usize = 1_000;
/// Bills that are returned at most.
const LIMIT_MAX: usize = 10_000;
const RIGHT: (Resource, Action) = (Resource::Bill, Action::Read);

/// `GET /api/v1/bills`.
pub async fn list(
    request: HttpRequest,
    asked: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let (after, limit) = query(&asked)?;
    let principal = request.extensions().get::<Principal>().cloned();
    if let Some(principal) = &principal {
        note_list(&state.served.access, principal, RIGHT.0).await?;
    }
    let asking = Asking::of(principal, RIGHT);
    let (place, owners) = (asking.place(&state)?, asking.owners());
    let market = Arc::clone(&state.served.market);
    // One more tells whether there are more.
    let bills = web::block(move || {
        let _place = place;
        market.bills(after, owners.as_deref(), limit + 1)
    });
    let mut bills = bills.await.map_err(|_| stopped())?;
    let more = bills.len() > limit;
    bills.truncate(limit);
    let next = bills.last().filter(|_| more).map(|last| format!("{}/{}", last.prosumer, last.month));
    let bills: Vec<Value> = bills.iter().map(|bill| shown(bill, line)).collect();
    Ok(json_answer(&json!({ "bills": bills, "next": next })))
}

/// `GET /api/v1/bills/{prosumer}/{month}`.
pub async fn find(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let (prosumer, month) = path.into_inner();
    let key = key(&prosumer, &month)
        .map_err(|detail| Problem::new(StatusCode::BAD_REQUEST, "id_malformed", detail))?;
    let name = format!("{}/{}", key.0, key.1);
    let principal = request.extensions().get::<Principal>().cloned();
    // Before it is looked for: whether somebody else has a bill is nobody's business.
    allow(&state.served.access, principal.as_ref(), RIGHT, Some(key.0), name).await?;
    let bill = state.served.market.bill(key).ok_or_else(|| {
        let detail = format!(
            "prosumer {} has no bill for {}; a month is billed a day after it ended, if its trading was delegated",
            key.0, key.1
        );
        Problem::not_found(detail)
    })?;
    let with_records = |line: &BillLine| json!(line);
    Ok(json_answer(&shown(&bill, with_records)))
}

fn key(prosumer: &str, month: &str) -> Result<BillKey, String> {
    let number = prosumer.parse().ok().filter(|_| prosumer.bytes().all(|byte| byte.is_ascii_digit()));
    let number = number.ok_or_else(|| format!("{:?} is no number of a prosumer", shortened(prosumer)))?;
    let month = month
        .parse()
        .map_err(|_| format!("{:?} is no month; write for example 2026-12", shortened(month)))?;
    Ok((ProsumerId(number), month))
}

fn query(asked: &[(String, String)]) -> Result<(Option<BillKey>, usize), Problem> {
    let refuse = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "query_malformed", detail);
    let (mut after, mut limit) = (None, LIMIT);
    for (name, text) in asked {
        match name.as_str() {
            "after" => {
                let parts = text.split_once('/').ok_or_else(|| "write for example 3/2026-12".to_owned());
                let parts = parts.and_then(|(prosumer, month)| key(prosumer, month));
                after = Some(parts.map_err(|detail| refuse(format!("after: {detail}")))?);
            }
            "limit" => {
                let given = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                limit =
                    given.ok_or_else(|| refuse(format!("limit: a whole number from 1 to {LIMIT_MAX}")))?;
            }
            _ => return Err(refuse(format!("{:?} is none of after, limit", shortened(name)))),
        }
    }
    Ok((after, limit))
}

fn line(line: &BillLine) -> Value {
    json!({ "reward": line.reward, "amount": line.amount })
}

fn shown(bill: &MonthlyBill, line: impl Fn(&BillLine) -> Value) -> Value {
    let own = bill.postings.iter().find(|posting| posting.account == Account::Prosumer(bill.prosumer));
    json!({
        "prosumer": bill.prosumer,
        "month": bill.month.to_string(),
        "num_flex_offers": bill.num_flex_offers,
        "num_executed_flex_offers": bill.num_executed_flex_offers,
        "total_time_flex": bill.total_time_flex,
        "total_energy_flex": bill.total_energy_flex,
        "num_custom_schedule_activations": bill.num_custom_schedule_activations,
        "total_start_time_deviations": bill.total_start_time_deviations,
        "total_energy_deviations": bill.total_energy_deviations,
        "execution_imbalance": bill.execution_imbalance,
        "lines": bill.lines.iter().map(line).collect::<Vec<_>>(),
        "total": own.map_or(Money::ZERO, |posting| posting.amount),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Result<(Option<BillKey>, usize), Problem> {
        let pairs: Vec<_> =
            pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        query(&pairs)
    }

    #[test]
    fn what_is_asked_of_the_list_is_read_or_refused_with_the_reason() {
        assert_eq!(asked(&[]).unwrap(), (None, LIMIT));
        let after = (ProsumerId(3), "2026-12".parse().unwrap());
        assert_eq!(asked(&[("after", "3/2026-12"), ("limit", "7")]).unwrap(), (Some(after), 7));
        let cases: [(&[(&str, &str)], &str); 7] = [
            (&[("after", "3")], "after: write for example"),
            (&[("after", "-3/2026-12")], "is no number of a prosumer"),
            (&[("after", "+3/2026-12")], "is no number of a prosumer"),
            (&[("after", "3/2026-13")], "is no month"),
            (&[("limit", "0")], "from 1 to 10000"),
            (&[("limit", "10001")], "from 1 to 10000"),
            (&[("month", "2026-12")], "\"month\" is none of"),
        ];
        for (pairs, words) in cases {
            let problem = asked(pairs).unwrap_err().to_string();
            assert!(problem.starts_with("query_malformed") && problem.contains(words), "{problem}");
        }
    }
}
