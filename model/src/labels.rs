//! Label sets: the identity of a series, of a log stream and of an alert.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";

/// The label of a series whose samples are not cumulative (Prometheus's experimental native delta
/// ingestion uses the same name and value): its value is [`DELTA`], each sample tells what happened
/// between its start time and its time, and `rate` and `increase` add samples up.
pub const TEMPORALITY: &str = "__temporality__";

/// The value of [`TEMPORALITY`].
pub const DELTA: &str = "delta";

/// So much of the text in which a thread builds labels is kept for the next ones.
const TEXT_BYTES_KEPT: usize = 64 << 10;

/// An immutable label set: sorted by name, each name once, no empty value (an empty value means
/// that the label is absent, as in Prometheus). Cloning is cheap.
///
/// All of it is one text, so that a set is one allocation: how many labels, then for each label the
/// length of its name, that of its value, the name, the value. Numbers are written in ASCII, six
/// bits in a byte, the lowest first, with bit 6 set if more follow.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<str>);

/// The labels of a set in order of name.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    text: &'a str,
    at: usize,
    left: usize,
}

fn put_number(text: &mut String, mut number: usize) {
    while number >= 0x40 {
        text.push(char::from((number & 0x3f) as u8 | 0x40));
        number >>= 6;
    }
    text.push(char::from(number as u8));
}

impl Iter<'_> {
    #[inline]
    fn number(&mut self) -> usize {
        let bytes = self.text.as_bytes();
        let mut number = 0;
        let mut shift = 0;
        while let Some(byte) = bytes.get(self.at) {
            self.at += 1;
            number |= usize::from(byte & 0x3f) << shift;
            if byte & 0x40 == 0 {
                break;
            }
            shift += 6;
        }
        number
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (name, value) = (self.number(), self.number());
        let middle = self.at + name;
        let end = middle + value;
        let label = (self.text.get(self.at..middle)?, self.text.get(middle..end)?);
        self.at = end;
        Some(label)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl Labels {
    /// The set without labels.
    pub fn empty() -> Self {
        Labels::pack(std::iter::empty::<(&str, &str)>())
    }

    /// Sorts, drops empty values, and keeps the last value of a repeated name.
    pub fn from_pairs<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        Labels::from_any_pairs(pairs, |value| !value.is_empty())
    }

    /// As [`Labels::from_pairs`], but keeps empty values. Only answers of LogQL have such sets,
    /// where a parsed label may be empty.
    pub fn from_pairs_with_empty<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        Labels::from_any_pairs(pairs, |_| true)
    }

    fn from_any_pairs<N, V>(
        pairs: impl IntoIterator<Item = (N, V)>,
        is_kept: impl Fn(&str) -> bool + Clone,
    ) -> Self
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        let mut labels: Vec<(N, V)> = pairs.into_iter().collect();
        let is_sorted = labels.windows(2).all(|pair| pair[0].0.as_ref() < pair[1].0.as_ref());
        if !is_sorted {
            // A stable sort, so that of equal names the last one stays last.
            labels.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
            let mut unique: Vec<(N, V)> = Vec::with_capacity(labels.len());
            for label in labels {
                if unique.last().is_some_and(|last| last.0.as_ref() == label.0.as_ref()) {
                    unique.pop();
                }
                unique.push(label);
            }
            labels = unique;
        }
        let pairs = labels.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
        Labels::pack(pairs.filter(move |(_, value)| is_kept(value)))
    }

    /// Of labels in order of name, each name once, no value empty: as they come out of another set.
    pub fn from_sorted<'a>(labels: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Self {
        debug_assert!(labels.clone().is_sorted_by(|a, b| a.0 < b.0));
        Labels::pack(labels)
    }

    /// Of labels in order of name, each name once.
    fn pack<'a>(labels: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Self {
        thread_local! {
            static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
        }
        TEXT.with_borrow_mut(|text| {
            text.clear();
            put_number(text, labels.clone().count());
            for (name, value) in labels {
                put_number(text, name.len());
                put_number(text, value.len());
                text.push_str(name);
                text.push_str(value);
            }
            let labels = Labels(text.as_str().into());
            text.shrink_to(TEXT_BYTES_KEPT);
            labels
        })
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        // Label sets are short: a scan beats a binary search.
        self.iter().find(|label| label.0 == name).map(|label| label.1)
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
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        let mut labels = Iter { text: &self.0, at: 0, left: 0 };
        labels.left = labels.number();
        labels
    }

    /// How many labels.
    pub fn len(&self) -> usize {
        self.iter().left
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// This set without the named labels.
    pub fn without(&self, names: &[&str]) -> Self {
        if !self.iter().any(|(name, _)| names.contains(&name)) {
            return self.clone();
        }
        Labels::pack(self.iter().filter(|(name, _)| !names.contains(name)))
    }

    /// Only the named labels.
    pub fn only(&self, names: &[&str]) -> Self {
        Labels::pack(self.iter().filter(|(name, _)| names.contains(name)))
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
        for (name, value) in self.iter() {
            name.bytes().for_each(&mut add);
            add(0xff);
            value.bytes().for_each(&mut add);
            add(0xff);
        }
        hash
    }
}

/// By the first label that differs, its name before its value; a set that goes on is greater.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
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
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_are_sorted_and_the_last_value_of_a_name_wins() {
        let labels = Labels::from_pairs([("b", "1"), ("a", "2"), ("b", "3"), ("c", "")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
    }

    proptest! {
        #[test]
        fn any_labels_come_back_and_compare_as_lists_of_pairs(
            one in prop::collection::btree_map(".{1,70}", ".{1,70}|a{5000}", 0..5),
            two in prop::collection::btree_map("[ab]{1,2}", "[ab]{1,2}", 0..3),
            three in prop::collection::btree_map("[ab]{1,2}", "[ab]{1,2}", 0..3),
        ) {
            let labels = Labels::from_pairs(&one);
            prop_assert_eq!(labels.len(), one.len());
            let pairs = labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned()));
            prop_assert_eq!(pairs.collect::<BTreeMap<_, _>>(), one);
            let order = Labels::from_pairs(&two).cmp(&Labels::from_pairs(&three));
            prop_assert_eq!(order, two.iter().cmp(three.iter()));
        }
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
