//! Diagnostics as SARIF 2.1.0, which code hosts show beside a change.
//!
//! Only what this needs of the format; written by hand, since the crates for it bring the whole of it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::Compiled;
use super::super::diagnostic::{Code, Diagnostic, Label};
use super::json::place;
use crate::source::{SourceFile, Span};

/// All diagnostics of a check as one SARIF log, with a line end.
pub fn check(compiled: &Compiled, version: &str) -> String {
    let files = &compiled.program.files;
    let mut codes: Vec<Code> = compiled.diagnostics.iter().map(|d| d.code).collect();
    codes.sort_by_key(|c| c.as_str());
    codes.dedup();
    let rules: Vec<Value> = codes
        .iter()
        .map(|c| {
            let level = if c.is_error() { "error" } else { "warning" };
            json!({
                "id": c.as_str(),
                "shortDescription": { "text": c.title() },
                "defaultConfiguration": { "level": level },
            })
        })
        .collect();
    let artifacts: Vec<Value> = files
        .iter()
        .map(|f| json!({ "location": { "uri": uri(&f.name) }, "sourceLanguage": "ingero-rules" }))
        .collect();
    let results: Vec<Value> = compiled.diagnostics.iter().map(|d| result(d, files, &codes)).collect();
    super::pretty(&json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "ingero", "version": version, "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "artifacts": artifacts,
            "results": results,
        }],
    }))
}

fn result(d: &Diagnostic, files: &[SourceFile], codes: &[Code]) -> Value {
    let index = d.file.0 as usize;
    let file = files.get(index);
    let artifact = || json!({ "uri": uri(file.map_or("", |f| &f.name)), "index": index });
    let physical = |span| json!({ "artifactLocation": artifact(), "region": region(file, span) });
    let text = match &d.help {
        Some(help) => format!("{}; {help}", d.message),
        None => d.message.clone(),
    };
    let related: Vec<Value> = d
        .secondary
        .iter()
        .enumerate()
        .map(|(i, l): (usize, &Label)| {
            let says = if l.text.is_empty() { "see here" } else { &l.text };
            json!({ "id": i + 1, "message": { "text": says }, "physicalLocation": physical(l.span) })
        })
        .collect();
    let mut out = json!({
        "ruleId": d.code.as_str(),
        "ruleIndex": codes.iter().position(|c| *c == d.code),
        "level": super::level(d),
        "message": { "text": text },
        "locations": [{ "physicalLocation": physical(d.primary.span) }],
        "relatedLocations": related,
    });
    if let Some(edit) = &d.edit {
        out["fixes"] = json!([{
            "description": { "text": d.help.as_deref().unwrap_or("apply the suggested change") },
            "artifactChanges": [{
                "artifactLocation": artifact(),
                "replacements": [{
                    "deletedRegion": region(file, edit.span),
                    "insertedContent": { "text": edit.replacement },
                }],
            }],
        }]);
    }
    out
}

fn region(file: Option<&SourceFile>, span: Span) -> Value {
    let p = place(file, span);
    json!({
        "startLine": p.line,
        "startColumn": p.column,
        "endLine": p.end_line,
        "endColumn": p.end_column,
    })
}

/// A path as a relative or absolute URI reference.
fn uri(path: &str) -> String {
    let mut out = String::new();
    for b in path.replace('\\', "/").bytes() {
        if b.is_ascii_alphanumeric() || b"-._~/".contains(&b) {
            out.push(char::from(b));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{b:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("rules/a b.rules"), "rules/a%20b.rules");
        assert_eq!(uri("<builtin>/é.rules"), "%3Cbuiltin%3E/%C3%A9.rules");
    }
}
