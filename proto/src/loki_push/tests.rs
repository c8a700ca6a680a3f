//! The walkers against prost: they say the same, and take no request that prost refuses.

use proptest::prelude::*;
use prost::Message as _;

use super::messages::{EntryAdapter, LabelPairAdapter, PushRequest, StreamAdapter, Timestamp};
use super::*;

type Result<T> = std::result::Result<T, DecodeError>;

fn rebuild(bytes: &[u8]) -> Result<PushRequest> {
    let pair = |pair: Result<MetadataRef<'_>>| {
        let pair = pair?;
        Ok(LabelPairAdapter { name: pair.name.to_owned(), value: pair.value.to_owned() })
    };
    let entry = |entry: Result<EntryRef<'_>>| {
        let entry = entry?;
        let TimestampRef { seconds, nanos } = entry.timestamp;
        Ok(EntryAdapter {
            timestamp: Some(Timestamp { seconds, nanos }),
            line: entry.line.to_vec(),
            structured_metadata: entry.metadata().map(pair).collect::<Result<_>>()?,
        })
    };
    let stream = |stream: Result<StreamRef<'_>>| {
        let stream = stream?;
        let entries = stream.entries().map(entry).collect::<Result<_>>()?;
        Ok(StreamAdapter { labels: stream.labels.to_owned(), entries, hash: 0 })
    };
    let streams = PushRef::new(bytes).streams().map(stream).collect::<Result<_>>()?;
    Ok(PushRequest { streams })
}

fn requests() -> impl Strategy<Value = PushRequest> {
    let pair = ("[a-z]{0,3}", ".{0,4}").prop_map(|(name, value)| LabelPairAdapter { name, value });
    let time = (any::<i64>(), any::<i32>());
    let line = prop::collection::vec(any::<u8>(), 0..8);
    let entry = (time, line, prop::collection::vec(pair, 0..3)).prop_map(
        |((seconds, nanos), line, structured_metadata)| EntryAdapter {
            timestamp: Some(Timestamp { seconds, nanos }),
            line,
            structured_metadata,
        },
    );
    let stream = (".{0,8}", prop::collection::vec(entry, 0..4), any::<u64>())
        .prop_map(|(labels, entries, hash)| StreamAdapter { labels, entries, hash });
    prop::collection::vec(stream, 0..4).prop_map(|streams| PushRequest { streams })
}

proptest! {
    #[test]
    fn a_request_says_what_was_encoded(mut request in requests()) {
        let found = rebuild(&request.encode_to_vec()).unwrap();
        request.streams.iter_mut().for_each(|stream| stream.hash = 0);
        prop_assert_eq!(found, request);
    }

    #[test]
    fn what_prost_refuses_is_refused(
        request in requests(),
        at: prop::sample::Index,
        byte: u8,
        cut: bool,
    ) {
        let mut bytes = request.encode_to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if cut {
                bytes.truncate(at);
            }
        }
        if PushRequest::decode(&*bytes).is_err() {
            prop_assert!(rebuild(&bytes).is_err());
        } else {
            rebuild(&bytes).ok();
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        rebuild(&bytes).ok();
    }
}

#[test]
fn times_beyond_what_nanoseconds_can_tell_have_none() {
    let at = |seconds, nanos| TimestampRef { seconds, nanos }.unix_nanos();
    assert_eq!(at(1, 5), Some(1_000_000_005));
    assert_eq!(at(-1, 0), Some(-1_000_000_000));
    assert_eq!(at(i64::MAX, 0), None);
    assert_eq!(at(9_223_372_036, i32::MAX), None);
}
