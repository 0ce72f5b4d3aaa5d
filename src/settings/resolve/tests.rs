//! Which source counts, and what is said of values and settings that are refused.

use std::path::PathBuf;

use super::{Level, LogFormat, Settings};
use crate::settings::{Address, ConfigFile, Given, Location, Machine, Sources, SyslogAddress, Value};
use crate::sys::User;

fn given(values: &[(&'static str, &str)]) -> Given {
    values.iter().map(|(name, value)| (*name, Value::from(*value))).collect()
}

fn command_line(values: &[(&'static str, &str)]) -> Sources {
    Sources { command_line: given(values), ..Sources::default() }
}

fn file(values: &[(&str, Value)]) -> Sources {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let file = ConfigFile { name: "gunicorn.conf.py".to_owned(), values, unknown: Vec::new(), ..ConfigFile::default() };
    Sources { file: Some(file), ..Sources::default() }
}

#[track_caller]
fn valid(sources: &Sources) -> Settings {
    Settings::resolve(sources).expect("they are valid")
}

#[track_caller]
fn refusal(sources: &Sources) -> String {
    Settings::resolve(sources).expect_err("it is refused").to_string()
}

#[test]
fn defaults_are_gunicorns() {
    let settings = valid(&Sources::default());
    assert_eq!(settings.bind, ["127.0.0.1:8000"]);
    assert_eq!((settings.threads, settings.backlog, settings.graceful_timeout.as_secs()), (1, 2048, 30));
    assert_eq!((settings.loglevel, settings.log_format, settings.accesslog), (Level::Info, LogFormat::Text, None));
    assert_eq!((settings.workers, settings.run_as, settings.umask), (1, User::default(), 0));
    assert!(settings.notes.is_empty() && settings.hooks.is_empty());
}

/// The sources from the one that counts least, each setting `backlog` or, where it cannot, `workers`.
#[test]
fn of_every_two_sources_the_later_counts() {
    let mut sources = Sources::default();
    sources.environment.insert("WEB_CONCURRENCY".to_owned(), "2".to_owned());
    assert_eq!(valid(&sources).workers, 2);
    sources.file = file(&[("workers", Value::Number(3))]).file;
    assert_eq!(valid(&sources).workers, 3);
    sources.cmd_args.push(("GUNICORN_CMD_ARGS", given(&[("workers", "4")])));
    assert_eq!(valid(&sources).workers, 4);
    sources.cmd_args.push(("RWSGI_CMD_ARGS", given(&[("workers", "5")])));
    assert_eq!(valid(&sources).workers, 5);
    sources.command_line = given(&[("workers", "6")]);
    assert_eq!(valid(&sources).workers, 6);
    sources.cmd_args.clear();
    sources.command_line.clear();
    sources.cmd_args.push(("RWSGI_CMD_ARGS", given(&[("workers", "5")])));
    assert_eq!(valid(&sources).workers, 5);
}

#[test]
fn port_changes_the_default_bind_only() {
    let mut sources = Sources::default();
    sources.environment.insert("PORT".to_owned(), "5000".to_owned());
    assert_eq!(valid(&sources).bind, ["0.0.0.0:5000"]);
    sources.command_line = given(&[("bind", "[::1]:80")]);
    assert_eq!(valid(&sources).bind, ["[::1]:80"]);
}

#[test]
fn no_address_is_none_to_listen_at() {
    for value in [Value::from(""), Value::List(Vec::new()), Value::List(vec![Value::from("")])] {
        let error = refusal(&file(&[("bind", value)]));
        assert!(error.contains("names no address"), "{error}");
    }
}

#[test]
fn a_value_that_is_overridden_is_checked_all_the_same() {
    let mut sources = file(&[("threads", Value::from("many"))]);
    sources.command_line = given(&[("threads", "2")]);
    let error = refusal(&sources);
    assert_eq!(error, "The value \"many\" of threads (from gunicorn.conf.py) is not a whole number from 0.");
}

#[test]
fn a_message_names_the_source() {
    let wrong = given(&[("threads", "0")]);
    let text = "is not a whole number from 1.";
    let sources = Sources { command_line: wrong.clone(), ..Sources::default() };
    assert_eq!(refusal(&sources), format!("The value 0 of --threads {text}"));
    let sources = Sources { cmd_args: vec![("GUNICORN_CMD_ARGS", wrong)], ..Sources::default() };
    assert_eq!(refusal(&sources), format!("The value 0 of --threads (from GUNICORN_CMD_ARGS) {text}"));
    let mut sources = Sources::default();
    sources.environment.insert("WEB_CONCURRENCY".to_owned(), "lots".to_owned());
    assert_eq!(refusal(&sources), "The value \"lots\" of WEB_CONCURRENCY is neither a whole number from 1 nor auto.");
}

#[test]
fn the_machine_says_how_many_workers_there_are_if_asked() {
    let mut sources = command_line(&[("workers", "auto")]);
    sources.machine = Machine { directory: PathBuf::from("/srv"), processors: 3 };
    let settings = valid(&sources);
    assert_eq!((settings.workers, settings.threads, settings.automatic), (3, 4, true));
    sources.command_line.insert("threads", Value::from("1"));
    assert_eq!(valid(&sources).threads, 1);
}

#[test]
fn the_configuration_is_where_the_options_say() {
    assert_eq!(Sources::default().location(), Location::Default);
    let at = |text: &str| command_line(&[("config", text)]).location();
    assert_eq!(at(""), Location::Default);
    assert_eq!(at("a.py"), Location::File("a.py".into()));
    assert_eq!(at("file:/b.py"), Location::File("/b.py".into()));
    assert_eq!(at("python:shop.settings"), Location::Module("shop.settings".to_owned()));
    let mut sources = Sources::default();
    sources.cmd_args.push(("GUNICORN_CMD_ARGS", given(&[("config", "c.py")])));
    assert_eq!(sources.location(), Location::File("c.py".into()));
    sources.cmd_args.push(("RWSGI_CMD_ARGS", given(&[("config", "d.py")])));
    assert_eq!(sources.location(), Location::File("d.py".into()));
}

#[test]
fn what_is_refused_says_why_and_what_to_do() {
    assert_eq!(
        refusal(&command_line(&[("root_path", "/x")])),
        "--root-path is not supported. rwsgi serves WSGI apps, and this is a setting for ASGI. Set the environment \
         variable SCRIPT_NAME for a WSGI app."
    );
    assert_eq!(
        refusal(&file(&[("http2_cleartext", Value::from("both"))])),
        "http2_cleartext (from gunicorn.conf.py) asks for HTTP/2 by an upgrade from HTTP/1, which RFC 9113 has abolished and \
         which is not spoken here. Use prior-knowledge, and let the proxy begin with HTTP/2."
    );
}

#[test]
fn what_is_refused_may_have_its_default_value() {
    valid(&command_line(&[("root_path", ""), ("spew", "False"), ("logger_class", "simple")]));
    valid(&command_line(&[("logger_class", "gunicorn.instrument.statsd.Statsd")]));
    valid(&file(&[("spew", Value::Flag(false)), ("certfile", Value::None), ("dirty_workers", Value::Number(0))]));
}

#[test]
fn what_has_nothing_to_do_says_so() {
    let settings = valid(&file(&[("worker_tmp_dir", Value::from("/dev/shm"))]));
    assert_eq!(
        settings.notes,
        ["worker_tmp_dir (from gunicorn.conf.py) has nothing to do: Workers report through a pipe, and need no file."]
    );
    assert!(valid(&file(&[("worker_tmp_dir", Value::None)])).notes.is_empty());
}

#[test]
fn worker_classes_are_understood_or_refused_with_what_to_use() {
    for class in ["sync", "gthread", "threads", "gunicorn.workers.gthread.ThreadWorker", "egg:gunicorn#sync"] {
        valid(&command_line(&[("worker_class", class)]));
    }
    for (class, instead) in [
        ("gevent", "--threads N"),
        ("eventlet", "--threads N"),
        ("tornado", "Tornado's server"),
        ("asgi", "uvicorn"),
        ("uvicorn.workers.UvicornWorker", "uvicorn"),
        ("shop.Worker", "Use sync or gthread"),
    ] {
        let error = refusal(&command_line(&[("worker_class", class)]));
        assert!(
            error.starts_with(&format!("The worker class {class} of --worker-class is not supported. ")),
            "{error}"
        );
        assert!(error.contains(instead), "{error}");
    }
}

#[test]
fn names_of_ours_have_a_prefix_in_a_file() {
    assert_eq!(valid(&file(&[("log_format", Value::from("%(message)s"))])).log_format, LogFormat::Text);
    assert_eq!(valid(&file(&[("rwsgi_log_format", Value::from("json"))])).log_format, LogFormat::Json);
}

#[test]
fn what_stands_for_several_things_is_taken_apart() {
    let settings = valid(&command_line(&[
        ("raw_env", "A=b=c"),
        ("pythonpath", "a,/b"),
        ("statsd_host", "localhost"),
        ("chdir", "app/"),
        ("syslog", "True"),
        ("umask", "022"),
        ("timeout", "0"),
    ]));
    assert_eq!(settings.raw_env, [("A".to_owned(), "b=c".to_owned())]);
    assert_eq!(settings.pythonpath, ["a", "/b"]);
    assert_eq!(settings.statsd_host, Some(Address::Host("localhost".to_owned(), 8125)));
    assert_eq!(settings.chdir, PathBuf::from("/app"));
    let syslog = settings.syslog.expect("it is on");
    assert_eq!((syslog.facility, syslog.access), (1, true));
    assert_eq!(syslog.address, SyslogAddress::Udp("localhost".to_owned(), 514));
    assert_eq!((settings.umask, settings.timeout), (0o22, None));
}

#[test]
fn a_level_that_does_not_exist_is_taken_for_info_as_by_gunicorn() {
    let settings = valid(&command_line(&[("loglevel", "warn")]));
    assert_eq!(settings.loglevel, Level::Info);
    let note =
        "The value \"warn\" of --log-level is not one of debug, info, warning, error, critical. It is taken for info.";
    assert_eq!(settings.notes, [note]);
}

#[test]
fn wrong_parts_are_refused() {
    assert_eq!(refusal(&command_line(&[("raw_env", "A")])), "The value \"A\" of --env is not NAME=VALUE.");
    assert_eq!(refusal(&command_line(&[("umask", "01000")])), "The value 512 of --umask is more than 0777.");
    let error = refusal(&command_line(&[("syslog", "True"), ("syslog_addr", "localhost")]));
    assert!(error.contains("--log-syslog-to is none of udp://HOST:PORT"), "{error}");
    let error = refusal(&command_line(&[("statsd_host", "a:b")]));
    assert_eq!(error, "The value \"a:b\" of --statsd-host is neither HOST:PORT nor unix://PATH.");
}

#[test]
fn settings_are_printed_as_gunicorn_prints_them() {
    let text = valid(&Sources::default()).print();
    for (name, value) in [("bind", "['127.0.0.1:8000']"), ("daemon", "False"), ("chdir", "/")] {
        assert!(text.contains(&format!("\n{name:34} = {value}\n")), "{text}");
    }
    let mut names: Vec<_> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names.len(), crate::settings::all().count());
    names.dedup();
    assert!(names.is_sorted() && names.len() == text.lines().count());
}

#[test]
fn hooks_are_those_that_are_called() {
    let function = |name: &str, arity| Value::Function { name: name.to_owned(), arity };
    let values =
        [("on_exit", function("leave", 1)), ("ssl_context", function("tls", 2)), ("child_exit", function("gone", 2))];
    assert_eq!(valid(&file(&values)).hooks, ["child_exit", "on_exit"]);
    assert!(valid(&file(&values[1..2])).hooks.is_empty(), "nobody calls it");
}
