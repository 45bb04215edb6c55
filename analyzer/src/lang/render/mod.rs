//! Diagnostics as text: for terminals through miette, and plain for files and snapshots.

pub mod json;
pub mod sarif;

use std::fmt::{self, Write as _};

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use super::diagnostic::{Diagnostic, Edit, Label};
use crate::source::{SourceFile, Span};

/// Plain text of all diagnostics: no colour, the same on every terminal.
pub fn plain(diagnostics: &[Diagnostic], files: &[SourceFile]) -> String {
    let mut out = String::new();
    for d in diagnostics {
        if !out.is_empty() {
            out.push('\n');
        }
        plain_one(&mut out, d, files.get(d.file.0 as usize));
    }
    out
}

/// `error` or `warning`.
fn level(d: &Diagnostic) -> &'static str {
    if d.is_error() { "error" } else { "warning" }
}

/// A document for programs, with a line end.
pub fn pretty(document: &impl serde::Serialize) -> String {
    let mut out = serde_json::to_string_pretty(document).expect("maps have text keys, so this cannot fail");
    out.push('\n');
    out
}

/// A line of the text with its number from 1 and the byte at which it starts.
fn line_of(file: &SourceFile, byte: u32) -> (usize, usize, &str) {
    let (line, _) = file.line_col(byte);
    let text = file.text.as_ref();
    let at = text.floor_char_boundary(byte as usize);
    let start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let end = text[start..].find('\n').map_or(text.len(), |i| start + i);
    (line, start, text[start..end].trim_end_matches('\r'))
}

/// Columns of a line before a byte of it; a tab counts as one.
fn columns(line: &str, bytes: usize) -> usize {
    line[..line.floor_char_boundary(bytes)].chars().count()
}

/// At most this many columns of a line are shown.
const WIDTH: usize = 100;

fn plain_one(out: &mut String, d: &Diagnostic, file: Option<&SourceFile>) {
    let _ = writeln!(out, "{}[{}]: {}", level(d), d.code.as_str(), d.message);
    if let Some(file) = file {
        let (line, column) = file.line_col(d.primary.span.start);
        let _ = writeln!(out, "  --> {}:{line}:{column}", file.name);
        let mut labels: Vec<(&Label, char)> = vec![(&d.primary, '^')];
        labels.extend(d.secondary.iter().map(|l| (l, '-')));
        labels.sort_by_key(|(l, _)| (line_of(file, l.span.start).0, l.span.start));
        let last = labels.last().map_or(1, |(l, _)| line_of(file, l.span.start).0);
        let gutter = last.to_string().len();
        let _ = writeln!(out, "{:gutter$} |", "");
        let mut shown = 0;
        for (label, mark) in labels {
            let (number, start, text) = line_of(file, label.span.start);
            let from = columns(text, (label.span.start as usize).saturating_sub(start));
            let to = columns(text, (label.span.end as usize).saturating_sub(start).min(text.len()));
            // Long lines are shown around the place.
            let cut = if to.max(from) < WIDTH {
                0
            } else {
                from.saturating_sub(20)
            };
            if number != shown || cut > 0 {
                let part: String = text.chars().skip(cut).take(WIDTH).collect();
                let _ = writeln!(out, "{number:gutter$} | {}", part.replace('\t', " "));
                shown = number;
            }
            let marks = mark.to_string().repeat(to.saturating_sub(from).clamp(1, WIDTH));
            let line = format!("{:gutter$} | {:2$}{marks} {3}", "", "", from - cut, label.text);
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }
    if let Some(help) = &d.help {
        let _ = writeln!(out, "  help: {help}");
    }
    if let Some(edit) = &d.edit {
        let _ = writeln!(out, "  edit: {}", change(edit, file));
    }
}

/// `` `a` becomes `b` ``: an edit in words.
pub fn change(edit: &Edit, file: Option<&SourceFile>) -> String {
    let old = file.and_then(|f| f.text.get(edit.span.range())).unwrap_or("");
    match (old, edit.replacement.as_str()) {
        (old, "") => format!("remove `{old}`"),
        ("", new) => format!("insert `{new}`"),
        (old, new) => format!("`{old}` becomes `{new}`"),
    }
}

/// A diagnostic with its text, as miette shows it.
#[derive(Debug)]
pub struct Shown<'a> {
    diagnostic: &'a Diagnostic,
    source: NamedSource<String>,
}

impl<'a> Shown<'a> {
    /// A diagnostic of one of the files.
    pub fn new(diagnostic: &'a Diagnostic, files: &[SourceFile]) -> Self {
        let (name, text) = files
            .get(diagnostic.file.0 as usize)
            .map_or(("", ""), |f| (f.name.as_str(), f.text.as_ref()));
        Self {
            diagnostic,
            source: NamedSource::new(name, text.to_owned()),
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.diagnostic, f)
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.diagnostic.code.as_str()))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(if self.diagnostic.is_error() {
            miette::Severity::Error
        } else {
            miette::Severity::Warning
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic
            .help
            .as_ref()
            .map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let one = |l: &Label| (!l.text.is_empty()).then(|| l.text.clone());
        let primary =
            LabeledSpan::new_primary_with_span(one(&self.diagnostic.primary), clip(self.diagnostic.primary.span));
        let rest = self
            .diagnostic
            .secondary
            .iter()
            .map(move |l| LabeledSpan::new_with_span(one(l), clip(l.span)));
        Some(Box::new(std::iter::once(primary).chain(rest)))
    }
}

fn clip(s: Span) -> Span {
    Span {
        end: s.end.max(s.start),
        ..s
    }
}

/// All diagnostics as miette draws them, for a terminal of that width.
pub fn fancy(diagnostics: &[Diagnostic], files: &[SourceFile], width: usize, colour: bool) -> String {
    let theme = if colour {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(width);
    let mut out = String::new();
    for d in diagnostics {
        let shown = Shown::new(d, files);
        if handler.render_report(&mut out, &shown).is_err() {
            out.push_str(&plain(std::slice::from_ref(d), files));
        }
    }
    out
}
