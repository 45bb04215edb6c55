//! Parameters: their types, ranges, and values from the command line.

use std::collections::BTreeMap;

use super::super::ast;
use super::super::diagnostic::{Code, Diagnostic};
use super::super::parser::parse_value;
use super::super::token::lex;
use super::expr::Typed;
use super::scope::{Checker, FileScope, Number, Scope};
use super::{R, Reported};
use crate::source::{SourceFile, SourceId};
use crate::unit::{Dim, Num, Style, show};

/// Smallest and largest value.
type Range = (Num, Num);

/// Types of parameters.
const TYPES: &[(&str, Dim)] = &[
    ("Duration", Dim::TIME),
    ("Bytes", Dim::BYTES),
    ("Count", Dim::NONE),
    ("Ratio", Dim::NONE),
    ("Rate", Dim::RATE),
    ("Throughput", Dim::THROUGHPUT),
];

/// The value of a parameter: the command line's, else its default.
pub(super) fn value(
    p: &ast::Param,
    scope: &FileScope<'_>,
    files: &[SourceFile],
    overrides: &BTreeMap<&str, SourceId>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<(Num, Dim)> {
    let mut c = Checker::new(scope, &files[scope.file.0 as usize]);
    let found = c.param(p);
    diagnostics.append(&mut c.diagnostics);
    let (default, dim, range) = found.ok()?;
    let Some(id) = overrides.get(p.name.text.as_str()) else {
        return Some((default, dim));
    };
    match given(p, *id, &files[id.0 as usize], dim, range) {
        Ok(n) => Some((n, dim)),
        Err(d) => {
            diagnostics.push(d);
            None
        }
    }
}

/// A value from the command line.
fn given(p: &ast::Param, id: SourceId, source: &SourceFile, dim: Dim, range: Option<Range>) -> Result<Num, Diagnostic> {
    let lexed = lex(id, &source.text);
    if let Some(d) = lexed.diagnostics.into_iter().next() {
        return Err(d);
    }
    let (e, format) = parse_value(id, source, &lexed.tokens)?;
    let empty = FileScope::empty(id);
    let mut c = Checker::new(&empty, source);
    let n = match c.constant(&e) {
        Ok(n) if format.is_none() => n,
        _ => {
            return Err(c
                .diagnostics
                .into_iter()
                .next()
                .unwrap_or_else(|| Diagnostic::new(Code::BadParam, id, e.span, "this is not a value")));
        }
    };
    let Some(v) = n.as_const().filter(|_| n.dim == dim) else {
        let wanted = &p.ty.text;
        let d = Diagnostic::new(
            Code::BadParam,
            id,
            e.span,
            format!("`{}` is a {wanted}, and this is {}", p.name.text, n.dim),
        );
        let d = if n.bare { d.help(offers(&source.text, dim)) } else { d };
        return Err(d);
    };
    in_range(v, dim, range, id, e.span, p)?;
    whole(v, id, e.span, p)?;
    Ok(v)
}

fn offers(n: &str, dim: Dim) -> String {
    match dim {
        Dim::TIME => format!("{n}ms? {n}s?"),
        Dim::BYTES => format!("{n}MiB? {n}GiB?"),
        Dim::RATE => format!("{n}/s?"),
        _ => "give it a unit".to_owned(),
    }
}

fn in_range(
    v: Num,
    dim: Dim,
    range: Option<Range>,
    file: SourceId,
    span: crate::source::Span,
    p: &ast::Param,
) -> Result<(), Diagnostic> {
    match range {
        Some((low, high)) if v < low || v > high => Err(Diagnostic::new(
            Code::BadParam,
            file,
            span,
            format!(
                "`{}` goes from {} to {}",
                p.name.text,
                show(low, dim, Style::Auto),
                show(high, dim, Style::Auto)
            ),
        )
        .label(format!("this is {}", show(v, dim, Style::Auto)))),
        _ => Ok(()),
    }
}

/// A count is a whole number, not below zero.
fn whole(v: Num, file: SourceId, span: crate::source::Span, p: &ast::Param) -> Result<(), Diagnostic> {
    if p.ty.text == "Count" && (v.denom() != 1 || v < Num::ZERO) {
        return Err(Diagnostic::new(
            Code::BadParam,
            file,
            span,
            format!("`{}` is a Count: a whole number, not below zero", p.name.text),
        )
        .help("a share or factor is a Ratio"));
    }
    Ok(())
}

impl Checker<'_> {
    /// A constant number.
    pub(super) fn constant(&mut self, e: &ast::Expr) -> R<Number> {
        match self.typed(e, &mut Scope::default())? {
            Typed::Number(n) if n.as_const().is_some() => Ok(n),
            Typed::Number(_) => {
                let d = self
                    .diag(Code::NotConstant, e.span, "this depends on a trace")
                    .help("a parameter holds a fixed value; `let` names a statistic");
                self.fail(d)
            }
            _ => self.not_a_number(e),
        }
    }

    fn param(&mut self, p: &ast::Param) -> R<(Num, Dim, Option<Range>)> {
        let Some((_, dim)) = TYPES.iter().find(|(n, _)| *n == p.ty.text) else {
            let known: Vec<&str> = TYPES.iter().map(|(n, _)| *n).collect();
            let d = self
                .diag(Code::UnknownType, p.ty.span, format!("unknown type `{}`", p.ty.text))
                .suggest(p.ty.span, &p.ty.text, &known, "types are");
            return self.fail(d);
        };
        let dim = *dim;
        let range = match &p.range {
            None => None,
            Some((low, high)) => Some((self.of_dim(low, dim)?, self.of_dim(high, dim)?)),
        };
        let v = self.of_dim(&p.value, dim)?;
        let checked = in_range(v, dim, range, self.scope.file, p.value.span, p)
            .and_then(|()| whole(v, self.scope.file, p.value.span, p));
        match checked {
            Ok(()) => Ok((v, dim, range)),
            Err(d) => {
                self.diagnostics.push(d);
                Err(Reported)
            }
        }
    }

    fn of_dim(&mut self, e: &ast::Expr, dim: Dim) -> R<Num> {
        let n = self.constant(e)?;
        match n.as_const() {
            Some(v) if n.dim == dim => Ok(v),
            _ => self.bare_or_mismatch(e, &n, dim, e.span, "the parameter"),
        }
    }
}
