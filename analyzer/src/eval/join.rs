//! Joining witnesses in time by sort-merge; nothing enumerates pairs.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::sums::Sums;
use crate::trace::{Lane, ThreadIdx};
use crate::unit::Interval;

/// An interval that a conjunct rests on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wit<'t> {
    /// Where.
    pub(super) when: Interval,
    /// Whose, if somebody's.
    pub(super) thread: Option<ThreadIdx>,
    /// The event, if it is one.
    pub(super) event: Option<(&'t Lane, usize)>,
}

/// Stretches of time that are near a witness of every list.
///
/// One witness of each list can be chosen with every pairwise distance at most `within` exactly
/// where the witnesses, each grown by half of it on both sides, have a common point (intervals on
/// a line that meet pairwise meet in a point). So the answer is the intersection of unions.
pub(super) fn common(lists: &[Vec<Interval>], within: i64) -> Vec<Region> {
    // Doubled time, so that half of an odd distance is exact.
    let grow = |i: &Interval| {
        (
            i128::from(i.start) * 2 - i128::from(within),
            i128::from(i.end) * 2 + i128::from(within),
        )
    };
    let mut acc: Option<Vec<(i128, i128)>> = None;
    for list in lists {
        let mut grown: Vec<(i128, i128)> = list.iter().map(grow).collect();
        grown.sort_unstable();
        let mut union: Vec<(i128, i128)> = Vec::new();
        for (a, b) in grown {
            match union.last_mut() {
                Some(last) if a <= last.1 => last.1 = last.1.max(b),
                _ => union.push((a, b)),
            }
        }
        acc = Some(match acc {
            None => union,
            Some(old) => cut(&old, &union),
        });
    }
    acc.unwrap_or_default()
        .into_iter()
        .map(|(a, b)| Region { from: a, to: b })
        .collect()
}

fn cut(a: &[(i128, i128)], b: &[(i128, i128)]) -> Vec<(i128, i128)> {
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while i < a.len() && j < b.len() {
        let (from, to) = (a[i].0.max(b[j].0), a[i].1.min(b[j].1));
        if from <= to {
            out.push((from, to));
        }
        if a[i].1 < b[j].1 {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

/// A stretch of doubled time in which grown witnesses of all lists meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    from: i128,
    to: i128,
}

/// Whether a witness, grown, reaches one of the regions, which are sorted and disjoint.
pub(super) fn touched(regions: &[Region], w: Interval, within: i64) -> bool {
    let end = i128::from(w.end) * 2 + i128::from(within);
    let start = i128::from(w.start) * 2 - i128::from(within);
    // The first that does not end before the witness begins.
    let k = regions.partition_point(|r| r.to < start);
    regions.get(k).is_some_and(|r| r.from <= end)
}

/// Those witnesses (sorted by start) that take part in some region.
pub(super) fn taking_part<'t>(list: &[Wit<'t>], regions: &[Region], within: i64) -> Vec<Wit<'t>> {
    list.iter()
        .filter(|w| touched(regions, w.when, within))
        .copied()
        .collect()
}

/// Merges intervals that are no further apart than `gap`; sorted, disjoint.
pub(super) fn merge(mut all: Vec<Interval>, gap: i64) -> Vec<Interval> {
    all.sort_unstable();
    let mut out: Vec<Interval> = Vec::new();
    for i in all {
        match out.last_mut() {
            Some(last) if last.distance(i) <= gap => last.end = last.end.max(i.end),
            _ => out.push(i),
        }
    }
    out
}

/// Stints of one thread with running sums: sums of whole stints near an anchor.
#[derive(Debug)]
pub(super) struct Stints<'t> {
    start: Cow<'t, [i64]>,
    len: Cow<'t, [i64]>,
    /// Largest end up to and with each, where that is not its own.
    ends: Option<Vec<i64>>,
    sums: Sums,
    /// By power of two: what lies near stretches of time that long.
    near: [OnceLock<Buckets>; 64],
}

impl<'t> Stints<'t> {
    /// All of a lane; they do not overlap.
    pub(super) fn of_lane(lane: &'t Lane) -> Self {
        Self::of(Cow::Borrowed(&lane.start), Cow::Borrowed(&lane.dur))
    }

    /// From intervals sorted by start that do not overlap.
    pub(super) fn new(all: impl Iterator<Item = Interval>) -> Self {
        let (start, len): (Vec<i64>, Vec<i64>) = all.map(|i| (i.start, i.len())).unzip();
        Self::of(Cow::Owned(start), Cow::Owned(len))
    }

    fn of(start: Cow<'t, [i64]>, len: Cow<'t, [i64]>) -> Self {
        let end = |(s, l): (&i64, &i64)| s.saturating_add(*l);
        let ends = start.iter().zip(&*len).map(end);
        let ends = (!ends.clone().is_sorted()).then(|| {
            let mut largest = i64::MIN;
            ends.map(|e| {
                largest = largest.max(e);
                largest
            })
            .collect()
        });
        Self {
            sums: Sums::new(&len),
            start,
            len,
            ends,
            near: [const { OnceLock::new() }; 64],
        }
    }

    /// Sum of all.
    pub(super) fn total(&self) -> i64 {
        self.sums.first(&self.len, self.len.len())
    }

    /// Range of stints no further than `within` from every anchor of a place.
    pub(super) fn near(&self, place: Place, within: i64) -> std::ops::Range<usize> {
        let after = place.latest_start.saturating_sub(within);
        let from = match &self.ends {
            Some(ends) => ends.partition_point(|e| *e < after),
            None => {
                // Those that begin later also end later.
                let begun = self.start.partition_point(|s| *s < after);
                let ended = |i: &usize| self.start[*i].saturating_add(self.len[*i]) < after;
                begun - (0..begun).rev().take_while(|i| !ended(i)).count()
            }
        };
        let until = place.earliest_end.saturating_add(within);
        let to = self.start.partition_point(|s| *s <= until);
        from..to.max(from)
    }

    /// Whether their summed length is at least that. Mostly it is not, and what touches the buckets around the
    /// place tells so without a search.
    pub(super) fn sum_reaches(&self, place: Place, within: i64, least: i64) -> bool {
        let from = place.latest_start.saturating_sub(within);
        let until = place.earliest_end.saturating_add(within);
        self.most(from, until) >= least && self.sum_near(place, within) >= least
    }

    /// Stints near that stretch sum to no more than this.
    fn most(&self, from: i64, until: i64) -> i64 {
        let length = until.saturating_sub(from).max(1).cast_unsigned();
        let bits = length.checked_next_power_of_two().map_or(64, u64::trailing_zeros);
        match self.near.get(bits as usize).filter(|_| bits < 63) {
            Some(near) => near.get_or_init(|| Buckets::new(self, bits)).upto(from, until),
            None => self.total(),
        }
    }

    /// What each stint reaches up to, those before it as well where one of them lasts longer.
    fn end(&self, i: usize) -> i64 {
        match &self.ends {
            Some(ends) => ends[i],
            None => self.start[i].saturating_add(self.len[i]),
        }
    }

    /// Their summed length.
    pub(super) fn sum_near(&self, place: Place, within: i64) -> i64 {
        let r = self.near(place, within);
        self.sums.first(&self.len, r.end) - self.sums.first(&self.len, r.start)
    }
}

/// Time cut into buckets, and the summed length of the stints that touch each.
#[derive(Debug)]
struct Buckets {
    origin: i64,
    /// A bucket is two to the power of this long, ns.
    bits: u32,
    sums: Vec<i64>,
}

impl Buckets {
    /// So many at most.
    const MOST: u32 = 1 << 13;

    /// Of at least that length, as a power of two.
    fn new(stints: &Stints<'_>, bits: u32) -> Self {
        let origin = stints.start.first().copied().unwrap_or(0);
        let span = stints
            .len
            .len()
            .checked_sub(1)
            .map_or(0, |last| stints.end(last).saturating_sub(origin));
        let enough = (span / i64::from(Self::MOST)).max(1).ilog2() + 1;
        let mut out = Self {
            origin,
            bits: bits.max(enough),
            sums: Vec::new(),
        };
        // What begins and, one bucket later, ends to touch: running sums of these are what touches.
        let mut changes = vec![0; out.at(origin.saturating_add(span)) + 2];
        for (i, len) in stints.len.iter().enumerate() {
            changes[out.at(stints.start[i])] += len;
            changes[out.at(stints.end(i)) + 1] -= len;
        }
        changes.pop();
        let mut sum = 0;
        for change in &mut changes {
            sum += *change;
            *change = sum;
        }
        out.sums = changes;
        out
    }

    /// Times before the first and after the last bucket lie in these.
    fn at(&self, t: i64) -> usize {
        let at = usize::try_from(t.saturating_sub(self.origin) >> self.bits).unwrap_or(0);
        if self.sums.is_empty() {
            at
        } else {
            at.min(self.sums.len() - 1)
        }
    }

    /// Stints that touch a stretch sum to no more than this.
    fn upto(&self, from: i64, until: i64) -> i64 {
        self.sums[self.at(from.min(until))..=self.at(from.max(until))]
            .iter()
            .sum()
    }
}

/// Where anchors stand that belong together, one of each term: all that their distance to a stint
/// depends on. The start may lie after the end: then they do not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    latest_start: i64,
    earliest_end: i64,
}

/// Witnesses of all placed terms but the first, ready to be joined with anchors of the first.
///
/// By list, those whose end lies beyond all ends before it: of witnesses that have begun, only the
/// one that lasts longest can be near more.
#[derive(Debug, Default)]
pub(super) struct Companions(Vec<Vec<(i64, i64)>>);

impl Companions {
    /// From lists sorted by start.
    pub(super) fn new(lists: &[Vec<Interval>]) -> Self {
        let records = |list: &Vec<Interval>| {
            let mut out: Vec<(i64, i64)> = Vec::new();
            for i in list {
                match out.last_mut() {
                    Some(last) if i.end <= last.1 => {}
                    Some(last) if i.start == last.0 => last.1 = i.end,
                    _ => out.push((i.start, i.end)),
                }
            }
            out
        };
        Self(lists.iter().map(records).collect())
    }

    /// Places of the anchor with one witness of every list, no two further apart than `within`: those
    /// that no other place of the same anchor exceeds on both sides, by start.
    pub(super) fn places(&self, anchor: Interval, within: i64) -> Vec<Place> {
        let mut out = Vec::new();
        let mut latest_start = anchor.start;
        loop {
            let mut earliest_end = anchor.end;
            let mut next: Option<i64> = None;
            for list in &self.0 {
                let begun = list.partition_point(|r| r.0 <= latest_start);
                let end = begun.checked_sub(1).map_or(i64::MIN, |i| list[i].1);
                if end < earliest_end {
                    earliest_end = end;
                    // Only a later witness of the list that ends first reaches further.
                    next = Some(list.get(begun).map_or(i64::MAX, |r| r.0));
                }
            }
            if earliest_end != i64::MIN && latest_start.saturating_sub(earliest_end) <= within {
                out.push(Place {
                    latest_start,
                    earliest_end,
                });
            }
            match next {
                Some(start) if start <= anchor.end.saturating_add(within) => latest_start = start,
                _ => return out,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn i(a: i64, b: i64) -> Interval {
        Interval::new(a, b)
    }

    #[test]
    fn common_is_pairwise_distance() {
        // Against the definition: max start - min end <= D for some choice.
        let lists = [
            vec![i(0, 10), i(100, 110)],
            vec![i(15, 20), i(300, 400)],
            vec![i(25, 30), i(118, 119)],
        ];
        for within in 0..40 {
            let brute = lists[0].iter().any(|a| {
                lists[1].iter().any(|b| {
                    lists[2]
                        .iter()
                        .any(|c| a.start.max(b.start).max(c.start) - a.end.min(b.end).min(c.end) <= within)
                })
            });
            assert_eq!(!common(&lists, within).is_empty(), brute, "within {within}");
        }
    }

    #[test]
    fn stints_sum_only_near_the_anchor() {
        let s = Stints::new([i(0, 10), i(20, 40), i(100, 105)].into_iter());
        let near = |a: Interval, within| s.sum_near(Companions::default().places(a, within)[0], within);
        assert_eq!(near(i(45, 50), 5), 20);
        assert_eq!(near(i(45, 50), 4), 0);
        assert_eq!(near(i(5, 30), 0), 30);
        assert_eq!(near(i(50, 95), 5), 5);
        assert_eq!(s.total(), 35);
    }

    #[test]
    fn no_place_has_more_than_the_most() {
        let mut state = 9u64;
        let mut draw = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 33) % n).cast_signed()
        };
        for round in 0..200 {
            // Some overlap, as the parts of a busy thread may.
            let mut at = 0;
            let mut stints: Vec<Interval> = (0..draw(40))
                .map(|_| {
                    at += draw(30);
                    let from = at;
                    at += draw(20) - i64::from(round % 3 == 0) * draw(9);
                    i(from, at)
                })
                .collect();
            stints.sort_unstable();
            let all = Stints::new(stints.into_iter());
            for _ in 0..50 {
                let latest_start = draw(900) - 20;
                let place = Place {
                    latest_start,
                    earliest_end: latest_start + draw(60) - 20,
                };
                let (within, least) = (draw(40), draw(120));
                let sum = all.sum_near(place, within);
                assert_eq!(all.sum_reaches(place, within, least), sum >= least, "round {round}");
            }
        }
    }

    #[test]
    fn places_are_where_a_stint_is_near_some_whole_choice() {
        let first = [i(0, 100), i(50, 60), i(200, 210)];
        let others = [
            vec![i(10, 12), i(40, 45), i(70, 71), i(215, 300)],
            vec![i(0, 5), i(43, 80), i(190, 205)],
        ];
        let companions = Companions::new(&others);
        for within in [0, 1, 5, 9, 30] {
            for anchor in first {
                for (a, b) in [(0, 3), (11, 11), (46, 49), (75, 90), (206, 214), (250, 251)] {
                    let stints = Stints::new(std::iter::once(i(a, b)));
                    let far = |x: Interval, y: Interval| x.distance(y) > within;
                    let brute = others[0].iter().any(|v| {
                        others[1].iter().any(|w| {
                            let all = [anchor, *v, *w, i(a, b)];
                            !all.iter().any(|x| all.iter().any(|y| far(*x, *y)))
                        })
                    });
                    let found = companions
                        .places(anchor, within)
                        .iter()
                        .any(|p| !stints.near(*p, within).is_empty());
                    assert_eq!(found, brute, "{anchor:?} {a}..{b} within {within}");
                }
            }
        }
    }
}
