//! The stages of a pipeline. What has to be compiled is compiled when the stage is made, and
//! refused there if it can not be.

use std::sync::Arc;

use model::Matcher;
use model::go_regex::translate;
use model::log::Needle;
use regex::{Regex, RegexBuilder};
use template::LineTemplate as Engine;

use crate::logql::ip::IpRange;
use crate::logql::json::Path;
use crate::logql::pattern::Pattern;
use crate::vector::BinaryOp;

/// A stage of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// `|= "text" or "other"`
    Line(LineFilter),
    /// `| label="x" and size > 5KB`
    Label(LabelFilter),
    /// `| json`, with labels for some paths only if there are any
    Json(Vec<Extraction<Path>>),
    /// `| logfmt`
    Logfmt {
        /// Whether a malformed line is an error.
        strict: bool,
        /// Whether keys without values are labels.
        keep_empty: bool,
        /// Labels for some keys only, if there are any.
        extractions: Vec<Extraction<String>>,
    },
    /// `| regexp "(?P<name>.*)"`
    Regexp(RegexpParser),
    /// `| pattern "<name> <_>"`
    Pattern(PatternParser),
    /// `| unpack`
    Unpack,
    /// `| line_format "{{.name}}"`
    LineFormat(LineTemplate),
    /// `| label_format a=b, c="{{.d}}"`
    LabelFormat(Vec<LabelFormat>),
    /// `| decolorize`
    Decolorize,
    /// `| drop a, b="x"`
    Drop(Vec<LabelPick>),
    /// `| keep a, b="x"`
    Keep(Vec<LabelPick>),
}

impl Stage {
    /// Whether it can make labels of the line.
    pub fn is_parser(&self) -> bool {
        matches!(
            self,
            Stage::Json(_)
                | Stage::Logfmt { .. }
                | Stage::Regexp(_)
                | Stage::Pattern(_)
                | Stage::Unpack
        )
    }

    /// Whether what follows may see another line than the store has.
    pub fn changes_line(&self) -> bool {
        matches!(self, Stage::LineFormat(_) | Stage::Unpack | Stage::Decolorize)
    }
}

/// Which lines a line filter lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineOp {
    /// `|=`
    Contains,
    /// `!=`
    Lacks,
    /// `|~`
    Matches,
    /// `!~`
    MatchesNot,
    /// `|>`
    IsLike,
    /// `!>`
    IsNotLike,
}

impl LineOp {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            LineOp::Contains => "|=",
            LineOp::Lacks => "!=",
            LineOp::Matches => "|~",
            LineOp::MatchesNot => "!~",
            LineOp::IsLike => "|>",
            LineOp::IsNotLike => "!>",
        }
    }

    /// Finds an operator by its symbol.
    pub fn from_symbol(symbol: &str) -> Option<Self> {
        use LineOp::*;
        [Contains, Lacks, Matches, MatchesNot, IsLike, IsNotLike]
            .into_iter()
            .find(|op| op.as_str() == symbol)
    }

    /// Whether lines that match pass, and not the others.
    pub fn is_positive(self) -> bool {
        matches!(self, LineOp::Contains | LineOp::Matches | LineOp::IsLike)
    }
}

/// What a line filter looks for, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineNeedle {
    /// A text, a regular expression or a pattern.
    Text(String),
    /// `ip("10.0.0.0/8")`
    Ip(String),
}

/// A line filter. Several needles are alternatives; a negated filter lets none of them through.
#[derive(Debug, Clone)]
pub struct LineFilter {
    /// The comparison.
    pub op: LineOp,
    /// What is looked for.
    pub needles: Vec<LineNeedle>,
    pub(in crate::logql) tests: Vec<LineTest>,
}

/// A needle, ready to be found.
#[derive(Debug, Clone)]
pub(in crate::logql) enum LineTest {
    Text(Box<Needle>),
    Regex(Regex),
    Pattern(Pattern),
    Ip(IpRange),
}

impl LineTest {
    fn finds(&self, line: &str) -> bool {
        match self {
            LineTest::Text(needle) => needle.is_in(line.as_bytes()),
            LineTest::Regex(regex) => regex.is_match(line),
            LineTest::Pattern(pattern) => pattern.is_like(line),
            LineTest::Ip(range) => range.is_in_line(line),
        }
    }
}

/// No pattern may compile to more than this.
const REGEX_BYTES_MAX: usize = 4 << 20;

fn regex(pattern: &str, dot_matches_new_line: bool) -> Result<Regex, String> {
    RegexBuilder::new(&translate(pattern))
        .dot_matches_new_line(dot_matches_new_line)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|error| {
            format!("error parsing regexp: bad regular expression {pattern:?}: {error}")
        })
}

impl LineFilter {
    /// Makes a filter; the error names what is bad and its place among the needles.
    pub fn new(op: LineOp, needles: Vec<LineNeedle>) -> Result<Self, (usize, String)> {
        let mut tests = Vec::with_capacity(needles.len());
        for (i, needle) in needles.iter().enumerate() {
            let test = match (needle, op) {
                (LineNeedle::Ip(range), LineOp::Contains | LineOp::Lacks) => {
                    IpRange::parse(range).map(LineTest::Ip)
                }
                (LineNeedle::Ip(_), _) => {
                    Err(format!("ip: invalid operation {}, only |= and != are", op.as_str()))
                }
                (LineNeedle::Text(text), LineOp::Contains | LineOp::Lacks) => {
                    Ok(LineTest::Text(Box::new(Needle::new(text))))
                }
                (LineNeedle::Text(text), LineOp::Matches | LineOp::MatchesNot) => {
                    regex(text, true).map(LineTest::Regex)
                }
                (LineNeedle::Text(text), LineOp::IsLike | LineOp::IsNotLike) => {
                    Pattern::of_filter(text).map(LineTest::Pattern)
                }
            };
            tests.push(test.map_err(|message| (i, message))?);
        }
        // Among alternatives, what every line has counts for nothing.
        let is_any = |needle: &LineNeedle| match needle {
            LineNeedle::Text(text) if op == LineOp::Contains => text.is_empty(),
            LineNeedle::Text(text) if op == LineOp::Matches => matches!(&**text, "" | ".*"),
            _ => false,
        };
        if !needles.iter().all(is_any) {
            let mut needle = needles.iter();
            tests.retain(|_| !needle.next().is_some_and(is_any));
        }
        Ok(LineFilter { op, needles, tests })
    }

    /// Whether a line passes.
    pub fn accepts(&self, line: &str) -> bool {
        self.tests.iter().any(|test| test.finds(line)) == self.op.is_positive()
    }
}

impl PartialEq for LineFilter {
    fn eq(&self, other: &Self) -> bool {
        self.op == other.op && self.needles == other.needles
    }
}

/// A condition on labels.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelFilter {
    /// `label="x"`
    Text(Matcher),
    /// `label > 5`
    Quantity {
        /// The label.
        name: String,
        /// A comparison.
        op: BinaryOp,
        /// The value, in the base of its unit.
        value: f64,
        /// How the label's value is read.
        unit: Unit,
    },
    /// `label = ip("10.0.0.0/8")`
    Ip {
        /// The label.
        name: String,
        /// Whether addresses in the range do not pass.
        negated: bool,
        /// As written.
        text: String,
        /// The addresses.
        range: IpRange,
    },
    /// Both hold.
    And(Box<LabelFilter>, Box<LabelFilter>),
    /// One of them holds.
    Or(Box<LabelFilter>, Box<LabelFilter>),
}

impl LabelFilter {
    /// The labels that it looks at.
    pub(in crate::logql) fn names<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            LabelFilter::Text(matcher) => names.push(&matcher.name),
            LabelFilter::Quantity { name, .. } | LabelFilter::Ip { name, .. } => names.push(name),
            LabelFilter::And(left, right) | LabelFilter::Or(left, right) => {
                left.names(names);
                right.names(names);
            }
        }
    }
}

/// How a label's value is read for a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    Number,
    /// A duration, compared in nanoseconds.
    Duration,
    /// A size, compared in bytes.
    Bytes,
}

/// A label and where its value is found in the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extraction<P> {
    /// The label.
    pub name: String,
    /// As written; the same as the name if only that was.
    pub text: String,
    /// Where the value is.
    pub path: P,
}

/// `regexp`: names of groups are labels.
#[derive(Debug, Clone)]
pub struct RegexpParser {
    /// As written.
    pub text: String,
    /// The same, compiled.
    pub regex: Regex,
    /// Groups that have a name, and the label of each.
    pub labels: Vec<(usize, String)>,
}

impl RegexpParser {
    /// Refuses bad expressions, those without named groups, and names that stand twice.
    pub fn new(text: String) -> Result<Self, String> {
        let regex = regex(&text, false)?;
        let mut labels: Vec<(usize, String)> = Vec::new();
        for (i, name) in regex.capture_names().enumerate() {
            if let Some(name) = name {
                labels.push((i, crate::logql::labels::sanitize(name)));
            }
        }
        if labels.is_empty() {
            return Err("at least one named capture must be supplied".to_owned());
        }
        Ok(RegexpParser { text, regex, labels })
    }
}

impl PartialEq for RegexpParser {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// `pattern`: captures are labels.
#[derive(Debug, Clone)]
pub struct PatternParser {
    /// As written.
    pub text: String,
    /// The same, ready to be matched.
    pub pattern: Pattern,
}

impl PatternParser {
    /// Refuses patterns without named captures, captures in a row, and names that stand twice.
    pub fn new(text: String) -> Result<Self, String> {
        Ok(PatternParser { pattern: Pattern::of_parser(&text)?, text })
    }
}

impl PartialEq for PatternParser {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A template of `line_format` or `label_format`.
#[derive(Debug, Clone)]
pub struct LineTemplate {
    /// As written.
    pub text: String,
    pub(in crate::logql) engine: Arc<Engine>,
}

impl LineTemplate {
    /// Refuses what is no template.
    pub fn new(text: String) -> Result<Self, String> {
        let engine =
            Engine::parse(&text).map_err(|error| format!("invalid line template: {error}"))?;
        Ok(LineTemplate { text, engine: Arc::new(engine) })
    }
}

impl PartialEq for LineTemplate {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// One label of `label_format`.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelFormat {
    /// The label that is written.
    pub name: String,
    /// What is written.
    pub format: Format,
}

/// What `label_format` writes into a label.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    /// The value of another label, which goes.
    Rename(String),
    /// What a template makes.
    Template(LineTemplate),
}

/// A label that `drop` or `keep` names, with an optional condition on its value.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelPick {
    /// The label.
    pub name: String,
    /// Only with such a value.
    pub matcher: Option<Matcher>,
}

/// `| unwrap duration(x) | y > 5`: the label that is the value of a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Unwrap {
    /// The label.
    pub name: String,
    /// How its value is read.
    pub conversion: Conversion,
    /// What is asked of lines after their values were read.
    pub filters: Vec<LabelFilter>,
}

/// How the value of a label becomes a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// A plain number.
    Number,
    /// `bytes(x)`: a size, in bytes.
    Bytes,
    /// `duration(x)`: a duration, in seconds.
    Duration,
    /// `duration_seconds(x)`: the same.
    DurationSeconds,
}

impl Conversion {
    /// As it is written; empty for a plain number.
    pub fn as_str(self) -> &'static str {
        match self {
            Conversion::Number => "",
            Conversion::Bytes => "bytes",
            Conversion::Duration => "duration",
            Conversion::DurationSeconds => "duration_seconds",
        }
    }

    /// Finds a conversion by its lower-case name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Conversion::Bytes, Conversion::Duration, Conversion::DurationSeconds]
            .into_iter()
            .find(|conversion| conversion.as_str() == name)
    }
}

/// What `decolorize` takes out of lines: escape sequences of terminals.
pub(in crate::logql) const DECOLORIZED: &str = concat!(
    "[\u{1b}\u{9b}][\\[\\]()#;?]*",
    "(?:(?:(?:[a-zA-Z0-9]*(?:;[a-zA-Z0-9]*)*)?\u{7})",
    "|(?:(?:[0-9]{1,4}(?:;[0-9]{0,4})*)?[0-9A-PRZcf-ntqry=><~]))"
);
