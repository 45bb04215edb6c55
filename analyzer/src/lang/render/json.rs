//! Diagnostics for programs: types of their own, only converted to.

use serde::Serialize;

use super::super::Compiled;
use super::super::diagnostic::{Diagnostic, Label};
use crate::source::{SourceFile, Span};

/// Version of this format. A field may be added without a new one; none is removed or redefined.
pub const SCHEMA_VERSION: u32 = 1;

/// One run of `ingero rules check`.
#[derive(Debug, Serialize)]
pub struct JsonCheck {
    /// Version of this format: 1.
    pub schema_version: u32,
    /// The files, in the order given.
    pub files: Vec<String>,
    /// Rules that can be used.
    pub rules: usize,
    /// Tests that can be run.
    pub tests: usize,
    /// How many errors there are.
    pub errors: usize,
    /// How many warnings there are.
    pub warnings: usize,
    /// All of them, by file and place.
    pub diagnostics: Vec<JsonDiagnostic>,
    /// What the trace of `--trace` holds of each metric; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<JsonSight>>,
}

/// What a trace holds of a metric.
#[derive(Debug, Serialize)]
pub struct JsonSight {
    /// As written.
    pub metric: String,
    /// The rules that ask for it.
    pub rules: Vec<String>,
    /// What it speaks of.
    pub parts: Vec<JsonPart>,
    /// Columns that it needs and that hold nothing.
    pub missing_columns: Vec<&'static str>,
    /// Rows that looking at it takes.
    pub rows_looked_at: u64,
}

/// What a trace holds of an operation or a column.
#[derive(Debug, Serialize)]
pub struct JsonPart {
    /// `cuda.cudaLaunchKernel`.
    pub name: String,
    /// `complete`, `complete_in_windows`, `slow_only`, `none_seen` or `not_observed`.
    pub seen: &'static str,
    /// Rows of it.
    pub rows: u64,
}

/// One problem.
#[derive(Debug, Serialize)]
pub struct JsonDiagnostic {
    /// `E0301`: stable.
    pub code: &'static str,
    /// `error` or `warning`.
    pub severity: &'static str,
    /// One sentence.
    pub message: String,
    /// The file.
    pub file: String,
    /// The place.
    #[serde(flatten)]
    pub at: JsonLabel,
    /// Other places of the same file that matter.
    pub also: Vec<JsonLabel>,
    /// The way out.
    pub help: Option<String>,
    /// The change that `--fix` would make.
    pub edit: Option<JsonEdit>,
}

/// A place with a word about it.
#[derive(Debug, Serialize)]
pub struct JsonLabel {
    /// What to say there; may be empty.
    pub label: String,
    /// Where.
    pub span: JsonSpan,
}

/// A place: bytes from 0, lines and columns from 1, columns in characters, ends exclusive.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct JsonSpan {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    /// Line of the first byte.
    pub line: usize,
    /// Column of the first byte.
    pub column: usize,
    /// Line of the end.
    pub end_line: usize,
    /// Column of the end.
    pub end_column: usize,
}

/// A change of the text.
#[derive(Debug, Serialize)]
pub struct JsonEdit {
    /// What to replace; empty to insert.
    pub span: JsonSpan,
    /// With what.
    pub replacement: String,
}

/// All diagnostics of a check as one JSON document, with a line end; `metrics` is what a trace holds.
pub fn check(compiled: &Compiled, metrics: Option<Vec<JsonSight>>) -> String {
    let files = &compiled.program.files;
    let errors = compiled.diagnostics.iter().filter(|d| d.is_error()).count();
    let out = JsonCheck {
        schema_version: SCHEMA_VERSION,
        files: files.iter().map(|f| f.name.clone()).collect(),
        rules: compiled.program.rules.len(),
        tests: compiled.program.tests.len(),
        errors,
        warnings: compiled.diagnostics.len() - errors,
        diagnostics: compiled.diagnostics.iter().map(|d| one(d, files)).collect(),
        metrics,
    };
    super::pretty(&out)
}

fn one(d: &Diagnostic, files: &[SourceFile]) -> JsonDiagnostic {
    let file = files.get(d.file.0 as usize);
    let label = |l: &Label| JsonLabel {
        label: l.text.clone(),
        span: place(file, l.span),
    };
    JsonDiagnostic {
        code: d.code.as_str(),
        severity: super::level(d),
        message: d.message.clone(),
        file: file.map_or_else(String::new, |f| f.name.clone()),
        at: label(&d.primary),
        also: d.secondary.iter().map(label).collect(),
        help: d.help.clone(),
        edit: d.edit.as_ref().map(|e| JsonEdit {
            span: place(file, e.span),
            replacement: e.replacement.clone(),
        }),
    }
}

/// A span with its lines and columns.
pub(super) fn place(file: Option<&SourceFile>, span: Span) -> JsonSpan {
    let at = |byte| file.map_or((1, 1), |f| f.line_col(byte));
    let ((line, column), (end_line, end_column)) = (at(span.start), at(span.end.max(span.start)));
    JsonSpan {
        start: span.start,
        end: span.end,
        line,
        column,
        end_line,
        end_column,
    }
}
