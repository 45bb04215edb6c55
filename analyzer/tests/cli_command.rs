//! The command as a shell sees it: exit codes and streams.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;

use assert_cmd::Command;

fn ingero(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("ingero").unwrap();
    command
        .args(args)
        .env_remove("COLUMNS")
        .env_remove("NO_COLOR")
        .env("LC_ALL", "C.UTF-8");
    command
}

/// Standard output, standard error, exit code.
fn run(args: &[&str]) -> (String, String, i32) {
    let output = ingero(args).output().unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
        output.status.code().unwrap(),
    )
}

#[test]
fn help_goes_to_standard_output() {
    for args in [
        &["--help"][..],
        &["analyze", "--help"],
        &["help", "golden"],
        &["--version"],
    ] {
        let (out, err, code) = run(args);
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
        assert!(!out.is_empty());
    }
}

#[test]
fn help_reads_well() {
    for command in [
        "",
        "analyze",
        "explain",
        "compare-chains",
        "bench-truth",
        "export",
        "merge",
        "mcp",
        "rules",
        "query",
        "rules list",
        "rules check",
        "rules test",
        "rules explain",
        "simulate",
        "slice",
        "demo",
        "golden check",
        "schema",
        "completions",
        "man",
    ] {
        let mut args: Vec<&str> = command.split_whitespace().collect();
        args.push("--help");
        let mut command_line = ingero(&args);
        let output = command_line.env("COLUMNS", "100").output().unwrap();
        let name = format!("help {command}").trim().replace(' ', "_");
        insta::assert_snapshot!(name, String::from_utf8(output.stdout).unwrap());
    }
}

#[test]
fn verbose_says_which_reader_ran_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let said = |encoding: &str| {
        let _ = fs::remove_file(&path);
        let conn = rusqlite::Connection::open(&path).unwrap();
        conn.execute_batch(&format!(
            "PRAGMA encoding='{encoding}'; {}; INSERT INTO events(id, timestamp, pid, tid, source, op, duration, node) \
             VALUES ('n:1', 1000, 7, 7, 1, 3, 10, 'n')",
            ingero::trace::SCHEMA_SQL
        ))
        .unwrap();
        drop(conn);
        let (out, _, code) = run(&["analyze", "--verbose", path.to_str().unwrap()]);
        assert_eq!(code, 0);
        out.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let read = said("UTF-8");
    assert!(read.contains("read by pages and SQLite, opened read-only"), "{read}");
    let read = said("UTF-16");
    let why = "read by SQLite, opened read-only (rollback-journal file); not from its pages: its text is not UTF-8";
    assert!(read.contains(why), "{read}");
}

#[test]
fn wrong_usage_exits_with_2_and_prints_nothing() {
    for args in [
        &[][..],
        &["analyze"],
        &["nonsense"],
        &["analyze", "--fail-on", "terrible", "t.db"],
        &["analyze", "--last", "5", "t.db"],
        &["analyze", "--from", "5s", "t.db"],
        &["analyze", "--last", "5s", "--from", "+1s", "t.db"],
        &["analyze", "--quiet", "--verbose", "t.db"],
        &["simulate"],
        &["simulate", "healthy-serving"],
        &["golden", "check", "dir"],
    ] {
        let (out, err, code) = run(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(!err.is_empty());
    }
}

#[test]
fn wrong_times_say_what_to_write() {
    let (_, err, _) = run(&["analyze", "--from", "5s", "t.db"]);
    assert!(err.contains("+5s from the start, or -5s from the end"), "{err}");
    let (_, err, _) = run(&["analyze", "--from", "2026-04-02T04:38:10", "t.db"]);
    assert!(err.contains("2026-04-02T04:38:10Z is UTC"), "{err}");
}

#[test]
fn rules_that_do_not_exist() {
    let (out, err, code) = run(&["analyze", "--rules", "no/such.rules", "t.db"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("no rules no/such.rules"), "{err}");
    let dir = tempfile::tempdir().unwrap();
    let (_, err, code) = run(&["rules", "check", dir.path().to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(err.contains("ends in .rules"), "{err}");
    fs::write(dir.path().join("x.rules"), b"\xff\xfe").unwrap();
    let (_, err, code) = run(&["rules", "check", dir.path().to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(err.contains("x.rules: stream did not contain valid UTF-8"), "{err}");
}

#[test]
fn the_schema_is_json() {
    let (out, err, code) = run(&["schema"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(schema["properties"]["schema_version"]["const"], 1);
}

#[test]
fn completions_and_manual() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (out, err, code) = run(&["completions", shell]);
        assert_eq!((code, err.as_str()), (0, ""), "{shell}");
        assert!(out.contains("fail-on"), "{shell}");
    }
    let (out, _, code) = run(&["man"]);
    assert_eq!(code, 0);
    assert!(out.starts_with(".ie"), "{out}");
    let dir = tempfile::tempdir().unwrap();
    let (_, _, code) = run(&["man", "--dir", dir.path().to_str().unwrap()]);
    assert_eq!(code, 0);
    let page = fs::read_to_string(dir.path().join("ingero-analyze.1")).unwrap();
    assert!(page.contains("fail"), "{page}");
}

/// The program in a folder of its own: in the build folder the recorder may lie beside it. Linked,
/// for a file that was just written cannot always be started.
fn alone() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = dir.path().join("ingero");
    fs::hard_link(assert_cmd::cargo::cargo_bin("ingero"), &program).unwrap();
    (dir, program)
}

#[test]
fn record_without_a_recorder_says_so() {
    let (dir, program) = alone();
    let output = Command::new(&program)
        .args(["record", "--output", "x.db"])
        .env("PATH", dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("cannot find `ingero-recorder`"), "{err}");
}

#[cfg(unix)]
#[test]
fn record_becomes_the_recorder_with_all_arguments() {
    let (_dir, program) = alone();
    let path = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/echo", path.path().join("ingero-recorder")).unwrap();
    let output = Command::new(&program)
        .args(["record", "-o", "x.db", "--help"])
        .env("PATH", path.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "-o x.db --help\n");
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_not_an_error() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("ingero"))
        .arg("schema")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    use std::process::{Command, Stdio};
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(assert_cmd::cargo::cargo_bin("ingero"))
        .arg("schema")
        .stdout(Stdio::from(full))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("cannot write to standard output: No space left"), "{err}");
}

#[test]
fn errors_are_coloured_only_on_request() {
    let plain = run(&["analyze", "--rules", "no/such", "t.db"]).1;
    assert!(!plain.contains('\x1b'));
    let colour = run(&["--color", "always", "analyze", "--rules", "no/such", "t.db"]).1;
    assert!(colour.contains("\x1b[1;31merror:"));
}
