//! What names of a file stand for, and the state of checking one rule.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::super::ast::{self, Item};
use super::super::diagnostic::{Code, Diagnostic};
use super::super::hir::{MetricKind, SegmentDef, Value, Window};
use super::super::limits;
use super::expr::Typed;
use super::params;
use super::select::Selection;
use super::{R, Reported, twice};
use crate::source::{SourceFile, SourceId, Span};
use crate::trace::catalogue::{Key, Op, Source};
use crate::unit::{Dim, Num};

/// A constant with its dimension.
pub(super) type Quantity = (Num, Dim);

/// The definitions of a file.
#[derive(Default)]
pub(super) struct FileScope<'a> {
    pub(super) file: SourceId,
    pub(super) lets: BTreeMap<&'a str, &'a ast::Let>,
    /// Parameters with their value; `None` where it could not be found out.
    pub(super) params: BTreeMap<&'a str, (Option<Quantity>, Span)>,
    pub(super) sets: BTreeMap<&'a str, &'a ast::Set>,
    pub(super) segments: BTreeMap<&'a str, &'a ast::Segment>,
    /// Imported files: the name they go by, and their position.
    pub(super) imports: Vec<(Option<String>, usize)>,
    pub(super) broken: BTreeSet<&'a str>,
    used: RefCell<BTreeSet<String>>,
}

impl<'a> FileScope<'a> {
    /// A file that defines nothing.
    pub(super) fn empty(file: SourceId) -> Self {
        Self {
            file,
            ..Self::default()
        }
    }

    pub(super) fn new(
        file: SourceId,
        files: &'a [SourceFile],
        tree: &'a ast::File,
        overrides: &BTreeMap<&str, SourceId>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut scope = Self {
            file,
            lets: BTreeMap::new(),
            params: BTreeMap::new(),
            sets: BTreeMap::new(),
            segments: BTreeMap::new(),
            imports: Vec::new(),
            broken: tree.broken.iter().map(String::as_str).collect(),
            used: RefCell::default(),
        };
        let mut places: BTreeMap<&str, Span> = BTreeMap::new();
        for item in &tree.items {
            let name = match item {
                Item::Let(l) => &l.name,
                Item::Param(p) => &p.name,
                Item::Set(s) => &s.name,
                Item::Segment(s) => &s.name,
                Item::Rule(_) | Item::Test(_) | Item::Import(_) | Item::Override(_) => continue,
            };
            if let Some(first) = places.get(name.text.as_str()) {
                diagnostics.push(twice(files, "name", name, file, (file, *first)));
                continue;
            }
            places.insert(&name.text, name.span);
            if Source::by_name(&name.text).is_some() {
                diagnostics.push(
                    Diagnostic::new(
                        Code::Shadowed,
                        file,
                        name.span,
                        format!("`{}` hides the source of that name", name.text),
                    )
                    .help("give it another name"),
                );
            }
            match item {
                Item::Let(l) => {
                    scope.lets.insert(&name.text, l);
                }
                Item::Param(p) => {
                    let value = params::value(p, &scope, files, overrides, diagnostics);
                    scope.params.insert(&name.text, (value, name.span));
                }
                Item::Set(s) => {
                    scope.sets.insert(&name.text, s);
                }
                Item::Segment(s) => {
                    scope.segments.insert(&name.text, s);
                }
                Item::Rule(_) | Item::Test(_) | Item::Import(_) | Item::Override(_) => {}
            }
        }
        scope
    }

    pub(super) fn param_names(&self) -> impl Iterator<Item = &'a str> {
        self.params.keys().copied()
    }

    pub(super) fn mark_used(&self, name: &str) {
        self.used.borrow_mut().insert(name.to_owned());
    }

    /// Definitions that nothing uses.
    pub(super) fn unused(&self, diagnostics: &mut Vec<Diagnostic>) {
        let used = self.used.borrow();
        let mut say = |code, what: &str, name: &str, span| {
            if !used.contains(name) && !name.starts_with('_') {
                let d = Diagnostic::new(code, self.file, span, format!("the {what} `{name}` is never used"))
                    .help("remove it, or start its name with `_`");
                // The command line and tests may set a parameter: another name would break them.
                let first = Span {
                    end: span.start,
                    ..span
                };
                diagnostics.push(if code == Code::UnusedParam {
                    d
                } else {
                    d.edit(first, "_")
                });
            }
        };
        for (n, l) in &self.lets {
            say(Code::UnusedLet, "`let`", n, l.name.span);
        }
        for (n, (_, span)) in &self.params {
            say(Code::UnusedParam, "parameter", n, *span);
        }
        for (n, s) in &self.sets {
            say(Code::UnusedSet, "set", n, s.name.span);
        }
        for (n, s) in &self.segments {
            say(Code::UnusedSegment, "segment", n, s.name.span);
        }
    }
}

/// A statistic of the rule at hand, before the rule's key is known.
#[derive(Clone, Debug)]
pub(super) struct Proto {
    pub(super) kind: MetricKind,
    /// Which source decides what keys it can have.
    pub(super) term: Term,
    pub(super) dim: Dim,
    /// What a bare statistic to its right takes over.
    pub(super) origin: Option<Selection>,
}

/// What a part of the rule says about keys.
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub(super) source: Source,
    /// The operations, where it selects any.
    pub(super) ops: Option<Vec<Op>>,
    /// Keys that the author wrote.
    pub(super) keys: Option<Vec<Key>>,
    /// A bare source with a statistic of a distribution: taken per operation.
    pub(super) per_op: bool,
    /// For messages.
    pub(super) text: String,
    pub(super) span: Span,
}

/// A number-valued expression.
#[derive(Clone, Debug)]
pub(super) struct Number {
    pub(super) value: Value,
    pub(super) dim: Dim,
    /// A constant written without a unit.
    pub(super) bare: bool,
    /// Its windows, each once.
    pub(super) windows: Vec<Window>,
}

impl Number {
    pub(super) fn constant(value: Num, dim: Dim) -> Self {
        Self {
            value: Value::Num(value),
            dim,
            bare: false,
            windows: Vec::new(),
        }
    }

    pub(super) fn as_const(&self) -> Option<Num> {
        match self.value {
            Value::Num(n) => Some(n),
            _ => None,
        }
    }
}

/// What stands to the left of an expression, for bare statistics.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// Statistics of the same comparison, as positions in the rule's list, and selections.
    pub(super) left: Vec<Left>,
    /// Inside a filter: the selection with the filters before this one.
    pub(super) filter: Option<Selection>,
}

/// A candidate for a bare statistic.
#[derive(Clone, Debug)]
pub(super) enum Left {
    Proto(usize),
    Selection(Selection),
}

/// The condition of a segment, before the rule's key is known.
#[derive(Clone, Debug)]
pub(super) struct SegmentProto {
    pub(super) def: SegmentDef,
    /// The statistics that it may name lie before this position.
    pub(super) after: usize,
}

/// A `let` that a name stands for.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) def: &'a ast::Let,
    /// Of a file, not of a rule.
    pub(super) of_file: bool,
    /// The file.
    home: &'a FileScope<'a>,
}

/// The state of checking one rule.
pub(super) struct Checker<'a> {
    pub(super) scope: &'a FileScope<'a>,
    pub(super) source: &'a SourceFile,
    /// All files and what they define, where imports are followed.
    world: (&'a [FileScope<'a>], &'a [SourceFile]),
    pub(super) locals: Vec<&'a ast::Let>,
    pub(super) used_locals: BTreeSet<usize>,
    /// `let`s being filled in, innermost last: `true` for those of the file.
    pub(super) active: Vec<Found<'a>>,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) protos: Vec<Proto>,
    pub(super) terms: Vec<Term>,
    /// In what peers differ.
    pub(super) across: Vec<(Key, Span)>,
    pub(super) segments: Vec<SegmentProto>,
    /// Whether the condition of a segment is being checked.
    pub(super) in_segment: bool,
    pub(super) defaults: Vec<String>,
    /// Bare statistics, and what each is read as.
    pub(super) inherited: Vec<(Span, String)>,
    nodes: u32,
}

impl<'a> Checker<'a> {
    pub(super) fn new(scope: &'a FileScope<'a>, source: &'a SourceFile) -> Self {
        Self {
            scope,
            source,
            world: (&[], &[]),
            locals: Vec::new(),
            used_locals: BTreeSet::new(),
            active: Vec::new(),
            diagnostics: Vec::new(),
            protos: Vec::new(),
            terms: Vec::new(),
            across: Vec::new(),
            segments: Vec::new(),
            in_segment: false,
            defaults: Vec::new(),
            inherited: Vec::new(),
            nodes: 0,
        }
    }

    /// Of a file among others, whose names it may import.
    pub(super) fn among(scope: &'a FileScope<'a>, scopes: &'a [FileScope<'a>], files: &'a [SourceFile]) -> Self {
        Self {
            world: (scopes, files),
            ..Self::new(scope, &files[scope.file.0 as usize])
        }
    }

    /// The file that defines something: this one, else one that is imported under that name.
    pub(super) fn home(
        &self,
        alias: Option<&str>,
        defines: impl Fn(&FileScope<'a>) -> bool,
    ) -> Option<&'a FileScope<'a>> {
        if alias.is_none() && defines(self.scope) {
            return Some(self.scope);
        }
        let imports = self.scope.imports.iter().filter(|(a, _)| a.as_deref() == alias);
        let mut files = imports.filter_map(|(_, i)| self.world.0.get(*i));
        files.find(|s| defines(s))
    }

    /// `let`s and parameters of the files imported under a name; under none where it is empty.
    pub(super) fn imported_names(&self, alias: &str) -> Vec<&'a str> {
        let wanted = Some(alias).filter(|a| !a.is_empty());
        let imports = self.scope.imports.iter().filter(|(a, _)| a.as_deref() == wanted);
        let files = imports.filter_map(|(_, i)| self.world.0.get(*i));
        files
            .flat_map(|s| s.lets.keys().chain(s.params.keys()).copied())
            .collect()
    }

    /// Runs `inner` in another file; what it leaves behind stands where it was asked for.
    pub(super) fn at_home<T>(
        &mut self,
        home: &'a FileScope<'a>,
        at: Span,
        inner: impl FnOnce(&mut Self) -> R<T>,
    ) -> R<T> {
        if std::ptr::eq(home, self.scope) {
            return inner(self);
        }
        let Some(source) = self.world.1.get(home.file.0 as usize) else {
            return Err(Reported);
        };
        let own = (self.scope, self.source);
        let (protos, terms) = (self.protos.len(), self.terms.len());
        (self.scope, self.source) = (home, source);
        let out = inner(self);
        (self.scope, self.source) = own;
        let places = self.protos.iter_mut().skip(protos).map(|p| &mut p.term);
        for t in places.chain(self.terms.iter_mut().skip(terms)) {
            t.span = at;
        }
        out
    }

    /// A diagnostic of this file.
    pub(super) fn diag(&self, code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(code, self.scope.file, span, message)
    }

    /// Reports and gives up on the part at hand.
    pub(super) fn fail<T>(&mut self, d: Diagnostic) -> R<T> {
        self.diagnostics.push(d);
        Err(Reported)
    }

    /// Counts work, so that `let`s of `let`s cannot grow without bound.
    pub(super) fn spend(&mut self, span: Span) -> R<()> {
        self.nodes += 1;
        let over_nodes = self.nodes > limits::RULE_NODES;
        if over_nodes || self.protos.len() > limits::RULE_METRICS {
            let what = if over_nodes {
                format!("{} expressions", limits::RULE_NODES)
            } else {
                format!("{} statistics", limits::RULE_METRICS)
            };
            let already = self.diagnostics.iter().any(|d| d.code == Code::TooLarge);
            if !already {
                let d = self
                    .diag(Code::TooLarge, span, format!("this rule has more than {what}"))
                    .help("split it into several rules");
                self.diagnostics.push(d);
            }
            return Err(Reported);
        }
        Ok(())
    }

    /// The text of a span, white space folded.
    pub(super) fn text(&self, span: Span) -> String {
        fold(self.source.text.get(span.range()).unwrap_or(""))
    }

    pub(super) fn note(&mut self, text: String) {
        if !self.defaults.contains(&text) {
            self.defaults.push(text);
        }
    }

    /// The `let` that a name stands for here. Inside a `let` of the file, those of the rule are not
    /// visible.
    pub(super) fn find_let(&mut self, name: &str) -> Option<Found<'a>> {
        let in_file_let = self.active.last().is_some_and(|f| f.of_file);
        if !in_file_let && let Some(i) = self.locals.iter().rposition(|l| l.name.text == name) {
            self.used_locals.insert(i);
            return Some(Found {
                def: self.locals[i],
                of_file: false,
                home: self.scope,
            });
        }
        self.let_of(None, name)
    }

    /// A `let` of this file or of an imported one.
    pub(super) fn let_of(&self, alias: Option<&str>, name: &str) -> Option<Found<'a>> {
        let home = self.home(alias, |s| s.lets.contains_key(name))?;
        home.mark_used(name);
        Some(Found {
            def: home.lets.get(name)?,
            of_file: true,
            home,
        })
    }

    /// The value of a parameter of this file or of an imported one.
    pub(super) fn param_of(&self, alias: Option<&str>, name: &str) -> Option<R<Quantity>> {
        let home = self.home(alias, |s| s.params.contains_key(name))?;
        home.mark_used(name);
        home.params.get(name).map(|(v, _)| v.ok_or(Reported))
    }

    /// Runs `inner` on the expression of a `let`, unless it is being filled in already.
    pub(super) fn inside<T>(
        &mut self,
        found: Found<'a>,
        at: Span,
        inner: impl FnOnce(&mut Self, &'a ast::Expr) -> R<T>,
    ) -> R<T> {
        let l = found.def;
        if self.active.iter().any(|a| std::ptr::eq(a.def, l)) {
            let d = self
                .diag(Code::UnknownName, at, format!("`{}` is defined by itself", l.name.text))
                .also(l.name.span, "defined here");
            return self.fail(d);
        }
        if self.active.len() >= limits::LET_DEPTH {
            let d = self.diag(
                Code::TooDeep,
                at,
                format!("more than {} `let`s stand for each other here", limits::LET_DEPTH),
            );
            return self.fail(d);
        }
        self.active.push(found);
        let out = self.at_home(found.home, at, |c| inner(c, &l.expr));
        self.active.pop();
        out
    }

    /// A constant duration above zero, in nanoseconds.
    pub(super) fn duration(&mut self, e: &ast::Expr, what: &str) -> R<i64> {
        let Typed::Number(n) = self.typed(e, &mut Scope::default())? else {
            return self.not_a_number(e);
        };
        let Some(value) = n.as_const() else {
            let d = self.diag(
                Code::NotConstant,
                e.span,
                format!("{what} must be a constant, not a statistic"),
            );
            return self.fail(d);
        };
        if n.bare {
            let text = self.text(e.span);
            let d = self.bare_number(e, Dim::TIME).help(format!("{text}ms? {text}s?"));
            return self.fail(d);
        }
        if n.dim != Dim::TIME {
            return self.bare_or_mismatch(e, &n, Dim::TIME, e.span, what);
        }
        match i64::try_from(value.floor()) {
            Ok(ns) if ns >= 0 => Ok(ns),
            _ => {
                let d = self.diag(
                    Code::Arithmetic,
                    e.span,
                    format!("{what} is negative or longer than 292 years"),
                );
                self.fail(d)
            }
        }
    }
}

/// White space folded to single spaces.
pub(super) fn fold(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let code = if line.contains('"') || line.contains('/') {
            line
        } else {
            line.split('#').next().unwrap_or("")
        };
        for w in code.split_whitespace() {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(w);
        }
    }
    out
}
