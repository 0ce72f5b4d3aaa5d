//! Which app is found in which folder, by really looking into files.

use std::path::Path;

use rwsgi::image::{
    cache::Cache, choices::Choices, filter::ignore::Patterns, interpreter::Interpreter, job::progress::Cancel,
    project::app,
};

use super::folder;
use crate::support::environment::rwsgi;

/// Names and contents.
type Files<'a> = &'a [(&'a str, &'a str)];

const FLASK: &str = "from flask import Flask\napp = Flask(__name__)\n";

fn found(files: &[(&str, &str)]) -> Result<String, String> {
    asked(files, None)
}

fn asked(files: &[(&str, &str)], spec: Option<&str>) -> Result<String, String> {
    let folder = folder::with(files);
    let path = folder.path().canonicalize().unwrap();
    let cancel = Cancel::default();
    let interpreter = Interpreter::ask(Path::new(rwsgi()), &Cache::none(), &cancel).unwrap();
    let app = app::find(&path, spec, &interpreter, &Cache::none(), &cancel).map_err(|error| error.to_string())?;
    let ignored = folder.path().join(".dockerignore");
    let ignored = Patterns::known(&std::fs::read_to_string(ignored).unwrap_or_default());
    app.check(&path, &ignored, &Choices::default(), &interpreter, &Cache::none(), &cancel)
        .map_err(|error| error.to_string())?;
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
        (&[("Procfile", "web: gunicorn shop:server\n"), ("src/shop.py", "server = 1")], "shop:server in src"),
        (&[("main.py", "from fastapi import FastAPI\napp = FastAPI()\n"), ("web.py", FLASK)], "web:app"),
        (
            &[("main.py", "import a2wsgi, fastapi\napp = fastapi.FastAPI()\nserved = a2wsgi.ASGIMiddleware(app)\n")],
            "main:served",
        ),
        (&[("main.py", "import quart\nfrom a2wsgi import W\napp = quart.Quart('x')\napp = W(app)\n")], "main:app"),
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
        (
            &[("src/shop/__init__.py", ""), ("src/shop/web.py", FLASK)],
            "Further down there is shop.web:app (a Flask app in src/shop/web.py). Name it: --app 'shop.web:app'.",
        ),
        (
            &[("a/web/app.py", FLASK), ("venv/pyvenv.cfg", ""), ("venv/a/app.py", FLASK)],
            "Name it: --app 'a.web.app:app'.",
        ),
        (&[("a/b/c.py", "")], "Further down there is a/b/c.py. Name it with --app MODULE:NAME"),
        (
            &[("app.py", "import os\napp = \n")],
            ": app.py, line 2, cannot be read as Python (invalid syntax). Correct that",
        ),
        (
            &[("main.py", "from fastapi import FastAPI as F\napp = F()\n")],
            ": app in main.py is a FastAPI app, which speaks ASGI, and rwsgi serves WSGI apps. Make it one with ASGIMiddleware",
        ),
        (
            &[("app/__init__.py", ""), ("app/main.py", "from fastapi import FastAPI\napp = FastAPI()\n")],
            "Further down, app in app/main.py is a FastAPI app, which speaks ASGI",
        ),
        (
            &[("wsgi.py", "from main import app\n"), ("main.py", "from fastapi import FastAPI\napp = FastAPI()\n")],
            "wsgi:app (an app that is imported there in wsgi.py) cannot be served: app in main.py is a FastAPI app, which",
        ),
        (
            &[("a/__init__.py", "from .b.c import app\n"), ("a/b/c.py", "from quart import Quart\napp = Quart('x')\n")],
            "app in a/b/c.py is a Quart app",
        ),
        (&[("src/main.py", "import litestar\napp = litestar.Litestar([])\n")], "app in main.py is a Litestar app"),
        (
            &[(
                "app.py",
                "from sanic import Sanic\ndef create_app():\n    app = Sanic('x')\n    return app\napp = create_app()\n",
            )],
            "create_app in app.py is a factory of a Sanic app",
        ),
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

#[test]
fn an_app_that_cannot_be_is_refused_before_anything_is_made() {
    let ignored = (".dockerignore", "web.py\n");
    let rows: &[(Files, &str, &str)] = &[
        (&[("app.py", FLASK)], "app:nosuch", "app.py has no nosuch. Name what it has: --app 'app:app'."),
        (&[("app.py", "server = 1\n")], "app", "app.py has no application and no app. Correct that, or name another"),
        (&[("app.py", "def f():\n    app = 1\n")], "app:app", "app.py has no app. Correct that"),
        (&[("src/a/b.py", FLASK)], "a.b:make()", "src/a/b.py has no make. Name what it has: --app 'a.b:app'."),
        (&[("app.py", "x\nif\n")], "app:app", "app.py, line 2, cannot be read as Python (invalid syntax). Correct it."),
        (
            &[("web.py", FLASK), ignored],
            "web:app",
            ".dockerignore leaves web.py out of the image. Let it in (a last line !web",
        ),
        (
            &[("a.py", "from starlette.applications import Starlette\nb = Starlette()\n")],
            "a:b",
            "b in a.py is a Starlette app",
        ),
        (
            &[("a.py", "from django.core.asgi import *\nimport falcon.asgi\nb = falcon.asgi.App()\n")],
            "a:b",
            "a Falcon app for",
        ),
        (
            &[("a.py", "async def app(scope, receive, send): ...\n")],
            "a",
            "app in a.py is an async function, which speaks ASGI",
        ),
    ];
    for (files, spec, expected) in rows {
        let message = asked(files, Some(spec)).expect_err(expected);
        assert!(message.starts_with(&format!("{spec} (from --app) cannot be served: ")), "{message}");
        assert!(message.contains(expected), "{message}");
    }
    let procfile = [("Procfile", "web: gunicorn app:server"), ("app.py", FLASK)];
    assert!(found(&procfile).unwrap_err().contains("app.py has no server."));
    let configured = [("gunicorn.conf.py", "wsgi_app = 'app:server'"), ("app.py", FLASK)];
    assert!(found(&configured).unwrap_err().starts_with("app:server (wsgi_app in gunicorn.conf.py) cannot be served"));
}

#[test]
fn an_app_that_might_be_is_served() {
    let rows: &[(&[(&str, &str)], &str)] = &[
        (&[("a.py", "from b import *\n")], "a:app"),
        (&[("a.py", "def __getattr__(name): ...\n")], "a:app"),
        (&[("a.py", "globals()['app'] = 1\n")], "a:app"),
        (&[("a.py", "import sys\nsys.modules[__name__] = 1\n")], "a:app"),
        (&[("a.py", "def f():\n    global app\n    app = 1\nf()\n")], "a:app"),
        (&[("a.py", "print(app := 1)\n")], "a:app"),
        (&[("a.py", "for x, (app, *y) in []: ...\n")], "a:app"),
        (&[("a.py", "class Api: ...\napi = Api()\n")], "a:api.wsgi"),
        (&[("a.py", "import b.c\n")], "a:b"),
        (&[("a.py", "from b import x as make\n")], "a:make('x', y=1)"),
        (&[("a.py", ""), ("b.py", "import a\na.app = 1\n")], "a:app"),
        (&[("a/__init__.py", "from . import b\n"), ("a/b/c.py", "")], "a:b"),
        (&[("a.py", "if x:\n    from fastapi import FastAPI\n    app = FastAPI()\nelse:\n    app = 2\n")], "a:app"),
        (&[("a.py", "if x:\n    from c import app\nelse:\n    from b import app\n"), ("b.py", "print 1\n")], "a:app"),
        (&[("a.py", "from quart import Quart\napp = Quart(1)\n")], "a:app.wsgi"),
        (&[("a.py", "1 +\n"), ("gunicorn.conf.py", "chdir = '/elsewhere'\n")], "a:app"),
        (&[], "flask_of_theirs.web:app"),
    ];
    for (files, spec) in rows {
        assert_eq!(asked(files, Some(spec)).as_deref(), Ok(*spec), "{files:?}");
    }
}
