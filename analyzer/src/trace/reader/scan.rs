//! The pass over `events`: ranges of row numbers in parallel, each through a registered aggregate.
//!
//! SQLite hands the values of a row to an aggregate function about 1.6 times faster than it hands
//! them out of a statement, and no index is of any use when most rows are wanted. [`RowSource`] is
//! all that the rest of the reader knows of this, so that another way to the same rows can replace it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::ValueRef;

use super::columns::{FileNode, RawLane, Row, RowSink, Shapes};
use super::open::Opened;
use super::options::{Needs, Progress};
use super::pages::{PageRows, Unfit};
use super::schema::Schema;
use crate::trace::error::TraceError;

/// Where rows come from.
pub(crate) trait RowSource {
    /// Why rows cannot be had.
    type Error;

    /// Smallest and largest row number; `None` without rows.
    fn bounds(&self) -> Result<Option<(i64, i64)>, Self::Error>;

    /// The rows numbered `from..=to`, in that order.
    fn scan(&self, from: i64, to: i64, job: &Job) -> Result<Range, Self::Error>;
}

/// What all ranges of a file have in common.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(super) shapes: Arc<Shapes>,
    pub(super) columns: Arc<[Column]>,
    /// What stands for each column in the statement.
    text: Arc<str>,
    pub(super) file: u32,
    pub(super) base: i64,
    pub(super) done: Arc<AtomicU64>,
}

/// Rows of a range, by key, and the node names that the keys refer to.
#[derive(Debug, Default)]
pub(crate) struct Range {
    pub(super) lanes: Vec<RawLane>,
    pub(super) nodes: Vec<String>,
    pub(super) rows: u64,
    pub(super) unknown: u64,
}

/// All rows of a file, one lane for each key, keys ascending, each lane sorted by time.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    pub(crate) lanes: Vec<RawLane>,
    /// Node names that the keys refer to, sorted.
    pub(crate) nodes: Vec<String>,
    pub(crate) rows: u64,
    pub(crate) unknown: u64,
    /// Smallest row number.
    pub(crate) base: i64,
    /// Whether the rows came straight from the pages of the file, or why not.
    pub(crate) pages: Option<Result<(), Unfit>>,
}

/// How rows learn their node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Nodes {
    /// All rows belong to this one, which may be nameless.
    One(String),
    /// The column is read row by row.
    PerRow,
}

/// A column of `events` in the order in which it is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Timestamp,
    Duration,
    Pid,
    Tid,
    Source,
    Op,
    Arg0,
    Arg1,
    Ret,
    Gpu,
    Rank,
    Cgroup,
    Node,
}

impl Column {
    pub(super) const ALL: [(Self, &'static str); 13] = [
        (Self::Timestamp, "timestamp"),
        (Self::Duration, "duration"),
        (Self::Pid, "pid"),
        (Self::Tid, "tid"),
        (Self::Source, "source"),
        (Self::Op, "op"),
        (Self::Arg0, "arg0"),
        (Self::Arg1, "arg1"),
        (Self::Ret, "ret_code"),
        (Self::Gpu, "gpu_id"),
        (Self::Rank, "rank"),
        (Self::Cgroup, "cgroup_id"),
        (Self::Node, "node"),
    ];

    pub(super) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|c| c.0 == self).map_or("", |c| c.1)
    }

    fn wanted(self, needs: &Needs, schema: &Schema, nodes: &Nodes) -> bool {
        match self {
            Self::Ret => needs.ret && schema.has("events", self.name()),
            Self::Gpu => needs.gpu && schema.has("events", self.name()),
            Self::Rank => needs.rank && schema.has("events", self.name()),
            Self::Cgroup => needs.cgroup && schema.has("events", self.name()),
            Self::Node => *nodes == Nodes::PerRow,
            _ => true,
        }
    }
}

/// How many columns every scan has: the first ones of [`Column::ALL`].
const ALWAYS: usize = 8;

/// How to reach a trace.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Access<'a> {
    /// A file: any number of connections.
    File(&'a Opened),
    /// A connection of the caller: one thread.
    Connection(&'a Connection),
}

/// Reads the rows of a file.
#[expect(clippy::too_many_arguments, reason = "called once; each is a thing of its own")]
pub(crate) fn events(
    access: Access<'_>,
    first: &Connection,
    schema: &Schema,
    needs: &Needs,
    nodes: &Nodes,
    file: u32,
    threads: usize,
    progress: Option<Progress<'_>>,
) -> Result<Scanned, TraceError> {
    let columns: Arc<[Column]> = Column::ALL
        .into_iter()
        .map(|(c, _)| c)
        .filter(|c| c.wanted(needs, schema, nodes))
        .collect();
    let text: Vec<&str> = columns.iter().map(|c| schema.or("events", c.name(), "0")).collect();
    let path = match access {
        Access::File(opened) => opened.path.clone(),
        Access::Connection(_) => PathBuf::new(),
    };
    let here = SqliteRows {
        conn: first,
        path: &path,
    };
    let bounds = match &schema.part {
        Some(part) => part.rows,
        None => here.bounds()?,
    };
    let Some((low, high)) = bounds else {
        return Ok(Scanned::default());
    };
    let span = high.wrapping_sub(low).cast_unsigned();
    if span >= u64::from(u32::MAX) {
        return Err(TraceError::TooManyRows { path, span });
    }
    let job = Job {
        shapes: Arc::new(Shapes::new(needs)),
        text: text.join(", ").into(),
        columns,
        file,
        base: low,
        done: Arc::new(AtomicU64::new(0)),
    };
    let total = span + 1;
    let tick = || {
        if let Some(progress) = progress {
            progress(job.done.load(Ordering::Relaxed).min(total), total);
        }
    };
    let mut pages = None;
    let parts = match access {
        Access::Connection(_) => vec![here.scan(low, high, &job)?],
        Access::File(opened) => {
            let tried = opened
                .try_pages
                .then(|| from_pages(opened, first, (low, high), &job, threads, &tick));
            pages = tried.as_ref().map(|t| t.as_ref().map(|_| ()).map_err(Clone::clone));
            if let Some(Ok(parts)) = tried {
                parts
            } else {
                job.done.store(0, Ordering::Relaxed);
                from_sqlite(opened, low, total, &job, threads, &tick)?
            }
        }
    };
    let mut all = merge(parts, nodes, threads);
    all.base = low;
    all.pages = pages;
    Ok(all)
}

/// Parts for each thread: one that is slowed down leaves more of them to the others.
const PARTS: usize = 4;

fn from_sqlite(
    opened: &Opened,
    low: i64,
    total: u64,
    job: &Job,
    threads: usize,
    tick: &dyn Fn(),
) -> Result<Vec<Range>, TraceError> {
    let parts = u64::try_from(threads.max(1) * PARTS).unwrap_or(1);
    let size = (total.div_ceil(parts)).max(1 << 15);
    let ranges: Vec<(i64, i64)> = (0..total.div_ceil(size))
        .map(|i| {
            let from = low.wrapping_add_unsigned(i * size);
            let to = low.wrapping_add_unsigned(((i + 1) * size).min(total) - 1);
            (from, to)
        })
        .collect();
    let results = parallel(threads, ranges, Some(tick), |(from, to)| {
        let conn = opened.connect()?;
        SqliteRows {
            conn: &conn,
            path: &opened.path,
        }
        .scan(from, to, job)
    });
    // Of several errors the first in row order is reported, whichever came first.
    results.into_iter().collect()
}

/// `bounds` are those that SQLite gave.
fn from_pages(
    opened: &Opened,
    conn: &Connection,
    bounds: (i64, i64),
    job: &Job,
    threads: usize,
    tick: &dyn Fn(),
) -> Result<Vec<Range>, Unfit> {
    let rows = PageRows::open(opened, conn, job)?;
    if rows.bounds()? != Some(bounds) {
        return Err(Unfit::new("its first or last row is not where SQLite finds it"));
    }
    let ranges = rows.ranges(bounds.0, bounds.1, threads.max(1) * PARTS / 2);
    // Where one part is unfit, the others need not be read; in which order they end does not matter.
    let given_up = AtomicBool::new(false);
    let results = parallel(threads, ranges, Some(tick), |(from, to)| {
        if given_up.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let part = rows.scan(from, to, job);
        given_up.fetch_or(part.is_err(), Ordering::Relaxed);
        part.map(Some)
    });
    let parts = results
        .into_iter()
        .filter_map(Result::transpose)
        .collect::<Result<Vec<_>, _>>()?;
    if opened.written() {
        return Err(Unfit::new("it was written to meanwhile"));
    }
    Ok(parts)
}

/// Brings the ranges together: one list of nodes, one lane for each key.
fn merge(parts: Vec<Range>, plan: &Nodes, threads: usize) -> Scanned {
    let nodes = match plan {
        Nodes::One(name) => vec![name.clone()],
        Nodes::PerRow => {
            let names: std::collections::BTreeSet<String> =
                parts.iter().flat_map(|p| p.nodes.iter().cloned()).collect();
            names.into_iter().collect()
        }
    };
    let mut out = Scanned {
        nodes,
        ..Scanned::default()
    };
    let mut by_key: std::collections::BTreeMap<_, Vec<RawLane>> = std::collections::BTreeMap::new();
    for part in parts {
        out.rows += part.rows;
        out.unknown += part.unknown;
        let map: Vec<FileNode> = part
            .nodes
            .iter()
            .map(|n| {
                out.nodes
                    .binary_search(n)
                    .map_or(0, |i| FileNode::try_from(i).unwrap_or(FileNode::MAX))
            })
            .collect();
        for mut lane in part.lanes {
            if let Some(&node) = map.get(usize::from(lane.key.node)) {
                lane.key.node = node;
            }
            by_key.entry(lane.key).or_default().push(lane);
        }
    }
    let groups: Vec<Vec<RawLane>> = by_key.into_values().collect();
    out.lanes = parallel(threads, groups, None, RawLane::concat)
        .into_iter()
        .flatten()
        .collect();
    out
}

/// Runs `work` over items on some threads; results in the order of the items. `tick` is called now
/// and then, from this thread.
pub(crate) fn parallel<T: Send, R: Send>(
    threads: usize,
    items: Vec<T>,
    tick: Option<&dyn Fn()>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    if threads <= 1 || items.len() <= 1 {
        return items
            .into_iter()
            .map(|item| {
                let done = work(item);
                if let Some(tick) = tick {
                    tick();
                }
                done
            })
            .collect();
    }
    let n = items.len();
    let slots: Vec<Mutex<(Option<T>, Option<R>)>> =
        items.into_iter().map(|item| Mutex::new((Some(item), None))).collect();
    let next = AtomicUsize::new(0);
    let workers = threads.min(n);
    let finished = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let _end = CountOnDrop(&finished);
                while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let item = slot.lock().unwrap_or_else(PoisonError::into_inner).0.take();
                    let done = item.map(&work);
                    slot.lock().unwrap_or_else(PoisonError::into_inner).1 = done;
                }
            });
        }
        if let Some(tick) = tick {
            let mut naps = 0_u32;
            while finished.load(Ordering::Acquire) < workers {
                std::thread::sleep(Duration::from_millis(1));
                naps += 1;
                if naps.is_multiple_of(50) {
                    tick();
                }
            }
            tick();
        }
    });
    slots
        .into_iter()
        .filter_map(|s| s.into_inner().unwrap_or_else(PoisonError::into_inner).1)
        .collect()
}

/// Counts a worker that ends, also where it panics.
struct CountOnDrop<'a>(&'a AtomicUsize);

impl Drop for CountOnDrop<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// Rows through SQLite.
pub(crate) struct SqliteRows<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) path: &'a Path,
}

const FUNCTION: &str = "ingero_take_row";

impl RowSource for SqliteRows<'_> {
    type Error = TraceError;

    fn bounds(&self) -> Result<Option<(i64, i64)>, TraceError> {
        let sql = |e: rusqlite::Error| TraceError::from_sql(self.path, &e);
        // One statement for each: both in one scan the whole table.
        let one = |f: &str| {
            self.conn
                .query_row(&format!("SELECT {f}(rowid) FROM main.events"), [], |r| {
                    r.get::<_, Option<i64>>(0)
                })
                .map_err(sql)
        };
        Ok(one("min")?.zip(one("max")?))
    }

    /// Row numbers of a recording rarely have holes. They are counted, which is cheaper than asking
    /// for them, and asked for only where the count turns out wrong, or where an error is to be told.
    fn scan(&self, from: i64, to: i64, job: &Job) -> Result<Range, TraceError> {
        let expected = to.wrapping_sub(from).cast_unsigned().wrapping_add(1);
        match self.run(from, to, job, true) {
            Ok(range) if range.rows == expected => Ok(range),
            Err(error) if !matches!(error, TraceError::WrongType { .. }) => Err(error),
            first => {
                let again = first.map_or(expected, |r| r.rows);
                job.done
                    .fetch_sub(again / REPORT_EVERY * REPORT_EVERY, Ordering::Relaxed);
                self.run(from, to, job, false)
            }
        }
    }
}

impl SqliteRows<'_> {
    fn run(&self, from: i64, to: i64, job: &Job, dense: bool) -> Result<Range, TraceError> {
        let outcome: Outcome = Arc::default();
        let take = TakeRows {
            job: job.clone(),
            dense_from: dense.then_some(from),
            path: self.path.to_path_buf(),
            outcome: Arc::clone(&outcome),
        };
        let n_args = i32::try_from(job.columns.len() + usize::from(!dense)).unwrap_or(-1);
        self.conn
            .create_aggregate_function(
                FUNCTION,
                n_args,
                FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY,
                take,
            )
            .map_err(|e| TraceError::from_sql(self.path, &e))?;
        // No index helps: `NOT INDEXED` keeps the planner from trying a partial one.
        let text = format!(
            "SELECT {FUNCTION}({}{}) FROM main.events NOT INDEXED WHERE rowid BETWEEN ?1 AND ?2",
            job.text,
            if dense { "" } else { ", rowid" }
        );
        let ran = self.conn.query_row(&text, [from, to], |_| Ok(()));
        let removed = self.conn.remove_function(FUNCTION, n_args);
        let found = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (ran, found) {
            (_, Some(Err(error))) => Err(error),
            (Err(error), _) => Err(TraceError::from_sql(self.path, &error)),
            (Ok(()), Some(Ok(range))) => {
                removed.map_err(|e| TraceError::from_sql(self.path, &e))?;
                Ok(range)
            }
            (Ok(()), None) => Ok(Range::default()),
        }
    }
}

type Outcome = Arc<Mutex<Option<Result<Range, TraceError>>>>;

/// The aggregate: takes the columns of a row, gives nothing.
struct TakeRows {
    job: Job,
    /// The number of the first row, where all numbers follow it; else each row brings its own.
    dense_from: Option<i64>,
    path: PathBuf,
    outcome: Outcome,
}

struct Taking {
    sink: RowSink,
    names: NodeNames,
}

/// Names of nodes in the order in which rows bring them.
#[derive(Debug, Default)]
pub(super) struct NodeNames {
    pub(super) names: Vec<String>,
    /// The one of the row before.
    last: FileNode,
}

/// Rows between two reports of progress.
pub(super) const REPORT_EVERY: u64 = 1 << 12;

impl Aggregate<Taking, Option<i64>> for TakeRows {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Taking> {
        Ok(Taking {
            sink: RowSink::new(Arc::clone(&self.job.shapes), self.job.file, self.job.base),
            names: NodeNames::default(),
        })
    }

    fn step(&self, ctx: &mut Context<'_>, taking: &mut Taking) -> rusqlite::Result<()> {
        // The columns that every row needs come first and in this order.
        let rowid = match self.dense_from {
            Some(from) => from.wrapping_add_unsigned(taking.sink.rows),
            None => ctx.get(self.job.columns.len())?,
        };
        let int = |i| self.integer(ctx, i, rowid);
        let mut row = Row {
            rowid,
            timestamp: int(0)?,
            duration: int(1)?,
            pid: int(2)?,
            tid: int(3)?,
            source: int(4)?,
            op: int(5)?,
            arg0: int(6)?,
            arg1: int(7)?,
            ..Row::default()
        };
        for (i, &column) in self.job.columns.iter().enumerate().skip(ALWAYS) {
            let value = match ctx.get_raw(i) {
                ValueRef::Integer(v) if column != Column::Node => v,
                ValueRef::Null if column == Column::Rank => continue,
                ValueRef::Text(text) if column == Column::Node => {
                    row.node = taking.names.index(text);
                    continue;
                }
                other => return Err(self.wrong_type(column, rowid, other)),
            };
            match column {
                Column::Ret => row.ret = value,
                Column::Gpu => row.gpu = value,
                Column::Rank => row.rank = Some(value),
                Column::Cgroup => row.cgroup = value,
                _ => {}
            }
        }
        taking.sink.push(&row);
        if taking.sink.rows.is_multiple_of(REPORT_EVERY) {
            self.job.done.fetch_add(REPORT_EVERY, Ordering::Relaxed);
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, taking: Option<Taking>) -> rusqlite::Result<Option<i64>> {
        if let Some(taking) = taking {
            let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
            // After an error the rows are gathered in vain.
            if outcome.is_none() {
                *outcome = Some(Ok(Range {
                    rows: taking.sink.rows,
                    unknown: taking.sink.unknown,
                    lanes: taking.sink.into_lanes(),
                    nodes: taking.names.names,
                }));
            }
        }
        Ok(None)
    }
}

impl TakeRows {
    #[inline]
    fn integer(&self, ctx: &Context<'_>, i: usize, row: i64) -> rusqlite::Result<i64> {
        match ctx.get_raw(i) {
            ValueRef::Integer(v) => Ok(v),
            other => Err(self.wrong_type(self.job.columns[i], row, other)),
        }
    }

    #[cold]
    fn wrong_type(&self, column: Column, row: i64, found: ValueRef<'_>) -> rusqlite::Error {
        let expected = if column == Column::Node { "text" } else { "an integer" };
        let error = TraceError::WrongType {
            path: self.path.clone(),
            table: "events".into(),
            row,
            column: column.name().into(),
            expected,
            found: type_name(found.data_type()).into(),
        };
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(Err(error.clone()));
        rusqlite::Error::UserFunctionError(Box::new(error))
    }
}

/// The type of a value, in words.
pub(crate) fn type_name(ty: rusqlite::types::Type) -> &'static str {
    use rusqlite::types::Type;
    match ty {
        Type::Null => "nothing (NULL)",
        Type::Integer => "an integer",
        Type::Real => "a fraction",
        Type::Text => "text",
        Type::Blob => "a blob",
    }
}

impl NodeNames {
    /// The position of a name.
    #[inline]
    pub(super) fn index(&mut self, text: &[u8]) -> FileNode {
        if self
            .names
            .get(usize::from(self.last))
            .is_some_and(|n| n.as_bytes() == text)
        {
            return self.last;
        }
        let name = String::from_utf8_lossy(text);
        let at = self.names.iter().position(|n| *n == name).unwrap_or_else(|| {
            self.names.push(name.into_owned());
            self.names.len() - 1
        });
        self.last = FileNode::try_from(at).unwrap_or(FileNode::MAX);
        self.last
    }
}

/// The numbers of events, where rows do not come in their order.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    /// rowid is the number of the event, so that tables of details can refer to rows.
    pub(crate) rowid_is_number: bool,
    /// By rowid minus the smallest: the number; only where row order is not number order.
    pub(crate) numbers: Option<Vec<u64>>,
    /// For each node the number of its first row, where that is known.
    pub(crate) first: std::collections::BTreeMap<String, First>,
}

/// The first row of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct First {
    pub(crate) number: u64,
    pub(crate) rowid: i64,
}

/// Up to this many rows every id is looked at; beyond, this many of them spread evenly.
const CHECK_ALL: u64 = 200_000;
const CHECK_SOME: u64 = 4_096;

/// Compares ids with row numbers. An id `{node}:{seq}` is ordered by the number behind the last
/// colon, never as text. Writers insert in that order, and merged files copy node by node, so row
/// order agrees with it; where it does not, the numbers themselves are returned.
pub(crate) fn numbering(
    conn: &Connection,
    path: &Path,
    schema: &Schema,
    bounds: Option<(i64, i64)>,
) -> Result<Numbering, TraceError> {
    let sql = |e: rusqlite::Error| TraceError::from_sql(path, &e);
    let Some((low, high)) = bounds else {
        return Ok(Numbering::default());
    };
    if schema.integer_ids || !schema.has("events", "id") {
        let first = First {
            number: u64::try_from(low.wrapping_sub(schema.shift())).unwrap_or(0),
            rowid: low,
        };
        return Ok(Numbering {
            rowid_is_number: schema.integer_ids,
            numbers: None,
            first: std::iter::once((String::new(), first))
                .filter(|_| schema.integer_ids)
                .collect(),
        });
    }
    let mut out = Numbering {
        rowid_is_number: true,
        ..Numbering::default()
    };
    let mut in_order = true;
    let span = high.wrapping_sub(low).cast_unsigned();
    let check_all = span < CHECK_ALL;
    let mut last: std::collections::BTreeMap<Vec<u8>, u64> = std::collections::BTreeMap::new();
    let mut look = |rowid: i64, id: &[u8]| {
        let (node, number) = split_id(id);
        out.rowid_is_number &= number.is_some() && number == u64::try_from(rowid.wrapping_sub(schema.shift())).ok();
        let number = number.unwrap_or(0);
        if let Some(before) = last.get_mut(node) {
            in_order &= *before <= number;
            *before = number;
        } else {
            if check_all || rowid == low {
                let name = String::from_utf8_lossy(node).into_owned();
                out.first.insert(name, First { number, rowid });
            }
            last.insert(node.to_vec(), number);
        }
    };
    if check_all {
        let mut stmt = conn
            .prepare("SELECT rowid, id FROM main.events NOT INDEXED WHERE rowid BETWEEN ?1 AND ?2 ORDER BY rowid")
            .map_err(sql)?;
        let mut rows = stmt.query([low, high]).map_err(sql)?;
        while let Some(row) = rows.next().map_err(sql)? {
            let id = row.get_ref(1).map_err(sql)?;
            look(
                row.get(0).map_err(sql)?,
                id.as_bytes_or_null().ok().flatten().unwrap_or(b""),
            );
        }
    } else {
        let mut stmt = conn
            .prepare("SELECT rowid, id FROM main.events NOT INDEXED WHERE rowid >= ?1 ORDER BY rowid LIMIT 1")
            .map_err(sql)?;
        for i in 0..=CHECK_SOME {
            let at = low.wrapping_add_unsigned(span / CHECK_SOME * i + (span % CHECK_SOME) * i / CHECK_SOME);
            let mut rows = stmt.query([at]).map_err(sql)?;
            if let Some(row) = rows.next().map_err(sql)? {
                let id = row.get_ref(1).map_err(sql)?;
                look(
                    row.get(0).map_err(sql)?,
                    id.as_bytes_or_null().ok().flatten().unwrap_or(b""),
                );
            }
        }
    }
    if !in_order {
        let mut numbers = vec![0_u64; usize::try_from(span).unwrap_or(0).saturating_add(1)];
        let mut stmt = conn
            .prepare("SELECT rowid, id FROM main.events NOT INDEXED WHERE rowid BETWEEN ?1 AND ?2")
            .map_err(sql)?;
        let mut rows = stmt.query([low, high]).map_err(sql)?;
        while let Some(row) = rows.next().map_err(sql)? {
            let rowid: i64 = row.get(0).map_err(sql)?;
            let id = row.get_ref(1).map_err(sql)?;
            let number = split_id(id.as_bytes_or_null().ok().flatten().unwrap_or(b""))
                .1
                .unwrap_or(0);
            if let Some(slot) = usize::try_from(rowid.wrapping_sub(low))
                .ok()
                .and_then(|i| numbers.get_mut(i))
            {
                *slot = number;
            }
        }
        out.numbers = Some(numbers);
    }
    Ok(out)
}

/// Node and number of an id; the number is behind the last colon.
fn split_id(id: &[u8]) -> (&[u8], Option<u64>) {
    let (node, digits) = match id.iter().rposition(|&b| b == b':') {
        Some(at) => (&id[..at], &id[at + 1..]),
        None => (&[][..], id),
    };
    (node, std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()))
}

/// Finds out how many nodes a file holds without reading the column of every row.
///
/// An id begins with its node and a colon, and ids are the primary key: one step in its index for
/// each node finds them all. That the column says the same as the id is checked on some rows.
pub(crate) fn nodes(conn: &Connection, path: &Path, schema: &Schema) -> Result<Nodes, TraceError> {
    let sql = |e: rusqlite::Error| TraceError::from_sql(path, &e);
    if let Some(part) = &schema.part {
        return Ok(match part.nodes.as_slice() {
            [one] => Nodes::One(one.clone()),
            _ => Nodes::PerRow,
        });
    }
    if !schema.has("events", "node") {
        return Ok(Nodes::One(String::new()));
    }
    if schema.integer_ids || !schema.has("events", "id") {
        return Ok(Nodes::PerRow);
    }
    let first = |text: &str, from: &str| -> Result<Option<String>, TraceError> {
        let mut stmt = conn.prepare_cached(text).map_err(sql)?;
        let mut rows = stmt.query([from]).map_err(sql)?;
        match rows.next().map_err(sql)? {
            // An id that is not text sorts before or behind all text: no skip is possible.
            Some(row) => Ok(row.get_ref(0).map_err(sql)?.as_str().ok().map(str::to_owned)),
            None => Ok(None),
        }
    };
    let at_least = "SELECT id FROM main.events WHERE id >= ?1 ORDER BY id LIMIT 1";
    let any = "SELECT id FROM main.events WHERE ?1 = '' ORDER BY id LIMIT 1";
    let Some(id) = first(any, "")? else {
        return Ok(Nodes::PerRow);
    };
    let Some((node, _)) = id.rsplit_once(':') else {
        return Ok(Nodes::PerRow);
    };
    // Behind the colon only digits, and nothing after the last id of this node: ':' is the byte
    // after '9', and ';' the byte after ':'.
    let odd = first(at_least, &format!("{node}::"))?.is_some();
    let other = first(at_least, &format!("{node};"))?.is_some();
    if odd || other || node.contains(':') {
        return Ok(Nodes::PerRow);
    }
    let Some((low, high)) = (SqliteRows { conn, path }).bounds()? else {
        return Ok(Nodes::PerRow);
    };
    let mut stmt = conn
        .prepare("SELECT node FROM main.events NOT INDEXED WHERE rowid >= ?1 ORDER BY rowid LIMIT 1")
        .map_err(sql)?;
    let span = high.wrapping_sub(low).cast_unsigned();
    for i in 0..=64 {
        let at = low.wrapping_add_unsigned(span / 64 * i);
        let mut rows = stmt.query([at]).map_err(sql)?;
        if let Some(row) = rows.next().map_err(sql)?
            && row.get_ref(0).map_err(sql)?.as_str().ok() != Some(node)
        {
            return Ok(Nodes::PerRow);
        }
    }
    Ok(Nodes::One(node.to_owned()))
}

/// A table of details, by the number of the event it speaks of, ascending.
#[derive(Debug, Default)]
pub(crate) struct Details {
    pub(crate) event: Vec<i64>,
    pub(crate) values: Vec<[i64; 4]>,
}

impl Details {
    /// Reads up to four integer columns.
    pub(crate) fn read(
        conn: &Connection,
        path: &Path,
        schema: &Schema,
        table: &str,
        columns: [&str; 4],
    ) -> Result<Self, TraceError> {
        let mut out = Self::default();
        if !schema.table(table) || !schema.has(table, "event") {
            return Ok(out);
        }
        let list: Vec<&str> = columns
            .iter()
            .map(|c| if c.is_empty() { "0" } else { schema.or(table, c, "0") })
            .collect();
        let text = format!(
            "SELECT event, {} FROM {} ORDER BY event",
            list.join(", "),
            schema.from(table)
        );
        super::tables::each(conn, path, table, &text, |row| {
            out.event.push(row.int(0)?);
            out.values.push([row.int(1)?, row.int(2)?, row.int(3)?, row.int(4)?]);
            Ok(())
        })?;
        Ok(out)
    }

    /// A cursor for look-ups by mostly ascending numbers.
    pub(crate) fn cursor(&self) -> Cursor<'_> {
        Cursor { details: self, at: 0 }
    }
}

/// See [`Details::cursor`].
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    details: &'a Details,
    at: usize,
}

impl Cursor<'_> {
    /// The values for an event.
    pub(crate) fn get(&mut self, event: i64) -> Option<[i64; 4]> {
        let all = &self.details.event;
        // Gallop from where the last one was found: rows of a lane are nearly in number order.
        let mut low = self.at;
        if all.get(low).is_none_or(|&e| e > event) {
            low = 0;
        }
        let mut step = 1;
        let mut high = low;
        while high < all.len() && all[high] < event {
            low = high;
            high = high.saturating_add(step);
            step *= 2;
        }
        let high = high.saturating_add(1).min(all.len());
        self.at = low + all[low.min(high)..high].partition_point(|&e| e < event);
        (all.get(self.at) == Some(&event)).then(|| self.details.values[self.at])
    }
}
