//! The whole command beside the bare scan that anybody could write, on the same file, in the same
//! run, in turns.
//!
//! `cargo bench -p ingero --bench analyze` makes simulated traces of 10 k and 1 M events once, under
//! `target/bench-traces`, and prints medians of 5 runs (of a machine that others use too, take the CPU
//! time); `INGERO_BENCH_EVENTS=1000000,10000000` says which sizes, `INGERO_BENCH_ROUNDS=3` how many runs.
//! Each measurement is a process of its own, so that its peak memory is its own.
#![expect(clippy::print_stdout, reason = "the output of a benchmark")]
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
    cpu: Vec<f64>,
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
    println!("| case | wall s | x bare scan | CPU s | x bare scan | read M rows/s | evaluate s | bytes an event |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    let n = events as f64;
    let line = |name: &str, r: &Runs| {
        let ratio = |a: &[f64], b: &[f64]| median(a.iter().zip(b).map(|(a, b)| a / b));
        let read = median(r.read.iter().copied());
        let speed = if read > 0.0 {
            format!("{:.2}", n / read / 1e6)
        } else {
            "-".into()
        };
        println!(
            "| {name} | {:.3} | {:.2} | {:.2} | {:.2} | {speed} | {:.3} | {:.1} |",
            median(r.wall.iter().copied()),
            ratio(&r.wall, &yard.wall),
            median(r.cpu.iter().copied()),
            ratio(&r.cpu, &yard.cpu),
            median(r.eval.iter().copied()),
            median(r.peak.iter().copied()) / n
        );
    };
    line("bare scan (get, 2 connections)", &yard);
    line("cat", &cat);
    for ((name, ..), r) in CASES.iter().zip(&runs) {
        line(name, r);
    }
    let grown = |of: fn(&Runs) -> &Vec<f64>| median(of(&runs[2]).iter().zip(of(&runs[0])).map(|(a, b)| a / b));
    println!(
        "200 rules / 1 rule: {:.2} wall, {:.2} CPU",
        grown(|r| &r.wall),
        grown(|r| &r.cpu)
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
        files.retain(|f| f.extension().is_some_and(|e| e == "rules"));
        files.sort();
    }
    let read = |p: &PathBuf| SourceFile::new(p.display().to_string(), std::fs::read_to_string(p).unwrap());
    files.iter().map(read).collect()
}

/// Rules of the kinds that the packs, the tests and the recordings' pages hold, each with operations,
/// filters, statistics, windows and thresholds of its own, drawn by chance: what teams write who do not
/// know of one another. Repetition is rare, and no rule is there because the evaluator likes it.
fn generated(n: usize) -> String {
    let mut state = 20_260_501_u64;
    let mut draw = move |n: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % n
    };
    let calls = [
        "gpu.launch",
        "cuda.launch",
        "cuda.launch[not first_use]",
        "cuda.memcpy",
        "cuda.cudaMemcpyAsync",
        "cuda.cudaMalloc",
        "cuda.cudaStreamSync",
        "cuda.cudaDeviceSync",
        "driver.cuLaunchKernel",
        "driver.cuMemAlloc",
    ];
    let others = ["io.read", "io.write", "net.send", "net.recv"];
    let mut out = String::new();
    for i in 0..n {
        let call = calls[draw(calls.len())];
        let with = |filter: String| match call.strip_suffix(']') {
            Some(open) => format!("{open}, {filter}]"),
            None => format!("{call}[{filter}]"),
        };
        let other = others[draw(others.len())];
        let pct = ["p50", "p90", "p95", "p99", "p99.9"][2 + draw(3)];
        let base = ["p50", "p90"][draw(2)];
        let window = ["500ms", "1s", "2s", "5s", "10s", "30s"][draw(6)];
        let part = ["", "@steady", "@second_half"][draw(3)];
        let (times, share, few, us, ms) = (
            2 + draw(12),
            5 + draw(90),
            1 + draw(200),
            50 + draw(4000),
            1 + draw(1500),
        );
        let condition = match draw(13) {
            0 => format!("cuda.{pct} > {times}*p50 and sched.off_cpu(pid) > {ms}ms within {few}ms"),
            1 => format!(
                "{call}.{pct} > {times}*{base} and covered({}, sched.off_cpu) >= {share}%",
                with(format!("duration > {times}*{base}"))
            ),
            2 => format!(
                "{} and {other} > {us}us within {few}ms",
                with(format!("duration > {us}us"))
            ),
            3 => format!("{call}.count over {window} > {}", us * few / 8),
            4 => format!(
                "{}.sum{part} over {window} >= {ms}ms",
                with(format!("duration > {us}us"))
            ),
            5 => format!("{}.count{part} > {few}", with(format!("duration > {us}us"))),
            6 => format!("{call}.busy{part} >= {share}%"),
            7 => format!(
                "gap(gpu)[duration >= {times}ms].sum{part} over {window} >= {ms}ms and gap(gpu)[duration >= {times}ms].count{part} >= {few}"
            ),
            8 => format!(
                "cuda.memcpy[bytes >= {}KiB, duration > {us}us].count > {few} and cuda.memcpy[bytes >= {}KiB].p50 > {us}us",
                few * 4,
                few * 4
            ),
            9 => format!("gpu.launch[since_sync >= {us}].count >= {few} and cuda.sync.{pct} >= {us}us"),
            10 => format!("{call}.avg{part} > {us}us and {call}.max > {ms}ms and {call}.count >= {few}"),
            11 => format!("change({call}.{pct}) >= {share}%"),
            _ => format!("{call}.{pct} over {window} > {us}us"),
        };
        writeln!(out, "when {condition} => R{i}").unwrap();
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
    into.cpu.push(numbers[3]);
}

/// Does one thing and prints seconds of reading, seconds of judging, its peak memory and its CPU seconds.
fn child(role: &str, trace: &Path, rules: &Path, threads: usize) {
    let begin = Instant::now();
    let (mut read, mut judged) = (0.0, 0.0);
    match role {
        "get2" => get2(trace),
        "cat" => cat(trace),
        _ => {
            let compiled = lang::compile(&sources(rules), &[]);
            assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics);
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
    println!("{read} {judged} {} {}", peak_bytes(), cpu_seconds());
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

/// Of this process, all threads, user and system, in steps of 10 ms (the kernel reports in hundredths).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name may hold blanks; after it come the state and the 3rd field.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0");
    let kib: u64 = line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
    kib * 1024
}
