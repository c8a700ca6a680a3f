//! Finds names that a template does not define, when it is parsed and not only when it runs.
//!
//! Go refuses unknown functions and variables while parsing; `gotmpl` would find them at run time,
//! which for an alert means in the text of a page.

use gotmpl::parse::{BranchNode, CommandNode, Expr, ListNode, Node, PipeNode};

/// The names in reach while a tree is walked.
pub(crate) struct Scope<'a> {
    functions: &'a dyn Fn(&str) -> bool,
    templates: &'a dyn Fn(&str) -> bool,
    variables: Vec<String>,
}

type Check = Result<(), String>;

impl<'a> Scope<'a> {
    /// A scope that knows only `$`.
    pub(crate) fn new(
        functions: &'a dyn Fn(&str) -> bool,
        templates: &'a dyn Fn(&str) -> bool,
    ) -> Self {
        Scope { functions, templates, variables: vec!["$".to_owned()] }
    }

    /// The first unknown name of a tree.
    pub(crate) fn check(&mut self, list: &ListNode) -> Check {
        list.nodes.iter().try_for_each(|node| self.check_node(node))
    }

    fn check_node(&mut self, node: &Node) -> Check {
        match node {
            Node::List(list) => self.check(list),
            Node::Action(action) => self.check_pipe(&action.pipe),
            Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                self.check_branch(branch)
            }
            Node::Template(call) => {
                if !(self.templates)(&call.name) {
                    return Err(format!("template {:?} not defined", call.name.as_str()));
                }
                call.pipe.iter().try_for_each(|pipe| self.check_pipe(pipe))
            }
            // Bodies of defines are checked on their own, with a scope of their own.
            Node::Text(_) | Node::Define(_) | Node::Break(_) | Node::Continue(_) => Ok(()),
        }
    }

    fn check_branch(&mut self, branch: &BranchNode) -> Check {
        let outside = self.variables.len();
        self.check_pipe(&branch.pipe)?;
        self.check(&branch.body)?;
        branch.else_body.iter().try_for_each(|list| self.check(list))?;
        self.variables.truncate(outside);
        Ok(())
    }

    fn check_pipe(&mut self, pipe: &PipeNode) -> Check {
        pipe.commands.iter().try_for_each(|command| self.check_command(command))?;
        for name in &pipe.decl {
            let name = with_dollar(name);
            if pipe.is_assign && !self.variables.contains(&name) {
                return Err(format!("undefined variable {name:?}"));
            }
            self.variables.push(name);
        }
        Ok(())
    }

    fn check_command(&mut self, command: &CommandNode) -> Check {
        command.args.iter().try_for_each(|expr| self.check_expr(expr))
    }

    fn check_expr(&mut self, expr: &Expr) -> Check {
        match expr {
            Expr::Variable(_, name, _) => {
                let name = with_dollar(name);
                if self.variables.contains(&name) {
                    return Ok(());
                }
                Err(format!("undefined variable {name:?}"))
            }
            Expr::Identifier(_, name) if !(self.functions)(name) => {
                Err(format!("function {:?} not defined", name.as_str()))
            }
            Expr::Pipe(_, pipe) => self.check_pipe(pipe),
            Expr::Chain(_, inner, _) => self.check_expr(inner),
            _ => Ok(()),
        }
    }
}

/// Variables are compared with their dollar sign, whichever way the parser keeps them.
fn with_dollar(name: &str) -> String {
    if name.starts_with('$') { name.to_owned() } else { format!("${name}") }
}
