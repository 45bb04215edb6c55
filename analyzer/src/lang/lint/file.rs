//! What a file lacks, and what has run out in it.

use std::collections::BTreeSet;

use super::super::ast::{ClauseKind, Item};
use super::super::diagnostic::{Code, Diagnostic};
use super::{Context, warn};
use crate::unit::show_day;

pub(super) fn lint(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    untested(cx, out);
    expired(cx, out);
}

fn untested(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    // By the trees: a test that cannot be used is reported for itself.
    let tested: BTreeSet<&str> = cx
        .texts
        .iter()
        .flat_map(|t| &t.tree.items)
        .filter_map(|i| match i {
            Item::Test(t) => Some(t.rule.text.as_str()),
            _ => None,
        })
        .collect();
    for rule in cx.program.rules.iter().filter(|r| !tested.contains(r.name.as_str())) {
        out.push(
            warn(
                Code::Untested,
                rule,
                cx.name_span(rule),
                format!("{} has no test", rule.name),
            )
            .help(format!(
                "show where it fires and where it stays quiet: `test \"…\" for {} {{ … expect fires }}`",
                rule.name
            )),
        );
    }
}

fn expired(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    let Some(today) = cx.today else { return };
    for text in &cx.texts {
        let rules = text.tree.items.iter().filter_map(|i| match i {
            Item::Rule(r) => Some(r),
            _ => None,
        });
        for clause in rules.flat_map(|r| &r.clauses) {
            if let ClauseKind::Except(why, _, Some(until)) = &clause.kind
                && *until < today
            {
                out.push(
                    Diagnostic::new(
                        Code::Expired,
                        text.id,
                        clause.span,
                        format!("this exception ended on {}: {}", show_day(*until), why.value),
                    )
                    .help("remove it, or give it a new date with a reason that still holds"),
                );
            }
        }
    }
}
