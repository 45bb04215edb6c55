//! A file with any bytes changed reads the same from its pages and through SQLite, or not at all.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use ingero::trace::{ReadOptions, SCHEMA_SQL, Trace, TraceError, read};
use libfuzzer_sys::fuzz_target;
use rusqlite::Connection;

/// Small pages make a tree of three levels, and long texts spill.
const ROWS: &str = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 300) \
    INSERT INTO events(rowid, id, timestamp, pid, tid, source, op, duration, arg0, arg1, node, rank, stack_ips) \
    SELECT i, 'n:' || i, 1775000000000000000 + i * 1000, 7, 7 + i % 3, 1 + i % 8, i % 8, i * i * i, i << (i % 60), \
    i % 4, 'n', CASE i % 3 WHEN 0 THEN i % 8 END, CASE i % 20 WHEN 0 THEN hex(zeroblob(600)) ELSE '' END FROM c;";

struct Base {
    path: PathBuf,
    bytes: Vec<u8>,
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("ingero-fuzz-{}.db", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let conn = Connection::open(&path).expect("it opens");
        conn.execute_batch("PRAGMA page_size=512;").expect("a page size");
        conn.execute_batch(SCHEMA_SQL).expect("the schema");
        conn.execute_batch(ROWS).expect("rows");
        drop(conn);
        let bytes = std::fs::read(&path).expect("just made");
        Base { path, bytes }
    })
}

fn outcome((trace, mut errors): (Option<Trace>, Vec<TraceError>)) -> Result<String, TraceError> {
    match trace {
        Some(mut trace) => {
            trace.files[0].reader.clear();
            Ok(format!("{trace:?}"))
        }
        None => Err(errors.remove(0)),
    }
}

// Each four bytes: a position in three, and what to write there.
fuzz_target!(|edits: &[u8]| {
    let base = base();
    let mut bytes = base.bytes.clone();
    for edit in edits.chunks_exact(4) {
        let at = u32::from_be_bytes([0, edit[0], edit[1], edit[2]]) as usize % bytes.len();
        bytes[at] = edit[3];
    }
    std::fs::write(&base.path, &bytes).expect("it is writable");
    let options = ReadOptions::default();
    let paths = [base.path.clone()];
    let pages = outcome(read(&paths, &options));
    assert_eq!(pages, outcome(options.read_through_sqlite(&paths)));
});
