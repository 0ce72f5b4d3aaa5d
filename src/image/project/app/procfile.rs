//! The app that the `web` line of a Procfile serves, if it is one of the servers whose command lines are known.

use std::path::{Component, Path, PathBuf};

/// What a command line serves.
#[derive(Debug, Eq, PartialEq)]
pub struct Served {
    /// The app.
    pub spec: String,
    /// The folder that it changes to.
    pub folder: Option<PathBuf>,
}

const SERVERS: [&str; 6] = ["gunicorn", "rwsgi", "granian", "uwsgi", "waitress-serve", "bjoern"];
/// Options of theirs that take no value, so that the word behind is not theirs.
const FLAGS: [&str; 16] = [
    "--reload",
    "--preload",
    "--preload-app",
    "--daemon",
    "-D",
    "--spew",
    "--check-config",
    "--print-config",
    "--no-sendfile",
    "--reuse-port",
    "-R",
    "--enable-stdio-inheritance",
    "--capture-output",
    "--access-log",
    "--factory",
    "--call",
];
/// Options whose value may look like an app and is none.
const NO_APPS: [&str; 11] =
    ["c", "config", "k", "worker-class", "logger-class", "b", "bind", "s", "socket", "http", "http-socket"];
/// How names end of what a server is configured by.
const CONFIGURATIONS: [&str; 5] = ["ini", "yml", "yaml", "xml", "json"];

/// Reads the `web` line of a Procfile.
pub fn web(procfile: &str) -> Option<Served> {
    let line = procfile.lines().find_map(|line| line.trim_start().strip_prefix("web:"))?;
    served(&shlex::split(line)?)
}

fn served(words: &[String]) -> Option<Served> {
    let start = words.iter().position(|word| {
        let name = word.rsplit('/').next().unwrap_or(word);
        SERVERS.contains(&name)
    })?;
    let mut served = Served { spec: String::new(), folder: None };
    let mut folder = changed_to(&words[..start]);
    let (mut factory, mut callable, mut swallowed, mut chdir, mut path) = (false, None, None, None, None);
    let mut arguments = words[start + 1..].iter().peekable();
    while let Some(word) = arguments.next() {
        if word == "&&" || word == ";" || word == "|" {
            break;
        }
        if !is_option(word) {
            if served.spec.is_empty() && looks_like_spec(word) && !is_configuration(word) {
                served.spec.clone_from(word);
            }
            continue;
        }
        let option = word.trim_start_matches('-');
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None if FLAGS.contains(&word.as_str()) => (option, None),
            None => (option, arguments.next_if(|next| !is_option(next)).cloned()),
        };
        match (name, value) {
            ("chdir", Some(further)) => chdir = Some(further),
            // Of several, no one folder does what all of them do.
            ("pythonpath", Some(further)) if Path::new(&further).is_relative() && !further.contains(',') => {
                path = Some(further);
            }
            ("w" | "module", Some(module)) if looks_like_spec(&module) => served.spec = module,
            ("wsgi-file", Some(file)) => served.spec = file.trim_end_matches(".py").replace('/', "."),
            ("callable", Some(name)) => callable = Some(name),
            ("factory" | "call", _) => factory = true,
            // A flag that is not known here has no value: the word behind it may be the app.
            (name, Some(value)) if name == option && !NO_APPS.contains(&name) && names_app(&value) => {
                swallowed = Some(value);
            }
            _ => {}
        }
    }
    if served.spec.is_empty() {
        served.spec = swallowed.unwrap_or_default();
    }
    if let Some(callable) = callable.filter(|_| !served.spec.is_empty() && !served.spec.contains(':')) {
        served.spec = format!("{}:{callable}", served.spec);
    }
    if factory && !served.spec.is_empty() && !served.spec.ends_with(')') {
        served.spec.push_str("()");
    }
    folder.extend(chdir.or(path));
    served.folder = below(&folder);
    (!served.spec.is_empty()).then_some(served)
}

/// Whether a word is an option; `-` alone is standard output.
fn is_option(word: &str) -> bool {
    word.starts_with('-') && word != "-"
}

/// Whether a word is a spec with more than a module, which any word may be.
fn names_app(word: &str) -> bool {
    word.contains(':') && looks_like_spec(word)
}

fn is_configuration(word: &str) -> bool {
    Path::new(word).extension().is_some_and(|extension| CONFIGURATIONS.iter().any(|known| extension == *known))
}

/// The folder that a shell changes to in these words (`cd backend && ...`).
fn changed_to(words: &[String]) -> PathBuf {
    words.windows(2).filter(|pair| pair[0] == "cd").map(|pair| pair[1].trim_end_matches(';')).collect()
}

/// A folder without detours, if it is below the one that it begins in.
fn below(folder: &Path) -> Option<PathBuf> {
    let mut place = PathBuf::new();
    for part in folder.components() {
        match part {
            Component::Normal(name) => place.push(name),
            Component::CurDir => {}
            Component::ParentDir if place.pop() => {}
            _ => return None,
        }
    }
    Some(place).filter(|place| *place != Path::new(""))
}

/// `module`, `module:name`, `module:factory(...)`.
fn looks_like_spec(word: &str) -> bool {
    let name = |text: &str| {
        !text.is_empty()
            && !text.starts_with(|c: char| c.is_ascii_digit())
            && text.split('.').all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_'))
    };
    let (module, attribute) =
        word.split_once(':').map_or((word, None), |(module, attribute)| (module, Some(attribute)));
    name(module) && attribute.is_none_or(|attribute| name(attribute.split('(').next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::{Served, web};

    #[test]
    fn the_app_is_found_behind_a_servers_options() {
        for (line, spec) in [
            ("web: gunicorn app:app", "app:app"),
            (
                "release: x\nweb: gunicorn -w 4 -b 0.0.0.0:$PORT --preload pkg.wsgi:application --log-file -",
                "pkg.wsgi:application",
            ),
            ("web: python -m gunicorn --bind=:8000 'pkg:create_app(\"x\")'", "pkg:create_app(\"x\")"),
            ("web: FOO=1 exec venv/bin/gunicorn app", "app"),
            ("web: gunicorn -k gevent -c conf.py hello:app", "hello:app"),
            ("web: uwsgi --http :5000 --module pkg.main:app", "pkg.main:app"),
            ("web: uwsgi --wsgi-file src/app.py --callable server", "src.app:server"),
            ("web: granian --interface wsgi --factory pkg:make", "pkg:make()"),
            ("web: waitress-serve --port=80 app:app", "app:app"),
            ("web: waitress-serve --call pkg:create_app", "pkg:create_app()"),
            ("web: gunicorn --log-file - server:server", "server:server"),
            ("web: gunicorn --proxy-protocol server:server", "server:server"),
            ("web: gunicorn --proxy-protocol -c python:conf -b unix:app.sock server:server", "server:server"),
            (r#"web: gunicorn --access-logformat "%(h)s \"%(r)s\"" pkg:create_app\(\)"#, "pkg:create_app()"),
        ] {
            assert_eq!(web(line).map(|served| served.spec).as_deref(), Some(spec), "{line}");
        }
    }

    #[test]
    fn another_folder_is_kept() {
        for (line, folder) in [
            ("web: gunicorn --chdir src app:app", Some("src")),
            ("web: cd backend && gunicorn app:app", Some("backend")),
            ("web: cd backend; cd api ; exec gunicorn --chdir src app:app", Some("backend/api/src")),
            ("web: cd ./a/../backend && gunicorn --chdir . app:app", Some("backend")),
            ("web: gunicorn --pythonpath src app:app", Some("src")),
            ("web: gunicorn --pythonpath src --chdir web app:app", Some("web")),
            ("web: gunicorn --pythonpath src,lib app:app", None),
            ("web: cd /srv && gunicorn app:app", None),
            ("web: cd ../other && gunicorn app:app", None),
            ("web: cd backend && cd .. && gunicorn app:app", None),
        ] {
            let folder = folder.map(Into::into);
            assert_eq!(web(line), Some(Served { spec: "app:app".to_owned(), folder }), "{line}");
        }
    }

    #[test]
    fn other_commands_say_nothing() {
        for line in [
            "",
            "worker: gunicorn app:app",
            "web: python app.py",
            "web: npm start",
            "web: gunicorn",
            "web: uwsgi uwsgi.ini",
            "web: uwsgi deploy/uwsgi.yml",
            "web: gunicorn -k pkg:Worker --call",
            "web: gunicorn 'app:app",
            "web: gunicorn --statsd=host:name",
        ] {
            assert_eq!(web(line), None, "{line}");
        }
    }
}
