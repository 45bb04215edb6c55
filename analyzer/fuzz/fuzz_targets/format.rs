//! Any text is formatted, or left alone because it is wrong: formatted, it is the same rules with the
//! same comments, and formatting it again changes nothing.
#![no_main]

use ingero::lang::fmt::format;
use ingero::lang::parser::parse;
use ingero::lang::token::lex;
use ingero::source::{SourceFile, SourceId};
use libfuzzer_sys::fuzz_target;

/// The tree without places; operations may be spelled in another case.
fn tree(source: &SourceFile) -> String {
    let lexed = lex(SourceId(0), &source.text);
    let (file, diagnostics) = parse(SourceId(0), source, &lexed);
    assert!(diagnostics.iter().chain(&lexed.diagnostics).all(|d| !d.is_error()), "{}", source.text);
    let text = format!("{file:?}").to_lowercase();
    let mut parts = text.split("span {");
    let first = parts.next().unwrap_or("").to_owned();
    parts.fold(first, |all, part| all + part.split_once('}').map_or("", |(_, rest)| rest))
}

/// What stands between the tokens, line by line.
fn comments(source: &SourceFile) -> Vec<String> {
    let mut at = 0;
    let mut out = Vec::new();
    for token in lex(SourceId(0), &source.text).tokens {
        let between = &source.text[at..token.span.range().start];
        let lines = between.lines().map(|l| l.trim_start_matches('\u{feff}').trim());
        out.extend(lines.filter(|l| !l.is_empty()).map(str::to_owned));
        at = token.span.range().end;
    }
    out
}

fuzz_target!(|text: &str| {
    let source = SourceFile::new("fuzz", text);
    let Ok(once) = format(&source) else { return };
    let formatted = SourceFile::new("fuzz", once.as_str());
    assert_eq!(tree(&formatted), tree(&source), "{once}");
    assert_eq!(comments(&formatted), comments(&source), "{once}");
    assert_eq!(format(&formatted).as_deref(), Ok(once.as_str()));
});
