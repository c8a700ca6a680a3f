//! A read edge over stores in memory, and a way to ask it.

use std::ops::ControlFlow;
use std::sync::Arc;

use api::{ApiOptions, ApiState, BuildInfo, RulesStatus, SelfStatus};
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use model::kv::MemoryKeyValue;
use model::log::LogRow;
use model::read::{
    AttributeScope, LogRequest, RangeMs, RangeNs, SeriesRequest, SeriesStream, SpanRequest,
};
use model::sample::{Exemplar, MetricKind, MetricMetadata};
use model::span::Trace;
use model::{
    Clock, Labels, LogSource, ManualClock, Matcher, NativeHistogram, QueryContext, Result,
    SeriesSource, SpanSource, TimestampMs, TraceId, Value,
};
use parking_lot::Mutex;
use query::logql::memory::MemoryLogs;
use query::promql::memory::MemorySeries;
use rules::{AlertState, AlertStatus, Health, Language, RuleGroupStatus, RuleKind, RuleStatus};
use tower::ServiceExt;

/// The present of all tests, in seconds.
pub(crate) const NOW: i64 = 1_700_000_000;

/// Series with exemplars and metadata.
pub(crate) struct Series(pub(crate) MemorySeries);

impl SeriesSource for Series {
    fn select<'a>(
        &'a self,
        request: &SeriesRequest,
        context: &'a QueryContext,
    ) -> Result<SeriesStream<'a>> {
        self.0.select(request, context)
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> Result<Vec<String>> {
        self.0.label_names(matchers, range, context)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> Result<Vec<String>> {
        self.0.label_values(name, matchers, range, context)
    }

    fn exemplars(
        &self,
        matchers: &[Matcher],
        range: RangeMs,
        _context: &QueryContext,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        let labels = requests("500");
        let exemplar = Exemplar {
            labels: Labels::from_pairs([("span_id", "ef01"), ("trace_id", "abcd")]),
            value: 0.25,
            at: TimestampMs(NOW * 1000 - 1500),
        };
        let is_wanted = Matcher::all_match(matchers, &labels) && range.contains(exemplar.at);
        Ok(if is_wanted { vec![(labels, vec![exemplar])] } else { Vec::new() })
    }

    fn metadata(&self) -> Result<Vec<(String, MetricMetadata)>> {
        let metadata = |kind, help: &str, unit: &str| MetricMetadata {
            kind,
            help: help.into(),
            unit: unit.into(),
        };
        Ok(vec![
            ("http_requests_total".into(), metadata(MetricKind::Counter, "Requests \"seen\".", "")),
            ("latency".into(), metadata(MetricKind::Histogram, "", "s")),
        ])
    }
}

/// Lines that a test may add to while they are read.
#[derive(Clone, Default)]
pub(crate) struct Logs(pub(crate) Arc<Mutex<MemoryLogs>>);

impl LogSource for Logs {
    fn scan(
        &self,
        request: &LogRequest,
        context: &QueryContext,
        visit: &mut dyn FnMut(&LogRow<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        self.0.lock().scan(request, context, visit)
    }

    fn arrivals_end(&self) -> u64 {
        self.0.lock().arrivals_end()
    }

    fn streams(
        &self,
        matchers: &[Matcher],
        range: RangeNs,
        context: &QueryContext,
    ) -> Result<Vec<Labels>> {
        self.0.lock().streams(matchers, range, context)
    }
}

struct NoSpans;

impl SpanSource for NoSpans {
    fn scan(
        &self,
        _request: &SpanRequest,
        _context: &QueryContext,
        _visit: &mut dyn FnMut(Trace) -> ControlFlow<()>,
    ) -> Result<()> {
        Ok(())
    }

    fn trace(&self, _id: TraceId, _context: &QueryContext) -> Result<Option<Trace>> {
        Ok(None)
    }

    fn attribute_names(
        &self,
        _range: RangeNs,
        _context: &QueryContext,
    ) -> Result<Vec<(AttributeScope, Vec<String>)>> {
        Ok(Vec::new())
    }

    fn attribute_values(
        &self,
        _scope: AttributeScope,
        _name: &str,
        _range: RangeNs,
        _limit: usize,
        _context: &QueryContext,
    ) -> Result<Vec<Value>> {
        Ok(Vec::new())
    }
}

/// Groups of metrics, and those that a test adds.
#[derive(Clone, Default)]
pub(crate) struct Rules(pub(crate) Arc<Mutex<Vec<Arc<RuleGroupStatus>>>>);

impl RulesStatus for Rules {
    fn groups(&self) -> Vec<Arc<RuleGroupStatus>> {
        let at = TimestampMs(NOW * 1000);
        let alert = AlertStatus {
            labels: Labels::from_pairs([("alertname", "Down"), ("job", "shop")]),
            annotations: Labels::from_pairs([("summary", "shop is down")]),
            state: AlertState::Firing,
            active_at: at.plus_ms(-60_000),
            keep_firing_since: None,
            value: 0.5,
        };
        let rule = |name: &str, query: &str, kind| RuleStatus {
            name: name.into(),
            query: query.into(),
            labels: Labels::empty(),
            kind,
            health: Health::Ok,
            last_error: String::new(),
            evaluation_seconds: 0.002,
            last_evaluation: Some(at),
        };
        let alerting = RuleKind::Alerting {
            state: AlertState::Firing,
            for_ms: 90_000,
            keep_firing_for_ms: 0,
            annotations: vec![("summary".into(), "{{ $labels.job }} is down".into())],
            alerts: vec![alert],
        };
        let group = |name: &str, rules| {
            Arc::new(RuleGroupStatus {
                name: name.into(),
                file: "shop.yml".into(),
                language: Language::Promql,
                interval_ms: 30_000,
                limit: 0,
                evaluation_seconds: 0.003,
                last_evaluation: Some(at),
                rules,
            })
        };
        let never = RuleStatus {
            health: Health::Err,
            last_error: "no \"x\"".into(),
            last_evaluation: None,
            labels: Labels::from_pairs([("team", "a")]),
            ..rule("job:up:sum", "sum by (job) (up)", RuleKind::Recording)
        };
        let mut groups = vec![
            group("alerts", vec![rule("Down", "up == 0", alerting)]),
            group("records", vec![never]),
        ];
        groups.extend(self.0.lock().iter().cloned());
        groups
    }
}

/// A status that a test can change.
#[derive(Clone, Default)]
pub(crate) struct Status(pub(crate) Arc<Mutex<(bool, Vec<String>)>>);

impl SelfStatus for Status {
    fn not_ready_reasons(&self) -> Vec<String> {
        self.0.lock().1.clone()
    }

    fn has_started(&self) -> bool {
        self.0.lock().0
    }

    fn config_text(&self) -> String {
        "data: ./data\n".into()
    }
}

/// A read edge and what is behind it.
pub(crate) struct Fixture {
    pub(crate) router: Router,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) logs: Logs,
    pub(crate) status: Status,
    pub(crate) rules: Rules,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }
}

pub(crate) fn requests(code: &str) -> Labels {
    Labels::from_pairs([("__name__", "http_requests_total"), ("code", code), ("job", "shop")])
}

fn series() -> MemorySeries {
    let mut series = MemorySeries::new();
    let odd = Labels::from_pairs([("__name__", "odd.name"), ("http.route", "/a"), ("q", "a\"b\n")]);
    let latency = Labels::from_pairs([("__name__", "latency"), ("job", "shop")]);
    for i in 0..41 {
        let at = (NOW - 600 + 15 * i) * 1000;
        series.push(&requests("200"), at, 0, 30.0 * i as f64);
        series.push(&requests("500"), at, 0, 1.5 * i as f64);
        series.push(&odd, at, 0, 1e-7);
        let histogram = NativeHistogram {
            schema: 0,
            zero_threshold: 0.001,
            zero_count: 1.0,
            count: 4.0,
            sum: 5.5,
            positive: vec![(0, 1.0), (2, 2.0)],
            ..Default::default()
        };
        series.push_histogram(&latency, at, histogram);
    }
    series
}

fn logs() -> MemoryLogs {
    let mut logs = MemoryLogs::new();
    let shop = Labels::from_pairs([("level", "error"), ("service_name", "shop")]);
    let cart = Labels::from_pairs([("level", "info"), ("service_name", "cart")]);
    let at = |seconds_ago: i64| (NOW - seconds_ago) * 1_000_000_000;
    let trace = [("detected_level", "error"), ("trace_id", "abcd")];
    logs.push(&shop, at(30) + 5, r#"{"msg":"no stock","took":12}"#, &trace);
    logs.push(&cart, at(20), "level=info msg=\"added\" took=5ms", &[]);
    logs.push(&shop, at(10), "plain \"quoted\" line", &[]);
    logs
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with_options(ApiOptions::default())
    }

    pub(crate) fn with_options(options: ApiOptions) -> Self {
        Self::with(options, Arc::new(Series(series())))
    }

    pub(crate) fn with(options: ApiOptions, series: Arc<dyn SeriesSource>) -> Self {
        let clock = Arc::new(ManualClock::at(TimestampMs(NOW * 1000)));
        let logs = Logs(Arc::new(Mutex::new(logs())));
        let status = Status(Arc::new(Mutex::new((true, Vec::new()))));
        let rules = Rules::default();
        let engine_options = alertmanager::EngineOptions {
            config: alertmanager::Config::default(),
            external_url: "http://signalbox".into(),
            integrations: Vec::new(),
        };
        let kv = Arc::new(MemoryKeyValue::default());
        let engine = alertmanager::Engine::open(engine_options, kv, clock.now_ms()).unwrap();
        let router = api::router(ApiState {
            series,
            series_admin: Some(Arc::new(crate::operator::Admin::default())),
            targets: Some(Arc::new(crate::operator::Targets)),
            external_url: "http://signalbox".into(),
            logs: Arc::new(logs.clone()),
            logs_admin: Some(Arc::new(crate::loki_delete::Admin::default())),
            spans: Arc::new(NoSpans),
            clock: clock.clone(),
            rules: Arc::new(rules.clone()),
            alertmanager: Arc::new(engine),
            status: Arc::new(status.clone()),
            registry: Arc::default(),
            build: BuildInfo { version: "1.2.3".into(), revision: "abc".into() },
            options,
        });
        Fixture { router, clock, logs, status, rules }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        Reply { status: parts.status, headers: parts.headers, bytes }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post_form(&self, path: &str, form: &str) -> Reply {
        let request =
            Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(form.to_owned())).unwrap()).await
    }

    pub(crate) async fn send_json(&self, method: Method, path: &str, json: &str) -> Reply {
        let request =
            Request::builder().method(method).uri(path).header("content-type", "application/json");
        self.send(request.body(Body::from(json.to_owned())).unwrap()).await
    }

    /// Asks with GET and compares status and text.
    pub(crate) async fn check(&self, path: &str, status: u16, expected: &str) {
        let reply = self.get(path).await;
        assert_eq!(reply.text(), expected, "{path}");
        assert_eq!(reply.status, status, "{path}");
    }
}

/// Percent-encodes a value of a parameter.
pub(crate) fn encode(text: &str) -> String {
    let encode_byte = |byte: u8| {
        if byte.is_ascii_alphanumeric() {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(encode_byte).collect()
}
