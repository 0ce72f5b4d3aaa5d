//! `benches/compare` and `benches/profile`, but for what they measure; the load that a build with a profile learns from.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::environment::{rwsgi, venv};

fn compare(arguments: &[&str]) -> Output {
    bench("compare", arguments)
}

fn bench(name: &str, arguments: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(name);
    Command::new(program).args(arguments).output().expect("python3 is there")
}

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results").join(name)
}

#[test]
fn it_refuses_what_it_does_not_know() {
    for (arguments, words) in [
        (["--rows", "tirvial"], "there is no 'tirvial', but trivial, flask-hello"),
        (["--servers", "rwsgi,nginx"], "there is no 'nginx', but rwsgi, gunicorn-sync"),
        (["--rounds", "0"], "'0' is no whole number from 1 to 3600"),
        (["--seconds", "1.5"], "'1.5' is no whole number from 1 to 3600"),
        (["--rwsgi", "/nowhere"], "there is no program /nowhere"),
        (["--from", "/dev/null"], "/dev/null is no compare.json"),
    ] {
        let output = compare(&arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(words), "{arguments:?}: {error}");
    }
}

#[test]
fn the_kept_page_and_picture_are_those_of_the_kept_figures() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let figures = kept("compare.json");
    let output = compare(&["--from", &figures.to_string_lossy(), "--output", &directory.path().to_string_lossy()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["compare.json", "compare.md", "compare.svg"] {
        let drawn = fs_err::read_to_string(directory.path().join(name)).expect("it is written");
        let kept = fs_err::read_to_string(kept(name)).expect("it is kept");
        assert!(
            drawn == kept,
            "{name} differs: benches/compare --from benches/results/compare.json --output benches/results"
        );
    }
}

#[test]
fn the_profile_refuses_what_it_does_not_know() {
    for (arguments, words) in [
        (["--rows", "memory"], "there is no 'memory', but trivial, flask-hello"),
        (["--servers", "nginx"], "there is no 'nginx', but rwsgi, gunicorn-sync"),
        (["--seconds", "0"], "'0' is no whole number from 1 to 3600"),
        (["--rwsgi", "/nowhere"], "there is no program /nowhere"),
    ] {
        let output = bench("profile", &arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(words), "{arguments:?}: {error}");
    }
}

/// What `perf script` prints: samples of a send, an epoll call, Python, a server and the C library.
const SAMPLES: &str = "
   71
\tffffffff8208 tcp_sendmsg ([kernel.kallsyms])
\tffffffff8209 __x64_sys_sendto ([kernel.kallsyms])
\tffffffff820a do_syscall_64 ([kernel.kallsyms])
\t         f83 __send (/usr/lib/libc.so.6)

   71
\tffffffff8207 ep_poll ([kernel.kallsyms])
\tffffffff8209 __x64_sys_epoll_wait ([kernel.kallsyms])

   71
\t        19a5 _PyDict_Next (/usr/lib/libpython3.11.so.1.0)
\t        19a6 [unknown] ([unknown])

   71
\t        19a7 rwsgi::wire::head::Head::parse (/usr/bin/rwsgi)

   71
\t        19a8 _PyDict_Next (/usr/bin/rwsgi)

   71
\t         f84 malloc (/usr/lib/libc.so.6)

   71
\t         f84 malloc (/usr/lib/libc.so.6)
";

#[test]
fn the_profile_knows_what_a_stack_belongs_to() {
    let code = "import runpy, sys; profile = runpy.run_path(sys.argv[1])
for stack, count in profile['stacks'](sys.argv[2]).items(): print(count, *stack, sep='; ')";
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/profile");
    let output =
        Command::new("python3").args(["-c", code]).arg(program).arg(SAMPLES).output().expect("python3 is there");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).lines().collect::<Vec<_>>(),
        [
            "1; kernel: send; do_syscall_64; __x64_sys_sendto; tcp_sendmsg",
            "1; kernel: wait for connections; __x64_sys_epoll_wait; ep_poll",
            "2; Python; _PyDict_Next",
            "1; the server's own program; rwsgi::wire::head::Head::parse",
            "2; C library; malloc",
        ],
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn run(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().expect("it starts");
    (output.status.code(), String::from_utf8(output.stderr).expect("what it says is text"))
}

/// As maturin runs what `pgo-command` names, but for the program, which is the one under test.
#[test]
fn a_build_learns_from_a_load_that_is_answered_in_full() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/python");
    let project = fs_err::read_to_string(format!("{folder}/pyproject.toml")).expect("it is there");
    let project: toml::Table = project.parse().expect("it is TOML");
    let load = project["tool"]["maturin"]["pgo-command"].as_str().expect("it is a command");

    let programs = [
        venv().join("bin"),
        Path::new(rwsgi()).parent().expect("it is in a folder").into(),
        "/usr/bin".into(),
        "/bin".into(),
    ];
    let mut command = Command::new("sh");
    command.args(["-c", load]).current_dir(folder).env("VIRTUAL_ENV", venv());
    command.env("PATH", std::env::join_paths(programs).expect("no path has a colon"));
    let (status, said) = run(command);
    assert_eq!(status, Some(0), "{said}");
    let learnt: Vec<&str> = said.lines().map(|line| line.split(':').next().unwrap_or_default()).collect();
    assert_eq!(
        learnt,
        ["one thread", "Flask", "four threads, two workers and an access log", "TLS", "HTTP/2"],
        "{said}"
    );
}

#[test]
fn a_build_learns_nothing_from_what_does_not_serve() {
    const LOAD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/train.py");
    for (program, words) in [
        ("/nowhere/rwsgi", "There is no /nowhere/rwsgi to train: name the program, or install rwsgi."),
        ("false", "false does not serve train:app, see above."),
    ] {
        let mut command = Command::new(venv().join("bin/python"));
        command.args([LOAD, program]);
        let (status, said) = run(command);
        assert!(status == Some(1) && said.contains(words), "{said}");
    }
    // What it needs is installed into no one else's Python.
    let mut command = Command::new(rwsgi());
    command.env_remove("VIRTUAL_ENV").args(["python", "-S", LOAD, rwsgi()]);
    let (status, said) = run(command);
    let words = "flask, httpx[http2], trustme are missing: run this with the Python of a virtual environment.";
    assert!(status == Some(1) && said.contains(words), "{said}");
}
