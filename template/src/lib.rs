//! The Go template language of rules, notifications and log lines.
//!
//! **What it is.** Go's `text/template` (1.24) over a small [`Value`]: text, trim markers and
//! comments; pipelines; variables; `if`, `with`, `range` with `else`, `else if`, `else with`,
//! `break` and `continue`; `define`, `template` and `block`; fields, methods with arguments and
//! entries on anything; all functions of Go's but `call`; `printf` with Go's verbs, flags and
//! complaints. A [`Language`] adds functions, variables and what a missing key is: there are
//! [`RULES`], whose [`Template`] behaves as those of Prometheus 3.14 do, and that of
//! [`LineTemplate`], LogQL's as of Loki 3.8. Times and durations have Go's methods; whoever renders
//! can bring an [`Object`] with its own.
//!
//! **What it is not.** No HTML mode: nothing is escaped that no function escapes (`eval` says where
//! an HTML mode belongs). No values of Go's that a template can do without: complex numbers,
//! integers of other sizes, channels, functions and thus `call`, pointers. Texts are UTF-8: where
//! `slice` and such cut a character, what is left of it is replaced. Regular expressions are those
//! of the `regex` crate.
//!
//! ```text
//!  text -> lexer -> parser -> Program      refuses bad syntax and unknown names, with line:column
//!                    |          |
//!   Language (functions as data)|
//!                               v
//!  root Value, variables, World -> eval -> String, or an error that the caller shows as text
//!                                   |
//!              functions, methods, format (Go's fmt)
//! ```
//!
//! Reading resolves names of functions and variables; rendering looks nothing up but fields and
//! templates. It borrows what it can, so that a template which is run for every log line costs what
//! its functions cost.
//!
//! Invariants: no text makes reading or rendering hang, panic, or take more memory or stack than a
//! small multiple of the limits in [`limits`]; rendering has no effect but through
//! [`World::query`]; equal inputs give equal text.

mod builtins;
mod error;
mod eval;
mod format;
mod function;
mod gotime;
mod lexer;
mod line;
mod literal;
mod methods;
mod number;
mod parser;
mod program;
mod rules;
mod syntax;
mod text;
mod url;
mod value;

pub mod duration;
pub mod limits;
pub mod values;

pub use builtins::BUILTINS;
pub use error::{Result, TemplateError};
pub use function::{Answer, Call, Function, Language, MissingKey, Run, Sample, World};
pub use gotime::GoTime;
pub use line::LineTemplate;
pub use number::{format_float, humanize, humanize_duration};
pub use program::{Library, Program};
pub use rules::{Data, Functions, QueryFunction, RULE_FUNCTIONS, RULES, Template, graph_link};
pub use value::{Labels, List, Map, Object, Struct, Text, TextMap, Texts, Value};

#[cfg(test)]
mod tests;
