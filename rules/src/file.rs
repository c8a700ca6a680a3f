//! Prometheus rule files (prometheus `model/rulefmt/rulefmt.go`).
//!
//! Reading is strict: an unknown key is an error, since a misspelt `annotations` is a page without
//! words. Every error that is found is reported, with the place in the file where it is known.

mod raw;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use model::Labels;
use model::labels::METRIC_NAME;
use serde_saphyr::Spanned;
use template::{Template, duration};

use raw::{RawGroup, RawRule};

/// A rule file that was found good.
#[derive(Debug, Clone)]
pub struct RuleFile {
    /// The name it was read under.
    pub name: String,
    /// Its groups.
    pub groups: Vec<GroupSpec>,
}

/// The language of a group's expressions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Language {
    /// On metrics.
    #[default]
    Promql,
    /// On logs.
    Logql,
}

impl Language {
    /// The values of the key `type` of a group, which is ours: vmalert has one by that name.
    const NAMES: [(&str, Language); 4] = [
        ("promql", Language::Promql),
        ("prometheus", Language::Promql),
        ("logql", Language::Logql),
        ("loki", Language::Logql),
    ];
}

/// A group as written.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSpec {
    /// Unique in its file.
    pub name: String,
    /// Of all its expressions.
    pub language: Language,
    /// Milliseconds between evaluations; the default if absent.
    pub interval_ms: Option<i64>,
    /// How far back queries look; the default if absent.
    pub query_offset_ms: Option<i64>,
    /// The most alerts or series that one rule may make; 0 is no limit.
    pub limit: usize,
    /// In order of evaluation.
    pub rules: Vec<RuleSpec>,
}

/// A rule as written, with the labels of its group merged in.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleSpec {
    /// The alert's or the recorded series' name.
    pub name: String,
    /// The expression.
    pub expr: String,
    /// Labels to set; those of an alerting rule are templates.
    pub labels: Vec<(String, String)>,
    /// What an alerting rule has besides; absent for a recording rule.
    pub alert: Option<AlertSpec>,
}

/// The keys that only an alerting rule has.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertSpec {
    /// How long the expression must hold before the alert fires.
    pub for_ms: i64,
    /// How long the alert keeps firing after the expression stopped to hold.
    pub keep_firing_for_ms: i64,
    /// Templates of words for people.
    pub annotations: Vec<(String, String)>,
}

/// One thing that is wrong with a rule file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// The file.
    pub file: String,
    /// Line and column, both from 1, where they are known.
    pub at: Option<(u64, u64)>,
    /// The group, if it is about one.
    pub group: String,
    /// The number of the rule from 1, and its name if it has one.
    pub rule: Option<(usize, String)>,
    /// What is wrong.
    pub message: String,
}

impl FileError {
    /// What a caller can do about it.
    pub fn kind(&self) -> model::ErrorKind {
        model::ErrorKind::BadRequest
    }
}

/// Something to tell the owner of a good rule file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file.
    pub file: String,
    /// The group, if it is about one.
    pub group: String,
    /// The rule, if it is about one.
    pub rule: String,
    /// What should be better.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if !self.group.is_empty() {
            write!(f, ": group {:?}", self.group)?;
        }
        if !self.rule.is_empty() {
            write!(f, ", rule {:?}", self.rule)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        if !self.group.is_empty() {
            write!(f, ": group {:?}", self.group)?;
        }
        if let Some((number, name)) = &self.rule {
            write!(f, ", rule {number}")?;
            if !name.is_empty() {
                write!(f, ", {name:?}")?;
            }
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for FileError {}

/// What becomes of keys that Prometheus does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownKeys {
    /// They are errors, as for Prometheus's server.
    Refused,
    /// They are skipped, as `promtool check rules --ignore-unknown-fields` does.
    Ignored,
}

/// Whether an expression is one of a rule, and if not why.
pub type CheckExpr<'a> = &'a dyn Fn(Language, &str) -> Result<(), String>;

/// Reads a rule file. `file` names it in errors; `check_expr` is asked about every expression.
pub fn parse(
    file: &str,
    text: &str,
    check_expr: CheckExpr<'_>,
) -> Result<(RuleFile, Vec<Warning>), Vec<FileError>> {
    parse_with(file, text, check_expr, Language::Promql, UnknownKeys::Refused)
}

/// [`parse`], where the caller says in what language groups are that do not say it, and what becomes
/// of keys that Prometheus does not know.
pub fn parse_with(
    file: &str,
    text: &str,
    check_expr: CheckExpr<'_>,
    language: Language,
    unknown_keys: UnknownKeys,
) -> Result<(RuleFile, Vec<Warning>), Vec<FileError>> {
    let mut reader =
        Reader { file, check_expr, language, errors: Vec::new(), warnings: Vec::new() };
    let first = reader.first_document(text);
    if first.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok((RuleFile { name: file.to_owned(), groups: Vec::new() }, reader.warnings));
    }
    let raw = match raw::read(first, unknown_keys) {
        Ok(raw) => raw,
        Err(error) => return Err(vec![yaml_error(file, &error)]),
    };
    let groups = reader.read_groups(raw.groups.unwrap_or_default());
    if reader.errors.is_empty() {
        Ok((RuleFile { name: file.to_owned(), groups }, reader.warnings))
    } else {
        Err(reader.errors)
    }
}

fn yaml_error(file: &str, error: &serde_saphyr::Error) -> FileError {
    let at = error.location().map(|at| (at.line(), at.column()));
    let message = error.without_snippet().to_string();
    // The place is told once, in our own notation.
    let message = message.split(" at line ").next().unwrap_or("").trim_end_matches(',').to_owned();
    FileError { file: file.to_owned(), at, group: String::new(), rule: None, message }
}

fn place_of<T>(spanned: &Spanned<T>) -> Option<(u64, u64)> {
    let at = spanned.referenced;
    (at.line() > 0).then_some((at.line(), at.column()))
}

struct Reader<'a> {
    file: &'a str,
    check_expr: CheckExpr<'a>,
    language: Language,
    errors: Vec<FileError>,
    warnings: Vec<Warning>,
}

impl Reader<'_> {
    /// Only the first document counts, as upstream has it. A marker at the start of a line ends a
    /// document wherever it stands.
    fn first_document<'t>(&mut self, text: &'t str) -> &'t str {
        let mut offset = 0;
        let mut has_content = false;
        for line in text.split_inclusive('\n') {
            let is_marker = line.strip_prefix("---").is_some_and(|rest| rest.trim().is_empty());
            if is_marker && has_content {
                let message = "only the first YAML document is read, the others are ignored";
                self.warn("", "", message);
                return &text[..offset];
            }
            has_content |= !is_marker && !line.trim().is_empty() && !line.starts_with('#');
            offset += line.len();
        }
        text
    }

    fn warn(&mut self, group: &str, rule: &str, message: impl Into<String>) {
        self.warnings.push(Warning {
            file: self.file.to_owned(),
            group: group.to_owned(),
            rule: rule.to_owned(),
            message: message.into(),
        });
    }

    fn refuse(
        &mut self,
        context: &Context<'_>,
        at: Option<(u64, u64)>,
        message: impl Into<String>,
    ) {
        self.errors.push(FileError {
            file: self.file.to_owned(),
            at: at.or(context.at),
            group: context.group.to_owned(),
            rule: context.rule.clone(),
            message: message.into(),
        });
    }

    fn read_groups(&mut self, raw: Vec<RawGroup>) -> Vec<GroupSpec> {
        let mut names = BTreeSet::new();
        let mut groups = Vec::with_capacity(raw.len());
        for group in raw {
            let name = group.name.value.clone();
            let context = Context { group: &name, rule: None, at: place_of(&group.name) };
            if name.is_empty() {
                self.refuse(&context, None, "group name must not be empty");
            }
            if !names.insert(name.clone()) {
                self.refuse(&context, None, "group name is repeated in the same file");
            }
            groups.push(self.read_group(&context, group));
        }
        groups
    }

    fn read_group(&mut self, context: &Context<'_>, raw: RawGroup) -> GroupSpec {
        let group_labels = raw.labels.unwrap_or_default();
        self.check_names(context, "label", &group_labels);
        let interval_ms = self.duration(context, "interval", raw.interval);
        let limit = raw.limit.unwrap_or(0);
        if limit < 0 {
            self.refuse(context, None, format!("limit {limit} is negative"));
        }
        let language = self.language(context, raw.language);
        let mut rules = Vec::new();
        for (i, rule) in raw.rules.unwrap_or_default().into_iter().enumerate() {
            rules.extend(self.read_rule(context.group, language, i + 1, &group_labels, rule));
        }
        GroupSpec {
            name: context.group.to_owned(),
            language,
            interval_ms: interval_ms.filter(|interval_ms| *interval_ms > 0),
            query_offset_ms: self.duration(context, "query_offset", raw.query_offset),
            limit: usize::try_from(limit).unwrap_or(0),
            rules,
        }
    }

    fn read_rule(
        &mut self,
        group: &str,
        language: Language,
        number: usize,
        group_labels: &BTreeMap<String, String>,
        raw: RawRule,
    ) -> Option<RuleSpec> {
        let errors_before = self.errors.len();
        let written_name = raw.alert.as_ref().or(raw.record.as_ref());
        let name = written_name.map(|name| name.value.clone()).unwrap_or_default();
        let any_place = written_name.or(raw.expr.as_ref()).and_then(place_of);
        let context = Context { group, rule: Some((number, name.clone())), at: any_place };
        let is_alert = raw.alert.as_ref().is_some_and(|alert| !alert.value.is_empty());
        let is_record = raw.record.as_ref().is_some_and(|record| !record.value.is_empty());
        match (is_alert, is_record) {
            (true, true) => {
                self.refuse(&context, None, "only one of 'record' and 'alert' must be set")
            }
            (false, false) => self.refuse(&context, None, "one of 'record' or 'alert' must be set"),
            _ => {}
        }
        self.check_expr(&context, language, raw.expr.as_ref());
        let own_labels = raw.labels.unwrap_or_default();
        let annotations = raw.annotations.unwrap_or_default();
        self.check_names(&context, "label", &own_labels);
        self.check_names(&context, "annotation", &annotations);
        if is_record {
            if name.contains(['{', '}']) {
                let message = "braces present in the recording rule name; should it be in expr?";
                self.refuse(&context, None, message);
            }
            let alert_only = [
                ("for", raw.for_.is_some()),
                ("keep_firing_for", raw.keep_firing_for.is_some()),
                ("annotations", !annotations.is_empty()),
            ];
            for (key, _) in alert_only.iter().filter(|(_, is_set)| *is_set) {
                self.refuse(&context, None, format!("invalid field '{key}' in recording rule"));
            }
        }
        let for_ms = self.duration(&context, "for", raw.for_).unwrap_or(0);
        let keep_firing_for_ms =
            self.duration(&context, "keep_firing_for", raw.keep_firing_for).unwrap_or(0);
        let mut labels = group_labels.clone();
        labels.extend(own_labels);
        if is_alert {
            self.check_templates(&context, "label", &labels);
            self.check_templates(&context, "annotation", &annotations);
            self.warn_about_words(group, &name, &labels, &annotations);
        }
        if self.errors.len() > errors_before {
            return None;
        }
        let alert = is_alert.then(|| AlertSpec {
            for_ms,
            keep_firing_for_ms,
            annotations: annotations.into_iter().collect(),
        });
        let expr = raw.expr.map(|expr| expr.value).unwrap_or_default();
        Some(RuleSpec { name, expr, labels: labels.into_iter().collect(), alert })
    }

    fn language(&mut self, context: &Context<'_>, written: Option<Spanned<String>>) -> Language {
        let Some(written) = written else { return self.language };
        match Language::NAMES.iter().find(|(name, _)| *name == written.value) {
            Some((_, language)) => *language,
            None => {
                let names: Vec<&str> = Language::NAMES.iter().map(|(name, _)| *name).collect();
                let message = format!("type {:?} is not one of {names:?}", written.value);
                self.refuse(context, place_of(&written), message);
                self.language
            }
        }
    }

    fn check_expr(
        &mut self,
        context: &Context<'_>,
        language: Language,
        expr: Option<&Spanned<String>>,
    ) {
        match expr.filter(|expr| !expr.value.trim().is_empty()) {
            None => self.refuse(context, None, "field 'expr' must be set in rule"),
            Some(expr) => {
                if let Err(message) = (self.check_expr)(language, &expr.value) {
                    let message = format!("could not parse expression: {message}");
                    self.refuse(context, place_of(expr), message);
                }
            }
        }
    }

    fn check_names(&mut self, context: &Context<'_>, what: &str, map: &BTreeMap<String, String>) {
        for name in map.keys() {
            if name.is_empty() || name == METRIC_NAME {
                self.refuse(context, None, format!("invalid {what} name: {name:?}"));
            }
        }
    }

    fn check_templates(
        &mut self,
        context: &Context<'_>,
        what: &str,
        map: &BTreeMap<String, String>,
    ) {
        for (name, text) in map {
            if let Err(error) = Template::parse(text) {
                self.refuse(context, None, format!("{what} {name:?}: {error}"));
            }
        }
    }

    /// A page without a runbook or a severity is a page that nobody knows what to do with.
    fn warn_about_words(
        &mut self,
        group: &str,
        rule: &str,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) {
        if !annotations.contains_key("runbook_url") {
            self.warn(group, rule, "has no runbook_url annotation");
        }
        if !labels.contains_key("severity") {
            self.warn(group, rule, "has no severity label");
        }
        if labels.values().any(|text| text.contains("$value") || text.contains(".Value")) {
            let message =
                "has a label with the sample's value, so that each value is another alert";
            self.warn(group, rule, message);
        }
    }

    fn duration(
        &mut self,
        context: &Context<'_>,
        key: &str,
        written: Option<Spanned<String>>,
    ) -> Option<i64> {
        let written = written?;
        let parsed = duration::parse_ms(&written.value);
        if parsed.is_none() {
            let message = format!("{key}: not a valid duration string: {:?}", written.value);
            self.refuse(context, place_of(&written), message);
        }
        parsed
    }
}

struct Context<'a> {
    group: &'a str,
    rule: Option<(usize, String)>,
    at: Option<(u64, u64)>,
}

impl RuleSpec {
    /// The labels as written, templates not rendered.
    pub(crate) fn label_set(&self) -> Labels {
        self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

#[cfg(test)]
mod tests;
