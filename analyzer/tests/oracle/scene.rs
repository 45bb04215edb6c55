//! Small random traces: what happened, as plain intervals, and how it is written to a file.

use ingero::trace::catalogue::{Op, Source};
use ingero::trace::writer::{Detail, Event, Lost, SchedDetail, Session, Task, Uncounted, Writer};
use ingero::trace::{Needs, ReadOptions, Trace, read, read_connection};
use ingero::unit::{MS, SEC, US};
use proptest::prelude::*;

/// A whole minute.
pub(crate) const EPOCH: i64 = 1_767_225_600 * SEC;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Launch,
    Malloc,
    Memcpy,
    Sync,
    CuLaunch,
    OffCpu,
    Read,
    Write,
    Send,
    Fork,
}

impl Kind {
    pub(crate) fn op(self) -> Op {
        let (source, name) = match self {
            Self::Launch => (Source::Cuda, "cudaLaunchKernel"),
            Self::Malloc => (Source::Cuda, "cudaMalloc"),
            Self::Memcpy => (Source::Cuda, "cudaMemcpyAsync"),
            Self::Sync => (Source::Cuda, "cudaStreamSync"),
            Self::CuLaunch => (Source::Driver, "cuLaunchKernel"),
            Self::OffCpu => return Op::by_ids(3, 1).unwrap(),
            Self::Read => (Source::Io, "block_read"),
            Self::Write => (Source::Io, "block_write"),
            Self::Send => (Source::Net, "net_send"),
            Self::Fork => return Op::by_ids(3, 7).unwrap(),
        };
        Op::by_name(source, name).unwrap()
    }
}

/// One thing that happened. Processes of the second node have ids from 1,000 on here, and the same as
/// those of the first one in its file.
#[derive(Clone, Debug)]
pub(crate) struct Ev {
    pub(crate) kind: Kind,
    pub(crate) pid: i64,
    pub(crate) tid: i64,
    pub(crate) start: i64,
    pub(crate) dur: i64,
    pub(crate) bytes: i64,
    pub(crate) direction: i64,
    pub(crate) kernel: i64,
    /// -1 where calls of the kind have none.
    pub(crate) stream: i64,
    pub(crate) gpu: i64,
    /// Off-CPU: 0 preempted, 1 asleep, 2 waiting for a device; and when it was woken.
    pub(crate) state: i64,
    pub(crate) woken: i64,
    pub(crate) nested: bool,
    pub(crate) first_use: bool,
}

impl Ev {
    pub(crate) fn end(&self) -> i64 {
        self.start + self.dur
    }
}

/// All that happened, and what was watched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scene {
    pub(crate) events: Vec<Ev>,
    /// Processes: id, whether its off-CPU time and its run states are recorded.
    pub(crate) procs: Vec<(i64, bool, bool)>,
    pub(crate) threads: Vec<(i64, i64)>,
    /// Name of each process.
    pub(crate) names: Vec<(i64, &'static str)>,
    /// Parent, child, when.
    pub(crate) forks: Vec<(i64, i64, i64)>,
    /// Two files of one node: the second begins with what ends after that.
    pub(crate) rolled: Option<i64>,
}

impl Scene {
    pub(crate) fn name(&self, pid: i64) -> &'static str {
        self.names.iter().find(|n| n.0 == pid).unwrap().1
    }

    /// The process that a process descends from.
    pub(crate) fn root(&self, pid: i64) -> i64 {
        self.forks.iter().find(|f| f.1 == pid).map_or(pid, |f| f.0)
    }

    pub(crate) fn nodes(&self) -> i64 {
        self.procs.iter().map(|p| node_of(p.0)).max().unwrap() + 1
    }
}

pub(crate) fn node_of(id: i64) -> i64 {
    id / 1000
}

const GAPS: [i64; 8] = [0, 10 * US, MS, 5 * MS, 20 * MS, 60 * MS, 120 * MS, 300 * MS];
const DURS: [i64; 9] = [0, 10 * US, 12 * US, 100 * US, MS, 3 * MS, 10 * MS, 50 * MS, 400 * MS];

type Step = (u8, u8, u8, u8);

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>()), 0..most)
}

/// How a scene is spread over files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Files {
    One,
    /// A second node, with two processes of a thread each.
    Fleet,
    /// Two of one node.
    Rolled,
}

/// 2 processes x 3 threads, and sometimes a second node.
pub(crate) fn scene() -> impl Strategy<Value = Scene> {
    let thread = (steps(40), steps(12), steps(4));
    let files = prop::sample::select(vec![Files::One, Files::One, Files::One, Files::Fleet, Files::Rolled]);
    (
        prop::collection::vec(thread, 8),
        any::<[u8; 4]>(),
        prop::collection::vec(0u8..40, 8),
        files,
        any::<[u8; 4]>(),
    )
        .prop_map(|(threads, watched, begin, files, kin)| build(&threads, watched, &begin, files, kin))
}

fn blank(kind: Kind, pid: i64, tid: i64, start: i64, dur: i64) -> Ev {
    Ev {
        kind,
        pid,
        tid,
        start,
        dur,
        bytes: 0,
        direction: 4,
        kernel: 0,
        stream: -1,
        gpu: -1,
        state: 0,
        woken: 0,
        nested: false,
        first_use: false,
    }
}

fn build(
    threads: &[(Vec<Step>, Vec<Step>, Vec<Step>)],
    watched: [u8; 4],
    begin: &[u8],
    files: Files,
    kin: [u8; 4],
) -> Scene {
    let mut out = Scene::default();
    let shown = if files == Files::Fleet { 4 } else { 2 };
    for (w, pid) in watched.iter().zip([100, 200, 1100, 1200]).take(shown) {
        // Mostly watched.
        out.procs.push((pid, w % 8 != 0, w % 8 > 2));
        out.names.push((
            pid,
            if kin[0] >> out.names.len() & 1 == 0 {
                "one"
            } else {
                "other"
            },
        ));
    }
    for (n, (calls, stints, other)) in threads.iter().enumerate() {
        // Three threads in each process of the first node, one in each of the second.
        let (of, nth) = if n < 6 { (n / 3, n % 3) } else { (n - 4, 0) };
        let Some(&(pid, sched, states)) = out.procs.get(of) else {
            break;
        };
        let tid = pid + i64::try_from(nth).unwrap();
        out.threads.push((pid, tid));
        let mut at = EPOCH + i64::from(begin[n]) * 10 * MS;
        for &(kind, gap, dur, aux) in calls {
            at += GAPS[usize::from(gap) % GAPS.len()] / 2;
            // Long ones are rare.
            let dur = DURS[usize::from(dur % 9).min(usize::from(dur / 9 % 9))];
            let kind = match kind % 10 {
                0..5 => Kind::Launch,
                5 => Kind::Malloc,
                6 => Kind::Memcpy,
                7 => Kind::CuLaunch,
                _ => Kind::Sync,
            };
            let mut e = blank(kind, pid, tid, at, dur);
            match kind {
                Kind::Launch | Kind::CuLaunch => e.kernel = 1 + i64::from(aux % 5),
                Kind::Malloc => e.bytes = i64::from(aux) * 4096,
                Kind::Memcpy => {
                    e.bytes = i64::from(aux) * 1024;
                    e.direction = i64::from(aux % 4);
                }
                _ => {}
            }
            e.gpu = i64::from(aux % 7 / 5);
            if matches!(kind, Kind::Launch | Kind::Sync) {
                e.stream = i64::from(aux % 11 / 4);
            }
            if kind == Kind::Launch && aux % 3 == 0 {
                let mut inner = blank(Kind::CuLaunch, pid, tid, at + dur / 4, dur / 2);
                inner.kernel = 50 + i64::from(aux % 5);
                inner.gpu = e.gpu;
                inner.nested = true;
                out.events.push(inner);
            }
            out.events.push(e);
            at += dur + US;
        }
        let mut at = EPOCH + i64::from(begin[n]) * 10 * MS;
        for &(state, gap, dur, aux) in stints.iter().filter(|_| sched) {
            at += GAPS[usize::from(gap) % GAPS.len()];
            let dur = DURS[usize::from(dur) % DURS.len()];
            let mut e = blank(Kind::OffCpu, pid, tid, at, dur);
            e.state = if states { i64::from(state % 3) } else { -1 };
            e.woken = if e.state == 0 {
                at
            } else {
                at + dur * i64::from(aux % 5) / 4
            };
            out.events.push(e);
            at += dur + US;
        }
        for &(kind, gap, dur, aux) in other {
            let kind = [Kind::Read, Kind::Write, Kind::Send][usize::from(kind) % 3];
            let at = EPOCH + i64::from(gap) * 8 * MS;
            let mut e = blank(kind, pid, tid, at, DURS[usize::from(dur) % DURS.len()]);
            e.bytes = i64::from(aux) * 512;
            out.events.push(e);
        }
    }
    // Driver calls that happen to lie in a runtime call of their thread count as nested too.
    let runtime: Vec<Ev> = out.events.clone();
    for e in out.events.iter_mut().filter(|e| e.kind == Kind::CuLaunch) {
        e.nested = runtime.iter().any(|r| {
            matches!(r.kind, Kind::Launch | Kind::Malloc | Kind::Memcpy | Kind::Sync)
                && r.tid == e.tid
                && r.start <= e.start
                && e.end() <= r.end()
        });
    }
    for (parent, child, k) in [(100, 200, kin[1]), (1100, 1200, kin[2])] {
        let born = out.events.iter().filter(|e| e.pid == child).map(|e| e.start).min();
        if let Some(born) = born.filter(|_| k % 3 == 0) {
            let at = born - i64::from(k) * MS / 4;
            out.forks.push((parent, child, at));
            out.events.push(blank(Kind::Fork, parent, parent, at, 0));
        }
    }
    out.events.sort_by_key(|e| (e.end(), e.tid, e.kind));
    first_uses(&mut out.events);
    if files == Files::Rolled {
        out.rolled = Some(EPOCH + i64::from(kin[3]) * 10 * MS);
    }
    out
}

/// The first launch of a kernel in its process to return, for each layer.
fn first_uses(events: &mut [Ev]) {
    let mut order: Vec<usize> = (0..events.len()).filter(|&i| events[i].kernel != 0).collect();
    order.sort_by_key(|&i| (events[i].end(), i));
    let mut seen = std::collections::BTreeSet::new();
    for i in order {
        let e = &mut events[i];
        e.first_use = seen.insert((e.pid, e.kind, e.kernel));
    }
}

/// Adds a sync at both ends of each process, so that what is dropped in between changes no life.
pub(crate) fn with_ends(mut scene: Scene) -> Scene {
    let last = scene.events.iter().map(Ev::end).max().unwrap_or(EPOCH) + MS;
    for (pid, _, _) in &scene.procs {
        let born = scene.forks.iter().find(|f| f.1 == *pid).map(|f| f.2);
        for at in [born.unwrap_or(EPOCH - MS), last] {
            scene.events.push(Ev {
                stream: 0,
                gpu: 0,
                ..blank(Kind::Sync, *pid, *pid, at, 10 * US)
            });
        }
    }
    scene.events.sort_by_key(|e| (e.end(), e.tid, e.kind));
    scene
}

/// How a scene is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// All of it.
    Whole,
    /// Calls shorter than that are only counted, syncs aside.
    Thresholds(i64),
    /// As the public agent does: all until then, and after it syncs and the slow ones. It does not know
    /// whose thread it is that left the CPU, so nothing of that is in the file.
    Agent(i64),
    /// As the agent, but every event.
    AgentWhole,
}

/// Events of a source that ended in a second are lost, two of three.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lossy {
    pub(crate) source: Source,
    /// Counted from the begin.
    pub(crate) second: i64,
}

impl Lossy {
    fn loses(self, e: &Ev) -> bool {
        let from = EPOCH + self.second * SEC;
        let here = from <= e.end() && e.end() < from + SEC;
        here && e.kind != Kind::Sync && e.kind.op().def().source == self.source && e.start / (10 * US) % 3 != 0
    }
}

const COUNTED: [Kind; 7] = [
    Kind::Launch,
    Kind::Malloc,
    Kind::Memcpy,
    Kind::CuLaunch,
    Kind::Read,
    Kind::Write,
    Kind::Send,
];

/// Whether each event becomes a row.
fn stored(scene: &Scene, how: Storage) -> Vec<bool> {
    let mut recent: std::collections::BTreeMap<(i64, Kind), Vec<i64>> = std::collections::BTreeMap::new();
    let one = |e: &Ev| match how {
        Storage::Whole | Storage::AgentWhole => true,
        Storage::Thresholds(least) => e.dur >= least || !COUNTED.contains(&e.kind),
        Storage::Agent(until) => {
            let seen = recent.entry((node_of(e.pid), e.kind)).or_default();
            let mut sorted = seen.clone();
            sorted.sort_unstable();
            let slow = sorted.len() > 10 && e.dur > 3 * sorted[(sorted.len() - 1) / 2];
            seen.push(e.dur);
            let io = matches!(e.kind, Kind::Read | Kind::Write) && e.dur > 10 * MS;
            e.end() < until || slow || io || !COUNTED.contains(&e.kind)
        }
    };
    scene.events.iter().map(one).collect()
}

/// A node, its events and whether each is a row, and when the session began and ended.
type File<'e> = (i64, Vec<(&'e Ev, bool)>, (i64, i64));

/// Writes and reads the scene.
pub(crate) fn trace(scene: &Scene, how: Storage, lossy: Option<Lossy>) -> Trace {
    trace_with(scene, how, lossy, &Needs::everything())
}

/// The same, of which only a part is read.
pub(crate) fn trace_with(scene: &Scene, how: Storage, lossy: Option<Lossy>, needs: &Needs) -> Trace {
    let rows = stored(scene, how);
    let last = scene.events.iter().map(Ev::end).max().unwrap_or(EPOCH);
    let part = |wanted: &dyn Fn(&Ev) -> bool| -> Vec<(&Ev, bool)> {
        let all = scene.events.iter().zip(rows.iter().copied());
        all.filter(|(e, _)| wanted(e)).collect()
    };
    let begin = match how {
        Storage::Agent(until) => until - 10 * SEC,
        _ => EPOCH - SEC,
    };
    let mut files: Vec<File<'_>> = Vec::new();
    match scene.rolled {
        Some(at) => {
            files.push((0, part(&|e| e.end() <= at), (begin, at)));
            files.push((0, part(&|e| e.end() > at), (at, last + SEC)));
        }
        None => files.extend((0..scene.nodes()).map(|n| (n, part(&|e| node_of(e.pid) == n), (begin, last + SEC)))),
    }
    let options = ReadOptions {
        needs: needs.clone(),
        threads: 1,
        ..ReadOptions::default()
    };
    if let [(node, events, session)] = files.as_slice() {
        let conn = write(
            Writer::in_memory("n0").unwrap(),
            scene,
            (*node, events, *session),
            how,
            lossy,
        )
        .into_connection()
        .unwrap();
        finish(&conn, how);
        return read_connection(&conn, &options).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<_> = files
        .iter()
        .enumerate()
        .map(|(i, (node, events, session))| {
            let path = dir.path().join(format!("{i}.db"));
            let w = Writer::create(&path, &format!("n{node}")).unwrap();
            write(w, scene, (*node, events, *session), how, lossy).finish().unwrap();
            finish(&rusqlite::Connection::open(&path).unwrap(), how);
            path
        })
        .collect();
    let (trace, errors) = read(&paths, &options);
    assert!(errors.is_empty(), "{errors:?}");
    trace.unwrap()
}

/// Writes what is in one file.
fn write(
    mut writer: Writer,
    scene: &Scene,
    (node, events, session): (i64, &[(&Ev, bool)], (i64, i64)),
    how: Storage,
    lossy: Option<Lossy>,
) -> Writer {
    let agent = matches!(how, Storage::Agent(_) | Storage::AgentWhole);
    for (pid, tid) in scene.threads.iter().filter(|t| node_of(t.0) == node) {
        let traced = scene.procs.iter().any(|p| p.0 == *pid && p.1);
        let task = Task {
            tid: *tid % 1000,
            pid: *pid % 1000,
            comm: scene.name(*pid),
            traced,
            ..Task::default()
        };
        writer.task(&task).unwrap();
        writer.process_name(*tid % 1000, scene.name(*pid), session.1).unwrap();
    }
    let mut lost = 0;
    for &(e, row) in events {
        if agent && e.kind == Kind::OffCpu {
            continue;
        }
        if lossy.is_some_and(|l| l.loses(e)) {
            lost += 1;
            continue;
        }
        let op = e.kind.op();
        let (pid, tid) = (e.pid % 1000, e.tid % 1000);
        let owner = if e.kind == Kind::OffCpu { tid } else { pid };
        let child = || scene.forks.iter().find(|f| f.0 == e.pid && f.2 == e.start).unwrap().1 % 1000;
        let args = match e.kind {
            Kind::Launch => (e.kernel, e.stream),
            Kind::CuLaunch => (e.kernel, 0),
            Kind::Malloc => (e.bytes, 0),
            Kind::Memcpy => (e.bytes, e.direction),
            Kind::Read | Kind::Write => (e.bytes / 512, 0),
            Kind::Send => (3, e.bytes),
            Kind::Sync => (e.stream, 0),
            Kind::Fork => (0, child()),
            Kind::OffCpu => (0, 0),
        };
        let mut event = Event::new(op, owner, tid, e.start, e.dur).args(args.0, args.1);
        event.gpu = i32::try_from(e.gpu.max(0)).unwrap();
        if !row {
            writer.not_stored(&Uncounted {
                op,
                pid: owner,
                at: event.timestamp(),
                count: 1,
                sum_dur: e.dur,
                min_dur: e.dur,
                max_dur: e.dur,
                sum_arg0: if matches!(e.kind, Kind::Malloc | Kind::Memcpy | Kind::Read | Kind::Write) {
                    args.0
                } else {
                    0
                },
            });
            continue;
        }
        let detail = (e.kind == Kind::OffCpu && e.state >= 0).then_some(Detail::Sched(SchedDetail {
            state: e.state,
            cpu: -1,
            woken_at: if e.state == 0 { 0 } else { e.woken },
            waker: 0,
            preemptor: 0,
        }));
        writer.event_with(&event, detail).unwrap();
    }
    if let Some(l) = lossy.filter(|_| lost > 0) {
        let loss = Lost {
            source: l.source.name(),
            cpu: 0,
            at: EPOCH + l.second * SEC,
            lost,
            reason: "ring_full",
        };
        writer.loss(&loss).unwrap();
    }
    writer.recording("recorder", "oracle").unwrap();
    let whole = matches!(how, Storage::Whole | Storage::AgentWhole);
    if how == Storage::Whole {
        writer.recording("record_all", "1").unwrap();
    }
    writer
        .session(&Session {
            started_at: session.0,
            stopped_at: session.1,
            recorder: "oracle",
            flags: if whole { "record-all" } else { "" },
            ..Session::default()
        })
        .unwrap();
    writer
}

/// What the writer does not write of itself.
fn finish(conn: &rusqlite::Connection, how: Storage) {
    match how {
        Storage::Thresholds(least) => {
            for kind in COUNTED {
                let d = kind.op().def();
                conn.execute(
                    "INSERT INTO recording_thresholds(source, op, min_dur, since) VALUES (?1, ?2, ?3, 0)",
                    (d.source_id, d.op_id, least),
                )
                .unwrap();
            }
        }
        Storage::Agent(_) | Storage::AgentWhole => {
            // The tables of our recorder.
            let ours: Vec<String> = conn
                .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'recording%'")
                .unwrap()
                .query_map([], |r| r.get(0))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            for name in ours
                .iter()
                .map(String::as_str)
                .chain(["tasks", "sched_details", "call_details"])
            {
                conn.execute_batch(&format!("DROP TABLE {name}")).unwrap();
            }
        }
        Storage::Whole => {}
    }
}
