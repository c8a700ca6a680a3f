//! Series over a budget are folded into others.

use super::*;

#[test]
fn over_the_budget_of_a_metric_its_hot_label_is_folded_and_sums_stay_right() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { series_per_metric_max: 10, ..Default::default() };
    let (store, _) = open_with(dir.path(), options);
    let user = |metric: &str, user: u8| {
        let user = format!("u{user}");
        Labels::from_pairs([("__name__", metric), ("job", "shop"), ("user", user.as_str())])
    };
    // Forty users; each round every counter grows by its user's number, each gauge is at it.
    for round in 1..=5i64 {
        for metric in ["requests_total", "temperature"] {
            let points = (1..=40u8).map(|n| {
                let factor = if metric == "temperature" { 1 } else { round };
                let value = f64::from(n) * factor as f64;
                point(&store, &user(metric, n), round * 10_000, value)
            });
            let outcome = write(&store, points.collect());
            assert_eq!((outcome.accepted, outcome.refused_count()), (40, 0));
        }
    }
    assert_eq!(store.stats().series, 22, "ten and one folded of each metric");
    let sums = |metric: &str| {
        let mut sums: BTreeMap<i64, f64> = BTreeMap::new();
        for samples in read(&store, vec![Matcher::equal("__name__", metric)]).values() {
            samples.iter().for_each(|(at, value)| *sums.entry(*at).or_default() += value);
        }
        sums.into_values().collect::<Vec<_>>()
    };
    // Of folded counters the first value is where counting begins; growth is right from there on.
    let grown: Vec<f64> = sums("requests_total").windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(grown, [820.0; 4]);
    assert_eq!(sums("temperature"), [820.0; 5]);
    let overflows = store.overflows();
    assert_eq!(overflows.len(), 2);
    assert_eq!((overflows[0].label.as_str(), overflows[0].budget), ("user", "metric"));
    assert_eq!((overflows[0].values, overflows[0].folded_series), (10, 30));
    let values = store.label_values("user", &[], RangeMs::ALL, &QueryContext::unlimited());
    assert!(values.unwrap().contains(&"__cardinality_overflow__".to_owned()));
}

#[test]
fn a_label_over_its_budget_is_folded_on_any_metric() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { values_per_label_max: 3, ..Default::default() };
    let (store, _) = open_with(dir.path(), options);
    for job in 0..10 {
        write(&store, vec![point(&store, &labels(&format!("m{}", job % 2), job), 0, 1.0)]);
    }
    let jobs = store.label_values("job", &[], RangeMs::ALL, &QueryContext::unlimited()).unwrap();
    assert_eq!(jobs, ["__cardinality_overflow__", "j0", "j1", "j2"]);
    assert!(store.overflows().iter().all(|overflow| overflow.label == "job"));
}

#[test]
fn a_metric_that_is_new_when_the_store_is_full_is_folded_too() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), Options { series_max: 4, ..Default::default() });
    for job in 0..4 {
        write(&store, vec![point(&store, &labels("first_total", job), 0, 1.0)]);
    }
    for job in 0..4 {
        let outcome = write(&store, vec![point(&store, &labels("second_total", job), 0, 1.0)]);
        assert_eq!((outcome.accepted, outcome.refused_count()), (1, 0));
    }
    assert_eq!(store.stats().series, 5);
    assert_eq!(store.overflows()[0].label, "job");
}
