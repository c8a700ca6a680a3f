//! The walkers against prost: the same requests are refused, and the others say the same.

use proptest::prelude::*;
use prost::Message as _;

use super::messages::{BucketSpan, Count, Histogram, Sample, ZeroCount, v1, v2};
use super::{CountRef, HistogramRef, SampleRef, SymbolRefs, SymbolWriteRef, WriteRef};
use crate::wire::{DecodeError, Problem};

type Result<T> = std::result::Result<T, DecodeError>;

fn sample(sample: Result<SampleRef>) -> Result<Sample> {
    let SampleRef { value, timestamp_ms, start_timestamp_ms } = sample?;
    Ok(Sample { value, timestamp: timestamp_ms, start_timestamp: start_timestamp_ms })
}

fn histogram(histogram: Result<HistogramRef<'_>>) -> Result<Histogram> {
    let h = histogram?;
    let spans = |side: &super::SideRef<'_>| {
        let spans = side.spans().map(|span| {
            let span = span?;
            Ok(BucketSpan { offset: span.offset, length: span.length })
        });
        spans.collect::<Result<Vec<_>>>()
    };
    Ok(Histogram {
        count: h.count.map(|count| match count {
            CountRef::Int(count) => Count::CountInt(count),
            CountRef::Float(count) => Count::CountFloat(count),
        }),
        sum: h.sum,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: h.zero_count.map(|count| match count {
            CountRef::Int(count) => ZeroCount::ZeroCountInt(count),
            CountRef::Float(count) => ZeroCount::ZeroCountFloat(count),
        }),
        negative_spans: spans(&h.negative)?,
        negative_deltas: h.negative.deltas().collect(),
        negative_counts: h.negative.counts().collect(),
        positive_spans: spans(&h.positive)?,
        positive_deltas: h.positive.deltas().collect(),
        positive_counts: h.positive.counts().collect(),
        reset_hint: h.reset_hint,
        timestamp: h.timestamp_ms,
        custom_values: h.custom_values().collect(),
        start_timestamp: h.start_timestamp_ms,
    })
}

fn rebuild_v1(bytes: &[u8]) -> Result<v1::WriteRequest> {
    let request = WriteRef::new(bytes);
    let label = |label: Result<super::LabelRef<'_>>| {
        let label = label?;
        Ok(v1::Label { name: label.name.to_owned(), value: label.value.to_owned() })
    };
    let series = request.timeseries().map(|series| {
        let series = series?;
        let exemplars = series.exemplars().map(|exemplar| {
            let exemplar = exemplar?;
            Ok(v1::Exemplar {
                labels: exemplar.labels().map(label).collect::<Result<_>>()?,
                value: exemplar.value,
                timestamp: exemplar.timestamp_ms,
            })
        });
        Ok(v1::TimeSeries {
            exemplars: exemplars.collect::<Result<_>>()?,
            labels: series.labels().map(label).collect::<Result<_>>()?,
            samples: series.samples().map(sample).collect::<Result<_>>()?,
            histograms: series.histograms().map(histogram).collect::<Result<_>>()?,
        })
    });
    let metadata = request.metadata().map(|metadata| {
        let metadata = metadata?;
        Ok(v1::MetricMetadata {
            r#type: metadata.kind,
            metric_family_name: metadata.family.to_owned(),
            help: metadata.help.to_owned(),
            unit: metadata.unit.to_owned(),
        })
    });
    Ok(v1::WriteRequest {
        timeseries: series.collect::<Result<_>>()?,
        metadata: metadata.collect::<Result<_>>()?,
    })
}

fn rebuild_v2(bytes: &[u8]) -> Result<v2::Request> {
    let request = SymbolWriteRef::new(bytes);
    let refs = |refs: SymbolRefs<'_>| {
        assert_eq!(refs.count(), refs.iter().len());
        refs.iter().collect::<Vec<u32>>()
    };
    let series = request.timeseries().map(|series| {
        let series = series?;
        let exemplars = series.exemplars().map(|exemplar| {
            let exemplar = exemplar?;
            Ok(v2::Exemplar {
                labels_refs: refs(exemplar.labels),
                value: exemplar.value,
                timestamp: exemplar.timestamp_ms,
            })
        });
        let metadata = series.metadata;
        Ok(v2::TimeSeries {
            labels_refs: refs(series.labels),
            exemplars: exemplars.collect::<Result<_>>()?,
            samples: series.samples().map(sample).collect::<Result<_>>()?,
            histograms: series.histograms().map(histogram).collect::<Result<_>>()?,
            metadata: Some(v2::Metadata {
                r#type: metadata.kind,
                help_ref: metadata.help,
                unit_ref: metadata.unit,
            }),
        })
    });
    Ok(v2::Request {
        symbols: request.symbols().map(|text| Ok(text?.to_owned())).collect::<Result<_>>()?,
        timeseries: series.collect::<Result<_>>()?,
    })
}

/// Bytes compare NaN as equal.
#[track_caller]
fn check<M: prost::Message + Default>(
    bytes: &[u8],
    rebuild: fn(&[u8]) -> Result<M>,
    normalize: fn(&mut M),
) {
    match (M::decode(bytes), rebuild(bytes)) {
        (Ok(mut expected), Ok(walked)) => {
            normalize(&mut expected);
            assert_eq!(walked.encode_to_vec(), expected.encode_to_vec());
        }
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => assert!(
            matches!(error.problem(), Problem::Repeated | Problem::GroupTooDeep),
            "prost accepts what the walk refuses: {error}"
        ),
        (Err(error), Ok(_)) => {
            let text = error.to_string();
            assert!(
                text.contains("recursion limit"),
                "the walk accepts what prost refuses: {text}"
            );
        }
    }
}

fn check_v1(bytes: &[u8]) {
    check(bytes, rebuild_v1, |_| {});
}

fn check_v2(bytes: &[u8]) {
    check(bytes, rebuild_v2, |request| {
        for series in &mut request.timeseries {
            series.metadata.get_or_insert_default();
        }
    });
}

fn texts() -> impl Strategy<Value = String> + Clone {
    prop_oneof![4 => "[a-z_]{0,12}", 1 => "\\PC{0,200}"]
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let one = (any::<f64>(), any::<i64>(), any::<i64>()).prop_map(|(value, timestamp, start)| {
        Sample { value, timestamp, start_timestamp: start % 3 }
    });
    prop::collection::vec(one, 0..4)
}

fn histograms() -> impl Strategy<Value = Vec<Histogram>> {
    let span = (any::<i32>(), 0..9_u32).prop_map(|(offset, length)| BucketSpan { offset, length });
    let spans = prop::collection::vec(span, 0..3);
    let numbers = (
        any::<u64>(),
        any::<bool>(),
        -54..9_i32,
        prop::collection::vec(any::<i64>(), 0..5),
        prop::collection::vec(any::<f64>(), 0..5),
        any::<i64>(),
    );
    let one = (spans, numbers).prop_map(|(spans, (count, is_int, schema, deltas, counts, at))| {
        Histogram {
            count: Some(if is_int {
                Count::CountInt(count)
            } else {
                Count::CountFloat(count as f64)
            }),
            sum: 1.5,
            schema,
            zero_threshold: 0.25,
            zero_count: is_int.then_some(ZeroCount::ZeroCountInt(count)),
            negative_spans: spans.clone(),
            negative_deltas: deltas.clone(),
            negative_counts: counts.clone(),
            positive_spans: spans,
            positive_deltas: deltas,
            positive_counts: counts.clone(),
            reset_hint: schema & 3,
            timestamp: at,
            custom_values: counts,
            start_timestamp: at / 2,
        }
    });
    prop::collection::vec(one, 0..3)
}

fn requests_v1() -> impl Strategy<Value = v1::WriteRequest> {
    let label = (texts(), texts()).prop_map(|(name, value)| v1::Label { name, value });
    let labels = || prop::collection::vec(label.clone(), 0..4);
    let exemplar = (labels(), any::<f64>(), any::<i64>())
        .prop_map(|(labels, value, timestamp)| v1::Exemplar { labels, value, timestamp });
    let exemplars = prop::collection::vec(exemplar, 0..2);
    let series = (labels(), samples(), exemplars, histograms()).prop_map(
        |(labels, samples, exemplars, histograms)| v1::TimeSeries {
            labels,
            samples,
            exemplars,
            histograms,
        },
    );
    let metadata = (texts(), texts(), any::<i32>()).prop_map(|(name, help, kind)| {
        v1::MetricMetadata { r#type: kind, metric_family_name: name, unit: help.clone(), help }
    });
    (prop::collection::vec(series, 0..4), prop::collection::vec(metadata, 0..2))
        .prop_map(|(timeseries, metadata)| v1::WriteRequest { timeseries, metadata })
}

fn requests_v2() -> impl Strategy<Value = v2::Request> {
    let refs = || prop::collection::vec(any::<u32>(), 0..6);
    let exemplar = (refs(), any::<f64>(), any::<i64>())
        .prop_map(|(labels_refs, value, timestamp)| v2::Exemplar { labels_refs, value, timestamp });
    let exemplars = prop::collection::vec(exemplar, 0..2);
    let metadata = (any::<i32>(), any::<u32>()).prop_map(|(kind, text)| v2::Metadata {
        r#type: kind,
        help_ref: text,
        unit_ref: text / 2,
    });
    let metadata = prop::option::of(metadata);
    let series = (refs(), samples(), histograms(), exemplars, metadata).prop_map(
        |(labels_refs, samples, histograms, exemplars, metadata)| v2::TimeSeries {
            labels_refs,
            samples,
            histograms,
            exemplars,
            metadata,
        },
    );
    (prop::collection::vec(texts(), 0..6), prop::collection::vec(series, 0..4))
        .prop_map(|(symbols, timeseries)| v2::Request { symbols, timeseries })
}

/// Overwrites, cuts.
fn damage(bytes: &mut Vec<u8>, at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
    if bytes.is_empty() {
        return;
    }
    let at = at.index(bytes.len());
    bytes[at] = byte;
    bytes.truncate(cut.index(bytes.len() * 2) + 1);
}

proptest! {
    #[test]
    fn whole_requests_come_out_whole(one in requests_v1(), two in requests_v2()) {
        check_v1(&one.encode_to_vec());
        check_v2(&two.encode_to_vec());
    }

    #[test]
    fn damaged_requests_are_judged_as_prost_judges_them(
        one in requests_v1(),
        two in requests_v2(),
        at: prop::sample::Index,
        byte: u8,
        cut: prop::sample::Index,
    ) {
        let mut bytes = one.encode_to_vec();
        damage(&mut bytes, at, byte, cut);
        check_v1(&bytes);
        let mut bytes = two.encode_to_vec();
        damage(&mut bytes, at, byte, cut);
        check_v2(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        check_v1(&bytes);
        check_v2(&bytes);
    }
}

#[test]
fn numbers_that_are_not_packed_are_read_too() {
    // Series of one label pair, each reference a field of its own.
    let bytes = [0x2a, 6, 0x08, 1, 0x08, 2, 0x12, 0];
    let request = rebuild_v2(&bytes).unwrap();
    assert_eq!(request.timeseries[0].labels_refs, [1, 2]);
    check_v2(&bytes);
}
