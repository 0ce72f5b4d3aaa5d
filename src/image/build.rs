//! The steps of a build: each makes one layer, unless the cache has it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    exit::Fatal,
    image::{
        cache::{Cache, Key},
        choices::Choices,
        contents::{
            base,
            closure::Closure,
            copies,
            imports::{self, is_installed},
            kept::Kept,
            links, packages,
            stdlib::Modules,
            tree,
        },
        dependencies::{Declared, Installation},
        filter::{ignore::Patterns, screen::Screen},
        interpreter::{Interpreter, Sources},
        job::{
            disk,
            progress::{Cancel, Progress},
        },
        layer::{Contents, Layer, Times},
        project::{
            app::{App, configuration},
            git::Commit,
            pyproject::Project,
        },
    },
};

/// The folder, among what is made on the way, that dependencies are installed below, as below a Python's own prefix.
const PACKAGES: &str = "packages";

/// What the steps share.
pub struct Build<'a> {
    /// The app's folder.
    pub folder: &'a Path,
    /// For what is made on the way.
    pub work: &'a Path,
    /// What of the folder is not the app's although it is in there.
    pub except: &'a [&'a Path],
    /// The Python that goes along.
    pub interpreter: &'a Interpreter,
    /// What the app's project says of itself.
    pub project: &'a Project,
    /// What was chosen.
    pub choices: &'a Choices,
    /// What goes along beyond what an app needs.
    pub kept: &'a Kept,
    /// What earlier builds left.
    pub cache: &'a Cache,
    /// Who hears of it.
    pub progress: &'a dyn Progress,
    /// Whether to go on.
    pub cancel: &'a Cancel,
    /// The commit that the app is of.
    pub commit: Option<&'a Commit>,
}

/// What the layer with the dependencies has.
#[derive(Default, Deserialize, Serialize)]
struct Installed {
    /// What can be imported, by the names of files and folders.
    names: Vec<String>,
    /// The folders of packages' tests that were left out.
    tests: BTreeSet<PathBuf>,
    libraries: Closure,
}

impl Build<'_> {
    /// All layers, bottom first.
    pub fn layers(
        &self,
        declared: &Declared,
        app: &App,
        ignored: &Patterns,
        screen: &Screen,
    ) -> Result<Vec<Layer>, Fatal> {
        let (base, (closure, modules)) = self.base()?;
        let mut layers = vec![base];
        let installed = match self.packages(declared, &closure)? {
            Some((layer, installed)) => {
                layers.push(layer);
                installed
            }
            None => Installed::default(),
        };
        let closure = closure.and(&installed.libraries);
        self.progress.step("Adding the app");
        // After the dependencies: building a package in the app's folder may have made a module there that the app imports.
        let mut contents = Contents::new(Times::ByContent);
        tree::add_app(&mut contents, Path::new("app"), self.folder, ignored, self.except, screen, self.progress)?;
        // What is not committed, although git ignores it, may change while the commit stays.
        if let Some(Commit { files, time, .. }) = self.commit {
            for file in files {
                contents.set_time(&Path::new("app").join(file), *time);
            }
        }
        self.let_write(&mut contents)?;
        let files = match &self.choices.copies[..] {
            [] => None,
            copies => Some(copies::gather(copies, screen, self.progress)?),
        };
        if let Some((folder, files)) = self.project.record(&installed.names) {
            let place = self.interpreter.facts.packages_place().join(folder);
            for (name, content) in files {
                contents.bytes(place.join(name), content, false);
            }
        }
        links::check((&contents, Path::new("app"), self.folder), files.as_ref(), &layers, self.progress)?;
        self.check(app, (&contents, files.as_ref()), ignored, (&installed, layers.get(1)), &modules)?;
        let (layer, more) = self.completed("app", contents, &[self.folder.to_owned()], &closure)?;
        layers.push(layer);
        if let Some(mut files) = files {
            self.progress.step("Adding further files");
            copies::fit(&mut files, &self.choices.copies, &layers)?;
            for copy in &self.choices.copies {
                if let Some(folder) = copy.folder() {
                    links::check((&files, &copy.place, &folder), Some(&files), &layers, self.progress)?;
                }
            }
            for folder in &self.choices.writable {
                files.let_write(Path::new("app").join(&**folder));
            }
            let own: Vec<_> = self.choices.copies.iter().filter_map(|copy| copy.folder()).collect();
            layers.push(self.completed("files", files, &own, &closure.and(&more))?.0);
        }
        Ok(layers)
    }

    /// Makes the folders that the app may write to.
    fn let_write(&self, contents: &mut Contents) -> Result<(), Fatal> {
        for folder in &self.choices.writable {
            let place = Path::new("app").join(&**folder);
            let file = contents.kinds().find(|(path, is_folder)| !is_folder && place.starts_with(path));
            if let Some((file, _)) = file {
                let (shown, file) = (folder.display(), file.display());
                let error = format!("The app cannot write into {shown}: /{file} is no folder. Name another one.");
                return Err(folder.locate(Fatal::new(error)));
            }
            contents.directory(&place);
            contents.let_write(place);
        }
        Ok(())
    }

    fn base(&self) -> Result<(Layer, (Closure, Modules)), Fatal> {
        self.progress.step(&format!("Gathering Python {} and its libraries", self.interpreter.facts.full_version));
        let key = self.interpreter.key().with(format!("{:?}", self.kept.beside_packages()));
        self.cache.layer("base", &key, (self.work, self.progress, self.cancel), |progress| {
            base::gather(self.interpreter, self.kept, self.work, progress, self.cancel)
        })
    }

    /// The layer with the dependencies, and what is in it.
    fn packages(&self, declared: &Declared, base: &Closure) -> Result<Option<(Layer, Installed)>, Fatal> {
        let Some(installation) = Installation::of(declared, self.folder, self.work)? else {
            self.progress.note(&Declared::nowhere(self.folder));
            return Ok(None);
        };
        self.progress.step(&installation.step());
        let known = installation.key(self.interpreter).map(|wanted| {
            let base = serde_json::to_vec(base).unwrap_or_default();
            self.interpreter.key().with(base).with(format!("{:?}", self.kept)).with_all(&wanted)
        });
        let nothing = Cache::none();
        let (cache, key) = known.map_or((&nothing, Key::default()), |key| (self.cache, key));
        let made = cache.layer("dependencies", &key, (self.work, self.progress, self.cancel), |progress| {
            let prefix = self.work.join(PACKAGES);
            // A layer that turned out to be damaged is made a second time.
            if prefix.exists() {
                fs_err::remove_dir_all(&prefix).map_err(|error| disk::failed("install the dependencies", &error))?;
            }
            fs_err::create_dir_all(&prefix).map_err(|error| disk::failed("install the dependencies", &error))?;
            installation.run(self.interpreter, &prefix, progress, self.cancel)?;
            let (contents, tests, libraries) = packages::gather(
                self.interpreter,
                (&prefix, self.work),
                base,
                self.kept,
                self.cache,
                progress,
                self.cancel,
            )?;
            let names = names(&contents, self.interpreter.facts.packages_place());
            Ok((contents, Installed { names, tests, libraries }))
        })?;
        Ok(Some(made))
    }

    /// Whether the module that a container starts with is in the image.
    fn has_module(&self, app: &App, contents: &Contents, installed: &[String]) -> bool {
        let (module, place) = (app.module(), app.root(Path::new("app")));
        let top = module.split('.').next().unwrap_or_default();
        let is_in = |folder: &Path, name: &str| is_installed(&names(contents, folder), name);
        let package = place.join(top).join("__init__.py");
        let source = contents.files().find(|(path, _)| *path == package);
        match source.and_then(|(_, file)| fs_err::read_to_string(file).ok()) {
            // Such a package has its modules in its own folder, unless it says otherwise.
            Some(text) if !["__path__", "sys.modules"].iter().any(|trick| text.contains(trick)) => {
                let (parents, last) = module.rsplit_once('.').unwrap_or(("", module));
                is_in(&place.join(parents.replace('.', "/")), last)
            }
            _ => {
                let known = &self.interpreter.facts.modules;
                is_in(&place, top) || is_installed(installed, top) || known.iter().any(|known| known == top)
            }
        }
    }

    /// Refuses an app whose module the image does not have, and warns of what it imports and the image does not have.
    fn check(
        &self,
        app: &App,
        (contents, files): (&Contents, Option<&Contents>),
        ignored: &Patterns,
        (installed, packages): (&Installed, Option<&Layer>),
        modules: &Modules,
    ) -> Result<(), Fatal> {
        let root = app.root(Path::new("app"));
        let searches = app.is_moved(self.folder, self.choices);
        let mut places = [Some(contents), files].into_iter().flatten();
        if !searches && !places.any(|contents| self.has_module(app, contents, &installed.names)) {
            return Err(app.refused(&format!(
                "there is no module {} in the image, neither among the app's files nor among its dependencies. Name the app \
                 with --app MODULE:NAME, or see to the dependencies and .dockerignore.",
                app.module()
            )));
        }
        let image = imports::Image {
            app: contents,
            files,
            root: &root,
            scripts: &[configuration::FILE],
            installed: &installed.names,
            packages,
            tests: &installed.tests,
            modules,
            sources: (self.folder, ignored),
            searches,
        };
        let (interpreter, cache, progress, cancel) = (self.interpreter, self.cache, self.progress, self.cancel);
        imports::Look { interpreter, cache, progress, cancel }.check(&image, app.module())
    }

    /// The layer with the contents, their byte code, and the libraries that they need beyond those of `below`; these too.
    fn completed(
        &self,
        name: &'static str,
        mut contents: Contents,
        own: &[PathBuf],
        below: &Closure,
    ) -> Result<(Layer, Closure), Fatal> {
        let known = serde_json::to_vec(below).unwrap_or_default();
        let key = self.interpreter.key().with(contents.key()).with(known);
        self.cache.layer(name, &key, (self.work, self.progress, self.cancel), |progress| {
            let into = self.work.join(format!("{name}-byte-code"));
            fs_err::create_dir_all(&into).map_err(|error| disk::failed("compile the app", &error))?;
            let compiled = self.interpreter.compile_with_cache(
                contents.files(),
                Sources::Changeable,
                self.cache,
                &into,
                self.cancel,
            )?;
            let own: Vec<_> = own.iter().map(PathBuf::as_path).collect();
            let closure = Closure::complete(&mut contents, &own, below, (progress, self.cancel))?;
            for (path, byte_code) in compiled {
                contents.bytes(path, byte_code, false);
            }
            Ok((contents, closure))
        })
    }
}

/// The names directly in a folder of an image.
fn names(contents: &Contents, folder: &Path) -> Vec<String> {
    let inside = contents.kinds().filter_map(|(path, _)| path.strip_prefix(folder).ok());
    let names = inside.filter(|path| path.components().count() == 1);
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}
