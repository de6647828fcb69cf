//! What a result says twice: figures for people beside the exact ones, names beside places. Each is compared.

use super::MarketCase;
use super::result_read::{ResultError, part};
use super::result_wire::{In, LimitPrice, Refusal};
use super::result_write::plan_reason;
use market::price_clearing::PriceClearing;

/// How far a figure may be from its exact twin, relative to it.
const RELATIVE: f64 = 1e-12;

/// Compares everything that is not an integer of the clearing.
pub(super) fn compare(case: &MarketCase, read: &In, clearing: &PriceClearing) -> Result<(), ResultError> {
    same("schema", &read.schema, "gridflex-market-result/1")?;
    if let Some(said) = &read.rule_set {
        // Which revision cleared it is its own affair; what it found is judged.
        let revision = said.split_once('/').and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        same("ruleSet", said, &case.rule_set(revision.unwrap_or(market::CLEARING_REVISION)))?;
    }
    near("welfare", read.welfare, clearing.welfare.0 as f64 * 1e-18)?;
    near("bound", read.bound, clearing.bound.0 as f64 * 1e-18)?;
    near("gap", read.gap, clearing.gap())?;
    if let Some(claimed) = &read.claimed {
        let between = claimed.bound >= read.welfare && claimed.bound <= read.bound;
        if !between {
            return Err(part("claimed.bound", "it lies outside of welfare and bound"));
        }
        if claimed.offers.is_some_and(|offers| offers > case.offers.len()) {
            return Err(part("claimed.offers", format!("the case has {} offers", case.offers.len())));
        }
        // Two near figures: their difference keeps fewer digits than they have.
        let found = (claimed.bound - read.welfare) / claimed.bound.abs().max(1e-18);
        if (claimed.gap - found).abs() > 1e-14 {
            return Err(twin("claimed.gap", claimed.gap, found));
        }
    }
    for (assignment, plan) in read.assignments.iter().zip(&clearing.plans) {
        same(&format!("{}: reason", assignment.id), &assignment.reason, plan_reason(plan))?;
        if assignment.schedule_slices.iter().any(|slice| slice.duration != 1) {
            return Err(part(&assignment.id, "a slice lasts one interval here"));
        }
    }
    refusals(case, &read.refusals)?;
    names("prices.congestionPoints", &read.prices.congestion_points, &case.congestion_points)?;
    names("prices.rows", &read.prices.rows, &case.elements)?;
    nodes(case, read)?;
    rows(case, read, clearing)
}

fn same(field: &str, said: &str, found: &str) -> Result<(), ResultError> {
    if said == found {
        return Ok(());
    }
    Err(ResultError::Twin { field: field.to_owned(), said: format!("{said:?}"), found: format!("{found:?}") })
}

fn near(field: &str, said: f64, found: f64) -> Result<(), ResultError> {
    if (said - found).abs() <= RELATIVE * found.abs() {
        return Ok(());
    }
    Err(twin(field, said, found))
}

fn twin(field: &str, said: f64, found: f64) -> ResultError {
    ResultError::Twin { field: field.to_owned(), said: said.to_string(), found: found.to_string() }
}

/// Reasons carry figures exactly when they speak of a schedule; those of refused offers come from the case.
fn refusals(case: &MarketCase, all: &[Refusal]) -> Result<(), ResultError> {
    let (own, others) = all.split_at(all.len().saturating_sub(case.refused.len()));
    for refusal in own {
        let figures =
            [refusal.asked.is_some(), refusal.winning_price.is_some(), refusal.alternative.is_some()];
        if refusal.sentence.is_some() || figures != [refusal.alternative.is_some(); 3] {
            return Err(part(&refusal.id, "asked, winningPrice and alternative go together"));
        }
    }
    for (refusal, refused) in others.iter().zip(&case.refused) {
        same("a refused offer", &refusal.id, &refused.id)?;
        same(&format!("{}: reason", refused.id), &refusal.reason, refused.code)?;
        let sentence = refusal.sentence.as_deref().unwrap_or_default();
        same(&format!("{}: sentence", refused.id), sentence, &refused.sentence)?;
        let figures = refusal.asked.is_some() || refusal.winning_price.is_some();
        if figures || refusal.alternative.is_some() || refusal.binding_row.is_some() {
            return Err(part(&refused.id, "figures of an offer that was not read"));
        }
    }
    Ok(())
}

fn names(field: &str, limits: &[LimitPrice], names: &[String]) -> Result<(), ResultError> {
    if limits.len() != names.len() {
        return Err(part(field, format!("{} are needed, {} are there", names.len(), limits.len())));
    }
    limits.iter().zip(names).try_for_each(|(limit, name)| same(field, &limit.id, name))
}

fn nodes(case: &MarketCase, read: &In) -> Result<(), ResultError> {
    if read.prices.nodes.len() != case.nodes.len() {
        return Err(part("prices.nodes", format!("{} are needed", case.nodes.len())));
    }
    for (node, name) in read.prices.nodes.iter().zip(&case.nodes) {
        same("prices.nodes", &node.node, name)?;
        for (i, &price) in node.price.iter().enumerate() {
            let (bids, rows) = (node.of_bids[i], node.of_rows[i]);
            // The parts may nearly cancel.
            if (price - (bids + rows)).abs() > 4.0 * f64::EPSILON * (bids.abs() + rows.abs()) {
                return Err(twin(&format!("prices.nodes: {name}: price[{i}]"), price, bids + rows));
            }
        }
    }
    Ok(())
}

fn rows(case: &MarketCase, read: &In, clearing: &PriceClearing) -> Result<(), ResultError> {
    let t = case.problem.intervals();
    if read.rows.len() != case.elements.len() {
        return Err(part("rows", format!("{} are needed", case.elements.len())));
    }
    for (number, (row, name)) in read.rows.iter().zip(&case.elements).enumerate() {
        same("rows", &row.element, name)?;
        if row.r#use.len() != t || row.slack.len() != t {
            return Err(part(name, format!("use and slack of {t} intervals are needed")));
        }
        let headroom = &case.problem.rows()[number].headroom;
        for (i, &slack) in row.slack.iter().enumerate() {
            let used = clearing.row_use[number * t + i];
            let slack_of = |used: i128| {
                let over = used - i128::from(headroom[i]) * 1_000_000;
                (-(-over).div_euclid(1_000_000)).max(0) as f64 / 1e6
            };
            // The use is written with 15 digits; the slack may stand on either side of what that hides.
            let hidden = used.abs() / 1_000_000_000_000_000;
            if ![used - hidden, used, used + hidden].into_iter().any(|used| slack_of(used) == slack) {
                return Err(twin(&format!("rows: {name}: slack[{i}]"), slack, slack_of(used)));
            }
        }
    }
    Ok(())
}
