//! `ingero rules` and `ingero simulate`, on files of their own.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;

const ONE_LINE: &str =
    "when cuda.p99 > 5*p50 and sched.off_cpu(pid) > 1s within 100ms => HOL_BLOCKING { severity high }\n";

/// Runs in a folder: standard output, standard error, exit code.
fn run(dir: &Path, args: &[&str]) -> (String, String, i32) {
    let mut command = Command::cargo_bin("ingero").unwrap();
    command
        .args(args)
        .current_dir(dir)
        .env_remove("COLUMNS")
        .env("LC_ALL", "C.UTF-8");
    let output = command.output().unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
        output.status.code().unwrap(),
    )
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("rules")).unwrap();
    fs::write(dir.path().join("rules/good.rules"), ONE_LINE).unwrap();
    let bad = format!(
        "{}when cuda.p99 > 5 => NO_UNIT\nwhen cudda.p99 > 1s => NO_SOURCE\n",
        ONE_LINE.replace("HOL_BLOCKING", "SLOW")
    );
    fs::write(dir.path().join("bad.rules"), bad).unwrap();
    dir
}

#[test]
fn good_rules_pass_the_check() {
    let dir = folder();
    let (out, _, code) = run(dir.path(), &["rules", "check", "rules"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("1 file, 1 usable rule, 0 tests, 0 errors"), "{out}");
}

#[test]
fn all_errors_of_a_file_are_shown_and_its_good_rules_stay() {
    let dir = folder();
    let (out, err, code) = run(dir.path(), &["rules", "check", "bad.rules"]);
    assert_eq!(code, 2);
    assert!(out.contains("1 usable rule"), "{out}");
    assert!(err.contains("E0401") && err.contains("did you mean `cuda`?"), "{err}");
    assert!(!err.contains('\x1b'));
    let (out, _, code) = run(dir.path(), &["rules", "list", "bad.rules", "rules"]);
    assert_eq!(code, 2);
    assert!(out.contains("SLOW  "), "{out}");
    assert!(out.contains("rules/good.rules\n  HOL_BLOCKING  high"), "{out}");
}

#[test]
fn a_file_named_twice_is_read_once() {
    let dir = folder();
    let (out, _, code) = run(dir.path(), &["rules", "check", "rules", "rules/good.rules"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("1 file, 1 usable rule"), "{out}");
}

#[test]
fn explain_finds_a_rule_by_name_and_id() {
    let dir = folder();
    for name in ["HOL_BLOCKING", "hol-blocking"] {
        let (out, _, code) = run(dir.path(), &["rules", "explain", name, "--rules", "rules"]);
        assert_eq!(code, 0);
        assert!(out.contains("100 ms"), "{out}");
    }
    let (_, err, code) = run(dir.path(), &["rules", "explain", "HOL_BLOKING", "--rules", "rules"]);
    assert_eq!(code, 2);
    assert!(err.contains("did you mean HOL_BLOCKING?"), "{err}");
}

#[test]
fn a_value_that_no_rule_takes_stops_the_run() {
    let dir = folder();
    let (out, err, code) = run(dir.path(), &["analyze", "--rules", "rules", "--set", "x=5ms", "t.db"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("E0311") && err.contains("--set cannot be used"), "{err}");
}

#[test]
fn a_trace_that_is_not_there() {
    let dir = folder();
    let (out, err, code) = run(dir.path(), &["analyze", "--rules", "rules", "t.db"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("t.db: no such file"), "{err}");
}

#[test]
fn scenarios_are_listed_written_and_not_overwritten() {
    let dir = folder();
    let (out, err, code) = run(dir.path(), &["simulate", "--list"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("hol-blocking "), "{out}");
    let (out, _, code) = run(dir.path(), &["simulate", "lazy-load", "-o", "a.db"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("a.db: ") && out.ends_with(" events\n"), "{out}");
    let (_, err, code) = run(dir.path(), &["simulate", "lazy-load", "-o", "a.db"]);
    assert_eq!(code, 2);
    assert!(err.contains("a.db exists already") && err.contains("--force"), "{err}");
    let (_, _, code) = run(dir.path(), &["simulate", "lazy-load", "-o", "a.db", "--force"]);
    assert_eq!(code, 0);
    let (_, err, code) = run(dir.path(), &["simulate", "lazy", "-o", "b.db"]);
    assert_eq!(code, 2);
    assert!(err.contains("there is no scenario"), "{err}");
    assert!(!dir.path().join("b.db").exists());
}

/// A rule with mistakes that the program can mend, and a warning.
const MENDABLE: &str = "when cudda.launch.p99 > 5 ms && cuda.sync.p99 > 5ms => SLOW {\n  let tail = cuda.p99\n}\n";

#[test]
fn fix_makes_the_suggested_changes_and_says_which() {
    let dir = folder();
    let path = dir.path().join("m.rules");
    fs::write(&path, MENDABLE).unwrap();
    let (out, err, code) = run(dir.path(), &["rules", "check", "--fix", "m.rules"]);
    assert_eq!(code, 0, "{out}{err}");
    let fixed = fs::read_to_string(&path).unwrap();
    assert_eq!(
        fixed,
        "when cuda.launch.p99 > 5ms and cuda.sync.p99 > 5ms => SLOW {\n  let _tail = cuda.p99\n}\n"
    );
    assert!(
        out.contains("fixed m.rules:1:6: `cudda` becomes `cuda` (E0301)"),
        "{out}"
    );
    assert!(out.contains("insert `_` (W0001)"), "{out}");
    // A second time there is nothing to do.
    let (out, _, _) = run(dir.path(), &["rules", "check", "--fix", "m.rules"]);
    assert!(!out.contains("fixed"), "{out}");
    assert_eq!(fs::read_to_string(&path).unwrap(), fixed);
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        3,
        "nothing is left beside it"
    );
}

#[cfg(unix)]
#[test]
fn fix_leaves_a_file_alone_that_it_may_not_write() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let dir = folder();
    let path = dir.path().join("m.rules");
    fs::write(&path, MENDABLE).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let (_, err, code) = run(dir.path(), &["rules", "check", "--fix", "m.rules"]);
    assert_eq!(code, 2);
    assert!(err.contains("cannot write m.rules"), "{err}");
    assert_eq!(fs::read_to_string(&path).unwrap(), MENDABLE);
    // Through a link the file behind it is mended, and the link stays one.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("m.rules", dir.path().join("l.rules")).unwrap();
    let (_, _, code) = run(dir.path(), &["rules", "check", "--fix", "l.rules"]);
    assert_eq!(code, 0);
    assert!(fs::symlink_metadata(dir.path().join("l.rules")).unwrap().is_symlink());
    assert_ne!(fs::read_to_string(&path).unwrap(), MENDABLE);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn warnings_are_denied_only_on_request() {
    let dir = folder();
    let (out, err, code) = run(dir.path(), &["rules", "check", "rules"]);
    assert_eq!(code, 0);
    assert!(out.ends_with("0 errors, 2 warnings\n"), "{out}");
    assert!(err.contains("W0009") && err.contains("W0011"), "{err}");
    let (_, _, code) = run(dir.path(), &["rules", "check", "--deny-warnings", "rules"]);
    assert_eq!(code, 2);
}

#[test]
fn check_speaks_json() {
    let dir = folder();
    fs::write(dir.path().join("m.rules"), MENDABLE).unwrap();
    let (out, err, code) = run(dir.path(), &["rules", "check", "--format", "json", "m.rules"]);
    assert_eq!((code, err.as_str()), (2, ""));
    let v: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(v["schema_version"], 1);
    assert_eq!(v["errors"], 2);
    let d = &v["diagnostics"][0];
    assert_eq!(
        (d["code"].as_str(), d["severity"].as_str()),
        (Some("E0205"), Some("error"))
    );
    assert_eq!(
        (d["file"].as_str(), &d["span"]["line"]),
        (Some("m.rules"), &serde_json::json!(1))
    );
    assert_eq!(d["edit"]["replacement"], "5ms");
}

/// The properties that SARIF 2.1.0 requires, and what must hold between them.
fn assert_sarif(v: &serde_json::Value) {
    assert_eq!(v["version"], "2.1.0");
    assert!(v["$schema"].is_string());
    for run in v["runs"].as_array().unwrap() {
        let driver = &run["tool"]["driver"];
        assert!(driver["name"].is_string());
        let rules = driver["rules"].as_array().unwrap();
        for rule in rules {
            assert!(rule["id"].is_string() && rule["shortDescription"]["text"].is_string());
        }
        let artifacts = run["artifacts"].as_array().unwrap();
        let location = |l: &serde_json::Value| {
            let at = usize::try_from(l["index"].as_u64().unwrap()).unwrap();
            assert_eq!(l["uri"], artifacts[at]["location"]["uri"]);
        };
        let region = |r: &serde_json::Value| {
            let n = |k: &str| r[k].as_u64().filter(|n| *n > 0).unwrap();
            assert!((n("startLine"), n("startColumn")) <= (n("endLine"), n("endColumn")));
        };
        for result in run["results"].as_array().unwrap() {
            assert!(!result["message"]["text"].as_str().unwrap().is_empty());
            let at = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[at]["id"], result["ruleId"]);
            assert!(["error", "warning", "note", "none"].contains(&result["level"].as_str().unwrap()));
            let related = result["relatedLocations"].as_array().unwrap();
            for l in result["locations"].as_array().unwrap().iter().chain(related) {
                location(&l["physicalLocation"]["artifactLocation"]);
                region(&l["physicalLocation"]["region"]);
            }
            for fix in result.get("fixes").and_then(|f| f.as_array()).into_iter().flatten() {
                for change in fix["artifactChanges"].as_array().unwrap() {
                    location(&change["artifactLocation"]);
                    for r in change["replacements"].as_array().unwrap() {
                        region(&r["deletedRegion"]);
                    }
                }
            }
        }
    }
}

#[test]
fn check_speaks_sarif() {
    let dir = folder();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/lang");
    for folder in ["type_error", "name_error", "warning"] {
        let path = corpus.join(folder);
        let (out, _, _) = run(
            dir.path(),
            &["rules", "check", "--format", "sarif", path.to_str().unwrap()],
        );
        let v: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert!(v["runs"][0]["results"].as_array().unwrap().len() > 10);
        assert_sarif(&v);
    }
}

/// A rule with tests on events and on a stored trace; one of them fails.
fn tested(dir: &Path) {
    run(dir, &["simulate", "lazy-load", "-o", "rules/lazy.db"]);
    let text = r#"when cuda.launch.count >= 3 => MANY
test "three launches" for MANY {
  every 1s from 1s to 4s cuda.cudaLaunchKernel pid=7 dur=1ms
  expect fires 1 { pid = 7 }
}
test "two & a <stored> trace" for MANY { trace "lazy.db" expect fires }
test "two launches" for MANY {
  every 1s from 1s to 3s cuda.cudaLaunchKernel pid=7 dur=1ms
  expect fires
}
"#;
    fs::write(dir.join("rules/good.rules"), text).unwrap();
}

#[test]
fn tests_run_on_events_and_on_stored_traces() {
    let dir = folder();
    tested(dir.path());
    let (out, _, code) = run(dir.path(), &["rules", "test", "rules"]);
    assert_eq!(code, 1);
    let expected = "\
ok      MANY: three launches
ok      MANY: two & a <stored> trace
FAILED  MANY: two launches (rules/good.rules:7)
        expected: fires
          actual: it is quiet
          pid 7 on test:
            fails   cuda.launch.count >= 3: 2, needs >= 3
2 passed, 1 failed
";
    assert_eq!(out, expected);
    let (out, _, code) = run(dir.path(), &["rules", "test", "rules", "--name", "STORED"]);
    assert_eq!(
        (code, out.as_str()),
        (0, "ok      MANY: two & a <stored> trace\n1 passed, 0 failed\n")
    );
    let (_, err, code) = run(dir.path(), &["rules", "test", "rules", "--name", "nothing like it"]);
    assert_eq!(code, 2);
    assert!(err.contains("no test says"), "{err}");
    fs::remove_file(dir.path().join("rules/lazy.db")).unwrap();
    let (out, _, code) = run(dir.path(), &["rules", "test", "rules", "--name", "stored"]);
    assert_eq!(code, 1);
    assert!(out.contains("rules/lazy.db: no such file"), "{out}");
}

#[test]
fn test_results_speak_json_and_junit() {
    let dir = folder();
    tested(dir.path());
    let (out, _, code) = run(dir.path(), &["rules", "test", "rules", "--format", "json"]);
    assert_eq!(code, 1);
    let v: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&v["passed"], &v["failed"]),
        (&serde_json::json!(2), &serde_json::json!(1))
    );
    assert_eq!(v["tests"][2]["line"], 7);
    assert!(
        v["tests"][2]["failure"]
            .as_str()
            .unwrap()
            .starts_with("expected: fires")
    );
    let (out, _, code) = run(dir.path(), &["rules", "test", "rules", "--format", "junit"]);
    assert_eq!(code, 1);
    assert!(
        out.contains("<testsuite name=\"rules/good.rules\" tests=\"3\" failures=\"1\">"),
        "{out}"
    );
    assert!(
        out.contains("name=\"two &amp; a &lt;stored&gt; trace\" file=\"rules/good.rules\" line=\"6\"/>"),
        "{out}"
    );
    assert!(out.contains("<failure message=\"expected: fires\">"), "{out}");
}

#[test]
fn coverage_shows_what_the_tests_have_seen() {
    let dir = folder();
    tested(dir.path());
    let (out, _, code) = run(dir.path(), &["rules", "coverage", "rules"]);
    assert_eq!(code, 0);
    let expected = "MANY  3 tests\n  TF.  cuda.launch.count >= 3\ntrue and false seen: 2 of 2\n";
    assert_eq!(out, expected);
}

#[test]
fn mutants_that_no_test_notices_survive() {
    let dir = folder();
    let text = r#"when cuda.launch[duration > 1ms].count >= 4 => MANY
test "four" for MANY { every 1s from 1s to 5s cuda.cudaLaunchKernel pid=7 dur=3ms expect fires 1 }
test "three" for MANY { every 1s from 1s to 4s cuda.cudaLaunchKernel pid=7 dur=3ms expect quiet }
"#;
    fs::write(dir.path().join("rules/good.rules"), text).unwrap();
    let (out, _, code) = run(dir.path(), &["rules", "mutate", "rules"]);
    assert_eq!(code, 1);
    let expected = "\
MANY: 7 mutants, 3 survived
  without `duration > 1 ms` in cuda.launch [duration > 1 ms]
  threshold halved in `duration > 1 ms` in cuda.launch [duration > 1 ms]
  threshold doubled in `duration > 1 ms` in cuda.launch [duration > 1 ms]
7 mutants, 3 survived, 3 of them without a stated reason
";
    assert_eq!(out, expected);
    let accept = "\
# Shorter launches are not the point here.
MANY: without `duration > 1 ms` in cuda.launch [duration > 1 ms] # every launch counts as well
MANY: threshold halved in `duration > 1 ms` in cuda.launch [duration > 1 ms] # every launch counts as well
MANY: threshold doubled in `duration > 1 ms` in cuda.launch [duration > 1 ms] # the bound is a guess
";
    fs::write(dir.path().join("ok.txt"), accept).unwrap();
    let (out, _, code) = run(dir.path(), &["rules", "mutate", "--accept", "ok.txt", "rules"]);
    assert_eq!(code, 0, "{out}");
    fs::write(
        dir.path().join("ok.txt"),
        format!("{accept}MANY: gone # it was so once\n"),
    )
    .unwrap();
    let (out, _, code) = run(dir.path(), &["rules", "mutate", "--accept", "ok.txt", "rules"]);
    assert_eq!(code, 1);
    assert!(out.contains("no longer survives: MANY: gone"), "{out}");
    fs::write(dir.path().join("ok.txt"), "MANY: gone\n").unwrap();
    let (_, err, code) = run(dir.path(), &["rules", "mutate", "--accept", "ok.txt", "rules"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("ok.txt:1: this accepts a survivor without a reason"),
        "{err}"
    );
}

#[test]
fn a_severity_is_a_verdict_too() {
    let dir = folder();
    let rule = "when mem.oom => KILLED { severity high if cuda.launch.count >= 4, low }\n";
    let with = |severity: &str| {
        let test = |n: u32, level: &str| {
            let expect = if severity.is_empty() {
                String::new()
            } else {
                format!(" {{ severity {severity} {level} }}")
            };
            let launches = format!("every 1s from 1s to {}s cuda.cudaLaunchKernel pid=7 dur=3ms", n + 1);
            format!("test \"{n}\" for KILLED {{ {launches} at 8s mem.oom pid=7 expect fires 1{expect} }}\n")
        };
        let tests = [test(3, "low"), test(4, "high"), test(5, "high")].concat();
        fs::write(dir.path().join("rules/good.rules"), format!("{rule}{tests}")).unwrap();
        run(dir.path(), &["rules", "mutate", "rules"]).0
    };
    let seen = with("");
    assert!(seen.starts_with("KILLED: 4 mutants, 4 survived\n"), "{seen}");
    for what in ["`>=` becomes `<=` in", "threshold halved in", "threshold doubled in"] {
        assert!(
            seen.contains(&format!("  severity high: {what} `cuda.launch.count >= 4`\n")),
            "{seen}"
        );
    }
    assert!(
        seen.contains("  without `severity high if cuda.launch.count >= 4`\n"),
        "{seen}"
    );
    let seen = with("=");
    assert!(seen.starts_with("KILLED: 4 mutants, 0 survived\n"), "{seen}");
}

#[test]
fn the_reference_is_current() {
    let dir = folder();
    let (out, _, code) = run(dir.path(), &["rules", "doc"]);
    assert_eq!(code, 0);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("REFERENCE.md");
    assert!(
        fs::read_to_string(path).unwrap() == out,
        "write it anew: cargo run -- rules doc > analyzer/REFERENCE.md"
    );
}

#[test]
fn shipped_rules_have_no_warnings() {
    let dir = folder();
    let (out, err, code) = run(dir.path(), &["rules", "check", "--deny-warnings"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
}

/// Slow launches of two threads; one of them waits for its CPU inside of them, one beside.
const TWO: &str = r#"when cuda.launch.max > 3ms and sched.runq(pid) > 2ms within 1ms => SLOW
test "near" for SLOW {
  at 1s cuda.cudaLaunchKernel pid=7 dur=4ms
  at 1s sched.off_cpu pid=7 dur=3ms state=runnable
  expect fires 1
}
test "far" for SLOW {
  at 1s cuda.cudaLaunchKernel pid=7 dur=4ms
  at 1344ms sched.off_cpu pid=7 dur=3ms state=runnable
  expect fires
}
test "short" for SLOW {
  at 1s cuda.cudaLaunchKernel pid=7 dur=2ms
  at 1s sched.off_cpu pid=7 dur=3ms state=runnable
  expect fires
}
test "little" for SLOW {
  at 1s cuda.cudaLaunchKernel pid=7 dur=4ms
  at 1001ms sched.off_cpu pid=7 dur=1500us state=runnable
  expect fires
}
test "unseen" for SLOW {
  at 1s cuda.cudaLaunchKernel pid=7 dur=4ms
  expect fires
}
"#;

#[test]
fn a_failed_test_says_what_is_missing() {
    let dir = folder();
    fs::write(dir.path().join("rules/good.rules"), TWO).unwrap();
    let (out, _, code) = run(dir.path(), &["rules", "test", "rules"]);
    assert_eq!(code, 1);
    for said in [
        "fails   within 1 ms: closest stint 340 ms away (needs <= 1 ms)",
        "fails   cuda.launch.max > 3ms: 2 ms, needs > 3 ms",
        "the stints near one of them sum to 1.5 ms at most, needs > 2 ms",
        "unknown within 1 ms: ",
    ] {
        assert!(out.contains(said), "{said}\n{out}");
    }
}

#[test]
fn why_not_shows_the_nearest_miss_first() {
    let dir = folder();
    run(dir.path(), &["simulate", "lazy-load", "-o", "t.db"]);
    let rule = "when gpu.launch.p50 > 1s and gpu.launch.count > 10 => SLOW\n";
    fs::write(dir.path().join("m.rules"), rule).unwrap();
    let (out, err, code) = run(dir.path(), &["rules", "why-not", "slow", "--rules", "m.rules", "t.db"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[2].ends_with("1 of 2 conditions hold"), "{out}");
    assert_eq!(lines[3], "  fails    gpu.launch.p50 > 1s");
    assert!(
        lines[4].ends_with("needs > 1 s") && lines[6].ends_with("needs > 10"),
        "{out}"
    );
    let nobody = [
        "rules", "why-not", "SLOW", "--pid", "99999", "--rules", "m.rules", "t.db",
    ];
    let (out, _, _) = run(dir.path(), &nobody);
    assert!(
        out.contains("process 99999 has none of its events, if it is in the trace at all"),
        "{out}"
    );
    let (_, err, code) = run(dir.path(), &["rules", "why-not", "SLOW", "--rules", "m.rules", "no.db"]);
    assert_eq!(code, 2);
    assert!(err.contains("no.db: no such file"), "{err}");
    let missing = "when xid.count >= 1 => NO_XID\n";
    fs::write(dir.path().join("m.rules"), missing).unwrap();
    let (out, _, code) = run(
        dir.path(),
        &["rules", "why-not", "NO_XID", "--rules", "m.rules", "t.db"],
    );
    assert_eq!(code, 0);
    let expected = "\
NO_XID

sim: the trace cannot tell
  unknown  xid.count >= 1
           = at least 0, needs >= 1: no xid events in this trace
";
    assert_eq!(out, expected);
}

#[test]
fn a_check_against_a_trace_says_what_is_in_it() {
    let dir = folder();
    run(dir.path(), &["simulate", "lazy-load", "-o", "t.db"]);
    let rule = "when cuda.launch.p50 > 1s and xid[xid = 79].count >= 1 per node => SLOW\n";
    fs::write(dir.path().join("m.rules"), rule).unwrap();
    let (out, _, code) = run(dir.path(), &["rules", "check", "--trace", "t.db", "m.rules"]);
    assert_eq!(code, 0);
    assert!(out.contains("cuda.launch.p50\n  there   cudaLaunchKernel: "), "{out}");
    assert!(out.contains("rows, complete\n"), "{out}");
    assert!(out.contains("  absent  xid: not observed\n"), "{out}");
    assert!(out.contains("  absent  the columns xid\n"), "{out}");
    assert!(out.contains("for SLOW\n"), "{out}");

    let with = |format| {
        run(
            dir.path(),
            &["rules", "check", "--trace", "t.db", "--format", format, "m.rules"],
        )
    };
    let (out, _, code) = with("json");
    let v: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, v["metrics"].as_array().unwrap().len()), (0, 2));
    assert_eq!(v["metrics"][0]["metric"], "cuda.launch.p50");
    assert_eq!(v["metrics"][0]["rules"], serde_json::json!(["SLOW"]));
    assert_eq!(v["metrics"][1]["parts"][0]["seen"], "not_observed");
    let rows: Vec<u64> = v["metrics"][0]["parts"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| p["rows"].as_u64())
        .collect();
    assert_eq!(rows.iter().sum::<u64>(), v["metrics"][0]["rows_looked_at"]);
    let (out, err, code) = with("sarif");
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("--format text or json"), "{err}");
}

#[test]
fn an_exception_has_ended_on_the_day_that_is_named_not_on_that_of_the_clock() {
    let dir = folder();
    // What is simulated ends on 2026-05-01.
    run(dir.path(), &["simulate", "lazy-load", "-o", "t.db"]);
    let rule = "when cuda.launch.p50 > 1s => SLOW { except \"planned\" when cuda.launch.count > 1 until 2026-04-30 }\n";
    fs::write(dir.path().join("m.rules"), rule).unwrap();
    for (with, ended) in [
        (&["--today", "2026-04-30"][..], false),
        (&["--today", "2026-05-01"], true),
        (&["--trace", "t.db"], true),
        (&["--trace", "t.db", "--today", "2026-04-30"], false),
        (&[], false),
    ] {
        let (out, err, code) = run(dir.path(), &[&["rules", "check", "m.rules"], with].concat());
        assert_eq!(code, 0);
        assert_eq!(err.contains("W0012"), ended, "{with:?}: {err}");
        let note = "1 exception with a last day: --today DATE tells which are over\n";
        assert_eq!(out.ends_with(note), with.is_empty(), "{with:?}: {out}");
    }
    for (wrong, why) in [
        ("2026-02-30", "there is no 2026-02-30"),
        ("tomorrow", "a day is written as 2026-04-02"),
    ] {
        let (_, err, code) = run(dir.path(), &["rules", "check", "m.rules", "--today", wrong]);
        assert_eq!(code, 2);
        assert!(err.contains(why), "{err}");
    }
}

#[test]
fn needs_name_the_recorder_options() {
    let dir = folder();
    let rule = "when cuda.launch.p99 > 1s and covered(cuda.launch, sched.runq) > 50% and request.open.count > 1 per node \
                => SLOW\n";
    fs::write(dir.path().join("m.rules"), rule).unwrap();
    let (out, _, code) = run(dir.path(), &["rules", "needs", "m.rules"]);
    assert_eq!(code, 0);
    let expected = "\
SLOW
  cuda      cudaLaunchCooperativeKernel, cudaLaunchKernel, cudaLaunchKernelExC
  sched     runq
  request   open
  recorder  not --without cuda, sched; no --min-duration for these operations;
            run states, which files of our recorder have; annotations through
            --annotations
";
    assert_eq!(out, expected);
}

#[test]
fn a_profile_differs_in_its_last_column_only() {
    let dir = folder();
    run(dir.path(), &["simulate", "lazy-load", "-o", "t.db"]);
    let columns = || {
        let (out, _, code) = run(dir.path(), &["rules", "profile", "t.db", "--rules", "cuda"]);
        assert_eq!(code, 0);
        let cut = |l: &str| {
            l.rsplit_once(' ')
                .map(|(l, _)| l.trim_end().to_owned())
                .unwrap_or_default()
        };
        out.lines().map(cut).collect::<Vec<_>>()
    };
    let first = columns();
    assert_eq!(first, columns());
    let lazy = first.iter().find(|l| l.starts_with("LAZY_KERNEL_LOAD ")).unwrap();
    let numbers: Vec<&str> = lazy.split_whitespace().skip(1).collect();
    assert_eq!(numbers.len(), 5);
    assert!(numbers[..3].iter().all(|n| *n != "0"), "{lazy}");
}

#[test]
fn a_diff_of_rules_shows_what_is_gained_and_lost() {
    let dir = folder();
    run(dir.path(), &["simulate", "lazy-load", "-o", "t.db"]);
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write(
        "a.rules",
        "when cuda.launch.count > 10 => MANY\nwhen cuda.launch.count > 20 => MORE { severity low }\n",
    );
    write(
        "b.rules",
        "when cuda.launch.count > 10M => MANY\nwhen cuda.launch.count > 20 => MORE { severity high }\n",
    );
    let (out, _, code) = run(dir.path(), &["rules", "diff", "a.rules", "b.rules", "t.db"]);
    assert_eq!(code, 1);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..2], ["t.db", "  ~ MANY: fired, now quiet"], "{out}");
    assert!(lines.iter().any(|l| l.starts_with("  - MANY: ")), "{out}");
    assert!(
        lines
            .iter()
            .any(|l| l.starts_with("  ~ MORE: ") && l.ends_with(": low, now high")),
        "{out}"
    );
    let (out, _, code) = run(dir.path(), &["rules", "diff", "a.rules", "a.rules", "t.db"]);
    assert_eq!((code, out.as_str()), (0, "t.db: no difference\n"));
}
