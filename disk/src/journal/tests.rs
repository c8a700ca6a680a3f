//! The journal against a naive twin: a list of what was appended.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::faults::Faults;

type Records = Vec<(u8, Vec<u8>)>;

fn open_with(dir: &Path, options: JournalOptions) -> (Journal, Recovery, Records) {
    let mut records = Vec::new();
    let (journal, recovery) = Journal::open(dir, options, &mut |replayed| {
        assert_eq!(replayed.number, records.len() as u64);
        records.push((replayed.kind, replayed.payload.to_vec()));
        Ok(i64::from(replayed.kind))
    })
    .unwrap();
    (journal, recovery, records)
}

fn open(dir: &Path) -> (Journal, Recovery, Records) {
    open_with(dir, JournalOptions { segment_bytes_max: 200, ..Default::default() })
}

fn append(journal: &Journal, kind: u8, payload: &[u8]) -> model::Result<()> {
    let (_, commit) = journal.append(kind, Arc::new(payload.to_vec()), i64::from(kind))?;
    commit.wait()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn records_come_back_in_order_over_segments_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for run in 0..3u8 {
        let (journal, recovery, records) = open(dir.path());
        assert_eq!((records, recovery.torn_bytes), (expected.clone(), 0));
        assert!(recovery.corrupt.is_empty());
        for i in 0..20u8 {
            append(&journal, run, &[i; 30]).unwrap();
            expected.push((run, vec![i; 30]));
        }
    }
    assert!(segments(dir.path()).len() > 3);
}

#[test]
fn appends_that_wait_together_share_an_fsync() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open_with(dir.path(), JournalOptions::default());
    let commits: Vec<_> = (0..1000u32)
        .map(|i| journal.append(0, Arc::new(vec![0; 10]), i64::from(i)).unwrap())
        .collect();
    let numbers: Vec<_> = commits.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    for (_, commit) in commits {
        commit.wait().unwrap();
    }
    let stats = journal.stats();
    assert_eq!(stats.records, 1000);
    assert!(stats.syncs < 500, "{stats:?}");
}

#[test]
fn a_flipped_byte_in_the_middle_is_reported_with_file_and_offset_and_the_rest_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    for i in 0..20u8 {
        append(&journal, i, &[i; 30]).unwrap();
    }
    drop(journal);
    let damaged = segments(dir.path())[1].clone();
    let mut bytes = std::fs::read(&damaged).unwrap();
    let offset = segment::HEADER_BYTES + segment::RECORD_HEADER_BYTES + 3;
    bytes[offset] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();

    let (_, recovery, records) = open(dir.path());
    assert_eq!(records.len(), 19);
    assert_eq!(recovery.corrupt.len(), 1);
    let corrupt = &recovery.corrupt[0];
    assert_eq!((&corrupt.path, corrupt.offset), (&damaged, segment::HEADER_BYTES as u64));
    assert_eq!(corrupt.bytes, 46);
}

#[test]
fn old_segments_are_dropped_and_stay_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    for i in 0..20u8 {
        append(&journal, i, &[i; 30]).unwrap();
    }
    let second = journal.closed_segments()[1].clone();
    assert!(second.newest >= 1);
    journal.drop_records_before(second.records_end).unwrap();
    drop(journal);
    let (_, _, records) = open(dir.path());
    assert_eq!(records.len() as u64, 20 - second.records_end);
    assert_eq!(records.last().unwrap().0, 19);
}

#[test]
fn a_failed_fsync_poisons_the_journal_and_what_was_acknowledged_stays() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let options = JournalOptions { files: faults.files(), ..Default::default() };
    let (journal, ..) = open_with(dir.path(), options);
    append(&journal, 1, b"kept").unwrap();
    faults.fail_syncs();
    let error = append(&journal, 2, b"lost").unwrap_err();
    assert_eq!(error.kind(), model::ErrorKind::Unavailable);
    assert!(journal.poisoned().unwrap().contains("injected"));
    let error = append(&journal, 3, b"refused").unwrap_err();
    assert!(error.message().contains("takes no more writes"), "{error}");
    drop(journal);
    let (.., records) = open(dir.path());
    assert_eq!(records[0], (1, b"kept".to_vec()));
}

#[test]
fn a_short_write_poisons_and_loses_nothing_acknowledged() {
    for room in 0..120 {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::default();
        let options = JournalOptions { files: faults.files(), ..Default::default() };
        let (journal, ..) = open_with(dir.path(), options);
        append(&journal, 1, b"kept").unwrap();
        faults.short_write_after(room);
        let mut acknowledged: Records = vec![(1, b"kept".to_vec())];
        for i in 0..4u8 {
            if append(&journal, i, &[i; 10]).is_ok() {
                acknowledged.push((i, vec![i; 10]));
            }
        }
        assert!(journal.poisoned().is_some() || room >= 104);
        drop(journal);
        let (_, recovery, records) = open(dir.path());
        assert_eq!(records, acknowledged, "room {room}");
        assert!(recovery.corrupt.is_empty());
    }
}

#[test]
fn a_full_disk_refuses_until_there_is_room_and_keeps_what_the_store_holds() {
    for room in [0, 1, 15, 16, 20, 26, 40, 52] {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::default();
        let options = JournalOptions { files: faults.files(), ..Default::default() };
        let (journal, ..) = open_with(dir.path(), options);
        append(&journal, 1, b"kept").unwrap();
        faults.disk_full_after(room);
        let mut expected: Records = vec![(1, b"kept".to_vec())];
        for i in 2..5u8 {
            let (_, commit) = match journal.append(i, Arc::new(vec![i; 10]), 0) {
                Ok(queued) => queued,
                Err(error) => {
                    assert!(error.to_string().contains("is full"), "{error}");
                    assert_eq!(error.kind(), model::ErrorKind::Unavailable);
                    continue;
                }
            };
            // Queued, so the store holds it: it must come to the disk in the end.
            expected.push((i, vec![i; 10]));
            if let Err(error) = commit.wait() {
                assert!(error.message().contains("is full"), "{error}");
            }
        }
        assert!(journal.poisoned().is_none());
        faults.free_disk();
        let mut tries = 0;
        while append(&journal, 9, b"after").is_err() {
            tries += 1;
            assert!(tries < 10_000_000, "the journal never noticed the room");
            std::thread::yield_now();
        }
        expected.push((9, b"after".to_vec()));
        drop(journal);
        let (_, recovery, mut records) = open(dir.path());
        // Tries that were queued while there was no room.
        records.dedup();
        assert_eq!(records, expected, "room {room}");
        assert!(recovery.corrupt.is_empty() && recovery.torn_bytes == 0);
    }
}

#[test]
fn a_rolled_segment_can_be_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open_with(dir.path(), JournalOptions::default());
    append(&journal, 1, b"old").unwrap();
    let next = journal.next_record();
    journal.roll();
    append(&journal, 2, b"new").unwrap();
    append(&journal, 3, b"newer").unwrap();
    assert_eq!(journal.closed_segments().len(), 1);
    journal.drop_records_before(next).unwrap();
    drop(journal);
    let (_, _, records) = open(dir.path());
    assert_eq!(records.last(), Some(&(3, b"newer".to_vec())));
    // The writer may have put the second record into the segment that it closed.
    assert!(records.len() <= 2 || records[0].0 == 1, "{records:?}");
}

#[test]
fn what_is_appended_before_the_replay_stands_behind_it_and_a_torn_tail_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open_with(dir.path(), JournalOptions::default());
    append(&journal, 1, b"old").unwrap();
    append(&journal, 2, b"torn").unwrap();
    drop(journal);
    let last = segments(dir.path()).pop().unwrap();
    let length = std::fs::metadata(&last).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&last).unwrap().set_len(length - 1).unwrap();
    let begin = || Journal::begin(dir.path(), JournalOptions::default(), 7).unwrap();
    // A start that dies before it replays anything.
    let (journal, earlier) = begin();
    assert_eq!(earlier.next_segment(), 7);
    append(&journal, 3, b"new").unwrap();
    drop(journal);
    let (journal, earlier) = begin();
    append(&journal, 4, b"newer").unwrap();
    let next = journal.next_record();
    journal.roll();
    append(&journal, 5, b"newest").unwrap();
    let mut kinds = Vec::new();
    let recovery = journal.replay(earlier, &mut |replayed| {
        kinds.push(replayed.kind);
        Ok(0)
    });
    assert_eq!(recovery.unwrap(), Recovery { records: 2, ..Default::default() });
    assert_eq!(kinds, [1, 3]);
    let closed = journal.closed_segments();
    let numbers: Vec<u64> = closed.iter().map(|segment| segment.number).collect();
    assert_eq!(numbers, [1, 7, 8]);
    assert!(closed[1].records_end < next && next <= closed[2].records_end, "{closed:?}");
    drop(journal);
    let (_, recovery, records) = open(dir.path());
    assert_eq!(records.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [1, 3, 4, 5]);
    assert!(recovery.corrupt.is_empty());
}

#[test]
fn a_queue_over_its_bound_refuses_with_a_retryable_error() {
    let queue = Queue::new(0);
    let push = || {
        let (promise, commit) = Commit::pending();
        drop(commit);
        let payload = Arc::new(vec![0; 100]);
        let promise = Some(promise);
        queue.push(Queued { kind: 0, checksum: 0, payload, newest: 0, promise }, 150)
    };
    assert!(push().is_ok());
    assert!(matches!(push(), Err(writer::Refused::Full { queued_bytes: 116 })));
}

#[test]
fn a_store_far_over_its_limit_is_refused_only_when_room_can_be_made() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    assert!(journal.check_room(1000, 100).is_ok(), "nothing can be dropped yet");
    append(&journal, 0, &[0; 300]).unwrap();
    assert!(journal.check_room(200, 100).is_ok());
    let error = model::Error::from(journal.check_room(202, 100).unwrap_err());
    assert_eq!(error.kind(), model::ErrorKind::Unavailable);
    assert!(error.message().contains("202 bytes, its limit is 100"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_journal_cut_at_any_byte_keeps_every_record_before_the_cut(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (journal, ..) = open_with(dir.path(), JournalOptions::default());
        let mut ends = Vec::new();
        let mut end = segment::HEADER_BYTES;
        for payload in &payloads {
            append(&journal, 7, payload).unwrap();
            end += segment::RECORD_HEADER_BYTES + payload.len();
            ends.push(end);
        }
        drop(journal);
        let path = segments(dir.path())[0].clone();
        let bytes = std::fs::read(&path).unwrap();
        prop_assert_eq!(bytes.len(), end);
        let cut = cut.index(bytes.len());
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let whole = ends.iter().filter(|end| **end <= cut).count();

        let (journal, recovery, records) = open_with(dir.path(), JournalOptions::default());
        prop_assert_eq!(records.len(), whole);
        prop_assert!(records.iter().zip(&payloads).all(|(record, payload)| &record.1 == payload));
        prop_assert!(recovery.corrupt.is_empty());
        append(&journal, 8, b"after").unwrap();
        drop(journal);
        let (_, recovery, records) = open_with(dir.path(), JournalOptions::default());
        prop_assert_eq!((records.len(), recovery.torn_bytes), (whole + 1, 0));
    }

    #[test]
    fn a_flip_of_any_bit_is_detected_and_spares_the_other_records(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 2..8),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (journal, ..) = open_with(dir.path(), JournalOptions::default());
        for payload in &payloads {
            append(&journal, 7, payload).unwrap();
        }
        drop(journal);
        let path = segments(dir.path())[0].clone();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        std::fs::write(&path, &bytes).unwrap();
        let (_, recovery, records) = open_with(dir.path(), JournalOptions::default());
        let lost = payloads.len() - records.len();
        prop_assert_eq!(lost, usize::from(at >= segment::HEADER_BYTES));
        prop_assert!(recovery.torn_bytes > 0 || recovery.corrupt.len() == 1);
        let mut originals = payloads.iter();
        prop_assert!(records.iter().all(|record| originals.any(|payload| *payload == record.1)));
    }

    #[test]
    fn arbitrary_bytes_as_a_segment_never_panic(bytes: Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("000000000001.journal"), bytes).unwrap();
        let (.., records) = open(dir.path());
        prop_assert!(records.is_empty());
    }
}
