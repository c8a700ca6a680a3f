//! The stages that make labels of a line.

use std::borrow::Cow;

use super::ast::{Extraction, PatternParser, RegexpParser, Stage};
use super::json::{self, Path, ValueKind};
use super::labels::{EXTRACTED, Kind, LineLabels, PRESERVE_ERROR, push_sanitized, sanitize};
use super::logfmt;
use super::needs::Needs;

const JSON_ERROR: &str = "JSONParserErr";
const LOGFMT_ERROR: &str = "LogfmtParserErr";

/// Where a parser writes. `own` makes what it found in the line last as long as the labels.
pub(super) struct Target<'t, 'a, F> {
    pub(super) labels: &'t mut LineLabels<'a>,
    pub(super) needs: &'t Needs,
    pub(super) own: F,
}

impl<'a, 'l, F: Fn(Cow<'l, str>) -> Cow<'a, str>> Target<'_, 'a, F> {
    /// Writes a label that the line was not told to have; answers whether more is needed.
    fn add(&mut self, name: Cow<'l, str>, value: Cow<'l, str>) -> bool {
        if name.is_empty() {
            return true;
        }
        let name =
            if self.labels.is_taken(&name) { format!("{name}{EXTRACTED}").into() } else { name };
        if self.needs.wants(&name) && !self.labels.is_extracted(&name) {
            self.write(name, value);
        }
        !self.needs.are_met(self.labels)
    }

    /// The name under which a label is written that the query names itself.
    fn free_name(&self, name: &str) -> Cow<'l, str> {
        let suffix = if self.labels.is_taken(name) { EXTRACTED } else { "" };
        format!("{name}{suffix}").into()
    }

    fn write(&mut self, name: Cow<'l, str>, value: Cow<'l, str>) {
        let (name, value) = ((self.own)(name), (self.own)(value));
        self.labels.set(name, value, Kind::Parsed);
    }

    fn fail(&mut self, kind: &'static str, details: impl Into<String>) {
        self.labels.details = details.into();
        self.fail_without_details(kind);
    }

    fn fail_without_details(&mut self, kind: &'static str) {
        self.labels.error = kind.into();
        // Errors that a query asks for are labels of their own.
        if self.needs.preserve_errors() {
            self.labels.set(PRESERVE_ERROR.into(), "true".into(), Kind::Parsed);
        }
    }

    fn json(&mut self, line: &'l str) {
        if let Err(error) = json::leaves(line, &mut Vec::new(), self) {
            self.fail(JSON_ERROR, error);
        }
    }

    fn json_paths(&mut self, line: &'l str, extractions: &[Extraction<Path>]) {
        match line.as_bytes().first() {
            None => return,
            Some(b'{' | b'[' | b'"') => {}
            Some(_) => {
                self.fail_without_details(JSON_ERROR);
                return;
            }
        }
        let mut is_any_missing = false;
        for extraction in extractions {
            let Some((kind, raw)) = extraction.path.find(line) else {
                is_any_missing = true;
                continue;
            };
            let name = self.free_name(&extraction.name);
            let value: Cow<'l, str> = match kind {
                ValueKind::Null => "".into(),
                // Also the texts in an array lose their escapes, those in an object do not.
                ValueKind::Array => json::label_text(ValueKind::Text, raw),
                _ => json::label_text(kind, raw),
            };
            self.write(name, value);
        }
        if is_any_missing {
            for extraction in extractions {
                if self.labels.get(&extraction.name).is_none() {
                    self.write(extraction.name.clone().into(), "".into());
                }
            }
        }
    }

    fn logfmt(
        &mut self,
        line: &'l str,
        strict: bool,
        keep_empty: bool,
        extractions: &[Extraction<String>],
    ) {
        for Extraction { name, .. } in extractions {
            if !self.labels.is_taken(name) {
                self.write(name.clone().into(), "".into());
            }
        }
        let mut reader = logfmt::Reader::new(line);
        while let Some(pair) = reader.next_pair() {
            let Some(pair) = pair else {
                if strict {
                    break;
                }
                continue;
            };
            let key = sanitize(pair.key);
            let value = match pair.value {
                value if value.contains(char::REPLACEMENT_CHARACTER) => {
                    value.replace(char::REPLACEMENT_CHARACTER, " ").into()
                }
                value => value,
            };
            if extractions.is_empty() {
                if (!value.is_empty() || keep_empty) && !self.add(key.into(), value) {
                    break;
                }
                continue;
            }
            let by_path = extractions.iter().find(|extraction| extraction.path == key);
            let wanted = by_path.or_else(|| extractions.iter().find(|e| e.name == key));
            let Some(Extraction { name, .. }) = wanted else { continue };
            let name = self.free_name(name);
            self.write(name, value);
        }
        if let Some(error) = reader.error.filter(|_| strict) {
            self.fail(LOGFMT_ERROR, error);
        }
    }

    fn regexp(&mut self, line: &'l str, parser: &RegexpParser) {
        let Some(captures) = parser.regex.captures(line) else { return };
        for (group, name) in &parser.labels {
            let value = captures.get(*group).map_or("", |found| found.as_str());
            self.add(name.clone().into(), value.into());
        }
    }

    fn pattern(&mut self, line: &'l str, parser: &PatternParser) {
        parser.pattern.captures(line, |name, value| {
            self.add(name.to_owned().into(), value.into());
        });
    }

    /// The line that was packed, if there is one; only then its labels count.
    fn unpack(&mut self, line: &'l str) -> Option<String> {
        const ENTRY: &str = "_entry";
        match line.as_bytes().first() {
            None => return None,
            Some(b'{') => {}
            Some(_) => {
                self.fail(JSON_ERROR, "expecting json object(6), but it is not");
                return None;
            }
        }
        let mut entry = None;
        let mut labels: Vec<(Cow<'l, str>, Cow<'l, str>)> = Vec::new();
        let result = json::members(line, &mut |key, kind, raw| {
            if kind == ValueKind::Text {
                let value = json::label_text(kind, raw);
                if key == ENTRY {
                    entry = Some(value.into_owned());
                } else {
                    labels.push((sanitize(&key).into(), value));
                }
            }
            Ok(true)
        });
        if let Err(error) = result {
            self.fail(JSON_ERROR, error);
            return None;
        }
        if entry.is_some() {
            for (name, value) in labels {
                self.add(name, value);
            }
        }
        entry
    }
}

impl<'a, 'l, F: Fn(Cow<'l, str>) -> Cow<'a, str>> json::Leaves<'l> for Target<'_, 'a, F> {
    fn enters(&mut self, keys: &[Cow<'l, str>]) -> bool {
        self.needs.wants_prefix(|| joined(keys))
    }

    fn visit(&mut self, keys: &[Cow<'l, str>], kind: ValueKind, raw: &'l str) -> bool {
        let name = match keys {
            [key] => sanitize(key),
            _ => joined(keys),
        };
        self.add(name.into(), json::label_text(kind, raw))
    }
}

/// The name of a label that is nested in a line.
fn joined(keys: &[Cow<'_, str>]) -> String {
    let mut name = String::new();
    for key in keys.iter().filter(|key| !key.trim().is_empty()) {
        if !name.is_empty() {
            name.push('_');
        }
        push_sanitized(&mut name, key);
    }
    name
}

/// Runs a stage that [`Stage::is_parser`]; answers the new line if there is one.
pub(super) fn run<'a, 'l, F: Fn(Cow<'l, str>) -> Cow<'a, str>>(
    stage: &Stage,
    line: &'l str,
    target: &mut Target<'_, 'a, F>,
) -> Option<String> {
    match stage {
        Stage::Json(paths) if paths.is_empty() => target.json(line),
        Stage::Json(paths) => target.json_paths(line, paths),
        Stage::Logfmt { strict, keep_empty, extractions } => {
            target.logfmt(line, *strict, *keep_empty, extractions);
        }
        Stage::Regexp(parser) => target.regexp(line, parser),
        Stage::Pattern(parser) => target.pattern(line, parser),
        Stage::Unpack => return target.unpack(line),
        _ => {}
    }
    None
}
