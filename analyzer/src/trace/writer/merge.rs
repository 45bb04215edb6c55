//! Several traces in one file, keyed by node.
//!
//! The merged file has the tables of an ordinary one; those without a column `node` get one, and it
//! becomes part of their key. `merged_parts` says which rows of `events` came from which file, and
//! `merged_columns` which tables and columns that file had, so that a reader takes the merged file apart
//! again and judges each part as the file that it was. Row numbers move, so numbers in the detail tables
//! move along; clocks are not touched.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::{WriteError, Writer, check_node};
use crate::trace::TraceError;
use crate::trace::reader::open::Opened;
use crate::trace::reader::scan::{self, RowSource as _, SqliteRows};
use crate::trace::reader::schema::{COLUMNS, PARTS, Part, Schema};
use crate::trace::slice;

/// Tables that hold the same in every file.
const SHARED: [&str; 4] = ["sources", "ops", "schema_info", "stack_traces"];
/// Tables that speak of a row of `events` by its number.
const DETAILS: [&str; 3] = ["sched_details", "call_details", "nccl_calls"];
/// Tables that have a column `node` in every generation that has them.
const NODED: [&str; 3] = ["events", "sessions", "causal_chains"];

/// Why traces could not be merged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// One of them cannot be read.
    #[error(transparent)]
    Read(#[from] TraceError),
    /// The merged file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Two files have a node of the same name.
    #[error("{} and {} both have a node named {node}", .first.display(), .second.display())]
    SameNode {
        /// The name.
        node: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A new name for a file that has several nodes.
    #[error("{} holds {nodes} nodes; one name cannot stand for them", .path.display())]
    SeveralNodes {
        /// The file.
        path: PathBuf,
        /// How many.
        nodes: usize,
    },
}

/// What a merged file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Rows of `events`.
    pub events: u64,
    /// Its nodes, in the order of the files.
    pub nodes: Vec<String>,
    /// What a user should know, one sentence each.
    pub notes: Vec<String>,
}

/// Merges files; each may be given a name for its only node.
///
/// # Errors
/// [`MergeError`]; nothing is left of an output that could not be finished.
pub fn merge(inputs: &[(PathBuf, Option<String>)], out: &Path, replace: bool) -> Result<Merged, MergeError> {
    let mut files = Vec::new();
    for (path, name) in inputs {
        let opened = Opened::new(path)?;
        let conn = opened.connect()?;
        conn.execute_batch("BEGIN")
            .map_err(|e| TraceError::from_sql(path, &e))?;
        let parts = Schema::probe(&conn, path)?.parts(&conn, path)?;
        let mut renamed = Vec::new();
        for schema in parts {
            renamed.push(Source::new(schema, &conn, path, name.as_deref())?);
        }
        if let (Some(_), [_, _, ..]) = (name, renamed.as_slice()) {
            let nodes = renamed.len();
            return Err(MergeError::SeveralNodes {
                path: path.clone(),
                nodes,
            });
        }
        files.push((opened, conn, renamed));
    }
    let mut taken: Vec<(&str, &Path)> = Vec::new();
    for (opened, _, sources) in &files {
        for (_, node) in sources.iter().flat_map(|s| &s.nodes) {
            check_node(node)?;
            if let Some((_, first)) = taken.iter().find(|t| t.0 == node) {
                return Err(MergeError::SameNode {
                    node: node.clone(),
                    first: first.to_path_buf(),
                    second: opened.path.clone(),
                });
            }
            taken.push((node, &opened.path));
        }
    }
    // Rows get their names from the files, so the writer's own is never used.
    let mut writer = if replace {
        Writer::overwrite(out, "merged")?
    } else {
        Writer::create(out, "merged")?
    };
    let mut merged = Merged {
        nodes: taken.iter().map(|t| t.0.to_owned()).collect(),
        ..Merged::default()
    };
    let known = |table: &str| files.iter().flat_map(|f| &f.2).any(|s| s.schema.table(table));
    slice::declare(writer.conn(), known)
        .and_then(|()| key_by_node(writer.conn()))
        .map_err(|e| writer.error(e))?;
    let mut next = 1;
    for (position, (opened, conn, source)) in files
        .iter()
        .flat_map(|(o, c, s)| s.iter().map(move |s| (o, c, s)))
        .enumerate()
    {
        let copy = Copy {
            from: conn,
            path: &opened.path,
            source,
            to: writer.conn(),
        };
        next = copy.part(position, next, &mut merged).map_err(|e| match e {
            CopyError::Read(e) => MergeError::Read(e),
            CopyError::Write(e) => MergeError::Write(writer.error(e)),
        })?;
        if opened.changed() {
            return Err(TraceError::Changing {
                path: opened.path.clone(),
            }
            .into());
        }
    }
    writer.seq = i64::try_from(merged.events).unwrap_or(i64::MAX);
    writer.finish()?;
    Ok(merged)
}

/// A file, or a part of a merged one.
struct Source {
    schema: Schema,
    /// Nodes as stored and as they are called in the merged file.
    nodes: Vec<(String, String)>,
    rows: Option<(i64, i64)>,
}

impl Source {
    fn new(schema: Schema, conn: &Connection, path: &Path, name: Option<&str>) -> Result<Self, MergeError> {
        let sql = |e: rusqlite::Error| TraceError::from_sql(path, &e);
        let rows = match &schema.part {
            Some(part) => part.rows,
            None => SqliteRows { conn, path }.bounds()?,
        };
        let mut stored: Vec<String> = match &schema.part {
            Some(part) => part.nodes.clone(),
            None => {
                let mut found = Vec::new();
                for table in ["events", "sessions"] {
                    if found.is_empty() && schema.has(table, "node") {
                        let text = format!("SELECT DISTINCT node FROM main.{table} ORDER BY node");
                        let mut stmt = conn.prepare(&text).map_err(sql)?;
                        let all = stmt.query_map([], |r| r.get(0)).map_err(sql)?;
                        found = all.collect::<rusqlite::Result<_>>().map_err(sql)?;
                    }
                }
                found
            }
        };
        if stored.is_empty() {
            stored.push(String::new());
        }
        if name.is_some() && stored.len() > 1 {
            let nodes = stored.len();
            return Err(MergeError::SeveralNodes {
                path: path.to_path_buf(),
                nodes,
            });
        }
        // As a fleet of files names them.
        let stem = || {
            path.file_stem()
                .map_or_else(String::new, |s| s.to_string_lossy().into_owned())
        };
        let called = |old: &String| match name {
            Some(name) => name.to_owned(),
            None if old.is_empty() => stem(),
            None => old.clone(),
        };
        let nodes = stored.iter().map(|old| (old.clone(), called(old))).collect();
        Ok(Self { schema, nodes, rows })
    }

    /// What stands for the part in tables that do not know nodes.
    fn key(&self) -> String {
        let names: Vec<&str> = self.nodes.iter().map(|n| n.1.as_str()).collect();
        names.join(",")
    }

    fn called(&self, stored: &str) -> String {
        let found = self.nodes.iter().find(|n| n.0 == stored);
        // A session of a node without rows belongs to the only node there is.
        let only = self.nodes.first().filter(|_| self.nodes.len() == 1);
        found.or(only).map_or_else(|| stored.to_owned(), |n| n.1.clone())
    }
}

enum CopyError {
    Read(TraceError),
    Write(rusqlite::Error),
}

impl From<TraceError> for CopyError {
    fn from(e: TraceError) -> Self {
        Self::Read(e)
    }
}

impl From<rusqlite::Error> for CopyError {
    fn from(e: rusqlite::Error) -> Self {
        Self::Write(e)
    }
}

struct Copy<'a> {
    from: &'a Connection,
    path: &'a Path,
    source: &'a Source,
    to: &'a Connection,
}

impl Copy<'_> {
    /// Copies everything; returns the number that the next row gets.
    fn part(&self, position: usize, next: i64, merged: &mut Merged) -> Result<i64, CopyError> {
        let schema = &self.source.schema;
        let key = self.source.key();
        let moved = self.source.rows.map_or(0, |(first, _)| next - first);
        let numbering = scan::numbering(self.from, self.path, schema, self.source.rows)?;
        let tables = columns_by_table(self.to)?;
        for (table, columns) in &tables {
            if !schema.table(table) {
                continue;
            }
            if DETAILS.contains(&table.as_str()) && !numbering.rowid_is_number {
                merged.notes.push(format!(
                    "{}: its rows are not numbered as {table} says, so that table is left out",
                    self.path.display()
                ));
                continue;
            }
            let n = self.table(table, columns, &key, moved)?;
            if table == "events" {
                merged.events += n;
            }
        }
        for table in schema.table_names() {
            let ours = [PARTS, COLUMNS].contains(&table) || table.starts_with("sqlite_");
            if !ours && !tables.iter().any(|t| t.0 == table) {
                let path = self.path.display();
                merged.notes.push(format!(
                    "{path}: the table {table} is of no known generation and is left out"
                ));
            }
        }
        let rows = self.source.rows.map(|(first, last)| (first + moved, last + moved));
        let part = Part {
            key,
            nodes: self.source.nodes.iter().map(|n| n.1.clone()).collect(),
            rows,
            shift: schema.shift() + moved,
        };
        self.describe(position, &part, merged)?;
        Ok(rows.map_or(next, |(_, last)| last + 1))
    }

    fn table(&self, table: &str, columns: &[String], key: &str, moved: i64) -> Result<u64, CopyError> {
        let schema = &self.source.schema;
        let noded = NODED.contains(&table) && schema.has(table, "node");
        let counted = table == "events" || SHARED.contains(&table);
        let wanted = |c: &&String| {
            schema.has(table, c) && (*c != "node" || noded) && (*c != "id" || counted || table == "causal_chains")
        };
        let mut shared: Vec<&str> = columns.iter().filter(wanted).map(String::as_str).collect();
        let keyed = !SHARED.contains(&table);
        let mut names: Vec<&str> = shared.clone();
        if keyed && !noded {
            names.push("node");
        }
        let events = table == "events";
        if events {
            names.push("rowid");
            shared.push("rowid");
        }
        let marks = vec!["?"; names.len()].join(",");
        let or = if keyed { "" } else { " OR IGNORE" };
        let insert = format!("INSERT{or} INTO {table}({}) VALUES ({marks})", names.join(","));
        let mut insert = self.to.prepare(&insert)?;
        let read = |e: rusqlite::Error| TraceError::from_sql(self.path, &e);
        let (place, rows) = match (events, self.source.rows) {
            (true, Some((first, last))) => (
                format!("main.events NOT INDEXED WHERE rowid BETWEEN {first} AND {last}"),
                true,
            ),
            (true, None) => return Ok(0),
            _ if SHARED.contains(&table) => (format!("main.{table}"), false),
            _ => (schema.from(table), false),
        };
        let order = if rows || schema.part.is_none() || events {
            "rowid"
        } else {
            "1"
        };
        let text = format!("SELECT {} FROM {place} ORDER BY {order}", shared.join(","));
        let mut stmt = self.from.prepare(&text).map_err(read)?;
        let at = |name: &str| shared.iter().position(|c| *c == name);
        let (node_at, id_at, event_at) = (at("node"), at("id"), at("event"));
        let mut found = stmt.query([]).map_err(read)?;
        let mut n = 0;
        while let Some(row) = found.next().map_err(read)? {
            let mut values: Vec<Value> = (0..shared.len())
                .map(|i| row.get(i))
                .collect::<rusqlite::Result<_>>()
                .map_err(read)?;
            let node = match node_at.map(|i| &values[i]) {
                Some(Value::Text(stored)) => self.source.called(stored),
                _ => self.source.called(""),
            };
            if let Some(i) = node_at {
                values[i] = Value::Text(node.clone());
            }
            if let Some(i) = id_at.filter(|_| keyed) {
                values[i] = Value::Text(renamed(&values[i], &node));
            }
            if let Some(i) = event_at.filter(|_| DETAILS.contains(&table)) {
                values[i] = shifted(&values[i], moved);
            }
            if events {
                let last = values.len() - 1;
                values[last] = shifted(&values[last], moved);
            }
            if keyed && !noded {
                let node = if NODED.contains(&table) { node } else { key.to_owned() };
                // In front of the row number, where there is one.
                values.insert(names.iter().position(|c| *c == "node").unwrap_or(0), Value::Text(node));
            }
            insert.execute(params_from_iter(values))?;
            n += 1;
        }
        Ok(n)
    }

    /// Writes down what the part was.
    fn describe(&self, position: usize, part: &Part, merged: &mut Merged) -> Result<(), CopyError> {
        let schema = &self.source.schema;
        let clock = self.clock()?;
        let (first, last) = part.rows.unwrap_or((0, -1));
        for node in &part.nodes {
            self.to.execute(
                &format!("INSERT INTO {PARTS} VALUES (?,?,?,?,?,?,?,?,?)"),
                params![
                    i64::try_from(position).unwrap_or(i64::MAX),
                    part.key,
                    node,
                    self.path.file_name().map(|n| n.to_string_lossy().into_owned()),
                    first,
                    last,
                    part.shift,
                    schema.integer_ids,
                    clock,
                ],
            )?;
        }
        let mut insert = self.to.prepare(&format!("INSERT INTO {COLUMNS} VALUES (?,?,?)"))?;
        for table in schema.table_names() {
            for column in schema.columns(table) {
                insert.execute(params![part.key, table, column])?;
            }
        }
        let nodes = part.nodes.join(", ");
        merged.notes.push(format!(
            "{nodes}: {clock}; stamps of two hosts compare only as well as their clocks agree"
        ));
        Ok(())
    }

    /// What is known of the clock of a file.
    fn clock(&self) -> Result<String, CopyError> {
        let schema = &self.source.schema;
        if !["timestamp", "offset_ns", "error_ns"]
            .iter()
            .all(|c| schema.has("clock_offsets", c))
        {
            return Ok("no clock offsets were recorded".into());
        }
        let text = format!(
            "SELECT count(*), max(offset_ns) - min(offset_ns), max(error_ns) FROM {}",
            schema.from("clock_offsets")
        );
        let row: (i64, Option<i64>, Option<i64>) = self
            .from
            .query_row(&text, [], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
            .map_err(|e| TraceError::from_sql(self.path, &e))?;
        Ok(match row {
            (0, ..) => "no clock offsets were recorded".into(),
            (n, moved, error) => format!(
                "{n} clock offsets, which moved by {} ns and are known to {} ns",
                moved.unwrap_or(0),
                error.unwrap_or(0)
            ),
        })
    }
}

fn shifted(value: &Value, by: i64) -> Value {
    match value {
        Value::Integer(n) => Value::Integer(n.wrapping_add(by)),
        other => other.clone(),
    }
}

/// An id under the name of its node: `{node}:{number}`.
fn renamed(id: &Value, node: &str) -> String {
    match id {
        Value::Integer(n) => format!("{node}:{n}"),
        Value::Text(t) => format!("{node}:{}", t.rsplit(':').next().unwrap_or(t)),
        _ => node.to_owned(),
    }
}

/// Tables of a file and their columns, `events` first.
fn columns_by_table(conn: &Connection) -> rusqlite::Result<Vec<(String, Vec<String>)>> {
    let mut stmt = conn.prepare(
        "SELECT t.name, c.name FROM pragma_table_list t JOIN pragma_table_info(t.name) c \
         WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite_%' \
         ORDER BY t.name <> 'events', t.name, c.cid",
    )?;
    let mut out: Vec<(String, Vec<String>)> = Vec::new();
    let mut rows = stmt.query([])?;
    while let Some(row) = rows.next()? {
        let (table, column): (String, String) = (row.get(0)?, row.get(1)?);
        if table == PARTS || table == COLUMNS {
            continue;
        }
        match out.last_mut().filter(|t| t.0 == table) {
            Some(t) => t.1.push(column),
            None => out.push((table, vec![column])),
        }
    }
    Ok(out)
}

/// Gives every table a node that has none, as a part of its key.
fn key_by_node(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch("DROP INDEX IF EXISTS idx_snapshots_ts_uniq")?;
    for (table, columns) in columns_by_table(conn)? {
        if SHARED.contains(&table.as_str()) || columns.iter().any(|c| c == "node") {
            continue;
        }
        let node = "node TEXT NOT NULL DEFAULT ''";
        let mut stmt = conn.prepare("SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?1)")?;
        let described: Vec<(String, String, bool, Option<String>, i64)> = stmt
            .query_map([&table], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let mut key: Vec<(i64, &str)> = described
            .iter()
            .filter(|c| c.4 > 0)
            .map(|c| (c.4, c.0.as_str()))
            .collect();
        key.sort_unstable();
        // Numbers that we give ourselves are different in any case.
        let own = matches!(key.as_slice(), [] | [(_, "id" | "event")]);
        if own {
            conn.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {node}"))?;
            continue;
        }
        let columns: Vec<String> = described
            .iter()
            .map(|(name, kind, not_null, default, _)| {
                let default = default.as_ref().map_or_else(String::new, |d| format!(" DEFAULT {d}"));
                format!("{name} {kind}{}{default}", if *not_null { " NOT NULL" } else { "" })
            })
            .collect();
        let key: BTreeSet<(i64, &str)> = key.into_iter().collect();
        let key: Vec<&str> = key.into_iter().map(|k| k.1).collect();
        conn.execute_batch(&format!(
            "DROP TABLE {table}; CREATE TABLE {table} ({}, {node}, PRIMARY KEY (node, {}))",
            columns.join(", "),
            key.join(", ")
        ))?;
    }
    conn.execute_batch(&format!(
        "CREATE UNIQUE INDEX idx_snapshots_ts_uniq ON system_snapshots(node, timestamp);
         CREATE TABLE {PARTS} (position INTEGER NOT NULL, part TEXT NOT NULL, node TEXT PRIMARY KEY, file TEXT,
           first_row INTEGER NOT NULL, last_row INTEGER NOT NULL, shift INTEGER NOT NULL,
           integer_ids INTEGER NOT NULL, clock TEXT NOT NULL);
         CREATE TABLE {COLUMNS} (part TEXT NOT NULL, table_name TEXT NOT NULL, column_name TEXT NOT NULL,
           PRIMARY KEY (part, table_name, column_name));"
    ))
}
