//! Spans to an OpenTelemetry collector, when the environment names one; and the log on standard error.
//!
//! The variables are [OpenTelemetry's own](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/):
//! `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` turns it on.

mod collector;
mod counted;

use anyhow::{Context, bail};
use collector::Collector;
use counted::{CountedExporter, CountedProcessor};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use std::io::IsTerminal;
use std::time::Duration;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// What is written to standard error when `RUST_LOG` does not say. The exporter's failures are said once, by [`Collector`].
const LOG: &str = "warn,rumqttc=off,actix_http=off,opentelemetry-otlp=off,opentelemetry_sdk=off";
/// Spans that wait for the collector, at most; more are dropped and counted.
const WAITING_MAX: usize = 16_384;
/// Spans in one request, at most.
const REQUEST_MAX: usize = 2_048;
/// How often waiting spans are sent.
const SENT_EACH: Duration = Duration::from_secs(1);
/// How long the end of the program waits for the last spans.
const LAST_WITHIN: Duration = Duration::from_secs(3);

/// Sends what is left when it is dropped.
pub struct Traces(Option<SdkTracerProvider>);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.take().map(|provider| provider.shutdown_with_timeout(LAST_WITHIN)) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// Starts logging, and the export of spans if a collector is named.
///
/// # Errors
/// A variable that makes no sense.
pub fn start() -> anyhow::Result<Traces> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG));
    let log = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_filter(filter);
    if !asked_for() {
        tracing_subscriber::registry().with(log).init();
        return Ok(Traces(None));
    }
    let provider = provider()?;
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("gridflex"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_filter(filter_fn(is_told));
    tracing_subscriber::registry().with(log).with(spans).init();
    Ok(Traces(Some(provider)))
}

/// Our spans, and the warnings within them; nothing of what sends them, which would not end.
fn is_told(metadata: &Metadata<'_>) -> bool {
    if metadata.is_span() {
        return metadata.target() == actors::runtime::cause::TARGET;
    }
    let of_the_exporter = ["opentelemetry", "ureq", "rustls", "gridflex::traces"];
    *metadata.level() <= Level::WARN
        && !of_the_exporter.iter().any(|name| metadata.target().starts_with(name))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Of the one for traces and the one for everything, the first that is set.
fn either(traces: &str, all: &str) -> Option<String> {
    variable(traces).or_else(|| variable(all))
}

fn asked_for() -> bool {
    let off = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let none = variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    !off && !none && either("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT").is_some()
}

fn provider() -> anyhow::Result<SdkTracerProvider> {
    let protocol = either("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL");
    if let Some(protocol) = protocol.filter(|protocol| protocol != "http/protobuf") {
        bail!(
            "OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}: spans are sent with http/protobuf only, usually to port 4318"
        );
    }
    let endpoint = either("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT");
    let endpoint = endpoint.unwrap_or_default();
    if !["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme)) {
        bail!(
            "OTEL_EXPORTER_OTLP_ENDPOINT is {endpoint}, which is no http:// or https:// address; an example is http://127.0.0.1:4318"
        );
    }
    let timeout = either("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT");
    let timeout = match timeout {
        Some(ms) => ms.parse().with_context(|| {
            format!("OTEL_EXPORTER_OTLP_TIMEOUT is {ms}, which is no number of milliseconds")
        })?,
        None => 10_000,
    };
    let certificate = either("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE");
    let encrypted = endpoint.starts_with("https://");
    let collector = Collector::new(Duration::from_millis(timeout), encrypted, certificate.as_deref())?;
    let exporter = SpanExporter::builder().with_http().with_http_client(collector).build();
    let exporter = exporter.context("spans cannot be exported: see the OTEL_EXPORTER_OTLP_… variables")?;
    let processor =
        BatchSpanProcessor::builder(CountedExporter(exporter)).with_batch_config(batches().build()).build();
    let mut resource = Resource::builder();
    if variable("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("gridflex");
    }
    let resource =
        resource.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build();
    Ok(SdkTracerProvider::builder()
        .with_span_processor(CountedProcessor(processor))
        .with_resource(resource)
        .build())
}

/// Larger than OpenTelemetry's own sizes, unless the environment says.
fn batches() -> BatchConfigBuilder {
    let mut batches = BatchConfigBuilder::default();
    if variable("OTEL_BSP_MAX_QUEUE_SIZE").is_none() {
        batches = batches.with_max_queue_size(WAITING_MAX);
    }
    if variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE").is_none() {
        batches = batches.with_max_export_batch_size(REQUEST_MAX);
    }
    if variable("OTEL_BSP_SCHEDULE_DELAY").is_none() {
        batches = batches.with_scheduled_delay(SENT_EACH);
    }
    batches
}
