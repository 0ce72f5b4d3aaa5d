//! Every setting of the real gunicorn's stands in rwsgi's table, with the same flags, default and kind.

use std::collections::BTreeMap;

use rwsgi::settings::{self, Kind, Setting, Standing};
use serde_json::Value;

use super::{folder, in_folder, same};
use crate::support::environment;

/// Prints gunicorn's own list of settings.
const DUMP: &str = "
import json
from gunicorn.config import KNOWN_SETTINGS
def arity(setting):
    closure = getattr(setting.validator, '__closure__', None)
    return closure[0].cell_contents if closure else None
print(json.dumps({setting.name: {
    'flags': setting.cli or [],
    'check': setting.validator.__name__,
    'type': getattr(setting.type, '__name__', None),
    'action': setting.action,
    'nargs': setting.nargs,
    'const': setting.const,
    'arity': arity(setting),
} for setting in KNOWN_SETTINGS}))
";

fn theirs() -> BTreeMap<String, Value> {
    let folder = folder(&[]);
    let python = environment::venv().join("bin/python");
    let output = in_folder(&python, folder.path(), &[], &["-c", DUMP]).output().expect("python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

/// What stands in gunicorn's list for a setting of this kind.
fn checks(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Text => &["validate_string"],
        Kind::Any => &["validate_ssl_version"],
        Kind::List => &["validate_list_string", "validate_list_of_files_or_patterns"],
        Kind::Commas => &["validate_string_to_list", "validate_http_protocols"],
        Kind::Networks => &["validate_string_to_addr_list"],
        Kind::Number => &[
            "validate_pos_int",
            "validate_http2_stream_limit",
            "validate_http2_window_size",
            "validate_http2_frame_size",
        ],
        Kind::Count | Kind::Mode => &["validate_pos_int"],
        Kind::Flag => &["validate_bool"],
        Kind::Choice(_) => &[
            "validate_asgi_lifespan",
            "validate_asgi_loop",
            "validate_header_map_behaviour",
            "validate_http2_cleartext",
            "validate_http_parser",
            "validate_proxy_protocol",
            "validate_reload_engine",
        ],
        Kind::Class => &["validate_class"],
        Kind::Map => &["validate_dict"],
        Kind::User => &["validate_user"],
        Kind::Group => &["validate_group"],
        Kind::Directory => &["validate_chdir"],
        Kind::Address(_) => &["validate_statsd_address"],
        Kind::Hook(2, 4) => &["validate_post_request"],
        Kind::Hook(..) => &["_validate_callable"],
    }
}

fn compare(setting: &Setting, theirs: &Value) {
    let name = setting.name;
    assert_eq!(serde_json::json!(setting.flags), theirs["flags"], "{name}: its flags");
    let check = theirs["check"].as_str().expect("it has a check");
    assert!(checks(setting.kind).contains(&check), "{name}: {:?} is not {check}", setting.kind);
    assert_eq!(setting.kind == Kind::Mode, theirs["type"] == "auto_int", "{name}: its numbers may be octal");
    if let Kind::Hook(least, most) = setting.kind
        && least == most
    {
        assert_eq!(theirs["arity"], most, "{name}: its arguments");
    }
    if setting.flags.is_empty() {
        return;
    }
    let action = theirs["action"].as_str();
    assert_eq!(setting.kind == Kind::List, action == Some("append"), "{name}: it may be repeated");
    let bare = match action {
        Some("store_true") => Some("True".to_owned()),
        Some("store_const") => Some("False".to_owned()).filter(|_| theirs["const"] == false),
        _ => theirs["const"].as_str().map(str::to_owned),
    };
    assert_eq!(setting.bare.map(str::to_owned), bare, "{name}: what the bare option means");
}

#[test]
fn every_setting_of_gunicorns_is_there_and_says_what_becomes_of_it() {
    let theirs = theirs();
    assert!(theirs.len() > 110, "{}", theirs.len());
    let missing: Vec<_> = theirs.keys().filter(|name| settings::find(name).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let mut table = Vec::new();
    for setting in settings::all() {
        let Some(real) = theirs.get(setting.name) else {
            assert!(setting.own, "gunicorn has no {}", setting.name);
            continue;
        };
        assert!(!setting.own, "gunicorn has {} too", setting.name);
        compare(setting, real);
        let fate = match setting.standing {
            Standing::Works => "same".to_owned(),
            Standing::Nothing { why } => format!("nothing to do: {why}"),
            Standing::Refused { why, instead } => format!("refused: {why} {instead}"),
        };
        table.push(format!("{:34} {fate}", setting.name));
    }
    // Shown by --nocapture.
    eprintln!("{}", table.join("\n"));
}

#[test]
fn every_default_is_gunicorns() {
    let ours = same(&folder(&[]), &[], &["app:app"]);
    assert_eq!(ours["umask"], "0");
}

#[test]
fn options_mean_what_they_mean_to_gunicorn() {
    let folder = folder(&[("there/app.py", "app = print"), ("ca.pem", "")]);
    for args in [
        &["app:app", "-b", "0.0.0.0:80", "--bind=unix:app.sock", "-w", "3", "--threads=4"][..],
        &["app:app", "-w2", "-t", "0", "--graceful", "5", "-k", "gthread", "-n", "name"],
        &["app:app", "-m", "022", "--error-logfile", "a.log", "--log-level=debug", "-R", "-D"],
        &["app:app", "-m", "0o27", "--log-file", "b.log", "--access-logfile", "-", "--access-logformat", "%(h)s"],
        &["app:app", "-e", "A=b", "--env", "C=d=e", "-p", "app.pid", "--max-requests", "5"],
        &["app:app", "-u", "1", "-g", "daemon", "--initgroups", "--chdir", "there", "--pythonpath", "a,b"],
        &["app:app", "--no-sendfile", "--worker-tmp-dir", "/dev/shm", "--worker-connections", "5"],
        &["app:app", "--log-syslog", "--log-syslog-to", "unix:///dev/log#dgram", "--log-syslog-prefix", "x"],
        &["app:app", "--statsd-prefix", "p", "--dogstatsd-tags", "a:b,c:d", "--capture-output", "--preload"],
        &["app:app", "--uwsgi-allow-from", "10.0.0.0/8,*", "--proxy-protocol", "off", "--http-parser", "FAST"],
        &["app:app", "--reuse-port", "--reuse-port", "-w", "1", "-w", "2"],
    ] {
        same(&folder, &[], args);
    }
}

#[test]
fn every_two_sources_count_as_they_do_for_gunicorn() {
    let file = ("gunicorn.conf.py", "workers = 3\nbind = ':1'\nsendfile = False\nworker_class = 'gthread'");
    let with_file = folder(&[file, ("other.py", "workers = 7")]);
    let without = folder(&[]);
    let variables = [("WEB_CONCURRENCY", "2"), ("PORT", "5000"), ("SENDFILE", "yes")];
    let cmd_args = ("GUNICORN_CMD_ARGS", "-w 4 --bind '127.0.0.1:2' --name 'two words'");
    let both = [variables[0], variables[1], cmd_args];
    let line = ["app:app", "-w", "5", "-b", "127.0.0.1:3"];
    let workers = |folder, variables: &[_], args: &[_]| same(folder, variables, args)["workers"].clone();
    assert_eq!(workers(&without, &variables, &["app:app"]), "2", "environment");
    let nobody = same(&without, &[("FORWARDED_ALLOW_IPS", "")], &["app:app"]);
    assert_eq!(nobody["forwarded_allow_ips"], "[]", "an empty list is a list");
    assert_eq!(workers(&with_file, &variables, &["app:app"]), "3", "environment < file");
    assert_eq!(workers(&without, &both, &["app:app"]), "4", "environment < GUNICORN_CMD_ARGS");
    assert_eq!(workers(&with_file, &[cmd_args], &["app:app"]), "4", "file < GUNICORN_CMD_ARGS");
    assert_eq!(workers(&without, &variables, &line), "5", "environment < command line");
    assert_eq!(workers(&with_file, &[], &line), "5", "file < command line");
    assert_eq!(workers(&without, &[cmd_args], &line), "5", "GUNICORN_CMD_ARGS < command line");
    let hash = [("GUNICORN_CMD_ARGS", "-n #shop -w 4")];
    assert_eq!(workers(&without, &hash, &["app:app"]), "4", "there are no comments");
    let named = [("GUNICORN_CMD_ARGS", "-c other.py")];
    assert_eq!(workers(&with_file, &named, &["app:app"]), "7", "a file that GUNICORN_CMD_ARGS names");
    assert_eq!(workers(&with_file, &named, &["app:app", "-c", "gunicorn.conf.py"]), "3", "and the command line's");
}
