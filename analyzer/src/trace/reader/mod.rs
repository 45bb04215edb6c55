//! Reading trace files: the only SQL that reads.
//!
//! A file is opened without changing anything in its folder ([`open`]), asked for its tables and
//! columns ([`schema`]), its events are taken in one parallel pass ([`scan`], through
//! SQLite or straight from its [`pages`]) into columns by thread and operation ([`columns`]), and its other tables are read as they are ([`tables`]). Then
//! all files together become one [`Trace`] ([`assemble`]), which needs no file any more.

mod assemble;
mod collectives;
pub(crate) mod columns;
mod file;
pub(crate) mod open;
mod options;
mod pages;
pub mod query;
pub(crate) mod scan;
pub(crate) mod schema;
pub(crate) mod tables;
pub mod truth;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

pub use options::{Edge, Needs, Progress, ReadOptions, WindowSpec};

use super::catalogue::Op;
use super::error::TraceError;
use super::model::Trace;
use file::RawFile;
use scan::Access;

/// How often a file that somebody writes to is read again.
const ATTEMPTS: usize = 3;

/// Reads traces as one fleet, keyed by node. A folder stands for the `*.db` in it.
///
/// What cannot be read is reported and left out; there is a trace if at least one file could be
/// read. A file without events is a valid, empty trace. Neither the files nor their folders change.
pub fn read(paths: &[PathBuf], options: &ReadOptions<'_>) -> (Option<Trace>, Vec<TraceError>) {
    read_by(paths, options, true)
}

impl ReadOptions<'_> {
    /// The same as [`read`], every row through SQLite: what the faster way is compared with.
    #[doc(hidden)]
    pub fn read_through_sqlite(&self, paths: &[PathBuf]) -> (Option<Trace>, Vec<TraceError>) {
        read_by(paths, self, false)
    }
}

fn read_by(paths: &[PathBuf], options: &ReadOptions<'_>, pages: bool) -> (Option<Trace>, Vec<TraceError>) {
    let (files, mut errors) = open::expand(paths);
    let several = files.len() > 1;
    let mut raw = Vec::new();
    for path in &files {
        match read_file(path, raw.len(), options, pages) {
            Ok(mut files) => raw.append(&mut files),
            Err(error) => errors.push(error),
        }
    }
    let trace = (!raw.is_empty()).then(|| assemble::trace(raw, several, options));
    (trace, errors)
}

fn read_file(path: &Path, index: usize, options: &ReadOptions<'_>, pages: bool) -> Result<Vec<RawFile>, TraceError> {
    for _ in 0..ATTEMPTS {
        let mut opened = open::Opened::new(path)?;
        opened.try_pages = pages;
        let read = RawFile::read(Access::File(&opened), index, options);
        // What was read while the file changed may be a mix of old and new pages, an error too.
        if !opened.changed() {
            let mut files = read?;
            for file in &mut files {
                file.info.size_bytes = opened.size();
                file.info.reader = opened.reader(file.scanned.pages.as_ref());
            }
            return Ok(files);
        }
    }
    Err(TraceError::Changing {
        path: path.to_path_buf(),
    })
}

/// How many rows of each operation there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Operations that the catalogue knows.
    pub rows: BTreeMap<Op, u64>,
    /// Whether another tool stored verdicts.
    pub chains: bool,
    /// Whether details of times off the CPU are stored.
    pub details: bool,
}

/// Counts rows without keeping any; a folder stands for the `*.db` in it. What cannot be read counts as
/// empty: [`read`] says what is wrong with it.
pub fn count(paths: &[PathBuf], threads: usize) -> Count {
    let options = ReadOptions {
        needs: Needs::nothing(),
        threads,
        ..ReadOptions::default()
    };
    let mut all = Count::default();
    for path in open::expand(paths).0 {
        let _ = open::Opened::new(&path).and_then(|o| RawFile::count(&o, options.worker_count(), &mut all));
    }
    all
}

/// Reads the trace behind a connection, on this thread; for traces in memory.
///
/// # Errors
/// Any [`TraceError`] about the tables and their values; its path is empty.
pub fn read_connection(conn: &Connection, options: &ReadOptions<'_>) -> Result<Trace, TraceError> {
    let mut files = RawFile::read(Access::Connection(conn), 0, options)?;
    for file in &mut files {
        file.info.reader = "SQLite, an open connection".into();
    }
    Ok(assemble::trace(files, false, options))
}
