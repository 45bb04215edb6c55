//! Compiles the programs where clang is there, else takes the checked-in object.
//!
//! `INGERO_BPF_PREBUILT=1` takes the checked-in object in any case.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-env-changed=INGERO_BPF_PREBUILT");
    println!("cargo:rerun-if-changed=bpf");
    println!("cargo:rerun-if-changed=prebuilt");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("recorder.bpf.o");
    let prebuilt = root.join("prebuilt/recorder.bpf.o");
    let forced = env::var_os("INGERO_BPF_PREBUILT").is_some_and(|v| v == "1");

    let how = if forced {
        Err("asked to".to_owned())
    } else {
        compile(&root, &out)
    };
    match how {
        Ok(clang) => println!("cargo:rustc-env=INGERO_BPF_BUILT_BY={clang}"),
        // A compiler that is there and fails is an error in the sources, not a missing tool.
        Err(why) if why.starts_with("clang failed") => panic!("{why}"),
        Err(_) => {
            fs::copy(&prebuilt, &out).expect("the checked-in object can be copied");
            println!("cargo:rustc-env=INGERO_BPF_BUILT_BY=prebuilt");
        }
    }
}

/// Compiles to `out`; gives the compiler's version line.
fn compile(root: &Path, out: &Path) -> Result<String, String> {
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    let version = Command::new(&clang)
        .arg("--version")
        .output()
        .map_err(|e| format!("{clang}: {e}"))?;
    let version = String::from_utf8_lossy(&version.stdout)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    let include = env::var("DEP_BPF_INCLUDE").map_err(|_| "no libbpf headers".to_owned())?;
    let done = Command::new(&clang)
        .current_dir(root.join("bpf"))
        .args(["-g", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"])
        // The kernel's own declarations inside parameter lists, through BPF_PROG.
        .arg("-Wno-missing-declarations")
        .args(["-target", "bpf", "-mcpu=v3", "-D__TARGET_ARCH_x86"])
        .args(["-fdebug-compilation-dir", ".", "-I"])
        .arg(&include)
        .args(["-c", "recorder.bpf.c", "-o"])
        .arg(out)
        .output()
        .map_err(|e| format!("{clang}: {e}"))?;
    if !done.status.success() {
        return Err(format!("clang failed:\n{}", String::from_utf8_lossy(&done.stderr)));
    }
    // Debug information goes, BTF stays. Without llvm-strip the object is only larger.
    let _ = Command::new("llvm-strip").arg("-g").arg(out).status();
    Ok(version)
}
