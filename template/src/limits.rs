//! The bounds within which a template lives. They are far above what real templates need (the
//! longest template of the public rule packs has 1.5 KiB) and low enough that a hostile one is only
//! an error.

/// The longest template text.
pub const TEXT_BYTES_MAX: usize = 64 << 10;

/// The longest rendered text of rules and notifications, and the longest text that any function may
/// make on the way. A text that comes from outside may be longer.
pub const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// The same of templates of log lines, which must have room for lines of any length that are kept
/// (256 KiB unless the configuration says otherwise) with what is put around them.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Steps of one rendering: each node, call and round of a loop is one, and so are
/// [`STEP_BYTES`] that a call reads or makes.
pub const STEPS_MAX: u64 = 100_000;

/// Bytes of the arguments and of the result of a call that count as a step.
pub const STEP_BYTES: usize = 256;

/// What compiling a regular expression costs, in steps.
pub const REGEX_STEPS: u64 = 1_000;

/// Regular expressions that a template keeps compiled.
pub const REGEXES_MAX: usize = 64;

/// Arguments of one call, written ones and the one before the pipe.
pub const ARGUMENTS_MAX: usize = 64;

/// Values inside of one list or map that a function makes, with all that is inside of those.
pub const VALUES_MAX: usize = 10_000;

/// How deep lists and maps may nest; values are dropped and printed recursively.
pub const DEPTH_MAX: usize = 16;

/// Blocks, parentheses and calls of templates that may be open at once, when a text is read and
/// when it is rendered; both are recursive.
pub const NESTING_MAX: usize = 100;
