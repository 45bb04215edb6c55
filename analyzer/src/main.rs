//! `ingero`: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    ingero::cli::main()
}
