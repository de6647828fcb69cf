//! `[[transfer_price]]`: what a kWh through an element costs in a part of each day.

use super::section::{Located, Section};
use grid::{BranchId, Money};
use market::transfer_price::TransferPrices;
use std::ops::Range;

/// Highest price, EUR per kWh: what an offer may ask for.
const PRICE_MAX: f64 = 1_000.0;

/// One section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferPrice {
    /// The element.
    pub branch: BranchId,
    /// Quarter-hours of the UTC day, 0 to 96; the later one before the earlier one goes over midnight.
    pub times: Range<u8>,
    /// Per kWh taken through it.
    pub per_kwh: Money,
}

impl TransferPrice {
    fn quarters(&self) -> Vec<u8> {
        let Range { start, end } = self.times;
        if start < end { (start..end).collect() } else { (start..96).chain(0..end).collect() }
    }
}

pub fn price(mut section: Section<'_>) -> Option<Located<TransferPrice>> {
    let branch = section.needed("branch", |section, key| section.whole(key, u32::MAX));
    let from = section.text("from").map_or(Some(0), |text| quarter(&mut section, "from", &text));
    let until = section.text("until").map_or(Some(96), |text| quarter(&mut section, "until", &text));
    let price = section.needed("eur_per_kwh", |section, key| section.number(key, 0.0..=PRICE_MAX));
    let line = section.line();
    let (from, until) = (from?, until?);
    if from == until {
        section.note(line, "until", "is the same time as from; leave both out for the whole day");
    }
    section.finish();
    let per_kwh = Money((price?.value * 1e6).round() as i64);
    Some(Located {
        value: TransferPrice { branch: BranchId(branch?.value), times: from..until, per_kwh },
        line,
    })
}

/// A time of the day that begins a quarter-hour, or ends the day.
fn quarter(section: &mut Section<'_>, key: &'static str, text: &Located<String>) -> Option<u8> {
    let number = |part: &str| -> Option<u8> {
        let plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse().ok().filter(|_| plain)
    };
    let time = text.value.split_once(':').and_then(|(hour, minute)| Some((number(hour)?, number(minute)?)));
    match time {
        Some((hour, minute))
            if minute % 15 == 0 && (hour < 24 && minute < 60 || (hour, minute) == (24, 0)) =>
        {
            Some(hour * 4 + minute / 15)
        }
        _ => {
            let what =
                format!("{:?} is no quarter-hour of a day in UTC; write for example \"17:15\"", text.value);
            section.note(text.line, key, what);
            None
        }
    }
}

/// All of them; and of each that speaks of an element and time of which another one speaks before, both lines.
pub fn prices(written: &[Located<TransferPrice>]) -> (TransferPrices, Vec<(u64, u64)>) {
    let (mut prices, mut twice) = (TransferPrices::default(), Vec::new());
    let mut lines = std::collections::BTreeMap::new();
    for Located { value, line } in written {
        let first = value.quarters().into_iter().find_map(|time| lines.get(&(value.branch, time)).copied());
        if let Some(first) = first {
            twice.push((*line, first));
            continue;
        }
        for time in value.quarters() {
            lines.insert((value.branch, time), *line);
            prices.per_kwh.insert((value.branch, time), value.per_kwh);
        }
    }
    (prices, twice)
}
