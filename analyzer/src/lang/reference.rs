//! The reference: everything that rules can ask for, as Markdown.

use std::fmt::Write as _;

use super::words::{self, Word};
use crate::trace::catalogue::{Anchor, FIELDS, FieldType, Key, Op, OpDef, Source, State};

/// The whole reference.
pub fn markdown() -> String {
    let mut out = String::from(
        "# What rules can ask for\n\nMade by `ingero rules doc` from the catalogue; a test keeps it current. \
         [GRAMMAR.md](GRAMMAR.md) says how it is written.\n\nA metric is \
         `source[.operation][filter][(keys)][.statistic][@segment]`: `cuda.launch[not first_use].p99@steady`.\n\
         \n## Sources and operations\n",
    );
    for source in Source::ALL {
        one_source(&mut out, source);
    }
    measured(&mut out, "Statistics", &words::statistics());
    measured(&mut out, "Functions", &words::functions());
    fields(&mut out);
    keys(&mut out);
    head(&mut out, "Segments", &["segment", "what it is"]);
    for w in words::segments() {
        row(&mut out, &[&format!("`@{}`", w.name), &w.about]);
    }
    out
}

fn one_source(out: &mut String, source: Source) {
    let _ = writeln!(out, "\n### {}\n\n{}.", source.name(), about(source));
    if matches!(source, Source::System | Source::Trace) {
        table(out, &["column", "value", "what it is"]);
        for w in words::operations(source) {
            row(out, &[&format!("`{}`", w.name), &w.detail(), &w.about]);
        }
        return;
    }
    let own: Vec<&OpDef> = Op::all().map(Op::def).filter(|d| d.source == source).collect();
    if own.is_empty() {
        return;
    }
    table(out, &["operation", "families", "timestamp", "what it is"]);
    for d in own {
        let anchor = match d.anchor {
            Anchor::Start => "its start",
            Anchor::End => "its end",
            Anchor::Derived => "derived",
        };
        let families: Vec<String> = d.families.iter().map(|f| format!("`{f}`")).collect();
        row(out, &[&format!("`{}`", d.name), &families.join(" "), anchor, d.about]);
    }
    if source == Source::Sched {
        let states = words::operations(source);
        table(out, &["measure", "what it is"]);
        for w in states.iter().filter(|w| State::by_name(&w.name).is_some()) {
            row(out, &[&format!("`sched.{}`", w.name), &w.about]);
        }
    }
}

/// A source in one sentence, without its full stop.
fn about(s: Source) -> &'static str {
    match s {
        Source::Cuda => "Calls of the CUDA runtime",
        Source::Driver => "Calls of the CUDA driver",
        Source::Graph => "Calls for CUDA graphs",
        Source::Gpu => "The view across `cuda`, `driver` and `graph`: a driver call inside a runtime call counts once",
        Source::Sched => "Time a thread was not on a CPU, and its parts",
        Source::Mem => "Memory of the host",
        Source::Process => "Life of processes, and what the reader derives from it",
        Source::Io => "Requests of block devices",
        Source::Tcp => "TCP",
        Source::Net => "Calls on sockets",
        Source::Nccl => "Calls of NCCL",
        Source::Xid => "Errors that the GPU driver reports",
        Source::System => "Snapshots of the host, one a second",
        Source::Request => "Requests, from annotations",
        Source::Annotation => "Steps and other labelled stretches, from annotations",
        Source::Trace => "Facts about the recording itself",
    }
}

fn measured(out: &mut String, title: &str, list: &[Word]) {
    head(out, title, &["word", "value", "what it is"]);
    for w in list {
        let value = if w.unit.is_empty() {
            "events".to_owned()
        } else {
            w.detail()
        };
        row(out, &[&format!("`{}`", w.name), &value, &w.about]);
    }
}

fn fields(out: &mut String) {
    head(out, "Fields", &["field", "holds", "on", "what it is"]);
    for d in FIELDS {
        let holds = match d.ty {
            FieldType::Num(dim) => words::unit_name(dim).to_owned(),
            FieldType::Id => "an id".to_owned(),
            FieldType::Enum(words) => words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(" "),
            FieldType::Text => "text".to_owned(),
            FieldType::Flag => "yes or no".to_owned(),
        };
        row(
            out,
            &[&format!("`{}`", d.name), &holds, &on(|s| d.field.on(s)), d.about],
        );
    }
}

fn keys(out: &mut String) {
    head(out, "Keys", &["key", "on"]);
    for (key, name) in Key::ALL {
        row(out, &[&format!("`{name}`"), &on(|s| key.on(s))]);
    }
}

/// Names of the sources for which something holds.
fn on(holds: impl Fn(Source) -> bool) -> String {
    let all = Source::ALL.into_iter().filter(|s| holds(*s));
    all.map(Source::name).collect::<Vec<_>>().join(" ")
}

fn head(out: &mut String, title: &str, columns: &[&str]) {
    let _ = writeln!(out, "\n## {title}");
    table(out, columns);
}

fn table(out: &mut String, columns: &[&str]) {
    out.push('\n');
    row(out, columns);
    let _ = writeln!(out, "|{}", "---|".repeat(columns.len()));
}

fn row(out: &mut String, cells: &[&str]) {
    let cells: Vec<String> = cells.iter().map(|c| c.replace('|', "\\|")).collect();
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_rules_can_ask_for_is_without_a_description() {
        for d in Op::all().map(Op::def) {
            assert!(!d.about.is_empty(), "{} has no description", d.name);
        }
        for d in FIELDS {
            assert!(!d.about.is_empty(), "{} has no description", d.name);
        }
        let listed = [words::statistics(), words::functions(), words::segments()];
        let columns = [Source::System, Source::Trace].map(words::operations);
        for w in listed.iter().chain(&columns).flatten() {
            assert!(!w.about.is_empty(), "{} has no description", w.name);
        }
    }
}
