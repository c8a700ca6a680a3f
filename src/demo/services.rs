//! One service of the shop as the OpenTelemetry SDK sees it: a resource, a tracer, a logger, meters,
//! each exporting over OTLP/gRPC.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use model::TimestampNs;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::metrics::{Counter, Gauge, Histogram, MeterProvider as _};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{BatchLogProcessor, SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracer, SdkTracerProvider};

/// A service that can send.
pub(super) struct Service {
    pub(super) name: &'static str,
    tracers: SdkTracerProvider,
    loggers: SdkLoggerProvider,
    meters: SdkMeterProvider,
    tracer: SdkTracer,
    logger: SdkLogger,
    pub(super) request_seconds: Histogram<f64>,
    pub(super) requests: Counter<u64>,
    pub(super) level: Gauge<u64>,
}

/// A span to be sent.
pub(super) struct SpanSpec {
    pub(super) name: String,
    pub(super) kind: SpanKind,
    pub(super) start: TimestampNs,
    pub(super) end: TimestampNs,
    pub(super) attributes: Vec<KeyValue>,
    /// What went wrong.
    pub(super) error: Option<&'static str>,
}

fn system_time(at: TimestampNs) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(at.0).unwrap_or(0))
}

impl Service {
    /// Builds the SDK's pipelines towards `collector`.
    pub(super) fn open(
        name: &'static str,
        collector: SocketAddr,
        pace: Duration,
    ) -> anyhow::Result<Self> {
        let endpoint = format!("http://{collector}");
        let resource = Resource::builder()
            .with_service_name(name)
            .with_attributes([
                KeyValue::new("service.namespace", "shop"),
                KeyValue::new("service.version", "1.4.2"),
                KeyValue::new("service.instance.id", format!("{name}-0")),
                KeyValue::new("deployment.environment.name", "demo"),
                KeyValue::new("k8s.pod.name", format!("{name}-7d9f-0")),
            ])
            .build();
        let spans = SpanExporter::builder().with_tonic().with_endpoint(&endpoint).build();
        let spans = BatchSpanProcessor::builder(spans.context("build the span exporter")?)
            .with_batch_config(
                opentelemetry_sdk::trace::BatchConfigBuilder::default()
                    .with_scheduled_delay(pace / 2)
                    .with_max_queue_size(20_000)
                    .build(),
            )
            .build();
        let tracers = SdkTracerProvider::builder()
            .with_span_processor(spans)
            .with_resource(resource.clone())
            .build();
        let logs = LogExporter::builder().with_tonic().with_endpoint(&endpoint).build();
        let logs = BatchLogProcessor::builder(logs.context("build the log exporter")?)
            .with_batch_config(
                opentelemetry_sdk::logs::BatchConfigBuilder::default()
                    .with_scheduled_delay(pace / 2)
                    .build(),
            )
            .build();
        let loggers = SdkLoggerProvider::builder()
            .with_log_processor(logs)
            .with_resource(resource.clone())
            .build();
        let metrics = MetricExporter::builder().with_tonic().with_endpoint(&endpoint).build();
        let reader = PeriodicReader::builder(metrics.context("build the metric exporter")?)
            .with_interval(pace)
            .build();
        let meters =
            SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build();
        let meter = meters.meter("shop");
        Ok(Service {
            name,
            tracer: tracers.tracer("shop"),
            logger: loggers.logger("shop"),
            request_seconds: meter
                .f64_histogram("http.server.request.duration")
                .with_unit("s")
                .with_description("Duration of requests that this service answered.")
                .build(),
            requests: meter
                .u64_counter("shop.requests")
                .with_description("Requests that this service answered.")
                .build(),
            level: meter
                .u64_gauge("shop.queue.length")
                .with_description("Work that waits in this service.")
                .build(),
            tracers,
            loggers,
            meters,
        })
    }

    /// Sends a span; answers the context that its children and its logs carry.
    pub(super) fn span(&self, spec: SpanSpec, parent: Option<&SpanContext>) -> SpanContext {
        let parent = match parent {
            Some(parent) => Context::new().with_remote_span_context(parent.clone()),
            None => Context::new(),
        };
        let mut span = self
            .tracer
            .span_builder(spec.name)
            .with_kind(spec.kind)
            .with_start_time(system_time(spec.start))
            .with_attributes(spec.attributes)
            .start_with_context(&self.tracer, &parent);
        if let Some(message) = spec.error {
            let attributes = vec![
                KeyValue::new("exception.type", "GatewayError"),
                KeyValue::new("exception.message", message),
            ];
            span.add_event_with_timestamp("exception", system_time(spec.end), attributes);
            span.set_status(Status::error(message));
        }
        let context = span.span_context().clone();
        span.end_with_timestamp(system_time(spec.end));
        context
    }

    /// Sends a log record that belongs to a span.
    pub(super) fn log(
        &self,
        at: TimestampNs,
        severity: Severity,
        line: String,
        attributes: Vec<(&'static str, AnyValue)>,
        span: &SpanContext,
    ) {
        let mut record = self.logger.create_log_record();
        record.set_timestamp(system_time(at));
        record.set_observed_timestamp(system_time(at));
        record.set_severity_number(severity);
        record.set_severity_text(severity.name());
        record.set_body(line.into());
        record.add_attributes(attributes);
        record.set_trace_context(span.trace_id(), span.span_id(), Some(span.trace_flags()));
        self.logger.emit(record);
    }

    /// Sends what is left. Blocks.
    pub(super) fn close(&self) {
        let results = [self.tracers.shutdown(), self.loggers.shutdown(), self.meters.shutdown()];
        for error in results.into_iter().filter_map(Result::err) {
            tracing::warn!(service = self.name, %error, "the SDK did not stop cleanly");
        }
    }
}
