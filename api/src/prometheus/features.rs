//! `features`: what this server can do, by the names under which Prometheus lists its own
//! (`util/features`, `cmd/prometheus/testdata/features.json` of 3.14).
//!
//! What is listed as true is true here; what Prometheus has and this server has not is false.

use std::collections::BTreeMap;

use super::{Answer, success_value};

/// Category, and what is there.
const THERE: &[(&str, &[&str])] = &[
    (
        "api",
        &[
            "admin",
            "exclude_alerts",
            "label_values_match",
            "openapi_3.1",
            "openapi_3.2",
            "otlp_write_receiver",
            "query_stats",
            "query_warnings",
            "remote_write_receiver",
            "search",
            "search_fuzz_alg_jarowinkler",
            "search_fuzz_alg_subsequence",
            "time_range_labels",
            "time_range_series",
        ],
    ),
    ("otlp_receiver", &["delta_conversion", "native_delta_ingestion"]),
    ("prometheus", &["server_mode"]),
    (
        "promql",
        &[
            "anchored",
            "at_modifier",
            "bool",
            "by",
            "delayed_name_removal",
            "duration_expr",
            "fill",
            "fill_left",
            "fill_right",
            "group_left",
            "group_right",
            "ignoring",
            "negative_offset",
            "offset",
            "on",
            "per_query_lookback_delta",
            "per_step_stats",
            "smoothed",
            "subqueries",
            "without",
        ],
    ),
    (
        "promql_operators",
        &[
            "!=",
            "!~",
            "%",
            "*",
            "+",
            "-",
            "/",
            "<",
            "</",
            "<=",
            "==",
            "=~",
            ">",
            ">/",
            ">=",
            "@",
            "^",
            "and",
            "atan2",
            "avg",
            "bottomk",
            "count",
            "count_values",
            "group",
            "limit_ratio",
            "limitk",
            "max",
            "min",
            "or",
            "quantile",
            "stddev",
            "stdvar",
            "sum",
            "topk",
            "unless",
        ],
    ),
    ("rules", &["keep_firing_for", "query_offset"]),
    ("scrape", &["extra_scrape_metrics"]),
    ("service_discovery_providers", &["file", "static"]),
    ("tsdb", &["exemplar_storage", "native_histograms", "st_storage"]),
];

/// Category, and what Prometheus has beyond.
const MISSING: &[(&str, &[&str])] = &[
    ("api", &["lifecycle"]),
    ("prometheus", &["agent_mode", "auto_reload_config", "stringlabels"]),
    ("promql", &["type_and_unit_labels"]),
    ("rules", &["concurrent_rule_eval"]),
    ("scrape", &["start_timestamp_zero_ingestion", "type_and_unit_labels"]),
    (
        "tsdb",
        &[
            "delayed_compaction",
            "isolation",
            "use_uncached_io",
            "histograms_st_encoding",
            "xor2_encoding",
        ],
    ),
    ("ui", &["ui_v2", "ui_v3"]),
];

/// `features`.
pub(super) async fn features() -> Answer {
    let mut all: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
    for (table, is_there) in [(THERE, true), (MISSING, false)] {
        for (category, names) in table {
            let entries = all.entry(category).or_default();
            entries.extend(names.iter().map(|name| (*name, is_there)));
        }
    }
    let functions = query::promql::function_names().map(|name| (name, true));
    all.entry("promql_functions").or_default().extend(functions);
    let functions = rules::template_functions().map(|name| (name, true));
    all.entry("templating_functions").or_default().extend(functions);
    success_value(&all)
}
