//! Files that match a pattern such as `rules/*.yml`, as Go's `filepath.Glob` finds them.

use std::path::{Component, Path, PathBuf};

use regex::Regex;

/// The paths that match, in order of name. `*`, `?` and `[a-z]` match within one part of a path;
/// what has none of them matches if it exists. A folder that can not be read has no files.
///
/// Fails if a part is not a pattern.
pub(super) fn files(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let text = component.as_os_str().to_string_lossy();
        let is_plain = !text.contains(['*', '?', '[', '\\']);
        if is_plain || !matches!(component, Component::Normal(_)) {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        }
        let matcher = regex(&text)?;
        found = found.iter().flat_map(|folder| matching(folder, &matcher)).collect();
    }
    found.retain(|path| path.exists());
    Ok(found)
}

fn matching(folder: &Path, matcher: &Regex) -> Vec<PathBuf> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(here) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut names: Vec<_> =
        names.filter(|name| matcher.is_match(&name.to_string_lossy())).collect();
    names.sort();
    names.into_iter().map(|name| folder.join(name)).collect()
}

fn regex(pattern: &str) -> Result<Regex, String> {
    let mut regex = String::from("^");
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => {
                regex.push('[');
                for c in characters.by_ref() {
                    regex.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '\\' => regex.extend(characters.next().map(|c| regex::escape(&c.to_string()))),
            c => regex.push_str(&regex::escape(&c.to_string())),
        }
    }
    regex.push('$');
    Regex::new(&regex).map_err(|_| "syntax error in pattern".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_within_one_part_of_a_path() {
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
