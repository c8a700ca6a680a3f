//! Files that match a pattern such as `rules/*.yml`, as Go's `filepath.Glob` finds them: `*` stands for
//! any text, `?` for any character, `[a-z]` and `[^a-z]` for one of some or one of all others, within
//! one part of a path; `\` takes the next character for itself.

use std::path::{Component, Path, PathBuf};

/// The paths that match, in order, links followed; what has no sign of a pattern matches if it exists. A
/// folder that can not be read has no files.
///
/// Fails with a sentence if a part is not a pattern.
pub fn files(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let text = component.as_os_str().to_string_lossy();
        let is_plain = !text.contains(['*', '?', '[', '\\']);
        if is_plain || !matches!(component, Component::Normal(_)) {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        }
        let name = Name::parse(&text)?;
        found = found.iter().flat_map(|folder| matching(folder, &name)).collect();
    }
    found.retain(|path| path.exists());
    Ok(found)
}

/// Fails with a sentence if a part of a path is not a pattern.
pub fn check(pattern: &Path) -> Result<(), String> {
    pattern.iter().try_for_each(|part| Name::parse(&part.to_string_lossy()).map(|_| ()))
}

/// Whether a path matches, part by part; a part that is not a pattern matches nothing.
pub(crate) fn path_matches(pattern: &Path, path: &Path) -> bool {
    let (mut pattern, mut path) = (pattern.components(), path.components());
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(found)) => {
                let name = Name::parse(&wanted.as_os_str().to_string_lossy());
                let found = found.as_os_str().to_string_lossy();
                if !name.is_ok_and(|name| name.matches(&found)) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

fn matching(folder: &Path, name: &Name) -> Vec<PathBuf> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(here) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut names: Vec<_> = names.filter(|found| name.matches(&found.to_string_lossy())).collect();
    names.sort();
    names.into_iter().map(|name| folder.join(name)).collect()
}

/// The pattern of one part of a path.
struct Name(Vec<Piece>);

enum Piece {
    /// Any text.
    Star,
    Any,
    One(char),
    /// One of these ranges, or of none of them.
    Class {
        ranges: Vec<(char, char)>,
        is_negated: bool,
    },
}

impl Piece {
    fn is(&self, c: char) -> bool {
        match self {
            Piece::Star => false,
            Piece::Any => true,
            Piece::One(wanted) => *wanted == c,
            Piece::Class { ranges, is_negated } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != *is_negated
            }
        }
    }
}

impl Name {
    fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            let piece = match c {
                '*' => Some(Piece::Star),
                '?' => Some(Piece::Any),
                '[' => class(&mut rest),
                '\\' => rest.next().map(Piece::One),
                c => Some(Piece::One(c)),
            };
            pieces.push(piece.ok_or_else(|| format!("syntax error in pattern {text:?}"))?);
        }
        Ok(Name(pieces))
    }

    /// In time of the product of the lengths.
    fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut at, mut in_name) = (0, 0);
        // Where to go on if the pieces behind the last star do not match here.
        let mut retry: Option<(usize, usize)> = None;
        while let Some(c) = name.get(in_name) {
            match self.0.get(at) {
                Some(Piece::Star) => {
                    at += 1;
                    retry = Some((at, in_name));
                }
                Some(piece) if piece.is(*c) => (at, in_name) = (at + 1, in_name + 1),
                _ => {
                    let Some((after_star, tried)) = retry else { return false };
                    retry = Some((after_star, tried + 1));
                    (at, in_name) = (after_star, tried + 1);
                }
            }
        }
        self.0.iter().skip(at).all(|piece| matches!(piece, Piece::Star))
    }
}

/// The rest of a class whose bracket is taken; `None` if it has no end or nothing in it.
fn class(rest: &mut std::str::Chars<'_>) -> Option<Piece> {
    let mut ranges = Vec::new();
    let is_negated = rest.as_str().starts_with('^');
    if is_negated {
        rest.next();
    }
    let one = |rest: &mut std::str::Chars<'_>| match rest.next()? {
        '-' | ']' => None,
        '\\' => rest.next(),
        c => Some(c),
    };
    loop {
        if rest.as_str().starts_with(']') && !ranges.is_empty() {
            rest.next();
            return Some(Piece::Class { ranges, is_negated });
        }
        let first = one(rest)?;
        let mut last = first;
        if rest.as_str().starts_with('-') {
            rest.next();
            last = one(rest)?;
        }
        ranges.push((first, last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_stand_for_text_of_one_part_of_a_path() {
        for (pattern, name, expected) in [
            ("*.log", "a.log", true),
            ("*.log", "a.log.1", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("*aa", "a", false),
            ("**", "", true),
            ("", "a", false),
            ("[a-c]x[^0-9]", "bxz", true),
            ("[a-c]x[^0-9]", "bx1", false),
            (r"\*[\]]", "*]", true),
            ("\u{e9}?", "\u{e9}\u{e9}", true),
        ] {
            assert_eq!(Name::parse(pattern).unwrap().matches(name), expected, "{pattern} {name}");
        }
        for bad in ["[", "[]", "[a", "[a-]", "[-a]", "\\"] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_are_found_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("rules")).unwrap();
        for name in ["rules/b.yml", "rules/a.yml", "rules/a.json", "top.yml"] {
            std::fs::write(root.join(name), "").unwrap();
        }
        let found = |pattern: &str| -> Vec<String> {
            let found = files(&root.join(pattern)).unwrap();
            let name = |path: PathBuf| path.strip_prefix(root).unwrap().display().to_string();
            found.into_iter().map(name).collect()
        };
        assert_eq!(found("*.yml"), ["top.yml"]);
        assert_eq!(found("r*s/?.yml"), ["rules/a.yml", "rules/b.yml"]);
        assert_eq!(found("rules/[a].*"), ["rules/a.json", "rules/a.yml"]);
        assert_eq!(found("top.yml"), ["top.yml"]);
        assert!(found("none.yml").is_empty() && found("none/*.yml").is_empty());
        assert!(files(Path::new("[")).is_err());
    }
}
