//! Collectives of NCCL across their ranks: who entered last, who never came, who called something else.
//!
//! The calls of one communicator are told by what all its ranks call it, and by their number on it. What is
//! compared is when the host entered the call, which queues the work: what the GPUs did is not in a trace.

use std::collections::BTreeMap;

use crate::trace::catalogue::{ACROSS_RANKS, Op, Source};
use crate::trace::model::{Lane, NodeIdx, ProcIdx, Stored, ThreadIdx, Trace};
use crate::unit::{Interval, MS, show_dur};

/// What ranks must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct What {
    pub(crate) op: Op,
    /// Elements; -1 not known.
    pub(crate) count: i64,
    pub(crate) dtype: i64,
    /// Root or peer.
    pub(crate) root: i64,
}

/// A call of one rank.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) thread: ThreadIdx,
    pub(crate) file: usize,
    pub(crate) when: Interval,
    pub(crate) comm: i64,
    /// Number on the communicator, from 1; 0 makes it.
    pub(crate) seq: i64,
    pub(crate) what: What,
    pub(crate) bytes: i64,
    pub(crate) rank: i32,
    pub(crate) nranks: i64,
}

/// What a file says of its clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Recordings of one boot share their monotonic clock; empty where it is not known.
    pub(crate) boot: String,
    /// What was added to it, ns.
    pub(crate) offset: i64,
    /// How well that is known, ns.
    pub(crate) error: i64,
    /// How far the wall clock may be from true time, ns.
    pub(crate) wall: Option<u64>,
}

impl Clock {
    /// By how much stamps of two clocks may be apart for things that happened at once, ns.
    fn apart(&self, other: &Self) -> Option<i64> {
        let read = self.error.saturating_add(other.error);
        if !self.boot.is_empty() && self.boot == other.boot {
            let moved = self.offset.abs_diff(other.offset);
            return i64::try_from(moved).ok().map(|m| m.saturating_add(read));
        }
        let (a, b) = self.wall.zip(other.wall)?;
        i64::try_from(a.saturating_add(b)).ok().map(|w| w.saturating_add(read))
    }
}

/// Lanes, in no order, and what a user should know, one sentence each.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) notes: Vec<String>,
    /// What can be told of which nodes.
    pub(crate) ops: Vec<(NodeIdx, Op)>,
}

/// Of the collectives of a communicator, this share (percent) may be undecided for want of equal clocks and
/// have had so much lateness, ns.
const UNDECIDED_PERCENT: usize = 10;
const MATTERS: i64 = MS;

struct Ops {
    entry: Op,
    lag: Op,
    absent: Op,
    mismatch: Op,
}

/// Finds all that there is. `clocks` by file.
pub(crate) fn find(trace: &Trace, calls: Vec<Call>, clocks: &[Option<Clock>]) -> Found {
    let op = |name| Op::by_name(Source::Nccl, name).expect("derived ops are in the catalogue (tested)");
    let [entry, lag, absent, mismatch] = ACROSS_RANKS.map(op);
    let mut out = Finder {
        trace,
        clocks,
        ops: Ops {
            entry,
            lag,
            absent,
            mismatch,
        },
        lanes: BTreeMap::new(),
        found: Found::default(),
    };
    let mut comms: BTreeMap<i64, BTreeMap<ProcIdx, Vec<Call>>> = BTreeMap::new();
    for call in calls {
        let process = trace.thread(call.thread).process;
        let members = comms.entry(call.comm).or_default();
        members.entry(process).or_default().push(call);
    }
    for members in comms.into_values() {
        // Ranks also send to each other, which not all of them do.
        let p2p = members.values().flatten().any(|c| c.what.op.is("p2p"));
        let members: Vec<Member> = members.into_values().map(|calls| Member::new(calls, p2p)).collect();
        out.communicator(&members, p2p);
    }
    let mut found = out.found;
    found.lanes = out.lanes.values().map(sorted).collect();
    found.ops.sort_unstable();
    found.ops.dedup();
    found
}

/// One rank of a communicator.
struct Member {
    /// The call that made it, or any.
    first: Call,
    /// Collectives by their number among the collectives; empty where that cannot be told.
    calls: BTreeMap<i64, Call>,
}

impl Member {
    fn new(mut all: Vec<Call>, p2p: bool) -> Self {
        all.sort_by_key(|c| (c.seq, c.when));
        let first = all[0].clone();
        let mut calls = BTreeMap::new();
        let (mut expected, mut others) = (1, 0);
        for call in all.into_iter().filter(|c| c.seq > 0) {
            // Behind a hole nobody knows how many sends there were.
            if p2p && call.seq != expected {
                break;
            }
            expected = call.seq + 1;
            if call.what.op.is("collective") {
                calls.insert(call.seq - others, call);
            } else {
                others += 1;
            }
        }
        Self { first, calls }
    }
}

struct Finder<'t> {
    trace: &'t Trace,
    clocks: &'t [Option<Clock>],
    ops: Ops,
    lanes: BTreeMap<(ThreadIdx, Op), Lane>,
    found: Found,
}

impl Finder<'_> {
    fn communicator(&mut self, members: &[Member], p2p: bool) {
        let ranks: Vec<i32> = members.iter().map(|m| m.first.rank).collect();
        let size = members.iter().map(|m| m.first.nranks).max().unwrap_or(-1);
        // A rank that was recorded twice would be its own peer.
        let mut known: Vec<i32> = ranks.into_iter().filter(|r| *r >= 0).collect();
        known.sort_unstable();
        if members.len() < 2 || known.windows(2).any(|r| r[0] == r[1]) {
            return;
        }
        self.tell(self.ops.mismatch, members);
        let agreed = self.mismatches(members);
        let Some(apart) = self.clocks_of(members) else {
            return self.note(members, "nothing says how well the clocks of its hosts agree");
        };
        // After a hole in the numbers the last call that is known need not be the last.
        if !p2p && members.iter().all(|m| self.keeps_all(self.node_of(m))) {
            self.absences(members);
        }
        // Who is last of some may not be the last of all.
        if usize::try_from(size).is_ok_and(|n| n == members.len()) {
            self.entries(members, &agreed, &apart);
        }
    }

    /// By how much the clocks of each two members may be apart.
    fn clocks_of(&self, members: &[Member]) -> Option<Vec<Vec<i64>>> {
        let apart = |a: &Member, b: &Member| {
            if a.first.file == b.first.file {
                return Some(0);
            }
            let of = |m: &Member| self.clocks.get(m.first.file)?.as_ref();
            of(a)?.apart(of(b)?)
        };
        members
            .iter()
            .map(|a| members.iter().map(|b| apart(a, b)).collect())
            .collect()
    }

    /// Calls that differ from those of most ranks; of ranks of whom no more than half agree, all. Gives the
    /// numbers at which all agree.
    fn mismatches(&mut self, members: &[Member]) -> Vec<i64> {
        let mut agreed = Vec::new();
        for &n in members[0].calls.keys() {
            let here: Option<Vec<&Call>> = members.iter().map(|m| m.calls.get(&n)).collect();
            let Some(here) = here else { continue };
            let mut kinds: BTreeMap<What, usize> = BTreeMap::new();
            for c in here.iter().filter(|c| c.what.count >= 0) {
                *kinds.entry(c.what).or_default() += 1;
            }
            if kinds.len() <= 1 {
                agreed.push(n);
                continue;
            }
            let usual = kinds.iter().find(|k| 2 * k.1 > here.len()).map(|k| *k.0);
            for c in here.iter().filter(|c| c.what.count >= 0 && Some(c.what) != usual) {
                let name = format!("{} of {} elements", c.what.op.def().name, c.what.count);
                self.push(self.ops.mismatch, c, c.when, &name);
            }
        }
        agreed
    }

    /// Ranks that do not enter what others have entered.
    fn absences(&mut self, members: &[Member]) {
        self.tell(self.ops.absent, members);
        for m in members {
            let last = m.calls.last_key_value();
            let missed = last.map_or(1, |(n, _)| n + 1);
            let entered = members.iter().filter_map(|o| o.calls.get(&missed));
            let Some(entered) = entered.max_by_key(|c| c.when.start) else {
                continue;
            };
            let since = entered.when.start;
            let until = self.known_until(m, members);
            if until > since {
                // What the others call, on the thread that was the last to call anything there.
                let (thread, rank) = (last.map_or(m.first.thread, |(_, c)| c.thread), m.first.rank);
                let missed = Call {
                    thread,
                    rank,
                    ..entered.clone()
                };
                let name = missed.what.op.def().name;
                self.push(self.ops.absent, &missed, Interval::new(since, until), name);
            }
        }
    }

    /// Up to when it is known that a rank does not come: to the end of its recording, and where its process has
    /// ended, of those that wait for it.
    fn known_until(&self, member: &Member, members: &[Member]) -> i64 {
        let end = |m: &Member| self.trace.node(self.node_of(m)).observed.map_or(i64::MIN, |o| o.end);
        let process = self.trace.thread(member.first.thread).process;
        if self.trace.process(process).exit_seen {
            members.iter().map(end).max().unwrap_or(i64::MIN)
        } else {
            end(member)
        }
    }

    fn node_of(&self, member: &Member) -> NodeIdx {
        self.trace.process(self.trace.thread(member.first.thread).process).node
    }

    /// Whether every collective of a node is a row.
    fn keeps_all(&self, node: NodeIdx) -> bool {
        let node = self.trace.node(node);
        let lost = node.losses.iter().flatten().any(|l| l.source == Source::Nccl.name());
        let left_out = match &node.stored {
            Stored::Thresholds(list) => list.iter().any(|t| t.0.is("collective")),
            Stored::Everything => false,
            Stored::Selected(_) => true,
        };
        !lost && !left_out
    }

    fn entries(&mut self, members: &[Member], agreed: &[i64], apart: &[Vec<i64>]) {
        let (mut entries, mut lags) = (Vec::new(), Vec::new());
        let mut undecided = 0;
        let most = apart.iter().flatten().max().copied().unwrap_or(0);
        for n in agreed {
            let calls: Vec<&Call> = members.iter().filter_map(|m| m.calls.get(n)).collect();
            let starts: Vec<i64> = calls.iter().map(|c| c.when.start).collect();
            for (i, call) in calls.iter().enumerate() {
                let own = starts[i];
                // Who was late before is late with all that follows at once: that is no new lateness.
                let before = members[i]
                    .calls
                    .range(..n)
                    .next_back()
                    .map_or(i64::MIN, |(_, c)| c.when.end);
                let mut others: Vec<i64> = starts.iter().enumerate().filter(|o| o.0 != i).map(|o| *o.1).collect();
                others.sort_unstable();
                let half = others[(others.len() - 1) / 2];
                entries.push((*call, Interval::new(half.max(before).min(own), own)));
            }
            let sure = |i: usize| (0..starts.len()).all(|j| i == j || starts[i] - starts[j] > 2 * apart[i][j]);
            let here = &entries[entries.len() - starts.len()..];
            match (0..starts.len()).find(|&i| sure(i)) {
                Some(i) => lags.push(here[i]),
                None => {
                    let seen = here.iter().map(|e| e.1.len()).max().unwrap_or(0);
                    undecided += usize::from(most > 0 && seen.saturating_add(2 * most) >= MATTERS);
                }
            }
        }
        if undecided * 100 > agreed.len() * UNDECIDED_PERCENT {
            let why = format!(
                "its ranks enter {undecided} of {} collectives closer together than twice what their clocks may be \
                 apart ({})",
                agreed.len(),
                show_dur(most)
            );
            return self.note(members, &why);
        }
        self.tell(self.ops.entry, members);
        self.tell(self.ops.lag, members);
        for (call, when) in entries {
            self.push(self.ops.entry, call, when, "");
        }
        for (call, when) in lags {
            self.push(self.ops.lag, call, when, "");
        }
    }

    fn push(&mut self, op: Op, call: &Call, when: Interval, name: &str) {
        let lane = self.lanes.entry((call.thread, op));
        let lane = lane.or_insert_with(|| Lane::new(call.thread, op));
        lane.start.push(when.start);
        lane.dur.push(when.len());
        lane.bytes.push(call.bytes);
        lane.rank.push(call.rank);
        lane.name.push(name.to_owned());
    }

    fn tell(&mut self, op: Op, members: &[Member]) {
        for m in members {
            let node = self.node_of(m);
            self.found.ops.push((node, op));
        }
    }

    fn note(&mut self, members: &[Member], why: &str) {
        let n = members.len();
        self.found.notes.push(format!(
            "which of {n} ranks of an NCCL communicator is late is not judged: {why}"
        ));
    }
}

/// By start, as lanes are.
fn sorted(lane: &Lane) -> Lane {
    let mut order: Vec<usize> = (0..lane.len()).collect();
    order.sort_by_key(|&i| (lane.start[i], lane.dur[i], i));
    let pick = |column: &[i64]| order.iter().map(|&i| column[i]).collect();
    Lane {
        start: pick(&lane.start),
        dur: pick(&lane.dur),
        bytes: pick(&lane.bytes),
        rank: order.iter().map(|&i| lane.rank[i]).collect(),
        name: order.iter().map(|&i| lane.name[i].clone()).collect(),
        ..Lane::new(lane.thread, lane.op)
    }
}
