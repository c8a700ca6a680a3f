//! What requests an import makes: read back by our own walker of remote write.

use proto::remote_write::WriteRef;

use super::*;

/// The requests of a text, shown: labels, samples and exemplars of each series.
fn check(text: &str, format: Format, expected: &[&str]) {
    let mut importer = Importer {
        sender: Sender::new("http://127.0.0.1:1").unwrap(),
        batch: Batch::default(),
        at: TimestampMs(7),
    };
    let mut reader = Reader::new(format);
    // Small enough to stay in one batch: nothing is sent.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(importer.piece(&mut reader, text.as_bytes())).unwrap();
    let (request, _) = importer.batch.take().unwrap();
    let request = WriteRef::new(&request);
    let mut shown = Vec::new();
    for series in request.timeseries() {
        let series = series.unwrap();
        let labels: Vec<String> = series
            .labels()
            .map(|label| label.map(|label| format!("{}={}", label.name, label.value)).unwrap())
            .collect();
        let mut line = labels.join(",");
        for sample in series.samples() {
            let sample = sample.unwrap();
            line += &format!(" {}@{}", sample.value, sample.timestamp_ms);
        }
        for exemplar in series.exemplars() {
            let exemplar = exemplar.unwrap();
            let labels = exemplar.labels().count();
            line += &format!(" #{labels} {}@{}", exemplar.value, exemplar.timestamp_ms);
        }
        shown.push(line);
    }
    for metadata in request.metadata() {
        let metadata = metadata.unwrap();
        shown.push(format!("{} {} {}", metadata.family, metadata.kind, metadata.help));
    }
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn samples_of_a_series_in_a_row_are_one_series() {
    check(
        "# HELP b_total Bs.\n# TYPE b_total counter\nb_total{y=\"1\",x=\"2\",z=\"\"} 1 1000\n\
         b_total{y=\"1\",x=\"2\",z=\"\"} 2 2000\na 3\n",
        Format::Text,
        &["__name__=b_total,x=2,y=1 1@1000 2@2000", "__name__=a 3@7", "b_total 1 Bs."],
    );
    check(
        "# TYPE c counter\nc_total 1 1.5 # {t=\"x\"} 0.5 1.25\nc_created 1\n# EOF\n",
        Format::OpenMetrics,
        &["__name__=c_total 1@1500 #1 0.5@1250", "__name__=c_created 1@7", "c_total 1 "],
    );
}

#[test]
fn a_batch_that_is_taken_goes_on_with_its_series() {
    let mut batch = Batch::default();
    batch.begin_series(&[("__name__".into(), "a".into())]);
    batch.sample(1.0, 1);
    assert_eq!(batch.take().unwrap().1, 1);
    assert!(batch.take().is_none());
    batch.sample(2.0, 2);
    let (request, samples) = batch.take().unwrap();
    let series = WriteRef::new(&request).timeseries().next().unwrap().unwrap();
    assert_eq!((series.labels().count(), series.samples().count(), samples), (1, 1, 1));
}

#[test]
fn the_first_piece_tells_the_format() {
    assert_eq!(detect(b"a 1\n# EOF"), Format::OpenMetrics);
    assert_eq!(detect(b"# TYPE a info\n"), Format::OpenMetrics);
    assert_eq!(detect(b"# TYPE a gauge\na 1\n"), Format::Text);
}
