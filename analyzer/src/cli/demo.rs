//! `ingero demo`: an incident from nothing, on any machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{Args, ValueHint};

use super::Outcome;
use super::analyze::{self, Extras, Judged, Request};
use super::args::RuleArgs;
use super::console::{Console, Kind};
use super::engine;
use super::failure::Failure;
use crate::report::explain::{Parts, text};
use crate::report::html;
use crate::simulate::Options;

/// Findings shown in full.
const TOP: usize = 5;

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct DemoArgs {
    /// Which case (see `ingero simulate --list`)
    #[arg(default_value = "hol-blocking")]
    case: String,
    /// Write the report as a page and open it in the browser
    #[arg(long)]
    open: bool,
    /// Keep the trace and the page in this folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

const HELP: &str = "\
Simulates the trace of an incident, judges it with all shipped rules and tells
what happened. Needs no GPU, no root and no network. Without --dir and --open
nothing is left behind.

Examples:
  ingero demo
  ingero demo --open
  ingero demo sync-bound --dir demo/";

pub(super) fn run(args: &DemoArgs, console: &mut Console) -> Result<Outcome, Failure> {
    let made = |path: &Path| {
        let path = path.to_owned();
        move |source| Failure::Write { path, source }
    };
    let title = engine::scenarios()
        .find(|(name, _)| *name == args.case)
        .map(|(_, title)| title);
    // Removed when dropped, and with it the trace, unless somebody wants to look at them.
    let scratch = match &args.dir {
        Some(dir) => {
            fs::create_dir_all(dir).map_err(made(dir))?;
            None
        }
        None => {
            let fresh = tempfile::Builder::new().prefix("ingero-demo-").tempdir();
            Some(fresh.map_err(made(&std::env::temp_dir()))?)
        }
    };
    let dir = args
        .dir
        .as_deref()
        .or(scratch.as_ref().map(tempfile::TempDir::path))
        .unwrap_or(Path::new("."));
    let trace = dir.join("trace.db");
    engine::simulate(&args.case, &trace, &Options::default(), true)?;
    let mut judged = judge(&trace, console)?;
    if scratch.is_some() {
        for t in &mut judged.analysis.traces {
            t.path = format!("demo {}", args.case);
        }
    }
    console.out(&format!("Simulated: {}.\n\n", title.unwrap_or(&args.case)))?;
    let parts = Parts {
        chains: true,
        processes: None,
        stored: false,
    };
    let mut options = console.layout(false);
    options.top = TOP;
    console.out(&text::render(&judged.report(), &parts, &options))?;
    if args.open || args.dir.is_some() {
        let page = dir.join("report.html");
        fs::write(&page, html::render(&judged.report(), &judged.drawing, TOP)).map_err(made(&page))?;
        if let Some(scratch) = scratch {
            let _kept = scratch.keep();
        }
        console.out(&format!(
            "\nThe page is {}, the trace {}.\n",
            page.display(),
            trace.display()
        ))?;
        if args.open && !open(&page) {
            console.say(Kind::Warning, "no browser could be started: open the page by hand");
        }
    } else {
        console.out("\nAs a page with timelines: ingero demo --open\n")?;
    }
    Ok(Outcome::Fine)
}

fn judge(trace: &Path, console: &mut Console) -> Result<Judged, Failure> {
    let rules = analyze::compile(&RuleArgs::default(), console)?;
    let request = Request {
        traces: &[trace.to_owned()],
        ..Request::default()
    };
    let extras = Extras {
        drawn: Some(TOP),
        ..Extras::default()
    };
    analyze::judge_with(&rules, &request, extras, console)
}

/// Hands a file to whatever opens pages here. Does not wait for it.
fn open(page: &Path) -> bool {
    let (program, args): (&str, &[&str]) = if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(windows) {
        ("cmd", &["/C", "start", ""])
    } else {
        ("xdg-open", &[])
    };
    let started = Command::new(program)
        .args(args)
        .arg(page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    started.is_ok()
}
