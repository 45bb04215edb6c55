//! An event as a row: what is known of it beyond lane and position, by column name. Queries and
//! exports show the same columns because they share this table.

use super::catalogue::DIRECTIONS;
use super::model::{Lane, Process, Trace, UNKNOWN_TIME, flag, preemptor};

/// How to get a value; `None` where the file does not say, or the operation has no such thing.
#[derive(Clone, Copy, Debug)]
pub enum Get {
    /// A number.
    Int(fn(&Trace, &Lane, usize) -> Option<i64>),
    /// Yes or no.
    Flag(fn(&Trace, &Lane, usize) -> Option<bool>),
    /// A text, never empty.
    Text(for<'a> fn(&'a Trace, &'a Lane, usize) -> Option<&'a str>),
}

/// A column of an event.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds, with its unit.
    pub about: &'static str,
    /// How to get it.
    pub get: Get,
}

const fn int(name: &'static str, about: &'static str, get: fn(&Trace, &Lane, usize) -> Option<i64>) -> Column {
    let get = Get::Int(get);
    Column { name, about, get }
}

const fn yes(name: &'static str, about: &'static str, get: fn(&Trace, &Lane, usize) -> Option<bool>) -> Column {
    let get = Get::Flag(get);
    Column { name, about, get }
}

const fn text(
    name: &'static str,
    about: &'static str,
    get: for<'a> fn(&'a Trace, &'a Lane, usize) -> Option<&'a str>,
) -> Column {
    let get = Get::Text(get);
    Column { name, about, get }
}

/// All columns, in the order in which they are shown.
pub const COLUMNS: &[Column] = &[
    text("node", "host, where the file names it", |t, l, _| {
        some(&t.node(process(t, l).node).name)
    }),
    int("pid", "process id; none for what belongs to the node", |t, l, _| {
        Some(process(t, l).pid).filter(|&p| p != 0)
    }),
    text("process", "name of the process", |t, l, _| some(&process(t, l).name)),
    int("tid", "thread id; none for what belongs to the node", |t, l, _| {
        Some(t.thread(l.thread).tid).filter(|_| process(t, l).pid != 0)
    }),
    text("thread", "name of the thread", |t, l, _| some(&t.thread(l.thread).name)),
    text(
        "source",
        "cuda, driver, graph, sched, io, …, as in rules",
        |_, l, _| Some(l.op.def().source.name()),
    ),
    text("op", "name of the operation", |_, l, _| Some(l.op.def().name)),
    text("family", "launch, memcpy, sync, …, as in rules", |_, l, _| {
        l.op.def().families.first().copied()
    }),
    int("start_ns", "start, ns since 1970", |_, l, i| Some(l.interval(i).start)),
    int("end_ns", "end, ns since 1970", |_, l, i| Some(l.interval(i).end)),
    int("dur_ns", "length, ns", |_, l, i| l.dur.get(i).copied()),
    int("bytes", "bytes moved, allocated or freed", |_, l, i| {
        l.bytes.get(i).copied()
    }),
    text("direction", "h2d, d2h, …, of a copy", |_, l, i| {
        DIRECTIONS.get(usize::from(*l.direction.get(i)?)).copied()
    }),
    int("ret", "return code", |_, l, i| {
        // An empty column means that all are 0, and a derived interval returns nothing.
        let zero = (!l.row.is_empty()).then_some(0);
        l.ret.get(i).map(|&r| i64::from(r)).or(zero)
    }),
    int("stream", "stream handle", |_, l, i| l.stream.get(i).copied()),
    int("gpu", "GPU number", |_, l, i| l.gpu.get(i).map(|&g| i64::from(g))),
    int("rank", "rank in a distributed job", |_, l, i| {
        l.rank.get(i).filter(|&&r| r >= 0).map(|&r| i64::from(r))
    }),
    int("cgroup", "cgroup id", |_, l, i| l.cgroup.get(i).copied()),
    yes("first_use", "first launch of that kernel in its process", |_, l, i| {
        has(l, i, flag::FIRST_USE)
    }),
    yes("nested", "a driver or graph call inside a runtime call", |_, l, i| {
        has(l, i, flag::NESTED)
    }),
    int(
        "runnable_ns",
        "off CPU: when the thread could run again, ns since 1970",
        |_, l, i| runnable(l, i),
    ),
    yes(
        "blocked_on_io",
        "off CPU: it waited for a device before that",
        |_, l, i| {
            runnable(l, i)?;
            l.uninterruptible.get(i).copied()
        },
    ),
    text("preempted_by", "off CPU: own, other or idle", |_, l, i| {
        match *l.preemptor.get(i)? {
            preemptor::OWN => Some("own"),
            preemptor::OTHER => Some("other"),
            preemptor::IDLE => Some("idle"),
            _ => None,
        }
    }),
    int(
        "previous_tid",
        "off CPU: who ran before it came back; 0 is idle",
        |_, l, i| l.prev_tid.get(i).copied().filter(|&t| t >= 0),
    ),
    text("name", "of a request, step, program or XID", |_, l, i| {
        some(l.name.get(i)?)
    }),
    int("prompt_tokens", "of a request", |_, l, i| {
        l.prompt_tokens.get(i).copied().filter(|&t| t >= 0)
    }),
    int("output_tokens", "of a request", |_, l, i| {
        l.output_tokens.get(i).copied().filter(|&t| t >= 0)
    }),
    int("choices", "answers that a request asks for", |_, l, i| {
        l.choices.get(i).copied().filter(|&n| n >= 0)
    }),
    int(
        "logprobs",
        "log probabilities that a request asks for with each token",
        |_, l, i| l.logprobs.get(i).copied().filter(|&n| n >= 0),
    ),
    int(
        "event_row",
        "rowid in `events`; none for what the reader derives",
        |t, l, i| {
            let row = t.first_row(l)?.checked_add(u64::from(*l.row.get(i)?))?;
            i64::try_from(row).ok()
        },
    ),
];

fn process<'a>(trace: &'a Trace, lane: &Lane) -> &'a Process {
    trace.process_of(lane)
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn has(lane: &Lane, i: usize, bit: u8) -> Option<bool> {
    (!lane.row.is_empty()).then(|| lane.flags_at(i) & bit != 0)
}

fn runnable(lane: &Lane, i: usize) -> Option<i64> {
    lane.runnable.get(i).copied().filter(|&r| r != UNKNOWN_TIME)
}
