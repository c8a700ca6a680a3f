//! OTLP names and units to Prometheus names: the default strategy, underscores with suffixes
//! (prometheus/otlptranslator `metric_namer.go`, `label_namer.go`, `unit_namer`).

use std::borrow::Cow;

use model::sample::MetricKind;

/// The metric name with unit and type suffixes; empty if nothing of the name is left. A sum that may
/// fall is [`MetricKind::Unknown`] here: it gets neither suffix.
pub(crate) fn metric_name(name: &str, unit: &str, kind: MetricKind) -> String {
    let is_counter = kind == MetricKind::Counter;
    let is_gauge = kind == MetricKind::Gauge;
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == ':';
    let mut tokens: Vec<&str> = name.split(|c| !is_word(c)).filter(|t| !t.is_empty()).collect();
    let (main, per) = unit_words(unit);
    for word in [main, per].into_iter().flatten().flat_map(split_words).collect::<Vec<_>>() {
        if !tokens.contains(&word) {
            tokens.push(word);
        }
    }
    if is_counter {
        tokens.retain(|token| *token != "total");
        tokens.push("total");
    }
    if unit == "1" && is_gauge {
        tokens.retain(|token| *token != "ratio");
        tokens.push("ratio");
    }
    let mut joined = tokens.join("_");
    if joined.starts_with(|c: char| c.is_ascii_digit()) {
        joined.insert(0, '_');
    }
    joined
}

/// `per_second` is two tokens, `meters` is one.
fn split_words(words: UnitWords<'_>) -> Vec<&str> {
    match words {
        UnitWords::Main(word) => vec![word],
        UnitWords::Per(word) => vec!["per", word],
    }
}

#[derive(Clone, Copy)]
enum UnitWords<'a> {
    Main(&'a str),
    Per(&'a str),
}

const UNITS: [(&str, &str); 26] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
    ("1", ""),
];

const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// The words of a unit such as `By/s`; parts with braces are dropped, unknown units are kept if they
/// are clean words.
fn unit_words(unit: &str) -> (Option<UnitWords<'_>>, Option<UnitWords<'_>>) {
    let mut parts = unit.splitn(2, '/');
    let main = parts.next().unwrap_or_default().trim();
    let per = parts.next().unwrap_or_default().trim();
    let word = |part: &'static [(&'static str, &'static str)], text| lookup(part, text);
    (word(&UNITS, main).map(UnitWords::Main), word(&PER_UNITS, per).map(UnitWords::Per))
}

fn lookup<'a>(table: &[(&'static str, &'static str)], text: &'a str) -> Option<&'a str> {
    if text.contains(['{', '}']) {
        return None;
    }
    let known = table.iter().find(|(symbol, _)| *symbol == text).map(|(_, word)| *word);
    let word = known.unwrap_or_else(|| text.trim_matches('_'));
    let is_clean = word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (!word.is_empty() && is_clean).then_some(word)
}

/// The label name: other characters become underscores, a leading digit gets `key_`, a single
/// leading underscore gets `key`.
pub(crate) fn label_name(name: &str) -> Cow<'_, str> {
    if name.is_empty() {
        return Cow::Borrowed("");
    }
    let clean: Cow<'_, str> = if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        Cow::Borrowed(name)
    } else {
        let to_plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        Cow::Owned(name.chars().map(to_plain).collect())
    };
    if clean.starts_with(|c: char| c.is_ascii_digit()) {
        Cow::Owned(format!("key_{clean}"))
    } else if clean.starts_with('_') && !clean.starts_with("__") {
        Cow::Owned(format!("key{clean}"))
    } else {
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_names_get_their_unit_and_type() {
        let check = |name, unit, data, expected: &str| {
            assert_eq!(metric_name(name, unit, data), expected, "{name} {unit}");
        };
        check(
            "http.server.request.duration",
            "s",
            MetricKind::Gauge,
            "http_server_request_duration_seconds",
        );
        check("system.network.io", "By", MetricKind::Counter, "system_network_io_bytes_total");
        check("requests_total", "", MetricKind::Counter, "requests_total");
        check("total.requests", "{request}", MetricKind::Counter, "requests_total");
        check("cpu.utilization", "1", MetricKind::Gauge, "cpu_utilization_ratio");
        check("queue.size", "1", MetricKind::Unknown, "queue_size");
        check("disk.speed", "MBy/s", MetricKind::Gauge, "disk_speed_megabytes_per_second");
        check("disk.bytes", "By", MetricKind::Gauge, "disk_bytes");
        check("1st.place", "", MetricKind::Gauge, "_1st_place");
        check("a--b__c", "", MetricKind::Gauge, "a_b_c");
        check("__", "", MetricKind::Gauge, "");
        check("speed", "furlong/fortnight", MetricKind::Gauge, "speed_furlong_per_fortnight");
        check("errors", "{error}/s", MetricKind::Gauge, "errors_per_second");
    }

    #[test]
    fn label_names_are_escaped() {
        let check = |name, expected: &str| assert_eq!(label_name(name), expected);
        check("http.route", "http_route");
        check("1x", "key_1x");
        check("_x", "key_x");
        check("__x__", "__x__");
        check("a__b", "a__b");
    }
}
