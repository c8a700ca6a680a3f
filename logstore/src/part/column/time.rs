//! Times as text that are near those of their rows: `2026-11-22T10:00:00.123Z`, or digits since
//! 1970 such as `1795341600123`. Only how far each is from the time of its row is kept, in units of its
//! last digit, which mostly is little.

use disk::codec::{CodecError, Reader};

/// How the times of a column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeShape {
    /// Between date and time; zero if seconds are counted from 1970.
    separator: u8,
    /// Before the fraction; zero if there is none.
    point: u8,
    /// Digits of the fraction.
    digits: u32,
    /// Whether a `Z` ends it.
    has_zone: bool,
}

const SECONDS_LENGTH: usize = 19;
/// Digits of the seconds since 1970 from 2001 to 2286.
const EPOCH_LENGTH: usize = 10;
/// Numbers of so many digits are times if they are no further from those of their rows.
const EPOCH_DISTANCE_MAX: i64 = 86_400;
const DIGITS_MAX: u32 = 9;
const SECOND_NS: i64 = 1_000_000_000;
/// Years that nanoseconds since 1970 can express.
const YEARS: std::ops::RangeInclusive<i64> = 1700..=2250;

impl TimeShape {
    /// The shape that all values have, and for each its distance from the time of its row.
    pub(crate) fn find(
        values: &[&[u8]],
        times: impl Iterator<Item = i64>,
    ) -> Option<(Self, Vec<u64>)> {
        let shape = Self::of(values.first()?)?;
        let distance = |(value, at): (&&[u8], i64)| {
            let own = shape.parse(value)?;
            let distance = own.wrapping_sub(at.div_euclid(shape.unit()));
            let is_near = distance.unsigned_abs() / (SECOND_NS / shape.unit()) as u64
                <= EPOCH_DISTANCE_MAX as u64;
            if shape.is_epoch() && !is_near {
                return None;
            }
            Some(((distance << 1) ^ (distance >> 63)) as u64)
        };
        let distances = values.iter().zip(times).map(distance).collect::<Option<_>>()?;
        Some((shape, distances))
    }

    /// How a value is written, if it may be a time.
    fn of(first: &[u8]) -> Option<Self> {
        if first.iter().all(u8::is_ascii_digit) {
            let digits = first.len().checked_sub(EPOCH_LENGTH)?;
            let is_unit = matches!(digits, 0 | 3 | 6 | 9);
            let shape =
                TimeShape { separator: 0, point: 0, digits: digits as u32, has_zone: false };
            return is_unit.then_some(shape);
        }
        let (body, has_zone) = match first.strip_suffix(b"Z") {
            Some(body) => (body, true),
            None => (first, false),
        };
        let separator = *body.get(10).filter(|byte| matches!(byte, b'T' | b' '))?;
        let (point, digits) = match body.get(SECONDS_LENGTH) {
            None => (0, 0),
            Some(point) if matches!(point, b'.' | b',') => {
                (*point, (body.len() - SECONDS_LENGTH - 1) as u32)
            }
            Some(_) => return None,
        };
        if digits > DIGITS_MAX || (point != 0 && digits == 0) {
            return None;
        }
        Some(TimeShape { separator, point, digits, has_zone })
    }

    /// Whether it is a count of units since 1970.
    fn is_epoch(&self) -> bool {
        self.separator == 0
    }

    /// Nanoseconds of the last digit.
    fn unit(&self) -> i64 {
        10i64.pow(DIGITS_MAX - self.digits)
    }

    fn length(&self) -> usize {
        if self.is_epoch() {
            return EPOCH_LENGTH + self.digits as usize;
        }
        SECONDS_LENGTH
            + usize::from(self.point != 0)
            + self.digits as usize
            + usize::from(self.has_zone)
    }

    /// A value in units since 1970; `None` if it is not written in this way.
    pub(crate) fn parse(&self, value: &[u8]) -> Option<i64> {
        if value.len() != self.length() {
            return None;
        }
        let number = |from: usize, to: usize| {
            let digits = value.get(from..to)?;
            let all = digits.iter().all(u8::is_ascii_digit);
            all.then(|| digits.iter().fold(0i64, |sum, digit| sum * 10 + i64::from(digit - b'0')))
        };
        if self.is_epoch() {
            // Ten digits of seconds and nine of a fraction may be more than 63 bits hold.
            let text = std::str::from_utf8(value).ok()?;
            let is_plain = value.iter().all(u8::is_ascii_digit) && value.first() != Some(&b'0');
            return is_plain.then(|| text.parse().ok()).flatten();
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let fraction = match self.digits {
            0 => 0,
            digits => number(20, 20 + digits as usize)?,
        };
        if !YEARS.contains(&year) {
            return None;
        }
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        let time = seconds.checked_mul(SECOND_NS / self.unit())?.checked_add(fraction)?;
        // Whatever is not written as this writes it is no such time.
        let mut written = Vec::with_capacity(value.len());
        self.append(time, &mut written);
        (written == value).then_some(time)
    }

    /// The value of a row: its distance as it was found, and the time of the row.
    pub(crate) fn value(&self, distance: u64, at: i64) -> i64 {
        let distance = (distance >> 1) as i64 ^ -((distance & 1) as i64);
        at.div_euclid(self.unit()).wrapping_add(distance)
    }

    /// Appends a value in units since 1970.
    pub(crate) fn append(&self, time: i64, out: &mut Vec<u8>) {
        if self.is_epoch() {
            return out.extend_from_slice(time.to_string().as_bytes());
        }
        let units = SECOND_NS / self.unit();
        let (seconds, fraction) = (time.div_euclid(units), time.rem_euclid(units));
        let (year, month, day) = date(seconds.div_euclid(86_400));
        let clock = seconds.rem_euclid(86_400);
        put(out, year, 4);
        out.push(b'-');
        put(out, month, 2);
        out.push(b'-');
        put(out, day, 2);
        out.push(self.separator);
        put(out, clock / 3600, 2);
        out.push(b':');
        put(out, clock / 60 % 60, 2);
        out.push(b':');
        put(out, clock % 60, 2);
        if self.point != 0 {
            out.push(self.point);
            put(out, fraction, self.digits);
        }
        if self.has_zone {
            out.push(b'Z');
        }
    }

    /// The bytes that its values can have.
    pub(crate) fn bytes(&self) -> [u8; 15] {
        let mut bytes = *b"0123456789-:TZZ";
        if self.is_epoch() {
            return *b"012345678900000";
        }
        (bytes[12], bytes[13]) = (self.separator, if self.point == 0 { b'0' } else { self.point });
        bytes
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let digits = self.digits as u8;
        out.extend_from_slice(&[self.separator, self.point, digits, u8::from(self.has_zone)]);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let [separator, point, digits, zone] = reader.array()?;
        if u32::from(digits) > DIGITS_MAX {
            return Err(CodecError { offset: reader.offset(), expected: "digits of a time" });
        }
        Ok(TimeShape { separator, point, digits: digits.into(), has_zone: zone == 1 })
    }
}

fn put(out: &mut Vec<u8>, number: i64, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + (number / 10i64.pow(place) % 10).unsigned_abs() as u8);
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, in eras of 400 years that begin in
/// March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a number of days from 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days.saturating_add(719_468);
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * of_era + of_era / 4 - of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let year = era * 400 + of_era + i64::from(month >= 10);
    (year, if month < 10 { month + 3 } else { month - 9 }, of_year - (153 * month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], at: i64, distances: Option<&[u64]>) {
        let bytes: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        let found = TimeShape::find(&bytes, values.iter().map(|_| at));
        assert_eq!(found.as_ref().map(|(_, distances)| distances.as_slice()), distances);
        if let Some((shape, distances)) = found {
            for (value, distance) in values.iter().zip(distances) {
                let mut out = Vec::new();
                shape.append(shape.value(distance, at), &mut out);
                assert_eq!(String::from_utf8(out).unwrap(), *value);
            }
        }
    }

    #[test]
    fn times_of_rows_cost_nothing() {
        let at = 1_795_341_600_123_456_789;
        check(&["2026-11-22T10:00:00.123Z", "2026-11-22T10:00:00.124Z"], at, Some(&[0, 2]));
        check(&["2026-11-22 10:00:00,123456"], at, Some(&[0]));
        check(&["2026-11-22T10:00:00"], at, Some(&[0]));
        check(&["1970-01-01T00:00:00.000000000Z"], -1, Some(&[2]));
        check(&["2024-02-29T23:59:59Z"], at, Some(&[((1_795_341_600 - 1_709_251_199) << 1) - 1]));
        check(&["2026-02-30T10:00:00Z"], at, None);
        check(&["2026-11-22T25:00:00Z"], at, None);
        check(&["2026-11-22T10:00:00.Z"], at, None);
        check(&["2026-11-22T10:00:00.123Z", "2026-11-22T10:00:00.12Z"], at, None);
        check(&["not a time of any kind!"], at, None);
    }

    #[test]
    fn counts_since_1970_are_times_if_they_are_near() {
        let at = 1_795_341_600_123_456_789;
        check(&["1795341600123456790", "1795341600123456789"], at, Some(&[2, 0]));
        check(&["1795341600123456"], at, Some(&[0]));
        check(&["1795341600124"], at, Some(&[2]));
        check(&["1795341600"], at, Some(&[0]));
        check(&["1795428000"], at, Some(&[2 * 86_400]));
        check(&["1795428001"], at, None);
        check(&["0795341600"], at, None);
        check(&["1795341600", "17953416000"], at, None);
        check(&["9999999999999999999"], at, None);
        check(&["179534160"], at, None);
        check(&[""], at, None);
    }
}
