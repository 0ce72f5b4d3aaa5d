//! Answers that come bit by bit, and what precedes them.

use super::{Place, everywhere, get};
use crate::support::{Builder, Client, Server, process};

/// Reads until this has come.
#[track_caller]
fn until(client: &mut Client, end: &str, place: &Place) -> String {
    let mut seen = String::new();
    while !seen.ends_with(end) {
        let some = client.read_some().expect("it comes");
        assert!(!some.is_empty(), "{}: {seen:?}", place.name);
        seen.push_str(&String::from_utf8_lossy(&some));
    }
    seen
}

#[test]
fn events_arrive_one_by_one() {
    everywhere(&[], &[], |place| {
        let file = |number: usize| place.server.directory().join(format!("event-{number}"));
        let over = || place.server.stdout().matches("events are over").count();
        let before = over();
        let mut client = place.connect();
        client.send(get("/events"));
        let head = until(&mut client, "data: 0\n\n\r\n", place);
        assert!(head.contains("Transfer-Encoding: chunked\r\n") && head.contains("X-Accel-Buffering: no"), "{head}");
        for number in 1..3 {
            // The app waits for the test, and the event before has come.
            std::fs::write(file(number), "").expect("the file can be written");
            assert_eq!(until(&mut client, "\n\n\r\n", place), format!("9\r\ndata: {number}\n\n\r\n"), "{}", place.name);
        }
        assert_eq!(over(), before);
        std::fs::write(file(3), "").expect("the file can be written");
        assert_eq!(until(&mut client, "0\r\n\r\n", place), "9\r\ndata: 3\n\n\r\n0\r\n\r\n", "{}", place.name);
        (1..=3).for_each(|number| std::fs::remove_file(file(number)).expect("it is there"));
        assert_eq!(client.get("/hello").text(), "hello", "{}", place.name);
        place.server.wait_for_output("events are over\n");
    });
}

#[test]
fn an_app_hears_with_its_next_event_that_the_client_is_gone() {
    everywhere(&[], &[], |place| {
        let file = |number: usize| place.server.directory().join(format!("event-{number}"));
        let over = || place.server.stdout().matches("events are over").count();
        let before = over();
        let mut client = place.connect();
        client.send(get("/events"));
        until(&mut client, "data: 0\n\n\r\n", place);
        drop(client);
        // The first that is sent finds it out, or the one behind it; three are left.
        (1..=3).for_each(|number| std::fs::write(file(number), "").expect("the file can be written"));
        assert!(process::holds(|| over() == before + 1), "{}: {}", place.name, place.server.stdout());
        (1..=3).for_each(|number| std::fs::remove_file(file(number)).expect("it is there"));
        assert_eq!(place.connect().get("/hello").text(), "hello", "{}", place.name);
        assert!(!place.server.stderr().contains("Traceback"), "{}", place.server.stderr());
    });
}

#[test]
fn hints_precede_the_head_and_nothing_else() {
    let hint = |link: &str| format!("HTTP/1.1 103 Early Hints\r\nLink: </{link}.css>; rel=preload\r\n\r\n");
    let hints = hint("a") + &hint("b");
    everywhere(&[], &[], |place| {
        for (request, hints, body) in [
            (get("/hints"), hints.as_str(), "5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n"),
            (get("/hints").replace("GET", "HEAD"), &hints, ""),
            ("GET /hints HTTP/1.0\r\n\r\n".to_owned(), "", "firstsecond"),
        ] {
            let mut client = place.connect();
            client.send(&request).end();
            let all = String::from_utf8(client.read_all()).expect("text");
            let (before, answer) = all.split_at(hints.len());
            assert_eq!(before, hints, "{}: {request}", place.name);
            let (head, rest) = answer.split_once("\r\n\r\n").expect("a head");
            assert!(head.starts_with("HTTP/1.") && head.contains(" 200 OK\r\n"), "{}: {head}", place.name);
            assert_eq!(rest, body, "{}: {request}", place.name);
        }
    });
}

#[test]
fn hints_arrive_while_the_app_is_at_its_answer() {
    let app = "
import os, time
def app(environ, start_response):
    environ['wsgi.early_hints']([('Link', '</a.css>; rel=preload')])
    while not os.path.exists('go'):
        time.sleep(0.005)
    start_response('200 OK', [])
    return [b'answer']
";
    for args in [&[][..], &["--threads", "2"], &["--no-buffering", "--threads", "2"]] {
        let server = Server::of(app).args(["app:app"]).args(args.iter().copied()).start();
        let mut client = server.connect();
        client.send(get("/"));
        assert_eq!(client.response("GET").status, 103, "{args:?}");
        std::fs::write(server.directory().join("go"), "").expect("the file can be written");
        assert_eq!(client.response("GET").text(), "answer", "{args:?}");
    }
}

#[test]
fn hints_are_taken_as_gunicorn_takes_them() {
    let app = "
HINTS = [
    [('Link', '</a.css>')],
    (('Link', '</b.css>'), ['Link', '</c.css>']),
    iter([(b'Link', b'</d.css>')]),
    {'Link': '</e.css>'}.items(),
    [],
]
BAD = [[('Link',)], [('Li nk', 'x')], [('Link', 'x\\r\\ny')], [(1, 'x')], None, [('Link', '\\u20ac')]]
def app(environ, start_response):
    early_hints = environ['wsgi.early_hints']
    for hints in HINTS:
        early_hints(hints)
    refused = 0
    for hints in BAD:
        try:
            early_hints(hints)
        except Exception:
            refused += 1
    start_response('200 OK', [('Content-Length', '1')])
    return [str(refused).encode()]
";
    let seen = |builder: Builder| {
        let server = builder.args(["app:app"]).start();
        let mut client = server.connect();
        client.send(get("/"));
        let mut seen = Vec::new();
        loop {
            let response = client.response("GET");
            let links: Vec<_> = response.fields.iter().filter(|(name, _)| name == "Link").cloned().collect();
            seen.push((response.status, links, response.text()));
            if response.status >= 200 {
                return seen;
            }
        }
    };
    let ours = seen(Server::of(app));
    assert_eq!(ours, seen(Server::of(app).gunicorn()));
    assert_eq!((ours.len(), ours[5].2.as_str()), (6, "6"));
}
