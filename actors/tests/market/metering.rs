//! Readings of settlement meters: which ones are taken.

use super::evening::{DEVICE, slot, up_to_the_order};
use super::{Ear, Market, seconds};
use actors::market_side::{Metering, MeteringMsg};
use grid::{Measurement, PointId, Quality};
use std::sync::Arc;

#[tokio::test(start_paused = true)]
async fn what_a_sender_did_not_measure_counts_as_missing_and_what_it_measured_later_counts() {
    let market = Market::start(up_to_the_order(), "2026-01-15T17:45:10Z").await;
    let settlement = market.supervisor.spawn("settlement", || Ear(Arc::default())).await.unwrap();
    let (books, journal, observer) = (market.books.clone(), market.journal.clone(), market.observer.clone());
    let build = move || Metering::new(books.clone(), journal.clone(), settlement.clone(), observer.clone());
    let metering = market.supervisor.spawn("metering", build).await.unwrap();
    let point: PointId = format!("device.{DEVICE}.energy").parse().unwrap();
    let read = |watt_hours: f64, quality| {
        let (measured_at, received_at) = (slot(1).start(), slot(1).start());
        let value = Measurement { point, value: watt_hours, quality, measured_at, received_at };
        metering.deliver(MeteringMsg::Read(value, None));
    };
    let known = || {
        market
            .books
            .read(|ledger| ledger.reading(DEVICE, slot(0)).map(|reading| (reading.energy.0, reading.quality)))
    };
    for quality in [Quality::Estimated, Quality::Substituted, Quality::Implausible] {
        read(900.0, quality);
        seconds(1).await;
        assert_eq!(known(), None, "{quality:?}");
    }
    read(100.0, Quality::Measured);
    seconds(1).await;
    assert_eq!(known(), Some((100_000, Quality::Measured)));
    read(200.0, Quality::Measured);
    seconds(1).await;
    assert_eq!(known(), Some((100_000, Quality::Measured)), "the first one stands");
}
