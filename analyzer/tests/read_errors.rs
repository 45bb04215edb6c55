//! Bad files: each has its own error, and no file makes the reader panic.

use std::path::{Path, PathBuf};

use ingero::trace::{ReadOptions, TraceError, read};
use rusqlite::Connection;
use tempfile::TempDir;

const SCHEMA: &str = "CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER NOT NULL, \
    pid INTEGER NOT NULL, tid INTEGER NOT NULL, source INTEGER NOT NULL, op INTEGER NOT NULL, \
    duration INTEGER NOT NULL, gpu_id INTEGER NOT NULL DEFAULT 0, arg0 INTEGER NOT NULL DEFAULT 0, \
    arg1 INTEGER NOT NULL DEFAULT 0, ret_code INTEGER NOT NULL DEFAULT 0, stack_hash INTEGER NOT NULL DEFAULT 0)";

fn make(dir: &Path, name: &str, sql: &str) -> PathBuf {
    let path = dir.join(name);
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(sql).unwrap();
    path
}

fn many_rows(n: usize) -> String {
    format!(
        "{SCHEMA}; WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {n}) \
         INSERT INTO events(timestamp, pid, tid, source, op, duration) \
         SELECT 1775000000000000000 + i * 1000, 7, 7 + i % 3, 1, 3, 500 + i FROM c;"
    )
}

fn error_of(path: &Path) -> TraceError {
    let (trace, mut errors) = read(&[path.to_path_buf()], &ReadOptions::default());
    assert!(trace.is_none(), "{} was read", path.display());
    assert_eq!(errors.len(), 1);
    let error = errors.remove(0);
    let help = miette::Diagnostic::help(&error).expect("a way out").to_string();
    assert!(!help.is_empty());
    assert!(miette::Diagnostic::code(&error).is_some());
    error
}

#[test]
fn each_bad_input_has_its_own_error() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();

    assert!(matches!(error_of(&d.join("nowhere.db")), TraceError::NotFound { .. }));
    assert!(matches!(error_of(d), TraceError::NoTraces { .. }));
    assert!(matches!(
        read(&[], &ReadOptions::default()).1[..],
        [TraceError::NothingGiven]
    ));
    assert!(matches!(error_of(Path::new("/dev/null")), TraceError::NotAFile { .. }));

    let empty = d.join("empty.db");
    std::fs::write(&empty, b"").unwrap();
    assert!(matches!(error_of(&empty), TraceError::EmptyFile { .. }));

    let text = d.join("text.db");
    std::fs::write(&text, b"{\"not\": \"a database\"}".repeat(20)).unwrap();
    assert!(matches!(error_of(&text), TraceError::NotSqlite { .. }));
    std::fs::write(&text, b"SQLite format 3").unwrap();
    assert!(matches!(error_of(&text), TraceError::NotSqlite { .. }));

    let other = make(d, "other.db", "CREATE TABLE notes(x)");
    assert!(matches!(error_of(&other), TraceError::NoEvents { .. }));
    let view = make(d, "view.db", "CREATE TABLE t(x); CREATE VIEW events AS SELECT * FROM t");
    assert!(matches!(error_of(&view), TraceError::NoEvents { .. }));

    let lacks = make(
        d,
        "lacks.db",
        "CREATE TABLE events(id INTEGER PRIMARY KEY, timestamp INTEGER, pid INTEGER)",
    );
    assert!(matches!(error_of(&lacks), TraceError::MissingColumn { column, .. } if column == "tid"));

    let typed = make(
        d,
        "typed.db",
        &format!(
            "{SCHEMA}; INSERT INTO events(timestamp, pid, tid, source, op, duration) VALUES (5, 1, 1, 1, 3, 0), \
             ('2026-04-02', 1, 1, 1, 3, 0)"
        ),
    );
    match error_of(&typed) {
        TraceError::WrongType { row, column, found, .. } => {
            assert_eq!((row, column.as_str(), found.as_str()), (2, "timestamp", "text"));
        }
        other => panic!("{other:?}"),
    }
    let session = make(
        d,
        "session.db",
        &format!(
            "{SCHEMA}; CREATE TABLE sessions(id INTEGER PRIMARY KEY, started_at, stopped_at); INSERT INTO sessions VALUES (1, 'x', 0)"
        ),
    );
    assert!(matches!(error_of(&session), TraceError::WrongType { table, .. } if table == "sessions"));

    let cut = make(d, "cut.db", &many_rows(2000));
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    match error_of(&cut) {
        TraceError::Truncated { expected, found, .. } => {
            assert_eq!((expected, found), (bytes.len() as u64, (bytes.len() / 2) as u64));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_page_of_noise_is_found() {
    let dir = TempDir::new().unwrap();
    let path = make(dir.path(), "noise.db", &many_rows(5000));
    let good = std::fs::read(&path).unwrap();
    // The third page is that of a table which is not read.
    for page in 3..good.len() / 4096 {
        let mut bad = good.clone();
        let mut x = 0x2545_F491_4F6C_DD1D_u64 + page as u64;
        for b in &mut bad[page * 4096..(page + 1) * 4096] {
            x = x
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *b = (x >> 56) as u8;
        }
        std::fs::write(&path, &bad).unwrap();
        assert!(matches!(error_of(&path), TraceError::Corrupt { .. }), "page {page}");
    }
}

#[test]
fn a_locked_file_is_reported() {
    let dir = TempDir::new().unwrap();
    let path = make(dir.path(), "locked.db", &many_rows(10));
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert!(matches!(error_of(&path), TraceError::Locked { .. }));
    writer.execute_batch("ROLLBACK").unwrap();
    assert!(read(&[path], &ReadOptions::default()).0.is_some());
}

#[cfg(unix)]
#[test]
fn a_file_without_permission_is_reported() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    let path = make(dir.path(), "secret.db", &many_rows(10));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0)).unwrap();
    if std::fs::File::open(&path).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    assert!(matches!(error_of(&path), TraceError::NoPermission { .. }));
}

#[test]
fn no_rows_is_a_valid_trace() {
    let dir = TempDir::new().unwrap();
    let path = make(dir.path(), "none.db", SCHEMA);
    let (trace, errors) = read(&[path], &ReadOptions::default());
    assert_eq!(errors, []);
    let trace = trace.unwrap();
    assert_eq!(
        (trace.events(), trace.nodes.len(), trace.nodes[0].observed),
        (0, 1, None)
    );
    let full = make(dir.path(), "full.db", ingero::trace::SCHEMA_SQL);
    assert!(read(&[full], &ReadOptions::default()).0.is_some());
}

#[test]
fn one_bad_file_does_not_stop_the_others() {
    let dir = TempDir::new().unwrap();
    make(dir.path(), "a.db", &many_rows(10));
    std::fs::write(dir.path().join("b.db"), b"no").unwrap();
    make(dir.path(), "c.db", &many_rows(20));
    let (trace, errors) = read(&[dir.path().to_path_buf()], &ReadOptions::default());
    let trace = trace.unwrap();
    assert_eq!(errors.len(), 1);
    assert_eq!(
        trace.nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(),
        ["a", "c"]
    );
}

#[test]
fn flipped_bytes_never_panic() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("flip.db");
    let sql = format!(
        "{}; INSERT INTO sessions(started_at, flags, node) VALUES (1000, 'record-all', 'n'); \
         WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 300) \
         INSERT INTO events(rowid, id, timestamp, pid, tid, source, op, duration, arg1, node, comm) \
         SELECT i, 'n:' || i, 1000 + i * 1000, 7, 7 + i % 3, 1 + i % 4, 1 + i % 7, 500 + i, i % 9, 'n', 'python3' FROM c; \
         INSERT INTO tasks(tid, pid) VALUES (7, 7), (8, 7); \
         INSERT INTO sched_details(event, state) SELECT rowid, 1 FROM events WHERE source = 3; \
         INSERT INTO annotations(timestamp, labels, pid, span_start, span_end) VALUES (5000, '{{\"request_id\":\"a\"}}', 7, 2000, 5000); \
         INSERT INTO event_aggregates(bucket, source, op, pid, count) VALUES (0, 1, 3, 7, 12);",
        ingero::trace::SCHEMA_SQL
    );
    make(dir.path(), "flip.db", &sql);
    let good = std::fs::read(&path).unwrap();
    assert!(read(&[path.clone()], &ReadOptions::default()).1.is_empty());
    let mut x = 88_172_645_463_325_252_u64;
    let mut random = move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    let (mut ok, mut failed) = (0, 0);
    for _ in 0..600 {
        let mut bad = good.clone();
        for _ in 0..=random() % 8 {
            let at = usize::try_from(random()).unwrap() % bad.len();
            bad[at] = (random() >> 32) as u8;
        }
        std::fs::write(&path, &bad).unwrap();
        let (trace, errors) = read(&[path.clone()], &ReadOptions::default());
        assert_eq!(trace.is_none(), !errors.is_empty());
        if errors.is_empty() {
            ok += 1;
        } else {
            failed += 1;
        }
    }
    assert!(ok > 0 && failed > 0, "{ok} read, {failed} refused");
}
