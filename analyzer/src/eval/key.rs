//! The identities that results are grouped by.

use std::collections::BTreeMap;

use crate::diagnosis::KeyValues;
use crate::lang::hir::Segment;
use crate::trace::catalogue::{Field, Key, Op};
use crate::trace::{Lane, NodeIdx, ProcIdx, ThreadIdx, Trace};
use crate::unit::Interval;

/// Not part of the key.
const NONE: u32 = u32::MAX;
/// Not part of the key.
pub(super) const NO_VALUE: i64 = i64::MIN;

/// A part that the event does not have.
const UNKNOWN: i64 = -1;
/// The call was counted and is no row, so nobody knows.
const UNSTORED: i64 = -3;
/// Class of a size of nothing.
const EMPTY: i64 = -2;
/// Above the classes of bytes, those of tokens.
const TOKENS: i64 = 64;

/// Parts of a key that single events decide, in the order of [`KeyVal::extra`].
const EVENT_KEYS: [Key; 5] = [Key::Stream, Key::Gpu, Key::Rank, Key::Cgroup, Key::SizeClass];

/// The parts of a key that single events decide.
pub(super) fn by_event(key: &[Key]) -> impl Iterator<Item = Key> {
    key.iter().copied().filter(|k| EVENT_KEYS.contains(k))
}

/// Which processes are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Together {
    /// Each its own.
    #[default]
    Apart,
    /// Those of one name on a node; the first stands for them.
    Name,
    /// Those that descend from one; it stands for them.
    Tree,
}

/// The value of a key. Orders by node, process, thread, op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct KeyVal {
    node: u16,
    proc: u32,
    /// Whom `proc` stands for.
    group: Together,
    thread: u32,
    /// Whether `thread` stands for all threads of its name; of those whose process is in the key.
    namesakes: bool,
    op: u32,
    extra: [i64; 5],
}

impl KeyVal {
    /// A whole node.
    pub(super) fn of_node(node: NodeIdx) -> Self {
        Self {
            node: node.0,
            proc: NONE,
            group: Together::Apart,
            thread: NONE,
            namesakes: false,
            op: NONE,
            extra: [NO_VALUE; 5],
        }
    }

    /// A whole process.
    pub(super) fn of_process(trace: &Trace, process: ProcIdx) -> Self {
        Self {
            proc: process.0,
            ..Self::of_node(trace.process(process).node)
        }
    }

    /// A thread.
    pub(super) fn of_thread(trace: &Trace, thread: ThreadIdx) -> Self {
        Self {
            thread: thread.0,
            ..Self::of_process(trace, trace.thread(thread).process)
        }
    }

    /// Whether it is finer than what aggregates count: a process and an operation.
    pub(super) fn is_finer_than_counts(self) -> bool {
        self.thread != NONE || self.extra != [NO_VALUE; 5]
    }

    pub(super) fn node(self) -> NodeIdx {
        NodeIdx(self.node)
    }

    /// The process; for a key by process name, the first of that name.
    pub(super) fn process(self) -> Option<ProcIdx> {
        (self.proc != NONE).then_some(ProcIdx(self.proc))
    }

    /// The thread; for a key by thread name, the first of that name on the node.
    pub(super) fn thread(self) -> Option<ThreadIdx> {
        (self.thread != NONE).then_some(ThreadIdx(self.thread))
    }

    pub(super) fn op(self) -> Option<Op> {
        u16::try_from(self.op).ok().map(Op)
    }

    /// The key with only the given parts.
    pub(super) fn project(self, key: &[Key]) -> Self {
        let has = |k: Key| key.contains(&k);
        let by_process = [Key::Pid, Key::Process, Key::Tid, Key::Tree].into_iter().any(has);
        let mut extra = self.extra;
        for (slot, k) in extra.iter_mut().zip(EVENT_KEYS) {
            if !has(k) {
                *slot = NO_VALUE;
            }
        }
        Self {
            node: self.node,
            proc: if by_process { self.proc } else { NONE },
            group: if by_process { self.group } else { Together::Apart },
            thread: if has(Key::Tid) || has(Key::Comm) {
                self.thread
            } else {
                NONE
            },
            namesakes: self.namesakes && has(Key::Comm),
            op: if has(Key::Op) { self.op } else { NONE },
            extra,
        }
    }

    /// Whether both agree in all parts of a key but some.
    pub(super) fn is_peer_of(self, other: Self, key: &[Key], across: &[Key]) -> bool {
        let shared: Vec<Key> = key.iter().copied().filter(|k| !across.contains(k)).collect();
        let (mut a, mut b) = (self.project(&shared), other.project(&shared));
        if across.contains(&Key::Node) {
            (a.node, b.node) = (0, 0);
        }
        a == b
    }

    /// Whether it stands for calls that were counted and are no rows: there may be several such keys, or
    /// none beside those of the rows.
    pub(super) fn is_of_unstored(self) -> bool {
        self.extra.contains(&UNSTORED)
    }

    pub(super) fn with_extra(mut self, extra: [i64; 5]) -> Self {
        self.extra = extra;
        self
    }
}

/// How the lanes of a trace fall into keys.
#[derive(Debug)]
pub(super) struct Keying {
    together: Together,
    pid: bool,
    tid: bool,
    comm: bool,
    op: bool,
    event: Vec<(usize, Key)>,
}

impl Keying {
    pub(super) fn new(key: &[Key]) -> Self {
        let has = |k: Key| key.contains(&k);
        Self {
            together: match () {
                () if has(Key::Pid) => Together::Apart,
                () if has(Key::Process) => Together::Name,
                () if has(Key::Tree) => Together::Tree,
                () => Together::Apart,
            },
            pid: has(Key::Pid) || has(Key::Process) || has(Key::Tid) || has(Key::Tree),
            tid: has(Key::Tid),
            comm: has(Key::Comm),
            op: has(Key::Op),
            event: EVENT_KEYS.into_iter().enumerate().filter(|(_, k)| has(*k)).collect(),
        }
    }

    /// Whether single events of one lane can fall under different keys.
    pub(super) fn by_event(&self) -> bool {
        !self.event.is_empty()
    }

    /// The key of a lane, event parts aside.
    pub(super) fn of_lane(&self, names: &Names, trace: &Trace, lane: &Lane) -> KeyVal {
        let proc = trace.thread(lane.thread).process;
        KeyVal {
            node: trace.process(proc).node.0,
            proc: match (self.pid, self.together) {
                (true, Together::Name) => names.first[proc.0 as usize].0,
                (true, Together::Tree) => names.root[proc.0 as usize].0,
                (true, Together::Apart) => proc.0,
                (false, _) => NONE,
            },
            group: self.together,
            thread: match () {
                () if self.tid => lane.thread.0,
                () if self.comm => names.namesake[lane.thread.0 as usize].0,
                () => NONE,
            },
            namesakes: self.comm,
            op: if self.op { lane.op.0.into() } else { NONE },
            extra: [NO_VALUE; 5],
        }
    }

    /// The key of calls of a lane that were counted and are no rows.
    pub(super) fn of_unstored(&self, names: &Names, trace: &Trace, lane: &Lane) -> KeyVal {
        let mut extra = [NO_VALUE; 5];
        for &(slot, _) in &self.event {
            extra[slot] = UNSTORED;
        }
        self.of_lane(names, trace, lane).with_extra(extra)
    }

    /// The parts of the key that the `i`-th event decides.
    pub(super) fn of_event(&self, lane: &Lane, i: usize) -> [i64; 5] {
        let mut extra = [NO_VALUE; 5];
        for &(slot, key) in &self.event {
            extra[slot] = match key {
                Key::Stream => field(lane, i, Field::Stream),
                Key::Gpu => field(lane, i, Field::Gpu),
                Key::Rank => field(lane, i, Field::Rank),
                Key::Cgroup => field(lane, i, Field::Cgroup),
                // A class of tokens is none of bytes.
                _ if lane.bytes.is_empty() => field(lane, i, Field::SizeClass).map(|c| c + TOKENS),
                _ => field(lane, i, Field::SizeClass),
            }
            .unwrap_or(UNKNOWN);
        }
        extra
    }
}

/// Log2 of a size, rounded down; [`EMPTY`] for nothing.
fn log2(v: i64) -> i64 {
    if v > 0 { i64::from(v.ilog2()) } else { EMPTY }
}

/// `4 to 8 KiB`, or `128 to 255` tokens.
fn size_class(class: i64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    match class {
        UNKNOWN => "not known".to_owned(),
        _ if class == EMPTY + TOKENS => "0".to_owned(),
        0..TOKENS => {
            let from = 1i64 << (class % 10);
            let unit = usize::try_from(class / 10).ok().and_then(|i| units.get(i));
            format!("{from} to {} {}", 2 * from, unit.unwrap_or(&"PiB"))
        }
        EMPTY => "0 B".to_owned(),
        _ => {
            let from = 1i64 << (class - TOKENS);
            format!("{from} to {}", 2 * from - 1)
        }
    }
}

/// A numeric field of an event that lies in its lane; `None` where it was not recorded.
pub(super) fn field(lane: &Lane, i: usize, field: Field) -> Option<i64> {
    let wide = |v: &Vec<i64>| v.get(i).copied();
    match field {
        Field::Duration => wide(&lane.dur),
        Field::Bytes => wide(&lane.bytes),
        Field::Ret => Some(lane.ret.get(i).copied().unwrap_or(0).into()),
        Field::Stream => wide(&lane.stream),
        Field::Gpu => lane.gpu.get(i).copied().map(i64::from),
        Field::Rank => lane.rank.get(i).copied().map(i64::from),
        Field::Cgroup => wide(&lane.cgroup),
        Field::SizeClass if lane.bytes.is_empty() => wide(&lane.prompt_tokens).map(log2),
        Field::SizeClass => wide(&lane.bytes).map(log2),
        Field::PromptTokens => wide(&lane.prompt_tokens).filter(|v| *v >= 0),
        Field::OutputTokens => wide(&lane.output_tokens).filter(|v| *v >= 0),
        Field::Choices => wide(&lane.choices).filter(|v| *v >= 0),
        Field::Logprobs => wide(&lane.logprobs).filter(|v| *v >= 0),
        Field::BehindHeavier => wide(&lane.behind_heavier).filter(|v| *v >= 0),
        Field::NHeavier => wide(&lane.n_heavier).filter(|v| *v >= 0),
        Field::Xid => wide(&lane.xid),
        Field::LongestReturned => wide(&lane.longest_returned).filter(|v| *v >= 0),
        Field::Throttled => wide(&lane.throttled),
        _ => None,
    }
}

/// For each process the first one of the same node and name, and the one it descends from; for each thread
/// the first one of the same node and name: what keys by name and by tree stand for.
#[derive(Debug)]
pub(super) struct Names {
    first: Vec<ProcIdx>,
    root: Vec<ProcIdx>,
    /// A thread whose name is not known is nobody's namesake.
    namesake: Vec<ThreadIdx>,
}

/// The oldest known ancestor of a process.
fn root(trace: &Trace, of: ProcIdx) -> ProcIdx {
    let (mut at, mut steps) = (of, 0);
    while let Some(p) = trace.process(at).parent.filter(|_| steps < trace.processes.len()) {
        (at, steps) = (p, steps + 1);
    }
    at
}

impl Names {
    pub(super) fn new(trace: &Trace) -> Self {
        let mut seen = BTreeMap::new();
        let first = (0u32..)
            .zip(&trace.processes)
            .map(|(i, p)| *seen.entry((p.node, p.name.as_str())).or_insert(ProcIdx(i)))
            .collect();
        let all = (0u32..).take(trace.processes.len()).map(ProcIdx);
        let root = all.map(|p| root(trace, p)).collect();
        let mut named = BTreeMap::new();
        let namesake = (0u32..)
            .zip(&trace.threads)
            .map(|(i, t)| match t.name.as_str() {
                "" => ThreadIdx(i),
                name => *named
                    .entry((trace.process(t.process).node, name))
                    .or_insert(ThreadIdx(i)),
            })
            .collect();
        Self { first, root, namesake }
    }

    /// Whether a thread of one of the key's processes falls under the key.
    pub(super) fn has_thread(&self, key: KeyVal, thread: ThreadIdx) -> bool {
        key.thread().is_none_or(|k| {
            let own = if key.namesakes {
                self.namesake[thread.0 as usize]
            } else {
                thread
            };
            k == own
        })
    }

    /// All processes that a key stands for.
    pub(super) fn members(&self, trace: &Trace, key: KeyVal) -> Vec<ProcIdx> {
        let all = (0u32..).zip(&trace.processes).map(|(i, p)| (ProcIdx(i), p));
        match key.process() {
            Some(p) if key.group == Together::Apart => vec![p],
            Some(p) => {
                let stands = if key.group == Together::Name {
                    &self.first
                } else {
                    &self.root
                };
                all.map(|(i, _)| i).filter(|i| stands[i.0 as usize] == p).collect()
            }
            None => all.filter(|(_, p)| p.node == key.node()).map(|(i, _)| i).collect(),
        }
    }
}

/// The life of a key: of its process within the observed time, else the observed time of its node.
pub(super) fn life(trace: &Trace, key: KeyVal) -> Option<Interval> {
    let observed = trace.node(key.node()).observed?;
    let Some(p) = key.process() else { return Some(observed) };
    let first = trace.process(p);
    let mut alive = first.alive;
    if key.group != Together::Apart {
        // All that are together are one.
        let same = |(i, o): &(u32, &crate::trace::Process)| match key.group {
            Together::Tree => root(trace, ProcIdx(*i)) == p,
            _ => o.node == first.node && o.name == first.name,
        };
        let all = (0u32..).zip(&trace.processes).filter(same);
        alive = all.map(|(_, o)| o.alive).fold(alive, Interval::hull);
    }
    Some(Interval::new(
        alive.start.max(observed.start),
        alive.end.min(observed.end),
    ))
}

/// A built-in part of the life of a key; `None` where the key never gets there, and for parts that a
/// condition decides.
pub(super) fn segment(trace: &Trace, key: KeyVal, segment: Segment) -> Option<Interval> {
    let life = life(trace, key)?;
    let middle = life.start + life.len() / 2;
    let steady = || match key.process() {
        Some(p) => trace.process(p).steady_from,
        None => trace
            .processes
            .iter()
            .filter(|p| p.node == key.node())
            .filter_map(|p| p.steady_from)
            .min(),
    };
    Some(match segment {
        Segment::Trace => life,
        Segment::FirstHalf => Interval::new(life.start, middle),
        Segment::SecondHalf => Interval::new(middle, life.end),
        Segment::Warmup => Interval::new(life.start, steady().unwrap_or(life.end).clamp(life.start, life.end)),
        Segment::Steady => {
            let from = steady()?;
            if from >= life.end {
                return None;
            }
            Interval::new(from.max(life.start), life.end)
        }
        Segment::Before(_) | Segment::After(_) | Segment::During(_) => return None,
    })
}

/// For the report.
pub(super) fn values(trace: &Trace, key: KeyVal) -> KeyValues {
    let mut out = KeyValues {
        node: trace.node(key.node()).name.clone(),
        ..KeyValues::default()
    };
    if let Some(p) = key.process() {
        let p = trace.process(p);
        if p.pid != 0 {
            out.pid = Some(p.pid);
        }
        if !p.name.is_empty() {
            out.process = Some(p.name.clone());
        }
    }
    match key.thread().map(|t| trace.thread(t)) {
        Some(t) if !key.namesakes => out.tid = Some(t.tid),
        Some(t) if t.name.is_empty() => {
            let unknown = format!("of thread {}, not known", t.tid);
            out.more.push((Key::Comm.name().to_owned(), unknown));
        }
        Some(t) => out.more.push((Key::Comm.name().to_owned(), t.name.clone())),
        None => {}
    }
    out.op = key.op().map(|o| o.def().name.to_owned());
    for (value, k) in key.extra.into_iter().zip(EVENT_KEYS) {
        if value != NO_VALUE {
            let text = match k {
                _ if value == UNSTORED => "of calls that were not stored".to_owned(),
                Key::SizeClass => size_class(value),
                _ if value == UNKNOWN => "not known".to_owned(),
                _ => value.to_string(),
            };
            out.more.push((k.name().to_owned(), text));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_name_their_unit() {
        for (class, words) in [
            (0, "1 to 2 B"),
            (12, "4 to 8 KiB"),
            (23, "8 to 16 MiB"),
            (30, "1 to 2 GiB"),
            (EMPTY, "0 B"),
            (UNKNOWN, "not known"),
            (TOKENS + 7, "128 to 255"),
            (TOKENS + EMPTY, "0"),
        ] {
            assert_eq!(size_class(class), words);
        }
    }
}
