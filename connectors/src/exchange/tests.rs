//! What gives way, what never does, and in which order things come out.

use super::*;
use grid::{Measurement, Quality, Slot};
use market::{ActivationId, ActivationStatus, DeviceReport, DeviceState};

fn value(point: &str, value: f64) -> Measurement {
    let at = Slot(1_965_170).start();
    let point = point.parse().unwrap();
    Measurement { point, value, quality: Quality::Measured, measured_at: at, received_at: at }
}

fn telemetry(values: &[(&str, f64)]) -> Message {
    Message::Telemetry(values.iter().map(|&(point, v)| value(point, v)).collect())
}

fn status(name: &str) -> Message {
    let activation = ActivationId::new(name).unwrap();
    let (device, at) = (grid::DeviceId(1), Slot(0).start());
    Message::Status(ActivationStatus { activation, device, accepted: true, reason: None, at })
}

fn report(device: u32, slots_max: u32) -> Message {
    let state = DeviceState::HeatPump { p_expected_w: vec![], fraction_min: 0.0, slots_max };
    let device = grid::DeviceId(device);
    let (prosumer, usage_point) = (grid::ProsumerId(1), grid::UsagePointId(1));
    Message::Device(DeviceReport { device, prosumer, usage_point, at: Slot(0).start(), state })
}

fn small(measurements: usize, reports: usize, kept: usize) -> (InboxWriter, Inbox, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    let (writer, inbox) = inbox(Limits { measurements, reports, kept }, counters.clone());
    // Somebody reads.
    inbox.shared.begin();
    (writer, inbox, counters)
}

fn values(batch: &[Arrival]) -> Vec<(String, f64)> {
    let mut out = Vec::new();
    for arrival in batch {
        if let Arrival::Message(Message::Telemetry(values)) = arrival {
            out.extend(values.iter().map(|v| (v.point.to_string(), v.value)));
        }
    }
    out
}

#[tokio::test]
async fn while_there_is_room_every_value_is_kept_in_order() {
    let (mut writer, mut inbox, counters) = small(4, 4, 4);
    writer.send(telemetry(&[("bus.1.p", 1.0), ("bus.2.p", 2.0)])).await.unwrap();
    writer.send(telemetry(&[("bus.1.p", 3.0)])).await.unwrap();
    let batch = inbox.recv_batch().await.unwrap();
    assert_eq!(batch.len(), 1, "neighbouring telemetry is one message");
    assert_eq!(values(&batch).iter().map(|v| v.1).collect::<Vec<_>>(), [1.0, 2.0, 3.0]);
    assert_eq!(counters.snapshot().skipped, Skips::default());
    assert_eq!(counters.snapshot().measurements, 3);
}

#[tokio::test]
async fn a_full_queue_keeps_the_newest_value_of_each_point_and_counts_the_rest() {
    let (mut writer, mut inbox, counters) = small(3, 4, 4);
    for n in 0..100 {
        let point = ["bus.1.p", "bus.2.p", "bus.3.p"][n % 3];
        writer.send(telemetry(&[(point, n as f64)])).await.unwrap();
    }
    let batch = inbox.recv_batch().await.unwrap();
    assert_eq!(values(&batch).iter().map(|v| v.1).collect::<Vec<_>>(), [97.0, 98.0, 99.0]);
    assert_eq!(counters.snapshot().skipped, Skips { overtaken: 97, no_room: 0 });
    // The index is clean again.
    writer.send(telemetry(&[("bus.1.p", 5.0)])).await.unwrap();
    assert_eq!(values(&inbox.recv_batch().await.unwrap()).len(), 1);
}

#[tokio::test]
async fn more_points_than_room_stay_bounded() {
    let (mut writer, mut inbox, counters) = small(10, 4, 4);
    for n in 0..1000 {
        writer.send(telemetry(&[(&format!("bus.{n}.p"), 1.0)])).await.unwrap();
    }
    assert_eq!(values(&inbox.recv_batch().await.unwrap()).len(), 10);
    assert_eq!(counters.snapshot().skipped, Skips { overtaken: 0, no_room: 990 });
}

#[tokio::test]
async fn only_the_newest_report_of_a_device_waits() {
    let (mut writer, mut inbox, counters) = small(4, 2, 4);
    for (device, slots) in [(1, 1), (2, 2), (1, 3), (3, 4)] {
        writer.send(report(device, slots)).await.unwrap();
    }
    let expected = [report(1, 3), report(3, 4)].map(Arrival::Message);
    assert_eq!(inbox.recv_batch().await.unwrap(), expected);
    let counted = counters.snapshot();
    // The first device's older one, then device 2 altogether.
    let reports = Skips { overtaken: 1, no_room: 1 };
    assert_eq!(
        (counted.skipped, counted.skipped_reports),
        (Skips::default(), reports),
        "reports are no values"
    );
}

#[tokio::test(start_paused = true)]
async fn statuses_and_slot_energies_wait_for_room_and_none_is_lost() {
    let (mut writer, mut inbox, counters) = small(4, 4, 2);
    let writing = tokio::spawn(async move {
        for n in 0..50 {
            writer.send(status(&format!("a{n}"))).await.unwrap();
            writer.send(telemetry(&[("meter.1.energy", f64::from(n))])).await.unwrap();
        }
    });
    let mut got = Vec::new();
    while let Some(batch) = inbox.recv_batch().await {
        assert!(batch.len() <= 2);
        got.extend(batch);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    writing.await.unwrap();
    assert_eq!(
        values(&got).iter().map(|v| v.1).collect::<Vec<_>>(),
        (0..50).map(f64::from).collect::<Vec<_>>()
    );
    assert_eq!(got.len(), 100);
    let snapshot = counters.snapshot();
    assert_eq!(snapshot.skipped, Skips::default());
    assert!(snapshot.waited > 0);
}

#[tokio::test]
async fn only_the_latest_state_of_the_link_waits_and_order_is_kept() {
    let (mut writer, mut inbox, _) = small(4, 4, 4);
    writer.link(LinkState::Up).unwrap();
    writer.send(status("a")).await.unwrap();
    writer.link(LinkState::Down { reason: "gone".into() }).unwrap();
    writer.link(LinkState::Up).unwrap();
    let expected = [Arrival::Message(status("a")), Arrival::Link(LinkState::Up)];
    assert_eq!(inbox.recv_batch().await.unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn telemetry_that_comes_before_its_reader_waits_for_it_and_misses_no_tap() {
    for kept in [true, false] {
        let (mut writer, mut inbox) = inbox(Limits::default(), Arc::default());
        let (done, mut told) = oneshot::channel();
        let mut writing = tokio::spawn(async move {
            writer.link(LinkState::Up).unwrap();
            writer.pass_owing(telemetry(&[("bus.1.p", 1.0), ("meter.1.energy", 2.0)]), done).await.unwrap();
            writer.send(telemetry(&[("bus.1.p", 3.0)])).await.unwrap();
        });
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        assert!(told.try_recv().is_err() && !writing.is_finished(), "acknowledged before anybody listened");
        if kept {
            let (tap, mut tapped) = tap(2);
            inbox.tap_into(tap);
            (&mut writing).await.unwrap();
            let first = tapped.recv().await.unwrap();
            assert_eq!((first.values.len(), tapped.recv().await.unwrap().values.len()), (2, 1));
            assert!(told.try_recv().is_err(), "the tap has not kept it");
            first.receipt.unwrap().confirm();
        }
        let mut batch = inbox.recv_batch().await.unwrap();
        if !kept {
            (&mut writing).await.unwrap();
            batch.extend(inbox.recv_batch().await.unwrap());
        }
        assert_eq!(values(&batch).iter().map(|v| v.1).collect::<Vec<_>>(), [1.0, 3.0]);
        let owing = batch.iter().find_map(|arrival| match arrival {
            Arrival::Owing(_, receipt) => Some(receipt),
            _ => None,
        });
        owing.unwrap().confirm();
        assert_eq!(told.try_recv(), Ok(true));
    }
}

#[tokio::test]
async fn both_ends_learn_that_the_other_has_gone() {
    let (mut writer, mut inbox, _) = small(4, 4, 4);
    writer.send(status("a")).await.unwrap();
    drop(writer);
    assert_eq!(inbox.recv_batch().await.unwrap().len(), 1);
    assert_eq!(inbox.recv_batch().await, None);
    let (mut writer, inbox, _) = small(4, 4, 4);
    drop(inbox);
    writer.closed().await;
    assert_eq!(writer.send(status("a")).await, Err(Closed));
    assert_eq!(writer.send(telemetry(&[("bus.1.p", 1.0)])).await, Err(Closed));
}
