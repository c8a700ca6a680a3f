//! The face of the store for operators.

use model::admin::{Deleted, Overflow, SeriesAdmin};
use model::cardinality::{Cardinality, CardinalityRequest, HeadCardinality, StoredBlock};
use model::read::RangeMs;
use model::{Matcher, QueryContext, Result};

use crate::store::Tsdb;

impl SeriesAdmin for Tsdb {
    fn merge_all(&self) -> Result<()> {
        Ok(Tsdb::merge_all(self)?)
    }

    fn figures(&self) -> Vec<(String, u64)> {
        let stats = self.stats();
        let mut figures: Vec<(String, u64)> = [
            ("series", stats.series),
            ("head_bytes", stats.memory_bytes),
            ("cache_bytes", stats.cache_bytes),
            ("blocks", stats.blocks),
            ("block_bytes", stats.block_bytes),
            ("block_samples", stats.block_samples),
            ("rollup_blocks", stats.rollup_blocks),
            ("rollup_bytes", stats.rollup_bytes),
            ("checkpoint_bytes", stats.checkpoint_bytes),
            ("journal_bytes", stats.journal.bytes),
            ("samples_written", stats.samples_written),
            ("journal_bytes_written", stats.journal_bytes_written),
            ("checkpoints", stats.checkpoints),
            ("checkpoint_bytes_written", stats.checkpoint_bytes_written),
            ("seals", stats.seals),
            ("sealed_bytes_written", stats.sealed_bytes_written),
            ("merges", stats.merges),
            ("merged_bytes_written", stats.merged_bytes_written),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let (series, samples) = self.folded();
        figures.push(("folded_series".to_owned(), series));
        figures.push(("folded_samples_written".to_owned(), samples));
        let kept = self.overflows().iter().map(|overflow| overflow.kept_series).sum();
        figures.push(("kept_series_over_budget".to_owned(), kept));
        figures.push(("damaged_files".to_owned(), self.damage().len() as u64));
        figures.extend(self.section_bytes());
        figures
    }

    fn delete(&self, matchers: &[Matcher], range: RangeMs) -> Result<u64> {
        Ok(Tsdb::delete(self, matchers, range)?)
    }

    fn undelete(&self, id: u64) -> Result<()> {
        Ok(Tsdb::undelete(self, id)?)
    }

    fn clean_deletions(&self) -> Result<()> {
        Ok(Tsdb::clean_deletions(self)?)
    }

    fn deletions(&self) -> Vec<Deleted> {
        Tsdb::deletions(self)
    }

    fn snapshot(&self) -> Result<String> {
        let name = format!("{:013}", self.clock.now_ms().0);
        Tsdb::snapshot(self, &self.dir.join(disk::snapshot::FOLDER).join(&name))?;
        Ok(name)
    }

    fn overflows(&self) -> Vec<Overflow> {
        Tsdb::overflows(self)
    }

    fn head_cardinality(&self, rows: usize) -> Result<HeadCardinality> {
        Ok(self.count_head(rows)?)
    }

    fn cardinality(
        &self,
        request: &CardinalityRequest,
        context: &QueryContext,
    ) -> Result<Cardinality> {
        self.count_series(request, context)
    }

    fn blocks(&self) -> Vec<StoredBlock> {
        self.stored_blocks()
    }
}
