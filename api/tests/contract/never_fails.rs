//! Bad input gets a clear refusal: never a panic, never a status of the 500s.

use axum::body::Body;
use http::Request;
use proptest::prelude::*;
use prost::Message;
use proto::remote_read::{LabelMatcher, Query, ReadRequest};

use crate::fixture::{Fixture, encode};

const ROUTES: [&str; 78] = [
    "/api/v1/query",
    "/api/v1/query_range",
    "/api/v1/query_exemplars",
    "/api/v1/format_query",
    "/api/v1/series",
    "/api/v1/labels",
    "/api/v1/label/U__a_/values",
    "/api/v1/metadata",
    "/api/v1/rules",
    "/api/v1/alerts",
    "/api/v1/status/buildinfo",
    "/api/v1/status/runtimeinfo",
    "/api/v1/status/config",
    "/api/v1/status/flags",
    "/api/v1/status/tsdb",
    "/api/v1/status/tsdb/blocks",
    "/api/v1/status/walreplay",
    "/api/v1/parse_query",
    "/api/v1/search/metric_names",
    "/api/v1/search/metric_names",
    "/api/v1/search/label_names",
    "/api/v1/search/label_values",
    "/api/v1/read",
    "/api/v1/read",
    "/api/v1/features",
    "/api/v1/openapi.yaml",
    "/api/v1/targets",
    "/api/v1/targets/metadata",
    "/api/v1/scrape_pools",
    "/api/v1/scrape_pools/config",
    "/api/v1/alertmanagers",
    "/api/v1/notifications",
    "/api/v1/notifications/live",
    "/api/v1/admin/tsdb/snapshot",
    "/api/v1/admin/tsdb/delete_series",
    "/api/v1/admin/tsdb/clean_tombstones",
    "/federate",
    "/federate",
    "/version",
    "/-/quit",
    "/-/reload",
    "/native/v1/metrics/cardinality",
    "/native/v1/metrics/cardinality/latency",
    "/loki/api/v1/query",
    "/loki/api/v1/query_range",
    "/loki/api/v1/format_query",
    "/loki/api/v1/tail",
    "/loki/api/v1/labels",
    "/loki/api/v1/label/a/values",
    "/loki/api/v1/series",
    "/loki/api/v1/index/stats",
    "/loki/api/v1/index/volume",
    "/loki/api/v1/index/volume_range",
    "/loki/api/v1/detected_labels",
    "/loki/api/v1/detected_fields",
    "/loki/api/v1/detected_field/a/values",
    "/loki/api/v1/patterns",
    "/loki/api/v1/drilldown-limits",
    "/loki/api/v1/rules",
    "/loki/api/v1/rules/a/b",
    "/api/prom/query",
    "/api/prom/label",
    "/api/prom/series",
    "/api/prom/rules/test/test",
    "/config",
    "/services",
    "/log_level",
    "/native/v1/logs/search",
    "/native/v1/logs/context",
    "/native/v1/logs/facets",
    "/native/v1/logs/distinct",
    "/native/v1/logs/fields",
    "/native/v1/logs/patterns",
    "/native/v1/logs/patterns/compare",
    "/alertmanager/api/v2/alerts",
    "/alertmanager/api/v2/alerts/groups",
    "/alertmanager/api/v2/silences",
    "/alertmanager/api/v2/silence/x",
];

const NAMES: [&str; 56] = [
    "query",
    "query",
    "query",
    "time",
    "start",
    "end",
    "step",
    "timeout",
    "limit",
    "lookback_delta",
    "match[]",
    "direction",
    "since",
    "line_limit",
    "targetLabels",
    "aggregateBy",
    "delay_for",
    "filter",
    "receiver",
    "active",
    "type",
    "group_limit",
    "group_next_token",
    "rule_name[]",
    "exclude_alerts",
    "limit_per_metric",
    "stats",
    "search[]",
    "search[]",
    "fuzz_threshold",
    "fuzz_alg",
    "sort_by",
    "sort_dir",
    "include_score",
    "include_metadata",
    "label",
    "batch_size",
    "match_target",
    "scrapePool",
    "state",
    "interval",
    "text",
    "text",
    "cursor",
    "at",
    "arrival",
    "labels",
    "within",
    "before",
    "fields",
    "field",
    "origin",
    "new_since",
    "history",
    "base_start",
    "factor",
];

/// Values that are nearly right find more than noise does.
const VALUES: [&str; 40] = [
    "1",
    "0",
    "-1",
    "1e300",
    "-1e300",
    "NaN",
    "Inf",
    "9223372036854775807",
    "-9223372036854775808",
    "1700000000",
    "1700000000.5",
    "2023-11-14T22:13:20Z",
    "9999-12-31T23:59:59Z",
    "5m",
    "1ms",
    "0.0001",
    "292y",
    "http_requests_total",
    "latency",
    "rate(latency[5m])",
    "http_requests_total[10m:1s]",
    "http_requests_total offset 200y",
    "http_requests_total @ 9e18",
    "{service_name=~\".+\"}",
    "{}",
    "count_over_time({service_name=~\".+\"}[5m])",
    "{service_name=~\".+\"} | json | logfmt",
    "vector(1)+vector(1)",
    "a=\"b\"",
    "labels",
    "true",
    "sum by (level) (rate({level!=\"\"}[292y]))",
    "all",
    "score",
    "alpha",
    "dsc",
    "jarowinkler",
    "subsequence",
    "http",
    "{__name__=~\".+\"}",
];

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(&VALUES[..]).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => "[-+0-9a-z{}()\\[\\]=~!\"|.,: ]{0,24}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_parameter_makes_a_server_error(
        route in proptest::sample::select(&ROUTES[..]),
        pairs in proptest::collection::vec((proptest::sample::select(&NAMES[..]), value()), 0..7),
        is_form in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let text: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let text = text.join("&");
        let status = runtime.block_on(async {
            let fixture = Fixture::new();
            if is_form {
                fixture.post_form(route, &text).await.status
            } else {
                fixture.get(&format!("{route}?{text}")).await.status
            }
        });
        prop_assert!(!status.is_server_error(), "{status} of {route}?{text}");
    }

    #[test]
    fn no_remote_read_makes_a_server_error(
        matchers in proptest::collection::vec((-1_i32..5, "[a-z_]{0,8}", value()), 0..3),
        times in any::<(i64, i64)>(),
        kinds in proptest::collection::vec(-1_i32..3, 0..3),
        noise in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        let matchers = matchers.into_iter().map(|(kind, name, value)| LabelMatcher { r#type: kind, name, value });
        let query = Query {
            start_timestamp_ms: times.0,
            end_timestamp_ms: times.1,
            matchers: matchers.collect(),
        };
        let request = ReadRequest { queries: vec![query; 2], accepted_response_types: kinds };
        let mut bytes = request.encode_to_vec();
        bytes.extend(noise);
        let body = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let status = runtime.block_on(async {
            let request = Request::post("/api/v1/read").body(Body::from(body)).unwrap();
            Fixture::new().send(request).await.status
        });
        prop_assert!(!status.is_server_error(), "{status}");
    }

    #[test]
    fn no_body_makes_a_server_error(
        route in proptest::sample::select(&ROUTES[..]),
        body in proptest::collection::vec(any::<u8>(), 0..200),
        kind in proptest::sample::select(&["application/json", "application/x-www-form-urlencoded", "application/x-protobuf"][..]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let status = runtime.block_on(async {
            let request = Request::post(route).header("content-type", kind);
            Fixture::new().send(request.body(Body::from(body)).unwrap()).await.status
        });
        prop_assert!(!status.is_server_error(), "{status} of {route}");
    }
}
