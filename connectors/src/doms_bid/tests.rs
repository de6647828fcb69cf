//! Table 1 both ways, its sign, and what is refused.

use super::*;
use grid::{BranchId, DeviceId, ProsumerId, UsagePointId};
use market::portfolio::OfferIdentity;
use market::{EnergyBounds, FlexOfferId};
use proptest::prelude::*;

fn point() -> CongestionPoint {
    CongestionPoint { branch: BranchId(7), phase: None }
}

fn slot(text: &str) -> Slot {
    text.parse::<Timestamp>().unwrap().slot()
}

fn read(text: &str) -> Result<DomsBid, DomsBidError> {
    decode(text.as_bytes(), BidId::new("bid-1").unwrap(), point(), slot("2026-01-15T17:45:00Z"))
}

const EVENING: &str = r#"{"StartTime":"2026-01-15T18:00:00Z","IntervalLength":900,"ScheduleChange":[2.5,-1.25,0.0],"EnergyPrice":[0.6,0.25,0.0]}"#;

#[test]
fn positive_in_table_1_is_less_consumption() {
    let bid = read(EVENING).unwrap();
    assert_eq!(bid.start, slot("2026-01-15T18:00:00Z"));
    let energies: Vec<i64> = bid.intervals.iter().map(|interval| interval.schedule_change.0).collect();
    assert_eq!(energies, [-2_500_000, 1_250_000, 0]);
    assert_eq!(bid.intervals[0].price, Money(600_000));
    assert_eq!(encode(&bid), EVENING);
}

#[test]
fn a_bid_without_a_start_begins_at_the_next_slot_that_can_be_bought() {
    let text = r#"{"IntervalLength":900,"ScheduleChange":[1.0],"EnergyPrice":[0.5]}"#;
    assert_eq!(read(text).unwrap().start, slot("2026-01-15T17:45:00Z"));
}

#[test]
fn what_is_no_bid_is_refused_with_its_code() {
    let code = |text: &str| read(text).unwrap_err().code();
    let with = |from: &str, to: &str| code(&EVENING.replace(from, to));
    assert_eq!(with("[0.6,0.25,0.0]", "[0.6]"), "unequal-length");
    assert_eq!(with("900", "3600"), "interval-length");
    assert_eq!(with("18:00:00Z", "18:07:00Z"), "start-time");
    assert_eq!(with("18:00:00Z", "soon"), "start-time");
    assert_eq!(with("-1.25", "1e300"), "number");
    assert_eq!(with("-1.25", "NaN"), "json");
    assert_eq!(with("0.25", "-0.25"), "number");
    assert_eq!(with("IntervalLength", "Interval"), "json");
    assert_eq!(code(r#"{"IntervalLength":900,"ScheduleChange":[],"EnergyPrice":[]}"#), "unequal-length");
    assert_eq!(code(&format!("{}{EVENING}", " ".repeat(MESSAGE_BYTES_MAX))), "too-large");
}

#[test]
fn a_bid_survives_being_an_offer_and_its_answer_has_the_sign_of_table_1() {
    let bid = read(EVENING).unwrap();
    let identity = OfferIdentity {
        id: FlexOfferId::new("doms-1").unwrap(),
        prosumer: ProsumerId(1),
        usage_point: UsagePointId(1),
        device: DeviceId(1),
        created_at: "2026-01-15T17:00:00Z".parse().unwrap(),
    };
    let offer = bid.as_flex_offer(identity, "2026-01-15T17:50:00Z".parse().unwrap()).unwrap();
    let wanted = |min, max| EnergyBounds { min: EnergyMwh(min), max: EnergyMwh(max) };
    assert_eq!(offer.slices, [wanted(-2_500_000, 0), wanted(0, 1_250_000), wanted(0, 0)]);
    assert_eq!(DomsBid::of_flex_offer(&offer, bid.id.clone(), point()).unwrap(), bid);
    let bought = Some((bid.start, vec![EnergyMwh(-2_000_000), EnergyMwh(0), EnergyMwh(0)]));
    let feedback = Feedback { bid: bid.id, bought };
    let text = encode_feedback(&feedback);
    assert!(text.contains("[2.0,0.0,0.0]"), "{text}");
    assert_eq!(decode_feedback(text.as_bytes()).unwrap(), feedback);
    let rejected = Feedback { bought: None, ..feedback };
    assert_eq!(decode_feedback(encode_feedback(&rejected).as_bytes()).unwrap(), rejected);
    assert!(decode_feedback(br#"{"OfferId":"bid-1","Accepted":true}"#).is_err());
}

proptest! {
    #[test]
    fn every_bid_is_read_back_as_it_was(
        intervals in proptest::collection::vec((-1_000_000_000_i64..1_000_000_000, 0_i64..1_000_000_000), 1..96),
    ) {
        let interval = |(change, price)| BidInterval { schedule_change: EnergyMwh(change), price: Money(price) };
        let intervals = intervals.into_iter().map(interval).collect();
        let start = slot("2026-01-15T18:00:00Z");
        let bid = DomsBid { id: BidId::new("bid-1").unwrap(), congestion_point: point(), start, intervals };
        prop_assert_eq!(read(&encode(&bid)).unwrap(), bid);
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes, BidId::new("b").unwrap(), point(), Slot(1));
        let _ = decode_feedback(&bytes);
    }
}
