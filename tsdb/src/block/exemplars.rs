//! Exemplars of one series, compressed with those of its neighbours and read only when asked for.

use disk::codec::{Reader, put_f64, put_i64, put_str, put_u64};
use model::TimestampMs;
use model::labels::Labels;
use model::sample::Exemplar;

/// The exemplars as bytes; how many is told elsewhere.
pub(super) fn encode(exemplars: &[Exemplar]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut last = 0;
    for exemplar in exemplars {
        put_i64(&mut bytes, exemplar.at.0.wrapping_sub(last));
        last = exemplar.at.0;
        put_f64(&mut bytes, exemplar.value);
        put_u64(&mut bytes, exemplar.labels.len() as u64);
        for (name, value) in exemplar.labels.iter() {
            put_str(&mut bytes, name);
            put_str(&mut bytes, value);
        }
    }
    bytes
}

/// What [`encode`] wrote; `None` if the bytes are something else.
pub(super) fn decode(bytes: &[u8], count: usize) -> Option<Vec<Exemplar>> {
    let mut reader = Reader::new(bytes);
    let mut found = Vec::with_capacity(count.min(bytes.len()));
    let mut last = 0i64;
    for _ in 0..count {
        last = last.wrapping_add(reader.i64().ok()?);
        let value = reader.f64().ok()?;
        let mut pairs = Vec::new();
        for _ in 0..reader.count().ok()? {
            pairs.push((reader.str().ok()?, reader.str().ok()?));
        }
        let at = TimestampMs(last);
        found.push(Exemplar { labels: Labels::from_pairs(pairs), value, at });
    }
    reader.is_at_end().then_some(found)
}
