//! Counts that grow: by stream, values of fields, pattern and bucket.

use std::ops::ControlFlow;

use model::TimestampNs;
use model::log::{LogCount, LogCountRequest};
use rustc_hash::FxHashMap;

use crate::part::Part;

/// So many counts lie in a list, by group and bucket; more are found by a map.
const LISTED_MAX: usize = 1 << 20;

/// Numbers for texts.
#[derive(Default)]
pub(super) struct Names {
    numbers: FxHashMap<Vec<u8>, u32>,
    list: Vec<String>,
}

impl Names {
    pub(super) fn number(&mut self, name: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.list.len() as u32;
        self.list.push(String::from_utf8_lossy(name).into_owned());
        self.numbers.insert(name.to_vec(), number);
        number
    }

    fn get(&self, number: u32) -> &str {
        self.list.get(number as usize).map_or("", String::as_str)
    }
}

/// What tells counts apart beside the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Group {
    pub(super) stream: u32,
    /// A number of a list of values.
    pub(super) fields: u32,
    pub(super) pattern: u32,
}

/// Whether rows are added to counts or taken away from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

/// A bucket with its first and its last time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    pub(super) number: usize,
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Bucket {
    /// The bucket of a time, which is within the range of the request.
    pub(super) fn of(request: &LogCountRequest, at: i64) -> Self {
        let number = request.bucket_of(TimestampNs(at));
        let start = request.width_ns.saturating_mul(number as i64);
        let start = request.start.0.saturating_add(start);
        let last = start.saturating_add(request.width_ns);
        Bucket { number, first: start.saturating_add(1), last }
    }

    pub(super) fn contains(&self, at: i64) -> bool {
        self.first <= at && at <= self.last
    }
}

/// Records and bytes of each group and bucket.
pub(super) struct Table {
    buckets: usize,
    by_pattern: bool,
    pub(super) values: Names,
    pub(super) patterns: Names,
    /// Numbers of values, as many as fields are told apart.
    tuples: FxHashMap<Vec<u32>, u32>,
    tuple_list: Vec<Vec<u32>>,
    groups: FxHashMap<Group, u32>,
    group_list: Vec<Group>,
    listed: Vec<(u64, u64)>,
    mapped: FxHashMap<(u32, u32), (u64, u64)>,
}

impl Table {
    pub(super) fn new(request: &LogCountRequest) -> Self {
        Table {
            buckets: request.buckets.max(1),
            by_pattern: request.by_pattern,
            values: Names::default(),
            patterns: Names::default(),
            tuples: FxHashMap::default(),
            tuple_list: Vec::new(),
            groups: FxHashMap::default(),
            group_list: Vec::new(),
            listed: Vec::new(),
            mapped: FxHashMap::default(),
        }
    }

    /// The number of a list of values.
    pub(super) fn tuple(&mut self, values: &[u32]) -> u32 {
        if let Some(number) = self.tuples.get(values) {
            return *number;
        }
        let number = self.tuple_list.len() as u32;
        self.tuple_list.push(values.to_vec());
        self.tuples.insert(values.to_vec(), number);
        number
    }

    /// The number of a group.
    pub(super) fn group(&mut self, group: Group) -> u32 {
        let (groups, list) = (&mut self.groups, &mut self.group_list);
        let number = *groups.entry(group).or_insert_with(|| {
            list.push(group);
            list.len() as u32 - 1
        });
        let end = (number as usize + 1).saturating_mul(self.buckets);
        if end > self.listed.len() && end <= LISTED_MAX {
            self.listed.resize(end, (0, 0));
        }
        number
    }

    /// Adds to a bucket of a group. What is taken away may be added later.
    pub(super) fn add(&mut self, group: u32, bucket: usize, sign: Sign, records: u64, bytes: u64) {
        let place = (group as usize).saturating_mul(self.buckets).saturating_add(bucket);
        let count = match self.listed.get_mut(place) {
            Some(count) => count,
            None => self.mapped.entry((group, bucket as u32)).or_default(),
        };
        *count = match sign {
            Sign::Plus => (count.0.wrapping_add(records), count.1.wrapping_add(bytes)),
            Sign::Minus => (count.0.wrapping_sub(records), count.1.wrapping_sub(bytes)),
        };
    }

    /// Shows each count once.
    pub(super) fn show(
        &self,
        part: &Part,
        visit: &mut dyn FnMut(&LogCount<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let listed = self.listed.chunks(self.buckets).enumerate().flat_map(|(group, counts)| {
            counts.iter().enumerate().map(move |(bucket, count)| (group, bucket, *count))
        });
        let mapped = self.mapped.iter();
        let mapped =
            mapped.map(|((group, bucket), count)| (*group as usize, *bucket as usize, *count));
        let mut fields = Vec::new();
        let counts = listed.chain(mapped).filter(|(.., (records, _))| *records > 0);
        for (group, bucket, (records, bytes)) in counts {
            let group = self.group_list[group];
            fields.clear();
            let tuple = self.tuple_list.get(group.fields as usize).map_or(&[][..], Vec::as_slice);
            fields.extend(tuple.iter().map(|value| self.values.get(*value)));
            let count = LogCount {
                stream: &part.index().streams[group.stream as usize],
                fields: &fields,
                pattern: self.by_pattern.then(|| self.patterns.get(group.pattern)),
                bucket,
                records,
                bytes,
            };
            if visit(&count).is_break() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}
