//! Words of order: `then`, `without`, `during`, `lasting`, and `within` that looks to one side.
//!
//! Each joins witnesses by their starts in one pass. Where what was not observed could decide, the
//! answer carries a doubt: what was not seen is never taken for absent.

use super::Engine;
use super::cond::{Joined, Judged, keys_of};
use super::join::{self, Wit};
use super::key::KeyVal;
use super::logic::{Lack, Reason, Truth};
use crate::lang::hir::{Cond, Side};
use crate::trace::catalogue::Key;
use crate::unit::Interval;

/// What a word of order came to.
pub(super) struct Placed<'t> {
    /// Witnesses of each part that take part, in the order of the parts.
    pub(super) terms: Vec<Vec<Wit<'t>>>,
    /// Where the whole holds, sorted.
    pub(super) hits: Vec<Wit<'t>>,
    /// Why it may hold in more places.
    pub(super) doubt: Option<Reason>,
    /// Distance at which matches are one incident, ns.
    gap: i64,
    /// Share (thousandths) of shifts that match as much.
    chance: u32,
}

/// The witnesses of one part.
pub(super) struct Leaf<'t> {
    /// Those that were asked for.
    pub(super) hits: Vec<Wit<'t>>,
    /// Whether there is any.
    any: bool,
    /// Why there may be more.
    pub(super) doubt: Option<Reason>,
}

impl Leaf<'_> {
    /// There is none, and that was seen.
    fn is_refuted(&self) -> bool {
        !self.any && self.doubt.is_none()
    }
}

impl Placed<'_> {
    pub(super) fn judged(&self) -> Judged {
        let truth = match (&self.doubt, self.hits.is_empty()) {
            (_, false) => Truth::True,
            (Some(_), true) => Truth::Unknown,
            (None, true) => Truth::False,
        };
        Judged::of(truth, self.doubt.clone())
    }
}

/// What holds at a place of its own.
fn hit<'t>(when: Interval) -> Wit<'t> {
    Wit {
        when,
        thread: None,
        event: None,
    }
}

impl<'t> Engine<'t> {
    /// Judges a word of order; `None` for other conditions. `full` asks for the chance as well.
    pub(super) fn placed(&self, on: &[Key], c: &Cond, key: KeyVal, full: bool) -> Option<Placed<'t>> {
        Some(match c {
            Cond::Then { terms, hops, .. } => self.chain(on, terms, hops, key, full),
            Cond::Within {
                terms,
                within_ns,
                side: side @ (Side::Before | Side::After),
                ..
            } => self.beside(on, terms, *within_ns, *side, key, full),
            Cond::Without {
                cond,
                absent,
                within_ns,
                side,
                ..
            } => self.lonely(on, cond, absent, *within_ns, *side, key),
            Cond::During { inner, outer, .. } => self.inside_of(on, inner, outer, key, full),
            Cond::Lasting { cond, at_least_ns, .. } => self.lasting(on, cond, *at_least_ns, key),
            _ => return None,
        })
    }

    /// The match for the report; `None` where it does not hold.
    pub(super) fn ordered(&self, on: &[Key], c: &Cond, key: KeyVal) -> Option<Joined<'t>> {
        let p = self.placed(on, c, key, true).filter(|p| !p.hits.is_empty())?;
        let owned: Vec<(usize, Vec<Wit<'t>>)> = p.terms.iter().cloned().enumerate().collect();
        Some(Joined {
            link: self.link_of(&owned),
            incidents: join::merge(p.hits.iter().map(|w| w.when).collect(), p.gap),
            terms: p.terms,
            chance: p.chance,
        })
    }

    /// A part with its witnesses, sorted by start.
    pub(super) fn leaf(&self, on: &[Key], c: &Cond, key: KeyVal) -> Leaf<'t> {
        if let Some(p) = self.placed(on, c, key, false) {
            return Leaf {
                any: !p.hits.is_empty(),
                hits: p.hits,
                doubt: p.doubt,
            };
        }
        let (j, hits) = if let Cond::Within { terms, within_ns, .. } = c {
            // A group is one thing: its incidents.
            let (j, joined) = self.join(on, terms, *within_ns, key, false);
            let incidents = joined.map(|j| j.incidents).unwrap_or_default();
            (j, incidents.into_iter().map(hit).collect())
        } else {
            let j = self.judge(on, c, key);
            let hits = match j.truth {
                Truth::True => self.witnesses(on, c, key).unwrap_or_default(),
                _ => Vec::new(),
            };
            (j, hits)
        };
        let doubt = self.leaf_doubt(on, c, key, j);
        Leaf {
            any: !hits.is_empty(),
            hits,
            doubt,
        }
    }

    /// A part, with those of its witnesses that may follow others within some time.
    fn leaf_after(&self, on: &[Key], c: &Cond, key: KeyVal, others: &[Interval], within: Option<i64>) -> Leaf<'t> {
        let (Cond::Exists { sel, .. }, Some(within)) = (c, within) else {
            return self.leaf(on, c, key);
        };
        let judged = self.judge(on, c, key);
        let any = judged.truth == Truth::True;
        let reach = others.iter().map(|w| look(*w, within, Side::After)).collect();
        Leaf {
            hits: if any {
                self.events(sel, &keys_of(on, sel), key, Some(&join::merge(reach, 0)))
            } else {
                Vec::new()
            },
            any,
            doubt: self.leaf_doubt(on, c, key, judged),
        }
    }

    /// Why there may be more witnesses of a part than are known of.
    fn leaf_doubt(&self, on: &[Key], c: &Cond, key: KeyVal, judged: Judged) -> Option<Reason> {
        match judged.truth {
            Truth::False => None,
            Truth::True => self.unseen(on, c, key),
            Truth::Unknown => Some(
                judged
                    .why
                    .unwrap_or_else(|| Reason::new(Lack::Partial, "a part of the condition is not known")),
            ),
        }
    }

    /// Whether whatever the key did in that time was within reach of the recording.
    fn watched(&self, key: KeyVal, when: Interval) -> bool {
        let node = self.trace.node(key.node());
        let Some(observed) = node.observed else { return false };
        let mut when = when;
        if key.process().is_some() {
            let lives = || {
                self.names
                    .members(self.trace, key)
                    .into_iter()
                    .map(|p| self.trace.process(p))
            };
            // Before its begin and after its end a process does nothing.
            if lives().all(|p| p.start_seen && p.alive.start >= observed.start) {
                when.start = when.start.max(observed.start).min(when.end);
            }
            if lives().all(|p| p.exit_seen && p.alive.end <= observed.end) {
                when.end = when.end.min(observed.end).max(when.start);
            }
        }
        let pauses = node.sessions.windows(2).filter(|s| s[0].end < s[1].start);
        observed.start <= when.start
            && when.end <= observed.end
            && pauses
                .into_iter()
                .all(|s| when.end <= s[0].end || s[1].start <= when.start)
    }

    fn leaves(&self, on: &[Key], terms: &[Cond], key: KeyVal) -> Vec<Leaf<'t>> {
        terms.iter().map(|c| self.leaf(on, c, key)).collect()
    }

    fn chain(&self, on: &[Key], terms: &[Cond], hops: &[Option<i64>], key: KeyVal, full: bool) -> Placed<'t> {
        let mut leaves = vec![self.leaf(on, &terms[0], key)];
        // Forward: what a chain reaches, with the stretch of the chain so far.
        let mut reached: Vec<Vec<(Wit<'t>, Interval)>> = vec![leaves[0].hits.iter().map(|w| (*w, w.when)).collect()];
        let mut censored = None;
        for (term, hop) in terms[1..].iter().zip(hops) {
            let before = reached.last().map_or(&[][..], Vec::as_slice);
            if let Some(d) = hop {
                let leaves_it = |w: &Wit<'t>| !self.watched(key, look(w.when, *d, Side::After));
                if before.iter().any(|(w, _)| leaves_it(w)) {
                    censored = Some(cut_off(*d));
                }
            }
            let from: Vec<Interval> = before.iter().map(|(w, _)| w.when).collect();
            // What chance would give depends on all of them.
            let leaf = if full {
                self.leaf(on, term, key)
            } else {
                self.leaf_after(on, term, key, &from, *hop)
            };
            let found = follows(&from, &leaf.hits, *hop);
            let next = leaf.hits.iter().zip(found);
            let next = next
                .filter_map(|(w, i)| i.map(|i| (*w, before[i].1.hull(w.when))))
                .collect();
            reached.push(next);
            leaves.push(leaf);
        }
        let hits: Vec<Wit<'t>> = reached
            .last()
            .into_iter()
            .flatten()
            .map(|(_, hull)| hit(*hull))
            .collect();
        // Backward: what leads to the end of one.
        let mut terms: Vec<Vec<Wit<'t>>> = reached.iter().map(|r| r.iter().map(|(w, _)| *w).collect()).collect();
        for k in (0..hops.len()).rev() {
            let next: Vec<Interval> = terms[k + 1].iter().map(|w| w.when).collect();
            terms[k].retain(|w| leads(w.when, &next, hops[k]));
        }
        let chance = if full {
            let mut rest: Vec<Interval> = leaves.last().map_or_else(Vec::new, |l| places(&l.hits));
            for k in (1..hops.len()).rev() {
                let here = places(&leaves[k].hits).into_iter();
                rest = here.filter(|w| leads(*w, &rest, hops[k])).collect();
            }
            self.by_chance(key, &leaves[0].hits, terms[0].len(), |w| leads(w, &rest, hops[0]))
        } else {
            0
        };
        Placed {
            terms,
            hits: sorted(hits),
            doubt: doubt(&leaves, censored),
            gap: hops.iter().flatten().copied().max().unwrap_or(0),
            chance,
        }
    }

    /// `A and B within D after`: one of the first with one of each other on that side of it.
    fn beside(&self, on: &[Key], terms: &[Cond], within: i64, side: Side, key: KeyVal, full: bool) -> Placed<'t> {
        let leaves = self.leaves(on, terms, key);
        let near: Vec<Near> = leaves[1..].iter().map(|l| Near::new(&l.hits, within, side)).collect();
        let anchors = &leaves[0].hits;
        let ok: Vec<Wit<'t>> = anchors
            .iter()
            .filter(|a| near.iter().all(|n| n.has(a.when)))
            .copied()
            .collect();
        let hits = ok.iter().map(|a| {
            let others = near.iter().filter_map(|n| n.one(a.when));
            hit(others.fold(a.when, Interval::hull))
        });
        let hits = sorted(hits.collect());
        let back = Near::new(&ok, within, side.turned());
        let mut parts = vec![ok.clone()];
        parts.extend(
            leaves[1..]
                .iter()
                .map(|l| l.hits.iter().filter(|w| back.has(w.when)).copied().collect()),
        );
        let unwatched = anchors.iter().any(|a| !self.watched(key, look(a.when, within, side)));
        let chance = if full {
            self.by_chance(key, anchors, ok.len(), |w| near.iter().all(|n| n.has(w)))
        } else {
            0
        };
        Placed {
            terms: parts,
            hits,
            doubt: doubt(&leaves, unwatched.then(|| cut_off(within))),
            gap: within,
            chance,
        }
    }

    /// `A without B within D`
    fn lonely(&self, on: &[Key], c: &Cond, absent: &Cond, within: i64, side: Side, key: KeyVal) -> Placed<'t> {
        let there = self.leaf(on, c, key);
        let other = self.leaf(on, absent, key);
        let near = Near::new(&other.hits, within, side);
        let mut hits = Vec::new();
        let mut why = there.doubt;
        for a in there.hits.iter().filter(|a| !near.has(a.when)) {
            let when = look(a.when, within, side);
            let hidden = if self.watched(key, when) {
                other.doubt.clone().filter(|_| !self.told_there(on, absent, key, when))
            } else {
                Some(cut_off(within))
            };
            match hidden {
                None => hits.push(*a),
                Some(r) => why = Some(why.map_or_else(|| r.clone(), |w| w.min(r.clone()))),
            }
        }
        Placed {
            terms: vec![hits.clone(), Vec::new()],
            hits,
            doubt: why,
            gap: within,
            chance: 0,
        }
    }

    /// `A during B`
    fn inside_of(&self, on: &[Key], inner: &Cond, outer: &Cond, key: KeyVal, full: bool) -> Placed<'t> {
        let leaves = [self.leaf(on, inner, key), self.leaf(on, outer, key)];
        let around = join::merge(places(&leaves[1].hits), 0);
        let home = |w: Interval| {
            let k = around.partition_point(|o| o.start <= w.start);
            k.checked_sub(1).filter(|k| w.end <= around[*k].end)
        };
        let hits: Vec<Wit<'t>> = leaves[0]
            .hits
            .iter()
            .filter(|w| home(w.when).is_some())
            .copied()
            .collect();
        let mut used = vec![false; around.len()];
        for k in hits.iter().filter_map(|w| home(w.when)) {
            used[k] = true;
        }
        let outer = leaves[1].hits.iter().filter(|w| home(w.when).is_some_and(|k| used[k]));
        let chance = if full {
            self.by_chance(key, &leaves[0].hits, hits.len(), |w| home(w).is_some())
        } else {
            0
        };
        Placed {
            terms: vec![hits.clone(), outer.copied().collect()],
            hits,
            doubt: doubt(&leaves, None),
            gap: 0,
            chance,
        }
    }

    /// `A lasting D`
    fn lasting(&self, on: &[Key], c: &Cond, at_least: i64, key: KeyVal) -> Placed<'t> {
        let leaf = self.leaf(on, c, key);
        let runs = join::merge(places(&leaf.hits), 0);
        let long: Vec<Interval> = runs.iter().copied().filter(|r| r.len() >= at_least).collect();
        let open = |r: &Interval| !self.watched(key, Interval::new(r.start.saturating_sub(1), r.end.saturating_add(1)));
        let censored = runs.iter().any(|r| r.len() < at_least && open(r)).then(|| {
            let text = "it may have lasted longer than the recording shows";
            Reason::new(Lack::Partial, text)
        });
        let within = |w: &Wit<'t>| {
            let k = long.partition_point(|r| r.end < w.when.start);
            long.get(k).is_some_and(|r| r.start <= w.when.start)
        };
        Placed {
            terms: vec![leaf.hits.iter().filter(|w| within(w)).copied().collect()],
            hits: long.into_iter().map(hit).collect(),
            doubt: leaf.doubt.or(censored),
            gap: 0,
            chance: 0,
        }
    }
}

impl Side {
    /// The same distance seen from the other end.
    fn turned(self) -> Self {
        match self {
            Self::Around => Self::Around,
            Self::Before => Self::After,
            Self::After => Self::Before,
        }
    }
}

/// Why more may be there than is known of. Where one part was seen not to be there at all, only the
/// edge of the recording leaves a doubt.
fn doubt(leaves: &[Leaf<'_>], censored: Option<Reason>) -> Option<Reason> {
    let refuted = leaves.iter().any(Leaf::is_refuted);
    let parts = leaves.iter().filter_map(|l| l.doubt.clone()).filter(|_| !refuted);
    parts.chain(censored).min()
}

fn cut_off(within: i64) -> Reason {
    let text = format!(
        "the recording does not show all of the {} around it that count",
        crate::unit::show_dur(within)
    );
    Reason::new(Lack::Partial, text)
}

/// Where `within` looks.
fn look(w: Interval, within: i64, side: Side) -> Interval {
    let (before, after) = (w.start.saturating_sub(within), w.end.saturating_add(within));
    match side {
        Side::Around => Interval::new(before, after),
        Side::Before => Interval::new(before, w.start),
        Side::After => Interval::new(w.start, after),
    }
}

fn places(wits: &[Wit<'_>]) -> Vec<Interval> {
    wits.iter().map(|w| w.when).collect()
}

fn sorted(mut hits: Vec<Wit<'_>>) -> Vec<Wit<'_>> {
    hits.sort_by_key(|w| w.when);
    hits
}

/// For each later witness the earlier one it follows: which starts before it and, grown by the hop,
/// reaches it. Both sorted by start.
fn follows(earlier: &[Interval], later: &[Wit<'_>], hop: Option<i64>) -> Vec<Option<usize>> {
    let mut best: Option<usize> = None;
    let mut i = 0;
    later
        .iter()
        .map(|b| {
            while i < earlier.len() && earlier[i].start < b.when.start {
                if best.is_none_or(|k| earlier[k].end <= earlier[i].end) {
                    best = Some(i);
                }
                i += 1;
            }
            best.filter(|k| hop.is_none_or(|d| b.when.start <= earlier[*k].end.saturating_add(d)))
        })
        .collect()
}

/// Whether one of `later`, sorted by start, follows.
fn leads(w: Interval, later: &[Interval], hop: Option<i64>) -> bool {
    let k = later.partition_point(|b| b.start <= w.start);
    later
        .get(k)
        .is_some_and(|b| hop.is_none_or(|d| b.start <= w.end.saturating_add(d)))
}

/// Witnesses to be found near others.
struct Near {
    all: Vec<Interval>,
    /// Position of the one that ends last, up to and with each.
    last: Vec<usize>,
    within: i64,
    side: Side,
}

impl Near {
    /// `all` is sorted by start.
    fn new(all: &[Wit<'_>], within: i64, side: Side) -> Self {
        let all = places(all);
        let mut last: Vec<usize> = Vec::with_capacity(all.len());
        for (i, w) in all.iter().enumerate() {
            let best = last.last().copied().filter(|k| all[*k].end > w.end);
            last.push(best.unwrap_or(i));
        }
        Self {
            all,
            last,
            within,
            side,
        }
    }

    /// One on the right side of `w`, no further away.
    fn one(&self, w: Interval) -> Option<Interval> {
        let until = |end: i64, least: i64| {
            let n = self.all.partition_point(|b| b.start <= end);
            let k = n.checked_sub(1).map(|k| self.last[k])?;
            Some(self.all[k]).filter(|b| b.end >= least)
        };
        match self.side {
            Side::Around => until(w.end.saturating_add(self.within), w.start.saturating_sub(self.within)),
            Side::Before => until(w.start.saturating_sub(1), w.start.saturating_sub(self.within)),
            Side::After => {
                let k = self.all.partition_point(|b| b.start <= w.start);
                let b = self.all.get(k).copied();
                b.filter(|b| b.start <= w.end.saturating_add(self.within))
            }
        }
    }

    fn has(&self, w: Interval) -> bool {
        self.one(w).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn i(a: i64, b: i64) -> Interval {
        Interval::new(a, b)
    }

    #[test]
    fn near_is_what_the_words_say() {
        let others = [i(0, 50), i(10, 12), i(40, 41), i(90, 95)];
        let wits: Vec<Wit<'_>> = others.iter().map(|w| hit(*w)).collect();
        for start in 0..110 {
            for len in [0, 3, 30] {
                for d in [0, 1, 7, 60] {
                    let w = i(start, start + len);
                    let after = others.iter().any(|b| b.start > w.start && b.start <= w.end + d);
                    let before = others.iter().any(|b| b.start < w.start && w.start <= b.end + d);
                    let around = others.iter().any(|b| b.distance(w) <= d);
                    let has = |side| Near::new(&wits, d, side).has(w);
                    assert_eq!(has(Side::After), after, "after {w:?} {d}");
                    assert_eq!(has(Side::Before), before, "before {w:?} {d}");
                    assert_eq!(has(Side::Around), around, "around {w:?} {d}");
                    assert_eq!(leads(w, &others, Some(d)), after);
                    assert_eq!(follows(&others, &[hit(w)], Some(d))[0].is_some(), before);
                }
            }
        }
    }
}
