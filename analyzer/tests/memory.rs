//! `--memory`: several passes say what one says.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use ingero::eval::{self, Judged, Options};
use ingero::lang::hir::Program;
use ingero::plan::{self, budget};
use ingero::source::SourceFile;
use ingero::trace::{Needs, ReadOptions, count, read};

fn run(args: &[&str]) -> (String, String, i32) {
    let output = Command::cargo_bin("ingero").unwrap().args(args).output().unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
        output.status.code().unwrap(),
    )
}

/// The rules of all packs.
fn program() -> Program {
    let files: Vec<SourceFile> = ingero::cli::PACKS
        .iter()
        .map(|(name, text)| SourceFile::new(*name, *text))
        .collect();
    ingero::lang::compile(&files, &[]).program
}

/// The least memory in which all rules can be judged, in how many passes, and what one pass takes.
fn least(program: &Program, trace: &Path) -> (u64, usize, u64) {
    let count = count(&[trace.to_path_buf()], 2);
    let mut bytes = 1;
    loop {
        match budget::groups(program, &count, bytes) {
            Ok(groups) => {
                assert!(groups.iter().all(|g| g.bytes <= bytes));
                return (
                    bytes,
                    groups.len(),
                    budget::bytes(program, &plan::needs(program), &count),
                );
            }
            Err(e) => bytes = e.bytes,
        }
    }
}

fn investigation(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../investigations")
        .join(name)
        .join("trace.db")
}

const RULES: &str = "when io.count > 2 per pid => IO\nwhen cuda.count > 2 per pid => CALLS\n\
    when sched.off_cpu(pid) > 1us => OFF\nwhen net.send.rate > 1/s per pid => RATE";

/// A trace of a process that becomes another program, and rules that each look at a part of it.
fn two_lives(dir: &Path) -> (PathBuf, Program) {
    let path = dir.join("t.db");
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch(ingero::trace::SCHEMA_SQL).unwrap();
    conn.execute_batch(
        "INSERT INTO sessions(started_at, stopped_at, flags, node) VALUES (1000000, 90000000000, 'record-all', 'n');
         WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 4000)
         INSERT INTO events(rowid, id, timestamp, pid, tid, source, op, duration, arg0, node, comm)
         SELECT i, 'n:' || i, i * 10000000, 7, 7,
            CASE WHEN i = 2000 THEN 3 WHEN i % 10 = 0 THEN 1 WHEN i % 3 = 0 THEN 3 WHEN i % 3 = 1 THEN 5 ELSE 7 END,
            CASE WHEN i = 2000 THEN 5 ELSE 1 + i % 2 END,
            10000 + i % 7 * 1000, 8, 'n', 'python3' FROM c;",
    )
    .unwrap();
    let compiled = ingero::lang::compile(&[SourceFile::new("t.rules", RULES)], &[]);
    assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics);
    (path, compiled.program)
}

#[test]
fn several_passes_say_what_one_says() {
    let dir = tempfile::tempdir().unwrap();
    let (trace, program) = two_lives(dir.path());
    let rules = dir.path().join("t.rules");
    std::fs::write(&rules, RULES).unwrap();
    let (bytes, passes, whole) = least(&program, &trace);
    assert!(
        passes > 1 && bytes < whole,
        "{passes} passes in {bytes}, one in {whole}"
    );
    let memory = format!("{bytes}B");
    let (rules, path) = (rules.to_str().unwrap(), trace.to_str().unwrap());
    for more in [&[][..], &["--last", "4s"]] {
        let one: Vec<&str> = ["analyze", "--format", "json", "--rules", rules]
            .into_iter()
            .chain(more.iter().copied())
            .chain([path])
            .collect();
        let many: Vec<&str> = one.iter().copied().chain(["--memory", &memory]).collect();
        let (expected, found) = (run(&one), run(&many));
        assert_eq!(expected.2, 0, "{}", expected.1);
        assert!(expected == found, "{more:?}: the reports differ\n{}", found.1);
    }
    // A file that cannot be read is named once.
    let bad = dir.path().join("bad.db");
    std::fs::write(&bad, "no trace").unwrap();
    let one = [
        "analyze",
        "--format",
        "json",
        "--rules",
        rules,
        path,
        bad.to_str().unwrap(),
    ];
    let many: Vec<&str> = one.into_iter().chain(["--memory", &memory]).collect();
    let (expected, found) = (run(&one), run(&many));
    assert_eq!(expected.2, 2, "{}", expected.1);
    assert!(expected == found, "{}\nnot\n{}", found.1, expected.1);
}

/// Judges the rules in `n` passes, whichever they are, and compares with one pass. Gives how many lanes had
/// to be kept for the sake of other passes.
fn compare_parts(program: &Program, trace: &Path, n: usize) -> usize {
    let paths = [trace.to_path_buf()];
    let whole = plan::needs(program);
    let read = |needs: &Needs| {
        let options = ReadOptions {
            needs: needs.clone(),
            ..ReadOptions::default()
        };
        read(&paths, &options).0.unwrap()
    };
    let one = eval::analyze(program, &read(&whole), Options::default());
    let facts = budget::facts(program, &count(&paths, 2));
    let mut lanes = BTreeSet::new();
    let mut judged = Judged::default();
    for k in 0..n {
        let rules: Vec<usize> = (0..program.rules.len()).filter(|i| i * 7 % n == k).collect();
        let part = plan::part(program, &rules);
        let mut needs = plan::asked(&part);
        if k + 1 == n {
            needs.merge(&facts);
        }
        let trace = loop {
            needs.lanes.clone_from(&lanes);
            let trace = read(&needs);
            let before = lanes.len();
            lanes.extend(trace.torn.iter().filter(|l| whole.closure().has(l.2)));
            if lanes.len() == before {
                break trace;
            }
        };
        judged.add(&part, &rules, &trace, Options::default());
        if k + 1 == n {
            let many = judged.conclude(program, &trace, Options::default());
            let (a, b) = (format!("{one:#?}"), format!("{many:#?}"));
            let line = a.lines().zip(b.lines()).position(|(x, y)| x != y);
            let around = |s: &str| {
                s.lines()
                    .skip(line.unwrap_or(0).saturating_sub(9))
                    .take(12)
                    .collect::<Vec<_>>()
                    .join("\n")
            };
            assert!(
                a == b,
                "{}, {n} parts:\n{}\nnot\n{}",
                trace.files[0].path.display(),
                around(&b),
                around(&a)
            );
            return lanes.len();
        }
    }
    0
}

/// Rows that are only counted belong to both lives.
#[test]
fn lives_of_a_process_are_told_apart_in_every_part() {
    let dir = tempfile::tempdir().unwrap();
    let (path, program) = two_lives(dir.path());
    for n in [2, 4] {
        assert!(compare_parts(&program, &path, n) > 0, "nothing was shared by two lives");
    }
}

#[test]
fn any_parts_of_the_rules_say_what_all_say() {
    let names = std::env::var("INGERO_TEST_TRACES").unwrap_or_else(|_| "decode stray".to_owned());
    for name in names.split_whitespace() {
        for n in [3, 11] {
            compare_parts(&program(), &investigation(name), n);
        }
    }
}

#[test]
fn too_little_memory_is_an_error_that_names_the_rule() {
    let trace = investigation("stray");
    let path = trace.to_str().unwrap();
    let program = program();
    let (least, ..) = least(&program, &trace);
    let whole = budget::bytes(
        &program,
        &plan::needs(&program),
        &count(std::slice::from_ref(&trace), 2),
    );
    let memory = format!("{}B", whole.min(least) - 1);
    let (out, err, code) = run(&["analyze", "--memory", &format!("{whole}B"), path]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let (out, err, code) = run(&["analyze", "--memory", &memory, path]);
    assert_eq!((out.as_str(), code), ("", 2));
    assert!(
        err.contains("takes about") && err.contains("rows of") && err.contains("ingero slice"),
        "{err}"
    );
    let (_, err, code) = run(&["analyze", "--memory", &memory, "--format", "html", path]);
    assert!(code == 2 && err.contains("the whole trace"), "{err}");
    let (_, err, code) = run(&["analyze", "--memory", "lots", path]);
    assert!(code == 2 && err.contains("512MiB"), "{err}");
}
