//! Outcomes as JUnit XML, with the elements that promtool writes.

use model::TimestampMs;

/// The outcomes of one file.
#[derive(Debug)]
pub(super) struct Suite {
    name: String,
    at: TimestampMs,
    cases: Vec<Case>,
    /// Why no test could be run.
    error: Option<String>,
}

#[derive(Debug)]
struct Case {
    name: String,
    failures: Vec<String>,
}

impl Suite {
    pub(super) fn new(name: String, at: TimestampMs) -> Self {
        Suite { name, at, cases: Vec::new(), error: None }
    }

    /// The file can not be tested.
    pub(super) fn abort(&mut self, error: &str) {
        self.error = Some(error.to_owned());
    }

    /// A test was run.
    pub(super) fn case(&mut self, name: String, failures: &[String]) {
        self.cases.push(Case { name, failures: failures.to_vec() });
    }

    pub(super) fn has_failed(&self) -> bool {
        self.error.is_some() || self.cases.iter().any(|case| !case.failures.is_empty())
    }
}

/// The document of all suites.
pub(super) fn document(suites: &[Suite]) -> String {
    let mut xml = String::from("<testsuites>");
    for suite in suites {
        let failures: usize = suite.cases.iter().map(|case| case.failures.len()).sum();
        let at = suite.at.to_string();
        // What can not be run counts as one test.
        let tests = suite.cases.len() + usize::from(suite.error.is_some());
        xml.push_str(&format!(
            "<testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{}\" \
             skipped=\"0\" timestamp=\"{}\">",
            escape(&suite.name),
            usize::from(suite.error.is_some()),
            at.split('.').next().unwrap_or_default()
        ));
        if let Some(error) = &suite.error {
            xml.push_str("<testcase name=\"unknown\"><error>");
            xml.push_str(&escape(error));
            xml.push_str("</error></testcase>");
        }
        for case in &suite.cases {
            xml.push_str(&format!("<testcase name=\"{}\">", escape(&case.name)));
            for failure in &case.failures {
                xml.push_str(&format!("<failure>{}</failure>", escape(failure)));
            }
            xml.push_str("</testcase>");
        }
        xml.push_str("</testsuite>");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&#34;"),
            '\n' => escaped.push_str("&#xA;"),
            '\t' => escaped.push_str("&#x9;"),
            // XML has no way to write other control characters.
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_errors_are_counted_and_escaped() {
        let mut good = Suite::new("a.yml".to_owned(), TimestampMs(0));
        good.case("one".to_owned(), &[]);
        good.case("two".to_owned(), &["a < \"b\"\nc".to_owned()]);
        let mut bad = Suite::new("b.yml".to_owned(), TimestampMs(0));
        bad.abort("no such file");
        let wanted = concat!(
            "<testsuites><testsuite name=\"a.yml\" tests=\"2\" failures=\"1\" errors=\"0\" ",
            "skipped=\"0\" timestamp=\"1970-01-01T00:00:00\"><testcase name=\"one\"></testcase>",
            "<testcase name=\"two\"><failure>a &lt; &#34;b&#34;&#xA;c</failure></testcase>",
            "</testsuite><testsuite name=\"b.yml\" tests=\"1\" failures=\"0\" errors=\"1\" ",
            "skipped=\"0\" timestamp=\"1970-01-01T00:00:00\"><testcase name=\"unknown\"><error>",
            "no such file</error></testcase></testsuite></testsuites>\n",
        );
        assert_eq!(document(&[good, bad]), wanted);
    }
}
