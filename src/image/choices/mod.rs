//! What can be chosen for an image, on the command line and in the project's `[tool.rwsgi.image]` table.
//!
//! Each choice has one text, read by the same function wherever it stands. What is not chosen is empty here; what then
//! becomes of it is the plan's.

mod copy;
pub mod reference;
mod said;

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

pub use copy::{Copy, KERNELS};
pub use said::Said;

use crate::{
    health::place::Named,
    image::{choices::reference::Reference, filter::ignore::Patterns},
};

/// The file that chooses in a table.
pub const FILE: &str = "pyproject.toml";

/// Where commands are looked for in an image.
pub const PATH: &str = "/usr/local/bin";

/// What was chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choices {
    /// The image's name.
    pub tag: Option<Reference>,
    /// The app, where it is not to be looked for.
    pub app: Option<String>,
    /// The port that the app is to listen on.
    pub port: Option<u16>,
    /// How many workers: a number, or `auto`.
    pub workers: Option<String>,
    /// How many threads a worker has.
    pub threads: Option<u32>,
    /// Variables of its containers.
    pub environment: BTreeMap<String, String>,
    /// Labels beyond those that follow from the project, or in their place.
    pub labels: BTreeMap<String, String>,
    /// Files from elsewhere.
    pub copies: Vec<Said<Copy>>,
    /// Patterns for files that go along although they would stay out.
    pub include: Vec<String>,
    /// Folders below the app's, relative to it, that its containers may write to.
    pub writable: Vec<Said<PathBuf>>,
    /// Whether and how its containers are looked after.
    pub health_check: HealthCheck,
    /// Groups of `project.optional-dependencies`.
    pub extras: Vec<Said<String>>,
    /// Where dependencies come from, if not from a list of them.
    pub from_venv: Said<FromVenv>,
    /// Another Python than the running one, by the folder that it is installed in.
    pub python_from: Option<Said<PathBuf>>,
    /// Patterns for what goes along of Python and of packages although it would stay out.
    pub keep: Vec<String>,
    /// Whether the image is one to look into.
    pub debug: bool,
    /// Whether packages come without their sources.
    pub slim: bool,
}

/// How an engine finds out whether a container is well.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum HealthCheck {
    /// By asking for `/`.
    #[default]
    Usual,
    /// Not at all.
    Off,
    /// By asking for this path, or URL.
    At(String),
}

/// Whether an environment is packaged as it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum FromVenv {
    /// Nothing was said of it.
    #[default]
    Unsaid,
    /// No: dependencies are installed anew.
    No,
    /// The one in use.
    InUse,
    /// The one in this folder.
    Folder(PathBuf),
}

impl Choices {
    /// These, and where nothing was chosen, those `below`. Lists and tables are joined.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        let joined = |mut one: BTreeMap<_, _>, other: BTreeMap<_, _>| {
            one.extend(other);
            one
        };
        Self {
            tag: self.tag.or(below.tag),
            app: self.app.or(below.app),
            port: self.port.or(below.port),
            workers: self.workers.or(below.workers),
            threads: self.threads.or(below.threads),
            environment: joined(below.environment, self.environment),
            labels: joined(below.labels, self.labels),
            copies: [below.copies, self.copies].concat(),
            include: [below.include, self.include].concat(),
            writable: [below.writable, self.writable].concat(),
            health_check: if self.health_check == HealthCheck::Usual { below.health_check } else { self.health_check },
            extras: [below.extras, self.extras].concat(),
            from_venv: if *self.from_venv == FromVenv::Unsaid { below.from_venv } else { self.from_venv },
            python_from: self.python_from.or(below.python_from),
            keep: [below.keep, self.keep].concat(),
            debug: self.debug || below.debug,
            slim: self.slim || below.slim,
        }
    }
}

/// `NAME=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("it has no =, as in NAME=VALUE".to_owned()),
    }
}

/// A variable that a container may have.
pub fn variable((name, value): (String, String)) -> Result<(String, String), String> {
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '=') {
        return Err(format!("{name:?} is not a variable's name"));
    }
    if value.contains('\0') {
        return Err(format!("the value of {name} has a zero byte in it"));
    }
    // Nothing would be found any more, the server first.
    if name == "PATH" && !value.split(':').any(|folder| folder == PATH) {
        return Err(format!("PATH must have {PATH} in it, where rwsgi is"));
    }
    Ok((name, value))
}

/// A label, whose name is not empty.
pub fn label((name, value): (String, String)) -> Result<(String, String), String> {
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("{name:?} is not a label's name"));
    }
    Ok((name, value))
}

/// A number of workers, or `auto`.
pub fn workers(text: &str) -> Result<String, String> {
    if text == "auto" || text.parse::<u32>().is_ok_and(|number| number > 0) {
        return Ok(text.to_owned());
    }
    Err("it is neither a number from 1 nor auto".to_owned())
}

/// An app, `MODULE`, `MODULE:NAME` or `MODULE:FACTORY(...)`.
pub fn app(text: &str) -> Result<String, String> {
    let is_name = |text: &str| {
        !text.starts_with(|c: char| c.is_ascii_digit())
            && !text.is_empty()
            && text.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    let (module, object) = text.split_once(':').unwrap_or((text, ""));
    if let Some(module) = module.strip_suffix(".py") {
        return Err(format!("a module is named without .py, as in {}:app", module.replace('/', ".")));
    }
    if !module.split('.').all(is_name) {
        return Err(format!("{module:?} is not a module's name. It is MODULE:NAME, as in app:app"));
    }
    let (name, arguments) = object.split_once('(').map_or((object, None), |(name, rest)| (name, Some(rest)));
    if !(is_name(name) || object.is_empty()) || arguments.is_some_and(|rest| !rest.ends_with(')')) {
        return Err(format!("{object:?} is neither a name nor a call, as app:app and app:create_app() have it"));
    }
    Ok(text.to_owned())
}

/// A pattern as in .dockerignore that names something.
pub fn pattern(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.starts_with(['!', '#']) || text.contains('\n') {
        return Err("it is not a pattern".to_owned());
    }
    Patterns::parse("", text).map_err(|error| format!("it {}", error.reason()))?;
    Ok(text.to_owned())
}

/// A folder below the app's, relative to it.
pub fn writable(text: &str) -> Result<PathBuf, String> {
    let mut place = PathBuf::from("/");
    for part in Path::new("/app").join(text).components() {
        match part {
            Component::Normal(name) => place.push(name),
            Component::ParentDir => drop(place.pop()),
            _ => {}
        }
    }
    match place.strip_prefix("/app") {
        Ok(folder) if folder == Path::new("") => {
            Err("it is the app's folder itself, whose code nobody is to change. Name one in it".to_owned())
        }
        Ok(folder) => Ok(folder.to_owned()),
        Err(_) => {
            Err("it is not below /app. Elsewhere, mount a volume or a tmpfs that the user 65532 may write to"
                .to_owned())
        }
    }
}

/// What a health check asks for: a path or a URL.
pub fn health_check(text: &str) -> Result<HealthCheck, String> {
    let is_path = text.starts_with('/') && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    let is_url = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme)) && text.parse::<Named>().is_ok();
    if is_path || is_url {
        return Ok(HealthCheck::At(text.to_owned()));
    }
    Err("it is neither a path, which begins with /, nor a URL".to_owned())
}

/// Whether a variable's name says that its value is nobody else's business.
pub fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let words = ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "CREDENTIAL", "PRIVATE", "API_KEY", "APIKEY", "ACCESS_KEY"];
    words.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::{
        Choices, HealthCheck, app, health_check, label, pair, pattern, sounds_secret, variable, workers, writable,
    };

    #[test]
    fn what_is_nearer_counts_and_lists_are_joined() {
        let table = |text: &str| [pair(text).unwrap()].into();
        let below = Choices {
            port: Some(80),
            threads: Some(2),
            environment: table("A=1"),
            include: vec!["a".to_owned()],
            health_check: HealthCheck::Off,
            ..Choices::default()
        };
        let above =
            Choices { port: Some(81), environment: table("A=2"), include: vec!["b".to_owned()], ..below.clone() };
        let above = Choices { threads: None, health_check: HealthCheck::Usual, ..above };
        let both = above.over(below);
        assert_eq!((both.port, both.threads, both.health_check), (Some(81), Some(2), HealthCheck::Off));
        assert_eq!((both.environment, both.include), (table("A=2"), vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn an_app_is_a_module_and_perhaps_a_name_or_a_call_in_it() {
        for taken in ["app", "app:app", "shop.web:create_app()", "run:make(1, debug=False)", "app:", "größe:app_2"] {
            assert!(app(taken).is_ok(), "{taken}");
        }
        for (refused, why) in [
            ("", "is not a module's name"),
            ("app.py", "without .py, as in app:app"),
            ("web/app.py:app", "without .py, as in web.app:app"),
            ("my-app:app", "is not a module's name"),
            ("a..b:app", "is not a module's name"),
            ("1a:app", "is not a module's name"),
            ("app:a-b", "neither a name nor a call"),
            ("app:app()x", "neither a name nor a call"),
            ("app:make(", "neither a name nor a call"),
            ("app:(x)", "neither a name nor a call"),
        ] {
            assert!(app(refused).is_err_and(|error| error.contains(why)), "{refused}");
        }
    }

    #[test]
    fn what_may_be_written_to_is_below_the_app() {
        for (text, folder) in
            [("instance", "instance"), ("/app/var/data/", "var/data"), ("./a/../b", "b"), ("../app/x", "x")]
        {
            assert_eq!(writable(text), Ok(folder.into()), "{text}");
        }
        for text in ["", ".", "/app", "a/..", "/data", "../data", "/app/../data", "/application"] {
            assert!(writable(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(pair("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        for refused in ["A", ""] {
            assert!(pair(refused).is_err(), "{refused}");
        }
        for refused in ["=b", "A B=c", "PATH=/usr/bin", "A=\0"] {
            assert!(pair(refused).and_then(variable).is_err(), "{refused}");
        }
        assert!(pair("PATH=/opt:/usr/local/bin").and_then(variable).is_ok());
        assert!(pair("=x").and_then(label).is_err());
        for (text, right) in [("auto", true), ("3", true), ("0", false), ("-1", false), ("many", false)] {
            assert_eq!(workers(text).is_ok(), right, "{text}");
        }
        for (text, right) in [("/", true), ("/a?b", true), ("a", false), ("/a b", false), ("https://[::1]:1/", true)] {
            assert_eq!(health_check(text).is_ok(), right, "{text}");
        }
        for (text, right) in
            [("**/tests", true), ("", false), (" ", false), ("!x", false), ("#x", false), ("a[", false)]
        {
            assert_eq!(pattern(text).is_ok(), right, "{text}");
        }
        assert!(pattern("x\ny").is_err());
        assert!(sounds_secret("DB_PASSWORD") && sounds_secret("stripe_api_key") && !sounds_secret("LOG_LEVEL"));
    }
}
