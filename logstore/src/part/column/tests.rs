use proptest::prelude::*;

use super::*;
use crate::part::frames::FrameWriter;

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
    Encoder::default().encode(values, &mut frames, &mut NoIndex, &mut header).unwrap();
    let entry = Entry::read(&mut Reader::new(&header)).unwrap();
    let (frames, body) = frames.finish().unwrap();
    let bytes = entry.place().map_or(Vec::new(), |place| {
        let frame = frames[place.frame as usize];
        let stored = body[frame.offset as usize..][..frame.stored].to_vec();
        frame.unpack(stored).unwrap()[place.offset as usize..][..place.length as usize].to_vec()
    });
    let column = entry.decode(&bytes, values.len()).unwrap();
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
    let accepts = |value: &[u8]| value.len() % 2 == 0;
    let found: Vec<usize> = column.accepted(accepts).iter().collect();
    let naive: Vec<usize> = (0..values.len()).filter(|at| accepts(values[*at])).collect();
    assert_eq!(found, naive);
}

proptest! {
    #[test]
    fn values_come_back_and_are_found(
        kind in 0usize..6,
        seeds in prop::collection::vec(any::<u64>(), 1..400),
        cut in any::<(usize, usize)>(),
    ) {
        let values: Vec<Vec<u8>> = seeds.iter().map(|seed| match kind {
            0 => b"same".to_vec(),
            1 => format!("v{}", seed % 7).into_bytes(),
            2 => format!("{seed}").into_bytes(),
            3 => format!("id-{seed:016x}{:016x}", seed.wrapping_mul(31)).into_bytes(),
            4 => format!("{}.{}.{}.{}", seed % 256, seed % 10, seed % 100, seed % 7).into_bytes(),
            _ => seed.to_le_bytes()[..(seed % 9) as usize].to_vec(),
        }).collect();
        let slices: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let from = slices[cut.0 % slices.len()];
        let start = if from.is_empty() { 0 } else { cut.1 % from.len() };
        check(&slices, &from[start..]);
        check(&slices, &from[..start]);
        check(&slices, b"absent");
    }

    #[test]
    fn arbitrary_bytes_never_panic(header: Vec<u8>, bytes: Vec<u8>, rows in 0usize..100) {
        if let Ok(entry) = Entry::read(&mut Reader::new(&header)) {
            if let Ok(column) = entry.decode(&bytes, rows) {
                column.find(Spot::Inside, b"a");
                column.append(rows, &mut Vec::new());
            }
        }
    }
}
