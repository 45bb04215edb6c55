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
