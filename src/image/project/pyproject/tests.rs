//! What is read from a project, and what is refused with its line.

use std::path::Path;

use super::{Dependencies, Listed, Project, Setting};
use crate::image::choices::{FromVenv, HealthCheck, Said};

fn read(text: &str) -> Result<Project, String> {
    Project::from_text(text, Path::new("/src")).map_err(|error| error.to_string())
}

#[test]
fn a_project_says_what_it_is_and_needs() {
    let text = "[project]\nname = 'shop'\nversion = '1.2'\nlicense = 'MIT'\ndependencies = [\n  'flask>=3',\n  'redis',\n]\n\
                [project.urls]\n'Source Code' = 'https://example.org/shop'\n[project.optional-dependencies]\nfast = ['orjson']\n";
    let project = read(text).unwrap();
    assert_eq!((project.name.as_deref(), project.version.as_deref()), (Some("shop"), Some("1.2")));
    assert_eq!(project.urls["sourcecode"], "https://example.org/shop");
    let listed = |requirement: &str, line| Listed { requirement: requirement.to_owned(), line };
    assert_eq!(project.dependencies, Dependencies::Listed(vec![listed("flask>=3", 6), listed("redis", 7)]));
    assert_eq!(project.optional["fast"], [listed("orjson", 12)]);
    assert_eq!(read("[tool.black]\nline-length = 1\n").unwrap(), Project::default());
    assert_eq!(read("[project]\nlicense = { text = 'x' }\n").unwrap().license, None);
}

#[test]
fn dependencies_that_only_another_tool_reads_are_noticed() {
    for text in ["[project]\ndynamic = ['version', 'dependencies']", "[tool.poetry.dependencies]\nflask = '*'"] {
        assert!(matches!(read(text).unwrap().dependencies, Dependencies::Elsewhere(_)), "{text}");
    }
}

#[test]
fn what_only_another_tool_follows_is_noticed() {
    let text = "[project]\ndependencies = ['core']\n[tool.uv.sources]\ncore = { git = 'https://example.org/core' }\n\
                torch = [{ index = 'ours', marker = 'x' }]\n\
                [[tool.uv.index]]\nurl = 'https://example.org/simple'\n[tool.poetry.dependencies]\npython = '^3.9'\n\
                flask = '*'\nold = { version = '1', extras = ['x'] }\nnear = { path = '../near' }\n\
                both = [{ version = '1' }, { version = '2', source = 'ours' }]\n[[tool.poetry.source]]\nname = 'ours'\n";
    let project = read(text).unwrap();
    let setting = |key: &str, line| Setting { key: key.to_owned(), line };
    let sources = [
        ("both".to_owned(), setting("tool.poetry.dependencies.both", 13)),
        ("near".to_owned(), setting("tool.poetry.dependencies.near", 12)),
        ("torch".to_owned(), setting("tool.uv.sources.torch", 5)),
    ];
    assert_eq!(project.sources.into_iter().collect::<Vec<_>>(), sources);
    assert_eq!(project.settled_sources, [("core".to_owned(), setting("tool.uv.sources.core", 4))].into());
    let indexes: Vec<_> = project.indexes.into_iter().map(|index| index.key).collect();
    assert_eq!(indexes, ["tool.uv.index", "tool.poetry.source"]);
}

#[test]
fn the_table_has_every_choice() {
    let text = "[tool.rwsgi.image]\ntag = 'shop:1'\napp = 'shop:app'\nport = 8080\nworkers = 'auto'\nthreads = 4\n\
                env = { A = '1' }\nlabel = { team = 'web' }\ncopy = ['a.ini:/etc/a.ini']\ninclude = ['.env']\nwritable = ['/app/var']\n\
                healthcheck = '/healthz'\nextra = ['fast']\nfrom-venv = '.venv'\npython-from = '../python'\n\
                keep = ['test', 'lib-dynload/readline*']\ndebug = true\nslim = true\n";
    let choices = read(text).unwrap().choices;
    assert_eq!(choices.tag.map(|tag| tag.to_string()).as_deref(), Some("shop:1"));
    assert_eq!((choices.app.as_deref(), choices.port, choices.threads), (Some("shop:app"), Some(8080), Some(4)));
    assert_eq!((choices.workers.as_deref(), choices.environment["A"].as_str()), (Some("auto"), "1"));
    assert_eq!(*choices.writable[0], std::path::PathBuf::from("var"));
    assert_eq!((choices.labels["team"].as_str(), choices.include), ("web", vec![".env".to_owned()]));
    assert_eq!(choices.copies[0].source, Path::new("/src/a.ini"));
    assert_eq!(choices.health_check, HealthCheck::At("/healthz".to_owned()));
    assert_eq!(choices.extras, [Said::on_line(13, "fast".to_owned())]);
    assert_eq!(choices.from_venv, Said::on_line(14, FromVenv::Folder("/src/.venv".into())));
    assert_eq!(choices.python_from, Some(Said::on_line(15, "/src/../python".into())));
    assert_eq!((choices.debug, choices.slim), (true, true));
    assert_eq!(choices.keep, ["test", "lib-dynload/readline*"]);
    let text = "[tool.rwsgi.image]\nworkers = 3\nhealthcheck = false\nfrom-venv = true\ndebug = false\n";
    let choices = read(text).unwrap().choices;
    assert!(!choices.debug);
    assert_eq!((choices.workers.as_deref(), choices.health_check), (Some("3"), HealthCheck::Off));
    assert_eq!(*choices.from_venv, FromVenv::InUse);
}

#[test]
fn what_cannot_be_is_refused_with_its_line() {
    let image = |line: &str| format!("# a comment\n\n[tool.rwsgi.image]\n{line}\n");
    for (text, start) in [
        ("[", "pyproject.toml cannot be read: line 1: "),
        (
            "[project]\nname = 'x'\ndependencies = 3",
            "pyproject.toml, line 3: project.dependencies is not a list but integer.",
        ),
        (
            "[project]\ndependencies = [\n3]",
            "pyproject.toml, line 3: project.dependencies is not a string but integer.",
        ),
        ("[tool.rwsgi]\nimag = 1", "pyproject.toml, line 2: tool.rwsgi.imag is not known; tool.rwsgi has only"),
        (
            &image("prot = 80"),
            "pyproject.toml, line 4: tool.rwsgi.image.prot is not known; the table has tag, app, port,",
        ),
        (&image("port = 0"), "pyproject.toml, line 4: tool.rwsgi.image.port is not a port, from 1 to 65535."),
        (&image("port = '80'"), "pyproject.toml, line 4: tool.rwsgi.image.port is not a port, from 1 to 65535."),
        (&image("threads = -1"), "pyproject.toml, line 4: tool.rwsgi.image.threads is not a number from 1."),
        (&image("workers = 'many'"), "pyproject.toml, line 4: tool.rwsgi.image.workers cannot be used: it is neither"),
        (&image("tag = 'A'"), "pyproject.toml, line 4: tool.rwsgi.image.tag cannot be used: \"A\" is not a name"),
        (&image("app = 1"), "pyproject.toml, line 4: tool.rwsgi.image.app is not a string but integer."),
        (&image("env = 'A=1'"), "pyproject.toml, line 4: tool.rwsgi.image.env is not a table but string."),
        (&image("env.A = 1"), "pyproject.toml, line 4: tool.rwsgi.image.env.A is not a string but integer."),
        (
            &image("env.PATH = '/bin'"),
            "pyproject.toml, line 4: tool.rwsgi.image.env.PATH cannot be used: PATH must have",
        ),
        (
            &image("copy = [\n'a:/a',\n'b']"),
            "pyproject.toml, line 6: tool.rwsgi.image.copy cannot be used: it has no :",
        ),
        (&image("include = ['a',\n'[']"), "pyproject.toml, line 5: tool.rwsgi.image.include cannot be used: it "),
        (&image("include = '.env'"), "pyproject.toml, line 4: tool.rwsgi.image.include is not a list but string."),
        (
            &image("healthcheck = 1"),
            "pyproject.toml, line 4: tool.rwsgi.image.healthcheck is not a string but integer.",
        ),
        (&image("from-venv = 1"), "pyproject.toml, line 4: tool.rwsgi.image.from-venv is not a string but integer."),
        (
            &image("python-from = true"),
            "pyproject.toml, line 4: tool.rwsgi.image.python-from is not a string but boolean.",
        ),
        (&image("keep = 'test'"), "pyproject.toml, line 4: tool.rwsgi.image.keep is not a list but string."),
        (
            &image("keep = [\n'test',\n'a[']"),
            "pyproject.toml, line 6: tool.rwsgi.image.keep cannot be used: it is not a pattern",
        ),
        (&image("slim = 1"), "pyproject.toml, line 4: tool.rwsgi.image.slim is neither true nor false."),
        (&image("debug = 'yes'"), "pyproject.toml, line 4: tool.rwsgi.image.debug is neither true nor false."),
    ] {
        let error = read(text).map(|_| ()).unwrap_err();
        assert!(error.starts_with(start) && error.ends_with(". Correct it."), "{text}: {error}");
    }
}

#[test]
fn a_project_says_which_python_it_takes() {
    let check = |wanted: &str, version: &str| {
        read(&format!("[project]\nname = 'shop'\nrequires-python = '{wanted}'\n"))
            .and_then(|project| project.check_python(version).map_err(|error| error.to_string()))
    };
    for wanted in [">=3.9", ">=3.11,<4", "~=3.11", "==3.11.*", "!=3.12.*"] {
        assert_eq!(check(wanted, "3.11.7"), Ok(()), "{wanted}");
    }
    assert_eq!(check(">=3.12", "3.13.0rc2"), Ok(()));
    for wanted in [">=3.12", "<3.11", "~=3.11.8", "==3.10.*"] {
        let refused = check(wanted, "3.11.7").unwrap_err();
        let said = "pyproject.toml, line 3: project.requires-python is \"";
        assert!(refused.starts_with(said) && refused.contains("the Python of the image is 3.11.7"), "{refused}");
    }
    let refused = check("banana", "3.11.7").unwrap_err();
    let said = "pyproject.toml, line 3: project.requires-python is not a version specifier such as \">=3.9\" (PEP 440)";
    assert!(refused.starts_with(said), "{refused}");
}

#[test]
fn a_project_that_is_not_installed_has_a_record_all_the_same() {
    let record = |text: &str, installed: &[&str]| {
        let installed: Vec<_> = installed.iter().map(|name| (*name).to_owned()).collect();
        read(text).unwrap().record(&installed)
    };
    let text = "[project]\nname = 'My.Shop'\nversion = '1.02'\n[project.entry-points.'shop.plugins']\na = 'shop.a:A'\n";
    let (folder, files) = record(text, &["flask-3.0.dist-info", "my_shop_more-1.dist-info"]).unwrap();
    assert_eq!(folder, "my_shop-1.2.dist-info");
    assert_eq!(files[0], ("METADATA", "Metadata-Version: 2.1\nName: My.Shop\nVersion: 1.2\n".to_owned()));
    assert_eq!(files[2], ("entry_points.txt", "[shop.plugins]\na = shop.a:A\n".to_owned()));
    for installed in ["my_shop-0.9.dist-info", "My.Shop-1.2.dist-info", "my_shop-1.2-py3.11.egg-info"] {
        assert_eq!(record(text, &[installed]), None, "{installed}");
    }
    let poetry = "[tool.poetry]\nname = 'shop'\nversion = '2'\n";
    assert_eq!(record(poetry, &[]).map(|(folder, _)| folder).as_deref(), Some("shop-2.dist-info"));
    let others = [
        "",
        "[project]\nname = 'shop'\n",
        "[project]\nname = '../x'\nversion = '1'\n",
        "[project]\nname = 'shop'\nversion = 'x'\n",
    ];
    for text in others {
        assert_eq!(record(text, &[]), None, "{text}");
    }
}
