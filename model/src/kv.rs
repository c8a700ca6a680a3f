//! Small mutable facts: alert state, the notification log, silences, catalogues. Never samples,
//! lines or spans.

use crate::error::Result;

/// A change to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvChange {
    /// Sets a key.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a key; nothing happens if it is absent.
    Delete(Vec<u8>),
}

/// An ordered map on disk, in families that do not see each other. Family names are constants of
/// their owners and are listed where the database is opened.
pub trait KeyValue: Send + Sync {
    /// The value of `key`.
    fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Applies all changes or none; durable (fsync) on return.
    fn write(&self, family: &str, changes: &[KvChange]) -> Result<()>;

    /// All keys that begin with `prefix` and their values, in order of key.
    fn scan(&self, family: &str, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>>;
}

/// A [`KeyValue`] in memory: the naive twin of the real one, for tests.
#[derive(Debug, Default)]
pub struct MemoryKeyValue {
    families: parking_lot::Mutex<Families>,
}

type Families = std::collections::BTreeMap<String, std::collections::BTreeMap<Vec<u8>, Vec<u8>>>;

impl KeyValue for MemoryKeyValue {
    fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.families.lock().get(family).and_then(|map| map.get(key).cloned()))
    }

    fn write(&self, family: &str, changes: &[KvChange]) -> Result<()> {
        let mut families = self.families.lock();
        let map = families.entry(family.to_owned()).or_default();
        for change in changes {
            match change {
                KvChange::Put(key, value) => map.insert(key.clone(), value.clone()),
                KvChange::Delete(key) => map.remove(key),
            };
        }
        Ok(())
    }

    fn scan(&self, family: &str, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let families = self.families.lock();
        let Some(map) = families.get(family) else { return Ok(Vec::new()) };
        let found = map.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(found.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}
