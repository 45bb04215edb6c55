//! The eBPF programs of the recorder, as bytes.
//!
//! The sources lie in `bpf/`, one file an area, and are compiled into one object by `build.rs`;
//! a machine without clang gets the object in `prebuilt/`.

#![cfg_attr(test, allow(clippy::print_stderr, reason = "a skipped test says why"))]

/// The object file: an ELF with BTF, ready for libbpf.
pub static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/recorder.bpf.o"));

/// The compiler that built [`OBJECT`], or `prebuilt`.
pub const BUILT_BY: &str = env!("INGERO_BPF_BUILT_BY");

#[cfg(test)]
mod tests {
    use super::*;

    /// The checked-in object is what the sources give, wherever the compiler is the one that made
    /// it. Another compiler makes other bytes, so there the comparison says nothing.
    #[test]
    fn prebuilt_object_is_up_to_date() {
        let by = include_str!("../prebuilt/BUILT_BY").trim();
        if BUILT_BY != by {
            eprintln!("skipped: built by {BUILT_BY:?}, the checked-in object by {by:?}");
            return;
        }
        let prebuilt = include_bytes!("../prebuilt/recorder.bpf.o");
        assert!(
            OBJECT == prebuilt,
            "recorder-ebpf/prebuilt/recorder.bpf.o differs from what the sources give; \
             copy it from the build's OUT_DIR"
        );
    }

    #[test]
    fn object_is_an_elf_for_bpf() {
        assert_eq!(&OBJECT[..4], b"\x7fELF");
        assert_eq!(u16::from_le_bytes([OBJECT[18], OBJECT[19]]), 247);
    }
}
