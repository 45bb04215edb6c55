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

/// Runs a command that the README shows after `prompt`, and compares what it prints.
fn prints_what_is_shown(prompt: &str, args: &[&str]) {
    assert!(readme().contains(&format!("$ {prompt}{}\n", args.join(" "))));
    let out = ingero().args(args).assert().success().get_output().stdout.clone();
    let out = String::from_utf8(out).unwrap();
    assert!(readme().contains(out.trim_end()), "the README should show:\n{out}");
}

#[test]
fn the_first_command_prints_what_is_shown() {
    let trace = "investigations/hol-blocking/trace.db";
    prints_what_is_shown(
        "cargo run --release -- ",
        &["analyze", "--rules", "rules/vllm.rules", trace],
    );
}

#[test]
fn the_healthy_server_is_judged_as_shown() {
    let trace = "investigations/vllm-eleven/trace.db";
    prints_what_is_shown("ingero ", &["analyze", "--rules", "rules/vllm.rules", trace]);
}

#[test]
fn the_processes_are_those_that_are_shown() {
    let trace = "investigations/hol-blocking/trace.db";
    prints_what_is_shown("ingero ", &["explain", "--per-process", "--top", "1", trace]);
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

/// Whether a text is what a page shows of it; a line `…` stands for lines left out.
fn is_shown(mut text: &str, shown: &str) -> bool {
    let parts: Vec<&str> = shown.split("…\n").collect();
    for (i, part) in parts.iter().enumerate() {
        let found = match (i, i + 1 == parts.len()) {
            (0, true) => (text == *part).then_some(0),
            (0, false) => text.starts_with(part).then_some(0),
            (_, true) => text.ends_with(part).then(|| text.len() - part.len()),
            _ => text.find(part),
        };
        let Some(at) = found else { return false };
        text = &text[at + part.len()..];
    }
    true
}

#[test]
fn what_is_left_out_is_the_only_difference() {
    let text = "a\nb\nc\nd\n";
    for shown in [
        "a\nb\nc\nd\n",
        "…\n",
        "a\n…\n",
        "…\nd\n",
        "a\n…\nc\n…\n",
        "…\nb\nc\nd\n",
    ] {
        assert!(is_shown(text, shown), "{shown}");
    }
    for shown in ["a\nb\n", "b\n…\n", "…\nc\n", "a\n…\nx\n…\n", "…\nc\n…\nb\n…\n", ""] {
        assert!(!is_shown(text, shown), "{shown}");
    }
}

/// The commands of a block with what they print.
fn commands(block: &str) -> Vec<(&str, String)> {
    let mut out: Vec<(&str, String)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), out.last_mut()) {
            (Some(command), _) => out.push((command, String::new())),
            (None, Some((_, shown))) => {
                shown.push_str(line);
                shown.push('\n');
            }
            (None, None) => panic!("a block begins with a command: {line}"),
        }
    }
    out
}

#[cfg(unix)]
#[test]
fn the_page_on_writing_rules_does_what_it_shows() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root().join("investigations"), dir.path().join("investigations")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_ingero"));
    let path = std::env::join_paths([program.parent().unwrap(), Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("WRITING-RULES.md")).unwrap();
    let file = dir.path().join("stall.rules");
    let mut ran = 0;
    for block in page.split("\n```").skip(1).step_by(2) {
        let (kind, body) = block.split_once('\n').unwrap();
        match kind {
            "rules" => fs::write(&file, format!("{body}\n")).unwrap(),
            "rules append" => {
                let before = fs::read_to_string(&file).unwrap();
                fs::write(&file, format!("{before}\n{body}\n")).unwrap();
            }
            "console" => {
                for (command, shown) in commands(body) {
                    let mut shell = Command::new("sh");
                    shell.args(["-c", &format!("({command}) 2>&1")]).current_dir(dir.path());
                    shell.env("PATH", &path).env_remove("COLUMNS").env("LC_ALL", "C.UTF-8");
                    let output = shell.output().unwrap();
                    let out = String::from_utf8(output.stdout).unwrap();
                    assert!(
                        is_shown(&out, &shown),
                        "$ {command}\n{out}\nand the page shows\n{shown}"
                    );
                    ran += 1;
                }
            }
            // An entry of the corpus, as it stands there.
            "rust" => {
                let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/simulate/corpus/cuda.rs");
                let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
                let entries = words(&fs::read_to_string(corpus).unwrap());
                assert!(entries.contains(&words(body)), "not in the corpus:\n{body}");
            }
            other => panic!("a block of {other:?}, which nobody looks at"),
        }
    }
    assert!(ran >= 15, "{ran}");
}
