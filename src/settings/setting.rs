//! What the table says of one setting.

/// What the names of rwsgi's own settings begin with in a configuration file.
pub(super) const OWN: &str = "rwsgi_";

/// What values a setting takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Any text, or none.
    Text,
    /// Anything at all: gunicorn looks at it no more.
    Any,
    /// Texts; the option may be repeated.
    List,
    /// Texts in one text, between commas.
    Commas,
    /// Addresses and networks in one text, between commas; `*` for all of them.
    Networks,
    /// A whole number from 0.
    Number,
    /// A whole number from 1, or `auto`.
    Count,
    /// A number that is usually written in octal, where a leading 0 means that.
    Mode,
    /// True or false.
    Flag,
    /// One of these.
    Choice(&'static [&'static str]),
    /// A class: its name, or in a configuration file the class itself.
    Class,
    /// Texts by their names.
    Map,
    /// A user's name or number.
    User,
    /// A group's name or number.
    Group,
    /// A directory.
    Directory,
    /// `HOST:PORT` or `unix://PATH`; the port is this one when none is given.
    Address(u16),
    /// A function of the configuration file that takes from the first to the second number of arguments.
    Hook(u8, u8),
}

/// How much of a setting of gunicorn's there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It does what it does in gunicorn.
    Works,
    /// It is accepted, with a line that says why there is nothing to do.
    Nothing {
        /// Why there is nothing to do.
        why: &'static str,
    },
    /// It would change what the app does, and will not come. Refused when it is given another value than its default.
    Refused {
        /// Why rwsgi does not do it.
        why: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name in a configuration file.
    pub name: &'static str,
    /// Its options as they are written. The first long one is the one that messages name.
    pub flags: &'static [&'static str],
    /// What stands for the value in `--help`; empty where the option takes none, or there is no option.
    pub value_name: &'static str,
    /// The environment variable that changes its default.
    pub variable: Option<&'static str>,
    /// The value when nothing is given, as it would be written on the command line; a map is written as JSON.
    pub default: Option<&'static str>,
    /// What values it takes.
    pub kind: Kind,
    /// The value that the option has when it is given without one.
    pub bare: Option<&'static str>,
    /// Whether it is rwsgi's and not gunicorn's.
    pub own: bool,
    /// How much of it there is.
    pub standing: Standing,
    /// What it does: the first sentence is `-h`, the whole is `--help`.
    pub help: &'static str,
}

impl Setting {
    /// A setting that works, without options and without a default.
    pub(super) const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        let (default, bare) = match kind {
            Kind::Flag => (Some("False"), Some("True")),
            _ => (None, None),
        };
        let standing = Standing::Works;
        Self { name, flags: &[], value_name: "", variable: None, default, kind, bare, own: false, standing, help }
    }

    pub(super) const fn flags(mut self, flags: &'static [&'static str], value_name: &'static str) -> Self {
        self.flags = flags;
        self.value_name = value_name;
        self
    }

    pub(super) const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    pub(super) const fn no_default(mut self) -> Self {
        self.default = None;
        self
    }

    pub(super) const fn variable(mut self, variable: &'static str) -> Self {
        self.variable = Some(variable);
        self
    }

    pub(super) const fn bare(mut self, value: &'static str) -> Self {
        self.bare = Some(value);
        self
    }

    pub(super) const fn own(mut self) -> Self {
        self.own = true;
        self
    }

    pub(super) const fn nothing(mut self, why: &'static str) -> Self {
        self.standing = Standing::Nothing { why };
        self
    }

    pub(super) const fn refused(mut self, why: &'static str, instead: &'static str) -> Self {
        self.standing = Standing::Refused { why, instead };
        self
    }

    /// The option's single letter.
    pub fn short(&self) -> Option<char> {
        self.flags.iter().find(|flag| !flag.starts_with("--")).and_then(|flag| flag.chars().nth(1))
    }

    /// The option's long names, without dashes.
    pub fn longs(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.flags.iter().filter_map(|flag| flag.strip_prefix("--"))
    }

    /// What a message calls it: its long option, or its name where there is none.
    pub fn shown(&self) -> &'static str {
        self.flags.iter().find(|flag| flag.starts_with("--")).unwrap_or(&self.name)
    }

    /// What it is called in a configuration file. Files written for gunicorn have variables of their own, which must
    /// not be taken for a setting that gunicorn does not know.
    pub fn name_in_file(&self) -> String {
        if self.own { format!("{OWN}{}", self.name) } else { self.name.to_owned() }
    }
}
