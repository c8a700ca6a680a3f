//! The face of the store for operators.

use model::admin::LogDeletion;
use model::{LogAdmin, LogSelection, Result};

use crate::store::LogStore;

impl LogAdmin for LogStore {
    fn merge_all(&self) -> Result<()> {
        Ok(self.merge_everything()?)
    }

    fn figures(&self) -> Vec<(String, u64)> {
        let stats = self.stats();
        let mut figures: Vec<(String, u64)> = [
            ("streams", stats.streams),
            ("records", stats.records),
            ("head_records", stats.head_records),
            ("head_bytes", stats.memory_bytes),
            ("cache_bytes", stats.cache_bytes),
            ("header_cache_bytes", stats.header_cache_bytes),
            ("parts", stats.parts),
            ("part_bytes", stats.part_bytes),
            ("part_records", stats.part_records),
            ("part_line_bytes", stats.part_line_bytes),
            ("corrupt_parts", stats.corrupt_parts),
            ("hidden_deletions", stats.deletions),
            ("journal_bytes", stats.journal.bytes),
            ("records_written", stats.records_written),
            ("journal_bytes_written", stats.journal_bytes_written),
            ("seals", stats.seals),
            ("sealed_bytes_written", stats.sealed_bytes_written),
            ("merges", stats.merges),
            ("merged_bytes_written", stats.merged_bytes_written),
            ("refused_too_old_records", stats.refused_too_old),
            ("refused_too_far_in_future_records", stats.refused_too_far_in_future),
            ("refused_too_many_streams_records", stats.refused_too_many_streams),
            ("refused_batches", stats.refused_batches),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        figures.extend(self.section_bytes());
        figures
    }

    fn snapshot(&self) -> Result<String> {
        Ok(self.snapshot_here()?)
    }

    fn delete(&self, selection: &LogSelection, query: &str) -> Result<u64> {
        Ok(self.delete_selected(selection, query)?)
    }

    fn undelete(&self, id: u64) -> Result<()> {
        Ok(self.take_back(id)?)
    }

    fn deletions(&self) -> Vec<LogDeletion> {
        self.all_deletions()
    }
}
