//! A part of a trace holds what happened in its window, and says what the whole was.
#![expect(clippy::unwrap_used, reason = "tests may unwrap")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ingero::simulate::{Options, create};
use ingero::trace::slice::{Slice, SliceError, SliceOptions, slice};
use ingero::trace::writer::WriteError;
use ingero::trace::{Edge, ReadOptions, WindowSpec, read};
use ingero::unit::SEC;
use rusqlite::Connection;

struct Case {
    folder: tempfile::TempDir,
    whole: PathBuf,
}

fn case(scenario: &str) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.db");
    create(scenario, &Options::default(), &whole, false).unwrap();
    Case { folder, whole }
}

impl Case {
    fn cut(&self, name: &str, options: &SliceOptions) -> Result<(Slice, PathBuf), SliceError> {
        let part = self.folder.path().join(name);
        slice(&self.whole, &part, options).map(|s| (s, part))
    }
}

fn window(from: i64, to: i64) -> SliceOptions {
    SliceOptions {
        window: WindowSpec {
            from: Some(Edge::AfterStart(from * SEC)),
            to: Some(Edge::AfterStart(to * SEC)),
        },
        ..SliceOptions::default()
    }
}

fn open(path: &Path) -> Connection {
    let db = Connection::open(format!("file:{}?immutable=1", path.display())).unwrap();
    let ok: String = db.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
    assert_eq!(ok, "ok");
    db
}

fn int(db: &Connection, sql: &str) -> i64 {
    db.query_row(sql, [], |r| r.get::<_, Option<i64>>(0))
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
        .unwrap_or(0)
}

/// Every row of a query as text, for comparing two files.
fn rows(db: &Connection, sql: &str) -> Vec<String> {
    let mut q = db.prepare(sql).unwrap();
    let n = q.column_count();
    let row = q.query_map([], |r| {
        let values: Result<Vec<_>, _> = (0..n).map(|i| r.get::<_, rusqlite::types::Value>(i)).collect();
        Ok(format!("{:?}", values?))
    });
    row.unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn all_that_reaches_into_the_window_is_there_and_nothing_else() {
    let c = case("hol-blocking");
    let (done, part) = c.cut("part.db", &window(40, 45)).unwrap();
    let (whole, part) = (open(&c.whole), open(&part));
    // Sources 1, 4, 8 and 9 store the start of a call, the others their end.
    let span = "CASE WHEN source IN (1,4,8,9) THEN timestamp ELSE timestamp-duration END";
    let (from, to) = (done.window.start, done.window.end);
    assert_eq!(to - from, 5 * SEC);
    let inside = format!("{span}<={to} AND {span}+duration>={from}");
    let events = |condition: &str| format!("SELECT rowid, * FROM events WHERE {condition} ORDER BY rowid");
    assert_eq!(rows(&part, &events("1")), rows(&whole, &events(&inside)));
    for table in ["sched_details", "call_details", "nccl_calls"] {
        let of = format!("SELECT * FROM {table} WHERE event IN (SELECT rowid FROM events WHERE {inside}) ORDER BY 1");
        assert_eq!(rows(&part, &of), rows(&whole, &of), "{table}");
        assert_eq!(
            int(
                &part,
                &format!("SELECT count(*) FROM {table} WHERE event NOT IN (SELECT rowid FROM events)")
            ),
            0
        );
    }
    for table in [
        "tasks",
        "sessions",
        "recording_probes",
        "system_snapshots",
        "truth",
        "ops",
    ] {
        let all = format!("SELECT * FROM {table} ORDER BY 1,2");
        assert_eq!(rows(&part, &all), rows(&whole, &all), "{table}");
    }
    assert_eq!(done.kept, int(&part, "SELECT count(*) FROM events").unsigned_abs());
    assert!(done.kept > 1000 && done.kept < done.before / 5);
    let indexes = "SELECT name FROM sqlite_schema WHERE type='index' AND name LIKE 'idx%' ORDER BY 1";
    assert_eq!(rows(&part, indexes), rows(&whole, indexes));
}

#[test]
fn aggregates_count_the_part_and_those_of_the_whole_are_kept() {
    let c = case("hol-blocking");
    let (_, part) = c.cut("part.db", &window(40, 45)).unwrap();
    let (whole, part) = (open(&c.whole), open(&part));
    for (table, len) in [("aggregates", 60 * SEC), ("aggregates_5s", 5 * SEC)] {
        let counted = format!(
            "SELECT bucket,source,op,pid,count,stored,sum_dur,min_dur,max_dur FROM event_{table} WHERE stored>0 ORDER BY 1,2,3,4"
        );
        let seen = format!(
            "SELECT timestamp-timestamp%{len} AS b,source,op,pid,count(*),count(*),sum(duration),min(duration),\
             max(duration) FROM events GROUP BY 1,2,3,4 ORDER BY 1,2,3,4"
        );
        assert_eq!(rows(&part, &counted), rows(&part, &seen), "{table}");
        let all = |name: &str| format!("SELECT * FROM {name} ORDER BY bucket,source,op,pid");
        assert_eq!(
            rows(&part, &all(&format!("whole_{table}"))),
            rows(&whole, &all(&format!("event_{table}")))
        );
    }
    // Pages are counted and never rows: by the buckets that meet the window.
    let pages = "SELECT sum(count) FROM";
    let of_part = int(&part, &format!("{pages} event_aggregates WHERE source=3 AND op=3"));
    assert_eq!(
        of_part,
        int(&part, &format!("{pages} event_aggregates_5s WHERE source=3 AND op=3"))
    );
    let of_whole = int(&whole, &format!("{pages} event_aggregates WHERE source=3 AND op=3"));
    assert!(of_part > 0 && of_part < of_whole, "{of_part} of {of_whole}");
    let cuts = "SELECT source,op,rows_before FROM slice_cuts ORDER BY 1,2";
    let had = "SELECT source,op,count(*) FROM events GROUP BY 1,2 ORDER BY 1,2";
    assert_eq!(rows(&part, cuts), rows(&whole, had));
    let kept = "SELECT source,op,rows_kept FROM slice_cuts WHERE rows_kept>0 ORDER BY 1,2";
    assert_eq!(rows(&part, kept), rows(&part, had));
}

/// Intervals by thread and operation, of the stored operations.
fn lanes(path: &Path, options: &ReadOptions<'_>) -> BTreeMap<(i64, &'static str), Vec<(i64, i64)>> {
    let (trace, errors) = read(&[path.to_path_buf()], options);
    assert_eq!(errors, []);
    let trace = trace.unwrap();
    let stored = trace.lanes.iter().filter(|l| !l.row.is_empty());
    stored
        .map(|l| {
            let spans = l.start.iter().copied().zip(l.dur.iter().copied());
            ((trace.thread(l.thread).tid, l.op.def().name), spans.collect())
        })
        .collect()
}

#[test]
fn the_part_reads_like_that_window_of_the_whole() {
    let c = case("hol-blocking");
    let options = window(40, 45);
    let (_, part) = c.cut("part.db", &options).unwrap();
    let of_whole = ReadOptions {
        window: Some(options.window),
        ..ReadOptions::default()
    };
    assert_eq!(lanes(&part, &ReadOptions::default()), lanes(&c.whole, &of_whole));
    let (trace, _) = read(&[part], &ReadOptions::default());
    let trace = trace.unwrap();
    let observed = trace.nodes[0].observed.unwrap();
    assert_eq!(
        observed.len(),
        5 * SEC,
        "whole stints reach further, but only the window is known"
    );
    assert_eq!((trace.nodes[0].rows_missing, trace.nodes[0].not_stored), (0, 0));
    let notes = trace.files[0].notes.join("; ");
    assert!(notes.contains("a part of a longer recording"), "{notes}");
}

#[test]
fn the_size_asked_for_is_kept_to() {
    let c = case("hol-blocking");
    let options = SliceOptions {
        max_bytes: Some(1 << 20),
        ..SliceOptions::default()
    };
    let (done, part) = c.cut("part.db", &options).unwrap();
    let size = std::fs::metadata(&part).unwrap().len();
    assert_eq!(size, done.size_bytes);
    assert!(size <= 1 << 20 && size > 1 << 19, "{size}");
    let small = SliceOptions {
        max_bytes: Some(10_000),
        ..options
    };
    assert!(matches!(c.cut("small.db", &small), Err(SliceError::TooLarge { .. })));
    let left: Vec<_> = std::fs::read_dir(c.folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "nothing is left of the attempt: {left:?}");
}

#[test]
fn a_part_of_a_part_remembers_the_whole() {
    let c = case("hol-blocking");
    let (first, part) = c.cut("part.db", &window(40, 50)).unwrap();
    let smaller = c.folder.path().join("smaller.db");
    let at = |seconds: i64| Some(Edge::At(first.window.start + seconds * SEC));
    let options = SliceOptions {
        window: WindowSpec { from: at(2), to: at(4) },
        ..SliceOptions::default()
    };
    slice(&part, &smaller, &options).unwrap();
    let (whole, smaller) = (open(&c.whole), open(&smaller));
    assert_eq!(int(&smaller, "SELECT count(*) FROM slices"), 2);
    let before = "SELECT sum(rows_before) FROM slice_cuts";
    assert_eq!(int(&smaller, before), int(&whole, "SELECT count(*) FROM events"));
    assert_eq!(
        int(&smaller, "SELECT sum(count) FROM whole_aggregates"),
        int(&whole, "SELECT sum(count) FROM event_aggregates")
    );
}

#[test]
fn paths_of_the_command_go_unless_they_are_to_stay() {
    let c = case("hol-blocking");
    Connection::open(&c.whole)
        .unwrap()
        .execute(
            "INSERT OR REPLACE INTO recording VALUES('command','/usr/bin/python3 /home/me/serve.py --port=1')",
            [],
        )
        .unwrap();
    let command = |path: &Path| -> String {
        let sql = "SELECT value FROM recording WHERE key='command'";
        open(path).query_row(sql, [], |r| r.get(0)).unwrap()
    };
    let (_, part) = c.cut("scrubbed.db", &window(1, 2)).unwrap();
    assert_eq!(command(&part), "python3 serve.py --port=1");
    let keep = SliceOptions {
        keep_paths: true,
        ..window(1, 2)
    };
    let (_, part) = c.cut("kept.db", &keep).unwrap();
    assert_eq!(command(&part), "/usr/bin/python3 /home/me/serve.py --port=1");
}

#[test]
fn what_cannot_be_cut_is_refused_and_the_original_stays() {
    let c = case("hol-blocking");
    let bytes = std::fs::read(&c.whole).unwrap();
    assert!(matches!(c.cut("none.db", &window(4000, 5000)), Err(SliceError::Empty)));
    let onto_itself = c.cut("whole.db", &window(1, 2));
    assert!(matches!(onto_itself, Err(SliceError::Write(WriteError::Exists { .. }))));
    let nothing = slice(Path::new("/nowhere/t.db"), &c.folder.path().join("x.db"), &window(1, 2));
    assert!(matches!(nothing, Err(SliceError::Trace(_))));
    assert_eq!(std::fs::read(&c.whole).unwrap(), bytes);
    let left: Vec<_> = std::fs::read_dir(c.folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn calls_that_did_not_return_and_limits_of_cgroups_go_along() {
    let c = case("hol-blocking");
    let start = int(&open(&c.whole), "SELECT min(timestamp) FROM events");
    let db = Connection::open(&c.whole).unwrap();
    let call = "INSERT INTO open_calls(pid,tid,source,op,start_ns,seen_ns,how) VALUES(4211,4211,1,5,?1,?2,'open')";
    db.execute(call, [start + 44 * SEC, start + 60 * SEC]).unwrap();
    db.execute(call, [start + 50 * SEC, start + 60 * SEC]).unwrap();
    db.execute("INSERT INTO cgroup_cpu VALUES(?1,'/a',0,0,0,0)", [start + 41 * SEC])
        .unwrap();
    db.execute("INSERT INTO cgroup_metadata(cgroup_id,cgroup_path) VALUES(9,'/a')", [])
        .unwrap();
    drop(db);
    let part = open(&c.cut("part.db", &window(40, 45)).unwrap().1);
    assert_eq!(
        rows(&part, "SELECT start_ns FROM open_calls"),
        [format!("[Integer({})]", start + 44 * SEC)],
        "one had not begun"
    );
    assert_eq!(
        int(
            &part,
            "SELECT count(*) FROM cgroup_cpu JOIN cgroup_metadata USING (cgroup_path)"
        ),
        1
    );
}

/// Every name and text of a trace, told by something that no format has.
fn mark(path: &Path) {
    Connection::open(path)
        .unwrap()
        .execute_batch(
            "INSERT OR REPLACE INTO recording VALUES('command','/usr/bin/python3 /home/sEcret/run.py --token=sEcret');
             UPDATE process_names SET name='sEcret-'||name;
             UPDATE tasks SET comm='sEcret-'||comm;
             UPDATE events SET id='sEcret-node:'||rowid, node='sEcret-node', comm='sEcret-'||comm, stack_ips='sEcret';
             UPDATE sessions SET node='sEcret-node', pid_filter='sEcret';
             UPDATE annotations SET labels=json_set(labels, '$.user', 'sEcret');
             INSERT INTO recording_probes VALUES('cudaFree','/home/sEcret/lib/libcudart.so.12','failed','sEcret');
             INSERT INTO cgroup_cpu VALUES(1,'/sEcret/pod',0,0,0,0);
             INSERT INTO cgroup_metadata VALUES(9,'sEcret','/sEcret/pod','sEcret','sEcret');
             INSERT INTO xids VALUES((SELECT max(timestamp)-1000000000 FROM events),'0000:01:00.0',31,'pid=1, name=sEcret');
             UPDATE truth SET note='sEcret';
             INSERT INTO stack_traces VALUES(1,'sEcret','sEcret');
             INSERT INTO causal_chains(id,detected_at,severity,summary,root_cause,explanation) VALUES('sEcret:1',1,'LOW','sEcret','','');
             CREATE TABLE notes_of_somebody(text TEXT); INSERT INTO notes_of_somebody VALUES('sEcret');",
        )
        .unwrap();
}

#[test]
fn an_anonymous_part_names_nobody_and_is_judged_as_before() {
    let c = case("hol-blocking");
    mark(&c.whole);
    let all = SliceOptions {
        anonymise: true,
        ..SliceOptions::default()
    };
    let (_, part) = c.cut("anonymous.db", &all).unwrap();
    let bytes = std::fs::read(&part).unwrap();
    let left = bytes.windows(6).position(|w| w == b"sEcret");
    assert_eq!(left, None, "not even in a free page");
    let db = open(&part);
    assert_eq!(
        int(
            &db,
            "SELECT count(*) FROM events WHERE id='node-1:'||rowid AND node='node-1'"
        ),
        int(&db, "SELECT count(*) FROM events")
    );
    let target = "SELECT target FROM recording_probes WHERE probe='cudaFree'";
    assert_eq!(rows(&db, target), ["[Text(\"folder-1/libcudart.so.12\")]"]);
    let same =
        "SELECT count(*) FROM cgroup_cpu JOIN cgroup_metadata USING (cgroup_path) WHERE cgroup_path='/group-2/group-1'";
    assert_eq!(int(&db, same), 1);
    let numbers = "SELECT count(*) FROM annotations WHERE json_extract(labels,'$.prompt_tokens')='128'";
    assert_eq!(int(&db, numbers), int(&open(&c.whole), numbers));

    let (whole, _) = c.cut("named.db", &SliceOptions::default()).unwrap();
    let options = ReadOptions::default();
    let lanes_of = |path: &Path| lanes(path, &options).into_values().collect::<Vec<_>>();
    assert_eq!(whole.kept, int(&db, "SELECT count(*) FROM events").unsigned_abs());
    assert_eq!(lanes_of(&part), lanes_of(&c.folder.path().join("named.db")));
}
