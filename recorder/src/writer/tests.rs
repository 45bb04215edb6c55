use super::*;

fn writer(dir: &Path) -> Writer {
    let session = Session {
        node: "n".to_owned(),
        flags: "record-all".to_owned(),
        ..Session::default()
    };
    let offset = Offset {
        at_ns: 1,
        offset_ns: 1_000_000_000_000,
        error_ns: 5,
        wall_error_ns: -1,
    };
    let progress = Arc::new(Progress::default());
    Writer::create(&dir.join("t.db"), false, session, offset, Rotation::default(), progress).unwrap()
}

fn one<T: rusqlite::types::FromSql>(db: &Connection, sql: &str) -> T {
    db.query_row(sql, [], |r| r.get(0)).unwrap()
}

fn call(source: u8, op: u8) -> Call {
    Call {
        source,
        op,
        ret: -3,
        pid: 10,
        tid: 11,
        start_ns: 100,
        dur_ns: 40,
        arg0: u64::MAX,
        arg1: 2,
        stream: 0,
        handle: 0,
    }
}

#[test]
fn calls_are_stamped_at_their_start_and_requests_at_their_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = writer(dir.path());
    w.begin().unwrap();
    w.call(&call(1, 7)).unwrap();
    w.call(&call(7, 2)).unwrap();
    w.finish("test").unwrap();
    let db = Connection::open(dir.path().join("t.db")).unwrap();
    let at: i64 = one(&db, "SELECT timestamp FROM events WHERE source=1");
    assert_eq!(at, 1_000_000_000_100);
    let at: i64 = one(&db, "SELECT timestamp FROM events WHERE source=7");
    assert_eq!(at, 1_000_000_000_140);
    let id: String = one(&db, "SELECT id FROM events WHERE rowid=2");
    assert_eq!(id, "n:2");
    let arg0: i64 = one(&db, "SELECT arg0 FROM events WHERE rowid=1");
    assert_eq!(arg0, -1);
}

#[test]
fn aggregates_say_that_all_was_stored() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = writer(dir.path());
    w.begin().unwrap();
    for _ in 0..3 {
        w.call(&call(1, 3)).unwrap();
    }
    w.finish("test").unwrap();
    let db = Connection::open(dir.path().join("t.db")).unwrap();
    for table in ["event_aggregates", "event_aggregates_5s"] {
        let n: i64 = one(&db, &format!("SELECT sum(count) FROM {table} WHERE stored=count"));
        assert_eq!(n, 3, "{table}");
    }
}

#[test]
fn a_finished_file_is_one_file_and_closed() {
    let dir = tempfile::tempdir().unwrap();
    writer(dir.path()).finish("test").unwrap();
    let names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["t.db"]);
    let db = Connection::open(dir.path().join("t.db")).unwrap();
    let stopped: i64 = one(&db, "SELECT stopped_at FROM sessions");
    assert!(stopped > 0);
    let why: String = one(&db, "SELECT value FROM recording WHERE key='stopped_by'");
    assert_eq!(why, "test");
    let version: i64 = one(&db, "PRAGMA user_version");
    assert_eq!(version, 10);
    let vacuum: i64 = one(&db, "PRAGMA auto_vacuum");
    assert_eq!(vacuum, 2);
}

#[test]
fn an_existing_file_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("t.db"), "precious").unwrap();
    let again = Writer::create(
        &dir.path().join("t.db"),
        false,
        Session::default(),
        clock::offset(),
        Rotation::default(),
        Arc::new(Progress::default()),
    );
    assert!(matches!(again.err(), Some(RecorderError::FileExists(_))));
    assert_eq!(fs::read(dir.path().join("t.db")).unwrap(), b"precious");
}

#[test]
fn rolled_names_sort_by_time() {
    let name = rolled_name(Path::new("/x/trace.db"), 1_764_000_000_123_456_789, 1);
    let name = name.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("trace.20251124T160000.123456789Z-"), "{name}");
    assert_eq!(Path::new(name).extension().unwrap(), "db");
}

#[test]
fn a_new_file_begins_when_one_is_large() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = writer(dir.path());
    w.rotation.max_bytes = 400_000;
    for i in 0..40_000u64 {
        w.begin().unwrap();
        w.call(&Call {
            start_ns: i,
            ..call(1, 3)
        })
        .unwrap();
        if i % 5000 == 4999 {
            w.opened = Instant::now().checked_sub(COMMIT_EVERY).unwrap();
            w.commit_if_due();
        }
    }
    let summary = w.finish("test").unwrap();
    assert!(summary.files.len() > 2, "{summary:?}");
    let (mut rows, mut last) = (0, 0);
    for file in &summary.files {
        let db = Connection::open(file).unwrap();
        let n: i64 = one(&db, "SELECT count(*) FROM events");
        let first: i64 = one(&db, "SELECT coalesce(min(rowid),0) FROM events");
        let stopped: i64 = one(&db, "SELECT min(stopped_at) FROM sessions");
        assert!(stopped > 0, "{file:?}");
        assert!(n == 0 || first == last + 1, "{file:?} begins at {first} after {last}");
        rows += n;
        last += n;
    }
    assert_eq!(rows, 40_000);
}
