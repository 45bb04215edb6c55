//! Expressions: where their lines may end.

use pretty::DocAllocator as _;

use super::super::ast::{Expr, ExprKind};
use super::super::token::{Kind, Punct};
use super::item::{Doc, Layout, Sep};

/// Words that start a line where an expression is broken.
const BREAKING: &[&str] = &[
    "and", "or", "unless", "then", "without", "during", "within", "lasting", "over", "in", "not",
];

/// Lines inside brackets begin below the bracket, as long as it stands left of this column.
const DEEPEST: usize = 60;

/// Whether the first operand of an expression is no deeper than what follows: `within` and `lasting`
/// ask about all that stands before them, and a chain of operators reads from the left.
fn joins(e: &Expr, first: &Expr) -> bool {
    matches!(
        (&*e.kind, &*first.kind),
        (ExprKind::Within(..) | ExprKind::Lasting(..), _) | (ExprKind::Arith(..), ExprKind::Arith(..))
    )
}

impl<'a> Layout<'a> {
    /// An expression as a part of something larger: broken where it does not fit, what follows indented.
    pub(super) fn operand(&self, e: &Expr) -> Doc<'a> {
        let (lo, hi) = self.range(e.span);
        if hi - lo <= 1 {
            return self.root(e);
        }
        self.grouped(lo, hi, self.root(e).nest(2))
    }

    /// An expression whose lines end where those around it do.
    pub(super) fn root(&self, e: &Expr) -> Doc<'a> {
        let (mut lo, mut hi) = self.range(e.span);
        let operands = self.first_part(e).unwrap_or(hi);
        let mut opened = 0;
        while lo < operands && self.is(lo, Punct::LParen) {
            (lo, hi, opened) = (lo + 1, hi - 1, opened + 1);
        }
        let mut doc = self.parts(e, lo, hi);
        for _ in 0..opened {
            let inner = self.before(lo, Sep::None).append(self.below(self.grouped(lo, hi, doc)));
            doc = self
                .word(lo - 1)
                .append(inner)
                .append(self.before(hi, Sep::None))
                .append(self.word(hi));
            (lo, hi) = (lo - 1, hi + 1);
        }
        doc
    }

    fn first_part(&self, e: &Expr) -> Option<usize> {
        e.kind.parts().map(|p| self.range(p.span).0).min()
    }

    /// The tokens `lo..hi` of an expression with the expressions below it.
    fn parts(&self, e: &Expr, lo: usize, hi: usize) -> Doc<'a> {
        let mut below: Vec<&Expr> = e.kind.parts().collect();
        below.sort_by_key(|p| p.span.start);
        let mut below = below.into_iter().peekable();
        // What stands before the brackets and right sides that are open, and where those begin.
        let mut outer: Vec<(Doc<'a>, usize)> = Vec::new();
        let mut doc = self.arena.nil();
        let mut i = lo;
        while i < hi {
            let part = below.next_if(|p| self.range(p.span).0 == i);
            let close = part.is_none() && self.is_any(i, &[Punct::RParen, Punct::RBracket, Punct::RBrace]);
            if close && let Some((before, from)) = outer.pop() {
                doc = before.append(self.below(self.grouped(from, i, doc)));
            }
            let sep = if i > lo {
                self.between(e, i, part.is_some())
            } else {
                Sep::None
            };
            // The right side goes to the next line as a whole before it is broken itself.
            if sep == Sep::Line && part.is_none() && matches!(self.kind(i), Kind::Punct(_)) {
                outer.push((doc, i));
                doc = self.arena.nil();
            }
            // The group around an item of a list decides whether it begins a line.
            let gap = match sep {
                _ if i == lo => self.arena.nil(),
                Sep::Fill => self.before(i, Sep::Line),
                _ => self.before(i, sep),
            };
            if let Some(part) = part {
                let shown = if i == lo && joins(e, part) {
                    self.root(part)
                } else {
                    self.operand(part)
                };
                let end = self.range(part.span).1;
                doc = match sep {
                    Sep::Fill => doc.append(self.grouped(i - 1, end, gap.append(shown))),
                    _ => doc.append(gap).append(shown),
                };
                i = end;
                continue;
            }
            doc = doc.append(gap);
            doc = doc.append(self.word(i));
            if self.is_any(i, &[Punct::LParen, Punct::LBracket, Punct::LBrace]) {
                outer.push((doc, i + 1));
                doc = self.arena.nil();
            }
            i += 1;
        }
        while let Some((before, from)) = outer.pop() {
            doc = before.append(self.grouped(from, hi, doc));
        }
        doc
    }

    /// What stands before the token `i` of an expression, where it is not the first one; `part` where
    /// an expression below begins there.
    fn between(&self, e: &Expr, i: usize, part: bool) -> Sep {
        use Punct as P;
        if self.is_any(i - 1, &[P::Dot, P::At, P::LParen, P::LBracket, P::LBrace]) {
            return Sep::None;
        }
        if self.is(i - 1, P::Comma) {
            return Sep::Fill;
        }
        if part {
            let sign = matches!(&*e.kind, ExprKind::Neg(_));
            return if sign || self.is_factor(i - 1) {
                Sep::None
            } else {
                Sep::Space
            };
        }
        match self.kind(i) {
            Kind::Punct(P::Dot | P::At | P::Comma | P::LParen | P::RParen | P::LBracket | P::RBracket | P::RBrace) => {
                Sep::None
            }
            Kind::Punct(P::LBrace) => Sep::Space,
            Kind::Punct(_) if self.is_factor(i) => Sep::None,
            Kind::Punct(_) => Sep::Line,
            // It belongs to the step before it, not to the chain.
            Kind::Name(n) if &**n == "within" && matches!(&*e.kind, ExprKind::Then(..)) => Sep::Space,
            Kind::Name(n) if BREAKING.contains(&&**n) && !self.is_word(i - 1, "not") => Sep::Line,
            _ => Sep::Space,
        }
    }

    /// The `*` of `5*p50`, which reads as one thing.
    fn is_factor(&self, i: usize) -> bool {
        self.is(i, Punct::Star)
            && matches!(self.kind(i - 1), Kind::Number(_))
            && matches!(self.kind(i + 1), Kind::Stat(..))
    }

    /// Lines begin below the first one.
    fn below(&self, doc: Doc<'a>) -> Doc<'a> {
        let arena = self.arena;
        arena.column(move |column| {
            let doc = doc.clone();
            arena
                .nesting(move |nest| {
                    let by = isize::try_from(column.min(DEEPEST)).unwrap_or(0) - isize::try_from(nest).unwrap_or(0);
                    doc.clone().nest(by).into_doc()
                })
                .into_doc()
        })
    }
}
