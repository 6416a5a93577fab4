//! From text to a tree of values, each with its place.
//!
//! The parser's events are taken one by one rather than through a ready-made tree, so that duplicate keys can be
//! reported all at once and with their places, and so that a file made to exhaust memory or stack ends at a limit:
//! nesting at [`DEPTH_MAX`], values at [`NODES_MAX`], where an alias counts as all that it stands for.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::{DEPTH_MAX, FILE_BYTES_MAX, Fault, NODES_MAX};

/// Line and column, both from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    pub line: u32,
    pub column: u32,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    pub mark: Mark,
    pub value: Value<'a>,
    /// Values in it, itself among them.
    size: usize,
}

/// A value. What a text means (a number, an id) is for the key to say that it stands under.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// `null`, `~` or nothing at all.
    Null,
    /// Any other scalar, quoted or not.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Rc<Node<'a>>>),
    /// A mapping, its entries in the order of the file, duplicates among them.
    Map(Vec<(Rc<Node<'a>>, Rc<Node<'a>>)>),
}

/// The file's one document.
///
/// # Errors
/// A fault where the text is too large, no YAML, not one document, or breaks a limit.
pub fn load(text: &str) -> Result<Rc<Node<'_>>, Fault> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("the file has {} bytes, {FILE_BYTES_MAX} are allowed", text.len());
        return Err(fault(Mark { line: 1, column: 1 }, message));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    printable(text)?;
    let mut builder = Builder::default();
    let mut parser = Parser::new(StrInput::new(text));
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| syntax(&error, text))?;
        builder.take(event, span)?;
    }
    let nothing = || {
        fault(
            Mark { line: 1, column: 1 },
            "the file is empty; a job needs at least id, tenant, queues, jobs and runtimes".to_owned(),
        )
    };
    builder.root.ok_or_else(nothing)
}

/// YAML knows no control characters (1.2.2, §5.1); the parser lets some through.
fn printable(text: &str) -> Result<(), Fault> {
    let control = |character: char| character.is_ascii_control() && !matches!(character, '\t' | '\n' | '\r');
    let Some((line, index)) =
        text.lines().enumerate().find_map(|(line, text)| Some((line, text.chars().position(control)?)))
    else {
        return Ok(());
    };
    let narrow = |number: usize| u32::try_from(number + 1).unwrap_or(u32::MAX);
    let at = Mark { line: narrow(line), column: narrow(index) };
    Err(fault(at, "not YAML: a control character stands here".to_owned()))
}

fn fault(mark: Mark, message: String) -> Fault {
    Fault { line: mark.line, column: mark.column, path: String::new(), message }
}

fn syntax(error: &ScanError, text: &str) -> Fault {
    let at = mark(*error.marker());
    // What a tab breaks, the parser often finds on the line before.
    let lines = (at.line..).zip(text.lines().skip(at.line.saturating_sub(1) as usize)).take(2);
    for (line, text) in lines {
        let indentation = text.chars().take_while(|character| character.is_whitespace());
        if let Some(column) =
            (1..).zip(indentation).find_map(|(column, character)| (character == '\t').then_some(column))
        {
            return fault(
                Mark { line, column },
                "not YAML: a tab indents this line, and YAML indents with spaces alone".to_owned(),
            );
        }
    }
    fault(at, format!("not YAML: {}", error.info()))
}

fn mark(marker: Marker) -> Mark {
    let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Mark { line: narrow(marker.line()), column: narrow(marker.col() + 1) }
}

/// A list or mapping that is not at its end yet.
struct Open<'a> {
    mark: Mark,
    anchor: usize,
    map: bool,
    /// What it holds so far; of a mapping, keys and values in turn.
    items: Vec<Rc<Node<'a>>>,
}

#[derive(Default)]
struct Builder<'a> {
    open: Vec<Open<'a>>,
    anchors: HashMap<usize, Rc<Node<'a>>>,
    nodes: usize,
    documents: usize,
    root: Option<Rc<Node<'a>>>,
}

impl<'a> Builder<'a> {
    fn take(&mut self, event: Event<'a>, span: Span) -> Result<(), Fault> {
        let at = mark(span.start);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(fault(at, "a second document begins here; a job file is one document".to_owned()));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(text, style, tag.as_deref(), at)?;
                self.put(Node { mark: at, value, size: 1 }, anchor)
            }
            Event::SequenceStart(anchor, tag) => self.open(at, anchor, tag.as_deref(), false),
            Event::MappingStart(anchor, tag) => self.open(at, anchor, tag.as_deref(), true),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(fault(at, "this alias stands inside of what it stands for".to_owned()));
                };
                let node = node.clone();
                self.insert(node, at)
            }
        }
    }

    fn open(&mut self, at: Mark, anchor: usize, tag: Option<&Tag>, map: bool) -> Result<(), Fault> {
        if let Some(tag) = tag.filter(|tag| !is_core(tag)) {
            return Err(unknown_tag(tag, at));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(fault(at, format!("the file nests deeper than {DEPTH_MAX} levels")));
        }
        self.open.push(Open { mark: at, anchor, map, items: Vec::new() });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let open = self.open.pop().expect("the parser ends only what it began");
        let size = 1 + open.items.iter().map(|item| item.size).sum::<usize>();
        let value = if open.map {
            let mut items = open.items.into_iter();
            let mut entries = Vec::new();
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                entries.push((key, value));
            }
            Value::Map(entries)
        } else {
            Value::List(open.items)
        };
        self.put(Node { mark: open.mark, value, size }, open.anchor)
    }

    fn put(&mut self, node: Node<'a>, anchor: usize) -> Result<(), Fault> {
        let (at, node) = (node.mark, Rc::new(node));
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        // What a list or mapping holds was counted when it was put there.
        self.nodes += 1;
        self.place(node, at)
    }

    fn insert(&mut self, node: Rc<Node<'a>>, at: Mark) -> Result<(), Fault> {
        self.nodes += node.size;
        self.place(node, at)
    }

    fn place(&mut self, node: Rc<Node<'a>>, at: Mark) -> Result<(), Fault> {
        if self.nodes > NODES_MAX {
            return Err(fault(at, format!("the file holds more than {NODES_MAX} values, aliases counted in full")));
        }
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.root = Some(node),
        }
        Ok(())
    }
}

/// The value of a scalar, as the core schema of YAML 1.2 tells null from text.
fn scalar<'a>(text: Cow<'a, str>, style: ScalarStyle, tag: Option<&Tag>, at: Mark) -> Result<Value<'a>, Fault> {
    let null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
    match tag {
        Some(tag) if !is_core(tag) => Err(unknown_tag(tag, at)),
        Some(tag) if tag.suffix == "null" => Ok(Value::Null),
        None if null => Ok(Value::Null),
        Some(_) | None => Ok(Value::Text(text)),
    }
}

/// Whether a tag is of YAML's core schema (1.2.2, §10.3). It says of a value what its key says better, and does no harm.
fn is_core(tag: &Tag) -> bool {
    tag.is_yaml_core_schema() && matches!(&*tag.suffix, "map" | "seq" | "str" | "null" | "bool" | "int" | "float")
}

fn unknown_tag(tag: &Tag, at: Mark) -> Fault {
    fault(at, format!("the tag '{tag}' has no meaning in a job file; leave it out"))
}
