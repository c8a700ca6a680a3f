//! Texts of one target, and what the sink gets of them.

use std::sync::Arc;

use model::labels::Labels;
use model::sample::is_stale;
use model::{SeriesSink, TimestampMs};

use super::job;
use crate::exposition::Format;
use crate::otlp::tests::sinks::Memory;
use crate::remote_write::described::Described;
use crate::scrape::config::Job;
use crate::scrape::ingest::{Counts, Ingest, Output};
use crate::scrape::relabel::{Action, Relabel, RelabelSettings};
use crate::scrape::target::{discovered, to_target};
use crate::scrape::telemetry::ScrapeTelemetry;
use crate::scrape::writer::write;

/// One target whose texts a test writes.
struct Scraped {
    sink: Memory,
    described: Described,
    telemetry: ScrapeTelemetry,
    ingest: Ingest,
    at: i64,
    counts: Counts,
}

impl Scraped {
    fn new(job: Job, labels: &[(&str, &str)]) -> Self {
        let target = to_target(&job, discovered(&job, "h:1", labels.iter().copied()));
        let target = Arc::new(target.unwrap().unwrap());
        Scraped {
            sink: Memory::default(),
            described: Described::default(),
            telemetry: ScrapeTelemetry::default(),
            ingest: Ingest::new(Arc::new(job), target),
            at: 0,
            counts: Counts::default(),
        }
    }

    /// What the sink would get of a text, one second after the one before; without `instance` and
    /// `job`, which all have.
    fn take(&mut self, format: Format, text: &str) -> Result<Vec<String>, String> {
        self.at += 1000;
        let output = Self::output(&self.sink, &self.described, &self.telemetry);
        let at = TimestampMs(self.at);
        let (counts, result) = self.ingest.take(output, text.as_bytes(), format, at);
        self.counts = counts;
        result?;
        Ok(self.shown())
    }

    fn output<'a>(
        sink: &'a Memory,
        described: &'a Described,
        telemetry: &'a ScrapeTelemetry,
    ) -> Output<'a> {
        Output { sink, described, telemetry }
    }

    async fn write(&mut self) {
        let output = Self::output(&self.sink, &self.described, &self.telemetry);
        write(output, "j", &mut self.ingest).await;
    }

    fn report(&mut self) {
        let output = Self::output(&self.sink, &self.described, &self.telemetry);
        self.ingest.report(output, TimestampMs(self.at), true, 0.5, self.counts);
    }

    fn shown(&self) -> Vec<String> {
        let series = self.sink.series.lock();
        let show = |labels: &Labels| labels.without(&["instance", "job"]).to_string();
        let points = self.ingest.batch.points.iter().map(|point| {
            let labels = show(&series[point.series.0 as usize]);
            let value = match is_stale(point.value) {
                true => "stale".to_owned(),
                false => point.value.to_string(),
            };
            let mut shown = format!("{labels} {value}");
            if point.at.0 != self.at {
                shown += &format!(" @{}", point.at.0);
            }
            if point.start.0 != 0 {
                shown += &format!(" since {}", point.start.0);
            }
            shown
        });
        let exemplars = self.ingest.batch.exemplars.iter().map(|(id, exemplar)| {
            let labels = show(&series[id.0 as usize]);
            format!("{labels} # {} {} @{}", exemplar.labels, exemplar.value, exemplar.at.0)
        });
        points.chain(exemplars).collect()
    }

    fn text(&mut self, text: &str, expected: &[&str]) {
        assert_eq!(self.take(Format::Text, text).unwrap(), expected, "{text}");
    }

    fn counted(&self) -> [u64; 3] {
        [self.counts.scraped, self.counts.kept, self.counts.added]
    }
}

#[test]
fn labels_of_the_target_win_unless_they_honor_those_of_the_text() {
    let text = "a{x=\"1\",exported_x=\"2\",y=\"\"} 1\n";
    let labels = [("x", "t"), ("y", "u")];
    let mut scraped = Scraped::new(job(), &labels);
    scraped.text(text, &[r#"a{exported_exported_x="1", exported_x="2", x="t", y="u"} 1"#]);
    let mut scraped = Scraped::new(Job { honor_labels: true, ..job() }, &labels);
    scraped.text(text, &[r#"a{exported_x="2", x="1"} 1"#]);
}

#[test]
fn series_that_vanish_are_ended_once() {
    let mut scraped = Scraped::new(job(), &[]);
    scraped.text("a 1\nb 2\nc 3 500\n", &["a 1", "b 2", "c 3 @500"]);
    assert_eq!(scraped.counted(), [3, 3, 3]);
    // A sample with its own time is not tracked.
    scraped.text("b 4\n", &["b 4", "a stale"]);
    assert_eq!(scraped.counted(), [1, 1, 0]);
    scraped.text("b 5\na 6\n", &["b 5", "a 6"]);
    scraped.text("a 7\nb 8\n", &["a 7", "b 8"]);
    // Other bytes for the same series do not end it.
    scraped.text("a{} 7\nb 8\n", &["a 7", "b 8"]);
    scraped.text("", &["a stale", "b stale"]);
    scraped.text("", &[]);
}

#[test]
fn a_failed_scrape_ends_all_series_and_keeps_nothing() {
    let mut scraped = Scraped::new(job(), &[]);
    scraped.text("a 1\nb 2\n", &["a 1", "b 2"]);
    let error = scraped.take(Format::Text, "a 1\nb x\n").unwrap_err();
    assert_eq!(error, "2:3: a number is expected");
    assert_eq!(scraped.shown(), ["a stale", "b stale"]);
    let error = scraped.take(Format::OpenMetrics, "a 1\n").unwrap_err();
    assert!(error.contains("# EOF"), "{error}");
    assert!(scraped.shown().is_empty());
    scraped.text("a 1\n", &["a 1"]);
    let output = Output {
        sink: &scraped.sink,
        described: &scraped.described,
        telemetry: &scraped.telemetry,
    };
    scraped.ingest.report(output, TimestampMs(scraped.at), true, 0.5, scraped.counts);
    assert_eq!(scraped.shown()[..3], ["a 1", "up 1", "scrape_duration_seconds 0.5"]);
    scraped.ingest.finish(output, TimestampMs(scraped.at));
    let shown = scraped.shown();
    assert_eq!(shown.len(), 6);
    assert!(shown.iter().all(|line| line.ends_with(" stale")), "{shown:?}");
}

#[test]
fn a_sample_that_is_there_twice_counts_once() {
    let mut scraped = Scraped::new(job(), &[]);
    scraped.text("a 1\na 2\na 3 400\na 4 500\n", &["a 1", "a 3 @400", "a 4 @500"]);
    let mut scraped = Scraped::new(Job { honor_timestamps: false, ..job() }, &[]);
    scraped.text("a 3 400\n", &["a 3"]);
    scraped.text("", &["a stale"]);
}

#[test]
fn created_lines_are_start_times_and_exemplars_come_once() {
    let text = "# TYPE c counter\nc_total{x=\"1\"} 1 # {t=\"e\"} 0.5\nc_created{x=\"1\"} 0.5\n\
                c_total{x=\"2\"} 2\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n\
                h_created 0.25\n# TYPE g gauge\ng_created 1\n# EOF\n";
    let mut scraped = Scraped::new(job(), &[]);
    let expected = [
        r#"c_total{x="1"} 1 since 500"#,
        r#"c_total{x="2"} 2"#,
        r#"h_bucket{le="1.0"} 1 since 250"#,
        "h_sum 1 since 250",
        "h_count 1 since 250",
        "g_created 1",
    ];
    let got = scraped.take(Format::OpenMetrics, text).unwrap();
    assert_eq!(got[..6], expected);
    assert_eq!(got[6..], [r#"c_total{x="1"} # {t="e"} 0.5 @1000"#]);
    assert_eq!(scraped.counted(), [6, 6, 6]);
    assert_eq!(scraped.take(Format::OpenMetrics, text).unwrap(), expected);
    let metadata = scraped.sink.metadata.lock();
    let names: Vec<&str> = metadata.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["c_total", "h", "g"]);
}

#[test]
fn limits_fail_the_scrape() {
    let text = "a{x=\"12\"} 1\nb 2\n";
    for (job, expected) in [
        (Job { sample_limit: 1, ..job() }, "sample limit exceeded: 2"),
        (Job { label_limit: 3, ..job() }, "label_limit exceeded: 4"),
        (Job { label_name_length_limit: 7, ..job() }, "label_name_length_limit"),
        (Job { label_value_length_limit: 2, ..job() }, "label_value_length_limit"),
    ] {
        let error = Scraped::new(job, &[]).take(Format::Text, text).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let limits = Job { sample_limit: 2, label_limit: 4, ..job() };
    assert_eq!(Scraped::new(limits, &[]).take(Format::Text, text).unwrap().len(), 2);
}

#[test]
fn samples_are_relabelled() {
    let drop = RelabelSettings {
        source_labels: Some(vec!["__name__".to_owned()]),
        regex: Some("b.*".to_owned()),
        action: Action::Drop,
        ..Default::default()
    };
    let job = Job { metric_relabel: vec![Relabel::new(drop).unwrap()], ..job() };
    let mut scraped = Scraped::new(job, &[]);
    for added in [1, 0] {
        scraped.text("a 1\nb 2\nbc 3\n", &["a 1"]);
        assert_eq!(scraped.counted(), [3, 1, added]);
    }
}

#[test]
fn ids_that_are_void_are_asked_for_again() {
    let mut scraped = Scraped::new(job(), &[]);
    scraped.text("a 1\nb 1\n", &["a 1", "b 1"]);
    scraped.sink.series.lock().clear();
    *scraped.sink.generation.lock() += 1;
    scraped.text("b 1\na 1\n", &["b 1", "a 1"]);
    assert_eq!(scraped.sink.generation(), 1);
    assert_eq!(scraped.counted(), [2, 2, 0]);
}

#[test]
fn many_series_that_come_and_go_are_forgotten() {
    let mut scraped = Scraped::new(job(), &[]);
    for round in 0..20 {
        let text: String = (0..200).map(|i| format!("a{{x=\"{round}-{i}\"}} 1\n")).collect();
        let got = scraped.take(Format::Text, &text).unwrap();
        assert_eq!(got.len(), if round == 0 { 200 } else { 400 });
    }
    assert!(scraped.ingest.cached() <= 1600, "{}", scraped.ingest.cached());
}

#[tokio::test]
async fn samples_and_ends_are_not_lost_when_the_store_gives_all_series_other_ids_meanwhile() {
    let mut scraped = Scraped::new(job(), &[]);
    scraped.take(Format::OpenMetrics, "a 1\nb 1\n# EOF\n").unwrap();
    scraped.write().await;
    let text = "a 2\nc_total 3 # {trace_id=\"x\"} 1\n# EOF\n";
    let expected = ["a 2", "c_total 3", "b stale"];
    let text = format!("# TYPE c counter\n{text}");
    scraped.take(Format::OpenMetrics, &text).unwrap();
    scraped.report();
    *scraped.sink.forgets.lock() = true;
    scraped.write().await;
    let shown = scraped.shown();
    assert_eq!(shown[..3], expected);
    assert_eq!(shown[3], "up 1");
    assert_eq!(shown[8], r#"c_total # {trace_id="x"} 1 @2000"#);
    assert_eq!(scraped.sink.batches.lock().len(), 2);
    // The next scrape knows the new ids.
    assert_eq!(scraped.take(Format::OpenMetrics, "# EOF\n").unwrap().len(), 2);
    scraped.write().await;
    assert_eq!(scraped.sink.batches.lock().len(), 3);
}
