//! `signalbox query logql`: lines with their labels, coloured by level; numbers as tables and
//! plots; and, with `--tail`, lines as they come.

mod lines;
mod tail;

use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use model::{Clock, SystemClock, TimestampMs};
use query::logql::{Expr, parse};
use regex::Regex;
use reqwest::Url;

use super::answer::{Answer, Envelope};
use super::screen::Screen;
use super::times::{parse_time, round_step};
use super::{When, client, duration, print_text, print_to_stderr, view};

/// Which lines are taken if there are more than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Direction {
    /// The oldest.
    Forward,
    /// The newest.
    Backward,
}

/// What is asked, of whom, and how the answer is shown.
#[derive(Debug, Args)]
pub(in crate::cli) struct LogqlArguments {
    /// The query.
    #[arg(value_name = "QUERY")]
    query: String,
    /// The server's query port; a path in front of /loki/api/v1 may follow.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4319")]
    server: String,
    /// The start of the range: RFC 3339, Unix seconds, now, or a while ago such as -15m.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// The end of the range; now if absent.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// A range of this length up to --to; an hour for lines if nothing else is said. A metric query
    /// without any range is asked for one instant.
    #[arg(long, value_name = "DURATION", conflicts_with = "from")]
    since: Option<String>,
    /// Between the points of a metric query; chosen to suit the width of the screen if absent.
    #[arg(long, value_name = "DURATION")]
    step: Option<String>,
    /// How many lines at most.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// Which lines are taken if there are more; they are shown in order of time either way.
    #[arg(long, value_enum, default_value = "backward")]
    direction: Direction,
    /// Show the structured metadata of lines too, beside the labels of streams and of parsers.
    #[arg(long)]
    metadata: bool,
    /// Show lines as they come, until interrupted.
    #[arg(long, conflicts_with_all = ["to", "step", "direction"])]
    tail: bool,
    /// How long the server may take.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    timeout: String,
    /// Print the answer as one line of JSON: resultType and result, as in Loki's API; with --tail,
    /// one for each message.
    #[arg(long)]
    json: bool,
    /// Draw with ASCII characters; implied by a locale that is not UTF-8.
    #[arg(long)]
    ascii: bool,
}

/// Asks and shows.
pub(super) fn run(arguments: &LogqlArguments) -> anyhow::Result<ExitCode> {
    let screen = Screen::of_stdout(arguments.ascii);
    let now = SystemClock::new().now_ms();
    let (when, timeout_ms) = match asked(arguments, now, screen) {
        Ok(asked) => asked,
        Err(message) => {
            print_to_stderr(&format!("signalbox: {message}"));
            return Ok(ExitCode::from(2));
        }
    };
    if arguments.tail {
        return tail::run(arguments, when, screen);
    }
    let (path, form) = request(arguments, when, timeout_ms);
    let url = address(&arguments.server, path)?;
    let (status, answer) =
        client::post(&arguments.server, &url, headers(arguments), &form, timeout_ms)?;
    if status != 200 {
        let text = String::from_utf8_lossy(&answer);
        print_to_stderr(&view::failure(&arguments.query, &placed(text.trim())));
        return Ok(ExitCode::FAILURE);
    }
    let envelope: Envelope =
        serde_json::from_slice(&answer).with_context(|| format!("{url} answered without JSON"))?;
    for text in envelope.warnings {
        print_to_stderr(&format!("warning: {text}"));
    }
    let data = envelope.data.ok_or_else(|| anyhow!("the answer has no data"))?;
    let part = |name: &str| data.get(name).cloned().unwrap_or_default();
    let (kind, result) = (part("resultType"), part("result"));
    let shown = serde_json::json!({ "resultType": kind, "result": result });
    if arguments.json {
        print_text(&format!("{shown}\n"))?;
    } else if kind == "streams" {
        let streams: Vec<lines::Stream> = serde_json::from_value(result)?;
        print_text(&lines::show(&streams, arguments.metadata, screen))?;
    } else {
        let answer: Answer = serde_json::from_value(shown)?;
        print_text(&view::answer(&answer, when, screen))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// When, and for how long.
fn asked(
    arguments: &LogqlArguments,
    now: TimestampMs,
    screen: Screen,
) -> Result<(When, i64), String> {
    const HOUR_MS: i64 = 3_600_000;
    let LogqlArguments { from, to, since, step, .. } = arguments;
    let timeout_ms = duration("--timeout", &arguments.timeout)?;
    let time = |flag: &str, text: &str| {
        parse_time(text, now).ok_or_else(|| {
            format!("{flag} {text:?} is no time; RFC 3339, Unix seconds, now or -15m are")
        })
    };
    let end = to.as_deref().map_or(Ok(now), |text| time("--to", text))?;
    let is_metric = matches!(parse(&arguments.query), Ok(Expr::Metric(_)));
    let has_range = from.is_some() || since.is_some() || step.is_some();
    if is_metric && !has_range && !arguments.tail {
        return Ok((When::At(end), timeout_ms));
    }
    let start = match (from, since) {
        (Some(from), _) => time("--from", from)?,
        (None, Some(since)) => end.plus_ms(-duration("--since", since)?),
        (None, None) => end.plus_ms(-HOUR_MS),
    };
    if end < start {
        return Err(format!("the end {end} is before the start {start}"));
    }
    let step_ms = match step {
        Some(step) => duration("--step", step)?,
        // Two points for each column at most.
        None => round_step(end.0 - start.0, i64::try_from(2 * screen.width).unwrap_or(i64::MAX)),
    };
    Ok((When::Range { start, end, step_ms }, timeout_ms))
}

/// The path of the request and its form.
fn request(
    arguments: &LogqlArguments,
    when: When,
    timeout_ms: i64,
) -> (&'static str, Vec<(&'static str, String)>) {
    let ns = |at: TimestampMs| at.to_ns().0.to_string();
    let mut form = vec![
        ("query", arguments.query.clone()),
        ("limit", arguments.limit.to_string()),
        ("timeout", format!("{timeout_ms}ms")),
    ];
    match when {
        When::At(at) => {
            form.push(("time", ns(at)));
            ("query", form)
        }
        When::Range { start, end, step_ms } => {
            let direction = match arguments.direction {
                Direction::Forward => "forward",
                Direction::Backward => "backward",
            };
            form.push(("direction", direction.to_owned()));
            form.push(("start", ns(start)));
            form.push(("end", ns(end)));
            form.push(("step", format!("{step_ms}ms")));
            ("query_range", form)
        }
    }
}

/// Asks for the labels of streams, metadata and parsers apart, if they are to be shown.
fn headers(arguments: &LogqlArguments) -> &'static [(&'static str, &'static str)] {
    const APART: [(&str, &str); 1] = [("x-loki-response-encoding-flags", "categorize-labels")];
    if arguments.json { &[] } else { &APART }
}

fn address(server: &str, path: &str) -> anyhow::Result<Url> {
    let server = server.trim_end_matches('/');
    // As people write it: localhost:4319.
    let scheme = if server.contains("://") { "" } else { "http://" };
    let address = format!("{scheme}{server}/loki/api/v1/{path}");
    Url::parse(&address).with_context(|| format!("{server:?} is no address"))
}

/// A failure with its place written as in PromQL's, so that a caret can point at it.
fn placed(error: &str) -> String {
    let Ok(place) = Regex::new(r"parse error at line (\d+), col (\d+): ") else {
        return error.to_owned();
    };
    place.replace(error, "$1:$2: parse error: ").into_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: LogqlArguments,
    }

    fn arguments(line: &[&str]) -> LogqlArguments {
        Line::parse_from([&["logql"], line].concat()).arguments
    }

    fn ask(line: &[&str]) -> Result<(&'static str, String), String> {
        let screen = Screen { width: 100, is_ascii: true, has_colour: false };
        let arguments = arguments(line);
        let (when, timeout_ms) = asked(&arguments, TimestampMs(7_200_000), screen)?;
        let (path, form) = request(&arguments, when, timeout_ms);
        let form: Vec<String> = form.iter().skip(1).map(|(n, v)| format!("{n}={v}")).collect();
        Ok((path, form.join("&")))
    }

    #[test]
    fn lines_are_asked_for_an_hour_and_numbers_for_an_instant() {
        let (path, form) = ask(&["{a=\"b\"}"]).unwrap();
        assert_eq!(path, "query_range");
        let expected = "limit=100&timeout=30000ms&direction=backward&start=3600000000000&\
                        end=7200000000000&step=30000ms";
        assert_eq!(form, expected);
        let (path, form) = ask(&["rate({a=\"b\"}[1m])", "--to", "-1m"]).unwrap();
        assert_eq!(
            (path, form.as_str()),
            ("query", "limit=100&timeout=30000ms&time=7140000000000")
        );
        let (path, form) = ask(&["rate({a=\"b\"}[1m])", "--since", "10m", "--step", "1m"]).unwrap();
        assert_eq!(path, "query_range");
        assert!(form.ends_with("start=6600000000000&end=7200000000000&step=60000ms"), "{form}");
        assert!(ask(&["{a=\"b\"}", "--from", "soon"]).unwrap_err().contains("--from"));
        assert!(
            ask(&["{a=\"b\"}", "--from", "now", "--to", "-1m"]).unwrap_err().contains("before")
        );
    }

    #[test]
    fn a_mistake_is_pointed_at() {
        let shown = view::failure("{a=b}", &placed("parse error at line 1, col 4: unexpected"));
        assert!(shown.ends_with("1:4: parse error: unexpected\n\n  {a=b}\n     ^"), "{shown}");
    }
}
