//! Reads a template (Go `text/template/parse/parse.go`, 1.24) and resolves its names.
//!
//! It is recursive only where blocks and parentheses nest, and refuses what nests too deep. An
//! `else if` does not nest.

mod pipe;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::error::Fault;
use crate::function::Language;
use crate::lexer::{Kind, Token, tokens};
use crate::limits::NESTING_MAX;
use crate::literal::unquote;
use crate::syntax::{Body, Branch, Loop, Node, TemplateCall, Variable};

type Answer<T> = Result<T, Fault>;

/// What a text has: itself, and its defines.
pub(crate) struct Parsed {
    pub(crate) main: Body,
    pub(crate) defines: BTreeMap<String, Arc<Body>>,
    /// Templates that are called, and where.
    pub(crate) calls: Vec<(String, Range<usize>)>,
}

/// Reads a text whose main body knows the variables of its language.
pub(crate) fn parse(text: &Arc<str>, language: &'static Language) -> Answer<Parsed> {
    let mut parser = Parser {
        text,
        language,
        tokens: tokens(text)?,
        at: 0,
        depth: 0,
        scope: Scope::default(),
        defines: BTreeMap::new(),
        calls: Vec::new(),
    };
    for name in language.variables {
        parser.scope.declare(name);
    }
    let (nodes, stop) = parser.nodes(true)?;
    if let Some(stop) = stop {
        let message = format!("unexpected {{{{{}}}}}", stop.word());
        return parser.fault(message);
    }
    let main = Body { text: text.clone(), nodes, variables: parser.scope.most };
    Ok(Parsed { main, defines: parser.defines, calls: parser.calls })
}

/// Variables by name; the place is the slot.
#[derive(Default)]
struct Scope {
    names: Vec<String>,
    most: usize,
    loops: usize,
}

impl Scope {
    fn declare(&mut self, name: &str) -> Variable {
        self.names.push(name.to_owned());
        self.most = self.most.max(self.names.len());
        Variable::Slot(self.names.len() - 1)
    }

    fn find(&self, name: &str) -> Option<Variable> {
        if name == "$" {
            return Some(Variable::Root);
        }
        self.names.iter().rposition(|known| known == name).map(Variable::Slot)
    }
}

/// What ends the nodes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    End,
    /// The rest of `{{else ...}}` is still to be read.
    Else,
}

impl Stop {
    fn word(self) -> &'static str {
        match self {
            Stop::End => "end",
            Stop::Else => "else",
        }
    }
}

struct Parser<'t> {
    text: &'t Arc<str>,
    language: &'static Language,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    scope: Scope,
    defines: BTreeMap<String, Arc<Body>>,
    calls: Vec<(String, Range<usize>)>,
}

impl<'t> Parser<'t> {
    fn kind(&self) -> Kind {
        self.tokens.get(self.at).map_or(Kind::End, |token| token.kind)
    }

    fn range(&self) -> Range<usize> {
        let end = self.text.len();
        self.tokens.get(self.at).map_or(end..end, |token| token.range.clone())
    }

    fn word(&self) -> &'t str {
        self.text.get(self.range()).unwrap_or("")
    }

    /// The end of the token before this one.
    fn last_end(&self) -> usize {
        let last = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        last.map_or(0, |token| token.range.end)
    }

    fn next(&mut self) {
        self.at += 1;
    }

    fn skip_blanks(&mut self) {
        while self.kind() == Kind::Blank {
            self.next();
        }
    }

    fn fault<T>(&self, message: impl Into<String>) -> Answer<T> {
        Err(Fault::new(self.range(), message))
    }

    fn unexpected<T>(&self, context: &str) -> Answer<T> {
        let shown: String = self.word().chars().take(20).collect();
        match self.kind() {
            Kind::End => self.fault(format!("unexpected EOF in {context}")),
            _ => self.fault(format!("unexpected {shown:?} in {context}")),
        }
    }

    fn enter(&mut self) -> Answer<()> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return self.fault(format!("blocks and parentheses nest deeper than {NESTING_MAX}"));
        }
        Ok(())
    }

    fn close(&mut self, context: &str) -> Answer<()> {
        self.skip_blanks();
        if self.kind() != Kind::Close {
            return self.unexpected(context);
        }
        self.next();
        Ok(())
    }

    /// Text and actions up to what ends them, or up to the end of the text.
    fn nodes(&mut self, is_top: bool) -> Answer<(Vec<Node>, Option<Stop>)> {
        self.enter()?;
        let mut nodes = Vec::new();
        let stop = loop {
            match self.kind() {
                Kind::End => break None,
                Kind::Text => {
                    nodes.push(Node::Text(self.word().into()));
                    self.next();
                }
                Kind::Open => {
                    self.next();
                    self.skip_blanks();
                    let word = if self.kind() == Kind::Word { self.word() } else { "" };
                    match word {
                        "end" => {
                            self.next();
                            self.close("end")?;
                            break Some(Stop::End);
                        }
                        "else" => {
                            self.next();
                            break Some(Stop::Else);
                        }
                        "define" if is_top => self.define()?,
                        word => nodes.push(self.action(word)?),
                    }
                }
                _ => return self.unexpected("input"),
            }
        };
        self.depth -= 1;
        Ok((nodes, stop))
    }

    fn action(&mut self, word: &str) -> Answer<Node> {
        match word {
            "if" | "with" => self.branch(word),
            "range" => self.range_loop(),
            "template" => self.template(),
            "block" => self.block(),
            "break" | "continue" => {
                if self.scope.loops == 0 {
                    return self.fault(format!("{{{{{word}}}}} outside {{{{range}}}}"));
                }
                self.next();
                self.close(word)?;
                Ok(if word == "break" { Node::Break } else { Node::Continue })
            }
            "define" => self.unexpected("command"),
            _ => {
                let pipe = self.pipe("command")?;
                self.close("command")?;
                Ok(Node::Action(pipe))
            }
        }
    }

    fn branch(&mut self, word: &str) -> Answer<Node> {
        let alive = self.scope.names.len();
        let mut arms = Vec::new();
        let mut otherwise = Vec::new();
        loop {
            self.next();
            let pipe = self.pipe(word)?;
            self.close(word)?;
            let (nodes, stop) = self.nodes(false)?;
            arms.push((pipe, nodes));
            match stop {
                None => return self.fault("unexpected EOF"),
                Some(Stop::End) => break,
                Some(Stop::Else) => {}
            }
            self.skip_blanks();
            if self.kind() == Kind::Word && self.word() == word {
                continue;
            }
            otherwise = self.otherwise()?;
            break;
        }
        self.scope.names.truncate(alive);
        Ok(Node::Branch(Box::new(Branch { is_with: word == "with", arms, otherwise })))
    }

    /// What is behind `{{else`, up to the end of the block.
    fn otherwise(&mut self) -> Answer<Vec<Node>> {
        self.close("else")?;
        let (nodes, stop) = self.nodes(false)?;
        match stop {
            Some(Stop::End) => Ok(nodes),
            Some(Stop::Else) => self.fault("expected end; found {{else}}"),
            None => self.fault("unexpected EOF"),
        }
    }

    fn range_loop(&mut self) -> Answer<Node> {
        let alive = self.scope.names.len();
        self.next();
        let pipe = self.pipe("range")?;
        self.close("range")?;
        self.scope.loops += 1;
        let (body, stop) = self.nodes(false)?;
        self.scope.loops -= 1;
        let otherwise = match stop {
            Some(Stop::End) => Vec::new(),
            Some(Stop::Else) => self.otherwise()?,
            None => return self.fault("unexpected EOF"),
        };
        self.scope.names.truncate(alive);
        Ok(Node::Loop(Box::new(Loop { pipe, body, otherwise })))
    }

    fn template_name(&mut self, context: &str) -> Answer<String> {
        self.skip_blanks();
        if !matches!(self.kind(), Kind::Quoted | Kind::Raw) {
            return self.unexpected(context);
        }
        let name = unquote(self.word()).or_else(|message| self.fault(message))?;
        self.next();
        Ok(name)
    }

    fn template(&mut self) -> Answer<Node> {
        let start = self.range().start;
        self.next();
        let name = self.template_name("template clause")?;
        let place = start..self.last_end();
        self.skip_blanks();
        let pipe = match self.kind() {
            Kind::Close => None,
            _ => Some(self.pipe("template clause")?),
        };
        self.close("template clause")?;
        self.calls.push((name.clone(), place.clone()));
        Ok(Node::Template(Box::new(TemplateCall { name, pipe, place })))
    }

    fn block(&mut self) -> Answer<Node> {
        let start = self.range().start;
        self.next();
        let name = self.template_name("block clause")?;
        let place = start..self.last_end();
        let pipe = self.pipe("block clause")?;
        self.close("block clause")?;
        self.define_body(name.clone(), "block clause")?;
        Ok(Node::Template(Box::new(TemplateCall { name, pipe: Some(pipe), place })))
    }

    fn define(&mut self) -> Answer<()> {
        self.next();
        let name = self.template_name("define clause")?;
        self.close("define clause")?;
        self.define_body(name, "define clause")
    }

    /// The body of a define or block knows no variable of what is around it.
    fn define_body(&mut self, name: String, context: &str) -> Answer<()> {
        let outside = std::mem::take(&mut self.scope);
        let (nodes, stop) = self.nodes(false)?;
        let inside = std::mem::replace(&mut self.scope, outside);
        match stop {
            Some(Stop::End) => {}
            Some(Stop::Else) => return self.fault(format!("unexpected {{{{else}}}} in {context}")),
            None => return self.fault("unexpected EOF"),
        }
        let body = Body { text: self.text.clone(), nodes, variables: inside.most };
        match self.defines.get(&name) {
            Some(before) if !before.is_blank() => {
                if !body.is_blank() {
                    return self.fault(format!("multiple definition of template {name:?}"));
                }
            }
            _ => drop(self.defines.insert(name, Arc::new(body))),
        }
        Ok(())
    }
}
