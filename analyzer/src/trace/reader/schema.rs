//! What a file holds: asked of the file, never concluded from its version text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;

use super::tables::each;
use crate::trace::error::TraceError;

/// Tables and their columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schema {
    tables: BTreeMap<String, BTreeSet<String>>,
    /// `events.id` is the rowid (generation 0.8 and files migrated from it).
    pub(crate) integer_ids: bool,
    /// Set where this is one of the files that a merged file holds.
    pub(crate) part: Option<Part>,
}

/// One of the files that a merged file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    /// What the column `node` says in tables that had none; the name of its node, or the names of all.
    pub(crate) key: String,
    /// Its nodes.
    pub(crate) nodes: Vec<String>,
    /// First and last row of `events`; `None` without rows.
    pub(crate) rows: Option<(i64, i64)>,
    /// What was added to the row numbers of the file.
    pub(crate) shift: i64,
}

/// Columns without which rows cannot be placed.
const REQUIRED: [&str; 6] = ["timestamp", "pid", "tid", "source", "op", "duration"];

/// Tables that only our writers make; the first tells them.
const OURS: &str = "recording";

/// Tables of a merged file: the files in it, and the tables and columns that each had.
pub(crate) const PARTS: &str = "merged_parts";
pub(crate) const COLUMNS: &str = "merged_columns";

impl Schema {
    pub(crate) fn probe(conn: &Connection, path: &Path) -> Result<Self, TraceError> {
        let sql = |e: rusqlite::Error| TraceError::from_sql(path, &e);
        let mut schema = Self::default();
        // Only real tables: views and virtual tables could run code of the file's author.
        let mut names = conn
            .prepare("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND wr = 0")
            .map_err(sql)?;
        let names: Vec<String> = names
            .query_map([], |r| r.get(0))
            .map_err(sql)?
            .collect::<Result<_, _>>()
            .map_err(sql)?;
        let mut columns = conn
            .prepare("SELECT name, type, pk FROM pragma_table_info(?1)")
            .map_err(sql)?;
        for table in names {
            let mut rows = columns.query([&table]).map_err(sql)?;
            let mut set = BTreeSet::new();
            while let Some(row) = rows.next().map_err(sql)? {
                let (name, ty, pk): (String, String, i64) = (
                    row.get(0).map_err(sql)?,
                    row.get(1).map_err(sql)?,
                    row.get(2).map_err(sql)?,
                );
                if table == "events" && name == "id" && pk == 1 && ty.eq_ignore_ascii_case("integer") {
                    schema.integer_ids = true;
                }
                set.insert(name);
            }
            schema.tables.insert(table, set);
        }
        if !schema.tables.contains_key("events") {
            return Err(TraceError::NoEvents {
                path: path.to_path_buf(),
            });
        }
        for column in REQUIRED {
            if !schema.has("events", column) {
                return Err(TraceError::MissingColumn {
                    path: path.to_path_buf(),
                    table: "events".into(),
                    column: column.into(),
                });
            }
        }
        Ok(schema)
    }

    /// Names of its tables, sorted.
    pub(crate) fn table_names(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(String::as_str)
    }

    /// The files that a merged file holds, in their order, each with the tables and columns that it
    /// had; the file itself where it is none.
    pub(crate) fn parts(self, conn: &Connection, path: &Path) -> Result<Vec<Self>, TraceError> {
        if !self.table(PARTS) {
            return Ok(vec![self]);
        }
        let mut parts: Vec<Self> = Vec::new();
        let text = format!(
            "SELECT part, node, first_row, last_row, shift, integer_ids FROM main.{PARTS} ORDER BY position, node"
        );
        each(conn, path, PARTS, &text, |row| {
            let (key, node) = (row.text(0)?, row.text(1)?);
            let same = |s: &&mut Self| s.part.as_ref().is_some_and(|p| p.key == key);
            if let Some(part) = parts.last_mut().filter(same).and_then(|s| s.part.as_mut()) {
                part.nodes.push(node);
                return Ok(());
            }
            let (first, last) = (row.int(2)?, row.int(3)?);
            parts.push(Self {
                tables: BTreeMap::new(),
                integer_ids: row.int(5)? != 0,
                part: Some(Part {
                    key,
                    nodes: vec![node],
                    rows: (first <= last).then_some((first, last)),
                    shift: row.int(4)?,
                }),
            });
            Ok(())
        })?;
        let text = format!("SELECT part, table_name, column_name FROM main.{COLUMNS}");
        each(conn, path, COLUMNS, &text, |row| {
            let (key, table, column) = (row.text(0)?, row.text(1)?, row.text(2)?);
            let of = |s: &&mut Self| s.part.as_ref().is_some_and(|p| p.key == key);
            // Only what is there can be read, whatever the list says.
            if self.has(&table, &column)
                && let Some(part) = parts.iter_mut().find(of)
            {
                part.tables.entry(table).or_default().insert(column);
            }
            Ok(())
        })?;
        for part in &mut parts {
            let missing = REQUIRED.into_iter().find(|c| !part.has("events", c));
            if let Some(column) = missing {
                return Err(TraceError::MissingColumn {
                    path: path.to_path_buf(),
                    table: "events".into(),
                    column: column.into(),
                });
            }
        }
        Ok(parts)
    }

    /// Where to read a table from: of a merged file, the rows of one part.
    pub(crate) fn from(&self, table: &str) -> String {
        match &self.part {
            None => format!("main.{table}"),
            Some(part) => {
                let key = part.key.replace('\'', "''");
                format!(
                    "(SELECT rowid, * FROM main.{table} WHERE node = '{key}' OR node IN (SELECT node FROM \
                     main.{PARTS} WHERE part = '{key}'))"
                )
            }
        }
    }

    /// What was added to the row numbers of the file when it was merged.
    pub(crate) fn shift(&self) -> i64 {
        self.part.as_ref().map_or(0, |p| p.shift)
    }

    /// Columns of a table, sorted.
    pub(crate) fn columns(&self, table: &str) -> impl Iterator<Item = &str> {
        self.tables.get(table).into_iter().flatten().map(String::as_str)
    }

    /// Whether the file has the table.
    pub(crate) fn table(&self, table: &str) -> bool {
        self.tables.contains_key(table)
    }

    /// Whether the table has the column.
    pub(crate) fn has(&self, table: &str, column: &str) -> bool {
        self.tables.get(table).is_some_and(|t| t.contains(column))
    }

    /// The column, or the expression to use where the file lacks it.
    pub(crate) fn or<'a>(&self, table: &str, column: &'a str, default: &'a str) -> &'a str {
        if self.has(table, column) { column } else { default }
    }

    /// Whether our recorder or simulator wrote it.
    pub(crate) fn ours(&self) -> bool {
        self.table(OURS)
    }

    /// The generation, for the user.
    pub(crate) fn generation(&self) -> String {
        let base = if self.integer_ids {
            if self.has("events", "node") {
                "0.8 migrated"
            } else {
                "0.8"
            }
        } else if self.has("events", "comm") {
            "0.10"
        } else if self.has("events", "node") {
            "0.9"
        } else {
            "unknown"
        };
        if self.ours() {
            format!("{base} + ours")
        } else {
            base.into()
        }
    }
}
