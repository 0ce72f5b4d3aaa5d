//! How processes run.

use crate::settings::setting::{Kind, Setting};

pub const PROCESSES: &[Setting] = &[
    Setting::new("daemon", Kind::Flag, "Leave the terminal and go on in the background.")
        .flags(&["-D", "--daemon"], ""),
    Setting::new(
        "pidfile",
        Kind::Text,
        "Write the process id to this file. A file of a server that runs is left alone, and the start refused.",
    )
    .flags(&["-p", "--pid"], "FILE"),
    Setting::new("user", Kind::User, "The user, by name or number, that workers run as.")
        .flags(&["-u", "--user"], "USER"),
    Setting::new("group", Kind::Group, "The group, by name or number, that workers run as.")
        .flags(&["-g", "--group"], "GROUP"),
    Setting::new("initgroups", Kind::Flag, "Give workers the further groups of their user too.")
        .flags(&["--initgroups"], ""),
    Setting::new(
        "umask",
        Kind::Mode,
        "The permissions that the files of unix sockets do not get. A number that begins with 0 is octal.",
    )
    .flags(&["-m", "--umask"], "MODE")
    .default("0"),
    Setting::new(
        "proc_name",
        Kind::Text,
        "What the processes call themselves in ps and top: rwsgi: master [NAME] and rwsgi: worker [NAME]. Without it \
         that is the name of the app.",
    )
    .flags(&["-n", "--name"], "NAME"),
    Setting::new("default_proc_name", Kind::Text, "The name of the process when there is no better one.")
        .default("gunicorn")
        .nothing("It is internal to gunicorn. Use proc_name."),
    Setting::new("enable_stdio_inheritance", Kind::Flag, "Keep standard output and error open with --daemon.")
        .flags(&["-R", "--enable-stdio-inheritance"], ""),
    Setting::new(
        "sendfile",
        Kind::Flag,
        "The kernel sends files that the app returns through wsgi.file_wrapper (sendfile(2)), unless --no-sendfile says \
         otherwise, or the variable SENDFILE has another value than y, yes, 1 or true.",
    )
    .flags(&["--no-sendfile"], "")
    .variable("SENDFILE")
    .no_default()
    .bare("False"),
    Setting::new(
        "worker_tmp_dir",
        Kind::Text,
        "Where gunicorn keeps the files by which its workers show that they live.",
    )
    .flags(&["--worker-tmp-dir"], "DIR")
    .nothing("Workers report through a pipe, and need no file."),
    Setting::new(
        "tmp_upload_dir",
        Kind::Text,
        "The directory of the files, without names, that what comes from slow clients and goes to them waits in. \
         Without it that is TMPDIR, or /tmp.",
    ),
];
