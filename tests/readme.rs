//! What the README says is so. Its two commands are run by `.ci/run`.

use rwsgi::settings::TABLE;

const README: &str = include_str!("../README.md");

#[test]
fn its_table_of_settings_is_the_programs() {
    let rows: Vec<String> = TABLE
        .iter()
        .map(|setting| {
            let short = setting.short.map(|short| format!("`-{short}` ")).unwrap_or_default();
            let default = if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
            let help = setting.help.replace('|', "\\|");
            format!("| {} | {short}`--{} {}` | {default} | {help} |", setting.name, setting.long, setting.value_name)
        })
        .collect();
    let table = rows.join("\n");
    assert!(README.contains(&table), "The README's rows should be:\n{table}");
}
