//! What the README says is so. Its two commands are run by `.ci/run`.

use std::process::Command;

use regex::Regex;
use rwsgi::{
    image::project::pyproject::Project,
    settings::{self, Setting, Standing},
};

use crate::support::environment::rwsgi;

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

#[test]
fn it_has_every_option_of_dockerize() {
    let output = Command::new(rwsgi()).args(["dockerize", "--help"]).output().expect("it starts");
    let help = String::from_utf8(output.stdout).expect("text");
    let options = Regex::new(r"(?m)^ +(?:(-[a-z]), )?(--[a-z-]+)").expect("a valid expression");
    let found: Vec<_> = options.captures_iter(&help).filter(|option| &option[2] != "--help").collect();
    assert!(found.len() > 15, "{help}");
    for option in found {
        let names = [Some(option[2].to_owned()), option.get(1).map(|short| short.as_str().to_owned())];
        let is_there = |name: &String| Regex::new(&format!("(`| ){name}[`= \\[]")).expect("valid").is_match(README);
        assert!(names.iter().flatten().any(is_there), "The README does not have {}.", &option[2]);
    }
}

#[test]
fn its_table_of_an_image_has_every_key_and_can_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let read = |text: &str| {
        std::fs::write(folder.path().join("pyproject.toml"), text).expect("the file can be written");
        Project::read(folder.path()).map(drop).map_err(|fatal| fatal.to_string())
    };
    let table = README.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("it has one");
    assert_eq!(read(table), Ok(()));
    let error = read("[tool.rwsgi.image]\nno-such-key = 1\n").expect_err("there is no such key");
    let keys = error
        .split_once("the table has ")
        .and_then(|(_, rest)| rest.split('.').next())
        .expect("it says which there are");
    for key in keys.split(", ") {
        assert!(table.contains(&format!("\n{key} = ")), "The README does not have {key}.");
    }
}
