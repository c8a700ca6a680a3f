//! Cuts a line into tokens and what is between them.
//!
//! Tokens end at white space, quotes, brackets and bars; at `=` unless they are paths; at commas,
//! semicolons and colons that something follows which tells that they separate. A value that is not
//! there (`user= `, `()`, `""`) is a token of no bytes, so that lines with and without it are alike.
//! A number and a unit of time behind it are one token. What follows the second line of several,
//! or the first [`LOOK_BYTES`], is one token.

use xxhash_rust::xxh3::xxh3_64;

/// How much of a line is looked at.
pub(crate) const LOOK_BYTES: usize = 3000;
/// How many lines: the second one often tells what the first one is about, as the exception of a
/// stack trace.
const LINES: usize = 2;
/// How many tokens at most; the rest is the last one.
const TOKENS_MAX: usize = 160;
/// A token longer than this varies.
const WORD_BYTES_MAX: usize = 64;

/// A token of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Zero for one that varies by its look: a number, an address, an id, a path, a month.
    pub(crate) hash: u64,
}

/// A line cut into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Of what is between the tokens.
    pub(crate) between: u64,
    /// The same, with white space taken as one blank.
    pub(crate) shape: u64,
}

/// What a byte is to the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Digit,
    Space,
    Separator,
    Comma,
    Colon,
    Equals,
    Slash,
}

const KINDS: [Kind; 256] = {
    let mut kinds = [Kind::Word; 256];
    let mut i = 0;
    while i < 256 {
        kinds[i] = match i as u8 {
            b'0'..=b'9' => Kind::Digit,
            b' ' | b'\t' | b'\r' | b'\n' => Kind::Space,
            b'"' | b'\'' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'|' | b'<' | b'>' => {
                Kind::Separator
            }
            b',' | b';' => Kind::Comma,
            b':' => Kind::Colon,
            b'=' => Kind::Equals,
            b'/' => Kind::Slash,
            _ => Kind::Word,
        };
        i += 1;
    }
    kinds
};

const SHAPE_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(SHAPE_FACTOR).rotate_left(23)
}

/// Marks a token in the hash of what is between.
const TOKEN_MARK: u8 = 1;
/// Marks a token that is the rest of the line in the hash of the shape.
const REST_MARK: u8 = 2;

fn closes(open: u8, byte: u8) -> bool {
    matches!(
        (open, byte),
        (b'(', b')') | (b'[', b']') | (b'{', b'}') | (b'<', b'>') | (b'"', b'"') | (b'\'', b'\'')
    )
}

/// Cuts `line` and puts its tokens, in order, into `tokens`.
pub(crate) fn cut(line: &str, tokens: &mut Vec<Token>) -> Cut {
    tokens.clear();
    let bytes = line.as_bytes();
    let mut looked = bytes.len();
    if looked > LOOK_BYTES {
        looked = LOOK_BYTES;
        while !line.is_char_boundary(looked) {
            looked -= 1;
        }
    }
    let head = &bytes[..looked];
    let mut lines = memchr::memchr_iter(b'\n', head);
    let end = lines.nth(LINES - 1).map_or(looked, |at| at + 1);
    let head = &bytes[..end];

    let (mut between, mut shape) = (0u64, 0u64);
    let mut start = None;
    let (mut has_digit, mut is_path) = (false, false);
    let mut before = 0u8;
    let mut after_space = false;
    let mut at = 0;
    while at < head.len() {
        let byte = head[at];
        let next = head.get(at + 1).copied().unwrap_or(b' ');
        let ends = match KINDS[usize::from(byte)] {
            Kind::Word => false,
            Kind::Digit => {
                has_digit = true;
                false
            }
            Kind::Slash => {
                is_path = true;
                false
            }
            // `<1 sec` is a value.
            Kind::Separator => byte != b'<' || !next.is_ascii_digit(),
            Kind::Space => true,
            Kind::Comma => {
                start.is_none() || matches!(next, b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'{' | b'[')
            }
            Kind::Colon => {
                start.is_none()
                    || matches!(
                        next,
                        b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'\'' | b'{' | b'[' | b'('
                    )
            }
            Kind::Equals => !is_path,
        };
        if !ends {
            if start.is_none() {
                start = Some(at);
            }
            at += 1;
            continue;
        }
        let is_space = KINDS[usize::from(byte)] == Kind::Space;
        if let Some(from) = start.take() {
            let mut to = at;
            if has_digit && byte == b' ' {
                to += unit_after(&head[at..]);
            }
            tokens.push(token(head, from, to, has_digit, is_path));
            between = mix(between, TOKEN_MARK);
            shape = mix(shape, TOKEN_MARK);
            (has_digit, is_path, after_space) = (false, false, false);
            before = 0;
            if tokens.len() == TOKENS_MAX || to > at {
                at = to;
                if tokens.len() == TOKENS_MAX {
                    break;
                }
                continue;
            }
        } else if (before == b'=' && (is_space || matches!(byte, b',' | b';' | b')' | b']' | b'}')))
            || closes(before, byte)
        {
            tokens.push(Token { start: at as u32, end: at as u32, hash: EMPTY });
            between = mix(between, TOKEN_MARK);
            shape = mix(shape, TOKEN_MARK);
            after_space = false;
            if tokens.len() == TOKENS_MAX {
                break;
            }
        }
        between = mix(between, byte);
        if !(is_space && after_space) {
            shape = mix(shape, if is_space { b' ' } else { byte });
        }
        after_space = is_space;
        before = byte;
        at += 1;
    }
    let is_whole = at == bytes.len();
    if tokens.len() == TOKENS_MAX && !is_whole {
        // The rest becomes part of the last token, so that no two tokens touch.
        if let Some(last) = tokens.last_mut() {
            *last = Token { start: last.start, end: bytes.len() as u32, hash: 0 };
        }
        shape = mix(shape, REST_MARK);
    } else if !is_whole {
        let start = start.unwrap_or(at) as u32;
        tokens.push(Token { start, end: bytes.len() as u32, hash: 0 });
        between = mix(between, TOKEN_MARK);
        shape = mix(shape, REST_MARK);
    } else if let Some(from) = start {
        tokens.push(token(head, from, at, has_digit, is_path));
        between = mix(between, TOKEN_MARK);
        shape = mix(shape, TOKEN_MARK);
    } else if before == b'=' {
        tokens.push(Token { start: at as u32, end: at as u32, hash: EMPTY });
        between = mix(between, TOKEN_MARK);
        shape = mix(shape, TOKEN_MARK);
    }
    Cut { between, shape }
}

/// The hash of a token of no bytes.
pub(crate) const EMPTY: u64 = 1;

fn token(head: &[u8], start: usize, end: usize, has_digit: bool, is_path: bool) -> Token {
    let text = &head[start..end];
    let varies = has_digit
        || (is_path && text.first() == Some(&b'/'))
        || text.len() > WORD_BYTES_MAX
        || is_month_or_day(text)
        || (text.len() >= 8 && text.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-'));
    let hash = if varies { 0 } else { xxh3_64(text).max(2) };
    Token { start: start as u32, end: end as u32, hash }
}

fn is_month_or_day(text: &[u8]) -> bool {
    const NAMES: [&[u8; 3]; 19] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun",
    ];
    text.len() == 3 && text[0].is_ascii_uppercase() && NAMES.iter().any(|name| *name == text)
}

/// Bytes of a blank and a unit of time, if they stand there.
fn unit_after(rest: &[u8]) -> usize {
    const UNITS: [&[u8]; 6] = [b" ms", b" sec", b" secs", b" seconds", b" s", b" us"];
    let is_end = |at: usize| {
        rest.get(at).is_none_or(|byte| {
            !matches!(KINDS[usize::from(*byte)], Kind::Word | Kind::Digit | Kind::Slash)
        })
    };
    let found = UNITS.iter().find(|unit| rest.starts_with(unit) && is_end(unit.len()));
    found.map_or(0, |unit| unit.len())
}
