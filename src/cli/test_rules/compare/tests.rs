//! The notations of promtool.

use query::promql::script::{self, Item};

use super::*;

fn alert(labels: &[(&str, &str)]) -> Alert {
    Alert { labels: pairs(&Labels::from_pairs(labels.iter().copied())), annotations: Vec::new() }
}

#[test]
fn alerts_are_listed_as_promtool_lists_them() {
    assert_eq!(list_alerts(&[]), "[]");
    let wanted = [
        "[",
        "            0:",
        "              Labels:{alertname=\"A\", b=\"c\"}",
        "              Annotations:{}",
        "            ]",
    ]
    .join("\n");
    assert_eq!(list_alerts(&[alert(&[("alertname", "A"), ("b", "c")])]), wanted);
}

#[test]
fn a_difference_keeps_what_is_common() {
    let text = difference(&[alert(&[("a", "1"), ("b", "2")])], &[alert(&[("a", "1")])], false);
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    assert_eq!(lines, ["", "labels:", "a: \"1\"", "-   b: \"2\"", "annotations:"]);
}

#[test]
fn numbers_are_those_of_go() {
    for (value, shown) in [(0.0, "0E+00"), (1.5e-7, "1.5E-07"), (-1e100, "-1E+100")] {
        assert_eq!(scientific(value), shown);
    }
    for (ms, shown) in
        [(0, "0s"), (300_000, "5m0s"), (3_661_500, "1h1m1.5s"), (250, "250ms"), (-1000, "-1s")]
    {
        assert_eq!(go_duration(ms), shown);
    }
}

#[test]
fn the_notation_of_a_histogram_reads_back() {
    for text in [
        "{{}}",
        "{{schema:1 count:32.1 sum:-0.3 z_bucket:7.1 z_bucket_w:0.05 offset:-3 buckets:[5.1 10 7] \
         n_offset:-5 n_buckets:[4.1 5]}}",
        "{{schema:-53 count:3 sum:2e+06 custom_values:[1 2.5] counter_reset_hint:gauge \
         buckets:[1 0 2]}}",
    ] {
        let items = script::read_values(text).unwrap();
        let [Item::Histogram(histogram, _)] = items.as_slice() else { panic!("{items:?}") };
        assert_eq!(notation(histogram), text);
    }
}

#[test]
fn only_a_fuzzy_comparison_forgives_the_last_bit() {
    let sample = |value| [Sample { labels: Vec::new(), value, histogram: String::new() }];
    let (three, nearly) = (sample(3.0), sample(3.0_f64.next_down()));
    assert!(!same_samples(&three, &nearly, false));
    assert!(same_samples(&three, &nearly, true));
    assert!(!same_samples(&three, &sample(3.0_f64.next_down().next_down()), true));
    assert!(!same_samples(&sample(f64::NAN), &sample(f64::NAN), true));
}
