//! `detected_level`: the level of a record, from its fields, its severity number, or its line
//! (as Loki's `pkg/distributor/field_detection.go` documents it: level fields first, then the
//! labels of the stream, then the number, then the line).

use model::Labels;
use model::write::LogField;

/// Fields that name a level; case is ignored.
const LEVEL_FIELDS: [&str; 5] = ["level", "severity", "lvl", "severity_text", "log_level"];

/// One of trace, debug, info, warn, error, critical, fatal, unknown.
pub(crate) fn detect(
    fields: &[LogField<'_>],
    stream: &Labels,
    severity_number: i32,
    line: &str,
) -> &'static str {
    let is_level = |name: &str| LEVEL_FIELDS.iter().any(|known| name.eq_ignore_ascii_case(known));
    let fields = fields.iter().map(|field| (&*field.name, &*field.value));
    fields
        .chain(stream.iter())
        .filter(|(name, _)| is_level(name))
        .find_map(|(_, value)| from_word(value))
        .or_else(|| from_number(severity_number))
        .or_else(|| from_line(line))
        .unwrap_or("unknown")
}

fn from_number(number: i32) -> Option<&'static str> {
    match number {
        1..=4 => Some("trace"),
        5..=8 => Some("debug"),
        9..=12 => Some("info"),
        13..=16 => Some("warn"),
        17..=20 => Some("error"),
        21..=24 => Some("fatal"),
        _ => None,
    }
}

const WORDS: [(&str, &str); 15] = [
    ("trace", "trace"),
    ("trc", "trace"),
    ("debug", "debug"),
    ("dbg", "debug"),
    ("info", "info"),
    ("inf", "info"),
    ("information", "info"),
    ("informational", "info"),
    ("warn", "warn"),
    ("wrn", "warn"),
    ("warning", "warn"),
    ("error", "error"),
    ("err", "error"),
    ("critical", "critical"),
    ("fatal", "fatal"),
];

fn from_word(word: &str) -> Option<&'static str> {
    let found = WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    found.map(|(_, level)| *level)
}

/// How much of a line is looked at: a level stands near the front.
const LINE_BYTES_MAX: usize = 256;

/// The value of a level key in a JSON or logfmt line, else the first word that is a level.
fn from_line(line: &str) -> Option<&'static str> {
    let line = &line[..line.floor_char_boundary(LINE_BYTES_MAX)];
    let mut first = None;
    let mut previous = "";
    for word in line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        if word.is_empty() {
            continue;
        }
        if let Some(level) = from_word(word) {
            // `level=info` and `"level":"info"` beat a word of the text before them.
            if LEVEL_FIELDS.iter().any(|name| previous.eq_ignore_ascii_case(name)) {
                return Some(level);
            }
            first = first.or(Some(level));
        }
        previous = word;
    }
    first
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use model::log::Origin;

    use super::*;

    fn check(field: Option<(&'static str, &'static str)>, number: i32, line: &str, level: &str) {
        let fields: Vec<_> = field
            .into_iter()
            .map(|(name, value)| LogField {
                name: Cow::Borrowed(name),
                value: Cow::Borrowed(value),
                origin: Origin::Record,
            })
            .collect();
        assert_eq!(
            detect(&fields, &Labels::empty(), number, line),
            level,
            "{field:?} {number} {line:?}"
        );
    }

    #[test]
    fn the_level_comes_from_fields_then_the_number_then_the_line() {
        check(Some(("Level", "WARNING")), 17, "info", "warn");
        check(Some(("other", "warn")), 17, "info", "error");
        check(None, 9, "an error", "info");
        check(None, 0, r#"{"msg":"no error here","level":"debug"}"#, "debug");
        check(None, 0, "msg=x lvl=err", "error");
        check(None, 0, "2026-11-22 [ERROR] boom", "error");
        check(None, 0, "terror of the informant", "unknown");
        check(None, 0, "", "unknown");
    }
}
