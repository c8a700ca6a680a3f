//! Reading JSON lines the way Loki's parser does: member by member, without a look at what follows,
//! so that a broken line gives the members before the break.

use std::borrow::Cow;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueKind {
    Text,
    Number,
    Bool,
    Null,
    Object,
    Array,
}

type Result<T, E = &'static str> = std::result::Result<T, E>;

const MALFORMED: &str = "Malformed JSON error";
const MALFORMED_OBJECT: &str = "Value looks like object, but can't find closing '}' symbol";
const MALFORMED_ARRAY: &str = "Value is array, but can't find closing ']' symbol";
const MALFORMED_TEXT: &str = "Value looks like string, but can't find closing '\"' symbol";
const MALFORMED_ESCAPE: &str = "Encountered an invalid escape sequence in a string";
const UNKNOWN: &str = "Unknown value type";

/// Objects in each other deeper than this are not looked into.
const DEPTH_MAX: usize = 64;

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Reader { text, at: 0 }
    }

    /// The next byte that is no blank; it is not taken.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.at += blanks;
        self.text.as_bytes().get(self.at).copied()
    }

    /// The inside of a text whose first quote is taken, and whether it has escapes.
    fn quoted(&mut self) -> Option<(&'a str, bool)> {
        let start = self.at;
        let (mut escaped, mut has_escapes) = (false, false);
        for (i, byte) in self.text.as_bytes().get(start..)?.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => (escaped, has_escapes) = (true, true),
                b'"' => {
                    self.at = start + i + 1;
                    return Some((self.text.get(start..start + i)?, has_escapes));
                }
                _ => {}
            }
        }
        None
    }

    /// The end of an object or an array that begins here.
    fn block_end(&self, open: u8, close: u8) -> Option<usize> {
        let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
        for (i, byte) in self.text.as_bytes().get(self.at..)?.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                _ if in_text => {}
                byte if *byte == open => depth += 1,
                byte if *byte == close => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(self.at + i + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// The next value: a text without its quotes, everything else as written.
    fn value(&mut self) -> Result<(ValueKind, &'a str)> {
        let first = self.peek().ok_or(MALFORMED)?;
        let start = self.at;
        let kind = match first {
            b'"' => {
                self.at += 1;
                let (text, _) = self.quoted().ok_or(MALFORMED_TEXT)?;
                return Ok((ValueKind::Text, text));
            }
            b'{' => {
                self.at = self.block_end(b'{', b'}').ok_or(MALFORMED_OBJECT)?;
                ValueKind::Object
            }
            b'[' => {
                self.at = self.block_end(b'[', b']').ok_or(MALFORMED_ARRAY)?;
                ValueKind::Array
            }
            _ => {
                let rest = &self.text.as_bytes()[start..];
                let ends = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b',' | b'}' | b']');
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
                match (first, self.text.get(start..self.at).unwrap_or("")) {
                    (_, "true" | "false") => ValueKind::Bool,
                    (_, "null") => ValueKind::Null,
                    (b'0'..=b'9' | b'-', _) => ValueKind::Number,
                    _ => return Err(UNKNOWN),
                }
            }
        };
        Ok((kind, self.text.get(start..self.at).unwrap_or("")))
    }
}

/// Visits the members of an object until the visitor answers `false`. Keys are unescaped; what
/// follows the object is not looked at.
pub(super) fn members<'a>(
    text: &'a str,
    visit: &mut dyn FnMut(Cow<'a, str>, ValueKind, &'a str) -> Result<bool>,
) -> Result<()> {
    let mut reader = Reader::new(text);
    if reader.peek() != Some(b'{') {
        return Err(MALFORMED_OBJECT);
    }
    reader.at += 1;
    if reader.peek().ok_or(MALFORMED)? == b'}' {
        return Ok(());
    }
    loop {
        match reader.peek().ok_or(MALFORMED_ARRAY)? {
            b'"' => reader.at += 1,
            b'}' => return Ok(()),
            _ => return Err(MALFORMED_OBJECT),
        }
        let (key, has_escapes) = reader.quoted().ok_or(MALFORMED)?;
        let key = if has_escapes {
            unescape(key).ok_or(MALFORMED_ESCAPE)?.into()
        } else {
            Cow::Borrowed(key)
        };
        if reader.peek() != Some(b':') {
            return Err(MALFORMED);
        }
        reader.at += 1;
        let (kind, value) = reader.value()?;
        if !visit(key, kind, value)? {
            return Ok(());
        }
        match reader.peek().ok_or(MALFORMED_ARRAY)? {
            b'}' => return Ok(()),
            b',' => reader.at += 1,
            _ => return Err(MALFORMED_OBJECT),
        }
    }
}

/// What is done with the values of an object.
pub(super) trait Leaves<'a> {
    /// Whether to look into the object that the keys lead to.
    fn enters(&mut self, keys: &[Cow<'a, str>]) -> bool;

    /// Sees the keys that lead to a value and the value; answers whether to go on.
    fn visit(&mut self, keys: &[Cow<'a, str>], kind: ValueKind, raw: &'a str) -> bool;
}

/// Visits texts, numbers and truths of an object and of those in it, by the keys that lead to them,
/// until the visitor answers `false`.
pub(super) fn leaves<'a>(
    text: &'a str,
    keys: &mut Vec<Cow<'a, str>>,
    visitor: &mut dyn Leaves<'a>,
) -> Result<bool> {
    let mut goes_on = true;
    members(text, &mut |key, kind, value| {
        keys.push(key);
        match kind {
            ValueKind::Object if keys.len() < DEPTH_MAX && visitor.enters(keys) => {
                goes_on = leaves(value, keys, visitor)?;
            }
            ValueKind::Text | ValueKind::Number | ValueKind::Bool => {
                goes_on = visitor.visit(keys, kind, value);
            }
            ValueKind::Object | ValueKind::Array | ValueKind::Null => {}
        }
        keys.pop();
        Ok(goes_on)
    })?;
    Ok(goes_on)
}

/// A text without its escapes; `None` if one of them is no escape of JSON.
pub(super) fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = *rest.as_bytes().get(at + 1)?;
        let mut length = 2;
        match escape {
            b'"' | b'\\' | b'/' | b'\'' => out.push(char::from(escape)),
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let unit = |at: usize| {
                    let digits = rest.get(at..at + 4)?;
                    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
                    u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)
                };
                let first = unit(at + 2)?;
                let second = (rest.get(at + 6..at + 8) == Some("\\u"))
                    .then(|| unit(at + 8))
                    .flatten()
                    .filter(|_| (0xd800..0xdc00).contains(&first));
                let units: Vec<u16> = [Some(first), second].into_iter().flatten().collect();
                match String::from_utf16(&units) {
                    Ok(text) => {
                        out.push_str(&text);
                        length = if second.is_some() { 12 } else { 6 };
                    }
                    // Half of a pair is a blank, as everything that is no text.
                    Err(_) => {
                        out.push(' ');
                        length = 6;
                    }
                }
            }
            _ => return None,
        }
        rest = rest.get(at + length..)?;
    }
    out.push_str(rest);
    Some(out)
}

/// The text of a value as a label has it. Replacement characters become blanks.
pub(super) fn label_text(kind: ValueKind, raw: &str) -> Cow<'_, str> {
    if kind != ValueKind::Text {
        return raw.into();
    }
    let text: Cow<'_, str> =
        if raw.contains('\\') { unescape(raw).unwrap_or_default().into() } else { raw.into() };
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return text.replace(char::REPLACEMENT_CHARACTER, " ").into();
    }
    text
}

/// Where a value is: `a.b[0]["c d"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Path {
    /// Reads a path.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("cannot parse expression [{text}]: {why}");
        let mut steps = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('[') {
                let inside = inside.trim_start();
                let (step, after) = if let Some(quoted) = inside.strip_prefix('"') {
                    let (key, after) =
                        quoted.split_once('"').ok_or_else(|| bad("unterminated key"))?;
                    (Step::Key(key.to_owned()), after)
                } else {
                    let digits = inside.bytes().take_while(u8::is_ascii_digit).count();
                    let index = inside[..digits]
                        .parse()
                        .map_err(|_| bad("expected an index or a key in quotes after ["))?;
                    (Step::Index(index), &inside[digits..])
                };
                steps.push(step);
                rest = after
                    .trim_start()
                    .strip_prefix(']')
                    .ok_or_else(|| bad("expected ]"))?
                    .trim_start();
                continue;
            }
            if !steps.is_empty() {
                rest = rest.strip_prefix('.').ok_or_else(|| bad("expected . or ["))?.trim_start();
            }
            let length =
                rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
            let field = &rest[..length];
            if field.is_empty() || field.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(bad("expected the name of a field"));
            }
            steps.push(Step::Key(field.to_owned()));
            rest = rest[length..].trim_start();
        }
        if steps.is_empty() { Err(bad("it is empty")) } else { Ok(Path(steps)) }
    }

    /// The value in a line, if it is there.
    pub(super) fn find<'a>(&self, line: &'a str) -> Option<(ValueKind, &'a str)> {
        let mut reader = Reader::new(line);
        let mut found = reader.value().ok()?;
        for step in &self.0 {
            found = match (step, found) {
                (Step::Key(wanted), (ValueKind::Object, text)) => {
                    let mut value = None;
                    // What is broken behind the value does not matter.
                    let _ends = members(text, &mut |key, kind, raw| {
                        if key == wanted.as_str() {
                            value = Some((kind, raw));
                        }
                        Ok(value.is_none())
                    })
                    .is_ok();
                    value?
                }
                (Step::Index(wanted), (ValueKind::Array, text)) => element(text, *wanted)?,
                _ => return None,
            };
        }
        Some(found)
    }
}

fn element(array: &str, wanted: usize) -> Option<(ValueKind, &str)> {
    let mut reader = Reader::new(array);
    reader.at = 1;
    for index in 0.. {
        if reader.peek()? == b']' {
            return None;
        }
        let value = reader.value().ok()?;
        if index == wanted {
            return Some(value);
        }
        if reader.peek()? != b',' {
            return None;
        }
        reader.at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_found_up_to_where_a_line_breaks() {
        struct All(Vec<String>);
        impl<'a> Leaves<'a> for All {
            fn enters(&mut self, keys: &[Cow<'a, str>]) -> bool {
                keys != ["closed"]
            }

            fn visit(&mut self, keys: &[Cow<'a, str>], kind: ValueKind, raw: &'a str) -> bool {
                self.0.push(format!("{}={}", keys.join("."), label_text(kind, raw)));
                true
            }
        }
        let read = |line: &str| {
            let mut found = All(Vec::new());
            let result = leaves(line, &mut Vec::new(), &mut found);
            (found.0.join(" "), result.err())
        };
        let line = r#" {"a":1,"b":{"c":"x\"y","d":[1,{"e":2}]},"f":null,"g":true} rest"#;
        assert_eq!(read(line), ("a=1 b.c=x\"y g=true".to_owned(), None));
        assert_eq!(read(r#"{"a":1,"b":"#), ("a=1".to_owned(), Some(MALFORMED)));
        assert_eq!(read(r#"{"a":1,"b":xyz}"#), ("a=1".to_owned(), Some(UNKNOWN)));
        assert_eq!(read(r#"{"closed":{"b":xyz},"a":1}"#), ("a=1".to_owned(), None));
        assert_eq!(read("text"), (String::new(), Some(MALFORMED_OBJECT)));
        assert_eq!(read("{}"), (String::new(), None));
        assert_eq!(read("{\"a\":\"x"), (String::new(), Some(MALFORMED_TEXT)));
    }

    #[test]
    fn paths_lead_to_values() {
        let line = r#"{"a":{"b c":[10,{"d":"x"}]},"e":1"#;
        let whole = format!("{line}}}");
        for (path, expected) in [
            ("a", Some(r#"{"b c":[10,{"d":"x"}]}"#)),
            (r#"a["b c"][0]"#, Some("10")),
            (r#"a["b c"][1].d"#, Some("x")),
            (r#"["e"]"#, Some("1")),
            ("a.b", None),
            (r#"a["b c"][7]"#, None),
        ] {
            let path = Path::parse(path).unwrap();
            assert_eq!(path.find(&whole).map(|(_, raw)| raw), expected, "{path:?}");
        }
        for bad in ["", "a.", "a[", "a[x]", "a b", "1", "a[0"] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn escapes_are_those_of_json() {
        assert_eq!(unescape(r"a\n\u00e9\ud83d\ude00").unwrap(), "a\n\u{e9}\u{1f600}");
        assert_eq!(unescape(r"\ud83d!").unwrap(), " !");
        assert_eq!(unescape(r"\q"), None);
        assert_eq!(unescape("\\"), None);
        assert_eq!(unescape(r"\u12"), None);
    }
}
