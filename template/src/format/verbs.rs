//! Values under a verb.

use super::numbers::{Style, float, integer, pad};
use super::{Bounded, Full, own_string};
use crate::value::Value;

/// Writes a value under a verb. Inside of lists and maps nil is written as it is.
///
/// The depth is that of values, which is bounded when they are made; objects bound their own.
pub(super) fn value(
    out: &mut Bounded<'_>,
    style: &Style,
    verb: char,
    value: &Value<'_>,
    is_inside: bool,
) -> Result<(), Full> {
    if verb == 'T' && !is_inside {
        return text(out, style, 's', value.type_name(), false);
    }
    let shows_source = verb == 'v' && style.sharp;
    if matches!(verb, 'v' | 's' | 'x' | 'X' | 'q')
        && !shows_source
        && let Some(own) = own_string(value)
    {
        return text(out, &plain_v(style, verb), verb, &own, false);
    }
    shaped(out, style, verb, value, is_inside)
}

/// `+` of `%+v` shows the names of fields and no sign.
fn plain_v(style: &Style, verb: char) -> Style {
    if verb == 'v' { Style { plus: false, ..*style } } else { *style }
}

/// The same for a value whose own way of printing does not count.
fn shaped(
    out: &mut Bounded<'_>,
    style: &Style,
    verb: char,
    given: &Value<'_>,
    is_inside: bool,
) -> Result<(), Full> {
    let flat = plain_v(style, verb);
    match given {
        Value::Nil if is_inside => out.push("<nil>"),
        Value::Nil if verb == 'v' => pad(out, &flat, "<nil>"),
        Value::Bool(truth) if matches!(verb, 't' | 'v') => {
            pad(out, &flat, if *truth { "true" } else { "false" })
        }
        Value::Int(number) | Value::Duration(number) => match verb {
            'v' | 'd' | 'b' | 'o' | 'O' | 'x' | 'X' => {
                let flat = Style { sharp: style.sharp && verb != 'v', ..flat };
                integer(out, &flat, *number, verb)
            }
            'c' => pad(out, &flat, &character(*number).to_string()),
            'q' => pad(out, &flat, &quote_character(character(*number), style.plus)),
            'U' => pad(out, &flat, &unicode(*number, style.sharp)),
            _ => bad(out, style, verb, given),
        },
        Value::Float(number)
            if matches!(verb, 'v' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'b' | 'x' | 'X') =>
        {
            float(out, &flat, *number, verb)
        }
        Value::Text(words) if matches!(verb, 'v' | 's' | 'x' | 'X' | 'q') => {
            text(out, &flat, verb, words, style.sharp && verb == 'v')
        }
        Value::List(list) => {
            let (open, between, close) = brackets(style, verb, given, "[", "]");
            out.push(&open)?;
            for (i, item) in list.items().iter().enumerate() {
                if i > 0 {
                    out.push(between)?;
                }
                value(out, style, verb, item, true)?;
            }
            out.push(close)
        }
        Value::Map(map) => {
            let (open, between, close) = brackets(style, verb, given, "map[", "]");
            out.push(&open)?;
            for (i, (key, item)) in map.entries().iter().enumerate() {
                if i > 0 {
                    out.push(between)?;
                }
                entry(out, style, verb, &Value::Text(key.clone()), item)?;
            }
            out.push(close)
        }
        Value::Texts(texts) => {
            let (open, between, close) = brackets(style, verb, given, "map[", "]");
            out.push(&open)?;
            for (i, (key, item)) in texts.pairs().into_iter().enumerate() {
                if i > 0 {
                    out.push(between)?;
                }
                entry(out, style, verb, &Value::Text(key), &Value::Text(item))?;
            }
            out.push(close)
        }
        Value::Struct(plain) => {
            let (open, between, close) = brackets(style, verb, given, "{", "}");
            out.push(&open)?;
            for (i, (name, item)) in plain.fields().iter().enumerate() {
                if i > 0 {
                    out.push(between)?;
                }
                if verb == 'v' && (style.plus || style.sharp) {
                    out.push(name)?;
                    out.push(":")?;
                }
                value(out, style, verb, item, true)?;
            }
            out.push(close)
        }
        Value::Object(object) => shaped(out, style, verb, &object.plain(), is_inside),
        _ => bad(out, style, verb, given),
    }
}

fn entry(
    out: &mut Bounded<'_>,
    style: &Style,
    verb: char,
    key: &Value<'_>,
    item: &Value<'_>,
) -> Result<(), Full> {
    value(out, style, verb, key, true)?;
    out.push(":")?;
    value(out, style, verb, item, true)
}

/// What is around and between the elements of a value; `%#v` writes Go's source.
fn brackets(
    style: &Style,
    verb: char,
    value: &Value<'_>,
    open: &'static str,
    close: &'static str,
) -> (String, &'static str, &'static str) {
    if verb == 'v' && style.sharp {
        return (format!("{}{{", value.type_name()), ", ", "}");
    }
    (open.to_owned(), " ", close)
}

/// `%!d(string=x)`: a verb that the value can not be written with.
fn bad(out: &mut Bounded<'_>, style: &Style, verb: char, given: &Value<'_>) -> Result<(), Full> {
    out.push(&format!("%!{verb}("))?;
    match given {
        Value::Nil => out.push("<nil>")?,
        // Times have no shape that could be shown.
        Value::Time(_) => out.push(given.type_name())?,
        given => {
            out.push(given.type_name())?;
            out.push("=")?;
            // Flags stay, but for that of the source form.
            let style = Style { sharp: false, ..*style };
            let verb = match given {
                Value::Int(_) | Value::Duration(_) => 'd',
                Value::Float(_) => 'g',
                _ => 'v',
            };
            shaped(out, &style, verb, given, false)?;
        }
    }
    out.push(")")
}

/// A text under a verb.
fn text(
    out: &mut Bounded<'_>,
    style: &Style,
    verb: char,
    words: &str,
    shows_source: bool,
) -> Result<(), Full> {
    let cut = |most: usize| match words.char_indices().nth(most) {
        Some((end, _)) => words.get(..end).unwrap_or(words),
        None => words,
    };
    let kept = style.precision.map_or(words, cut);
    match verb {
        'x' | 'X' => {
            let count = style.precision.unwrap_or(words.len()).min(words.len());
            let bytes = words.as_bytes().get(..count).unwrap_or(&[]);
            pad(out, style, &hexadecimal(bytes, style, verb == 'X'))
        }
        'q' if style.sharp && !kept.contains('`') && kept.chars().all(can_be_raw) => {
            pad(out, style, &format!("`{kept}`"))
        }
        'q' => pad(out, style, &quote(kept, style.plus)),
        _ if shows_source => pad(out, style, &quote(kept, false)),
        _ => pad(out, style, kept),
    }
}

fn can_be_raw(c: char) -> bool {
    c == '\t' || (c >= ' ' && c != '\u{7f}' && c != '\u{feff}')
}

fn hexadecimal(bytes: &[u8], style: &Style, is_upper: bool) -> String {
    let mark = if is_upper { "0X" } else { "0x" };
    let mut made = String::new();
    for (i, byte) in bytes.iter().enumerate() {
        if style.space && i > 0 {
            made.push(' ');
        }
        if style.sharp && (i == 0 || style.space) {
            made.push_str(mark);
        }
        made.push_str(&if is_upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
    }
    made
}

fn character(code: i64) -> char {
    u32::try_from(code).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn unicode(code: i64, shows_character: bool) -> String {
    let c = u32::try_from(code).ok().and_then(char::from_u32);
    let shown = match c.filter(|c| shows_character && is_printable(*c)) {
        Some(c) => format!(" '{c}'"),
        None => String::new(),
    };
    format!("U+{code:04X}{shown}")
}

/// Go's `strconv.IsPrint`, as far as Rust's own notion of it agrees.
pub(crate) fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        c if c.is_ascii() || c.is_whitespace() => false,
        // A mark is only shown behind a letter.
        c => !String::from_iter(['a', c]).escape_debug().any(|c| c == '\\'),
    }
}

fn push_quoted(made: &mut String, c: char, quote: char, only_ascii: bool) {
    match c {
        c if c == quote || c == '\\' => made.extend(['\\', c]),
        '\u{7}' => made.push_str("\\a"),
        '\u{8}' => made.push_str("\\b"),
        '\u{c}' => made.push_str("\\f"),
        '\n' => made.push_str("\\n"),
        '\r' => made.push_str("\\r"),
        '\t' => made.push_str("\\t"),
        '\u{b}' => made.push_str("\\v"),
        c if is_printable(c) && (c.is_ascii() || !only_ascii) => made.push(c),
        c => {
            let code = u32::from(c);
            made.push_str(&match code {
                0..0x80 => format!("\\x{code:02x}"),
                0x80..0x10000 => format!("\\u{code:04x}"),
                _ => format!("\\U{code:08x}"),
            });
        }
    }
}

/// Go's `strconv.Quote`.
pub(crate) fn quote(words: &str, only_ascii: bool) -> String {
    let mut made = String::with_capacity(words.len() + 2);
    made.push('"');
    words.chars().for_each(|c| push_quoted(&mut made, c, '"', only_ascii));
    made.push('"');
    made
}

fn quote_character(c: char, only_ascii: bool) -> String {
    let mut made = String::from('\'');
    push_quoted(&mut made, c, '\'', only_ascii);
    made.push('\'');
    made
}
