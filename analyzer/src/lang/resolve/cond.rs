//! Conditions.

use super::super::ast::{CompareOp, Expr, ExprKind};
use super::super::diagnostic::Code;
use super::super::hir::{CmpOp, Cond, Filter, MetricKind, Side, Stat, Value};
use super::R;
use super::expr::Typed;
use super::filter::plain_op;
use super::scope::{Checker, Number, Scope};
use super::select::Selection;
use crate::source::Span;
use crate::trace::catalogue::{Field, SystemField};
use crate::unit::Dim;

impl Checker<'_> {
    /// A condition, with all of its errors.
    pub(super) fn cond(&mut self, e: &Expr) -> R<Cond> {
        self.spend(e.span)?;
        match &*e.kind {
            ExprKind::And(list) => self.all(list).map(|l| flat(l, true)),
            ExprKind::Or(list) => self.all(list).map(|l| flat(l, false)),
            ExprKind::Not(a) => Ok(Cond::Not(Box::new(self.cond(a)?))),
            ExprKind::Unless(a, b) => {
                let (a, b) = (self.cond(a), self.cond(b));
                Ok(Cond::Unless(Box::new(a?), Box::new(b?)))
            }
            ExprKind::Within(a, d, side) => self.within(a, d, *side, e.span),
            ExprKind::Then(list, hops) => self.then(list, hops, e.span),
            ExprKind::During(a, b) => {
                let (inner, outer) = (self.element(a, "during"), self.element(b, "during"));
                Ok(Cond::During {
                    inner: Box::new(inner?),
                    outer: Box::new(outer?),
                    span: e.span,
                })
            }
            ExprKind::Lasting(a, d) => {
                let at_least_ns = self.duration(d, "the length after `lasting`");
                Ok(Cond::Lasting {
                    cond: Box::new(self.element(a, "lasting")?),
                    at_least_ns: at_least_ns?,
                    span: e.span,
                })
            }
            ExprKind::Without(..) => {
                let text = self.text(e.span);
                let d = self
                    .diag(Code::NoDistance, e.span, "`without` needs to know how far to look")
                    .help(format!(
                        "write `{text} within 5s`, with `before` or `after` behind it to look on one side; where it may be nowhere at all, use `unless`"
                    ));
                self.fail(d)
            }
            ExprKind::Compare(op, at, a, b) => self.compare(*op, *at, a, b, e.span),
            ExprKind::In(..) => {
                let d = self
                    .diag(Code::NotACondition, e.span, "`in` compares a field of an event")
                    .help("put it into a filter: `cuda[op in {\"cudaMalloc\", \"cudaFree\"}].count > 0`");
                self.fail(d)
            }
            _ => match self.typed(e, &mut Scope::default())? {
                Typed::Cond(c) => Ok(c),
                Typed::Selection(s) => self.exists(s, e.span),
                other => {
                    let d = self
                        .diag(Code::NotACondition, e.span, "a condition is needed here")
                        .label(format!("this is {}", other.what()));
                    let d = match &other {
                        Typed::Number(n) => d.help(format!("compare it: `{} > {}`", self.text(e.span), example(n.dim))),
                        Typed::SystemField(f) => {
                            d.help(format!("compare it: `{} > {}`", self.text(e.span), example(f.def().1)))
                        }
                        _ => d,
                    };
                    self.fail(d)
                }
            },
        }
    }

    /// All of a list, so that every error in it is reported.
    fn all(&mut self, list: &[Expr]) -> R<Vec<Cond>> {
        let found: Vec<R<Cond>> = list.iter().map(|e| self.cond(e)).collect();
        found.into_iter().collect()
    }

    fn within(&mut self, a: &Expr, d: &Expr, side: Side, span: Span) -> R<Cond> {
        let within_ns = self.duration(d, "the distance of `within`");
        if let ExprKind::Without(a, b) = &*a.kind {
            let cond = match &*a.kind {
                // Of several terms, the group: near each other, with none of the others near it.
                ExprKind::And(list) => {
                    let terms = self.all(list).map(|l| flat(l, true));
                    terms.and_then(|t| self.group(t, within_ns.unwrap_or(0), Side::Around, a.span))
                }
                _ => self.element(a, "without"),
            };
            let absent = self.element(b, "without");
            return Ok(Cond::Without {
                cond: Box::new(cond?),
                absent: Box::new(absent?),
                within_ns: within_ns?,
                side,
                span,
            });
        }
        let inner = self.cond(a)?;
        let group = self.group(inner, within_ns?, side, span)?;
        if let (Cond::Within { terms, .. }, ExprKind::And(list)) = (&group, &*a.kind)
            && side != Side::Around
        {
            for (c, e) in terms.iter().zip(list) {
                self.needs_place(c, e, side.text())?;
            }
        }
        Ok(group)
    }

    /// `A then B within D then C`
    fn then(&mut self, list: &[Expr], hops: &[Option<Expr>], span: Span) -> R<Cond> {
        let hops: Vec<R<Option<i64>>> = hops
            .iter()
            .map(|d| match d {
                Some(d) => self.duration(d, "the distance behind `then`").map(Some),
                None => Ok(None),
            })
            .collect();
        let terms: Vec<R<Cond>> = list.iter().map(|e| self.element(e, "then")).collect();
        Ok(Cond::Then {
            terms: terms.into_iter().collect::<R<_>>()?,
            hops: hops.into_iter().collect::<R<_>>()?,
            span,
        })
    }

    /// What stands beside a word of order: one thing that has a place in time.
    pub(super) fn element(&mut self, e: &Expr, word: &str) -> R<Cond> {
        let c = self.cond(e)?;
        self.needs_place(&c, e, word)?;
        Ok(c)
    }

    fn needs_place(&mut self, c: &Cond, e: &Expr, word: &str) -> R<()> {
        if matches!(c, Cond::And(_)) {
            let text = self.text(e.span);
            let d = self
                .diag(
                    Code::NoPlace,
                    e.span,
                    format!("beside `{word}` several terms need to be near each other"),
                )
                .label("how near?")
                .help(format!("write `({text} within 1s)`"));
            return self.fail(d);
        }
        if self.has_place(c) {
            return Ok(());
        }
        let d = self
            .diag(
                Code::NoPlace,
                e.span,
                format!("what stands beside `{word}` needs a place in time"),
            )
            .label("this holds for a whole stretch of the trace, or does not")
            .help(
                "events, stints, percentiles and windows have a place: `io.read > 50ms`, `cuda.sync.p99 > 5ms`, \
                 `cuda.malloc.rate over 1s > 200/s`; join the rest with `and`, outside the brackets",
            );
        self.fail(d)
    }

    /// Whether what holds can be pointed at.
    fn has_place(&self, c: &Cond) -> bool {
        match c {
            Cond::Compare { left, right, .. } => {
                let id = left.first_metric().or_else(|| right.first_metric());
                id.and_then(|id| self.protos.get(id.0 as usize))
                    .is_some_and(|p| match &p.kind {
                        MetricKind::Stat { over: Some(_), .. }
                        | MetricKind::Covered { .. }
                        | MetricKind::Lift { .. } => true,
                        MetricKind::Stat { stat, .. } => stat.is_distribution(),
                        _ => false,
                    })
            }
            Cond::Not(_) => false,
            Cond::Unless(a, _) => self.has_place(a),
            Cond::And(l) | Cond::Or(l) => l.iter().all(|c| self.has_place(c)),
            _ => true,
        }
    }

    fn group(&mut self, inner: Cond, within_ns: i64, side: Side, span: Span) -> R<Cond> {
        let terms = match inner {
            Cond::And(list) => list,
            other => {
                let near = "write `A and B within 100ms`; `or` binds looser than `within`";
                let (what, help) = match other {
                    Cond::Or(_) => ("`within` needs terms joined by `and`", near),
                    Cond::Then { .. } => (
                        "in a chain each `within` bounds one step",
                        "put it behind each later element: `A then B within 2s then C within 1s`",
                    ),
                    _ => (
                        "`within` around one predicate says nothing: it asks how near terms are to each other",
                        near,
                    ),
                };
                let d = self.diag(Code::LonelyWithin, span, what).label("one term").help(help);
                return self.fail(d);
            }
        };
        let absent = terms.iter().any(|t| matches!(t, Cond::Not(_) | Cond::Unless(..)));
        if absent {
            let d = self
                .diag(
                    Code::NotInWithin,
                    span,
                    "what is absent has no place, so it cannot be within a distance",
                )
                .help("take it out: `(A and B within 100ms) and not C`");
            return self.fail(d);
        }
        Ok(Cond::Within {
            terms,
            within_ns,
            side,
            span,
        })
    }

    /// A selection that stands alone: some such event exists.
    fn exists(&mut self, s: Selection, span: Span) -> R<Cond> {
        let s = self.settled(s)?;
        if s.segment.is_some() {
            let d = self
                .diag(
                    Code::SegmentNotHere,
                    span,
                    "events that stand alone are looked for in the whole trace",
                )
                .help(format!("count them: `{}.count@… > 0`", s.text));
            return self.fail(d);
        }
        let text = s.text.clone();
        self.terms.push(s.term(false, text, span));
        Ok(Cond::Exists { sel: s.sel, span })
    }

    fn compare(&mut self, op: CompareOp, at: Span, a: &Expr, b: &Expr, span: Span) -> R<Cond> {
        let Some(mut op) = plain_op(op) else {
            let d = self
                .diag(Code::BadOperator, at, "patterns are matched in filters")
                .help("as in `cuda.launch[process =~ /vllm/]`");
            return self.fail(d);
        };
        let mut sc = Scope::default();
        let left = self.typed(a, &mut sc);
        if let Ok(l) = &left {
            Self::candidate(&mut sc, l);
        }
        let before = self.diagnostics.len();
        let right = self.typed(b, &mut sc);
        if left.is_err() {
            // A bare statistic has no neighbour where that one is wrong itself.
            let mut i = 0;
            self.diagnostics.retain(|d| {
                i += 1;
                i <= before || d.code != Code::NoNeighbour
            });
        }
        let (mut left, mut right) = (left?, right?);
        let (mut a, mut b) = (a, b);
        let is_open = |t: &Typed| matches!(t, Typed::Selection(_) | Typed::SystemField(_));
        if is_open(&right) && !is_open(&left) {
            (left, right) = (right, left);
            (a, b) = (b, a);
            op = op.turned();
        }
        match (left, right) {
            (Typed::Selection(s), Typed::Number(n)) => self.compare_events(s, op, &n, (a, b), span),
            (Typed::SystemField(f), Typed::Number(n)) => {
                let l = self.open_field(f, op, a, &mut sc)?;
                self.numbers(op, &l, &n, (a, b), span)
            }
            (Typed::Number(l), Typed::Number(r)) => self.numbers(op, &l, &r, (a, b), span),
            (l, r) => {
                let (lw, rw) = (l.what(), r.what());
                let mut d = self
                    .diag(Code::Mismatch, b.span, "these two cannot be compared")
                    .label(format!("this is {rw}"))
                    .also(a.span, format!("this is {lw}"));
                d = match (&l, &r) {
                    (Typed::Selection(_), Typed::Text | Typed::Pattern) => {
                        d.help("names are compared in filters: `cuda.launch[process = \"vllm\"]`")
                    }
                    (Typed::Selection(s), Typed::Selection(t)) => d.help(format!(
                        "compare statistics: `{0}.sum > {1}.sum`; or how much of one lies in the other: `covered({0}, {1}) > 50%`",
                        s.text, t.text
                    )),
                    _ => d,
                };
                self.fail(d)
            }
        }
    }

    /// A column of the snapshots: how it is compared says which statistic is meant.
    fn open_field(&mut self, f: SystemField, op: CmpOp, e: &Expr, sc: &mut Scope) -> R<Number> {
        let (stat, word) = match op {
            CmpOp::Lt | CmpOp::Le => (Stat::Min, "min"),
            CmpOp::Gt | CmpOp::Ge => (Stat::Max, "max"),
            CmpOp::Eq | CmpOp::Ne => {
                let text = self.text(e.span);
                let d = self
                    .diag(
                        Code::StatNotHere,
                        e.span,
                        format!("`{}` does not say which snapshot is meant", op.text()),
                    )
                    .help(format!("write `{text}.min`, `{text}.max` or `{text}.last`"));
                return self.fail(d);
            }
        };
        let name = f.def().0;
        self.note(format!(
            "`system.{name}` is its {word} over the snapshots, because it is compared with `{}`",
            op.text()
        ));
        self.system_stat(f, stat, e.span, sc)
    }

    /// Events or stints against a bound.
    fn compare_events(&mut self, s: Selection, op: CmpOp, n: &Number, (a, b): (&Expr, &Expr), span: Span) -> R<Cond> {
        let mut s = self.settled(s)?;
        if n.dim != Dim::TIME {
            if n.bare {
                let d = self.bare_number(b, Dim::TIME);
                let offers = d.help.clone().unwrap_or_default();
                let d = d.also(a.span, format!("the events of `{}`", s.text)).help(format!(
                    "{offers} or how many: `{}.count {} {}`",
                    s.text,
                    op.text(),
                    self.text(b.span)
                ));
                return self.fail(d);
            }
            let d = self
                .diag(
                    Code::Mismatch,
                    b.span,
                    format!("events compare with a duration, and this is {}", n.dim),
                )
                .label(format!("this is {}", n.dim))
                .also(a.span, format!("the events of `{}`", s.text));
            let bound = self.text(b.span);
            let d = match n.dim {
                Dim::BYTES => d.help(format!(
                    "sizes go into a filter: `{0}[bytes {1} {bound}]`; or their sum: `{0}.bytes {1} {bound}`",
                    s.text,
                    op.text()
                )),
                Dim::RATE => d.help(format!("ask for the rate: `{}.rate {} {bound}`", s.text, op.text())),
                Dim::THROUGHPUT => d.help(format!("ask for `{}.throughput {} {bound}`", s.text, op.text())),
                _ => d.help(format!(
                    "ask for a share of time or of events: `{0}.busy {1} {bound}`, `share({0}[…]) {1} {bound}`",
                    s.text,
                    op.text()
                )),
            };
            return self.fail(d);
        }
        if s.segment.is_some() || !n.windows.is_empty() {
            let d = self
                .diag(
                    Code::SegmentNotHere,
                    span,
                    "events that are compared with a duration are looked for in the whole trace",
                )
                .help(format!("use a statistic: `{}.max {} …`", s.text, op.text()));
            return self.fail(d);
        }
        let lower = matches!(op, CmpOp::Gt | CmpOp::Ge);
        if (s.is_state() || s.is_derived()) && !lower {
            let bound = self.text(b.span);
            let d = self
                .diag(
                    Code::StateCompare,
                    span,
                    format!("`{}` holds for almost any stretch of time", self.text(span)),
                )
                .label(format!("`{}` compares with `>` or `>=`", s.text))
                .help(format!(
                    "say which: the longest `{0}.max {1} {bound}`, or all together `{0}.sum {1} {bound}`",
                    s.text,
                    op.text()
                ));
            return self.fail(d);
        }
        let text = s.text.clone();
        self.terms.push(s.term(false, text, span));
        if s.is_state() {
            self.note(format!(
                "`{}` alone asks for one stint that long; in a `within` group, for the sum of one thread's stints nearby",
                self.text(span)
            ));
            return Ok(Cond::State {
                sel: s.sel,
                op,
                bound: n.value.clone(),
                span,
            });
        }
        s.sel
            .filters
            .push(Filter::Cmp(Value::Field(Field::Duration), op, n.value.clone()));
        Ok(Cond::Exists { sel: s.sel, span })
    }

    /// Two numbers.
    fn numbers(&mut self, op: CmpOp, l: &Number, r: &Number, (a, b): (&Expr, &Expr), span: Span) -> R<Cond> {
        if l.dim != r.dim {
            if r.bare {
                return self.bare_or_mismatch(b, r, l.dim, a.span, "the left side");
            }
            if l.bare {
                return self.bare_or_mismatch(a, l, r.dim, b.span, "the right side");
            }
            let mut d = self
                .diag(
                    Code::Mismatch,
                    b.span,
                    format!("cannot compare {} with {}", l.dim, r.dim),
                )
                .label(format!("this is {}", r.dim))
                .also(a.span, format!("this is {}", l.dim));
            if l.dim == Dim::TIME && r.dim == Dim::NONE {
                d = d.help("compare two durations, or divide by one first: `a / b > 2`");
            }
            return self.fail(d);
        }
        if l.as_const().is_some() && r.as_const().is_some() {
            let d = self
                .diag(Code::Constant, span, "this is the same for every trace")
                .label("no statistic of the trace on either side")
                .help("compare a statistic, as in `cuda.launch.p99 > 5ms`");
            return self.fail(d);
        }
        match (l.windows.as_slice(), r.windows.as_slice()) {
            ([] | [_], []) | ([], [_]) => {}
            ([_, _, ..], _) | (_, [_, _, ..]) => {
                let d = self
                    .diag(Code::Windows, span, "windows of different lengths in one comparison")
                    .help("give all statistics of a side the same `over`");
                return self.fail(d);
            }
            _ => {
                let text = self.text(b.span);
                let d = self
                    .diag(Code::Windows, span, "both sides look at windows")
                    .also(a.span, "windows here")
                    .also(b.span, "and here")
                    .help(format!(
                        "compare windows with a fixed value, or with the whole trace: `{text}@trace`"
                    ));
                return self.fail(d);
            }
        }
        Ok(Cond::Compare {
            op,
            left: l.value.clone(),
            right: r.value.clone(),
            dim: l.dim,
            span,
        })
    }
}

/// Joins conditions; those of the same kind become one list.
fn flat(list: Vec<Cond>, and: bool) -> Cond {
    let mut out = Vec::new();
    for c in list {
        match c {
            Cond::And(l) if and => out.extend(l),
            Cond::Or(l) if !and => out.extend(l),
            c => out.push(c),
        }
    }
    if and { Cond::And(out) } else { Cond::Or(out) }
}

/// A value of a dimension, for help.
fn example(dim: Dim) -> &'static str {
    match dim {
        Dim::TIME => "5ms",
        Dim::BYTES => "1MiB",
        Dim::RATE => "100/s",
        Dim::THROUGHPUT => "1GiB/s",
        _ => "10",
    }
}
