//! Values that were kept long enough go by the system's clock; what was settled with them stays what it was.

use super::evening::{slot, up_to_the_order};
use super::metering::{meter, zero};
use super::{Market, seconds};
use actors::Historian;
use actors::figures::{Operations, Values};
use actors::grid_side::Ranks;
use actors::market_side::MeteringMsg;
use actors::picture::Picture;
use connectors::Message;
use connectors::exchange::{InboxWriter, Limits, inbox};
use grid::{EnergyMwh, Measurement, Quality};
use history::{History, Kind, Options, Query, Removed, Versions};
use journal::{Folder, Journal};
use market::{Ledger, SlotSettlement, Totals};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const HOUR: u64 = 3600;

fn settled(ledger: &Ledger) -> (Totals, Vec<SlotSettlement>) {
    (ledger.totals(), ledger.settlements().cloned().collect())
}

/// How many values of a kind there are.
async fn count(historian: &Historian, kind: Kind) -> usize {
    let (from, until) = (slot(-9_000).start(), slot(9_000).start());
    let query = Query { kind, points: Vec::new(), from, until, versions: Versions::All, most: 100 };
    historian.query(query).await.unwrap().len()
}

/// A voltage of now, and the energy that the device took in the slot that ended last.
async fn publish(writer: &mut InboxWriter, market: &Market) {
    let now = market.environment.now();
    let (point, quality) = ("bus.3.u.a".parse().unwrap(), Quality::Measured);
    let voltage = Measurement { point, value: 230.0, quality, measured_at: now, received_at: now };
    let energy = Measurement { measured_at: now.slot().start(), received_at: now, ..zero() };
    writer.send(Message::Telemetry(vec![voltage, energy])).await.unwrap();
    seconds(1).await;
}

/// What the journal on the disk adds up to, read anew.
fn read_anew(directory: &Path) -> Ledger {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let options = journal::Options::new(journal::Durability::Synced);
    Journal::open_on(Arc::new(Folder::new(copy.path())), options).unwrap().standing.ledger
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_long_enough_goes_by_itself_and_a_settlement_stays_what_it_was() {
    let market = Market::start(up_to_the_order(), "2026-01-15T17:46:10Z").await;
    let days = |days: u64| Duration::from_secs(days * 24 * HOUR);
    let keep = [(Kind::Telemetry, days(1)), (Kind::Energy, days(2))].into();
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path(), Options { keep, ..Options::default() }).unwrap();
    let escalator = market.supervisor.escalator();
    let (historian, tap) = Historian::start(history, |_| true, market.environment.clone(), escalator);
    let written = Arc::new(Mutex::new(Vec::<Removed>::new()));
    let paper = written.clone();
    historian.removals.tell(move |removed| paper.lock().unwrap().push(removed.clone()));
    let (mut writer, inbox) = inbox(Limits::default(), Arc::default());
    inbox.tap_into(tap);

    // What the device's meter says of the ordered slot goes to the history and is settled with.
    publish(&mut writer, &market).await;
    let metering = meter(&market).await;
    metering.deliver(MeteringMsg::Read(zero(), Ranks::default().origin(None), None));
    seconds(2 * HOUR).await;
    let before = market.books.read(settled);
    let of_order = before.1.iter().find(|one| one.slot == slot(0)).unwrap();
    assert!(before.0.settled > EnergyMwh(0) && of_order.metered == EnergyMwh(0), "{of_order:?}");
    assert_eq!((count(&historian, Kind::Telemetry).await, count(&historian, Kind::Energy).await), (1, 1));

    // Nothing comes for 28 hours: the first voltage is over a day old and gone, the energy is not.
    seconds(26 * HOUR).await;
    assert_eq!((count(&historian, Kind::Telemetry).await, count(&historian, Kind::Energy).await), (0, 1));
    publish(&mut writer, &market).await;
    // After 50: the first energy, too; what came meanwhile is younger than either term.
    seconds(22 * HOUR).await;
    assert_eq!((count(&historian, Kind::Telemetry).await, count(&historian, Kind::Energy).await), (1, 1));

    let written = written.lock().unwrap().clone();
    let went = written.iter().map(|removed| (removed.kind, removed.values)).collect::<Vec<_>>();
    assert_eq!(went, [(Kind::Telemetry, 1), (Kind::Energy, 1)]);
    assert_eq!(written[1].instants, (slot(1).start(), slot(1).start()));
    let operations = Operations { historian: Some(historian), ..Operations::default() };
    let mut families = operations.families(&Picture::default()).into_iter();
    let family = families.find(|family| family.name == "history_removed_values_total").unwrap();
    let by_kind = |kind: &str, count| (vec![("kind", kind.to_owned())], count);
    let shown = vec![by_kind("telemetry", 1), by_kind("energy", 1), by_kind("estimate", 0)];
    assert_eq!(family.values, Values::Totals(shown));

    // The books, and what a start would make of the journal.
    assert_eq!(market.books.read(settled), before);
    assert_eq!(settled(&read_anew(market.directory.path())), before);
}
