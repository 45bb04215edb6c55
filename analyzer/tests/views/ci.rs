//! Reports that CI systems read.

use ingero::diagnosis::Severity;
use ingero::report::{Problem, ProblemKind, Report, github, junit, sarif};
use serde_json::Value;

use crate::{report, report_model};

fn problem() -> Vec<Problem> {
    vec![Problem {
        kind: ProblemKind::Trace,
        path: "traces/a b.db".to_owned(),
        message: "truncated".to_owned(),
    }]
}

#[test]
fn sarif_of_the_article() {
    let analysis = report_model::article();
    insta::assert_snapshot!(sarif::render(&report(&analysis)));
}

#[test]
fn sarif_says_what_code_scanning_needs() {
    let problems = problem();
    for analysis in [
        report_model::article(),
        report_model::healthy(),
        report_model::hostile(),
    ] {
        let log: Value = serde_json::from_str(&sarif::render(&Report {
            problems: &problems,
            ..report(&analysis)
        }))
        .unwrap();
        let run = &log["runs"][0];
        assert_eq!(log["version"], "2.1.0");
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        for result in run["results"].as_array().unwrap() {
            assert!(result["message"]["text"].is_string());
            assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
            assert!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].is_string());
            if let Some(i) = result["ruleIndex"].as_u64() {
                assert_eq!(rules[usize::try_from(i).unwrap()]["id"], result["ruleId"]);
            }
        }
        assert_eq!(run["invocations"][0]["executionSuccessful"], false);
    }
}

#[test]
fn junit_of_the_article() {
    let analysis = report_model::article();
    let problems = problem();
    let report = Report {
        problems: &problems,
        ..report(&analysis)
    };
    insta::assert_snapshot!(junit::render(&report, Severity::Low));
    let lenient = junit::render(&report, Severity::Critical);
    assert!(lenient.contains("failures=\"0\""), "{lenient}");
}

#[test]
fn nothing_from_a_trace_is_xml() {
    let mut analysis = report_model::hostile();
    analysis.diagnoses[0].rule = "HOL_BLOCKING".to_owned();
    analysis.diagnoses[0].message = "</failure>]]>\"'&\u{0}\u{ffff}<x>".to_owned();
    let xml = junit::render(&report(&analysis), Severity::Info);
    assert!(
        !xml.contains("<x>") && !xml.contains("]]>") && !xml.contains(['\u{0}', '\u{ffff}']),
        "{xml}"
    );
    assert_eq!(xml.matches("</failure>").count(), xml.matches("<failure ").count());
}

#[test]
fn github_annotations_of_the_article() {
    let analysis = report_model::article();
    let problems = problem();
    let out = github::render(&Report {
        problems: &problems,
        ..report(&analysis)
    });
    for line in out.lines() {
        assert!(
            ["::error ", "::warning ", "::notice "]
                .iter()
                .any(|p| line.starts_with(p)),
            "{line}"
        );
    }
    insta::assert_snapshot!(out);
}
