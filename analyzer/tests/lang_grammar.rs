//! GRAMMAR.md and the parser say the same.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use std::collections::BTreeSet;

use ingero::lang::parser::{CLAUSE_WORDS, ITEM_WORDS, RESERVED_WORDS, TEST_WORDS};

const GRAMMAR: &str = include_str!("../GRAMMAR.md");
const PARSER: &[&str] = &[
    include_str!("../src/lang/parser/mod.rs"),
    include_str!("../src/lang/parser/expr.rs"),
    include_str!("../src/lang/parser/item.rs"),
    include_str!("../src/lang/parser/test_block.rs"),
];

/// The text inside ```ebnf fences.
fn ebnf() -> String {
    GRAMMAR
        .split("```ebnf")
        .skip(1)
        .map(|p| p.split("```").next().unwrap())
        .collect()
}

fn productions() -> BTreeSet<String> {
    ebnf()
        .lines()
        .filter(|l| l.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter_map(|l| l.split_once(" = ").or_else(|| l.split_once("= ")))
        .map(|(n, _)| n.trim().to_owned())
        .collect()
}

/// Words in double quotes.
fn keywords() -> BTreeSet<String> {
    ebnf()
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|w| w.starts_with(|c: char| c.is_ascii_alphabetic()))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_production_is_a_function() {
    let found = productions();
    assert!(found.len() >= 35, "{found:?}");
    for p in &found {
        let is_fn = |name: &str| {
            PARSER
                .iter()
                .any(|src| src.contains(&format!("fn {name}(")) || src.contains(&format!("fn {name}<")))
        };
        assert!(is_fn(p) || is_fn(&format!("{p}_")), "no function for `{p}`");
    }
}

#[test]
fn every_documented_function_is_a_production() {
    let known = productions();
    for line in PARSER.iter().flat_map(|s| s.lines()) {
        // Doc comments of the parser functions start with the production itself.
        let Some(rest) = line.strip_prefix("/// `") else {
            continue;
        };
        let Some((name, _)) = rest.split_once(" = ") else {
            continue;
        };
        if name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            assert!(known.contains(name), "`{name}` is not in GRAMMAR.md");
        }
    }
}

#[test]
fn every_keyword_is_on_both_sides() {
    let written = keywords();
    for w in &written {
        let quoted = format!("\"{w}\"");
        assert!(
            PARSER.iter().any(|s| s.contains(&quoted)),
            "the parser does not know {quoted}"
        );
    }
    let later = ["trace"];
    for w in ITEM_WORDS
        .iter()
        .chain(RESERVED_WORDS)
        .chain(CLAUSE_WORDS)
        .chain(TEST_WORDS)
    {
        let reserved = later.contains(w) && GRAMMAR.contains(&format!("`{w}"));
        assert!(written.contains(*w) || reserved, "`{w}` is not in GRAMMAR.md");
    }
    for w in RESERVED_WORDS {
        assert!(GRAMMAR.contains(&format!("`{w}`")), "`{w}` is not listed as reserved");
    }
}
