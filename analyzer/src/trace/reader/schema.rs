//! What a file holds: asked of the file, never concluded from its version text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;

use crate::trace::error::TraceError;

/// Tables and their columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schema {
    tables: BTreeMap<String, BTreeSet<String>>,
    /// `events.id` is the rowid (generation 0.8 and files migrated from it).
    pub(crate) integer_ids: bool,
}

/// Columns without which rows cannot be placed.
const REQUIRED: [&str; 6] = ["timestamp", "pid", "tid", "source", "op", "duration"];

/// Tables that only our writers make; the first tells them.
const OURS: &str = "recording";

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
