//! `prometheus.WriteRequest`: every series spells its labels out.

use super::{HistogramRef, SampleRef};
use crate::wire::{
    DecodeError, Message, Messages, Occurrences, Reader, delimited, fixed64, known, varint,
};

/// The bytes of a `prometheus.WriteRequest`.
#[derive(Debug, Clone, Copy)]
pub struct WriteRef<'a> {
    request: Reader<'a>,
}

impl<'a> WriteRef<'a> {
    /// Wraps the bytes; nothing is read yet.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { request: Reader::new(bytes) }
    }

    /// The series in order.
    pub fn timeseries(&self) -> Messages<'a, SeriesRef<'a>> {
        Messages::unchecked(self.request, 1)
    }

    /// What metric families are.
    pub fn metadata(&self) -> Messages<'a, SeriesMetadataRef<'a>> {
        Messages::unchecked(self.request, 3)
    }
}

/// `TimeSeries`: labels and samples.
#[derive(Debug, Clone, Copy)]
pub struct SeriesRef<'a> {
    labels: Messages<'a, LabelRef<'a>>,
    samples: Messages<'a, SampleRef>,
    exemplars: Messages<'a, SeriesExemplarRef<'a>>,
    histograms: Messages<'a, HistogramRef<'a>>,
}

impl<'a> SeriesRef<'a> {
    /// The labels in order.
    #[inline]
    pub fn labels(&self) -> Messages<'a, LabelRef<'a>> {
        self.labels
    }

    /// The labels in order, not checked to be text.
    #[inline]
    pub fn raw_labels(&self) -> Messages<'a, RawLabelRef<'a>> {
        self.labels.as_other()
    }

    /// The float samples in order.
    #[inline]
    pub fn samples(&self) -> Messages<'a, SampleRef> {
        self.samples
    }

    /// The exemplars in order.
    #[inline]
    pub fn exemplars(&self) -> Messages<'a, SeriesExemplarRef<'a>> {
        self.exemplars
    }

    /// The native histograms in order.
    #[inline]
    pub fn histograms(&self) -> Messages<'a, HistogramRef<'a>> {
        self.histograms
    }
}

impl<'a> Message<'a> for SeriesRef<'a> {
    const NAME: &'static str = "time_series";

    #[inline]
    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const LABELS: u32 = delimited(1);
        const SAMPLES: u32 = delimited(2);
        const EXEMPLARS: u32 = delimited(3);
        const HISTOGRAMS: u32 = delimited(4);
        const KNOWN: u64 = known(&[1, 2, 3, 4]);

        let mut reader = message;
        let mut labels = Occurrences::default();
        let mut samples = Occurrences::default();
        let mut exemplars = Occurrences::default();
        let mut histograms = Occurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                LABELS => labels.pass(field, &mut reader, "labels")?,
                SAMPLES => samples.pass(field, &mut reader, "samples")?,
                EXEMPLARS => exemplars.pass(field, &mut reader, "exemplars")?,
                HISTOGRAMS => histograms.pass(field, &mut reader, "histograms")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(Self {
            labels: Messages::new(message, 1, labels),
            samples: Messages::new(message, 2, samples),
            exemplars: Messages::new(message, 3, exemplars),
            histograms: Messages::new(message, 4, histograms),
        })
    }
}

/// `Label`: a name and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LabelRef<'a> {
    /// The name, possibly empty.
    pub name: &'a str,
    /// The value, possibly empty.
    pub value: &'a str,
}

impl<'a> Message<'a> for LabelRef<'a> {
    const NAME: &'static str = "label";

    #[inline]
    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const LABEL_NAME: u32 = delimited(1);
        const VALUE: u32 = delimited(2);
        const KNOWN: u64 = known(&[1, 2]);

        // The form every encoder writes: a name, then a value, and nothing else.
        if let Some((name, value)) = message.two_short_texts(LABEL_NAME, VALUE) {
            return Ok(LabelRef { name, value });
        }
        let mut reader = message;
        let mut label = LabelRef::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                LABEL_NAME => label.name = reader.text("name")?,
                VALUE => label.value = reader.text("value")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(label)
    }
}

/// `Label` before anybody knows that it is text: for a look whether it is what is known already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RawLabelRef<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

impl<'a> Message<'a> for RawLabelRef<'a> {
    const NAME: &'static str = "label";

    #[inline]
    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        // Any other form is a label of no known series, and is read and checked as text.
        let (name, value) = message.two_short_bytes(delimited(1), delimited(2)).unwrap_or_default();
        Ok(RawLabelRef { name, value })
    }
}

/// `Exemplar` with labels spelled out.
#[derive(Debug, Clone, Copy)]
pub struct SeriesExemplarRef<'a> {
    /// The observed value.
    pub value: f64,
    /// When, in Unix milliseconds.
    pub timestamp_ms: i64,
    labels: Messages<'a, LabelRef<'a>>,
}

impl<'a> SeriesExemplarRef<'a> {
    /// The labels in order.
    pub fn labels(&self) -> Messages<'a, LabelRef<'a>> {
        self.labels
    }
}

impl<'a> Message<'a> for SeriesExemplarRef<'a> {
    const NAME: &'static str = "exemplar";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const LABELS: u32 = delimited(1);
        const VALUE: u32 = fixed64(2);
        const TIMESTAMP: u32 = varint(3);
        const KNOWN: u64 = known(&[1, 2, 3]);

        let mut reader = message;
        let mut labels = Occurrences::default();
        let (mut value, mut timestamp_ms) = (0.0, 0);
        while let Some(field) = reader.next_field()? {
            match field.key {
                LABELS => labels.pass(field, &mut reader, "labels")?,
                VALUE => value = reader.double("value")?,
                TIMESTAMP => timestamp_ms = reader.varint("timestamp")? as i64,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(Self { value, timestamp_ms, labels: Messages::new(message, 1, labels) })
    }
}

/// `MetricMetadata`: what a metric family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeriesMetadataRef<'a> {
    /// `MetricType`, unchecked.
    pub kind: i32,
    /// The family's name.
    pub family: &'a str,
    /// A sentence for people.
    pub help: &'a str,
    /// The unit.
    pub unit: &'a str,
}

impl<'a> Message<'a> for SeriesMetadataRef<'a> {
    const NAME: &'static str = "metric_metadata";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const TYPE: u32 = varint(1);
        const METRIC_FAMILY_NAME: u32 = delimited(2);
        const HELP: u32 = delimited(4);
        const UNIT: u32 = delimited(5);
        const KNOWN: u64 = known(&[1, 2, 4, 5]);

        let mut reader = message;
        let mut metadata = SeriesMetadataRef::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                TYPE => metadata.kind = reader.int32("type")?,
                METRIC_FAMILY_NAME => metadata.family = reader.text("metric_family_name")?,
                HELP => metadata.help = reader.text("help")?,
                UNIT => metadata.unit = reader.text("unit")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(metadata)
    }
}
