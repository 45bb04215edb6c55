//! A percentile over operations that have little to do with each other.

use super::super::diagnostic::{Code, Diagnostic};
use super::super::hir::{Base, Filter, MetricKind, Selector, Stat};
use super::super::walk;
use super::{Context, warn};
use crate::trace::catalogue::{Field, Key};

pub(super) fn lint(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    for rule in &cx.program.rules {
        for part in walk::leaves(&rule.cond) {
            let mut ids = Vec::new();
            walk::cond_metrics(part, &mut ids);
            for m in ids.iter().filter_map(|id| cx.program.metrics.get(id.0 as usize)) {
                let MetricKind::Stat { sel, stat, .. } = &m.kind else {
                    continue;
                };
                let shape = matches!(stat, Stat::Pct(..) | Stat::Avg | Stat::Stddev);
                if shape && !m.key.contains(&Key::Op) && unlike(sel) {
                    out.push(
                        warn(
                            Code::MixedOps,
                            rule,
                            walk::span(part).unwrap_or(rule.span),
                            format!("`{}` mixes operations that do different things", m.text),
                        )
                        .help(
                            "a slow kind among fast ones makes every tail look long: name one operation or family, or \
                             judge each for itself with `per (pid, op)`",
                        ),
                    );
                }
            }
        }
    }
}

/// Whether a selection holds operations without a family in common.
fn unlike(sel: &Selector) -> bool {
    let Base::Ops(ops) = &sel.base else {
        return false;
    };
    let [first, rest @ ..] = ops.as_slice() else {
        return false;
    };
    let by_name = |f: &Filter| match f {
        Filter::Text { field, .. } | Filter::Match { field, .. } => *field == Field::Op,
        _ => false,
    };
    let families = first.def().families;
    let shared = families.iter().any(|f| rest.iter().all(|o| o.is(f)));
    !rest.is_empty() && !shared && !sel.filters.iter().any(by_name)
}
