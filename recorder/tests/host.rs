//! What the host does to the program: scheduling, processes, sockets, disks, memory.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "a test")]

mod common;
use common::{Cgroup, int, ints, made, said, standin, texts};
use std::io::{BufRead, BufReader, Write};

#[test]
fn sleeps_are_intervals_of_the_right_length_and_state() {
    needs_bpf!();
    let s = standin("sleeps", &[]);
    let (text, db) = s.record(&[], &["sleeps", "25"]);
    let (tid, begin) = (said(&text, "pid"), said(&text, "begin"));
    // By the sleep itself: on a busy machine the wait for a CPU after it can be as long.
    let rows = ints(
        &db,
        &format!(
            "SELECT duration,state,woken_at,timestamp,preemptor,pid FROM events e \
             JOIN sched_details d ON d.event=e.rowid WHERE source=3 AND op=1 AND tid={tid} \
             AND woken_at-(timestamp-duration) BETWEEN 19000000 AND 500000000 AND timestamp-duration>={begin}+(SELECT \
             offset_ns FROM clock_offsets ORDER BY timestamp LIMIT 1) ORDER BY timestamp"
        ),
    );
    assert_eq!(rows.len(), 25);
    for r in rows {
        assert_eq!(r[1], 1, "interruptible: {r:?}");
        assert!(r[2] > r[3] - r[0] && r[2] <= r[3], "woken inside the interval: {r:?}");
        assert!(
            r[2] - (r[3] - r[0]) >= 19_000_000,
            "woken at the end of the sleep: {r:?}"
        );
        assert!(r[4] != tid, "somebody else took the CPU: {r:?}");
        assert_eq!(r[5], tid, "a thread id in both columns");
    }
    let n = "SELECT count(*) FROM events e WHERE source=3 AND op=1 AND \
             NOT EXISTS (SELECT 1 FROM sched_details WHERE event=e.rowid)";
    assert_eq!(int(&db, n), 0);
}

#[test]
fn preemption_is_told_from_sleep_and_names_the_preemptor() {
    needs_bpf!();
    let s = standin("preempt", &[]);
    let (text, db) = s.record(&[], &["preempt"]);
    let (main, spinner) = (said(&text, "pid"), said(&text, "spinner"));
    for (tid, other) in [(main, spinner), (spinner, main)] {
        let sql = format!(
            "SELECT sum(preemptor={other}),sum(duration) FROM events e JOIN sched_details d \
             ON d.event=e.rowid WHERE source=3 AND op=1 AND tid={tid} AND state=0"
        );
        let r = &ints(&db, &sql)[0];
        assert!(r[0] >= 3, "{tid} was preempted by {other} {} times", r[0]);
        // Two loops of 1.5 s on one CPU: each waits while the other runs, or longer where other
        // programs want the CPU too.
        assert!(r[1] > 300_000_000 && r[1] < 2_000_000_000, "{}", r[1]);
    }
    // On-CPU and off-CPU time fill a thread's life: intervals of one thread never overlap.
    let overlap = format!(
        "SELECT count(*) FROM (SELECT timestamp-duration AS b, \
         lag(timestamp) OVER (ORDER BY timestamp) AS a FROM events WHERE source=3 AND op=1 AND \
         tid={spinner}) WHERE b<a"
    );
    assert_eq!(int(&db, &overlap), 0);
}

#[test]
fn threads_older_than_the_recorder_are_recorded() {
    needs_bpf!();
    let s = standin("old", &[]);
    let mut program = s.start(&["threads"]);
    let mut lines = BufReader::new(program.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let mut text = String::new();
    for line in lines.by_ref() {
        text.push_str(&line);
        text.push('\n');
        if line == "ready" {
            break;
        }
    }
    let pid = program.id().to_string();
    let mut recorder = s.recorder(&["--pid", &pid]).spawn().unwrap();
    common::wait_attached(&s.db());
    program.stdin.take().unwrap().write_all(b"g").unwrap();
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    program.wait().unwrap();
    assert!(recorder.wait().unwrap().success(), "it ends with its target");
    let db = common::open(&s.db());
    let calls = made(&text);
    assert_eq!(calls.len(), 15);
    assert_eq!(int(&db, "SELECT count(*) FROM events WHERE source=1 AND op=3"), 15);
    let threads: Vec<i64> = text
        .lines()
        .filter_map(|l| l.strip_prefix("thread ")?.parse().ok())
        .collect();
    assert_eq!(threads.len(), 3);
    for tid in threads {
        let task = format!("SELECT traced FROM tasks WHERE tid={tid} AND start_ns=0 AND exit_ns>0");
        assert_eq!(int(&db, &format!("{task} AND pid={pid} AND comm='old-worker'")), 1);
        // It slept since before the recorder came, which is known, and its own sleep of 20 ms.
        let off = format!(
            "SELECT count(*) FROM events e JOIN sched_details d ON d.event=e.rowid \
                           WHERE source=3 AND op=1 AND tid={tid} AND state=1"
        );
        assert!(int(&db, &off) >= 2);
        let sleep = format!("{off} AND duration BETWEEN 19000000 AND 80000000");
        assert!(int(&db, &sleep) >= 1);
        let comm = format!("SELECT source,op,comm FROM events WHERE tid={tid} AND comm!='old-worker'");
        assert_eq!(texts(&db, &comm), [""; 0]);
    }
    let why: String = db
        .query_row("SELECT value FROM recording WHERE key='stopped_by'", [], |r| r.get(0))
        .unwrap();
    assert_eq!(why, "targets ended");
}

#[test]
fn a_thread_that_sleeps_all_the_time_has_one_interval() {
    needs_bpf!();
    let s = standin("asleep", &[]);
    let mut program = s.start(&["quiet", "30000"]);
    std::thread::sleep(std::time::Duration::from_millis(200));
    let pid = program.id().to_string();
    let out = s.recorder(&["--pid", &pid, "--duration", "1s"]).output().unwrap();
    program.kill().unwrap();
    program.wait().unwrap();
    common::succeeded(&out);
    let db = common::open(&s.db());
    let rows = ints(
        &db,
        &format!(
            "SELECT duration,state,woken_at,cpu FROM events e JOIN sched_details d ON d.event=e.rowid \
             WHERE tid={pid}"
        ),
    );
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(
        rows[0][0] > 900_000_000 && rows[0][1] == 1 && rows[0][2] == 0,
        "{rows:?}"
    );
    assert_eq!(rows[0][3], 0xffff, "it did not come back");
}

#[test]
fn socket_calls_are_recorded_and_file_reads_are_not() {
    needs_bpf!();
    let s = standin("net", &[]);
    let (text, db) = s.record(&[], &["net"]);
    let line = text.lines().find_map(|l| l.strip_prefix("fds ")).unwrap();
    let fds: Vec<i64> = line.split(' ').map(|f| f.parse().unwrap()).collect();
    let (a, b) = (fds[0], fds[1]);
    let rows = ints(
        &db,
        "SELECT op,arg0,arg1 FROM events WHERE source=7 ORDER BY timestamp,rowid",
    );
    let want = [
        [1, a, 10],
        [2, b, 10],
        [1, a, 11],
        [2, b, 11],
        [1, a, 30],
        [2, b, 30],
        [1, a, 13],
        [2, b, 13],
        [2, b, 0],
    ];
    assert_eq!(rows, want);
}

#[test]
fn block_requests_have_a_size_and_a_latency() {
    needs_bpf!();
    let s = standin("io", &[]);
    let file = s.dir.join("data");
    let (text, db) = s.record(&[], &["io", file.to_str().unwrap()]);
    let pid = said(&text, "pid");
    let rows = ints(
        &db,
        &format!("SELECT arg0,duration FROM events WHERE source=5 AND op=2 AND pid={pid}"),
    );
    let sectors: i64 = rows.iter().map(|r| r[0]).sum();
    if sectors == 0 {
        eprintln!("skipped: {} is on no block device", file.display());
        return;
    }
    assert!(sectors >= 20 * 128, "{sectors}");
    assert!(rows.iter().all(|r| r[1] > 1000 && r[1] < 10_000_000_000), "{rows:?}");
}

#[test]
fn page_allocations_are_counted_by_order() {
    needs_bpf!();
    let s = standin("pages", &[]);
    let (text, db) = s.record(&[], &["calls", "1"]);
    let pid = said(&text, "pid");
    let count = int(
        &db,
        &format!("SELECT sum(count) FROM event_aggregates WHERE source=3 AND op=3 AND pid={pid}"),
    );
    assert!(count > 20, "{count}");
    let by_order = int(&db, &format!("SELECT sum(count) FROM page_allocs WHERE pid={pid}"));
    assert_eq!(by_order, count);
    let bytes = int(
        &db,
        &format!("SELECT sum(count*(4096<<ord)) FROM page_allocs WHERE pid={pid}"),
    );
    let sum = "SELECT sum(sum_arg0) FROM event_aggregates WHERE source=3 AND op=3 AND";
    assert_eq!(int(&db, &format!("{sum} pid={pid}")), bytes);
    assert_eq!(int(&db, "SELECT count(*) FROM events WHERE source=3 AND op=3"), 0);
}

#[test]
fn throttling_of_the_cgroup_is_read_once_a_second() {
    needs_bpf!();
    let Some(group) = Cgroup::new("cpu", "ingero-test-throttle") else {
        eprintln!("skipped: no cgroup that limits CPU time can be made here");
        return;
    };
    group.set(("cpu.max", "10000 100000"), ("cpu.cfs_quota_us", "10000"));
    let s = standin("throttle", &[]);
    let busy = group.enter(&["sh", "-c", "while :; do :; done"]);
    let (_, db) = s.record_command(&["--duration", "3s"], &busy);
    let rows = ints(
        &db,
        "SELECT max(nr_throttled),max(throttled_us),count(*) FROM cgroup_cpu \
         WHERE cgroup_path='/ingero-test-throttle'",
    );
    let r = &rows[0];
    assert!(r[0] >= 5 && r[1] > 300_000 && r[2] >= 2, "{r:?}");
    // The thread itself was ready to run all that time.
    let waited = "SELECT sum(duration) FROM events JOIN sched_details ON event=events.rowid WHERE source=3 AND op=1 \
                  AND state=0";
    assert!(int(&db, waited) > 300_000_000);
}

#[test]
fn the_victim_of_the_oom_killer_is_named() {
    needs_bpf!();
    let Some(group) = Cgroup::new("memory", "ingero-test-oom") else {
        eprintln!("skipped: no cgroup that limits memory can be made here");
        return;
    };
    group.set(("memory.max", "33554432"), ("memory.limit_in_bytes", "33554432"));
    let s = standin("oom", &[]);
    let program = s.program();
    let (text, db) = s.record_command(
        &["--duration", "20s"],
        &group.enter(&[program.to_str().unwrap(), "eat"]),
    );
    let pid = said(&text, "pid");
    let victims = ints(&db, "SELECT arg1,timestamp FROM events WHERE source=3 AND op=4");
    assert_eq!(victims.len(), 1, "{victims:?}");
    assert_eq!(victims[0][0], pid);
    let exit = format!("SELECT timestamp FROM events WHERE source=3 AND op=6 AND pid={pid} AND tid={pid}");
    assert!(victims[0][1] <= int(&db, &exit), "killed before it ended");
    assert_eq!(
        texts(&db, "SELECT value FROM recording WHERE key='stopped_by'"),
        ["command killed by signal 9"]
    );
}

/// Sends a byte to an address that nobody has, on a device of its own, until it is sent again.
const UNANSWERED: &str = "
import socket, subprocess
for line in ['tuntap add dev t0 mode tun', 'addr add 10.9.0.1/24 dev t0', 'link set t0 up']:
    subprocess.check_call(['ip', *line.split()])
s = socket.socket()
s.bind(('10.9.0.1', 0))
s.settimeout(2.5)
print('port', s.getsockname()[1], flush=True)
try:
    s.connect(('10.9.0.2', 4242))
except OSError:
    pass
";

#[test]
fn segments_that_are_sent_again_are_recorded() {
    needs_bpf!();
    let possible = std::process::Command::new("unshare")
        .args(["-n", "ip", "tuntap", "add", "dev", "t0", "mode", "tun"])
        .output();
    if !possible.is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: no network namespace with a tun device can be made here");
        return;
    }
    let s = standin("tcp", &[]);
    let (text, db) = s.record_command(&[], &["unshare", "-n", "python3", "-c", UNANSWERED].map(str::to_owned));
    let port = said(&text, "port");
    let ports = (port << 16) + 4242;
    let again = ints(
        &db,
        &format!("SELECT arg0 FROM events WHERE source=6 AND op=1 AND arg1={ports}"),
    );
    assert!(!again.is_empty(), "the first segment waits a second");
    // Both addresses as they stand on the wire, the own one above.
    let address = |last: i64| 10 + (9 << 8) + (last << 24);
    assert!(
        again.iter().all(|r| r[0] == (address(1) << 32) + address(2)),
        "{again:x?}"
    );
}

#[test]
fn processes_are_found_by_name() {
    needs_bpf!();
    let s = standin("comm", &[]);
    let named = s.dir.join("ingero-named");
    std::fs::copy(s.program(), &named).unwrap();
    let mut recorder = s
        .recorder(&["--comm", "ingero-named", "--duration", "2s", "--lib"])
        .arg(s.dir.join("libcudart.so.13"))
        .spawn()
        .unwrap();
    common::wait_attached(&s.db());
    let run = |program: &std::path::Path| {
        let out = std::process::Command::new(program)
            .args(["calls", "6"])
            .env("STANDIN", &s.dir)
            .output()
            .unwrap();
        assert!(out.status.success());
    };
    run(&named);
    run(&s.program());
    assert!(recorder.wait().unwrap().success());
    let db = common::open(&s.db());
    assert_eq!(int(&db, "SELECT count(*) FROM events WHERE source=1"), 6);
    assert_eq!(
        int(
            &db,
            "SELECT count(*) FROM events WHERE source=1 AND comm='ingero-named'"
        ),
        6
    );
}

#[test]
fn everything_is_recorded_without_a_target() {
    needs_bpf!();
    let s = standin("everything", &[]);
    let mut recorder = s
        .recorder(&["--duration", "3s", "--lib"])
        .arg(s.dir.join("libcudart.so.13"))
        .spawn()
        .unwrap();
    common::wait_attached(&s.db());
    let out = std::process::Command::new(s.program())
        .args(["calls", "4"])
        .env("STANDIN", &s.dir)
        .output()
        .unwrap();
    let pid = said(&String::from_utf8(out.stdout).unwrap(), "pid");
    let me = recorder.id();
    assert!(recorder.wait().unwrap().success());
    let db = common::open(&s.db());
    assert_eq!(
        int(
            &db,
            &format!("SELECT count(*) FROM events WHERE source=1 AND pid={pid}")
        ),
        4
    );
    assert_eq!(
        int(&db, &format!("SELECT count(*) FROM events WHERE source=3 AND pid={me}")),
        0
    );
}
