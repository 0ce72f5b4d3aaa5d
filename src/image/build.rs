//! The steps of a build: each makes one layer, unless the cache has it.

use std::path::Path;

use crate::exit::Fatal;
use crate::image::base;
use crate::image::cache::{Cache, Key};
use crate::image::closure::Closure;
use crate::image::dependencies::{self, Declared};
use crate::image::disk;
use crate::image::extras::Extras;
use crate::image::ignore::Rules;
use crate::image::imports::{self, is_installed};
use crate::image::interpreter::{Interpreter, Sources};
use crate::image::layer::{Contents, Layer, Times};
use crate::image::packages;
use crate::image::progress::{Cancel, Progress};
use crate::image::project::App;
use crate::image::requirements;
use crate::image::stdlib::Modules;
use crate::image::tree;

/// The folder, among what is made on the way, that dependencies are installed into.
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
    /// What goes along beyond what an app needs.
    pub extras: &'a Extras,
    /// What earlier builds left.
    pub cache: &'a Cache,
    /// Who hears of it.
    pub progress: &'a dyn Progress,
    /// Whether to go on.
    pub cancel: &'a Cancel,
}

impl Build<'_> {
    /// All layers, bottom first.
    pub fn layers(&self, declared: &Declared, app: &App, rules: &Rules) -> Result<Vec<Layer>, Fatal> {
        let (base, (closure, modules)) = self.base()?;
        let mut layers = vec![base];
        let installed = match self.packages(declared, &closure)? {
            Some((layer, installed)) => {
                layers.push(layer);
                installed
            }
            None => Vec::new(),
        };
        let app = self.app(app, &installed, layers.get(1), &modules, rules)?;
        layers.push(app);
        Ok(layers)
    }

    fn base(&self) -> Result<(Layer, (Closure, Modules)), Fatal> {
        self.progress.step(&format!("Gathering Python {} and its libraries", self.interpreter.facts.full_version));
        let key = self.interpreter.key().with(format!("{:?}", self.extras));
        self.cache.layer("base", &key, (self.work, self.progress, self.cancel), |progress| {
            base::gather(self.interpreter, self.extras, self.work, progress, self.cancel)
        })
    }

    /// The layer with the dependencies, and the names in it that can be imported.
    fn packages(&self, declared: &Declared, base: &Closure) -> Result<Option<(Layer, Vec<String>)>, Fatal> {
        let Some(list) = declared.list(self.folder, self.work)? else {
            self.progress
                .note("Neither requirements.txt nor pyproject.toml names dependencies, so none are installed.");
            return Ok(None);
        };
        self.progress.step(&format!("Installing the dependencies in {}", declared.file()));
        let known = requirements::key(&list, self.folder).map(|list| {
            let base = serde_json::to_vec(base).unwrap_or_default();
            self.interpreter
                .key()
                .with(base)
                .with(format!("{:?}", self.extras))
                .with(declared.file())
                .with(format!("{list:?}"))
        });
        let nothing = Cache::none();
        let (cache, key) = known.map_or((&nothing, Key::default()), |key| (self.cache, key));
        let made = cache.layer("dependencies", &key, (self.work, self.progress, self.cancel), |progress| {
            let target = self.work.join(PACKAGES);
            // A layer that turned out to be damaged is made a second time.
            if target.exists() {
                fs_err::remove_dir_all(&target).map_err(|error| disk::failed("install the dependencies", &error))?;
            }
            fs_err::create_dir_all(&target).map_err(|error| disk::failed("install the dependencies", &error))?;
            dependencies::install(declared, self.folder, self.interpreter, &target, self.work, progress, self.cancel)?;
            let contents = packages::gather(
                self.interpreter,
                (&target, self.work),
                base,
                self.extras,
                self.cache,
                progress,
                self.cancel,
            )?;
            Ok((contents, names(&target)?))
        })?;
        Ok(Some(made))
    }

    /// Whether the module that a container starts with is in the image.
    fn has_module(&self, app: &App, contents: &Contents, installed: &[String]) -> bool {
        let module = app.spec.split([':', '.']).next().unwrap_or_default();
        let place = Path::new("app").join(app.folder.as_deref().unwrap_or(Path::new("")));
        [module.to_owned(), format!("{module}.py")].iter().any(|name| contents.contains(place.join(name)))
            || is_installed(installed, module)
            || self.interpreter.facts.modules.iter().any(|known| known == module)
    }

    fn app(
        &self,
        app: &App,
        installed: &[String],
        packages: Option<&Layer>,
        modules: &Modules,
        rules: &Rules,
    ) -> Result<Layer, Fatal> {
        self.progress.step("Adding the app");
        let mut contents = Contents::new(Times::ByContent);
        tree::add_app(&mut contents, Path::new("app"), self.folder, rules, self.except, self.progress)?;
        if !self.has_module(app, &contents, installed) {
            self.progress.warning(&format!(
                "The module of {} is neither among the app's files nor among its dependencies, so a container will not \
                 start. See to --app and .dockerignore.",
                app.spec
            ));
        }
        let root = Path::new("app").join(app.folder.as_deref().unwrap_or(Path::new("")));
        let image = imports::Image { app: &contents, root: &root, installed, packages, modules };
        let (interpreter, cache, progress, cancel) = (self.interpreter, self.cache, self.progress, self.cancel);
        imports::Look { interpreter, cache, progress, cancel }
            .check(&image, app.spec.split(':').next().unwrap_or_default())?;
        let key = self.interpreter.key().with(contents.key());
        let (layer, ()) = self.cache.layer("app", &key, (self.work, self.progress, self.cancel), |_| {
            let into = self.work.join("app-byte-code");
            fs_err::create_dir_all(&into).map_err(|error| disk::failed("compile the app", &error))?;
            let compiled =
                self.interpreter.compile_with_cache(&contents, Sources::Changeable, self.cache, &into, self.cancel)?;
            for (path, byte_code) in compiled {
                contents.bytes(path, byte_code, false);
            }
            Ok((contents, ()))
        })?;
        Ok(layer)
    }
}

/// The names directly in a folder.
fn names(folder: &Path) -> Result<Vec<String>, Fatal> {
    let failed = |error: std::io::Error| disk::failed("look at the dependencies", &error);
    let mut names = Vec::new();
    for entry in fs_err::read_dir(folder).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
