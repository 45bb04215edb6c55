//! What a trace shows of each thing that rules ask for: whether it exists, how completely it was
//! stored, and how many rows looking at it takes.

use std::collections::{BTreeMap, BTreeSet};

use crate::lang::hir::{Base, Cond, MetricKind, Program, Rule, Selector, Stat};
use crate::lang::walk;
use crate::trace::catalogue::{Field, Op, Source, State};
use crate::trace::{Lane, Rows, ThreadIdx, Trace, coverage};
use crate::unit::{Dim, Num, Style, show};

/// A metric or a bare selection of some rules, and what a trace shows of it.
#[derive(Clone, Debug)]
pub struct Sight {
    /// As written.
    pub text: String,
    /// The rules that ask for it.
    pub rules: Vec<String>,
    /// What it speaks of, each with what is there of it.
    pub parts: Vec<(String, Seen)>,
    /// Columns that it needs and that hold nothing in this trace.
    pub missing_columns: Vec<&'static str>,
    /// Rows that are looked at.
    pub rows: u64,
}

/// What is there of an operation or a column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// Rows, and every event is one.
    Complete(u64),
    /// Rows, and every event is one only in parts of the time.
    Windows(u64),
    /// Rows, and only the slow events are any.
    Slow(u64),
    /// Watched, and nothing happened.
    Nothing,
    /// The trace does not observe it.
    Unobserved,
}

impl Seen {
    /// In words: `5,000 rows, complete`.
    pub fn words(&self) -> String {
        let rows = |n: u64| match n {
            1 => "1 row".to_owned(),
            n => format!("{} rows", show(Num::int(n.into()), Dim::NONE, Style::Auto)),
        };
        match self {
            Self::Complete(n) => format!("{}, complete", rows(*n)),
            Self::Windows(n) => format!("{}, complete in parts of the time", rows(*n)),
            Self::Slow(n) => format!("{}, slow ones only", rows(*n)),
            Self::Nothing => "watched, none seen".to_owned(),
            Self::Unobserved => "not observed".to_owned(),
        }
    }
}

/// What the trace shows of everything that the conditions of a program ask for, in the order of its
/// rules.
pub fn sights(program: &Program, trace: &Trace) -> Vec<Sight> {
    let mut out: Vec<Sight> = Vec::new();
    let mut add = |rule: &Rule, sight: Sight| match out.iter_mut().find(|s| s.text == sight.text) {
        Some(known) => {
            if !known.rules.contains(&rule.name) {
                known.rules.push(rule.name.clone());
            }
        }
        None => out.push(Sight {
            rules: vec![rule.name.clone()],
            ..sight
        }),
    };
    for rule in &program.rules {
        for leaf in walk::leaves(&rule.cond) {
            if let Cond::Exists { sel, .. } | Cond::State { sel, .. } = leaf {
                add(
                    rule,
                    of_selectors(trace, walk::words(program, rule, leaf), &[sel], None),
                );
            }
        }
        let mut ids = Vec::new();
        walk::cond_metrics(&rule.cond, &mut ids);
        for m in ids.iter().filter_map(|id| program.metrics.get(id.0 as usize)) {
            let text = m.text.clone();
            let sight = match &m.kind {
                MetricKind::System { field, .. } => {
                    let n = trace
                        .nodes
                        .iter()
                        .flat_map(|n| n.snapshots.iter().map(|s| s.field(*field, n.cores)))
                        .flatten()
                        .count() as u64;
                    let seen = if n == 0 { Seen::Unobserved } else { Seen::Complete(n) };
                    whole(text, format!("system.{}", field.def().0), seen, n)
                }
                MetricKind::Fact(fact) => whole(text, format!("trace.{}", fact.def().0), Seen::Complete(1), 0),
                kind => {
                    let distinct = match kind {
                        MetricKind::Stat {
                            stat: Stat::Distinct(f),
                            ..
                        } => Some(*f),
                        _ => None,
                    };
                    of_selectors(trace, text, &walk::selectors_of(kind), distinct)
                }
            };
            add(rule, sight);
        }
    }
    out
}

fn whole(text: String, what: String, seen: Seen, rows: u64) -> Sight {
    Sight {
        text,
        rules: Vec::new(),
        parts: vec![(what, seen)],
        missing_columns: Vec::new(),
        rows,
    }
}

fn of_selectors(trace: &Trace, text: String, sels: &[&Selector], extra: Option<Field>) -> Sight {
    let mut parts: BTreeMap<String, Seen> = BTreeMap::new();
    let mut columns: BTreeSet<&'static str> = BTreeSet::new();
    let mut ops: BTreeSet<Op> = BTreeSet::new();
    for sel in sels {
        for (name, op, state) in asked(sel) {
            parts.insert(name, seen(trace, op, state));
            ops.insert(op);
        }
        let mut fields: BTreeSet<Field> = extra.into_iter().collect();
        sel.filters.iter().for_each(|f| walk::fields(f, &mut fields));
        columns.extend(fields.into_iter().filter(|f| !there(trace, *f)).map(|f| f.def().name));
    }
    let rows = lanes(trace)
        .filter(|l| ops.contains(&l.op))
        .map(|l| l.len() as u64)
        .sum();
    Sight {
        text,
        rules: Vec::new(),
        parts: parts.into_iter().collect(),
        missing_columns: columns.into_iter().collect(),
        rows,
    }
}

/// Operations that a selection looks at, by the name to show.
fn asked(sel: &Selector) -> Vec<(String, Op, Option<State>)> {
    let named = |op: &Op| (op.def().name.to_owned(), *op, None);
    match &sel.base {
        Base::Ops(ops) => ops.iter().map(named).collect(),
        Base::State(s) => Op::family(Source::Sched, "off_cpu")
            .into_iter()
            .map(|op| (format!("sched.{}", s.name()), op, Some(*s)))
            .collect(),
        Base::Gap(x) | Base::DrainedGap(x) | Base::Slump(x) => asked(x),
        Base::BusySeconds => Op::family(Source::Gpu, "launch").iter().map(named).collect(),
    }
}

fn lanes(trace: &Trace) -> impl Iterator<Item = &Lane> {
    trace.lanes.iter().filter(|l| !l.is_empty())
}

/// What the trace holds of an operation, the worst of its threads deciding.
fn seen(trace: &Trace, op: Op, state: Option<State>) -> Seen {
    if state.is_some_and(|s| s != State::OffCpu) && !trace.nodes.iter().any(|n| n.run_state) {
        return Seen::Unobserved;
    }
    let with_rows: Vec<&Lane> = lanes(trace).filter(|l| l.op == op).collect();
    let n = with_rows.iter().map(|l| l.len() as u64).sum();
    let kinds: Vec<Rows> = if with_rows.is_empty() {
        (0u32..)
            .take(trace.threads.len())
            .map(|t| coverage::rows(trace, ThreadIdx(t), op))
            .collect()
    } else {
        with_rows.iter().map(|l| coverage::rows(trace, l.thread, op)).collect()
    };
    if with_rows.is_empty() {
        let watched = kinds.iter().any(|k| *k != Rows::Unobserved);
        return if watched { Seen::Nothing } else { Seen::Unobserved };
    }
    if kinds.iter().all(|k| *k == Rows::Complete) {
        Seen::Complete(n)
    } else if kinds.iter().any(|k| matches!(k, Rows::AtLeast(_))) {
        Seen::Slow(n)
    } else {
        Seen::Windows(n)
    }
}

/// Whether any row of the trace holds something in a field's column.
fn there(trace: &Trace, field: Field) -> bool {
    let any = |f: fn(&Lane) -> bool| lanes(trace).any(f);
    match field {
        Field::Bytes | Field::SizeClass => any(|l| !l.bytes.is_empty()),
        Field::Direction => any(|l| !l.direction.is_empty()),
        Field::Stream => any(|l| !l.stream.is_empty()),
        Field::Gpu => any(|l| !l.gpu.is_empty()),
        Field::Rank => any(|l| l.rank.iter().any(|r| *r >= 0)),
        Field::Cgroup => any(|l| !l.cgroup.is_empty()),
        Field::Preemptor => trace.nodes.iter().any(|n| n.preemptor),
        Field::PromptTokens => any(|l| l.prompt_tokens.iter().any(|t| *t >= 0)),
        Field::OutputTokens => any(|l| l.output_tokens.iter().any(|t| *t >= 0)),
        Field::Choices => any(|l| l.choices.iter().any(|t| *t >= 0)),
        Field::Logprobs => any(|l| l.logprobs.iter().any(|t| *t >= 0)),
        Field::Frontend => trace.processes.iter().any(|p| p.frontend.is_some()),
        Field::BehindHeavier | Field::NHeavier => any(|l| l.behind_heavier.iter().any(|t| *t >= 0)),
        Field::InRequest => any(|l| l.op.def().source == Source::Request),
        Field::Xid => any(|l| !l.xid.is_empty()),
        Field::LongestReturned => any(|l| l.longest_returned.iter().any(|t| *t >= 0)),
        Field::Throttled => trace.processes.iter().any(|p| p.limits_known),
        // Known for every row, or derived from what is.
        _ => true,
    }
}
