//! The README shows what the program really prints, and its rule is a rule.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

fn ingero() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingero"));
    command
        .current_dir(root())
        .env_remove("COLUMNS")
        .env("LC_ALL", "C.UTF-8");
    command
}

#[test]
fn the_first_command_prints_what_is_shown() {
    let args = [
        "analyze",
        "--rules",
        "rules/vllm.rules",
        "investigations/hol-blocking/trace.db",
    ];
    assert!(readme().contains(&format!("$ cargo run --release -- {}\n", args.join(" "))));
    let out = ingero().args(args).assert().success().get_output().stdout.clone();
    let out = String::from_utf8(out).unwrap();
    assert!(readme().contains(out.trim_end()), "the README should show:\n{out}");
}

#[test]
fn the_processes_are_those_that_are_shown() {
    let args = [
        "explain",
        "--per-process",
        "--top",
        "1",
        "investigations/hol-blocking/trace.db",
    ];
    assert!(readme().contains(&format!("$ ingero {}\n", args.join(" "))));
    let out = ingero().args(args).assert().success().get_output().stdout.clone();
    let out = String::from_utf8(out).unwrap();
    assert!(readme().contains(out.trim_end()), "the README should show:\n{out}");
}

#[test]
fn the_rule_of_the_tutorial_passes_its_own_test() {
    let text = readme();
    let rule = text
        .split("```rules\n")
        .nth(2)
        .and_then(|b| b.split("```").next())
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.rules");
    fs::write(&path, rule).unwrap();
    let run = ingero().arg("rules").arg("test").arg(&path).assert().success();
    let out = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    assert!(out.contains("1 passed, 0 failed"), "{out}");
}
