//! Numbers and durations: how far one reaches, and its value.
//!
//! The rules are those of `scanNumber` and `acceptRemainingDuration` of Prometheus's lexer, because
//! its messages quote the text up to the first character that does not fit.

use super::Token;
use crate::text;

/// The number or duration at the start of `text`, which begins with a digit or a point, and its
/// length in bytes.
pub(super) fn scan(text: &str) -> (usize, Token) {
    let mut scan = Scan { bytes: text.as_bytes(), at: 0 };
    if scan.number() {
        let word = &text[..scan.at];
        return (scan.at, number(word));
    }
    if scan.duration() {
        let word = &text[..scan.at];
        return (scan.at, duration(word));
    }
    // The text is ASCII up to here but for the last character.
    let mut end = scan.at.min(text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    (end, Token::Bad(format!("bad number or duration syntax: {:?}", &text[..end])))
}

fn number(word: &str) -> Token {
    let problem = match text::parse_number(word) {
        Some(value) if value.is_finite() => return Token::Number(value),
        Some(_) => "value out of range",
        None => "invalid syntax",
    };
    Token::Bad(format!("error parsing number: strconv.ParseFloat: parsing {word:?}: {problem}"))
}

fn duration(word: &str) -> Token {
    const UNITS: [&str; 7] = ["y", "w", "d", "h", "m", "s", "ms"];
    if let Some(ms) = text::parse_duration_ms(word) {
        return match ms.checked_mul(1_000_000) {
            Some(_) => Token::Duration(ms),
            None => Token::Bad("duration out of range".into()),
        };
    }
    let mut units = word.split(|c: char| c.is_ascii_digit()).filter(|unit| !unit.is_empty());
    Token::Bad(match units.find(|unit| !UNITS.contains(unit)) {
        Some(unit) => format!("unknown unit {unit:?} in duration {word:?}"),
        None => format!("not a valid duration string: {word:?}"),
    })
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn next_is(&self, set: &[u8]) -> bool {
        self.bytes.get(self.at).is_some_and(|byte| set.contains(byte))
    }

    fn accept(&mut self, set: &[u8]) -> bool {
        let found = self.next_is(set);
        self.at += usize::from(found);
        found
    }

    fn next_is_word(&self) -> bool {
        self.bytes.get(self.at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    }

    /// Whether a whole number was taken; otherwise stops at what does not fit.
    fn number(&mut self) -> bool {
        let mut digits: &[u8] = b"0123456789";
        let mut is_hex = false;
        if self.accept(b"0") && self.accept(b"xX") {
            self.accept(b"_");
            digits = b"0123456789abcdefABCDEF";
            is_hex = true;
        }
        self.accept(b".");
        let (mut point_seen, mut exponent_seen) = (false, false);
        loop {
            if self.next_is(b".") {
                self.at += 1;
                if point_seen || self.accept(b"_.") || is_hex {
                    return false;
                }
                point_seen = true;
            } else if self.next_is(digits) {
                self.at += 1;
            } else if self.next_is(b"eE") {
                self.at += 1;
                if exponent_seen {
                    return false;
                }
                exponent_seen = true;
                self.accept(b"+-");
                if self.accept(b"._eE") || self.at >= self.bytes.len() {
                    return false;
                }
            } else if self.next_is(b"_") {
                self.at += 1;
                if self.accept(b"._eE") || self.at >= self.bytes.len() {
                    return false;
                }
            } else {
                break;
            }
        }
        self.at > 0 && !self.next_is_word()
    }

    /// Takes the units and numbers after the first number.
    fn duration(&mut self) -> bool {
        if !self.accept(b"smhdwy") {
            return false;
        }
        self.accept(b"s");
        while self.accept(b"0123456789") {
            while self.accept(b"0123456789") {}
            if !self.accept(b"smhdw") {
                return false;
            }
            self.accept(b"s");
        }
        let ends = !self.next_is_word();
        self.at += usize::from(!ends);
        ends
    }
}
