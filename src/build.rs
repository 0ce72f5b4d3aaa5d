//! Tells the linker and the program where the CPython that it is built against lives.
//!
//! The binary must start with no `LD_LIBRARY_PATH`, so it carries run paths: `$ORIGIN/../lib` first (an image, or an
//! interpreter that rwsgi was installed into), then the directory found at build time.

/// The interpreter behind the one that was named, without the virtual environment or the shim in front of it.
const BASE_EXECUTABLE: &str =
    "import os, sys\nprint(os.path.realpath(getattr(sys, '_base_executable', sys.executable)))\n";

/// Compiles rwsgi's own modules, which would take longer at each start than all else that rwsgi does there. Says which byte
/// code it is.
const COMPILE: &str = r#"
import importlib.util, marshal, os
for name in os.environ["MODULES"].split():
    with open(f"python/{name}.py", "rb") as file:
        code = compile(file.read(), "<rwsgi>", "exec", dont_inherit=True, optimize=0)
    with open(os.path.join(os.environ["OUT_DIR"], f"{name}.marshal"), "wb") as file:
        marshal.dump(code, file)
print(int.from_bytes(importlib.util.MAGIC_NUMBER, "little"))
"#;

/// Those that are imported into the app's interpreter.
const MODULES: [&str; 4] = ["error_logger", "hooks", "load_app", "read_config"];

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    for module in MODULES {
        println!("cargo::rerun-if-changed=python/{module}.py");
    }
    let python = pyo3_build_config::get();
    assert!(
        python.shared(),
        "rwsgi embeds CPython and needs its shared library, which this interpreter was built without.\n\
         Point PYO3_PYTHON at one built with --enable-shared (Debian's python3 with libpython3-dev, pyenv with \
         PYTHON_CONFIGURE_OPTS=--enable-shared)."
    );
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib");
    if let Some(directory) = python.lib_dir() {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{directory}");
    }
    if loader_unpacks_relocations() {
        println!("cargo::rustc-link-arg=-Wl,-z,pack-relative-relocs");
    }
    // Extension modules resolve the C API against the process. libpython exports it, so nothing else is needed here.
    let executable = python.run_python_script(BASE_EXECUTABLE).unwrap_or_default();
    // Cargo gives these to what it runs, too: a name that began with RWSGI_ would look like a setting of the server.
    println!("cargo::rustc-env=BUILD_PYTHON_VERSION={}.{}", python.version().major, python.version().minor);
    println!("cargo::rustc-env=BUILD_PYTHON={}", executable.trim());
    let byte_code = python.run_python_script_with_envs(COMPILE, [("MODULES", MODULES.join(" "))]);
    let byte_code = byte_code.expect("the interpreter compiles rwsgi's own modules");
    println!("cargo::rustc-env=BUILD_BYTE_CODE={}", byte_code.trim());
}

/// Whether the C library's loader takes relocations in a packed form: a quarter of a megabyte less in each image.
fn loader_unpacks_relocations() -> bool {
    let version = std::process::Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let numbers = version.trim().strip_prefix("glibc ").and_then(|version| version.split_once('.'));
    let same_machine = std::env::var("HOST") == std::env::var("TARGET");
    same_machine && numbers.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?))) >= Some((2, 36))
}
