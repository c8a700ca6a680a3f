//! How the store behaves.

use disk::JournalOptions;
use model::Matcher;

/// How the store behaves.
#[derive(Clone)]
pub struct Options {
    /// Memory for records that are not sealed. Over it they are sealed; at one and a half of it
    /// writes wait for that, and at twice of it they are refused with a retryable error.
    pub memory_bytes_max: usize,
    /// Memory for what queries read of parts: pages, and headers of blocks, which may have
    /// half of it.
    pub cache_bytes_max: usize,
    /// Streams that the store may hold; records of others beyond it are refused.
    pub streams_max: usize,
    /// Records older than this are refused and forgotten, in milliseconds; 0 keeps them.
    pub retention_ms: i64,
    /// The oldest parts go when all files together are larger; 0 keeps them.
    pub retention_bytes: u64,
    /// Streams with a retention of their own; the first rule that matches counts.
    pub retention_rules: Vec<RetentionRule>,
    /// Records further in the future than this are refused, in milliseconds.
    pub future_ms_max: i64,
    /// What is in memory is sealed when nothing came for this long, in milliseconds.
    pub idle_ms: i64,
    /// What is in memory is sealed when the oldest of it came this long ago, in milliseconds.
    pub head_age_ms_max: i64,
    /// How long a deletion can be taken back, in milliseconds. One whose records are gone is told
    /// for as long again.
    pub undo_ms: i64,
    /// The journal's part; also where files are made.
    pub journal: JournalOptions,
}

/// A retention for some streams.
#[derive(Debug, Clone)]
pub struct RetentionRule {
    /// All must match.
    pub matchers: Vec<Matcher>,
    /// How long records are kept, in milliseconds; 0 keeps them.
    pub keep_ms: i64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            memory_bytes_max: 64 << 20,
            cache_bytes_max: 64 << 20,
            streams_max: 200_000,
            retention_ms: 0,
            retention_bytes: 0,
            retention_rules: Vec::new(),
            future_ms_max: 600_000,
            idle_ms: 5 * 60_000,
            head_age_ms_max: 30 * 60_000,
            undo_ms: 24 * 3_600_000,
            journal: JournalOptions::default(),
        }
    }
}
