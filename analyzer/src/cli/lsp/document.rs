//! A text that is open in an editor, and places in it as the protocol counts them.

use std::sync::Arc;

use lsp_types::{Position, Range, Uri};

use super::links::{Imported, source_of};
use crate::lang::diagnostic::Diagnostic;
use crate::lang::parser::parse;
use crate::lang::symbols::Symbols;
use crate::lang::token::{Lexed, lex};
use crate::lang::{Compiled, check};
use crate::source::{SourceFile, SourceId, Span};

/// A text with its lines. Positions of the protocol are lines and UTF-16 units, both from 0.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) text: Arc<str>,
    /// First byte of each line.
    lines: Vec<usize>,
}

impl Text {
    pub(super) fn new(text: impl Into<Arc<str>>) -> Self {
        let text: Arc<str> = text.into();
        let lines = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(i, _)| i + 1))
            .collect();
        Self { text, lines }
    }

    /// The byte at a position; the nearest one before it where there is none.
    pub(super) fn byte(&self, at: Position) -> u32 {
        let Some(start) = self.lines.get(at.line as usize).copied() else {
            return clip(self.text.len());
        };
        let end = self.lines.get(at.line as usize + 1).map_or(self.text.len(), |e| e - 1);
        let line = self.text[start..end].trim_end_matches('\r');
        let mut units = 0;
        for (i, c) in line.char_indices() {
            units += c.len_utf16();
            if units > at.character as usize {
                return clip(start + i);
            }
        }
        clip(start + line.len())
    }

    /// The position of a byte.
    pub(super) fn position(&self, byte: u32) -> Position {
        let byte = self.text.floor_char_boundary(byte as usize);
        let line = self.lines.partition_point(|start| *start <= byte) - 1;
        let units = self.text[self.lines[line]..byte].chars().map(char::len_utf16).sum();
        Position::new(clip(line), clip(units))
    }

    pub(super) fn range(&self, span: Span) -> Range {
        Range::new(self.position(span.start), self.position(span.end.max(span.start)))
    }

    pub(super) fn whole(&self) -> Range {
        self.range(Span::new(0, self.text.len()))
    }

    pub(super) fn slice(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or("")
    }
}

fn clip(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// All that is known about a text.
pub(super) struct Analysis {
    pub(super) text: Text,
    pub(super) lexed: Lexed,
    pub(super) symbols: Symbols,
    pub(super) compiled: Compiled,
    pub(super) imports: Vec<Imported>,
}

impl Analysis {
    /// Checks a text, as `ingero rules check` does with a file of its own.
    pub(super) fn new(uri: &Uri, text: Text) -> Self {
        let source = source_of(uri, &text);
        let lexed = lex(SourceId(0), &source.text);
        let symbols = named(&source, &lexed);
        let compiled = check(std::slice::from_ref(&source), &[], None);
        Self {
            imports: Imported::all(&source, &symbols.imports, &compiled.program.files),
            symbols,
            compiled,
            text,
            lexed,
        }
    }

    /// What is wrong with the text itself; what is wrong with a file that it imports is shown there.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Diagnostic> {
        self.compiled.diagnostics.iter().filter(|d| d.file == SourceId(0))
    }
}

/// The names of a text, without checking it.
pub(super) fn names(text: &Text) -> Symbols {
    let source = SourceFile::new("", Arc::clone(&text.text));
    named(&source, &lex(SourceId(0), &source.text))
}

fn named(source: &SourceFile, lexed: &Lexed) -> Symbols {
    let (tree, _) = parse(SourceId(0), source, lexed);
    Symbols::of(&tree, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_utf16_units() {
        let text = Text::new("aµ😀b\r\n\n→x");
        for (byte, line, character) in [
            (0, 0, 0),
            (1, 0, 1),
            (3, 0, 2),
            (7, 0, 4),
            (8, 0, 5),
            (10, 1, 0),
            (14, 2, 1),
        ] {
            let at = Position::new(line, character);
            assert_eq!((text.position(byte), text.byte(at)), (at, byte));
        }
        // Inside a surrogate pair, behind the end of a line, behind the end of the text.
        assert_eq!(text.byte(Position::new(0, 3)), 3);
        assert_eq!(text.byte(Position::new(0, 99)), 8);
        assert_eq!(text.byte(Position::new(9, 0)), 15);
    }
}
