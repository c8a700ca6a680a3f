//! Label matchers in braces, and lists of labels.

use model::{MatchOp, Matcher, labels::METRIC_NAME};

use super::{Parser, Result, WordKind, word_kind};
use crate::errors::ParseError;
use crate::promql::ast::Selector;
use crate::promql::lexer::{Token, lex_series};
use crate::text::{is_utf8, quote};

const MATCHING: &str = "label matching";
const GROUPING: &str = "grouping opts";

/// Parses the labels at the start of a series line in a script. Answers also where they end.
pub(crate) fn parse_series_selector(text: &str) -> Result<(Selector, usize)> {
    let mut parser = Parser::new(text, lex_series(text));
    let name = match parser.peek().clone() {
        Token::Ident(name) => {
            parser.next += 1;
            Some(name)
        }
        _ => None,
    };
    if parser.peek_symbol("{") {
        let selector = parser.selector_braces(name)?;
        return Ok((selector, parser.previous_span().end));
    }
    if name.is_none() {
        return Err(parser.unexpected("series", "metric name or \"{\""));
    }
    Ok((Selector { name, ..Selector::default() }, parser.previous_span().end))
}

impl Parser<'_> {
    /// The matchers in braces. A quoted name alone is a matcher of the metric name.
    pub(super) fn selector_braces(&mut self, name: Option<String>) -> Result<Selector> {
        let mut selector = Selector { name, ..Selector::default() };
        self.expect_symbol("{", MATCHING, "\"{\"")?;
        if self.take_symbol("}") {
            return Ok(selector);
        }
        loop {
            selector.matchers.push(self.label_matcher()?);
            if self.take_symbol("}") {
                return Ok(selector);
            }
            self.expect_symbol(",", MATCHING, "\",\" or \"}\"")?;
            if self.take_symbol("}") {
                return Ok(selector);
            }
        }
    }

    fn label_matcher(&mut self) -> Result<Matcher> {
        let start = self.span();
        let (label, is_quoted) = match self.peek().clone() {
            Token::Ident(label) => (label, false),
            Token::Text(label) => (label, true),
            _ => return Err(self.unexpected(MATCHING, "identifier or \"}\"")),
        };
        self.next += 1;
        let op = match self.peek() {
            Token::Symbol("=") => MatchOp::Equal,
            Token::Symbol("!=") => MatchOp::NotEqual,
            Token::Symbol("=~") => MatchOp::Matches,
            Token::Symbol("!~") => MatchOp::NotMatches,
            Token::Symbol("," | "}") if is_quoted => {
                return Ok(Matcher::equal(METRIC_NAME, label));
            }
            _ if is_quoted => return Err(self.unexpected(MATCHING, "\",\" or \"}\"")),
            _ => return Err(self.unexpected(MATCHING, "label matching operator")),
        };
        self.next += 1;
        let Token::Text(value) = self.peek().clone() else {
            return Err(self.unexpected(MATCHING, "string"));
        };
        self.next += 1;
        Matcher::new(label, op, value).map_err(|error| ParseError::new(start, error.message()))
    }

    /// The labels of `by`, `on` and their kin.
    pub(super) fn grouping_labels(&mut self) -> Result<Vec<String>> {
        self.expect_symbol("(", GROUPING, "\"(\"")?;
        let mut labels = Vec::new();
        if self.take_symbol(")") {
            return Ok(labels);
        }
        loop {
            match self.peek().clone() {
                Token::Ident(label) if word_kind(&label) != WordKind::Number => labels.push(label),
                Token::Text(label) if !label.is_empty() && is_utf8(&label) => labels.push(label),
                Token::Text(label) => {
                    let message = format!("invalid label name for grouping: {}", quote(&label));
                    return Err(ParseError::new(self.span(), message));
                }
                _ => return Err(self.unexpected(GROUPING, "label")),
            }
            self.next += 1;
            if self.take_symbol(")") {
                return Ok(labels);
            }
            self.expect_symbol(",", GROUPING, "\",\" or \")\"")?;
            if self.take_symbol(")") {
                return Ok(labels);
            }
        }
    }
}
