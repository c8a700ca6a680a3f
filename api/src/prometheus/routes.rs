//! Every route below `/api/v1` with its handlers and its description.
//!
//! The router and `openapi.yaml` are both made from this table, so that neither can be without the
//! other.

use std::sync::Arc;

use axum::routing::{MethodRouter, get, post};

use super::{admin, features, labels, openapi, query, read, rules, search, status, targets, tsdb};
use crate::state::Shared;

/// One route.
pub(super) struct Route {
    /// Below the base, `{name}` for a part that varies.
    pub(super) path: &'static str,
    /// In lower case; for all of them the handlers are the same.
    pub(super) methods: &'static [&'static str],
    /// What kind of route it is.
    pub(super) tag: &'static str,
    /// What it does.
    pub(super) summary: &'static str,
    /// What it can be asked.
    pub(super) parameters: &'static [Parameter],
    /// What it answers.
    pub(super) answer: Answer,
    /// `None` if the write edge serves it on the same port.
    pub(super) handlers: Option<fn() -> MethodRouter<Arc<Shared>>>,
}

/// One parameter.
#[derive(Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// Whether there is no answer without it.
    pub(super) is_required: bool,
    /// Whether it may stand more than once.
    pub(super) is_repeated: bool,
    pub(super) meaning: &'static str,
}

const fn may(name: &'static str, meaning: &'static str) -> Parameter {
    Parameter { name, is_required: false, is_repeated: false, meaning }
}

const fn must(name: &'static str, meaning: &'static str) -> Parameter {
    Parameter { name, is_required: true, is_repeated: false, meaning }
}

const fn many(name: &'static str, meaning: &'static str) -> Parameter {
    Parameter { name, is_required: false, is_repeated: true, meaning }
}

const fn some(name: &'static str, meaning: &'static str) -> Parameter {
    Parameter { name, is_required: true, is_repeated: true, meaning }
}

/// What a route answers if all goes well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The envelope with some `data`.
    Envelope,
    /// 204.
    Nothing,
    /// Lines of JSON.
    Lines,
    /// Protobuf.
    Binary,
    /// This document.
    Yaml,
    /// Server-sent events.
    Events,
}

const QUERY: Parameter = must("query", "An expression of PromQL.");
const TIMEOUT: Parameter =
    may("timeout", "What the evaluation may take, up to the server's limit.");
const LIMIT: Parameter = may("limit", "The most results; 0 for all of them.");
const LOOKBACK: Parameter = may("lookback_delta", "How old a sample may be and still be current.");
const STATS: Parameter = may("stats", "`true` for the cost of the query, `all` also step by step.");
const START: Parameter = may("start", "The first time, RFC 3339 or seconds.");
const END: Parameter = may("end", "The last time, RFC 3339 or seconds.");
const MATCH: Parameter = many("match[]", "A selector; series of any of them are meant.");

const GET: &[&str] = &["get"];
const GET_POST: &[&str] = &["get", "post"];
const POST: &[&str] = &["post"];
const POST_PUT: &[&str] = &["post", "put"];

const SEARCH: &[Parameter] = &[
    MATCH,
    many("search[]", "A text to look for; what fits any of them is found."),
    may("fuzz_threshold", "How well a name has to fit, 0 to 100."),
    may("fuzz_alg", "`subsequence` or `jarowinkler`."),
    may("case_sensitive", "`false` to ignore case."),
    may("sort_by", "`alpha` or `score`."),
    may("sort_dir", "`asc` or `dsc`, with `sort_by=alpha`."),
    may("include_score", "`true` to tell how well each result fits."),
    may("include_metadata", "`true` to tell what metrics are; for metric names."),
    may("label", "The label whose values are looked through; needed for label values."),
    START,
    END,
    may("limit", "The most results, 100 without it, at most 10000."),
    may("batch_size", "The most results in a line."),
];

const fn route(
    path: &'static str,
    methods: &'static [&'static str],
    tag: &'static str,
    summary: &'static str,
    parameters: &'static [Parameter],
    answer: Answer,
    handlers: Option<fn() -> MethodRouter<Arc<Shared>>>,
) -> Route {
    Route { path, methods, tag, summary, parameters, answer, handlers }
}

const fn envelope(
    path: &'static str,
    methods: &'static [&'static str],
    tag: &'static str,
    summary: &'static str,
    parameters: &'static [Parameter],
    handlers: fn() -> MethodRouter<Arc<Shared>>,
) -> Route {
    route(path, methods, tag, summary, parameters, Answer::Envelope, Some(handlers))
}

/// All routes.
pub(super) static ROUTES: &[Route] = &[
    envelope(
        "/query",
        GET_POST,
        "query",
        "Evaluates an expression at one time.",
        &[QUERY, may("time", "The time, now without it."), TIMEOUT, LIMIT, LOOKBACK, STATS],
        || get(query::instant).post(query::instant),
    ),
    envelope(
        "/query_range",
        GET_POST,
        "query",
        "Evaluates an expression at equal steps.",
        &[
            QUERY,
            must("start", "The first time."),
            must("end", "The last time."),
            must("step", "From time to time, a duration or seconds."),
            TIMEOUT,
            LIMIT,
            LOOKBACK,
            STATS,
        ],
        || get(query::range).post(query::range),
    ),
    envelope(
        "/query_exemplars",
        GET_POST,
        "query",
        "Exemplars of the series that an expression reads.",
        &[QUERY, START, END],
        || get(query::exemplars).post(query::exemplars),
    ),
    envelope(
        "/format_query",
        GET_POST,
        "query",
        "Lays an expression out for reading.",
        &[QUERY],
        || get(query::format).post(query::format),
    ),
    envelope(
        "/parse_query",
        GET_POST,
        "query",
        "The syntax tree of an expression.",
        &[QUERY],
        || get(query::tree).post(query::tree),
    ),
    envelope(
        "/series",
        GET_POST,
        "series",
        "Label sets of series.",
        &[some("match[]", "A selector; series of any of them are meant."), START, END, LIMIT],
        || get(labels::series).post(labels::series),
    ),
    envelope(
        "/labels",
        GET_POST,
        "labels",
        "Names of labels.",
        &[START, END, MATCH, LIMIT],
        || get(labels::names).post(labels::names),
    ),
    envelope(
        "/label/{name}/values",
        GET,
        "labels",
        "Values of a label, whose name may be escaped with U__.",
        &[START, END, MATCH, LIMIT],
        || get(labels::values),
    ),
    envelope(
        "/metadata",
        GET,
        "metadata",
        "Type, unit and help of metrics.",
        &[
            may("metric", "One metric."),
            may("limit", "The most metrics."),
            may("limit_per_metric", "The most descriptions of each."),
        ],
        || get(labels::metadata),
    ),
    route(
        "/search/metric_names",
        GET_POST,
        "labels",
        "Metric names that fit a text.",
        SEARCH,
        Answer::Lines,
        Some(|| get(search::metric_names).post(search::metric_names)),
    ),
    route(
        "/search/label_names",
        GET_POST,
        "labels",
        "Label names that fit a text.",
        SEARCH,
        Answer::Lines,
        Some(|| get(search::label_names).post(search::label_names)),
    ),
    route(
        "/search/label_values",
        GET_POST,
        "labels",
        "Label values that fit a text.",
        SEARCH,
        Answer::Lines,
        Some(|| get(search::label_values).post(search::label_values)),
    ),
    envelope(
        "/rules",
        GET,
        "rules",
        "Rule groups with their rules.",
        &[
            may("type", "`alert` or `record`."),
            many("rule_name[]", "A rule."),
            many("rule_group[]", "A group."),
            many("file[]", "A file."),
            may("exclude_alerts", "`true` to leave out alerts."),
            MATCH,
            may("group_limit", "The most groups."),
            may("group_next_token", "Where the page before ended."),
        ],
        || get(rules::rules),
    ),
    envelope("/alerts", GET, "alerts", "Pending and firing alerts.", &[], || get(rules::alerts)),
    envelope("/alertmanagers", GET, "alerts", "Who is told of alerts.", &[], || {
        get(targets::alertmanagers)
    }),
    envelope(
        "/targets",
        GET,
        "targets",
        "What is scraped, and what relabelling dropped.",
        &[may("state", "`active`, `dropped` or `any`."), may("scrapePool", "One job.")],
        || get(targets::targets),
    ),
    envelope(
        "/targets/metadata",
        GET,
        "targets",
        "What the metrics of targets are.",
        &[
            may("match_target", "A selector of targets."),
            may("metric", "One metric."),
            may("limit", "The most rows."),
        ],
        || get(targets::metadata),
    ),
    envelope("/scrape_pools", GET, "targets", "Names of the scrape jobs.", &[], || {
        get(targets::pools)
    }),
    envelope(
        "/scrape_pools/config",
        GET,
        "targets",
        "One scrape job as it is configured.",
        &[must("scrapePool", "The job.")],
        || get(targets::pool_config),
    ),
    envelope("/status/buildinfo", GET, "status", "Which version this is.", &[], || {
        get(status::buildinfo)
    }),
    envelope("/status/runtimeinfo", GET, "status", "How the process runs.", &[], || {
        get(status::runtimeinfo)
    }),
    envelope("/status/config", GET, "status", "The configuration, secrets masked.", &[], || {
        get(status::config)
    }),
    envelope("/status/flags", GET, "status", "Limits under Prometheus's names.", &[], || {
        get(status::flags)
    }),
    envelope(
        "/status/tsdb",
        GET,
        "status",
        "Where the cardinality of the series in memory comes from.",
        &[may("limit", "The most rows of each table, 10 without it, at most 10000.")],
        || get(tsdb::head),
    ),
    envelope("/status/tsdb/blocks", GET, "status", "The blocks on disk.", &[], || {
        get(tsdb::blocks)
    }),
    envelope("/status/walreplay", GET, "status", "Whether the start is over.", &[], || {
        get(tsdb::replay)
    }),
    envelope("/features", GET, "features", "What this server can do.", &[], || {
        get(features::features)
    }),
    envelope(
        "/notifications",
        GET,
        "notifications",
        "Notices of this server: there are none.",
        &[],
        || get(targets::notifications),
    ),
    route(
        "/notifications/live",
        GET,
        "notifications",
        "Notices as they come: there are none.",
        &[],
        Answer::Events,
        Some(|| get(targets::live_notifications)),
    ),
    route(
        "/read",
        POST,
        "remote",
        "Remote read, of samples or of chunks.",
        &[],
        Answer::Binary,
        Some(|| post(read::read)),
    ),
    route("/write", POST, "remote", "Remote write 1.0 and 2.0.", &[], Answer::Nothing, None),
    route("/otlp/v1/metrics", POST, "otlp", "Metrics of OpenTelemetry.", &[], Answer::Binary, None),
    envelope(
        "/admin/tsdb/snapshot",
        POST_PUT,
        "admin",
        "Copies the metrics store beside itself.",
        &[may("skip_head", "Read and ignored: the copy always has everything.")],
        || post(admin::snapshot).put(admin::snapshot),
    ),
    route(
        "/admin/tsdb/delete_series",
        POST_PUT,
        "admin",
        "Deletes samples; can be undone for a while.",
        &[some("match[]", "A selector; series of any of them are meant."), START, END],
        Answer::Nothing,
        Some(|| post(admin::delete_series).put(admin::delete_series)),
    ),
    route(
        "/admin/tsdb/clean_tombstones",
        POST_PUT,
        "admin",
        "Makes deletions final.",
        &[],
        Answer::Nothing,
        Some(|| post(admin::clean).put(admin::clean)),
    ),
    route(
        "/openapi.yaml",
        GET,
        "status",
        "This document.",
        &[may("openapi_version", "`3.1` or `3.2`.")],
        Answer::Yaml,
        Some(|| get(openapi::openapi)),
    ),
];
