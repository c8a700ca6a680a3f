"""Sends COUNT spans of one trace, COUNT log records and COUNT additions to a counter, then says on
standard output which trace it was.

usage: send.py {grpc,http} {none,gzip} ENDPOINT SERVICE COUNT
"""

import json
import sys
import time

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def exporters(protocol, compression, endpoint):
    """The exporters of spans, log records and metrics."""
    if protocol == "grpc":
        from grpc import Compression
        from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as logs
        from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as metrics
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as traces

        kind = Compression.Gzip if compression == "gzip" else Compression.NoCompression
        options = {"endpoint": endpoint, "insecure": True, "compression": kind}
        return (
            traces.OTLPSpanExporter(**options),
            logs.OTLPLogExporter(**options),
            metrics.OTLPMetricExporter(**options),
        )
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http import _log_exporter as logs
    from opentelemetry.exporter.otlp.proto.http import metric_exporter as metrics
    from opentelemetry.exporter.otlp.proto.http import trace_exporter as traces

    kind = Compression.Gzip if compression == "gzip" else Compression.NoCompression
    return (
        traces.OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", compression=kind),
        logs.OTLPLogExporter(endpoint=f"{endpoint}/v1/logs", compression=kind),
        metrics.OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics", compression=kind),
    )


def main():
    protocol, compression, endpoint, service, count = sys.argv[1:]
    count = int(count)
    span_exporter, log_exporter, metric_exporter = exporters(protocol, compression, endpoint)
    resource = Resource.create({"service.name": service})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(span_exporter))
    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(BatchLogRecordProcessor(log_exporter))
    meters = MeterProvider([PeriodicExportingMetricReader(metric_exporter)], resource=resource)
    tracer, logger = tracers.get_tracer("e2e"), loggers.get_logger("e2e")
    steps = meters.get_meter("e2e").create_counter("steps")

    root = tracer.start_span("root")
    inside = trace.set_span_in_context(root)
    trace_id = root.get_span_context().trace_id
    for number in range(1, count + 1):
        name = "seven" if number == 7 else f"{number}th"
        context = inside
        if number < count:  # The root is one of the spans.
            attributes = {"step.name": name, "step.number": number}
            span = tracer.start_span(f"step {number}", context=inside, attributes=attributes)
            context = trace.set_span_in_context(span)
            span.end()
        logger.emit(
            LogRecord(
                timestamp=time.time_ns(),
                context=context,
                severity_text="WARN",
                severity_number=SeverityNumber.WARN,
                body=f"did step {number}",
                attributes={"step.name": name},
            )
        )
        steps.add(1, {"step.name": "seven"})
    root.end()
    tracers.shutdown()
    loggers.shutdown()
    meters.shutdown()
    json.dump({"trace_id": f"{trace_id:032x}"}, sys.stdout)


main()
