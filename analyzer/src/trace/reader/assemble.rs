//! All files together become one trace: nodes, processes, threads, lanes.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::collectives::RawCall;
use super::columns::{RawKey, RawLane, to_u32};
use super::file::RawFile;
use super::options::{Edge, Needs, ReadOptions, WindowSpec};
use super::scan::parallel;
use super::tables::{Annotation, CgroupCpu, OpenCall, Session, Task, Xid};
use crate::trace::catalogue::{AWAKE, OPEN_CALL, Op, Source};
use crate::trace::coverage;
use crate::trace::derive::calls::{self, Calls};
use crate::trace::derive::collectives::{self, Call};
use crate::trace::derive::life::{self, GpuLife};
use crate::trace::derive::{awake, counts, frontend, holders, limits, programs, requests};
use crate::trace::identity::{At, Evidence, Identity, known};
use crate::trace::model::{
    Bucket, Counted, Lane, Loss, Node, NodeIdx, ProcIdx, Process, Rows, Snapshot, Stored, Thread, ThreadIdx, Trace,
    UNKNOWN_TIME, preemptor,
};
use crate::unit::{Interval, SEC, show_dur, show_utc};

/// The first rows of a session are all stored for this long.
const BOOTSTRAP: i64 = 10 * SEC;
/// Events may be older than the session that recorded them by less than this.
const EARLY: i64 = SEC;

/// Everything about one node, from all files that have it.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
struct Host {
    lanes: Vec<RawLane>,
    files: BTreeSet<usize>,
    sessions: Vec<Session>,
    tasks: Vec<Task>,
    names: BTreeMap<i64, String>,
    annotations: Vec<Annotation>,
    snapshots: Vec<Snapshot>,
    xids: Option<Vec<Xid>>,
    open_calls: Option<Vec<OpenCall>>,
    /// With the number of the file.
    collectives: Vec<(usize, RawCall)>,
    cgroup_cpu: Vec<CgroupCpu>,
    /// Paths of cgroups by id, and the ids of some rows.
    cgroup_paths: BTreeMap<i64, String>,
    cgroups: BTreeMap<At, i64>,
    losses: Option<Vec<Loss>>,
    thresholds: Vec<(Op, i64, i64)>,
    comms: BTreeMap<At, String>,
    counted: BTreeMap<(i64, Op), Counted>,
    rows_missing: u64,
    not_stored: u64,
    cores: Option<u32>,
    record_all: bool,
    ours: bool,
    run_state: bool,
    preemptor: bool,
    probes: Option<Vec<super::tables::Probe>>,
    kept_from: Option<i64>,
}

/// Builds the trace.
pub(crate) fn trace(mut files: Vec<RawFile>, several: bool, options: &ReadOptions<'_>) -> Trace {
    let threads = options.worker_count();
    let mut hosts = hosts(&mut files, several);
    mark_doubles(&mut files, &hosts);
    let mut out = Trace::default();
    // A part holds whole events, which reach beyond it; what lies there is not known in full.
    let part = |host: &Host| {
        let of = host.files.iter().map(|f| files[*f].tables.slice.map(|s| s.window));
        of.collect::<Option<Vec<_>>>()?.into_iter().reduce(Interval::hull)
    };
    let parts: Vec<Option<Interval>> = hosts.values().map(part).collect();
    let mut clocks = Vec::new();
    for file in files {
        clocks.push(file.clock);
        out.files.push(file.info);
        out.chains.extend(file.tables.chains);
        out.truth.extend(file.tables.truth);
    }
    let mut collectives = Vec::new();
    for (n, (name, host)) in std::mem::take(&mut hosts).into_iter().enumerate() {
        let index = NodeIdx(u16::try_from(n).unwrap_or(u16::MAX));
        Builder::new(index, name, host, &options.needs, threads).build(&mut out, &mut collectives);
    }
    add_collectives(&mut out, collectives, &clocks, &options.needs);
    // Lanes come thread by thread already; the ranges say where.
    let mut at = 0;
    for (t, thread) in out.threads.iter_mut().enumerate() {
        let from = at;
        while out.lanes.get(at).is_some_and(|l| l.thread.0 as usize == t) {
            at += 1;
        }
        thread.lanes = from..at;
    }
    if parts.iter().any(Option::is_some) {
        crop(&mut out, &parts);
    }
    find_recordings(&mut out.nodes);
    if let Some(spec) = options.window {
        let windows: Vec<Option<Interval>> = out.nodes.iter().map(|n| resolve(spec, n)).collect();
        crop(&mut out, &windows);
    }
    out
}

/// What collectives show across nodes, as lanes of the ranks' threads.
fn add_collectives(out: &mut Trace, calls: Vec<Call>, clocks: &[Option<collectives::Clock>], needs: &Needs) {
    if calls.is_empty() {
        return;
    }
    let found = collectives::find(out, calls, clocks);
    for (node, op) in found.ops {
        let ops = &mut out.nodes[usize::from(node.0)].ops;
        if let Err(at) = ops.binary_search(&op) {
            ops.insert(at, op);
        }
    }
    if let Some(file) = out.files.first_mut() {
        file.notes.extend(found.notes);
    }
    out.lanes.extend(found.lanes.into_iter().filter(|l| needs.has(l.op)));
    out.lanes.sort_by_key(|l| (l.thread, l.op));
}

/// Sorts what the files hold by node name.
fn hosts(files: &mut [RawFile], several: bool) -> BTreeMap<String, Host> {
    let stems: Vec<String> = files
        .iter()
        .map(|f| {
            f.info
                .path
                .file_stem()
                .map_or_else(String::new, |s| s.to_string_lossy().into_owned())
        })
        .collect();
    let mut hosts: BTreeMap<String, Host> = BTreeMap::new();
    for (i, file) in files.iter_mut().enumerate() {
        let mut own = std::mem::take(&mut file.info.nodes);
        if own.is_empty() {
            // Without rows the sessions still say whose trace it is.
            own = file.tables.sessions.iter().map(|s| s.node.clone()).collect();
            own.sort();
            own.dedup();
            if own.is_empty() {
                own.push(String::new());
            }
        }
        let shown = |name: &String| {
            if !name.is_empty() || !several {
                name.clone()
            } else if stems.iter().filter(|s| **s == stems[i]).count() > 1 {
                file.info.path.display().to_string()
            } else {
                stems[i].clone()
            }
        };
        let names: Vec<String> = own.iter().map(shown).collect();
        for lane in std::mem::take(&mut file.scanned.lanes) {
            let seen = Interval::new(lane.first, lane.last);
            file.info.observed = Some(file.info.observed.map_or(seen, |o| o.hull(seen)));
            let name = &names[usize::from(lane.key.node).min(names.len() - 1)];
            hosts.entry(name.clone()).or_default().lanes.push(lane);
        }
        for (name, stored) in names.iter().zip(&own) {
            let sole = names.len() == 1;
            fill_host(hosts.entry(name.clone()).or_default(), i, file, stored, sole);
        }
        if names.len() > 1 {
            share_out(file, &own, &names, &mut hosts);
        }
        file.info.nodes = names;
    }
    hosts
}

/// What a file says of one of its nodes; `sole`: of its only one.
fn fill_host(host: &mut Host, index: usize, file: &mut RawFile, stored: &str, sole: bool) {
    let tables = &mut file.tables;
    let first = host.files.is_empty();
    host.files.insert(index);
    let mine = |s: &&Session| sole || s.node == stored;
    host.sessions.extend(tables.sessions.iter().filter(mine).cloned());
    host.tasks.extend(tables.tasks.iter().cloned());
    for (&pid, name) in &tables.names {
        host.names.entry(pid).or_insert_with(|| name.clone());
    }
    host.comms.append(&mut file.comms.clone());
    host.cgroups.append(&mut file.cgroups.clone());
    if let Some(s) = tables.slice {
        file.info.notes.push(format!(
            "a part of a longer recording: {} of {} events, those that reach into {} from {}",
            s.kept,
            s.before,
            show_dur(s.window.len()),
            show_utc(s.window.start)
        ));
    }
    let record_all = file.ours && tables.thresholds.is_empty()
        || host.sessions.iter().any(|s| s.record_all) && tables.sessions.iter().filter(mine).all(|s| s.record_all);
    host.record_all = record_all && (first || host.record_all);
    host.ours = file.ours && (first || host.ours);
    host.run_state = file.run_state && (first || host.run_state);
    host.preemptor = file.preemptor && (first || host.preemptor);
    let cores = tables.recording.get("host_cores").and_then(|c| c.parse().ok());
    let told = tables
        .sessions
        .iter()
        .filter(mine)
        .filter_map(|s| u32::try_from(s.cores).ok())
        .rfind(|&c| c > 0);
    host.cores = cores.or(told).or(host.cores);
    // An id names its node; a file whose ids name none has one node.
    let kept = file
        .kept_from
        .get(stored)
        .or_else(|| file.kept_from.values().next().filter(|_| sole));
    if let Some(&(at, number)) = kept {
        host.kept_from = Some(host.kept_from.map_or(at, |k| k.min(at)));
        let told = |n: &String| n.starts_with("trimmed") || n.starts_with("a part of");
        if !file.info.notes.iter().any(told) {
            let of = if stored.is_empty() {
                String::new()
            } else {
                format!(" of {stored}")
            };
            file.info.notes.push(format!(
                "trimmed or continued: the first {} events{of} are not in this file, so no window of it is complete \
                 unless a later session began in it",
                number - 1
            ));
        }
    }
    if !sole {
        return;
    }
    let rows: BTreeMap<(i64, Op), counts::Tallies> =
        std::mem::take(&mut file.tallies)
            .into_iter()
            .fold(BTreeMap::new(), |mut all, ((_, pid, op), tallies)| {
                let sum: &mut counts::Tallies = all.entry((pid, op)).or_default();
                for (bucket, tally) in tallies {
                    sum.entry(bucket).or_insert(super::columns::Tally::NONE).merge(tally);
                }
                all
            });
    let joined = counts::join(&tables.aggregates, &rows, kept.copied());
    if joined.overwritten > 0 {
        file.info.notes.push(format!(
            "{} one-minute aggregates count less than the rows show (a late event overwrote them): counts there are \
             lower bounds",
            joined.overwritten
        ));
    }
    if joined.rows_missing > 0 {
        file.info.notes.push(format!(
            "{} rows that the aggregates call stored are not there",
            joined.rows_missing
        ));
    }
    host.rows_missing += joined.rows_missing;
    host.not_stored += joined.not_stored;
    for c in joined.counted {
        add_counted(&mut host.counted, c);
    }
    host.snapshots.append(&mut tables.snapshots);
    host.annotations.append(&mut tables.annotations);
    host.thresholds.append(&mut tables.thresholds);
    if let Some(mut losses) = tables.losses.take() {
        let pages: u64 = losses.iter().filter(|l| l.is_of_pages()).map(|l| l.lost).sum();
        if pages > 0 {
            file.info.notes.push(format!(
                "the page counter skipped {pages} allocations: page counts are lower bounds by that many"
            ));
        }
        if first || host.losses.is_some() {
            host.losses.get_or_insert_default().append(&mut losses);
        }
    } else {
        host.losses = None;
    }
    if let Some(mut xids) = tables.xids.take() {
        host.xids.get_or_insert_default().append(&mut xids);
    }
    if let Some(mut open) = tables.open_calls.take() {
        host.open_calls.get_or_insert_default().append(&mut open);
    }
    let calls = std::mem::take(&mut file.collectives).into_iter();
    host.collectives.extend(calls.map(|c| (index, c)));
    host.cgroup_cpu.append(&mut tables.cgroup_cpu);
    host.cgroup_cpu.sort_by(|a, b| (a.at, &a.path).cmp(&(b.at, &b.path)));
    host.cgroup_paths.append(&mut tables.cgroups);
    if let Some(mut probes) = tables.probes.take() {
        host.probes.get_or_insert_default().append(&mut probes);
    }
}

/// Tables without a node column, in a file of several nodes: a row goes to the node whose session
/// was the only one at that time.
fn share_out(file: &mut RawFile, own: &[String], names: &[String], hosts: &mut BTreeMap<String, Host>) {
    let tables = &mut file.tables;
    let spans: Vec<(usize, Interval)> = tables
        .sessions
        .iter()
        .filter_map(|s| {
            let at = own.iter().position(|n| *n == s.node)?;
            Some((
                at,
                Interval::new(
                    s.start.saturating_sub(EARLY),
                    if s.stop > 0 { s.stop } else { i64::MAX },
                ),
            ))
        })
        .collect();
    let at = |t: i64| {
        let mut found = spans.iter().filter(|s| s.1.contains(t)).map(|s| s.0);
        let first = found.next();
        first.filter(|f| found.all(|g| g == *f))
    };
    let mut dropped = 0;
    for s in std::mem::take(&mut tables.snapshots) {
        match at(s.at).and_then(|n| hosts.get_mut(&names[n])) {
            Some(host) => host.snapshots.push(s),
            None => dropped += 1,
        }
    }
    for a in std::mem::take(&mut tables.annotations) {
        match at(a.span.map_or(a.timestamp, |s| s.start)).and_then(|n| hosts.get_mut(&names[n])) {
            Some(host) => host.annotations.push(a),
            None => dropped += 1,
        }
    }
    if dropped > 0 {
        file.info.notes.push(format!(
            "{dropped} snapshots or annotations could not be given to one of its nodes"
        ));
    }
    if !tables.aggregates.is_empty() {
        file.info
            .notes
            .push("its aggregates do not say which node they count, and were left out".into());
    }
}

/// Two files that hold the same node at the same time may hold the same events.
fn mark_doubles(files: &mut [RawFile], hosts: &BTreeMap<String, Host>) {
    for (name, host) in hosts {
        let of: Vec<usize> = host.files.iter().copied().collect();
        for (k, &a) in of.iter().enumerate() {
            for &b in &of[k + 1..] {
                let both = files[a].info.observed.zip(files[b].info.observed);
                if both.is_some_and(|(x, y)| x.overlap(y) > 0) {
                    let other = files[a].info.path.display().to_string();
                    files[b].info.notes.push(format!(
                        "{other} and this file cover the same time of node {name}: events in both are counted twice"
                    ));
                }
            }
        }
    }
}

fn add_counted(all: &mut BTreeMap<(i64, Op), Counted>, c: Counted) {
    use std::collections::btree_map::Entry;
    match all.entry((c.pid, c.op)) {
        Entry::Vacant(e) => {
            e.insert(c);
        }
        Entry::Occupied(mut e) => {
            let into = e.get_mut();
            for (list, more) in [(&mut into.minutes, c.minutes), (&mut into.fives, c.fives)] {
                for b in more {
                    match list.binary_search_by_key(&b.start, |x| x.start) {
                        Err(at) => list.insert(at, b),
                        Ok(at) => {
                            let x = &mut list[at];
                            x.count += b.count;
                            x.stored += b.stored;
                            x.rows += b.rows;
                            x.sum += b.sum;
                            x.min = x.min.min(b.min);
                            x.max = x.max.max(b.max);
                            x.bytes += b.bytes;
                            x.reliable &= b.reliable;
                        }
                    }
                }
            }
        }
    }
}

/// A lane that has found its thread.
struct Piece {
    life: usize,
    tid: i64,
    lane: RawLane,
}

/// One node on its way into the trace.
struct Builder<'a> {
    index: NodeIdx,
    node: Node,
    host: Host,
    needs: &'a Needs,
    threads: usize,
}

impl<'a> Builder<'a> {
    fn new(index: NodeIdx, name: String, host: Host, needs: &'a Needs, threads: usize) -> Self {
        Self {
            index,
            node: Node {
                name,
                ..Node::default()
            },
            host,
            needs,
            threads,
        }
    }

    fn build(mut self, out: &mut Trace, collectives: &mut Vec<Call>) {
        let lanes = self.take_lanes();
        self.describe(&lanes);
        let wanted = self.wanted(&lanes);
        let identity = Identity::new(&Evidence {
            lanes: &lanes,
            tasks: &self.host.tasks,
            counted: self
                .host
                .counted
                .keys()
                .filter(|k| names_a_process(k.1))
                .map(|k| k.0)
                .collect(),
            wanted,
        });
        out.torn.extend(torn(&lanes, &identity));
        let pieces = assign(lanes, &identity);
        let first_process = to_u32(out.processes.len());
        let first_thread = out.threads.len();
        let proc_of = |life: usize| ProcIdx(first_process + to_u32(life));

        let mut threads: BTreeSet<(usize, i64)> = pieces.iter().map(|p| (p.life, p.tid)).collect();
        threads.extend(identity.lives.iter().enumerate().map(|(i, l)| (i, l.pid)));
        threads.extend(identity.threads());
        for t in &self.host.tasks {
            if let Some(life) = identity.life_at(t.pid, t.start) {
                threads.insert((life, t.tid));
            }
        }
        for o in self.host.open_calls.iter().flatten() {
            threads.extend(identity.life_at(o.pid, o.when.start).map(|life| (life, o.tid)));
        }
        let threads: Vec<(usize, i64)> = threads.into_iter().collect();
        let thread_of = |life: usize, tid: i64| {
            threads
                .binary_search(&(life, tid))
                .ok()
                .map(|at| ThreadIdx(to_u32(first_thread + at)))
        };

        let throttled = self.throttled(&pieces);
        self.add_processes(out, &identity, &pieces, &threads, first_thread);
        for &life in throttled.keys() {
            out.processes[proc_of(life).0 as usize].limits_known = true;
        }
        let mut lanes = self.add_lanes(out, &identity, pieces, first_process, &thread_of);
        for l in lanes.iter_mut().filter(|l| l.op == known(3, 1)) {
            let life = out.threads[l.thread.0 as usize].process.0 - first_process;
            if let Some(found) = throttled.get(&(life as usize)) {
                limits::share_out(l, found);
            }
        }
        for (life, thread) in frontend::find(&identity, &lanes, out, first_process) {
            out.processes[first_process as usize + life].frontend = Some(thread);
        }
        self.derive(out, &identity, first_process, &thread_of, &mut lanes);
        let calls = std::mem::take(&mut self.host.collectives).into_iter();
        collectives.extend(calls.filter_map(|(file, c)| {
            let life = identity.life_at(c.pid, c.when.start)?;
            Some(call_of(&c, file, thread_of(life, c.tid)?))
        }));
        for c in self.host.counted.values_mut() {
            let end = c.minutes.last().map_or(0, |b| b.start.saturating_add(b.len));
            let life = if names_a_process(c.op) {
                identity.life_at(c.pid, end)
            } else {
                identity.owner_at(c.pid, end)
            };
            c.process = life.map(proc_of);
        }
        self.node.counted = std::mem::take(&mut self.host.counted).into_values().collect();
        self.node.ops.sort_unstable();
        self.node.ops.dedup();
        lanes.retain(|l| self.needs.has(l.op) && !l.is_empty());
        lanes.sort_by_key(|l| (l.thread, l.op));
        out.lanes.append(&mut lanes);
        out.nodes.push(self.node);
    }

    /// The lanes of all files, one for each key. A killed process is the subject of its oom_kill.
    fn take_lanes(&mut self) -> Vec<RawLane> {
        let oom = known(3, 4);
        let mut by_key: BTreeMap<RawKey, Vec<RawLane>> = BTreeMap::new();
        for mut lane in std::mem::take(&mut self.host.lanes) {
            lane.key.node = self.index.0;
            if lane.key.op != oom {
                by_key.entry(lane.key).or_default().push(lane);
                continue;
            }
            while lane.len() > 0 {
                let rest = lane.split_off(1);
                let mut one = std::mem::replace(&mut lane, rest);
                one.key.pid = one.value.first().copied().unwrap_or(one.key.pid);
                one.key.tid = one.key.pid;
                // The name in the row is that of the task in whose context the killer ran.
                self.host.comms.remove(&(one.file, one.sample));
                by_key.entry(one.key).or_default().push(one);
            }
        }
        by_key
            .into_values()
            .filter_map(RawLane::concat)
            .map(|mut lane| {
                lane.sort(None);
                lane
            })
            .collect()
    }

    /// The fields of the node that do not need its processes.
    fn describe(&mut self, lanes: &[RawLane]) {
        let (node, host) = (&mut self.node, &mut self.host);
        let spans = lanes
            .iter()
            .filter(|l| l.rows > 0)
            .map(|l| Interval::new(l.first, l.last));
        let xids = host.xids.iter().flatten().map(|x| Interval::new(x.at, x.at));
        let open = host.open_calls.iter().flatten().map(|o| o.when);
        node.observed = spans.chain(xids).chain(open).reduce(Interval::hull);
        node.ops = lanes.iter().filter(|l| l.rows > 0).map(|l| l.key.op).collect();
        node.ops.sort_unstable();
        node.ops.dedup();
        node.ours = host.ours;
        node.run_state = host.run_state;
        node.preemptor = host.preemptor;
        node.cores = host.cores;
        node.rows_missing = host.rows_missing;
        node.not_stored = host.not_stored;
        host.sessions.sort_by_key(|s| (s.start, s.stop));
        let last = node.observed.map_or(i64::MIN, |o| o.end);
        node.sessions = host
            .sessions
            .iter()
            .map(|s| Interval::new(s.start, if s.stop > 0 { s.stop } else { last }))
            .collect();
        node.snapshots = std::mem::take(&mut host.snapshots);
        node.snapshots.sort_by_key(|s| s.at);
        node.losses = host.losses.take().map(|mut l| {
            l.sort_by(|a, b| (&a.source, a.when, &a.reason).cmp(&(&b.source, b.when, &b.reason)));
            l
        });
        if let Some(probes) = &host.probes {
            node.probes_known = true;
            let missing = probes.iter().filter(|p| !p.attached);
            node.probes_missing = missing.map(|p| (p.name.clone(), p.reason.clone())).collect();
            let attached = probes
                .iter()
                .filter(|p| p.attached)
                .filter_map(|p| source_of_probe(&p.name));
            let mut attached: Vec<String> = attached.map(|s| s.name().to_owned()).collect();
            attached.sort();
            attached.dedup();
            node.sources_attached = attached;
        }
        node.stored = if host.record_all {
            Stored::Everything
        } else if host.ours {
            let mut list = host.thresholds.clone();
            list.sort_unstable();
            list.dedup_by_key(|t| t.0);
            Stored::Thresholds(list)
        } else {
            Stored::Selected(complete_windows(&host.sessions, node.observed, host.kept_from))
        };
    }

    /// How long the cgroup of each life was throttled, where it was read: the cgroup that it was in when it
    /// made one of its calls, for few ever change theirs.
    fn throttled(&self, pieces: &[Piece]) -> BTreeMap<usize, limits::Throttled> {
        // Calls are made by the process itself; of other rows the task may be the one that was interrupted.
        let own = |p: &&Piece| !matches!(p.lane.key.op.def().source, Source::Io | Source::Tcp | Source::Mem);
        let mut out = BTreeMap::new();
        for p in pieces.iter().filter(own) {
            let id = self.host.cgroups.get(&(p.lane.file, p.lane.sample));
            let path = id.and_then(|id| self.host.cgroup_paths.get(id));
            if let Some(found) = path.and_then(|path| limits::of_cgroup(path, &self.host.cgroup_cpu)) {
                out.entry(p.life).or_insert(found);
            }
        }
        out
    }

    /// Processes that must exist although no row may name them.
    fn wanted(&self, lanes: &[RawLane]) -> BTreeSet<i64> {
        let mut wanted: BTreeSet<i64> = self.host.annotations.iter().map(|a| a.pid).collect();
        if self.host.xids.as_ref().is_some_and(|x| !x.is_empty()) {
            wanted.insert(0);
        }
        wanted.extend(lanes.iter().filter(|l| l.key.op == known(3, 4)).map(|l| l.key.pid));
        wanted.extend(self.host.open_calls.iter().flatten().map(|o| o.pid));
        wanted
    }

    fn add_processes(
        &self,
        out: &mut Trace,
        identity: &Identity,
        pieces: &[Piece],
        threads: &[(usize, i64)],
        first_thread: usize,
    ) {
        let first_process = to_u32(out.processes.len());
        let exits_recorded = self.node.ops.binary_search(&known(3, 6)).is_ok()
            || self.node.sources_attached.iter().any(|s| s == Source::Process.name());
        let observed = self.node.observed.unwrap_or_default();
        let mut names = self.names(pieces, threads);
        let mut spans: BTreeMap<usize, Interval> = BTreeMap::new();
        let mut gpu: BTreeMap<usize, Interval> = BTreeMap::new();
        for o in self.host.open_calls.iter().flatten() {
            if let Some(life) = identity.life_at(o.pid, o.when.start) {
                spans.entry(life).and_modify(|s| *s = s.hull(o.when)).or_insert(o.when);
            }
        }
        for p in pieces.iter().filter(|p| p.lane.rows > 0) {
            let span = Interval::new(p.lane.first, p.lane.last);
            spans.entry(p.life).and_modify(|s| *s = s.hull(span)).or_insert(span);
            if matches!(
                p.lane.key.op.def().source,
                Source::Cuda | Source::Driver | Source::Graph
            ) {
                gpu.entry(p.life).and_modify(|s| *s = s.hull(span)).or_insert(span);
            }
        }
        for (i, life) in identity.lives.iter().enumerate() {
            let span = spans.get(&i).copied();
            let start = match (life.begun, span) {
                (Some(b), Some(s)) => b.min(s.start),
                (Some(b), None) => b,
                (None, Some(s)) => s.start,
                (None, None) => observed.start,
            };
            let last = span.map_or(start, |s| s.end);
            let end = match life.ended {
                Some(e) => e.max(last),
                None if exits_recorded || span.is_none() => observed.end.max(last),
                None => last,
            };
            let mut name = names.get(&(i, life.pid)).cloned().unwrap_or_default();
            if name.is_empty() {
                let exec = life.exec.and_then(|(_, at)| self.host.comms.get(&at).cloned());
                let other = || {
                    let mut of_life = names.range((i, i64::MIN)..=(i, i64::MAX));
                    of_life.find_map(|(_, n)| (!n.is_empty()).then(|| n.clone()))
                };
                name = exec.or_else(other).unwrap_or_default();
            }
            out.processes.push(Process {
                node: self.index,
                pid: life.pid,
                life: life.number,
                name,
                alive: Interval::new(start, end),
                start_seen: life.begun.is_some(),
                exit_seen: life.ended.is_some(),
                parent: life.parent.map(|p| ProcIdx(first_process + to_u32(p))),
                threads: Vec::new(),
                launcher: None,
                frontend: None,
                gpu: gpu.get(&i).copied(),
                steady_from: None,
                late: false,
                limits_known: false,
            });
        }
        let first_stint: BTreeMap<(usize, i64), i64> = pieces
            .iter()
            .filter(|p| p.lane.key.op == known(3, 1) && p.lane.rows > 0)
            .map(|p| ((p.life, p.tid), p.lane.first))
            .collect();
        let mut traced: BTreeMap<(usize, i64), bool> = BTreeMap::new();
        for t in &self.host.tasks {
            if let Some(life) = identity.life_at(t.pid, t.start) {
                traced
                    .entry((life, t.tid))
                    .and_modify(|all| *all &= t.traced)
                    .or_insert(t.traced);
            }
        }
        for (n, &(life, tid)) in threads.iter().enumerate() {
            let process = ProcIdx(first_process + to_u32(life));
            let p = &mut out.processes[process.0 as usize];
            p.threads.push(ThreadIdx(to_u32(first_thread + n)));
            out.threads.push(Thread {
                process,
                tid,
                name: names.remove(&(life, tid)).unwrap_or_default(),
                lanes: 0..0,
                sched: coverage::sched(
                    &self.node,
                    first_stint.get(&(life, tid)).copied(),
                    p.gpu.is_some() && tid == p.pid,
                    traced.get(&(life, tid)).copied(),
                ),
            });
        }
    }

    /// Names of threads. The name in a row is that of the task which ran the probe: for
    /// `sched_switch` that may be the one that left, so it comes last.
    fn names(&self, pieces: &[Piece], threads: &[(usize, i64)]) -> BTreeMap<(usize, i64), String> {
        let rank = |op: Op| match op.def().source {
            Source::Cuda | Source::Driver | Source::Graph | Source::Nccl => 0,
            Source::Process => 1,
            Source::Net => 2,
            Source::Io => 3,
            Source::Sched if op == known(3, 1) => 9,
            _ => 4,
        };
        let mut best: BTreeMap<(usize, i64), (u8, &String)> = BTreeMap::new();
        let mut out: BTreeMap<(usize, i64), String> = threads.iter().map(|&t| (t, String::new())).collect();
        for p in pieces {
            if let Some(comm) = self.host.comms.get(&(p.lane.file, p.lane.sample)) {
                let here = (rank(p.lane.key.op), comm);
                let b = best.entry((p.life, p.tid)).or_insert(here);
                if here.0 < b.0 {
                    *b = here;
                }
            }
        }
        let tasks: BTreeMap<i64, &String> = self
            .host
            .tasks
            .iter()
            .filter(|t| !t.comm.is_empty())
            .map(|t| (t.tid, &t.comm))
            .collect();
        for (key, name) in &mut out {
            let told = best.get(key);
            let sure = told.filter(|b| b.0 < 9).map(|b| b.1);
            let found = sure
                .or(tasks.get(&key.1).copied())
                .or(self.host.names.get(&key.1))
                .or(told.map(|b| b.1));
            if let Some(found) = found {
                name.clone_from(found);
            }
        }
        out
    }

    /// Lanes of stored ops, with their marks; the GPU life of each process on the way.
    fn add_lanes(
        &mut self,
        out: &mut Trace,
        identity: &Identity,
        pieces: Vec<Piece>,
        first_process: u32,
        thread_of: &(impl Fn(usize, i64) -> Option<ThreadIdx> + Sync),
    ) -> Vec<Lane> {
        let mut groups: BTreeMap<usize, Vec<Piece>> = BTreeMap::new();
        for p in pieces {
            groups.entry(p.life).or_default().push(p);
        }
        let (host, node) = (&self.host, &self.node);
        let done = parallel(self.threads, groups.into_iter().collect(), None, |(life, pieces)| {
            let gpu_calls = |p: &&Piece| {
                matches!(
                    p.lane.key.op.def().source,
                    Source::Cuda | Source::Driver | Source::Graph
                )
            };
            let calls: Vec<Calls<'_>> = pieces
                .iter()
                .filter(gpu_calls)
                .map(|p| Calls {
                    tid: p.tid,
                    op: p.lane.key.op,
                    first: p.lane.first,
                    start: &p.lane.start,
                    dur: &p.lane.dur,
                    row: &p.lane.row,
                    value: &p.lane.value,
                })
                .collect();
            let flags = calls::flags(&calls);
            let gpu = life::gpu_life(&calls, &flags);
            let mut flags = flags.into_iter();
            let mut lanes = Vec::with_capacity(pieces.len());
            for p in pieces {
                let marks = if gpu_calls(&&p) {
                    flags.next().unwrap_or_default()
                } else {
                    Vec::new()
                };
                if let Some(thread) = thread_of(life, p.tid) {
                    lanes.push(lane(p, thread, marks, host, node, identity));
                }
            }
            (life, gpu, lanes)
        });
        let mut lanes = Vec::new();
        let children = self.compilers(identity, out, first_process);
        let from = self.node.sessions.first().map(|s| s.start);
        let from = from.or(self.node.observed.map(|o| o.start)).unwrap_or(i64::MIN);
        let calls_lost = |l: &Loss| [Source::Cuda, Source::Driver].iter().any(|s| s.name() == l.source);
        let none_lost = self.node.losses.as_ref().is_some_and(|all| !all.iter().any(calls_lost));
        let mut probes = self.host.probes.iter().flatten();
        let probed = probes.any(|p| p.attached && p.name == "cudaMalloc");
        let allocations_kept = probed && none_lost && matches!(self.node.stored, Stored::Everything);
        for (life, gpu, mut more) in done {
            lanes.append(&mut more);
            let p = &mut out.processes[first_process as usize + life];
            let Some(used) = p.gpu else { continue };
            let GpuLife {
                launcher,
                mut disturbances,
                ..
            } = gpu.clone();
            p.launcher = launcher.and_then(|tid| thread_of(life, tid));
            let trimmed = self.host.kept_from.is_some();
            p.late = life::late(&gpu, used.start, p.start_seen, from, trimmed, allocations_kept);
            disturbances.extend(children.get(&life).into_iter().flatten());
            p.steady_from = life::steady_from(used.start, p.late, disturbances, p.alive.end);
        }
        for lane in lanes.iter_mut().filter(|l| l.op.is("launch") && !l.flags.is_empty()) {
            let process = &out.processes[out.threads[lane.thread.0 as usize].process.0 as usize];
            let until = self.first_uses_sure_until(process, lane.op);
            calls::mark_unsure(&mut lane.flags, &lane.start, &lane.dur, until);
        }
        lanes
    }

    /// Up to when the first row of a kernel in a process was its first launch: as long as every launch
    /// since the first call of the process is a row.
    fn first_uses_sure_until(&self, process: &Process, op: Op) -> i64 {
        let (true, Some(used)) = (!process.late, process.gpu) else {
            return i64::MIN;
        };
        let same_source = |o: Op| o.is("launch") && o.def().source == op.def().source;
        let losses = self.node.losses.iter().flatten().filter(|l| l.concerns(op));
        let lost = losses.map(|l| l.when.start).min().unwrap_or(i64::MAX);
        let stored = match &self.node.stored {
            Stored::Everything => i64::MAX,
            Stored::Thresholds(list) => {
                let from = list.iter().filter(|t| same_source(t.0)).map(|t| t.2);
                from.min().unwrap_or(i64::MAX)
            }
            Stored::Selected(windows) => windows
                .iter()
                .find(|w| w.contains(used.start))
                .map_or(i64::MIN, |w| w.end),
        };
        stored.min(lost)
    }

    /// Runs of compilers, by the life that forked them.
    fn compilers(&self, identity: &Identity, out: &Trace, first_process: u32) -> BTreeMap<usize, Vec<Interval>> {
        let end = |life: usize| out.processes[first_process as usize + life].alive.end;
        let mut found: BTreeMap<usize, Vec<Interval>> = BTreeMap::new();
        for run in programs::runs(identity, end) {
            let name = self.program(identity, run.life, out, first_process);
            if let (true, Some(parent)) = (life::is_compiler(&name), run.parent) {
                found.entry(parent).or_default().push(run.when);
            }
        }
        found
    }

    /// The name of a program: as it was at its exec, before it could rename itself.
    fn program(&self, identity: &Identity, life: usize, out: &Trace, first_process: u32) -> String {
        let at_exec = identity.lives[life]
            .exec
            .and_then(|(_, at)| self.host.comms.get(&at).cloned());
        at_exec.unwrap_or_else(|| out.processes[first_process as usize + life].name.clone())
    }

    /// Lanes of derived ops.
    fn derive(
        &mut self,
        out: &Trace,
        identity: &Identity,
        first_process: u32,
        thread_of: &impl Fn(usize, i64) -> Option<ThreadIdx>,
        lanes: &mut Vec<Lane>,
    ) {
        let op = |source, name| Op::by_name(source, name).expect("derived ops are in the catalogue (tested)");
        let process = |life: usize| &out.processes[first_process as usize + life];
        let mut derived: BTreeMap<(ThreadIdx, Op), Lane> = BTreeMap::new();
        let mut push = |thread: ThreadIdx, op: Op, when: Interval, name: String, more: &dyn Fn(&mut Lane)| {
            let lane = derived.entry((thread, op)).or_insert_with(|| Lane::new(thread, op));
            lane.start.push(when.start);
            lane.dur.push(when.len());
            lane.name.push(name);
            more(lane);
        };
        let main = |life: usize| thread_of(life, identity.lives[life].pid);

        let (run, child, warmup) = (
            op(Source::Process, "run"),
            op(Source::Process, "child"),
            op(Source::Process, "warmup"),
        );
        let mut runs = programs::runs(identity, |life| process(life).alive.end);
        runs.sort_by_key(|r| (r.when, r.life));
        for r in runs {
            let name = self.program(identity, r.life, out, first_process);
            if let Some(t) = main(r.life) {
                push(t, run, r.when, name.clone(), &|_| {});
            }
            if let Some(t) = r.parent.and_then(main) {
                push(t, child, r.when, name, &|_| {});
            }
        }
        let working = op(Source::Process, "child_working");
        if self.needs.has(working) {
            for (life, l) in identity.lives.iter().enumerate() {
                let (Some(t), Some(owner)) = (main(life), l.parent.and_then(main)) else {
                    continue;
                };
                let stints = lanes.iter().find(|l| l.thread == t && l.op == known(3, 1));
                let (Some(seen), alive) = (self.node.observed, process(life).alive) else {
                    continue;
                };
                let alive = (alive.start.max(seen.start), alive.end.min(seen.end));
                let name = self.program(identity, life, out, first_process);
                for when in awake::within(stints, alive) {
                    push(owner, working, when, name.clone(), &|_| {});
                }
            }
        }
        let not_asleep = op(Source::Sched, AWAKE);
        if self.needs.has(not_asleep) {
            for lane in lanes.iter().filter(|l| l.op == known(3, 1)) {
                for when in awake::long(lane, &out.threads[lane.thread.0 as usize].sched) {
                    push(lane.thread, not_asleep, when, String::new(), &|_| {});
                }
            }
        }
        for life in 0..identity.lives.len() {
            let p = process(life);
            let Some(gpu) = p.gpu else { continue };
            let to = p.steady_from.unwrap_or(p.alive.end);
            if let (true, Some(t)) = (to > gpu.start, main(life)) {
                push(t, warmup, Interval::new(gpu.start, to), String::new(), &|_| {});
            }
        }
        let (wait, open) = (op(Source::Request, "wait"), op(Source::Request, "open"));
        let (found, steps) = requests::find(&self.host.annotations);
        for group in found.chunk_by(|a, b| a.pid == b.pid) {
            for (r, (behind, heavier)) in group.iter().zip(requests::behind_heavier(group)) {
                let Some(t) = identity.life_at(r.pid, r.open.start).and_then(main) else {
                    continue;
                };
                let sizes = |lane: &mut Lane| {
                    lane.prompt_tokens.push(r.prompt_tokens);
                    lane.output_tokens.push(r.output_tokens);
                    lane.choices.push(r.choices);
                    lane.logprobs.push(r.logprobs);
                };
                push(t, open, r.open, r.id.clone(), &sizes);
                self.node.ops.push(open);
                if let Some(first_token) = r.first_token {
                    push(
                        t,
                        wait,
                        Interval::new(r.open.start, first_token),
                        r.id.clone(),
                        &|lane| {
                            sizes(lane);
                            lane.behind_heavier.push(behind);
                            lane.n_heavier.push(heavier);
                        },
                    );
                    self.node.ops.push(wait);
                }
            }
        }
        let step = op(Source::Annotation, "step");
        for s in steps {
            if let Some(t) = identity.life_at(s.pid, s.when.start).and_then(main) {
                push(t, step, s.when, s.name, &|_| {});
                self.node.ops.push(step);
            }
        }
        let xid = op(Source::Xid, "xid");
        if let Some(mut xids) = self.host.xids.take() {
            let watched = !self.node.probes_known || self.node.sources_attached.iter().any(|s| s == "xid");
            if watched || !xids.is_empty() {
                self.node.ops.push(xid);
            }
            xids.sort_by_key(|x| (x.at, x.number));
            for x in xids {
                if let Some(t) = identity.life_at(0, x.at).and_then(main) {
                    push(t, xid, Interval::new(x.at, x.at), x.message, &|lane| {
                        lane.xid.push(x.number);
                    });
                }
            }
        }
        if let Some(open) = self.host.open_calls.take() {
            for source in [Source::Cuda, Source::Nccl] {
                let of = |o: Op| (o.def().source == Source::Nccl) == (source == Source::Nccl);
                let watched = Op::all().any(|o| of(o) && is_call(o) && coverage::observed(&self.node, o));
                let op = op(source, OPEN_CALL);
                if watched || open.iter().any(|c| of(c.op)) {
                    self.node.ops.push(op);
                }
                for c in open.iter().filter(|c| of(c.op)) {
                    let Some(t) = identity
                        .life_at(c.pid, c.when.start)
                        .and_then(|life| thread_of(life, c.tid))
                    else {
                        continue;
                    };
                    let counted = self.host.counted.get(&(c.pid, c.op));
                    let longest = counted
                        .and_then(|all| all.minutes.iter().map(|b| b.max).max())
                        .unwrap_or(-1);
                    push(t, op, c.when, c.op.def().name.to_owned(), &|lane| {
                        lane.longest_returned.push(longest);
                    });
                }
            }
        }
        // Children take turns, so their times come mixed.
        for lane in derived.values_mut().filter(|l| l.op == working) {
            let mut all: Vec<(i64, i64, String)> = (0..lane.len())
                .map(|i| (lane.start[i], lane.dur[i], std::mem::take(&mut lane.name[i])))
                .collect();
            all.sort();
            lane.start = all.iter().map(|a| a.0).collect();
            lane.dur = all.iter().map(|a| a.1).collect();
            lane.name = all.into_iter().map(|a| a.2).collect();
        }
        lanes.extend(derived.into_values());
    }
}

fn call_of(raw: &RawCall, file: usize, thread: ThreadIdx) -> Call {
    Call {
        thread,
        file,
        when: raw.when,
        comm: raw.comm,
        seq: raw.seq,
        what: raw.what,
        bytes: raw.bytes,
        rank: i32::try_from(raw.rank).unwrap_or(-1),
        nranks: raw.nranks,
    }
}

/// Whether a stored op is a call that can stay open.
fn is_call(op: Op) -> bool {
    let d = op.def();
    d.source_id != 0 && matches!(d.source, Source::Cuda | Source::Driver | Source::Graph | Source::Nccl)
}

/// Whether the pid of an op's aggregates is a process rather than a thread.
fn names_a_process(op: Op) -> bool {
    !matches!(op.def().source, Source::Sched | Source::Io | Source::Tcp)
}

/// The source that a probe serves: by its own name, by the part before a separator, by the op that it
/// is named after, or by the function or tracepoint that it hooks.
fn source_of_probe(probe: &str) -> Option<Source> {
    if let Some(s) = Source::by_name(probe) {
        return Some(s);
    }
    let (head, tail) = probe.split_once([':', '/', '.']).unwrap_or((probe, probe));
    let graph = ["cudaGraph", "cuGraph"].iter().any(|p| tail.starts_with(p))
        || ["BeginCapture", "EndCapture"].iter().any(|p| tail.contains(p));
    if graph {
        return Some(Source::Graph);
    }
    match (head, tail) {
        ("sched", t) if t.starts_with("sched_process_") => return Some(Source::Process),
        ("raw_syscalls" | "syscalls", _) => return Some(Source::Net),
        _ => {}
    }
    let by_op = |name: &str| {
        Op::all()
            .map(Op::def)
            .find(|d| d.name.eq_ignore_ascii_case(name))
            .map(|d| d.source)
    };
    by_op(probe)
        .or_else(|| by_op(tail))
        .or_else(|| Source::by_name(head))
        .or(match head {
            "block" => Some(Source::Io),
            "oom" | "kmem" => Some(Source::Mem),
            "nvidia" => Some(Source::Xid),
            "task" => Some(Source::Process),
            f if f.starts_with("cuda") => Some(Source::Cuda),
            f if f.starts_with("nccl") => Some(Source::Nccl),
            f if f.starts_with("cu") => Some(Source::Driver),
            _ => None,
        })
}

/// Windows in which every event became a row: the beginning of each session, or all of it with
/// `record-all`. A session that began before the first row that is left has lost its beginning.
fn complete_windows(sessions: &[Session], observed: Option<Interval>, kept_from: Option<i64>) -> Vec<Interval> {
    let Some(observed) = observed else {
        return Vec::new();
    };
    let mut out: Vec<Interval> = Vec::new();
    for s in sessions {
        if kept_from.is_some_and(|kept| s.start < kept) {
            continue;
        }
        let stop = if s.stop > 0 { s.stop } else { i64::MAX };
        let end = if s.record_all {
            stop
        } else {
            s.start.saturating_add(BOOTSTRAP).min(stop)
        };
        // The first events may be a little older than the session.
        let early = observed.start >= s.start.saturating_sub(EARLY);
        let start = if early { s.start.min(observed.start) } else { s.start };
        let (start, end) = (start.max(observed.start), end.min(observed.end));
        if start > end {
            continue;
        }
        match out.last_mut() {
            Some(last) if last.end >= start => last.end = last.end.max(end),
            _ => out.push(Interval::new(start, end)),
        }
    }
    out
}

/// Lanes that were only summed up although several lives share them.
fn torn(lanes: &[RawLane], identity: &Identity) -> Vec<(i64, i64, Op)> {
    let within = |l: &RawLane, from: i64| l.first < from && from <= l.last;
    lanes
        .iter()
        .filter(|l| l.rows > 0 && l.len() == 0)
        .filter(|l| identity.owners(l).0.iter().any(|o| within(l, o.0)))
        .map(|l| (l.key.pid, l.key.tid, l.key.op))
        .collect()
}

/// Gives each lane to the life and thread that it is about, cut where one life ends.
fn assign(lanes: Vec<RawLane>, identity: &Identity) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for mut lane in lanes.into_iter().filter(|l| l.rows > 0) {
        let (owners, tid) = identity.owners(&lane);
        if lane.len() == 0 {
            // Only summed up: it goes whole to its first owner.
            let at = owners.iter().rposition(|o| o.0 <= lane.first).unwrap_or(0);
            if let Some(&(_, life)) = owners.get(at) {
                pieces.push(Piece { life, tid, lane });
            }
            continue;
        }
        for k in (1..owners.len()).rev() {
            let at = lane.start.partition_point(|&s| s < owners[k].0);
            if at < lane.len() {
                let rest = lane.split_off(at);
                pieces.push(Piece {
                    life: owners[k].1,
                    tid,
                    lane: rest,
                });
            }
        }
        if let (Some(&(_, life)), true) = (owners.first(), lane.len() > 0) {
            pieces.push(Piece { life, tid, lane });
        }
    }
    pieces.sort_by_key(|p| (p.life, p.tid, p.lane.key.op, p.lane.first));
    // Rows of one thread may be stored under two identities.
    let mut out: Vec<Piece> = Vec::new();
    for p in pieces {
        match out.last_mut() {
            Some(last) if (last.life, last.tid, last.lane.key.op) == (p.life, p.tid, p.lane.key.op) => {
                last.lane.append(p.lane);
                last.lane.sort(None);
            }
            _ => out.push(p),
        }
    }
    out
}

/// Moves the columns of a lane to where the model has them.
fn lane(p: Piece, thread: ThreadIdx, flags: Vec<u8>, host: &Host, node: &Node, identity: &Identity) -> Lane {
    let raw = p.lane;
    let op = raw.key.op;
    let n = raw.len();
    let mut out = Lane {
        start: raw.start,
        dur: raw.dur,
        row: raw.row,
        direction: raw.direction,
        flags,
        ret: raw.ret,
        gpu: raw.gpu,
        rank: raw.rank,
        cgroup: raw.cgroup,
        ..Lane::new(thread, op)
    };
    match op.def().source {
        Source::Sched if op == known(3, 1) => {
            out.prev_tid = if node.preemptor { raw.aux } else { vec![-1; n] };
            out.preemptor = preemptors(&out, p.life, host, node, identity);
            out.runnable = raw.runnable;
            out.runnable.resize(n, UNKNOWN_TIME);
            out.uninterruptible = raw.uninterruptible;
            out.uninterruptible.resize(n, false);
        }
        // A task id, not bytes.
        Source::Sched | Source::Process => {}
        Source::Mem if op == known(3, 4) => {}
        _ => {
            if !op.is("launch") {
                out.bytes = raw.value;
            }
            out.stream = raw.aux;
        }
    }
    out
}

/// Whose thread ran before each stint ended.
fn preemptors(lane: &Lane, life: usize, host: &Host, node: &Node, identity: &Identity) -> Vec<u8> {
    if !node.preemptor {
        return vec![preemptor::UNKNOWN; lane.len()];
    }
    // `None` where the answer depends on the time.
    let mut known: FxHashMap<i64, Option<u8>> = FxHashMap::default();
    let code = |tid: i64, at: i64| match tid {
        0 => preemptor::IDLE,
        holders::UNRECORDED => preemptor::OTHER,
        t if t < 0 => preemptor::UNKNOWN,
        _ if !identity.knows(tid) => {
            // Our recorder lists all threads of the targets; without that list it may be one of
            // the process' own that never had a row.
            if host.ours && !host.tasks.is_empty() {
                preemptor::OTHER
            } else {
                preemptor::UNKNOWN
            }
        }
        _ => match identity.owner_at(tid, at) {
            Some(other) if identity.same_tree(life, other) => preemptor::OWN,
            Some(_) => preemptor::OTHER,
            None => preemptor::UNKNOWN,
        },
    };
    (0..lane.len())
        .map(|i| {
            let (tid, at) = (lane.prev_tid[i], lane.start[i].saturating_add(lane.dur[i]));
            let fixed = known
                .entry(tid)
                .or_insert_with(|| (!identity.changes(tid)).then(|| code(tid, at)));
            fixed.unwrap_or_else(|| code(tid, at))
        })
        .collect()
}

/// Nodes that were recorded at overlapping times are one recording.
fn find_recordings(nodes: &mut [Node]) {
    let mut seen: Vec<Interval> = nodes.iter().filter_map(|n| n.observed).collect();
    seen.sort_unstable();
    let mut recordings: Vec<Interval> = Vec::new();
    for when in seen {
        match recordings.last_mut() {
            Some(last) if when.start <= last.end => *last = last.hull(when),
            _ => recordings.push(when),
        }
    }
    for node in nodes {
        let mine = |r: &&Interval| node.observed.is_some_and(|o| r.contains(o.start));
        node.recording = recordings.iter().find(mine).copied();
    }
}

/// The window of a node in absolute time; `None` without events.
fn resolve(spec: WindowSpec, node: &Node) -> Option<Interval> {
    let all = node.recording?;
    let edge = |e: Edge| match e {
        Edge::At(t) => t,
        Edge::AfterStart(d) => all.start.saturating_add(d),
        Edge::BeforeEnd(d) => all.end.saturating_sub(d),
    };
    Some(Interval::new(
        spec.from.map_or(all.start, edge),
        spec.to.map_or(all.end, edge),
    ))
}

/// What of a stretch lies in a window; all of it where there is none.
fn cut(when: Interval, window: Option<Interval>) -> Option<Interval> {
    let Some(window) = window else { return Some(when) };
    let (start, end) = (when.start.max(window.start), when.end.min(window.end));
    (start <= end).then(|| Interval::new(start, end))
}

/// Leaves only what reaches into the windows, one for each node. What was concluded from all rows stays
/// as it is.
fn crop(trace: &mut Trace, windows: &[Option<Interval>]) {
    let of_node = |n: NodeIdx| windows.get(usize::from(n.0)).copied().flatten();
    let of_process = |p: ProcIdx| of_node(trace.processes[p.0 as usize].node);
    for lane in &mut trace.lanes {
        let window = of_process(trace.threads[lane.thread.0 as usize].process);
        let keep: Vec<bool> = (0..lane.len())
            .map(|i| cut(lane.interval(i), window).is_some())
            .collect();
        lane.retain(&keep);
    }
    for t in &mut trace.threads {
        if let Rows::Windows(w) = &mut t.sched {
            let window = of_process(t.process);
            *w = w.iter().filter_map(|i| cut(*i, window)).collect();
        }
    }
    for file in &mut trace.files {
        let nodes = trace.nodes.iter().zip(windows);
        let mine = nodes.filter(|(n, _)| file.nodes.contains(&n.name));
        let seen = mine.filter_map(|(_, w)| cut(file.observed?, *w));
        file.observed = seen.reduce(Interval::hull);
    }
    for p in &mut trace.processes {
        p.alive = cut(p.alive, of_node(p.node)).unwrap_or(p.alive);
    }
    for (node, window) in trace.nodes.iter_mut().zip(windows) {
        if let Some(window) = *window {
            crop_node(node, window);
        }
    }
    // Lanes that are empty now go, and the ranges with them.
    let mut at = 0;
    let lanes = std::mem::take(&mut trace.lanes);
    trace.lanes = lanes.into_iter().filter(|l| !l.is_empty()).collect();
    for (t, thread) in trace.threads.iter_mut().enumerate() {
        let from = at;
        while trace.lanes.get(at).is_some_and(|l| l.thread.0 as usize == t) {
            at += 1;
        }
        thread.lanes = from..at;
    }
}

/// What a node says of itself, likewise.
fn crop_node(node: &mut Node, window: Interval) {
    let cut = |i: Interval| cut(i, Some(window));
    node.observed = node.observed.and_then(cut);
    if let Stored::Selected(w) = &mut node.stored {
        *w = w.iter().copied().filter_map(cut).collect();
    }
    node.snapshots.retain(|s| window.contains(s.at));
    if let Some(losses) = &mut node.losses {
        losses.retain(|l| cut(l.when).is_some());
    }
    node.sessions = node.sessions.iter().copied().filter_map(cut).collect();
    for c in &mut node.counted {
        // A bucket that the window cuts also counts events outside of it: that there were more than
        // the rows is known, not how many.
        let whole =
            |b: &Bucket| window.start <= b.start && b.start.saturating_add(b.len) <= window.end.saturating_add(1);
        c.fives.retain(whole);
        c.minutes
            .retain(|b| Interval::new(b.start, b.start.saturating_add(b.len)).distance(window) == 0);
        for b in c.minutes.iter_mut().filter(|b| !whole(b)) {
            b.reliable = false;
        }
    }
    node.counted.retain(|c| !c.minutes.is_empty() || !c.fives.is_empty());
}
