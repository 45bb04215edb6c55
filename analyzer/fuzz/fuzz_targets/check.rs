//! Any text is checked, its problems can be shown, and its good rules explained.
#![no_main]

use ingero::lang::{compile, explain, render};
use ingero::source::SourceFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let out = compile(&[SourceFile::new("fuzz", text)], &[]);
    let _ = render::plain(&out.diagnostics, &out.program.files);
    for rule in &out.program.rules {
        let _ = explain::rule(&out.program, rule);
    }
});
