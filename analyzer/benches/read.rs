//! Reading a large trace, beside the bare scan that anybody could write.
//!
//! `cargo bench -p ingero --bench read` makes a file of 1 M events in the temporary folder and
//! reads it; `INGERO_BENCH_EVENTS=10000000` makes it 10 M. Each measurement is a process of its
//! own, so that its peak memory is its own, and the readers take turns. `needs` and `all` read
//! straight from pages, `sneeds` and `sall` the same through SQLite.
#![expect(clippy::print_stdout, reason = "the output of a benchmark")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use ingero::trace::catalogue::{Op, Source};
use ingero::trace::{Needs, ReadOptions};
use rusqlite::{Connection, OpenFlags, params};

const ROUNDS: usize = 5;
const THREADS: usize = 2;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, role, path] = args.as_slice()
        && !role.starts_with("--")
    {
        measure(role, Path::new(path));
        return;
    }
    // `cargo test --benches` only wants to know that it runs.
    let events = if args.iter().any(|a| a == "--bench") {
        std::env::var("INGERO_BENCH_EVENTS").map_or(1_000_000, |n| n.parse().expect("a number"))
    } else {
        10_000
    };
    let path = file(events);
    let size = std::fs::metadata(&path).expect("just made").len();
    println!(
        "{events} events, {} MB, {THREADS} threads, {}",
        size / 1_000_000,
        path.display()
    );
    let roles = ["get2", "needs", "sneeds", "all", "sall", "all1"];
    let mut runs: Vec<Vec<(f64, f64)>> = vec![Vec::new(); roles.len()];
    for _ in 0..ROUNDS {
        for (role, runs) in roles.iter().zip(&mut runs) {
            let me = std::env::current_exe().expect("a path");
            let out = Command::new(me).arg(role).arg(&path).output().expect("it runs");
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            let mut numbers = text.split_whitespace().map(|n| n.parse::<f64>().expect("a number"));
            runs.push((numbers.next().expect("seconds"), numbers.next().expect("bytes")));
        }
    }
    let base: Vec<f64> = runs[0].iter().map(|r| r.0).collect();
    for (role, runs) in roles.iter().zip(&runs) {
        let seconds = median(runs.iter().map(|r| r.0));
        let paired = median(runs.iter().zip(&base).map(|(a, b)| a.0 / b));
        let memory = median(runs.iter().map(|r| r.1));
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        let n = events as f64;
        println!(
            "{:<6} {seconds:.3} s, {:.2} M rows/s, {paired:.2} x get2, {:.1} bytes of peak memory an event",
            role,
            n / seconds / 1e6,
            memory / n
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut v: Vec<f64> = values.collect();
    v.sort_by(f64::total_cmp);
    v[v.len() / 2]
}

/// Runs one reader and prints its seconds and its peak memory.
fn measure(role: &str, path: &Path) {
    let begin = Instant::now();
    match role {
        "get2" => get2(path),
        "needs" => read(path, needs(), THREADS, true),
        "sneeds" => read(path, needs(), THREADS, false),
        "all" => read(path, Needs::everything(), THREADS, true),
        "sall" => read(path, Needs::everything(), THREADS, false),
        "all1" => read(path, Needs::everything(), 1, true),
        other => panic!("no reader {other}"),
    }
    println!("{} {}", begin.elapsed().as_secs_f64(), peak_bytes());
}

/// What the shipped rules ask for, about: calls, off-CPU time, copies; no rank, no cgroup.
fn needs() -> Needs {
    let mut needs = Needs::nothing();
    for op in Op::all() {
        if matches!(
            op.def().source,
            Source::Cuda | Source::Driver | Source::Sched | Source::Process | Source::Io
        ) {
            needs.add(op);
        }
    }
    needs
}

fn read(path: &Path, needs: Needs, threads: usize, pages: bool) {
    let options = ReadOptions {
        needs,
        threads,
        ..ReadOptions::default()
    };
    let paths = [path.to_path_buf()];
    let (trace, errors) = if pages {
        ingero::trace::read(&paths, &options)
    } else {
        options.read_through_sqlite(&paths)
    };
    assert!(errors.is_empty(), "{errors:?}");
    let trace = trace.expect("a trace");
    assert!(trace.events() > 0);
    let reader = &trace.files[0].reader;
    assert_eq!(reader.starts_with("pages"), pages, "{reader}");
    // A process that ends needs not free it.
    std::mem::forget(trace);
}

/// Six integer columns through `get`, two connections, halves by row number.
fn get2(path: &Path) {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        Connection::open_with_flags(format!("file:{}?immutable=1", path.display()), flags).expect("it opens")
    };
    let max: i64 = open()
        .query_row("SELECT max(rowid) FROM events", [], |r| r.get(0))
        .expect("rows");
    let halves = [(1, max / 2), (max / 2 + 1, max)];
    std::thread::scope(|s| {
        for (from, to) in halves {
            s.spawn(move || {
                let conn = open();
                let mut stmt = conn
                    .prepare(
                        "SELECT timestamp, duration, pid, tid, source, op FROM events WHERE rowid BETWEEN ?1 AND ?2",
                    )
                    .expect("it prepares");
                let mut rows = stmt.query([from, to]).expect("it runs");
                let mut columns: [Vec<i64>; 3] = Default::default();
                while let Some(r) = rows.next().expect("a row") {
                    columns[0].push(r.get::<_, i64>(0).expect("an integer"));
                    columns[1].push(r.get::<_, i64>(1).expect("an integer"));
                    let ids = (2..6).fold(0_i64, |a, i| (a << 16) ^ r.get::<_, i64>(i).expect("an integer"));
                    columns[2].push(ids);
                }
                std::hint::black_box(columns);
            });
        }
    });
}

fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0");
    line.split_whitespace()
        .next()
        .and_then(|n| n.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> i64 {
        i64::try_from(self.next() % n).expect("n is small")
    }
}

/// Makes the file unless it is there: 8 processes of 6 threads, 12 kinds of events, durations over
/// three orders of magnitude, one row in six older than the one before.
fn file(events: u64) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ingero-bench-{events}.db"));
    if path.exists() {
        return path;
    }
    let part = path.with_extension("part");
    let _ = std::fs::remove_file(&part);
    let mut conn = Connection::open(&part).expect("it opens");
    conn.execute_batch("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")
        .expect("pragmas");
    conn.execute_batch(ingero::trace::SCHEMA_SQL).expect("the schema");
    conn.execute_batch("INSERT INTO sessions(started_at, stopped_at, cpu_cores, flags, node) VALUES (1775000000000000000, 1775000400000000000, 4, 'record-all', 'gpu-node-01')")
        .expect("a session");
    let kinds = [
        (1, 3),
        (1, 3),
        (4, 1),
        (4, 1),
        (3, 1),
        (3, 1),
        (1, 7),
        (1, 5),
        (3, 2),
        (5, 1),
        (7, 1),
        (7, 2),
        (1, 3),
        (4, 1),
        (3, 1),
        (4, 5),
        (1, 6),
    ];
    let mut r = Random(0x9E37_79B9_7F4A_7C15);
    let tx = conn.transaction().expect("a transaction");
    {
        let mut insert = tx
            .prepare("INSERT INTO events(rowid, id, timestamp, pid, tid, source, op, duration, arg0, arg1, stack_hash, node, rank, comm, cgroup_id) VALUES (?1, 'gpu-node-01:' || ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'gpu-node-01', 0, 'python3', 4711)")
            .expect("it prepares");
        let mut now = 1_775_000_000_000_000_000_i64;
        for i in 1..=events {
            now += r.below(75_000);
            let late = if r.below(6) == 0 { r.below(350_000_000) } else { 0 };
            let (source, op) = kinds[usize::try_from(r.below(kinds.len() as u64)).expect("small")];
            let (mut pid, tid) = {
                let p = 73_000 + 100 * r.below(8);
                (p, p + r.below(6))
            };
            let duration = (1 << (10 + r.below(8))) + r.below(1000);
            let (mut arg0, mut arg1) = (0x7f3a_0000_0000 + 64 * r.below(200), 0);
            match (source, op) {
                (3, 1) => {
                    pid = tid;
                    (arg0, arg1) = (0, 73_000 + 100 * r.below(8));
                }
                (3, 2) => (arg0, arg1) = (0, tid),
                (1, 7) => (arg0, arg1) = (1 << (8 + r.below(16)), 1),
                (5, _) => (arg0, arg1) = (8, 12_345),
                _ => {}
            }
            let id = i64::try_from(i).expect("small");
            insert
                .execute(params![
                    id,
                    now - late,
                    pid,
                    tid,
                    source,
                    op,
                    duration,
                    arg0,
                    arg1,
                    r.below(1 << 60)
                ])
                .expect("it inserts");
        }
    }
    tx.commit().expect("it commits");
    conn.execute_batch(ingero::trace::INDEXES_SQL).expect("the indexes");
    drop(conn);
    std::fs::rename(&part, &path).expect("same folder");
    path
}
