//! The corpus of rules: right ones and what they mean, wrong ones and what is said about them.

#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use std::fmt::Write as _;
use std::path::Path;

use ingero::lang::{compile, explain, render};
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
