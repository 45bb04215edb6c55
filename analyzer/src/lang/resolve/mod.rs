//! Names, types and defaults: the tree of a file becomes checked rules.

mod change;
mod cond;
mod expr;
mod filter;
mod function;
mod keys;
mod params;
mod rule;
mod scope;
mod select;
mod template;
mod test_block;

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::Compiled;
use super::ast::{self, Item};
use super::diagnostic::{Code, Diagnostic};
use super::hir::{Metric, MetricId, MetricKind, Program, SegmentDef, SegmentId};
use super::import::{self, Identity};
use super::limits;
use super::parser;
use super::suggest::nearest;
use super::token::lex;
use crate::source::{SourceFile, SourceId, Span};
use crate::trace::catalogue::Key;
#[cfg(test)]
pub(super) use function::FUNCTIONS;
use scope::FileScope;
#[cfg(test)]
pub(super) use select::STATS;
pub(super) use select::{op_names, stat_text};

/// Marks that the reason was reported already.
#[derive(Clone, Copy, Debug)]
struct Reported;

type R<T> = Result<T, Reported>;

/// Metrics of all rules; equal ones once.
#[derive(Default)]
struct Metrics {
    list: Vec<Metric>,
    known: FxHashMap<(MetricKind, Vec<Key>, u64), MetricId>,
    segments: Vec<SegmentDef>,
}

impl Metrics {
    fn intern(&mut self, m: Metric) -> MetricId {
        let id = MetricId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        *self
            .known
            .entry((m.kind.clone(), m.key.clone(), m.min_count))
            .or_insert_with(|| {
                self.list.push(m);
                id
            })
    }
}

impl Metrics {
    fn segment(&mut self, def: SegmentDef) -> SegmentId {
        let at = self.segments.iter().position(|d| *d == def).unwrap_or_else(|| {
            self.segments.push(def);
            self.segments.len() - 1
        });
        SegmentId(u32::try_from(at).unwrap_or(u32::MAX))
    }
}

fn source_id(index: usize) -> SourceId {
    SourceId(u32::try_from(index).unwrap_or(u32::MAX))
}

/// Checks files of rules with parameter values from the command line.
pub(super) fn program(files: &[SourceFile], sets: &[(String, String)]) -> Compiled {
    let mut diagnostics = Vec::new();
    let n_given = source_id(files.len()).0;
    let mut all: Vec<SourceFile> = files.to_vec();
    let (trees, imports) = load(&mut all, &mut diagnostics);
    let places: Vec<(SourceId, &ast::File)> = trees.iter().enumerate().map(|(i, t)| (source_id(i), t)).collect();
    let reach = |id: SourceId| reachable(&imports, id);
    let changes = change::gather(&places, reach, &mut diagnostics);
    // Values from outside stand in small files of their own; the command line has the last word.
    let mut values: BTreeMap<String, SourceId> = BTreeMap::new();
    for (name, (file, span)) in &changes.params {
        let source = &all[file.0 as usize];
        let text = source.text.get(span.range()).unwrap_or("");
        let value = SourceFile::new(format!("override in {}", source.name), text);
        values.insert((*name).to_owned(), source_id(all.len()));
        all.push(value);
    }
    let mut given: BTreeMap<&str, SourceId> = BTreeMap::new();
    for (n, v) in sets {
        given.insert(n, source_id(all.len()));
        values.insert(n.clone(), source_id(all.len()));
        all.push(SourceFile::new(format!("--set {n}"), v.as_str()));
    }
    let overrides: BTreeMap<&str, SourceId> = values.iter().map(|(n, id)| (n.as_str(), *id)).collect();

    let mut scopes = Vec::new();
    for (i, tree) in trees.iter().enumerate() {
        let mut scope = FileScope::new(source_id(i), &all, tree, &overrides, &mut diagnostics);
        scope.imports.clone_from(&imports[i]);
        scopes.push(scope);
    }
    unknown_sets(&all, &given, &scopes, &mut diagnostics);

    let parsed = diagnostics.len();
    let mut metrics = Metrics::default();
    let mut out = Program::default();
    let mut known: BTreeMap<&str, (SourceId, Span)> = BTreeMap::new();
    let mut ids: BTreeMap<String, (SourceId, Span)> = BTreeMap::new();
    for (tree, scope) in trees.iter().zip(&scopes) {
        for item in &tree.items {
            let Item::Rule(r) = item else { continue };
            let place = (scope.file, r.name.span);
            if let Some(first) = known.get(r.name.text.as_str()).copied() {
                diagnostics.push(twice(&all, "rule", &r.name, scope.file, first));
                continue;
            }
            known.insert(&r.name.text, place);
            let before = diagnostics.len();
            let changed = changes.rules.get(r.name.text.as_str());
            let rule = rule::rule(r, scope, (&scopes, &all), changed, &mut diagnostics, &mut metrics);
            let broken = diagnostics[..parsed].iter().any(|d| {
                d.is_error()
                    && d.file == scope.file
                    && d.primary.span.start >= r.span.start
                    && d.primary.span.start < r.span.end
            });
            let Ok(rule) = rule else { continue };
            if let Some(first) = ids.get(&rule.id).copied() {
                let name = ast::Name {
                    text: rule.id.clone(),
                    span: r.name.span,
                };
                diagnostics.push(twice(&all, "rule id", &name, scope.file, first));
                continue;
            }
            ids.insert(rule.id.clone(), place);
            let disabled = changed.is_some_and(|c| c.disabled);
            if !broken && !disabled && !diagnostics[before..].iter().any(Diagnostic::is_error) {
                out.rules.push(rule);
            }
        }
    }
    let rule_names: Vec<&str> = known.keys().copied().collect();
    let params: BTreeSet<&str> = scopes.iter().flat_map(FileScope::param_names).collect();
    for (tree, scope) in trees.iter().zip(&scopes) {
        for item in &tree.items {
            match item {
                Item::Test(t) => {
                    let disabled = changes.rules.get(t.rule.text.as_str()).is_some_and(|c| c.disabled);
                    let world = (scopes.as_slice(), all.as_slice());
                    let test = test_block::test(t, scope, world, &rule_names, &params, &mut diagnostics);
                    if let (Ok(t), false) = (test, disabled) {
                        out.tests.push(t);
                    }
                }
                Item::Rule(r) => explained(r, scope.file, &rule_names, &mut diagnostics),
                _ => {}
            }
        }
        // What an imported file offers, others may use.
        if scope.file.0 < n_given {
            scope.unused(&mut diagnostics);
        }
    }
    out.metrics = metrics.list;
    out.segments = metrics.segments;
    out.files = all;
    let mut seen = BTreeSet::new();
    diagnostics.retain(|d| seen.insert((d.file, d.primary.span, d.code, d.message.clone())));
    diagnostics.sort_by_key(|d| (d.file, d.primary.span, d.code));
    Compiled {
        program: out,
        diagnostics: bounded(diagnostics),
    }
}

/// Of each file, what it imports: under which name, and its position.
type Imports = Vec<Vec<(Option<String>, usize)>>;

/// Reads the files and all that they import, each once.
fn load(all: &mut Vec<SourceFile>, diagnostics: &mut Vec<Diagnostic>) -> (Vec<ast::File>, Imports) {
    let mut known: BTreeMap<Identity, usize> = BTreeMap::new();
    for (i, f) in all.iter().enumerate() {
        known.entry(import::identity(&f.name)).or_insert(i);
    }
    let mut depth = vec![0; all.len()];
    let mut trees: Vec<ast::File> = Vec::new();
    let mut imports: Imports = Vec::new();
    while trees.len() < all.len() {
        let i = trees.len();
        let (id, source) = (source_id(i), all[i].clone());
        let tree = parsed(id, &source, diagnostics);
        let mut own = Vec::new();
        for item in &tree.items {
            let Item::Import(im) = item else { continue };
            let who = import::target(im, &source);
            let at = if let Some(at) = known.get(&who) {
                *at
            } else if depth[i] >= limits::IMPORTS_DEEP || all.len() >= limits::IMPORTED {
                let message = format!(
                    "imports go {} files deep and reach {} files at most",
                    limits::IMPORTS_DEEP,
                    limits::IMPORTED
                );
                diagnostics.push(Diagnostic::new(Code::Import, id, im.path.span, message));
                continue;
            } else {
                match import::read(&who, im, id) {
                    Ok(file) => {
                        all.push(file);
                        depth.push(depth[i] + 1);
                        known.insert(who, all.len() - 1);
                        all.len() - 1
                    }
                    Err(d) => {
                        diagnostics.push(d);
                        continue;
                    }
                }
            };
            let back = reachable_by(&imports, at);
            if at == i || back.contains(&i) {
                let message = if at == i {
                    "this file imports itself".to_owned()
                } else {
                    format!("`{}` imports this file as well", all[at].name)
                };
                diagnostics.push(
                    Diagnostic::new(Code::Import, id, im.path.span, message)
                        .label("this closes the circle")
                        .help("move what both need into a third file"),
                );
                continue;
            }
            own.push((im.name.as_ref().map(|n| n.text.clone()), at));
        }
        imports.push(own);
        trees.push(tree);
    }
    (trees, imports)
}

/// Files that a file imports, and those that these import.
fn reachable_by(imports: &Imports, from: usize) -> BTreeSet<usize> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(i) = open.pop() {
        for (_, to) in imports.get(i).into_iter().flatten() {
            if seen.insert(*to) {
                open.push(*to);
            }
        }
    }
    seen
}

fn reachable(imports: &Imports, from: SourceId) -> Vec<SourceId> {
    let found = reachable_by(imports, from.0 as usize);
    found.into_iter().map(source_id).collect()
}

/// One file as a tree.
fn parsed(id: SourceId, source: &SourceFile, diagnostics: &mut Vec<Diagnostic>) -> ast::File {
    let lexed = lex(id, &source.text);
    let (tree, found) = parser::parse(id, source, &lexed);
    // What a broken token upsets on its line or the next is no error of its own.
    let upset = |d: &Diagnostic| {
        lexed.diagnostics.iter().any(|l| {
            let between = source
                .text
                .get(l.primary.span.start as usize..d.primary.span.start as usize);
            matches!(l.code, Code::Unterminated | Code::BadChar)
                && between.is_some_and(|b| b.matches('\n').count() <= 1)
        })
    };
    diagnostics.extend(found.into_iter().filter(|d| !upset(d)));
    diagnostics.extend(lexed.diagnostics);
    tree
}

/// The first problems of each file; the rest are counted.
fn bounded(diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut out: Vec<Diagnostic> = Vec::new();
    let mut counts: BTreeMap<SourceId, usize> = BTreeMap::new();
    let mut rest: BTreeMap<SourceId, Vec<Diagnostic>> = BTreeMap::new();
    for d in diagnostics {
        let n = counts.entry(d.file).or_default();
        *n += 1;
        if *n <= limits::DIAGNOSTICS {
            out.push(d);
        } else {
            rest.entry(d.file).or_default().push(d);
        }
    }
    for (file, list) in rest {
        let Some(first) = list.first() else { continue };
        out.push(
            Diagnostic::new(
                Code::TooMany,
                file,
                first.primary.span,
                format!("{} more problems in this file are not shown", list.len()),
            )
            .label("the first of them"),
        );
    }
    out.sort_by_key(|d| (d.file, d.primary.span, d.code));
    out
}

/// A name that is defined a second time.
fn twice(files: &[SourceFile], what: &str, name: &ast::Name, file: SourceId, first: (SourceId, Span)) -> Diagnostic {
    let d = Diagnostic::new(
        Code::Duplicate,
        file,
        name.span,
        format!("the {what} `{}` is defined twice", name.text),
    )
    .label("the second one");
    if first.0 == file {
        return d.also(first.1, "the first one").help("give one of them another name");
    }
    let other = files.get(first.0.0 as usize);
    let line = other.map_or(0, |f| f.line_col(first.1.start).0);
    let path = other.map_or("", |f| f.name.as_str());
    d.help(format!(
        "the first one is in {path}, line {line}; give one of them another name"
    ))
}

/// Values from the command line for parameters that no file has.
fn unknown_sets(
    files: &[SourceFile],
    overrides: &BTreeMap<&str, SourceId>,
    scopes: &[FileScope<'_>],
    diagnostics: &mut Vec<Diagnostic>,
) {
    let known: Vec<&str> = scopes.iter().flat_map(FileScope::param_names).collect();
    for (name, id) in overrides {
        if known.contains(name) || scopes.iter().any(|s| s.broken.contains(*name)) {
            continue;
        }
        let len = files.get(id.0 as usize).map_or(0, |f| f.text.len());
        let d = Diagnostic::new(
            Code::UnknownParam,
            *id,
            Span::new(0, len),
            format!("no rule file has a parameter `{name}`"),
        );
        diagnostics.push(match nearest(name, &known) {
            Some(near) => d.help(format!("did you mean `--set {near}=…`?")),
            None if known.is_empty() => d.help("the loaded rules have no parameters"),
            None => d.help(format!("parameters are {}", known.join(", "))),
        });
    }
}

/// A rule that is explained should exist, at least under a near name.
fn explained(r: &ast::Rule, file: SourceId, known: &[&str], diagnostics: &mut Vec<Diagnostic>) {
    for c in &r.clauses {
        let ast::ClauseKind::Words(name, list) = &c.kind else {
            continue;
        };
        for w in list.iter().filter(|_| name.text == "explains") {
            if known.contains(&w.value.as_str()) {
                continue;
            }
            // A far name may be that of a rule in a file that is not loaded.
            let Some(near) = nearest(&w.value, known) else { continue };
            diagnostics.push(
                Diagnostic::new(
                    Code::ExplainsUnknown,
                    file,
                    w.span,
                    format!("no loaded rule is called `{}`", w.value),
                )
                .help(format!("did you mean `{near}`?"))
                .edit(w.span, near),
            );
        }
    }
}
