//! A store that can be operated, targets that are scraped, and what the native endpoints tell of them.

use std::collections::BTreeMap;
use std::time::Duration;

use api::{ActiveTarget, ScrapeStatus};
use model::admin::{Deleted, Overflow};
use model::cardinality::{
    Cardinality, CardinalityRequest, Counted, HeadCardinality, LabelCardinality, StoredBlock,
    Stretch,
};
use model::read::RangeMs;
use model::{Labels, Matcher, QueryContext, Result, SeriesAdmin, TimestampMs};
use parking_lot::Mutex;

use crate::fixture::{Fixture, NOW};

/// Answers the same always, and remembers what was asked last.
#[derive(Default)]
pub(crate) struct Admin(Mutex<String>);

fn counted(rows: &[(&str, u64)]) -> Vec<Counted> {
    rows.iter().map(|(name, count)| Counted { name: (*name).into(), count: *count }).collect()
}

impl SeriesAdmin for Admin {
    fn merge_all(&self) -> Result<()> {
        Ok(())
    }

    fn figures(&self) -> Vec<(String, u64)> {
        vec![("series".into(), 4)]
    }

    fn delete(&self, _matchers: &[Matcher], _range: RangeMs) -> Result<u64> {
        Ok(1)
    }

    fn undelete(&self, _id: u64) -> Result<()> {
        Ok(())
    }

    fn clean_deletions(&self) -> Result<()> {
        Ok(())
    }

    fn deletions(&self) -> Vec<Deleted> {
        Vec::new()
    }

    fn snapshot(&self) -> Result<String> {
        Ok("0001700000000".into())
    }

    fn overflows(&self) -> Vec<Overflow> {
        Vec::new()
    }

    fn head_cardinality(&self, rows: usize) -> Result<HeadCardinality> {
        let mut by_metric = counted(&[("http_requests_total", 2), ("latency", 1)]);
        by_metric.truncate(rows);
        Ok(HeadCardinality {
            series: 4,
            label_pairs: 8,
            chunks: 5,
            start: TimestampMs(1_699_999_200_000),
            end: TimestampMs(NOW * 1000),
            series_by_metric: by_metric,
            values_by_label: counted(&[("__name__", 3)]),
            bytes_by_label: counted(&[("__name__", 34)]),
            series_by_pair: counted(&[("q=<a>", 3)]),
        })
    }

    fn cardinality(
        &self,
        request: &CardinalityRequest,
        _context: &QueryContext,
    ) -> Result<Cardinality> {
        *self.0.lock() = format!("{:?} {:?}", request.selectors, request.range);
        let label = |name: &str, values, series, top: &[(&str, u64)]| LabelCardinality {
            name: name.into(),
            values,
            series,
            top: counted(top),
        };
        let stretch = |start, is_in_memory, series, new_series| Stretch {
            start: TimestampMs(start),
            end: TimestampMs(start + 99),
            is_in_memory,
            series,
            new_series,
        };
        Ok(Cardinality {
            series: 4,
            labels: vec![
                label("__name__", 3, 4, &[("http_requests_total", 2), ("latency", 1)]),
                label("code", 2, 2, &[("200", 1), ("500", 1)]),
                label("job", 1, 3, &[("shop", 3)]),
            ],
            stretches: vec![
                stretch(0, false, 0, 0),
                stretch(100, false, 3, 3),
                stretch(200, true, 4, 1),
            ],
        })
    }

    fn blocks(&self) -> Vec<StoredBlock> {
        let block = |number, rollup_ms| StoredBlock {
            number,
            start: TimestampMs(0),
            end: TimestampMs(7_199_999),
            series: 4,
            float_samples: 40,
            histogram_samples: 2,
            level: 1,
            rollup_ms,
            bytes: 1234,
        };
        vec![block(7, None), block(8, Some(300_000))]
    }
}

/// One target that is up and one that was dropped.
pub(crate) struct Targets;

impl ScrapeStatus for Targets {
    fn pools(&self) -> Vec<String> {
        vec!["shop".into(), "cart".into()]
    }

    fn active(&self) -> Vec<ActiveTarget> {
        vec![ActiveTarget {
            pool: "shop".into(),
            discovered_labels: Labels::from_pairs([("__address__", "127.0.0.1:9100")]),
            labels: Labels::from_pairs([("job", "shop")]),
            scrape_url: "http://127.0.0.1:9100/metrics".into(),
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            health: "up",
            last_error: String::new(),
            last_scrape: Some(TimestampMs(NOW * 1000 - 1500)),
            last_duration: Duration::from_micros(2500),
        }]
    }

    fn dropped(&self) -> Vec<(String, Labels)> {
        vec![("cart".into(), Labels::from_pairs([("__address__", "b:1")]))]
    }

    fn dropped_counts(&self) -> BTreeMap<String, usize> {
        BTreeMap::from([("cart".into(), 1)])
    }

    fn pool_config(&self, pool: &str) -> Option<String> {
        (pool == "shop").then(|| "job_name: shop\n".to_owned())
    }
}

#[tokio::test]
async fn cardinality_is_told_by_metric_label_sender_and_time() {
    let fixture = Fixture::new();
    let labels = r#""labels":[{"name":"code","values":2,"series":2,"top":[{"value":"200","series":1,"share":0.25},{"value":"500","series":1,"share":0.25}]},{"name":"job","values":1,"series":3,"top":[{"value":"shop","series":3,"share":0.75}]}],"senders":[{"label":"job","values":1,"top":[{"value":"shop","series":3,"share":0.75}]}],"growth":[{"start":100,"end":199,"inMemory":false,"series":3,"newSeries":3},{"start":200,"end":299,"inMemory":true,"series":4,"newSeries":1}]}}"#;
    let metrics = r#""metricCount":3,"metrics":[{"name":"http_requests_total","series":2,"share":0.5},{"name":"latency","series":1,"share":0.25}],"#;
    let path = "/native/v1/metrics/cardinality";
    let seen = r#""series":4,"firstSeen":100,"lastSeen":299,"#;
    fixture
        .check(path, 200, &format!(r#"{{"status":"success","data":{{{seen}{metrics}{labels}"#))
        .await;
    let one = format!("{path}/latency?start=0&end=1&limit=5");
    let expected = format!(r#"{{"status":"success","data":{{"metric":"latency",{seen}{labels}"#);
    fixture.check(&one, 200, &expected).await;
    for bad in ["limit=10001", "limit=x", "match[]=sum(", "start=x"] {
        assert_eq!(fixture.get(&format!("{path}?{bad}")).await.status, 400, "{bad}");
    }
}
