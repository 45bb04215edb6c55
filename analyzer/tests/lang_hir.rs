//! What rules become: the parts that the evaluator relies on.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use ingero::lang::hir::{Base, CmpOp, Cond, Filter, Metric, MetricKind, Program, Segment, Stat, Value};
use ingero::lang::{compile, render};
use ingero::source::SourceFile;
use ingero::trace::catalogue::{Field, Key, State};
use ingero::unit::{Dim, Num};

fn program(text: &str) -> Program {
    let out = compile(&[SourceFile::new("t.rules", text)], &[]);
    assert!(
        !out.has_errors(),
        "{}",
        render::plain(&out.diagnostics, &out.program.files)
    );
    out.program
}

fn metric<'a>(p: &'a Program, v: &Value) -> &'a Metric {
    match v {
        Value::Metric(id) => &p.metrics[id.0 as usize],
        Value::Arith(_, a, b) => match (&**a, &**b) {
            (Value::Metric(_), _) => metric(p, a),
            _ => metric(p, b),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_line_of_the_design_is_a_group_of_two() {
    let p = program("when cuda.p99 > 5*p50 and sched.off_cpu(pid) > 1s within 100ms => HOL_BLOCKING");
    let r = &p.rules[0];
    assert_eq!(r.key, [Key::Node, Key::Pid, Key::Op]);
    let Cond::Within { terms, within_ns, .. } = &r.cond else {
        panic!("{:?}", r.cond)
    };
    assert_eq!(*within_ns, 100_000_000);
    let [
        Cond::Compare { left, right, dim, .. },
        Cond::State { sel, op, bound, .. },
    ] = terms.as_slice()
    else {
        panic!("{terms:?}")
    };
    assert_eq!(*dim, Dim::TIME);
    assert_eq!(metric(&p, left).text, "cuda.p99");
    assert_eq!(metric(&p, right).text, "cuda.p50");
    assert_eq!(metric(&p, right).key, r.key);
    assert_eq!((&sel.base, *op), (&Base::State(State::OffCpu), CmpOp::Gt));
    assert_eq!(*bound, Value::Num(Num::int(1_000_000_000)));
}

#[test]
fn equal_metrics_of_all_rules_are_one() {
    let p = program("when cuda.launch.p99 > 5ms => A\nwhen cuda.launch.p99 > 3*p50 and cuda.launch.p50 > 1ms => B");
    assert_eq!(p.metrics.len(), 2);
    let p = program("when cuda.launch.p99 > 5ms => A { min_count 20 }\nwhen cuda.launch.p99 > 5ms => B");
    assert_eq!(p.metrics.len(), 2, "other needs make another metric");
}

#[test]
fn a_statistic_in_a_filter_sees_the_filters_before_it() {
    let p = program("when cuda.launch[not first_use, duration > 3*p50].count > 5 => A");
    let MetricKind::Stat {
        sel,
        stat: Stat::Pct(50, 100),
        ..
    } = &p.metrics[0].kind
    else {
        panic!("{:?}", p.metrics[0])
    };
    assert_eq!(sel.filters, [Filter::Not(Box::new(Filter::Flag(Field::FirstUse)))]);
    assert_eq!(p.metrics[0].text, "cuda.launch[not first_use].p50");
}

#[test]
fn counts_need_no_samples_and_percentiles_do() {
    let p = program("when cuda.launch.count > 3 and cuda.launch.p99 > 5ms and drop(cuda.launch.rate) > 50% => A");
    let needs: Vec<u64> = p.metrics.iter().map(|m| m.min_count).collect();
    assert_eq!(needs, [0, 10, 10]);
}

#[test]
fn a_segment_of_its_own_drops_the_window() {
    let p = program("when cuda.sync.p99 over 5s > 3*p50@first_half => A");
    let kinds: Vec<_> = p
        .metrics
        .iter()
        .map(|m| match &m.kind {
            MetricKind::Stat { segment, over, .. } => (*segment, over.map(|w| w.len_ns)),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        kinds,
        [(Segment::Trace, Some(5_000_000_000)), (Segment::FirstHalf, None)]
    );
}

#[test]
fn a_command_line_value_replaces_the_default() {
    let file = SourceFile::new(
        "t.rules",
        "param slow: Duration = 5ms range 1ms..1s\nwhen cuda.launch.p99 > slow => A",
    );
    let sets = [("slow".to_owned(), "7ms".to_owned())];
    let out = compile(&[file], &sets);
    assert!(out.diagnostics.is_empty());
    let Cond::Compare { right, .. } = &out.program.rules[0].cond else {
        panic!()
    };
    assert_eq!(*right, Value::Num(Num::int(7_000_000)));
}

#[test]
fn rules_of_several_files_are_one_program() {
    let files = [
        SourceFile::new("a.rules", "let slow = 5ms\nwhen cuda.launch.p99 > slow => A"),
        SourceFile::new(
            "b.rules",
            "when mem.oom => A\nwhen cuda.launch.p99 > slow => B\ntest \"t\" for A { expect quiet }",
        ),
    ];
    let out = compile(&files, &[]);
    let codes: Vec<&str> = out.diagnostics.iter().map(|d| d.code.as_str()).collect();
    assert_eq!(
        codes,
        ["E0308", "E0301"],
        "names are those of their file; rules are shared"
    );
    assert_eq!(out.program.rules.len(), 1);
    assert_eq!(out.program.tests.len(), 1);
}

#[test]
fn codes_are_unique_and_miette_shows_them() {
    use ingero::lang::diagnostic::Code;
    let mut codes: Vec<&str> = Code::ALL.iter().map(|c| c.as_str()).collect();
    let n = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), n);
    let out = compile(&[SourceFile::new("t.rules", "when cuda.launhc.p99 > 5 => A")], &[]);
    let shown = render::fancy(&out.diagnostics, &out.program.files, 80, false);
    assert!(
        shown.contains("E0302") && shown.contains("t.rules:1:11") && shown.contains("launch"),
        "{shown}"
    );
}
