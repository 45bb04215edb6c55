//! `ingero export`: read back with the packages of those for whom it is.

use std::fs;
use std::path::Path;

use ingero::trace::catalogue::Source;
use ingero::trace::writer::{Annotation, Detail, Event, SchedDetail, SnapshotRow, Writer};
use ingero::unit::Interval;
use serde_json::Value;

use crate::python::{python, script};
use crate::support::{arg, op, repo, run};

fn export(format: &str, trace: &Path, out: &Path) {
    let (stdout, err, code) = run(&["export", "--format", format, "-o", arg(out), arg(trace)]);
    assert_eq!((code, stdout.as_str(), err.as_str()), (0, "", ""), "{format}");
}

/// A launch with a driver call and a stint inside, two block requests that overlap, a request.
fn scene(path: &Path) {
    let mut w = Writer::create(path, "gpu-1").unwrap();
    let ms = 1_000_000;
    let event = |source, name, start: i64, dur: i64| {
        Event::new(op(source, name), 7, 8, (1000 + start) * ms, dur * ms).comm("engine")
    };
    w.event(&event(Source::Cuda, "cudaLaunchKernel", 0, 100)).unwrap();
    w.event(&event(Source::Driver, "cuLaunchKernel", 10, 80)).unwrap();
    let mut stint = event(Source::Sched, "sched_switch", 20, 60);
    stint.pid = 8;
    let detail = SchedDetail {
        state: 2,
        cpu: 0,
        woken_at: 1050 * ms,
        waker: 0,
        preemptor: 99,
    };
    w.event_with(&stint, Some(Detail::Sched(detail))).unwrap();
    w.event(&event(Source::Io, "block_read", 200, 50)).unwrap();
    w.event(&event(Source::Io, "block_read", 220, 50)).unwrap();
    w.annotation(&Annotation {
        pid: 7,
        start: 1000 * ms,
        end: 1300 * ms,
        labels: &[("request_id", "r1"), ("ttft_ms", "120"), ("prompt_tokens", "12")],
    })
    .unwrap();
    let sync = op(Source::Cuda, "cudaStreamSync");
    w.open_call(sync, 7, 8, Interval::new(1150 * ms, 1290 * ms)).unwrap();
    w.snapshot(&SnapshotRow {
        at: 1100 * ms,
        cpu_pct: 50.0,
        ..SnapshotRow::default()
    })
    .unwrap();
    w.finish().unwrap();
}

#[test]
fn perfetto_shows_what_was_recorded() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (trace, out) = (dir.path().join("t.db"), dir.path().join("t.pftrace"));
    scene(&trace);
    export("perfetto", &trace, &out);
    let facts: Value = serde_json::from_str(&script(python, "read_exports.py", &["perfetto", arg(&out)])).unwrap();
    assert_eq!(facts["processes"], serde_json::json!([7]));
    assert_eq!(facts["threads"], serde_json::json!([8]));
    let spent = |name: &str| facts["spent"][name].as_i64().unwrap_or(-1) / 1_000_000;
    assert_eq!((spent("cudaLaunchKernel"), spent("cuLaunchKernel")), (100, 80));
    // 60 ms away: 30 until the wake-up, 30 more until it got a CPU.
    assert_eq!(
        (spent("off CPU"), spent("blocked on I/O"), spent("waiting for a CPU")),
        (60, 30, 30)
    );
    assert_eq!(facts["slices"]["block_read"], 2);
    assert_eq!(facts["slices"]["open_call: cudaStreamSync"], 1);
    assert_eq!((spent("open: r1"), spent("wait: r1")), (300, 120));
    assert_eq!(facts["counters"]["cpu"], 1);
}

#[test]
fn perfetto_of_a_recording_is_sound() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (trace, out) = (repo("investigations/contention/trace.db"), dir.path().join("t.pftrace"));
    export("perfetto", &trace, &out);
    let facts: Value = serde_json::from_str(&script(python, "read_exports.py", &["perfetto", arg(&out)])).unwrap();
    let sql = "SELECT op, count(*) n, sum(dur_ns) d FROM ev WHERE source IN ('cuda', 'driver') GROUP BY op";
    let (rows, _, _) = run(&["query", "--format", "json", arg(&trace), sql]);
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    assert!(rows.len() > 3);
    for row in rows {
        let op = row["op"].as_str().unwrap();
        assert_eq!(facts["slices"][op], row["n"], "{op}");
        assert_eq!(facts["spent"][op], row["d"], "{op}");
    }
    assert!(!facts["flows"].as_array().unwrap().is_empty());
    assert!(facts["diagnoses"].to_string().contains("NOISY_NEIGHBOUR"));
}

#[test]
fn perfetto_leads_from_cause_to_symptom() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (trace, rules) = (dir.path().join("t.db"), dir.path().join("r.rules"));
    scene(&trace);
    let text =
        "when covered(cuda.launch, sched.off_cpu) >= 50% => HELD_UP { min_count 1 severity high message \"held\" }";
    fs::write(&rules, text).unwrap();
    let out = dir.path().join("t.pftrace");
    let (_, err, code) = run(&[
        "export",
        "--format",
        "perfetto",
        "--rules",
        arg(&rules),
        "-o",
        arg(&out),
        arg(&trace),
    ]);
    assert_eq!((code, err.as_str()), (0, ""));
    let facts: Value = serde_json::from_str(&script(python, "read_exports.py", &["perfetto", arg(&out)])).unwrap();
    assert_eq!(facts["diagnoses"], serde_json::json!(["#1 HIGH HELD_UP"]));
    let arrows = serde_json::json!([["off CPU", "#1 HELD_UP: off_cpu explains this"]]);
    assert_eq!(facts["flows"], arrows);
}

#[test]
fn duckdb_reads_what_a_query_shows() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let trace = repo("investigations/recapture/trace.db");
    let out = dir.path().join("events.parquet");
    export("parquet", &trace, &out);
    let ask = |sql: &str| -> Value {
        serde_json::from_str(&script(python, "read_exports.py", &["parquet", arg(&out), sql])).unwrap()
    };
    let sql = "SELECT op, count(*) n, sum(dur_ns)::BIGINT d, min(start_ns), sum(bytes)::BIGINT b, \
               sum(first_use::INT)::BIGINT f, sum(nested::INT)::BIGINT x FROM FILE \
               WHERE event_row IS NOT NULL GROUP BY op ORDER BY op";
    let there = ask(&sql.replace("min(start_ns)", "min(epoch_ns(start_ns))"));
    let here = sql
        .replace("FROM FILE WHERE event_row IS NOT NULL", "FROM ev")
        .replace("::BIGINT", "")
        .replace("::INT", "");
    let (rows, _, code) = run(&["query", "--format", "json", arg(&trace), &here.replace("FILE", "ev")]);
    assert_eq!(code, 0, "{here}");
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    let expected: Vec<Value> = rows
        .iter()
        .map(|r| {
            let of = |c: &str| r[c].clone();
            Value::Array(vec![
                of("op"),
                of("n"),
                of("d"),
                of("min(start_ns)"),
                of("b"),
                of("f"),
                of("x"),
            ])
        })
        .collect();
    assert!(expected.len() > 3);
    assert_eq!(there, Value::Array(expected));
    // The report goes along.
    let meta = ask("SELECT value FROM META WHERE key = 'ingero.report'");
    let report: Value = serde_json::from_str(meta[0][0].as_str().unwrap()).unwrap();
    assert_eq!(report["traces"][0]["path"], arg(&trace));
}

#[test]
fn a_collector_understands_the_spans() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (trace, out) = (dir.path().join("t.db"), dir.path().join("spans.jsonl"));
    scene(&trace);
    export("otlp", &trace, &out);
    let facts: Value = serde_json::from_str(&script(python, "read_exports.py", &["otlp", arg(&out)])).unwrap();
    let spans = serde_json::json!({
        "engine": 1, "request": 1, "wait for first token": 1, "cudaLaunchKernel": 1, "cuLaunchKernel": 1,
        "off CPU": 1, "block_read": 2, "open_call": 1,
    });
    assert_eq!(facts["spans"], spans);
    assert_eq!(facts["services"], serde_json::json!(["engine"]));
}

#[test]
fn diagnoses_are_events_of_their_processes() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("spans.jsonl");
    let trace = repo("investigations/hol-blocking/trace.db");
    let window = ["--last", "10s", arg(&trace)];
    let (report, _, _) = run(&[&["analyze", "--format", "json"], &window[..]].concat());
    let report: Value = serde_json::from_str(&report).unwrap();
    let mut expected = std::collections::BTreeMap::new();
    for d in report["diagnoses"].as_array().unwrap() {
        *expected.entry(d["rule"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert!(!expected.is_empty());
    let (_, err, code) = run(&[&["export", "--format", "otlp", "-o", arg(&out)], &window[..]].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    let facts: Value = serde_json::from_str(&script(python, "read_exports.py", &["otlp", arg(&out)])).unwrap();
    let mut found: std::collections::BTreeMap<String, i32> = serde_json::from_value(facts["events"].clone()).unwrap();
    found.retain(|name, _| expected.contains_key(name));
    assert_eq!(found, expected);
    // A receiver gets it in small pieces.
    assert!(facts["most"].as_u64().unwrap() <= 500);
}

#[test]
fn equal_traces_give_equal_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("t.db");
    scene(&trace);
    for format in ["perfetto", "parquet", "otlp"] {
        let outs = ["a", "b"].map(|name| dir.path().join(name));
        for out in &outs {
            export(format, &trace, out);
        }
        let [a, b] = outs.map(|out| fs::read(out).unwrap());
        assert!(a == b && !a.is_empty(), "{format}");
    }
}

#[test]
fn an_export_that_fails_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("t.db");
    scene(&trace);
    let out = dir.path().join("no").join("t.pftrace");
    let (_, err, code) = run(&["export", "--format", "perfetto", "-o", arg(&out), arg(&trace)]);
    assert_eq!(code, 2);
    assert!(err.contains("cannot write"), "{err}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
