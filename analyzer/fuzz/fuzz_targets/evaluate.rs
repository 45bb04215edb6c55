//! Any rules judge small traces of every source, and the same way each time; their own tests run.
#![no_main]

use std::sync::OnceLock;

use ingero::eval::harness::{Only, run_tests, trace_of};
use ingero::eval::{Options, analyze};
use ingero::lang::compile;
use ingero::source::SourceFile;
use ingero::trace::Trace;
use libfuzzer_sys::fuzz_target;

/// Fixtures whose traces every input is judged on.
const TRACES: &str = include_str!("traces.rules");
/// Events of an input's own test, above which running it would only test patience.
const EVENTS: i64 = 2_000;

fn traces() -> &'static [Trace] {
    static TRACES_OF: OnceLock<Vec<Trace>> = OnceLock::new();
    TRACES_OF.get_or_init(|| {
        let compiled = compile(&[SourceFile::new("traces", TRACES)], &[]);
        assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics);
        let made = compiled.program.tests.iter().map(|t| trace_of(t).expect("a right fixture"));
        made.collect()
    })
}

fuzz_target!(|text: &str| {
    let files = [SourceFile::new("fuzz", text)];
    let mut program = compile(&files, &[]).program;
    for trace in traces() {
        let judge = || format!("{:?}", analyze(&program, trace, Options::default()));
        assert_eq!(judge(), judge());
    }
    program.tests.retain(|t| {
        let repeats = t.events.iter().map(|e| match e.every_ns {
            None => 1,
            Some(every) => (e.to_ns - e.at_ns) / every + 1,
        });
        repeats.sum::<i64>() <= EVENTS
    });
    let _ = run_tests(&files, &[], &program, Only::default());
});
