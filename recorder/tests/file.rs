//! The file is complete and valid however the recording ends, and says what it must.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "a test")]

mod common;
use common::{int, open, standin};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

fn stopped_by(db: &rusqlite::Connection) -> String {
    db.query_row("SELECT value FROM recording WHERE key='stopped_by'", [], |r| r.get(0))
        .unwrap()
}

#[test]
fn sigterm_and_ctrl_c_close_the_file() {
    needs_bpf!();
    for (signal, name) in [(libc::SIGTERM, "term"), (libc::SIGINT, "int")] {
        let s = standin(name, &[]);
        let mut recorder = s
            .recorder(&["--"])
            .arg(s.program())
            .arg("forever")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        common::wait_attached(&s.db());
        std::thread::sleep(Duration::from_millis(400));
        common::signal(recorder.id(), signal);
        assert!(recorder.wait().unwrap().success());
        let db = open(&s.db());
        assert!(int(&db, "SELECT count(*) FROM events WHERE source=1") > 50);
        assert!(int(&db, "SELECT stopped_at FROM sessions") > 0);
        assert_eq!(stopped_by(&db), format!("signal {signal}"));
        let left: Vec<_> = std::fs::read_dir(&s.dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|n| n.starts_with("t.db"))
            .collect();
        assert_eq!(left, ["t.db"], "nothing else is left behind");
    }
}

#[test]
fn kill_9_loses_at_most_the_last_second() {
    needs_bpf!();
    let s = standin("kill", &[]);
    let mut recorder = s
        .recorder(&["--"])
        .arg(s.program())
        .arg("forever")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    common::wait_attached(&s.db());
    std::thread::sleep(Duration::from_millis(2500));
    common::signal(recorder.id(), libc::SIGKILL);
    let killed = ingero_recorder::clock::wall_ns();
    recorder.wait().unwrap();
    // An ordinary reader replays the log that the writer left.
    let db = rusqlite::Connection::open(s.db()).unwrap();
    let ok: String = db.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
    assert_eq!(ok, "ok");
    let last = int(&db, "SELECT max(timestamp) FROM events WHERE source=1");
    let gap = killed - last;
    assert!((0..1_100_000_000).contains(&gap), "{gap} ns before the kill");
    assert_eq!(int(&db, "SELECT stopped_at FROM sessions"), 0);
    let pid = int(&db, "SELECT pid FROM events WHERE source=1 LIMIT 1");
    common::signal(u32::try_from(pid).unwrap(), libc::SIGKILL);
}

#[test]
fn a_full_disk_ends_the_recording_with_a_valid_file() {
    needs_bpf!();
    let s = standin("full", &[]);
    let mount = s.dir.join("small");
    std::fs::create_dir(&mount).unwrap();
    let done = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=24m", "none"])
        .arg(&mount)
        .status();
    if !done.is_ok_and(|d| d.success()) {
        eprintln!("skipped: no tmpfs can be mounted here");
        return;
    }
    let db = mount.join("t.db");
    let out = Command::new(common::RECORDER)
        .arg("-o")
        .arg(&db)
        .args(["--min-free", "0", "--duration", "60s", "--"])
        .arg(s.program())
        .arg("flood")
        .env("STANDIN", &s.dir)
        .env("LD_LIBRARY_PATH", &s.dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let check = || {
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert!(String::from_utf8_lossy(&out.stderr).contains("recording ends here"));
        let copy = s.dir.join("copy.db");
        std::fs::copy(&db, &copy).unwrap();
        let wal = mount.join("t.db-wal");
        assert!(!wal.exists() || std::fs::metadata(&wal).unwrap().len() == 0);
        let db = open(&copy);
        assert!(int(&db, "SELECT count(*) FROM events") > 1000);
        assert!(int(&db, "SELECT stopped_at FROM sessions") > 0);
        assert!(int(&db, "SELECT sum(lost) FROM recording_losses WHERE reason='disk_full'") > 0);
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
    let _ = Command::new("umount").arg(&mount).status();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn a_nearly_full_disk_ends_the_recording_in_time() {
    needs_bpf!();
    let s = standin("nearly", &[]);
    let out = s
        .recorder(&["--min-free", "100000G", "--"])
        .arg(s.program())
        .args(["quiet", "20000"])
        .output()
        .unwrap();
    assert!(out.status.success());
    assert!(String::from_utf8_lossy(&out.stderr).contains("nearly full"));
    assert_eq!(stopped_by(&open(&s.db())), "disk nearly full");
}

#[test]
fn large_recordings_are_split_without_a_gap() {
    needs_bpf!();
    let s = standin("split", &[]);
    let (text, _) = s.record(&["--max-size", "3M", "--ring-size", "256"], &["burst", "150000"]);
    let made = common::said(&text, "burst");
    let mut stored = 0;
    let mut files = 0;
    for entry in std::fs::read_dir(&s.dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "db") {
            files += 1;
            let db = open(&path);
            stored += int(&db, "SELECT count(*) FROM events WHERE source=1 AND op=3");
            assert!(int(&db, "SELECT stopped_at FROM sessions") > 0);
            assert!(int(&db, "SELECT count(*) FROM recording_probes") > 10);
            assert!(int(&db, "SELECT count(*) FROM clock_offsets") > 0);
        }
    }
    assert!(files > 1, "{files}");
    assert_eq!(stored, made);
}

#[test]
fn annotations_of_the_same_user_become_rows() {
    needs_bpf!();
    let s = standin("annotate", &[]);
    let mut recorder = s
        .recorder(&["--duration", "2s", "--"])
        .arg(s.program())
        .args(["quiet", "20000"])
        .spawn()
        .unwrap();
    let socket = s.dir.join("t.db.sock");
    common::wait_for("the socket", || socket.exists());
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    stream
        .write_all(
            b"{\"labels\":{\"step\":\"3\"},\"pid\":1,\"start\":100,\"end\":200}\n\
              {\"truth\":\"cause\",\"rule\":\"R\",\"start\":5,\"end\":6,\"note\":\"on purpose\"}\n\
              nonsense\n",
        )
        .unwrap();
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer).unwrap();
    assert!(answer.contains("not JSON"), "{answer}");
    drop(stream);
    assert!(recorder.wait().unwrap().success());
    assert!(!socket.exists());
    let db = open(&s.db());
    let sql = "SELECT count(*) FROM annotations WHERE labels='{\"step\":\"3\"}' AND pid=1 AND \
               start_time>0 AND span_start=100 AND span_end=200 AND peer_uid=0 AND peer_pid>0";
    assert_eq!(int(&db, sql), 1);
    let sql = "SELECT count(*) FROM truth WHERE kind='cause' AND rule='R' AND start_ns=5";
    assert_eq!(int(&db, sql), 1);
}

#[test]
fn another_user_cannot_annotate() {
    needs_bpf!();
    let s = standin("stranger", &[]);
    let mut recorder = s
        .recorder(&["--duration", "1500ms", "--"])
        .arg(s.program())
        .args(["quiet", "20000"])
        .spawn()
        .unwrap();
    let socket = s.dir.join("t.db.sock");
    common::wait_for("the socket", || socket.exists());
    // The mode alone keeps strangers out; the credentials must do so by themselves.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(&socket, mode).unwrap();
    let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                  s.sendall(b'{\"labels\":{\"a\":\"b\"}}\\n')\ns.recv(1)";
    let _ = Command::new("python3")
        .args(["-c", script])
        .arg(&socket)
        .uid(65534)
        .output();
    assert!(recorder.wait().unwrap().success());
    assert_eq!(int(&open(&s.db()), "SELECT count(*) FROM annotations"), 0);
}

#[test]
fn snapshots_come_once_a_second() {
    needs_bpf!();
    let s = standin("snapshots", &[]);
    let (_, db) = s.record(&["--duration", "3500ms"], &["quiet", "20000"]);
    let n = int(
        &db,
        "SELECT count(*) FROM system_snapshots WHERE mem_pct>0 AND mem_avail>0",
    );
    assert!((3..=5).contains(&n), "{n}");
    assert!(int(&db, "SELECT count(*) FROM clock_offsets WHERE error_ns<1000000") >= 2);
    let boot = "SELECT count(*) FROM recording WHERE key='boot_id' AND length(value)=36";
    assert_eq!(int(&db, boot), 1);
}

/// Tables and columns of generation 0.10, as its readers expect them.
const GENERATION_0_10: &[(&str, &str)] = &[
    (
        "events",
        "id timestamp pid tid source op duration gpu_id arg0 arg1 ret_code stack_hash node rank \
         local_rank world_size comm stack_ips cgroup_id",
    ),
    (
        "event_aggregates",
        "bucket source op pid count stored sum_dur min_dur max_dur sum_arg0",
    ),
    (
        "event_aggregates_5s",
        "bucket source op pid count stored sum_dur min_dur max_dur sum_arg0",
    ),
    ("stack_traces", "hash ips frames"),
    (
        "causal_chains",
        "id detected_at severity summary root_cause explanation recommendations cuda_op \
         cuda_p99_us cuda_p50_us tail_ratio timeline node",
    ),
    (
        "system_snapshots",
        "id timestamp cpu_pct mem_pct mem_avail swap_mb load_avg",
    ),
    (
        "sessions",
        "id started_at stopped_at gpu_model gpu_driver cpu_model cpu_cores mem_total kernel \
         os_release cuda_ver python_ver ingero_ver pid_filter flags node rank local_rank world_size",
    ),
    ("process_names", "pid name seen_at"),
    (
        "cgroup_metadata",
        "cgroup_id container_id cgroup_path pod_name namespace",
    ),
    (
        "cgroup_schedstat",
        "cgroup_id p99_off_cpu total_off_cpu event_count window_start window_end",
    ),
    (
        "annotations",
        "id timestamp labels pid start_time span_start span_end peer_uid peer_gid peer_pid",
    ),
    ("sources", "id name description"),
    ("ops", "source_id op_id name description"),
    ("schema_info", "key value"),
];

#[test]
fn a_reader_of_0_10_finds_every_table_and_column() {
    needs_bpf!();
    let s = standin("columns", &[]);
    let (_, db) = s.record(&[], &["calls", "3"]);
    for (table, columns) in GENERATION_0_10 {
        let mut q = db.prepare(&format!("PRAGMA table_info({table})")).unwrap();
        let found: Vec<String> = q.query_map([], |r| r.get(1)).unwrap().map(Result::unwrap).collect();
        assert_eq!(found.join(" "), *columns, "{table}");
    }
    for index in [
        "idx_events_timestamp",
        "idx_events_pid",
        "idx_events_source_op_stack",
        "idx_events_cgroup",
        "idx_aggregates_bucket",
        "idx_aggregates_5s_bucket",
    ] {
        let sql = format!("SELECT count(*) FROM sqlite_master WHERE type='index' AND name='{index}'");
        assert_eq!(int(&db, &sql), 1, "{index}");
    }
    assert_eq!(int(&db, "PRAGMA user_version"), 10);
    let version: String = db
        .query_row("SELECT value FROM schema_info WHERE key='version'", [], |r| r.get(0))
        .unwrap();
    assert_eq!(version, "0.10");
    let header = std::fs::read(s.db()).unwrap();
    assert_eq!(header[18..20], [2, 2], "WAL, as its writers leave it");
    let bad = "SELECT count(*) FROM events WHERE id!=node||':'||rowid OR instr(node,':')";
    assert_eq!(int(&db, bad), 0);
}

#[test]
fn plain_sqlite3_reads_the_file() {
    needs_bpf!();
    let s = standin("plain", &[]);
    s.record(&[], &["calls", "3"]);
    let script = "import sqlite3,sys\nd=sqlite3.connect(f'file:{sys.argv[1]}?mode=ro',uri=True)\n\
                  print(d.execute('select count(*) from events join ops on source_id=source and \
                  op_id=op where ops.name=\"cudaLaunchKernel\"').fetchone()[0])";
    let out = Command::new("python3")
        .args(["-c", script])
        .arg(s.db())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "3", "{out:?}");
}

fn refused(args: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let out = Command::new(common::RECORDER)
        .current_dir(dir.path())
        .args(args)
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(2), "{args:?}: {out:?}");
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    assert_eq!(text.trim().lines().count(), 1, "one message: {text}");
    assert!(!dir.path().join("trace.db").exists(), "{args:?} left a file");
    text
}

#[test]
fn what_cannot_be_recorded_is_said_in_one_message() {
    needs_bpf!();
    assert!(refused(&["--pid", "4194200"]).contains("no process 4194200"));
    assert!(refused(&["--", "no-such-program-here"]).contains("no such program on PATH"));
    assert!(refused(&["--lib", "/nowhere/libcuda.so.1"]).contains("cannot read /nowhere"));
    assert!(refused(&["--min-duration", "cudaFoo=1us"]).contains("no op \"cudaFoo\""));
    assert!(refused(&["--ring-size", "3"]).contains("a power of two"));
    assert!(refused(&["-o", "/nowhere/t.db", "--pid", "1"]).contains("cannot write /nowhere"));
    assert!(refused(&["-o", "/etc/hostname", "--pid", "1"]).contains("exists already"));
}

#[test]
fn without_privileges_one_message_says_what_to_do() {
    // Also shown where the tests themselves have no privileges.
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("recorder");
    std::fs::copy(common::RECORDER, &program).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), mode).unwrap();
    let mut c = Command::new(&program);
    // SAFETY: takes nothing, cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        c.uid(65534);
    }
    let out = c
        .current_dir("/")
        .args(["-o", "/tmp/ingero-unprivileged.db"])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(2));
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(text.contains("sudo ingero record"), "{text}");
    assert_eq!(text.trim().lines().count(), 1, "{text}");
}

#[test]
fn check_prints_a_table() {
    needs_bpf!();
    let s = standin("check", &[]);
    let out = s.recorder(&["--check", "--"]).arg(s.program()).output().unwrap();
    let text = common::succeeded(&out);
    for part in [
        "PROBE",
        "sched:sched_switch",
        "cudaLaunchKernel_ptsz",
        "cuLaunchKernelEx",
        "ncclAllReduce",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!s.db().exists());
}

/// What the recorder says where a file of the system is hidden or replaced, for it alone.
fn refused_where(hide: &str) -> Option<String> {
    let script = format!("{hide} && exec \"$0\" --check --pid 1");
    let out = Command::new("unshare")
        .args(["-m", "sh", "-c", &script, common::RECORDER])
        .output()
        .ok()?;
    let text = String::from_utf8(out.stderr).unwrap();
    if out.status.code() != Some(2) {
        eprintln!("skipped: no mount namespace can be made here: {text}");
        return None;
    }
    assert_eq!(text.trim().lines().count(), 1, "one message: {text}");
    Some(text)
}

#[test]
fn a_kernel_without_btf_is_told_from_an_old_one() {
    needs_bpf!();
    if let Some(text) = refused_where("mount -t tmpfs none /sys/kernel/btf") {
        assert!(
            text.contains("no BTF") && text.contains("CONFIG_DEBUG_INFO_BTF=y"),
            "{text}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let release = dir.path().join("osrelease");
    std::fs::write(&release, "5.4.0-generic\n").unwrap();
    let hide = format!("mount --bind {} /proc/sys/kernel/osrelease", release.display());
    if let Some(text) = refused_where(&hide) {
        assert!(
            text.contains("Linux 5.4.0-generic is too old") && text.contains("6.2 or later"),
            "{text}"
        );
    }
}
