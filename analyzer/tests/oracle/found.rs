//! What the comparison found wrong once, as small cases.

use ingero::diagnosis::Status;
use ingero::eval::verdicts;
use ingero::lang;
use ingero::source::SourceFile;
use ingero::trace::catalogue::{Op, Source};
use ingero::trace::writer::{Event, Uncounted, Writer};
use ingero::trace::{Needs, ReadOptions, Trace, read, read_connection};
use ingero::unit::{MS, SEC, US};

use super::scene::EPOCH;

/// What a rule comes to, and for how many keys it fires.
fn verdict(trace: &Trace, rule: &str) -> (Status, usize) {
    let out = lang::compile(&[SourceFile::new("t.rules", rule.to_owned())], &[]);
    assert!(
        !out.has_errors(),
        "{}",
        lang::render::plain(&out.diagnostics, &out.program.files)
    );
    let verdict = &verdicts(&out.program, trace)[0];
    (verdict.status, verdict.severities.len())
}

/// A node for each duration: twenty synchronisations that long, and one lost packet.
fn fleet(durations: &[i64]) -> Trace {
    let dir = tempfile::tempdir().unwrap();
    let sync = Op::by_name(Source::Cuda, "cudaStreamSync").unwrap();
    let lost = Op::by_ids(6, 1).unwrap();
    let paths: Vec<_> = (0..)
        .zip(durations)
        .map(|(n, dur)| {
            let path = dir.path().join(format!("{n}.db"));
            let mut w = Writer::create(&path, &format!("n{n}")).unwrap();
            for i in 0..20 {
                w.event(&Event::new(sync, 7, 7, EPOCH + i * SEC, *dur)).unwrap();
            }
            w.event(&Event::new(lost, 0, 0, EPOCH + SEC, 0)).unwrap();
            w.finish().unwrap();
            path
        })
        .collect();
    let (trace, errors) = read(&paths, &ReadOptions::default());
    assert!(errors.is_empty(), "{errors:?}");
    trace.unwrap()
}

#[test]
fn nodes_are_peers_of_each_other() {
    let trace = fleet(&[MS, MS, 50 * MS]);
    let rule = "when cuda.sync.avg > 2*peer_median(cuda.sync.avg) per node across node => R";
    assert_eq!(verdict(&trace, rule), (Status::Fired, 1));
    let by_op = "when cuda.p50 > 2*peer_median(cuda.p50) per (node, op) across node => R";
    assert_eq!(verdict(&trace, by_op), (Status::Fired, 1));
}

#[test]
fn what_only_the_node_knows_is_known_to_its_names_and_trees() {
    let trace = fleet(&[MS, MS]);
    for key in ["pid", "process", "comm", "tree"] {
        let rule = format!("when cuda.sync.count > 0 and tcp.tcp_retransmit.count >= 1 per {key} => R");
        assert_eq!(verdict(&trace, &rule), (Status::Fired, 2), "{key}");
    }
}

/// A process whose calls on two GPUs are rows, 20 and 4, beside three short ones that were only counted, and
/// another one that has made one call, which was only counted.
fn counted() -> Trace {
    let launch = Op::by_name(Source::Cuda, "cudaLaunchKernel").unwrap();
    let sync = Op::by_name(Source::Cuda, "cudaStreamSync").unwrap();
    let mut w = Writer::in_memory("n").unwrap();
    for (pid, name) in [(7, "one"), (9, "other")] {
        w.process_name(pid, name, EPOCH).unwrap();
        w.event(&Event::new(sync, pid, pid, EPOCH, MS)).unwrap();
    }
    for i in 0..20 {
        w.event(&Event::new(launch, 7, 7, EPOCH + i * SEC, MS)).unwrap();
    }
    for i in 0..4 {
        let mut other = Event::new(launch, 7, 7, EPOCH + i * SEC + 500 * MS, MS);
        other.gpu = 1;
        w.event(&other).unwrap();
    }
    for (pid, count) in [(7, 3), (9, 1)] {
        let short = Uncounted {
            op: launch,
            pid,
            at: EPOCH + SEC,
            count,
            sum_dur: count * US,
            min_dur: US,
            max_dur: US,
            sum_arg0: 0,
        };
        w.not_stored(&short);
    }
    let conn = w.into_connection().unwrap();
    let d = launch.def();
    conn.execute(
        "INSERT INTO recording_thresholds(source, op, min_dur, since) VALUES (?1, ?2, ?3, 0)",
        (d.source_id, d.op_id, MS),
    )
    .unwrap();
    let all = ReadOptions {
        needs: Needs::everything(),
        ..ReadOptions::default()
    };
    read_connection(&conn, &all).unwrap()
}

#[test]
fn calls_that_were_only_counted_may_have_been_on_any_gpu() {
    let trace = counted();
    let rule = |count| format!("when cuda.cudaLaunchKernel.count {count} per (pid, gpu) => R");
    assert_eq!(verdict(&trace, &rule("= 2")), (Status::Unknown, 0));
    // There may be no other GPU, and then none has fewer than 4.
    assert_eq!(verdict(&trace, &rule("< 4")), (Status::Unknown, 0));
    // Wherever they were, they are not that many.
    assert_eq!(verdict(&trace, &rule("> 30")), (Status::Quiet, 0));
    let peers = "when cuda.cudaLaunchKernel.count > 2*peer_median(cuda.cudaLaunchKernel.count)";
    let by_gpu = format!("{peers} per (pid, gpu) across gpu => R");
    assert_eq!(verdict(&trace, &by_gpu), (Status::Unknown, 0));
    let by_process = format!("{peers} per pid across pid => R");
    assert_eq!(verdict(&trace, &by_process), (Status::Fired, 1));
}

#[test]
fn who_has_only_counted_calls_is_judged_by_name_and_tree() {
    let trace = counted();
    for key in ["pid", "process", "tree"] {
        let rule = format!("when cuda.cudaLaunchKernel.count = 1 per {key} => R");
        assert_eq!(verdict(&trace, &rule), (Status::Fired, 1), "{key}");
    }
    let by_thread = "when cuda.cudaLaunchKernel.count = 1 per comm => R";
    assert_eq!(verdict(&trace, by_thread), (Status::Unknown, 0));
}
