//! Whether an app can be served from its image, as far as its module's file and its source tell: before anything is made.

use std::path::{Path, PathBuf};

use super::{
    App,
    candidates::{self, Objection, Sources},
    configuration, text,
};
use crate::{
    exit::Fatal,
    image::{
        cache::Cache, choices::Choices, filter::ignore::Patterns, interpreter::Interpreter, job::progress::Cancel,
    },
    settings::CMD_ARGS,
};

impl App {
    /// The folder that it is served from, where `folder` is the app's.
    pub fn root(&self, folder: &Path) -> PathBuf {
        folder.join(self.folder.as_deref().unwrap_or(Path::new("")))
    }

    /// What `PYTHONPATH` lets other commands in the image find it as the server does, where it is not in the working directory.
    /// Nothing where a file of its own would then hide one of the standard library's `modules`.
    pub fn python_path(&self, folder: &Path, modules: &[String]) -> Option<String> {
        let below = self.folder.as_ref()?;
        let mut names =
            std::fs::read_dir(folder.join(below)).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let hides = |name: String| modules.iter().any(|module| name.split('.').next() == Some(module));
        (!names.any(hides)).then(|| format!("/app/{}", below.display()))
    }

    /// The module that it is in.
    pub fn module(&self) -> &str {
        self.spec.split(':').next().unwrap_or_default()
    }

    /// Why it cannot be served: an error.
    pub fn refused(&self, why: &str) -> Fatal {
        Fatal::new(format!("{} ({}) cannot be served: {why}", self.spec, self.reason))
    }

    /// Whether nobody can tell where its containers look for modules: a configuration or variables have a say in it.
    pub fn is_moved(&self, folder: &Path, choices: &Choices) -> bool {
        let variables = &choices.environment;
        variables.contains_key("PYTHONPATH")
            || CMD_ARGS
                .iter()
                .any(|name| variables.get(*name).is_some_and(|options| configuration::options_move(options)))
            || text(&folder.join(configuration::FILE)).is_some_and(|text| configuration::moves(&text))
    }

    /// Refuses it if it is in `folder`, and its file stays out of the image or for certain has no such app.
    ///
    /// # Errors
    /// It cannot be served.
    pub fn check(
        &self,
        folder: &Path,
        ignored: &Patterns,
        choices: &Choices,
        interpreter: &Interpreter,
        cache: &Cache,
        cancel: &Cancel,
    ) -> Result<(), Fatal> {
        let file = candidates::file_of_module(&self.root(folder), self.module());
        let Some(file) = file.as_ref().and_then(|file| file.strip_prefix(folder).ok()) else { return Ok(()) };
        let place = Path::new("app").join(file);
        if self.is_moved(folder, choices) || choices.copies.iter().any(|copy| place.starts_with(&copy.place)) {
            return Ok(());
        }
        let shown = file.display();
        if ignored.matches(&shown.to_string()) {
            return Err(self.refused(&format!(
                ".dockerignore leaves {shown} out of the image. Let it in (a last line !{shown} does), or name another app \
                 with --app."
            )));
        }
        let object = self.spec.split_once(':').map_or("", |(_, object)| object);
        let look = |file: &Path| Sources::look(folder, [file.to_owned()], interpreter, cache, cancel);
        let sources = look(file)?;
        // An app that is imported is judged where it is made.
        if let Some((module, name)) = sources.origin(file, self.module(), object)
            && let Some(made) = candidates::file_of_module(&self.root(folder), &module)
            && let Ok(made) = made.strip_prefix(folder)
            && let Some(Objection::Certain(why)) = look(made)?.objection(made, &name)
        {
            return Err(self.refused(&why));
        }
        match sources.objection(file, object) {
            Some(Objection::Certain(why)) => Err(self.refused(&why)),
            Some(Objection::NoName(why, has)) if !self.may_be_given(folder, file, object) => {
                let has: Vec<_> = has.iter().map(|name| format!("--app '{}:{name}'", self.module())).collect();
                let advice = match &has[..] {
                    [] => "Correct that, or name another app with --app MODULE:NAME.".to_owned(),
                    has => format!("Name what it has: {}.", has.join(" or ")),
                };
                Err(self.refused(&format!("{why} {advice}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether its module may be given a name from elsewhere: there is a module below it of that name, which an import makes
    /// known there, or another file has `module.name = ...`.
    fn may_be_given(&self, folder: &Path, file: &Path, object: &str) -> bool {
        let name = object.split(['.', '(']).next().unwrap_or_default();
        let names = if name.is_empty() { &["application", "app"][..] } else { &[name] };
        let below = folder.join(file).with_file_name("");
        let is_package = file.file_name().is_some_and(|name| name == "__init__.py");
        let is_below = |name: &str| {
            std::fs::read_dir(&below).is_ok_and(|all| {
                let mut found = all.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
                found.any(|file| file.split('.').next() == Some(name))
            })
        };
        if is_package && names.iter().any(|name| is_below(name)) {
            return true;
        }
        let last = self.module().rsplit('.').next().unwrap_or_default();
        let sets = |text: &str| {
            names.iter().any(|name| {
                let full = format!("{last}.{name}");
                text.split(&full)
                    .skip(1)
                    .map(str::trim_start)
                    .any(|rest| rest.starts_with('=') && !rest.starts_with("==") || rest.starts_with(':'))
            })
        };
        let files = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
        let mut python = files.filter(|entry| entry.path().extension().is_some_and(|end| end == "py"));
        python.any(|entry| text(entry.path()).is_some_and(|text| sets(&text)))
    }
}
