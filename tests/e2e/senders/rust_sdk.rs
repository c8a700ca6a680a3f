//! The OpenTelemetry SDK of Rust with its batch processors on their own threads.

use std::pin::Pin;

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{Span as _, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    Compression, LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig as _,
    WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;

use super::{Sent, all_arrived};
use crate::support::{Server, now_ns};

const COUNT: usize = 700;

/// Lets the SDK's threads, which no runtime drives, send by HTTP.
#[derive(Debug, Clone)]
struct RuntimeClient {
    runtime: tokio::runtime::Handle,
    client: reqwest::Client,
}

impl RuntimeClient {
    fn here() -> Self {
        let runtime = tokio::runtime::Handle::current();
        RuntimeClient { runtime, client: crate::support::client() }
    }
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for RuntimeClient {
    // What `#[async_trait]` makes of `async fn send_bytes`.
    fn send_bytes<'life0, 'async_trait>(
        &'life0 self,
        request: Request<Bytes>,
    ) -> Sending<'async_trait>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let answer = client.execute(request.try_into()?).await?;
            let mut response = Response::builder().status(answer.status().as_u16());
            for (name, value) in answer.headers() {
                response = response.header(name, value);
            }
            Ok::<_, HttpError>(response.body(answer.bytes().await?)?)
        });
        Box::pin(async move { sent.await? })
    }
}

struct Exporters {
    spans: SpanExporter,
    logs: LogExporter,
    metrics: MetricExporter,
}

fn grpc(server: &Server, compression: Option<Compression>) -> Exporters {
    let endpoint = format!("http://{}", server.addresses.grpc);
    macro_rules! build {
        ($exporter:ident) => {{
            let builder = $exporter::builder().with_tonic().with_endpoint(&endpoint);
            let builder = match compression {
                Some(compression) => builder.with_compression(compression),
                None => builder,
            };
            builder.build().unwrap()
        }};
    }
    Exporters {
        spans: build!(SpanExporter),
        logs: build!(LogExporter),
        metrics: build!(MetricExporter),
    }
}

fn http(server: &Server) -> Exporters {
    let client = RuntimeClient::here();
    macro_rules! build {
        ($exporter:ident, $signal:literal) => {
            $exporter::builder()
                .with_http()
                .with_http_client(client.clone())
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(format!("http://{}/v1/{}", server.addresses.http, $signal))
                .build()
                .unwrap()
        };
    }
    Exporters {
        spans: build!(SpanExporter, "traces"),
        logs: build!(LogExporter, "logs"),
        metrics: build!(MetricExporter, "metrics"),
    }
}

/// Sends [`COUNT`] of everything in one trace and waits until all is flushed.
fn send(exporters: Exporters, service: &'static str, transport: &'static str) -> Sent {
    let from_ns = now_ns();
    let resource = Resource::builder().with_service_name(service).build();
    let tracers = SdkTracerProvider::builder()
        .with_batch_exporter(exporters.spans)
        .with_resource(resource.clone())
        .build();
    let loggers = SdkLoggerProvider::builder()
        .with_batch_exporter(exporters.logs)
        .with_resource(resource.clone())
        .build();
    let meters = SdkMeterProvider::builder()
        .with_periodic_exporter(exporters.metrics)
        .with_resource(resource)
        .build();
    let (tracer, logger) = (tracers.tracer("e2e"), loggers.logger("e2e"));
    let steps = meters.meter("e2e").u64_counter("steps").build();
    let root = tracer.start("root");
    let trace_id = root.span_context().trace_id();
    let root = Context::new().with_span(root);
    for number in 1..=COUNT {
        let name = if number == 7 { "seven".to_owned() } else { format!("{number}th") };
        // The root is one of the spans.
        let span_id = if number < COUNT {
            let mut span = tracer.start_with_context(format!("step {number}"), &root);
            span.set_attribute(KeyValue::new("step.name", name.clone()));
            span.set_attribute(KeyValue::new("step.number", number as i64));
            span.span_context().span_id()
        } else {
            root.span().span_context().span_id()
        };
        let mut record = logger.create_log_record();
        record.set_severity_number(Severity::Warn);
        record.set_body(AnyValue::from(format!("did step {number}")));
        record.add_attribute("step.name", name);
        record.set_trace_context(trace_id, span_id, None);
        logger.emit(record);
        steps.add(1, &[KeyValue::new("step.name", "seven")]);
    }
    root.span().end();
    tracers.shutdown().unwrap();
    loggers.shutdown().unwrap();
    meters.shutdown().unwrap();
    let trace_id = u128::from_be_bytes(trace_id.to_bytes());
    Sent { service: service.to_owned(), trace_id, count: COUNT, from_ns, transport }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_sdk_over_grpc_counts_in_equal_counts_out() {
    let server = Server::start().await;
    let exporters = grpc(&server, None);
    let sent = tokio::task::spawn_blocking(move || send(exporters, "rust-grpc", "grpc"));
    all_arrived(&server, &sent.await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_sdk_over_grpc_with_gzip_counts_in_equal_counts_out() {
    let server = Server::start().await;
    let exporters = grpc(&server, Some(Compression::Gzip));
    let sent = tokio::task::spawn_blocking(move || send(exporters, "rust-gzip", "grpc"));
    all_arrived(&server, &sent.await.unwrap()).await;
    let wire_bytes = server.own_metric("signalbox_otlp_wire_bytes_total", &[]).await;
    let decoded_bytes = server.own_metric("signalbox_otlp_decoded_bytes_total", &[]).await;
    assert!(wire_bytes * 2.0 < decoded_bytes, "{wire_bytes} of {decoded_bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_sdk_over_http_counts_in_equal_counts_out() {
    let server = Server::start().await;
    let exporters = http(&server);
    let sent = tokio::task::spawn_blocking(move || send(exporters, "rust-http", "http"));
    all_arrived(&server, &sent.await.unwrap()).await;
}
