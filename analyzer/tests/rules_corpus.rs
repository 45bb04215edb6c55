//! The rules that ship: each says what it finds and when it is wrong, and shows it with traces.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ingero::eval::{self, harness};
use ingero::lang::hir::{Outcome, Program, Rule, Test};
use ingero::lang::{self};
use ingero::source::SourceFile;

/// Rules without a case for missing data, and why they need none.
const NEVER_MISSING: [(&str, &str); 2] = [
    (
        "SAMPLED_RATES",
        "aggregates that are not there count nothing, so the number is always known",
    ),
    (
        "WARMUP_ONLY",
        "its facts are computed from whatever rows there are; without a GPU process it is quiet",
    ),
];

/// What the documentation of a rule has to say, in this order.
const SECTIONS: [&str; 5] = [
    "What it finds:",
    "Why it matters:",
    "How it decides:",
    "When it stays quiet:",
    "What to do:",
];

fn source(name: &str, text: &str) -> SourceFile {
    SourceFile {
        name: name.to_owned(),
        text: text.into(),
    }
}

/// `rules/*.rules`, by name.
fn shipped() -> Vec<SourceFile> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let mut files: Vec<SourceFile> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "rules"))
        .map(|path| {
            source(
                path.file_name().unwrap().to_str().unwrap(),
                &fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(files.len() >= 4, "{files:?}");
    files
}

fn expects(test: &Test, wanted: impl Fn(Outcome) -> bool) -> bool {
    test.expects.iter().any(|e| wanted(e.outcome))
}

fn fires(test: &Test) -> bool {
    expects(test, |o| matches!(o, Outcome::Fires(n) if n != Some(0)))
}

/// Everything that a corpus of rules lacks, one line each.
fn faults(files: &[SourceFile], never_missing: &[(&str, &str)]) -> Vec<String> {
    let compiled = lang::compile(files, &[]);
    let mut faults: Vec<String> = compiled
        .diagnostics
        .iter()
        .map(|d| lang::render::plain(std::slice::from_ref(d), &compiled.program.files))
        .collect();
    let program = compiled.program;
    let mut names = BTreeSet::new();
    for rule in &program.rules {
        let mut say = |what: String| faults.push(format!("{}: {what}", rule.name));
        if !names.insert(rule.name.clone()) {
            say("the name is taken".to_owned());
        }
        for (what, text) in [
            ("title", &rule.title),
            ("about", &rule.about),
            ("refuted_by", &rule.refuted_by),
        ] {
            if text.trim().is_empty() {
                say(format!("no {what}"));
            }
        }
        let places: Vec<Option<usize>> = SECTIONS.iter().map(|s| rule.about.find(s)).collect();
        if places.contains(&None) || !places.is_sorted() {
            say(format!("the documentation does not say {}", SECTIONS.join(" ")));
        }
        if rule.refs.iter().all(|r| r.trim().is_empty()) {
            say("no refs".to_owned());
        }
        let tests: Vec<&Test> = program.tests.iter().filter(|t| t.rule == rule.name).collect();
        let any = |wanted: fn(&Test) -> bool| tests.iter().any(|t| wanted(t));
        if !any(fires) {
            say("no test in which it fires".to_owned());
        }
        if !any(|t| expects(t, |o| o == Outcome::Quiet)) {
            say("no test in which it is quiet".to_owned());
        }
        let missing = any(|t| expects(t, |o| matches!(o, Outcome::Skipped | Outcome::Unknown)));
        let exempt = never_missing.iter().any(|(name, _)| *name == rule.name);
        if !missing && !exempt {
            say("no test without the data it needs".to_owned());
        }
        if missing && exempt {
            say("has a test without the data it needs, so it is no exception".to_owned());
        }
        for test in tests.iter().filter(|t| fires(t)) {
            for what in bad_words(files, &program, rule, test) {
                say(what);
            }
        }
    }
    for (name, _) in never_missing {
        if !names.contains(*name) {
            faults.push(format!("{name}: an exception for a rule that does not exist"));
        }
    }
    for outcome in harness::run_tests(files, &[], &program, harness::Only::default()) {
        if let Some(failure) = outcome.failure {
            faults.push(format!("{}: test \"{}\": {failure}", outcome.rule, outcome.name));
        }
    }
    faults
}

/// What a person would read that says nothing, where the rule fires in its own test.
fn bad_words(files: &[SourceFile], program: &Program, rule: &Rule, test: &Test) -> Vec<String> {
    let program = if test.params.is_empty() {
        program.clone()
    } else {
        lang::compile(files, &test.params).program
    };
    let program = Program {
        rules: program.rules.into_iter().filter(|r| r.name == rule.name).collect(),
        tests: Vec::new(),
        ..program
    };
    let trace = match harness::trace_of(test) {
        Ok(trace) => trace,
        Err(e) => return vec![format!("test \"{}\": {e}", test.name)],
    };
    let analysis = eval::analyze(&program, &trace, eval::Options::default());
    let mut faults = Vec::new();
    if analysis.diagnoses.is_empty() {
        faults.push(format!("test \"{}\": no diagnosis, so no message", test.name));
    }
    for d in &analysis.diagnoses {
        for text in std::iter::once(&d.message).chain(&d.fixes) {
            let hole = text.is_empty() || text.contains('?') || text.contains("unknown") || text.contains('{');
            if hole {
                faults.push(format!("test \"{}\": it says \"{text}\"", test.name));
            }
        }
        for e in d
            .evidence
            .iter()
            .filter(|e| e.value == ingero::diagnosis::Measured::Unknown)
        {
            faults.push(format!("test \"{}\": {} has no value", test.name, e.metric));
        }
    }
    faults
}

#[test]
fn every_shipped_rule_says_what_it_does_and_shows_it() {
    let found = faults(&shipped(), &NEVER_MISSING);
    assert!(found.is_empty(), "{} faults:\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_rules_of_the_catalogue_are_all_there() {
    let program = lang::compile(&shipped(), &[]).program;
    let names: BTreeSet<&str> = program.rules.iter().map(|r| r.name.as_str()).collect();
    for name in [
        "BLOCKED_ON_CHILD",
        "COLD_START",
        "CPU_OVERSUBSCRIPTION",
        "ENGINE_STALL",
        "HOL_BLOCKING",
        "JIT_COMPILE_STALL",
        "LAUNCH_QUEUE_FULL",
        "LAUNCH_RATE_COLLAPSE",
        "LAUNCH_TAIL_CONTENTION",
        "LAZY_KERNEL_LOAD",
        "MEMCPY_BOUND",
        "NOISY_NEIGHBOUR",
        "OOM_KILL",
        "PAGEABLE_COPY",
        "PAGE_ALLOC_STORM",
        "SAMPLED_RATES",
        "SYNC_BOUND",
        "TRACE_INCOMPLETE",
        "WARMUP_ONLY",
    ] {
        assert!(names.contains(name), "{name} does not ship");
    }
}

/// A rule with everything, as text whose parts can be left out.
const GOOD: &str = r#"edition 1
## What it finds: slow synchronisations.
## Why it matters: a reason.
## How it decides: a threshold.
## When it stays quiet: short ones.
## What to do: nothing.
when cuda.sync.sum >= 1s per pid => SLOW_SYNC {
  title "Slow"
  message "{process}[{pid}]: {cuda.sync.sum} in synchronisations"
  refuted_by "Nothing."
  refs ["a"]
}
test "long" for SLOW_SYNC {
  at 1s cuda.cudaStreamSync pid=7 tid=7 dur=2s
  expect fires 1
}
test "short" for SLOW_SYNC {
  at 1s cuda.cudaStreamSync pid=7 tid=7 dur=2ms
  expect quiet
}
test "none" for SLOW_SYNC {
  at 1s net.net_recv pid=7 tid=7 dur=2ms bytes=1B
  at 0s trace.probe source=cuda status=missing
  expect skipped
}
"#;

fn of(text: &str) -> Vec<String> {
    faults(&[source("t.rules", text)], &[])
}

#[test]
fn the_checker_finds_each_fault() {
    assert_eq!(of(GOOD), Vec::<String>::new());
    let without = |part: &str, fault: &str| {
        assert!(GOOD.contains(part), "{part}");
        let found = of(&GOOD.replace(part, "")).join("\n");
        assert!(found.contains(fault), "without {part:?}: {found:?}");
    };
    without("  title \"Slow\"\n", "SLOW_SYNC: no title");
    without("  refuted_by \"Nothing.\"\n", "SLOW_SYNC: no refuted_by");
    without("  refs [\"a\"]\n", "SLOW_SYNC: no refs");
    without("## When it stays quiet: short ones.\n", "does not say");
    let (head, tests) = GOOD.split_once("test \"long\"").unwrap();
    let tests = format!("test \"long\"{tests}");
    let cases: Vec<&str> = tests.split_inclusive("\n}\n").collect();
    assert_eq!(cases.len(), 3);
    without(cases[0], "no test in which it fires");
    without(cases[1], "no test in which it is quiet");
    without(cases[2], "no test without the data it needs");
    let found = of(&format!("{head}{tests}").replace("dur=2ms\n  expect quiet", "dur=3s\n  expect quiet"));
    assert!(found.join("\n").contains("test \"short\""), "{found:?}");
    let found = of(&GOOD.replace("in synchronisations", "in what?"));
    assert!(found.join("\n").contains("it says"), "{found:?}");
    let bare: String = GOOD
        .lines()
        .filter(|l| !l.starts_with("##"))
        .flat_map(|l| [l, "\n"])
        .collect();
    assert!(of(&bare).join("\n").contains("no about"));
    let found = faults(&[source("t.rules", GOOD)], &[("SLOW_SYNC", "x"), ("GONE", "y")]).join("\n");
    assert!(
        found.contains("no exception") && found.contains("does not exist"),
        "{found}"
    );
}
