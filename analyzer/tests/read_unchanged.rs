//! Evidence stays as it is: names, bytes and times of a folder are the same after a read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use ingero::trace::{ReadOptions, Trace, read};
use rusqlite::Connection;
use tempfile::TempDir;

type Contents = BTreeMap<String, (Vec<u8>, SystemTime)>;

fn contents(dir: &Path) -> Contents {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|e| {
            let e = e.unwrap();
            let name = e.file_name().into_string().unwrap();
            (
                name,
                (
                    std::fs::read(e.path()).unwrap(),
                    e.metadata().unwrap().modified().unwrap(),
                ),
            )
        })
        .collect()
}

const INSERT: &str = "INSERT INTO events(id, timestamp, pid, tid, source, op, duration, node) \
    SELECT 'n:' || (1 + (SELECT count(*) FROM events)), 1000 + 10 * (SELECT count(*) FROM events), 7, 7, 1, 3, 5, 'n';";

fn fresh(dir: &Path, journal: &str) -> Connection {
    let conn = Connection::open(dir.join("t.db")).unwrap();
    conn.pragma_update(None, "journal_mode", journal).unwrap();
    conn.execute_batch(ingero::trace::SCHEMA_SQL).unwrap();
    conn.execute_batch(INSERT).unwrap();
    conn
}

fn read_unchanged(dir: &Path) -> Trace {
    let before = contents(dir);
    let (trace, errors) = read(&[dir.join("t.db")], &ReadOptions::default());
    assert_eq!(errors, []);
    let after = contents(dir);
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    assert!(before == after, "something in the folder changed");
    trace.unwrap()
}

#[test]
fn a_closed_file_is_left_alone() {
    for journal in ["wal", "delete"] {
        let dir = TempDir::new().unwrap();
        drop(fresh(dir.path(), journal));
        assert_eq!(contents(dir.path()).len(), 1);
        assert_eq!(read_unchanged(dir.path()).events(), 1);
    }
}

#[test]
fn rows_that_are_only_in_the_log_are_read() {
    let dir = TempDir::new().unwrap();
    let writer = fresh(dir.path(), "wal");
    writer.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    writer.execute_batch(INSERT).unwrap();
    assert_eq!(contents(dir.path()).len(), 3);
    let trace = read_unchanged(dir.path());
    assert_eq!(trace.events(), 2);
    assert!(
        trace.files[0].reader.contains("private copy"),
        "{}",
        trace.files[0].reader
    );

    // The same with a log that a dead writer left behind.
    let left = TempDir::new().unwrap();
    for name in ["t.db", "t.db-wal"] {
        std::fs::copy(dir.path().join(name), left.path().join(name)).unwrap();
    }
    assert_eq!(read_unchanged(left.path()).events(), 2);
}

#[test]
fn an_empty_log_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let writer = fresh(dir.path(), "wal");
    writer.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert_eq!(read_unchanged(dir.path()).events(), 1);
    drop(writer);
}

#[test]
fn a_journal_of_a_dead_writer_is_rolled_back_in_a_copy() {
    let dir = TempDir::new().unwrap();
    let writer = fresh(dir.path(), "delete");
    // A transaction that spills to the file before it commits.
    writer.execute_batch("PRAGMA cache_size=1; BEGIN").unwrap();
    let many = "WITH RECURSIVE c(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM c WHERE i < 3000) \
        INSERT INTO events(id, timestamp, pid, tid, source, op, duration, node) SELECT 'n:' || i, i, 7, 7, 1, 3, 5, 'n' FROM c;";
    writer.execute_batch(many).unwrap();
    let crashed = TempDir::new().unwrap();
    for name in ["t.db", "t.db-journal"] {
        std::fs::copy(dir.path().join(name), crashed.path().join(name)).unwrap();
    }
    drop(writer);
    let trace = read_unchanged(crashed.path());
    assert_eq!(trace.events(), 1);
    assert!(
        trace.files[0].reader.contains("private copy"),
        "{}",
        trace.files[0].reader
    );
}

#[cfg(unix)]
#[test]
fn a_read_only_folder_is_enough() {
    use std::os::unix::fs::PermissionsExt as _;
    for pending in [false, true] {
        let dir = TempDir::new().unwrap();
        let writer = fresh(dir.path(), "wal");
        let left = TempDir::new().unwrap();
        if !pending {
            writer.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        }
        for name in ["t.db", "t.db-wal"].into_iter().take(if pending { 2 } else { 1 }) {
            let to = left.path().join(name);
            std::fs::copy(dir.path().join(name), &to).unwrap();
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o444)).unwrap();
        }
        std::fs::set_permissions(left.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
        assert_eq!(read_unchanged(left.path()).events(), 1);
        std::fs::set_permissions(left.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_file_that_is_being_written_can_be_read() {
    let dir = TempDir::new().unwrap();
    let writer = fresh(dir.path(), "wal");
    writer.pragma_update(None, "wal_autocheckpoint", 5).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            let writer = writer;
            while !stop.load(Ordering::Relaxed) {
                writer.execute_batch(INSERT).unwrap();
            }
        });
        let mut last = 0;
        for _ in 0..20 {
            let (trace, errors) = read(&[dir.path().join("t.db")], &ReadOptions::default());
            // A reader that never finds a quiet moment says so; it never gives a mixture.
            if let Some(trace) = trace {
                let rows = usize::try_from(trace.files[0].rows).unwrap();
                assert_eq!(
                    trace.events(),
                    rows + trace
                        .lanes
                        .iter()
                        .filter(|l| l.row.is_empty())
                        .map(|l| l.len())
                        .sum::<usize>()
                );
                assert!(rows >= last, "{rows} after {last}");
                last = rows;
            } else {
                assert!(
                    errors
                        .iter()
                        .all(|e| matches!(e, ingero::trace::TraceError::Changing { .. })),
                    "{errors:?}"
                );
            }
        }
        assert!(last > 0);
        stop.store(true, Ordering::Relaxed);
    });
}
