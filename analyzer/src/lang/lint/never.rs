//! Conditions that are decided before any trace is looked at: by the range of a statistic, by the
//! order of two of them, by a second condition on the same one, or by a filter.

use std::collections::BTreeMap;

use super::super::diagnostic::{Code, Diagnostic};
use super::super::hir::{
    Arith, CmpOp, Cond, Filter, Metric, MetricId, MetricKind, Program, Rule, Selector, Stat, Trend, Value,
};
use super::super::walk;
use super::{Context, warn};
use crate::source::Span;
use crate::trace::catalogue::{Field, FieldType};
use crate::unit::{Dim, Num, Style, show};

pub(super) fn lint(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    for rule in &cx.program.rules {
        for cond in rule.conditions() {
            for part in walk::leaves(cond) {
                decided(cx.program, rule, part, out);
                filters(cx.program, rule, part, out);
            }
            contradictions(cx.program, rule, cond, out);
        }
    }
}

/// What is decided about a comparison or a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decided {
    Never,
    Always,
}

impl Decided {
    fn of(holds: bool) -> Self {
        if holds { Self::Always } else { Self::Never }
    }

    fn code(self) -> Code {
        match self {
            Self::Never => Code::NeverTrue,
            Self::Always => Code::AlwaysTrue,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Never => "this never holds",
            Self::Always => "this always holds",
        }
    }
}

/// Numbers between two ends; `None` is no end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Range {
    lo: Option<Num>,
    hi: Option<Num>,
}

impl Range {
    fn point(n: Num) -> Self {
        Self {
            lo: Some(n),
            hi: Some(n),
        }
    }

    fn of(lo: Option<i128>, hi: Option<i128>) -> Self {
        Self {
            lo: lo.map(Num::int),
            hi: hi.map(Num::int),
        }
    }

    /// Whether every number of it, or none, satisfies the comparison with every one of the other.
    fn decides(self, op: CmpOp, o: Self) -> Option<Decided> {
        let below = |a: Option<Num>, b: Option<Num>| matches!((a, b), (Some(a), Some(b)) if a < b);
        let up_to = |a: Option<Num>, b: Option<Num>| matches!((a, b), (Some(a), Some(b)) if a <= b);
        let (yes, no) = match op {
            CmpOp::Gt => (below(o.hi, self.lo), up_to(self.hi, o.lo)),
            CmpOp::Ge => (up_to(o.hi, self.lo), below(self.hi, o.lo)),
            CmpOp::Lt => (below(self.hi, o.lo), up_to(o.hi, self.lo)),
            CmpOp::Le => (up_to(self.hi, o.lo), below(o.hi, self.lo)),
            CmpOp::Eq => (false, below(self.hi, o.lo) || below(o.hi, self.lo)),
            CmpOp::Ne => (below(self.hi, o.lo) || below(o.hi, self.lo), false),
        };
        (yes || no).then(|| Decided::of(yes))
    }

    /// The part of it in which the comparison with a number can hold.
    fn cut(self, op: CmpOp, n: Num) -> Self {
        let low = |lo: Option<Num>| Some(lo.map_or(n, |lo| lo.max(n)));
        let high = |hi: Option<Num>| Some(hi.map_or(n, |hi| hi.min(n)));
        match op {
            CmpOp::Gt | CmpOp::Ge => Self {
                lo: low(self.lo),
                ..self
            },
            CmpOp::Lt | CmpOp::Le => Self {
                hi: high(self.hi),
                ..self
            },
            CmpOp::Eq => Self {
                lo: low(self.lo),
                hi: high(self.hi),
            },
            CmpOp::Ne => self,
        }
    }
}

/// What a statistic can be, whatever the trace.
fn range_of(kind: &MetricKind) -> Range {
    match kind {
        MetricKind::Stat { stat: Stat::Busy, .. } | MetricKind::Share { .. } | MetricKind::Covered { .. } => {
            Range::of(Some(0), Some(1))
        }
        MetricKind::Trend { trend, .. } => match trend {
            Trend::Drop => Range::of(None, Some(1)),
            Trend::Rise => Range::of(Some(-1), None),
            Trend::Change => Range::of(Some(0), None),
        },
        MetricKind::Stat { .. } | MetricKind::Lift { .. } | MetricKind::System { .. } | MetricKind::Fact(_) => {
            Range::of(Some(0), None)
        }
        MetricKind::Peer { .. } => Range::default(),
    }
}

fn range(program: &Program, v: &Value) -> Range {
    match v {
        Value::Num(n) => Range::point(*n),
        Value::Metric(id) => program
            .metrics
            .get(id.0 as usize)
            .map_or(Range::default(), |m| range_of(&m.kind)),
        Value::Field(f) => match f.def().ty {
            FieldType::Num(_) => Range::of(Some(0), None),
            _ => Range::default(),
        },
        Value::Neg(a) => {
            let r = range(program, a);
            Range {
                lo: r.hi.and_then(Num::negated),
                hi: r.lo.and_then(Num::negated),
            }
        }
        Value::Arith(op, a, b) => {
            let (a, b) = (range(program, a), range(program, b));
            let both =
                |x: Option<Num>, y: Option<Num>, f: fn(Num, Num) -> Option<Num>| x.zip(y).and_then(|(x, y)| f(x, y));
            match op {
                Arith::Add => Range {
                    lo: both(a.lo, b.lo, Num::plus),
                    hi: both(a.hi, b.hi, Num::plus),
                },
                Arith::Sub => Range {
                    lo: both(a.lo, b.hi, Num::minus),
                    hi: both(a.hi, b.lo, Num::minus),
                },
                // Products of what is never below zero.
                Arith::Mul if a.lo >= Some(Num::ZERO) && b.lo >= Some(Num::ZERO) => Range {
                    lo: both(a.lo, b.lo, Num::times),
                    hi: both(a.hi, b.hi, Num::times),
                },
                Arith::Div if a.lo >= Some(Num::ZERO) && b.lo > Some(Num::ZERO) => Range {
                    lo: both(a.lo, b.hi, Num::over).or(Some(Num::ZERO)),
                    hi: both(a.hi, b.lo, Num::over),
                },
                Arith::Mul | Arith::Div => Range::default(),
            }
        }
    }
}

fn decided(program: &Program, rule: &Rule, c: &Cond, out: &mut Vec<Diagnostic>) {
    let Cond::Compare {
        op,
        left,
        right,
        dim,
        span,
    } = c
    else {
        return;
    };
    let (l, r) = (range(program, left), range(program, right));
    if let Some(d) = l.decides(*op, r) {
        let (what, of) = if matches!(left, Value::Num(_)) {
            (right, r)
        } else {
            (left, l)
        };
        let text = match what {
            Value::Metric(id) => program.metrics.get(id.0 as usize).map(|m| format!("`{}`", m.text)),
            _ => None,
        };
        let who = text.unwrap_or_else(|| "the left side".to_owned());
        out.push(warn(d.code(), rule, *span, d.words()).help(format!("{who} is {}", ends(of, *dim))));
    } else if let Some((d, why)) = ordered(program, *op, left, right) {
        out.push(warn(d.code(), rule, *span, d.words()).help(why));
    }
}

/// `between 0 and 1`, `never below 0 ns`.
fn ends(r: Range, dim: Dim) -> String {
    let say = |n| show(n, dim, Style::Auto);
    match (r.lo, r.hi) {
        (Some(a), Some(b)) if a == b => say(a),
        (Some(a), Some(b)) => format!("always between {} and {}", say(a), say(b)),
        (Some(a), None) => format!("never below {}", say(a)),
        (None, Some(b)) => format!("never above {}", say(b)),
        (None, None) => "any number".to_owned(),
    }
}

/// A statistic and the factor before it.
fn scaled(v: &Value) -> Option<(Num, MetricId)> {
    match v {
        Value::Metric(id) => Some((Num::ONE, *id)),
        Value::Arith(Arith::Mul, a, b) => match (&**a, &**b) {
            (Value::Num(n), Value::Metric(id)) | (Value::Metric(id), Value::Num(n)) => Some((*n, *id)),
            _ => None,
        },
        _ => None,
    }
}

/// Place in the sorted durations: 0 is the shortest, 1 the longest.
fn place(s: Stat) -> Option<Num> {
    match s {
        Stat::Min => Some(Num::ZERO),
        Stat::Max => Some(Num::ONE),
        Stat::Pct(n, d) => Num::ratio(n.into(), d.into()),
        _ => None,
    }
}

/// Two places in the same sorted durations are in order, whatever the durations are.
fn ordered(program: &Program, op: CmpOp, left: &Value, right: &Value) -> Option<(Decided, String)> {
    let ((a, l), (b, r)) = (scaled(left)?, scaled(right)?);
    let (l, r) = (program.metrics.get(l.0 as usize)?, program.metrics.get(r.0 as usize)?);
    let (pl, pr) = (place_in(l)?, place_in(r)?);
    if pl.1 != pr.1 || l.key != r.key || a < Num::ZERO || b < Num::ZERO {
        return None;
    }
    let (no_more, no_less) = (pl.0 <= pr.0 && a <= b, pl.0 >= pr.0 && a >= b);
    let d = match op {
        CmpOp::Gt if no_more => Decided::Never,
        CmpOp::Lt if no_less => Decided::Never,
        CmpOp::Le if no_more => Decided::Always,
        CmpOp::Ge if no_less => Decided::Always,
        _ => return None,
    };
    let (small, large) = if no_more { (l, r) } else { (r, l) };
    Some((d, format!("`{}` is never above `{}`", small.text, large.text)))
}

/// The place of a metric in the durations of a selection and segment.
fn place_in(m: &Metric) -> Option<(Num, (&Selector, super::super::hir::Segment))> {
    match &m.kind {
        MetricKind::Stat {
            sel,
            stat,
            segment,
            over: None,
        } => Some((place(*stat)?, (sel, *segment))),
        _ => None,
    }
}

/// Bounds on one statistic that exclude each other.
fn contradictions(program: &Program, rule: &Rule, cond: &Cond, out: &mut Vec<Diagnostic>) {
    let mut known: BTreeMap<MetricId, (Range, Span)> = BTreeMap::new();
    for part in walk::conjuncts(cond) {
        let Cond::Compare {
            op, left, right, span, ..
        } = part
        else {
            continue;
        };
        let (id, op, n) = match (left, right) {
            (Value::Metric(id), Value::Num(n)) => (*id, *op, *n),
            (Value::Num(n), Value::Metric(id)) => (*id, op.turned(), *n),
            _ => continue,
        };
        // Other windows may hold for each of them.
        let one_value = program.metrics.get(id.0 as usize).is_some_and(place_or_number);
        if !one_value {
            continue;
        }
        let (before, first) = known.get(&id).copied().unwrap_or((Range::default(), *span));
        if before.decides(op, Range::point(n)) == Some(Decided::Never) && first != *span {
            out.push(
                warn(
                    Code::NeverTrue,
                    rule,
                    *span,
                    "this and another condition exclude each other",
                )
                .label("no number satisfies both")
                .also(first, "the other one"),
            );
        }
        known.insert(id, (before.cut(op, n), first));
    }
    for part in cond.parts() {
        if !matches!(cond, Cond::And(_) | Cond::Within { .. }) {
            contradictions(program, rule, part, out);
        }
    }
}

/// Whether a metric has one value for a key.
fn place_or_number(m: &Metric) -> bool {
    !matches!(&m.kind, MetricKind::Stat { over: Some(_), .. })
}

/// Filters that let nothing pass, or hold back nothing.
fn filters(program: &Program, rule: &Rule, c: &Cond, out: &mut Vec<Diagnostic>) {
    let span = walk::span(c).unwrap_or(rule.span);
    for sel in walk::selectors(program, c) {
        let mut known: BTreeMap<Field, Range> = BTreeMap::new();
        let mut words: BTreeMap<Field, u8> = BTreeMap::new();
        for f in walk::all_of(&sel.filters) {
            let found = match f {
                Filter::Cmp(Value::Field(field), op, Value::Num(n)) => {
                    let own = range(program, &Value::Field(*field));
                    let before = known.get(field).copied().unwrap_or(own);
                    known.insert(*field, before.cut(*op, *n));
                    match own.decides(*op, Range::point(*n)) {
                        Some(d) => Some((d, *field)),
                        None if before.decides(*op, Range::point(*n)) == Some(Decided::Never) => {
                            Some((Decided::Never, *field))
                        }
                        None => None,
                    }
                }
                Filter::Enum {
                    field,
                    word,
                    negated: false,
                } => words
                    .insert(*field, *word)
                    .filter(|w| w != word)
                    .map(|_| (Decided::Never, *field)),
                _ => None,
            };
            if let Some((d, field)) = found {
                let name = field.def().name;
                let what = match d {
                    Decided::Never => format!("no event passes what this filter says of `{name}`"),
                    Decided::Always => format!("every event passes what this filter says of `{name}`"),
                };
                out.push(warn(d.code(), rule, span, what));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_decide_what_they_can() {
        let share = Range::of(Some(0), Some(1));
        let at = |n| Range::point(Num::int(n));
        for (op, n, want) in [
            (CmpOp::Gt, 1, Some(Decided::Never)),
            (CmpOp::Ge, 1, None),
            (CmpOp::Ge, 0, Some(Decided::Always)),
            (CmpOp::Gt, 0, None),
            (CmpOp::Lt, 0, Some(Decided::Never)),
            (CmpOp::Le, 1, Some(Decided::Always)),
            (CmpOp::Eq, 2, Some(Decided::Never)),
            (CmpOp::Ne, 2, Some(Decided::Always)),
            (CmpOp::Eq, 1, None),
        ] {
            assert_eq!(share.decides(op, at(n)), want, "{op:?} {n}");
        }
    }
}
