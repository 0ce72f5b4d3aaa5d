//! The command line of the server: what is served, from where, and what is said when it cannot be.

use crate::support::Server;

const HELLO: &str = "def app(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'hello']
";

#[test]
fn an_app_is_served() {
    let mut server = Server::of(HELLO).args(["app:app"]).start();
    let response = server.connect().get("/");
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    server.stop();
}
