//! Reading real recordings made by others, where they lie beside the repository; else reported as
//! skipped. The row counts are those of the format reference.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use ingero::trace::catalogue::{Anchor, Op, Source};
use ingero::trace::model::flag;
use ingero::trace::{Edge, Needs, ReadOptions, Rows, Stored, Trace, WindowSpec, coverage, read};

fn recordings() -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/traces");
    let other = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/traces");
    let found = [dir, other].into_iter().find(|d| d.is_dir());
    if found.is_none() {
        println!("skipped: no recordings in ../shared/traces");
    }
    found
}

fn one(name: &str) -> Option<Trace> {
    one_with(name, &ReadOptions::default())
}

fn one_with(name: &str, options: &ReadOptions<'_>) -> Option<Trace> {
    let path = recordings()?.join(format!("{name}.db"));
    let (trace, errors) = read(&[path], options);
    assert_eq!(errors, []);
    trace
}

const ORACLE: [(&str, &str); 6] = [
    (
        "pytorch-173382-empty-cache",
        "1/1:45, 1/2:40, 1/3:915, 1/5:405, 1/7:310, 3/1:116, 3/2:47, 3/6:11, 3/7:6, 4/1:1520, 4/5:49, 7/1:1, 7/2:21",
    ),
    (
        "pytorch-dataloader-starvation",
        "1/1:7, 1/3:16, 1/5:21, 1/6:3, 1/7:14, 3/1:3676, 3/6:5, 3/7:11, 4/1:41, 4/4:3, 4/5:10",
    ),
    ("sample-gpu-node-01", "3/1:99, 5/1:98, 5/2:3"),
    ("sample-gpu-node-02", "3/1:62, 4/5:40, 5/2:98"),
    ("sample-gpu-node-03", "3/1:58, 4/5:36, 5/2:106"),
    ("sample-cluster", "3/1:219, 4/5:76, 5/1:98, 5/2:207"),
];

#[test]
fn every_row_is_read() {
    for (name, expected) in ORACLE {
        let Some(trace) = one(name) else { return };
        let mut rows: BTreeMap<(u8, u8), usize> = BTreeMap::new();
        for lane in &trace.lanes {
            let d = lane.op.def();
            if d.anchor != Anchor::Derived {
                *rows.entry((d.source_id, d.op_id)).or_default() += lane.len();
            }
        }
        let found: Vec<String> = rows.iter().map(|((s, o), n)| format!("{s}/{o}:{n}")).collect();
        assert_eq!(found.join(", "), expected, "{name}");
    }
}

#[test]
fn durations_agree_with_plain_sql() {
    for (name, _) in ORACLE {
        let Some(dir) = recordings() else { return };
        let Some(trace) = one(name) else { return };
        let uri = format!("file:{}?immutable=1", dir.join(format!("{name}.db")).display());
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_URI;
        let conn = rusqlite::Connection::open_with_flags(uri, flags).unwrap();
        let mut stmt = conn
            .prepare(
                "SELECT source, op, count(*), sum(duration), min(duration), max(duration) FROM events GROUP BY 1, 2",
            )
            .unwrap();
        let rows = stmt
            .query_map([], |r| {
                Ok((r.get(0)?, r.get(1)?, [r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?]))
            })
            .unwrap();
        for row in rows {
            let (source, op, expected): (i64, i64, [i64; 4]) = row.unwrap();
            let op = Op::by_ids(source, op).unwrap();
            let all: Vec<i64> = trace
                .lanes
                .iter()
                .filter(|l| l.op == op)
                .flat_map(|l| l.dur.clone())
                .collect();
            let found = [
                i64::try_from(all.len()).unwrap(),
                all.iter().sum(),
                all.iter().copied().min().unwrap(),
                all.iter().copied().max().unwrap(),
            ];
            assert_eq!(found, expected, "{name} {}", op.def().name);
        }
    }
}

#[test]
fn intervals_of_a_thread_do_not_overlap() {
    for (name, _) in ORACLE {
        let Some(trace) = one(name) else { return };
        for t in 0..trace.threads.len() {
            for source in [Source::Cuda, Source::Sched, Source::Driver, Source::Net] {
                let lanes = &trace.lanes[trace.threads[t].lanes.clone()];
                let mut all: Vec<_> = lanes
                    .iter()
                    .filter(|l| l.op.def().source == source)
                    .flat_map(|l| (0..l.len()).map(|i| l.interval(i)))
                    .filter(|i| !i.is_empty())
                    .collect();
                all.sort_unstable();
                for pair in all.windows(2) {
                    assert!(pair[0].end <= pair[1].start, "{name} {} {pair:?}", source.name());
                }
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for (name, _) in ORACLE {
        let of = |threads| {
            one_with(
                name,
                &ReadOptions {
                    threads,
                    ..ReadOptions::default()
                },
            )
            .map(|t| format!("{t:?}"))
        };
        assert_eq!(of(1), of(4), "{name}");
    }
}

#[test]
fn a_folder_is_a_fleet() {
    let Some(dir) = recordings() else { return };
    let (trace, errors) = read(&[dir], &ReadOptions::default());
    assert_eq!(errors, []);
    let trace = trace.unwrap();
    let nodes: Vec<&str> = trace.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(
        nodes,
        [
            "gpu-node-01",
            "gpu-node-02",
            "gpu-node-03",
            "pytorch-173382-empty-cache",
            "pytorch-dataloader-starvation"
        ]
    );
    // The cluster holds the same rows as the nodes beside it.
    let doubled = trace
        .files
        .iter()
        .filter(|f| f.notes.iter().any(|n| n.contains("counted twice")))
        .count();
    assert_eq!(doubled, 3);
}

#[test]
fn first_uses_explain_the_slow_launches() {
    let Some(trace) = one("pytorch-173382-empty-cache") else {
        return;
    };
    let launch = Op::by_ids(1, 3).unwrap();
    let (mut slow, mut slow_first, mut first_sum) = (0, 0, 0);
    for lane in trace.lanes.iter().filter(|l| l.op == launch) {
        for i in 0..lane.len() {
            let first = lane.flags_at(i) & flag::FIRST_USE != 0;
            slow += u32::from(lane.dur[i] > 1_000_000);
            slow_first += u32::from(lane.dur[i] > 1_000_000 && first);
            first_sum += if first { lane.dur[i] } else { 0 };
        }
    }
    assert_eq!((slow, slow_first), (29, 29));
    assert_eq!(first_sum / 1_000_000, 351);
}

#[test]
fn nested_driver_calls_are_linked() {
    let Some(trace) = one("pytorch-173382-empty-cache") else {
        return;
    };
    let nested = |source, op| -> usize {
        let op = Op::by_ids(source, op).unwrap();
        let lanes = trace.lanes.iter().filter(|l| l.op == op);
        lanes
            .map(|l| l.flags.iter().filter(|&&f| f & flag::NESTED != 0).count())
            .sum()
    };
    // 680 of 915 launches contain theirs, and all 45 allocations.
    assert_eq!((nested(4, 1), nested(4, 5)), (680, 45));
}

#[test]
fn threads_find_their_process() {
    let Some(trace) = one("pytorch-dataloader-starvation") else {
        return;
    };
    let find = |tid: i64| {
        let t = trace.threads.iter().find(|t| t.tid == tid).unwrap();
        (trace.process(t.process).pid, t.name.clone())
    };
    // Workers fill pages under their own process id; the forked rest are threads.
    assert_eq!(find(2255), (2255, "pt_data_worker".into()));
    assert_eq!(find(2259), (2233, "python3".into()));
    assert_eq!(find(2238).0, 2233);
    let worker = trace.processes.iter().find(|p| p.pid == 2255).unwrap();
    assert!(worker.start_seen);
    assert_eq!(trace.process(worker.parent.unwrap()).pid, 2233);
    let main = trace.processes.iter().find(|p| p.pid == 2233).unwrap();
    assert_eq!(trace.thread(main.launcher.unwrap()).tid, 2233);
    assert_eq!(
        main.threads.len(),
        trace
            .threads
            .iter()
            .filter(|t| trace.process(t.process).pid == 2233)
            .count()
    );
}

#[test]
fn selection_by_the_recorder_is_known() {
    let Some(trace) = one("pytorch-173382-empty-cache") else {
        return;
    };
    let node = &trace.nodes[0];
    let Stored::Selected(windows) = &node.stored else {
        panic!("{:?}", node.stored)
    };
    assert_eq!(windows.len(), 1);
    let seconds = windows[0].len() / 1_000_000_000;
    // Ten seconds, and the one stint that began before the session.
    assert_eq!(seconds, 10, "{windows:?}");
    assert!(!node.preemptor && !node.run_state && node.losses.is_none());
    assert_eq!(node.cores, Some(4));
    assert_eq!(node.snapshots.len(), 20);
    assert_eq!(node.snapshots[0].cpu_milli_pct, None);

    let process = trace.processes.iter().position(|p| p.gpu.is_some()).unwrap();
    let process = ingero::trace::ProcIdx(u32::try_from(process).unwrap());
    let main = trace.process(process).threads[0];
    let rows = |source, op| coverage::rows(&trace, main, Op::by_ids(source, op).unwrap());
    assert!(matches!(rows(1, 3), Rows::Windows(_)));
    assert_eq!(rows(3, 1), Rows::Complete);
    assert_eq!(rows(3, 6), Rows::Complete);
    assert_eq!(rows(8, 4), Rows::Unobserved);
    assert_eq!(rows(3, 3), Rows::Unobserved);

    // The first minute was overwritten: 1,004 launches counted, none called stored, 906 there.
    let launches = coverage::counted(&trace, process, Op::by_ids(1, 3).unwrap()).unwrap();
    assert_eq!((launches.minutes[0].count, launches.minutes[0].rows), (1004, 906));
    assert!(!launches.minutes[0].reliable);
    assert_eq!((launches.minutes[1].count, launches.minutes[1].rows), (30_070, 9));
    let syncs = coverage::counted(&trace, process, Op::by_ids(1, 5).unwrap()).unwrap();
    assert_eq!((syncs.minutes[0].count, syncs.minutes[0].rows), (355, 355));
}

#[test]
fn lost_rows_are_counted() {
    let Some(trace) = one("pytorch-dataloader-starvation") else {
        return;
    };
    assert_eq!(trace.nodes[0].rows_missing, 37);
    assert!(trace.nodes[0].not_stored > 100_000);
    assert_eq!(trace.chains.len(), 8);
    assert_eq!(trace.chains.iter().map(|c| c.repeats).sum::<u64>(), 316);
}

#[test]
fn a_trimmed_file_says_so() {
    for (name, nodes) in [("sample-gpu-node-02", 1), ("sample-cluster", 3)] {
        let Some(trace) = one(name) else { return };
        assert_eq!(trace.nodes.len(), nodes);
        assert!(trace.nodes.iter().all(|n| n.stored == Stored::Selected(vec![])));
        assert!(
            trace.files[0].notes.iter().any(|n| n.starts_with("trimmed")),
            "{:?}",
            trace.files[0].notes
        );
    }
}

#[test]
fn a_window_keeps_what_reaches_into_it() {
    let window = Some(WindowSpec {
        from: Some(Edge::BeforeEnd(1_000_000_000)),
        to: None,
    });
    let options = ReadOptions {
        window,
        ..ReadOptions::default()
    };
    let Some(part) = one_with("pytorch-173382-empty-cache", &options) else {
        return;
    };
    let all = one("pytorch-173382-empty-cache").unwrap();
    let end = all.nodes[0].observed.unwrap().end;
    let reach = |t: &Trace| -> usize {
        let lanes = t.lanes.iter();
        lanes
            .map(|l| {
                (0..l.len())
                    .filter(|&i| l.interval(i).end >= end - 1_000_000_000)
                    .count()
            })
            .sum()
    };
    assert_eq!(reach(&all), part.events());
    assert!(part.events() < all.events() / 2);
    assert_eq!(part.nodes[0].observed.unwrap().len(), 1_000_000_000);
}

#[test]
fn reading_less_changes_nothing_else() {
    let mut needs = Needs::nothing();
    let switch = Op::by_ids(3, 1).unwrap();
    needs.add(switch);
    let options = ReadOptions {
        needs,
        ..ReadOptions::default()
    };
    for (name, _) in ORACLE {
        let (Some(part), Some(all)) = (one_with(name, &options), one(name)) else {
            return;
        };
        assert!(part.lanes.iter().all(|l| l.op == switch));
        let brief = |t: &Trace| {
            let processes: Vec<_> = t
                .processes
                .iter()
                .map(|p| {
                    (
                        p.pid,
                        p.life,
                        p.name.clone(),
                        p.alive,
                        p.gpu,
                        p.launcher,
                        p.steady_from,
                        p.late,
                    )
                })
                .collect();
            format!("{processes:?} {:?} {:?}", t.nodes[0].counted, t.nodes[0].ops)
        };
        assert_eq!(brief(&part), brief(&all), "{name}");
    }
}
