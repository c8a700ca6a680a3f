//! `signalbox query`: asks a running server in PromQL or LogQL and shows the answer to a person, or
//! hands it to a script.
//!
//! The server may be any that speaks the API of Prometheus or Loki. Exit codes: 0 answered, 1 not
//! answered, 2 asked wrongly.

mod answer;
mod client;
mod logql;
mod number;
mod plot;
mod screen;
mod table;
mod times;
mod view;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use model::{Clock, SystemClock, TimestampMs};

use super::{print_text, print_to_stderr};
use answer::{Answer, Envelope};
use screen::Screen;
use times::{parse_duration, parse_time, round_step};

/// The language of a query.
#[derive(Debug, Subcommand)]
pub(super) enum QueryCommand {
    /// Ask for metrics in PromQL: at one instant, or over a range with plots.
    Promql(PromqlArguments),
    /// Ask for log lines, or for numbers made of them, in LogQL.
    Logql(logql::LogqlArguments),
}

/// What is asked, of whom, and how the answer is shown.
#[derive(Debug, Args)]
pub(super) struct PromqlArguments {
    /// The expression.
    #[arg(value_name = "EXPR")]
    query: String,
    /// The server's query port; a path in front of /api/v1 may follow.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4319")]
    server: String,
    /// The instant to ask for: RFC 3339, Unix seconds, now, or a while ago such as -15m. Now if
    /// absent.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    time: Option<String>,
    /// The start of a range.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with = "time")]
    start: Option<String>,
    /// The end of a range; now if absent.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with = "time")]
    end: Option<String>,
    /// A range of this length up to --end; an hour if only --end or --step is given.
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["time", "start"])]
    since: Option<String>,
    /// Between the points of a range; chosen to suit the width of the screen if absent.
    #[arg(long, value_name = "DURATION", conflicts_with = "time")]
    step: Option<String>,
    /// How long the server may take.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    timeout: String,
    /// Print the answer as one line of JSON: resultType and result, as in Prometheus's API.
    #[arg(long)]
    json: bool,
    /// Draw with ASCII characters; implied by a locale that is not UTF-8.
    #[arg(long)]
    ascii: bool,
}

/// When a query is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    At(TimestampMs),
    Range { start: TimestampMs, end: TimestampMs, step_ms: i64 },
}

/// Asks and shows.
pub(super) fn run(command: &QueryCommand) -> anyhow::Result<ExitCode> {
    match command {
        QueryCommand::Promql(arguments) => run_promql(arguments),
        QueryCommand::Logql(arguments) => logql::run(arguments),
    }
}

fn run_promql(arguments: &PromqlArguments) -> anyhow::Result<ExitCode> {
    let screen = Screen::of_stdout(arguments.ascii);
    let asked = when(arguments, SystemClock::new().now_ms(), screen)
        .and_then(|when| Ok((when, duration("--timeout", &arguments.timeout)?)));
    let (when, timeout_ms) = match asked {
        Ok(asked) => asked,
        Err(message) => {
            print_to_stderr(&format!("signalbox: {message}"));
            return Ok(ExitCode::from(2));
        }
    };
    let envelope = client::ask(&arguments.server, &arguments.query, when, timeout_ms)?;
    if let Some(error) = envelope.error {
        print_to_stderr(&view::failure(&arguments.query, &error));
        return Ok(ExitCode::FAILURE);
    }
    let Envelope { data, warnings, infos, .. } = envelope;
    let data = data.ok_or_else(|| anyhow::anyhow!("the answer has neither data nor an error"))?;
    for (kind, texts) in [("warning", warnings), ("info", infos)] {
        for text in texts {
            // Prometheus's own begin with what they are.
            let is_told = text.starts_with("PromQL ");
            print_to_stderr(&if is_told { text } else { format!("{kind}: {text}") });
        }
    }
    if arguments.json {
        print_text(&format!("{data}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let answer: Answer = serde_json::from_value(data)?;
    print_text(&view::answer(&answer, when, screen))?;
    Ok(ExitCode::SUCCESS)
}

fn when(arguments: &PromqlArguments, now: TimestampMs, screen: Screen) -> Result<When, String> {
    const SINCE_MS: i64 = 3_600_000;
    let time = |flag: &str, text: &Option<String>| match text {
        None => Ok(now),
        Some(text) => parse_time(text, now).ok_or_else(|| {
            format!("{flag} {text:?} is no time; RFC 3339, Unix seconds, now or -15m are")
        }),
    };
    let PromqlArguments { start, end, since, step, .. } = arguments;
    if [start, end, since, step].iter().all(|given| given.is_none()) {
        return Ok(When::At(time("--time", &arguments.time)?));
    }
    let end = time("--end", end)?;
    let start = match (start, since) {
        (Some(_), _) => time("--start", start)?,
        (None, Some(since)) => end.plus_ms(-duration("--since", since)?),
        (None, None) => end.plus_ms(-SINCE_MS),
    };
    if end < start {
        return Err(format!("the end {end} is before the start {start}"));
    }
    let step_ms = match step {
        Some(step) => duration("--step", step)?,
        // Two points for each column at most.
        None => round_step(end.0 - start.0, i64::try_from(2 * screen.width).unwrap_or(i64::MAX)),
    };
    Ok(When::Range { start, end, step_ms })
}

fn duration(flag: &str, text: &str) -> Result<i64, String> {
    parse_duration(text).ok_or_else(|| format!("{flag} {text:?} is no duration such as 5m"))
}
