//! Stages of pipelines.

use model::Matcher;

use super::{Parser, Result, bad_regex};
use crate::errors::ParseError;
use crate::logql::ast::{
    Conversion, Extraction, Format, LabelFormat, LabelPick, LineTemplate, PatternParser,
    RegexpParser, Stage, Unwrap,
};
use crate::logql::json::Path;
use crate::logql::labels::{ERROR, sanitize};
use crate::logql::lexer::Token;

impl Parser {
    /// A stage whose bar is taken.
    pub(super) fn stage(&mut self) -> Result<Stage> {
        let Token::Ident(word) = self.peek().clone() else {
            if self.peek_symbol("(") {
                return Ok(Stage::Label(self.label_filter()?));
            }
            return Err(self.unexpected("a stage of a pipeline"));
        };
        if self.is_compared() {
            return Ok(Stage::Label(self.label_filter()?));
        }
        let start = self.next;
        self.next += 1;
        match word.to_ascii_lowercase().as_str() {
            "json" => Ok(Stage::Json(self.extractions(Path::parse)?)),
            "logfmt" => self.logfmt(),
            "regexp" => self.compiled(RegexpParser::new).map(Stage::Regexp),
            "pattern" => self.compiled(PatternParser::new).map(Stage::Pattern),
            "unpack" => Ok(Stage::Unpack),
            "line_format" => self.compiled(LineTemplate::new).map(Stage::LineFormat),
            "label_format" => self.label_formats(),
            "decolorize" => Ok(Stage::Decolorize),
            "drop" => self.picks().map(Stage::Drop),
            "keep" => self.picks().map(Stage::Keep),
            "distinct" => {
                self.next = start;
                let message = "distinct is no stage of LogQL";
                Err(ParseError::new(self.span(), message))
            }
            _ => {
                self.next = start;
                Ok(Stage::Label(self.label_filter()?))
            }
        }
    }

    /// A text and what is made of it.
    fn compiled<T>(&mut self, compile: impl Fn(String) -> Result<T, String>) -> Result<T> {
        let span = self.span();
        let text = self.text()?;
        compile(text).map_err(|message| ParseError::new(span, message))
    }

    /// `name="path", other`, if anything of it stands here.
    fn extractions<P>(
        &mut self,
        parse: impl Fn(&str) -> Result<P, String>,
    ) -> Result<Vec<Extraction<P>>> {
        let mut extractions = Vec::new();
        if !matches!(self.peek(), Token::Ident(_)) {
            return Ok(extractions);
        }
        loop {
            let mut span = self.span();
            let name = self.word("label name")?;
            let text = if self.take_symbol("=") {
                span = self.span();
                self.text()?
            } else {
                name.clone()
            };
            let path = parse(&text).map_err(|message| ParseError::new(span, message))?;
            extractions.push(Extraction { name, text, path });
            if !self.take_symbol(",") {
                return Ok(extractions);
            }
        }
    }

    fn logfmt(&mut self) -> Result<Stage> {
        let (mut strict, mut keep_empty) = (false, false);
        while self.peek_symbol("-") && *self.peek_at(1) == Token::Symbol("-") {
            let span = self.span();
            self.next += 2;
            let is_keep = |parser: &mut Self| {
                parser.take_word("keep") && parser.take_symbol("-") && parser.take_word("empty")
            };
            if self.take_word("strict") {
                strict = true;
            } else if is_keep(self) {
                keep_empty = true;
            } else {
                let message = "unknown flag of logfmt, expected --strict or --keep-empty";
                return Err(ParseError::new(span, message));
            }
        }
        let extractions = self.extractions(|text| {
            let key = text.trim().trim_matches('"');
            let is_key = !key.is_empty() && !key.contains(['"', '=', ' ']);
            let bad = || format!("cannot parse expression [{text}]: it is no key of logfmt");
            is_key.then(|| sanitize(key)).ok_or_else(bad)
        })?;
        Ok(Stage::Logfmt { strict, keep_empty, extractions })
    }

    fn label_formats(&mut self) -> Result<Stage> {
        let mut formats: Vec<LabelFormat> = Vec::new();
        loop {
            let span = self.span();
            let name = self.word("label name")?;
            let is_there = formats.iter().any(|format| format.name == name);
            if name == ERROR || is_there {
                let message = if is_there {
                    format!("multiple label name '{name}' not allowed in a single format operation")
                } else {
                    format!("{name} cannot be formatted")
                };
                return Err(ParseError::new(span, message));
            }
            self.expect_symbol("=")?;
            let format = match self.peek().clone() {
                Token::Ident(from) => {
                    self.next += 1;
                    Format::Rename(from)
                }
                Token::Text(_) => Format::Template(self.compiled(LineTemplate::new)?),
                _ => return Err(self.unexpected("label name or template")),
            };
            formats.push(LabelFormat { name, format });
            if !self.take_symbol(",") {
                return Ok(Stage::LabelFormat(formats));
            }
        }
    }

    fn picks(&mut self) -> Result<Vec<LabelPick>> {
        let mut picks = Vec::new();
        loop {
            let name = self.word("label name")?;
            let matcher = match self.match_op() {
                None => None,
                Some(op) => {
                    self.next += 1;
                    let span = self.span();
                    let value = self.text()?;
                    let matcher = Matcher::new(name.as_str(), op, value)
                        .map_err(|error| bad_regex(span, error.message()))?;
                    Some(matcher)
                }
            };
            picks.push(LabelPick { name, matcher });
            if !self.take_symbol(",") {
                return Ok(picks);
            }
        }
    }

    /// `unwrap x` or `unwrap bytes(x)`.
    pub(super) fn unwrap(&mut self) -> Result<Unwrap> {
        self.next += 1;
        let span = self.span();
        let word = self.word("label name")?;
        if !self.take_symbol("(") {
            let (conversion, filters) = (Conversion::Number, Vec::new());
            return Ok(Unwrap { name: word, conversion, filters });
        }
        let conversion = Conversion::from_name(&word.to_ascii_lowercase()).ok_or_else(|| {
            let message = "values are unwrapped with bytes, duration or duration_seconds";
            ParseError::new(span, message)
        })?;
        let name = self.word("label name")?;
        self.expect_symbol(")")?;
        Ok(Unwrap { name, conversion, filters: Vec::new() })
    }
}
