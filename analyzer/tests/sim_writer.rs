//! What the writer puts into a file, seen with plain SQL.
#![expect(clippy::unwrap_used, reason = "tests may unwrap")]

use std::path::Path;

use ingero::trace::catalogue::{Op, Source};
use ingero::trace::writer::{
    Annotation, Detail, Event, Lost, NcclCall, Rank, SchedDetail, Session, SnapshotRow, Summary, Task, TruthRow,
    Uncounted, WriteError, Writer,
};
use rusqlite::Connection;

const T: i64 = 1_777_636_800_000_000_000;

fn op(source: Source, name: &str) -> Op {
    Op::by_name(source, name).unwrap()
}

fn query<R: rusqlite::types::FromSql>(conn: &Connection, sql: &str) -> R {
    conn.query_row(sql, [], |r| r.get(0)).unwrap()
}

/// A file with at least one row in most tables.
fn write(path: &Path) -> Summary {
    let mut w = Writer::create(path, "gpu-1").unwrap();
    let event = |source, name, dur| Event::new(op(source, name), 7, 8, T, dur);
    for i in 0..200 {
        let launch = Event::new(op(Source::Cuda, "cudaLaunchKernel"), 7, 8, T + i * 1000, 500);
        w.event(&launch.comm("engine")).unwrap();
    }
    w.event(&event(Source::Io, "block_read", 9_000).args(16, 4)).unwrap();
    w.event(&event(Source::Net, "net_send", 300).args(3, 100)).unwrap();
    let off = Event::new(op(Source::Sched, "sched_switch"), 8, 8, T + 10, 2_000).args(0, 99);
    let detail = SchedDetail {
        state: 0,
        cpu: 3,
        woken_at: 0,
        waker: 0,
        preemptor: 99,
    };
    w.event_with(&off, Some(Detail::Sched(detail))).unwrap();
    let mut nccl = event(Source::Nccl, "ncclAllReduce", 50);
    nccl.ret = -3;
    nccl.rank = Some(Rank {
        rank: 5,
        local: 1,
        world: 8,
    });
    let call = NcclCall {
        comm: 1,
        seq: 2,
        count: 3,
        dtype: 7,
        bytes: 12,
        peer: -1,
        rank: 5,
        nranks: 8,
        comm_id: 77,
    };
    w.event_with(&nccl, Some(Detail::Nccl(call))).unwrap();
    let copy = event(Source::Cuda, "cudaMemcpyAsync", 40).args(4096, 1);
    w.event_with(&copy, Some(Detail::Call { stream: 13, handle: 0 }))
        .unwrap();
    w.not_stored(&Uncounted {
        op: op(Source::Mem, "mm_page_alloc"),
        pid: 7,
        at: T,
        count: 10,
        sum_dur: 0,
        min_dur: 0,
        max_dur: 0,
        sum_arg0: 40_960,
    });
    let task = Task {
        tid: 8,
        pid: 7,
        traced: true,
        ..Task::default()
    };
    w.task(&task).unwrap();
    let snapshot = SnapshotRow {
        at: T,
        cpu_pct: 12.5,
        ..SnapshotRow::default()
    };
    w.snapshot(&snapshot).unwrap();
    let session = Session {
        started_at: T,
        flags: "record-all",
        ..Session::default()
    };
    w.session(&session).unwrap();
    let request = Annotation {
        pid: 0,
        start: T,
        end: T + 9,
        labels: &[("request_id", "a\"b"), ("prompt_tokens", "128")],
    };
    w.annotation(&request).unwrap();
    for _ in 0..2 {
        let lost = Lost {
            source: "sched",
            cpu: 0,
            at: T + 5,
            lost: 12,
            reason: "ring_full",
        };
        w.loss(&lost).unwrap();
    }
    w.process_name(7, "python3", T).unwrap();
    w.probe("sched", "", "missing", "no BTF").unwrap();
    w.xid(T, "0000:01:00.0", 79, "fallen off the bus").unwrap();
    let note = TruthRow {
        kind: "note",
        ..TruthRow::default()
    };
    w.truth(&note).unwrap();
    w.finish().unwrap()
}

const COLUMNS: &[(&str, &str)] = &[
    (
        "events",
        "id timestamp pid tid source op duration gpu_id arg0 arg1 ret_code stack_hash node rank local_rank world_size \
         comm stack_ips cgroup_id",
    ),
    (
        "event_aggregates",
        "bucket source op pid count stored sum_dur min_dur max_dur sum_arg0",
    ),
    (
        "event_aggregates_5s",
        "bucket source op pid count stored sum_dur min_dur max_dur sum_arg0",
    ),
    ("stack_traces", "hash ips frames"),
    (
        "causal_chains",
        "id detected_at severity summary root_cause explanation recommendations cuda_op cuda_p99_us cuda_p50_us \
         tail_ratio timeline node",
    ),
    (
        "system_snapshots",
        "id timestamp cpu_pct mem_pct mem_avail swap_mb load_avg",
    ),
    (
        "sessions",
        "id started_at stopped_at gpu_model gpu_driver cpu_model cpu_cores mem_total kernel os_release cuda_ver \
         python_ver ingero_ver pid_filter flags node rank local_rank world_size",
    ),
    ("process_names", "pid name seen_at"),
    (
        "cgroup_metadata",
        "cgroup_id container_id cgroup_path pod_name namespace",
    ),
    (
        "cgroup_schedstat",
        "cgroup_id p99_off_cpu total_off_cpu event_count window_start window_end",
    ),
    (
        "annotations",
        "id timestamp labels pid start_time span_start span_end peer_uid peer_gid peer_pid",
    ),
    ("sources", "id name description"),
    ("ops", "source_id op_id name description"),
    ("schema_info", "key value"),
];

#[test]
fn the_file_has_every_table_and_column_of_generation_0_10_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    write(&path);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(&bytes[18..20], &[2, 2], "WAL mode");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no sidecar");
    let conn = Connection::open(&path).unwrap();
    for (table, expected) in COLUMNS {
        let found: String = query(
            &conn,
            &format!(
                "SELECT group_concat(name, ' ') FROM (SELECT name FROM pragma_table_info('{table}') ORDER BY cid)"
            ),
        );
        assert_eq!(&found, expected, "{table}");
    }
    assert_eq!(query::<i64>(&conn, "PRAGMA user_version"), 10);
    assert_eq!(query::<i64>(&conn, "PRAGMA auto_vacuum"), 2);
    let version: String = query(&conn, "SELECT value FROM schema_info WHERE key='version'");
    assert_eq!(version, "0.10");
    assert_eq!(query::<String>(&conn, "PRAGMA integrity_check"), "ok");
    let indexes = "SELECT count(*) FROM sqlite_schema WHERE type='index' AND name LIKE 'idx_events_%'";
    assert_eq!(query::<i64>(&conn, indexes), 4);
}

#[test]
fn rows_carry_the_raw_anchor_and_their_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let summary = write(&path);
    assert_eq!(summary.events, 205);
    assert_eq!(summary.size_bytes, std::fs::metadata(&path).unwrap().len());
    let conn = Connection::open(&path).unwrap();
    let count = |filter: &str| query::<i64>(&conn, &format!("SELECT count(*) FROM events WHERE {filter}"));
    assert_eq!(count("id = 'gpu-1:' || rowid AND node = 'gpu-1'"), 205);
    assert_eq!(query::<i64>(&conn, "SELECT max(rowid) FROM events"), 205);
    let at = |filter: &str| query::<i64>(&conn, &format!("SELECT min(timestamp) FROM events WHERE {filter}")) - T;
    assert_eq!(at("source=1 AND op=3"), 0, "calls: start");
    assert_eq!(at("source=9"), 0, "collectives: start");
    assert_eq!(at("source=5"), 9_000, "block I/O: end");
    assert_eq!(at("source=7"), 300, "sockets: end");
    assert_eq!(at("source=3 AND op=1"), 2_010, "off CPU: end");
    assert_eq!(count("comm = 'engine'"), 200);
    assert_eq!(
        count("source=9 AND ret_code=-3 AND rank=5 AND local_rank=1 AND world_size=8"),
        1
    );
    assert_eq!(count("rank IS NULL"), 204);
    for joined in [
        "sched_details d JOIN events e ON e.rowid = d.event WHERE e.source=3 AND d.preemptor=99 AND e.arg1=99",
        "nccl_calls d JOIN events e ON e.rowid = d.event WHERE e.source=9 AND d.nranks=8",
        "call_details d JOIN events e ON e.rowid = d.event WHERE e.op=7 AND d.stream=13",
        "recording_losses WHERE lost=24",
        "annotations WHERE json_extract(labels, '$.request_id') = 'a\"b' AND span_end = span_start + 9",
    ] {
        let found: i64 = query(&conn, &format!("SELECT count(*) FROM {joined}"));
        assert_eq!(found, 1, "{joined}");
    }
}

#[test]
fn aggregates_count_every_row_and_pages_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    write(&path);
    let conn = Connection::open(&path).unwrap();
    for table in ["event_aggregates", "event_aggregates_5s"] {
        let text =
            |what: &str, filter: &str| query::<String>(&conn, &format!("SELECT {what} FROM {table} WHERE {filter}"));
        assert_eq!(text("sum(stored) || ' ' || sum(count)", "1"), "205 215", "{table}");
        let pages = text("count || ' ' || stored || ' ' || sum_arg0", "source=3 AND op=3");
        assert_eq!(pages, "10 0 40960");
        let launches = text("sum_dur || ' ' || min_dur || ' ' || max_dur", "source=1 AND op=3");
        assert_eq!(launches, "100000 500 500");
        assert_eq!(text("sum_arg0 || ''", "source=5"), "16");
    }
}

#[test]
fn an_existing_file_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(Writer::create(&path, "n"), Err(WriteError::Exists { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    // An orphaned sidecar would be taken for the new file's.
    std::fs::write(folder.path().join("u.db-wal"), "").unwrap();
    let other = folder.path().join("u.db");
    assert!(matches!(Writer::create(&other, "n"), Err(WriteError::Exists { .. })));
}

#[test]
fn a_file_that_comes_up_meanwhile_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let w = Writer::create(&path, "n").unwrap();
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(w.finish(), Err(WriteError::Exists { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
