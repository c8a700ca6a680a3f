//! Small plots of characters: a curve with its scale and its times, and a trend in one line.
//!
//! Braille characters have two by four dots each; where they can not be shown, a cell has one
//! column of three heights.

use super::number;
use super::screen::Screen;

/// The part of time and of the values that a plot shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame {
    /// Seconds.
    pub(super) start: f64,
    /// Seconds, not before `start`.
    pub(super) end: f64,
    pub(super) low: f64,
    /// Above `low`.
    pub(super) high: f64,
    /// Points further apart in seconds are not joined.
    pub(super) gap_max: f64,
}

/// The lowest and the highest value to show for values from `low` to `high`. Zero is shown if it is
/// not far, since a curve that begins at its minimum looks worse than it is.
pub(super) fn scale(low: f64, high: f64) -> (f64, f64) {
    let (mut low, mut high) = (low, high);
    if low >= 0.0 && low <= high / 2.0 || low == high && low > 0.0 {
        low = 0.0;
    } else if high <= 0.0 && high >= low / 2.0 || low == high && low < 0.0 {
        high = 0.0;
    }
    if low == high { (low, high + 1.0) } else { (low, high) }
}

/// Dots in cells.
struct Canvas {
    columns: usize,
    rows: usize,
    /// Dots of a cell: across and down.
    dots: (usize, usize),
    /// Bits of a cell in reading order of its dots, row by row.
    cells: Vec<u16>,
}

impl Canvas {
    fn new(columns: usize, rows: usize, dots: (usize, usize)) -> Self {
        Canvas { columns, rows, dots, cells: vec![0; columns * rows] }
    }

    /// `y` counts from the bottom.
    fn set(&mut self, x: usize, y: usize) {
        let (across, down) = self.dots;
        let from_top = (self.rows * down).saturating_sub(1 + y);
        let cell = (from_top / down) * self.columns + x / across;
        if let Some(cell) = self.cells.get_mut(cell) {
            *cell |= 1 << ((from_top % down) * across + x % across);
        }
    }

    fn lines(&self) -> Vec<String> {
        let character = if self.dots == BRAILLE { braille } else { plain };
        let rows = self.cells.chunks(self.columns);
        rows.map(|row| row.iter().map(|bits| character(*bits)).collect()).collect()
    }
}

const BRAILLE: (usize, usize) = (2, 4);
const PLAIN: (usize, usize) = (1, 3);

/// The dots of a braille character are numbered down the left column, then down the right one, then
/// along the last row.
fn braille(bits: u16) -> char {
    const ORDER: [u32; 8] = [0, 3, 1, 4, 2, 5, 6, 7];
    let dots = (0..).zip(ORDER).filter(|(bit, _)| bits & (1 << bit) != 0);
    let code = dots.map(|(_, dot)| 1 << dot).sum::<u32>();
    if code == 0 { ' ' } else { char::from_u32(0x2800 + code).unwrap_or(' ') }
}

fn plain(bits: u16) -> char {
    match bits {
        0 => ' ',
        0b001 => '\'',
        0b010 => '-',
        0b100 => '.',
        _ => '|',
    }
}

/// The curve of `points` (seconds and values, in order of time) without axes.
fn curve(points: &[(f64, f64)], frame: Frame, size: (usize, usize), screen: Screen) -> Vec<String> {
    let dots = if screen.is_ascii { PLAIN } else { BRAILLE };
    let mut canvas = Canvas::new(size.0, size.1, dots);
    let (last_x, last_y) = (size.0 * dots.0 - 1, size.1 * dots.1 - 1);
    let place = |value: f64, low: f64, high: f64, last: usize| {
        let part = if high > low { (value - low) / (high - low) } else { 0.5 };
        (part.clamp(0.0, 1.0) * last as f64).round() as usize
    };
    let mut before: Option<(f64, usize, usize)> = None;
    for (at, value) in points.iter().filter(|(_, value)| value.is_finite()) {
        let x = place(*at, frame.start, frame.end, last_x);
        let y = place(*value, frame.low, frame.high, last_y);
        match before.filter(|(last_at, ..)| at - last_at <= frame.gap_max) {
            Some((_, from_x, from_y)) => join(&mut canvas, (from_x, from_y), (x, y)),
            None => canvas.set(x, y),
        }
        before = Some((*at, x, y));
    }
    canvas.lines()
}

/// Sets all dots of a line without leaving any height out.
fn join(canvas: &mut Canvas, from: (usize, usize), to: (usize, usize)) {
    let width = to.0.saturating_sub(from.0);
    let height_at = |x: usize| {
        let part = if width == 0 { 1.0 } else { (x - from.0) as f64 / width as f64 };
        (from.1 as f64 + (to.1 as f64 - from.1 as f64) * part).round() as usize
    };
    let mut last = from.1;
    for x in from.0..=to.0 {
        let y = height_at(x);
        for y in last.min(y)..=last.max(y) {
            canvas.set(x, y);
        }
        last = y;
    }
}

/// A curve with its scale to the left.
pub(super) fn plot(
    points: &[(f64, f64)],
    frame: Frame,
    rows: usize,
    label_width: usize,
    screen: Screen,
) -> Vec<String> {
    let columns = columns(label_width, screen);
    let labels = scale_labels(frame, rows);
    let axis = if screen.is_ascii { '|' } else { '\u{2502}' };
    let tick = if screen.is_ascii { '+' } else { '\u{2524}' };
    let curve = curve(points, frame, (columns, rows), screen);
    let lines = curve.iter().zip(labels).map(|(line, label)| {
        let axis = if label.is_empty() { axis } else { tick };
        format!("{label:>label_width$} {axis}{line}").trim_end().to_owned()
    });
    lines.collect()
}

/// How many columns the labels of the scale take.
pub(super) fn label_width(frame: Frame, rows: usize) -> usize {
    scale_labels(frame, rows).iter().map(String::len).max().unwrap_or(0)
}

/// How many columns are left for curves.
pub(super) fn columns(label_width: usize, screen: Screen) -> usize {
    screen.width.saturating_sub(label_width + 2).max(10)
}

/// From top to bottom; empty where there is no label.
fn scale_labels(frame: Frame, rows: usize) -> Vec<String> {
    let middle = if rows >= 5 { rows / 2 } else { usize::MAX };
    let label = |row: usize| match row {
        0 => number::short(frame.high),
        row if row + 1 == rows => number::short(frame.low),
        row if row == middle => {
            let part = 1.0 - row as f64 / (rows - 1) as f64;
            number::short(frame.low + (frame.high - frame.low) * part)
        }
        _ => String::new(),
    };
    (0..rows).map(label).collect()
}

/// The axis below a plot, and the times of its marks.
pub(super) fn time_axis(
    frame: Frame,
    label_width: usize,
    screen: Screen,
    clock: impl Fn(f64) -> String,
) -> [String; 2] {
    const COLUMNS_OF_A_MARK: usize = 16;
    let columns = columns(label_width, screen);
    let marks = (columns / COLUMNS_OF_A_MARK).clamp(2, 7);
    let (corner, line, mark) =
        if screen.is_ascii { ('+', '-', '+') } else { ('\u{2514}', '\u{2500}', '\u{252c}') };
    let mut axis = vec![line; columns];
    let mut words = vec![' '; columns];
    for i in 0..marks {
        let place = i * (columns - 1) / (marks - 1);
        if let Some(character) = axis.get_mut(place) {
            *character = mark;
        }
        let at = frame.start + (frame.end - frame.start) * place as f64 / (columns - 1) as f64;
        let word = clock(at);
        let first = place.saturating_sub(word.len() / 2).min(columns.saturating_sub(word.len()));
        for (slot, character) in words.iter_mut().skip(first).zip(word.chars()) {
            *slot = character;
        }
    }
    let text = |characters: Vec<char>| characters.into_iter().collect::<String>();
    [
        format!("{:label_width$} {corner}{}", "", text(axis)),
        format!("{:label_width$}  {}", "", text(words).trim_end()),
    ]
}

/// The course of `points` in one line of `width` characters; each is the highest value of its time.
pub(super) fn trend(points: &[(f64, f64)], frame: Frame, width: usize, screen: Screen) -> String {
    const PLAIN_LEVELS: [char; 8] = ['_', '.', '-', '=', '+', 'x', '*', '#'];
    let mut highest: Vec<Option<f64>> = vec![None; width];
    let span = (frame.end - frame.start).max(f64::MIN_POSITIVE);
    let mut before: Option<(f64, usize, f64)> = None;
    for (at, value) in points.iter().filter(|(_, value)| value.is_finite()) {
        let slot = ((at - frame.start) / span * width as f64) as usize;
        let slot = slot.min(width.saturating_sub(1));
        // A value lasts until the next one.
        if let Some((_, from, lasting)) = before.filter(|(last, ..)| at - last <= frame.gap_max) {
            for between in highest.get_mut(from + 1..slot).unwrap_or_default() {
                *between = Some(lasting);
            }
        }
        if let Some(slot) = highest.get_mut(slot) {
            *slot = Some(slot.map_or(*value, |known| known.max(*value)));
        }
        before = Some((*at, slot, *value));
    }
    let level = |value: f64| {
        let level = ((value - frame.low) / (frame.high - frame.low) * 7.0).round() as usize;
        match screen.is_ascii {
            true => PLAIN_LEVELS.get(level).copied().unwrap_or('#'),
            false => char::from_u32(0x2581 + level.min(7) as u32).unwrap_or(' '),
        }
    };
    highest.into_iter().map(|value| value.map_or(' ', level)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASCII: Screen = Screen { width: 40, is_ascii: true, has_colour: false };
    const RAMP: Frame = Frame { start: 0.0, end: 100.0, low: 0.0, high: 10.0, gap_max: 25.0 };

    #[test]
    fn a_ramp_rises_and_its_scale_has_both_ends() {
        let points = [0.0, 25.0, 50.0, 75.0, 100.0].map(|at| (at, at / 10.0));
        let lines = plot(&points, RAMP, 3, 2, ASCII);
        assert!(lines[0].starts_with("10 +") && lines[2].starts_with(" 0 +"), "{lines:?}");
        assert!(lines[0].ends_with('\'') && lines[2].contains("+."), "{lines:?}");
    }

    #[test]
    fn points_far_apart_are_not_joined() {
        let lines = plot(&[(0.0, 0.0), (100.0, 0.0)], RAMP, 2, 2, ASCII);
        assert_eq!(lines[1].matches('.').count(), 2, "{lines:?}");
    }

    #[test]
    fn braille_dots_are_where_they_belong() {
        assert_eq!(braille(0b1), '\u{2801}');
        assert_eq!(braille(0b10), '\u{2808}');
        assert_eq!(braille(0b1100_0000), '\u{28c0}');
        let wide = Screen { is_ascii: false, ..ASCII };
        let lines = plot(&[(0.0, 0.0)], RAMP, 2, 2, wide);
        assert!(lines[1].ends_with("\u{2524}\u{2840}"), "{lines:?}");
    }

    #[test]
    fn a_scale_begins_at_zero_unless_that_is_far() {
        assert_eq!(scale(2.0, 10.0), (0.0, 10.0));
        assert_eq!(scale(9.0, 10.0), (9.0, 10.0));
        assert_eq!(scale(-10.0, -2.0), (-10.0, 0.0));
        assert_eq!(scale(3.0, 3.0), (0.0, 3.0));
        assert_eq!(scale(0.0, 0.0), (0.0, 1.0));
    }

    #[test]
    fn a_trend_keeps_the_highest_value_and_leaves_gaps() {
        let points = [(0.0, 0.0), (1.0, 10.0), (99.0, 5.0)];
        assert_eq!(trend(&points, RAMP, 4, ASCII), "#  +");
        let frame = Frame { gap_max: 100.0, ..RAMP };
        assert_eq!(trend(&points, frame, 4, ASCII), "###+");
    }

    #[test]
    fn the_axis_names_its_ends() {
        let [axis, words] = time_axis(RAMP, 2, ASCII, |at| format!("{at:.0}s"));
        assert_eq!(axis.chars().count(), 40);
        assert!(words.trim_start().starts_with("0s") && words.ends_with("100s"), "{words}");
    }
}
