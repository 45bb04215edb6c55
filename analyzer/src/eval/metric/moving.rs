//! Events in windows that move on: what each holds, part by part, for sums and ranks ask for no order in time.

use std::borrow::Cow;
use std::ops::Range;

use super::super::select::{Group, Part};
use super::super::sums;
use crate::lang::hir::Stat;
use crate::trace::Lane;
use crate::unit::{Interval, Num};

/// The events of a group in a window.
pub(super) struct Moving<'t> {
    parts: Vec<Columns<'t>>,
    /// By part: the positions in the window.
    spans: Vec<Range<usize>>,
}

/// The events of a part, by start.
struct Columns<'t> {
    start: Cow<'t, [i64]>,
    dur: Cow<'t, [i64]>,
    /// Empty where nothing is known of sizes.
    bytes: Cow<'t, [i64]>,
}

impl<'t> Columns<'t> {
    fn of(part: &Part<'t>) -> Self {
        let lane: &'t Lane = part.lane;
        let column = |all: &'t [i64]| match &part.idx {
            Some(idx) if !all.is_empty() => Cow::Owned(idx.iter().map(|i| all[*i as usize]).collect()),
            _ => Cow::Borrowed(all),
        };
        Self {
            start: part.starts(),
            dur: column(&lane.dur),
            bytes: column(&lane.bytes),
        }
    }
}

impl<'t> Moving<'t> {
    /// Before the first window.
    pub(super) fn new(group: Option<&Group<'t>>) -> Self {
        let parts: Vec<Columns<'t>> = group.map_or(&[][..], |g| &g.parts).iter().map(Columns::of).collect();
        Self {
            spans: vec![0..0; parts.len()],
            parts,
        }
    }

    /// Moves on to a window that begins and ends no earlier than the one before: events that start in it,
    /// its end left out.
    pub(super) fn to(&mut self, window: Interval) {
        for (part, span) in self.parts.iter().zip(&mut self.spans) {
            let after = |from: usize, t: i64| from + part.start[from..].iter().take_while(|s| **s < t).count();
            span.start = after(span.start, window.start);
            span.end = after(span.end.max(span.start), window.end);
        }
    }

    /// How many events the window holds.
    pub(super) fn len(&self) -> usize {
        self.spans.iter().map(Range::len).sum()
    }

    fn sum(&self, of: for<'c> fn(&'c Columns<'t>) -> &'c [i64]) -> i128 {
        let each = self.parts.iter().zip(&self.spans);
        each.map(|(p, span)| of(p).get(span.clone()).map_or(0, sums::sum)).sum()
    }

    /// The duration of the event with that rank, counted from 0.
    fn nth(&self, rank: usize) -> i64 {
        let mut all: Vec<i64> = Vec::with_capacity(self.len());
        for (part, span) in self.parts.iter().zip(&self.spans) {
            all.extend_from_slice(&part.dur[span.clone()]);
        }
        *all.select_nth_unstable(rank).1
    }

    /// A statistic of the window; `None` where there is nothing to measure, and for those that depend on the
    /// order of the events.
    pub(super) fn value(&self, stat: Stat, min_count: u64, len_ns: i64) -> Option<Num> {
        let n = self.len();
        let count = || n as i128;
        let durations = || self.sum(|p| &p.dur);
        let bytes = || self.sum(|p| &p.bytes);
        match stat {
            Stat::Count => return Some(Num::int(count())),
            Stat::Rate => return Num::ratio(count(), len_ns.into()),
            Stat::Sum => return Some(Num::int(durations())),
            Stat::Bytes => return Some(Num::int(bytes())),
            _ => {}
        }
        if n == 0 || (n as u64) < min_count {
            return None;
        }
        match stat {
            Stat::Avg => Num::ratio(durations(), count()),
            Stat::Throughput => Num::ratio(bytes(), durations()),
            _ => Some(Num::int(self.nth(rank(stat, n)?).into())),
        }
    }
}

/// The rank of a statistic that is one of `n` durations, counted from 0.
pub(super) fn rank(stat: Stat, n: usize) -> Option<usize> {
    let (p, q) = match stat {
        Stat::Min => return Some(0),
        Stat::Max => return n.checked_sub(1),
        Stat::Pct(p, q) => (u64::from(p), u64::from(q.max(1))),
        _ => return None,
    };
    let k = (n as u64 * p).div_ceil(q).clamp(1, n.max(1) as u64);
    usize::try_from(k - 1).ok()
}

/// A statistic that is one of the durations, window by window, where only the most matters: whether it
/// reaches a limit is a matter of counting the events that do, and counts move on with the window.
pub(super) struct Ranked {
    pub(super) stat: Stat,
    pub(super) min_count: u64,
    /// Whether more is better, else less is.
    pub(super) most: bool,
}

impl Ranked {
    /// The best value of all windows, and how many have one.
    pub(super) fn best(
        &self,
        group: Option<&Group<'_>>,
        windows: impl Iterator<Item = Interval>,
    ) -> (Option<i64>, u64) {
        let mut best: Option<(i64, Tally)> = None;
        let mut samples = 0;
        self.each(group, windows, |events, rank, _| {
            samples += 1;
            if let Some((_, better)) = &mut best
                && better.count(events) < self.needed(events.len(), rank)
            {
                return;
            }
            let value = events.nth(rank);
            let better = if self.most {
                value.checked_add(1).map(|v| (v, i64::MAX))
            } else {
                value.checked_sub(1).map(|v| (i64::MIN, v))
            };
            best = Some((value, Tally::new(better.unwrap_or((1, 0)))));
        });
        (best.map(|b| b.0), samples)
    }

    /// Tells the windows whose value lies in a range, which has no end on the side of better values.
    pub(super) fn reaching(
        &self,
        group: Option<&Group<'_>>,
        windows: impl Iterator<Item = Interval>,
        range: (i64, i64),
        mut tell: impl FnMut(Interval),
    ) {
        let mut inside = Tally::new(range);
        self.each(group, windows, |events, rank, window| {
            if inside.count(events) >= self.needed(events.len(), rank) {
                tell(window);
            }
        });
    }

    /// How many events must be as good as a value for the one of that rank to be.
    fn needed(&self, n: usize, rank: usize) -> usize {
        if self.most { n - rank } else { rank + 1 }
    }

    fn each<'t>(
        &self,
        group: Option<&Group<'t>>,
        windows: impl Iterator<Item = Interval>,
        mut visit: impl FnMut(&Moving<'t>, usize, Interval),
    ) {
        let mut events = Moving::new(group);
        for window in windows {
            events.to(window);
            let n = events.len();
            if n > 0
                && n as u64 >= self.min_count
                && let Some(rank) = rank(self.stat, n)
            {
                visit(&events, rank, window);
            }
        }
    }
}

/// How many events of the window last as long as a range says.
struct Tally {
    range: (i64, i64),
    n: usize,
    /// What was counted.
    spans: Vec<Range<usize>>,
}

impl Tally {
    fn new(range: (i64, i64)) -> Self {
        Self {
            range,
            n: 0,
            spans: Vec::new(),
        }
    }

    fn count(&mut self, events: &Moving<'_>) -> usize {
        let (lo, hi) = self.range;
        self.spans.resize(events.spans.len(), 0..0);
        for ((part, now), before) in events.parts.iter().zip(&events.spans).zip(&mut self.spans) {
            let inside = |span: Range<usize>| part.dur[span].iter().filter(|d| lo <= **d && **d <= hi).count();
            if now.start < before.end {
                self.n -= inside(before.start..now.start);
                self.n += inside(before.end..now.end);
            } else {
                self.n -= inside(before.clone());
                self.n += inside(now.clone());
            }
            before.clone_from(now);
        }
        self.n
    }
}

#[cfg(test)]
mod tests {
    use super::super::drawn;
    use super::*;

    #[test]
    fn windows_that_move_hold_what_lies_in_them() {
        let mut draw = drawn::source(11);
        for round in 0..300 {
            let lanes = drawn::lanes(&mut draw, round % 3 + 1, 40, 200, 12);
            let (group, events) = drawn::group(&mut draw, &lanes);
            let (len, every) = (1 + draw(60), 1 + draw(30));
            let windows: Vec<Interval> = (0..12).map(|k| Interval::new(k * every, k * every + len)).collect();
            let min_count = draw(4).cast_unsigned();
            for stat in [Stat::Min, Stat::Pct(50, 100), Stat::Pct(90, 100), Stat::Max] {
                let value = |w: &Interval| {
                    let inside = events.iter().filter(|e| w.start <= e.0 && e.0 < w.end);
                    let mut durs: Vec<i64> = inside.map(|e| e.1).collect();
                    durs.sort_unstable();
                    let enough = !durs.is_empty() && durs.len() as u64 >= min_count;
                    enough.then(|| durs[rank(stat, durs.len()).unwrap()])
                };
                let values: Vec<Option<i64>> = windows.iter().map(value).collect();
                let mut moving = Moving::new(Some(&group));
                for (w, want) in windows.iter().zip(&values) {
                    moving.to(*w);
                    let want = want.map(|v| Num::int(v.into()));
                    assert_eq!(moving.value(stat, min_count, len), want);
                }
                for most in [true, false] {
                    let ranked = Ranked { stat, min_count, most };
                    let all = || values.iter().flatten().copied();
                    let best = if most { all().max() } else { all().min() };
                    let found = ranked.best(Some(&group), windows.iter().copied());
                    assert_eq!(found, (best, all().count() as u64), "{stat:?} {most} in round {round}");
                    let limit = draw(12);
                    let range = if most { (limit, i64::MAX) } else { (i64::MIN, limit) };
                    let mut got = Vec::new();
                    ranked.reaching(Some(&group), windows.iter().copied(), range, |w| got.push(w));
                    let inside = |v: &Option<i64>| v.is_some_and(|v| range.0 <= v && v <= range.1);
                    let want: Vec<Interval> = (windows.iter().zip(&values))
                        .filter(|(_, v)| inside(v))
                        .map(|(w, _)| *w)
                        .collect();
                    assert_eq!(got, want);
                }
            }
        }
    }
}
