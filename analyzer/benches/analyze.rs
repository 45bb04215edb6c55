//! The whole command beside the bare scan that anybody could write, on the same file, in the same
//! run, in turns.
//!
//! `cargo bench -p ingero --bench analyze` makes simulated traces of 10 k and 1 M events once, under
//! `target/bench-traces`, and prints medians of 5 runs; `INGERO_BENCH_EVENTS=1000000,10000000` says
//! which sizes, `INGERO_BENCH_ROUNDS=3` how many runs. Each measurement is a process of its own, so
//! that its peak memory is its own.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the output of a benchmark")]
#![allow(clippy::unwrap_used, reason = "a benchmark may unwrap")]

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use ingero::source::SourceFile;
use ingero::trace::ReadOptions;
use ingero::{eval, lang, plan, report};
use rusqlite::{Connection, OpenFlags};

/// Shown as columns: name, rules, threads.
const CASES: [(&str, usize, usize); 6] = [
    ("1 rule", 1, 0),
    ("20 rules", 20, 0),
    ("200 rules", 200, 0),
    ("packs", 0, 0),
    ("1 rule, 1 thread", 1, 1),
    ("20 rules, 1 thread", 20, 1),
];

/// Median, and median of the ratios to the yardstick of the same round.
#[derive(Default)]
struct Runs {
    wall: Vec<f64>,
    read: Vec<f64>,
    eval: Vec<f64>,
    peak: Vec<f64>,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, role, path, rules, threads] = args.as_slice() {
        return child(role, Path::new(path), Path::new(rules), threads.parse().unwrap());
    }
    // `cargo test --benches` only wants to know that it runs.
    let bench = args.iter().any(|a| a == "--bench");
    let number = |name: &str, or: usize| std::env::var(name).map_or(or, |n| n.parse().unwrap());
    let rounds = number("INGERO_BENCH_ROUNDS", if bench { 5 } else { 1 });
    let sizes = std::env::var("INGERO_BENCH_EVENTS").unwrap_or_else(|_| "10000,1000000".into());
    let sizes: Vec<u64> = if bench {
        sizes.split(',').map(|n| n.trim().parse().unwrap()).collect()
    } else {
        vec![10_000]
    };
    for events in sizes {
        size(events, rounds);
    }
}

fn size(events: u64, rounds: usize) {
    let folder = folder();
    let trace = folder.join(format!("bulk-{events}.db"));
    if !trace.exists() {
        let options = ingero::simulate::Options {
            events: Some(events),
            ..ingero::simulate::Options::default()
        };
        ingero::simulate::create("bulk", &options, &trace, false).unwrap();
    }
    let rules: Vec<PathBuf> = CASES
        .iter()
        .map(|(_, n, _)| {
            if *n == 0 {
                return packs();
            }
            let path = folder.join(format!("{n}.rules"));
            std::fs::write(&path, generated(*n)).unwrap();
            path
        })
        .collect();
    let mut yard = Runs::default();
    let mut cat = Runs::default();
    let mut runs: Vec<Runs> = CASES.iter().map(|_| Runs::default()).collect();
    for _ in 0..rounds {
        measure("get2", &trace, &rules[0], 2, &mut yard);
        measure("cat", &trace, &rules[0], 1, &mut cat);
        for ((case, rules), runs) in CASES.iter().zip(&rules).zip(&mut runs) {
            measure("analyze", &trace, rules, case.2, runs);
        }
    }
    let bytes = std::fs::metadata(&trace).unwrap().len();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "\n{events} events, {} MB, {cores} cores, median of {rounds}",
        bytes / 1_000_000
    );
    println!("| case | wall s | x bare scan | read M rows/s | evaluate s | bytes an event |");
    println!("| --- | --- | --- | --- | --- | --- |");
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    let n = events as f64;
    let line = |name: &str, r: &Runs| {
        let ratio = median(r.wall.iter().zip(&yard.wall).map(|(a, b)| a / b));
        let read = median(r.read.iter().copied());
        let speed = if read > 0.0 {
            format!("{:.2}", n / read / 1e6)
        } else {
            "-".into()
        };
        println!(
            "| {name} | {:.3} | {ratio:.2} | {speed} | {:.3} | {:.1} |",
            median(r.wall.iter().copied()),
            median(r.eval.iter().copied()),
            median(r.peak.iter().copied()) / n
        );
    };
    line("bare scan (get, 2 connections)", &yard);
    line("cat", &cat);
    for ((name, ..), r) in CASES.iter().zip(&runs) {
        line(name, r);
    }
    println!(
        "200 rules / 1 rule: {:.2}",
        median(runs[2].wall.iter().zip(&runs[0].wall).map(|(a, b)| a / b))
    );
}

fn folder() -> PathBuf {
    // target/release/deps/analyze-…
    let me = std::env::current_exe().unwrap();
    let folder = me.ancestors().nth(3).unwrap().join("bench-traces");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The shipped rules.
fn packs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules")
}

/// A file of rules, or all of a folder.
fn sources(path: &Path) -> Vec<SourceFile> {
    let mut files = vec![path.to_path_buf()];
    if path.is_dir() {
        files = std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
    }
    let read = |p: &PathBuf| SourceFile::new(p.display().to_string(), std::fs::read_to_string(p).unwrap());
    files.iter().map(read).collect()
}

/// Rules that differ in operations, multiples and thresholds.
fn generated(n: usize) -> String {
    let ops = ["launch", "memcpy", "sync", "cudaMalloc"];
    let mut out = String::new();
    for i in 0..n {
        let (op, k, t, d) = (ops[i % 4], 2 + i / 4 % 6, 5 + 7 * (i % 23), 10 + i % 90);
        let _ = match i % 5 {
            0 => writeln!(
                out,
                "when cuda.p99 > {}*p50 and sched.off_cpu(pid) > {}ms within {d}ms => A{i}",
                k + 3,
                t * 8
            ),
            1 => writeln!(
                out,
                "when cuda.{op}.p99 > {k}*p50 and covered(cuda.{op}[duration > {k}*p50], sched.off_cpu) >= {d}% => B{i}"
            ),
            2 => writeln!(
                out,
                "when cuda.{op} > {t}ms and io.read > {}ms within {d}ms => C{i}",
                t / 2 + 1
            ),
            3 => writeln!(out, "when cuda.{op}.rate over 1s > {}/s => D{i}", t * 1000),
            _ => writeln!(out, "when cuda.{op}[duration > {t}ms].count > {d} per pid => E{i}"),
        };
    }
    out
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut v: Vec<f64> = values.collect();
    v.sort_by(f64::total_cmp);
    v.get(v.len() / 2).copied().unwrap_or(0.0)
}

fn measure(role: &str, trace: &Path, rules: &Path, threads: usize, into: &mut Runs) {
    let begin = Instant::now();
    let out = Command::new(std::env::current_exe().unwrap())
        .arg(role)
        .arg(trace)
        .arg(rules)
        .arg(threads.to_string())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    into.wall.push(begin.elapsed().as_secs_f64());
    assert!(out.status.success());
    let text = String::from_utf8(out.stdout).unwrap();
    let numbers: Vec<f64> = text.split_whitespace().map(|n| n.parse().unwrap()).collect();
    into.read.push(numbers[0]);
    into.eval.push(numbers[1]);
    into.peak.push(numbers[2]);
}

/// Does one thing and prints seconds of reading, seconds of judging, and its peak memory.
fn child(role: &str, trace: &Path, rules: &Path, threads: usize) {
    let begin = Instant::now();
    let (mut read, mut judged) = (0.0, 0.0);
    match role {
        "get2" => get2(trace),
        "cat" => cat(trace),
        _ => {
            let compiled = lang::compile(&sources(rules), &[]);
            // The good rules of a bad file still run.
            if compiled.has_errors() {
                eprintln!("some rules have errors: {:?}", compiled.diagnostics.first());
            }
            let options = ReadOptions {
                needs: plan::needs(&compiled.program),
                threads,
                ..ReadOptions::default()
            };
            let (found, errors) = ingero::trace::read(&[trace.to_path_buf()], &options);
            assert!(errors.is_empty(), "{errors:?}");
            read = begin.elapsed().as_secs_f64();
            let found = found.unwrap();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let analysis = pool.install(|| eval::analyze(&compiled.program, &found, eval::Options::default()));
            judged = begin.elapsed().as_secs_f64() - read;
            let report = report::Report {
                analysis: &analysis,
                problems: &[],
                window: None,
                version: "bench",
            };
            std::hint::black_box(report::json::render(&report));
        }
    }
    println!("{read} {judged} {}", peak_bytes());
}

fn cat(path: &Path) {
    let mut file = std::fs::File::open(path).unwrap();
    let mut buffer = vec![0u8; 1 << 17];
    while file.read(&mut buffer).unwrap() > 0 {}
    std::hint::black_box(buffer);
}

/// Six integer columns through `get`, two connections, halves by row number.
fn get2(path: &Path) {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        Connection::open_with_flags(format!("file:{}?immutable=1", path.display()), flags).unwrap()
    };
    let max: i64 = open()
        .query_row("SELECT max(rowid) FROM events", [], |r| r.get(0))
        .unwrap();
    std::thread::scope(|s| {
        for (from, to) in [(1, max / 2), (max / 2 + 1, max)] {
            s.spawn(move || {
                let conn = open();
                let mut stmt = conn
                    .prepare(
                        "SELECT timestamp, duration, pid, tid, source, op FROM events WHERE rowid BETWEEN ?1 AND ?2",
                    )
                    .unwrap();
                let mut rows = stmt.query([from, to]).unwrap();
                let mut sum = 0i64;
                while let Some(r) = rows.next().unwrap() {
                    for i in 0..6 {
                        sum = sum.wrapping_add(r.get::<_, i64>(i).unwrap());
                    }
                }
                std::hint::black_box(sum);
            });
        }
    });
}

fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0");
    let kib: u64 = line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
    kib * 1024
}
