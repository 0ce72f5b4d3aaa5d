//! What looks like a secret: by its name, as programs look for it, or by what it begins with.
//!
//! Not sources and pages, whatever they hold: an app that misses a module does not start.

use std::{
    ffi::OsStr,
    io::{self, Read as _},
    path::Path,
};

use super::text::decode;

/// How much of a file is looked at: a key may stand behind the certificates that vouch for it.
const LOOKED_AT: u64 = 1 << 16;
/// The same of what has addresses in it: a lock file may name its private index anywhere.
const LISTS_LOOKED_AT: u64 = 1 << 22;

/// Names of files that programs keep credentials in, and whose.
const NAMES: [(&str, &str); 23] = [
    (".env", "variables"),
    (".envrc", "variables"),
    (".netrc", "passwords"),
    ("_netrc", "passwords"),
    ("netrc", "passwords"),
    (".htpasswd", "passwords"),
    (".pypirc", "passwords of package indexes"),
    (".pgpass", "passwords of databases"),
    (".my.cnf", "passwords of databases"),
    (".git-credentials", "passwords of repositories"),
    (".dockercfg", "passwords of registries"),
    (".vault-token", "a token"),
    (".s3cfg", "keys of a cloud"),
    (".boto", "keys of a cloud"),
    ("terraform.tfstate", "the state of a cloud"),
    ("terraform.tfstate.backup", "the state of a cloud"),
    ("kubeconfig", "access to a cluster"),
    ("id_rsa", "a private key"),
    ("id_dsa", "a private key"),
    ("id_ecdsa", "a private key"),
    ("id_ecdsa_sk", "a private key"),
    ("id_ed25519", "a private key"),
    ("id_ed25519_sk", "a private key"),
];

/// The same for files whose names say nothing by themselves, with their folders.
const PATHS: [(&str, &str, &str); 6] = [
    (".aws", "credentials", "keys of a cloud"),
    (".docker", "config.json", "passwords of registries"),
    (".kube", "config", "access to a cluster"),
    (".config/gcloud", "credentials.db", "keys of a cloud"),
    (".config/gcloud", "application_default_credentials.json", "keys of a cloud"),
    (".streamlit", "secrets.toml", "secrets"),
];

/// How names end of what holds private keys and has no text that says so.
const EXTENSIONS: [&str; 6] = ["p12", "pfx", "jks", "keystore", "ppk", "kdbx"];

/// `.env.example` and its like show what there is to set.
const EXAMPLES: [&str; 6] = ["example", "sample", "template", "dist", "defaults", "schema"];

/// How names end of what is not looked into.
const SOURCES: [&str; 24] = [
    "py", "pyi", "html", "htm", "jinja", "jinja2", "j2", "js", "mjs", "ts", "css", "md", "rst", "svg", "png", "jpg",
    "jpeg", "gif", "webp", "ico", "woff", "woff2", "so", "mo",
];

/// The folder in which a usual layout of projects has its variables.
const ENVIRONMENTS: &str = ".envs";

/// Where pip and others read an address, which may have a password in it.
const ADDRESSES: [&str; 14] = [
    "pip.conf",
    "uv.toml",
    ".npmrc",
    ".condarc",
    "pyproject.toml",
    "poetry.toml",
    "setup.cfg",
    "Pipfile",
    "Pipfile.lock",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "pylock.toml",
    ".gitmodules",
];

/// How the names of npm's settings end that let their reader in.
const NPM: [&str; 3] = ["_authToken", "_auth", "_password"];

/// The least length of a user in an address that is a token: nobody is called so.
const TOKEN: usize = 20;

/// What is in the names that queries have for tokens (`private_token`, `X-Amz-Signature`), and such a name.
const TOKENS: [&str; 6] = ["token", "password", "secret", "signature", "api_key", "apikey"];
const SIGNATURE: &str = "sig";

/// What the file at `path` looks like, if that is a secret; `relative` is its name in the app.
pub fn kind(relative: &Path, path: &Path, size: u64) -> io::Result<Option<&'static str>> {
    if let Some(kind) = by_name(relative) {
        return Ok(Some(kind));
    }
    if size == 0 || relative.extension().is_some_and(|extension| SOURCES.iter().any(|known| extension == *known)) {
        return Ok(None);
    }
    let mut start = Vec::new();
    let most = if has_addresses(relative) { LISTS_LOOKED_AT } else { LOOKED_AT };
    std::fs::File::open(path)?.take(most).read_to_end(&mut start)?;
    Ok(by_content(relative, &start))
}

fn by_name(relative: &Path) -> Option<&'static str> {
    let name = relative.file_name()?.to_str()?.to_ascii_lowercase();
    if let Some((_, kind)) = NAMES.iter().find(|(known, _)| name == *known) {
        return Some(kind);
    }
    let parent = relative.parent().unwrap_or(Path::new(""));
    if let Some((.., kind)) = PATHS.iter().find(|(folder, known, _)| name == *known && parent.ends_with(folder)) {
        return Some(kind);
    }
    let extension = Path::new(&name).extension().and_then(OsStr::to_str).unwrap_or_default();
    if EXTENSIONS.contains(&extension) {
        return Some("a private key");
    }
    // prod.env, .env.local, .env~; not .flaskenv, which has no secrets by Flask's own word.
    let mut environments = parent.iter().skip_while(|folder| *folder != ENVIRONMENTS).peekable();
    let is_env = extension == "env"
        || name.strip_prefix(".env").is_some_and(|rest| rest.starts_with(['.', '-', '_', '~']))
        || environments.peek().is_some();
    let is_example = |name: &str| name.split(['.', '-', '_']).any(|part| EXAMPLES.contains(&part));
    let is_example = is_example(&name) || environments.any(|folder| folder.to_str().is_some_and(is_example));
    (is_env && !is_example).then_some("variables")
}

/// Whether a file is one that pip and others read addresses from.
fn has_addresses(relative: &Path) -> bool {
    let Some(name) = relative.file_name().and_then(OsStr::to_str) else { return false };
    let is_text = relative.extension().is_some_and(|extension| extension == "txt" || extension == "in");
    let is_list = ["requirements", "constraints"].iter().any(|word| name.contains(word))
        || relative.parent().is_some_and(|parent| parent.ends_with("requirements"));
    ADDRESSES.contains(&name) || is_text && is_list
}

/// Whether one of the addresses in a text has a password or a token. A variable in its place is as it should be.
fn has_password(text: &str) -> bool {
    text.match_indices("://").any(|(at, separator)| {
        let address = address(&text[at + separator.len()..]);
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        if query.split('&').filter_map(|pair| pair.split_once('=')).any(is_token) {
            return true;
        }
        let authority = path.split('/').next().unwrap_or_default();
        let Some((user, _)) = authority.rsplit_once('@').filter(|(user, _)| !user.contains("${")) else { return false };
        let is_http = ["http", "https"].iter().any(|scheme| text[..at].ends_with(scheme));
        user.contains(':') || is_http && user.len() >= TOKEN
    })
}

/// What of a text is still of the address that it begins with, behind the scheme.
fn address(text: &str) -> &str {
    text.split(|c: char| c.is_whitespace() || ['#', '"', '\''].contains(&c)).next().unwrap_or_default()
}

/// A text that may be shown: its addresses are without users, passwords and queries.
pub fn without_passwords(text: &str) -> String {
    let mut parts = text.split("://");
    let start = parts.next().unwrap_or_default().to_owned();
    parts.fold(start, |shown, part| {
        let address = address(part);
        let path = address.split('?').next().unwrap_or_default();
        let authority = path.split('/').next().unwrap_or_default();
        let user = authority.rfind('@').map_or(0, |at| at + 1);
        format!("{shown}://{}{}", &path[user..], &part[address.len()..])
    })
}

/// Whether a part of an address's query is what lets its reader in.
fn is_token((name, value): (&str, &str)) -> bool {
    let name = name.to_ascii_lowercase();
    let is_called_so = name == SIGNATURE || TOKENS.iter().any(|word| name.contains(word));
    is_called_so && !value.is_empty() && !value.contains("${")
}

fn by_content(relative: &Path, start: &[u8]) -> Option<&'static str> {
    let has = |text: &[u8], wanted: &[u8]| memchr::memmem::find(text, wanted).is_some();
    let keys = memchr::memmem::find_iter(start, b"-----BEGIN ").any(|at| {
        let is_line = at == 0 || start[at - 1] == b'\n';
        let line = start[at..].split(|byte| *byte == b'\n').next().unwrap_or_default();
        is_line && line.len() < 80 && has(line, b"PRIVATE KEY")
    });
    if keys {
        return Some("a private key");
    }
    if relative.extension().is_some_and(|extension| extension == "json") {
        let dense: Vec<u8> = start.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let signs: [(&[u8], _); 4] = [
            (b"\"type\":\"service_account\"", "a service account"),
            (b"\"type\":\"authorized_user\"", "access to a cloud"),
            (b"\"private_key\":\"-----BEGIN", "a private key"),
            (b"\"client_secret\":\"", "a client's secret"),
        ];
        return signs.iter().find(|(sign, _)| has(&dense, sign)).map(|(_, kind)| *kind);
    }
    if has_addresses(relative) {
        let text = decode(start);
        let lets_in = |line: &str| {
            let (name, value) = line.split_once('=').unwrap_or_default();
            NPM.iter().any(|end| name.trim_end().ends_with(end)) && !value.trim().is_empty() && !value.contains("${")
        };
        let has_token = relative.ends_with(".npmrc") && text.lines().any(lets_in);
        return (has_password(&text) || has_token).then_some("a password");
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{by_content, by_name, without_passwords};

    #[test]
    fn what_is_shown_has_no_passwords() {
        for (text, shown) in [
            ("-e git+https://me:x@example.org/a.git@main#egg=a", "-e git+https://example.org/a.git@main#egg=a"),
            ("'https://x@example.org', https://b.org?token=x y", "'https://example.org', https://b.org y"),
            ("mail me@example.org", "mail me@example.org"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }

    #[test]
    fn secrets_have_names() {
        for (name, secret) in [
            (".env", true),
            (".env.local", true),
            (".env.production", true),
            ("conf/prod.env", true),
            (".ENV", true),
            (".env.example", false),
            (".env-sample", false),
            (".env_prod", true),
            (".env~", true),
            (".environment", false),
            (".envs/.production/.django", true),
            (".envs/example/.django", false),
            ("dist/prod.env", true),
            (".envs/.django.example", false),
            (".htpasswd", true),
            ("netrc", true),
            ("example.env", false),
            (".flaskenv", false),
            ("environment.py", false),
            ("env", false),
            ("env/bin/python", false),
            (".netrc", true),
            (".pypirc", true),
            ("ssh/id_rsa", true),
            ("ssh/id_rsa.pub", false),
            ("keys/id_ed25519", true),
            ("store.p12", true),
            (".aws/credentials", true),
            ("home/.aws/credentials", true),
            ("credentials", false),
            (".docker/config.json", true),
            ("config.json", false),
            ("secrets.py", false),
        ] {
            assert_eq!(by_name(Path::new(name)).is_some(), secret, "{name}");
        }
    }

    #[test]
    fn secrets_have_beginnings() {
        let begin = format!("-----BEGIN {}", "RSA PRIVATE KEY-----\n");
        let token = format!("ghp_{}", "x".repeat(20));
        for (name, text, secret) in [
            ("tls/server.key", begin.clone(), true),
            ("both.pem", format!("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n{begin}"), true),
            ("windows.pem", format!("x\r\n-----BEGIN {}\r\n", "ENCRYPTED PRIVATE KEY-----"), true),
            ("ssh", format!("-----BEGIN {}", "OPENSSH PRIVATE KEY-----\n"), true),
            ("server.pem", "-----BEGIN CERTIFICATE-----\n".to_owned(), false),
            ("public.pem", "-----BEGIN PUBLIC KEY-----\n".to_owned(), false),
            ("notes.txt", format!("it begins with {begin}"), false),
            ("account.json", "{\n \"type\" : \"service_account\"}".to_owned(), true),
            ("client.json", "{\"installed\": {\"client_secret\": \"x\"}}".to_owned(), true),
            ("package.json", "{\"type\": \"module\"}".to_owned(), false),
            ("requirements.txt", "--index-url https://me:x@example.org/simple\nflask\n".to_owned(), true),
            ("requirements.txt", "--index-url https://me:${TOKEN}@example.org/simple\n".to_owned(), false),
            ("requirements.txt", "flask @ git+ssh://git@example.org/flask.git\n".to_owned(), false),
            ("requirements/prod.txt", "--index-url https://me:x@example.org/simple\n".to_owned(), true),
            ("constraints-3.txt", "--index-url https://me:x@example.org/simple\n".to_owned(), true),
            ("pyproject.toml", "url = \"https://me:x@example.org/simple\"\n".to_owned(), true),
            ("pyproject.toml", "email = \"me@example.org\"\nurl = \"https://example.org/@me\"\n".to_owned(), false),
            ("Pipfile", "url = 'https://$USER:${PASSWORD}@example.org/simple'\n".to_owned(), false),
            ("Pipfile.lock", "{\"url\":\"https://a.org\",\"url\":\"https://me:x@b.org\"}".to_owned(), true),
            ("uv.lock", format!("source = {{ git = \"https://{token}@example.org/a\" }}\n"), true),
            ("poetry.toml", format!("x = \"https://{token}@example.org/a\"\n"), true),
            ("setup.cfg", format!("    flask @ git+https://{token}@example.org/a\n"), true),
            ("requirements.txt", format!("flask @ git+https://{token}@example.org/a\n"), true),
            ("requirements.txt", "flask @ git+https://me@example.org/flask.git\n".to_owned(), false),
            ("requirements.txt", "flask @ git+https://${A_TOKEN_OF_SOME_LENGTH}@example.org/a\n".to_owned(), false),
            ("requirements.txt", "--index-url https://example.org/simple?private_token=x\n".to_owned(), true),
            ("requirements.txt", "a @ https://example.org/a.whl?v=1&X-Amz-Signature=x#sha256=0\n".to_owned(), true),
            ("requirements.txt", "a @ https://example.org/a.whl?se=x&sig=x\n".to_owned(), true),
            ("requirements.txt", "a @ https://example.org/a.whl?token=${TOKEN}\n".to_owned(), false),
            ("requirements.txt", "a @ https://example.org/a.whl?token=&design=x ; b?token=x\n".to_owned(), false),
            (".npmrc", "//example.org/:_authToken=x\n".to_owned(), true),
            (".npmrc", "_auth = eA==\n".to_owned(), true),
            (".npmrc", "//example.org/:_password=${PASSWORD}\nauthor=me\n".to_owned(), false),
            ("poetry.lock", "url = \"https://oauth2:x@example.org/a.git\"\n".to_owned(), true),
            (".gitmodules", "\turl = https://me:x@example.org/a.git\n".to_owned(), true),
            ("notes.txt", "https://me:x@example.org/\n".to_owned(), false),
        ] {
            assert_eq!(by_content(Path::new(name), text.as_bytes()).is_some(), secret, "{name}: {text}");
            // As PowerShell writes lists.
            let wide: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
            if name == "requirements.txt" {
                assert_eq!(by_content(Path::new(name), &wide).is_some(), secret, "{text}");
            }
        }
    }
}
