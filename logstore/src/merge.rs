//! Entries of many streams in one order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::read::Direction;

use crate::head::{Entry, Snapshot};

/// The entries of a snapshot with the index of their stream, in `order` or stream by stream.
pub(crate) fn entries<'a>(
    snapshot: &'a Snapshot,
    order: Option<Direction>,
) -> Box<dyn Iterator<Item = (usize, Entry)> + 'a> {
    let streams = snapshot.streams.iter().map(|(_, entries)| entries.as_slice());
    match order {
        None => Box::new(
            streams
                .enumerate()
                .flat_map(|(i, entries)| entries.iter().map(move |entry| (i, *entry))),
        ),
        Some(Direction::Forward) => {
            let mut merge = Merge { heads: BinaryHeap::new(), rests: Vec::new() };
            for (i, entries) in streams.enumerate() {
                merge.add(i, entries, Reverse);
            }
            Box::new(std::iter::from_fn(move || {
                let (Reverse(entry), Reverse(i)) = merge.heads.pop()?;
                merge.advance(i, |rest| rest.split_first(), Reverse);
                Some((i, entry))
            }))
        }
        Some(Direction::Backward) => {
            let mut merge = Merge { heads: BinaryHeap::new(), rests: Vec::new() };
            for (i, entries) in streams.enumerate() {
                merge.rests.push(entries);
                merge.advance(i, |rest| rest.split_last(), |entry| entry);
            }
            Box::new(std::iter::from_fn(move || {
                let (entry, Reverse(i)) = merge.heads.pop()?;
                merge.advance(i, |rest| rest.split_last(), |entry| entry);
                Some((i, entry))
            }))
        }
    }
}

/// The next entry of each stream in a heap, and what is behind it.
struct Merge<'a, K> {
    heads: BinaryHeap<(K, Reverse<usize>)>,
    rests: Vec<&'a [Entry]>,
}

impl<'a, K: Ord> Merge<'a, K> {
    fn add(&mut self, i: usize, entries: &'a [Entry], key: impl Fn(Entry) -> K) {
        self.rests.push(entries);
        self.advance(i, |rest| rest.split_first(), key);
    }

    fn advance(
        &mut self,
        i: usize,
        split: impl Fn(&'a [Entry]) -> Option<(&'a Entry, &'a [Entry])>,
        key: impl Fn(Entry) -> K,
    ) {
        if let Some((next, rest)) = split(self.rests[i]) {
            self.rests[i] = rest;
            self.heads.push((key(*next), Reverse(i)));
        }
    }
}
