//! One answer in the making: what PEP 3333 lets an app do with `start_response`, `write` and its iterable, in order.
//!
//! Pure state over a [`Responder`]; the interpreter's side translates its errors into Python's.

use bytes::Bytes;
use http::Method;

use super::{Gone, Head, Responder};

/// A large piece is sent in steps of this many bytes, so that a slow client bounds what waits in memory.
const STEP: usize = 64 << 10;

/// An answer in the making.
pub struct Exchange {
    responder: Box<dyn Responder>,
    method: Method,
    head: Option<Head>,
    state: State,
    sent: u64,
}

enum State {
    /// Nothing was sent: the head may still be replaced.
    Open,
    /// The head is out and pieces of the body follow; so many bytes are left of a declared length.
    Streaming { left: Option<u64>, cut: bool },
    /// There is nothing more to send.
    Ended,
}

/// What an app did wrong, or that there is no one left to answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ExchangeError {
    #[error("the app did not call start_response before its first piece of the body")]
    NotStarted,
    #[error("start_response was called again without exc_info")]
    AlreadyStarted,
    #[error("start_response was called with exc_info after the head was sent")]
    HeadSent,
    #[error("the body is {0} bytes shorter than its Content-Length")]
    Short(u64),
    #[error("the body was longer than its Content-Length, and was cut")]
    Cut,
    #[error(transparent)]
    Gone(#[from] Gone),
}

/// Whether more of the body is of use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flow {
    /// Go on.
    More,
    /// The client gets no more of it: no body belongs to this answer, or its declared length is reached.
    Enough,
}

impl Exchange {
    /// Answers a request of this method through `responder`.
    pub fn new(method: Method, responder: Box<dyn Responder>) -> Self {
        Self { responder, method, head: None, state: State::Open, sent: 0 }
    }

    /// `start_response`: sets the head; `replace` is whether it came with `exc_info`.
    ///
    /// # Errors
    /// It was called before, and may not be called again.
    pub fn start(&mut self, head: Head, replace: bool) -> Result<(), ExchangeError> {
        if !matches!(self.state, State::Open) {
            return Err(if replace { ExchangeError::HeadSent } else { ExchangeError::AlreadyStarted });
        }
        if self.head.is_some() && !replace {
            return Err(ExchangeError::AlreadyStarted);
        }
        self.head = Some(head);
        Ok(())
    }

    /// Whether `start_response` was called.
    pub fn is_started(&self) -> bool {
        self.head.is_some()
    }

    /// Whether the head is out.
    pub fn is_head_sent(&self) -> bool {
        !matches!(self.state, State::Open)
    }

    /// How many bytes of the body are out.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends a piece of the body, and before the first that is not empty the head. Blocks while the client is slow.
    ///
    /// # Errors
    /// There is no head to send, or no one to send to.
    pub fn write(&mut self, mut piece: Bytes) -> Result<Flow, ExchangeError> {
        if piece.is_empty() {
            return Ok(Flow::More);
        }
        if matches!(self.state, State::Open) {
            let head = self.head.clone().ok_or(ExchangeError::NotStarted)?;
            if !head.has_body(&self.method) {
                self.state = State::Ended;
                self.responder.complete(head, Bytes::new());
                return Ok(Flow::Enough);
            }
            self.state = State::Streaming { left: head.content_length, cut: false };
            self.responder.begin(head);
        }
        let State::Streaming { left, cut } = &mut self.state else { return Ok(Flow::Enough) };
        if let Some(left) = left {
            *cut |= piece.len() as u64 > *left;
            piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= piece.len() as u64;
        }
        let enough = *left == Some(0) && *cut;
        while !piece.is_empty() {
            let step = piece.split_to(piece.len().min(STEP));
            self.sent += step.len() as u64;
            self.responder.send(step)?;
        }
        Ok(if enough { Flow::Enough } else { Flow::More })
    }

    /// Answers with the whole body at once, where nothing was sent before. Does not block.
    ///
    /// # Errors
    /// There is no head to send, or its Content-Length is not that of the body.
    pub fn complete(&mut self, body: Bytes) -> Result<(), ExchangeError> {
        if !matches!(self.state, State::Open) {
            self.write(body)?;
            return self.finish();
        }
        let mut head = self.head.clone().ok_or(ExchangeError::NotStarted)?;
        if !head.has_body(&self.method) {
            if head.has_body(&Method::GET) && !body.is_empty() {
                // What a GET would be told (RFC 9110 section 9.3.2); an app that saw a HEAD may have sent nothing.
                head.content_length = head.content_length.or(Some(body.len() as u64));
            }
            self.state = State::Ended;
            self.responder.complete(head, Bytes::new());
            return Ok(());
        }
        let length = body.len() as u64;
        match head.content_length {
            Some(declared) if declared > length => {
                // The client must not take it for the whole: it gets what there is, and then the connection breaks.
                // The head goes first also where there is no body at all, which `write` would leave to `finish`.
                self.state = State::Streaming { left: Some(declared), cut: false };
                self.responder.begin(head);
                self.write(body)?;
                self.finish()
            }
            Some(declared) => {
                let cut = declared < length;
                self.state = State::Ended;
                self.sent = declared;
                self.responder.complete(head, body.slice(..usize::try_from(declared).unwrap_or(body.len())));
                if cut { Err(ExchangeError::Cut) } else { Ok(()) }
            }
            None => {
                self.state = State::Ended;
                self.sent = length;
                self.responder.complete(head, body);
                Ok(())
            }
        }
    }

    /// Ends the answer after the last piece.
    ///
    /// # Errors
    /// There is no head to send, or its Content-Length is not that of the body. Such a body does not end well: the
    /// connection breaks, so that the client does not take it for the whole.
    pub fn finish(&mut self) -> Result<(), ExchangeError> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Open => {
                self.state = State::Open;
                if self.head.is_none() {
                    return Err(ExchangeError::NotStarted);
                }
                self.complete(Bytes::new())
            }
            State::Streaming { left: Some(left), .. } if left > 0 => Err(ExchangeError::Short(left)),
            State::Streaming { cut, .. } => {
                self.responder.finish();
                if cut { Err(ExchangeError::Cut) } else { Ok(()) }
            }
            State::Ended => Ok(()),
        }
    }

    /// The app failed: 500 if nothing was sent, otherwise the answer breaks off.
    pub fn fail(&mut self) {
        if matches!(self.state, State::Open) {
            let (head, body) = Head::error_page(http::StatusCode::INTERNAL_SERVER_ERROR);
            let body = if head.has_body(&self.method) { body } else { Bytes::new() };
            self.responder.complete(head, body);
        }
        self.responder.abort();
        self.state = State::Ended;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use http::Method;

    use super::{Exchange, ExchangeError, Flow, Gone, Head, Responder};

    #[derive(Clone, Default)]
    struct Recorder(Arc<Mutex<Vec<String>>>);

    impl Recorder {
        fn say(&self, what: String) {
            self.0.lock().expect("no panic in a test").push(what);
        }

        fn said(&self) -> Vec<String> {
            self.0.lock().expect("no panic in a test").clone()
        }
    }

    impl Responder for Recorder {
        fn complete(&mut self, head: Head, body: Bytes) {
            self.say(format!("complete {} {}", head.status.as_u16(), body.len()));
        }

        fn begin(&mut self, head: Head) {
            self.say(format!("begin {}", head.status.as_u16()));
        }

        fn send(&mut self, piece: Bytes) -> Result<(), Gone> {
            if piece == "gone" {
                return Err(Gone);
            }
            self.say(format!("send {}", piece.len()));
            Ok(())
        }

        fn finish(&mut self) {
            self.say("finish".to_owned());
        }

        fn abort(&mut self) {
            self.say("abort".to_owned());
        }
    }

    fn exchange(method: Method) -> (Exchange, Recorder) {
        let recorder = Recorder::default();
        (Exchange::new(method, Box::new(recorder.clone())), recorder)
    }

    fn head(status: &str, length: Option<&str>) -> Head {
        let fields = length.map(|length| (&b"content-length"[..], length.as_bytes()));
        Head::new(status.as_bytes(), fields).expect("a valid head")
    }

    #[test]
    fn the_head_waits_for_the_first_piece_that_is_not_empty() {
        let (mut exchange, recorder) = exchange(Method::GET);
        assert_eq!(exchange.write(Bytes::from_static(b"a")), Err(ExchangeError::NotStarted));
        exchange.start(head("200 OK", None), false).expect("the first call");
        exchange.write(Bytes::new()).expect("nothing to send");
        assert!(!exchange.is_head_sent());
        exchange.start(head("404 Not Found", None), true).expect("replaced with exc_info");
        exchange.write(Bytes::from_static(b"abc")).expect("sent");
        assert_eq!(exchange.start(head("500 x", None), true), Err(ExchangeError::HeadSent));
        exchange.finish().expect("complete");
        assert_eq!(recorder.said(), ["begin 404", "send 3", "finish"]);
    }

    #[test]
    fn start_response_twice_needs_exc_info() {
        let (mut exchange, _) = exchange(Method::GET);
        exchange.start(head("200 OK", None), false).expect("the first call");
        assert_eq!(exchange.start(head("200 OK", None), false), Err(ExchangeError::AlreadyStarted));
    }

    #[test]
    fn a_body_longer_than_declared_is_cut() {
        let (mut exchange, recorder) = exchange(Method::GET);
        exchange.start(head("200 OK", Some("4")), false).expect("the first call");
        assert_eq!(exchange.write(Bytes::from_static(b"abc")), Ok(Flow::More));
        assert_eq!(exchange.write(Bytes::from_static(b"def")), Ok(Flow::Enough));
        assert_eq!(exchange.finish(), Err(ExchangeError::Cut));
        assert_eq!(recorder.said(), ["begin 200", "send 3", "send 1", "finish"]);
    }

    #[test]
    fn a_whole_body_longer_than_declared_is_cut() {
        let (mut exchange, recorder) = exchange(Method::GET);
        exchange.start(head("200 OK", Some("4")), false).expect("the first call");
        assert_eq!(exchange.complete(Bytes::from_static(b"abcdef")), Err(ExchangeError::Cut));
        assert_eq!(recorder.said(), ["complete 200 4"]);
    }

    #[test]
    fn a_body_shorter_than_declared_does_not_end_well() {
        let (mut exchange, recorder) = exchange(Method::GET);
        exchange.start(head("200 OK", Some("4")), false).expect("the first call");
        assert_eq!(exchange.complete(Bytes::from_static(b"abc")), Err(ExchangeError::Short(1)));
        assert_eq!(recorder.said(), ["begin 200", "send 3"]);
    }

    #[test]
    fn an_empty_body_shorter_than_declared_does_not_end_well_either() {
        for end in [Exchange::finish, |exchange: &mut Exchange| exchange.complete(Bytes::new())] {
            let (mut exchange, recorder) = exchange(Method::GET);
            exchange.start(head("200 OK", Some("4")), false).expect("the first call");
            assert_eq!(end(&mut exchange), Err(ExchangeError::Short(4)));
            assert_eq!(recorder.said(), ["begin 200"]);
        }
    }

    #[test]
    fn answers_without_a_body_send_the_head_alone() {
        for (method, status) in [(Method::HEAD, "200 OK"), (Method::GET, "204 No Content"), (Method::GET, "304 x")] {
            let (mut exchange, recorder) = exchange(method);
            exchange.start(head(status, None), false).expect("the first call");
            assert_eq!(exchange.write(Bytes::from_static(b"abc")), Ok(Flow::Enough));
            exchange.finish().expect("complete");
            assert_eq!(recorder.said(), [format!("complete {} 0", &status[..3])]);
        }
    }

    #[test]
    fn an_empty_answer_still_has_a_head() {
        let (mut exchange, recorder) = exchange(Method::GET);
        assert_eq!(exchange.finish(), Err(ExchangeError::NotStarted));
        exchange.start(head("200 OK", None), false).expect("the first call");
        exchange.finish().expect("complete");
        assert_eq!(recorder.said(), ["complete 200 0"]);
    }

    #[test]
    fn a_failure_is_a_500_before_the_first_byte_and_a_break_after_it() {
        let (mut early, recorder) = exchange(Method::GET);
        early.start(head("200 OK", None), false).expect("the first call");
        early.fail();
        assert_eq!(recorder.said(), ["complete 500 141", "abort"]);
        let (mut late, recorder) = exchange(Method::GET);
        late.start(head("200 OK", None), false).expect("the first call");
        late.write(Bytes::from_static(b"abc")).expect("sent");
        late.fail();
        assert_eq!(recorder.said(), ["begin 200", "send 3", "abort"]);
    }

    #[test]
    fn large_pieces_go_in_steps_and_stop_when_the_client_is_gone() {
        let (mut exchange, recorder) = exchange(Method::GET);
        exchange.start(head("200 OK", None), false).expect("the first call");
        exchange.write(Bytes::from(vec![0; 150_000])).expect("sent");
        assert_eq!(exchange.write(Bytes::from_static(b"gone")), Err(ExchangeError::Gone(Gone)));
        assert_eq!(recorder.said(), ["begin 200", "send 65536", "send 65536", "send 18928"]);
    }
}
