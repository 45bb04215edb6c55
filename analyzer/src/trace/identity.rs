//! Who is who: which process a thread belongs to, and where one life of a process id ends and the
//! next begins.
//!
//! `sched_switch` rows carry a thread id in both columns, so their process comes from any other row
//! of that thread, from the recorder's list of tasks, or from a fork. Process ids come back after
//! an exit, and an exec makes another program of the same process: each such life is a process here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::catalogue::{Op, Source};
use super::reader::columns::RawLane;
use super::reader::tables::Task;

/// The op with these ids.
pub(crate) fn known(source: i64, op: i64) -> Op {
    Op::by_ids(source, op).expect("the catalogue holds all ops of the stored format")
}

/// What is known of a node before its processes are.
#[derive(Debug, Default)]
pub(crate) struct Evidence<'a> {
    /// Lanes as stored.
    pub(crate) lanes: &'a [RawLane],
    /// The recorder's list of threads.
    pub(crate) tasks: &'a [Task],
    /// Process ids of aggregates of ops whose pid column is a process.
    pub(crate) counted: BTreeSet<i64>,
    /// Process ids that have to exist for other reasons (annotations, victims).
    pub(crate) wanted: BTreeSet<i64>,
}

/// Where a row is: file and row number in it.
pub(crate) type At = (u32, u32);

/// One life of a process id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) pid: i64,
    pub(crate) number: u32,
    /// Rows that start at or after this belong to it or to a later life; the first life also has all before.
    pub(crate) from: i64,
    /// Fork or exec, where seen.
    pub(crate) begun: Option<i64>,
    /// When its program was executed, and the row that says so.
    pub(crate) exec: Option<(i64, At)>,
    /// Exit or the next exec, where seen.
    pub(crate) ended: Option<i64>,
    /// Index of the life that forked it.
    pub(crate) parent: Option<usize>,
    /// Parent as stored, and when: resolved to `parent` once all lives are known.
    forked_by: Option<(i64, i64)>,
}

/// All lives of a node, and the way from a stored row to one of them.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    /// By (pid, number).
    pub(crate) lives: Vec<Life>,
    by_pid: BTreeMap<i64, Range<usize>>,
    /// For each thread id: from when on it belongs to which process id.
    tids: BTreeMap<i64, Vec<(i64, i64)>>,
}

struct Fork {
    at: i64,
    parent: i64,
    child: i64,
}

/// Whether the op's pid and tid are those of the caller.
fn tells(lane: &RawLane) -> bool {
    let d = lane.key.op.def();
    let (pid, tid) = (lane.key.pid, lane.key.tid);
    if pid <= 0 || tid <= 0 || d.source == Source::Mem && d.op_id == 20 || d.source == Source::Sched && d.op_id == 21 {
        return false;
    }
    match d.source {
        // Equal ids may be a thread id twice, or the interrupted or issuing task.
        Source::Sched | Source::Io | Source::Tcp => pid != tid,
        Source::Mem => d.op_id == 3 || pid != tid,
        _ => true,
    }
}

/// Whether rows of the op show that a process acts by itself.
fn is_mark(op: Op) -> bool {
    let d = op.def();
    d.source == Source::Process || matches!(d.source, Source::Cuda | Source::Driver | Source::Graph) && op.is("launch")
}

/// Process and thread that a stored row belongs to, before lives are told apart. `None` for the
/// process where only the thread is known.
fn subject(lane: &RawLane) -> (Option<i64>, i64) {
    let d = lane.key.op.def();
    let (pid, tid) = (lane.key.pid, lane.key.tid);
    match (d.source, d.op_id) {
        // pid is the next task and tid the previous one.
        (Source::Sched, 21) => (None, pid),
        (Source::Mem, 20) => (Some(pid), pid),
        (Source::Sched | Source::Io | Source::Tcp, _) if pid == tid => (None, tid),
        _ => (Some(pid), tid),
    }
}

impl Identity {
    /// Finds all lives and owners.
    pub(crate) fn new(evidence: &Evidence<'_>) -> Self {
        let (exec, exit, fork) = (known(3, 5), known(3, 6), known(3, 7));
        let mut forks = Vec::new();
        let mut execs: BTreeMap<i64, Vec<(i64, At)>> = BTreeMap::new();
        let mut exits: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        // For each thread id: (first seen, process id).
        let mut told: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
        let mut pids: BTreeSet<i64> = evidence.wanted.clone();
        for lane in evidence.lanes {
            let (op, pid, tid) = (lane.key.op, lane.key.pid, lane.key.tid);
            if op == fork {
                for (&at, &child) in lane.start.iter().zip(&lane.value) {
                    forks.push(Fork { at, parent: pid, child });
                }
            } else if op == exec {
                let rows = lane.start.iter().zip(&lane.row);
                execs
                    .entry(pid)
                    .or_default()
                    .extend(rows.map(|(&at, &row)| (at, (lane.file, row))));
            } else if op == exit && pid == tid {
                exits.entry(pid).or_default().extend(&lane.start);
            }
            if tells(lane) && lane.rows > 0 {
                told.entry(tid).or_default().push((lane.first, pid));
                pids.insert(pid);
            }
        }
        for task in evidence.tasks {
            told.entry(task.tid)
                .or_default()
                .push((if task.start == 0 { i64::MIN } else { task.start }, task.pid));
            pids.insert(task.pid);
        }
        pids.extend(evidence.counted.iter().filter(|&&p| p > 0));
        for list in execs.values_mut() {
            list.sort_unstable();
        }
        for list in exits.values_mut() {
            list.sort_unstable();
        }
        forks.sort_by_key(|f| (f.at, f.parent, f.child));

        // A new task is a process if it ever shows up as one; else it is a thread of its parent.
        let mut process_forks: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
        for f in &forks {
            let own_process = pids.contains(&f.child)
                && told
                    .get(&f.child)
                    .is_none_or(|t| t.iter().any(|&(_, pid)| pid == f.child));
            if own_process {
                process_forks.entry(f.child).or_default().push((f.at, f.parent));
            } else {
                told.entry(f.child).or_default().push((f.at, f.parent));
                pids.insert(f.parent);
            }
        }
        let mut tids: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
        for (tid, mut list) in told {
            list.sort_unstable();
            list.dedup_by_key(|e| e.1);
            tids.insert(tid, list);
        }
        for lane in evidence.lanes {
            if let (None, tid) = subject(lane)
                && !tids.contains_key(&tid)
            {
                pids.insert(tid);
            }
            if let (Some(pid), _) = subject(lane) {
                pids.insert(pid);
            }
        }

        let mut first_row: BTreeMap<i64, i64> = BTreeMap::new();
        let mut main_lanes: BTreeMap<i64, Vec<&RawLane>> = BTreeMap::new();
        for lane in evidence.lanes {
            let (pid, tid) = subject(lane);
            let pid = pid.unwrap_or_else(|| tids.get(&tid).map_or(tid, |l| l[0].1));
            let first = first_row.entry(pid).or_insert(i64::MAX);
            *first = (*first).min(lane.first);
            // Only ops that are always kept in memory, so that lives do not depend on what is asked for.
            if tid == pid && lane.key.op != exit && is_mark(lane.key.op) {
                main_lanes.entry(pid).or_default().push(lane);
            }
        }
        let mut out = Self {
            tids,
            ..Self::default()
        };
        for &pid in &pids {
            let from = out.lives.len();
            let story = Story {
                pid,
                first_row: first_row.get(&pid).copied(),
                forks: process_forks.get(&pid).map_or(&[], Vec::as_slice),
                execs: execs.get(&pid).map_or(&[], Vec::as_slice),
                exits: exits.get(&pid).map_or(&[], Vec::as_slice),
                main: main_lanes.get(&pid).map_or(&[], Vec::as_slice),
            };
            out.lives.extend(story.lives());
            out.by_pid.insert(pid, from..out.lives.len());
        }
        out.use_tasks(evidence.tasks);
        for i in 0..out.lives.len() {
            if let Some((pid, at)) = out.lives[i].forked_by {
                out.lives[i].parent = out.life_at(pid, at).filter(|&p| p != i);
            }
        }
        out
    }

    /// The list of tasks knows begins, ends and parents that have no rows.
    fn use_tasks(&mut self, tasks: &[Task]) {
        for task in tasks.iter().filter(|t| t.tid == t.pid) {
            let at = if task.start == 0 { i64::MIN } else { task.start };
            let Some(i) = self.life_at(task.pid, at) else { continue };
            let only = self.by_pid.get(&task.pid).is_some_and(|r| r.len() == 1);
            let life = &mut self.lives[i];
            if task.start > 0 && life.begun.is_none() && task.start <= life.from {
                life.begun = Some(task.start);
                life.from = task.start;
            }
            if task.exit > 0 && life.ended.is_none() && only {
                life.ended = Some(task.exit);
            }
            if task.ppid > 0 && life.forked_by.is_none() {
                life.forked_by = Some((task.ppid, task.start.max(life.from)));
            }
        }
    }

    /// The life of a process id at a time.
    pub(crate) fn life_at(&self, pid: i64, at: i64) -> Option<usize> {
        let range = self.by_pid.get(&pid)?.clone();
        let lives = &self.lives[range.clone()];
        let later = lives.partition_point(|l| l.from <= at);
        Some(range.start + later.saturating_sub(1)).filter(|_| !range.is_empty())
    }

    /// The life that a thread id belongs to at a time.
    pub(crate) fn owner_at(&self, tid: i64, at: i64) -> Option<usize> {
        self.life_at(self.pid_at(tid, at), at)
    }

    /// Threads that rows, tasks or forks name, each with the life that it began in.
    pub(crate) fn threads(&self) -> impl Iterator<Item = (usize, i64)> {
        let all = self
            .tids
            .iter()
            .flat_map(|(&tid, list)| list.iter().map(move |&(from, pid)| (tid, from, pid)));
        all.filter_map(|(tid, from, pid)| Some((self.life_at(pid, from)?, tid)))
    }

    /// Whether anything is known of the task.
    pub(crate) fn knows(&self, tid: i64) -> bool {
        self.tids.contains_key(&tid) || self.by_pid.contains_key(&tid)
    }

    /// Whether the owner of a thread id depends on the time.
    pub(crate) fn changes(&self, tid: i64) -> bool {
        self.tids.get(&tid).is_some_and(|l| l.len() > 1)
            || self
                .by_pid
                .get(&self.pid_at(tid, i64::MIN))
                .is_some_and(|r| r.len() > 1)
    }

    fn pid_at(&self, tid: i64, at: i64) -> i64 {
        self.tids.get(&tid).map_or(tid, |list| {
            let later = list.partition_point(|e| e.0 <= at);
            list[later.saturating_sub(1)].1
        })
    }

    /// The lives that own the rows of a lane, each from a time on, and the thread.
    pub(crate) fn owners(&self, lane: &RawLane) -> (Vec<(i64, usize)>, i64) {
        let (pid, tid) = subject(lane);
        let spans: Vec<(i64, i64)> = match pid {
            Some(pid) => vec![(i64::MIN, pid)],
            None => self.tids.get(&tid).cloned().unwrap_or_else(|| vec![(i64::MIN, tid)]),
        };
        let mut out: Vec<(i64, usize)> = Vec::new();
        for (k, &(from, pid)) in spans.iter().enumerate() {
            let from = if k == 0 { i64::MIN } else { from };
            let until = spans.get(k + 1).map_or(i64::MAX, |s| s.0);
            let Some(range) = self.by_pid.get(&pid) else { continue };
            for i in range.clone() {
                let begin = if i == range.start { i64::MIN } else { self.lives[i].from };
                let end = if i + 1 < range.end {
                    self.lives[i + 1].from
                } else {
                    i64::MAX
                };
                if begin.max(from) < end.min(until) || spans.len() == 1 && range.len() == 1 {
                    out.push((begin.max(from), i));
                }
            }
        }
        (out, tid)
    }

    /// Whether two lives are of one process tree, as far as forks are known.
    pub(crate) fn same_tree(&self, a: usize, b: usize) -> bool {
        a == b || self.root(a) == self.root(b)
    }

    fn root(&self, mut i: usize) -> usize {
        // Bounded: a damaged file could make a parent of a child.
        for _ in 0..64 {
            match self.lives[i].parent {
                // Everything descends from the first process; that makes no family.
                Some(p) if self.lives[p].pid > 1 => i = p,
                _ => break,
            }
        }
        i
    }
}

/// What happened to a process id.
struct Story<'a> {
    pid: i64,
    first_row: Option<i64>,
    /// (time, parent).
    forks: &'a [(i64, i64)],
    execs: &'a [(i64, At)],
    exits: &'a [i64],
    main: &'a [&'a RawLane],
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Exit,
    Fork(i64),
    Exec(At),
}

impl Story<'_> {
    fn lives(&self) -> Vec<Life> {
        let mut events: Vec<(i64, Event)> = Vec::new();
        events.extend(self.forks.iter().map(|&(at, parent)| (at, Event::Fork(parent))));
        events.extend(self.execs.iter().map(|&(at, row)| (at, Event::Exec(row))));
        events.extend(self.exits.iter().map(|&at| (at, Event::Exit)));
        events.sort_unstable();

        let mut lives: Vec<Life> = Vec::new();
        if let Some(first) = self.first_row
            && events.first().is_none_or(|e| first < e.0 || e.1 == Event::Exit)
        {
            lives.push(self.life(first));
        }
        let mut exited = false;
        for (i, &(at, event)) in events.iter().enumerate() {
            match event {
                Event::Fork(parent) => {
                    lives.push(Life {
                        begun: Some(at),
                        forked_by: Some((parent, at)),
                        ..self.life(at)
                    });
                    exited = false;
                }
                Event::Exec(row) => {
                    let fresh = match lives.last() {
                        Some(l) if !exited => l.begun == Some(l.from) && l.exec.is_none() && !self.rows_in(l.from, at),
                        _ => false,
                    };
                    if fresh && let Some(life) = lives.last_mut() {
                        // A fork that does nothing but exec is one life.
                        life.exec = Some((at, row));
                    } else {
                        let before = lives.last_mut().filter(|_| !exited);
                        let forked_by = before.as_ref().and_then(|l| l.forked_by);
                        if let Some(before) = before {
                            before.ended = Some(at);
                        }
                        lives.push(Life {
                            begun: Some(at),
                            exec: Some((at, row)),
                            forked_by,
                            ..self.life(at)
                        });
                    }
                    exited = false;
                }
                Event::Exit => {
                    if lives.is_empty() || exited {
                        lives.push(self.life(at));
                    }
                    if let Some(life) = lives.last_mut() {
                        life.ended = Some(at);
                    }
                    exited = true;
                    // A main thread that runs again is another process with the same id.
                    let next = events.get(i + 1).map_or(i64::MAX, |e| e.0);
                    if let Some(again) = self.first_main_row_after(at)
                        && again < next
                    {
                        lives.push(self.life(again));
                        exited = false;
                    }
                }
            }
        }
        if lives.is_empty() {
            lives.push(self.life(self.first_row.unwrap_or(i64::MIN)));
        }
        for (n, life) in lives.iter_mut().enumerate() {
            life.number = u32::try_from(n).unwrap_or(u32::MAX);
        }
        lives
    }

    fn life(&self, from: i64) -> Life {
        Life {
            pid: self.pid,
            number: 0,
            from,
            begun: None,
            exec: None,
            ended: None,
            parent: None,
            forked_by: None,
        }
    }

    /// Whether the main thread has rows that start in `from..to`.
    fn rows_in(&self, from: i64, to: i64) -> bool {
        self.main.iter().any(|lane| {
            let i = lane.start.partition_point(|&s| s < from);
            lane.start.get(i).is_some_and(|&s| s < to)
        })
    }

    fn first_main_row_after(&self, at: i64) -> Option<i64> {
        self.main
            .iter()
            .filter_map(|lane| lane.start.get(lane.start.partition_point(|&s| s <= at)).copied())
            .min()
    }
}
