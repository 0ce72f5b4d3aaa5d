//! Where an app says what it needs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{environment::Environment, groups, lines, locked};
use crate::{
    exit::Fatal,
    image::{
        choices::Choices,
        filter::secrets::without_passwords,
        interpreter::Facts,
        job::{
            disk,
            progress::{Cancel, Progress},
        },
        project::pyproject::{Dependencies, FILE, Listed, Project, Setting},
    },
};

const REQUIREMENTS: &str = "requirements.txt";
const PIPFILE: &str = "Pipfile";
/// What to do where only a tool of the project's own knows what is to be installed.
const EXPORT: &str = "Export the dependencies to a requirements.txt, which comes first, or package the environment in use with \
                      --from-venv";
/// The locks beside a list, why they may go unread, and what to do then.
const LOCKS: [(&str, &str, &str); 4] = [
    (
        locked::FILE,
        "since no uv is there to read it",
        "Install uv (pip install uv), or export them on a machine that has it: uv export --no-dev --no-emit-project -o \
         requirements.txt",
    ),
    ("poetry.lock", "which only Poetry reads", "Export them: poetry export -o requirements.txt"),
    ("pdm.lock", "which only PDM reads", "Export them: pdm export --prod -o requirements.txt"),
    ("pylock.toml", "which is not read", "Export them to a requirements.txt with the tool that has made it."),
];

/// Where an app says what it needs.
#[derive(Debug, Eq, PartialEq)]
pub enum Declared {
    /// In a `requirements.txt`.
    Requirements,
    /// In its `pyproject.toml`.
    Project(Vec<Listed>),
    /// The same, and a list with the versions of its lock.
    Locked(Vec<Listed>, String),
    /// It is what an environment has.
    Environment(Environment),
    /// Nowhere.
    Nowhere,
}

impl Declared {
    /// Looks into `folder` and its `project`, or the environment that was chosen.
    ///
    /// # Errors
    /// Extras that the project does not have, a list that cannot be read, or an environment that cannot be packaged.
    pub fn find(
        folder: &Path,
        project: &Project,
        choices: &Choices,
        facts: &Facts,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Self, Fatal> {
        let environment = Environment::find(&choices.from_venv, folder, facts, progress);
        if let Some(environment) = environment.map_err(|error| choices.from_venv.locate(error))? {
            let Some(extra) = choices.extras.first() else { return Ok(Self::Environment(environment)) };
            return Err(extra.locate(Fatal::new(format!(
                "The extra {} is one of {FILE}, but the dependencies are what {} has. Install it there, and leave out the \
                 extra.",
                **extra,
                environment.shown()
            ))));
        }
        let declared = Self::of(folder, project, choices)?;
        declared.warn_of_indexes(project, progress);
        let Self::Project(list) = declared else { return Ok(declared) };
        refuse_sources(&list, &project.sources)?;
        let is_locked = !list.is_empty() && folder.join(locked::FILE).is_file();
        if is_locked && let Some(text) = locked::export(folder, &choices.extras, facts, cancel)? {
            return Ok(Self::Locked(list, text));
        }
        refuse_sources(&list, &project.settled_sources)?;
        if !list.is_empty() {
            warn_of_lock(folder, progress);
        }
        Ok(Self::Project(list))
    }

    /// Warns of package indexes that pip is not told of.
    fn warn_of_indexes(&self, project: &Project, progress: &dyn Progress) {
        let Some(Setting { key, line }) = project.indexes.first() else { return };
        if matches!(self, Self::Project(list) if !list.is_empty()) {
            progress.warning(&format!(
                "{FILE}, line {line}: {key} is not for pip, which takes packages from the index of its own settings: name \
                 it there (PIP_INDEX_URL), or export the dependencies to a {REQUIREMENTS} that names it."
            ));
        }
    }

    /// What is said where nothing is declared: with the files in `folder` that may say what the app needs, and are not read.
    pub fn nowhere(folder: &Path) -> String {
        let start = format!("Neither {REQUIREMENTS} nor {FILE} names dependencies, so none are installed");
        if let Some(list) = lists(folder).first() {
            return format!(
                "{start}. There is {list}: a {REQUIREMENTS} with the line \"-r {list}\" installs what it lists."
            );
        }
        match ["setup.py", "setup.cfg"].iter().find(|name| folder.join(name).is_file()) {
            Some(name) => {
                format!("{start}. There is {name}: a {REQUIREMENTS} with the line \".\" installs what it names.")
            }
            None => format!("{start}."),
        }
    }

    fn of(folder: &Path, project: &Project, choices: &Choices) -> Result<Self, Fatal> {
        let list = folder.join(REQUIREMENTS);
        if !list.is_file() && fs_err::symlink_metadata(&list).is_ok() {
            let what = if list.is_dir() { "a folder" } else { "no file, or a link to none" };
            return Err(Fatal::new(format!(
                "The dependencies cannot be read from {REQUIREMENTS}, which is {what}. Correct it, or remove it."
            )));
        }
        if list.is_file() {
            if let Some(extra) = choices.extras.first() {
                return Err(extra.locate(Fatal::new(format!(
                    "The extra {} is one of {FILE}, but the dependencies are those in {REQUIREMENTS}. Add what it \
                     stands for there, or leave out the extra.",
                    **extra
                ))));
            }
            return Ok(Self::Requirements);
        }
        let listed = match &project.dependencies {
            Dependencies::Listed(list) => list.as_slice(),
            Dependencies::Absent if folder.join(PIPFILE).is_file() => {
                return Err(Fatal::new(format!(
                    "The dependencies cannot be read from {PIPFILE}, which lists them for Pipenv only. Export them with \
                     pipenv requirements > {REQUIREMENTS}, or package the environment in use with --from-venv."
                )));
            }
            Dependencies::Absent if choices.extras.is_empty() => return Ok(Self::Nowhere),
            Dependencies::Absent => &[],
            Dependencies::Elsewhere(how) => {
                return Err(Fatal::new(format!("The dependencies cannot be read from {FILE}, which {how}. {EXPORT}.")));
            }
        };
        let mut list = groups::List::of(project);
        listed.iter().try_for_each(|listed| list.add(listed, None))?;
        for extra in &choices.extras {
            let group = list.group(extra).map_err(|error| extra.locate(error))?;
            list.add_group(extra, group, None)?;
        }
        Ok(Self::Project(list.all))
    }

    /// The requirement file to install from; one of our own, in `work`, where there is none.
    pub(super) fn list(&self, folder: &Path, work: &Path) -> Result<Option<PathBuf>, Fatal> {
        match self {
            Self::Nowhere | Self::Environment(_) => Ok(None),
            Self::Requirements => Ok(Some(folder.join(REQUIREMENTS))),
            Self::Project(list) => {
                let lines: Vec<_> = list.iter().map(|listed| listed.requirement.as_str()).collect();
                written(work, &(lines.join("\n") + "\n")).map(Some)
            }
            Self::Locked(_, text) => written(work, text).map(Some),
        }
    }

    /// The file's name, for messages.
    pub fn file(&self) -> &str {
        match self {
            Self::Requirements => REQUIREMENTS,
            Self::Project(_) => FILE,
            Self::Locked(..) => locked::FILE,
            Self::Environment(environment) => environment.shown(),
            Self::Nowhere => "nothing",
        }
    }

    /// Which line of which file asks for `package` by a folder, a file or an address, and how.
    pub fn elsewhere(&self, folder: &Path, package: &str) -> Option<(String, String)> {
        let (place, own) = match self {
            Self::Requirements => lines::read(&folder.join(REQUIREMENTS))
                .iter()
                .find_map(|line| Some((line.shown(folder), lines::place_of(&line.text, package)?)))?,
            Self::Project(list) | Self::Locked(list, _) => list.iter().find_map(|listed| {
                Some((format!("Line {} of {FILE}", listed.line), lines::place_of(&listed.requirement, package)?))
            })?,
            Self::Nowhere | Self::Environment(_) => return None,
        };
        Some((place, without_passwords(&own)))
    }

    /// Which line of which file asks for `wanted`, for messages; none where it follows from another requirement.
    pub fn place(&self, folder: &Path, wanted: &str) -> Option<String> {
        match self {
            Self::Requirements => {
                let lines = lines::read(&folder.join(REQUIREMENTS));
                lines::asking_for(&lines, wanted).map(|line| line.shown(folder))
            }
            Self::Project(list) | Self::Locked(list, _) => {
                let listed = list.iter().find(|listed| lines::asks_for(&listed.requirement, wanted))?;
                Some(format!("Line {} of {FILE}", listed.line))
            }
            Self::Nowhere | Self::Environment(_) => None,
        }
    }
}

/// Warns of a lock in `folder` that nothing reads here.
fn warn_of_lock(folder: &Path, progress: &dyn Progress) {
    let Some((name, why, advice)) = LOCKS.iter().find(|(name, ..)| folder.join(name).is_file()) else { return };
    progress.warning(&format!(
        "Versions are not those of {name}, {why}: what {FILE} allows is installed as it is in the package index now. {advice}"
    ));
}

/// Refuses a list with packages that come from one of the `sources`.
fn refuse_sources(list: &[Listed], sources: &BTreeMap<String, Setting>) -> Result<(), Fatal> {
    let source = list.iter().find_map(|listed| {
        let wanted = lines::name(&listed.requirement);
        sources.iter().find(|(name, _)| lines::name(name) == wanted)
    });
    let Some((_, Setting { key, line })) = source else { return Ok(()) };
    Err(Fatal::new(format!(
        "{FILE}, line {line}: {key} says where that package comes from, which only the tool itself follows, and the package index \
         may have another one of that name. {EXPORT}."
    )))
}

/// Writes a list of our own.
fn written(work: &Path, text: &str) -> Result<PathBuf, Fatal> {
    let file = work.join("dependencies.txt");
    fs_err::write(&file, text).map_err(|error| disk::failed("write the list of dependencies", &error))?;
    Ok(file)
}

/// The lists in a folder of them.
fn lists(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("requirements")).into_iter().flatten().filter_map(Result::ok);
    let is_list = |file: &Path| file.extension().is_some_and(|end| end == "txt") && file.is_file();
    let names = entries.filter(|entry| is_list(&entry.path())).filter_map(|entry| entry.file_name().into_string().ok());
    let mut lists: Vec<_> = names.map(|name| format!("requirements/{name}")).collect();
    // What an app needs when it runs, if it is called so.
    lists.sort_by_key(|name| (!["prod", "base", "main"].iter().any(|word| name.contains(word)), name.clone()));
    lists
}

#[cfg(test)]
mod tests {
    use super::{Declared, refuse_sources, warn_of_lock};
    use crate::image::choices::{Choices, Said};
    use crate::image::job::progress::Silent;
    use crate::image::job::recording::Recording;
    use crate::image::project::pyproject::{Dependencies, Listed, Project, Setting};

    #[test]
    fn a_project_and_its_extras_declare_dependencies() {
        let folder = tempfile::tempdir().unwrap();
        let listed = |requirement: &str, line| Listed { requirement: requirement.to_owned(), line };
        let project = Project {
            dependencies: Dependencies::Listed(vec![listed("flask>=3", 3)]),
            optional: [("Fast_JSON".to_owned(), vec![listed("orjson", 5)])].into(),
            ..Project::default()
        };
        let chosen = |extras: &[&str]| Choices {
            extras: extras.iter().map(|extra| Said::on_line(9, (*extra).to_owned())).collect(),
            ..Choices::default()
        };
        let found = Declared::of(folder.path(), &project, &chosen(&["fast-json"])).unwrap();
        assert_eq!(found, Declared::Project(vec![listed("flask>=3", 3), listed("orjson", 5)]));
        assert_eq!(found.place(folder.path(), "Flask").as_deref(), Some("Line 3 of pyproject.toml"));
        assert_eq!(found.place(folder.path(), "jinja2"), None);
        let error = Declared::of(folder.path(), &project, &chosen(&["slow"])).unwrap_err().to_string();
        assert!(error.starts_with("pyproject.toml, line 9: There is no extra slow"), "{error}");
        assert!(error.contains("has Fast_JSON"), "{error}");
        let itself = Project {
            name: Some("shop".to_owned()),
            dependencies: Dependencies::Listed(vec![listed("shop[fast-json]", 3)]),
            optional: project.optional.clone(),
            ..Project::default()
        };
        let found = Declared::of(folder.path(), &itself, &chosen(&[])).unwrap();
        assert_eq!(found, Declared::Project(vec![listed("orjson", 5)]));
        let nowhere = Declared::of(folder.path(), &Project::default(), &chosen(&[]));
        assert_eq!(nowhere, Ok(Declared::Nowhere));
        std::fs::write(folder.path().join("requirements.txt"), "flask\n").unwrap();
        assert_eq!(Declared::of(folder.path(), &project, &chosen(&[])), Ok(Declared::Requirements));
        assert!(Declared::of(folder.path(), &project, &chosen(&["fast-json"])).is_err());
        let project = Project { dependencies: Dependencies::Elsewhere("says x"), ..Project::default() };
        std::fs::remove_file(folder.path().join("requirements.txt")).unwrap();
        assert!(Declared::of(folder.path(), &project, &chosen(&[])).is_err());
    }

    #[test]
    fn what_comes_from_elsewhere_than_the_package_index_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let listed = |requirement: &str| vec![Listed { requirement: requirement.to_owned(), line: 2 }];
        let setting = |key: &str| Setting { key: key.to_owned(), line: 9 };
        let project = Project {
            dependencies: Dependencies::Listed(listed("flask")),
            optional: [("ours".to_owned(), listed("Shop_Core>=1"))].into(),
            sources: [("shop.core".to_owned(), setting("tool.uv.sources.shop.core"))].into(),
            indexes: vec![setting("tool.uv.index")],
            ..Project::default()
        };
        let found = Declared::of(folder.path(), &project, &Choices::default()).unwrap();
        let told = Recording::new(&Silent);
        found.warn_of_indexes(&project, &told);
        assert!(told.warnings()[0].starts_with("pyproject.toml, line 9: tool.uv.index is not for pip, which"));
        let chosen = Choices { extras: vec![Said::on_command_line("ours".to_owned())], ..Choices::default() };
        let Ok(Declared::Project(list)) = Declared::of(folder.path(), &project, &chosen) else { panic!("no list") };
        assert_eq!(refuse_sources(&list[..1], &project.sources), Ok(()));
        let error = refuse_sources(&list, &project.sources).unwrap_err().to_string();
        let said = "pyproject.toml, line 9: tool.uv.sources.shop.core says where that package comes from, which only ";
        assert!(error.starts_with(said), "{error}");
        assert!(error.contains("Export the dependencies to a requirements.txt, which comes first, or"), "{error}");
    }

    #[test]
    fn a_lock_that_is_not_read_is_told_with_a_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let told = Recording::new(&Silent);
        warn_of_lock(folder.path(), &told);
        assert_eq!(told.warnings(), [""; 0]);
        for (name, advice) in [
            ("pylock.toml", "Export them to a requirements.txt"),
            ("pdm.lock", "pdm export --prod -o requirements.txt"),
            ("poetry.lock", "poetry export -o requirements.txt"),
            ("uv.lock", "uv export --no-dev --no-emit-project -o requirements.txt"),
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
            let told = Recording::new(&Silent);
            warn_of_lock(folder.path(), &told);
            let warning = &told.warnings()[0];
            assert!(warning.starts_with(&format!("Versions are not those of {name}, ")), "{warning}");
            assert!(warning.contains(advice), "{warning}");
        }
    }

    #[test]
    fn what_is_listed_for_other_tools_is_told_with_a_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        };
        assert!(Declared::nowhere(folder.path()).ends_with("so none are installed."));
        write("setup.cfg");
        assert!(Declared::nowhere(folder.path()).contains("There is setup.cfg"));
        write("requirements/dev.txt");
        write("requirements/prod.txt");
        assert!(Declared::nowhere(folder.path()).contains("the line \"-r requirements/prod.txt\""));

        write("Pipfile");
        let of = |project: &Project| Declared::of(folder.path(), project, &Choices::default());
        let error = of(&Project::default()).unwrap_err().to_string();
        assert!(error.contains("pipenv requirements > requirements.txt"), "{error}");
        let project = Project { dependencies: Dependencies::Listed(Vec::new()), ..Project::default() };
        assert_eq!(of(&project), Ok(Declared::Project(Vec::new())));
        let list = folder.path().join("requirements.txt");
        std::os::unix::fs::symlink("gone.txt", &list).unwrap();
        assert!(
            of(&project).unwrap_err().to_string().contains("requirements.txt, which is no file, or a link to none.")
        );
        std::fs::remove_file(&list).unwrap();
        std::fs::create_dir(&list).unwrap();
        assert!(
            of(&project)
                .unwrap_err()
                .to_string()
                .contains("requirements.txt, which is a folder. Correct it, or remove")
        );
        std::fs::remove_dir(&list).unwrap();
        write("requirements.txt");
        assert_eq!(of(&Project::default()), Ok(Declared::Requirements));
    }
}
