//! Which app is found in which folder, by really looking into files.

use std::path::Path;

use rwsgi::image::{cache::Cache, interpreter::Interpreter, job::progress::Cancel, project::app};

use super::folder;
use crate::support::environment::rwsgi;

const FLASK: &str = "from flask import Flask\napp = Flask(__name__)\n";

fn found(files: &[(&str, &str)]) -> Result<String, String> {
    let folder = folder::with(files);
    let path = folder.path().canonicalize().unwrap();
    let cancel = Cancel::default();
    let interpreter = Interpreter::ask(Path::new(rwsgi()), &Cache::none(), &cancel).unwrap();
    let app = app::find(&path, None, &interpreter, &Cache::none(), &cancel).map_err(|error| error.to_string())?;
    Ok(match app.folder {
        Some(folder) => format!("{} in {}", app.spec, folder.display()),
        None => app.spec,
    })
}

#[test]
fn apps_are_found_where_flask_users_put_them() {
    let rows: &[(&[(&str, &str)], &str)] = &[
        (&[("app.py", FLASK)], "app:app"),
        (&[("wsgi.py", "from shop import app as application\n"), ("shop.py", FLASK)], "wsgi:application"),
        (&[("main.py", "import flask\nserver = flask.Flask('x')\n")], "main:server"),
        (&[("hello.py", FLASK)], "hello:app"),
        (
            &[(
                "app.py",
                "try:\n    from flask import Flask\n    app: Flask = Flask('x')\nexcept ImportError:\n    raise\n",
            )],
            "app:app",
        ),
        (&[("app.py", "def app(environ, start_response):\n    return []\n")], "app:app"),
        (&[("app.py", "def create_app(test=False):\n    app = 1\n    return app\n")], "app:create_app()"),
        (&[("app.py", "def make():\n    app = Flask('x')\n    return app\napp = make()\n")], "app:app"),
        (
            &[("shop/__init__.py", "def create_app(config=None): ...\n"), ("tests/__init__.py", FLASK)],
            "shop:create_app()",
        ),
        (&[("shop/__init__.py", ""), ("shop/app.py", FLASK)], "shop.app:app"),
        (&[("pyproject.toml", ""), ("src/shop/__init__.py", "def create_app(): ...\n")], "shop:create_app() in src"),
        (&[("setup.py", ""), ("src/web.py", FLASK), ("src/a/__init__.py", "")], "web:app in src"),
        (&[("app.py", FLASK), ("src/other.py", FLASK)], "app:app"),
        (
            &[
                ("run.py", "from shop import create_app\nif __name__ == '__main__':\n    app = create_app()\n"),
                ("shop/__init__.py", "def create_app(): ...\n"),
            ],
            "shop:create_app()",
        ),
        (&[("app.py", FLASK), ("app/__init__.py", "def make_app(): ...\n")], "app:make_app()"),
        (&[("Procfile", "web: gunicorn -w 4 shop.web:server\n"), ("app.py", FLASK)], "shop.web:server"),
        (&[("Procfile", "web: gunicorn shop:server\n"), ("src/shop.py", "")], "shop:server in src"),
        (&[(".flaskenv", "FLASK_APP=shop\n"), ("src/shop/__init__.py", FLASK)], "shop:app in src"),
        (&[("gunicorn.conf.py", "wsgi_app = 'server:server'\n"), ("app.py", FLASK)], "server:server"),
        (&[("gunicorn.conf.py", "wsgi_app = 'server:server'\n"), ("Procfile", "web: gunicorn app:app")], "app:app"),
        (&[("Procfile", "web: python app.py\n"), ("app.py", FLASK)], "app:app"),
        (
            &[(".flaskenv", "FLASK_APP=shop:create_app\n"), ("shop.py", "def create_app(): ...\n"), ("app.py", FLASK)],
            "shop:create_app()",
        ),
        (
            &[(".env", "FLASK_APP=src/web.py\n"), (".flaskenv", "FLASK_APP=other\n"), ("src/web.py", FLASK)],
            "web:app in src",
        ),
    ];
    for (files, expected) in rows {
        assert_eq!(found(files).as_deref(), Ok(*expected), "{files:?}");
    }
}

#[test]
fn what_is_not_clear_is_said() {
    let rows: &[(&[(&str, &str)], &str)] = &[
        (&[], "it has no Python file that could be an app's"),
        (&[("src/shop/__init__.py", ""), ("src/shop/web.py", FLASK)], "Further down there is src/shop/web.py. Name it"),
        (&[("app.py", "app = \n")], "app.py cannot be read as Python (invalid syntax"),
        (&[("app.py", "def create_app(config): ...\n")], "create_app in app.py needs arguments that only you know"),
        (&[("app.py", FLASK), ("main.py", FLASK)], "There is more than one app"),
        (&[("app.py", "from flask import Flask\none = Flask('x')\ntwo = Flask('y')\n")], "--app 'app:two'"),
        (&[(".flaskenv", "FLASK_APP=missing.py\n"), ("app.py", FLASK)], "FLASK_APP is \"missing.py\" (.flaskenv)"),
    ];
    for (files, expected) in rows {
        let message = found(files).expect_err(expected);
        assert!(message.contains(expected), "{files:?}: {message}");
    }
}
