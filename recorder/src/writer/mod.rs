//! Writes the trace file. The only SQL of the recorder, beside the schema shared with the analyzer.
//!
//! One thread owns the connection. Rows go in batches, committed at least once a second, so that a
//! killed recorder loses at most the last second; indexes are built at the end.

mod aggregate;
mod process;

use crate::abi::{Agg, Call, Hist, Loss, Nccl, OpenCall, Record, Sched, Task, TaskWhat, Xid, probe_of};
use crate::bpf::Probe;
use crate::clock::{self, Offset};
use crate::error::RecorderError;
use aggregate::{Aggregates, Bucket};
use process::Processes;
pub use process::Thread;
use rusqlite::{Connection, ErrorCode, params};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SCHEMA: &str = include_str!("../../../analyzer/src/trace/schema.sql");
const OPS: &str = include_str!("../../../analyzer/src/trace/ops.sql");
const INDEXES: &str = include_str!("../../../analyzer/src/trace/indexes.sql");

/// How long rows may wait for their commit.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// Rows that make a commit due before its time: about 3 MB of log.
const COMMIT_ROWS: u64 = 20_000;
/// Kept free on disk by a file of this size, so that a full disk still lets the trace be closed.
/// That takes as much as the log holds, which is what `wal_autocheckpoint` and the largest
/// transaction allow.
const BALLAST_BYTES: u64 = 16 << 20;

/// One reading of the host's load, a row of `system_snapshots`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "the names are those of the table")]
pub struct Snapshot {
    pub timestamp: i64,
    pub cpu_pct: f64,
    pub mem_pct: f64,
    pub mem_avail: i64,
    pub swap_mb: i64,
    pub load_avg: f64,
}

/// One reading of a cgroup's `cpu.stat`, a row of `cgroup_cpu`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the table")]
pub struct CgroupCpu {
    pub timestamp: i64,
    pub path: String,
    pub usage_us: i64,
    pub nr_periods: i64,
    pub nr_throttled: i64,
    pub throttled_us: i64,
}

/// One line that a program wrote to the annotation socket, or a row for `truth`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the tables")]
pub enum Annotation {
    Label {
        timestamp: i64,
        labels: String,
        pid: u32,
        start_time: i64,
        span: (i64, i64),
        peer: (u32, u32, u32),
    },
    Truth {
        kind: String,
        rule: String,
        pid: u32,
        tid: u32,
        span: (i64, i64),
        value: i64,
        note: String,
    },
}

/// What the other threads hand to the writer.
#[derive(Debug)]
#[allow(missing_docs, reason = "named after their contents")]
pub enum Message {
    /// Records, each with its length before it.
    Chunk(Vec<u8>),
    Probes(Vec<Probe>),
    Threads(Vec<Thread>),
    Snapshot(Snapshot),
    Cgroups(Vec<CgroupCpu>),
    Offset(Offset),
    Aggregates(Vec<Agg>),
    Histograms(Vec<Hist>),
    Losses(Vec<Loss>),
    Annotation(Annotation),
    /// Threads that were off CPU when the recording ended.
    OffCpu(Vec<Sched>),
    /// Calls that have not returned by now; they take the place of those said before.
    OpenCalls(Vec<OpenCall>),
    /// All probes were in place at this time, ns since the epoch.
    Started(i64),
    /// A key of `recording`.
    Fact(String, String),
}

/// What is true of the whole recording; a row of `sessions` and the keys of `recording`.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "the names are those of the table")]
pub struct Session {
    pub started_at: i64,
    pub gpu_model: String,
    pub gpu_driver: String,
    pub cpu_model: String,
    pub cpu_cores: i64,
    pub mem_total: i64,
    pub kernel: String,
    pub os_release: String,
    pub cuda_ver: String,
    pub python_ver: String,
    pub pid_filter: String,
    pub flags: String,
    pub node: String,
    pub facts: BTreeMap<String, String>,
    pub thresholds: Vec<(u8, u8, u64)>,
}

/// How large a file may grow and how many finished ones are kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rotation {
    /// Bytes after which a new file is begun; 0 = never.
    pub max_bytes: u64,
    /// Finished files kept beside the live one; 0 = all.
    pub max_files: usize,
}

/// What the writer tells the other threads.
#[derive(Debug, Default)]
pub struct Progress {
    /// Rows of `events` so far.
    pub rows: AtomicU64,
    /// Set when the disk is full and recording should stop.
    pub disk_full: AtomicBool,
}

/// What was written, for the closing message.
#[derive(Debug, Default, Clone)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Summary {
    pub rows: u64,
    pub lost: u64,
    pub disk_full: bool,
    pub files: Vec<PathBuf>,
    pub bytes: u64,
}

/// The open trace file.
pub struct Writer {
    db: Connection,
    path: PathBuf,
    session: Session,
    rotation: Rotation,
    progress: Arc<Progress>,
    offset_ns: i64,
    seq: i64,
    id: String,
    id_prefix: usize,
    in_transaction: bool,
    opened: Instant,
    uncommitted: BTreeMap<&'static str, u64>,
    n_uncommitted: u64,
    aggregates: Aggregates,
    processes: Processes,
    probes: BTreeMap<(String, String), Probe>,
    losses: BTreeMap<(&'static str, i32, u32, &'static str), u64>,
    lost: u64,
    sched_lost: bool,
    offsets: Vec<Offset>,
    rolled: Vec<PathBuf>,
    full: bool,
    undecoded: u64,
}

impl Writer {
    /// Makes the file and its tables.
    ///
    /// # Errors
    /// If the file exists and `force` is not set, or cannot be made.
    pub fn create(
        path: &Path,
        force: bool,
        session: Session,
        offset: Offset,
        rotation: Rotation,
        progress: Arc<Progress>,
    ) -> Result<Self, RecorderError> {
        let failed = |reason: String| RecorderError::Output {
            path: path.to_owned(),
            reason,
        };
        if path.exists() {
            if !force {
                return Err(RecorderError::FileExists(path.to_owned()));
            }
            remove_database(path).map_err(|e| failed(e.to_string()))?;
        }
        let db = open(path, &session).map_err(|e| failed(e.to_string()))?;
        let id = format!("{}:", session.node);
        let mut writer = Self {
            db,
            path: path.to_owned(),
            rotation,
            progress,
            offset_ns: offset.offset_ns,
            seq: 0,
            id_prefix: id.len(),
            id,
            in_transaction: false,
            opened: Instant::now(),
            uncommitted: BTreeMap::new(),
            n_uncommitted: 0,
            aggregates: Aggregates::default(),
            processes: Processes::default(),
            probes: BTreeMap::new(),
            losses: BTreeMap::new(),
            lost: 0,
            sched_lost: false,
            offsets: Vec::new(),
            rolled: Vec::new(),
            full: false,
            undecoded: 0,
            session,
        };
        writer.offset(offset);
        let _ = fs::write(writer.ballast(), vec![0u8; usize::try_from(BALLAST_BYTES).unwrap_or(0)]);
        Ok(writer)
    }

    fn ballast(&self) -> PathBuf {
        beside(&self.path, ".reserve")
    }

    /// Takes one message in; commits when it is time.
    pub fn take(&mut self, message: Message) {
        let result = self.store(message);
        self.check(result);
        self.commit_if_due();
    }

    /// Commits if rows have waited long enough. To be called when no message comes.
    pub fn commit_if_due(&mut self) {
        let due = self.opened.elapsed() >= COMMIT_EVERY || self.n_uncommitted >= COMMIT_ROWS;
        if self.in_transaction && due {
            let result = self.commit();
            self.check(result);
            if self.rotation.max_bytes > 0 && !self.full && self.size() > self.rotation.max_bytes {
                self.rotate();
            }
        }
    }

    /// A failed write is a full disk, or as good as one: everything since the last commit is lost
    /// and counted, and nothing more is tried until the end.
    fn check(&mut self, result: rusqlite::Result<()>) {
        let Err(error) = result else { return };
        if self.full {
            return;
        }
        self.full = true;
        self.session
            .facts
            .insert("stopped_by".to_owned(), format!("write failed: {error}"));
        self.progress.disk_full.store(true, Ordering::Relaxed);
        // SQLite has rolled back by itself after some errors, after others not.
        let _ = self.db.execute_batch("ROLLBACK");
        self.in_transaction = !self.db.is_autocommit();
        let second = u32::try_from(clock::wall_ns() / 1_000_000_000).unwrap_or(u32::MAX);
        for (probe, n) in std::mem::take(&mut self.uncommitted) {
            *self.losses.entry((probe, -1, second, "disk_full")).or_default() += n;
            self.lost += n;
            self.progress.rows.fetch_sub(n, Ordering::Relaxed);
        }
        self.n_uncommitted = 0;
    }

    fn begin(&mut self) -> rusqlite::Result<()> {
        if !self.in_transaction {
            self.db.execute_batch("BEGIN")?;
            self.in_transaction = true;
            self.opened = Instant::now();
        }
        Ok(())
    }

    fn commit(&mut self) -> rusqlite::Result<()> {
        if self.full {
            return Ok(());
        }
        self.begin()?;
        let closed = clock::wall_ns() - 10_000_000_000;
        let buckets = self.aggregates.take_closed(closed);
        self.write_aggregates(&buckets)?;
        self.write_losses()?;
        self.write_threads()?;
        self.db.execute_batch("COMMIT")?;
        self.in_transaction = false;
        self.uncommitted.clear();
        self.n_uncommitted = 0;
        Ok(())
    }

    fn store(&mut self, message: Message) -> rusqlite::Result<()> {
        match message {
            Message::Chunk(bytes) => return self.chunk(&bytes),
            Message::Losses(losses) => {
                for l in losses {
                    self.lost += l.lost;
                    self.sched_lost |= l.probe == "sched";
                    *self.losses.entry((l.probe, l.cpu, l.second, l.reason)).or_default() += l.lost;
                }
                return Ok(());
            }
            Message::Threads(threads) => {
                for t in threads {
                    self.processes.seed(t);
                }
            }
            Message::Aggregates(aggs) => self.kernel_aggregates(&aggs)?,
            Message::Histograms(hists) => self.histograms(&hists)?,
            Message::OffCpu(threads) => {
                for s in threads {
                    self.begin()?;
                    self.sched(&s)?;
                }
            }
            Message::OpenCalls(calls) => {
                self.begin()?;
                self.db.execute("DELETE FROM open_calls WHERE how='open'", [])?;
                for c in calls {
                    self.open_call(&c)?;
                }
            }
            Message::Started(at) => {
                self.begin()?;
                self.db.execute("UPDATE sessions SET started_at=?1", [at])?;
                self.session.started_at = at;
            }
            Message::Probes(probes) => {
                for p in probes {
                    self.begin()?;
                    insert_probe(&self.db, &p)?;
                    self.probes.insert((p.name.clone(), p.target.clone()), p);
                }
            }
            Message::Fact(key, value) => {
                self.begin()?;
                insert_fact(&self.db, &key, &value)?;
                self.session.facts.insert(key, value);
            }
            Message::Offset(o) => self.offset(o),
            Message::Snapshot(s) => {
                self.begin()?;
                self.db
                    .prepare_cached(
                        "INSERT OR IGNORE INTO system_snapshots(timestamp,cpu_pct,mem_pct,\
                         mem_avail,swap_mb,load_avg) VALUES(?1,?2,?3,?4,?5,?6)",
                    )?
                    .execute(params![
                        s.timestamp,
                        s.cpu_pct,
                        s.mem_pct,
                        s.mem_avail,
                        s.swap_mb,
                        s.load_avg
                    ])?;
            }
            Message::Cgroups(rows) => {
                for c in rows {
                    self.begin()?;
                    self.db
                        .prepare_cached(
                            "INSERT OR IGNORE INTO cgroup_cpu(timestamp,cgroup_path,usage_us,\
                             nr_periods,nr_throttled,throttled_us) VALUES(?1,?2,?3,?4,?5,?6)",
                        )?
                        .execute(params![
                            c.timestamp,
                            c.path,
                            c.usage_us,
                            c.nr_periods,
                            c.nr_throttled,
                            c.throttled_us
                        ])?;
                }
            }
            Message::Annotation(a) => {
                self.begin()?;
                self.annotation(&a)?;
            }
        }
        Ok(())
    }

    fn annotation(&mut self, annotation: &Annotation) -> rusqlite::Result<()> {
        match annotation {
            Annotation::Label {
                timestamp,
                labels,
                pid,
                start_time,
                span,
                peer,
            } => self
                .db
                .prepare_cached(
                    "INSERT INTO annotations(timestamp,labels,pid,start_time,span_start,span_end,\
                     peer_uid,peer_gid,peer_pid) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
                )?
                .execute(params![
                    timestamp, labels, pid, start_time, span.0, span.1, peer.0, peer.1, peer.2
                ])?,
            Annotation::Truth {
                kind,
                rule,
                pid,
                tid,
                span,
                value,
                note,
            } => self
                .db
                .prepare_cached(
                    "INSERT INTO truth(kind,rule,pid,tid,start_ns,end_ns,value,note) \
                     VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
                )?
                .execute(params![kind, rule, pid, tid, span.0, span.1, value, note])?,
        };
        Ok(())
    }

    fn offset(&mut self, o: Offset) {
        let _ = self.db.execute(
            "INSERT OR IGNORE INTO clock_offsets(timestamp,offset_ns,error_ns,wall_error_ns) VALUES(?1,?2,?3,?4)",
            params![o.at_ns, o.offset_ns, o.error_ns, o.wall_error_ns],
        );
        self.offsets.push(o);
    }

    fn chunk(&mut self, bytes: &[u8]) -> rusqlite::Result<()> {
        let mut rest = bytes;
        let mut result = Ok(());
        while let Some((len, body)) = rest.split_first_chunk::<4>() {
            let len = usize::try_from(u32::from_ne_bytes(*len)).unwrap_or(usize::MAX);
            let Some(record) = body.get(..len) else { break };
            rest = &body[len..];
            let Some(record) = crate::abi::decode(record) else {
                self.undecoded += 1;
                continue;
            };
            if self.full {
                self.lose_on_full_disk(&record);
                continue;
            }
            result = self.begin().and_then(|()| self.record(&record));
            if result.is_err() {
                self.lose_on_full_disk(&record);
                self.check(std::mem::replace(&mut result, Ok(())));
            } else {
                self.commit_if_due();
            }
        }
        result
    }

    fn lose_on_full_disk(&mut self, record: &Record) {
        let (probe, ns) = match record {
            Record::Call(c) => (probe_of(c.source, c.op), c.start_ns),
            Record::Nccl(n) => ("nccl", n.call.start_ns),
            Record::Sched(s) => ("sched", s.end_ns),
            Record::Task(t) => ("process", t.ts_ns),
            Record::Xid(x) => ("xid", x.ts_ns),
            Record::Open(o) => (probe_of(o.nccl.call.source, o.nccl.call.op), o.nccl.call.start_ns),
            Record::Mapped { .. } => return,
        };
        let second = u32::try_from(self.wall(ns) / 1_000_000_000).unwrap_or(u32::MAX);
        *self.losses.entry((probe, -1, second, "disk_full")).or_default() += 1;
        self.lost += 1;
        self.sched_lost |= probe == "sched";
    }

    /// Monotonic to wall time.
    fn wall(&self, ns: u64) -> i64 {
        ns.cast_signed().wrapping_add(self.offset_ns)
    }

    fn record(&mut self, record: &Record) -> rusqlite::Result<()> {
        match record {
            Record::Call(c) => self.call(c).map(|_| ()),
            Record::Nccl(n) => self.nccl(n),
            Record::Sched(s) => self.sched(s),
            Record::Task(t) => self.task(t),
            Record::Xid(x) => self.xid(x),
            Record::Open(o) => self.open_call(o),
            Record::Mapped { .. } => Ok(()),
        }
    }

    fn call(&mut self, c: &Call) -> rusqlite::Result<i64> {
        let ends = matches!(c.source, 5 | 7);
        let at = self.wall(if ends {
            c.start_ns.wrapping_add(c.dur_ns)
        } else {
            c.start_ns
        });
        let seq = self.event(&Row {
            at,
            pid: c.pid,
            tid: c.tid,
            source: c.source,
            op: c.op,
            dur: c.dur_ns,
            arg0: c.arg0,
            arg1: c.arg1,
            ret: c.ret,
        })?;
        if c.stream != 0 || c.handle != 0 {
            self.db
                .prepare_cached("INSERT INTO call_details(event,stream,handle) VALUES(?1,?2,?3)")?
                .execute(params![seq, c.stream.cast_signed(), c.handle.cast_signed()])?;
        }
        Ok(seq)
    }

    fn nccl(&mut self, n: &Nccl) -> rusqlite::Result<()> {
        let (count, comm) = (n.call.arg0, n.call.arg1);
        let collective = n.seq != 0;
        let bytes = if collective {
            count.wrapping_mul(dtype_bytes(n.dtype))
        } else {
            0
        };
        // The row holds bytes and communicator; count and type go to the detail table.
        let call = Call {
            arg0: bytes,
            handle: 0,
            ..n.call
        };
        let seq = self.call(&call)?;
        self.db
            .prepare_cached(
                "INSERT INTO nccl_calls(event,comm,seq,count,dtype,bytes,peer,rank,nranks,comm_id) \
                 VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
            )?
            .execute(params![
                seq,
                comm.cast_signed(),
                n.seq.cast_signed(),
                if collective { count.cast_signed() } else { 0 },
                n.dtype,
                bytes.cast_signed(),
                n.peer,
                n.rank,
                n.nranks,
                n.comm_id.cast_signed()
            ])?;
        Ok(())
    }

    fn open_call(&mut self, o: &OpenCall) -> rusqlite::Result<()> {
        let (n, c) = (&o.nccl, &o.nccl.call);
        let collective = n.seq != 0;
        let bytes = c.arg0.wrapping_mul(dtype_bytes(n.dtype));
        self.db
            .prepare_cached(
                "INSERT OR REPLACE INTO open_calls(pid,tid,source,op,start_ns,seen_ns,how,depth,arg0,arg1,\
                 stream,handle,seq,peer,rank,nranks,comm_id) \
                 VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)",
            )?
            .execute(params![
                c.pid,
                c.tid,
                c.source,
                c.op,
                self.wall(c.start_ns),
                self.wall(c.start_ns.wrapping_add(c.dur_ns)),
                if o.exited { "exit" } else { "open" },
                o.depth,
                if collective { bytes } else { c.arg0 }.cast_signed(),
                c.arg1.cast_signed(),
                c.stream.cast_signed(),
                if collective { 0 } else { c.handle.cast_signed() },
                n.seq.cast_signed(),
                n.peer,
                n.rank,
                n.nranks,
                n.comm_id.cast_signed()
            ])?;
        Ok(())
    }

    fn sched(&mut self, s: &Sched) -> rusqlite::Result<()> {
        let seq = self.event(&Row {
            at: self.wall(s.end_ns),
            pid: s.tid,
            tid: s.tid,
            source: 3,
            op: 1,
            dur: s.dur_ns,
            arg0: 0,
            arg1: u64::from(s.prev),
            ret: 0,
        })?;
        let woken = if s.woken_ns == 0 { 0 } else { self.wall(s.woken_ns) };
        self.db
            .prepare_cached(
                "INSERT INTO sched_details(event,state,cpu,woken_at,waker,preemptor) \
                 VALUES(?1,?2,?3,?4,?5,?6)",
            )?
            .execute(params![seq, s.state, s.cpu, woken, s.waker, s.preemptor])?;
        Ok(())
    }

    fn task(&mut self, t: &Task) -> rusqlite::Result<()> {
        let at = self.wall(t.ts_ns);
        let (op, arg1) = match t.what {
            TaskWhat::Exec => (5, 0),
            TaskWhat::Exit => (6, 0),
            TaskWhat::Fork => (7, t.child_tid),
            TaskWhat::Rename => {
                self.processes.rename(t);
                return Ok(());
            }
        };
        if t.what == TaskWhat::Exec {
            self.processes.exec(t, at);
        }
        self.event(&Row {
            at,
            pid: t.pid,
            tid: t.tid,
            source: 3,
            op,
            dur: 0,
            arg0: 0,
            arg1: u64::from(arg1),
            ret: 0,
        })?;
        match t.what {
            TaskWhat::Fork => self.processes.fork(t, at),
            TaskWhat::Exit => self.processes.exit(t, at),
            TaskWhat::Exec | TaskWhat::Rename => {}
        }
        Ok(())
    }

    fn xid(&mut self, x: &Xid) -> rusqlite::Result<()> {
        let at = self.wall(x.ts_ns);
        self.db
            .prepare_cached("INSERT INTO xids(timestamp,device,xid,message) VALUES(?1,?2,?3,?4)")?
            .execute(params![at, x.device, x.xid, x.message])?;
        self.event(&Row {
            at,
            pid: 0,
            tid: 0,
            source: 2,
            op: 1,
            dur: 0,
            arg0: u64::from(x.xid),
            arg1: 0,
            ret: 0,
        })?;
        Ok(())
    }

    /// Inserts a row of `events`; its number.
    fn event(&mut self, row: &Row) -> rusqlite::Result<i64> {
        use std::fmt::Write;
        self.seq += 1;
        self.id.truncate(self.id_prefix);
        let _ = write!(self.id, "{}", self.seq);
        // A sched row names the thread in both columns; its process is looked up by thread.
        let about = self.processes.about(row.pid, row.tid);
        self.db
            .prepare_cached(
                "INSERT INTO events(rowid,id,timestamp,pid,tid,source,op,duration,arg0,arg1,\
                 ret_code,node,rank,local_rank,world_size,comm,cgroup_id) \
                 VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)",
            )?
            .execute(params![
                self.seq,
                self.id,
                row.at,
                row.pid,
                row.tid,
                row.source,
                row.op,
                row.dur.cast_signed(),
                row.arg0.cast_signed(),
                row.arg1.cast_signed(),
                row.ret,
                self.session.node,
                about.ranks[0],
                about.ranks[1],
                about.ranks[2],
                about.comm,
                about.cgroup_id
            ])?;
        self.aggregates
            .add(row.at, row.source, row.op, row.pid, row.dur, row.arg0);
        *self.uncommitted.entry(probe_of(row.source, row.op)).or_default() += 1;
        self.n_uncommitted += 1;
        self.progress.rows.fetch_add(1, Ordering::Relaxed);
        Ok(self.seq)
    }

    fn kernel_aggregates(&mut self, aggs: &[Agg]) -> rusqlite::Result<()> {
        self.begin()?;
        let buckets: Vec<_> = aggs.iter().map(Bucket::from).collect();
        self.write_aggregates(&buckets)?;
        for a in aggs.iter().filter(|a| (a.source, a.op) == (3, 3)) {
            self.db
                .prepare_cached(
                    "INSERT INTO page_allocs(bucket,pid,ord,count) VALUES(?1,?2,?3,?4) \
                     ON CONFLICT DO UPDATE SET count=count+excluded.count",
                )?
                .execute(params![
                    i64::from(a.bucket) * 5_000_000_000,
                    a.pid,
                    a.order,
                    a.count.cast_signed()
                ])?;
        }
        Ok(())
    }

    fn histograms(&mut self, hists: &[Hist]) -> rusqlite::Result<()> {
        self.begin()?;
        for h in hists {
            self.db
                .prepare_cached(
                    "INSERT INTO recording_histograms(bucket,source,op,pid,slot,count) \
                     VALUES(?1,?2,?3,?4,?5,?6) \
                     ON CONFLICT DO UPDATE SET count=count+excluded.count",
                )?
                .execute(params![
                    i64::from(h.bucket) * 5_000_000_000,
                    h.source,
                    h.op,
                    h.pid,
                    h.slot,
                    h.count.cast_signed()
                ])?;
        }
        Ok(())
    }

    fn write_aggregates(&self, buckets: &[Bucket]) -> rusqlite::Result<()> {
        for (table, width) in [
            ("event_aggregates_5s", 5_000_000_000),
            ("event_aggregates", 60_000_000_000i64),
        ] {
            let mut insert = self.db.prepare_cached(&format!(
                "INSERT INTO {table}(bucket,source,op,pid,count,stored,sum_dur,min_dur,max_dur,\
                 sum_arg0) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10) ON CONFLICT DO UPDATE SET \
                 count=count+excluded.count,stored=stored+excluded.stored,\
                 sum_dur=sum_dur+excluded.sum_dur,min_dur=min(min_dur,excluded.min_dur),\
                 max_dur=max(max_dur,excluded.max_dur),sum_arg0=sum_arg0+excluded.sum_arg0"
            ))?;
            for b in buckets {
                insert.execute(params![
                    b.start_ns - b.start_ns % width,
                    b.source,
                    b.op,
                    b.pid,
                    b.count.cast_signed(),
                    b.stored.cast_signed(),
                    b.sum_dur.cast_signed(),
                    b.min_dur.cast_signed(),
                    b.max_dur.cast_signed(),
                    b.sum_arg0.cast_signed()
                ])?;
            }
        }
        Ok(())
    }

    fn write_losses(&mut self) -> rusqlite::Result<()> {
        for ((probe, cpu, second, reason), lost) in &self.losses {
            self.db
                .prepare_cached(
                    "INSERT INTO recording_losses(probe,cpu,bucket,lost,reason) \
                     VALUES(?1,?2,?3,?4,?5) ON CONFLICT DO UPDATE SET lost=lost+excluded.lost",
                )?
                .execute(params![
                    probe,
                    cpu,
                    i64::from(*second) * 1_000_000_000,
                    lost.cast_signed(),
                    reason
                ])?;
        }
        self.losses.clear();
        Ok(())
    }

    fn write_threads(&mut self) -> rusqlite::Result<()> {
        let now = clock::wall_ns();
        for t in self.processes.take_changed() {
            self.db
                .prepare_cached(
                    "INSERT OR REPLACE INTO tasks(tid,pid,ppid,comm,start_ns,exit_ns,traced) \
                     VALUES(?1,?2,?3,?4,?5,?6,?7)",
                )?
                .execute(params![t.tid, t.pid, t.ppid, t.comm, t.start_ns, t.exit_ns, t.traced])?;
            if !t.comm.is_empty() {
                self.db
                    .prepare_cached("INSERT OR REPLACE INTO process_names(pid,name,seen_at) VALUES(?1,?2,?3)")?
                    .execute(params![t.tid, t.comm, now])?;
            }
        }
        for c in self.processes.take_new_cgroups() {
            self.db
                .prepare_cached(
                    "INSERT OR IGNORE INTO cgroup_metadata(cgroup_id,container_id,cgroup_path) \
                     VALUES(?1,?2,?3)",
                )?
                .execute(params![c.id, c.container_id, c.path])?;
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        let pages: i64 = self
            .db
            .query_row("PRAGMA page_count", [], |r| r.get(0))
            .unwrap_or_default();
        u64::try_from(pages).unwrap_or(0) * 4096
    }

    /// Closes the file as it stands and gives it its rolled name; goes on in a new one.
    fn rotate(&mut self) {
        let result = self.close();
        self.check(result);
        let rolled = rolled_name(&self.path, clock::wall_ns(), self.seq);
        let fresh = Connection::open_in_memory().and_then(|nothing| {
            // Closing the connection takes the -wal file with it.
            drop(std::mem::replace(&mut self.db, nothing));
            fs::rename(&self.path, &rolled).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
            open(&self.path, &self.session)
        });
        match fresh {
            Ok(db) => self.db = db,
            Err(e) => return self.check(Err(e)),
        }
        self.rolled.push(rolled);
        if self.rotation.max_files > 0 {
            while self.rolled.len() > self.rotation.max_files {
                let _ = remove_database(&self.rolled.remove(0));
            }
        }
        self.in_transaction = false;
        self.processes.mark_all_changed();
        let offset = self.offsets.last().copied();
        self.offsets.clear();
        if let Some(o) = offset {
            self.offset(o);
        }
        let result = (|| {
            self.begin()?;
            for p in self.probes.values() {
                insert_probe(&self.db, p)?;
            }
            self.commit()
        })();
        self.check(result);
    }

    /// Everything that is still in memory goes to the file; indexes; one file on disk.
    fn close(&mut self) -> rusqlite::Result<()> {
        if self.sched_lost {
            self.processes.mark_untraced();
        }
        self.begin()?;
        let buckets = self.aggregates.take_closed(i64::MAX);
        self.write_aggregates(&buckets)?;
        self.write_losses()?;
        self.write_threads()?;
        self.db
            .execute("UPDATE sessions SET stopped_at=?1", [clock::wall_ns()])?;
        for (key, value) in &self.session.facts {
            insert_fact(&self.db, key, value)?;
        }
        self.db.execute_batch("COMMIT")?;
        self.in_transaction = false;
        self.uncommitted.clear();
        self.n_uncommitted = 0;
        let indexed = self.db.execute_batch(INDEXES);
        self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        // Without room for the indexes the trace is complete all the same.
        match indexed {
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::DiskFull) => Ok(()),
            other => other,
        }
    }

    /// Ends the recording. `stopped_by` says why, for the key of that name.
    ///
    /// # Errors
    /// If the last rows could not be written; those before are safe.
    pub fn finish(mut self, stopped_by: &str) -> Result<Summary, RecorderError> {
        let _ = fs::remove_file(self.ballast());
        let disk_full = self.full;
        self.full = false;
        if self.undecoded > 0 {
            let n = self.undecoded.to_string();
            self.session.facts.insert("undecoded_records".to_owned(), n);
        }
        self.session
            .facts
            .entry("stopped_by".to_owned())
            .or_insert_with(|| stopped_by.to_owned());
        let closed = self.close();
        let bytes = self.size();
        let mut files = self.rolled;
        files.push(self.path.clone());
        let rows = self.progress.rows.load(Ordering::Relaxed);
        drop(self.db);
        closed.map_err(|e| RecorderError::Output {
            path: self.path,
            reason: e.to_string(),
        })?;
        Ok(Summary {
            rows,
            lost: self.lost,
            disk_full,
            files,
            bytes,
        })
    }
}

/// The columns of an `events` row that differ from event to event.
struct Row {
    at: i64,
    pid: u32,
    tid: u32,
    source: u8,
    op: u8,
    dur: u64,
    arg0: u64,
    arg1: u64,
    ret: i32,
}

fn open(path: &Path, session: &Session) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.execute_batch("PRAGMA page_size=4096; PRAGMA auto_vacuum=2;")?;
    db.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
    // WAL with NORMAL loses nothing when the program dies; only a power cut can cost the last
    // commits, never the file.
    db.execute_batch("PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=1000;")?;
    db.set_prepared_statement_cache_capacity(64);
    db.execute_batch("BEGIN")?;
    db.execute_batch(SCHEMA)?;
    db.execute_batch(OPS)?;
    db.execute(
        "INSERT INTO sessions(started_at,gpu_model,gpu_driver,cpu_model,cpu_cores,mem_total,kernel,\
         os_release,cuda_ver,python_ver,ingero_ver,pid_filter,flags,node) \
         VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
        params![
            session.started_at,
            session.gpu_model,
            session.gpu_driver,
            session.cpu_model,
            session.cpu_cores,
            session.mem_total,
            session.kernel,
            session.os_release,
            session.cuda_ver,
            session.python_ver,
            env!("CARGO_PKG_VERSION"),
            session.pid_filter,
            session.flags,
            session.node
        ],
    )?;
    for (key, value) in &session.facts {
        insert_fact(&db, key, value)?;
    }
    for (source, op, min) in &session.thresholds {
        db.execute(
            "INSERT INTO recording_thresholds(source,op,min_dur,since) VALUES(?1,?2,?3,?4)",
            params![source, op, min.cast_signed(), session.started_at],
        )?;
    }
    db.execute_batch("COMMIT")?;
    Ok(db)
}

fn insert_fact(db: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO recording(key,value) VALUES(?1,?2)")?
        .execute([key, value])?;
    Ok(())
}

fn insert_probe(db: &Connection, p: &Probe) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO recording_probes(probe,target,status,reason) VALUES(?1,?2,?3,?4)")?
        .execute([p.name.as_str(), &p.target, p.status, &p.reason])?;
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn remove_database(path: &Path) -> std::io::Result<()> {
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(beside(path, suffix));
    }
    fs::remove_file(path)
}

/// `<stem>.<UTC yyyymmddThhmmss.nnnnnnnnnZ>-<8 hex>.db`
fn rolled_name(path: &Path, wall_ns: i64, salt: i64) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (secs, nanos) = (wall_ns.div_euclid(1_000_000_000), wall_ns.rem_euclid(1_000_000_000));
    let (days, of_day) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    let (y, m, d) = civil(days);
    let (hh, mm, ss) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let tag = (salt ^ (i64::from(std::process::id()) << 16)) & 0xffff_ffff;
    path.with_file_name(format!(
        "{stem}.{y:04}{m:02}{d:02}T{hh:02}{mm:02}{ss:02}.{nanos:09}Z-{tag:08x}.db"
    ))
}

/// Year, month and day of a number of days since 1970 (Howard Hinnant's algorithm).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (
        yoe + era * 400 + i64::from(month <= 2),
        month,
        doy - (153 * mp + 2) / 5 + 1,
    )
}

/// Size of an element of `ncclDataType_t`.
fn dtype_bytes(dtype: i32) -> u64 {
    match dtype {
        0 | 1 | 10 | 11 => 1,
        6 | 9 => 2,
        2 | 3 | 7 => 4,
        4 | 5 | 8 => 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
