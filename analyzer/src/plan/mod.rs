//! From checked rules to what has to be read: the operations and columns that some rule names.
//!
//! Knows rules and the catalogue, never a trace.

use crate::lang::hir::{Base, Cond, Filter, MetricKind, Program, Rule, Selector, Stat, Value};
use crate::trace::Needs;
use crate::trace::catalogue::{Field, Key, Op, Source};

/// What the rules of a program need of a file.
///
/// Runtime and driver calls and off-CPU time are always read: verdicts stored in a file are compared
/// with them, whatever the rules speak of.
pub fn needs(program: &Program) -> Needs {
    let mut needs = Needs::nothing();
    for op in Op::all() {
        if matches!(op.def().source, Source::Cuda | Source::Driver) || op.is("off_cpu") {
            needs.add(op);
        }
    }
    for m in &program.metrics {
        match &m.kind {
            MetricKind::Stat { sel, stat, .. } | MetricKind::Trend { sel, stat, .. } => {
                selector(sel, &mut needs);
                if let Stat::Distinct(f) = stat {
                    field(*f, &mut needs);
                }
            }
            MetricKind::Share { sel, .. } => selector(sel, &mut needs),
            MetricKind::Covered { a, b, .. } | MetricKind::Lift { a, b, .. } => {
                selector(a, &mut needs);
                selector(b, &mut needs);
            }
            MetricKind::System { .. } | MetricKind::Fact(_) | MetricKind::Peer { .. } => {}
        }
    }
    for s in &program.segments {
        cond(&s.cond, &mut needs);
    }
    for rule in &program.rules {
        for c in conditions(rule) {
            cond(c, &mut needs);
        }
        for k in &rule.key {
            match k {
                Key::Stream => needs.stream = true,
                Key::Gpu => needs.gpu = true,
                Key::Rank => needs.rank = true,
                Key::Cgroup => needs.cgroup = true,
                _ => {}
            }
        }
    }
    needs
}

/// Every condition of a rule, its own first.
pub fn conditions(rule: &Rule) -> impl Iterator<Item = &Cond> {
    let severity = rule.severity.iter().filter_map(|(_, c)| c.as_ref());
    let texts = rule.messages.iter().chain(&rule.fixes).filter_map(|(_, c)| c.as_ref());
    std::iter::once(&rule.cond)
        .chain(severity)
        .chain(texts)
        .chain(rule.excepts.iter().map(|e| &e.cond))
}

fn cond(c: &Cond, needs: &mut Needs) {
    match c {
        Cond::Exists { sel, .. } | Cond::State { sel, .. } => selector(sel, needs),
        other => other.parts().into_iter().for_each(|c| cond(c, needs)),
    }
}

fn selector(sel: &Selector, needs: &mut Needs) {
    match &sel.base {
        Base::Ops(ops) => ops.iter().for_each(|o| needs.add(*o)),
        // Off-CPU time is read anyway.
        Base::State(_) => {}
        Base::Gap(inner) | Base::DrainedGap(inner) | Base::Slump(inner) => selector(inner, needs),
        Base::BusySeconds => Op::family(Source::Gpu, "launch").into_iter().for_each(|o| needs.add(o)),
    }
    sel.filters.iter().for_each(|f| filter(f, needs));
}

fn filter(f: &Filter, needs: &mut Needs) {
    match f {
        Filter::Cmp(a, _, b) => {
            value(a, needs);
            value(b, needs);
        }
        Filter::Enum { field: f, .. }
        | Filter::Text { field: f, .. }
        | Filter::Match { field: f, .. }
        | Filter::OneOf { field: f, .. }
        | Filter::Flag(f) => field(*f, needs),
        Filter::Not(f) => filter(f, needs),
        Filter::All(l) | Filter::Any(l) => l.iter().for_each(|f| filter(f, needs)),
    }
}

fn value(v: &Value, needs: &mut Needs) {
    match v {
        Value::Field(f) => field(*f, needs),
        Value::Neg(v) => value(v, needs),
        Value::Arith(_, a, b) => {
            value(a, needs);
            value(b, needs);
        }
        Value::Num(_) | Value::Metric(_) => {}
    }
}

fn field(f: Field, needs: &mut Needs) {
    match f {
        Field::Ret => needs.ret = true,
        Field::Stream => needs.stream = true,
        Field::Gpu => needs.gpu = true,
        Field::Rank => needs.rank = true,
        Field::Cgroup => needs.cgroup = true,
        _ => {}
    }
}
