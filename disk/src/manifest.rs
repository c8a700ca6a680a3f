//! The manifest of a store: JSON that alone says which files of a folder count, with a checksum
//! behind it. It is replaced whole. `docs/formats/manifest.md` has the bytes.

use std::io;
use std::path::Path;

use crate::error::{Error, Result};
use crate::files::Files;

/// Its name in the folder of a store.
pub const FILE: &str = "manifest";
const TEMPORARY: &str = "manifest.tmp";

/// The JSON of the manifest in `dir`, if there is one. Fails if the checksum says that it is not
/// what was written.
pub fn read(dir: &Path) -> Result<Option<String>> {
    let path = dir.join(FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", &path)(error)),
    };
    let wrong = |what: String| Error::Manifest { path: path.clone(), what };
    let text = std::str::from_utf8(&bytes).map_err(|error| wrong(error.to_string()))?;
    let Some((json, checksum)) = text.trim_end().rsplit_once('\n') else {
        return Err(wrong("expected a line with the checksum".to_owned()));
    };
    let expected = checksum_of(json);
    if checksum != expected {
        return Err(wrong(format!("the checksum is {checksum}, expected {expected}")));
    }
    Ok(Some(json.to_owned()))
}

/// Replaces the manifest in `dir`. Durable on return. After an error either manifest may stand on
/// the disk: before a file that only the new one names is removed, it must be read again.
pub fn write(dir: &Path, json: &str, files: &dyn Files) -> Result<()> {
    let temporary = dir.join(TEMPORARY);
    let text = format!("{json}\n{}\n", checksum_of(json));
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &temporary)(error));
        }
        _ => {}
    }
    let mut file = files.create(&temporary).map_err(Error::io("create", &temporary))?;
    file.append(text.as_bytes()).map_err(Error::io("write", &temporary))?;
    file.sync().map_err(Error::io("sync", &temporary))?;
    drop(file);
    files.replace(&temporary, &dir.join(FILE)).map_err(Error::io("rename", &temporary))
}

fn checksum_of(json: &str) -> String {
    format!("{:08x}", crc32c::crc32c(json.as_bytes()))
}
