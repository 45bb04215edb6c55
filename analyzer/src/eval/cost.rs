//! What judging a program costs on a trace, in events looked at: no clock decides.

use std::collections::BTreeSet;

use super::{Engine, Prepared, selectors};
use crate::lang::hir::{Cond, MetricKind, Program, Rule};
use crate::lang::walk;
use crate::trace::Trace;
use crate::trace::catalogue::Key;

/// Work for one rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Keys that were judged.
    pub keys: usize,
    /// Rows that its selections look at, each once.
    pub rows: u64,
    /// Events that pass the filters, over all of its selections.
    pub selected: u64,
    /// Events behind the predicates that hold.
    pub witnesses: u64,
    /// Joins in time: groups, chains and overlaps (`covered`, `lift`), for each key.
    pub joins: u64,
    /// Keys for which it fires.
    pub fired: usize,
}

/// The work that a rule of the program is on a trace.
pub fn cost(program: &Program, rule: &Rule, trace: &Trace) -> Cost {
    let prepared = Prepared::new(trace, &selectors(program));
    let engine = Engine::new(program, trace, &prepared, None);
    let verdict = engine.verdict(rule);
    let mut lanes: BTreeSet<(u32, u16)> = BTreeSet::new();
    let mut out = Cost {
        keys: verdict.keys.len(),
        fired: verdict.fired.len(),
        ..Cost::default()
    };
    for sel in walk::selectors(program, &rule.cond) {
        for lane in engine.lanes(sel) {
            if lanes.insert((lane.thread.0, lane.op.0)) {
                out.rows += lane.len() as u64;
            }
        }
        let groups = engine.groups(sel, &[Key::Node]);
        out.selected += groups
            .iter()
            .flat_map(|g| &g.parts)
            .map(|p| p.len() as u64)
            .sum::<u64>();
    }
    let per_key = joins(program, &rule.cond);
    out.joins = per_key * out.keys as u64;
    for leaf in walk::leaves(&rule.cond) {
        let found = verdict
            .keys
            .iter()
            .filter_map(|k| engine.witnesses(&rule.key, leaf, *k));
        out.witnesses += found.map(|w| w.len() as u64).sum::<u64>();
    }
    out
}

/// Joins that a condition asks for.
fn joins(program: &Program, cond: &Cond) -> u64 {
    if cond.parts().is_empty() {
        let mut ids = Vec::new();
        walk::cond_metrics(cond, &mut ids);
        let overlap = |m: &MetricKind| matches!(m, MetricKind::Covered { .. } | MetricKind::Lift { .. });
        let kinds = ids.iter().filter_map(|id| program.metrics.get(id.0 as usize));
        return kinds.filter(|m| overlap(&m.kind)).count() as u64;
    }
    let in_time = !matches!(cond, Cond::Not(_) | Cond::And(_) | Cond::Or(_) | Cond::Unless(..));
    u64::from(in_time) + cond.parts().into_iter().map(|c| joins(program, c)).sum::<u64>()
}
