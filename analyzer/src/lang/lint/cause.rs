//! A cause that is only seen beside its symptom, not inside it.

use super::super::diagnostic::{Code, Diagnostic};
use super::super::hir::{Cond, MetricKind, Rule};
use super::super::walk;
use super::{Context, warn};
use crate::trace::catalogue::Source;

pub(super) fn lint(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    for rule in &cx.program.rules {
        let parts = walk::conjuncts(&rule.cond);
        let symptom = parts
            .iter()
            .find_map(|c| sources(cx, c).into_iter().find(|s| is_symptom(*s)));
        let Some(symptom) = symptom else { continue };
        let proven = proven(cx, rule);
        for part in parts {
            // A comparison that names a symptom as well is a relation of its own.
            let named = sources(cx, part);
            let cause = named.iter().find(|s| is_cause(**s) && !proven.contains(s));
            let Some(cause) = cause.filter(|_| !named.iter().any(|s| is_symptom(*s))) else {
                continue;
            };
            let (c, s) = (cause.name(), symptom.name());
            out.push(
                warn(
                    Code::UnprovenCause,
                    rule,
                    walk::span(part).unwrap_or(rule.span),
                    format!("`{c}` is named as a cause, and nothing shows that it took the time of `{s}`"),
                )
                .label("only seen beside it")
                .help("ask how much of the slow time lies inside it, on the same thread: `covered(A, B) >= 50%`"),
            );
        }
    }
}

/// Where slowness shows.
fn is_symptom(s: Source) -> bool {
    matches!(
        s,
        Source::Cuda | Source::Driver | Source::Graph | Source::Gpu | Source::Nccl | Source::Request
    )
}

/// What takes a thread's time on the host.
fn is_cause(s: Source) -> bool {
    matches!(s, Source::Sched | Source::Io | Source::Net | Source::Tcp | Source::Mem)
}

/// Sources that a part of a condition speaks of.
fn sources(cx: &Context<'_>, c: &Cond) -> Vec<Source> {
    let sels = walk::selectors(cx.program, c);
    sels.iter().map(|s| s.source).collect()
}

/// Sources whose share of the symptom's time the rule asks for.
fn proven(cx: &Context<'_>, rule: &Rule) -> Vec<Source> {
    let mut ids = Vec::new();
    walk::cond_metrics(&rule.cond, &mut ids);
    ids.iter()
        .filter_map(|id| cx.program.metrics.get(id.0 as usize))
        .filter_map(|m| match &m.kind {
            MetricKind::Covered { b, .. } | MetricKind::Lift { b, .. } => Some(b.source),
            _ => None,
        })
        .collect()
}
