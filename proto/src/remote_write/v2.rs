//! `io.prometheus.write.v2.Request`: texts are told once, and referred to by their place.

use super::{HistogramRef, SampleRef};
use crate::wire::{
    DecodeError, Message, Messages, Occurrences, Problem, Reader, Scalar, ScalarOccurrences,
    Scalars, delimited, fixed64, known, varint,
};

/// The bytes of an `io.prometheus.write.v2.Request`.
#[derive(Debug, Clone, Copy)]
pub struct SymbolWriteRef<'a> {
    request: Reader<'a>,
}

impl<'a> SymbolWriteRef<'a> {
    /// Wraps the bytes; nothing is read yet.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { request: Reader::new(bytes) }
    }

    /// The texts that the rest of the request refers to.
    pub fn symbols(&self) -> impl Iterator<Item = Result<&'a str, DecodeError>> + use<'a> {
        const SYMBOLS: u32 = delimited(4);

        let mut reader = self.request;
        let mut next = move || -> Result<Option<&'a str>, DecodeError> {
            while let Some(field) = reader.next_field()? {
                match field.key {
                    SYMBOLS => return reader.text("symbols").map(Some),
                    _ => reader.skip(field, known(&[4]))?,
                }
            }
            Ok(None)
        };
        let mut is_broken = false;
        std::iter::from_fn(move || {
            if is_broken {
                return None;
            }
            let found = next().map_err(|error| error.within("request"));
            is_broken = found.is_err();
            found.transpose()
        })
    }

    /// The series in order.
    pub fn timeseries(&self) -> Messages<'a, SymbolSeriesRef<'a>> {
        Messages::unchecked(self.request, 5)
    }
}

impl Scalar for u32 {
    const WIRE_TYPE: u32 = 0;

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.uint32("")
    }
}

/// Places in the request's symbols: name, value, name, value.
#[derive(Debug, Clone, Copy)]
pub struct SymbolRefs<'a>(Scalars<'a, u32>);

impl<'a> SymbolRefs<'a> {
    /// How many there are; an odd number is no list of labels.
    #[inline]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The places in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.0
    }
}

/// `TimeSeries`: labels, and samples or histograms.
#[derive(Debug, Clone, Copy)]
pub struct SymbolSeriesRef<'a> {
    /// The labels.
    pub labels: SymbolRefs<'a>,
    /// What the series' metric is.
    pub metadata: SymbolMetadataRef,
    samples: Messages<'a, SampleRef>,
    histograms: Messages<'a, HistogramRef<'a>>,
    exemplars: Messages<'a, SymbolExemplarRef<'a>>,
}

impl<'a> SymbolSeriesRef<'a> {
    /// The float samples in order.
    #[inline]
    pub fn samples(&self) -> Messages<'a, SampleRef> {
        self.samples
    }

    /// The native histograms in order.
    #[inline]
    pub fn histograms(&self) -> Messages<'a, HistogramRef<'a>> {
        self.histograms
    }

    /// The exemplars in order.
    #[inline]
    pub fn exemplars(&self) -> Messages<'a, SymbolExemplarRef<'a>> {
        self.exemplars
    }
}

impl<'a> Message<'a> for SymbolSeriesRef<'a> {
    const NAME: &'static str = "time_series";

    #[inline]
    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const LABELS_REFS: u32 = delimited(1);
        const LABELS_REF: u32 = varint(1);
        const SAMPLES: u32 = delimited(2);
        const HISTOGRAMS: u32 = delimited(3);
        const EXEMPLARS: u32 = delimited(4);
        const METADATA: u32 = delimited(5);
        const KNOWN: u64 = known(&[1, 2, 3, 4, 5]);

        let mut reader = message;
        let mut labels = ScalarOccurrences::default();
        let mut samples = Occurrences::default();
        let mut histograms = Occurrences::default();
        let mut exemplars = Occurrences::default();
        let mut metadata = None;
        while let Some(field) = reader.next_field()? {
            match field.key {
                LABELS_REFS => labels.pass_packed::<u32>(field, &mut reader, "labels_refs")?,
                LABELS_REF => labels.pass_single::<u32>(field, &mut reader, "labels_refs")?,
                SAMPLES => samples.pass(field, &mut reader, "samples")?,
                HISTOGRAMS => histograms.pass(field, &mut reader, "histograms")?,
                EXEMPLARS => exemplars.pass(field, &mut reader, "exemplars")?,
                METADATA => {
                    if metadata.is_some() {
                        return Err(DecodeError::new(field.start, "metadata", Problem::Repeated));
                    }
                    metadata = Some(SymbolMetadataRef::read(reader.message("metadata")?)?);
                }
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(Self {
            labels: SymbolRefs(Scalars::new(message, 1, labels)),
            metadata: metadata.unwrap_or_default(),
            samples: Messages::new(message, 2, samples),
            histograms: Messages::new(message, 3, histograms),
            exemplars: Messages::new(message, 4, exemplars),
        })
    }
}

/// `Metadata`: what a series' metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SymbolMetadataRef {
    /// `MetricType`, unchecked.
    pub kind: i32,
    /// Where the help text is among the symbols.
    pub help: u32,
    /// Where the unit is among the symbols.
    pub unit: u32,
}

impl<'a> Message<'a> for SymbolMetadataRef {
    const NAME: &'static str = "metadata";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const TYPE: u32 = varint(1);
        const HELP_REF: u32 = varint(3);
        const UNIT_REF: u32 = varint(4);
        const KNOWN: u64 = known(&[1, 3, 4]);

        let mut reader = message;
        let mut metadata = SymbolMetadataRef::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                TYPE => metadata.kind = reader.int32("type")?,
                HELP_REF => metadata.help = reader.uint32("help_ref")?,
                UNIT_REF => metadata.unit = reader.uint32("unit_ref")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(metadata)
    }
}

/// `Exemplar` with labels among the symbols.
#[derive(Debug, Clone, Copy)]
pub struct SymbolExemplarRef<'a> {
    /// The labels.
    pub labels: SymbolRefs<'a>,
    /// The observed value.
    pub value: f64,
    /// When, in Unix milliseconds.
    pub timestamp_ms: i64,
}

impl<'a> Message<'a> for SymbolExemplarRef<'a> {
    const NAME: &'static str = "exemplar";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const LABELS_REFS: u32 = delimited(1);
        const LABELS_REF: u32 = varint(1);
        const VALUE: u32 = fixed64(2);
        const TIMESTAMP: u32 = varint(3);
        const KNOWN: u64 = known(&[1, 2, 3]);

        let mut reader = message;
        let mut labels = ScalarOccurrences::default();
        let (mut value, mut timestamp_ms) = (0.0, 0);
        while let Some(field) = reader.next_field()? {
            match field.key {
                LABELS_REFS => labels.pass_packed::<u32>(field, &mut reader, "labels_refs")?,
                LABELS_REF => labels.pass_single::<u32>(field, &mut reader, "labels_refs")?,
                VALUE => value = reader.double("value")?,
                TIMESTAMP => timestamp_ms = reader.varint("timestamp")? as i64,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        let labels = SymbolRefs(Scalars::new(message, 1, labels));
        Ok(Self { labels, value, timestamp_ms })
    }
}
