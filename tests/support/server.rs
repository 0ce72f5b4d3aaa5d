//! A running server, ended when it goes out of scope.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::{Client, environment, process};

/// Nothing in a test takes longer than this unless it is broken.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The certificate of a server that speaks TLS, and its key, in its folder.
pub const CERTIFICATE: &str = "both.pem";

/// A server to be started.
pub struct Builder {
    directory: TempDir,
    wrapper: Vec<String>,
    program: PathBuf,
    args: Vec<String>,
    variables: Vec<(String, Option<String>)>,
    bind: bool,
}

/// A server that runs, with the folder that its app is in.
pub struct Server {
    child: Child,
    directory: TempDir,
    addresses: Vec<String>,
    stdout: Output,
    stderr: Output,
}

/// What a server that ended left behind.
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Server {
    /// A server of the app in `app.py` with this text.
    pub fn of(app: &str) -> Builder {
        Self::of_files(&[("app.py", app)])
    }

    /// A server in a folder with these files.
    pub fn of_files(files: &[(&str, &str)]) -> Builder {
        let directory = TempDir::new().expect("a temporary folder");
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("the folder can be made");
            std::fs::write(path, text).expect("the file can be written");
        }
        Builder {
            directory,
            wrapper: Vec::new(),
            program: environment::rwsgi().into(),
            args: Vec::new(),
            variables: Vec::new(),
            bind: true,
        }
    }

    /// A client that connects to the first listener.
    pub fn connect(&self) -> Client {
        self.connect_to(self.address())
    }

    /// A client that connects to one of the listeners.
    pub fn connect_to(&self, address: &str) -> Client {
        match address.strip_prefix("https://") {
            Some(address) => self.connect_tls(address, b""),
            None => Client::connect(address),
        }
    }

    /// A client that speaks TLS with a server of [`Builder::tls`], after it has said something first.
    pub fn connect_tls(&self, address: &str, first: &[u8]) -> Client {
        Client::connect_tls(address, &self.directory().join(CERTIFICATE), first)
    }

    /// `HOST:PORT` of the first listener, `unix:PATH`, or `https://HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.addresses[0]
    }

    /// Every listener, written as [`Server::address`] does.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// The arbiter's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process of the first worker.
    pub fn worker(&self) -> u32 {
        process::child(self.pid())
    }

    /// The folder that the app is in.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Waits until standard error has this text.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        assert!(self.stderr.wait_for(text), "{text:?} was never logged, but:\n{}", self.stderr());
    }

    /// Waits until standard error has this text so many times.
    #[track_caller]
    pub fn wait_for_logs(&self, text: &str, times: usize) {
        let seen = process::holds(|| self.stderr().matches(text).count() >= times);
        assert!(seen, "{text:?} was not logged {times} times, but:\n{}", self.stderr());
    }

    /// Waits until standard output has this text so many times.
    #[track_caller]
    pub fn wait_for_outputs(&self, text: &str, times: usize) {
        let seen = process::holds(|| self.stdout().matches(text).count() >= times);
        assert!(seen, "{text:?} was not written {times} times, but:\n{}", self.stdout());
    }

    /// Waits until standard output has this text.
    #[track_caller]
    pub fn wait_for_output(&self, text: &str) {
        assert!(self.stdout.wait_for(text), "{text:?} was never written, but:\n{}", self.stdout());
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        process::signal(self.pid(), signal);
    }

    /// Waits for it to end.
    #[track_caller]
    pub fn wait(&mut self) -> Ended {
        let status = process::wait(&mut self.child)
            .unwrap_or_else(|| panic!("the server does not end:\n{}", self.stderr.text()));
        Ended { status, stdout: self.stdout.all(), stderr: self.stderr.all() }
    }

    /// Waits for its first process to end. Others may go on writing to what it wrote to.
    #[track_caller]
    pub fn wait_status(&mut self) -> ExitStatus {
        process::wait(&mut self.child).unwrap_or_else(|| panic!("the server does not end:\n{}", self.stderr.text()))
    }

    /// Ends it with SIGTERM, which must end well.
    #[track_caller]
    pub fn stop(&mut self) -> Ended {
        self.signal("TERM");
        let ended = self.wait();
        assert!(ended.status.success(), "{}\n{}", ended.status, ended.stderr);
        ended
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the server's standard error ---\n{}", self.stderr.text());
        }
    }
}

impl Builder {
    /// Adds command line arguments; the app's spec is among them.
    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.args.extend(args.into_iter().map(str::to_owned));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), Some(value.to_owned())));
        self
    }

    /// Takes an environment variable away.
    pub fn without_env(mut self, name: &str) -> Self {
        self.variables.push((name.to_owned(), None));
        self
    }

    /// Has it speak TLS, with a certificate for `localhost` that is made here.
    pub fn tls(self) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let certificate = params.self_signed(&key).expect("signed").pem();
        let path = self.directory().join(CERTIFICATE);
        std::fs::write(path, format!("{}{certificate}", key.serialize_pem())).expect("the file can be written");
        self.args(["--certfile", CERTIFICATE])
    }

    /// Starts it through a program that takes a command behind its own arguments.
    pub fn under<'a>(mut self, wrapper: impl IntoIterator<Item = &'a str>) -> Self {
        self.wrapper = wrapper.into_iter().map(str::to_owned).collect();
        self
    }

    /// Starts the real gunicorn instead, with a worker of threads. It takes the same options and says where it listens
    /// in the same words.
    pub fn gunicorn(mut self) -> Self {
        self.program = environment::venv().join("bin/gunicorn");
        self.args(["--no-control-socket", "--worker-class", "gthread"])
    }

    /// Does not name an address: the test does.
    pub fn without_bind(mut self) -> Self {
        self.bind = false;
        self
    }

    /// The folder that the app is in.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn spawn(&self) -> (Child, Output, Output) {
        let mut words = self.wrapper.iter().map(OsStr::new).chain([self.program.as_os_str()]);
        let mut command = environment::command(words.next().expect("the program at least"));
        command.args(words).args(&self.args);
        command.current_dir(self.directory.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if self.bind {
            command.args(["--bind", "127.0.0.1:0"]);
        }
        let mut child = command.spawn().expect("the program starts");
        let stdout = Output::read(child.stdout.take().expect("it is piped"));
        let stderr = Output::read(child.stderr.take().expect("it is piped"));
        (child, stdout, stderr)
    }

    /// Starts it, and waits until it listens. Connections wait until the app is loaded.
    #[track_caller]
    pub fn start(self) -> Server {
        let (child, stdout, stderr) = self.spawn();
        let mut server = Server { child, directory: self.directory, addresses: Vec::new(), stdout, stderr };
        assert!(server.stderr.wait_for("Booting worker"), "the server does not start:\n{}", server.stderr());
        let log = server.stderr();
        let listeners = log.split("Listening at: ").nth(1).and_then(|rest| rest.split(' ').next());
        let listeners = listeners.expect("the log says where it listens").split(',');
        server.addresses = listeners.map(|address| address.trim_start_matches("http://").to_owned()).collect();
        server
    }

    /// Starts it at a socket in its folder, and waits until it listens there: for one whose log may be elsewhere.
    #[track_caller]
    pub fn start_at_socket(self) -> Server {
        let mut server = self.without_bind().args(["--bind", "unix:app.sock"]).start_quietly();
        let path = server.directory().join("app.sock");
        // Its file is there a moment before anything listens.
        let listens = process::holds(|| UnixStream::connect(&path).is_ok());
        assert!(listens, "the server never listens:\n{}", server.stderr());
        server.addresses = vec![format!("unix:{}", path.display())];
        server
    }

    /// Starts it, and waits for nothing: its log says nothing yet, or never will.
    pub fn start_quietly(self) -> Server {
        let (child, stdout, stderr) = self.spawn();
        Server { child, directory: self.directory, addresses: Vec::new(), stdout, stderr }
    }

    /// Starts what cannot serve, and waits for its end.
    #[track_caller]
    pub fn fail(self) -> Ended {
        let (mut child, stdout, stderr) = self.spawn();
        let status = process::wait(&mut child).unwrap_or_else(|| {
            let _ = child.kill();
            panic!("the server does not end:\n{}", stderr.text())
        });
        Ended { status, stdout: stdout.all(), stderr: stderr.all() }
    }
}

/// What a process writes, read as it comes.
#[derive(Clone)]
struct Output {
    shared: Arc<(Mutex<(String, bool)>, Condvar)>,
}

impl Output {
    fn read(source: impl Read + Send + 'static) -> Self {
        let output = Self { shared: Arc::default() };
        let shared = Arc::clone(&output.shared);
        std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|size| size > 0) {
                shared.0.lock().expect("no reader panics").0.push_str(&String::from_utf8_lossy(&line));
                shared.1.notify_all();
                line.clear();
            }
            shared.0.lock().expect("no reader panics").1 = true;
            shared.1.notify_all();
        });
        output
    }

    fn text(&self) -> String {
        self.shared.0.lock().expect("no reader panics").0.clone()
    }

    /// Waits for the text, or for the end.
    fn wait_for(&self, text: &str) -> bool {
        let state = self.shared.0.lock().expect("no reader panics");
        let (state, _) = self
            .shared
            .1
            .wait_timeout_while(state, LIMIT, |(read, ended)| !read.contains(text) && !*ended)
            .expect("no reader panics");
        state.0.contains(text)
    }

    /// Everything, once it has ended.
    fn all(&self) -> String {
        let state = self.shared.0.lock().expect("no reader panics");
        let (state, _) =
            self.shared.1.wait_timeout_while(state, LIMIT, |(_, ended)| !*ended).expect("no reader panics");
        state.0.clone()
    }
}
