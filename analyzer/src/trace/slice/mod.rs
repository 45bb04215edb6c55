//! Cuts a part out of a trace file: everything that reaches into a window, and what the whole was.
//!
//! The part is a trace of its own, in the generation of the original: its aggregates count what is
//! in it, so that every reader of the format judges it as it would judge a shorter recording. The
//! aggregates of the whole recording move to `whole_aggregates` and `whole_aggregates_5s`.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

mod anonymise;

use crate::trace::catalogue::{Anchor, Op};
use crate::trace::error::TraceError;
use crate::trace::reader::open::Opened;
use crate::trace::reader::schema::{PARTS, Schema};
use crate::trace::reader::{Edge, WindowSpec};
use crate::trace::writer::{Target, WriteError};
use crate::unit::{Interval, MS};

const TABLES_SQL: &str = include_str!("slice.sql");
/// Tables that are counted anew, those of the whole being kept under another name.
const AGGREGATES: [&str; 2] = ["event_aggregates", "event_aggregates_5s"];
/// A window that would have to be shorter than this is no part worth keeping.
const LEAST: i64 = MS;

/// What to cut.
#[derive(Clone, Copy, Debug, Default)]
pub struct SliceOptions {
    /// The window; events that reach into it are kept.
    pub window: WindowSpec,
    /// Narrows the window around its middle until the file is at most this many bytes.
    pub max_bytes: Option<u64>,
    /// Leaves the paths in the recorded command; else only the last part of each stays.
    pub keep_paths: bool,
    /// Replaces names (nodes, processes, threads, cgroups, folders, labels) by numbered words and takes
    /// out free texts, addresses and the command.
    pub anonymise: bool,
    /// Replaces an existing file.
    pub replace: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The window in the end.
    pub window: Interval,
    /// Events of the original.
    pub before: u64,
    /// Events in the part.
    pub kept: u64,
    /// Size of the part in bytes.
    pub size_bytes: u64,
}

/// Why nothing was cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SliceError {
    /// The original.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The part.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The original was merged: its counts are by node, its parts by row.
    #[error("{}: a merged trace cannot be cut", .path.display())]
    Merged {
        /// The original.
        path: PathBuf,
    },
    /// The window holds no event.
    #[error("no event of the trace reaches into that window")]
    Empty,
    /// `max_bytes` cannot be met.
    #[error("even a short part takes {least} bytes, more than the {most} that are allowed")]
    TooLarge {
        /// Bytes of the smallest part that was tried.
        least: u64,
        /// Bytes allowed.
        most: u64,
    },
}

/// Writes the part of the trace at `from` that `options` asks for to `to`.
///
/// # Errors
/// [`SliceError`]; then there is no file at `to` that was not there before.
pub fn slice(from: &Path, to: &Path, options: &SliceOptions) -> Result<Slice, SliceError> {
    let opened = Opened::new(from)?;
    let conn = opened.connect()?;
    if Schema::probe(&conn, from)?.table(PARTS) {
        return Err(SliceError::Merged { path: from.to_owned() });
    }
    let all = extent(&conn, from)?.ok_or(SliceError::Empty)?;
    let edge = |e: Edge| match e {
        Edge::At(t) => t,
        Edge::AfterStart(d) => all.start.saturating_add(d),
        Edge::BeforeEnd(d) => all.end.saturating_sub(d),
    };
    let start = options.window.from.map_or(all.start, edge).max(all.start);
    let end = options.window.to.map_or(all.end, edge).min(all.end);
    if start > end {
        return Err(SliceError::Empty);
    }
    let mut window = Interval::new(start, end);
    loop {
        let target = Target::new(to, options.replace)?;
        let (before, kept) = write(&target, &opened, window, options)?;
        if kept == 0 {
            return Err(SliceError::Empty);
        }
        let size = std::fs::metadata(&target.temp).map_or(0, |m| m.len());
        let Some(most) = options.max_bytes.filter(|most| size > *most) else {
            if opened.changed() {
                return Err(TraceError::Changing { path: from.to_owned() }.into());
            }
            let size_bytes = target.place()?;
            return Ok(Slice {
                window,
                before,
                kept,
                size_bytes,
            });
        };
        // In proportion, and a little less, for a part of the file does not depend on the window.
        let share = i128::from(most) * 95 / 100;
        let len = i64::try_from(i128::from(window.len()) * share / i128::from(size)).unwrap_or(0);
        if len < LEAST {
            return Err(SliceError::TooLarge { least: size, most });
        }
        let start = window.start + (window.len() - len) / 2;
        window = Interval::new(start, start + len);
    }
}

/// `(source=3 AND op=1) OR …`: rows whose timestamp is their end.
fn ends() -> String {
    let ops = Op::all().filter(|op| op.def().anchor == Anchor::End);
    let terms: Vec<String> = ops
        .map(|op| format!("(source={} AND op={})", op.def().source_id, op.def().op_id))
        .collect();
    terms.join(" OR ")
}

/// SQL for the start and the end of a row of `events`.
fn span() -> (String, String) {
    let ends = ends();
    (
        format!("(timestamp - CASE WHEN {ends} THEN max(duration,0) ELSE 0 END)"),
        format!("(timestamp + CASE WHEN {ends} THEN 0 ELSE max(duration,0) END)"),
    )
}

/// From the first start to the last end of any event.
fn extent(conn: &Connection, path: &Path) -> Result<Option<Interval>, TraceError> {
    let (start, end) = span();
    conn.query_row(&format!("SELECT min{start}, max{end} FROM main.events"), [], |r| {
        let ends: (Option<i64>, Option<i64>) = (r.get(0)?, r.get(1)?);
        Ok(ends.0.zip(ends.1).map(|(a, b)| Interval::new(a, b)))
    })
    .map_err(|e| TraceError::from_sql(path, &e))
}

/// Builds the part; how many events there were, and how many are left.
fn write(target: &Target, opened: &Opened, window: Interval, options: &SliceOptions) -> Result<(u64, u64), WriteError> {
    let conn = target.open()?;
    let run = || -> rusqlite::Result<(u64, u64)> {
        conn.execute_batch(
            // What is overwritten or deleted must not stay in the file.
            "PRAGMA page_size=4096; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA trusted_schema=OFF; \
             PRAGMA secure_delete=ON;",
        )?;
        opened.attach(&conn, "whole")?;
        let version: i64 = conn.query_row("PRAGMA whole.user_version", [], |r| r.get(0))?;
        conn.pragma_update(None, "user_version", version)?;
        conn.execute_batch("BEGIN")?;
        let part = Part { conn: &conn, window };
        let counts = part.copy()?;
        if options.anonymise {
            anonymise::anonymise(&conn)?;
        } else if !options.keep_paths {
            part.scrub()?;
        }
        conn.execute_batch("COMMIT; DETACH whole;")?;
        Ok(counts)
    };
    let counts = run().map_err(|e| target.error(e))?;
    conn.close().map_err(|(_, e)| target.error(e))?;
    Ok(counts)
}

/// A part under construction: `main` is new, `whole` is the original.
struct Part<'a> {
    conn: &'a Connection,
    window: Interval,
}

impl Part<'_> {
    fn copy(&self) -> rusqlite::Result<(u64, u64)> {
        let tables = self.texts(
            // Only real tables: views and virtual tables could run code of the file's author.
            "SELECT name, sql FROM whole.sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             AND name IN (SELECT name FROM pragma_table_list WHERE schema='whole' AND type='table' AND wr=0)",
        )?;
        let has = |table: &str| tables.iter().any(|t| t.0 == table);
        for (_, sql) in &tables {
            self.conn.execute_batch(sql)?;
        }
        let keep = self.keeps();
        for (name, _) in &tables {
            let condition = match name.as_str() {
                "events" => keep.clone(),
                "sched_details" | "call_details" | "nccl_calls" => {
                    "event IN (SELECT rowid FROM main.events)".to_owned()
                }
                "stack_traces" => "hash IN (SELECT stack_hash FROM main.events)".to_owned(),
                "recording_losses" => self.meets("bucket", "bucket+1000000000"),
                "recording_histograms" | "page_allocs" | "event_aggregates_5s" => {
                    self.meets("bucket", "bucket+5000000000")
                }
                "event_aggregates" => self.meets("bucket", "bucket+60000000000"),
                "annotations" => format!(
                    "CASE WHEN span_end=0 THEN timestamp<={} ELSE {} END",
                    self.window.end,
                    self.meets("span_start", "span_end")
                ),
                "open_calls" => self.meets("start_ns", "seen_ns"),
                "xids" => self.meets("timestamp", "timestamp"),
                _ => "1".to_owned(),
            };
            self.fill(name, &condition)?;
        }
        for (table, len) in AGGREGATES.into_iter().zip([60_000_000_000_i64, 5_000_000_000]) {
            if has(table) {
                self.recount(table, len, &keep, has(&whole_name(table)))?;
            }
        }
        if has("event_aggregates") && has("event_aggregates_5s") {
            self.narrow_counted()?;
        }
        let indexes = self
            .texts("SELECT name, sql FROM whole.sqlite_schema WHERE type='index' AND sql IS NOT NULL ORDER BY name")?;
        for (_, sql) in indexes {
            self.conn.execute_batch(&sql)?;
        }
        self.say(has("slice_cuts"), has("recording_losses"))
    }

    fn texts(&self, sql: &str) -> rusqlite::Result<Vec<(String, String)>> {
        let mut statement = self.conn.prepare(sql)?;
        let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
        rows.collect()
    }

    /// The condition for an interval that meets the window.
    fn meets(&self, start: &str, end: &str) -> String {
        format!("({start}<={} AND {end}>={})", self.window.end, self.window.start)
    }

    fn keeps(&self) -> String {
        let (start, end) = span();
        self.meets(&start, &end)
    }

    /// Copies rows of a table with their rowids, by which detail tables name events.
    fn fill(&self, table: &str, condition: &str) -> rusqlite::Result<()> {
        let quoted = quote(table);
        let mut columns = self
            .conn
            .prepare("SELECT name, pk, type FROM pragma_table_info(?1, 'whole')")?;
        let columns: Vec<(String, bool)> = columns
            .query_map([table], |r| {
                let integer = r.get::<_, String>(2)?.eq_ignore_ascii_case("integer");
                Ok((r.get(0)?, integer && r.get::<_, i64>(1)? > 0))
            })?
            .collect::<rusqlite::Result<_>>()?;
        // A sole integer key is the rowid already; one more name for it would set it twice.
        let keyed = columns.iter().filter(|c| c.1).count() == 1;
        let mut names: Vec<String> = columns.iter().map(|c| quote(&c.0)).collect();
        if !keyed && table == "events" {
            names.insert(0, "rowid".to_owned());
        }
        let names = names.join(",");
        self.conn.execute(
            &format!(
                "INSERT INTO main.{quoted}({names}) SELECT {names} FROM whole.{quoted} WHERE {condition} ORDER BY rowid"
            ),
            [],
        )?;
        Ok(())
    }

    /// Takes what was cut out of the aggregates, and keeps those of the whole under another name.
    fn recount(&self, table: &str, len: i64, keep: &str, kept_before: bool) -> rusqlite::Result<()> {
        let whole = whole_name(table);
        if !kept_before {
            self.conn
                .execute_batch(&format!("CREATE TABLE main.{whole} AS SELECT * FROM whole.{table}"))?;
        }
        // Where every call is a row the extremes are those of the rows left; else they are bounds.
        self.conn.execute_batch(&format!(
            "CREATE TEMP TABLE gone AS SELECT timestamp-timestamp%{len} AS b, source AS s, op AS o, pid AS p, \
             count(*) AS n, sum(max(duration,0)) AS d, sum(arg0) AS a FROM whole.events WHERE NOT {keep} GROUP BY 1,2,3,4;
             CREATE TEMP TABLE left_over AS SELECT timestamp-timestamp%{len} AS b, source AS s, op AS o, pid AS p, \
             count(*) AS n, min(max(duration,0)) AS least, max(max(duration,0)) AS most FROM main.events GROUP BY 1,2,3,4;
             CREATE INDEX temp.gone_at ON gone(b,s,o,p);
             CREATE INDEX temp.left_at ON left_over(b,s,o,p);
             UPDATE main.{table} SET count=max(0,count-n), stored=max(0,stored-n), sum_dur=max(0,sum_dur-d), \
             sum_arg0=CASE WHEN sum_arg0=0 THEN 0 ELSE max(0,sum_arg0-a) END \
             FROM gone WHERE b=bucket AND s=source AND o=op AND p=pid;
             UPDATE main.{table} SET min_dur=least, max_dur=most FROM left_over \
             WHERE b=bucket AND s=source AND o=op AND p=pid AND n=count;
             DELETE FROM main.{table} WHERE count=0;
             DROP TABLE gone; DROP TABLE left_over;"
        ))
    }

    /// Calls that never become rows cannot be taken out one by one: of a minute the buckets of five
    /// seconds that are left say how many.
    fn narrow_counted(&self) -> rusqlite::Result<()> {
        self.conn.execute_batch(
            "UPDATE main.event_aggregates AS m SET count=n, sum_dur=d, sum_arg0=a FROM \
             (SELECT bucket-bucket%60000000000 AS b, source AS s, op AS o, pid AS p, sum(count) AS n, sum(sum_dur) AS d, \
             sum(sum_arg0) AS a FROM main.event_aggregates_5s WHERE stored=0 GROUP BY 1,2,3,4) \
             WHERE m.stored=0 AND b=m.bucket AND s=m.source AND o=m.op AND p=m.pid",
        )
    }

    /// Says in the part what was cut.
    fn say(&self, cut_before: bool, losses: bool) -> rusqlite::Result<(u64, u64)> {
        self.conn.execute_batch(TABLES_SQL)?;
        let before: i64 = self
            .conn
            .query_row("SELECT count(*) FROM whole.events", [], |r| r.get(0))?;
        let kept: i64 = self
            .conn
            .query_row("SELECT count(*) FROM main.events", [], |r| r.get(0))?;
        let lost: i64 = if losses {
            let sum = "SELECT coalesce(sum(lost),0) FROM whole.recording_losses";
            self.conn.query_row(sum, [], |r| r.get(0))?
        } else {
            0
        };
        self.conn.execute(
            "INSERT INTO main.slices(from_ns,to_ns,rows_before,rows_kept,lost_before) VALUES(?1,?2,?3,?4,?5)",
            params![self.window.start, self.window.end, before, kept, lost],
        )?;
        if !cut_before {
            self.conn.execute_batch(
                "INSERT INTO main.slice_cuts SELECT source, op, count(*), 0 FROM whole.events GROUP BY source, op",
            )?;
        }
        self.conn.execute_batch(
            "UPDATE main.slice_cuts AS c SET rows_kept=\
             (SELECT count(*) FROM main.events e WHERE e.source=c.source AND e.op=c.op)",
        )?;
        Ok((before.unsigned_abs(), kept.unsigned_abs()))
    }

    /// Leaves of every path in the recorded command its last part.
    fn scrub(&self) -> rusqlite::Result<()> {
        let command = "SELECT key, value FROM main.recording WHERE key='command'";
        // A file without the table has no command either.
        for (key, command) in self.texts(command).unwrap_or_default() {
            self.conn.execute(
                "UPDATE main.recording SET value=?2 WHERE key=?1",
                [key, without_paths(&command)],
            )?;
        }
        Ok(())
    }
}

/// Creates the tables that only parts have, as far as `known` says that they are needed: for a file that
/// parts are merged into.
pub(crate) fn declare(conn: &Connection, known: impl Fn(&str) -> bool) -> rusqlite::Result<()> {
    if known("slices") {
        conn.execute_batch(TABLES_SQL)?;
    }
    for table in AGGREGATES {
        let whole = whole_name(table);
        if known(&whole) {
            conn.execute_batch(&format!("CREATE TABLE {whole} AS SELECT * FROM {table} WHERE 0"))?;
        }
    }
    Ok(())
}

fn whole_name(table: &str) -> String {
    table.replace("event_", "whole_")
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `/a/b/c --log=/d/e f` becomes `c --log=e f`.
fn without_paths(command: &str) -> String {
    let last = |word: &str| {
        let (option, path) = word
            .rsplit_once('=')
            .map_or(("", word), |(o, p)| (&word[..=o.len()], p));
        let path = path.trim_end_matches('/');
        format!("{option}{}", path.rsplit('/').next().unwrap_or(path))
    };
    let words = command
        .split(' ')
        .map(|w| if w.contains("://") { w.to_owned() } else { last(w) });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_path_the_last_part_stays() {
        assert_eq!(
            without_paths("/usr/bin/python3 -u /home/me/run.py"),
            "python3 -u run.py"
        );
        assert_eq!(without_paths("x --log=/tmp/a/b.jsonl ./c d/"), "x --log=b.jsonl c d");
        assert_eq!(without_paths("serve http://host/x --n=3"), "serve http://host/x --n=3");
    }
}
