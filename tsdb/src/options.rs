//! How the store behaves.

use disk::JournalOptions;
use model::Matcher;
use model::rollup::RESOLUTIONS_MS;

/// How the store behaves.
#[derive(Clone)]
pub struct Options {
    /// Series that may be written at one time; new ones beyond it are folded.
    pub series_max: usize,
    /// Series that one metric may have; new ones beyond it are folded. 0: no budget.
    pub series_per_metric_max: usize,
    /// Values that one label may have; series with new ones beyond it are folded. 0: no budget.
    pub values_per_label_max: usize,
    /// Folded series that are told apart, so that sums stay right; more are refused.
    pub folded_series_max: usize,
    /// Memory for the head; over it, samples are sealed early, and at twice of it writes are refused
    /// with a retryable error.
    pub memory_bytes_max: usize,
    /// Memory for pages of blocks that queries read.
    pub cache_bytes_max: usize,
    /// Samples older than this are refused and forgotten, in milliseconds; 0 keeps them.
    pub retention_ms: i64,
    /// The oldest blocks go when all files together are larger; 0 keeps them.
    pub retention_bytes: u64,
    /// Series with a retention of their own; the first rule that matches counts.
    pub retention_rules: Vec<RetentionRule>,
    /// How long rollups are kept, in milliseconds, for each of [`RESOLUTIONS_MS`]; 0 or less than
    /// samples are kept: as long as samples. Where samples are gone, queries see the last sample of
    /// each bucket, and windows of whole buckets see the rollup. Series with a rule of their own
    /// lose both together, and [`Options::retention_bytes`] counts rollups like samples.
    pub rollup_retention_ms: [i64; RESOLUTIONS_MS.len()],
    /// Samples further in the future than this are refused, in milliseconds.
    pub future_ms_max: i64,
    /// Samples of one window are sealed together; four make a merged block, forty-eight a large one.
    pub window_ms: i64,
    /// A window is sealed when samples this much newer than its end have come.
    pub grace_ms: i64,
    /// A window is sealed when nothing came into it for this long.
    pub idle_ms: i64,
    /// The head is written down this often, if it changed.
    pub checkpoint_ms: i64,
    /// The head is written down when the journal has grown by this much.
    pub checkpoint_journal_bytes: u64,
    /// Samples of one series in one block at most, since a merge holds them in memory: blocks with
    /// more together stay apart, and a window with more is sealed as several blocks.
    pub merged_samples_max: usize,
    /// How long a deletion can be taken back, in milliseconds.
    pub undo_ms: i64,
    /// The journal's part; also where files are made.
    pub journal: JournalOptions,
}

/// A retention for some series.
#[derive(Debug, Clone, PartialEq)]
pub struct RetentionRule {
    /// Names the rule.
    pub name: String,
    /// All must match.
    pub matchers: Vec<Matcher>,
    /// How long samples are kept, in milliseconds.
    pub keep_ms: i64,
}

/// Windows in a merged block.
pub(crate) const MIDDLE_WINDOWS: i64 = 4;
/// Windows in a large block: a day of half hours.
pub(crate) const LONG_WINDOWS: i64 = 48;

impl Options {
    /// How long rollups of a resolution are kept.
    pub(crate) fn keep_rollup_ms(&self, resolution_ms: i64) -> i64 {
        let all = RESOLUTIONS_MS.iter().zip(self.rollup_retention_ms);
        all.filter(|(resolution, _)| **resolution == resolution_ms).map(|(_, keep)| keep).sum()
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            series_max: 2_000_000,
            series_per_metric_max: 1_000_000,
            values_per_label_max: 1_000_000,
            folded_series_max: 1_000_000,
            memory_bytes_max: 2 << 30,
            cache_bytes_max: 128 << 20,
            retention_ms: 0,
            retention_bytes: 0,
            retention_rules: Vec::new(),
            rollup_retention_ms: [0; RESOLUTIONS_MS.len()],
            future_ms_max: 600_000,
            window_ms: 30 * 60_000,
            grace_ms: 5 * 60_000,
            idle_ms: 5 * 60_000,
            checkpoint_ms: 45_000,
            checkpoint_journal_bytes: 48 << 20,
            merged_samples_max: 1 << 24,
            undo_ms: 24 * 3_600_000,
            journal: JournalOptions::default(),
        }
    }
}
