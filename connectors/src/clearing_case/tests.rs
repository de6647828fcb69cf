use super::{CaseError, ResultExtras, read_case, read_result, write_result};
use market::certificate::verify;
use market::price_clearing::clear_by_prices;

fn offer(id: &str, node: &str, lower: &str, upper: &str) -> String {
    format!(
        r#"{{"id":"{id}","locationID":"{node}","startAfterTime":"2026-01-15T00:00:00Z",
        "startBeforeTime":"2026-01-15T00:45:00Z","defaultSchedule":{{"startTime":"2026-01-15T00:00:00Z",
        "scheduleSlices":[{{"duration":1,"energyAmount":1.5}}]}},"cost":{{"activation":0.01}},
        "flexOfferProfileConstraints":[{{"minDuration":1,"maxDuration":1,
        "energyConstraintList":[{{"lower":{lower},"upper":{upper}}}]}}]}}"#
    )
}

fn case(offers: &[String]) -> String {
    format!(
        r#"{{"schema":"gridflex-market/1","numSecondsPerInterval":900,"startTime":"2026-01-15T00:00:00Z",
        "intervals":4,"energyUnit":"kWh","currency":"EUR","nodes":["a","b"],
        "grid":{{"rows":[{{"element":"line","headroom":[0.5,0.5,2,2],"penalty":3,
        "sensitivities":[{{"node":"a","factor":1.0}},{{"node":"b","factor":0.25}}]}}]}},
        "bids":[{{"id":"doms","congestionPoint":"lateral","nodes":["a","b"],"startTime":"2026-01-15T00:00:00Z",
        "intervalLength":900,"scheduleChange":[2,0,0,0],"energyPrice":[0.3,0.3,0,0]}}],
        "flexOffers":[{}],"rules":{{"pricing":"uniform-make-whole"}}}}"#,
        offers.join(",")
    )
}

#[test]
fn a_case_is_cleared_written_read_back_and_holds() {
    let case = read_case(&case(&[offer("x", "a", "1.5", "1.5"), offer("y", "b", "1.5", "1.5")])).unwrap();
    assert!(case.refused.is_empty());
    let clearing = clear_by_prices(&case.problem);
    // Both move out of the first quarter-hour: 2 kWh of relief are asked for, worth 0.60.
    assert_eq!((clearing.plans.len(), clearing.welfare.micro_floor()), (2, 580_000));
    let text = write_result(&case, &clearing, &ResultExtras::default()).unwrap();
    let read = read_result(&case, &text).unwrap();
    assert_eq!(verify(&case.problem, &read), Ok(()));
    let tampered = text.replace("\"energyAmount\":1.5", "\"energyAmount\":1.499999");
    assert!(verify(&case.problem, &read_result(&case, &tampered).unwrap()).is_err());
}

#[test]
fn bad_offers_are_refused_with_their_code_and_the_rest_proceeds() {
    let offers = [
        offer("good", "a", "1.0", "2.0"),
        offer("inverted", "a", "2.0", "1.0"),
        offer("huge", "a", "-1e308", "2.0"),
        offer("nowhere", "z", "1.0", "2.0"),
        offer("good", "b", "1.0", "2.0"),
        offer("outside", "a", "3.0", "4.0"),
        offer("fine-grained", "a", "1.00000001", "2.0"),
        offer("unreadable", "a", "\"1.0\"", "2.0"),
    ];
    let case = read_case(&case(&offers)).unwrap();
    assert_eq!(case.offers, ["good"]);
    let codes: Vec<_> = case.refused.iter().map(|refused| (refused.id.as_str(), refused.code)).collect();
    let expected = [
        ("inverted", "inverted-bounds"),
        ("huge", "out-of-range"),
        ("nowhere", "unknown-node"),
        ("good", "duplicate-id"),
        ("outside", "default-outside-offer"),
        ("fine-grained", "not-whole"),
        ("unreadable", "unreadable"),
    ];
    assert_eq!(codes, expected);
}

#[test]
fn a_gate_keeps_what_runs_inside() {
    let text = case(&[offer("x", "a", "1.5", "1.5")]);
    let gated = text.replace("\"rules\":{", "\"rules\":{\"gate\":\"2026-01-15T00:15:00Z\",");
    assert!(gated != text);
    let clearing = clear_by_prices(&read_case(&gated).unwrap().problem);
    assert!(clearing.plans.is_empty());
}

#[test]
fn what_is_no_case_is_said_to_be_none() {
    assert!(matches!(read_case("{"), Err(CaseError::Json { .. })));
    assert!(matches!(read_case("NaN"), Err(CaseError::Json { .. })));
    let other = case(&[]).replace("gridflex-market/1", "gridflex-market/2");
    assert!(matches!(read_case(&other), Err(CaseError::Form { .. })));
    let more = case(&[]).replace("[2,0,0,0]", "[-2,0,0,0]");
    assert!(matches!(read_case(&more), Err(CaseError::Part { .. })));
}
