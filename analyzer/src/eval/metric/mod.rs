//! Statistics of selected events, one kind a file. Each gives a value with bounds.

mod busy;
mod covered;
#[cfg(test)]
mod drawn;
mod moving;
mod peak;
mod peer;
mod stat;
mod system;
mod window;

pub(super) use covered::{Proof, SHIFTS, Union, Whose, open_requests, union_of_off_cpu};
pub(super) use peak::Peaks;
pub(super) use window::{Grid, Runs, Table};

use rustc_hash::FxHashMap;

use super::Engine;
use super::key::KeyVal;
use super::logic::{Lack, Reason};
use super::select::{Group, Missing};
use super::value::Val;
use crate::lang::hir::{Arith, Metric, MetricId, MetricKind, Program, Segment, Selector, Stat, Trend};
use crate::trace::catalogue::Key;
use crate::unit::{Interval, Num};

/// How statistics of the same events may be found together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// From sums over columns.
    Sums,
    /// From all durations at once.
    Durations,
    /// In a way of its own.
    Alone,
}

impl Pass {
    pub(super) fn of(stat: Stat) -> Self {
        match stat {
            Stat::Count | Stat::Rate | Stat::Sum | Stat::Bytes | Stat::Avg | Stat::Throughput => Self::Sums,
            Stat::Pct(..) | Stat::Min | Stat::Max | Stat::Stddev => Self::Durations,
            Stat::Busy | Stat::Distinct(_) | Stat::First | Stat::Last => Self::Alone,
        }
    }
}

/// For each metric those of `ids` that are found in one go with it; none for one that is found alone.
pub(super) fn mates(program: &Program, ids: &[MetricId]) -> Vec<Vec<MetricId>> {
    type Like<'p> = (&'p Selector, Segment, &'p [Key], bool);
    let like = |id: MetricId| -> Option<Like<'_>> {
        let m = &program.metrics[id.0 as usize];
        match &m.kind {
            MetricKind::Stat {
                sel,
                stat,
                segment,
                over: None,
            } if Pass::of(*stat) != Pass::Alone => Some((sel, *segment, &m.key, Pass::of(*stat) == Pass::Sums)),
            _ => None,
        }
    };
    let mut all: FxHashMap<Like<'_>, Vec<MetricId>> = FxHashMap::default();
    for &id in ids {
        if let Some(like) = like(id) {
            all.entry(like).or_default().push(id);
        }
    }
    let mut out = vec![Vec::new(); program.metrics.len()];
    for &id in ids {
        if let Some(found) = like(id).and_then(|l| all.get(&l)) {
            out[id.0 as usize].clone_from(found);
        }
    }
    out
}

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
    /// The value of a metric for a key of a rule (which may be finer than the metric's own).
    pub(super) fn metric_value(&self, id: MetricId, key: KeyVal) -> Val {
        self.cell(id, key).all
    }

    /// The metric for a key of a rule. Computed when first asked for, with its mates, and kept.
    pub(super) fn cell(&self, id: MetricId, key: KeyVal) -> Cell {
        let key = key.project(&self.program.metrics[id.0 as usize].key);
        if let Some(known) = self.cells.lock().ok().and_then(|c| c.get(&(id, key)).cloned()) {
            return known;
        }
        let alone = [id];
        let mates = match self.mates[id.0 as usize].as_slice() {
            [] => &alone,
            mates => mates,
        };
        let made = self.together(mates, key);
        let own = made.iter().find(|(m, _)| *m == id).map(|(_, cell)| cell.clone());
        if let Ok(mut cells) = self.cells.lock() {
            cells.extend(made.into_iter().map(|(m, cell)| ((m, key), cell)));
        }
        own.unwrap_or_else(|| Cell::of(Val::nothing()))
    }

    /// Metrics that are found in one go: one, or several statistics of the same events.
    fn together(&self, mates: &[MetricId], key: KeyVal) -> Vec<(MetricId, Cell)> {
        let of = |id: &MetricId| &self.program.metrics[id.0 as usize];
        let stats: Vec<(Stat, u64)> = mates
            .iter()
            .filter_map(|m| match of(m).kind {
                MetricKind::Stat { stat, over: None, .. } => Some((stat, of(m).min_count)),
                _ => None,
            })
            .collect();
        match &of(&mates[0]).kind {
            MetricKind::Stat { sel, segment, .. } if stats.len() == mates.len() => {
                let on = &of(&mates[0]).key;
                let groups = self.groups(sel, on);
                let group = Self::group_of(&groups, key);
                let cells = self.stats(sel, key, group, (*segment, on), &stats);
                mates.iter().copied().zip(cells).collect()
            }
            _ => mates.iter().map(|m| (*m, self.one(of(m), key))).collect(),
        }
    }

    fn one(&self, metric: &Metric, key: KeyVal) -> Cell {
        let groups = match &metric.kind {
            MetricKind::Share { sel, .. } | MetricKind::Trend { sel, .. } => Some(self.groups(sel, &metric.key)),
            MetricKind::Covered { a, .. } | MetricKind::Lift { a, .. } => Some(self.groups(a, &metric.key)),
            _ => None,
        };
        let group = groups.as_ref().and_then(|g| Self::group_of(g, key));
        match &metric.kind {
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
