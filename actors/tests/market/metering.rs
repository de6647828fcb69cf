//! Readings of settlement meters: which ones are taken.

use super::evening::{DEVICE, slot, up_to_the_order};
use super::recording::rejected;
use super::{Ear, Market, seconds};
use actors::grid_side::Ranks;
use actors::journal::JournalMsg;
use actors::market_side::{Metering, MeteringMsg, SettlementStage};
use actors::runtime::{Address, Context, Stage};
use grid::name::Name;
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
        metering.deliver(MeteringMsg::Read(value, Ranks::default().origin(None), None));
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

/// Metering and settlement of a market.
pub async fn meter(market: &Market) -> Address<MeteringMsg> {
    let (books, journal) = (market.books.clone(), market.journal.clone());
    let build = move || SettlementStage::new(books.clone(), journal.clone());
    let settlement = market.supervisor.spawn("settlement", build).await.unwrap();
    let (books, journal, observer) = (market.books.clone(), market.journal.clone(), market.observer.clone());
    let build = move || Metering::new(books.clone(), journal.clone(), settlement.clone(), observer.clone());
    market.supervisor.spawn("metering", build).await.unwrap()
}

/// What the device's meter says of the slot of its order: it took nothing then, as it was told.
pub fn zero() -> Measurement {
    let point: PointId = format!("device.{DEVICE}.energy").parse().unwrap();
    let (measured_at, received_at) = (slot(1).start(), slot(1).start());
    Measurement { point, value: 0.0, quality: Quality::Measured, measured_at, received_at }
}

/// The quality of the readings of the first two slots, and what was delivered.
fn standing(market: &Market) -> (Option<Quality>, Option<Quality>, i64) {
    market.books.read(|ledger| {
        let quality = |at| ledger.reading(DEVICE, slot(at)).map(|reading| reading.quality);
        (quality(0), quality(1), ledger.totals().delivered.0)
    })
}

#[tokio::test(start_paused = true)]
async fn after_an_absence_devices_have_half_an_hour_to_tell_again_before_anything_is_substituted() {
    // All of the order is long over: nobody was there to hear of it.
    let market = Market::start(up_to_the_order(), "2026-01-15T21:00:10Z").await;
    let metering = meter(&market).await;
    seconds(29 * 60).await;
    assert_eq!(standing(&market), (None, None, 0));
    metering.deliver(MeteringMsg::Read(zero(), Ranks::default().origin(None), None));
    seconds(6 * 60).await;
    let measured_and_silent = (Some(Quality::Measured), Some(Quality::Substituted));
    let (first, second, delivered) = standing(&market);
    assert_eq!((first, second), measured_and_silent);
    assert!(delivered > 0, "what was delivered is paid for");
}

#[tokio::test(start_paused = true)]
async fn while_the_disk_is_full_nothing_is_substituted_and_readings_have_half_an_hour_from_when_there_is_room()
 {
    let market = Market::start(up_to_the_order(), "2026-01-15T17:46:10Z").await;
    let metering = meter(&market).await;
    market.disk.fill(true);
    market.journal.0.deliver(JournalMsg::BeatDue);
    seconds(3 * 3600).await;
    assert!(market.books.read_only().is_some());
    assert_eq!(standing(&market), (None, None, 0));
    market.disk.fill(false);
    seconds(29 * 60).await;
    assert_eq!(standing(&market), (None, None, 0));
    metering.deliver(MeteringMsg::Read(zero(), Ranks::default().origin(None), None));
    seconds(6 * 60).await;
    let (first, second, delivered) = standing(&market);
    assert_eq!((first, second), (Some(Quality::Measured), Some(Quality::Substituted)));
    assert!(delivered > 0, "what was delivered is paid for");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_certified_is_no_reading_to_settle_with_unless_that_is_agreed_and_the_source_is_kept() {
    let market = Market::start(up_to_the_order(), "2026-01-15T17:45:10Z").await;
    let metering = meter(&market).await;
    let read = |watt_hours: f64, ranks: &Ranks, name: Option<&str>| {
        let value = Measurement { value: watt_hours, ..zero() };
        metering.deliver(MeteringMsg::Read(value, ranks.origin(name.map(Arc::from)), None));
    };
    let known = || {
        market.books.read(|ledger| {
            let reading = ledger.reading(DEVICE, slot(0))?;
            Some((reading.energy.0, reading.source.clone()))
        })
    };
    let usual = Ranks::default();
    read(0.0, &usual, Some(Ranks::HTTP));
    seconds(1).await;
    assert_eq!(known(), None, "whoever earns by it says so");
    let uncertified = Ranks { uncertified: ["plc".to_owned(), "mqtt".to_owned()].into(), ..Ranks::default() };
    read(1.0, &uncertified, Some("plc"));
    read(2.0, &uncertified, None);
    seconds(1).await;
    assert_eq!(known(), None);
    let agreed = Ranks { settles_uncertified: true, ..uncertified };
    read(3.0, &agreed, Some("plc"));
    seconds(1).await;
    assert_eq!(known(), Some((3_000, Name::new("plc").ok())));
    // A certified meter is taken as it is.
    read(4.0, &usual, None);
    seconds(1).await;
    assert_eq!(known(), Some((3_000, Name::new("plc").ok())), "the first one stands");
}

/// Panics at what it is told.
struct Poisoned;

impl Stage for Poisoned {
    type Msg = u32;

    fn kin(device: &u32) -> Option<String> {
        Some(device.to_string())
    }

    fn handle(&mut self, device: u32, _: &mut Context<u32>) {
        panic!("poison of {device}");
    }
}

#[tokio::test(start_paused = true)]
async fn readings_that_poison_holds_up_outside_have_half_an_hour_from_when_it_is_over() {
    let market = Market::start(up_to_the_order(), "2026-01-15T17:46:10Z").await;
    let metering = meter(&market).await;
    // A stage before metering: what came after this waits behind it for more than half an hour.
    let ingress = market.supervisor.spawn("ingress", || Poisoned).await.unwrap();
    (0..1_300).for_each(|device| ingress.deliver(device));
    seconds(40 * 60).await;
    assert_eq!(standing(&market), (None, None, 0));
    seconds(10 * 60).await;
    let since = market.books.recording_since().unwrap();
    assert!(since > "2026-01-15T18:26:00Z".parse().unwrap(), "{since}");
    seconds(15 * 60).await;
    assert_eq!(standing(&market), (None, None, 0));
    metering.deliver(MeteringMsg::Read(zero(), Ranks::default().origin(None), None));
    seconds(25 * 60).await;
    let (first, second, delivered) = standing(&market);
    assert_eq!((first, second), (Some(Quality::Measured), Some(Quality::Substituted)));
    assert!(delivered > 0, "what was delivered is paid for");
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_found_no_more_room_is_not_settled_before_there_is_some() {
    let market = Market::start(up_to_the_order(), "2026-01-15T17:45:10Z").await;
    let metering = meter(&market).await;
    market.disk.fill(true);
    // It is taken in before the disk is known to be full, and waits; nobody may settle with it meanwhile.
    metering.deliver(MeteringMsg::Read(zero(), Ranks::default().origin(None), None));
    seconds(300).await;
    assert_eq!(standing(&market), (Some(Quality::Measured), None, 0));
    market.disk.fill(false);
    seconds(90).await;
    assert!(standing(&market).2 > 0);
}

#[tokio::test(start_paused = true)]
async fn one_phase_of_a_three_phase_meter_is_no_reading_of_its_device() {
    let market = Market::start(up_to_the_order(), "2026-01-15T17:45:10Z").await;
    let metering = meter(&market).await;
    let read = |name: String, watt_hours: f64| {
        let value = Measurement { point: name.parse().unwrap(), value: watt_hours, ..zero() };
        metering.deliver(MeteringMsg::Read(value, Ranks::default().origin(None), None));
    };
    let known =
        || market.books.read(|ledger| ledger.reading(DEVICE, slot(0)).map(|reading| reading.energy.0));
    for phase in ["a", "b", "c"] {
        read(format!("device.{DEVICE}.energy.{phase}"), 300.0);
    }
    seconds(1).await;
    assert_eq!(known(), None);
    assert_eq!(rejected(&market, "reading_by_phase"), 3);
    read(format!("device.{DEVICE}.energy"), 900.0);
    seconds(1).await;
    assert_eq!(known(), Some(900_000));
}
