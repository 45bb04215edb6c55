//! Small random traces: what happened, as plain intervals, and how it is written to a file.

use ingero::trace::catalogue::{Op, Source};
use ingero::trace::writer::{Detail, Event, SchedDetail, Session, Task, Uncounted, Writer};
use ingero::trace::{Needs, ReadOptions, Trace, read_connection};
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
        };
        Op::by_name(source, name).unwrap()
    }
}

/// One thing that happened.
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
}

const GAPS: [i64; 8] = [0, 10 * US, MS, 5 * MS, 20 * MS, 60 * MS, 120 * MS, 300 * MS];
const DURS: [i64; 9] = [0, 10 * US, 12 * US, 100 * US, MS, 3 * MS, 10 * MS, 50 * MS, 400 * MS];

type Step = (u8, u8, u8, u8);

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>()), 0..most)
}

/// 2 processes x 3 threads.
pub(crate) fn scene() -> impl Strategy<Value = Scene> {
    let thread = (steps(40), steps(12), steps(4));
    (
        prop::collection::vec(thread, 6),
        [any::<u8>(), any::<u8>()],
        [0u8..40, 0u8..40, 0u8..40, 0u8..40, 0u8..40, 0u8..40],
    )
        .prop_map(|(threads, watched, begin)| build(&threads, watched, begin))
}

fn build(threads: &[(Vec<Step>, Vec<Step>, Vec<Step>)], watched: [u8; 2], begin: [u8; 6]) -> Scene {
    let mut out = Scene::default();
    let blank = |kind, pid, tid, start, dur| Ev {
        kind,
        pid,
        tid,
        start,
        dur,
        bytes: 0,
        direction: 4,
        kernel: 0,
        state: 0,
        woken: 0,
        nested: false,
        first_use: false,
    };
    for (p, w) in watched.iter().enumerate() {
        let pid = 100 * (i64::try_from(p).unwrap() + 1);
        // Mostly watched.
        out.procs.push((pid, w % 8 != 0, w % 8 > 2));
    }
    for (n, (calls, stints, other)) in threads.iter().enumerate() {
        let pid = out.procs[n / 3].0;
        let (_, sched, states) = out.procs[n / 3];
        let tid = pid + i64::try_from(n % 3).unwrap();
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
            if kind == Kind::Launch && aux % 3 == 0 {
                let mut inner = blank(Kind::CuLaunch, pid, tid, at + dur / 4, dur / 2);
                inner.kernel = 50 + i64::from(aux % 5);
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
    out.events.sort_by_key(|e| (e.end(), e.tid, e.kind));
    first_uses(&mut out.events);
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
        for at in [EPOCH - MS, last] {
            scene.events.push(Ev {
                kind: Kind::Sync,
                pid: *pid,
                tid: *pid,
                start: at,
                dur: 10 * US,
                bytes: 0,
                direction: 4,
                kernel: 0,
                state: 0,
                woken: 0,
                nested: false,
                first_use: false,
            });
        }
    }
    scene.events.sort_by_key(|e| (e.end(), e.tid, e.kind));
    scene
}

/// Writes and reads the scene; calls shorter than `least` are only counted, syncs aside.
pub(crate) fn trace(scene: &Scene, least: Option<i64>) -> Trace {
    let mut writer = Writer::in_memory("n").unwrap();
    let thresholded = [
        Kind::Launch,
        Kind::Malloc,
        Kind::Memcpy,
        Kind::CuLaunch,
        Kind::Read,
        Kind::Write,
        Kind::Send,
    ];
    for (pid, tid) in &scene.threads {
        let traced = scene.procs.iter().any(|p| p.0 == *pid && p.1);
        writer
            .task(&Task {
                tid: *tid,
                pid: *pid,
                traced,
                ..Task::default()
            })
            .unwrap();
    }
    for e in &scene.events {
        let op = e.kind.op();
        let owner = if e.kind == Kind::OffCpu { e.tid } else { e.pid };
        let args = match e.kind {
            Kind::Launch | Kind::CuLaunch => (e.kernel, 0),
            Kind::Malloc => (e.bytes, 0),
            Kind::Memcpy => (e.bytes, e.direction),
            Kind::Read | Kind::Write => (e.bytes / 512, 0),
            Kind::Send => (3, e.bytes),
            _ => (0, 0),
        };
        let event = Event::new(op, owner, e.tid, e.start, e.dur).args(args.0, args.1);
        if thresholded.contains(&e.kind) && least.is_some_and(|l| e.dur < l) {
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
    writer.recording("recorder", "oracle").unwrap();
    if least.is_none() {
        writer.recording("record_all", "1").unwrap();
    }
    let last = scene.events.iter().map(Ev::end).max().unwrap_or(EPOCH);
    writer
        .session(&Session {
            started_at: EPOCH - SEC,
            stopped_at: last + SEC,
            recorder: "oracle",
            flags: if least.is_none() { "record-all" } else { "" },
            ..Session::default()
        })
        .unwrap();
    let conn = writer.into_connection().unwrap();
    if let Some(least) = least {
        for kind in thresholded {
            let d = kind.op().def();
            conn.execute(
                "INSERT INTO recording_thresholds(source, op, min_dur, since) VALUES (?1, ?2, ?3, 0)",
                (d.source_id, d.op_id, least),
            )
            .unwrap();
        }
    }
    let options = ReadOptions {
        needs: Needs::everything(),
        threads: 1,
        ..ReadOptions::default()
    };
    read_connection(&conn, &options).unwrap()
}
