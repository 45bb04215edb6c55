//! Time in which at least one event is in progress, without keeping when that is.

use std::borrow::Cow;

use super::super::merge::in_order;
use super::super::select::{Group, Part};
use crate::lang::hir::Base;
use crate::trace::Trace;
use crate::unit::Interval;

/// Whether no two events of a group can be in progress at once: gaps between the calls of one process.
fn is_apart(trace: &Trace, base: &Base, group: &Group<'_>) -> bool {
    let process = |p: &Part<'_>| trace.thread(p.lane.thread).process;
    matches!(base, Base::Gap(_) | Base::DrainedGap(_))
        && group.parts.windows(2).all(|p| process(&p[0]) == process(&p[1]))
}

/// In each of some windows, the time in which at least one event of a group is in progress, ns.
pub(super) fn busy(trace: &Trace, base: &Base, group: Option<&Group<'_>>, windows: &[Interval]) -> Vec<i64> {
    let mut cells = Cells::new(windows);
    match group {
        Some(group) if is_apart(trace, base, group) => {
            for part in &group.parts {
                cells.rewind();
                for i in part.iter() {
                    cells.add(part.lane.interval(i));
                }
            }
        }
        Some(group) => {
            let starts: Vec<Cow<'_, [i64]>> = group.parts.iter().map(Part::starts).collect();
            let starts: Vec<&[i64]> = starts.iter().map(|s| &**s).collect();
            let mut end = i64::MIN;
            in_order(&starts, |p, i| {
                let part = &group.parts[p];
                let when = part.lane.interval(part.position(i));
                if when.end > end {
                    cells.add(Interval::new(when.start.max(end), when.end));
                    end = when.end;
                }
            });
        }
        None => {}
    }
    cells.within(windows)
}

/// Time by the stretches between all begins and ends of windows.
struct Cells {
    cuts: Vec<i64>,
    /// By the cut at which they begin.
    time: Vec<i64>,
    /// Where the last interval began.
    at: usize,
}

impl Cells {
    fn new(windows: &[Interval]) -> Self {
        let mut cuts: Vec<i64> = windows.iter().flat_map(|w| [w.start, w.end]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        Self {
            time: vec![0; cuts.len()],
            cuts,
            at: 0,
        }
    }

    /// The next interval may begin anywhere.
    fn rewind(&mut self) {
        self.at = 0;
    }

    /// Adds an interval that begins no earlier than the one before.
    fn add(&mut self, when: Interval) {
        while self.cuts.get(self.at + 1).is_some_and(|next| *next <= when.start) {
            self.at += 1;
        }
        for (k, cell) in self.cuts.windows(2).enumerate().skip(self.at) {
            if when.end <= cell[0] {
                break;
            }
            self.time[k] += (when.end.min(cell[1]) - when.start.max(cell[0])).max(0);
        }
    }

    /// The time in each window.
    fn within(&self, windows: &[Interval]) -> Vec<i64> {
        let mut sum = 0;
        let upto: Vec<i64> = self
            .time
            .iter()
            .map(|t| {
                let before = sum;
                sum += t;
                before
            })
            .collect();
        let at = |t: i64| self.cuts.binary_search(&t).map_or(0, |k| upto[k]);
        windows.iter().map(|w| at(w.end) - at(w.start)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_window_has_the_time_in_it() {
        let busy = [(3, 8), (8, 9), (20, 60), (61, 61), (70, 75)].map(|(a, b)| Interval::new(a, b));
        let windows: Vec<Interval> = (0..9).map(|k| Interval::new(k * 7, k * 7 + 20)).collect();
        for windows in [
            windows,
            vec![Interval::new(5, 72)],
            vec![Interval::new(4, 4)],
            Vec::new(),
        ] {
            let mut cells = Cells::new(&windows);
            for b in busy {
                cells.add(b);
            }
            let want: Vec<i64> = windows
                .iter()
                .map(|w| busy.iter().map(|b| b.overlap(*w)).sum())
                .collect();
            assert_eq!(cells.within(&windows), want);
        }
    }
}
