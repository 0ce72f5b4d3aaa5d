//! What people set.

use std::collections::HashMap;

use rwsgi::settings::{Kind, Settings, Sources, Value, all};

use super::choice;

/// A text is taken for a setting, or it is said on one line which one does not take it; and what is taken is taken again,
/// and means the same.
pub fn settings(mut bytes: &[u8]) {
    let all: Vec<_> = all().collect();
    let setting = all[usize::from(choice(&mut bytes)) % all.len()];
    let text = String::from_utf8_lossy(bytes).into_owned();
    let value_of = |sources: &Sources| {
        Settings::resolve(sources)
            .map(|settings| settings.values().find(|(name, _)| *name == setting.name).map(|(_, value)| value.clone()))
    };
    let given = |value: Value| Sources { command_line: [(setting.name, value)].into(), ..Sources::default() };
    match value_of(&given(Value::from(text.as_str()))) {
        Err(error) => assert_eq!(error.to_string().trim_end().lines().count(), 1, "{error}"),
        Ok(value) => {
            let value = value.expect("it is a setting");
            // As gunicorn, these take no list.
            let joined = matches!(setting.kind, Kind::Commas | Kind::Networks);
            let again =
                value_of(&given(if joined { Value::from(value.texts().join(",").as_str()) } else { value.clone() }));
            let again = again.ok().flatten().expect("it is taken again");
            // A folder whose name ends in a space is not, without the slash behind it, as in gunicorn.
            let trimmed = setting.name == "chdir" && value.text().is_some_and(|text| text.trim() != text);
            assert!(again == value || trimmed || joined && again.texts() == value.texts(), "{} {text:?}", setting.name);
        }
    }
    // What the environment says.
    let names = ["PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "SENDFILE"];
    let environment: HashMap<_, _> = [(names[text.len() % names.len()].to_owned(), text)].into();
    let _ = Settings::resolve(&Sources { environment, ..Sources::default() });
}
