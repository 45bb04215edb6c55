//! Where a function's code lies in a library file, and where in it a probe is cheapest.

use object::read::ReadCache;
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSymbol, SymbolKind};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// `{symbol: file offset of its code}` for those of `wanted` that the file defines.
///
/// `static_too` looks into the full symbol table as well, for programs that have the CUDA runtime
/// linked in.
///
/// # Errors
/// A text saying what is wrong with the file.
pub fn functions(file: File, wanted: &dyn Fn(&str) -> bool, static_too: bool) -> Result<HashMap<String, u64>, String> {
    let cache = ReadCache::new(file);
    let elf = ElfFile64::<Endianness, _>::parse(&cache).map_err(|e| e.to_string())?;
    let endian = elf.endian();
    let loads: Vec<(u64, u64, u64)> = elf
        .elf_program_headers()
        .iter()
        .filter(|p| p.p_type.get(endian) == object::elf::PT_LOAD)
        .map(|p| (p.p_vaddr.get(endian), p.p_offset.get(endian), p.p_filesz.get(endian)))
        .collect();
    let mut found = HashMap::new();
    let mut take = |symbol: &dyn Fn() -> Option<(String, u64)>| {
        if let Some((name, addr)) = symbol() {
            let load = loads.iter().find(|(va, _, size)| addr >= *va && addr - va < *size);
            if let Some((va, off, _)) = load {
                found.entry(name).or_insert(addr - va + off);
            }
        }
    };
    let mut each = |s: object::read::elf::ElfSymbol64<'_, '_, Endianness, _>| {
        take(&|| {
            if s.is_undefined() || s.kind() != SymbolKind::Text {
                return None;
            }
            let name = s.name().ok().filter(|n| wanted(n))?;
            Some((name.to_owned(), s.address()))
        });
    };
    elf.dynamic_symbols().for_each(&mut each);
    if static_too {
        elf.symbols().for_each(&mut each);
    }
    Ok(found)
}

/// Bytes to skip from a function's start to the instruction a probe is best put at.
///
/// The kernel emulates `push` and turns a five-byte nop into a call, and single-steps nearly all
/// else, at four to nine times the cost. A leading `endbr64` before a `push` is stepped over: no
/// argument moves and the return address still lies at the stack pointer.
pub fn probe_skip(code: &[u8]) -> u64 {
    const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
    match code.strip_prefix(&ENDBR64) {
        Some(rest) if is_push(rest) => 4,
        _ => 0,
    }
}

/// Whether the kernel need not single-step the instruction at the probe.
pub fn is_cheap(code: &[u8]) -> bool {
    is_push(code) || code.starts_with(&[0x0f, 0x1f, 0x44, 0x00, 0x00])
}

fn is_push(code: &[u8]) -> bool {
    matches!(code, [0x50..=0x57, ..] | [0x41, 0x50..=0x57, ..])
}

/// The first 16 bytes at `offset`, fewer at the end of the file.
pub fn code_at(file: &mut File, offset: u64) -> Vec<u8> {
    let mut code = vec![0; 16];
    let n = file
        .seek(SeekFrom::Start(offset))
        .and_then(|_| file.read(&mut code))
        .unwrap_or(0);
    code.truncate(n);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_goes_behind_endbr64_only_before_a_push() {
        assert_eq!(probe_skip(&[0x55, 0x48]), 0);
        assert_eq!(probe_skip(&[0xf3, 0x0f, 0x1e, 0xfa, 0x55]), 4);
        assert_eq!(probe_skip(&[0xf3, 0x0f, 0x1e, 0xfa, 0x41, 0x57]), 4);
        assert_eq!(probe_skip(&[0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x83, 0xec, 0x08]), 0);
        assert_eq!(probe_skip(&[0x48, 0x83, 0xec, 0x08, 0x55]), 0);
        assert_eq!(probe_skip(&[]), 0);
    }

    #[test]
    fn functions_of_this_program_are_found() {
        let me = File::open("/proc/self/exe").unwrap();
        let found = functions(me, &|n| n == "main", true).unwrap();
        assert!(found["main"] > 0);
    }

    #[test]
    fn a_text_file_is_refused() {
        let me = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        assert!(functions(me, &|_| true, false).is_err());
    }
}
