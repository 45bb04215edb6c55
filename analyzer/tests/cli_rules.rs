//! `ingero rules` and `ingero simulate`, on files of their own.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;

const ONE_LINE: &str =
    "when cuda.p99 > 5*p50 and sched.off_cpu(pid) > 1s within 100ms => HOL_BLOCKING { severity high }\n";

/// Runs in a folder: standard output, standard error, exit code.
fn run(dir: &Path, args: &[&str]) -> (String, String, i32) {
    let mut command = Command::cargo_bin("ingero").unwrap();
    command
        .args(args)
        .current_dir(dir)
        .env_remove("COLUMNS")
        .env("LC_ALL", "C.UTF-8");
    let output = command.output().unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
        output.status.code().unwrap(),
    )
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("rules")).unwrap();
    fs::write(dir.path().join("rules/good.rules"), ONE_LINE).unwrap();
    let bad = format!(
        "{}when cuda.p99 > 5 => NO_UNIT\nwhen cudda.p99 > 1s => NO_SOURCE\n",
        ONE_LINE.replace("HOL_BLOCKING", "SLOW")
    );
    fs::write(dir.path().join("bad.rules"), bad).unwrap();
    dir
}

#[test]
fn good_rules_pass_the_check() {
    let dir = folder();
    let (out, _, code) = run(dir.path(), &["rules", "check", "rules"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("1 file, 1 usable rule, 0 tests, 0 errors"), "{out}");
}

#[test]
fn all_errors_of_a_file_are_shown_and_its_good_rules_stay() {
    let dir = folder();
    let (out, err, code) = run(dir.path(), &["rules", "check", "bad.rules"]);
    assert_eq!(code, 2);
    assert!(out.contains("1 usable rule"), "{out}");
    assert!(err.contains("E0401") && err.contains("did you mean `cuda`?"), "{err}");
    assert!(!err.contains('\x1b'));
    let (out, _, code) = run(dir.path(), &["rules", "list", "bad.rules", "rules"]);
    assert_eq!(code, 2);
    assert!(out.contains("SLOW  "), "{out}");
    assert!(out.contains("rules/good.rules\n  HOL_BLOCKING  high"), "{out}");
}

#[test]
fn a_file_named_twice_is_read_once() {
    let dir = folder();
    let (out, _, code) = run(dir.path(), &["rules", "check", "rules", "rules/good.rules"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("1 file, 1 usable rule"), "{out}");
}

#[test]
fn explain_finds_a_rule_by_name_and_id() {
    let dir = folder();
    for name in ["HOL_BLOCKING", "hol-blocking"] {
        let (out, _, code) = run(dir.path(), &["rules", "explain", name, "--rules", "rules"]);
        assert_eq!(code, 0);
        assert!(out.contains("100 ms"), "{out}");
    }
    let (_, err, code) = run(dir.path(), &["rules", "explain", "HOL_BLOKING", "--rules", "rules"]);
    assert_eq!(code, 2);
    assert!(err.contains("did you mean HOL_BLOCKING?"), "{err}");
}

#[test]
fn a_value_that_no_rule_takes_stops_the_run() {
    let dir = folder();
    let (out, err, code) = run(dir.path(), &["analyze", "--rules", "rules", "--set", "x=5ms", "t.db"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("E0311") && err.contains("--set cannot be used"), "{err}");
}

#[test]
fn a_trace_that_is_not_there() {
    let dir = folder();
    let (out, err, code) = run(dir.path(), &["analyze", "--rules", "rules", "t.db"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("t.db: no such file"), "{err}");
}

#[test]
fn scenarios_are_listed_written_and_not_overwritten() {
    let dir = folder();
    let (out, err, code) = run(dir.path(), &["simulate", "--list"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("hol-blocking "), "{out}");
    let (out, _, code) = run(dir.path(), &["simulate", "lazy-load", "-o", "a.db"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("a.db: ") && out.ends_with(" events\n"), "{out}");
    let (_, err, code) = run(dir.path(), &["simulate", "lazy-load", "-o", "a.db"]);
    assert_eq!(code, 2);
    assert!(err.contains("a.db exists already") && err.contains("--force"), "{err}");
    let (_, _, code) = run(dir.path(), &["simulate", "lazy-load", "-o", "a.db", "--force"]);
    assert_eq!(code, 0);
    let (_, err, code) = run(dir.path(), &["simulate", "lazy", "-o", "b.db"]);
    assert_eq!(code, 2);
    assert!(err.contains("there is no scenario"), "{err}");
    assert!(!dir.path().join("b.db").exists());
}
