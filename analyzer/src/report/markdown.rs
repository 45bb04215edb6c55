//! The report as Markdown, for issues and chats.

use super::paint::clean;
use super::{Report, words};
use crate::diagnosis::{Analysis, Diagnosis, Status};
use crate::unit::show_dur;

/// Renders the report with the `top` first primary findings.
pub fn render(report: &Report<'_>, top: usize) -> String {
    let a = report.analysis;
    let with_node = words::several_nodes(a);
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(&format!("## Ingero: {}", escape(&words::headline(a))));
    line("");
    for p in report.problems {
        line(&format!(
            "> **{} {}**: {}",
            p.kind.name(),
            code(&p.path),
            escape(&p.message)
        ));
        line("");
    }
    line(&escape(&words::checked(a)));
    line("");
    let primaries = words::primaries(a);
    let shown = &primaries[..primaries.len().min(top)];
    if primaries.is_empty() {
        let quiet: Vec<String> = a
            .rules
            .iter()
            .filter(|r| r.status == Status::Quiet)
            .map(|r| code(&r.name))
            .collect();
        if !quiet.is_empty() {
            line(&format!("Checked and not present: {}.", quiet.join(", ")));
            line("");
        }
    } else {
        line("| # | Severity | What | Where | Lost | Lasted | Sure |");
        line("|--:|---|---|---|--:|--:|--:|");
        for d in shown {
            line(&row(d, "", with_node));
            for (_, child) in words::effects(a, d) {
                line(&row(child, "↳ ", with_node));
            }
        }
        line("");
        if primaries.len() > top {
            line(&format!(
                "…and {} more (`--top {}`).",
                primaries.len() - top,
                primaries.len()
            ));
            line("");
        }
    }
    for d in shown {
        finding(d, a, with_node, &mut line);
    }
    tail(report, with_node, &mut line);
    out
}

fn row(d: &Diagnosis, prefix: &str, with_node: bool) -> String {
    let lost = if d.impact_ns > 0 {
        show_dur(d.impact_ns)
    } else {
        "-".to_owned()
    };
    format!(
        "| {} | {} | {prefix}{} | {} | {lost} | {} | {} |",
        d.rank,
        words::level(d.severity),
        code(&d.rule),
        escape(&words::place(&d.key, with_node)),
        show_dur(d.when.len()),
        words::percent(d.confidence)
    )
}

fn finding(d: &Diagnosis, a: &Analysis, with_node: bool, line: &mut impl FnMut(&str)) {
    let zero = words::zero(a, &d.key.node);
    let title = if d.title.is_empty() {
        String::new()
    } else {
        format!(": {}", escape(&d.title))
    };
    line(&format!(
        "### {}. {} {}{title}",
        d.rank,
        words::level(d.severity),
        code(&d.rule)
    ));
    line("");
    line(&escape(&d.message));
    line("");
    line(&format!("- **Where**: {}", escape(&words::place(&d.key, true))));
    line(&format!("- **When**: {}", escape(&words::when(d, zero))));
    for e in &d.evidence {
        line(&format!(
            "- **Measured**: {}: {}",
            escape(&words::values(e)),
            code(&words::conjunct(e))
        ));
    }
    line(&format!(
        "- **Sure**: {}: {}",
        words::percent(d.confidence),
        escape(&words::confidence(d))
    ));
    if !d.refuted_by.is_empty() {
        line(&format!("- **Refuted by**: {}", escape(&d.refuted_by)));
    }
    for fix in &d.fixes {
        line(&format!("- **Fix**: {}", escape(fix)));
    }
    for (_, child) in words::effects(a, d) {
        line(&format!(
            "- **Explains** {} {} ({}, {} sure): {}",
            words::level(child.severity),
            code(&child.rule),
            escape(&words::place(&child.key, with_node)),
            words::percent(child.confidence),
            escape(&child.message)
        ));
    }
    line("");
    let rows = words::timeline(d);
    if !rows.is_empty() {
        line("| At | Lasted | Layer | Thread | Event |");
        line("|--:|--:|---|---|---|");
        for (layer, w) in rows {
            let what = if w.detail.is_empty() {
                w.op.clone()
            } else {
                format!("{}: {}", w.op, w.detail)
            };
            line(&format!(
                "| {} | {} | {layer} | {} | {} |",
                words::offset(w.when.start, zero),
                show_dur(w.when.len()),
                escape(&words::thread(w)),
                escape(&what)
            ));
        }
        line("");
    }
}

fn tail(report: &Report<'_>, with_node: bool, line: &mut impl FnMut(&str)) {
    let a = report.analysis;
    let (groups, partly) = (words::unjudged(a), words::partly(a));
    if !groups.is_empty() || !partly.is_empty() {
        line("### Could not be judged");
        line("");
        for (_, reason, rules) in groups {
            let names: Vec<String> = rules.iter().map(|r| code(&r.name)).collect();
            line(&format!(
                "- {}: {}",
                escape(reason.trim_end_matches('.')),
                names.join(", ")
            ));
        }
        if !partly.is_empty() {
            line(&format!(
                "- judged for some, not for others: {}",
                escape(&partly.join(", "))
            ));
        }
        line("");
    }
    if !a.near_misses.is_empty() {
        line("### Near misses");
        line("");
        for m in a.near_misses.iter().take(5) {
            line(&format!(
                "- {} {}: {}",
                code(&m.rule),
                escape(&words::place(&m.key, with_node)),
                escape(&m.reason)
            ));
        }
        line("");
    }
    let contested = words::contested(a);
    if !contested.is_empty() {
        line("### Verdicts stored in the files that the evidence does not bear out");
        line("");
        for v in contested {
            line(&format!(
                "- {}: {} {}",
                code(&v.path),
                escape(&words::stored_head(v, with_node)),
                escape(&words::stored_body(v))
            ));
        }
        line("");
    }
    line("### Traces");
    line("");
    for t in &a.traces {
        line(&format!("- {}", escape(&words::coverage(t, report.window))));
        for note in &t.notes {
            line(&format!("  - {}", escape(note)));
        }
    }
    if report.window.is_some() {
        for text in words::only(a, "judged") {
            line(&format!("- {text}"));
        }
    }
    if let Some(text) = words::origin(a).filter(|_| !a.diagnoses.is_empty()) {
        line(&format!("- {}", escape(&text)));
    }
}

/// Text in which nothing is Markdown or HTML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '\\' | '`' | '*' | '_' | '|' | '[' | ']' | '#' | '~' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn code(text: &str) -> String {
    format!("`{}`", clean(text).replace(['`', '\n', '|'], "'"))
}
