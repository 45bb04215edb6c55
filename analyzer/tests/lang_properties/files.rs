//! Whole files of every item of the grammar: formatting one changes neither its tree nor its comments.

use ingero::lang::fmt::format;
use ingero::lang::parser::parse;
use ingero::lang::print;
use ingero::lang::token::lex;
use ingero::source::{SourceFile, SourceId};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;

use super::{tree, without_places};

/// Texts of a part of the grammar.
type Texts = BoxedStrategy<String>;

/// A name: plain, or one that needs back-quotes.
fn name() -> Texts {
    select(vec!["a", "x_1", "R2", "`when`", "`odd name`", "steady"])
        .prop_map(str::to_owned)
        .boxed()
}

fn string() -> Texts {
    "[a-z {}é😀.,#]{0,12}".prop_map(|s| format!("\"{s}\"")).boxed()
}

fn expr() -> Texts {
    tree().prop_map(|e| print::expr(&e)).boxed()
}

/// A condition behind a word, or nothing.
fn maybe(word: &'static str, of: Texts) -> Texts {
    prop_oneof![Just(String::new()), of.prop_map(move |e| format!(" {word} {e}"))].boxed()
}

fn literal() -> Texts {
    prop_oneof![
        string(),
        select(vec![
            "7", "-5", "0.25", "5ms", "1m30s", "64KiB", "80%", "200/s", "1GiB/s", "high",
        ])
        .prop_map(str::to_owned),
    ]
    .boxed()
}

fn duration() -> Texts {
    select(vec!["5ms", "1m30s", "2s", "some", "3"])
        .prop_map(str::to_owned)
        .boxed()
}

fn list(of: Texts, between: &'static str) -> Texts {
    prop::collection::vec(of, 1..4)
        .prop_map(move |l| l.join(between))
        .boxed()
}

fn keys() -> Texts {
    prop_oneof![name(), list(name(), ", ").prop_map(|l| format!("({l})"))].boxed()
}

/// What stands between two parts: blanks, lines, comments.
fn gap() -> Texts {
    select(vec![
        " ",
        "\n",
        "\n\n\n",
        "  # why\n",
        "\n# a line\n# and another\n",
        "\t\n  #\n",
    ])
    .prop_map(str::to_owned)
    .boxed()
}

/// Parts in braces, with anything between them.
fn braced(of: Texts) -> Texts {
    (gap(), prop::collection::vec((of, gap()), 0..5))
        .prop_map(|(first, parts)| {
            let parts: String = parts.into_iter().map(|(p, g)| p + &g).collect();
            format!("{{{first}{parts}}}")
        })
        .boxed()
}

fn clause() -> Texts {
    let words = select(vec![
        "id",
        "title",
        "about",
        "refs",
        "tags",
        "owner",
        "explains",
        "refuted_by",
    ]);
    let word = prop_oneof![string(), name()].boxed();
    let listed = prop_oneof![word.clone(), list(word, ", ").prop_map(|l| format!("[{l}]"))];
    let arm = (select(vec!["high", "low", "info"]), maybe("if", expr())).prop_map(|(l, e)| format!("{l}{e}"));
    let otherwise = prop_oneof![Just(""), Just(", else low")];
    let text = || (select(vec!["message", "fix"]), string(), maybe("if", expr()));
    prop_oneof![
        (name(), expr()).prop_map(|(n, e)| format!("let {n} = {e}")),
        (list(arm.boxed(), ", "), otherwise).prop_map(|(arms, e)| format!("severity {arms}{e}")),
        expr().prop_map(|e| format!("impact {e}")),
        text().prop_map(|(word, s, e)| format!("{word} {s}{e}")),
        (string(), expr(), maybe("until", Just("2027-01-31".to_owned()).boxed()))
            .prop_map(|(s, e, until)| format!("except {s} when {e}{until}")),
        (0_u32..99).prop_map(|n| format!("min_count {n}")),
        (words, listed).prop_map(|(word, of)| format!("{word} {of}")),
    ]
    .boxed()
}

fn event() -> Texts {
    let path = select(vec!["cuda.sometimes", "io.nothing", "trace.late", "system"]);
    let fields = prop::collection::vec((name(), literal()), 0..4);
    (path, fields)
        .prop_map(|(path, fields)| {
            let fields: Vec<String> = fields.into_iter().map(|(n, v)| format!(" {n}={v}")).collect();
            format!("{path}{}", fields.concat())
        })
        .boxed()
}

fn test_line() -> Texts {
    let repeats = prop_oneof![
        Just(String::new()),
        (duration(), duration()).prop_map(|(from, to)| format!(" from {from} to {to}")),
    ];
    let compared = (select(vec!["=", "!=", ">", "<="]), literal()).prop_map(|(op, v)| format!("{op} {v}"));
    let matched = select(vec!["=~ /a+\\/b/i", "!~ /[{}]/"]).prop_map(str::to_owned);
    let check = (name(), prop_oneof![compared, matched]).prop_map(|(n, c)| format!("{n} {c}"));
    let checks = prop_oneof![
        Just(String::new()),
        list(check.boxed(), ", ").prop_map(|l| format!(" {{ {l} }}"))
    ];
    let outcome = select(vec!["fires", "fires 2", "quiet", "unknown", "skipped"]);
    prop_oneof![
        string().prop_map(|s| format!("trace {s}")),
        duration().prop_map(|d| format!("span {d}")),
        (name(), expr()).prop_map(|(n, e)| format!("param {n} = {e}")),
        (duration(), event()).prop_map(|(d, e)| format!("at {d} {e}")),
        (duration(), repeats, event()).prop_map(|(d, r, e)| format!("every {d}{r} {e}")),
        (outcome, checks).prop_map(|(o, c)| format!("expect {o}{c}")),
    ]
    .boxed()
}

fn item() -> Texts {
    let types = select(vec!["Duration", "Bytes", "Count", "Ratio", "Rate", "Throughput"]);
    let range = prop_oneof![
        Just(String::new()),
        (literal(), literal()).prop_map(|(low, high)| format!(" range {low}..{high}")),
    ];
    let grouped = prop_oneof![
        Just(String::new()),
        (keys(), maybe("across", keys())).prop_map(|(k, a)| format!(" per {k}{a}")),
    ];
    let body = || prop_oneof![Just(String::new()), braced(clause()).prop_map(|b| format!(" {b}"))];
    let change = prop_oneof![
        (name(), expr()).prop_map(|(n, e)| format!("param {n} = {e}")),
        name().prop_map(|n| format!("{n} disable")),
        (name(), braced(clause())).prop_map(|(n, b)| format!("{n} {b}")),
    ];
    let doc = prop_oneof![Just(""), Just("## What it finds: é.\n##\n##   more\n")];
    prop_oneof![
        (string(), maybe("as", name())).prop_map(|(s, n)| format!("import {s}{n}")),
        (name(), expr()).prop_map(|(n, e)| format!("let {n} = {e}")),
        (name(), types, literal(), range).prop_map(|(n, t, v, r)| format!("param {n}: {t} = {v}{r}")),
        (name(), list(literal(), ", ")).prop_map(|(n, l)| format!("set {n} = {{{l}}}")),
        (name(), expr()).prop_map(|(n, e)| format!("segment {n} = {e}")),
        change.prop_map(|c| format!("override {c}")),
        (doc, expr(), grouped, name(), body()).prop_map(|(d, e, g, n, b)| format!("{d}when {e}{g} => {n}{b}")),
        (string(), name(), braced(test_line())).prop_map(|(s, n, b)| format!("test {s} for {n} {b}")),
    ]
    .boxed()
}

fn file() -> Texts {
    let edition = select(vec!["", "edition 1", "# why\nedition 1"]);
    (edition, prop::collection::vec((gap(), item()), 0..6))
        .prop_map(|(e, items)| {
            let items: Vec<String> = items.into_iter().map(|(g, i)| format!("{g}\n{i}")).collect();
            format!("{e}{}\n", items.concat())
        })
        .boxed()
}

/// The tree without places; formatting may spell operations in another case.
fn shape(text: &str) -> Result<String, String> {
    let source = SourceFile::new("t", text);
    let lexed = lex(SourceId(0), text);
    let (file, problems) = parse(SourceId(0), &source, &lexed);
    let all: Vec<String> = lexed
        .diagnostics
        .iter()
        .chain(&problems)
        .map(|d| d.message.clone())
        .collect();
    if all.is_empty() {
        Ok(without_places(&format!("{file:?}")).to_lowercase())
    } else {
        Err(format!("{all:?}\n{text}"))
    }
}

/// Comments line by line, in order.
fn comments(text: &str) -> Vec<String> {
    let mut at = 0;
    let mut out = Vec::new();
    for token in lex(SourceId(0), text).tokens {
        let lines = text[at..token.span.range().start].lines().map(str::trim);
        out.extend(lines.filter(|l| !l.is_empty()).map(str::to_owned));
        at = token.span.range().end;
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_formatted_file_is_the_same_file(text in file()) {
        let before = shape(&text);
        prop_assert!(before.is_ok(), "{}", before.unwrap_err());
        let once = format(&SourceFile::new("t", text.as_str()));
        prop_assert!(once.is_ok(), "{:?}\n{}", once, text);
        let once = once.unwrap_or_default();
        prop_assert_eq!(shape(&once), before, "{}\nbecame\n{}", text, once);
        prop_assert_eq!(comments(&once), comments(&text), "{}\nbecame\n{}", text, once);
        let twice = format(&SourceFile::new("t", once.as_str()));
        prop_assert_eq!(twice.as_deref(), Ok(once.as_str()), "{}", text);
    }
}
