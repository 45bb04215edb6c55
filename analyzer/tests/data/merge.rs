//! `ingero merge`: the merged file says what its files say together.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;

use crate::support::{arg, repo, run, small};

fn report(traces: &[&Path]) -> Value {
    let mut args = vec!["analyze", "--format", "json"];
    args.extend(traces.iter().map(|t| arg(t)));
    let (out, err, code) = run(&args);
    assert_eq!((code, err.as_str()), (0, ""));
    serde_json::from_str(&out).unwrap()
}

/// What was found, without what names the files.
fn found(traces: &[&Path]) -> [Value; 3] {
    let report = report(traces);
    assert!(!report["diagnoses"].as_array().unwrap().is_empty());
    ["diagnoses", "rules", "near_misses"].map(|k| report[k].clone())
}

/// A file of generation 0.8, with counts beside its rows.
fn old(path: &Path) {
    Connection::open(path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER, pid INTEGER, tid INTEGER, \
             source INTEGER, op INTEGER, duration INTEGER, arg0 INTEGER, arg1 INTEGER);
             CREATE TABLE event_aggregates (bucket INTEGER, source INTEGER, op INTEGER, pid INTEGER, count INTEGER, \
             stored INTEGER, sum_dur INTEGER, min_dur INTEGER, max_dur INTEGER, sum_arg0 INTEGER, \
             PRIMARY KEY (bucket, source, op, pid));
             INSERT INTO events VALUES (1, 1000, 4211, 4211, 4, 1, 50, 0, 0), (2, 2000, 4211, 4211, 3, 1, 300, 0, 0);
             INSERT INTO event_aggregates VALUES (0, 4, 1, 4211, 9, 1, 900, 50, 200, 0);",
        )
        .unwrap();
}

#[test]
fn a_merged_file_is_judged_as_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (sim, gpu, aged) = (
        repo("investigations/hol-blocking/trace.db"),
        repo("investigations/recapture/trace.db"),
        path("aged.db"),
    );
    old(&aged);
    let before = fs::read(&sim).unwrap();
    let all = path("all.db");
    let (out, _, code) = run(&["merge", arg(&sim), arg(&gpu), arg(&aged), "-o", arg(&all)]);
    assert_eq!(code, 0);
    assert!(out.ends_with(" events of sim, gpu, aged\n"), "{out}");
    assert_eq!(found(&[&all]), found(&[&sim, &gpu, &aged]));
    assert!(before == fs::read(&sim).unwrap());
    // Counts stay with their node, also where a process id is used on two.
    let sql = "SELECT node, count FROM event_aggregates WHERE count = 9 AND pid = 4211";
    let (rows, _, _) = run(&["query", "--format", "csv", arg(&all), sql]);
    assert_eq!(rows, "node,count\naged,9\n");
    // Merging what is merged takes it apart first.
    let (first, again) = (path("first.db"), path("again.db"));
    assert_eq!(run(&["merge", arg(&sim), arg(&gpu), "-o", arg(&first)]).2, 0);
    assert_eq!(run(&["merge", arg(&first), arg(&aged), "-o", arg(&again)]).2, 0);
    assert_eq!(found(&[&again]), found(&[&all]));
}

#[test]
fn equal_names_of_nodes_need_other_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (a, b, all) = (path("a.db"), path("b.db"), path("all.db"));
    small(&a, "gpu", "one");
    small(&b, "gpu", "two");
    let (_, err, code) = run(&["merge", arg(&a), arg(&b), "-o", arg(&all)]);
    assert_eq!(code, 2);
    assert!(
        err.contains("both have a node named gpu") && err.contains("--node-name"),
        "{err}"
    );
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        2,
        "something was left behind"
    );
    let name = format!("{}=other", arg(&b));
    let (out, err, code) = run(&["merge", arg(&a), arg(&b), "-o", arg(&all), "--node-name", &name]);
    assert_eq!(code, 0, "{err}");
    assert!(out.ends_with("6 events of gpu, other\n"), "{out}");
    assert!(err.contains("note: gpu: no clock offsets were recorded"), "{err}");
    let sql = "SELECT node, process, count(*) n FROM ev GROUP BY node ORDER BY node";
    let (rows, _, _) = run(&["query", "--format", "csv", arg(&all), sql]);
    assert_eq!(rows, "node,process,n\ngpu,one,3\nother,two,3\n");
    let (ids, _, _) = run(&[
        "query",
        "--format",
        "csv",
        arg(&all),
        "SELECT id FROM events WHERE node = 'other'",
    ]);
    assert_eq!(ids, "id\nother:1\nother:2\nother:3\n");
    for (args, message) in [
        (&["merge", arg(&a), "-o", "x.db"][..], "2 values required"),
        (&["merge", arg(&a), arg(&b), "-o", arg(&all)], "exists already"),
        (
            &["merge", arg(&a), arg(&b), "-o", "x.db", "--node-name", "b"],
            "write a trace and the name",
        ),
        (
            &["merge", arg(&a), arg(&b), "-o", "x.db", "--node-name", "c.db=n"],
            "not one of the traces",
        ),
    ] {
        let (_, err, code) = run(args);
        assert_eq!(code, 2);
        assert!(
            err.contains(message) || (message == "exists already" && err.contains("both have")),
            "{err}"
        );
    }
}

#[test]
fn a_merged_file_that_lies_about_its_parts_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (a, b, all) = (path("a.db"), path("b.db"), path("all.db"));
    small(&a, "one", "x");
    small(&b, "two", "y");
    assert_eq!(run(&["merge", arg(&a), arg(&b), "-o", arg(&all)]).2, 0);
    for (change, message) in [
        ("UPDATE merged_parts SET first_row = 'x'", "holds text, not an integer"),
        ("UPDATE merged_parts SET last_row = 9000000000000", "row numbers span"),
        (
            "DELETE FROM merged_columns WHERE column_name = 'tid'",
            "no column `tid`",
        ),
        ("ALTER TABLE annotations DROP COLUMN node", "no such column: node"),
    ] {
        let broken = path("broken.db");
        fs::copy(&all, &broken).unwrap();
        Connection::open(&broken).unwrap().execute_batch(change).unwrap();
        let (_, err, code) = run(&["analyze", arg(&broken)]);
        assert_eq!(code, 2, "{change}: {err}");
        assert!(err.contains(message), "{change}: {err}");
    }
}

#[test]
fn parts_of_recordings_keep_what_they_say_of_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (cut, hung, all) = (path("cut.db"), path("hung.db"), path("all.db"));
    let whole = repo("investigations/recapture/trace.db");
    let (out, err, code) = run(&["slice", arg(&whole), "-o", arg(&cut), "--last", "5s"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    // A recording, itself a part, with a call that never returned.
    fs::copy(repo("investigations/stray/trace.db"), &hung).unwrap();
    Connection::open(&hung)
        .unwrap()
        .execute_batch(
            "INSERT INTO open_calls(pid, tid, source, op, how, depth, start_ns, seen_ns)
             SELECT pid, tid, source, op, 'entered', 0, timestamp, timestamp + 60000000000 FROM events WHERE source = 1 LIMIT 1",
        )
        .unwrap();
    let (_, err, code) = run(&[
        "merge",
        arg(&cut),
        arg(&hung),
        "-o",
        arg(&all),
        "--node-name",
        &format!("{}=two", arg(&hung)),
    ]);
    assert_eq!(code, 0, "{err}");
    assert!(!err.contains("left out"), "{err}");
    let merged = Connection::open(&all).unwrap();
    let count = |conn: &Connection, sql: &str| -> i64 { conn.query_row(sql, [], |r| r.get(0)).unwrap() };
    for (file, node) in [(&cut, "gpu"), (&hung, "two")] {
        let own = Connection::open(file).unwrap();
        let tables = [
            "slices",
            "slice_cuts",
            "whole_aggregates",
            "whole_aggregates_5s",
            "open_calls",
            "xids",
            "cgroup_cpu",
        ];
        for table in tables {
            let here = count(&merged, &format!("SELECT count(*) FROM {table} WHERE node = '{node}'"));
            assert_eq!(here, count(&own, &format!("SELECT count(*) FROM {table}")), "{table}");
        }
        assert!(count(&own, "SELECT count(*) FROM slices") > 0 && count(&own, "SELECT count(*) FROM slice_cuts") > 0);
    }
    assert_eq!(count(&merged, "SELECT count(*) FROM open_calls"), 1);
    // The same is found, and the same said of the parts, as of the files beside each other.
    let renamed = path("two.db");
    fs::copy(&hung, &renamed).unwrap();
    Connection::open(&renamed)
        .unwrap()
        .execute_batch("UPDATE events SET node = 'two'; UPDATE sessions SET node = 'two'")
        .unwrap();
    assert_eq!(found(&[&all]), found(&[&cut, &renamed]));
    let notes = |traces: &[&Path]| -> Vec<Value> {
        let report = report(traces);
        let traces = report["traces"].as_array().unwrap().iter();
        traces.map(|t| t["notes"].clone()).collect()
    };
    assert_eq!(notes(&[&all]), notes(&[&cut, &renamed]));
    // Counts of two nodes cannot be told apart by row: a merged file is not cut.
    let part = path("part.db");
    let (_, err, code) = run(&["slice", arg(&all), "-o", arg(&part), "--last", "1s"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("a merged trace cannot be cut") && err.contains("merge the parts"),
        "{err}"
    );
    assert!(!part.exists());
}
