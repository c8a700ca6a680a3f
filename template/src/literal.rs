//! Constants as Go writes them: numbers, characters, quoted strings (Go `strconv`).

use crate::values;

/// A number of a template.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Float(f64),
}

/// Reads a number: decimal, `0x`, `0o`, `0b`, octal with a leading zero, or a float.
pub(crate) fn number(text: &str) -> Result<Number, String> {
    let bad = || format!("illegal number syntax: {text:?}");
    let body = text.strip_prefix(['+', '-']).unwrap_or(text).to_ascii_lowercase();
    let is_hexadecimal = body.starts_with("0x");
    let is_float =
        if is_hexadecimal { body.contains(['.', 'p']) } else { body.contains(['.', 'e']) };
    if !is_float {
        return match integer(text) {
            Ok(Some(number)) => Ok(Number::Int(number)),
            Ok(None) => Err(format!("{text} overflows int")),
            Err(()) => Err(bad()),
        };
    }
    // Of floats only those with a base can have underscores.
    if body.contains('_') && !(is_hexadecimal && underscores_are_good(&body)) {
        return Err(bad());
    }
    values::float(&text.replace('_', "")).map(Number::Float).map_err(|_| bad())
}

/// Go's `strconv.ParseInt` with base 0; `None` for what does not fit.
pub(crate) fn integer(text: &str) -> Result<Option<i64>, ()> {
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = body.to_ascii_lowercase();
    let (digits, radix) = match lower.get(..2) {
        Some("0x") => (lower.get(2..), 16),
        Some("0b") => (lower.get(2..), 2),
        Some("0o") => (lower.get(2..), 8),
        _ if lower.len() > 1 && lower.starts_with('0') => (lower.get(1..), 8),
        _ => (Some(lower.as_str()), 10),
    };
    if lower.contains('_') && !underscores_are_good(&lower) {
        return Err(());
    }
    let digits = digits.unwrap_or("").replace('_', "");
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(());
    }
    let sign = if negative { "-" } else { "" };
    Ok(i64::from_str_radix(&format!("{sign}{digits}"), radix).ok())
}

/// Underscores separate digits, or a base and a digit.
fn underscores_are_good(lower: &str) -> bool {
    let body = match lower.strip_prefix('0') {
        Some(body) => body.strip_prefix(['x', 'b', 'o']).unwrap_or(body),
        None if lower.starts_with('_') => return false,
        None => lower,
    };
    !body.contains("__") && !body.ends_with('_')
}

/// The code of a character constant: `'x'`, `'\n'`.
pub(crate) fn character(text: &str) -> Result<i64, String> {
    let bad = || format!("malformed character constant: {text}");
    let body = text
        .strip_prefix('\'')
        .and_then(|body| body.strip_suffix('\''))
        .filter(|body| !body.is_empty())
        .ok_or_else(bad)?;
    let mut pieces = Unquote { rest: body, quote: '\'' };
    match (pieces.next(), pieces.rest) {
        (Some(Ok(Piece::Char(c))), "") => Ok(i64::from(u32::from(c))),
        (Some(Ok(Piece::Byte(byte))), "") => Ok(i64::from(byte)),
        _ => Err(bad()),
    }
}

/// The text of a string in quotes or back quotes. Bytes that are no text are replaced.
pub(crate) fn unquote(text: &str) -> Result<String, String> {
    if let Some(raw) = text.strip_prefix('`') {
        return Ok(raw.strip_suffix('`').unwrap_or(raw).replace('\r', ""));
    }
    let body = text.strip_prefix('"').and_then(|body| body.strip_suffix('"')).unwrap_or(text);
    let mut bytes = Vec::with_capacity(body.len());
    for piece in (Unquote { rest: body, quote: '"' }) {
        match piece {
            Ok(Piece::Char(c)) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Ok(Piece::Byte(byte)) => bytes.push(byte),
            Err(()) => return Err(format!("invalid syntax in string {text}")),
        }
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

enum Piece {
    Char(char),
    /// From `\x80` or `\200`.
    Byte(u8),
}

struct Unquote<'t> {
    rest: &'t str,
    quote: char,
}

impl Unquote<'_> {
    fn take(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..)?;
        Some(c)
    }

    fn code(&mut self, digits: usize, radix: u32) -> Option<u32> {
        let text = self.rest.get(..digits)?;
        if !text.chars().all(|c| c.is_digit(radix)) {
            return None;
        }
        self.rest = self.rest.get(digits..)?;
        u32::from_str_radix(text, radix).ok()
    }

    fn escaped(&mut self) -> Option<Piece> {
        let c = self.take()?;
        Some(match c {
            'a' => Piece::Char('\u{7}'),
            'b' => Piece::Char('\u{8}'),
            'f' => Piece::Char('\u{c}'),
            'n' => Piece::Char('\n'),
            'r' => Piece::Char('\r'),
            't' => Piece::Char('\t'),
            'v' => Piece::Char('\u{b}'),
            '\\' => Piece::Char('\\'),
            'x' => Piece::Byte(u8::try_from(self.code(2, 16)?).ok()?),
            'u' => Piece::Char(char::from_u32(self.code(4, 16)?)?),
            'U' => Piece::Char(char::from_u32(self.code(8, 16)?)?),
            '0'..='7' => {
                let more = self.code(2, 8)?;
                Piece::Byte(u8::try_from(c.to_digit(8)? * 64 + more).ok()?)
            }
            c if c == self.quote => Piece::Char(c),
            _ => return None,
        })
    }
}

impl Iterator for Unquote<'_> {
    type Item = Result<Piece, ()>;

    fn next(&mut self) -> Option<Self::Item> {
        let c = self.take()?;
        Some(match c {
            '\\' => self.escaped().ok_or(()),
            c if c == self.quote || c == '\n' => Err(()),
            c => Ok(Piece::Char(c)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_go() {
        for (text, expected) in [
            ("1", Number::Int(1)),
            ("-7", Number::Int(-7)),
            ("+7", Number::Int(7)),
            ("0x1F", Number::Int(31)),
            ("0X1f", Number::Int(31)),
            ("010", Number::Int(8)),
            ("0o10", Number::Int(8)),
            ("0b101", Number::Int(5)),
            ("0x_1F", Number::Int(31)),
            ("1_000", Number::Int(1000)),
            ("-9223372036854775808", Number::Int(i64::MIN)),
            ("1.5", Number::Float(1.5)),
            (".5", Number::Float(0.5)),
            ("1e3", Number::Float(1000.0)),
            ("-1E-1", Number::Float(-0.1)),
            ("0x1p4", Number::Float(16.0)),
        ] {
            assert_eq!(number(text), Ok(expected), "{text}");
        }
        for bad in [
            "1__0",
            "1_",
            "1_0.5",
            "08",
            "0x",
            "-",
            "1e",
            "0b2",
            "9223372036854775808",
            ".",
            "0x1.8",
            "",
        ] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn strings_are_unquoted_as_go_does() {
        for (text, expected) in [
            (r#""""#, ""),
            (r#""a\tb\n\"\\""#, "a\tb\n\"\\"),
            (r#""\x41\101\u00e9\U0001F600""#, "AA\u{e9}\u{1f600}"),
            (r#""\xc3\xa9""#, "\u{e9}"),
            (r#""\xff""#, "\u{fffd}"),
            ("`a\\n\r\n`", "a\\n\n"),
        ] {
            assert_eq!(unquote(text).as_deref(), Ok(expected), "{text}");
        }
        for bad in [r#""\'""#, r#""\z""#, r#""\x4""#, r#""\ud800""#, r#""\400""#] {
            assert!(unquote(bad).is_err(), "{bad}");
        }
        assert_eq!(character("'a'"), Ok(97));
        assert_eq!(character(r"'\''"), Ok(39));
        assert_eq!(character(r"'\n'"), Ok(10));
        for bad in ["''", "'ab'", r"'\''x'", r#"'\"'"#] {
            assert!(character(bad).is_err(), "{bad}");
        }
    }
}
