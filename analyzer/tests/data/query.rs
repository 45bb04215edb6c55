//! `ingero query`: what it shows, what it refuses, and that the evidence stays as it was.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;

use crate::support::{arg, repo, run, small};

fn json(trace: &Path, sql: &str) -> Vec<Value> {
    let (out, err, code) = run(&["query", "--format", "json", arg(trace), sql]);
    assert_eq!((code, err.as_str()), (0, ""), "{sql}");
    serde_json::from_str(&out).unwrap()
}

fn refused(trace: &Path, sql: &str) -> String {
    let (out, err, code) = run(&["query", arg(trace), sql]);
    assert_eq!((code, out.as_str()), (2, ""), "{sql}: {err}");
    err
}

/// Everything in a folder, with its bytes.
fn folder(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|e| e.unwrap())
        .map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn ev_has_the_intervals_of_the_reader() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    small(&path, "gpu-1", "engine");
    let rows = json(
        &path,
        "SELECT op, node, pid, tid, process, start_ns, end_ns, dur_ns, bytes, stored_timestamp FROM ev ORDER BY start_ns",
    );
    let of = |i: usize, c: &str| rows[i][c].clone();
    // A call is stored by its start, the other two by their ends.
    let times: Vec<[i64; 3]> = (0..3)
        .map(|i| ["start_ns", "end_ns", "stored_timestamp"].map(|c| of(i, c).as_i64().unwrap()))
        .collect();
    assert_eq!(
        times,
        [[1_000, 1_500, 1_000], [1_100, 1_400, 1_400], [2_000, 2_700, 2_700]]
    );
    // The row of the scheduler holds the thread in both columns; the reader knows whose it is.
    assert_eq!((of(1, "pid"), of(1, "tid")), (7.into(), 8.into()));
    assert_eq!(of(1, "process"), "engine");
    assert_eq!(of(2, "bytes"), 8 * 512);
    let stints = json(&path, "SELECT dur_ns, previous_tid FROM offcpu");
    assert_eq!(stints, [serde_json::json!({ "dur_ns": 300, "previous_tid": 99 })]);
}

#[test]
fn files_of_an_old_generation_have_the_same_views() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.db");
    // Generation 0.8: integer ids, no node, no comm.
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER, pid INTEGER, tid INTEGER, \
             source INTEGER, op INTEGER, duration INTEGER, arg0 INTEGER, arg1 INTEGER);
             INSERT INTO events VALUES (41, 1000, 7, 8, 4, 1, 50, 0, 0), (43, 2000, 8, 8, 3, 1, 300, 0, 8),
             (44, 2100, 7, 7, 99, 1, 5, 0, 0);",
        )
        .unwrap();
    let rows = json(
        &path,
        "SELECT event_row, op, start_ns, end_ns, pid FROM ev ORDER BY event_row",
    );
    let expected = serde_json::json!([
        { "event_row": 41, "op": "cuLaunchKernel", "start_ns": 1000, "end_ns": 1050, "pid": 7 },
        { "event_row": 43, "op": "sched_switch", "start_ns": 1700, "end_ns": 2000, "pid": 7 },
        // Nobody knows where the timestamp of an unknown operation lies.
        { "event_row": 44, "op": null, "start_ns": null, "end_ns": null, "pid": null },
    ]);
    assert_eq!(Value::Array(rows), expected);
}

#[test]
fn diagnoses_are_those_of_analyze() {
    let trace = repo("investigations/hol-blocking/trace.db");
    let vllm = repo("rules/vllm.rules");
    let (report, _, code) = run(&["analyze", "--format", "json", "--rules", arg(&vllm), arg(&trace)]);
    assert_eq!(code, 0);
    let report: Value = serde_json::from_str(&report).unwrap();
    let sql = "SELECT rank, rule, severity, pid, start_ns, end_ns, lost_ns, message FROM diagnoses ORDER BY rank";
    let (rows, _, code) = run(&["query", "--format", "json", "--rules", arg(&vllm), arg(&trace), sql]);
    assert_eq!(code, 0);
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    let found = report["diagnoses"].as_array().unwrap();
    assert!(!found.is_empty());
    assert_eq!(rows.len(), found.len());
    for (row, d) in rows.iter().zip(found) {
        for column in ["rank", "rule", "severity", "start_ns", "end_ns", "message"] {
            assert_eq!(row[column], d[column]);
        }
        assert_eq!((&row["pid"], &row["lost_ns"]), (&d["key"]["pid"], &d["impact_ns"]));
    }
}

#[test]
fn a_witness_leads_back_to_its_row() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("t.db");
    assert_eq!(run(&["simulate", "cpu-contention", "-o", arg(&trace)]).2, 0);
    // A part of a stint off the CPU is shorter than its row; a call is its row.
    let sql = "SELECT count(*) n, sum(w.start_ns = e.start_ns AND w.dur_ns = e.dur_ns AND w.op = e.op) same \
               FROM witnesses w JOIN ev e USING (event_row) WHERE w.layer = 'CUDA'";
    let rows = json(&trace, sql);
    assert!(rows[0]["n"].as_i64() > Some(0), "{rows:?}");
    assert_eq!(rows[0]["n"], rows[0]["same"]);
}

#[test]
fn requests_have_the_wait_of_the_reader() {
    let trace = repo("investigations/hol-blocking/trace.db");
    let rows = json(
        &trace,
        "SELECT wait_ns, first_token_ns - start_ns AS wait, prompt_tokens FROM requests WHERE id = 'req-0021'",
    );
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["wait_ns"], rows[0]["wait"]);
    assert_eq!(rows[0]["prompt_tokens"], 128);
}

#[test]
fn nothing_but_reading_is_possible_and_the_folder_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    small(&path, "n", "engine");
    let before = folder(dir.path());
    let out = dir.path().join("out.db");
    let attach = format!("ATTACH '{}' AS x", out.display());
    let vacuum = format!("VACUUM INTO '{}'", out.display());
    for sql in [
        "DELETE FROM events",
        "UPDATE events SET pid = 1",
        "INSERT INTO events(id) VALUES ('x')",
        "INSERT INTO diagnoses(rank) VALUES (1)",
        "CREATE TABLE t(x)",
        "CREATE TEMP TABLE t(x)",
        "DROP VIEW ev",
        "PRAGMA user_version = 3",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "PRAGMA journal_mode = DELETE",
        &attach,
        &vacuum,
        "BEGIN",
        "REINDEX",
        "ANALYZE",
        "SELECT load_extension('x')",
        "WITH x AS (SELECT 1) DELETE FROM events RETURNING id",
    ] {
        let err = refused(&path, sql);
        assert!(err.starts_with("error: a query may only read"), "{sql}: {err}");
    }
    for (sql, message) in [
        ("", "the query is empty"),
        ("/* nothing */", "the query is empty"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELECT 1; DROP TABLE events", "may only read"),
        ("SELEC 1", "syntax error"),
        ("SELECT readfile('/etc/passwd')", "no such function: readfile"),
        ("SELECT writefile('x', 'y')", "no such function: writefile"),
        ("SELECT edit('x')", "no such function: edit"),
    ] {
        let err = refused(&path, sql);
        assert!(err.contains(message), "{sql}: {err}");
    }
    json(&path, "SELECT * FROM ev, diagnoses LEFT JOIN rules");
    assert_eq!(
        json(&path, "SELECT name FROM pragma_table_info('events') LIMIT 1").len(),
        1
    );
    assert!(folder(dir.path()) == before, "the folder changed");
}

#[test]
fn wrong_names_are_answered_with_near_ones() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    small(&path, "n", "engine");
    for (sql, help) in [
        ("SELECT * FROM diagnosis", "did you mean diagnoses?"),
        ("SELECT * FROM evnts", "did you mean events?"),
        ("SELECT strat_ns FROM ev", "did you mean start_ns?"),
        ("SELECT * FROM whatever", "there are ev, offcpu, diagnoses"),
    ] {
        let err = refused(&path, sql);
        assert!(err.contains(help), "{sql}: {err}");
    }
    let missing = refused(&dir.path().join("none.db"), "SELECT 1");
    assert!(missing.contains("no such file"), "{missing}");
}

#[test]
fn a_query_without_end_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    small(&path, "n", "engine");
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let (out, err, code) = run(&["query", "--timeout", "50ms", arg(&path), endless]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("stopped after 0.05 s"), "{err}");
    let huge = refused(&path, "SELECT zeroblob(1000000000)");
    assert!(huge.contains("too big"), "{huge}");
}

#[test]
fn rows_are_limited_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    small(&path, "n", "en\u{1b}gine\u{202e}");
    let (out, err, code) = run(&[
        "query",
        "--limit",
        "2",
        arg(&path),
        "SELECT op, thread FROM ev ORDER BY start_ns",
    ]);
    assert_eq!(code, 0);
    assert_eq!(out.lines().count(), 4, "{out}");
    assert!(err.contains("only the first 2 rows"), "{err}");
    assert!(!out.contains(['\u{1b}', '\u{202e}']), "a name steers the terminal");
    let (out, err, _) = run(&[
        "query",
        "--limit",
        "0",
        "--format",
        "csv",
        arg(&path),
        "SELECT op FROM ev ORDER BY op",
    ]);
    assert_eq!(
        (out.as_str(), err.as_str()),
        ("op\nblock_read\ncudaLaunchKernel\nsched_switch\n", "")
    );
}
