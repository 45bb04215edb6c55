//! Calls of NCCL that name their communicator, and the clock that they are stamped with.

use std::path::Path;

use rusqlite::Connection;

use super::schema::Schema;
use super::tables::{self, Tables};
use crate::trace::catalogue::Op;
use crate::trace::derive::collectives::{Clock, What};
use crate::trace::error::TraceError;
use crate::unit::Interval;

/// A call as stored: one that makes a communicator (number 0), a collective, a send or a receive.
#[derive(Clone, Debug)]
pub(crate) struct RawCall {
    pub(crate) pid: i64,
    pub(crate) tid: i64,
    pub(crate) when: Interval,
    /// What its communicator is called on all ranks.
    pub(crate) comm: i64,
    /// Number on the communicator, from 1.
    pub(crate) seq: i64,
    pub(crate) what: What,
    pub(crate) bytes: i64,
    pub(crate) rank: i64,
    pub(crate) nranks: i64,
}

/// Reads all calls, those that did not return included. None where the file does not say what communicators
/// are called.
///
/// # Errors
/// The database cannot be read, or a value is not what its column should hold.
pub(crate) fn read(conn: &Connection, path: &Path, schema: &Schema) -> Result<Vec<RawCall>, TraceError> {
    let mut out = Vec::new();
    if schema.has("nccl_calls", "comm_id") {
        let text = format!(
            "SELECT e.pid, e.tid, e.source, e.op, e.timestamp, e.timestamp + e.duration, n.comm_id, n.seq, n.count, \
             n.dtype, n.peer, n.bytes, n.rank, n.nranks FROM {} n JOIN main.events e ON e.rowid = n.event \
             WHERE n.comm_id <> 0 ORDER BY n.event",
            schema.from("nccl_calls")
        );
        tables::each(conn, path, "nccl_calls", &text, |r| one(r, &mut out))?;
    }
    if schema.has("open_calls", "comm_id") {
        // Elements and type of a call that is still open were not kept apart: only that it was entered counts.
        let text = format!(
            "SELECT pid, tid, source, op, start_ns, seen_ns, comm_id, seq, -1, -1, -1, arg0, rank, nranks FROM {} \
             WHERE comm_id <> 0 AND depth = 0 ORDER BY start_ns, tid",
            schema.from("open_calls")
        );
        tables::each(conn, path, "open_calls", &text, |r| one(r, &mut out))?;
    }
    Ok(out)
}

fn one(r: &tables::Checked<'_, '_>, out: &mut Vec<RawCall>) -> Result<(), TraceError> {
    let Some(op) = Op::by_ids(r.int(2)?, r.int(3)?) else {
        return Ok(());
    };
    let (start, end) = (r.int(4)?, r.int(5)?);
    let what = What {
        op,
        count: r.int(8)?,
        dtype: r.int(9)?,
        root: r.int(10)?,
    };
    out.push(RawCall {
        pid: r.int(0)?,
        tid: r.int(1)?,
        when: Interval::new(start, end.max(start)),
        comm: r.int(6)?,
        seq: r.int(7)?,
        what,
        bytes: r.int(11)?,
        rank: r.int(12)?,
        nranks: r.int(13)?,
    });
    Ok(())
}

/// The clock of a file; nothing where it does not say how it was read.
///
/// # Errors
/// As [`read`].
pub(crate) fn clock(
    conn: &Connection,
    path: &Path,
    schema: &Schema,
    tables: &Tables,
) -> Result<Option<Clock>, TraceError> {
    let columns = ["timestamp", "offset_ns", "error_ns"];
    if !columns.iter().all(|c| schema.has("clock_offsets", c)) {
        return Ok(None);
    }
    let boot = tables.recording.get("boot_id").cloned().unwrap_or_default();
    let mut out: Option<Clock> = None;
    let text = format!(
        "SELECT offset_ns, error_ns, {} FROM {} ORDER BY timestamp",
        schema.or("clock_offsets", "wall_error_ns", "-1"),
        schema.from("clock_offsets")
    );
    tables::each(conn, path, "clock_offsets", &text, |r| {
        let (offset, error, wall) = (r.int(0)?, r.int(1)?, r.int(2)?);
        let wall = u64::try_from(wall).ok();
        match &mut out {
            None => {
                out = Some(Clock {
                    boot: boot.clone(),
                    offset,
                    error,
                    wall,
                });
            }
            Some(clock) => {
                clock.error = clock.error.max(error);
                // The wall clock was moved meanwhile, and the stamps were not.
                let moved = offset.abs_diff(clock.offset);
                clock.wall = clock.wall.zip(wall).map(|(a, b)| a.max(b.saturating_add(moved)));
            }
        }
        Ok(())
    })?;
    Ok(out)
}
