//! Modules depend in one direction only.
//!
//! `source, unit` → `diagnosis, trace` → `lang` → `plan` → `eval` → `report` → `cli`; a module may
//! use what stands to its left. `simulate` writes traces, `fixture` writes those of in-file tests.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Each module with its height. Equal heights must not use each other, unless listed below.
const ORDER: [(&str, u32); 14] = [
    ("source", 0),
    ("unit", 0),
    ("diagnosis", 10),
    ("trace", 10),
    ("view", 15),
    ("score", 15),
    ("simulate", 20),
    ("lang", 30),
    ("fixture", 40),
    ("plan", 50),
    ("eval", 60),
    ("export", 70),
    ("report", 70),
    ("cli", 80),
];

fn height(module: &str) -> Option<u32> {
    ORDER.iter().find(|(name, _)| *name == module).map(|(_, h)| *h)
}

/// Text without comments, strings and test modules: what is left names modules only in code.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or("");
    let mut out = String::new();
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or("");
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// Modules that a text names after `crate::`, also in `use crate::{a, b::c}`.
fn used(text: &str) -> Vec<String> {
    let text = code(text);
    let mut out = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            out.extend(group_heads(group));
        } else {
            out.push(ident(rest));
        }
    }
    out
}

fn ident(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// First names of the parts of `a, b::{c, d}, e}`.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut at_head, mut out) = (0, true, Vec::new());
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_head = true,
            c if at_head && depth == 0 && !c.is_whitespace() => {
                out.push(ident(&group[i..]));
                at_head = false;
            }
            _ => {}
        }
    }
    out
}

/// Upward edges of one file of a module.
fn upward(module: &str, text: &str) -> Vec<String> {
    let Some(own) = height(module) else {
        return vec![format!("the module {module} has no place in the order")];
    };
    let mut out = Vec::new();
    for other in used(text) {
        match height(&other) {
            _ if other == module => {}
            Some(h) if h < own => {}
            Some(_) => out.push(format!("{module} uses {other}")),
            // A macro or a re-export at the root of the crate.
            None => {}
        }
    }
    out
}

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

#[test]
fn no_module_uses_what_stands_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    files(&src, &mut paths);
    paths.sort();
    let mut wrong = Vec::new();
    for path in paths {
        let inner = path.strip_prefix(&src).unwrap();
        let first = inner.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        if module == "lib" || module == "main" {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        wrong.extend(
            upward(module, &text)
                .into_iter()
                .map(|edge| format!("{}: {edge}", inner.display())),
        );
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn upward_edges_are_seen_in_every_spelling() {
    for (module, text) in [
        ("lang", "use crate::eval::analyze;"),
        ("lang", "use crate::{\n    trace::Trace,\n    eval,\n};"),
        ("lang", "pub(crate) use crate::{trace::{Op, Lane}, report::json};"),
        ("unit", "fn f() -> crate::source::Span { todo!() }"),
        ("eval", "let x = crate::cli::main();"),
        ("trace", "use crate::diagnosis::Severity;"),
        ("simulate", "use crate::lang::hir;"),
        ("somewhere", ""),
    ] {
        assert_eq!(upward(module, text).len(), 1, "{module}: {text}");
    }
}

#[test]
fn downward_edges_and_mere_words_pass() {
    for (module, text) in [
        (
            "eval",
            "use crate::{lang::hir, fixture, trace::{self, Lane}, unit::Num};",
        ),
        ("lang", "use crate::lang::token; // crate::eval comes later"),
        ("lang", "//! See crate::eval."),
        ("unit", "use othercrate::eval;"),
        ("unit", "#[cfg(test)]\nmod tests { use crate::eval; }"),
        ("fixture", "use crate::trace::writer::Writer; use crate::lang::hir;"),
    ] {
        assert_eq!(upward(module, text), Vec::<String>::new(), "{module}: {text}");
    }
}
