//! Many events of all kinds, in the shape on which reading speed is measured.

use super::stage::{EPOCH, Stage, Thread};
use super::{Length, rng::Rng};
use crate::trace::catalogue::{Op, Source};
use crate::trace::writer::{Event, TruthRow, WriteError};
use crate::unit::{MS, SEC, US};

/// Over all threads.
pub(crate) const EVENTS_PER_S: u64 = 27_000;
const PROCESSES: i64 = 8;
const THREADS: i64 = 6;
const FIRST_PID: i64 = 73_731;
const PLANTED_PID: i64 = 73_734;
const STALL: i64 = 2_500 * MS;
const SLOW: i64 = 356 * MS;
const TICK: i64 = 50 * MS;

/// A kind of event: its share in 1,000, the median duration and the spread in octaves.
struct Kind {
    op: Op,
    weight: i64,
    median: i64,
    octaves: f64,
}

fn kinds(stage: &Stage<'_>) -> Vec<Kind> {
    let o = stage.ops;
    let write = Op::by_name(Source::Io, "block_write").expect("the catalogue lists it (tested)");
    [
        (o.launch, 330, 12 * US, 0.9),
        (o.cu_launch, 170, 6 * US, 0.8),
        (o.switch, 240, 180 * US, 1.6),
        (o.memcpy_async, 90, 14 * US, 1.2),
        (o.stream_sync, 50, 220 * US, 1.3),
        (o.send, 30, 24 * US, 1.0),
        (o.recv, 30, 60 * US, 1.5),
        (o.malloc, 15, 120 * US, 0.8),
        (o.cu_malloc, 15, 110 * US, 0.8),
        (o.device_sync, 10, 400 * US, 1.2),
        (o.block_read, 12, 300 * US, 1.3),
        (write, 8, 500 * US, 1.3),
    ]
    .map(|(op, weight, median, octaves)| Kind {
        op,
        weight,
        median,
        octaves,
    })
    .into()
}

struct Actor {
    thread: Thread,
    rng: Rng,
    /// When its next event is due; it catches up after a long one.
    due: i64,
    planted: bool,
}

pub(crate) fn play(stage: &mut Stage<'_>, length: Length) -> Result<i64, WriteError> {
    let kinds = kinds(stage);
    // Kinds by weight, for one draw an event.
    let wheel: Vec<usize> = kinds
        .iter()
        .enumerate()
        .flat_map(|(i, k)| std::iter::repeat_n(i, usize::try_from(k.weight).unwrap_or(0)))
        .collect();
    let spokes = i64::try_from(wheel.len()).unwrap_or(1);
    let span = i64::try_from(length.events.saturating_mul(1_000_000) / EVENTS_PER_S).unwrap_or(i64::MAX / 8) * 1_000;
    let stop = EPOCH + span.max(SEC);
    let planted_at = EPOCH + span / 2;
    let spacing = PROCESSES * THREADS * SEC / i64::try_from(EVENTS_PER_S).unwrap_or(1);

    let mut actors = Vec::new();
    for p in 0..PROCESSES {
        let pid = FIRST_PID + p;
        for t in 0..THREADS {
            let tid = if t == 0 { pid } else { pid * 10 + t };
            let mut thread = stage.thread(pid, tid, 1, "worker", EPOCH)?;
            let mut rng = stage.rng(tid.unsigned_abs() << 8);
            thread.now += rng.between(0, spacing);
            let due = thread.now;
            actors.push(Actor {
                thread,
                rng,
                due,
                planted: pid == PLANTED_PID && span > 4 * (STALL + SLOW),
            });
        }
    }
    let goal = length.events;
    let mut tick = EPOCH;
    while stage.events() < goal {
        tick += TICK;
        for actor in &mut actors {
            while actor.due < tick {
                if actor.planted && actor.thread.now >= planted_at {
                    actor.planted = false;
                    plant(stage, actor)?;
                    continue;
                }
                let kind = &kinds[wheel[usize::try_from(actor.rng.between(0, spokes - 1)).unwrap_or(0)]];
                one(stage, actor, kind);
                actor.due += actor.rng.around(spacing, spacing / 2);
            }
        }
        stage.flush_until(tick - TICK)?;
    }
    stage.truncate(goal);
    Ok(tick.max(stop))
}

fn one(stage: &mut Stage<'_>, actor: &mut Actor, kind: &Kind) {
    let t = &mut actor.thread;
    t.now = t.now.max(actor.due);
    let mut dur = actor.rng.log_normal(kind.median, kind.octaves);
    if actor.rng.one_in(400) {
        dur = (dur * 40).min(SLOW);
    }
    let o = stage.ops;
    let sched = kind.op == o.switch;
    let (arg0, arg1) = if kind.op == o.launch || kind.op == o.cu_launch {
        (0x48_0000 + actor.rng.between(0, 255) * 0x40, 0)
    } else if kind.op == o.memcpy_async {
        (1 << actor.rng.between(6, 23), actor.rng.between(1, 3))
    } else if sched {
        (0, actor.rng.between(0, 40_000))
    } else if kind.op == o.send || kind.op == o.recv {
        (17, actor.rng.between(64, 4096))
    } else if kind.op == o.block_read {
        (256, actor.rng.between(0, 1 << 40))
    } else {
        (1 << actor.rng.between(3, 24), 0)
    };
    let owner = if sched { t.tid } else { t.pid };
    let event = Event::new(kind.op, owner, t.tid, t.now, dur).args(arg0, arg1);
    stage.push(event, None);
    t.now += dur;
}

/// Off CPU for 2.5 s, then a launch of 356 ms.
fn plant(stage: &mut Stage<'_>, actor: &mut Actor) -> Result<(), WriteError> {
    let t = &mut actor.thread;
    let off = Event::new(stage.ops.switch, t.tid, t.tid, t.now, STALL);
    stage.push(off, None);
    let start = t.now;
    t.now += STALL + MS;
    stage.call(t, stage.ops.launch, SLOW, 0x48_0000, 0);
    actor.due = t.now;
    stage.writer().truth(&TruthRow {
        kind: "cause",
        rule: "",
        pid: t.pid,
        tid: t.tid,
        start,
        end: t.now,
        value: STALL,
        note: "off CPU for 2.5 s, 1 ms later a cudaLaunchKernel of 356 ms".to_owned(),
    })
}
