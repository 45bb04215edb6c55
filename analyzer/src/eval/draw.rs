//! Timelines and histograms of the diagnoses, and what the trace covers: everything that a report
//! draws, reduced to a size that does not grow with the trace.

use super::Engine;
use super::cond::keys_of;
use super::key::{self, KeyVal};
use super::metric::{Mode, Union};
use super::outcome::words_of_sel;
use crate::diagnosis::{Analysis, Diagnosis, Witness};
use crate::lang::hir::{Base, CmpOp, Cond, Filter, MetricKind, Rule, Selector, Stat, Value};
use crate::lang::walk;
use crate::trace::catalogue::{Field, Key, Op, Source};
use crate::trace::model::{Stored, UNKNOWN_TIME, flag};
use crate::trace::{Lane, NodeIdx, ThreadIdx};
use crate::unit::{Dim, Interval, MS, show_dur};
use crate::view::{Bar, BarKind, Bin, Coverage, Drawing, Histogram, Join, Picture, Track};

/// Diagnoses drawn at most.
const PICTURES: usize = 40;
/// Slices of a track.
const SLICES: usize = 240;
/// Events of a track that are drawn by themselves: as many of the longest,
const BARS: usize = 48;
/// and the longest of each of so many parts of the time, so that there is something to zoom into.
const PARTS: usize = 96;
/// Threads drawn for a diagnosis.
const THREADS: usize = 3;
/// Histograms of a diagnosis.
const HISTOGRAMS: usize = 2;
/// Overlaps of cause and symptom marked.
const JOINS: usize = 12;
/// Stretches of loss marked.
const LOSSES: usize = 200;

/// Draws the first primary diagnoses with what they explain, and the coverage of every node.
pub(super) fn draw(engine: &Engine<'_>, analysis: &Analysis, top: usize) -> Drawing {
    let all = &analysis.diagnoses;
    let primaries = all.iter().enumerate().filter(|(_, d)| d.explained_by.is_none());
    // What a primary explains follows it directly.
    let end = primaries.map(|(i, _)| i).nth(top).unwrap_or(all.len()).min(PICTURES);
    Drawing {
        pictures: (0..end).map(|i| engine.picture(i, &all[i])).collect(),
        coverage: engine.coverage(),
    }
}

/// An event on its way into a track.
struct Mark<'t> {
    when: Interval,
    kind: BarKind,
    lane: &'t Lane,
    at: usize,
}

impl<'t> Engine<'t> {
    fn picture(&self, at: usize, d: &Diagnosis) -> Picture {
        let mut picture = Picture {
            diagnosis: at,
            window: d.when,
            ..Picture::default()
        };
        let Some((rule, key)) = self.subject(d) else {
            return picture;
        };
        let observed = self.trace.node(key.node()).observed.unwrap_or(d.when);
        let pad = (d.when.len() / 10).max(20 * MS);
        picture.window = Interval::new(
            d.when.start.saturating_sub(pad).max(observed.start),
            d.when.end.saturating_add(pad).min(observed.end),
        );
        picture.tracks = self.tracks(d, key, picture.window);
        picture.joins = joins(d);
        picture.histograms = self.histograms(rule, key);
        picture
    }

    /// The rule and the key behind a diagnosis.
    fn subject(&self, d: &Diagnosis) -> Option<(&'t Rule, KeyVal)> {
        let rule = self.program.rules.iter().find(|r| r.name == d.rule)?;
        let is = |k: &KeyVal| {
            let life = key::life(self.trace, *k);
            key::values(self.trace, *k) == d.key && life.is_some_and(|l| l.distance(d.when) == 0)
        };
        let key = self.rule_keys(rule).into_iter().find(is)?;
        Some((rule, key))
    }

    fn tracks(&self, d: &Diagnosis, key: KeyVal, window: Interval) -> Vec<Track> {
        let mut out = vec![proof(d, window)];
        out.extend(self.requests(key.node(), window, BARS));
        for t in self.threads(d, key) {
            let thread = self.trace.thread(t);
            let name = if thread.name.is_empty() {
                &self.trace.process(thread.process).name
            } else {
                &thread.name
            };
            let owner = format!("{} {name}", thread.tid).trim_end().to_owned();
            let lanes = &self.trace.lanes[thread.lanes.clone()];
            let partial = |l: &Lane| crate::trace::coverage::rows(self.trace, t, l.op) != crate::trace::Rows::Complete;
            let calls: Vec<&Lane> = lanes.iter().filter(|l| is_call(l.op)).collect();
            let mut track = self.track(window, calls_of(&calls, window), BARS);
            (track.owner, track.what) = (owner.clone(), "CUDA calls");
            track.partial = calls.iter().any(|l| partial(l));
            out.push(track);
            let stints: Vec<&Lane> = lanes.iter().filter(|l| l.op.is("off_cpu")).collect();
            if thread.sched != crate::trace::Rows::Unobserved {
                let mut track = self.track(window, stints_of(&stints, window), BARS);
                (track.owner, track.what) = (owner, "off CPU");
                track.partial = thread.sched != crate::trace::Rows::Complete;
                out.push(track);
            }
        }
        out.extend(self.block_io(key.node(), window, BARS));
        out
    }

    /// Threads that a diagnosis speaks of: those of its witnesses, then the launching thread of its
    /// process, or of the process of the node that launches most.
    fn threads(&self, d: &Diagnosis, key: KeyVal) -> Vec<ThreadIdx> {
        let mut out: Vec<ThreadIdx> = Vec::new();
        let mut add = |t: Option<ThreadIdx>| {
            if let Some(t) = t.filter(|t| out.len() < THREADS && !out.contains(t)) {
                out.push(t);
            }
        };
        add(key.thread());
        for w in d.evidence.iter().flat_map(|e| &e.witnesses) {
            add(w.tid.and_then(|tid| self.thread_of(tid, w.when, d, key)));
        }
        match key.process() {
            Some(p) => add(self.trace.process(p).launcher),
            None => {
                let here = self.trace.processes.iter().filter(|p| p.node == key.node());
                let launches = |t: ThreadIdx| -> usize {
                    let lanes = &self.trace.lanes[self.trace.thread(t).lanes.clone()];
                    lanes.iter().filter(|l| l.op.is("launch")).map(Lane::len).sum()
                };
                let most = here.filter_map(|p| p.launcher);
                add(most.max_by_key(|t| (launches(*t), std::cmp::Reverse(*t))));
            }
        }
        out
    }

    fn thread_of(&self, tid: i64, when: Interval, d: &Diagnosis, key: KeyVal) -> Option<ThreadIdx> {
        let all = (0u32..).zip(&self.trace.threads);
        let mut fits = all.filter(|(_, t)| {
            let p = self.trace.process(t.process);
            t.tid == tid
                && p.node == key.node()
                && d.key.pid.is_none_or(|pid| pid == p.pid)
                && p.alive.distance(when) == 0
        });
        fits.next().map(|(i, _)| ThreadIdx(i))
    }

    fn on_node<'s>(&'s self, node: NodeIdx, want: impl Fn(Op) -> bool + 's) -> Vec<&'t Lane> {
        let trace = self.trace;
        let here = move |l: &&'t Lane| want(l.op) && trace.process_of(l).node == node;
        trace.lanes.iter().filter(here).collect()
    }

    fn requests(&self, node: NodeIdx, window: Interval, bars: usize) -> Option<Track> {
        let wait = self.on_node(node, |o| o.def().source == Source::Request && o.def().name == "wait");
        let open = self.on_node(node, |o| o.def().source == Source::Request && o.def().name == "open");
        let (lanes, what) = if wait.is_empty() {
            (open, "requests, until their last token")
        } else {
            (wait, "requests, until their first token")
        };
        (!lanes.is_empty()).then(|| {
            let mut track = self.track(window, events_of(&lanes, window, BarKind::Request), bars);
            track.what = what;
            track
        })
    }

    fn block_io(&self, node: NodeIdx, window: Interval, bars: usize) -> Option<Track> {
        let lanes = self.on_node(node, |o| o.def().source == Source::Io);
        (!lanes.is_empty()).then(|| {
            let mut track = self.track(window, events_of(&lanes, window, BarKind::Io), bars);
            track.what = "block I/O";
            track
        })
    }

    fn track(&self, window: Interval, mut marks: Vec<Mark<'t>>, bars: usize) -> Track {
        let events = marks.len() as u64;
        let busy = slices(window, marks.iter().map(|m| m.when).collect());
        // Longest first; ties by time and place, so that the choice is always the same.
        let order = |m: &Mark<'_>| {
            (
                std::cmp::Reverse(m.when.len()),
                m.when.start,
                m.lane.thread,
                m.lane.op,
                m.at,
            )
        };
        if marks.len() > bars {
            if bars > 0 {
                marks.select_nth_unstable_by_key(bars - 1, order);
                let rest = marks.split_off(bars);
                marks.extend(longest_of_parts(window, rest, order));
            } else {
                marks.clear();
            }
        }
        marks.sort_by_key(|m| (m.when, m.lane.thread, m.lane.op, m.at));
        let bars = marks.iter().map(|m| Bar {
            when: m.when,
            kind: m.kind,
            what: self.mark_words(m),
        });
        Track {
            events,
            busy,
            bars: bars.collect(),
            ..Track::default()
        }
    }

    fn mark_words(&self, m: &Mark<'_>) -> String {
        let name = match m.kind {
            BarKind::RunQueue => "waits for a CPU",
            BarKind::Sleep => "asleep",
            BarKind::IoWait => "waits for a device",
            BarKind::OffCpu => "off the CPU",
            _ => m.lane.op.def().name,
        };
        let detail = self.detail(m.lane, m.at);
        if detail.is_empty() {
            name.to_owned()
        } else {
            format!("{name}: {detail}")
        }
    }

    fn histograms(&self, rule: &Rule, key: KeyVal) -> Vec<Histogram> {
        let mut seen: Vec<Selector> = Vec::new();
        let mut out = Vec::new();
        for c in walk::conjuncts(&rule.cond) {
            let Some((sel, keys, threshold)) = self.measured(rule, c, key) else {
                continue;
            };
            let bare = Selector {
                filters: sel.filters.iter().filter(|f| !is_bound(f)).cloned().collect(),
                ..sel
            };
            if out.len() == HISTOGRAMS || seen.contains(&bare) {
                continue;
            }
            out.extend(self.histogram(&bare, &keys, key, threshold));
            seen.push(bare);
        }
        out
    }

    /// The selection whose durations a conjunct speaks of, with the duration that bounds them.
    fn measured(&self, rule: &Rule, c: &Cond, key: KeyVal) -> Option<(Selector, Vec<Key>, Option<i64>)> {
        let bounded = |sel: &Selector, keys: Vec<Key>| {
            let threshold = self.duration_bound(&sel.filters, key.project(&keys));
            (sel.clone(), keys, threshold)
        };
        let found = match c {
            Cond::Compare { left, right, dim, .. } => {
                let m = &self.program.metrics[left.first_metric()?.0 as usize];
                match &m.kind {
                    MetricKind::Stat {
                        sel, stat, over: None, ..
                    } => {
                        let one = matches!(stat, Stat::Pct(..) | Stat::Max | Stat::Min | Stat::Avg);
                        let (sel, keys, bound) = bounded(sel, m.key.clone());
                        let value = self.value(right, key, Mode::All).point();
                        let compared = value.filter(|_| one && *dim == Dim::TIME && matches!(left, Value::Metric(_)));
                        let compared = compared.and_then(|n| i64::try_from(n.floor()).ok());
                        (sel, keys, compared.or(bound))
                    }
                    MetricKind::Covered { a, .. } | MetricKind::Lift { a, .. } => bounded(a, m.key.clone()),
                    _ => return None,
                }
            }
            Cond::Exists { sel, .. } => bounded(sel, keys_of(&rule.key, sel)),
            Cond::State { sel, bound, .. } => {
                let bound = self.value(bound, key, Mode::All).point();
                let bound = bound.and_then(|n| i64::try_from(n.floor()).ok());
                (sel.clone(), keys_of(&rule.key, sel), bound)
            }
            _ => return None,
        };
        (!matches!(found.0.base, Base::Slump(_) | Base::BusySeconds)).then_some(found)
    }

    /// The largest duration that the filters demand.
    fn duration_bound(&self, filters: &[Filter], key: KeyVal) -> Option<i64> {
        let (thresholds, _) = self.thresholds(filters, key).ok()?;
        let [thresholds] = thresholds.as_slice() else {
            return None;
        };
        let bound = |f: &Filter| match f {
            Filter::Cmp(Value::Field(Field::Duration), CmpOp::Gt | CmpOp::Ge, rhs) => {
                let n = super::select::constant(rhs, thresholds)?;
                i64::try_from(n.floor()).ok()
            }
            _ => None,
        };
        filters.iter().filter_map(bound).max()
    }

    fn histogram(&self, sel: &Selector, keys: &[Key], key: KeyVal, threshold: Option<i64>) -> Option<Histogram> {
        let key = key.project(keys);
        let groups = self.groups(sel, keys);
        let group = Self::group_of(&groups, key)?;
        let mut counts = std::collections::BTreeMap::new();
        let (mut events, mut beyond) = (0u64, 0u64);
        for part in &group.parts {
            for i in part.iter() {
                let dur = part.lane.dur[i];
                events += 1;
                beyond += u64::from(threshold.is_some_and(|t| dur > t));
                *counts.entry(bin(dur)).or_insert(0u64) += 1;
            }
        }
        let (first, last) = (*counts.keys().next()?, *counts.keys().next_back()?);
        let bins = (first..=last).map(|b| Bin {
            from: bin_start(b),
            to: bin_start(b + 1),
            events: counts.get(&b).copied().unwrap_or(0),
        });
        let life = key::life(self.trace, key)?;
        Some(Histogram {
            what: match key.op() {
                Some(op) => op.def().name.to_owned(),
                None => family_of(sel).unwrap_or_else(|| words_of_sel(sel)),
            },
            bins: bins.collect(),
            events,
            beyond,
            threshold,
            partial: !self.missing(sel, key, life).is_nothing(),
        })
    }

    fn coverage(&self) -> Vec<Coverage> {
        let nodes = (0u16..).zip(&self.trace.nodes);
        nodes
            .filter_map(|(i, node)| {
                let observed = node.observed?;
                let complete = match &node.stored {
                    Stored::Selected(windows) => windows.clone(),
                    Stored::Thresholds(list) if list.iter().any(|(op, ..)| is_call(*op)) => Vec::new(),
                    Stored::Everything | Stored::Thresholds(_) => vec![observed],
                };
                let mut tracks = Vec::new();
                tracks.extend(self.requests(NodeIdx(i), observed, 0));
                let calls = self.on_node(NodeIdx(i), is_call);
                let mut track = self.track(observed, calls_of(&calls, observed), 0);
                track.what = "CUDA calls";
                tracks.push(track);
                tracks.extend(self.block_io(NodeIdx(i), observed, 0));
                Some(Coverage {
                    node: node.name.clone(),
                    observed,
                    complete,
                    losses: losses(node, observed),
                    tracks,
                })
            })
            .collect()
    }
}

fn is_call(op: Op) -> bool {
    matches!(
        op.def().source,
        Source::Cuda | Source::Driver | Source::Graph | Source::Nccl
    )
}

/// Whether a filter bounds a number rather than saying which events are meant.
fn is_bound(f: &Filter) -> bool {
    match f {
        Filter::Cmp(..) => true,
        Filter::Not(f) => is_bound(f),
        Filter::All(l) | Filter::Any(l) => l.iter().any(is_bound),
        _ => false,
    }
}

/// `gpu.launch`, where the operations are those of one family.
fn family_of(sel: &Selector) -> Option<String> {
    let Base::Ops(ops) = &sel.base else { return None };
    let families = ops.first()?.def().families;
    let is_all = |f: &&&str| Op::family(sel.source, f) == *ops;
    let family = families.iter().find(is_all)?;
    Some(format!("{}.{family}", sel.source.name()))
}

/// Positions of the events that reach into a window.
fn reaching(lane: &Lane, window: Interval) -> impl Iterator<Item = usize> + '_ {
    let to = lane.start.partition_point(|s| *s <= window.end);
    (0..to).filter(move |&i| lane.interval(i).end >= window.start)
}

fn events_of<'t>(lanes: &[&'t Lane], window: Interval, kind: BarKind) -> Vec<Mark<'t>> {
    let mark = |lane: &'t Lane, at| Mark {
        when: lane.interval(at),
        kind,
        lane,
        at,
    };
    let all = lanes.iter().flat_map(|&l| reaching(l, window).map(move |i| (l, i)));
    all.map(|(l, i)| mark(l, i)).collect()
}

/// Calls, those inside another one left out.
fn calls_of<'t>(lanes: &[&'t Lane], window: Interval) -> Vec<Mark<'t>> {
    let mut out = Vec::new();
    for &lane in lanes {
        let kind = if lane.op.is("sync") {
            BarKind::Sync
        } else {
            BarKind::Call
        };
        let mut marks = events_of(&[lane], window, kind);
        marks.retain(|m| lane.flags_at(m.at) & flag::NESTED == 0);
        out.append(&mut marks);
    }
    out
}

/// Off-CPU stints, cut where the state changes.
fn stints_of<'t>(lanes: &[&'t Lane], window: Interval) -> Vec<Mark<'t>> {
    let mut out = Vec::new();
    for m in events_of(lanes, window, BarKind::OffCpu) {
        let runnable = m.lane.runnable.get(m.at).copied().unwrap_or(UNKNOWN_TIME);
        if runnable == UNKNOWN_TIME {
            out.push(m);
            continue;
        }
        let ready = runnable.clamp(m.when.start, m.when.end);
        let blocked = m.lane.uninterruptible.get(m.at).copied().unwrap_or(false);
        let before = if blocked { BarKind::IoWait } else { BarKind::Sleep };
        let parts = [
            (Interval::new(m.when.start, ready), before),
            (Interval::new(ready, m.when.end), BarKind::RunQueue),
        ];
        out.extend(
            parts
                .into_iter()
                .filter(|(when, _)| !when.is_empty())
                .map(|(when, kind)| Mark { when, kind, ..m }),
        );
    }
    out
}

/// The first by an order among those that begin in each part of a window.
fn longest_of_parts<'t, K: Ord>(
    window: Interval,
    marks: Vec<Mark<'t>>,
    order: impl Fn(&Mark<'t>) -> K,
) -> impl Iterator<Item = Mark<'t>> {
    let mut best: Vec<Option<Mark<'t>>> = (0..PARTS).map(|_| None).collect();
    for m in marks {
        let into = i128::from(m.when.start) - i128::from(window.start);
        let part = into * PARTS as i128 / i128::from(window.len().max(1));
        let part = usize::try_from(part.max(0)).unwrap_or(0).min(PARTS - 1);
        if best[part].as_ref().is_none_or(|b| order(&m) < order(b)) {
            best[part] = Some(m);
        }
    }
    best.into_iter().flatten()
}

/// Share of each slice of the window, thousandths, in which at least one interval is in progress.
fn slices(window: Interval, intervals: Vec<Interval>) -> Vec<u16> {
    if intervals.is_empty() || window.is_empty() {
        return Vec::new();
    }
    let union = Union::of(intervals);
    let at = |k: usize| {
        let part = i128::from(window.len()) * k as i128 / SLICES as i128;
        window.start + i64::try_from(part).unwrap_or(0)
    };
    (0..SLICES)
        .map(|k| {
            let slice = Interval::new(at(k), at(k + 1));
            let share = i128::from(union.overlap(slice)) * 1000 / i128::from(slice.len().max(1));
            u16::try_from(share.min(1000)).unwrap_or(1000)
        })
        .collect()
}

/// What the diagnosis rests on, each event once.
fn proof(d: &Diagnosis, window: Interval) -> Track {
    let mut seen: Vec<&Witness> = Vec::new();
    for w in d.evidence.iter().flat_map(|e| &e.witnesses) {
        if !seen.contains(&w) {
            seen.push(w);
        }
    }
    let all = seen.clone();
    seen.retain(|w| !is_told_by_its_part(w, &all));
    seen.sort_by_key(|w| (w.when, w.tid));
    let kind = |w: &Witness| match (w.op.as_str(), w.layer) {
        ("runq", _) => BarKind::RunQueue,
        ("sleep", _) => BarKind::Sleep,
        ("io_wait", _) => BarKind::IoWait,
        ("off_cpu", _) => BarKind::OffCpu,
        (_, "IO") => BarKind::Io,
        (_, "REQUEST") => BarKind::Request,
        (_, "CUDA" | "DRIVER" | "GRAPH" | "NCCL") => BarKind::Call,
        _ => BarKind::Proof,
    };
    let words = |w: &Witness| {
        let mut out = format!("[{}] {}", w.layer, w.op);
        if !w.detail.is_empty() {
            out = format!("{out}: {}", w.detail);
        }
        match w.tid {
            Some(tid) => format!("{out}, thread {tid} {}", w.thread).trim_end().to_owned(),
            None => out,
        }
    };
    Track {
        what: "proof",
        events: seen.len() as u64,
        busy: slices(window, seen.iter().map(|w| w.when).collect()),
        bars: seen
            .iter()
            .map(|w| Bar {
                when: w.when,
                kind: kind(w),
                what: words(w),
            })
            .collect(),
        ..Track::default()
    }
}

/// Whether an off-CPU stint is also there as what it was from end to end: then that says it all.
fn is_told_by_its_part(w: &Witness, all: &[&Witness]) -> bool {
    let part = |p: &&&Witness| matches!(p.op.as_str(), "runq" | "sleep" | "io_wait");
    let same = |p: &&Witness| p.when == w.when && p.tid == w.tid;
    w.op == "off_cpu" && all.iter().filter(part).any(same)
}

/// Witnesses of one conjunct that overlap on one thread, one on the host and one not.
fn joins(d: &Diagnosis) -> Vec<Join> {
    let host = |w: &Witness| matches!(w.layer, "HOST" | "IO" | "NET");
    let all: Vec<&Witness> = d.evidence.iter().flat_map(|e| &e.witnesses).collect();
    let mut out: Vec<Join> = Vec::new();
    for e in &d.evidence {
        let causes = e.witnesses.iter().filter(|w| host(w) && !is_told_by_its_part(w, &all));
        for cause in causes {
            for symptom in e.witnesses.iter().filter(|w| !host(w)) {
                let common = cause.when.overlap(symptom.when);
                if common == 0 || cause.tid.is_none() || cause.tid != symptom.tid {
                    continue;
                }
                let from = cause.when.start.max(symptom.when.start);
                let join = Join {
                    when: Interval::new(from, from + common),
                    what: format!(
                        "{} for {} of the {} of {}, on the same thread",
                        cause.op,
                        show_dur(common),
                        show_dur(symptom.when.len()),
                        symptom.op
                    ),
                };
                if out.len() < JOINS && !out.contains(&join) {
                    out.push(join);
                }
            }
        }
    }
    out.sort_by_key(|j| j.when);
    out
}

/// Losses of a node, neighbours merged; where they are many, into equal parts of the time.
fn losses(node: &crate::trace::Node, observed: Interval) -> Vec<(Interval, u64)> {
    let mut all: Vec<(Interval, u64)> = node.losses.iter().flatten().map(|l| (l.when, l.lost)).collect();
    all.retain(|(_, lost)| *lost > 0);
    all.sort_unstable();
    let grain = observed.len() / i64::try_from(LOSSES).unwrap_or(1);
    let mut out: Vec<(Interval, u64)> = Vec::new();
    for (when, lost) in all {
        match out.last_mut() {
            Some((last, n)) if when.start <= last.end.max(last.start.saturating_add(grain)) => {
                *last = last.hull(when);
                *n += lost;
            }
            _ => out.push((when, lost)),
        }
    }
    out
}

/// Four bins to the doubling of the duration; shorter than 4 ns is one bin.
fn bin(dur: i64) -> u32 {
    let dur = dur.max(4).unsigned_abs();
    let octave = dur.ilog2();
    let quarter = (dur >> (octave - 2)) & 3;
    octave * 4 + u32::try_from(quarter).unwrap_or(0)
}

fn bin_start(bin: u32) -> i64 {
    let (octave, quarter) = (bin / 4, i64::from(bin % 4));
    if octave >= 62 {
        return i64::MAX;
    }
    if bin <= 8 { 0 } else { (4 + quarter) << (octave - 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_hold_what_falls_into_them() {
        for dur in [
            0,
            1,
            4,
            5,
            7,
            8,
            9,
            1_000,
            20_000,
            356_000_000,
            11_000_000_000,
            i64::MAX / 4,
        ] {
            let b = bin(dur);
            assert!(bin_start(b) <= dur && dur < bin_start(b + 1), "{dur}: {b}");
        }
    }

    #[test]
    fn slices_add_up_to_the_time_in_progress() {
        let window = Interval::new(0, 2_400_000);
        let shares = slices(window, vec![Interval::new(0, 600_000), Interval::new(300_000, 605_000)]);
        assert_eq!(shares.len(), SLICES);
        assert_eq!(shares[..60], [1000; 60]);
        assert_eq!(shares[60], 500);
        assert_eq!(shares[61..], [0; SLICES - 61]);
        assert_eq!(slices(window, Vec::new()), [0; 0]);
    }
}
