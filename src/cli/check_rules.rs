//! `signalbox check rules`: promtool's command of that name, with its words and exit codes
//! (promtool 3.5): 0 good, 1 not good, 3 good but for a lint that `--lint-fatal` makes an error.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use rules::file::{self, Language, UnknownKeys};
use rules::{RuleFile, Warning};

use super::{missing_file, print_text, print_to_stderr};
use crate::rule_query::check_expr;

/// What is checked, and how strictly.
#[derive(Debug, Args)]
pub(super) struct CheckRulesArguments {
    /// The files; standard input if there are none.
    files: Vec<PathBuf>,
    /// What is looked for beside errors, by commas: duplicate-rules, all or none.
    #[arg(long, value_name = "LINT", default_value = "duplicate-rules")]
    lint: String,
    /// What the lint finds makes the exit code 3.
    #[arg(long)]
    lint_fatal: bool,
    /// Skip keys that Prometheus does not know. Its server would still refuse them.
    #[arg(long)]
    ignore_unknown_fields: bool,
}

/// The exit code of a lint that is an error.
const LINT_FAILED: u8 = 3;

#[derive(Debug, Default)]
struct Verdict {
    has_errors: bool,
    has_lint: bool,
}

/// Checks the files, or standard input.
pub(super) fn run(arguments: &CheckRulesArguments) -> anyhow::Result<ExitCode> {
    if let Some(message) = missing_file(&arguments.files) {
        anyhow::bail!(message);
    }
    let finds_duplicates = finds_duplicates(&arguments.lint)?;
    let unknown_keys = match arguments.ignore_unknown_fields {
        true => UnknownKeys::Ignored,
        false => UnknownKeys::Refused,
    };
    let mut verdict = Verdict::default();
    let mut check = |name: &str, text: std::io::Result<String>| {
        let read = match text {
            Ok(text) => file::parse_with(name, &text, &check_expr, Language::Promql, unknown_keys)
                .map_err(|errors| errors.iter().map(|error| format!("{error}\n")).collect()),
            Err(error) => Err(format!("{name}: {error}\n")),
        };
        verdict.tell(read, finds_duplicates)
    };
    if arguments.files.is_empty() {
        print_text("Checking standard input\n")?;
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        check("standard input", read.map(|_| text))?;
    }
    for path in &arguments.files {
        print_text(&format!("Checking {}\n", path.display()))?;
        check(&path.display().to_string(), std::fs::read_to_string(path))?;
    }
    Ok(match verdict {
        Verdict { has_errors: true, .. } => ExitCode::FAILURE,
        Verdict { has_lint: true, .. } if arguments.lint_fatal => ExitCode::from(LINT_FAILED),
        _ => ExitCode::SUCCESS,
    })
}

impl Verdict {
    /// Says what was found in a file; the errors, or the file with its warnings.
    fn tell(
        &mut self,
        read: Result<(RuleFile, Vec<Warning>), String>,
        finds_duplicates: bool,
    ) -> anyhow::Result<()> {
        let (file, warnings) = match read {
            Ok(read) => read,
            Err(errors) => {
                self.has_errors = true;
                print_to_stderr(&format!("  FAILED:\n{}", errors.trim_end()));
                return Ok(());
            }
        };
        for warning in warnings {
            print_to_stderr(&format!("warning: {warning}"));
        }
        let duplicates = if finds_duplicates { duplicates(&file) } else { Vec::new() };
        if duplicates.is_empty() {
            let count: usize = file.groups.iter().map(|group| group.rules.len()).sum();
            return print_text(&format!("  SUCCESS: {count} rules found\n\n"));
        }
        self.has_lint = true;
        print_to_stderr(&format!("  FAILED:\n{}", describe(&duplicates)));
        print_text("\n")
    }
}

/// Whether one of the lints is the one there is; what is unknown is told.
fn finds_duplicates(lint: &str) -> anyhow::Result<bool> {
    let mut finds_duplicates = false;
    for word in lint.split(',') {
        match word {
            "all" | "duplicate-rules" => finds_duplicates = true,
            "none" => {}
            unknown => print_text(&format!("WARNING: unknown lint option: {unknown:?}\n"))?,
        }
    }
    Ok(finds_duplicates)
}

/// A name and labels by which one rule is taken for another.
type Identity<'a> = (&'a str, &'a [(String, String)]);

/// What more than one rule of the file has, each once, in order.
fn duplicates(file: &RuleFile) -> Vec<Identity<'_>> {
    let rules = file.groups.iter().flat_map(|group| &group.rules);
    let mut seen: BTreeSet<Identity<'_>> = BTreeSet::new();
    let all = rules.map(|rule| (rule.name.as_str(), rule.labels.as_slice()));
    let again: BTreeSet<Identity<'_>> = all.filter(|identity| !seen.insert(*identity)).collect();
    again.into_iter().collect()
}

fn describe(duplicates: &[Identity<'_>]) -> String {
    let mut text = format!("lint error {} duplicate rule(s) found.\n", duplicates.len());
    for (name, labels) in duplicates {
        let labels: String = labels.iter().map(|(n, value)| format!("\t{n}: {value}\n")).collect();
        text.push_str(&format!("Metric: {name}\nLabel(s):\n{labels}"));
    }
    text.push_str("Might cause inconsistency while recording expressions");
    text
}
