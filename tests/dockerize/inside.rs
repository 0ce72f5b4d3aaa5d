//! What an app may count on in a container, although there is nothing in it but Python and rwsgi.

use std::os::unix::fs::PermissionsExt as _;

use super::{
    engine::{Container, HARDENED, Image, docker, unique},
    folder,
};
use crate::support::process;

fn prints(code: &str, expected: &str) {
    assert_eq!(folder::packages().python(code), expected);
}

#[test]
fn time_zones() {
    prints(
        "import zoneinfo; print(zoneinfo.ZoneInfo('Europe/Paris'), len(zoneinfo.available_timezones()) > 400)",
        "Europe/Paris True",
    );
}

#[test]
fn sqlite() {
    prints(
        "import sqlite3; c = sqlite3.connect('/tmp/x.db'); c.execute('create table t (a)'); \
         c.execute('insert into t values (42)'); print(c.execute('select a from t').fetchone())",
        "(42,)",
    );
}

#[test]
fn subprocesses_of_the_interpreter() {
    prints(
        "import subprocess, sys; r = subprocess.run([sys.executable, '-c', 'import flask, sys; print(sys.argv)', 'x'], \
         capture_output=True, text=True); print(r.returncode, r.stdout.strip(), r.stderr)",
        "0 ['-c', 'x']",
    );
}

#[test]
fn the_interpreter_under_another_name() {
    prints(
        "import subprocess, sys; print(subprocess.run(['nonesuch', '-c', 'import flask, sys; sys.exit(47)'], \
         executable=sys.executable).returncode)",
        "47",
    );
}

#[test]
fn multiprocessing_by_spawning() {
    prints("import runpy; runpy.run_module('spawned', run_name='__main__', alter_sys=True)", "[2, 4, 6]");
}

#[test]
fn temporary_files_users_locales_and_services() {
    prints(
        "import tempfile, getpass, locale, socket, os; tempfile.TemporaryFile().write(b'x'); \
         print(getpass.getuser(), locale.setlocale(locale.LC_ALL, ''), socket.getservbyname('https'), \
         os.path.expanduser('~'))",
        "app C.UTF-8 443 /tmp",
    );
}

#[test]
fn types_of_files_are_those_of_the_machine() {
    let code =
        "import mimetypes; print([mimetypes.guess_type('a.' + end)[0] for end in ('webp', 'woff2', 'md', 'css')])";
    let here =
        std::process::Command::new(crate::support::environment::rwsgi()).args(["python", "-c", code]).output().unwrap();
    prints(code, String::from_utf8(here.stdout).unwrap().trim());
}

#[test]
fn every_module_of_the_standard_library_that_is_there() {
    // What is left out on purpose, and what only other systems have.
    let code = "import importlib, sys, warnings\n\
        warnings.simplefilter('ignore')\n\
        gone = {'antigravity', 'this', 'idlelib', 'turtle', 'turtledemo', 'tkinter', '_tkinter', 'ensurepip', 'venv', \n\
        'lib2to3', 'curses', '_curses', '_curses_panel', 'readline', 'nis', 'ossaudiodev', '_dbm', '_gdbm', 'pydoc_data', \n\
        '_msi', '_overlapped', '_scproxy', '_winapi', 'msilib', 'msvcrt', 'nt', 'winreg', 'winsound', '_aix_support', \n\
        '_bootsubprocess', '_osx_support', '_ios_support', '_wmi', '_pydatetime', '_pydecimal', '_pyio'}\n\
        failed = {}\n\
        for name in sorted(set(getattr(sys, 'stdlib_module_names', ())) - gone):\n\
        \x20   try: importlib.import_module(name)\n\
        \x20   except BaseException as error: failed[name] = repr(error)\n\
        print(failed)";
    prints(code, "{}");
}

#[test]
fn workers_as_many_as_the_engine_gives_processors() {
    // Of one and a half, a second worker would have half of the time.
    let name = unique("processors");
    let run = ["run", "-d", "--name", &name, "--cpus", "1.5"];
    let command = ["rwsgi", "app:app", "--workers", "auto", "--bind", "0.0.0.0:5000"];
    docker(&[&run, &HARDENED[..], &[&folder::hello().name], &command].concat());
    let container = Container { name, address: String::new() };
    let said = || container.log().lines().find_map(|line| Some(line.split_once("Workers: ")?.1.to_owned()));
    let said = process::until(said).expect("it says how many at start");
    assert!(said.starts_with("1, one for each CPU that may be used"), "{said}");
}

#[test]
fn libraries_by_name() {
    prints(
        "import ctypes, sys; from ctypes.util import find_library as find; names = find('c'), find('m'), find('ssl'), find('z'); \
         print(all(ctypes.CDLL(name) for name in names), find('nonesuch'))",
        "True None",
    );
}

#[test]
fn names_of_users_hosts_and_zones_and_authorities() {
    prints(
        "import grp, pwd, socket, ssl, zoneinfo, datetime\n\
         print(pwd.getpwuid(65532).pw_name, pwd.getpwnam('root').pw_uid, grp.getgrgid(65534).gr_name)\n\
         print(socket.getaddrinfo('localhost', 80, socket.AF_INET)[0][4], socket.getprotobyname('udp'))\n\
         print(datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin')).utcoffset())\n\
         print(ssl.create_default_context().cert_store_stats()['x509_ca'] > 50)",
        "app 0 nogroup\n('127.0.0.1', 80) 17\n2:00:00\nTrue",
    );
}

#[test]
fn a_shell_of_pythons_in_a_running_container() {
    let container = folder::hello().serve();
    for command in ["rwsgi python", "python"] {
        // script gives it a terminal; what is typed is echoed, what is computed is not typed.
        let mut child = std::process::Command::new("script")
            .args(["-qec", &format!("docker exec -it {} {command}", container.name), "/dev/null"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(
            &mut stdin,
            b"import sys, app\nprint(sys.stdin.isatty(), app.app.name, 6 * 7)\nexit(5)\n",
        )
        .unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(">>> ") && said.contains("True app 42"), "{command}: {said}");
        assert_eq!(output.status.code(), Some(5), "{command}: {said}");
    }
}

#[test]
fn numpy() {
    prints("import numpy as n; print(round(float(n.linalg.det(n.array([[1., 2.], [3., 4.]])))))", "-2");
}

#[test]
fn pillow() {
    prints(
        "import io; from PIL import Image; b = io.BytesIO(); Image.new('RGB', (8, 8), 'red').save(b, 'JPEG'); \
         Image.new('RGB', (8, 8)).save(io.BytesIO(), 'WEBP'); print(Image.open(b).size)",
        "(8, 8)",
    );
}

#[test]
fn cryptography() {
    prints(
        "from cryptography.fernet import Fernet; f = Fernet(Fernet.generate_key()); print(f.decrypt(f.encrypt(b'x')))",
        "b'x'",
    );
}

#[test]
fn psycopg_with_its_own_library() {
    prints("import psycopg; print(psycopg.pq.__impl__, psycopg.pq.version() > 0)", "binary True");
}

#[test]
fn lxml() {
    prints("from lxml import etree; print(etree.fromstring('<a><b>x</b></a>').xpath('string(b)'))", "x");
}

#[test]
fn names_and_certificates() {
    let image = folder::packages();
    let certificates = certificates(image);
    let network = unique("network");
    docker(&["network", "create", &network]);
    let _server = serve_tls(image, &network, certificates.path().to_str().unwrap());
    let code = "import socket, ssl, time\n\
        deadline = time.monotonic() + 30\n\
        while True:\n\
        \x20   try: plain = socket.create_connection(('tls.test', 8443), 5); break\n\
        \x20   except OSError:\n\
        \x20       if time.monotonic() > deadline: raise\n\
        try: print(ssl.create_default_context().wrap_socket(plain, server_hostname='tls.test').recv(9))\n\
        except ssl.SSLCertVerificationError as error: print(error.verify_message)";
    let bundle = format!("{}/ca.pem:/etc/ssl/certs/ca-certificates.crt:ro", certificates.path().display());
    assert_eq!(image.python_with(&["--network", &network, "-v", &bundle], code), "b'verified'");
    assert_eq!(
        image.python_with(&["--network", &network], code),
        "unable to get local issuer certificate",
        "the system's own authorities did not sign it"
    );
    assert_eq!(image.python("import ssl; print(len(ssl.create_default_context().get_ca_certs()) > 50)"), "True");
    let failed = image.python_with(
        &["--network", &network],
        "import socket\ntry: socket.getaddrinfo('nonesuch.invalid', 80)\nexcept socket.gaierror as e: print('gaierror')",
    );
    assert_eq!(failed, "gaierror");
}

/// A folder with an authority (`ca.pem`) and a certificate for tls.test (`cert.pem`, `key.pem`).
fn certificates(image: &Image) -> tempfile::TempDir {
    let code = "import datetime, json\n\
        from cryptography import x509\n\
        from cryptography.hazmat.primitives import hashes, serialization as s\n\
        from cryptography.hazmat.primitives.asymmetric import ec\n\
        def name(text): return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])\n\
        now = datetime.datetime.now(datetime.timezone.utc)\n\
        def make(subject, key, signer, authority, names):\n\
        \x20   builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name('ca')).public_key(key.public_key())\n\
        \x20   builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(1))\n\
        \x20   builder = builder.not_valid_after(now + datetime.timedelta(1))\n\
        \x20   builder = builder.add_extension(x509.BasicConstraints(authority, None), True)\n\
        \x20   if names: builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)\n\
        \x20   return builder.sign(signer, hashes.SHA256()).public_bytes(s.Encoding.PEM).decode()\n\
        ca, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())\n\
        print(json.dumps({'ca.pem': make('ca', ca, ca, True, []), 'cert.pem': make('tls.test', key, ca, False, ['tls.test']),\n\
        'key.pem': key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode()}))";
    let files: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&image.python(code)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        folder::write(folder.path(), &name, content.as_str().unwrap());
    }
    // The container's user is not the one who runs the tests.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn serve_tls(image: &Image, network: &str, certificates: &str) -> Container {
    let code = "import socket, ssl\n\
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
        context.load_cert_chain('/certificates/cert.pem', '/certificates/key.pem')\n\
        listener = socket.create_server(('', 8443))\n\
        while True:\n\
        \x20   try: context.wrap_socket(listener.accept()[0], server_side=True).send(b'verified')\n\
        \x20   except OSError: pass";
    let name = unique("tls");
    let mount = format!("{certificates}:/certificates:ro");
    let run = ["run", "-d", "--name", &name, "--network", network, "--network-alias", "tls.test", "-v", &mount];
    docker(&[&run, &HARDENED[..], &[&image.name, "python", "-c", code]].concat());
    Container { name, address: String::new() }
}
