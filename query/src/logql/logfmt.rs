//! Reading `key=value` lines as Loki does (3.8, `pkg/logql/log/logfmt`): byte by byte, with the
//! same words for what is wrong.

use std::borrow::Cow;

/// Reads one line.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    line: &'a str,
    at: usize,
    /// The last mistake.
    pub(super) error: Option<String>,
}

/// A key and its value; a key alone has an empty value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pair<'a> {
    pub(super) key: &'a str,
    pub(super) value: Cow<'a, str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Reader { line, at: 0, error: None }
    }

    /// The next pair; `Some(None)` for something that is none, `None` at the end.
    pub(super) fn next_pair(&mut self) -> Option<Option<Pair<'a>>> {
        let bytes = self.line.as_bytes();
        let blanks = bytes.get(self.at..)?.iter().take_while(|b| **b <= b' ').count();
        self.at += blanks;
        if self.at >= bytes.len() {
            return None;
        }
        Some(self.pair())
    }

    fn pair(&mut self) -> Option<Pair<'a>> {
        let bytes = self.line.as_bytes();
        let start = self.at;
        let ends_key = |b: &u8| matches!(b, b'=' | b'"') || *b <= b' ';
        let length = bytes[start..].iter().position(ends_key).unwrap_or(bytes.len() - start);
        self.at += length;
        // Delimiters are ASCII, so all places are boundaries of characters.
        let key = self.line.get(start..self.at).unwrap_or("");
        match bytes.get(self.at) {
            Some(b'=') if !key.is_empty() => {}
            Some(byte @ (b'=' | b'"')) => return self.unexpected(*byte),
            _ => return Some(Pair { key, value: "".into() }),
        }
        if key.contains(char::REPLACEMENT_CHARACTER) {
            self.fail("invalid key");
            return self.skip();
        }
        self.at += 1;
        match bytes.get(self.at) {
            None => return Some(Pair { key, value: "".into() }),
            Some(byte) if *byte <= b' ' => return Some(Pair { key, value: "".into() }),
            Some(b'"') => return self.quoted(key),
            Some(_) => {}
        }
        let start = self.at;
        let length = bytes[start..].iter().position(ends_key).unwrap_or(bytes.len() - start);
        self.at += length;
        match bytes.get(self.at) {
            Some(byte @ (b'=' | b'"')) => self.unexpected(*byte),
            _ => {
                let value = self.line.get(start..self.at).unwrap_or("").into();
                Some(Pair { key, value })
            }
        }
    }

    fn quoted(&mut self, key: &'a str) -> Option<Pair<'a>> {
        let bytes = self.line.as_bytes();
        let start = self.at + 1;
        let (mut escaped, mut has_escapes) = (false, false);
        for (i, byte) in bytes[start..].iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => (escaped, has_escapes) = (true, true),
                b'"' => {
                    self.at = start + i + 1;
                    let inside = self.line.get(start..start + i).unwrap_or("");
                    if !has_escapes {
                        return Some(Pair { key, value: inside.into() });
                    }
                    let Some(value) = super::json::unescape(inside) else {
                        self.fail("invalid quoted value");
                        return None;
                    };
                    return Some(Pair { key, value: value.into() });
                }
                _ => {}
            }
        }
        self.at = bytes.len();
        self.fail("unterminated quoted value");
        None
    }

    fn fail(&mut self, what: &str) {
        self.error = Some(format!("logfmt syntax error at pos {} : {what}", self.at + 1));
    }

    fn unexpected<T>(&mut self, byte: u8) -> Option<T> {
        self.fail(&format!("unexpected '{}'", char::from(byte)));
        self.skip()
    }

    /// Goes to the next blank.
    fn skip<T>(&mut self) -> Option<T> {
        let rest = &self.line.as_bytes()[self.at..];
        self.at += rest.iter().position(|b| *b <= b' ').unwrap_or(rest.len());
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (Vec<(String, String)>, Option<String>) {
        let mut reader = Reader::new(line);
        let mut pairs = Vec::new();
        while let Some(pair) = reader.next_pair() {
            pairs.extend(pair.map(|pair| (pair.key.to_owned(), pair.value.into_owned())));
        }
        (pairs, reader.error)
    }

    #[test]
    fn pairs_are_read_and_mistakes_are_named() {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        let (pairs, error) = read(r#"a=1 b="x \"y\" \u00e9" word c= d="" "#);
        let wanted = [
            pair("a", "1"),
            pair("b", "x \"y\" \u{e9}"),
            pair("word", ""),
            pair("c", ""),
            pair("d", ""),
        ];
        assert_eq!((pairs.as_slice(), error), (wanted.as_slice(), None));
        let (pairs, error) = read("a=b=c d=1 =x e=\"f");
        assert_eq!(pairs, [pair("d", "1")]);
        assert_eq!(error.unwrap(), "logfmt syntax error at pos 18 : unterminated quoted value");
        assert!(read("a\"b c=1").1.unwrap().contains("at pos 2 : unexpected '\"'"));
    }
}
