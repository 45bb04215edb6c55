//! Walking over the parts of a checked rule.

use std::collections::BTreeSet;

use super::hir::{Base, Cond, Filter, MetricId, MetricKind, Program, Rule, Selector, Value};
use crate::source::Span;
use crate::trace::catalogue::Field;

/// Selectors that stand in a condition themselves, not in its metrics.
pub fn cond_selectors(c: &Cond, out: &mut Vec<Selector>) {
    match c {
        Cond::Exists { sel, .. } | Cond::State { sel, .. } => out.push(sel.clone()),
        other => other.parts().into_iter().for_each(|c| cond_selectors(c, out)),
    }
}

/// The same; the length that a condition asks of each stint is a filter of its selector.
pub fn cond_stints(c: &Cond, out: &mut Vec<Selector>) {
    match c {
        Cond::State { sel, op, bound, .. } => {
            let mut sel = sel.clone();
            sel.filters
                .push(Filter::Cmp(Value::Field(Field::Duration), *op, bound.clone()));
            out.push(sel);
        }
        Cond::Exists { sel, .. } => out.push(sel.clone()),
        other => other.parts().into_iter().for_each(|c| cond_stints(c, out)),
    }
}

/// Metrics that a condition compares, or that its selectors' filters name.
pub fn cond_metrics(c: &Cond, out: &mut Vec<MetricId>) {
    match c {
        Cond::Compare { left, right, .. } => {
            metrics_of_value(left, out);
            metrics_of_value(right, out);
        }
        Cond::Exists { sel, .. } => sel.filters.iter().for_each(|f| metrics_of_filter(f, out)),
        Cond::State { sel, bound, .. } => {
            sel.filters.iter().for_each(|f| metrics_of_filter(f, out));
            metrics_of_value(bound, out);
        }
        other => other.parts().into_iter().for_each(|c| cond_metrics(c, out)),
    }
}

/// Names of the metrics in a filter.
pub fn metrics_of_filter(f: &Filter, out: &mut Vec<MetricId>) {
    match f {
        Filter::Cmp(a, _, b) => {
            metrics_of_value(a, out);
            metrics_of_value(b, out);
        }
        Filter::Not(inner) => metrics_of_filter(inner, out),
        Filter::All(list) | Filter::Any(list) => list.iter().for_each(|f| metrics_of_filter(f, out)),
        _ => {}
    }
}

/// Names of the metrics in a value.
pub fn metrics_of_value(v: &Value, out: &mut Vec<MetricId>) {
    match v {
        Value::Metric(id) => out.push(*id),
        Value::Neg(v) => metrics_of_value(v, out),
        Value::Arith(_, a, b) => {
            metrics_of_value(a, out);
            metrics_of_value(b, out);
        }
        Value::Num(_) | Value::Field(_) => {}
    }
}

/// The conjuncts of a condition, groups opened; what is under `not` or `or` stays whole.
pub fn conjuncts(c: &Cond) -> Vec<&Cond> {
    match c {
        Cond::And(l) | Cond::Within { terms: l, .. } | Cond::Then { terms: l, .. } => {
            l.iter().flat_map(conjuncts).collect()
        }
        Cond::During { inner, outer, .. } => [&**inner, &**outer].into_iter().flat_map(conjuncts).collect(),
        Cond::Unless(a, _) => conjuncts(a),
        // That it is not there, or how long it lasts, is something to show as well.
        Cond::Without { cond: a, .. } | Cond::Lasting { cond: a, .. } => {
            let mut all = conjuncts(a);
            all.push(c);
            all
        }
        other => vec![other],
    }
}

/// The predicates at the bottom of a condition, in the order written.
pub fn leaves(c: &Cond) -> Vec<&Cond> {
    let parts = c.parts();
    if parts.is_empty() {
        vec![c]
    } else {
        parts.into_iter().flat_map(leaves).collect()
    }
}

/// The place of a condition: of its own text, or of all its parts.
pub fn span(c: &Cond) -> Option<Span> {
    c.span()
        .or_else(|| c.parts().into_iter().filter_map(span).reduce(Span::to))
}

/// Selectors of a metric.
pub fn selectors_of(kind: &MetricKind) -> Vec<&Selector> {
    match kind {
        MetricKind::Stat { sel, .. } | MetricKind::Share { sel, .. } | MetricKind::Trend { sel, .. } => vec![sel],
        MetricKind::Covered { a, b, .. } | MetricKind::Lift { a, b, .. } => vec![a, b],
        MetricKind::System { .. } | MetricKind::Fact(_) | MetricKind::Peer { .. } => Vec::new(),
    }
}

/// Every selector that a condition speaks of: its own, those of its metrics, and those inside
/// derived ones such as `gap(x)`.
pub fn selectors<'a>(program: &'a Program, c: &'a Cond) -> Vec<&'a Selector> {
    let mut out = Vec::new();
    for leaf in leaves(c) {
        if let Cond::Exists { sel, .. } | Cond::State { sel, .. } = leaf {
            with_inner(sel, &mut out);
        }
    }
    let mut ids = Vec::new();
    cond_metrics(c, &mut ids);
    for m in ids.iter().filter_map(|id| program.metrics.get(id.0 as usize)) {
        for s in selectors_of(&m.kind) {
            with_inner(s, &mut out);
        }
    }
    out
}

fn with_inner<'a>(sel: &'a Selector, out: &mut Vec<&'a Selector>) {
    out.push(sel);
    if let Base::Gap(inner) | Base::DrainedGap(inner) | Base::Slump(inner) = &sel.base {
        with_inner(inner, out);
    }
}

/// Filters that must all hold, groups of such opened.
pub fn all_of(filters: &[Filter]) -> Vec<&Filter> {
    let mut out = Vec::new();
    for f in filters {
        match f {
            Filter::All(list) => out.extend(all_of(list)),
            f => out.push(f),
        }
    }
    out
}

/// A condition of a rule in the author's words, white space folded.
pub fn words(program: &Program, rule: &Rule, c: &Cond) -> String {
    let joined = |between: &str| -> String {
        let parts: Vec<String> = c.parts().into_iter().map(|c| words(program, rule, c)).collect();
        parts.join(between)
    };
    let Some(span) = c.span() else {
        return match c {
            Cond::Not(_) => format!("not {}", joined("")),
            Cond::Or(_) => joined(" or "),
            Cond::Unless(..) => joined(" unless "),
            _ => joined(" and "),
        };
    };
    let file = program.files.get(rule.file.0 as usize);
    let text = file.and_then(|f| f.text.get(span.range())).unwrap_or("");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Fields that a filter looks at.
pub fn fields(f: &Filter, out: &mut BTreeSet<Field>) {
    match f {
        Filter::Cmp(a, _, b) => {
            fields_of_value(a, out);
            fields_of_value(b, out);
        }
        Filter::Enum { field, .. }
        | Filter::Text { field, .. }
        | Filter::Match { field, .. }
        | Filter::OneOf { field, .. }
        | Filter::Flag(field) => {
            out.insert(*field);
        }
        Filter::Not(f) => fields(f, out),
        Filter::All(l) | Filter::Any(l) => l.iter().for_each(|f| fields(f, out)),
    }
}

fn fields_of_value(v: &Value, out: &mut BTreeSet<Field>) {
    match v {
        Value::Field(f) => {
            out.insert(*f);
        }
        Value::Neg(v) => fields_of_value(v, out),
        Value::Arith(_, a, b) => {
            fields_of_value(a, out);
            fields_of_value(b, out);
        }
        Value::Num(_) | Value::Metric(_) => {}
    }
}
