//! Rewrites a parsed template so that it counts its steps and bounds what it makes.
//!
//! `gotmpl` bounds ranges and recursion, but a chain of defines that call each other twice, a
//! variable that is printed into itself twice, or a width of a billion would still take all time or
//! memory. The rewriting inserts calls of functions whose names no template can write:
//!
//! - [`PRINT`] ends every printed pipeline: counts a step, prints floats as Go does.
//! - [`STEP`] begins every define: counts a step.
//! - [`BOUND`] follows every function that makes a string: refuses long ones.
//! - [`FORMAT`] precedes every use of a `printf` format: refuses widths that make long strings.
//! - [`ABSENT`] follows every field: a missing one is the empty string, as it is in a Go map of
//!   strings.

use std::sync::Arc;

use gotmpl::parse::{
    ActionNode, CommandNode, Expr, ListNode, Node, PipeNode, Pos, SmolStr, TextNode,
};

use crate::limits::ARGUMENTS_MAX;

/// Prints the value before it.
pub(crate) const PRINT: &str = "signalbox.print";
/// Counts a step and prints nothing.
pub(crate) const STEP: &str = "signalbox.step";
/// Refuses a string that is too long.
pub(crate) const BOUND: &str = "signalbox.bound";
/// Refuses a format that makes long strings of short ones.
pub(crate) const FORMAT: &str = "signalbox.format";
/// Makes the empty string of a missing field.
pub(crate) const ABSENT: &str = "signalbox.absent";

/// Rewrites the body of a template or of a define.
pub(crate) fn guard_tree(list: &mut ListNode, is_define: bool) -> Result<(), String> {
    guard_list(list)?;
    if is_define {
        let pos = list.pos;
        let step =
            PipeNode { pos, decl: Vec::new(), commands: vec![call(pos, STEP)], is_assign: false };
        list.nodes.insert(0, Node::Action(ActionNode { pos, pipe: step }));
    }
    Ok(())
}

fn guard_list(list: &mut ListNode) -> Result<(), String> {
    list.nodes.iter_mut().try_for_each(guard_node)
}

fn guard_node(node: &mut Node) -> Result<(), String> {
    match node {
        Node::List(list) => guard_list(list),
        Node::Action(action) => {
            guard_pipe(&mut action.pipe)?;
            let name = if action.pipe.decl.is_empty() { PRINT } else { ABSENT };
            let pos = action.pos;
            action.pipe.commands.push(call(pos, name));
            Ok(())
        }
        Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
            guard_pipe(&mut branch.pipe)?;
            guard_list(&mut branch.body)?;
            branch.else_body.iter_mut().try_for_each(guard_list)
        }
        Node::Template(call) => call.pipe.iter_mut().try_for_each(guard_pipe),
        // A define is kept by name and is rewritten as a tree of its own.
        Node::Define(define) => {
            define.body.nodes.clear();
            Ok(())
        }
        Node::Text(TextNode { .. }) | Node::Break(_) | Node::Continue(_) => Ok(()),
    }
}

fn guard_pipe(pipe: &mut PipeNode) -> Result<(), String> {
    let mut commands = Vec::with_capacity(pipe.commands.len() * 2);
    for (i, mut command) in std::mem::take(&mut pipe.commands).into_iter().enumerate() {
        if command.args.len() > ARGUMENTS_MAX {
            return Err(format!("more than {ARGUMENTS_MAX} arguments of one function"));
        }
        let pos = command.pos;
        let function = function_of(&command);
        let is_printf = function.as_deref() == Some("printf");
        let is_call = function.is_some();
        for arg in command.args.iter_mut().skip(usize::from(is_call)) {
            guard_expr(arg)?;
        }
        if is_printf {
            match command.args.get_mut(1) {
                Some(format) => pass_through(format, FORMAT),
                None if i > 0 => commands.push(call(pos, FORMAT)),
                None => {}
            }
        }
        commands.push(command);
        commands.push(call(pos, if is_call { BOUND } else { ABSENT }));
    }
    pipe.commands = commands;
    Ok(())
}

/// The function that a command calls.
fn function_of(command: &CommandNode) -> Option<SmolStr> {
    match command.args.first() {
        Some(Expr::Identifier(_, name)) => Some(name.clone()),
        Some(Expr::Chain(_, inner, _)) => match inner.as_ref() {
            Expr::Identifier(_, name) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn guard_expr(expr: &mut Expr) -> Result<(), String> {
    match expr {
        Expr::Pipe(_, pipe) => guard_pipe(pipe),
        Expr::Chain(_, inner, _) => {
            guard_expr(inner)?;
            pass_through(expr, ABSENT);
            Ok(())
        }
        Expr::Field(..) | Expr::Variable(..) => {
            pass_through(expr, ABSENT);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Replaces an expression by `(expression | function)`.
fn pass_through(expr: &mut Expr, function: &str) {
    let pos = expr.pos();
    let inner = std::mem::replace(expr, Expr::Nil(pos));
    let commands = vec![CommandNode { pos, args: vec![inner] }, call(pos, function)];
    *expr = Expr::Pipe(pos, PipeNode { pos, decl: Vec::new(), commands, is_assign: false });
}

fn call(pos: Pos, function: &str) -> CommandNode {
    CommandNode { pos, args: vec![Expr::Identifier(pos, SmolStr::from(function))] }
}

/// Refuses what would make a long string of a short one: wide fields, widths taken from arguments,
/// and arguments used by number.
pub(crate) fn check_format(format: &str) -> Result<(), String> {
    let mut in_verb = false;
    let mut width_digits = 0;
    for byte in format.bytes() {
        match byte {
            b'%' => {
                in_verb = !in_verb;
                width_digits = 0;
            }
            b'*' | b'[' if in_verb => {
                return Err(format!(
                    "format {format:?} has a width or an index from its arguments"
                ));
            }
            b'0'..=b'9' if in_verb => {
                width_digits += 1;
                if width_digits > 3 {
                    return Err(format!("format {format:?} has a width of more than 3 digits"));
                }
            }
            b'+' | b'-' | b'#' | b' ' if in_verb => {}
            b'.' if in_verb => width_digits = 0,
            _ => in_verb = false,
        }
    }
    Ok(())
}

/// The text of a template name or of a value as the engine shares it.
pub(crate) type Text = Arc<str>;
