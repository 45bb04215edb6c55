//! Writes trace files: the only SQL for writing in the analyzer.
//!
//! A file is built under a temporary name beside its final one and renamed when it is complete, so
//! a run that fails or is killed never leaves half a trace under the name that was asked for.
//! Callers speak of intervals (start and length); this module turns them into the raw timestamps
//! of the stored format, so that reading a written file exercises the reader's normalisation.
//!
//! Knows nothing of rules or scenarios.

mod merge;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, params};
use rustc_hash::FxHashMap;

pub use merge::{MergeError, Merged, merge};

use super::catalogue::{Anchor, Op};
use super::{INDEXES_SQL, OPS_SQL, SCHEMA_SQL};
use crate::unit::{Interval, SEC, US};

/// Rows bound to one `INSERT`. More rows a statement save little beyond this.
const BATCH: usize = 64;
const FIVE_SECONDS: i64 = 5 * SEC;
const MINUTE: i64 = 60 * SEC;
/// Five-second aggregates older than this, counted from the last bucket, are not kept.
const FIVES_KEPT: i64 = 10 * MINUTE;

/// Why a trace could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The file is there already.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The path names no file, or a folder.
    #[error("{} is not the name of a file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The folder of the file does not exist.
    #[error("there is no folder {}", folder.display())]
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder or the file refuses to be written.
    #[error("cannot write {}: {source}", path.display())]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// What the operating system or SQLite said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No space left.
    #[error("no space left for {}", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// A node name that cannot be part of an event id.
    #[error("`{node}` cannot be a node name: it must not be empty or hold a colon")]
    BadNode {
        /// The name.
        node: String,
    },
    /// An operation that the reader derives and no row can hold.
    #[error("`{op}` is derived by the reader and cannot be stored")]
    Derived {
        /// Its name.
        op: &'static str,
    },
    /// Labels of an annotation that do not fit into a JSON object.
    #[error("the labels of an annotation cannot be written: {0}")]
    Labels(#[from] serde_json::Error),
    /// Anything else that SQLite refuses.
    #[error("writing {} failed: {source}", path.display())]
    Sqlite {
        /// The file; `:memory:` without one.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

/// Rank of a process in a distributed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// RANK.
    pub rank: i32,
    /// LOCAL_RANK.
    pub local: i32,
    /// WORLD_SIZE.
    pub world: i32,
}

/// A row of `events`, as an interval.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// What it is; not a derived operation.
    pub op: Op,
    /// Process id; the thread id for sched rows, which is what the format stores.
    pub pid: i64,
    /// Thread id.
    pub tid: i64,
    /// Start, ns since the epoch.
    pub start: i64,
    /// Length, ns.
    pub dur: i64,
    /// First argument, see the format.
    pub arg0: i64,
    /// Second argument, see the format.
    pub arg1: i64,
    /// Return code.
    pub ret: i32,
    /// GPU number.
    pub gpu: i32,
    /// Hash of a row of `stack_traces`, 0 for none.
    pub stack: i64,
    /// cgroup, 0 for none.
    pub cgroup: i64,
    /// Rank, where known.
    pub rank: Option<Rank>,
    /// Thread name, or empty.
    pub comm: &'a str,
}

impl<'a> Event<'a> {
    /// An event with nothing but its interval and owner.
    pub fn new(op: Op, pid: i64, tid: i64, start: i64, dur: i64) -> Self {
        Self {
            op,
            pid,
            tid,
            start,
            dur,
            arg0: 0,
            arg1: 0,
            ret: 0,
            gpu: 0,
            stack: 0,
            cgroup: 0,
            rank: None,
            comm: "",
        }
    }

    /// The same with both arguments.
    pub fn args(mut self, arg0: i64, arg1: i64) -> Self {
        self.arg0 = arg0;
        self.arg1 = arg1;
        self
    }

    /// The same with a thread name.
    pub fn comm(mut self, comm: &'a str) -> Self {
        self.comm = comm;
        self
    }

    /// One past the last nanosecond.
    pub fn end(&self) -> i64 {
        self.start.saturating_add(self.dur)
    }

    /// The column `timestamp`: start or end, by operation.
    pub fn timestamp(&self) -> i64 {
        match self.op.def().anchor {
            Anchor::End => self.end(),
            Anchor::Start | Anchor::Derived => self.start,
        }
    }
}

/// A row of `sched_details`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedDetail {
    /// 0 runnable (preempted), 1 interruptible sleep, 2 uninterruptible.
    pub state: i64,
    /// CPU it came back on, -1 not known.
    pub cpu: i64,
    /// Last wake-up before it came back, 0 for none.
    pub woken_at: i64,
    /// Who woke it, 0 for an interrupt or nobody.
    pub waker: i64,
    /// Thread that took the CPU when it left, 0 idle.
    pub preemptor: i64,
}

/// A row of `nccl_calls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NcclCall {
    /// Communicator handle.
    pub comm: i64,
    /// Number of the call on that communicator, from 1.
    pub seq: i64,
    /// Elements.
    pub count: i64,
    /// Code of the element type.
    pub dtype: i64,
    /// Bytes.
    pub bytes: i64,
    /// Root or peer rank, -1 none.
    pub peer: i64,
    /// Own rank, -1 not known.
    pub rank: i64,
    /// Size of the communicator, -1 not known.
    pub nranks: i64,
    /// What the communicator is called on all its ranks, 0 not known.
    pub comm_id: i64,
}

/// What is known of an event beyond its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Of a sched_switch.
    Sched(SchedDetail),
    /// Of a call: stream and graph or exec handle.
    Call {
        /// Stream handle.
        stream: i64,
        /// Graph or exec handle.
        handle: i64,
    },
    /// Of a collective.
    Nccl(NcclCall),
}

/// A row of `tasks`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Task<'a> {
    /// Thread id.
    pub tid: i64,
    /// Process id.
    pub pid: i64,
    /// Parent process, 0 not known.
    pub ppid: i64,
    /// Thread name.
    pub comm: &'a str,
    /// First known, 0 = older than the recording.
    pub start: i64,
    /// End, 0 = alive at the end.
    pub exit: i64,
    /// Whether its sched events were recorded for its whole life in the trace.
    pub traced: bool,
}

/// A row of `system_snapshots`, in the units of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SnapshotRow {
    /// When.
    pub at: i64,
    /// CPU use in percent.
    pub cpu_pct: f64,
    /// Memory in use in percent.
    pub mem_pct: f64,
    /// Memory available, MiB.
    pub mem_avail_mib: i64,
    /// Swap in use, MiB.
    pub swap_mib: i64,
    /// One-minute load average.
    pub load: f64,
}

/// A row of `sessions`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session<'a> {
    /// Start of the recording.
    pub started_at: i64,
    /// End of the recording, 0 = never closed.
    pub stopped_at: i64,
    /// GPU, or empty.
    pub gpu_model: &'a str,
    /// CPU, or empty.
    pub cpu_model: &'a str,
    /// CPU cores.
    pub cpu_cores: i64,
    /// Host memory, MiB.
    pub mem_total_mib: i64,
    /// Program and version that recorded.
    pub recorder: &'a str,
    /// `record-all` where every event seen became a row.
    pub flags: &'a str,
}

/// A row of `annotations`.
#[derive(Clone, Copy, Debug)]
pub struct Annotation<'a> {
    /// Process, 0 = the whole trace.
    pub pid: i64,
    /// Start; equal to `end` for an instant.
    pub start: i64,
    /// End.
    pub end: i64,
    /// Keys and values, written in this order.
    pub labels: &'a [(&'a str, &'a str)],
}

/// A row of `recording_losses`.
#[derive(Clone, Copy, Debug)]
pub struct Lost<'a> {
    /// Source name.
    pub source: &'a str,
    /// CPU, -1 in user space.
    pub cpu: i64,
    /// Start of the second.
    pub at: i64,
    /// Events.
    pub lost: i64,
    /// `ring_full`, `queue_full`, …
    pub reason: &'a str,
}

/// A row of `truth`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TruthRow {
    /// `cause`, `symptom`, `healthy`, `twin`, `may` or `note`.
    pub kind: &'static str,
    /// The rule that should name it, or must not.
    pub rule: &'static str,
    /// Process.
    pub pid: i64,
    /// Thread.
    pub tid: i64,
    /// Where it begins.
    pub start: i64,
    /// Where it ends.
    pub end: i64,
    /// A number, by kind.
    pub value: i64,
    /// One sentence.
    pub note: String,
}

/// Events of one (op, owner) that are counted in the aggregates of one bucket.
#[derive(Clone, Copy, Debug)]
pub struct Uncounted {
    /// The operation.
    pub op: Op,
    /// Owner as stored: process, or thread for sched rows.
    pub pid: i64,
    /// When: any time in the bucket.
    pub at: i64,
    /// Events.
    pub count: i64,
    /// Sum of durations.
    pub sum_dur: i64,
    /// Shortest.
    pub min_dur: i64,
    /// Longest.
    pub max_dur: i64,
    /// Sum of bytes (sectors for block I/O).
    pub sum_arg0: i64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    count: i64,
    stored: i64,
    sum: i64,
    min: i64,
    max: i64,
    arg0: i64,
}

impl Bucket {
    fn add(&mut self, o: Self) {
        self.count += o.count;
        self.stored += o.stored;
        self.sum = self.sum.saturating_add(o.sum);
        self.min = self.min.min(o.min);
        self.max = self.max.max(o.max);
        self.arg0 = self.arg0.saturating_add(o.arg0);
    }
}

/// A buffered row: everything but the text of its name, which is kept once per name.
#[derive(Clone, Copy, Debug)]
struct Row {
    timestamp: i64,
    pid: i64,
    tid: i64,
    source: u8,
    op: u8,
    dur: i64,
    arg0: i64,
    arg1: i64,
    ret: i32,
    gpu: i32,
    stack: i64,
    cgroup: i64,
    rank: Option<Rank>,
    comm: u32,
}

impl Row {
    /// Whether all columns outside the short statement have their defaults.
    fn is_plain(&self) -> bool {
        self.ret == 0 && self.gpu == 0 && self.stack == 0 && self.cgroup == 0 && self.rank.is_none()
    }
}

/// An `INSERT` for many rows and one for a single row.
#[derive(Debug)]
struct Insert {
    many: String,
    one: String,
}

impl Insert {
    fn new(table: &str, columns: &str, row: &str) -> Self {
        // OR FAIL: without it SQLite keeps copies of pages, to undo the rows of a statement that fails.
        let head = format!("INSERT OR FAIL INTO {table}({columns}) VALUES ");
        let mut many = head.clone();
        for i in 0..BATCH {
            if i > 0 {
                many.push(',');
            }
            many.push_str(row);
        }
        Self { many, one: head + row }
    }

    fn sql(&self, rows: usize) -> &str {
        if rows == BATCH { &self.many } else { &self.one }
    }
}

/// Buffered rows of a table that holds integers only.
#[derive(Debug)]
struct IntRows {
    insert: Insert,
    width: usize,
    values: Vec<i64>,
}

impl IntRows {
    fn new(table: &str, columns: &str) -> Self {
        let width = columns.split(',').count();
        let row = format!("({})", vec!["?"; width].join(","));
        Self {
            insert: Insert::new(table, columns, &row),
            width,
            values: Vec::with_capacity(width * BATCH),
        }
    }

    fn push(&mut self, conn: &Connection, row: &[i64]) -> rusqlite::Result<()> {
        self.values.extend_from_slice(row);
        if self.values.len() == self.width * BATCH {
            self.flush(conn)?;
        }
        Ok(())
    }

    fn flush(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let rows = if self.values.len() == self.width * BATCH {
            BATCH
        } else {
            1
        };
        for chunk in self.values.chunks(self.width * rows) {
            let mut stmt = conn.prepare_cached(self.insert.sql(rows))?;
            for (i, v) in chunk.iter().enumerate() {
                stmt.raw_bind_parameter(i + 1, *v)?;
            }
            stmt.raw_execute()?;
        }
        self.values.clear();
        Ok(())
    }
}

/// What a finished file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Rows of `events`.
    pub events: u64,
    /// Bytes of the file; 0 in memory.
    pub size_bytes: u64,
}

/// Where the finished trace goes; without [`Target::place`] nothing is left of it.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    /// Where it is built.
    pub(super) temp: PathBuf,
    overwrite: bool,
}

impl Target {
    /// An empty file beside `path`. The folder must exist; `path` must not, unless `overwrite`.
    pub(super) fn new(path: &Path, overwrite: bool) -> Result<Self, WriteError> {
        let Some(name) = path.file_name().filter(|_| !path.is_dir()) else {
            return Err(WriteError::NotAFile { path: path.to_owned() });
        };
        // A sidecar without its file would be taken for the new file's own.
        let mut taken = vec![path.to_owned()];
        taken.extend(sidecars(path));
        if let Some(path) = taken.into_iter().find(|p| !overwrite && p.exists()) {
            return Err(WriteError::Exists { path });
        }
        let folder = match path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            return Err(WriteError::NoFolder {
                folder: folder.to_owned(),
            });
        }
        let temp = folder.join(format!(".{}.{}.partial", name.display(), std::process::id()));
        // SQLite's own message for a folder that refuses is "unable to open database file".
        fs::File::create(&temp).map_err(|e| match e.kind() {
            std::io::ErrorKind::StorageFull => WriteError::DiskFull { path: path.to_owned() },
            _ => not_writable(path, e),
        })?;
        Ok(Self {
            path: path.to_owned(),
            temp,
            overwrite,
        })
    }

    /// Opens the file that is being built, which nobody else does.
    pub(super) fn open(&self) -> Result<Connection, WriteError> {
        Connection::open(&self.temp).map_err(|e| not_writable(&self.path, e))
    }

    /// What SQLite said, about the file as the user knows it.
    pub(super) fn error(&self, e: rusqlite::Error) -> WriteError {
        sqlite_error(Some(&self.path), e)
    }

    /// Gives the file its name; its size in bytes.
    pub(super) fn place(self) -> Result<u64, WriteError> {
        let io = |e: std::io::Error| not_writable(&self.path, e);
        if self.overwrite {
            for sidecar in sidecars(&self.path).into_iter().filter(|p| p.exists()) {
                fs::remove_file(sidecar).map_err(io)?;
            }
        } else if self.path.exists() {
            return Err(WriteError::Exists {
                path: self.path.clone(),
            });
        }
        let size_bytes = fs::metadata(&self.temp).map_err(io)?.len();
        fs::rename(&self.temp, &self.path).map_err(io)?;
        Ok(size_bytes)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Nothing can be done about a file that cannot be removed.
        for path in sidecars(&self.temp) {
            let _ = fs::remove_file(path);
        }
        let _ = fs::remove_file(&self.temp);
    }
}

fn not_writable(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> WriteError {
    WriteError::NotWritable {
        path: path.to_owned(),
        source: Box::new(source),
    }
}

/// Writes one trace, of one node.
///
/// Rows get the ids `{node}:1`, `{node}:2`, … in the order of the calls, and the same number as
/// rowid. Aggregates are kept along the way. Nothing is visible under the final name before
/// [`Writer::finish`]; dropping the writer throws the trace away.
#[derive(Debug)]
pub struct Writer {
    /// `None` only inside `finish`. Closed before `target` is dropped, for an open file cannot be
    /// removed everywhere.
    conn: Option<Connection>,
    target: Option<Target>,
    node: String,
    seq: i64,
    plain: Insert,
    full: Insert,
    rows: Vec<Row>,
    /// Number of the first row of `rows`.
    first: i64,
    id: String,
    comms: Vec<String>,
    comm_ids: FxHashMap<String, u32>,
    last_comm: u32,
    fives: FxHashMap<(i64, Op, i64), Bucket>,
    sched: IntRows,
    calls: IntRows,
    nccl: IntRows,
}

// The rowid is left to SQLite, which counts from 1 as we do. `?1` is the node, bound once for all rows.
const PLAIN_COLUMNS: &str = "node,id,timestamp,pid,tid,source,op,duration,arg0,arg1,comm";
const FULL_COLUMNS: &str = "node,id,timestamp,pid,tid,source,op,duration,arg0,arg1,comm,\
     ret_code,gpu_id,stack_hash,cgroup_id,rank,local_rank,world_size";

impl Writer {
    /// Starts a new file. The folder must exist, the file must not.
    ///
    /// # Errors
    /// [`WriteError::Exists`], [`WriteError::NoFolder`], [`WriteError::NotWritable`],
    /// [`WriteError::BadNode`].
    pub fn create(path: &Path, node: &str) -> Result<Self, WriteError> {
        Self::on_disk(path, node, false)
    }

    /// Starts a new file that takes the place of an existing one when it is finished.
    ///
    /// # Errors
    /// As [`Writer::create`], without `Exists`.
    pub fn overwrite(path: &Path, node: &str) -> Result<Self, WriteError> {
        Self::on_disk(path, node, true)
    }

    fn on_disk(path: &Path, node: &str, overwrite: bool) -> Result<Self, WriteError> {
        check_node(node)?;
        let target = Target::new(path, overwrite)?;
        let conn = target.open()?;
        Self::start(conn, Some(target), node)
    }

    /// Starts a trace in memory, to be had with [`Writer::into_connection`].
    ///
    /// # Errors
    /// [`WriteError::BadNode`], or [`WriteError::Sqlite`] without memory.
    pub fn in_memory(node: &str) -> Result<Self, WriteError> {
        check_node(node)?;
        let conn = Connection::open_in_memory().map_err(|e| sqlite_error(None, e))?;
        Self::start(conn, None, node)
    }

    fn start(conn: Connection, target: Option<Target>, node: &str) -> Result<Self, WriteError> {
        // The file is new and thrown away on any failure, so nothing has to be rolled back.
        let begin = || -> rusqlite::Result<()> {
            conn.execute_batch("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE;")?;
            conn.pragma_update(None, "cache_size", -16 * 1024)?;
            conn.set_prepared_statement_cache_capacity(32);
            conn.execute_batch(SCHEMA_SQL)?;
            conn.execute_batch("BEGIN")?;
            conn.execute_batch(OPS_SQL)
        };
        begin().map_err(|e| sqlite_error(target.as_ref().map(|t| t.path.as_path()), e))?;
        Ok(Self {
            conn: Some(conn),
            target,
            node: node.to_owned(),
            seq: 0,
            plain: Insert::new("events", PLAIN_COLUMNS, "(?1,?,?,?,?,?,?,?,?,?,?)"),
            full: Insert::new("events", FULL_COLUMNS, "(?1,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"),
            rows: Vec::with_capacity(BATCH),
            first: 1,
            id: String::with_capacity(node.len() + 20),
            comms: vec![String::new()],
            comm_ids: FxHashMap::from_iter([(String::new(), 0)]),
            last_comm: 0,
            fives: FxHashMap::default(),
            sched: IntRows::new("sched_details", "event,state,cpu,woken_at,waker,preemptor"),
            calls: IntRows::new("call_details", "event,stream,handle"),
            nccl: IntRows::new(
                "nccl_calls",
                "event,comm,seq,count,dtype,bytes,peer,rank,nranks,comm_id",
            ),
        })
    }

    /// The node that the rows belong to.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Events written so far.
    pub fn events(&self) -> u64 {
        self.seq.unsigned_abs()
    }

    fn conn(&self) -> &Connection {
        self.conn
            .as_ref()
            .expect("the connection is only taken by finish, which consumes the writer")
    }

    fn error(&self, e: rusqlite::Error) -> WriteError {
        sqlite_error(self.target.as_ref().map(|t| t.path.as_path()), e)
    }

    fn insert(&self, sql: &str, values: impl rusqlite::Params) -> Result<(), WriteError> {
        let run = || self.conn().prepare_cached(sql)?.execute(values);
        run().map(|_| ()).map_err(|e| self.error(e))
    }

    /// Writes a row and returns its number.
    ///
    /// # Errors
    /// [`WriteError::Derived`] for an operation that has no rows, or a failure of the file.
    pub fn event(&mut self, event: &Event<'_>) -> Result<i64, WriteError> {
        let def = event.op.def();
        if def.anchor == Anchor::Derived {
            return Err(WriteError::Derived { op: def.name });
        }
        let timestamp = event.timestamp();
        let comm = self.comm_id(event.comm);
        self.seq += 1;
        self.rows.push(Row {
            timestamp,
            pid: event.pid,
            tid: event.tid,
            source: def.source_id,
            op: def.op_id,
            dur: event.dur,
            arg0: event.arg0,
            arg1: event.arg1,
            ret: event.ret,
            gpu: event.gpu,
            stack: event.stack,
            cgroup: event.cgroup,
            rank: event.rank,
            comm,
        });
        self.count(
            timestamp,
            event.op,
            event.pid,
            Bucket {
                count: 1,
                stored: 1,
                sum: event.dur,
                min: event.dur,
                max: event.dur,
                arg0: if sums_arg0(def.source_id, def.op_id) {
                    event.arg0
                } else {
                    0
                },
            },
        );
        if self.rows.len() == BATCH {
            self.flush_rows()?;
        }
        Ok(self.seq)
    }

    /// Writes a row and what is known beyond it.
    ///
    /// # Errors
    /// As [`Writer::event`].
    pub fn event_with(&mut self, event: &Event<'_>, detail: Option<Detail>) -> Result<i64, WriteError> {
        let seq = self.event(event)?;
        match detail {
            None => Ok(()),
            Some(Detail::Sched(d)) => {
                let row = [seq, d.state, d.cpu, d.woken_at, d.waker, d.preemptor];
                push_ints(self.conn.as_ref(), &mut self.sched, &row)
            }
            Some(Detail::Call { stream, handle }) => {
                push_ints(self.conn.as_ref(), &mut self.calls, &[seq, stream, handle])
            }
            Some(Detail::Nccl(n)) => {
                let row = [
                    seq, n.comm, n.seq, n.count, n.dtype, n.bytes, n.peer, n.rank, n.nranks, n.comm_id,
                ];
                push_ints(self.conn.as_ref(), &mut self.nccl, &row)
            }
        }
        .map_err(|e| self.error(e))?;
        Ok(seq)
    }

    /// Counts events that are not rows: page allocations, or what a selective recorder left out.
    pub fn not_stored(&mut self, u: &Uncounted) {
        self.count(
            u.at,
            u.op,
            u.pid,
            Bucket {
                count: u.count,
                stored: 0,
                sum: u.sum_dur,
                min: u.min_dur,
                max: u.max_dur,
                arg0: u.sum_arg0,
            },
        );
    }

    fn count(&mut self, at: i64, op: Op, pid: i64, one: Bucket) {
        let bucket = at - at.rem_euclid(FIVE_SECONDS);
        self.fives
            .entry((bucket, op, pid))
            .and_modify(|b| b.add(one))
            .or_insert(one);
    }

    fn comm_id(&mut self, comm: &str) -> u32 {
        if self.comms[self.last_comm as usize] == comm {
            return self.last_comm;
        }
        let id = if let Some(&id) = self.comm_ids.get(comm) {
            id
        } else {
            let id = u32::try_from(self.comms.len()).expect("names are task names, of which there are few");
            self.comms.push(comm.to_owned());
            self.comm_ids.insert(comm.to_owned(), id);
            id
        };
        self.last_comm = id;
        id
    }

    fn flush_rows(&mut self) -> Result<(), WriteError> {
        let rows = std::mem::take(&mut self.rows);
        let size = if rows.len() == BATCH { BATCH } else { 1 };
        for chunk in rows.chunks(size) {
            self.insert_rows(chunk).map_err(|e| self.error(e))?;
        }
        self.rows = rows;
        self.rows.clear();
        Ok(())
    }

    fn insert_rows(&mut self, rows: &[Row]) -> rusqlite::Result<()> {
        let plain = rows.iter().all(Row::is_plain);
        let insert = if plain { &self.plain } else { &self.full };
        let conn = self.conn.as_ref().expect("see Writer::conn");
        let mut stmt = conn.prepare_cached(insert.sql(rows.len()))?;
        stmt.raw_bind_parameter(1, self.node.as_str())?;
        let mut at = 1;
        let mut next = || {
            at += 1;
            at
        };
        for row in rows {
            self.id.clear();
            // Writing to a String cannot fail.
            let _ = write!(self.id, "{}:{}", self.node, self.first);
            stmt.raw_bind_parameter(next(), self.id.as_str())?;
            stmt.raw_bind_parameter(next(), row.timestamp)?;
            stmt.raw_bind_parameter(next(), row.pid)?;
            stmt.raw_bind_parameter(next(), row.tid)?;
            stmt.raw_bind_parameter(next(), row.source)?;
            stmt.raw_bind_parameter(next(), row.op)?;
            stmt.raw_bind_parameter(next(), row.dur)?;
            stmt.raw_bind_parameter(next(), row.arg0)?;
            stmt.raw_bind_parameter(next(), row.arg1)?;
            stmt.raw_bind_parameter(next(), self.comms[row.comm as usize].as_str())?;
            if !plain {
                stmt.raw_bind_parameter(next(), row.ret)?;
                stmt.raw_bind_parameter(next(), row.gpu)?;
                stmt.raw_bind_parameter(next(), row.stack)?;
                stmt.raw_bind_parameter(next(), row.cgroup)?;
                stmt.raw_bind_parameter(next(), row.rank.map(|r| r.rank))?;
                stmt.raw_bind_parameter(next(), row.rank.map(|r| r.local))?;
                stmt.raw_bind_parameter(next(), row.rank.map(|r| r.world))?;
            }
            self.first += 1;
        }
        stmt.raw_execute()?;
        Ok(())
    }

    /// Adds a thread.
    ///
    /// # Errors
    /// A failure of the file; likewise for all that follow.
    pub fn task(&self, t: &Task<'_>) -> Result<(), WriteError> {
        self.insert(
            "INSERT OR REPLACE INTO tasks(tid,pid,ppid,comm,start_ns,exit_ns,traced) VALUES (?,?,?,?,?,?,?)",
            params![t.tid, t.pid, t.ppid, t.comm, t.start, t.exit, t.traced],
        )
    }

    /// Adds a snapshot of the host; a second one of the same instant replaces the first.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn snapshot(&self, s: &SnapshotRow) -> Result<(), WriteError> {
        self.insert(
            "INSERT OR REPLACE INTO system_snapshots(timestamp,cpu_pct,mem_pct,mem_avail,swap_mb,load_avg)
             VALUES (?,?,?,?,?,?)",
            params![s.at, s.cpu_pct, s.mem_pct, s.mem_avail_mib, s.swap_mib, s.load],
        )
    }

    /// Adds a recording session.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn session(&self, s: &Session<'_>) -> Result<(), WriteError> {
        self.insert(
            "INSERT INTO sessions(started_at,stopped_at,gpu_model,cpu_model,cpu_cores,mem_total,ingero_ver,flags,node)
             VALUES (?,?,?,?,?,?,?,?,?)",
            params![
                s.started_at,
                s.stopped_at,
                s.gpu_model,
                s.cpu_model,
                s.cpu_cores,
                s.mem_total_mib,
                s.recorder,
                s.flags,
                self.node
            ],
        )
    }

    /// Adds an annotation.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn annotation(&self, a: &Annotation<'_>) -> Result<(), WriteError> {
        let mut labels = String::from("{");
        for (i, (key, value)) in a.labels.iter().enumerate() {
            if i > 0 {
                labels.push(',');
            }
            labels += &serde_json::to_string(key)?;
            labels.push(':');
            labels += &serde_json::to_string(value)?;
        }
        labels.push('}');
        let (span_start, span_end) = if a.end > a.start { (a.start, a.end) } else { (0, 0) };
        self.insert(
            "INSERT INTO annotations(timestamp,labels,pid,span_start,span_end) VALUES (?,?,?,?,?)",
            params![a.end.max(a.start), labels, a.pid, span_start, span_end],
        )
    }

    /// Names a process or thread.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn process_name(&self, pid: i64, name: &str, seen_at: i64) -> Result<(), WriteError> {
        self.insert(
            "INSERT OR REPLACE INTO process_names(pid,name,seen_at) VALUES (?,?,?)",
            params![pid, name, seen_at],
        )
    }

    /// States a fact about the recording.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn recording(&self, key: &str, value: &str) -> Result<(), WriteError> {
        self.insert(
            "INSERT OR REPLACE INTO recording(key,value) VALUES (?,?)",
            params![key, value],
        )
    }

    /// Adds a reading of the clocks: wall clock minus monotonic clock, how well that is known, and how far the
    /// wall clock may be from true time, all ns.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn clock_offset(&self, at: i64, offset: i64, error: i64, wall_error: Option<i64>) -> Result<(), WriteError> {
        self.insert(
            "INSERT INTO clock_offsets(timestamp,offset_ns,error_ns,wall_error_ns) VALUES (?,?,?,?)",
            params![at, offset, error, wall_error.unwrap_or(-1)],
        )
    }

    /// Lists a probe that was wanted: `attached`, `missing` or `failed`.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn probe(&self, probe: &str, target: &str, status: &str, reason: &str) -> Result<(), WriteError> {
        self.insert(
            "INSERT OR REPLACE INTO recording_probes(probe,target,status,reason) VALUES (?,?,?,?)",
            params![probe, target, status, reason],
        )
    }

    /// Adds lost events of one second.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn loss(&self, l: &Lost<'_>) -> Result<(), WriteError> {
        self.insert(
            "INSERT INTO recording_losses(probe,cpu,bucket,lost,reason) VALUES (?1,?2,?3,?4,?5)
             ON CONFLICT DO UPDATE SET lost = lost + ?4",
            params![l.source, l.cpu, l.at - l.at.rem_euclid(SEC), l.lost, l.reason],
        )
    }

    /// Adds an error of the GPU driver.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn xid(&self, at: i64, device: &str, xid: i64, message: &str) -> Result<(), WriteError> {
        self.insert(
            "INSERT INTO xids(timestamp,device,xid,message) VALUES (?,?,?,?)",
            params![at, device, xid, message],
        )
    }

    /// Adds a call that did not return, from its begin to when it was last seen.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn open_call(&self, op: Op, pid: i64, tid: i64, when: Interval) -> Result<(), WriteError> {
        let d = op.def();
        self.insert(
            "INSERT INTO open_calls(pid,tid,source,op,start_ns,seen_ns,how) VALUES (?,?,?,?,?,?,'open')",
            params![pid, tid, d.source_id, d.op_id, when.start, when.end],
        )
    }

    /// Names a cgroup.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn cgroup(&self, id: i64, path: &str) -> Result<(), WriteError> {
        self.insert(
            "INSERT OR REPLACE INTO cgroup_metadata(cgroup_id,cgroup_path) VALUES (?,?)",
            params![id, path],
        )
    }

    /// Adds a reading of how long a cgroup has been throttled since it exists, ns.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn cgroup_cpu(&self, at: i64, path: &str, throttled: i64) -> Result<(), WriteError> {
        self.insert(
            "INSERT OR REPLACE INTO cgroup_cpu(timestamp,cgroup_path,usage_us,throttled_us) VALUES (?,?,0,?)",
            params![at, path, throttled / US],
        )
    }

    /// States what is true in this trace.
    ///
    /// # Errors
    /// A failure of the file.
    pub fn truth(&self, t: &TruthRow) -> Result<(), WriteError> {
        self.insert(
            "INSERT INTO truth(kind,rule,pid,tid,start_ns,end_ns,value,note) VALUES (?,?,?,?,?,?,?,?)",
            params![t.kind, t.rule, t.pid, t.tid, t.start, t.end, t.value, t.note],
        )
    }

    fn write_aggregates(&mut self) -> Result<(), WriteError> {
        let mut fives: Vec<_> = std::mem::take(&mut self.fives)
            .into_iter()
            .map(|((at, op, pid), b)| ((at, op.def().source_id, op.def().op_id, pid), b))
            .collect();
        fives.sort_unstable_by_key(|(k, _)| *k);
        let mut minutes: std::collections::BTreeMap<(i64, u8, u8, i64), Bucket> = std::collections::BTreeMap::new();
        for ((at, source, op, pid), b) in &fives {
            minutes
                .entry((at - at.rem_euclid(MINUTE), *source, *op, *pid))
                .and_modify(|m| m.add(*b))
                .or_insert(*b);
        }
        let oldest = fives.last().map_or(0, |(k, _)| k.0 - FIVES_KEPT);
        fives.retain(|(k, _)| k.0 >= oldest);
        for (table, rows) in [
            ("event_aggregates", minutes.into_iter().collect()),
            ("event_aggregates_5s", fives),
        ] {
            let columns = "bucket,source,op,pid,count,stored,sum_dur,min_dur,max_dur,sum_arg0";
            let mut out = IntRows::new(table, columns);
            for ((bucket, source, op, pid), b) in rows {
                let row = [
                    bucket,
                    source.into(),
                    op.into(),
                    pid,
                    b.count,
                    b.stored,
                    b.sum,
                    b.min,
                    b.max,
                    b.arg0,
                ];
                out.push(self.conn(), &row).map_err(|e| self.error(e))?;
            }
            out.flush(self.conn()).map_err(|e| self.error(e))?;
        }
        Ok(())
    }

    /// Writes all that is buffered, the aggregates and the indexes.
    fn complete(&mut self) -> Result<(), WriteError> {
        self.flush_rows()?;
        let conn = self.conn.as_ref().expect("see Writer::conn");
        self.sched
            .flush(conn)
            .and_then(|()| self.calls.flush(conn))
            .and_then(|()| self.nccl.flush(conn))
            .map_err(|e| self.error(e))?;
        self.write_aggregates()?;
        self.conn()
            .execute_batch("COMMIT")
            // Sorting in chunks that fit into the processor's cache is faster than all at once.
            .and_then(|()| self.conn().execute_batch("PRAGMA cache_size=-2048; PRAGMA threads=2"))
            .and_then(|()| self.conn().execute_batch(INDEXES_SQL))
            .map_err(|e| self.error(e))
    }

    /// Completes the trace and hands it over as it is: for traces in memory.
    ///
    /// # Errors
    /// A failure of the file, which is then removed.
    pub fn into_connection(mut self) -> Result<Connection, WriteError> {
        self.complete()?;
        // A file would be removed while it is in use: keep it, under its temporary name.
        if let Some(target) = self.target.take() {
            std::mem::forget(target);
        }
        Ok(self
            .conn
            .take()
            .expect("the connection is taken here for the first time"))
    }

    /// Completes the trace and gives the file its name.
    ///
    /// The file is in WAL mode, as the format asks, without a sidecar. It is handed to the
    /// operating system, not forced to the medium: a power cut can still take it.
    ///
    /// # Errors
    /// A failure of the file, which is then removed; [`WriteError::Exists`] if a file of that name
    /// came up meanwhile.
    pub fn finish(mut self) -> Result<Summary, WriteError> {
        self.complete()?;
        let events = self.events();
        let Some(target) = self.target.take() else {
            return Ok(Summary { events, size_bytes: 0 });
        };
        self.conn()
            .execute_batch("PRAGMA journal_mode=WAL")
            .map_err(|e| target.error(e))?;
        let conn = self
            .conn
            .take()
            .expect("the connection is taken here for the first time");
        conn.close().map_err(|(_, e)| target.error(e))?;
        let size_bytes = target.place()?;
        Ok(Summary { events, size_bytes })
    }
}

fn push_ints(conn: Option<&Connection>, rows: &mut IntRows, row: &[i64]) -> rusqlite::Result<()> {
    rows.push(conn.expect("see Writer::conn"), row)
}

fn sidecars(path: &Path) -> [PathBuf; 3] {
    ["-wal", "-shm", "-journal"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

fn check_node(node: &str) -> Result<(), WriteError> {
    if node.is_empty() || node.contains(':') {
        return Err(WriteError::BadNode { node: node.to_owned() });
    }
    Ok(())
}

fn sqlite_error(path: Option<&Path>, source: rusqlite::Error) -> WriteError {
    let path = path.map_or_else(|| PathBuf::from(":memory:"), Path::to_owned);
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => WriteError::DiskFull { path },
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => WriteError::NotWritable {
            path,
            source: Box::new(source),
        },
        _ => WriteError::Sqlite { path, source },
    }
}

/// Whether the format sums arg0 of this operation, because it is bytes or sectors.
fn sums_arg0(source: u8, op: u8) -> bool {
    matches!((source, op), (1, 1 | 4 | 7 | 8) | (3, 3) | (4, 2 | 3 | 5 | 6) | (5, _))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::catalogue::Source;

    fn launch(i: i64) -> Event<'static> {
        let op = Op::by_name(Source::Cuda, "cudaLaunchKernel").unwrap();
        Event::new(op, 7, 7, i * 1000, 10).comm("engine")
    }

    #[test]
    fn a_full_disk_is_an_error_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let mut w = Writer::create(&path, "n").unwrap();
        w.conn().pragma_update(None, "max_page_count", 80).unwrap();
        let failed = (0..20_000).find_map(|i| w.event(&launch(i)).err());
        assert!(matches!(failed, Some(WriteError::DiskFull { .. })), "{failed:?}");
        drop(w);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_abandoned_writer_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut w = Writer::create(&folder.path().join("t.db"), "n").unwrap();
        w.event(&launch(1)).unwrap();
        drop(w);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_derived_operation_is_refused() {
        let mut w = Writer::in_memory("n").unwrap();
        let op = Op::by_name(Source::Request, "open").unwrap();
        assert!(matches!(
            w.event(&Event::new(op, 1, 1, 0, 0)),
            Err(WriteError::Derived { op: "open" })
        ));
    }

    #[test]
    fn bad_places_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.db");
        let missing = folder.path().join("no").join("t.db");
        assert!(matches!(
            Writer::create(&missing, "n"),
            Err(WriteError::NoFolder { .. })
        ));
        assert!(matches!(
            Writer::create(folder.path(), "n"),
            Err(WriteError::NotAFile { .. })
        ));
        assert!(matches!(Writer::create(&path, "a:b"), Err(WriteError::BadNode { .. })));
        fs::write(&path, "mine").unwrap();
        assert!(matches!(Writer::create(&path, "n"), Err(WriteError::Exists { .. })));
        Writer::overwrite(&path, "n").unwrap().finish().unwrap();
        assert!(fs::read(&path).unwrap().starts_with(b"SQLite format 3\0"));
    }
}
