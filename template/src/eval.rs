//! Runs a template (Go `text/template/exec.go`, 1.24).
//!
//! Recursive where blocks, parentheses and calls of templates nest; [`NESTING_MAX`] bounds all of
//! them together. Everything that is printed goes through [`Evaluator::print`]: an HTML mode would
//! wrap what is printed there by the context of the text before it, or append an escaping command
//! to each printed pipeline when a template is read, as Go's `html/template` does.

mod field;

use crate::error::{Fault, TemplateError};
use crate::format;
use crate::function::{Call, Function, MissingKey, Regexes, Run, Steps, World};
use crate::limits::NESTING_MAX;
use crate::program::Program;
use crate::syntax::{
    Body, Branch, Command, Loop, Node, Operand, OperandKind, Pipe, Place, TemplateCall, Variable,
};
use crate::value::{Text, Value};

/// Room that most log lines and their calls do not outgrow.
const OUTPUT_BYTES_FIRST: usize = 128;
const ARGUMENTS_FIRST: usize = 8;

/// Variables that a call of a template makes room for in one step.
const STEP_VARIABLES: usize = 16;

/// Why a rendering ended early.
#[derive(Debug)]
enum Stop<'v> {
    Fault(Fault, &'v Body),
    /// The output is full.
    Full,
}

type Answer<'v, T> = Result<T, Box<Stop<'v>>>;

/// What a list of nodes asks of the loop around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// What a function or method is given: arguments behind its name, and the value before the pipe.
#[derive(Default)]
struct Given<'v> {
    args: &'v [Operand],
    last: Option<Value<'v>>,
}

impl Given<'_> {
    fn count(&self) -> usize {
        self.args.len() + usize::from(self.last.is_some())
    }
}

/// A template that is being run: its variables.
struct Frame<'v> {
    body: &'v Body,
    root: Value<'v>,
    variables: Vec<Value<'v>>,
}

impl<'v> Frame<'v> {
    fn new(body: &'v Body, root: Value<'v>) -> Self {
        Frame { body, root, variables: vec![Value::Nil; body.variables] }
    }

    fn variable(&self, variable: Variable) -> &Value<'v> {
        match variable {
            Variable::Root => &self.root,
            Variable::Slot(slot) => self.variables.get(slot).unwrap_or(&Value::Nil),
        }
    }

    fn set(&mut self, variable: Variable, value: Value<'v>) {
        match variable {
            Variable::Root => self.root = value,
            Variable::Slot(slot) => {
                if let Some(place) = self.variables.get_mut(slot) {
                    *place = value;
                }
            }
        }
    }

    fn fault<T>(&self, place: &Place, message: impl Into<String>) -> Answer<'v, T> {
        Err(Box::new(Stop::Fault(Fault::new(place.clone(), message), self.body)))
    }
}

/// Runs the main text of a program.
pub(crate) fn run<'v>(
    program: &'v Program,
    root: Value<'v>,
    variables: impl IntoIterator<Item = Value<'v>>,
    world: &'v dyn World,
) -> Result<String, TemplateError> {
    let mut evaluator = Evaluator {
        program,
        world,
        regexes: &program.regexes,
        missing_key: program.language.missing_key,
        bytes_max: program.language.output_bytes_max,
        steps: Steps::default(),
        depth: 0,
        out: String::with_capacity(OUTPUT_BYTES_FIRST),
        args: Vec::with_capacity(ARGUMENTS_FIRST),
    };
    let dot = root.clone();
    let mut frame = Frame::new(&program.main, root);
    for (place, value) in frame.variables.iter_mut().zip(variables) {
        *place = value;
    }
    match evaluator.walk(&mut frame, &dot, &program.main.nodes) {
        Ok(_) => Ok(evaluator.out),
        Err(stop) => Err(match *stop {
            Stop::Fault(fault, body) => fault.render_error(&body.text),
            Stop::Full => {
                TemplateError::TooLarge { what: "bytes of output", limit: evaluator.bytes_max }
            }
        }),
    }
}

struct Evaluator<'v> {
    program: &'v Program,
    world: &'v dyn World,
    regexes: &'v Regexes,
    missing_key: MissingKey,
    /// The longest output, and the longest text on the way.
    bytes_max: usize,
    steps: Steps,
    depth: usize,
    out: String,
    /// Arguments of the calls that are being made, one behind the other.
    args: Vec<Value<'v>>,
}

impl<'v> Evaluator<'v> {
    fn spend(&self, frame: &Frame<'v>, place: &Place, steps: u64) -> Answer<'v, ()> {
        self.steps.spend(steps).or_else(|message| frame.fault(place, message))
    }

    fn step(&self, frame: &Frame<'v>, place: &Place) -> Answer<'v, ()> {
        self.spend(frame, place, 1)
    }

    fn enter(&mut self, frame: &Frame<'v>, place: &Place) -> Answer<'v, ()> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            let message = format!("blocks and template calls nest deeper than {NESTING_MAX}");
            return frame.fault(place, message);
        }
        Ok(())
    }

    fn print_text(&mut self, text: &str) -> Answer<'v, ()> {
        if self.out.len() + text.len() > self.bytes_max {
            return Err(Box::new(Stop::Full));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn print(&mut self, value: &Value<'v>) -> Answer<'v, ()> {
        match value {
            Value::Text(text) => self.print_text(text),
            Value::Nil => self.print_text("<no value>"),
            other => {
                let mut out = format::Bounded::new(&mut self.out, self.bytes_max);
                format::print(&mut out, other).map_err(|format::Full| Box::new(Stop::Full))
            }
        }
    }

    fn walk(
        &mut self,
        frame: &mut Frame<'v>,
        dot: &Value<'v>,
        nodes: &'v [Node],
    ) -> Answer<'v, Flow> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => {
                    // It is not empty: the bound on the output bounds this too.
                    self.print_text(text)?;
                    Flow::On
                }
                Node::Action(pipe) => {
                    let value = self.pipe(frame, dot, pipe)?;
                    if pipe.variables.is_empty() {
                        self.spend(frame, &pipe.place, value.steps())?;
                        self.print(&value)?;
                    }
                    Flow::On
                }
                Node::Branch(branch) => self.branch(frame, dot, branch)?,
                Node::Loop(range) => self.range(frame, dot, range)?,
                Node::Template(call) => {
                    self.template(frame, dot, call)?;
                    Flow::On
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn block(
        &mut self,
        frame: &mut Frame<'v>,
        dot: &Value<'v>,
        nodes: &'v [Node],
        place: &Place,
    ) -> Answer<'v, Flow> {
        self.enter(frame, place)?;
        let flow = self.walk(frame, dot, nodes)?;
        self.depth -= 1;
        Ok(flow)
    }

    fn branch(
        &mut self,
        frame: &mut Frame<'v>,
        dot: &Value<'v>,
        branch: &'v Branch,
    ) -> Answer<'v, Flow> {
        let mut place = &(0..0);
        for (pipe, nodes) in &branch.arms {
            place = &pipe.place;
            let value = self.pipe(frame, dot, pipe)?;
            self.spend(frame, place, value.steps())?;
            if value.is_true() {
                let dot = if branch.is_with { &value } else { dot };
                return self.block(frame, dot, nodes, place);
            }
        }
        self.block(frame, dot, &branch.otherwise, place)
    }

    fn range(
        &mut self,
        frame: &mut Frame<'v>,
        dot: &Value<'v>,
        range: &'v Loop,
    ) -> Answer<'v, Flow> {
        let place = &range.pipe.place;
        let value = self.commands(frame, dot, &range.pipe)?;
        self.spend(frame, place, value.steps())?;
        let value = value.plain();
        let mut any = false;
        let mut round = |evaluator: &mut Self,
                         frame: &mut Frame<'v>,
                         key: Value<'v>,
                         element: Value<'v>|
         -> Answer<'v, bool> {
            any = true;
            evaluator.step(frame, place)?;
            match range.pipe.variables.as_slice() {
                [] => {}
                [one] => frame.set(*one, element.clone()),
                [index, one, ..] => {
                    frame.set(*index, key);
                    frame.set(*one, element.clone());
                }
            }
            Ok(evaluator.block(frame, &element, &range.body, place)? != Flow::Break)
        };
        match &value {
            Value::Nil => {}
            Value::List(list) => {
                for (i, item) in list.items().iter().enumerate() {
                    let key = Value::Int(i64::try_from(i).unwrap_or(i64::MAX));
                    if !round(self, frame, key, item.clone())? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, item) in map.entries() {
                    if !round(self, frame, Value::Text(key.clone()), item.clone())? {
                        break;
                    }
                }
            }
            Value::Texts(texts) => {
                for (key, text) in texts.pairs() {
                    if !round(self, frame, Value::Text(key), Value::Text(text))? {
                        break;
                    }
                }
            }
            Value::Int(count) => {
                if range.pipe.variables.len() > 1 {
                    let message =
                        format!("can't use {count} to iterate over more than one variable");
                    return frame.fault(place, message);
                }
                for i in 0..*count {
                    if !round(self, frame, Value::Nil, Value::Int(i))? {
                        break;
                    }
                }
            }
            other => {
                let shown =
                    format::sprint(std::slice::from_ref(other), self.bytes_max).unwrap_or_default();
                return frame.fault(place, format!("range can't iterate over {shown}"));
            }
        }
        if any {
            return Ok(Flow::On);
        }
        self.block(frame, dot, &range.otherwise, place)
    }

    fn template(
        &mut self,
        frame: &mut Frame<'v>,
        dot: &Value<'v>,
        call: &'v TemplateCall,
    ) -> Answer<'v, ()> {
        self.step(frame, &call.place)?;
        let value = match &call.pipe {
            Some(pipe) => self.pipe(frame, dot, pipe)?,
            None => Value::Nil,
        };
        let Some(body) = self.program.template(&call.name) else {
            return frame.fault(&call.place, format!("template {:?} not defined", call.name));
        };
        self.enter(frame, &call.place)?;
        self.spend(frame, &call.place, (body.variables / STEP_VARIABLES) as u64)?;
        self.walk(&mut Frame::new(body, value.clone()), &value, &body.nodes)?;
        self.depth -= 1;
        Ok(())
    }

    /// The value of a pipeline, put into its variables.
    fn pipe(
        &mut self,
        frame: &mut Frame<'v>,
        dot: &Value<'v>,
        pipe: &'v Pipe,
    ) -> Answer<'v, Value<'v>> {
        let value = self.commands(frame, dot, pipe)?;
        for variable in &pipe.variables {
            frame.set(*variable, value.clone());
        }
        Ok(value)
    }

    fn commands(
        &mut self,
        frame: &mut Frame<'v>,
        dot: &Value<'v>,
        pipe: &'v Pipe,
    ) -> Answer<'v, Value<'v>> {
        let mut last = None;
        for command in &pipe.commands {
            self.step(frame, &command.place)?;
            last = Some(self.command(frame, dot, command, last)?);
        }
        Ok(last.unwrap_or_default())
    }

    fn command(
        &mut self,
        frame: &mut Frame<'v>,
        dot: &Value<'v>,
        command: &'v Command,
        last: Option<Value<'v>>,
    ) -> Answer<'v, Value<'v>> {
        let place = &command.place;
        let given = Given { args: &command.args, last };
        match &command.first.kind {
            OperandKind::Function(function) => self.function(frame, dot, function, place, given),
            OperandKind::Field(names) => self.chain(frame, dot, dot.clone(), names, place, given),
            OperandKind::Variable(variable, names) if !names.is_empty() => {
                let receiver = frame.variable(*variable).clone();
                self.chain(frame, dot, receiver, names, place, given)
            }
            OperandKind::Chain(operand, names) => {
                let receiver = self.operand(frame, dot, operand)?;
                self.chain(frame, dot, receiver, names, place, given)
            }
            OperandKind::Nil => frame.fault(place, "nil is not a command"),
            _ if given.count() > 0 => {
                let words = frame.body.text.get(command.first.place.clone()).unwrap_or("");
                frame.fault(place, format!("can't give argument to non-function {words}"))
            }
            _ => self.operand(frame, dot, &command.first),
        }
    }

    /// The value of an operand that gets no arguments.
    fn operand(
        &mut self,
        frame: &mut Frame<'v>,
        dot: &Value<'v>,
        operand: &'v Operand,
    ) -> Answer<'v, Value<'v>> {
        let place = &operand.place;
        Ok(match &operand.kind {
            OperandKind::Nil => Value::Nil,
            OperandKind::Bool(truth) => Value::Bool(*truth),
            OperandKind::Int(number) => Value::Int(*number),
            OperandKind::Float(number) => Value::Float(*number),
            OperandKind::Text(text) => Value::Text(Text::Borrowed(text)),
            OperandKind::Dot => dot.clone(),
            OperandKind::Field(names) => {
                self.chain(frame, dot, dot.clone(), names, place, Given::default())?
            }
            OperandKind::Variable(variable, names) => {
                let receiver = frame.variable(*variable).clone();
                self.chain(frame, dot, receiver, names, place, Given::default())?
            }
            OperandKind::Function(function) => {
                self.function(frame, dot, function, place, Given::default())?
            }
            OperandKind::Pipe(pipe) => {
                self.enter(frame, place)?;
                let value = self.pipe(frame, dot, pipe)?;
                self.depth -= 1;
                value
            }
            OperandKind::Chain(operand, names) => {
                let receiver = self.operand(frame, dot, operand)?;
                self.chain(frame, dot, receiver, names, place, Given::default())?
            }
        })
    }

    /// Puts arguments on the stack; answers where they begin.
    fn push_args(
        &mut self,
        frame: &mut Frame<'v>,
        dot: &Value<'v>,
        given: Given<'v>,
    ) -> Answer<'v, usize> {
        let start = self.args.len();
        for arg in given.args {
            let value = self.operand(frame, dot, arg)?;
            self.args.push(value);
        }
        self.args.extend(given.last);
        Ok(start)
    }

    fn function(
        &mut self,
        frame: &mut Frame<'v>,
        dot: &Value<'v>,
        function: &'static Function,
        place: &Place,
        given: Given<'v>,
    ) -> Answer<'v, Value<'v>> {
        function.check_count(given.count()).or_else(|message| frame.fault(place, message))?;
        let run = match function.run {
            Run::Call(run) => run,
            Run::And => return self.first_of(frame, dot, given, false),
            Run::Or => return self.first_of(frame, dot, given, true),
        };
        let start = self.push_args(frame, dot, given)?;
        let call = Call {
            args: self.args.get(start..).unwrap_or(&[]),
            world: self.world,
            regexes: self.regexes,
            steps: &self.steps,
            bytes_max: self.bytes_max,
        };
        let read: u64 = call.args.iter().map(Value::steps).sum();
        let made = run(&call)
            .and_then(|value| field::check_made(value, read, &self.steps, self.bytes_max));
        self.args.truncate(start);
        made.or_else(|message| {
            frame.fault(place, format!("error calling {}: {message}", function.name))
        })
    }

    /// `and` and `or`: the first argument whose truth is the wanted one, else the last.
    fn first_of(
        &mut self,
        frame: &mut Frame<'v>,
        dot: &Value<'v>,
        given: Given<'v>,
        wanted: bool,
    ) -> Answer<'v, Value<'v>> {
        let mut value = Value::Nil;
        for arg in given.args {
            value = self.operand(frame, dot, arg)?;
            if value.is_true() == wanted {
                return Ok(value);
            }
        }
        Ok(given.last.unwrap_or(value))
    }
}
