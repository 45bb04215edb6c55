//! Any text becomes tokens and a tree.
#![no_main]

use ingero::lang::parser::parse;
use ingero::lang::token::lex;
use ingero::source::{SourceFile, SourceId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let source = SourceFile::new("fuzz", text);
    let lexed = lex(SourceId(0), &source.text);
    let _ = parse(SourceId(0), &source, &lexed);
});
