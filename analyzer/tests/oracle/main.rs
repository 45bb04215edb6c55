//! The evaluator against one that is too simple to be wrong, on random traces and rules; and what
//! it says of a file that dropped calls or lost events against what the whole file shows.
//!
//! The default cases are the same in every run; `INGERO_ORACLE_CASES` asks for that many new ones.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]
#![allow(
    clippy::pedantic,
    reason = "as plain as the design text, which is what makes it an oracle"
)]

mod found;
mod naive;
mod rules;
mod scene;

use std::collections::BTreeMap;

use ingero::diagnosis::{Analysis, Measured};
use ingero::eval::{Options, analyze};
use ingero::lang;
use ingero::lang::hir::Program;
use ingero::plan;
use ingero::source::SourceFile;
use ingero::trace::Trace;
use ingero::trace::catalogue::Source;
use ingero::unit::{MS, Num, US};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use naive::{Naive, Truth, Value, Who};
use rules::{Pred, Rule};
use scene::{Kind, Lossy, Storage};

fn config() -> ProptestConfig {
    let more = std::env::var("INGERO_ORACLE_CASES").ok();
    let cases = more.as_ref().map_or(500, |n| n.parse().unwrap());
    ProptestConfig {
        cases,
        rng_seed: if more.is_some() {
            RngSeed::Random
        } else {
            RngSeed::Fixed(20_261_124)
        },
        failure_persistence: None,
        max_global_rejects: cases * 20,
        max_shrink_iters: 3000,
        ..ProptestConfig::default()
    }
}

fn program(rule: &Rule) -> Program {
    let out = lang::compile(&[SourceFile::new("t.rules", rule.text())], &[]);
    assert!(
        !out.has_errors(),
        "{}",
        lang::render::plain(&out.diagnostics, &out.program.files)
    );
    out.program
}

fn kind(name: &str) -> Kind {
    let all = [
        Kind::Launch,
        Kind::Malloc,
        Kind::Memcpy,
        Kind::Sync,
        Kind::CuLaunch,
        Kind::Read,
        Kind::Write,
        Kind::Send,
    ];
    all.into_iter().find(|k| k.op().def().name == name).unwrap()
}

/// What the evaluator says for each key: `R` fires where the rule is true, `N` where it is false.
fn verdicts(analysis: &Analysis, rule: &Rule) -> BTreeMap<Who, Truth> {
    let mut out = BTreeMap::new();
    for d in &analysis.diagnoses {
        let who = verdict_key(d, rule);
        let truth = if d.rule == "R" { Truth::True } else { Truth::False };
        assert_eq!(out.insert(who, truth), None, "one verdict for {who:?}");
    }
    out
}

fn judge(trace: &Trace, rule: &Rule) -> (Analysis, BTreeMap<Who, Truth>) {
    let analysis = analyze(&program(rule), trace, Options::default());
    let verdicts = verdicts(&analysis, rule);
    (analysis, verdicts)
}

fn show(scene: &scene::Scene) -> String {
    let mut lines: Vec<String> = scene
        .events
        .iter()
        .map(|e| {
            format!(
                "{:>9} +{:<9} {} {:?} b={} k={} on={}/{} s={} w={} {}{}",
                (e.start - scene::EPOCH) / US,
                e.dur / US,
                e.tid,
                e.kind,
                e.bytes,
                e.kernel,
                e.stream,
                e.gpu,
                e.state,
                (e.woken - e.start) / US,
                if e.nested { "nested " } else { "" },
                if e.first_use { "first" } else { "" },
            )
        })
        .collect();
    lines.push(format!(
        "{:?} {:?} {:?} {:?}",
        scene.procs, scene.names, scene.forks, scene.rolled
    ));
    lines.join("\n")
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_evaluator_agrees_with_the_naive_one(scene in scene::scene(), rule in rules::rule(true)) {
        prop_assume!(!scene.events.is_empty());
        let trace = scene::trace(&scene, Storage::Whole, None);
        let (analysis, got) = judge(&trace, &rule);
        let naive = Naive::new(&scene, &rule);
        let want = naive.judge();
        let decided: BTreeMap<Who, Truth> =
            want.iter().filter(|(_, t)| **t != Truth::Unknown).map(|(w, t)| (*w, *t)).collect();
        let unknown = want.len() - decided.len();
        prop_assert_eq!(&got, &decided, "\n{}\n{}", rule.text(), show(&scene));
        let result = &analysis.rules[0];
        prop_assert_eq!(result.keys, (want.len(), unknown), "{}\n{:?}\n{}", rule.text(), result, show(&scene));
        // Values shown are the true ones.
        for d in analysis.diagnoses.iter().filter(|d| d.rule == "R") {
            let who = verdict_key(d, &rule);
            let mut shown = Vec::new();
            naive.shown(&rule.cond, who, &mut shown);
            for (text, relation, value) in shown {
                let Value::Exact(n, q) = value else { continue };
                let want = Measured::Exact(Num::ratio(n, q).unwrap());
                let found = d.evidence.iter().any(|e| e.text.starts_with(&text) && e.relation == relation && e.value == want);
                let said: Vec<_> = d.evidence.iter().map(|e| (&e.text, &e.relation, &e.value)).collect();
                prop_assert!(found, "{text} {relation} {want:?} is not in {said:?}\n{}", show(&scene));
            }
        }
    }

    #[test]
    fn what_a_rule_does_not_ask_for_changes_nothing(scene in scene::scene(), rule in rules::rule(true)) {
        prop_assume!(!scene.events.is_empty());
        let program = program(&rule);
        let whole = scene::trace(&scene, Storage::Whole, None);
        let mut needs = plan::asked(&program);
        let part = loop {
            let part = scene::trace_with(&scene, Storage::Whole, None, &needs);
            let before = needs.lanes.len();
            needs.lanes.extend(&part.torn);
            if needs.lanes.len() == before {
                break part;
            }
        };
        let said = |trace: &Trace| {
            let a = analyze(&program, trace, Options::default());
            format!("{:#?}\n{:#?}\n{:#?}", a.rules, a.diagnoses, a.near_misses)
        };
        let (all, some) = (said(&whole), said(&part));
        prop_assert!(all == some, "{}\n{}\n{all}\nnot\n{some}", rule.text(), show(&scene));
    }

    #[test]
    fn what_was_dropped_changes_no_verdict(
        scene in scene::scene(),
        rule in rules::rule(false),
        (how, lossy) in storage(),
    ) {
        let scene = scene::with_ends(scene);
        let agent = matches!(how, Storage::Agent(_));
        prop_assume!(!agent || !rule.text().contains("sched"));
        let all = if agent { Storage::AgentWhole } else { Storage::Whole };
        let (whole, truth) = judge(&scene::trace(&scene, all, None), &rule);
        let (some, got) = judge(&scene::trace(&scene, how, lossy), &rule);
        let how = format!("{how:?} {lossy:?}");
        for (who, verdict) in &got {
            // A key without any event of the kind is not judged at all in the whole trace.
            if let Some(true_one) = truth.get(who) {
                prop_assert_eq!(verdict, true_one, "{:?} {}\n{}\n{}", who, how, rule.text(), show(&scene));
            } else if rule.key != rules::Key::Tid {
                let unknown = whole.rules[0].keys.1;
                prop_assert!(
                    unknown > 0 || *verdict == Truth::False || whole.rules[0].keys.0 == 0,
                    "{:?} is {:?} {}\n{}\n{}", who, verdict, how, rule.text(), show(&scene)
                );
            }
        }
        // What is true of the whole trace may be unknown, never denied by silence. Nobody counts for whom
        // events were lost.
        let silent = |w: &Who, t: &Truth| *t == Truth::True && !got.contains_key(w) && lossy.is_none();
        for (who, _) in truth.iter().filter(|(w, t)| silent(w, t)) {
            let status = some.rules[0].status.name();
            prop_assert!(
                some.rules[0].keys.1 > 0 || status == "unknown" || status == "not_applicable",
                "{:?} is true and {} {}\n{}\n{}", who, status, how, rule.text(), show(&scene)
            );
        }
        for d in some.diagnoses.iter().filter(|d| d.rule == "R") {
            let same = whole.diagnoses.iter().find(|w| w.rule == "R" && w.key == d.key);
            for (a, b) in d.evidence.iter().zip(same.iter().flat_map(|w| &w.evidence)) {
                if matches!(rule.cond, Pred::Or(_)) || a.relation == "exists" || a.text.starts_with("sched") || a.text.contains("over") {
                    continue;
                }
                let Measured::Exact(v) = b.value else { continue };
                let inside = match a.value {
                    Measured::Exact(n) => n == v,
                    Measured::Between(lo, hi) => lo.is_none_or(|l| l <= v) && hi.is_none_or(|h| v <= h),
                    Measured::Unknown => true,
                };
                prop_assert!(inside, "{}: {:?} does not hold {v:?}, {how}\n{}", a.text, a.value, show(&scene));
            }
        }
    }
}

/// What is left out of a file.
fn storage() -> impl Strategy<Value = (Storage, Option<Lossy>)> {
    let least = prop::sample::select(vec![11 * US, 50 * US, 2 * MS, 20 * MS]).prop_map(Storage::Thresholds);
    let until = (0..200i64).prop_map(|n| Storage::Agent(scene::EPOCH + n * 10 * MS));
    let source = prop::sample::select(vec![
        Source::Cuda,
        Source::Driver,
        Source::Sched,
        Source::Io,
        Source::Net,
    ]);
    let lossy = (source, 0..4i64).prop_map(|(source, second)| Lossy { source, second });
    prop_oneof![
        3 => least.clone().prop_map(|l| (l, None)),
        1 => (least, lossy.clone()).prop_map(|(l, lossy)| (l, Some(lossy))),
        2 => lossy.prop_map(|lossy| (Storage::Whole, Some(lossy))),
        2 => until.prop_map(|u| (u, None)),
    ]
}

fn verdict_key(d: &ingero::diagnosis::Diagnosis, rule: &Rule) -> Who {
    let node: i64 = d.key.node[1..].parse().unwrap();
    let id = |id: Option<i64>| id.map(|id| id + 1000 * node);
    let value = |name: &str| {
        let (_, text) = d.key.more.iter().find(|(n, _)| n == name).unwrap();
        // Calls of some kinds have none.
        Some(text.parse().unwrap_or(-1))
    };
    let who = Who {
        node: Some(node),
        ..Who::default()
    };
    let pid = Who {
        pid: id(d.key.pid),
        ..who
    };
    match rule.key {
        rules::Key::Node => who,
        rules::Key::Pid => pid,
        rules::Key::Tid => Who {
            tid: id(d.key.tid),
            ..pid
        },
        rules::Key::PidOp => Who {
            kind: d.key.op.as_deref().map(kind),
            ..pid
        },
        rules::Key::PidStream => Who {
            stream: value("stream"),
            ..pid
        },
        rules::Key::PidGpu => Who {
            gpu: value("gpu"),
            ..pid
        },
        rules::Key::Process => {
            let name = d.key.process.as_deref();
            Who {
                name: ["one", "other"].into_iter().find(|n| name == Some(n)),
                ..who
            }
        }
        rules::Key::Tree => Who {
            tree: id(d.key.pid),
            ..who
        },
    }
}
