//! Printing as Go's package `fmt` does: `print`, `println`, `printf`, and what an action prints.
//!
//! Not there: `%p`, `%w`, the `#` of floats, and the insides of times under verbs of numbers.

mod numbers;
mod verbs;

use crate::value::Value;

use numbers::Style;

pub(crate) use verbs::is_printable;

/// The output has no room left.
#[derive(Debug)]
pub(crate) struct Full;

/// An output that refuses to grow too long.
pub(crate) struct Bounded<'o> {
    out: &'o mut String,
    bytes_max: usize,
}

impl<'o> Bounded<'o> {
    pub(crate) fn new(out: &'o mut String, bytes_max: usize) -> Self {
        Bounded { out, bytes_max }
    }

    pub(crate) fn push(&mut self, text: &str) -> Result<(), Full> {
        if self.out.len() + text.len() > self.bytes_max {
            return Err(Full);
        }
        self.out.push_str(text);
        Ok(())
    }

    /// Adds a character several times.
    pub(crate) fn fill(&mut self, c: char, count: usize) -> Result<(), Full> {
        if self.out.len().saturating_add(count) > self.bytes_max {
            return Err(Full);
        }
        self.out.extend(std::iter::repeat_n(c, count));
        Ok(())
    }
}

/// What is written into a text; refuses what grows too long.
fn written(
    bytes_max: usize,
    write: impl FnOnce(&mut Bounded<'_>) -> Result<(), Full>,
) -> Result<String, String> {
    let mut out = String::new();
    write(&mut Bounded::new(&mut out, bytes_max))
        .map_err(|Full| format!("a text has more than {bytes_max} bytes"))?;
    Ok(out)
}

/// Prints a value as `%v` does.
pub(crate) fn print(out: &mut Bounded<'_>, value: &Value<'_>) -> Result<(), Full> {
    verbs::value(out, &Style::default(), 'v', value, false)
}

/// Go's `fmt.Sprint`: blanks only between two that are no strings.
pub(crate) fn sprint(values: &[Value<'_>], bytes_max: usize) -> Result<String, String> {
    written(bytes_max, |out| {
        let mut was_text = true;
        for (i, value) in values.iter().enumerate() {
            let is_text = matches!(value.plain(), Value::Text(_));
            if i > 0 && !is_text && !was_text {
                out.push(" ")?;
            }
            print(out, value)?;
            was_text = is_text;
        }
        Ok(())
    })
}

/// Go's `fmt.Sprintln`.
pub(crate) fn sprintln(values: &[Value<'_>], bytes_max: usize) -> Result<String, String> {
    written(bytes_max, |out| {
        for (i, value) in values.iter().enumerate() {
            if i > 0 {
                out.push(" ")?;
            }
            print(out, value)?;
        }
        out.push("\n")
    })
}

/// Go's `fmt.Sprintf`: what does not fit the format is told inside of the result.
pub(crate) fn sprintf(
    format: &str,
    values: &[Value<'_>],
    bytes_max: usize,
) -> Result<String, String> {
    written(bytes_max, |out| Printf { out, format, at: 0, values, next: 0, reordered: false }.run())
}

/// How `fmt.Sprint` would show arguments as one text.
pub(crate) fn joined(values: &[Value<'_>], bytes_max: usize) -> Result<String, String> {
    match values {
        [Value::Text(text)] => Ok(text.to_string()),
        values => {
            // A template shows nil as it does in an action.
            let shown: Vec<Value<'_>> = values
                .iter()
                .map(|value| match value {
                    Value::Nil => Value::text("<no value>"),
                    other => other.clone(),
                })
                .collect();
            sprint(&shown, bytes_max)
        }
    }
}

/// Widths and precisions from arguments above are refused, as Go does, and those ten times as large
/// in formats.
const WIDTH_MAX: usize = 1_000_000;

struct Printf<'o, 'b, 'f, 'v> {
    out: &'o mut Bounded<'b>,
    format: &'f str,
    at: usize,
    values: &'f [Value<'v>],
    next: usize,
    /// Whether an argument was named by its number: then nobody misses the others.
    reordered: bool,
}

/// A `[n]` of a format.
enum Index {
    None,
    Good,
    Bad,
}

impl Index {
    /// What is bad stays bad.
    fn and(self, next: Index) -> Index {
        match (self, next) {
            (Index::Bad, _) | (_, Index::Bad) => Index::Bad,
            (Index::None, Index::None) => Index::None,
            _ => Index::Good,
        }
    }
}

impl<'f, 'v> Printf<'_, '_, 'f, 'v> {
    fn peek(&self) -> Option<char> {
        self.format.get(self.at..)?.chars().next()
    }

    fn accept(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        if is_there {
            self.at += wanted.len_utf8();
        }
        is_there
    }

    fn run(mut self) -> Result<(), Full> {
        while let Some(rest) = self.format.get(self.at..).filter(|rest| !rest.is_empty()) {
            let length = rest.find('%').unwrap_or(rest.len());
            self.out.push(rest.get(..length).unwrap_or(""))?;
            self.at += length;
            if self.accept('%') {
                self.verb()?;
            }
        }
        if !self.reordered && self.next < self.values.len() {
            self.out.push("%!(EXTRA ")?;
            for (i, value) in self.values.iter().skip(self.next).enumerate() {
                if i > 0 {
                    self.out.push(", ")?;
                }
                match value {
                    Value::Nil => self.out.push("<nil>")?,
                    value => {
                        self.out.push(value.type_name())?;
                        self.out.push("=")?;
                        print(self.out, value)?;
                    }
                }
            }
            self.out.push(")")?;
        }
        Ok(())
    }

    fn flags(&mut self) -> Style {
        let mut style = Style::default();
        loop {
            if self.accept('#') {
                style.sharp = true;
            } else if self.accept('0') {
                style.zero = true;
            } else if self.accept('+') {
                style.plus = true;
            } else if self.accept('-') {
                style.minus = true;
            } else if self.accept(' ') {
                style.space = true;
            } else {
                break;
            }
        }
        style.zero &= !style.minus;
        style
    }

    /// The directive behind a `%`.
    fn verb(&mut self) -> Result<(), Full> {
        let mut style = self.flags();
        let mut index = self.index();
        let mut after_index = matches!(index, Index::Good);
        if self.accept('*') {
            match self.star() {
                Some(width) => {
                    style.width = Some(width.unsigned_abs());
                    if width < 0 {
                        style.minus = true;
                        style.zero = false;
                    }
                }
                None => self.out.push("%!(BADWIDTH)")?,
            }
            after_index = false;
        } else {
            style.width = self.number();
            if after_index && style.width.is_some() {
                index = Index::Bad;
            }
        }
        // A point at the very end is a verb.
        if self.at + 1 < self.format.len() && self.accept('.') {
            if after_index {
                index = Index::Bad;
            }
            let found = self.index();
            after_index |= !matches!(found, Index::None);
            index = index.and(found);
            if self.accept('*') {
                match self.star().and_then(|precision| usize::try_from(precision).ok()) {
                    Some(precision) => style.precision = Some(precision),
                    None => self.out.push("%!(BADPREC)")?,
                }
                after_index = false;
            } else {
                style.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !after_index {
            index = index.and(self.index());
        }
        let Some(verb) = self.peek() else { return self.out.push("%!(NOVERB)") };
        self.at += verb.len_utf8();
        if verb == '%' {
            return self.out.push("%");
        }
        let mark = |words: &str| format!("%!{verb}({words})");
        if matches!(index, Index::Bad) {
            return self.out.push(&mark("BADINDEX"));
        }
        let Some(value) = self.values.get(self.next) else {
            return self.out.push(&mark("MISSING"));
        };
        self.next += 1;
        verbs::value(self.out, &style, verb, value, false)
    }

    /// Digits of a width or precision.
    fn number(&mut self) -> Option<usize> {
        let rest = self.format.get(self.at..).unwrap_or("");
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        self.at += length;
        let digits = rest.get(..length).filter(|digits| !digits.is_empty())?;
        match digits.parse() {
            Ok(number) if number < 10 * WIDTH_MAX => Some(number),
            // Go gives up on such a format.
            _ => {
                self.at = self.format.len();
                None
            }
        }
    }

    /// The argument that a `*` stands for.
    fn star(&mut self) -> Option<isize> {
        let value = self.values.get(self.next);
        self.next += usize::from(value.is_some());
        match value {
            Some(Value::Int(number)) => {
                isize::try_from(*number).ok().filter(|number| number.unsigned_abs() <= WIDTH_MAX)
            }
            _ => None,
        }
    }

    /// Reads `[n]` if it is there, and goes to that argument.
    fn index(&mut self) -> Index {
        let rest = self.format.get(self.at..).unwrap_or("");
        if !rest.starts_with('[') {
            return Index::None;
        }
        self.reordered = true;
        let Some(end) = rest.find(']') else {
            self.at += 1;
            return Index::Bad;
        };
        self.at += end + 1;
        let place = rest.get(1..end).and_then(|digits| digits.parse::<usize>().ok());
        match place.and_then(|place| place.checked_sub(1)) {
            Some(place) if place < self.values.len() => {
                self.next = place;
                Index::Good
            }
            _ => Index::Bad,
        }
    }
}

/// How a value prints by itself, if it has a way of its own.
fn own_string(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Time(time) => Some(time.print()),
        Value::Duration(ns) => Some(crate::methods::duration_string(*ns)),
        Value::Object(object) => object.string(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
