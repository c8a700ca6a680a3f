//! The corpora are what they say: the same every time, valid, and of the announced size.

use prost::Message as _;
use proto::generated::opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;
use proto::generated::opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use proto::generated::opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;
use proto::generated::opentelemetry::proto::common::v1::any_value::Value;
use proto::generated::opentelemetry::proto::logs::v1::LogRecord;
use proto::generated::opentelemetry::proto::metrics::v1::metric::Data;
use proto::generated::opentelemetry::proto::trace::v1::Span;
use proto::otlp::{LogsRef, MetricDataRef, MetricsRef, TracesRef};

use super::*;

const SIGNALS: [Signal; 3] = [Signal::Metrics, Signal::Logs, Signal::Traces];

fn small() -> Options {
    Options {
        requests: 6,
        pods: 40,
        points_per_request: 1_280,
        records_per_request: 505,
        spans_per_request: 400,
        ..Options::default()
    }
}

/// Items by the walkers, everything in them read.
fn walk(signal: Signal, bytes: &[u8]) -> u64 {
    match signal {
        Signal::Metrics => {
            let mut count = 0;
            for resource in MetricsRef::new(bytes).resource_metrics() {
                for scope in resource.unwrap().scope_metrics() {
                    for metric in scope.unwrap().metrics() {
                        count += match metric.unwrap().data {
                            MetricDataRef::Gauge { points } | MetricDataRef::Sum { points, .. } => {
                                points.map(Result::unwrap).count()
                            }
                            MetricDataRef::Histogram { points, .. } => {
                                points.map(Result::unwrap).count()
                            }
                            MetricDataRef::ExponentialHistogram { points, .. } => {
                                points.map(Result::unwrap).count()
                            }
                            _ => 0,
                        };
                    }
                }
            }
            count as u64
        }
        Signal::Logs => {
            let resources = LogsRef::new(bytes).resource_logs().map(Result::unwrap);
            let scopes = resources.flat_map(|one| one.scope_logs().map(Result::unwrap));
            scopes.flat_map(|one| one.log_records().map(Result::unwrap)).count() as u64
        }
        Signal::Traces => {
            let resources = TracesRef::new(bytes).resource_spans().map(Result::unwrap);
            let scopes = resources.flat_map(|one| one.scope_spans().map(Result::unwrap));
            scopes.flat_map(|one| one.spans().map(Result::unwrap)).count() as u64
        }
    }
}

fn points(bytes: &[u8]) -> Vec<(u64, Data)> {
    let request = ExportMetricsServiceRequest::decode(bytes).unwrap();
    let resources = request.resource_metrics.into_iter();
    let scopes = resources.flat_map(|resource| resource.scope_metrics);
    let data = scopes.flat_map(|scope| scope.metrics).filter_map(|metric| metric.data);
    data.map(|data| {
        let count = match &data {
            Data::Gauge(data) => data.data_points.len(),
            Data::Sum(data) => data.data_points.len(),
            Data::Histogram(data) => data.data_points.len(),
            Data::ExponentialHistogram(data) => data.data_points.len(),
            Data::Summary(data) => data.data_points.len(),
        };
        (count as u64, data)
    })
    .collect()
}

fn records(bytes: &[u8]) -> Vec<LogRecord> {
    let request = ExportLogsServiceRequest::decode(bytes).unwrap();
    let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
    scopes.flat_map(|scope| scope.log_records).collect()
}

fn spans(bytes: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(bytes).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

fn count(signal: Signal, bytes: &[u8]) -> u64 {
    match signal {
        Signal::Metrics => points(bytes).iter().map(|(count, _)| count).sum(),
        Signal::Logs => records(bytes).len() as u64,
        Signal::Traces => spans(bytes).len() as u64,
    }
}

#[test]
fn the_same_options_make_the_same_bytes_and_another_seed_makes_others() {
    for signal in SIGNALS {
        let corpus = Corpus::generate(signal, &small());
        assert_eq!(corpus, Corpus::generate(signal, &small()));
        let other = Corpus::generate(signal, &Options { seed: 2, ..small() });
        assert_ne!(corpus.requests[0].bytes, other.requests[0].bytes);
        assert_eq!(corpus.requests.len(), 6);
    }
}

#[test]
fn prost_and_the_walkers_find_the_announced_items() {
    for signal in SIGNALS {
        let corpus = Corpus::generate(signal, &Options { exponential: true, ..small() });
        for request in &corpus.requests {
            assert_eq!(count(signal, &request.bytes), request.items);
            assert_eq!(walk(signal, &request.bytes), request.items);
        }
    }
}

#[test]
fn a_request_of_the_default_options_has_the_size_of_the_yardstick() {
    let options = Options { requests: 4, ..Options::default() };
    let metrics = Corpus::generate(Signal::Metrics, &options);
    assert!(metrics.requests.iter().all(|request| request.items == 3_200));
    let exponential = Options { exponential: true, ..options.clone() };
    let request = &Corpus::generate(Signal::Metrics, &exponential).requests[0];
    assert_eq!((request.items, request.samples), (3_400, 50 * (10 * 17 + 28 + 26 + 4)));
    assert!(Corpus::generate(Signal::Logs, &options).requests.iter().all(|r| r.items == 2_000));
    for request in Corpus::generate(Signal::Traces, &options).requests {
        assert!(request.items.abs_diff(2_000) <= 45, "{}", request.items);
    }
}

#[test]
fn a_full_pod_has_ten_histograms_28_counters_and_26_gauges() {
    let options = Options { pods: 1, requests: 1, lanes: 1, ..small() };
    let corpus = Corpus::generate(Signal::Metrics, &options);
    let (mut histograms, mut counters, mut gauges) = (0, 0, 0);
    for (count, data) in points(&corpus.requests[0].bytes) {
        match data {
            Data::Histogram(histogram) => {
                assert_eq!(histogram.data_points[0].explicit_bounds.len(), 14);
                assert_eq!(histogram.data_points[0].bucket_counts.len(), 15);
                histograms += count;
            }
            Data::Sum(sum) if sum.is_monotonic => counters += count,
            _ => gauges += count,
        }
    }
    assert_eq!((histograms, counters, gauges), (10, 28, 26));
    assert_eq!(corpus.samples(), 10 * 17 + 28 + 26);
}

#[test]
fn of_numbers_a_point_is_a_sample() {
    let corpus = Corpus::generate(Signal::Metrics, &Options { shape: Shape::Numbers, ..small() });
    assert_eq!(corpus.items(), corpus.samples());
    for request in &corpus.requests {
        assert!(points(&request.bytes).iter().all(|(_, data)| matches!(data, Data::Gauge(_))));
    }
}

#[test]
fn lanes_keep_a_pod_together_and_are_a_multiple_of_the_connections() {
    for lanes in 1..=7 {
        let options = Options { lanes, requests: 50, ..small() };
        let groups = metrics::group_count(&options);
        assert_eq!(groups % lanes, 0);
        let corpus = Corpus::generate(Signal::Metrics, &options);
        for (index, request) in corpus.requests.iter().enumerate() {
            assert_eq!(request.lane, index % groups);
        }
    }
}

#[test]
fn times_lie_within_the_announced_span() {
    for signal in SIGNALS {
        let options = small();
        let corpus = Corpus::generate(signal, &options);
        let (start, end) = (options.start.0 as u64, (options.start.0 + corpus.span_ns) as u64);
        for request in &corpus.requests {
            let times: Vec<u64> = match signal {
                Signal::Metrics => points(&request.bytes)
                    .into_iter()
                    .filter_map(|(_, data)| match data {
                        Data::Sum(sum) => Some(sum.data_points[0].time_unix_nano),
                        _ => None,
                    })
                    .collect(),
                Signal::Logs => records(&request.bytes).iter().map(|r| r.time_unix_nano).collect(),
                Signal::Traces => {
                    let roots = spans(&request.bytes).into_iter();
                    let roots = roots.filter(|span| span.parent_span_id.is_empty());
                    roots.map(|span| span.start_time_unix_nano).collect()
                }
            };
            assert!(!times.is_empty());
            assert!(times.iter().all(|time| (start..end).contains(time)));
        }
    }
}

#[test]
fn log_bodies_have_the_mix_and_the_mean_size_of_the_yardstick() {
    let options = Options { requests: 10, ..Options::default() };
    let corpus = Corpus::generate(Signal::Logs, &options);
    let all: Vec<_> = corpus.requests.iter().flat_map(|request| records(&request.bytes)).collect();
    let bodies: Vec<_> = all
        .iter()
        .map(|record| match record.body.as_ref().and_then(|body| body.value.as_ref()) {
            Some(Value::StringValue(text)) => text.as_str(),
            other => panic!("a body is {other:?}"),
        })
        .collect();
    let mean = bodies.iter().map(|body| body.len()).sum::<usize>() / bodies.len();
    assert!((205..=245).contains(&mean), "{mean}");
    let percent = |count: usize| (count * 100 + bodies.len() / 2) / bodies.len();
    let access = bodies.iter().filter(|body| body.starts_with('{')).count();
    let stacks = bodies.iter().filter(|body| body.contains("\n\tat ")).count();
    let traced = bodies.iter().filter(|body| body.contains("trace_id=")).count();
    let events = all.iter().filter(|record| record.attributes.len() == 7).count();
    assert!((44..=46).contains(&percent(access)), "{access}");
    assert!((2..=4).contains(&percent(stacks)), "{stacks}");
    assert!((16..=19).contains(&percent(traced)), "{traced}");
    assert!((11..=13).contains(&percent(events)), "{events}");
}

#[test]
fn traces_have_the_size_and_the_failures_of_the_yardstick() {
    let options = Options { requests: 20, ..Options::default() };
    let corpus = Corpus::generate(Signal::Traces, &options);
    let all: Vec<_> = corpus.requests.iter().flat_map(|request| spans(&request.bytes)).collect();
    let mut sizes = std::collections::BTreeMap::new();
    for span in &all {
        *sizes.entry(span.trace_id.clone()).or_insert(0_usize) += 1;
    }
    let mean = all.len() as f64 / sizes.len() as f64;
    assert!((19.0..=22.5).contains(&mean), "{mean}");
    assert!(sizes.values().all(|size| (8..=42).contains(size)));
    let roots: Vec<_> = all.iter().filter(|span| span.parent_span_id.is_empty()).collect();
    assert_eq!(roots.len(), sizes.len());
    let failed = roots.iter().filter(|span| span.status.is_some()).count();
    let per_mille = failed * 1_000 / roots.len();
    assert!((20..=40).contains(&per_mille), "{per_mille}");
}

#[test]
fn children_lie_inside_their_parents() {
    let corpus = Corpus::generate(Signal::Traces, &small());
    let all = spans(&corpus.requests[0].bytes);
    let by_id: std::collections::BTreeMap<_, _> =
        all.iter().map(|span| (&span.span_id, span)).collect();
    for span in all.iter().filter(|span| !span.parent_span_id.is_empty()) {
        let parent = by_id[&span.parent_span_id];
        assert_eq!(parent.trace_id, span.trace_id);
        assert!(parent.start_time_unix_nano <= span.start_time_unix_nano);
        assert!(span.end_time_unix_nano <= parent.end_time_unix_nano);
    }
}

#[test]
fn a_lap_moves_every_time_and_changes_every_id() {
    const BY: i64 = 77_000_000_000;
    for signal in SIGNALS {
        let options = Options { exponential: true, ..small() };
        let original = Corpus::generate(signal, &options).requests.remove(0).bytes;
        let mut moved = [&[9; 5][..], &original].concat();
        let moves = Moves::find(signal, &original).unwrap();
        moves.apply(&mut moved, 5, BY, 3);
        let moved = &moved[5..];
        match signal {
            // The times of text in log lines stay, so the corpus is not made anew to compare.
            Signal::Logs => {
                for (old, new) in records(&original).iter().zip(records(moved)) {
                    assert_eq!(old.time_unix_nano + BY as u64, new.time_unix_nano);
                    assert_eq!(
                        old.observed_time_unix_nano + BY as u64,
                        new.observed_time_unix_nano
                    );
                    assert_eq!(old.body, new.body);
                    assert_eq!(old.trace_id == new.trace_id, old.trace_id.is_empty());
                }
            }
            Signal::Metrics => {
                let start = TimestampNs(options.start.0 + BY);
                let later = Corpus::generate(signal, &Options { start, ..options });
                assert_eq!(moved, later.requests[0].bytes);
            }
            Signal::Traces => {
                for (old, new) in spans(&original).iter().zip(spans(moved)) {
                    assert_eq!(old.start_time_unix_nano + BY as u64, new.start_time_unix_nano);
                    assert_eq!(old.end_time_unix_nano + BY as u64, new.end_time_unix_nano);
                    assert_ne!(old.trace_id, new.trace_id);
                    assert_ne!(old.span_id, new.span_id);
                    assert_eq!(old.attributes, new.attributes);
                    for (old, new) in old.events.iter().zip(new.events) {
                        assert_eq!(old.time_unix_nano + BY as u64, new.time_unix_nano);
                    }
                }
            }
        }
    }
    assert_eq!(Moves::find(Signal::Logs, &[0x0a, 9]), Err(NotOtlp));
}
