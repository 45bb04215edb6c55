//! Rows straight from pages are the rows that SQLite reads, whatever the file looks like.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::format_push_string,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a test"
)]

use std::path::{Path, PathBuf};

use ingero::trace::catalogue::{Op, Source};
use ingero::trace::{Needs, ReadOptions, Trace, TraceError, read};
use rusqlite::Connection;
use tempfile::TempDir;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let x = self.0 ^ (self.0 >> 33);
        x.wrapping_mul(0xFF51_AFD7_ED55_8CCD) ^ (x >> 29)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Numbers of every size, also such as take all eight bytes.
    fn number(&mut self) -> i64 {
        let n = (self.next() >> self.below(64)) as i64;
        if self.chance(30) { n.wrapping_neg() } else { n }
    }
}

type Read = Result<(Trace, String), TraceError>;

fn outcome((trace, mut errors): (Option<Trace>, Vec<TraceError>)) -> Read {
    match trace {
        Some(mut trace) => {
            assert!(errors.is_empty());
            let reader = std::mem::take(&mut trace.files[0].reader);
            Ok((trace, reader))
        }
        None => Err(errors.remove(0)),
    }
}

/// Reads in both ways and compares. Gives the reader, or the error of both.
fn compare(path: &Path, options: &ReadOptions<'_>, what: &str) -> Result<String, TraceError> {
    let paths = [path.to_path_buf()];
    let pages = outcome(read(&paths, options));
    let sqlite = outcome(options.read_through_sqlite(&paths));
    match (pages, sqlite) {
        (Ok((pages, reader)), Ok((sqlite, _))) => {
            let (a, b) = (format!("{pages:?}"), format!("{sqlite:?}"));
            assert!(
                a == b,
                "{what}: read by {reader}, the traces differ:\n{}",
                difference(&a, &b)
            );
            Ok(reader)
        }
        (Err(a), Err(b)) => {
            assert_eq!(a, b, "{what}");
            Err(a)
        }
        (Ok((_, reader)), Err(error)) => panic!("{what}: SQLite says {error}, but {reader} read it"),
        (Err(error), Ok(_)) => panic!("{what}: {error}, but SQLite reads it"),
    }
}

fn difference(a: &str, b: &str) -> String {
    let at = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let around = |s: &str| {
        let bytes = s.as_bytes();
        String::from_utf8_lossy(&bytes[at.saturating_sub(80)..(at + 80).min(bytes.len())]).into_owned()
    };
    format!("{}\n{}", around(a), around(b))
}

fn some_needs() -> Needs {
    let mut needs = Needs::nothing();
    for op in Op::all().filter(|o| o.def().source == Source::Io) {
        needs.add(op);
    }
    needs
}

/// Compares with several options. The file must be read from its pages.
fn same(path: &Path, what: &str) {
    for threads in [1, 3] {
        for needs in [Needs::everything(), some_needs(), Needs::nothing()] {
            let options = ReadOptions {
                needs,
                threads,
                ..ReadOptions::default()
            };
            let reader = compare(path, &options, what).unwrap();
            assert!(reader.starts_with("pages") || is_empty(path), "{what}: {reader}");
        }
    }
}

/// Whether there is nothing to read.
fn is_empty(path: &Path) -> bool {
    let conn = Connection::open(path).unwrap();
    let rows: i64 = conn.query_row("SELECT count(*) FROM events", [], |r| r.get(0)).unwrap();
    rows == 0
}

/// The file is read, by SQLite, for a reason.
fn falls_back(path: &Path, reason: &str) {
    let reader = compare(path, &ReadOptions::default(), reason).unwrap();
    assert!(reader.starts_with("SQLite") && reader.contains(reason), "{reader}");
}

const NUMBERS: [(&str, &str); 11] = [
    ("timestamp", "INTEGER NOT NULL"),
    ("pid", "INTEGER NOT NULL"),
    ("tid", "INTEGER NOT NULL"),
    ("source", "INTEGER NOT NULL"),
    ("op", "INTEGER"),
    ("duration", "BIGINT"),
    ("arg0", "INTEGER NOT NULL DEFAULT 0"),
    ("arg1", ""),
    ("gpu_id", "INTEGER NOT NULL DEFAULT 0"),
    ("ret_code", "INTEGER NOT NULL DEFAULT 0"),
    ("stack_hash", "INTEGER NOT NULL DEFAULT 0"),
];
const OTHERS: [(&str, &str); 6] = [
    ("node", "TEXT NOT NULL DEFAULT ''"),
    ("rank", "INTEGER"),
    ("comm", "TEXT NOT NULL DEFAULT ''"),
    ("stack_ips", "TEXT NOT NULL DEFAULT ''"),
    ("cgroup_id", "INTEGER NOT NULL DEFAULT 0"),
    ("load", "REAL"),
];
const LATER: [(&str, &str); 6] = [
    ("node", "TEXT NOT NULL DEFAULT 'it''s old'"),
    ("rank", "INTEGER"),
    ("comm", "TEXT"),
    ("stack_ips", "TEXT NOT NULL DEFAULT ''"),
    ("cgroup_id", "INTEGER NOT NULL DEFAULT -71"),
    ("load", "REAL DEFAULT 0.5"),
];

fn shuffle<T>(items: &mut [T], r: &mut Random) {
    for i in (1..items.len()).rev() {
        items.swap(i, r.below(i + 1));
    }
}

/// Makes an empty file whose pages end in reserved bytes, as extensions of SQLite use them.
fn reserve(path: &Path, page_size: usize, reserved: u8) {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(&format!(
        "PRAGMA page_size={page_size}; CREATE TABLE t(x); DROP TABLE t; VACUUM;"
    ))
    .unwrap();
    drop(conn);
    let mut bytes = std::fs::read(path).unwrap();
    assert_eq!(bytes.len(), page_size);
    bytes[20] = reserved;
    // Where the cells of the only page begin.
    let end = (page_size - usize::from(reserved)) as u16;
    bytes[105..107].copy_from_slice(&end.to_be_bytes());
    std::fs::write(path, bytes).unwrap();
}

/// A database with a shape of its own for each seed.
fn generate(dir: &Path, seed: u64, most_rows: usize) -> PathBuf {
    let mut r = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1);
    let path = dir.join(format!("{seed}.db"));
    let page_size = r.of(&[512, 1024, 2048, 4096, 4096, 8192, 16_384, 32_768, 65_536]);
    if r.chance(20) {
        let size = page_size.min(32_768);
        let reserved = r.of(&[4, 12, 32]);
        reserve(&path, size, reserved);
    }
    let conn = Connection::open(&path).unwrap();
    let vacuum = r.below(3);
    conn.execute_batch(&format!("PRAGMA page_size={page_size}; PRAGMA auto_vacuum={vacuum};"))
        .unwrap();
    if r.chance(50) {
        conn.execute_batch("PRAGMA journal_mode=WAL").unwrap();
    }
    let text_ids = r.chance(50);
    let later = r.chance(30);
    let mut columns: Vec<(&str, &str)> = NUMBERS.to_vec();
    columns.push((
        "id",
        if text_ids {
            "TEXT PRIMARY KEY"
        } else {
            "INTEGER PRIMARY KEY"
        },
    ));
    if !later {
        columns.extend(OTHERS);
    }
    if r.chance(60) {
        shuffle(&mut columns, &mut r);
    }
    let list: Vec<String> = columns.iter().map(|(n, t)| format!("{n} {t}")).collect();
    conn.execute_batch(&format!(
        "CREATE TABLE before(x); CREATE TABLE events({}); CREATE TABLE filler(x);",
        list.join(", ")
    ))
    .unwrap();
    if r.chance(50) {
        conn.execute_batch("CREATE INDEX by_time ON events(timestamp)").unwrap();
    }
    let rows = r.of(&[1, 2, most_rows / 10 + 1, most_rows, most_rows]);
    let nodes = r.of(&[1, 1, 3]);
    let nulls = r.chance(50);
    let holes = r.of(&[1, 1, 1, 5, 1000]);
    let long = r.of(&[0, 0, 3, 30]);
    let base = r.of(&[1, 1, 0, -500, 1 << 40]);
    let (ordered, extreme) = (r.chance(90), r.chance(30));
    let mut rowid = base;
    let insert = |r: &mut Random, rowid: i64, columns: &[(&str, &str)]| {
        let node = r.below(nodes);
        let mut values = Vec::new();
        for (name, _) in columns {
            values.push(match *name {
                "id" if text_ids => format!("'n{node}:{rowid}'"),
                "id" => rowid.to_string(),
                "timestamp" if !extreme => (1_775_000_000_000_000_000 + rowid * 1000).to_string(),
                "pid" | "tid" if !extreme => (700 + r.below(4)).to_string(),
                "source" => (r.below(9)).to_string(),
                "op" => (r.below(8)).to_string(),
                "rank" if nulls && r.chance(50) => "NULL".into(),
                "node" => format!("'n{node}'"),
                "comm" => "'python3'".into(),
                "load" => r.of(&["NULL", "0.25", "7", "1e300"]).into(),
                "stack_ips" if r.chance(long) => format!("'{}'", "x".repeat(r.below(3 * page_size))),
                "stack_ips" => format!("'{}'", "y".repeat(r.below(20))),
                _ => r.number().to_string(),
            });
        }
        let names: Vec<&str> = columns.iter().map(|c| c.0).collect();
        let (row, at) = if text_ids {
            ("rowid, ", format!("{rowid}, "))
        } else {
            ("", String::new())
        };
        let sql = format!(
            "INSERT OR REPLACE INTO events({row}{}) VALUES ({at}{})",
            names.join(", "),
            values.join(", ")
        );
        conn.execute_batch(&sql).unwrap();
    };
    conn.execute_batch("BEGIN").unwrap();
    for i in 0..rows {
        let at = if ordered {
            rowid
        } else {
            base + r.below(4 * rows) as i64
        };
        insert(&mut r, at, &columns);
        rowid += 1 + if holes > 1 { r.below(holes) as i64 } else { 0 };
        if later && i == rows / 2 {
            for (name, ty) in LATER {
                conn.execute_batch(&format!("ALTER TABLE events ADD COLUMN {name} {ty}"))
                    .unwrap();
                columns.push((name, ty));
            }
        }
        if i % 50 == 0 {
            conn.execute_batch("INSERT INTO filler VALUES (zeroblob(700))").unwrap();
        }
    }
    conn.execute_batch("COMMIT").unwrap();
    if r.chance(40) {
        let which = r.of(&["rowid % 3 = 0", "rowid % 100 > 20", "rowid % 2 = 1 AND pid < 702"]);
        conn.execute_batch(&format!("DELETE FROM filler; DELETE FROM events WHERE {which}"))
            .unwrap();
        if r.chance(50) {
            for i in 0..20 {
                insert(&mut r, rowid + i, &columns);
            }
        }
        if r.chance(40) {
            conn.execute_batch(r.of(&["VACUUM", "PRAGMA incremental_vacuum(3)"]))
                .unwrap();
        }
    }
    path
}

/// What there is in a file that a reader of pages can get wrong.
fn traits(path: &Path) -> Vec<String> {
    let conn = Connection::open(path).unwrap();
    let number = |sql: &str| conn.query_row(sql, [], |r| r.get::<_, i64>(0)).unwrap();
    let pages = |kind: &str| {
        number(&format!(
            "SELECT count(*) FROM dbstat WHERE name = 'events' AND pagetype = '{kind}'"
        ))
    };
    let header = std::fs::read(path).unwrap();
    let columns =
        number("SELECT group_concat(name) LIKE 'timestamp,pid,tid,source,%' FROM pragma_table_info('events')");
    let text = number("SELECT type LIKE 'TEXT%' FROM pragma_table_info('events') WHERE name = 'id'") == 1;
    let mut all = vec![
        format!("pages of {}", number("PRAGMA page_size")),
        format!("vacuum {}", number("PRAGMA auto_vacuum")),
        format!("text ids {text}"),
        format!("usual columns {}", columns == 1),
        format!("written by way of a log {}", header[18] == 2),
    ];
    let also = [
        ("bytes reserved", header[20] > 0),
        ("free pages", number("PRAGMA freelist_count") > 0),
        ("overflow", pages("overflow") > 0),
        ("interior pages", pages("internal") > 0),
        ("two levels of them", pages("internal") > 1),
    ];
    all.extend(also.iter().filter(|t| t.1).map(|t| t.0.to_owned()));
    all
}

const TRAITS: [&str; 23] = [
    "pages of 512",
    "pages of 1024",
    "pages of 2048",
    "pages of 4096",
    "pages of 8192",
    "pages of 16384",
    "pages of 32768",
    "pages of 65536",
    "vacuum 0",
    "vacuum 1",
    "vacuum 2",
    "text ids false",
    "text ids true",
    "usual columns false",
    "usual columns true",
    "written by way of a log false",
    "written by way of a log true",
    "bytes reserved",
    "free pages",
    "overflow",
    "interior pages",
    "two levels of them",
    "overflow and a map of pages",
];

#[test]
fn generated_files_read_the_same() {
    let dir = TempDir::new().unwrap();
    let files = std::env::var("INGERO_TEST_FILES").map_or(80, |n| n.parse().unwrap());
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..files {
        let path = generate(dir.path(), seed, 1500);
        same(&path, &format!("seed {seed}"));
        let found = traits(&path);
        let has = |t: &str| found.iter().any(|f| f == t);
        if has("overflow") && !has("vacuum 0") {
            seen.insert("overflow and a map of pages".to_owned());
        }
        seen.extend(found);
        std::fs::remove_file(path).unwrap();
    }
    let missing: Vec<_> = TRAITS.iter().filter(|t| !seen.contains(**t)).collect();
    assert!(missing.is_empty(), "no file had {missing:?}");
}

#[test]
fn recordings_read_the_same() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = ["../../shared/traces", "../../../shared/traces"]
        .iter()
        .map(|d| here.join(d))
        .find(|d| d.is_dir());
    let Some(folder) = found else {
        println!("skipped: no recordings in ../shared/traces");
        return;
    };
    let mut n = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "db") {
            same(&path, &path.display().to_string());
            n += 1;
        }
    }
    assert!(n > 0);
}

/// Spoils a whole page, or leaves the file shorter; gives what was done.
fn spoil_page(bytes: &mut Vec<u8>, r: &mut Random) -> String {
    let size = match u16::from_be_bytes([bytes[16], bytes[17]]) {
        1 => 65_536,
        n => usize::from(n),
    };
    let pages = bytes.len() / size;
    let (at, other) = (1 + r.below(pages - 1), r.below(pages));
    match r.below(4) {
        0 => {
            bytes[at * size..(at + 1) * size].fill_with(|| r.next() as u8);
            format!("noise on page {}", at + 1)
        }
        1 => {
            bytes[at * size..(at + 1) * size].fill(0);
            format!("zeros on page {}", at + 1)
        }
        2 => {
            bytes.copy_within(other * size..(other + 1) * size, at * size);
            format!("page {} on page {}", other + 1, at + 1)
        }
        _ => {
            bytes.truncate(at * size + r.below(size));
            format!("nothing from page {} on", at + 1)
        }
    }
}

/// Damage is found, or is read as SQLite reads it.
#[test]
fn damaged_files_read_the_same_or_not_at_all() {
    let dir = TempDir::new().unwrap();
    let rounds = std::env::var("INGERO_TEST_FLIPS").map_or(60, |n| n.parse().unwrap());
    let mut counts = [0; 3];
    for seed in 0..8_u64 {
        let path = generate(dir.path(), 1000 + seed, 300);
        let good = std::fs::read(&path).unwrap();
        let mut r = Random(seed + 77);
        for round in 0..rounds {
            let mut bad = good.clone();
            let mut flips = Vec::new();
            let whole_page = r.chance(15).then(|| spoil_page(&mut bad, &mut r));
            for _ in 0..if whole_page.is_some() { 0 } else { 1 + r.below(3) } {
                let mut at = r.below(bad.len());
                // What matters most is at the beginning of pages.
                if r.chance(40) {
                    at = at / 512 * 512 + r.below(16);
                }
                let at = at.min(bad.len() - 1);
                let byte = if r.chance(50) {
                    bad[at] ^ 1 << r.below(8)
                } else {
                    r.next() as u8
                };
                bad[at] = byte;
                flips.push((at, byte));
            }
            std::fs::write(&path, &bad).unwrap();
            let options = ReadOptions {
                threads: 2,
                ..ReadOptions::default()
            };
            let what = format!("seed {seed}, round {round}, {whole_page:?}, bytes {flips:?}");
            let which = match compare(&path, &options, &what) {
                Ok(reader) if reader.starts_with("pages") => 0,
                Ok(_) => 1,
                Err(_) => 2,
            };
            counts[which] += 1;
        }
        std::fs::remove_file(path).unwrap();
    }
    println!("pages {}, SQLite {}, errors {}", counts[0], counts[1], counts[2]);
    assert!(counts.iter().all(|&n| n > 0), "{counts:?}");
}

const SCHEMA: &str = "CREATE TABLE events (id INTEGER PRIMARY KEY, timestamp INTEGER, pid INTEGER, tid INTEGER, \
    source INTEGER, op INTEGER, duration INTEGER, arg0 INTEGER DEFAULT 0, arg1 INTEGER DEFAULT 0";

fn make(dir: &Path, sql: &str) -> PathBuf {
    let path = dir.join("made.db");
    let _ = std::fs::remove_file(&path);
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    path
}

const ROWS: &str = "INSERT INTO events(id, timestamp, pid, tid, source, op, duration) VALUES \
    (1, 1000, 7, 7, 1, 3, 10), (2, 2000, 7, 7, 1, 3, 10);";

#[test]
fn what_is_unusual_is_left_to_sqlite() {
    let dir = TempDir::new().unwrap();
    let d = dir.path();
    for (sql, reason) in [
        (format!("PRAGMA encoding='UTF-16le'; {SCHEMA}); {ROWS}"), "not UTF-8"),
        (format!("PRAGMA encoding='UTF-16be'; {SCHEMA}); {ROWS}"), "not UTF-8"),
        (
            format!("{SCHEMA}, twice INTEGER AS (duration * 2)); {ROWS}"),
            "computed columns",
        ),
        (
            format!(
                "{SCHEMA}); {ROWS} ALTER TABLE events ADD COLUMN cgroup_id INTEGER DEFAULT '7'; \
                 ALTER TABLE events ADD COLUMN node TEXT DEFAULT 5"
            ),
            "added later",
        ),
    ] {
        falls_back(&make(d, &sql), reason);
    }
    // Here SQLite reads nothing either; both say the same.
    for (schema, rows) in [
        (SCHEMA.replace("duration INTEGER", "duration REAL"), ROWS),
        (
            SCHEMA.to_owned(),
            "INSERT INTO events VALUES (1, 1000, 7, 7, 1, 3, 'long', 0, 0)",
        ),
        (
            SCHEMA.to_owned(),
            "INSERT INTO events VALUES (1, 1000, 7, 7, 1, 3, 0.5, 0, 0)",
        ),
        (
            SCHEMA.to_owned(),
            "INSERT INTO events VALUES (1, 1000, 7, NULL, 1, 3, 5, 0, 0)",
        ),
    ] {
        let path = make(d, &format!("{schema}); {rows}"));
        let error = compare(&path, &ReadOptions::default(), rows).unwrap_err();
        assert!(matches!(error, TraceError::WrongType { .. }), "{error}");
    }
}

#[test]
fn small_and_deep_trees_are_walked() {
    let dir = TempDir::new().unwrap();
    let path = make(dir.path(), &format!("{SCHEMA})"));
    let reader = compare(&path, &ReadOptions::default(), "no rows").unwrap();
    assert!(reader.starts_with("SQLite"), "{reader}");
    same(&make(dir.path(), &format!("{SCHEMA}); {ROWS}")), "two rows");
    let deep = format!(
        "PRAGMA page_size=512; {SCHEMA}); WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 20000) \
         INSERT INTO events(timestamp, pid, tid, source, op, duration) SELECT 1775000000000000000 - i % 7, i % 3, 7, 1, i % 9, i FROM c;"
    );
    same(&make(dir.path(), &deep), "a deep tree");
}

/// A transaction too large for the cache, so that its pages reach the file before it is done.
const MANY: &str = "PRAGMA cache_size=2; BEGIN; WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 3000) \
    INSERT INTO events(timestamp, pid, tid, source, op, duration) SELECT i, 7, 7, 1, 3, i FROM c;";

fn copy_of(path: &Path, to: &Path, suffixes: &[&str]) -> PathBuf {
    for suffix in suffixes {
        let name = format!("made.db{suffix}");
        std::fs::copy(path.with_file_name(&name), to.join(name)).unwrap();
    }
    to.join("made.db")
}

#[test]
fn logs_journals_and_locks_are_read_the_same() {
    let options = ReadOptions::default();
    let (dir, left) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut locked = 0;
    for seed in 0..4_u64 {
        let path = generate(dir.path(), seed + 500, 200);
        let made = path.with_file_name("made.db");
        std::fs::rename(path, &made).unwrap();
        let writer = Connection::open(&made).unwrap();
        let what = format!("seed {seed}");

        // What is only in the log counts, also where its writer is gone.
        writer
            .execute_batch("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0")
            .unwrap();
        let before = writer
            .query_row("SELECT count(*) FROM events", [], |r| r.get::<_, i64>(0))
            .unwrap();
        writer
            .execute_batch("INSERT INTO events(timestamp, pid, tid, source, op, duration, arg0, arg1, gpu_id, ret_code, cgroup_id) \
                VALUES (5, 7, 7, 1, 3, 9, 0, 0, 0, 0, 0)")
            .unwrap();
        let reader = compare(&made, &options, &what).unwrap();
        assert!(
            reader.starts_with("pages") && reader.contains("private copy"),
            "{reader}"
        );
        let dead = copy_of(&made, left.path(), &["", "-wal"]);
        let reader = compare(&dead, &options, &what).unwrap();
        assert!(
            reader.starts_with("pages") && reader.contains("private copy"),
            "{reader}"
        );
        let (trace, _) = read(&[dead], &options);
        assert_eq!(trace.unwrap().files[0].rows, before.cast_unsigned() + 1, "{what}");

        // A transaction that reached the file keeps readers out, and is undone if its writer died.
        writer.execute_batch("PRAGMA journal_mode=DELETE").unwrap();
        writer.execute_batch(MANY).unwrap();
        let _ = std::fs::remove_file(left.path().join("made.db-wal"));
        let rows = match compare(&made, &options, &what) {
            Err(error) => {
                assert_eq!(error, TraceError::Locked { path: made.clone() });
                locked += 1;
                let dead = copy_of(&made, left.path(), &["", "-journal"]);
                let reader = compare(&dead, &options, &what).unwrap();
                assert!(
                    reader.starts_with("pages") && reader.contains("private copy"),
                    "{reader}"
                );
                read(&[dead], &options).0.unwrap().files[0].rows
            }
            // Large pages hold it all: nothing was written yet.
            Ok(_) => read(std::slice::from_ref(&made), &options).0.unwrap().files[0].rows,
        };
        assert_eq!(rows, before.cast_unsigned() + 1, "{what}");
        drop(writer);
        std::fs::remove_file(&made).unwrap();
        for name in ["made.db", "made.db-journal"] {
            let _ = std::fs::remove_file(left.path().join(name));
        }
    }
    assert!(locked > 0);
}

#[test]
fn a_log_with_content_is_read_from_pages_of_the_copy() {
    let dir = TempDir::new().unwrap();
    let path = make(dir.path(), &format!("PRAGMA journal_mode=WAL; {SCHEMA});"));
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("PRAGMA wal_autocheckpoint=0").unwrap();
    writer.execute_batch(ROWS).unwrap();
    let reader = compare(&path, &ReadOptions::default(), "log").unwrap();
    assert!(reader.contains("private copy"), "{reader}");
    let (trace, _) = read(&[path], &ReadOptions::default());
    assert_eq!(trace.unwrap().events(), 2);
}
