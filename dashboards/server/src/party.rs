//! What a party outside does with what is its own, whatever words its protocol has for it: offers and withdrawals, orders and
//! answers to them, measurements.

use crate::OfferAnswer;
use crate::deposit::now;
use crate::guard::{allow, note_done};
use crate::offer_message::{self, Received};
use crate::offers::{is_new, no_answer, not_now};
use crate::owned::Asking;
use crate::problem::Problem;
use crate::serve::State;
use access::{Action, Principal, Resource};
use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest};
use actors::market_side::{BUNDLED, NOT_OPEN, OLD_REVISION, OTHER_OWNER};
use connectors::Message;
use connectors::flex_offer::Note;
use grid::ProsumerId;
use market::{Activation, ActivationId, ActivationStatus, FlexOfferId};
use serde::Deserialize;
use serde_json::Value;

/// Who speaks.
pub(crate) struct Party<'a> {
    pub(crate) state: &'a State,
    principal: Option<Principal>,
    /// Whose things this is about; nothing when that is not said.
    pub(crate) about: Option<ProsumerId>,
}

/// What became of an offer, its name, and what of its message was not read.
pub(crate) type Handed = (OfferAnswer, FlexOfferId, Vec<Note>);

/// An answer to an order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acknowledgement {
    pub activation: ActivationId,
    pub accepted: bool,
    #[serde(default)]
    pub reason: Option<String>,
}

impl<'a> Party<'a> {
    pub fn new(request: &HttpRequest, state: &'a State) -> Self {
        Self { state, principal: request.extensions().get::<Principal>().cloned(), about: None }
    }

    /// Somebody who speaks another way than over HTTP.
    pub fn of(principal: Option<Principal>, state: &'a State) -> Self {
        Self { state, principal, about: None }
    }

    /// About one prosumer's things only: what belongs to another is refused, also when it is the party's own.
    pub fn about(self, prosumer: ProsumerId) -> Self {
        Self { about: Some(prosumer), ..self }
    }

    fn is_about(&self, owner: ProsumerId) -> Result<(), Problem> {
        match self.about {
            Some(prosumer) if prosumer != owner => {
                let detail = format!("the offer is not prosumer {prosumer}'s");
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "other_owner", detail))
            }
            _ => Ok(()),
        }
    }

    /// Whether offers of a prosumer are its own.
    pub fn owns(&self, owner: ProsumerId) -> bool {
        Asking::of(self.principal.clone(), (Resource::FlexOffer, Action::Act)).owns(owner)
    }

    /// Whether it may, with what belongs to a prosumer.
    pub async fn may(
        &self,
        right: (Resource, Action),
        owner: ProsumerId,
        object: String,
    ) -> Result<(), Problem> {
        allow(&self.state.served.access, self.principal.as_ref(), right, Some(owner), object).await
    }

    /// Hands an offer in; its id, and what of its message was not read.
    pub async fn offer(&self, mut received: Received) -> Result<Handed, Problem> {
        let (owner, name) = (received.offer.prosumer, received.offer.id.to_string());
        self.is_about(owner)?;
        self.may((Resource::FlexOffer, Action::Create), owner, name).await?;
        let notes = std::mem::take(&mut received.notes);
        // Whose devices there are is told to none but their owner.
        let offer = received.placed(self.state.served.market.as_ref())?;
        let id = offer.id.clone();
        let answer = self.state.served.market.submit(offer);
        let answer = tokio::time::timeout(self.state.limits.answer_deadline, answer);
        Ok((answer.await.map_err(|_| no_answer())?, id, notes))
    }

    /// Hands in the offer that a message is, in our own form or a dialect: its id, and whether it is a new one.
    ///
    /// # Errors
    /// What is wrong with the message, and whatever keeps the market from taking the offer.
    pub async fn hand_in(&self, message: &Value) -> Result<(FlexOfferId, bool), Problem> {
        let (answer, id, _) = self.offer(offer_message::read(message)?).await?;
        let new = is_new(answer, &id)?;
        Ok((id, new))
    }

    /// Whose an offer is, where the party may do something with it.
    async fn owner_of(&self, id: &FlexOfferId) -> Result<ProsumerId, Problem> {
        let (market, within) = (&self.state.served.market, self.state.limits.answer_deadline);
        let found = tokio::time::timeout(within, market.find(id.clone())).await.map_err(|_| no_answer())?;
        let unknown = || unknown(id);
        let owner = found.ok_or_else(unknown)?.offer.prosumer;
        self.is_about(owner).map_err(|_| unknown())?;
        // Whose offers there are is nobody else's business.
        let allowed = self.may((Resource::FlexOffer, Action::Act), owner, id.to_string()).await;
        allowed.map_err(|problem| if problem.is_forbidden() { unknown() } else { problem })?;
        Ok(owner)
    }

    /// Puts other contents into the place of an open offer's of one's own; what of the message was not read.
    pub async fn change(&self, id: &FlexOfferId, mut received: Received) -> Result<Vec<Note>, Problem> {
        let owner = self.owner_of(id).await?;
        let forbidden = |code, detail| Err(Problem::new(StatusCode::FORBIDDEN, code, detail));
        let given = &received.offer;
        if given.id != *id {
            return forbidden(
                "other_id",
                format!("the body is FlexOffer {}, the address is {id}'s", given.id),
            );
        }
        if given.prosumer != owner {
            let detail = format!(
                "FlexOffer {id} is prosumer {owner}'s and stays so; the body says {}",
                given.prosumer
            );
            return forbidden("other_owner", detail);
        }
        let notes = std::mem::take(&mut received.notes);
        let market = &self.state.served.market;
        let answer = market.change(received.placed(market.as_ref())?);
        let answer = tokio::time::timeout(self.state.limits.answer_deadline, answer).await;
        match answer.map_err(|_| no_answer())? {
            OfferAnswer::Accepted | OfferAnswer::Known => Ok(notes),
            OfferAnswer::Refused { code, sentence } => {
                let status = match code.as_str() {
                    NOT_OPEN | OTHER_OWNER => StatusCode::FORBIDDEN,
                    BUNDLED | OLD_REVISION => StatusCode::CONFLICT,
                    _ => StatusCode::UNPROCESSABLE_ENTITY,
                };
                Err(Problem::new(status, code, sentence))
            }
            OfferAnswer::Conflict => Err(unknown(id)),
            OfferAnswer::Unavailable { code, sentence } => Err(not_now(code, sentence)),
        }
    }

    /// Takes an offer of one's own back.
    pub async fn withdraw(&self, id: &FlexOfferId) -> Result<(), Problem> {
        self.owner_of(id).await?;
        let (market, within) = (&self.state.served.market, self.state.limits.answer_deadline);
        let answer = tokio::time::timeout(within, market.withdraw(id.clone())).await;
        match answer.map_err(|_| no_answer())? {
            OfferAnswer::Accepted | OfferAnswer::Known => Ok(()),
            OfferAnswer::Refused { code, sentence } => {
                Err(Problem::new(StatusCode::CONFLICT, code, sentence))
            }
            OfferAnswer::Conflict => Err(unknown(id)),
            OfferAnswer::Unavailable { code, sentence } => Err(not_now(code, sentence)),
        }
    }

    /// Orders to a prosumer's devices that wait for an answer and are not over.
    pub fn orders(&self, prosumer: ProsumerId) -> Result<Vec<Activation>, Problem> {
        let now = now(self.state)?;
        let mut orders = self.state.served.market.orders(prosumer);
        orders.retain(|order| now < order.schedule.start.plus(order.schedule.energies.len() as i64).start());
        Ok(orders)
    }

    /// Answers an order to a device of a prosumer; on the disk when this returns. An order that is not open (answered, over, or
    /// another's) changes nothing.
    pub async fn acknowledge(&self, prosumer: ProsumerId, answer: Acknowledgement) -> Result<bool, Problem> {
        let Some(order) = self.orders(prosumer)?.into_iter().find(|order| order.id == answer.activation)
        else {
            return Ok(false);
        };
        if let Some(principal) = &self.principal {
            let right = (Resource::Schedule, Action::Act);
            note_done(&self.state.served.access, principal, right, order.id.to_string()).await?;
        }
        let reason = answer.reason.map(|reason| reason.chars().take(200).collect());
        let at = now(self.state)?;
        let (activation, accepted) = (order.id, answer.accepted);
        let status = ActivationStatus { activation, device: order.device, accepted, reason, at };
        self.pass(Message::Status(status)).await.map(|refused| refused.is_none())
    }

    /// Passes a message on to the field's side; the word of a refusal there.
    pub(crate) async fn pass(&self, message: Message) -> Result<Option<&'static str>, Problem> {
        let none = || Problem::new(StatusCode::NOT_FOUND, "no_field", "this system takes no measurements");
        let field = self.state.served.field.as_ref().ok_or_else(none)?;
        field.pass(message, self.state.limits.answer_deadline).await
    }
}

fn unknown(id: &FlexOfferId) -> Problem {
    Problem::not_found(format!("there is no FlexOffer {id}"))
}
