//! `ingero rules fmt`: one style, and nothing but white space changes.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use ingero::lang::fmt::{WIDTH, format};
use ingero::lang::parser::parse;
use ingero::lang::token::{Kind, Lexed, lex};
use ingero::source::{SourceFile, SourceId};
use proptest::prelude::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every right file of rules that there is: shipped, of the corpus, written to be ugly.
fn right_files() -> Vec<SourceFile> {
    let mut out = Vec::new();
    for folder in ["rules", "testdata/lang/ok", "testdata/lang/fmt"] {
        let mut paths: Vec<_> = fs::read_dir(root().join(folder))
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "rules"))
            .collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            out.push(SourceFile::new(name, fs::read_to_string(path).unwrap()));
        }
    }
    assert!(out.len() > 10, "{}", out.len());
    out
}

/// The tree without places; operations may be spelled in another case.
fn tree(source: &SourceFile) -> String {
    let lexed = lex(SourceId(0), &source.text);
    let (file, diagnostics) = parse(SourceId(0), source, &lexed);
    assert_eq!(
        (diagnostics.as_slice(), lexed.diagnostics.as_slice()),
        (&[][..], &[][..]),
        "{}:\n{}",
        source.name,
        source.text
    );
    let text = format!("{file:?}").to_lowercase();
    let mut parts = text.split("span {");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |all, part| all + part.split_once('}').unwrap().1)
}

/// Text between tokens: white space and comments.
fn gaps(text: &str, lexed: &Lexed) -> Vec<String> {
    let mut at = 0;
    let mut out = Vec::new();
    for token in &lexed.tokens {
        out.push(text[at..token.span.range().start].to_owned());
        at = token.span.range().end;
    }
    out
}

/// The comments before each token.
fn comments(source: &SourceFile) -> Vec<Vec<String>> {
    let lexed = lex(SourceId(0), &source.text);
    let lines = |gap: &String| {
        let lines = gap.lines().map(str::trim).filter(|l| !l.is_empty());
        lines.map(str::to_owned).collect()
    };
    gaps(&source.text, &lexed).iter().map(lines).collect()
}

/// Formats, and holds the result against its input.
fn formatted(source: &SourceFile) -> String {
    let once = format(source).unwrap_or_else(|d| panic!("{}: {d:?}", source.name));
    let again = SourceFile::new(source.name.clone(), once.as_str());
    assert_eq!(tree(&again), tree(source), "{}:\n{once}", source.name);
    assert_eq!(comments(&again), comments(source), "{}:\n{once}", source.name);
    assert_eq!(format(&again).unwrap(), once, "{}: formatted twice", source.name);
    assert!(once.lines().all(|l| l.trim_end() == l), "{}:\n{once}", source.name);
    once
}

#[test]
fn ugly_rules_become_the_one_style() {
    insta::glob!("../../../testdata/lang/fmt", "*.rules", |path| {
        let source = SourceFile::new("t", fs::read_to_string(path).unwrap());
        insta::assert_snapshot!(formatted(&source));
    });
}

#[test]
fn right_rules_stay_the_same_rules_with_their_comments_and_fit() {
    for source in right_files() {
        let text = formatted(&source);
        for line in text.lines().filter(|l| l.chars().count() > WIDTH) {
            assert!(cannot_be_broken(line), "{}: {line}", source.name);
        }
    }
}

/// A comment, a text in a list, a pattern, or one placeholder with what is glued to it.
fn cannot_be_broken(line: &str) -> bool {
    let line = line.trim().trim_start_matches("message \"");
    let outside: String = line.split('{').map(|part| part.rsplit('}').next().unwrap()).collect();
    line.contains("message = \"")
        || line.starts_with('#')
        || line.starts_with("=~ /")
        || line.starts_with("refs [\"") && line.matches('"').count() == 2
        || line.contains('{') && !outside.trim_end_matches(" \\").contains(' ')
}

#[test]
fn shipped_rules_are_in_the_one_style() {
    Command::cargo_bin("ingero")
        .unwrap()
        .args(["rules", "fmt", "--check", "rules"])
        .current_dir(root())
        .assert()
        .success();
}

/// What may stand between two tokens instead of what stands there.
fn filler() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "",
        " ",
        "\n",
        "\r\n\t",
        "\n\n\n",
        " # c\n",
        "\n# d\n\n",
        "\n\n## e\n# f\n",
        "#\n",
        "  ### µ → ü \u{a0}\n",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn white_space_and_comments_anywhere_change_nothing_else(
        pick in any::<prop::sample::Index>(),
        fill in prop::collection::vec(filler(), 400),
    ) {
        let files = right_files();
        let source = &files[pick.index(files.len())];
        let lexed = lex(SourceId(0), &source.text);
        let mut text = String::new();
        for (i, (token, gap)) in lexed.tokens.iter().zip(gaps(&source.text, &lexed)).enumerate() {
            // Tokens that touch could become one; those that do not may be put further apart.
            let fill = fill[i % fill.len()];
            text.push_str(&gap);
            if !gap.is_empty() || fill.contains('\n') && !matches!(token.kind, Kind::Number(_)) {
                text.push_str(fill);
            }
            text.push_str(&source.text[token.span.range()]);
        }
        let mixed = SourceFile::new(source.name.clone(), text);
        let mixed_lexed = lex(SourceId(0), &mixed.text);
        let same = mixed_lexed.tokens.iter().map(|t| &t.kind).eq(lexed.tokens.iter().map(|t| &t.kind));
        prop_assume!(same && format(&mixed).is_ok());
        formatted(&mixed);
    }
}

#[test]
fn what_can_be_broken_is_broken() {
    let rule = |n: usize| {
        format!(
            "when {} => A\n",
            vec!["cuda.launch[duration > 3*p50].p99 > 5ms"; n].join(" and ")
        )
    };
    assert_eq!(format(&SourceFile::new("t", rule(2))).unwrap(), rule(2));
    let long = format(&SourceFile::new("t", rule(12))).unwrap();
    assert_eq!(long.lines().count(), 13);
    assert!(
        long.lines().skip(1).all(|l| l.starts_with("  and ") || l == "  => A"),
        "{long}"
    );
}

#[test]
fn indents_are_bounded_however_long_the_names_are() {
    let name = "n".repeat(2_000);
    let deep = format!("let x = {}a{}\n", format!("{name}(").repeat(40), ")".repeat(40));
    let text = format(&SourceFile::new("t", deep.as_str())).unwrap();
    assert!(text.len() < deep.len() + 40 * 200, "{} from {}", text.len(), deep.len());
}

#[test]
fn large_and_deep_texts_are_formatted_within_bounds_or_left_alone() {
    let lets = |n: usize| -> String {
        (0..n)
            .map(|i| format!("let a{i} = a + a"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    for (text, right) in [
        ("(".repeat(1 << 20), false),
        ("\"".repeat(1 << 20), false),
        ("#\n".repeat(50_000), true),
        (format!("let a = {}b{}", "(".repeat(47), ")".repeat(47)), true),
        (format!("let a = {}1", "-".repeat(47)), true),
        (format!("when {} => A", vec!["a"; 6_000].join(" and ")), true),
        (format!("set s = {{{}}}", vec!["1"; 9_000].join(",")), true),
        (lets(3_000), true),
        (
            format!("when mem.oom => A {{ about \"{}\" }}", "word ".repeat(10_000)),
            true,
        ),
        // Its indents would make it too large.
        (
            format!("when mem.oom => A {{ about \"{}\" }}", "word ".repeat(200_000)),
            false,
        ),
    ] {
        let formatted = format(&SourceFile::new("t", text));
        assert_eq!(formatted.is_ok(), right);
        match formatted {
            Ok(text) => assert!(text.len() <= ingero::lang::limits::FILE_BYTES),
            Err(problems) => assert!((1..=220).contains(&problems.len()), "{}", problems.len()),
        }
    }
}

/// Runs `ingero rules fmt` in a folder: standard output, standard error, exit code.
fn run(dir: &Path, args: &[&str], input: &str) -> (String, String, i32) {
    let output = Command::cargo_bin("ingero")
        .unwrap()
        .args(["rules", "fmt"])
        .args(args)
        .current_dir(dir)
        .env("LC_ALL", "C.UTF-8")
        .write_stdin(input)
        .output()
        .unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
        output.status.code().unwrap(),
    )
}

const UGLY: &str = "when cuda.cudamalloc.p99>5ms=>A # why\n";
const NICE: &str = "when cuda.cudaMalloc.p99 > 5ms => A  # why\n";

#[test]
fn check_shows_the_difference_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.rules");
    fs::write(&path, UGLY).unwrap();
    fs::write(dir.path().join("b.rules"), NICE).unwrap();
    let (out, err, code) = run(dir.path(), &["--check", "."], "");
    assert_eq!(code, 1);
    assert_eq!(
        out,
        format!("--- ./a.rules\n+++ ./a.rules\n@@ -1 +1 @@\n-{UGLY}+{NICE}")
    );
    assert!(err.contains("1 of 2 files would change"), "{err}");
    assert_eq!(fs::read_to_string(&path).unwrap(), UGLY);

    let (out, err, code) = run(dir.path(), &["a.rules"], "");
    assert_eq!(
        (out.as_str(), err.as_str(), code),
        ("formatted  a.rules\n1 of 1 file changed\n", "", 0)
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), NICE);
    let (out, _, code) = run(dir.path(), &["--check", "a.rules"], "");
    assert_eq!((out.as_str(), code), ("0 of 1 file would change\n", 0));
}

#[test]
fn standard_input_goes_to_standard_output() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(dir.path(), &["-"], UGLY), (NICE.to_owned(), String::new(), 0));
    let (out, _, code) = run(dir.path(), &["-", "--check"], UGLY);
    assert_eq!(code, 1);
    assert!(out.starts_with("--- <stdin>\n+++ <stdin>\n"), "{out}");
}

#[test]
fn wrong_files_are_left_alone_and_the_others_formatted() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = "when cuda.p99 > => A\nwhen  cuda.p99>1s=>B\n";
    fs::write(dir.path().join("a.rules"), wrong).unwrap();
    fs::write(dir.path().join("b.rules"), UGLY).unwrap();
    let (out, err, code) = run(dir.path(), &["a.rules", "b.rules"], "");
    assert_eq!(code, 2);
    assert!(
        err.contains("E0201") && err.contains("a.rules is left as it is"),
        "{err}"
    );
    assert_eq!(out, "formatted  b.rules\n1 of 2 files changed\n");
    assert_eq!(fs::read_to_string(dir.path().join("a.rules")).unwrap(), wrong);
    let (out, err, code) = run(dir.path(), &["-"], wrong);
    assert_eq!((out.as_str(), code), ("", 2));
    assert!(err.contains("<stdin> is left as it is"), "{err}");
}
