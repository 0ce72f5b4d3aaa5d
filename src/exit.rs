//! How the process ends: exit codes and the error that ends it.
//!
//! Not for what costs one request (a refusal or an app failure): those never reach this type.

use std::fmt;

/// Exit codes, gunicorn's where gunicorn has one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Code {
    /// A setting, an address or the machine does not allow what was asked (gunicorn: 1).
    Failed = 1,
    /// The command line could not be read (argparse and clap: 2).
    Usage = 2,
    /// The application's own code raised while it was loaded (gunicorn `WORKER_BOOT_ERROR`).
    WorkerBoot = 3,
    /// The application spec names nothing that can serve (gunicorn `APP_LOAD_ERROR`).
    AppLoad = 4,
    /// A hook of the configuration file raised. Between a template and its arbiter, which ends with [`Code::Failed`].
    Hook = 70,
    /// SIGINT or SIGTERM ended a command that was not done (shells: 128 and the signal's number).
    Interrupted = 130,
}

impl From<Code> for std::process::ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// An error that ends the program. Its text says what happened first, then what to do.
#[derive(Debug, Eq, PartialEq)]
pub struct Fatal {
    code: Code,
    message: String,
    traceback: Option<String>,
}

impl Fatal {
    /// Ends the program with [`Code::Failed`].
    pub fn new(message: impl Into<String>) -> Self {
        Self::with_code(Code::Failed, message)
    }

    /// Ends the program with `code`.
    pub fn with_code(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), traceback: None }
    }

    /// The same, after this traceback of the user's own code.
    #[must_use]
    pub fn with_traceback(self, traceback: Option<String>) -> Self {
        Self { traceback, ..self }
    }

    /// The traceback of the user's own code, where that raised.
    pub fn traceback(&self) -> Option<&str> {
        self.traceback.as_deref()
    }

    /// The code to exit with.
    pub fn code(&self) -> Code {
        self.code
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fatal {}
