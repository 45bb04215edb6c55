//! `ingero-recorder`: arguments in, exit code out. `ingero record …` starts it.

use clap::Parser;
use ingero_recorder::cli::Args;
use ingero_recorder::record::Console;
use ingero_recorder::{check, record};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Messages go to standard error: notes only if a person may be watching.
struct Stderr;

impl Console for Stderr {
    fn note(&mut self, line: &str) {
        if std::io::stderr().is_terminal() {
            self.warn(line);
        }
    }
    fn warn(&mut self, line: &str) {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut console = Stderr;
    let result = if args.check {
        check::check(&args).map(|table| {
            let _ = std::io::stdout().write_all(table.as_bytes());
        })
    } else {
        record::record(&args, &mut console).map(|summary| {
            let lost = match summary.lost {
                0 => "nothing lost".to_owned(),
                n => format!("{n} events lost (see recording_losses)"),
            };
            for file in &summary.files {
                console.note(&format!("wrote {}", file.display()));
            }
            console.note(&format!("{} events, {lost}", summary.rows));
        })
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console.warn(&format!("ingero record: {error}"));
            ExitCode::from(2)
        }
    }
}
