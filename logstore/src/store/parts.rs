//! Which parts there are: opened at start, replaced by seals and merges, set aside when corrupt.

use std::path::Path;
use std::sync::Arc;

use disk::files::Files;

use crate::error::Result;
use crate::manifest::{self, Manifest, PartEntry, part_folder};
use crate::part::Caches;
use crate::store::{Live, LogStore};
use crate::view::{OpenPart, View};

/// Opens the parts that the manifest names. Those that can not be read are set aside and told.
pub(super) fn open(
    dir: &Path,
    manifest: &mut Manifest,
    files: &dyn Files,
    caches: &Caches,
) -> Result<(View, Vec<String>)> {
    let mut view = View::default();
    let mut damage = Vec::new();
    let mut set_aside = Vec::new();
    for entry in &manifest.parts {
        match OpenPart::open(dir, entry.clone(), caches) {
            Ok(open) => view.parts.push(Arc::new(open)),
            Err(error) if error.is_corrupt() => {
                damage.push(error.to_string());
                set_aside.push(entry.number);
            }
            Err(error) => return Err(error),
        }
    }
    if !set_aside.is_empty() {
        manifest.parts.retain(|entry| !set_aside.contains(&entry.number));
        manifest.write(dir, files)?;
        set_aside.iter().for_each(|number| rename_corrupt(dir, *number));
    }
    for deletion in manifest.deletions.iter().filter(|deletion| deletion.done_at.is_none()) {
        let hidden = deletion.hidden().map_err(crate::Error::Deletion)?;
        view.deleted.push((deletion.id, hidden));
    }
    Ok((view, damage))
}

/// Keeps a part that can not be read for whoever wants to look at it; it may also be gone.
fn rename_corrupt(dir: &Path, number: u64) {
    let path = dir.join(part_folder(number));
    std::fs::rename(&path, path.with_extension("corrupt")).ok();
}

impl LogStore {
    pub(super) fn change_view(live: &mut Live, change: impl FnOnce(&mut View)) {
        let mut view = View::clone(&live.view);
        change(&mut view);
        live.view = Arc::new(view);
    }

    /// Replaces the manifest. Durable on return.
    pub(super) fn write_manifest(&self, manifest: &mut Manifest, mut next: Manifest) -> Result<()> {
        // Numbers that deletions and parts speak of are not given out again after a crash.
        next.next_arrival = next.next_arrival.max(self.live.read().next_arrival);
        next.write(&self.dir, &**self.files())?;
        *manifest = next;
        Ok(())
    }

    /// Puts parts in the place of others, in the manifest and then in what readers see, together
    /// with what else changes in both. Durable on return; after an error nothing has changed, and
    /// the files of the new parts are gone.
    pub(super) fn replace_parts(
        &self,
        gone: &[u64],
        new: Vec<Arc<OpenPart>>,
        change_manifest: impl FnOnce(&mut Manifest),
        change_live: impl FnOnce(&mut Live),
    ) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let mut next = manifest.clone();
        next.parts.retain(|entry| !gone.contains(&entry.number));
        next.parts.extend(new.iter().map(|open| open.entry.clone()));
        change_manifest(&mut next);
        if let Err(error) = self.write_manifest(&mut manifest, next) {
            // What the manifest does not name does not count; it may name them by now.
            let unnamed = |open: &&Arc<OpenPart>| !manifest::may_name(&self.dir, open.entry.number);
            new.iter().filter(unnamed).for_each(|open| open.remove());
            return Err(error);
        }
        let mut live = self.live.write();
        let mut removed = Vec::new();
        for labels in new.iter().flat_map(|open| open.part.streams()) {
            live.streams.add(labels);
        }
        LogStore::change_view(&mut live, |view| {
            view.parts.retain(|open| {
                let goes = gone.contains(&open.entry.number);
                if goes {
                    removed.push(open.clone());
                }
                !goes
            });
            view.parts.extend(new);
        });
        for labels in removed.iter().flat_map(|open| open.part.streams()) {
            live.streams.remove(labels);
        }
        change_live(&mut live);
        drop(live);
        drop(manifest);
        removed.iter().for_each(|open| open.remove());
        Ok(())
    }

    /// Opens a part that was just written.
    pub(super) fn open_new(&self, entry: PartEntry) -> Result<Arc<OpenPart>> {
        let folder = self.dir.join(part_folder(entry.number));
        let opened = OpenPart::open(&self.dir, entry, &self.caches);
        Ok(Arc::new(opened.inspect_err(|_| {
            std::fs::remove_dir_all(&folder).ok();
        })?))
    }

    /// Takes a part that can not be read out of the manifest and out of what readers see; its files
    /// stay under another name.
    pub(super) fn set_aside(&self, number: u64, why: &str) {
        let mut manifest = self.manifest.lock();
        if !manifest.parts.iter().any(|entry| entry.number == number) {
            return;
        }
        self.damage.lock().push(why.to_owned());
        let mut next = manifest.clone();
        next.parts.retain(|entry| entry.number != number);
        if self.write_manifest(&mut manifest, next).is_ok() {
            rename_corrupt(&self.dir, number);
        }
        let mut live = self.live.write();
        let mut removed = Vec::new();
        LogStore::change_view(&mut live, |view| {
            let is_it = |open: &Arc<OpenPart>| open.entry.number == number;
            removed.extend(view.parts.iter().filter(|open| is_it(open)).cloned());
            view.parts.retain(|open| !is_it(open));
        });
        for labels in removed.iter().flat_map(|open| open.part.streams()) {
            live.streams.remove(labels);
        }
    }
}
