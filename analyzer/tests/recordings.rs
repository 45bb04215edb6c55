//! What the analyzer says of real recordings made by others, where they lie beside the repository;
//! else reported as skipped. The numbers are read from the files with plain SQL.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use assert_cmd::Command;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

const FILES: [&str; 6] = [
    "pytorch-173382-empty-cache",
    "pytorch-dataloader-starvation",
    "sample-cluster",
    "sample-gpu-node-01",
    "sample-gpu-node-02",
    "sample-gpu-node-03",
];

/// Rules that say that a thread had no CPU.
const BLAMES_SCHEDULER: [&str; 3] = ["LAUNCH_TAIL_CONTENTION", "NOISY_NEIGHBOUR", "CPU_OVERSUBSCRIPTION"];

/// The folder of recordings: beside the repository, or one level up for a linked checkout.
fn recordings() -> Option<PathBuf> {
    let near = |up: &str| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(up).join("shared/traces");
    let found = [near("../.."), near("../../..")].into_iter().find(|d| d.is_dir());
    if found.is_none() {
        println!("skipped: no recordings in ../shared/traces");
    }
    found
}

fn analyze(dir: &Path, name: &str, args: &[&str]) -> String {
    let output = Command::cargo_bin("ingero")
        .unwrap()
        .args(["analyze", "--quiet"])
        .args(args)
        .arg(format!("{name}.db"))
        .current_dir(dir)
        .env("NO_COLOR", "1")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn report(dir: &Path, name: &str) -> Value {
    serde_json::from_str(&analyze(dir, name, &["--format", "json"])).unwrap()
}

/// The text, its lines joined, so that no phrase is broken.
fn flat(dir: &Path, name: &str) -> String {
    let text = analyze(dir, name, &[]);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn open(dir: &Path, name: &str) -> Connection {
    let uri = format!("file:{}?immutable=1", dir.join(format!("{name}.db")).display());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri, flags).unwrap()
}

fn int(conn: &Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |r| r.get(0))
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}

fn diagnoses(report: &Value) -> &[Value] {
    report["diagnoses"].as_array().unwrap()
}

fn of<'r>(report: &'r Value, rule: &str) -> Vec<&'r Value> {
    diagnoses(report).iter().filter(|d| d["rule"] == rule).collect()
}

fn status<'r>(report: &'r Value, rule: &str) -> &'r str {
    let rules = report["rules"].as_array().unwrap();
    rules.iter().find(|r| r["name"] == rule).unwrap()["status"]
        .as_str()
        .unwrap()
}

#[test]
fn first_uses_explain_every_slow_launch_of_empty_cache() {
    let Some(dir) = recordings() else { return };
    let report = report(&dir, FILES[0]);
    let lazy = of(&report, "LAZY_KERNEL_LOAD");
    assert_eq!(lazy.len(), 1);
    let message = lazy[0]["message"].as_str().unwrap();
    assert!(message.contains("29 of 29 launches above 1 ms"), "{message}");
    let conn = open(&dir, FILES[0]);
    let slow = "SELECT count(*) FROM events WHERE source=1 AND op=3 AND duration > 1000000";
    assert_eq!(int(&conn, slow), 29);
    let first = format!(
        "{slow} AND timestamp = (SELECT min(o.timestamp) FROM events o
         WHERE o.source=1 AND o.op=3 AND o.pid=events.pid AND o.arg0=events.arg0)"
    );
    assert_eq!(int(&conn, &first), 29);
    let sum = int(
        &conn,
        "SELECT sum(duration) FROM events WHERE source=1 AND op=3 AND duration > 1000000",
    );
    assert_eq!(lazy[0]["impact_ns"], sum);
}

#[test]
fn nothing_blames_the_scheduler_in_empty_cache() {
    let Some(dir) = recordings() else { return };
    let report = report(&dir, FILES[0]);
    for rule in BLAMES_SCHEDULER {
        assert!(of(&report, rule).is_empty(), "{rule}");
    }
    for d in diagnoses(&report) {
        let said = format!("{} {} {}", d["title"], d["message"], d["fix"]).to_lowercase();
        for word in [
            "sched",
            "waiting for a cpu",
            "waits for a cpu",
            "switch",
            "contention",
            "cores of its own",
        ] {
            assert!(!said.contains(word), "{said}");
        }
    }
    // Not even where calls are named: the slowest of each do not lie in off-CPU time.
    let stored = report["stored_verdicts"].as_array().unwrap();
    for op in ["cudaMemcpyAsync", "cudaFree", "cudaLaunchKernel", "cudaStreamSync"] {
        let verdicts: Vec<&Value> = stored.iter().filter(|v| v["op"] == op).collect();
        assert_eq!(verdicts.len(), 1, "{op}");
        assert_eq!(verdicts[0]["verdict"], "contradicted", "{op}");
    }
}

#[test]
fn uploads_of_empty_cache_are_pageable_copies_and_no_tail() {
    let Some(dir) = recordings() else { return };
    let report = report(&dir, FILES[0]);
    let conn = open(&dir, FILES[0]);
    let uploads = "FROM events WHERE source=1 AND op=7 AND arg1=1 AND arg0 >= 8388608 AND arg0 < 16777216
                   AND duration > 50000";
    assert_eq!(int(&conn, &format!("SELECT count(*) {uploads}")), 72);
    let (slowest, fastest, together): (f64, f64, f64) = conn
        .query_row(
            &format!(
                "SELECT min(1e9 * arg0 / duration), max(1e9 * arg0 / duration), 1e9 * sum(arg0) / sum(duration)
                 {uploads}"
            ),
            [],
            |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)),
        )
        .unwrap();
    assert!((8.35e9..8.45e9).contains(&slowest), "{slowest}");
    assert!((10.25e9..10.35e9).contains(&fastest), "{fastest}");
    let copies: Vec<&Value> = of(&report, "PAGEABLE_COPY")
        .into_iter()
        .filter(|d| d["key"]["more"][0]["value"] == "8 to 16 MiB")
        .collect();
    assert_eq!(copies.len(), 1);
    let copy = copies[0];
    // All that were kept; more may have been dropped after the first seconds.
    assert_eq!(copy["evidence"][0]["value"]["min"], 72);
    assert_eq!(copy["evidence"][1]["unit"], "bytes/s");
    let said = copy["evidence"][1]["value"].as_f64().unwrap();
    assert!((said / together - 1.0).abs() < 1e-9, "{said} {together}");
    assert!(said > slowest && said < fastest);
    let message = copy["message"].as_str().unwrap();
    assert!(message.contains("72 \"async\" uploads of about 8.72 MB"), "{message}");
    assert!(of(&report, "LAUNCH_TAIL_CONTENTION").is_empty());
    assert!(of(&report, "MEMCPY_BOUND").is_empty());
}

#[test]
fn the_dataloader_shows_no_contention() {
    let Some(dir) = recordings() else { return };
    let report = report(&dir, FILES[1]);
    for rule in BLAMES_SCHEDULER {
        assert!(of(&report, rule).is_empty(), "{rule}");
    }
    // Nothing before t+50 s, and nothing at all, is about CPUs.
    for d in diagnoses(&report) {
        assert_eq!(d["severity"], "info", "{}", d["message"]);
        let said = d["message"].as_str().unwrap();
        assert!(!said.contains("CPU"), "{said}");
    }
    // And that is not for want of looking: without run states these two say so.
    for rule in ["CPU_OVERSUBSCRIPTION", "NOISY_NEIGHBOUR"] {
        assert_eq!(status(&report, rule), "not_applicable", "{rule}");
    }
}

#[test]
fn the_sample_nodes_hold_nothing_bad() {
    let Some(dir) = recordings() else { return };
    for name in ["sample-gpu-node-02", "sample-gpu-node-03", "sample-cluster"] {
        for d in diagnoses(&report(&dir, name)) {
            assert_eq!(d["severity"], "info", "{name}: {}", d["message"]);
        }
    }
}

#[test]
fn trimmed_files_say_what_cannot_be_judged() {
    let Some(dir) = recordings() else { return };
    for (name, first) in [
        ("sample-gpu-node-01", 3537),
        ("sample-gpu-node-02", 334),
        ("sample-gpu-node-03", 362),
        ("sample-cluster", 3537),
    ] {
        let text = flat(&dir, name);
        let trimmed = format!("trimmed or continued: the first {first} events of");
        for said in ["Could not be judged", "HOL_BLOCKING", "NOISY_NEIGHBOUR", &trimmed] {
            assert!(text.contains(said), "{name} does not say {said:?}:\n{text}");
        }
        let report = report(&dir, name);
        for rule in report["rules"].as_array().unwrap() {
            let unjudged = matches!(rule["status"].as_str().unwrap(), "not_applicable" | "unknown");
            assert!(!unjudged || rule["reason"].is_string(), "{name}: {rule}");
        }
        assert!(!of(&report, "TRACE_INCOMPLETE").is_empty(), "{name}");
    }
}

/// The file is trimmed to 162 ms, holds no CUDA row and no aggregates, and its stored verdicts speak of
/// `cuLaunchKernel`: that CUDA calls are not there proves nothing.
#[test]
fn a_trimmed_file_without_cuda_rows_judges_no_cuda_rule() {
    let Some(dir) = recordings() else { return };
    let report = report(&dir, "sample-gpu-node-01");
    for rule in [
        "LAUNCH_TAIL_CONTENTION",
        "LAUNCH_RATE_COLLAPSE",
        "SYNC_BOUND",
        "COLD_START",
    ] {
        assert!(matches!(status(&report, rule), "not_applicable" | "unknown"), "{rule}");
    }
}

/// As the schema says of `reason`: "null where it was" judged.
#[test]
fn a_rule_that_was_judged_has_no_reason() {
    let Some(dir) = recordings() else { return };
    for name in FILES {
        for rule in report(&dir, name)["rules"].as_array().unwrap() {
            let judged = matches!(rule["status"].as_str().unwrap(), "fired" | "quiet");
            assert_eq!(judged, rule["reason"].is_null(), "{name}: {rule}");
        }
    }
}

#[test]
fn selectively_stored_recordings_are_named_so() {
    let Some(dir) = recordings() else { return };
    for (name, counted) in [(FILES[0], 61_864), (FILES[1], 189_071)] {
        let report = report(&dir, name);
        let sampled = of(&report, "SAMPLED_RATES");
        assert_eq!(sampled.len(), 1, "{name}");
        assert_eq!(sampled[0]["evidence"][0]["value"], counted, "{name}");
        // Of each bucket, operation and process: what was counted beyond the rows, whichever of the
        // two numbers of rows is larger. Pages are counted by design and never rows.
        let apart = "WITH kept AS (
                SELECT timestamp / 60000000000 * 60000000000 AS bucket, source, op, pid, count(*) AS n
                FROM events GROUP BY 1, 2, 3, 4)
              SELECT sum(max(0, count - max(stored, coalesce(n, 0))))
              FROM event_aggregates LEFT JOIN kept USING (bucket, source, op, pid)
              WHERE NOT (source = 3 AND op = 3)";
        assert_eq!(int(&open(&dir, name), apart), counted, "{name}");
    }
}

#[test]
fn verdicts_stored_in_the_files_are_compared() {
    let Some(dir) = recordings() else { return };
    for name in FILES {
        let conn = open(&dir, name);
        let chains = int(&conn, "SELECT count(*) FROM causal_chains");
        let report = report(&dir, name);
        let stored = report["stored_verdicts"].as_array().unwrap();
        assert_eq!(stored.is_empty(), chains == 0, "{name}");
        let repeats: i64 = stored.iter().map(|v| v["repeats"].as_i64().unwrap()).sum();
        assert_eq!(repeats, chains, "{name}: every stored verdict is compared once");
        let text = flat(&dir, name);
        assert!(text.contains("Verdicts stored in the files"), "{name}");
        for v in stored {
            let summary = v["summary"].as_str().unwrap();
            let verdict = v["verdict"].as_str().unwrap();
            let severity = v["severity"].as_str().unwrap();
            let words = summary.split_whitespace().collect::<Vec<_>>().join(" ");
            let shown = format!("{} \"{words}\"", severity.to_uppercase());
            let at = text.find(&shown).unwrap_or_else(|| panic!("{name}: {shown}"));
            let rest: String = text[at + shown.len()..].chars().take(120).collect();
            assert!(rest.contains(verdict), "{name}: {shown}: {rest}");
        }
    }
    // Where the verdict differs, the text says what the rules say instead.
    for name in [FILES[0], FILES[1], "sample-gpu-node-02", "sample-gpu-node-03"] {
        let text = flat(&dir, name);
        assert!(
            text.contains("contradicted: 0 % of the time of the slowest 1 % of"),
            "{name}"
        );
        assert!(text.contains("the rules say: nothing of LOW or above about"), "{name}");
    }
    assert!(flat(&dir, "sample-gpu-node-01").contains("cannot be judged; the rules say:"));
}

#[test]
fn contradictions_hold_against_plain_sql() {
    let Some(dir) = recordings() else { return };
    for (name, source, op) in [
        (FILES[0], 1, 3),
        (FILES[0], 1, 7),
        (FILES[1], 1, 3),
        (FILES[1], 1, 5),
        (FILES[1], 4, 1),
        (FILES[1], 4, 5),
    ] {
        let conn = open(&dir, name);
        // Calls of the slowest 1 % (at least one) with off-CPU time of their own thread in them.
        let sql = format!(
            "WITH ranked AS (
               SELECT tid, timestamp AS a, timestamp + duration AS b,
                      row_number() OVER (ORDER BY duration DESC) AS n, count(*) OVER () AS every
               FROM events WHERE source={source} AND op={op}),
             slow AS (SELECT * FROM ranked WHERE n <= max(1, every / 100)),
             off AS (SELECT tid, timestamp - duration AS a, timestamp AS b FROM events WHERE source=3 AND op=1)
             SELECT 100 * coalesce((SELECT sum(min(s.b, o.b) - max(s.a, o.a)) FROM slow s JOIN off o
               ON o.tid = s.tid AND o.a < s.b AND o.b > s.a), 0) / (SELECT sum(b - a) FROM slow)"
        );
        assert_eq!(int(&conn, &sql), 0, "{name} {source}/{op}");
    }
}

#[test]
fn reports_follow_the_schema_and_leave_the_folder_as_it_was() {
    let Some(dir) = recordings() else { return };
    let before = contents(&dir);
    let schema: Value = serde_json::from_str(&ingero::report::json::schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for name in FILES {
        let report = report(&dir, name);
        let errors: Vec<String> = validator.iter_errors(&report).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
        for format in ["table", "markdown", "ndjson"] {
            assert!(!analyze(&dir, name, &["--format", format]).is_empty());
        }
    }
    assert!(contents(&dir) == before, "the folder of recordings has changed");
}

/// Names, bytes and times of change of a folder.
fn contents(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let changed = fs::metadata(&path).unwrap().modified().unwrap();
            let bytes = fs::read(&path).unwrap();
            (path, (bytes, changed))
        })
        .collect()
}
