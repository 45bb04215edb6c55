//! The grammar for colours knows the words that the language has, and no others.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ingero::lang::parser::{CLAUSE_WORDS, ITEM_WORDS, RESERVED_WORDS, TEST_WORDS};
use ingero::lang::token::{BYTE_UNITS, TIME_UNITS};
use ingero::lang::words::{self, Word};
use serde_json::Value;

fn read(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("editors/vscode").join(file);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The words of the first list `(a|b|c)` that holds one of them, in the pattern of a name.
fn listed(grammar: &Value, name: &str, example: &str) -> BTreeSet<String> {
    let entry = &grammar["repository"][name];
    let patterns = std::iter::once(entry).chain(entry["patterns"].as_array().into_iter().flatten());
    let groups: Vec<BTreeSet<String>> = patterns
        .filter_map(|p| p["match"].as_str())
        .flat_map(|m| m.split(['(', ')']))
        .map(|group| group.trim_start_matches("?:").split('|').map(str::to_owned).collect())
        .collect();
    let holds = |g: &BTreeSet<String>| g.contains(example);
    groups
        .into_iter()
        .find(holds)
        .unwrap_or_else(|| panic!("no list in `{name}` has `{example}`"))
}

fn set<'a>(words: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    words.into_iter().map(str::to_owned).collect()
}

fn names(words: Vec<Word>) -> BTreeSet<String> {
    words.into_iter().map(|w| w.name).collect()
}

#[test]
fn its_words_are_those_of_the_lexer_and_the_catalogue() {
    let grammar = read("syntaxes/ingero-rules.tmLanguage.json");
    let units = TIME_UNITS
        .iter()
        .chain(BYTE_UNITS)
        .map(|(n, _)| *n)
        .chain(["%", "x", "k", "M"]);
    // Percentiles have a pattern of their own.
    let mut statistics = names(words::statistics());
    statistics.retain(|n| !n.starts_with('p'));
    for (name, example, expected) in [
        ("items", "when", set(ITEM_WORDS.iter().copied())),
        ("clauses", "severity", set(CLAUSE_WORDS.iter().copied())),
        ("fixtures", "expect", set(TEST_WORDS.iter().copied())),
        ("keywords", "and", set(RESERVED_WORDS.iter().copied())),
        ("quantity", "GiB", set(units)),
        ("functions", "covered", names(words::functions())),
        ("sources", "cuda", names(words::sources())),
        ("definition", "Duration", names(words::types())),
        ("members", "count", statistics),
    ] {
        assert_eq!(
            listed(&grammar, name, example),
            expected,
            "`{name}` in ingero-rules.tmLanguage.json"
        );
    }
    let others = listed(&grammar, "others", "fires");
    for word in names(words::outcomes()).into_iter().chain(names(words::levels())) {
        assert!(others.contains(&word), "{word}");
    }
}

#[test]
fn every_pattern_that_is_named_exists() {
    let grammar = read("syntaxes/ingero-rules.tmLanguage.json");
    let text = grammar.to_string();
    for part in text.split("\"include\":\"#").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(grammar["repository"].get(name).is_some(), "{name}");
    }
}

#[test]
fn the_extension_names_files_that_are_there() {
    let package = read("package.json");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("editors/vscode");
    let contributes = &package["contributes"];
    for file in [
        &package["main"],
        &contributes["languages"][0]["configuration"],
        &contributes["grammars"][0]["path"],
    ] {
        assert!(dir.join(file.as_str().unwrap()).is_file(), "{file}");
    }
    assert_eq!(
        contributes["languages"][0]["id"],
        contributes["grammars"][0]["language"]
    );
    read("language-configuration.json");
}
