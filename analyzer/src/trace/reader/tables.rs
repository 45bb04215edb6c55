//! The small tables: everything but `events`. Columns that a file lacks have their defaults.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::{FromSql, FromSqlError, ValueRef};

use super::columns::FIVE_SECONDS;
use super::scan::type_name;
use super::schema::Schema;
use crate::trace::catalogue::{Op, told_by_xids};
use crate::trace::error::TraceError;
use crate::trace::model::{Loss, Snapshot, StoredChain, Truth};
use crate::unit::{Interval, SEC, US};

/// A row whose values are checked.
pub(crate) struct Checked<'a, 'b> {
    row: &'a rusqlite::Row<'b>,
    path: &'a Path,
    table: &'a str,
}

impl Checked<'_, '_> {
    fn get<T: FromSql>(&self, i: usize, expected: &'static str) -> Result<T, TraceError> {
        let value = self.row.get_ref(i).map_err(|e| TraceError::from_sql(self.path, &e))?;
        T::column_result(value).map_err(|e| TraceError::WrongType {
            path: self.path.to_path_buf(),
            table: self.table.into(),
            row: 0,
            column: self.row.as_ref().column_name(i).unwrap_or("").to_owned(),
            expected,
            found: match e {
                FromSqlError::InvalidType => type_name(value.data_type()).into(),
                other => other.to_string(),
            },
        })
    }

    /// An integer.
    pub(crate) fn int(&self, i: usize) -> Result<i64, TraceError> {
        self.get(i, "an integer")
    }

    /// A count; negative ones are 0.
    fn count(&self, i: usize) -> Result<u64, TraceError> {
        Ok(u64::try_from(self.int(i)?).unwrap_or(0))
    }

    /// A text. Bytes that are not UTF-8 are replaced, and nothing is the empty text.
    pub(crate) fn text(&self, i: usize) -> Result<String, TraceError> {
        match self.row.get_ref(i).map_err(|e| TraceError::from_sql(self.path, &e))? {
            ValueRef::Text(t) => Ok(String::from_utf8_lossy(t).into_owned()),
            ValueRef::Null => Ok(String::new()),
            _ => self.get(i, "text"),
        }
    }

    /// A number in thousandths.
    #[expect(clippy::cast_possible_truncation, reason = "clamped; a percentage or a load")]
    fn milli(&self, i: usize) -> Result<i64, TraceError> {
        let v: f64 = self.get(i, "a number")?;
        Ok(if v.is_finite() {
            (v.clamp(-1e12, 1e12) * 1000.0).round() as i64
        } else {
            0
        })
    }
}

/// Runs a query and hands over its rows.
pub(crate) fn each(
    conn: &Connection,
    path: &Path,
    table: &str,
    text: &str,
    mut row_fn: impl FnMut(&Checked<'_, '_>) -> Result<(), TraceError>,
) -> Result<(), TraceError> {
    let sql = |e: rusqlite::Error| TraceError::from_sql(path, &e);
    let mut stmt = conn.prepare(text).map_err(sql)?;
    let mut rows = stmt.query([]).map_err(sql)?;
    while let Some(row) = rows.next().map_err(sql)? {
        row_fn(&Checked { row, path, table })?;
    }
    Ok(())
}

/// A row of `sessions`.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) node: String,
    pub(crate) start: i64,
    /// 0: never closed.
    pub(crate) stop: i64,
    pub(crate) cores: i64,
    pub(crate) record_all: bool,
}

/// A row of an aggregate table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aggregate {
    pub(crate) bucket: i64,
    pub(crate) count: u64,
    pub(crate) stored: u64,
    pub(crate) sum: i64,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) arg0: i64,
}

/// Aggregates by (pid, op): one-minute and five-second buckets, by time.
pub(crate) type Aggregates = BTreeMap<(i64, Op), [Vec<Aggregate>; 2]>;

/// Lengths of the buckets of [`Aggregates`].
pub(crate) const BUCKET_LEN: [i64; 2] = [12 * FIVE_SECONDS, FIVE_SECONDS];

/// A row of `tasks`.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) tid: i64,
    pub(crate) pid: i64,
    pub(crate) ppid: i64,
    pub(crate) comm: String,
    /// 0: older than the recording.
    pub(crate) start: i64,
    /// 0: alive at the end.
    pub(crate) exit: i64,
    pub(crate) traced: bool,
}

/// A row of `annotations`.
#[derive(Clone, Debug)]
pub(crate) struct Annotation {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) pid: i64,
    pub(crate) timestamp: i64,
    /// `None` for an instant.
    pub(crate) span: Option<Interval>,
}

/// A row of `xids`.
#[derive(Clone, Debug)]
pub(crate) struct Xid {
    pub(crate) at: i64,
    pub(crate) number: i64,
    pub(crate) message: String,
}

/// A row of `open_calls`: a call that lies in no other open call of its thread.
#[derive(Clone, Debug)]
pub(crate) struct OpenCall {
    pub(crate) pid: i64,
    pub(crate) tid: i64,
    pub(crate) op: Op,
    /// From its begin to when it was last seen.
    pub(crate) when: Interval,
}

/// A row of `cgroup_cpu`.
#[derive(Clone, Debug)]
pub(crate) struct CgroupCpu {
    pub(crate) at: i64,
    pub(crate) path: String,
    /// Since the cgroup exists, summed over CPUs, ns.
    pub(crate) throttled: i64,
}

/// Everything but events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    pub(crate) sessions: Vec<Session>,
    pub(crate) aggregates: Aggregates,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) names: BTreeMap<i64, String>,
    pub(crate) chains: Vec<StoredChain>,
    pub(crate) annotations: Vec<Annotation>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) recording: BTreeMap<String, String>,
    pub(crate) losses: Option<Vec<Loss>>,
    pub(crate) thresholds: Vec<(Op, i64, i64)>,
    /// (source, probe, status, reason); `None` where the file does not list them.
    pub(crate) probes: Option<Vec<Probe>>,
    pub(crate) xids: Option<Vec<Xid>>,
    pub(crate) open_calls: Option<Vec<OpenCall>>,
    /// By time.
    pub(crate) cgroup_cpu: Vec<CgroupCpu>,
    /// Paths of cgroups by id.
    pub(crate) cgroups: BTreeMap<i64, String>,
    pub(crate) truth: Vec<Truth>,
    pub(crate) slice: Option<Slice>,
    pub(crate) notes: Vec<String>,
}

/// What `slices` says of a file that is a part of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    /// What all cuts have left.
    pub(crate) window: Interval,
    /// Rows of the original.
    pub(crate) before: u64,
    /// Rows of this file when it was cut.
    pub(crate) kept: u64,
}

/// A row of `recording_probes`.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) name: String,
    pub(crate) attached: bool,
    pub(crate) reason: String,
}

impl Tables {
    pub(crate) fn read(conn: &Connection, path: &Path, schema: &Schema, file: usize) -> Result<Self, TraceError> {
        let mut t = Self::default();
        let read = |table: &str, text: &str, f: &mut dyn FnMut(&Checked<'_, '_>) -> Result<(), TraceError>| {
            if schema.table(table) {
                each(conn, path, table, text, f)
            } else {
                Ok(())
            }
        };
        let or = |table, column, default| schema.or(table, column, default);

        read(
            "sessions",
            &format!(
                "SELECT {}, started_at, stopped_at, {}, {} FROM {} ORDER BY started_at, id",
                or("sessions", "node", "''"),
                or("sessions", "cpu_cores", "0"),
                or("sessions", "flags", "''"),
                schema.from("sessions")
            ),
            &mut |r| {
                t.sessions.push(Session {
                    node: r.text(0)?,
                    start: r.int(1)?,
                    stop: r.int(2)?,
                    cores: r.int(3)?,
                    record_all: r.text(4)?.split(',').any(|f| f.trim() == "record-all"),
                });
                Ok(())
            },
        )?;
        for (which, table) in ["event_aggregates", "event_aggregates_5s"].into_iter().enumerate() {
            let mut unknown = 0_u64;
            read(
                table,
                &format!(
                    "SELECT bucket, source, op, {}, count, {}, sum_dur, min_dur, max_dur, {} FROM {} \
                     ORDER BY bucket, source, op, pid",
                    or(table, "pid", "0"),
                    or(table, "stored", "0"),
                    or(table, "sum_arg0", "0"),
                    schema.from(table)
                ),
                &mut |r| {
                    let (source, op) = (r.int(1)?, r.int(2)?);
                    let Some(op) = Op::by_ids(source, op) else {
                        unknown += u64::from(!told_by_xids(source, op));
                        return Ok(());
                    };
                    t.aggregates.entry((r.int(3)?, op)).or_default()[which].push(Aggregate {
                        bucket: r.int(0)?,
                        count: r.count(4)?,
                        stored: r.count(5)?,
                        sum: r.int(6)?,
                        min: r.int(7)?,
                        max: r.int(8)?,
                        arg0: r.int(9)?,
                    });
                    Ok(())
                },
            )?;
            if unknown > 0 {
                t.notes.push(format!(
                    "{unknown} rows of {table} are of unknown operations and were left out"
                ));
            }
        }
        read(
            "system_snapshots",
            &format!(
                "SELECT timestamp, cpu_pct, mem_pct, mem_avail, swap_mb, load_avg FROM {} \
             ORDER BY timestamp",
                schema.from("system_snapshots")
            ),
            &mut |r| {
                let cpu = r.milli(1)?;
                t.snapshots.push(Snapshot {
                    at: r.int(0)?,
                    // The first reading has nothing to compare with and is always 0.
                    cpu_milli_pct: (cpu != 0 || !t.snapshots.is_empty()).then_some(cpu),
                    mem_milli_pct: r.milli(2)?,
                    mem_avail: r.int(3)?.saturating_mul(1 << 20),
                    swap: r.int(4)?.saturating_mul(1 << 20),
                    load_milli: r.milli(5)?,
                });
                Ok(())
            },
        )?;
        read(
            "process_names",
            &format!("SELECT pid, name FROM {}", schema.from("process_names")),
            &mut |r| {
                t.names.insert(r.int(0)?, r.text(1)?);
                Ok(())
            },
        )?;
        read(
            "causal_chains",
            &format!(
                "SELECT id, detected_at, severity, summary, root_cause, {}, {} FROM {} \
                 ORDER BY detected_at, id",
                or("causal_chains", "cuda_op", "''"),
                or("causal_chains", "node", "''"),
                schema.from("causal_chains")
            ),
            &mut |r| {
                t.chains.push(StoredChain {
                    file,
                    id: r.text(0)?,
                    detected_at: r.int(1)?,
                    severity: r.text(2)?,
                    summary: r.text(3)?,
                    root_cause: r.text(4)?,
                    cuda_op: r.text(5)?,
                    node: r.text(6)?,
                    repeats: 1,
                });
                Ok(())
            },
        )?;
        t.chains = distinct(std::mem::take(&mut t.chains));
        let mut bad_labels = 0_u64;
        read(
            "annotations",
            &format!(
                "SELECT timestamp, labels, pid, span_start, span_end FROM {} ORDER BY timestamp, id",
                schema.from("annotations")
            ),
            &mut |r| {
                let (start, end) = (r.int(3)?, r.int(4)?);
                match serde_json::from_str(&r.text(1)?) {
                    Ok(labels) => t.annotations.push(Annotation {
                        labels,
                        pid: r.int(2)?,
                        timestamp: r.int(0)?,
                        span: ((start, end) != (0, 0)).then(|| Interval::new(start, end)),
                    }),
                    Err(_) => bad_labels += 1,
                }
                Ok(())
            },
        )?;
        if bad_labels > 0 {
            t.notes.push(format!(
                "{bad_labels} annotations whose labels are not texts were left out"
            ));
        }
        t.read_ours(conn, path, schema, file)?;
        Ok(t)
    }

    fn read_ours(&mut self, conn: &Connection, path: &Path, schema: &Schema, file: usize) -> Result<(), TraceError> {
        let read = |table: &str, text: &str, f: &mut dyn FnMut(&Checked<'_, '_>) -> Result<(), TraceError>| {
            if schema.table(table) {
                each(conn, path, table, text, f)
            } else {
                Ok(())
            }
        };
        read(
            "recording",
            &format!("SELECT key, value FROM {}", schema.from("recording")),
            &mut |r| {
                self.recording.insert(r.text(0)?, r.text(1)?);
                Ok(())
            },
        )?;
        read(
            "tasks",
            &format!(
                "SELECT tid, pid, ppid, comm, start_ns, exit_ns, traced FROM {} ORDER BY tid, start_ns",
                schema.from("tasks")
            ),
            &mut |r| {
                self.tasks.push(Task {
                    tid: r.int(0)?,
                    pid: r.int(1)?,
                    ppid: r.int(2)?,
                    comm: r.text(3)?,
                    start: r.int(4)?,
                    exit: r.int(5)?,
                    traced: r.int(6)? != 0,
                });
                Ok(())
            },
        )?;
        if schema.table("recording_losses") {
            let mut losses: BTreeMap<(String, i64, String), u64> = BTreeMap::new();
            read(
                "recording_losses",
                &format!(
                    "SELECT probe, bucket, lost, reason FROM {}",
                    schema.from("recording_losses")
                ),
                &mut |r| {
                    let lost = losses.entry((r.text(0)?, r.int(1)?, r.text(3)?)).or_default();
                    *lost = lost.saturating_add(r.count(2)?);
                    Ok(())
                },
            )?;
            let losses = losses.into_iter().filter(|l| l.1 > 0);
            self.losses = Some(
                losses
                    .map(|((source, at, reason), lost)| Loss {
                        source,
                        when: Interval::new(at, at.saturating_add(SEC)),
                        lost,
                        reason,
                    })
                    .collect(),
            );
        }
        read(
            "recording_thresholds",
            &format!(
                "SELECT source, op, min_dur, since FROM {}",
                schema.from("recording_thresholds")
            ),
            &mut |r| {
                if let Some(op) = Op::by_ids(r.int(0)?, r.int(1)?) {
                    self.thresholds.push((op, r.int(2)?, r.int(3)?));
                }
                Ok(())
            },
        )?;
        self.thresholds.sort_unstable();
        if schema.table("recording_probes") {
            let mut probes = Vec::new();
            read(
                "recording_probes",
                &format!(
                    "SELECT probe, status, reason FROM {} ORDER BY probe, target",
                    schema.from("recording_probes")
                ),
                &mut |r| {
                    let status = r.text(1)?;
                    let reason = r.text(2)?;
                    probes.push(Probe {
                        name: r.text(0)?,
                        attached: status == "attached",
                        reason: if reason.is_empty() { status } else { reason },
                    });
                    Ok(())
                },
            )?;
            // A table without rows lists nothing, so it proves nothing.
            self.probes = (!probes.is_empty()).then_some(probes);
        }
        if schema.table("xids") {
            let mut xids = Vec::new();
            read(
                "xids",
                &format!(
                    "SELECT timestamp, xid, message FROM {} ORDER BY timestamp, rowid",
                    schema.from("xids")
                ),
                &mut |r| {
                    xids.push(Xid {
                        at: r.int(0)?,
                        number: r.int(1)?,
                        message: r.text(2)?,
                    });
                    Ok(())
                },
            )?;
            self.xids = Some(xids);
        }
        if schema.table("open_calls") {
            let mut open = Vec::new();
            read(
                "open_calls",
                &format!(
                    "SELECT pid, tid, source, op, start_ns, seen_ns FROM {} WHERE depth = 0 ORDER BY start_ns, tid",
                    schema.from("open_calls")
                ),
                &mut |r| {
                    if let Some(op) = Op::by_ids(r.int(2)?, r.int(3)?) {
                        let (start, seen) = (r.int(4)?, r.int(5)?);
                        open.push(OpenCall {
                            pid: r.int(0)?,
                            tid: r.int(1)?,
                            op,
                            when: Interval::new(start, seen.max(start)),
                        });
                    }
                    Ok(())
                },
            )?;
            self.open_calls = Some(open);
        }
        read(
            "cgroup_cpu",
            &format!(
                "SELECT timestamp, cgroup_path, throttled_us FROM {} ORDER BY timestamp, cgroup_path",
                schema.from("cgroup_cpu")
            ),
            &mut |r| {
                self.cgroup_cpu.push(CgroupCpu {
                    at: r.int(0)?,
                    path: r.text(1)?,
                    throttled: r.int(2)?.saturating_mul(US),
                });
                Ok(())
            },
        )?;
        if !self.cgroup_cpu.is_empty() {
            read(
                "cgroup_metadata",
                &format!("SELECT cgroup_id, cgroup_path FROM {}", schema.from("cgroup_metadata")),
                &mut |r| {
                    self.cgroups.insert(r.int(0)?, r.text(1)?);
                    Ok(())
                },
            )?;
        }
        read(
            "slices",
            &format!(
                "SELECT from_ns, to_ns, rows_before, rows_kept FROM {} ORDER BY rowid",
                schema.from("slices")
            ),
            &mut |r| {
                let (from, to) = (r.int(0)?, r.int(1)?);
                let first = *self.slice.get_or_insert(Slice {
                    window: Interval::new(from, to.max(from)),
                    before: r.count(2)?,
                    kept: 0,
                });
                let start = first.window.start.max(from);
                self.slice = Some(Slice {
                    window: Interval::new(start, first.window.end.min(to).max(start)),
                    kept: r.count(3)?,
                    ..first
                });
                Ok(())
            },
        )?;
        read(
            "truth",
            &format!(
                "SELECT kind, rule, pid, tid, start_ns, end_ns, value, note FROM {} ORDER BY id",
                schema.from("truth")
            ),
            &mut |r| {
                self.truth.push(Truth {
                    file,
                    kind: r.text(0)?,
                    rule: r.text(1)?,
                    pid: r.int(2)?,
                    tid: r.int(3)?,
                    when: Interval::new(r.int(4)?, r.int(5)?),
                    value: r.int(6)?,
                    note: r.text(7)?,
                });
                Ok(())
            },
        )
    }
}

/// One chain for each finding. Files older than 0.9 repeat a finding every second under new ids and
/// with new numbers in its text, so it is told by its severity and its operation; later files give
/// it an id of its own. The latest wording is kept.
fn distinct(chains: Vec<StoredChain>) -> Vec<StoredChain> {
    let mut by_finding: BTreeMap<(String, String, String, String), StoredChain> = BTreeMap::new();
    for chain in chains {
        let content = chain.id.rsplit(':').next().unwrap_or("");
        let numbered = content
            .strip_prefix("chain-")
            .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
        let content = if numbered { String::new() } else { content.to_owned() };
        let key = (
            chain.node.clone(),
            content,
            chain.severity.clone(),
            chain.cuda_op.clone(),
        );
        let repeats = by_finding.get(&key).map_or(0, |c| c.repeats) + 1;
        by_finding.insert(key, StoredChain { repeats, ..chain });
    }
    let mut out: Vec<StoredChain> = by_finding.into_values().collect();
    out.sort_by(|a, b| (a.detected_at, &a.node, &a.id).cmp(&(b.detected_at, &b.node, &b.id)));
    out
}
