//! What the comparison found wrong once, as small cases.

use ingero::diagnosis::Status;
use ingero::eval::verdicts;
use ingero::lang;
use ingero::source::SourceFile;
use ingero::trace::catalogue::{Op, Source};
use ingero::trace::writer::{Event, Writer};
use ingero::trace::{ReadOptions, Trace, read};
use ingero::unit::{MS, SEC};

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
