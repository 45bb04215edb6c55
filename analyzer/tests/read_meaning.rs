//! What rows mean: small traces as SQL text, in every generation of the format.
#![allow(clippy::unwrap_used, clippy::format_push_string, reason = "a test")]

use ingero::trace::catalogue::{Op, Source};
use ingero::trace::model::{UNKNOWN_TIME, flag, preemptor};
use ingero::trace::{Lane, Process, ReadOptions, Rows, Stored, Trace, coverage, read_connection};
use ingero::unit::{Interval, SEC};
use rusqlite::Connection;

fn trace(sql: &str) -> Trace {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(sql).unwrap();
    read_connection(&conn, &ReadOptions::default()).unwrap()
}

/// A trace of our own: columns (rowid, timestamp, pid, tid, source, op, duration, arg0, arg1).
fn ours(rows: &[[i64; 9]], more: &str) -> Trace {
    let mut sql = ingero::trace::SCHEMA_SQL.to_owned();
    for [id, t, pid, tid, source, op, dur, a0, a1] in rows {
        sql += &format!(
            "INSERT INTO events(rowid, id, timestamp, pid, tid, source, op, duration, arg0, arg1, node) \
             VALUES ({id}, 'n:{id}', {t}, {pid}, {tid}, {source}, {op}, {dur}, {a0}, {a1}, 'n');"
        );
    }
    trace(&(sql + more))
}

/// A recording of the base format that stored everything.
fn base(rows: &[[i64; 9]], more: &str) -> Trace {
    let mut sql = "CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER NOT NULL, \
        pid INTEGER NOT NULL, tid INTEGER NOT NULL, source INTEGER NOT NULL, op INTEGER NOT NULL, \
        duration INTEGER NOT NULL, arg0 INTEGER NOT NULL DEFAULT 0, arg1 INTEGER NOT NULL DEFAULT 0);\
        CREATE TABLE sessions (id INTEGER PRIMARY KEY, started_at INTEGER, stopped_at INTEGER DEFAULT 0, flags TEXT);\
        INSERT INTO sessions(started_at, flags) VALUES (0, 'stack,record-all');"
        .to_owned();
    for r in rows {
        let r: Vec<String> = r.iter().map(ToString::to_string).collect();
        sql += &format!("INSERT INTO events VALUES ({});", r.join(","));
    }
    trace(&(sql + more))
}

fn op(source: i64, op: i64) -> Op {
    Op::by_ids(source, op).unwrap()
}

fn derived(source: Source, name: &str) -> Op {
    Op::by_name(source, name).unwrap()
}

fn lane(t: &Trace, tid: i64, op: Op) -> &Lane {
    t.lanes
        .iter()
        .find(|l| l.op == op && t.thread(l.thread).tid == tid)
        .unwrap_or_else(|| panic!("no {} of {tid}", op.def().name))
}

fn life(t: &Trace, pid: i64, life: u32) -> &Process {
    t.processes.iter().find(|p| (p.pid, p.life) == (pid, life)).unwrap()
}

#[test]
fn every_generation_reads_the_same() {
    let old = "CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER, pid INTEGER, tid INTEGER, \
        source INTEGER, op INTEGER, duration INTEGER, gpu_id INTEGER DEFAULT 0, arg0 INTEGER DEFAULT 0, \
        arg1 INTEGER DEFAULT 0, ret_code INTEGER DEFAULT 0, stack_hash INTEGER DEFAULT 0, stack_ips TEXT DEFAULT '', \
        cgroup_id INTEGER DEFAULT 0);";
    let row = "timestamp, pid, tid, source, op, duration) VALUES";
    let v08 = trace(&format!("{old} INSERT INTO events({row} (100, 7, 7, 1, 3, 10)"));
    let migrated = trace(&format!(
        "{old} ALTER TABLE events ADD COLUMN node TEXT NOT NULL DEFAULT ''; ALTER TABLE events ADD COLUMN rank INTEGER; \
         INSERT INTO events({row} (100, 7, 7, 1, 3, 10)"
    ));
    let v09 = trace(
        "CREATE TABLE events (id TEXT PRIMARY KEY, timestamp INTEGER, pid INTEGER, tid INTEGER, source INTEGER, \
         op INTEGER, duration INTEGER, node TEXT NOT NULL DEFAULT '', rank INTEGER); \
         INSERT INTO events VALUES ('h:1', 100, 7, 7, 1, 3, 10, 'h', 2)",
    );
    let ours = ours(&[[1, 100, 7, 7, 1, 3, 10, 0, 0]], "");
    for (t, generation, node) in [
        (&v08, "0.8", ""),
        (&migrated, "0.8 migrated", ""),
        (&v09, "0.9", "h"),
        (&ours, "0.10 + ours", "n"),
    ] {
        assert_eq!(t.files[0].generation, generation);
        assert_eq!(t.nodes[0].name, node);
        assert_eq!(lane(t, 7, op(1, 3)).interval(0), Interval::new(100, 110));
    }
    assert_eq!(lane(&v09, 7, op(1, 3)).rank, [2]);
    assert_eq!(lane(&ours, 7, op(1, 3)).rank, [-1]);
    assert_eq!(ours.nodes[0].stored, Stored::Everything);
    assert_eq!(v09.nodes[0].stored, Stored::Selected(vec![]));
}

#[test]
fn ids_order_by_number_and_nodes_stay_apart() {
    // Inserted against the order of ids, at one time: 9 comes before 10.
    let t = trace(
        "CREATE TABLE events (id TEXT PRIMARY KEY, timestamp INTEGER, pid INTEGER, tid INTEGER, source INTEGER, \
         op INTEGER, duration INTEGER, node TEXT NOT NULL DEFAULT ''); \
         INSERT INTO events VALUES ('a:10', 100, 7, 7, 1, 5, 10, 'a'), ('a:9', 100, 7, 7, 1, 5, 9, 'a'), \
         ('b:1', 100, 7, 7, 1, 5, 1, 'b')",
    );
    assert_eq!(t.nodes.len(), 2);
    assert_eq!(t.processes.len(), 2);
    let syncs: Vec<&Lane> = t.lanes.iter().filter(|l| l.op == op(1, 5)).collect();
    assert_eq!(syncs[0].dur, [9, 10]);
    assert_eq!(syncs[1].dur, [1]);
    assert!(t.files[0].notes.iter().any(|n| n.contains("order of ids")));
}

#[test]
fn each_source_has_its_anchor_and_its_bytes() {
    let t = base(
        &[
            [1, 1000, 7, 7, 1, 7, 10, 4096, 2],
            [2, 1000, 7, 7, 5, 1, 10, 8, 77],
            [3, 1000, 7, 7, 7, 2, 10, 3, 512],
            [4, 1000, 7, 7, 3, 1, 10, 0, 7],
            [5, 1000, 7, 7, 4, 2, 10, 64, 0],
            [6, 1000, 7, 7, 42, 1, 10, 64, 0],
        ],
        "",
    );
    let copy = lane(&t, 7, op(1, 7));
    assert_eq!(
        (copy.interval(0), copy.bytes[0], copy.direction[0]),
        (Interval::new(1000, 1010), 4096, 2)
    );
    let read = lane(&t, 7, op(5, 1));
    assert_eq!((read.interval(0), read.bytes[0]), (Interval::new(990, 1000), 4096));
    let recv = lane(&t, 7, op(7, 2));
    assert_eq!((recv.interval(0), recv.bytes[0]), (Interval::new(990, 1000), 512));
    assert_eq!(lane(&t, 7, op(3, 1)).interval(0), Interval::new(990, 1000));
    assert_eq!(lane(&t, 7, op(4, 2)).direction, [5]);
    assert_eq!(t.files[0].unknown_rows, 1);
}

#[test]
fn extreme_numbers_do_not_panic() {
    let (min, max) = (i64::MIN, i64::MAX);
    let t = base(
        &[
            [1, max, 7, 7, 1, 3, max, -1, -1],
            [2, min, 7, 7, 3, 1, max, 0, min],
            [3, min, min, max, 5, 1, min, max, 0],
            [max, 0, -1, -1, 3, 7, 0, 0, -9],
        ],
        "DELETE FROM events WHERE id > 3",
    );
    assert_eq!(t.files[0].rows, 3);
}

#[test]
fn a_process_id_lives_again() {
    let s = |n: i64| n * SEC;
    let t = base(
        &[
            [1, s(1), 1, 1, 3, 7, 0, 0, 50],  // 1 forks 50
            [2, s(2), 50, 50, 3, 5, 0, 0, 0], // which execs at once: one life
            [3, s(3), 50, 50, 1, 3, 10, 9, 0],
            [4, s(4), 50, 50, 3, 5, 0, 0, 0], // and execs again: another
            [5, s(5), 50, 50, 1, 3, 10, 9, 0],
            [6, s(6), 50, 50, 3, 6, 0, 0, 0],  // exits
            [7, s(8), 50, 50, 1, 3, 10, 9, 0], // and the number is used again
            [8, s(9), 50, 51, 3, 6, 0, 0, 0],
            [9, s(9), 51, 51, 3, 1, 10, 0, 3],
            [10, s(10), 1, 1, 7, 1, 10, 0, 3],
        ],
        "",
    );
    let lives: Vec<&Process> = t.processes.iter().filter(|p| p.pid == 50).collect();
    assert_eq!(lives.len(), 3);
    assert_eq!(
        (lives[0].alive, lives[0].start_seen, lives[0].exit_seen),
        (Interval::new(s(1), s(4)), true, true)
    );
    assert_eq!(lives[1].alive, Interval::new(s(4), s(6)));
    assert_eq!(
        (lives[2].alive.start, lives[2].start_seen, lives[2].exit_seen),
        (s(8), false, false)
    );
    assert_eq!(t.process(lives[1].parent.unwrap()).pid, 1);
    // The same kernel is used first in every life.
    let launches: Vec<&Lane> = t.lanes.iter().filter(|l| l.op == op(1, 3)).collect();
    assert_eq!(launches.len(), 3);
    assert!(launches.iter().all(|l| l.flags == [flag::FIRST_USE]));
    // A thread id in both columns belongs to the process that another row names.
    let stint = lane(&t, 51, op(3, 1));
    assert_eq!(t.process_of(stint).pid, 50);
    // Runs from exec on, and the parent's view of them.
    let runs = t.lanes.iter().filter(|l| l.op == derived(Source::Process, "run"));
    let runs: Vec<Interval> = runs.map(|l| l.interval(0)).collect();
    assert_eq!(runs, [Interval::new(s(2), s(4)), Interval::new(s(4), s(6))]);
    assert_eq!(lane(&t, 1, derived(Source::Process, "child")).len(), 2);
}

#[test]
fn forks_make_threads_or_processes() {
    let t = base(
        &[
            [1, 100, 10, 10, 3, 7, 0, 0, 11],
            [2, 110, 10, 10, 3, 7, 0, 0, 12],
            [3, 200, 11, 11, 3, 1, 5, 0, 10],
            [4, 200, 12, 12, 3, 1, 5, 0, 99],
            [5, 300, 12, 12, 7, 1, 5, 3, 10],
        ],
        "",
    );
    assert_eq!(t.process_of(lane(&t, 11, op(3, 1))).pid, 10);
    let child = t.process_of(lane(&t, 12, op(3, 1)));
    assert_eq!((child.pid, child.start_seen, child.alive.start), (12, true, 110));
    assert_eq!(t.process(child.parent.unwrap()).pid, 10);
    assert_eq!(lane(&t, 11, op(3, 1)).preemptor, [preemptor::OWN]);
    assert_eq!(lane(&t, 12, op(3, 1)).preemptor, [preemptor::UNKNOWN]);
}

#[test]
fn wake_ups_tell_when_a_thread_became_runnable() {
    let t = base(
        &[
            [1, 1000, 7, 7, 3, 1, 100, 0, 3],
            [2, 950, 0, 0, 3, 2, 0, 0, 7],
            [3, 980, 0, 0, 3, 2, 0, 0, 7],
            [4, 2000, 7, 7, 3, 1, 100, 0, 0],
        ],
        "",
    );
    let stints = lane(&t, 7, op(3, 1));
    assert_eq!(stints.runnable, [980, 1900]);
    assert!(t.nodes[0].run_state && t.nodes[0].preemptor);
    assert_eq!(stints.preemptor, [preemptor::UNKNOWN, preemptor::IDLE]);
    // Without wake-ups nothing is known.
    let t = base(&[[1, 1000, 7, 7, 3, 1, 100, 0, 7]], "");
    assert_eq!(lane(&t, 7, op(3, 1)).runnable, [UNKNOWN_TIME]);
    assert!(!t.nodes[0].run_state && !t.nodes[0].preemptor);
    assert_eq!(lane(&t, 7, op(3, 1)).prev_tid, [-1]);
}

#[test]
fn our_details_are_joined_by_number() {
    let rows = [
        [1, 1000, 7, 7, 3, 1, 100, 0, 3],
        [2, 2000, 7, 7, 3, 1, 100, 0, 3],
        [3, 3000, 7, 7, 3, 1, 100, 0, 3],
        [4, 4000, 7, 7, 3, 1, 100, 0, 0],
        [5, 5000, 7, 8, 1, 7, 10, 64, 1],
        [6, 5000, 7, 8, 9, 3, 10, 0, 0],
    ];
    let more = "INSERT INTO sched_details(event, state, woken_at, preemptor) VALUES (1, 0, 0, 99), (2, 1, 1950, 0), (3, 2, 2980, 8);\
        INSERT INTO call_details(event, stream) VALUES (5, 42);\
        INSERT INTO nccl_calls(event, comm, seq, count, dtype, bytes, rank) VALUES (6, 1, 1, 256, 7, 1024, 3);\
        INSERT INTO tasks(tid, pid, comm, traced) VALUES (7, 7, 'main', 1), (8, 7, 'worker', 1), (9, 7, 'quiet', 1), (10, 7, 'old', 0);\
        INSERT INTO recording_losses(probe, cpu, bucket, lost) VALUES ('cuda', 0, 5000, 3);\
        INSERT INTO recording_probes(probe, status, reason) VALUES ('sched_switch', 'attached', ''), ('cudaMemcpyAsync', 'attached', ''), ('net', 'failed', 'no BTF');\
        INSERT INTO xids(timestamp, device, xid, message) VALUES (6000, '0', 79, 'fell off the bus');\
        INSERT INTO truth(kind, rule, pid, start_ns, end_ns) VALUES ('cause', 'R', 7, 1, 2);";
    let t = ours(&rows, more);
    let s = lane(&t, 7, op(3, 1));
    assert_eq!(s.runnable, [900, 1950, 2980, UNKNOWN_TIME]);
    assert_eq!(s.uninterruptible, [false, false, true, false]);
    assert_eq!(
        s.preemptor,
        [preemptor::OTHER, preemptor::OTHER, preemptor::OWN, preemptor::IDLE]
    );
    assert_eq!(lane(&t, 8, op(1, 7)).stream, [42]);
    let nccl = lane(&t, 8, op(9, 3));
    assert_eq!((nccl.bytes[0], nccl.rank[0]), (1024, 3));
    assert_eq!(t.thread(nccl.thread).name, "worker");
    let xid = lane(&t, 0, derived(Source::Xid, "xid"));
    assert_eq!((xid.xid[0], xid.name[0].as_str()), (79, "fell off the bus"));
    assert_eq!(t.truth[0].rule, "R");
    let n = &t.nodes[0];
    assert_eq!(n.sources_attached, ["cuda", "sched"]);
    assert_eq!(n.probes_missing, [("net".to_owned(), "no BTF".to_owned())]);
    assert_eq!(n.losses.as_ref().unwrap()[0].lost, 3);

    let sched = |tid: i64| t.threads.iter().find(|x| x.tid == tid).unwrap().sched.clone();
    assert_eq!(sched(7), Rows::Complete);
    assert_eq!(sched(9), Rows::Complete);
    assert_eq!(sched(10), Rows::Unobserved);
    let main = lane(&t, 7, op(3, 1)).thread;
    assert!(
        matches!(coverage::rows(&t, main, op(1, 7)), Rows::Windows(_)),
        "cuda rows were lost"
    );
    assert_eq!(coverage::rows(&t, main, op(7, 1)), Rows::Unobserved);

    // The same with row numbers that are not the numbers of the ids: better nothing than the wrong row.
    let shifted = ours(&rows, &format!("{more} UPDATE events SET id = 'n:' || (rowid + 100);"));
    assert_eq!(lane(&shifted, 7, op(3, 1)).runnable, [UNKNOWN_TIME; 4]);
    assert!(shifted.files[0].notes.iter().any(|n| n.contains("run states")));
}

#[test]
fn calls_that_did_not_return_belong_to_their_thread() {
    let rows = [
        [1, 1000, 7, 8, 1, 5, 30, 0, 0],
        [2, 2000, 7, 8, 1, 5, 20, 0, 0],
        [3, 2100, 0, 0, 2, 1, 0, 31, 0],
    ];
    let t = ours(
        &rows,
        "INSERT INTO open_calls(pid, tid, source, op, start_ns, seen_ns, how, depth) VALUES \
         (7, 8, 1, 5, 3000, 9000, 'open', 0), (7, 8, 4, 103, 3001, 9000, 'open', 1), (7, 9, 9, 1, 4000, 8000, 'exit', 0);\
         INSERT INTO event_aggregates(bucket, source, op, pid, count, stored, sum_dur, min_dur, max_dur) \
         VALUES (0, 1, 5, 7, 2, 2, 50, 20, 30);",
    );
    let open = lane(&t, 8, derived(Source::Cuda, "open_call"));
    assert_eq!(open.len(), 1, "the call inside it is the same one");
    assert_eq!(
        (open.start[0], open.dur[0], open.name[0].as_str()),
        (3000, 6000, "cudaStreamSync")
    );
    assert_eq!(open.longest_returned, [30]);
    let init = lane(&t, 9, derived(Source::Nccl, "open_call"));
    assert_eq!((init.dur[0], init.longest_returned[0]), (4000, -1));
    assert_eq!(t.nodes[0].observed.unwrap().end, 9000, "it was recorded that long");
    assert_eq!(t.files[0].unknown_rows, 0, "the row of an XID repeats what `xids` says");
}

#[test]
fn waits_are_explained_by_the_limit_of_the_cgroup() {
    let rows = [
        [1, 100, 7, 7, 1, 3, 10, 1, 0],
        [2, 2000, 7, 7, 3, 1, 400, 0, 0],
        [3, 2100, 8, 8, 1, 3, 10, 1, 0],
        [4, 3000, 8, 8, 3, 1, 400, 0, 0],
    ];
    let t = ours(
        &rows,
        "UPDATE events SET cgroup_id = pid;\
         INSERT INTO sched_details(event, state) VALUES (2, 0), (4, 0);\
         INSERT INTO cgroup_metadata(cgroup_id, cgroup_path) VALUES (7, '/pod/a'), (8, '/other');\
         INSERT INTO cgroup_cpu(timestamp, cgroup_path, usage_us, throttled_us) VALUES \
         (1000, '/pod', 0, 5), (2500, '/pod', 0, 5), (1000, '/pod/a', 0, 0), (2500, '/pod/a', 0, 1);",
    );
    assert_eq!(
        lane(&t, 7, op(3, 1)).throttled,
        [400],
        "1 us of limit, 400 ns of waiting"
    );
    assert!(lane(&t, 8, op(3, 1)).throttled.is_empty());
    let known: Vec<(i64, bool)> = t.processes.iter().map(|p| (p.pid, p.limits_known)).collect();
    assert_eq!(known, [(7, true), (8, false)]);
}

#[test]
fn thresholds_bound_what_became_rows() {
    let t = ours(
        &[[1, 1000, 7, 7, 1, 3, 100, 0, 0]],
        "INSERT INTO recording_thresholds VALUES (1, 3, 50, 0)",
    );
    let thread = lane(&t, 7, op(1, 3)).thread;
    assert_eq!(t.nodes[0].stored, Stored::Thresholds(vec![(op(1, 3), 50, 0)]));
    assert_eq!(coverage::rows(&t, thread, op(1, 3)), Rows::AtLeast(50));
    assert_eq!(coverage::rows(&t, thread, op(1, 5)), Rows::Complete);
}

#[test]
fn requests_come_from_annotations() {
    let t = ours(
        &[[1, 1000, 7, 7, 1, 3, 100, 0, 0]],
        r#"INSERT INTO annotations(timestamp, labels, pid, span_start, span_end) VALUES
           (9, '{"request_id":"big","prompt_tokens":"2048","max_tokens":"8","ttft_ms":"2"}', 7, 1000000, 9000000),
           (9, '{"request_id":"small","gen_ai.usage.input_tokens":"128","ttft_ms":"3"}', 7, 1500000, 8000000),
           (9, '{"request_id":"loose","ttft_ms":"3"}', 0, 1500000, 8000000),
           (9, '{"step":"12"}', 7, 1, 2), (9, 'not json', 7, 1, 2)"#,
    );
    let wait = lane(&t, 7, derived(Source::Request, "wait"));
    assert_eq!(wait.name, ["big", "small"]);
    assert_eq!(wait.dur, [2_000_000, 3_000_000]);
    assert_eq!(wait.behind_heavier, [0, 1_500_000]);
    assert_eq!(wait.n_heavier, [0, 1]);
    assert_eq!(lane(&t, 7, derived(Source::Request, "open")).output_tokens, [8, -1]);
    assert_eq!(lane(&t, 0, derived(Source::Request, "wait")).behind_heavier, [-1]);
    assert_eq!(lane(&t, 7, derived(Source::Annotation, "step")).name, ["12"]);
    assert!(t.files[0].notes.iter().any(|n| n.contains("annotations")));
}

#[test]
fn a_kill_is_told_of_the_victim() {
    let t = base(&[[1, 1000, 7, 7, 3, 4, 0, 0, 99], [2, 1100, 99, 99, 3, 6, 0, 0, 0]], "");
    let kill = lane(&t, 99, op(3, 4));
    assert_eq!(t.process_of(kill).pid, 99);
    assert!(life(&t, 99, 0).exit_seen);
    assert_eq!(t.processes.len(), 1);
}

#[test]
fn warm_up_ends_when_the_process_is_steady() {
    let s = |n: i64| n * SEC;
    let t = base(
        &[
            [1, s(5), 7, 7, 3, 5, 0, 0, 0],
            [2, s(6), 7, 7, 1, 3, 10, 1, 0],
            [3, s(35), 7, 7, 1, 3, 5_000_000, 2, 0], // a slow first use in the 30th second
            [4, s(60), 7, 7, 1, 3, 10, 1, 0],
        ],
        "",
    );
    let p = life(&t, 7, 0);
    assert!(!p.late);
    assert_eq!(p.steady_from, Some(s(40) + 5_000_000));
    let warmup = lane(&t, 7, derived(Source::Process, "warmup"));
    assert_eq!(warmup.interval(0), Interval::new(s(6), s(40) + 5_000_000));
    // Attached to a process that was at work already: steady at once.
    let t = base(&[[1, 10, 7, 7, 1, 3, 10, 1, 0], [2, s(60), 7, 7, 1, 3, 10, 1, 0]], "");
    assert!(life(&t, 7, 0).late);
    assert_eq!(life(&t, 7, 0).steady_from, Some(10));
}

#[test]
fn row_numbers_with_holes_are_kept() {
    let rows: Vec<[i64; 9]> = (1..=9).map(|i| [i, 1000 * i, 7, 7, 3, 1, 100, 0, 3]).collect();
    let t = ours(
        &rows,
        "DELETE FROM events WHERE rowid IN (1, 4, 5); \
         INSERT INTO sched_details(event, state, woken_at) VALUES (2, 0, 0), (6, 1, 5950), (9, 2, 8950);",
    );
    let stints = lane(&t, 7, op(3, 1));
    assert_eq!(stints.row, [0, 1, 4, 5, 6, 7]);
    let (u, known) = (UNKNOWN_TIME, &stints.runnable);
    assert_eq!(known, &[1900, u, 5950, u, u, 8950]);
}

#[test]
fn a_stint_that_outlasts_the_recording_and_saw_no_wake_up_was_slept() {
    let rows = [
        [1, 5 * SEC, 7, 7, 3, 1, SEC, 0, 0],
        [2, 9 * SEC, 7, 7, 3, 1, 2 * SEC, 0, 0],
        [3, 9 * SEC, 8, 8, 3, 1, 3 * SEC, 0, 0],
    ];
    // Thread 7 came back on CPU 1 and its wake-up was not seen; then, like thread 8, it never came back.
    let details =
        "INSERT INTO sched_details(event, state, cpu, woken_at) VALUES (1,1,1,0), (2,1,65535,0), (3,0,65535,0);";
    let t = ours(&rows, details);
    assert_eq!(lane(&t, 7, op(3, 1)).runnable, [UNKNOWN_TIME, 9 * SEC]);
    assert_eq!(lane(&t, 8, op(3, 1)).runnable, [6 * SEC], "preempted and still waiting");
}
