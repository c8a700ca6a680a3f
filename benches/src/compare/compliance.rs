//! Are our answers those of Prometheus? The queries of the PromQL compliance set
//! (prometheus/compliance, `promql/`) are asked of both after both got the same samples.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::demo;
use super::query;
use super::questions::Question;
use super::replay::replay;
use super::store::{Running, Store};
use super::table::Run;
use super::workloads::{Bench, note, now_ms};
use crate::process::Memory;
use crate::sender::Connection;

/// What the templates of the set are filled with (`promql/testcases/expand.go`).
const VARIANTS: [(&str, &[&str]); 14] = [
    ("range", &["1s", "15s", "1m", "5m", "15m", "1h"]),
    ("offset", &["1m", "5m", "10m"]),
    ("simpleAggrOp", &["sum", "avg", "max", "min", "count", "stddev", "stdvar"]),
    (
        "simpleTimeAggrOp",
        &["sum", "avg", "max", "min", "count", "stddev", "stdvar", "absent", "last"],
    ),
    ("topBottomOp", &["topk", "bottomk"]),
    ("quantile", &["-0.5", "0.1", "0.5", "0.75", "0.95", "0.90", "0.99", "1", "1.5"]),
    ("arithBinOp", &["+", "-", "*", "/", "%", "^"]),
    ("compBinOp", &["==", "!=", "<", ">", "<=", ">="]),
    ("binOp", &["+", "-", "*", "/", "%", "^", "==", "!=", "<", ">", "<=", ">="]),
    ("simpleMathFunc", &["abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "round"]),
    ("extrapolatedRateFunc", &["delta", "rate", "increase"]),
    ("clampFunc", &["clamp_min", "clamp_max"]),
    ("instantRateFunc", &["idelta", "irate"]),
    (
        "dateFunc",
        &["day_of_month", "day_of_week", "days_in_month", "hour", "minute", "month", "year"],
    ),
];
/// Five hours: two more than the longest window of the set reaches back.
const STEPS: i64 = 3_600;
const RELATIVE_ERROR_MAX: f64 = 1e-5;

#[derive(Debug, Deserialize)]
struct Set {
    test_cases: Vec<Template>,
}

#[derive(Debug, Deserialize)]
struct Template {
    query: Value,
    #[serde(default)]
    variant_args: Vec<String>,
}

/// All queries of a set in the YAML of the compliance project. Which of them the set wants refused
/// is not looked at: Prometheus says, and some of them it takes since 3.0.
fn expand(yaml: &str) -> anyhow::Result<Vec<String>> {
    let set: Set = serde_saphyr::from_str(yaml).context("the set of queries")?;
    let mut cases = Vec::new();
    for template in set.test_cases {
        // `42` and `NaN` may be numbers of YAML.
        let query = match template.query {
            Value::String(query) => query,
            other => other.to_string(),
        };
        let mut queries = vec![query];
        for name in &template.variant_args {
            let values =
                VARIANTS.iter().find(|(known, _)| known == name).map(|(_, values)| *values);
            let values = values.with_context(|| format!("unknown variant argument {name:?}"))?;
            let place = format!("{{{{.{name}}}}}");
            let fill = |query: &String| -> Vec<String> {
                values.iter().map(|value| query.replace(&place, value)).collect()
            };
            queries = queries.iter().flat_map(fill).collect();
        }
        cases.append(&mut queries);
    }
    Ok(cases)
}

/// The series of a matrix by their labels, or why there is none.
type Answer = Result<BTreeMap<String, Vec<(f64, f64)>>, String>;

async fn answer(connection: &mut Connection, case: &str, end_ms: i64) -> anyhow::Result<Answer> {
    let question = Question::range("", case, end_ms, (361, 10), 1);
    let (status, body) = query::get(connection, &question).await?;
    if status != 200 {
        return Ok(Err(format!("HTTP {status}: {}", String::from_utf8_lossy(&body))));
    }
    let answer: Value = serde_json::from_slice(&body).context("the answer is not JSON")?;
    let series = answer.pointer("/data/result").and_then(Value::as_array).context("no result")?;
    let mut found = BTreeMap::new();
    for one in series {
        let points = one.get("values").and_then(Value::as_array).context("no values")?;
        let point = |point: &Value| -> anyhow::Result<(f64, f64)> {
            let at = point.get(0).and_then(Value::as_f64).context("no time")?;
            let value = point.get(1).and_then(Value::as_str).context("no value")?;
            Ok((at, value.parse().with_context(|| format!("the value {value:?}"))?))
        };
        let points: anyhow::Result<Vec<_>> = points.iter().map(point).collect();
        let labels = one.get("metric").context("no labels")?.to_string();
        ensure!(found.insert(labels.clone(), points?).is_none(), "{labels} is there twice");
    }
    Ok(Ok(found))
}

/// The first difference of two answers.
fn difference(ours: &Answer, theirs: &Answer) -> Option<String> {
    let (ours, theirs) = match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (Err(_), Err(_)) => return None,
        (Err(error), Ok(_)) => return Some(format!("we refuse: {error}")),
        (Ok(_), Err(error)) => return Some(format!("Prometheus refuses: {error}")),
    };
    if let Some(labels) = ours.keys().find(|labels| !theirs.contains_key(*labels)) {
        return Some(format!("only we have {labels}"));
    }
    for (labels, points) in theirs {
        let Some(own) = ours.get(labels) else { return Some(format!("we lack {labels}")) };
        if own.len() != points.len() {
            return Some(format!("{} points instead of {} of {labels}", own.len(), points.len()));
        }
        for ((at, a), (time, b)) in own.iter().zip(points) {
            let is_close = a == b
                || (a.is_nan() && b.is_nan())
                || (a - b).abs() <= RELATIVE_ERROR_MAX * a.abs().min(b.abs());
            if at != time || !is_close {
                return Some(format!("{a} at {at} instead of {b} at {time} of {labels}"));
            }
        }
    }
    None
}

impl Bench {
    /// Compares the answers of all stores with those of Prometheus.
    pub(super) async fn compliance(&self, yaml: &str) -> anyhow::Result<Vec<Run>> {
        let cases = expand(yaml)?;
        let end_ms = now_ms() / 10_000 * 10_000;
        let lanes = demo::requests(self.seed, end_ms, STEPS)?;
        let answers = std::cell::RefCell::new(BTreeMap::<Store, Vec<Answer>>::new());
        let work = async |running: &mut Running, run: &mut Run, _: Memory| {
            note(run, &replay(running.remote_write(), &lanes).await?);
            running.settle().await?;
            let mut connection = running.connect().await?;
            let mut all = Vec::new();
            for case in &cases {
                let answer = answer(&mut connection, case, end_ms).await;
                all.push(answer.with_context(|| case.clone())?);
            }
            answers.borrow_mut().insert(running.store, all);
            Ok(())
        };
        let mut runs = self.each("compliance", self.all(), work).await?;
        let answers = answers.into_inner();
        let reference = answers.get(&Store::Prometheus).context("Prometheus is not among them")?;
        for run in &mut runs {
            let Some(own) = answers.get(&run.store) else { continue };
            let mut equal = 0;
            for ((case, own), reference) in cases.iter().zip(own).zip(reference) {
                match difference(own, reference) {
                    None => equal += 1,
                    Some(difference) => run.complain(format_args!("{case}: {difference}")),
                }
            }
            let refused = reference.iter().filter(|answer| answer.is_err()).count();
            let empty = reference.iter().filter(|a| a.as_ref().is_ok_and(BTreeMap::is_empty));
            run.tell("queries", Some(cases.len() as f64), 0);
            run.tell("equal to Prometheus", Some(f64::from(equal)), 0);
            run.tell("of them refused", Some(refused as f64), 0);
            run.tell("of them with an empty answer", Some(empty.count() as f64), 0);
        }
        Ok(runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_with_every_combination() {
        let cases = expand(
            "test_cases:\n\
             - query: '42'\n\
             - query: '{{.topBottomOp}}(x[{{.offset}}])'\n  \
               variant_args: ['topBottomOp', 'offset']\n",
        );
        let cases = cases.unwrap();
        assert_eq!(cases.len(), 7);
        assert_eq!(cases[0], "42");
        assert_eq!(cases[6], "bottomk(x[10m])");
        assert!(expand("test_cases: [{query: a, variant_args: [b]}]").is_err());
    }

    #[test]
    fn answers_differ_in_labels_times_and_values() {
        let answer = |at: f64, value: f64| -> Answer {
            Ok(BTreeMap::from([("a".to_owned(), vec![(at, value)])]))
        };
        assert_eq!(difference(&answer(1.0, 2.0), &answer(1.0, 2.000_01)), None);
        assert_eq!(difference(&answer(1.0, f64::NAN), &answer(1.0, f64::NAN)), None);
        assert!(difference(&answer(1.0, 2.0), &answer(1.0, 2.001)).is_some());
        assert!(difference(&answer(1.0, 2.0), &answer(2.0, 2.0)).is_some());
        assert!(difference(&answer(1.0, 2.0), &Ok(BTreeMap::new())).is_some());
        assert!(difference(&Ok(BTreeMap::new()), &answer(1.0, 2.0)).is_some());
        assert!(difference(&Err("no".into()), &answer(1.0, 2.0)).is_some());
    }
}
