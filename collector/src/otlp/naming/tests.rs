//! Names under each strategy. What is expected follows from the rules of prometheus/otlptranslator;
//! the cases that its own tests have say the same here.

use super::*;
use crate::otlp::translation::Strategy;

const C: NameKind = NameKind::Counter;
const G: NameKind = NameKind::Gauge;
const O: NameKind = NameKind::Other;

/// A name, its unit and kind, and what becomes of it under the four strategies in the order of
/// [`Strategy::ALL`]; an empty text means that it is refused.
type Row = (&'static str, &'static str, NameKind, [&'static str; 4]);

const ROWS: [Row; 47] = [
    ("up", "", G, ["up", "up", "up", "up"]),
    (
        "http.server.request.duration",
        "s",
        O,
        [
            "http_server_request_duration_seconds",
            "http_server_request_duration",
            "http.server.request.duration_seconds",
            "http.server.request.duration",
        ],
    ),
    (
        "system.network.io",
        "By",
        C,
        [
            "system_network_io_bytes_total",
            "system_network_io",
            "system.network.io_bytes_total",
            "system.network.io",
        ],
    ),
    ("requests_total", "", C, ["requests_total"; 4]),
    (
        "requests_total",
        "{request}",
        C,
        ["requests_total", "requests_total", "requests_total", "requests_total"],
    ),
    (
        "total.requests",
        "{request}",
        C,
        ["requests_total", "total_requests", "total.requests_total", "total.requests"],
    ),
    ("total", "", C, ["total", "total", "total_total", "total"]),
    (
        "cpu.utilization",
        "1",
        G,
        ["cpu_utilization_ratio", "cpu_utilization", "cpu.utilization_ratio", "cpu.utilization"],
    ),
    ("cpu_ratio", "1", G, ["cpu_ratio"; 4]),
    (
        "ratio.of.hits",
        "1",
        G,
        ["of_hits_ratio", "ratio_of_hits", "ratio.of.hits_ratio", "ratio.of.hits"],
    ),
    ("queue.size", "1", O, ["queue_size", "queue_size", "queue.size", "queue.size"]),
    ("items", "1", C, ["items_total", "items", "items_total", "items"]),
    (
        "disk.speed",
        "MBy/s",
        G,
        [
            "disk_speed_megabytes_per_second",
            "disk_speed",
            "disk.speed_megabytes_per_second",
            "disk.speed",
        ],
    ),
    ("disk.bytes", "By", G, ["disk_bytes", "disk_bytes", "disk.bytes", "disk.bytes"]),
    ("bytes.read", "By", G, ["bytes_read", "bytes_read", "bytes.read_bytes", "bytes.read"]),
    ("1st.place", "", G, ["_1st_place", "_1st_place", "1st.place", "1st.place"]),
    ("123metric", "", O, ["_123metric", "_123metric", "123metric", "123metric"]),
    ("a--b__c", "", G, ["a_b_c", "a_b__c", "a--b__c", "a--b__c"]),
    ("__", "", G, ["", "__", "__", "__"]),
    ("___", "s", G, ["seconds", "___", "____seconds", "___"]),
    ("", "", G, ["", "", "", ""]),
    ("", "s", G, ["seconds", "", "_seconds", ""]),
    ("@#$%", "", O, ["", "", "@#$%", "@#$%"]),
    ("@#$%", "", C, ["total", "", "@#$%_total", "@#$%"]),
    ("@_#_$_%", "", O, ["", "", "@_#_$_%", "@_#_$_%"]),
    (
        "metric@with#special$chars",
        "",
        O,
        [
            "metric_with_special_chars",
            "metric_with_special_chars",
            "metric@with#special$chars",
            "metric@with#special$chars",
        ],
    ),
    (
        "metric@@##$$name",
        "",
        O,
        ["metric_name", "metric_name", "metric@@##$$name", "metric@@##$$name"],
    ),
    (
        "job:errors:rate",
        "",
        G,
        ["job:errors:rate", "job:errors:rate", "job:errors:rate", "job:errors:rate"],
    ),
    (
        "speed",
        "furlong/fortnight",
        G,
        ["speed_furlong_per_fortnight", "speed", "speed_furlong_per_fortnight", "speed"],
    ),
    ("errors", "{error}/s", G, ["errors_per_second", "errors", "errors_per_second", "errors"]),
    (
        "errors_per_second",
        "{error}/s",
        G,
        [
            "errors_per_second_per_second",
            "errors_per_second",
            "errors_per_second",
            "errors_per_second",
        ],
    ),
    ("custom", "By/{op}", G, ["custom_bytes", "custom", "custom_bytes", "custom"]),
    ("requests", "1/s", O, ["requests_per_second", "requests", "requests_per_second", "requests"]),
    (
        "requests",
        "1/s",
        C,
        ["requests_per_second_total", "requests", "requests_per_second_total", "requests"],
    ),
    ("time", "min", O, ["time_minutes", "time", "time_minutes", "time"]),
    ("time", "m/min", O, ["time_meters_per_min", "time", "time_meters_per_min", "time"]),
    ("rate", "Cel/mo", O, ["rate_celsius_per_month", "rate", "rate_celsius_per_month", "rate"]),
    ("size", "TiBy", O, ["size_tibibytes", "size", "size_tibibytes", "size"]),
    ("size", "KBy", O, ["size_kilobytes", "size", "size_kilobytes", "size"]),
    ("load", "%", G, ["load_percent", "load", "load_percent", "load"]),
    ("clock", "Hz", G, ["clock_hertz", "clock", "clock_hertz", "clock"]),
    (
        "metric__with__runs",
        "unit__of__runs",
        O,
        [
            "metric_with_runs_unit_of_runs",
            "metric__with__runs",
            "metric__with__runs_unit__of__runs",
            "metric__with__runs",
        ],
    ),
    (
        "odd",
        "unit@with#special/chars!",
        O,
        ["odd_unit_with_special_per_chars", "odd", "odd_unit@with#special_per_chars!", "odd"],
    ),
    ("odd", "_", O, ["odd", "odd", "odd__", "odd"]),
    ("odd", " s / s ", O, ["odd_seconds_per_second", "odd", "odd_seconds_per_second", "odd"]),
    (
        "requ\u{ea}sts",
        "1/s",
        C,
        [
            "requ_sts_per_second_total",
            "requ_sts",
            "requ\u{ea}sts_per_second_total",
            "requ\u{ea}sts",
        ],
    ),
    (
        "otelcol_process_cpu_seconds",
        "s",
        C,
        [
            "otelcol_process_cpu_seconds_total",
            "otelcol_process_cpu_seconds",
            "otelcol_process_cpu_seconds_total",
            "otelcol_process_cpu_seconds",
        ],
    ),
];

#[test]
fn metric_names_follow_the_strategy() {
    for (name, unit, kind, expected) in ROWS {
        for ((word, strategy), expected) in Strategy::ALL.into_iter().zip(expected) {
            let translation = Translation { strategy, ..Default::default() };
            let built = metric_name(name, unit, kind, &translation);
            let expected = (!expected.is_empty()).then_some(expected);
            assert_eq!(built.as_deref(), expected, "{name:?} {unit:?} {kind:?} {word}");
        }
    }
}

/// A label name, and what becomes of it without options, keeping runs of underscores, with a
/// leading underscore sanitized, and with both; an empty text means that it is left out.
const LABELS: [(&str, [&str; 4]); 20] = [
    ("http.route", ["http_route"; 4]),
    ("Capital", ["Capital"; 4]),
    ("with:colons", ["with_colons"; 4]),
    ("with!and&of$them)", ["with_and_of_them_"; 4]),
    ("far_\u{5b57}\u{7b26}", ["far_", "far___", "far_", "far___"]),
    (".foo", ["_foo", "_foo", "key_foo", "key_foo"]),
    ("123label", ["key_123label"; 4]),
    ("1", ["key_1"; 4]),
    ("_x", ["_x", "_x", "key_x", "key_x"]),
    ("__x", ["_x", "__x", "key_x", "__x"]),
    ("__x__", ["__x__"; 4]),
    ("__a__b__", ["__a_b__", "__a__b__", "__a_b__", "__a__b__"]),
    ("a__b", ["a_b", "a__b", "a_b", "a__b"]),
    ("a.b__c&&d##e", ["a_b_c_d_e", "a_b__c__d__e", "a_b_c_d_e", "a_b__c__d__e"]),
    ("tail___", ["tail_", "tail___", "tail_", "tail___"]),
    ("\u{3088}\u{3046}", ["", "", "key_", "__"]),
    ("__", ["", "", "key_", ""]),
    ("_", ["", "", "key_", "key_"]),
    ("", [""; 4]),
    ("..", ["", "", "key_", ""]),
];

#[test]
fn label_names_follow_the_options() {
    for (name, expected) in LABELS {
        for (i, expected) in expected.into_iter().enumerate() {
            let translation = Translation {
                label_name_preserve_multiple_underscores: i & 1 != 0,
                label_name_underscore_sanitization: i & 2 != 0,
                ..Default::default()
            };
            let built = label_name(name, &translation);
            // Two underscores in front are reserved names, which are not sanitized.
            let expected = if expected == "__" { "" } else { expected };
            let expected = (!expected.is_empty()).then_some(expected);
            assert_eq!(built.as_deref(), expected, "{name:?} {i}");
        }
    }
    let strategy = Strategy::NoTranslation;
    let translation = Translation { strategy, ..Default::default() };
    for name in ["http.route", "1x", "_x", "a__b", "\u{5b57}"] {
        assert_eq!(label_name(name, &translation).as_deref(), Some(name));
    }
    for name in ["", "_", "__"] {
        assert_eq!(label_name(name, &translation), None);
    }
}
