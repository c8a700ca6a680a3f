//! RocksDB for small mutable facts. The only file that names it.
//!
//! One database, a column family per owner. Writes are synced before they return: these facts
//! (alert state, what was notified, silences) are few, and losing one means a lost or a doubled
//! page.

use std::path::Path;

use model::KeyValue;
use model::kv::KvChange;
use rocksdb::{DB, Direction, IteratorMode, Options, WriteBatch, WriteOptions};

use crate::error::{Error, Result};
use crate::files::create_folders;

/// An open database.
pub struct Kv {
    db: DB,
}

impl Kv {
    /// Opens or makes the database in `dir` with these families. Fails if another process has it
    /// open.
    pub fn open(dir: &Path, families: &[&str]) -> Result<Self> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        // Small facts: small buffers, few files, a short info log.
        options.set_write_buffer_size(4 << 20);
        options.set_max_total_wal_size(32 << 20);
        options.set_keep_log_file_num(2);
        options.set_max_open_files(64);
        // A database made by a later version may have families that this one does not know.
        let mut names: Vec<String> =
            DB::list_cf(&options, dir).unwrap_or_else(|_| vec!["default".to_owned()]);
        for family in families {
            if !names.iter().any(|name| name == family) {
                names.push((*family).to_owned());
            }
        }
        // RocksDB would say the same in words of its own.
        create_folders(dir).map_err(Error::io("create", dir))?;
        let db = DB::open_cf(&options, dir, &names).map_err(|e| {
            let hint = match e.to_string().contains("LOCK") {
                true => " (is another signalbox running on the same data folder?)",
                false => "",
            };
            Error::Kv(format!("open {}: {e}{hint}", dir.display()))
        })?;
        Ok(Kv { db })
    }

    fn family(&self, name: &str) -> Result<&rocksdb::ColumnFamily> {
        self.db.cf_handle(name).ok_or_else(|| Error::Kv(format!("family {name:?} was not opened")))
    }

    /// Writes everything in memory to files, for a quick start.
    pub fn flush(&self) -> Result<()> {
        self.db.flush().map_err(|e| Error::Kv(format!("flush: {e}")))
    }
}

impl KeyValue for Kv {
    fn get(&self, family: &str, key: &[u8]) -> model::Result<Option<Vec<u8>>> {
        let family = self.family(family)?;
        Ok(self.db.get_cf(family, key).map_err(|e| Error::Kv(format!("get: {e}")))?)
    }

    fn write(&self, family: &str, changes: &[KvChange]) -> model::Result<()> {
        let family = self.family(family)?;
        let mut batch = WriteBatch::default();
        for change in changes {
            match change {
                KvChange::Put(key, value) => batch.put_cf(family, key, value),
                KvChange::Delete(key) => batch.delete_cf(family, key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        Ok(self.db.write_opt(batch, &options).map_err(|e| Error::Kv(format!("write: {e}")))?)
    }

    fn scan(&self, family: &str, prefix: &[u8]) -> model::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let family = self.family(family)?;
        let mut found = Vec::new();
        for entry in self.db.iterator_cf(family, IteratorMode::From(prefix, Direction::Forward)) {
            let (key, value) = entry.map_err(|e| Error::Kv(format!("scan: {e}")))?;
            if !key.starts_with(prefix) {
                break;
            }
            found.push((key.into_vec(), value.into_vec()));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_apart_and_everything_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let put = |key: &str| KvChange::Put(key.into(), b"1".to_vec());
        {
            let kv = Kv::open(dir.path(), &["a", "b"]).unwrap();
            kv.write("a", &[put("x/1"), put("x/2"), put("y/1")]).unwrap();
            kv.write("b", &[put("x/9")]).unwrap();
            kv.write("a", &[KvChange::Delete(b"x/1".to_vec())]).unwrap();
        }
        let kv = Kv::open(dir.path(), &["b", "c", "a"]).unwrap();
        assert_eq!(kv.scan("a", b"x/").unwrap(), [(b"x/2".to_vec(), b"1".to_vec())]);
        assert_eq!(kv.get("b", b"x/9").unwrap(), Some(b"1".to_vec()));
        assert_eq!(kv.get("c", b"x/9").unwrap(), None);
        assert!(kv.get("nobody", b"x").is_err());
    }

    #[test]
    fn a_second_process_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Kv::open(dir.path(), &["a"]).unwrap();
        let error = Kv::open(dir.path(), &["a"]).err().unwrap();
        assert!(error.to_string().contains("another signalbox"), "{error}");
    }
}
