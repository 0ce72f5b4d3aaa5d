//! What an app imports that its image does not have: told when the image is made, not when a request fails in it.
//!
//! Nothing is imported to find out. Imports count from the app's module on, through the app and its packages; those below an
//! `if`, and those whose failure is caught, do not.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    exit::Fatal,
    image::{
        cache::{Cache, Key},
        contents::stdlib::Modules,
        filter::ignore::Patterns,
        interpreter::Interpreter,
        job::progress::{Cancel, Progress},
        layer::{Contents, Layer, inputs::Inputs},
    },
};

const FIND: &str = include_str!("../../../python/find_imports.py");
const KIND: &str = "imports";

/// An import that leads out of the modules that were followed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Import {
    module: String,
    file: String,
    line: u32,
    /// Whether it happens when a function is called.
    later: bool,
    /// Which of the starts led there.
    start: usize,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Found {
    imports: Vec<Import>,
    /// Whether the app itself changes where modules are looked for, so that nobody can tell what it finds.
    searches: bool,
}

/// What there is to import.
pub struct Image<'a> {
    /// The app's files.
    pub app: &'a Contents,
    /// Those that come from elsewhere.
    pub files: Option<&'a Contents>,
    /// The folder that it is served from, in the image.
    pub root: &'a Path,
    /// What is no module and runs all the same where a container starts, below that folder.
    pub scripts: &'a [&'a str],
    /// The names in the folder of the packages.
    pub installed: &'a [String],
    /// The packages' layer.
    pub packages: Option<&'a Layer>,
    /// The folders of tests that were left out of it, below that of the packages.
    pub tests: &'a BTreeSet<PathBuf>,
    /// The standard library.
    pub modules: &'a Modules,
    /// The app's folder, and what of it stays out.
    pub sources: (&'a Path, &'a Patterns),
    /// Whether its containers look for modules elsewhere too (`PYTHONPATH`).
    pub searches: bool,
}

/// Who looks, and with what.
pub struct Look<'a> {
    /// The Python that goes along.
    pub interpreter: &'a Interpreter,
    /// What earlier builds left.
    pub cache: &'a Cache,
    /// Who hears of it.
    pub progress: &'a dyn Progress,
    /// Whether to go on.
    pub cancel: &'a Cancel,
}

/// Why a module is not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Absence {
    /// It is left out of images, and can be kept.
    ByDesign,
    /// It is in the app's folder, and .dockerignore names it.
    Ignored,
    /// Nothing brings it.
    Unknown,
}

impl Look<'_> {
    /// Warns of what is not in the image although the app whose module is `start` imports it.
    ///
    /// # Errors
    /// The app would certainly not start, for want of a module of the standard library.
    pub fn check(&self, image: &Image, start: &str) -> Result<(), Fatal> {
        let found = self.of_app(image, start)?;
        let searches = found.searches || image.searches;
        let mut told = BTreeSet::new();
        for import in &found.imports {
            if let Some(folder) = image.folder_of_tests(&import.module) {
                if told.insert(folder.display().to_string()) {
                    let text = import.sentence_of_tests(folder);
                    if !import.later && !searches {
                        return Err(Fatal::new(text));
                    }
                    self.progress.warning(&text);
                }
                continue;
            }
            let name = needed(&import.module);
            let Some(absence) = image.absence(name) else { continue };
            // It may be where only the app itself will look.
            if absence != Absence::ByDesign && (searches || image.is_below(name)) || !told.insert(name.to_owned()) {
                continue;
            }
            let text = import.sentence(absence, "");
            if absence == Absence::ByDesign && !import.later && !searches {
                return Err(Fatal::new(text));
            }
            self.progress.warning(&text);
        }
        let Some(packages) = image.packages else { return Ok(()) };
        let mut starts: Vec<_> =
            found.imports.iter().filter(|it| is_installed(image.installed, top(&it.module))).collect();
        let entry = Import { module: start.to_owned(), file: String::new(), line: 0, later: false, start: 0 };
        if is_installed(image.installed, top(start)) {
            starts.push(&entry);
        }
        for import in self.of_packages(&starts, packages)?.imports {
            let name = needed(&import.module);
            let Some(absence) = image.absence(name) else { continue };
            // setuptools brings it in a way of its own.
            let is_brought = name == "distutils" && is_installed(image.installed, "_distutils_hack");
            if is_brought || absence == Absence::Unknown && image.searches || !told.insert(name.to_owned()) {
                continue;
            }
            let origin = starts.get(import.start).filter(|origin| origin.line > 0);
            let from = origin.map_or_else(String::new, |it| format!(" ({}, line {}, leads there)", it.file, it.line));
            self.progress.warning(&import.sentence(absence, &from));
        }
        Ok(())
    }

    fn of_app(&self, image: &Image, start: &str) -> Result<Found, Fatal> {
        let files: BTreeMap<_, _> = image
            .app
            .files()
            .filter_map(|(path, file)| Some((path.strip_prefix(image.root).ok()?.to_str()?, file.to_str()?)))
            .collect();
        let scripts: Vec<_> = files.keys().filter(|path| image.scripts.contains(path)).collect();
        let order = json!({ "starts": [start], "scripts": scripts, "files": files, "archive": null, "place": "", "later": true });
        let key = self.interpreter.key().with(image.app.key()).with(order.to_string());
        self.find(&key, image.app.inputs(), &order)
    }

    fn of_packages(&self, starts: &[&Import], packages: &Layer) -> Result<Found, Fatal> {
        let names: Vec<_> = starts.iter().map(|import| &import.module).collect();
        let place = self.interpreter.facts.packages_place();
        let order = json!({ "starts": names, "scripts": [], "files": {}, "archive": packages.path, "place": place, "later": false });
        let key = self.interpreter.key().with(&packages.digest).with(json!(names).to_string());
        self.find(&key, &Inputs::default(), &order)
    }

    fn find(&self, key: &Key, inputs: &Inputs, order: &serde_json::Value) -> Result<Found, Fatal> {
        if let Some(found) = self.cache.recall(KIND, key) {
            return Ok(found);
        }
        let text = self.interpreter.script(FIND, &[], order.to_string().into_bytes(), self.cancel)?;
        let found = serde_json::from_str(&text)
            .map_err(|error| Fatal::new(format!("The app's imports cannot be followed: {error}.")))?;
        self.cache.remember(KIND, key, inputs, &found);
        Ok(found)
    }
}

/// The module that a file or a folder would be: `gunicorn.conf.py` is none.
fn module_of(name: &str) -> &str {
    name.strip_suffix(".py").unwrap_or_else(|| top(name))
}

impl Image<'_> {
    /// Why the module of this name is not there, if it is not.
    fn absence(&self, name: &str) -> Option<Absence> {
        if is_installed(self.installed, name) || self.modules.shipped.contains(name) {
            return None;
        }
        if self.modules.left_out.contains(name) {
            return Some(Absence::ByDesign);
        }
        // Only what the library is made with tells that a part of it is missing: this Python has none of it either.
        if DATABASES.iter().any(|(_, part)| *part == name) {
            return None;
        }
        let (folder, ignored) = self.sources;
        let below = self.root.strip_prefix("app").unwrap_or(self.root);
        let is_ignored = |file: &Path| folder.join(file).exists() && ignored.matches(&file.to_string_lossy());
        let files = [below.join(name), below.join(format!("{name}.py"))];
        Some(if files.iter().any(|file| is_ignored(file)) { Absence::Ignored } else { Absence::Unknown })
    }

    /// The folder of tests that a module was in, and that was left out.
    fn folder_of_tests(&self, module: &str) -> Option<&Path> {
        let file: PathBuf = module.split('.').collect();
        file.ancestors().find_map(|folder| self.tests.get(folder)).map(PathBuf::as_path)
    }

    /// Whether something of this name is anywhere among the app's files.
    fn is_below(&self, name: &str) -> bool {
        [Some(self.app), self.files]
            .into_iter()
            .flatten()
            .flat_map(Contents::files)
            .any(|(path, _)| path.iter().any(|part| module_of(&part.to_string_lossy()) == name))
    }
}

impl Import {
    /// When it happens, and what comes of it where it fails.
    fn fate(&self) -> (&'static str, &'static str) {
        if self.later { (" in a function", "so that function will fail") } else { ("", "so it will fail at its start") }
    }

    fn sentence_of_tests(&self, folder: &Path) -> String {
        let Self { module, file, line, .. } = self;
        let (when, then) = self.fate();
        format!(
            "{file}, line {line}, imports {module}{when}, which is left out of images as other tests of packages are, {then}. \
             Keep it: --keep '{}'.",
            folder.display()
        )
    }

    fn sentence(&self, absence: Absence, from: &str) -> String {
        let Self { file, line, .. } = self;
        let part = needed(&self.module);
        let name = if part == top(&self.module) { part } else { &self.module };
        let (when, then) = self.fate();
        let what = format!("{file}, line {line}, imports {name}{when}{from}");
        match (absence, name) {
            (Absence::ByDesign, _) if part != name => format!(
                "{what}, which is left out of images, {then}. Do without it, or keep it: --keep 'lib-dynload/{part}*'."
            ),
            (Absence::Ignored, _) => format!(
                "{what}, which .dockerignore leaves out of the image, {then}. Let it in (a last line that begins with ! does), \
                 or do without it."
            ),
            (Absence::ByDesign, _) => format!(
                "{what}, which is left out of images, {then}. Do without it, or keep it: --keep {name} --keep \
                 'lib-dynload/*{name}*'."
            ),
            (Absence::Unknown, "pkg_resources") => {
                format!("{what}, which is not in the image, {then}. Add setuptools<81 to the app's requirements.")
            }
            (Absence::Unknown, _) => format!(
                "{what}, which is neither in the app's folder nor among its dependencies, {then}. Add what provides it to \
                 requirements.txt or pyproject.toml."
            ),
        }
    }
}

/// The modules of the standard library that are there without what they need.
const DATABASES: [(&str, &str); 2] = [("dbm.gnu", "_gdbm"), ("dbm.ndbm", "_dbm")];

/// The module without which there is none of this name, by its own first name.
fn needed(module: &str) -> &str {
    DATABASES.iter().find(|(name, _)| *name == module).map_or_else(|| top(module), |(_, part)| part)
}

/// The name before the first dot.
fn top(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

/// Whether one of these names of files and folders is the module's.
pub fn is_installed(installed: &[String], module: &str) -> bool {
    installed.iter().any(|name| top(name) == module)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Absence, Image, Import, Modules, Patterns, is_installed, needed};
    use crate::image::layer::Contents;

    #[test]
    fn an_import_is_told_with_its_place_and_the_way_out() {
        let import = |module: &str, later| Import {
            module: module.to_owned(),
            file: "a.py".to_owned(),
            line: 3,
            later,
            start: 0,
        };
        let text = import("tkinter.ttk", false).sentence(Absence::ByDesign, "");
        assert!(
            text.starts_with(
                "a.py, line 3, imports tkinter, which is left out of images, so it will fail at its start."
            )
        );
        assert!(text.contains("--keep tkinter --keep 'lib-dynload/*tkinter*'"), "{text}");
        let text = import("dbm.ndbm", true).sentence(Absence::ByDesign, "");
        assert!(
            text.contains("imports dbm.ndbm in a function,") && text.ends_with("--keep 'lib-dynload/_dbm*'."),
            "{text}"
        );
        let text = import("shop.web", false).sentence(Absence::Ignored, "");
        assert!(text.contains("imports shop, which .dockerignore leaves out of the image, so it will fail"), "{text}");
        let text = import("redis", true).sentence(Absence::Unknown, " (b.py, line 1, leads there)");
        assert!(
            text.starts_with("a.py, line 3, imports redis in a function (b.py, line 1, leads there), which is neither")
        );
        assert!(import("pkg_resources", false).sentence(Absence::Unknown, "").contains("setuptools"));
    }

    #[test]
    fn why_a_module_is_absent_is_told_by_what_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret.py"), "").unwrap();
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let modules = Modules { shipped: names(&["dbm", "os"]), left_out: names(&["_gdbm"]) };
        let (app, ignored) = (Contents::default(), Patterns::known("secret.py\n"));
        let tests = [PathBuf::from("gensim/test")].into();
        let image = Image {
            app: &app,
            files: None,
            root: Path::new("app"),
            scripts: &[],
            installed: &[],
            packages: None,
            tests: &tests,
            modules: &modules,
            sources: (folder.path(), &ignored),
            searches: false,
        };
        for (module, absence) in [
            ("os.path", None),
            ("dbm.dumb", None),
            ("dbm.gnu", Some(Absence::ByDesign)),
            // Of which this Python has nothing.
            ("dbm.ndbm", None),
            ("secret.key", Some(Absence::Ignored)),
            ("redis", Some(Absence::Unknown)),
        ] {
            assert_eq!(image.absence(needed(module)), absence, "{module}");
        }
        for (module, is_left_out) in
            [("gensim.test", true), ("gensim.test.utils.x", true), ("gensim.tests", false), ("gensim", false)]
        {
            assert_eq!(image.folder_of_tests(module).is_some(), is_left_out, "{module}");
        }
    }

    #[test]
    fn modules_are_told_by_names_of_files_and_folders() {
        let names = ["flask", "six.py", "_cffi_backend.cpython-311-x86_64-linux-gnu.so"].map(str::to_owned);
        for (module, there) in [("flask", true), ("six", true), ("_cffi_backend", true), ("cffi", false)] {
            assert_eq!(is_installed(&names, module), there, "{module}");
        }
    }
}
