//! Small changes to a rule's condition, and to those of its severities, that its tests should notice:
//! flipped comparisons, thresholds halved and doubled, parts left out, `within` dropped, percentiles swapped.
//!
//! A selection that a condition writes several times is one thought: a change to it is made
//! wherever it stands.

use super::explain;
use super::hir::{Base, CmpOp, Cond, Filter, Metric, MetricId, MetricKind, Program, Rule, Selector, Stat, Value};
use super::walk;
use crate::unit::{Num, show_dur};

/// A rule with one change.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// The changed rule; its metrics are those of [`Mutants::metrics`].
    pub rule: Rule,
    /// The change in words; unique within the rule.
    pub what: String,
}

/// All changes to one rule.
#[derive(Clone, Debug)]
pub struct Mutants {
    /// The metrics of the program and those that the changes need.
    pub metrics: Vec<Metric>,
    /// In an order that only depends on the rule.
    pub list: Vec<Mutant>,
}

/// How the words of a change begin that is a threshold times a factor.
const TIMES: &str = "threshold times";

/// Every mutant of a rule: first those of its condition, then those of its severities.
pub fn mutants(program: &Program, rule: &Rule) -> Mutants {
    changed(program, rule, None)
}

/// The rule with one threshold times a factor, for each of its thresholds; not for those that have no such
/// neighbour.
pub fn thresholds(program: &Program, rule: &Rule, factor: Num) -> Mutants {
    let mut all = changed(program, rule, Some(factor));
    all.list.retain(|m| m.what.starts_with(TIMES));
    all
}

fn changed(program: &Program, rule: &Rule, factor: Option<Num>) -> Mutants {
    let mut m = Mutator {
        program,
        rule,
        factor,
        metrics: program.metrics.clone(),
    };
    let mut found: Changed<Rule> = wrap(m.changes(&rule.cond), |cond| Rule { cond, ..rule.clone() });
    found.extend(m.severities());
    let same = |a: &Rule, b: &Rule| a.cond == b.cond && a.severity == b.severity;
    let mut list: Vec<Mutant> = Vec::new();
    for (changed, what) in found {
        if same(&changed, rule) || list.iter().any(|o| same(&o.rule, &changed)) {
            continue;
        }
        // The same words twice: a change at another place that reads alike.
        let n = list
            .iter()
            .filter(|o| o.what == what || o.what.starts_with(&format!("{what} (")))
            .count();
        let what = if n == 0 { what } else { format!("{what} ({})", n + 1) };
        list.push(Mutant { rule: changed, what });
    }
    Mutants {
        metrics: m.metrics,
        list,
    }
}

/// Conditions with one change, and the change in words.
type Changed<T> = Vec<(T, String)>;

struct Mutator<'a> {
    program: &'a Program,
    rule: &'a Rule,
    /// What thresholds are multiplied with; `None`: they are halved and doubled.
    factor: Option<Num>,
    metrics: Vec<Metric>,
}

impl Mutator<'_> {
    fn words(&self, c: &Cond) -> String {
        walk::words(self.program, self.rule, c)
    }

    fn intern(&mut self, m: Metric) -> MetricId {
        let same = |o: &Metric| o.kind == m.kind && o.key == m.key && o.min_count == m.min_count;
        let at = self.metrics.iter().position(same).unwrap_or_else(|| {
            self.metrics.push(m);
            self.metrics.len() - 1
        });
        MetricId(u32::try_from(at).unwrap_or(u32::MAX))
    }

    /// Changes to a condition and to what it selects.
    fn changes(&mut self, c: &Cond) -> Changed<Cond> {
        let mut out = self.cond(c);
        out.extend(self.selections(c));
        out
    }

    /// Changes to the condition of each level of severity, and the level left out.
    fn severities(&mut self) -> Changed<Rule> {
        let rule = self.rule;
        let mut out = Vec::new();
        for (i, (level, cond)) in rule.severity.iter().enumerate() {
            let Some(cond) = cond else { continue };
            let head = format!("severity {}", level.name());
            for (changed, what) in self.changes(cond) {
                let mut severity = rule.severity.clone();
                severity[i].1 = Some(changed);
                let rule = Rule {
                    severity,
                    ..rule.clone()
                };
                out.push((rule, format!("{head}: {what}")));
            }
            let mut severity = rule.severity.clone();
            severity.remove(i);
            let rule = Rule {
                severity,
                ..rule.clone()
            };
            out.push((rule, format!("without `{head} if {}`", self.words(cond))));
        }
        out
    }

    /// Changes to a condition itself, then to each of its parts.
    fn cond(&mut self, c: &Cond) -> Changed<Cond> {
        let mut out = self.own(c);
        for (i, part) in c.parts().into_iter().enumerate() {
            for (changed, what) in self.cond(part) {
                let mut whole = c.clone();
                if let Some(place) = whole.parts_mut().into_iter().nth(i) {
                    *place = changed;
                }
                out.push((whole, what));
            }
        }
        out
    }

    fn own(&mut self, c: &Cond) -> Changed<Cond> {
        match c {
            Cond::Compare {
                op,
                left,
                right,
                dim,
                span,
            } => {
                let text = self.words(c);
                let with = |op, left: Value, right: Value| Cond::Compare {
                    op,
                    left,
                    right,
                    dim: *dim,
                    span: *span,
                };
                let flipped = flip(*op);
                let mut out = vec![(
                    with(flipped, left.clone(), right.clone()),
                    said_flip(*op, flipped, &text),
                )];
                for (l, what) in self.value(left, &text) {
                    out.push((with(*op, l, right.clone()), what));
                }
                for (r, what) in self.value(right, &text) {
                    out.push((with(*op, left.clone(), r), what));
                }
                out
            }
            Cond::Exists { .. } => Vec::new(),
            Cond::State { sel, op, bound, span } => {
                let text = self.words(c);
                self.value(bound, &text)
                    .into_iter()
                    .map(|(bound, what)| {
                        let c = Cond::State {
                            sel: sel.clone(),
                            op: *op,
                            bound,
                            span: *span,
                        };
                        (c, what)
                    })
                    .collect()
            }
            Cond::Not(a) => vec![((**a).clone(), format!("without `not` before `{}`", self.words(a)))],
            Cond::And(list) => self.shorter(list, Cond::And),
            Cond::Or(list) => self.shorter(list, Cond::Or),
            Cond::Unless(a, b) => vec![((**a).clone(), format!("without `unless {}`", self.words(b)))],
            Cond::Within {
                terms,
                within_ns,
                side,
                span,
            } => {
                let group = |terms: Vec<Cond>, within_ns| Cond::Within {
                    terms,
                    within_ns,
                    side: *side,
                    span: *span,
                };
                let mut out = vec![(
                    Cond::And(terms.clone()),
                    format!("without `within {}`", show_dur(*within_ns)),
                )];
                out.extend(wrap(lengths(*within_ns, "within"), |ns| group(terms.clone(), ns)));
                out.extend(self.shorter(terms, |t| group(t, *within_ns)));
                out
            }
            Cond::Then { terms, hops, span } => {
                let mut out = vec![(Cond::And(terms.clone()), "without the order of `then`".to_owned())];
                for (i, hop) in hops.iter().enumerate() {
                    let Some(ns) = hop else { continue };
                    out.extend(wrap(lengths(*ns, "within"), |ns| {
                        let mut hops = hops.clone();
                        hops[i] = Some(ns);
                        Cond::Then {
                            terms: terms.clone(),
                            hops,
                            span: *span,
                        }
                    }));
                }
                out
            }
            Cond::Without {
                cond,
                absent,
                within_ns,
                side,
                span,
            } => {
                let mut out = vec![((**cond).clone(), format!("without `without {}`", self.words(absent)))];
                out.extend(wrap(lengths(*within_ns, "within"), |within_ns| Cond::Without {
                    cond: cond.clone(),
                    absent: absent.clone(),
                    within_ns,
                    side: *side,
                    span: *span,
                }));
                out
            }
            Cond::During { inner, outer, .. } => {
                let both = vec![(**inner).clone(), (**outer).clone()];
                vec![
                    ((**inner).clone(), format!("without `during {}`", self.words(outer))),
                    (Cond::And(both), "`during` becomes `and`".to_owned()),
                ]
            }
            Cond::Lasting {
                cond,
                at_least_ns,
                span,
            } => {
                let mut out = vec![(
                    (**cond).clone(),
                    format!("without `lasting {}`", show_dur(*at_least_ns)),
                )];
                out.extend(wrap(lengths(*at_least_ns, "lasting"), |at_least_ns| Cond::Lasting {
                    cond: cond.clone(),
                    at_least_ns,
                    span: *span,
                }));
                out
            }
        }
    }

    /// A list with each of its members left out.
    fn shorter(&self, list: &[Cond], whole: impl Fn(Vec<Cond>) -> Cond) -> Changed<Cond> {
        let mut out = Vec::new();
        for (i, c) in list.iter().enumerate() {
            let mut rest = list.to_vec();
            rest.remove(i);
            let rest = match rest.as_slice() {
                [] => continue,
                [one] => one.clone(),
                _ => whole(rest),
            };
            out.push((rest, format!("without `{}`", self.words(c))));
        }
        out
    }

    /// A side of a comparison: constants scaled, percentiles swapped.
    fn value(&mut self, v: &Value, text: &str) -> Changed<Value> {
        match v {
            Value::Num(n) => self.scaled(*n, text),
            Value::Metric(id) => {
                let Some(metric) = self.metrics.get(id.0 as usize).cloned() else {
                    return Vec::new();
                };
                let MetricKind::Stat {
                    sel,
                    stat,
                    segment,
                    over,
                } = metric.kind.clone()
                else {
                    return Vec::new();
                };
                let Some((stat, word)) = swapped(stat) else {
                    return Vec::new();
                };
                let kind = MetricKind::Stat {
                    sel,
                    stat,
                    segment,
                    over,
                };
                let old = metric.text.clone();
                let id = self.intern(Metric { kind, ..metric });
                vec![(Value::Metric(id), format!("`{old}` becomes its {word} in `{text}`"))]
            }
            Value::Field(_) => Vec::new(),
            Value::Neg(a) => wrap(self.value(a, text), |a| Value::Neg(Box::new(a))),
            Value::Arith(op, a, b) => {
                let mut out = wrap(self.value(a, text), |a| Value::Arith(*op, Box::new(a), b.clone()));
                out.extend(wrap(self.value(b, text), |b| Value::Arith(*op, a.clone(), Box::new(b))));
                out
            }
        }
    }

    fn scaled(&self, n: Num, text: &str) -> Changed<Value> {
        let by = |factor: Num, word: String| {
            let n = n.times(factor).filter(|m| *m != n)?;
            Some((Value::Num(n), format!("{word} in `{text}`")))
        };
        let half = Num::ratio(1, 2).unwrap_or(Num::ONE);
        let changes = match self.factor {
            None => vec![
                by(half, "threshold halved".to_owned()),
                by(Num::int(2), "threshold doubled".to_owned()),
            ],
            // Nothing is between a count of 1 and the next, and no share is more than all.
            Some(factor) if n == Num::ONE || (n < Num::ONE && n.times(factor).is_some_and(|m| m > Num::ONE)) => {
                Vec::new()
            }
            Some(factor) => vec![by(factor, format!("{TIMES} {}", factor.to_f64()))],
        };
        changes.into_iter().flatten().collect()
    }

    /// Changes to each selection of a condition, wherever it stands there.
    fn selections(&mut self, cond: &Cond) -> Changed<Cond> {
        let mut distinct: Vec<Selector> = Vec::new();
        let with_metrics = Program {
            metrics: self.metrics.clone(),
            ..Program::default()
        };
        for sel in walk::selectors(&with_metrics, cond) {
            if !distinct.contains(sel) && !sel.filters.is_empty() {
                distinct.push(sel.clone());
            }
        }
        let mut out = Vec::new();
        for sel in distinct {
            for (changed, what) in self.filters(&sel) {
                out.push((self.replace_in(cond, &sel, &changed), what));
            }
        }
        out
    }

    fn filters(&mut self, sel: &Selector) -> Changed<Selector> {
        let whole = explain::selection(self.program, sel);
        let mut out = Vec::new();
        for (i, f) in sel.filters.iter().enumerate() {
            let text = explain::filter(self.program, f);
            let mut rest = sel.filters.clone();
            rest.remove(i);
            let with = |filters| Selector { filters, ..sel.clone() };
            out.push((with(rest), format!("without `{text}` in {whole}")));
            for (f, what) in self.filter(f, &text) {
                let mut all = sel.filters.clone();
                all[i] = f;
                out.push((with(all), format!("{what} in {whole}")));
            }
        }
        out
    }

    fn filter(&mut self, f: &Filter, text: &str) -> Changed<Filter> {
        match f {
            Filter::Cmp(a, op, b) => {
                let flipped = flip(*op);
                let mut out = vec![(
                    Filter::Cmp(a.clone(), flipped, b.clone()),
                    said_flip(*op, flipped, text),
                )];
                out.extend(wrap(self.value(a, text), |a| Filter::Cmp(a, *op, b.clone())));
                out.extend(wrap(self.value(b, text), |b| Filter::Cmp(a.clone(), *op, b)));
                out
            }
            Filter::Not(inner) => vec![((**inner).clone(), format!("without `not` in `{text}`"))],
            other => vec![(Filter::Not(Box::new(other.clone())), format!("`{text}` negated"))],
        }
    }

    /// A condition with one selection in the place of another.
    fn replace_in(&mut self, c: &Cond, from: &Selector, to: &Selector) -> Cond {
        match c {
            Cond::Compare {
                op,
                left,
                right,
                dim,
                span,
            } => Cond::Compare {
                op: *op,
                left: self.replace_in_value(left, from, to),
                right: self.replace_in_value(right, from, to),
                dim: *dim,
                span: *span,
            },
            Cond::Exists { sel, span } => Cond::Exists {
                sel: replaced(sel, from, to),
                span: *span,
            },
            Cond::State { sel, op, bound, span } => Cond::State {
                sel: replaced(sel, from, to),
                op: *op,
                bound: self.replace_in_value(bound, from, to),
                span: *span,
            },
            other => {
                let mut whole = other.clone();
                for part in whole.parts_mut() {
                    *part = self.replace_in(&part.clone(), from, to);
                }
                whole
            }
        }
    }

    fn replace_in_value(&mut self, v: &Value, from: &Selector, to: &Selector) -> Value {
        match v {
            Value::Metric(id) => {
                let Some(mut metric) = self.metrics.get(id.0 as usize).cloned() else {
                    return v.clone();
                };
                match &mut metric.kind {
                    MetricKind::Stat { sel, .. } | MetricKind::Share { sel, .. } | MetricKind::Trend { sel, .. } => {
                        *sel = replaced(sel, from, to);
                    }
                    MetricKind::Covered { a, b, .. } | MetricKind::Lift { a, b, .. } => {
                        *a = replaced(a, from, to);
                        *b = replaced(b, from, to);
                    }
                    // What peers come to is another statistic.
                    MetricKind::System { .. } | MetricKind::Fact(_) | MetricKind::Peer { .. } => {}
                }
                Value::Metric(self.intern(metric))
            }
            Value::Neg(a) => Value::Neg(Box::new(self.replace_in_value(a, from, to))),
            Value::Arith(op, a, b) => Value::Arith(
                *op,
                Box::new(self.replace_in_value(a, from, to)),
                Box::new(self.replace_in_value(b, from, to)),
            ),
            Value::Num(_) | Value::Field(_) => v.clone(),
        }
    }
}

fn wrap<T, U>(list: Changed<T>, f: impl Fn(T) -> U) -> Changed<U> {
    list.into_iter().map(|(t, what)| (f(t), what)).collect()
}

fn replaced(sel: &Selector, from: &Selector, to: &Selector) -> Selector {
    if sel == from {
        return to.clone();
    }
    let inner = |x: &Selector| Box::new(replaced(x, from, to));
    Selector {
        base: match &sel.base {
            Base::Gap(x) => Base::Gap(inner(x)),
            Base::DrainedGap(x) => Base::DrainedGap(inner(x)),
            Base::Slump(x) => Base::Slump(inner(x)),
            other => other.clone(),
        },
        ..sel.clone()
    }
}

/// A length halved and doubled.
fn lengths(ns: i64, word: &str) -> Changed<i64> {
    let text = show_dur(ns);
    vec![
        (ns / 2, format!("`{word} {text}` halved")),
        (ns.saturating_mul(2), format!("`{word} {text}` doubled")),
    ]
}

/// The other direction.
fn flip(op: CmpOp) -> CmpOp {
    match op {
        CmpOp::Eq => CmpOp::Ne,
        CmpOp::Ne => CmpOp::Eq,
        other => other.turned(),
    }
}

fn said_flip(from: CmpOp, to: CmpOp, text: &str) -> String {
    format!("`{}` becomes `{}` in `{text}`", from.text(), to.text())
}

/// The median for a tail and the 99th percentile for a median.
fn swapped(s: Stat) -> Option<(Stat, &'static str)> {
    match s {
        Stat::Pct(n, d) if u64::from(n) * 2 == u64::from(d) => Some((Stat::Pct(99, 100), "p99")),
        Stat::Pct(..) => Some((Stat::Pct(1, 2), "p50")),
        _ => None,
    }
}
