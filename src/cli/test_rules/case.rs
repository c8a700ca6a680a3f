//! One test: rules evaluated step by step over its input, and its expectations.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::sync::Arc;

use model::alert::ALERT_NAME;
use model::kv::MemoryKeyValue;
use model::{Labels, ManualClock, TimestampMs};
use query::promql::script::{self, Item};
use query::promql::{SampleValue, Value};
use query::text::{format_duration_ms, format_float, quote};
use regex::Regex;
use rules::file::{self, Language, UnknownKeys};
use rules::{AlertState, Group, Health, Manager, ManagerConfig, RuleFile, RuleKind};

use super::super::print_to_stderr;
use super::compare::{
    Alert, Pairs, Sample, braces, difference, go_duration, list_alerts, list_samples, notation,
    pairs, same_samples,
};
use super::file::{AlertTest, ExpectedSample, PromqlTest, TestFile, TestGroup};
use super::store::{Input, TestStore};
use crate::rule_query::check_expr;

/// What the command line says about all tests.
pub(super) struct Options {
    pub(super) only: Option<Regex>,
    pub(super) diff: bool,
    pub(super) debug: bool,
    pub(super) unknown_keys: UnknownKeys,
}

/// Runs a test and answers what is wrong, in the order of time.
pub(super) fn run_group(file: &TestFile, group: &TestGroup, options: &Options) -> Vec<String> {
    let mut test = match Test::new(file, group, options) {
        Ok(test) => test,
        Err(errors) => return errors,
    };
    let mut errors = Vec::new();
    if test.run_rules(&mut errors) {
        for expected in group.promql_expr_test.iter().flatten() {
            errors.extend(test.check_expr(expected));
        }
        if options.debug {
            test.show_all();
        }
    }
    errors
}

struct Test<'a> {
    file: &'a TestFile,
    group: &'a TestGroup,
    options: &'a Options,
    store: Arc<TestStore>,
    input: Input,
    /// In order of evaluation.
    groups: Vec<Arc<Group>>,
}

impl<'a> Test<'a> {
    fn new(
        file: &'a TestFile,
        group: &'a TestGroup,
        options: &'a Options,
    ) -> Result<Self, Vec<String>> {
        let interval_ms = match group.interval {
            0 => file.evaluation_interval_ms,
            interval_ms => interval_ms,
        };
        let start = group.start_timestamp;
        let written = group.input_series.as_deref().unwrap_or_default();
        let input = Input::read(written, start, interval_ms).map_err(|error| vec![error])?;
        let rules = read_rules(file, options.unknown_keys)?;
        let store = Arc::new(TestStore::new(file.evaluation_interval_ms));
        let config = ManagerConfig {
            interval_ms,
            external_url: group.external_url.clone().unwrap_or_default(),
            external_labels: Labels::from_pairs(group.external_labels.iter().flatten()),
            ..ManagerConfig::default()
        };
        let manager = Manager::new(
            config,
            store.clone(),
            store.clone(),
            Arc::new(MemoryKeyValue::default()),
            Arc::new(|_, _| Ok(())),
            Arc::new(ManualClock::default()),
        );
        manager.load(start, &rules).map_err(|error| vec![error.to_string()])?;
        let groups = in_order(file, &rules, &manager);
        for expected in group.alert_rule_test.iter().flatten() {
            if expected.alertname.is_empty() {
                let name = group.name.as_deref().unwrap_or_default();
                let test =
                    if name.is_empty() { String::new() } else { format!(" (in TestGroup {name})") };
                return Err(vec![format!(
                    "an item under alert_rule_test misses required attribute alertname at \
                     eval_time {}{test}",
                    format_duration_ms(expected.eval_time)
                )]);
            }
        }
        Ok(Test { file, group, options, store, input, groups })
    }

    /// Evaluates all rules up to the last expectation and checks alerts on the way. Answers whether
    /// to go on: an evaluation that fails ends the test.
    fn run_rules(&mut self, errors: &mut Vec<String>) -> bool {
        let start = self.group.start_timestamp;
        let alert_times = self.group.alert_rule_test.iter().flatten().map(|test| test.eval_time);
        let expr_times = self.group.promql_expr_test.iter().flatten().map(|test| test.eval_time);
        let waiting: BTreeSet<i64> = alert_times.clone().collect();
        let mut waiting = waiting.into_iter().peekable();
        let last_ms = alert_times.chain(expr_times).max().unwrap_or(0);
        let interval_ms = self.file.evaluation_interval_ms;
        let mut since_ms = 0;
        while since_ms <= last_ms {
            let at = start.plus_ms(since_ms);
            if let Err(error) = self.input.feed(&self.store, at) {
                errors.push(error.to_string());
                return false;
            }
            let failures = self.evaluate(at);
            if !failures.is_empty() {
                errors.extend(failures);
                return false;
            }
            since_ms = since_ms.saturating_add(interval_ms);
            // Alerts of a time between two evaluations are those of the first one.
            while let Some(eval_time) = waiting.next_if(|eval_time| *eval_time < since_ms) {
                let tests = self.group.alert_rule_test.iter().flatten();
                for expected in tests.filter(|test| test.eval_time == eval_time) {
                    errors.extend(self.check_alerts(expected));
                }
            }
        }
        true
    }

    /// Evaluates each group once, whatever its own interval; answers the rules that failed.
    fn evaluate(&self, at: TimestampMs) -> Vec<String> {
        let mut failures = Vec::new();
        for group in &self.groups {
            group.evaluate_now(at);
            let status = group.status();
            for rule in status.rules.iter().filter(|rule| rule.health == Health::Err) {
                let (name, time, error) = (&rule.name, go_duration(at.0), &rule.last_error);
                failures.push(format!("    rule: {name}, time: {time}, err: {error}"));
            }
        }
        failures
    }

    fn check_alerts(&self, test: &AlertTest) -> Option<String> {
        let mut expected: Vec<Alert> = Vec::new();
        for alert in test.exp_alerts.iter().flatten() {
            let mut labels = alert.exp_labels.clone().unwrap_or_default();
            labels.insert(ALERT_NAME.to_owned(), test.alertname.clone());
            let annotations = alert.exp_annotations.clone().unwrap_or_default();
            // Annotations that come out empty are not kept.
            let annotations = annotations.into_iter().filter(|(_, text)| !text.is_empty());
            let annotations = annotations.collect();
            expected.push(Alert { labels: labels.into_iter().collect(), annotations });
        }
        let mut found = self.firing(&test.alertname);
        expected.sort();
        found.sort();
        if expected == found {
            return None;
        }
        let name = self.group.name.as_deref().filter(|name| !name.is_empty());
        let name = name.map_or(String::new(), |name| format!("    name: {name},\n"));
        let time = format_duration_ms(test.eval_time);
        let head = format!("{name}    alertname: {}, time: {time}, \n        ", test.alertname);
        Some(if self.options.diff {
            let has_colour = std::io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            format!("{head}diff (- expected, + got):{}", difference(&expected, &found, has_colour))
        } else {
            let (expected, found) = (list_alerts(&expected), list_alerts(&found));
            format!("{head}exp:{expected}, \n        got:{found}")
        })
    }

    /// The firing alerts of all rules of a name.
    fn firing(&self, name: &str) -> Vec<Alert> {
        let mut found = Vec::new();
        for group in &self.groups {
            let status = group.status();
            for rule in status.rules.iter().filter(|rule| rule.name == name) {
                let RuleKind::Alerting { alerts, .. } = &rule.kind else { continue };
                let firing = alerts.iter().filter(|alert| alert.state == AlertState::Firing);
                found.extend(firing.map(|alert| Alert {
                    labels: pairs(&alert.labels),
                    annotations: pairs(&alert.annotations),
                }));
            }
        }
        found
    }

    fn check_expr(&self, test: &PromqlTest) -> Option<String> {
        let at = self.group.start_timestamp.plus_ms(test.eval_time);
        let time = format_duration_ms(test.eval_time);
        let head = format!("    expr: {}, time: {time},", quote(&test.expr));
        let samples = self.answer(&test.expr, at).and_then(|found| {
            let expected = test.exp_samples.iter().flatten().map(expected_sample);
            Ok((expected.collect::<Result<Vec<_>, _>>()?, found))
        });
        let (mut expected, mut found) = match samples {
            Ok(samples) => samples,
            Err(error) => return Some(format!("{head} err: {error}")),
        };
        expected.sort_by(|a, b| a.labels.cmp(&b.labels));
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        let is_same = same_samples(&expected, &found, self.file.fuzzy_compare);
        let (expected, found) = (list_samples(&expected), list_samples(&found));
        (!is_same).then(|| format!("{head}\n        exp: {expected}\n        got: {found}"))
    }

    fn answer(&self, expr: &str, at: TimestampMs) -> Result<Vec<Sample>, String> {
        let float = |labels: Pairs, value| Sample { labels, value, histogram: String::new() };
        match self.store.evaluate(expr, at)?.value {
            Value::Scalar { value, .. } => Ok(vec![float(Vec::new(), value)]),
            Value::Vector(samples) => {
                let sample = |labels: Pairs, value: SampleValue| match value {
                    SampleValue::Float(value) => float(labels, value),
                    SampleValue::Histogram(histogram) => {
                        Sample { labels, value: 0.0, histogram: notation(&histogram) }
                    }
                };
                Ok(samples.into_iter().map(|s| sample(pairs(&s.labels), s.value)).collect())
            }
            Value::String { .. } | Value::Matrix(_) => {
                Err("rule result is not a vector or scalar".to_owned())
            }
        }
    }

    /// Prints all series with all their samples.
    fn show_all(&self) {
        let alert_times = self.group.alert_rule_test.iter().flatten().map(|test| test.eval_time);
        let expr_times = self.group.promql_expr_test.iter().flatten().map(|test| test.eval_time);
        // One more second, so that the sample at the start is within the range.
        let range_ms = alert_times.chain(expr_times).max().unwrap_or(0) + 1000;
        let range = format_duration_ms(range_ms);
        let at = self.group.start_timestamp.plus_ms(range_ms - 1000);
        let all = self.store.evaluate(&format!("{{__name__=~\".+\"}}[{range}]"), at);
        let matrix = match all.map(|all| all.value) {
            Ok(Value::Matrix(matrix)) => matrix,
            Ok(_) => return,
            Err(error) => return print_to_stderr(&format!("DEBUG: no dump of the data: {error}")),
        };
        let end = go_duration(range_ms - 1000);
        print_to_stderr(&format!("DEBUG: Dump of all data (input_series and rules) at {end}:"));
        for series in matrix {
            print_to_stderr(&format!("{} =>", braces(&pairs(&series.labels))));
            let floats = series.points.iter().map(|(at, value)| (at.0, format_float(*value)));
            let histograms = series.histograms.iter().map(|(at, h)| (at.0, notation(h)));
            let samples: BTreeMap<i64, String> = floats.chain(histograms).collect();
            for (at_ms, value) in samples {
                print_to_stderr(&format!("{value} @[{at_ms}]"));
            }
        }
    }
}

fn read_rules(file: &TestFile, unknown_keys: UnknownKeys) -> Result<Vec<RuleFile>, Vec<String>> {
    let (mut rules, mut errors) = (Vec::new(), Vec::new());
    for path in &file.rule_files {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Err(error) => errors.push(format!("{name}: {error}")),
            Ok(text) => {
                match file::parse_with(&name, &text, &check_expr, Language::Promql, unknown_keys) {
                    Ok((file, _)) => rules.push(file),
                    Err(more) => errors.extend(more.iter().map(ToString::to_string)),
                }
            }
        }
    }
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

/// The groups in the order of the test file; those that it does not name are with its first one, in
/// the order of the rule files.
fn in_order(file: &TestFile, rules: &[RuleFile], manager: &Manager) -> Vec<Arc<Group>> {
    let mut ranks: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let written = rules.iter().flat_map(|rules| rules.groups.iter().map(move |g| (rules, g)));
    for (place, (rules, group)) in written.enumerate() {
        let named = file.group_eval_order.iter().position(|name| *name == group.name);
        ranks.insert(format!("{};{}", rules.name, group.name), (named.unwrap_or(0), place));
    }
    let mut groups = manager.groups();
    groups.sort_by_key(|group| ranks.get(group.key()).copied());
    groups
}

fn expected_sample(written: &ExpectedSample) -> Result<Sample, String> {
    let text = written.labels.as_deref().unwrap_or_default().trim();
    let in_labels = |problem: String| format!("labels {}: {problem}", quote(text));
    let labels = match text {
        "" => Labels::empty(),
        text => match script::read_series(text).map_err(in_labels)? {
            (labels, "") => labels,
            (_, rest) => return Err(in_labels(format!("unexpected {rest:?}"))),
        },
    };
    let histogram = written.histogram.as_deref().filter(|text| !text.is_empty());
    let histogram = match histogram {
        None => String::new(),
        Some(text) => match script::read_values(text).map_err(in_labels)?.as_slice() {
            [Item::Histogram(histogram, _)] => notation(histogram),
            [other] => return Err(in_labels(format!("expected histogram, got {other:?}"))),
            items => return Err(in_labels(format!("expected 1 value, got {}", items.len()))),
        },
    };
    Ok(Sample { labels: pairs(&labels), value: written.value.unwrap_or(0.0), histogram })
}
