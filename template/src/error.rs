//! What can be wrong with a template.

/// The result of this crate.
pub type Result<T, E = TemplateError> = std::result::Result<T, E>;

/// Every one of these is the fault of the template's author: a bad request to whoever asks what a
/// caller can do about it. Why a template was refused or could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is not a template.
    #[error("error parsing template: {message}")]
    Parse {
        /// What is wrong, with line and column where they are known.
        message: String,
    },
    /// The template is right but rendering failed.
    #[error("error executing template: {message}")]
    Render {
        /// What went wrong.
        message: String,
    },
    /// A bound of [`crate::limits`] was hit.
    #[error("template is over the limit of {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
}
