//! OTLP names and units to Prometheus names, under each of the four strategies
//! (prometheus/otlptranslator 1.0: `metric_namer.go`, `label_namer.go`, `unit_namer.go`).
//!
//! Where its tables differ from those of the OpenTelemetry specification (`tibibytes`, `KBy`), they
//! win: dashboards are written for what Prometheus stores.

use std::borrow::Cow;

use crate::otlp::translation::Translation;

/// What a metric's name depends on beside its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameKind {
    /// A monotonic sum.
    Counter,
    /// A gauge.
    Gauge,
    /// Any other.
    Other,
}

/// The metric name; `None` if nothing is left of it.
pub(crate) fn metric_name(
    name: &str,
    unit: &str,
    kind: NameKind,
    translation: &Translation,
) -> Option<String> {
    let strategy = translation.strategy;
    let built = match (strategy.escapes(), strategy.adds_suffixes()) {
        (true, true) => suffixed_name(name, unit, kind),
        (true, false) => escaped_name(name),
        (false, true) => utf8_name(name, unit, kind),
        (false, false) => name.to_owned(),
    };
    if built.is_empty() {
        return None;
    }
    let is_blank = strategy.escapes() && built != name && built.bytes().all(|b| b == b'_');
    (!is_blank).then_some(built)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

fn with_leading_underscore(mut name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// Words joined by single underscores, with unit and type at the end unless they are there already.
fn suffixed_name(name: &str, unit: &str, kind: NameKind) -> String {
    let mut tokens: Vec<&str> = name.split(|c| !is_word(c)).filter(|t| !t.is_empty()).collect();
    let (main, per) = unit_words(unit);
    let (mut main, per) = (clean_unit(&main), clean_unit(&per));
    let mut per = if per == "per_" { "" } else { per.strip_suffix('_').unwrap_or(&per) };
    if tokens.contains(&main.as_str()) {
        main.clear();
    }
    if tokens.contains(&per) {
        per = "";
    }
    let main = if per.is_empty() { &*main } else { main.strip_suffix('_').unwrap_or(&main) };
    tokens.extend([main, per].into_iter().filter(|word| !word.is_empty()));
    let mut end_with = |word| {
        tokens.retain(|token| *token != word);
        tokens.push(word);
    };
    if kind == NameKind::Counter {
        end_with("total");
    }
    // Senders give counts of things the unit 1 too, so that only gauges are taken for ratios.
    if unit == "1" && kind == NameKind::Gauge {
        end_with("ratio");
    }
    with_leading_underscore(tokens.join("_"))
}

/// Each run of other characters is one underscore; underscores of the name stay.
fn escaped_name(name: &str) -> String {
    let parts = name.split(|c| !is_word(c) && c != '_').filter(|part| !part.is_empty());
    with_leading_underscore(parts.collect::<Vec<_>>().join("_"))
}

/// The name as it is with unit and type at its end, in this order.
fn utf8_name(name: &str, unit: &str, kind: NameKind) -> String {
    let mut name = name;
    let (is_ratio, is_counter) =
        (unit == "1" && kind == NameKind::Gauge, kind == NameKind::Counter);
    if is_ratio {
        name = trim_suffix(name, "ratio");
    }
    if is_counter {
        name = trim_suffix(name, "total");
    }
    let (main, per) = unit_words(unit);
    if !per.is_empty() {
        name = trim_suffix(name, &per);
    }
    let mut built = name.to_owned();
    let mut add = |word: &str| {
        built.push('_');
        built.push_str(word);
    };
    if !main.is_empty() && !name.ends_with(&*main) {
        add(&main);
    }
    if !per.is_empty() {
        add(&per);
    }
    if is_counter {
        add("total");
    }
    if is_ratio {
        add("ratio");
    }
    built
}

/// Cuts a suffix and the character before it, which is taken for a delimiter.
fn trim_suffix<'a>(name: &'a str, suffix: &str) -> &'a str {
    let Some(rest) = name.strip_suffix(suffix) else { return name };
    let mut chars = rest.chars();
    match (chars.next_back(), chars.as_str()) {
        (Some(_), left) if !left.is_empty() => left,
        _ => name,
    }
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

/// The words of a unit such as `By/s`: `bytes` and `per_second`. A part with braces is a remark and
/// dropped, an unknown one is kept.
fn unit_words(unit: &str) -> (Cow<'_, str>, Cow<'_, str>) {
    let mut parts = unit.splitn(2, '/');
    let mut word = |table: &'static [(&str, &str)]| {
        let part = parts.next().unwrap_or_default().trim();
        if part.contains(['{', '}']) {
            return "";
        }
        table.iter().find(|(symbol, _)| *symbol == part).map_or(part, |(_, word)| word)
    };
    let (main, per) = (word(&UNITS), word(&PER_UNITS));
    let per = if per.is_empty() { Cow::Borrowed("") } else { Cow::Owned(format!("per_{per}")) };
    (Cow::Borrowed(main), per)
}

/// Other characters become underscores, runs of them one, and none is left in front.
fn clean_unit(unit: &str) -> String {
    let mut clean = String::with_capacity(unit.len());
    for c in unit.chars() {
        if is_word(c) {
            clean.push(c);
        } else if !clean.is_empty() && !clean.ends_with('_') {
            clean.push('_');
        }
    }
    clean
}

/// The label name; `None` if nothing but underscores is left of it.
pub(crate) fn label_name<'a>(name: &'a str, translation: &Translation) -> Option<Cow<'a, str>> {
    let is_blank = |name: &str| name.bytes().all(|b| b == b'_');
    if !translation.strategy.escapes() {
        return (!is_blank(name)).then_some(Cow::Borrowed(name));
    }
    let clean = escape_label(name, translation.label_name_preserve_multiple_underscores);
    let named = if clean.starts_with(|c: char| c.is_ascii_digit()) {
        Cow::Owned(format!("key_{clean}"))
    } else if translation.label_name_underscore_sanitization
        && clean.starts_with('_')
        && !clean.starts_with("__")
    {
        Cow::Owned(format!("key{clean}"))
    } else {
        clean
    };
    (!is_blank(&named)).then_some(named)
}

/// Other characters become underscores; runs stay, or become one but for those of `__reserved__`.
fn escape_label(name: &str, keeps_runs: bool) -> Cow<'_, str> {
    let is_clean = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.bytes().all(is_clean) && (keeps_runs || !name.contains("__")) {
        return Cow::Borrowed(name);
    }
    let escape = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    if keeps_runs {
        return Cow::Owned(name.chars().map(escape).collect());
    }
    let inner = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    let edge = if inner.is_some() { "__" } else { "" };
    let mut clean = String::with_capacity(name.len());
    clean.push_str(edge);
    let mut was_underscore = false;
    for c in inner.unwrap_or(name).chars().map(escape) {
        if c != '_' || !was_underscore {
            clean.push(c);
        }
        was_underscore = c == '_';
    }
    clean.push_str(edge);
    Cow::Owned(clean)
}

#[cfg(test)]
mod tests;
