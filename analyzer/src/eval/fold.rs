//! Walking over the parts of a rule.

use super::select::metrics_of_value;
use crate::lang::hir::{Cond, Filter, MetricId, Selector, Value};
use crate::trace::catalogue::Field;

/// Selectors that stand in a condition themselves, not in its metrics.
pub(super) fn cond_selectors(c: &Cond, out: &mut Vec<Selector>) {
    match c {
        Cond::Exists { sel, .. } | Cond::State { sel, .. } => out.push(sel.clone()),
        other => other.parts().into_iter().for_each(|c| cond_selectors(c, out)),
    }
}

/// The same; the length that a condition asks of each stint is a filter of its selector.
pub(super) fn cond_stints(c: &Cond, out: &mut Vec<Selector>) {
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
pub(super) fn cond_metrics(c: &Cond, out: &mut Vec<MetricId>) {
    match c {
        Cond::Compare { left, right, .. } => {
            metrics_of_value(left, out);
            metrics_of_value(right, out);
        }
        Cond::Exists { sel, .. } => sel
            .filters
            .iter()
            .for_each(|f| super::select::metrics_of_filter(f, out)),
        Cond::State { sel, bound, .. } => {
            sel.filters
                .iter()
                .for_each(|f| super::select::metrics_of_filter(f, out));
            metrics_of_value(bound, out);
        }
        other => other.parts().into_iter().for_each(|c| cond_metrics(c, out)),
    }
}

/// The conjuncts of a condition, groups opened; what is under `not` or `or` stays whole.
pub(super) fn conjuncts(c: &Cond) -> Vec<&Cond> {
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
