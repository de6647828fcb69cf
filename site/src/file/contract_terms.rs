//! `[market]`: what every contract says about its settlement.

use super::Section;
use grid::Money;
use market::baseline::BaselineMethod;
use market::price_clearing::Pricing;
use market::settlement::SettlementTerms;

/// Reads the section.
pub(super) fn terms(mut section: Section<'_>) -> SettlementTerms {
    let mut terms = SettlementTerms::default();
    if let Some(pricing) = section.text("pricing") {
        match pricing.value.as_str() {
            "pay-as-bid" => terms.pricing = Pricing::PayAsBid,
            "uniform" => terms.pricing = Pricing::Uniform,
            "uniform-make-whole" => terms.pricing = Pricing::UniformMakeWhole,
            other => {
                let what = format!("{other:?} is none of pay-as-bid, uniform, uniform-make-whole");
                section.note(pricing.line, "pricing", what);
            }
        }
    }
    if let Some(fee) = section.number("fee_percent", 0.0..=100.0) {
        terms.fee_per_mille = (fee.value * 10.0).round() as u32;
    }
    let mut money = |key, term: &mut Money| {
        if let Some(price) = section.number(key, 0.0..=1_000.0) {
            *term = Money((price.value * 1e6).round() as i64);
        }
    };
    money("penalty_eur_per_kwh", &mut terms.penalty_per_kwh);
    money("rebound_eur_per_kwh", &mut terms.rebound_per_kwh);
    terms.netting = !section.flag("each_member_by_itself");
    terms.baseline = baseline(&mut section);
    section.finish();
    terms
}

fn baseline(section: &mut Section<'_>) -> BaselineMethod {
    let Some(named) = section.text("baseline") else { return BaselineMethod::default() };
    let mut whole = |key, default: u32, least: u32, most: u32| {
        let given = section.whole(key, most);
        let given = given.filter(|given| {
            if given.value < least {
                section.note(given.line, key, format!("{} is less than {least}", given.value));
            }
            given.value >= least
        });
        given.map_or(default, |given| given.value)
    };
    match named.value.as_str() {
        "declared-schedule" => BaselineMethod::DeclaredSchedule,
        "high-x-of-y" => {
            let y = whole("baseline_days", 5, 1, 60);
            let x = whole("baseline_highest_days", 4.min(y), 1, y);
            let most = whole("baseline_adjustment_percent", 20, 0, 100);
            let window = if most == 0 { 0 } else { 8 };
            BaselineMethod::XOfY {
                x: x as u8,
                y: y as u8,
                adjustment_slots: window,
                adjustment_max_per_mille: (most * 10) as u16,
            }
        }
        other => {
            let what = format!("{other:?} is none of declared-schedule, high-x-of-y");
            section.note(named.line, "baseline", what);
            BaselineMethod::default()
        }
    }
}
