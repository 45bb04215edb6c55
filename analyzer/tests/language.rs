//! LANGUAGE.md: every word has a chapter, and every example there does what it says.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ingero::eval::harness::{Only, run_tests};
use ingero::lang::hir::Outcome;
use ingero::lang::parser::{CLAUSE_WORDS, ITEM_WORDS, RESERVED_WORDS};
use ingero::lang::{compile, render, words};
use ingero::source::SourceFile;

const LANGUAGE: &str = include_str!("../LANGUAGE.md");

/// Heading and example of each chapter.
fn chapters() -> Vec<(&'static str, &'static str)> {
    let all = LANGUAGE.split("\n### ").skip(1);
    all.map(|c| {
        let (heading, rest) = c.split_once('\n').unwrap();
        let example = rest
            .split_once("```rules\n")
            .map_or("", |(_, e)| e.split_once("```").unwrap().0);
        (heading, example)
    })
    .collect()
}

#[test]
fn every_word_has_a_chapter() {
    let headings: BTreeSet<&str> = chapters()
        .iter()
        .flat_map(|(h, _)| h.split('`').skip(1).step_by(2))
        .collect();
    let words = [
        words::functions(),
        words::segments(),
        words::keys(),
        words::statistics(),
    ];
    let names: Vec<String> = words.iter().flatten().map(|w| w.name.clone()).collect();
    let plain = [ITEM_WORDS, RESERVED_WORDS, CLAUSE_WORDS].concat();
    let all = names.iter().map(String::as_str).chain(plain);
    let missing: BTreeSet<&str> = all
        .filter(|w| !headings.contains(w))
        // Percentiles are one word.
        .filter(|w| !(w.starts_with('p') && w[1..].bytes().all(|b| b.is_ascii_digit() || b == b'.')))
        .collect();
    assert!(missing.is_empty(), "no chapter for {missing:?}");
}

#[test]
fn every_example_does_what_it_says() {
    let mut wrong = String::new();
    for (heading, example) in chapters() {
        let files = [SourceFile::new(heading, example)];
        let out = compile(&files, &[]);
        let text = render::plain(&out.diagnostics, &out.program.files);
        wrong += &text;
        let own = |t: &&ingero::lang::hir::Test| t.file.0 == 0;
        let outcomes: Vec<Outcome> = out
            .program
            .tests
            .iter()
            .filter(own)
            .flat_map(|t| &t.expects)
            .map(|e| e.outcome)
            .collect();
        let fires = outcomes.iter().any(|o| matches!(o, Outcome::Fires(_)));
        let not = outcomes.iter().any(|o| !matches!(o, Outcome::Fires(_)));
        assert!(
            fires && not,
            "{heading}: an example needs a test where it fires and one where it does not"
        );
        for t in run_tests(&files, &[], &out.program, Only::default())
            .into_iter()
            .filter(|t| t.file.0 == 0)
        {
            if let Some(f) = t.failure {
                let _ = writeln!(wrong, "{heading}: {}\n{f}\n", t.name);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn gaps_of_one_process_or_another_are_judged() {
    let rules = "when gap(gpu)[pid = 7 or process = \"other\"] > 500ms => IDLE\n\
                 test \"one of the two\" for IDLE {\n\
                   at 0s cuda.cudaLaunchKernel pid=7 dur=1us\n\
                   at 1s cuda.cudaLaunchKernel pid=7 dur=1us\n\
                   expect fires 1\n\
                 }\n\
                 test \"neither\" for IDLE {\n\
                   at 0s cuda.cudaLaunchKernel pid=8 dur=1us\n\
                   at 1s cuda.cudaLaunchKernel pid=8 dur=1us\n\
                   expect quiet\n\
                 }\n";
    let files = [SourceFile::new("gaps.rules", rules)];
    let out = compile(&files, &[]);
    assert!(
        out.diagnostics.is_empty(),
        "{}",
        render::plain(&out.diagnostics, &out.program.files)
    );
    let tests = run_tests(&files, &[], &out.program, Only::default());
    let own: Vec<_> = tests.into_iter().filter(|t| t.file.0 == 0).collect();
    assert_eq!(own.len(), 2);
    for t in own {
        assert!(t.failure.is_none(), "{}: {}", t.name, t.failure.unwrap());
    }
}

/// A file that others import.
const BASE: &str = "param slow: Duration = 5ms\n\
                    let slow_syncs = cuda.sync > slow\n\
                    set allocation = {\"cudaMalloc\"}\n\
                    segment capturing = graph.begin_capture\n\
                    when slow_syncs and cuda[op in allocation].count@capturing = 0 => BASE { severity low }\n";

fn explained(files: &[(&str, &str)], sets: &[(&str, &str)]) -> String {
    let files: Vec<SourceFile> = files.iter().map(|(n, t)| SourceFile::new(*n, *t)).collect();
    let sets: Vec<(String, String)> = sets.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
    let out = compile(&files, &sets);
    let rules = out.program.rules.iter();
    let text: String = rules.map(|r| ingero::lang::explain::rule(&out.program, r)).collect();
    render::plain(&out.diagnostics, &out.program.files) + &text
}

#[test]
fn names_of_imported_files_mean_the_same_here() {
    let plain = "import \"base.rules\"\nwhen slow_syncs and cuda[op in allocation].count@capturing = 0 => HERE\n";
    let named = "import \"base.rules\" as b\nwhen b.slow_syncs and cuda.sync.max > b.slow => HERE\n";
    let shown = explained(&[("x/base.rules", BASE), ("x/here.rules", plain)], &[]);
    assert!(!shown.contains("error"), "{shown}");
    let parts: Vec<&str> = shown.split("it fires when\n").skip(1).collect();
    let conditions: Vec<&str> = parts.iter().map(|p| p.split("\n\n").next().unwrap()).collect();
    assert_eq!(conditions[0], conditions[1], "{shown}");
    let shown = explained(&[("x/base.rules", BASE), ("x/here.rules", named)], &[]);
    assert!(!shown.contains("error"), "{shown}");
    assert!(
        shown.contains("when b.slow_syncs and cuda.sync.max > b.slow"),
        "{shown}"
    );
}

#[test]
fn the_command_line_has_the_last_word() {
    let here = "import \"base.rules\"\noverride param slow = 7ms\noverride BASE { severity critical min_count 3 }\n";
    let files = [("base.rules", BASE), ("here.rules", here)];
    let shown = explained(&files, &[]);
    assert!(
        shown.contains("duration > 7 ms") && shown.contains("critical"),
        "{shown}"
    );
    let shown = explained(&files, &[("slow", "9ms")]);
    assert!(shown.contains("duration > 9 ms"), "{shown}");
    let off = "import \"base.rules\"\noverride BASE disable\n";
    assert_eq!(explained(&[("base.rules", BASE), ("here.rules", off)], &[]), "");
}

#[test]
fn circles_of_imports_are_reported_once() {
    let a = ("a.rules", "import \"b.rules\"\nwhen mem.oom => A\n");
    let b = ("b.rules", "import \"a.rules\"\nwhen mem.oom => B\n");
    let shown = explained(&[a, b], &[]);
    assert_eq!(shown.matches("E0316").count(), 1, "{shown}");
    assert!(
        shown.contains("b.rules:1:8") && shown.contains("`a.rules` imports this file as well"),
        "{shown}"
    );
}

#[test]
fn a_circle_of_three_is_reported_where_it_closes() {
    let a = ("a.rules", "import \"b.rules\"\nwhen mem.oom => A\n");
    let b = ("b.rules", "import \"c.rules\" as c\nwhen mem.oom => B\n");
    let c = ("c.rules", "import \"a.rules\"\nwhen mem.oom => C\n");
    let shown = explained(&[a, b, c], &[]);
    assert_eq!(shown.matches("E0316").count(), 1, "{shown}");
    assert!(
        shown.contains("c.rules:1:8") && shown.contains("`a.rules` imports this file as well"),
        "{shown}"
    );
    // Two ways to one file are no circle.
    let b = ("b.rules", "import \"d.rules\"\nwhen mem.oom => B\n");
    let c = ("c.rules", "import \"d.rules\"\nwhen mem.oom => C\n");
    let a = ("a.rules", "import \"b.rules\"\nimport \"c.rules\"\nwhen mem.oom => A\n");
    let shown = explained(&[a, b, c, ("d.rules", "when mem.oom => D\n")], &[]);
    assert!(!shown.contains("error"), "{shown}");
}

/// What is wrong with a file on disk and all that it imports, and the rules that can be used.
fn on_disk(files: &[(&str, &str)], first: &str) -> (String, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let path = dir.path().join(first);
    let text = std::fs::read_to_string(&path).unwrap();
    let out = compile(&[SourceFile::new(path.display().to_string(), text)], &[]);
    let shown = render::plain(&out.diagnostics, &out.program.files);
    (shown, out.program.rules.into_iter().map(|r| r.name).collect())
}

#[test]
fn paths_of_imports_are_relative_to_the_file_that_names_them() {
    let files = [
        (
            "team/own.rules",
            "import \"../shared/base.rules\" as base\nwhen base.slow => OWN\n",
        ),
        (
            "shared/base.rules",
            "import \"deep/limits.rules\"\nlet slow = cuda.sync > limit\n",
        ),
        (
            "shared/deep/limits.rules",
            "param limit: Duration = 5ms\nwhen mem.oom => FROM_DEEP\n",
        ),
    ];
    let (shown, rules) = on_disk(&files, "team/own.rules");
    assert!(!shown.contains("error"), "{shown}");
    assert_eq!(rules, ["OWN", "FROM_DEEP"]);

    for (import, says) in [
        ("../shared/bse.rules", "cannot read"),
        ("../shared", "it is no file"),
        ("std/hots", "did you mean"),
        ("std/../shared/base.rules", "there is no"),
        ("std/", "there is no"),
    ] {
        let own = format!("import \"{import}\"\nwhen mem.oom => OWN\n");
        let (shown, rules) = on_disk(&[files[1], files[2], ("team/own.rules", &own)], "team/own.rules");
        assert!(shown.contains("E0316") && shown.contains(says), "{import}: {shown}");
        assert_eq!(rules, ["OWN"], "the rest of the file is usable");
    }
}

#[test]
fn the_library_can_be_imported_and_nothing_else_by_its_name() {
    let own = "import \"std/cuda\" as cuda_pack\nwhen cuda.sync.count > cuda_pack.tail_share => OWN\n";
    // A file of that name beside it is not the library.
    let (shown, rules) = on_disk(&[("own.rules", own), ("std/cuda", "nonsense")], "own.rules");
    assert!(!shown.contains("error"), "{shown}");
    assert!(rules.len() > 5 && rules.contains(&"OWN".to_owned()), "{rules:?}");
}

#[test]
fn imports_go_eight_files_deep_and_reach_sixty_four() {
    let chain = |n: usize| -> (String, Vec<String>) {
        let names: Vec<String> = (0..=n).map(|i| format!("f{i}.rules")).collect();
        let texts: Vec<String> = (0..=n)
            .map(|i| {
                if i < n {
                    format!("import \"f{}.rules\"\nwhen mem.oom => R{i}\n", i + 1)
                } else {
                    format!("when mem.oom => R{i}\n")
                }
            })
            .collect();
        let files: Vec<(&str, &str)> = names
            .iter()
            .map(String::as_str)
            .zip(texts.iter().map(String::as_str))
            .collect();
        on_disk(&files, "f0.rules")
    };
    let (shown, rules) = chain(8);
    assert!(!shown.contains("error"), "{shown}");
    assert_eq!(rules.len(), 9);
    let (shown, rules) = chain(9);
    assert!(
        shown.contains("f8.rules:1:8") && shown.contains("imports go 8 files deep"),
        "{shown}"
    );
    assert_eq!(rules.len(), 9);

    let wide = |n: usize| -> (String, Vec<String>) {
        let names: Vec<String> = (0..n).map(|i| format!("w{i}.rules")).collect();
        let all = names
            .iter()
            .fold(String::new(), |all, n| all + "import \"" + n + "\"\n");
        let mut files: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), "let a = cuda.sync\n")).collect();
        files.push(("all.rules", &all));
        on_disk(&files, "all.rules")
    };
    assert!(!wide(63).0.contains("error"));
    assert_eq!(wide(64).0.matches("reach 64 files at most").count(), 1);
}

/// Alone each stint counts for itself, near others their sum does: what is shown is what is compared.
const MEASURED: &str = r#"
when sched.off_cpu > 500ms per pid => AWAY
when mem.oom and sched.off_cpu > 1s within 5s per pid => AWAY_NEAR
test "the longer of two" for AWAY {
  at 1s sched.off_cpu pid=7 tid=7 dur=800ms state=sleep
  at 3s sched.off_cpu pid=7 tid=7 dur=600ms state=sleep
  expect fires 1 { message = "sched.off_cpu is 800 ms (> 500 ms)" }
}
test "both together" for AWAY_NEAR {
  at 1s sched.off_cpu pid=7 tid=7 dur=800ms state=sleep
  at 2s mem.oom pid=7
  at 3s sched.off_cpu pid=7 tid=7 dur=600ms state=sleep
  expect fires 1 { message = "mem.oom_kill: 1; sched.off_cpu is 1.4 s (> 1 s)" }
}
"#;

#[test]
fn a_stint_alone_is_measured_by_itself() {
    let files = [SourceFile::new("t", MEASURED)];
    let out = compile(&files, &[]);
    let tests = run_tests(&files, &[], &out.program, Only::default());
    assert_eq!(tests.len(), 2, "{:?}", out.diagnostics);
    for t in tests {
        assert!(t.failure.is_none(), "{}: {}", t.name, t.failure.unwrap());
    }
}
