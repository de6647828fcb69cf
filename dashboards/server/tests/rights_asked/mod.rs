//! What the test of rights asks each operation, about what belongs to one prosumer or another, and who may.

/// What each role may do, columns in the order of `access::Role::ALL`, after somebody without a name: `+` may, `o` with its own,
/// `.` may not. A list of bills is for everybody who may see one, and has those.
pub const MATRIX: &str = "
    operation        nobody oper engi mark aggr pros view audi secu
    isAlive             +    +    +    +    +    +    +    +    +
    isReady             +    +    +    +    +    +    +    +    +
    describe            +    +    +    +    +    +    +    +    +
    whoAmI              .    +    +    +    +    +    +    +    +
    logIn               +    +    +    +    +    +    +    +    +
    logOut              +    +    +    +    +    +    +    +    +
    setUp               +    +    +    +    +    +    +    +    +
    beginSignIn         +    +    +    +    +    +    +    +    +
    finishSignIn        +    +    +    +    +    +    +    +    +
    getNetwork          .    +    +    .    .    .    .    +    .
    getSnapshot         .    +    +    .    .    .    .    +    .
    followPicture       .    +    +    .    .    .    .    +    .
    getHistoryFigures   .    +    +    .    .    .    .    +    .
    getHistory          .    +    +    .    o    o    .    +    .
    followHistory       .    +    +    .    o    o    .    +    .
    getForecasts        .    +    +    .    o    o    .    +    .
    getWeather          .    +    +    +    +    +    +    +    .
    postWeather         .    +    +    .    .    .    .    .    .
    getOfferValidation  .    +    .    +    o    o    .    +    .
    getTopology         .    +    +    .    .    .    .    +    .
    listNodes           .    +    +    .    .    .    .    +    .
    getNode             .    +    +    .    .    .    .    +    .
    listEdges           .    +    +    .    .    .    .    +    .
    getEdge             .    +    +    .    .    .    .    +    .
    listBids            .    +    .    +    +    .    .    +    .
    getBid              .    +    .    +    +    .    .    +    .
    getBidFeedback      .    +    .    +    +    .    .    +    .
    getBidAsFlexOffer   .    +    .    +    +    .    .    +    .
    reportBidFeedback   .    .    .    .    +    .    .    .    .
    listReportedFeedback .   +    .    +    +    .    .    +    .
    getTransferCosts    .    +    .    +    +    .    .    +    .
    listBills           .    .    .    +    +    +    .    +    .
    getBill             .    .    .    +    o    o    .    +    .
    listCommitments     .    .    .    +    o    o    .    +    .
    listSettledTrades   .    .    .    +    o    o    .    +    .
    getKeyValues        .    +    +    +    +    +    +    +    .
    putKeyValues        .    +    +    +    +    +    .    .    .
    deleteKeyValues     .    +    +    +    +    +    .    .    .
    contributeToBenchmark .  .    .    .    o    o    .    .    .
    getBenchmark        .    +    .    +    +    +    +    +    .
    listIndicators      .    +    +    +    .    .    +    +    .
    postIndicator       .    +    .    +    .    .    .    .    .
    getIndicator        .    +    +    +    .    .    +    +    .
    setIndicatorGoal    .    +    .    .    .    .    .    .    .
    setIndicatorAlarm   .    +    .    .    .    .    .    .    .
    getFigures          .    +    .    .    .    .    +    +    .
    getSupervision      .    +    .    .    .    .    +    +    .
    listQuarantine      .    +    .    .    .    .    .    +    .
    getSetAside         .    +    .    .    .    .    .    +    .
    discardSetAside     .    +    .    .    .    .    .    .    .
    releaseSetAside     .    +    .    .    .    .    .    .    .
    submitFlexOffer     .    .    .    .    o    o    .    .    .
    listFlexOffers      .    +    .    +    +    +    .    +    .
    listHeartbeats      .    +    .    +    +    +    .    +    .
    changeFlexOffer     .    .    .    .    o    o    .    .    .
    withdrawFlexOffer   .    .    .    .    o    o    .    .    .
    pickUpSchedules     .    .    .    .    o    o    .    .    .
    sendMeasurements    .    .    .    .    o    o    .    .    .
    submitFlexOfferToManager . .  .    .    o    o    .    .    .
    communicateWithAgent .   .    .    .    o    o    .    .    .
    tradeOnMarket       .    .    .    .    o    o    .    .    .
    getFlexOffer        .    +    .    +    o    o    .    +    .
";

/// An answer to a bid.
pub fn rejected(bid: &str) -> String {
    serde_json::json!({ "OfferId": bid, "Accepted": false }).to_string()
}

/// An offer of a prosumer.
pub fn offer(prosumer: u32) -> serde_json::Value {
    serde_json::json!({
        "id": format!("offer-{prosumer}"), "prosumer": prosumer, "usage_point": 1, "device": 121,
        "created_at": "2026-01-15T17:00:00Z", "acceptance_before": "2026-01-15T17:10:00Z",
        "assignment_before": "2026-01-15T17:15:00Z", "start_after": 1964998, "start_before": 1965000,
        "slices": [{ "min": 0, "max": 1000 }], "total_energy": null,
        "default_schedule": { "start": 1964998, "energies": [1000] }, "prices": { "decrease": 1, "increase": 1 },
    })
}

/// The number in an operation's path, when it is about what belongs to `owner`.
pub fn element(operation: &str, owner: u32) -> String {
    if operation == "getOfferValidation" { owner.to_string() } else { "1".to_owned() }
}

/// A path with what stands behind its question mark.
pub fn asked(operation: &str, path: String, owner: u32) -> String {
    match operation {
        "getHistory" | "followHistory" => format!("{path}?point=device.{owner}.energy"),
        "getForecasts" => format!("{path}?usage_point={owner}"),
        "getTransferCosts" => format!("{path}?usage_point={owner}"),
        _ => path,
    }
}

/// What is sent to an operation about what belongs to `owner`.
pub fn body(operation: &str, owner: u32) -> Option<String> {
    let name = format!("offer-{owner}");
    let body = match operation {
        "submitFlexOffer" | "changeFlexOffer" | "submitFlexOfferToManager" => offer(owner),
        "pickUpSchedules" => serde_json::json!({ "prosumer": owner }),
        "sendMeasurements" => serde_json::json!({ "values": [
            { "point": format!("device.{owner}.energy"), "ts": "1970-01-12T13:45:00Z", "value": 1.0 },
        ] }),
        "tradeOnMarket" => serde_json::json!({
            "heartbeat": { "foaTime": "1970-01-12T13:46:40Z", "offeredById": owner },
        }),
        "communicateWithAgent" => serde_json::json!({ "CommunicationRequest": {} }),
        "reportBidFeedback" => return Some(rejected(&name)),
        "putKeyValues" => serde_json::json!({ "values": [] }),
        "contributeToBenchmark" => serde_json::json!({
            "prosumer": owner, "load_type": "ev", "period": "1970-01-11", "energy_kwh": 1.0,
        }),
        "postIndicator" => serde_json::json!({
            "site": "", "name": name, "ts": "1970-01-01T00:00:00Z", "value": 1.0, "unit": "%",
        }),
        "postWeather" => serde_json::json!({
            "kind": "forecast", "start": "1970-01-12T13:45:00Z", "step_minutes": 15, "air_temperature_c": [1.5],
        }),
        "setIndicatorGoal" => serde_json::json!({ "target": 1.0, "direction": "up" }),
        "setIndicatorAlarm" => serde_json::json!({ "threshold": 1.0, "direction": "up" }),
        _ => return None,
    };
    Some(body.to_string())
}
