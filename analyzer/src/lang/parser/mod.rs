//! Tokens to a tree. Functions carry the names of the productions in GRAMMAR.md.
//!
//! Each item that cannot be read becomes a diagnostic, and reading resumes at the next one.

mod expr;
mod input;
mod item;
mod test_block;

pub use test_block::TEST_WORDS;

use std::collections::BTreeMap;

use super::ast::File;
#[cfg(test)]
use super::ast::Item;
use super::diagnostic::{Code, Diagnostic};
use super::limits;
use super::token::{Kind, Lexed, Punct, Token};
use crate::source::{SourceFile, SourceId};
use input::{Context, Fault, Res, Tokens, number, settle, word};

/// Words that start an item.
pub const ITEM_WORDS: &[&str] = &[
    "when", "let", "param", "set", "test", "segment", "import", "override", "edition",
];

/// Words of expressions, which no name can be without back-quotes.
pub const RESERVED_WORDS: &[&str] = &[
    "and", "or", "not", "unless", "in", "within", "then", "without", "during", "lasting", "over", "every", "per",
    "across", "if", "else", "when", "let", "param", "set", "test", "segment", "import", "override",
];

/// Words that start a clause of a rule.
pub const CLAUSE_WORDS: &[&str] = &[
    "let",
    "severity",
    "impact",
    "message",
    "fix",
    "except",
    "id",
    "title",
    "about",
    "refs",
    "tags",
    "owner",
    "explains",
    "refuted_by",
    "min_count",
];

/// Reads a file.
pub fn parse(id: SourceId, source: &SourceFile, lexed: &Lexed) -> (File, Vec<Diagnostic>) {
    let cx = Context::new(id, source, &lexed.docs);
    let file = file(Tokens::new(&lexed.tokens, &cx));
    (file, cx.into_diagnostics())
}

/// Reads one expression with an optional format after a colon: a placeholder of a template, or a
/// value from the command line.
pub(crate) fn parse_value(
    id: SourceId,
    source: &SourceFile,
    tokens: &[Token],
) -> Result<(super::ast::Expr, Option<Token>), Diagnostic> {
    let docs = BTreeMap::new();
    let cx = Context::new(id, source, &docs);
    let t = Tokens::new(tokens, &cx);
    let (t, e) = settle(expr::expr(t)).map_err(|f| cx.diagnostic(f))?;
    let (t, format) = match input::punct(Punct::Colon)(t) {
        Ok((t, _)) => match t.first().map(|k| &k.kind) {
            Some(Kind::Name(_) | Kind::Punct(Punct::Percent)) => (t.skip(1), t.first().cloned()),
            _ => return Err(cx.diagnostic(Fault::expected(t, "`x` or `%` after the colon"))),
        },
        Err(_) => (t, None),
    };
    if !t.at_end() {
        return Err(cx.diagnostic(Fault::expected(t, "the end of the expression")));
    }
    Ok((e, format))
}

/// `file = [ "edition" INT ] { item }`
fn file(mut t: Tokens<'_>) -> File {
    let mut out = File::default();
    if let Ok((rest, at)) = word("edition")(t) {
        match settle(input::expect("the number of the edition", number)(rest)) {
            Ok((rest, (n, span))) => {
                if n != crate::unit::Num::ONE {
                    t.cx.report(
                        Diagnostic::new(Code::Edition, t.cx.file, at.to(span), "this edition is not known")
                            .help("the only edition is 1")
                            .edit(span, "1"),
                    );
                }
                t = rest;
            }
            Err(f) => {
                t.cx.report(t.cx.diagnostic(f));
                t = rest;
            }
        }
    }
    while !t.at_end() && !t.cx.full() {
        t.cx.reset();
        let start = t;
        let failed = match settle(item::item(t)) {
            Ok((rest, found)) => {
                out.items.push(found);
                t = rest;
                None
            }
            Err(f) => Some(f),
        };
        if let Some(f) = failed {
            if let Some(name) = defined_name(start) {
                out.broken.push(name);
            }
            let at = f.at;
            t.cx.report(t.cx.diagnostic(f));
            t = resume(start, at);
        }
    }
    out
}

/// The name that a `let`, `param`, `set` or `segment` that cannot be read would have defined.
fn defined_name(t: Tokens<'_>) -> Option<String> {
    let (t, _) = ["let", "param", "set", "segment"]
        .iter()
        .find_map(|w| word(w)(t).ok())?;
    match &t.first()?.kind {
        Kind::Name(n) | Kind::Quoted(n) => Some(n.to_string()),
        _ => None,
    }
}

/// Skips to the next item after a fault: the first word of an item at the start of a line, or
/// outside all braces.
fn resume(start: Tokens<'_>, fault_at: u32) -> Tokens<'_> {
    let mut t = start;
    let mut depth = 0_i32;
    let (mut excepting, mut after_text) = (false, false);
    let mut moved = false;
    while let Some(token) = t.first() {
        if token.kind == Kind::End {
            break;
        }
        if moved && token.span.start >= fault_at {
            let is = |words: &[&str]| matches!(&token.kind, Kind::Name(n) if words.contains(&&**n));
            let outside = depth <= 0 && is(ITEM_WORDS) && (token.first_on_line || token.span.start > fault_at);
            let top = token.first_on_line && is(&["when", "test", "import", "override", "segment"]);
            if (outside || top) && !after_text {
                break;
            }
        }
        match token.kind {
            Kind::Punct(Punct::LBrace) => depth += 1,
            Kind::Punct(Punct::RBrace) => depth -= 1,
            _ => {}
        }
        // `except "why" when …` is no rule.
        after_text = excepting && matches!(token.kind, Kind::Str(_));
        excepting = matches!(&token.kind, Kind::Name(n) if &**n == "except");
        t = t.skip(1);
        moved = true;
    }
    t
}

/// Runs a parser one level deeper.
fn deeper<'a, O>(t: Tokens<'a>, inner: impl FnOnce(Tokens<'a>) -> Res<'a, O>) -> Res<'a, O> {
    if t.cx.enter() {
        let out = inner(t);
        t.cx.leave();
        return out;
    }
    let span = t.span();
    Err(Fault::said(
        t,
        Diagnostic::new(
            Code::TooDeep,
            t.cx.file,
            span,
            format!("this is nested more than {} levels deep", limits::NESTING),
        )
        .help("give parts of it a name with `let`"),
    ))
}

/// Items in the order of the text, for tests.
#[cfg(test)]
fn items(text: &str) -> (Vec<Item>, Vec<Diagnostic>) {
    let source = SourceFile::new("test", text);
    let lexed = super::token::lex(SourceId(0), text);
    let (file, mut diagnostics) = parse(SourceId(0), &source, &lexed);
    diagnostics.extend(lexed.diagnostics);
    (file.items, diagnostics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_resumes_at_the_next_item() {
        let (items, diagnostics) = items(
            "when cuda.p99 > => A\nwhen cuda.p99 > 5ms => B\nlet = 3\ntest \"x\" for B { at }\nwhen mem.oom => C { fix 3 }\nwhen mem.oom => D",
        );
        let names: Vec<&str> = items
            .iter()
            .filter_map(|i| match i {
                Item::Rule(r) => Some(r.name.text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(names, ["B", "C", "D"]);
        assert_eq!(diagnostics.len(), 4, "{diagnostics:#?}");
    }

    #[test]
    fn deep_nesting_ends_with_a_diagnostic() {
        for open in ["(", "not ", "-", "a[", "f(", "- - "] {
            let text = format!("when {}", open.repeat(20_000));
            let (_, diagnostics) = items(&text);
            assert!(diagnostics.iter().any(|d| d.code == Code::TooDeep), "{open}");
        }
        for link in ["+1", ".a", "/2", "@x"] {
            let text = format!("when a{} => X", link.repeat(20_000));
            let (_, diagnostics) = items(&text);
            assert!(diagnostics.iter().any(|d| d.code == Code::TooDeep), "{link}");
        }
    }
}
