//! What a place of a text is about: hover, and the subjects that bare statistics inherit.

use lsp_types::{
    Hover, HoverContents, InlayHint, InlayHintKind, InlayHintLabel, InlayHintTooltip, MarkupContent, MarkupKind, Range,
};

use super::document::Analysis;
use crate::lang::explain;
use crate::lang::symbols::SymbolKind;
use crate::lang::token::{Kind, Punct};
use crate::lang::words::{self, Word};
use crate::source::{SourceId, Span};
use crate::trace::catalogue::Source;

/// What there is to say about a byte of a text.
pub(super) fn hover(doc: &Analysis, byte: u32) -> Option<Hover> {
    let (text, span) = symbol(doc, byte)
        .or_else(|| import(doc, byte))
        .or_else(|| foreign(doc, byte))
        .or_else(|| word(doc, byte))?;
    Some(Hover {
        contents: HoverContents::Markup(MarkupContent {
            kind: MarkupKind::Markdown,
            value: text,
        }),
        range: Some(doc.text.range(span)),
    })
}

/// A rule is explained, a definition shown.
fn symbol(doc: &Analysis, byte: u32) -> Option<(String, Span)> {
    let place = doc.symbols.at(byte)?;
    let symbol = &doc.symbols.symbols[place.symbol];
    let program = &doc.compiled.program;
    let text = match symbol.kind {
        SymbolKind::Rule => {
            let rule = program.rules.iter().find(|r| r.name == symbol.name)?;
            fenced("text", &explain::rule(program, rule))
        }
        _ => fenced("ingero-rules", doc.text.slice(symbol.item?)),
    };
    Some((text, place.span))
}

/// What an imported file defines.
fn import(doc: &Analysis, byte: u32) -> Option<(String, Span)> {
    let import = doc.import_at(byte)?;
    let of = |rules: bool| {
        let all = import.symbols.symbols.iter().filter(|s| s.item.is_some() && !s.local);
        let these = all.filter(|s| (s.kind == SymbolKind::Rule) == rules && s.kind != SymbolKind::Import);
        let names: Vec<&str> = these.map(|s| s.name.as_str()).collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    };
    let text = format!("`{}`\n\nrules: {}\n\nnames: {}", import.file, of(true), of(false));
    Some((text, import.at))
}

/// The definition in an imported file.
fn foreign(doc: &Analysis, byte: u32) -> Option<(String, Span)> {
    let name = doc.symbols.foreign_at(byte)?;
    let (file, symbol) = doc.home(name)?;
    let item = file.text.slice(file.symbols.symbols[symbol].item?);
    let text = format!("{}\n\nfrom `{}`", fenced("ingero-rules", item), file.file);
    Some((text, name.span))
}

fn fenced(language: &str, text: &str) -> String {
    format!("```{language}\n{}\n```", text.trim_end())
}

/// A word of the language or the catalogue.
fn word(doc: &Analysis, byte: u32) -> Option<(String, Span)> {
    let tokens = &doc.lexed.tokens;
    let i = tokens.iter().position(|t| t.span.start <= byte && byte < t.span.end)?;
    let span = tokens[i].span;
    let written = doc.text.slice(span);
    if let Some((_, read_as)) = inherited(doc).find(|(at, _)| *at == span) {
        return Some((format!("`{written}` is read as `{read_as}`"), span));
    }
    let is_dot = |i: usize| i > 0 && tokens[i - 1].kind == Kind::Punct(Punct::Dot);
    let found = match &tokens[i].kind {
        Kind::Name(n) if is_dot(i) => {
            let source = match tokens.get(i.wrapping_sub(2)).map(|t| &t.kind) {
                Some(Kind::Name(s)) => Source::by_name(s),
                _ => None,
            };
            let operations = source.map(words::operations).unwrap_or_default();
            find(operations, n).or_else(|| find(words::statistics(), n))
        }
        Kind::Name(n) if i > 0 && tokens[i - 1].kind == Kind::Punct(Punct::At) => find(words::segments(), n),
        Kind::Name(n) => {
            let fields = Source::ALL.into_iter().flat_map(words::fields).collect();
            let called = matches!(tokens.get(i + 1).map(|t| &t.kind), Some(Kind::Punct(Punct::LParen)));
            called
                .then(|| find(words::functions(), n))
                .flatten()
                .or_else(|| find(words::sources(), n))
                .or_else(|| words::described(n))
                .or_else(|| find(fields, n))
                .or_else(|| find(words::levels(), n))
        }
        Kind::Stat(..) => find(words::statistics(), written).or_else(|| {
            let p50 = find(words::statistics(), "p50")?;
            Some(Word {
                name: written.to_owned(),
                about: "a percentile of the durations, by nearest rank".to_owned(),
                ..p50
            })
        }),
        _ => None,
    }?;
    let detail = found.detail();
    let dash = if detail.is_empty() { "" } else { ": " };
    Some((format!("`{}`{dash}{detail}\n\n{}", found.name, found.about), span))
}

fn find(words: Vec<Word>, name: &str) -> Option<Word> {
    words.into_iter().find(|w| w.name == name)
}

/// Bare statistics of all rules with what they are read as.
fn inherited(doc: &Analysis) -> impl Iterator<Item = (Span, &str)> {
    let rules = doc.compiled.program.rules.iter().filter(|r| r.file == SourceId(0));
    rules.flat_map(|r| r.inherited.iter().map(|(at, text)| (*at, text.as_str())))
}

/// Letters of a subject that are shown; the whole is in the tooltip.
const SUBJECT: usize = 40;

/// The subject of each bare statistic in a range, to be shown before it.
pub(super) fn hints(doc: &Analysis, range: Range) -> Vec<InlayHint> {
    let (from, to) = (doc.text.byte(range.start), doc.text.byte(range.end));
    let mut hints: Vec<(Span, &str)> = inherited(doc)
        .filter(|(at, _)| from <= at.start && at.end <= to)
        .collect();
    hints.sort_unstable();
    hints.dedup();
    hints
        .into_iter()
        .filter_map(|(at, text)| {
            let written = doc.text.slice(at).split('@').next().unwrap_or("").trim();
            let subject = &text[..text.rfind(&format!(".{written}"))?];
            let mut label: String = subject.chars().take(SUBJECT).collect();
            if label.len() < subject.len() {
                label.push('…');
            }
            label.push('.');
            Some(InlayHint {
                position: doc.text.position(at.start),
                label: InlayHintLabel::String(label),
                kind: Some(InlayHintKind::TYPE),
                text_edits: None,
                tooltip: Some(InlayHintTooltip::String(format!("read as {text}"))),
                padding_left: None,
                padding_right: None,
                data: None,
            })
        })
        .collect()
}
