//! What the reader knows of each row, for the views `ev` and `offcpu`, and the small tables of a
//! trace. Every value is read off the [`Trace`]; nothing is judged here.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::Value;
use rusqlite::{Connection, Result};

use crate::trace::catalogue::{Op, Source};
use crate::trace::model::{Lane, ProcIdx, Trace};
use crate::trace::reader::schema::Schema;
use crate::trace::row::{self, Column, Get};

/// The SQL function behind the views: `(rowid, column)` to a value, null where there is none.
const FUNCTION: &str = "ingero_event";

/// Where each row lies in the trace; shared with the function of a connection.
#[derive(Clone, Default)]
pub(super) struct Events(Arc<Mutex<Option<Index>>>);

struct Index {
    trace: Arc<Trace>,
    /// (rowid, lane, place in the lane), by rowid.
    places: Vec<(u64, u32, u32)>,
}

impl Events {
    /// Makes the function known to a connection; before [`Events::set`] it gives nulls.
    pub(super) fn register(&self, conn: &Connection) -> Result<()> {
        let shared = Arc::clone(&self.0);
        let last = Cell::new(0_usize);
        conn.create_scalar_function(
            FUNCTION,
            2,
            FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS,
            move |ctx: &mut Context<'_>| {
                let (row, column): (i64, u16) = (ctx.get(0)?, ctx.get(1)?);
                let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let found = shared.as_ref().and_then(|index| index.value(row, column.into(), &last));
                Ok(found.unwrap_or(Value::Null))
            },
        )
    }

    /// Lets the views look into a trace.
    pub(super) fn set(&self, trace: Arc<Trace>) {
        let mut places = Vec::with_capacity(trace.events());
        for (l, lane) in trace.lanes.iter().enumerate() {
            let base = trace.first_row(lane).unwrap_or(0);
            let lane_at = u32::try_from(l).unwrap_or(u32::MAX);
            let rows = lane.row.iter().zip(0_u32..);
            places.extend(rows.map(|(&row, i)| (base + u64::from(row), lane_at, i)));
        }
        places.sort_unstable();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Index { trace, places });
    }
}

impl Index {
    fn value(&self, row: i64, column: usize, last: &Cell<usize>) -> Option<Value> {
        let row = u64::try_from(row).ok()?;
        // All columns of a row are asked for one after the other, and rows mostly in their order.
        let near = |at: usize| self.places.get(at).is_some_and(|p| p.0 == row);
        let at = [last.get(), last.get() + 1].into_iter().find(|&at| near(at));
        let at = match at {
            Some(at) => at,
            None => self.places.binary_search_by_key(&row, |p| p.0).ok()?,
        };
        last.set(at);
        let (_, lane, i) = self.places[at];
        let lane = &self.trace.lanes[lane as usize];
        let i = i as usize;
        match row::COLUMNS.get(column)?.get {
            Get::Int(get) => get(&self.trace, lane, i).map(Value::Integer),
            Get::Flag(get) => get(&self.trace, lane, i).map(|yes| Value::Integer(yes.into())),
            Get::Text(get) => get(&self.trace, lane, i).map(|t| Value::Text(t.to_owned())),
        }
    }
}

/// Columns of `ev` that come from the trace: those that a stored row can have.
fn columns() -> impl Iterator<Item = &'static Column> {
    let derived = [
        "name",
        "prompt_tokens",
        "output_tokens",
        "choices",
        "logprobs",
        "event_row",
    ];
    row::COLUMNS.iter().filter(move |c| !derived.contains(&c.name))
}

/// The views over the rows of a file.
pub(super) fn views(schema: &Schema) -> String {
    let column = |name: &str| {
        let all = row::COLUMNS;
        let at = all.iter().position(|c| c.name == name).unwrap_or(all.len());
        format!("{FUNCTION}(e.rowid, {at})")
    };
    let named: Vec<String> = columns().map(|c| format!("{} AS {}", column(c.name), c.name)).collect();
    let stored: Vec<String> = ["arg0", "arg1", "stack_hash"]
        .iter()
        .map(|c| format!("{} AS {c}", schema.or("events", c, "NULL")))
        .collect();
    format!(
        "CREATE TEMP VIEW ev AS SELECT e.rowid AS event_row, {}, {}, e.source AS source_id, e.op AS op_id, \
         e.timestamp AS stored_timestamp FROM main.events e;
         CREATE TEMP VIEW offcpu AS SELECT e.rowid AS event_row, {}, {} AS waited_for_cpu_ns, {}, {}, {} \
         FROM main.events e WHERE e.source = 3 AND e.op = 1;",
        named.join(", "),
        stored.join(", "),
        [
            "node",
            "pid",
            "process",
            "tid",
            "thread",
            "start_ns",
            "end_ns",
            "dur_ns",
            "runnable_ns"
        ]
        .map(|c| format!("{} AS {c}", column(c)))
        .join(", "),
        format_args!("{} - {}", column("end_ns"), column("runnable_ns")),
        format_args!("{} AS blocked_on_io", column("blocked_on_io")),
        format_args!("{} AS preempted_by", column("preempted_by")),
        format_args!("{} AS previous_tid", column("previous_tid")),
    )
}

/// Rows of the tables that come from the trace itself, in the order of their columns.
pub(super) fn tables(trace: &Trace) -> Vec<(&'static str, Vec<Vec<Value>>)> {
    vec![
        ("processes", processes(trace)),
        ("threads", threads(trace)),
        ("requests", requests(trace)),
        ("spans", spans(trace)),
    ]
}

fn maybe(value: Option<i64>) -> Value {
    value.map_or(Value::Null, Value::Integer)
}

/// Node, pid and name of a process.
fn owner(trace: &Trace, process: ProcIdx) -> (Value, Value, Value) {
    let p = trace.process(process);
    (
        Value::Text(trace.node(p.node).name.clone()),
        // 0 stands for the node itself.
        maybe(Some(p.pid).filter(|&pid| pid != 0)),
        if p.name.is_empty() {
            Value::Null
        } else {
            Value::Text(p.name.clone())
        },
    )
}

fn processes(trace: &Trace) -> Vec<Vec<Value>> {
    (0..trace.processes.len())
        .map(|i| ProcIdx(u32::try_from(i).unwrap_or(u32::MAX)))
        .map(|i| {
            let p = trace.process(i);
            let (node, pid, name) = owner(trace, i);
            vec![
                node,
                pid,
                Value::Integer(p.life.into()),
                name,
                Value::Integer(p.alive.start),
                Value::Integer(p.alive.end),
                maybe(p.parent.map(|parent| trace.process(parent).pid)),
                maybe(p.gpu.map(|g| g.start)),
                maybe(p.gpu.map(|g| g.end)),
                maybe(p.steady_from),
            ]
        })
        .collect()
}

fn threads(trace: &Trace) -> Vec<Vec<Value>> {
    let row = |t: &crate::trace::Thread| {
        let (node, pid, _) = owner(trace, t.process);
        let name = if t.name.is_empty() {
            Value::Null
        } else {
            Value::Text(t.name.clone())
        };
        let life = Value::Integer(trace.process(t.process).life.into());
        vec![node, pid, life, Value::Integer(t.tid), name]
    };
    trace.threads.iter().map(row).collect()
}

fn requests(trace: &Trace) -> Vec<Vec<Value>> {
    let derived = |name| Op::by_name(Source::Request, name);
    let (Some(open), Some(wait)) = (derived("open"), derived("wait")) else {
        return Vec::new();
    };
    let mut rows = Vec::new();
    for lane in trace.lanes.iter().filter(|l| l.op == open) {
        let waits = trace.lane(lane.thread, wait);
        for i in 0..lane.len() {
            let (node, pid, process) = owner(trace, trace.thread(lane.thread).process);
            let (when, id) = (lane.interval(i), lane.name.get(i).cloned().unwrap_or_default());
            let waited = waits.and_then(|w| {
                let from = w.start.partition_point(|&s| s < when.start);
                let same = (from..w.len()).take_while(|&k| w.start[k] == when.start);
                same.into_iter()
                    .find(|&k| w.name.get(k) == Some(&id))
                    .map(|k| w.interval(k))
            });
            let tokens = |column: &[i64]| maybe(column.get(i).copied().filter(|&t| t >= 0));
            rows.push(vec![
                node,
                pid,
                process,
                Value::Text(id),
                Value::Integer(when.start),
                Value::Integer(when.end),
                Value::Integer(when.len()),
                maybe(waited.map(|w| w.end)),
                maybe(waited.map(crate::unit::Interval::len)),
                tokens(&lane.prompt_tokens),
                tokens(&lane.output_tokens),
                tokens(&lane.choices),
                tokens(&lane.logprobs),
            ]);
        }
    }
    rows
}

fn spans(trace: &Trace) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    let derived = |l: &&Lane| l.row.is_empty() && l.op.def().source_id == 0 && l.op.def().source != Source::Request;
    for lane in trace.lanes.iter().filter(derived) {
        for i in 0..lane.len() {
            let (node, pid, process) = owner(trace, trace.thread(lane.thread).process);
            let (def, when) = (lane.op.def(), lane.interval(i));
            let name = lane.name.get(i).filter(|n| !n.is_empty());
            rows.push(vec![
                node,
                pid,
                process,
                Value::Text(def.source.name().to_owned()),
                Value::Text(def.name.to_owned()),
                name.map_or(Value::Null, |n| Value::Text(n.clone())),
                Value::Integer(when.start),
                Value::Integer(when.end),
                Value::Integer(when.len()),
            ]);
        }
    }
    rows
}
