//! Any text becomes tokens that stand in its order, inside it, and end with the end.
#![no_main]

use ingero::lang::token::{Kind, lex};
use ingero::source::SourceId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let lexed = lex(SourceId(0), text);
    let mut end = 0;
    for token in &lexed.tokens {
        assert!(end <= token.span.start && token.span.start <= token.span.end);
        assert!(text.get(token.span.range()).is_some(), "{token:?}");
        end = token.span.end;
    }
    assert_eq!(lexed.tokens.last().map(|t| &t.kind), Some(&Kind::End));
    for d in &lexed.diagnostics {
        assert!(text.get(d.primary.span.range()).is_some(), "{d:?}");
    }
});
