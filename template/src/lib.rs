//! The Go template language of rules, notifications and log lines.
//!
//! **What it is.** A room around the `gotmpl` crate that makes it behave as Prometheus's rule
//! templates do (prometheus `template/template.go`, 3.14): the variables `$labels`, `$value`,
//! `$externalLabels` and `$externalURL`, the functions of rules, an absent label that is the empty
//! string, and numbers that print as Go prints them. The templates of LogQL have functions of their
//! own ([`LineTemplate`]).
//!
//! **What it is not.** No HTML mode, and no Go objects: `toTime` and `toDuration`, whose results
//! have methods, are unknown here and refused when a template is parsed; times of log lines are
//! texts.
//!
//! ```text
//!  text -> Template::parse   refuses bad syntax, unknown names, and what could grow without bound
//!                 |
//!          Template::render(Data, Functions) -> String, or an error that the caller shows as text
//! ```
//!
//! Invariants: no text makes parsing or rendering hang, panic, or take more memory than a small
//! multiple of the limits in [`limits`]; rendering has no effect but through
//! [`Functions::query`]; equal inputs give equal text.

mod functions;
mod gotime;
mod guard;
mod line;
mod number;
mod scope;

pub mod duration;
pub mod limits;
pub mod values;

mod error;
mod render;

pub use error::{Result, TemplateError};
pub use functions::{Functions, Labels, QueryFunction, Sample, graph_link};
pub use line::LineTemplate;
pub use number::{format_float, humanize, humanize_duration};
pub use render::{Data, Template};

#[cfg(test)]
mod tests;
