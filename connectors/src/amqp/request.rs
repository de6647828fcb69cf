//! What stands in a request, and the reply to it: JSON, as the service platform's clients write and read it.

use super::wire::Properties;
use serde_json::{Map, Value, json};

/// Longest name of a queue, bytes.
pub(super) const NAME_BYTES_MAX: usize = 255;
/// Longest correlation id and client id, bytes of their JSON.
const ID_BYTES_MAX: usize = 1024;

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Name of the service.
    pub service: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
    /// The broker's user that sent it, where the message names one; RabbitMQ lets nobody name another.
    pub user: Option<String>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// 200, or a number above 400.
    pub status: u16,
    /// What was asked for, or what is wrong.
    pub result: Value,
}

impl Answer {
    /// A refusal: a stable word and a sentence.
    pub fn refused(status: u16, code: &str, sentence: &str) -> Self {
        Self { status, result: json!({ "error": code, "message": sentence }) }
    }
}

/// Where a reply goes, and what is said in it of the request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Requestor {
    pub reply_to: Option<String>,
    /// `correlationID` of the body, as it came.
    correlation: Option<Value>,
    client: Option<Value>,
    pub correlation_id: Option<String>,
    pub transient: bool,
    service: Option<String>,
}

/// Reads a request; who asked is told also when it cannot be read.
pub(super) fn read(properties: Properties, body: &[u8]) -> (Requestor, Result<Request, String>) {
    let Properties { correlation_id, reply_to, user_id } = properties;
    let mut from = Requestor {
        reply_to: reply_to.filter(|name| !name.is_empty()),
        correlation: None,
        client: None,
        correlation_id,
        transient: false,
        service: None,
    };
    let request = serde_json::from_slice::<Value>(body)
        .map_err(|error| format!("the message is no JSON: {error}"))
        .and_then(|message| request(&mut from, message, user_id));
    (from, request)
}

fn request(from: &mut Requestor, mut message: Value, user: Option<String>) -> Result<Request, String> {
    let Some(Value::Object(mut request)) = message.get_mut("serviceRequest").map(Value::take) else {
        return Err("serviceRequest is missing".to_owned());
    };
    if let Some(Value::Object(mut requestor)) = request.remove("requestor") {
        match requestor.remove("replyTo") {
            None | Some(Value::Null) => {}
            Some(Value::String(name)) if !name.is_empty() && name.len() <= NAME_BYTES_MAX => {
                from.reply_to = Some(name);
            }
            Some(_) => return Err("requestor.replyTo is no name of a queue".to_owned()),
        }
        let mut id = |key: &str| {
            let id = requestor.remove(key).filter(|id| !id.is_null());
            let fits = |id: &Value| !id.is_object() && !id.is_array() && id.to_string().len() <= ID_BYTES_MAX;
            match id {
                Some(id) if !fits(&id) => Err(format!("requestor.{key} is no number and no short text")),
                id => Ok(id),
            }
        };
        from.correlation = id("correlationID")?;
        from.client = id("clientID")?;
        from.transient = requestor.get("transient").and_then(Value::as_bool).unwrap_or(false);
    }
    let Some(Value::Object(mut service)) = request.remove("service") else {
        return Err("serviceRequest.service is missing".to_owned());
    };
    let Some(Value::String(name)) = service.remove("name") else {
        return Err("service.name is missing".to_owned());
    };
    let name: String = name.chars().take(NAME_BYTES_MAX).collect();
    from.service = Some(name.clone());
    let arguments = match service.remove("args") {
        Some(Value::Object(arguments)) => arguments,
        None | Some(Value::Null) => Map::new(),
        Some(_) => return Err("service.args is no object".to_owned()),
    };
    Ok(Request { service: name, arguments, user })
}

impl Requestor {
    /// The reply, as JSON.
    pub fn reply(&self, answer: &Answer) -> Vec<u8> {
        let mut requestor = Map::new();
        for (key, value) in [("correlationID", &self.correlation), ("clientID", &self.client)] {
            if let Some(value) = value {
                requestor.insert(key.to_owned(), value.clone());
            }
        }
        let mut service = Map::new();
        if let Some(name) = &self.service {
            service.insert("name".to_owned(), json!(name));
        }
        service.insert("status".to_owned(), json!(answer.status));
        service.insert("result".to_owned(), answer.result.clone());
        json!({ "serviceResponse": { "requestor": requestor, "service": service } }).to_string().into_bytes()
    }
}
