//! Work on texts that several languages share.

use crate::function::check_bytes;

/// Go's `strings.Title`: the first letter of every word; an underscore does not end a word.
pub(crate) fn title(written: &str) -> String {
    let mut at_start = true;
    let mut made = String::with_capacity(written.len());
    for c in written.chars() {
        if at_start {
            made.extend(c.to_uppercase());
        } else {
            made.push(c);
        }
        at_start =
            if c.is_ascii() { !(c.is_ascii_alphanumeric() || c == '_') } else { c.is_whitespace() };
    }
    made
}

/// Like `Regex::replace_all`, but stops when the text grows too long.
pub(crate) fn replace_all(
    regex: &regex::Regex,
    replacement: &str,
    written: &str,
    bytes_max: usize,
) -> Result<String, String> {
    let mut made = String::with_capacity(written.len());
    let mut copied = 0;
    for captures in regex.captures_iter(written) {
        let Some(whole) = captures.get(0) else { continue };
        made.push_str(&written[copied..whole.start()]);
        captures.expand(replacement, &mut made);
        copied = whole.end();
        check_bytes(made.len(), bytes_max)?;
    }
    made.push_str(&written[copied..]);
    Ok(made)
}
