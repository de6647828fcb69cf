//! The protocol between an energy management system and its FlexOffer Agent: it polls with one or more packets and is answered
//! with everything there is to say.
//!
//! Every packet is taken by itself: what is refused of one is named in the reply and takes nothing from the others. Orders are
//! in every reply until they are acknowledged.

use crate::api::json_answer;
use crate::deposit::{body, now};
use crate::parties::at_most;
use crate::party::{Acknowledgement, Party};
use crate::problem::Problem;
use crate::serve::State;
use access::{Action, Resource};
use actix_web::{HttpRequest, HttpResponse, web};
use grid::{ProsumerId, Slot};
use market::FlexOfferId;
use serde::Deserialize;
use serde_json::{Value, json};

/// How often the agent wants to be asked, s.
const POLL_S: u64 = 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    #[serde(rename = "CommunicationRequest")]
    request: Packets,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Packets {
    operation_data: Option<Vec<Value>>,
    flexibility_data: Option<Vec<Value>>,
    demand_cancelation: Option<Vec<FlexOfferId>>,
    acknowledgement: Option<Vec<Acknowledgement>>,
}

impl Packets {
    /// Names of the packets that are there, and how many entries they have together.
    fn there(&self) -> (Vec<&'static str>, usize) {
        let packets = [
            ("OperationData", self.operation_data.as_ref().map(Vec::len)),
            ("FlexibilityData", self.flexibility_data.as_ref().map(Vec::len)),
            ("DemandCancelation", self.demand_cancelation.as_ref().map(Vec::len)),
            ("Acknowledgement", self.acknowledgement.as_ref().map(Vec::len)),
        ];
        let there = packets.iter().filter(|(_, count)| count.is_some());
        (there.map(|(name, _)| *name).collect(), packets.iter().filter_map(|(_, count)| *count).sum())
    }
}

/// `POST /api/v1/foa/{prosumer}`.
pub async fn communicate(
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let prosumer = crate::fman::prosumer(&path)?;
    let Envelope { request: packets } = body(&request, payload, &state).await?;
    let party = Party::new(&request, &state).about(prosumer);
    party.may((Resource::Schedule, Action::Act), prosumer, format!("agent of {prosumer}")).await?;
    // It asks again in a moment, and its orders it gets in any case.
    let _ = state.served.market.heard(prosumer, false);
    let (there, count) = packets.there();
    at_most(count)?;
    let mut reply = json!({
        "AdministrationControl": { "PollSeconds": POLL_S, "Time": now(&state)? },
        "ConfigParams": { "IntervalLength": Slot::SECONDS, "Devices": devices(&state, prosumer) },
    });
    if there.is_empty() {
        let detail = "none of OperationData, FlexibilityData, DemandCancelation, Acknowledgement is there";
        reply["Nack"] = json!({ "code": "no_packet", "detail": detail });
    } else {
        let refused = take(&party, prosumer, packets).await?;
        reply["Ack"] = json!({ "Received": there });
        let of = |packet: &str| -> Vec<Value> {
            refused.iter().filter(|(of, _)| *of == packet).map(|(_, value)| value.clone()).collect()
        };
        reply["FlexibilityReject"] = of("FlexibilityData").into();
        reply["OperationReject"] = of("OperationData").into();
        reply["CancelationReject"] = of("DemandCancelation").into();
        reply["AcknowledgementReject"] = of("Acknowledgement").into();
    }
    reply["DemandSchedule"] = json!(party.orders(prosumer)?);
    Ok(json_answer(&reply))
}

fn devices(state: &State, prosumer: ProsumerId) -> Value {
    let devices = state.served.market.devices_of(prosumer);
    devices.iter().map(|(point, device)| json!({ "device": device, "usage_point": point })).collect()
}

/// Takes every entry by itself; what was refused, by packet, with its place.
async fn take(
    party: &Party<'_>,
    prosumer: ProsumerId,
    packets: Packets,
) -> Result<Vec<(&'static str, Value)>, Problem> {
    let mut refused = Vec::new();
    let mut refuse = |packet, index: usize, problem: &Problem| {
        let (code, detail) = problem.words();
        refused.push((packet, json!({ "index": index, "code": code, "detail": detail })));
    };
    let measured = packets.operation_data.as_deref().unwrap_or_default();
    for (index, outcome) in party.measured_all(measured).await.into_iter().enumerate() {
        if let Err(problem) = outcome {
            refuse("OperationData", index, &problem);
        }
    }
    // What frees a device comes before what wants it.
    for (index, id) in packets.demand_cancelation.iter().flatten().enumerate() {
        if let Err(problem) = party.withdraw(id).await {
            refuse("DemandCancelation", index, &problem);
        }
    }
    for (index, offer) in packets.flexibility_data.iter().flatten().enumerate() {
        if let Err(problem) = party.hand_in(offer).await {
            refuse("FlexibilityData", index, &problem);
        }
    }
    for (index, answer) in packets.acknowledgement.into_iter().flatten().enumerate() {
        let id = answer.activation.clone();
        match party.acknowledge(prosumer, answer).await {
            Ok(true) => {}
            Ok(false) => {
                let problem = Problem::not_found(format!("order {id} is not open"));
                refuse("Acknowledgement", index, &problem);
            }
            Err(problem) => refuse("Acknowledgement", index, &problem),
        }
    }
    Ok(refused)
}
