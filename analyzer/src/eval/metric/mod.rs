//! Statistics of selected events, one kind a file. Each gives a value with bounds.

mod covered;
mod peak;
mod peer;
mod stat;
mod system;
mod window;

pub(super) use covered::{Proof, SHIFTS, Union, Whose, open_requests, union_of_off_cpu};
pub(super) use peak::Peaks;
pub(super) use window::{Grid, Runs, Table};

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::Engine;
use super::key::KeyVal;
use super::logic::{Lack, Reason};
use super::select::{Group, Missing};
use super::value::Val;
use crate::lang::hir::{Arith, Metric, MetricId, MetricKind, Segment, Selector, Stat, Trend};
use crate::unit::{Interval, Num};

/// A metric of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// Over the whole segment.
    pub(super) all: Val,
    /// Over the windows in which every event is a row, where that is only a part.
    pub(super) window: Option<Val>,
    /// A sum or count over these windows: what it has to another is a fair sample, itself it is not.
    pub(super) portion: Option<Val>,
}

impl Cell {
    fn of(all: Val) -> Self {
        Self {
            all,
            window: None,
            portion: None,
        }
    }
}

/// Which rows a value may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// All, with bounds for what was not stored.
    All,
    /// Only complete windows.
    Windows,
    /// Only complete windows, sums and counts too: for proportions.
    Portions,
}

impl<'t> Engine<'t> {
    /// Computes metrics for every key that has events of theirs. Metrics inside filters come first
    /// in the program, so the order of ids is an order of dependence.
    pub(super) fn compute(&mut self, ids: &[MetricId]) {
        let mut done: Vec<bool> = vec![false; self.program.metrics.len()];
        let program = self.program;
        for &id in ids {
            let at = id.0 as usize;
            if done[at] {
                continue;
            }
            let metric = &program.metrics[at];
            // Statistics of one selection share the gathering of its durations.
            let mates: Vec<MetricId> = match &metric.kind {
                MetricKind::Stat { sel, segment, over: None, .. } => ids
                    .iter()
                    .copied()
                    .filter(|m| {
                        let other = &program.metrics[m.0 as usize];
                        other.key == metric.key
                            && matches!(&other.kind, MetricKind::Stat { sel: s, segment: g, over: None, .. } if s == sel && g == segment)
                    })
                    .collect(),
                _ => vec![id],
            };
            let tables = self.table(metric, &mates);
            for (m, table) in mates.iter().zip(tables) {
                done[m.0 as usize] = true;
                self.values[m.0 as usize] = table;
            }
        }
    }

    fn table(&self, metric: &Metric, mates: &[MetricId]) -> Vec<FxHashMap<KeyVal, Cell>> {
        let mut tables: Vec<FxHashMap<KeyVal, Cell>> = vec![FxHashMap::default(); mates.len()];
        match &metric.kind {
            MetricKind::Stat {
                sel,
                segment,
                over: None,
                ..
            } => {
                let stats: Vec<(Stat, u64)> = mates
                    .iter()
                    .filter_map(|m| {
                        let m = &self.program.metrics[m.0 as usize];
                        if let MetricKind::Stat { stat, .. } = &m.kind {
                            Some((*stat, m.min_count))
                        } else {
                            None
                        }
                    })
                    .collect();
                let groups = self.groups(sel, &metric.key);
                let cells: Vec<(KeyVal, Vec<Cell>)> = groups
                    .par_iter()
                    .map(|g| (g.key, self.stats(sel, g.key, Some(g), (*segment, &metric.key), &stats)))
                    .collect();
                for (key, cells) in cells {
                    for (table, cell) in tables.iter_mut().zip(cells) {
                        table.insert(key, cell);
                    }
                }
            }
            MetricKind::Covered { a, .. } | MetricKind::Lift { a, .. } => {
                let groups = self.groups(a, &metric.key);
                let cells: Vec<(KeyVal, Cell)> = groups
                    .par_iter()
                    .map(|g| (g.key, self.one(metric, g.key, Some(g))))
                    .collect();
                tables[0].extend(cells);
            }
            // Cheap or for few keys: computed when asked for.
            _ => {}
        }
        tables
    }

    /// The value of a metric for a key of a rule (which may be finer than the metric's own).
    pub(super) fn metric_value(&self, id: MetricId, key: KeyVal) -> Val {
        self.cell(id, key).all
    }

    /// The metric for a key of a rule.
    pub(super) fn cell(&self, id: MetricId, key: KeyVal) -> Cell {
        let metric = &self.program.metrics[id.0 as usize];
        let key = key.project(&metric.key);
        if let Some(cell) = self.values[id.0 as usize].get(&key) {
            return cell.clone();
        }
        self.one(metric, key, None)
    }

    fn one(&self, metric: &Metric, key: KeyVal, group: Option<&Group<'t>>) -> Cell {
        let groups = match (&metric.kind, group) {
            (MetricKind::Stat { sel, .. } | MetricKind::Share { sel, .. } | MetricKind::Trend { sel, .. }, None) => {
                Some(self.groups(sel, &metric.key))
            }
            (MetricKind::Covered { a, .. } | MetricKind::Lift { a, .. }, None) => Some(self.groups(a, &metric.key)),
            _ => None,
        };
        let group = group.or_else(|| groups.as_ref().and_then(|g| Self::group_of(g, key)));
        match &metric.kind {
            MetricKind::Stat {
                sel,
                stat,
                segment,
                over: None,
            } => {
                let mut cells = self.stats(sel, key, group, (*segment, &metric.key), &[(*stat, metric.min_count)]);
                cells.pop().unwrap_or_else(|| Cell::of(Val::nothing()))
            }
            // A windowed metric has no single value; comparisons ask for its runs.
            MetricKind::Stat { .. } => Cell::of(Val::unknown(Reason::new(
                Lack::Partial,
                format!("{} has a value for each window, not one", metric.text),
            ))),
            MetricKind::Covered { a, b, scope, segment } => {
                Cell::of(self.covered(a, b, *scope, (*segment, &metric.key), key, group))
            }
            MetricKind::Lift { a, b, scope } => Cell::of(self.lift(a, b, *scope, key, group)),
            MetricKind::Share { sel, segment } => {
                let bare = Selector {
                    filters: Vec::new(),
                    ..sel.clone()
                };
                let count = [(Stat::Count, 0)];
                let part = self.stats(sel, key, group, (*segment, &metric.key), &count);
                let all_groups = self.groups(&bare, &metric.key);
                let all = self.stats(
                    &bare,
                    key,
                    Self::group_of(&all_groups, key),
                    (*segment, &metric.key),
                    &count,
                );
                match (part.first(), all.first()) {
                    (_, Some(a)) if a.all.point() == Some(Num::ZERO) => Cell::of(Val::nothing()),
                    (Some(p), Some(a)) => Cell::of(p.all.arith(Arith::Div, &a.all)),
                    _ => Cell::of(Val::nothing()),
                }
            }
            MetricKind::Trend {
                trend,
                sel,
                stat,
                from,
                to,
            } => {
                let of = |s: Segment, what: (Stat, u64)| {
                    let cells = self.stats(sel, key, group, (s, &metric.key), &[what]);
                    cells.into_iter().next().map_or_else(Val::nothing, |c| c.all)
                };
                let what = (*stat, metric.min_count);
                let (first, second) = (of(*from, what), of(*to, what));
                let base = match self.stretches(*from, &metric.key, key) {
                    Ok(base) => base.iter().map(|i| i.len()).sum::<i64>(),
                    Err(why) => return Cell::of(Val::of_no_part(why)),
                };
                let events = of(*from, (Stat::Count, 0));
                let n = events.point().map_or(0, Num::floor);
                if n < i128::from(metric.min_count) || base < crate::unit::SEC {
                    let name = if *from == Segment::FirstHalf {
                        "first half"
                    } else {
                        "baseline"
                    };
                    let text = format!("the {name} holds {n} events, and a baseline needs {}", metric.min_count);
                    return Cell::of(Val::unknown(Reason::new(Lack::Few, text)));
                }
                let ratio = second.arith(Arith::Div, &first);
                let one = Val::exact(Num::ONE, ratio.samples);
                let drop = one.arith(Arith::Sub, &ratio);
                let rise = ratio.arith(Arith::Sub, &one);
                Cell::of(match trend {
                    Trend::Drop => drop,
                    Trend::Rise => rise,
                    Trend::Change => Val {
                        lo: drop.lo.max(rise.lo),
                        hi: drop.hi.max(rise.hi),
                        ..drop
                    },
                })
            }
            MetricKind::System { field, stat, segment } => {
                Cell::of(self.system(*field, *stat, (*segment, &metric.key), key))
            }
            MetricKind::Fact(fact) => Cell::of(self.fact(*fact, key)),
            MetricKind::Peer { of, rank, across } => Cell::of(self.peers(*of, *rank, across, key)),
        }
    }

    /// Positions of a group's events whose start lies in a segment.
    pub(super) fn inside<'g>(
        group: &'g Group<'t>,
        segment: &'g [Interval],
    ) -> impl Iterator<Item = (&'t crate::trace::Lane, usize)> + 'g {
        group.parts.iter().flat_map(move |p| {
            let lane = p.lane;
            p.iter()
                .filter(move |&i| segment.iter().any(|s| s.contains(lane.start[i])))
                .map(move |i| (lane, i))
        })
    }

    /// Why a key's value cannot be told, when its selection is uncertain or incomplete.
    fn doubt(group: Option<&Group<'t>>, missing: &Missing) -> Option<Reason> {
        group
            .and_then(|g| g.uncertain.clone())
            .or_else(|| (!missing.is_nothing()).then(|| missing.reason()))
    }
}
