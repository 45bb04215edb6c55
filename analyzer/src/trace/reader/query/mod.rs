//! SQL of the user over one file, for reading only.
//!
//! The connection is that of `super::open`, so the file and its folder stay as they are. On top of
//! that an authorizer lets a statement do nothing but select: no write, no `ATTACH`, no function that
//! touches files, no pragma but those that describe tables. A statement has a time limit, and its
//! values a limit of size.
//!
//! Views beside the tables of the file give what the reader knows of a row: `ev` asks `Events` by
//! row number, so a query sees the same interval, owner and names as a rule does.

mod events;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params_from_iter};

pub use rusqlite::types::Value;

use super::file::RawFile;
use super::open::Opened;
use super::scan::Access;
use super::schema::Schema;
use super::{ReadOptions, assemble};
use crate::trace::error::TraceError;
use crate::trace::model::Trace;
use events::Events;

/// Filled tables of [`Session`] that come from a [`Trace`].
const FROM_TRACE: [&str; 4] = ["processes", "threads", "requests", "spans"];
/// Filled tables of [`Session`] that come from an analysis.
const FROM_RULES: [&str; 4] = ["diagnoses", "evidence", "witnesses", "rules"];
/// Views of ours; `ev` first.
const VIEWS: [&str; 2] = ["ev", "offcpu"];
/// Pragmas that only describe tables.
const DESCRIBING: [&str; 6] = [
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
];
/// Longest text or blob that a query may make.
const MAX_VALUE: i32 = 16 << 20;
/// Steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 2_000;

/// Why a query could not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The file is no trace, or cannot be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// It would do more than read.
    #[error("a query may only read: {what} is not allowed")]
    NotAllowed {
        /// What it tried, in words.
        what: String,
    },
    /// It names a table that is not there.
    #[error("there is no table or view {name}")]
    NoTable {
        /// As written.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// It names a column that is not there.
    #[error("there is no column {name}")]
    NoColumn {
        /// As written.
        name: String,
        /// Those of the tables it reads.
        known: Vec<String>,
    },
    /// No statement at all.
    #[error("the query is empty")]
    Empty,
    /// More than one statement.
    #[error("a query is one statement; this has several")]
    Several,
    /// It took too long.
    #[error("the query was stopped after {} s", .after.as_secs_f64())]
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// Its rows are too large together.
    #[error("the rows of the answer are larger than {} MiB", .bytes >> 20)]
    TooLarge {
        /// The limit.
        bytes: usize,
    },
    /// Anything else that SQLite says of it.
    #[error("{message}")]
    Sql {
        /// What it says.
        message: String,
    },
}

/// How much a query may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Rows; further ones are not looked for.
    pub rows: usize,
    /// Bytes of all values.
    pub bytes: usize,
    /// Time.
    pub time: Duration,
}

/// Rows of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryRows {
    /// Names of the columns; there may be equal ones.
    pub columns: Vec<String>,
    /// As many values each as there are columns.
    pub rows: Vec<Vec<Value>>,
    /// Whether there are more rows than the limit.
    pub more: bool,
}

/// What a query needs beside the tables of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryNeeds {
    /// The trace: see [`Session::add_trace`].
    pub trace: bool,
    /// An analysis: see [`Session::fill`].
    pub rules: bool,
}

/// What the authorizer saw of a statement.
#[derive(Debug, Default)]
struct Seen {
    /// Filling our own tables is not a query.
    ours: bool,
    tables: BTreeSet<String>,
    refused: Option<String>,
}

/// A file that is open for queries.
pub struct Session {
    opened: Opened,
    conn: Connection,
    seen: Arc<Mutex<Seen>>,
    events: Events,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("path", &self.opened.path)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Opens a file.
    ///
    /// # Errors
    /// [`QueryError::Trace`].
    pub fn open(path: &Path) -> Result<Self, QueryError> {
        let opened = Opened::new(path)?;
        let mut conn = opened.connect()?;
        let events = Events::default();
        let seen = Arc::new(Mutex::new(Seen {
            ours: true,
            ..Seen::default()
        }));
        let schema = Schema::probe(&conn, path)?;
        let begin = |conn: &mut Connection| -> rusqlite::Result<()> {
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
            conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE)?;
            conn.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
            // The tables of ours live in SQLite's temporary database; the file is open for reading only.
            conn.execute_batch("PRAGMA query_only=OFF")?;
            conn.execute_batch(include_str!("tables.sql"))?;
            events.register(conn)?;
            conn.execute_batch(&events::views(&schema))?;
            let log = Arc::clone(&seen);
            conn.authorizer(Some(move |context: AuthContext<'_>| {
                log.lock().unwrap_or_else(PoisonError::into_inner).judge(&context)
            }))
        };
        begin(&mut conn).map_err(|e| TraceError::from_sql(path, &e))?;
        Ok(Self {
            opened,
            conn,
            seen,
            events,
        })
    }

    /// Reads the whole trace of the file.
    ///
    /// # Errors
    /// [`QueryError::Trace`].
    pub fn trace(&self) -> Result<Trace, QueryError> {
        let options = ReadOptions::default();
        let files = RawFile::read(Access::File(&self.opened), 0, &options)?;
        Ok(assemble::trace(files, false, &options))
    }

    /// What a query needs; the statement is checked, not run.
    ///
    /// # Errors
    /// Any [`QueryError`] that is told by the text alone.
    pub fn needs(&self, sql: &str) -> Result<QueryNeeds, QueryError> {
        self.begin(false);
        self.prepare(sql)?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let any = |names: &[&str]| names.iter().any(|n| seen.tables.contains(*n));
        Ok(QueryNeeds {
            trace: any(&FROM_TRACE) || any(&VIEWS),
            rules: any(&FROM_RULES),
        })
    }

    /// Makes the trace that [`Session::trace`] gave known to `ev`, `offcpu`, `processes`, `threads`,
    /// `requests` and `spans`.
    ///
    /// # Errors
    /// [`QueryError::Sql`] without memory or space for temporary files.
    pub fn add_trace(&mut self, trace: Arc<Trace>) -> Result<(), QueryError> {
        for (table, rows) in events::tables(&trace) {
            self.fill(table, rows)?;
        }
        self.events.set(trace);
        Ok(())
    }

    /// Fills one of `diagnoses`, `evidence`, `witnesses` and `rules`; values in the order of its
    /// columns.
    ///
    /// # Errors
    /// [`QueryError::Sql`], if the table or the number of values is wrong.
    pub fn fill(&mut self, table: &str, rows: impl IntoIterator<Item = Vec<Value>>) -> Result<(), QueryError> {
        self.begin(true);
        let fill = || -> rusqlite::Result<()> {
            self.conn.execute_batch(&format!("BEGIN; DELETE FROM temp.{table}"))?;
            let mut insert = None;
            for row in rows {
                let insert = match &mut insert {
                    Some(insert) => insert,
                    none => {
                        let marks = vec!["?"; row.len()].join(",");
                        let sql = format!("INSERT INTO temp.{table} VALUES ({marks})");
                        none.insert(self.conn.prepare(&sql)?)
                    }
                };
                insert.execute(params_from_iter(row))?;
            }
            drop(insert);
            self.conn.execute_batch("COMMIT")
        };
        fill().map_err(|e| QueryError::Sql { message: e.to_string() })
    }

    /// Runs a query.
    ///
    /// # Errors
    /// Any [`QueryError`].
    pub fn run(&mut self, sql: &str, limits: QueryLimits) -> Result<QueryRows, QueryError> {
        self.begin(false);
        let until = Instant::now() + limits.time;
        self.conn
            .progress_handler(STEPS, Some(move || Instant::now() >= until))
            .map_err(|e| QueryError::Sql { message: e.to_string() })?;
        let answer = self.rows(sql, limits);
        // Without a handler nothing can fail.
        let _ = self.conn.progress_handler(0, None::<fn() -> bool>);
        if self.opened.changed() {
            return Err(TraceError::Changing {
                path: self.opened.path.clone(),
            }
            .into());
        }
        answer
    }

    fn rows(&self, sql: &str, limits: QueryLimits) -> Result<QueryRows, QueryError> {
        let fail = |e: rusqlite::Error| self.explain(&e, limits.time);
        let mut stmt = self.prepare(sql)?;
        let mut out = QueryRows {
            columns: stmt.column_names().map(str::to_owned).collect(),
            ..QueryRows::default()
        };
        let width = out.columns.len();
        let mut bytes = 0_usize;
        let mut rows = stmt.query([]).map_err(fail)?;
        while let Some(row) = rows.next().map_err(fail)? {
            if out.rows.len() == limits.rows {
                out.more = true;
                break;
            }
            let mut values = Vec::with_capacity(width);
            for i in 0..width {
                let value = row.get_ref(i).map_err(fail)?;
                bytes = bytes.saturating_add(match value {
                    ValueRef::Text(t) | ValueRef::Blob(t) => t.len(),
                    _ => size_of::<i64>(),
                });
                values.push(owned(value));
            }
            if bytes > limits.bytes {
                return Err(QueryError::TooLarge { bytes: limits.bytes });
            }
            out.rows.push(values);
        }
        Ok(out)
    }

    fn prepare(&self, sql: &str) -> Result<rusqlite::Statement<'_>, QueryError> {
        let stmt = self.conn.prepare(sql).map_err(|e| self.explain(&e, Duration::ZERO))?;
        // The authorizer refuses everything else already; a statement without columns answers nothing.
        if !stmt.readonly() || stmt.column_count() == 0 {
            return Err(QueryError::NotAllowed {
                what: "a statement without an answer".into(),
            });
        }
        Ok(stmt)
    }

    fn begin(&self, ours: bool) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen {
            ours,
            ..Seen::default()
        };
    }

    /// What SQLite says, in terms of the query.
    fn explain(&self, error: &rusqlite::Error, limit: Duration) -> QueryError {
        use rusqlite::ErrorCode as C;
        match error {
            rusqlite::Error::MultipleStatement => return QueryError::Several,
            rusqlite::Error::Empty => return QueryError::Empty,
            _ => {}
        }
        let message = match error {
            rusqlite::Error::SqlInputError { msg, .. } | rusqlite::Error::SqliteFailure(_, Some(msg)) => msg.clone(),
            other => other.to_string(),
        };
        let refused = self.seen.lock().unwrap_or_else(PoisonError::into_inner).refused.take();
        if let Some(what) = refused {
            return QueryError::NotAllowed { what };
        }
        if let Some(name) = message.strip_prefix("no such table: ") {
            return QueryError::NoTable {
                name: name.to_owned(),
                known: self.tables(),
            };
        }
        if let Some(name) = message.strip_prefix("no such column: ") {
            return QueryError::NoColumn {
                name: name.to_owned(),
                known: self.columns(),
            };
        }
        match error.sqlite_error_code() {
            Some(C::OperationInterrupted) => QueryError::TimedOut { after: limit },
            Some(C::DatabaseCorrupt | C::SystemIoFailure) => TraceError::from_sql(&self.opened.path, error).into(),
            _ => QueryError::Sql { message },
        }
    }

    /// Names of the views of ours, then of the tables of the file.
    pub fn tables(&self) -> Vec<String> {
        let own = VIEWS.iter().chain(&FROM_RULES).chain(&FROM_TRACE);
        let mut names: Vec<String> = own.map(|n| (*n).to_owned()).collect();
        if let Ok(schema) = Schema::probe(&self.conn, &self.opened.path) {
            names.extend(schema.table_names().map(str::to_owned));
        }
        names
    }

    /// Names of the columns of everything that [`Session::tables`] names, sorted.
    fn columns(&self) -> Vec<String> {
        self.begin(true);
        let mut all = BTreeSet::new();
        for table in self.tables() {
            let names = self
                .conn
                .prepare("SELECT name FROM pragma_table_info(?1)")
                .and_then(|mut s| {
                    s.query_map([&table], |r| r.get::<_, String>(0))?
                        .collect::<rusqlite::Result<Vec<_>>>()
                });
            all.extend(names.into_iter().flatten());
        }
        all.into_iter().collect()
    }

    /// The file, as the user gave it.
    pub fn path(&self) -> PathBuf {
        self.opened.path.clone()
    }
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(i) => Value::Integer(i),
        ValueRef::Real(r) => Value::Real(r),
        ValueRef::Text(t) => Value::Text(String::from_utf8_lossy(t).into_owned()),
        ValueRef::Blob(b) => Value::Blob(b.to_vec()),
    }
}

impl Seen {
    fn judge(&mut self, context: &AuthContext<'_>) -> Authorization {
        if self.ours {
            return Authorization::Allow;
        }
        if let Some(view) = context.accessor {
            self.tables.insert(view.to_ascii_lowercase());
        }
        let what = match &context.action {
            AuthAction::Select | AuthAction::Recursive => return Authorization::Allow,
            AuthAction::Read { table_name, .. } => {
                self.tables.insert(table_name.to_ascii_lowercase());
                return Authorization::Allow;
            }
            AuthAction::Function { function_name } => {
                let files = ["load_extension", "fts3_tokenizer"];
                if !files.iter().any(|f| f.eq_ignore_ascii_case(function_name)) {
                    return Authorization::Allow;
                }
                format!("the function {function_name}")
            }
            AuthAction::Pragma { pragma_name, .. } => {
                if DESCRIBING.iter().any(|p| p.eq_ignore_ascii_case(pragma_name)) {
                    return Authorization::Allow;
                }
                format!("PRAGMA {pragma_name}")
            }
            AuthAction::Attach { .. } => "ATTACH".into(),
            AuthAction::Detach { .. } => "DETACH".into(),
            AuthAction::Insert { table_name } => format!("to insert into {table_name}"),
            AuthAction::Delete { table_name } => format!("to delete from {table_name}"),
            AuthAction::Update { table_name, .. } => format!("to update {table_name}"),
            AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => "a transaction".into(),
            _ => "to create, drop or change a table, view, index or trigger".into(),
        };
        self.refused.get_or_insert(what);
        Authorization::Deny
    }
}
