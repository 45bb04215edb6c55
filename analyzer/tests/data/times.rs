//! Offsets on the command line and in reports, with traces of several nodes and days.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;

use crate::support::{arg, run};

const SEC: i64 = 1_000_000_000;
const DAY_1: i64 = 1_767_225_600 * SEC;
const DAY_2: i64 = DAY_1 + 86_400 * SEC;

/// A trace with a synchronisation of 1 ms each second; its node gets the name of the file.
fn syncs(dir: &Path, name: &str, start: i64, seconds: i64) -> PathBuf {
    let path = dir.join(name).with_extension("db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(
        "CREATE TABLE events (id INTEGER PRIMARY KEY, timestamp INTEGER, pid INTEGER, tid INTEGER, source INTEGER, \
         op INTEGER, duration INTEGER, arg0 INTEGER, arg1 INTEGER)",
    )
    .unwrap();
    for s in 0..seconds {
        conn.execute(
            "INSERT INTO events VALUES (?1, ?2, 7, 7, 1, 5, 1000000, 0, 0)",
            (s + 1, start + s * SEC),
        )
        .unwrap();
    }
    path
}

/// For each node how many synchronisations were judged and when the first one began, in seconds of its
/// day.
fn judged(window: &[&str], traces: &[PathBuf], rules: &Path) -> Vec<(String, String, i64)> {
    let mut args = vec!["analyze", "--format", "json", "--rules", arg(rules)];
    args.extend(window);
    args.extend(traces.iter().map(|t| arg(t)));
    let (out, err, code) = run(&args);
    assert_eq!((code, err.as_str()), (0, ""));
    let report: Value = serde_json::from_str(&out).unwrap();
    let mut found: Vec<(String, String, i64)> = report["diagnoses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| {
            let node = d["key"]["node"].as_str().unwrap().to_owned();
            let start = d["start_ns"].as_i64().unwrap();
            // Files of this generation do not say that nothing was lost.
            let count = d["message"]
                .as_str()
                .unwrap()
                .trim_start_matches("at least ")
                .to_owned();
            (node, count, (start - DAY_1) / SEC % 86_400)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn offsets_count_within_each_recording() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("t.rules");
    fs::write(
        &rules,
        "when cuda.sync and cuda.sync.count > 0 per node => SYNCS { message \"{cuda.sync.count}\" }",
    )
    .unwrap();
    // Together from 0 s to 12 s of the first day; and one of the next day.
    let traces = [
        syncs(dir.path(), "a", DAY_1, 10),
        syncs(dir.path(), "b", DAY_1 + 4 * SEC, 8),
        syncs(dir.path(), "c", DAY_2, 6),
    ];
    let case = |window: &[&str], want: &[(&str, &str, i64)]| {
        let want: Vec<_> = want.iter().map(|w| (w.0.to_owned(), w.1.to_owned(), w.2)).collect();
        assert_eq!(judged(window, &traces, &rules), want, "{window:?}");
    };
    case(&[], &[("a", "10", 0), ("b", "8", 4), ("c", "6", 0)]);
    // The same second on both nodes, and that of the other day.
    case(&["--from", "+5s"], &[("a", "5", 5), ("b", "7", 5), ("c", "1", 5)]);
    case(&["--to", "+4500ms"], &[("a", "5", 0), ("b", "1", 4), ("c", "5", 0)]);
    // Both ended at 11.001 s, although one of them saw nothing any more.
    case(&["--last", "2900ms"], &[("a", "1", 9), ("b", "3", 9), ("c", "3", 3)]);
    case(&["--since", "2900ms"], &[("a", "1", 9), ("b", "3", 9), ("c", "3", 3)]);
    // Instants are the same for all.
    case(&["--from", "2026-01-02T00:00:00Z"], &[("c", "6", 0)]);
}

#[test]
fn reports_count_as_the_command_line_does() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("t.rules");
    fs::write(&rules, "when cuda.sync per node => SYNCS").unwrap();
    let (a, c) = (
        syncs(dir.path(), "a", DAY_1 + 500_000_000, 10),
        syncs(dir.path(), "c", DAY_2, 6),
    );
    let table = |traces: &[&Path]| {
        let mut args = vec!["analyze", "--from", "+5s", "--rules", arg(&rules)];
        args.extend(traces.iter().map(|t| arg(t)));
        // Lines are broken at the width of the page.
        run(&args).0.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let one = table(&[&a]);
    assert!(one.contains("when +5.000s to +9.001s (4 s)"), "{one}");
    assert!(one.contains("Only +5.000s to +9.001s was judged (4 s)."), "{one}");
    assert!(one.contains("Offsets count from 2026-01-01T00:00:00.500Z."), "{one}");
    let both = table(&[&a, &c]);
    for line in [
        "when +5.000s to +9.001s (4 s)",
        "when +5.000s to +5.001s (1 ms)",
        "Only +5.000s to +9.001s of the recording from 2026-01-01T00:00:00.500Z was judged (4 s).",
        "Only +5.000s to +5.001s of the recording from 2026-01-02T00:00:00.000Z was judged (1 ms).",
        "Offsets count from the start of each recording: 2026-01-01T00:00:00.500Z (a); 2026-01-02T00:00:00.000Z (c).",
    ] {
        assert!(both.contains(line), "no {line:?} in {both}");
    }
    let args = [
        "analyze",
        "--from",
        "2026-01-02T00:00:00Z",
        "--rules",
        arg(&rules),
        arg(&a),
        arg(&c),
    ];
    let late = run(&args).0.split_whitespace().collect::<Vec<_>>().join(" ");
    let nothing = "Nothing of the recording from 2026-01-01T00:00:00.500Z was judged: the time asked for lies outside \
                   of it.";
    assert!(late.contains(nothing), "{late}");
}
