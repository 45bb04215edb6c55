//! Messages and advice: texts with values in them.

use super::super::ast::{ExprKind, Text};
use super::super::diagnostic::Code;
use super::super::hir::{Part, Template};
use super::super::parser::parse_value;
use super::super::token::{Kind, Punct, lex_part, unescape};
use super::R;
use super::expr::Typed;
use super::scope::{Checker, Scope};
use crate::source::Span;
use crate::trace::catalogue::Key;
use crate::unit::{Dim, Style};

impl Checker<'_> {
    /// Compiles a text; `key` is that of the rule, if it is known.
    pub(super) fn template(&mut self, text: &Text, key: Option<&[Key]>) -> R<Template> {
        let inner = Span {
            start: text.span.start + 1,
            end: text.span.end.saturating_sub(1).max(text.span.start + 1),
        };
        let source = self.source;
        let raw = source.text.get(inner.range()).unwrap_or("");
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut chars = raw.char_indices().peekable();
        while let Some((i, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, '\n')) => while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {},
                    Some((_, e)) => plain.extend(unescape(e)),
                    None => {}
                },
                '{' | '}' if chars.next_if(|(_, n)| *n == c).is_some() => plain.push(c),
                '}' => {
                    let at = inner.start as usize + i;
                    let span = Span::new(at, at + 1);
                    let d = self
                        .diag(Code::TemplateSyntax, span, "this brace closes no placeholder")
                        .help("a brace that is meant as such is doubled: `}}`")
                        .edit(span, "}}");
                    return self.fail(d);
                }
                '{' => {
                    let mut depth = 1;
                    let mut end = None;
                    for (j, c) in chars.by_ref() {
                        depth += i32::from(c == '{') - i32::from(c == '}');
                        if depth == 0 {
                            end = Some(j);
                            break;
                        }
                    }
                    let start = inner.start as usize + i;
                    let Some(end) = end else {
                        let span = Span::new(start, start + 1);
                        let d = self
                            .diag(Code::TemplateSyntax, span, "this placeholder has no closing brace")
                            .help("close it with `}`; a brace that is meant as such is doubled: `{{`");
                        return self.fail(d);
                    };
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    let span = Span::new(start + 1, inner.start as usize + end);
                    parts.push(self.placeholder(span, key)?);
                }
                c => plain.push(c),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Template { parts })
    }

    fn placeholder(&mut self, span: Span, key: Option<&[Key]>) -> R<Part> {
        let file = self.scope.file;
        let lexed = lex_part(file, &self.source.text, span);
        if let Some(d) = lexed.diagnostics.into_iter().next() {
            return self.fail(d);
        }
        if lexed.tokens.len() < 2 {
            let d = self
                .diag(Code::TemplateSyntax, span, "an empty placeholder")
                .help("name a part of the key or a statistic: `{pid}`, `{cuda.launch.p99}`");
            return self.fail(d);
        }
        let (e, format) = match parse_value(file, self.source, &lexed.tokens) {
            Ok(found) => found,
            Err(d) => return self.fail(d),
        };
        if let (ExprKind::Name(n, _), None) = (&*e.kind, &format)
            && let Some(k) = Key::by_name(n)
            && self.find_let(n).is_none()
        {
            return self.key_part(k, e.span, key);
        }
        let mut sc = Scope::default();
        let n = match self.typed(&e, &mut sc)? {
            Typed::Number(n) => n,
            other => {
                let d = self
                    .diag(Code::NotANumber, e.span, "a value is needed here")
                    .label(format!("this is {}", other.what()));
                let d = match &other {
                    Typed::Selection(s) => d.help(format!("ask for a statistic: `{{{}.count}}`", s.text)),
                    Typed::SystemField(f) => d.help(format!("ask for a statistic: `{{system.{}.min}}`", f.def().0)),
                    _ => d,
                };
                return self.fail(d);
            }
        };
        if !n.windows.is_empty() {
            let d = self
                .diag(
                    Code::WindowNotHere,
                    e.span,
                    "a text shows one value, and windows have many",
                )
                .help("leave `over` out");
            return self.fail(d);
        }
        let style = match format.as_ref().map(|t| (&t.kind, t.span)) {
            None => Style::Auto,
            Some((kind, at)) => {
                let style = match kind {
                    Kind::Punct(Punct::Percent) => Some(Style::Percent),
                    Kind::Name(n) if &**n == "x" => Some(Style::Times),
                    _ => None,
                };
                let Some(style) = style else {
                    let d = self
                        .diag(Code::TemplateSyntax, at, "unknown format")
                        .help("formats are `:x` for a factor and `:%` for a share");
                    return self.fail(d);
                };
                if n.dim != Dim::NONE {
                    let d = self
                        .diag(
                            Code::Mismatch,
                            e.span,
                            format!("only a number without a unit is a factor or a share; this is {}", n.dim),
                        )
                        .help("units are shown without a format");
                    return self.fail(d);
                }
                style
            }
        };
        Ok(Part::Value(n.value, n.dim, style))
    }

    fn key_part(&mut self, k: Key, span: Span, key: Option<&[Key]>) -> R<Part> {
        // Without a key the condition is wrong, and this may be right.
        let Some(key) = key else {
            return Ok(Part::Key(k));
        };
        let by_process = key.contains(&Key::Pid);
        let known = |k: Key| key.contains(&k) || by_process && matches!(k, Key::Process | Key::Tid);
        if known(k) {
            return Ok(Part::Key(k));
        }
        let names: Vec<&str> = Key::ALL
            .into_iter()
            .filter(|(k, _)| known(*k))
            .map(|(_, n)| n)
            .collect();
        let d = self
            .diag(Code::NoSuchPart, span, format!("the rule's key has no `{}`", k.name()))
            .help(format!("known here: {}; `per` adds more", names.join(", ")));
        self.fail(d)
    }
}
