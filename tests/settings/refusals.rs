//! What is not accepted, and what is said then.

use rwsgi::settings::{self, Kind, Standing};

use super::{folder, rwsgi};

/// The exit code, and what is said.
#[track_caller]
fn said(files: &[(&str, &str)], variables: &[(&str, &str)], args: &[&str]) -> (i32, String) {
    let folder = folder(files);
    let output = rwsgi(folder.path(), variables, args).output().expect("the program starts");
    let text = String::from_utf8(output.stderr).expect("it is text");
    (output.status.code().expect("it ends by itself"), text.trim_end().to_owned())
}

#[track_caller]
fn refused(args: &[&str]) -> String {
    let (code, text) = said(&[], &[], args);
    assert_eq!((code, text.lines().count()), (1, 1), "{text}");
    text
}

#[test]
fn every_setting_that_is_not_there_is_refused_by_name() {
    let mut count = 0;
    for setting in settings::all() {
        let why = match setting.standing {
            Standing::Refused { why, .. } => why,
            Standing::Works | Standing::Nothing { .. } => continue,
        };
        count += 1;
        let value = match setting.kind {
            Kind::Number | Kind::Mode => "17",
            Kind::Networks => "10.0.0.0/8",
            Kind::Flag => "True",
            Kind::Choice(choices) => choices.last().expect("there is a choice"),
            _ => "x",
        };
        let python = match setting.kind {
            Kind::Flag | Kind::Number => value.to_owned(),
            Kind::Map => "{'a': 'b'}".to_owned(),
            Kind::Hook(_, arity) => {
                format!("lambda {}: None", ["a", "a, b", "a, b, c", "a, b, c, d"][usize::from(arity) - 1])
            }
            _ => format!("'{value}'"),
        };
        let file = format!("{} = {python}", setting.name);
        let (code, text) = said(&[("gunicorn.conf.py", &file)], &[], &["app:app"]);
        assert_eq!(code, 1, "{file}: {text}");
        let start = format!("Error: {} (from ./gunicorn.conf.py) is not ", setting.name);
        assert!(text.starts_with(&start) && text.contains(why) && text.ends_with(['.', ')']), "{text}");
        if let Some(flag) = setting.flags.iter().find(|flag| flag.starts_with("--")) {
            let args = if setting.value_name.is_empty() { vec![*flag] } else { vec![*flag, value] };
            let text = refused(&[&["app:app"], &args[..]].concat());
            assert!(text.starts_with(&format!("Error: {flag} is not ")), "{text}");
        }
    }
    assert!(count > 15, "{count}");
}

#[test]
fn worker_classes_that_are_not_there_are_refused_with_what_to_use() {
    for (class, instead) in [
        ("gevent", "--threads N"),
        ("eventlet", "--threads N"),
        ("tornado", "Tornado's server"),
        ("asgi", "uvicorn"),
        ("uvicorn.workers.UvicornWorker", "uvicorn"),
    ] {
        let text = refused(&["app:app", "-k", class]);
        assert!(text.contains(class) && text.contains(instead), "{text}");
    }
    let file = "class Mine: pass\nworker_class = Mine";
    let (code, text) = said(&[("gunicorn.conf.py", file)], &[], &["app:app"]);
    assert_eq!(code, 1);
    assert!(text.contains("__config__.Mine of worker_class (from ./gunicorn.conf.py) is not supported."), "{text}");
}

#[test]
fn wrong_values_are_told_in_a_sentence() {
    for (args, text) in [
        (["-w", "x"], "The value \"x\" of --workers is neither a whole number from 1 nor auto."),
        (["-w", "-1"], "The value \"-1\" of --workers is neither a whole number from 1 nor auto."),
        (["-t", "1.5"], "The value \"1.5\" of --timeout is not a whole number from 0."),
        (["-u", "nobody-at-all"], "The value \"nobody-at-all\" of --user names no user of this system."),
        (["-e", "NAME"], "The value \"NAME\" of --env is not NAME=VALUE."),
        (["--header-map", "x"], "The value \"x\" of --header-map is not one of drop, refuse, dangerous."),
        (["--log-format", "xml"], "The value \"xml\" of --log-format is not one of text, json."),
        (["-c", "nowhere.py"], "The configuration file nowhere.py (from --config) does not exist."),
        (["-b", ":port"], "The address \":port\" of --bind cannot be used: the port is not a number from 0 to 65535."),
    ] {
        assert_eq!(refused(&["app:app", args[0], args[1]]), format!("Error: {text}"));
    }
    assert!(refused(&["app:app", "--chdir", "no"]).starts_with("Error: Cannot change to no (from --chdir): "));
    assert!(refused(&["-w", "2"]).starts_with("Error: No application module specified."));
}

#[test]
fn a_value_of_a_variable_is_told_with_its_name() {
    let (code, text) = said(&[], &[("WEB_CONCURRENCY", "many")], &["app:app"]);
    assert_eq!(code, 1);
    assert_eq!(text, "Error: The value \"many\" of WEB_CONCURRENCY is neither a whole number from 1 nor auto.");
    let (code, text) = said(&[], &[("PORT", "http")], &["app:app"]);
    let reason = "the port is not a number from 0 to 65535";
    assert_eq!((code, text), (1, format!("Error: The address \"0.0.0.0:http\" of PORT cannot be used: {reason}.")));
    let (code, text) = said(&[], &[("GUNICORN_CMD_ARGS", "--name 'x")], &["app:app"]);
    assert_eq!(
        (code, text.as_str()),
        (1, "Error: The variable GUNICORN_CMD_ARGS has a quote that is not closed: --name 'x")
    );
    let (code, text) = said(&[], &[("RWSGI_CMD_ARGS", "--no-such-option")], &["app:app"]);
    assert!(code == 2 && text.contains("RWSGI_CMD_ARGS") && text.contains("--no-such-option"), "{text}");
}

#[test]
fn a_file_that_fails_is_told_with_the_traceback_of_its_own_code() {
    let file = "def port():\n    return {}['PORT']\nbind = port()";
    let (code, text) = said(&[("gunicorn.conf.py", file)], &[], &["app:app"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.starts_with("Error: Failed to read config file: ") && text.ends_with("KeyError: 'PORT'"), "{text}");
    assert!(text.contains("gunicorn.conf.py\", line 3, in <module>") && text.contains("line 2, in port"), "{text}");
    assert!(!text.contains("<rwsgi>") && !text.contains("importlib"), "{text}");
    let (code, text) = said(&[("c.py", "def f(:")], &[], &["-c", "c.py", "app:app"]);
    assert!(code == 1 && text.contains("SyntaxError") && text.contains("c.py\", line 1"), "{text}");
    let (code, text) = said(&[], &[], &["-c", "python:no.such", "app:app"]);
    assert!(code == 1 && text.contains("ModuleNotFoundError: No module named 'no'"), "{text}");
    for (file, code) in [("import os; os._exit(3)", "with code 3"), ("import os; os.abort()", "Signal 6")] {
        let (status, text) = said(&[("gunicorn.conf.py", file)], &[], &["app:app"]);
        assert!(status == 1 && text.contains(code), "{text}");
    }
}

#[test]
fn values_of_a_file_are_checked_as_gunicorn_checks_them() {
    for (file, text) in [
        (
            "workers = -1",
            "The value -1 of workers (from ./gunicorn.conf.py) is neither a whole number from 1 nor auto.",
        ),
        (
            "workers = 1.5",
            "The value 1.5 of workers (from ./gunicorn.conf.py) is neither a whole number from 1 nor auto.",
        ),
        ("daemon = 1", "The value 1 of daemon (from ./gunicorn.conf.py) is neither true nor false."),
        ("bind = 8000", "The value 8000 of bind (from ./gunicorn.conf.py) is neither text nor a list of texts."),
        ("pre_fork = 5", "The value 5 of pre_fork is not callable."),
        ("pre_fork = 'f'", "The value 'f' of pre_fork is not the name of a function, as module.function is."),
    ] {
        let (code, said) = said(&[("gunicorn.conf.py", file)], &[], &["app:app"]);
        assert_eq!(code, 1, "{said}");
        assert!(said.ends_with(text), "{said}\n{text}");
    }
    let (code, text) = said(&[("gunicorn.conf.py", "def pre_fork(server): pass")], &[], &["app:app"]);
    assert!(code == 1 && text.contains("must have an arity of: 2"), "{text}");
}

#[test]
fn an_ssl_context_is_refused_where_it_would_count() {
    let file = [("gunicorn.conf.py", "def ssl_context(conf, default): return default()"), ("app.py", "app = print")];
    let (code, text) = said(&file, &[], &["app:app", "--certfile", "cert.pem"]);
    let start = "Error: ssl_context (from ./gunicorn.conf.py) cannot be called: TLS is done by rustls";
    assert!(code == 1 && text.starts_with(start) && text.contains("cert_reqs"), "{text}");
    let (code, text) = said(&file, &[], &["app:app", "--check-config"]);
    assert!(code == 0 && text.contains("ssl_context (from ./gunicorn.conf.py) has nothing to do"), "{text}");
}

#[test]
fn a_setting_of_our_own_that_is_none_is_refused() {
    let file = [("gunicorn.conf.py", "rwsgi_request_timout = 30\nelse_timout = 1"), ("app.py", "app = print")];
    for args in [&["app:app", "--check-config"][..], &["app:app"]] {
        let (code, text) = said(&file, &[], args);
        let start = "Error: rwsgi_request_timout (from ./gunicorn.conf.py) is no setting of rwsgi's, which are rwsgi_";
        assert!(code == 1 && text.starts_with(start) && text.contains("rwsgi_request_timeout"), "{text}");
    }
}

#[test]
fn a_setting_of_our_own_without_its_prefix_is_pointed_out() {
    let file = [("gunicorn.conf.py", "request_timeout = 30\nlog_format = '%s'"), ("app.py", "app = print")];
    let (code, text) = said(&file, &[], &["app:app", "--check-config"]);
    assert_eq!(code, 0, "{text}");
    for name in ["request_timeout", "log_format"] {
        let note = format!(
            "{name} (from ./gunicorn.conf.py) is no setting of gunicorn's. rwsgi's is called rwsgi_{name} in a configuration file."
        );
        assert!(text.contains(&note), "{text}");
    }
}
