//! Conditions that stand twice.

use std::collections::BTreeMap;

use super::super::diagnostic::{Code, Diagnostic};
use super::super::explain;
use super::super::hir::{Cond, Rule};
use super::super::walk;
use super::{Context, warn};
use crate::source::Span;
use crate::trace::catalogue::Key;

pub(super) fn lint(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    let mut known: BTreeMap<(String, &[Key], u64), &Rule> = BTreeMap::new();
    for rule in &cx.program.rules {
        terms(cx, rule, &rule.cond, out);
        let meaning = explain::condition(cx.program, &rule.cond);
        let Some(first) = known
            .get(&(meaning.clone(), rule.key.as_slice(), rule.min_count))
            .copied()
        else {
            known.insert((meaning, &rule.key, rule.min_count), rule);
            continue;
        };
        let d = warn(
            Code::DuplicateCond,
            rule,
            cx.name_span(rule),
            format!("this rule asks the same as {}", first.name),
        );
        out.push(if first.file == rule.file {
            d.also(cx.name_span(first), "the first one")
                .help("keep one of them; several messages and severities may stand in one rule")
        } else {
            let file = cx.program.files.get(first.file.0 as usize);
            let name = file.map_or("another file", |f| f.name.as_str());
            d.help(format!("{} is in {name}; keep one of them", first.name))
        });
    }
}

/// Equal members of one `and`, `or` or `within`.
fn terms(cx: &Context<'_>, rule: &Rule, c: &Cond, out: &mut Vec<Diagnostic>) {
    let list = c.parts();
    if matches!(c, Cond::And(_) | Cond::Or(_) | Cond::Within { .. }) {
        let mut known: BTreeMap<String, Option<Span>> = BTreeMap::new();
        for part in &list {
            let meaning = explain::condition(cx.program, part);
            let span = walk::span(part);
            match known.get(&meaning) {
                Some(first) => {
                    let d = warn(
                        Code::DuplicateCond,
                        rule,
                        span.unwrap_or(rule.span),
                        "this condition stands here twice",
                    );
                    out.push(match first {
                        Some(first) => d.also(*first, "the first one"),
                        None => d,
                    });
                }
                None => {
                    known.insert(meaning, span);
                }
            }
        }
    }
    for part in list {
        terms(cx, rule, part, out);
    }
}
