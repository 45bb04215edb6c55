//! The most that a sum over sliding windows reaches: found once for all rules that ask whether it is
//! larger than something. Mostly it is not, and then no rule need slide.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use super::super::Engine;
use super::super::key::KeyVal;
use super::super::logic::Truth;
use super::super::merge::in_order;
use super::super::select::{Group, Part};
use super::super::value::Val;
use super::window::{Runs, is_additive, push_run};
use crate::lang::hir::{CmpOp, MetricId, MetricKind, Stat, Window};
use crate::unit::{Interval, Num};

/// Peaks of all metrics that differ only in statistic and window; `None` where it cannot be told.
pub(in crate::eval) type Peaks = Arc<OnceLock<Vec<(MetricId, Option<Peak>)>>>;

/// Over all windows that begin at an event.
#[derive(Clone, Copy, Debug)]
pub(in crate::eval) struct Peak {
    most: i128,
    windows: u64,
}

impl<'t> Engine<'t> {
    /// Runs of windows in which a sum exceeds a bound; `None` if it is no such comparison.
    pub(super) fn peak_runs(
        &self,
        id: MetricId,
        key: KeyVal,
        group: Option<&Group<'t>>,
        pieces: &[Interval],
        (op, bound): (CmpOp, Num),
    ) -> Option<Runs> {
        let (stat, w) = self.sum_over(id)?;
        let least = least(stat, w, op, bound)?;
        let peak = self.peak(id, key, group, pieces)?;
        let mut runs = Vec::new();
        if peak.most >= least {
            let series = Series::of(group?, Weight::of(stat));
            for piece in pieces {
                series.slide(*piece, w.len_ns, |from, sum| {
                    if sum >= least {
                        let end = from.saturating_add(w.len_ns);
                        push_run(&mut runs, Interval::new(from, end.min(piece.end)));
                    }
                });
            }
        }
        let best = match peak.windows {
            0 => Val::nothing(),
            n if stat == Stat::Rate => Val::exact(Num::ratio(peak.most, w.len_ns.into())?, n),
            n => Val::exact(Num::int(peak.most), n),
        };
        Some(Runs {
            truth: Truth::of(!runs.is_empty()),
            why: None,
            runs,
            best,
        })
    }

    /// What a metric sums, if its windows begin wherever an event does.
    fn sum_over(&self, id: MetricId) -> Option<(Stat, Window)> {
        match &self.program.metrics[id.0 as usize].kind {
            MetricKind::Stat {
                stat, over: Some(w), ..
            } if is_additive(*stat) && w.slides() => Some((*stat, *w)),
            _ => None,
        }
    }

    fn peak(&self, id: MetricId, key: KeyVal, group: Option<&Group<'t>>, pieces: &[Interval]) -> Option<Peak> {
        let metrics = &self.program.metrics;
        let metric = &metrics[id.0 as usize];
        let MetricKind::Stat { sel, segment, .. } = &metric.kind else {
            return None;
        };
        let mates: Vec<MetricId> = (0u32..)
            .zip(metrics)
            .filter(|(_, m)| {
                let same = |s, g| s == sel && g == segment;
                m.key == metric.key
                    && matches!(&m.kind, MetricKind::Stat { sel: s, segment: g, over: Some(_), .. } if same(s, g))
            })
            .map(|(n, _)| MetricId(n))
            .collect();
        let slot: Peaks = {
            let mut all = self.peaks.lock().ok()?;
            Arc::clone(all.entry((*mates.first()?, key)).or_default())
        };
        // Nothing in here may wait for other tasks of the pool: they may wait for this.
        let found = slot.get_or_init(|| {
            let mut series: Vec<(Weight, Option<Series<'_>>)> = Vec::new();
            let sums = mates.iter().filter_map(|m| Some((*m, self.sum_over(*m)?)));
            sums.map(|(m, (stat, w))| {
                let weight = Weight::of(stat);
                let at = series.iter().position(|s| s.0 == weight).unwrap_or_else(|| {
                    let all = group.map_or_else(Series::default, |g| Series::of(g, weight));
                    series.push((weight, Some(all).filter(Series::only_grows)));
                    series.len() - 1
                });
                (m, series[at].1.as_ref().map(|s| s.peak(pieces, w.len_ns)))
            })
            .collect()
        });
        found.iter().find(|(m, _)| *m == id)?.1
    }
}

/// The smallest sum that satisfies the comparison.
fn least(stat: Stat, w: Window, op: CmpOp, bound: Num) -> Option<i128> {
    let n = match stat {
        Stat::Rate => bound.times(Num::int(w.len_ns.into()))?,
        _ => bound,
    };
    match op {
        CmpOp::Ge if n.denom() == 1 => Some(n.floor()),
        CmpOp::Gt | CmpOp::Ge => n.floor().checked_add(1),
        _ => None,
    }
}

/// What an event adds to a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    One,
    Duration,
    Bytes,
}

impl Weight {
    pub(super) fn of(stat: Stat) -> Self {
        match stat {
            Stat::Sum => Self::Duration,
            Stat::Bytes => Self::Bytes,
            _ => Self::One,
        }
    }

    fn column<'t>(self, part: &Part<'t>) -> &'t [i64] {
        match self {
            Self::One => &[],
            Self::Duration => &part.lane.dur,
            Self::Bytes => &part.lane.bytes,
        }
    }
}

/// Events by start, and what each adds: nothing where the column is empty and it is asked for.
#[derive(Debug, Default)]
pub(super) struct Series<'t> {
    start: Cow<'t, [i64]>,
    /// Empty where each adds one.
    weight: Cow<'t, [i64]>,
}

impl<'t> Series<'t> {
    pub(super) fn of(group: &Group<'t>, weight: Weight) -> Self {
        match group.parts.as_slice() {
            [part] if part.idx.is_none() && (weight == Weight::One || !weight.column(part).is_empty()) => Self {
                start: Cow::Borrowed(&part.lane.start),
                weight: Cow::Borrowed(weight.column(part)),
            },
            parts => {
                let starts: Vec<Cow<'t, [i64]>> = parts.iter().map(Part::starts).collect();
                let starts: Vec<&[i64]> = starts.iter().map(|s| &**s).collect();
                let n = starts.iter().map(|s| s.len()).sum();
                let mut start = Vec::with_capacity(n);
                let mut weights = Vec::with_capacity(if weight == Weight::One { 0 } else { n });
                in_order(&starts, |p, i| {
                    start.push(starts[p][i]);
                    if weight != Weight::One {
                        let column = weight.column(&parts[p]);
                        weights.push(column.get(parts[p].position(i)).copied().unwrap_or(0));
                    }
                });
                Self {
                    start: Cow::Owned(start),
                    weight: Cow::Owned(weights),
                }
            }
        }
    }

    /// Whether no event adds less than nothing. Else, of windows that begin at one instant, that which
    /// leaves out an event may hold more.
    fn only_grows(&self) -> bool {
        self.weight.iter().all(|w| *w >= 0)
    }

    /// Tells the sum of each window that begins at an event of the piece.
    fn slide(&self, piece: Interval, len: i64, mut judge: impl FnMut(i64, i128)) {
        let from = self.start.partition_point(|s| *s < piece.start);
        let to = self.start.partition_point(|s| *s <= piece.end).max(from);
        let start = &self.start[from..to];
        let weight = self.weight.get(from..to);
        let add = |i: usize| weight.map_or(1, |w| i128::from(w[i]));
        let (mut end, mut sum) = (0, 0);
        for (i, &at) in start.iter().enumerate() {
            let until = at.saturating_add(len);
            while start.get(end).is_some_and(|s| *s < until) {
                sum += add(end);
                end += 1;
            }
            judge(at, sum);
            sum -= add(i);
        }
    }

    fn peak(&self, pieces: &[Interval], len: i64) -> Peak {
        let mut peak = Peak { most: 0, windows: 0 };
        for piece in pieces {
            self.slide(*piece, len, |_, sum| {
                peak.most = peak.most.max(sum);
                peak.windows += 1;
            });
        }
        peak
    }
}

#[cfg(test)]
mod tests {
    use super::super::drawn;
    use super::*;

    #[test]
    fn the_least_that_passes() {
        let w = Window {
            len_ns: 100,
            every_ns: 10,
        };
        let half = Num::ratio(5, 2).unwrap();
        for (stat, op, bound, want) in [
            (Stat::Count, CmpOp::Gt, Num::int(2), Some(3)),
            (Stat::Count, CmpOp::Ge, Num::int(2), Some(2)),
            (Stat::Sum, CmpOp::Gt, half, Some(3)),
            (Stat::Sum, CmpOp::Ge, half, Some(3)),
            (Stat::Rate, CmpOp::Gt, half, Some(251)),
            (Stat::Count, CmpOp::Lt, Num::int(2), None),
        ] {
            assert_eq!(least(stat, w, op, bound), want, "{stat:?} {op:?} {bound:?}");
        }
    }
    #[test]
    fn sums_of_windows_are_what_lies_in_them() {
        let mut draw = drawn::source(7);
        for round in 0..100 {
            let lanes = drawn::lanes(&mut draw, round % 3 + 1, 30, 100, 9);
            let (group, events) = drawn::group(&mut draw, &lanes);
            for weight in [Weight::One, Weight::Duration, Weight::Bytes] {
                let series = Series::of(&group, weight);
                let want = |from: i64, to: i64| -> i128 {
                    let inside = events.iter().filter(|(s, _)| from <= *s && *s < to);
                    inside
                        .map(|(_, d)| match weight {
                            Weight::One => 1,
                            Weight::Duration => i128::from(*d),
                            Weight::Bytes => 0,
                        })
                        .sum()
                };
                // The first of several that begin at once has them all.
                let mut last = i64::MIN;
                series.slide(Interval::new(10, 80), 12, |from, sum| {
                    if from > last {
                        assert_eq!(
                            sum,
                            events
                                .iter()
                                .any(|e| e.0 == from)
                                .then(|| want(from, (from + 12).min(81)))
                                .unwrap()
                        );
                    }
                    last = from;
                });
            }
        }
    }
}
