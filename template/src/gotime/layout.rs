//! The parts of a layout.

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The name at a place; empty out of range.
pub(super) fn name(names: &[&'static str], place: i8) -> &'static str {
    usize::try_from(place).ok().and_then(|place| names.get(place)).copied().unwrap_or("")
}

/// A part of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Text(&'a str),
    LongMonth,
    Month,
    MonthNumber,
    ZeroMonth,
    LongDay,
    ShortDay,
    Day,
    BlankDay,
    ZeroDay,
    BlankYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    Year,
    ShortYear,
    Noon,
    LowerNoon,
    Zone,
    Offset { utc_as_z: bool, colons: bool, minutes: bool, seconds: bool },
    Fraction { mark: char, digits: usize, trims: bool },
}

const fn offset(utc_as_z: bool, colons: bool, minutes: bool, seconds: bool) -> Item<'static> {
    Item::Offset { utc_as_z, colons, minutes, seconds }
}

/// Longest first, so that a prefix does not hide a longer part.
const PARTS: [(&str, Item<'static>); 35] = [
    ("January", Item::LongMonth),
    ("Monday", Item::LongDay),
    ("2006", Item::Year),
    ("-07:00:00", offset(false, true, true, true)),
    ("-07:00", offset(false, true, true, false)),
    ("-070000", offset(false, false, true, true)),
    ("-0700", offset(false, false, true, false)),
    ("-07", offset(false, false, false, false)),
    ("Z07:00:00", offset(true, true, true, true)),
    ("Z07:00", offset(true, true, true, false)),
    ("Z070000", offset(true, false, true, true)),
    ("Z0700", offset(true, false, true, false)),
    ("Z07", offset(true, false, false, false)),
    ("__2", Item::BlankYearDay),
    ("002", Item::ZeroYearDay),
    ("MST", Item::Zone),
    ("Jan", Item::Month),
    ("Mon", Item::ShortDay),
    ("_2006", Item::Year),
    ("_2", Item::BlankDay),
    ("01", Item::ZeroMonth),
    ("02", Item::ZeroDay),
    ("03", Item::ZeroHour12),
    ("04", Item::ZeroMinute),
    ("05", Item::ZeroSecond),
    ("06", Item::ShortYear),
    ("15", Item::Hour),
    ("PM", Item::Noon),
    ("pm", Item::LowerNoon),
    ("1", Item::MonthNumber),
    ("2", Item::Day),
    ("3", Item::Hour12),
    ("4", Item::Minute),
    ("5", Item::Second),
    ("", Item::Text("")),
];

/// The parts of a layout in order; text between them is a part.
pub(super) fn items(layout: &str) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    let (mut text_start, mut at) = (0, 0);
    while let Some(rest) = layout.get(at..).filter(|rest| !rest.is_empty()) {
        let Some((length, item)) = part(rest) else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        if text_start < at {
            items.push(Item::Text(&layout[text_start..at]));
        }
        // `_2006` is an underscore and a year.
        if rest.starts_with("_2006") {
            items.push(Item::Text("_"));
        }
        items.push(item);
        at += length;
        text_start = at;
    }
    if text_start < layout.len() {
        items.push(Item::Text(&layout[text_start..]));
    }
    items
}

fn part(rest: &str) -> Option<(usize, Item<'static>)> {
    if let Some(fraction) = fraction(rest) {
        return Some(fraction);
    }
    let (text, item) = PARTS.iter().find(|(text, _)| {
        rest.starts_with(text)
            // `January` is not `Jan` with something behind it, `Month` is no `Mon`.
            && !(*text == "Jan" || *text == "Mon")
            || (*text == "Jan" || *text == "Mon")
                && rest.starts_with(text)
                && !rest[text.len()..].starts_with(|c: char| c.is_ascii_lowercase())
    })?;
    (!text.is_empty()).then_some((text.len(), *item))
}

/// `.000` or `,999`, with no digit behind it.
fn fraction(rest: &str) -> Option<(usize, Item<'static>)> {
    let mark = rest.chars().next().filter(|c| matches!(c, '.' | ','))?;
    let digit = *rest.as_bytes().get(1).filter(|b| matches!(b, b'0' | b'9'))?;
    let digits = rest.bytes().skip(1).take_while(|b| *b == digit).count();
    let is_end = !rest.as_bytes().get(1 + digits).is_some_and(u8::is_ascii_digit);
    let fits = is_end && digits <= 9;
    fits.then_some((1 + digits, Item::Fraction { mark, digits, trims: digit == b'9' }))
}
