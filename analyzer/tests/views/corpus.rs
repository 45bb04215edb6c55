//! The labelled corpus: each rule speaks above its threshold and is quiet below it, in its twins and in
//! healthy traces, whatever else goes on in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::OnceLock;

use ingero::simulate::corpus::{Case, CaseKind, cases, create};
use serde_json::Value;

use crate::{ingero, stdout};

/// Rules without a case, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "HOST_MEM_CREEP",
        "needs a quarter of an hour; its in-file tests have it",
    ),
    (
        "WORKER_RESPAWN",
        "workers of a scene cannot be started anew; only its in-file tests",
    ),
    (
        "SERVER_OVERLOAD",
        "no scene with a queue of requests; only its in-file tests",
    ),
    (
        "ENGINE_DEAD",
        "no scene whose engine ends before its requests; only its in-file tests",
    ),
];

/// The score of all cases, as JSON: each trace is written and judged once.
fn score() -> &'static Value {
    static SCORE: OnceLock<Value> = OnceLock::new();
    SCORE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_str().unwrap();
        let said = stdout(&mut ingero(&["simulate", "corpus", "-o", folder]));
        assert!(said.contains(&format!("{} traces", cases().len())), "{said}");
        let judged = stdout(&mut ingero(&["bench-truth", "--format", "json", folder]));
        serde_json::from_str(&judged).unwrap()
    })
}

/// What was named in the trace of a case: rules with their severities, by rank.
fn named(case: &Case) -> Vec<(&'static str, &'static str)> {
    let traces = score()["traces"].as_array().unwrap();
    let file = format!("/{}.db", case.name);
    let trace = traces.iter().find(|t| t["trace"].as_str().unwrap().ends_with(&file));
    let findings = trace.unwrap()["named"].as_array().unwrap();
    let text = |v: &'static Value| v.as_str().unwrap();
    findings
        .iter()
        .map(|n| (text(&n["rule"]), text(&n["severity"])))
        .collect()
}

fn severity(case: &Case, rule: &str) -> Option<&'static str> {
    named(case).into_iter().find(|n| n.0 == rule).map(|n| n.1)
}

#[test]
fn every_rule_has_a_positive_and_a_twin() {
    let rules = score()["rules"].as_array().unwrap().iter();
    let shipped: Vec<&str> = rules
        .filter(|r| r["exists"] == true)
        .map(|r| r["rule"].as_str().unwrap())
        .collect();
    assert!(shipped.len() > 40, "{} rules", shipped.len());
    let of = |kind| -> BTreeSet<&str> {
        let cases = cases().into_iter().filter(|c| c.kind == kind);
        cases.filter_map(|c| c.rule).collect()
    };
    let (positive, twin) = (of(CaseKind::Positive), of(CaseKind::Twin));
    for name in &shipped {
        let covered = positive.contains(name) && twin.contains(name);
        let excepted = EXCEPTIONS.iter().any(|e| e.0 == *name);
        assert!(
            covered || excepted,
            "{name}: no positive and twin in src/simulate/corpus, see WRITING-RULES.md"
        );
        assert!(!(covered && excepted), "{name} has its cases and is no exception");
    }
    for rule in positive.iter().chain(&twin) {
        assert!(shipped.contains(rule), "there is no rule {rule}");
    }
    assert!(
        EXCEPTIONS
            .iter()
            .all(|(rule, why)| shipped.contains(rule) && !why.is_empty())
    );
}

#[test]
fn rules_speak_above_their_threshold_and_are_quiet_below_it() {
    for case in cases() {
        let Some(rule) = case.rule else { continue };
        let said = severity(&case, rule);
        match case.kind {
            CaseKind::Positive => assert!(said.is_some(), "{}: {:?}", case.name, named(&case)),
            // At any severity: what is only worth knowing must be so, too.
            CaseKind::Below | CaseKind::Twin => assert_eq!(said, None, "{}: {}", case.name, case.about),
            CaseKind::At | CaseKind::Healthy => {}
        }
    }
}

#[test]
fn the_bars_are_met() {
    let score = score();
    assert_eq!(score["labelled"].as_u64().unwrap(), cases().len() as u64);
    let healthy = cases().iter().filter(|c| c.kind == CaseKind::Healthy).count() as u64;
    assert!(healthy >= 30, "{healthy}");
    assert_eq!(score["healthy"]["traces"], healthy);
    assert_eq!(score["healthy"]["findings"], 0);
    let rate = |v: &Value| v.as_f64().unwrap();
    assert!(rate(&score["total"]["precision"]) >= 0.98, "{:#}", score["wrong"]);
    assert!(rate(&score["total"]["recall"]) >= 0.95, "{:#}", score["wrong"]);
    assert!(rate(&score["primary"]["rate"]) >= 0.95, "{:#}", score["wrong"]);
}

/// What every case comes to, as it is committed: a line a rule. What else is named as LOW or above stands
/// behind a plus.
#[test]
fn the_verdicts_are_the_committed_ones() {
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    for case in cases() {
        let (line, label) = match case.rule {
            Some(rule) => {
                let prefix = rule.to_ascii_lowercase().replace('_', "-");
                (rule.to_owned(), case.name[prefix.len() + 1..].to_owned())
            }
            None => ("healthy".to_owned(), case.name.clone()),
        };
        let said = case.rule.and_then(|rule| severity(&case, rule)).unwrap_or("quiet");
        let text = lines.entry(line).or_default();
        let _ = write!(text, "\n  {label}: {said}");
        for (rule, severity) in named(&case) {
            if Some(rule) != case.rule && severity != "info" {
                let _ = write!(text, " + {rule} {severity}");
            }
        }
    }
    let mut all = String::new();
    for (rule, text) in lines {
        let _ = writeln!(all, "{rule}{text}");
    }
    insta::assert_snapshot!(all);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let dir = tempfile::tempdir().unwrap();
    let chosen = [
        "sync-bound-1.2",
        "hol-blocking-1.2",
        "nccl-small-messages-1.2",
        "n23-sampler",
    ];
    for case in cases().iter().filter(|c| chosen.contains(&c.name.as_str())) {
        let bytes = |seed: u64, file: &str| {
            let path = dir.path().join(file);
            create(case, seed, &path, true).unwrap();
            std::fs::read(&path).unwrap()
        };
        let first = bytes(1, "a.db");
        assert!(first == bytes(1, "b.db"), "{}", case.name);
        assert!(first != bytes(2, "c.db"), "{}", case.name);
    }
}

#[test]
fn the_corpus_is_written_in_parts_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("new/corpus");
    let folder = folder.to_str().unwrap();
    let args = ["simulate", "corpus", "--rule", "XID_ERROR", "-o", folder];
    let said = stdout(&mut ingero(&args));
    assert!(said.contains("2 traces"), "{said}");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 2);
    // What is there is kept.
    ingero(&args).assert().code(2);
    let listed = stdout(&mut ingero(&["simulate", "corpus", "--list"]));
    assert_eq!(listed.lines().count(), cases().len());
    let mut names: Vec<&str> = listed.lines().map(|l| l.split(' ').next().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cases().len(), "each has its name");

    let failed = |args: &[&str]| {
        let out = ingero(args).assert().code(2).get_output().stderr.clone();
        String::from_utf8(out).unwrap()
    };
    let err = failed(&["simulate", "corpus", "--rule", "NO_SUCH", "-o", folder]);
    assert!(err.contains("no case of `NO_SUCH`") && err.contains("--list"), "{err}");
    let err = failed(&["simulate", "hol-blocking", "--rule", "XID_ERROR", "-o", folder]);
    assert!(err.contains("--rule chooses"), "{err}");
}
