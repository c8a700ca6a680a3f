//! Lines as container runtimes write them.

use std::borrow::Cow;

use model::{TimestampNs, clock};
use serde::Deserialize;

use super::config::FileFormat;

/// A line, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// When it was written, if it says so.
    pub(super) at: Option<TimestampNs>,
    /// `stdout` or `stderr` of a container, else empty.
    pub(super) stream: Cow<'a, str>,
    pub(super) text: Cow<'a, str>,
    /// Bytes after the text that were too many to be kept.
    pub(super) beyond: usize,
    /// The line goes on in the next piece of the stream.
    pub(super) is_part: bool,
}

/// Reads a line without its end; `None` if it is not of the format.
pub(super) fn read(line: &[u8], format: FileFormat) -> Option<Piece<'_>> {
    match format {
        FileFormat::Raw => Some(raw(line)),
        FileFormat::Docker => docker(line),
        FileFormat::Cri => cri(line),
    }
}

/// A line as it is; bytes that are not UTF-8 are replaced.
pub(super) fn raw(line: &[u8]) -> Piece<'_> {
    let text = String::from_utf8_lossy(line);
    Piece { at: None, stream: Cow::Borrowed(""), text, beyond: 0, is_part: false }
}

#[derive(Deserialize)]
struct DockerLine<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// `{"log":"text\n","stream":"stdout","time":"2026-11-22T09:00:00.123456789Z"}`; without the newline
/// the text goes on in the next line of the file.
fn docker(line: &[u8]) -> Option<Piece<'_>> {
    let DockerLine { log, stream, time } = serde_json::from_slice(line).ok()?;
    let at = Some(clock::parse_rfc3339(&time)?);
    let is_part = !log.ends_with('\n');
    let text = match log {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_end_matches(['\r', '\n'])),
        Cow::Owned(mut text) => {
            text.truncate(text.trim_end_matches(['\r', '\n']).len());
            Cow::Owned(text)
        }
    };
    Some(Piece { at, stream, text, beyond: 0, is_part })
}

/// `2026-11-22T09:00:00.123456789Z stdout F text`; `P` in place of `F` says that the text goes on.
fn cri(line: &[u8]) -> Option<Piece<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let mut part = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
    let at = Some(clock::parse_rfc3339(part()?)?);
    let stream = part().filter(|stream| matches!(*stream, "stdout" | "stderr"))?;
    // Tags are separated by colons; the first tells whether the line is whole.
    let is_part = match part()?.split(':').next() {
        Some("F") => false,
        Some("P") => true,
        _ => return None,
    };
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    Some(Piece { at, stream: Cow::Borrowed(stream), text, beyond: 0, is_part })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(format: FileFormat, line: &str, expected: Option<(i64, &str, &str, bool)>) {
        let piece = read(line.as_bytes(), format);
        let found = piece.as_ref().map(|piece| {
            (piece.at.unwrap_or_default().0, &*piece.stream, &*piece.text, piece.is_part)
        });
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn lines_of_containers_have_a_time_and_a_stream() {
        let at = 1_700_000_000_500_000_000;
        let time = "2023-11-14T22:13:20.5Z";
        let docker = |log: &str| format!(r#"{{"log":"{log}","stream":"stderr","time":"{time}"}}"#);
        let format = FileFormat::Docker;
        check(format, &docker(r"a\tb\r\n"), Some((at, "stderr", "a\tb", false)));
        check(format, &docker("part"), Some((at, "stderr", "part", true)));
        check(format, "plain text", None);
        let format = FileFormat::Cri;
        check(format, &format!("{time} stdout F a b"), Some((at, "stdout", "a b", false)));
        check(format, &format!("{time} stdout P:x a"), Some((at, "stdout", "a", true)));
        check(format, &format!("{time} stdout F"), Some((at, "stdout", "", false)));
        check(format, &format!("{time} stdin F a"), None);
        check(format, "yesterday stdout F a", None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(line: Vec<u8>) {
            for format in [FileFormat::Raw, FileFormat::Docker, FileFormat::Cri] {
                read(&line, format);
            }
        }
    }
}
