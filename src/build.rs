//! Tells the linker and the program where the CPython that it is built against lives.
//!
//! The server has CPython's own code linked in where its shared library is slow or missing, and otherwise loads that. It must
//! start with no `LD_LIBRARY_PATH`, so it carries run paths: `$ORIGIN/../lib` first (an image, or an interpreter that rwsgi
//! was installed into), then the directory found at build time.

use std::{env, fs, path::Path, process::Command};

/// With 0 in this variable CPython is linked as a shared library, however slow that is.
const CHOICE: &str = "PYTHON_STATIC";

/// Tells where the interpreter's code is, where its shared library is, and which libraries they need, a line each.
const LINKING: &str = r#"
import os, sysconfig
get = lambda name: sysconfig.get_config_var(name) or ""
print(os.path.join(get("LIBPL"), get("LIBRARY")))
places = (os.path.join(get("LIBDIR"), folder, get("INSTSONAME")) for folder in ("", get("MULTIARCH")))
print(next(filter(os.path.isfile, places), ""))
print(*(word for name in ("LIBS", "SYSLIBS", "MODLIBS") for word in get(name).split() if word.startswith("-l")))
print(get("Py_GIL_DISABLED"))
"#;

/// All of the C API, and nothing else: extension modules resolve it against the process.
const EXPORTED: &str = "{ Py*; _Py*; };\n";

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
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib");
    if let Some(directory) = python.lib_dir() {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{directory}");
    }
    if loader_unpacks_relocations() {
        println!("cargo::rustc-link-arg=-Wl,-z,pack-relative-relocs");
    }
    println!("cargo::rerun-if-env-changed={CHOICE}");
    match Linking::of(python) {
        Linking::Shared => {}
        Linking::ArchiveInsteadOfShared(archive) => archive.link_into_server(),
        Linking::Archive(archive) => archive.link(),
    }
    let executable = python.run_python_script(BASE_EXECUTABLE).unwrap_or_default();
    // Cargo gives these to what it runs, too: a name that began with RWSGI_ would look like a setting of the server.
    println!("cargo::rustc-env=BUILD_PYTHON_VERSION={}.{}", python.version().major, python.version().minor);
    println!("cargo::rustc-env=BUILD_PYTHON={}", executable.trim());
    let byte_code = python.run_python_script_with_envs(COMPILE, [("MODULES", MODULES.join(" "))]);
    let byte_code = byte_code.expect("the interpreter compiles rwsgi's own modules");
    println!("cargo::rustc-env=BUILD_BYTE_CODE={}", byte_code.trim());
}

/// How CPython's code comes into the program.
enum Linking {
    /// With its shared library, as pyo3 has it.
    Shared,
    /// It is linked in, though pyo3 names the shared library, which then finds nothing left to do.
    ArchiveInsteadOfShared(Archive),
    /// It is linked in, since there is no shared library.
    Archive(Archive),
}

impl Linking {
    fn of(python: &pyo3_build_config::InterpreterConfig) -> Self {
        let told = python.run_python_script(LINKING).unwrap_or_default();
        let mut lines = told.lines().map(str::to_owned);
        let mut line = || lines.next().unwrap_or_default();
        let (path, shared, libraries, threading) = (line(), line(), line(), line());
        assert!(threading != "1", "rwsgi does not support free-threaded CPython yet. {REMEDY}");
        let is_there = Path::new(&path).extension().is_some_and(|end| end == "a") && Path::new(&path).is_file();
        let archive = is_there.then_some(Archive { path, libraries });
        let without = match env::var(CHOICE).as_deref() {
            Ok("0") => true,
            // Code of a Python whose library is not slow need not be of a form that can be linked here.
            Ok(other) => panic!("{CHOICE} is {other}. It may be 0, for the shared library; otherwise leave it out."),
            Err(_) => false,
        };
        match archive {
            _ if python.shared() && without => Self::Shared,
            _ if without => panic!("{CHOICE} is 0, but this CPython was built without a shared library. {REMEDY}"),
            Some(archive) if !python.shared() => Self::Archive(archive),
            Some(archive) if calls_itself_through_a_table(&shared) => Self::ArchiveInsteadOfShared(archive),
            _ if python.shared() => Self::Shared,
            _ => panic!(
                "rwsgi embeds CPython, but this one has neither a shared library nor its code in an archive. {REMEDY}"
            ),
        }
    }
}

/// For an interpreter that cannot be embedded.
const REMEDY: &str = "Point PYO3_PYTHON at another (Debian: python3 with libpython3-dev; pyenv builds one that can).";

/// Whether a library's functions may be replaced from without, as they may be unless it is built with
/// `-fno-semantic-interposition` (`--enable-optimizations`, and all of Debian's). It then calls its own, 30,000 times in its
/// code, as it would call another's, which makes Python a tenth slower.
fn calls_itself_through_a_table(library: &str) -> bool {
    relocations_of(library).lines().any(|line| line.contains("_JUMP_SL") && line.contains(" PyObject_"))
}

/// What readelf says. Without it there is no telling, and what needs nothing done for it is the usual case.
fn relocations_of(file: &str) -> String {
    let told = Command::new("readelf").args(["--relocs", "--wide", file]).output();
    told.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// CPython's code (`libpython3.x.a`), and the arguments for the libraries that it needs.
struct Archive {
    path: String,
    libraries: String,
}

impl Archive {
    /// Links it into the server, whole: who needs a function of the C API is not known before an app is loaded.
    fn link_into_server(&self) {
        println!("cargo::rerun-if-changed={}", self.path);
        let list = exported();
        let mut arguments = vec!["-Wl,--whole-archive", &self.path, "-Wl,--no-whole-archive", &list];
        arguments.extend(self.libraries.split_whitespace());
        for argument in arguments {
            println!("cargo::rustc-link-arg-bin=rwsgi={argument}");
            println!("cargo::rustc-link-arg-benches={argument}");
        }
    }

    /// Links it into whatever runs Python. It must come before pyo3's crate, which has it too, in pieces that are taken when
    /// they are missed: then none is.
    fn link(&self) {
        println!("cargo::rerun-if-changed={}", self.path);
        let path = Path::new(&self.path);
        let folder = path.parent().unwrap_or(Path::new("."));
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        println!("cargo::rustc-link-search=native={}", folder.display());
        println!("cargo::rustc-link-lib=static:+whole-archive,-bundle={}", name.trim_start_matches("lib"));
        println!("cargo::rustc-link-arg={}", exported());
        // It runs none, and the linker leaves out what nobody needs (of a Python from 3.13 on not much: that has a constructor).
        println!("cargo::rustc-link-arg-bin=rwsgi-dockerize=-Wl,--exclude-libs,ALL");
        for argument in self.libraries.split_whitespace() {
            println!("cargo::rustc-link-arg={argument}");
        }
        if self.has_absolute_addresses() {
            // Such a program is loaded to the same place each time, as this interpreter's own is.
            println!("cargo::rustc-link-arg=-no-pie");
        }
    }

    /// Whether it is for programs that are loaded to a known place, as compilers make it that are not told otherwise on some
    /// distributions.
    fn has_absolute_addresses(&self) -> bool {
        relocations_of(&self.path).lines().any(|line| line.contains("R_X86_64_32S"))
    }
}

/// The argument that exports what is to be found in the program.
fn exported() -> String {
    let path = Path::new(&env::var_os("OUT_DIR").expect("Cargo names a folder")).join("exported");
    fs::write(&path, EXPORTED).expect("Cargo's folder can be written to");
    format!("-Wl,--dynamic-list={}", path.display())
}

/// Whether the C library's loader takes relocations in a packed form: a quarter of a megabyte less in each image.
fn loader_unpacks_relocations() -> bool {
    let version = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let numbers = version.trim().strip_prefix("glibc ").and_then(|version| version.split_once('.'));
    let same_machine = env::var("HOST") == env::var("TARGET");
    same_machine && numbers.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?))) >= Some((2, 36))
}
