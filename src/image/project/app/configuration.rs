//! The app that a `gunicorn.conf.py` names. It is a program, and is not run here: only a plain text is read.

use crate::image::choices;

/// The file, where nothing else is named.
pub const FILE: &str = "gunicorn.conf.py";

/// The value of `wsgi_app`, where a line assigns it a text.
pub fn wsgi_app(text: &str) -> Option<String> {
    text.lines().filter_map(assigned).next_back().and_then(|value| choices::app(value).ok())
}

/// Whether a line has modules looked for elsewhere.
pub fn moves(text: &str) -> bool {
    let is_assigned = |rest: &str| rest.starts_with('=') && !rest.starts_with("==");
    let sets = |line: &str, name| line.strip_prefix(name).map(str::trim_start).is_some_and(is_assigned);
    text.lines().any(|line| sets(line, "chdir") || sets(line, "pythonpath"))
}

/// Whether options in a variable have modules, or this file, looked for elsewhere.
pub fn options_move(options: &str) -> bool {
    options
        .split_whitespace()
        .any(|word| ["-c", "--config", "--chdir", "--pythonpath"].iter().any(|it| word.starts_with(it)))
}

fn assigned(line: &str) -> Option<&str> {
    let value = line.strip_prefix("wsgi_app")?.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|first| ['"', '\''].contains(first))?;
    let (value, rest) = value[1..].split_once(quote)?;
    let rest = rest.trim_start();
    (!value.contains('\\') && (rest.is_empty() || rest.starts_with('#'))).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::{moves, options_move, wsgi_app};

    #[test]
    fn another_folder_is_seen() {
        for text in ["workers = 2\nchdir = 'backend'", "pythonpath='lib,src'", "chdir = 'a=='"] {
            assert!(moves(text), "{text}");
        }
        for text in
            ["", "# chdir = 'a'", "chdir_to = 'a'", "chdir == 'a'", "if chdir == 'a': pass", "print(pythonpath)"]
        {
            assert!(!moves(text), "{text}");
        }
        assert!(["-c x.py", "--timeout 5 --chdir=/a", "--config x"].iter().all(|options| options_move(options)));
        assert!(!options_move("--timeout 60 --check-config"));
    }

    #[test]
    fn a_text_at_the_start_of_a_line_names_the_app() {
        for (text, spec) in [
            ("workers = 2\nwsgi_app = \"server:server\"\n", Some("server:server")),
            ("wsgi_app='pkg:create_app(\"x\")'  # it", Some("pkg:create_app(\"x\")")),
            ("wsgi_app = 'a:a'\nwsgi_app = 'b:b'\n", Some("b:b")),
            ("if x:\n    wsgi_app = 'a:a'\n", None),
            ("wsgi_app = name + ':app'\n", None),
            ("wsgi_app = 'a' ':app'\n", None),
            ("wsgi_app_of = 'a:a'\nwsgi_app == 'a:a'\n", None),
            ("wsgi_app = ''\n", None),
        ] {
            assert_eq!(wsgi_app(text).as_deref(), spec, "{text}");
        }
    }
}
