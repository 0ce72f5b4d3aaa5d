//! What a build tells, and where: bars on a terminal, plain lines in a pipe, one object with `--json`.

use std::process::Command;

use super::{engine::dockerize, folder};

#[test]
fn a_terminal_sees_steps_end_and_a_pipe_sees_plain_lines() {
    let app = folder::with(&[("app.py", "app = print\n")]);
    let place = tempfile::tempdir().unwrap();
    let tar = place.path().join("image.tar");
    let plain = dockerize(app.path(), "shop", &["--no-cache", "--output", tar.to_str().unwrap()]);
    let mut words = vec![plain.get_program().to_str().unwrap().to_owned()];
    words.extend(plain.get_args().map(|word| word.to_str().unwrap().to_owned()));
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &words.join(" "), "/dev/null"]).env("TERM", "xterm").stdin(std::process::Stdio::null());
    let seen = terminal.output().unwrap();
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(seen.contains("✓") && seen.contains("Gathering Python") && seen.contains(" of "), "{seen}");
    assert!(seen.contains("\u{1b}["), "{seen}");

    let output = dockerize(app.path(), "shop", &["--no-cache", "--output", tar.to_str().unwrap()]).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(!stdout.contains('\u{1b}') && !stderr.contains('\u{1b}') && !stderr.contains('✓'), "{stderr}");
    assert!(stdout.contains(&format!("docker load -i {}", tar.display())), "{stdout}");
    assert!(stdout.contains("shop:latest is ready in "), "{stdout}");

    let both = dockerize(app.path(), "shop", &["--json", "--output", "-"]).output().unwrap();
    assert_eq!(both.status.code(), Some(2), "one output for two things");
}
