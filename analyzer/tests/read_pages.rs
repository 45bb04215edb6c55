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
    let page_size = r.of(&[512, 1024, 2048, 4096, 4096, 8192, 32_768, 65_536]);
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

#[test]
fn generated_files_read_the_same() {
    let dir = TempDir::new().unwrap();
    let files = std::env::var("INGERO_TEST_FILES").map_or(80, |n| n.parse().unwrap());
    for seed in 0..files {
        let path = generate(dir.path(), seed, 1500);
        same(&path, &format!("seed {seed}"));
        std::fs::remove_file(path).unwrap();
    }
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
            for _ in 0..=r.below(3) {
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
            let which = match compare(&path, &options, &format!("seed {seed}, round {round}, bytes {flips:?}")) {
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
        (format!("PRAGMA encoding='UTF-16'; {SCHEMA}); {ROWS}"), "not UTF-8"),
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
