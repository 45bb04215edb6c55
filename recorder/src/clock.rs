//! Monotonic time, which the kernel stamps events with, and wall time, which the file holds.

use std::time::Duration;

/// Wall clock minus monotonic clock at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// When it was read, in wall time.
    pub at_ns: i64,
    /// What to add to monotonic time to get wall time.
    pub offset_ns: i64,
    /// The reading is off by at most this much.
    pub error_ns: i64,
    /// How far the wall clock may be from true time, as the kernel that steers it knows; -1 where nothing
    /// keeps it in step.
    pub wall_error_ns: i64,
}

/// Reads both clocks a few times and keeps the reading that took the shortest.
///
/// # Panics
/// Never: at least one reading is made.
pub fn offset() -> Offset {
    let wall_error_ns = wall_error_ns();
    (0..20)
        .map(|_| {
            let before = monotonic_ns();
            let wall = now(libc::CLOCK_REALTIME);
            let after = monotonic_ns();
            let half = (after - before) / 2;
            Offset {
                at_ns: wall,
                offset_ns: wall - (before + half),
                error_ns: half + 1,
                wall_error_ns,
            }
        })
        .min_by_key(|o| o.error_ns)
        .expect("the range is not empty")
}

/// The clock of `bpf_ktime_get_ns`.
pub fn monotonic_ns() -> i64 {
    now(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds since the Unix epoch.
pub fn wall_ns() -> i64 {
    now(libc::CLOCK_REALTIME)
}

/// The bound that the time daemon gave the kernel; it grows until the daemon is heard again.
fn wall_error_ns() -> i64 {
    // SAFETY: an all-zero `timex` is valid, and with no mode set it is only filled in.
    let (state, clock) = unsafe {
        let mut clock: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut clock), clock)
    };
    // Microseconds.
    if state < 0 || state == libc::TIME_ERROR || clock.status & libc::STA_UNSYNC != 0 {
        -1
    } else {
        clock.maxerror.saturating_mul(1000)
    }
}

fn now(clock: libc::clockid_t) -> i64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid timespec that lives through the call, which cannot fail for the two
    // clocks used here.
    unsafe { libc::clock_gettime(clock, &raw mut t) };
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

/// A duration in whole nanoseconds, as far as 64 bits reach.
pub fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_turns_monotonic_time_into_wall_time() {
        let o = offset();
        let wall = wall_ns();
        let ours = monotonic_ns() + o.offset_ns;
        assert!((ours - wall).abs() < 50_000_000, "{ours} {wall}");
        assert!(o.error_ns > 0 && o.error_ns < 10_000_000);
        // The kernel calls a clock out of step before its bound reaches 16 s.
        assert!(o.wall_error_ns >= -1 && o.wall_error_ns <= 16_000_000_000);
    }
}
