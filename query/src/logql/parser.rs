//! From tokens to the tree. Parts of LogQL that are not built are known by name, so that the error
//! says so instead of calling them mistakes.

use model::{MatchOp, Matcher};

use super::ast::{
    Expr, LabelFilter, LabelPick, LineFilter, LineOp, LogExpr, MetricExpr, MetricKind,
    RangeAggregation, RangeOp, Stage, Unit,
};
use super::lexer::{Token, lex};
use crate::errors::{ParseError, Span};
use crate::text::{parse_bytes, parse_go_duration_ns, quote};
use crate::vector::{AggregateOp, BinaryOp, Cardinality, Grouping, Matching};

/// No query may be longer.
const QUERY_BYTES_MAX: usize = 1 << 20;

/// No tree may be deeper; long chains of operators make deep trees.
const DEPTH_MAX: u16 = 250;

/// No text may nest deeper. Parsing takes more stack a level than evaluation does.
const NESTING_MAX: u16 = 100;

type Result<T, E = ParseError> = std::result::Result<T, E>;

/// Parses a query.
///
/// Fails with the position of the first mistake, what was found there and what was expected.
pub fn parse(text: &str) -> Result<Expr> {
    if text.len() > QUERY_BYTES_MAX {
        let message = format!(
            "the query has {} bytes, more than the {QUERY_BYTES_MAX} that are allowed",
            text.len()
        );
        return Err(ParseError::new(Span::default(), message));
    }
    let mut parser = Parser { tokens: lex(text), next: 0, nesting: 0 };
    let expr = match parser.log_in_parens()? {
        Some(log) => Expr::Log(log),
        None => Expr::Metric(parser.metric(0)?),
    };
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected("end of the query")),
    }
}

/// Range aggregations of LogQL that need `unwrap`.
const UNWRAPPED: [&str; 10] = [
    "rate_counter",
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "first_over_time",
    "last_over_time",
    "quantile_over_time",
];

/// Other words that begin an expression in LogQL.
const OTHER_FUNCTIONS: [&str; 5] =
    ["sort", "sort_desc", "approx_topk", "label_replace", "variants"];

/// Stages that are not built.
const OTHER_STAGES: [&str; 8] = [
    "regexp",
    "pattern",
    "unpack",
    "unwrap",
    "line_format",
    "label_format",
    "decolorize",
    "distinct",
];

struct Parser {
    tokens: Vec<(Token, Span)>,
    next: usize,
    nesting: u16,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)].0
    }

    fn peek_at(&self, ahead: usize) -> &Token {
        &self.tokens[(self.next + ahead).min(self.tokens.len() - 1)].0
    }

    fn span(&self) -> Span {
        self.tokens[self.next.min(self.tokens.len() - 1)].1
    }

    fn previous_span(&self) -> Span {
        self.tokens[self.next.saturating_sub(1)].1
    }

    fn peek_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(found) if *found == symbol)
    }

    fn peek_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Ident(found) if found == word)
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.peek_symbol(symbol);
        self.next += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek_word(word);
        self.next += usize::from(found);
        found
    }

    fn expect_symbol(&mut self, symbol: &str) -> Result<()> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.unexpected(&quote(symbol))) }
    }

    fn unexpected(&self, expected: &str) -> ParseError {
        let found = match self.peek() {
            Token::Bad(message) => return ParseError::new(self.span(), message.clone()),
            Token::End => "end of input".to_owned(),
            Token::Symbol(symbol) => quote(symbol),
            Token::Ident(word) => format!("identifier {}", quote(word)),
            Token::Text(text) => format!("string {}", quote(text)),
            Token::Quantity(text) => format!("number {}", quote(text)),
        };
        ParseError::new(self.span(), format!("unexpected {found}, expected {expected}"))
    }

    fn not_supported(&self, span: Span, what: &str) -> ParseError {
        ParseError::new(span, format!("{what} is known to LogQL but not supported yet"))
    }

    fn enter(&mut self) -> Result<()> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX { Err(too_deep(self.span())) } else { Ok(()) }
    }

    fn node(&self, kind: MetricKind, span: Span) -> Result<MetricExpr> {
        let expr = MetricExpr::new(kind, span);
        if expr.depth() > DEPTH_MAX { Err(too_deep(span)) } else { Ok(expr) }
    }

    fn text(&mut self) -> Result<String> {
        match self.peek().clone() {
            Token::Text(text) => {
                self.next += 1;
                Ok(text)
            }
            _ => Err(self.unexpected("string")),
        }
    }

    fn word(&mut self, expected: &str) -> Result<String> {
        match self.peek().clone() {
            Token::Ident(word) => {
                self.next += 1;
                Ok(word)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// A log query, perhaps in parentheses; `None`, and nothing taken, if something else stands
    /// here.
    fn log_in_parens(&mut self) -> Result<Option<LogExpr>> {
        let parens = (0..).take_while(|i| *self.peek_at(*i) == Token::Symbol("(")).count();
        if *self.peek_at(parens) != Token::Symbol("{") {
            return Ok(None);
        }
        self.next += parens;
        let mut log = self.selector()?;
        self.stages(&mut log.stages)?;
        for _ in 0..parens {
            self.expect_symbol(")")?;
            self.stages(&mut log.stages)?;
        }
        Ok(Some(log))
    }

    fn selector(&mut self) -> Result<LogExpr> {
        let start = self.span();
        self.expect_symbol("{")?;
        let mut matchers = Vec::new();
        while !self.take_symbol("}") {
            let name = self.word("label name or \"}\"")?;
            let op = match self.peek() {
                Token::Symbol("=") => MatchOp::Equal,
                Token::Symbol("!=") => MatchOp::NotEqual,
                Token::Symbol("=~") => MatchOp::Matches,
                Token::Symbol("!~") => MatchOp::NotMatches,
                _ => return Err(self.unexpected("one of \"=\", \"!=\", \"=~\", \"!~\"")),
            };
            self.next += 1;
            let value_span = self.span();
            let value = self.text()?;
            let matcher = Matcher::new(name, op, value)
                .map_err(|error| ParseError::new(value_span, error.message()))?;
            matchers.push(matcher);
            if !self.peek_symbol("}") && !self.take_symbol(",") {
                return Err(self.unexpected("\",\" or \"}\""));
            }
        }
        let span = start.to(self.previous_span());
        if matchers.iter().all(Matcher::matches_empty) {
            let message = "a query needs at least one matcher that does not match the empty \
                           value, such as {app=~\".+\"}";
            return Err(ParseError::new(span, message));
        }
        Ok(LogExpr { span, matchers, stages: Vec::new() })
    }

    fn stages(&mut self, stages: &mut Vec<Stage>) -> Result<()> {
        loop {
            let op = match self.peek() {
                Token::Symbol("|=") => LineOp::Contains,
                Token::Symbol("|~") => LineOp::Matches,
                Token::Symbol("!=") => LineOp::Lacks,
                Token::Symbol("!~") => LineOp::MatchesNot,
                Token::Symbol(symbol @ ("|>" | "!>")) => {
                    let what = format!("the pattern line filter {symbol}");
                    return Err(self.not_supported(self.span(), &what));
                }
                Token::Symbol("|") => {
                    self.next += 1;
                    stages.push(self.stage()?);
                    continue;
                }
                _ => return Ok(()),
            };
            self.next += 1;
            stages.push(self.line_filter(op)?);
        }
    }

    fn line_filter(&mut self, op: LineOp) -> Result<Stage> {
        let mut texts = Vec::new();
        let mut spans = Vec::new();
        loop {
            if self.peek_word("ip") && *self.peek_at(1) == Token::Symbol("(") {
                return Err(self.not_supported(self.span(), "the line filter ip()"));
            }
            spans.push(self.span());
            texts.push(self.text()?);
            if !self.take_word("or") {
                break;
            }
        }
        LineFilter::new(op, texts)
            .map(Stage::Line)
            .map_err(|(place, message)| ParseError::new(spans[place], message))
    }

    fn stage(&mut self) -> Result<Stage> {
        let span = self.span();
        let Token::Ident(word) = self.peek().clone() else {
            if self.peek_symbol("(") {
                return Ok(Stage::Label(self.label_filter()?));
            }
            return Err(self.unexpected("a stage of a pipeline"));
        };
        // A word that is compared is a label, whatever its name.
        let compared = matches!(
            self.peek_at(1),
            Token::Symbol("=" | "==" | "!=" | "=~" | "!~" | "<" | "<=" | ">" | ">=")
        );
        if compared && !matches!(word.as_str(), "drop" | "keep" | "json" | "logfmt") {
            return Ok(Stage::Label(self.label_filter()?));
        }
        match word.as_str() {
            "json" => {
                self.next += 1;
                if matches!(self.peek(), Token::Ident(_)) {
                    return Err(self.not_supported(self.span(), "json with chosen labels"));
                }
                Ok(Stage::Json)
            }
            "logfmt" => self.logfmt(),
            "drop" | "keep" => {
                self.next += 1;
                let picks = self.picks()?;
                Ok(if word == "drop" { Stage::Drop(picks) } else { Stage::Keep(picks) })
            }
            other if OTHER_STAGES.contains(&other) => {
                Err(self.not_supported(span, &format!("the stage {other}")))
            }
            _ => Ok(Stage::Label(self.label_filter()?)),
        }
    }

    fn logfmt(&mut self) -> Result<Stage> {
        self.next += 1;
        let mut strict = false;
        while self.peek_symbol("-") && *self.peek_at(1) == Token::Symbol("-") {
            let span = self.span();
            self.next += 2;
            if !self.take_word("strict") {
                return Err(self.not_supported(span, "this flag of logfmt"));
            }
            strict = true;
        }
        if matches!(self.peek(), Token::Ident(_)) {
            return Err(self.not_supported(self.span(), "logfmt with chosen labels"));
        }
        Ok(Stage::Logfmt { strict })
    }

    fn picks(&mut self) -> Result<Vec<LabelPick>> {
        let mut picks = Vec::new();
        loop {
            let name = self.word("label name")?;
            let op = match self.peek() {
                Token::Symbol("=") => Some(MatchOp::Equal),
                Token::Symbol("!=") => Some(MatchOp::NotEqual),
                Token::Symbol("=~") => Some(MatchOp::Matches),
                Token::Symbol("!~") => Some(MatchOp::NotMatches),
                _ => None,
            };
            let matcher = match op {
                None => None,
                Some(op) => {
                    self.next += 1;
                    let span = self.span();
                    let value = self.text()?;
                    let matcher = Matcher::new(name.as_str(), op, value)
                        .map_err(|error| ParseError::new(span, error.message()))?;
                    Some(matcher)
                }
            };
            picks.push(LabelPick { name, matcher });
            if !self.take_symbol(",") {
                return Ok(picks);
            }
        }
    }

    fn label_filter(&mut self) -> Result<LabelFilter> {
        self.enter()?;
        let mut left = self.label_conjunction()?;
        while self.take_word("or") {
            let right = self.label_conjunction()?;
            left = LabelFilter::Or(Box::new(left), Box::new(right));
            self.lengthen()?;
        }
        self.nesting -= 1;
        Ok(left)
    }

    /// A chain is as deep as it is long: its links count as nesting for the rest of the query.
    fn lengthen(&mut self) -> Result<()> {
        self.enter()
    }

    fn label_conjunction(&mut self) -> Result<LabelFilter> {
        let mut left = self.label_atom()?;
        loop {
            let joined = self.take_word("and")
                || self.take_symbol(",")
                || self.peek_symbol("(")
                || matches!(self.peek(), Token::Ident(word) if word != "or" && word != "offset");
            if !joined {
                return Ok(left);
            }
            let right = self.label_atom()?;
            left = LabelFilter::And(Box::new(left), Box::new(right));
            self.lengthen()?;
        }
    }

    fn label_atom(&mut self) -> Result<LabelFilter> {
        if self.take_symbol("(") {
            let inner = self.label_filter()?;
            self.expect_symbol(")")?;
            return Ok(inner);
        }
        let name = self.word("label name")?;
        let Token::Symbol(symbol) = *self.peek() else {
            return Err(self.unexpected("a comparison"));
        };
        let text_op = match symbol {
            "=" | "==" => Some(MatchOp::Equal),
            "!=" => Some(MatchOp::NotEqual),
            "=~" => Some(MatchOp::Matches),
            "!~" => Some(MatchOp::NotMatches),
            _ => None,
        };
        let number_op = BinaryOp::from_symbol(if symbol == "=" { "==" } else { symbol })
            .filter(|op| op.is_comparison());
        if text_op.is_none() && number_op.is_none() {
            return Err(self.unexpected("a comparison"));
        }
        self.next += 1;
        let span = self.span();
        match (self.peek().clone(), text_op, number_op) {
            (Token::Text(value), Some(op), _) if symbol != "==" => {
                self.next += 1;
                Matcher::new(name, op, value)
                    .map(LabelFilter::Text)
                    .map_err(|error| ParseError::new(span, error.message()))
            }
            (Token::Quantity(_) | Token::Symbol("-" | "+"), _, Some(op)) => {
                let negative = self.take_symbol("-");
                if !negative {
                    self.take_symbol("+");
                }
                let Token::Quantity(text) = self.peek().clone() else {
                    return Err(self.unexpected("number, duration or size"));
                };
                let Some((value, unit)) = read_quantity(&text) else {
                    return Err(self.unexpected("number, duration or size"));
                };
                self.next += 1;
                let value = if negative { -value } else { value };
                Ok(LabelFilter::Quantity { name, op, value, unit })
            }
            (Token::Ident(word), ..) if word == "ip" => {
                Err(self.not_supported(span, "the label filter ip()"))
            }
            _ => Err(self.unexpected("string, number, duration or size")),
        }
    }

    fn metric(&mut self, min: u8) -> Result<MetricExpr> {
        self.enter()?;
        let mut left = self.metric_primary()?;
        while let Some(op) = self.binary_operator().filter(|op| op.precedence() >= min) {
            let op_span = self.span();
            self.next += 1;
            let return_bool = self.take_word("bool");
            if return_bool && !op.is_comparison() {
                let message = "bool modifier can only be used on comparison operators";
                return Err(ParseError::new(op_span, message));
            }
            let matching = self.matching(op, op_span)?;
            let right = self.metric(op.precedence() + u8::from(op != BinaryOp::Pow))?;
            let span = left.span.to(right.span);
            if op.is_set() && (left.is_scalar() || right.is_scalar()) {
                let message = format!("set operator {:?} needs two vectors", op.as_str());
                return Err(ParseError::new(op_span, message));
            }
            let kind = MetricKind::Binary {
                op,
                return_bool,
                matching,
                left: Box::new(left),
                right: Box::new(right),
            };
            left = self.node(kind, span)?;
        }
        self.nesting -= 1;
        Ok(left)
    }

    fn binary_operator(&self) -> Option<BinaryOp> {
        match self.peek() {
            Token::Symbol(symbol) => BinaryOp::from_symbol(symbol),
            Token::Ident(word) if word != "atan2" => BinaryOp::from_symbol(word),
            _ => None,
        }
    }

    fn matching(&mut self, op: BinaryOp, op_span: Span) -> Result<Matching> {
        let on = self.take_word("on");
        if !on && !self.take_word("ignoring") {
            return Ok(Matching::default());
        }
        let labels = self.label_list()?;
        let mut matching = Matching { on, labels, ..Matching::default() };
        let group_left = self.take_word("group_left");
        if group_left || self.take_word("group_right") {
            if op.is_set() {
                let message = format!("no grouping allowed for {:?} operation", op.as_str());
                return Err(ParseError::new(op_span, message));
            }
            matching.cardinality =
                if group_left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
            if self.peek_symbol("(") {
                matching.include = self.label_list()?;
            }
        }
        Ok(matching)
    }

    fn label_list(&mut self) -> Result<Vec<String>> {
        self.expect_symbol("(")?;
        let mut labels = Vec::new();
        while !self.take_symbol(")") {
            labels.push(self.word("label name or \")\"")?);
            if !self.peek_symbol(")") {
                self.expect_symbol(",")?;
            }
        }
        Ok(labels)
    }

    fn metric_primary(&mut self) -> Result<MetricExpr> {
        let span = self.span();
        match self.peek().clone() {
            Token::Quantity(_) | Token::Symbol("-" | "+") => {
                let value = self.number()?;
                self.node(MetricKind::Number(value), span.to(self.previous_span()))
            }
            Token::Symbol("(") => {
                self.next += 1;
                let inner = self.metric(0)?;
                self.expect_symbol(")")?;
                let span = span.to(self.previous_span());
                self.node(MetricKind::Paren(Box::new(inner)), span)
            }
            Token::Ident(word) => {
                self.next += 1;
                self.call(&word, span)
            }
            _ => Err(self.unexpected("a stream selector, a number or a function")),
        }
    }

    fn number(&mut self) -> Result<f64> {
        let negative = self.take_symbol("-");
        if !negative {
            self.take_symbol("+");
        }
        let value = match self.peek() {
            Token::Quantity(text) => text.parse::<f64>().ok(),
            _ => None,
        };
        let Some(value) = value else { return Err(self.unexpected("number")) };
        self.next += 1;
        Ok(if negative { -value } else { value })
    }

    fn call(&mut self, word: &str, span: Span) -> Result<MetricExpr> {
        if let Some(op) = RangeOp::from_name(word) {
            return self.range_aggregation(op, span);
        }
        if word == "vector" {
            self.expect_symbol("(")?;
            let value = self.number()?;
            self.expect_symbol(")")?;
            return self.node(MetricKind::Vector(value), span.to(self.previous_span()));
        }
        let supported =
            !matches!(word, "group" | "quantile" | "count_values" | "limitk" | "limit_ratio");
        if let Some(op) = AggregateOp::from_name(word).filter(|_| supported) {
            return self.aggregate(op, span);
        }
        if UNWRAPPED.contains(&word) || OTHER_FUNCTIONS.contains(&word) {
            return Err(self.not_supported(span, &format!("the function {word}")));
        }
        Err(ParseError::new(span, format!("unknown function {}", quote(word))))
    }

    fn aggregate(&mut self, op: AggregateOp, start: Span) -> Result<MetricExpr> {
        let before = self.grouping()?;
        self.expect_symbol("(")?;
        let parameter = if op.has_parameter() {
            let value = self.number()?;
            self.expect_symbol(",")?;
            Some(value)
        } else {
            None
        };
        let expr = self.metric(0)?;
        self.expect_symbol(")")?;
        if expr.is_scalar() {
            let message = format!("{} needs a vector, got a number", op.as_str());
            return Err(ParseError::new(expr.span, message));
        }
        let grouping = match before {
            Some(grouping) => grouping,
            None => self.grouping()?.unwrap_or_default(),
        };
        let kind = MetricKind::Aggregate { op, parameter, grouping, expr: Box::new(expr) };
        self.node(kind, start.to(self.previous_span()))
    }

    fn grouping(&mut self) -> Result<Option<Grouping>> {
        let without = self.take_word("without");
        if !without && !self.take_word("by") {
            return Ok(None);
        }
        Ok(Some(Grouping { without, labels: self.label_list()? }))
    }

    fn range_aggregation(&mut self, op: RangeOp, start: Span) -> Result<MetricExpr> {
        self.expect_symbol("(")?;
        let parens = self.peek_symbol("(");
        let Some(mut log) = self.log_in_parens()? else {
            return Err(self.unexpected("a stream selector"));
        };
        let range_span = self.span();
        self.expect_symbol("[")?;
        let range_ns = self.duration()?;
        self.expect_symbol("]")?;
        if range_ns <= 0 {
            return Err(ParseError::new(range_span, "the range must be longer than zero"));
        }
        let mut offset_ns = 0;
        if self.take_word("offset") {
            let negative = self.take_symbol("-");
            let offset = self.duration()?;
            offset_ns = if negative { -offset } else { offset };
        }
        if !parens {
            self.stages(&mut log.stages)?;
        }
        self.expect_symbol(")")?;
        if self.peek_word("by") || self.peek_word("without") {
            let message = format!("grouping is not allowed for {}", op.as_str());
            return Err(ParseError::new(self.span(), message));
        }
        let kind = MetricKind::Range(RangeAggregation { op, log, range_ns, offset_ns });
        self.node(kind, start.to(self.previous_span()))
    }

    fn duration(&mut self) -> Result<i64> {
        let ns = match self.peek() {
            Token::Quantity(text) => parse_go_duration_ns(text),
            _ => None,
        };
        let Some(ns) = ns else { return Err(self.unexpected("duration")) };
        self.next += 1;
        Ok(ns)
    }
}

fn read_quantity(text: &str) -> Option<(f64, Unit)> {
    if let Ok(value) = text.parse() {
        return Some((value, Unit::Number));
    }
    if let Some(ns) = parse_go_duration_ns(text) {
        return Some((ns as f64, Unit::Duration));
    }
    parse_bytes(text).map(|bytes| (bytes, Unit::Bytes))
}

fn too_deep(span: Span) -> ParseError {
    ParseError::new(
        span,
        format!(
            "the expression nests deeper than {NESTING_MAX} levels or has a chain of more than {DEPTH_MAX} operators"
        ),
    )
}
