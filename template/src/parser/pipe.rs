//! Pipelines: declarations, commands and their operands.

use std::ops::Range;

use super::{Answer, Parser};
use crate::error::Fault;
use crate::lexer::Kind;
use crate::limits::ARGUMENTS_MAX;
use crate::literal::{Number, character, number, unquote};
use crate::syntax::{Command, Operand, OperandKind, Pipe, Variable};

impl Parser<'_> {
    /// A pipeline up to `}}` or `)`, which stays.
    pub(super) fn pipe(&mut self, context: &str) -> Answer<Pipe> {
        self.skip_blanks();
        let start = self.range().start;
        let (targets, is_assignment) = self.declarations(context)?;
        let mut commands: Vec<Command> = Vec::new();
        loop {
            self.skip_blanks();
            match self.kind() {
                Kind::Close | Kind::CloseParen if !commands.is_empty() => break,
                Kind::Close | Kind::CloseParen => {
                    return self.fault(format!("missing value for {context}"));
                }
                _ => {}
            }
            let command = self.command(context)?;
            let can_not_run = matches!(
                command.first.kind,
                OperandKind::Nil
                    | OperandKind::Bool(_)
                    | OperandKind::Int(_)
                    | OperandKind::Float(_)
                    | OperandKind::Text(_)
                    | OperandKind::Dot
            );
            if can_not_run && !commands.is_empty() {
                let stage = commands.len() + 1;
                let message = format!("non executable command in pipeline stage {stage}");
                return Err(Fault::new(command.place, message));
            }
            commands.push(command);
        }
        // What is computed does not see the variables that it is put into.
        let variables = targets
            .into_iter()
            .map(|range| self.target(range, is_assignment))
            .collect::<Answer<_>>()?;
        Ok(Pipe { place: start..self.last_non_blank_end(), variables, commands })
    }

    /// `$x :=`, `$x =`, or `$i, $x :=` of a range, and whether it is an assignment.
    fn declarations(&mut self, context: &str) -> Answer<(Vec<Range<usize>>, bool)> {
        let before = self.at;
        let mut names: Vec<Range<usize>> = Vec::new();
        while self.kind() == Kind::Variable {
            names.push(self.range());
            self.next();
            self.skip_blanks();
            match self.kind() {
                kind @ (Kind::Declare | Kind::Assign) => {
                    self.next();
                    return Ok((names, kind == Kind::Assign));
                }
                Kind::Char if self.word() == "," => {
                    if context != "range" || names.len() > 1 {
                        return self.fault(format!("too many declarations in {context}"));
                    }
                    self.next();
                    self.skip_blanks();
                    if self.kind() != Kind::Variable {
                        return self.fault("range can only initialize variables");
                    }
                }
                _ => break,
            }
        }
        // It is an argument.
        self.at = before;
        Ok((Vec::new(), false))
    }

    fn target(&mut self, range: Range<usize>, is_assignment: bool) -> Answer<Variable> {
        let name = self.text.get(range.clone()).unwrap_or("");
        if !is_assignment {
            return Ok(self.scope.declare(name));
        }
        let undefined = || Fault::new(range.clone(), format!("undefined variable {name:?}"));
        self.scope.find(name).ok_or_else(undefined)
    }

    fn command(&mut self, context: &str) -> Answer<Command> {
        let start = self.range().start;
        let mut operands = Vec::new();
        loop {
            self.skip_blanks();
            match self.operand(context)? {
                Some(operand) => operands.push(operand),
                None if operands.is_empty() => return self.unexpected(context),
                None => {}
            }
            match self.kind() {
                Kind::Blank => {}
                Kind::Close | Kind::CloseParen | Kind::Pipe => break,
                _ => return self.unexpected("operand"),
            }
        }
        let place = start..self.last_non_blank_end();
        if self.kind() == Kind::Pipe {
            // Go lets a pipe end in nothing.
            self.next();
        }
        if operands.len() > ARGUMENTS_MAX {
            let message = format!("more than {ARGUMENTS_MAX} arguments of one call");
            return Err(Fault::new(place, message));
        }
        let first = operands.remove(0);
        Ok(Command { place, first, args: operands })
    }

    fn last_non_blank_end(&self) -> usize {
        let before = self.tokens.get(..self.at).unwrap_or(&[]);
        let last = before.iter().rev().find(|token| token.kind != Kind::Blank);
        last.map_or(0, |token| token.range.end)
    }

    /// A term and the fields behind it; `None` if there is no term.
    fn operand(&mut self, context: &str) -> Answer<Option<Operand>> {
        let start = self.range().start;
        let Some(kind) = self.term(context)? else { return Ok(None) };
        let place = start..self.last_end();
        let mut fields = Vec::new();
        while self.kind() == Kind::Field {
            fields.push(self.field_name());
            self.next();
        }
        if fields.is_empty() {
            return Ok(Some(Operand { place, kind }));
        }
        let kind = match kind {
            OperandKind::Field(mut names) => {
                names.append(&mut fields);
                OperandKind::Field(names)
            }
            OperandKind::Variable(variable, _) => OperandKind::Variable(variable, fields),
            kind @ (OperandKind::Pipe(_) | OperandKind::Function(_)) => {
                OperandKind::Chain(Box::new(Operand { place, kind }), fields)
            }
            _ => {
                let term = self.text.get(place.clone()).unwrap_or("");
                return Err(Fault::new(place, format!("unexpected . after term {term:?}")));
            }
        };
        Ok(Some(Operand { place: start..self.last_end(), kind }))
    }

    fn field_name(&self) -> Box<str> {
        self.word().trim_start_matches('.').into()
    }

    fn term(&mut self, context: &str) -> Answer<Option<OperandKind>> {
        let word = self.word();
        let kind = match self.kind() {
            Kind::Word => match word {
                "true" => OperandKind::Bool(true),
                "false" => OperandKind::Bool(false),
                "nil" => OperandKind::Nil,
                "if" | "else" | "end" | "range" | "with" | "define" | "block" | "template"
                | "break" | "continue" => return self.unexpected(context),
                name => match self.language.function(name) {
                    Some(function) => OperandKind::Function(function),
                    None => return self.fault(format!("function {name:?} not defined")),
                },
            },
            Kind::Dot => OperandKind::Dot,
            Kind::Variable => match self.scope.find(word) {
                Some(variable) => OperandKind::Variable(variable, Vec::new()),
                None => return self.fault(format!("undefined variable {word:?}")),
            },
            Kind::Field => OperandKind::Field(vec![self.field_name()]),
            Kind::CharConstant => {
                OperandKind::Int(character(word).or_else(|message| self.fault(message))?)
            }
            Kind::Number => match number(word).or_else(|message| self.fault(message))? {
                Number::Int(number) => OperandKind::Int(number),
                Number::Float(number) => OperandKind::Float(number),
            },
            Kind::Quoted | Kind::Raw => {
                let text = unquote(word).or_else(|message| self.fault(message))?;
                OperandKind::Text(text.into())
            }
            Kind::OpenParen => {
                self.next();
                self.enter()?;
                let pipe = self.pipe("parenthesized pipeline")?;
                self.depth -= 1;
                if self.kind() != Kind::CloseParen {
                    return self.fault("unclosed left paren");
                }
                OperandKind::Pipe(Box::new(pipe))
            }
            _ => return Ok(None),
        };
        self.next();
        Ok(Some(kind))
    }
}
