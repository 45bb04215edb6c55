//! What nom parsers read here: a slice of tokens with the context of the file.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use nom::error::{ErrorKind, ParseError};
use nom::{Err, IResult, Input, Needed, Parser};

use super::super::ast::{Name, Text};
use super::super::diagnostic::{Code, Diagnostic};
use super::super::limits;
use super::super::token::{Kind, Punct, Token};
use super::RESERVED_WORDS;
use crate::source::{SourceFile, SourceId, Span};
use crate::unit::Num;

/// What holds for a whole file.
pub(super) struct Context<'a> {
    pub(super) file: SourceId,
    source: &'a SourceFile,
    docs: &'a BTreeMap<u32, String>,
    diagnostics: RefCell<Vec<Diagnostic>>,
    depth: Cell<u16>,
}

impl<'a> Context<'a> {
    pub(super) fn new(file: SourceId, source: &'a SourceFile, docs: &'a BTreeMap<u32, String>) -> Self {
        Self {
            file,
            source,
            docs,
            diagnostics: RefCell::default(),
            depth: Cell::new(0),
        }
    }

    pub(super) fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.diagnostics.into_inner()
    }

    pub(super) fn report(&self, d: Diagnostic) {
        self.diagnostics.borrow_mut().push(d);
    }

    /// Whether so much is wrong that reading on helps nobody.
    pub(super) fn full(&self) -> bool {
        self.diagnostics.borrow().len() >= limits::DIAGNOSTICS
    }

    pub(super) fn enter(&self) -> bool {
        let ok = self.depth.get() < limits::NESTING;
        self.depth.set(self.depth.get() + u16::from(ok));
        ok
    }

    pub(super) fn leave(&self) {
        self.depth.set(self.depth.get().saturating_sub(1));
    }

    pub(super) fn reset(&self) {
        self.depth.set(0);
    }

    /// `##` comments above the token.
    pub(super) fn doc(&self, at: Span) -> String {
        self.docs.get(&at.start).cloned().unwrap_or_default()
    }

    /// Text of the file.
    pub(super) fn text(&self, span: Span) -> &str {
        self.source.text.get(span.range()).unwrap_or("")
    }

    /// A fault as a diagnostic.
    pub(super) fn diagnostic(&self, fault: Fault) -> Diagnostic {
        if let Some(said) = fault.said {
            return *said;
        }
        let found = if fault.found.start == fault.found.end {
            "the end of the file".to_owned()
        } else {
            let text = self.text(fault.found);
            let short: String = text.chars().take(24).collect();
            let dots = if short.len() < text.len() { "…" } else { "" };
            format!("`{short}{dots}`")
        };
        let place = self.place(fault.found);
        let d = Diagnostic::new(
            Code::Expected,
            self.file,
            place,
            format!("expected {}, found {found}", fault.what),
        )
        .label(format!("expected {}", fault.what));
        if place != fault.found {
            return d;
        }
        if RESERVED_WORDS.contains(&self.text(fault.found)) && fault.what.contains("name") {
            let word = self.text(fault.found);
            return d.help(format!(
                "`{word}` is a word of the language; as a name it goes in back-quotes"
            ));
        }
        d
    }

    /// Where to say that something is missing: at the token found instead, or, where that one stands
    /// on a later line, behind what was read last.
    pub(super) fn place(&self, found: Span) -> Span {
        let before = self.text(Span {
            start: 0,
            end: found.start,
        });
        let mut end = 0;
        for (i, line) in before.rsplit('\n').enumerate() {
            let code = line.trim_end();
            let comment = code.trim_start().starts_with('#');
            if !code.is_empty() && !comment {
                if i == 0 {
                    return found;
                }
                let start = line.as_ptr() as usize - before.as_ptr() as usize;
                end = start + code.len();
                break;
            }
        }
        Span::new(end, end)
    }
}

/// The tokens still to be read.
#[derive(Clone, Copy)]
pub(super) struct Tokens<'a> {
    rest: &'a [Token],
    pub(super) cx: &'a Context<'a>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(rest: &'a [Token], cx: &'a Context<'a>) -> Self {
        Self { rest, cx }
    }

    pub(super) fn first(&self) -> Option<&'a Token> {
        self.rest.first()
    }

    pub(super) fn second(&self) -> Option<&'a Token> {
        self.rest.get(1)
    }

    pub(super) fn skip(self, n: usize) -> Self {
        Self {
            rest: self.rest.get(n..).unwrap_or(&[]),
            ..self
        }
    }

    pub(super) fn at_end(&self) -> bool {
        self.rest.first().is_none_or(|t| t.kind == Kind::End)
    }

    /// Where the next token stands.
    pub(super) fn span(&self) -> Span {
        self.rest.first().map_or(Span::default(), |t| t.span)
    }

    /// Whether the next token is that word.
    pub(super) fn is_word(&self, w: &str) -> bool {
        matches!(self.rest.first().map(|t| &t.kind), Some(Kind::Name(n)) if &**n == w)
    }

    /// Whether the next token is that punctuation.
    pub(super) fn is_punct(&self, p: Punct) -> bool {
        matches!(self.rest.first().map(|t| &t.kind), Some(Kind::Punct(q)) if *q == p)
    }
}

impl<'a> Input for Tokens<'a> {
    type Item = &'a Token;
    type Iter = std::slice::Iter<'a, Token>;
    type IterIndices = std::iter::Enumerate<std::slice::Iter<'a, Token>>;

    fn input_len(&self) -> usize {
        self.rest.len()
    }

    fn take(&self, index: usize) -> Self {
        Self {
            rest: &self.rest[..index],
            cx: self.cx,
        }
    }

    fn take_from(&self, index: usize) -> Self {
        self.skip(index)
    }

    fn take_split(&self, index: usize) -> (Self, Self) {
        (self.skip(index), self.take(index))
    }

    fn position<P: Fn(Self::Item) -> bool>(&self, predicate: P) -> Option<usize> {
        self.rest.iter().position(predicate)
    }

    fn iter_elements(&self) -> Self::Iter {
        self.rest.iter()
    }

    fn iter_indices(&self) -> Self::IterIndices {
        self.rest.iter().enumerate()
    }

    fn slice_index(&self, count: usize) -> Result<usize, Needed> {
        if self.rest.len() >= count {
            Ok(count)
        } else {
            Err(Needed::new(count - self.rest.len()))
        }
    }
}

/// Why a parser does not go on.
#[derive(Debug)]
pub(super) struct Fault {
    /// Byte at which reading stopped.
    pub(super) at: u32,
    found: Span,
    what: &'static str,
    said: Option<Box<Diagnostic>>,
}

impl Fault {
    /// Something else was expected: other alternatives may match.
    pub(super) fn expected(t: Tokens<'_>, what: &'static str) -> Self {
        Self {
            at: t.span().start,
            found: t.span(),
            what,
            said: None,
        }
    }

    /// A final fault with its own words.
    pub(super) fn said(t: Tokens<'_>, d: Diagnostic) -> Err<Self> {
        Err::Failure(Self {
            said: Some(Box::new(d)),
            ..Self::expected(t, "")
        })
    }
}

impl<'a> ParseError<Tokens<'a>> for Fault {
    fn from_error_kind(input: Tokens<'a>, _: ErrorKind) -> Self {
        Self::expected(input, "something else")
    }

    fn append(_: Tokens<'a>, _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// What parsers return.
pub(super) type Res<'a, O> = IResult<Tokens<'a>, O, Fault>;

/// A result whose fault is final.
pub(super) fn settle<O>(result: Res<'_, O>) -> Result<(Tokens<'_>, O), Fault> {
    result.map_err(|e| match e {
        Err::Error(f) | Err::Failure(f) => f,
        Err::Incomplete(_) => Fault {
            at: u32::MAX,
            found: Span::default(),
            what: "more text",
            said: None,
        },
    })
}

/// Makes a missing part final: failing here ends the alternatives and says what was expected.
pub(super) fn expect<'a, O>(
    what: &'static str,
    mut parser: impl Parser<Tokens<'a>, Output = O, Error = Fault>,
) -> impl FnMut(Tokens<'a>) -> Res<'a, O> {
    move |t| {
        parser.parse(t).map_err(|e| match e {
            Err::Error(f) => Err::Failure(Fault { what, ..f }),
            other => other,
        })
    }
}

/// One token of punctuation.
pub(super) fn punct<'a>(p: Punct) -> impl Fn(Tokens<'a>) -> Res<'a, Span> {
    move |t| {
        if t.is_punct(p) {
            Ok((t.skip(1), t.span()))
        } else {
            Err(Err::Error(Fault::expected(t, p.text())))
        }
    }
}

/// One keyword.
pub(super) fn word<'a>(w: &'static str) -> impl Fn(Tokens<'a>) -> Res<'a, Span> {
    move |t| {
        if t.is_word(w) {
            Ok((t.skip(1), t.span()))
        } else {
            Err(Err::Error(Fault::expected(t, w)))
        }
    }
}

/// A name that is no reserved word, or one in back-quotes.
pub(super) fn name(t: Tokens<'_>) -> Res<'_, Name> {
    match t.first().map(|k| &k.kind) {
        Some(Kind::Name(n)) if !RESERVED_WORDS.contains(&&**n) => Ok((t.skip(1), named(n, t.span()))),
        Some(Kind::Quoted(n)) => Ok((t.skip(1), named(n, t.span()))),
        _ => Err(Err::Error(Fault::expected(t, "a name"))),
    }
}

/// A name where no keyword can stand: after a dot or `@`.
pub(super) fn any_name(t: Tokens<'_>) -> Res<'_, Name> {
    match t.first().map(|k| &k.kind) {
        Some(Kind::Name(n) | Kind::Quoted(n)) => Ok((t.skip(1), named(n, t.span()))),
        _ => Err(Err::Error(Fault::expected(t, "a name"))),
    }
}

fn named(text: &str, span: Span) -> Name {
    Name {
        text: text.to_owned(),
        span,
    }
}

/// A quoted text.
pub(super) fn string(t: Tokens<'_>) -> Res<'_, Text> {
    match t.first().map(|k| &k.kind) {
        Some(Kind::Str(s)) => Ok((
            t.skip(1),
            Text {
                value: s.to_string(),
                span: t.span(),
            },
        )),
        _ => Err(Err::Error(Fault::expected(t, "a text in double quotes"))),
    }
}

/// A number without a unit.
pub(super) fn number(t: Tokens<'_>) -> Res<'_, (Num, Span)> {
    match t.first().map(|k| &k.kind) {
        Some(Kind::Number(n)) => Ok((t.skip(1), (*n, t.span()))),
        _ => Err(Err::Error(Fault::expected(t, "a number"))),
    }
}
