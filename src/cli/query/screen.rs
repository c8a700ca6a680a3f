//! What the terminal can show: its width, its characters, its colours.

use std::io::IsTerminal;

/// How wide a line is when nobody says.
const WIDTH: usize = 100;
/// Below this nothing fits.
const WIDTH_MIN: usize = 40;

/// How to draw.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    /// Columns of a line.
    pub(super) width: usize,
    /// Only characters of ASCII.
    pub(super) is_ascii: bool,
    /// Bold, faint and coloured text.
    pub(super) has_colour: bool,
}

impl Screen {
    /// The screen of standard output. `COLUMNS` wins over what the terminal says, as in shells;
    /// colours need a terminal and no `NO_COLOR`.
    pub(super) fn of_stdout(wants_ascii: bool) -> Self {
        let named = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let measured = || {
            let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
            (size.ws_col > 0).then_some(usize::from(size.ws_col))
        };
        let is_terminal = std::io::stdout().is_terminal();
        Screen {
            width: named.or_else(measured).unwrap_or(WIDTH).max(WIDTH_MIN),
            is_ascii: wants_ascii || !is_utf8_locale(|name| std::env::var(name).ok()),
            has_colour: is_terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        }
    }

    /// Text that is to be found first.
    pub(super) fn bold(self, text: &str) -> String {
        self.styled("1", text)
    }

    /// Text that is there if one looks for it.
    pub(super) fn faint(self, text: &str) -> String {
        self.styled("2", text)
    }

    /// Text in a colour, or several attributes, by their numbers.
    pub(super) fn coloured(self, style: &str, text: &str) -> String {
        self.styled(style, text)
    }

    fn styled(self, style: &str, text: &str) -> String {
        if self.has_colour { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// `text` in at most `width` columns. The middle goes first: names of pods differ at both ends.
    pub(super) fn shorten(self, text: &str, width: usize) -> String {
        let count = text.chars().count();
        if count <= width {
            return text.to_owned();
        }
        let gap = if self.is_ascii { ".." } else { "\u{2026}" };
        let kept = width.saturating_sub(gap.chars().count());
        let tail = kept / 2;
        let head: String = text.chars().take(kept - tail).collect();
        let tail: String = text.chars().skip(count - tail).collect();
        format!("{head}{gap}{tail}")
    }
}

/// Whether the locale's characters are those of Unicode; the first variable that is set decides.
fn is_utf8_locale(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| variable(name).filter(|value| !value.is_empty()));
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_locale_variable_decides() {
        let locale = |all: &'static str, lang: &'static str| {
            is_utf8_locale(move |name| match name {
                "LC_ALL" => Some(all.to_owned()),
                "LANG" => Some(lang.to_owned()),
                _ => None,
            })
        };
        assert!(locale("", "en_US.UTF-8"));
        assert!(locale("C.utf8", "C"));
        assert!(!locale("C", "en_US.UTF-8"));
        assert!(!locale("", ""));
    }

    #[test]
    fn both_ends_of_a_long_text_are_kept() {
        let screen = Screen { width: 80, is_ascii: true, has_colour: false };
        assert_eq!(screen.shorten("payment-7d9f8c-x2x4z", 10), "paym..2x4z");
        assert_eq!(screen.shorten("payment", 10), "payment");
    }
}
