//! Conditions on lines as they are asked of templates, the index and columns: texts, and
//! expressions with the texts that they need.

use std::cell::{OnceCell, RefCell};
use std::ops::Range;

use memchr::memmem::Finder;
use model::log::LineCondition;
use regex::Regex;
use rustc_hash::FxHashMap;

use super::Pass;
use super::automaton::Automaton;
use crate::part::bits::Bits;
use crate::part::index::{ByteSet, Template};
use crate::part::literals::{Text, is_local, required_literals};
use crate::part::needle::{Verdict, judge};

/// A condition on lines.
pub(super) struct LineFilter {
    /// Lines are wanted if one of the alternatives is in them; else if none is.
    pub(super) is_wanted: bool,
    pub(super) alternatives: Vec<Alternative>,
}

/// A text or an expression.
pub(super) struct Alternative {
    /// One of these is in every line that matches; `None` if nothing is known.
    pub(super) literals: Option<Vec<Literal>>,
    /// Decides about lines that have a literal.
    pub(super) regex: Option<Regex>,
    /// Decides without lines being put together.
    pub(super) automaton: Option<Automaton>,
    /// By template of the part, how many of its lines the expression matches.
    pub(super) passes: Vec<OnceCell<Pass>>,
    /// Whether what the expression matches does not depend on what is around.
    pub(super) is_local: bool,
}

/// A text, and what is known of it.
pub(super) struct Literal {
    /// In lower case if case is ignored.
    pub(super) finder: Finder<'static>,
    /// Whether letters of ASCII may be small or capital.
    pub(super) ignores_case: bool,
    /// By template of the part.
    pub(super) verdicts: Vec<OnceCell<Verdict>>,
    /// For each part of the text that was asked for: the blocks whose index has it.
    pub(super) blocks: RefCell<FxHashMap<Range<usize>, Option<Bits>>>,
}

impl LineFilter {
    pub(super) fn new(condition: &LineCondition, templates: usize) -> Self {
        let of_regex = |regex: &Regex| {
            let required = required_literals(regex.as_str());
            let is_exact = required.as_ref().is_some_and(|required| required.is_exact);
            let literal = |text: Text| Literal::new(text, templates);
            Alternative {
                literals: required.map(|own| own.texts.into_iter().map(literal).collect()),
                regex: (!is_exact).then(|| regex.clone()),
                automaton: (!is_exact).then(|| Automaton::new(regex.as_str())).flatten(),
                passes: vec![OnceCell::new(); templates],
                is_local: is_local(regex.as_str()),
            }
        };
        let (is_wanted, alternatives) = match condition {
            LineCondition::Contains(needles) | LineCondition::Lacks(needles) => {
                let alternatives = needles.iter().map(|needle| {
                    let text = Text { bytes: needle.text().to_vec(), ignores_case: false };
                    // An empty text is in every line.
                    let is_told = !text.bytes.is_empty();
                    let literals = is_told.then(|| vec![Literal::new(text, templates)]);
                    Alternative {
                        literals,
                        regex: None,
                        automaton: None,
                        passes: Vec::new(),
                        is_local: false,
                    }
                });
                let is_wanted = matches!(condition, LineCondition::Contains(_));
                (is_wanted, alternatives.collect())
            }
            LineCondition::Matches(regexes) => (true, regexes.iter().map(of_regex).collect()),
            LineCondition::MatchesNot(regexes) => (false, regexes.iter().map(of_regex).collect()),
        };
        LineFilter { is_wanted, alternatives }
    }
}

impl Literal {
    pub(super) fn new(text: Text, templates: usize) -> Self {
        let finder = Finder::new(&text.bytes).into_owned();
        let ignores_case = text.ignores_case;
        let verdicts = (0..templates).map(|_| OnceCell::new()).collect();
        Literal { finder, ignores_case, verdicts, blocks: Default::default() }
    }

    pub(super) fn judge(&self, template: &Template) -> Verdict {
        if !self.ignores_case {
            return judge(template, &self.finder);
        }
        let pieces = template.pieces.iter().map(|piece| piece.to_ascii_lowercase()).collect();
        judge(&Template { pieces }, &self.finder)
    }

    /// Whether a line has it, which may be made lower case.
    pub(super) fn is_in(&self, line: &mut [u8]) -> bool {
        if self.ignores_case {
            line.make_ascii_lowercase();
        }
        self.finder.find(line).is_some()
    }

    /// Whether a part of it can be of some bytes.
    pub(super) fn may_be_of(&self, bytes: &ByteSet, part: &[u8]) -> bool {
        if self.ignores_case { bytes.has_all_folded(part) } else { bytes.has_all(part) }
    }
}
