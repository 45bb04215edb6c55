//! Moves records from the kernel's ring to the writer, in chunks.
//!
//! The queue to the writer is bounded. When it is full this thread waits, the kernel's ring takes
//! up what it can, and what finds no room there is counted by the programs: nothing is dropped
//! between the two.

use crate::abi::{self, Record};
use crate::error::RecorderError;
use crate::writer::Message;
use libbpf_rs::{MapHandle, RingBufferBuilder};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant};

const CHUNK_BYTES: usize = 256 * 1024;

/// What the drain thread tells the others.
#[derive(Debug, Default)]
pub struct Drain {
    /// Set to end it, once nothing is attached anymore.
    pub stop: AtomicBool,
    /// Time spent waiting for the writer.
    pub waited_ns: AtomicU64,
    /// Records taken from the ring.
    pub records: AtomicU64,
}

/// Starts the drain thread. Mapped and task records also go to `notices`, as far as there is room.
///
/// # Errors
/// If the ring cannot be opened.
pub fn start(
    ring: MapHandle,
    shared: Arc<Drain>,
    out: SyncSender<Message>,
    notices: SyncSender<Record>,
) -> Result<std::thread::JoinHandle<()>, RecorderError> {
    std::thread::Builder::new()
        .name("drain".to_owned())
        .spawn(move || run(&ring, &shared, &out, &notices))
        .map_err(|e| RecorderError::Load(e.to_string()))
}

fn run(ring: &MapHandle, shared: &Drain, out: &SyncSender<Message>, notices: &SyncSender<Record>) {
    raise_priority();
    let chunk = RefCell::new(Vec::with_capacity(CHUNK_BYTES));
    let flush = || {
        let full = chunk.replace(Vec::with_capacity(CHUNK_BYTES));
        if full.is_empty() {
            return;
        }
        if let Err(TrySendError::Full(message)) = out.try_send(Message::Chunk(full)) {
            let began = Instant::now();
            let _ = out.send(message);
            let waited = crate::clock::nanos(began.elapsed());
            shared.waited_ns.fetch_add(waited, Ordering::Relaxed);
        }
    };
    let mut builder = RingBufferBuilder::new();
    let added = builder.add(ring, |record: &[u8]| {
        shared.records.fetch_add(1, Ordering::Relaxed);
        let kind = abi::kind_of(record);
        if matches!(kind, Some(abi::KIND_MAPPED | abi::KIND_TASK))
            && let Some(decoded) = abi::decode(record)
        {
            // A full channel loses nothing: processes are also looked at periodically.
            let _ = notices.try_send(decoded);
        }
        if kind != Some(abi::KIND_MAPPED) {
            let mut c = chunk.borrow_mut();
            c.extend_from_slice(&u32::try_from(record.len()).unwrap_or(0).to_ne_bytes());
            c.extend_from_slice(record);
        }
        if chunk.borrow().len() >= CHUNK_BYTES - 512 {
            flush();
        }
        0
    });
    if added.is_err() {
        return;
    }
    let Ok(buffer) = builder.build() else { return };
    loop {
        // Read before draining, so that one full pass follows the last event.
        let last = shared.stop.load(Ordering::Acquire);
        let n = buffer.consume_raw();
        flush();
        if last {
            // Once more for records that were being written during the pass.
            while buffer.consume_raw() > 0 {
                flush();
            }
            return;
        }
        // Records wake nobody up, which keeps the traced threads from paying for it.
        std::thread::sleep(Duration::from_millis(if n > 0 { 4 } else { 16 }));
    }
}

/// This thread must get its turn on a host whose CPUs are contended.
fn raise_priority() {
    // SAFETY: plain integers; a refusal changes nothing.
    unsafe {
        let tid = libc::syscall(libc::SYS_gettid);
        if let Ok(tid) = libc::id_t::try_from(tid) {
            libc::setpriority(libc::PRIO_PROCESS, tid, -10);
        }
    }
}
