//! What the scripts of Prometheus do not pin: errors of newer parts of the language, and where they
//! point to. Each script here must pass in all ways.

use std::sync::Arc;

use model::read::QueryLimits;
use model::{ErrorKind, Labels, ManualClock, QueryContext, TimestampMs};
use proptest::prelude::*;

use super::generate::vector_expr;
use crate::promql::memory::MemorySeries;
use crate::promql::{EvalOptions, evaluate_instant, evaluate_range, script};

fn check(text: &str) {
    let outcomes = script::run(text);
    let failures: Vec<_> = outcomes.iter().filter(|o| o.problem.is_some()).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(outcomes.iter().any(|outcome| outcome.is_case));
}

#[test]
fn computed_durations_are_resolved_before_the_evaluation() {
    check(
        "load 10s
           a 0+1x60

         eval range from 100s to 120s step 10s a offset 2 * step()
           {} 90 100 110

         eval range from 100s to 120s step 10s a offset (2 * step())
           a 8 9 10

         eval range from 100s to 120s step 10s sum_over_time(a[range():max_of(step(), 20s)])
           {} 10 10 12

         eval range from 100s to 125s step 10s vector(end() - start() - range())
           {} 0 0 0

         eval range from 100s to 125s step 10s a @ end()
           a 12 12 12

         eval instant at 100s count_over_time(a[step()])
           expect fail msg: 18:24: duration must be greater than 0

         eval instant at 100s count_over_time(a[step() + 1m - 2 * 30s])
           expect fail msg: 18:39: duration must be greater than 0

         eval instant at 100s a offset (1 / step())
           expect fail msg: 10:20: division by zero

         eval instant at 100s a offset (-(1) ^ 0.5 + 5y ^ 9)
           expect fail regex: out of range|NaN or infinite
        ",
    );
}

#[test]
fn extended_windows_are_only_for_some_functions() {
    check(
        "load 10s
           a 0 10 30 5 15

         eval instant at 25s increase(a[20s] anchored)
           {} 30

         eval instant at 25s increase(a[20s] smoothed)
           {} 27.5

         eval instant at 25s a smoothed
           a 17.5

         eval instant at 25s a[20s] smoothed
           expect range vector from 5s to 25s step 5s
           a 5 10 _ 30 17.5

         eval instant at 25s a[20s] anchored
           expect range vector from 5s to 25s step 5s
           a 0 10 _ 30 30

         eval instant at 25s max_over_time(a[20s] anchored)
           expect fail msg: anchored modifier can only be used with: changes, delta, increase, rate, resets - not with max_over_time

         eval instant at 25s resets(a[20s] smoothed)
           expect fail msg: smoothed modifier can only be used with: delta, increase, rate - not with resets
        ",
    );
}

#[test]
fn one_histogram_is_no_reset_of_itself() {
    check(
        "load 10s
           h _ {{count:4 sum:4 buckets:[4] counter_reset_hint:reset}}

         eval instant at 15s increase(h[10s] anchored)
           {} {{count:0 sum:0 counter_reset_hint:gauge}}

         eval instant at 15s increase(h[10s] smoothed)
           {} {{count:0 sum:0 counter_reset_hint:gauge}}
        ",
    );
}

#[test]
fn missing_series_are_filled_in() {
    check(
        "load 10s
           a{x=\"1\"} 1 _ 3
           a{x=\"2\"} 5 6 7
           b{x=\"1\"} 10 20 30

         eval range from 0 to 20s step 10s last_over_time(a[5s]) + fill(100) last_over_time(b[5s])
           {x=\"1\"} 11 120 33
           {x=\"2\"} 105 106 107

         eval instant at 0 a * fill_right(2) c
           {x=\"1\"} 2
           {x=\"2\"} 10

         eval instant at 0 c > bool on(x) fill_left(0) fill_right(1) b
           {x=\"1\"} 0

         eval instant at 0 a + on() fill(0) b
           expect fail regex: many-to-one matching must be explicit

         eval instant at 0 b + on() fill(0) a
           expect fail regex: found duplicate series for the match group
        ",
    );
}

#[test]
fn info_series_describe_what_has_their_instance_and_job() {
    check(
        "load 1m
           up{instance=\"a\", job=\"1\"} 1 1 1
           up{instance=\"b\", job=\"1\"} 0 0 0
           target_info{instance=\"a\", job=\"1\", version=\"1\", zone=\"x\"} 1 1 stale
           target_info{instance=\"a\", job=\"1\", version=\"2\", zone=\"x\"} _ _ 1
           build_info{instance=\"a\", job=\"1\", zone=\"y\"} 1 1 1

         eval range from 0 to 2m step 1m info(up, {version=~\".+\"})
           up{instance=\"a\", job=\"1\", version=\"1\"} 1 1 _
           up{instance=\"a\", job=\"1\", version=\"2\"} _ _ 1

         eval instant at 0 info(sum by (instance, job) (up))
           {instance=\"a\", job=\"1\", version=\"1\", zone=\"x\"} 1
           {instance=\"b\", job=\"1\"} 0

         eval instant at 2m info(up offset 1m, {version=~\".*\"})
           up{instance=\"a\", job=\"1\", version=\"1\"} 1
           up{instance=\"b\", job=\"1\"} 0

         eval instant at 0 info(up, {__name__=~\".+_info\"})
           expect fail msg: conflicting label: zone

         eval instant at 0 info(target_info)
           target_info{instance=\"a\", job=\"1\", version=\"1\", zone=\"x\"} 1
        ",
    );
}

#[test]
fn two_info_series_of_one_time_are_a_conflict() {
    check(
        "load 1m
           up{instance=\"a\", job=\"1\"} 1
           target_info{instance=\"a\", job=\"1\", version=\"1\"} 1
           target_info{instance=\"a\", job=\"1\", version=\"2\"} 1

         eval instant at 0 info(up)
           expect fail regex: found duplicate series for info metric: existing target_info.* @ 0, new target_info.* @ 0
        ",
    );
}

#[test]
fn texts_need_not_be_utf8_but_label_names_must() {
    check(
        "load 1m
           a{x=\"1\"} 1

         eval instant at 0 a{x!=\"\\xff\"}
           a{x=\"1\"} 1

         eval instant at 0 count_values(\"a\\xc5z\", a)
           expect fail msg: invalid label name \"a\\xc5z\"

         eval instant at 0 label_replace(a, \"\\xff\", \"\", \"\", \"\")
           expect fail regex: invalid destination label name in label_replace\\(\\)

         eval instant at 0 label_join(a, \"b\", \"\", \"\\xff\")
           expect fail regex: invalid source label name in label_join\\(\\)
        ",
    );
}

#[test]
fn a_runner_says_what_is_wrong_and_where() {
    let outcomes = script::run(
        "# a comment
         load 1m
           a 1 2 3

         eval instant at 1m a
           a 2

         eval instant at 1m a
           a 3

         eval instant at 1m a
           expect wran

         eval range from 0 to 1m step 1m a
           a 1 2 3

         load 1m
           a@st 0s
           b 1

         evil

         eval instant at 1m \"x\"
           expect string \"x\"
        ",
    );
    let found: Vec<_> = outcomes
        .iter()
        .map(|o| (o.line, o.is_case, o.problem.as_deref().unwrap_or("passed")))
        .collect();
    assert_eq!(
        found,
        [
            (5, true, "passed"),
            (8, true, "a: expected Float(3.0), found Float(2.0)"),
            (11, true, "line 12: unknown expectation \"expect wran\""),
            (14, true, "a: 3 values reach beyond the last time"),
            (17, false, "line 19: the @st line above is of another series"),
            (21, false, "invalid command \"evil\""),
            (23, true, "passed"),
        ]
    );
    let summary = script::Summary::of(&outcomes);
    assert_eq!((summary.passed, summary.failed, summary.broken_commands), (2, 3, 2));
    assert_eq!((outcomes[0].ways, outcomes[0].ways_skipped.len()), (12, 0));
    let reason = "as a range query: the result is a string";
    assert_eq!(outcomes[6].ways_skipped, [reason; 6]);
}

/// A few samples for whatever metric name is asked for.
fn store() -> MemorySeries {
    let mut store = MemorySeries::new();
    for (x, name) in ["a", "b", "sum", "by"].into_iter().enumerate() {
        for at in [-30_000, 0, 15_000, 60_000] {
            let x = (x % 2).to_string();
            let labels = Labels::from_pairs([("__name__", name), ("x", &x)]);
            store.push(&labels, at, 0, at as f64 / 1000.0);
        }
    }
    store
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_parses_is_evaluated_or_refused(expr in vector_expr(), step in 1i64..100_000) {
        let options = EvalOptions::default();
        let limits = QueryLimits { items_max: 20_000, ..QueryLimits::default() };
        let context = || QueryContext::new(limits, Arc::new(ManualClock::default()));
        let (start, end) = (TimestampMs(0), TimestampMs(120_000));
        let store = store();
        let once = evaluate_instant(&expr, start, &store, &options, &context());
        let range = evaluate_range(&expr, start, end, step, &store, &options, &context());
        for error in [once.err(), range.err()].into_iter().flatten() {
            let kind = error.kind();
            prop_assert!(matches!(kind, ErrorKind::BadRequest | ErrorKind::Exhausted), "{}", error);
            prop_assert!(!error.to_string().contains("not supported"), "{}: {}", expr, error);
        }
    }
}
