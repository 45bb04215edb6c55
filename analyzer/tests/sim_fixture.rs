//! What a fixture becomes, seen with plain SQL.
#![expect(clippy::unwrap_used, reason = "tests may unwrap")]

use ingero::fixture::{EPOCH, FixtureError, write};
use ingero::lang::hir::{FixtureEvent, Literal, Test};
use ingero::source::{SourceId, Span};
use ingero::trace::writer::Writer;
use ingero::unit::{Dim, MS, Num};
use rusqlite::Connection;

fn time(ns: i64) -> Literal {
    Literal::Num(Num::int(ns.into()), Dim::TIME)
}

fn number(n: i64) -> Literal {
    Literal::Num(Num::int(n.into()), Dim::NONE)
}

fn word(w: &str) -> Literal {
    Literal::Word(w.to_owned())
}

fn at(ms: i64, path: &str, fields: &[(&str, Literal)]) -> FixtureEvent {
    FixtureEvent {
        path: path.split('.').map(str::to_owned).collect(),
        at_ns: ms * MS,
        every_ns: None,
        to_ns: 0,
        fields: fields.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
        span: Span { start: 3, end: 9 },
    }
}

fn trace(events: Vec<FixtureEvent>) -> Result<Connection, FixtureError> {
    let test = Test {
        name: "a test".to_owned(),
        rule: "R".to_owned(),
        file: SourceId(0),
        span: Span::default(),
        trace: None,
        span_ns: 0,
        params: Vec::new(),
        events,
        expects: Vec::new(),
    };
    let mut writer = Writer::in_memory("test").unwrap();
    write(&test, &mut writer)?;
    Ok(writer.into_connection().unwrap())
}

fn int(conn: &Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |r| r.get(0))
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}

#[test]
fn events_state_their_start_and_rows_their_anchor() {
    let conn = trace(vec![
        at(
            2000,
            "cuda.cudaStreamSync",
            &[("pid", number(7)), ("dur", time(5 * MS))],
        ),
        at(
            2010,
            "sched.off_cpu",
            &[("pid", number(7)), ("tid", number(8)), ("dur", time(9 * MS))],
        ),
        at(
            0,
            "io.read",
            &[("pid", number(7)), ("dur", time(MS)), ("bytes", number(1024))],
        ),
    ])
    .unwrap();
    let ms = |filter: &str| {
        int(
            &conn,
            &format!("SELECT (timestamp - {EPOCH}) / {MS} FROM events WHERE {filter}"),
        )
    };
    assert_eq!(ms("source=1 AND op=5 AND pid=7 AND tid=7"), 2000);
    assert_eq!(ms("source=3 AND op=1 AND pid=8 AND tid=8 AND arg1=8"), 2019);
    assert_eq!(ms("source=5 AND op=1 AND arg0=2"), 1);
    assert_eq!(int(&conn, "SELECT pid FROM tasks WHERE tid=8 AND traced=1"), 7);
    assert_eq!(
        int(&conn, "SELECT count(*) FROM sched_details"),
        0,
        "no run state was given"
    );
    assert_eq!(int(&conn, "SELECT count(*) FROM recording WHERE key='record_all'"), 1);
}

#[test]
fn run_state_becomes_a_detail() {
    let off = |fields: &[(&str, Literal)]| {
        let mut all = vec![("pid", number(7)), ("dur", time(10 * MS))];
        all.extend(fields.iter().cloned());
        at(1000, "sched.off_cpu", &all)
    };
    let detail = |fields: &[(&str, Literal)]| -> (i64, i64, i64, i64) {
        let conn = trace(vec![off(fields)]).unwrap();
        conn.query_row(
            "SELECT state, woken_at, preemptor, arg1 FROM sched_details JOIN events ON events.rowid = event",
            [],
            |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)),
        )
        .unwrap()
    };
    let start = EPOCH + 1000 * MS;
    assert_eq!(
        detail(&[("state", word("runnable")), ("prev", number(9))]),
        (0, 0, 9, 9)
    );
    assert_eq!(detail(&[("woken_after", time(2 * MS))]), (1, start + 2 * MS, 0, 0));
    assert_eq!(detail(&[("state", word("io"))]), (2, start + 10 * MS, 0, 0));
    let conn = trace(vec![off(&[("prev", number(9))])]).unwrap();
    assert_eq!(int(&conn, "SELECT pid FROM tasks WHERE tid=9 AND traced=0"), 9);
    assert!(trace(vec![off(&[("woken_after", time(11 * MS))])]).is_err());
}

#[test]
fn repeated_events_end_before_their_end() {
    let mut e = at(500, "cuda.launch", &[("pid", number(7)), ("kernel", number(4))]);
    e.every_ns = Some(100 * MS);
    e.to_ns = 1000 * MS;
    let conn = trace(vec![e]).unwrap();
    assert_eq!(
        int(&conn, "SELECT count(*) FROM events WHERE source=1 AND op=3 AND arg0=4"),
        5
    );
    assert_eq!(
        int(&conn, "SELECT count(*) FROM tasks WHERE traced=1"),
        0,
        "sched was not recorded"
    );
}

#[test]
fn what_is_no_row_goes_to_its_table() {
    let cpu = Literal::Num(Num::ratio(95, 100).unwrap(), Dim::NONE);
    let conn = trace(vec![
        at(
            0,
            "request.open",
            &[
                ("prompt_tokens", number(128)),
                ("ttft", time(1_500_000)),
                ("dur", time(MS * 20)),
            ],
        ),
        at(0, "mem.page_alloc", &[("pid", number(7)), ("count", number(5))]),
        at(0, "system", &[("cpu", cpu)]),
        at(0, "xid", &[("xid", number(79))]),
        at(
            0,
            "cuda.open_call",
            &[("pid", number(7)), ("op", word("cudaStreamSync")), ("dur", time(MS))],
        ),
        at(0, "sched.throttled", &[("pid", number(7)), ("time", time(0))]),
        at(1, "sched.throttled", &[("pid", number(7)), ("time", time(MS))]),
        at(0, "trace.lost", &[("source", word("sched")), ("count", number(12_000))]),
        at(0, "annotation.step", &[("dur", time(MS)), ("pid", number(7))]),
        at(0, "process.fork", &[("pid", number(7)), ("child", number(9))]),
        at(1, "process.exec", &[("pid", number(9)), ("name", word("ptxas"))]),
    ])
    .unwrap();
    for (n, sql) in [
        (
            1,
            "annotations WHERE json_extract(labels, '$.ttft_ms')='1.5' AND json_extract(labels, '$.prompt_tokens')='128'",
        ),
        (
            1,
            "event_aggregates WHERE source=3 AND op=3 AND count=5 AND stored=0 AND sum_arg0=20480",
        ),
        (1, "system_snapshots WHERE cpu_pct = 95.0"),
        (1, "xids WHERE xid=79"),
        (
            1,
            "open_calls WHERE source=1 AND op=5 AND pid=7 AND seen_ns-start_ns=1000000",
        ),
        (
            2,
            "cgroup_cpu JOIN cgroup_metadata USING (cgroup_path) WHERE cgroup_id=7",
        ),
        (1, "cgroup_cpu WHERE throttled_us=1000"),
        (1, "recording_losses WHERE probe='sched' AND lost=12000"),
        (
            1,
            "annotations WHERE json_extract(labels, '$.step') IS NOT NULL AND pid=7",
        ),
        (1, "events WHERE source=3 AND op=7 AND arg1=9"),
        (1, "events WHERE source=3 AND op=5 AND comm='ptxas'"),
        (1, "tasks WHERE pid=9 AND ppid=7 AND comm='ptxas'"),
    ] {
        assert_eq!(int(&conn, &format!("SELECT count(*) FROM {sql}")), n, "{sql}");
    }
}

#[test]
fn a_selective_trace_counts_more_than_it_stores() {
    let conn = trace(vec![
        at(0, "cuda.launch", &[("pid", number(7)), ("dur", time(1000))]),
        at(0, "trace.selected", &[]),
    ])
    .unwrap();
    assert_eq!(
        int(&conn, "SELECT count - stored FROM event_aggregates WHERE source=1"),
        9
    );
    assert_eq!(int(&conn, "SELECT count(*) FROM recording WHERE key='record_all'"), 0);
    assert_eq!(int(&conn, "SELECT count(*) FROM sessions WHERE flags=''"), 1);
}

#[test]
fn mistakes_are_named_with_their_place() {
    let mistake = |path: &str, fields: &[(&str, Literal)]| {
        let e = trace(vec![at(0, path, fields)]).unwrap_err();
        assert_eq!(e.span, Span { start: 3, end: 9 });
        format!("{} / {}", e.message, e.help)
    };
    assert_eq!(
        mistake("cuda.cudaMaloc", &[]),
        "`cuda` has no operation `cudaMaloc` that can be written / did you mean `cudaMalloc`?"
    );
    assert_eq!(
        mistake("cuda.cudaMalloc", &[("byts", number(1))]),
        "`cuda.cudaMalloc` has no field `byts` / did you mean `bytes`?"
    );
    assert_eq!(
        mistake("cdua.x", &[]),
        "there are no `cdua` events / did you mean `cuda`?"
    );
    assert_eq!(
        mistake("cuda.launch", &[("dur", number(5))]),
        "`dur` must be a duration / as in `dur=100us`"
    );
    assert_eq!(
        mistake("sched.off_cpu", &[("dur", time(5)), ("state", word("sleeping"))]),
        "`state` cannot be `sleeping` / did you mean `sleep`?"
    );
    assert_eq!(
        mistake("trace.losst", &[]),
        "there is no fact `trace.losst` / did you mean `lost`?"
    );
}
