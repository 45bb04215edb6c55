//! `ingero record`: starts the recorder, so that a user knows one name.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use super::Outcome;
use super::failure::Failure;

const NAME: &str = "ingero-recorder";

pub(super) fn run(args: &[OsString]) -> Result<Outcome, Failure> {
    let path = find().ok_or(Failure::NoRecorder)?;
    let mut command = Command::new(&path);
    command.args(args);
    let source = replace(command);
    Err(Failure::Recorder { path, source })
}

/// Beside this program first: the two belong together.
fn find() -> Option<PathBuf> {
    let beside = env::current_exe()
        .and_then(|exe| exe.canonicalize())
        .ok()
        .and_then(|exe| exe.parent().map(|dir| dir.join(NAME)));
    let on_path = env::var_os("PATH");
    let on_path = on_path
        .iter()
        .flat_map(env::split_paths)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(NAME));
    beside.into_iter().chain(on_path).find(|path| path.is_file())
}

/// Becomes the recorder, which then gets signals and the terminal itself. Returns on failure only.
#[cfg(unix)]
fn replace(mut command: Command) -> std::io::Error {
    use std::os::unix::process::CommandExt as _;
    command.exec()
}

#[cfg(not(unix))]
fn replace(_: Command) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::Unsupported, "recording needs Linux")
}
