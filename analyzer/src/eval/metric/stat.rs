//! Counts, sums, percentiles and their like.
//!
//! Counts, rates, sums, shortest and longest come from rows and aggregates together; percentiles
//! from complete windows, or as bounds where part was dropped.

use super::super::Engine;
use super::super::key::KeyVal;
use super::super::logic::{Lack, Reason};
use super::super::select::{Group, Missing, hull, intersect};
use super::super::sums;
use super::super::value::{Ext, Val};
use super::Cell;
use super::busy::busy;
use crate::lang::hir::{Base, Segment, Selector, Stat};
use crate::trace::catalogue::{Field, Key};
use crate::trace::{Lane, Trace};
use crate::unit::{Interval, Num};

impl<'t> Engine<'t> {
    /// Several statistics of one selection and key; `stats` with the samples that each needs.
    pub(in crate::eval) fn stats(
        &self,
        sel: &Selector,
        key: KeyVal,
        group: Option<&Group<'t>>,
        (segment, on): (Segment, &[Key]),
        stats: &[(Stat, u64)],
    ) -> Vec<Cell> {
        let all = |v: Val| stats.iter().map(|_| Cell::of(v.clone())).collect::<Vec<_>>();
        let seg = match self.stretches(segment, on, key) {
            Ok(seg) => seg,
            Err(why) => return all(Val::of_no_part(why)),
        };
        let mut missing = self.missing(sel, key, hull(&seg)).with_maybe(group, &seg);
        if seg.len() > 1 {
            // Aggregates tell of the whole between the ends, not of the pieces.
            (missing.whole, missing.least) = (None, 0);
        }
        if let Some(why) = group.and_then(|g| g.uncertain.clone()) {
            return all(Val::unknown(why));
        }
        let each = stats
            .iter()
            .any(|(s, _)| matches!(s, Stat::Pct(..) | Stat::Min | Stat::Max | Stat::Stddev));
        let rows = Rows::gather(group, &seg, each);
        let len: i64 = seg.iter().map(|s| s.len()).sum();
        let windows = intersect(&missing.windows, &seg);
        let in_windows = (!missing.is_nothing() && !windows.is_empty()).then(|| {
            let mut rows = Rows::default();
            for w in &windows {
                rows.add_ended(group, *w, each);
            }
            // What may belong to the selection or not may do so in the windows too.
            let missing = Missing::nothing().with_maybe(group, &windows);
            (rows, missing, windows.iter().map(|w| w.len()).sum::<i64>())
        });
        let place = Place {
            trace: self.trace,
            base: &sel.base,
            group,
            seg: &seg,
        };
        let mut sorted = Vec::new();
        let mut sorted_windows = Vec::new();
        stats
            .iter()
            .map(|&(stat, min_count)| {
                let all = match stat {
                    Stat::Distinct(field) => self.distinct(field, &missing, group, &seg),
                    _ => rows.stat(stat, min_count, &missing, len, &mut sorted, &place),
                };
                // What is true of a part is not true of the whole, except where a part is a fair
                // sample: additive and extreme values are told by bounds only.
                let sample = matches!(stat, Stat::Pct(..) | Stat::Avg | Stat::Stddev | Stat::Throughput);
                // Sums and counts of a part say nothing of the whole, but their proportions do.
                let additive = matches!(stat, Stat::Count | Stat::Sum | Stat::Bytes);
                let found = in_windows.as_ref().filter(|_| sample || additive);
                let found = found
                    .map(|(rows, missing, len)| rows.stat(stat, min_count, missing, *len, &mut sorted_windows, &place));
                let (window, portion) = if sample { (found, None) } else { (None, found) };
                Cell { all, window, portion }
            })
            .collect()
    }

    /// How many values a field has.
    fn distinct(&self, field: Field, missing: &Missing, group: Option<&Group<'t>>, seg: &[Interval]) -> Val {
        let inside = || group.into_iter().flat_map(|g| Self::inside(g, seg));
        let values: std::collections::BTreeSet<_> = inside().filter_map(|(l, i)| self.identity(l, i, field)).collect();
        let least = values.len() as i128;
        let n = inside().count() as u64;
        let most = missing
            .count
            .map_or(Ext::PosInf, |m| Ext::Fin(Num::int(least + i128::from(m))));
        Val::between(Ext::Fin(Num::int(least)), most, n, missing.reason())
    }

    /// The median duration of a selection without its filters on duration: what is usual.
    pub(in crate::eval) fn usual(&self, sel: &Selector, key: KeyVal, keys: &[Key]) -> i64 {
        if !matches!(sel.base, Base::Ops(_) | Base::State(_)) {
            return 0;
        }
        let bare = Selector {
            filters: Vec::new(),
            ..sel.clone()
        };
        let whose = (bare, keys.to_vec(), key);
        if let Some(known) = self.usual.lock().ok().and_then(|u| u.get(&whose).copied()) {
            return known;
        }
        let groups = self.groups(&whose.0, keys);
        let parts = Self::group_of(&groups, key).into_iter().flat_map(|g| &g.parts);
        let mut durs: Vec<i64> = parts.flat_map(|p| p.iter().map(|i| p.lane.dur[i])).collect();
        let middle = durs.len().saturating_sub(1) / 2;
        let usual = if durs.is_empty() {
            0
        } else {
            *durs.select_nth_unstable(middle).1
        };
        if let Ok(mut all) = self.usual.lock() {
            all.insert(whose, usual);
        }
        usual
    }
}

/// Which events a statistic is of, and in which part of the trace.
struct Place<'g, 't> {
    trace: &'t Trace,
    base: &'g Base,
    group: Option<&'g Group<'t>>,
    seg: &'g [Interval],
}

/// Durations and sums of selected rows.
#[derive(Default)]
struct Rows {
    n: u64,
    /// Each of them, where asked for.
    durs: Vec<i64>,
    sum: i128,
    bytes: i128,
}

impl Rows {
    /// `each`: whether single durations are asked for as well.
    fn gather(group: Option<&Group<'_>>, seg: &[Interval], each: bool) -> Self {
        let mut rows = Self::default();
        for s in seg {
            rows.add(group, *s, each);
        }
        rows
    }

    /// Those that ended in a window: calls are stored when they return, so one that began in it and
    /// returned later may be no row.
    fn add_ended(&mut self, group: Option<&Group<'_>>, window: Interval, each: bool) {
        for part in group.into_iter().flat_map(|g| &g.parts) {
            let ended = |i: &usize| window.contains(part.lane.interval(*i).end);
            self.add_some(part.lane, part.iter().filter(ended), each);
        }
    }

    fn add(&mut self, group: Option<&Group<'_>>, seg: Interval, each: bool) {
        let Some(group) = group else { return };
        for part in &group.parts {
            let lane = part.lane;
            let from = lane.start.partition_point(|s| *s < seg.start);
            let to = lane.start.partition_point(|s| *s <= seg.end).max(from);
            match &part.idx {
                None => {
                    let durs = &lane.dur[from..to];
                    if each {
                        self.durs.extend_from_slice(durs);
                    }
                    self.n += durs.len() as u64;
                    self.sum += sums::sum(durs);
                    if !lane.bytes.is_empty() {
                        self.bytes += sums::sum(&lane.bytes[from..to]);
                    }
                }
                Some(idx) => {
                    let from = idx.partition_point(|i| (*i as usize) < from);
                    let to = idx.partition_point(|i| (*i as usize) < to).max(from);
                    self.add_some(lane, idx[from..to].iter().map(|i| *i as usize), each);
                }
            }
        }
    }

    fn add_some(&mut self, lane: &Lane, positions: impl Iterator<Item = usize>, each: bool) {
        for i in positions {
            if each {
                self.durs.push(lane.dur[i]);
            }
            self.n += 1;
            self.sum += i128::from(lane.dur[i]);
            self.bytes += lane.bytes.get(i).map_or(0, |b| i128::from(*b));
        }
    }

    fn n(&self) -> u64 {
        self.n
    }

    /// `sorted` is filled on the first percentile and reused.
    fn stat(
        &self,
        stat: Stat,
        min_count: u64,
        missing: &Missing,
        len: i64,
        sorted: &mut Vec<i64>,
        place: &Place<'_, '_>,
    ) -> Val {
        let n = self.n();
        // Additive ones first: zero events are a number too.
        let counted = |exact: i128, whole: Option<i128>, at_most: Option<i128>| {
            if missing.is_nothing() {
                return Val::exact(Num::int(exact), n);
            }
            if let (Some(w), Some(total)) = (missing.whole, whole) {
                return Val::exact(Num::int(total.max(exact)), w.count.max(n));
            }
            let hi = at_most.map_or(Ext::PosInf, |m| Ext::Fin(Num::int(exact + m)));
            Val::between(Ext::Fin(Num::int(exact)), hi, n, missing.reason())
        };
        let count = || {
            counted(
                i128::from(n),
                missing.whole.map(|w| i128::from(w.count)),
                missing.count.map(i128::from),
            )
        };
        let sum = || counted(self.sum, missing.whole.map(|w| w.sum), missing.sum);
        let per_time = |v: Val| match Num::ratio(1, i128::from(len)) {
            Some(inverse) => v.arith(crate::lang::hir::Arith::Mul, &Val::exact(inverse, v.samples)),
            None => Val::unknown(Reason::new(Lack::Few, "the time observed has no length")),
        };
        match stat {
            Stat::Count => return count(),
            Stat::Rate => return per_time(count()),
            Stat::Sum => return sum(),
            Stat::Bytes => {
                return counted(
                    self.bytes,
                    missing.whole.filter(|w| !w.bytes_unknown).map(|w| w.bytes),
                    (missing.count == Some(0)).then_some(0),
                );
            }
            Stat::Busy => {
                if place.group.is_none() {
                    return per_time(counted(0, None, missing.sum));
                }
                let time = busy(place.trace, place.base, place.group, place.seg);
                let exact: i128 = time.into_iter().map(i128::from).sum();
                let at_most = missing.sum.map(|s| s.min(i128::from(len) - exact).max(0));
                let at_most = Some(at_most.unwrap_or_else(|| (i128::from(len) - exact).max(0)));
                return per_time(counted(exact, None, at_most));
            }
            _ => {}
        }
        if n == 0 && missing.is_nothing() {
            return Val::nothing();
        }
        let enough = if missing.whole.is_some() {
            missing.whole.map_or(0, |w| w.count).max(n)
        } else {
            n
        };
        if enough < min_count.max(1) {
            let lack = if missing.is_nothing() {
                Lack::Few
            } else {
                missing.reason().lack
            };
            let more = if missing.is_nothing() { "" } else { " stored" };
            let text = if lack == Lack::Missing {
                missing.reason().text.to_string()
            } else {
                format!("{n} events{more}, and at least {} are needed", min_count.max(1))
            };
            return Val::unknown(Reason::new(lack, text));
        }
        match stat {
            Stat::Avg => sum().arith(crate::lang::hir::Arith::Div, &count()),
            Stat::Throughput if self.bytes > 0 && missing.is_nothing() => {
                Num::ratio(self.bytes, self.sum).map_or_else(Val::nothing, |v| Val::exact(v, n))
            }
            Stat::Throughput if missing.is_nothing() => Val::nothing(),
            Stat::Stddev if missing.is_nothing() => Val::exact(Num::int(stddev(&self.durs)), n),
            Stat::Throughput | Stat::Stddev => Val::unknown(missing.reason()),
            Stat::First | Stat::Last => {
                if !missing.is_nothing() {
                    return Val::unknown(missing.reason());
                }
                let events = place
                    .group
                    .into_iter()
                    .flat_map(|g| Engine::inside(g, place.seg))
                    .map(|(l, i)| (l.start[i], l.dur[i]));
                let found = if stat == Stat::First {
                    events.min()
                } else {
                    events.max()
                };
                found.map_or_else(Val::nothing, |(_, d)| Val::exact(Num::int(d.into()), n))
            }
            Stat::Min | Stat::Max | Stat::Pct(..) => self.percentile(stat, missing, sorted),
            _ => Val::nothing(),
        }
    }

    fn percentile(&self, stat: Stat, missing: &Missing, sorted: &mut Vec<i64>) -> Val {
        let n = self.n();
        let num = |v: i64| Ext::Fin(Num::int(v.into()));
        let (p, q) = match stat {
            Stat::Pct(p, q) => (u64::from(p), u64::from(q.max(1))),
            Stat::Min => (0, 1),
            _ => (1, 1),
        };
        if missing.is_nothing() && n > 0 {
            if sorted.is_empty() {
                sorted.extend_from_slice(&self.durs);
            }
            let rank = rank(n, p, q);
            let value = *sorted.select_nth_unstable(usize::try_from(rank - 1).unwrap_or(0)).1;
            let mut v = Val::exact(Num::int(value.into()), n);
            // The rank is an event only from 1/(1-q) events on.
            v.low_support = matches!(stat, Stat::Pct(..)) && n.saturating_mul(q - p.min(q)) < q;
            return v;
        }
        if let (Some(w), Stat::Min) = (missing.whole, stat) {
            return Val::exact(Num::int(w.min.into()), w.count);
        }
        if let (Some(w), Stat::Max) = (missing.whole, stat) {
            return Val::exact(Num::int(w.max.into()), w.count);
        }
        // The missing ones are somewhere between 0 and `max_dur`: put them all low, then all high.
        let Some(lost) = missing.count else {
            return Val::unknown(missing.reason());
        };
        sorted.clear();
        sorted.extend_from_slice(&self.durs);
        sorted.sort_unstable();
        let rank = rank(n + lost, p, q);
        let at = |k: u64| {
            k.checked_sub(1)
                .and_then(|k| usize::try_from(k).ok())
                .and_then(|k| sorted.get(k).copied())
        };
        let low = at(rank.saturating_sub(lost)).unwrap_or(0);
        let longest = missing.max_dur.or(missing.whole.map(|w| w.max));
        let least = missing.least.min(lost);
        let high = match longest {
            // Only those longer than any missing one keep their rank from above.
            Some(longest) => {
                // The fewer are missing, the further up the rank lies.
                let above = sorted.len() - sorted.partition_point(|d| *d <= longest);
                let from_top = (n + least) - self::rank(n + least, p, q);
                if from_top < above as u64 {
                    at(n - from_top).map_or(Ext::PosInf, num)
                } else {
                    num(longest)
                }
            }
            None => at(rank).map_or(Ext::PosInf, num),
        };
        Val::between(num(low), high, n, missing.reason())
    }
}

/// The standard deviation of durations.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a spread, rounded to ns"
)]
pub(super) fn stddev(durs: &[i64]) -> i128 {
    let n = durs.len() as f64;
    let mean = durs.iter().map(|d| i128::from(*d)).sum::<i128>() as f64 / n;
    let var = durs.iter().map(|d| (*d as f64 - mean).powi(2)).sum::<f64>() / n;
    var.sqrt().round() as i128
}

/// Nearest rank, from 1: the smallest k with k/n >= p/q.
fn rank(n: u64, p: u64, q: u64) -> u64 {
    let k = (u128::from(n) * u128::from(p)).div_ceil(u128::from(q));
    u64::try_from(k).unwrap_or(n).clamp(1, n.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(durs: &[i64]) -> Rows {
        Rows {
            n: durs.len() as u64,
            durs: durs.to_vec(),
            sum: durs.iter().map(|d| i128::from(*d)).sum(),
            bytes: 0,
        }
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let r = rows(&(1..=100).rev().collect::<Vec<_>>());
        for (p, q, want) in [(50, 100, 50), (99, 100, 99), (999, 1000, 100), (1, 100, 1)] {
            let v = r.percentile(Stat::Pct(p, q), &Missing::nothing(), &mut Vec::new());
            assert_eq!(v.point(), Some(Num::int(want)));
        }
    }

    #[test]
    fn bounds_hold_whatever_was_dropped() {
        // 100 calls of 1..=100 of which the recorder kept those over 60.
        let all: Vec<i64> = (1..=100).collect();
        let kept = rows(&all[60..]);
        let missing = Missing {
            count: Some(60),
            least: 60,
            sum: Some(1830),
            max_dur: Some(75),
            ..Missing::nothing()
        };
        for (p, q) in [(10, 100), (50, 100), (70, 100), (80, 100), (99, 100)] {
            let truth = all[usize::try_from(rank(100, p, q) - 1).unwrap()];
            let stat = Stat::Pct(u32::try_from(p).unwrap(), u32::try_from(q).unwrap());
            let v = kept.percentile(stat, &missing, &mut Vec::new());
            assert!(v.lo <= Ext::Fin(Num::int(truth.into())), "p{p}: {v:?}");
            assert!(v.hi >= Ext::Fin(Num::int(truth.into())), "p{p}: {v:?}");
        }
        let p99 = kept.percentile(Stat::Pct(99, 100), &missing, &mut Vec::new());
        assert_eq!(p99.point(), Some(Num::int(99)));
    }
}
