//! What the scenarios plant, seen with plain SQL.
#![expect(clippy::unwrap_used, reason = "tests may unwrap")]

use ingero::simulate::{Options, SimulateError, create, scenarios, simulate};
use ingero::trace::writer::Writer;
use rusqlite::Connection;

const SECOND: i64 = 1_000_000_000;

fn play(name: &str, seed: u64, events: Option<u64>) -> Connection {
    let mut writer = Writer::in_memory("sim").unwrap();
    let options = Options {
        events,
        seed,
        ..Options::default()
    };
    simulate(name, &options, &mut writer).unwrap();
    writer.into_connection().unwrap()
}

/// At its default length; bulk, which is made for size, at the shortest that tells its story.
fn default(name: &str) -> Connection {
    play(name, 1, (name == "bulk").then_some(400_000))
}

fn int(conn: &Connection, sql: &str) -> i64 {
    let found: Option<i64> = conn.query_row(sql, [], |r| r.get(0)).unwrap();
    found.unwrap_or(0)
}

/// Start and end of every row, whatever its anchor.
const SPANS: &str = "WITH spans AS (
    SELECT rowid AS n, tid, source, op, duration,
           CASE WHEN source IN (1, 4, 8, 9) THEN timestamp ELSE timestamp - duration END AS t0,
           CASE WHEN source IN (1, 4, 8, 9) THEN timestamp + duration ELSE timestamp END AS t1
    FROM events)";

/// Intervals of one thread that begin before the one before them has ended.
fn overlaps(conn: &Connection, filter: &str) -> i64 {
    let sql = format!(
        "{SPANS} SELECT count(*) FROM (
           SELECT t0, lag(t1) OVER (PARTITION BY tid ORDER BY t0, t1) AS before FROM spans WHERE {filter})
         WHERE before > t0"
    );
    int(conn, &sql)
}

/// Thread, start, end and value of the one truth of that kind.
fn truth(conn: &Connection, kind: &str, rule: &str) -> (i64, i64, i64, i64) {
    conn.query_row(
        "SELECT tid, start_ns, end_ns, value FROM truth WHERE kind=?1 AND rule=?2",
        [kind, rule],
        |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)),
    )
    .unwrap_or_else(|e| panic!("{kind} {rule}: {e}"))
}

#[test]
fn no_thread_does_two_things_at_once() {
    for s in scenarios() {
        let conn = default(s.name);
        assert_eq!(overlaps(&conn, "source = 3 AND op = 1"), 0, "{}: off CPU", s.name);
        if s.name == "bulk" {
            // Its calls are drawn one after the other, and none is nested.
            assert_eq!(overlaps(&conn, "source IN (1, 4, 8)"), 0);
        }
        assert_eq!(overlaps(&conn, "source IN (1, 8)"), 0, "{}: calls", s.name);
        assert_eq!(overlaps(&conn, "source = 4"), 0, "{}: driver calls", s.name);
        let negative = "SELECT count(*) FROM events WHERE duration < 0";
        assert_eq!(int(&conn, negative), 0, "{}", s.name);
        let outside = "SELECT count(*) FROM events, sessions
                       WHERE timestamp < started_at OR timestamp > stopped_at + 1000000000";
        assert_eq!(int(&conn, outside), 0, "{}: outside of the session", s.name);
    }
}

#[test]
fn every_scenario_is_one_complete_recording_with_its_truth() {
    for s in scenarios() {
        let conn = default(s.name);
        let rows = int(&conn, "SELECT count(*) FROM events");
        assert_eq!(int(&conn, "SELECT max(rowid) FROM events"), rows, "{}", s.name);
        let complete = "SELECT count(*) FROM sessions WHERE flags='record-all'";
        assert_eq!(int(&conn, complete), 1, "{}", s.name);
        let stored = int(&conn, "SELECT sum(stored) FROM event_aggregates");
        assert_eq!(stored, rows, "{}", s.name);
        let told = "SELECT count(*) FROM truth WHERE kind IN ('cause', 'healthy', 'twin')";
        assert!(int(&conn, told) > 0, "{}", s.name);
        if s.name != "bulk" {
            let expected = i64::try_from(s.default_events).unwrap();
            assert!(
                (rows - expected).abs() * 10 < expected,
                "{}: {rows} rows, about {expected} expected",
                s.name
            );
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["hol-blocking", "cpu-contention", "bulk"] {
        let bytes = |seed: u64, file: &str| {
            let options = Options {
                events: (name == "bulk").then_some(30_000),
                seed,
                ..Options::default()
            };
            let path = folder.path().join(file);
            create(name, &options, &path, true).unwrap();
            std::fs::read(&path).unwrap()
        };
        let first = bytes(1, "a.db");
        assert!(first == bytes(1, "b.db"), "{name}");
        assert!(first != bytes(2, "c.db"), "{name}");
    }
}

#[test]
fn every_seed_tells_the_same_story() {
    for seed in [0, 2, 3, u64::MAX] {
        let conn = play("hol-blocking", seed, None);
        assert_eq!(overlaps(&conn, "source = 3 AND op = 1"), 0, "{seed}");
        assert_eq!(overlaps(&conn, "source IN (1, 8)"), 0, "{seed}");
        let switches = "SELECT count(*) FROM events WHERE source=3 AND op=1";
        assert_eq!(int(&conn, switches), 24_347, "{seed}");
        let (_, stalled, resumed, _) = truth(&conn, "cause", "ENGINE_STALL");
        assert_eq!(resumed - stalled, 2_500_000_000, "{seed}");
        assert_eq!(stalled % SECOND, 250_000_000, "{seed}");
    }
}

#[test]
fn the_slow_launch_of_hol_blocking_holds_its_cause() {
    let conn = default("hol-blocking");
    let (tid, from, to, value) = truth(&conn, "cause", "LAUNCH_TAIL_CONTENTION");
    assert_eq!((to - from, value), (356_000_000, 356_000_000));
    let slow = "SELECT count(*) FROM events WHERE source=1 AND op=3 AND duration > 100000000";
    assert_eq!(int(&conn, slow), 1);
    let planted = format!("{slow} AND duration = 356000000 AND timestamp = {from}");
    assert_eq!(int(&conn, &planted), 1);
    let inside = format!(
        "{SPANS} SELECT sum(duration) FROM spans JOIN sched_details d ON d.event = n
         WHERE source=3 AND op=1 AND tid={tid} AND t0 >= {from} AND t1 <= {to} AND state=0 AND preemptor=6021"
    );
    assert_eq!(int(&conn, &inside), 330_000_000);
    let before = format!(
        "SELECT count(*) FROM events WHERE source=1 AND op=3 AND timestamp < {from} AND arg0 =
           (SELECT arg0 FROM events WHERE source=1 AND op=3 AND duration=356000000)"
    );
    assert!(int(&conn, &before) > 100, "its kernel was launched before");
}

#[test]
fn the_stall_and_the_slump_of_hol_blocking_are_those_of_the_article() {
    let conn = default("hol-blocking");
    let (tid, from, to, stall) = truth(&conn, "cause", "ENGINE_STALL");
    assert_eq!(to - from, 2_500_000_000);
    let planted = format!(
        "{SPANS} SELECT count(*) FROM spans WHERE source=3 AND op=1 AND tid={tid} AND t0={from} AND duration={stall}"
    );
    assert_eq!(int(&conn, &planted), 1);
    let calls = format!("{SPANS} SELECT count(*) FROM spans WHERE source IN (1, 4, 8) AND t1 > {from} AND t0 < {to}");
    assert_eq!(int(&conn, &calls), 0, "no call is in progress in the stall");

    let (_, from, to, rate) = truth(&conn, "symptom", "LAUNCH_RATE_COLLAPSE");
    let launches = |from: i64, to: i64| {
        let sql =
            format!("SELECT count(*) FROM events WHERE source=1 AND op=3 AND timestamp >= {from} AND timestamp < {to}");
        int(&conn, &sql)
    };
    assert_eq!(rate, 208);
    assert!((rate * 5 - launches(from, to)).abs() <= 2, "{}", launches(from, to));
    for s in 1..=20 {
        let at = from - s * SECOND;
        assert!((launches(at, at + SECOND) - 1_051).abs() <= 2, "{s} s before");
    }
    for s in 0..5 {
        let at = from + s * SECOND;
        assert!(launches(at, at + SECOND) <= 420, "second {s} of the slump");
    }
}

#[test]
fn the_counts_and_requests_of_hol_blocking_are_those_of_the_article() {
    let conn = default("hol-blocking");
    let switches = "SELECT count(*) FROM events WHERE source=3 AND op=1";
    assert_eq!(int(&conn, switches), 24_347);
    let short = "SELECT count(*) FROM events JOIN sched_details ON event = events.rowid
                 WHERE state=1 AND duration < 120000000";
    assert!(int(&conn, short) > 23_000);
    let pages = "SELECT sum(count) FROM event_aggregates WHERE source=3 AND op=3";
    assert_eq!(int(&conn, pages), 43_606);
    assert_eq!(int(&conn, "SELECT count(*) FROM events WHERE source=3 AND op=3"), 0);

    let victim = int(&conn, "SELECT max(start_ns) FROM truth WHERE rule='HOL_BLOCKING'");
    let ttft = "CAST(json_extract(labels, '$.ttft_ms') AS INTEGER)";
    let crowd = format!(
        "SELECT count(*) FROM annotations WHERE json_extract(labels, '$.prompt_tokens') = '2048'
         AND span_start BETWEEN {victim} - 40000000 AND {victim}"
    );
    assert_eq!(int(&conn, &crowd), 4);
    let light = "SELECT count(*) FROM annotations WHERE json_extract(labels, '$.prompt_tokens') = '128'";
    let calm = format!("{light} AND {ttft} BETWEEN 20 AND 60 AND span_start < {victim} - 40000000");
    assert!(int(&conn, &calm) >= 12);
    assert_eq!(int(&conn, &format!("{light} AND {ttft} > 11000")), 2);
}

#[test]
fn twins_lack_what_would_prove_the_cause() {
    for name in [
        "hol-blocking-twin-beside",
        "hol-blocking-twin-thread",
        "hol-blocking-twin-sleep",
    ] {
        let conn = default(name);
        let (tid, from, to, _) = truth(&conn, "twin", "LAUNCH_TAIL_CONTENTION");
        assert_eq!(to - from, 356_000_000, "{name}");
        let launch = format!(
            "{SPANS}, slow AS (SELECT * FROM spans WHERE source=1 AND op=3 AND tid={tid} AND duration > 200000),
             waits AS (SELECT * FROM spans JOIN sched_details ON event = n WHERE tid={tid} AND state = 0)"
        );
        let waiting = format!("{launch} SELECT count(*) FROM slow c JOIN waits o ON o.t0 < c.t1 AND o.t1 > c.t0");
        assert_eq!(int(&conn, &waiting), 0, "{name}: no slow launch waits for a CPU");
        let tails = "SELECT count(*) FROM events WHERE source=1 AND op=3 AND duration BETWEEN 400000 AND 500000";
        assert!(int(&conn, tails) >= 590, "{name}: the slow launches are still there");
        let blocked = "SELECT count(*) FROM truth WHERE kind='twin' AND rule='HOL_BLOCKING'";
        assert_eq!(int(&conn, blocked), 2, "{name}");
        let behind = "WITH r AS (
              SELECT span_start AS t, CAST(json_extract(labels, '$.prompt_tokens') AS INTEGER) AS prompt,
                     CAST(json_extract(labels, '$.ttft_ms') AS INTEGER) AS ttft
              FROM annotations WHERE json_extract(labels, '$.prompt_tokens') IS NOT NULL)
            SELECT count(*) FROM r l JOIN r h ON h.t <= l.t AND h.t + h.ttft * 1000000 > l.t
            WHERE l.ttft > 11000 AND h.prompt >= 4 * l.prompt";
        assert_eq!(int(&conn, behind), 0, "{name}: nobody waits behind a much heavier one");
    }
    let conn = default("hol-blocking-twin-beside");
    let (tid, from, ..) = truth(&conn, "twin", "LAUNCH_TAIL_CONTENTION");
    let beside = format!(
        "SELECT count(*) FROM events WHERE source=3 AND op=1 AND tid={tid} AND timestamp = {from} - 1000000
         AND duration = 2500000000"
    );
    assert_eq!(int(&conn, &beside), 1, "the stall ends 1 ms before the slow launch");
}

#[test]
fn contention_takes_a_sixth_of_the_time() {
    let conn = default("cpu-contention");
    let (tid, from, to, _) = truth(&conn, "cause", "NOISY_NEIGHBOUR");
    let waited = format!(
        "{SPANS} SELECT sum(CASE WHEN state = 0 THEN duration ELSE t1 - woken_at END) FROM spans
         JOIN sched_details ON event = n WHERE tid={tid} AND t0 >= {from} AND t1 <= {to}"
    );
    let share = int(&conn, &waited) * 100 / (to - from);
    assert!((15..=20).contains(&share), "{share} % on the run queue");
    let cpu = format!("SELECT min(cpu_pct) >= 85 FROM system_snapshots WHERE timestamp BETWEEN {from} AND {to}");
    assert_eq!(int(&conn, &cpu), 1);
}

#[test]
fn first_uses_are_in_the_request_of_lazy_load() {
    let conn = default("lazy-load");
    let (tid, from, to, sum) = truth(&conn, "cause", "LAZY_KERNEL_LOAD");
    let first = format!(
        "WITH firsts AS (SELECT min(timestamp) AS t, duration FROM events WHERE source=1 AND op=3 AND tid={tid}
           GROUP BY arg0)
         SELECT sum(duration) FROM firsts WHERE t BETWEEN {from} AND {to}"
    );
    assert_eq!(int(&conn, &first), sum);
    assert!(sum > 500_000_000 / 2, "{sum}");
    let request = format!(
        "SELECT count(*) FROM annotations WHERE span_start <= {from} AND span_end >= {to}
         AND json_extract(labels, '$.prompt_tokens') = '640'"
    );
    assert_eq!(int(&conn, &request), 1);
}

#[test]
fn training_scenarios_plant_what_they_say() {
    let conn = default("pageable-copy");
    let copies = "SELECT count(*) FROM events WHERE source=1 AND op=7 AND arg0=8388608 AND arg1=1
                  AND duration BETWEEN 838000 AND 1050000";
    assert!(int(&conn, copies) >= 200);

    let conn = default("sync-bound");
    let (tid, from, to, value) = truth(&conn, "cause", "SYNC_BOUND");
    let syncs = format!(
        "SELECT count(*) FROM events WHERE source=1 AND op=5 AND tid={tid} AND timestamp BETWEEN {from} AND {to}"
    );
    assert_eq!(int(&conn, &syncs), value);

    let conn = default("launch-queue-full");
    let (tid, from, to, _) = truth(&conn, "cause", "LAUNCH_QUEUE_FULL");
    let plateau = format!(
        "SELECT count(*) FROM events WHERE source=1 AND op=3 AND tid={tid} AND timestamp BETWEEN {from} AND {to}
         AND duration BETWEEN 175000 AND 205000"
    );
    assert_eq!(int(&conn, &plateau), 6 * 9_000);

    let conn = default("healthy-training");
    let longest = "SELECT max(duration) FROM events WHERE source=1 AND op=7
                   AND timestamp > (SELECT start_ns FROM truth WHERE kind='healthy')";
    assert!(int(&conn, longest) <= 50_000, "page-locked copies only queue");
}

#[test]
fn bulk_gives_exactly_the_events_asked_for() {
    let conn = default("bulk");
    assert_eq!(int(&conn, "SELECT count(*) FROM events"), 400_000);
    let planted = "SELECT count(*) FROM events WHERE source=1 AND op=3 AND pid=73734 AND duration=356000000";
    assert!(int(&conn, planted) >= 6);
    let told = "SELECT count(*) FROM truth t JOIN events e ON e.tid = t.tid AND e.timestamp = t.start_ns + t.value
                WHERE t.kind='cause' AND e.source=3 AND e.op=1 AND e.duration = t.value";
    assert_eq!(int(&conn, told), 6);
    let late = "SELECT count(*) * 100 / 400000 FROM (
        SELECT timestamp < lag(timestamp) OVER (ORDER BY rowid) AS late FROM events) WHERE late";
    let share = int(&conn, late);
    assert!((10..=35).contains(&share), "{share} % of the rows are out of order");
}

#[test]
fn more_events_stretch_the_healthy_part() {
    let conn = play("hol-blocking", 1, Some(200_000));
    let rows = int(&conn, "SELECT count(*) FROM events");
    assert!((180_000..=220_000).contains(&rows), "{rows}");
    assert_eq!(int(&conn, "SELECT count(*) FROM truth WHERE rule='ENGINE_STALL'"), 1);
}

#[test]
fn an_unknown_scenario_has_a_neighbour() {
    let mut writer = Writer::in_memory("sim").unwrap();
    let e = simulate("hol", &Options::default(), &mut writer).unwrap_err();
    let near = matches!(
        e,
        SimulateError::Unknown {
            nearest: Some("hol-blocking"),
            ..
        }
    );
    assert!(near, "{e}");
}
