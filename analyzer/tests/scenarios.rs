//! What the analyzer says of traces whose truth is known: every planted cause is named where it was
//! planted, and nothing else is.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use assert_cmd::Command;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;

const MS: i64 = 1_000_000;

/// Scenarios whose truth names rules; `bulk` is made for size and names none.
fn names() -> Vec<&'static str> {
    ingero::simulate::scenarios()
        .iter()
        .map(|s| s.name)
        .filter(|n| *n != "bulk")
        .collect()
}

fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            for name in names().into_iter().chain(["bulk"]) {
                let mut command = ingero();
                command.args(["simulate", name, "-o"]).arg(file(folder.path(), name));
                if name == "bulk" {
                    command.args(["--events", "200k"]);
                }
                command.assert().success();
            }
            folder
        })
        .path()
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.db"))
}

fn ingero() -> Command {
    Command::cargo_bin("ingero").unwrap()
}

/// The JSON report of a scenario; each is made once.
fn report(name: &str) -> Value {
    static REPORTS: Mutex<BTreeMap<String, Value>> = Mutex::new(BTreeMap::new());
    let mut reports = REPORTS.lock().unwrap_or_else(PoisonError::into_inner);
    reports.entry(name.to_owned()).or_insert_with(|| analyze(name)).clone()
}

fn analyze(name: &str) -> Value {
    let output = ingero()
        .args(["analyze", "--quiet", "--format", "json"])
        .arg(file(folder(), name))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn open(name: &str) -> Connection {
    Connection::open_with_flags(file(folder(), name), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

fn int(conn: &Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |r| r.get(0))
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}

#[derive(Debug)]
struct Truth {
    kind: String,
    rule: String,
    pid: i64,
    start: i64,
    end: i64,
    #[expect(dead_code, reason = "shown where a truth is not met")]
    note: String,
}

fn truth(name: &str) -> Vec<Truth> {
    let conn = open(name);
    let mut stmt = conn
        .prepare("SELECT kind, rule, pid, start_ns, end_ns, note FROM truth")
        .unwrap();
    stmt.query_map([], |r| {
        Ok(Truth {
            kind: r.get(0)?,
            rule: r.get(1)?,
            pid: r.get(2)?,
            start: r.get(3)?,
            end: r.get(4)?,
            note: r.get(5)?,
        })
    })
    .unwrap()
    .map(Result::unwrap)
    .collect()
}

fn diagnoses(report: &Value) -> &[Value] {
    report["diagnoses"].as_array().unwrap()
}

fn the<'r>(report: &'r Value, rule: &str) -> &'r Value {
    let found: Vec<&Value> = diagnoses(report).iter().filter(|d| d["rule"] == rule).collect();
    assert_eq!(found.len(), 1, "{rule}: {:?}", rules(report));
    found[0]
}

/// Rule and severity of all diagnoses, for messages.
fn rules(report: &Value) -> Vec<String> {
    diagnoses(report)
        .iter()
        .map(|d| format!("{} {}", d["severity"].as_str().unwrap(), d["rule"].as_str().unwrap()))
        .collect()
}

fn is_low_or_above(diagnosis: &Value) -> bool {
    diagnosis["severity"] != "info"
}

/// Whether a diagnosis is about the process of a truth, or about its node where no process is named.
fn concerns(diagnosis: &Value, truth: &Truth) -> bool {
    match diagnosis["key"]["pid"].as_i64() {
        Some(pid) => truth.pid == 0 || pid == truth.pid,
        None => truth.pid == 0 && diagnosis["key"]["node"] == "sim",
    }
}

fn overlaps(diagnosis: &Value, truth: &Truth) -> bool {
    let at = |field: &str| diagnosis[field].as_i64().unwrap();
    at("start_ns") < truth.end && at("end_ns") > truth.start
}

fn supports(truth: &Truth, diagnosis: &Value) -> bool {
    diagnosis["rule"] == truth.rule.as_str() && concerns(diagnosis, truth) && overlaps(diagnosis, truth)
}

#[test]
fn every_planted_cause_and_symptom_is_named() {
    let mut judged = 0;
    for name in names() {
        let report = report(name);
        for t in truth(name)
            .iter()
            .filter(|t| matches!(t.kind.as_str(), "cause" | "symptom"))
        {
            judged += 1;
            let found: Vec<&Value> = diagnoses(&report).iter().filter(|d| supports(t, d)).collect();
            assert!(!found.is_empty(), "{name}: {t:?} is not among {:?}", rules(&report));
            // A full launch queue is healthy, and only worth knowing.
            let harmless = t.rule == "LAUNCH_QUEUE_FULL";
            assert_eq!(is_low_or_above(found[0]), !harmless, "{name}: {t:?}");
        }
    }
    assert!(judged >= 16, "{judged} causes and symptoms");
}

#[test]
fn no_twin_is_taken_for_the_real_thing() {
    let mut judged = 0;
    for name in names() {
        let report = report(name);
        for t in truth(name).iter().filter(|t| t.kind == "twin") {
            judged += 1;
            let wrong: Vec<&Value> = diagnoses(&report)
                .iter()
                .filter(|d| d["rule"] == t.rule.as_str() && is_low_or_above(d) && concerns(d, t))
                .collect();
            assert!(wrong.is_empty(), "{name}: {t:?}: {wrong:#?}");
        }
    }
    assert!(judged >= 15, "{judged} twins");
}

#[test]
fn nothing_is_named_that_was_not_planted() {
    for name in names().into_iter().chain(["bulk"]) {
        let report = report(name);
        let truth = truth(name);
        if truth.iter().any(|t| t.kind == "healthy") {
            assert!(!truth.iter().any(|t| t.kind == "cause"), "{name}: {truth:?}");
        }
        for d in diagnoses(&report).iter().filter(|d| is_low_or_above(d)) {
            let planted = truth
                .iter()
                .any(|t| matches!(t.kind.as_str(), "cause" | "symptom") && supports(t, d));
            assert!(planted, "{name}: {} {}", d["severity"], d["message"]);
        }
    }
}

#[test]
fn healthy_scenarios_are_healthy() {
    let healthy: Vec<&str> = names()
        .into_iter()
        .filter(|n| truth(n).iter().any(|t| t.kind == "healthy"))
        .collect();
    assert_eq!(healthy, ["healthy-serving", "healthy-training", "ddp-healthy"]);
    for name in healthy {
        let report = report(name);
        let bad: Vec<&Value> = diagnoses(&report).iter().filter(|d| is_low_or_above(d)).collect();
        assert!(bad.is_empty(), "{name}: {bad:#?}");
        ingero()
            .args(["analyze", "--quiet", "--fail-on", "low"])
            .arg(file(folder(), name))
            .assert()
            .code(0);
    }
    ingero()
        .args(["analyze", "--quiet", "--fail-on", "high"])
        .arg(file(folder(), "hol-blocking"))
        .assert()
        .code(1);
}

#[test]
fn no_rule_fails_on_a_complete_trace() {
    // What no simulated host has, and what no simulated request says; training has no requests either.
    let absent = [
        "no request annotations in this trace",
        "no request intervals in this trace",
        "no xid events in this trace",
        "the CPU limits of this process are not in this trace",
        "no open_call events in this trace",
        "no nccl events of this kind in this trace",
        "no request says its `logprobs`",
        "no NCCL collective of several ranks in this trace",
    ];
    let mut failed: Vec<String> = Vec::new();
    for name in names() {
        for rule in report(name)["rules"].as_array().unwrap() {
            let status = rule["status"].as_str().unwrap();
            // Of several processes the reason says how many it holds for.
            let why = rule["reason"].as_str().unwrap_or("").split(" (unknown for ").next();
            let ok = matches!(status, "fired" | "quiet")
                || (status == "not_applicable" && why.is_some_and(|w| absent.contains(&w)));
            if !ok {
                failed.push(format!("{name}: {} {status}: {}", rule["name"], rule["reason"]));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn head_of_line_blocking_comes_first_and_explains_the_rest() {
    let report = report("hol-blocking");
    let first = &diagnoses(&report)[0];
    assert_eq!((&first["rank"], &first["rule"]), (&1.into(), &"HOL_BLOCKING".into()));
    assert_eq!(first["severity"], "high");
    let explained: Vec<&str> = first["explains"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rank| {
            let d = diagnoses(&report).iter().find(|d| d["rank"] == *rank).unwrap();
            assert_eq!(d["explained_by"], 1);
            d["rule"].as_str().unwrap()
        })
        .collect();
    assert!(explained.contains(&"ENGINE_STALL"), "{explained:?}");
    assert!(explained.contains(&"LAUNCH_RATE_COLLAPSE"), "{explained:?}");

    // The two waits, as their annotations have them.
    let conn = open("hol-blocking");
    let waits = "FROM annotations WHERE json_extract(labels, '$.prompt_tokens') = '128'
                 AND CAST(json_extract(labels, '$.ttft_ms') AS INTEGER) >= 1000";
    assert_eq!(int(&conn, &format!("SELECT count(*) {waits}")), 2);
    let sum = int(
        &conn,
        &format!("SELECT sum(CAST(json_extract(labels, '$.ttft_ms') AS INTEGER)) {waits}"),
    );
    assert_eq!(first["impact_ns"], sum * MS);
    assert_eq!(first["evidence"][0]["value"], 2);
}

#[test]
fn the_stall_is_as_long_as_planted() {
    for (name, cause) in [
        ("hol-blocking", "waiting for a CPU"),
        ("hol-blocking-twin-beside", "waiting for a CPU"),
        ("hol-blocking-twin-sleep", "asleep"),
    ] {
        let report = report(name);
        let stall = the(&report, "ENGINE_STALL");
        let truth = truth(name);
        let planted = truth.iter().find(|t| t.rule == "ENGINE_STALL").unwrap();
        // The gap lies between two calls, a little wider than the stint.
        let at = |field: &str| stall[field].as_i64().unwrap();
        assert!((0..5 * MS).contains(&(planted.start - at("start_ns"))), "{name}");
        assert!((0..5 * MS).contains(&(at("end_ns") - planted.end)), "{name}");
        let message = stall["message"].as_str().unwrap();
        assert!(message.contains("2.5 s") && message.contains(cause), "{message}");
        // No call of the process is in progress in it.
        let conn = open(name);
        let calls = format!(
            "SELECT count(*) FROM events WHERE pid = 4211 AND source IN (1, 4, 8)
             AND timestamp < {} AND timestamp + duration > {}",
            at("end_ns"),
            at("start_ns")
        );
        assert_eq!(int(&conn, &calls), 0, "{name}");
    }
}

#[test]
fn slow_launches_are_proved_by_the_run_queue() {
    let report = report("hol-blocking");
    let tail = the(&report, "LAUNCH_TAIL_CONTENTION");
    assert_eq!(tail["link"], "thread");
    let conn = open("hol-blocking");

    // Steady from 30 s after the first CUDA call on; kernels were all used before.
    let steady = int(
        &conn,
        "SELECT min(timestamp) + 30000000000 FROM events WHERE source IN (1, 4, 8)",
    );
    // cudaLaunchKernel and graphLaunch; a cuLaunchKernel lies inside the former.
    let launches = format!("FROM events WHERE (source, op) IN ((1, 3), (8, 4)) AND pid=4211 AND timestamp >= {steady}");
    let count = int(&conn, &format!("SELECT count(*) {launches}"));
    assert_eq!(tail["evidence"][0]["value"], count);
    let median = int(
        &conn,
        &format!("SELECT duration {launches} ORDER BY duration LIMIT 1 OFFSET ({count} - 1) / 2"),
    );
    let tails = format!("{launches} AND duration > 3 * {median} AND duration > 100000");
    assert_eq!(
        tail["evidence"][1]["value"],
        int(&conn, &format!("SELECT count(*) {tails}"))
    );
    assert_eq!(
        tail["evidence"][2]["value"],
        int(&conn, &format!("SELECT sum(duration) {tails}"))
    );
    assert_eq!(int(&conn, &format!("SELECT max(duration) {launches}")), 356 * MS);

    // Time of the slow ones, and how much of it lies in run-queue time of the same thread.
    let slow = format!("{launches} AND duration > 3 * {median}");
    let sum = int(&conn, &format!("SELECT sum(duration) {slow}"));
    assert_eq!(tail["impact_ns"], sum);
    let waited = int(
        &conn,
        &format!(
            "WITH slow AS (SELECT tid, timestamp AS a, timestamp + duration AS b {slow}),
                  wait AS (SELECT tid, timestamp - duration AS a, timestamp AS b
                           FROM events JOIN sched_details ON event = events.rowid
                           WHERE source=3 AND op=1 AND state=0)
             SELECT sum(min(s.b, w.b) - max(s.a, w.a)) FROM slow s JOIN wait w
             ON w.tid = s.tid AND w.a < s.b AND w.b > s.a"
        ),
    );
    let queue = &tail["evidence"][4];
    assert!(queue["metric"].as_str().unwrap().contains("sched.runq"), "{queue}");
    #[allow(clippy::cast_precision_loss, reason = "below 2^53")]
    let share = waited as f64 / sum as f64;
    assert!(
        (queue["value"].as_f64().unwrap() - share).abs() < 1e-6,
        "{share} {queue}"
    );
    assert!(share > 0.8, "{share}");

    // The slow launch of 356 ms and the 330 ms in it are shown, with the thread that ran instead.
    let witnesses = queue["witnesses"].as_array().unwrap();
    let shown = |dur: i64| witnesses.iter().find(|w| w["dur_ns"] == dur * MS).unwrap();
    assert_eq!(shown(356)["op"], "cudaLaunchKernel");
    assert_eq!(shown(356)["tid"], 4211);
    assert_eq!(shown(330)["tid"], 4211);
    assert!(shown(330)["detail"].as_str().unwrap().contains("cc1plus"));
    let row = |dur: i64| shown(dur)["row"].as_i64().unwrap();
    let stored = |row: i64| int(&conn, &format!("SELECT duration FROM events WHERE rowid = {row}"));
    assert_eq!((stored(row(356)), stored(row(330))), (356 * MS, 330 * MS));
}

#[test]
fn lazy_loads_copies_and_synchronisations_are_counted_right() {
    let lazy = report("lazy-load");
    let conn = open("lazy-load");
    let found = the(&lazy, "LAZY_KERNEL_LOAD");
    let slow = "FROM events WHERE source=1 AND op=3 AND duration > 1000000";
    assert_eq!(
        found["evidence"][0]["value"],
        int(&conn, &format!("SELECT count(*) {slow}"))
    );
    assert_eq!(found["impact_ns"], int(&conn, &format!("SELECT sum(duration) {slow}")));

    let copies = report("pageable-copy");
    let conn = open("pageable-copy");
    let found = the(&copies, "PAGEABLE_COPY");
    let uploads = "FROM events WHERE source=1 AND op=7 AND arg1=1 AND arg0 = 8388608 AND duration > 50000";
    assert_eq!(
        found["evidence"][0]["value"],
        int(&conn, &format!("SELECT count(*) {uploads}"))
    );
    assert_eq!(
        found["impact_ns"],
        int(&conn, &format!("SELECT sum(duration) {uploads}"))
    );
    let rate: f64 = conn
        .query_row(&format!("SELECT 1e9 * sum(arg0) / sum(duration) {uploads}"), [], |r| {
            r.get(0)
        })
        .unwrap();
    let said = found["evidence"][1]["value"].as_f64().unwrap();
    assert!((said / rate - 1.0).abs() < 1e-9, "{said} {rate}");

    let full = report("launch-queue-full");
    let found = the(&full, "LAUNCH_QUEUE_FULL");
    assert_eq!((&found["severity"], &found["impact_ns"]), (&"info".into(), &0.into()));
    assert_eq!(found["evidence"][0]["value"], 6 * 9_000);
}

#[test]
fn pages_that_are_only_counted_are_not_zero() {
    let rules = folder().join("pages.rules");
    std::fs::write(
        &rules,
        "when mem.page_alloc.count > 1 per pid => PAGES { severity low }",
    )
    .unwrap();
    let output = ingero()
        .args(["analyze", "--quiet", "--format", "json", "--rules"])
        .arg(&rules)
        .arg(file(folder(), "hol-blocking"))
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let counted = int(
        &open("hol-blocking"),
        "SELECT sum(count) FROM event_aggregates WHERE source = 3 AND op = 3",
    );
    assert_eq!(the(&report, "PAGES")["evidence"][0]["value"], counted);
}
