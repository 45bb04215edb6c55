//! The corpus of rules: right ones and what they mean, wrong ones and what is said about them.

#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use std::fmt::Write as _;
use std::path::Path;

use ingero::lang::{check, compile, explain, fix, render};
use ingero::source::SourceFile;

fn source(path: &Path) -> SourceFile {
    let name = path.file_name().unwrap().to_str().unwrap();
    SourceFile::new(name, std::fs::read_to_string(path).unwrap())
}

#[test]
fn right_rules_mean_what_they_say() {
    insta::glob!("../../testdata/lang/ok", "*.rules", |path| {
        let out = compile(&[source(path)], &[]);
        let text = render::plain(&out.diagnostics, &out.program.files);
        assert!(!out.has_errors(), "{}:\n{text}", path.display());
        let mut shown = text;
        for rule in &out.program.rules {
            let _ = writeln!(shown, "{}\n{}\n", explain::rule(&out.program, rule), "=".repeat(72));
        }
        for test in &out.program.tests {
            let _ = writeln!(
                shown,
                "test {:?} for {}: {} ns, params {:?}",
                test.name, test.rule, test.span_ns, test.params
            );
            for e in &test.events {
                let _ = writeln!(
                    shown,
                    "  {} at {} every {:?} to {}",
                    e.path.join("."),
                    e.at_ns,
                    e.every_ns,
                    e.to_ns
                );
                for (n, v) in &e.fields {
                    let _ = writeln!(shown, "    {n} = {v:?}");
                }
            }
            for e in &test.expects {
                let _ = writeln!(shown, "  expect {:?} {:?}", e.outcome, e.checks);
            }
        }
        insta::assert_snapshot!(shown);
    });
}

fn wrong(path: &Path) -> String {
    let source = source(path);
    // `# set: NAME=VALUE` in the first lines stands for the command line.
    let sets: Vec<(String, String)> = source
        .text
        .lines()
        .filter_map(|l| l.strip_prefix("# set: "))
        .filter_map(|l| l.split_once('='))
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect();
    let out = compile(&[source], &sets);
    assert!(!out.diagnostics.is_empty(), "{} is not wrong", path.display());
    let rules: Vec<&str> = out.program.rules.iter().map(|r| r.name.as_str()).collect();
    format!(
        "{}\nusable: {}",
        render::plain(&out.diagnostics, &out.program.files),
        if rules.is_empty() {
            "nothing".to_owned()
        } else {
            rules.join(", ")
        }
    )
}

macro_rules! wrong_corpus {
    ($($name:ident: $folder:literal,)*) => {
        $(#[test]
        fn $name() {
            insta::glob!($folder, "*.rules", |path| insta::assert_snapshot!(wrong(path)));
        })*
    };
}

wrong_corpus! {
    lex_errors_read_well: "../../testdata/lang/lex_error",
    parse_errors_read_well: "../../testdata/lang/parse_error",
    name_errors_read_well: "../../testdata/lang/name_error",
    type_errors_read_well: "../../testdata/lang/type_error",
    fixture_errors_read_well: "../../testdata/lang/test_error",
}

/// 2026-01-01, for exceptions that end.
const TODAY: Option<i64> = Some(20_454);

#[test]
fn warnings_read_well() {
    insta::glob!("../../testdata/lang/warning", "*.rules", |path| {
        let out = check(&[source(path)], &[], TODAY);
        let text = render::plain(&out.diagnostics, &out.program.files);
        assert!(!out.has_errors(), "{}:\n{text}", path.display());
        insta::assert_snapshot!(text);
    });
}

/// Every text of the corpus of mistakes.
fn mistakes() -> Vec<SourceFile> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/lang");
    let mut paths: Vec<_> = [
        "lex_error",
        "parse_error",
        "name_error",
        "type_error",
        "test_error",
        "warning",
    ]
    .iter()
    .flat_map(|f| std::fs::read_dir(folder.join(f)).unwrap())
    .map(|e| e.unwrap().path())
    .collect();
    paths.sort();
    paths.iter().map(|p| source(p)).collect()
}

#[test]
fn every_edit_takes_its_problem_away() {
    let mut edits = 0;
    for file in mistakes() {
        let found = check(std::slice::from_ref(&file), &[], TODAY).diagnostics;
        for d in found.iter().filter(|d| d.edit.is_some()) {
            let (text, done) = fix::apply(&file.text, d.edit.as_ref());
            edits += done.len();
            let after = check(&[SourceFile::new(file.name.clone(), text.clone())], &[], TODAY).diagnostics;
            let still = |e: &&ingero::lang::diagnostic::Diagnostic| e.code == d.code && e.message == d.message;
            let count = |list: &[ingero::lang::diagnostic::Diagnostic]| list.iter().filter(still).count();
            assert!(count(&after) < count(&found), "{}: {d:?}\n{text}", file.name);
        }
    }
    assert!(edits > 30, "{edits}");
}

#[test]
fn every_warning_has_its_file() {
    let said: std::collections::BTreeSet<&str> = mistakes()
        .into_iter()
        .flat_map(|f| check(&[f], &[], TODAY).diagnostics)
        .map(|d| d.code.as_str())
        .collect();
    for code in ingero::lang::diagnostic::Code::ALL.iter().filter(|c| !c.is_error()) {
        assert!(
            said.contains(code.as_str()),
            "nothing in testdata/lang says {}",
            code.as_str()
        );
    }
}
