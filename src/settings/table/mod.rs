//! The table of settings, by gunicorn's sections. Names, flags and defaults are gunicorn's where gunicorn has the setting.

mod app;
mod debugging;
mod hooks;
mod logs;
mod metrics;
mod processes;
mod proxies;
mod requests;
mod sockets;
mod tls;
mod unsupported;
mod workers;

use super::setting::Setting;

/// Settings that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// What `--help` calls it.
    pub title: &'static str,
    /// Its settings, in the order of `--help`.
    pub settings: &'static [Setting],
}

/// Every setting.
pub const SECTIONS: &[Section] = &[
    Section { title: "App and configuration", settings: app::APP },
    Section { title: "Sockets", settings: sockets::SOCKETS },
    Section { title: "Workers", settings: workers::WORKERS },
    Section { title: "Processes", settings: processes::PROCESSES },
    Section { title: "Logs", settings: logs::LOGS },
    Section { title: "Metrics", settings: metrics::METRICS },
    Section { title: "Debugging", settings: debugging::DEBUGGING },
    Section { title: "Requests", settings: requests::REQUESTS },
    Section { title: "Proxies", settings: proxies::PROXIES },
    Section { title: "TLS and HTTP/2", settings: tls::TLS },
    Section { title: "Server hooks", settings: hooks::HOOKS },
    Section { title: "gunicorn's, without use here", settings: unsupported::UNSUPPORTED },
];

/// Every setting, in the order of `--help`.
pub fn all() -> impl Iterator<Item = &'static Setting> + Clone {
    SECTIONS.iter().flat_map(|section| section.settings)
}

/// The setting with this name.
pub fn find(name: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::all;
    use crate::settings::{Kind, Standing};

    #[test]
    fn no_name_or_flag_is_used_twice() {
        let mut seen = HashSet::new();
        for setting in all() {
            for flag in setting.flags.iter().chain([&setting.name]) {
                assert!(seen.insert(flag.to_owned()), "{flag} stands twice");
            }
        }
    }

    #[test]
    fn every_text_is_made_of_sentences() {
        for setting in all() {
            let texts = match setting.standing {
                Standing::Works => vec![setting.help],
                Standing::Nothing { why } => vec![setting.help, why],
                Standing::Refused { why, instead } => vec![setting.help, why, instead],
            };
            for text in texts {
                assert!(text.ends_with('.') && !text.contains("  "), "{}: {text:?}", setting.name);
            }
        }
    }

    #[test]
    fn flags_are_one_letter_or_long() {
        for setting in all() {
            for flag in setting.flags {
                let long = flag.strip_prefix("--").is_some_and(|name| name.len() > 1);
                assert!(long || (flag.len() == 2 && flag.starts_with('-')), "{}: {flag}", setting.name);
            }
            assert!(!setting.flags.is_empty() || setting.value_name.is_empty(), "{} has no flag", setting.name);
            let takes_none = setting.flags.is_empty() || matches!(setting.kind, Kind::Flag);
            assert_eq!(setting.value_name.is_empty(), takes_none, "{}: its value has a name in --help", setting.name);
        }
    }
}
