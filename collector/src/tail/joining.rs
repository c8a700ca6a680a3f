//! Parts of lines and lines of stack traces become records, each stream of a file for itself.

use std::collections::BTreeMap;
use std::time::Duration;

use model::TimestampNs;

use super::config::Multiline;
use super::formats::Piece;

/// A record of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) stream: String,
    /// When its first line was written, if it says so.
    pub(super) at: Option<TimestampNs>,
    pub(super) text: String,
    /// How long it was before it was cut, if it was.
    pub(super) cut_from: Option<usize>,
    /// Where its first line starts in the file.
    pub(super) start: u64,
    /// Where its last line ends.
    pub(super) end: u64,
}

/// A record that may go on.
#[derive(Debug)]
struct Open {
    record: Record,
    lines: usize,
    /// The last piece was a part of a line.
    is_part: bool,
    /// When something was added last, on the monotonic clock.
    touched: Duration,
}

/// Joins the pieces of one file.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    open: BTreeMap<String, Open>,
}

impl Joiner {
    /// Adds a piece that lies from `start` to `end`; complete records go to `done`. A record keeps at
    /// most `bytes_max` bytes of text.
    pub(super) fn add(
        &mut self,
        piece: Piece<'_>,
        (start, end): (u64, u64),
        multiline: Option<&Multiline>,
        bytes_max: usize,
        now: Duration,
        done: &mut Vec<Record>,
    ) {
        let goes_on = self.open.get(&*piece.stream).is_some_and(|open| {
            open.is_part
                || multiline.is_some_and(|multiline| {
                    open.lines < multiline.lines_max && !multiline.start.is_match(&piece.text)
                })
        });
        if !goes_on && let Some(open) = self.open.remove(&*piece.stream) {
            done.push(open.record);
        }
        let open = self.open.entry(piece.stream.to_string()).or_insert_with(|| Open {
            record: Record {
                stream: piece.stream.to_string(),
                at: piece.at,
                text: String::new(),
                cut_from: None,
                start,
                end,
            },
            lines: 1,
            is_part: true,
            touched: now,
        });
        let record = &mut open.record;
        if !open.is_part {
            append(record, "\n", bytes_max);
            open.lines += 1;
        }
        append(record, &piece.text, bytes_max);
        if piece.beyond > 0 {
            record.cut_from = Some(record.cut_from.unwrap_or(record.text.len()) + piece.beyond);
        }
        (record.end, open.is_part, open.touched) = (end, piece.is_part, now);
        if !piece.is_part && multiline.is_none() {
            done.extend(self.open.remove(&*piece.stream).map(|open| open.record));
        }
    }

    /// Records to which nothing was added for `wait`.
    pub(super) fn take_idle(&mut self, wait: Duration, now: Duration, done: &mut Vec<Record>) {
        let open = std::mem::take(&mut self.open);
        for (stream, open) in open {
            match now.saturating_sub(open.touched) >= wait {
                true => done.push(open.record),
                false => drop(self.open.insert(stream, open)),
            }
        }
    }

    /// Where the first record starts that is not complete.
    pub(super) fn open_start(&self) -> Option<u64> {
        self.open.values().map(|open| open.record.start).min()
    }
}

fn append(record: &mut Record, text: &str, bytes_max: usize) {
    let length = record.cut_from.unwrap_or(record.text.len()) + text.len();
    let room = bytes_max.saturating_sub(record.text.len());
    if record.cut_from.is_none() && (bytes_max == 0 || text.len() <= room) {
        record.text.push_str(text);
        return;
    }
    if record.cut_from.is_none() {
        record.text.push_str(&text[..text.floor_char_boundary(room)]);
    }
    record.cut_from = Some(length);
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use regex::Regex;

    use super::*;

    fn piece(stream: &'static str, text: &'static str, is_part: bool) -> Piece<'static> {
        Piece {
            at: None,
            stream: Cow::Borrowed(stream),
            text: Cow::Borrowed(text),
            beyond: 0,
            is_part,
        }
    }

    fn join(
        pieces: Vec<Piece<'static>>,
        multiline: Option<&Multiline>,
        bytes_max: usize,
    ) -> Vec<(String, String, u64, u64)> {
        let (mut joiner, mut done) = (Joiner::default(), Vec::new());
        for (i, piece) in pieces.into_iter().enumerate() {
            let place = (i as u64 * 10, i as u64 * 10 + 10);
            joiner.add(piece, place, multiline, bytes_max, Duration::ZERO, &mut done);
        }
        joiner.take_idle(Duration::ZERO, Duration::ZERO, &mut done);
        done.into_iter().map(|r| (r.stream, r.text, r.start, r.end)).collect()
    }

    fn record(stream: &str, text: &str, start: u64, end: u64) -> (String, String, u64, u64) {
        (stream.to_owned(), text.to_owned(), start, end)
    }

    #[test]
    fn parts_are_joined_within_their_stream() {
        let pieces = vec![
            piece("stdout", "a", true),
            piece("stderr", "x", false),
            piece("stdout", "b", false),
            piece("stdout", "c", false),
        ];
        let expected = [
            record("stderr", "x", 10, 20),
            record("stdout", "ab", 0, 30),
            record("stdout", "c", 30, 40),
        ];
        assert_eq!(join(pieces, None, 0), expected);
    }

    #[test]
    fn lines_belong_to_the_start_before_them_up_to_a_number() {
        let start = Regex::new("^[A-Z]").unwrap();
        let multiline = Multiline { start, lines_max: 2, wait: Duration::from_secs(1) };
        let lines = ["Error", " at a", " at b", " at c", "Next"];
        let pieces = lines.iter().map(|line| piece("", line, false)).collect();
        let expected = [
            record("", "Error\n at a", 0, 20),
            record("", " at b\n at c", 20, 40),
            record("", "Next", 40, 50),
        ];
        assert_eq!(join(pieces, Some(&multiline), 0), expected);
    }

    #[test]
    fn a_record_that_is_too_long_keeps_its_start_and_knows_its_length() {
        let (mut joiner, mut done) = (Joiner::default(), Vec::new());
        for (text, is_part) in [("abc", true), ("def", true), ("ghi", false)] {
            let piece = piece("", text, is_part);
            joiner.add(piece, (0, 9), None, 5, Duration::ZERO, &mut done);
        }
        assert_eq!((done[0].text.as_str(), done[0].cut_from), ("abcde", Some(9)));
        assert_eq!(joiner.open_start(), None);
    }
}
