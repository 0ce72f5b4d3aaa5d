use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::{Exchange, ExchangeError, Flow, Gone, Head, Notes, Responder};

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

    fn complete_file(&mut self, head: Head, _: std::fs::File, offset: u64, length: u64) {
        self.say(format!("file {} {offset} {length}", head.status.as_u16()));
    }

    fn note(&mut self, notes: Notes) {
        self.say(format!("note {}", notes.len()));
    }

    fn interim(&mut self, head: &[u8]) {
        self.say(format!("interim {}", head.len()));
    }

    fn is_wanted(&self) -> bool {
        true
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

fn exchange(method: &str) -> (Exchange, Recorder) {
    let recorder = Recorder::default();
    (Exchange::new(method == "HEAD", Box::new(recorder.clone())), recorder)
}

fn head(status: &str, length: Option<&str>) -> Head {
    let fields = length.map(|length| (&b"content-length"[..], length.as_bytes()));
    Head::new(status.as_bytes(), fields).expect("a valid head")
}

#[test]
fn the_head_waits_for_the_first_piece_that_is_not_empty() {
    let (mut exchange, recorder) = exchange("GET");
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
    let (mut exchange, _) = exchange("GET");
    exchange.start(head("200 OK", None), false).expect("the first call");
    assert_eq!(exchange.start(head("200 OK", None), false), Err(ExchangeError::AlreadyStarted));
}

#[test]
fn a_body_longer_than_declared_is_cut() {
    let (mut exchange, recorder) = exchange("GET");
    exchange.start(head("200 OK", Some("4")), false).expect("the first call");
    assert_eq!(exchange.write(Bytes::from_static(b"abc")), Ok(Flow::More));
    assert_eq!(exchange.write(Bytes::from_static(b"def")), Ok(Flow::Enough));
    assert_eq!(exchange.finish(), Err(ExchangeError::Cut));
    assert_eq!(recorder.said(), ["begin 200", "send 3", "send 1", "finish"]);
}

#[test]
fn a_whole_body_longer_than_declared_is_cut() {
    let (mut exchange, recorder) = exchange("GET");
    exchange.start(head("200 OK", Some("4")), false).expect("the first call");
    assert_eq!(exchange.complete(Bytes::from_static(b"abcdef")), Err(ExchangeError::Cut));
    assert_eq!(recorder.said(), ["complete 200 4"]);
}

#[test]
fn a_body_shorter_than_declared_does_not_end_well() {
    let (mut exchange, recorder) = exchange("GET");
    exchange.start(head("200 OK", Some("4")), false).expect("the first call");
    assert_eq!(exchange.complete(Bytes::from_static(b"abc")), Err(ExchangeError::Short(1)));
    assert_eq!(recorder.said(), ["begin 200", "send 3", "abort"]);
}

#[test]
fn an_empty_body_shorter_than_declared_does_not_end_well_either() {
    for end in [Exchange::finish, |exchange: &mut Exchange| exchange.complete(Bytes::new())] {
        let (mut exchange, recorder) = exchange("GET");
        exchange.start(head("200 OK", Some("4")), false).expect("the first call");
        assert_eq!(end(&mut exchange), Err(ExchangeError::Short(4)));
        assert_eq!(recorder.said(), ["begin 200", "abort"]);
    }
}

#[test]
fn answers_without_a_body_send_the_head_alone() {
    for (method, status) in [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 x")] {
        let (mut exchange, recorder) = exchange(method);
        exchange.start(head(status, None), false).expect("the first call");
        assert_eq!(exchange.write(Bytes::from_static(b"abc")), Ok(Flow::Enough));
        exchange.finish().expect("complete");
        assert_eq!(recorder.said(), [format!("complete {} 0", &status[..3])]);
    }
}

#[test]
fn an_empty_answer_still_has_a_head() {
    let (mut exchange, recorder) = exchange("GET");
    assert_eq!(exchange.finish(), Err(ExchangeError::NotStarted));
    exchange.start(head("200 OK", None), false).expect("the first call");
    exchange.finish().expect("complete");
    assert_eq!(recorder.said(), ["complete 200 0"]);
}

#[test]
fn a_failure_is_a_500_before_the_first_byte_and_a_break_after_it() {
    let (mut early, recorder) = exchange("GET");
    early.start(head("200 OK", None), false).expect("the first call");
    early.fail(http::StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(recorder.said(), ["complete 500 141"]);
    let (mut late, recorder) = exchange("GET");
    late.start(head("200 OK", None), false).expect("the first call");
    late.write(Bytes::from_static(b"abc")).expect("sent");
    late.fail(http::StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(recorder.said(), ["begin 200", "send 3", "abort"]);
}

#[test]
fn large_pieces_go_in_steps_and_stop_when_the_client_is_gone() {
    let (mut exchange, recorder) = exchange("GET");
    exchange.start(head("200 OK", None), false).expect("the first call");
    exchange.write(Bytes::from(vec![0; 150_000])).expect("sent");
    assert_eq!(exchange.write(Bytes::from_static(b"gone")), Err(ExchangeError::Gone(Gone)));
    assert_eq!(recorder.said(), ["begin 200", "send 65536", "send 65536", "send 18928"]);
}

#[test]
fn a_first_piece_of_the_declared_length_is_the_whole_answer() {
    let (mut exchange, recorder) = exchange("GET");
    exchange.start(head("200 OK", Some("5")), false).expect("a first start");
    assert_eq!(exchange.write(Bytes::from_static(b"hello")), Ok(Flow::More));
    assert_eq!((exchange.sent(), exchange.is_head_sent()), (5, true));
    assert_eq!(exchange.write(Bytes::new()), Ok(Flow::More));
    assert_eq!(exchange.write(Bytes::from_static(b"more")), Ok(Flow::Enough));
    assert_eq!(exchange.finish(), Err(ExchangeError::Cut));
    assert_eq!(recorder.said(), ["complete 200 5", "finish"]);
}
