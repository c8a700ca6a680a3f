//! Times as Go's templates have them: an instant with an offset and the name of a zone, written and
//! read with layouts such as `2006-01-02T15:04:05Z07:00` (Go `time/format.go`).
//!
//! Zones are known by name where a time is read in one; after that a time keeps its offset.

mod arithmetic;
mod layout;
mod read;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use layout::{Item, items};

/// As Go prints a time by itself.
const PRINTED: &str = "2006-01-02 15:04:05.999999999 -0700 MST";

/// An instant and where its clock hangs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoTime {
    at: Timestamp,
    offset: Offset,
    zone: String,
}

impl GoTime {
    /// In UTC.
    pub(crate) fn utc(at: Timestamp) -> Self {
        GoTime { at, offset: Offset::UTC, zone: "UTC".to_owned() }
    }

    /// From nanoseconds since the epoch.
    pub(crate) fn of_ns(ns: i64) -> Self {
        GoTime::utc(Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// From seconds since the epoch; `None` if they are out of reach.
    pub(crate) fn of_seconds(seconds: i64) -> Option<Self> {
        Timestamp::from_second(seconds).ok().map(GoTime::utc)
    }

    /// Go's zero time: what a text becomes that can not be read.
    pub(crate) fn zero() -> Self {
        const SECONDS: i64 = -62_135_596_800;
        GoTime::of_seconds(SECONDS).unwrap_or_else(|| GoTime::of_ns(0))
    }

    /// Reads a text that is in a zone unless it says another one. `UTC` stands for a zone that is
    /// not known.
    pub(crate) fn parse(layout: &str, zone: &str, text: &str) -> Option<Self> {
        read::parse(layout, &TimeZone::get(zone).unwrap_or(TimeZone::UTC), text)
    }

    /// As Go prints it by itself.
    pub(crate) fn print(&self) -> String {
        self.format(PRINTED)
    }

    /// The same instant in UTC.
    pub(crate) fn to_utc(&self) -> Self {
        GoTime::utc(self.at)
    }

    /// Nanoseconds since the epoch.
    pub(crate) fn unix_ns(&self) -> i128 {
        self.at.as_nanosecond()
    }

    /// The name of a month, counted from one.
    pub(crate) fn month_name(month: i8) -> &'static str {
        layout::name(&layout::MONTHS, month - 1)
    }

    /// The name of a day, counted from Sunday, which is zero.
    pub(crate) fn day_name(day: i8) -> &'static str {
        layout::name(&layout::DAYS, day)
    }

    /// What the calendar and the clock show.
    pub(crate) fn civil(&self) -> DateTime {
        self.offset.to_datetime(self.at)
    }

    /// Writes it with a layout.
    pub(crate) fn format(&self, layout: &str) -> String {
        let civil = self.civil();
        let (hour, minute, second) = (civil.hour(), civil.minute(), civil.second());
        let nanosecond = civil.subsec_nanosecond();
        let mut out = String::with_capacity(layout.len() + 8);
        for item in items(layout) {
            match item {
                Item::Text(text) => out.push_str(text),
                Item::LongMonth => out.push_str(GoTime::month_name(civil.month())),
                Item::Month => {
                    out.extend(GoTime::month_name(civil.month()).chars().take(3));
                }
                Item::LongDay | Item::ShortDay => {
                    let day = civil.weekday().to_sunday_zero_offset();
                    let name = GoTime::day_name(day);
                    let length = if item == Item::LongDay { name.len() } else { 3 };
                    out.extend(name.chars().take(length));
                }
                Item::Year => out.push_str(&format!("{:04}", civil.year())),
                Item::ShortYear => out.push_str(&format!("{:02}", civil.year().rem_euclid(100))),
                Item::MonthNumber => out.push_str(&civil.month().to_string()),
                Item::ZeroMonth => out.push_str(&format!("{:02}", civil.month())),
                Item::Day => out.push_str(&civil.day().to_string()),
                Item::BlankDay => out.push_str(&format!("{:2}", civil.day())),
                Item::ZeroDay => out.push_str(&format!("{:02}", civil.day())),
                Item::BlankYearDay => out.push_str(&format!("{:3}", civil.day_of_year())),
                Item::ZeroYearDay => out.push_str(&format!("{:03}", civil.day_of_year())),
                Item::Hour => out.push_str(&format!("{hour:02}")),
                Item::Hour12 => out.push_str(&twelve(hour).to_string()),
                Item::ZeroHour12 => out.push_str(&format!("{:02}", twelve(hour))),
                Item::Minute => out.push_str(&minute.to_string()),
                Item::ZeroMinute => out.push_str(&format!("{minute:02}")),
                Item::Second => out.push_str(&second.to_string()),
                Item::ZeroSecond => out.push_str(&format!("{second:02}")),
                Item::Noon => out.push_str(if hour >= 12 { "PM" } else { "AM" }),
                Item::LowerNoon => out.push_str(if hour >= 12 { "pm" } else { "am" }),
                Item::Zone => out.push_str(&self.zone),
                Item::Offset { utc_as_z: true, .. } if self.offset.is_zero() => out.push('Z'),
                Item::Offset { colons, minutes, seconds, .. } => {
                    self.push_offset(colons, minutes, seconds, &mut out);
                }
                Item::Fraction { mark, digits, trims } => {
                    let all = format!("{nanosecond:09}");
                    let part = all.get(..digits).unwrap_or(&all);
                    let part = if trims { part.trim_end_matches('0') } else { part };
                    if !part.is_empty() {
                        out.push(mark);
                        out.push_str(part);
                    }
                }
            }
        }
        out
    }

    fn push_offset(&self, colons: bool, minutes: bool, seconds: bool, out: &mut String) {
        let total = self.offset.seconds();
        out.push(if total < 0 { '-' } else { '+' });
        let total = total.unsigned_abs();
        let colon = if colons { ":" } else { "" };
        out.push_str(&format!("{:02}", total / 3600));
        if minutes {
            out.push_str(&format!("{colon}{:02}", total % 3600 / 60));
        }
        if seconds {
            out.push_str(&format!("{colon}{:02}", total % 60));
        }
    }
}

fn twelve(hour: i8) -> i8 {
    if hour % 12 == 0 { 12 } else { hour % 12 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_layouts() {
        // 2009-02-13 23:31:30.123456789 UTC.
        let time = GoTime::of_ns(1_234_567_890_123_456_789);
        for (layout, expected) in [
            ("2006-01-02T15:04:05Z07:00", "2009-02-13T23:31:30Z"),
            ("2006-01-02T15:04:05.000-0700", "2009-02-13T23:31:30.123+0000"),
            ("Monday, 02-Jan-06 3:04PM MST", "Friday, 13-Feb-09 11:31PM UTC"),
            ("Mon Jan _2 15:04:05.999999 2006", "Fri Feb 13 23:31:30.123456 2009"),
            ("January 2, 1/2 03:4:5 pm 002", "February 13, 2/13 11:31:30 pm 044"),
            ("2006 date 15h", "2009 date 23h"),
        ] {
            assert_eq!(time.format(layout), expected, "{layout}");
        }
        assert_eq!(time.print(), "2009-02-13 23:31:30.123456789 +0000 UTC");
        assert_eq!(GoTime::zero().print(), "0001-01-01 00:00:00 +0000 UTC");
    }

    #[test]
    fn times_are_read_with_layouts() {
        for (layout, zone, text, seconds) in [
            ("2006-01-02", "UTC", "2009-02-13", 1_234_483_200),
            ("2006-01-02T15:04:05Z07:00", "UTC", "2009-02-14T00:31:30+01:00", 1_234_567_890),
            ("2006-01-02T15:04:05Z07:00", "UTC", "2009-02-13T23:31:30Z", 1_234_567_890),
            ("Jan _2 15:04:05 2006", "America/New_York", "Feb 13 18:31:30 2009", 1_234_567_890),
            ("02/Jan/2006:15:04:05 -0700", "UTC", "13/Feb/2009:23:31:30 +0000", 1_234_567_890),
            ("3:04PM 2.1.2006", "UTC", "11:31PM 13.2.2009", 1_234_567_860),
        ] {
            let time = GoTime::parse(layout, zone, text);
            let found = time.map(|time| time.unix_ns() / 1_000_000_000);
            assert_eq!(found, Some(seconds), "{layout} {text}");
        }
        // A fraction is read where the layout has none.
        let time = GoTime::parse("15:04:05 2006-01-02", "UTC", "00:00:01.25 1970-01-01").unwrap();
        assert_eq!(time.unix_ns(), 1_250_000_000);
        for (layout, text) in [
            ("2006-01-02", "2009-13-01"),
            ("2006-01-02", "2009-02-30"),
            ("2006-01-02", "2009-02-13x"),
            ("2006-01-02", ""),
            ("15:04", "25:00"),
        ] {
            assert_eq!(GoTime::parse(layout, "UTC", text), None, "{layout} {text}");
        }
        let printed = GoTime::parse("2006-01-02", "Asia/Tokyo", "2009-02-13").unwrap().print();
        assert_eq!(printed, "2009-02-13 00:00:00 +0900 JST");
    }
}
