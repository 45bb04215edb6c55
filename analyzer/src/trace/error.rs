//! What can be wrong with a trace file, each with its own code and a way out.

use std::path::{Path, PathBuf};

/// Why a trace could not be read. One unreadable file never stops the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum TraceError {
    /// There is nothing at that path.
    #[error("{}: no such file or folder", path.display())]
    #[diagnostic(code("T01"), help("check the path; a recording ends in .db"))]
    NotFound {
        /// As given.
        path: PathBuf,
    },
    /// The file or its folder may not be read.
    #[error("{}: no permission to read", path.display())]
    #[diagnostic(
        code("T02"),
        help("recordings made as root belong to root: copy it, or run `sudo chown $USER` on it")
    )]
    NoPermission {
        /// The file or folder.
        path: PathBuf,
    },
    /// A device, a socket, a pipe.
    #[error("{}: not a regular file", path.display())]
    #[diagnostic(
        code("T03"),
        help("a trace is read in several places at once: write it to a file first")
    )]
    NotAFile {
        /// As given.
        path: PathBuf,
    },
    /// A folder in which no file ends in `.db`.
    #[error("{}: the folder holds no traces", path.display())]
    #[diagnostic(code("T04"), help("traces are files that end in .db, directly in the folder"))]
    NoTraces {
        /// The folder.
        path: PathBuf,
    },
    /// No path was given.
    #[error("no trace given")]
    #[diagnostic(code("T05"), help("name one or several trace files, or a folder of them"))]
    NothingGiven,
    /// A file of no bytes.
    #[error("{}: the file is empty (0 bytes)", path.display())]
    #[diagnostic(
        code("T06"),
        help("the recorder was stopped before it wrote anything, or a copy failed: record or copy again")
    )]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// The first bytes are not those of a SQLite database.
    #[error("{}: not a SQLite database", path.display())]
    #[diagnostic(
        code("T07"),
        help("a trace is an SQLite file; unpack it if it is compressed, and see that it is not an export (JSON, CSV)")
    )]
    NotSqlite {
        /// The file.
        path: PathBuf,
    },
    /// The header promises more pages than there are bytes.
    #[error("{}: truncated: {expected} bytes expected, {found} found", path.display())]
    #[diagnostic(
        code("T08"),
        help("the copy was cut short: copy it again; `sqlite3 FILE .recover` can save the rest")
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that the header promises.
        expected: u64,
        /// Bytes on disk.
        found: u64,
    },
    /// A page does not hold what it should.
    #[error("{}: damaged: {detail}", path.display())]
    #[diagnostic(
        code("T09"),
        help(
            "`sqlite3 FILE 'PRAGMA integrity_check'` shows what is damaged; `sqlite3 FILE .recover` can save the rest"
        )
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        detail: String,
    },
    /// A database, but not of events.
    #[error("{}: no table `events`", path.display())]
    #[diagnostic(
        code("T10"),
        help("it is an SQLite database, but not a trace; name the file that the recorder wrote")
    )]
    NoEvents {
        /// The file.
        path: PathBuf,
    },
    /// A column that no trace is without.
    #[error("{}: table `{table}` has no column `{column}`", path.display())]
    #[diagnostic(
        code("T11"),
        help("every generation of the format has it: the file was changed, or is not a trace")
    )]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A value that is not of its column's type.
    #[error("{}: table `{table}`, row {row}: `{column}` holds {found}, not {expected}", path.display())]
    #[diagnostic(
        code("T12"),
        help(
            "times and ids are integers (nanoseconds since 1970): the file was written by another tool, or is damaged"
        )
    )]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The table.
        table: String,
        /// Its rowid, 0 if unknown.
        row: i64,
        /// The column.
        column: String,
        /// The type needed.
        expected: &'static str,
        /// The type found.
        found: String,
    },
    /// Another process holds a lock that keeps readers out.
    #[error("{}: locked by another process", path.display())]
    #[diagnostic(
        code("T13"),
        help("wait until the other program has committed, or copy the file and read the copy")
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file changed while it was read, again and again.
    #[error("{}: it kept changing while it was read", path.display())]
    #[diagnostic(
        code("T14"),
        help("another process is writing it: try again, or stop the recorder first")
    )]
    Changing {
        /// The file.
        path: PathBuf,
    },
    /// A private copy was needed and could not be made.
    #[error("{}: not yet checkpointed, and its private copy could not be made: {detail}", path.display())]
    #[diagnostic(
        code("T15"),
        help(
            "a -wal or -journal lies beside the file, so a copy is read in the temporary folder: free some space, or set TMPDIR"
        )
    )]
    CopyFailed {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        detail: String,
    },
    /// Reading failed below SQLite.
    #[error("{}: {detail}", path.display())]
    #[diagnostic(code("T16"), help("the medium or the file system reported this"))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// SQLite said something that no other variant names.
    #[error("{}: {detail}", path.display())]
    #[diagnostic(code("T17"), help("the tables are not as in any known generation of the format"))]
    Sql {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// More than 2^32 row numbers from first to last.
    #[error("{}: row numbers span {span}, more than a trace may have", path.display())]
    #[diagnostic(code("T18"), help("split the recording into several files"))]
    TooManyRows {
        /// The file.
        path: PathBuf,
        /// Largest minus smallest.
        span: u64,
    },
}

impl TraceError {
    /// The file or folder it speaks of.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::NothingGiven => None,
            Self::NotFound { path }
            | Self::NoPermission { path }
            | Self::NotAFile { path }
            | Self::NoTraces { path }
            | Self::EmptyFile { path }
            | Self::NotSqlite { path }
            | Self::Truncated { path, .. }
            | Self::Corrupt { path, .. }
            | Self::NoEvents { path }
            | Self::MissingColumn { path, .. }
            | Self::WrongType { path, .. }
            | Self::Locked { path }
            | Self::Changing { path }
            | Self::CopyFailed { path, .. }
            | Self::Io { path, .. }
            | Self::Sql { path, .. }
            | Self::TooManyRows { path, .. } => Some(path),
        }
    }

    /// From an error of the file system.
    pub(crate) fn from_io(path: &Path, error: &std::io::Error) -> Self {
        let path = path.to_path_buf();
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::NotFound { path },
            std::io::ErrorKind::PermissionDenied => Self::NoPermission { path },
            _ => Self::Io {
                path,
                detail: error.to_string(),
            },
        }
    }

    /// From an error of SQLite.
    pub(crate) fn from_sql(path: &Path, error: &rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as C;
        let detail = error.to_string();
        let path = path.to_path_buf();
        match error.sqlite_error_code() {
            Some(C::NotADatabase | C::DatabaseCorrupt) => Self::Corrupt { path, detail },
            Some(C::DatabaseBusy | C::DatabaseLocked) => Self::Locked { path },
            Some(C::PermissionDenied | C::AuthorizationForStatementDenied) => Self::NoPermission { path },
            Some(C::SystemIoFailure | C::DiskFull) => Self::Io { path, detail },
            _ => Self::Sql { path, detail },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_system_errors_keep_their_meaning() {
        let path = Path::new("t.db");
        let of = |kind| TraceError::from_io(path, &std::io::Error::from(kind));
        assert!(matches!(
            of(std::io::ErrorKind::PermissionDenied),
            TraceError::NoPermission { .. }
        ));
        assert!(matches!(of(std::io::ErrorKind::NotFound), TraceError::NotFound { .. }));
        assert!(matches!(of(std::io::ErrorKind::TimedOut), TraceError::Io { .. }));
    }
}
