//! The PromQL test language of Prometheus (`promqltest`): load series, evaluate, compare.
//!
//! Each instant case runs in several ways that must agree: as written, as the middle of a range
//! query, and with `@` on its selectors at other evaluation times. A case that fails any of them
//! fails.

mod notation;

use model::{Labels, QueryContext, TimestampMs};

use super::ast::{AtModifier, Expr, ExprKind, ValueType};
use super::eval::{EvalOptions, Evaluation, SampleValue, Value, evaluate_instant, evaluate_range};
use super::functions;
use super::memory::MemorySeries;
use super::parser::parse;
use crate::text::parse_duration_ms;
use notation::{Item, same_float, same_histogram};

/// What became of one `eval` command (or of a `load` that can not be read).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseOutcome {
    /// The line of the command, from one.
    pub line: usize,
    /// The command.
    pub command: String,
    /// What is wrong; `None` if it passed.
    pub problem: Option<String>,
}

/// Runs a script from its first line.
pub fn run(text: &str) -> Vec<CaseOutcome> {
    let mut runner = Runner { store: MemorySeries::new(), outcomes: Vec::new() };
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .map(|line| if line.starts_with('#') { "" } else { line })
        .collect();
    let mut next = 0;
    while next < lines.len() {
        if lines[next].is_empty() {
            next += 1;
            continue;
        }
        let end = (next..lines.len()).find(|i| lines[*i].is_empty()).unwrap_or(lines.len());
        next += runner.command(&lines[next..end], next + 1);
    }
    runner.outcomes
}

struct Runner {
    store: MemorySeries,
    outcomes: Vec<CaseOutcome>,
}

type Check<T = ()> = Result<T, String>;

impl Runner {
    /// Runs the command at the start of `block` and answers how many lines it took.
    fn command(&mut self, block: &[&str], line: usize) -> usize {
        let command = block[0];
        let word = command.split_whitespace().next().unwrap_or("").to_lowercase();
        let (taken, problem) = match word.as_str() {
            "clear" => {
                self.store = MemorySeries::new();
                return 1;
            }
            "load" | "load_with_nhcb" => match self.load(block) {
                Ok(()) => return block.len(),
                Err(problem) => (block.len(), Err(problem)),
            },
            "eval" | "eval_fail" | "eval_warn" | "eval_info" | "eval_ordered" => {
                match Case::read(block, &word) {
                    Ok((case, taken)) => (taken, case.check(&self.store)),
                    Err(problem) => (block.len(), Err(problem)),
                }
            }
            _ => (block.len(), Err("unknown command".into())),
        };
        let outcome = CaseOutcome { line, command: command.to_owned(), problem: problem.err() };
        self.outcomes.push(outcome);
        taken
    }

    fn load(&mut self, block: &[&str]) -> Check {
        let step = block[0].split_whitespace().nth(1).ok_or("load without a step")?;
        let step = time(step)?;
        let mut starts: Option<(Labels, Vec<Option<i64>>)> = None;
        for line in &block[1..] {
            let (labels, rest) = notation::series(line)?;
            if let Some(items) = rest.strip_prefix("@st") {
                starts = Some((labels, notation::starts(items)?));
                continue;
            }
            let own_starts = match starts.take() {
                Some((of, starts)) if of == labels => starts,
                _ => Vec::new(),
            };
            for (i, item) in notation::values(rest)?.into_iter().enumerate() {
                let at = step * i64::try_from(i).unwrap_or(0);
                let start = own_starts.get(i).copied().flatten().map_or(0, |delta| at + delta);
                match item {
                    Item::Missing => {}
                    Item::Float(value) => self.store.push(&labels, at, start, value),
                    Item::Histogram(histogram) => {
                        self.store.push_histogram(&labels, at, histogram);
                    }
                }
            }
        }
        Ok(())
    }
}

/// A duration, or a bare number of seconds, as milliseconds.
fn time(text: &str) -> Check<i64> {
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let ms = match parse_duration_ms(body) {
        Some(ms) => ms,
        None => {
            let seconds: f64 = body.parse().map_err(|_| format!("{text:?} is not a time"))?;
            (seconds * 1000.0).round() as i64
        }
    };
    Ok(if negative { -ms } else { ms })
}

#[derive(Debug, Clone)]
enum Text {
    Any,
    Equal(String),
    Regex(regex::Regex),
}

impl Text {
    fn read(rest: &str) -> Check<Self> {
        let rest = rest.trim();
        if let Some(text) = rest.strip_prefix("msg:") {
            return Ok(Text::Equal(text.trim().to_owned()));
        }
        if let Some(pattern) = rest.strip_prefix("regex:") {
            let regex = regex::Regex::new(pattern.trim()).map_err(|e| e.to_string())?;
            return Ok(Text::Regex(regex));
        }
        if rest.is_empty() { Ok(Text::Any) } else { Err(format!("unknown expectation {rest:?}")) }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Text::Any => true,
            Text::Equal(wanted) => wanted == text,
            Text::Regex(regex) => regex.is_match(text),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum When {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

/// One `eval` command with all its expectations.
struct Case {
    text: String,
    when: When,
    fail: Option<Text>,
    warnings: Vec<Text>,
    infos: Vec<Text>,
    no_warnings: bool,
    no_infos: bool,
    ordered: bool,
    string: Option<String>,
    scalar: Option<f64>,
    range_vector: Option<(i64, i64)>,
    series: Vec<(Labels, Vec<Item>)>,
}

impl Case {
    fn read(block: &[&str], word: &str) -> Check<(Case, usize)> {
        let mut words = block[0].splitn(3, char::is_whitespace);
        let (_, kind, rest) =
            (words.next(), words.next().unwrap_or(""), words.next().unwrap_or(""));
        let mut rest = rest.trim_start();
        let mut take = |keyword: &str| -> Check<i64> {
            let after = rest.strip_prefix(keyword).ok_or(format!("expected {keyword:?}"))?;
            let after = after.trim_start();
            let end = after.find(char::is_whitespace).unwrap_or(after.len());
            rest = after[end..].trim_start();
            time(&after[..end])
        };
        let when = match kind {
            "instant" => When::Instant(take("at")?),
            "range" => When::Range { start: take("from")?, end: take("to")?, step: take("step")? },
            other => return Err(format!("unknown kind of evaluation {other:?}")),
        };
        let mut case = Case {
            text: rest.to_owned(),
            when,
            fail: (word == "eval_fail").then_some(Text::Any),
            warnings: Vec::new(),
            infos: Vec::new(),
            no_warnings: false,
            no_infos: false,
            ordered: word == "eval_ordered",
            string: None,
            scalar: None,
            range_vector: None,
            series: Vec::new(),
        };
        match word {
            "eval_warn" => case.warnings.push(Text::Any),
            "eval_info" => case.infos.push(Text::Any),
            _ => {}
        }
        for (i, line) in block.iter().enumerate().skip(1) {
            if let Some(value) = crate::text::parse_number(line) {
                case.scalar = Some(value);
                return Ok((case, i + 1));
            }
            case.expectation(line)?;
        }
        Ok((case, block.len()))
    }

    fn expectation(&mut self, line: &str) -> Check {
        if let Some(rest) = line.strip_prefix("expect ") {
            let rest = rest.trim_start();
            let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            match word {
                "fail" => self.fail = Some(Text::read(after)?),
                "warn" => self.warnings.push(Text::read(after)?),
                "info" => self.infos.push(Text::read(after)?),
                "no_warn" => self.no_warnings = true,
                "no_info" => self.no_infos = true,
                "ordered" => self.ordered = true,
                "string" => {
                    let parsed = parse(after.trim()).map_err(|e| e.to_string())?;
                    self.string = super::eval::string_literal(&parsed).map(str::to_owned);
                }
                "range" => {
                    let words: Vec<&str> = after.split_whitespace().collect();
                    let ["vector", "from", from, "to", _, "step", step] = words[..] else {
                        return Err(format!("unknown expectation {line:?}"));
                    };
                    self.range_vector = Some((time(from)?, time(step)?));
                }
                _ => return Err(format!("unknown expectation {line:?}")),
            }
            return Ok(());
        }
        let (labels, rest) = notation::series(line)?;
        self.series.push((labels, notation::values(rest)?));
        Ok(())
    }

    fn check(&self, store: &MemorySeries) -> Check {
        let expr = match parse(&self.text) {
            Ok(expr) => expr,
            Err(error) => return self.check_failure(&error.message, &error.to_string()),
        };
        match self.when {
            When::Range { start, end, step } => {
                let result = self.range(&expr, start, end, step, store);
                self.check_range(result, start, step)
            }
            When::Instant(at) => {
                self.check_instant(self.instant(&expr, at, store), true)?;
                self.check_variants(&expr, at, store)
            }
        }
    }

    /// Passes if the failure is expected.
    fn check_failure(&self, message: &str, full: &str) -> Check {
        match &self.fail {
            Some(text) if text.matches(message) || text.matches(full) => Ok(()),
            Some(_) => Err(format!("failed with another message: {full}")),
            None => Err(format!("failed: {full}")),
        }
    }

    fn instant(&self, expr: &Expr, at: i64, store: &MemorySeries) -> Check<Evaluation> {
        let context = QueryContext::unlimited();
        evaluate_instant(expr, TimestampMs(at), store, &EvalOptions::default(), &context)
            .map_err(|e| e.to_string())
    }

    fn range(
        &self,
        expr: &Expr,
        start: i64,
        end: i64,
        step: i64,
        store: &MemorySeries,
    ) -> Check<Evaluation> {
        let context = QueryContext::unlimited();
        let (start, end) = (TimestampMs(start), TimestampMs(end));
        evaluate_range(expr, start, end, step, store, &EvalOptions::default(), &context)
            .map_err(|e| e.to_string())
    }

    /// The other ways to get the same result.
    fn check_variants(&self, expr: &Expr, at: i64, store: &MemorySeries) -> Check {
        self.check_middle_of_range(expr, at, store)?;
        let calls = called_functions(expr);
        if calls.iter().any(|name| functions::depends_on_time(name)) {
            return Ok(());
        }
        let times =
            if at == 0 { vec![-1000, 0, 1000] } else { vec![-10 * at, 0, at / 5, at, 10 * at] };
        let pinned = pin(expr, at);
        for time in times {
            let context = |problem| format!("with @ at {time} ms: {problem}");
            self.check_instant(self.instant(&pinned, time, store), false).map_err(context)?;
            self.check_middle_of_range(&pinned, time, store).map_err(context)?;
        }
        Ok(())
    }

    fn check_middle_of_range(&self, expr: &Expr, at: i64, store: &MemorySeries) -> Check {
        let calls = called_functions(expr);
        let own_range = ["start", "end", "step", "range"];
        if self.string.is_some()
            || self.range_vector.is_some()
            || uses_start_or_end(expr)
            || calls.iter().any(|name| own_range.contains(name))
            || !matches!(expr.value_type(), ValueType::Vector | ValueType::Scalar)
        {
            return Ok(());
        }
        let result = self.range(expr, at - 60_000, at + 60_000, 60_000, store);
        let result = match result {
            // Another step may fail where the wanted one does not.
            Err(_) if self.fail.is_none() => {
                return Err(format!("as a range query: {}", result.err().unwrap_or_default()));
            }
            Err(message) => return self.check_failure(&message, &message),
            Ok(result) => result,
        };
        if self.fail.is_some() {
            return Ok(());
        }
        let mut evaluation = result;
        if let Value::Matrix(matrix) = &evaluation.value {
            evaluation.value = pick(matrix, at, expr.value_type());
        }
        self.compare_instant(&evaluation.value, false)
            .map_err(|problem| format!("as a range query: {problem}"))
    }

    fn check_instant(&self, result: Check<Evaluation>, annotations: bool) -> Check {
        let evaluation = match result {
            Ok(evaluation) => evaluation,
            Err(message) => return self.check_failure(&message, &message),
        };
        if self.fail.is_some() {
            return Err("succeeded, but a failure is expected".into());
        }
        if annotations {
            self.check_annotations(&evaluation)?;
        }
        self.compare_instant(&evaluation.value, self.ordered)
    }

    fn check_annotations(&self, evaluation: &Evaluation) -> Check {
        let kinds = [
            ("warning", &self.warnings, self.no_warnings, &evaluation.warnings),
            ("info", &self.infos, self.no_infos, &evaluation.infos),
        ];
        for (kind, wanted, none, found) in kinds {
            if none && !found.is_empty() {
                return Err(format!("unexpected {kind}: {found:?}"));
            }
            if wanted.is_empty() {
                continue;
            }
            if let Some(missing) = wanted.iter().find(|w| !found.iter().any(|f| w.matches(f))) {
                return Err(format!("no {kind} like {missing:?}, found {found:?}"));
            }
            if let Some(extra) = found.iter().find(|f| !wanted.iter().any(|w| w.matches(f))) {
                return Err(format!("unexpected {kind} {extra:?}"));
            }
        }
        Ok(())
    }

    fn compare_instant(&self, value: &Value, ordered: bool) -> Check {
        match (value, &self.string, self.scalar) {
            (Value::String { value, .. }, Some(wanted), _) if value == wanted => Ok(()),
            (Value::Scalar { value, .. }, None, Some(wanted)) if same_float(*value, wanted) => {
                Ok(())
            }
            (Value::Vector(samples), None, None) => {
                let found: Vec<(&Labels, Item)> = samples
                    .iter()
                    .map(|sample| (&sample.labels, Item::from(&sample.value)))
                    .collect();
                self.compare_vector(&found, ordered)
            }
            (Value::Matrix(matrix), None, None) => {
                let Some((from, step)) = self.range_vector else {
                    return Err("the result is a range vector".into());
                };
                self.compare_matrix(matrix, from, step)
            }
            _ => Err(format!("found {value:?}")),
        }
    }

    fn compare_vector(&self, found: &[(&Labels, Item)], ordered: bool) -> Check {
        if found.len() != self.series.len() {
            return Err(format!("{} elements expected, found {found:?}", self.series.len()));
        }
        for (position, (labels, wanted)) in self.series.iter().enumerate() {
            let Some(place) = found.iter().position(|(other, _)| *other == labels) else {
                return Err(format!("{labels} is missing, found {found:?}"));
            };
            if ordered && place != position {
                return Err(format!("{labels} is at position {place} instead of {position}"));
            }
            let (Some(wanted), 1) = (wanted.first(), wanted.len()) else {
                return Err(format!("{labels} must have one expected value"));
            };
            if !same_item(wanted, &found[place].1) {
                return Err(format!("{labels}: expected {wanted:?}, found {:?}", found[place].1));
            }
        }
        Ok(())
    }

    fn check_range(&self, result: Check<Evaluation>, start: i64, step: i64) -> Check {
        let evaluation = match result {
            Ok(evaluation) => evaluation,
            Err(message) => return self.check_failure(&message, &message),
        };
        if self.fail.is_some() {
            return Err("succeeded, but a failure is expected".into());
        }
        self.check_annotations(&evaluation)?;
        let Value::Matrix(matrix) = &evaluation.value else {
            return Err(format!("found {:?}", evaluation.value));
        };
        if !matrix.windows(2).all(|pair| pair[0].labels < pair[1].labels) {
            return Err("the result is not sorted by labels".into());
        }
        self.compare_matrix(matrix, start, step)
    }

    fn compare_matrix(&self, matrix: &[super::eval::MatrixSeries], start: i64, step: i64) -> Check {
        if matrix.len() != self.series.len() {
            return Err(format!("{} series expected, found {matrix:?}", self.series.len()));
        }
        for (labels, wanted) in &self.series {
            let Some(found) = matrix.iter().find(|series| series.labels == *labels) else {
                return Err(format!("{labels} is missing, found {matrix:?}"));
            };
            let mut samples: Vec<(i64, Item)> =
                found.points.iter().map(|(at, value)| (at.0, Item::Float(*value))).collect();
            let histograms = found.histograms.iter();
            samples.extend(histograms.map(|(at, h)| (at.0, Item::Histogram((**h).clone()))));
            samples.sort_by_key(|(at, _)| *at);
            let times = (0i64..).map(|i| start + i * step);
            let wanted: Vec<(i64, &Item)> =
                times.zip(wanted).filter(|(_, item)| !matches!(item, Item::Missing)).collect();
            let same = wanted.len() == samples.len()
                && wanted.iter().zip(&samples).all(|((at, wanted), (found_at, found))| {
                    at == found_at && same_item(wanted, found)
                });
            if !same {
                return Err(format!("{labels}: expected {wanted:?}, found {samples:?}"));
            }
        }
        Ok(())
    }
}

impl From<&SampleValue> for Item {
    fn from(value: &SampleValue) -> Self {
        match value {
            SampleValue::Float(value) => Item::Float(*value),
            SampleValue::Histogram(histogram) => Item::Histogram((**histogram).clone()),
        }
    }
}

fn same_item(wanted: &Item, found: &Item) -> bool {
    match (wanted, found) {
        (Item::Float(a), Item::Float(b)) => same_float(*a, *b),
        (Item::Histogram(a), Item::Histogram(b)) => same_histogram(a, b),
        _ => false,
    }
}

/// The points of a matrix at one time, as the instant query would have answered.
fn pick(matrix: &[super::eval::MatrixSeries], at: i64, value_type: ValueType) -> Value {
    let at = TimestampMs(at);
    let mut samples = Vec::new();
    for series in matrix {
        let float = series.points.iter().find(|(time, _)| *time == at);
        let histogram = series.histograms.iter().find(|(time, _)| *time == at);
        let value = match (float, histogram) {
            (Some((_, value)), _) if value_type == ValueType::Scalar => {
                return Value::Scalar { at, value: *value };
            }
            (Some((_, value)), _) => SampleValue::Float(*value),
            (None, Some((_, histogram))) => SampleValue::Histogram(histogram.clone()),
            (None, None) => continue,
        };
        let labels = series.labels.clone();
        samples.push(super::eval::VectorSample { labels, at, value });
    }
    Value::Vector(samples)
}

fn called_functions(expr: &Expr) -> Vec<&'static str> {
    let mut names = Vec::new();
    if let ExprKind::Call(call) = &expr.kind {
        names.push(call.function.name);
    }
    expr.for_each_child(&mut |child| names.extend(called_functions(child)));
    names
}

fn uses_start_or_end(expr: &Expr) -> bool {
    let at = match &expr.kind {
        ExprKind::Selector(selector) => selector.at,
        ExprKind::Range(range) => range.selector.at,
        ExprKind::Subquery(subquery) => subquery.at,
        _ => None,
    };
    let mut found = matches!(at, Some(AtModifier::Start | AtModifier::End));
    expr.for_each_child(&mut |child| found |= uses_start_or_end(child));
    found
}

/// The expression with `@ at` on each selector and outermost subquery that has none.
fn pin(expr: &Expr, at: i64) -> Expr {
    let at_modifier = Some(AtModifier::Time(at));
    let mut kind = expr.kind.clone();
    match &mut kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::Selector(selector) => selector.at = selector.at.or(at_modifier),
        ExprKind::Range(range) => range.selector.at = range.selector.at.or(at_modifier),
        ExprKind::Subquery(subquery) => subquery.at = subquery.at.or(at_modifier),
        ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => **inner = pin(inner, at),
        ExprKind::Binary(binary) => {
            binary.left = pin(&binary.left, at);
            binary.right = pin(&binary.right, at);
        }
        ExprKind::Aggregate(aggregate) => {
            aggregate.expr = pin(&aggregate.expr, at);
            aggregate.parameter = aggregate.parameter.as_ref().map(|p| pin(p, at));
        }
        ExprKind::Call(call) => {
            call.arguments = call.arguments.iter().map(|argument| pin(argument, at)).collect();
        }
    }
    Expr::new(kind, expr.span)
}
