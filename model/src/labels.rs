//! Label sets: the identity of a series, of a log stream and of an alert.

use std::fmt;
use std::sync::Arc;

/// One name and its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// The name; any UTF-8, never empty.
    pub name: Box<str>,
    /// The value; any UTF-8, never empty inside [`Labels`].
    pub value: Box<str>,
}

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";

/// The label of a series whose samples are not cumulative (Prometheus's experimental native delta
/// ingestion uses the same name and value): its value is [`DELTA`], each sample tells what happened
/// between its start time and its time, and `rate` and `increase` add samples up.
pub const TEMPORALITY: &str = "__temporality__";

/// The value of [`TEMPORALITY`].
pub const DELTA: &str = "delta";

/// An immutable label set: sorted by name, each name once, no empty value (an empty value means
/// that the label is absent, as in Prometheus). Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[Label]>);

impl Labels {
    /// The set without labels.
    pub fn empty() -> Self {
        Labels(Arc::from([]))
    }

    /// Sorts, drops empty values, and keeps the last value of a repeated name.
    pub fn from_pairs<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<Box<str>>,
        V: Into<Box<str>>,
    {
        let mut labels: Vec<Label> = pairs
            .into_iter()
            .map(|(name, value)| Label { name: name.into(), value: value.into() })
            .collect();
        // A stable sort, so that of equal names the last one stays last.
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        let mut unique: Vec<Label> = Vec::with_capacity(labels.len());
        for label in labels {
            if unique.last().is_some_and(|last| last.name == label.name) {
                unique.pop();
            }
            unique.push(label);
        }
        unique.retain(|label| !label.value.is_empty());
        Labels(unique.into())
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        // Label sets are short: a scan beats a binary search.
        self.0.iter().find(|label| &*label.name == name).map(|label| &*label.value)
    }

    /// The value of `name`, or the empty string.
    pub fn get_or_empty(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// The metric name, or the empty string.
    pub fn metric_name(&self) -> &str {
        self.get_or_empty(METRIC_NAME)
    }

    /// In order of name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|label| (&*label.name, &*label.value))
    }

    /// How many labels.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// This set without the named labels.
    pub fn without(&self, names: &[&str]) -> Self {
        Labels(self.0.iter().filter(|label| !names.contains(&&*label.name)).cloned().collect())
    }

    /// Only the named labels.
    pub fn only(&self, names: &[&str]) -> Self {
        Labels(self.0.iter().filter(|label| names.contains(&&*label.name)).cloned().collect())
    }

    /// This set with `name` set to `value`; an empty value removes it.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let kept = self.iter().filter(|(n, _)| *n != name);
        Labels::from_pairs(kept.chain([(name, value)]))
    }

    /// Alertmanager's fingerprint: FNV-1a 64 over `name 0xff value 0xff` in order of name
    /// (prometheus/common `model/signature.go`).
    pub fn fingerprint(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |byte: u8| {
            hash ^= u64::from(byte);
            hash = hash.wrapping_mul(0x0100_0000_01b3);
        };
        for label in self.0.iter() {
            label.name.bytes().for_each(&mut add);
            add(0xff);
            label.value.bytes().for_each(&mut add);
            add(0xff);
        }
        hash
    }
}

impl<N: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(N, V)> for Labels {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(pairs: T) -> Self {
        Labels::from_pairs(pairs)
    }
}

/// Prometheus's notation: `name{a="b"}`; names that are not plain identifiers are quoted.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = self.metric_name();
        let plain = is_plain_metric_name(metric);
        if plain {
            f.write_str(metric)?;
        }
        let rest: Vec<_> =
            self.iter().filter(|(name, _)| !(plain && *name == METRIC_NAME)).collect();
        if plain && rest.is_empty() {
            return Ok(());
        }
        f.write_str("{")?;
        for (i, (name, value)) in rest.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if is_plain_label_name(name) {
                write!(f, "{name}={value:?}")?;
            } else {
                write!(f, "{name:?}={value:?}")?;
            }
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Whether `name` needs no quotes as a label name: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_plain_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether `name` needs no quotes as a metric name: as a label name, and `:` is allowed.
pub fn is_plain_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_and_the_last_value_of_a_name_wins() {
        let labels = Labels::from_pairs([("b", "1"), ("a", "2"), ("b", "3"), ("c", "")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
    }

    #[test]
    fn an_empty_last_value_removes_the_label() {
        assert!(Labels::from_pairs([("a", "1"), ("a", "")]).is_empty());
    }

    #[test]
    fn labels_print_as_prometheus_prints_them() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "a\"b"), ("x.y", "1")]);
        assert_eq!(labels.to_string(), r#"up{job="a\"b", "x.y"="1"}"#);
        assert_eq!(Labels::empty().to_string(), "{}");
        assert_eq!(Labels::from_pairs([("__name__", "up")]).to_string(), "up");
    }

    #[test]
    fn fingerprints_equal_those_of_prometheus_common() {
        // prometheus/common model/signature_test.go, TestLabelsToSignature.
        assert_eq!(Labels::empty().fingerprint(), 14_695_981_039_346_656_037);
        let labels =
            Labels::from_pairs([("name", "garland, briggs"), ("fear", "love is not enough")]);
        assert_eq!(labels.fingerprint(), 5_799_056_148_416_392_346);
    }
}
