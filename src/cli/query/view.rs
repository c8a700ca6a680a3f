//! The answer to a query as text: what was asked when, what all series share, then a table, and
//! plots above it for a range.

use model::TimestampMs;
use regex::Regex;

use super::When;
use super::answer::{Answer, Element, Metric, Track};
use super::number;
use super::plot::{self, Frame};
use super::screen::Screen;
use super::table::{self, Column, Kind, common_labels, label_columns, selector};
use super::times;

/// With more series than this, a trend of one line each instead of a plot.
const PLOTS_MAX: usize = 4;
/// Characters of a trend.
const TREND_MIN: usize = 20;
const TREND_MAX: usize = 40;

/// The lines of an answer.
pub(super) fn answer(answer: &Answer, when: When, screen: Screen) -> String {
    let lines = match answer {
        Answer::Scalar((_, value)) => vec![number::show_text(value)],
        Answer::String((_, value)) => vec![value.clone()],
        Answer::Vector(elements) => vector(elements, when, screen),
        Answer::Matrix(tracks) => matrix(tracks, when, screen),
    };
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn vector(elements: &[Element], when: When, screen: Screen) -> Vec<String> {
    let at = match when {
        When::At(at) => format!("at {} UTC", times::show(at)),
        When::Range { .. } => String::new(),
    };
    let metrics: Vec<&Metric> = elements.iter().map(|element| &element.metric).collect();
    let (common, differing) = common_labels(&metrics);
    let mut lines = heading(metrics.len(), &common, &at, screen);
    if elements.is_empty() {
        return lines;
    }
    let mut columns = label_columns(&metrics, &differing);
    let value = |element: &Element| match (&element.value, &element.histogram) {
        (Some((_, value)), _) => number::show_text(value),
        (None, Some((_, histogram))) => histogram.summary(),
        (None, None) => String::new(),
    };
    let has_histograms = elements.iter().any(|element| element.histogram.is_some());
    let kind = if has_histograms { Kind::Fixed } else { Kind::Number };
    columns.push(Column::new("value", kind, elements.iter().map(value).collect()));
    lines.push(String::new());
    lines.extend(table::lines(&columns, screen));
    lines
}

/// What it is about, in one line that fits or wraps as a whole.
fn heading(count: usize, common: &Metric, when: &str, screen: Screen) -> Vec<String> {
    let series = match count {
        0 => return vec![format!("no series {when}")],
        1 => "1 series".to_owned(),
        count => format!("{count} series"),
    };
    let mut lines = Vec::new();
    if !common.is_empty() {
        lines.push(screen.bold(&selector(common)));
    }
    lines.push(screen.faint(&format!("{series} {when}")));
    lines
}

fn matrix(tracks: &[Track], when: When, screen: Screen) -> Vec<String> {
    let points: Vec<Vec<(f64, f64)>> = tracks.iter().map(Track::points).collect();
    let span = Span::of(&points, when);
    let metrics: Vec<&Metric> = tracks.iter().map(|track| &track.metric).collect();
    let (common, differing) = common_labels(&metrics);
    let mut lines = heading(metrics.len(), &common, &span.words, screen);
    if tracks.is_empty() {
        return lines;
    }
    if let Some(frame) = span.frame(&points)
        && tracks.len() <= PLOTS_MAX
    {
        lines.extend(plots(&points, &metrics, &differing, frame, screen));
    }
    lines.push(String::new());
    let mut columns = label_columns(&metrics, &differing);
    let figures = figures(tracks, &points, &span);
    if let Some(frame) = span.frame(&points)
        && tracks.len() > PLOTS_MAX
    {
        let others: usize = columns.iter().chain(&figures).map(|c| c.width() + table::GAP).sum();
        let width = screen.width.saturating_sub(others).clamp(TREND_MIN, TREND_MAX);
        let cells = points.iter().map(|points| plot::trend(points, frame, width, screen));
        let header = format!("{}..{}", number::short(frame.low), number::short(frame.high));
        columns.push(Column::new(&header, Kind::Fixed, cells.collect()));
    }
    columns.extend(figures);
    lines.extend(table::lines(&columns, screen));
    lines
}

fn plots(
    points: &[Vec<(f64, f64)>],
    metrics: &[&Metric],
    differing: &[String],
    frame: Frame,
    screen: Screen,
) -> Vec<String> {
    const ROWS_OF_ONE: usize = 10;
    const ROWS_OF_MANY: usize = 5;
    let rows = if points.len() == 1 { ROWS_OF_ONE } else { ROWS_OF_MANY };
    let label_width = plot::label_width(frame, rows);
    let mut lines = Vec::new();
    for (points, metric) in points.iter().zip(metrics) {
        lines.push(String::new());
        if !differing.is_empty() {
            let mut own = (*metric).clone();
            own.retain(|name, _| differing.contains(name));
            lines.push(screen.shorten(&selector(&own), screen.width));
        }
        lines.extend(plot::plot(points, frame, rows, label_width, screen));
    }
    let range = frame.end - frame.start;
    lines.extend(plot::time_axis(frame, label_width, screen, |at| times::show_mark(at, range)));
    lines
}

/// Columns of what each series was over the range.
fn figures(tracks: &[Track], points: &[Vec<(f64, f64)>], span: &Span) -> Vec<Column> {
    type Figure = fn(&[f64]) -> f64;
    const FIGURES: [(&str, Figure); 4] = [
        ("min", |values| values.iter().copied().fold(f64::NAN, f64::min)),
        ("avg", |values| values.iter().sum::<f64>() / values.len() as f64),
        ("max", |values| values.iter().copied().fold(f64::NAN, f64::max)),
        ("last", |values| values.last().copied().unwrap_or(f64::NAN)),
    ];
    let values: Vec<Vec<f64>> =
        points.iter().map(|points| points.iter().map(|(_, value)| *value).collect()).collect();
    let mut columns: Vec<Column> = FIGURES
        .iter()
        .map(|(name, figure)| {
            let cells = values.iter().map(|values| number::short(figure(values)));
            Column::new(name, Kind::Number, cells.collect())
        })
        .collect();
    // A series that is gone is the news.
    let ends: Vec<Option<f64>> = points.iter().map(|points| span.early_end(points)).collect();
    if ends.iter().any(Option::is_some) {
        let show = |at: &Option<f64>| {
            at.map_or(String::new(), |at| times::show_mark(at, span.end - span.start))
        };
        columns.push(Column::new("ended", Kind::Fixed, ends.iter().map(show).collect()));
    }
    if tracks.iter().any(|track| !track.histograms.is_empty()) {
        let last = |track: &Track| track.histograms.last().map(|(_, last)| last.summary());
        let cells = tracks.iter().map(|track| last(track).unwrap_or_default()).collect();
        columns.push(Column::new("last histogram", Kind::Fixed, cells));
    }
    columns
}

/// The times of a matrix, in seconds.
struct Span {
    start: f64,
    end: f64,
    /// Between two points; `None` for samples as they are stored.
    step: Option<f64>,
    words: String,
}

impl Span {
    fn of(points: &[Vec<(f64, f64)>], when: When) -> Span {
        let seconds = |at: TimestampMs| at.0 as f64 / 1000.0;
        match when {
            When::Range { start, end, step_ms } => Span {
                start: seconds(start),
                end: seconds(end),
                step: Some(step_ms as f64 / 1000.0),
                words: format!(
                    "from {} to {} UTC, every {}",
                    times::show(start),
                    times::show(end),
                    query::text::format_duration_ms(step_ms)
                ),
            },
            When::At(at) => {
                let first = points.iter().filter_map(|points| points.first());
                let start = first.map(|(at, _)| *at).fold(seconds(at), f64::min);
                let words = format!("as stored up to {} UTC", times::show(at));
                Span { start, end: seconds(at), step: None, words }
            }
        }
    }

    /// The frame of all points; `None` if there is nothing to draw.
    fn frame(&self, points: &[Vec<(f64, f64)>]) -> Option<Frame> {
        let values = points.iter().flatten().map(|(_, value)| *value).filter(|v| v.is_finite());
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let has_width = self.end > self.start;
        (low <= high && has_width).then(|| {
            let (low, high) = plot::scale(low, high);
            let gap_max = self.step.map_or(f64::INFINITY, |step| 1.5 * step);
            Frame { start: self.start, end: self.end, low, high, gap_max }
        })
    }

    /// When the series ended, if that was before the last step.
    fn early_end(&self, points: &[(f64, f64)]) -> Option<f64> {
        let (last, _) = points.last()?;
        (self.end - last >= self.step?).then_some(*last)
    }
}

/// A failure with the query below it, and a caret where the message points at.
pub(super) fn failure(query: &str, error: &str) -> String {
    let mut text = format!("signalbox: query failed: {error}");
    let place = Regex::new(r"(\d+):(\d+): parse error").ok().and_then(|place| {
        let found = place.captures(error)?;
        let number = |i: usize| found.get(i)?.as_str().parse::<usize>().ok();
        Some((number(1)?, number(2)?))
    });
    let shown = place.and_then(|(line, column)| {
        let line = query.lines().nth(line.checked_sub(1)?)?;
        // Columns are bytes from one; a tab is shown as it is, so that the caret stays below.
        let before = line.get(..column.checked_sub(1)?.min(line.len()))?;
        let blank = |c| if c == '\t' { '\t' } else { ' ' };
        Some((line, before.chars().map(blank).collect::<String>()))
    });
    if let Some((line, blanks)) = shown {
        text.push_str(&format!("\n\n  {line}\n  {blanks}^"));
    }
    text
}

#[cfg(test)]
mod tests;
