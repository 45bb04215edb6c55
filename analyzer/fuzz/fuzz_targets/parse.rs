//! Any text becomes a tree, whose problems point into it, and whose expressions print as what they are.
#![no_main]

use ingero::lang::ast::{Expr, Item};
use ingero::lang::parser::parse;
use ingero::lang::print;
use ingero::lang::token::lex;
use ingero::source::{SourceFile, SourceId};
use libfuzzer_sys::fuzz_target;

fn conditions(text: &str) -> Option<Vec<Expr>> {
    let source = SourceFile::new("fuzz", text);
    let lexed = lex(SourceId(0), &source.text);
    let (file, diagnostics) = parse(SourceId(0), &source, &lexed);
    for d in &diagnostics {
        assert!(text.get(d.primary.span.range()).is_some(), "{d:?}");
    }
    if !lexed.diagnostics.is_empty() || !diagnostics.is_empty() {
        return None;
    }
    let rules = file.items.into_iter().filter_map(|i| match i {
        Item::Rule(r) => Some(r.cond),
        _ => None,
    });
    Some(rules.collect())
}

fuzz_target!(|text: &str| {
    for cond in conditions(text).unwrap_or_default() {
        let printed = print::expr(&cond);
        let again = conditions(&format!("when {printed} => A")).expect("what is printed can be read");
        assert_eq!(again.len(), 1, "{printed}");
        assert_eq!(print::expr(&again[0]), printed);
    }
});
