//! Which CUDA and NCCL libraries a process has mapped, seen from this mount namespace.

use super::ops::Lib;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A library file: two paths to one file are one library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Device number as `stat` gives it.
    pub dev: u64,
    /// Inode number.
    pub inode: u64,
}

/// A library that a process has mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// What is looked for in it.
    pub lib: Lib,
    /// The path as the process sees it, for people.
    pub shown: String,
    /// A path that opens the file from here.
    pub open: PathBuf,
    /// Which file it is.
    pub id: FileId,
}

/// The kind of library a file name stands for. The hashed names of repaired Python wheels
/// (`libcudart-9335f6a2.so.9.1`) count.
pub fn lib_of(path: &str) -> Option<Lib> {
    let name = path.rsplit('/').next()?;
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    if name.starts_with("libcudart") && name.contains(".so") {
        Some(Lib::Runtime)
    } else if name.starts_with("libcuda.so") {
        Some(Lib::Driver)
    } else if name.starts_with("libnccl.so") {
        Some(Lib::Nccl)
    } else {
        None
    }
}

/// The libraries in `/proc/PID/maps`, and the program itself as a possible holder of the runtime.
pub fn mapped_by(pid: u32) -> Vec<Mapped> {
    let Ok(maps) = fs::read_to_string(format!("/proc/{pid}/maps")) else {
        return Vec::new(); // gone already
    };
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let mut out: Vec<Mapped> = Vec::new();
    for (range, path) in executable(&maps) {
        let lib = match lib_of(path) {
            Some(lib) => lib,
            None if exe.as_deref() == Some(Path::new(path)) => Lib::Runtime,
            None => continue,
        };
        // The path within the process's own root is readable for people and survives the process;
        // the entry in map_files opens the very file even if it was replaced or deleted.
        let rooted = PathBuf::from(format!("/proc/{pid}/root{path}"));
        let through = PathBuf::from(format!("/proc/{pid}/map_files/{range}"));
        let exact = fs::metadata(&through).ok().map(|m| id_of(&m));
        let by_root = fs::metadata(&rooted).ok().map(|m| id_of(&m));
        let (open, id) = match (exact, by_root) {
            (Some(e), Some(r)) if e == r => (rooted, e),
            (Some(e), _) => (through, e),
            (None, Some(r)) => (rooted, r),
            (None, None) => continue,
        };
        if !out.iter().any(|m| m.id == id) {
            let shown = path.to_owned();
            out.push(Mapped { lib, shown, open, id });
        }
    }
    out
}

/// A library given by path.
///
/// # Errors
/// If the file cannot be read.
pub fn at_path(path: &Path) -> std::io::Result<Option<Mapped>> {
    let real = fs::canonicalize(path)?;
    let meta = fs::metadata(&real)?;
    let shown = real.to_string_lossy().into_owned();
    let Some(lib) = lib_of(&path.to_string_lossy()).or_else(|| lib_of(&shown)) else {
        return Ok(None);
    };
    Ok(Some(Mapped {
        lib,
        shown,
        open: real,
        id: id_of(&meta),
    }))
}

/// Libraries that a command is likely to load, so that they are attached before it starts: those
/// the dynamic linker knows, those on `LD_LIBRARY_PATH`, and those in the site-packages of a
/// Python at `program`.
pub fn likely(program: Option<&Path>) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/cuda/lib64"]
        .iter()
        .chain(&["/usr/local/nvidia/lib64", "/usr/local/nvidia/lib"])
        .map(PathBuf::from)
        .collect();
    if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
        dirs.extend(std::env::split_paths(&path));
    }
    dirs.extend(linker_dirs());
    if let Some(site) = program.and_then(site_packages) {
        let nvidia = entries(&site.join("nvidia"));
        dirs.extend(nvidia.into_iter().map(|d| d.join("lib")));
        dirs.push(site.join("torch/lib"));
    }
    let mut out: Vec<PathBuf> = dirs
        .iter()
        .flat_map(|d| entries(d))
        .filter(|p| lib_of(&p.to_string_lossy()).is_some() && p.is_file())
        .collect();
    out.sort();
    out.dedup();
    out
}

/// Directories named in the linker's configuration.
fn linker_dirs() -> Vec<PathBuf> {
    entries(Path::new("/etc/ld.so.conf.d"))
        .iter()
        .filter_map(|f| fs::read_to_string(f).ok())
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|l| l.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

/// `…/lib/python3.x/site-packages` of the environment a Python program lies in. The link in a
/// virtual environment is what says where its packages are, so links are not followed.
fn site_packages(program: &Path) -> Option<PathBuf> {
    let bin = program.parent()?;
    entries(&bin.parent()?.join("lib"))
        .into_iter()
        .filter(|d| {
            d.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with("python3"))
        })
        .map(|d| d.join("site-packages"))
        .find(|d| d.is_dir())
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .collect();
    out.sort();
    out
}

fn id_of(meta: &fs::Metadata) -> FileId {
    FileId {
        dev: meta.dev(),
        inode: meta.ino(),
    }
}

/// `(range, path)` of the executable file mappings.
fn executable(maps: &str) -> impl Iterator<Item = (&str, &str)> {
    maps.lines().filter_map(|line| {
        let mut parts = line.splitn(6, ' ');
        let range = parts.next()?;
        let perms = parts.next()?;
        let path = parts.nth(3)?.trim_start();
        (perms.as_bytes().get(2) == Some(&b'x') && path.starts_with('/')).then_some((range, path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_names_are_told_apart() {
        assert_eq!(lib_of("/a/libcudart.so.13"), Some(Lib::Runtime));
        assert_eq!(lib_of("/a/libcudart-9335f6a2.so.9.1"), Some(Lib::Runtime));
        assert_eq!(lib_of("/a/libcuda.so.580.159.04 (deleted)"), Some(Lib::Driver));
        assert_eq!(lib_of("/a/libcudadebugger.so.1"), None);
        assert_eq!(lib_of("/a/libnccl.so.2"), Some(Lib::Nccl));
        assert_eq!(lib_of("/a/libnccl-net.so"), None);
    }

    #[test]
    fn only_executable_file_mappings_are_read() {
        let maps = "\
7f0-7f1 r--p 00000000 fe:00 1234                       /lib/libcuda.so.1
7f1-7f2 r-xp 00001000 fe:00 1234                       /lib/with space/libcuda.so.1
7f2-7f3 rwxp 00000000 00:00 0 
7f3-7f4 r-xp 00000000 00:00 0                          [vdso]
";
        let found: Vec<_> = executable(maps).collect();
        assert_eq!(found, [("7f1-7f2", "/lib/with space/libcuda.so.1")]);
    }

    #[test]
    fn this_process_maps_its_own_program() {
        let found = mapped_by(std::process::id());
        assert!(found.iter().any(|m| m.lib == Lib::Runtime), "{found:?}");
    }
}
