//! The labels of a pushed stream, written as in a selector: `{app="shop", env="prod"}`.

use std::borrow::Cow;

type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Reads names and values in order; the error tells the byte and what was expected there.
pub(super) fn parse(text: &str) -> Result<Pairs<'_>, String> {
    let mut parser = Parser { text, at: 0 };
    let mut pairs = Vec::new();
    parser.expect('{')?;
    while !parser.take('}') {
        if !pairs.is_empty() {
            parser.expect(',')?;
            // A comma may end the list.
            if parser.take('}') {
                break;
            }
        }
        let name = parser.name()?;
        parser.expect('=')?;
        let value = parser.quoted()?;
        pairs.push((name, value));
    }
    parser.skip_space();
    match parser.rest() {
        "" => Ok(pairs),
        _ => Err(parser.expected("the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn expected(&self, what: &str) -> String {
        format!("expected {what} at byte {} of the labels", self.at)
    }

    fn take(&mut self, wanted: char) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(wanted);
        self.at += if found { wanted.len_utf8() } else { 0 };
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.take(wanted) { Ok(()) } else { Err(self.expected(&format!("{wanted:?}"))) }
    }

    fn name(&mut self) -> Result<Cow<'a, str>, String> {
        self.skip_space();
        if self.rest().starts_with('"') {
            return self.quoted();
        }
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let rest = self.rest();
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        if length == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.expected("the name of a label"));
        }
        self.at += length;
        Ok(Cow::Borrowed(&rest[..length]))
    }

    /// A string as Go writes it: in double quotes with escapes, or in backquotes as it is.
    fn quoted(&mut self) -> Result<Cow<'a, str>, String> {
        self.skip_space();
        let rest = self.rest();
        let Some(quote @ ('"' | '`')) = rest.chars().next() else {
            return Err(self.expected("a quoted value"));
        };
        let inner = &rest[1..];
        let end = inner.find(|c| c == quote || c == '\\' && quote == '"');
        let Some(end) = end else { return Err(self.expected("a value with an end quote")) };
        if inner[end..].starts_with(quote) {
            self.at += end + 2;
            return Ok(Cow::Borrowed(&inner[..end]));
        }
        self.at += 1;
        self.escaped()
    }

    fn escaped(&mut self) -> Result<Cow<'a, str>, String> {
        let mut bytes = Vec::new();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find(['"', '\\']) else {
                return Err(self.expected("a value with an end quote"));
            };
            bytes.extend_from_slice(&rest.as_bytes()[..end]);
            self.at += end + 1;
            if rest[end..].starts_with('"') {
                let value = String::from_utf8(bytes);
                return value.map(Cow::Owned).map_err(|_| self.expected("a value of UTF-8 before"));
            }
            self.escape(&mut bytes)?;
        }
    }

    /// What follows a backslash (Go's `strconv.Unquote`).
    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let Some(c) = self.rest().chars().next() else {
            return Err(self.expected("an escaped character"));
        };
        let plain = match c {
            'a' => Some(0x07),
            'b' => Some(0x08),
            'f' => Some(0x0c),
            'n' => Some(b'\n'),
            'r' => Some(b'\r'),
            't' => Some(b'\t'),
            'v' => Some(0x0b),
            '\\' => Some(b'\\'),
            '"' => Some(b'"'),
            _ => None,
        };
        if let Some(byte) = plain {
            bytes.push(byte);
            self.at += 1;
            return Ok(());
        }
        let (skip, digits, radix) = match c {
            'x' => (1, 2, 16),
            'u' => (1, 4, 16),
            'U' => (1, 8, 16),
            '0'..='7' => (0, 3, 8),
            _ => return Err(self.expected("a known escape")),
        };
        let number = self.rest().get(skip..skip + digits);
        let number = number.filter(|digits| digits.chars().all(|c| c.is_digit(radix)));
        let number = number.and_then(|digits| u32::from_str_radix(digits, radix).ok());
        let Some(number) = number else { return Err(self.expected("the digits of an escape")) };
        match c {
            'u' | 'U' => {
                let Some(c) = char::from_u32(number) else {
                    return Err(self.expected("the number of a character"));
                };
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => match u8::try_from(number) {
                Ok(byte) => bytes.push(byte),
                Err(_) => return Err(self.expected("the number of a byte")),
            },
        }
        self.at += skip + digits;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let pairs = parse(text).unwrap();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(pairs, expected, "{text}");
    }

    #[test]
    fn labels_are_read_as_a_selector_writes_them() {
        check("{}", &[]);
        check(r#"{app="shop", env = "prod",}"#, &[("app", "shop"), ("env", "prod")]);
        check(r#" { "service.name"="a b" } "#, &[("service.name", "a b")]);
        check(r#"{a="\"\\\n\t\x41\u00e9\101"}"#, &[("a", "\"\\\n\tA\u{e9}A")]);
        check(r#"{a=`C:\dir`, b=""}"#, &[("a", r"C:\dir"), ("b", "")]);
    }

    #[test]
    fn errors_name_the_byte_and_what_belongs_there() {
        for (text, expected) in [
            ("", "expected '{' at byte 0"),
            ("{a}", "expected '=' at byte 2"),
            (r#"{a="b" c="d"}"#, "expected ',' at byte 7"),
            (r#"{a="b"#, "expected a value with an end quote at byte 3"),
            (r#"{a="\q"}"#, "expected a known escape at byte 5"),
            (r#"{a="\xff"}"#, "expected a value of UTF-8 before at byte 9"),
            (r#"{1a="b"}"#, "expected the name of a label at byte 1"),
            ("{a=b}", "expected a quoted value at byte 3"),
            ("{} x", "expected the end at byte 3"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_quoted_is_read_back(name in "[a-z_][a-z0-9_]{0,3}", value in ".{0,8}") {
            let quoted = value.replace('\\', r"\\").replace('"', r#"\""#);
            let text = format!("{{{name}=\"{quoted}\"}}");
            prop_assert_eq!(parse(&text).unwrap(), [(Cow::from(name), Cow::from(value))]);
        }

        #[test]
        fn arbitrary_text_never_panics(text in r#"[{}="`\\,a-z0-9\u{e9} ]{0,16}"#) {
            parse(&text).ok();
        }
    }
}
