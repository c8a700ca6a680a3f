//! Relabelling, as `model/relabel/relabel.go` of Prometheus 3 does it.

use std::borrow::Cow;

use model::Labels;
use regex::{Captures, Regex};

use super::md5::md5;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the words are those of Prometheus's documentation")]
pub enum Action {
    #[default]
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

impl Action {
    /// The words of the configuration.
    pub const ALL: [(&str, Action); 11] = [
        ("replace", Action::Replace),
        ("keep", Action::Keep),
        ("drop", Action::Drop),
        ("keepequal", Action::KeepEqual),
        ("dropequal", Action::DropEqual),
        ("hashmod", Action::HashMod),
        ("labelmap", Action::LabelMap),
        ("labeldrop", Action::LabelDrop),
        ("labelkeep", Action::LabelKeep),
        ("lowercase", Action::Lowercase),
        ("uppercase", Action::Uppercase),
    ];

    fn as_str(self) -> &'static str {
        Action::ALL.iter().find(|(_, action)| *action == self).map_or("", |(word, _)| word)
    }
}

/// A rule as it was written; what is not given has Prometheus's default.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the keys are those of Prometheus's documentation")]
pub struct RelabelSettings {
    pub source_labels: Option<Vec<String>>,
    pub separator: Option<String>,
    pub target_label: Option<String>,
    pub regex: Option<String>,
    pub modulus: u64,
    pub replacement: Option<String>,
    pub action: Action,
}

/// One rule, checked and compiled.
#[derive(Debug, Clone)]
pub struct Relabel {
    source_labels: Vec<String>,
    separator: String,
    target_label: String,
    regex: Regex,
    is_default_regex: bool,
    modulus: u64,
    replacement: String,
    action: Action,
}

const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_REPLACEMENT: &str = "$1";
const DEFAULT_SEPARATOR: &str = ";";

impl Relabel {
    /// Checks a rule as Prometheus does; the error is a sentence without the key's path.
    pub fn new(settings: RelabelSettings) -> Result<Relabel, String> {
        let action = settings.action;
        let word = action.as_str();
        let target = settings.target_label.clone().unwrap_or_default();
        let is = |actions: &[Action]| actions.contains(&action);
        let changes = |given: &Option<String>, default: &str| {
            given.as_deref().is_some_and(|given| given != default)
        };
        if action == Action::HashMod && settings.modulus == 0 {
            return Err("hashmod requires a modulus other than 0".to_owned());
        }
        let wants_target = is(&[
            Action::Replace,
            Action::HashMod,
            Action::Lowercase,
            Action::Uppercase,
            Action::KeepEqual,
            Action::DropEqual,
        ]);
        if wants_target && target.is_empty() {
            return Err(format!("{word} requires target_label"));
        }
        let replacement = changes(&settings.replacement, DEFAULT_REPLACEMENT);
        let regex = changes(&settings.regex, DEFAULT_REGEX);
        let separator = changes(&settings.separator, DEFAULT_SEPARATOR);
        if is(&[Action::Lowercase, Action::Uppercase]) && replacement {
            return Err(format!("replacement can not be set for {word}"));
        }
        if is(&[Action::KeepEqual, Action::DropEqual])
            && (regex || replacement || separator || settings.modulus != 0)
        {
            return Err(format!("{word} takes source_labels and target_label only"));
        }
        if is(&[Action::LabelDrop, Action::LabelKeep])
            && (settings.source_labels.is_some()
                || !target.is_empty()
                || replacement
                || separator
                || settings.modulus != 0)
        {
            return Err(format!("{word} takes regex only"));
        }
        let pattern = settings.regex.as_deref().unwrap_or(DEFAULT_REGEX);
        let regex = model::matcher::anchored_regex(pattern).map_err(|e| e.to_string())?;
        Ok(Relabel {
            source_labels: settings.source_labels.unwrap_or_default(),
            separator: settings.separator.unwrap_or_else(|| DEFAULT_SEPARATOR.to_owned()),
            target_label: target,
            regex,
            is_default_regex: pattern == DEFAULT_REGEX,
            modulus: settings.modulus,
            replacement: settings.replacement.unwrap_or_else(|| DEFAULT_REPLACEMENT.to_owned()),
            action,
        })
    }

    /// Changes `labels`; answers whether they are kept.
    fn apply(&self, labels: &mut LabelBuilder) -> bool {
        let values: Vec<&str> = self.source_labels.iter().map(|name| labels.get(name)).collect();
        let value = values.join(&self.separator);
        match self.action {
            Action::Keep => return self.regex.is_match(&value),
            Action::Drop => return !self.regex.is_match(&value),
            Action::KeepEqual => return labels.get(&self.target_label) == value,
            Action::DropEqual => return labels.get(&self.target_label) != value,
            Action::Replace => self.replace(labels, &value),
            Action::Lowercase => labels.set(&self.target_label, &value.to_lowercase()),
            Action::Uppercase => labels.set(&self.target_label, &value.to_uppercase()),
            Action::HashMod => {
                // The last eight bytes, as Prometheus has it.
                let [.., a, b, c, d, e, f, g, h] = md5(value.as_bytes());
                let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]) % self.modulus;
                labels.set(&self.target_label, &number.to_string());
            }
            Action::LabelMap => {
                for (name, value) in labels.pairs.clone() {
                    if let Some(captures) = self.regex.captures(&name) {
                        labels.set(&expand(&self.replacement, &captures), &value);
                    }
                }
            }
            Action::LabelDrop => labels.pairs.retain(|(name, _)| !self.regex.is_match(name)),
            Action::LabelKeep => labels.pairs.retain(|(name, _)| self.regex.is_match(name)),
        }
        true
    }

    fn replace(&self, labels: &mut LabelBuilder, value: &str) {
        let has_variable = self.target_label.contains('$') || self.replacement.contains('$');
        if value.is_empty() && self.is_default_regex && !has_variable {
            labels.set(&self.target_label, &self.replacement);
            return;
        }
        let Some(captures) = self.regex.captures(value) else { return };
        let target = expand(&self.target_label, &captures);
        if !target.is_empty() {
            labels.set(&target, &expand(&self.replacement, &captures));
        }
    }
}

/// Applies `rules` in order; answers whether the labels are kept.
pub(super) fn relabel(rules: &[Relabel], labels: &mut LabelBuilder) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

/// Labels that change. Sorted by name, each once, none empty.
#[derive(Debug, Clone, Default)]
pub(super) struct LabelBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelBuilder {
    pub(super) fn of(labels: &Labels) -> Self {
        let pairs = labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        LabelBuilder { pairs: pairs.collect() }
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.pairs.binary_search_by(|(known, _)| known.as_str().cmp(name))
    }

    /// The value of `name`, or the empty string.
    pub(super) fn get(&self, name: &str) -> &str {
        self.find(name).map_or("", |at| &self.pairs[at].1)
    }

    /// An empty value removes the label.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        match (self.find(name), value.is_empty()) {
            (Ok(at), true) => drop(self.pairs.remove(at)),
            (Err(_), true) => {}
            (Ok(at), false) => value.clone_into(&mut self.pairs[at].1),
            (Err(at), false) => self.pairs.insert(at, (name.to_owned(), value.to_owned())),
        }
    }

    pub(super) fn set_default(&mut self, name: &str, value: &str) {
        if self.get(name).is_empty() {
            self.set(name, value);
        }
    }

    pub(super) fn retain(&mut self, mut is_kept: impl FnMut(&str) -> bool) {
        self.pairs.retain(|(name, _)| is_kept(name));
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn to_labels(&self) -> Labels {
        self.iter().collect()
    }
}

/// Go's `Regexp.Expand`: `$name`, `${name}`, `$1`, `$$`; an unknown name is empty, and a dollar
/// that begins nothing stands for itself.
fn expand<'t>(template: &'t str, captures: &Captures<'_>) -> Cow<'t, str> {
    if !template.contains('$') {
        return Cow::Borrowed(template);
    }
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            text.push('$');
            rest = after;
            continue;
        }
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let open = after.strip_prefix('{');
        let inside = open.unwrap_or(after);
        let end = inside.find(|c| !is_name(c)).unwrap_or(inside.len());
        let (name, left) = inside.split_at(end);
        let left = if open.is_some() { left.strip_prefix('}') } else { Some(left) };
        match left {
            Some(left) if !name.is_empty() => {
                text.push_str(group(captures, name));
                rest = left;
            }
            _ => {
                text.push('$');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    Cow::Owned(text)
}

fn group<'h>(captures: &Captures<'h>, name: &str) -> &'h str {
    // With a leading zero it is a name, which nothing can have.
    let is_number =
        name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    let found = match name.parse() {
        Ok(number) if is_number => captures.get(number),
        _ => captures.name(name),
    };
    found.map_or("", |found| found.as_str())
}

#[cfg(test)]
mod tests;
