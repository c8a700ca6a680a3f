//! The bounds within which a template lives. They are far above what real rules need (the longest
//! template of the public rule packs has 1.5 KiB) and low enough that a hostile one is only an
//! error.

/// The longest template text.
pub const TEXT_BYTES_MAX: usize = 64 << 10;

/// The longest rendered text, and the longest string that any function may make on the way.
pub const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// Function calls, printed values and template calls of one rendering.
pub const STEPS_MAX: u64 = 100_000;

/// Arguments of one function call. With the bound on strings it bounds what one call can make.
pub const ARGUMENTS_MAX: usize = 64;

/// Values inside the result of one `args` or `query` call.
pub const VALUES_MAX: usize = 10_000;

/// How deep `args` may nest; values are dropped and printed recursively.
pub const DEPTH_MAX: usize = 16;
