//! `ingero rules fmt`.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use super::super::console::{Console, Kind};
use super::super::failure::Failure;
use super::super::{Outcome, analyze, engine, golden, sources};
use super::plural;
use crate::source::SourceFile;

/// Which files to format.
#[derive(Debug, Args)]
pub(in crate::cli) struct FmtArgs {
    /// Files, folders (their `.rules` files), or `-`: from standard input to standard output
    #[arg(required = true, value_name = "FILE|DIR|-", value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
    /// Write nothing; show what would change, and exit with 1 if anything would
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &FmtArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let mut paths = Vec::new();
    for path in &args.paths {
        if path.is_dir() {
            paths.extend(sources::in_folder(path)?);
        } else {
            paths.push(path.clone());
        }
    }
    let (mut differ, mut broken, mut piped) = (0, 0, false);
    for path in &paths {
        let stream = path.as_os_str() == "-";
        piped |= stream;
        let name = if stream { Path::new("<stdin>") } else { path };
        let source = SourceFile::new(name.display().to_string(), read(path, stream)?);
        let formatted = match engine::format(&source, analyze::look(console)) {
            Ok(formatted) => formatted,
            Err(problems) => {
                for p in problems {
                    console.err(&format!("{}\n\n", p.trim_end()));
                }
                console.say(Kind::Error, &format!("{} is left as it is", source.name));
                broken += 1;
                continue;
            }
        };
        let same = *formatted == *source.text;
        differ += usize::from(!same);
        if args.check {
            if !same {
                let color = console.color_out();
                console.out(&golden::diff(name, Some(&source.text), &formatted, color))?;
            }
        } else if stream {
            console.out(&formatted)?;
        } else if !same {
            fs::write(path, &formatted).map_err(|source| Failure::Write {
                path: path.clone(),
                source,
            })?;
            console.out(&format!("formatted  {}\n", path.display()))?;
        }
    }
    let all = plural(paths.len(), "file");
    let outcome = match (args.check, differ, broken) {
        (_, _, 1..) => Outcome::Partial,
        (true, 1.., _) => Outcome::Found,
        _ => Outcome::Fine,
    };
    if args.check && differ > 0 {
        console.say(Kind::Error, &format!("{differ} of {all} would change"));
        console.say(Kind::Help, "`ingero rules fmt` changes them");
    } else if !piped || args.check {
        let changed = if args.check { "would change" } else { "changed" };
        console.out(&format!("{differ} of {all} {changed}\n"))?;
    }
    Ok(outcome)
}

fn read(path: &Path, stream: bool) -> Result<String, Failure> {
    let text = if stream {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    text.map_err(|source| Failure::Read {
        path: path.to_owned(),
        source,
    })
}
