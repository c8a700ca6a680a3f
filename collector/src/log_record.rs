//! What every door does to log records: they get a level and a service name, and no line is endless.

pub(crate) mod level;

use std::borrow::Cow;

use model::log::Origin;
use model::write::LogField;

/// Where the service's name is looked for when there is no `service_name`, in this order (Loki's
/// `discover_service_name`).
const SERVICE_NAMES: [&str; 13] = [
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
];

/// The label that every stream has.
pub(crate) const SERVICE_NAME: &str = "service_name";
/// How long a line was before it was cut, in bytes; only lines that were cut have it.
pub(crate) const LINE_BYTES: &str = "line_bytes";

/// The service of a stream that does not name it: the first of the usual names that `value_of` knows.
pub(crate) fn discover_service<'a>(
    value_of: impl Fn(&str) -> Option<Cow<'a, str>>,
) -> Cow<'a, str> {
    SERVICE_NAMES.iter().find_map(|name| value_of(name)).unwrap_or(Cow::Borrowed("unknown_service"))
}

/// Cuts a line that is longer than `bytes_max`, at the end of a character; answers the field that
/// tells its length. Zero bytes cut nothing.
pub(crate) fn cut<'a>(line: &mut Cow<'a, str>, bytes_max: usize) -> Option<LogField<'a>> {
    let length = line.len();
    if bytes_max == 0 || length <= bytes_max {
        return None;
    }
    let end = line.floor_char_boundary(bytes_max);
    match line {
        Cow::Borrowed(text) => *line = Cow::Borrowed(&text[..end]),
        Cow::Owned(text) => text.truncate(end),
    }
    let value = Cow::Owned(length.to_string());
    Some(LogField { name: Cow::Borrowed(LINE_BYTES), value, origin: Origin::Derived })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_the_end_of_a_character_and_its_length_is_told() {
        let cut_to = |line: &str, bytes_max| {
            let mut line = Cow::Owned(line.to_owned());
            let told = cut(&mut line, bytes_max).map(|field| field.value.into_owned());
            (line.into_owned(), told)
        };
        assert_eq!(cut_to("abc", 3), ("abc".to_owned(), None));
        assert_eq!(cut_to("abcd", 3), ("abc".to_owned(), Some("4".to_owned())));
        assert_eq!(cut_to("a\u{f6}", 2), ("a".to_owned(), Some("3".to_owned())));
        assert_eq!(cut_to("abc", 0), ("abc".to_owned(), None));
    }
}
