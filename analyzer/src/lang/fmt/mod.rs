//! Rules in one style: what `ingero rules fmt` writes.
//!
//! The output has the tokens and comments of the input, in the same order; only white space, the
//! spelling of operations and the line ends inside long texts change. So what a file means cannot
//! change, and a file in this style is left as it is.
//!
//! Lines have at most [`WIDTH`] columns where they can be broken: single words, patterns and comments
//! cannot. Of the author's line ends, blank lines between definitions, clauses and fixtures stay (one
//! at a time), and so does the choice between a comment of its own and one at the end of a line.

mod expr;
mod gap;
mod item;
mod spelling;
mod text;

use super::diagnostic::{Code, Diagnostic};
use super::limits;
use super::parser::parse;
use super::token::lex;
use crate::source::{SourceFile, SourceId, Span};
use item::Layout;

/// Columns of a line.
pub const WIDTH: usize = 100;

/// The text in the one style, with a line end at its end.
///
/// # Errors
/// A text that cannot be read is not touched: what is wrong with it, spans in `SourceId(0)`.
pub fn format(source: &SourceFile) -> Result<String, Vec<Diagnostic>> {
    let id = SourceId(0);
    let lexed = lex(id, &source.text);
    let (file, mut problems) = parse(id, source, &lexed);
    problems.extend(lexed.diagnostics);
    problems.retain(Diagnostic::is_error);
    if !problems.is_empty() {
        problems.sort_by_key(|d| (d.primary.span, d.code));
        return Err(problems);
    }
    let arena = pretty::Arena::new();
    let out = Layout::new(&arena, &source.text, &lexed.tokens, &file).file(&file);
    if out.len() > limits::FILE_BYTES {
        let d = Diagnostic::new(
            Code::FileTooLarge,
            id,
            Span::default(),
            format!(
                "the file would have {} bytes; the limit is {}",
                out.len(),
                limits::FILE_BYTES
            ),
        );
        return Err(vec![d.help("split it into several files")]);
    }
    Ok(out)
}
