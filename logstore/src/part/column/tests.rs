//! Columns come back as they were written.

use proptest::prelude::*;

use disk::codec::Reader;

use super::*;
use crate::part::frames::{FrameWriter, Place};

/// Keeps nothing.
pub(crate) struct NoIndex;

impl Indexing for NoIndex {
    fn id(&mut self, _: &[u8]) {}

    fn texts(&mut self, _: &mut dyn Iterator<Item = &[u8]>) -> bool {
        false
    }
}

fn stored(values: &[&[u8]]) -> (Entry, Column) {
    let mut frames = FrameWriter::new().unwrap();
    let mut header = Vec::new();
    let column = Values {
        texts: values,
        rows: None,
        times: &vec![0; values.len()],
        fields: &[],
        templates: &[],
    };
    let mut encoder = Encoder::default();
    encoder.encode(&column, &mut frames, &mut NoIndex, &mut header).unwrap();
    let mut told = Vec::new();
    encoder.dictionaries.put(&mut told);
    let dictionaries = read_dictionaries(&mut Reader::new(&told)).unwrap();
    let entry = Entry::read(&mut Reader::new(&header), &dictionaries).unwrap();
    let (frames, body) = frames.finish().unwrap();
    let bytes_at = |place: Place| {
        let frame = frames[place.frame as usize];
        let stored = body[frame.offset as usize..][..frame.stored].to_vec();
        frame.unpack(stored).unwrap()[place.offset as usize..][..place.length as usize].to_vec()
    };
    let bytes = entry.place().map(bytes_at).unwrap_or_default();
    let numbers = entry.numbers_place().map(bytes_at).unwrap_or_default();
    let column = entry.decode(&bytes, &numbers, values.len(), &|_| 0).unwrap();
    (entry, column)
}

fn check(values: &[&[u8]], needle: &[u8]) {
    let (entry, column) = stored(values);
    assert_eq!(column.len(), values.len());
    for (at, value) in values.iter().enumerate() {
        let mut out = Vec::new();
        column.append(at, &mut out);
        assert_eq!(out, *value, "{column:?}");
    }
    for spot in [Spot::Inside, Spot::Start, Spot::End, Spot::Whole] {
        let found: Vec<usize> = column.find(spot, needle).iter().collect();
        let naive: Vec<usize> =
            (0..values.len()).filter(|at| spot.holds(values[*at], needle)).collect();
        assert_eq!(found, naive, "{spot:?} {needle:?} {column:?}");
        assert!(naive.is_empty() || entry.may_hold(spot, needle, true, &|_| true));
    }
    let every_second: Vec<&[u8]> = values.iter().step_by(2).copied().collect();
    let gathered = column.gather((0..values.len()).step_by(2));
    for (at, value) in every_second.iter().enumerate() {
        let mut out = Vec::new();
        gathered.append(at, &mut out);
        assert_eq!(out, *value);
    }
    let accepts = |value: &[u8]| value.len().is_multiple_of(2);
    let found: Vec<usize> = column.accepted(accepts).iter().collect();
    let naive: Vec<usize> = (0..values.len()).filter(|at| accepts(values[*at])).collect();
    assert_eq!(found, naive);
}

proptest! {
    #[test]
    fn values_come_back_and_are_found(
        kind in 0usize..7,
        seeds in prop::collection::vec(any::<u64>(), 1..400),
        cut in any::<(usize, usize)>(),
    ) {
        let values: Vec<Vec<u8>> = seeds.iter().map(|seed| match kind {
            0 => b"same".to_vec(),
            1 => format!("v{}", seed % 7).into_bytes(),
            2 => format!("{seed}").into_bytes(),
            3 => format!("id-{seed:016x}{:016x}", seed.wrapping_mul(31)).into_bytes(),
            4 => format!("{}.{}.{}.{}", seed % 256, seed % 10, seed % 100, seed % 7).into_bytes(),
            5 => {
                let (day, second, fraction) = (seed % 28 + 1, seed % 60, seed % 1000);
                format!("2026-11-{day:02}T10:00:{second:02}.{fraction:03}Z").into_bytes()
            }
            _ => seed.to_le_bytes()[..(seed % 9) as usize].to_vec(),
        }).collect();
        let slices: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let from = slices[cut.0 % slices.len()];
        let start = if from.is_empty() { 0 } else { cut.1 % from.len() };
        check(&slices, &from[start..]);
        check(&slices, &from[..start]);
        check(&slices, b"absent");
        check(&slices, from.get(3 + start / 8..(start + 9).min(from.len())).unwrap_or(b"0"));
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        header: Vec<u8>, bytes: Vec<u8>, numbers: Vec<u8>, rows in 0usize..100,
    ) {
        let entry = Entry::read(&mut Reader::new(&header), &[]);
        if let Ok(column) = entry.and_then(|entry| entry.decode(&bytes, &numbers, rows, &|_| 0)) {
            column.find(Spot::Inside, b"a");
            column.append(rows, &mut Vec::new());
        }
    }
}
