//! A request as a span: what it causes in the system belongs to its trace, and it to the trace of whoever asks, if the request
//! names one (`traceparent`).

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actors::runtime::{Cause, cause};
use tracing::Instrument;
use tracing::field::Empty;

/// Handles a request of the table's row with this path within a span, when somebody wants spans.
pub async fn spanned<B: MessageBody + 'static>(
    path: &'static str,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    if !cause::wanted() {
        return next.call(request).await;
    }
    let (method, header) = (request.method().to_string(), request.headers().get("traceparent"));
    let asked = header.and_then(|header| header.to_str().ok()).and_then(Cause::from_traceparent);
    let name = format!("{method} {path}");
    let span = asked.unwrap_or_default().of(tracing::info_span!(
        target: cause::TARGET, "request", otel.name = name, otel.kind = "server", http.request.method = method,
        http.route = path, http.response.status_code = Empty, otel.status_code = Empty
    ));
    let answer = next.call(request).instrument(span.clone()).await;
    let status = match &answer {
        Ok(answer) => answer.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    answer
}
