//! Several hundred requests a second, from clients that keep their connections and from clients that do not, and a
//! count of those that failed.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::server::LIMIT;

/// How long a client rests between two requests.
const REST: Duration = Duration::from_millis(4);

/// Clients at work, until they are told to end.
pub struct Load {
    clients: Vec<JoinHandle<Count>>,
    flags: Arc<Flags>,
    begin: Instant,
}

#[derive(Default)]
struct Flags {
    end: AtomicBool,
    /// A server that ends refuses connections: a client whose connection is refused has nothing more to do.
    may_refuse: AtomicBool,
    answered: AtomicUsize,
}

/// What the clients saw.
#[derive(Debug, Default)]
pub struct Count {
    pub answered: usize,
    /// What went wrong, of each request that failed.
    pub failed: Vec<String>,
    pub seconds: f64,
}

impl Load {
    /// Starts so many clients of each kind.
    pub fn start(address: &str, keeping: usize, closing: usize) -> Self {
        let flags = Arc::<Flags>::default();
        let client = |keep| {
            let (address, flags) = (address.to_owned(), Arc::clone(&flags));
            thread::spawn(move || run(&address, keep, &flags))
        };
        let clients = (0..keeping + closing).map(|number| client(number < keeping)).collect();
        Self { clients, flags, begin: Instant::now() }
    }

    /// How many requests were answered so far.
    pub fn answered(&self) -> usize {
        self.flags.answered.load(Ordering::SeqCst)
    }

    /// From now on the server may end: a refused connection ends its client.
    pub fn may_be_refused(&self) {
        self.flags.may_refuse.store(true, Ordering::SeqCst);
    }

    /// Stops the clients after the request that they are at, and prints what they saw.
    pub fn finish(mut self, of: &str) -> Count {
        // A client that is refused ends by itself; the others are told.
        if !self.flags.may_refuse.load(Ordering::SeqCst) {
            self.flags.end.store(true, Ordering::SeqCst);
        }
        let mut total = Count::default();
        for client in std::mem::take(&mut self.clients) {
            let count = client.join().expect("a client does not panic");
            total.answered += count.answered;
            total.failed.extend(count.failed);
        }
        total.seconds = self.begin.elapsed().as_secs_f64();
        eprintln!(
            "{of}: {} answered in {:.1} s, {} failed {:?}",
            total.answered,
            total.seconds,
            total.failed.len(),
            total.failed
        );
        total
    }
}

impl Drop for Load {
    /// A test that has failed leaves no clients behind.
    fn drop(&mut self) {
        self.flags.end.store(true, Ordering::SeqCst);
    }
}

impl Count {
    /// Nothing failed, and it was a load.
    #[track_caller]
    pub fn is_whole(&self) {
        assert_eq!(self.failed, Vec::<String>::new(), "of {} requests", self.answered);
        assert!(self.answered > 100, "that was no load: {}", self.answered);
    }

    /// As above, of a server that ended meanwhile.
    #[track_caller]
    pub fn is_whole_at_the_end(&self) {
        assert_eq!(self.failed, Vec::<String>::new(), "of {} requests", self.answered);
        assert!(self.answered > 20, "that was no load: {}", self.answered);
    }
}

fn run(address: &str, keep: bool, flags: &Flags) -> Count {
    let mut count = Count::default();
    let mut kept = None;
    while !flags.end.load(Ordering::SeqCst) {
        let reused = kept.is_some();
        let stream = match kept.take().map_or_else(|| connect(address), Ok) {
            Ok(stream) => stream,
            Err(_) if flags.may_refuse.load(Ordering::SeqCst) => return count,
            Err(error) => {
                count.failed.push(format!("connect: {error}"));
                thread::sleep(REST);
                continue;
            }
        };
        match exchange(stream, keep) {
            Ok(stream) => {
                count.answered += 1;
                flags.answered.fetch_add(1, Ordering::SeqCst);
                kept = stream;
            }
            Err(error) => {
                count.failed.push(format!("{} connection: {error}", if reused { "kept" } else { "new" }));
            }
        }
        thread::sleep(REST);
    }
    count
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// Sends a request and reads its answer. Returns the connection when it goes on.
fn exchange(mut stream: TcpStream, keep: bool) -> io::Result<Option<TcpStream>> {
    let connection = if keep { "keep-alive" } else { "close" };
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: test\r\nConnection: {connection}\r\n\r\n").as_bytes())?;
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            if !head.starts_with("http/1.1 200 ") {
                return Err(io::Error::other(head.to_owned()));
            }
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            if length.and_then(|length| length.parse().ok()) == Some(body.len()) {
                let ends = !keep || head.contains("connection: close");
                return Ok((!ends).then_some(stream));
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Err(io::Error::new(ErrorKind::UnexpectedEof, format!("ended after {} bytes", read.len()))),
            size => read.extend(&buffer[..size]),
        }
    }
}
