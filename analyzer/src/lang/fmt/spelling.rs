//! Operations as the catalogue spells them.

use std::collections::{BTreeMap, BTreeSet};

use super::super::ast::{ClauseKind, Expr, ExprKind, File, FixtureKind, Item, Member, Name, SetRef};
use crate::trace::catalogue::{Field, Op, Source};

/// Names to write otherwise, by the first byte of their token.
pub(super) type Spelling = BTreeMap<u32, &'static str>;

/// Collects the operations of a file that are not spelled as in the catalogue.
pub(super) fn of(file: &File) -> Spelling {
    let mut walk = Walk::default();
    for item in &file.items {
        match item {
            Item::Let(l) => walk.hidden.insert(&l.name.text),
            Item::Param(p) => walk.hidden.insert(&p.name.text),
            Item::Rule(r) => {
                walk.hidden.extend(r.clauses.iter().filter_map(|c| match &c.kind {
                    ClauseKind::Let(l) => Some(l.name.text.as_str()),
                    _ => None,
                }));
                false
            }
            _ => false,
        };
    }
    for item in &file.items {
        for e in super::item::expressions(item) {
            walk.expr(e, None);
        }
        if let Item::Test(t) = item {
            for f in &t.fixtures {
                if let FixtureKind::At(_, event) | FixtureKind::Every(_, _, event) = &f.kind
                    && let [source, op] = event.path.as_slice()
                    && let Some(source) = Source::by_name(&source.text)
                {
                    walk.name(source, op);
                }
            }
        }
    }
    walk.out
}

#[derive(Default)]
struct Walk<'a> {
    out: Spelling,
    /// Names that the file defines: what stands behind them is theirs.
    hidden: BTreeSet<&'a str>,
}

impl<'a> Walk<'a> {
    fn name(&mut self, source: Source, name: &Name) {
        // A family or statistic of that name wins, and those have one spelling.
        if !Op::family(source, &name.text).is_empty() {
            return;
        }
        if let Some(op) = Op::by_name(source, &name.text)
            && op.def().name != name.text
        {
            self.out.insert(name.span.start, op.def().name);
        }
    }

    /// The source that an expression selects from.
    fn source(&self, e: &Expr) -> Option<Source> {
        match &*e.kind {
            ExprKind::Name(n, false) if !self.hidden.contains(n.as_str()) => Source::by_name(n),
            ExprKind::Dot(a, _) | ExprKind::Filter(a, _) | ExprKind::Call(a, _) => self.source(a),
            _ => None,
        }
    }

    fn expr(&mut self, e: &'a Expr, inside: Option<Source>) {
        match &*e.kind {
            ExprKind::Dot(a, Member::Name(m)) if matches!(&*a.kind, ExprKind::Name(..)) => {
                if let Some(source) = self.source(a) {
                    self.name(source, m);
                }
            }
            ExprKind::Filter(a, items) => {
                let source = self.source(a);
                self.expr(a, inside);
                for item in items {
                    self.expr(item, source);
                }
                return;
            }
            ExprKind::Compare(_, _, a, b) => {
                if let (Some(source), true) = (inside, is_op(a)) {
                    self.value(source, b);
                }
            }
            ExprKind::In(_, a, SetRef::Literal(list)) => {
                if let (Some(source), true) = (inside, is_op(a)) {
                    for v in list {
                        self.value(source, v);
                    }
                }
            }
            _ => {}
        }
        for part in e.kind.parts() {
            self.expr(part, inside);
        }
    }

    fn value(&mut self, source: Source, v: &Expr) {
        if let ExprKind::Name(n, _) = &*v.kind {
            let name = Name {
                text: n.clone(),
                span: v.span,
            };
            self.name(source, &name);
        }
    }
}

fn is_op(e: &Expr) -> bool {
    matches!(&*e.kind, ExprKind::Name(n, _) if Field::by_name(n) == Some(Field::Op))
}
