//! Whether a value is one that a setting takes, and what it is then: gunicorn's rules for each kind.

use nix::unistd;

use super::{Address, Kind, Setting, Value, requests};

/// What is wrong with what is no [`Kind::Count`], 0 included.
pub const NO_COUNT: &str = "is neither a whole number from 1 nor auto";

/// Checks a value. An error completes the sentence "The value X of Y ...".
pub fn check(setting: &Setting, value: &Value) -> Result<Value, String> {
    match setting.kind {
        Kind::Any => Ok(value.clone()),
        Kind::Text => text(value),
        Kind::Directory => match text(value)? {
            Value::None => Err("is not text".to_owned()),
            directory => Ok(directory),
        },
        Kind::List => list(value),
        Kind::Commas => commas(value),
        Kind::Networks => networks(value),
        Kind::Number => number(value, false),
        Kind::Count if *value == Value::from("auto") => Ok(value.clone()),
        Kind::Count => number(value, false).map_err(|_| NO_COUNT.to_owned()),
        Kind::Mode => number(value, true),
        Kind::Flag => flag(value),
        Kind::Choice(choices) => choice(setting, choices, value),
        Kind::Class => match value {
            Value::Class(name) => Ok(Value::Text(name.clone())),
            value => text(value),
        },
        Kind::Map => match value {
            Value::Map(_) => Ok(value.clone()),
            _ => Err("is not a dictionary".to_owned()),
        },
        Kind::User => account(value, unistd::geteuid().as_raw(), "user", |name| {
            unistd::User::from_name(name).ok().flatten().map(|user| user.uid.as_raw())
        }),
        Kind::Group => account(value, unistd::getegid().as_raw(), "group", |name| {
            unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
        }),
        Kind::Address(port) => {
            let value = text(value)?;
            match value.text().map(|text| Address::parse(text, port)) {
                Some(None) => Err("is neither HOST:PORT nor unix://PATH".to_owned()),
                _ => Ok(value),
            }
        }
        Kind::Hook(least, most) => hook(value, least, most),
    }
}

/// The value of a setting that nothing was given for.
pub fn default(setting: &Setting) -> Result<Value, String> {
    match (setting.kind, setting.default) {
        (Kind::Map, Some(json)) => serde_json::from_str(json).map(Value::Map).map_err(|error| error.to_string()),
        (_, Some(text)) => check(setting, &Value::from(text)),
        (Kind::List | Kind::Commas | Kind::Networks, None) => Ok(Value::List(Vec::new())),
        (Kind::User | Kind::Group, None) => check(setting, &Value::None),
        (_, None) => Ok(Value::None),
    }
}

fn text(value: &Value) -> Result<Value, String> {
    match value {
        Value::None => Ok(Value::None),
        Value::Text(text) => Ok(Value::Text(text.trim().to_owned())),
        _ => Err("is not text".to_owned()),
    }
}

fn list(value: &Value) -> Result<Value, String> {
    match value {
        Value::None | Value::Flag(false) | Value::Number(0) => Ok(Value::List(Vec::new())),
        Value::Text(one) if one.is_empty() => Ok(Value::List(Vec::new())),
        Value::Text(_) => Ok(Value::List(vec![text(value)?])),
        Value::List(values) => {
            let values: Result<_, _> = values.iter().map(text).collect();
            values.map(Value::List).map_err(|_| "is not a list of texts".to_owned())
        }
        _ => Err("is neither text nor a list of texts".to_owned()),
    }
}

fn commas(value: &Value) -> Result<Value, String> {
    match text(value)? {
        Value::Text(text) => {
            let items = text.split(',').filter(|item| !item.is_empty());
            Ok(Value::List(items.map(|item| Value::from(item.trim())).collect()))
        }
        _ => Ok(Value::List(Vec::new())),
    }
}

fn networks(value: &Value) -> Result<Value, String> {
    let list = commas(value)?;
    for network in list.texts() {
        // As Python's `ip_network`, which takes no network whose address has bits behind the prefix.
        let valid = network == "*" || requests::network(&network).is_some_and(|network| network.trunc() == network);
        if !valid {
            return Err(format!("has {network:?}, which is neither an IP address, nor a network, nor *"));
        }
    }
    Ok(list)
}

fn number(value: &Value, octal: bool) -> Result<Value, String> {
    let number = match value {
        Value::Number(number) => Some(*number),
        Value::Flag(flag) => Some(i64::from(*flag)),
        Value::Text(text) => parse_number(text, octal),
        _ => None,
    };
    match number {
        Some(number @ 0..) => Ok(Value::Number(number)),
        _ => Err("is not a whole number from 0".to_owned()),
    }
}

/// As Python's `int(text, 0)`, which gunicorn reads numbers with: `0x10`, `0o20` and `0b1` are numbers too.
fn parse_number(text: &str, octal: bool) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    let (digits, radix) = match text.get(..2) {
        Some("0x") => (&text[2..], 16),
        Some("0o") => (&text[2..], 8),
        Some("0b") => (&text[2..], 2),
        Some(start) if octal && start.starts_with('0') => (&text[1..], 8),
        _ => (text.as_str(), 10),
    };
    i64::from_str_radix(&digits.replace('_', ""), radix).ok()
}

fn flag(value: &Value) -> Result<Value, String> {
    match value {
        Value::None | Value::Flag(_) => Ok(value.clone()),
        Value::Text(text) if text.trim().eq_ignore_ascii_case("true") => Ok(Value::Flag(true)),
        Value::Text(text) if text.trim().eq_ignore_ascii_case("false") => Ok(Value::Flag(false)),
        _ => Err("is neither true nor false".to_owned()),
    }
}

fn choice(setting: &Setting, choices: &[&str], value: &Value) -> Result<Value, String> {
    let switch = choices.first() == Some(&"off");
    let on = setting.bare.or(choices.get(1).copied()).unwrap_or_default();
    let text = match value {
        Value::None => setting.default.unwrap_or_default().to_owned(),
        Value::Flag(flag) if switch => (if *flag { on } else { "off" }).to_owned(),
        Value::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" if switch => on.to_owned(),
            "false" | "0" | "none" if switch => "off".to_owned(),
            text => text.to_owned(),
        },
        _ => String::new(),
    };
    if choices.contains(&text.as_str()) {
        return Ok(Value::Text(text));
    }
    Err(format!("is not one of {}", choices.join(", ")))
}

fn account(value: &Value, own: u32, what: &str, find: impl Fn(&str) -> Option<u32>) -> Result<Value, String> {
    let number = match value {
        Value::None => Some(i64::from(own)),
        Value::Number(number) => Some(*number),
        Value::Text(name) => name.parse().ok().or_else(|| find(name).map(i64::from)),
        _ => None,
    };
    match number.filter(|number| u32::try_from(*number).is_ok()) {
        Some(number) => Ok(Value::Number(number)),
        None => Err(format!("names no {what} of this system")),
    }
}

fn hook(value: &Value, least: u8, most: u8) -> Result<Value, String> {
    match value {
        Value::Function { arity, .. } if (least..=most).contains(arity) => Ok(value.clone()),
        Value::Function { arity, .. } => Err(format!("must have an arity of: {most}, but has one of {arity}")),
        _ => Err("is not callable".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{check, default};
    use crate::settings::{Value, all, find};

    fn checked(name: &str, value: &Value) -> String {
        check(find(name).expect("it is in the table"), value).map_or_else(|error| error, |value| value.to_string())
    }

    fn given(name: &str, text: &str) -> String {
        checked(name, &Value::from(text))
    }

    #[test]
    fn every_default_is_one_that_its_setting_takes() {
        for setting in all() {
            assert!(default(setting).is_ok(), "{}: {:?}", setting.name, default(setting));
        }
    }

    #[test]
    fn numbers_are_read_as_python_reads_them() {
        assert_eq!(given("threads", "0x10"), "16");
        assert_eq!(given("threads", " 1_000 "), "1000");
        assert_eq!(checked("threads", &Value::Flag(true)), "1");
        assert_eq!(given("umask", "022"), "18");
        assert_eq!(given("umask", "0o22"), "18");
        assert_eq!(given("umask", "0"), "0");
        for wrong in ["", "many", "-1", "1.5"] {
            assert_eq!(given("threads", wrong), "is not a whole number from 0");
        }
        assert_eq!(checked("threads", &Value::Other("1.5".to_owned())), "is not a whole number from 0");
    }

    #[test]
    fn the_number_of_workers_may_be_automatic() {
        assert_eq!(given("workers", "auto"), "auto");
        assert_eq!(given("workers", "all"), super::NO_COUNT);
    }

    #[test]
    fn flags_are_true_or_false_and_nothing_like_it() {
        assert_eq!((given("daemon", "TRUE"), given("daemon", "false ")), ("True".to_owned(), "False".to_owned()));
        assert_eq!(given("daemon", "yes"), "is neither true nor false");
        assert_eq!(checked("daemon", &Value::Number(1)), "is neither true nor false");
        assert_eq!(checked("daemon", &Value::None), "None");
    }

    #[test]
    fn one_text_is_a_list_of_one() {
        assert_eq!(given("bind", " :80 "), "[':80']");
        assert_eq!(checked("bind", &Value::List(vec![Value::from("a"), Value::from("b")])), "['a', 'b']");
        assert_eq!(checked("raw_env", &Value::None), "[]");
        assert_eq!(checked("bind", &Value::List(vec![Value::Number(1)])), "is not a list of texts");
    }

    #[test]
    fn networks_are_written_without_bits_behind_the_prefix() {
        assert_eq!(given("forwarded_allow_ips", "10.0.0.0/8, ::1,*"), "['10.0.0.0/8', '::1', '*']");
        assert_eq!(
            given("forwarded_allow_ips", "192.168.1.1/24"),
            "has \"192.168.1.1/24\", which is neither an IP address, nor a network, nor *"
        );
    }

    #[test]
    fn a_switch_with_several_ways_is_also_on_or_off() {
        assert_eq!(checked("proxy_protocol", &Value::Flag(true)), "auto");
        assert_eq!(given("proxy_protocol", "V2"), "v2");
        assert_eq!(checked("http2_cleartext", &Value::Flag(true)), "prior-knowledge");
        assert_eq!(given("header_map", "keep"), "is not one of drop, refuse, dangerous");
    }

    #[test]
    fn users_have_names_and_numbers() {
        assert_eq!((given("user", "root"), given("user", "1234")), ("0".to_owned(), "1234".to_owned()));
        assert_eq!(given("user", "nobody-at-all"), "names no user of this system");
        assert_eq!(given("group", "nobody-at-all"), "names no group of this system");
    }

    #[test]
    fn hooks_take_what_they_are_called_with() {
        let function = |arity| Value::Function { name: "f".to_owned(), arity };
        assert_eq!(checked("pre_fork", &function(2)), "<f()>");
        assert_eq!(checked("pre_fork", &function(1)), "must have an arity of: 2, but has one of 1");
        for arity in 2..=4 {
            assert_eq!(checked("post_request", &function(arity)), "<f()>");
        }
        assert_eq!(checked("post_request", &function(5)), "must have an arity of: 4, but has one of 5");
        assert_eq!(checked("pre_fork", &Value::from("x")), "is not callable");
    }
}
