//! Walking over the parts of a rule.

use super::select::metrics_of_value;
use crate::lang::hir::{Cond, MetricId, Rule, Selector};

/// Every condition of a rule, its own first.
pub(super) fn conditions(rule: &Rule) -> impl Iterator<Item = &Cond> {
    let severity = rule.severity.iter().filter_map(|(_, c)| c.as_ref());
    let texts = rule.messages.iter().chain(&rule.fixes).filter_map(|(_, c)| c.as_ref());
    std::iter::once(&rule.cond).chain(severity).chain(texts).chain(rule.excepts.iter().map(|(_, c)| c))
}

/// Selectors that stand in a condition themselves, not in its metrics.
pub(super) fn cond_selectors(c: &Cond, out: &mut Vec<Selector>) {
    match c {
        Cond::Exists { sel, .. } | Cond::State { sel, .. } => out.push(sel.clone()),
        Cond::Compare { .. } => {}
        Cond::Not(c) => cond_selectors(c, out),
        Cond::And(l) | Cond::Or(l) | Cond::Within { terms: l, .. } => l.iter().for_each(|c| cond_selectors(c, out)),
        Cond::Unless(a, b) => {
            cond_selectors(a, out);
            cond_selectors(b, out);
        }
    }
}

/// Metrics that a condition compares, or that its selectors' filters name.
pub(super) fn cond_metrics(c: &Cond, out: &mut Vec<MetricId>) {
    match c {
        Cond::Compare { left, right, .. } => {
            metrics_of_value(left, out);
            metrics_of_value(right, out);
        }
        Cond::Exists { sel, .. } => sel.filters.iter().for_each(|f| super::select::metrics_of_filter(f, out)),
        Cond::State { sel, bound, .. } => {
            sel.filters.iter().for_each(|f| super::select::metrics_of_filter(f, out));
            metrics_of_value(bound, out);
        }
        Cond::Not(c) => cond_metrics(c, out),
        Cond::And(l) | Cond::Or(l) | Cond::Within { terms: l, .. } => l.iter().for_each(|c| cond_metrics(c, out)),
        Cond::Unless(a, b) => {
            cond_metrics(a, out);
            cond_metrics(b, out);
        }
    }
}

/// The conjuncts of a condition, groups opened; what is under `not` or `or` stays whole.
pub(super) fn conjuncts(c: &Cond) -> Vec<&Cond> {
    match c {
        Cond::And(l) | Cond::Within { terms: l, .. } => l.iter().flat_map(conjuncts).collect(),
        Cond::Unless(a, _) => conjuncts(a),
        other => vec![other],
    }
}
