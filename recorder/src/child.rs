//! The recorded command: made early, held back until the probes are there.

use crate::error::RecorderError;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A process that waits to become the command.
pub struct Child {
    /// Its process id.
    pub pid: u32,
    /// The program it will run.
    pub program: PathBuf,
    gate: Option<OwnedFd>,
    failed: OwnedFd,
    status: Option<i32>,
}

/// The program a shell would run for this name.
///
/// # Errors
/// If there is none.
pub fn resolve(name: &str) -> Result<PathBuf, RecorderError> {
    let runnable = |p: &Path| {
        p.metadata()
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    let error = |reason: &str| RecorderError::NoCommand {
        program: name.to_owned(),
        reason: reason.to_owned(),
    };
    if name.contains('/') {
        let path = PathBuf::from(name);
        return match path.metadata() {
            _ if runnable(&path) => Ok(path),
            Ok(_) => Err(error("it is not executable")),
            Err(e) => Err(error(&e.to_string())),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|p| runnable(p))
        .ok_or_else(|| error("no such program on PATH"))
}

fn c_string(text: &OsStr) -> Result<CString, RecorderError> {
    CString::new(text.as_bytes()).map_err(|_| RecorderError::Usage("a zero byte in the command".to_owned()))
}

fn pipe() -> Result<(OwnedFd, OwnedFd), RecorderError> {
    let mut fds = [0; 2];
    // SAFETY: `fds` has room for the two descriptors that pipe2 writes.
    if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(RecorderError::Usage(std::io::Error::last_os_error().to_string()));
    }
    // SAFETY: both were just made and belong to nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

impl Child {
    /// Forks a process that waits for [`Child::release`]. Must be called while this process has one
    /// thread only.
    ///
    /// # Errors
    /// If the program is not there, or no process can be made.
    ///
    /// # Panics
    /// Never: the command has a first word, and process ids are positive.
    pub fn hold(command: &[String], env: &[(&str, OsString)]) -> Result<Self, RecorderError> {
        let program = resolve(&command[0])?;
        let path = c_string(program.as_os_str())?;
        let args = command
            .iter()
            .map(|a| c_string(OsStr::new(a)))
            .collect::<Result<Vec<_>, _>>()?;
        let given = std::env::vars_os().filter(|(k, _)| !env.iter().any(|(e, _)| k == *e));
        let added = env.iter().map(|(k, v)| (OsString::from(k), v.clone()));
        let vars = given
            .chain(added)
            .map(|(mut k, v)| {
                k.push("=");
                k.push(v);
                c_string(&OsString::from_vec(k.into_vec()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
            list.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let (argv, envp) = (pointers(&args), pointers(&vars));
        let (gate_read, gate) = pipe()?;
        let (failed, failed_write) = pipe()?;
        // SAFETY: this process has one thread, and between fork and execve the child makes only
        // system calls, on memory that was prepared before.
        let pid = unsafe { libc::fork() };
        if pid < 0 {
            return Err(RecorderError::Usage(std::io::Error::last_os_error().to_string()));
        }
        if pid == 0 {
            let mut go = 0u8;
            // SAFETY: valid descriptors and buffers; the strings outlive execve; _exit ends the
            // child without running anything of the parent's.
            unsafe {
                libc::close(gate.as_raw_fd());
                if libc::read(gate_read.as_raw_fd(), (&raw mut go).cast(), 1) == 1 {
                    libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr());
                    let errno = *libc::__errno_location();
                    libc::write(failed_write.as_raw_fd(), (&raw const errno).cast(), 4);
                }
                libc::_exit(127);
            }
        }
        Ok(Self {
            pid: u32::try_from(pid).expect("fork gives positive ids"),
            program,
            gate: Some(gate),
            failed,
            status: None,
        })
    }

    /// Lets it run the command.
    ///
    /// # Errors
    /// If the kernel cannot run the program.
    pub fn release(&mut self) -> Result<(), RecorderError> {
        let Some(gate) = self.gate.take() else {
            return Ok(());
        };
        let mut errno = 0i32;
        // SAFETY: valid descriptors and buffers of the sizes given. The read ends with nothing when
        // execve closes the other end.
        let n = unsafe {
            libc::write(gate.as_raw_fd(), [1u8].as_ptr().cast(), 1);
            libc::read(self.failed.as_raw_fd(), (&raw mut errno).cast(), 4)
        };
        if n == 4 {
            return Err(RecorderError::NoCommand {
                program: self.program.to_string_lossy().into_owned(),
                reason: std::io::Error::from_raw_os_error(errno).to_string(),
            });
        }
        Ok(())
    }

    /// Its exit status, once it has ended.
    pub fn try_wait(&mut self) -> Option<i32> {
        if self.status.is_none() {
            let mut status = 0;
            let pid = self.pid.cast_signed();
            // SAFETY: `status` lives through the call; the process is our child.
            if unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } == pid {
                self.status = Some(status);
            }
        }
        self.status
    }

    /// Sends it a signal if it still runs.
    pub fn signal(&mut self, signal: i32) {
        if self.try_wait().is_none() {
            // SAFETY: plain integers; it has not been waited for, so the id is still its own.
            unsafe { libc::kill(self.pid.cast_signed(), signal) };
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.gate.take().is_some() {
            // Never released: closing the gate has ended it.
            let mut status = 0;
            // SAFETY: as in `try_wait`.
            unsafe { libc::waitpid(self.pid.cast_signed(), &raw mut status, 0) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        assert!(resolve("sh").unwrap().ends_with("sh"));
        assert!(resolve("/bin/sh").is_ok());
        let why = resolve("no-such-program-here").unwrap_err().to_string();
        assert!(why.contains("no such program on PATH"), "{why}");
        let why = resolve(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .unwrap_err()
            .to_string();
        assert!(why.contains("not executable"), "{why}");
    }
}
