//! Warnings about rules that are right but probably not meant: one kind a file.
//!
//! They look at checked rules and at the text, never at a trace. A comment silences them, see
//! [`silence`].

mod cause;
mod duplicate;
mod file;
mod mixed;
mod never;
mod silence;

use std::collections::BTreeMap;

use super::ast::{self, Item};
use super::diagnostic::{Code, Diagnostic};
use super::hir::{Program, Rule};
use super::limits;
use super::parser;
use super::token::{Lexed, lex};
use crate::source::{SourceFile, SourceId, Span};

/// What lints look at.
struct Context<'a> {
    /// The rules without errors.
    program: &'a Program,
    /// The files of the user, with their tokens and trees.
    texts: Vec<Text<'a>>,
    /// Days since 1970-01-01, where the caller wants to know what has expired.
    today: Option<i64>,
}

/// A file, read again: comments and places are not in the program.
struct Text<'a> {
    id: SourceId,
    source: &'a SourceFile,
    lexed: Lexed,
    tree: ast::File,
}

impl Context<'_> {
    /// A rule as it is written.
    fn written(&self, rule: &Rule) -> Option<&ast::Rule> {
        let text = self.texts.iter().find(|t| t.id == rule.file)?;
        text.tree.items.iter().find_map(|i| match i {
            Item::Rule(r) if r.span == rule.span => Some(&**r),
            _ => None,
        })
    }

    /// The place of a rule's name.
    fn name_span(&self, rule: &Rule) -> Span {
        self.written(rule).map_or(rule.span, |r| r.name.span)
    }
}

/// Adds the warnings about checked rules and takes out those that a comment silences.
///
/// `today` counts days since 1970-01-01; without it nothing is called expired.
pub(super) fn add(program: &Program, files: &[SourceFile], today: Option<i64>, diagnostics: &mut Vec<Diagnostic>) {
    let texts = (0u32..)
        .zip(files)
        .map(|(i, source)| {
            let id = SourceId(i);
            let lexed = lex(id, &source.text);
            let (tree, _) = parser::parse(id, source, &lexed);
            Text {
                id,
                source,
                lexed,
                tree,
            }
        })
        .collect();
    let context = Context { program, texts, today };
    let mut found = Vec::new();
    for lint in [never::lint, mixed::lint, cause::lint, duplicate::lint, file::lint] {
        lint(&context, &mut found);
    }
    // What is imported is checked where it is at home.
    found.retain(|d| (d.file.0 as usize) < files.len());
    diagnostics.extend(bounded(found));
    silence::apply(&context, diagnostics);
    diagnostics.sort_by_key(|d| (d.file, d.primary.span, d.code));
}

/// The first warnings of each file; the last of them says how many are left out.
fn bounded(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    found.sort_by_key(|d| (d.file, d.primary.span, d.code));
    found.dedup_by_key(|d| (d.file, d.primary.span, d.code, d.message.clone()));
    let mut all: BTreeMap<SourceId, usize> = BTreeMap::new();
    for d in &found {
        *all.entry(d.file).or_default() += 1;
    }
    let mut seen: BTreeMap<SourceId, usize> = BTreeMap::new();
    let mut out = Vec::new();
    for d in found {
        let n = seen.entry(d.file).or_default();
        *n += 1;
        let left = all
            .get(&d.file)
            .copied()
            .unwrap_or(0)
            .saturating_sub(limits::DIAGNOSTICS);
        match *n {
            n if n < limits::DIAGNOSTICS || (n == limits::DIAGNOSTICS && left == 0) => out.push(d),
            limits::DIAGNOSTICS => out.push(d.help(format!("{left} more warnings of this file are not shown"))),
            _ => {}
        }
    }
    out
}

/// A warning about a rule, at a place of its file.
fn warn(code: Code, rule: &Rule, span: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(code, rule.file, span, message)
}
