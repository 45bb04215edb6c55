//! The evaluator against one that is too simple to be wrong, on random traces and rules; and what
//! it says of a file that dropped short calls against what the whole file shows.
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
use ingero::source::SourceFile;
use ingero::trace::Trace;
use ingero::unit::{MS, Num, US};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use naive::{Naive, Truth, Value, Who};
use rules::{Pred, Rule};
use scene::Kind;

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
        let who = match rule.key {
            rules::Key::Node => (None, None, None),
            rules::Key::Pid => (d.key.pid, None, None),
            rules::Key::Tid => (d.key.pid, d.key.tid, None),
            rules::Key::PidOp => (d.key.pid, None, d.key.op.as_deref().map(kind)),
        };
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
                "{:>9} +{:<9} {} {:?} b={} k={} s={} w={} {}{}",
                (e.start - scene::EPOCH) / US,
                e.dur / US,
                e.tid,
                e.kind,
                e.bytes,
                e.kernel,
                e.state,
                (e.woken - e.start) / US,
                if e.nested { "nested " } else { "" },
                if e.first_use { "first" } else { "" },
            )
        })
        .collect();
    lines.push(format!("{:?}", scene.procs));
    lines.join("\n")
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_evaluator_agrees_with_the_naive_one(scene in scene::scene(), rule in rules::rule(true)) {
        prop_assume!(!scene.events.is_empty());
        let trace = scene::trace(&scene, None);
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
    fn what_was_dropped_changes_no_verdict(
        scene in scene::scene(),
        rule in rules::rule(false),
        least in prop::sample::select(vec![11 * US, 50 * US, 2 * MS, 20 * MS]),
    ) {
        let scene = scene::with_ends(scene);
        let (whole, truth) = judge(&scene::trace(&scene, None), &rule);
        let (some, got) = judge(&scene::trace(&scene, Some(least)), &rule);
        for (who, verdict) in &got {
            // A key without any event of the kind is not judged at all in the whole trace.
            if let Some(true_one) = truth.get(who) {
                prop_assert_eq!(verdict, true_one, "{:?} below {} us\n{}\n{}", who, least / US, rule.text(), show(&scene));
            } else if rule.key != rules::Key::Tid {
                let unknown = whole.rules[0].keys.1;
                prop_assert!(
                    unknown > 0 || *verdict == Truth::False || whole.rules[0].keys.0 == 0,
                    "{:?} is {:?} below {} us\n{}\n{}", who, verdict, least / US, rule.text(), show(&scene)
                );
            }
        }
        // What is true of the whole trace may be unknown, never denied by silence.
        for (who, _) in truth.iter().filter(|(w, t)| **t == Truth::True && !got.contains_key(w)) {
            let status = some.rules[0].status.name();
            prop_assert!(
                some.rules[0].keys.1 > 0 || status == "unknown" || status == "not_applicable",
                "{:?} is true and {} below {} us\n{}\n{}", who, status, least / US, rule.text(), show(&scene)
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
                prop_assert!(inside, "{}: {:?} does not hold {v:?}, below {} us\n{}", a.text, a.value, least / US, show(&scene));
            }
        }
    }
}

fn verdict_key(d: &ingero::diagnosis::Diagnosis, rule: &Rule) -> Who {
    match rule.key {
        rules::Key::Node => (None, None, None),
        rules::Key::Pid => (d.key.pid, None, None),
        rules::Key::Tid => (d.key.pid, d.key.tid, None),
        rules::Key::PidOp => (d.key.pid, None, d.key.op.as_deref().map(kind)),
    }
}
