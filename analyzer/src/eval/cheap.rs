//! Which parts of a condition to judge first: those that cost little, for one that is false spares the others.

use super::metric::Pass;
use crate::lang::hir::{Cond, MetricKind, Program};
use crate::lang::walk;

/// What judging takes, from little to much.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    /// Facts about the trace, and what is there at all.
    Facts,
    /// Sums over columns.
    Sums,
    /// All durations at once.
    Durations,
    /// The order in time.
    Times,
    /// Overlaps and distances in time.
    Joins,
}

/// Conditions, the cheapest first; those that cost the same in the order given.
pub(super) fn first<'c>(program: &Program, list: impl IntoIterator<Item = &'c Cond>) -> Vec<&'c Cond> {
    let mut all: Vec<&Cond> = list.into_iter().collect();
    all.sort_by_cached_key(|c| work(program, c));
    all
}

fn work(program: &Program, c: &Cond) -> Work {
    match c {
        Cond::Compare { .. } => {
            let mut ids = Vec::new();
            walk::cond_metrics(c, &mut ids);
            let kinds = ids.iter().map(|id| &program.metrics[id.0 as usize].kind);
            kinds.map(of_metric).max().unwrap_or(Work::Facts)
        }
        Cond::Exists { .. } | Cond::State { .. } => Work::Sums,
        Cond::Not(_) | Cond::And(_) | Cond::Or(_) | Cond::Unless(..) => {
            let parts = c.parts().into_iter().map(|c| work(program, c));
            parts.max().unwrap_or(Work::Facts)
        }
        Cond::Within { .. } | Cond::Then { .. } | Cond::Without { .. } | Cond::During { .. } | Cond::Lasting { .. } => {
            Work::Joins
        }
    }
}

fn of_metric(kind: &MetricKind) -> Work {
    match kind {
        MetricKind::System { .. } | MetricKind::Fact(_) => Work::Facts,
        MetricKind::Stat { stat, over: None, .. } => match Pass::of(*stat) {
            Pass::Sums => Work::Sums,
            Pass::Durations => Work::Durations,
            Pass::Alone => Work::Times,
        },
        MetricKind::Share { .. } => Work::Sums,
        MetricKind::Stat { .. } | MetricKind::Trend { .. } | MetricKind::Peer { .. } => Work::Times,
        MetricKind::Covered { .. } | MetricKind::Lift { .. } => Work::Joins,
    }
}
