//! Labels that programs give to stretches of time, one JSON object a line over a Unix socket.
//!
//! `{"labels": {"step": "17"}, "pid": 4711, "start": NS, "end": NS}` labels a span, without
//! `start` and `end` an instant (now, or `at`). Times are nanoseconds since the Unix epoch, or of
//! the monotonic clock with `"clock": "monotonic"`. `{"truth": "cause", "rule": …, "start": …,
//! "end": …, "pid": …, "tid": …, "value": …, "note": …}` adds a row to `truth`. A refused line is
//! answered with `{"error": …}`.
//!
//! Only the user who runs the recorder may write: the socket has mode 0600 and every connection's
//! credentials are checked. Under sudo that user is the one who called it.

use crate::error::RecorderError;
use crate::targets;
use crate::writer::{Annotation, Message};
use serde_json::{Map, Value};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// Longest line, newline included.
const MAX_LINE: usize = 64 * 1024;
const MAX_CONNECTIONS: usize = 64;

/// The credentials of a connection.
#[derive(Clone, Copy, Debug)]
struct Peer {
    uid: u32,
    gid: u32,
    pid: u32,
}

/// The listening socket; removed when dropped.
pub struct Listener {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Listener {
    /// Listens at `path` and hands annotations to the writer.
    ///
    /// # Errors
    /// If the socket cannot be made there.
    pub fn start(path: &Path, offset_ns: i64, out: SyncSender<Message>) -> Result<Self, RecorderError> {
        let failed = |e: &dyn std::fmt::Display| RecorderError::Socket {
            path: path.to_owned(),
            reason: e.to_string(),
        };
        // A socket left behind by a killed recorder refuses connections and may go.
        if path.exists() && UnixStream::connect(path).is_err() {
            let _ = std::fs::remove_file(path);
        }
        let socket = UnixListener::bind(path).map_err(|e| failed(&e))?;
        socket.set_nonblocking(true).map_err(|e| failed(&e))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path, mode).map_err(|e| failed(&e))?;
        if let Some(uid) = sudo_uid() {
            std::os::unix::fs::chown(path, Some(uid), None).map_err(|e| failed(&e))?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("annotations".to_owned())
            .spawn(move || accept(&socket, offset_ns, &out, &stopped))
            .map_err(|e| failed(&e))?;
        Ok(Self {
            path: path.to_owned(),
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

fn accept(socket: &UnixListener, offset_ns: i64, out: &SyncSender<Message>, stop: &Arc<AtomicBool>) {
    let open = Arc::new(AtomicUsize::new(0));
    let mut readers = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let Ok((stream, _)) = socket.accept() else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        let Some(peer) = credentials(&stream).filter(|p| allowed(p.uid)) else {
            continue;
        };
        if open.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (out, open, stop) = (out.clone(), Arc::clone(&open), Arc::clone(stop));
        readers.push(std::thread::spawn(move || {
            read_lines(&stream, peer, offset_ns, &out, &stop);
            open.fetch_sub(1, Ordering::Relaxed);
        }));
        readers.retain(|r: &std::thread::JoinHandle<()>| !r.is_finished());
    }
    for r in readers {
        let _ = r.join();
    }
}

fn read_lines(stream: &UnixStream, peer: Peer, offset_ns: i64, out: &SyncSender<Message>, stop: &AtomicBool) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        match reader.fill_buf() {
            Ok([]) => return,
            Ok(bytes) => {
                let end = bytes.iter().position(|b| *b == b'\n');
                let n = end.map_or(bytes.len(), |e| e + 1);
                line.extend_from_slice(&bytes[..n]);
                reader.consume(n);
                if line.len() > MAX_LINE {
                    let _ = (&*stream).write_all(b"{\"error\":\"line too long\"}\n");
                    return;
                }
                if end.is_none() {
                    continue;
                }
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                continue;
            }
            Err(_) => return,
        }
        let text = String::from_utf8_lossy(&line);
        if !text.trim().is_empty() {
            match parse(text.trim(), peer, offset_ns, crate::clock::wall_ns()) {
                Ok(annotation) => {
                    if out.send(Message::Annotation(annotation)).is_err() {
                        return;
                    }
                }
                Err(why) => {
                    let answer = serde_json::json!({ "error": why }).to_string();
                    let _ = (&*stream).write_all(format!("{answer}\n").as_bytes());
                }
            }
        }
        line.clear();
    }
}

fn parse(text: &str, peer: Peer, offset_ns: i64, now: i64) -> Result<Annotation, String> {
    let value: Value = serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))?;
    let object = value.as_object().ok_or("not an object")?;
    let monotonic = match object.get("clock").and_then(Value::as_str) {
        None | Some("realtime") => false,
        Some("monotonic") => true,
        Some(other) => return Err(format!("unknown clock {other:?}: realtime or monotonic")),
    };
    let number = |key: &str| match object.get(key) {
        None => Ok(None),
        Some(v) => v.as_i64().map(Some).ok_or(format!("{key} is not a whole number")),
    };
    let time = |key: &str| Ok::<_, String>(number(key)?.map(|t| if monotonic { t.wrapping_add(offset_ns) } else { t }));
    let id = |key: &str| {
        let v = number(key)?.unwrap_or(0);
        u32::try_from(v).map_err(|_| format!("{key} is out of range"))
    };
    let string = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let span = match (time("start")?, time("end")?) {
        (Some(start), Some(end)) if start <= end => (start, end),
        (None, None) => (0, 0),
        _ => return Err("start and end go together, start first".to_owned()),
    };
    if object.contains_key("truth") {
        return Ok(Annotation::Truth {
            kind: string("truth"),
            rule: string("rule"),
            pid: id("pid")?,
            tid: id("tid")?,
            span,
            value: number("value")?.unwrap_or(0),
            note: string("note"),
        });
    }
    let labels = object.get("labels").and_then(Value::as_object).ok_or("no labels")?;
    let labels = checked(labels)?;
    let pid = id("pid")?;
    let start_time = if pid == 0 {
        0
    } else {
        targets::stat(pid).map_or(0, |s| s.start_ticks)
    };
    Ok(Annotation::Label {
        timestamp: time("at")?.unwrap_or(if span.1 == 0 { now } else { span.1 }),
        labels,
        pid,
        start_time,
        span,
        peer: (peer.uid, peer.gid, peer.pid),
    })
}

/// The labels as the file holds them: strings only, within the limits of the format.
fn checked(labels: &Map<String, Value>) -> Result<String, String> {
    if labels.is_empty() || labels.len() > 32 {
        return Err("1 to 32 labels".to_owned());
    }
    let mut out = Map::new();
    for (key, value) in labels {
        let ok = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if key.is_empty() || key.len() > 64 || !key.chars().all(ok) {
            return Err(format!("label name {key:?}: 1 to 64 of A-Z a-z 0-9 _ . -"));
        }
        let text = match value {
            Value::String(s) => s.clone(),
            Value::Number(n) => n.to_string(),
            Value::Bool(b) => b.to_string(),
            _ => return Err(format!("label {key}: not a string")),
        };
        if text.len() > 256 {
            return Err(format!("label {key}: longer than 256 bytes"));
        }
        out.insert(key.clone(), Value::String(text));
    }
    Ok(Value::Object(out).to_string())
}

fn sudo_uid() -> Option<u32> {
    std::env::var("SUDO_UID").ok()?.parse().ok()
}

fn allowed(uid: u32) -> bool {
    // SAFETY: takes nothing, cannot fail.
    let me = unsafe { libc::geteuid() };
    uid == me || sudo_uid() == Some(uid)
}

fn credentials(stream: &UnixStream) -> Option<Peer> {
    use std::os::fd::AsRawFd;
    let mut c = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = libc::socklen_t::try_from(size_of::<libc::ucred>()).ok()?;
    // SAFETY: `c` is a ucred and `len` its size, as SO_PEERCRED wants; both live through the call.
    let done = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut c).cast(),
            &raw mut len,
        )
    };
    (done == 0).then(|| Peer {
        uid: c.uid,
        gid: c.gid,
        pid: u32::try_from(c.pid).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Peer = Peer { uid: 1, gid: 2, pid: 3 };

    #[test]
    fn a_span_of_monotonic_time_becomes_wall_time() {
        let text = r#"{"labels":{"step":7},"clock":"monotonic","start":5,"end":9}"#;
        let Annotation::Label {
            timestamp,
            labels,
            span,
            peer,
            ..
        } = parse(text, PEER, 1000, 1).unwrap()
        else {
            panic!("not a label")
        };
        assert_eq!((timestamp, span, peer), (1009, (1005, 1009), (1, 2, 3)));
        assert_eq!(labels, r#"{"step":"7"}"#);
    }

    #[test]
    fn an_instant_is_stamped_now() {
        let Annotation::Label { timestamp, span, .. } = parse(r#"{"labels":{"phase":"warm"}}"#, PEER, 0, 77).unwrap()
        else {
            panic!("not a label")
        };
        assert_eq!((timestamp, span), (77, (0, 0)));
    }

    #[test]
    fn wrong_lines_say_what_is_wrong() {
        for (text, part) in [
            ("{", "not JSON"),
            ("[]", "not an object"),
            ("{}", "no labels"),
            (r#"{"labels":{}}"#, "1 to 32"),
            (r#"{"labels":{"a b":"x"}}"#, "label name"),
            (r#"{"labels":{"a":[]}}"#, "not a string"),
            (r#"{"labels":{"a":"x"},"start":5}"#, "go together"),
            (r#"{"labels":{"a":"x"},"start":5,"end":4}"#, "go together"),
            (r#"{"labels":{"a":"x"},"clock":"tai"}"#, "unknown clock"),
            (r#"{"labels":{"a":"x"},"pid":-1}"#, "out of range"),
        ] {
            let why = parse(text, PEER, 0, 0).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
