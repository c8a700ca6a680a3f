//! Native and classic histograms: cases of our own beside the scripts of Prometheus. Expected values
//! follow from its source (`promql/functions.go`, `promql/engine.go`, version 3.14).

use crate::promql::script;

fn check(text: &str) {
    let problems: Vec<_> =
        script::run(text).into_iter().filter(|outcome| outcome.problem.is_some()).collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn kinds_that_an_operator_can_not_combine_are_told() {
    check(
        r#"
        load 1m
          h {{count:2 sum:3 buckets:[2]}}
          f 2
          c {{schema:-53 count:2 sum:3 custom_values:[5] buckets:[2]}}

        eval instant at 0 h + 1
          expect no_warn
          expect info msg: PromQL info: incompatible sample types encountered for binary operator "+": histogram + float (1:1)

        eval instant at 0 2 / h
          expect info msg: PromQL info: incompatible sample types encountered for binary operator "/": float / histogram (1:1)

        eval instant at 0 f </ 1
          expect info msg: PromQL info: incompatible sample types encountered for binary operator "</": float </ float (1:1)

        eval instant at 0 h >/ on() h
          expect info msg: PromQL info: incompatible sample types encountered for binary operator ">/": histogram >/ histogram (1:1)

        eval instant at 0 h > bool 1
          expect info msg: PromQL info: incompatible sample types encountered for binary operator ">": histogram > float (1:1)

        eval instant at 0 h == bool on() h
          expect no_info
          {} 1

        eval instant at 0 h != on() c
          {} {{count:2 sum:3 buckets:[2]}}

        eval instant at 0 h * on() f
          expect no_info
          {} {{count:4 sum:6 buckets:[4]}}

        eval instant at 0 h / 0
          {} {{count:Inf sum:Inf z_bucket:NaN}}

        eval instant at 0 h + on() c
          expect no_info
          expect warn msg: PromQL warning: incompatible bucket layout encountered for binary operator + (1:1)
        "#,
    );
}

#[test]
fn only_the_last_remark_of_a_step_counts_and_each_text_once() {
    check(
        r#"
        load 1m
          h {{count:2 buckets:[2]}}
          f{x="a"} 2
          f{x="b"} 3

        eval instant at 0 (h + on() group_right f) or (h - on() group_right f)
          expect info msg: PromQL info: incompatible sample types encountered for binary operator "+": histogram + float (1:2)
          expect info msg: PromQL info: incompatible sample types encountered for binary operator "-": histogram - float (1:30)

        eval instant at 0 max(h) or min(h) or max(h)
          expect info msg: PromQL info: ignored histogram in max aggregation (1:25)
          expect info msg: PromQL info: ignored histogram in min aggregation (1:15)
        "#,
    );
}

#[test]
fn a_mix_of_classic_and_native_gives_no_estimate() {
    check(
        r#"
        load 1m
          h{le="1"} 1 1
          h{le="+Inf"} 2 2
          h _ {{count:2 sum:3 buckets:[2]}}

        eval instant at 0 histogram_quantile(0.5, h)
          expect no_warn
          {} 1

        eval instant at 1m histogram_quantile(0.5, h)
          expect warn msg: PromQL warning: vector contains a mix of classic and native histograms for metric name "h" (1:25)

        eval range from 0 to 1m step 1m histogram_quantiles(h, "q", 1, 0.5)
          expect warn msg: PromQL warning: vector contains a mix of classic and native histograms for metric name "h" (1:21)
          {q="0.5"} 1 _
          {q="1.0"} 1 _
        "#,
    );
}

#[test]
fn counts_that_fall_are_raised_and_told_with_where_and_when() {
    check(
        r#"
        load 1m
          b{le="1"} 5 5
          b{le="2"} 3 4.75
          b{le="10000000"} 4 4
          b{le="+Inf"} 6 6

        eval range from 0 to 1m step 1m histogram_quantile(0.5, b)
          expect info msg: PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile) for metric name "b", from buckets 2 to 1e+07, with a max diff of 2, over 2 samples from 1970-01-01T00:00:00Z to 1970-01-01T00:01:00Z (1:25)
          {} 0.6 0.6
        "#,
    );
}

#[test]
fn quantiles_out_of_range_are_told_at_each_of_their_places() {
    check(
        r#"
        load 1m
          h {{count:2 sum:3 buckets:[2]}}

        eval instant at 0 histogram_quantiles(h, "q", 2, NaN)
          expect warn msg: PromQL warning: quantile value should be between 0 and 1, got 2 (1:29)
          expect warn msg: PromQL warning: quantile value should be between 0 and 1, got NaN (1:32)
          {q="2.0"} Inf
          {q="NaN"} NaN
        "#,
    );
}

#[test]
fn rates_of_histograms_know_resets_gauges_and_start_times() {
    check(
        r#"
        load 1m
          reset {{count:4 sum:4 buckets:[4]}} {{count:2 sum:2 buckets:[2]}} {{count:3 sum:3 buckets:[3]}}
          gauge {{count:4 counter_reset_hint:gauge}} {{count:2 counter_reset_hint:gauge}}
          mixed {{count:4}} 3
          schemas {{count:4}} {{schema:-53 count:5 custom_values:[1] buckets:[5]}} {{count:6}}
          only@st _ -30s
          only _ {{count:2 sum:4 buckets:[2]}}

        eval instant at 2m increase(reset[2m]) * 60
          expect no_warn
          {} {{count:120 sum:120 buckets:[120] counter_reset_hint:gauge}}

        eval instant at 2m resets(reset[3m])
          {} 1

        eval instant at 1m irate(gauge[2m])
          expect warn msg: PromQL warning: this native histogram metric is not a counter: "gauge" (1:7)
          {} {{count:0.03333333333333333 counter_reset_hint:gauge}}

        eval instant at 1m delta(reset[2m])
          expect warn msg: PromQL warning: this native histogram metric is not a gauge: "reset" (1:7)
          {} {{count:-4 sum:-4 buckets:[-4] counter_reset_hint:gauge}}

        eval instant at 1m increase(mixed[2m])
          expect warn msg: PromQL warning: encountered a mix of histograms and floats for metric name "mixed" (1:10)

        eval instant at 2m increase(schemas[3m])
          expect warn msg: PromQL warning: vector contains a mix of histograms with exponential and custom buckets schemas for metric name "schemas" (1:10)

        eval instant at 1m increase(only[1m])
          {} {{count:2 sum:4 buckets:[2]}}
        "#,
    );
}

#[test]
fn overlapping_start_times_are_counted_by_metric() {
    check(
        r#"
        load 1m
          x_total@st _ -90s -90s
          x_total 1 2 3

        eval range from 2m to 3m step 1m increase(x_total[3m])
          expect warn msg: PromQL warning: sample has start time that overlaps with previous sample timestamp for metric "x_total" (2 occurrences) (1:10)
          {} 3 3
        "#,
    );
}

#[test]
fn hints_of_resets_do_not_pass_a_subquery_but_are_found_for_totals() {
    check(
        r#"
        load 1m
          a {{count:3 buckets:[3]}} {{count:4 buckets:[4]}}
          b {{count:5 buckets:[5]}} {{count:4 buckets:[4]}}

        eval instant at 1m histogram_count(a + on() b)
          expect warn msg: PromQL warning: conflicting counter resets during histogram addition (1:17)

        eval instant at 1m a + on() b
          expect no_warn
          {} {{count:8 buckets:[8] counter_reset_hint:unknown}}

        eval instant at 1m sum_over_time(a[2m:1m])
          {} {{count:7 buckets:[7] counter_reset_hint:unknown}}
        "#,
    );
}

#[test]
fn picks_and_counts_of_histograms() {
    check(
        r#"
        load 1m
          h{x="a"} {{count:2 sum:1000000 z_bucket:1 z_bucket_w:0.001 buckets:[1]}}
          h{x="b"} {{count:2 sum:1000000 z_bucket:1 z_bucket_w:0.001 buckets:[1]}}
          h{x="c"} 7

        eval instant at 0 count_values("v", h)
          {v="{count:2, sum:1e+06, [-0.001,0.001]:1, (0.5,1]:1}"} 2
          {v="7"} 1

        eval instant at 0 topk(2, h)
          expect info msg: PromQL info: ignored histogram in topk aggregation (1:1)
          h{x="c"} 7

        eval instant at 0 sum(h)
          expect warn msg: PromQL warning: encountered a mix of histograms and floats for aggregation (1:5)

        eval instant at 0 count(limit_ratio(-1.5, h))
          expect warn msg: PromQL warning: ratio value should be between -1 and 1, got -1.5, capping to -1 (1:19)
          {} 3

        eval instant at 0 limit_ratio(NaN, h)
          expect fail msg: Ratio value is NaN

        eval instant at 0 quantile_over_time(2, h{x="c"}[1m])
          expect warn msg: PromQL warning: quantile value should be between 0 and 1, got 2 (1:20)
          {x="c"} Inf
        "#,
    );
}
