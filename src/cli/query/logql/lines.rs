//! Lines on a terminal: the time, the labels in which they differ, the line, in the colour of its
//! level.

use model::{TimestampMs, TimestampNs};
use serde::Deserialize;

use super::super::answer::Metric;
use super::super::screen::Screen;
use super::super::table::{common_labels, selector};

/// Lines with the same labels.
#[derive(Debug, Deserialize)]
pub(super) struct Stream {
    #[serde(rename = "stream")]
    labels: Metric,
    values: Vec<Entry>,
}

/// Nanoseconds, the line, and its labels that are not those of its stream.
#[derive(Debug, Deserialize)]
struct Entry(String, String, #[serde(default)] Own);

/// Labels of a single line.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Own {
    structured_metadata: Metric,
    parsed: Metric,
}

/// Labels that tell the level, the one that counts first.
const LEVELS: [&str; 5] = ["detected_level", "level", "severity", "severity_text", "lvl"];

/// The lines of an answer in order of time, under the labels that all of them have. Structured
/// metadata is shown if it is asked for.
pub(super) fn show(streams: &[Stream], with_metadata: bool, screen: Screen) -> String {
    let count: usize = streams.iter().map(|stream| stream.values.len()).sum();
    if count == 0 {
        return "no lines\n".to_owned();
    }
    let metrics: Vec<&Metric> = streams.iter().map(|stream| &stream.labels).collect();
    let (common, _) = common_labels(&metrics);
    let mut text = String::new();
    if !common.is_empty() {
        text.push_str(&format!("{}\n", screen.bold(&selector(&common))));
    }
    let noun = if count == 1 { "line" } else { "lines" };
    text.push_str(&format!("{}\n\n", screen.faint(&format!("{count} {noun}"))));
    text.push_str(&body(streams, &common, with_metadata, screen));
    text
}

/// The lines of a message of a tail.
pub(super) fn show_new(streams: &[Stream], with_metadata: bool, screen: Screen) -> String {
    body(streams, &Metric::new(), with_metadata, screen)
}

fn body(streams: &[Stream], common: &Metric, with_metadata: bool, screen: Screen) -> String {
    let mut lines: Vec<(i64, usize, String)> = Vec::new();
    for stream in streams {
        for Entry(at, line, own) in &stream.values {
            let mut labels = stream.labels.clone();
            labels.retain(|name, _| !common.contains_key(name));
            labels.extend(own.parsed.clone());
            if with_metadata {
                labels.extend(own.structured_metadata.clone());
            }
            let labels =
                if labels.is_empty() { String::new() } else { format!("{} ", selector(&labels)) };
            let at: i64 = at.parse().unwrap_or(0);
            let style = style(&[&own.structured_metadata, &own.parsed, &stream.labels]);
            let time = screen.coloured(style, &show_time(at));
            // What a line holds must not steer the terminal.
            let line = line.trim_end_matches('\n');
            let line = if screen.has_colour { clean(line) } else { line.to_owned() };
            let shown = format!("{time} {}{line}\n", screen.faint(&labels));
            lines.push((at, lines.len(), shown));
        }
    }
    // Lines of one stream and one time come newest first if the answer does.
    let is_backward = streams.iter().any(|stream| {
        let at = |entry: Option<&Entry>| entry.and_then(|Entry(at, ..)| at.parse::<i64>().ok());
        at(stream.values.first()) > at(stream.values.last())
    });
    if is_backward {
        lines.reverse();
    }
    lines.sort_by_key(|(at, ..)| *at);
    lines.into_iter().map(|(.., shown)| shown).collect()
}

/// `2026-11-22 03:00:00.123`.
fn show_time(at_ns: i64) -> String {
    let at = TimestampNs(at_ns).to_ms();
    let seconds = super::super::times::show(TimestampMs(at.0));
    format!("{seconds}.{:03}", at.0.rem_euclid(1000))
}

/// The colour of a level.
fn style(labels: &[&Metric]) -> &'static str {
    let level = LEVELS.iter().find_map(|name| labels.iter().find_map(|some| some.get(*name)));
    let level = level.map(|level| level.to_ascii_lowercase());
    match level.as_deref() {
        Some("critical" | "fatal" | "emergency" | "alert" | "panic") => "1;31",
        Some("error" | "err" | "eror") => "31",
        Some("warn" | "warning") => "33",
        Some("info" | "information" | "notice") => "32",
        Some("debug" | "trace" | "dbug") => "34",
        _ => "2",
    }
}

/// Without control characters; tabs and line breaks stay.
fn clean(line: &str) -> String {
    line.chars()
        .map(|c| if c.is_control() && !matches!(c, '\t' | '\n') { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams() -> Vec<Stream> {
        serde_json::from_str(
            r#"[{"stream":{"app":"a","pod":"x"},"values":[
                 ["1700000002000000000","two",{"structuredMetadata":{"detected_level":"error"}}],
                 ["1700000001500000000","one \u001b[2J",{"parsed":{"n":"1"}}]]},
                {"stream":{"app":"a","pod":"y","level":"info"},
                 "values":[["1700000001000000000","zero\n"]]}]"#,
        )
        .unwrap()
    }

    #[test]
    fn lines_come_in_order_of_time_under_what_they_share() {
        let screen = Screen { width: 80, is_ascii: true, has_colour: false };
        assert_eq!(
            show(&streams(), false, screen),
            "{app=\"a\"}\n3 lines\n\n\
             2023-11-14 22:13:21.000 {level=\"info\", pod=\"y\"} zero\n\
             2023-11-14 22:13:21.500 {n=\"1\", pod=\"x\"} one \u{1b}[2J\n\
             2023-11-14 22:13:22.000 {pod=\"x\"} two\n"
        );
        let last = "22:13:22.000 {app=\"a\", detected_level=\"error\", pod=\"x\"} two\n";
        assert!(show_new(&streams(), true, screen).ends_with(last));
        assert_eq!(show(&[], true, screen), "no lines\n");
    }

    #[test]
    fn levels_have_colours_and_lines_no_control() {
        let screen = Screen { width: 80, is_ascii: true, has_colour: true };
        let shown = show(&streams(), false, screen);
        assert!(shown.contains("\u{1b}[31m2023-11-14 22:13:22.000\u{1b}[0m"), "{shown:?}");
        assert!(shown.contains("one \u{fffd}[2J"), "{shown:?}");
    }
}
