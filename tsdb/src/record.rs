//! Journal records of this store. `docs/formats/journal.md` lists their fields.

use disk::codec::{CodecError, Reader, put_f64, put_i64, put_str, put_u64};
use model::TimestampMs;
use model::labels::Labels;
use model::sample::{Exemplar, MetricKind, MetricMetadata, SeriesId};
use model::write::{FloatPoint, HistogramPoint, SeriesBatch};
use rustc_hash::FxHashSet;

use crate::head::histograms::{histogram, put_histogram};

/// The kind of a record: its sequence, new series, metadata, then samples.
pub(crate) const BATCH: u8 = 2;
/// The same, written while a start loads: its slots are numbers that this start alone gave.
pub(crate) const BATCH_WHILE_LOADING: u8 = 3;

/// The lower half of a sequence counts the records of a start, the upper half is the number of the
/// journal's segment that it began with, so that sequences go up over restarts before anything is
/// read. A segment never has as many records as the lower half can count.
const START_BITS: u32 = 32;

/// The sequence of the first record of the start that begins with this segment.
pub(crate) fn first_sequence(segment: u64) -> u64 {
    segment << START_BITS
}

/// The start that a record was written in.
pub(crate) fn start_of(sequence: u64) -> u64 {
    sequence >> START_BITS
}

/// Series that the journal has not seen yet, encoded: slots and labels.
#[derive(Debug, Default)]
pub(crate) struct NewSeries {
    count: u64,
    bytes: Vec<u8>,
    slots: FxHashSet<u32>,
}

impl NewSeries {
    pub(crate) fn push(&mut self, slot: u32, labels: &[(&str, &str)]) {
        self.count += 1;
        self.slots.insert(slot);
        put_u64(&mut self.bytes, u64::from(slot));
        put_u64(&mut self.bytes, labels.len() as u64);
        for (name, value) in labels {
            put_str(&mut self.bytes, name);
            put_str(&mut self.bytes, value);
        }
    }

    pub(crate) fn contains(&self, slot: u32) -> bool {
        self.slots.contains(&slot)
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
        self.slots.clear();
        // What a burst of new series needed is not kept.
        self.bytes.shrink_to(64 << 10);
        self.slots.shrink_to(1024);
    }
}

/// What a record says.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// Goes up from record to record, over restarts.
    pub(crate) sequence: u64,
    /// Slots and labels.
    pub(crate) series: Vec<(u32, Labels)>,
    pub(crate) metadata: Vec<(String, MetricMetadata)>,
    pub(crate) batch: SeriesBatch,
}

pub(crate) fn put_labels(buffer: &mut Vec<u8>, labels: &Labels) {
    put_u64(buffer, labels.len() as u64);
    for (name, value) in labels.iter() {
        put_str(buffer, name);
        put_str(buffer, value);
    }
}

pub(crate) fn labels(reader: &mut Reader<'_>) -> Result<Labels, CodecError> {
    let count = reader.count()?;
    let mut pairs = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        pairs.push((reader.str()?, reader.str()?));
    }
    Ok(Labels::from_pairs(pairs))
}

/// A record of samples that has nothing new to say before them.
pub(crate) fn encode_batch(batch: &SeriesBatch) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(64 + batch.points.len() * 14);
    buffer.extend_from_slice(&NO_NEWS);
    put_u64(&mut buffer, batch.points.len() as u64);
    let mut before = Before::default();
    for point in &batch.points {
        before.put(&mut buffer, point.series, point.at, point.start);
        put_f64(&mut buffer, point.value);
    }
    put_u64(&mut buffer, batch.histograms.len() as u64);
    let mut before = Before::default();
    for point in &batch.histograms {
        before.put(&mut buffer, point.series, point.at, point.start);
        put_histogram(&mut buffer, &point.histogram);
    }
    put_u64(&mut buffer, batch.exemplars.len() as u64);
    for (id, exemplar) in &batch.exemplars {
        put_u64(&mut buffer, u64::from(slot(*id)));
        put_i64(&mut buffer, exemplar.at.0);
        put_f64(&mut buffer, exemplar.value);
        put_labels(&mut buffer, &exemplar.labels);
    }
    buffer
}

/// Room for the sequence, no series, no metadata.
const NO_NEWS: [u8; SEQUENCE_BYTES + 2] = [0; SEQUENCE_BYTES + 2];
const SEQUENCE_BYTES: usize = 8;

/// The slot of a series: the lower half of its id.
fn slot(id: SeriesId) -> u32 {
    id.0 as u32
}

/// Puts the sequence and news in front of an encoded batch. Samples are encoded without a lock; the
/// news are known only under it, and are rare.
pub(crate) fn with_news(
    sequence: u64,
    series: &NewSeries,
    metadata: &[(String, MetricMetadata)],
    mut batch: Vec<u8>,
) -> Vec<u8> {
    batch[..SEQUENCE_BYTES].copy_from_slice(&sequence.to_le_bytes());
    if series.count == 0 && metadata.is_empty() {
        return batch;
    }
    let mut buffer =
        Vec::with_capacity(batch.len() + series.bytes.len() + metadata.len() * 100 + 20);
    buffer.extend_from_slice(&batch[..SEQUENCE_BYTES]);
    put_u64(&mut buffer, series.count);
    buffer.extend_from_slice(&series.bytes);
    put_u64(&mut buffer, metadata.len() as u64);
    for (name, metadata) in metadata {
        put_metadata(&mut buffer, name, metadata);
    }
    buffer.extend_from_slice(&batch[NO_NEWS.len()..]);
    buffer
}

pub(crate) fn put_metadata(buffer: &mut Vec<u8>, name: &str, metadata: &MetricMetadata) {
    put_str(buffer, name);
    buffer.push(metadata.kind as u8);
    put_str(buffer, &metadata.help);
    put_str(buffer, &metadata.unit);
}

pub(crate) fn metadata(reader: &mut Reader<'_>) -> Result<(String, MetricMetadata), CodecError> {
    let name = reader.str()?.to_owned();
    let kind = match reader.u8()? {
        1 => MetricKind::Counter,
        2 => MetricKind::Gauge,
        3 => MetricKind::Histogram,
        4 => MetricKind::Summary,
        5 => MetricKind::GaugeHistogram,
        6 => MetricKind::Info,
        7 => MetricKind::StateSet,
        _ => MetricKind::Unknown,
    };
    let (help, unit) = (reader.str()?.to_owned(), reader.str()?.to_owned());
    Ok((name, MetricMetadata { kind, help, unit }))
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, CodecError> {
    let mut reader = Reader::new(bytes);
    let sequence = u64::from_le_bytes(reader.array()?);
    let mut decoded = Decoded { sequence, ..Default::default() };
    for _ in 0..reader.count()? {
        decoded.series.push((reader.u32()?, labels(&mut reader)?));
    }
    for _ in 0..reader.count()? {
        decoded.metadata.push(metadata(&mut reader)?);
    }
    let count = reader.count()?;
    decoded.batch.points.reserve(count);
    let mut before = Before::default();
    for _ in 0..count {
        let (series, at, start) = before.read(&mut reader)?;
        decoded.batch.points.push(FloatPoint { series, at, start, value: reader.f64()? });
    }
    let mut before = Before::default();
    for _ in 0..reader.count()? {
        let (series, at, start) = before.read(&mut reader)?;
        let histogram = histogram(&mut reader)?;
        decoded.batch.histograms.push(HistogramPoint { series, at, start, histogram });
    }
    for _ in 0..reader.count()? {
        let id = SeriesId(reader.u64()?);
        let at = TimestampMs(reader.i64()?);
        let value = reader.f64()?;
        decoded.batch.exemplars.push((id, Exemplar { labels: labels(&mut reader)?, value, at }));
    }
    Ok(decoded)
}

/// The fields that neighbours in a batch mostly share, written as differences.
#[derive(Default)]
struct Before {
    series: i64,
    at: i64,
    start: i64,
}

impl Before {
    fn put(&mut self, buffer: &mut Vec<u8>, series: SeriesId, at: TimestampMs, start: TimestampMs) {
        let series = i64::from(slot(series));
        put_i64(buffer, series.wrapping_sub(self.series));
        put_i64(buffer, at.0.wrapping_sub(self.at));
        put_i64(buffer, start.0.wrapping_sub(self.start));
        *self = Before { series, at: at.0, start: start.0 };
    }

    fn read(
        &mut self,
        reader: &mut Reader<'_>,
    ) -> Result<(SeriesId, TimestampMs, TimestampMs), CodecError> {
        self.series = self.series.wrapping_add(reader.i64()?);
        self.at = self.at.wrapping_add(reader.i64()?);
        self.start = self.start.wrapping_add(reader.i64()?);
        Ok((SeriesId(self.series as u64), TimestampMs(self.at), TimestampMs(self.start)))
    }
}

/// The newest time in a batch, for retention.
pub(crate) fn newest(batch: &SeriesBatch) -> i64 {
    let points = batch.points.iter().map(|point| point.at.0).max();
    let histograms = batch.histograms.iter().map(|point| point.at.0).max();
    points.max(histograms).unwrap_or(i64::MIN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use model::sample::NativeHistogram;

    use super::*;

    proptest! {
        #[test]
        fn a_batch_is_read_back(
            points in prop::collection::vec((any::<u32>(), any::<i64>(), any::<i64>(), any::<u64>()), 0..20),
        ) {
            let batch = SeriesBatch {
                points: points
                    .into_iter()
                    .map(|(id, at, start, bits)| FloatPoint {
                        series: SeriesId(u64::from(id)),
                        at: TimestampMs(at),
                        start: TimestampMs(start),
                        value: f64::from_bits(bits),
                    })
                    .collect(),
                histograms: vec![HistogramPoint {
                    series: SeriesId(3),
                    at: TimestampMs(-5),
                    start: TimestampMs(9),
                    histogram: NativeHistogram {
                        schema: -4,
                        positive: vec![(-3, 1.0), (7, 2.0)],
                        custom_bounds: vec![0.5],
                        ..Default::default()
                    },
                }],
                exemplars: vec![],
            };
            let labels = Labels::from_pairs([("__name__", "up"), ("a", "b")]);
            let metadata = vec![("up".to_owned(), MetricMetadata { kind: MetricKind::Gauge, ..Default::default() })];
            let mut series = NewSeries::default();
            series.push(1, &labels.iter().collect::<Vec<_>>());
            let bytes = with_news(7, &series, &metadata, encode_batch(&batch));
            let decoded = decode(&bytes).unwrap();
            prop_assert_eq!(decoded.sequence, 7);
            prop_assert_eq!(decoded.series, vec![(1, labels)]);
            prop_assert_eq!(decoded.metadata, metadata);
            prop_assert_eq!(decoded.batch.histograms, batch.histograms);
            prop_assert_eq!(decoded.batch.points.len(), batch.points.len());
            for (a, b) in decoded.batch.points.iter().zip(&batch.points) {
                prop_assert_eq!((a.series, a.at, a.start, a.value.to_bits()), (b.series, b.at, b.start, b.value.to_bits()));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            decode(&bytes).ok();
        }
    }
}
