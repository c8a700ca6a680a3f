//! Contracts with Grafana's Tempo data source: exact texts, and protobuf read back.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use model::kv::MemoryKeyValue;
use model::read::{AttributeScope, RangeNs, SpanRequest};
use model::span::{Event, Link, Resource, Scope, Span, SpanKind, Trace};
use model::{
    Clock, ManualClock, QueryContext, SpanId, SpanSource, TimestampMs, TimestampNs, TraceId, Value,
};
use prost::Message;
use proto::generated::tempopb;
use tower::ServiceExt;

use crate::{ApiOptions, ApiState, BuildInfo, RulesStatus, SelfStatus};

/// When the traces began, in seconds.
const T0: i64 = 1_700_000_000;

struct Spans(Vec<Trace>);

impl SpanSource for Spans {
    fn scan(
        &self,
        request: &SpanRequest,
        context: &QueryContext,
        visit: &mut dyn FnMut(Trace) -> ControlFlow<()>,
    ) -> model::Result<()> {
        for trace in &self.0 {
            context.charge(trace.spans.len() as u64, 100)?;
            if trace.spans.iter().any(|span| request.range.contains(span.start))
                && visit(trace.clone()).is_break()
            {
                break;
            }
        }
        Ok(())
    }

    fn trace(&self, id: TraceId, _context: &QueryContext) -> model::Result<Option<Trace>> {
        Ok(self.0.iter().find(|trace| trace.id == id).cloned())
    }

    fn attribute_names(
        &self,
        _range: RangeNs,
        _context: &QueryContext,
    ) -> model::Result<Vec<(AttributeScope, Vec<String>)>> {
        Ok(vec![
            (AttributeScope::Span, vec!["http.status".into(), "url/path".into()]),
            (AttributeScope::Resource, vec!["service.name".into()]),
        ])
    }

    fn attribute_values(
        &self,
        _scope: AttributeScope,
        name: &str,
        _range: RangeNs,
        limit: usize,
        _context: &QueryContext,
    ) -> model::Result<Vec<Value>> {
        let spans = self.0.iter().flat_map(|trace| &trace.spans);
        let all = spans.flat_map(|span| span.attributes.iter().chain(&span.resource.attributes));
        let values = all.filter(|(key, _)| key == name).map(|(_, value)| value.clone());
        Ok(values.take(limit).collect())
    }
}

struct Quiet;

impl RulesStatus for Quiet {
    fn groups(&self) -> Vec<Arc<rules::RuleGroupStatus>> {
        Vec::new()
    }
}

impl SelfStatus for Quiet {
    fn not_ready_reasons(&self) -> Vec<String> {
        Vec::new()
    }

    fn has_started(&self) -> bool {
        true
    }

    fn config_text(&self) -> String {
        String::new()
    }
}

fn text(text: &str) -> Value {
    Value::Str(text.into())
}

fn service(name: &str) -> Arc<Resource> {
    let attributes = vec![("service.name".into(), text(name))];
    Arc::new(Resource { attributes, ..Default::default() })
}

fn at_ms(ms: i64) -> TimestampNs {
    TimestampNs(T0 * 1_000_000_000 + ms * 1_000_000)
}

fn shop() -> Trace {
    let id = TraceId::parse("abc").unwrap();
    let span_id = |id: u8| SpanId([0, 0, 0, 0, 0, 0, 0, id]);
    let root = Span {
        resource: service("edge"),
        scope: Arc::new(Scope { name: "lib".into(), version: "1".into(), ..Default::default() }),
        trace_id: id,
        span_id: span_id(1),
        name: "GET /".into(),
        kind: SpanKind::Server,
        start: at_ms(0),
        end: at_ms(20),
        attributes: vec![("http.status".into(), Value::Int(500)), ("url/path".into(), text("/"))],
        ..Default::default()
    };
    let event = Event {
        at: at_ms(6),
        name: "exception".into(),
        attributes: vec![("ratio".into(), Value::Double(0.5))],
        ..Default::default()
    };
    let child = Span {
        resource: service("db"),
        trace_id: id,
        span_id: span_id(2),
        parent_span_id: span_id(1),
        name: "SELECT".into(),
        kind: SpanKind::Client,
        start: at_ms(5),
        end: at_ms(8),
        attributes: vec![("rows".into(), Value::Array(vec![Value::Int(1), Value::Bool(true)]))],
        events: vec![event],
        links: vec![Link { trace_id: id, span_id: span_id(1), ..Default::default() }],
        status: model::span::StatusCode::Error,
        status_message: "late".into(),
        ..Default::default()
    };
    Trace { id, spans: vec![root, child] }
}

fn orphan() -> Trace {
    let id = TraceId([0xff; 16]);
    let span = Span {
        resource: service("worker"),
        trace_id: id,
        span_id: SpanId([7; 8]),
        parent_span_id: SpanId([8; 8]),
        name: "job".into(),
        start: at_ms(1000),
        end: at_ms(1001),
        ..Default::default()
    };
    Trace { id, spans: vec![span] }
}

fn router() -> Router {
    let clock = Arc::new(ManualClock::at(TimestampMs((T0 + 60) * 1000)));
    let options = alertmanager::EngineOptions {
        config: alertmanager::Config::default(),
        external_url: String::new(),
        integrations: Vec::new(),
    };
    let kv = Arc::new(MemoryKeyValue::default());
    let engine = alertmanager::Engine::open(options, kv, clock.now_ms()).unwrap();
    crate::router(ApiState {
        series: Arc::new(query::promql::memory::MemorySeries::new()),
        series_admin: None,
        targets: None,
        external_url: String::new(),
        logs: Arc::new(query::logql::memory::MemoryLogs::new()),
        logs_admin: None,
        spans: Arc::new(Spans(vec![orphan(), shop()])),
        clock,
        rules: Arc::new(Quiet),
        alertmanager: Arc::new(engine),
        status: Arc::new(Quiet),
        registry: Arc::default(),
        build: BuildInfo { version: "1.2.3".into(), revision: "abc".into() },
        options: ApiOptions::default(),
    })
}

async fn send(request: Request<Body>) -> (StatusCode, String, Vec<u8>) {
    let response = router().oneshot(request).await.unwrap();
    let status = response.status();
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let bytes = response.into_body().collect().await.unwrap().to_bytes().to_vec();
    (status, kind.unwrap_or_default(), bytes)
}

async fn get(path: &str) -> (StatusCode, String) {
    let (status, _, bytes) = send(Request::get(path).body(Body::empty()).unwrap()).await;
    (status, String::from_utf8(bytes).unwrap())
}

/// Asks and compares the whole text.
async fn check(path: &str, wanted: &str) {
    let (status, text) = get(path).await;
    assert_eq!(text, wanted, "{path}");
    assert_eq!(status, StatusCode::OK, "{path}");
}

async fn check_refused(path: &str, wanted: StatusCode, part: &str) {
    let (status, text) = get(path).await;
    assert_eq!(status, wanted, "{path}: {text}");
    assert!(text.contains(part) && !text.contains('<'), "{path}: {text}");
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn probes_answer() {
    check("/tempo/api/echo", "echo").await;
    check("/tempo/ready", "ready\n").await;
    let build = r#"{"version":"1.2.3","revision":"abc","branch":"","buildUser":"","buildDate":"","goVersion":""}"#;
    check("/tempo/api/status/buildinfo", build).await;
}

const RESOURCE_SPANS: &str = concat!(
    r#"[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"edge"}}]},"#,
    r#""scopeSpans":[{"scope":{"name":"lib","version":"1"},"spans":["#,
    r#"{"traceId":"AAAAAAAAAAAAAAAAAAAKvA==","spanId":"AAAAAAAAAAE=","name":"GET /","#,
    r#""kind":"SPAN_KIND_SERVER","startTimeUnixNano":"1700000000000000000","#,
    r#""endTimeUnixNano":"1700000000020000000","attributes":["#,
    r#"{"key":"http.status","value":{"intValue":"500"}},"#,
    r#"{"key":"url/path","value":{"stringValue":"/"}}],"status":{}}]}]},"#,
    r#"{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"db"}}]},"#,
    r#""scopeSpans":[{"scope":{},"spans":["#,
    r#"{"traceId":"AAAAAAAAAAAAAAAAAAAKvA==","spanId":"AAAAAAAAAAI=","#,
    r#""parentSpanId":"AAAAAAAAAAE=","name":"SELECT","kind":"SPAN_KIND_CLIENT","#,
    r#""startTimeUnixNano":"1700000000005000000","endTimeUnixNano":"1700000000008000000","#,
    r#""attributes":[{"key":"rows","value":{"arrayValue":{"values":["#,
    r#"{"intValue":"1"},{"boolValue":true}]}}}],"#,
    r#""events":[{"timeUnixNano":"1700000000006000000","name":"exception","#,
    r#""attributes":[{"key":"ratio","value":{"doubleValue":0.5}}]}],"#,
    r#""links":[{"traceId":"AAAAAAAAAAAAAAAAAAAKvA==","spanId":"AAAAAAAAAAE="}],"#,
    r#""status":{"message":"late","code":"STATUS_CODE_ERROR"}}]}]}]"#
);

#[tokio::test]
async fn a_trace_is_json_unless_protobuf_is_asked_for() {
    check("/tempo/api/traces/abc", &format!("{{\"batches\":{RESOURCE_SPANS}}}")).await;
    let v2 = format!("{{\"trace\":{{\"resourceSpans\":{RESOURCE_SPANS}}}}}");
    check("/tempo/api/v2/traces/00000000000000000000000000000ABC?start=1&end=2", &v2).await;
}

#[tokio::test]
async fn a_trace_as_protobuf_reads_back() {
    let ask = |path: &str| {
        let accept = "application/protobuf";
        send(Request::get(path).header("accept", accept).body(Body::empty()).unwrap())
    };
    let (status, kind, bytes) = ask("/tempo/api/v2/traces/abc").await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/protobuf"));
    let response = tempopb::TraceByIdResponse::decode(bytes.as_slice()).unwrap();
    assert_eq!(response.status(), tempopb::PartialStatus::Complete);
    let trace = response.trace.expect("the trace must be set");
    let (_, _, bytes) = ask("/tempo/api/traces/abc").await;
    assert_eq!(tempopb::Trace::decode(bytes.as_slice()).unwrap(), trace);
    assert_eq!(trace.resource_spans.len(), 2);
    let span = &trace.resource_spans[1].scope_spans[0].spans[0];
    assert_eq!((span.name.as_str(), span.span_id[7], span.parent_span_id[7]), ("SELECT", 2, 1));
    assert_eq!(span.events[0].name, "exception");
    let (status, _, _) = ask("/tempo/api/v2/traces/abcd").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn unknown_traces_and_ids_that_are_none_are_texts() {
    for path in ["/tempo/api/traces/", "/tempo/api/v2/traces/"] {
        check_refused(&format!("{path}123"), StatusCode::NOT_FOUND, "trace not found").await;
        check_refused(&format!("{path}xyz"), StatusCode::BAD_REQUEST, "hexadecimal").await;
        let long = "1".repeat(33);
        check_refused(&format!("{path}{long}"), StatusCode::BAD_REQUEST, "hexadecimal").await;
    }
}

#[tokio::test]
async fn a_search_has_only_the_keys_that_grafana_knows() {
    let set = concat!(
        r#"{"spans":[{"spanID":"0000000000000002","name":"SELECT","#,
        r#""startTimeUnixNano":"1700000000005000000","durationNanos":"3000000","#,
        r#""attributes":[{"key":"status","value":{"stringValue":"error"}}]}],"matched":1,"#,
        r#""attributes":[{"key":"count()","value":{"intValue":"1"}}]}"#
    );
    let wanted = format!(
        concat!(
            r#"{{"traces":[{{"traceID":"00000000000000000000000000000abc","#,
            r#""rootServiceName":"edge","rootTraceName":"GET /","#,
            r#""startTimeUnixNano":"1700000000000000000","durationMs":20,"spanSet":{set},"#,
            r#""spanSets":[{set}],"serviceStats":{{"db":{{"spanCount":1,"errorCount":1}},"#,
            r#""edge":{{"spanCount":1}}}}}}],"metrics":{{"inspectedTraces":2,"#,
            r#""inspectedBytes":"200","completedJobs":1,"totalJobs":1,"inspectedSpans":"3"}}}}"#
        ),
        set = set
    );
    let query = encode("{ status = error } | count() > 0");
    check(&format!("/tempo/api/search?q={query}&start=1699999999&end=1700000060"), &wanted).await;
}

#[tokio::test]
async fn a_search_without_results_or_root_keeps_its_shape() {
    let none =
        r#"{"traces":[],"metrics":{"inspectedBytes":"200","completedJobs":1,"totalJobs":1}}"#;
    check("/tempo/api/search?q=%7B%7D&start=1&end=2", none).await;
    let (_, text) = get("/tempo/api/search?q=%7B%7D&limit=1&spss=1").await;
    let missing = r#""rootServiceName":"<root span not yet received>","startTimeUnixNano""#;
    assert!(text.contains(missing), "{text}");
}

#[tokio::test]
async fn searches_by_tags_become_queries() {
    for (parameters, wanted) in [
        (format!("tags={}", encode("service.name=db")), 1),
        (format!("tags={}", encode("http.status=500 name=\"GET /\"")), 1),
        (format!("tags={}", encode("http.status=404")), 0),
        ("minDuration=10ms".into(), 1),
        ("maxDuration=10ms".into(), 1),
        ("minDuration=1ms&maxDuration=20ms".into(), 2),
        (String::new(), 2),
    ] {
        let (_, text) = get(&format!("/tempo/api/search?{parameters}")).await;
        assert_eq!(text.matches("\"traceID\"").count(), wanted, "{parameters}: {text}");
    }
}

#[tokio::test]
async fn bad_searches_are_refused_with_a_position() {
    let bad = StatusCode::BAD_REQUEST;
    let query = |text: &str| format!("/tempo/api/search?q={}", encode(text));
    check_refused(&query("{ name = }"), bad, "1:10").await;
    check_refused(&query("{ name = 5 }"), bad, "type error").await;
    check_refused(&query("{ } | rate()"), bad, "metrics").await;
    check_refused("/tempo/api/search?q=%7B%7D&start=5&end=1", bad, "start").await;
    check_refused("/tempo/api/search?q=%7B%7D&limit=many", bad, "limit").await;
    check_refused("/tempo/api/search?q=%7B%7D&spss=-1", bad, "spss").await;
    check_refused("/tempo/api/search?minDuration=long", bad, "duration").await;
}

#[tokio::test]
async fn names_of_tags_come_by_scope() {
    let resource = r#"{"name":"resource","tags":["service.name"]}"#;
    let span = r#"{"name":"span","tags":["http.status","url/path"]}"#;
    check("/tempo/api/v2/search/tags?scope=span", &format!("{{\"scopes\":[{span}]}}")).await;
    let (_, all) = get("/tempo/api/v2/search/tags?limit=100&start=1&end=1700000060").await;
    let start =
        format!("{{\"scopes\":[{resource},{span},{{\"name\":\"intrinsic\",\"tags\":[\"duration\",");
    assert!(all.starts_with(&start), "{all}");
    assert!(all.contains("\"trace:rootService\""), "{all}");
    check("/tempo/api/search/tags", r#"{"tagNames":["http.status","service.name","url/path"]}"#)
        .await;
    check_refused("/tempo/api/v2/search/tags?scope=x", StatusCode::BAD_REQUEST, "scope").await;
}

#[tokio::test]
async fn values_of_tags_come_with_types_and_tolerate_unfinished_filters() {
    let v2 = |tag: &str, q: &str| format!("/tempo/api/v2/search/tag/{tag}/values?q={}", encode(q));
    let edge_only = r#"{"tagValues":[{"type":"string","value":"edge"}]}"#;
    let all = r#"{"tagValues":[{"type":"string","value":"db"},{"type":"string","value":"edge"},{"type":"string","value":"worker"}]}"#;
    check(&v2("resource.service.name", ""), all).await;
    check(&v2("resource.service.name", "{ span.http.status = 500 && name = }"), edge_only).await;
    for unfinished in ["{", "{ name = \"", "{ && }", "nonsense", "{ .a = 1 } | rate("] {
        check(&v2("resource.service.name", unfinished), all).await;
    }
    let status = r#"{"tagValues":[{"type":"int","value":"500"}]}"#;
    check(&v2("span.http.status", "{}"), status).await;
    let path = r#"{"tagValues":[{"type":"string","value":"/"}]}"#;
    for tag in ["span.url/path", "span.url%2Fpath", "span.url%252Fpath", ".url/path"] {
        check(&v2(tag, ""), path).await;
    }
    let keywords = r#"{"tagValues":[{"type":"keyword","value":"unset"},{"type":"keyword","value":"ok"},{"type":"keyword","value":"error"}]}"#;
    check(&v2("status", ""), keywords).await;
    let names = r#"{"tagValues":["GET /","SELECT","job"]}"#;
    check("/tempo/api/search/tag/name/values", names).await;
    check("/tempo/api/search/tag/http.status/values", r#"{"tagValues":["500"]}"#).await;
    let not_found = StatusCode::NOT_FOUND;
    check_refused("/tempo/api/search/tag/name/value", not_found, "/values").await;
}

#[tokio::test]
async fn metrics_are_series_with_times_as_texts() {
    let query = encode("{ } | count_over_time() by (resource.service.name)");
    let label = |service: &str| {
        format!(
            r#"{{"labels":[{{"key":"resource.service.name","value":{{"stringValue":"{service}"}}}}]"#
        )
    };
    let metrics = r#""metrics":{"inspectedBytes":"200","completedJobs":1,"totalJobs":1,"inspectedSpans":"3"}"#;
    let samples = |first: u8, second: u8| {
        format!(
            r#""samples":[{{"timestampMs":"1700000001000","value":{first}}},{{"timestampMs":"1700000002000","value":{second}}}]}}"#
        )
    };
    let wanted = format!(
        r#"{{"series":[{},{},{},{},{},{}],{metrics}}}"#,
        label("db"),
        samples(1, 0),
        label("edge"),
        samples(1, 0),
        label("worker"),
        // One second after the start still belongs to the first interval.
        samples(1, 0),
    );
    let range = "start=1700000000&end=1700000002";
    check(&format!("/tempo/api/metrics/query_range?q={query}&{range}&step=1s"), &wanted).await;
    let wanted = format!(
        r#"{{"series":[{},"value":1}},{},"value":1}},{},"value":1}}],{metrics}}}"#,
        label("db"),
        label("edge"),
        label("worker")
    );
    check(&format!("/tempo/api/metrics/query?q={query}&{range}"), &wanted).await;
    let probe = encode("{} | rate()");
    let (status, text) = get(&format!("/tempo/api/metrics/query_range?q={probe}")).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    assert!(text.starts_with(r#"{"series":[{"labels":[{"key":"__name__","value":{"stringValue":"rate"}}],"samples":[{"timestampMs":""#), "{text}");
}

#[tokio::test]
async fn bad_metrics_queries_are_refused() {
    let bad = StatusCode::BAD_REQUEST;
    let path = "/tempo/api/metrics/query_range?";
    check_refused(&format!("{path}q=%7B%7D"), bad, "is a search").await;
    let query = encode("{} | rate()");
    check_refused(&format!("{path}q={query}&step=x"), bad, "duration").await;
    check_refused(&format!("{path}q={query}&step=0"), bad, "step").await;
    check_refused(&format!("{path}q={query}&step=1ms"), bad, "steps").await;
    check_refused(&format!("{path}q={query}&start=9&end=8"), bad, "start").await;
}

/// Calls the streaming search as a gRPC client does and returns its messages.
async fn stream(request: tempopb::SearchRequest) -> Vec<tempopb::SearchResponse> {
    let message = request.encode_to_vec();
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let request = Request::post("/tempopb.StreamingQuerier/Search")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::from(body))
        .unwrap();
    let response = router().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    if let Some(status) = response.headers().get("grpc-status") {
        assert_eq!(status, "3", "only bad requests fail before the stream");
        return Vec::new();
    }
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap().get("grpc-status").unwrap(), "0");
    let bytes = collected.to_bytes();
    let mut rest = &bytes[..];
    let mut messages = Vec::new();
    while let Some((head, tail)) = rest.split_at_checked(5) {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        messages.push(tempopb::SearchResponse::decode(&tail[..length]).unwrap());
        rest = &tail[length..];
    }
    messages
}

#[tokio::test]
async fn grpc_streams_a_search_on_the_same_router() {
    // Grafana's health check with streaming on.
    let health = tempopb::SearchRequest {
        query: "{}".into(),
        limit: 1,
        start: 1_700_000_000,
        end: 1_700_000_900,
        ..Default::default()
    };
    let messages = stream(health).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].traces.len(), 1);
    let metrics = messages[0].metrics.unwrap();
    assert_eq!((metrics.completed_jobs, metrics.total_jobs), (1, 1));
    let all = tempopb::SearchRequest { query: "{ status = error }".into(), ..Default::default() };
    let messages = stream(all).await;
    assert_eq!(messages[0].traces[0].root_trace_name, "GET /");
    let bad = tempopb::SearchRequest { query: "{".into(), ..Default::default() };
    assert!(stream(bad).await.is_empty());
}
