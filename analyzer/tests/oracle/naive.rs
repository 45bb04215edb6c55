//! The rules of the design read word by word, with loops. Shares no code with the evaluator.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::{Base, Filter, Key, Mark, Peers, Pred, Rel, Rhs, Rule, Scope, Seg, Sel, Side, Stat, State, What};
use super::scene::{Ev, Kind, Scene, node_of};
use ingero::unit::SEC;

/// Whom a verdict is about, as far as the key names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Who {
    pub(crate) node: Option<i64>,
    pub(crate) pid: Option<i64>,
    pub(crate) tid: Option<i64>,
    pub(crate) kind: Option<Kind>,
    pub(crate) stream: Option<i64>,
    pub(crate) gpu: Option<i64>,
    pub(crate) name: Option<&'static str>,
    /// By the process that all descend from.
    pub(crate) tree: Option<i64>,
}

const ALL: Who = Who {
    node: None,
    pid: None,
    tid: None,
    kind: None,
    stream: None,
    gpu: None,
    name: None,
    tree: None,
};

impl Who {
    /// Whatever single calls have.
    fn of_any_call(self) -> Self {
        Self {
            kind: None,
            stream: None,
            gpu: None,
            ..self
        }
    }

    fn is_node(self) -> bool {
        self.pid.is_none() && self.name.is_none() && self.tree.is_none()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Truth {
    False,
    Unknown,
    True,
}

fn of(b: bool) -> Truth {
    if b { Truth::True } else { Truth::False }
}

fn not(t: Truth) -> Truth {
    match t {
        Truth::True => Truth::False,
        Truth::False => Truth::True,
        Truth::Unknown => Truth::Unknown,
    }
}

/// A stretch that belongs to a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    start: i64,
    end: i64,
    tid: i64,
    bytes: i64,
}

impl Span {
    fn len(self) -> i64 {
        self.end - self.start
    }
}

/// A value as a fraction between bounds; `None`: nothing there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Nothing,
    Unknown,
    Exact(i128, i128),
    AtLeast(i128, i128),
}

/// A part of a life.
enum Part {
    Known(Vec<(i64, i64)>),
    Nothing,
    Unknown,
}

pub(crate) struct Naive<'a> {
    scene: &'a Scene,
    rule: &'a Rule,
}

impl<'a> Naive<'a> {
    pub(crate) fn new(scene: &'a Scene, rule: &'a Rule) -> Self {
        Self { scene, rule }
    }

    /// The truth of the rule for each of its keys.
    pub(crate) fn judge(&self) -> BTreeMap<Who, Truth> {
        let mut keys = BTreeSet::new();
        self.keys(&self.rule.cond, &mut keys);
        if self.rule.key == Key::Node && !self.scene.events.is_empty() {
            keys = self.scene.events.iter().map(|e| self.who(e)).collect();
        }
        keys.into_iter().map(|k| (k, self.truth(&self.rule.cond, k))).collect()
    }

    fn who(&self, e: &Ev) -> Who {
        let mut who = self.who_of(e.tid);
        match self.rule.key {
            Key::PidOp => who.kind = Some(e.kind),
            Key::PidStream => who.stream = Some(e.stream),
            Key::PidGpu => who.gpu = Some(e.gpu),
            _ => {}
        }
        who
    }

    /// The part of the key that a thread decides.
    fn who_of(&self, tid: i64) -> Who {
        let pid = self.pid_of(tid);
        let node = Who {
            node: Some(node_of(pid)),
            ..ALL
        };
        match self.rule.key {
            Key::Node => node,
            Key::Process => Who {
                name: Some(self.scene.name(pid)),
                ..node
            },
            Key::Tree => Who {
                tree: Some(self.scene.root(pid)),
                ..node
            },
            Key::Tid => Who {
                pid: Some(pid),
                tid: Some(tid),
                ..node
            },
            Key::Pid | Key::PidOp | Key::PidStream | Key::PidGpu => Who { pid: Some(pid), ..node },
        }
    }

    /// Without the part in which peers differ.
    fn shared(&self, who: Who) -> Who {
        match self.rule.key {
            Key::Node => Who { node: None, ..who },
            Key::Pid | Key::PidOp => Who { pid: None, ..who },
            Key::Tid => Who { tid: None, ..who },
            Key::PidStream => Who { stream: None, ..who },
            Key::PidGpu => Who { gpu: None, ..who },
            Key::Process => Who { name: None, ..who },
            Key::Tree => Who { tree: None, ..who },
        }
    }

    fn pid_of(&self, tid: i64) -> i64 {
        tid / 100 * 100
    }

    /// Keys that have anything of what the condition speaks of, filters aside.
    fn keys(&self, p: &Pred, out: &mut BTreeSet<Who>) {
        match p {
            Pred::Cmp(s, ..)
            | Pred::Exists(s, _)
            | Pred::Covered(s, ..)
            | Pred::Lift(s, ..)
            | Pred::Window(s, ..)
            | Pred::Share(s, _)
            | Pred::Peers(s, ..)
            | Pred::Drop(s, ..) => self.keys_of(s.base, out),
            Pred::State(s, _) => self.keys_of(Base::State(*s), out),
            Pred::Not(p) => self.keys(p, out),
            Pred::Lasting(p, _) => self.keys(p, out),
            Pred::And(l) | Pred::Or(l) | Pred::Within(l, _) | Pred::Beside(l, ..) | Pred::Then(l, _) => {
                l.iter().for_each(|p| self.keys(p, out));
            }
            Pred::Unless(a, b) | Pred::Without(a, b, ..) | Pred::During(a, b) => {
                self.keys(a, out);
                self.keys(b, out);
            }
        }
    }

    fn keys_of(&self, base: Base, out: &mut BTreeSet<Who>) {
        if let Base::Ops(..) = base {
            out.extend(self.calls(base).map(|e| self.who(e)));
        } else if !self.rule.key.by_call() {
            out.extend(self.derived(base).iter().map(|s| self.who_of(s.tid)));
        }
    }

    fn calls(&self, base: Base) -> impl Iterator<Item = &'a Ev> {
        let (name, kinds) = match base {
            Base::Ops(n, k) | Base::Gap(n, k) => (n, k),
            Base::State(_) => ("", [].as_slice()),
        };
        self.scene
            .events
            .iter()
            .filter(move |e| kinds.contains(&e.kind) && !(name.starts_with("gpu") && e.nested))
    }

    /// Stints and gaps of all threads.
    fn derived(&self, base: Base) -> Vec<Span> {
        let span = |start, end, tid| Span {
            start,
            end,
            tid,
            bytes: 0,
        };
        match base {
            Base::Ops(..) => Vec::new(),
            Base::State(state) => self
                .scene
                .events
                .iter()
                .filter(|e| e.kind == Kind::OffCpu)
                .filter_map(|e| {
                    let known = e.state >= 0;
                    let piece = match state {
                        State::OffCpu => return Some(span(e.start, e.end(), e.tid)),
                        State::RunQueue if known => span(e.woken, e.end(), e.tid),
                        State::Sleep if e.state == 0 || e.state == 1 => span(e.start, e.woken, e.tid),
                        State::IoWait if e.state == 2 => span(e.start, e.woken, e.tid),
                        _ => return None,
                    };
                    (piece.len() > 0).then_some(piece)
                })
                .collect(),
            Base::Gap(..) => {
                let mut out = Vec::new();
                for (pid, _, _) in &self.scene.procs {
                    let mut calls: Vec<&Ev> = self.calls(base).filter(|e| e.pid == *pid).collect();
                    calls.sort_by_key(|e| (e.start, e.tid));
                    let mut busy_to = i64::MAX;
                    for e in calls {
                        if e.start > busy_to {
                            out.push(span(busy_to, e.start, e.tid));
                        }
                        busy_to = if busy_to == i64::MAX {
                            e.end()
                        } else {
                            busy_to.max(e.end())
                        };
                    }
                }
                out
            }
        }
    }

    /// Of all its processes, from when they were forked, if that was seen.
    fn life(&self, who: Who) -> (i64, i64) {
        let of: Vec<&Ev> = self.scene.events.iter().filter(|e| self.is_of(e.pid, who)).collect();
        let forked = self.scene.forks.iter().filter(|f| self.is_of(f.1, who)).map(|f| f.2);
        (
            of.iter().map(|e| e.start).chain(forked).min().unwrap_or(0),
            of.iter().map(|e| e.end()).max().unwrap_or(0),
        )
    }

    /// Whether a process is one of the key's.
    fn is_of(&self, pid: i64, who: Who) -> bool {
        who.node.is_none_or(|n| n == node_of(pid))
            && who.pid.is_none_or(|p| p == pid)
            && who.name.is_none_or(|n| n == self.scene.name(pid))
            && who.tree.is_none_or(|t| t == self.scene.root(pid))
    }

    fn segment(&self, who: Who, seg: Seg) -> Part {
        let (a, b) = self.life(who);
        let middle = a + (b - a) / 2;
        let (mark, which) = match seg {
            Seg::Trace => return Part::Known(vec![(a, b)]),
            Seg::First => return Part::Known(vec![(a, middle)]),
            Seg::Second => return Part::Known(vec![(middle, b)]),
            Seg::Before(m) => (m, 0),
            Seg::After(m) => (m, 1),
            Seg::During(m) => (m, 2),
        };
        let (kinds, state, d): (&'static [Kind], bool, i64) = match mark {
            Mark::Sync(d) => (&[Kind::Sync], false, d),
            Mark::OffCpu(d) => (&[], true, d),
        };
        let base = if state {
            Base::State(State::OffCpu)
        } else {
            Base::Ops("cuda.sync", kinds)
        };
        let sel = Sel {
            base,
            filters: Vec::new(),
        };
        // Of the process or thread, whatever its operation.
        let who = who.of_any_call();
        if !self.coverage(base, who).1 {
            return Part::Unknown;
        }
        let all = self.events(&sel, who).unwrap_or_default();
        let long: Vec<Span> = all.into_iter().filter(|e| e.len() > d).collect();
        let first = long.iter().map(|e| e.start).min();
        let last = long.iter().map(|e| e.end).max();
        let (Some(first), Some(last)) = (first, last) else {
            return Part::Nothing;
        };
        let pieces = match which {
            0 => vec![(a, first - 1)],
            1 => vec![(last + 1, b)],
            _ => merged(&long),
        };
        let pieces: Vec<(i64, i64)> = pieces.into_iter().filter(|p| p.0 <= p.1).collect();
        if pieces.is_empty() {
            return Part::Nothing;
        }
        Part::Known(pieces)
    }

    /// Whether off-CPU time of a process is told in the state asked for.
    fn told(&self, pid: i64, base: Base) -> bool {
        let Base::State(state) = base else { return true };
        // A stint without length has no parts to be told.
        let stint = |e: &Ev| e.kind == Kind::OffCpu && e.pid == pid && e.dur > 0;
        let stints = || self.scene.events.iter().any(stint);
        self.scene
            .procs
            .iter()
            .any(|p| p.0 == pid && p.1 && (state == State::OffCpu || p.2 || !stints()))
    }

    fn told_tid(&self, tid: i64, base: Base) -> bool {
        let Base::State(state) = base else { return true };
        let pid = self.pid_of(tid);
        let stints = || {
            let mut of = self
                .scene
                .events
                .iter()
                .filter(|e| e.kind == Kind::OffCpu && e.tid == tid);
            of.any(|e| e.dur > 0)
        };
        self.scene
            .procs
            .iter()
            .any(|p| p.0 == pid && p.1 && (state == State::OffCpu || p.2 || !stints()))
    }

    /// How many of the threads of a key are told of: (some, all).
    fn coverage(&self, base: Base, who: Who) -> (bool, bool) {
        let of: Vec<i64> = self
            .scene
            .threads
            .iter()
            .filter(|(pid, tid)| self.is_of(*pid, who) && who.tid.is_none_or(|t| t == *tid))
            // Threads without any event are only known from the list of tasks.
            .map(|t| t.1)
            .collect();
        let told = of.iter().filter(|t| self.told_tid(**t, base)).count();
        (told > 0, told == of.len())
    }

    /// Events of a selection for a key; `Err` where a filter's median is not known.
    fn events(&self, s: &Sel, who: Who) -> Result<Vec<Span>, Truth> {
        Ok(self.chosen(s, who)?.into_iter().map(|x| x.0).collect())
    }

    /// Likewise, with the calls that they are.
    fn chosen(&self, s: &Sel, who: Who) -> Result<Vec<(Span, Option<&'a Ev>)>, Truth> {
        let mut all: Vec<(Span, Option<&'a Ev>)> = match s.base {
            Base::Ops(..) => self
                .calls(s.base)
                .filter(|e| self.fits(e.tid, Some(e), who))
                .map(|e| {
                    let span = Span {
                        start: e.start,
                        end: e.end(),
                        tid: e.tid,
                        bytes: e.bytes,
                    };
                    (span, Some(e))
                })
                .collect(),
            base => self
                .derived(base)
                .into_iter()
                .filter(|x| self.fits(x.tid, None, who))
                .map(|x| (x, None))
                .collect(),
        };
        let bare: Vec<i64> = all.iter().map(|x| x.0.len()).collect();
        for f in &s.filters {
            let median = if let Filter::Medians(_) = f {
                if bare.is_empty() {
                    return Ok(Vec::new());
                }
                if (bare.len() as u64) < self.rule.min_count {
                    return Err(Truth::Unknown);
                }
                percentile(&bare, 50, 100)
            } else {
                0
            };
            all.retain(|(x, e)| match f {
                Filter::Longer(d) => x.len() > *d,
                Filter::AtMost(d) => x.len() <= *d,
                Filter::FirstUse(want) => e.is_some_and(|e| e.first_use == *want),
                Filter::Bytes(b) => x.bytes >= *b,
                Filter::Upload => e.is_some_and(|e| e.direction == 1),
                Filter::Medians(k) => x.len() > k * median,
            });
        }
        Ok(all)
    }

    fn fits(&self, tid: i64, call: Option<&Ev>, who: Who) -> bool {
        self.is_of(self.pid_of(tid), who)
            && who.tid.is_none_or(|t| t == tid)
            && call.is_none_or(|e| {
                who.kind.is_none_or(|k| k == e.kind)
                    && who.stream.is_none_or(|s| s == e.stream)
                    && who.gpu.is_none_or(|g| g == e.gpu)
            })
    }

    /// The value of a statistic.
    pub(crate) fn value(&self, s: &Sel, stat: Stat, seg: Seg, who: Who) -> Value {
        let pieces = match self.segment(who, seg) {
            Part::Known(p) => p,
            Part::Nothing => return Value::Nothing,
            Part::Unknown => return Value::Unknown,
        };
        let (some, all) = self.coverage(s.base, who);
        let Ok(events) = self.events(s, who) else {
            return Value::Unknown;
        };
        let inside: Vec<Span> = events
            .iter()
            .copied()
            .filter(|e| pieces.iter().any(|p| p.0 <= e.start && e.start <= p.1))
            .collect();
        let n = inside.len() as i128;
        let sum: i128 = inside.iter().map(|e| i128::from(e.len())).sum();
        let len = i128::from(pieces.iter().map(|p| p.1 - p.0).sum::<i64>());
        let number = |v: i128, d: i128| {
            if d == 0 {
                Value::Unknown
            } else if all {
                Value::Exact(v, d)
            } else {
                Value::AtLeast(v, d)
            }
        };
        match stat {
            Stat::Count => return number(n, 1),
            Stat::Rate => return number(n, len),
            Stat::Sum => return number(sum, 1),
            Stat::Distinct(what) => return number(self.different(s, what, &pieces, who), 1),
            Stat::Bytes => return number(inside.iter().map(|e| i128::from(e.bytes)).sum(), 1),
            Stat::Busy => {
                let busy = |p: &(i64, i64)| {
                    let cut: Vec<(i64, i64)> = events.iter().map(|e| (e.start.max(p.0), e.end.min(p.1))).collect();
                    i128::from(union(&cut))
                };
                return number(pieces.iter().map(busy).sum(), len);
            }
            _ => {}
        }
        let _ = some;
        if !all {
            return Value::Unknown;
        }
        if n == 0 {
            return Value::Nothing;
        }
        let need = match stat {
            Stat::First | Stat::Last => 1,
            _ => self.rule.min_count,
        };
        if n < i128::from(need) {
            return Value::Unknown;
        }
        let durs: Vec<i64> = inside.iter().map(|e| e.len()).collect();
        match stat {
            Stat::Avg => Value::Exact(sum, n),
            Stat::Min => Value::Exact(durs.iter().min().copied().unwrap().into(), 1),
            Stat::Max => Value::Exact(durs.iter().max().copied().unwrap().into(), 1),
            // Of those that start at the same time the shortest is the first.
            Stat::First => Value::Exact(inside.iter().map(|e| (e.start, e.len())).min().unwrap().1.into(), 1),
            Stat::Last => Value::Exact(inside.iter().map(|e| (e.start, e.len())).max().unwrap().1.into(), 1),
            Stat::Pct(p, q) => Value::Exact(percentile(&durs, p, q).into(), 1),
            _ => unreachable!(),
        }
    }

    /// How many values the events that start there have.
    fn different(&self, s: &Sel, what: What, pieces: &[(i64, i64)], who: Who) -> i128 {
        let value = |x: &Span, e: Option<&Ev>| match what {
            What::Tid => Some(x.tid % 1000),
            What::Pid => Some(self.pid_of(x.tid) % 1000),
            What::Bytes => Some(x.bytes),
            What::Stream => e.map(|e| e.stream).filter(|s| *s >= 0),
            What::Gpu => e.map(|e| e.gpu),
        };
        let chosen = self.chosen(s, who).unwrap_or_default();
        let inside = chosen
            .iter()
            .filter(|(x, _)| pieces.iter().any(|p| p.0 <= x.start && x.start <= p.1));
        let values: BTreeSet<i64> = inside.filter_map(|(x, e)| value(x, *e)).collect();
        values.len() as i128
    }

    /// What the peers come to, at least and at most; `None` for no bound. Nothing without peers.
    fn peers(&self, s: &Sel, stat: Stat, peers: Peers, who: Who) -> Option<[Option<(i128, i128)>; 2]> {
        let mut keys = BTreeSet::new();
        self.keys_of(s.base, &mut keys);
        let others = keys
            .into_iter()
            .filter(|k| *k != who && self.shared(*k) == self.shared(who));
        let values: Vec<Value> = others
            .map(|k| self.value(s, stat, Seg::Trace, k))
            .filter(|v| *v != Value::Nothing)
            .collect();
        if values.is_empty() {
            return None;
        }
        let at = match peers {
            Peers::Median => values.len().div_ceil(2),
            Peers::P90 => (values.len() * 9).div_ceil(10),
            Peers::Max => values.len(),
        };
        let less = |a: &(i128, i128), b: &(i128, i128)| (a.0 * b.1).cmp(&(b.0 * a.1));
        // Nothing known from below is less than all, from above more than all.
        let mut low: Vec<(i128, i128)> = Vec::new();
        let mut high: Vec<(i128, i128)> = Vec::new();
        for v in &values {
            match *v {
                Value::Exact(n, d) => {
                    low.push((n, d));
                    high.push((n, d));
                }
                Value::AtLeast(n, d) => low.push((n, d)),
                _ => {}
            }
        }
        low.sort_by(less);
        high.sort_by(less);
        let unbounded = values.len() - low.len();
        Some([at.checked_sub(unbounded + 1).map(|i| low[i]), high.get(at - 1).copied()])
    }

    fn truth(&self, p: &Pred, who: Who) -> Truth {
        match p {
            Pred::Peers(s, stat, k, peers) => {
                let left = self.value(s, *stat, Seg::Trace, who);
                if left == Value::Nothing {
                    return Truth::False;
                }
                let Some([low, high]) = self.peers(s, *stat, *peers, who) else {
                    return Truth::Unknown;
                };
                let times = |b: Option<(i128, i128)>| b.map(|(n, d)| (n * i128::from(*k), d));
                let (n, d) = match left {
                    Value::Exact(n, d) | Value::AtLeast(n, d) => (n, d),
                    _ => return Truth::Unknown,
                };
                if times(high).is_some_and(|(m, e)| n * e > m * d) {
                    Truth::True
                } else if matches!(left, Value::Exact(..)) && times(low).is_some_and(|(m, e)| n * e <= m * d) {
                    Truth::False
                } else {
                    Truth::Unknown
                }
            }
            Pred::Cmp(s, stat, seg, rel, rhs) => {
                let left = self.value(s, *stat, *seg, who);
                let right = self.rhs(s, *stat, *seg, *rhs, who);
                compare(left, *rel, right)
            }
            Pred::Exists(s, d) => self.exists(s, *d, who),
            Pred::State(s, d) => self.exists(&state_sel(*s), *d, who),
            Pred::Covered(a, b, scope, pct) => match self.covered(a, b, *scope, who) {
                None => Truth::Unknown,
                Some((_, 0, _)) => Truth::False,
                Some((lo, total, hi)) => {
                    let need = i128::from(*pct) * total;
                    if lo * 100 >= need {
                        Truth::True
                    } else if hi * 100 < need {
                        Truth::False
                    } else {
                        Truth::Unknown
                    }
                }
            },
            Pred::Lift(a, b, k) => self.lift(a, b, *k, who),
            Pred::Window(s, stat, w, n) => match self.runs(s, *stat, *w, *n, who) {
                None => Truth::Unknown,
                Some(runs) => of(!runs.is_empty()),
            },
            Pred::Share(s, pct) => {
                let bare = Sel {
                    base: s.base,
                    filters: Vec::new(),
                };
                match (self.events(s, who), self.events(&bare, who)) {
                    // A share of nothing is nothing.
                    (Ok(some), Ok(all)) => of(some.len() as i64 * 100 > pct * all.len() as i64),
                    _ => Truth::Unknown,
                }
            }
            Pred::Drop(s, pct, from, to) => {
                let pieces = match self.segment(who, *from) {
                    Part::Known(p) => p,
                    Part::Nothing => return Truth::False,
                    Part::Unknown => return Truth::Unknown,
                };
                let Value::Exact(first, _) = self.value(s, Stat::Count, *from, who) else {
                    return Truth::Unknown;
                };
                let len: i64 = pieces.iter().map(|p| p.1 - p.0).sum();
                if first < i128::from(self.rule.min_count) || len < SEC || first == 0 {
                    return Truth::Unknown;
                }
                let second = match self.value(s, Stat::Count, *to, who) {
                    Value::Exact(s, _) => s,
                    Value::Nothing => return Truth::False,
                    _ => return Truth::Unknown,
                };
                of((first - second) * 100 > i128::from(*pct) * first)
            }
            Pred::Not(p) => not(self.truth(p, who)),
            Pred::And(l) => l.iter().map(|p| self.truth(p, who)).min().unwrap_or(Truth::True),
            Pred::Or(l) => l.iter().map(|p| self.truth(p, who)).max().unwrap_or(Truth::False),
            Pred::Unless(a, b) => self.truth(a, who).min(not(self.truth(b, who))),
            Pred::Within(l, d) => self.within(l, *d, who),
            Pred::Then(l, hops) => self.then(l, hops, who),
            Pred::Beside(l, d, side) => self.beside(l, *d, *side, who),
            Pred::Without(a, b, d, side) => self.without(a, b, *d, *side, who),
            Pred::During(a, b) => self.during(a, b, who),
            Pred::Lasting(a, d) => self.lasting(a, *d, who),
        }
    }

    /// What is known of a term's witnesses, and whether there may be more.
    fn leaf(&self, p: &Pred, who: Who) -> (Vec<Span>, bool) {
        match self.truth(p, who) {
            Truth::False => (Vec::new(), false),
            Truth::Unknown => (Vec::new(), true),
            Truth::True => match p {
                Pred::State(s, d) => {
                    let all = self.events(&state_sel(*s), who).unwrap_or_default();
                    let long = all.into_iter().filter(|e| e.len() > *d).collect();
                    (long, !self.coverage(Base::State(*s), who).1)
                }
                p => (self.witnesses(p, who), false),
            },
        }
    }

    /// Whether the recording ran all that time, or at least since the processes of the key were forked.
    fn watched(&self, who: Who, from: i64, to: i64) -> bool {
        let (a, b) = self.life(Who { node: who.node, ..ALL });
        let forked = |pid: i64| self.scene.forks.iter().any(|f| f.1 == pid);
        let born = !who.is_node()
            && self
                .scene
                .procs
                .iter()
                .filter(|p| self.is_of(p.0, who))
                .all(|p| forked(p.0));
        (born || a <= from) && to <= b
    }

    /// Found, else doubtful, else not there. What was seen not to be there settles it, whatever else is
    /// hidden, but not what lies outside of the recording.
    fn settle(&self, found: bool, leaves: &[(Vec<Span>, bool)], cut: bool) -> Truth {
        let refuted = leaves.iter().any(|(hits, doubt)| hits.is_empty() && !doubt);
        if found {
            Truth::True
        } else if cut || !refuted && leaves.iter().any(|(_, doubt)| *doubt) {
            Truth::Unknown
        } else {
            Truth::False
        }
    }

    fn then(&self, terms: &[Pred], hops: &[Option<i64>], who: Who) -> Truth {
        let leaves: Vec<(Vec<Span>, bool)> = terms.iter().map(|p| self.leaf(p, who)).collect();
        let mut cut = false;
        let mut reached = leaves[0].0.clone();
        for ((next, _), hop) in leaves[1..].iter().zip(hops) {
            cut |= hop.is_some_and(|d| reached.iter().any(|a| !self.watched(who, a.start, a.end + d)));
            let follows = |b: &&Span| {
                reached
                    .iter()
                    .any(|a| b.start > a.start && hop.is_none_or(|d| b.start <= a.end + d))
            };
            reached = next.iter().filter(follows).copied().collect();
        }
        self.settle(!reached.is_empty(), &leaves, cut)
    }

    fn beside(&self, terms: &[Pred], d: i64, side: Side, who: Who) -> Truth {
        let leaves: Vec<(Vec<Span>, bool)> = terms.iter().map(|p| self.leaf(p, who)).collect();
        let cut = leaves[0].0.iter().any(|a| !self.looks(who, a, d, side));
        let found = leaves[0]
            .0
            .iter()
            .any(|a| leaves[1..].iter().all(|(l, _)| l.iter().any(|b| near(a, b, d, side))));
        self.settle(found, &leaves, cut)
    }

    /// Whether the recording shows all of the time that is looked at.
    fn looks(&self, who: Who, a: &Span, d: i64, side: Side) -> bool {
        match side {
            Side::Around => self.watched(who, a.start - d, a.end + d),
            Side::Before => self.watched(who, a.start - d, a.start),
            Side::After => self.watched(who, a.start, a.end + d),
        }
    }

    fn without(&self, a: &Pred, b: &Pred, d: i64, side: Side, who: Who) -> Truth {
        let ((there, hidden), (others, other_hidden)) = (self.leaf(a, who), self.leaf(b, who));
        let mut best = if hidden { Truth::Unknown } else { Truth::False };
        for a in there.iter().filter(|a| !others.iter().any(|b| near(a, b, d, side))) {
            let seen = self.looks(who, a, d, side) && !other_hidden;
            best = best.max(if seen { Truth::True } else { Truth::Unknown });
        }
        best
    }

    fn during(&self, a: &Pred, b: &Pred, who: Who) -> Truth {
        let leaves = [self.leaf(a, who), self.leaf(b, who)];
        let around = merged(&leaves[1].0);
        let found = leaves[0]
            .0
            .iter()
            .any(|a| around.iter().any(|o| o.0 <= a.start && a.end <= o.1));
        self.settle(found, &leaves, false)
    }

    fn lasting(&self, p: &Pred, d: i64, who: Who) -> Truth {
        let leaf = self.leaf(p, who);
        let runs = merged(&leaf.0);
        let found = runs.iter().any(|r| r.1 - r.0 >= d);
        let cut = runs.iter().any(|r| !self.watched(who, r.0 - 1, r.1 + 1));
        if found {
            Truth::True
        } else if cut || leaf.1 {
            Truth::Unknown
        } else {
            Truth::False
        }
    }

    fn rhs(&self, s: &Sel, stat: Stat, seg: Seg, rhs: Rhs, who: Who) -> Value {
        match rhs {
            Rhs::Medians(k) => match self.value(s, Stat::Pct(50, 100), seg, who) {
                Value::Exact(n, d) => Value::Exact(n * i128::from(k), d),
                other => other,
            },
            Rhs::Num(n) => match stat {
                Stat::Rate => Value::Exact(n.into(), SEC.into()),
                Stat::Busy => Value::Exact(n.into(), 100),
                _ => Value::Exact(n.into(), 1),
            },
        }
    }

    fn exists(&self, s: &Sel, longer: i64, who: Who) -> Truth {
        match self.events(s, who) {
            Err(t) => t,
            Ok(all) if all.iter().any(|e| e.len() > longer) => Truth::True,
            Ok(_) if self.coverage(s.base, who).1 => Truth::False,
            Ok(_) => Truth::Unknown,
        }
    }

    /// Covered at least, in all, covered at most.
    fn covered(&self, a: &Sel, b: &Sel, scope: Scope, who: Who) -> Option<(i128, i128, i128)> {
        let events = self.events(a, who).ok()?;
        let causes = self.events(b, ALL).ok()?;
        let (mut lo, mut total, mut hi) = (0, 0, 0);
        let mut blind = 0;
        for e in &events {
            let told = match scope {
                Scope::Thread => self.told_tid(e.tid, b.base),
                Scope::Process => self.told(self.pid_of(e.tid), b.base),
            };
            let len = i128::from(e.len());
            total += len;
            if !told {
                blind += len;
                hi += len;
                continue;
            }
            let pieces: Vec<(i64, i64)> = causes
                .iter()
                .filter(|c| match scope {
                    Scope::Thread => c.tid == e.tid,
                    Scope::Process => self.pid_of(c.tid) == self.pid_of(e.tid),
                })
                .map(|c| (c.start.max(e.start), c.end.min(e.end)))
                .collect();
            let part = i128::from(union(&pieces));
            lo += part;
            hi += part;
        }
        if blind == total && total > 0 {
            return None;
        }
        Some((lo, total, hi))
    }

    fn lift(&self, a: &Sel, b: &Sel, k: i64, who: Who) -> Truth {
        let Some((lo, total, hi)) = self.covered(a, b, Scope::Thread, who) else {
            return Truth::Unknown;
        };
        if total == 0 {
            return Truth::False;
        }
        if lo != hi {
            return Truth::Unknown;
        }
        let (Ok(events), Ok(causes)) = (self.events(a, who), self.events(b, ALL)) else {
            return Truth::Unknown;
        };
        let (from, to) = self.life(who);
        let mut expected = 0i128;
        for e in &events {
            let pieces: Vec<(i64, i64)> = causes
                .iter()
                .filter(|c| c.tid == e.tid)
                .map(|c| (c.start.max(from), c.end.min(to)))
                .collect();
            expected += i128::from(e.len()) * i128::from(union(&pieces));
        }
        // covered / (expected / (total x life)), each with total below.
        if expected == 0 {
            return Truth::False;
        }
        of(lo * i128::from(to - from) > i128::from(k) * expected)
    }

    /// Merged windows that hold more than `n`.
    fn runs(&self, s: &Sel, stat: Stat, w: i64, n: i64, who: Who) -> Option<Vec<Span>> {
        let (a, b) = self.life(who);
        let events = self.events(s, who).ok()?;
        let mut runs: Vec<Span> = Vec::new();
        if matches!(stat, Stat::Busy | Stat::Max) {
            return self.stepped(&events, stat, w, n, (a, b));
        }
        let mut starts: Vec<i64> = events.iter().map(|e| e.start).filter(|t| a <= *t && *t <= b).collect();
        starts.sort_unstable();
        for from in starts {
            let inside = events.iter().filter(|e| from <= e.start && e.start < from + w);
            let value: i64 = inside.map(|e| if stat == Stat::Sum { e.len() } else { 1 }).sum();
            if value > n {
                let end = (from + w).min(b).max(from);
                match runs.last_mut() {
                    Some(last) if from <= last.end => last.end = last.end.max(end),
                    _ => runs.push(Span {
                        start: from,
                        end,
                        tid: -1,
                        bytes: 0,
                    }),
                }
            }
        }
        Some(runs)
    }

    /// Windows that move in steps of a tenth.
    fn stepped(&self, events: &[Span], stat: Stat, w: i64, n: i64, (a, b): (i64, i64)) -> Option<Vec<Span>> {
        let mut judged = false;
        let mut held: Vec<Span> = Vec::new();
        let mut from = a;
        while from + w <= b {
            let inside: Vec<&Span> = events
                .iter()
                .filter(|e| from <= e.start && e.start < from + w)
                .collect();
            let holds = if stat == Stat::Busy {
                let cut: Vec<(i64, i64)> = events
                    .iter()
                    .map(|e| (e.start.max(from), e.end.min(from + w)))
                    .collect();
                Some(union(&cut) * 100 >= n * w)
            } else if inside.is_empty() || (inside.len() as u64) < self.rule.min_count {
                None
            } else {
                Some(inside.iter().any(|e| e.len() > n))
            };
            judged |= holds.is_some();
            if holds == Some(true) {
                held.push(Span {
                    start: from,
                    end: from + w,
                    tid: -1,
                    bytes: 0,
                });
            }
            from += (w / 10).max(1);
        }
        if !judged && !events.is_empty() {
            return None;
        }
        let runs = merged(&held).into_iter();
        Some(
            runs.map(|(start, end)| Span {
                start,
                end,
                tid: -1,
                bytes: 0,
            })
            .collect(),
        )
    }

    /// Witnesses of a term that holds.
    fn witnesses(&self, p: &Pred, who: Who) -> Vec<Span> {
        match p {
            Pred::Cmp(s, stat, seg, rel, rhs) if stat.spread() => {
                let Value::Exact(n, d) = self.rhs(s, *stat, *seg, *rhs, who) else {
                    return Vec::new();
                };
                let beyond =
                    |e: &Span| compare(Value::Exact(e.len().into(), 1), *rel, Value::Exact(n, d)) == Truth::True;
                self.events(s, who)
                    .unwrap_or_default()
                    .into_iter()
                    .filter(beyond)
                    .collect()
            }
            Pred::Exists(s, d) => self
                .events(s, who)
                .unwrap_or_default()
                .into_iter()
                .filter(|e| e.len() > *d)
                .collect(),
            Pred::Window(s, stat, w, n) => self.runs(s, *stat, *w, *n, who).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    fn within(&self, terms: &[Pred], d: i64, who: Who) -> Truth {
        let states: Vec<(State, i64)> = terms
            .iter()
            .filter_map(|t| match t {
                Pred::State(s, x) => Some((*s, *x)),
                _ => None,
            })
            .collect();
        let placed: Vec<&Pred> = terms.iter().filter(|t| !matches!(t, Pred::State(..))).collect();
        let truth = placed.iter().map(|p| self.truth(p, who)).min().unwrap_or(Truth::True);
        if truth == Truth::False {
            return truth;
        }
        if truth == Truth::Unknown {
            // A thread that was never off CPU that long refutes the group wherever the anchors are.
            let impossible = states.iter().any(|(s, x)| {
                let stints = self.events(&state_sel(*s), who).unwrap_or_default();
                let tids: BTreeSet<i64> = stints.iter().map(|s| s.tid).collect();
                let most = tids
                    .iter()
                    .map(|t| stints.iter().filter(|s| s.tid == *t).map(|s| s.len()).sum::<i64>())
                    .max()
                    .unwrap_or(0);
                self.coverage(Base::State(*s), who).1 && most <= *x
            });
            return if impossible { Truth::False } else { Truth::Unknown };
        }
        let lists: Vec<Vec<Span>> = placed.iter().map(|p| self.witnesses(p, who)).collect();
        let mut chosen: Vec<Span> = Vec::new();
        let mut anchors: Vec<Vec<Span>> = Vec::new();
        tuples(&lists, d, &mut chosen, &mut anchors);
        // No placed term at all: one choice of nothing.
        anchors.retain(|a| !a.is_empty());
        if anchors.is_empty() {
            return if placed.iter().all(|p| !located(p)) {
                // Nothing with a place: stints on their own.
                let alone = states.iter().map(|(s, x)| self.exists(&state_sel(*s), *x, who));
                alone.min().unwrap_or(Truth::True)
            } else {
                Truth::False
            };
        }
        let near = |all: &Vec<Span>, s: State, x: i64| {
            let stints = self.events(&state_sel(s), who).unwrap_or_default();
            let tids: BTreeSet<i64> = stints.iter().map(|s| s.tid).collect();
            tids.iter().any(|t| {
                let near = stints
                    .iter()
                    .filter(|s| s.tid == *t && all.iter().all(|a| distance(s, a) <= d));
                near.map(|s| s.len()).sum::<i64>() > x
            })
        };
        if anchors.iter().any(|a| states.iter().all(|(s, x)| near(a, *s, *x))) {
            return Truth::True;
        }
        // States that were seen wholly refute alone.
        let seen = |s: State| {
            self.coverage(Base::State(s), who).1
                && anchors
                    .iter()
                    .all(|all| all[0].tid < 0 || self.told_tid(all[0].tid, Base::State(s)))
        };
        let left = anchors
            .iter()
            .any(|a| states.iter().all(|(s, x)| !seen(*s) || near(a, *s, *x)));
        if left && states.iter().any(|(s, _)| !seen(*s)) {
            Truth::Unknown
        } else {
            Truth::False
        }
    }

    /// Comparisons that decide: text of the left side, relation, value.
    pub(crate) fn shown(&self, p: &Pred, who: Who, out: &mut Vec<(String, &'static str, Value)>) {
        match p {
            Pred::Cmp(s, stat, seg, rel, _) => {
                let text = p.text();
                let left = text.split(&format!(" {} ", rel.text())).last().map(|_| {
                    let at = text.rfind(&format!(" {} ", rel.text())).unwrap();
                    text[..at].to_owned()
                });
                out.push((left.unwrap(), rel.text(), self.value(s, *stat, *seg, who)));
            }
            Pred::Covered(a, b, scope, _) => {
                let text = p.text();
                let at = text.rfind(" >= ").unwrap();
                if let Some((lo, total, hi)) = self.covered(a, b, *scope, who)
                    && lo == hi
                    && total > 0
                {
                    out.push((text[..at].to_owned(), ">=", Value::Exact(lo, total)));
                }
            }
            Pred::And(l) | Pred::Within(l, _) => l.iter().for_each(|p| self.shown(p, who, out)),
            _ => {}
        }
    }
}

fn state_sel(s: State) -> Sel {
    Sel {
        base: Base::State(s),
        filters: Vec::new(),
    }
}

fn distance(a: &Span, b: &Span) -> i64 {
    (a.start.max(b.start) - a.end.min(b.end)).max(0)
}

/// Whether `b` is near `a` on that side.
fn near(a: &Span, b: &Span, d: i64, side: Side) -> bool {
    match side {
        Side::Around => distance(a, b) <= d,
        Side::Before => b.start < a.start && a.start <= b.end + d,
        Side::After => b.start > a.start && b.start <= a.end + d,
    }
}

/// Spans, those that touch joined.
fn merged(spans: &[Span]) -> Vec<(i64, i64)> {
    let mut all: Vec<(i64, i64)> = spans.iter().map(|s| (s.start, s.end)).collect();
    all.sort_unstable();
    let mut out: Vec<(i64, i64)> = Vec::new();
    for (a, b) in all {
        match out.iter().position(|o| o.0 <= a && a <= o.1) {
            Some(i) => out[i].1 = out[i].1.max(b),
            None => out.push((a, b)),
        }
    }
    out
}

/// Whether what holds has a place in time.
fn located(p: &Pred) -> bool {
    match p {
        Pred::Cmp(_, stat, ..) => stat.spread(),
        _ => true,
    }
}

/// All choices of one of each list, no two further apart than `d`.
fn tuples(lists: &[Vec<Span>], d: i64, chosen: &mut Vec<Span>, anchors: &mut Vec<Vec<Span>>) {
    let Some(list) = lists.get(chosen.len()) else {
        anchors.push(chosen.clone());
        return;
    };
    for w in list {
        if chosen.iter().all(|c| distance(c, w) <= d) {
            chosen.push(*w);
            tuples(lists, d, chosen, anchors);
            chosen.pop();
        }
    }
}

fn percentile(values: &[i64], p: u64, q: u64) -> i64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    // The smallest of which at least that share is no longer.
    let n = sorted.len() as u64;
    let at = (1..=n).find(|k| k * q >= n * p).unwrap();
    sorted[usize::try_from(at - 1).unwrap()]
}

/// Length of a union.
fn union(pieces: &[(i64, i64)]) -> i64 {
    let mut edges: Vec<i64> = pieces.iter().flat_map(|p| [p.0, p.1]).collect();
    edges.sort_unstable();
    edges
        .windows(2)
        .filter(|w| pieces.iter().any(|p| p.0 <= w[0] && w[1] <= p.1))
        .map(|w| w[1] - w[0])
        .sum()
}

fn compare(a: Value, rel: Rel, b: Value) -> Truth {
    match (a, b) {
        (Value::Nothing, _) | (_, Value::Nothing) => Truth::False,
        (Value::Exact(n, d), Value::Exact(m, e)) => {
            let (x, y) = (n * e, m * d);
            of(match rel {
                Rel::Gt => x > y,
                Rel::Ge => x >= y,
                Rel::Lt => x < y,
                Rel::Le => x <= y,
            })
        }
        (Value::AtLeast(n, d), Value::Exact(m, e)) => {
            let (x, y) = (n * e, m * d);
            match rel {
                Rel::Gt if x > y => Truth::True,
                Rel::Ge if x >= y => Truth::True,
                Rel::Lt if x >= y => Truth::False,
                Rel::Le if x > y => Truth::False,
                _ => Truth::Unknown,
            }
        }
        _ => Truth::Unknown,
    }
}
