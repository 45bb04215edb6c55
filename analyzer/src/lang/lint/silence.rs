//! `# allow W0009: the reason` in or above a rule (or another item) silences that warning there.
//!
//! A comment and no clause, since it speaks of the text and not of what the rule means. A silence
//! without a reason, or that silences nothing, is a warning itself.

use super::super::ast::Item;
use super::super::diagnostic::{Code, Diagnostic};
use super::{Context, Text};
use crate::source::Span;

/// A comment that silences.
struct Silence {
    /// The comment, without its line end.
    span: Span,
    /// The item that it speaks of.
    item: Span,
    codes: Vec<(String, Span)>,
    reason: bool,
}

/// Takes out what is silenced and reports silences that are none.
pub(super) fn apply(cx: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
    for text in &cx.texts {
        for silence in silences(text) {
            let mut say = |span, message: String, help: &str| {
                diagnostics.push(Diagnostic::new(Code::BadSilence, text.id, span, message).help(help));
            };
            if !silence.reason {
                say(
                    silence.span,
                    "this silence gives no reason, so it does not count".to_owned(),
                    "write `# allow W0009: why that is right here`",
                );
                continue;
            }
            for (code, span) in &silence.codes {
                let known = Code::ALL.iter().find(|c| c.as_str() == code);
                let Some(known) = known.filter(|c| !c.is_error() && **c != Code::BadSilence) else {
                    let what = format!("`{code}` is no warning that can be silenced");
                    diagnostics.push(
                        Diagnostic::new(Code::BadSilence, text.id, *span, what)
                            .help("warnings have codes such as W0009; errors cannot be silenced"),
                    );
                    continue;
                };
                let before = diagnostics.len();
                diagnostics.retain(|d| {
                    let at = d.primary.span.start;
                    d.file != text.id || d.code != *known || at < silence.item.start || at >= silence.item.end
                });
                if diagnostics.len() == before {
                    let what = format!("there is no {code} here to silence");
                    let d = Diagnostic::new(Code::BadSilence, text.id, *span, what).help("remove this comment");
                    let alone = silence.codes.len() == 1;
                    diagnostics.push(if alone { d.edit(silence.span, "") } else { d });
                }
            }
        }
    }
}

/// The silences of a file, in order.
fn silences(text: &Text<'_>) -> Vec<Silence> {
    let mut out = Vec::new();
    let mut from = 0;
    for token in &text.lexed.tokens {
        let gap = from..(token.span.start as usize).max(from);
        from = token.span.end as usize;
        let Some(between) = text.source.text.get(gap.clone()) else {
            continue;
        };
        let mut at = gap.start;
        for line in between.split_inclusive('\n') {
            if let Some(s) = silence(text, line, at) {
                out.push(s);
            }
            at += line.len();
        }
    }
    out
}

/// The silence in one line of white space and comment that starts at a byte of the file.
fn silence(text: &Text<'_>, line: &str, at: usize) -> Option<Silence> {
    let hash = line.find('#')?;
    let comment = line[hash..].trim_end();
    let words = comment.trim_start_matches('#').trim_start().strip_prefix("allow ")?;
    let (codes, reason) = words.split_once(':').unwrap_or((words, ""));
    let start = at + hash;
    let item = text
        .tree
        .items
        .iter()
        .map(Item::span)
        .find(|s| s.end as usize > start)?;
    let base = start + (comment.len() - words.len());
    let mut from = base;
    let codes: Vec<(String, Span)> = codes
        .split(',')
        .map(|c| {
            let first = from + (c.len() - c.trim_start().len());
            from += c.len() + 1;
            (c.trim().to_owned(), Span::new(first, first + c.trim().len()))
        })
        .collect();
    // A comment that happens to begin with this word speaks of something else.
    let looks = |c: &str| c.len() == 5 && c[1..].bytes().all(|b| b.is_ascii_digit());
    codes.iter().any(|(c, _)| c.is_ascii() && looks(c)).then(|| Silence {
        span: Span::new(start, start + comment.len()),
        item,
        codes,
        reason: !reason.trim().is_empty(),
    })
}
