//! The same bytes for any number of threads, and for every repetition.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use std::path::{Path, PathBuf};

use assert_cmd::Command;

/// Rules that use every way of joining, measuring and ranking.
const RULES: &str = "
when cuda.p99 > 3*p50 and sched.off_cpu(pid) > 20ms within 100ms => TAIL_OFF_CPU
when cuda.p99 > 2*p50 => TAIL
when covered(cuda.launch[duration > 3*p50], sched.off_cpu) >= 20% => LAUNCH_OFF_CPU { explains [TAIL] }
when lift(cuda[duration > 1ms], sched.off_cpu) > 1 per pid => LIFTED
when cuda.launch.count over 1s > 100 => BUSY_WINDOW
when gap(gpu.launch) > 100ms => GAPS
when drop(cuda.launch.rate) > 10% per pid => FALLS
when io.read > 1ms or cuda.cudaMalloc > 1ms or cuda.memcpy > 1ms => SLOW_SOMETHING
when cuda.launch.rate > 1/s and not sched.off_cpu > 1h => RUNS { severity info }
when share(cuda.launch[first_use]) > 0% per pid => FIRST_USES { severity low }
";

fn run(rules: &Path, trace: &Path, format: &str, threads: usize) -> Vec<u8> {
    let out = Command::cargo_bin("ingero")
        .unwrap()
        .args([
            "analyze",
            "--quiet",
            "--format",
            format,
            "--threads",
            &threads.to_string(),
        ])
        .arg("--rules")
        .arg(rules)
        .arg(trace)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

#[test]
fn the_same_bytes_for_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("all.rules");
    std::fs::write(&rules, RULES).unwrap();
    for scenario in ["hol-blocking", "cpu-contention", "healthy-training", "bulk"] {
        let trace: PathBuf = folder.path().join(format!("{scenario}.db"));
        Command::cargo_bin("ingero")
            .unwrap()
            .args(["simulate", scenario, "--events", "20000", "-o"])
            .arg(&trace)
            .assert()
            .success();
        for format in ["json", "table"] {
            let first = run(&rules, &trace, format, 1);
            assert!(first.len() > 500, "{scenario} says something");
            for threads in [1, 2, 3, 8, 8] {
                let again = run(&rules, &trace, format, threads);
                assert!(again == first, "{scenario}, {format}, {threads} threads");
            }
        }
    }
}
