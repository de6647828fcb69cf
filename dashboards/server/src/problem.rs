//! Errors as problem documents (RFC 9457). `type` stays `about:blank`; the stable word is `code`.

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;
use std::fmt;

/// Media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A refusal with its facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: String,
    detail: String,
    /// After how many seconds the same may be asked again.
    retry_after_s: Option<u32>,
}

impl Problem {
    /// A problem with a stable code and one sentence about this occurrence.
    pub fn new(status: StatusCode, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { status, code: code.into(), detail: detail.into(), retry_after_s: None }
    }

    /// The same, and after how many seconds it is worth asking again.
    pub fn retry_after_s(self, seconds: u32) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// Its code and its sentence, for a reply that has other words for refusals.
    pub fn words(&self) -> (&str, &str) {
        (&self.code, &self.detail)
    }

    /// Whether it is that somebody may not.
    pub fn is_forbidden(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
    }

    /// Whether it is not what was asked that is wrong.
    pub fn is_ours(&self) -> bool {
        self.status.is_server_error()
    }

    /// Nothing is there.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let title = self.status.canonical_reason().unwrap_or("Problem");
        let mut answer = HttpResponse::build(self.status);
        if let Some(seconds) = self.retry_after_s {
            answer.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        answer.insert_header(("cache-control", "no-store")).content_type(PROBLEM_JSON).body(
            json!({
                "type": "about:blank",
                "title": title,
                "status": self.status.as_u16(),
                "code": self.code,
                "detail": self.detail,
            })
            .to_string(),
        )
    }
}
