//! Every library call the program makes is in the file, once, in order, with its arguments.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "a test")]

mod common;
use common::{Made, int, ints, made, said, standin};
use rusqlite::Connection;
use std::process::Stdio;

/// Compares the stored calls of the program with those it says it made, one by one.
fn assert_all_recorded(db: &Connection, made: &[Made]) {
    let offset = int(db, "SELECT offset_ns FROM clock_offsets ORDER BY timestamp LIMIT 1");
    let polls: Vec<&Made> = made.iter().filter(|m| is_poll(m)).collect();
    let mut calls: Vec<&Made> = made.iter().filter(|m| !is_poll(m)).collect();
    // Only within a thread is the order of what it said that of what was seen.
    calls.sort_by_key(|m| m.tid);
    let rows = ints(
        db,
        "SELECT source,op,arg0,arg1,coalesce(stream,0),coalesce(handle,0),ret_code,timestamp,\
         duration,tid,e.rowid FROM events e LEFT JOIN call_details d ON d.event=e.rowid \
         WHERE source IN (1,4,8,9) ORDER BY tid, timestamp, e.rowid",
    );
    for (m, r) in calls.iter().zip(&rows) {
        let want = [m.source, m.op, m.arg0, m.arg1, m.stream, m.handle, m.ret];
        assert_eq!(r[..7], want, "{m:?}");
        assert_eq!(r[9], m.tid, "{m:?}");
        let (start, dur) = (r[7] - offset, r[8]);
        assert!(start >= m.start && start + dur <= m.end, "{m:?}: {start} + {dur}");
        if let Some(want) = &m.nccl {
            let sql = "SELECT seq,count,dtype,bytes,peer,rank,nranks,comm_id,comm,(SELECT arg1 FROM events \
                       WHERE rowid=event) FROM nccl_calls WHERE event=";
            let detail = ints(db, &format!("{sql}{}", r[10]));
            assert_eq!(detail[0][..8], want[..], "{m:?}");
            assert_eq!(detail[0][8], detail[0][9], "communicator of {m:?}");
        }
    }
    assert_eq!(rows.len(), calls.len(), "rows and calls");
    for p in polls {
        let sql = "SELECT coalesce(sum(count),0) FROM event_aggregates WHERE stored=0 AND";
        let n = int(db, &format!("{sql} source={} AND op={}", p.source, p.op));
        assert_eq!(n, 1, "{p:?}");
    }
    assert_eq!(int(db, LOST), 0);
}

/// Counts of pages aside: the counter skips an allocation that it makes itself, and says so.
const LOST: &str = "SELECT count(*) FROM recording_losses WHERE probe!='pages'";

fn is_poll(m: &Made) -> bool {
    matches!((m.source, m.op), (1, 113..=115) | (4, 126..=128))
}

fn every_op(args: &[&str], flags: &[&str], kind: &str) {
    let s = standin(kind, flags);
    let (text, db) = s.record(&[args, &["--nested"]].concat(), &["all"]);
    let made = made(&text);
    assert!(made.len() > 110);
    assert_all_recorded(&db, &made);
    // Each op of the table was called, or the test proves too little.
    for op in ingero_recorder::probes::ops::OPS {
        let called = |m: &Made| (m.source, m.op) == (i64::from(op.source), i64::from(op.op));
        assert!(made.iter().any(called), "{op:?} is not called by the program");
        for name in op.names {
            assert!(made.iter().any(|m| m.name == *name), "{name} is not called");
        }
    }
    assert_eq!(
        int(&db, "SELECT count(*) FROM recording_probes WHERE status='failed'"),
        0
    );
}

#[test]
fn every_op_is_recorded_by_session_programs() {
    needs_bpf!();
    every_op(&["--attach", "session"], &[], "session");
}

#[test]
fn every_op_is_recorded_by_pairs_of_probes() {
    needs_bpf!();
    every_op(&["--attach", "pair"], &[], "pair");
}

#[test]
fn the_ranks_of_a_communicator_are_told_apart_and_brought_together() {
    needs_bpf!();
    let s = standin("ranks", &[]);
    let (text, db) = s.record(&[], &["ranks"]);
    assert_all_recorded(&db, &made(&text));
    // Every collective of the two that both ranks are in has both of them, at one number, and no other.
    let pairs = ints(
        &db,
        "SELECT comm_id,seq,count(*),count(DISTINCT e.pid),count(DISTINCT n.rank),min(e.op)=max(e.op) \
         FROM nccl_calls n JOIN events e ON e.rowid=n.event WHERE seq>0 AND nranks=2 GROUP BY 1,2",
    );
    assert_eq!(pairs.len(), 40);
    assert!(pairs.iter().all(|p| p[0] != 0 && p[2..] == [2, 2, 2, 1]), "{pairs:?}");
    // The addresses would not have told.
    let handles = "SELECT count(DISTINCT comm) FROM nccl_calls WHERE seq=1 AND bytes=4000";
    assert_eq!(int(&db, handles), 2);
}

#[test]
fn calls_are_recorded_by_plain_probes() {
    needs_bpf!();
    // Without the driver and NCCL: hundreds of single links take a minute to detach.
    let s = standin("plain-probes", &[]);
    let args = [
        "--attach",
        "plain",
        "--without",
        "driver",
        "--without",
        "nccl",
        "--without",
        "graph",
    ];
    let (text, db) = s.record(&args, &["all"]);
    let runtime: Vec<Made> = made(&text).into_iter().filter(|m| m.source == 1).collect();
    assert!(runtime.len() > 30);
    assert_all_recorded(&db, &runtime);
}

#[test]
fn every_op_is_recorded_behind_endbr64() {
    needs_bpf!();
    every_op(&[], &["-fcf-protection=branch"], "endbr");
}

#[test]
fn every_op_is_recorded_in_optimised_code() {
    needs_bpf!();
    every_op(&[], &["-O2", "-fno-ipa-icf"], "optimised");
}

#[test]
fn a_driver_call_inside_its_runtime_call_is_left_out_and_counted() {
    needs_bpf!();
    let s = standin("nesting", &["-DNESTING"]);
    let (_, db) = s.record(&[], &["calls", "50"]);
    assert_eq!(int(&db, "SELECT count(*) FROM events WHERE source=1 AND op=3"), 50);
    assert_eq!(int(&db, "SELECT count(*) FROM events WHERE source=4 AND op=1"), 0);
    let sql = "SELECT value FROM recording WHERE key='nested_driver_calls_left_out'";
    let n: String = db.query_row(sql, [], |r| r.get(0)).unwrap();
    assert_eq!(n, "50");
    // Loading code is not launching: what makes the first launch slow stays visible in it.
    let inside = "SELECT count(*) FROM events d JOIN events r ON r.source=1 AND r.tid=d.tid AND \
                  d.timestamp>=r.timestamp AND d.timestamp+d.duration<=r.timestamp+r.duration \
                  WHERE d.source=4 AND d.op=124";
    assert_eq!(int(&db, inside), 1);
}

#[test]
fn nested_driver_calls_are_kept_on_request() {
    needs_bpf!();
    for attach in ["session", "pair"] {
        let s = standin(&format!("nested-{attach}"), &["-DNESTING"]);
        let (_, db) = s.record(&["--nested", "--attach", attach], &["calls", "50"]);
        let inside = "SELECT count(*) FROM events d JOIN events r ON r.source=1 AND r.op=3 AND \
                      d.arg0=r.arg0 AND d.timestamp>=r.timestamp AND \
                      d.timestamp+d.duration<=r.timestamp+r.duration WHERE d.source=4 AND d.op=1";
        assert_eq!(int(&db, inside), 50, "{attach}");
    }
}

#[test]
fn a_library_opened_late_is_attached_and_the_delay_is_said() {
    needs_bpf!();
    let s = standin("late", &[]);
    let out = s
        .recorder(&["--"])
        .arg(s.program())
        .args(["late", "25"])
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .unwrap();
    let made = made(&common::succeeded(&out));
    let db = common::open(&s.db());
    assert_eq!(made.len(), 25);
    assert_all_recorded(&db, &made);
    let sql = "SELECT reason FROM recording_probes WHERE probe='cudaLaunchKernel'";
    let why: String = db.query_row(sql, [], |r| r.get(0)).unwrap();
    assert!(why.contains("ms after it was mapped"), "{why}");
}

#[test]
fn a_forked_child_that_execs_is_followed() {
    needs_bpf!();
    let s = standin("exec", &[]);
    let (text, db) = s.record(&[], &["exec"]);
    let child = said(&text, "child");
    let made = made(&text);
    assert_eq!(made.len(), 7);
    assert_all_recorded(&db, &made);
    let of_child = format!("SELECT count(*) FROM events WHERE pid={child} AND");
    assert_eq!(int(&db, &format!("{of_child} source=1")), 7);
    assert_eq!(int(&db, &format!("{of_child} source=3 AND op=5")), 1);
    assert_eq!(int(&db, &format!("{of_child} source=3 AND op=6")), 1);
    let fork = format!("SELECT count(*) FROM events WHERE source=3 AND op=7 AND arg1={child}");
    assert_eq!(int(&db, &fork), 1);
    let task = format!("SELECT traced FROM tasks WHERE tid={child} AND start_ns>0 AND exit_ns>start_ns");
    assert_eq!(int(&db, &task), 1);
}

#[test]
fn a_burst_is_accounted_for_to_the_last_call() {
    needs_bpf!();
    let s = standin("burst", &[]);
    let (text, db) = s.record(&["--ring-size", "1", "--without", "io"], &["burst", "1000000"]);
    let made = said(&text, "burst");
    let stored = int(&db, "SELECT count(*) FROM events WHERE source=1 AND op=3");
    let lost = int(
        &db,
        "SELECT coalesce(sum(lost),0) FROM recording_losses WHERE probe='cuda'",
    );
    assert_eq!(stored + lost, made, "{stored} stored, {lost} lost");
    assert!(stored > 10_000, "{stored}");
    let counted = int(&db, "SELECT sum(count) FROM event_aggregates WHERE source=1 AND op=3");
    assert_eq!(counted, stored);
    // Losses are named by CPU and second, within the recording.
    let bad = "SELECT count(*) FROM recording_losses, sessions WHERE probe='cuda' AND (cpu<0 OR \
               reason!='ring_full' OR bucket%1000000000!=0 OR bucket<started_at-1000000000 OR \
               bucket>stopped_at)";
    assert_eq!(int(&db, bad), 0);
    // Whatever was stored is in order and no call twice.
    let twice = "SELECT count(*)-count(DISTINCT arg0) FROM events WHERE source=1 AND op=3";
    assert_eq!(int(&db, twice), 0);
}

#[test]
fn a_burst_that_fits_loses_nothing() {
    needs_bpf!();
    let s = standin("fits", &[]);
    let (text, db) = s.record(&["--ring-size", "256"], &["burst", "300000"]);
    assert_eq!(
        int(&db, "SELECT count(*) FROM events WHERE source=1 AND op=3"),
        said(&text, "burst")
    );
    assert_eq!(int(&db, LOST), 0);
}

#[test]
fn short_calls_become_counts_and_histograms_on_request() {
    needs_bpf!();
    let s = standin("threshold", &[]);
    let (text, db) = s.record(&["--min-duration", "cudaLaunchKernel=1s"], &["burst", "20000"]);
    let made = said(&text, "burst");
    assert_eq!(int(&db, "SELECT count(*) FROM events WHERE source=1"), 0);
    for sql in [
        "SELECT sum(count) FROM recording_histograms WHERE source=1 AND op=3",
        "SELECT sum(count) FROM event_aggregates WHERE source=1 AND op=3 AND stored=0",
        "SELECT sum(count) FROM event_aggregates_5s WHERE source=1 AND op=3 AND stored=0",
    ] {
        assert_eq!(int(&db, sql), made, "{sql}");
    }
    let min = "SELECT min_dur FROM recording_thresholds WHERE source=1 AND op=3";
    assert_eq!(int(&db, min), 1_000_000_000);
    let flags: String = db.query_row("SELECT flags FROM sessions", [], |r| r.get(0)).unwrap();
    assert_eq!(flags, "record");
    // The slots hold the exact sum within their width.
    let sum = int(&db, "SELECT sum(sum_dur) FROM event_aggregates WHERE source=1 AND op=3");
    let (mut low, mut high) = (0, 0);
    for r in ints(&db, "SELECT slot,sum(count) FROM recording_histograms GROUP BY slot") {
        let (s, n) = (r[0], r[1]);
        low += n * if s < 16 { s } else { (16 + s % 16) << (s / 16 - 1) };
        high += n * if s < 16 { s + 1 } else { (17 + s % 16) << (s / 16 - 1) };
    }
    assert!(low <= sum && sum < high, "{low} {sum} {high}");
}

#[test]
fn a_library_of_another_root_is_probed_there() {
    needs_bpf!();
    let s = standin("root", &[]);
    // A root of its own with the program, its C library and a copy of the stand-ins.
    let root = s.dir.join("root");
    std::fs::create_dir(&root).unwrap();
    let linked = std::process::Command::new("ldd").arg(s.program()).output().unwrap();
    let linked = String::from_utf8(linked.stdout).unwrap();
    let mut files: Vec<&str> = linked.split_whitespace().filter(|w| w.starts_with('/')).collect();
    let libraries = ["libcudart.so.13", "libcuda.so.1", "libnccl.so.2", "program"];
    let own: Vec<_> = libraries.iter().map(|l| s.dir.join(l)).collect();
    for file in files.drain(..) {
        let to = root.join(file.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(file, to).unwrap();
    }
    for file in own {
        std::fs::copy(&file, root.join(file.file_name().unwrap())).unwrap();
    }
    let out = s
        .recorder(&["--"])
        .args(["unshare", "-m", "chroot"])
        .arg(&root)
        .args(["/program", "late", "25"])
        .env("STANDIN", "/")
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .unwrap();
    let made = made(&common::succeeded(&out));
    let db = common::open(&s.db());
    assert_eq!(made.len(), 25);
    assert_all_recorded(&db, &made);
    let target = common::texts(
        &db,
        "SELECT DISTINCT target FROM recording_probes WHERE status='attached' AND target!=''",
    );
    assert!(target.iter().any(|t| t.ends_with("libcudart.so.13")), "{target:?}");
}

#[test]
fn a_call_that_does_not_return_is_in_the_file_while_it_lasts() {
    needs_bpf!();
    let s = standin("never", &[]);
    let mut recorder = s
        .recorder(&["--"])
        .arg(s.program())
        .arg("never")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Before the recording ends, for it may not end well.
    common::wait_for("open calls", || {
        Connection::open_with_flags(s.db(), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
            .and_then(|db| db.query_row("SELECT count(*) FROM open_calls", [], |r| r.get::<_, i64>(0)))
            .is_ok_and(|n| n >= 3)
    });
    common::signal(recorder.id(), libc::SIGTERM);
    assert!(recorder.wait().unwrap().success());
    let db = common::open(&s.db());
    let calls = common::texts(
        &db,
        "SELECT source,name,how,depth,arg0,seq,rank,nranks,comm_id<>0 FROM open_calls JOIN ops ON source_id=source AND op_id=op \
         ORDER BY source,how DESC",
    );
    // The one that was left by a jump is not among them.
    let bytes = 0xdead * 4;
    let want = [
        "1|cudaStreamSync|open|0|57005|0|-1|-1|0".to_owned(),
        "1|cudaStreamSync|exit|0|3604|0|-1|-1|0".to_owned(),
        format!("9|ncclAllReduce|open|0|{bytes}|2|3|8|1"),
    ];
    assert_eq!(calls, want);
    // One line of time with the events, and an end that is the end of what is known.
    let bad = "SELECT count(*) FROM open_calls, sessions WHERE start_ns<started_at OR seen_ns<start_ns OR \
               seen_ns>stopped_at OR (how='open' AND seen_ns-start_ns<1000000000)";
    assert_eq!(int(&db, bad), 0);
    // None of them is also a finished call, and the first collective, which did return, is one.
    let finished = "SELECT source,op,count(*) FROM events WHERE source IN (1,9) GROUP BY source,op ORDER BY source,op";
    assert_eq!(ints(&db, finished), [[9, 1, 1], [9, 3, 1]]);
}
