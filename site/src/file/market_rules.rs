//! `[market]`: which offers are sold together, and what every contract says about its settlement.

use super::Section;
use grid::Money;
use market::baseline::BaselineMethod;
use market::price_clearing::Pricing;
use market::settlement::SettlementTerms;
use market::{AggregateRules, Rules};

/// Most members of an aggregate, and most offers of a book, that may be asked for.
const MEMBERS_MAX: u32 = 10_000;
const BOOK_MAX: u32 = 100_000;
/// Widest classes, slots: a day.
const CLASS_MAX: u32 = 96;

/// Reads the section, and whether settlements may rest on energies that nobody certified.
pub(super) fn rules(mut section: Section<'_>) -> (Rules, bool) {
    let mut rules = Rules::default();
    rules.aggregates = aggregates(&mut section, rules.aggregates);
    let most = whole(&mut section, "book_offers_max", rules.book_offers_max as u32, (1, BOOK_MAX));
    rules.book_offers_max = most as usize;
    let uncertified_energy = section.flag("uncertified_energy");
    rules.settlement = terms(section);
    (rules, uncertified_energy)
}

fn aggregates(section: &mut Section<'_>, defaults: AggregateRules) -> AggregateRules {
    let size = |section: &mut Section<'_>, key, default: usize| {
        whole(section, key, default as u32, (1, MEMBERS_MAX)) as usize
    };
    let price = section.number("aggregate_price_eur_per_kwh", 0.0..=1.0);
    AggregateRules {
        members_max: size(section, "aggregate_size_max", defaults.members_max),
        moving_members_max: size(section, "aggregate_moving_size_max", defaults.moving_members_max),
        start_slots: whole(section, "aggregate_start_slots", defaults.start_slots, (1, CLASS_MAX)),
        flexibility_slots: whole(
            section,
            "aggregate_flexibility_slots",
            defaults.flexibility_slots,
            (1, CLASS_MAX),
        ),
        price: price.map_or(defaults.price, |price| Money((price.value * 1e6).round() as i64)),
        loss_percent_max: whole(section, "aggregate_loss_percent_max", defaults.loss_percent_max, (0, 100)),
    }
}

/// A whole number between two bounds, or the default.
fn whole(section: &mut Section<'_>, key: &'static str, default: u32, (least, most): (u32, u32)) -> u32 {
    let Some(given) = section.whole(key, most) else { return default };
    if given.value < least {
        section.note(given.line, key, format!("{} is less than {least}", given.value));
        return default;
    }
    given.value
}

fn terms(mut section: Section<'_>) -> SettlementTerms {
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
    match named.value.as_str() {
        "declared-schedule" => BaselineMethod::DeclaredSchedule,
        "high-x-of-y" => {
            let y = whole(section, "baseline_days", 5, (1, 60));
            let x = whole(section, "baseline_highest_days", 4.min(y), (1, y));
            let most = whole(section, "baseline_adjustment_percent", 20, (0, 100));
            let window = if most == 0 { 0 } else { 8 };
            BaselineMethod::XOfY {
                x: x as u8,
                y: y as u8,
                adjustment_slots: window,
                adjustment_max_per_mille: (most * 10) as u16,
            }
        }
        "weather-regression" => {
            let most = whole(section, "baseline_days", 60, (2, 120));
            let least = whole(section, "baseline_days_min", 10.min(most), (2, most));
            let limit = section.number("baseline_heating_limit_celsius", -60.0..=60.0);
            BaselineMethod::WeatherRegression {
                days_min: least as u8,
                days_max: most as u8,
                heating_limit_milli_celsius: limit.map_or(15_000, |limit| (limit.value * 1e3).round() as i32),
            }
        }
        other => {
            let what = format!("{other:?} is none of declared-schedule, high-x-of-y, weather-regression");
            section.note(named.line, "baseline", what);
            BaselineMethod::default()
        }
    }
}
