//! Which names a search accepts, and how well they fit (`web/api/v1/search_filters.go`,
//! `util/strutil/{subsequence,jarowinkler}.go` of Prometheus 3.14).

/// Scores of the parts of a subsequence that is not the whole name stay below that of the whole.
const INEXACT_SCALE: f64 = 0.999;

/// Accepts what any of its terms accepts.
pub(super) struct Filter {
    terms: Vec<Vec<char>>,
    threshold: f64,
    is_jaro_winkler: bool,
    is_exact_case: bool,
}

impl Filter {
    /// `None` without any term that is not empty. The threshold is 0 to 1.
    pub(super) fn new(
        terms: &[&str],
        threshold: f64,
        is_jaro_winkler: bool,
        is_exact_case: bool,
    ) -> Option<Self> {
        let terms = terms.iter().filter(|term| !term.is_empty());
        let fold = |term: &&str| match is_exact_case {
            true => term.chars().collect(),
            false => term.to_lowercase().chars().collect(),
        };
        let terms: Vec<Vec<char>> = terms.map(fold).collect();
        (!terms.is_empty()).then_some(Filter { terms, threshold, is_jaro_winkler, is_exact_case })
    }

    /// How well a name fits, 0 to 1; `None` if it does not.
    pub(super) fn score(&self, name: &str) -> Option<f64> {
        let name: Vec<char> = match self.is_exact_case {
            true => name.chars().collect(),
            false => name.to_lowercase().chars().collect(),
        };
        let scores = self.terms.iter().filter_map(|term| self.score_of(term, &name));
        scores.max_by(f64::total_cmp)
    }

    fn score_of(&self, term: &[char], name: &[char]) -> Option<f64> {
        if name.starts_with(term) {
            return Some(1.0);
        }
        if !self.is_jaro_winkler {
            let score = subsequence(term, name)?;
            return (score > 0.0 && score >= self.threshold).then_some(score);
        }
        if let Some(score) = substring(term, name) {
            return Some(score);
        }
        let score = (self.threshold > 0.0).then(|| jaro_winkler(term, name))?;
        (score >= self.threshold).then_some(score)
    }
}

/// Less than 1 for a term that stands in the name but not at its beginning: the later, the less.
fn substring(term: &[char], name: &[char]) -> Option<f64> {
    let at = name.windows(term.len()).position(|window| window == term)?;
    let last = name.len() - term.len();
    Some(1.0 - 0.9 * at as f64 / last.max(1) as f64)
}

/// The best score of all places where the characters of a term begin to stand in a name in order:
/// the squares of their runs, less the gaps.
fn subsequence(term: &[char], name: &[char]) -> Option<f64> {
    let last_start = name.len().checked_sub(term.len())?;
    let mut best = None;
    for start in 0..=last_start {
        if name.get(start) != term.first() {
            continue;
        }
        // If the term does not fit behind this place, it fits behind no later one.
        let Some(score) = score_from(term, name, start) else { break };
        best = Some(best.map_or(score, |best: f64| best.max(score)));
    }
    let best = best.filter(|best| *best >= 0.0)?;
    Some(best / (term.len() * term.len()) as f64 * INEXACT_SCALE)
}

fn score_from(term: &[char], name: &[char], start: usize) -> Option<f64> {
    let weight = 1.0 / name.len() as f64;
    let mut score = 0.0;
    let mut at = start;
    // Behind the run before.
    let mut run_end = 0;
    let mut rest = term;
    while let Some(next) = rest.first() {
        at += name.get(at..)?.iter().position(|c| c == next)?;
        let same = name.get(at..)?.iter().zip(rest).take_while(|(a, b)| a == b);
        let run = same.count();
        if at > run_end {
            score -= (at - run_end) as f64 * weight;
        }
        score += (run * run) as f64;
        rest = rest.get(run..)?;
        at += run;
        run_end = at;
    }
    if name.len() > run_end {
        score -= (name.len() - run_end) as f64 * weight * 0.5;
    }
    Some(score)
}

/// The similarity of Jaro and Winkler: 1 for the same text, 0 for texts with nothing in common.
fn jaro_winkler(a: &[char], b: &[char]) -> f64 {
    if a == b {
        return 1.0;
    }
    let (short, long) = if a.len() > b.len() { (b, a) } else { (a, b) };
    let distance = (long.len() / 2).saturating_sub(1);
    let mut is_taken = vec![false; long.len()];
    let mut common: Vec<char> = Vec::new();
    for (i, c) in short.iter().enumerate() {
        let end = (i + distance + 1).min(long.len());
        let free = (i.saturating_sub(distance)..end).find(|j| !is_taken[*j] && long[*j] == *c);
        if let Some(j) = free {
            is_taken[j] = true;
            common.push(*c);
        }
    }
    if common.is_empty() {
        return 0.0;
    }
    let others = long.iter().zip(&is_taken).filter(|(_, taken)| **taken).map(|(c, _)| c);
    let moved = common.iter().zip(others).filter(|(a, b)| a != b).count() as f64;
    let matches = common.len() as f64;
    let weights = (1.0 / short.len() as f64, 1.0 / long.len() as f64);
    let jaro =
        (matches * weights.0 + matches * weights.1 + (matches - moved * 0.5) / matches) / 3.0;
    let prefix = short.iter().zip(long).take(4).take_while(|(a, b)| a == b).count();
    jaro + prefix as f64 * 0.1 * (1.0 - jaro)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chars(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn a_subsequence_scores_runs_and_loses_for_gaps() {
        let filter = |term: &str| Filter::new(&[term], 0.0, false, true).unwrap();
        assert_eq!(filter("http").score("http_requests"), Some(1.0));
        assert_eq!(filter("xyz").score("http_requests"), None);
        // The run of three: 9, less one before it, none within, none behind it, over 9.
        let score = filter("bcd").score("abcd").unwrap();
        assert!(close(score, (9.0 - 0.25) / 9.0 * 0.999), "{score}");
        // Two runs of one with a gap of one in the name of four, and one behind.
        let score = subsequence(&chars("ac"), &chars("abcd")).unwrap();
        assert!(close(score, (2.0 - 0.25 - 0.125) / 4.0 * 0.999), "{score}");
        assert!(Filter::new(&[""], 0.0, false, true).is_none());
    }

    #[test]
    fn similar_names_are_found_over_the_threshold() {
        assert!(close(jaro_winkler(&chars("martha"), &chars("marhta")), 0.961_111_111_111));
        assert!(close(jaro_winkler(&chars("dixon"), &chars("dicksonx")), 0.813_333_333_333));
        assert_eq!(jaro_winkler(&chars("abc"), &chars("xyz")), 0.0);
        let filter = Filter::new(&["marhta"], 0.9, true, true).unwrap();
        assert!(filter.score("martha").is_some());
        assert!(filter.score("martina_x").is_none());
    }

    #[test]
    fn what_stands_later_scores_less_and_case_may_be_ignored() {
        let filter = Filter::new(&["UP"], 0.0, true, false).unwrap();
        assert_eq!(filter.score("Up"), Some(1.0));
        assert!(close(filter.score("a_up").unwrap(), 0.1));
        assert!(close(filter.score("a_up_x").unwrap(), 1.0 - 0.9 * 2.0 / 4.0));
    }
}
