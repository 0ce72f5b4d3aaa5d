//! The command line of the server: what is served, from where, and what is said when it cannot be.

use std::{net::TcpListener, os::unix::net::UnixListener, path::Path, process::Command};

use rwsgi::settings::{self, Kind, Standing};

use crate::support::{Client, Server, environment, process, server::Ended};

const HELLO: &str = "def app(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'hello']
";

/// Names what its path asks for: `/sys.argv`, say.
const EXPRESSION: &str = "
import os, sys
def app(environ, start_response):
    start_response('200 OK', [])
    return [repr(eval(environ['PATH_INFO'][1:])).encode()]
";

#[test]
fn an_app_is_served() {
    let mut server = Server::of(HELLO).args(["app:app"]).start();
    let response = server.connect().get("/");
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    server.stop();
}

#[test]
fn a_spec_names_a_callable_or_calls_a_factory() {
    let module = "
def called(name):
    def app(environ, start_response):
        start_response('200 OK', [])
        return [name.encode()]
    return app
application, app, other = called('application'), called('app'), called('other')
def create_app(*args, **kwargs):
    return called(repr((args, kwargs)))
class Kept:
    def __init__(self, name='class'):
        self.name = name
    def __call__(self, environ, start_response):
        return called(self.name)(environ, start_response)
kept = Kept('instance')
";
    let only_app = "from pkg.mod import app";
    let files =
        [("pkg/__init__.py", ""), ("pkg/mod.py", module), ("only.py", only_app), ("names/deep/space.py", module)];
    for (spec, answer) in [
        ("pkg.mod", "application"),
        ("pkg.mod:", "application"),
        ("pkg.mod:app", "app"),
        ("pkg.mod:other", "other"),
        ("pkg.mod:kept", "instance"),
        ("pkg.mod:Kept()", "class"),
        ("only", "app"),
        ("names.deep.space:app", "app"),
        ("pkg.mod:create_app()", "((), {})"),
        (
            r#"pkg.mod:create_app("x", -1, [1, {"k": (2.5,)}], debug=False, none=None)"#,
            "(('x', -1, [1, {'k': (2.5,)}]), {'debug': False, 'none': None})",
        ),
    ] {
        let server = Server::of_files(&files).args([spec]).start();
        assert_eq!(server.connect().get("/").text(), answer, "{spec}");
    }
}

#[test]
fn every_address_is_listened_at() {
    let server = Server::of(HELLO).without_bind().args(["app:app", "-b", "127.0.0.1:0", "--bind", "[::1]:0"]).args([
        "--bind=unix:app.sock",
        "-b",
        "localhost:0",
    ]);
    let server = server.start();
    assert_eq!(server.addresses().len(), 4, "{:?}", server.addresses());
    for address in server.addresses() {
        let address = address.replace("unix:", &format!("unix:{}/", server.directory().display()));
        assert_eq!(Client::connect(&address).get("/").text(), "hello", "{address}");
    }
}

#[test]
fn a_unix_socket_has_no_client_address_and_takes_its_name_from_the_host() {
    let app = "
def app(environ, start_response):
    start_response('200 OK', [])
    keys = ['REMOTE_ADDR', 'REMOTE_PORT', 'SERVER_NAME', 'SERVER_PORT']
    return [repr([environ.get(key) for key in keys]).encode()]
";
    let builder = Server::of(app).without_bind();
    let path = builder.directory().join("app.sock");
    // A server that is gone left its file behind.
    drop(UnixListener::bind(&path).expect("the socket can be made"));
    let bind = format!("unix:{}", path.display());
    let mut server = builder.args(["app:app", "--bind", &bind]).start();
    let mut client = server.connect();
    let mut ask = |fields: &str| client.send(format!("GET / HTTP/1.1\r\n{fields}\r\n")).response("GET").text();
    assert_eq!(ask("Host: example.org:81\r\n"), "['', None, 'example.org', '81']");
    assert_eq!(ask("Host: example.org\r\n"), "['', None, 'example.org', '80']");
    assert_eq!(ask(""), format!("['', None, '{}', '']", path.display()));
    drop(client);
    assert!(path.exists());
    server.stop();
    assert!(!path.exists(), "the socket's file goes with its server");
}

#[test]
fn a_unix_socket_that_someone_listens_at_is_left_alone() {
    let builder = Server::of(HELLO).without_bind();
    let path = builder.directory().join("app.sock");
    let other = UnixListener::bind(&path).expect("the socket can be made");
    let ended = builder.args(["app:app", "--bind", "unix:app.sock"]).fail();
    assert_eq!(
        one_sentence(&ended, 1),
        "Error: Cannot listen at unix:app.sock: the address is in use. Stop the program that listens there, or choose another with --bind."
    );
    drop(other);
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let ended = Server::of(HELLO).without_bind().args(["app:app", "--bind", "unix:app.py"]).fail();
    assert!(one_sentence(&ended, 1).contains("a file that is not a socket is there already"), "{}", ended.stderr);
}

#[test]
fn chdir_is_where_the_app_and_its_files_are() {
    let files = [("elsewhere/app.py", EXPRESSION), ("elsewhere/beside.txt", "beside")];
    let server = Server::of_files(&files).args(["app:app", "--chdir", "elsewhere"]).start();
    let mut client = server.connect();
    let directory = server.directory().canonicalize().expect("it is there").join("elsewhere");
    let shown = format!("'{}'", directory.display());
    assert_eq!(client.get("/sys.path[0]").text(), shown);
    assert_eq!(client.get("/os.getcwd()").text(), shown);
    assert_eq!(client.get("/open('beside.txt').read()").text(), "'beside'");
}

#[test]
fn a_chdir_that_is_not_there_is_named() {
    let ended = Server::of(HELLO).args(["app:app", "--chdir", "nowhere"]).fail();
    assert!(
        one_sentence(&ended, 1).starts_with("Error: Cannot change to nowhere (from --chdir): "),
        "{}",
        ended.stderr
    );
}

#[test]
fn port_changes_the_default_address_and_nothing_else() {
    // In a network of its own every port is free.
    let server = Server::of(HELLO).without_bind().args(["app:app"]).env("PORT", "8080").under(["unshare", "--net"]);
    assert_eq!(server.start().addresses(), ["0.0.0.0:8080"]);
    let server = Server::of(HELLO).args(["app:app"]).env("PORT", "1").start();
    assert!(server.address().starts_with("127.0.0.1:"), "{}", server.address());
}

#[test]
fn script_name_is_where_the_app_is_mounted() {
    let app = "
def app(environ, start_response):
    start_response('200 OK', [])
    return [f\"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}\".encode()]
";
    let server = Server::of(app).args(["app:app"]).env("SCRIPT_NAME", "/mount").start();
    let mut client = server.connect();
    for (path, seen) in [("/mount", "/mount "), ("/mount/", "/mount /"), ("/mount/a%20b", "/mount /a b")] {
        assert_eq!(client.get(path).text(), seen, "{path}");
    }
    for path in ["/mountain", "/"] {
        let response = server.connect().get(path);
        assert_eq!(response.status, 500, "{path}");
        assert!(response.text().contains("outside of SCRIPT_NAME"), "{path}");
    }
}

fn evaluate(server: &Server, expression: &str) -> String {
    server.connect().get(&format!("/{expression}")).text()
}

#[test]
fn the_interpreter_is_that_of_the_environment() {
    let venv = environment::venv().display().to_string();
    let by_variable = Server::of(EXPRESSION).args(["app:app"]).start();
    let by_option = Server::of(EXPRESSION).without_env("VIRTUAL_ENV").args(["app:app", "--venv", &venv]).start();
    let by_both = Server::of(EXPRESSION).env("VIRTUAL_ENV", "/nowhere").args(["app:app", "--venv", &venv]).start();
    for server in [&by_variable, &by_option, &by_both] {
        assert_eq!(evaluate(server, "sys.prefix"), format!("'{venv}'"));
        assert_eq!(evaluate(server, "sys.executable"), format!("'{venv}/bin/python'"));
        assert_eq!(evaluate(server, "sys.prefix%20!=%20sys.base_prefix"), "True");
        let flask = evaluate(server, "__import__('flask').__file__");
        assert!(flask.starts_with(&format!("'{venv}/lib/python")), "{flask}");
    }
}

#[test]
fn without_an_environment_it_is_the_base_installation() {
    let server = Server::of(EXPRESSION).without_env("VIRTUAL_ENV").args(["app:app"]).start();
    assert_eq!(evaluate(&server, "sys.prefix%20==%20sys.base_prefix"), "True");
    let runs = "__import__('subprocess').check_output([sys.executable,'-c','print(6*7)'])";
    assert_eq!(evaluate(&server, runs), "b'42\\n'");
}

#[test]
fn sys_is_what_a_python_program_finds() {
    let builder = Server::of(EXPRESSION).args(["app:app", "--threads", "1"]);
    let directory = builder.directory().canonicalize().expect("it is there");
    let server = builder.start();
    assert_eq!(evaluate(&server, "sys.path[0]"), format!("'{}'", directory.display()));
    let argv = evaluate(&server, "sys.argv[1:]");
    assert_eq!(argv, "['app:app', '--threads', '1', '--bind', '127.0.0.1:0']");
    assert_eq!(evaluate(&server, "sys.argv[0]"), format!("'{}'", environment::rwsgi()));
    let same =
        Command::new(environment::venv().join("bin/python")).args(["-c", "import sys; print(sys.flags)"]).output();
    let same = String::from_utf8(same.expect("python starts").stdout).expect("text");
    assert_eq!(evaluate(&server, "sys.flags"), same.trim());
    assert_eq!(evaluate(&server, "__import__('multiprocessing').get_context('spawn').Pool(1).map(abs,[-3])"), "[3]");
    let handler = evaluate(&server, "__import__('signal').getsignal(2).__module__");
    assert_eq!(handler, "'_rwsgi_load_app'", "signals are the server's");
}

/// What is said when nothing is served: one line.
#[track_caller]
fn one_sentence(ended: &Ended, code: i32) -> &str {
    assert_eq!(ended.status.code(), Some(code), "{}", ended.stderr);
    // The arbiter says then how its worker ended.
    let said = ended.stderr.lines().filter(|line| !line.starts_with("[20")).collect::<Vec<_>>();
    assert_eq!(said.len(), 1, "{}", ended.stderr);
    assert!(said[0].ends_with('.') || said[0].ends_with('?') || code == 4, "{}", said[0]);
    said[0]
}

#[test]
fn an_environment_of_another_version_is_refused_by_name() {
    let builder = Server::of(HELLO);
    let directory = builder.directory().join("other");
    std::fs::create_dir_all(directory.join("bin")).expect("the folder can be made");
    std::fs::write(directory.join("pyvenv.cfg"), "home = /usr/bin\nversion = 3.2.1\n")
        .expect("the file can be written");
    std::fs::write(directory.join("bin/python"), "").expect("the file can be written");
    let ended = builder.args(["app:app", "--venv", "other"]).fail();
    let said = one_sentence(&ended, 1);
    let version = environment::python_version();
    assert!(said.contains("for Python 3.2,") && said.contains(&format!("embeds Python {version}")), "{said}");
    let ended = Server::of(HELLO).args(["app:app"]).env("VIRTUAL_ENV", "/nowhere").fail();
    assert!(one_sentence(&ended, 1).contains("/nowhere (from VIRTUAL_ENV) is not a virtual environment"));
}

/// The reason, and what stands below it.
#[track_caller]
fn raised(files: &[(&str, &str)], spec: &str) -> (String, String) {
    let ended = Server::of_files(files).args([spec]).fail();
    assert_eq!(ended.status.code(), Some(3), "{}", ended.stderr);
    let said = ended.stderr.split_once("Error: ").expect("there is a reason").1;
    for foreign in ["importlib", "<rwsgi>", "load_app", "rwsgi/"] {
        assert!(!said.contains(foreign), "{foreign} is not the user's:\n{said}");
    }
    let (reason, rest) = said.split_once('\n').expect("it is a line");
    let traceback: Vec<_> = rest.lines().take_while(|line| !line.starts_with("[20")).collect();
    (reason.to_owned(), traceback.join("\n").trim_end().to_owned())
}

#[test]
fn an_app_that_raises_is_told_with_the_traceback_of_its_own_code() {
    let (reason, traceback) =
        raised(&[("app.py", "import helper"), ("helper.py", "def f():\n    1/0\nf()\n")], "app:app");
    assert_eq!(reason, "Could not load app:app: ZeroDivisionError: division by zero");
    let places: Vec<_> = traceback.lines().filter(|line| line.starts_with("  File ")).collect();
    assert!(traceback.starts_with("Traceback (most recent call last):\n  File \""), "{traceback}");
    assert_eq!(places.len(), 3, "{traceback}");
    assert!(places[0].ends_with("app.py\", line 1, in <module>"), "{traceback}");
    assert!(places[2].ends_with("helper.py\", line 2, in f"), "{traceback}");
    assert!(traceback.ends_with("\nZeroDivisionError: division by zero"), "{traceback}");
}

#[test]
fn a_syntax_error_is_shown_where_it_is() {
    let (reason, traceback) = raised(&[("app.py", "x = 1\ndef broken(:\n")], "app:app");
    assert!(reason.starts_with("Could not load app:app: SyntaxError: "), "{reason}");
    assert!(traceback.contains("app.py\", line 2\n    def broken(:\n"), "{traceback}");
}

#[test]
fn a_module_that_is_missing_is_named_once() {
    let (reason, traceback) = raised(&[("app.py", HELLO)], "nowhere:app");
    assert_eq!(reason, "Could not load nowhere:app: ModuleNotFoundError: No module named 'nowhere'");
    assert_eq!(traceback, "", "no code of the user's ran");
    let (reason, traceback) = raised(&[("app.py", "import nowhere")], "app:app");
    assert_eq!(reason, "Could not load app:app: ModuleNotFoundError: No module named 'nowhere'");
    assert!(traceback.contains("app.py\", line 1, in <module>"), "{traceback}");
}

#[test]
fn a_factory_that_raises_is_the_users_code_also_when_it_raises_a_type_error() {
    let app = "def create_app(n=0):\n    return [lambda: 1/0, lambda: len(5), lambda: exit('no settings')][n]()\n";
    for (spec, error, last) in [
        ("app:create_app()", "ZeroDivisionError: division by zero", None),
        ("app:create_app(1)", "TypeError: object of type 'int' has no len()", None),
        ("app:create_app(2)", "SystemExit: no settings", Some("SystemExit: no settings")),
    ] {
        let (reason, traceback) = raised(&[("app.py", app)], spec);
        assert_eq!(reason, format!("Could not load {spec}: {error}"));
        assert!(traceback.contains("app.py\", line 2, in create_app"), "{traceback}");
        assert!(traceback.ends_with(last.unwrap_or(error)), "{traceback}");
    }
}

#[test]
fn an_app_that_its_module_makes_when_it_is_asked_for_is_made_once() {
    let app = "
made = []
def __getattr__(name):
    if name != 'app':
        raise AttributeError(name)
    made.append(name)
    def app(environ, start_response):
        start_response('200 OK', [])
        return [str(made).encode()]
    return app
";
    for spec in ["app:app", "app"] {
        assert_eq!(Server::of(app).args([spec]).start().connect().get("/").text(), "['app']", "{spec}");
    }
}

/// gunicorn has modules of the standard library loaded before it looks for the app's: files of these names hide none of
/// them from packages. Here they are loaded when they are needed, and the same ones.
#[test]
fn files_that_are_called_as_modules_that_gunicorn_has_loaded_hide_none_of_them() {
    let app = "
import calendar, cmd, flask, queue, traceback, types
NAMES = [getattr(module, 'NAME', 'standard') for module in (calendar, cmd, queue, traceback, types)]
def make():
    app = flask.Flask('app')
    @app.get('/')
    def names():
        return ' '.join(NAMES)
    @app.get('/raises')
    def raises():
        raise ValueError('on purpose')
    return app
";
    let hiding = "ast calendar cmd enum glob importlib keyword logging queue random re signal token traceback types";
    let hiding: Vec<_> = hiding.split(' ').map(|name| format!("{name}.py")).collect();
    let files: Vec<_> = hiding.iter().map(|file| (file.as_str(), "NAME = 'own'")).chain([("app.py", app)]).collect();
    for builder in [Server::of_files(&files), Server::of_files(&files).gunicorn()] {
        let server = builder.args(["app:make()"]).start();
        let mut client = server.connect();
        assert_eq!(client.get("/").text(), "standard own standard standard standard");
        assert_eq!(client.get("/raises").status, 500);
        server.wait_for_log("ValueError: on purpose");
    }
}

#[test]
fn a_chain_of_errors_is_told_whole() {
    let app = "try:\n    {}['first']\nexcept KeyError as error:\n    raise RuntimeError('second') from error\n";
    let (reason, traceback) = raised(&[("app.py", app)], "app:app");
    assert_eq!(reason, "Could not load app:app: RuntimeError: second");
    assert!(traceback.contains("KeyError: 'first'\n\nThe above exception was the direct cause"), "{traceback}");
}

#[test]
fn what_the_app_printed_before_it_failed_is_not_lost() {
    let app = "print('connecting')\nraise RuntimeError('no database')";
    let ended = Server::of(app).args(["app:app"]).fail();
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(3), "connecting\n"));
}

#[test]
fn a_spec_that_names_nothing_that_can_serve_is_refused_in_a_sentence() {
    let app = "
value = 5
class Space: app = None
def create_app(name): return None
def nothing(): return None
def number(): return 5
";
    for (spec, reason) in [
        ("app", "Failed to find attribute 'application' or 'app' in 'app'."),
        (".app:value", "Failed to find module '.app': there is nothing that it could be relative to."),
        ("app:missing", "Failed to find attribute 'missing' in 'app'."),
        ("app:missing()", "Failed to find attribute 'missing' in 'app'."),
        ("app:value", "Application object must be callable."),
        ("app:number()", "Application object must be callable."),
        ("app:nothing()", "Failed to find application object: 'nothing()'"),
        ("app:Space.app", "Failed to parse 'Space.app' as an attribute name or function call."),
        ("app:Space.app()", "Function reference must be a simple name: 'Space.app()'"),
        ("app:create_app(value)", "Failed to parse arguments as literal values: 'create_app(value)'"),
        (
            "app:create_app(name=open('x'))",
            "Failed to parse arguments as literal values: \"create_app(name=open('x'))\"",
        ),
        ("app:create_app(*[1])", "Failed to parse arguments as literal values: 'create_app(*[1])'"),
        ("app:create_app(**{})", "Failed to parse arguments as literal values: 'create_app(**{})'"),
        ("app:1+1", "Failed to parse '1+1' as an attribute name or function call."),
        ("app:a b", "Failed to parse 'a b' as an attribute name or function call."),
        ("app:create_app(", "Failed to parse 'create_app(' as an attribute name or function call."),
    ] {
        let ended = Server::of(app).args([spec]).fail();
        assert_eq!(one_sentence(&ended, 4), format!("Error: Could not load {spec}: {reason}"));
    }
    let ended = Server::of_files(&[("calendar.py", HELLO)]).args(["calendar:app"]).fail();
    let reason = "calendar.py is hidden by the standard library's calendar. Give it another name.";
    assert_eq!(one_sentence(&ended, 4), format!("Error: Could not load calendar:app: {reason}"));
    for spec in ["app:create_app()", "app:create_app(1, 2)", "app:create_app(other=1)", "app:value()"] {
        let ended = Server::of(app).args([spec]).fail();
        let said = one_sentence(&ended, 4);
        assert!(said.starts_with(&format!("Error: Could not load {spec}: The call ")), "{said}");
    }
}

#[test]
fn a_file_name_is_answered_with_the_module_that_was_meant() {
    for (text, spec, meant) in [
        (HELLO, "app.py", "app:app"),
        ("application = print", "app.py", "app:application"),
        (HELLO, "app.py:other", "app:other"),
    ] {
        let ended = Server::of(text).args([spec]).fail();
        let said = one_sentence(&ended, 3);
        let reason = format!("ImportError: Failed to find application, did you mean '{meant}'?");
        assert_eq!(said, format!("Error: Could not load {spec}: {reason}"));
    }
}

#[test]
fn what_the_command_line_lacks_or_has_too_much_of_is_told() {
    let without = Server::of(HELLO).without_bind().fail();
    assert_eq!(without.status.code(), Some(1));
    assert!(without.stderr.starts_with("Error: No application module specified. Name the app"), "{}", without.stderr);
    let unknown = Server::of(HELLO).args(["app:app", "--no-such-option"]).fail();
    assert_eq!(unknown.status.code(), Some(2));
    assert!(unknown.stderr.contains("--no-such-option") && unknown.stderr.contains("Usage: "), "{}", unknown.stderr);
    let two = Server::of(HELLO).args(["app:app", "other:app"]).fail();
    assert_eq!(two.status.code(), Some(2), "{}", two.stderr);
    assert!(
        two.stderr.contains("\"other:app\" is one too many behind APP. Serving needs no command"),
        "{}",
        two.stderr
    );
    let no_value = Server::of(HELLO).without_bind().args(["app:app", "--bind"]).fail();
    assert_eq!(no_value.status.code(), Some(2), "{}", no_value.stderr);
}

#[test]
fn a_value_that_cannot_be_is_named_with_its_option() {
    for (option, value) in [
        ("--threads", "0"),
        ("--threads", "many"),
        ("--threads", "-1"),
        ("--backlog", "0"),
        ("--graceful-timeout", "-1"),
        ("--graceful-timeout", "1.5"),
        ("--bind", "127.0.0.1:http"),
        ("--bind", "127.0.0.1:65536"),
        ("--bind", "no.such.host.invalid:0"),
        ("--access-logfile", "/no/such/folder/access.log"),
    ] {
        let ended = Server::of(HELLO).without_bind().args(["app:app", option, value]).fail();
        let said = one_sentence(&ended, 1);
        assert!(said.contains(value) && said.contains(option), "{said}");
    }
}

#[test]
fn options_may_be_shortened_and_the_last_value_counts() {
    let args = ["app:app", "--thr", "2", "--threads", "3", "--graceful", "5", "--log-le=info"];
    let server = Server::of(HELLO).args(args).start();
    server.wait_for_log("(3 threads)");
    assert_eq!(server.connect().get("/").text(), "hello");
}

#[test]
fn a_port_in_use_is_told_in_one_sentence() {
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = other.local_addr().expect("it listens").to_string();
    let ended = Server::of(HELLO).without_bind().args(["app:app", "--bind", &address]).fail();
    let said = one_sentence(&ended, 1);
    assert!(said.starts_with(&format!("Error: Cannot listen at {address}: the address is in use.")), "{said}");
}

#[test]
fn a_port_that_is_about_to_be_free_is_waited_for() {
    // At an address where no other test listens, so that nobody takes the port in between.
    let other = TcpListener::bind("127.0.0.4:0").expect("a free port");
    let address = other.local_addr().expect("it listens").to_string();
    let server = Server::of(HELLO).without_bind().args(["app:app", "--bind", &address]).start_quietly();
    server.wait_for_log(&format!("Connection in use: {address}. The next attempt is in a second."));
    drop(other);
    server.wait_for_log("Booting worker");
    assert_eq!(server.connect_to(&address).get("/").text(), "hello");
}

#[test]
fn a_port_is_free_again_as_soon_as_its_server_has_ended() {
    // Here too.
    let mut server = Server::of(HELLO).without_bind().args(["app:app", "--bind", "127.0.0.5:0"]).start();
    let address = server.address().to_owned();
    assert_eq!(server.connect().get("/").text(), "hello");
    server.stop();
    let next = Server::of(HELLO).without_bind().args(["app:app", "--bind", &address]).start();
    assert_eq!(next.connect().get("/").text(), "hello");
}

fn output_of(args: &[&str]) -> String {
    let output = Command::new(environment::rwsgi()).args(args).env_remove("LD_LIBRARY_PATH").output();
    let output = output.expect("the program starts");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn help_has_every_setting_with_its_default() {
    let (long, short) = (output_of(&["--help"]), output_of(&["-h"]));
    // Lines are broken to the width of the terminal.
    let words = long.split_whitespace().collect::<Vec<_>>().join(" ");
    for setting in settings::all() {
        for option in setting.longs() {
            assert!(long.contains(&format!("--{option}")), "{option} is missing:\n{long}");
            let is_short = setting.standing == Standing::Works;
            assert!(!is_short || short.contains(&format!("--{option}")), "{option} is missing:\n{short}");
        }
        if let Some(default) = setting.default.filter(|default| !default.is_empty())
            && setting.kind != Kind::Flag
            && !setting.flags.is_empty()
        {
            assert!(words.contains(&format!("[default: {default}]")), "{}:\n{long}", setting.name);
        }
    }
    for command in ["dockerize", "python"] {
        assert!(long.contains(&format!("\n  {command} ")), "{command} is missing:\n{long}");
    }
}

#[test]
fn version_names_the_python_inside() {
    let python = output_of(&["python", "-c", "import platform; print(platform.python_version())"]);
    let expected = format!("rwsgi {} (CPython {})\n", env!("CARGO_PKG_VERSION"), python.trim());
    assert_eq!(output_of(&["--version"]), expected);
}

#[test]
fn the_program_is_a_python_as_well() {
    let code = "import sys; print(sys.argv, sys.stdin.read()); sys.exit(7)";
    let output = Command::new(environment::rwsgi()).args(["python", "-c", code, "--help", "-x"]).output();
    let output = output.expect("the program starts");
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "['-c', '--help', '-x'] \n");
    let linked = tempfile::TempDir::new().expect("a temporary folder");
    let link = linked.path().join("python3");
    std::os::unix::fs::symlink(Path::new(environment::rwsgi()), &link).expect("a link can be made");
    let output = Command::new(link).args(["-c", "print(6 * 7)"]).output().expect("it starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_app_that_cannot_be_loaded_leaves_the_log_lines_and_the_exit_code_of_gunicorn() {
    let app = "import os\nif 'BAD' in os.environ: raise ValueError('on purpose')\n";
    for (args, code, begin) in [
        (&["app:app", "--env", "BAD=1"][..], 3, &["Exception in worker process", "Worker exiting (pid: "][..]),
        (&["app:app"], 4, &["Worker exiting (pid: "]),
        (&["app:app", "--env", "BAD=1", "--preload"], 1, &[]),
    ] {
        let lines = |stderr: &str| {
            let said = stderr.lines().filter_map(|line| line.split_once("] [ERROR] ").or(line.split_once("] [INFO] ")));
            let said = said.map(|(_, said)| said.to_owned());
            said.filter(|said| begin.iter().any(|begin| said.starts_with(begin))).count()
        };
        let gunicorn = Server::of(app).args(args.iter().copied()).gunicorn().fail();
        let ours = Server::of(app).args(args.iter().copied()).fail();
        for ended in [&gunicorn, &ours] {
            assert_eq!(ended.status.code(), Some(code), "{args:?}\n{}", ended.stderr);
            assert_eq!(lines(&ended.stderr), begin.len(), "{args:?}\n{}", ended.stderr);
        }
        let reason = if code == 4 { "App failed to load." } else { "Worker failed to boot." };
        let last =
            ours.stderr.lines().rev().take(2).map(|line| line.split_once("] [ERROR] ").map_or("", |said| said.1));
        assert_eq!(last.collect::<Vec<_>>(), [&format!("Reason: {reason}"), "Shutting down: Master"]);
    }
}

#[test]
fn a_library_may_have_threads_and_handlers_before_the_program_begins() {
    let threads = "
        #include <pthread.h>
        #include <signal.h>
        #include <unistd.h>
        static void tell(int number) { write(2, \"a fault, says the library\\n\", 26); signal(number, SIG_DFL); raise(number); }
        static void *run(void *unused) { for (;;) sleep(1); return unused; }
        __attribute__((constructor)) static void begin(void) {
            pthread_t thread;
            pthread_create(&thread, 0, run, 0);
            signal(SIGSEGV, tell);
        }
    ";
    let server = Server::of_files(&[("app.py", HELLO), ("threads.c", threads), ("gunicorn.conf.py", "")]);
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "threads.c", "-o", "threads.so", "-pthread"]).current_dir(server.directory());
    environment::run(&mut compile);
    let library = server.directory().join("threads.so").display().to_string();
    let mut server = server.env("LD_PRELOAD", &library).args(["app:app"]).start();
    assert_eq!(server.connect().get("/").text(), "hello");
    process::signal(server.worker(), "SEGV");
    server.wait_for_log("a fault, says the library\n");
    server.wait_for_log("was sent SIGSEGV!");
    server.stop();
}

#[test]
fn a_server_that_cannot_say_why_it_does_not_start_ends_all_the_same() {
    let under = ["sh", "-c", "\"$0\" \"$@\" 2>&1 | head -n 1"];
    let ended = Server::of(HELLO).args(["missing:app"]).under(under).fail();
    assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);
}

/// As the build has it, unless it was told otherwise (`PYTHON_STATIC`), which CI does for the smoke tests of the oldest Python.
#[test]
fn python_is_in_the_program_where_its_shared_library_is_slow_or_missing() {
    let facts = "import os, sysconfig; get = sysconfig.get_config_var
print(os.path.join(get('LIBDIR'), get('INSTSONAME')))
print(os.path.isfile(os.path.join(get('LIBPL'), get('LIBRARY'))), get('Py_ENABLE_SHARED'))
print('libpython' not in open('/proc/self/maps').read())";
    let told = Command::new(environment::rwsgi()).args(["python", "-Ic", facts]).output().expect("it starts").stdout;
    let told = String::from_utf8(told).expect("text");
    let [library, has_code, is_within] = told.lines().collect::<Vec<_>>().try_into().expect("three lines");
    let relocations = Command::new("readelf").args(["--relocs", "--wide", library]).output().expect("binutils").stdout;
    let is_slow = String::from_utf8_lossy(&relocations)
        .lines()
        .any(|line| line.contains("_JUMP_SL") && line.contains(" PyObject_"));
    let is_wanted = has_code == "True 0" || has_code == "True 1" && is_slow;
    assert_eq!(is_within == "True", is_wanted, "{told}");
}
