//! A template that was read: names are resolved as far as they can be, so that rendering looks
//! nothing up but fields and templates.

use std::ops::Range;
use std::sync::Arc;

use crate::function::Function;

/// Bytes of the text, for messages.
pub(crate) type Place = Range<usize>;

/// The main text of a template, or that of a define.
#[derive(Debug)]
pub(crate) struct Body {
    /// The whole text that places count in.
    pub(crate) text: Arc<str>,
    pub(crate) nodes: Vec<Node>,
    /// Variables that are alive at once, `$` not among them.
    pub(crate) variables: usize,
}

impl Body {
    /// Whether it is nothing but blanks; such a define does not replace another one.
    pub(crate) fn is_blank(&self) -> bool {
        self.nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
    }
}

#[derive(Debug)]
pub(crate) enum Node {
    Text(Box<str>),
    /// A pipeline that is printed unless it declares or assigns.
    Action(Pipe),
    Branch(Box<Branch>),
    Loop(Box<Loop>),
    Template(Box<TemplateCall>),
    Break,
    Continue,
}

/// `if` or `with`, with all of its `else if` or `else with`.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) is_with: bool,
    pub(crate) arms: Vec<(Pipe, Vec<Node>)>,
    pub(crate) otherwise: Vec<Node>,
}

#[derive(Debug)]
pub(crate) struct Loop {
    /// Its variables are set for each element.
    pub(crate) pipe: Pipe,
    pub(crate) body: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
}

#[derive(Debug)]
pub(crate) struct TemplateCall {
    pub(crate) name: String,
    pub(crate) pipe: Option<Pipe>,
    pub(crate) place: Place,
}

#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) place: Place,
    /// The variables that it sets; two only in a range.
    pub(crate) variables: Vec<Variable>,
    /// At least one.
    pub(crate) commands: Vec<Command>,
}

#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) place: Place,
    pub(crate) first: Operand,
    pub(crate) args: Vec<Operand>,
}

#[derive(Debug)]
pub(crate) struct Operand {
    pub(crate) place: Place,
    pub(crate) kind: OperandKind,
}

#[derive(Debug)]
pub(crate) enum OperandKind {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Box<str>),
    Dot,
    /// `.a.b`
    Field(Vec<Box<str>>),
    /// `$x.a.b`
    Variable(Variable, Vec<Box<str>>),
    Function(&'static Function),
    /// `( ... )`
    Pipe(Box<Pipe>),
    /// `( ... ).a.b`
    Chain(Box<Operand>, Vec<Box<str>>),
}

/// Where the value of a variable is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variable {
    /// `$`
    Root,
    /// One of [`Body::variables`].
    Slot(usize),
}
