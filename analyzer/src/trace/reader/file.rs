//! One file in memory, before its nodes are joined with those of other files.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use super::Count;
use super::collectives::{self, RawCall};
use super::columns::{RawLane, Tally};
use super::open::Opened;
use super::options::{Needs, ReadOptions};
use super::scan::{self, Access, Details, First, Nodes, RowSource as _, Scanned, SqliteRows};
use super::schema::Schema;
use super::tables::Tables;
use crate::trace::catalogue::{Op, Source};
use crate::trace::derive::collectives::Clock;
use crate::trace::derive::counts::{self, Tallies};
use crate::trace::derive::run_state;
use crate::trace::error::TraceError;
use crate::trace::identity::{At, known};
use crate::trace::model::FileInfo;

/// A file, read.
#[derive(Debug)]
pub(crate) struct RawFile {
    pub(crate) info: FileInfo,
    pub(crate) scanned: Scanned,
    pub(crate) tables: Tables,
    /// Rows by (node, pid, op) and bucket; only where the file has aggregates.
    pub(crate) tallies: BTreeMap<(u16, i64, Op), Tallies>,
    /// Task names of some rows.
    pub(crate) comms: BTreeMap<At, String>,
    /// cgroups of those rows; only where the limits of cgroups were read.
    pub(crate) cgroups: BTreeMap<At, i64>,
    pub(crate) ours: bool,
    /// Whether off-CPU stints know when the thread became runnable, and who ran before.
    pub(crate) run_state: bool,
    pub(crate) preemptor: bool,
    /// By node: the timestamp of the first row of a file that lacks earlier ones, and its number.
    pub(crate) kept_from: BTreeMap<String, (i64, u64)>,
    /// Calls of NCCL across ranks; only where they are needed.
    pub(crate) collectives: Vec<RawCall>,
    pub(crate) clock: Option<Clock>,
}

impl RawFile {
    /// Reads a file; a merged one gives one for each file in it, numbered from `index` on.
    pub(crate) fn read(access: Access<'_>, index: usize, options: &ReadOptions<'_>) -> Result<Vec<Self>, TraceError> {
        let own;
        let (conn, path) = match access {
            Access::File(opened) => {
                own = opened.connect()?;
                // One view of the file for all that follows: where it has locks, this one keeps writers out.
                own.execute_batch("BEGIN")
                    .map_err(|e| TraceError::from_sql(&opened.path, &e))?;
                (&own, opened.path.as_path())
            }
            Access::Connection(conn) => (conn, Path::new("")),
        };
        let threads = match access {
            Access::File(_) => options.worker_count(),
            Access::Connection(_) => 1,
        };
        let parts = Schema::probe(conn, path)?.parts(conn, path)?;
        let one =
            |(i, schema): (usize, &Schema)| Self::read_one(access, conn, path, schema, index + i, threads, options);
        parts.iter().enumerate().map(one).collect()
    }

    /// Adds the rows of a file.
    pub(crate) fn count(opened: &Opened, threads: usize, all: &mut Count) -> Result<(), TraceError> {
        let conn = opened.connect()?;
        let sql = |e| TraceError::from_sql(&opened.path, &e);
        conn.execute_batch("BEGIN").map_err(sql)?;
        let (access, needs) = (Access::File(opened), Needs::nothing());
        for schema in Schema::probe(&conn, &opened.path)?.parts(&conn, &opened.path)? {
            let nodes = Nodes::One(String::new());
            let found = scan::events(access, &conn, &schema, &needs, &nodes, 0, threads, None)?;
            for lane in found.lanes {
                *all.rows.entry(lane.key.op).or_default() += lane.rows;
            }
            let any = |table: &str| {
                let text = format!("SELECT EXISTS (SELECT 1 FROM main.{table})");
                Ok::<bool, TraceError>(schema.table(table) && conn.query_row(&text, [], |r| r.get(0)).map_err(sql)?)
            };
            all.chains |= any("causal_chains")?;
            all.details |= any("sched_details")?;
        }
        Ok(())
    }

    fn read_one(
        access: Access<'_>,
        conn: &Connection,
        path: &Path,
        schema: &Schema,
        index: usize,
        threads: usize,
        options: &ReadOptions<'_>,
    ) -> Result<Self, TraceError> {
        let tables = Tables::read(conn, path, schema, index)?;
        let nodes = scan::nodes(conn, path, schema)?;
        let bounds = match &schema.part {
            Some(part) => part.rows,
            None => SqliteRows { conn, path }.bounds()?,
        };
        let numbering = scan::numbering(conn, path, schema, bounds)?;
        let needs = options.needs.closure();
        let file = super::columns::to_u32(index);
        let mut scanned = scan::events(access, conn, schema, &needs, &nodes, file, threads, options.progress)?;

        let lanes = std::mem::take(&mut scanned.lanes);
        let numbers = numbering.numbers.as_deref();
        scanned.lanes = scan::parallel(threads, lanes, None, |mut lane: RawLane| {
            lane.sort(numbers);
            lane
        });

        let mut out = Self {
            info: FileInfo {
                path: path.to_path_buf(),
                generation: schema.generation(),
                rows: scanned.rows,
                first_row: u64::try_from(scanned.base).unwrap_or(0),
                unknown_rows: scanned.unknown,
                nodes: scanned.nodes.clone(),
                ..FileInfo::default()
            },
            tallies: BTreeMap::new(),
            comms: BTreeMap::new(),
            cgroups: BTreeMap::new(),
            ours: schema.ours(),
            run_state: false,
            preemptor: false,
            kept_from: BTreeMap::new(),
            collectives: Vec::new(),
            clock: None,
            scanned,
            tables,
        };
        out.info.notes.append(&mut out.tables.notes);
        if out.info.unknown_rows > 0 {
            let n = out.info.unknown_rows;
            out.info
                .notes
                .push(format!("{n} rows are of unknown operations and were left out"));
        }
        if numbers.is_some() {
            out.info
                .notes
                .push("row order is not the order of ids: events at the same time are ordered by id".into());
        }
        out.find_kept(conn, path, &numbering.first)?;
        out.tally(threads);
        out.details(conn, path, schema, &needs, numbering.rowid_is_number)?;
        if numbering.rowid_is_number && needs.collectives() {
            out.collectives = collectives::read(conn, path, schema)?;
            out.clock = collectives::clock(conn, path, schema, &out.tables)?;
        }
        out.look_at_names(conn, path, schema)?;
        Ok(out)
    }

    /// A file whose first event is not number 1 lacks the ones before.
    fn find_kept(&mut self, conn: &Connection, path: &Path, first: &BTreeMap<String, First>) -> Result<(), TraceError> {
        for (node, first) in first.iter().filter(|f| f.1.number > 1) {
            let at = conn
                .query_row(
                    "SELECT timestamp FROM main.events WHERE rowid = ?1",
                    [first.rowid],
                    |r| r.get(0),
                )
                .map_err(|e| TraceError::from_sql(path, &e))?;
            self.kept_from.insert(node.clone(), (at, first.number));
        }
        Ok(())
    }

    fn tally(&mut self, threads: usize) {
        if self.tables.aggregates.is_empty() {
            return;
        }
        let lanes: Vec<&RawLane> = self.scanned.lanes.iter().collect();
        let tallies = scan::parallel(threads, lanes, None, |lane| {
            ((lane.key.node, lane.key.pid, lane.key.op), counts::tally(lane))
        });
        for (key, tallies) in tallies {
            let all = self.tallies.entry(key).or_default();
            for (bucket, tally) in tallies {
                all.entry(bucket).or_insert(Tally::NONE).merge(tally);
            }
        }
    }

    /// Tables of details say more about rows; they name a row by its number.
    fn details(
        &mut self,
        conn: &Connection,
        path: &Path,
        schema: &Schema,
        needs: &Needs,
        rowid_is_number: bool,
    ) -> Result<(), TraceError> {
        let switch = known(3, 1);
        let has_switches = self.scanned.lanes.iter().any(|l| l.key.op == switch && l.rows > 0);
        let tables = ["sched_details", "call_details", "nccl_calls"];
        let usable = rowid_is_number || !tables.iter().any(|t| schema.table(t));
        if !usable {
            self.info.notes.push(
                "rowid is not the number of the event in this file, so run states, streams and NCCL sizes were ignored"
                    .into(),
            );
        }
        let base = self.scanned.base;
        // Old agents stored the same task twice; which one ran before is then unknown.
        let mut switches = self.scanned.lanes.iter().filter(|l| l.key.op == switch);
        self.preemptor = switches.any(|l| l.aux.iter().any(|&previous| previous != l.key.pid));
        let mut by_details = false;
        if rowid_is_number && needs.has(switch) {
            let details = Details::read(
                conn,
                path,
                schema,
                "sched_details",
                ["state", "woken_at", "preemptor", "cpu"],
            )?;
            if !details.event.is_empty() {
                let found = run_state::from_details(&mut self.scanned.lanes, base, &details);
                by_details = true;
                self.preemptor |= details.values.iter().any(|v| v[2] != 0);
                let lost = details.event.len() - found.min(details.event.len());
                if lost > 0 {
                    self.info
                        .notes
                        .push(format!("{lost} rows of sched_details name no sched_switch row"));
                }
            }
        }
        let complete = self.record_all() && !self.any_loss(Source::Sched);
        let wakeups = self.scanned.lanes.iter().any(|l| l.key.op == known(3, 2) && l.rows > 0);
        if !by_details && complete && wakeups && has_switches && needs.has(switch) {
            run_state::from_wakeups(&mut self.scanned.lanes);
            by_details = true;
        }
        self.run_state = by_details && has_switches;

        if rowid_is_number && needs.stream {
            let calls = Details::read(conn, path, schema, "call_details", ["stream", "handle", "", ""])?;
            if !calls.event.is_empty() {
                self.fill(
                    base,
                    &calls,
                    |l| matches!(l, Source::Cuda | Source::Driver | Source::Graph),
                    |lane, i, v| {
                        if lane.aux.is_empty() {
                            lane.aux.resize(lane.len(), 0);
                        }
                        lane.aux[i] = v[0];
                    },
                );
            }
        }
        if rowid_is_number {
            let calls = Details::read(conn, path, schema, "nccl_calls", ["bytes", "rank", "", ""])?;
            if !calls.event.is_empty() {
                self.fill(
                    base,
                    &calls,
                    |s| s == Source::Nccl,
                    |lane, i, v| {
                        if lane.value.is_empty() {
                            lane.value.resize(lane.len(), 0);
                        }
                        lane.value[i] = v[0];
                        if needs.rank && v[1] >= 0 {
                            lane.rank.resize(lane.len(), -1);
                            lane.rank[i] = i32::try_from(v[1]).unwrap_or(-1);
                        }
                    },
                );
            }
        }
        Ok(())
    }

    fn fill(
        &mut self,
        base: i64,
        details: &Details,
        of: impl Fn(Source) -> bool,
        mut set: impl FnMut(&mut RawLane, usize, [i64; 4]),
    ) {
        for lane in self.scanned.lanes.iter_mut().filter(|l| of(l.key.op.def().source)) {
            let mut cursor = details.cursor();
            for i in 0..lane.len() {
                if let Some(values) = cursor.get(base.wrapping_add(i64::from(lane.row[i]))) {
                    set(lane, i, values);
                }
            }
        }
    }

    /// Whether every event that was seen became a row.
    pub(crate) fn record_all(&self) -> bool {
        if self.ours {
            return self.tables.thresholds.is_empty();
        }
        !self.tables.sessions.is_empty() && self.tables.sessions.iter().all(|s| s.record_all)
    }

    fn any_loss(&self, source: Source) -> bool {
        let counted = self.tables.losses.iter().flatten().any(|l| l.source == source.name());
        let missing = self.tables.aggregates.iter().any(|((pid, op), buckets)| {
            op.def().source == source && {
                let stored: u64 = buckets[0].iter().map(|b| b.stored).sum();
                let mut of_key = self.tallies.iter().filter(|(k, _)| k.1 == *pid && k.2 == *op);
                let rows: u64 = of_key.by_ref().flat_map(|(_, t)| t.values()).map(|t| t.rows).sum();
                stored > rows
            }
        });
        counted || missing
    }

    /// Names that come with events, and cgroups: of the last row of each lane, and of each exec.
    fn look_at_names(&mut self, conn: &Connection, path: &Path, schema: &Schema) -> Result<(), TraceError> {
        if !schema.has("events", "comm") {
            return Ok(());
        }
        let exec = known(3, 5);
        let sql = |e: rusqlite::Error| TraceError::from_sql(path, &e);
        let mut stmt = conn
            .prepare(&format!(
                "SELECT comm, {} FROM main.events WHERE rowid = ?1",
                schema.or("events", "cgroup_id", "0")
            ))
            .map_err(sql)?;
        let limits = !self.tables.cgroup_cpu.is_empty();
        for lane in self.scanned.lanes.iter().filter(|l| l.rows > 0) {
            let all: &[u32] = if lane.key.op == exec { &lane.row } else { &[] };
            for &row in all.iter().chain(std::iter::once(&lane.sample)) {
                let at = self.scanned.base.wrapping_add(i64::from(row));
                let mut rows = stmt.query([at]).map_err(sql)?;
                if let Some(found) = rows.next().map_err(sql)? {
                    let comm = found
                        .get_ref(0)
                        .map_err(sql)?
                        .as_bytes_or_null()
                        .ok()
                        .flatten()
                        .unwrap_or(b"");
                    let comm = String::from_utf8_lossy(comm).into_owned();
                    if !comm.is_empty() {
                        self.comms.insert((lane.file, row), comm);
                    }
                    if limits {
                        self.cgroups.insert((lane.file, row), found.get(1).map_err(sql)?);
                    }
                }
            }
        }
        Ok(())
    }
}
