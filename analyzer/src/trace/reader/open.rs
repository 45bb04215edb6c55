//! Opening a file as evidence: nothing in its folder changes, whatever lies beside it.
//!
//! - Nothing pending beside a file in WAL mode: `immutable=1`. Nothing is locked or created; the
//!   file is looked at again afterwards, and read once more if somebody wrote meanwhile.
//! - A rollback-journal file: `mode=ro`, which locks and creates no files.
//! - A `-wal` with content, or a journal that is to be rolled back: SQLite could only read it by
//!   writing beside it, so a private copy of the pair in the temporary folder is read instead.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OpenFlags};

use super::pages::Unfit;
use crate::trace::error::TraceError;

pub(crate) const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// How often a file that changes under the reader is tried.
const ATTEMPTS: u32 = 5;

/// How the connections of a file are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Immutable,
    ReadOnly,
    Copy,
}

/// A file that is ready to be read by any number of connections.
#[derive(Debug)]
pub(crate) struct Opened {
    /// As the user gave it; errors speak of this one.
    pub(crate) path: PathBuf,
    how: How,
    actual: PathBuf,
    stamp: Stamp,
    /// Whether its pages may be read without SQLite.
    pub(crate) try_pages: bool,
    /// See [`Opened::page_file`].
    file: OnceLock<File>,
    /// Removes the private copy when dropped.
    _copy: Option<PrivateFolder>,
}

/// What tells whether a file was written to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
    wal: u64,
}

#[derive(Debug)]
struct PrivateFolder(PathBuf);

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // Nothing can be done about a failure, and the folder is in the system's temporary one.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl PrivateFolder {
    fn new() -> std::io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let nanos = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos();
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ingero-{}-{nanos:x}-{n}", std::process::id()));
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::DirBuilderExt as _;
            builder.mode(0o700);
        }
        // Not recursive: it fails if somebody made the folder first.
        builder.create(&path)?;
        Ok(Self(path))
    }
}

/// The file beside `path` that SQLite names by appending `suffix`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    // SQLite follows links before it looks for the files beside.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let mut name = real.into_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

fn stamp(path: &Path) -> Stamp {
    let meta = std::fs::metadata(path).ok();
    Stamp {
        size: meta.as_ref().map_or(0, Metadata::len),
        modified: meta.and_then(|m| m.modified().ok()),
        wal: size_of(&beside(path, "-wal")),
    }
}

impl Opened {
    /// Looks at the file and decides how to read it.
    pub(crate) fn new(path: &Path) -> Result<Self, TraceError> {
        let meta = std::fs::metadata(path).map_err(|e| TraceError::from_io(path, &e))?;
        if !meta.is_file() {
            return Err(TraceError::NotAFile {
                path: path.to_path_buf(),
            });
        }
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(Duration::from_millis(20 << attempt));
            }
            if let Some(opened) = Self::attempt(path, attempt > 0)? {
                return Ok(opened);
            }
        }
        Err(TraceError::Changing {
            path: path.to_path_buf(),
        })
    }

    fn attempt(path: &Path, again: bool) -> Result<Option<Self>, TraceError> {
        let seen = stamp(path);
        let header = read_start(path)?;
        if header.is_empty() {
            return Err(TraceError::EmptyFile {
                path: path.to_path_buf(),
            });
        }
        if header.len() < 100 || &header[..16] != MAGIC {
            return Err(TraceError::NotSqlite {
                path: path.to_path_buf(),
            });
        }
        let pending_wal = seen.wal > 0;
        if !pending_wal && let Err(error) = check_size(path, &header, seen.size) {
            // A writer extends the file while it checkpoints: only a file at rest is truncated.
            return if again || stamp(path) == seen {
                Err(error)
            } else {
                Ok(None)
            };
        }
        let uses_wal = header[18] == 2 || header[19] == 2;
        if pending_wal {
            return Self::copied(path, "-wal", seen);
        }
        if uses_wal {
            return Ok(Some(Self {
                path: path.to_path_buf(),
                how: How::Immutable,
                actual: path.to_path_buf(),
                stamp: seen,
                try_pages: true,
                file: OnceLock::new(),
                _copy: None,
            }));
        }
        let plain = Self {
            path: path.to_path_buf(),
            how: How::ReadOnly,
            actual: path.to_path_buf(),
            stamp: seen.clone(),
            try_pages: true,
            file: OnceLock::new(),
            _copy: None,
        };
        if size_of(&beside(path, "-journal")) > 0 && needs_rollback(&plain) {
            return Self::copied(path, "-journal", seen);
        }
        Ok(Some(plain))
    }

    /// Copies the file, then what lies beside it. `None` where the pair did not match.
    ///
    /// A checkpoint may write to the file meanwhile. That does no harm: every page that it writes
    /// is in the `-wal` too and is read from there, until the log starts anew, which its header
    /// tells.
    fn copied(path: &Path, suffix: &str, seen: Stamp) -> Result<Option<Self>, TraceError> {
        let failed = |e: std::io::Error| TraceError::CopyFailed {
            path: path.to_path_buf(),
            detail: e.to_string(),
        };
        let side = beside(path, suffix);
        let before = first_bytes(&side);
        let folder = PrivateFolder::new().map_err(failed)?;
        let actual = folder.0.join("trace.db");
        std::fs::copy(path, &actual).map_err(failed)?;
        let mut name = actual.clone().into_os_string();
        name.push(suffix);
        match std::fs::copy(&side, &name) {
            Ok(_) => {}
            // It was checkpointed away meanwhile.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        }
        let same_log = before.is_some() && before == first_bytes(Path::new(&name)) && before == first_bytes(&side);
        if !same_log || (suffix == "-journal" && stamp(path) != seen) {
            return Ok(None);
        }
        // The copy keeps the permissions of the original, and a read-only copy cannot be recovered.
        for file in [actual.as_path(), Path::new(&name)] {
            make_writable(file).map_err(failed)?;
        }
        let opened = Self {
            path: path.to_path_buf(),
            how: How::Copy,
            actual,
            stamp: seen,
            try_pages: true,
            file: OnceLock::new(),
            _copy: Some(folder),
        };
        // The first connection recovers or rolls back; those of the reader then find it settled.
        opened.connect()?;
        Ok(Some(opened))
    }

    /// Makes it a part of another connection, to be read only.
    pub(crate) fn attach(&self, conn: &Connection, name: &str) -> rusqlite::Result<()> {
        let mut uri = uri(&self.actual, self.how == How::Immutable);
        if self.how == How::ReadOnly {
            uri.push_str("?mode=ro");
        }
        conn.execute(&format!("ATTACH ?1 AS {name}"), [uri])?;
        Ok(())
    }

    /// A new connection, for one thread.
    pub(crate) fn connect(&self) -> Result<Connection, TraceError> {
        let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        flags |= if self.how == How::Copy {
            OpenFlags::SQLITE_OPEN_READ_WRITE
        } else {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        };
        let uri = uri(&self.actual, self.how == How::Immutable);
        let conn = Connection::open_with_flags(uri, flags).map_err(|e| self.sql(&e))?;
        conn.busy_timeout(Duration::from_millis(500))
            .map_err(|e| self.sql(&e))?;
        conn.execute_batch("PRAGMA query_only=ON; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;")
            .map_err(|e| self.sql(&e))?;
        // Nothing is read from the file before this.
        conn.query_row("SELECT count(*) FROM sqlite_master", [], |r| r.get::<_, i64>(0))
            .map_err(|e| self.sql(&e))?;
        Ok(conn)
    }

    /// The file, for a look at its pages while a connection reads from it.
    ///
    /// Its pages are all there is if nothing is pending beside it. What keeps them as they are:
    /// nobody else knows a private copy; a rollback-journal file is locked by the reading connection;
    /// and what is opened as immutable is looked at again afterwards.
    ///
    /// It stays open as long as this lives: on POSIX, closing a file releases the locks that
    /// connections of the same process have on it.
    pub(crate) fn page_file(&self) -> Result<&File, Unfit> {
        if self.how == How::Copy
            && ["-wal", "-journal"]
                .iter()
                .any(|s| size_of(&beside(&self.actual, s)) > 0)
        {
            return Err(Unfit::new("its log was not written back"));
        }
        if self.file.get().is_none() {
            let file = File::open(&self.actual).map_err(|_| Unfit::new("it could not be opened twice"))?;
            // Nobody else sets it.
            let _ = self.file.set(file);
        }
        self.file.get().ok_or(Unfit::new("it could not be opened twice"))
    }

    /// Whether somebody wrote to the file since it was opened, private copies aside.
    pub(crate) fn written(&self) -> bool {
        self.how != How::Copy && stamp(&self.path) != self.stamp
    }

    /// Whether somebody wrote to the file since it was opened, so that what was read may be a mix.
    pub(crate) fn changed(&self) -> bool {
        self.how == How::Immutable && stamp(&self.path) != self.stamp
    }

    /// Bytes on disk.
    pub(crate) fn size(&self) -> u64 {
        self.stamp.size
    }

    /// How it is read and why, for the user. `pages`: whether rows came straight from its pages, or
    /// why not; nothing if that was not tried.
    pub(crate) fn reader(&self, pages: Option<&Result<(), Unfit>>) -> String {
        let how = match self.how {
            How::Immutable => "opened as immutable (nothing pending beside the file)",
            How::ReadOnly => "opened read-only (rollback-journal file)",
            How::Copy => "through a private copy (a log with content lies beside the file)",
        };
        match pages {
            Some(Ok(())) => format!("pages and SQLite, {how}"),
            Some(Err(unfit)) => format!("SQLite, {how}; not from its pages: {unfit}"),
            None => format!("SQLite, {how}"),
        }
    }

    fn sql(&self, error: &rusqlite::Error) -> TraceError {
        TraceError::from_sql(&self.path, error)
    }
}

#[expect(
    clippy::permissions_set_readonly_false,
    reason = "a private copy, in a folder of mode 0700"
)]
fn make_writable(file: &Path) -> std::io::Result<()> {
    let mut permissions = std::fs::metadata(file)?.permissions();
    permissions.set_readonly(false);
    std::fs::set_permissions(file, permissions)
}

/// Whether a journal was left by a writer that died: a living one holds a lock, and SQLite then
/// reads the file as it is.
fn needs_rollback(file: &Opened) -> bool {
    matches!(
        file.connect(),
        Err(TraceError::Sql { .. } | TraceError::Io { .. } | TraceError::NoPermission { .. })
    )
}

fn read_start(path: &Path) -> Result<Vec<u8>, TraceError> {
    let mut bytes = Vec::with_capacity(100);
    File::open(path)
        .and_then(|f| f.take(100).read_to_end(&mut bytes))
        .map_err(|e| TraceError::from_io(path, &e))?;
    Ok(bytes)
}

/// The header of a log: its salts change whenever it starts anew.
fn first_bytes(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(32);
    File::open(path).ok()?.take(32).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Compares the number of pages in the header with the size of the file.
fn check_size(path: &Path, header: &[u8], found: u64) -> Result<(), TraceError> {
    let be32 = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        n => u64::from(n),
    };
    if !(512..=65_536).contains(&page) || !page.is_power_of_two() {
        return Err(TraceError::Corrupt {
            path: path.to_path_buf(),
            detail: format!("the header names a page size of {page} bytes"),
        });
    }
    // The page count is valid only where the change counter (24) is the one it was written with (92).
    let expected = u64::from(be32(28)) * page;
    if be32(24) == be32(92) && expected > found {
        return Err(TraceError::Truncated {
            path: path.to_path_buf(),
            expected,
            found,
        });
    }
    Ok(())
}

/// A `file:` URI, so that no character of a path is taken for an option.
fn uri(path: &Path, immutable: bool) -> String {
    use std::fmt::Write as _;
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut out = String::from("file://");
    for &b in absolute.as_os_str().as_encoded_bytes() {
        if b.is_ascii_alphanumeric() || b"/._-~".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
    if immutable {
        out.push_str("?immutable=1");
    }
    out
}

/// Replaces folders by the traces in them, sorted by name. What cannot be used is reported.
pub(crate) fn expand(paths: &[PathBuf]) -> (Vec<PathBuf>, Vec<TraceError>) {
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    if paths.is_empty() {
        errors.push(TraceError::NothingGiven);
    }
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        match std::fs::read_dir(path) {
            Err(e) => errors.push(TraceError::from_io(path, &e)),
            Ok(entries) => {
                let mut found: Vec<PathBuf> = entries
                    .filter_map(Result::ok)
                    .map(|e| e.path())
                    .filter(|p| p.extension().is_some_and(|x| x == "db") && !p.is_dir())
                    .collect();
                found.sort();
                if found.is_empty() {
                    errors.push(TraceError::NoTraces { path: path.clone() });
                }
                files.append(&mut found);
            }
        }
    }
    // A file named twice, perhaps once by its folder, is one file.
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|p| seen.insert(p.canonicalize().unwrap_or_else(|_| p.clone())));
    (files, errors)
}
