//! As much YAML as the conformance files use: maps and lists by indentation with flow values in one
//! line. Enough to read them, and small enough not to need a dependency.

/// A value of YAML.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Yaml {
    Str(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

impl Yaml {
    pub(super) fn get(&self, name: &str) -> Option<&Yaml> {
        match self {
            Yaml::Map(entries) => entries.iter().find(|(key, _)| key == name).map(|(_, v)| v),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> &[Yaml] {
        match self {
            Yaml::List(items) => items,
            _ => &[],
        }
    }

    pub(super) fn entries(&self) -> &[(String, Yaml)] {
        match self {
            Yaml::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn str(&self) -> &str {
        match self {
            Yaml::Str(text) => text,
            other => panic!("not a string: {other:?}"),
        }
    }

    pub(super) fn number(&self) -> f64 {
        match self {
            Yaml::Int(i) => *i as f64,
            Yaml::Float(f) => *f,
            other => panic!("not a number: {other:?}"),
        }
    }
}

/// A flow value: scalar, `[..]` or `{..}`.
struct Flow<'a>(&'a str);

impl Flow<'_> {
    fn skip(&mut self) {
        self.0 = self.0.trim_start();
    }

    fn take(&mut self, c: char) -> bool {
        self.skip();
        match self.0.strip_prefix(c) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self) -> Yaml {
        if self.take('{') {
            let mut entries = Vec::new();
            while !self.take('}') {
                let key = self.plain(":").0;
                assert!(self.take(':'), "no colon before {:?}", self.0);
                entries.push((key, self.value()));
                self.take(',');
            }
            return Yaml::Map(entries);
        }
        if self.take('[') {
            let mut items = Vec::new();
            while !self.take(']') {
                items.push(self.value());
                self.take(',');
            }
            return Yaml::List(items);
        }
        match self.plain(",}]") {
            (text, true) => Yaml::Str(text),
            (text, false) => scalar(&text),
        }
    }

    /// A scalar up to one of `ends`, and whether it was quoted.
    fn plain(&mut self, ends: &str) -> (String, bool) {
        self.skip();
        if let Some(quote @ ('"' | '\'')) = self.0.chars().next() {
            let (text, rest) = quoted(&self.0[1..], quote);
            self.0 = rest;
            return (text, true);
        }
        let end = self.0.find(|c| ends.contains(c)).unwrap_or(self.0.len());
        let text = self.0[..end].trim().to_owned();
        self.0 = &self.0[end..];
        (text, false)
    }
}

fn quoted(text: &str, quote: char) -> (String, &str) {
    let mut out = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' if quote == '"' => match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, other)) => out.push(other),
                None => break,
            },
            '\'' if quote == '\'' && chars.peek().is_some_and(|(_, c)| *c == '\'') => {
                chars.next();
                out.push('\'');
            }
            c if c == quote => return (out, &text[i + 1..]),
            c => out.push(c),
        }
    }
    panic!("a quoted text does not end: {text:?}")
}

fn scalar(text: &str) -> Yaml {
    match (text, text.parse::<i64>(), text.parse::<f64>()) {
        ("true", ..) => Yaml::Bool(true),
        ("false", ..) => Yaml::Bool(false),
        (_, Ok(i), _) => Yaml::Int(i),
        (_, _, Ok(f)) => Yaml::Float(f),
        _ => Yaml::Str(text.to_owned()),
    }
}

/// Lines with their indentation, without comments and empty ones.
pub(super) fn read(text: &str) -> Yaml {
    let lines: Vec<(usize, &str)> = text
        .lines()
        .map(|line| (line.len() - line.trim_start().len(), line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(indent, line)| (indent, line.split("   #").next().unwrap_or(line).trim_end()))
        .collect();
    let mut at = 0;
    block(&lines, &mut at)
}

fn block(lines: &[(usize, &str)], at: &mut usize) -> Yaml {
    let (indent, first) = lines[*at];
    if !first.starts_with("- ") {
        return Yaml::Map(entries(lines, at, indent, None));
    }
    let mut items = Vec::new();
    while let Some((_, line)) = lines.get(*at).filter(|(i, l)| *i == indent && l.starts_with("- "))
    {
        *at += 1;
        let item = line[2..].trim();
        let is_flow = item.starts_with(['{', '[', '"', '\'']);
        items.push(if is_flow {
            Flow(item).value()
        } else {
            Yaml::Map(entries(lines, at, indent + 2, Some(item)))
        });
    }
    Yaml::List(items)
}

fn entries(
    lines: &[(usize, &str)],
    at: &mut usize,
    indent: usize,
    mut first: Option<&str>,
) -> Vec<(String, Yaml)> {
    let mut entries = Vec::new();
    loop {
        let line = match first.take() {
            Some(line) => line,
            None => match lines.get(*at) {
                Some((i, line)) if *i == indent && !line.starts_with("- ") => {
                    *at += 1;
                    line
                }
                _ => return entries,
            },
        };
        let (key, value) = line.split_once(':').expect("a key");
        let value = match value.trim() {
            "" => block(lines, at),
            flow => Flow(flow).value(),
        };
        entries.push((key.to_owned(), value));
    }
}
