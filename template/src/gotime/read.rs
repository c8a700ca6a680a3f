//! Reading a time with a layout.

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};

use super::GoTime;
use super::layout::{DAYS, Item, MONTHS, items};

/// What a text said.
#[derive(Debug, Default)]
struct Found {
    year: i16,
    month: Option<i8>,
    day: Option<i8>,
    year_day: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
    is_afternoon: Option<bool>,
    offset_seconds: Option<i32>,
    zone: Option<String>,
}

pub(super) fn parse(layout: &str, zone: &TimeZone, text: &str) -> Option<GoTime> {
    let mut found = Found::default();
    let mut rest = text;
    let parts = items(layout);
    for (i, item) in parts.iter().enumerate() {
        rest = found.read(*item, rest)?;
        let is_second = matches!(item, Item::Second | Item::ZeroSecond);
        let has_fraction = matches!(parts.get(i + 1), Some(Item::Fraction { .. }));
        // A fraction behind the seconds is read whether the layout has one or not.
        if is_second && !has_fraction && rest.starts_with(['.', ',']) {
            let digits = rest.bytes().skip(1).take_while(u8::is_ascii_digit).count();
            if digits > 0 {
                rest = found.read_fraction(rest, digits)?;
            }
        }
    }
    if rest.is_empty() { found.time(zone) } else { None }
}

/// Digits at the start: at least `min`, at most `max`.
fn number(text: &str, min: usize, max: usize) -> Option<(i32, &str)> {
    let digits = text.bytes().take(max).take_while(u8::is_ascii_digit).count();
    if digits < min {
        return None;
    }
    Some((text.get(..digits)?.parse().ok()?, text.get(digits..)?))
}

fn small(text: &str, min: usize, max: usize) -> Option<(i8, &str)> {
    let (value, rest) = number(text, min, max)?;
    Some((i8::try_from(value).ok()?, rest))
}

/// The place of the name that the text begins with, in any case.
fn named<'t>(text: &'t str, names: &[&str], length: Option<usize>) -> Option<(i8, &'t str)> {
    let place = names.iter().position(|name| {
        let name = length.and_then(|length| name.get(..length)).unwrap_or(name);
        text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
    })?;
    let length = length.unwrap_or(names[place].len());
    Some((i8::try_from(place).ok()?, text.get(length..)?))
}

impl Found {
    fn read<'t>(&mut self, item: Item<'_>, text: &'t str) -> Option<&'t str> {
        let blank = text.strip_prefix(' ').unwrap_or(text);
        match item {
            Item::Text(expected) => {
                // Blanks stand for any number of blanks.
                let mut rest = text;
                for c in expected.chars() {
                    rest = match rest.strip_prefix(c) {
                        Some(rest) => rest,
                        None if c == ' ' => rest,
                        None => return None,
                    };
                    if c == ' ' {
                        rest = rest.trim_start_matches(' ');
                    }
                }
                return Some(rest);
            }
            Item::LongMonth | Item::Month => {
                let length = (item == Item::Month).then_some(3);
                let (month, rest) = named(text, &MONTHS, length)?;
                self.month = Some(month + 1);
                return Some(rest);
            }
            Item::LongDay | Item::ShortDay => {
                let length = (item == Item::ShortDay).then_some(3);
                return named(text, &DAYS, length).map(|(_, rest)| rest);
            }
            Item::Year => {
                let (year, rest) = number(text, 4, 4)?;
                self.year = i16::try_from(year).ok()?;
                return Some(rest);
            }
            Item::ShortYear => {
                let (year, rest) = number(text, 2, 2)?;
                let year = i16::try_from(year).ok()?;
                self.year = if year >= 69 { 1900 + year } else { 2000 + year };
                return Some(rest);
            }
            Item::BlankYearDay | Item::ZeroYearDay => {
                let (day, rest) = number(text.trim_start_matches(' '), 1, 3)?;
                self.year_day = Some(i16::try_from(day).ok()?);
                return Some(rest);
            }
            Item::Noon | Item::LowerNoon => {
                let (place, rest) = named(text, &["AM", "PM"], None)?;
                self.is_afternoon = Some(place == 1);
                return Some(rest);
            }
            Item::Zone => {
                let length = text.bytes().take_while(u8::is_ascii_alphabetic).count();
                let length = if length >= 3 { length } else { offset_length(text)? };
                self.zone = Some(text.get(..length)?.to_owned());
                return text.get(length..);
            }
            Item::Offset { utc_as_z, colons, minutes, seconds } => {
                return self.read_offset(text, utc_as_z, colons, minutes, seconds);
            }
            Item::Fraction { mark, digits, trims } => {
                let there = text.bytes().skip(1).take_while(u8::is_ascii_digit).count();
                if !text.starts_with(['.', ',']) || there == 0 {
                    return if trims { Some(text) } else { None };
                }
                let _either = mark;
                return self.read_fraction(text, if trims { there } else { digits });
            }
            _ => {}
        }
        let (field, (value, rest)) = match item {
            Item::MonthNumber => {
                let (month, rest) = small(text, 1, 2)?;
                self.month = Some(month);
                return Some(rest);
            }
            Item::ZeroMonth => {
                let (month, rest) = small(text, 2, 2)?;
                self.month = Some(month);
                return Some(rest);
            }
            Item::Day | Item::BlankDay | Item::ZeroDay => {
                let min = if item == Item::ZeroDay { 2 } else { 1 };
                let (day, rest) = small(if min == 1 { blank } else { text }, min, 2)?;
                self.day = Some(day);
                return Some(rest);
            }
            Item::Hour | Item::ZeroHour12 => (&mut self.hour, small(text, 2, 2)?),
            Item::Hour12 => (&mut self.hour, small(text, 1, 2)?),
            Item::Minute => (&mut self.minute, small(text, 1, 2)?),
            Item::ZeroMinute => (&mut self.minute, small(text, 2, 2)?),
            Item::Second => (&mut self.second, small(text, 1, 2)?),
            Item::ZeroSecond => (&mut self.second, small(text, 2, 2)?),
            _ => return None,
        };
        *field = value;
        Some(rest)
    }

    fn read_fraction<'t>(&mut self, text: &'t str, digits: usize) -> Option<&'t str> {
        let part = text.get(1..1 + digits)?;
        let nine: String = part.chars().chain("000000000".chars()).take(9).collect();
        self.nanosecond = nine.parse().ok()?;
        text.get(1 + digits..)
    }

    fn read_offset<'t>(
        &mut self,
        text: &'t str,
        utc_as_z: bool,
        colons: bool,
        minutes: bool,
        seconds: bool,
    ) -> Option<&'t str> {
        if utc_as_z && let Some(rest) = text.strip_prefix('Z') {
            self.offset_seconds = Some(0);
            return Some(rest);
        }
        let (sign, mut rest) = match text.split_at_checked(1)? {
            ("+", rest) => (1, rest),
            ("-", rest) => (-1, rest),
            _ => return None,
        };
        let mut total = 0;
        for (i, (is_there, factor)) in
            [(true, 3600), (minutes, 60), (seconds, 1)].into_iter().enumerate()
        {
            if !is_there {
                continue;
            }
            if colons && i > 0 {
                rest = rest.strip_prefix(':')?;
            }
            let (value, after) = number(rest, 2, 2)?;
            total += value * factor;
            rest = after;
        }
        self.offset_seconds = Some(sign * total);
        Some(rest)
    }

    fn time(self, zone: &TimeZone) -> Option<GoTime> {
        let hour = match self.is_afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let date = match (self.year_day, self.month, self.day) {
            (Some(day), None, None) => {
                Date::new(self.year, 1, 1).ok()?.with().day_of_year(day).build().ok()?
            }
            (_, month, day) => Date::new(self.year, month.unwrap_or(1), day.unwrap_or(1)).ok()?,
        };
        let time = jiff::civil::Time::new(hour, self.minute, self.second, self.nanosecond).ok()?;
        let civil = date.to_datetime(time);
        if let Some(seconds) = self.offset_seconds {
            let offset = Offset::from_seconds(seconds).ok()?;
            let at = offset.to_timestamp(civil).ok()?;
            let name = self
                .zone
                .unwrap_or_else(|| if seconds == 0 { "UTC".to_owned() } else { String::new() });
            let time = GoTime { at, offset, zone: name };
            return Some(if time.zone.is_empty() { named_offset(time) } else { time });
        }
        let zone = match self.zone.as_deref() {
            Some("UTC") => &TimeZone::UTC,
            _ => zone,
        };
        let at = zone.to_ambiguous_timestamp(civil).compatible().ok()?;
        let info = zone.to_offset_info(at);
        Some(GoTime { at, offset: info.offset(), zone: info.abbreviation().to_owned() })
    }
}

/// The length of a zone that is written as an offset: `+0300`.
fn offset_length(text: &str) -> Option<usize> {
    let digits = text.strip_prefix(['+', '-'])?.bytes().take_while(u8::is_ascii_digit).count();
    (digits >= 2).then_some(digits + 1)
}

/// A zone without a name is called by its offset, as Go prints it.
fn named_offset(time: GoTime) -> GoTime {
    let zone = time.format("-0700");
    GoTime { zone, ..time }
}
