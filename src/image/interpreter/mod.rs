//! Facts about the embedded interpreter, and running it: what a build must know to take it along.

pub mod python_from;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};

use crate::{
    exit::Fatal,
    image::{
        cache::{Cache, Key},
        job::{child, disk, progress::Cancel},
        layer::inputs::Inputs,
    },
};

/// Where everything of Python's and rwsgi's is in an image.
pub const PREFIX: &str = "usr/local";
const FACTS: &str = include_str!("../../../python/interpreter_facts.py");
const FACTS_KIND: &str = "facts";
/// Where systems have time zones.
const ZONES: &str = "/usr/share/zoneinfo";
const COMPILE: &str = include_str!("../../../python/compile_sources.py");
/// What compiling is called in a message.
const COMPILING: &str = "compile Python sources";
const PACK: &str = include_str!("../../../python/pack_modules.py");

/// The interpreter that the program embeds.
#[derive(Debug)]
pub struct Interpreter {
    /// The program for the image, whose `python` command is the interpreter.
    program: PathBuf,
    /// Another interpreter of the same version, which is taken along instead.
    other: Option<PathBuf>,
    /// Whether the program has Python's code in it, and loads no library for that.
    is_linked_in: bool,
    /// What it told about itself.
    pub facts: Facts,
}

/// What the interpreter tells about itself.
#[derive(Debug, Deserialize, Serialize)]
pub struct Facts {
    /// `major.minor`.
    pub version: String,
    /// With the patch level.
    pub full_version: String,
    /// The base installation's `python`, or that of the environment which rwsgi is installed in.
    pub executable: PathBuf,
    /// The standard library.
    pub stdlib: PathBuf,
    /// Its extension modules (`lib-dynload`).
    pub extensions: PathBuf,
    /// The shared library that the process runs, or else the one that is installed.
    pub libpython: Option<PathBuf>,
    /// Whether the process runs none: Python's code is in the program itself.
    pub linked_in: bool,
    /// What extension modules are compiled for, `cpython-311-x86_64-linux-gnu` say.
    pub abi: Option<String>,
    /// The name of the folder with libraries below a prefix: `lib`, or `lib64`.
    pub platlibdir: String,
    /// `cpython-311`.
    pub cache_tag: String,
    /// The name of the archive that it looks for modules in, beside the folder of the standard library.
    pub archive: Option<String>,
    /// Where it looks for packages when its prefix is `/usr/local`.
    pub packages: PathBuf,
    /// Where its OpenSSL looks for certificate authorities, whatever the environment says.
    pub openssl_cafile: PathBuf,
    /// The system's time zones.
    pub zones: Option<PathBuf>,
    /// The names of the standard library's modules.
    pub modules: Vec<String>,
    /// Those of them that are in the interpreter itself.
    pub builtins: Vec<String>,
}

impl Facts {
    /// The files and folders whose change changes the facts.
    fn made_of(&self) -> impl Iterator<Item = &Path> {
        // Where there are no time zones, they may be installed.
        let zones = self.zones.as_deref().unwrap_or(Path::new(ZONES));
        let always = [&self.executable, &self.stdlib, &self.extensions, &self.openssl_cafile];
        always.into_iter().chain(&self.libpython).map(PathBuf::as_path).chain([zones])
    }

    /// Where the standard library is in an image.
    pub fn standard_library(&self) -> PathBuf {
        Path::new(PREFIX).join(&self.platlibdir).join(format!("python{}", self.version))
    }

    /// Where modules may be in one archive.
    pub fn archive_place(&self) -> Option<PathBuf> {
        Some(Path::new(PREFIX).join(&self.platlibdir).join(self.archive.as_ref()?))
    }

    /// Where packages are in an image.
    pub fn packages_place(&self) -> &Path {
        self.packages.strip_prefix("/").unwrap_or(&self.packages)
    }
}

/// What becomes of sources in an image, which decides how their byte code is made.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sources {
    /// They are left out, and with them help texts and what points to a place within one of their lines.
    Absent,
    /// They are left out, but help texts stay: packages' commands show them.
    AbsentButHelp,
    /// They are there, and nobody changes an image's packages: byte code is taken as it is.
    Fixed,
    /// Someone may mount another version over the app's folder: they are compared with their byte code at import.
    Changeable,
}

impl Sources {
    fn are_absent(self) -> bool {
        matches!(self, Self::Absent | Self::AbsentButHelp)
    }
}

impl Interpreter {
    /// Asks the interpreter of `program` (rwsgi itself).
    pub fn ask(program: &Path, cache: &Cache, cancel: &Cancel) -> Result<Self, Fatal> {
        let facts = Self::ask_either(program, None, cache, cancel)?;
        Ok(Self { program: program.to_owned(), other: None, is_linked_in: facts.linked_in, facts })
    }

    /// Asks `other`, an interpreter whose installation the program of this one is to run.
    pub fn ask_other(&self, other: &Path, cache: &Cache, cancel: &Cancel) -> Result<Self, Fatal> {
        let facts = Self::ask_either(&self.program, Some(other), cache, cancel)?;
        let (program, other) = (self.program.clone(), Some(other.to_owned()));
        Ok(Self { program, other, is_linked_in: self.is_linked_in, facts })
    }

    fn ask_either(program: &Path, other: Option<&Path>, cache: &Cache, cancel: &Cancel) -> Result<Facts, Fatal> {
        let asked = other.unwrap_or(program);
        let mut inputs = programs(program);
        inputs.add(asked);
        let key = Key::default().with(asked.as_os_str().as_encoded_bytes()).with(inputs.to_bytes());
        if let Some(facts) = cache.recall(FACTS_KIND, &key) {
            return Ok(facts);
        }
        let mut command = python(program, other);
        command.arg("-I");
        let output = child::run(command.args(["-c", FACTS]), "Python", Vec::new(), cancel, |_| {})?;
        let facts: Facts = serde_json::from_str(&output.stdout).map_err(|error| {
            let reason = output.stderr.lines().last().map_or_else(|| error.to_string(), str::to_owned);
            let which = other
                .map_or_else(|| "The embedded Python".to_owned(), |other| format!("Python at {}", other.display()));
            Fatal::new(format!("{which} does not work, so it cannot be put into an image: {reason}"))
        })?;
        for path in facts.made_of() {
            inputs.add(path);
        }
        cache.remember(FACTS_KIND, &key, &inputs, &facts);
        Ok(facts)
    }

    /// What tells this interpreter from others: an answer of one is not another's.
    pub fn key(&self) -> Key {
        Key::default()
            .with(serde_json::to_vec(&self.facts).unwrap_or_default())
            .with(self.program.as_os_str().as_encoded_bytes())
            .with(format!("{:?}", self.other))
            .with(programs(&self.program).to_bytes())
            // Where libraries are looked for first.
            .with(std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default().as_encoded_bytes())
    }

    /// The program for the image.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The shared library that the program in the image loads.
    pub fn libpython(&self) -> Option<&Path> {
        self.facts.libpython.as_deref().filter(|_| !self.is_linked_in)
    }

    /// A command that runs the base interpreter apart from the user's variables and the working directory's modules.
    pub fn command(&self) -> Command {
        let mut command = python(&self.program, self.other.as_deref());
        command.arg("-I");
        command
    }

    /// Runs a script of ours, which reads `input`, and returns what it printed.
    pub fn script(
        &self,
        script: &str,
        arguments: &[PathBuf],
        input: Vec<u8>,
        cancel: &Cancel,
    ) -> Result<String, Fatal> {
        let mut command = self.command();
        command.args(["-c", script]).args(arguments);
        let output = child::run(&mut command, "the embedded Python", input, cancel, |_| {})?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        if output.stderr.contains("No space left on device") {
            return Err(disk::full("write what Python makes"));
        }
        let reason = output.stderr.lines().last().unwrap_or("it gave no reason");
        Err(Fatal::new(format!("The embedded Python failed at a script of rwsgi's own: {reason}")))
    }

    /// Compiles `files` (path in the image, path on disk), and returns for each its path in the image and where its byte code
    /// is, below `into`.
    ///
    /// What does not compile is left out.
    pub fn compile<'a>(
        &self,
        sources: impl Iterator<Item = (&'a Path, &'a Path)>,
        fate: Sources,
        into: &Path,
        cancel: &Cancel,
    ) -> Result<Vec<(PathBuf, PathBuf)>, Fatal> {
        // Nothing of an earlier time is in there.
        let into = tempfile::tempdir_in(into).map_err(|error| disk::failed(COMPILING, &error))?.keep();
        let mut files = Vec::new();
        let mut targets = Vec::new();
        for (path, source) in sources {
            if path.extension().is_none_or(|extension| extension != "py") {
                continue;
            }
            let written = into.join(files.len().to_string());
            let named = Path::new("/").join(path);
            // A name that is not UTF-8 is not one that Python could import.
            if let (Some(source), Some(written), Some(named)) = (source.to_str(), written.to_str(), named.to_str()) {
                files.push([source.to_owned(), written.to_owned(), named.to_owned()]);
                targets.push((path.to_owned(), PathBuf::from(written)));
            }
        }
        let order = serde_json::json!({ "fate": fate, "files": files }).to_string().into_bytes();
        // Not isolated, which would ignore the hash seed: it decides the order of sets in byte code before Python 3.11. Other
        // variables, and what packages have run at each start, would show there too.
        let mut command = python(&self.program, self.other.as_deref());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PYTHON")) {
            command.env_remove(name);
        }
        command.args(["-S", "-B", "-c", COMPILE]).current_dir("/").env("PYTHONHASHSEED", "0");
        if fate.are_absent() {
            // Columns are shown beside the line that they are of, which nobody has.
            command.env("PYTHONNODEBUGRANGES", "1");
        }
        let output = child::run(&mut command, "the embedded Python", order, cancel, |_| {})?;
        if !output.status.success() {
            if output.stderr.contains("No space left on device") {
                return Err(disk::full(COMPILING));
            }
            let reason = output.stderr.lines().last().unwrap_or("Python gave no reason");
            return Err(Fatal::new(format!("Cannot {COMPILING}: {reason}")));
        }
        targets.retain(|(_, written)| written.exists());
        Ok(targets)
    }

    /// The same, where only what `cache` does not have is compiled: byte code by its path in the image.
    pub fn compile_with_cache<'a>(
        &self,
        sources: impl Iterator<Item = (&'a Path, &'a Path)>,
        fate: Sources,
        cache: &Cache,
        into: &Path,
        cancel: &Cancel,
    ) -> Result<Vec<(PathBuf, Vec<u8>)>, Fatal> {
        const KIND: &str = "byte-code";
        let (mut known, mut unknown, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for (path, source) in sources {
            let Some(target) = self.byte_code(path, fate) else { continue };
            let content = std::fs::read(source).map_err(|error| disk::unreadable(source, &error))?;
            let key = Key::default()
                .with(&self.facts.full_version)
                .with(&self.facts.cache_tag)
                .with(format!("{fate:?}"))
                .with(path.as_os_str().as_encoded_bytes())
                .with(content);
            match cache.bytes(KIND, &key) {
                // Nothing is kept for what does not compile.
                Some(byte_code) if byte_code.is_empty() => {}
                Some(byte_code) => known.push((target, byte_code)),
                None => {
                    unknown.push((path, source));
                    keys.push((path, target, key));
                }
            }
        }
        if unknown.is_empty() {
            return Ok(known);
        }
        let compiled: BTreeMap<_, _> = self.compile(unknown.into_iter(), fate, into, cancel)?.into_iter().collect();
        for (path, target, key) in keys {
            let byte_code = match compiled.get(path) {
                Some(file) => fs_err::read(file).map_err(|error| disk::failed("compile the app", &error))?,
                None => Vec::new(),
            };
            cache.keep_bytes(KIND, &key, &byte_code);
            if !byte_code.is_empty() {
                known.push((target, byte_code));
            }
        }
        Ok(known)
    }

    /// Packs modules (their names in the archive, their files) into an archive at `into` that Python imports from.
    pub fn pack(&self, modules: &[(String, PathBuf)], into: &Path, cancel: &Cancel) -> Result<(), Fatal> {
        let order = serde_json::to_vec(modules).unwrap_or_default();
        self.script(PACK, &[into.to_owned()], order, cancel).map(drop)
    }

    /// Where Python looks for the byte code of the source at `path`.
    pub fn byte_code(&self, path: &Path, fate: Sources) -> Option<PathBuf> {
        let stem = path.file_name()?.to_str()?.strip_suffix(".py")?;
        if fate.are_absent() {
            return Some(path.with_extension("pyc"));
        }
        Some(path.parent()?.join("__pycache__").join(format!("{stem}.{}.pyc", self.facts.cache_tag)))
    }
}

/// What is made follows from both programs: the one that it is made for, and this one.
fn programs(program: &Path) -> Inputs {
    let mut inputs = Inputs::default();
    inputs.add(program);
    if let Ok(running) = std::env::current_exe() {
        inputs.add(&running);
    }
    inputs
}

/// `other`, or `rwsgi python` for the base installation, whatever environment is active.
fn python(program: &Path, other: Option<&Path>) -> Command {
    let mut command = Command::new(other.unwrap_or(program));
    if other.is_none() {
        command.arg("python");
    }
    for name in ["VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"] {
        command.env_remove(name);
    }
    command
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Facts, ZONES};

    #[test]
    fn time_zones_that_are_not_there_are_looked_for_again() {
        let facts = serde_json::json!({
            "version": "3.11", "full_version": "3.11.4", "executable": "/python", "stdlib": "/lib", "extensions": "/lib/x",
            "libpython": null, "linked_in": true, "abi": null, "platlibdir": "lib", "cache_tag": "", "packages": "",
            "openssl_cafile": "/ca.pem", "modules": [], "builtins": [],
        });
        let facts: Facts = serde_json::from_value(facts).unwrap();
        assert!(facts.made_of().any(|path| path == Path::new(ZONES)));
        let facts = Facts { zones: Some("/zones".into()), ..facts };
        assert_eq!(facts.made_of().last(), Some(Path::new("/zones")));
    }
}
