//! How far each file is stored, across restarts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use model::{Error, ErrorKind, KeyValue, Result, kv::KvChange};
use serde::{Deserialize, Serialize};

use super::file::Head;
use super::find::FileId;

/// The family of the key-value database.
pub const FAMILY: &str = "tail";

/// What is known of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// What it was called when it was seen first: the label `filename`.
    pub(super) path: PathBuf,
    /// Tells its records from those of other files of that name, and from those before a truncation.
    pub(super) number: u64,
    pub(super) head: Head,
    /// Everything before this byte is stored.
    pub(super) offset: u64,
    /// By stream: what lies before this byte is stored too.
    pub(super) streams: BTreeMap<String, u64>,
    /// A batch that may or may not be stored.
    pub(super) batch: Option<Batch>,
    /// It lost its name and was read to its end.
    #[serde(default)]
    pub(super) is_done: bool,
}

/// A batch before it is handed to the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Batch {
    /// What the checkpoint becomes when it is stored.
    pub(super) offset: u64,
    pub(super) streams: BTreeMap<String, u64>,
    /// Where its records start.
    pub(super) starts: Vec<u64>,
    /// The times of its records, in Unix nanoseconds, both included.
    pub(super) first: i64,
    pub(super) last: i64,
}

/// So many starts of a batch are told: one that is found proves the batch.
pub(super) const STARTS_MAX: usize = 8;

/// The checkpoints of one job.
pub(super) struct Checkpoints {
    kv: Arc<dyn KeyValue>,
    job: String,
}

impl Checkpoints {
    pub(super) fn new(kv: Arc<dyn KeyValue>, job: &str) -> Self {
        Checkpoints { kv, job: job.to_owned() }
    }

    /// All of them.
    pub(super) fn load(&self) -> Result<Vec<(FileId, Checkpoint)>> {
        let prefix = self.prefix();
        let mut found = Vec::new();
        for (key, value) in self.kv.scan(FAMILY, &prefix)? {
            let id = std::str::from_utf8(&key[prefix.len()..]).ok().and_then(|text| {
                let (device, inode) = text.split_once(':')?;
                Some(FileId { device: device.parse().ok()?, inode: inode.parse().ok()? })
            });
            let checkpoint = serde_json::from_slice(&value).ok();
            let (Some(id), Some(checkpoint)) = (id, checkpoint) else {
                let job = &self.job;
                let message = format!("a checkpoint of the tail job {job:?} can not be read");
                return Err(Error::new(ErrorKind::Corrupt, message));
            };
            found.push((id, checkpoint));
        }
        Ok(found)
    }

    /// Keeps one; durable on return.
    pub(super) fn store(&self, id: FileId, checkpoint: &Checkpoint) -> Result<()> {
        let value = serde_json::to_vec(checkpoint)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("write a checkpoint: {e}")))?;
        self.kv.write(FAMILY, &[KvChange::Put(self.key(id), value)])
    }

    pub(super) fn forget(&self, id: FileId) -> Result<()> {
        self.kv.write(FAMILY, &[KvChange::Delete(self.key(id))])
    }

    fn prefix(&self) -> Vec<u8> {
        [self.job.as_bytes(), b"\0"].concat()
    }

    fn key(&self, id: FileId) -> Vec<u8> {
        let mut key = self.prefix();
        key.extend_from_slice(format!("{}:{}", id.device, id.inode).as_bytes());
        key
    }
}
