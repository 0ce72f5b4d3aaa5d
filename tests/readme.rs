//! What the README says is so. Its two commands are run by `.ci/run`.

use rwsgi::settings::{self, Setting, Standing};

const README: &str = include_str!("../README.md");

#[test]
fn its_tables_of_settings_are_the_programs() {
    let works: Vec<_> = settings::all().filter(|setting| setting.standing == Standing::Works).map(row).collect();
    let rest: Vec<_> =
        settings::all().filter_map(|setting| Some(format!("| {} | {} |", setting.name, fate(setting)?))).collect();
    for table in [works.join("\n"), rest.join("\n")] {
        assert!(README.contains(&table), "The README's rows should be:\n{table}");
    }
}

fn row(setting: &Setting) -> String {
    let mut flags: Vec<_> = setting.flags.iter().map(|flag| format!("`{flag}`")).collect();
    if let (Some(last), false) = (flags.last_mut(), setting.value_name.is_empty()) {
        *last = format!("{} {}`", last.trim_end_matches('`'), setting.value_name);
    }
    let default = setting.default.filter(|default| !default.is_empty());
    let default = default.map_or_else(String::new, |default| format!("`{default}`"));
    let help = setting.help.replace('|', "\\|");
    format!("| {} | {} | {default} | {help} |", setting.name_in_file(), flags.join(" "))
}

fn fate(setting: &Setting) -> Option<String> {
    Some(match setting.standing {
        Standing::Works => return None,
        Standing::Nothing { why } => format!("nothing to do: {why}"),
        Standing::Refused { why, instead } => format!("refused: {why} {instead}"),
    })
}
