//! One `eval` command with its expectations, as it is written.

use model::Labels;
use regex::Regex;

use super::notation::{self, Item};
use super::{Check, time};
use crate::promql::eval::string_literal;
use crate::promql::parser::parse;

/// What a text must be.
#[derive(Debug, Clone)]
pub(super) enum Text {
    Any,
    Equal(String),
    Regex(Regex),
}

impl Text {
    /// What follows `expect warn` and its kin.
    fn read(rest: &str) -> Check<Self> {
        let rest = rest.trim();
        if let Some(text) = rest.strip_prefix("msg:") {
            return Ok(Text::Equal(text.trim().to_owned()));
        }
        if let Some(pattern) = rest.strip_prefix("regex:") {
            return Text::regex(pattern);
        }
        if rest.is_empty() { Ok(Text::Any) } else { Err(format!("unknown expectation {rest:?}")) }
    }

    fn regex(pattern: &str) -> Check<Self> {
        Ok(Text::Regex(Regex::new(pattern.trim()).map_err(|e| e.to_string())?))
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Text::Any => true,
            Text::Equal(wanted) => wanted == text,
            Text::Regex(regex) => regex.is_match(text),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

/// The times at which the values of a matrix are expected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Points {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) step: i64,
}

pub(super) struct Case {
    pub(super) text: String,
    pub(super) when: When,
    pub(super) fail: Option<Text>,
    pub(super) warnings: Vec<Text>,
    pub(super) infos: Vec<Text>,
    pub(super) no_warnings: bool,
    pub(super) no_infos: bool,
    pub(super) ordered: bool,
    pub(super) string: Option<String>,
    pub(super) scalar: Option<f64>,
    pub(super) range_vector: Option<Points>,
    pub(super) series: Vec<(Labels, Vec<Item>)>,
}

impl Case {
    /// Reads the command at the start of `block`, and answers how many lines it has.
    pub(super) fn read(block: &[&str], first_line: usize) -> Check<(Case, usize)> {
        let mut case = Case::header(block[0])?;
        for (i, line) in block.iter().enumerate().skip(1) {
            let at_line = |problem: String| format!("line {}: {problem}", first_line + i);
            if let Some(value) = crate::text::parse_number(line) {
                case.scalar = Some(value);
                return Ok((case, i + 1));
            }
            case.expectation(line).map_err(at_line)?;
        }
        Ok((case, block.len()))
    }

    fn header(line: &str) -> Check<Case> {
        let mut rest = line;
        let command = take_word(&mut rest).to_lowercase();
        let kind = take_word(&mut rest);
        let when = match kind {
            "instant" if rest.starts_with("at") => When::Instant(take_time(&mut rest, "at")?),
            "instant" => When::Instant(0),
            "range" => {
                let start = take_time(&mut rest, "from")?;
                let end = take_time(&mut rest, "to")?;
                if end < start {
                    return Err(format!("the end {end} ms is before the start {start} ms"));
                }
                When::Range { start, end, step: take_time(&mut rest, "step")? }
            }
            other => return Err(format!("unknown kind of evaluation {other:?}")),
        };
        let any = |word: &str| (command == word).then_some(Text::Any);
        let case = Case {
            text: rest.to_owned(),
            when,
            fail: any("eval_fail"),
            warnings: any("eval_warn").into_iter().collect(),
            infos: any("eval_info").into_iter().collect(),
            no_warnings: false,
            no_infos: false,
            ordered: command == "eval_ordered",
            string: None,
            scalar: None,
            range_vector: None,
            series: Vec::new(),
        };
        const COMMANDS: [&str; 5] = ["eval", "eval_fail", "eval_warn", "eval_info", "eval_ordered"];
        if !COMMANDS.contains(&command.as_str()) {
            return Err(format!("invalid command {command:?}"));
        }
        if case.text.is_empty() {
            return Err("there is no expression".into());
        }
        Ok(case)
    }

    fn expectation(&mut self, line: &str) -> Check {
        if self.fail.is_some() {
            if let Some(text) = line.strip_prefix("expected_fail_message") {
                self.fail = Some(Text::Equal(text.trim().to_owned()));
                return Ok(());
            }
            if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
                self.fail = Some(Text::regex(pattern)?);
                return Ok(());
            }
        }
        if let Some(rest) = line.strip_prefix("expect")
            && rest.starts_with(char::is_whitespace)
        {
            return self.expect(line, rest.trim_start());
        }
        let (labels, rest) = notation::series(line)?;
        let items = notation::values(rest)?;
        if items.len() != 1 && matches!(self.when, When::Instant(_)) && self.range_vector.is_none()
        {
            let count = items.len();
            return Err(format!("an instant query has one value for each series, not {count}"));
        }
        // The last line about a series counts.
        self.series.retain(|(known, _)| *known != labels);
        self.series.push((labels, items));
        Ok(())
    }

    fn expect(&mut self, line: &str, rest: &str) -> Check {
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        match word {
            "fail" => {
                let text = Text::read(after)?;
                if self.fail.replace(text).is_some_and(|text| !matches!(text, Text::Any)) {
                    return Err("more than one failure is expected".into());
                }
            }
            "warn" => self.warnings.push(Text::read(after)?),
            "info" => self.infos.push(Text::read(after)?),
            "no_warn" => self.no_warnings = true,
            "no_info" => self.no_infos = true,
            "ordered" => self.ordered = true,
            "string" => {
                let parsed = parse(after.trim()).map_err(|e| e.to_string())?;
                let text = string_literal(&parsed).ok_or("a quoted string is required")?;
                self.string = Some(text.to_owned());
            }
            "range" => {
                let words: Vec<&str> = after.split_whitespace().collect();
                let ["vector", "from", from, "to", to, "step", step] = words[..] else {
                    return Err(format!("unknown expectation {line:?}"));
                };
                let (start, end, step) = (time(from)?, time(to)?, time(step)?);
                self.range_vector = Some(Points { start, end, step });
            }
            _ => return Err(format!("unknown expectation {line:?}")),
        }
        if self.no_warnings && !self.warnings.is_empty() {
            return Err("warn and no_warn can not be used together".into());
        }
        if self.no_infos && !self.infos.is_empty() {
            return Err("info and no_info can not be used together".into());
        }
        Ok(())
    }
}

fn take_word<'a>(rest: &mut &'a str) -> &'a str {
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    *rest = after.trim_start();
    word
}

/// `keyword TIME`
fn take_time(rest: &mut &str, keyword: &str) -> Check<i64> {
    let found = take_word(rest);
    if found != keyword {
        return Err(format!("expected {keyword:?}, found {found:?}"));
    }
    time(take_word(rest))
}
