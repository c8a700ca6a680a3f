//! What is asked of every store, and what each answer costs.

use std::time::Duration;

use super::meter::Meter;
use super::query;
use super::replay::replay;
use super::sets::Set;
use super::store::Running;
use super::synthetic::STEP_MS;
use super::table::Run;
use super::workloads::{Bench, CONNECTIONS, MIB, note, now_ms};
use crate::process::Memory;

/// Steps of the sets that range queries of 360 steps and windows of five minutes are about.
const RANGE_STEPS: usize = 400;
/// Steps sent before the next ones begin; Prometheus takes nothing that is an hour late.
const SPAN_STEPS: usize = 120;
const MONTH_DAYS: usize = 30;

/// One question: a path below the root of the API with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    /// What it measures.
    pub(super) name: &'static str,
    /// The route.
    pub(super) path: String,
    /// Names and plain values of its parameters.
    pub(super) parameters: Vec<(&'static str, String)>,
    /// How often it is asked.
    pub(super) times: u32,
}

impl Question {
    /// PromQL at one instant.
    pub(super) fn instant(name: &'static str, query: &str, at_ms: i64, times: u32) -> Self {
        let parameters = vec![("query", query.to_owned()), ("time", seconds(at_ms))];
        Question { name, path: "/api/v1/query".into(), parameters, times }
    }

    /// PromQL over `steps` steps of `step_s` seconds that end at `end_ms`.
    pub(super) fn range(
        name: &'static str,
        query: &str,
        end_ms: i64,
        (steps, step_s): (i64, i64),
        times: u32,
    ) -> Self {
        let start_ms = end_ms - (steps - 1) * step_s * 1_000;
        let parameters = vec![
            ("query", query.to_owned()),
            ("start", seconds(start_ms)),
            ("end", seconds(end_ms)),
            ("step", step_s.to_string()),
        ];
        Question { name, path: "/api/v1/query_range".into(), parameters, times }
    }

    /// The values of a label on all series in the hour before `end_ms`.
    pub(super) fn values(name: &'static str, label: &str, end_ms: i64, times: u32) -> Self {
        let parameters = vec![("start", seconds(end_ms - 3_600_000)), ("end", seconds(end_ms))];
        Question { name, path: format!("/api/v1/label/{label}/values"), parameters, times }
    }
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

impl Bench {
    /// Queries over an hour and a half: CPU of the server for each.
    pub(super) async fn query(&self) -> anyhow::Result<Vec<Run>> {
        let case = "query, 10,000 counters, 10,000 buckets, 100,000 gauges";
        let end_ms = now_ms() / STEP_MS * STEP_MS;
        let work = async |running: &mut Running, run: &mut Run, _: Memory| {
            let mut sets = [Set::counters(self.seed, 10_000), Set::buckets(self.seed + 1, 10_000)];
            fill(running, run, &mut sets, end_ms, RANGE_STEPS).await?;
            let mut gauges = [Set::gauges(self.seed + 2, 100_000)];
            fill(running, run, &mut gauges, end_ms, 4).await?;
            running.settle().await?;
            let range = |name, query, times| {
                Question::range(name, query, end_ms, (360, STEP_MS / 1_000), times)
            };
            let questions = [
                range("sum by (job) (rate())", "sum by (job) (rate(requests_total[5m]))", 10),
                range("rate(), all series", "rate(requests_total[5m])", 4),
                range(
                    "histogram_quantile() of each",
                    "histogram_quantile(0.99, rate(request_duration_seconds_bucket[5m]))",
                    6,
                ),
                range(
                    "histogram_quantile() by job",
                    "histogram_quantile(0.99, \
                     sum by (job, le) (rate(request_duration_seconds_bucket[5m])))",
                    6,
                ),
                Question::instant("topk() at an instant", "topk(10, queue_length)", end_ms, 20),
            ];
            ask_all(running, run, &questions).await
        };
        self.each(case, self.all(), work).await
    }

    /// The values of labels over many series.
    pub(super) async fn label_values(&self, series: usize) -> anyhow::Result<Vec<Run>> {
        let case = format!("label values, {series} series");
        let end_ms = now_ms() / STEP_MS * STEP_MS;
        let work = async |running: &mut Running, run: &mut Run, _: Memory| {
            fill(running, run, &mut [Set::gauges(self.seed, series)], end_ms, 2).await?;
            running.settle().await?;
            let questions = [
                Question::values("values of instance", "instance", end_ms, 20),
                Question::values("values of queue", "queue", end_ms, 20),
            ];
            ask_all(running, run, &questions).await
        };
        self.each(&case, self.all(), work).await
    }

    /// A month of samples and steps of an hour.
    pub(super) async fn month(&self, series: usize) -> anyhow::Result<Vec<Run>> {
        let steps = MONTH_DAYS * 24 * 240;
        let case = format!("{MONTH_DAYS} days at 15 s, {series} series");
        let hour_ms = 3_600_000;
        let end_ms = now_ms() / hour_ms * hour_ms;
        let work = async |running: &mut Running, run: &mut Run, _: Memory| {
            fill(running, run, &mut [Set::counters(self.seed, series)], end_ms, steps).await?;
            running.merge().await?;
            let range = |name, query| {
                Question::range(name, query, end_ms, (MONTH_DAYS as i64 * 24, 3_600), 4)
            };
            let questions = [
                range("sum by (job) (rate([1h]))", "sum by (job) (rate(requests_total[1h]))"),
                range(
                    "max by (job) (max_over_time([1h]))",
                    "max by (job) (max_over_time(requests_total[1h]))",
                ),
                range("sum by (job) ([none])", "sum by (job) (requests_total)"),
            ];
            ask_all(running, run, &questions).await
        };
        self.each(&case, self.all(), work).await
    }
}

/// Sends `steps` steps of all sets; the last one begins a step before `end_ms`.
async fn fill(
    running: &mut Running,
    run: &mut Run,
    sets: &mut [Set],
    end_ms: i64,
    steps: usize,
) -> anyhow::Result<()> {
    let mut sent = 0;
    while sent < steps {
        let span = SPAN_STEPS.min(steps - sent);
        let start_ms = end_ms - (steps - sent) as i64 * STEP_MS;
        for set in &mut *sets {
            let lanes = set.span(start_ms, span, CONNECTIONS)?;
            note(run, &replay(running.remote_write(), &lanes).await?);
        }
        sent += span;
    }
    running.ensure_alive()
}

/// Asks each question until its answer is warm, then as often as it says, and notes the CPU of the
/// server for one.
async fn ask_all(
    running: &mut Running,
    run: &mut Run,
    questions: &[Question],
) -> anyhow::Result<()> {
    for question in questions {
        let mut connection = running.connect().await?;
        let answered = match query::ask(&mut connection, running.store, question).await {
            Ok(answered) => answered,
            Err(error) => {
                run.complain(format_args!("{}: {error:#}", question.name));
                continue;
            }
        };
        running.process().wait_until_idle(Duration::from_secs(30)).await?;
        running.process().reset_peak();
        let before = running.process().memory()?;
        let meter = Meter::start(running.process())?;
        for _ in 0..question.times {
            query::ask(&mut connection, running.store, question).await?;
        }
        let cost = meter.read()?;
        let memory = running.process().memory()?;
        let name = question.name;
        let times = f64::from(question.times);
        run.compare(format!("{name}: CPU ms"), Some(cost.cpu_seconds / times * 1e3), 1);
        run.compare(format!("{name}: wall ms"), Some(cost.wall.as_secs_f64() / times * 1e3), 1);
        let grown = memory.peak_bytes.saturating_sub(before.resident_bytes);
        run.tell(format!("{name}: RSS grows by at most, MiB"), Some(grown as f64 / MIB), 0);
        run.tell(format!("{name}: rows"), Some(answered.rows as f64), 0);
        run.tell(format!("{name}: body, bytes"), Some(answered.bytes as f64), 0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_steps_that_end_at_its_end() {
        let question = Question::range("x", "up", 3_600_000, (61, 60), 1);
        let value = |name| question.parameters.iter().find(|(key, _)| *key == name).unwrap();
        assert_eq!(value("start").1, "0.000");
        assert_eq!(value("end").1, "3600.000");
    }
}
