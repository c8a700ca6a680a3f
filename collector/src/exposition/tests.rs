//! Texts that are read, texts that are refused, and texts that a machine made up.

use std::fmt::Write;

use model::labels::Labels;
use model::sample::MetricKind;
use proptest::prelude::*;

use super::*;

/// A sample with its labels built.
#[derive(Debug, Clone, PartialEq)]
struct Read {
    labels: Labels,
    value: f64,
    timestamp_ms: Option<i64>,
    exemplar: Option<(Labels, f64, Option<i64>)>,
}

fn labels_of(series: &str, format: Format, kind: MetricKind) -> Result<Labels, String> {
    let mut pairs = Vec::new();
    read_series(series, format, kind, &mut pairs)?;
    Ok(Labels::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value))))
}

fn read_all(text: &str, format: Format) -> Result<(Vec<Read>, Vec<String>), String> {
    let (mut rest, mut samples, mut told) = (text, Vec::new(), Vec::new());
    let mut reader = Reader::new(format);
    let mut hint = String::new();
    while let Some(item) = reader.next(&mut rest, &hint).map_err(|e| e.to_string())? {
        let Item::Sample(sample) = item else {
            told.push(format!("{item:?}"));
            continue;
        };
        hint = sample.series.to_owned();
        let exemplar = match sample.exemplar {
            None => None,
            Some(exemplar) => {
                let mut pairs = Vec::new();
                read_labels(exemplar.braces, format, &mut pairs)?;
                let labels = Labels::from_pairs(pairs.iter().map(|(n, v)| (&**n, &**v)));
                Some((labels, exemplar.value, exemplar.timestamp_ms))
            }
        };
        samples.push(Read {
            labels: labels_of(sample.series, format, reader.kind())?,
            value: sample.value,
            timestamp_ms: sample.timestamp_ms,
            exemplar,
        });
    }
    reader.finish().map_err(|e| e.to_string())?;
    Ok((samples, told))
}

/// The samples of a text as Prometheus would print them.
fn check(format: Format, text: &str, expected: &[&str]) {
    let (samples, _) = read_all(text, format).unwrap_or_else(|e| panic!("{text:?}: {e}"));
    let shown: Vec<String> = samples
        .iter()
        .map(|read| {
            let mut shown = format!("{} {}", read.labels, read.value);
            if let Some(at) = read.timestamp_ms {
                write!(shown, " @{at}").unwrap();
            }
            if let Some((labels, value, at)) = &read.exemplar {
                write!(shown, " # {labels} {value} {at:?}").unwrap();
            }
            shown
        })
        .collect();
    assert_eq!(shown, expected, "{text:?}");
}

fn check_error(format: Format, text: &str, place: &str) {
    let error = read_all(text, format).expect_err(text);
    assert!(error.starts_with(place), "{text:?}: {error}");
}

#[test]
fn the_text_format_is_read() {
    let check = |text: &str, expected: &[&str]| check(Format::Text, text, expected);
    check("", &[]);
    check("\n \n\t\n", &[]);
    check("a 1\nb 2", &["a 1", "b 2"]);
    check("# a comment\n#HELP a b\n# HELP\n# TYPO a b\n\ta\t1\t-5 \n", &["a 1 @-5"]);
    check("a{} 1\na { x = \"1\" , y=\"2\", } 3 4\n", &["a 1", "a{x=\"1\", y=\"2\"} 3 @4"]);
    check("a{x=\"\\\\ \\\" \\n \\t }\"}1\n", &["a{x=\"\\\\ \\\" \\n \\\\t }\"} 1"]);
    check("a NaN\na -Inf\n:b:c 1e3\n", &["a NaN", "a -inf", ":b:c 1000"]);
    check("{\"my.metric\",\"l.x\"=\"v\"} 1\n", &["{__name__=\"my.metric\", \"l.x\"=\"v\"} 1"]);
    check("{a=\"1\",\"m\"} 1\n", &["m{a=\"1\"} 1"]);
    // A hint that is only the begin of the next series is not believed.
    check(
        "a 1\na {x=\"1\"} 2\na{x=\"1\"} 3\nab 4\n",
        &["a 1", "a{x=\"1\"} 2", "a{x=\"1\"} 3", "ab 4"],
    );
    check(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\n# TYPE s summary\ns{quantile=\"0\"} 1\n# TYPE g \
         gauge\ng{le=\"1\"} 1\n",
        &["h_bucket{le=\"1.0\"} 1", "s{quantile=\"0.0\"} 1", "g{le=\"1\"} 1"],
    );
}

#[test]
fn open_metrics_is_read() {
    let check = |text: &str, expected: &[&str]| check(Format::OpenMetrics, text, expected);
    check("# EOF\n", &[]);
    check("# EOF", &[]);
    check("a 1 1.5\na{x=\"y\",} 2\n# EOF\n", &["a 1 @1500", "a{x=\"y\"} 2"]);
    check(
        "a_total 1 # {trace_id=\"x\"} 0.5 1.25\nb 1 2 # {} 3\n# EOF\n",
        &["a_total 1 # {trace_id=\"x\"} 0.5 Some(1250)", "b 1 @2000 # {} 3 None"],
    );
}

#[test]
fn what_families_are_is_read() {
    let text = "# HELP a x \\n \\\\ \\\" y\n# TYPE a counter\n# HELP \"b.c\" z\n";
    let (_, told) = read_all(text, Format::Text).unwrap();
    assert_eq!(
        told,
        [
            r#"Help { family: "a", text: "x \n \\ \\\" y" }"#,
            r#"Kind { family: "a", kind: Counter }"#,
            r#"Help { family: "b.c", text: "z" }"#,
        ]
    );
    let text =
        "# TYPE a_seconds stateset\n# UNIT a_seconds seconds\n# HELP a_seconds \\\"\n# EOF\n";
    let (_, told) = read_all(text, Format::OpenMetrics).unwrap();
    assert_eq!(
        told,
        [
            r#"Kind { family: "a_seconds", kind: StateSet }"#,
            r#"Unit { family: "a_seconds", unit: "seconds" }"#,
            r#"Help { family: "a_seconds", text: "\"" }"#,
        ]
    );
}

#[test]
fn errors_name_line_and_column() {
    let text = |text: &str, place: &str| check_error(Format::Text, text, place);
    text("a 1\nb x\n", "2:3: a number");
    text("a\n", "1:2: a number");
    text("a 1 1.5\n", "1:5: milliseconds");
    text("a 1 1 1\n", "1:7: the end of the line");
    text("a{b=\"c} 1\n", "1:10: a quoted string goes over");
    text("a{b=\"c\\\n\"} 1\n", "1:8: a quoted string goes over");
    text("a{b=\"c\" d=\"e\"} 1\n", "1:9: a comma or }");
    text("a{b=c} 1\n", "1:5: a quoted label value");
    text("a{b} 1\n", "1:4: = is expected");
    text("a{,} 1\n", "1:3: a label name");
    text("a{1=\"\"} 1\n", "1:3: a label name");
    text("1 1\n", "1:1: a metric name");
    text("{} 1\n", "1:1: a sample has no metric name");
    text("{a=\"b\"} 1\n", "1:1: a sample has no metric name");
    text("a{\"b\"} 1\n", "1:6: the metric name is given twice");
    text("{\"a\",\"b\"} 1\n", "1:9: the metric name is given twice");
    text("a{b=\"1\",b=\"2\"} 1\n", "the label name \"b\" is not unique");
    text("# TYPE a x\n", "1:10: a type");
    text("# TYPE 1 gauge\n", "1:8: a metric name");
    text("a 1\r\n", "1:3: a number");
    let open = |text: &str, place: &str| check_error(Format::OpenMetrics, text, place);
    open("", "1:1: the text does not end");
    open("a 1\n", "2:1: the text does not end");
    open("# EOF\n\n", "2:1: there is text after");
    open("\n# EOF\n", "1:1: a metric name");
    open(" a 1\n# EOF\n", "1:1: a metric name");
    open("a  1\n# EOF\n", "1:3: a number");
    open("a 1 \n# EOF\n", "1:5: seconds");
    open("a 1 # x\n# EOF\n", "1:4: the end of the line or an exemplar");
    open("# comment\n# EOF\n", "1:1: HELP");
    open("# UNIT a_seconds bytes\n# EOF\n", "1:18: the unit");
    open("# TYPE a untyped\n# EOF\n", "1:10: a type");
}

#[test]
fn bases_of_families() {
    assert_eq!(base_of("a_total", MetricKind::Counter), Some(("a", false)));
    assert_eq!(base_of("a_created", MetricKind::Counter), Some(("a", true)));
    assert_eq!(base_of("a_bucket", MetricKind::Histogram), Some(("a", false)));
    assert_eq!(base_of("a", MetricKind::Summary), Some(("a", false)));
    assert_eq!(base_of("a_created", MetricKind::Gauge), None);
}

fn quote(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{text}\"")
}

fn print_braces(labels: &Labels, name: Option<&str>) -> String {
    let name = name.map(quote);
    let pairs = labels.iter().filter(|(name, _)| *name != "__name__");
    let pairs = pairs.map(|(name, value)| format!("{}={}", quote(name), quote(value)));
    format!("{{{}}}", name.into_iter().chain(pairs).collect::<Vec<_>>().join(","))
}

fn print(samples: &[Read], format: Format) -> String {
    let mut text = String::new();
    for read in samples {
        let braces = print_braces(&read.labels, Some(read.labels.metric_name()));
        write!(text, "{braces} {}", read.value).unwrap();
        match (read.timestamp_ms, format) {
            (None, _) => {}
            (Some(at), Format::Text) => write!(text, " {at}").unwrap(),
            (Some(at), Format::OpenMetrics) => {
                write!(text, " {}.{:03}", at / 1000, at % 1000).unwrap();
            }
        }
        if let (Some((labels, value, _)), Format::OpenMetrics) = (&read.exemplar, format) {
            write!(text, " # {} {value}", print_braces(labels, None)).unwrap();
        }
        text.push('\n');
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn any_labels() -> impl Strategy<Value = Labels> {
    let pairs = prop::collection::vec((".{1,5}", ".{1,5}"), 0..4);
    pairs.prop_map(|pairs| {
        pairs
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .filter(|(n, _)| *n != "__name__")
            .collect()
    })
}

fn any_read() -> impl Strategy<Value = Read> {
    let exemplar = (any_labels(), -1e9..1e9_f64).prop_map(|(labels, value)| (labels, value, None));
    let parts = (
        any_labels(),
        ".{1,8}",
        any::<f64>().prop_filter("a NaN equals nothing", |value| !value.is_nan()),
        prop::option::of(0..4_000_000_000_000_i64),
        prop::option::of(exemplar),
    );
    parts.prop_map(|(labels, name, value, timestamp_ms, exemplar)| Read {
        labels: labels.with("__name__", &name),
        value,
        timestamp_ms,
        exemplar,
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(reads in prop::collection::vec(any_read(), 0..5)) {
        for format in [Format::Text, Format::OpenMetrics] {
            let (got, _) = read_all(&print(&reads, format), format).unwrap();
            let mut expected = reads.clone();
            if format == Format::Text {
                expected.iter_mut().for_each(|read| read.exemplar = None);
            }
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn no_text_makes_it_panic(
        text in "([a-c{}=,\"# \n\\\\0-9.\u{e9}]|\\PC|# (TYPE|HELP|EOF) ?){0,40}",
    ) {
        for format in [Format::Text, Format::OpenMetrics] {
            drop(read_all(&text, format));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        for format in [Format::Text, Format::OpenMetrics] {
            drop(read_all(&text, format));
        }
    }
}
