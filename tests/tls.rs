//! TLS, with certificates made for the test and curl as the client.

use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::support::{Builder, Server};

const APP: &str = "
def app(environ, start_response):
    if environ['PATH_INFO'] == '/file':
        start_response('200 OK', [])
        return environ['wsgi.file_wrapper'](open('file', 'rb'))
    start_response('200 OK', [])
    body = environ['wsgi.input'].read()
    return [f\"{environ['wsgi.url_scheme']} {len(body)}\".encode()]
";

/// An app's folder with a certificate authority, and a certificate of the server's and one of a client's.
fn builder() -> Builder {
    let builder = Server::of(APP);
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![]).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, "authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let write = |name: &str, text: String| std::fs::write(builder.directory().join(name), text).expect("written");
    write("ca.pem", params.self_signed(&key).expect("signed").pem());
    let authority = Issuer::new(params, key);
    for name in ["localhost", "client"] {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &authority).expect("signed").pem();
        write(&format!("{name}.both.pem"), format!("{}{certificate}", key.serialize_pem()));
        write(&format!("{name}.pem"), certificate);
        write(&format!("{name}.key"), key.serialize_pem());
    }
    builder.args(["app:app"])
}

/// What curl prints, and whether it is content.
fn curl(server: &Server, url: &str, args: &[&str]) -> (bool, Vec<u8>) {
    let port = server.address().rsplit(':').next().expect("a port");
    let url = url.replace("PORT", port);
    let mut command = Command::new("curl");
    command.current_dir(server.directory()).args(["-s", "--max-time", "30", "--cacert", "ca.pem"]).args(args).arg(url);
    let output = command.output().expect("curl is installed");
    (output.status.success(), output.stdout)
}

fn text(server: &Server, args: &[&str]) -> (bool, String) {
    let (success, output) = curl(server, "https://localhost:PORT/", args);
    (success, String::from_utf8_lossy(&output).into_owned())
}

#[test]
fn https_is_served_with_a_certificate_and_its_key() {
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let one = ["--certfile", "localhost.both.pem"];
    let two = ["--certfile", "localhost.pem", "--keyfile", "localhost.key"];
    for args in [&one[..], &two] {
        let server = builder().args(args.iter().copied()).start();
        std::fs::write(server.directory().join("file"), &content).expect("written");
        assert_eq!(text(&server, &[]), (true, "https 0".to_owned()));
        // A proxy that is believed says how its client came, and here it may be this very address.
        assert_eq!(text(&server, &["-H", "X-Forwarded-Proto: http"]), (true, "http 0".to_owned()));
        assert_eq!(text(&server, &["--data-binary", "@file"]), (true, "https 3000000".to_owned()));
        assert!(curl(&server, "https://localhost:PORT/file", &[]) == (true, content.clone()));
        let (_, plain) = curl(&server, "http://localhost:PORT/", &["-i"]);
        assert!(plain.starts_with(b"HTTP/1.1 403 "), "{}", String::from_utf8_lossy(&plain));
        server.wait_for_log("Listening at: https://127.0.0.1:");
    }
}

#[test]
fn clients_may_have_to_have_a_certificate() {
    let with = ["--cert", "client.pem", "--key", "client.key"];
    let wrong = ["--cert", "other.pem", "--key", "other.key"];
    for (reqs, without_is_fine) in [("1", true), ("2", false)] {
        let args = ["--certfile", "localhost.both.pem", "--ca-certs", "ca.pem", "--cert-reqs", reqs];
        let server = builder().args(args).start();
        let key = KeyPair::generate().expect("a key");
        let stranger = CertificateParams::new(vec!["client".to_owned()]).expect("parameters");
        let stranger = stranger.self_signed(&key).expect("signed").pem();
        std::fs::write(server.directory().join("other.pem"), stranger).expect("written");
        std::fs::write(server.directory().join("other.key"), key.serialize_pem()).expect("written");
        assert_eq!(text(&server, &with), (true, "https 0".to_owned()), "{reqs}");
        assert_eq!(text(&server, &[]).0, without_is_fine, "{reqs}");
        assert!(!text(&server, &wrong).0, "{reqs}");
    }
}

/// One of X.509 version 1, as `openssl x509 -req` without extensions makes it, and its key, which is nobody else's.
const VERSION_1: &str = "-----BEGIN CERTIFICATE-----
MIIBJDCBywIUFKlRNuZcuKTOk2x8FuzVft7x+RQwCgYIKoZIzj0EAwIwFDESMBAG
A1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNjE5MzQ1NloYDzIxMjYxMTAyMTkzNDU2
WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AASMDC3aZxEU0odGmJMPT03HFYcq0EQ9DkqNti4vqx18Zcp0YH+ZFmU1QavtWuLo
LgAKm6vfDE4RfS+oEMiEykVlMAoGCCqGSM49BAMCA0gAMEUCIG936USbLtCsTPmG
Oxg3GdKyqihd+s78Qbf/B/hY1jAdAiEAvjpeOuxVEUtBO1ExDg8BsgjtGbH2xKW1
ns/9rVxS7iU=
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgkiD9T5tljcRvMr9o
IdmS81h8/YctMfzGHpGuNI+cNSKhRANCAASMDC3aZxEU0odGmJMPT03HFYcq0EQ9
DkqNti4vqx18Zcp0YH+ZFmU1QavtWuLoLgAKm6vfDE4RfS+oEMiEykVl
-----END PRIVATE KEY-----
";

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let cases: [(&[&str], &str); 7] = [
        (&["--certfile", "version-1.pem"], "version-1.pem (certfile) cannot be used: invalid peer certificate"),
        (&["--certfile", "none.pem"], "none.pem (certfile)"),
        (
            &["--certfile", "localhost.pem", "--keyfile", "encrypted.key"],
            "encrypted.key (keyfile) is encrypted, and there is nobody to ask for its password. Decrypt it",
        ),
        (&["--certfile", "app.py"], "app.py (certfile)"),
        (&["--keyfile", "localhost.key"], "--keyfile names a private key without a certificate"),
        (&["--certfile", "localhost.pem", "--keyfile", "client.key"], "client.key (keyfile) does not go with"),
        (&["--certfile", "localhost.both.pem", "--cert-reqs", "2"], "--ca-certs"),
    ];
    for (args, said) in cases {
        let builder = builder();
        std::fs::write(builder.directory().join("version-1.pem"), VERSION_1).expect("written");
        // Only what it begins with counts.
        let encrypted = ["-----BEGIN ENCRYPTED PRIVATE", " KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"];
        std::fs::write(builder.directory().join("encrypted.key"), encrypted.concat()).expect("written");
        let ended = builder.args(args.iter().copied()).fail();
        assert_eq!(ended.status.code(), Some(1), "{args:?}");
        assert!(ended.stderr.contains(said), "{args:?}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let app = "
def app(environ, start_response):
    start_response('200 OK', [])
    return Pieces()
class Pieces:
    def __iter__(self):
        while True:
            yield b'x' * 30_000
    def close(self):
        print('closed', flush=True)
";
    // What TLS has taken in is not what a client has.
    let args = ["app:app", "--no-buffering", "--write-timeout", "1"];
    let server = Server::of(app).tls().args(args).start();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    server.wait_for_output("closed\n");
    drop(client);
}
