//! Images and containers of the tests' own, which are gone afterwards whichever way the tests end.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{ChildStdin, Command, Output, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use serde_json::Value;

use crate::support::{environment::rwsgi, server::LIMIT};

/// As little as an app needs.
pub const HARDENED: [&str; 7] =
    ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];

/// Runs `docker` and returns its standard output; a failure fails the test.
pub fn docker<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> String {
    let output = try_docker(arguments);
    assert!(output.status.success(), "docker failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn try_docker<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Output {
    Command::new("docker").args(arguments).stdin(Stdio::null()).output().expect("the docker command is installed")
}

/// A name that no other test has, removed when the tests' process is gone.
pub fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("rwsgi-test-{what}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    remove_at_the_end(&name);
    name
}

/// Statics are never dropped, and a test may be killed: a process of its own waits for the end of this one.
#[expect(clippy::zombie_processes, reason = "it outlives this process on purpose")]
fn remove_at_the_end(name: &str) {
    const SCRIPT: &str = "names=; while read -r name; do names=\"$names $name\"; done
        for name in $names; do docker rm -f $name; docker network rm $name; docker rmi -f $name:latest; done";
    static REAPER: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    let reaper = REAPER.get_or_init(|| {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Mutex::new(child.stdin.take().unwrap())
    });
    writeln!(reaper.lock().unwrap(), "{name}").unwrap();
}

/// An image that `rwsgi dockerize` made.
pub struct Image {
    pub name: String,
    pub result: Value,
    pub stderr: String,
}

impl Image {
    /// Makes one from `folder`, or fails the test.
    pub fn of(folder: &Path, arguments: &[&str]) -> Self {
        let name = unique("image");
        let output = dockerize(folder, &name, arguments).arg("--json").output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        Self { name, result: serde_json::from_slice(&output.stdout).unwrap(), stderr }
    }

    /// The digests of its layers.
    pub fn digests(&self) -> Vec<&str> {
        self.result["layers"].as_array().unwrap().iter().map(|layer| layer["digest"].as_str().unwrap()).collect()
    }

    /// What `python -c CODE` prints in a hardened container of it.
    pub fn python(&self, code: &str) -> String {
        self.python_with(&[], code)
    }

    /// The same, with further arguments to `docker run`.
    pub fn python_with(&self, options: &[&str], code: &str) -> String {
        let output = self.try_python(options, code);
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn try_python(&self, options: &[&str], code: &str) -> Output {
        let container = unique("python");
        let run = ["run", "--rm", "--name", &container];
        try_docker(&[&run, &HARDENED[..], options, &[&self.name, "python", "-c", code]].concat())
    }

    /// The engine's description of it.
    pub fn inspect(&self) -> Value {
        let text = docker(&["image", "inspect", &self.name]);
        serde_json::from_str::<Value>(&text).unwrap()[0].clone()
    }

    /// Starts it as its summary says, on a port of this machine's.
    pub fn serve(&self) -> Container {
        let name = unique("serve");
        let run = ["run", "-d", "--name", &name, "-p", "127.0.0.1::5000"];
        docker(&[&run, &HARDENED[..], &[&self.name]].concat());
        let address = docker(&["port", &name, "5000/tcp"]);
        Container { name, address: address.lines().next().unwrap().to_owned() }
    }
}

impl Image {
    /// Starts a command in it that listens at an address of this machine's own network.
    pub fn serve_at(&self, address: &str, command: &[&str]) -> Container {
        let name = unique("serve");
        let run = ["run", "-d", "--name", &name, "--network", "host"];
        docker(&[&run, &HARDENED[..], &[&self.name], command].concat());
        Container { name, address: address.to_owned() }
    }
}

/// A command line of `rwsgi dockerize`, in an environment that says nothing about apps, and with a cache of the tests' own.
pub fn dockerize(folder: &Path, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(rwsgi());
    command.arg("dockerize").arg(folder).args(["-t", name]).args(arguments);
    command.env_remove("FLASK_APP").env_remove("SOURCE_DATE_EPOCH").stdin(Stdio::null());
    command.env("RWSGI_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/image-cache"));
    command
}

/// Whether the engine knows an image.
pub fn image_exists(name: &str) -> bool {
    try_docker(&["image", "inspect", name]).status.success()
}

/// A container that runs, and is removed with this value.
pub struct Container {
    pub name: String,
    pub address: String,
}

impl Container {
    /// The body of `path`, once the server answers at all.
    pub fn get(&self, path: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            match get(&self.address, path) {
                Ok(answer) if answer.starts_with("HTTP/1.1 200") => {
                    return answer.split_once("\r\n\r\n").unwrap().1.to_owned();
                }
                Ok(answer) if !answer.is_empty() => panic!("{answer}"),
                _ => {}
            }
            let state = docker(&["inspect", "-f", "{{.State.Running}}", &self.name]);
            assert!(state == "true" && Instant::now() < deadline, "no answer; its log: {}", self.log());
        }
    }

    /// The URL of a path, once the server answers at all.
    pub fn url(&self, path: &str) -> String {
        self.get("/");
        format!("http://{}{path}", self.address)
    }

    pub fn log(&self) -> String {
        let output = try_docker(&["logs", &self.name]);
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        try_docker(&["rm", "-f", &self.name]);
    }
}

fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
