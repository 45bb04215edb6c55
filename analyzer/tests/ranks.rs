//! Collectives across files: one recording for each rank, together, merged, and with clocks that agree or not.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use ingero::simulate::{Options, SimulateError, create, simulate};
use ingero::trace::writer::Writer;
use rusqlite::Connection;
use serde_json::Value;

/// The recording of one rank.
fn record(folder: &Path, scenario: &str, rank: i64) -> PathBuf {
    let path = folder.join(format!("{scenario}.{rank}.db"));
    let options = Options {
        node: format!("host{rank}"),
        rank: Some(rank),
        ..Options::default()
    };
    create(scenario, &options, &path, false).unwrap();
    path
}

fn change(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

/// The JSON report by the rules about NCCL.
fn report(traces: &[&Path]) -> Value {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../rules/nccl.rules");
    let mut command = Command::cargo_bin("ingero").unwrap();
    command.args(["analyze", "--quiet", "--format", "json", "--rules", rules]);
    let done = command.args(traces).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

/// Rule, process and message of every finding of LOW or above.
fn named(report: &Value) -> Vec<(String, i64, String)> {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let found = report["diagnoses"].as_array().unwrap().iter();
    let loud = found.filter(|d| d["severity"] != "info");
    loud.map(|d| (text(&d["rule"]), d["key"]["pid"].as_i64().unwrap(), text(&d["message"])))
        .collect()
}

/// Why a rule says nothing.
fn reason(report: &Value, rule: &str) -> String {
    let mut rules = report["rules"].as_array().unwrap().iter();
    let rule = rules.find(|r| r["name"] == rule).unwrap();
    assert_eq!(rule["status"], "not_applicable", "{rule}");
    rule["reason"].as_str().unwrap().to_owned()
}

fn notes(report: &Value) -> String {
    let files = report["traces"].as_array().unwrap().iter();
    files.map(|f| f["notes"].to_string()).collect()
}

#[test]
fn a_late_rank_is_found_over_files_as_in_one() {
    let dir = tempfile::tempdir().unwrap();
    let one = dir.path().join("one.db");
    create("ddp-straggler", &Options::default(), &one, false).unwrap();
    let ranks = [0, 1].map(|r| record(dir.path(), "ddp-straggler", r));
    let merged = dir.path().join("merged.db");
    let mut merge = Command::cargo_bin("ingero").unwrap();
    merge
        .arg("merge")
        .args(&ranks)
        .arg("-o")
        .arg(&merged)
        .assert()
        .success();

    let want = named(&report(&[&one]));
    assert_eq!(want.len(), 1, "{want:?}");
    assert_eq!((want[0].0.as_str(), want[0].1), ("NCCL_STRAGGLER", 7001));
    assert!(want[0].2.ends_with("its thread waited for a CPU"), "{want:?}");
    assert_eq!(named(&report(&[&ranks[0], &ranks[1]])), want);
    assert_eq!(named(&report(&[&ranks[1], &ranks[0]])), want);
    assert_eq!(named(&report(&[&merged])), want);
}

#[test]
fn one_rank_alone_is_neither_late_nor_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let late = record(dir.path(), "ddp-straggler", 1);
    let alone = report(&[&late]);
    for rule in ["NCCL_STRAGGLER", "NCCL_ABSENT_RANK", "NCCL_MISMATCH"] {
        assert_eq!(
            reason(&alone, rule),
            "no NCCL collective of several ranks in this trace"
        );
    }
    // Nor two recordings of it.
    let again = dir.path().join("again.db");
    std::fs::copy(&late, &again).unwrap();
    change(
        &again,
        "UPDATE events SET node='other'; UPDATE sessions SET node='other'",
    );
    reason(&report(&[&late, &again]), "NCCL_STRAGGLER");
}

#[test]
fn hosts_are_compared_as_well_as_their_clocks_are_known_to_agree() {
    let dir = tempfile::tempdir().unwrap();
    let ranks = [0, 1].map(|r| record(dir.path(), "ddp-straggler", r));
    let other_host = "UPDATE recording SET value='another' WHERE key='boot_id'";
    let both = |sql: &str| ranks.iter().for_each(|r| change(r, sql));
    let judge = || report(&[&ranks[0], &ranks[1]]);

    let one_clock = named(&judge());
    // Of two boots, and nobody kept their clocks in step; the catalogue's N22 moves one of them.
    change(&ranks[1], other_host);
    change(&ranks[0], "UPDATE events SET timestamp = timestamp + 47000000");
    reason(&judge(), "NCCL_STRAGGLER");
    assert!(notes(&judge()).contains("nothing says how well the clocks of its hosts agree"));
    change(&ranks[0], "UPDATE events SET timestamp = timestamp - 47000000");
    reason(&judge(), "NCCL_STRAGGLER");

    // Within a bound far below the lateness of 25 ms, and with one above it.
    both("UPDATE clock_offsets SET wall_error_ns = 100000");
    let found = named(&judge());
    assert_eq!((found[0].0.as_str(), found[0].1), ("NCCL_STRAGGLER", 7001));
    both("UPDATE clock_offsets SET wall_error_ns = 20000000");
    reason(&judge(), "NCCL_STRAGGLER");
    assert!(notes(&judge()).contains("closer together than twice what their clocks may be apart"));

    // One boot needs no bound, but its recordings must not have been set apart meanwhile.
    both("UPDATE clock_offsets SET wall_error_ns = -1; UPDATE recording SET value='one' WHERE key='boot_id'");
    assert_eq!(named(&judge()), one_clock);
    change(&ranks[1], "UPDATE clock_offsets SET offset_ns = offset_ns + 30000000");
    reason(&judge(), "NCCL_STRAGGLER");
}

#[test]
fn a_rank_that_does_not_come_is_known_by_those_that_wait() {
    let dir = tempfile::tempdir().unwrap();
    let [absent, waits] = [2, 5].map(|r| record(dir.path(), "ddp-hang", r));
    let found = named(&report(&[&absent, &waits]));
    let short: Vec<(&str, i64)> = found.iter().map(|f| (f.0.as_str(), f.1)).collect();
    assert_eq!(short, [("NCCL_ABSENT_RANK", 7002)]);
    // Who is late of eight cannot be told by two.
    reason(&report(&[&absent, &waits]), "NCCL_STRAGGLER");
}

#[test]
fn other_elements_are_seen_over_files() {
    let dir = tempfile::tempdir().unwrap();
    let ranks = [0, 1, 2].map(|r| record(dir.path(), "ddp-mismatch", r));
    let found = named(&report(&[&ranks[0], &ranks[1], &ranks[2]]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].0.as_str(), found[0].1), ("NCCL_MISMATCH", 7001));
    // Files from before communicators had names cannot be brought together.
    for r in &ranks {
        change(r, "ALTER TABLE nccl_calls DROP COLUMN comm_id");
    }
    reason(&report(&[&ranks[0], &ranks[1], &ranks[2]]), "NCCL_MISMATCH");
}

#[test]
fn only_ranks_that_there_are_can_be_recorded() {
    for (scenario, rank, said) in [
        ("ddp-straggler", 2, "ddp-straggler has ranks 0 to 1"),
        ("healthy-training", 0, "healthy-training has no ranks"),
    ] {
        let options = Options {
            rank: Some(rank),
            ..Options::default()
        };
        let error = simulate(scenario, &options, &mut Writer::in_memory("sim").unwrap()).unwrap_err();
        assert!(matches!(error, SimulateError::NoRank { .. }));
        assert_eq!(error.to_string(), said);
    }
}
