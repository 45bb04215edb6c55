//! Builds the stand-in libraries and their program, runs the recorder on them, and reads the file.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test; each file uses its own part"
)]

use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub const RECORDER: &str = env!("CARGO_BIN_EXE_ingero-recorder");

/// Why nothing can be recorded here, or nothing if it can. The recorder itself says it.
pub fn cannot_record() -> Option<String> {
    static WHY: OnceLock<Option<String>> = OnceLock::new();
    WHY.get_or_init(|| {
        let out = Command::new(RECORDER).args(["--check", "--pid", "1"]).output().unwrap();
        (!out.status.success()).then(|| String::from_utf8_lossy(&out.stderr).into_owned())
    })
    .clone()
}

/// Ends the test with its reason where nothing can be recorded.
#[macro_export]
macro_rules! needs_bpf {
    () => {
        if let Some(why) = common::cannot_record() {
            assert!(
                std::env::var_os("INGERO_REQUIRE_BPF").is_none(),
                "INGERO_REQUIRE_BPF is set, but: {why}"
            );
            eprintln!("skipped: {}", why.trim());
            return;
        }
    };
}

/// Stand-in libraries and the program, built once for each kind.
pub struct StandIn {
    pub dir: PathBuf,
}

pub fn standin(kind: &str, flags: &[&str]) -> StandIn {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/standin");
    // One directory a test process, so that tests in parallel do not share a library file.
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!(
        "standin-{kind}-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::create_dir_all(&dir).unwrap();
    let cc = |args: &[&str], out: &str| {
        let done = Command::new("cc")
            .arg("-w")
            .args(args)
            .arg("-o")
            .arg(dir.join(out))
            .status()
            .expect("the tests need a C compiler called cc");
        assert!(done.success(), "cc failed on {out}");
    };
    let standin = source.join("standin.c");
    let standin = standin.to_str().unwrap();
    let lib = |define: &str, more: &[&str], out: &str| {
        let mut args = vec!["-shared", "-fPIC", "-O0", define, standin];
        args.extend(flags);
        args.extend(more);
        cc(&args, out);
    };
    lib("-DCUDA", &[], "libcuda.so.1");
    lib("-DNCCL", &[], "libnccl.so.2");
    let driver = dir.join("libcuda.so.1");
    let nesting = flags.contains(&"-DNESTING");
    let more: Vec<&str> = if nesting {
        vec![driver.to_str().unwrap()]
    } else {
        vec![]
    };
    lib("-DCUDART", &more, "libcudart.so.13");
    let program = source.join("program.c");
    cc(&["-O1", program.to_str().unwrap(), "-ldl", "-lpthread"], "program");
    StandIn { dir }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// One `call` line of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub name: String,
    pub source: i64,
    pub op: i64,
    pub arg0: i64,
    pub arg1: i64,
    pub stream: i64,
    pub handle: i64,
    pub ret: i64,
    pub start: i64,
    pub end: i64,
    pub tid: i64,
    /// SEQ COUNT DTYPE BYTES PEER RANK NRANKS of a call of NCCL, and the name of its communicator.
    pub nccl: Option<Vec<i64>>,
}

pub fn made(text: &str) -> Vec<Made> {
    let mut out: Vec<Made> = Vec::new();
    for line in text.lines() {
        let f: Vec<&str> = line.split(' ').collect();
        let n = |i: usize| {
            f[i].parse::<u64>()
                .map(u64::cast_signed)
                .or_else(|_| f[i].parse())
                .unwrap()
        };
        match f[0] {
            "call" => out.push(Made {
                name: f[1].to_owned(),
                source: n(2),
                op: n(3),
                arg0: n(4),
                arg1: n(5),
                stream: n(6),
                handle: n(7),
                ret: n(8),
                start: n(9),
                end: n(10),
                tid: n(11),
                nccl: None,
            }),
            "nccl" => out.last_mut().unwrap().nccl = Some((1..9).map(n).collect()),
            _ => {}
        }
    }
    out
}

/// The number behind `word` on the line that begins with it.
pub fn said(text: &str, word: &str) -> i64 {
    text.lines()
        .find_map(|l| l.strip_prefix(word)?.strip_prefix(' ')?.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no {word} in {text:?}"))
}

impl StandIn {
    pub fn program(&self) -> PathBuf {
        self.dir.join("program")
    }

    pub fn db(&self) -> PathBuf {
        self.dir.join("t.db")
    }

    /// The recorder with its libraries known beforehand (`LD_LIBRARY_PATH`).
    pub fn recorder(&self, args: &[&str]) -> Command {
        let mut c = Command::new(RECORDER);
        c.arg("-o").arg(self.db()).args(args);
        c.env("STANDIN", &self.dir).env("LD_LIBRARY_PATH", &self.dir);
        c
    }

    /// Records the program with these arguments to its end; what it said, and the file.
    pub fn record(&self, args: &[&str], program: &[&str]) -> (String, Connection) {
        let mut command = vec![self.program().to_str().unwrap().to_owned()];
        command.extend(program.iter().map(|&a| a.to_owned()));
        self.record_command(args, &command)
    }

    /// The same with any command.
    pub fn record_command(&self, args: &[&str], command: &[String]) -> (String, Connection) {
        let out = self.recorder(args).arg("--").args(command).output().unwrap();
        let text = succeeded(&out);
        (text, open(&self.db()))
    }

    /// Starts the program by itself.
    pub fn start(&self, program: &[&str]) -> Child {
        Command::new(self.program())
            .args(program)
            .env("STANDIN", &self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// A cgroup of this test's own, of either version; gone when dropped.
pub struct Cgroup {
    dir: PathBuf,
    v2: bool,
}

impl Cgroup {
    /// Under the root of the hierarchy that has the controller, if this is allowed.
    pub fn new(controller: &str, name: &str) -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
        mounts.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let (at, kind) = (Path::new(fields[1]), fields[2]);
            let v2 = kind == "cgroup2";
            let has = if v2 {
                let list = std::fs::read_to_string(at.join("cgroup.controllers")).unwrap_or_default();
                list.split_whitespace().any(|c| c == controller)
            } else {
                kind == "cgroup" && fields[3].split(',').any(|c| c == controller)
            };
            if !has {
                return None;
            }
            if v2 {
                let _ = std::fs::write(at.join("cgroup.subtree_control"), format!("+{controller}"));
            }
            let dir = at.join(name);
            std::fs::create_dir_all(&dir).ok()?;
            Some(Self { dir, v2 })
        })
    }

    /// Writes a file, whose name and text depend on the version.
    pub fn set(&self, v2: (&str, &str), v1: (&str, &str)) {
        let (file, text) = if self.v2 { v2 } else { v1 };
        std::fs::write(self.dir.join(file), text).unwrap();
    }

    /// The command, run inside.
    pub fn enter(&self, command: &[&str]) -> Vec<String> {
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.dir.display());
        ["sh", "-c", &script, "sh"]
            .iter()
            .chain(command)
            .map(|&a| a.to_owned())
            .collect()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.dir);
    }
}

pub fn succeeded(out: &Output) -> String {
    let err = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{:?}: {err}", out.status);
    assert_eq!(err, "", "quiet when nobody watches");
    String::from_utf8(out.stdout.clone()).unwrap()
}

/// The file as plain SQLite sees it, untouched.
pub fn open(path: &Path) -> Connection {
    let uri = format!("file:{}?immutable=1", path.display());
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(uri, flags).unwrap();
    let ok: String = db.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
    assert_eq!(ok, "ok");
    db
}

pub fn int(db: &Connection, sql: &str) -> i64 {
    db.query_row(sql, [], |r| r.get(0))
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}

pub fn ints(db: &Connection, sql: &str) -> Vec<Vec<i64>> {
    let mut q = db.prepare(sql).unwrap();
    let n = q.column_count();
    let rows = q.query_map([], |r| (0..n).map(|i| r.get(i)).collect()).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Waits until something is so, for ten seconds at most.
pub fn wait_for(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until the recorder has written its first row of `recording_probes`, so it is attached.
pub fn wait_attached(db: &Path) {
    wait_for("the recorder", || {
        Connection::open_with_flags(db, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
            .and_then(|c| {
                c.query_row("SELECT count(*) FROM recording_probes WHERE target!=''", [], |r| {
                    r.get::<_, i64>(0)
                })
            })
            .is_ok_and(|n| n > 0)
    });
}

pub fn signal(pid: u32, signal: i32) {
    // SAFETY: plain integers; the process is a child of this test.
    unsafe { libc::kill(pid.cast_signed(), signal) };
}

/// Rows as text, columns joined by bars.
pub fn texts(db: &Connection, sql: &str) -> Vec<String> {
    let mut q = db.prepare(sql).unwrap();
    let n = q.column_count();
    let text = |v: rusqlite::types::Value| match v {
        rusqlite::types::Value::Text(t) => t,
        rusqlite::types::Value::Integer(i) => i.to_string(),
        other => format!("{other:?}"),
    };
    let rows = q.query_map([], |r| {
        (0..n)
            .map(|i| r.get(i).map(text))
            .collect::<Result<Vec<_>, _>>()
            .map(|v| v.join("|"))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}
